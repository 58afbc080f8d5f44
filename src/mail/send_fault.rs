//! The result of one delivery attempt: accepted, or a fault with its class, its step, and a
//! sentence for the operator.
//!
//! Never contains a link, a token or a password: the text of a mail server is sanitized first.

use super::sanitize;
use crate::domain::worded;

/// What to do after a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FaultClass {
    /// Try again later.
    Temporary,
    /// This mail will never be accepted.
    Permanent,
    /// No mail will be accepted until the configuration is fixed.
    Configuration,
}

worded! {
    /// The step of the delivery.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub enum SmtpStep {
        /// Resolving the mail server's name.
        Dns = "dns",
        /// Connecting to it.
        Connect = "connect",
        /// The TLS handshake.
        Tls = "tls",
        /// The greetings of both sides.
        Greeting = "greeting",
        /// Starting TLS on an open connection.
        StartTls = "starttls",
        /// Signing in.
        Auth = "auth",
        /// Naming the sender.
        MailFrom = "mail_from",
        /// Naming the recipient.
        Rcpt = "rcpt",
        /// Transferring the mail itself.
        Data = "data",
        /// Writing the mail to a file.
        Write = "write",
    }
}

/// A mail was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedMail(pub(super) String);

impl AcceptedMail {
    /// In plain words, with the mail server's response.
    #[must_use]
    pub fn sentence(&self) -> String {
        self.0.clone()
    }
}

/// A mail was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendFault {
    /// What to do.
    pub class: FaultClass,
    /// The step.
    pub step: SmtpStep,
    /// The response code (RFC 5321 section 4.2), if the mail server responded.
    pub code: Option<u16>,
    /// The enhanced status code (RFC 3463), such as `5.1.1`.
    pub enhanced: Option<String>,
    /// The mail server's text, or the system's.
    pub text: String,
    /// The mail server had the whole mail and its response is missing: it may have accepted it.
    pub unclear: bool,
    /// The configuration key of the access token, if that is at fault.
    pub key: Option<&'static str>,
}

impl SendFault {
    /// A refusal by the mail server.
    #[must_use]
    pub fn answered(step: SmtpStep, code: u16, text: &str) -> Self {
        let text = sanitize::answer(text);
        let enhanced = enhanced(&text).map(str::to_owned);
        let class = class_of(step, code, enhanced.as_deref(), &text);
        Self { class, step, code: Some(code), enhanced, text, unclear: false, key: None }
    }

    /// A fault without a response.
    #[must_use]
    pub fn without_answer(class: FaultClass, step: SmtpStep, text: &str) -> Self {
        let text = sanitize::answer(text);
        Self { class, step, code: None, enhanced: None, text, unclear: false, key: None }
    }

    /// In plain words: what happened, the mail server's response, and what comes next.
    #[must_use]
    pub fn sentence(&self) -> String {
        let happened = self.happened();
        match self.class {
            FaultClass::Temporary => format!("{happened}; it will be tried again"),
            FaultClass::Permanent => happened,
            FaultClass::Configuration => {
                format!("{happened}: correct {}, then run `kwic-team mail resume`", self.to_mend())
            }
        }
    }

    /// In plain words: what happened, with the mail server's response.
    #[must_use]
    pub fn happened(&self) -> String {
        let what = match self.class {
            FaultClass::Configuration => self.misconfigured(),
            _ if self.code.is_none() => self.interrupted(),
            _ => reason(self.code, self.enhanced.as_deref()),
        };
        if self.lacks_token() {
            // Not in brackets: what follows is for operators, and pages leave it out.
            return format!("{what}: {}", self.answer());
        }
        format!("{what} ({})", self.answer())
    }

    /// In plain words, for one refusal of several recipients in a row.
    #[must_use]
    pub fn about_sender(&self) -> String {
        format!(
            "the mail server refuses one recipient after another with the same words, so it is about the sender or the login ({}): correct `mail.from` or `mail.url`, or revoke the invitations to those addresses if they are wrong, then run `kwic-team mail resume`",
            self.answer()
        )
    }

