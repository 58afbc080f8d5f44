//! Limits on the download of a file: size, and time without progress.

use std::time::Duration;

use super::CommandError;

/// The minimum progress.
const PROGRESS_BYTES: usize = 4 << 10;
/// The maximum size of a download: sixteen times the largest import.
const FILE_BYTES_MAX: u64 = 16 << 30;

/// The state of a download.
pub(super) struct DownloadProgress {
    limit: Duration,
    /// Time waited since the last progress, without the time that the reader of the output takes.
    waited: Duration,
    since_progress: usize,
    all: u64,
}

impl DownloadProgress {
    /// The initial state; each progress may take this long.
    pub(super) const fn new(limit: Duration) -> Self {
        Self { limit, waited: Duration::ZERO, since_progress: 0, all: 0 }
    }

    pub(super) const fn left(&self) -> Duration {
        self.limit.saturating_sub(self.waited)
    }

    pub(super) const fn waited(&mut self, more: Duration) {
        self.waited = self.waited.saturating_add(more);
    }

    /// Adds a piece; a failure if the total is too large.
    pub(super) fn add(&mut self, bytes: usize) -> Result<(), CommandError> {
        self.since_progress += bytes;
        if self.since_progress >= PROGRESS_BYTES {
            (self.since_progress, self.waited) = (0, Duration::ZERO);
        }
        self.all = self.all.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        if self.all <= FILE_BYTES_MAX {
            Ok(())
        } else {
            Err(CommandError::failure(format!(
                "the answer is larger than {} GiB, the most that a sidecar sends: check what answers at --data",
                FILE_BYTES_MAX >> 30
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_bytes_are_no_progress() {
        let second = Duration::from_secs(1);
        let mut received = DownloadProgress::new(5 * second);
        for left in (1..5).rev() {
            received.waited(second);
            received.add(PROGRESS_BYTES / 8).unwrap();
            assert_eq!(received.left(), left * second);
        }
        received.add(PROGRESS_BYTES / 2).unwrap();
        assert_eq!(received.left(), 5 * second);
    }

    #[test]
    fn an_answer_has_an_end() {
        let mut received = DownloadProgress::new(Duration::MAX);
        let half = usize::try_from(FILE_BYTES_MAX / 2).unwrap();
        received.add(half).unwrap();
        received.add(half).unwrap();
        let stop = received.add(1).unwrap_err();
        assert!(stop.message.contains("larger than 16 GiB"), "{}", stop.message);
    }
}
