//! The configuration of the sidecar, checked and typed.
//!
//! A file and the environment are read once, at the start; all faults are reported together, each
//! with its line and what to write instead. The only place that reads the environment.

mod config_paths;
mod mail_server;
mod secret_file;
mod settings_reader;
mod settings_table;
mod shared_log_url;
mod solver_path;

use std::fmt::{self, Write as _};
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::domain::{AccountSlug, Email, IpNetwork, Mailbox, limits};
use settings_reader::Settings;
use settings_table::KEYS;

pub use config_paths::{cause_at, remedy, resolve_symlinks};
pub use mail_server::{Login, MailServer, SmtpCredential, SmtpSecurity, TokenSource};
pub use secret_file::SecretFile;
pub use settings_reader::{absolute, duration};
pub use settings_table::SettingDefinition;
pub use shared_log_url::{EtcdAddress, LogAddress};
pub use solver_path::find_solver;

/// One fault of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigFault {
    /// `FILE:LINE`, or the environment variable; empty if two keys conflict.
    pub place: String,
    /// `section.key`, if one key is at fault.
    pub key: String,
    /// What is wrong and what to write instead.
    pub message: String,
}

impl ConfigFault {
    /// The line of the file, where the place is one.
    fn line(&self) -> usize {
        self.place.rsplit_once(':').and_then(|(_, line)| line.parse().ok()).unwrap_or(0)
    }
}

impl fmt::Display for ConfigFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place.as_str() {
            "" | "default" => f.write_str(&self.message),
            place => write!(f, "{place}: {}", self.message),
        }
    }
}

/// The whole configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The data folder: the store's file, `admin.sock`, keys and outbox.
    pub data: PathBuf,
    /// The decision listener.
    pub decision: Decision,
    /// Where people and programs manage the team.
    pub console: Console,
    /// The store.
    pub store: Store,
    /// The fleet that this node is in; `None` for a sidecar on its own.
    pub fleet: Option<Fleet>,
    /// Where policies come from.
    pub policies: Policies,
    /// How mail is sent.
    pub mail: Mail,
    /// How long an invite may be accepted.
    pub invite_lifetime: Duration,
    /// Session timeouts.
    pub sessions: Sessions,
    /// What hashing a password costs.
    pub passwords: Passwords,
    /// How the sidecar tells about itself.
    pub telemetry: Telemetry,
    /// The configurable limits.
    pub limits: Limits,
    /// Settings that work but should be corrected.
    pub warnings: Vec<String>,
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
    pub trusted_proxies: Vec<IpNetwork>,
}

/// Section `store`.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the table of keys says what each is")]
pub struct Store {
    pub path: PathBuf,
    pub cache_mb: usize,
}

/// Section `fleet`, where `fleet.log` is set.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the table of keys says what each is")]
pub struct Fleet {
    pub log: LogAddress,
    pub password_file: Option<PathBuf>,
    pub ca_file: Option<PathBuf>,
    pub cert_file: Option<PathBuf>,
    pub key_file: Option<PathBuf>,
    pub name: String,
    pub max_staleness: Duration,
    pub on_stale: OnStale,
    pub keep_old_days: u32,
}

impl Fleet {
    /// The password of the user in `fleet.log`; none if no file is named.
    ///
    /// # Errors
    /// A sentence that names the file, and never what is in it.
    pub fn password(&self) -> Result<Option<String>, String> {
        let Some(file) = &self.password_file else { return Ok(None) };
        let place = file.display();
        let secret = SecretFile::read(file)
            .map_err(|why| format!("`{place}`, which `fleet.password_file` names, {why}"))?;
        match secret.text.trim_end_matches(['\n', '\r']) {
            "" => Err(format!("`{place}`, which `fleet.password_file` names, is empty")),
            password => Ok(Some(password.to_owned())),
        }
    }
}

/// What a node does about decisions while it is stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnStale {
    /// Denies every one.
    Deny,
    /// Answers by what it knows.
    Answer,
}

impl OnStale {
    /// As it is configured.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Answer => "answer",
        }
    }
}

/// Where the live policies come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicySource {
    /// From the folder of this node.
    Folder,
    /// From the fleet: what was published last.
    Fleet,
}

