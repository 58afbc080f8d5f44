//! Invites: send, resend, edit and revoke; and what their links do.
//!
//! The inviter must be allowed to give the role, both when the invite is sent and when it is
//! accepted. A token is derived when it is needed and never stored; this module decides who may see
//! a link other than by mail.

use std::sync::Arc;

use super::account_and_inviter::{self, inviter};
use super::caller::Caller;
use super::detached_changes::run_detached;
use super::links::new_letter;
use super::permits::Permit;
use super::rights::{Right, first_denied};
use super::{directory_sync, links, passwords, roles};
use crate::app::App;
use crate::domain::invite::LinkState;
use crate::domain::{
    Account, AccountSlug, DeliveryState, Digest, Email, Failure, Generation, IdempotencyKey,
    Invite, InviteId, InviteState, Kind, Member, MemberId, Name, RoleId, Token, Version, invite,
    limits, one_time_link,
};
use crate::entropy;
use crate::password::Password;
use crate::store::requests_and_views::invites::{
    Acceptance, Idempotency, InviteEdit, InviteFilter, InviteTarget, InviteView, NewInvite,
    NewInviteLink, OpenInvites,
};
use crate::store::{Committed, Page, preconditions};
use crate::throttle::Quota;

/// Who is to be invited.
#[derive(Clone, Debug)]
pub struct Invitation {
    /// The address of the link.
    pub email: Email,
    /// First name.
    pub first_name: Name,
    /// Last name.
    pub last_name: Name,
    /// The role.
    pub role: RoleId,
}

impl Invitation {
    fn digest(&self) -> Digest {
        Digest::of(&[
            self.email.as_str().as_bytes(),
            self.first_name.as_str().as_bytes(),
            self.last_name.as_str().as_bytes(),
            self.role.as_str().as_bytes(),
        ])
    }
}

/// The changes of an edit; `None` leaves a field unchanged.
#[derive(Clone, Debug, Default)]
pub struct InviteCorrection {
    /// Another address: the previous link stops working, and a new one is sent there.
    pub email: Option<Email>,
    /// First name.
    pub first_name: Option<Name>,
    /// Last name.
    pub last_name: Option<Name>,
    /// The role.
    pub role: Option<RoleId>,
}

/// An invite to change, and the version that the caller has seen.
#[derive(Clone, Debug)]
pub struct ChosenInvite {
    /// The invite.
    pub id: InviteId,
    /// `If-Match`; `None` accepts any version.
    pub expected: Option<Version>,
}

impl ChosenInvite {
    /// With the version that was checked, if the caller gives none.
    fn at(self, judged: &InviteView) -> Self {
        Self { expected: self.expected.or(Some(judged.invite.version)), ..self }
    }

    fn target<'a>(&'a self, account: &'a AccountSlug) -> InviteTarget<'a> {
        InviteTarget { account, id: &self.id, expected: self.expected }
    }
}

/// An invite, with its link if the caller may see it.
#[derive(Clone, Debug)]
pub struct InviteWithLink {
    /// The invite.
    pub view: InviteView,
    /// The sender's name; `None` if the sender is no longer a member.
    pub inviter: Option<Member>,
    /// The valid link.
    pub link: Option<String>,
    /// A warning for the one who sends it.
    pub warning: Option<String>,
    /// Created by an earlier call with the same idempotency key.
    pub repeated: bool,
}

/// What the holder of a link sees before joining.
#[derive(Clone, Debug)]
pub struct InvitePreview {
    /// The invite.
    pub invite: Invite,
    /// The account that it is for.
    pub account: Account,
    /// The sender; `None` if the sender is no longer a member.
    pub inviter: Option<Member>,
}

