//! The store: accounts, members, invites, letters, sessions, API tokens, the audit log and the last
//! good policies.
//!
//! Offers transactions, not tables: each checks its preconditions, writes the rows and the audit
//! entry atomically, and gets the next revision. Every change is published to the change feed, in
//! the order of revisions and without gaps. Independent of Cedar and HTTP, and does not check
//! rights: the caller holds a permit.

pub mod api_tokens;
pub mod backup;
pub mod by;
pub mod feed;
pub mod invites;
pub mod letters;
pub mod links;
pub mod passkeys;
pub mod personal;
pub mod record;
pub mod redb;
pub mod roster;
pub mod sessions;
pub mod two_step;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use tokio::sync::mpsc;

pub use by::By;
use invites::{InviteView, NewInvite};

use crate::clock::Clock;
use crate::domain::audit::ChainReport;
use crate::domain::{
    Account, AccountSlug, Actor, AuditDetail, AuditEntry, AuditEvent, Digest, Email, Failure,
    Member, MemberId, Name, Revision, RoleId, Status, Timestamp, Version,
};

/// A durable change: its revision and its result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed<T> {
    /// The revision of the change.
    pub revision: Revision,
    /// The record after the change.
    pub value: T,
}

/// A member, and the version that the caller has seen.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The account the caller speaks for: a member of another one is `NotFound`.
    pub account: &'a AccountSlug,
    /// The member.
    pub id: &'a MemberId,
    /// `If-Match`: `Stale` if the record has changed since. `None` accepts any version.
    pub expected: Option<Version>,
}

/// What an edit changes; `None` leaves a field as it is.
#[derive(Clone, Debug, Default)]
pub struct MemberEdit {
    /// First name.
    pub first_name: Option<Name>,
    /// Last name.
    pub last_name: Option<Name>,
    /// The address.
    pub email: Option<Email>,
    /// The role.
    pub role: Option<RoleId>,
    /// Used if the role changes: the roles that the member may still invite for with the new one.
    /// Open invites of the member for other roles end.
    pub still_invites: BTreeSet<RoleId>,
    /// Used if the role changes: the roles that the member may still create API tokens for with the
    /// new one. Tokens for other roles end.
    pub still_makes_tokens: BTreeSet<RoleId>,
}

/// What an edit of an account changes; `None` leaves a field as it is.
#[derive(Clone, Debug, Default)]
pub struct AccountEdit {
    /// The name for people.
    pub name: Option<String>,
    /// When its invites expire.
    pub invite_lifetime: Option<Duration>,
    /// Whether everybody needs a second factor.
    pub two_step_enforced: Option<bool>,
}

/// What a removal ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// The member as it was.
    pub member: Member,
    /// How many sessions ended with it.
    pub sessions_ended: u64,
    /// How many API tokens ended with it.
    pub tokens_revoked: u64,
    /// How many of the invites that the member sent were cancelled.
    pub invites_cancelled: u64,
}

/// A filter over the members of one account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberFilter {
    /// Part of a name or an address, compared without regard to case and accents.
    pub search: Option<String>,
    /// Only members with one of these roles; all, where it is empty.
    pub roles: Vec<RoleId>,
    /// Only members in this state.
    pub status: Option<Status>,
    /// Only members with a second factor, or only those without.
    pub two_step: Option<bool>,
}

/// One page of a list, and where the next begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The items, in order.
    pub items: Vec<T>,
    /// Opaque; `None` at the end.
    pub next: Option<String>,
}

/// One row of an import.
#[derive(Clone, Debug)]
pub struct ImportRow {
    /// The line in the file, from 1.
    pub line: u64,
    /// The member to make.
    pub member: Member,
}

/// The messages of an import while it streams.
#[derive(Debug)]
pub enum ImportPart {
    /// Some more rows.
    Rows(Vec<ImportRow>),
    /// The file was read completely without faults: commit. A channel that closes without this
    /// aborts the import.
    End {
        /// SHA-256 of the file.
        digest: Digest,
    },
}

/// A policy set as files, saved for the next start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPolicies {
    /// The digest of the set.
    pub digest: Digest,
    /// When it went live.
    pub at: Timestamp,
    /// Path inside the folder, and content.
    pub files: Vec<(String, Vec<u8>)>,
}

/// Which audit entries to read.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Only entries whose target is this member.
    pub member: Option<String>,
    /// Only entries of this event.
    pub event: Option<AuditEvent>,
}

/// The store, in one of its backends.
#[derive(Clone, Debug)]
pub enum Store {
    /// One file on this machine, or memory.
    Redb(redb::RedbStore),
}

