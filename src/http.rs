//! Sockets, requests and responses: the only server-side use of hyper.
//!
//! Knows no route and no service. Limits everything that a stranger could make large or slow.

mod bad_request_replies;
mod connection_activity;
mod connection_limit;
mod connections;
mod fast_path;
pub mod query_string;
pub mod request;
pub mod response;
pub mod server;

pub use connections::ConnectionBounds;
pub use fast_path::SmallRequest;
pub use hyper::body::Bytes;
pub use request::{Method, Peer, Request, SoleHeader, host_name, is_loopback};
pub use response::{AnswerHeaders, Reply, StreamPiece, status};
pub use server::{Listen, Listener, SOCKET_TAKEN, Server};
