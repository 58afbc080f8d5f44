//! All configuration keys: section, name, type, default and purpose.
//!
//! One table, from which reading, the environment's names and the reference text are made, and one
//! of the keys that are refused, because nothing would come of them.

use crate::domain::limits;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SettingType {
    Bool,
    /// A whole number in this range.
    Number(i64, i64),
    Text,
    /// Text that may be read from a file that `..._FILE` names, and is never printed.
    Secret,
    /// The path of a file, folder or socket.
    Path,
    List,
    /// One of these words.
    Word(&'static [&'static str]),
    /// Such as `72h`, `30m`, `15s`.
    Duration,
    /// Permissions in octal, such as `0660`.
    Mode,
    /// `ADDRESS:PORT`.
    Address,
    /// An account's slug.
    Slug,
}

/// One key of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct SettingDefinition {
    pub(super) section: &'static str,
    pub(super) name: &'static str,
    pub(super) takes: SettingType,
    /// The default as written in the file; empty if the key is unset by default.
    pub default: &'static str,
    /// What it sets.
    pub about: &'static str,
}

/// The keys of each section: the type of a key, its default and its purpose.
macro_rules! settings {
    ($([$section:ident] $($name:ident: $type:ident$(($($of:expr),+))? = $default:literal, $about:literal;)+)+) => {
        &[$($(SettingDefinition {
            section: stringify!($section),
            name: stringify!($name),
            takes: SettingType::$type$(($($of),+))?,
            default: $default,
            about: $about,
        }),+),+]
    };
}

const MANY: i64 = 1 << 40;

pub(super) const KEYS: &[SettingDefinition] = settings! {
    [decision]
    listen: Address = "\"127.0.0.1:8181\"",
        "where services ask for decisions; loopback only, unless keys_file is set";
    socket: Path = "", "a unix socket for the same requests";
    socket_mode: Mode = "\"0660\"", "who may open the socket";
    public_url: Text = "",
        "the https address of this API that `/.well-known/authzen-configuration` names";
    single_account: Slug = "", "the account that a resource is in if the request names no account";
    wait_ms: Number(0, 60_000) = "500",
        "how long a request with the header `x-kwic-at-least` waits for a change, in milliseconds";
    allowed_hosts: List = "[]", "host names that callers use, other than loopback";
    keys_file: Path = "",
        "bearer keys of 32 characters or more, one a line; callers must then bring one";
    cross_check: Number(0, MANY) = "1000",
        "one decision in this many is checked again with Cedar's own authorizer; 0 for none";

    [console]
    listen: Address = "\"127.0.0.1:8180\"", "where people and programs manage the team";
    public_url: Text = "", "the address in links; it may carry a path";
    trusted_proxies: List = "[]", "addresses whose forwarding headers count";

    [store]
    kind: Word(&["redb"]) = "\"redb\"", "one file on this machine";
    path: Path = "", "the file; without it, kwic.redb in the data folder";
    cache_mb: Number(1, 1 << 20) = "64", "memory for the file's pages, in MiB";

    [fleet]
    log: Text = "",
        "the log that the nodes of a fleet share, without a password: postgresql://USER@HOST/DATABASE or etcd://HOST:2379,HOST:2379/PREFIX/; without it, this sidecar is on its own";
    password_file: Path = "", "a file with the password of the user in fleet.log";
    ca_file: Path = "",
        "a PEM file with the authorities that are trusted for the log, in place of those of the system";
    cert_file: Path = "", "etcd only: a PEM file with this node's certificate";
    key_file: Path = "", "etcd only: a PEM file with the key of that certificate";
    name: Text = "", "this node's name in `kwic-team fleet status`; without it, the host's name";
    max_staleness: Duration = "\"30s\"",
        "how long this node may be without word from the log before it is stale: 4s to 168h";
    on_stale: Word(&["deny", "answer"]) = "",
        "required with fleet.log: while this node is stale, deny every decision, or answer by what it knows";
    keep_old_days: Number(0, 3_650) = "30",
        "how many days the store's file of before a `fleet join` is kept; 0 for never removing it";

    [policies]
    dir: Path = "", "the policy folder; without it, the built-in policies";
    source: Word(&["folder", "fleet"]) = "\"folder\"",
        "folder: each node loads its own; fleet: all nodes have the policies that `kwic-team policy publish` has published last; needs fleet.log";
    watch: Bool = "true", "reload when the folder changes";
    managed_by: Slug = "",
        "the account whose members with `settings:edit` may check, reload, approve and go back to policies";
    hold_widening: Bool = "false",
        "hold policies by which anybody gains access until they are approved with `kwic-team policy approve`";
    two_person: Bool = "false",
        "with hold_widening: policies are approved by somebody else than the one who brought them; needs managed_by";
    shadow: Path = "",
        "a folder with candidate policies, which are asked beside the live ones without effect; see `kwic-team policy shadow`";
    shadow_sample: Number(1, MANY) = "100",
        "one decision in this many is asked of the shadow policies too";
    demand_proof: Bool = "false",
        "refuse policies whose guards are not all proved; needs the solver cvc5";

    [mail]
    kind: Word(&["smtp", "folder", "links"]) = "",
        "smtp, folder (mail is written to outbox/ and sent to nobody), or links (the default: no mail is sent, links are shown)";
    url: Secret = "",
        "smtps://USER:PASSWORD@HOST, smtp://USER:PASSWORD@HOST?tls=required, or smtp:// to loopback";
    oauth_token_file: Path = "",
        "a file with the access token (XOAUTH2) for smtps://USER@HOST; read for each connection";
    oauth_token_command: List = "[]",
        "or a program that prints the token, and its arguments; run without a shell";
    from: Text = "", "the sender's address, with a name or without: KWIC <no-reply@example.org>";
    bounce_domain: Text = "", "the domain of return paths";
    bounce_maildir: Path = "", "where bounces arrive";

    [invites]
    lifetime: Duration = "\"72h\"",
        "how long an invite may be accepted, in accounts without a lifetime of their own (`kwic-team account edit --invite-lifetime`)";

    [sessions]
    idle: Duration = "\"30m\"", "idle timeout: a session ends after this long without use";
    absolute: Duration = "\"12h\"", "absolute timeout: a session ends after this long in any case";

    [passwords]
    memory_kib: Number(19_456, limits::PASSWORD_MEMORY_KIB_MAX as i64) = "19456",
        "argon2id: memory of one hash";
    iterations: Number(2, limits::PASSWORD_ITERATIONS_MAX as i64) = "2", "argon2id: passes";

    [telemetry]
    log_format: Word(&["text", "json"]) = "\"text\"", "how log lines are written: text or json";
    log_level: Text = "\"info\"",
        "what is logged: off, error, warn, info, debug or trace; then, after commas, levels for single modules, as in \"info,hyper=debug\"";

    [limits]
    evaluation_body_bytes_max: Number(1_024, 1 << 30) = "65536",
        "largest body of one decision request";
    batch_body_bytes_max: Number(1_024, 1 << 30) = "1048576", "largest body of a batch";
    batch_items_max: Number(1, 100_000) = "1000", "most decisions in a batch";
    connections_max: Number(1, 1 << 20) = "4096",
        "most connections at once to each listener; fewer where fewer files may be open";
    head_ms_max: Number(1, 600_000) = "5000", "how long a request's head may take";
    body_ms_max: Number(1, 600_000) = "10000", "how long a request's body may pause";
    idle_ms_max: Number(1, MANY) = "600000", "how long an idle connection is kept open";
    drain_ms_max: Number(1, 600_000) = "10000",
        "how long requests may take to finish when the sidecar stops";
};

