//! Secret keys of the sidecar, and what is derived from them: the tokens of links in mail, and the
//! mark that a bounce must carry.
//!
//! A derived token stands in no store: who holds the keys can make it again, nobody else. Keys
//! never leave this file, and never print.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::domain::{
    AccountSlug, Digest, Failure, Generation, InviteId, KeyId, Kind, LetterId, LinkId, Token,
};
use crate::entropy;

/// Bytes of a key: as many as the hash has (RFC 2104 section 3).
const KEY_BYTES: usize = 32;
/// Bytes of the mark of a bounce: 64 bits, checked online only.
const MARK_BYTES: usize = 8;

/// All keys there are; the one with the highest number makes new links.
pub struct Keys {
    ring: BTreeMap<KeyId, [u8; KEY_BYTES]>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.ring.len())
    }
}

impl Keys {
    /// Keys that end with the process.
    ///
    /// # Errors
    /// `Internal`, when the operating system has no randomness.
    pub fn passing() -> Result<Self, Failure> {
        Ok(Self { ring: BTreeMap::from([(KeyId(1), entropy::random()?)]) })
    }

    /// Reads `link-NUMBER.key` files of a folder; makes the folder (mode 0700) and the first key
    /// (mode 0600) where there is none.
    ///
    /// # Errors
    /// `Internal` with a sentence that says what to do, when the folder or a key cannot be read or
    /// made, or a key is damaged.
    pub fn open(folder: &Path) -> Result<Self, Failure> {
        let refuse = |what: &Path, why: &dyn fmt::Display| {
            Failure::new(
                Kind::Internal,
                "keys",
                format!("the key `{}` cannot be used: {why}", what.display()),
            )
        };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|fault| refuse(folder, &fault))?;
        let mut ring = BTreeMap::new();
        for entry in fs::read_dir(folder).map_err(|fault| refuse(folder, &fault))? {
            let path = entry.map_err(|fault| refuse(folder, &fault))?.path();
            let Some(number) = number_of(&path) else { continue };
            let text = fs::read_to_string(&path).map_err(|fault| refuse(&path, &fault))?;
            let key = Digest::from_hex(text.trim())
                .ok_or_else(|| refuse(&path, &"it is damaged; restore it from a backup"))?;
            ring.insert(KeyId(number), key.0);
        }
        if ring.is_empty() {
            let key: [u8; KEY_BYTES] = entropy::random()?;
            let path = folder.join("link-1.key");
            write_new(&path, &key).map_err(|fault| refuse(&path, &fault))?;
            ring.insert(KeyId(1), key);
        }
        Ok(Self { ring })
    }

    /// The key that new links are derived with.
    #[must_use]
    pub fn current(&self) -> KeyId {
        self.ring.last_key_value().map_or(KeyId(0), |(id, _)| *id)
    }

    /// The token of an invite's link; `None` where its key is gone, as after a restore without
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

    /// The token of a link to a new password or a new address; `None` where its key is gone.
    #[must_use]
    pub fn link_token(&self, key: KeyId, account: &AccountSlug, link: &LinkId) -> Option<Token> {
        self.derive(key, &[b"link", account.as_str().as_bytes(), link.as_str().as_bytes()])
            .map(Token::from_bytes)
    }

    /// The mark of a letter's return path, 16 hexadecimal digits.
    #[must_use]
    pub fn bounce_mark(&self, letter: LetterId) -> Option<String> {
        self.mark(self.current(), letter)
    }

    /// Whether a bounce carries the mark of its letter, by whichever key.
    #[must_use]
    pub fn is_bounce_mark(&self, letter: LetterId, mark: &str) -> bool {
        // Digests are compared, so that the time taken tells nothing of a mark.
        let given = Digest::of(&[mark.as_bytes()]);
        let is_it = |key: &KeyId| {
            self.mark(*key, letter).is_some_and(|mark| Digest::of(&[mark.as_bytes()]) == given)
        };
        self.ring.keys().any(is_it)
    }

    fn mark(&self, key: KeyId, letter: LetterId) -> Option<String> {
        let bytes = self.derive(key, &[b"bounce", &letter.0.to_le_bytes()])?;
        let hex = Digest(bytes).hex();
        hex.get(..MARK_BYTES * 2).map(str::to_owned)
    }

    /// HMAC-SHA-256 (RFC 2104) over parts, each led by its length.
    fn derive(&self, key: KeyId, parts: &[&[u8]]) -> Option<[u8; 32]> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.ring.get(&key)?).ok()?;
        for part in parts {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part);
        }
        Some(mac.finalize().into_bytes().into())
    }
}

fn number_of(path: &Path) -> Option<u32> {
    let name = path.file_name()?.to_str()?;
    name.strip_prefix("link-")?.strip_suffix(".key")?.parse().ok()
}

/// Written beside its name and moved there whole: half a key must never be read as one.
fn write_new(path: &Path, key: &[u8; KEY_BYTES]) -> std::io::Result<()> {
    let new = path.with_extension("new");
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    writeln!(file, "{}", Digest(*key).hex())?;
    file.sync_all()?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
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
        let mark = first.bounce_mark(LetterId(5)).unwrap();
        assert!(again.is_bounce_mark(LetterId(5), &mark));
        assert!(!again.is_bounce_mark(LetterId(6), &mark));
        assert!(!other.is_bounce_mark(LetterId(5), &mark));
        fs::write(folder.join("link-1.key"), "broken").unwrap();
        assert!(Keys::open(&folder).unwrap_err().public.contains("damaged"));
        fs::remove_dir_all(folder).unwrap();
    }
}
