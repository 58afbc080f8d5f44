//! The client of the running sidecar: the management API over `admin.sock`.
//!
//! The only place where the command line speaks HTTP. Never speaks to anything but the socket in
//! the data folder, and never waits for it without an end.

mod upload;

use std::cell::Cell;
use std::error::Error;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use http_body_util::{BodyExt, Either, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value as Json;
use tokio::net::UnixStream;
use tokio::runtime::{Builder, Runtime};

use self::upload::{Sent, Upload};
use super::{Exit, Global, Stop};
use crate::domain::Failure;

/// How long a command waits for an answer, and for each further piece of a long one.
pub(super) const LIMIT: Duration = Duration::from_secs(30);
/// The same for what takes the longer the more there is, or waits for somebody else.
const LONG_LIMIT: Duration = Duration::from_secs(600);
/// Those calls, by the beginnings of their paths.
const LONG: [&str; 7] = [
    "/api/v1/audit/verify",
    "/api/v1/backup",
    "/api/v1/mail/test",
    "/api/v1/members/export",
    "/api/v1/members/import",
    "/api/v1/policies/",
    "/api/v1/roles/compare",
];
/// How often a waiting person sees a move, and a full socket is tried again.
const TICK: Duration = Duration::from_millis(100);
/// The largest page that the API gives: a long list is few calls.
const PAGE_ITEMS: &str = "1000";

/// The running sidecar of a data folder.
pub(super) struct Remote {
    socket: PathBuf,
    /// Why it is looked for there.
    looked: &'static str,
    runtime: Runtime,
    /// What `--timeout` says.
    limit: Option<Duration>,
    /// Whether it did not answer once: a command that asks several things waits once only.
    silent: Cell<bool>,
}

/// One call.
pub(super) struct Call<'c> {
    pub(super) method: &'static str,
    pub(super) path: String,
    pub(super) if_match: Option<u64>,
    /// Printable ASCII.
    pub(super) idempotency_key: Option<&'c str>,
    pub(super) body: Option<&'c Json>,
}

impl<'c> Call<'c> {
    pub(super) fn new(method: &'static str, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), if_match: None, idempotency_key: None, body: None }
    }

    pub(super) fn body(mut self, body: &'c Json) -> Self {
        self.body = Some(body);
        self
    }
}

/// Parameters behind the `?`, percent-encoded; those without a value are left out.
pub(super) fn with_query(path: &str, parameters: &[(&str, Option<&str>)]) -> String {
    let mut out = path.to_owned();
    let given = parameters.iter().filter_map(|(name, value)| value.map(|value| (name, value)));
    for (index, (name, value)) in given.enumerate() {
        out.push(if index == 0 { '?' } else { '&' });
        out.push_str(name);
        out.push('=');
        out.push_str(&encoded(value));
    }
    out
}

/// RFC 3986: everything but unreserved characters is encoded.
pub(super) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

