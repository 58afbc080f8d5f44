//! All limits, each with its reason. Those that an operator may change are the defaults of
//! `limits.*` in the configuration.

use std::time::Duration;

/// Longest account slug: a DNS label.
pub const ACCOUNT_SLUG_CHARS_MAX: usize = 63;
/// Longest account name: fits a line of a page.
pub const ACCOUNT_NAME_CHARS_MAX: usize = 128;
/// Longest role name: a file name that fits a table's column.
pub const ROLE_CHARS_MAX: usize = 64;
/// Longest member id: room for any foreign key scheme, short enough for an index.
pub const MEMBER_ID_CHARS_MAX: usize = 128;
/// Longest first or last name.
pub const NAME_CHARS_MAX: usize = 64;
/// Longest address: RFC 5321 section 4.5.3.1.3 less the angle brackets.
pub const EMAIL_BYTES_MAX: usize = 254;

/// Shortest password that is the only factor: NIST SP 800-63B-4 section 3.1.1.2.
pub const PASSWORD_CHARS_MIN: usize = 15;
/// Shortest password beside an enforced second factor: same section.
pub const PASSWORD_CHARS_MIN_WITH_SECOND_FACTOR: usize = 8;
/// Longest password in code points after normalizing: a long passphrase, four times what the
/// standard asks to take.
pub const PASSWORD_CHARS_MAX: usize = 256;
/// Longest password in bytes before normalizing: the above in the longest letters.
pub const PASSWORD_BYTES_MAX: usize = 1 << 10;
/// Most KiB of one run of argon2id, also where a stored hash asks for more: 4 GiB.
pub const PASSWORD_MEMORY_KIB_MAX: u32 = 1 << 22;
/// Most passes of argon2id, also where a stored hash asks for more.
pub const PASSWORD_ITERATIONS_MAX: u32 = 20;
/// Most runs of argon2id that wait: twice a storm of 32 sign-ins; the last waits some seconds.
pub const PASSWORD_RUNS_WAITING_MAX: usize = 64;

/// Most logins whose failures are counted: some 15 MiB. `throttle` says what happens when the table
/// is full.
pub const THROTTLED_LOGINS_MAX: usize = 100_000;
/// Most networks whose failures are counted, each with its few logins: some 15 MiB.
pub const THROTTLED_NETWORKS_MAX: usize = 20_000;
/// Most logins whose networks are known: enough for every member, in most organizations.
pub const KNOWN_LOGINS_MAX: usize = 100_000;
/// Most known networks of one login: home, work, mobile, and earlier ones. Each is one more counter
/// for an attacker in it.
pub const KNOWN_NETWORKS_PER_LOGIN_MAX: usize = 8;
/// Largest file with a secret: hundreds of keys.
pub const SECRET_FILE_BYTES_MAX: u64 = 64 << 10;
/// Shortest key of a caller of the decision listener: 128 bits in hexadecimal digits.
pub const CALLER_KEY_CHARS_MIN: usize = 32;
/// Most keys of quotas.
pub const QUOTA_KEYS_MAX: usize = 100_000;

