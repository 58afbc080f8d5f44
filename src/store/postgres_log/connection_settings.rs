//! Where a log on PostgreSQL is, and whom it may be reached by: read and checked before anything is
//! sent.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::tables;
use crate::tls_authorities;

/// Where a log is. Its address may carry a password: it is never printed.
#[derive(Clone)]
pub struct PostgresSettings {
    /// A connection string of PostgreSQL: `postgresql://user:password@host:5432/database`, or
    /// `host=... user=...`. Of several hosts the first that takes changes is used, so that a
    /// failover is followed. Other machines are reached by TLS only, and a certificate is always
    /// verified: `sslmode` is left out, or `verify-full` or `require`, which are one here. A socket
    /// (`host=/folder`) and this machine's loopback need none.
    pub url: String,
    /// A PEM file of the authorities that are trusted, in place of those of the system.
    pub ca_file: Option<PathBuf>,
    /// The schema of the log's tables: lower-case letters, digits and `_`.
    pub schema: String,
    /// How long connecting to a host may take, with everything that is asked before its first use.
    pub connect_timeout: Duration,
    /// How long an answer may take. A statement that waits longer than four fifths of it is ended
    /// by the server, one that waits for a lock after two fifths.
    pub answer_timeout: Duration,
}

impl PostgresSettings {
    /// The log at a connection string, in the schema `kwic_team`; five seconds for a connection, and
    /// for an answer.
    #[must_use]
    pub fn new(url: String) -> Self {
        let five = Duration::from_secs(5);
        Self {
            url,
            ca_file: None,
            schema: "kwic_team".to_owned(),
            connect_timeout: five,
            answer_timeout: five,
        }
    }
}

impl fmt::Debug for PostgresSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresSettings").field("schema", &self.schema).finish_non_exhaustive()
    }
}

/// One host of a log.
pub(super) struct LogHost {
    /// As people call it: `name:port`.
    pub(super) name: String,
    pub(super) config: Config,
}

/// The settings, checked.
pub(super) struct LogServer {
    pub(super) hosts: Vec<LogHost>,
    pub(super) tls: MakeRustlsConnect,
    pub(super) schema: String,
    pub(super) connect_timeout: Duration,
    pub(super) answer_timeout: Duration,
}

impl LogServer {
    /// Checks settings. Sends nothing.
    ///
    /// # Errors
    /// What is wrong, and what to write instead.
    pub(super) fn of(settings: &PostgresSettings) -> Result<Self, String> {
        let PostgresSettings { url, ca_file, schema, connect_timeout, answer_timeout } = settings;
        if !tables::is_schema_name(schema) {
            return Err(format!(
                "`{schema}` cannot be the schema of the log: write up to 63 lower-case letters, digits and `_`, not beginning with a digit or `pg_`"
            ));
        }
        if connect_timeout.is_zero() || *answer_timeout < ANSWER_TIMEOUT_MIN {
            return Err(format!(
                "the time for an answer of the log is at least {ANSWER_TIMEOUT_MIN:?}, and that for a connection is not zero"
            ));
        }
        // The library knows the mode by another name: each certificate is verified in full.
        let known = url.replace("sslmode=verify-full", "sslmode=require");
        let all: Config = known.parse().map_err(|fault| no_address(&fault))?;
        let hosts = hosts(&all, *connect_timeout)?;
        let tls = MakeRustlsConnect::new(tls_authorities::client_config(ca_file.as_deref())?);
        let (schema, connect_timeout) = (schema.clone(), *connect_timeout);
        Ok(Self { hosts, tls, schema, connect_timeout, answer_timeout: *answer_timeout })
    }

    /// How long connecting to any of the hosts may take.
    pub(super) fn connect_patience(&self) -> Duration {
        let hosts = u32::try_from(self.hosts.len()).unwrap_or(u32::MAX);
        self.connect_timeout.saturating_mul(hosts)
    }
}

/// Below it, what the server may take is no whole number of milliseconds worth having.
const ANSWER_TIMEOUT_MIN: Duration = Duration::from_millis(100);

fn no_address(fault: &tokio_postgres::Error) -> String {
    let why = std::error::Error::source(fault).map(ToString::to_string).unwrap_or_default();
    format!(
        "the address of the log is no connection string of PostgreSQL ({why}): write `postgresql://user:password@host:5432/database`; the file of authorities is a setting of its own"
    )
}

/// A configuration for each host: each has its own time, so that one that hangs does not keep from
/// the next.
fn hosts(all: &Config, connect_timeout: Duration) -> Result<Vec<LogHost>, String> {
    let (names, addresses, ports) = (all.get_hosts(), all.get_hostaddrs(), all.get_ports());
    let count = names.len().max(addresses.len());
    let fits = |len: usize| len == 0 || len == count;
    if count == 0 {
        let write = "write `postgresql://user:password@host:5432/database`";
        return Err(format!("the address of the log names no host: {write}"));
    }
    if !fits(names.len()) || !fits(addresses.len()) || !(ports.len() <= 1 || ports.len() == count) {
        let write = "write one of each for every host";
        return Err(format!("hosts, addresses and ports of the log differ in number: {write}"));
    }
    let at = |number: usize| {
        let port = ports.get(number).or(ports.first()).copied().unwrap_or(5432);
        one_host(all, names.get(number), addresses.get(number).copied(), port, connect_timeout)
    };
    (0..count).map(at).collect()
}

