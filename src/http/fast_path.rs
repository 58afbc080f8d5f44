//! The fast path for small requests: answered between one read and one write, without hyper.
//!
//! Takes a POST that is complete in the buffer and has no unusual header; everything else is handed
//! to hyper with each byte received, for the rest of the connection. So this path refuses no
//! request, and what it accepts has the same meaning there.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::oneshot;

use super::connection_activity::{ConnectionPhase, Phase, WatchedStream};
use super::connections::ServerState;
use super::request::{self, Peer, is_json, shortened};
use super::response::Reply;
use crate::clock;

/// The buffer for a head and a body; longer requests are not small.
const ROOM: usize = 4 << 10;
/// More than known clients send.
const HEADERS_MAX: usize = 16;

/// A request that is answered without waiting. Its body is JSON, by its header.
#[derive(Clone, Copy, Debug)]
pub struct SmallRequest<'b> {
    /// The request target, unchanged.
    pub path: &'b str,
    /// The `Host` header, at most one.
    pub host: Option<&'b str>,
    /// The `Authorization` header, likewise.
    pub authorization: Option<&'b str>,
    /// The peer.
    pub peer: Peer,
    /// All of it.
    pub body: &'b [u8],
}

/// The result of parsing the buffer.
enum ParsedHead<'b> {
    /// One complete request, and nothing after it.
    Whole(SmallRequest<'b>, Option<&'b [u8]>),
    /// More bytes are needed.
    Part(Phase),
    /// For hyper.
    Unusual,
}

/// The relevant header fields. A duplicate is unusual.
#[derive(Default)]
struct HeaderFields<'b> {
    host: Option<&'b str>,
    authorization: Option<&'b str>,
    length: Option<usize>,
    is_json: bool,
    id: Option<&'b [u8]>,
}

impl<'b> HeaderFields<'b> {
    /// Adds one field; `None` if it is unknown or unusual. Only fields that change neither how
    /// a request is read nor its answer are ignored.
    fn take(&mut self, name: &str, value: &'b [u8]) -> Option<()> {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        if is("content-length") {
            once(&mut self.length, length(value)?)
        } else if is("content-type") {
            let first = !std::mem::replace(&mut self.is_json, true);
            (first && is_json(value)).then_some(())
        } else if is("host") {
            once(&mut self.host, text(value)?)
        } else if is("authorization") {
            once(&mut self.authorization, text(value)?)
        } else if is("x-request-id") {
            request::is_usable_id(value).then_some(())?;
            once(&mut self.id, value)
        } else if is("connection") {
            value.eq_ignore_ascii_case(b"keep-alive").then_some(())
        } else {
            const LEFT_ASIDE: [&str; 6] = [
                "accept",
                "accept-encoding",
                "accept-language",
                "traceparent",
                "tracestate",
                "user-agent",
            ];
            LEFT_ASIDE.into_iter().any(is).then_some(())
        }
    }
}

fn once<T>(place: &mut Option<T>, value: T) -> Option<()> {
    place.replace(value).is_none().then_some(())
}

/// RFC 9110 section 8.6: only digits.
fn length(value: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(value).ok()?;
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

fn text(value: &[u8]) -> Option<&str> {
    let is_text = value.iter().all(|byte| (b' '..=b'~').contains(byte));
    is_text.then(|| std::str::from_utf8(value).ok())?
}

fn parse_head(bytes: &[u8], peer: Peer) -> ParsedHead<'_> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Request::new(&mut headers);
    let begin = match head.parse(bytes) {
        Ok(httparse::Status::Complete(begin)) => begin,
        Ok(httparse::Status::Partial) => return ParsedHead::Part(Phase::Head),
        Err(_) => return ParsedHead::Unusual,
    };
    let (Some("POST"), Some(path), Some(1)) = (head.method, head.path, head.version) else {
        return ParsedHead::Unusual;
    };
    // httparse accepts more targets than hyper does.
    if !path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/_-.".contains(&byte))
        || !path.starts_with('/')
    {
        return ParsedHead::Unusual;
    }
    let mut fields = HeaderFields::default();
    for field in head.headers.iter() {
        if fields.take(field.name, field.value).is_none() {
            return ParsedHead::Unusual;
        }
    }
    let (Some(length), true, Some(body)) = (fields.length, fields.is_json, bytes.get(begin..))
    else {
        return ParsedHead::Unusual;
    };
    // A length is untrusted: any number.
    if ROOM.checked_sub(begin).is_none_or(|room| length > room) || body.len() > length {
        return ParsedHead::Unusual;
    }
    if body.len() < length {
        return ParsedHead::Part(Phase::Body);
    }
    let HeaderFields { host, authorization, id, .. } = fields;
    ParsedHead::Whole(SmallRequest { path, host, authorization, peer, body }, id)
}

