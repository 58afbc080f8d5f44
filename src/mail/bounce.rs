//! Delivery status notifications (RFC 3464), and the return path that identifies the mail.
//!
//! Anybody can write to a return path: the result is unverified until its mark is checked. Never
//! fails: unreadable input is not a notification.

use std::panic::catch_unwind;

use mail_parser::{Message, MessageParser, MimeHeaders as _};

use super::{sanitize, send_fault};
use crate::domain::{DeliveryState, Email, MailId, limits};

/// Headers with the recipient; the first one that matches is used.
const RECIPIENTS: [&str; 5] =
    ["Delivered-To", "X-Original-To", "Envelope-To", "X-Envelope-To", "To"];
/// The prefix of the local part of a return path.
const PREFIX: &str = "bounce+";

/// The unverified contents of a bounce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BounceReport {
    /// Its letter.
    pub letter: MailId,
    /// The mark of the return path: the report must be ignored unless it is correct.
    pub mark: String,
    /// `Bounced`, `Deferred` or `Delivered`; `HandedOver` if the recipient's mail server accepted it and
    /// will not report.
    pub state: DeliveryState,
    /// In plain words, with the recipient's mail server's text.
    pub detail: String,
}

/// The return path of a letter: `bounce+LETTER.MARK@DOMAIN`; `None` if the domain is invalid.
#[must_use]
pub fn return_path(domain: &str, letter: MailId, mark: &str) -> Option<Email> {
    Email::parse(&format!("{PREFIX}{letter}.{mark}@{domain}")).ok()
}

/// Parses a bounce; `None` for any other mail, such as an automatic reply.
#[must_use]
pub fn parse(mail: &[u8]) -> Option<BounceReport> {
    let mail = mail.get(..limits::BOUNCE_BYTES_MAX).unwrap_or(mail);
    // A panic of the parser would end the task that reads all others.
    let message = catch_unwind(|| MessageParser::default().parse(mail)).ok()??;
    let (letter, mark) = RECIPIENTS.iter().find_map(|name| letter_of(&message, name))?;
    let status = message.parts.iter().find(|part| {
        part.is_content_type("message", "delivery-status")
            || part.is_content_type("message", "global-delivery-status")
    })?;
    let text = String::from_utf8_lossy(status.contents());
    let (state, detail) = text.replace('\r', "").split("\n\n").find_map(verdict)?;
    Some(BounceReport { letter, mark, state, detail })
}

/// The letter and the mark in a header field with a return path.
fn letter_of(message: &Message<'_>, name: &str) -> Option<(MailId, String)> {
    let named = |(own, _): &(&str, &str)| own.eq_ignore_ascii_case(name);
    message.headers_raw().filter(named).find_map(|(_, value)| {
        let value = value.to_ascii_lowercase();
        let (_, rest) = value.split_once(PREFIX)?;
        let (local, _) = rest.split_once('@')?;
        let (letter, mark) = local.split_once('.')?;
        let is_mark = (1..=64).contains(&mark.len()) && mark.bytes().all(|b| b.is_ascii_hexdigit());
        is_mark.then_some((MailId(letter.parse().ok()?), mark.to_owned()))
    })
}

/// The status from the fields of one recipient (RFC 3464 section 2.3); `None` for the fields of the
/// whole message.
fn verdict(fields: &str) -> Option<(DeliveryState, String)> {
    let action = field(fields, "action")?;
    let status = field(fields, "status").unwrap_or_default();
    let status = send_fault::enhanced(&status).unwrap_or_default();
    let diagnostic = field(fields, "diagnostic-code").unwrap_or_default();
    let said = match diagnostic.split_once(';') {
        Some((_, said)) if !said.trim().is_empty() => sanitize::answer(said),
        _ => status.to_owned(),
    };
    let code = said.get(..3).and_then(|code| code.parse().ok());
    let reason = send_fault::reason(code, Some(status).filter(|status| !status.is_empty()));
    let reason = if said.is_empty() { reason.to_owned() } else { format!("{reason} ({said})") };
    match action.to_ascii_lowercase().as_str() {
        "failed" if status.starts_with('4') => {
            Some((DeliveryState::Bounced, format!("given up after many tries: {reason}")))
        }
        "failed" => Some((DeliveryState::Bounced, reason)),
        "delayed" => Some((
            DeliveryState::Deferred,
            format!("not delivered yet: {reason}; your mail server goes on trying"),
        )),
        "delivered" => Some((
            DeliveryState::Delivered,
            "the recipient's mail server says it arrived".to_owned(),
        )),
        "relayed" | "expanded" => Some((
            DeliveryState::HandedOver,
            "the recipient's mail server accepted it, and does not report whether it arrived"
                .to_owned(),
        )),
        _ => None,
    }
}

