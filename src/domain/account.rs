//! An account: one tenant, named by a slug.
//!
//! Checks the syntax of a slug; does not know whether the account exists.

use std::time::Duration;

use super::escaped_text::printable;
use super::failure::Failure;
use super::input_cleanup::pasted;
use super::limits;
use super::revision_and_timestamp::{Timestamp, Version};
use super::text_id::text_id;

/// The name of an account in addresses, decisions and commands: 1 to 63 characters of
/// `a-z 0-9 -`, beginning and ending with a letter or digit.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountSlug(Box<str>);

impl AccountSlug {
    /// Checks the syntax.
    ///
    /// # Errors
    /// `Invalid` with the rule, when the text is not a slug.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let edge =
            |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        let fits = (1..=limits::ACCOUNT_SLUG_CHARS_MAX).contains(&text.len())
            && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
            && edge(text.chars().next())
            && edge(text.chars().last());
        if fits {
            return Ok(Self(text.into()));
        }
        let what = match text {
            "" => "the short name of the account is empty".to_owned(),
            _ => format!("`{}` cannot be the short name of an account", printable(text)),
        };
        let most = limits::ACCOUNT_SLUG_CHARS_MAX;
        Err(Failure::invalid(
            "account_slug",
            format!(
                "{what}: use 1 to {most} lowercase letters, digits and dashes, with no dash at the beginning or end"
            ),
        ))
    }

    /// Checks the spelling of what a person types for a new account: white space at the ends and
    /// capitals do not count.
    ///
    /// # Errors
    /// `Invalid` with the rule.
    pub fn typed(text: &str) -> Result<Self, Failure> {
        Self::parse(&pasted(text).to_ascii_lowercase())
    }

    /// The same for an account that there is: who signs in cannot choose the name.
    ///
    /// # Errors
    /// `Invalid` with what a short name looks like, and whom to ask.
    pub fn named(text: &str) -> Result<Self, Failure> {
        Self::typed(text).map_err(|failure| match pasted(text) {
            "" => Failure::invalid("account_slug", "enter the short name of your team's account"),
            typed if typed.chars().count() > limits::ACCOUNT_SLUG_CHARS_MAX => failure,
            typed => Failure::invalid(
                "account_slug",
                format!(
                    "there is no account `{}`: enter its short name, such as `acme`, or ask an administrator of your team for it",
                    printable(typed)
                ),
            ),
        })
    }
}

text_id!(AccountSlug);

/// One tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its short name; never changes.
    pub slug: AccountSlug,
    /// The display name.
    pub name: String,
    /// When it was created.
    pub created: Timestamp,
    /// When its invites expire; `None` for `invites.lifetime` of the configuration.
    pub invite_lifetime: Option<Duration>,
    /// Whether everybody needs a second factor to sign in.
    pub two_step_enforced: bool,
    /// Increases with every change.
    pub version: Version,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_type_is_trimmed_and_in_small_letters() {
        for typed in ["acme", "ACME", " Acme\u{a0}", "\u{feff}aCmE\n"] {
            assert_eq!(AccountSlug::named(typed).unwrap().as_str(), "acme", "{typed:?}");
            assert_eq!(AccountSlug::typed(typed).unwrap().as_str(), "acme", "{typed:?}");
        }
        // What a program sends or a record holds is spelled as it is.
        assert!(AccountSlug::parse("ACME").is_err());
    }

    #[test]
    fn a_name_that_no_account_can_have_is_told_by_who_reads_it() {
        let sign_in = AccountSlug::named(" Acme Inc ").unwrap_err().public;
        assert!(
            sign_in.contains("`Acme Inc`") && sign_in.contains("short name, such as `acme`"),
            "{sign_in}"
        );
        assert!(
            sign_in.contains("ask an administrator") && !sign_in.contains("1 to 63"),
            "{sign_in}"
        );
        assert!(AccountSlug::named("").unwrap_err().public.contains("enter the short name"));
        let set_up = AccountSlug::typed("Acme Inc").unwrap_err().public;
        assert!(set_up.contains(": use 1 to 63 lowercase letters"), "{set_up}");
    }
}