/// Largest body of one evaluation: attributes are small; what is larger is a mistake.
pub const EVALUATION_BODY_BYTES_MAX: usize = 64 << 10;
/// Largest body of a batch.
pub const BATCH_BODY_BYTES_MAX: usize = 1 << 20;
/// Most evaluations in one batch: keeps a worker's longest task in the low milliseconds.
pub const BATCH_ITEMS_MAX: usize = 1_000;
/// Most items of a batch, and results of a page, that are explained: each costs several evaluations
/// for each role.
pub const EXPLAINED_ITEMS_MAX: usize = 100;
/// Most results of one page of a search, and how many there are where the caller does not say.
pub const SEARCH_RESULTS_MAX: usize = 1_000;
/// See [`SEARCH_RESULTS_MAX`].
pub const SEARCH_RESULTS: usize = 100;
/// Most decisions for one page of a search: some 50 ms where Cedar evaluates each.
pub const SEARCH_DECISIONS_MAX: usize = 4_000;
/// How many candidates of a search are read at once, for as long as no change can be made.
pub const SEARCH_CHUNK: usize = 256;
/// How long the token of a page of a search may be used, in hours.
pub const SEARCH_TOKEN_HOURS: u64 = 1;
/// Most searches that wait while another one is answered.
pub const SEARCHES_WAITING_MAX: usize = 64;
/// Most requests for reasons that wait while another one is answered.
pub const EXPLANATIONS_WAITING_MAX: usize = 32;
/// Most values in the context and the properties of one query: reading them takes a millisecond or
/// two.
pub const QUERY_VALUES_MAX: usize = 4_096;
/// Most values in all queries of a batch; shared values count for each.
pub const BATCH_VALUES_MAX: usize = 100_000;
/// Deepest nesting of arrays and objects in a body.
pub const JSON_DEPTH_MAX: usize = 32;
/// Longest type, id or action name in a question.
pub const QUERY_NAME_BYTES_MAX: usize = 1_024;
/// Most kinds of log lines that are limited to one a minute each; all others share one limit.
pub const LOG_KINDS_MAX: usize = 64;
/// Longest request id that is echoed: longer than those of common tools (a trace id has 55 bytes),
/// and short enough for a log line.
pub const REQUEST_ID_BYTES_MAX: usize = 1_024;
/// Largest head of a request: request line and header fields. A browser sends the cookies of every
/// application on the host, and proxies let 32 KiB of them pass.
pub const HEAD_BYTES_MAX: usize = 64 << 10;
/// Most bytes of request bodies that a server holds: 48 of the largest batches, of which a quarter
/// is reserved for single queries. The allocator may keep as much after a burst.
pub const BODIES_BYTES_MAX: usize = 64 << 20;
/// Most connections of one listener; a slot is taken before `accept`.
pub const CONNECTIONS_MAX: usize = 4_096;
/// Most reserved connections of one listener, which serve one request each; at most an eighth:
/// health checks and new callers are served while all others are taken.
pub const BRIEF_CONNECTIONS_MAX: usize = 8;
/// The accept backlog: as many connections as may be served, and the most that Linux allows by
/// default.
pub const BACKLOG: u32 = 4_096;
/// Open files that are no connections: the store and a copy of it, policies, mail, listeners, the
/// runtimes' own.
pub const OTHER_FILES: usize = 64;
/// Fewest connections of a listener that are useful.
pub const CONNECTIONS_MIN: usize = 8;
/// Milliseconds for a request's head: of the first one since the connection, of the others since
/// their first byte.
pub const HEAD_MS_MAX: u64 = 5_000;
/// The same on a listener without free slots; also the limit for a body, or the next piece of an
/// upload.
pub const HEAD_MS_MAX_CROWDED: u64 = 1_000;
/// Milliseconds for a request's body after its head.
pub const BODY_MS_MAX: u64 = 10_000;
/// Milliseconds that an idle connection is kept open: at least 5 minutes.
pub const IDLE_MS_MAX: u64 = 600_000;
/// Milliseconds that running requests get when the sidecar stops.
pub const DRAIN_MS_MAX: u64 = 10_000;
/// Milliseconds that `x-kwic-at-least` waits for the feed.
pub const AT_LEAST_WAIT_MS: u64 = 500;

/// Largest policy file: no hand writes more.
pub const POLICY_FILE_BYTES_MAX: u64 = 4 << 20;
/// Largest policy folder that is loaded at the priority of decisions: three times the built-in one.
pub const POLICY_BYTES_SOON: usize = 1 << 20;
/// Most bytes of a whole policy folder.
pub const POLICY_FOLDER_BYTES_MAX: u64 = 64 << 20;
/// Most files and folders that are examined in a policy folder, loaded or not.
pub const POLICY_ENTRIES_MAX: usize = 20_000;
/// Most bytes of a set that is published to a fleet: ten times the built-in one. It is in the log, and
/// in memory on each node.
pub const POLICY_PUBLISHED_BYTES_MAX: usize = 4 << 20;
/// Largest body of the call that publishes one: the same as JSON.
pub const POLICY_PUBLISH_BODY_BYTES_MAX: usize = 8 << 20;
/// Longest path of a file in it.
pub const POLICY_PATH_CHARS_MAX: usize = 255;
/// Most policies in a set.
pub const POLICIES_MAX: usize = 100_000;
/// Most guards in a set: each is proved for every kind of request.
pub const GUARDS_MAX: usize = 100;
/// Most sets that went live in the history of the policies: some a day, for a year.
pub const POLICY_HISTORY_LIVE_MAX: usize = 1_000;
/// Most sets that were held or refused.
pub const POLICY_HISTORY_OTHERS_MAX: usize = 100;
/// Most bytes of all sets in the history, each content once: as much as one folder may have.
pub const POLICY_HISTORY_BYTES_MAX: u64 = POLICY_FOLDER_BYTES_MAX;
/// Most lines of each list in an entry of the history; the audit log has more.
pub const POLICY_ENTRY_LINES_MAX: usize = 100;
/// Longest such line.
pub const POLICY_ENTRY_LINE_CHARS_MAX: usize = 500;
/// Longest text of faults in an entry: some tens of faults with their lines.
pub const POLICY_FAULT_CHARS_MAX: usize = 16 << 10;

