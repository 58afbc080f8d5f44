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
//! | 2 | [`engine`] [`policy_folder`] [`directory`] [`store`] [`keys`] [`mail`] [`password`] [`totp`] [`webauthn`] [`backup`] [`throttle`] [`cross_check_queue`] [`staleness`] [`telemetry`] | tools; none knows another |
//! | 1 | [`background`] [`config`] [`clock`] [`entropy`] [`open_file_limit`] [`file_lock`] [`own_socket_file`] [`tls_authorities`] | the environment: threads, configuration, time, files, trust |
//! | 0 | [`domain`] [`percent_encoding`] [`sharded_counter`] | the types of the domain: no IO, no async, no serde, no Cedar, no HTTP; an encoding; a counter without a lock |
//!
//! # One decision
//!
//! The files of the numbered steps are enough to follow a decision, in this order. Where to find the details
//! is said after them. This is the decision listener; `admin.sock` answers decisions, too, through
//! `routes::admin` and hyper.
//!
//! 1. `http::fast_path` reads the connection. It answers a `POST` of JSON that fits into its buffer of 4 KiB
//!    and has none but the headers of its list. Any other request, with the rest of its connection, goes to
//!    hyper.
//! 2. `routes` checks path, size, host (not on a unix socket) and, if keys are configured, the caller's key,
//!    in `decision_fast_path`. What that does not answer, such as a fault or a request for reasons, goes to
//!    hyper and `decision_full_path`, which checks the same.
//! 3. `authzen::evaluation` has one function for both paths: `answer`. It takes the live [`engine::Snapshot`]
//!    and the revision of the data, and reads the body as a [`domain::Query`]. A body that cannot be read is
//!    a 400, never a deny. In a fleet, a node whose data is too old denies everything here, if it is
//!    configured to. (Behind hyper a request can wait for a revision first, with `x-kwic-at-least`.)
//! 4. `services::decide` finds the member of a session token, and calls `Snapshot::decide` of the engine
//!    (through `evaluate_trusted`, which has Cedar decide over the whole set once a cross-check has found the
//!    engine wrong). From here to the answer nothing waits and nothing fails; any doubt is a deny (fails
//!    closed).
//! 5. `engine::decide` looks for a cached decision first, by what an index in memory knows of the member:
//!    account, role and status, which never come from the body. Else `judge` goes on with the member's full
//!    record. An unknown member, action or type is a deny. For a subject of another type that is in
//!    `entities.json`, go on at step 9.
//! 6. `engine::decision_cache` can answer where nothing but role, status and the relation of the resource to
//!    the member's account (own, another, none) matters. `judge` has Cedar decide the first query of such a
//!    kind, and keeps the decision, unless a policy errs. Suspension is such a status: the `forbid` in
//!    `policies/rules/suspension.cedar` refuses a member who is suspended.
//! 7. `engine::compiled_decision` makes every other decision about a member, if its facts are certain: if
//!    the body conforms to the schema, the resource is neither a member nor in `entities.json`, and none of
//!    the rare cases is there that `QueryFacts::read` lists. It evaluates the compiled policies that could
//!    apply, by role, principal and resource.
//! 8. `engine::compiled_condition`: `matches` tries scope and conditions of a policy; its submodule
//!    `evaluator` evaluates a condition. `engine::compiled_condition_inputs` gives it the values: what the
//!    store knows of a member never comes from the body. An attribute that is missing makes the policy err: a
//!    `permit` that errs does not permit, a `forbid` that errs denies. Cedar evaluates an operand
//!    that is not compiled (`OperandEvaluation` in `compiled_decision`).
//! 9. `engine::evaluate` has the slices, that is the policies that could apply. By them Cedar evaluates
//!    policies that are not compiled, what is to be cached, and everything where a fact is not certain. For
//!    that, `Snapshot::evaluate` in `engine::decide` builds the entities first, and denies if the body does
//!    not conform.
//! 10. `authzen::evaluation` stamps the answer with the revision and the digest that it is based on. The fast
//!     path writes its bytes; elsewhere hyper does.
//!
//! Details: `http::server` accepts connections. `authzen::fast_parser` reads the usual body in one pass,
//! `request_reader` any other, and names the key at fault. `services::session_auth` knows session tokens, and
//! those of a suspended member no longer. `staleness` knows how old the node's data is. Samples for the
//! cross-check, and for shadow policies, go into the queues of `cross_check_queue` and `app::shadow`.
//! `directory::member_index` is the index of step 5. At load, `engine::cacheable_policies` says by syntax
//! which policies let step 6 decide, `engine::policy_slices` builds slices and caches, and
//! `engine::compiled_condition::compiler` compiles; `left_to_cedar` is the form of an operand that is not
//! compiled. `engine::entity_builder` builds the few entities that Cedar is given,
//! `services::cross_check_fallback` is 24 lines between step 4 and 5.
//!
//! Requests for reasons run outside the decision threads, one at a time: there `engine::explain` evaluates
//! variations of the query.
//!
//! # One removal
//!
//! 1. `cli::member` asks, and sends `DELETE` to `admin.sock`; `routes::admin` hands it over.
//! 2. `admin::members` reads the call; `services::permits` makes the permit of the user who owns the socket,
//!    or asks the live policies about the member who is signed in.
//! 3. `services::members` runs the change in a task of its own, so that nobody can hang up on half
//!    of it, and calls the one transition, `store::redb::members`.
//! 4. `store::redb::invariants` compares what was judged with what is there: the last administrator
//!    stays. `store::redb::session_rows` and those beside it end sessions, links, invites and API
//!    tokens; `store::redb::running_change` adds the audit entry and the next revision, and
//!    `store::redb::group_commit` writes all of it in one durable transaction, then tells the feed.
//! 5. `services::directory_sync` applies the change to the directory, and lets the service wait for it: only
//!    then does the caller get the receipt. From that answer on no decision says allow.
//!
//! # One invite
//!
//! From the console; `admin::invites` is the same call for programs. As above, the files of the numbered
//! steps are enough.
//!
//! 1. `console`: `route` finds the page in its table. `browser_security` refuses a foreign host before that,
//!    and after it a form that another site sent.
//! 2. `console::invite_form`: `show` has put a random idempotency key into the form. `send` makes an
//!    invitation of the form; rights are checked by the service, not here. In the end it leads to the list of
//!    invitations, or shows the link where no mail is sent.
//! 3. `services::invites`: `send` runs in a task of its own, so that nobody can hang up on half of it. It
//!    refuses an unknown role and keeps the role from being removed by a reload meanwhile
//!    (`services::roles`), authorizes, and makes invite, link and, where mail is sent, a letter: a message id
//!    without a text, which is written at delivery.
//! 4. `services::permits`: the live policies say whether the member may invite, and may give the role. The
//!    permit runs the transaction, and waits until the directory has the change. If the member has changed
//!    since the check, it checks and tries again, once.
//! 5. `services::links` derives the token of the link from a key; the store keeps its hash alone.
//! 6. `store::redb::invites` is the transaction. It refuses if the inviter has changed since the check. If
//!    the same form was sent before, it answers the invite that was made then. It refuses if the address is
//!    taken or a rate limit is reached. Else it writes invite, link, letter and audit entry.
//! 7. `store::redb::group_commit` writes the transactions that wait at the same time in one durable commit;
//!    then the feed tells what has changed. (In a fleet `store::redb::log_commit` appends them to the shared
//!    log first.)
//! 8. `store::redb::mail_claims` gives a letter that is due to a sender, under a lease. It marks an expired
//!    one as failed.
//! 9. `services::mail_delivery` is that sender, a task that `serve` starts; the feed wakes it. It drops a
//!    letter whose invite is no longer open or has a newer link, and derives the token for any other.
//! 10. `mail`: a `MailBatch` renders the message, and `mail::smtp` hands its bytes to the mail server. Then
//!     `mail_claims` records the result, if the lease is still held.
//!
//! Details: `console::page_request` reads the form, and knows the member by the cookie, with
//! `services::session_auth`. `services::rights` has the questions to the live policies. In the transaction,
//! `store::redb::invariants` compares the inviter with what was checked, `idempotency` knows the keys of
//! forms, `member_rows` who has an address, `rate_limits` counts, `letter_rows` queues the letter; a
//! transaction that ends an invite withdraws its letter. `services::directory_sync` keeps the directory in
//! step. `mail::message` writes the text.
//!
//! Then the invitee accepts:
//!
//! 1. The link has the token behind `#`, which no browser sends. `console::accept_invitation` gets it in a
//!    form, shows the invitation, which changes nothing, and takes the password.
//! 2. `services::invites::accept` checks the password (`services::passwords`, by `password::rules`), hashes
//!    it, and checks again whether the inviter may give the role. `store::redb::invites` creates the member
//!    and ends the invite in one transaction.
//! 3. `services::sign_in` begins a session, unless a second factor comes first; `store::redb::sessions`
//!    writes it. `services::session_auth` recognizes it from then on, for the console and as the subject of
//!    decisions.
//!
//! # One second factor
//!
//! 1. `services::sign_in` finds the password right and a factor in the store: no session, but a sealed
//!    `services::sign_in_ticket`, which nobody keeps.
//! 2. `services::step_up` opens the secret with [`keys::Keys`], finds the time step of the code with
//!    [`totp`], and counts what is wrong in [`throttle`] and in the store.
//! 3. `store::redb::second_factor_check` spends the code in the transaction that begins the session: the
//!    step must be later than the last one, the ticket of this round. Every way to a session, and
//!    every change of how somebody signs in, comes through there.
//!
//! # One reload
//!
//! 1. `policy_folder` notices a change, or a signal or a command requests a reload.
//! 2. `services::reload` reads the folder and passes it to [`gate`], which runs `engine::policy_loader` in a
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
pub mod file_lock;
pub mod open_file_limit;
pub mod own_socket_file;
pub mod tls_authorities;

pub mod backup;
pub mod cross_check_queue;
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
