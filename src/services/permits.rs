//! Permits: the proof, as a value, that the caller is authorized for what a service is about to do.
//!
//! The fields are private and every constructor is in this file, so that a service that takes a permit
//! cannot be called without the check. Services that change something take the permit by value, and it
//! is neither `Clone` nor `Copy`: one check, one change. A member's permit is the engine's decision
//! about the stored record and carries the version of that record (optimistic lock): a transaction
//! that finds another version refuses, and the check is repeated.

use super::caller::{Caller, operator_only};
use super::directory_sync::wait_until_applied;
use super::rights::{self, Right};
use super::session_auth::SignedIn;
use crate::app::App;
use crate::domain::{AccountSlug, Actor, Failure, Kind, Member, PolicyCause, Version};
use crate::store::requests_and_views::policies::Publication;
use crate::store::{Committed, Preconditions, preconditions};

/// Refuses on a node that denies every decision for being stale: the caller may have been removed on
/// another node. The operator of the sidecar is known by the machine itself.
pub(super) fn not_stale(app: &App) -> Result<(), Failure> {
    match app.stale() {
        Some(stale) if stale.denies => Err(Failure::new(
            Kind::Busy,
            "stale",
            format!(
                "this node could not follow the shared log for {} s, and answers nobody until it does: use another node, or try again in a minute",
                stale.seconds
            ),
        )),
        _ => Ok(()),
    }
}

/// The right to manage the people of one account.
#[derive(Debug)]
pub struct Permit {
    caller: Caller,
    version: Option<Version>,
    rights: Vec<Right>,
}

impl Permit {
    /// Checks these rights by the live policies; the operator of the sidecar has all.
    ///
    /// # Errors
    /// `Denied` `not_allowed`, naming the action; `Unauthenticated` `session_ended`, `token_ended`,
    /// when the member is gone, or may not give the token's role any more; `Busy`, when the disk fails.
    pub async fn authorize(
        app: &App,
        caller: Caller,
        rights: impl IntoIterator<Item = Right>,
    ) -> Result<Self, Failure> {
        let rights: Vec<Right> = rights.into_iter().collect();
        if !matches!(caller, Caller::Sidecar { .. }) {
            not_stale(app)?;
        }
        let version = match &caller {
            Caller::Sidecar { .. } => None,
            Caller::Member(signed_in) => Some(judge(app, &signed_in.record(app).await?, &rights)?),
            Caller::Token(holder) => {
                let maker = holder.maker(app).await?;
                let acting = Member { role: holder.role().clone(), ..maker };
                Some(judge(app, &acting, &rights)?)
            }
        };
        Ok(Self { caller, version, rights })
    }

    /// Checks the same rights again with current data.
    async fn again(self, app: &App) -> Result<Self, Failure> {
        Self::authorize(app, self.caller, self.rights).await
    }

    /// The caller.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The account of this permit.
    #[must_use]
    pub fn account(&self) -> &AccountSlug {
        self.caller.account()
    }

    /// The actor for the audit log.
    #[must_use]
    pub fn actor(&self) -> Actor {
        self.caller.actor()
    }

    /// The preconditions for the store.
    fn by(&self, app: &App) -> Preconditions {
        let administering = app.policies.load().administering().clone();
        Preconditions { actor: self.actor(), version: self.version, administering }
    }

    /// Runs a change, and waits until decisions see it; if a precondition has changed, checks again,
    /// once. Where the change gives a role, the caller holds `lock_role_grants` meanwhile: the store cannot
    /// detect a swap of the policies.
    ///
    /// # Errors
    /// Those of the change, of the check, and of [`wait_until_applied`].
    pub(super) async fn run<T, F>(
        self,
        app: &App,
        change: impl Fn(Preconditions) -> F,
    ) -> Result<Committed<T>, Failure>
    where
        F: Future<Output = Result<Committed<T>, Failure>>,
    {
        let done = match change(self.by(app)).await {
            Err(failure) if failure.code == preconditions::MOVED_ON => {
                match self.again(app).await {
                    Ok(permit) => change(permit.by(app)).await,
                    Err(failure) => Err(failure),
                }
            }
            done => done,
        };
        wait_until_applied(app, done).await
    }
}

/// Asks the live policies about a member's stored record; returns its version.
fn judge(app: &App, member: &Member, rights: &[Right]) -> Result<Version, Failure> {
    match rights::first_denied(app, member, rights) {
        None => Ok(member.version),
        Some(right) => {
            tracing::warn!(
                event = "authz_fail",
                member = %member.id,
                account = %member.account,
                action = right.action,
                "a right is lacking"
            );
            Err(lacking(member, right))
        }
    }
}

fn lacking(member: &Member, right: &Right) -> Failure {
    let (role, action) = (&member.role, right.action);
    let sentence = match &right.role {
        Some(given) => format!(
            "your role `{role}` may not give the role `{given}` (`{action}`): ask an administrator of the team"
        ),
        None => format!(
            "your role `{role}` may not do this (`{action}`): ask an administrator of the team to do it, or to update your role"
        ),
    };
    Failure::not_allowed(sentence)
}

/// For a member who changes the own record, which needs no right.
pub(super) fn by_self(app: &App, signed_in: &SignedIn) -> Preconditions {
    let administering = app.policies.load().administering().clone();
    Preconditions { actor: Actor::Member(signed_in.member().clone()), version: None, administering }
}

/// The right to manage what is shared by all accounts: the accounts themselves, and the policies.
#[derive(Debug)]
pub struct StorePermit {
    actor: Actor,
    cause: PolicyCause,
}

impl StorePermit {
    /// For the operator of the sidecar, by the user id that the kernel reports.
    #[must_use]
    pub fn sidecar(peer_uid: u32) -> Self {
        Self { actor: Actor::Sidecar { uid: peer_uid }, cause: PolicyCause::Command }
    }

    /// For a member who may edit the settings of the account that manages the policies.
    ///
    /// # Errors
    /// `Denied` `operator_only` on another account, or where none is named; else as
    /// [`Permit::authorize`].
    pub async fn managing_policies(app: &App, caller: Caller) -> Result<Self, Failure> {
        if app.config.policies.managed_by.as_ref() != Some(caller.account()) {
            return Err(operator_only());
        }
        let permit = Permit::authorize(app, caller, [Right::EDIT_SETTINGS]).await?;
        Ok(Self { actor: permit.actor(), cause: PolicyCause::Command })
    }

    /// For a node that takes a set which somebody has published on another one, with a permit there.
    #[must_use]
    pub(super) fn of_publication(publication: &Publication) -> Self {
        let actor = Actor::from_label(&publication.actor).unwrap_or(Actor::System);
        Self { actor, cause: publication.cause }
    }

    /// For the sidecar itself.
    #[must_use]
    pub fn system() -> Self {
        Self { actor: Actor::System, cause: PolicyCause::Command }
    }

    /// The same, with what brings a policy set, for the history and the audit log.
    #[must_use]
    pub fn because(self, cause: PolicyCause) -> Self {
        Self { cause, ..self }
    }

    /// What brings a policy set.
    #[must_use]
    pub fn cause(&self) -> PolicyCause {
        self.cause
    }

    /// The actor for the audit log.
    #[must_use]
    pub fn actor(&self) -> &Actor {
        &self.actor
    }
}