/// Sends an invite.
///
/// # Errors
/// `Denied` `not_allowed`; `Invalid` `unknown_role`; `NotFound` `unknown_account`; `Conflict`
/// `already_member`, `suspended_member`, `already_invited`, `idempotency_key_reused`, `moved_on`;
/// `TooMany` `too_many_invites`; `Busy`.
pub async fn send(
    app: &Arc<App>,
    caller: Caller,
    invitation: Invitation,
    idempotency_key: Option<IdempotencyKey>,
) -> Result<Committed<InviteWithLink>, Failure> {
    let app = Arc::clone(app);
    run_detached(async move {
        let _giving = roles::lock_role_grants(&app, [&invitation.role]).await?;
        let rights = [Right::INVITE, Right::assign(invitation.role.clone())];
        let permit = Permit::authorize(&app, caller, rights).await?;
        let seen_by = permit.caller().clone();
        let account = account_and_inviter::account(&app, permit.account()).await?;
        let idempotency =
            idempotency_key.map(|key| Idempotency { key, request: invitation.digest() });
        let new = draft(&app, &account, invitation, idempotency)?;
        let (store, new) = (&app.store, &new);
        let change = move |by| async move { store.invite_create(&by, new.clone()).await };
        let done = permit.run(&app, change).await?;
        let repeated = done.value.invite.id != new.id;
        let Committed { revision, value } = shown(&app, &seen_by, done).await?;
        Ok(Committed { revision, value: InviteWithLink { repeated, ..value } })
    })
    .await
}

/// A new invite with its first link.
pub(super) fn draft(
    app: &App,
    account: &Account,
    invitation: Invitation,
    idempotency: Option<Idempotency>,
) -> Result<NewInvite, Failure> {
    let id = InviteId::from_random(entropy::random()?);
    let link = links::new_invite_link(app, account, &id, Generation::FIRST)?;
    let Invitation { email, first_name, last_name, role } = invitation;
    let account = account.slug.clone();
    Ok(NewInvite { id, account, email, first_name, last_name, role, link, idempotency })
}

/// An invite after a change, with what is unusual about its address, and with its link if nobody
/// else delivers it: for the operator of the sidecar, and if no mail is sent.
async fn shown(
    app: &App,
    caller: &Caller,
    done: Committed<InviteView>,
) -> Result<Committed<InviteWithLink>, Failure> {
    let Committed { revision, value: view } = done;
    let open = view.invite.state(app.clock.now()) == InviteState::Pending;
    let link = if open && (caller.is_sidecar() || !app.mailer.sends()) {
        links::valid_invite_link(app, &view.invite).await.ok()
    } else {
        None
    };
    let inviter = inviter(app, &view.invite).await?;
    let warning = view.invite.email.hint();
    Ok(Committed {
        revision,
        value: InviteWithLink { view, inviter, link, warning, repeated: false },
    })
}

/// One page of the account's invites, newest first.
///
/// # Errors
/// `Denied` `not_allowed`; `Invalid` `unknown_role`; `Busy`.
pub async fn list(
    app: &App,
    caller: Caller,
    filter: &InviteFilter,
    after: Option<&str>,
    limit: usize,
) -> Result<Page<InviteWithLink>, Failure> {
    let permit = Permit::authorize(app, caller, [Right::VIEW_TEAM]).await?;
    if let Some(role) = &filter.role
        && let Err(unknown) = roles::ensure_role_exists(app, role)
    {
        // Invites may still be for a role that was removed.
        let of_role = InviteFilter { role: Some(role.clone()), ..InviteFilter::default() };
        if app.store.invites_count(permit.account(), &of_role).await? == 0 {
            return Err(unknown);
        }
    }
    let page = app.store.invites(permit.account(), filter, after, limit).await?;
    let mut items = Vec::with_capacity(page.items.len());
    for view in page.items {
        let inviter = inviter(app, &view.invite).await?;
        items.push(InviteWithLink { view, inviter, link: None, warning: None, repeated: false });
    }
    Ok(Page { items, next: page.next })
}

