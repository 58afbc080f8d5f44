//! The log: lines to standard error, as text or as JSON.
//!
//! Initialized once, before the first line. Never contains a body, a token or an address. What
//! strangers can cause with every request is written once a minute, with a count of the rest, so
//! that nobody can fill a disk with it.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::panic;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

use crate::clock;
use crate::domain::{Failure, limits};

/// The interval of one line of each kind.
const EVERY: Duration = Duration::from_secs(60);

/// The format of lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For programs: one JSON object on each line.
    Json,
}

/// Lines that wait for a reader who is slower than they are written. Further ones are left out, and
/// counted.
const LINES_WAITING_MAX: usize = 8_192;

static DROPPED: OnceLock<ErrorCounter> = OnceLock::new();
static OUTPUT: OnceLock<NonBlocking> = OnceLock::new();

/// The threads that write the log and standard output. What still waits is written when this is
/// dropped, for as long as a second.
#[derive(Debug)]
#[must_use]
pub struct Writers {
    _guards: [WorkerGuard; 2],
}

/// Begins to log; a second call changes nothing. `filter` is `telemetry.log_level`: a level, and
/// others for single modules after it. What it does not understand is left out.
///
/// Both outputs have a thread of their own: their reader may stop reading, such as a terminal that
/// is held or a log shipper that hangs, and nothing else may wait for it.
pub fn begin(format: LogFormat, filter: &str) -> Writers {
    let lossy = || NonBlockingBuilder::default().buffered_lines_limit(LINES_WAITING_MAX);
    let (log, log_guard) = lossy().thread_name("log").finish(io::stderr());
    let (output, output_guard) = lossy().thread_name("output").finish(io::stdout());
    let _ = (DROPPED.set(log.error_counter()), OUTPUT.set(output));
    let builder = tracing_subscriber::fmt()
        .with_writer(log)
        .log_internal_errors(false)
        // The client of PostgreSQL writes what it sends at `debug`.
        .with_env_filter(EnvFilter::new(format!("tokio_postgres=info,{filter}")));
    // An error means that a log is initialized already, as in tests.
    let _ = match format {
        LogFormat::Text => builder.with_target(false).with_ansi(false).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    // The usual hook writes to standard error itself, and would wait there.
    panic::set_hook(Box::new(|panicked| {
        let place = panicked.location().map(ToString::to_string);
        let cause = panicked.payload_as_str().unwrap_or("no text");
        tracing::error!(place, cause, "a thread panicked");
    }));
    Writers { _guards: [log_guard, output_guard] }
}

/// How many log lines were left out since nobody read them.
#[must_use]
pub fn dropped_lines() -> u64 {
    DROPPED.get().map_or(0, |dropped| u64::try_from(dropped.dropped_lines()).unwrap_or(u64::MAX))
}

/// Prints one line on standard output; a closed pipe is ignored.
pub fn say(line: &str) {
    let Some(mut output) = OUTPUT.get().cloned() else { return };
    let _ = output.write_all(format!("{line}\n").as_bytes());
}

/// A line that may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueLogLine {
    /// How many of its kind were suppressed since the last one; `None` for none.
    pub left_out: Option<u64>,
}

/// Whether a line of this kind may be written: one in a minute.
#[must_use]
pub fn due(kind: &str) -> Option<DueLogLine> {
    static KINDS: Mutex<LogLineKinds> = Mutex::new(LogLineKinds(BTreeMap::new()));
    KINDS.lock().unwrap_or_else(PoisonError::into_inner).due(kind, clock::monotonic())
}

/// Logs why a request failed, if the caller was not told everything. `request_id` is empty for one
/// of several items of a request.
pub fn failed(request_id: &str, failure: &Failure) {
    let Some(private) = &failure.private else { return };
    // The cause is part of the kind: a stranger's broken request does not suppress other faults
    // with the same code.
    let Some(DueLogLine { left_out }) = due(&format!("{}: {private}", failure.code)) else {
        return;
    };
    let request_id = (!request_id.is_empty()).then_some(request_id);
    tracing::warn!(request_id, code = failure.code, private, left_out, "a request failed");
}

/// When a line of each kind was last written, and how many were suppressed since.
struct LogLineKinds(BTreeMap<String, (Instant, u64)>);

impl LogLineKinds {
    fn due(&mut self, kind: &str, now: Instant) -> Option<DueLogLine> {
        let is_over = |since: Instant| now.saturating_duration_since(since) >= EVERY;
        // A kind may contain untrusted text: if there are too many, all others are one kind.
        if self.0.len() >= limits::LOG_KINDS_MAX && !self.0.contains_key(kind) {
            self.0.retain(|kind, (since, _)| kind.is_empty() || !is_over(*since));
        }
        let is_full = self.0.len() >= limits::LOG_KINDS_MAX && !self.0.contains_key(kind);
        let kind = if is_full { "" } else { kind };
        match self.0.get_mut(kind) {
            Some((since, left_out)) if !is_over(*since) => {
                *left_out = left_out.saturating_add(1);
                None
            }
            Some(known) => {
                let (_, left_out) = std::mem::replace(known, (now, 0));
                Some(DueLogLine { left_out: (left_out > 0).then_some(left_out) })
            }
            None => {
                self.0.insert(kind.to_owned(), (now, 0));
                Some(DueLogLine { left_out: None })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_of_a_kind_in_a_minute_and_a_count_of_the_rest() {
        let (mut kinds, began) = (LogLineKinds(BTreeMap::new()), clock::monotonic());
        let due = |kinds: &mut LogLineKinds, kind: &str, second: u64| {
            kinds.due(kind, began + Duration::from_secs(second)).map(|due| due.left_out)
        };
        assert_eq!(due(&mut kinds, "a", 0), Some(None));
        assert_eq!(due(&mut kinds, "b", 1), Some(None), "each kind has its own");
        for second in [0, 1, 59] {
            assert_eq!(due(&mut kinds, "a", second), None);
        }
        assert_eq!(due(&mut kinds, "a", 60), Some(Some(3)));
        assert_eq!(due(&mut kinds, "a", 120), Some(None), "none was left out");
    }

    #[test]
    fn strangers_words_make_no_more_kinds_than_there_may_be() {
        let (mut kinds, began) = (LogLineKinds(BTreeMap::new()), clock::monotonic());
        let many = 10 * limits::LOG_KINDS_MAX;
        let lines = (0..many).filter(|n| kinds.due(&n.to_string(), began).is_some()).count();
        assert_eq!(lines, limits::LOG_KINDS_MAX + 1);
        assert!(kinds.0.len() <= limits::LOG_KINDS_MAX + 1);
        let later = began + EVERY;
        let left_out = u64::try_from(many - lines).ok();
        assert_eq!(kinds.due("another", later).map(|due| due.left_out), Some(None));
        assert_eq!(kinds.due("", later), Some(DueLogLine { left_out }), "the others are counted");
    }
}
