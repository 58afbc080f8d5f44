//! All open connections of a server: which are too slow, which are told to close, which are cut off.
//!
//! Accepts none and reads none: the server enters each one here, and its task leaves when it ends.

use std::collections::HashMap;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Instant;

use hyper::header::HeaderValue;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use super::connection_activity::{ConnectionPhase, Phase, SweepClock};
use super::connection_limit::ConnectionLimit;
use super::request::BodyBudget;
use super::response::Reply;
use crate::clock;
use crate::domain::{Failure, limits};

/// What a connection may take; milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionBounds {
    /// Concurrent connections, for each listener.
    pub connections: usize,
    /// For a head: the first since the connection, the others since their first byte.
    pub head_ms: u64,
    /// For a whole body, or for the next piece of an upload.
    pub body_ms: u64,
    /// For an idle connection, or a response that is not read.
    pub idle_ms: u64,
    /// What runs when the server stops.
    pub drain_ms: u64,
    /// The interval of the sweep.
    pub sweep_ms: u64,
}

impl Default for ConnectionBounds {
    fn default() -> Self {
        Self {
            connections: limits::CONNECTIONS_MAX,
            head_ms: limits::HEAD_MS_MAX,
            body_ms: limits::BODY_MS_MAX,
            idle_ms: limits::IDLE_MS_MAX,
            drain_ms: limits::DRAIN_MS_MAX,
            sweep_ms: 500,
        }
    }
}

/// One connection, as the sweep sees it.
pub(super) struct ConnectionEntry {
    pub(super) connection_phase: Arc<ConnectionPhase>,
    pub(super) task: AbortHandle,
    /// Tells the connection to close after the current request; taken when used.
    pub(super) close: Option<oneshot::Sender<()>>,
    /// The places of its listener.
    pub(super) places: ConnectionLimit,
    /// Its slot is for one request.
    pub(super) is_brief: bool,
    /// Cut off, since its client delayed the stop of the server.
    pub(super) is_cut: bool,
}

impl ConnectionEntry {
    /// Whether the connection has exceeded the time limit of its phase. If a listener is full, a
    /// waiting client takes precedence over a silent one.
    fn is_too_slow(&self, bounds: &ConnectionBounds) -> bool {
        let is_crowded = self.is_brief || self.places.are_full();
        let (phase, for_ms) = self.connection_phase.read();
        let most = match phase {
            // It was answered, and does not read the response.
            Phase::Idle if self.is_brief => limits::HEAD_MS_MAX_CROWDED,
            // Event streams have their own limit.
            Phase::Idle if is_crowded && !self.connection_phase.is_endless() => {
                bounds.head_ms.min(bounds.idle_ms)
            }
            Phase::Idle => bounds.idle_ms,
            Phase::Head if is_crowded => bounds.head_ms.min(limits::HEAD_MS_MAX_CROWDED),
            Phase::Head => bounds.head_ms,
            Phase::Body if is_crowded => bounds.body_ms.min(limits::HEAD_MS_MAX_CROWDED),
            Phase::Body => bounds.body_ms,
            Phase::Answer => return false,
        };
        for_ms > most
    }
}

/// The state that all listeners of a server share.
pub(super) struct ServerState {
    pub(super) bounds: ConnectionBounds,
    connections: Mutex<HashMap<u64, ConnectionEntry>>,
    next: AtomicU64,
    began: Instant,
    pub(super) sweep_clock: Arc<SweepClock>,
    pub(super) bodies: Arc<BodyBudget>,
    stopping: AtomicBool,
    /// How many handlers panicked, here and in servers beside this one.
    pub(super) panics: Arc<AtomicU64>,
}

impl ServerState {
    pub(super) fn new(bounds: ConnectionBounds, panics: Arc<AtomicU64>) -> Self {
        Self {
            bounds,
            connections: Mutex::default(),
            next: AtomicU64::new(0),
            began: clock::monotonic(),
            sweep_clock: Arc::default(),
            bodies: Arc::default(),
            stopping: AtomicBool::new(false),
            panics,
        }
    }

    /// A number for a new connection.
    pub(super) fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn connections(&self) -> MutexGuard<'_, HashMap<u64, ConnectionEntry>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn advance_sweep_clock(&self) {
        self.sweep_clock.set(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX));
    }

    /// Ends what is too slow.
    pub(super) fn sweep(&self) {
        for entry in self.connections().values().filter(|entry| entry.is_too_slow(&self.bounds)) {
            entry.task.abort();
        }
    }

    /// Tells every connection to close as soon as it is idle.
    pub(super) fn request_close(&self) {
        for entry in self.connections().values_mut() {
            if let Some(close) = entry.close.take() {
                let _ = close.send(());
            }
        }
    }

    /// Cuts off these connections; returns their number.
    pub(super) fn cut_off(&self, is_so: impl Fn(&ConnectionPhase) -> bool) -> usize {
        let mut connections = self.connections();
        let those = connections
            .values_mut()
            .filter(|entry| !entry.is_cut && is_so(&entry.connection_phase));
        those
            .map(|entry| {
                entry.is_cut = true;
                entry.task.abort();
            })
            .count()
    }

    /// The handler's response; a panic becomes a 500 and closes its connection.
    pub(super) async fn guarded(
        &self,
        id: &HeaderValue,
        answer: impl Future<Output = Reply>,
    ) -> (Reply, bool) {
        let mut answer = pin!(answer);
        let caught = poll_fn(|context| {
            match catch_unwind(AssertUnwindSafe(|| answer.as_mut().poll(context))) {
                Ok(polled) => polled.map(Ok),
                Err(panic) => Poll::Ready(Err(panic)),
            }
        });
        match caught.await {
            Ok(reply) => (reply, self.is_stopping()),
            Err(_) => (self.panicked(id.as_bytes()), true),
        }
    }

    /// From now on each answer closes its connection.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// The response for a handler that panicked.
    pub(super) fn panicked(&self, id: &[u8]) -> Reply {
        self.panics.fetch_add(1, Ordering::Relaxed);
        let request_id = std::str::from_utf8(id).unwrap_or_default();
        tracing::error!(request_id, "a handler panicked");
        Reply::message(&Failure::internal("a handler panicked"))
    }
}

/// Removes a connection however its task ends.
pub(super) struct ConnectionGuard(pub(super) Arc<ServerState>, pub(super) u64);

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.0.connections().remove(&self.1);
        // Panics of handlers are caught: this one is of the connection itself, and nothing else
        // reports it.
        if std::thread::panicking() {
            self.0.panics.fetch_add(1, Ordering::Relaxed);
            tracing::error!("a connection ended in a panic");
        }
    }
}
