//! The client of the running sidecar: the management API over `admin.sock`.
//!
//! The only place where the command line speaks HTTP. Never speaks to anything but the socket in
//! the data folder.

use std::convert::Infallible;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};

use http_body_util::{BodyExt, Either, Full};
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use indicatif::ProgressBar;
use serde_json::Value as Json;
use tokio::net::UnixStream;
use tokio::runtime::{Builder, Runtime};

use super::{Exit, Global, Stop};

const PIECE_BYTES: usize = 64 << 10;

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
    pub(super) body: Option<&'c Json>,
}

impl<'c> Call<'c> {
    pub(super) fn new(method: &'static str, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), if_match: None, body: None }
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

    /// Makes a call that is answered in JSON.
    pub(super) fn json(&self, call: &Call<'_>) -> Result<Json, Stop> {
        let body = call.body.map(Json::to_string).unwrap_or_default();
        let bytes = self.runtime.block_on(async {
            let response =
                self.send(call, "application/json", Either::Left(Full::from(body))).await?;
            whole(response).await
        })?;
        if bytes.is_empty() {
            return Ok(Json::Null);
        }
        serde_json::from_slice(&bytes)
            .map_err(|fault| Stop::failure(format!("the sidecar's answer cannot be read: {fault}")))
    }

    /// All pages of a list, each item through `each`.
    pub(super) fn pages(
        &self,
        path: &str,
        parameters: &[(&str, Option<&str>)],
        mut each: impl FnMut(Json),
    ) -> Result<(), Stop> {
        let mut after: Option<String> = None;
        loop {
            let mut all = parameters.to_vec();
            if after.is_some() {
                all.push(("after", after.as_deref()));
            }
            let mut page = self.json(&Call::new("GET", with_query(path, &all)))?;
            if let Some(Json::Array(items)) = page.get_mut("items").map(Json::take) {
                items.into_iter().for_each(&mut each);
            }
            match page.get("next").and_then(Json::as_str) {
                Some(next) => after = Some(next.to_owned()),
                None => return Ok(()),
            }
        }
    }

    /// Sends a file as it is read, showing progress to a person.
    pub(super) fn upload(
        &self,
        path: String,
        media: &'static str,
        file: &Path,
    ) -> Result<Json, Stop> {
        let opened = File::open(file).and_then(|open| Ok((open.metadata()?.len(), open)));
        let (length, open) = opened.map_err(|fault| {
            Stop::failure(format!("`{}` cannot be read: {fault}", file.display()))
        })?;
        let progress = if super::output::is_terminal() {
            ProgressBar::new(length)
        } else {
            ProgressBar::hidden()
        };
        let body = Upload { file: open, progress };
        let call = Call::new("POST", path);
        let bytes = self.runtime.block_on(async {
            let response = self.send(&call, media, Either::Right(body)).await?;
            whole(response).await
        })?;
        serde_json::from_slice(&bytes)
            .map_err(|fault| Stop::failure(format!("the sidecar's answer cannot be read: {fault}")))
    }

    /// Receives a body piece by piece.
    pub(super) fn download(
        &self,
        path: String,
        mut each: impl FnMut(&[u8]) -> std::io::Result<()>,
    ) -> Result<(), Stop> {
        let call = Call::new("GET", path);
        self.runtime.block_on(async {
            let body = Either::Left(Full::default());
            let mut response = accepted(self.send(&call, "application/json", body).await?).await?;
            while let Some(frame) = response.body_mut().frame().await {
                let frame = frame
                    .map_err(|fault| Stop::failure(format!("the answer broke off: {fault}")))?;
                if let Some(piece) = frame.data_ref() {
                    each(piece)
                        .map_err(|fault| Stop::failure(format!("cannot be written: {fault}")))?;
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
        let broken = |fault: &dyn std::fmt::Display| {
            Stop::failure(format!("the sidecar hung up: {fault}; see its log, then try again"))
        };
        let stream = UnixStream::connect(&self.socket).await.map_err(|_| {
            Stop::failure(format!(
                "no sidecar on `{}`: start it with `kwic-team serve`, or give its --data",
                self.socket.display()
            ))
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
        let request = request.body(body).map_err(|fault| broken(&fault))?;
        sender.send_request(request).await.map_err(|fault| broken(&fault))
    }
}

/// The body of an answer that is a success.
async fn whole(response: hyper::Response<Incoming>) -> Result<Bytes, Stop> {
    let response = accepted(response).await?;
    let body = response.into_body().collect().await;
    body.map(|body| body.to_bytes())
        .map_err(|fault| Stop::failure(format!("the answer broke off: {fault}")))
}

/// A problem becomes what a person reads: the detail, and a line for each field.
async fn accepted(response: hyper::Response<Incoming>) -> Result<hyper::Response<Incoming>, Stop> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let body = response.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let problem: Json = serde_json::from_slice(&body).unwrap_or_default();
    let detail = match problem.get("detail").and_then(Json::as_str) {
        Some(detail) => detail.to_owned(),
        None => problem.as_str().map_or_else(|| status.to_string(), str::to_owned),
    };
    let mut message = detail.clone();
    for field in problem.get("fields").and_then(Json::as_array).into_iter().flatten() {
        let text = |name| field.get(name).and_then(Json::as_str).unwrap_or_default();
        if text("message") != detail {
            message.push_str(&format!("\n  {}: {}", text("field"), text("message")));
        }
    }
    let refused = problem.get("code").and_then(Json::as_str) == Some("policies_refused");
    let exit = if refused { Exit::PoliciesRefused } else { Exit::Failure };
    Err(Stop { exit, message })
}

/// A file as a body.
struct Upload {
    file: File,
    progress: ProgressBar,
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let mut piece = vec![0; PIECE_BYTES];
        // Reading a file blocks for moments only, and nothing else runs in a command. A file that
        // breaks off ends the body short of its length, which the sidecar refuses.
        match self.file.read(&mut piece) {
            Ok(read) if read > 0 => {
                piece.truncate(read);
                self.progress.inc(u64::try_from(read).unwrap_or(0));
                Poll::Ready(Some(Ok(Frame::data(piece.into()))))
            }
            _ => {
                self.progress.finish_and_clear();
                Poll::Ready(None)
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.progress.length().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
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
}
