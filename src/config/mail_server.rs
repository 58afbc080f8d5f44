//! The mail server: `smtps://USER:PASSWORD@HOST:PORT`, and the source of an access token.
//!
//! The only parser of that URL. Never repeats it in a message, because it contains a password.

use std::net::IpAddr;
use std::path::PathBuf;

use super::Mail;
use crate::percent_encoding::decoded;

/// The mail server, and the login.
pub struct MailServer {
    /// The host, without brackets.
    pub host: String,
    /// The port; that of the scheme where the address names none.
    pub port: u16,
    /// The login, if there is one.
    pub login: Option<Login>,
    /// How the connection is encrypted.
    pub scheme: SmtpSecurity,
}

/// The login.
pub struct Login {
    /// The user name.
    pub user: String,
    /// The credential of the login.
    pub proof: SmtpCredential,
}

/// The credential of a login. Never printed.
pub enum SmtpCredential {
    /// A password.
    Password(String),
    /// An access token (XOAUTH2), which is read for each connection.
    Token(TokenSource),
}

impl SmtpCredential {
    /// The key that names the token; `None` for a password.
    #[must_use]
    pub const fn key(&self) -> Option<&'static str> {
        match self {
            Self::Password(_) => None,
            Self::Token(source) => Some(source.key()),
        }
    }
}

/// Where an access token comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenSource {
    /// A file.
    File(PathBuf),
    /// A program that prints it, and its arguments.
    Command(Vec<String>),
}

impl TokenSource {
    /// The configuration key.
    #[must_use]
    pub const fn key(&self) -> &'static str {
        match self {
            Self::File(_) => "mail.oauth_token_file",
            Self::Command(_) => "mail.oauth_token_command",
        }
    }
}

/// How a connection is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpSecurity {
    /// `smtps://`: TLS from the first byte (RFC 8314 section 3.3).
    Implicit,
    /// `smtp://` with `tls=required`: STARTTLS is required.
    StartTls,
    /// `smtp://` to this machine.
    Open,
}

impl MailServer {
    /// The mail server of `mail.url` and the keys of the token; or the key at fault, and the rest
    /// of a sentence about it.
    ///
    /// # Errors
    /// The first fault.
    pub fn of(mail: &Mail) -> Result<Self, (&'static str, String)> {
        let source = token_source(mail)?;
        let at_url = |why: String| ("mail.url", why);
        let Some(url) = &mail.url else {
            return Err(("mail.kind", "is `smtp`, which needs `mail.url`".to_owned()));
        };
        Self::parse(url, source).map_err(at_url)
    }

    /// Parses the URL; the error is the rest of a sentence about `mail.url`, which never repeats
    /// it.
    fn parse(url: &str, source: Option<TokenSource>) -> Result<Self, String> {
        let (implicit, rest) = match (url.strip_prefix("smtps://"), url.strip_prefix("smtp://")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => return Err("must begin with `smtps://` or `smtp://`".to_owned()),
        };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '#']) {
            return Err(
                "has a path: write `%2F` for `/` and `%23` for `#` in a password".to_owned()
            );
        }
        let scheme = match (implicit, query) {
            (true, "") => SmtpSecurity::Implicit,
            (false, "tls=required") => SmtpSecurity::StartTls,
            (false, "") => SmtpSecurity::Open,
            _ => {
                return Err("takes nothing after `?` but `tls=required`, and only with `smtp://`"
                    .to_owned());
            }
        };
        let (login, place) = match authority.rsplit_once('@') {
            Some((login, place)) => (Some(login), place),
            None => (None, authority),
        };
        let (host, port) = host_and_port(place)?;
        if scheme == SmtpSecurity::Open && !is_loopback(host) {
            return Err(
                "is plain SMTP to another host, which would expose the password: use `smtps://`, or `smtp://...?tls=required`"
                    .to_owned(),
            );
        }
        let login = match (login, source) {
            (Some(login), source) => Some(Login::parse(login, source)?),
            (None, Some(_)) => {
                return Err(
                    "names no user for the access token: write `smtps://USER@HOST`".to_owned()
                );
            }
            (None, None) => None,
        };
        let usual = match scheme {
            SmtpSecurity::Implicit => 465,
            SmtpSecurity::StartTls => 587,
            SmtpSecurity::Open => 25,
        };
        Ok(Self { host: host.to_owned(), port: port.unwrap_or(usual), login, scheme })
    }

    /// Whether the URL contains a password.
    #[must_use]
    pub fn has_password(&self) -> bool {
        self.login.as_ref().is_some_and(|login| matches!(login.proof, SmtpCredential::Password(_)))
    }
}

/// The source of the token; `None` if none is configured.
fn token_source(mail: &Mail) -> Result<Option<TokenSource>, (&'static str, String)> {
    match (&mail.oauth_token_file, mail.oauth_token_command.as_slice()) {
        (None, []) => Ok(None),
        (Some(file), []) => Ok(Some(TokenSource::File(file.clone()))),
        (None, [program, ..]) if program.trim().is_empty() => Err((
            "mail.oauth_token_command",
            "names no program: write it first, then its arguments".to_owned(),
        )),
        (None, command) => Ok(Some(TokenSource::Command(command.to_vec()))),
        (Some(_), _) => Err((
            "mail.oauth_token_command",
            "and `mail.oauth_token_file` are both set: leave one of them out".to_owned(),
        )),
    }
}

