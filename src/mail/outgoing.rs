//! A mail that is to go out: to whom, and what it is about, with every fact that it says.

use std::fmt;

use crate::domain::{AddressSide, Email, Timestamp, Token, TwoStepEvent};

/// The link of a mail, which works once.
#[derive(Clone, PartialEq, Eq)]
pub struct ActionLink {
    /// The whole URL, with the token in its fragment.
    pub url: String,
    /// The token, for pasting.
    pub code: Token,
    /// From when on it does not open.
    pub expires: Timestamp,
}

/// A link is a secret: it is never printed.
impl fmt::Debug for ActionLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ActionLink(..)")
    }
}

/// The content of a mail, with every fact that it states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MailContent {
    /// The link of an invite, to the invitee.
    Invite {
        /// The account's name.
        account_name: String,
        /// The inviter, if it is a person.
        inviter_name: Option<String>,
        /// The inviter's address.
        inviter_email: Option<Email>,
        /// The role's title.
        role_title: String,
        /// One line on what the role can do; may be empty.
        role_summary: String,
        /// The link to the page that accepts.
        link: ActionLink,
    },
    /// A request for a new link by the holder of a dead one; to the inviter.
    InviteWanted {
        /// The account's name.
        account_name: String,
        /// The invitee's name.
        invitee_name: String,
        /// The invitee's address.
        invitee_email: Email,
        /// The URL of the page where it can be resent.
        team_link: String,
    },
    /// The link to a new password, to the member.
    PasswordReset {
        /// The account's name.
        account_name: String,
        /// The link to the page for the new password.
        link: ActionLink,
    },
    /// The password was changed, to the member.
    PasswordChanged {
        /// The account's name.
        account_name: String,
        /// When.
        at: Timestamp,
    },
    /// The link that confirms a new address, to the new address or to the old one.
    EmailChange {
        /// The account's name.
        account_name: String,
        /// The new address.
        new_email: Email,
        /// Whom it goes to.
        end: AddressSide,
        /// The link to the page that confirms.
        link: ActionLink,
    },
    /// The address was changed, to the old address.
    EmailChanged {
        /// The account's name.
        account_name: String,
        /// The new address.
        new_email: Email,
        /// When.
        at: Timestamp,
    },
    /// Something happened to the second factor, to the member.
    TwoStep {
        /// The account's name.
        account_name: String,
        /// What.
        news: TwoStepEvent,
        /// When.
        at: Timestamp,
    },
    /// A test that somebody asked for.
    Test,
}

/// One mail, ready to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutgoingMail {
    /// Whom it goes to.
    pub to: Email,
    /// The recipient's name; may be empty.
    pub to_name: String,
    /// The `Message-ID` without angle brackets; the same for every attempt.
    pub message_id: String,
    /// The bounce address; the sender's own address if there is none.
    pub return_path: Option<Email>,
    /// The `Date`; also the same for every attempt.
    pub date: Timestamp,
    /// What it says.
    pub content: MailContent,
}
