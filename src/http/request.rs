//! A request: method, path, headers, a limited body, and the peer.
//!
//! Does not trust a length that the peer only claims, and creates a request id only when asked for
//! one.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use http_body_util::BodyExt;
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{
    AsHeaderName, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, HeaderName, HeaderValue, USER_AGENT,
};

use super::connection_activity::{ConnectionPhase, Phase};
use super::response::REQUEST_ID;
use crate::domain::{Failure, Kind, limits};
use crate::entropy;

static AT_LEAST: HeaderName = HeaderName::from_static("x-kwic-at-least");

/// The peer of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A TCP client.
    Tcp {
        /// The peer's address: the client's, or a proxy's.
        address: IpAddr,
    },
    /// A process on this host, as the kernel reports it.
    Unix {
        /// The user id.
        uid: u32,
    },
}

/// A request's method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "RFC 9110 section 9 says what each is")]
pub enum Method {
    Get,
    Head,
    Post,
    Patch,
    Put,
    Delete,
    Options,
    Other,
}

impl Method {
    /// Its name; unknown methods have none.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Patch => "PATCH",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
            Self::Other => "",
        }
    }
}

impl From<&hyper::Method> for Method {
    fn from(method: &hyper::Method) -> Self {
        match method.as_str() {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "POST" => Self::Post,
            "PATCH" => Self::Patch,
            "PUT" => Self::Put,
            "DELETE" => Self::Delete,
            "OPTIONS" => Self::Options,
            _ => Self::Other,
        }
    }
}

/// A header that must occur once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SoleHeader<'r> {
    /// It is missing.
    Absent,
    /// Its text.
    Text(&'r str),
    /// It occurs more than once, or is not readable text.
    Unclear,
}

/// One request.
#[derive(Debug)]
pub struct Request {
    parts: hyper::http::request::Parts,
    body: Incoming,
    /// What is asked to be done.
    pub method: Method,
    /// The peer.
    pub peer: Peer,
    connection_phase: Arc<ConnectionPhase>,
    held: BodyReservation,
    id: OnceLock<HeaderValue>,
}

/// The memory of all bodies that a server holds.
#[derive(Debug, Default)]
pub(super) struct BodyBudget(AtomicUsize);

/// One request's share, until the request is answered.
#[derive(Debug)]
struct BodyReservation {
    of: Arc<BodyBudget>,
    bytes: usize,
}

impl BodyReservation {
    /// Reserves memory for more bytes of a body of up to `max`. A single body always fits, and a
    /// quarter is reserved for single queries. One that does not fit releases its share.
    fn take(&mut self, bytes: usize, max: usize) -> Result<(), Failure> {
        let before = self.of.0.fetch_add(bytes, Ordering::Relaxed);
        self.bytes += bytes;
        let most = if self.bytes <= limits::EVALUATION_BODY_BYTES_MAX {
            limits::BODIES_BYTES_MAX
        } else {
            limits::BODIES_BYTES_MAX / 4 * 3
        };
        if before.saturating_add(bytes) <= most.max(max) {
            return Ok(());
        }
        self.give_back();
        Err(Failure::new(
            Kind::Busy,
            "busy",
            "too many large requests are being read: try again in a moment",
        ))
    }

    /// Grows `whole` for more bytes of a body of up to `max`: doubled each time, so that it is
    /// copied rarely, and never by the length that the peer only claims.
    fn make_room(&mut self, whole: &mut Vec<u8>, bytes: usize, max: usize) -> Result<(), Failure> {
        let needed = whole.len().saturating_add(bytes);
        if needed > whole.capacity() {
            let room = whole.capacity().saturating_mul(2).min(max).max(needed);
            self.take(room - whole.capacity(), max)?;
            whole.reserve_exact(room - whole.len());
        }
        Ok(())
    }

    fn give_back(&mut self) {
        self.of.0.fetch_sub(std::mem::take(&mut self.bytes), Ordering::Relaxed);
    }
}

impl Drop for BodyReservation {
    fn drop(&mut self) {
        self.give_back();
    }
}

impl Request {
    pub(super) fn new(
        request: hyper::Request<Incoming>,
        peer: Peer,
        connection_phase: Arc<ConnectionPhase>,
        bodies: Arc<BodyBudget>,
    ) -> Self {
        let (parts, body) = request.into_parts();
        connection_phase.enter(if body.is_end_stream() { Phase::Answer } else { Phase::Body });
        let method = Method::from(&parts.method);
        let held = BodyReservation { of: bodies, bytes: 0 };
        Self { parts, body, method, peer, connection_phase, held, id: OnceLock::new() }
    }

    /// The path, still percent-encoded.
    #[must_use]
    pub fn path(&self) -> &str {
        self.parts.uri.path()
    }

