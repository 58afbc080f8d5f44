//! An invite: a pending member, as a state machine of pure functions.
//!
//! Defines when an invite may be accepted, resent or changed. Does not read a clock, and does not
//! know whether the inviter may still give the role: that is checked again on acceptance.

use super::account::AccountSlug;
use super::audit::Actor;
use super::email::Email;
use super::failure::{Failure, Kind};
use super::ids::{InviteId, KeyId, MailId};
use super::member::{MemberId, Name, full_name};
use super::revision_and_timestamp::{Timestamp, Version};
use super::role::RoleId;
use super::worded_enum::worded;

/// The code of an invite that was accepted already.
pub const ACCEPTED: &str = "invite_accepted";

/// The code of an invite that was revoked.
pub const REVOKED: &str = "invite_revoked";

/// The code of a failure about an invite that there is not.
pub const UNKNOWN: &str = "unknown_invite";

/// The number of an invite's link: increases with each new one, so that only the last one works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u32);

impl Generation {
    /// The first link.
    pub const FIRST: Self = Self(1);

    /// The next one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// The stored outcome of an invite; expiry is computed from the clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InviteOutcome {
    /// Still open.
    Open,
    /// Somebody joined with it.
    Accepted {
        /// The resulting member.
        member: MemberId,
        /// The time.
        at: Timestamp,
    },
    /// It was revoked, or the inviter lost the right to send it.
    Revoked {
        /// The time.
        at: Timestamp,
    },
}

worded! {
    /// The states in the API.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub enum InviteState {
        /// Can be accepted.
        Pending = "pending",
        /// Became a member.
        Accepted = "accepted",
        /// It has expired.
        Expired = "expired",
        /// Revoked.
        Revoked = "revoked",
    }
}

impl InviteState {
    /// Whether it can be accepted, or sent again.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Pending | Self::Expired)
    }
}

/// What the link of an invite leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// It can be accepted.
    Open,
    /// The invite was accepted.
    Accepted,
    /// The invite was revoked.
    Revoked,
    /// There is a newer link.
    Replaced,
    /// The invite has expired.
    Expired,
}

/// A pending member, and the outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invite {
    /// Unique in the whole store.
    pub id: InviteId,
    /// The account that it is for.
    pub account: AccountSlug,
    /// The address of the link; unique in its account among members and open invites.
    pub email: Email,
    /// First name.
    pub first_name: Name,
    /// Last name.
    pub last_name: Name,
    /// The role that it gives.
    pub role: RoleId,
    /// The sender.
    pub inviter: Actor,
    /// When it was created.
    pub created: Timestamp,
    /// When its last link was created.
    pub sent: Timestamp,
    /// When it expires.
    pub expires: Timestamp,
    /// The number of the valid link.
    pub generation: Generation,
    /// The key from which the valid link is derived.
    pub key: KeyId,
    /// The outcome.
    pub fate: InviteOutcome,
    /// The letter with the valid link; `None` if no mail is sent.
    pub letter: Option<MailId>,
    /// Increases with every change.
    pub version: Version,
}

impl Invite {
    /// Both names.
    #[must_use]
    pub fn full_name(&self) -> String {
        full_name(self.first_name.as_str(), self.last_name.as_str())
    }

