//! KWIC Team: who is on the team, and may this person do this, to this, now?
//!
//! One crate, one binary. Roles and permissions are Cedar policies in files; people are records in
//! a store; a decision reads memory only.
//!
//! # Layers
//!
//! A module imports layers **below** it, never beside or above it. Inside a folder imports form no
//! circle: no file leads back to itself over its neighbours. `tests/it/architecture.rs` reads the
//! imports and checks both.
//!
//! | layer | modules | contents |
//! | --- | --- | --- |
//! | 9 | [`cli`] | the command line |
//! | 8 | [`serve`] | the composition root: open, wire, listen, drain |
//! | 7 | [`routes`] | the routing table of every listener, and who may call the decision listener |
//! | 6 | [`authzen`] [`admin`] [`console`] | the interfaces: JSON for services, JSON for programs, pages for people |
//! | 5 | [`browser_security`] | host, origin, cookie and headers of requests by browsers |
//! | 4 | [`services`] | the use cases; the only layer where engine, directory, store and mail meet |
//! | 3 | [`app`] [`http`] [`gate`] [`fleet`] | the handles that a use case needs; sockets, requests, responses; a policy set, tried in a process of its own; what the nodes of a fleet share |
//! | 2 | [`engine`] [`policy_folder`] [`directory`] [`store`] [`keys`] [`mail`] [`password`] [`totp`] [`webauthn`] [`backup`] [`throttle`] [`cross_check`] [`staleness`] [`telemetry`] | tools; none knows another |
//! | 1 | [`background`] [`config`] [`clock`] [`entropy`] [`file_limit`] [`file_lock`] [`socket_file`] [`tls_authorities`] | the environment: threads, configuration, time, files, trust |
//! | 0 | [`domain`] [`percent_encoding`] [`sharded_counter`] | the types of the domain: no IO, no async, no serde, no Cedar, no HTTP; an encoding; a counter without a lock |
//!
//! # One decision
//!
//! What is in brackets is a detail in a file of its own. The socket is that of the decision listener;
//! `admin.sock` answers decisions, too, through `routes::admin` and hyper.
//!
//! 1. `http::fast_path` answers small requests that are complete in the buffer, and leaves all others, with
//!    the rest of their connection, to hyper. (`http::server` has accepted the connection.)
//! 2. `routes` finds the path, and checks the host (not on a unix socket) and, if keys are configured, the
//!    caller's key: its function `decision_fast_path`, which leaves a request at fault to hyper, or
//!    `decision_full_path` behind hyper, which says what is wrong.
//! 3. `authzen::evaluation`, on both paths by its function `answer`, takes the live [`engine::Snapshot`] and the
//!    revision of the data, makes a [`domain::Query`] of the body, and denies everything where the node is
//!    stale and is configured to deny then. (`authzen::fast_parser` reads the usual body in one pass;
//!    `full_parser` reads any other, or answers a 400 that names the key at fault. `staleness` knows how old the
//!    node's data is.)
//! 4. `services::decide` adds the [`directory::Directory`] as the engine's members. From here to the answer
//!    nothing waits and nothing fails; any doubt is a deny (fails closed). `services::trusted_evaluation`
//!    asks the engine, or Cedar over the whole set once a cross-check has found the engine wrong.
//!    (`services::session_auth` knows the member of a session token. Samples go into the queues
//!    `cross_check` and `app::shadow`, which tasks of the same names in `services` read.)
//! 5. `engine::decide` resolves subject, action and resource type by name, and looks up role, account and
//!    status of the member in memory. What is not found is a deny. (`directory::member_index` has them.)
//! 6. `engine::decision_cache` has the decision, if role, status and the resource's relation to the member's
//!    account decide alone, and it was asked before. Otherwise the member's whole entry is read
//!    from the directory.
//! 7. Of all policies, those are evaluated that could apply: the slices of `engine::evaluate`, built when the
//!    policies were loaded. (`engine::policy_slices` builds them.) What may be cached is evaluated once,
//!    by Cedar. Every other decision about a member is made by `engine::compiled_decision`, which
//!    evaluates each `compiled_condition` on `engine::query_facts`. Cedar evaluates what is not compiled
//!    (`engine::left_to_cedar`), and everything where a fact is not certain. A `forbid` that cannot be
//!    evaluated denies. (`engine::entity_builder` builds the few entities that Cedar is given.)
//! 8. `authzen::evaluation` stamps the answer with the revision and the digest that it is based on.
//!    `http::response` writes its bytes.
//!
//! Requests for reasons run outside the decision threads, one at a time: there `engine::explain`
//! evaluates variations of the query.
//!
//! # One removal
//!
//! 1. `cli::member` asks, and sends `DELETE` to `admin.sock`; `routes::admin` hands it over.
//! 2. `admin::members` reads the call; `services::permissions` makes the permit of the user who owns the socket,
//!    or asks the live policies about the member who is signed in.
//! 3. `services::members` runs the change in a task of its own, so that nobody can hang up on half
//!    of it, and calls the one transition, `store::redb::members`.
//! 4. `store::redb::invariants` compares what was judged with what is there: the last administrator
//!    stays. `store::redb::session_rows` and those beside it end sessions, links, invites and API
//!    tokens; `store::redb::change_transaction` adds the audit entry and the next revision, and
//!    `store::redb::group_commit` writes all of it in one durable transaction, then tells the feed.
//! 5. `services::directory_sync` applies the change to the directory, and lets the service wait for it: only
//!    then does the caller get the receipt. From that answer on no decision says allow.
//!
//! # One invite
//!
//! From the console; `admin::invites` is the same call for programs. Details are in brackets.
//!
//! 1. `console::route` finds the page for the path in its table, and has `browser_security` refuse a foreign host and what another
//!    site sent. `console::invite_form` makes an invitation of the form, with the form's idempotency key: a
//!    second click makes no second invite. (`console::page_request` reads the form, and knows the member by
//!    the cookie and `services::session_auth`.)
//! 2. `services::invites`: `send`, in a task of its own, so that nobody can hang up on half of it, keeps the
//!    role from being removed by a reload meanwhile (`services::roles` has the lock), and has
//!    `services::permissions` ask the live policies for the rights to invite and to give the role.
//!    `services::links` derives the token, of which only the hash is kept, and draws the message id of the
//!    letter, whose text is written at delivery. (Which rights there are is in `services::rights`.)
//! 3. `store::redb::invites` writes invite, link and audit entry, and with `store::redb::letter_rows` the
//!    letter, in one transaction. If the form's key was used before, it answers the invite made then
//!    (`store::redb::idempotency`). It refuses if the address is taken, a rate limit is reached
//!    (`store::redb::rate_limits`), or the inviter has changed since the check (`store::redb::invariants`); in the
//!    last case `services::permissions` checks and tries again, once. (`store::redb::group_commit` writes the transactions that wait at
//!    the same time in one commit; then the feed tells what has changed, and `services::directory_sync`
//!    waits until the directory has it.)
//! 4. `services::mail_delivery` is woken by the feed or when a letter is due. `store::redb::mail_claims` gives it
//!    the letter under a lease, and takes the result if the lease is still held. A letter whose invite is no
//!    longer open, or has a newer link, is dropped; for any other `services::links` derives the token
//!    again, and [`mail::Mailer`] sends it: `mail::message` writes it, `mail::smtp` hands its bytes to the mail
//!    server.
//!
//! Then the invitee accepts:
//!
//! 1. The link has the token behind `#`, which no browser sends. `console::accept_invitation` gets it in a form,
//!    shows the invitation, which changes nothing, and takes the password.
//! 2. `services::invites::accept` checks the password (`services::passwords`, by `password::rules`), hashes it,
//!    and checks again whether the inviter may give the role. `store::redb::invites` creates the member and
//!    ends the invite in one transaction.
//! 3. `services::sign_in` begins a session, unless a second factor comes first; `store::redb::sessions` writes
//!    it. `services::session_auth` recognizes it from then on, for the console and as the subject of decisions.
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
//!    `engine::guards` checks the guards on cases, and `engine::guard_proof` proves them with the solver of
//!    `gate::solver_process`.
//! 3. The pointer to the live set is swapped; `engine::access_changes` finds who gains and who loses
//!    access; the set is saved as the last good one, with its entry in the history and its audit entry.
//!    A fault before the swap changes nothing. With `policies.hold_widening` the comparison comes first,
//!    and a set by which somebody gains access waits for `services::policy_approval`.
//! 4. `services::policy_rollback` puts a former set through the same gate, and
//!    `policy_folder::folder_exchange` gives the folder its content in one step.
//! 5. In a fleet with `policies.source = "fleet"`, `services::policy_publish` writes a set to
//!    `store::redb::publications`, the log brings it to every node, and each reloads from there.
//!
//! # Errors
//!
//! A [`domain::Failure`] has two messages, for the caller and for the log. Sentences begin in lower
//! case and have no full stop, put input in backticks, name no Rust type, and say what to do next.
//! There are three ways to fail: a `Failure` is a fault of the environment or the input, an
//! assertion is a bug, and any doubt about a decision is a deny.

pub mod domain;
pub mod percent_encoding;
pub mod sharded_counter;

pub mod background;
pub mod clock;
pub mod config;
pub mod entropy;
pub mod file_limit;
pub mod file_lock;
pub mod socket_file;
pub mod tls_authorities;

pub mod backup;
pub mod cross_check;
pub mod directory;
pub mod engine;
pub mod keys;
pub mod mail;
pub mod password;
pub mod policy_folder;
pub mod staleness;
pub mod store;
pub mod telemetry;
pub mod throttle;
pub mod totp;
pub mod webauthn;

pub mod app;
pub mod fleet;
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
