//! A member: a person with a login on one account.
//!
//! Checks the syntax of ids and names; does not know which roles exist.

use super::account::AccountSlug;
use super::email::Email;
use super::escaped_text::printable;
use super::failure::Failure;
use super::input_cleanup::pasted;
use super::invisible_characters::hidden;
use super::opaque_debug::opaque_debug;
use super::revision_and_timestamp::{Timestamp, Version};
use super::role::RoleId;
use super::text_id::text_id;
use super::worded_enum::worded;
use super::{limits, random_id};

/// The code of a failure about a member that there is not.
pub const UNKNOWN: &str = "unknown_member";

/// Identifies a member: 1 to 128 printable ASCII characters without space and `/?#%`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(Box<str>);

impl MemberId {
    /// Checks the syntax.
    ///
    /// # Errors
    /// `Invalid` with the rule, when the text is not an id.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let fits = (1..=limits::MEMBER_ID_CHARS_MAX).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_graphic() && !b"/?#%".contains(&b));
        if fits {
            return Ok(Self(text.into()));
        }
        Err(Failure::invalid(
            "id",
            format!(
                "`{}` is not a member id: use 1 to {} printable ASCII characters without space and `/?#%`",
                printable(text),
                limits::MEMBER_ID_CHARS_MAX
            ),
        ))
    }

    /// A new id from 16 random bytes: `m` and 26 base-32 digits.
    #[must_use]
    pub fn from_random(bytes: [u8; 16]) -> Self {
        Self(random_id::spell('m', bytes).into())
    }
}

impl std::borrow::Borrow<str> for MemberId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

text_id!(MemberId);

/// A first or last name: at most 64 characters, trimmed, without control, zero-width and bidi
/// characters. A last name may be empty: many people have one name.
#[derive(Clone, PartialEq, Eq)]
pub struct Name(Box<str>);

impl Name {
    /// Checks the syntax; `field` names the input in the error.
    ///
    /// # Errors
    /// `Invalid` with the rule, when the text cannot be a name.
    pub fn parse(field: &'static str, text: &str) -> Result<Self, Failure> {
        match pasted(text) {
            "" => Err(Failure::invalid(field, format!("`{field}` is empty: write a name"))),
            text => Self::checked(field, text),
        }
    }

    /// The last name of a person. Empty if there is none, which may be written as `-`.
    ///
    /// # Errors
    /// `Invalid` with the rule, when the text cannot be a name.
    pub fn last(text: &str) -> Result<Self, Failure> {
        match pasted(text) {
            "-" | "\u{2013}" | "\u{2014}" | "." => Ok(Self("".into())),
            text => Self::checked("last_name", text),
        }
    }

    fn checked(field: &'static str, text: &str) -> Result<Self, Failure> {
        if text.chars().count() > limits::NAME_CHARS_MAX {
            return Err(Failure::invalid(
                field,
                format!(
                    "`{field}` is longer than {} characters: shorten it",
                    limits::NAME_CHARS_MAX
                ),
            ));
        }
        if text.chars().any(hidden) {
            return Err(Failure::invalid(
                field,
                format!("`{field}` holds a control or invisible character: remove it"),
            ));
        }
        if text.contains("://") {
            return Err(Failure::invalid(
                field,
                format!("`{field}` holds a web address: write a name"),
            ));
        }
        Ok(Self(text.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

// Names are personal: they are not logged.
opaque_debug!(Name, "Name(***)");

/// A person's full name; the last name may be empty.
#[must_use]
pub fn full_name(first: &str, last: &str) -> String {
    [first, last].join(" ").trim_end().to_owned()
}

worded! {
    /// Whether a member may sign in.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub enum Status {
        /// May do what the role allows.
        Active = "active",
        /// Cannot sign in or manage anything until restored; the policies decide the rest.
        #[default]
        Suspended = "suspended",
    }
}

/// A person with a login on one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Unique in the whole store.
    pub id: MemberId,
    /// The account of the login.
    pub account: AccountSlug,
    /// Unique in the account.
    pub email: Email,
    /// First name.
    pub first_name: Name,
    /// Last name.
    pub last_name: Name,
    /// The one role.
    pub role: RoleId,
    /// Active or suspended.
    pub status: Status,
    /// Whether a second factor is set up.
    pub two_step: bool,
    /// When the person became a member.
    pub joined: Timestamp,
    /// Increases with every change.
    pub version: Version,
}

impl Member {
    /// Both names, or the one.
    #[must_use]
    pub fn full_name(&self) -> String {
        full_name(self.first_name.as_str(), self.last_name.as_str())
    }

    /// The part of this member that decisions read.
    #[must_use]
    pub fn view(&self) -> MemberView<'_> {
        MemberView {
            id: self.id.as_str(),
            account: self.account.as_str(),
            role: self.role.as_str(),
            active: self.status == Status::Active,
            texts: MemberTexts::Apart {
                email_key: self.email.key(),
                first_name: self.first_name.as_str(),
                last_name: self.last_name.as_str(),
            },
            two_step: self.two_step,
            joined: self.joined,
        }
    }
}

/// The part of a member that decisions read, borrowed from any storage.
#[derive(Clone, Copy, Debug)]
pub struct MemberView<'a> {
    /// Unique in the whole store.
    pub id: &'a str,
    /// The account's slug.
    pub account: &'a str,
    /// The role's name.
    pub role: &'a str,
    /// False while suspended.
    pub active: bool,
    /// Address and names.
    pub texts: MemberTexts<'a>,
    /// Whether a second factor is set up.
    pub two_step: bool,
    /// When the person became a member.
    pub joined: Timestamp,
}