/// How many invites of the account match a filter, on all pages.
///
/// # Errors
/// `Denied` `not_allowed`; `Busy`.
pub async fn count(app: &App, caller: Caller, filter: &InviteFilter) -> Result<usize, Failure> {
    let permit = Permit::authorize(app, caller, [Right::VIEW_TEAM]).await?;
    app.store.invites_count(permit.account(), filter).await
}

/// How many invites of the account are pending, and how many of them were not delivered.
///
/// # Errors
/// `Denied` `not_allowed`; `Busy`.
pub async fn open_count(app: &App, caller: Caller) -> Result<OpenInvites, Failure> {
    let permit = Permit::authorize(app, caller, [Right::VIEW_TEAM]).await?;
    app.store.invites_open(permit.account()).await
}

/// One invite of the caller's account.
///
/// # Errors
/// `Denied` `not_allowed`; `NotFound` `unknown_invite`; `Busy`.
pub async fn show(app: &App, caller: Caller, id: &InviteId) -> Result<InviteWithLink, Failure> {
    let permit = Permit::authorize(app, caller, [Right::VIEW_TEAM]).await?;
    let view = found(app, permit.account(), id).await?;
    let inviter = inviter(app, &view.invite).await?;
    Ok(InviteWithLink { view, inviter, link: None, warning: None, repeated: false })
}

/// Resends an invite with a new link: the previous link stops working.
///
/// # Errors
/// `Denied` `not_allowed`; `NotFound` `unknown_invite`; `Stale`; `Conflict` `invite_accepted`,
/// `invite_revoked`, `invite_role_gone`, `already_member`, `already_invited`, `moved_on`; `TooMany`
/// `too_many_invites`; `Busy`.
pub async fn resend(
    app: &Arc<App>,
    caller: Caller,
    chosen: ChosenInvite,
) -> Result<Committed<InviteWithLink>, Failure> {
    let app = Arc::clone(app);
    run_detached(async move {
        let InviteChange { _giving, permit, before, account } =
            InviteChange::begin(&app, caller, &chosen, None).await?;
        let chosen = chosen.at(&before);
        let seen_by = permit.caller().clone();
        let bounced = bounced(&before);
        let link = renewal(&app, &account, &before.invite)?;
        let (store, slug) = (&app.store, &account.slug);
        let (chosen, link) = (&chosen, &link);
        let change = move |by| async move {
            store.invite_renew(&by, chosen.target(slug), link.clone()).await
        };
        let done = permit.run(&app, change).await?;
        let mut done = shown(&app, &seen_by, done).await?;
        let both: Vec<String> = bounced.into_iter().chain(done.value.warning.take()).collect();
        done.value.warning = (!both.is_empty()).then(|| both.join("; "));
        Ok(done)
    })
    .await
}

/// Edits an invite: names, role, or the address, which sends a new link there.
///
/// # Errors
/// As [`resend`], and `Invalid` `unknown_role`.
pub async fn correct(
    app: &Arc<App>,
    caller: Caller,
    chosen: ChosenInvite,
    correction: InviteCorrection,
) -> Result<Committed<InviteWithLink>, Failure> {
    let app = Arc::clone(app);
    run_detached(async move {
        let InviteChange { _giving, permit, before, account } =
            InviteChange::begin(&app, caller, &chosen, correction.role.as_ref()).await?;
        let chosen = chosen.at(&before);
        let seen_by = permit.caller().clone();
        let edit = InviteEdit {
            first_name: correction.first_name,
            last_name: correction.last_name,
            role: correction.role,
            email: correction.email,
            link: Some(renewal(&app, &account, &before.invite)?),
        };
        let (store, slug) = (&app.store, &account.slug);
        let (chosen, edit) = (&chosen, &edit);
        let change = move |by| async move {
            store.invite_edit(&by, chosen.target(slug), edit.clone()).await
        };
        let done = permit.run(&app, change).await?;
        shown(&app, &seen_by, done).await
    })
    .await
}