fn one_host(
    all: &Config,
    host: Option<&Host>,
    address: Option<IpAddr>,
    port: u16,
    connect_timeout: Duration,
) -> Result<LogHost, String> {
    let name = match (host, address) {
        (Some(Host::Tcp(name)), _) => name.clone(),
        (Some(Host::Unix(folder)), _) => folder.display().to_string(),
        (None, address) => address.map(|address| address.to_string()).unwrap_or_default(),
    };
    let is_socket = matches!(host, Some(Host::Unix(_))) && address.is_none();
    let is_loopback = match address {
        Some(address) => address.is_loopback(),
        None => name == "localhost" || name.parse().is_ok_and(|it: IpAddr| it.is_loopback()),
    };
    let mode = match all.get_ssl_mode() {
        SslMode::Disable if !is_socket && !is_loopback => {
            return Err(format!(
                "`{name}` is another machine, and `sslmode=disable` would send the password and the log in clear text: leave `sslmode` out, let the server offer TLS, and name the file with its authority if the system does not know it"
            ));
        }
        // A socket has no TLS. The library's default would go on in clear text where a server
        // offers none.
        _ if is_socket => SslMode::Disable,
        SslMode::Prefer if is_loopback => SslMode::Disable,
        SslMode::Prefer => SslMode::Require,
        mode => mode,
    };
    let mut config = Config::new();
    match host {
        Some(Host::Tcp(name)) => config.host(name),
        Some(Host::Unix(folder)) => config.host_path(folder),
        None => &mut config,
    };
    if let Some(address) = address {
        config.hostaddr(address);
    }
    if let Some(user) = all.get_user() {
        config.user(user);
    }
    if let Some(password) = all.get_password() {
        config.password(password);
    }
    if let Some(database) = all.get_dbname() {
        config.dbname(database);
    }
    if let Some(options) = all.get_options() {
        config.options(options);
    }
    config.application_name(all.get_application_name().unwrap_or("kwic-team"));
    config.ssl_mode(mode).ssl_negotiation(all.get_ssl_negotiation());
    config.channel_binding(all.get_channel_binding());
    config.target_session_attrs(TargetSessionAttrs::ReadWrite);
    // A name with several addresses: the first one that hangs leaves time for the next.
    config.port(port).connect_timeout(connect_timeout / 2);
    config.keepalives(true).keepalives_idle(KEEPALIVE).keepalives_interval(KEEPALIVE);
    config.keepalives_retries(KEEPALIVE_TRIES).tcp_user_timeout(KEEPALIVE * KEEPALIVE_TRIES);
    Ok(LogHost { name: format!("{name}:{port}"), config })
}

/// After what silence, and how often, the other side of a connection is asked whether it is there.
const KEEPALIVE: Duration = Duration::from_secs(5);
const KEEPALIVE_TRIES: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Result<LogServer, String> {
        LogServer::of(&PostgresSettings::new(url.to_owned()))
    }

    fn modes(url: &str) -> Vec<SslMode> {
        read(url).unwrap().hosts.iter().map(|host| host.config.get_ssl_mode()).collect()
    }

    fn refused(url: &str) -> String {
        read(url).err().unwrap_or_else(|| panic!("taken: {url}"))
    }

    #[test]
    fn another_machine_is_reached_by_tls_only() {
        use SslMode::{Disable, Require};
        assert_eq!(modes("postgresql://a@db.example/x"), [Require]);
        assert_eq!(modes("postgresql://a@db.example/x?sslmode=prefer"), [Require]);
        assert_eq!(modes("postgresql://a@db.example/x?sslmode=verify-full"), [Require]);
        assert_eq!(modes("host=/run/postgresql user=a"), [Disable]);
        assert_eq!(modes("postgresql://a@localhost/x"), [Disable]);
        assert_eq!(modes("postgresql://a@127.0.0.1,[::1],10.0.0.1/x"), [Disable, Disable, Require]);
        assert_eq!(modes("postgresql://a@127.0.0.1/x?sslmode=require"), [Require]);
        // The address is what is reached, whatever the name.
        assert_eq!(modes("host=localhost hostaddr=10.0.0.1 user=a"), [Require]);
        let said = refused("postgresql://a:secret@127.0.0.1,db.example/x?sslmode=disable");
        assert!(said.starts_with("`db.example` is another machine") && !said.contains("secret"));
    }

    #[test]
    fn what_is_no_address_is_refused_with_what_to_write() {
        for (url, what) in [
            ("postgresql:///x", "names no host"),
            ("host=a,b port=1,2,3 user=x", "differ in number"),
            ("host=a hostaddr=127.0.0.1,127.0.0.2", "differ in number"),
            ("mysql://a", "is no connection string"),
            ("postgresql://a@h/x?sslmode=allow", "sslmode"),
            ("postgresql://a@h/x?sslrootcert=/ca.pem", "sslrootcert"),
        ] {
            let said = refused(url);
            assert!(said.contains(what) && said.contains("write "), "{url}: {said}");
        }
        let mut settings = PostgresSettings::new("host=localhost".to_owned());
        for schema in ["", "Team", "1a", "a b", "a\"b", "pg_a", &"a".repeat(64)] {
            settings.schema = schema.to_owned();
            assert!(LogServer::of(&settings).is_err(), "{schema}");
        }
    }

    #[test]
    fn each_host_has_its_port_and_takes_changes() {
        let server = read("postgresql://u:p@a:1,b:2/d?application_name=n").unwrap();
        let ports: Vec<_> = server.hosts.iter().flat_map(|host| host.config.get_ports()).collect();
        assert_eq!(ports, [&1, &2]);
        for host in &server.hosts {
            assert_eq!(host.config.get_target_session_attrs(), TargetSessionAttrs::ReadWrite);
            assert_eq!(host.config.get_password(), Some(&b"p"[..]));
        }
        assert!(!format!("{:?}", PostgresSettings::new("host=a password=p".into())).contains('='));
    }
}
