//! Signing in: one answer for an unknown address, a wrong password, a suspended member and one
//! without a password, at the same cost.
//!
//! Each way costs one hash run. Failed tries slow the next one down, by login and by network, and
//! lock nobody out for good. Never says which of the four it was.

use std::net::IpAddr;
use std::sync::Arc;

use super::whole::whole;
use super::{refresh, sessions};
use crate::app::App;
use crate::domain::session::sign_in_refused;
use crate::domain::{
    AccountSlug, Email, Failure, Kind, Member, Session, SessionId, Status, Token, limits,
};
use crate::entropy;
use crate::password::Password;
use crate::store::Committed;
use crate::store::sessions::SignIn;
use crate::throttle::Login;

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
    /// What the browser calls itself.
    pub agent: String,
}

impl From {
    /// The address as text; empty where it is not known.
    pub(super) fn network(&self) -> String {
        self.address.map(|address| address.to_string()).unwrap_or_default()
    }

    /// What one caller can hold of addresses: an IPv6 host has a whole /64.
    pub(super) fn place(&self) -> String {
        match self.address {
            Some(IpAddr::V6(address)) => {
                let [a, b, c, d, ..] = address.segments();
                format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
            }
            _ => self.network(),
        }
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

/// Signs in.
///
/// # Errors
/// `Unauthenticated` `sign_in_refused`, one answer for every cause; `TooMany` `too_many_tries`;
/// `Busy`.
pub async fn sign_in(app: &Arc<App>, attempt: Attempt) -> Result<Committed<Entered>, Failure> {
    let app = Arc::clone(app);
    // To its end: who hangs up while the password is hashed has still tried it.
    whole(async move { try_once(&app, attempt).await }).await
}

async fn try_once(app: &Arc<App>, attempt: Attempt) -> Result<Committed<Entered>, Failure> {
    let login = Login::new(&attempt.account, &attempt.email);
    let admitted = app.throttle.admit(login, attempt.from.address, app.clock.now())?;
    match checked(app, &attempt).await? {
        Some(checked) => {
            let failures_before = admitted.succeeded(app.clock.now());
            begin(app, checked, failures_before, &attempt.from).await
        }
        None => {
            let failures = admitted.failed(app.clock.now());
            tell_failed(app, (&attempt.account, &attempt.email), &attempt.from, failures);
            Err(sign_in_refused())
        }
    }
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

async fn begin(
    app: &Arc<App>,
    checked: Checked,
    failures_before: u32,
    from: &From,
) -> Result<Committed<Entered>, Failure> {
    let Checked { member, password, rehashed } = checked;
    let (token, session) = new_session(app, &member, from)?;
    let sign_in = SignIn { session, checked: password, rehashed, failures_before };
    let app = Arc::clone(app);
    let Committed { revision, value: session } =
        whole(async move { refresh::seen(&app, app.store.session_begin(sign_in).await).await })
            .await?;
    tracing::info!(
        event = "authn_login_success",
        member = %member.id,
        account = %member.account,
        session = %session.id,
        "somebody signed in"
    );
    Ok(Committed { revision, value: Entered { token, session, member } })
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
fn tell_failed(
    app: &Arc<App>,
    (account, email): (&AccountSlug, &Email),
    from: &From,
    failures: u32,
) {
    let (address, masked) = (from.network(), email.masked());
    tracing::warn!(event = "authn_login_fail", %account, email = masked, address, failures, "a password was refused");
    if failures != limits::SIGN_IN_FAILURES_TOLD {
        return;
    }
    tracing::warn!(event = "authn_login_lock", %account, email = masked, "tries are slowed down");
    let (app, account, email) = (Arc::clone(app), account.clone(), email.clone());
    tokio::spawn(async move {
        let member = app.store.member_by_email(&account, email.key()).await;
        if let Ok(Some(member)) = member {
            let _ = app.store.sign_in_slowed(&member, failures).await;
        }
    });
}

/// Checks the password of somebody who is signed in, before something that must not be done from
/// a screen that was left open. Slowed down like a sign-in. Answers the hash that it was checked
/// against.
///
/// # Errors
/// `Denied` `wrong_password`; `TooMany` `too_many_tries`; `Unauthenticated` `session_ended`;
/// `Busy`.
pub(super) async fn check_own_password(
    app: &Arc<App>,
    member: &Member,
    password: &str,
    from: &From,
) -> Result<String, Failure> {
    let login = Login::new(&member.account, &member.email);
    let admitted = app.throttle.admit(login, from.address, app.clock.now())?;
    let credential = app.store.credential(&member.id).await?.ok_or_else(sessions::ended)?;
    let matches = match Password::parse(password) {
        Ok(password) => app.hasher.verify(&password, &credential.password).await?.matches,
        Err(_) => false,
    };
    if !matches {
        let failures = admitted.failed(app.clock.now());
        tell_failed(app, (&member.account, &member.email), from, failures);
        return Err(Failure {
            kind: Kind::Denied,
            code: "wrong_password",
            ..Failure::invalid("password", "this is not your current password: type it again")
        });
    }
    admitted.succeeded(app.clock.now());
    Ok(credential.password)
}
