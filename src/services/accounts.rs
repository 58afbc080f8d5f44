//! Accounts: create, list, find the one that a caller means, and change the settings.
//!
//! Creates no member: the first member of an account is invited, imported, or created by the
//! set-up.

use std::sync::Arc;

use super::account_and_inviter::{self, unknown_account};
use super::caller::Caller;
use super::detached_changes::run_detached;
use super::invites::{self, Invitation};
use super::permits::{Permit, StorePermit};
use super::rights::Right;
use super::session_auth::SignedIn;
use super::{directory_sync, links, roles};
use crate::app::App;
use crate::domain::escaped_text::printable;
use crate::domain::{
    Account, AccountSlug, Email, Failure, Kind, Name, RoleId, Version, limits, two_step,
};
use crate::store::requests_and_views::invites::InviteView;
use crate::store::{AccountEdit, Committed};

/// The number of accounts that a failure names.
const ACCOUNTS_NAMED_MAX: usize = 20;

/// Creates an account, and optionally the invite of its first administrator.
///
/// # Errors
/// `Invalid` when the name is empty, too long or holds control characters, `unknown_role`, or
/// `role_missing`, `not_administering`; `Conflict` `account_exists`; `Busy`.
pub async fn create(
    app: &Arc<App>,
    permit: StorePermit,
    slug: AccountSlug,
    name: &str,
    first: Option<FirstMember>,
) -> Result<Committed<CreatedAccount>, Failure> {
    let name = checked_name(name)?;
    let first = first.map(|first| first.invitation(app)).transpose()?;
    let app = Arc::clone(app);
    run_detached(async move {
        let _giving = roles::lock_role_grants(&app, first.iter().map(|first| &first.role)).await?;
        // Where none administers whatever the attributes are, some may by their attributes.
        if !app.policies.load().administering().is_empty() {
            first.iter().try_for_each(|first| must_administer(&app, &first.role))?;
        }
        let account = Account {
            slug,
            name,
            created: app.clock.now(),
            invite_lifetime: None,
            two_step_enforced: false,
            version: Version::FIRST,
        };
        let first = first.map(|first| invites::draft(&app, &account, first, None)).transpose()?;
        let made =
            app.store.account_create(permit.actor(), account.slug, account.name, first).await;
        let Committed { revision, value: (account, invite) } =
            directory_sync::wait_until_applied(&app, made).await?;
        let link = match &invite {
            Some(view) => links::valid_invite_link(&app, &view.invite).await.ok(),
            None => None,
        };
        Ok(Committed { revision, value: CreatedAccount { account, invite: invite.zip(link) } })
    })
    .await
}

/// The first administrator of a new account.
#[derive(Debug)]
pub struct FirstMember {
    /// The address of the link.
    pub email: Email,
    /// First name.
    pub first_name: Name,
    /// Last name.
    pub last_name: Name,
    /// The role; by default the only administering one.
    pub role: Option<RoleId>,
}

impl FirstMember {
    fn invitation(self, app: &App) -> Result<Invitation, Failure> {
        let Self { email, first_name, last_name, role } = self;
        let role = match role {
            Some(role) => role,
            None => only_administering_role(app)?,
        };
        Ok(Invitation { email, first_name, last_name, role })
    }
}

/// A new account, and the invite of its first member with its link.
#[derive(Debug)]
pub struct CreatedAccount {
    /// The account.
    pub account: Account,
    /// The invite.
    pub invite: Option<(InviteView, String)>,
}

/// The code of a missing role, where it is not clear which one administers.
pub const ROLE_MISSING: &str = "role_missing";

