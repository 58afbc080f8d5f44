//! Signing in: the same response at the same cost for an unknown address, a wrong password, a
//! suspended member and one without a password; then the second factor, if there is one.
//!
//! Each attempt costs one password hash. Failed attempts delay the next one, per login and per
//! network, and lock nobody out for good. If the member has a second factor or the account requires
//! one, a correct password gets a ticket, not a session.

use std::net::IpAddr;
use std::sync::Arc;

use super::step_up::check_code;
use super::ticket::{self, Ticket, Waiting};
use super::whole::whole;
use super::{accounts, passkeys, refresh};
use crate::app::App;
use crate::domain::session::sign_in_refused;
use crate::domain::two_step::set_up_first;
use crate::domain::{
    AccountSlug, Email, Failure, Member, Session, SessionId, Status, Token, limits,
};
use crate::entropy;
use crate::password::Password;
use crate::store::sessions::SignIn;
use crate::store::two_step::Proof;
use crate::store::{self, Committed};
use crate::throttle::{Login, Spot};

/// Stands for what is too long to be hashed.
const NOBODYS: &str = "nobody's";

/// A try to sign in. Never prints: it holds a password.
pub struct Attempt {
    /// The account.
    pub account: AccountSlug,
    /// The address.
    pub email: Email,
    /// The password as typed.
    pub password: String,
    /// Where the try comes from.
    pub from: From,
}

/// Where a call comes from.
#[derive(Clone, Debug, Default)]
pub struct From {
    /// The address of the caller, as far as it can be trusted.
    pub address: Option<IpAddr>,
    /// What a proxy says of it that is not trusted: no evidence, and enough to know a place again.
    pub claimed: Option<IpAddr>,
    /// What the browser calls itself.
    pub agent: String,
}

impl From {
    /// The address as text; empty where it is not known.
    pub(super) fn network(&self) -> String {
        self.address.map(|address| address.to_string()).unwrap_or_default()
    }

    /// What one caller can hold of addresses: an IPv6 host has a whole /64. `None` where it is not
    /// known: then nobody is counted, since it would be everybody.
    pub(super) fn place(&self) -> Option<String> {
        self.address.map(|address| match address.to_canonical() {
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
            }
            IpAddr::V4(address) => address.to_string(),
        })
    }

    /// The same for the throttle.
    pub(super) fn spot(&self) -> Spot {
        Spot { network: self.address, claimed: self.claimed }
    }
}

/// Somebody who has signed in: the token for the cookie, shown once.
#[derive(Debug)]
pub struct Entered {
    /// The token.
    pub token: Token,
    /// The session.
    pub session: Session,
    /// Who.
    pub member: Member,
}

/// What a right password comes to.
#[derive(Debug)]
pub enum Outcome {
    /// A session.
    Entered(Box<Committed<Entered>>),
    /// The second factor must be shown.
    SecondFactor(Waiting),
    /// The account asks everybody for a second factor, and this member has none yet.
    SetUp(Waiting),
}

/// Signs in, or goes half the way.
///
/// # Errors
/// `Unauthenticated` `sign_in_refused`, one answer for every cause; `TooMany` `too_many_tries`;
/// `Busy`.
pub async fn sign_in(app: &Arc<App>, attempt: Attempt) -> Result<Outcome, Failure> {
    let app = Arc::clone(app);
    // To its end: who hangs up while the password is hashed has still tried it.
    whole(async move { try_once(&app, attempt).await }).await
}

async fn try_once(app: &Arc<App>, attempt: Attempt) -> Result<Outcome, Failure> {
    let login = Login::new(&attempt.account, &attempt.email);
    let admitted = app.throttle.admit(login, attempt.from.spot(), app.clock.now())?;
    let Some(checked) = checked(app, &attempt).await? else {
        let failures = admitted.failed(app.clock.now());
        tell_failed(app, (&attempt.account, &attempt.email), &attempt.from, failures);
        return Err(sign_in_refused());
    };
    let Checked { member, password, rehashed } = checked;
    let factors = app.store.factors(&member.id).await?;
    let mut ticket = Ticket {
        member: member.id.clone(),
        checked: store::two_step::Checked::of(&password),
        rehashed,
        round: factors.round,
        failures_before: 0,
    };
    if factors.authenticator.is_some() {
        // The person is known by halves: this try counts as neither, and the failures before go on
        // counting until the second factor is shown.
        let passkeys = passkeys::can_sign_in(app, &factors);
        return Ok(Outcome::SecondFactor(Waiting { passkeys, ..ticket.seal(app)? }));
    }
    ticket.failures_before = admitted.succeeded(app.clock.now());
    if accounts::found(app, &member.account).await?.two_step_enforced {
        return Ok(Outcome::SetUp(ticket.seal(app)?));
    }
    begin(app, member, ticket, None, &attempt.from)
        .await
        .map(|entered| Outcome::Entered(Box::new(entered)))
}

