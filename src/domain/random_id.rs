//! Generated ids: a letter for the kind, and 128 random bits.
//!
//! Identifiers, not secrets.

/// Crockford's alphabet, lower case: without letters that look like digits.
const DIGITS: &str = "0123456789abcdefghjkmnpqrstvwxyz";
/// 5 bits for each digit.
const DIGITS_COUNT: usize = 26;

/// The letter and the digits of 16 random bytes.
pub(super) fn spell(kind: char, bytes: [u8; 16]) -> String {
    let mut rest = u128::from_be_bytes(bytes);
    let mut text = String::with_capacity(DIGITS_COUNT + 1);
    text.push(kind);
    for _ in 0..DIGITS_COUNT {
        let digit = usize::try_from(rest & 31).unwrap_or(0);
        text.push(DIGITS.as_bytes().get(digit).copied().map_or('0', char::from));
        rest >>= 5;
    }
    text
}

/// Whether a text has the form of an id of this kind.
pub(super) fn is_spelled(kind: char, text: &str) -> bool {
    text.strip_prefix(kind).is_some_and(|digits| {
        digits.len() == DIGITS_COUNT && digits.chars().all(|digit| DIGITS.contains(digit))
    })
}

/// A type of such ids.
macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Box<str>);

        impl $name {
            /// A new id from 16 random bytes.
            #[must_use]
            pub fn from_random(bytes: [u8; 16]) -> Self {
                Self($crate::domain::random_id::spell($kind, bytes).into())
            }

            /// Parses an id.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                $crate::domain::random_id::is_spelled($kind, text).then(|| Self(text.into()))
            }
        }

        $crate::domain::text_id::text_id!($name);
    };
}

pub(super) use random_id;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_spelled_with_its_kind() {
        let id = spell('i', [9; 16]);
        assert!(is_spelled('i', &id) && !is_spelled('m', &id));
        for text in
            ["", "i", id.get(1..).unwrap(), &format!("{id}0"), "i/../xxxxxxxxxxxxxxxxxxxxxx"]
        {
            assert!(!is_spelled('i', text), "{text}");
        }
    }
}
