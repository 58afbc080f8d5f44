//! What the operator of the sidecar configured: checked, typed, whole.
//!
//! A file and the environment are read once, at start; every fault is reported in one go, with
//! its line and what to write instead. The only place that reads the environment.

mod keys;
mod read;

use std::fmt::{self, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::domain::AccountSlug;
use keys::{KEYS, Key};
use read::Settings;

/// One thing wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigFault {
    /// `FILE:LINE`, or the variable; empty where two keys do not go together.
    pub place: String,
    /// `section.key`, where one is at fault.
    pub key: String,
    /// What is wrong and what to write instead.
    pub message: String,
}

impl fmt::Display for ConfigFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place.as_str() {
            "" | "default" => f.write_str(&self.message),
            place => write!(f, "{place}: {}", self.message),
        }
    }
}

/// Everything that is configured.
#[derive(Clone, Debug)]
pub struct Config {
    /// The data folder: the store's file, `admin.sock`, keys and outbox.
    pub data: PathBuf,
    /// Where services ask.
    pub decision: Decision,
    /// Where people and programs manage the team.
    pub console: Console,
    /// Where records lie.
    pub store: Store,
    /// Where policies come from.
    pub policies: Policies,
    /// How mail goes out.
    pub mail: Mail,
    /// How long an invite may be accepted.
    pub invite_lifetime: Duration,
    /// When sessions end.
    pub sessions: Sessions,
    /// What hashing a password costs.
    pub passwords: Passwords,
    /// How long audit entries are kept.
    pub audit_retention: Duration,
    /// Where decisions are logged.
    pub decision_log: DecisionLog,
    /// How the sidecar tells about itself.
    pub telemetry: Telemetry,
    /// The bounds that may be moved.
    pub limits: Limits,
}

/// Section `decision`.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the table of keys says what each is")]
pub struct Decision {
    pub listen: SocketAddr,
    pub socket: Option<PathBuf>,
    pub socket_mode: u32,
    pub public_url: Option<String>,
    pub single_account: Option<AccountSlug>,
    pub wait_ms: u64,
    pub allowed_hosts: Vec<String>,
    pub keys_file: Option<PathBuf>,
    pub cross_check: u64,
}

/// Section `console`.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the table of keys says what each is")]
pub struct Console {
    pub listen: SocketAddr,
    pub public_url: Option<String>,
    pub trusted_proxies: Vec<String>,
    pub tls: Option<(PathBuf, PathBuf)>,
}

/// Which backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// One file on this machine.
    Redb,
    /// A cluster.
    Etcd,
}

/// Section `store`.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the table of keys says what each is")]
pub struct Store {
    pub kind: StoreKind,
    pub path: PathBuf,
    pub cache_mb: usize,
    pub endpoints: Vec<String>,
    pub prefix: String,
    pub max_staleness: Duration,
    pub answer_when_stale: bool,
}

/// Section `policies`.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the table of keys says what each is")]
pub struct Policies {
    pub dir: Option<PathBuf>,
    pub watch: bool,
    pub managed_by: Option<AccountSlug>,
    pub hold_widening: bool,
    pub demand_proof: bool,
    pub shadow: Option<PathBuf>,
}

/// Section `mail`. Its address carries a password: it is never printed.
#[derive(Clone)]
#[expect(missing_docs, reason = "the table of keys says what each is")]
pub struct Mail {
    pub kind: Option<String>,
    pub url: Option<String>,
    pub from: Option<String>,
    pub bounce_domain: Option<String>,
    pub bounce_maildir: Option<PathBuf>,
}

impl fmt::Debug for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mail").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// Section `sessions`.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the table of keys says what each is")]
pub struct Sessions {
    pub idle: Duration,
    pub absolute: Duration,
}

/// Section `passwords`.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the table of keys says what each is")]
pub struct Passwords {
    pub memory_kib: u32,
    pub iterations: u32,
}

/// Section `decision_log`.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the table of keys says what each is")]
pub struct DecisionLog {
    pub sink: String,
    pub sample: u64,
    pub mask: bool,
}

/// Section `telemetry`.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the table of keys says what each is")]
pub struct Telemetry {
    pub log_json: bool,
    pub otlp_endpoint: Option<String>,
}

/// Section `limits`; each is explained in `domain::limits`.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "domain::limits says what each is")]
pub struct Limits {
    pub evaluation_body_bytes_max: usize,
    pub batch_body_bytes_max: usize,
    pub batch_items_max: usize,
    pub connections_max: usize,
    pub head_ms_max: u64,
    pub body_ms_max: u64,
    pub idle_ms_max: u64,
    pub drain_ms_max: u64,
}

