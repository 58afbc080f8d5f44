//! Responses to malformed requests: a sentence, where hyper would send a bare status.
//!
//! Hyper writes its own refusal and closes. [`is_bare`] recognizes it by its bytes, so that the
//! stream holds it back, and [`reply`] finds out what was wrong from what was left unread.

use super::response::Reply;
use crate::domain::{Failure, Kind, limits};

/// Longer than any refusal of hyper: a status line and three short fields.
const BARE_BYTES_MAX: usize = 256;
/// The maximum number of header fields of hyper.
const FIELDS_MAX: usize = 100;

/// The status of a response that hyper made by itself. All others have an id.
pub(super) fn is_bare(written: &[u8]) -> Option<u16> {
    let has_id = || written.windows(13).any(|field| field.eq_ignore_ascii_case(b"x-request-id:"));
    let is_whole_head = written.len() <= BARE_BYTES_MAX && written.ends_with(b"\r\n\r\n");
    let code = written.strip_prefix(b"HTTP/1.1 ").filter(|_| is_whole_head)?.first_chunk::<3>()?;
    let code = std::str::from_utf8(code).ok()?.parse().ok()?;
    ((400..500).contains(&code) && !has_id()).then_some(code)
}

/// The replacement. `unread` is what hyper had not parsed when it refused.
pub(super) fn reply(code: u16, unread: &[u8]) -> Reply {
    let (code, name, text) = match code {
        431 if is_large_head(unread) => (
            431,
            "head_too_large",
            format!(
                "the head of the request is larger than {} KiB or has more than {FIELDS_MAX} fields: send less",
                limits::HEAD_BYTES_MAX >> 10
            ),
        ),
        // The head was parsed, and only this length is too large.
        431 => (
            413,
            Failure::BODY_TOO_LARGE,
            "`Content-Length` is larger than any body can be: send the length of the body".to_owned(),
        ),
        414 => (414, "target_too_long", "the address is too long: shorten it".to_owned()),
        code => (
            code,
            "no_request",
            "this is not an HTTP/1.1 request: check method, address, version, and that each header field is one line `name: value`".to_owned(),
        ),
    };
    Reply::message(&Failure::new(Kind::Invalid, name, text)).status(code)
}

fn is_large_head(unread: &[u8]) -> bool {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let parsed = httparse::Request::new(&mut fields).parse(unread);
    unread.len() >= limits::HEAD_BYTES_MAX || parsed == Err(httparse::Error::TooManyHeaders)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_hyper_says_by_itself_is_bare() {
        let head = |line: &str, fields: &str| format!("HTTP/1.1 {line}\r\n{fields}\r\n");
        let closing = "connection: close\r\ncontent-length: 0\r\n";
        assert_eq!(is_bare(head("400 Bad Request", closing).as_bytes()), Some(400));
        assert_eq!(is_bare(head("431 X", "").as_bytes()), Some(431));
        for ours in [
            head("400 Bad Request", "x-request-id: 7\r\ncontent-length: 0\r\n"),
            head("200 OK", closing),
            head("100 Continue", ""),
            head("400 Bad Request", &"x: y\r\n".repeat(100)),
            "HTTP/1.1 400 and so on".to_owned(),
            "HTTP/1.1 4\r\n\r\n".to_owned(),
            String::new(),
        ] {
            assert_eq!(is_bare(ours.as_bytes()), None, "{ours}");
        }
    }
}
