//! Passwords: the rules for new ones, and how they are hashed.
//!
//! A password is normalized once, here, and is never printed. Rules apply when a password is
//! chosen; when one is only tried, size limits apply. Never reads the store, and does not know
//! whose password it is.

mod common_passwords;
mod hasher;
mod password_strength;
mod rules;

use std::sync::Arc;

use unicode_normalization::UnicodeNormalization as _;

use crate::domain::{Failure, limits, opaque_debug};

pub use hasher::{PasswordHasher, Verified};
pub use rules::{PasswordContext, chars_min, check};

/// A password, after NFKC (NIST SP 800-63B-4 section 3.1.1.2): the same keys give the same password
/// on every device.
#[derive(Clone)]
pub struct Password(Arc<str>);

impl Password {
    /// Checks the size and normalizes; nothing is truncated. Enough for a password that is tried;
    /// [`check`] is for one that is chosen.
    ///
    /// # Errors
    /// `Invalid`, when it is longer than 1 KiB, or than 256 characters once normalized.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        if text.len() > limits::PASSWORD_BYTES_MAX {
            return Err(too_long());
        }
        let text: Arc<str> = text.nfkc().collect::<String>().into();
        if text.chars().count() > limits::PASSWORD_CHARS_MAX {
            return Err(too_long());
        }
        Ok(Self(text))
    }

    /// Whether another text is the same password.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }

    fn as_str(&self) -> &str {
        &self.0
    }
}

fn too_long() -> Failure {
    Failure::invalid(
        "password",
        format!(
            "this password has more than {} characters: use a shorter one",
            limits::PASSWORD_CHARS_MAX
        ),
    )
}

// Not even its length is printed.
opaque_debug!(Password, "Password(***)");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_keys_give_the_same_password() {
        // A letter with its accent as one and as two code points; a ligature; full-width letters.
        let typed = ["caf\u{e9} of\u{fb01}ce ABC", "cafe\u{301} office \u{ff21}\u{ff22}\u{ff23}"];
        let [one, other] = typed.map(|text| Password::parse(text).unwrap());
        assert_eq!(one.as_str(), other.as_str());
        assert_eq!(Password::parse(" Aa ").unwrap().as_str(), " Aa ", "case and spaces count");
    }

    #[test]
    fn a_password_is_bounded_before_and_after_it_is_normalized() {
        assert!(Password::parse(&"\u{1f511}".repeat(256)).is_ok(), "256 of 4 bytes");
        assert!(Password::parse(&"a".repeat(257)).is_err());
        assert!(Password::parse(&"\u{1f511}".repeat(257)).is_err());
        // Three code points, five bytes, that become one.
        assert!(Password::parse(&"u\u{308}\u{304}".repeat(204)).is_ok());
        assert!(Password::parse(&"u\u{308}\u{304}".repeat(205)).is_err());
        // One code point that becomes eighteen.
        assert!(Password::parse(&"\u{fdfa}".repeat(14)).is_ok());
        assert!(Password::parse(&"\u{fdfa}".repeat(15)).is_err());
        assert!(Password::parse("").is_ok(), "it will match nothing");
    }

    #[test]
    fn a_password_never_prints() {
        assert_eq!(format!("{:?}", Password::parse("sesame").unwrap()), "Password(***)");
    }
}