/// The process's environment, for [`Config::load`].
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars()
}

impl Config {
    /// Everything at its default, with this data folder.
    #[must_use]
    pub fn default_for(data: PathBuf) -> Self {
        build(&mut Settings::read(None, std::iter::empty()), data)
    }

    /// Reads and checks everything.
    ///
    /// # Errors
    /// Every fault there is.
    pub fn load(
        file: Option<&Path>,
        data: PathBuf,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, Vec<ConfigFault>> {
        let mut settings = Settings::read(file, environment);
        let config = build(&mut settings, data);
        check(&config, &mut settings);
        if settings.faults.is_empty() { Ok(config) } else { Err(settings.faults) }
    }
}

/// Settings as types. Each has been checked or has a default, so what remains is wiring.
fn build(settings: &mut Settings, data: PathBuf) -> Config {
    let slug = |path: &str| settings.text(path).and_then(|slug| AccountSlug::parse(&slug).ok());
    let address = |path: &str, port: u16| {
        let text = settings.text(path);
        text.and_then(|text| text.parse().ok())
            .unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], port)))
    };
    let tls = settings.path("console.tls_certificate").zip(settings.path("console.tls_key"));
    Config {
        decision: Decision {
            listen: address("decision.listen", 8181),
            socket: settings.path("decision.socket"),
            socket_mode: settings.number("decision.socket_mode"),
            public_url: settings.text("decision.public_url"),
            single_account: slug("decision.single_account"),
            wait_ms: settings.number("decision.wait_ms"),
            allowed_hosts: settings.list("decision.allowed_hosts"),
            keys_file: settings.path("decision.keys_file"),
            cross_check: settings.number("decision.cross_check"),
        },
        console: Console {
            listen: address("console.listen", 8180),
            public_url: settings.text("console.public_url"),
            trusted_proxies: settings.list("console.trusted_proxies"),
            tls,
        },
        store: Store {
            kind: match settings.text("store.kind").as_deref() {
                Some("etcd") => StoreKind::Etcd,
                _ => StoreKind::Redb,
            },
            path: settings.path("store.path").unwrap_or_else(|| data.join("kwic.redb")),
            cache_mb: settings.number("store.cache_mb"),
            endpoints: settings.list("store.endpoints"),
            prefix: settings.text("store.prefix").unwrap_or_default(),
            max_staleness: settings.duration("store.max_staleness"),
            answer_when_stale: settings.text("store.on_stale").as_deref() == Some("answer"),
        },
        policies: Policies {
            dir: settings.path("policies.dir"),
            watch: settings.flag("policies.watch"),
            managed_by: slug("policies.managed_by"),
            hold_widening: settings.flag("policies.hold_widening"),
            demand_proof: settings.flag("policies.demand_proof"),
            shadow: settings.path("policies.shadow"),
        },
        mail: Mail {
            kind: settings.text("mail.kind"),
            url: settings.text("mail.url"),
            from: settings.text("mail.from"),
            bounce_domain: settings.text("mail.bounce_domain"),
            bounce_maildir: settings.path("mail.bounce_maildir"),
        },
        invite_lifetime: settings.duration("invites.lifetime"),
        sessions: Sessions {
            idle: settings.duration("sessions.idle"),
            absolute: settings.duration("sessions.absolute"),
        },
        passwords: Passwords {
            memory_kib: settings.number("passwords.memory_kib"),
            iterations: settings.number("passwords.iterations"),
        },
        audit_retention: settings.duration("audit.retention"),
        decision_log: DecisionLog {
            sink: settings.text("decision_log.sink").unwrap_or_default(),
            sample: settings.number("decision_log.sample"),
            mask: settings.flag("decision_log.mask"),
        },
        telemetry: Telemetry {
            log_json: settings.text("telemetry.log_format").as_deref() == Some("json"),
            otlp_endpoint: settings.text("telemetry.otlp_endpoint"),
        },
        limits: Limits {
            evaluation_body_bytes_max: settings.number("limits.evaluation_body_bytes_max"),
            batch_body_bytes_max: settings.number("limits.batch_body_bytes_max"),
            batch_items_max: settings.number("limits.batch_items_max"),
            connections_max: settings.number("limits.connections_max"),
            head_ms_max: settings.number("limits.head_ms_max"),
            body_ms_max: settings.number("limits.body_ms_max"),
            idle_ms_max: settings.number("limits.idle_ms_max"),
            drain_ms_max: settings.number("limits.drain_ms_max"),
        },
        data,
    }
}