/// Section `policies`.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the table of keys says what each is")]
pub struct Policies {
    pub dir: Option<PathBuf>,
    pub source: PolicySource,
    pub watch: bool,
    pub managed_by: Option<AccountSlug>,
    pub hold_widening: bool,
    pub two_person: bool,
    pub shadow: Option<PathBuf>,
    pub shadow_sample: u64,
    pub demand_proof: bool,
}

/// Section `mail`. Its address carries a password: it is never printed.
#[derive(Clone, Default)]
#[expect(missing_docs, reason = "the table of keys says what each is")]
pub struct Mail {
    pub kind: Option<String>,
    pub url: Option<String>,
    pub from: Option<String>,
    pub bounce_domain: Option<String>,
    pub bounce_maildir: Option<PathBuf>,
    pub oauth_token_file: Option<PathBuf>,
    pub oauth_token_command: Vec<String>,
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

/// Section `telemetry`.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the table of keys says what each is")]
pub struct Telemetry {
    pub log_json: bool,
    pub log_level: String,
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

/// The process's environment, for [`Config::load`]. A value that is not UTF-8 is ignored, or
/// becomes text that names no file: a stray byte elsewhere must not stop the sidecar.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| {
        Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
    })
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
        let mut config = build(&mut settings, data);
        check(&config, &mut settings);
        config.warnings = warnings(&config, file, &settings);
        if settings.faults.is_empty() { Ok(config) } else { Err(settings.faults) }
    }
}

/// Settings as types. Each has been checked or has a default, so what remains is wiring.
fn build(settings: &mut Settings, data: PathBuf) -> Config {
    let data = absolute(data);
    let slug = |path: &str| settings.text(path).and_then(|slug| AccountSlug::parse(&slug).ok());
    let address = |path: &str, port: u16| {
        let text = settings.text(path);
        text.and_then(|text| text.parse().ok())
            .unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], port)))
    };
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
            trusted_proxies: {
                let listed = settings.list("console.trusted_proxies");
                listed.iter().filter_map(|text| IpNetwork::parse(text)).collect()
            },
        },
        store: Store {
            path: settings.path("store.path").unwrap_or_else(|| data.join("kwic.redb")),
            cache_mb: settings.number("store.cache_mb"),
        },
        fleet: fleet(settings),
        policies: Policies {
            dir: settings.path("policies.dir"),
            source: match settings.text("policies.source").as_deref() {
                Some("fleet") => PolicySource::Fleet,
                _ => PolicySource::Folder,
            },
            watch: settings.flag("policies.watch"),
            managed_by: slug("policies.managed_by"),
            hold_widening: settings.flag("policies.hold_widening"),
            two_person: settings.flag("policies.two_person"),
            shadow: settings.path("policies.shadow"),
            shadow_sample: settings.number("policies.shadow_sample"),
            demand_proof: settings.flag("policies.demand_proof"),
        },
        mail: Mail {
            kind: settings.text("mail.kind"),
            url: settings.text("mail.url"),
            from: settings.text("mail.from"),
            bounce_domain: settings.text("mail.bounce_domain"),
            bounce_maildir: settings.path("mail.bounce_maildir"),
            oauth_token_file: settings.path("mail.oauth_token_file"),
            oauth_token_command: settings.list("mail.oauth_token_command"),
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
        telemetry: Telemetry {
            log_json: settings.text("telemetry.log_format").as_deref() == Some("json"),
            log_level: settings.text("telemetry.log_level").unwrap_or_default(),
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
        warnings: Vec::new(),
        data,
    }
}

/// The fleet; `None` without a log, or where [`check_fleet`] reports its address.
fn fleet(settings: &Settings) -> Option<Fleet> {
    let log = LogAddress::parse(&settings.text("fleet.log")?).ok()?;
    let on_stale = match settings.text("fleet.on_stale").as_deref() {
        Some("answer") => OnStale::Answer,
        _ => OnStale::Deny,
    };
    Some(Fleet {
        log,
        password_file: settings.path("fleet.password_file"),
        ca_file: settings.path("fleet.ca_file"),
        cert_file: settings.path("fleet.cert_file"),
        key_file: settings.path("fleet.key_file"),
        name: settings.text("fleet.name").unwrap_or_else(host_name),
        max_staleness: settings.duration("fleet.max_staleness"),
        on_stale,
        keep_old_days: settings.number("fleet.keep_old_days"),
    })
}

