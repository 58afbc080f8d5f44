//! A committed change, as the records after it: the items of the change feed.
//!
//! Does not say who may see a record, nor why it changed: that is in the audit log.

use super::account::{Account, AccountSlug};
use super::api_token::ApiToken;
use super::letter::MailStop;
use super::member::{Member, MemberId};
use super::revision::Revision;
use super::session::Session;
use super::token::TokenHash;

/// One committed change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its revision: one more than the change before.
    pub revision: Revision,
    /// What it touched.
    pub rows: Vec<Row>,
}

/// One record after a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Row {
    /// An account, made or changed.
    Account(Account),
    /// A member, made or changed.
    Member(Member),
    /// A member that is no more.
    MemberGone {
        /// Who it was.
        id: MemberId,
        /// Whose it was.
        account: AccountSlug,
    },
    /// A session, begun or used.
    Session(Session),
    /// A session that is no more.
    SessionGone(TokenHash),
    /// An API token, made or used.
    ApiToken(ApiToken),
    /// An API token that is no more.
    ApiTokenGone(TokenHash),
    /// A letter waits for its turn.
    LetterQueued,
    /// Mail was stopped or goes out again.
    Mail(Option<MailStop>),
}

/// One record read while loading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loaded {
    /// So many members are to come: room can be made for all of them.
    Coming(usize),
    /// An account.
    Account(Account),
    /// A member.
    Member(Member),
    /// A session.
    Session(Session),
    /// An API token.
    ApiToken(ApiToken),
}
