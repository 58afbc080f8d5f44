//! A ticket: the proof that a password was correct, until the second factor is presented.
//!
//! Encrypted and not stored: its holder has a correct password and nothing more. It ends with its
//! time, with the password, and with the next second factor that is used or changed, so that a
//! stolen ticket is useless once its owner has signed in.

use crate::app::App;
use crate::domain::{Digest, Failure, Kind, Member, MemberId, Sealed, Status, Timestamp, limits};
use crate::store::requests_and_views::two_step::CheckedPassword;

/// The encryption purpose of a ticket.
const PURPOSE: &[&[u8]] = &[b"ticket"];

/// A correct password, waiting for its second factor.
#[derive(Debug)]
pub(super) struct SignInTicket {
    pub(super) member: MemberId,
    /// The stored password that was checked.
    pub(super) checked: CheckedPassword,
    /// The new hash, if the old parameters were too weak.
    pub(super) rehashed: Option<String>,
    /// The round of the factors.
    pub(super) round: u64,
    /// The number of earlier failures.
    pub(super) failures_before: u32,
}

/// A ticket, for the one who gave the password.
#[derive(Clone)]
pub struct PendingSignIn {
    /// Opaque.
    pub ticket: String,
    /// When it expires.
    pub expires: Timestamp,
    /// Whether a passkey can be used instead of a code.
    pub passkeys: bool,
}

impl std::fmt::Debug for PendingSignIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Waiting(until {})", self.expires.0)
    }
}

impl SignInTicket {
    /// Encrypts it.
    pub(super) fn seal(self, app: &App) -> Result<PendingSignIn, Failure> {
        let expires = app.clock.later(limits::TICKET_LIFETIME);
        let plain = [
            expires.0.to_string(),
            self.round.to_string(),
            self.failures_before.to_string(),
            self.checked.0.hex(),
            self.member.to_string(),
            self.rehashed.unwrap_or_default(),
        ];
        let sealed = app.keys.seal(PURPOSE, plain.join("\n").as_bytes())?;
        Ok(PendingSignIn { ticket: sealed.to_text(), expires, passkeys: false })
    }

    /// Decrypts a presented ticket, with the member as of now.
    ///
    /// # Errors
    /// `Unauthenticated` `ticket_dead`; `Busy`, when the disk fails.
    pub(super) async fn open(app: &App, text: &str) -> Result<(Self, Member), Failure> {
        let ticket = Self::read(app, text).ok_or_else(dead)?;
        let member = app.store.member(&ticket.member).await?;
        let member = member.filter(|member| member.status == Status::Active).ok_or_else(dead)?;
        Ok((ticket, member))
    }

    fn read(app: &App, text: &str) -> Option<Self> {
        if text.len() > limits::TICKET_BYTES_MAX {
            return None;
        }
        let plain = app.keys.unseal(PURPOSE, &Sealed::parse(text)?)?;
        let plain = String::from_utf8(plain).ok()?;
        let mut parts = plain.split('\n');
        let expires = Timestamp(parts.next()?.parse().ok()?);
        let ticket = Self {
            round: parts.next()?.parse().ok()?,
            failures_before: parts.next()?.parse().ok()?,
            checked: CheckedPassword(Digest::from_hex(parts.next()?)?),
            member: MemberId::parse(parts.next()?).ok()?,
            rehashed: parts.next().filter(|phc| !phc.is_empty()).map(str::to_owned),
        };
        expires.ends_within(limits::TICKET_LIFETIME, app.clock.now()).then_some(ticket)
    }
}

/// The failure for a ticket that is no longer valid.
pub(super) fn dead() -> Failure {
    Failure::new(
        Kind::Unauthenticated,
        "ticket_dead",
        "this sign-in took too long, or was finished or replaced by another one: begin again with address and password",
    )
}
