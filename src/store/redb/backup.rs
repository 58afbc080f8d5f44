//! A copy of the store, and what one that was put back loses.
//!
//! Copies row by row in one read transaction: a byte copy of the file would include freed pages and
//! a half-written change. A fault of the copy's disk does not close the store.

use std::path::{Path, PathBuf};

use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable};

use super::database_file::open_failure;
use super::file_rewrite::{CopyFor, copy, is_due};
use super::row_reads::Rows;
use super::running_change::{ChangeTransaction, TransactionEnd};
use super::tables::{FORMAT, FORMAT_ROW, INVITE_LINKS, INVITES, LINKS, META, layout};
use super::{
    Store, StoreError, api_token_rows, blocking, disk_error_text, link_rows, revision,
    session_rows, write_overlay_backend,
};
use crate::clock;
use crate::domain::{
    Actor, AuditEvent, Digest, Failure, FieldChange, Invite, InviteState, Kind, Revision,
    Timestamp, TokenHash,
};
use crate::store::Committed;
use crate::store::records::invites::InviteRecord;
use crate::store::records::newer;
use crate::store::records::one_time_links::OneTimeLinkRecord;
use crate::store::requests_and_views::restore_and_erasure_state::{ErasedLeft, RevokedAccess};

impl Store {
    /// Copies everything at one revision into a new file at `to` (mode 0600), which is in no fleet.
    /// Changes continue meanwhile. Returns the revision.
    ///
    /// # Errors
    /// `Busy` `copy_failed`, when it cannot be read or written; `Busy`, when the disk fails.
    pub async fn copy_to(&self, to: &Path) -> Result<Revision, Failure> {
        let to = to.to_owned();
        let store = self.clone();
        blocking(move || {
            store.settle_if_free()?;
            // A copy of a damaged store must not pass for a good one.
            store.check_now()?;
            let _copies = store.copying();
            // The transaction outlives the guard: closing the store need not wait for it.
            let from = store.guarded(|database| Ok(database.begin_read()?))?;
            store.unbroken(|| copied(&from, &to))
        })
        .await
    }

    /// The same for the file at `from`, which no sidecar has open. Its records stay unchanged, in
    /// any layout.
    ///
    /// # Errors
    /// As [`Self::copy_to`]; a sentence that says what to do, when the file is locked, damaged, or
    /// of a newer version.
    pub async fn copy_file(from: &Path, to: &Path) -> Result<Revision, Failure> {
        let (from, to): (PathBuf, PathBuf) = (from.to_owned(), to.to_owned());
        blocking(move || {
            let database = write_overlay_backend::of_file(&from)?;
            let read = known(&database).map_err(|fault| match fault {
                StoreError::Rule(failure) => failure,
                StoreError::Disk(fault) => open_failure(&from, &fault),
            })?;
            copied(&read, &to)
        })
        .await
    }

    /// Ends every session, API token and link to a new password or address, in a store that was
    /// restored as of `taken`, and records it.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn put_back(
        &self,
        actor: &Actor,
        taken: Timestamp,
    ) -> Result<Committed<RevokedAccess>, Failure> {
        self.write_direct(actor, move |change| {
            let before = change.before();
            let undone = RevokedAccess {
                sessions: session_rows::end_every(change)?,
                tokens: api_token_rows::revoke_every(change)?,
                links: link_rows::end_every(change)?,
            };
            audit(change, before, taken, undone)?;
            Ok(TransactionEnd::Changed(undone))
        })
        .await
    }

    /// Every open invite, with the hash of its valid token.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn open_invites(&self) -> Result<Vec<(Invite, TokenHash)>, Failure> {
        let now = self.0.clock.now();
        self.read(move |tx| {
            let links = tx.open(INVITE_LINKS)?;
            let mut open = Vec::new();
            for row in tx.open(INVITES)?.iter()? {
                let (id, bytes) = row?;
                let invite = InviteRecord::decode(id.value(), bytes.value())?.invite;
                if invite.state(now) != InviteState::Pending {
                    continue;
                }
                let hash = links.get((id.value(), invite.generation.0))?;
                open.extend(hash.map(|hash| (invite, TokenHash(Digest(*hash.value())))));
            }
            Ok(open)
        })
        .await
    }
}

impl Store {
    /// How many open invites, links, sessions and API tokens were made under a clock that was ahead,
    /// and are over.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn made_ahead(&self) -> Result<u64, Failure> {
        let now = self.0.clock.now();
        self.read(move |tx| {
            let mut ahead = 0;
            let mut count = |at: Timestamp| ahead += u64::from(at.is_ahead_of(now));
            for row in tx.open(INVITES)?.iter()? {
                let (id, bytes) = row?;
                let invite = InviteRecord::decode(id.value(), bytes.value())?.invite;
                if invite.may_be_changed().is_ok() {
                    count(invite.sent);
                }
            }
            for row in tx.open(LINKS)?.iter()? {
                let (id, bytes) = row?;
                count(OneTimeLinkRecord::decode(id.value(), bytes.value())?.link.created);
            }
            session_rows::all(tx, |session| count(session.created.max(session.used)))?;
            api_token_rows::all(tx, |token| count(token.created))?;
            Ok(ahead)
        })
        .await
    }

    /// Whether erased data may still be in the file.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn erased_left(&self) -> Result<Option<ErasedLeft>, Failure> {
        let failed = self.0.file.as_ref().and_then(|file| file.not_rewritten());
        self.read(|tx| {
            let left = failed.map_or(ErasedLeft::UntilStart, ErasedLeft::Failed);
            Ok(is_due(tx)?.then_some(left))
        })
        .await
    }
}

/// A transaction on a file with a known layout.
fn known(database: &Database) -> Result<ReadTransaction, StoreError> {
    let read = database.begin_read()?;
    let format = read.open_table(META)?.get(FORMAT_ROW)?.map(|found| layout(found.value()));
    if format.is_some_and(|format| format > FORMAT) {
        return Err(newer("database").into());
    }
    Ok(read)
}

fn copied(from: &ReadTransaction, to: &Path) -> Result<Revision, Failure> {
    let failed = |cause: String| {
        Failure::new(
            Kind::Busy,
            "copy_failed",
            format!("the store could not be copied to `{}`: free space there, or name another place; nothing was changed", to.display()),
        )
        .logged(cause)
    };
    copy(from, to, CopyFor::Backup).map_err(|fault| failed(disk_error_text::of(&fault)))?;
    revision(from).map_err(|fault| match fault {
        StoreError::Rule(failure) => failure,
        StoreError::Disk(fault) => failed(disk_error_text::of(&fault)),
    })
}

/// An entry in the store's own chain.
fn audit(
    change: &ChangeTransaction<'_>,
    before: Revision,
    taken: Timestamp,
    undone: RevokedAccess,
) -> Result<(), StoreError> {
    let fields = vec![
        FieldChange::added("revision", before.0.to_string()),
        FieldChange::added("taken", clock::rfc3339(taken)),
        FieldChange::added("sessions_ended", undone.sessions.to_string()),
        FieldChange::added("tokens_revoked", undone.tokens.to_string()),
        FieldChange::added("links_ended", undone.links.to_string()),
    ];
    change.audit("", AuditEvent::StoreRestored, "", fields)
}
