//! SMTP commands and replies (RFC 5321 section 4.2).
//!
//! Replies are parsed leniently: without text, with lines that end in a bare line feed, and with
//! text that is not UTF-8. Knows no step and retries nothing.

use std::fmt::Display;
use std::io;

use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};

use super::send_fault;

/// Longest line of a reply: RFC 5321 section 4.5.3.1.5 allows 512 bytes, and some servers send
/// more.
const LINE_BYTES_MAX: usize = 4_096;
/// Most lines of a reply: the longest one lists extensions.
const LINES_MAX: usize = 128;

/// The transport: a socket, or TLS on top of one.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A reply of a mail server.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SmtpReply {
    pub(super) code: u16,
    /// The text of each line; empty where there is none.
    pub(super) lines: Vec<String>,
}

/// Why a command failed.
#[derive(Debug)]
pub(super) enum SmtpError {
    /// The server refused.
    Refused(SmtpReply),
    /// The response is not a valid reply.
    NotSmtp,
    /// The connection ended, or the system failed.
    Io(io::Error),
}

impl From<io::Error> for SmtpError {
    fn from(fault: io::Error) -> Self {
        Self::Io(fault)
    }
}

impl SmtpReply {
    /// The text of all lines as one; an enhanced status code that each line repeats is included
    /// once.
    pub(super) fn text(&self) -> String {
        let Some((first, rest)) = self.lines.split_first() else { return String::new() };
        let code = send_fault::enhanced(first);
        let mut text = first.clone();
        for line in rest {
            let repeated = code.and_then(|code| line.strip_prefix(code)?.strip_prefix(' '));
            text.push(' ');
            text.push_str(repeated.unwrap_or(line));
        }
        text
    }

    /// The parameters of an extension in the response to EHLO; empty if it has none, `None` if it
    /// is not offered.
    pub(super) fn offers(&self, keyword: &str) -> Option<Vec<&str>> {
        let mut offered = None;
        for line in self.lines.iter().skip(1) {
            // Old servers write `AUTH=LOGIN`, and some also the correct line.
            let mut words = line.split([' ', '=']).filter(|word| !word.is_empty());
            if words.next().is_some_and(|word| word.eq_ignore_ascii_case(keyword)) {
                offered.get_or_insert_with(Vec::new).extend(words);
            }
        }
        offered
    }
}

/// An SMTP connection.
pub(super) struct SmtpConversation {
    stream: BufReader<Box<dyn Stream>>,
    /// Secrets that are removed from every reply.
    secrets: Vec<String>,
}

impl SmtpConversation {
    pub(super) fn over(stream: Box<dyn Stream>) -> Self {
        Self { stream: BufReader::new(stream), secrets: Vec::new() }
    }

    /// Sets the secrets that are removed from every reply from now on.
    pub(super) fn hide(&mut self, secrets: Vec<String>) {
        self.secrets = secrets;
    }

    /// The transport, for TLS on top of it. Unsolicited data before TLS is dropped: it may have
    /// been injected (RFC 3207 section 6).
    pub(super) fn into_stream(self) -> Box<dyn Stream> {
        self.stream.into_inner()
    }

    /// Sends a command, including its line end, and reads the reply.
    pub(super) async fn command(&mut self, command: impl Display) -> Result<SmtpReply, SmtpError> {
        self.give(command.to_string().as_bytes()).await
    }

    /// Sends these bytes, in one piece, and reads the reply.
    pub(super) async fn give(&mut self, bytes: &[u8]) -> Result<SmtpReply, SmtpError> {
        let stream = self.stream.get_mut();
        stream.write_all(bytes).await?;
        stream.flush().await?;
        self.reply().await
    }

    /// Reads a reply.
    pub(super) async fn reply(&mut self) -> Result<SmtpReply, SmtpError> {
        let mut lines = Vec::new();
        while lines.len() < LINES_MAX {
            let line = self.line().await?;
            let (code, is_last, text) = parsed(&line).ok_or(SmtpError::NotSmtp)?;
            let hidden = |text: String, secret: &String| text.replace(secret, "***");
            lines.push(self.secrets.iter().fold(text.to_owned(), hidden));
            // The code of the last line is used: all are the same (RFC 5321 section 4.2.1).
            if is_last {
                let reply = SmtpReply { code, lines };
                return if code < 400 { Ok(reply) } else { Err(SmtpError::Refused(reply)) };
            }
        }
        Err(SmtpError::NotSmtp)
    }

    /// A line without its line end.
    async fn line(&mut self) -> Result<String, SmtpError> {
        let mut line = Vec::new();
        let most = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX);
        (&mut self.stream).take(most).read_until(b'\n', &mut line).await?;
        match line.pop() {
            Some(b'\n') => {}
            _ if line.len() + 1 >= LINE_BYTES_MAX => return Err(SmtpError::NotSmtp),
            _ => return Err(SmtpError::Io(io::ErrorKind::UnexpectedEof.into())),
        }
        let line = String::from_utf8_lossy(&line);
        Ok(line.strip_suffix('\r').unwrap_or(&line).to_owned())
    }
}

