//! The id of a role. The policy folder defines which roles exist.

use super::escaped_text::printable;
use super::failure::Failure;
use super::limits;
use super::text_id::text_id;

/// The id of a role, the name of its policy file: 1 to 64 of `a-z 0-9 _ -`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoleId(Box<str>);

impl RoleId {
    /// Checks the syntax.
    ///
    /// # Errors
    /// `Invalid` with the rule, when the text is not a role's name.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let fits = (1..=limits::ROLE_CHARS_MAX).contains(&text.len())
            && text
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-');
        if fits {
            return Ok(Self(text.into()));
        }
        Err(Failure::invalid(
            "role",
            format!(
                "`{}` is not a role's name: use 1 to {} of `a-z`, `0-9`, `_` and `-`; `kwic-team role list` shows the roles",
                printable(text),
                limits::ROLE_CHARS_MAX
            ),
        ))
    }
}

text_id!(RoleId);
