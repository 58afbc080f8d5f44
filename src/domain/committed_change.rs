//! A committed change, as the records after it: the items of the change feed.
//!
//! Does not say who may see a record, nor why it changed: that is in the audit log.

use super::account::{Account, AccountSlug};
use super::api_token::ApiToken;
use super::ids::ImportId;
use super::member::{Member, MemberId};
use super::queued_mail::MailStop;
use super::revision_and_timestamp::Revision;
use super::session::Session;
use super::token::TokenHash;

/// One committed change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its revision: one more than the change before.
    pub revision: Revision,
    /// The changed records.
    pub rows: Vec<ChangedRecord>,
}

/// One record after a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangedRecord {
    /// An account, created or changed.
    Account(Account),
    /// A member, created or changed.
    Member(Member),
    /// A member that was removed.
    MemberGone {
        /// The member.
        id: MemberId,
        /// The member's account.
        account: AccountSlug,
    },
    /// A member of an import that is not made yet: nobody sees it.
    Importing(ImportId, Member),
    /// An import was made: its members are seen from now on.
    Imported {
        /// The import.
        import: ImportId,
        /// The account of its members.
        account: AccountSlug,
    },
    /// An import was given up: its members never were any.
    ImportGone(ImportId),
    /// A session, begun or used.
    Session(Session),
    /// A session that ended.
    SessionGone(TokenHash),
    /// An API token, created or used.
    ApiToken(ApiToken),
    /// An API token that ended.
    ApiTokenGone(TokenHash),
    /// A letter was queued.
    LetterQueued,
    /// Mail was stopped or resumed.
    Mail(Option<MailStop>),
}

/// One record read while loading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadedRecord {
    /// The number of members to come, so that room can be reserved.
    Coming(usize),
    /// An account.
    Account(Account),
    /// Some members, in the order of their ids or in its reverse.
    Members(Vec<Member>),
    /// A member of an import that is not made yet.
    Importing(ImportId, Member),
    /// A session.
    Session(Session),
    /// An API token.
    ApiToken(ApiToken),
}
