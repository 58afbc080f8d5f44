//! The long integration tests: browser, mail server, etcd, simulation, crashes, chaos and generated API
//! calls.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::disallowed_methods,
    clippy::allow_attributes,
    clippy::large_futures,
    unreachable_pub,
    missing_docs,
    reason = "a test that meets the unexpected should stop there and say so"
)]

mod browser_tests;
mod chaos;
mod check_time_limit;
mod crash;
mod etcd_log;
mod fleet_simulation;
mod openapi;
mod postfix;
mod simulation;

#[expect(dead_code, reason = "the quick tests use the rest of it")]
#[path = "../support"]
mod support {
    pub mod api_fixture;
    pub mod api_users;
    pub mod etcd_cluster;
    pub mod failing_storage;
    pub mod first_layout_store;
    pub mod fixture;
    pub mod fleet_fixture;
    pub mod in_process_log;
    pub mod peer_proxy;
    pub mod postgres_server;
    pub mod scripted_smtp_server;
    pub mod sidecar;
    pub mod store_fixture;
    pub mod tcp_proxy;
    pub mod virtual_authenticator;
}
