//! Whether a refusal is about the recipient or about the sender.
//!
//! Mail servers use many codes and words to say that a login may not send as an address. They are
//! not listed here: the same refusal (step, code and words) for three recipients in a row, with no
//! mail accepted in between, is about what the three have in common, the sender.
//!
//! A refusal whose code names the recipient's mailbox does not count: three wrong addresses in a
//! row are three wrong addresses.

use super::send_fault::{FaultClass, SendFault, SmtpStep};
use crate::domain::{Email, MailId};

/// This many recipients in a row show that a refusal is not about them.
const RECIPIENTS: usize = 3;
/// Most letters of one series: those that are queued again if it is about the sender.
const LETTERS_MAX: usize = 50;
/// Words of a refusal that are compared: numbers and dates follow.
const WORDS: usize = 12;

/// A series of equal refusals.
#[derive(Debug, Default)]
pub struct RefusalTracker {
    /// What they have in common.
    refusal: Option<(SmtpStep, Option<u16>, String)>,
    recipients: Vec<String>,
    letters: Vec<MailId>,
}

impl RefusalTracker {
    /// Records a permanent refusal of a letter. Returns the earlier letters of the series once it
    /// is clear that the refusal is about the sender; the series then starts again.
    pub fn note(&mut self, letter: MailId, to: &Email, fault: &SendFault) -> Option<Vec<MailId>> {
        let is_refusal = fault.class == FaultClass::Permanent && fault.code.is_some();
        if !is_refusal || fault.names_recipient() {
            self.clear();
            return None;
        }
        let refusal = Some((fault.step, fault.code, words(&fault.text, to)));
        if self.refusal != refusal {
            self.clear();
            self.refusal = refusal;
        }
        if !self.recipients.iter().any(|known| known == to.key()) {
            self.recipients.push(to.key().to_owned());
        }
        if self.recipients.len() >= RECIPIENTS {
            return Some(std::mem::take(self).letters);
        }
        if self.letters.len() < LETTERS_MAX {
            self.letters.push(letter);
        }
        None
    }

    /// A mail was accepted: earlier refusals were about their recipients.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

/// The normalized words of a refusal: without addresses, numbers and the recipient.
fn words(text: &str, to: &Email) -> String {
    let text = text.to_lowercase();
    let (local, domain) = to.key().rsplit_once('@').unwrap_or_default();
    let is_own = |word: &str| {
        let word = word.trim_matches(|c: char| !c.is_alphanumeric());
        word == local || word == domain
    };
    let varies = |word: &str| word.contains(|c: char| "@<>".contains(c) || c.is_ascii_digit());
    let same = text.split_whitespace().filter(|word| !varies(word) && !is_own(word));
    same.take(WORDS).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of refusals, one letter after another: the letters that are put back each time.
    fn noted(refusals: &[(&str, SmtpStep, u16, &str)]) -> Vec<Option<Vec<u64>>> {
        let mut row = RefusalTracker::default();
        let note = |(number, (to, step, code, text)): (u64, &(&str, SmtpStep, u16, &str))| {
            let to = Email::parse(&format!("{to}@example.org")).unwrap();
            let text = text.replace("TO", to.as_str());
            let put_back = row.note(MailId(number), &to, &SendFault::answered(*step, *code, &text));
            put_back.map(|letters| letters.iter().map(|letter| letter.0).collect())
        };
        (1..).zip(refusals).map(note).collect()
    }

    #[test]
    fn the_same_refusal_of_three_recipients_is_about_the_sender() {
        for (step, code, text) in [
            (
                SmtpStep::Data,
                554,
                "5.2.252 SendAsDenied; TO not allowed [Hostname=AB1.prod.example]",
            ),
            (
                SmtpStep::Rcpt,
                553,
                "5.7.1 <me@example.org>: Sender address rejected: not owned by user x",
            ),
            (SmtpStep::Rcpt, 550, "5.4.1 Recipient address rejected: Access denied. AS(201806281)"),
            (SmtpStep::Data, 550, "no"),
            (SmtpStep::Data, 554, ""),
        ] {
            let all = ["ann", "bo", "cy"].map(|to| (to, step, code, text));
            assert_eq!(noted(&all), [None, None, Some(vec![1, 2])], "{text}");
            let same = ["ann", "ann", "ann", "bo", "cy"].map(|to| (to, step, code, text));
            assert_eq!(noted(&same)[3..], [None, Some(vec![1, 2, 3, 4])], "{text}");
        }
    }

    #[test]
    fn what_varies_from_mail_to_mail_is_not_compared() {
        let texts = [
            "5.2.252 denied for TO, see id 4711 at <AB1.x>",
            "5.2.252 Denied for TO, see id 4712 at <AB2.x>",
            "5.2.252 denied for cy, see id 4a12 at <AB2.x>",
        ];
        let refusals = [("ann", texts[0]), ("bo", texts[1]), ("cy", texts[2])];
        let noted = noted(&refusals.map(|(to, text)| (to, SmtpStep::Data, 554, text)));
        assert_eq!(noted, [None, None, Some(vec![1, 2])]);
    }

    #[test]
    fn other_refusals_are_about_their_recipients() {
        let (rcpt, data) = (SmtpStep::Rcpt, SmtpStep::Data);
        for (why, refusals) in [
            (
                "the mailbox is named",
                ["ann", "bo", "cy"].map(|to| (to, rcpt, 550, "5.1.1 unknown")),
            ),
            ("or its state", ["ann", "bo", "cy"].map(|to| (to, rcpt, 552, "5.2.2 full"))),
            (
                "the steps differ",
                [("a", rcpt, 550, "no"), ("b", data, 550, "no"), ("c", rcpt, 550, "no")],
            ),
            (
                "the codes differ",
                [("a", rcpt, 550, "no"), ("b", rcpt, 554, "no"), ("c", rcpt, 550, "no")],
            ),
            (
                "the words differ",
                [("a", rcpt, 550, "no"), ("b", rcpt, 550, "go"), ("c", rcpt, 550, "no")],
            ),
        ] {
            assert_eq!(noted(&refusals), [None, None, None], "{why}");
        }
        let mut row = RefusalTracker::default();
        for name in ["ann", "bo", "cy"] {
            let to = Email::parse(&format!("{name}@example.org")).unwrap();
            let fault =
                SendFault::without_answer(FaultClass::Permanent, SmtpStep::Write, "odd address");
            assert_eq!(row.note(MailId(1), &to, &fault), None, "no mail server said so");
        }
        let fault = SendFault::answered(data, 554, "no");
        for number in 1..=6 {
            let to = Email::parse(&format!("p{number}@example.org")).unwrap();
            assert_eq!(row.note(MailId(number), &to, &fault), None, "one was taken in between");
            if number % 2 == 0 {
                row.clear();
            }
        }
    }
}
