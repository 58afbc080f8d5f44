//! Passkeys: added, listed and removed by their owner, and used instead of a code to sign in.
//!
//! Only in addition to an authenticator app, so that a member who loses a passkey still has codes.
//! A passkey is for signing in; confirming a change needs a code.

use std::sync::Arc;

use super::client_info::ClientInfo;
use super::detached_changes::run_applied;
use super::notice_letters::new_notice;
use super::session_auth::SignedIn;
use super::sign_in_ticket::{self, SignInTicket};
use super::step_up::{StepUpProof, check_own, count_failure};
use crate::app::App;
use crate::domain::passkey::{challenge_dead, too_many, unknown};
use crate::domain::{
    Factors, Failure, Kind, Member, Name, Passkey, PasskeyId, Sealed, Timestamp, limits,
};
use crate::store::requests_and_views::passkeys::NewPasskey;
use crate::store::requests_and_views::two_step::{SecondFactorProof, StepUp};
use crate::store::{Committed, MemberTarget};
use crate::throttle::AdmittedAttempt;
use crate::webauthn::{Options, PasskeyChallenge, PasskeyRefusal, RelyingParty, VerifiedAnswer};

/// A challenge for an authenticator, for the browser.
#[derive(Debug)]
pub struct PasskeyPrompt {
    /// Opaque; sent back with the response.
    pub challenge: String,
    /// The options for the browser.
    pub options: Options,
    /// When it expires.
    pub expires: Timestamp,
}

/// The response of an authenticator to a challenge. Never printed.
pub struct PasskeyAnswer {
    /// The challenge as returned before.
    pub challenge: String,
    /// JSON, from the browser.
    pub credential: String,
}

/// The member's own passkeys, oldest first.
///
/// # Errors
/// `Unauthenticated` `session_ended`; `Busy`.
pub async fn list(app: &App, signed_in: &SignedIn) -> Result<Vec<Passkey>, Failure> {
    let member = signed_in.record(app).await?;
    Ok(app.store.factors(&member.id).await?.passkeys)
}

/// Whether a member can sign in with a passkey.
pub(super) fn can_sign_in(app: &App, factors: &Factors) -> bool {
    !factors.passkeys.is_empty() && here(app).is_ok()
}

/// Whether passkeys can be added at the console's URL.
///
/// # Errors
/// `Conflict` `passkeys_not_offered`.
pub fn offered(app: &App) -> Result<(), Failure> {
    here(app).map(drop)
}

fn here(app: &App) -> Result<RelyingParty, Failure> {
    RelyingParty::at(app.links.base())
}

/// Begins to add a passkey: needs re-authentication.
///
/// # Errors
/// `Conflict` `passkeys_not_offered`, `not_set_up`, `too_many_passkeys`, `moved_on`; `Denied`
/// `wrong_password`, `wrong_code`, `code_missing`, `codes_locked`; `TooMany` `too_many_tries`;
/// `Unauthenticated` `session_ended`; `Busy`.
pub async fn begin(
    app: &Arc<App>,
    signed_in: &SignedIn,
    shown: &StepUpProof,
    from: &ClientInfo,
) -> Result<PasskeyPrompt, Failure> {
    let party = here(app)?;
    let member = signed_in.record(app).await?;
    let known = app.store.factors(&member.id).await?.passkeys;
    if known.len() >= limits::PASSKEYS_MAX {
        return Err(too_many());
    }
    let shown = check_own(app, &member, shown, from).await?;
    let id = member.clone();
    let begun = run_applied(app, |app| async move {
        app.store.passkey_begin(MemberTarget::of(&id), shown).await
    })
    .await?;
    let question = party.ask_new(&member, &known)?;
    asked(app, &member, ADD, begun.value, question)
}

/// Adds the passkey, with a name. Every other session ends.
///
/// # Errors
/// `Denied` `wrong_passkey`; `Invalid` `credential`; `Conflict` `challenge_dead`, `passkey_known`,
/// `too_many_passkeys`, `not_set_up`, `passkeys_not_offered`; `Unauthenticated` `session_ended`;
/// `Busy`.
pub async fn confirm(
    app: &Arc<App>,
    signed_in: &SignedIn,
    answer: &PasskeyAnswer,
    name: Name,
) -> Result<Committed<Passkey>, Failure> {
    let party = here(app)?;
    let member = signed_in.record(app).await?;
    let challenge = SealedChallenge::open(app, ADD, &member, &answer.challenge)?;
    let made = party.judge_new(&challenge.state, &answer.credential)?;
    let passkey = Passkey {
        id: made.id,
        name,
        credential: made.credential,
        created: app.clock.now(),
        used: None,
    };
    let (session, round) = (signed_in.token(), challenge.round);
    let new = NewPasskey { session, round, passkey, letter: new_notice(app, "two-step")? };
    run_applied(
        app,
        |app| async move { app.store.passkey_add(MemberTarget::of(&member), new).await },
    )
    .await
}

/// Removes one of the member's own passkeys: needs re-authentication. Every other session ends.
///
/// # Errors
/// `NotFound` `unknown_passkey`; `Denied` `wrong_password`, `wrong_code`, `code_missing`,
/// `codes_locked`; `TooMany` `too_many_tries`; `Conflict` `moved_on`; `Unauthenticated`
/// `session_ended`; `Busy`.
pub async fn remove(
    app: &Arc<App>,
    signed_in: &SignedIn,
    id: PasskeyId,
    shown: &StepUpProof,
    from: &ClientInfo,
) -> Result<Committed<Passkey>, Failure> {
    let member = signed_in.record(app).await?;
    let known = app.store.factors(&member.id).await?.passkeys;
    if known.iter().all(|passkey| passkey.id != id) {
        return Err(unknown());
    }
    let shown: StepUp = check_own(app, &member, shown, from).await?;
    let letter = new_notice(app, "two-step")?;
    let session = signed_in.token();
    run_applied(app, |app| async move {
        app.store.passkey_remove(MemberTarget::of(&member), session, id, shown, letter).await
    })
    .await
}