impl Remote {
    pub(super) fn of(global: &Global) -> Result<Self, Stop> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|fault| Stop::failure(format!("cannot begin: {fault}")))?;
        let limit = global.timeout.map(Duration::from_secs);
        let socket = global.data.join("admin.sock");
        let looked = match global.data_is_named {
            true => "looked there because of --data",
            false => "looked there because no --data is given and this is the folder you are in",
        };
        Ok(Self { socket, looked, runtime, limit, silent: Cell::new(false) })
    }

    /// Whether a sidecar runs, as far as can be seen: only a refused connection tells that none does.
    pub(super) fn is_there(&self) -> bool {
        let connected = self.runtime.block_on(UnixStream::connect(&self.socket));
        !connected.is_err_and(|fault| no_one(fault.kind()))
    }

    /// Runs what needs no sidecar.
    pub(super) fn run<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Stop> {
        Ok(self.runtime.block_on(work)?)
    }

    /// Makes a call that is answered in JSON.
    pub(super) fn json(&self, call: &Call<'_>) -> Result<Json, Stop> {
        let body = call.body.map(Json::to_string).unwrap_or_default();
        let body = Either::Left(Full::from(body));
        let bytes = self.runtime.block_on(async {
            let response = self.send(call, "application/json", body, None).await?;
            self.whole(call, response).await
        })?;
        document(&bytes)
    }

    /// All pages of a list, each item through `each`.
    pub(super) fn pages(
        &self,
        path: &str,
        parameters: &[(&str, Option<&str>)],
        mut each: impl FnMut(Json) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        let mut after: Option<String> = None;
        loop {
            let mut all = parameters.to_vec();
            all.push(("after", after.as_deref()));
            let mut page = self.json(&Call::new("GET", with_query(path, &all)))?;
            if let Some(Json::Array(items)) = page.get_mut("items").map(Json::take) {
                items.into_iter().try_for_each(&mut each)?;
            }
            let next = page.get("next").and_then(Json::as_str).map(str::to_owned);
            if next.is_none() {
                return Ok(());
            }
            if next == after {
                return Err(Stop::failure(format!(
                    "the answer to `GET {path}` has no end: each page names itself as the next; see the log of the sidecar"
                )));
            }
            after = next;
        }
    }

    /// All pages of a list that may be long.
    pub(super) fn long_pages(
        &self,
        path: &str,
        parameters: &[(&str, Option<&str>)],
        each: impl FnMut(Json) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        self.pages(path, &[parameters, &[("limit", Some(PAGE_ITEMS))]].concat(), each)
    }

    /// Sends a file as it is read, showing progress to a person.
    pub(super) fn upload(
        &self,
        path: String,
        media: &'static str,
        file: &Path,
    ) -> Result<Json, Stop> {
        let (body, sent) = Upload::of(file).map_err(|fault| {
            Stop::failure(format!("`{}` cannot be read: {fault}", file.display()))
        })?;
        let call = Call::new("POST", path);
        let bytes = self.runtime.block_on(async {
            let response = self.send(&call, media, Either::Right(body), Some(&sent)).await?;
            self.whole(&call, response).await
        });
        sent.bar.finish_and_clear();
        // The file is at fault here, not the command line.
        document(&bytes.map_err(|stop| match stop.exit {
            Exit::Usage => Stop { exit: Exit::Failure, ..stop },
            _ => stop,
        })?)
    }

    /// Receives a body piece by piece; nothing reaches `each` unless the call is a success.
    pub(super) fn download(
        &self,
        path: String,
        mut each: impl FnMut(&[u8]) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        let call = Call::new("GET", path);
        self.runtime.block_on(async {
            let body = Either::Left(Full::default());
            let response = self.send(&call, "application/json", body, None).await?;
            let mut response = self.accepted(&call, response).await?;
            let rest = "the rest of the answer";
            while let Some(frame) = self.within(&call, rest, response.body_mut().frame()).await? {
                let frame = frame.map_err(|fault| broke_off(&fault))?;
                if let Some(piece) = frame.data_ref() {
                    each(piece)?;
                }
            }
            Ok(())
        })
    }

    async fn send(
        &self,
        call: &Call<'_>,
        media: &'static str,
        body: Either<Full<Bytes>, Upload>,
        sent: Option<&Sent>,
    ) -> Result<hyper::Response<Incoming>, Stop> {
        let broken = |fault: &hyper::Error| {
            let (place, causes) = (self.socket.display(), causes(fault));
            Stop::failure(match fault.is_parse() {
                true => format!(
                    "what answers on `{place}` is no sidecar: {causes}; give the --data of one"
                ),
                false => format!("the sidecar hung up: {causes}; see its log, then try again"),
            })
        };
        let stream = self.connect(call).await?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|fault| broken(&fault))?;
        tokio::spawn(connection);
        let mut request = hyper::Request::builder()
            .method(call.method)
            .uri(&call.path)
            .header("host", "localhost")
            .header("content-type", media);
        if let Some(version) = call.if_match {
            request = request.header("if-match", format!("\"{version}\""));
        }
        if let Some(key) = call.idempotency_key {
            request = request.header("idempotency-key", key);
        }
        let request = request
            .body(body)
            .map_err(|fault| Stop::failure(format!("this cannot be asked: {fault}")))?;
        let answer = sender.send_request(request);
        let answer = match sent {
            None => self.within(call, "the answer", answer).await?,
            Some(sent) => self.while_it_moves(call, sent, answer).await?,
        };
        answer.map_err(|fault| broken(&fault))
    }

    async fn connect(&self, call: &Call<'_>) -> Result<UnixStream, Stop> {
        if self.silent.get() {
            return Err(Stop::failure("not asked: the sidecar does not answer"));
        }
        // A sidecar that takes no connections has a full queue of them before long.
        let connected = async {
            loop {
                match UnixStream::connect(&self.socket).await {
                    Err(fault) if fault.kind() == ErrorKind::WouldBlock => {
                        tokio::time::sleep(TICK).await;
                    }
                    connected => return connected,
                }
            }
        };
        self.within(call, "a connection", connected).await?.map_err(|fault| {
            let place = self.socket.display();
            Stop::failure(match fault.kind() {
                kind if no_one(kind) => format!(
                    "no sidecar answers at `{place}` ({}): give --data of the one that runs, or start one with `kwic-team serve`",
                    self.looked
                ),
                ErrorKind::PermissionDenied => format!(
                    "`{place}` may not be opened: run this as the user who runs the sidecar"
                ),
                _ => format!("`{place}` cannot be opened: {fault}"),
            })
        })
    }

    /// The body of an answer that is a success.
    async fn whole(
        &self,
        call: &Call<'_>,
        response: hyper::Response<Incoming>,
    ) -> Result<Bytes, Stop> {
        let body = self.accepted(call, response).await?.into_body().collect();
        let body = self.within(call, "the rest of the answer", body).await?;
        body.map(|body| body.to_bytes()).map_err(|fault| broke_off(&fault))
    }

    /// A problem becomes what a person reads: the detail, and a line for each field.
    async fn accepted(
        &self,
        call: &Call<'_>,
        response: hyper::Response<Incoming>,
    ) -> Result<hyper::Response<Incoming>, Stop> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = response.into_body().collect();
        let body = self.within(call, "the rest of the answer", body).await?;
        let body = body.map(|body| body.to_bytes()).unwrap_or_default();
        Err(refused(status, &serde_json::from_slice(&body).unwrap_or_default()))
    }

    /// Waits for one thing, no longer than the limit of the call.
    async fn within<T>(
        &self,
        call: &Call<'_>,
        what: &str,
        wait: impl Future<Output = T>,
    ) -> Result<T, Stop> {
        let limit = self.limit(&call.path);
        tokio::time::timeout(limit, wait).await.map_err(|_| self.no_answer(call, what, limit))
    }

    /// Waits for the answer to a file: each piece that is sent begins the limit anew.
    async fn while_it_moves<T>(
        &self,
        call: &Call<'_>,
        sent: &Sent,
        answer: impl Future<Output = T>,
    ) -> Result<T, Stop> {
        let mut answer = pin!(answer);
        let mut before = sent.bytes();
        loop {
            let limit = match sent.is_whole() {
                true => self.limit(&call.path),
                false => self.limit.unwrap_or(LIMIT),
            };
            let waited = tokio::time::timeout(limit, &mut answer).await;
            match waited {
                Ok(answer) => return Ok(answer),
                Err(_) if sent.bytes() != before => before = sent.bytes(),
                Err(_) if sent.waits_for_file() => return Err(sent.no_data(limit)),
                Err(_) => return Err(self.no_answer(call, "the answer", limit)),
            }
        }
    }

    /// How long an answer to a call at this path may take.
    fn limit(&self, path: &str) -> Duration {
        let usual = match LONG.iter().any(|long| path.starts_with(long)) {
            true => LONG_LIMIT,
            false => LIMIT,
        };
        self.limit.unwrap_or(usual)
    }

    fn no_answer(&self, call: &Call<'_>, what: &str, limit: Duration) -> Stop {
        self.silent.set(true);
        let Call { method, path, .. } = call;
        let path = path.split('?').next().unwrap_or_default();
        let (place, seconds) = (self.socket.display(), limit.as_secs());
        let undone = match *method {
            "GET" => "",
            _ => "; what was asked may still be done: look before you ask again",
        };
        Stop::failure(format!(
            "no answer from the sidecar on `{place}` within {seconds} s while waiting for {what} to `{method} {path}`: is it stopped or overloaded? See its log, or wait longer with --timeout{undone}"
        ))
    }
}