/// The valid link, to pass on by other means than mail. It stays the same, unless the invite has
/// expired or was sent by another member: a new link then makes the caller responsible for the
/// invite.
///
/// # Errors
/// As [`resend`]; `Conflict` `link_key_gone`, when the keys that it was made with are gone.
pub async fn link(
    app: &Arc<App>,
    caller: Caller,
    chosen: ChosenInvite,
) -> Result<Committed<InviteWithLink>, Failure> {
    let app = Arc::clone(app);
    run_detached(async move {
        let InviteChange { _giving, permit, before, account } =
            InviteChange::begin(&app, caller, &chosen, None).await?;
        let chosen = chosen.at(&before);
        let actor = permit.actor();
        let renewed = if before.invite.needs_own_link(&actor, app.clock.now()) {
            Some(NewInviteLink { letter: None, ..renewal(&app, &account, &before.invite)? })
        } else {
            None
        };
        let (store, slug) = (&app.store, &account.slug);
        let (chosen, renewed) = (&chosen, &renewed);
        let change = move |by| async move {
            store.invite_link_shown(&by, chosen.target(slug), renewed.clone()).await
        };
        let Committed { revision, value: view } = permit.run(&app, change).await?;
        let link = Some(links::valid_invite_link(&app, &view.invite).await?);
        let inviter = inviter(&app, &view.invite).await?;
        Ok(Committed {
            revision,
            value: InviteWithLink { view, inviter, link, warning: None, repeated: false },
        })
    })
    .await
}

/// Revokes an invite.
///
/// # Errors
/// `Denied` `not_allowed`; `NotFound` `unknown_invite`; `Stale`; `Conflict` `invite_accepted`,
/// `invite_revoked`, `moved_on`; `Busy`.
pub async fn revoke(
    app: &Arc<App>,
    caller: Caller,
    chosen: ChosenInvite,
) -> Result<Committed<InviteWithLink>, Failure> {
    let app = Arc::clone(app);
    run_detached(async move {
        let _still = roles::lock_role_grants(&app, []).await?;
        let permit =
            Permit::authorize(&app, caller, [Right::change_invite(chosen.id.clone())]).await?;
        let (store, slug) = (&app.store, &permit.account().clone());
        let chosen = &chosen;
        let change = move |by| async move { store.invite_revoke(&by, chosen.target(slug)).await };
        let Committed { revision, value: view } = permit.run(&app, change).await?;
        let inviter = inviter(&app, &view.invite).await?;
        Ok(Committed {
            revision,
            value: InviteWithLink { view, inviter, link: None, warning: None, repeated: false },
        })
    })
    .await
}

/// The invitation behind a link. Changes nothing.
///
/// # Errors
/// `Gone` with what to do: `link_dead`, `invite_expired`, `invite_replaced`, `invite_accepted`,
/// `invite_revoked`, `inviter_lost_right`, `invite_role_gone`; `Busy`.
pub async fn inspect(app: &App, token: &str) -> Result<InvitePreview, Failure> {
    let token = Token::parse(token).ok_or_else(one_time_link::dead)?;
    let (invite, generation) =
        app.store.invite_by_token(token.hash()).await?.ok_or_else(one_time_link::dead)?;
    invite.may_be_accepted(generation, app.clock.now())?;
    let found = inspected(app, invite).await?;
    if roles::ensure_role_exists(app, &found.invite.role).is_err() {
        return Err(role_gone(&found));
    }
    inviter_still_may(app, &found.invite).await?;
    Ok(found)
}

/// The code of a refusal because the policies no longer have the role of an invite.
pub const ROLE_GONE: &str = "invite_role_gone";

/// The refusal of an invite whose role the policies no longer have.
fn role_gone(found: &InvitePreview) -> Failure {
    let inviter = found.inviter.as_ref().map(Member::full_name);
    let whom = inviter.map_or_else(String::new, |name| format!("{name}, who invited you, or "));
    Failure::new(
        Kind::Gone,
        ROLE_GONE,
        format!(
            "the role that this invitation gives was removed: ask {whom}an administrator of {} to give the invitation another role, and to send it again",
            found.account.name
        ),
    )
}

