//! The ids that we make ourselves, one type for each kind of thing.
//!
//! All stand here, so that an invite can name its letter and a letter its invite, and no two kinds
//! of random ids begin with the same letter. The ids of accounts, members and roles, which others
//! may choose, are beside what they name.

use std::fmt;

use super::random_id::random_id;

random_id! {
    /// Names an API token to people: `t` and 26 base-32 digits. Opens nothing.
    ApiTokenId, 't'
}

random_id! {
    /// Names an invite in the whole store: `i` and 26 base-32 digits.
    InviteId, 'i'
}

random_id! {
    /// Names a link in the whole store: `l` and 26 base-32 digits.
    LinkId, 'l'
}

random_id! {
    /// Names a passkey in the whole store: `p` and 26 base-32 digits. Made of the credential's own
    /// id, so that the same credential has the same name whoever brings it.
    PasskeyId, 'p'
}

random_id! {
    /// Names a session to people: `s` and 26 base-32 digits. Opens nothing.
    SessionId, 's'
}

/// Names a letter in the whole store: from 1, in the order in which letters were queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LetterId(pub u64);

impl fmt::Display for LetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which key a link's token was derived with, or a secret was sealed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub u32);
