//! The domain types: member, role, query, decision, failure and so on.
//!
//! Pure values and pure functions. This layer does no IO, never waits, and does not depend on
//! serde, Cedar or HTTP: the types of wire formats, records and files are separate and live beside
//! their format.

pub mod access_query;
pub mod account;
pub mod api_token;
pub mod audit;
pub mod case_folding;
pub mod committed_change;
pub mod decision;
pub mod digest;
pub mod email;
pub mod escaped_text;
pub mod failure;
pub mod guard_outcomes;
pub mod idempotency_key;
pub mod ids;
pub mod input_cleanup;
mod invisible_characters;
pub mod invite;
pub mod ip_network;
pub mod key_inventory;
pub mod limits;
pub mod mailbox;
pub mod member;
pub mod one_time_link;
mod opaque_debug;
pub mod passkey;
mod plural;
pub mod policy_file_kind;
pub mod policy_files;
pub mod policy_history;
pub mod queued_mail;
mod random_id;
pub mod revision_and_timestamp;
pub mod role;
pub mod sealed_secret;
pub mod session;
pub mod spelling_suggestions;
mod text_id;
mod text_truncation;
pub mod token;
pub mod two_step;
mod worded_enum;

pub use access_query::{EntityRef, Query, Value};
pub use account::{Account, AccountSlug};
pub use api_token::ApiToken;
pub use audit::{Actor, AuditEntry, AuditEvent, FieldChange};
pub use committed_change::{Change, ChangedRecord, LoadedRecord};
pub use decision::{Decision, Reason};
pub use digest::Digest;
pub use email::Email;
pub use failure::{Failure, Kind};
pub use guard_outcomes::{GuardOutcome, GuardOutcomes, GuardState};
pub use idempotency_key::IdempotencyKey;
pub use ids::{ApiTokenId, ImportId, InviteId, KeyId, LinkId, MailId, PasskeyId, SessionId};
pub use invite::{Generation, Invite, InviteOutcome, InviteState};
pub use ip_network::IpNetwork;
pub use key_inventory::{KeyKind, KeyMark, KeysInUse};
pub use mailbox::Mailbox;
pub use member::{Member, MemberAccess, MemberId, MemberTexts, MemberView, Name, Status};
pub use one_time_link::{AddressSide, LinkPurpose, OneTimeLink};
pub(crate) use opaque_debug::opaque_debug;
pub use passkey::Passkey;
pub use plural::plural;
pub use policy_files::PolicyFiles;
pub use policy_history::{PolicyCause, PolicyEntry, PolicyOutcome, PolicyReport, PolicySetName};
pub use queued_mail::{
    Delivery, DeliveryNotice, DeliveryState, MailKind, MailStop, QueuedMail, SendOutcome,
};
pub use revision_and_timestamp::{Revision, Timestamp, Version};
pub use role::RoleId;
pub use sealed_secret::Sealed;
pub use session::{Session, SessionLimits};
pub use token::{Token, TokenHash};
pub use two_step::{Factors, TwoStepEvent};
pub(crate) use worded_enum::worded;