/// Most bytes of a file of members: the most members, with room for long names.
pub const IMPORT_FILE_BYTES_MAX: usize = 1 << 30;
/// Most bytes of one line of an import.
pub const IMPORT_LINE_BYTES_MAX: usize = 16 << 10;
/// Most members of one import.
pub const IMPORT_MEMBERS_MAX: usize = 2_000_000;
/// Most members of an import that is one entry of a fleet's log: a larger one is staged.
pub const FLEET_IMPORT_MAX: usize = 2_000;
/// Most faults that one import reports: enough to see the pattern.
pub const IMPORT_FAULTS_MAX: usize = 100;
/// Most items of one bulk call: a list that somebody still reads through.
pub const BULK_ITEMS_MAX: usize = 100;
/// Most items of one page of a list.
pub const PAGE_ITEMS_MAX: usize = 1_000;
/// Items of one page where the caller does not say.
pub const PAGE_ITEMS_DEFAULT: usize = 100;
/// Largest body of a management call, imports apart.
pub const ADMIN_BODY_BYTES_MAX: usize = 1 << 20;
/// Largest body of a call or a form without a session: the longest challenge of a passkey and its
/// response, percent-encoded. As many as there are connections must fit into memory.
pub const OPEN_BODY_BYTES_MAX: usize = 128 << 10;
/// Most fields of a form: the most items of a bulk change, and the few fields beside them.
pub const FORM_FIELDS_MAX: usize = 256;
/// Longest place of the console to return to after a sign-in: percent-encoded, it still fits the
/// head of the next request.
pub const PLACE_BYTES_MAX: usize = 4 << 10;
/// Invites to one address of an account in a minute: prevents accidental double clicks.
pub const INVITES_TO_ADDRESS_A_MINUTE: u64 = 1;
/// Invites to one address of an account in a day: prevents flooding a mailbox.
pub const INVITES_TO_ADDRESS_A_DAY: u64 = 5;
/// Invites by one inviter in an hour: two bulk invitations of the largest size.
pub const INVITES_BY_INVITER_AN_HOUR: u64 = 200;
/// Invites of one account in a day: larger teams are imported.
pub const INVITES_OF_ACCOUNT_A_DAY: u64 = 500;
/// Hours for which an idempotency key is remembered.
pub const IDEMPOTENCY_HOURS: i64 = 24;
/// Most sessions of one member: more than anybody has devices; the oldest ends.
pub const SESSIONS_OF_MEMBER_MAX: usize = 100;
/// Most audit entries, and most invites, in one member's data export: a document that can still be
/// opened.
pub const DATA_ITEMS_MAX: usize = 10_000;
/// Audit entries of a member that are searched for the last sign-ins: a page that is opened often
/// must not read the whole history.
pub const OWN_ENTRIES_LOOKED_AT: usize = 200;
/// Sign-ins that a member sees.
pub const OWN_SIGN_INS_SHOWN: usize = 10;
/// Days without a sign-in after which an access review asks whether somebody still needs access;
/// the second value is more urgent.
pub const REVIEW_DAYS: [i64; 2] = [30, 90];
/// Most members that one finding of an access review names.
pub const REVIEW_NAMED_MAX: usize = 100;
/// Most API tokens of one member: one for each program, with room for rotation.
pub const API_TOKENS_OF_MEMBER_MAX: usize = 50;
/// Most API tokens of one account: more than anybody reviews.
pub const API_TOKENS_OF_ACCOUNT_MAX: usize = 1_000;
/// Longest lifetime of an API token, in days.
pub const API_TOKEN_DAYS_MAX: u64 = 365;
/// Days for which ended letters, links and invites can still be looked up.
pub const OVER_DAYS: i64 = 90;
/// Most records that are deleted in one transaction: a change stays in the low milliseconds.
pub const FORGOTTEN_AT_ONCE_MAX: usize = 1_000;