    /// The query string.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.parts.uri.query()
    }

    /// A header by its lower-case name, if it is readable text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.parts.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// A header that must occur once.
    #[must_use]
    pub fn sole_header(&self, name: &str) -> SoleHeader<'_> {
        self.sole(name)
    }

    /// `x-kwic-at-least`, unparsed.
    #[must_use]
    pub fn at_least(&self) -> SoleHeader<'_> {
        self.sole(&AT_LEAST)
    }

    fn sole(&self, name: impl AsHeaderName) -> SoleHeader<'_> {
        let mut values = self.parts.headers.get_all(name).iter();
        match (values.next().map(HeaderValue::to_str), values.next()) {
            (None, _) => SoleHeader::Absent,
            (Some(Ok(text)), None) => SoleHeader::Text(text),
            _ => SoleHeader::Unclear,
        }
    }

    /// Every line of a header, in order; an unreadable one is empty, so that positions are kept.
    pub fn lines(&self, name: &str) -> impl DoubleEndedIterator<Item = &str> {
        let lines = self.parts.headers.get_all(name).iter();
        lines.map(|line| std::str::from_utf8(line.as_bytes()).unwrap_or_default())
    }

    /// The items of a list header, from the last to the first, over all its lines. An unreadable
    /// one is empty, so that positions are kept; the others are not affected.
    pub fn items_from_last(&self, name: &str) -> impl Iterator<Item = &str> {
        let lines = self.parts.headers.get_all(name).iter().rev();
        let items = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        items.map(|item| std::str::from_utf8(item).unwrap_or_default().trim())
    }

    /// The user agent; invalid bytes are escaped.
    #[must_use]
    pub fn agent(&self) -> String {
        let agent = self.parts.headers.get(USER_AGENT).map_or(&b""[..], HeaderValue::as_bytes);
        String::from_utf8_lossy(agent).into_owned()
    }

    /// The media type of the body without its parameters; empty if there is none.
    #[must_use]
    pub fn media(&self) -> &str {
        let given = self.parts.headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
        std::str::from_utf8(media_of(given)).unwrap_or_default()
    }

    /// The value of a cookie; `None` if it is missing or a duplicate, since one of them may have
    /// been planted by another host.
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<&str> {
        let mut values = self.cookies(name);
        let sole = values.next().filter(|_| values.next().is_none());
        std::str::from_utf8(sole?).ok()
    }

    /// Whether any cookie of this name was sent.
    #[must_use]
    pub fn has_cookie(&self, name: &str) -> bool {
        self.cookies(name).next().is_some()
    }

    /// RFC 6265 section 5.4: pairs separated by `;`, each parsed separately and as bytes. Other
    /// applications on the host have their cookies here, in any encoding. Only ASCII space is
    /// trimmed: a name that begins with another kind of space is another name, without the
    /// protection of a prefix.
    fn cookies(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        let lines = self.parts.headers.get_all(COOKIE).iter();
        let pairs = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
        pairs.filter_map(move |pair| {
            let at = pair.iter().position(|byte| *byte == b'=')?;
            let (given, value) = (pair.get(..at)?, pair.get(at + 1..)?);
            (given.trim_ascii() == name.as_bytes()).then(|| value.trim_ascii())
        })
    }

    /// The requested host, from target or header; `None` if it is missing or ambiguous.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        let named = || match self.sole(HOST) {
            SoleHeader::Text(host) => Some(host),
            SoleHeader::Absent | SoleHeader::Unclear => None,
        };
        self.parts.uri.authority().map(|authority| authority.as_str()).or_else(named)
    }

    /// The same without its port.
    #[must_use]
    pub fn host_name(&self) -> Option<&str> {
        self.host().map(host_name)
    }

    /// The caller's `x-request-id` if it is printable ASCII within the limit, else a generated one.
    #[must_use]
    pub fn id(&self) -> &str {
        self.id_value().to_str().unwrap_or_default()
    }

    /// The span of what is logged while the request is answered. The query is left out: a stranger
    /// may have put anything there.
    pub(super) fn span(&self) -> tracing::Span {
        let (method, path) = (self.method.as_str(), shortened(self.path()));
        tracing::info_span!("request", method, path, request_id = self.id())
    }

    pub(super) fn id_value(&self) -> &HeaderValue {
        self.id.get_or_init(|| {
            let given = self.parts.headers.get(&REQUEST_ID);
            given.filter(|id| is_usable_id(id.as_bytes())).cloned().unwrap_or_else(|| {
                let mut made = [0; MADE_ID_BYTES];
                HeaderValue::from_bytes(made_id(&mut made))
                    .unwrap_or_else(|_| HeaderValue::from_static("unknown"))
            })
        })
    }

    /// Whether the content type is JSON; parameters such as a charset are allowed.
    #[must_use]
    pub fn content_type_is_json(&self) -> bool {
        self.parts.headers.get(CONTENT_TYPE).is_some_and(|given| is_json(given.as_bytes()))
    }

    /// Whether there is a body.
    #[must_use]
    pub fn has_body(&self) -> bool {
        !self.body.is_end_stream()
    }

    /// The whole body, up to `max` bytes.
    ///
    /// # Errors
    /// `TooLarge`, when it is longer or says so; `Invalid`, when it breaks off.
    pub async fn body(&mut self, max: usize) -> Result<Bytes, Failure> {
        self.check_claim(max)?;
        // One timestamp for the whole body: one that is sent slowly, however steadily, is closed.
        self.connection_phase.enter(Phase::Body);
        let whole = self.whole(max).await;
        self.connection_phase.enter(Phase::Answer);
        whole
    }

    async fn whole(&mut self, max: usize) -> Result<Bytes, Failure> {
        let Some(first) = self.piece().await? else { return Ok(Bytes::new()) };
        if first.len() > max {
            return Err(too_large(max));
        }
        if self.body.is_end_stream() {
            // Small bodies come in one piece: no copy.
            return Ok(first);
        }
        let most = self.claimed().and_then(|claimed| usize::try_from(claimed).ok()).unwrap_or(max);
        let (mut whole, mut piece) = (Vec::new(), Some(first));
        while let Some(bytes) = piece {
            let length = whole.len().saturating_add(bytes.len());
            if length > max {
                return Err(too_large(max));
            }
            if let Err(busy) = self.held.make_room(&mut whole, bytes.len(), most) {
                drop((whole, bytes));
                self.pass_over(max.saturating_sub(length)).await;
                return Err(busy);
            }
            whole.extend_from_slice(&bytes);
            drop(bytes);
            piece = self.piece().await?;
        }
        Ok(whole.into())
    }

    /// Reads and discards the rest of a body: a client that is still sending would not read a
    /// response.
    async fn pass_over(&mut self, most: usize) {
        let mut passed = 0_usize;
        while passed <= most
            && let Ok(Some(piece)) = self.piece().await
        {
            passed = passed.saturating_add(piece.len());
        }
    }

    /// The length that the peer claims.
    fn claimed(&self) -> Option<u64> {
        self.parts.headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
    }

    fn check_claim(&self, max: usize) -> Result<(), Failure> {
        match self.claimed() {
            Some(claimed) if claimed > u64::try_from(max).unwrap_or(u64::MAX) => {
                Err(too_large(max))
            }
            _ => Ok(()),
        }
    }

    /// The next piece of a long body; `None` at its end. The timeout runs while a piece is awaited,
    /// not while one is processed: a slow but steady stream is allowed.
    ///
    /// # Errors
    /// `Invalid`, when the body breaks off.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        self.connection_phase.enter(Phase::Body);
        let piece = self.piece().await;
        self.connection_phase.enter(Phase::Answer);
        piece
    }

    async fn piece(&mut self) -> Result<Option<Bytes>, Failure> {
        while let Some(frame) = self.body.frame().await {
            let frame = frame.map_err(|fault| {
                Failure::new(
                    Kind::Invalid,
                    "body_broken",
                    "the body was cut off: send it completely",
                )
                .logged(fault.to_string())
            })?;
            if let Ok(piece) = frame.into_data()
                && !piece.is_empty()
            {
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }
}

/// A host without its port, and without a trailing dot (RFC 1034, section 3.1).
#[must_use]
pub fn host_name(host: &str) -> &str {
    let name = without_port(host);
    name.strip_suffix('.').unwrap_or(name)
}

fn without_port(host: &str) -> &str {
    match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) if port.is_empty() || port.starts_with(':') => address,
        Some(_) => host,
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    }
}

