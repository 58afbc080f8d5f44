//! The engine of a shared log, as the configuration names it: PostgreSQL or etcd.
//!
//! What is wrong with the settings is told as a fault of the configuration, before anything is sent.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::runtime::Handle;

use super::LOG_AWAY;
use super::etcd_log::{ClientCertificate, EtcdLog, EtcdLogin, EtcdSettings};
use super::postgres_log::{PostgresLog, PostgresSettings};
use super::shared_log::{FleetLog, LogHead, LogId};
use crate::config::{EtcdAddress, Fleet, LogAddress};
use crate::domain::{Failure, Kind};
use crate::percent_encoding::encoded;

/// The code of a failure because of the settings of a log.
pub const BAD_LOG: &str = "fleet_log";

/// The log of a fleet. Sends nothing: a node starts while its log is away.
///
/// # Errors
/// `Internal` `fleet_log`: what is wrong with the settings, or with a file that they name.
pub fn open(fleet: &Fleet, log: LogId, runtime: Handle) -> Result<Arc<dyn FleetLog>, Failure> {
    match &fleet.log {
        LogAddress::Postgres(url) => {
            let opened = PostgresLog::open(&postgres(fleet, url)?, runtime, log);
            Ok(Arc::new(opened.map_err(|why| bad_log(&why))?))
        }
        LogAddress::Etcd(address) => {
            let opened = EtcdLog::new(&etcd(fleet, address)?, log, runtime);
            Ok(Arc::new(opened.map_err(|why| bad_log(&why))?))
        }
    }
}

/// Makes a new log with no entry. Blocks.
///
/// # Errors
/// As [`open`]; `Busy` `log_unavailable`: why the log was not made, such as that there is one.
pub fn create(fleet: &Fleet, log: LogId, start: &LogHead, runtime: &Handle) -> Result<(), Failure> {
    match &fleet.log {
        LogAddress::Postgres(url) => {
            let settings = postgres(fleet, url)?;
            PostgresLog::create(&settings, runtime, log, start).map_err(|why| away(&why))
        }
        LogAddress::Etcd(address) => {
            let made = EtcdLog::new(&etcd(fleet, address)?, log, runtime.clone());
            made.map_err(|why| bad_log(&why))?.create(start).map_err(|why| away(&why))
        }
    }
}

/// Which log is there, and its head; `None`, where there is none. Blocks.
///
/// # Errors
/// As [`open`]; `Busy` `log_unavailable`: why the log cannot be reached.
pub fn inspect(fleet: &Fleet, runtime: &Handle) -> Result<Option<(LogId, LogHead)>, Failure> {
    match &fleet.log {
        LogAddress::Postgres(url) => {
            PostgresLog::inspect(&postgres(fleet, url)?, runtime).map_err(|why| away(&why))
        }
        LogAddress::Etcd(address) => {
            EtcdLog::inspect(&etcd(fleet, address)?, runtime.clone()).map_err(|why| away(&why))
        }
    }
}

fn postgres(fleet: &Fleet, url: &str) -> Result<PostgresSettings, Failure> {
    let mut settings = PostgresSettings::new(url.to_owned());
    if let Some(password) = fleet.password().map_err(|why| bad_log(&why))? {
        let mark = if url.contains('?') { '&' } else { '?' };
        settings.url = format!("{url}{mark}password={}", encoded(&password));
    }
    settings.ca_file.clone_from(&fleet.ca_file);
    Ok(settings)
}

fn etcd(fleet: &Fleet, address: &EtcdAddress) -> Result<EtcdSettings, Failure> {
    let password = fleet.password().map_err(|why| bad_log(&why))?;
    let login = match (&address.user, password) {
        (None, None) => None,
        (Some(user), Some(password)) => Some(EtcdLogin { user: user.clone(), password }),
        (Some(_), None) => {
            return Err(bad_log(
                "it names a user: name a file with the password in `fleet.password_file`",
            ));
        }
        (None, Some(_)) => {
            return Err(bad_log(
                "it names no user for `fleet.password_file`: write `etcd://USER@HOST:2379/PREFIX/`",
            ));
        }
    };
    // What leaves this machine is encrypted; on it, where an authority is named for it.
    let is_plain = fleet.ca_file.is_none() && address.endpoints.iter().all(|at| is_local(at));
    let scheme = if is_plain { "http" } else { "https" };
    let endpoints = address.endpoints.iter().map(|at| format!("{scheme}://{at}")).collect();
    let mut settings = EtcdSettings::new(endpoints);
    settings.prefix.clone_from(&address.prefix);
    settings.ca_file.clone_from(&fleet.ca_file);
    settings.login = login;
    settings.client_certificate = match (&fleet.cert_file, &fleet.key_file) {
        (Some(certificate_file), Some(key_file)) => Some(ClientCertificate {
            certificate_file: certificate_file.clone(),
            key_file: key_file.clone(),
        }),
        _ => None,
    };
    Ok(settings)
}

/// Whether `HOST:PORT` is this machine.
fn is_local(endpoint: &str) -> bool {
    let host = endpoint.rsplit_once(':').map_or(endpoint, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn bad_log(why: &str) -> Failure {
    let sentence = format!("`fleet.log` cannot be used: {why}");
    Failure::new(Kind::Internal, BAD_LOG, sentence)
}

fn away(why: &str) -> Failure {
    let sentence = format!("the log that `fleet.log` names cannot be used: {why}");
    Failure::new(Kind::Busy, LOG_AWAY, sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_reached_without_tls() {
        for (endpoint, is_here) in [
            ("127.0.0.1:2379", true),
            ("[::1]:2379", true),
            ("localhost:2379", true),
            ("10.0.0.1:2379", false),
            ("localhost.example:2379", false),
        ] {
            assert_eq!(is_local(endpoint), is_here, "{endpoint}");
        }
    }
}