/// Shortest lifetime of an invite that an account may choose.
pub const INVITE_LIFETIME_MIN: Duration = Duration::from_secs(3_600);
/// Longest lifetime of an invite: a link in an old mail must not work.
pub const INVITE_LIFETIME_MAX: Duration = Duration::from_secs(30 * 24 * 3_600);
/// Largest whole number that every reader of JSON keeps exact (RFC 8259 section 6).
pub const JSON_WHOLE_MAX: u64 = (1 << 53) - 1;
/// Most actions that a role is looked for: more than any policy folder has is a mistake.
pub const SUGGESTED_ACTIONS_MAX: usize = 1_000;
/// Most fields of an audit entry, such as the roles and actions that a reload changed: what people
/// still read; the last one has the number of the rest.
pub const AUDIT_FIELDS_MAX: usize = 1_000;
/// Longest text of a field of an audit entry: longer than any name or address.
pub const AUDIT_TEXT_CHARS_MAX: usize = 2_048;
/// Longest idempotency key: any scheme's, short enough for an index.
pub const IDEMPOTENCY_KEY_CHARS_MAX: usize = 128;
/// How often the holder of a dead link may ask for a new one.
pub const INVITE_WANTED_MAX: usize = 1;
/// The interval.
pub const INVITE_WANTED_PER: Duration = Duration::from_secs(3_600);
/// How long a notification is worth sending.
pub const NOTICE_LIFETIME: Duration = Duration::from_secs(3 * 24 * 3_600);
/// Lifetime of a link to a new password (OWASP Forgot Password: as short as is practical).
pub const RESET_LIFETIME: Duration = Duration::from_secs(3_600);
/// Lifetime of the two links of an address change: both mails must be read.
pub const EMAIL_CHANGE_LIFETIME: Duration = Duration::from_secs(24 * 3_600);
/// Most password reset links that one network may request.
pub const RESETS_BY_NETWORK_MAX: usize = 30;
/// The interval.
pub const RESETS_BY_NETWORK_PER: Duration = Duration::from_secs(3_600);
/// Most password reset links for one address, with intervals: a stranger must not fill a mailbox.
pub const RESETS_BY_ADDRESS: [(usize, Duration); 2] =
    [(1, Duration::from_secs(60)), (5, Duration::from_secs(24 * 3_600))];
