//! Mail metrics for Prometheus: the figures of the queue as it was last read, so that a scrape does not
//! read the store.

use std::sync::{Mutex, PoisonError};

use super::single;
use crate::domain::Timestamp;

/// The figures of mail at some moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MailFigures {
    /// Letters that are due or are being sent.
    pub queued: u64,
    /// Letters that failed and will be retried.
    pub deferred: u64,
    /// When the oldest of them was queued.
    pub oldest: Option<Timestamp>,
    /// When a letter was last accepted.
    pub taken: Option<Timestamp>,
    /// Whether mail is stopped until something is fixed.
    pub stopped: bool,
    /// Accounts whose letters have waited longer than usual, while none was sent.
    pub delayed: u64,
    /// Accounts whose mail is stuck.
    pub stuck: u64,
}

impl MailFigures {
    /// The status of mail in one word.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self { stopped: true, .. } => "stopped",
            Self { stuck: 0, delayed: 0, .. } => "ok",
            Self { stuck: 0, .. } => "slow",
            Self { .. } => "stuck",
        }
    }
}

/// The last figures.
#[derive(Debug, Default)]
pub struct MailGauges(Mutex<(MailFigures, Option<String>)>);

impl MailGauges {
    /// Updates the figures.
    pub fn set(&self, figures: MailFigures) {
        self.with(|(kept, _)| *kept = figures);
    }

    /// The status of mail in one word.
    #[must_use]
    pub fn word(&self) -> &'static str {
        self.with(|(kept, _)| kept.word())
    }

    /// Records why the folder of bounces cannot be read; `None` if it can.
    pub fn set_bounces_fault(&self, fault: Option<String>) {
        self.with(|(_, kept)| *kept = fault);
    }

    /// Why the folder of bounces could not be read, the last time.
    #[must_use]
    pub fn bounces_fault(&self) -> Option<String> {
        self.with(|(_, fault)| fault.clone())
    }

    /// All metrics in Prometheus' text format.
    #[must_use]
    pub fn render(&self, now: Timestamp) -> String {
        let (figures, bounces) = self.with(|kept| (kept.0.clone(), kept.1.is_some()));
        let seconds = |at: Option<Timestamp>| at.map_or(0, |at| at.0 / 1_000);
        let age = figures.oldest.map_or(0, |oldest| now.0.saturating_sub(oldest.0).max(0) / 1_000);
        let mut out = String::new();
        let mut gauge = |name: &str, help: &str, value: &dyn std::fmt::Display| {
            single(&mut out, name, "gauge", help, value);
        };
        gauge("kwic_mail_queued", "Mails that wait for their turn.", &figures.queued);
        gauge("kwic_mail_deferred", "Mails to be tried again.", &figures.deferred);
        gauge("kwic_mail_oldest_waiting_seconds", "Age of the oldest of them; 0 for none.", &age);
        gauge(
            "kwic_mail_accounts_delayed",
            "Accounts whose messages wait for longer than usual.",
            &figures.delayed,
        );
        gauge(
            "kwic_mail_accounts_stuck",
            "Accounts whose mail is stuck: none has gone out for a long time.",
            &figures.stuck,
        );
        gauge(
            "kwic_mail_last_success_timestamp_seconds",
            "When the mail server last accepted a message; 0 for never.",
            &seconds(figures.taken),
        );
        gauge(
            "kwic_mail_stopped",
            "1 where no mail goes out until its configuration is corrected.",
            &u8::from(figures.stopped),
        );
        gauge(
            "kwic_mail_bounces_unreadable",
            "1 where the folder of returned mail cannot be read.",
            &u8::from(bounces),
        );
        out
    }

    fn with<T>(&self, work: impl FnOnce(&mut (MailFigures, Option<String>)) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_of_all_accounts_is_the_word() {
        let of = |stopped, delayed, stuck| {
            MailFigures { stopped, delayed, stuck, ..MailFigures::default() }.word()
        };
        assert_eq!(
            [of(false, 0, 0), of(false, 2, 0), of(false, 2, 1), of(true, 2, 1)],
            ["ok", "slow", "stuck", "stopped"]
        );
    }

    #[test]
    fn the_age_of_the_oldest_grows_by_itself() {
        let gauges = MailGauges::default();
        let text = |now: i64| gauges.render(Timestamp(now * 1_000));
        assert!(text(100).contains("\nkwic_mail_oldest_waiting_seconds 0\n"));
        gauges.set(MailFigures {
            queued: 499,
            oldest: Some(Timestamp(40_000)),
            taken: Some(Timestamp(39_999)),
            ..MailFigures::default()
        });
        gauges.set_bounces_fault(Some("no".to_owned()));
        for line in [
            "kwic_mail_queued 499",
            "kwic_mail_oldest_waiting_seconds 60",
            "kwic_mail_last_success_timestamp_seconds 39",
            "kwic_mail_bounces_unreadable 1",
        ] {
            assert!(text(100).lines().any(|found| found == line), "{line}");
        }
        assert!(text(200).contains("kwic_mail_oldest_waiting_seconds 160\n"));
        assert!(text(0).contains("kwic_mail_oldest_waiting_seconds 0\n"), "whatever the clock did");
    }
}
