//! A letter: one queued mail and its delivery status.
//!
//! Contains no link: a letter has the input from which its link is derived when the mail is
//! written.

use super::account::AccountSlug;
use super::email::Email;
use super::ids::{InviteId, LinkId, MailId};
use super::invite::Generation;
use super::member::MemberId;
use super::revision_and_timestamp::Timestamp;
use super::two_step::TwoStepEvent;
use super::worded_enum::worded;

/// What a letter is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MailKind {
    /// The link of an invite, to the invitee.
    Invite {
        /// The invite.
        invite: InviteId,
        /// The number of its link: a newer one makes the letter void.
        generation: Generation,
    },
    /// A request for a new link by the holder of a dead one; to the inviter.
    InviteWanted {
        /// The invite.
        invite: InviteId,
    },
    /// The link to a new password, to the member.
    PasswordReset {
        /// The link.
        link: LinkId,
    },
    /// The password was changed, to the member.
    PasswordChanged {
        /// The member.
        member: MemberId,
    },
    /// The link that confirms a new address, to the new address or to the old one.
    EmailChange {
        /// The link.
        link: LinkId,
    },
    /// The address was changed, to the old address.
    EmailChanged {
        /// The member.
        member: MemberId,
    },
    /// Something happened to the second factor, to the member.
    TwoStep {
        /// The member.
        member: MemberId,
        /// The change.
        news: TwoStepEvent,
    },
}

impl MailKind {
    /// The kind as a word, for the log and lists.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Invite { .. } => "invite",
            Self::InviteWanted { .. } => "invite_wanted",
            Self::PasswordReset { .. } => "password_reset",
            Self::PasswordChanged { .. } => "password_changed",
            Self::EmailChange { .. } => "email_change",
            Self::EmailChanged { .. } => "email_changed",
            Self::TwoStep { .. } => "two_step",
        }
    }
}

worded! {
    /// The delivery states in the API.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
    pub enum DeliveryState {
        /// No mail is sent.
        #[default]
        None = "none",
        /// Waits in the queue.
        Queued = "queued",
        /// Is being sent.
        Sending = "sending",
        /// Accepted by the mail server. The further fate is unknown.
        HandedOver = "handed_over",
        /// Delivered, as the receiving server reports.
        Delivered = "delivered",
        /// Could not be sent yet; will be retried.
        Deferred = "deferred",
        /// Bounced.
        Bounced = "bounced",
        /// Refused, or given up.
        Failed = "failed",
    }
}

impl DeliveryState {
    /// Whether nothing is left to send.
    #[must_use]
    pub const fn is_over(self) -> bool {
        !matches!(self, Self::Queued | Self::Sending | Self::Deferred)
    }
}

/// The delivery status.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Delivery {
    /// The state.
    pub state: DeliveryState,
    /// The last result, in plain words; empty before the first attempt.
    pub detail: String,
    /// The number of attempts.
    pub attempts: u32,
    /// The last attempt.
    pub last_attempt: Option<Timestamp>,
    /// The next attempt.
    pub next_attempt: Option<Timestamp>,
}

/// One queued mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuedMail {
    /// Unique in the whole store.
    pub id: MailId,
    /// The account that it is about.
    pub account: AccountSlug,
    /// What it is about.
    pub kind: MailKind,
    /// The recipient, as of queueing.
    pub to: Email,
    /// The recipient's name.
    pub to_name: String,
    /// The `Message-ID` without angle brackets; the same for every attempt.
    pub message_id: String,
    /// When it was queued.
    pub created: Timestamp,
    /// After this it is not worth sending.
    pub expires: Timestamp,
    /// The delivery status.
    pub delivery: Delivery,
    /// The lease of its sender.
    pub leased_until: Option<Timestamp>,
}

/// The result of one delivery attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendOutcome {
    /// Accepted by the mail server.
    Taken {
        /// In plain words, with the server's response.
        detail: String,
    },
    /// Retry later.
    Later {
        /// In plain words.
        detail: String,
        /// The time of the next attempt.
        at: Timestamp,
    },
    /// Permanently refused.
    Refused {
        /// In plain words.
        detail: String,
    },
    /// The operator must fix the configuration first. The letter stays queued as before, and the
    /// whole queue stops.
    Misconfigured {
        /// In plain words.
        detail: String,
    },
    /// One refusal for several recipients in a row: the sender must be fixed, as above.
    SenderRefused {
        /// In plain words.
        detail: String,
        /// The letters that failed for this reason before: they are queued again as well.
        others: Vec<MailId>,
    },
    /// Obsolete: nobody needs it any more.
    Void,
}

/// A bounce or delivery report about a sent letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryNotice {
    /// The letter.
    pub letter: MailId,
    /// `Bounced`, `Delivered` or `Deferred`.
    pub state: DeliveryState,
    /// In plain words.
    pub detail: String,
}

/// Why mail is stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailStop {
    /// In plain words, with what to fix.
    pub cause: String,
    /// When it began.
    pub since: Timestamp,
}