    /// Whether the code says that the recipient's address or mailbox is at fault (RFC 3463 sections
    /// 3.2 and 3.3).
    pub(super) fn names_recipient(&self) -> bool {
        let detail = self.enhanced.as_deref().and_then(|status| status.strip_prefix("5."));
        self.step == SmtpStep::Rcpt
            && matches!(
                detail,
                Some("1.1" | "1.2" | "1.3" | "1.6" | "1.10" | "2.1" | "2.2" | "2.3")
            )
    }

    /// The mail server's response, or the system's message.
    fn answer(&self) -> String {
        match self.code {
            Some(code) => format!("{code} {}", self.text).trim_end().to_owned(),
            None => self.text.clone(),
        }
    }

    /// What is wrong with the configuration.
    fn misconfigured(&self) -> &'static str {
        match (self.step, self.code) {
            (SmtpStep::Tls, _) => "no safe connection to the mail server",
            (SmtpStep::Greeting, _) => "the mail server refuses this machine",
            (SmtpStep::StartTls, _) => "the mail server does not offer TLS",
            (SmtpStep::Auth, Some(_)) if self.key.is_some() => {
                "the mail server refused the access token"
            }
            (SmtpStep::Auth, Some(_)) => "the mail server refused the password",
            (SmtpStep::Auth, None) => {
                "the mail server offers no sign-in method that KWIC Team supports"
            }
            (_, Some(530)) => "the mail server wants TLS or a password first",
            (SmtpStep::MailFrom, _) => "the mail server refuses the sender",
            (SmtpStep::Rcpt | SmtpStep::Data, _) => {
                "the mail server does not relay mail from this machine"
            }
            (SmtpStep::Dns | SmtpStep::Connect | SmtpStep::Write, _) => "no mail is sent",
        }
    }

    /// The keys that may be wrong.
    fn to_mend(&self) -> String {
        match (self.step, self.key) {
            (SmtpStep::Auth, Some(key)) => format!("what `{key}` gives, or the user in `mail.url`"),
            (SmtpStep::MailFrom, _) => "`mail.from` or `mail.url`".to_owned(),
            (SmtpStep::Write, _) => "`mail.kind`".to_owned(),
            _ => "`mail.url`".to_owned(),
        }
    }

    /// Whether the access token could not be read, so that no sign-in was tried.
    fn lacks_token(&self) -> bool {
        let tried = self.class == FaultClass::Configuration || self.code.is_some();
        !tried && self.step == SmtpStep::Auth && self.key.is_some()
    }

    /// What was in progress when no response came.
    fn interrupted(&self) -> &'static str {
        match self.step {
            SmtpStep::Dns => "the name of the mail server was not found",
            SmtpStep::Connect => "the mail server could not be reached",
            SmtpStep::Tls => "the TLS handshake with the mail server failed",
            SmtpStep::Greeting => "the mail server did not greet",
            SmtpStep::Auth if self.lacks_token() => "there is no access token for the mail server",
            SmtpStep::Data if self.unclear => {
                "the mail server stopped answering after it was given the mail, and may have taken it"
            }
            SmtpStep::StartTls
            | SmtpStep::Auth
            | SmtpStep::MailFrom
            | SmtpStep::Rcpt
            | SmtpStep::Data => "the mail server stopped answering",
            SmtpStep::Write => "the mail could not be written",
        }
    }
}

/// The class of a refusal. A refused sender or password stops all mail, so that a configuration
/// fault uses up no letters; a refused recipient fails one letter.
fn class_of(step: SmtpStep, code: u16, enhanced: Option<&str>, text: &str) -> FaultClass {
    if code < 500 {
        return FaultClass::Temporary;
    }
    match step {
        SmtpStep::Rcpt | SmtpStep::Data if !is_about_us(code, enhanced, text) => {
            FaultClass::Permanent
        }
        SmtpStep::Write => FaultClass::Permanent,
        _ => FaultClass::Configuration,
    }
}

