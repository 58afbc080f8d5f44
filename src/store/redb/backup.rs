//! A copy of the embedded backend, and what a restored copy must drop.
//!
//! Copies row by row in one read transaction: a byte copy of the file would include freed pages and
//! a half-written change. A fault of the copy's disk does not close the store.

use std::path::{Path, PathBuf};

use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable};

use super::rewrite::{copy, is_due};
use super::rows::Rows;
use super::transition::{Ends, Transition};
use super::{
    FORMAT, Fault, INVITE_LINKS, INVITES, META, RedbStore, api_tokens, blocking, cause, links,
    open_failure, revision, sessions, view,
};
use crate::clock;
use crate::domain::{
    Actor, AuditDetail, AuditEvent, Digest, Failure, Invite, InviteState, Kind, Revision,
    Timestamp, TokenHash,
};
use crate::store::Committed;
use crate::store::backup::{ErasedLeft, Undone};
use crate::store::record::invites::InviteRecord;
use crate::store::record::newer;

impl RedbStore {
    pub(in crate::store) async fn copy_to(&self, to: &Path) -> Result<Revision, Failure> {
        let to = to.to_owned();
        let store = self.clone();
        blocking(move || {
            store.settle_if_free()?;
            // A copy of a damaged store must not pass for a good one.
            store.check_now()?;
            // The transaction outlives the guard: closing the store need not wait for it.
            let from = store.guarded(|database| Ok(database.begin_read()?))?;
            copied(&from, &to)
        })
        .await
    }

    pub(in crate::store) async fn copy_file(from: &Path, to: &Path) -> Result<Revision, Failure> {
        let (from, to): (PathBuf, PathBuf) = (from.to_owned(), to.to_owned());
        blocking(move || {
            let database = view::of_file(&from)?;
            let read = known(&database).map_err(|fault| match fault {
                Fault::Rule(failure) => failure,
                Fault::Disk(fault) => open_failure(&from, &fault),
            })?;
            copied(&read, &to)
        })
        .await
    }

    pub(in crate::store) async fn put_back(
        &self,
        actor: &Actor,
        taken: Timestamp,
    ) -> Result<Committed<Undone>, Failure> {
        self.write(actor, move |change| {
            let before = change.before();
            let undone = Undone {
                sessions: sessions::end_every(change)?,
                tokens: api_tokens::revoke_every(change)?,
                links: links::end_every(change)?,
            };
            audit(change, before, taken, undone)?;
            Ok(Ends::Changed(undone))
        })
        .await
    }

    pub(in crate::store) async fn open_invites(&self) -> Result<Vec<(Invite, TokenHash)>, Failure> {
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

impl RedbStore {
    pub(in crate::store) async fn erased_left(&self) -> Result<Option<ErasedLeft>, Failure> {
        let failed = self.0.file.as_ref().and_then(|file| file.not_rewritten());
        self.read(|tx| {
            let left = failed.map_or(ErasedLeft::UntilStart, ErasedLeft::Failed);
            Ok(is_due(tx)?.then_some(left))
        })
        .await
    }
}

/// A transaction on a file with a known layout.
fn known(database: &Database) -> Result<ReadTransaction, Fault> {
    let read = database.begin_read()?;
    let format = read.open_table(META)?.get("format")?.map(|found| found.value());
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
    copy(from, to).map_err(|fault| failed(cause::of(&fault)))?;
    revision(from).map_err(|fault| match fault {
        Fault::Rule(failure) => failure,
        Fault::Disk(fault) => failed(cause::of(&fault)),
    })
}

/// An entry in the store's own chain.
fn audit(
    change: &Transition<'_>,
    before: Revision,
    taken: Timestamp,
    undone: Undone,
) -> Result<(), Fault> {
    let field = |name: &str, value: String| (name.to_owned(), None, Some(value));
    let fields = vec![
        field("revision", before.0.to_string()),
        field("taken", clock::rfc3339(taken)),
        field("sessions_ended", undone.sessions.to_string()),
        field("tokens_revoked", undone.tokens.to_string()),
        field("links_ended", undone.links.to_string()),
    ];
    change.audit("", AuditEvent::StoreRestored, "", AuditDetail { fields })
}
