//! The text of each mail.
//!
//! Names, account names and the texts of roles are untrusted: they are sanitized before they are
//! used. A mail has one link at most, and its subject never a token.

use super::sanitize;
use crate::clock::written_out;
use crate::domain::{AddressSide, Email, Timestamp, Token, TwoStepEvent, limits, opaque_debug};

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

// A link is a secret: it is never printed.
opaque_debug!(ActionLink, "ActionLink(..)");

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

/// The parts of a mail, before they are rendered as text and HTML.
pub(super) struct MailTexts {
    pub(super) subject: String,
    /// What happened, and what it means.
    pub(super) paragraphs: Vec<String>,
    /// The label of the link, and the link.
    pub(super) link: Option<(&'static str, String)>,
    /// The token, and when it expires.
    pub(super) code: Option<(String, String)>,
    /// What to do if it was not expected.
    pub(super) unexpected: &'static str,
}

impl MailTexts {
    pub(super) fn of(content: &MailContent) -> Self {
        match content {
            MailContent::Invite {
                account_name,
                inviter_name,
                inviter_email,
                role_title,
                role_summary,
                link,
            } => {
                let who = inviter(inviter_name.as_deref(), inviter_email.as_ref());
                let account = account(account_name);
                Self::new(
                    subject("Join the team of ", account_name),
                    vec![
                        format!("{who} to the team of {account} on KWIC."),
                        role(role_title, role_summary),
                    ],
                    "Not expecting this? Ignore this mail. Nobody joins without the link.",
                )
                .with(link, "To join, open this link and choose a password:")
            }
            MailContent::InviteWanted { account_name, invitee_name, invitee_email, team_link } => {
                Self::invite_wanted(account_name, invitee_name, invitee_email, team_link)
            }
            MailContent::PasswordReset { account_name, link } => Self::new(
                subject("A new password for ", account_name),
                vec![format!(
                    "Somebody asked for a new password for your sign-in to {} on KWIC.",
                    account(account_name)
                )],
                "Not expecting this? Ignore this mail. Your password stays as it is.",
            )
            .with(link, "To choose a new password, open this link:"),
            MailContent::PasswordChanged { account_name, at } => Self::new(
                subject("Your password was changed: ", account_name),
                vec![format!(
                    "The password of your sign-in to {} on KWIC was changed on {}. \
                     You were signed out on all other devices.",
                    account(account_name),
                    written_out(*at),
                )],
                "Was it not you? Ask for a new password on the sign-in page now, and tell an \
                 administrator of your team.",
            ),
            MailContent::EmailChange { account_name, new_email, end, link } => {
                Self::email_change(account_name, new_email, *end)
                    .with(link, "To confirm, open this link:")
            }
            MailContent::EmailChanged { account_name, new_email, at } => Self::new(
                subject("Your address was changed: ", account_name),
                vec![format!(
                    "The address of your sign-in to {} on KWIC was changed to {} on {}. \
                     You will get no more mail here.",
                    account(account_name),
                    sanitize::address(new_email),
                    written_out(*at),
                )],
                "Was it not you? Tell an administrator of your team now.",
            ),
            MailContent::TwoStep { account_name, news, at } => {
                Self::two_step(account_name, *news, *at)
            }
            MailContent::Test => Self::new(
                "A test of the mail of KWIC Team".to_owned(),
                vec![
                    "This mail was sent from KWIC Team to check that mail arrives. It did."
                        .to_owned(),
                ],
                "Not expecting this? Ignore this mail.",
            ),
        }
    }

    fn two_step(account_name: &str, news: TwoStepEvent, at: Timestamp) -> Self {
        let (title, told) = match news {
            TwoStepEvent::On => (
                "Two-step verification is on: ",
                "An authenticator app was set up for your sign-in to",
            ),
            TwoStepEvent::Off => (
                "Two-step verification is off: ",
                "Two-step verification was turned off for your sign-in to",
            ),
            TwoStepEvent::Reset => (
                "Two-step verification was reset: ",
                "An administrator reset two-step verification for your sign-in to",
            ),
            TwoStepEvent::NewCodes => (
                "New recovery codes: ",
                "New recovery codes were created, and the previous ones stopped working, for your sign-in to",
            ),
            TwoStepEvent::CodeUsed => (
                "A recovery code was used: ",
                "A recovery code, which works once, was used for your sign-in to",
            ),
            TwoStepEvent::Guessed => (
                "Somebody knows your password: ",
                "Somebody who knows your password entered many wrong codes at your sign-in to",
            ),
            TwoStepEvent::PasskeyAdded => {
                ("A passkey was added: ", "A passkey was added to your sign-in to")
            }
            TwoStepEvent::PasskeyRemoved => {
                ("A passkey was removed: ", "A passkey was removed from your sign-in to")
            }
            TwoStepEvent::PasskeyCopied => (
                "A passkey may have been copied: ",
                "A passkey that may be a copy of yours was refused at your sign-in to",
            ),
        };
        let paragraph =
            format!("{told} {} on KWIC, on {}.", account(account_name), written_out(at));
        let advice = match news {
            TwoStepEvent::Guessed => {
                "Was it not you? Nobody got in. Choose a new password now: the sign-in page sends you a link."
            }
            TwoStepEvent::PasskeyCopied => {
                "Nobody got in with it. Sign in with a code, remove the passkey, and choose a new \
                 password: somebody knows yours."
            }
            TwoStepEvent::Reset => {
                "Did you not ask for this? Choose a new password now, with a link from the sign-in page, and tell an administrator of your team."
            }
            _ => {
                "Was it not you? Choose a new password now, with a link from the sign-in page, and tell an administrator of your team."
            }
        };
        Self::new(subject(title, account_name), vec![paragraph], advice)
    }

