//! Requests to queue letters, and the status of the mail of an account.
//!
//! A letter is queued in the transaction that it reports, never on its own. Sends nothing.

use std::time::Duration;

use crate::domain::{DeliveryState, MailStop, Timestamp, limits};

/// The data with which a transaction queues a letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMail {
    /// The `Message-ID` without angle brackets.
    pub message_id: String,
    /// After this it is not worth sending.
    pub expires: Timestamp,
}

/// The status of mail, of one account or of all.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct MailStatus {
    /// Why mail is stopped.
    pub stopped: Option<MailStop>,
    /// The number of letters in each state; states without one are left out.
    pub counts: Vec<(DeliveryState, u64)>,
    /// The oldest letter that is still to be sent.
    pub oldest: Option<WaitingMail>,
    /// When a letter was last accepted by the mail server: of the account, or of any.
    pub taken: Option<Timestamp>,
}

/// A letter that is still to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingMail {
    /// When it was queued.
    pub since: Timestamp,
    /// The result of its last attempt, in plain words; empty before the first.
    pub detail: String,
}

/// Whether letters are sent as they come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailFlow {
    /// They are.
    Well,
    /// One has waited longer than usual, or the first attempt of one failed and none was sent
    /// since.
    Slow,
    /// One has waited for long, and none was sent since it was queued.
    Stuck,
}

impl MailStatus {
    /// The number of letters in these states.
    #[must_use]
    pub fn count(&self, states: &[DeliveryState]) -> u64 {
        let counts = self.counts.iter().filter(|(state, _)| states.contains(state));
        counts.map(|(_, count)| count).sum()
    }

    /// The flow. A single deferred letter, as with greylisting, is no problem while others are
    /// sent: others of the account, if this is about one.
    #[must_use]
    pub fn flow(&self, now: Timestamp) -> MailFlow {
        let Some(oldest) = &self.oldest else { return MailFlow::Well };
        let age = u64::try_from(now.0.saturating_sub(oldest.since.0)).unwrap_or(0);
        let age = Duration::from_millis(age);
        let none_since = self.taken.is_none_or(|taken| taken < oldest.since);
        let tried = !oldest.detail.is_empty();
        match none_since {
            true if age >= limits::MAIL_STUCK_AFTER => MailFlow::Stuck,
            true if tried || age >= limits::MAIL_SLOW_AFTER => MailFlow::Slow,
            false if age >= limits::MAIL_PUT_OFF_MAX => MailFlow::Slow,
            _ => MailFlow::Well,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mail_is_stuck_where_nothing_goes_out_and_slow_where_one_waits() {
        let minutes = |minutes: i64| Timestamp(minutes * 60_000);
        let flow = |since: i64, detail: &str, taken: Option<i64>, now: i64| {
            let oldest = Some(WaitingMail { since: minutes(since), detail: detail.to_owned() });
            let status = MailStatus { oldest, taken: taken.map(minutes), ..MailStatus::default() };
            status.flow(minutes(now))
        };
        let away = "the mail server could not be reached";
        assert_eq!(MailStatus::default().flow(minutes(9)), MailFlow::Well);
        assert_eq!(flow(10, "", None, 11), MailFlow::Well, "its turn has not come");
        assert_eq!(flow(10, away, None, 10), MailFlow::Slow, "tried in vain");
        assert_eq!(flow(10, away, Some(9), 10), MailFlow::Slow);
        assert_eq!(flow(10, away, Some(11), 12), MailFlow::Well, "others go out");
        assert_eq!(flow(10, "", Some(9), 16), MailFlow::Slow, "nobody takes it");
        for detail in ["", away] {
            assert_eq!(flow(10, detail, Some(9), 25), MailFlow::Stuck);
            assert_eq!(flow(10, detail, None, 25), MailFlow::Stuck);
        }
        assert_eq!(flow(10, away, Some(60), 69), MailFlow::Well);
        assert_eq!(flow(10, away, Some(60), 70), MailFlow::Slow, "one is put off for an hour");
        assert_eq!(flow(10, away, None, 9), MailFlow::Slow, "whatever the clock did");
    }
}
