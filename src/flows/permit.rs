//! Permits: the proof, as a value, that the caller is authorized for what a flow is about to do.
//!
//! The fields are private and every constructor is in this file, so that a flow that takes a permit
//! cannot be called without the check. Flows that change something take the permit by value, and it
//! is neither `Clone` nor `Copy`: one check, one change. A member's permit is the engine's decision
//! about the stored record and carries the version of that record (optimistic lock): a transaction
//! that finds another version refuses, and the check is repeated.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::api_tokens::Holder;
use super::decide::InDirectory;
use super::sessions::SignedIn;
use crate::app::App;
use crate::domain::query::Record;
use crate::domain::{
    AccountSlug, Actor, EntityRef, Failure, InviteId, Kind, Member, MemberId, MemberView, Query,
    RoleId, Status, Value, Version,
};
use crate::engine::{Members, Snapshot, World};
use crate::store::{By, Committed, by};

/// The caller of a flow.
#[derive(Clone, Debug)]
pub enum Caller {
    /// The operator of the sidecar: anyone who may open `admin.sock` (mode 0600, in a folder of
    /// mode 0700) may do everything, on any account.
    Sidecar {
        /// From the kernel, not from the caller.
        uid: u32,
        /// The account of the call.
        account: AccountSlug,
    },
    /// A member, signed in.
    Member(SignedIn),
    /// A program, by a member's API token.
    Token(Holder),
}

impl Caller {
    /// The account of the call.
    #[must_use]
    pub fn account(&self) -> &AccountSlug {
        match self {
            Self::Sidecar { account, .. } => account,
            Self::Member(signed_in) => signed_in.account(),
            Self::Token(holder) => holder.account(),
        }
    }

    /// Whether this is the operator of the sidecar.
    #[must_use]
    pub const fn is_sidecar(&self) -> bool {
        matches!(self, Self::Sidecar { .. })
    }

    /// Refuses everybody else.
    ///
    /// # Errors
    /// `Denied` `operator_only`.
    pub(super) fn must_be_sidecar(&self) -> Result<(), Failure> {
        if self.is_sidecar() { Ok(()) } else { Err(operator_only()) }
    }

    /// The actor for the audit log.
    #[must_use]
    pub fn actor(&self) -> Actor {
        match self {
            Self::Sidecar { uid, .. } => Actor::Sidecar { uid: *uid },
            Self::Member(signed_in) => Actor::Member(signed_in.member().clone()),
            Self::Token(holder) => {
                Actor::Token { id: holder.id().clone(), member: holder.member().clone() }
            }
        }
    }
}

/// The refusal of everybody except the operator of the sidecar.
#[must_use]
pub fn operator_only() -> Failure {
    Failure::new(
        Kind::Denied,
        "operator_only",
        "only the operator of the sidecar may do this, through `admin.sock`: contact your system administrator",
    )
}

/// The target of a right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum On {
    /// The caller's account.
    Account,
    /// A member.
    Member(MemberId),
    /// An invite.
    Invite(InviteId),
}

/// One right: an action on a target, and for `roles:assign` the role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Right {
    action: &'static str,
    on: On,
    role: Option<RoleId>,
}

impl Right {
    /// `team:view` on the account.
    pub const VIEW_TEAM: Self = Self::on_account("team:view");
    /// `team:invite` on the account.
    pub const INVITE: Self = Self::on_account("team:invite");
    /// `team:edit` on the account.
    pub const EDIT_TEAM: Self = Self::on_account("team:edit");
    /// `settings:view` on the account.
    pub const VIEW_SETTINGS: Self = Self::on_account("settings:view");
    /// `settings:edit` on the account.
    pub const EDIT_SETTINGS: Self = Self::on_account("settings:edit");

    const fn on_account(action: &'static str) -> Self {
        Self { action, on: On::Account, role: None }
    }

    /// `team:edit` on a member.
    #[must_use]
    pub const fn edit(id: MemberId) -> Self {
        Self { action: "team:edit", on: On::Member(id), role: None }
    }

    /// `team:remove` on a member.
    #[must_use]
    pub const fn remove(id: MemberId) -> Self {
        Self { action: "team:remove", on: On::Member(id), role: None }
    }

