//! Calls to etcd's JSON gateway: which member is asked, who asks, and what is known when it fails.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hyper::body::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::connection_settings::{Address, EtcdLogin, EtcdSettings};
use super::endpoint::{Call, Endpoint, ExchangeFault, Stream};
use super::messages::{Authenticate, Authenticated, Fault, Transaction, TransactionAnswer};
use super::tls;

/// Why a call failed, and what is known of it.
#[derive(Debug)]
pub(super) struct CallFault {
    pub(super) outcome: Outcome,
    /// For the operator.
    pub(super) why: String,
}

/// What is known of a call that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Nothing that is etcd got it.
    NotSent,
    /// etcd did nothing, and another member would do nothing either.
    Rejected,
    /// As `Rejected`: who asks has to be known anew.
    TokenExpired,
    /// etcd is full. Nothing is on its way any more; it may have been done all the same.
    Full,
    /// It may be done, now or later.
    Unknown,
    /// It is done; the answer is larger than is read.
    TooLarge,
}

/// Whether a call may be done twice.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// It may: it is sent to another member where one does not answer.
    Harmless,
    /// Only its caller knows what a second one would come to.
    Never,
}

/// The cluster.
pub(super) struct Gateway {
    endpoints: Vec<Endpoint>,
    /// The one that is asked first.
    preferred: AtomicUsize,
    login: Option<EtcdLogin>,
    /// What etcd knows this client by.
    token: Mutex<Option<String>>,
    request_timeout: Duration,
    prefix: String,
}

impl Gateway {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// Which setting is of no use.
    pub(super) fn new(settings: &EtcdSettings) -> Result<Self, String> {
        let addresses: Result<Vec<_>, _> =
            settings.endpoints.iter().map(|text| Address::parse(text)).collect();
        let addresses = addresses?;
        if addresses.is_empty() {
            return Err("no endpoint of etcd is given".to_owned());
        }
        let has_tls = addresses.iter().any(|address| address.is_tls);
        let tls = if has_tls { Some(tls::connector(settings)?) } else { None };
        let endpoints = addresses.into_iter().map(|address| {
            let tls = tls.clone().filter(|_| address.is_tls);
            Endpoint::new(address, tls, settings.connect_timeout)
        });
        Ok(Self {
            endpoints: endpoints.collect(),
            preferred: AtomicUsize::new(0),
            login: settings.login.clone(),
            token: Mutex::default(),
            request_timeout: settings.request_timeout,
            prefix: settings.checked_prefix()?.to_owned(),
        })
    }

    /// A transaction.
    pub(super) async fn transact(
        &self,
        transaction: &Transaction,
        repeat: Repeat,
    ) -> Result<TransactionAnswer, CallFault> {
        self.call(&call("kv/txn", transaction)?, repeat).await
    }

    /// A call whose answer does not end, at the first member that takes it.
    pub(super) async fn stream(
        &self,
        path: &'static str,
        message: &impl Serialize,
    ) -> Result<Stream, CallFault> {
        let call = call(path, message)?;
        let end = Instant::now() + self.request_timeout;
        let mut faults = Vec::new();
        for (index, endpoint) in self.in_order() {
            let token = self.token(endpoint, end).await?;
            match endpoint.stream(&call, token.as_deref()).await {
                Ok(stream) if stream.status() == 200 => return Ok(stream),
                Ok(stream) => {
                    // The reason is asked for elsewhere; a token may be what is wrong.
                    self.forget(token.as_deref());
                    faults.push(format!("{}: status {}", endpoint.address(), stream.status()));
                }
                Err(fault) => faults.push(exchange_fault(endpoint, fault).why),
            }
            self.prefer_after(index);
        }
        Err(CallFault { outcome: Outcome::Unknown, why: faults.join("; ") })
    }

