//! The quick integration tests: one module for each topic.
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

mod api_tokens;
mod architecture;
mod asvs;
mod authzen_conformance;
mod authzen_plan;
mod authzen_search;
mod authzen_wire;
mod backup;
mod built_in_matrix;
mod caller_keys_file;
mod cli_json;
mod cli_mistakes;
mod cli_people;
mod cli_waiting;
mod cli_with_fake_sidecar;
mod config;
mod connection_load;
mod console_pages;
mod console_policies;
mod console_read_pages;
mod damaged_data_folder;
mod directory;
mod docs;
mod erasure;
mod extreme_numbers;
mod fleet_commands;
mod fleet_erasure;
mod fleet_files;
mod fleet_follow;
mod fleet_in_trouble;
mod fleet_of_sidecars;
mod fleet_policies;
mod fleet_snapshots;
mod fleet_upgrade;
mod http;
mod import_file_formats;
mod invites_sessions_passwords;
mod last_administrator_and_own_role;
mod letters_of_a_fleet;
mod management_api_in_browsers;
mod management_socket;
mod oathtool;
mod pagination;
mod passkeys;
mod policy_activation;
mod policy_approval;
mod policy_diff;
mod policy_folders;
mod policy_history;
mod policy_prove;
mod policy_rollback;
mod policy_shadow;
mod postgres_log;
mod readme;
mod readme_fleet;
mod record_format;
mod reload;
mod removal;
mod reverse_proxies;
mod shared_log;
mod shared_log_encryption;
mod shutdown;
mod smtp_client;
mod staged_import;
mod startup;
mod store_file_faults;
mod store_suite;
mod stuck_mail_warnings;
mod team_journey;
mod two_step;
mod who_may;

#[path = "../support"]
mod support {
    pub mod api_fixture;
    pub mod api_users;
    pub mod decision_listener;
    #[expect(dead_code, reason = "the long tests use the rest of it")]
    pub mod etcd_cluster;
    #[expect(dead_code, reason = "the crash tests use the rest of it")]
    pub mod failing_storage;
    pub mod fake_sidecar;
    pub mod first_layout_store;
    pub mod fixture;
    pub mod fleet_fixture;
    pub mod in_process_log;
    pub mod log_nodes;
    pub mod peer_proxy;
    pub mod postgres_server;
    pub mod scripted_smtp_server;
    pub mod sidecar;
    pub mod store_fixture;
    pub mod tcp_proxy;
    pub mod virtual_authenticator;
}
