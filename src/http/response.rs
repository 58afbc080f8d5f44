//! Responses, and the only mapping from a kind of failure to a status code.
//!
//! A failure's private message is for the log and never part of a body.

use std::io::Write as _;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::StatusCode;
use hyper::body::{Bytes, Frame, SizeHint};
use hyper::header::{
    CONNECTION, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, SET_COOKIE,
};
use serde::Serialize;
use tokio::sync::mpsc;

use crate::domain::{Failure, Kind};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");

/// The only mapping from kinds of failures to status codes.
fn status_of(kind: Kind) -> StatusCode {
    match kind {
        Kind::Invalid => StatusCode::BAD_REQUEST,
        Kind::Unauthenticated => StatusCode::UNAUTHORIZED,
        Kind::Denied => StatusCode::FORBIDDEN,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        Kind::Timeout => StatusCode::REQUEST_TIMEOUT,
        Kind::Conflict => StatusCode::CONFLICT,
        Kind::Gone => StatusCode::GONE,
        Kind::Stale => StatusCode::PRECONDITION_FAILED,
        Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Kind::PoliciesRefused => StatusCode::UNPROCESSABLE_ENTITY,
        Kind::PreconditionRequired => StatusCode::PRECONDITION_REQUIRED,
        Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        Kind::Busy => StatusCode::SERVICE_UNAVAILABLE,
        Kind::TooMany => StatusCode::TOO_MANY_REQUESTS,
    }
}

/// The status code of a kind of failure, for responses that report several.
#[must_use]
pub fn status(kind: Kind) -> u16 {
    status_of(kind).as_u16()
}

static REVISION: HeaderName = HeaderName::from_static("x-kwic-revision");
static POLICIES: HeaderName = HeaderName::from_static("x-kwic-policies");
pub(super) static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The header values that many responses share: created once, and then reference-counted.
#[derive(Clone, Debug)]
pub struct AnswerHeaders {
    revision: HeaderValue,
    policies: HeaderValue,
}

impl AnswerHeaders {
    /// The revision of the members, and the digest of the policies as 64 hexadecimal digits.
    #[must_use]
    pub fn new(revision: u64, policies: &str) -> Self {
        let unknown = |_| HeaderValue::from_static("unknown");
        Self {
            revision: HeaderValue::from(revision),
            policies: HeaderValue::from_str(policies).unwrap_or_else(unknown),
        }
    }
}

/// Nearly every response has no more headers.
const HEADERS_USUAL: usize = 6;

/// A response under construction. Common headers have their own fields, so that nothing is looked
/// up or allocated for them.
#[derive(Debug)]
pub struct Reply {
    status: StatusCode,
    media: HeaderValue,
    stamp: Option<AnswerHeaders>,
    /// Other headers.
    headers: HeaderMap,
    body: ReplyBody,
}

/// One piece of a streamed response.
#[derive(Debug)]
pub enum StreamPiece {
    /// Some of it.
    Bytes(Bytes),
    /// The end.
    Last,
}

/// Events that may wait for the listener to take them; their source holds back more.
const EVENTS_AHEAD: usize = 1;

async fn pass_on<E>(
    mut told: mpsc::Receiver<E>,
    pieces: mpsc::Sender<StreamPiece>,
    written: impl Fn(E) -> Bytes,
) {
    loop {
        let event = tokio::select! {
            event = told.recv() => event,
            () = pieces.closed() => return,
        };
        let last = event.is_none();
        let piece = event.map_or(StreamPiece::Last, |event| StreamPiece::Bytes(written(event)));
        if pieces.send(piece).await.is_err() {
            return;
        }
        if last {
            return pieces.closed().await;
        }
    }
}

/// The body: complete, or streamed.
#[derive(Debug)]
pub(super) enum ReplyBody {
    Whole(Option<Bytes>),
    Pieces(mpsc::Receiver<StreamPiece>),
    /// An endless stream: a server that stops does not wait for it.
    Endless(mpsc::Receiver<StreamPiece>),
}

impl Reply {
    fn new(status: StatusCode, media: HeaderValue, body: ReplyBody) -> Self {
        Self { status, media, stamp: None, headers: HeaderMap::new(), body }
    }

    /// JSON text; a static one costs no allocation.
    #[must_use]
    pub fn json(body: impl Into<Bytes>) -> Self {
        Self::new(StatusCode::OK, JSON, ReplyBody::Whole(Some(body.into())))
    }

