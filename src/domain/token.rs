//! Tokens of links and sessions, shown once; and their hashes, which are stored.
//!
//! A token is never printed: no `Display`, and a `Debug` without content. Only the code that puts
//! it into a mail, a response or a cookie calls [`Token::expose`].

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::digest::Digest;
use super::input_cleanup;
use super::opaque_debug::opaque_debug;

/// How many characters a token has: 32 bytes in base64url (RFC 4648 section 5) without padding.
const CHARS: usize = 43;

/// A secret token of 256 bits.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Box<str>);

impl Token {
    /// The token of 32 random bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(URL_SAFE_NO_PAD.encode(bytes).into())
    }

    /// Parses a presented token; `None` if it cannot be one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        // A cookie or a header may have any text; pasted text has little more than the token.
        if text.len() > 4 * CHARS {
            return None;
        }
        let text = input_cleanup::secret(text);
        let fits = text.len() == CHARS && URL_SAFE_NO_PAD.decode(&text).is_ok();
        fits.then(|| Self(text.into()))
    }

    /// The text, for the one place that hands it out.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The hash, which is stored and looked up.
    #[must_use]
    pub fn hash(&self) -> TokenHash {
        TokenHash(Digest::of(&[b"token", self.0.as_bytes()]))
    }
}

opaque_debug!(Token, "Token(..)");

/// SHA-256 of a token. A token of 256 bits needs no slow hash (ASVS 5.0, 6.5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenHash(pub Digest);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back_and_never_prints() {
        let token = Token::from_bytes([7; 32]);
        assert_eq!(token.expose().len(), CHARS);
        assert_eq!(Token::parse(token.expose()), Some(token.clone()));
        assert_eq!(Token::parse(&format!(" {}\n", token.expose())), Some(token.clone()));
        let made = |digit: char| Token::from_bytes([if digit == '-' { 0xfb } else { 7 }; 32]);
        let dashed = made('-').expose().replace('-', "\u{2013}");
        assert!(dashed.contains('\u{2013}'));
        assert_eq!(Token::parse(&format!("\u{200e}{dashed}\u{feff}")), Some(made('-')));
        assert!(!format!("{token:?}").contains(token.expose()));
    }

    #[test]
    fn what_cannot_be_a_token_is_none() {
        let token = Token::from_bytes([7; 32]);
        for text in [
            "",
            "x",
            token.expose().get(1..).unwrap(),
            &format!("{}A", token.expose()),
            &"*".repeat(43),
        ] {
            assert_eq!(Token::parse(text), None, "{text}");
        }
    }
}
