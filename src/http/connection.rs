//! The activity of one connection: what it is doing and since when, for the idle sweep.
//!
//! A timer for each request would cost an allocation and close connections that are in use; a mark
//! in one atomic that is checked once a second costs almost nothing. Does not read a clock: the
//! sweep does.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use hyper::body::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::refusal;

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Waiting for a request, or for the caller to take the answer to the last one.
    Idle,
    /// A request's head is awaited: the first one of a connection, or some of it has come.
    Head,
    /// The head is there, the body is being read.
    Body,
    /// The request is whole; the answer is being made or written.
    Answer,
}

/// The hands of the sweep: milliseconds since the server began, coarse.
#[derive(Debug, Default)]
pub(super) struct Hands(AtomicU64);

impl Hands {
    pub(super) fn set(&self, ms: u64) {
        self.0.store(ms, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The phase in the two lowest bits, its beginning above.
#[derive(Debug)]
pub(super) struct Pulse {
    mark: AtomicU64,
    /// The answer under way has no end of its own.
    endless: AtomicBool,
    /// The caller takes no more bytes at the moment.
    is_full: AtomicBool,
    hands: Arc<Hands>,
}

impl Pulse {
    pub(super) fn new(hands: Arc<Hands>) -> Self {
        let (endless, is_full) = (AtomicBool::new(false), AtomicBool::new(false));
        let pulse = Self { mark: AtomicU64::new(0), endless, is_full, hands };
        // Who connects has something to ask: one that stays silent is no warm connection.
        pulse.enter(Phase::Head);
        pulse
    }

    pub(super) fn enter(&self, phase: Phase) {
        self.mark.store(self.hands.get() << 2 | phase as u64, Ordering::Relaxed);
    }

    /// The same, where the connection is not in that phase already: its beginning counts.
    pub(super) fn enter_first(&self, phase: Phase) {
        if self.read().0 != phase {
            self.enter(phase);
        }
    }

    /// Where the hands of the sweep stand.
    pub(super) fn hands_ms(&self) -> u64 {
        self.hands.get()
    }

    /// The phase, and for how many milliseconds.
    pub(super) fn read(&self) -> (Phase, u64) {
        let mark = self.mark.load(Ordering::Relaxed);
        let phase = match mark & 3 {
            0 => Phase::Idle,
            1 => Phase::Head,
            2 => Phase::Body,
            _ => Phase::Answer,
        };
        (phase, self.hands.get().saturating_sub(mark >> 2))
    }

    /// Nothing else comes over a connection after an answer that never ends.
    pub(super) fn never_ends(&self) {
        self.endless.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_endless(&self) -> bool {
        self.endless.load(Ordering::Relaxed)
    }

    /// Whether nothing but its caller keeps it: a request is not whole, an answer never ends, or no
    /// byte of one was taken for so many milliseconds. Not while an answer is being made.
    pub(super) fn waits_for_caller(&self, ms: u64) -> bool {
        let (phase, for_ms) = self.read();
        match phase {
            Phase::Head | Phase::Body => true,
            Phase::Idle => {
                self.is_endless() || self.is_full.load(Ordering::Relaxed) && for_ms >= ms
            }
            Phase::Answer => false,
        }
    }

    /// A caller that takes bytes of a long answer is not idle; one that takes none is.
    fn wrote(&self, polled: &Poll<io::Result<usize>>) {
        self.is_full.store(polled.is_pending(), Ordering::Relaxed);
        if matches!(polled, Poll::Ready(Ok(_))) && self.read().0 == Phase::Idle {
            self.enter(Phase::Idle);
        }
    }
}

/// A stream that marks the first bytes of a request.
pub(super) struct Watched<S> {
    pub(super) stream: S,
    pub(super) pulse: Arc<Pulse>,
    /// What was read from the stream already, and is to be read first.
    pub(super) before: Bytes,
    /// The status of hyper's own refusal, which is held back: the server answers with a sentence.
    pub(super) refused: Option<u16>,
}

/// Most bytes of one read. Hyper doubles a connection's buffer when a read has filled it, up to the
/// longest head, and keeps it: a thousand uploads would hold a thousand of the largest ones.
const READ_BYTES_MAX: usize = (8 << 10) - 1;

fn poll_some<S: AsyncRead>(
    stream: Pin<&mut S>,
    context: &mut Context<'_>,
    into: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    if into.remaining() <= READ_BYTES_MAX {
        return stream.poll_read(context, into);
    }
    let mut some = ReadBuf::new(into.initialize_unfilled_to(READ_BYTES_MAX));
    let polled = stream.poll_read(context, &mut some);
    let read = some.filled().len();
    into.advance(read);
    polled
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let polled = if self.before.is_empty() {
            poll_some(Pin::new(&mut self.stream), context, into)
        } else {
            let most = self.before.len().min(into.remaining());
            into.put_slice(&self.before.split_to(most));
            Poll::Ready(Ok(()))
        };
        if into.filled().len() > before && self.pulse.read().0 == Phase::Idle {
            self.pulse.enter(Phase::Head);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Some(code) = refusal::is_bare(bytes) {
            self.refused = Some(code);
            return Poll::Ready(Ok(bytes.len()));
        }
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.pulse.wrote(&polled);
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.pulse.wrote(&polled);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.refused.is_some() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
