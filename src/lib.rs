//! KWIC Team: who is on the team, and may this person do this, to this, now?
//!
//! One crate, one binary. Roles and permissions are Cedar policies in files; people are records
//! in a store; a decision reads memory only.
//!
//! # Floors
//!
//! A module imports floors **below** it, never beside or above it; inside its own folder it is
//! free. `tests/it/house.rs` reads the imports and holds the house to this.
//!
//! | floor | modules | what lives there |
//! | --- | --- | --- |
//! | 8 | [`cli`] | the commands a person types |
//! | 7 | [`serve`] | the composition root: open, wire, listen, drain |
//! | 6 | [`routes`] | the whole surface on one screen |
//! | 5 | [`authzen`] [`admin`] | faces: JSON for services, JSON for programs |
//! | 4 | [`flows`] | the verbs; the only floor where engine, directory and store meet |
//! | 3 | [`app`] [`http`] | the handles a flow needs; sockets, requests, responses |
//! | 2 | [`engine`] [`policy_folder`] [`directory`] [`store`] [`telemetry`] | tools; none knows another |
//! | 1 | [`background`] [`config`] [`clock`] [`entropy`] | what the world is told, and what it tells us |
//! | 0 | [`domain`] | the words of the trade: no IO, no async, no serde, no Cedar, no HTTP |

pub mod domain;

pub mod background;
pub mod clock;
pub mod config;
pub mod entropy;

pub mod directory;
pub mod engine;
pub mod policy_folder;
pub mod store;
pub mod telemetry;

pub mod app;
pub mod http;

pub mod flows;

pub mod admin;
pub mod authzen;

pub mod routes;

pub mod serve;

pub mod cli;
