//! The store: accounts, members, invites, letters, sessions, API tokens, the audit log and the last
//! good policies.
//!
//! What callers bring and get is described in [`requests_and_views`]; the methods of [`Store`] are in
//! `redb`, one file for each kind of thing.
//!
//! Offers transactions, not tables: each checks its preconditions, writes the rows and the audit
//! entry atomically, and gets the next revision. Every change is published to the change feed, in
//! the order of revisions and without gaps. Independent of Cedar and HTTP, and does not check
//! rights: the caller holds a permit.

pub mod change_feed;
pub mod etcd_log;
pub mod member_pages;
pub mod postgres_log;
pub mod preconditions;
pub mod records;
mod redb;
pub mod requests_and_views;
pub mod shared_log;
pub mod shared_log_backend;
pub mod shared_log_encryption;

pub use self::redb::{
    BROKEN, CLOCK_AHEAD, ErasureReach, Followed, LAYOUT, LOG_AWAY, LOG_HALTED, LOG_UNCLEAR,
    REPLACED, SnapshotContent, Store, UNAVAILABLE,
};
pub use preconditions::Preconditions;
pub use requests_and_views::accounts::{AccountEdit, FirstAccount};
pub use requests_and_views::audit::AuditFilter;
pub use requests_and_views::members::{
    ImportPart, ImportRow, MemberEdit, MemberFilter, MemberTarget, Removal,
};
pub use requests_and_views::policies::StoredPolicies;
pub use requests_and_views::{Committed, Page};