/// The first word of a field or, with folded lines joined, its whole value.
fn field(fields: &str, name: &str) -> Option<String> {
    let mut lines = fields.lines().skip_while(|line| {
        !line.split_once(':').is_some_and(|(own, _)| own.trim().eq_ignore_ascii_case(name))
    });
    let (_, first) = lines.next()?.split_once(':')?;
    let mut value = first.trim().to_owned();
    for more in lines.take_while(|line| line.starts_with([' ', '\t'])) {
        value.push(' ');
        value.push_str(more.trim());
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Postfix writes them.
    const FAILED: &str = include_str!("../../tests/it/cases/notices/failed.eml");
    const DELAYED: &str = include_str!("../../tests/it/cases/notices/delayed.eml");
    const DELIVERED: &str = include_str!("../../tests/it/cases/notices/delivered.eml");
    const RELAYED: &str = include_str!("../../tests/it/cases/notices/relayed.eml");
    const MARK: &str = "0123456789abcdef";

    fn report(mail: &str) -> BounceReport {
        parse(mail.as_bytes()).unwrap()
    }

    #[test]
    fn a_return_path_reads_back() {
        let path = return_path("bounces.example.org", MailId(u64::MAX), MARK).unwrap();
        assert_eq!(
            path.as_str(),
            "bounce+18446744073709551615.0123456789abcdef@bounces.example.org"
        );
        let mail = FAILED.replace("bounce+4.0123456789abcdef@bounces.example.org", path.as_str());
        assert_eq!(report(&mail).letter, MailId(u64::MAX));
        assert_eq!(return_path("not a domain", MailId(1), MARK), None);
    }

    #[test]
    fn what_postfix_writes_is_understood() {
        for (mail, letter, state, detail) in [
            (
                FAILED,
                4,
                DeliveryState::Bounced,
                "the recipient's mail server says this mailbox does not exist (550 5.1.1 <y@other.example>: Recipient address rejected: User unknown)",
            ),
            (
                DELAYED,
                5,
                DeliveryState::Deferred,
                "not delivered yet: the mail server asks to try again later (450 4.2.0 greylisted); your mail server goes on trying",
            ),
            (DELIVERED, 1, DeliveryState::Delivered, "the recipient's mail server says it arrived"),
            (
                RELAYED,
                5,
                DeliveryState::HandedOver,
                "the recipient's mail server accepted it, and does not report whether it arrived",
            ),
        ] {
            let (mark, detail) = (MARK.to_owned(), detail.to_owned());
            let expected = BounceReport { letter: MailId(letter), mark, state, detail };
            assert_eq!(report(mail), expected);
            assert_eq!(report(&mail.replace('\n', "\r\n")), expected);
        }
    }

    #[test]
    fn notices_vary_and_mean_the_same() {
        let failed = |from: &str, to: &str| {
            let mail = FAILED.replace(from, to);
            assert_ne!(mail, FAILED, "{from}");
            report(&mail)
        };
        let at = "Delivered-To: bounce+4";
        assert_eq!(failed(at, "Delivered-To: other@example.org\nX: bounce+9").letter.0, 4);
        assert_eq!(failed(at, "delivered-to: <BOUNCE+7").letter.0, 7);
        let said = |from, to| failed(from, to).detail;
        assert_eq!(
            said("Status: 5.1.1\n", "Status: 4.4.7 (time is over)\n"),
            "given up after many tries: the mail could not be delivered in time (550 5.1.1 <y@other.example>: Recipient address rejected: User unknown)"
        );
        assert_eq!(
            said("Diagnostic-Code: smtp;", "X-Diagnostic: smtp;"),
            "the recipient's mail server says this mailbox does not exist (5.1.1)"
        );
        let microsoft = FAILED
            .replace("550 5.1.1 <y@other.example>", "550 5.4.1 <y@other.example>")
            .replace("Status: 5.1.1", "Status: 5.4.1");
        assert_eq!(
            report(&microsoft).detail,
            "the recipient's mail server says it takes no mail for this address (550 5.4.1 <y@other.example>: Recipient address rejected: User unknown)"
        );
        let mail = FAILED.replace("Diagnostic-Code", "X").replace("Status", "X");
        assert_eq!(report(&mail).detail, "the recipient's mail server refuses the mail");
        let token = "A-_9".repeat(11);
        let said = said("User unknown\n", &format!("https://team.example.org/join#{token}\n"));
        assert!(said.ends_with("https://team.example.org/join#***)"), "{said}");
        let global = FAILED.replace("message/delivery-status", "message/global-delivery-status");
        assert_eq!(report(&global), report(FAILED));
    }

    #[test]
    fn other_mail_is_no_notice() {
        for (why, mail) in [
            ("nothing", String::new()),
            ("an answering machine", FAILED.replace("message/delivery-status", "text/plain")),
            ("read, not delivered", FAILED.replace("delivery-status", "disposition-notification")),
            ("no return path", FAILED.replace("bounce+", "bounce-")),
            ("no mark", FAILED.replace("+4.0123456789abcdef", "+4.")),
            ("a mark of other digits", FAILED.replace("+4.0123456789abcdef", "+4.xyz")),
            ("a number too large", FAILED.replace("bounce+4.", "bounce+18446744073709551616.")),
            ("no action", FAILED.replace("Action: failed", "X: failed")),
            ("an action of its own", FAILED.replace("Action: failed", "Action: eaten")),
        ] {
            assert_eq!(parse(mail.as_bytes()), None, "{why}");
        }
    }

    /// A generator of numbers that needs no crate (Marsaglia, xorshift64).
    struct Seeded(u64);

    impl Seeded {
        fn below(&mut self, bound: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            usize::try_from(self.0 % bound.max(1) as u64).unwrap()
        }
    }

    #[test]
    fn mangled_notices_break_nothing() {
        let mut seeded = Seeded(0x9e37_79b9_7f4a_7c15);
        for round in 0..4_000 {
            let sample = [FAILED, DELAYED, DELIVERED, RELAYED][round % 4];
            let mut mail = sample.as_bytes().to_vec();
            for _ in 0..=seeded.below(8) {
                let (from, to) = (seeded.below(mail.len()), seeded.below(mail.len()));
                let (from, to) = (from.min(to), from.max(to));
                match seeded.below(5) {
                    0 => mail.truncate(to),
                    1 => drop(mail.drain(from..to)),
                    2 => mail.extend_from_within(from..to),
                    3 if from < mail.len() => mail[from] = u8::try_from(seeded.below(256)).unwrap(),
                    _ => {
                        let odd: [&[u8]; 4] =
                            [b"\r\n\r\n", b"Content-Type: message/rfc822\n\n", b"\xff\0:", b"--"];
                        mail.splice(from..from, odd[seeded.below(4)].iter().copied());
                    }
                }
            }
            if let Some(report) = parse(&mail) {
                let detail = report.detail.chars().count();
                assert!(detail <= limits::MAIL_ANSWER_CHARS_MAX + 200, "round {round}: {report:?}");
                assert!(!report.detail.contains(char::is_control), "round {round}: {report:?}");
            }
        }
    }

    #[test]
    fn deep_and_large_notices_are_bounded() {
        let head = "To: bounce+4.0123456789abcdef@x\n";
        for part in [
            "Content-Type: message/rfc822\n\n",
            "Content-Type: multipart/mixed; boundary=x\n\n--x\n",
            "Content-Type: message/rfc822\nContent-Transfer-Encoding: quoted-printable\n\n",
            "Action: failed\n ",
            "a: b\n",
            "\n",
        ] {
            for head in [head, FAILED] {
                let mail = format!("{head}{}", part.repeat((4 << 20) / part.len()));
                let report = parse(mail.as_bytes());
                assert_eq!(report.is_some(), head == FAILED, "{part}");
            }
        }
    }
}
