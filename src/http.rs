//! Sockets, requests and responses: the only server-side use of hyper.
//!
//! Knows no route and no flow. Limits everything that a stranger could make large or slow.

mod at_once;
mod connection;
mod connections;
mod places;
pub mod query;
mod refusal;
pub mod request;
pub mod respond;
pub mod server;

pub use at_once::Small;
pub use connections::Bounds;
pub use hyper::body::Bytes;
pub use request::{Method, Peer, Request, Sole, host_name, is_loopback};
pub use respond::{Piece, Reply, Stamp, status};
pub use server::{Listen, Listener, Server};
