//! The use cases: everything that a service, an administrator or the operator of the sidecar can
//! do.
//!
//! The only layer where engine, directory, store and mail meet. A flow that changes something takes
//! a permit by value, runs one transaction, and returns once decisions see the change. Flows know
//! nothing of sockets and status codes.
//!
//! A flow uses only what is below it in this list, or beside it without a circle:
//!
//! 1. `accounts`, `set_up`, `import`, `export`, `personal`, `member_changes`, and whatever uses several flows;
//! 2. `invites`, `letters`, `sessions`, `api_tokens`, `passwords`, `two_step`: a flow of each thing;
//! 3. `decide`, `members`, `sign_in`;
//! 4. `permit`, the proof that a caller may do it; `passkeys`;
//! 5. `caller`: who calls; `step_up` and `ticket`, by which somebody shows who it is;
//! 6. `session_auth` and `token_auth`, which know a caller by a token;
//! 7. `rights`, judged by the live policies in `world`;
//! 8. `links`, `outbox`, `sign_in_log_lines`, `lookup`, `client_info`, `roles`, `refresh`: what all share.

pub mod access_review;
mod account_and_inviter;
pub mod accounts;
pub mod api_tokens;
pub mod audit;
pub mod background_retries;
pub mod backup;
pub mod caller;
pub mod caller_keys;
pub mod client_info;
pub mod cross_check;
pub mod decide;
pub mod directory_sync;
pub mod events;
pub mod export;
pub mod import;
pub mod integrity_check;
pub mod invites;
mod links;
pub mod mail_delivery;
pub mod member_changes;
pub mod members;
pub mod operator_warnings;
mod orphaned_invites;
mod outbox;
pub mod own_membership;
pub mod passkeys;
pub mod passwords;
pub mod permissions;
pub mod personal_data;
pub mod reload;
pub mod rights;
pub mod session_auth;
pub mod sessions;
pub mod set_up;
pub mod sign_in;
pub mod sign_in_locks;
mod sign_in_log_lines;
pub mod sign_in_ticket;
pub mod startup_policies;
pub mod step_up;
pub mod token_auth;
pub mod two_step;

mod detached;
pub mod roles;
