//! Case and accent folding of text, for searching.
//!
//! For comparing names only; never for display, and never where two names must stay distinct.

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::canonical_combining_class;

use super::email::Email;
use super::input_cleanup::pasted;

/// The text in compatibility decomposition (UAX #15), in lower case, without accents and the points
/// of Hebrew and Arabic. The marks of Indic, Thai and Japanese scripts are letters or change
/// letters, and are kept.
#[must_use]
pub fn folded(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.nfkd().filter(|char| !is_accent(*char)).flat_map(char::to_lowercase).collect()
}

/// Combining classes, as UAX #44 numbers them: 10 to 36 are the points of Hebrew, Arabic and
/// Syriac, from 200 on are marks above or below a letter.
fn is_accent(char: char) -> bool {
    matches!(canonical_combining_class(char), 10..=36 | 200..)
}

/// A search text: part of a name or an address.
#[derive(Clone, Debug)]
pub struct TextSearch(String);

impl TextSearch {
    /// From what was typed.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(folded(pasted(text)))
    }

    /// Whether the address or the name contains it.
    #[must_use]
    pub fn finds(&self, email: &Email, full_name: &str) -> bool {
        folded(email.key()).contains(&self.0) || folded(full_name).contains(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_accents_do_not_count() {
        for (text, key) in [
            ("Ann LEE", "ann lee"),
            ("Zo\u{eb}", "zoe"),
            ("Zoe\u{308}", "zoe"),
            ("\u{c5}ngstr\u{f6}m", "angstrom"),
            ("\u{130}pek", "ipek"),
            ("\u{ff21}\u{fb01}", "afi"),
            ("\u{5e9}\u{5c1}\u{5b8}\u{5dc}", "\u{5e9}\u{5dc}"),
            ("\u{645}\u{64f}\u{62d}\u{645}\u{651}\u{62f}", "\u{645}\u{62d}\u{645}\u{62f}"),
        ] {
            assert_eq!(folded(text), key, "{text}");
        }
    }

    #[test]
    fn marks_that_are_letters_stay() {
        // Devanagari: vowel signs, virama and nukta tell names apart.
        let (ravi, rava) = ("\u{930}\u{935}\u{93f}", "\u{930}\u{935}");
        assert_eq!(folded(ravi), ravi);
        assert_ne!(folded(ravi), folded(rava));
        let krishna = "\u{915}\u{943}\u{937}\u{94d}\u{923}";
        assert_eq!(folded(krishna), krishna);
        // Japanese: `ga` is not `ka`.
        assert_ne!(folded("\u{304c}"), folded("\u{304b}"));
    }

    #[test]
    fn a_part_of_name_or_address_is_found() {
        let email = Email::parse("Zoe.K@example.org").unwrap();
        let finds = |text| TextSearch::new(text).finds(&email, "Zo\u{eb} K\u{f6}nig");
        assert!(finds("ZOE ko") && finds("\u{f6}nig") && finds(" .k@EX") && finds(""));
        assert!(!finds("zoek") && !finds("koenig"));
    }
}
