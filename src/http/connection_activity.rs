//! The activity of one connection: what it is doing and since when, for the idle sweep.
//!
//! A timer for each request would cost an allocation and close connections that are in use; a mark
//! in one atomic that is checked at each sweep costs almost nothing. Does not read a clock: the
//! sweep does.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use hyper::body::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::bad_request_replies;

/// The activity of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Waiting for a request, or for the client to read the last response.
    Idle,
    /// A request's head is incomplete, or the first one of a connection is awaited.
    Head,
    /// The body is being read.
    Body,
    /// The request is complete; the response is being made or written.
    Answer,
}

/// The clock of the sweep: milliseconds since the server's start, coarse.
#[derive(Debug, Default)]
pub(super) struct SweepClock(AtomicU64);

impl SweepClock {
    pub(super) fn set(&self, ms: u64) {
        self.0.store(ms, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The phase in the two lowest bits, its start time above.
#[derive(Debug)]
pub(super) struct ConnectionPhase {
    mark: AtomicU64,
    /// The current response is an endless stream.
    endless: AtomicBool,
    /// The client does not read at the moment.
    is_full: AtomicBool,
    sweep_clock: Arc<SweepClock>,
}

impl ConnectionPhase {
    pub(super) fn new(sweep_clock: Arc<SweepClock>) -> Self {
        let (endless, is_full) = (AtomicBool::new(false), AtomicBool::new(false));
        let connection_phase = Self { mark: AtomicU64::new(0), endless, is_full, sweep_clock };
        // A client that connects is expected to send: a silent one is not an idle connection.
        connection_phase.enter(Phase::Head);
        connection_phase
    }

    pub(super) fn enter(&self, phase: Phase) {
        self.mark.store(self.sweep_clock.get() << 2 | phase as u64, Ordering::Relaxed);
    }

    /// The same, unless the connection is in that phase already: the start time is kept.
    pub(super) fn enter_first(&self, phase: Phase) {
        if self.read().0 != phase {
            self.enter(phase);
        }
    }

    /// The current time of the sweep's clock.
    pub(super) fn sweep_ms(&self) -> u64 {
        self.sweep_clock.get()
    }

    /// The phase, and its duration in milliseconds.
    pub(super) fn read(&self) -> (Phase, u64) {
        let mark = self.mark.load(Ordering::Relaxed);
        let phase = match mark & 3 {
            0 => Phase::Idle,
            1 => Phase::Head,
            2 => Phase::Body,
            _ => Phase::Answer,
        };
        (phase, self.sweep_clock.get().saturating_sub(mark >> 2))
    }

    /// No further request follows an endless response.
    pub(super) fn mark_endless(&self) {
        self.endless.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_endless(&self) -> bool {
        self.endless.load(Ordering::Relaxed)
    }

    /// Whether only the client keeps it busy: a request is incomplete, a response is endless, or no
    /// byte of one was read for so many milliseconds. Not while a response is being made.
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

    /// A client that reads a long response is not idle; one that does not read is.
    fn wrote(&self, polled: &Poll<io::Result<usize>>) {
        self.is_full.store(polled.is_pending(), Ordering::Relaxed);
        if matches!(polled, Poll::Ready(Ok(_))) && self.read().0 == Phase::Idle {
            self.enter(Phase::Idle);
        }
    }
}

/// A stream that notices the first bytes of a request.
pub(super) struct WatchedStream<S> {
    pub(super) stream: S,
    pub(super) connection_phase: Arc<ConnectionPhase>,
    /// Bytes that were read before and come first.
    pub(super) before: Bytes,
    /// The status of hyper's own refusal, which is held back: the server responds with a sentence.
    pub(super) refused: Option<u16>,
}

/// The maximum size of one read. Hyper doubles a connection's buffer when a read has filled it, up
/// to the longest head, and keeps it: a thousand uploads would keep a thousand buffers of the
/// maximum size.
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

impl<S: AsyncRead + Unpin> AsyncRead for WatchedStream<S> {
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
        if into.filled().len() > before && self.connection_phase.read().0 == Phase::Idle {
            self.connection_phase.enter(Phase::Head);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WatchedStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Some(code) = bad_request_replies::is_bare(bytes) {
            self.refused = Some(code);
            return Poll::Ready(Ok(bytes.len()));
        }
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.connection_phase.wrote(&polled);
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.connection_phase.wrote(&polled);
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