    /// `team:invite` on an invite.
    #[must_use]
    pub const fn change_invite(id: InviteId) -> Self {
        Self { action: "team:invite", on: On::Invite(id), role: None }
    }

    /// `roles:assign` of a role, on the account.
    #[must_use]
    pub const fn assign(role: RoleId) -> Self {
        Self { action: "roles:assign", on: On::Account, role: Some(role) }
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
    fn by(&self, app: &App) -> By {
        let administering = app.policies.load().administering().clone();
        By { actor: self.actor(), version: self.version, administering }
    }

    /// Runs a change; if a precondition has changed, checks again, once. The caller prevents a swap
    /// of the policies meanwhile, which the store cannot detect.
    ///
    /// # Errors
    /// Those of the change and of the check.
    pub(super) async fn run<T, F>(
        self,
        app: &App,
        change: impl Fn(By) -> F,
    ) -> Result<Committed<T>, Failure>
    where
        F: Future<Output = Result<Committed<T>, Failure>>,
    {
        match change(self.by(app)).await {
            Err(failure) if failure.code == by::MOVED_ON => {
                change(self.again(app).await?.by(app)).await
            }
            done => done,
        }
    }
}

/// For a member who changes the own record, which needs no right.
pub(super) fn by_self(app: &App, signed_in: &SignedIn) -> By {
    let administering = app.policies.load().administering().clone();
    By { actor: Actor::Member(signed_in.member().clone()), version: None, administering }
}

/// Asks the live policies about a member's stored record; returns its version.
fn judge(app: &App, member: &Member, rights: &[Right]) -> Result<Version, Failure> {
    match first_denied(app, member, rights) {
        None => Ok(member.version),
        Some(right) => {
            tracing::warn!(
                event = "authz_fail",
                member = %member.id,
                account = %member.account,
                action = right.action,
                "permission denied"
            );
            Err(lacking(member, right))
        }
    }
}

/// The first right that a member lacks by the live policies.
pub(super) fn first_denied<'r>(
    app: &App,
    member: &Member,
    rights: &'r [Right],
) -> Option<&'r Right> {
    rights.iter().find(|right| !holds(app, member, right))
}

/// The roles that a member could give with another role, if that role has `also`.
pub(super) fn could_give(
    app: &App,
    member: &Member,
    role: &RoleId,
    also: &Right,
) -> BTreeSet<RoleId> {
    let member = Member { role: role.clone(), ..member.clone() };
    if !holds(app, &member, also) {
        return BTreeSet::new();
    }
    let live = app.policies.load();
    let roles = live.roles().iter().map(|card| card.id.clone());
    roles.filter(|role| holds(app, &member, &Right::assign(role.clone()))).collect()
}

/// Whether a member may create API tokens with a role: needs to edit the team and to give the role.
pub(super) fn may_give(app: &App, maker: &Member, role: &RoleId) -> bool {
    app.policies.load().has_role(role) && giving(role).iter().all(|right| holds(app, maker, right))
}

/// The same for the member as decisions see it now.
pub(super) fn may_give_now(
    app: &App,
    maker: &MemberId,
    account: &AccountSlug,
    role: &RoleId,
) -> bool {
    let (live, members) = (app.policies.load(), InDirectory(&app.directory));
    let may = |right: &Right| allows(&live, &members, (app, maker, account), right);
    live.has_role(role) && giving(role).iter().all(may)
}

/// The rights for creating a token with a role.
pub(super) fn giving(role: &RoleId) -> [Right; 2] {
    [Right::EDIT_TEAM, Right::assign(role.clone())]
}

/// What a member may do on the own account, for display only: each flow checks for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rights {
    /// See who is on the team.
    pub view_team: bool,
    /// Invite somebody.
    pub invite: bool,
    /// Change members, suspend and restore them.
    pub edit: bool,
    /// Remove members.
    pub remove: bool,
    /// See the account's settings.
    pub view_settings: bool,
    /// Change the account's settings.
    pub edit_settings: bool,
    /// The roles that the member may give.
    pub gives: BTreeSet<RoleId>,
}