impl Login {
    fn parse(text: &str, source: Option<TokenSource>) -> Result<Self, String> {
        let decode = |part| {
            decoded(part)
                .ok_or("has a `%` that two hexadecimal digits must follow: write `%25` for `%`")
        };
        let (user, proof) = match (text.split_once(':'), source) {
            (None, Some(source)) => (decode(text)?, SmtpCredential::Token(source)),
            (Some(_), Some(source)) => {
                let key = source.key();
                return Err(format!(
                    "has a password, and `{key}` is set: leave the password out, as in `smtps://USER@HOST`, or the key"
                ));
            }
            (Some((user, password)), None) => {
                (decode(user)?, SmtpCredential::Password(decode(password)?))
            }
            (None, None) => {
                return Err("names a user without a password: write `USER:PASSWORD@`".to_owned());
            }
        };
        if user.is_empty()
            || matches!(&proof, SmtpCredential::Password(password) if password.is_empty())
        {
            return Err("has an empty user or password: write `USER:PASSWORD@`".to_owned());
        }
        if user.contains(char::is_control) {
            return Err("has a control character in the user's name: remove it".to_owned());
        }
        Ok(Self { user, proof })
    }
}

/// `HOST`, `HOST:PORT`, `[IPV6]` or `[IPV6]:PORT`.
fn host_and_port(place: &str) -> Result<(&str, Option<u16>), String> {
    let (host, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':')),
        None => match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    if host.is_empty() {
        return Err("names no host: write `smtps://USER:PASSWORD@HOST`".to_owned());
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    if !host.chars().all(is_plain) && host.parse::<IpAddr>().is_err() {
        return Err("names a host with a character that no host name has".to_owned());
    }
    let port = port.map(|port| port.parse().map_err(|_| "has a port that is not a number"));
    Ok((host, port.transpose()?))
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<MailServer, String> {
        MailServer::parse(url, None)
    }

    #[test]
    fn an_address_says_where_and_how() {
        let server = parse("smtps://me%40x:p%3Aw%2F%25@mail.example.org").unwrap();
        assert!(server.has_password());
        let Some(Login { user, proof: SmtpCredential::Password(password) }) = server.login else {
            panic!("no password")
        };
        assert_eq!((user.as_str(), password.as_str()), ("me@x", "p:w/%"));
        assert_eq!((server.host.as_str(), server.port), ("mail.example.org", 465));
        assert_eq!(server.scheme, SmtpSecurity::Implicit);
        let server = parse("smtp://mail.example.org?tls=required").unwrap();
        assert_eq!((server.port, server.scheme), (587, SmtpSecurity::StartTls));
        let server = parse("smtp://[::1]:2525/").unwrap();
        assert_eq!((server.host.as_str(), server.port), ("::1", 2525));
        assert_eq!(parse("smtp://localhost").unwrap().port, 25);
    }

    #[test]
    fn an_address_that_would_show_a_password_is_refused() {
        for url in [
            "smtp://mail.example.org",
            "smtp://u:p@192.0.2.1:25",
            "smtp://mail.example.org?tls=optional",
            "smtps://mail.example.org?tls=none",
            "http://localhost",
            "smtps://",
            "smtps://u@mail.example.org",
            "smtps://u:%zz@mail.example.org",
            "smtps://u:%4@mail.example.org",
            "smtps://u:a/b@mail.example.org",
            "smtps://mail.example.org:port",
            "smtps://mail example.org",
            "smtp://127.0.0.1:25@mail.example.org",
        ] {
            assert!(parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn a_refusal_shows_no_password() {
        for url in ["smtp://u:hunter2@mail.example.org", "smtps://u:hunter2%@h", "x://u:hunter2@h"]
        {
            let why = parse(url).err().unwrap();
            assert!(!why.contains("hunter2"), "{why}");
        }
    }

    #[test]
    fn a_token_stands_in_the_place_of_a_password() {
        let mail = |url: &str, file: bool, command: &[&str]| {
            let mail = Mail {
                url: Some(url.to_owned()),
                oauth_token_file: file.then(|| "/run/token".into()),
                oauth_token_command: command.iter().map(|word| (*word).to_owned()).collect(),
                ..Mail::default()
            };
            MailServer::of(&mail)
        };
        let server = mail("smtps://me%40x@h", true, &[]).unwrap();
        assert!(!server.has_password());
        let login = server.login.unwrap();
        assert_eq!(login.user, "me@x");
        assert!(matches!(login.proof, SmtpCredential::Token(TokenSource::File(_))));
        assert!(mail("smtps://me@h", false, &["get-token", "a b"]).is_ok());
        for (url, file, command, key) in [
            ("smtps://me@h", true, &["x"][..], "mail.oauth_token_command"),
            ("smtps://me@h", false, &[" "], "mail.oauth_token_command"),
            ("smtps://h", true, &[], "mail.url"),
            ("smtps://me:pw@h", true, &[], "mail.url"),
            ("smtps://me@h", false, &[], "mail.url"),
            ("smtps://@h", true, &[], "mail.url"),
        ] {
            assert_eq!(mail(url, file, command).err().unwrap().0, key, "{url} {file} {command:?}");
        }
    }
}
