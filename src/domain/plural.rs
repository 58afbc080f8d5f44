//! A number with its noun, singular or plural.

/// `1 letter`, `0 letters`, `7 letters`. A value that is not a number counts as a very large one.
#[must_use]
pub fn plural(count: impl TryInto<u64>, one: &str, more: &str) -> String {
    match count.try_into().unwrap_or(u64::MAX) {
        1 => format!("1 {one}"),
        count => format!("{count} {more}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_has_a_noun_of_its_own() {
        let letters = |count: usize| plural(count, "message waits", "messages wait");
        assert_eq!(
            [letters(0), letters(1), letters(2)],
            ["0 messages wait", "1 message waits", "2 messages wait"]
        );
        assert_eq!(plural(1_u64, "entry", "entries"), "1 entry");
    }
}
