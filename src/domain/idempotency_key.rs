//! An idempotency key: a repeated call with the same key takes effect once.
//!
//! Checks the syntax of a key; does not know the call.

use super::digest::Digest;
use super::failure::Failure;
use super::limits;

/// A key: 1 to 128 printable ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey(Box<str>);

impl IdempotencyKey {
    /// Checks the syntax.
    ///
    /// # Errors
    /// `Invalid` `idempotency_key` with the rule.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let fits = (1..=limits::IDEMPOTENCY_KEY_CHARS_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
        if fits { Ok(Self(text.into())) } else { Err(refused()) }
    }

    /// What is stored of it: a caller may choose a key that names somebody.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&[b"idempotency key", self.0.as_bytes()])
    }
}

/// The failure for an invalid or repeated key.
#[must_use]
pub fn refused() -> Failure {
    let most = limits::IDEMPOTENCY_KEY_CHARS_MAX;
    let text = format!(
        "`idempotency-key` must be given once, with 1 to {most} printable ASCII characters"
    );
    Failure { code: "idempotency_key", ..Failure::invalid("idempotency-key", text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_short_and_printable_and_only_its_digest_is_kept() {
        let longest = "x".repeat(limits::IDEMPOTENCY_KEY_CHARS_MAX);
        for text in ["a b", "to:ann@example.org", &longest] {
            let key = IdempotencyKey::parse(text).unwrap();
            assert!(!key.digest().hex().contains(text));
        }
        for text in ["", "a\tb", "\u{e4}", &format!("{longest}x"), &"x".repeat(1 << 20)] {
            assert_eq!(IdempotencyKey::parse(text).unwrap_err().code, "idempotency_key");
        }
    }
}
