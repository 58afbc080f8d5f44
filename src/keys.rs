//! The secret keys of the sidecar and their uses: the tokens of links in mail, the authentication
//! mark of a bounce address, and the encryption of secrets in the store.
//!
//! A derived token is not stored: it can be derived again with the keys, and without them by
//! nobody. Keys never leave this module and are never printed.

pub mod caller_keys;
pub mod epoch_keys;
mod key_files;
mod secret_encryption;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use self::key_files::KeyRing;
use crate::domain::{
    AccountSlug, Digest, Failure, Generation, InviteId, KeyId, KeyKind, KeyMark, KeysInUse, LinkId,
    MailId, Sealed, Token, opaque_debug,
};

/// Bytes of the mark of a bounce: 64 bits, checked online only.
const MARK_BYTES: usize = 8;

/// All keys; of each kind the one with the highest number is used for new secrets, unless another one is
/// named. Clones are the same keys.
#[derive(Clone)]
pub struct Keys {
    links: Arc<KeyRing>,
    seals: Arc<KeyRing>,
    in_use: Arc<NamedInUse>,
}

/// The keys that were named as those in use; 0 for none.
#[derive(Default)]
struct NamedInUse {
    link: AtomicU32,
    seal: AtomicU32,
}

opaque_debug!(Keys, "Keys(..)");

impl Keys {
    /// Temporary keys, for this process only.
    ///
    /// # Errors
    /// `Internal`, when the operating system has no randomness.
    pub fn passing() -> Result<Self, Failure> {
        Ok(Self::of(KeyRing::passing()?, KeyRing::passing()?))
    }

    /// Reads the `link-NUMBER.key` and `seal-NUMBER.key` files of a folder; if there are none,
    /// creates the folder (mode 0700) and the first key of each kind (mode 0600).
    ///
    /// # Errors
    /// `Internal` with a sentence that says what to do, when the folder or a key cannot be read or
    /// made, or a key is damaged.
    pub fn open(folder: &Path) -> Result<Self, Failure> {
        Ok(Self::of(KeyRing::open(folder, "link")?, KeyRing::open(folder, "seal")?))
    }

