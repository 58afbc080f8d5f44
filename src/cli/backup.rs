//! `kwic-team backup` and `kwic-team restore`.
//!
//! A running sidecar makes its own backup; without one, the file is copied here. A restore asks
//! first, and never touches the folder of a running sidecar.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value as Json, json};

use super::confirmation::ConfirmArg;
use super::output::{self, text};
use super::sidecar_client::{ApiCall, SidecarClient};
use super::{CommandError, CommandResult, Global, serve};
use crate::backup::{Backup, BackupReport};
use crate::clock;
use crate::domain::plural;
use crate::serve::offline_backup::{self, Restored};

#[derive(Args, Debug)]
pub(super) struct BackupArgs {
    /// The folder to create; it must not exist
    folder: PathBuf,
}

#[derive(Args, Debug)]
pub(super) struct RestoreArgs {
    /// The folder of the backup
    folder: PathBuf,
    /// Keep the keys of the data folder, and do not restore those of the backup
    #[arg(long)]
    without_keys: bool,
    #[command(flatten)]
    yes: ConfirmArg,
}

pub(super) fn back_up(global: &Global, args: &BackupArgs) -> CommandResult {
    // The sidecar runs in another folder.
    let to = std::path::absolute(&args.folder)
        .map_err(|fault| CommandError::usage(format!("`{}`: {fault}", args.folder.display())))?;
    let remote = SidecarClient::of(global)?;
    let offline = !remote.is_there();
    let mut taken = if offline {
        let config = serve::configured(global, &global.data)?;
        taken(&remote.run(offline_backup::back_up(&config, &to))?)
    } else {
        let body = json!({"path": written(&to)?});
        remote.json(&ApiCall::new("POST", "/api/v1/backup").body(&body))?
    };
    if let Some(taken) = taken.as_object_mut() {
        taken.insert("offline".into(), offline.into());
    }
    output::answer(global, &taken, |taken| {
        print_taken(taken)?;
        if !offline {
            return Ok(());
        }
        // The lock was held during the backup.
        output::say(&format!(
            "no sidecar answered on `{}`, so the backup was made from the store's file (`kwic.redb` by default), which no other process had open; if a sidecar runs on another folder, give its --data",
            global.data.join("admin.sock").display()
        ))
    })
}

fn written(path: &Path) -> Result<&str, CommandError> {
    path.to_str()
        .ok_or_else(|| CommandError::usage("the path is not valid UTF-8: name another folder"))
}

fn taken(taken: &BackupReport) -> Json {
    json!({
        "path": taken.place.display().to_string(),
        "revision": taken.revision.0,
        "taken": clock::rfc3339(taken.at),
        "bytes": taken.bytes,
        "keys": taken.keys,
    })
}

fn print_taken(taken: &Json) -> Result<(), CommandError> {
    output::say(&format!(
        "{}: revision {}, {}, {}",
        text(taken, "path"),
        text(taken, "revision"),
        output::count(taken, "bytes", "byte", "bytes"),
        output::count(taken, "keys", "key", "keys")
    ))?;
    output::line(
        "it holds the keys and all personal data: protect it as you protect passwords; if you store `keys` apart from the rest, neither part alone reveals the secrets of second factors",
    )
}

pub(super) fn restore(global: &Global, args: &RestoreArgs) -> CommandResult {
    let config = serve::configured(global, &global.data)?;
    let with_keys = !args.without_keys;
    let backup = Backup::read(&args.folder, with_keys)?;
    args.yes.or_ask(&format!(
        "Restore the store in `{}` to {}, revision {}? All later changes are undone, and everybody must sign in again.",
        global.data.display(),
        clock::written_out(backup.taken()),
        backup.revision().0
    ))?;
    let restored =
        SidecarClient::of(global)?.run(offline_backup::restore(&config, &backup, with_keys))?;
    output::answer(global, &document(&restored), |_| {
        print_restored(&restored)?;
        let next = if config.fleet.is_some() {
            "this store is in no fleet, and `fleet.log` is set: to go back to the store of the fleet run `kwic-team fleet join`; to begin a new fleet with this store, name another database or prefix in `fleet.log` and run `kwic-team fleet init`"
        } else {
            "start the sidecar: kwic-team serve"
        };
        output::line(next)
    })
}

fn document(restored: &Restored) -> Json {
    let kept = restored.kept.iter().map(|path| path.display().to_string());
    json!({
        "revision": restored.revision.0,
        "taken": clock::rfc3339(restored.taken),
        "sessions_ended": restored.undone.sessions,
        "tokens_revoked": restored.undone.tokens,
        "links_ended": restored.undone.links,
        "invites_without_key": restored.invites_without_key,
        "secrets_without_key": restored.secrets_without_key,
        "kept": kept.collect::<Vec<_>>(),
    })
}

fn print_restored(restored: &Restored) -> Result<(), CommandError> {
    let Restored { undone, invites_without_key, secrets_without_key, .. } = restored;
    output::say(&format!(
        "the store was restored to {}, revision {}",
        clock::written_out(restored.taken),
        restored.revision.0
    ))?;
    output::line(
        "later changes were undone: members who were removed or suspended are back, roles, passwords, second factors and recovery codes are as they were, and revoked invites are pending again; review members with `kwic-team member list`, and invites with `kwic-team invite list --state pending`",
    )?;
    output::say(&format!(
        "ended: {}, {}, {} to set a new password or confirm a new address",
        plural(undone.sessions, "session", "sessions"),
        plural(undone.tokens, "API token", "API tokens"),
        plural(undone.links, "link", "links")
    ))?;
    if *invites_without_key > 0 {
        output::say(&format!(
            "{} made with a key that is missing: links that have arrived still work, but cannot be mailed again; run `kwic-team invite resend` for new ones",
            plural(*invites_without_key, "pending invite was", "pending invites were")
        ))?;
    }
    if *secrets_without_key > 0 {
        output::say(&format!(
            "{} missing: put it into `keys`; a member who is told at sign-in that codes cannot be checked can use a recovery code, or needs `kwic-team member reset-two-step`",
            plural(
                *secrets_without_key,
                "secret of a second factor cannot be decrypted, since its key is",
                "secrets of second factors cannot be decrypted, since their key is"
            )
        ))?;
    }
    for path in &restored.kept {
        output::say(&format!("the previous files are kept: {}", path.display()))?;
    }
    Ok(())
}
