//! Checks of what a restart would find: the pages of the store, the keys, and the secrets that need
//! them.
//!
//! Changes no record. For the operator of the sidecar.

use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;

use crate::app::App;
use crate::backup::above;
use crate::config::{cause_at, resolve_symlinks};
use crate::domain::{Failure, Kind};
use crate::keys::Keys;
use crate::services::permits::StorePermit;
use crate::services::{import, two_step};
use crate::store::requests_and_views::restore_and_erasure_state::ErasedLeft;
use crate::store::{MemberFilter, Store};

/// The results of the checks.
#[derive(Debug, Default)]
pub struct IntegrityReport {
    /// The fault of the store's file.
    pub store: Option<Failure>,
    /// The names of keys in use that are missing from their folder or differ there.
    pub keys_missing: Vec<String>,
    /// Why the missing keys must be restored before a start.
    pub keys_lost: Option<Failure>,
    /// Why erased data may still be in the store's file.
    pub erased_left: Option<ErasedLeft>,
    /// The number of second-factor secrets whose key is missing.
    pub secrets_without_key: usize,
    /// Accounts that nobody has joined.
    pub empty_accounts: Vec<String>,
    /// How many invites, links, sessions and API tokens a clock that was ahead has made.
    pub made_ahead: u64,
    /// Why a start could write nothing.
    pub unwritable: Option<Failure>,
}

/// Tries whether the disk takes a change and a file; readiness tells where it does not.
pub async fn try_the_disk(app: &App) {
    // The store tells of the fault.
    let _ = app.store.try_writing().await;
    import::try_to_keep(app).await;
}

/// Checks the running sidecar, page by page. Changes continue meanwhile.
///
/// # Errors
/// `Busy`, when the disk fails; `Internal`, when a key cannot be read.
pub async fn running(app: &App, _permit: &StorePermit) -> Result<IntegrityReport, Failure> {
    try_the_disk(app).await;
    let place = async {
        app.store.is_in_place().await?;
        app.store.check().await
    };
    let store = place.await.err();
    let found = records(&app.store, &app.keys).await;
    let keys_missing = app.keys.missing_in(&app.config.data.join("keys"))?;
    match (found, store) {
        (Ok(found), store) => {
            app.secrets_without_key.store(found.secrets_without_key, Ordering::Relaxed);
            Ok(IntegrityReport { store, keys_missing, ..found })
        }
        // The fault of the file says more than that it cannot be read.
        (Err(_), Some(store)) => {
            Ok(IntegrityReport { store: Some(store), keys_missing, ..IntegrityReport::default() })
        }
        (Err(fault), None) => Err(fault),
    }
}

/// Checks a store that no sidecar has open, and its keys. Changes nothing.
///
/// # Errors
/// A sentence that says what to do, when the store cannot be opened or is damaged, or a key cannot be
/// read.
pub async fn at_rest(store: &Path, keys: &Path) -> Result<IntegrityReport, Failure> {
    let unwritable = unwritable(store).await;
    let store = Store::view(store).await?;
    let keys_lost = keys_are_there(&store, keys).await.err();
    Ok(IntegrityReport { keys_lost, unwritable, ..records(&store, &Keys::read(keys)?).await? })
}

/// Why nothing could be written to a store, or beside it.
async fn unwritable(store: &Path) -> Option<Failure> {
    let told = |cause: &str| {
        let sentence = format!("the store `{}` cannot be written: {cause}", store.display());
        Failure::new(Kind::Internal, "store", sentence)
    };
    if let Err(fault) = fs::OpenOptions::new().write(true).open(store) {
        return Some(told(&cause_at(&fault, store)));
    }
    let folder = above(&resolve_symlinks(store).unwrap_or_else(|_| store.to_owned()));
    let kept = import::folder_takes_a_file(&folder).await;
    kept.err().map(|fault| told(fault.private.as_deref().unwrap_or(&fault.public)))
}

/// Whether the keys of a store's links and secrets can be present. With new ones instead, waiting
/// letters would be sent with links that do not work.
///
/// # Errors
/// `Internal` `keys_lost` with what to do; what [`Keys::read`] says; `Busy`, when the disk fails.
pub async fn keys_are_there(store: &Store, folder: &Path) -> Result<(), Failure> {
    let missing = Keys::read(folder)?.missing_kinds();
    if missing.is_empty() || store.accounts().await?.is_empty() {
        return Ok(());
    }
    let place = folder.display();
    let links = "pending invites then need a new link";
    let factors = "second factors then cannot be opened";
    let sentence = match missing.as_slice() {
        [kind] => format!(
            "the keys `{kind}-NUMBER.key` of this store are missing in `{place}`: restore them from the backup; to go on without them run `kwic-team keys rotate`: {}",
            if *kind == "link" { links } else { factors }
        ),
        // An administrator created it on purpose.
        _ if folder.is_dir() => return Ok(()),
        _ => format!(
            "the keys of this store are missing: restore `keys/` from the backup; to go on without them make an empty folder `{place}`: {links}, and {factors}"
        ),
    };
    Err(Failure::new(Kind::Internal, "keys_lost", sentence))
}

async fn records(store: &Store, keys: &Keys) -> Result<IntegrityReport, Failure> {
    let secrets_without_key = two_step::unreadable(store, keys).await?;
    let mut empty_accounts = Vec::new();
    for account in store.accounts().await? {
        let page = store.members(&account.slug, &MemberFilter::default(), None, 1).await?;
        if page.items.is_empty() {
            empty_accounts.push(account.slug.to_string());
        }
    }
    let erased_left = store.erased_left().await?;
    let made_ahead = store.made_ahead().await?;
    Ok(IntegrityReport {
        erased_left,
        secrets_without_key,
        empty_accounts,
        made_ahead,
        ..IntegrityReport::default()
    })
}