/// Whether a host name means this machine.
#[must_use]
pub fn is_loopback(name: &str) -> bool {
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn too_large(max: usize) -> Failure {
    Failure::new(
        Kind::TooLarge,
        Failure::BODY_TOO_LARGE,
        format!("the body is larger than {max} bytes: send less, or in several requests"),
    )
}

/// Whether a `Content-Type` is that of JSON.
pub(super) fn is_json(given: &[u8]) -> bool {
    media_of(given).eq_ignore_ascii_case(b"application/json")
}

/// A media type without its parameters.
fn media_of(given: &[u8]) -> &[u8] {
    given.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii()
}

/// The beginning of a path, as much of it as a log line shows.
pub(super) fn shortened(path: &str) -> &str {
    path.get(..LOG_PATH_BYTES_MAX).unwrap_or(path)
}

/// Bytes of a path in a log line.
const LOG_PATH_BYTES_MAX: usize = 256;

/// Whether a caller's request id is echoed.
pub(super) fn is_usable_id(id: &[u8]) -> bool {
    (1..=limits::REQUEST_ID_BYTES_MAX).contains(&id.len())
        && id.iter().all(|byte| (b' '..=b'~').contains(byte))
}

/// 16 digits, a hyphen, 16 digits at most.
pub(super) const MADE_ID_BYTES: usize = 33;

/// A random prefix of this process and a counter: unique, hard to guess, and cheap.
pub(super) fn made_id(into: &mut [u8; MADE_ID_BYTES]) -> &[u8] {
    static PREFIX: OnceLock<[u8; 17]> = OnceLock::new();
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let prefix = PREFIX.get_or_init(|| {
        let mut prefix = [b'-'; 17];
        write_hex(&mut prefix, u64::from_le_bytes(entropy::random().unwrap_or_default()));
        prefix
    });
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let (begin, digits) = into.split_at_mut(prefix.len());
    begin.copy_from_slice(prefix);
    let length = prefix.len() + write_hex(digits, number);
    into.get(..length).unwrap_or_default()
}

/// The digits of a number without leading zeros; returns how many.
fn write_hex(into: &mut [u8], number: u64) -> usize {
    let digits = usize::try_from(16 - number.leading_zeros().min(60) / 4).unwrap_or(16);
    for (at, place) in into.iter_mut().take(digits).enumerate() {
        let digit = u8::try_from(number >> (4 * (digits - 1 - at)) & 15).unwrap_or_default();
        *place = if digit < 10 { b'0' + digit } else { b'a' + digit - 10 };
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_made_of_a_prefix_and_a_number() {
        for number in [0, 1, 15, 16, 0xabc, u64::MAX >> 4, u64::MAX] {
            let mut digits = [0; 16];
            let many = write_hex(&mut digits, number);
            assert_eq!(std::str::from_utf8(&digits[..many]), Ok(format!("{number:x}").as_str()));
        }
        let mut rooms = [[0; MADE_ID_BYTES]; 2];
        let ids = rooms.each_mut().map(|room| String::from_utf8(made_id(room).to_vec()).unwrap());
        assert_ne!(ids[0], ids[1]);
        let halves = ids.each_ref().map(|id| id.rsplit_once('-').unwrap());
        assert_eq!((halves[0].0, halves[0].0.len()), (halves[1].0, 16));
    }

    #[test]
    fn a_host_is_named_without_port_and_last_dot() {
        for (host, name) in [
            ("a.example", "a.example"),
            ("a.example:8181", "a.example"),
            ("A.example.", "A.example"),
            ("localhost.:80", "localhost"),
            ("[::1]:80", "::1"),
            ("[::1]", "::1"),
            ("[::1]x", "[::1]x"),
            (".", ""),
            ("", ""),
        ] {
            assert_eq!(host_name(host), name, "{host}");
        }
    }

    #[test]
    fn large_bodies_have_a_bound_together_and_one_alone_always_fits() {
        let bodies = Arc::new(BodyBudget::default());
        let held = || BodyReservation { of: Arc::clone(&bodies), bytes: 0 };
        let most = limits::BODIES_BYTES_MAX;
        let (large, single) = (most / 4 * 3, limits::EVALUATION_BODY_BYTES_MAX);
        let (mut first, mut second) = (held(), held());
        first.take(large - 1, single).unwrap();
        second.take(1, single).unwrap();
        let full = second.take(2 * single, single).unwrap_err();
        assert_eq!((full.kind, full.code), (Kind::Busy, "busy"));
        assert_eq!(bodies.0.load(Ordering::Relaxed), large - 1, "it holds nothing any more");
        // The rest is for single questions.
        second.take(single, single).unwrap();
        drop(first);
        second.take(2 * single, single).unwrap();
        drop(second);
        held().take(2 * most, 2 * most).unwrap();
        assert_eq!(bodies.0.load(Ordering::Relaxed), 0, "nothing is left behind");
    }

    #[test]
    fn a_body_has_the_room_that_it_needs_and_what_it_has_is_counted() {
        let bodies = Arc::new(BodyBudget::default());
        let mut held = BodyReservation { of: Arc::clone(&bodies), bytes: 0 };
        let (mut whole, max) = (Vec::new(), 100_000);
        let mut rooms = Vec::new();
        while whole.len() < max {
            let piece = vec![b'x'; 8_000.min(max - whole.len())];
            held.make_room(&mut whole, piece.len(), max).unwrap();
            whole.extend_from_slice(&piece);
            assert_eq!(bodies.0.load(Ordering::Relaxed), whole.capacity());
            rooms.push(whole.capacity());
        }
        rooms.dedup();
        assert_eq!(rooms, [8_000, 16_000, 32_000, 64_000, 100_000]);
    }
}
