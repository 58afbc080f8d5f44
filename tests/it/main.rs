//! The integration tests: one binary, one module for each topic.
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
    dead_code,
    missing_docs,
    reason = "a test that meets the unexpected should stop there and say so"
)]

mod admin_api;
mod api_fixture;
mod api_tokens;
mod api_users;
mod architecture;
mod asvs;
mod authzen_wire;
mod backup;
mod browser_tests;
mod caller_keys_file;
mod cli_json;
mod cli_mistakes;
mod cli_parse;
mod cli_people;
mod cli_waiting;
mod config;
mod connection_load;
mod console_pages;
mod console_read_pages;
mod crash;
mod damaged_data_folder;
mod delayed_mail;
mod directory;
mod docs;
mod erasure;
mod failing_storage;
mod fake_sidecar;
mod fake_smtp_server;
mod fixture;
mod http;
mod import;
mod invite_and_sign_in_rules;
mod mail;
mod management;
mod matrix;
mod numeric_limits;
mod oathtool;
mod openapi;
mod pagination;
mod passkeys;
mod policy_activation;
mod policy_folders;
mod postfix;
mod proxies;
mod readme;
mod record_format;
mod reload;
mod removal;
mod shutdown;
mod simulation;
mod startup;
mod store_file_faults;
mod store_suite;
mod support;
mod team_invariants;
mod team_journey;
mod two_step;
mod virtual_authenticator;
