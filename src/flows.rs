//! The use cases: everything that a service, an administrator or the operator of the sidecar can
//! do.
//!
//! The only layer where engine, directory, store and mail meet. A flow that changes something takes
//! a permit by value, runs one transaction, and returns once decisions see the change. Flows know
//! nothing of sockets and status codes.

pub mod accounts;
pub mod again;
pub mod api_tokens;
pub mod audit;
pub mod backup;
pub mod callers;
pub mod check;
pub mod cross_check;
pub mod decide;
pub mod events;
pub mod export;
pub mod import;
pub mod invites;
pub mod letters;
pub mod locks;
pub mod me;
pub mod members;
mod orphaned_invites;
pub mod passkeys;
pub mod passwords;
pub mod permit;
pub mod personal;
pub mod refresh;
pub mod reload;
pub mod review;
pub mod sessions;
pub mod set_up;
pub mod sign_in;
pub mod start;
pub mod step_up;
pub mod ticket;
pub mod two_step;
pub mod warnings;

pub mod roles;
mod whole;
