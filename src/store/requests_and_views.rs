//! What callers of the store bring and get: requests, and views of records. The methods of the store
//! are in `redb`, one file for each kind of thing.

pub mod accounts;
pub mod api_tokens;
pub mod audit;
pub mod invites;
pub mod mail_queue;
pub mod members;
pub mod one_time_links;
pub mod passkeys;
pub mod personal_data;
pub mod policies;
pub mod restore_and_erasure_state;
pub mod sessions;
pub mod two_step;

use crate::domain::Revision;

/// A durable change: its revision and its result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed<T> {
    /// The revision of the change.
    pub revision: Revision,
    /// The record after the change.
    pub value: T,
}

/// One page of a list, and where the next begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The items, in order.
    pub items: Vec<T>,
    /// Opaque; `None` at the end.
    pub next: Option<String>,
}
