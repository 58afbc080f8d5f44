//! Invisible characters, which make one text look like another.
//!
//! Checks single characters; look-alike letters are not checked here.

/// Control, zero-width and bidi characters. The joiners U+200C and U+200D are allowed, since
/// Persian and Indic names need them.
pub(super) fn hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// The characters that are hidden in an address: the above, the joiners, and others that a domain
/// ignores (UTS 46 section 4, status `ignored`).
pub(super) fn hidden_in_address(c: char) -> bool {
    hidden(c)
        || matches!(
            c,
            '\u{ad}'
                | '\u{34f}'
                | '\u{115f}'
                | '\u{1160}'
                | '\u{17b4}'
                | '\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200c}'
                | '\u{200d}'
                | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{ffa0}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}
