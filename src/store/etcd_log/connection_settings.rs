//! How the etcd cluster behind a shared log is reached.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use hyper::Uri;

/// The prefix of all keys, where none is chosen.
pub const PREFIX: &str = "kwic-team/";
/// How long a connection may take to open, TLS included.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a call may take in all.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// The most bytes of a prefix.
const PREFIX_BYTES_MAX: usize = 200;
/// The port of etcd for clients.
const PORT: u16 = 2379;

/// An etcd cluster, and the keys of one deployment in it.
#[derive(Clone, Debug)]
pub struct EtcdSettings {
    /// `http://host:port` or `https://host:port` of each member; port 2379 where none is named. The
    /// first one is asked as long as it answers.
    pub endpoints: Vec<String>,
    /// What all keys begin with: 1 to 200 printable ASCII characters, the last one `/`. One for each
    /// deployment.
    pub prefix: String,
    /// The authorities that certificates of the cluster are checked against, as PEM; without it those
    /// of the system.
    pub ca_file: Option<PathBuf>,
    /// For a cluster that asks its clients for a certificate.
    pub client_certificate: Option<ClientCertificate>,
    /// For a cluster with authentication.
    pub login: Option<EtcdLogin>,
    /// How long a connection may take to open, TLS included.
    pub connect_timeout: Duration,
    /// How long a call may take in all, with every endpoint that is tried.
    pub request_timeout: Duration,
}

/// A certificate of this client.
#[derive(Clone, Debug)]
pub struct ClientCertificate {
    /// The certificate and those that lead to its authority, as PEM.
    pub certificate_file: PathBuf,
    /// Its private key, as PEM.
    pub key_file: PathBuf,
}

/// A user of etcd.
#[derive(Clone)]
pub struct EtcdLogin {
    /// The name.
    pub user: String,
    /// The password.
    pub password: String,
}

impl fmt::Debug for EtcdLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdLogin").field("user", &self.user).finish_non_exhaustive()
    }
}

impl EtcdSettings {
    /// The usual settings: the prefix `kwic-team/`, the system's authorities, no login.
    #[must_use]
    pub fn new(endpoints: Vec<String>) -> Self {
        Self {
            endpoints,
            prefix: PREFIX.to_owned(),
            ca_file: None,
            client_certificate: None,
            login: None,
            connect_timeout: CONNECT_TIMEOUT,
            request_timeout: REQUEST_TIMEOUT,
        }
    }

    /// The prefix.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn checked_prefix(&self) -> Result<&str, String> {
        let prefix = self.prefix.as_str();
        let is_plain = prefix.bytes().all(|byte| byte.is_ascii_graphic());
        if prefix.ends_with('/') && is_plain && prefix.len() <= PREFIX_BYTES_MAX {
            return Ok(prefix);
        }
        Err(format!(
            "the prefix `{}` of keys in etcd is none: take up to {PREFIX_BYTES_MAX} printable ASCII characters without spaces, the last one `/`",
            prefix.escape_debug()
        ))
    }
}

/// The address of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) is_tls: bool,
    /// A name or an IP address, without brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

impl Address {
    /// # Errors
    /// Why it is none.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let none = || {
            format!(
                "`{text}` is no endpoint of etcd: write `http://host:port` or `https://host:port`"
            )
        };
        let uri: Uri = text.parse().map_err(|_| none())?;
        let is_tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(none()),
        };
        let authority = uri.authority().ok_or_else(none)?;
        let is_bare = uri.path_and_query().is_none_or(|path| path == "/");
        if !is_bare || authority.as_str().contains('@') || authority.host().is_empty() {
            return Err(none());
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self { is_tls, host, port: authority.port_u16().unwrap_or(PORT) })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { is_tls, host, port } = self;
        let scheme = if *is_tls { "https" } else { "http" };
        if host.contains(':') {
            write!(f, "{scheme}://[{host}]:{port}")
        } else {
            write!(f, "{scheme}://{host}:{port}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_scheme_a_host_and_a_port() {
        for (text, shown) in [
            ("http://127.0.0.1:2379", "http://127.0.0.1:2379"),
            ("https://etcd.example.org", "https://etcd.example.org:2379"),
            ("https://[::1]:4001/", "https://[::1]:4001"),
        ] {
            assert_eq!(Address::parse(text).unwrap().to_string(), shown);
        }
        for text in ["", "127.0.0.1:2379", "ftp://a:1", "http://", "http://a/v3", "http://u@a:1"] {
            assert!(Address::parse(text).unwrap_err().contains("no endpoint"), "{text}");
        }
    }

    #[test]
    fn a_prefix_ends_with_a_slash_and_has_no_odd_characters() {
        let of = |prefix: &str| {
            let mut settings = EtcdSettings::new(Vec::new());
            prefix.clone_into(&mut settings.prefix);
            settings.checked_prefix().map(str::to_owned)
        };
        for good in ["kwic-team/", "/", "a/b/"] {
            assert_eq!(of(good).as_deref(), Ok(good));
        }
        for bad in ["", "a", "a b/", "\u{e4}/", &format!("{}/", "a".repeat(200))] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let login = EtcdLogin { user: "kwic".to_owned(), password: "s3cret".to_owned() };
        assert!(!format!("{login:?}").contains("s3cret"));
    }
}
