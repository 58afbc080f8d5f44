//! The store: accounts, members, the audit log and the last good policies.
//!
//! Offers whole transitions, not tables: each checks its preconditions, writes the rows and the
//! audit entry, all or nothing, and gets the next revision. Every change is told to the feed, in
//! the order of revisions and without gaps. Knows no Cedar, no HTTP, and judges nobody's right to
//! do anything: whoever calls holds a permit.

pub mod feed;
pub mod record;
pub mod redb;

use std::path::Path;

use crate::clock::Clock;
use crate::domain::audit::ChainReport;
use crate::domain::{
    Account, AccountSlug, Actor, AuditEntry, AuditEvent, Digest, Email, Failure, Member, MemberId,
    Name, Revision, RoleId, Status, Timestamp, Version,
};

/// A change that is durable: its revision, and what it left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed<T> {
    /// The revision of the change.
    pub revision: Revision,
    /// The record after the change.
    pub value: T,
}

/// Which member, and in which state the caller believes it to be.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The account the caller speaks for: a member of another one is `NotFound`.
    pub account: &'a AccountSlug,
    /// The member.
    pub id: &'a MemberId,
    /// `If-Match`: `Stale` if the record has moved on. `None` takes it as it is.
    pub expected: Option<Version>,
}

/// What an edit changes; `None` leaves a field as it is.
#[derive(Clone, Debug, Default)]
pub struct MemberEdit {
    /// Given name.
    pub first_name: Option<Name>,
    /// Family name.
    pub last_name: Option<Name>,
    /// The address.
    pub email: Option<Email>,
    /// The role.
    pub role: Option<RoleId>,
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
#[derive(Clone, Debug, Default)]
pub struct MemberFilter {
    /// Part of a name or an address, compared without regard to case.
    pub search: Option<String>,
    /// Only members with this role.
    pub role: Option<RoleId>,
    /// Only members in this state.
    pub status: Option<Status>,
}

/// One page of a list, and where the next begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The items, in order.
    pub items: Vec<T>,
    /// Opaque; `None` at the end.
    pub next: Option<String>,
}

/// One line of an import.
#[derive(Clone, Debug)]
pub struct ImportRow {
    /// The line in the file, from 1.
    pub line: u64,
    /// The member to make.
    pub member: Member,
}

/// What an import sends while it streams.
#[derive(Debug)]
pub enum ImportPart {
    /// Some more rows.
    Rows(Vec<ImportRow>),
    /// The file is read to its end and was in order: commit. A channel that closes without this
    /// aborts the import.
    End {
        /// SHA-256 of the file.
        digest: Digest,
    },
}

/// A policy set as files, kept for the start after a crash.
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

/// Where the records lie.
#[derive(Clone, Debug)]
pub enum Store {
    /// One file on this machine, or memory.
    Redb(redb::RedbStore),
}

/// What every backend offers, once for each of them. Each call that reaches the disk runs apart
/// from the threads that answer decisions.
impl Store {
    /// Opens or makes the file at `path`, with a cache of `cache_mb` MiB.
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

    /// Follows every change from now on. Subscribe before [`Self::load`], so that none is missed.
    #[must_use]
    pub fn subscribe(&self) -> feed::Follower {
        match self {
            Self::Redb(store) => store.subscribe(),
        }
    }

    /// Reads all accounts and then all members, in no order, each through `each`; answers the
    /// revision that they were read at.
    ///
    /// # Errors
    /// `Internal`, when the disk fails.
    pub async fn load(
        &self,
        each: impl FnMut(feed::Loaded) + Send + 'static,
    ) -> Result<Revision, Failure> {
        match self {
            Self::Redb(store) => store.load(each).await,
        }
    }
}
