//! Normalization of typed and pasted input.
//!
//! Removes what copying and other input methods add, and nothing that could make one name or
//! address equal to another. Knows no field.

use unicode_normalization::UnicodeNormalization as _;

/// A text without the white space, direction marks, byte order mark or zero-width spaces at its
/// ends that copying may add. Inside they stay, and are refused later.
#[must_use]
pub fn pasted(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || is_mark(c))
}

/// Invisible marks that no script needs at the end of a word.
fn is_mark(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// A code of letters and digits: full-width ones and digits of other scripts as ASCII; without
/// white space, marks and dashes.
#[must_use]
pub fn code(text: &str) -> String {
    let meant = text.chars().filter(|c| !c.is_whitespace() && !is_mark(*c) && !is_dash(*c));
    meant.nfkc().map(digit).collect()
}

/// A secret in base64url, whose hyphens are significant: with dashes of word processors converted
/// to hyphens, without white space and marks.
#[must_use]
pub fn secret(text: &str) -> String {
    let meant = text.chars().filter(|c| !c.is_whitespace() && !is_mark(*c));
    meant.nfkc().map(|c| if is_dash(c) { '-' } else { c }).collect()
}

/// Hyphen, soft hyphen, and everything from the non-breaking hyphen to the minus sign.
fn is_dash(c: char) -> bool {
    matches!(
        c,
        '-' | '\u{ad}' | '\u{2010}'
            ..='\u{2015}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' | '\u{ff0d}'
    )
}

/// The zeros of the digits of scripts (Unicode's general category Nd, those on keyboards).
const ZEROS: [u32; 17] = [
    0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xe50,
    0xed0, 0xf20, 0x1040, 0x17e0,
];

/// A digit of any script as ASCII; other characters unchanged.
fn digit(c: char) -> char {
    let value = ZEROS.iter().find_map(|zero| u32::from(c).checked_sub(*zero).filter(|it| *it < 10));
    value.and_then(|value| char::from_digit(value, 10)).unwrap_or(c)
}

/// U+FEFF as UTF-8, which editors and spreadsheets write at the start of a file.
pub const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

/// Bytes without a byte order mark at the start. Line numbers stay the same.
#[must_use]
pub fn without_byte_order_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(&BYTE_ORDER_MARK).unwrap_or(bytes)
}

/// A whole file as text, without a byte order mark.
///
/// # Errors
/// A sentence that follows the file's name, and says what its encoding is where that is known.
pub fn text(bytes: &[u8]) -> Result<&str, &'static str> {
    if is_utf16(bytes) {
        return Err("is UTF-16 text: save it as UTF-8");
    }
    std::str::from_utf8(without_byte_order_mark(bytes))
        .map_err(|_| "is not UTF-8 text: save it as UTF-8")
}

/// Whether a file seems to be UTF-16: by its byte order mark, or by zero bytes between the first
/// letters.
#[must_use]
pub fn is_utf16(bytes: &[u8]) -> bool {
    matches!(bytes, [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, 1..=0xff, ..] | [1..=0xff, 0, ..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read_without_its_byte_order_mark_and_other_encodings_are_named() {
        assert_eq!(text(b"\xef\xbb\xbfa\n"), Ok("a\n"));
        assert_eq!(text(b"a"), Ok("a"));
        assert_eq!(text(b""), Ok(""));
        for utf16 in [&b"\xff\xfea\0"[..], b"\xfe\xff\0a", b"a\0", b"\0a"] {
            assert!(text(utf16).unwrap_err().contains("UTF-16"), "{utf16:?}");
        }
        assert!(text(b"\xe4").unwrap_err().contains("is not UTF-8"));
        assert_eq!(without_byte_order_mark(b"\xef\xbbx"), b"\xef\xbbx");
    }

    #[test]
    fn marks_go_at_the_ends_and_stay_within() {
        for mark in
            ['\u{200e}', '\u{200f}', '\u{61c}', '\u{feff}', '\u{200b}', '\u{202a}', '\u{2068}']
        {
            assert_eq!(pasted(&format!(" {mark}ann\u{202c} {mark}\u{a0}")), "ann", "{mark:?}");
            let within = format!("a{mark}n");
            assert_eq!(pasted(&within), within);
        }
        // A joiner belongs to a word.
        assert_eq!(pasted("\u{645}\u{200c}"), "\u{645}\u{200c}");
    }

    #[test]
    fn a_code_is_the_same_in_every_script_and_with_every_dash() {
        for typed in [
            "123 456",
            "123\u{2013}456",
            "123\u{a0}456",
            "\u{200e}123\u{202f}456\u{200f}",
            "\u{ff11}\u{ff12}\u{ff13}\u{3000}\u{ff14}\u{ff15}\u{ff16}",
            "\u{661}\u{662}\u{663}\u{664}\u{665}\u{666}",
            "\u{6f1}\u{6f2}\u{6f3}\u{6f4}\u{6f5}\u{6f6}",
            "\u{967}\u{968}\u{969}\u{96a}\u{96b}\u{96c}",
        ] {
            assert_eq!(code(typed), "123456", "{typed}");
        }
        assert_eq!(code("\u{ff2d}\u{ff3a}xw\u{2212}6YTB"), "MZxw6YTB");
        assert_eq!(secret("\u{feff}aB\u{2013}c_\n1\u{ff12} "), "aB-c_12");
    }
}
