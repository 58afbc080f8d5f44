//! The most common passwords, embedded: what attackers try first.
//!
//! `common.txt` has one password on each line, in lower case, in the order of their bytes: all of 4
//! characters or more in `passwords.json` of the npm package `@zxcvbn-ts/language-common` 4.1.3,
//! copyright 2012-2016 Dan Wheeler and Dropbox, Inc. and 2021 @zxcvbn-ts, under the MIT licence
//! (`common.LICENSE.txt`). Shorter ones are left out, since no password may be that short.

use std::sync::LazyLock;

static LINES: LazyLock<Vec<&str>> = LazyLock::new(|| include_str!("common.txt").lines().collect());

/// The result of a look-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CommonMatch {
    /// It is a common password.
    Listed,
    /// A longer one begins with it.
    Begins,
    /// Neither is it a common password, nor does one begin with it.
    Unknown,
}

/// Looks up a text in lower case.
pub(super) fn look_up(text: &str) -> CommonMatch {
    let at = LINES.partition_point(|line| *line < text);
    match LINES.get(at) {
        Some(line) if *line == text => CommonMatch::Listed,
        Some(line) if line.starts_with(text) => CommonMatch::Begins,
        _ => CommonMatch::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::limits;

    #[test]
    fn the_list_is_long_enough_and_in_order() {
        assert!(LINES.is_sorted_by(|one, next| one < next), "sorted, and each once");
        assert!(LINES.iter().all(|line| line.len() >= 4 && line.is_ascii()));
        assert!(LINES.iter().all(|line| !line.contains(|c: char| c.is_ascii_uppercase())));
        let usable = LINES
            .iter()
            .filter(|line| line.len() >= limits::PASSWORD_CHARS_MIN_WITH_SECOND_FACTOR)
            .count();
        assert_eq!((LINES.len(), usable), (49_193, 17_950));
    }

    #[test]
    fn a_text_is_listed_or_begins_one_or_neither() {
        for line in LINES.iter() {
            assert_eq!(look_up(line), CommonMatch::Listed, "{line}");
        }
        assert_eq!(look_up("passwordpas"), CommonMatch::Begins);
        assert_eq!(look_up(""), CommonMatch::Begins);
        assert_eq!(look_up("correct horse"), CommonMatch::Unknown);
        assert_eq!(look_up("\u{10ffff}"), CommonMatch::Unknown);
    }
}
