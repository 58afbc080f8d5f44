//! KWIC Team: who is on the team, and may this person do this, to this, now?
//!
//! One crate, one binary. Roles and permissions are Cedar policies in files; people are records in
//! a store; a decision reads memory only.
//!
//! # Layers
//!
//! A module imports only layers **below** it, never the same one or one above; inside its own
//! folder it is free. `tests/it/house.rs` reads the imports and enforces this.
//!
//! | layer | modules | contents |
//! | --- | --- | --- |
//! | 9 | [`cli`] | the command line |
//! | 8 | [`serve`] | the composition root: open, wire, listen, drain |
//! | 7 | [`routes`] | the routing table |
//! | 6 | [`authzen`] [`admin`] [`console`] | the interfaces: JSON for services, JSON for programs, pages for people |
//! | 5 | [`browser`] | HTTP security for browsers |
//! | 4 | [`flows`] | the use cases; the only layer where engine, directory, store and mail meet |
//! | 3 | [`app`] [`http`] [`gate`] | the shared state of flows; sockets, requests, responses; the process that checks a policy set |
//! | 2 | [`engine`] [`policy_folder`] [`directory`] [`store`] [`keys`] [`mail`] [`password`] [`authenticator`] [`passkeys`] [`backup`] [`throttle`] [`cross_check`] [`telemetry`] | independent components |
//! | 1 | [`background`] [`config`] [`clock`] [`entropy`] [`open_files`] [`socket_file`] | the environment: threads, configuration, time, randomness, files |
//! | 0 | [`domain`] [`tally`] [`asvs`] | domain types: no IO, no async, no serde, no Cedar, no HTTP; per-thread counters; a table of tests by OWASP ASVS |
//!
//! # One decision
//!
//! 1. `http::server` accepts a connection that has a slot. `http::at_once` answers small requests
//!    between one read and one write, and leaves everything unusual to hyper.
//! 2. `routes::decision_at_once`, or `routes::decision` with hyper, checks the path, the host and,
//!    if configured, the caller's key.
//! 3. `authzen::plain` reads the usual body into a [`domain::Query`] in one pass. For any other,
//!    `authzen::json` parses values without duplicate keys, and `authzen::wire` makes the query, or
//!    a 400 that names the key at fault.
//! 4. `flows::decide` takes the live [`engine::Snapshot`] and the [`directory::Directory`]. From
//!    here to the answer nothing waits and nothing fails; any doubt is a deny (fails closed).
//! 5. `engine::decide` resolves subject, action and resource type by name. If only role, status and
//!    relation to the account can matter (`engine::determined`), the decision may be in the cache
//!    (`engine::memory`): then only the member's entry in `directory::standings` is read.
//! 6. Otherwise `engine::gather` builds the few entities that a condition can read,
//!    `engine::slices` selects the policies that could apply, and `engine::evaluate` lets Cedar
//!    evaluate them.
//! 7. `authzen::evaluation` writes the answer, with the revision and the digest that it is based
//!    on. Requests for reasons run outside the decision threads, one at a time: there
//!    `engine::explain` evaluates variations of the query.
//!
//! # One removal
//!
//! 1. `cli::member` asks for confirmation, and sends `DELETE` to `admin.sock`; `routes::admin`
//!    dispatches it.
//! 2. `admin::members` reads the call; `flows::permit` makes the permit of the socket's owner, or
//!    asks the live policies about the signed-in member.
//! 3. `flows::members` runs the change in a detached task, so that a disconnect cannot interrupt
//!    it, and calls the one transaction, `store::redb::members`.
//! 4. `store::redb::guards` checks the preconditions again: the last administrator stays.
//!    `store::redb::leaving` ends sessions, links and invites; `store::redb::transition` writes the
//!    audit entry and takes the next revision, all in one durable transaction, and then publishes
//!    the change to the feed.
//! 5. `flows::refresh` applies the change to the directory, and lets the flow wait for it; then the
//!    caller gets the response. From that response on no decision says allow.
//!
//! # One invite
//!
//! 1. `routes::management` dispatches a call; `browser` refuses cross-site requests;
//!    `flows::sessions::authenticate` identifies the member by the cookie; `admin::invites` reads
//!    the form.
//! 2. `flows::invites::send` checks the rights to invite and to give the role, derives the token
//!    with [`keys::Keys`], and keeps its hash: `store::redb::invites` writes invite, letter and
//!    audit entry in one transaction.
//! 3. `flows::letters::deliver` claims the letter under a lease, renders it from current data, with
//!    the link in it, and [`mail::Mailer`] sends it. The result is written to the store.
//! 4. The invitee opens the link, which changes nothing, and posts token and password:
//!    `flows::invites::accept` checks the password by `password::rules` and again whether the
//!    inviter may give the role, and creates the member in one transaction.
//! 5. `flows::sign_in` begins a session; `flows::decide` recognizes it as the member from then on.
//!
//! # One second factor
//!
//! 1. `flows::sign_in` finds that the password is correct and that the member has a second factor:
//!    it returns no session, but an encrypted `flows::ticket`, which is not stored.
//! 2. `flows::step_up` decrypts the secret with [`keys::Keys`], finds the time step of the code
//!    with [`authenticator`], and counts failures in [`throttle`] and in the store.
//! 3. `store::redb::two_step` consumes the code in the transaction that begins the session: its
//!    step must be later than the last one used, and the ticket must be the current one. Everything
//!    that begins a session or changes how a member signs in goes through there.
//!
//! # One reload
//!
//! 1. `policy_folder` notices a change, or a signal or a command requests a reload.
//! 2. `flows::reload` reads the folder and passes it to [`gate`], which runs `engine::load` in a
//!    separate process, and then here, on its own thread at the priority of the process.
//! 3. The pointer to the live set is swapped; `engine::changes` finds who gains and who loses
//!    access; the set is saved as the last good one with its audit entry. A fault before the swap
//!    changes nothing.
//!
//! # Errors
//!
//! A [`domain::Failure`] has two messages, for the caller and for the log. Sentences begin in lower
//! case and have no full stop, put input in backticks, name no Rust type, and say what to do next.
//! There are three ways to fail: a `Failure` is a fault of the environment or the input, an
//! assertion is a bug, and any doubt about a decision is a deny.

pub mod asvs;
pub mod domain;
pub mod tally;

pub mod background;
pub mod clock;
pub mod config;
pub mod entropy;
pub mod open_files;
pub mod socket_file;

pub mod authenticator;
pub mod backup;
pub mod cross_check;
pub mod directory;
pub mod engine;
pub mod keys;
pub mod mail;
pub mod passkeys;
pub mod password;
pub mod policy_folder;
pub mod store;
pub mod telemetry;
pub mod throttle;

pub mod app;
pub mod gate;
pub mod http;

pub mod flows;

pub mod browser;

pub mod admin;
pub mod authzen;
pub mod console;

pub mod routes;

pub mod serve;

pub mod cli;