/// The rights of a member by the live policies.
#[must_use]
pub fn rights(app: &App, member: &Member) -> Rights {
    let has = |right: &Right| holds(app, member, right);
    let remove = Right { action: "team:remove", on: On::Account, role: None };
    let live = app.policies.load();
    let roles = live.roles().iter().map(|card| card.id.clone());
    Rights {
        view_team: has(&Right::VIEW_TEAM),
        invite: has(&Right::INVITE),
        edit: has(&Right::EDIT_TEAM),
        remove: has(&remove),
        view_settings: has(&Right::VIEW_SETTINGS),
        edit_settings: has(&Right::EDIT_SETTINGS),
        gives: roles.filter(|role| has(&Right::assign(role.clone()))).collect(),
    }
}

fn lacking(member: &Member, right: &Right) -> Failure {
    let (role, action) = (&member.role, right.action);
    let sentence = match &right.role {
        Some(given) => format!(
            "your role `{role}` may not give the role `{given}` (`{action}`): ask an administrator of the account"
        ),
        None => format!(
            "your role `{role}` may not do this (`{action}`): ask an administrator of the account to do it, or to update your role"
        ),
    };
    Failure::new(Kind::Denied, "not_allowed", sentence)
}

/// One member as stored; all others as decisions see them.
struct Judged<'a> {
    app: &'a App,
    member: &'a Member,
}

impl Members for Judged<'_> {
    fn with<R>(&self, id: &str, read: impl FnOnce(MemberView<'_>) -> R) -> Option<R> {
        if id == self.member.id.as_str() {
            return Some(read(self.member.view()));
        }
        self.app.directory.with(id, read)
    }
}

fn holds(app: &App, member: &Member, right: &Right) -> bool {
    // Also for a policy folder without a rule about suspension.
    if member.status != Status::Active {
        return false;
    }
    let members = Judged { app, member };
    allows(&app.policies.load(), &members, (app, &member.id, &member.account), right)
}

/// Asks the policies about a member of an account, which `members` has.
fn allows(
    live: &Snapshot,
    members: &impl Members,
    (app, member, of): (&App, &MemberId, &AccountSlug),
    right: &Right,
) -> bool {
    let text = |text: &str| Value::String(Cow::Owned(text.to_owned()));
    let account: Record<'_> = vec![(Cow::Borrowed("account"), text(of.as_str()))];
    let on_account = ("account", of.as_str());
    let (kind, id) = match &right.on {
        On::Account => on_account,
        // A member of another account is treated as unknown: a caller with the right learns that
        // there is no such member, others that the right is missing.
        On::Member(id) if !is_of(app, id, of) => on_account,
        On::Member(id) => ("user", id.as_str()),
        // A folder may have no entity type for invites; then its account is used.
        On::Invite(_) if !live.knows_type("invite") => on_account,
        On::Invite(id) => ("invite", id.as_str()),
    };
    let role = right.role.as_ref().map(|role| (Cow::Borrowed("role"), text(role.as_str())));
    let context: Record<'_> = role.into_iter().collect();
    let query = Query {
        subject: EntityRef { kind: "user", id: member.as_str(), properties: &[] },
        action: right.action,
        action_properties: &[],
        resource: EntityRef { kind, id, properties: &account },
        context: &context,
    };
    let world = World { members, single_account: None };
    live.decide(&query, &world, false).allowed
}

fn is_of(app: &App, id: &MemberId, account: &AccountSlug) -> bool {
    app.directory.with(id.as_str(), |found| found.account == account.as_str()) == Some(true)
}

/// The right to manage what is shared by all accounts: the accounts themselves, and the policies.
#[derive(Debug)]
pub struct StorePermit {
    actor: Actor,
}

impl StorePermit {
    /// For the operator of the sidecar, by the user id that the kernel reports.
    #[must_use]
    pub fn sidecar(peer_uid: u32) -> Self {
        Self { actor: Actor::Sidecar { uid: peer_uid } }
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
        Ok(Self { actor: permit.actor() })
    }

    /// For the sidecar itself: a reload by file watch or signal.
    #[must_use]
    pub fn system() -> Self {
        Self { actor: Actor::System }
    }

    /// The actor for the audit log.
    #[must_use]
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// The same, consuming the permit.
    #[must_use]
    pub fn into_actor(self) -> Actor {
        self.actor
    }
}
