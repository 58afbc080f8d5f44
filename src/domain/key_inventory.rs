//! Which keys there are, and which are in use, without saying what a key is.

use super::digest::Digest;
use super::ids::KeyId;

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyKind {
    /// To derive the tokens of links.
    Link,
    /// To encrypt secrets.
    Seal,
}

impl KeyKind {
    /// The name of the file of a key.
    #[must_use]
    pub fn file(self, id: KeyId) -> String {
        let kind = match self {
            Self::Link => "link",
            Self::Seal => "seal",
        };
        format!("{kind}-{}.key", id.0)
    }
}

/// The keys that new links are derived and new secrets are encrypted with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeysInUse {
    /// Of links.
    pub link: KeyId,
    /// Of secrets.
    pub seal: KeyId,
}

impl KeysInUse {
    /// The names of their files.
    #[must_use]
    pub fn files(self) -> [String; 2] {
        [KeyKind::Link.file(self.link), KeyKind::Seal.file(self.seal)]
    }

    /// Whether a key is in use, or newer than the one of its kind that is.
    #[must_use]
    pub fn include(self, key: &KeyMark) -> bool {
        match key.kind {
            KeyKind::Link => key.id >= self.link,
            KeyKind::Seal => key.id >= self.seal,
        }
    }
}

/// A key that a node has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyMark {
    /// What it is for.
    pub kind: KeyKind,
    /// Its number.
    pub id: KeyId,
    /// Tells two contents apart, and nothing else of them.
    pub mark: [u8; 8],
}

impl KeyMark {
    /// The mark of a key. A key is random, so that nothing can be guessed by its digest.
    #[must_use]
    pub fn of(kind: KeyKind, id: KeyId, key: &[u8]) -> Self {
        let Digest(digest) = Digest::of(&[b"mark of a key", kind.file(id).as_bytes(), key]);
        let mut mark = [0; 8];
        mark.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        Self { kind, id, mark }
    }

    /// The name of its file.
    #[must_use]
    pub fn file(&self) -> String {
        self.kind.file(self.id)
    }
}