/// The name of this host; empty if it has none that can be read.
fn host_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname");
    name.map(|name| name.trim().to_owned()).unwrap_or_default()
}

/// Settings that work but should be corrected.
fn warnings(config: &Config, file: Option<&Path>, settings: &Settings) -> Vec<String> {
    let Console { listen, public_url, trusted_proxies, .. } = &config.console;
    let own = listen.ip();
    let proxied = public_url.as_deref().is_some_and(|url| url.starts_with("https://"))
        || !trusted_proxies.is_empty();
    let mut warnings = Vec::new();
    if proxied && own.is_loopback() && !trusted_proxies.iter().any(|known| known.contains(own)) {
        warnings.push(format!(
            "a proxy on this machine forwards to `console.listen`, and `console.trusted_proxies` does not name it: all callers seem to have one address, so that one stranger's wrong passwords slow down everybody's sign-in; have the proxy set `X-Forwarded-For`, and write `trusted_proxies = [\"{own}\"]` under `[console]`"
        ));
    }
    warnings.extend(settings.exposed.iter().cloned());
    warnings.extend(config.mail.oauth_token_file.as_deref().and_then(token_warning));
    let fleet = config.fleet.as_ref();
    let secrets = [
        ("fleet.password_file", fleet.and_then(|fleet| fleet.password_file.as_deref())),
        ("fleet.key_file", fleet.and_then(|fleet| fleet.key_file.as_deref())),
    ];
    warnings.extend(secrets.iter().filter_map(|(key, file)| exposed_warning(key, (*file)?)));
    let password = MailServer::of(&config.mail).is_ok_and(|server| server.has_password());
    if password
        && let Some(file) = file.filter(|_| settings.is_in_file("mail.url"))
        && fs::metadata(file).is_ok_and(|meta| meta.permissions().mode() & 0o007 != 0)
    {
        let place = file.display();
        warnings.push(format!(
            "everybody on this machine may read `{place}`, which holds the password in `mail.url`: run `chmod o= {place}`"
        ));
    }
    warnings
}

/// Whether others may read a file with a secret. One that cannot be read is a fault elsewhere.
fn exposed_warning(key: &str, file: &Path) -> Option<String> {
    let (mode, place) = (SecretFile::read(file).ok()?.exposed?, file.display());
    Some(format!(
        "others may read `{place}`, which `{key}` names (mode {mode:04o}): run `chmod 600 {place}`"
    ))
}

/// A problem of the file with the access token; the file may still appear later.
fn token_warning(file: &Path) -> Option<String> {
    let place = file.display();
    match SecretFile::read(file) {
        Ok(_) => exposed_warning("mail.oauth_token_file", file),
        Err(why) => Some(format!(
            "`{place}`, which `mail.oauth_token_file` names, {why}: mail waits until the token is there"
        )),
    }
}

