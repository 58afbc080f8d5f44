//! The API for services: the OpenID AuthZEN Authorization API 1.0, JSON over HTTP.
//!
//! Parses bodies into queries and renders decisions. Decides nothing. Of a member it reveals only
//! what forward-auth and searches document. `crate::routes` says which path leads to which function.

mod evaluation;
mod fast_parser;
mod forward_auth;
mod health;
mod metadata;
mod metrics;
mod plan;
mod request_reader;
mod search;
mod strict_json;

pub use evaluation::{answer, answer_batch, answer_batch_fast, evaluation, evaluations};
pub use forward_auth::forward_auth;
pub use health::{checked, livez, readyz};
pub use metadata::metadata;
pub use metrics::metrics;
pub use plan::plan;
pub use search::search;