/// The operations of every backend. Each call that reaches the disk runs outside the decision
/// threads.
impl Store {
    /// Opens or creates the file at `path`, with a cache of `cache_mb` MiB.
    ///
    /// # Errors
    /// A sentence that says what to do, when the file is locked, damaged, or of a newer version.
    pub async fn open(path: &Path, cache_mb: usize, clock: Clock) -> Result<Self, Failure> {
        redb::RedbStore::open(path, cache_mb, clock).await.map(Self::Redb)
    }

    /// A store that lives in memory and ends with the process.
    ///
    /// # Errors
    /// `Internal`, when memory runs out.
    pub async fn in_memory(clock: Clock) -> Result<Self, Failure> {
        redb::RedbStore::in_memory(clock).await.map(Self::Redb)
    }

    /// Subscribes to all changes from now on. Subscribe before [`Self::load`], so that none is
    /// missed.
    #[must_use]
    pub fn subscribe(&self) -> feed::Follower {
        match self {
            Self::Redb(store) => store.subscribe(),
        }
    }

    /// Creates an account, and optionally the invite of its first member, in one transaction.
    ///
    /// # Errors
    /// `Conflict` `account_exists`; `Busy`, when the disk fails.
    pub async fn account_create(
        &self,
        actor: &Actor,
        slug: AccountSlug,
        name: String,
        first: Option<NewInvite>,
    ) -> Result<Committed<(Account, Option<InviteView>)>, Failure> {
        match self {
            Self::Redb(store) => store.account_create(actor, slug, name, first).await,
        }
    }

    /// Edits an account. An edit that changes nothing returns the account unchanged.
    ///
    /// # Errors
    /// `NotFound` `unknown_account`; `Stale`; `Conflict` [`by::MOVED_ON`]; `Busy`, when the disk
    /// fails.
    pub async fn account_edit(
        &self,
        by: &By,
        slug: &AccountSlug,
        expected: Option<Version>,
        edit: AccountEdit,
    ) -> Result<Committed<Account>, Failure> {
        match self {
            Self::Redb(store) => store.account_edit(by, slug, expected, edit).await,
        }
    }