/// Whether a connection failed since nobody listens.
fn no_one(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NotFound | ErrorKind::ConnectionRefused)
}

fn document(bytes: &[u8]) -> Result<Json, Stop> {
    serde_json::from_slice(bytes)
        .map_err(|fault| Stop::failure(format!("the sidecar's answer cannot be read: {fault}")))
}

fn broke_off(fault: &(dyn Error + 'static)) -> Stop {
    Stop::failure(format!("the answer broke off: {}; try again", causes(fault)))
}

/// A fault with what caused it: hyper's own sentences leave that out.
fn causes(fault: &(dyn Error + 'static)) -> String {
    let chain = std::iter::successors(Some(fault), |&fault| fault.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// A problem as a person reads it.
fn refused(status: hyper::StatusCode, problem: &Json) -> Stop {
    let mut message = match reasons(problem) {
        reasons if reasons.is_empty() => status.to_string(),
        reasons => reasons.join("\n  "),
    };
    let code = text_of(problem, "code");
    if code == "internal" {
        message.push_str(&format!("\n  request id: {}", text_of(problem, "request_id")));
    }
    let exit = match code {
        "policies_refused" => Exit::PoliciesRefused,
        // What a call cannot be made of stands on the command line.
        _ if status == hyper::StatusCode::BAD_REQUEST => Exit::Usage,
        _ => Exit::Failure,
    };
    Stop { exit, message, code: code.to_owned() }
}

/// What a problem says: its detail, and each field of which that says nothing.
pub(super) fn reasons(problem: &Json) -> Vec<String> {
    // The face that answers decisions says what is wrong as one JSON string.
    let Some(detail) = problem.get("detail").unwrap_or(problem).as_str() else { return Vec::new() };
    let fields = problem.get("fields").and_then(Json::as_array).into_iter().flatten();
    let more = fields.filter_map(|field| {
        let (name, reason) = (text_of(field, "field"), text_of(field, "message"));
        (!detail.contains(reason)).then(|| format!("{name}: {reason}"))
    });
    std::iter::once(detail.to_owned()).chain(more).collect()
}

fn text_of<'j>(json: &'j Json, name: &str) -> &'j str {
    json.get(name).and_then(Json::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_encoded_and_empty_ones_left_out() {
        assert_eq!(
            with_query("/m", &[("a", Some("x y&z")), ("b", None), ("c", Some("ü@e"))]),
            "/m?a=x%20y%26z&c=%C3%BC%40e"
        );
        assert_eq!(with_query("/m", &[("a", None)]), "/m");
    }

    fn remote(limit: Option<Duration>) -> Remote {
        let runtime = Builder::new_current_thread().build().unwrap();
        Remote {
            socket: "/d/admin.sock".into(),
            looked: "",
            runtime,
            limit,
            silent: Cell::new(false),
        }
    }

    #[test]
    fn what_takes_long_by_its_nature_is_waited_for_longer() {
        let usual = remote(None);
        for path in LONG {
            assert_eq!(usual.limit(path), LONG_LIMIT, "{path}");
        }
        for path in ["/readyz", "/api/v1/members", "/api/v1/mail", "/access/v1/evaluation"] {
            assert_eq!(usual.limit(path), LIMIT, "{path}");
        }
        let asked = remote(Some(Duration::from_secs(7)));
        assert_eq!(asked.limit("/api/v1/backup"), Duration::from_secs(7));
    }

    #[tokio::test(start_paused = true)]
    async fn each_piece_of_a_file_begins_the_limit_anew() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "x").unwrap();
        let (_body, sent) = Upload::of(&file).unwrap();
        let (remote, call) = (idle(), Call::new("POST", "/api/v1/members/import"));
        let slow = async {
            for _ in 0..10 {
                tokio::time::sleep(LIMIT - TICK).await;
                sent.bar.inc(1);
            }
            "done"
        };
        assert_eq!(remote.while_it_moves(&call, &sent, slow).await.unwrap(), "done");
        let never = std::future::pending::<()>();
        let stop = remote.while_it_moves(&call, &sent, never).await.unwrap_err();
        assert!(stop.message.contains("within 30 s"), "{}", stop.message);
        assert!(remote.silent.get());
    }

    /// A runtime must not be dropped in another one.
    fn idle() -> std::mem::ManuallyDrop<Remote> {
        std::mem::ManuallyDrop::new(remote(None))
    }
}
