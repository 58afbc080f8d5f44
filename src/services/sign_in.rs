//! Signing in: the same response at the same cost for an unknown address, a wrong password, a
//! suspended member and one without a password; then the second factor, if there is one.
//!
//! Each attempt costs one password hash. Failed attempts delay the next one, per login and per
//! network, and lock nobody out for good. If the member has a second factor or the account requires
//! one, a correct password gets a ticket, not a session.

use std::sync::Arc;

use super::client_info::ClientInfo;
use super::detached_changes::{run_applied, run_detached};
use super::sign_in_log_lines::{log_failed_sign_in, log_sign_in};
use super::sign_in_ticket::{self, PendingSignIn, SignInTicket};
use super::step_up::check_code;
use super::{account_and_inviter, passkeys};
use crate::app::App;
use crate::domain::session::sign_in_refused;
use crate::domain::two_step::set_up_first;
use crate::domain::{
    AccountSlug, Email, Failure, Member, Session, SessionId, Status, Token, limits,
};
use crate::entropy;
use crate::password::Password;
use crate::store::requests_and_views::sessions::SignIn;
use crate::store::requests_and_views::two_step::SecondFactorProof;
use crate::store::{self, Committed};
use crate::throttle::LoginKey;

/// Hashed in place of a password that is too long.
const NOBODYS: &str = "nobody's";

/// A sign-in attempt. Never printed: it contains a password.
pub struct SignInAttempt {
    /// The account.
    pub account: AccountSlug,
    /// The address.
    pub email: Email,
    /// The password as typed.
    pub password: String,
    /// The origin of the attempt.
    pub from: ClientInfo,
}

/// A completed sign-in: the token for the cookie, shown once.
#[derive(Debug)]
pub struct NewSignIn {
    /// The token.
    pub token: Token,
    /// The session.
    pub session: Session,
    /// The member.
    pub member: Member,
}

/// The result of a correct password.
#[derive(Debug)]
pub enum SignInOutcome {
    /// A session.
    Entered(Box<Committed<NewSignIn>>),
    /// The second factor is required.
    SecondFactor(PendingSignIn),
    /// The account requires a second factor, and this member has none yet.
    SetUp(PendingSignIn),
}

/// Signs in, or returns a ticket for the second factor.
///
/// # Errors
/// `Unauthenticated` `sign_in_refused`, one answer for every cause; `TooMany` `too_many_tries`;
/// `Busy`.
pub async fn sign_in(app: &Arc<App>, attempt: SignInAttempt) -> Result<SignInOutcome, Failure> {
    let app = Arc::clone(app);
    // Runs to its end: a client that disconnects during the hash has still made an attempt.
    run_detached(async move { try_once(&app, attempt).await }).await
}

async fn try_once(app: &Arc<App>, attempt: SignInAttempt) -> Result<SignInOutcome, Failure> {
    let login = LoginKey::new(&attempt.account, &attempt.email);
    let admitted = app.throttle.admit(login, attempt.from.spot(), app.clock.now())?;
    let Some(checked) = checked(app, &attempt).await? else {
        let failures = admitted.failed(app.clock.now());
        log_failed_sign_in(app, &attempt.account, &attempt.email, &attempt.from, failures);
        return Err(sign_in_refused());
    };
    let VerifiedPassword { member, password, rehashed } = checked;
    let factors = app.store.factors(&member.id).await?;
    let mut ticket = SignInTicket {
        member: member.id.clone(),
        checked: store::requests_and_views::two_step::CheckedPassword::of(&password),
        rehashed,
        round: factors.round,
        failures_before: 0,
    };
    if factors.authenticator.is_some() {
        // Only half authenticated: this attempt counts neither as success nor as failure, and
        // earlier failures are kept until the second factor is presented.
        let passkeys = passkeys::can_sign_in(app, &factors);
        return Ok(SignInOutcome::SecondFactor(PendingSignIn { passkeys, ..ticket.seal(app)? }));
    }
    ticket.failures_before = admitted.succeeded(app.clock.now());
    if account_and_inviter::account(app, &member.account).await?.two_step_enforced {
        return Ok(SignInOutcome::SetUp(ticket.seal(app)?));
    }
    begin(app, member, ticket, None, &attempt.from)
        .await
        .map(|entered| SignInOutcome::Entered(Box::new(entered)))
}

/// Signs in with a ticket and the second factor.
///
/// # Errors
/// `Unauthenticated` `ticket_dead`; `Denied` `wrong_code`, `codes_locked`; `Conflict`
/// `factor_unreadable`, `two_step_needed`; `TooMany` `too_many_tries`; `Busy`.
pub async fn second_factor(
    app: &Arc<App>,
    ticket: &str,
    code: &str,
    from: ClientInfo,
) -> Result<Committed<NewSignIn>, Failure> {
    by_ticket(app, ticket, TicketProof::Code(code.to_owned()), from).await
}

