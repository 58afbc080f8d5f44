//! Query strings of forms: `a=b&c=d`, `+` for a space, percent-encoding.
//!
//! Knows no parameter.

use crate::percent_encoding::decoded;

/// Names and values in order; `Err` is a pair, unchanged, that is not percent-encoded UTF-8.
pub fn pairs(query: &str) -> impl Iterator<Item = Result<(String, String), &str>> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let plain = |text: &str| decoded(&text.replace('+', " "));
        plain(name).zip(plain(value)).ok_or(pair)
    })
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
}
