//! What was published to the nodes of a fleet: one policy set for all of them, and the one that waits for
//! approval.
//!
//! These rows are the same on all nodes. Each takes the set through its own check before it is live there.

use super::change_workspace::Workspace;
use super::row_reads::{Rows, TableRead};
use super::running_change::{ChangeTransaction, TransactionEnd};
use super::tables::{MEMBERS, PUBLICATIONS};
use super::{Store, StoreError};
use crate::domain::{Actor, AuditEvent, Digest, Failure, FieldChange, Kind, PolicyCause, RoleId};
use crate::store::records::{MemberRecord, decode_policies, encode_policies};
use crate::store::requests_and_views::policies::{NewPublication, Publication, Publications};
use crate::store::{Committed, StoredPolicies};

/// The rows of a set: what is known of it, and its files.
type PublicationRows = [&'static str; 2];
const LIVE: PublicationRows = ["live", "live_files"];
const PENDING: PublicationRows = ["pending", "pending_files"];

impl Store {
    /// What was published.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn publications(&self) -> Result<Publications, Failure> {
        self.read(read).await
    }

    /// The set that every node is to have, with its files.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn published_live(&self) -> Result<Option<StoredPolicies>, Failure> {
        self.read(|tx| files(tx, LIVE)).await
    }

    /// The set that waits for approval, with its files.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn published_pending(&self) -> Result<Option<StoredPolicies>, Failure> {
        self.read(|tx| files(tx, PENDING)).await
    }

    /// Publishes a set: every node is to have it, or it waits for approval. Nothing else waits then.
    ///
    /// # Errors
    /// `PoliciesRefused`, where members have a role that the set lacks; `Conflict` `policies_pinned`; `Busy`,
    /// when the disk fails.
    pub async fn policies_published(
        &self,
        actor: &Actor,
        new: NewPublication,
    ) -> Result<Committed<Publication>, Failure> {
        self.write(actor, move |change| {
            let before = read(change.tx)?;
            if before.live.as_ref().is_some_and(|live| live.is_pinned) && !new.is_pinned {
                return Err(pinned().into());
            }
            check_roles(change, &before, &new.roles)?;
            let publication = Publication {
                number: next(&before),
                digest: new.set.digest,
                at: change.now,
                actor: change.actor.clone(),
                cause: new.cause,
                roles: new.roles.clone(),
                is_pinned: new.is_pinned,
            };
            remove(change.tx, PENDING)?;
            let rows = if new.waits { PENDING } else { LIVE };
            put(change.tx, rows, &publication, &new.set)?;
            audit(change, &publication, new.waits)?;
            Ok(TransactionEnd::Changed(publication))
        })
        .await
    }

    /// Publishes the set that waits.
    ///
    /// # Errors
    /// `Conflict` `not_pending`, where another one waits or none; else as [`Self::policies_published`].
    pub async fn publication_approved(
        &self,
        actor: &Actor,
        digest: Digest,
    ) -> Result<Committed<Publication>, Failure> {
        self.write(actor, move |change| {
            let before = read(change.tx)?;
            let waiting = before.pending.clone().filter(|pending| pending.digest == digest);
            let (Some(waiting), Some(set)) = (waiting, files(change.tx, PENDING)?) else {
                return Err(not_pending().into());
            };
            check_roles(change, &before, &waiting.roles)?;
            let publication = Publication {
                number: next(&before),
                at: change.now,
                actor: change.actor.clone(),
                cause: PolicyCause::Approval,
                ..waiting
            };
            remove(change.tx, PENDING)?;
            put(change.tx, LIVE, &publication, &set)?;
            audit(change, &publication, false)?;
            Ok(TransactionEnd::Changed(publication))
        })
        .await
    }

    /// Ends the pin of the published set; whether it was pinned.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn publication_unpinned(&self, actor: &Actor) -> Result<Committed<bool>, Failure> {
        self.write(actor, |change| {
            let live = read(change.tx)?.live.filter(|live| live.is_pinned);
            let Some(live) = live else { return Ok(TransactionEnd::AsItWas(false)) };
            let live = Publication { is_pinned: false, ..live };
            put_record(change.tx, LIVE, &live)?;
            let target = live.digest.hex();
            change.audit("", AuditEvent::PoliciesUnpinned, &target, Vec::new())?;
            Ok(TransactionEnd::Changed(true))
        })
        .await
    }
}

