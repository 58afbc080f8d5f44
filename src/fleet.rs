//! The fleet: what the nodes of one team share beside the entries of their log.
//!
//! `configured_log` is where the log is; `key_cipher` seals with the keys that all nodes have; `node_reports`
//! is what each node says of itself. `snapshot_writer` keeps a node's file beside the log,
//! `snapshot_schedule` says when and removes what is old, `snapshot_reader` begins another node's file
//! with it. `log_erasure` removes from the log what was erased. Decides nothing about members.

pub mod configured_log;
pub mod key_cipher;
pub mod node_reports;

mod blocking_log_calls;

pub mod log_erasure;
pub mod snapshot_list;
mod snapshot_name;
pub mod snapshot_reader;
pub mod snapshot_schedule;
pub mod snapshot_writer;

pub use snapshot_name::SnapshotName;
