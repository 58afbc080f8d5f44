//! Query strings of forms: `a=b&c=d`, `+` for a space, percent-encoding.
//!
//! Knows no parameter.

/// Names and values in order; `Err` is a pair, unchanged, that is not percent-encoded UTF-8.
pub fn pairs(query: &str) -> impl Iterator<Item = Result<(String, String), &str>> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let plain = |text: &str| decoded(&text.replace('+', " "));
        plain(name).zip(plain(value)).ok_or(pair)
    })
}

/// Percent-decodes; `None` for a broken escape or what is not UTF-8.
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
    fn pairs_read_as_forms_write_them() {
        let read: Vec<_> = pairs("a=J%C3%BCrg+Lee&&flag&b=%zz&c=x=y").collect();
        let ok = |name: &str, value: &str| Ok((name.to_owned(), value.to_owned()));
        assert_eq!(read, [ok("a", "J\u{fc}rg Lee"), ok("flag", ""), Err("b=%zz"), ok("c", "x=y")]);
    }

    #[test]
    fn escapes_decode_or_are_refused() {
        assert_eq!(decoded("a%2Fb").as_deref(), Some("a/b"));
        for broken in ["%", "%4", "%g0", "%ff", "%+1"] {
            assert_eq!(decoded(broken), None, "{broken}");
        }
    }
}
