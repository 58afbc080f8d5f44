//! KWIC Team: who is on the team, and may this person do this, to this, now?
//!
//! One crate, one binary. Roles and permissions are Cedar policies in files; people are records in
//! a store; a decision reads memory only.
//!
//! # Layers
//!
//! A module imports floors **below** it, never beside or above it. Inside a folder imports form no
//! circle: no file leads back to itself over its neighbours. `tests/it/house.rs` reads the imports
//! and holds the house to this.
//!
//! | layer | modules | contents |
//! | --- | --- | --- |
//! | 9 | [`cli`] | the command line |
//! | 8 | [`serve`] | the composition root: open, wire, listen, drain |
//! | 7 | [`routes`] | the whole surface on one screen |
//! | 6 | [`authzen`] [`admin`] [`console`] | faces: JSON for services, JSON for programs, pages for people |
//! | 5 | [`browser_security`] | what a browser is held to, and what it is told |
//! | 4 | [`services`] | the verbs; the only floor where engine, directory, store and mail meet |
//! | 3 | [`app`] [`http`] [`gate`] | the handles a flow needs; sockets, requests, responses; a policy set, tried in a process of its own |
//! | 2 | [`engine`] [`policy_folder`] [`directory`] [`store`] [`keys`] [`mail`] [`password`] [`totp`] [`webauthn`] [`backup`] [`throttle`] [`cross_check`] [`telemetry`] | tools; none knows another |
//! | 1 | [`background`] [`config`] [`clock`] [`entropy`] [`file_limit`] [`socket_file`] | what the world is told, and what it tells us |
//! | 0 | [`domain`] [`sharded_counter`] | the words of the trade: no IO, no async, no serde, no Cedar, no HTTP; counts that no thread waits for |
//!
//! # One decision
//!
//! 1. `http::server` accepts a connection that has a slot. `http::fast_path` answers small requests
//!    between one read and one write, and leaves everything unusual to hyper.
//! 2. `routes::decision_fast_path`, or `routes::decision_full_path` with hyper, checks the path, the host and,
//!    if configured, the caller's key.
//! 3. `authzen::fast_parser` reads the usual body into a [`domain::Query`] in one pass. For any other,
//!    `authzen::strict_json` parses values without duplicate keys, and `authzen::full_parser` makes the query, or
//!    a 400 that names the key at fault.
//! 4. `services::decide` takes the live [`engine::Snapshot`] and the [`directory::Directory`]. From
//!    here to the answer nothing waits and nothing fails; any doubt is a deny (fails closed).
//! 5. `engine::decide` resolves subject, action and resource type by name. If only role, status and
//!    relation to the account can matter (`engine::cacheable_policies`), the decision may be in the cache
//!    (`engine::decision_cache`): then only the member's entry in `directory::member_index` is read.
//! 6. Otherwise `engine::entity_builder` builds the few entities that a condition can read,
//!    `engine::policy_slices` selects the policies that could apply, and `engine::evaluate` lets Cedar
//!    evaluate them.
//! 7. `authzen::evaluation` writes the answer, with the revision and the digest that it is based
//!    on. Requests for reasons run outside the decision threads, one at a time: there
//!    `engine::explain` evaluates variations of the query.
//!
//! # One removal
//!
//! 1. `cli::member` asks, and sends `DELETE` to `admin.sock`; `routes::admin` hands it over.
//! 2. `admin::members` reads the call; `services::permissions` makes the permit of the user who owns the socket,
//!    or asks the live policies about the member who is signed in.
//! 3. `services::members` runs the change in a task of its own, so that nobody can hang up on half
//!    of it, and calls the one transition, `store::redb::members`.
//! 4. `store::redb::invariants` holds what was judged against what is there: the last administrator
//!    stays. `store::redb::session_rows` and those beside it end sessions, links, invites and API
//!    tokens; `store::redb::change_transaction` writes the audit entry and takes the next revision, all in
//!    one durable transaction, then tells the feed.
//! 5. `services::directory_sync` applies the change to the directory, and lets the flow wait for it: only
//!    then does the caller get the receipt. From that answer on no decision says allow.
//!
//! # One invite
//!
//! 1. `routes::management` hands a call over; `browser` refuses what another site sent;
//!    `services::session_auth::authenticate` knows the person by the cookie; `admin::invites` reads the form.
//! 2. `services::invites::send` asks for the rights to invite and to give the role, derives the token
//!    with [`keys::Keys`], and keeps its hash: `store::redb::invites` writes invite, letter and
//!    audit entry in one transaction.
//! 3. `services::mail_delivery::deliver` claims the letter under a lease, renders it from current data, with
//!    the link in it, and [`mail::Mailer`] sends it. The result is written to the store.
//! 4. The invitee opens the link, which changes nothing, and posts token and password:
//!    `services::invites::accept` checks the password by `password::rules` and again whether the
//!    inviter may give the role, and creates the member in one transaction.
//! 5. `services::sign_in` begins a session; `services::decide` recognizes it as the member from then on.
//!
//! # One second factor
//!
//! 1. `services::sign_in` finds the password right and a factor in the store: no session, but a sealed
//!    `services::sign_in_ticket`, which nobody keeps.
//! 2. `services::step_up` opens the secret with [`keys::Keys`], finds the time step of the code with
//!    [`totp`], and counts what is wrong in [`throttle`] and in the store.
//! 3. `store::redb::second_factor` spends the code in the transaction that begins the session: the
//!    step must be later than the last one, the ticket of this round. Every way to a session, and
//!    every change of how somebody signs in, comes through there.
//!
//! # One reload
//!
//! 1. `policy_folder` notices a change, or a signal or a command requests a reload.
//! 2. `services::reload` reads the folder and passes it to [`gate`], which runs `engine::load` in a
//!    separate process, and then here, on its own thread at the priority of the process.
//! 3. The pointer to the live set is swapped; `engine::access_changes` finds who gains and who loses
//!    access; the set is saved as the last good one with its audit entry. A fault before the swap
//!    changes nothing.
//!
//! # Errors
//!
//! A [`domain::Failure`] has two messages, for the caller and for the log. Sentences begin in lower
//! case and have no full stop, put input in backticks, name no Rust type, and say what to do next.
//! There are three ways to fail: a `Failure` is a fault of the environment or the input, an
//! assertion is a bug, and any doubt about a decision is a deny.

pub mod domain;
pub mod sharded_counter;

pub mod background;
pub mod clock;
pub mod config;
pub mod entropy;
pub mod file_limit;
pub mod socket_file;

pub mod backup;
pub mod cross_check;
pub mod directory;
pub mod engine;
pub mod keys;
pub mod mail;
pub mod password;
pub mod policy_folder;
pub mod store;
pub mod telemetry;
pub mod throttle;
pub mod totp;
pub mod webauthn;

pub mod app;
pub mod gate;
pub mod http;

pub mod services;

pub mod browser_security;

pub mod admin;
pub mod authzen;
pub mod console;

pub mod routes;

pub mod serve;

pub mod cli;
