//! The use cases: everything that a service, an administrator or the operator of the sidecar can
//! do.
//!
//! The only layer where engine, directory, store and mail meet. A service that changes something
//! takes a permit by value, runs one transaction, and returns once decisions see the change. Services
//! know nothing of sockets and status codes.
//!
//! A service uses only those below it in this list:
//!
//! 1. `set_up`, then `accounts`, `bulk_member_changes`, `personal_data` and `who_may`, which use several
//!    others;
//! 2. `invites`, `search_token`, `sessions`, `store_and_key_checks`, `fleet_key_activation`, `policy_comparison` and
//!    `policy_rollback`;
//! 3. `api_tokens`, `passwords`, `two_step`, `members_locked_out`, `cross_check`, `shadow`,
//!    `startup_policies`, `policy_approval`, `policy_history`, `policy_reload_loops`, `fleet_follow`
//!    and `fleet_snapshots`;
//! 4. `policy_publish`;
//! 5. `decide`, `access_search`, `plan`, `members`, `own_profile`, `sign_in`, `reload`, `mail_delivery`,
//!    `export`, `audit`, `access_review`, `backup`, `member_event_stream` and `fleet_erasure`;
//! 6. `fleet_status`;
//! 7. `operator_warnings`;
//! 8. `permits`, the proof that a caller may do it; `passkeys`; `import`;
//! 9. `caller`: who calls; `step_up`, by which somebody shows who it is;
//! 10. `token_auth`, `notice_letters`, `sign_in_log_lines`, `detached_changes`;
//! 11. what all share: `session_auth`, `rights`, `roles`, `links`, `client_info`, `directory_sync`,
//!     `account_and_inviter`, `sign_in_ticket`, `caller_keys`, `invites_without_role`;
//! 12. `cross_check_fallback`.

pub mod access_review;
pub mod access_search;
mod account_and_inviter;
pub mod accounts;
pub mod api_tokens;
pub mod audit;
pub mod backup;
pub mod bulk_member_changes;
pub mod caller;
pub mod caller_keys;
pub mod client_info;
pub mod cross_check;
mod cross_check_fallback;
pub mod decide;
mod detached_changes;
pub mod directory_sync;
pub mod export;
pub mod fleet_erasure;
pub mod fleet_follow;
pub mod fleet_key_activation;
pub mod fleet_snapshots;
pub mod fleet_status;
pub mod import;
pub mod invites;
mod invites_without_role;
mod links;
pub mod mail_delivery;
pub mod member_event_stream;
pub mod members;
pub mod members_locked_out;
mod notice_letters;
pub mod operator_warnings;
pub mod own_profile;
pub mod passkeys;
pub mod passwords;
pub mod permits;
pub mod personal_data;
pub mod plan;
pub mod policy_approval;
pub mod policy_comparison;
pub mod policy_history;
pub mod policy_publish;
pub mod policy_reload_loops;
pub mod policy_rollback;
pub mod reload;
pub mod rights;
pub mod roles;
pub mod search_token;
pub mod session_auth;
pub mod sessions;
pub mod set_up;
pub mod shadow;
pub mod sign_in;
mod sign_in_log_lines;
pub mod sign_in_ticket;
pub mod startup_policies;
pub mod step_up;
pub mod store_and_key_checks;
pub mod token_auth;
pub mod two_step;
pub mod who_may;