/// Shows the second factor for a ticket, and signs in.
///
/// # Errors
/// `Unauthenticated` `ticket_dead`; `Denied` `wrong_code`, `codes_locked`; `Conflict`
/// `factor_unreadable`, `two_step_needed`; `TooMany` `too_many_tries`; `Busy`.
pub async fn second_factor(
    app: &Arc<App>,
    ticket: &str,
    code: &str,
    from: From,
) -> Result<Committed<Entered>, Failure> {
    by_ticket(app, ticket, Shown::Code(code.to_owned()), from).await
}

/// What is shown beside a ticket.
pub(super) enum Shown {
    Code(String),
    Passkey(passkeys::Answer),
}

/// Signs in by a ticket and whatever is shown beside it.
pub(super) async fn by_ticket(
    app: &Arc<App>,
    ticket: &str,
    shown: Shown,
    from: From,
) -> Result<Committed<Entered>, Failure> {
    let (app, ticket) = (Arc::clone(app), ticket.to_owned());
    // To its end: who hangs up while it is checked has still tried it.
    whole(async move {
        let (mut ticket, member) = Ticket::open(&app, &ticket).await?;
        let login = Login::new(&member.account, &member.email);
        let admitted = app.throttle.admit(login, from.spot(), app.clock.now())?;
        let factors = app.store.factors(&member.id).await?;
        if factors.round != ticket.round {
            return Err(ticket::dead());
        }
        if factors.authenticator.is_none() {
            return Err(set_up_first());
        }
        let (proof, before) = match &shown {
            Shown::Code(code) => check_code(&app, &member, &factors, code, admitted).await?,
            Shown::Passkey(answer) => {
                passkeys::check(&app, &member, &factors, answer, admitted).await?
            }
        };
        ticket.failures_before = before;
        begin(&app, member, ticket, Some(proof), &from).await
    })
    .await
}

/// A member whose password was right.
struct Checked {
    member: Member,
    password: String,
    rehashed: Option<String>,
}

/// Whether the password is right. One hash run, whatever is wrong.
async fn checked(app: &App, attempt: &Attempt) -> Result<Option<Checked>, Failure> {
    let member = app.store.member_by_email(&attempt.account, attempt.email.key()).await?;
    let member = member.filter(|member| member.status == Status::Active);
    let credential = match &member {
        Some(member) => app.store.credential(&member.id).await?,
        None => None,
    };
    // What cannot be anybody's password still costs a run.
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
    let rehashed = match verified.rehash {
        true => Some(app.hasher.hash(&password).await?),
        false => None,
    };
    Ok(Some(Checked { member, password: credential.password, rehashed }))
}

/// Begins the session.
async fn begin(
    app: &Arc<App>,
    member: Member,
    ticket: Ticket,
    proof: Option<Proof>,
    from: &From,
) -> Result<Committed<Entered>, Failure> {
    let (token, session) = new_session(app, &member, from)?;
    let Ticket { checked, rehashed, round, failures_before, .. } = ticket;
    let proof = proof.map(|proof| (proof, round));
    let sign_in = SignIn { session, checked, rehashed, proof, failures_before };
    let app = Arc::clone(app);
    let Committed { revision, value: session } =
        whole(async move { refresh::seen(&app, app.store.session_begin(sign_in).await).await })
            .await?;
    tell_entered(&session);
    Ok(Committed { revision, value: Entered { token, session, member } })
}

/// Tells the log that somebody signed in.
pub(super) fn tell_entered(session: &Session) {
    tracing::info!(
        event = "authn_login_success",
        member = %session.member,
        account = %session.account,
        session = %session.id,
        "somebody signed in"
    );
}

/// A new token, and the session that it opens.
pub(super) fn new_session(
    app: &App,
    member: &Member,
    from: &From,
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

/// What a browser calls itself is a stranger's text.
fn bounded(agent: &str) -> String {
    agent.chars().filter(|c| !c.is_control()).take(limits::AGENT_CHARS_MAX).collect()
}

/// Tells the log of a failed try; where many in a row begin to slow a member's sign-in down, the
/// member's audit log hears of it, once. The answer does not wait for that: its time would tell
/// whether there is such a member.
pub(super) fn tell_failed(
    app: &Arc<App>,
    (account, email): (&AccountSlug, &Email),
    from: &From,
    failures: u32,
) {
    let (address, masked) = (from.network(), email.masked());
    let claimed = from.claimed.map(|address| address.to_string());
    tracing::warn!(event = "authn_login_fail", %account, email = masked, address, claimed, failures, "a password was refused");
    if failures != limits::SIGN_IN_FAILURES_TOLD {
        return;
    }
    tracing::warn!(event = "authn_login_lock", %account, email = masked, "sign-in attempts are slowed down");
    let (app, account, email) = (Arc::clone(app), account.clone(), email.clone());
    tokio::spawn(async move {
        let member = app.store.member_by_email(&account, email.key()).await;
        if let Ok(Some(member)) = member {
            let _ = app.store.sign_in_slowed(&member, failures).await;
        }
    });
}