    async fn call<T: DeserializeOwned>(&self, call: &Call, repeat: Repeat) -> Result<T, CallFault> {
        let end = Instant::now() + self.request_timeout;
        let mut faults: Vec<CallFault> = Vec::new();
        for (asked, (index, endpoint)) in self.in_order().enumerate() {
            // A member that hangs leaves time for the others, where they may be asked.
            let others = match repeat {
                Repeat::Harmless => self.endpoints.len().saturating_sub(asked),
                Repeat::Never => 1,
            };
            let left = end.saturating_duration_since(Instant::now());
            let share = left / u32::try_from(others.max(1)).unwrap_or(u32::MAX);
            let fault = match self.authenticated(endpoint, call, Instant::now() + share).await {
                Ok(answer) => return Ok(answer),
                Err(fault) => fault,
            };
            let is_final = match fault.outcome {
                Outcome::NotSent => false,
                Outcome::Unknown => {
                    self.prefer_after(index);
                    repeat == Repeat::Never
                }
                Outcome::Rejected | Outcome::TokenExpired | Outcome::Full | Outcome::TooLarge => {
                    true
                }
            };
            if is_final {
                return Err(fault);
            }
            self.prefer_after(index);
            faults.push(fault);
        }
        let is_unsent = faults.iter().all(|fault| fault.outcome == Outcome::NotSent);
        let outcome = if is_unsent { Outcome::NotSent } else { Outcome::Unknown };
        let whys: Vec<_> = faults.into_iter().map(|fault| fault.why).collect();
        Err(CallFault { outcome, why: whys.join("; ") })
    }

    /// One call at one member; once more where its token is not valid any longer, as etcd did nothing
    /// then.
    async fn authenticated<T: DeserializeOwned>(
        &self,
        endpoint: &Endpoint,
        call: &Call,
        end: Instant,
    ) -> Result<T, CallFault> {
        let token = self.token(endpoint, end).await?;
        let answered = self.one(endpoint, call, token.as_deref(), end).await;
        let is_expired =
            answered.as_ref().is_err_and(|fault| fault.outcome == Outcome::TokenExpired);
        if !is_expired || self.login.is_none() {
            return answered;
        }
        self.forget(token.as_deref());
        let token = self.token(endpoint, end).await?;
        self.one(endpoint, call, token.as_deref(), end).await
    }

    async fn one<T: DeserializeOwned>(
        &self,
        endpoint: &Endpoint,
        call: &Call,
        token: Option<&str>,
        end: Instant,
    ) -> Result<T, CallFault> {
        let limit = end.saturating_duration_since(Instant::now());
        let (status, body) = endpoint
            .exchange(call, token, limit)
            .await
            .map_err(|fault| exchange_fault(endpoint, fault))?;
        if status == 200 {
            return serde_json::from_slice(&body).map_err(|fault| CallFault {
                outcome: Outcome::Unknown,
                why: format!("what answers at {} is not etcd: {fault}", endpoint.address()),
            });
        }
        Err(self.refusal(endpoint, status, &body))
    }

    /// What etcd knows this client by, asked for where it is not known; `None` without a login.
    async fn token(&self, endpoint: &Endpoint, end: Instant) -> Result<Option<String>, CallFault> {
        let Some(EtcdLogin { user, password }) = &self.login else { return Ok(None) };
        let known = self.token.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if known.is_some() {
            return Ok(known);
        }
        let call = call("auth/authenticate", &Authenticate { name: user, password })?;
        let answered = self.one::<Authenticated>(endpoint, &call, None, end).await;
        let Authenticated { token } = answered.map_err(|fault| match fault.outcome {
            // What was to be called then was not.
            Outcome::Unknown => CallFault { outcome: Outcome::NotSent, ..fault },
            _ => fault,
        })?;
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = Some(token.clone());
        Ok(Some(token))
    }

    /// Forgets a token, unless another one is known by now.
    fn forget(&self, token: Option<&str>) {
        let mut known = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        if known.as_deref() == token {
            *known = None;
        }
    }

    /// The members, the preferred one first.
    fn in_order(&self) -> impl Iterator<Item = (usize, &Endpoint)> {
        let first = self.preferred.load(Ordering::Relaxed);
        let all = self.endpoints.iter().enumerate();
        all.clone().skip(first).chain(all.take(first))
    }

    fn prefer_after(&self, index: usize) {
        let next = index.saturating_add(1);
        let next = if next < self.endpoints.len() { next } else { 0 };
        self.preferred.store(next, Ordering::Relaxed);
    }

    /// What an answer that is no success says.
    fn refusal(&self, endpoint: &Endpoint, status: u16, body: &[u8]) -> CallFault {
        let address = endpoint.address();
        let Ok(Fault { code, message }) = serde_json::from_slice(body) else {
            let start: String = String::from_utf8_lossy(body).trim().chars().take(120).collect();
            // A proxy between that gave up may have passed the request on.
            let is_certain = (400..500).contains(&status) && ![408, 429].contains(&status);
            let outcome = if is_certain { Outcome::NotSent } else { Outcome::Unknown };
            let why = format!(
                "what answers at {address} is not etcd's gateway, or is asked with the wrong scheme: status {status}, `{}`",
                start.escape_debug()
            );
            return CallFault { outcome, why };
        };
        let outcome = known_of(code, &message);
        let advice = self.advice(&message);
        CallFault { outcome, why: format!("etcd at {address} says `{message}`{advice}") }
    }

