//! The ids that we make ourselves, one type for each kind of thing.
//!
//! All stand here, so that an invite can name its letter and a letter its invite, and no two kinds
//! of random ids begin with the same letter. The ids of accounts, members and roles, which others
//! may choose, are beside what they name.

use std::fmt;

use super::random_id::random_id;

random_id! {
    /// Identifies an API token: `t` and 26 base-32 digits. Not a secret.
    ApiTokenId, 't'
}

random_id! {
    /// Identifies an invite: `i` and 26 base-32 digits.
    InviteId, 'i'
}

random_id! {
    /// Identifies a link: `l` and 26 base-32 digits.
    LinkId, 'l'
}

random_id! {
    /// Identifies a passkey: `p` and 26 base-32 digits. Derived from the credential's id, so that
    /// the same credential always has the same id here.
    PasskeyId, 'p'
}

random_id! {
    /// Identifies a session: `s` and 26 base-32 digits. Not a secret.
    SessionId, 's'
}

/// Identifies a letter: from 1, in the order of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MailId(pub u64);

impl fmt::Display for MailId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Identifies an import that is staged: from 1, in the order of their begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImportId(pub u64);

impl fmt::Display for ImportId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which key a link's token was derived with, or a secret was sealed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub u32);
