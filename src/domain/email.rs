//! An e-mail address: as typed for sending, and a canonical key for comparing.
//!
//! Folds no Gmail dots and no plus parts; never asks a name server.

use std::fmt;

use super::failure::Failure;
use super::limits;

/// An address that may be compared and written to.
#[derive(Clone, PartialEq, Eq)]
pub struct Email {
    typed: Box<str>,
    key: Box<str>,
}

impl Email {
    /// Checks the shape and makes the canonical key: ASCII letters lower-cased.
    ///
    /// # Errors
    /// `Invalid` with what is wrong, when the text is not an address.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let refuse = |why: &str| {
            Err(Failure::invalid(
                "email",
                format!("`{}` is not an e-mail address: {why}", text.escape_default()),
            ))
        };
        if text.len() > limits::EMAIL_BYTES_MAX {
            return refuse("it is longer than 254 bytes");
        }
        if !text.is_ascii() {
            return refuse("use ASCII only, and the `xn--` form for the domain");
        }
        if text.chars().any(|c| c.is_ascii_control() || c == ' ' || "<>()[],;:\\\"".contains(c)) {
            return refuse("it has a space, a quote, a bracket or a control character");
        }
        let Some((local, domain)) = text.rsplit_once('@') else {
            return refuse("write it as `name@example.org`");
        };
        if local.is_empty() || local.len() > 64 || local.contains('@') {
            return refuse("the part before the `@` must have 1 to 64 characters and no other `@`");
        }
        if local.starts_with('.') || local.ends_with('.') || local.contains("..") {
            return refuse("dots before the `@` must stand between other characters");
        }
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if !domain.split('.').all(label) {
            return refuse("the domain after the `@` is not a host name");
        }
        Ok(Self { typed: text.into(), key: text.to_ascii_lowercase().into() })
    }

    /// The address as typed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.typed
    }

    /// The canonical key: two addresses are the same person's when their keys are equal.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.typed)
    }
}

/// Logs print only a masked address.
impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let domain = self.typed.rsplit_once('@').map_or("", |(_, domain)| domain);
        write!(f, "{}***@{domain}", self.typed.chars().next().unwrap_or('?'))
    }
}
