//! Accounts: make one, list them, find the one a caller means.
//!
//! Makes no member: an account's first member is an import or a member created on it.

use std::sync::Arc;

use super::permit::StorePermit;
use super::refresh;
use super::whole::whole;
use crate::app::App;
use crate::domain::{Account, AccountSlug, Failure, Kind, limits};
use crate::store::Committed;

/// How many accounts a failure names before it says that there are more.
const ACCOUNTS_NAMED_MAX: usize = 20;

/// Makes an account.
///
/// # Errors
/// `Invalid` when the name is empty, too long or holds control characters; `Conflict`, code
/// `account_exists`; `Internal`.
pub async fn create(
    app: &Arc<App>,
    permit: StorePermit,
    slug: AccountSlug,
    name: &str,
) -> Result<Committed<Account>, Failure> {
    let name = checked_name(name)?;
    let app = Arc::clone(app);
    whole(async move {
        refresh::seen(&app, app.store.account_create(permit.actor(), slug, name).await).await
    })
    .await
}

/// Every account, ordered by slug.
///
/// # Errors
/// `Internal`, when the disk fails.
pub async fn list(app: &App, _permit: &StorePermit) -> Result<Vec<Account>, Failure> {
    app.store.accounts().await
}

/// The account that a caller means: the one named, else the only one there is.
///
/// # Errors
/// `NotFound`, code `unknown_account`; `Invalid`, code `account_missing`, when none is named and
/// there is not exactly one; `Internal`.
pub async fn meant(app: &App, named: Option<AccountSlug>) -> Result<AccountSlug, Failure> {
    match named {
        Some(slug) => match app.store.account(&slug).await? {
            Some(account) => Ok(account.slug),
            None => Err(unknown(&slug)),
        },
        None => only(app.store.accounts().await?),
    }
}

/// The account's name for people, trimmed.
///
/// # Errors
/// `Invalid` with the rule.
pub fn checked_name(name: &str) -> Result<String, Failure> {
    let name = name.trim();
    if name.is_empty() {
        return Err(Failure::invalid("name", "`name` is empty: write the account's name"));
    }
    if name.chars().count() > limits::ACCOUNT_NAME_CHARS_MAX {
        return Err(Failure::invalid(
            "name",
            format!(
                "`name` is longer than {} characters: shorten it",
                limits::ACCOUNT_NAME_CHARS_MAX
            ),
        ));
    }
    if name.chars().any(char::is_control) {
        return Err(Failure::invalid("name", "`name` holds a control character: remove it"));
    }
    Ok(name.to_owned())
}

fn unknown(slug: &AccountSlug) -> Failure {
    Failure::new(
        Kind::NotFound,
        "unknown_account",
        format!("there is no account `{slug}`: `kwic-team account list` shows the accounts"),
    )
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
        format!("there are several accounts: name one of `{}`{more}", named.join("`, `"))
    };
    Err(Failure {
        fields: vec![("account".to_owned(), text.clone())],
        ..Failure::new(Kind::Invalid, "account_missing", text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Timestamp, Version};

    fn accounts(slugs: &[&str]) -> Vec<Account> {
        let account = |slug: &&str| Account {
            slug: AccountSlug::parse(slug).unwrap(),
            name: (*slug).to_owned(),
            created: Timestamp(0),
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