    /// Reads the keys of a folder, and creates none.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn read(folder: &Path) -> Result<Self, Failure> {
        Ok(Self::of(KeyRing::read(folder, "link")?, KeyRing::read(folder, "seal")?))
    }

    fn of(links: KeyRing, seals: KeyRing) -> Self {
        Self { links: Arc::new(links), seals: Arc::new(seals), in_use: Arc::default() }
    }

    /// Whether there are no keys.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.links.is_empty() && self.seals.is_empty()
    }

    /// The kinds of which there is no key.
    #[must_use]
    pub fn missing_kinds(&self) -> Vec<&'static str> {
        let kinds = [("link", self.links.is_empty()), ("seal", self.seals.is_empty())];
        kinds.iter().filter(|(_, missing)| *missing).map(|(kind, _)| *kind).collect()
    }

    /// Whether a file name is that of a key.
    #[must_use]
    pub fn is_named_as_one(path: &Path) -> bool {
        ["link", "seal", "epoch"].iter().any(|kind| key_files::number_of(path, kind).is_some())
    }

    /// The names of the keys in use that the folder lacks or has with another content: a restart
    /// would work without them.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn missing_in(&self, folder: &Path) -> Result<Vec<String>, Failure> {
        let there = Self::read(folder)?;
        let links = self.links.without(&there.links).map(|id| format!("link-{}.key", id.0));
        let seals = self.seals.without(&there.seals).map(|id| format!("seal-{}.key", id.0));
        Ok(links.chain(seals).collect())
    }

    /// The keys in use, each as the name and the content of its file.
    #[must_use]
    pub fn files(&self) -> Vec<(String, String)> {
        self.links.files("link").chain(self.seals.files("seal")).collect()
    }

    /// Adds a new key of each kind to a folder; the next start uses them. Returns what it wrote.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn rotate(folder: &Path) -> Result<Vec<std::path::PathBuf>, Failure> {
        let Self { links, seals, .. } = Self::open(folder)?;
        Ok(vec![links.extend(folder, "link")?, seals.extend(folder, "seal")?])
    }

    /// The newest key of each kind; number 0 for none.
    #[must_use]
    pub fn newest(&self) -> KeysInUse {
        KeysInUse { link: self.links.current(), seal: self.seals.current() }
    }

    /// Uses these keys for new links and secrets, in place of the newest ones: the nodes of a fleet
    /// change to a new key together.
    pub fn put_in_use(&self, keys: KeysInUse) {
        self.in_use.link.store(keys.link.0, Ordering::Release);
        self.in_use.seal.store(keys.seal.0, Ordering::Release);
    }

    /// The keys that are used for new links and secrets.
    #[must_use]
    pub fn in_use(&self) -> KeysInUse {
        let newest = self.newest();
        let or_newest = |named: &AtomicU32, newest| match named.load(Ordering::Acquire) {
            0 => newest,
            number => KeyId(number),
        };
        KeysInUse {
            link: or_newest(&self.in_use.link, newest.link),
            seal: or_newest(&self.in_use.seal, newest.seal),
        }
    }

    /// The names of the files of these keys that there are not.
    #[must_use]
    pub fn lacks(&self, keys: KeysInUse) -> Vec<String> {
        let has = [self.links.get(keys.link).is_some(), self.seals.get(keys.seal).is_some()];
        keys.files().into_iter().zip(has).filter(|(_, has)| !has).map(|(file, _)| file).collect()
    }

    /// The marks of all keys, by which nodes see whether they have the same.
    #[must_use]
    pub fn marks(&self) -> Vec<KeyMark> {
        self.links.marks(KeyKind::Link).chain(self.seals.marks(KeyKind::Seal)).collect()
    }

    /// The key that new links are derived with.
    #[must_use]
    pub fn current(&self) -> KeyId {
        self.in_use().link
    }

    /// Encrypts a secret for one purpose: `of` says what it is and whose, and is needed again to
    /// decrypt it.
    ///
    /// # Errors
    /// `Internal`, when the operating system has no randomness.
    pub fn seal(&self, of: &[&[u8]], secret: &[u8]) -> Result<Sealed, Failure> {
        secret_encryption::seal(&self.seals, self.in_use().seal, of, secret)
    }

    /// Encrypts what other nodes read: with the newest key, where this node lacks the one in use.
    ///
    /// # Errors
    /// As [`Self::seal`].
    pub fn seal_for_nodes(&self, of: &[&[u8]], plain: &[u8]) -> Result<Sealed, Failure> {
        let in_use = self.in_use().seal;
        let key = if self.has_seal(in_use) { in_use } else { self.newest().seal };
        secret_encryption::seal(&self.seals, key, of, plain)
    }

    /// Decrypts a secret of this purpose; `None` if its key is missing, as after a restore without
    /// keys, or if it was modified.
    #[must_use]
    pub fn unseal(&self, of: &[&[u8]], sealed: &Sealed) -> Option<Vec<u8>> {
        secret_encryption::unseal(&self.seals, of, sealed)
    }

    /// Whether secrets that were encrypted with the key of this number can be decrypted.
    #[must_use]
    pub fn has_seal(&self, key: KeyId) -> bool {
        self.seals.get(key).is_some()
    }

    /// Whether a newer key than the one of this secret is in use.
    #[must_use]
    pub fn is_old(&self, sealed: &Sealed) -> bool {
        sealed.key < self.in_use().seal
    }

    /// The token of an invite's link; `None` if its key is missing, as after a restore without
    /// keys: the invite then needs a new link.
    #[must_use]
    pub fn invite_token(
        &self,
        key: KeyId,
        account: &AccountSlug,
        invite: &InviteId,
        generation: Generation,
    ) -> Option<Token> {
        let generation = generation.0.to_le_bytes();
        self.derive(
            key,
            &[b"invite", account.as_str().as_bytes(), invite.as_str().as_bytes(), &generation],
        )
        .map(Token::from_bytes)
    }

    /// The token of a link to a new password or a new address; `None` if its key is missing.
    #[must_use]
    pub fn link_token(&self, key: KeyId, account: &AccountSlug, link: &LinkId) -> Option<Token> {
        self.derive(key, &[b"link", account.as_str().as_bytes(), link.as_str().as_bytes()])
            .map(Token::from_bytes)
    }

    /// The mark of a letter's return path, 16 hexadecimal digits.
    #[must_use]
    pub fn bounce_mark(&self, letter: MailId) -> Option<String> {
        self.mark(self.current(), letter)
    }

    /// Whether a bounce carries the mark of its letter, with any key.
    #[must_use]
    pub fn is_bounce_mark(&self, letter: MailId, mark: &str) -> bool {
        // Digests are compared, so that the time taken tells nothing of a mark.
        let given = Digest::of(&[mark.as_bytes()]);
        let is_it = |key: KeyId| {
            self.mark(key, letter).is_some_and(|mark| Digest::of(&[mark.as_bytes()]) == given)
        };
        self.links.ids().any(is_it)
    }

    fn mark(&self, key: KeyId, letter: MailId) -> Option<String> {
        let bytes = self.derive(key, &[b"bounce", &letter.0.to_le_bytes()])?;
        let hex = Digest(bytes).hex();
        hex.get(..MARK_BYTES * 2).map(str::to_owned)
    }

    /// HMAC-SHA-256 (RFC 2104) over parts, each with a length prefix.
    fn derive(&self, key: KeyId, parts: &[&[u8]]) -> Option<[u8; 32]> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.links.get(key)?).ok()?;
        for part in parts {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part);
        }
        Some(mac.finalize().into_bytes().into())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn tokens_are_derived_again_and_differ_in_everything() {
        let folder = std::env::temp_dir().join(format!("kwic-keys-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        let (first, again) = (Keys::open(&folder).unwrap(), Keys::open(&folder).unwrap());
        let account = AccountSlug::parse("acme").unwrap();
        let (one, two) = (InviteId::from_random([1; 16]), InviteId::from_random([2; 16]));
        let token = |keys: &Keys, invite: &InviteId, generation| {
            keys.invite_token(keys.current(), &account, invite, Generation(generation)).unwrap()
        };
        assert_eq!(token(&first, &one, 1), token(&again, &one, 1));
        assert_ne!(token(&first, &one, 1), token(&first, &one, 2));
        assert_ne!(token(&first, &one, 1), token(&first, &two, 1));
        let other = Keys::passing().unwrap();
        assert_ne!(token(&first, &one, 1), token(&other, &one, 1));
        assert_eq!(other.invite_token(KeyId(9), &account, &one, Generation(1)), None);
        let mark = first.bounce_mark(MailId(5)).unwrap();
        assert!(again.is_bounce_mark(MailId(5), &mark));
        assert!(!again.is_bounce_mark(MailId(6), &mark));
        assert!(!other.is_bounce_mark(MailId(5), &mark));
        fs::write(folder.join("link-1.key"), "broken").unwrap();
        assert!(Keys::open(&folder).unwrap_err().public.contains("damaged"));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_rotation_writes_over_no_key() {
        let folder = tempfile::tempdir().unwrap();
        Keys::open(folder.path()).unwrap();
        let last = folder.path().join("link-4294967295.key");
        fs::copy(folder.path().join("link-1.key"), &last).unwrap();
        let before = fs::read(&last).unwrap();
        let told = Keys::rotate(folder.path()).unwrap_err().public;
        assert!(told.contains("no higher number"), "{told}");
        assert_eq!(fs::read(&last).unwrap(), before);
        assert!(!folder.path().join("seal-2.key").exists());
    }

    #[test]
    fn what_is_sealed_opens_for_its_purpose_only_and_after_a_rotation_too() {
        let folder = std::env::temp_dir().join(format!("kwic-seals-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        let before = Keys::open(&folder).unwrap();
        let sealed = before.seal(&[b"totp", b"ann"], b"secret").unwrap();
        assert!(!sealed.bytes.windows(6).any(|bytes| bytes == b"secret"));
        assert_ne!(before.seal(&[b"totp", b"ann"], b"secret").unwrap(), sealed, "a new nonce");
        assert_eq!(before.unseal(&[b"totp", b"ann"], &sealed).unwrap(), b"secret");
        for of in [&[b"totp".as_slice(), b"bo"][..], &[b"ticket", b"ann"], &[b"totpann"], &[]] {
            assert_eq!(before.unseal(of, &sealed), None);
        }
        let mut changed = sealed.clone();
        changed.bytes[30] ^= 1;
        assert_eq!(before.unseal(&[b"totp", b"ann"], &changed), None);
        let cut = Sealed { bytes: sealed.bytes[..10].to_vec(), ..sealed.clone() };
        assert_eq!(before.unseal(&[b"totp", b"ann"], &cut), None);

        let made = Keys::rotate(&folder).unwrap();
        assert!(made.iter().all(|path| path.exists()) && made.len() == 2, "{made:?}");
        let after = Keys::open(&folder).unwrap();
        assert_eq!((before.current(), after.current()), (KeyId(1), KeyId(2)));
        assert!(after.is_old(&sealed) && !before.is_old(&sealed));
        assert_eq!(after.unseal(&[b"totp", b"ann"], &sealed).unwrap(), b"secret");
        let anew = after.seal(&[b"totp", b"ann"], b"secret").unwrap();
        assert_eq!((anew.key, before.unseal(&[b"totp", b"ann"], &anew)), (KeyId(2), None));
        fs::remove_dir_all(folder).unwrap();
    }
}