/// The refusal of a change that gives out a role which the policies no longer have.
fn role_removed(invite: &Invite) -> Failure {
    let Invite { id, role, .. } = invite;
    Failure::new(
        Kind::Conflict,
        ROLE_GONE,
        format!(
            "this invite is for the role `{role}`, which was removed: choose another one with `kwic-team invite edit {id} --role ROLE`, or revoke it with `kwic-team invite revoke {id}`"
        ),
    )
}

async fn inspected(app: &App, invite: Invite) -> Result<InvitePreview, Failure> {
    let account = account_and_inviter::account(app, &invite.account).await?;
    let inviter = inviter(app, &invite).await?;
    Ok(InvitePreview { invite, account, inviter })
}

/// The state of a link, and its invitation with the person to ask for a new one; `None` where no
/// invitation has the link. Changes nothing.
///
/// # Errors
/// `Busy`.
pub async fn link_state(
    app: &App,
    token: &str,
) -> Result<Option<(LinkState, InvitePreview)>, Failure> {
    let Some(token) = Token::parse(token) else { return Ok(None) };
    let found = app.store.invite_by_token(token.hash()).await?;
    let Some((invite, generation)) = found else { return Ok(None) };
    let state = invite.link_state(generation, app.clock.now());
    Ok(Some((state, inspected(app, invite).await?)))
}

/// Joins: creates the member of an invite. The token is consumed only after the password has passed
/// every rule.
///
/// # Errors
/// As [`inspect`]; `Invalid` for a password that is refused, with the rule; `Conflict`
/// `already_member`, `moved_on`; `Busy`.
pub async fn accept(
    app: &Arc<App>,
    token: &str,
    password: &str,
) -> Result<Committed<Member>, Failure> {
    let InvitePreview { invite, account, .. } = inspect(app, token).await?;
    let token = Token::parse(token).ok_or_else(one_time_link::dead)?;
    let password = Password::parse(password)?;
    let person = [invite.first_name.as_str(), invite.last_name.as_str()];
    passwords::check(&password, &account, &invite.email, person)?;
    let hash = app.hasher.hash(&password).await?;
    let member = MemberId::from_random(entropy::random()?);
    let app = Arc::clone(app);
    run_detached(async move {
        // Checked again with current data: hashing took time.
        for last_try in [false, true] {
            let InvitePreview { invite, .. } = inspect(&app, token.expose()).await?;
            let _giving = roles::lock_role_grants(&app, [&invite.role]).await?;
            let acceptance = Acceptance {
                token: token.hash(),
                member: member.clone(),
                password: hash.clone(),
                judged: Some(invite.version),
                inviter: inviter_still_may(&app, &invite).await?,
            };
            let done = app.store.invite_accept(acceptance).await;
            match done {
                Err(failure) if failure.code == preconditions::MOVED_ON && !last_try => {}
                done => return directory_sync::wait_until_applied(&app, done).await,
            }
        }
        Err(preconditions::rights_changed())
    })
    .await
}

/// Asks the sender of an invite for a new one, with a dead link. Reveals nothing about the invite.
///
/// # Errors
/// `Busy`, when the disk fails.
pub async fn request_new_link(app: &Arc<App>, token: &str) -> Result<(), Failure> {
    let Some(token) = Token::parse(token) else { return Ok(()) };
    let Some((invite, _)) = app.store.invite_by_token(token.hash()).await? else { return Ok(()) };
    if !matches!(invite.state(app.clock.now()), InviteState::Pending | InviteState::Expired) {
        return Ok(());
    }
    // Per invite, so that one dead link cannot fill the inviter's mailbox.
    let quota = Quota {
        of: &[b"invite wanted", invite.id.as_str().as_bytes()],
        most: limits::INVITE_WANTED_MAX,
        per: limits::INVITE_WANTED_PER,
    };
    if app.quotas.take(&[quota], app.clock.now()).is_err() {
        // The inviter was asked recently.
        return Ok(());
    }
    let app = Arc::clone(app);
    run_detached(async move {
        let letter = match inviter(&app, &invite).await? {
            Some(inviter) if app.mailer.sends() => {
                let expires = app.clock.later(limits::NOTICE_LIFETIME);
                Some((inviter, new_letter(&app, "wanted", expires)?))
            }
            _ => None,
        };
        directory_sync::wait_until_applied(
            &app,
            app.store.invite_wanted(token.hash(), letter).await,
        )
        .await
    })
    .await?;
    Ok(())
}