fn not_pending() -> Failure {
    Failure::new(
        Kind::Conflict,
        "not_pending",
        "no policies with this digest wait for approval: they were approved before, or others have taken their place; `kwic-team policy history` shows what became of them",
    )
}

fn pinned() -> Failure {
    Failure::new(
        Kind::Conflict,
        "policies_pinned",
        "the published policies are pinned, and no others may be published: end that with `kwic-team policy unpin`",
    )
}

fn read(rows: &impl Rows) -> Result<Publications, StoreError> {
    let one = |[row, _]: PublicationRows| rows.record(PUBLICATIONS, row, Publication::decode);
    Ok(Publications { live: one(LIVE)?, pending: one(PENDING)? })
}

fn files(
    rows: &impl Rows,
    [_, row]: PublicationRows,
) -> Result<Option<StoredPolicies>, StoreError> {
    rows.record(PUBLICATIONS, row, decode_policies)
}

fn next(before: &Publications) -> u64 {
    let numbers = before.live.iter().chain(&before.pending).map(|known| known.number);
    numbers.max().unwrap_or(0).saturating_add(1)
}

/// Whether nobody has a role that is about to disappear: another node may have given it since the set was
/// checked. A set with all roles of the published one takes none away.
fn check_roles(
    change: &ChangeTransaction<'_>,
    before: &Publications,
    roles: &[RoleId],
) -> Result<(), StoreError> {
    let keeps = |live: &Publication| live.roles.iter().all(|role| roles.contains(role));
    if before.live.as_ref().is_some_and(keeps) {
        return Ok(());
    }
    for row in change.tx.open_table(MEMBERS)?.iter()? {
        let (id, bytes) = row?;
        let role = MemberRecord::decode(id.value(), bytes.value())?.member.role;
        if !roles.contains(&role) {
            return Err(Failure::policies_refused(format!(
                "the role `{role}`, which these policies lack, was given to a member meanwhile: give the members with it another role, or keep it, then publish again"
            ))
            .into());
        }
    }
    Ok(())
}

fn put(
    tx: &Workspace,
    rows: PublicationRows,
    publication: &Publication,
    set: &StoredPolicies,
) -> Result<(), StoreError> {
    put_record(tx, rows, publication)?;
    let [_, files] = rows;
    tx.open_table(PUBLICATIONS)?.insert(files, encode_policies(set).as_slice())?;
    Ok(())
}

fn put_record(
    tx: &Workspace,
    [row, _]: PublicationRows,
    publication: &Publication,
) -> Result<(), StoreError> {
    tx.open_table(PUBLICATIONS)?.insert(row, publication.encode().as_slice())?;
    Ok(())
}

fn remove(tx: &Workspace, rows: PublicationRows) -> Result<(), StoreError> {
    let mut table = tx.open_table(PUBLICATIONS)?;
    for row in rows {
        table.remove(row)?;
    }
    Ok(())
}

fn audit(
    change: &ChangeTransaction<'_>,
    publication: &Publication,
    waits: bool,
) -> Result<(), StoreError> {
    let cause = publication.cause.told().map(|cause| FieldChange::added("cause", cause));
    let waits = waits.then(|| FieldChange::added("state", "waits for approval"));
    let fields = cause.into_iter().chain(waits).collect();
    change.audit("", AuditEvent::PoliciesPublished, &publication.digest.hex(), fields)
}
