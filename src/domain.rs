//! The words of the trade: what a member, a role, a query, a decision and a failure are.
//!
//! Pure values and pure functions. This floor never does IO, never waits, and knows no serde, no
//! Cedar and no HTTP: wire, record and file types are twins that live beside their format.

pub mod account;
pub mod audit;
pub mod change;
pub mod decision;
pub mod digest;
pub mod email;
pub mod failure;
pub mod limits;
pub mod member;
pub mod policy_files;
pub mod query;
pub mod revision;
pub mod role;

pub use account::{Account, AccountSlug};
pub use audit::{Actor, AuditDetail, AuditEntry, AuditEvent};
pub use change::{Change, Loaded, Row};
pub use decision::{Decision, Reason};
pub use digest::Digest;
pub use email::Email;
pub use failure::{Failure, Kind};
pub use member::{Member, MemberId, MemberView, Name, Status, Texts};
pub use policy_files::PolicyFiles;
pub use query::{EntityRef, Query, Value};
pub use revision::{Revision, Timestamp, Version};
pub use role::RoleId;