fn renewal(app: &App, account: &Account, invite: &Invite) -> Result<NewInviteLink, Failure> {
    links::new_invite_link(app, account, &invite.id, invite.generation.next())
}

/// A change of an invite that gives its role again.
struct InviteChange<'a> {
    _giving: roles::RoleGrantGuard<'a>,
    permit: Permit,
    before: InviteView,
    account: Account,
}

impl<'a> InviteChange<'a> {
    /// Checks the right to change this invite, and to give its role, or the new one.
    async fn begin(
        app: &'a App,
        caller: Caller,
        chosen: &ChosenInvite,
        role: Option<&RoleId>,
    ) -> Result<Self, Failure> {
        let slug = caller.account().clone();
        let found = found(app, &slug, &chosen.id).await;
        let giving = roles::lock_role_grants(app, role).await?;
        let own = found.as_ref().ok().map(|view| &view.invite.role);
        let role =
            role.or(own).filter(|role| roles::ensure_role_exists(app, role).is_ok()).cloned();
        let change = Right::change_invite(chosen.id.clone());
        let rights = std::iter::once(change).chain(role.clone().map(Right::assign));
        // The right is checked before anything is revealed about the invite.
        let permit = Permit::authorize(app, caller, rights).await?;
        let before = found?;
        let state = before.invite.state(app.clock.now());
        if role.is_none() && matches!(state, InviteState::Pending | InviteState::Expired) {
            return Err(role_removed(&before.invite));
        }
        Ok(Self {
            _giving: giving,
            permit,
            before,
            account: account_and_inviter::account(app, &slug).await?,
        })
    }
}

async fn found(app: &App, account: &AccountSlug, id: &InviteId) -> Result<InviteView, Failure> {
    app.store.invite(account, id).await?.ok_or_else(unknown)
}

/// The failure for an unknown invite.
#[must_use]
pub fn unknown() -> Failure {
    Failure::new(
        Kind::NotFound,
        invite::UNKNOWN,
        "there is no such invite on this account: `kwic-team invite list` shows the invites",
    )
}

/// Whether the inviter may still invite for this role; returns the version of the member's record
/// that was checked, if the right is a member's.
///
/// # Errors
/// `Gone` `inviter_lost_right`.
async fn inviter_still_may(
    app: &App,
    invite: &Invite,
) -> Result<Option<(MemberId, Version)>, Failure> {
    if invite.inviter.member().is_none() {
        return Ok(None);
    }
    let rights = [Right::INVITE, Right::assign(invite.role.clone())];
    match inviter(app, invite).await? {
        Some(inviter) if first_denied(app, &inviter, &rights).is_none() => {
            Ok(Some((inviter.id, inviter.version)))
        }
        _ => Err(Failure::new(
            Kind::Gone,
            "inviter_lost_right",
            "the person who sent this invitation may not invite you any more: ask an administrator of the team for a new one",
        )),
    }
}

/// The warning about the previous mail.
fn bounced(before: &InviteView) -> Option<String> {
    let delivery = &before.delivery;
    (delivery.state == DeliveryState::Bounced).then(|| {
        format!(
            "the previous mail bounced: {}; if the address is wrong, correct it",
            delivery.detail
        )
    })
}
