//! Spelling suggestions: the nearest of the known names.
//!
//! Compares characters only.

/// The most similar known name, if it may be a typo.
#[must_use]
pub fn nearest<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let most = 1 + name.len() / 4;
    // Names of very different length are not similar; an untrusted name may be long.
    let near = known.into_iter().filter(|known| known.len().abs_diff(name.len()) <= most);
    let best = near.map(|known| (strsim::levenshtein(name, known), known)).min();
    best.filter(|(steps, _)| *steps <= most).map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_hand_is_near_and_another_word_is_not() {
        let known = ["docs:view", "docs:edit", "team:view"];
        assert_eq!(nearest("doc:view", known), Some("docs:view"));
        assert_eq!(nearest("docs:eidt", known), Some("docs:edit"));
        assert_eq!(nearest("fly", known), None);
    }
}