/// A challenge for the passkeys of a member whose password was checked.
///
/// # Errors
/// `Unauthenticated` `ticket_dead`; `Denied` `codes_locked`; `Conflict` `no_passkey`,
/// `passkeys_not_offered`; `Busy`.
pub async fn ask(app: &App, ticket: &str) -> Result<PasskeyPrompt, Failure> {
    let (ticket, member) = SignInTicket::open(app, ticket).await?;
    let factors = app.store.factors(&member.id).await?;
    if factors.round != ticket.round {
        return Err(sign_in_ticket::dead());
    }
    factors.may_try()?;
    if factors.passkeys.is_empty() {
        return Err(none_there());
    }
    let question = here(app)?.ask(&factors.passkeys)?;
    asked(app, &member, SIGN_IN, factors.round, question)
}

/// Checks a response for a sign-in. A wrong one counts like a wrong code. Returns also the number
/// of earlier failures.
pub(super) async fn check(
    app: &App,
    member: &Member,
    factors: &Factors,
    answer: &PasskeyAnswer,
    admitted: AdmittedAttempt,
) -> Result<(SecondFactorProof, u32), Failure> {
    factors.may_try()?;
    let party = here(app)?;
    let challenge = SealedChallenge::open(app, SIGN_IN, member, &answer.challenge)?;
    if challenge.round != factors.round {
        return Err(challenge_dead());
    }
    match party.judge(&challenge.state, &answer.credential, &factors.passkeys) {
        Ok(VerifiedAnswer { id, before, after }) => {
            let proof = SecondFactorProof::Passkey { id, before, after };
            Ok((proof, admitted.succeeded(app.clock.now())))
        }
        Err(refusal) => {
            match &refusal {
                PasskeyRefusal::Failed(_) => {}
                PasskeyRefusal::Wrong | PasskeyRefusal::Unverified => {
                    count_failure(app, member, admitted).await?
                }
                PasskeyRefusal::Copied(id) => {
                    admitted.failed(app.clock.now());
                    tracing::warn!(event = "authn_login_fail", member = %member.id, passkey = %id, "the signature counter of a passkey went backwards");
                    app.store.passkey_copied(member, id, new_notice(app, "two-step")?).await?;
                }
            }
            Err(refusal.into())
        }
    }
}

/// The purpose of a challenge: one for adding is not valid for signing in.
const ADD: &[u8] = b"add passkey";
const SIGN_IN: &[u8] = b"sign in by passkey";

/// A pending challenge, with the state to verify its response.
///
/// The crate calls it dangerous to hand out the state: anyone who could write it could choose the
/// challenge and the credential, and anyone who presents it twice could have one response accepted
/// twice. Here it is encrypted (XChaCha20-Poly1305, with a key that stays on this machine, for one
/// purpose of one member), so nobody else can write one; and it has the round of the member's
/// factors, which the transaction that accepts the response compares and increases, so that it
/// works once, and not after any other use or change of a factor.
struct SealedChallenge {
    round: u64,
    state: Vec<u8>,
}

/// Encrypts a challenge.
fn asked(
    app: &App,
    member: &Member,
    what: &[u8],
    round: u64,
    PasskeyChallenge { options, state }: PasskeyChallenge,
) -> Result<PasskeyPrompt, Failure> {
    let expires = app.clock.later(limits::PASSKEY_LIFETIME);
    let plain = [&expires.0.to_le_bytes(), &round.to_le_bytes(), state.as_slice()].concat();
    let challenge = app.keys.seal(&purpose(what, member), &plain)?.to_text();
    Ok(PasskeyPrompt { challenge, options, expires })
}

impl SealedChallenge {
    /// Decrypts a presented challenge.
    fn open(app: &App, what: &[u8], member: &Member, text: &str) -> Result<Self, Failure> {
        Self::read(app, what, member, text).ok_or_else(challenge_dead)
    }

    fn read(app: &App, what: &[u8], member: &Member, text: &str) -> Option<Self> {
        if text.len() > limits::PASSKEY_CHALLENGE_BYTES_MAX {
            return None;
        }
        let plain = app.keys.unseal(&purpose(what, member), &Sealed::parse(text)?)?;
        let (expires, rest) = plain.split_first_chunk()?;
        let (round, state) = rest.split_first_chunk()?;
        let expires = Timestamp(i64::from_le_bytes(*expires));
        let challenge = Self { round: u64::from_le_bytes(*round), state: state.to_vec() };
        expires.ends_within(limits::PASSKEY_LIFETIME, app.clock.now()).then_some(challenge)
    }
}

fn purpose<'a>(what: &'a [u8], member: &'a Member) -> [&'a [u8]; 3] {
    [what, member.account.as_str().as_bytes(), member.id.as_str().as_bytes()]
}

fn none_there() -> Failure {
    Failure::new(
        Kind::Conflict,
        "no_passkey",
        "you have no passkey here: use a code of your authenticator app, or a recovery code",
    )
}