/// What cannot be, though each key alone can.
fn check(config: &Config, settings: &mut Settings) {
    let decision = &config.decision;
    if !decision.listen.ip().is_loopback() && decision.keys_file.is_none() {
        settings.fault_of(
            "decision.listen",
            "is beyond loopback, where anybody could ask: set `decision.keys_file`, or listen on `127.0.0.1`",
        );
    }
    if let Some(url) = &decision.public_url
        && (!url.starts_with("https://") || url.contains(['?', '#']))
    {
        settings
            .fault_of("decision.public_url", "must be an `https://` address without `?` and `#`");
    }
    if let Some(url) = &config.console.public_url
        && (!is_public_url(url) || url.contains(['?', '#']))
    {
        settings.fault_of(
            "console.public_url",
            "must be an `https://` address, or `http://` to loopback, without `?` and `#`",
        );
    }
    let tls = ["console.tls_certificate", "console.tls_key"];
    if let [Some(one), None] | [None, Some(one)] = tls.map(|path| settings.text(path).map(|_| path))
    {
        settings.fault_of(
            one,
            "needs its other half: set `console.tls_certificate` and `console.tls_key` together",
        );
    }
    if !config.console.listen.ip().is_loopback()
        && config.console.tls.is_none()
        && config.console.trusted_proxies.is_empty()
    {
        settings.fault_of(
            "console.listen",
            "is beyond loopback without TLS: set `console.tls_certificate` and `console.tls_key`, or name your proxy in `console.trusted_proxies`",
        );
    }
    if config.store.kind == StoreKind::Etcd && config.store.endpoints.is_empty() {
        settings.fault_of("store.kind", "is `etcd`, which needs `store.endpoints`");
    }
    if config.sessions.idle > config.sessions.absolute {
        settings.fault_of("sessions.idle", "is longer than `sessions.absolute`: make it shorter");
    }
    if config.limits.evaluation_body_bytes_max > config.limits.batch_body_bytes_max {
        settings.fault_of(
            "limits.evaluation_body_bytes_max",
            "is larger than `limits.batch_body_bytes_max`: raise that one too",
        );
    }
    check_mail(config, settings);
}

fn check_mail(config: &Config, settings: &mut Settings) {
    let mail = &config.mail;
    match (mail.kind.as_deref(), &mail.url) {
        (Some("smtp"), None) => settings.fault_of("mail.kind", "is `smtp`, which needs `mail.url`"),
        (Some("smtp"), Some(url)) => {
            let plain = url
                .strip_prefix("smtp://")
                .map(|rest| rest.rsplit_once('@').map_or(rest, |(_, host)| host));
            let ciphered = url.starts_with("smtps://") || url.contains("tls=required");
            if plain.is_some_and(|host| !is_loopback_host(host)) && !ciphered {
                settings.fault_of(
                    "mail.url",
                    "is plain SMTP beyond loopback, which would show every password: use `smtps://`, or `smtp://...?tls=required`",
                );
            } else if plain.is_none() && !url.starts_with("smtps://") {
                settings.fault_of("mail.url", "must begin with `smtps://` or `smtp://`");
            }
            if mail.from.is_none() {
                settings.fault_of("mail.kind", "is `smtp`, which needs `mail.from`");
            }
        }
        _ => {}
    }
}

fn is_public_url(url: &str) -> bool {
    url.starts_with("https://") || url.strip_prefix("http://").is_some_and(is_loopback_host)
}

/// Whether `HOST[:PORT][/PATH]` is this machine.
fn is_loopback_host(rest: &str) -> bool {
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name == "localhost"
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A whole file with every key at its default, and why one would set it.
#[must_use]
pub fn reference() -> String {
    let mut out =
        String::from("# kwic-team.toml: every key at its default; unset keys are commented out.\n");
    let mut section = "";
    for key in KEYS {
        if key.section != section {
            section = key.section;
            let _ = write!(out, "\n[{section}]\n");
        }
        let Key { name, default, about, .. } = key;
        let _ = match *default {
            "" => writeln!(out, "# {about}\n# {name} ="),
            default => writeln!(out, "# {about}\n{name} = {default}"),
        };
    }
    out
}

/// The name of every key in the environment.
#[must_use]
pub fn variables() -> Vec<String> {
    let secrets =
        KEYS.iter().filter(|key| key.secret).map(|key| format!("{}_FILE", key.variable()));
    KEYS.iter().map(Key::variable).chain(secrets).collect()
}
