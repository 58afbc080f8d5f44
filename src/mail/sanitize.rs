//! Sanitizing of untrusted text: names in mail, and the responses of mail servers.
//!
//! Does not escape HTML: the template does.

use crate::domain::{Email, limits};

/// Characters that separate the parts of a host name, also as browsers read them (UTS 46 section
/// 2.3).
const DOTS: [char; 4] = ['.', '\u{3002}', '\u{ff0e}', '\u{ff61}'];
/// An invisible character that stops link detection.
const BREAK: char = '\u{200b}';
/// The minimum length of a run of characters that is treated as a token.
const TOKEN_CHARS: usize = 43;

/// One line: without control characters and direction marks, truncated.
pub(super) fn line(text: &str, chars_max: usize) -> String {
    let kept: String = text
        .chars()
        .map(|c| if c.is_whitespace() { ' ' } else { c })
        .filter(|c| !is_unseen(*c))
        .collect();
    let words: Vec<&str> = kept.split(' ').filter(|word| !word.is_empty()).collect();
    cut(&words.join(" "), chars_max)
}

/// An untrusted name or text in a mail: one line that no program turns into a link.
pub(super) fn name(text: &str, chars_max: usize) -> String {
    cut(&defused(&line(text, chars_max)), chars_max)
}

/// An address in a mail. One that looks like a URL path gets breaks, as a name does; others stay
/// unchanged, so that they can be copied.
pub(super) fn address(email: &Email) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "@.-_+".contains(c);
    if email.as_str().chars().all(plain) { email.to_string() } else { defused(email.as_str()) }
}

/// A link from this program: nothing in it can end the line or the attribute around it.
pub(super) fn url(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace() && !is_unseen(*c)).collect()
}

/// A mail server's response: one line, with everything removed that may be a token.
pub(super) fn answer(text: &str) -> String {
    let mut out = String::new();
    let mut run = String::new();
    for c in text.chars().map(Some).chain([None]) {
        match c {
            Some(c) if c.is_ascii_alphanumeric() || c == '-' || c == '_' => run.push(c),
            other => {
                out.push_str(if run.len() < TOKEN_CHARS { &run } else { "***" });
                run.clear();
                out.extend(other);
            }
        }
    }
    line(&out, limits::MAIL_ANSWER_CHARS_MAX)
}

/// Control characters, and direction marks.
fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}'
        )
}

/// Inserts a break after each dot within a word, and after `://`.
fn defused(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        out.push(c);
        let within = rest.peek().is_some_and(|next| *next != ' ');
        if within && (DOTS.contains(&c) || out.ends_with("://")) {
            out.push(BREAK);
        }
    }
    out
}

/// Truncates, with an ellipsis.
fn cut(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    text.chars().take(chars_max.saturating_sub(1)).chain(['\u{2026}']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_line_and_no_link() {
        assert_eq!(name("Bo\r\nBcc: x@example.org", 64), "Bo Bcc: x@example.\u{200b}org");
        assert_eq!(name("\u{202e}\0a\u{7}\tb\u{2028}c", 64), "a b c");
        assert_eq!(name("https://evil.example/x", 64), "https://\u{200b}evil.\u{200b}example/x");
        assert_eq!(name("evil\u{3002}example", 64), "evil\u{3002}\u{200b}example");
        assert_eq!(name("Dr. No", 64), "Dr. No");
        assert_eq!(name(&"x".repeat(65), 64).chars().count(), 64);
        assert_eq!(name(&"a.".repeat(40), 64).chars().count(), 64);
    }

    #[test]
    fn an_address_is_no_path() {
        let shown = |text| address(&Email::parse(text).unwrap());
        assert_eq!(shown("bo.lee+x@example.org"), "bo.lee+x@example.org");
        assert_eq!(shown("evil.example/x@a.b"), "evil.\u{200b}example/x@a.\u{200b}b");
    }

    #[test]
    fn a_server_says_no_token() {
        let token = "A-_9".repeat(11);
        assert_eq!(
            answer(&format!("554 spam: https://x.example/join#{token}\r\nbye")),
            "554 spam: https://x.example/join#*** bye"
        );
        assert_eq!(answer("queued as 4bX2Tz0Jk1z9sR"), "queued as 4bX2Tz0Jk1z9sR");
        assert_eq!(answer(&"no ".repeat(1_000)).chars().count(), limits::MAIL_ANSWER_CHARS_MAX);
    }
}
