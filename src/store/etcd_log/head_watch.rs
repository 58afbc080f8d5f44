//! A watch on the head of the log, which only wakes: what has changed is read from the log.
//!
//! A watch that hangs says nothing. So it begins anew after a while, at the member that answers calls
//! then, and each beginning wakes too; a caller that waits no longer than a second misses nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout_at};

use super::gateway::Gateway;
use super::messages::{Watch, WatchLine};

/// How long one watch lasts.
const RENEWED_AFTER: Duration = Duration::from_secs(30);
/// The pause after one that broke.
const PAUSE: Duration = Duration::from_secs(1);
/// The most bytes of a line.
const LINE_BYTES_MAX: usize = 1 << 16;

/// A watch, which ends with this.
pub(super) struct HeadWatch {
    changed: Arc<Notify>,
    /// The revision of the last line.
    told: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl HeadWatch {
    pub(super) fn start(runtime: &Handle, gateway: Arc<Gateway>, key: Vec<u8>) -> Self {
        let (changed, told) = (Arc::new(Notify::new()), Arc::new(AtomicU64::new(0)));
        let task = runtime.spawn(watch(gateway, key, changed.clone(), told.clone()));
        Self { changed, told, task }
    }

    /// The revision of etcd at which the last change was told.
    pub(super) fn told(&self) -> u64 {
        self.told.load(Ordering::Acquire)
    }

    /// Waits for a change since the last wait ended.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}

impl Drop for HeadWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn watch(gateway: Arc<Gateway>, key: Vec<u8>, changed: Arc<Notify>, told: Arc<AtomicU64>) {
    loop {
        let tell = |revision| {
            told.fetch_max(revision, Ordering::AcqRel);
            changed.notify_one();
        };
        if let Err(why) = watch_once(&gateway, &key, tell).await {
            tracing::debug!(why, "the watch on the shared log broke; it is polled meanwhile");
            sleep(PAUSE).await;
        }
    }
}

/// One watch, until it is to be renewed.
async fn watch_once(gateway: &Gateway, key: &[u8], tell: impl Fn(u64)) -> Result<(), String> {
    let end = Instant::now() + RENEWED_AFTER;
    let opened = timeout_at(end, gateway.stream("watch", &Watch::key(key))).await;
    let opened = opened.map_err(|_| "it did not begin".to_owned())?;
    let mut stream = opened.map_err(|fault| fault.why)?;
    let mut line = Vec::new();
    loop {
        let Ok(bytes) = timeout_at(end, stream.next()).await else { return Ok(()) };
        let bytes = bytes.ok_or("the connection ended")?;
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            line.extend_from_slice(piece);
            if line.len() > LINE_BYTES_MAX {
                return Err("a line is too long".to_owned());
            }
            if line.ends_with(b"\n") {
                let revision = revision_of(&line)?;
                line.clear();
                tell(revision);
            }
        }
    }
}

/// The revision of a line, unless it says that there is no watch.
fn revision_of(line: &[u8]) -> Result<u64, String> {
    let line: WatchLine = serde_json::from_slice(line).map_err(|fault| fault.to_string())?;
    match line.result {
        Some(answer) if !answer.canceled => {
            answer.header.revision().ok_or_else(|| "it names no revision".to_owned())
        }
        Some(answer) => Err(answer.cancel_reason),
        None => Err("etcd refuses it".to_owned()),
    }
}