/// The administering role, if there is exactly one.
///
/// # Errors
/// `Invalid` `role_missing`, naming those that there are.
pub(super) fn only_administering_role(app: &App) -> Result<RoleId, Failure> {
    let live = app.policies.load();
    let mut roles = live.administering().iter();
    if let (Some(role), None) = (roles.next(), roles.next()) {
        return Ok(role.clone());
    }
    let named: Vec<&str> = live.administering().iter().map(|role| role.as_str()).collect();
    let sentence = if named.is_empty() {
        "`role` is missing, and no role of the live policies administers an account: name the role to give".to_owned()
    } else {
        format!(
            "`role` is missing, and several administer an account: name one of `{}`",
            named.join("`, `")
        )
    };
    Err(Failure { code: ROLE_MISSING, ..Failure::invalid("role", sentence) })
}

/// Checks that a role administers by the live policies: nobody could manage an account whose first
/// member does not.
///
/// # Errors
/// `Invalid` `not_administering`, naming the roles that do.
pub(super) fn must_administer(app: &App, role: &RoleId) -> Result<(), Failure> {
    let live = app.policies.load();
    if live.administering().contains(role) {
        return Ok(());
    }
    let named: Vec<&str> = live.administering().iter().map(|role| role.as_str()).collect();
    let instead = match named.as_slice() {
        [] => "no role of the live policies does".to_owned(),
        [one] => format!("use `{one}`"),
        several => format!("use one of `{}`", several.join("`, `")),
    };
    let sentence = format!("the role `{role}` does not administer the account: {instead}");
    Err(Failure { code: "not_administering", ..Failure::invalid("role", sentence) })
}

/// The caller's account.
///
/// # Errors
/// `Denied` `not_allowed`; `NotFound` `unknown_account`; `Busy`.
pub async fn show(app: &App, caller: Caller) -> Result<Account, Failure> {
    let permit = Permit::authorize(app, caller, [Right::VIEW_SETTINGS]).await?;
    account_and_inviter::account(app, permit.account()).await
}

/// The signed-in member's account, whose name every page shows.
///
/// # Errors
/// `NotFound` `unknown_account`; `Busy`.
pub async fn own(app: &App, signed_in: &SignedIn) -> Result<Account, Failure> {
    account_and_inviter::account(app, signed_in.account()).await
}

/// Edits the caller's account.
///
/// # Errors
/// `Denied` `not_allowed`; `Invalid`; `Stale`; `Conflict` `own_factor_first`, `moved_on`; `Busy`.
pub async fn edit(
    app: &Arc<App>,
    caller: Caller,
    expected: Option<Version>,
    edit: AccountEdit,
) -> Result<Committed<Account>, Failure> {
    let app = Arc::clone(app);
    run_detached(async move {
        let permit = Permit::authorize(&app, caller, [Right::EDIT_SETTINGS]).await?;
        if edit.two_step_enforced == Some(true) && !has_factor(&app, permit.caller()).await? {
            return Err(own_factor_first());
        }
        let (store, slug, edit) = (&app.store, &permit.account().clone(), &edit);
        let change =
            move |by| async move { store.account_edit(&by, slug, expected, edit.clone()).await };
        permit.run(&app, change).await
    })
    .await
}

/// A caller who requires a second factor must have one; for an API token, its creator.
async fn has_factor(app: &App, caller: &Caller) -> Result<bool, Failure> {
    match caller {
        Caller::Sidecar { .. } => Ok(true),
        Caller::Member(signed_in) => Ok(signed_in.record(app).await?.two_step),
        Caller::Token(holder) => Ok(holder.maker(app).await?.two_step),
    }
}

fn own_factor_first() -> Failure {
    Failure::new(
        Kind::Conflict,
        two_step::OWN_FACTOR_FIRST,
        "set up two-step verification for yourself first: only then can you require it of everybody",
    )
}

/// Every account, ordered by slug.
///
/// # Errors
/// `Internal`, when the disk fails.
pub async fn list(app: &App, _permit: &StorePermit) -> Result<Vec<Account>, Failure> {
    app.store.accounts().await
}

/// The name of an account as the operator of the sidecar types it.
///
/// # Errors
/// `Invalid` for what names no account.
pub fn typed(text: &str) -> Result<AccountSlug, Failure> {
    AccountSlug::typed(text).map_err(|_| {
        let shown = printable(text.trim());
        Failure::invalid(
            "account",
            format!("there is no account `{shown}`: `kwic-team account list` shows the accounts"),
        )
    })
}