/// A connection that is handed to hyper.
pub(super) struct HandedToHyper {
    /// The bytes that were received and not answered.
    pub(super) bytes: Vec<u8>,
    /// It must close after this request.
    pub(super) told: bool,
}

/// A connection with small requests so far.
pub(super) struct FastPathConnection<'c, S> {
    pub(super) stream: &'c mut WatchedStream<S>,
    pub(super) connection_phase: &'c ConnectionPhase,
    pub(super) shared: &'c ServerState,
    pub(super) peer: Peer,
    /// Its slot is for one request.
    pub(super) is_brief: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> FastPathConnection<'_, S> {
    /// Answers requests one after another; `None` when the connection has ended.
    pub(super) async fn serve<Q>(
        self,
        answer_fast: &Q,
        told_to_close: &mut oneshot::Receiver<()>,
    ) -> Option<HandedToHyper>
    where
        Q: Fn(&SmallRequest<'_>) -> Option<Reply>,
    {
        let (mut buffer, mut filled, mut told) = (vec![0; ROOM], 0, false);
        let mut written = Vec::new();
        let mut date = DateCache::default();
        loop {
            let read = tokio::select! {
                biased;
                read = self.stream.read(buffer.get_mut(filled..)?) => read,
                _ = &mut *told_to_close, if !told => {
                    told = true;
                    if filled == 0 {
                        return None;
                    }
                    continue;
                }
            };
            match read {
                Ok(0) if filled > 0 => break,
                Ok(0) | Err(_) => return None,
                Ok(more) => filled += more,
            }
            let (bytes, mut id) = (buffer.get(..filled)?, None);
            let mut made = [0; request::MADE_ID_BYTES];
            // A panic in a handler ends only this connection.
            let step = || answer_buffered(bytes, self.peer, answer_fast, &mut id);
            let stepped = catch_unwind(AssertUnwindSafe(step));
            let id = id.unwrap_or_else(|| request::made_id(&mut made));
            let (reply, closing) = match stepped {
                Ok(Ok(Some(reply))) => (reply, told || self.is_brief || self.shared.is_stopping()),
                Ok(Err(phase)) if filled < ROOM => {
                    self.connection_phase.enter_first(phase);
                    continue;
                }
                Ok(Ok(None) | Err(_)) => break,
                Err(_) => (self.shared.panicked(id), true),
            };
            written.clear();
            reply.write(&mut written, id, date.at(self.connection_phase), closing)?;
            filled = 0;
            self.connection_phase.enter(Phase::Idle);
            self.stream.write_all(&written).await.ok()?;
            if closing {
                let _ = self.stream.shutdown().await;
                return None;
            }
        }
        buffer.truncate(filled);
        Some(HandedToHyper { bytes: buffer, told })
    }
}

/// The response to the bytes so far, or none if hyper must answer; `Err` if more bytes are needed.
/// The id is set before the handler runs, so that it is known after a panic.
fn answer_buffered<'b, Q>(
    bytes: &'b [u8],
    peer: Peer,
    answer_fast: &Q,
    id: &mut Option<&'b [u8]>,
) -> Result<Option<Reply>, Phase>
where
    Q: Fn(&SmallRequest<'_>) -> Option<Reply>,
{
    match parse_head(bytes, peer) {
        ParsedHead::Whole(request, given) => {
            *id = given;
            let _span = tracing::debug_span!("request", path = shortened(request.path)).entered();
            Ok(answer_fast(&request).inspect(Reply::log))
        }
        ParsedHead::Part(phase) => Err(phase),
        ParsedHead::Unusual => Ok(None),
    }
}

/// The time for the `Date` header, cached until the sweep's clock advances.
#[derive(Default)]
struct DateCache {
    sweep_ms: Option<u64>,
    text: String,
}

impl DateCache {
    fn at(&mut self, connection_phase: &ConnectionPhase) -> &str {
        let sweep_ms = Some(connection_phase.sweep_ms());
        if self.sweep_ms != sweep_ms {
            *self = Self { sweep_ms, text: clock::http_date() };
        }
        &self.text
    }
}