    /// The state at a given time.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> InviteState {
        match self.fate {
            InviteOutcome::Accepted { .. } => InviteState::Accepted,
            InviteOutcome::Revoked { .. } => InviteState::Revoked,
            InviteOutcome::Open if now >= self.expires || self.sent.is_ahead_of(now) => {
                InviteState::Expired
            }
            InviteOutcome::Open => InviteState::Pending,
        }
    }

    /// Whether it reserves its address at a given time: an expired one does not.
    #[must_use]
    pub fn holds_address(&self, now: Timestamp) -> bool {
        self.state(now) == InviteState::Pending
    }

    /// The state of the link of this generation at a given time.
    #[must_use]
    pub fn link_state(&self, generation: Generation, now: Timestamp) -> LinkState {
        match self.state(now) {
            InviteState::Accepted => LinkState::Accepted,
            InviteState::Revoked => LinkState::Revoked,
            _ if generation != self.generation => LinkState::Replaced,
            InviteState::Expired => LinkState::Expired,
            InviteState::Pending => LinkState::Open,
        }
    }

    /// Whether the link of this generation can be accepted at a given time.
    ///
    /// # Errors
    /// `Gone` with what to do: `invite_replaced`, `invite_accepted`, `invite_revoked`,
    /// `invite_expired`.
    pub fn may_be_accepted(&self, generation: Generation, now: Timestamp) -> Result<(), Failure> {
        let gone = |code, sentence: &str| Err(Failure::new(Kind::Gone, code, sentence));
        match self.link_state(generation, now) {
            LinkState::Accepted => gone(
                ACCEPTED,
                "this invitation was accepted already: sign in with your address and password, or reset the password",
            ),
            LinkState::Revoked => gone(
                REVOKED,
                "this invitation was revoked: ask the person who invited you for a new one",
            ),
            LinkState::Replaced => gone(
                "invite_replaced",
                "this link was replaced by a newer one: open the link in the newest mail, or ask for a new one",
            ),
            LinkState::Expired if self.sent.is_ahead_of(now) => gone(
                "invite_expired",
                "this invitation was made while the server's clock was wrong: ask the person who invited you for a new one",
            ),
            LinkState::Expired => gone(
                "invite_expired",
                "this invitation has expired: ask the person who invited you for a new one",
            ),
            LinkState::Open => Ok(()),
        }
    }

    /// Whether showing the link needs a new one: if it has expired, or if it was not sent by a
    /// member, since the invite must end with the right of the one who holds its link.
    #[must_use]
    pub fn needs_own_link(&self, who: &Actor, now: Timestamp) -> bool {
        let of_another = who.member().is_some() && !who.is_same(&self.inviter);
        of_another || self.state(now) != InviteState::Pending
    }

    /// Whether it can still be resent, edited or revoked: an expired one can.
    ///
    /// # Errors
    /// `Conflict` with what to do: `invite_accepted`, `invite_revoked`.
    pub fn may_be_changed(&self) -> Result<(), Failure> {
        let over = |code, sentence: String| Err(Failure::new(Kind::Conflict, code, sentence));
        match &self.fate {
            InviteOutcome::Open => Ok(()),
            InviteOutcome::Accepted { member, .. } => over(
                ACCEPTED,
                format!("this invite was accepted already: edit the member `{member}` instead"),
            ),
            InviteOutcome::Revoked { .. } => {
                over(REVOKED, "this invite was revoked already: send a new one".to_owned())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invite() -> Invite {
        Invite {
            id: InviteId::from_random([1; 16]),
            account: AccountSlug::parse("acme").unwrap(),
            email: Email::parse("bo@example.org").unwrap(),
            first_name: Name::parse("first_name", "Bo").unwrap(),
            last_name: Name::parse("last_name", "Lee").unwrap(),
            role: RoleId::parse("writer").unwrap(),
            inviter: Actor::System,
            created: Timestamp(0),
            sent: Timestamp(0),
            expires: Timestamp(100),
            generation: Generation(2),
            key: KeyId(1),
            fate: InviteOutcome::Open,
            letter: None,
            version: Version::FIRST,
        }
    }

    fn code(result: Result<(), Failure>) -> &'static str {
        result.map_or_else(|failure| failure.code, |()| "")
    }

    #[test]
    fn only_the_last_link_opens_and_only_until_its_time_is_over() {
        let invite = invite();
        assert_eq!(code(invite.may_be_accepted(Generation(2), Timestamp(99))), "");
        assert_eq!(code(invite.may_be_accepted(Generation(2), Timestamp(100))), "invite_expired");
        assert_eq!(code(invite.may_be_accepted(Generation(1), Timestamp(99))), "invite_replaced");
        assert_eq!(invite.state(Timestamp(100)), InviteState::Expired);
        assert!(invite.holds_address(Timestamp(99)) && !invite.holds_address(Timestamp(100)));
    }

    #[test]
    fn a_link_of_a_clock_that_was_wrong_does_not_open() {
        let later = |minutes: i64| Timestamp(minutes * 60_000);
        let made = |sent| Invite { sent, created: sent, expires: later(7 * 24 * 60), ..invite() };
        let now = Timestamp(0);
        assert_eq!(code(made(later(5)).may_be_accepted(Generation(2), now)), "");
        let ahead = made(later(6));
        let refused = ahead.may_be_accepted(Generation(2), now).unwrap_err();
        assert_eq!(refused.code, "invite_expired");
        assert!(refused.public.contains("clock was wrong"), "{refused}");
        assert_eq!(ahead.state(now), InviteState::Expired);
        assert!(!ahead.holds_address(now));
        // Sent again, it is made now.
        assert_eq!(Invite { sent: now, ..ahead }.state(now), InviteState::Pending);
    }

    #[test]
    fn what_is_over_stays_over() {
        let member = MemberId::parse("m1").unwrap();
        let accepted =
            Invite { fate: InviteOutcome::Accepted { member, at: Timestamp(5) }, ..invite() };
        let revoked = Invite { fate: InviteOutcome::Revoked { at: Timestamp(5) }, ..invite() };
        for now in [Timestamp(6), Timestamp(1_000)] {
            assert_eq!(code(accepted.may_be_accepted(Generation(2), now)), "invite_accepted");
            assert_eq!(code(revoked.may_be_accepted(Generation(2), now)), REVOKED);
        }
        assert_eq!(code(accepted.may_be_changed()), "invite_accepted");
        assert_eq!(code(revoked.may_be_changed()), REVOKED);
        assert_eq!(code(invite().may_be_changed()), "");
    }
}
