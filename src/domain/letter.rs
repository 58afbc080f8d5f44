//! A letter: one queued mail and its delivery status.
//!
//! Contains no link: a letter has the input from which its link is derived when the mail is
//! written.

use std::fmt;

use super::account::AccountSlug;
use super::email::Email;
use super::invite::{Generation, InviteId};
use super::link::LinkId;
use super::member::MemberId;
use super::revision::Timestamp;
use super::two_step::TwoStepNews;

/// Names a letter in the whole store: from 1, in the order in which letters were queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LetterId(pub u64);

impl fmt::Display for LetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a letter is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LetterKind {
    /// The link of an invite, to the invitee.
    Invite {
        /// The invite.
        invite: InviteId,
        /// The link that the letter carries: a newer one makes the letter void.
        generation: Generation,
    },
    /// Somebody with a dead link asks for a new one; to the inviter.
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
        /// What.
        news: TwoStepNews,
    },
}

impl LetterKind {
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

/// The delivery states of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum DeliveryState {
    /// No mail is sent.
    #[default]
    None,
    /// Waits for its turn.
    Queued,
    /// Is being handed over.
    Sending,
    /// The mail server took it. What became of it then is not known.
    HandedOver,
    /// The other end said that it arrived.
    Delivered,
    /// Could not be handed over yet; will be tried again.
    Deferred,
    /// Came back.
    Bounced,
    /// Was refused, or given up.
    Failed,
}

impl DeliveryState {
    /// Every state, for whoever reads a word back.
    pub const ALL: [Self; 8] = [
        Self::None,
        Self::Queued,
        Self::Sending,
        Self::HandedOver,
        Self::Delivered,
        Self::Deferred,
        Self::Bounced,
        Self::Failed,
    ];

    /// The word of the contract.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Queued => "queued",
            Self::Sending => "sending",
            Self::HandedOver => "handed_over",
            Self::Delivered => "delivered",
            Self::Deferred => "deferred",
            Self::Bounced => "bounced",
            Self::Failed => "failed",
        }
    }

    /// Whether a sender has nothing left to do.
    #[must_use]
    pub const fn is_over(self) -> bool {
        !matches!(self, Self::Queued | Self::Sending | Self::Deferred)
    }
}

/// How far a letter got.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Delivery {
    /// The state.
    pub state: DeliveryState,
    /// What happened last, in plain words; empty before the first try.
    pub detail: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was tried last.
    pub last_attempt: Option<Timestamp>,
    /// When it will be tried next.
    pub next_attempt: Option<Timestamp>,
}

/// One mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// Unique in the whole store.
    pub id: LetterId,
    /// The account that it is about.
    pub account: AccountSlug,
    /// What it is about.
    pub kind: LetterKind,
    /// Whom it goes to, as it stood when it was queued.
    pub to: Email,
    /// The name of whom it goes to.
    pub to_name: String,
    /// The `Message-ID` without angle brackets; the same on every try.
    pub message_id: String,
    /// When it was queued.
    pub created: Timestamp,
    /// From when on it is not worth sending.
    pub expires: Timestamp,
    /// How far it got.
    pub delivery: Delivery,
    /// Until when one sender has it to itself.
    pub leased_until: Option<Timestamp>,
}

/// How one try to hand a letter over ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handover {
    /// The mail server took it.
    Taken {
        /// In plain words, with the server's own answer.
        detail: String,
    },
    /// Not now: try again then.
    Later {
        /// In plain words.
        detail: String,
        /// When to try again.
        at: Timestamp,
    },
    /// Never.
    Refused {
        /// In plain words.
        detail: String,
    },
    /// Whoever runs the sidecar must mend something first. The letter loses nothing by it: it is
    /// queued as before, and the whole queue stops.
    Misconfigured {
        /// In plain words.
        detail: String,
    },
    /// A refusal that met one recipient after another: the sender must be mended, as above.
    SenderRefused {
        /// In plain words.
        detail: String,
        /// The letters that failed by it before that was known: they are queued again as well.
        others: Vec<LetterId>,
    },
    /// What it was about is over: nobody needs it any more.
    Void,
}

/// What came back about a letter that was handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The letter.
    pub letter: LetterId,
    /// `Bounced`, `Delivered` or `Deferred`.
    pub state: DeliveryState,
    /// In plain words.
    pub detail: String,
}

/// Why no mail goes out at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailStop {
    /// In plain words, with what to mend.
    pub cause: String,
    /// Since when.
    pub since: Timestamp,
}