/// Most attempts to set up the first account from one network.
pub const SET_UPS_BY_NETWORK_MAX: usize = 30;
/// The interval.
pub const SET_UPS_BY_NETWORK_PER: Duration = Duration::from_secs(3_600);
/// After this many failed sign-in attempts there is one entry in the member's audit log.
pub const SIGN_IN_FAILURES_TOLD: u32 = 10;
/// What was made longer after now than this was made while the clock was wrong, and is over. Clocks
/// that are set right by the network differ by far less.
pub const CLOCK_AHEAD_MAX: Duration = Duration::from_secs(300);
/// Lifetime of a ticket between password and second factor: long enough to find the phone.
pub const TICKET_LIFETIME: Duration = Duration::from_secs(600);
/// Longest ticket: the longest member id and a hash, encrypted, in base64url.
pub const TICKET_BYTES_MAX: usize = 1_024;
/// How long the set-up of an authenticator app may take.
pub const TWO_STEP_SETUP_LIFETIME: Duration = Duration::from_secs(900);
/// Recovery codes of a member.
pub const RECOVERY_CODES: usize = 10;
/// Longest code as typed: a recovery code with room for separators.
pub const CODE_BYTES_MAX: usize = 128;
/// Most passkeys of one member: a phone, a computer and two security keys, twice over.
pub const PASSKEYS_MAX: usize = 10;
/// How long an authenticator may take to respond: the recommendation for one that asks for a PIN or
/// a fingerprint (Web Authentication Level 3, section 15.1).
pub const PASSKEY_LIFETIME: Duration = Duration::from_secs(300);
/// Largest response of an authenticator as JSON: several times the largest attestation in use, that
/// of a TPM with its certificates.
pub const PASSKEY_ANSWER_BYTES_MAX: usize = 16 << 10;
/// Largest stored credential; one without certificates, which are not requested, is below 1 KiB.
pub const PASSKEY_BYTES_MAX: usize = 4 << 10;
/// Longest challenge: every credential that a member may have, encrypted, in base64url.
pub const PASSKEY_CHALLENGE_BYTES_MAX: usize = 64 << 10;
/// Most wrong codes in a row, each after the correct password: NIST SP 800-63B-4 section 3.2.2.
pub const CODE_FAILURES_MAX: u32 = 100;
/// After this many wrong codes in a row the member gets one mail.
pub const CODE_FAILURES_TOLD: u32 = 10;
/// Longest user agent that is stored with a session.
pub const AGENT_CHARS_MAX: usize = 256;
/// Memory for copying a whole store into another file: enough to keep the disk busy, and little
/// compared with the memory of decisions.
pub const COPY_CACHE_BYTES: usize = 64 << 20;
/// Largest store of which every page is verified at the start: a larger one would delay it.
pub const STORE_CHECKED_BYTES_MAX: u64 = 64 << 20;
/// Largest store that is written anew after an erasure while it is open: reads and changes wait for it,
/// a second or two at most, and decisions do not.
pub const STORE_REWRITTEN_BYTES_MAX: u64 = 64 << 20;
/// Largest `manifest.json` of a backup: a line for each of a thousand keys.
pub const MANIFEST_BYTES_MAX: usize = 256 << 10;
/// Letters that are sent on one connection: mail servers limit them.
pub const LETTERS_A_CONNECTION: usize = 50;
/// The lease of a letter: longer than any attempt takes.
pub const LETTER_LEASE: Duration = Duration::from_secs(600);
/// Event streams of one session or API token: a browser with many tabs, or a service with many
/// instances.
pub const STREAMS_OF_SESSION_MAX: usize = 32;
/// Event streams of one member, over all sessions and API tokens.
pub const STREAMS_OF_MEMBER_MAX: usize = 64;
/// Streams of events of one account.
pub const STREAMS_OF_ACCOUNT_MAX: usize = 256;
/// Events that a listener may be behind before it is disconnected.
pub const EVENTS_AHEAD_MAX: usize = 256;
/// Longest subject of a mail: what RFC 5322 section 2.1.1 asks of a line.
pub const MAIL_SUBJECT_CHARS_MAX: usize = 78;
/// Longest name that a mail shows: a first name, a last name and a space.
pub const MAIL_NAME_CHARS_MAX: usize = 2 * NAME_CHARS_MAX + 1;
/// Longest name of the sender: as long as a header line should be.
pub const SENDER_NAME_CHARS_MAX: usize = 78;
/// Longest access token for a mail server, in bytes: it fits the line that RFC 4954 section 4 allows.
pub const MAIL_TOKEN_BYTES_MAX: usize = 8_192;
/// Milliseconds that the program for an access token may take.
pub const MAIL_TOKEN_MS_MAX: u64 = 15_000;
/// Longest `Message-ID`: fits a header line (RFC 5322 section 2.1.1).
pub const MAIL_ID_CHARS_MAX: usize = 255;
/// Longest text of a role that a mail shows: two lines.
pub const MAIL_ROLE_CHARS_MAX: usize = 160;
/// Most characters that are kept of a mail server's response: room for a reply and a link in it.
pub const MAIL_ANSWER_CHARS_MAX: usize = 300;
/// Milliseconds for one step of an SMTP session.
pub const MAIL_STEP_MS_MAX: u64 = 30_000;
/// Milliseconds for sending a whole mail: a client that disconnects sooner may cause a duplicate
/// (RFC 5321 section 4.5.3.2.6).
pub const MAIL_DATA_MS_MAX: u64 = 120_000;
/// Milliseconds that sending one mail can take, with every step at its slowest: the lease must be
/// longer.
pub const MAIL_HANDOVER_MS_MAX: u64 = 13 * MAIL_STEP_MS_MAX + MAIL_DATA_MS_MAX;
/// Mail is slow if a letter has waited for this long while none is sent.
pub const MAIL_SLOW_AFTER: Duration = Duration::from_secs(300);
/// Mail is stuck if a letter has waited for this long.
pub const MAIL_STUCK_AFTER: Duration = Duration::from_secs(900);
/// How long one letter may be deferred while others are sent: greylisting takes minutes.
pub const MAIL_PUT_OFF_MAX: Duration = Duration::from_secs(3_600);
/// Waiting letters that are searched for the oldest: those that are due first.
pub const MAIL_WAITING_LOOKED_AT: usize = 100_000;
/// Most of a bounce that is read: its report comes before the returned mail.
pub const BOUNCE_BYTES_MAX: usize = 256 << 10;
/// Most bounces that are listed in one pass.
pub const BOUNCES_MAX: usize = 1_000;

const _: () = assert!(EVALUATION_BODY_BYTES_MAX <= BATCH_BODY_BYTES_MAX);
const _: () = assert!(PASSWORD_CHARS_MAX * 4 <= PASSWORD_BYTES_MAX);
const _: () = assert!(PAGE_ITEMS_DEFAULT <= PAGE_ITEMS_MAX);
const _: () = assert!(IDLE_MS_MAX >= 300_000);
const _: () = assert!(
    PASSKEY_CHALLENGE_BYTES_MAX + 3 * PASSKEY_ANSWER_BYTES_MAX + TICKET_BYTES_MAX + PLACE_BYTES_MAX
        <= OPEN_BODY_BYTES_MAX
);
const _: () = assert!(3 * PLACE_BYTES_MAX < HEAD_BYTES_MAX);
const _: () = assert!(BULK_ITEMS_MAX < FORM_FIELDS_MAX);