    /// All accounts, sorted by slug.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn accounts(&self) -> Result<Vec<Account>, Failure> {
        match self {
            Self::Redb(store) => store.accounts().await,
        }
    }

    /// One account.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn account(&self, slug: &AccountSlug) -> Result<Option<Account>, Failure> {
        match self {
            Self::Redb(store) => store.account(slug).await,
        }
    }

    /// Creates an active member.
    ///
    /// # Errors
    /// `NotFound` `unknown_account`; `Conflict` `id_taken`, `already_member` or `already_invited`;
    /// `Busy`, when the disk fails.
    pub async fn member_create(
        &self,
        actor: &Actor,
        member: Member,
    ) -> Result<Committed<Member>, Failure> {
        match self {
            Self::Redb(store) => store.member_create(actor, member).await,
        }
    }

    /// One member, of any account.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn member(&self, id: &MemberId) -> Result<Option<Member>, Failure> {
        match self {
            Self::Redb(store) => store.member(id).await,
        }
    }

    /// The member of an account who has this canonical address.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn member_by_email(
        &self,
        account: &AccountSlug,
        email_key: &str,
    ) -> Result<Option<Member>, Failure> {
        match self {
            Self::Redb(store) => store.member_by_email(account, email_key).await,
        }
    }

    /// One page of an account's members, in the order of addresses, after the cursor `after`.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn members(
        &self,
        account: &AccountSlug,
        filter: &MemberFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Member>, Failure> {
        match self {
            Self::Redb(store) => store.members(account, filter, after, limit).await,
        }
    }

    /// Edits a member. An edit that changes nothing returns the member unchanged, with the current
    /// revision, and writes no audit entry.
    ///
    /// # Errors
    /// `NotFound` `unknown_member`; `Stale`; `Conflict` `already_member`, `already_invited`,
    /// `own_role`, `last_administrator`, or [`by::MOVED_ON`]; `Busy`, when the disk fails.
    pub async fn member_edit(
        &self,
        by: &By,
        target: Target<'_>,
        edit: MemberEdit,
    ) -> Result<Committed<Member>, Failure> {
        match self {
            Self::Redb(store) => store.member_edit(by, target, edit).await,
        }
    }

    /// Suspends a member, and ends the member's sessions, links and API tokens.
    ///
    /// # Errors
    /// `NotFound` `unknown_member`; `Stale`; `Conflict` `already_suspended`, `last_administrator`,
    /// or [`by::MOVED_ON`]; `Busy`, when the disk fails.
    pub async fn member_suspend(
        &self,
        by: &By,
        target: Target<'_>,
    ) -> Result<Committed<Member>, Failure> {
        match self {
            Self::Redb(store) => store.member_suspend(by, target).await,
        }
    }

    /// Restores a suspended member.
    ///
    /// # Errors
    /// `NotFound` `unknown_member`; `Stale`; `Conflict` `already_active`, or [`by::MOVED_ON`];
    /// `Busy`, when the disk fails.
    pub async fn member_restore(
        &self,
        by: &By,
        target: Target<'_>,
    ) -> Result<Committed<Member>, Failure> {
        match self {
            Self::Redb(store) => store.member_restore(by, target).await,
        }
    }

    /// Removes a member for good, with the member's sessions, links, API tokens and open invites.
    ///
    /// # Errors
    /// `NotFound` `unknown_member`; `Stale`; `Conflict` `last_administrator`, or [`by::MOVED_ON`];
    /// `Busy`, when the disk fails.
    pub async fn member_remove(
        &self,
        by: &By,
        target: Target<'_>,
    ) -> Result<Committed<Removal>, Failure> {
        match self {
            Self::Redb(store) => store.member_remove(by, target).await,
        }
    }

    /// Creates many members, all or nothing: one revision, one audit entry. Returns their number.
    ///
    /// # Errors
    /// `NotFound` `unknown_account`; `Invalid` `import_refused` with a field for each line that
    /// clashes; `Busy`, when the disk fails.
    pub async fn member_import(
        &self,
        actor: &Actor,
        account: &AccountSlug,
        parts: mpsc::Receiver<ImportPart>,
    ) -> Result<Committed<u64>, Failure> {
        match self {
            Self::Redb(store) => store.member_import(actor, account, parts).await,
        }
    }

    /// Entries of a chain, oldest first; without an account the store's own chain.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn audit(
        &self,
        account: Option<&AccountSlug>,
        filter: &AuditFilter,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Page<AuditEntry>, Failure> {
        match self {
            Self::Redb(store) => store.audit(account, filter, after, limit).await,
        }
    }

    /// The same, newest first: the entries before the one with sequence `before`.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn audit_latest(
        &self,
        account: Option<&AccountSlug>,
        filter: &AuditFilter,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Page<AuditEntry>, Failure> {
        match self {
            Self::Redb(store) => store.audit_latest(account, filter, before, limit).await,
        }
    }

    /// Verifies a chain from its beginning.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn audit_verify(
        &self,
        account: Option<&AccountSlug>,
    ) -> Result<ChainReport, Failure> {
        match self {
            Self::Redb(store) => store.audit_verify(account).await,
        }
    }

    /// All chains.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn audit_chains(&self) -> Result<Vec<Option<AccountSlug>>, Failure> {
        match self {
            Self::Redb(store) => store.audit_chains().await,
        }
    }

    /// The last live policy set.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn policies_last_good(&self) -> Result<Option<StoredPolicies>, Failure> {
        match self {
            Self::Redb(store) => store.policies_last_good().await,
        }
    }

    /// Saves a policy set that became live.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn policies_installed(
        &self,
        actor: &Actor,
        policies: StoredPolicies,
        detail: AuditDetail,
    ) -> Result<Committed<()>, Failure> {
        match self {
            Self::Redb(store) => store.policies_installed(actor, policies, detail).await,
        }
    }

    /// The revision of the last change.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn revision(&self) -> Result<Revision, Failure> {
        match self {
            Self::Redb(store) => store.revision().await,
        }
    }

    /// Resolves a change whose commit failed midway, if there is one.
    ///
    /// # Errors
    /// `Busy`, when the disk still fails.
    pub async fn mend(&self) -> Result<(), Failure> {
        match self {
            Self::Redb(store) => store.mend().await,
        }
    }

    /// Whether a change may have been committed that subscribers have not received.
    #[must_use]
    pub fn is_unsettled(&self) -> bool {
        match self {
            Self::Redb(store) => store.is_unsettled(),
        }
    }

    /// Reads all accounts, members, sessions and API tokens, in this order, each through `each`;
    /// members from several threads, in no order. Returns their revision.
    ///
    /// # Errors
    /// `Internal`, when the disk fails.
    pub async fn load(
        &self,
        each: impl Fn(feed::Loaded) + Send + Sync + 'static,
    ) -> Result<Revision, Failure> {
        match self {
            Self::Redb(store) => store.load(each).await,
        }
    }
}
