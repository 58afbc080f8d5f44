//! The client of the running sidecar: the management API over `admin.sock`.
//!
//! The only place where the command line uses HTTP. Connects only to the socket in the data folder;
//! every wait has a timeout.

mod download_limits;
mod upload;

use std::cell::Cell;
use std::error::Error;
use std::io::ErrorKind;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use http_body_util::{BodyExt, Either, Full, LengthLimitError, Limited};
use hyper::StatusCode;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value as Json;
use tokio::net::UnixStream;
use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;

use self::download_limits::DownloadProgress;
use self::upload::{Upload, UploadProgress};
use super::timeout::{USUAL, WaitLimit};
use super::{CommandError, Exit, Global, file_input};
use crate::domain::Failure;
use crate::percent_encoding::encoded;

/// As [`USUAL`], for calls that take longer with more data, or wait for somebody else.
const LONG_LIMIT: Duration = Duration::from_secs(600);
/// The path prefixes of those calls.
const LONG: [&str; 7] = [
    "/api/v1/audit/verify",
    "/api/v1/backup",
    "/api/v1/mail/test",
    "/api/v1/members/export",
    "/api/v1/members/import",
    "/api/v1/policies/",
    "/api/v1/roles/compare",
];
/// The parameter of a change that waits for all nodes of a fleet, which has a limit of its own.
pub(super) const WAIT_ALL: &str = "wait=all";
/// How often progress is updated, and a full socket is tried again.
const TICK: Duration = Duration::from_millis(100);
/// The maximum size of a response that is not a file.
const ANSWER_BYTES_MAX: usize = 256 << 20;
/// The largest page of the API: fewer calls for a long list.
const PAGE_ITEMS: &str = "1000";

/// The running sidecar of a data folder.
pub(super) struct SidecarClient {
    socket: PathBuf,
    /// Why this folder was chosen.
    looked: &'static str,
    runtime: Runtime,
    wait_limit: WaitLimit,
    /// Whether a call timed out: a command with several calls waits only once.
    silent: Cell<bool>,
}

pub(super) struct ApiCall<'c> {
    pub(super) method: &'static str,
    pub(super) path: String,
    pub(super) if_match: Option<u64>,
    /// Printable ASCII.
    pub(super) idempotency_key: Option<&'c str>,
    pub(super) body: Option<&'c Json>,
}

impl<'c> ApiCall<'c> {
    pub(super) fn new(method: &'static str, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), if_match: None, idempotency_key: None, body: None }
    }

    pub(super) fn body(mut self, body: &'c Json) -> Self {
        self.body = Some(body);
        self
    }
}

/// Query parameters, percent-encoded; those without a value are left out.
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

