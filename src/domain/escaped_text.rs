//! Escaping of untrusted text, such as a file name, for output.
//!
//! A name may contain any character: one that moves the cursor or begins a line would let a file
//! forge lines of a log or a terminal.

/// The text with invisible and ambiguous characters escaped.
#[must_use]
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_printable(c) { out.push(c) } else { out.extend(c.escape_default()) }
    }
    out
}

/// Whether all characters of a file name are visible. One that is not UTF-8 was replaced.
#[must_use]
pub fn is_plain(name: &str) -> bool {
    name.chars().all(|c| is_printable(c) && c != char::REPLACEMENT_CHARACTER)
}

/// Neither a control character nor one that only affects the display of others.
#[must_use]
pub fn is_printable(c: char) -> bool {
    let directs = matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}');
    !c.is_control() && !directs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_shows_nothing_is_escaped_and_letters_are_not() {
        assert_eq!(printable("a\nb\u{1b}[2J\t\u{85}"), "a\\nb\\u{1b}[2J\\t\\u{85}");
        assert_eq!(printable("x\u{202e}radec.y\u{2028}"), "x\\u{202e}radec.y\\u{2028}");
        for name in ["rules/tenancy.cedar", "r\u{e9}gles \u{5b57}.cedar", "e\u{301}'s \"a\\b\""] {
            assert_eq!(printable(name), name);
            assert!(is_plain(name), "{name}");
        }
        for name in ["a\n", "a\u{1b}", "a\u{fffd}", "\u{feff}a"] {
            assert!(!is_plain(name), "{name:?}");
        }
    }
}