/// A key of a feature that this version does not have. Accepted, it would promise something that
/// nobody keeps, so a configuration with one is refused.
#[derive(Clone, Copy, Debug)]
pub(super) struct NotOffered {
    pub(super) section: &'static str,
    pub(super) name: &'static str,
    /// The value that asks for nothing, which is taken; empty where there is none.
    pub(super) off: &'static str,
    pub(super) instead: &'static str,
}

const fn not_offered(
    section: &'static str,
    name: &'static str,
    off: &'static str,
    instead: &'static str,
) -> NotOffered {
    NotOffered { section, name, off, instead }
}

const LEAVE_OUT: &str = "leave it out";
const FLEET: &str = "name the log that the nodes share in `fleet.log`";
const PROXY: &str = "put a proxy in front, and name it in `console.trusted_proxies`";

/// All keys that are refused.
pub(super) const NOT_OFFERED: &[NotOffered] = &[
    not_offered("console", "tls_certificate", "", PROXY),
    not_offered("console", "tls_key", "", PROXY),
    not_offered("store", "endpoints", "", FLEET),
    not_offered("store", "prefix", "", FLEET),
    not_offered("store", "max_staleness", "", "set `fleet.max_staleness`"),
    not_offered("store", "on_stale", "", "set `fleet.on_stale`"),
    not_offered("audit", "retention", "", "leave it out: all entries are kept"),
    not_offered("decision_log", "sink", "none", LEAVE_OUT),
    not_offered("decision_log", "sample", "", LEAVE_OUT),
    not_offered("decision_log", "mask", "", LEAVE_OUT),
    not_offered("telemetry", "otlp_endpoint", "", LEAVE_OUT),
];

/// What is wrong with a key that is set to `value`, where this version does not offer it: a
/// sentence without the key's name. `None` for every other key; `Some(None)` where the value asks
/// for nothing.
pub(super) fn refused(section: &str, name: &str, value: &str) -> Option<Option<String>> {
    let known = NOT_OFFERED.iter().find(|key| key.section == section && key.name == name)?;
    let asks = known.off.is_empty() || known.off != value;
    Some(asks.then(|| format!("is not offered by this version: {}", known.instead)))
}

fn variable(section: &str, name: &str) -> String {
    format!("KWIC_TEAM_{section}_{name}").to_ascii_uppercase()
}

impl NotOffered {
    /// The name in the environment.
    pub(super) fn variable(&self) -> String {
        variable(self.section, self.name)
    }
}

impl SettingDefinition {
    /// The name in the environment.
    #[must_use]
    pub fn variable(&self) -> String {
        variable(self.section, self.name)
    }

    pub(super) fn is_secret(&self) -> bool {
        self.takes == SettingType::Secret
    }

    /// `section.name`.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{}.{}", self.section, self.name)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::KEYS;

    /// Key, default and meaning of each row of the table in the documentation.
    fn listed() -> BTreeSet<[String; 3]> {
        let page = include_str!("../../docs/operations.md");
        let (_, section) = page.split_once("\n## Configuration\n").unwrap();
        let (section, _) = section.split_once("\n## ").unwrap();
        let rows = section.lines().filter(|line| line.starts_with("| `"));
        rows.map(|row| {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let bare = |cell: &str| cell.trim_matches('`').to_owned();
            [bare(cells[1]), bare(cells[2]), cells[3].to_owned()]
        })
        .collect()
    }

    #[test]
    fn the_documentation_lists_every_key_with_its_default_and_meaning_and_no_other() {
        let keys = KEYS.iter();
        let keys = keys.map(|key| [key.path(), key.default.to_owned(), key.about.to_owned()]);
        let keys = keys.collect();
        assert_eq!(listed(), keys);
    }
}
