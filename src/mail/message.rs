//! The message that says what a mail is about, as text and as HTML.
//!
//! Deterministic: reads no clock and makes no random number, so that each attempt is the same
//! message.

use std::time::{Duration, SystemTime};

use askama::Template;
use lettre::Address;
use lettre::Message;
use lettre::address::Envelope;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};

use super::mail_texts::{MailContent, MailTexts};
use super::sanitize;
use crate::domain::{Digest, Email, Mailbox as Sender, Timestamp, limits};

/// The name of the sender, if the configuration has none.
const OWN_NAME: &str = "KWIC";
/// From 1970 to the end of the year 9999, the range of a `Date`.
const YEARS_OF_FOUR_DIGITS: Duration = Duration::from_secs(253_402_300_799);

/// One mail, ready to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutgoingMail {
    /// Whom it goes to.
    pub to: Email,
    /// The recipient's name; may be empty.
    pub to_name: String,
    /// The `Message-ID` without angle brackets; the same for every attempt.
    pub message_id: String,
    /// The bounce address; the sender's own address if there is none.
    pub return_path: Option<Email>,
    /// The `Date`; also the same for every attempt.
    pub date: Timestamp,
    /// What it says.
    pub content: MailContent,
}

#[derive(Template)]
#[template(config = ".askama.toml", path = "mail/templates/letter.txt")]
struct Text<'a> {
    name: &'a str,
    words: &'a MailTexts,
}

#[derive(Template)]
#[template(config = ".askama.toml", path = "mail/templates/letter.html")]
struct Html<'a> {
    name: &'a str,
    words: &'a MailTexts,
}

/// Renders the message of a mail.
///
/// # Errors
/// A sentence, for an address or an id that no message can carry.
pub(super) fn write(outgoing: &OutgoingMail, from: &Sender) -> Result<Message, String> {
    let name = sanitize::name(&outgoing.to_name, limits::MAIL_NAME_CHARS_MAX);
    let words = MailTexts::of(&outgoing.content);
    let text = Text { name: &name, words: &words }.render().map_err(|fault| fault.to_string())?;
    let html = Html { name: &name, words: &words }.render().map_err(|fault| fault.to_string())?;
    let return_path = outgoing.return_path.as_ref().unwrap_or(&from.email);
    let envelope = Envelope::new(Some(address(return_path)?), vec![address(&outgoing.to)?])
        .map_err(|fault| fault.to_string())?;
    let to = Mailbox::new(Some(name).filter(|name| !name.is_empty()), address(&outgoing.to)?);
    let given = sanitize::line(&from.name, limits::SENDER_NAME_CHARS_MAX);
    let shown_as = if given.is_empty() { OWN_NAME.to_owned() } else { given };
    let id = sanitize::line(&outgoing.message_id, limits::MAIL_ID_CHARS_MAX);
    let since_1970 = Duration::from_millis(u64::try_from(outgoing.date.0).unwrap_or(0));
    let date = SystemTime::UNIX_EPOCH + since_1970.min(YEARS_OF_FOUR_DIGITS);
    let builder = Message::builder()
        .from(Mailbox::new(Some(shown_as.clone()), address(&from.email)?))
        .to(to)
        .subject(&words.subject)
        .date(date)
        .message_id(Some(format!("<{id}>")));
    let builder = match quoted(&shown_as, &from.email) {
        Some(line) => builder.raw_header(line),
        None => builder,
    };
    builder
        .raw_header(header("Auto-Submitted", "auto-generated"))
        .raw_header(header("X-Auto-Response-Suppress", "All"))
        .envelope(envelope)
        .multipart(
            MultiPart::alternative()
                .boundary(boundary(&id))
                .singlepart(SinglePart::plain(text))
                .singlepart(SinglePart::html(html)),
        )
        .map_err(|fault| fault.to_string())
}