/// Whether a refusal of a recipient or a mail is about the sender: sign-in and TLS (RFC 4954
/// section 6), and what a sender's domain must publish (the IANA registry of enhanced status
/// codes).
///
/// Servers repeat the recipient, whose name may contain any of these words: addresses are ignored.
/// A plain 5.7.0 is how filters refuse one mail.
fn is_about_us(code: u16, enhanced: Option<&str>, text: &str) -> bool {
    let text = without_addresses(text).to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    matches!(code, 530 | 534 | 535 | 538)
        || matches!(
            enhanced,
            Some(
                "5.1.7"
                    | "5.1.8"
                    | "5.7.3"
                    | "5.7.8"
                    | "5.7.9"
                    | "5.7.10"
                    | "5.7.11"
                    | "5.7.14"
                    | "5.7.20"
                    | "5.7.21"
                    | "5.7.22"
                    | "5.7.23"
                    | "5.7.24"
                    | "5.7.25"
                    | "5.7.26"
                    | "5.7.60"
            )
        )
        || (enhanced.is_none_or(|status| status == "5.7.1")
            && says(&["relay", "authenticat", "starttls", "auth first"]))
}

/// The words without `@` and angle brackets.
fn without_addresses(text: &str) -> String {
    let is_word = |word: &&str| !word.contains(['@', '<', '>']);
    text.split_whitespace().filter(is_word).collect::<Vec<_>>().join(" ")
}

/// The enhanced status code at the start of a response.
pub(super) fn enhanced(text: &str) -> Option<&str> {
    let word = text.split(' ').next()?;
    let mut parts = word.split('.');
    let digits = |part: Option<&str>, most: usize| {
        part.is_some_and(|part| {
            (1..=most).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
        })
    };
    let whole = matches!(parts.next(), Some("2" | "4" | "5"))
        && digits(parts.next(), 3)
        && digits(parts.next(), 3)
        && parts.next().is_none();
    whole.then_some(word)
}