impl SidecarClient {
    pub(super) fn of(global: &Global) -> Result<Self, CommandError> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|fault| CommandError::failure(format!("cannot start: {fault}")))?;
        let wait_limit = global.wait_limit.clone();
        let socket = global.data.join("admin.sock");
        let looked = if global.named_data.is_some() {
            "looked there because of --data"
        } else {
            "the default, `kwic-data` in the current folder"
        };
        Ok(Self { socket, looked, runtime, wait_limit, silent: Cell::new(false) })
    }

    /// Whether a sidecar runs: only a refused connection means that none does; a path that is no
    /// socket says nothing.
    pub(super) fn is_there(&self) -> bool {
        let connected = self.runtime.block_on(UnixStream::connect(&self.socket));
        !connected.is_err_and(|fault| no_one(fault.kind())) || self.is_no_socket()
    }

    /// Whether something else is in the place of the socket.
    fn is_no_socket(&self) -> bool {
        std::fs::metadata(&self.socket).is_ok_and(|meta| !meta.file_type().is_socket())
    }

    /// Runs a future that needs no sidecar.
    pub(super) fn run<T>(
        &self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, CommandError> {
        Ok(self.runtime.block_on(work)?)
    }

    /// Makes a call with a JSON response.
    pub(super) fn json(&self, call: &ApiCall<'_>) -> Result<Json, CommandError> {
        let body = call.body.map(Json::to_string).unwrap_or_default();
        let body = Either::Left(Full::from(body));
        let bytes = self.runtime.block_on(async {
            let response = self.send(call, "application/json", body, None).await?;
            self.whole(call, response).await
        })?;
        self.document(&bytes)
    }

    /// All pages of a list, each item through `each`.
    pub(super) fn pages(
        &self,
        path: &str,
        parameters: &[(&str, Option<&str>)],
        mut each: impl FnMut(Json) -> Result<(), CommandError>,
    ) -> Result<(), CommandError> {
        let mut after: Option<String> = None;
        loop {
            let mut all = parameters.to_vec();
            all.push(("after", after.as_deref()));
            let mut page = self.json(&ApiCall::new("GET", with_query(path, &all)))?;
            if let Some(Json::Array(items)) = page.get_mut("items").map(Json::take) {
                items.into_iter().try_for_each(&mut each)?;
            }
            let next = page.get("next").and_then(Json::as_str).map(str::to_owned);
            if next.is_none() {
                return Ok(());
            }
            if next == after {
                return Err(CommandError::failure(format!(
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
        each: impl FnMut(Json) -> Result<(), CommandError>,
    ) -> Result<(), CommandError> {
        self.pages(path, &[parameters, &[("limit", Some(PAGE_ITEMS))]].concat(), each)
    }

    /// Uploads a file, streamed, with progress for a person.
    pub(super) fn upload(
        &self,
        path: String,
        media: &'static str,
        file: &Path,
    ) -> Result<Json, CommandError> {
        let file = file_input::named(file);
        let (body, sent) =
            Upload::of(file).map_err(|fault| file_input::unreadable(file, &fault))?;
        let call = ApiCall::new("POST", path);
        let bytes = self.runtime.block_on(async {
            let response = self.send(&call, media, Either::Right(body), Some(&sent)).await?;
            self.whole(&call, response).await
        });
        sent.bar.finish_and_clear();
        // The file is at fault, not the command line.
        self.document(&bytes.map_err(|stop| match stop.exit {
            Exit::Usage => CommandError { exit: Exit::Failure, ..stop },
            _ => stop,
        })?)
    }

    /// Downloads a body; `each` is called only if the call succeeded.
    pub(super) fn download(
        &self,
        path: String,
        mut each: impl FnMut(&[u8]) -> Result<(), CommandError>,
    ) -> Result<(), CommandError> {
        let call = ApiCall::new("GET", path);
        self.runtime.block_on(async {
            let body = Either::Left(Full::default());
            let response = self.send(&call, "application/json", body, None).await?;
            let mut response = self.accepted(&call, response).await?;
            let mut received = DownloadProgress::new(self.wait_limit.left(LONG_LIMIT));
            loop {
                let asked = Instant::now();
                let next = tokio::time::timeout(received.left(), response.body_mut().frame()).await;
                received.waited(asked.elapsed());
                let Ok(next) = next else {
                    let limit = self.wait_limit.limit(LONG_LIMIT);
                    return Err(self.no_answer(&call, "the rest of the answer", limit));
                };
                let Some(frame) = next else { return Ok(()) };
                let frame = frame.map_err(|fault| broke_off(&fault))?;
                if let Some(piece) = frame.data_ref() {
                    received.add(piece.len())?;
                    each(piece)?;
                }
            }
        })
    }

    async fn send(
        &self,
        call: &ApiCall<'_>,
        media: &'static str,
        body: Either<Full<Bytes>, Upload>,
        sent: Option<&UploadProgress>,
    ) -> Result<hyper::Response<Incoming>, CommandError> {
        self.wait_limit.begin();
        let stream = self.connect(call).await?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|fault| self.broken(&fault))?;
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
        let request = request.body(body).map_err(|fault| {
            CommandError::failure(format!("this request cannot be sent: {fault}"))
        })?;
        let answer = sender.send_request(request);
        let answer = match sent {
            None => self.within(call, "the answer", answer).await?,
            Some(sent) => self.while_it_moves(call, sent, answer).await?,
        };
        let answer = answer.map_err(|fault| self.broken(&fault))?;
        // hyper itself refuses a head that is too large, before a sidecar sees it.
        let too_large = [StatusCode::URI_TOO_LONG, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE];
        if answer.headers().contains_key("x-request-id") || too_large.contains(&answer.status()) {
            Ok(answer)
        } else {
            Err(self.not_ours(&format!("its answer `{}` has no request id", answer.status())))
        }
    }

    /// Why there is no response: nothing is known about the other end.
    fn broken(&self, fault: &hyper::Error) -> CommandError {
        let causes = causes(fault);
        if fault.is_parse() {
            self.not_ours(&format!("its answer is not HTTP ({causes})"))
        } else {
            CommandError::failure(format!(
                "the connection to `{}` ended without an answer: {causes}; if a sidecar runs there, see its log, then try again",
                self.socket.display()
            ))
        }
    }

    fn not_ours(&self, why: &str) -> CommandError {
        let place = self.socket.display();
        CommandError::failure(format!(
            "what answers on `{place}` is not kwic-team: {why}; give the --data of a running sidecar"
        ))
    }

    async fn connect(&self, call: &ApiCall<'_>) -> Result<UnixStream, CommandError> {
        if self.silent.get() {
            return Err(CommandError::failure("not checked, since the sidecar does not answer"));
        }
        // If a sidecar accepts no connections, its queue fills up soon.
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
            CommandError::failure(match fault.kind() {
                _ if self.is_no_socket() => format!(
                    "`{place}` is not a socket: move it away; a running sidecar recreates its own there within seconds"
                ),
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

    /// The body of a successful response.
    async fn whole(
        &self,
        call: &ApiCall<'_>,
        response: hyper::Response<Incoming>,
    ) -> Result<Bytes, CommandError> {
        let response = self.accepted(call, response).await?;
        self.rest(call, response.into_body()).await
    }

    fn document(&self, bytes: &[u8]) -> Result<Json, CommandError> {
        serde_json::from_slice(bytes)
            .map_err(|fault| self.not_ours(&format!("its answer is not JSON ({fault})")))
    }

    /// A body that is not a file.
    async fn rest(&self, call: &ApiCall<'_>, body: Incoming) -> Result<Bytes, CommandError> {
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect();
        let body = self.within(call, "the rest of the answer", body).await?;
        body.map(|body| body.to_bytes()).map_err(|fault| {
            if fault.is::<LengthLimitError>() {
                let most = ANSWER_BYTES_MAX >> 20;
                self.not_ours(&format!("its answer to `{}` has more than {most} MiB", call.path))
            } else {
                broke_off(&*fault)
            }
        })
    }

    /// Turns a problem into a message: the detail, and a line for each field.
    async fn accepted(
        &self,
        call: &ApiCall<'_>,
        response: hyper::Response<Incoming>,
    ) -> Result<hyper::Response<Incoming>, CommandError> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = self.rest(call, response.into_body()).await?;
        let problem: Json = serde_json::from_slice(&body).unwrap_or_default();
        if reasons(&problem).is_empty() && !body.is_empty() {
            Err(self.not_ours(&format!("its answer `{status}` does not say what is wrong")))
        } else {
            Err(refused(status, &problem))
        }
    }

    /// Waits for a future, up to the command's timeout.
    async fn within<T>(
        &self,
        call: &ApiCall<'_>,
        what: &str,
        wait: impl Future<Output = T>,
    ) -> Result<T, CommandError> {
        let usual = usual_limit(&call.path);
        let began = Instant::now();
        let waited = tokio::time::timeout(self.wait_limit.left(usual), wait).await;
        self.wait_limit.count(began.elapsed());
        waited.map_err(|_| self.no_answer(call, what, self.wait_limit.limit(usual)))
    }

    /// Waits for the response to an upload. Without `--timeout`, each piece that is sent restarts
    /// the usual timeout.
    async fn while_it_moves<T>(
        &self,
        call: &ApiCall<'_>,
        sent: &UploadProgress,
        answer: impl Future<Output = T>,
    ) -> Result<T, CommandError> {
        let mut answer = pin!(answer);
        let mut before = (sent.bytes(), sent.is_whole());
        let mut since = Instant::now();
        loop {
            let usual = if before.1 { usual_limit(&call.path) } else { USUAL };
            let left = self.wait_limit.left(usual).saturating_sub(since.elapsed());
            if left.is_zero() {
                self.wait_limit.count(since.elapsed());
                return Err(if sent.waits_for_file() {
                    self.wait_limit.no_data(&sent.file())
                } else {
                    self.no_answer(call, "the answer", self.wait_limit.limit(usual))
                });
            }
            // Wakes up at each tick to see progress.
            if let Ok(answer) = tokio::time::timeout(left.min(TICK), &mut answer).await {
                self.wait_limit.count(since.elapsed());
                return Ok(answer);
            }
            let now = (sent.bytes(), sent.is_whole());
            if now != before && !self.wait_limit.is_given() {
                self.wait_limit.begin();
                since = Instant::now();
            }
            before = now;
        }
    }

    fn no_answer(&self, call: &ApiCall<'_>, what: &str, limit: Duration) -> CommandError {
        self.silent.set(true);
        let ApiCall { method, path, .. } = call;
        let path = path.split('?').next().unwrap_or_default();
        let (place, seconds) = (self.socket.display(), limit.as_secs());
        let undone = match *method {
            "GET" => "",
            _ => "; the request may still be carried out: check before you repeat it",
        };
        CommandError::failure(format!(
            "no answer from the sidecar on `{place}` within {seconds} s (`{method} {path}`, waiting for {what}): is it stopped or overloaded? See its log, or wait longer with --timeout{undone}"
        ))
    }
}

/// The default timeout of a call with this path.
fn usual_limit(path: &str) -> Duration {
    let is_long = LONG.iter().any(|long| path.starts_with(long)) || path.contains(WAIT_ALL);
    if is_long { LONG_LIMIT } else { USUAL }
}

/// Whether a connection failed because nobody listens.
fn no_one(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NotFound | ErrorKind::ConnectionRefused)
}

fn broke_off(fault: &(dyn Error + 'static)) -> CommandError {
    CommandError::failure(format!("the answer was cut off: {}; try again", causes(fault)))
}

/// A fault with its causes, which hyper's own messages leave out.
fn causes(fault: &(dyn Error + 'static)) -> String {
    let chain = std::iter::successors(Some(fault), |&fault| fault.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// A problem as a message.
fn refused(status: StatusCode, problem: &Json) -> CommandError {
    let mut message = match reasons(problem) {
        reasons if reasons.is_empty() => status.to_string(),
        reasons => reasons.join("\n  "),
    };
    let code = problem.get("code").and_then(Json::as_str);
    if code == Some(Failure::INTERNAL) {
        message.push_str(&format!("\n  request id: {}", text_of(problem, "request_id")));
    }
    let exit = match code {
        Some(Failure::POLICIES_REFUSED) => Exit::PoliciesRefused,
        // A request that is invalid comes from the command line.
        _ if status == hyper::StatusCode::BAD_REQUEST => Exit::Usage,
        _ => Exit::Failure,
    };
    CommandError { exit, message, code: code.map(str::to_owned) }
}

/// The message of a problem: its detail, and each field that the detail does not mention.
pub(super) fn reasons(problem: &Json) -> Vec<String> {
    // The decision API reports errors as one JSON string.
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

    fn remote(limit: Option<u64>) -> SidecarClient {
        let runtime = Builder::new_current_thread().build().unwrap();
        let (socket, wait_limit) = ("/d/admin.sock".into(), WaitLimit::new(limit));
        SidecarClient { socket, looked: "", runtime, wait_limit, silent: Cell::new(false) }
    }

    #[test]
    fn what_takes_long_by_its_nature_is_waited_for_longer() {
        for path in LONG {
            assert_eq!(usual_limit(path), LONG_LIMIT, "{path}");
        }
        for path in ["/readyz", "/api/v1/members", "/api/v1/mail", "/access/v1/evaluation"] {
            assert_eq!(usual_limit(path), USUAL, "{path}");
        }
    }

    fn uploaded() -> (tempfile::TempDir, Upload, std::sync::Arc<UploadProgress>) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "x").unwrap();
        let (body, sent) = Upload::of(&file).unwrap();
        (folder, body, sent)
    }

    #[tokio::test(start_paused = true)]
    async fn each_piece_of_a_file_begins_the_usual_limit_anew() {
        let (_folder, _body, sent) = uploaded();
        let (remote, call) = (idle(None), ApiCall::new("POST", "/api/v1/members/import"));
        let slow = async {
            for _ in 0..10 {
                tokio::time::sleep(USUAL - 2 * TICK).await;
                sent.bar.inc(1);
            }
            "done"
        };
        assert_eq!(remote.while_it_moves(&call, &sent, slow).await.unwrap(), "done");
        let began = Instant::now();
        let stalls = async {
            sent.bar.inc(1);
            std::future::pending::<()>().await;
        };
        let stop = remote.while_it_moves(&call, &sent, stalls).await.unwrap_err();
        assert!(stop.message.contains("within 30 s"), "{}", stop.message);
        assert!(remote.silent.get() && began.elapsed() <= USUAL + 2 * TICK);
    }

    #[tokio::test(start_paused = true)]
    async fn a_given_limit_is_the_limit_however_a_file_moves() {
        let (_folder, _body, sent) = uploaded();
        let (remote, call) = (idle(Some(5)), ApiCall::new("POST", "/api/v1/members/import"));
        let began = Instant::now();
        let waited = remote.within(&call, "a connection", tokio::time::sleep(USUAL / 10));
        waited.await.unwrap();
        let drips = async {
            loop {
                tokio::time::sleep(TICK).await;
                sent.bar.inc(1);
            }
        };
        let stop = remote.while_it_moves::<()>(&call, &sent, drips).await.unwrap_err();
        assert!(stop.message.contains("within 5 s"), "{}", stop.message);
        assert!(began.elapsed() <= Duration::from_secs(5) + TICK);
    }

    /// A runtime must not be dropped in another one.
    fn idle(limit: Option<u64>) -> std::mem::ManuallyDrop<SidecarClient> {
        std::mem::ManuallyDrop::new(remote(limit))
    }
}