/// The account that a caller means: the named one, or the only one.
///
/// # Errors
/// `NotFound`, code `unknown_account`; `Invalid`, code `account_missing`, when none is named and
/// there is not exactly one; `Internal`.
pub async fn resolve_account(
    app: &App,
    named: Option<AccountSlug>,
) -> Result<AccountSlug, Failure> {
    match named {
        Some(slug) => match app.store.account(&slug).await? {
            Some(account) => Ok(account.slug),
            None => Err(unknown_account(&slug)),
        },
        None => only(app.store.accounts().await?),
    }
}

/// The only account, whose name need not be given; `None` with several, and with none.
///
/// # Errors
/// `Busy`.
pub async fn sole(app: &App) -> Result<Option<AccountSlug>, Failure> {
    let mut accounts = app.store.accounts().await?.into_iter();
    Ok(accounts.next().filter(|_| accounts.next().is_none()).map(|account| account.slug))
}

/// The account's display name, trimmed.
///
/// # Errors
/// `Invalid` with the rule.
pub fn checked_name(name: &str) -> Result<String, Failure> {
    let name = name.trim();
    if name.is_empty() {
        return Err(Failure::invalid("name", "the name of the team is empty: enter it"));
    }
    if name.chars().count() > limits::ACCOUNT_NAME_CHARS_MAX {
        return Err(Failure::invalid(
            "name",
            format!(
                "the name of the team is longer than {} characters: shorten it",
                limits::ACCOUNT_NAME_CHARS_MAX
            ),
        ));
    }
    if name.chars().any(char::is_control) {
        return Err(Failure::invalid("name", "`name` holds a control character: remove it"));
    }
    Ok(name.to_owned())
}

fn only(mut accounts: Vec<Account>) -> Result<AccountSlug, Failure> {
    if accounts.len() == 1
        && let Some(account) = accounts.pop()
    {
        return Ok(account.slug);
    }
    let text = if accounts.is_empty() {
        "there is no account yet: make one with `kwic-team account create`".to_owned()
    } else {
        let named: Vec<&str> =
            accounts.iter().take(ACCOUNTS_NAMED_MAX).map(|a| a.slug.as_str()).collect();
        let more = if accounts.len() > named.len() { " and more" } else { "" };
        format!(
            "there are several accounts: name one of `{}`{more} (`--account`)",
            named.join("`, `")
        )
    };
    Err(Failure {
        fields: vec![("account".to_owned(), text.clone())],
        ..Failure::new(Kind::Invalid, "account_missing", text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Timestamp;

    fn accounts(slugs: &[&str]) -> Vec<Account> {
        let account = |slug: &&str| Account {
            slug: AccountSlug::parse(slug).unwrap(),
            name: (*slug).to_owned(),
            created: Timestamp(0),
            invite_lifetime: None,
            two_step_enforced: false,
            version: Version::FIRST,
        };
        slugs.iter().map(account).collect()
    }

    #[test]
    fn an_account_goes_without_saying_only_while_there_is_exactly_one() {
        assert_eq!(only(accounts(&["acme"])).unwrap().as_str(), "acme");
        assert!(only(accounts(&[])).unwrap_err().public.contains("account create"));
        let several = only(accounts(&["acme", "globex"])).unwrap_err();
        assert_eq!(several.code, "account_missing");
        assert!(several.public.contains("`acme`, `globex`"), "{several}");
    }

    #[test]
    fn an_account_name_is_trimmed_and_bounded() {
        assert_eq!(checked_name(" Acme ").unwrap(), "Acme");
        assert!(checked_name(" ").is_err());
        assert!(checked_name("a\nb").is_err());
        assert!(checked_name(&"x".repeat(limits::ACCOUNT_NAME_CHARS_MAX + 1)).is_err());
    }
}