/// The part of a member that most decisions need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberAccess<'a> {
    /// The account's slug.
    pub account: &'a str,
    /// The role's name.
    pub role: &'a str,
    /// False while suspended.
    pub active: bool,
}

impl<'a> MemberView<'a> {
    /// The member's state.
    #[must_use]
    pub const fn access(&self) -> MemberAccess<'a> {
        MemberAccess { account: self.account, role: self.role, active: self.active }
    }
}

/// The texts of a member. Most decisions read none of them, and even splitting them would read
/// memory: with a million members that is one more cache miss.
#[derive(Clone, Copy, Debug)]
pub enum MemberTexts<'a> {
    /// Each separately.
    Apart {
        /// The canonical key of the address.
        email_key: &'a str,
        /// First name.
        first_name: &'a str,
        /// Last name.
        last_name: &'a str,
    },
    /// Concatenated, in the same order.
    Joined {
        /// All three.
        text: &'a str,
        /// Where the key of the address ends, in bytes.
        email_end: u16,
        /// Where the given name ends, in bytes.
        first_name_end: u16,
    },
}

impl<'a> MemberTexts<'a> {
    /// The canonical key of the address.
    #[must_use]
    pub fn email_key(self) -> &'a str {
        match self {
            Self::Apart { email_key, .. } => email_key,
            Self::Joined { text, email_end, .. } => cut(text, 0, email_end.into()),
        }
    }

    /// The first name.
    #[must_use]
    pub fn first_name(self) -> &'a str {
        match self {
            Self::Apart { first_name, .. } => first_name,
            Self::Joined { text, email_end, first_name_end } => {
                cut(text, email_end.into(), first_name_end.into())
            }
        }
    }

    /// The last name.
    #[must_use]
    pub fn last_name(self) -> &'a str {
        match self {
            Self::Apart { last_name, .. } => last_name,
            Self::Joined { text, first_name_end, .. } => {
                cut(text, first_name_end.into(), text.len())
            }
        }
    }
}

fn cut(text: &str, from: usize, to: usize) -> &str {
    text.get(from..to).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_may_have_one_name() {
        for typed in ["", " ", "-", " \u{2013}", "\u{200e}-"] {
            assert_eq!(Name::last(typed).unwrap().as_str(), "", "{typed:?}");
        }
        assert_eq!(Name::last("\u{feff}Lee-Ray ").unwrap().as_str(), "Lee-Ray");
        assert!(Name::last("L\u{202e}ee").is_err());
        assert_eq!(full_name("Suharto", ""), "Suharto");
        assert_eq!(full_name("Ann", "Lee"), "Ann Lee");
        for typed in ["", " \u{200e} "] {
            assert!(Name::parse("first_name", typed).unwrap_err().public.contains("is empty"));
        }
        assert_eq!(Name::parse("first_name", "\u{202a}Ann\u{202c}").unwrap().as_str(), "Ann");
    }
}