/// Checks combinations of keys.
fn check(config: &Config, settings: &mut Settings) {
    let decision = &config.decision;
    if !decision.listen.ip().is_loopback() && decision.keys_file.is_none() {
        settings.fault_of(
            "decision.listen",
            "is not a loopback address, so anybody could ask for decisions: set `decision.keys_file`, or listen on `127.0.0.1`",
        );
    }
    if decision.public_url.as_deref().is_some_and(|url| !is_public_url(url, false)) {
        settings
            .fault_of("decision.public_url", "must be an `https://` address without `?` and `#`");
    }
    if config.console.public_url.as_deref().is_some_and(|url| !is_public_url(url, true)) {
        settings.fault_of(
            "console.public_url",
            "must be an `https://` address, or `http://` to loopback, without `?` and `#`",
        );
    }
    if decision.listen.port() != 0 && decision.listen == config.console.listen {
        settings.fault_of(
            "console.listen",
            "is the same as `decision.listen`: give one of them another port",
        );
    }
    if decision.socket.as_ref().is_some_and(|socket| *socket == config.data.join("admin.sock")) {
        settings.fault_of(
            "decision.socket",
            "is the socket of the management API, where every caller could manage the team: name another",
        );
    }
    let proxies = settings.list("console.trusted_proxies");
    if let Some(proxy) = proxies.iter().find(|text| IpNetwork::parse(text).is_none()) {
        let proxy = proxy.escape_debug();
        settings.fault_of(
            "console.trusted_proxies",
            format!(
                "has `{proxy}`: write addresses or networks, such as `10.0.0.1` or `10.0.0.0/8`"
            ),
        );
    }
    if !config.console.listen.ip().is_loopback() && config.console.trusted_proxies.is_empty() {
        settings.fault_of(
            "console.listen",
            "is not a loopback address and has no TLS: put a proxy in front, and name it in `console.trusted_proxies`",
        );
    }
    if config.sessions.idle > config.sessions.absolute {
        settings.fault_of("sessions.idle", "is longer than `sessions.absolute`: make it shorter");
    }
    let lifetimes = limits::INVITE_LIFETIME_MIN..=limits::INVITE_LIFETIME_MAX;
    if !lifetimes.contains(&config.invite_lifetime) {
        settings.fault_of("invites.lifetime", "must be from `1h` to `720h`, which is 30 days");
    }
    if config.limits.evaluation_body_bytes_max > config.limits.batch_body_bytes_max {
        settings.fault_of(
            "limits.evaluation_body_bytes_max",
            "is larger than `limits.batch_body_bytes_max`: raise that one too",
        );
    }
    let mut filters = config.telemetry.log_level.split(',');
    if let Some(filter) = filters.find(|filter| !is_log_filter(filter)) {
        let filter = filter.escape_debug();
        settings.fault_of(
            "telemetry.log_level",
            format!(
                "has `{filter}`: write one of `{}`, or a module with one, such as `hyper=debug`",
                LOG_LEVELS.join("`, `")
            ),
        );
    }
    check_fleet(config, settings);
    check_mail(config, settings);
    if config.policies.source == PolicySource::Fleet && settings.text("fleet.log").is_none() {
        settings.fault_of(
            "policies.source",
            "is `fleet`, and there is no `fleet.log`: a sidecar on its own has its policies from a folder, so leave this out",
        );
    }
    let Policies { two_person, hold_widening, managed_by, .. } = &config.policies;
    if *two_person && (!hold_widening || managed_by.is_none()) {
        settings.fault_of(
            "policies.two_person",
            "needs `policies.hold_widening = true`, and the account in `policies.managed_by` whose members approve what comes from the machine of the sidecar",
        );
    }
}

/// Shorter, a node that asks its log once a second would be stale by a single slow answer.
const MAX_STALENESS_MIN: Duration = Duration::from_secs(4);
const MAX_STALENESS_MAX: Duration = Duration::from_secs(168 * 3_600);
/// Longest name of a node, in bytes.
const NODE_NAME_BYTES_MAX: usize = 64;

fn check_fleet(config: &Config, settings: &mut Settings) {
    let Some(url) = settings.text("fleet.log") else {
        // These keys mean that a log is expected to be followed.
        for key in [
            "fleet.password_file",
            "fleet.ca_file",
            "fleet.cert_file",
            "fleet.key_file",
            "fleet.on_stale",
        ] {
            if settings.text(key).is_some() {
                settings.fault_of(key, "is set, so set `fleet.log` as well, or leave it out");
            }
        }
        return;
    };
    if settings.text("fleet.on_stale").is_none() {
        settings.fault_of(
            "fleet.on_stale",
            "must be set with `fleet.log`: `deny` or `answer`. With `deny`, a node that has not heard from the log for `fleet.max_staleness` denies every decision, so nobody can work there until the log is back. With `answer`, it goes on deciding by what it knows, so somebody who was removed on another node keeps access there until the log is back",
        );
    }
    let staleness = settings.duration("fleet.max_staleness");
    if !(MAX_STALENESS_MIN..=MAX_STALENESS_MAX).contains(&staleness) {
        settings.fault_of("fleet.max_staleness", "must be from `4s` to `168h`, which is 7 days");
    }
    if let Err(why) = LogAddress::parse(&url) {
        settings.fault_of("fleet.log", why);
    }
    let Some(Fleet { log, name, cert_file, key_file, .. }) = &config.fleet else { return };
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.is_empty() || name.len() > NODE_NAME_BYTES_MAX || !name.chars().all(is_of_name) {
        settings.fault_of(
            "fleet.name",
            format!(
                "must have 1 to {NODE_NAME_BYTES_MAX} letters, digits, `.`, `_` and `-`; without it, the host's name is used"
            ),
        );
    }
    if cert_file.is_some() != key_file.is_some() {
        let (key, other) = match cert_file {
            Some(_) => ("fleet.cert_file", "fleet.key_file"),
            None => ("fleet.key_file", "fleet.cert_file"),
        };
        settings.fault_of(key, format!("is set, so set `{other}` as well"));
    } else if cert_file.is_some() && matches!(log, LogAddress::Postgres(_)) {
        settings.fault_of(
            "fleet.cert_file",
            "is for etcd only: leave it and `fleet.key_file` out, and give the password in `fleet.password_file`",
        );
    }
}

