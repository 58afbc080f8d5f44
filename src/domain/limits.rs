//! Every bound in one place, each with its reason. Bounds that an operator may move are the
//! defaults of `limits.*` in the configuration.

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

/// Largest body of one evaluation: attributes are small; what is larger is a mistake.
pub const EVALUATION_BODY_BYTES_MAX: usize = 64 << 10;
/// Largest body of a batch.
pub const BATCH_BODY_BYTES_MAX: usize = 1 << 20;
/// Most evaluations in one batch: keeps a worker's longest task in the low milliseconds.
pub const BATCH_ITEMS_MAX: usize = 1_000;
/// Deepest nesting of arrays and objects in a body.
pub const JSON_DEPTH_MAX: usize = 32;
/// Longest type, id or action name in a question.
pub const QUERY_NAME_BYTES_MAX: usize = 1_024;
/// Longest request id that is echoed.
pub const REQUEST_ID_BYTES_MAX: usize = 128;
/// Largest head of a request: request line and header fields.
pub const HEAD_BYTES_MAX: usize = 16 << 10;
/// Most connections of one listener; a permit is taken before `accept`.
pub const CONNECTIONS_MAX: usize = 4_096;
/// Milliseconds a request's head may take from its first byte.
pub const HEAD_MS_MAX: u64 = 5_000;
/// Milliseconds a request's body may take after its head.
pub const BODY_MS_MAX: u64 = 10_000;
/// Milliseconds a warm, idle connection lives: at least 5 minutes.
pub const IDLE_MS_MAX: u64 = 600_000;
/// Milliseconds that requests under way get when the sidecar stops.
pub const DRAIN_MS_MAX: u64 = 10_000;
/// Milliseconds that `x-kwic-at-least` waits for the feed.
pub const AT_LEAST_WAIT_MS: u64 = 500;

/// Largest policy file: Cedar's parser recurses, and no hand writes more.
pub const POLICY_FILE_BYTES_MAX: u64 = 4 << 20;
/// Most bytes of a whole policy folder.
pub const POLICY_FOLDER_BYTES_MAX: u64 = 64 << 20;
/// Most files of a policy folder.
pub const POLICY_FILES_MAX: usize = 20_000;
/// Most policies in a set.
pub const POLICIES_MAX: usize = 100_000;

/// Most bytes of a file of members: the most members, with room for long names.
pub const IMPORT_FILE_BYTES_MAX: usize = 1 << 30;
/// Most bytes of one line of an import.
pub const IMPORT_LINE_BYTES_MAX: usize = 16 << 10;
/// Most members of one import.
pub const IMPORT_MEMBERS_MAX: usize = 2_000_000;
/// Most faults that one import reports: enough to see the pattern.
pub const IMPORT_FAULTS_MAX: usize = 100;
/// Most items of one page of a list.
pub const PAGE_ITEMS_MAX: usize = 1_000;
/// Items of one page where the caller does not say.
pub const PAGE_ITEMS_DEFAULT: usize = 100;
/// Largest body of a management call, imports apart.
pub const ADMIN_BODY_BYTES_MAX: usize = 1 << 20;

const _: () = assert!(EVALUATION_BODY_BYTES_MAX <= BATCH_BODY_BYTES_MAX);
const _: () = assert!(PAGE_ITEMS_DEFAULT <= PAGE_ITEMS_MAX);
const _: () = assert!(IDLE_MS_MAX >= 300_000);
