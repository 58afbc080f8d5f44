//! The domain types: member, role, query, decision, failure and so on.
//!
//! Pure values and pure functions. This layer does no IO, never waits, and does not depend on
//! serde, Cedar or HTTP: the types of wire formats, records and files are separate and live beside
//! their format.

pub mod account;
pub mod api_token;
pub mod audit;
pub mod change;
mod counted;
pub mod decision;
pub mod digest;
pub mod email;
pub mod failure;
pub mod fold;
mod hidden;
pub mod idempotency_key;
pub mod ids;
pub mod invite;
pub mod letter;
pub mod limits;
pub mod link;
pub mod mailbox;
pub mod member;
pub mod near;
pub mod network;
pub mod passkey;
pub mod policy_files;
pub mod policy_place;
pub mod printable;
pub mod query;
mod random_id;
pub mod revision;
pub mod role;
pub mod sealed;
pub mod session;
pub mod token;
pub mod two_step;
pub mod typed;

pub use account::{Account, AccountSlug};
pub use api_token::ApiToken;
pub use audit::{Actor, AuditDetail, AuditEntry, AuditEvent};
pub use change::{Change, Loaded, Row};
pub use counted::counted;
pub use decision::{Decision, Reason};
pub use digest::Digest;
pub use email::Email;
pub use failure::{Failure, Kind};
pub use idempotency_key::IdempotencyKey;
pub use ids::{ApiTokenId, InviteId, KeyId, LetterId, LinkId, PasskeyId, SessionId};
pub use invite::{Fate, Generation, Invite, InviteState};
pub use letter::{Delivery, DeliveryState, Handover, Letter, LetterKind, MailStop, Notice};
pub use link::{EmailEnd, Link, LinkPurpose};
pub use mailbox::Mailbox;
pub use member::{Member, MemberId, MemberView, Name, Standing, Status, Texts};
pub use network::Network;
pub use passkey::Passkey;
pub use policy_files::PolicyFiles;
pub use query::{EntityRef, Query, Value};
pub use revision::{Revision, Timestamp, Version};
pub use role::RoleId;
pub use sealed::Sealed;
pub use session::{Session, SessionLimits};
pub use token::{Token, TokenHash};
pub use two_step::{Factors, TwoStepNews};
