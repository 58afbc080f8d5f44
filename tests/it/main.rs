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
mod api_tokens;
mod asvs;
mod authzen_wire;
mod backup;
mod cli_json;
mod cli_mistakes;
mod cli_parse;
mod cli_people;
mod cli_waiting;
mod config;
mod console;
mod console_insight;
mod console_pages;
mod crash;
mod crowd;
mod device;
mod directory;
mod disk;
mod docs;
mod erasure;
mod going_live;
mod guards;
mod house;
mod http;
mod import;
mod joining;
mod keys_file;
mod lists;
mod made_up;
mod mail;
mod management;
mod matrix;
mod numbers;
mod oathtool;
mod openapi;
mod pages;
mod passkeys;
mod people;
mod policy_folders;
mod postfix;
mod proxies;
mod readme;
mod records;
mod reload;
mod removal;
mod running;
mod simulation;
mod smtp;
mod stage;
mod stopping;
mod store_file;
mod store_states;
mod store_suite;
mod stuck_mail;
mod support;
mod team;
mod two_step;