    fn invite_wanted(account_name: &str, name: &str, email: &Email, team_link: &str) -> Self {
        let words = Self::new(
            subject("A new link was requested: ", account_name),
            vec![format!(
                "{} ({}) opened an invitation to the team of {} on KWIC that is no longer valid, \
                 and asks for a new link.",
                person(name),
                sanitize::address(email),
                account(account_name),
            )],
            "Not expecting this? Ignore this mail. Nothing is sent unless you send it.",
        );
        let link = ("To resend the invitation, open this page:", sanitize::url(team_link));
        Self { link: Some(link), ..words }
    }

    fn email_change(account_name: &str, new_email: &Email, end: AddressSide) -> Self {
        let (which, unexpected) = match end {
            AddressSide::Old => (
                "your current address",
                "Not expecting this? Do not open the link, and choose a new password: somebody \
                 may know yours.",
            ),
            AddressSide::New => (
                "your new address",
                "Not expecting this? Ignore this mail. Nothing changes without the link.",
            ),
        };
        Self::new(
            subject("Confirm the new address: ", account_name),
            vec![
                format!(
                    "The address of a sign-in to {} on KWIC is to be changed to {}.",
                    account(account_name),
                    sanitize::address(new_email),
                ),
                format!(
                    "This mail was sent to {which}. Nothing changes until both addresses are confirmed."
                ),
            ],
            unexpected,
        )
    }

    fn new(subject: String, paragraphs: Vec<String>, unexpected: &'static str) -> Self {
        Self { subject, paragraphs, link: None, code: None, unexpected }
    }

    fn with(self, link: &ActionLink, what_for: &'static str) -> Self {
        Self {
            link: Some((what_for, sanitize::url(&link.url))),
            code: Some((link.code.expose().to_owned(), written_out(link.expires))),
            ..self
        }
    }
}

/// A subject with an account's name, which is truncated if necessary.
fn subject(before: &str, account_name: &str) -> String {
    const AFTER: &str = " on KWIC";
    let room = limits::MAIL_SUBJECT_CHARS_MAX.saturating_sub(before.len() + AFTER.len());
    format!("{before}{}{AFTER}", sanitize::name(account_name, room))
}

fn account(name: &str) -> String {
    sanitize::name(name, limits::ACCOUNT_NAME_CHARS_MAX)
}

fn person(name: &str) -> String {
    sanitize::name(name, limits::MAIL_NAME_CHARS_MAX)
}

/// The inviter, if one can be named.
fn inviter(name: Option<&str>, email: Option<&Email>) -> String {
    let name = name.map(person).filter(|name| !name.is_empty());
    match (name, email.map(sanitize::address)) {
        (Some(name), Some(email)) => format!("{name} ({email}) invites you"),
        (Some(one), None) | (None, Some(one)) => format!("{one} invites you"),
        (None, None) => "You are invited".to_owned(),
    }
}

fn role(title: &str, summary: &str) -> String {
    let title = sanitize::name(title, limits::MAIL_ROLE_CHARS_MAX);
    let summary = sanitize::name(summary, limits::MAIL_ROLE_CHARS_MAX);
    match summary.trim_end_matches('.') {
        "" => format!("Your role will be {title}."),
        summary => format!("Your role will be {title}: {summary}."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invite_names_its_inviter_if_there_is_one() {
        let email = Email::parse("asha@example.org").unwrap();
        for (name, email, words) in [
            (Some("Asha"), Some(&email), "Asha (asha@example.org) invites you"),
            (Some("Asha"), None, "Asha invites you"),
            (Some("\u{200b} "), Some(&email), "asha@example.org invites you"),
            (Some(""), None, "You are invited"),
            (None, None, "You are invited"),
        ] {
            assert_eq!(inviter(name, email), words);
        }
    }

    #[test]
    fn a_role_is_one_sentence() {
        assert_eq!(role("Writer", ""), "Your role will be Writer.");
        assert_eq!(role("Writer", "writes."), "Your role will be Writer: writes.");
    }
}