/// The code of a line, whether it is the last one of the reply, and its text. A space or nothing
/// after the code ends a reply, a hyphen does not.
fn parsed(line: &str) -> Option<(u16, bool, &str)> {
    let (code, rest) = line.split_at_checked(3)?;
    let is_code =
        code.starts_with(['2', '3', '4', '5']) && code.bytes().all(|b| b.is_ascii_digit());
    let code = code.parse().ok().filter(|_| is_code)?;
    match rest.strip_prefix('-') {
        Some(text) => Some((code, false, text)),
        None if rest.is_empty() => Some((code, true, "")),
        None => rest.strip_prefix([' ', '\t']).map(|text| (code, true, text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is read from a server that says this and hangs up.
    async fn said(bytes: &[u8]) -> Result<SmtpReply, SmtpError> {
        let (own, mut server) = tokio::io::duplex(1 << 20);
        server.write_all(bytes).await.unwrap();
        drop(server);
        SmtpConversation::over(Box::new(own)).reply().await
    }

    fn reply(code: u16, lines: &[&str]) -> SmtpReply {
        SmtpReply { code, lines: lines.iter().map(|line| (*line).to_owned()).collect() }
    }

    #[tokio::test]
    async fn a_reply_needs_no_text_and_lines_may_end_in_a_line_feed() {
        for (bytes, code, lines) in [
            (b"250 taken\r\n".as_slice(), 250, &["taken"][..]),
            (b"250\r\n", 250, &[""]),
            (b"250 \r\n", 250, &[""]),
            (b"250\n", 250, &[""]),
            (b"250 taken\n", 250, &["taken"]),
            (b"250-\r\n250\r\n", 250, &["", ""]),
            (b"250-a\n250-\n250 b\n", 250, &["a", "", "b"]),
            (b"250-a\r\n250-b\r\n250\r\n", 250, &["a", "b", ""]),
            (b"250\ttaken\r\n", 250, &["taken"]),
            (b"250 caf\xe9\r\n", 250, &["caf\u{fffd}"]),
            (b"354\r\n", 354, &[""]),
        ] {
            let shown = String::from_utf8_lossy(bytes);
            assert_eq!(said(bytes).await.unwrap(), reply(code, lines), "{shown:?}");
        }
        for (bytes, code) in [(b"550\r\n".as_slice(), 550), (b"571 no\r\n", 571), (b"421\n", 421)] {
            let refused = said(bytes).await.unwrap_err();
            assert!(
                matches!(&refused, SmtpError::Refused(reply) if reply.code == code),
                "{refused:?}"
            );
        }
    }

    #[tokio::test]
    async fn what_is_not_a_reply_is_not_taken_for_one() {
        for bytes in [
            b"HTTP/1.1 400 Bad Request\r\n".as_slice(),
            b"\r\n",
            b"25\r\n",
            b"2500\r\n",
            b"250ok\r\n",
            b"150 wait\r\n",
            b"650 no\r\n",
            "25\u{e9} x\r\n".as_bytes(),
            b"250-a\r\nb\r\n",
        ] {
            let shown = String::from_utf8_lossy(bytes);
            assert!(matches!(said(bytes).await, Err(SmtpError::NotSmtp)), "{shown:?}");
        }
        for bytes in [b"".as_slice(), b"250", b"250 tak", b"250-a\r\n"] {
            let shown = String::from_utf8_lossy(bytes);
            assert!(matches!(said(bytes).await, Err(SmtpError::Io(_))), "{shown:?}");
        }
    }

    #[tokio::test]
    async fn a_reply_without_an_end_is_bounded() {
        assert!(matches!(said(&b"250 x".repeat(1_000)).await, Err(SmtpError::NotSmtp)));
        assert!(matches!(said(&b"250-x\r\n".repeat(1_000)).await, Err(SmtpError::NotSmtp)));
    }

    #[tokio::test]
    async fn what_came_before_tls_is_dropped() {
        let (own, mut server) = tokio::io::duplex(1 << 10);
        server.write_all(b"220 go\r\n250-AUTH PLAIN\r\n250 injected\r\n").await.unwrap();
        let mut talk = SmtpConversation::over(Box::new(own));
        assert_eq!(talk.reply().await.unwrap(), reply(220, &["go"]));
        let mut above = SmtpConversation::over(talk.into_stream());
        server.write_all(b"250 own\r\n").await.unwrap();
        assert_eq!(above.reply().await.unwrap(), reply(250, &["own"]));
    }

    #[test]
    fn extensions_are_found_by_their_keyword() {
        let hello = reply(250, &["dsn.example greets", "size 1", "Auth PLAIN LOGIN", "STARTTLS"]);
        assert_eq!(hello.offers("AUTH"), Some(vec!["PLAIN", "LOGIN"]));
        assert_eq!(hello.offers("STARTTLS"), Some(Vec::new()));
        assert_eq!(hello.offers("dsn.example"), None);
        let both = reply(250, &["x", "AUTH=LOGIN", "AUTH LOGIN XOAUTH2"]);
        assert_eq!(both.offers("AUTH"), Some(vec!["LOGIN", "LOGIN", "XOAUTH2"]));
    }

    #[test]
    fn an_enhanced_code_is_said_once() {
        let refusal = reply(550, &["5.1.1 no such user", "5.1.1 here", "5.1.12 x"]);
        assert_eq!(refusal.text(), "5.1.1 no such user here 5.1.12 x");
        assert_eq!(reply(550, &[""]).text(), "");
    }
}