/// Signs in with a ticket and the response of a passkey.
///
/// # Errors
/// `Unauthenticated` `ticket_dead`, `sign_in_refused`; `Denied` `wrong_passkey`, `passkey_copied`,
/// `codes_locked`; `Invalid` `credential`; `Conflict` `challenge_dead`, `passkeys_not_offered`,
/// `two_step_needed`; `TooMany` `too_many_tries`; `Busy`.
pub async fn by_passkey(
    app: &Arc<App>,
    ticket: &str,
    answer: passkeys::PasskeyAnswer,
    from: ClientInfo,
) -> Result<Committed<NewSignIn>, Failure> {
    by_ticket(app, ticket, TicketProof::Passkey(answer), from).await
}

/// What is presented with a ticket.
enum TicketProof {
    Code(String),
    Passkey(passkeys::PasskeyAnswer),
}

/// Signs in with a ticket and any second factor.
async fn by_ticket(
    app: &Arc<App>,
    ticket: &str,
    shown: TicketProof,
    from: ClientInfo,
) -> Result<Committed<NewSignIn>, Failure> {
    let (app, ticket) = (Arc::clone(app), ticket.to_owned());
    // Runs to its end: a client that disconnects during the check has still made an attempt.
    run_detached(async move {
        let (mut ticket, member) = SignInTicket::open(&app, &ticket).await?;
        let login = LoginKey::new(&member.account, &member.email);
        let admitted = app.throttle.admit(login, from.spot(), app.clock.now())?;
        let factors = app.store.factors(&member.id).await?;
        if factors.round != ticket.round {
            return Err(sign_in_ticket::dead());
        }
        if factors.authenticator.is_none() {
            return Err(set_up_first());
        }
        let (proof, before) = match &shown {
            TicketProof::Code(code) => check_code(&app, &member, &factors, code, admitted).await?,
            TicketProof::Passkey(answer) => {
                passkeys::check(&app, &member, &factors, answer, admitted).await?
            }
        };
        ticket.failures_before = before;
        begin(&app, member, ticket, Some(proof), &from).await
    })
    .await
}

/// A member whose password was correct.
struct VerifiedPassword {
    member: Member,
    password: String,
    rehashed: Option<String>,
}

/// Checks the password. Costs one hash, whatever is wrong.
async fn checked(app: &App, attempt: &SignInAttempt) -> Result<Option<VerifiedPassword>, Failure> {
    let member = app.store.member_by_email(&attempt.account, attempt.email.key()).await?;
    let member = member.filter(|member| member.status == Status::Active);
    let credential = match &member {
        Some(member) => app.store.credential(&member.id).await?,
        None => None,
    };
    // Even an impossible password costs a hash.
    let Ok(password) = Password::parse(&attempt.password) else {
        app.hasher.verify_nobody(&Password::parse(NOBODYS)?).await?;
        return Ok(None);
    };
    let (Some(member), Some(credential)) = (member, credential) else {
        app.hasher.verify_nobody(&password).await?;
        return Ok(None);
    };
    let verified = app.hasher.verify(&password, &credential.password).await?;
    if !verified.matches {
        return Ok(None);
    }
    let rehashed = if verified.rehash { Some(app.hasher.hash(&password).await?) } else { None };
    Ok(Some(VerifiedPassword { member, password: credential.password, rehashed }))
}

/// Begins the session.
async fn begin(
    app: &Arc<App>,
    member: Member,
    ticket: SignInTicket,
    proof: Option<SecondFactorProof>,
    from: &ClientInfo,
) -> Result<Committed<NewSignIn>, Failure> {
    let (token, session) = new_session(app, &member, from)?;
    let SignInTicket { checked, rehashed, round, failures_before, .. } = ticket;
    let proof = proof.map(|proof| (proof, round));
    let sign_in = SignIn { session, checked, rehashed, proof, failures_before };
    let Committed { revision, value: session } =
        run_applied(app, |app| async move { app.store.session_begin(sign_in).await }).await?;
    log_sign_in(&session);
    Ok(Committed { revision, value: NewSignIn { token, session, member } })
}

/// A new token and its session.
pub(super) fn new_session(
    app: &App,
    member: &Member,
    from: &ClientInfo,
) -> Result<(Token, Session), Failure> {
    let token = Token::from_bytes(entropy::random()?);
    let now = app.clock.now();
    let session = Session {
        id: SessionId::from_random(entropy::random()?),
        token: token.hash(),
        member: member.id.clone(),
        account: member.account.clone(),
        created: now,
        used: now,
        address: from.network(),
        agent: bounded(&from.agent),
    };
    Ok((token, session))
}

/// A user agent is untrusted text.
fn bounded(agent: &str) -> String {
    agent.chars().filter(|c| !c.is_control()).take(limits::AGENT_CHARS_MAX).collect()
}