/// Why a mail server refuses or returns a mail, by the enhanced status code (RFC 3463 and its IANA
/// registry), else by the response code.
pub(super) fn reason(code: Option<u16>, enhanced: Option<&str>) -> &'static str {
    let class = enhanced
        .and_then(|status| status.bytes().next())
        .map_or_else(|| code.map_or(5, |code| code / 100), |digit| u16::from(digit - b'0'));
    let detail = enhanced.and_then(|status| status.split_once('.')).map_or("", |(_, rest)| rest);
    match (detail, class, code) {
        ("1.1", ..) => "the recipient's mail server says this mailbox does not exist",
        ("1.2", ..) => "the domain of this address does not exist",
        ("1.3", ..) => "the recipient's mail server says this is not an address",
        ("1.6", ..) => "the recipient's mail server says this mailbox has moved away",
        ("1.10", ..) => "the domain of this address takes no mail",
        // Microsoft 365 responds so for an unknown mailbox.
        ("4.1", 5, Some(550)) => {
            "the recipient's mail server says it takes no mail for this address"
        }
        ("2.1", ..) => "the recipient's mail server says this mailbox is disabled",
        ("2.2", ..) => "the recipient's mail server says this mailbox is full",
        ("2.3" | "3.4", ..) => "the recipient's mail server says the mail is too large",
        ("4.1" | "4.2", ..) => "the recipient's mail server could not be reached",
        ("4.3" | "4.4", ..) => "no mail server was found for the domain of this address",
        ("4.6", ..) => "the mail went in a loop between mail servers",
        ("4.7", ..) => "the mail could not be delivered in time",
        (_, 4, _) => "the mail server asks to try again later",
        (detail, ..) if detail.starts_with("7.") => "the recipient's mail server refuses the mail",
        (_, _, Some(550 | 551 | 553)) => {
            "the recipient's mail server says it takes no mail for this address"
        }
        (_, _, Some(552)) => "the recipient's mail server says this mailbox is full",
        _ => "the recipient's mail server refuses the mail",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_classed_by_code_and_step() {
        use FaultClass::{Configuration, Permanent, Temporary};
        for (step, code, text, class) in [
            (SmtpStep::Greeting, 421, "4.3.2 closing", Temporary),
            (SmtpStep::Greeting, 554, "no mail from you", Configuration),
            (SmtpStep::Auth, 454, "4.7.0 later", Temporary),
            (SmtpStep::Auth, 535, "5.7.8 wrong", Configuration),
            (SmtpStep::Auth, 534, "5.7.9 too weak", Configuration),
            (SmtpStep::MailFrom, 530, "5.7.0 Must issue a STARTTLS command first", Configuration),
            (SmtpStep::MailFrom, 553, "5.7.1 sender not owned by user", Configuration),
            (SmtpStep::MailFrom, 451, "4.3.0 later", Temporary),
            (SmtpStep::Rcpt, 450, "4.2.0 greylisted", Temporary),
            (SmtpStep::Rcpt, 550, "5.1.1 no such user", Permanent),
            (SmtpStep::Rcpt, 550, "no such user", Permanent),
            (SmtpStep::Rcpt, 550, "5.7.1 blocked by the recipient", Permanent),
            (SmtpStep::Rcpt, 550, "5.4.1 Recipient address rejected: Access denied", Permanent),
            (SmtpStep::Rcpt, 550, "5.1.8 <a@b.example>: Sender address rejected", Configuration),
            (SmtpStep::Rcpt, 554, "5.7.1 <bo@example.org>: Relay access denied", Configuration),
            (SmtpStep::Rcpt, 530, "5.7.0 Authentication required", Configuration),
            (SmtpStep::Rcpt, 550, "authentication required", Configuration),
            (SmtpStep::Data, 554, "5.6.0 looks odd", Permanent),
            (SmtpStep::Data, 550, "5.7.26 SPF and DKIM fail", Configuration),
            (SmtpStep::Data, 452, "4.3.1 disk full", Temporary),
        ] {
            let fault = SendFault::answered(step, code, text);
            assert_eq!(fault.class, class, "{step:?} {code} {text}");
        }
    }

    #[test]
    fn an_enhanced_code_is_one_only_at_the_beginning() {
        assert_eq!(enhanced("5.1.1 no"), Some("5.1.1"));
        assert_eq!(enhanced("5.7.26"), Some("5.7.26"));
        for text in ["", "5.1", "5.1.1.1 x", "6.1.1 x", "5.1.x", "no 5.1.1", "5.1.1234", "5..1"] {
            assert_eq!(enhanced(text), None, "{text}");
        }
    }

    #[test]
    fn sentences_say_what_happened_and_what_comes_next() {
        for (fault, sentence) in [
            (
                SendFault::answered(SmtpStep::Rcpt, 550, "5.1.1 <bo@example.org>: unknown"),
                "the recipient's mail server says this mailbox does not exist (550 5.1.1 <bo@example.org>: unknown)",
            ),
            (
                SendFault::answered(SmtpStep::Rcpt, 450, "4.2.0 greylisted"),
                "the mail server asks to try again later (450 4.2.0 greylisted); it will be tried again",
            ),
            (
                SendFault::answered(SmtpStep::Rcpt, 550, "5.4.1 Recipient address rejected"),
                "the recipient's mail server says it takes no mail for this address (550 5.4.1 Recipient address rejected)",
            ),
            (
                SendFault::without_answer(
                    FaultClass::Temporary,
                    SmtpStep::Connect,
                    "connection refused",
                ),
                "the mail server could not be reached (connection refused); it will be tried again",
            ),
            (
                SendFault::answered(SmtpStep::Auth, 535, "5.7.8 wrong"),
                "the mail server refused the password (535 5.7.8 wrong): correct `mail.url`, then run `kwic-team mail resume`",
            ),
            (
                SendFault::answered(SmtpStep::Data, 554, ""),
                "the recipient's mail server refuses the mail (554)",
            ),
        ] {
            assert_eq!(fault.sentence(), sentence);
        }
    }
}
