//! Percent-encoding (RFC 3986, section 2.1).

use std::fmt::Write as _;

/// Encodes everything but unreserved characters.
#[must_use]
pub fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// `None` for a broken escape or what is not UTF-8.
#[must_use]
pub fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
            bytes.push(high << 4 | low);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_is_one_segment_and_comes_back() {
        for text in ["", "a/b?c=d&e", "J\u{fc}rg Lee", "100%", "-._~", "\u{0}\r\n"] {
            let segment = encoded(text);
            assert!(segment.bytes().all(|it| it.is_ascii_alphanumeric() || b"-._~%".contains(&it)));
            assert_eq!(decoded(&segment).as_deref(), Some(text));
        }
        assert_eq!(encoded("a&b=c #"), "a%26b%3Dc%20%23");
    }

    #[test]
    fn escapes_decode_or_are_refused() {
        assert_eq!(decoded("a%2Fb").as_deref(), Some("a/b"));
        for broken in ["%", "%4", "%g0", "%ff", "%+1"] {
            assert_eq!(decoded(broken), None, "{broken}");
        }
    }
}
