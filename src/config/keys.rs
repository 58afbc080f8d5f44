//! All configuration keys: section, name, type, default and purpose.
//!
//! One table, from which the parser, the names of environment variables and the reference text are
//! generated. Keys of features to come are in it too, so that a file can be checked completely.

use crate::domain::limits;

/// The type of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    Bool,
    /// A whole number in this range.
    Number(i64, i64),
    Text,
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

/// One key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    pub(super) section: &'static str,
    pub(super) name: &'static str,
    pub(super) takes: Takes,
    /// The default as written in the file; empty if the key is unset by default.
    pub(super) default: &'static str,
    pub(super) about: &'static str,
    /// May be read from a file that `..._FILE` names, and is never printed.
    pub(super) secret: bool,
}

const fn key(
    section: &'static str,
    name: &'static str,
    takes: Takes,
    default: &'static str,
    about: &'static str,
) -> Key {
    Key { section, name, takes, default, about, secret: false }
}

const MANY: i64 = 1 << 40;

/// All keys, by section.
pub(super) const KEYS: &[Key] = &[
    key(
        "decision",
        "listen",
        Takes::Address,
        "\"127.0.0.1:8181\"",
        "where services ask; loopback only, unless keys_file is set",
    ),
    key("decision", "socket", Takes::Path, "", "a unix socket for the same questions"),
    key("decision", "socket_mode", Takes::Mode, "\"0660\"", "who may open the socket"),
    key(
        "decision",
        "public_url",
        Takes::Text,
        "",
        "the https address that the metadata document names",
    ),
    key("decision", "single_account", Takes::Slug, "", "the account of a resource that has none"),
    key(
        "decision",
        "wait_ms",
        Takes::Number(0, 60_000),
        "500",
        "how long `x-kwic-at-least` waits for a change",
    ),
    key(
        "decision",
        "allowed_hosts",
        Takes::List,
        "[]",
        "host names that callers use, other than loopback",
    ),
    key(
        "decision",
        "keys_file",
        Takes::Path,
        "",
        "bearer keys of 32 characters or more, one a line; callers must then bring one",
    ),
    key(
        "decision",
        "cross_check",
        Takes::Number(0, MANY),
        "1000",
        "one decision in this many is checked again with Cedar's own authorizer; 0 for none",
    ),
    key(
        "console",
        "listen",
        Takes::Address,
        "\"127.0.0.1:8180\"",
        "where people and programs manage the team",
    ),
    key("console", "public_url", Takes::Text, "", "the address in links; it may carry a path"),
    key(
        "console",
        "trusted_proxies",
        Takes::List,
        "[]",
        "addresses whose forwarding headers count",
    ),
    key(
        "console",
        "tls_certificate",
        Takes::Path,
        "",
        "PEM; with tls_key the console speaks TLS itself",
    ),
    key("console", "tls_key", Takes::Path, "", "PEM"),
    key(
        "store",
        "kind",
        Takes::Word(&["redb", "etcd"]),
        "\"redb\"",
        "one file on this machine, or a cluster",
    ),
    key("store", "path", Takes::Path, "", "the file; kwic.redb in the data folder where unset"),
    key(
        "store",
        "cache_mb",
        Takes::Number(1, 1 << 20),
        "64",
        "memory for the file's pages, in MiB",
    ),
    key("store", "endpoints", Takes::List, "[]", "the cluster's addresses"),
    key("store", "prefix", Takes::Text, "\"/kwic-team/\"", "what the cluster's keys begin with"),
    key(
        "store",
        "max_staleness",
        Takes::Duration,
        "\"30s\"",
        "how stale the members may get while the cluster cannot be reached",
    ),
    key(
        "store",
        "on_stale",
        Takes::Word(&["deny", "answer"]),
        "\"deny\"",
        "what happens when they are staler",
    ),
    key("policies", "dir", Takes::Path, "", "the policy folder; the shipped one where unset"),
    key("policies", "watch", Takes::Bool, "true", "reload when the folder changes"),
    key(
        "policies",
        "managed_by",
        Takes::Slug,
        "",
        "the account whose settings:edit may change policies",
    ),
    key(
        "policies",
        "hold_widening",
        Takes::Bool,
        "false",
        "a policy set that grants more access waits for an approval",
    ),
    key(
        "policies",
        "demand_proof",
        Takes::Bool,
        "false",
        "a set whose guards are not proved is refused",
    ),
    key(
        "policies",
        "shadow",
        Takes::Path,
        "",
        "a folder that is evaluated beside the live one; differences are only reported",
    ),
    key(
        "mail",
        "kind",
        Takes::Word(&["smtp", "folder", "links"]),
        "",
        "how mail goes out; links are shown where unset",
    ),
    Key {
        section: "mail",
        name: "url",
        takes: Takes::Text,
        default: "",
        about: "smtps://USER:PASSWORD@HOST, or smtp:// to loopback",
        secret: true,
    },
    key(
        "mail",
        "oauth_token_file",
        Takes::Path,
        "",
        "a file with the access token (XOAUTH2) for smtps://USER@HOST; read for each connection",
    ),
    key(
        "mail",
        "oauth_token_command",
        Takes::List,
        "[]",
        "or a program that prints the token, and its arguments; run without a shell",
    ),
    key(
        "mail",
        "from",
        Takes::Text,
        "",
        "the sender's address, with a name or without: KWIC <no-reply@example.org>",
    ),
    key("mail", "bounce_domain", Takes::Text, "", "the domain of return paths"),
    key("mail", "bounce_maildir", Takes::Path, "", "where bounces arrive"),
    key("invites", "lifetime", Takes::Duration, "\"72h\"", "how long an invite may be accepted"),
    key(
        "sessions",
        "idle",
        Takes::Duration,
        "\"30m\"",
        "idle timeout: a session ends after this long without use",
    ),
    key(
        "sessions",
        "absolute",
        Takes::Duration,
        "\"12h\"",
        "absolute timeout: a session ends after this long in any case",
    ),
    key(
        "passwords",
        "memory_kib",
        Takes::Number(19_456, limits::PASSWORD_MEMORY_KIB_MAX as i64),
        "19456",
        "argon2id: memory of one hash",
    ),
    key(
        "passwords",
        "iterations",
        Takes::Number(2, limits::PASSWORD_ITERATIONS_MAX as i64),
        "2",
        "argon2id: passes",
    ),
    key("audit", "retention", Takes::Duration, "\"87600h\"", "how long entries are kept"),
    key(
        "decision_log",
        "sink",
        Takes::Word(&["none", "stderr", "file"]),
        "\"none\"",
        "where decisions are logged",
    ),
    key(
        "decision_log",
        "sample",
        Takes::Number(1, MANY),
        "1",
        "one allow in this many; denies always",
    ),
    key("decision_log", "mask", Takes::Bool, "true", "hide addresses and numbers"),
    key(
        "telemetry",
        "log_format",
        Takes::Word(&["text", "json"]),
        "\"text\"",
        "how log lines are written",
    ),
    key("telemetry", "otlp_endpoint", Takes::Text, "", "where traces go"),
    key(
        "limits",
        "evaluation_body_bytes_max",
        Takes::Number(1_024, 1 << 30),
        "65536",
        "largest body of one question",
    ),
    key(
        "limits",
        "batch_body_bytes_max",
        Takes::Number(1_024, 1 << 30),
        "1048576",
        "largest body of a batch",
    ),
    key(
        "limits",
        "batch_items_max",
        Takes::Number(1, 100_000),
        "1000",
        "most questions in a batch",
    ),
    key(
        "limits",
        "connections_max",
        Takes::Number(1, 1 << 20),
        "4096",
        "most connections at once to each listener; fewer where fewer files may be open",
    ),
    key(
        "limits",
        "head_ms_max",
        Takes::Number(1, 600_000),
        "5000",
        "how long a request's head may take",
    ),
    key(
        "limits",
        "body_ms_max",
        Takes::Number(1, 600_000),
        "10000",
        "how long a request's body may pause",
    ),
    key(
        "limits",
        "idle_ms_max",
        Takes::Number(1, MANY),
        "600000",
        "how long an idle connection is kept open",
    ),
    key(
        "limits",
        "drain_ms_max",
        Takes::Number(1, 600_000),
        "10000",
        "how long requests may finish when the sidecar stops",
    ),
];

impl Key {
    /// The name in the environment.
    pub(super) fn variable(&self) -> String {
        format!("KWIC_TEAM_{}_{}", self.section, self.name).to_ascii_uppercase()
    }

    /// `section.name`.
    pub(super) fn path(&self) -> String {
        format!("{}.{}", self.section, self.name)
    }
}