/// The levels of log lines, the fewest lines first.
const LOG_LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Whether this is a level, or a module with one.
fn is_log_filter(text: &str) -> bool {
    let (module, level) = text.trim().split_once('=').unwrap_or(("all", text.trim()));
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    LOG_LEVELS.contains(&level) && !module.is_empty() && module.chars().all(is_name)
}

fn check_mail(config: &Config, settings: &mut Settings) {
    let mail = &config.mail;
    if let Some(Err(why)) = mail.from.as_deref().map(Mailbox::parse) {
        settings.fault_of("mail.from", format!("is not a sender's address: {why}"));
    }
    if let Some(domain) = &mail.bounce_domain
        && Email::parse(&format!("bounce@{domain}")).is_err()
    {
        settings.fault_of("mail.bounce_domain", "is not a domain: write it as `example.org`");
    }
    if mail.kind.as_deref() != Some("smtp") {
        // These keys mean that mail is expected to be sent.
        let token = [
            ("mail.url", mail.url.is_some()),
            ("mail.oauth_token_file", mail.oauth_token_file.is_some()),
            ("mail.oauth_token_command", !mail.oauth_token_command.is_empty()),
        ];
        for (key, _) in token.into_iter().filter(|(_, is_set)| *is_set) {
            settings.fault_of(key, "is set, so set `mail.kind = \"smtp\"` as well");
        }
        return;
    }
    if let Err((key, why)) = MailServer::of(mail) {
        settings.fault_of(key, why);
    }
    if mail.from.is_none() {
        settings.fault_of("mail.kind", "is `smtp`, which needs `mail.from`");
    }
    if config.console.public_url.is_none() {
        // Links to this machine would not work for the recipients of mail.
        settings.fault_of(
            "mail.kind",
            "is `smtp`, which needs `console.public_url`: links in mail lead there",
        );
    }
}

/// Whether a URL can be the base of links: `https`, or `http` to this machine where that is
/// allowed.
fn is_public_url(url: &str, plain_loopback: bool) -> bool {
    let host = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
        (Some(rest), _) => host_of(rest),
        (_, Some(rest)) if plain_loopback && is_loopback(host_of(rest)) => host_of(rest),
        _ => return false,
    };
    let odd = |c: char| c.is_whitespace() || c.is_control() || "?#@\"<>\\".contains(c);
    !host.is_empty() && !url.contains(odd)
}

/// The host of `[USER[:PASSWORD]@]HOST[:PORT][/PATH][?QUERY]`. Path and query are removed first: an
/// `@` in them is no separator.
fn host_of(rest: &str) -> &str {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
    match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => place.rsplit_once(':').map_or(place, |(host, _)| host),
    }
}

/// Whether a host is this machine.
fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A configuration file with every key at its default, and the purpose of each.
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
        let SettingDefinition { name, default, about, .. } = key;
        let _ = match *default {
            "" => writeln!(out, "# {about}\n# {name} ="),
            default => writeln!(out, "# {about}\n{name} = {default}"),
        };
    }
    out
}

/// Every key, for a description of each.
#[must_use]
pub fn keys() -> &'static [SettingDefinition] {
    KEYS
}

/// The name of every key in the environment.
#[must_use]
pub fn variables() -> Vec<String> {
    let secrets =
        KEYS.iter().filter(|key| key.is_secret()).map(|key| format!("{}_FILE", key.variable()));
    KEYS.iter().map(SettingDefinition::variable).chain(secrets).collect()
}
