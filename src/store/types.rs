//! What callers of the store bring and get: requests, and views of records. The methods of the store
//! are in `redb`, one file for each kind of thing.

pub mod api_tokens;
pub mod backup;
pub mod invites;
pub mod mail_queue;
pub mod one_time_links;
pub mod passkeys;
pub mod personal_data;
pub mod sessions;
pub mod two_step;