    /// A value as JSON.
    pub fn json_of(value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => Self::json(body),
            Err(fault) => {
                Self::message(&Failure::internal(format!("a reply cannot be written: {fault}")))
            }
        }
    }

    /// Text of a media type.
    #[must_use]
    pub fn text(media: &'static str, body: impl Into<Bytes>) -> Self {
        Self::new(
            StatusCode::OK,
            HeaderValue::from_static(media),
            ReplyBody::Whole(Some(body.into())),
        )
    }

    /// Streams pieces until the last. If the sender is dropped before, the response is cut off, so
    /// that a part never passes for the whole.
    #[must_use]
    pub fn stream(media: &'static str, pieces: mpsc::Receiver<StreamPiece>) -> Self {
        Self::new(StatusCode::OK, HeaderValue::from_static(media), ReplyBody::Pieces(pieces))
    }

    /// Server-sent events (HTML, section 9.2) as they come, until either end is gone; `written`
    /// gives the bytes of one. `held` is kept until the listener has taken the end, or its
    /// connection is closed: the place of the listener, for instance.
    #[must_use]
    pub fn events<E, H>(
        told: mpsc::Receiver<E>,
        held: H,
        written: impl Fn(E) -> Bytes + Send + 'static,
    ) -> Self
    where
        E: Send + 'static,
        H: Send + 'static,
    {
        let media = HeaderValue::from_static("text/event-stream");
        let (pieces, receiver) = mpsc::channel(EVENTS_AHEAD);
        tokio::spawn(async move {
            pass_on(told, pieces, written).await;
            drop(held);
        });
        Self::new(StatusCode::OK, media, ReplyBody::Endless(receiver))
    }

    /// Logs that a request was answered, where somebody wants every one of them.
    pub(super) fn log(&self) {
        tracing::debug!(status = self.status.as_u16(), "answered");
    }

    pub(super) fn is_endless(&self) -> bool {
        matches!(self.body, ReplyBody::Endless(_))
    }

    /// RFC 9457: a failure for programs and people.
    #[must_use]
    pub fn problem(failure: &Failure, request_id: &str) -> Self {
        #[derive(Serialize)]
        struct Field<'f> {
            field: &'f str,
            message: &'f str,
        }
        #[derive(Serialize)]
        struct Problem<'f> {
            r#type: &'static str,
            title: &'static str,
            status: u16,
            code: &'f str,
            detail: &'f str,
            request_id: &'f str,
            #[serde(skip_serializing_if = "Vec::is_empty")]
            fields: Vec<Field<'f>>,
        }
        let status = status_of(failure.kind);
        let mut reply = Self::json_of(&Problem {
            r#type: "about:blank",
            title: status.canonical_reason().unwrap_or("error"),
            status: status.as_u16(),
            code: failure.code,
            detail: &failure.public,
            request_id,
            fields: failure
                .fields
                .iter()
                .map(|(field, message)| Field { field, message })
                .collect(),
        });
        reply.media = PROBLEM;
        reply.failed(failure)
    }

    /// AuthZEN 1.0 section 12: a failure as one JSON string.
    #[must_use]
    pub fn message(failure: &Failure) -> Self {
        let body = serde_json::to_vec(&failure.public).unwrap_or_else(|_| b"\"error\"".to_vec());
        Self::json(body).failed(failure)
    }

    fn failed(mut self, failure: &Failure) -> Self {
        self.status = status_of(failure.kind);
        let busy = (failure.kind == Kind::Busy).then_some(1);
        if let Some(seconds) = failure.retry_after.or(busy) {
            self.headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if failure.kind == Kind::Unauthenticated {
            self = self.header("www-authenticate", "Bearer".to_owned());
        }
        self
    }

    /// Sets the status; an invalid number is ignored.
    #[must_use]
    pub fn status(mut self, code: u16) -> Self {
        if let Ok(status) = StatusCode::from_u16(code) {
            self.status = status;
        }
        self
    }

    /// Adds a header; an invalid value is ignored.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: String) -> Self {
        if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(value)) {
            self.headers.insert(HeaderName::from_static(name), value);
        }
        self
    }

    /// Sets the shared headers.
    #[must_use]
    pub fn stamp(mut self, stamp: &AnswerHeaders) -> Self {
        self.stamp = Some(stamp.clone());
        self
    }

    /// Adds a `Set-Cookie`; each is a line of its own (RFC 6265, section 3).
    #[must_use]
    pub fn cookie(mut self, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.append(SET_COOKIE, value);
        }
        self
    }

    /// Adds headers with constant values.
    #[must_use]
    pub fn headers(mut self, headers: &[(&'static str, &'static str)]) -> Self {
        for (name, value) in headers {
            self.headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        self
    }

    /// The current status.
    #[must_use]
    pub fn code(&self) -> u16 {
        self.status.as_u16()
    }

    /// As bytes, after the status line and the fields that RFC 9110 requires; `None` for a stream.
    pub(super) fn write(
        &self,
        into: &mut Vec<u8>,
        id: &[u8],
        date: &str,
        closing: bool,
    ) -> Option<()> {
        let ReplyBody::Whole(body) = &self.body else { return None };
        let body = body.as_deref().unwrap_or_default();
        into.extend_from_slice(b"HTTP/1.1 ");
        into.extend_from_slice(self.status.as_str().as_bytes());
        into.push(b' ');
        into.extend_from_slice(self.status.canonical_reason().unwrap_or_default().as_bytes());
        into.extend_from_slice(b"\r\n");
        write_field(into, &CONTENT_TYPE, self.media.as_bytes());
        if let Some(AnswerHeaders { revision, policies }) = &self.stamp {
            write_field(into, &REVISION, revision.as_bytes());
            write_field(into, &POLICIES, policies.as_bytes());
        }
        for (name, value) in &self.headers {
            write_field(into, name, value.as_bytes());
        }
        write_field(into, &REQUEST_ID, id);
        if closing {
            write_field(into, &CONNECTION, b"close");
        }
        write_field(into, &DATE, date.as_bytes());
        // Writing a number into memory cannot fail.
        let _ = write!(into, "content-length: {}\r\n\r\n", body.len());
        into.extend_from_slice(body);
        Some(())
    }

    /// Converts it for hyper, with the request's id.
    pub(super) fn finish(mut self, id: &HeaderValue, closing: bool) -> hyper::Response<ReplyBody> {
        let headers = &mut self.headers;
        headers.reserve(HEADERS_USUAL);
        headers.insert(CONTENT_TYPE, self.media);
        if let Some(AnswerHeaders { revision, policies }) = self.stamp {
            headers.insert(REVISION.clone(), revision);
            headers.insert(POLICIES.clone(), policies);
        }
        headers.insert(REQUEST_ID.clone(), id.clone());
        if closing {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let mut response = hyper::Response::new(self.body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}

fn write_field(into: &mut Vec<u8>, name: &HeaderName, value: &[u8]) {
    into.extend_from_slice(name.as_str().as_bytes());
    into.extend_from_slice(b": ");
    into.extend_from_slice(value);
    into.extend_from_slice(b"\r\n");
}

impl hyper::body::Body for ReplyBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match &mut *self {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Pieces(pieces) | Self::Endless(pieces) => {
                pieces.poll_recv(context).map(|piece| match piece {
                    Some(StreamPiece::Bytes(bytes)) => Some(Ok(Frame::data(bytes))),
                    Some(StreamPiece::Last) => None,
                    None => {
                        Some(Err(std::io::Error::other("the answer was not written to its end")))
                    }
                })
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(Some(bytes)) => {
                SizeHint::with_exact(u64::try_from(bytes.len()).unwrap_or(u64::MAX))
            }
            Self::Whole(None) => SizeHint::with_exact(0),
            Self::Pieces(_) | Self::Endless(_) => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_when_to_try_again() {
        let told = |failure: &Failure| {
            let reply = Reply::problem(failure, "r1");
            let wait = reply.headers.get(RETRY_AFTER).map(|wait| wait.to_str().unwrap().to_owned());
            (reply.code(), wait)
        };
        let many = Failure::too_many("too_many_tries", "too many tries", 3_600);
        assert_eq!(told(&many), (429, Some("3600".to_owned())));
        let busy = Failure::new(Kind::Busy, "busy", "too much at once: try again");
        assert_eq!(told(&busy), (503, Some("1".to_owned())));
        assert_eq!(told(&Failure::invalid("email", "no address")), (400, None));
    }
}