    /// What to do about a refusal.
    fn advice(&self, message: &str) -> String {
        let has = |part: &str| message.contains(part);
        if has("database space exceeded") {
            ": it is full. Raise `--quota-backend-bytes`, or compact and defragment it, then run `etcdctl alarm disarm`".to_owned()
        } else if has("request is too large") {
            ": start etcd with `--max-request-bytes=1572864` or more".to_owned()
        } else if has("permission denied") {
            format!(
                ": run `etcdctl role grant-permission ROLE --prefix=true readwrite {}`",
                self.prefix
            )
        } else if has("invalid user ID or password") {
            ": check the user and the password".to_owned()
        } else if has("user name is empty") {
            ": it asks for a user, so set the user and the password".to_owned()
        } else if has("authentication is not enabled") {
            ": leave out the user and the password, or run `etcdctl auth enable`".to_owned()
        } else {
            String::new()
        }
    }
}

fn call(path: &'static str, message: &impl Serialize) -> Result<Call, CallFault> {
    let body = serde_json::to_vec(message)
        .map_err(|fault| CallFault { outcome: Outcome::NotSent, why: fault.to_string() })?;
    Ok(Call { path, body: Bytes::from(body) })
}

fn exchange_fault(endpoint: &Endpoint, fault: ExchangeFault) -> CallFault {
    let address = endpoint.address();
    let (outcome, why) = match fault {
        ExchangeFault::NotSent(why) => (Outcome::NotSent, format!("{address}: {why}")),
        ExchangeFault::NoAnswer(why) => (Outcome::Unknown, format!("{address}: {why}")),
        ExchangeFault::TooLarge => {
            (Outcome::TooLarge, format!("{address}: the answer is larger than is read"))
        }
    };
    CallFault { outcome, why }
}

/// What is known of a call that etcd answered with a code of gRPC. Certain is only what etcd says
/// before it proposes a change to its members, or instead of applying one.
fn known_of(code: i32, message: &str) -> Outcome {
    match code {
        3 | 16
            if ["invalid auth token", "auth store is old", "revision in header is old"]
                .iter()
                .any(|part| message.contains(part)) =>
        {
            Outcome::TokenExpired
        }
        // Invalid argument, not found, permission denied, failed precondition, out of range, not
        // implemented, not authenticated.
        3 | 5 | 7 | 9 | 11 | 12 | 16 => Outcome::Rejected,
        // etcd says so before a change, or having made the one that filled it.
        8 if message.contains("database space exceeded") => Outcome::Full,
        8 if message.contains("too many requests") => Outcome::Rejected,
        // Among them `request timed out`, `leader changed`, `no leader` and `server stopped`: the
        // change may be with the members.
        _ => Outcome::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_etcd_says_without_a_change_is_certain() {
        let cases = [
            (16, "etcdserver: invalid auth token", Outcome::TokenExpired),
            (3, "etcdserver: revision of auth store is old", Outcome::TokenExpired),
            (3, "etcdserver: request is too large", Outcome::Rejected),
            (3, "etcdserver: user name is empty", Outcome::Rejected),
            (7, "etcdserver: permission denied", Outcome::Rejected),
            (8, "etcdserver: mvcc: database space exceeded", Outcome::Full),
            (8, "etcdserver: too many requests", Outcome::Rejected),
            (8, "grpc: received message larger than max", Outcome::Unknown),
            (14, "etcdserver: request timed out", Outcome::Unknown),
            (14, "etcdserver: leader changed", Outcome::Unknown),
            (14, "etcdserver: no leader", Outcome::Unknown),
            (14, "etcdserver: server stopped", Outcome::Unknown),
            (14, "transport is closing", Outcome::Unknown),
            (2, "context deadline exceeded", Outcome::Unknown),
            (1, "context canceled", Outcome::Unknown),
            (4, "context deadline exceeded", Outcome::Unknown),
            (13, "", Outcome::Unknown),
        ];
        for (code, message, expected) in cases {
            assert_eq!(known_of(code, message), expected, "{code} {message}");
        }
    }
}