/// The `From` line of a name that must be quoted: the library would encode it in base64, which
/// programs that read the raw line cannot show.
fn quoted(name: &str, email: &Email) -> Option<HeaderValue> {
    let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b' ');
    if is_plain || !name.is_ascii() || !email.as_str().is_ascii() {
        return None;
    }
    let name = name.replace('\\', "\\\\").replace('"', "\\\"");
    let line = format!("\"{name}\" <{email}>");
    let from = HeaderName::new_from_ascii_str("From");
    Some(HeaderValue::dangerous_new_pre_encoded(from, line.clone(), line))
}

/// Suppresses automatic replies: RFC 3834 section 5, and the same for Exchange.
fn header(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

/// The MIME boundary: the same for every attempt, and unpredictable for those who chose text of the
/// mail, since the id was generated later.
fn boundary(id: &str) -> String {
    Digest::of(&[b"boundary", id.as_bytes()]).hex()
}

fn address(email: &Email) -> Result<Address, String> {
    email.as_str().parse().map_err(|fault| format!("`{email}`: {fault}"))
}

#[cfg(test)]
mod tests {
    use mail_parser::{MessageParser, MimeHeaders as _};

    use super::*;
    use crate::domain::{AddressSide, Timestamp, Token, TwoStepEvent};
    use crate::mail::{ActionLink, MailContent};

    const URL: &str = "https://team.example.org/join#";

    fn link() -> ActionLink {
        let code = Token::from_bytes([7; 32]);
        let url = format!("{URL}{}", code.expose());
        ActionLink { url, code, expires: Timestamp(1_795_521_600_000) }
    }

    fn email(text: &str) -> Email {
        Email::parse(text).unwrap()
    }

    fn sender(text: &str) -> Sender {
        Sender::parse(text).unwrap()
    }

    #[test]
    fn the_sender_is_shown_by_name_and_the_envelope_has_the_address_alone() {
        let outgoing = OutgoingMail {
            to: email("bo@example.org"),
            to_name: String::new(),
            message_id: "test-1@example.org".to_owned(),
            return_path: None,
            date: Timestamp(0),
            content: MailContent::Test,
        };
        for (from, line, name) in [
            ("a@example.org", "From: KWIC <a@example.org>", "KWIC"),
            ("Acme Team <a@example.org>", "From: \"Acme Team\" <a@example.org>", "Acme Team"),
            (
                "\"KWIC, Inc.\" <a@example.org>",
                "From: \"KWIC, Inc.\" <a@example.org>",
                "KWIC, Inc.",
            ),
            (
                r#""The \"A\" <team>" <a@example.org>"#,
                r#"From: "The \"A\" <team>" <a@example.org>"#,
                r#"The "A" <team>"#,
            ),
            ("Caf\u{e9} <a@example.org>", "From: =?utf-8?b?", "Caf\u{e9}"),
        ] {
            let message = write(&outgoing, &sender(from)).unwrap();
            assert_eq!(message.envelope().from().unwrap().to_string(), "a@example.org");
            let bytes = message.formatted();
            let raw = String::from_utf8(bytes.clone()).unwrap();
            assert!(raw.lines().any(|known| known.starts_with(line)), "{from}: {raw}");
            assert!(raw.lines().take_while(|line| !line.is_empty()).all(str::is_ascii), "{raw}");
            let parsed = MessageParser::default().parse(&bytes).unwrap();
            let shown = parsed.from().and_then(|from| from.first()).unwrap();
            assert_eq!((shown.name(), shown.address()), (Some(name), Some("a@example.org")));
        }
    }

    /// An invite in which every word that a stranger chose is `odd`.
    fn invite(odd: &str) -> MailContent {
        MailContent::Invite {
            account_name: odd.to_owned(),
            inviter_name: Some(odd.to_owned()),
            inviter_email: Some(email("asha@example.org")),
            role_title: odd.to_owned(),
            role_summary: odd.to_owned(),
            link: link(),
        }
    }

    fn every_content(odd: &str) -> Vec<MailContent> {
        let account_name = odd.to_owned();
        let (at, new_email) = (Timestamp(0), email("new@example.org"));
        vec![
            invite(odd),
            MailContent::InviteWanted {
                account_name: account_name.clone(),
                invitee_name: odd.to_owned(),
                invitee_email: new_email.clone(),
                team_link: "https://team.example.org/team?a=1&b=2".to_owned(),
            },
            MailContent::PasswordReset { account_name: account_name.clone(), link: link() },
            MailContent::PasswordChanged { account_name: account_name.clone(), at },
            MailContent::EmailChange {
                account_name: account_name.clone(),
                new_email: new_email.clone(),
                end: AddressSide::Old,
                link: link(),
            },
            MailContent::EmailChanged { account_name: account_name.clone(), new_email, at },
            MailContent::TwoStep { account_name: account_name.clone(), news: TwoStepEvent::On, at },
            MailContent::TwoStep { account_name, news: TwoStepEvent::Guessed, at },
            MailContent::Test,
        ]
    }

    /// The raw mail, its text and its HTML, as a reader sees them.
    fn mail(content: MailContent, to_name: &str) -> (String, String, String) {
        let outgoing = OutgoingMail {
            to: email("bo@example.org"),
            to_name: to_name.to_owned(),
            message_id: "invite-1@example.org".to_owned(),
            return_path: Some(email("bounce+1.ff@example.org")),
            date: Timestamp(1_795_521_600_000),
            content,
        };
        let message = write(&outgoing, &sender("no-reply@example.org")).unwrap();
        assert_eq!(message.envelope().from().unwrap().to_string(), "bounce+1.ff@example.org");
        let raw = message.formatted();
        let parsed = MessageParser::default().parse(&raw).unwrap();
        let kinds: Vec<_> = parsed
            .parts
            .iter()
            .map(|part| part.content_type().unwrap().subtype().unwrap())
            .collect();
        assert_eq!(kinds, ["alternative", "plain", "html"]);
        let text = parsed.body_text(0).unwrap().replace('\r', "");
        let html = parsed.body_html(0).unwrap().into_owned();
        (String::from_utf8(raw).unwrap(), text, html)
    }

    fn subject_of(raw: &str) -> String {
        MessageParser::default().parse(raw).unwrap().subject().unwrap().to_owned()
    }

    const ODD: [&str; 12] = [
        "Acme",
        "",
        " ",
        "Bo\r\nBcc: evil@example.org\r\n\r\nHi",
        "<a href='https://evil.example/'>Acme</a><script>",
        "https://evil.example/join, www.evil.example",
        "\"; \\ <a@evil.example>, c@evil.example (",
        "=?utf-8?q?=0d=0aBcc:_x@evil.example?=",
        "--boundary--\n.\n",
        "\u{202e}gro.elpmaxe\0\u{1b}[31m\u{feff}",
        "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467} S\u{f6}hne \u{0645}\u{0631}\u{062d}\u{0628}\u{0627}",
        "{{ code }} {% include \"x\" %} %s $1",
    ];

    #[test]
    fn an_invite_says_who_where_what_and_until_when() {
        let content = MailContent::Invite {
            account_name: "Acme".to_owned(),
            inviter_name: Some("Asha Rao".to_owned()),
            inviter_email: Some(email("asha@example.org")),
            role_title: "Writer".to_owned(),
            role_summary: "answers chats and writes templates.".to_owned(),
            link: link(),
        };
        let (raw, text, _) = mail(content, "Bo Lee");
        let code = link().code;
        let code = code.expose();
        assert_eq!(
            text,
            format!(
                "Hello Bo Lee,\n\nAsha Rao (asha@example.org) invites you to the team of Acme on KWIC.\n\n\
                 Your role will be Writer: answers chats and writes templates.\n\n\
                 To join, open this link and choose a password:\n\n{URL}{code}\n\n\
                 It works once, until 24 November 2026, 12:00 UTC.\n\
                 If the page asks for a code, paste this one:\n\n{code}\n\n\
                 Not expecting this? Ignore this mail. Nobody joins without the link.\n\nKWIC"
            )
        );
        for header in [
            "From: KWIC <no-reply@example.org>\r\n",
            "To: \"Bo Lee\" <bo@example.org>\r\n",
            "Subject: Join the team of Acme on KWIC\r\n",
            "Date: Tue, 24 Nov 2026 12:00:00 +0000\r\n",
            "Message-ID: <invite-1@example.org>\r\n",
            "Auto-Submitted: auto-generated\r\n",
            "X-Auto-Response-Suppress: All\r\n",
        ] {
            assert_eq!(raw.matches(header).count(), 1, "{header}{raw}");
        }
    }

    #[test]
    fn no_words_of_strangers_become_a_header_a_link_or_a_tag() {
        let long = "x".repeat(5_000);
        let wide = "\u{1f600}.".repeat(500);
        for odd in ODD.iter().copied().chain([long.as_str(), wide.as_str()]) {
            for content in every_content(odd) {
                let links = usize::from(!matches!(
                    content,
                    MailContent::PasswordChanged { .. }
                        | MailContent::EmailChanged { .. }
                        | MailContent::TwoStep { .. }
                        | MailContent::Test
                ));
                let (raw, text, html) = mail(content, odd);
                let (head, _) = raw.split_once("\r\n\r\n").unwrap();
                let names: Vec<_> = head
                    .split("\r\n")
                    .filter(|line| !line.starts_with(' '))
                    .map(|line| line.split_once(": ").unwrap().0)
                    .collect();
                assert_eq!(
                    names,
                    [
                        "From",
                        "To",
                        "Subject",
                        "Date",
                        "Message-ID",
                        "Auto-Submitted",
                        "X-Auto-Response-Suppress",
                        "MIME-Version",
                        "Content-Type",
                    ],
                    "{head}"
                );
                assert!(raw.is_ascii() && raw.split("\r\n").all(|line| line.len() <= 998));
                assert!(!raw.replace("\r\n", "").contains(['\r', '\n']));
                let subject = subject_of(&raw);
                assert!(subject.chars().count() <= limits::MAIL_SUBJECT_CHARS_MAX, "{subject}");
                assert!(!subject.contains(link().code.expose()));
                assert!(subject.contains("KWIC"), "{subject}");
                assert!(!text.contains("evil.example") && !html.contains("evil.example"), "{text}");
                let whole = |text: &str| {
                    text.split("://").skip(1).filter(|rest| !rest.starts_with('\u{200b}')).count()
                };
                assert_eq!((whole(&text), whole(&html)), (links, 2 * links), "{text}");
                assert_eq!(html.matches("<a ").count(), links);
                if links == 1 {
                    let (_, anchor) = html.split_once("<a href=\"").unwrap();
                    let (href, shown) = anchor.split_once("\">").unwrap();
                    assert!(shown.starts_with(&format!("{href}</a>")), "{anchor}");
                    let url = href.replace("&#38;", "&");
                    assert_eq!(text.lines().filter(|line| *line == url).count(), 1, "{text}");
                }
                assert!(!html.contains("<script") && text.chars().count() < 2_000);
            }
        }
    }

    #[test]
    fn every_try_is_the_same_mail() {
        assert_eq!(mail(invite("Acme"), "Bo"), mail(invite("Acme"), "Bo"));
    }

    #[test]
    fn nothing_that_opens_something_prints() {
        let printed = format!("{:?}", invite("Acme"));
        assert!(!printed.contains(link().code.expose()), "{printed}");
    }

    #[test]
    fn a_mail_without_a_name_an_id_or_a_sensible_date_is_still_a_mail() {
        for date in [i64::MIN, i64::MAX] {
            let outgoing = OutgoingMail {
                to: email("bo@b"),
                to_name: "\u{200b}".to_owned(),
                message_id: String::new(),
                return_path: None,
                date: Timestamp(date),
                content: MailContent::Test,
            };
            let message = write(&outgoing, &sender("a@b")).unwrap();
            assert_eq!(message.envelope().from().unwrap().to_string(), "a@b");
            let raw = String::from_utf8(message.formatted()).unwrap();
            assert!(raw.contains("To: bo@b\r\n") && raw.contains("\r\nHello,\r\n"), "{raw}");
        }
    }
}
