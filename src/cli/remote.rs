//! The client of the running sidecar: the management API over `admin.sock`.
//!
//! The only place where the command line speaks HTTP. Never speaks to anything but the socket in
//! the data folder.

use std::error::Error;
use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::{BodyExt, Either, Full};
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value as Json;
use tokio::net::UnixStream;
use tokio::runtime::{Builder, Runtime};

use super::{Exit, Global, Stop};
use crate::domain::Failure;

const PIECE_BYTES: usize = 64 << 10;
/// How often a waiting person sees a move.
const TICK: Duration = Duration::from_millis(100);
/// The largest page that the API gives: a long list is few calls.
const PAGE_ITEMS: &str = "1000";

/// The running sidecar of a data folder.
pub(super) struct Remote {
    socket: PathBuf,
    runtime: Runtime,
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
        Ok(Self { socket: global.data.join("admin.sock"), runtime })
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
        let bytes = self.runtime.block_on(async {
            let response =
                self.send(call, "application/json", Either::Left(Full::from(body))).await?;
            whole(response).await
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
            match page.get("next").and_then(Json::as_str) {
                Some(next) => after = Some(next.to_owned()),
                None => return Ok(()),
            }
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
        let body = Upload::of(file).map_err(|fault| {
            Stop::failure(format!("`{}` cannot be read: {fault}", file.display()))
        })?;
        let call = Call::new("POST", path);
        let progress = body.progress.clone();
        let bytes = self.runtime.block_on(async {
            let response = self.send(&call, media, Either::Right(body)).await?;
            whole(response).await
        });
        progress.finish_and_clear();
        document(&bytes?)
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
            let mut response = accepted(self.send(&call, "application/json", body).await?).await?;
            while let Some(frame) = response.body_mut().frame().await {
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
    ) -> Result<hyper::Response<Incoming>, Stop> {
        let broken = |fault: &(dyn Error + 'static)| {
            let causes = causes(fault);
            Stop::failure(format!("the sidecar hung up: {causes}; see its log, then try again"))
        };
        let stream = UnixStream::connect(&self.socket).await.map_err(|fault| {
            let place = self.socket.display();
            Stop::failure(match fault.kind() {
                kind if no_one(kind) => format!(
                    "no sidecar on `{place}`: start it with `kwic-team serve`, or give its --data"
                ),
                ErrorKind::PermissionDenied => format!(
                    "`{place}` may not be opened: run this as the user who runs the sidecar"
                ),
                _ => format!("`{place}` cannot be opened: {fault}"),
            })
        })?;
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
        let request = request.body(body).map_err(|fault| broken(&fault))?;
        sender.send_request(request).await.map_err(|fault| broken(&fault))
    }
}

/// Whether a connection failed since nobody listens.
fn no_one(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NotFound | ErrorKind::ConnectionRefused)
}

/// The body of an answer that is a success.
async fn whole(response: hyper::Response<Incoming>) -> Result<Bytes, Stop> {
    let response = accepted(response).await?;
    let body = response.into_body().collect().await;
    body.map(|body| body.to_bytes()).map_err(|fault| broke_off(&fault))
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

/// A problem becomes what a person reads: the detail, and a line for each field.
async fn accepted(response: hyper::Response<Incoming>) -> Result<hyper::Response<Incoming>, Stop> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let body = response.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let problem: Json = serde_json::from_slice(&body).unwrap_or_default();
    let mut message = match reasons(&problem) {
        reasons if reasons.is_empty() => status.to_string(),
        reasons => reasons.join("\n  "),
    };
    let code = text_of(&problem, "code");
    if code == "internal" {
        message.push_str(&format!("\n  request id: {}", text_of(&problem, "request_id")));
    }
    let exit = if code == "policies_refused" { Exit::PoliciesRefused } else { Exit::Failure };
    Err(Stop { exit, message, code: code.to_owned() })
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

/// A file as a body.
struct Upload {
    file: File,
    /// Unknown where the file is a pipe.
    length: Option<u64>,
    progress: ProgressBar,
}

impl Upload {
    fn of(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let meta = file.metadata()?;
        if meta.is_dir() {
            return Err(ErrorKind::IsADirectory.into());
        }
        let length = meta.is_file().then_some(meta.len());
        // Drawn on standard error, and only where that is a terminal.
        let progress = length.map_or_else(ProgressBar::no_length, ProgressBar::new);
        Ok(Self { file, length, progress })
    }

    /// The file is on its way; what is waited for now is the answer.
    fn is_sent(&self) {
        self.progress.set_style(ProgressStyle::default_spinner());
        self.progress.set_message("the sidecar checks the file and keeps it");
        self.progress.enable_steady_tick(TICK);
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Unread;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Unread>>> {
        let mut piece = vec![0; PIECE_BYTES];
        // Reading a file blocks for moments only, and nothing else runs in a command.
        let read = loop {
            match self.file.read(&mut piece) {
                Err(fault) if fault.kind() == ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        match read {
            Ok(0) => {
                self.is_sent();
                Poll::Ready(None)
            }
            Ok(read) => {
                piece.truncate(read);
                self.progress.inc(u64::try_from(read).unwrap_or(0));
                // A body of known length is not asked for its end.
                if self.length == Some(self.progress.position()) {
                    self.is_sent();
                }
                Poll::Ready(Some(Ok(Frame::data(piece.into()))))
            }
            // An end here would make half a file look like a whole one.
            Err(fault) => Poll::Ready(Some(Err(Unread(fault)))),
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// The file could not be read to its end.
#[derive(Debug)]
struct Unread(io::Error);

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the file cannot be read: {}", self.0)
    }
}

impl Error for Unread {}

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
}
