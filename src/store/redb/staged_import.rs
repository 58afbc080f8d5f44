//! Imports into a fleet that are too large for one entry of the log: staged in parts, then made by one
//! small entry.
//!
//! 1. A begin gives the import a number and a row in `imports`. Each part is an ordinary change of some
//!    hundred members, in the order of the file: it writes their rows at once as they are to stay, but
//!    with the number of the import. While the import has its row, nobody sees them, and their ids and
//!    addresses are taken. So what clashes is found by the part, and nothing can clash later.
//! 2. The last entry takes the row away, adds the counts of roles, and says so in the audit log and to
//!    the feed: all members are seen at once. Its size does not depend on theirs, and no node has to
//!    decide anything: it is a difference of rows, as every entry. The directory has the members of
//!    each part already, hidden, so a removal behind it waits for neither the file nor the feed.
//! 3. A part that loses to changes of other nodes is run again, in the end with fewer members: a short
//!    change wins against others. A part that was appended twice finds its members, and passes.
//! 4. Given up, after a fault in the file or where no part came for [`LEASE_MS`], the import takes no
//!    more parts; then its rows are removed in steps, and last its own. The parts are entries of the
//!    log and rows of the file, so trimming, snapshots, joins and crashes need no rule of their own.

use std::sync::Arc;

use super::import_rows;
use super::log_connection::unclear;
use super::member_rows::{self, MemberTables, RoleCounts};
use super::row_reads::{Rows, TableRead};
use super::running_change::{ChangeTransaction, TransactionEnd};
use super::tables::{ERASED, IMPORTS, MEMBERS};
use super::{Store, StoreError, account_rows};
use crate::domain::{
    AccountSlug, Actor, AuditEvent, ChangedRecord, Digest, Failure, FieldChange, ImportId, Kind,
    MemberId, Timestamp, limits,
};
use crate::store::records::MemberRecord;
use crate::store::records::import::ImportRecord;
use crate::store::{Committed, ImportRow};

/// How long after its last part an import is given up, in milliseconds.
pub(super) const LEASE_MS: i64 = 10 * 60 * 1_000;
/// The most members of an import that is given up that one step removes, and looks at: a removal by
/// somebody waits for one step.
const SWEPT_MAX: usize = 2_000;
const LOOKED_AT_MAX: usize = 10_000;

/// What a part came to.
#[derive(Default)]
pub(super) struct PartEnd {
    /// Clashes, by line. Where there is one, nothing was staged.
    pub(super) faults: Vec<(String, String)>,
    /// Members who were erased under the same id.
    pub(super) erased: Vec<MemberId>,
}

/// What an import is made of, beside the members that were staged.
#[derive(Clone)]
pub(super) struct ImportEnd {
    pub(super) members: u64,
    /// One of them.
    pub(super) first: Option<MemberId>,
    pub(super) digest: Digest,
    pub(super) held: RoleCounts,
    pub(super) erased: Vec<MemberId>,
}

impl Store {
    /// Begins an import.
    pub(super) async fn import_begin(
        &self,
        actor: &Actor,
        account: &AccountSlug,
    ) -> Result<ImportId, Failure> {
        let account = account.clone();
        let begun = self.write(actor, move |change| {
            account_rows::need(change.tx, &account)?;
            let import = import_rows::next_id(change)?;
            let record = ImportRecord { account, at: change.now, swept: None };
            import_rows::put(change, import, &record)?;
            Ok(TransactionEnd::Quietly(import))
        });
        Ok(begun.await?.value)
    }

    /// Stages some members; only looks for clashes with `looks_only`.
    pub(super) async fn import_part(
        &self,
        actor: &Actor,
        import: ImportId,
        rows: Arc<[ImportRow]>,
        looks_only: bool,
    ) -> Result<PartEnd, Failure> {
        let staged = self.write(actor, move |change| {
            let end = stage(change, import, &rows)?;
            let is_kept = end.faults.is_empty() && !looks_only && change.tells();
            Ok(if is_kept { TransactionEnd::Changed(end) } else { TransactionEnd::AsItWas(end) })
        });
        Ok(staged.await?.value)
    }

    /// Makes an import. Where it is none any more, an earlier try, if there was one, may have made it:
    /// a member of it is there then, unless it was changed since.
    pub(super) async fn import_make(
        &self,
        actor: &Actor,
        import: ImportId,
        end: ImportEnd,
        was_tried: bool,
    ) -> Result<Committed<u64>, Failure> {
        self.write(actor, move |change| {
            if was_tried && import_rows::find(change.tx, import)?.is_none() {
                let first = end.first.as_ref().map_or("", |first| first.as_str());
                return match member_rows::import_of(change.tx, first)? {
                    Some(of) if of == import => Ok(TransactionEnd::AsItWas(end.members)),
                    _ => Err(unclear("the import has ended, and it is not known how").into()),
                };
            }
            make(change, import, &end)?;
            Ok(TransactionEnd::Changed(end.members))
        })
        .await
    }

    /// Has an import take no more parts.
    pub(super) async fn import_give_up(&self, import: ImportId) -> Result<(), Failure> {
        let given_up =
            self.write(&Actor::System, move |change| match import_rows::find(change.tx, import)? {
                Some(record) if record.swept.is_none() => {
                    give_up(change, import, record)?;
                    Ok(TransactionEnd::Changed(()))
                }
                _ => Ok(TransactionEnd::AsItWas(())),
            });
        given_up.await.map(|done| done.value)
    }

    /// Gives up imports of which no part came for some minutes, and removes some members of those that
    /// were given up; whether there is more to be removed.
    ///
    /// # Errors
    /// `Busy`, when the disk fails, or the log of a fleet.
    pub async fn imports_sweep(&self) -> Result<Committed<bool>, Failure> {
        self.write(&Actor::System, |change| {
            let Some((import, record)) = to_sweep(change)? else {
                return Ok(TransactionEnd::AsItWas(false));
            };
            Ok(match record.swept {
                Some(after) => {
                    sweep(change, import, &record.account, &after, record.at)?;
                    TransactionEnd::Quietly(true)
                }
                None => {
                    give_up(change, import, record)?;
                    TransactionEnd::Changed(true)
                }
            })
        })
        .await
    }

    /// Whether parts of an import may still come.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn is_importing(&self) -> Result<bool, Failure> {
        self.read(|tx| {
            for row in TableRead::iter(&tx.open_table(IMPORTS)?)? {
                if ImportRecord::decode(row?.1.value())?.swept.is_none() {
                    return Ok(true);
                }
            }
            Ok(false)
        })
        .await
    }
}

/// Writes the members of a part, up to the first clash; finds all clashes.
fn stage(
    change: &mut ChangeTransaction<'_>,
    import: ImportId,
    rows: &[ImportRow],
) -> Result<PartEnd, StoreError> {
    let record = import_rows::need_open(change.tx, import)?;
    import_rows::put(change, import, &ImportRecord { at: change.now, ..record })?;
    let mut end = PartEnd::default();
    let mut tables = MemberTables::open(change)?;
    let erased = change.tx.open_table(ERASED)?;
    for ImportRow { line, member } in rows {
        if erased.get((member.account.as_str(), member.id.as_str()))?.is_some() {
            end.erased.push(member.id.clone());
        }
        if tables.is_staged(member, import)? {
            continue;
        }
        let free = tables.need_free_id(&member.id);
        match free.and_then(|()| tables.need_free_address(change, member)) {
            Ok(()) => {}
            Err(StoreError::Rule(clash)) => {
                if end.faults.len() < limits::IMPORT_FAULTS_MAX {
                    end.faults.push((format!("line {line}"), clash.public));
                }
                continue;
            }
            Err(disk) => return Err(disk),
        }
        tables.put_hidden(change, member, import)?;
        if end.faults.is_empty() {
            change.tell(ChangedRecord::Importing(import, member.clone()));
        }
    }
    Ok(end)
}

fn make(
    change: &mut ChangeTransaction<'_>,
    import: ImportId,
    end: &ImportEnd,
) -> Result<(), StoreError> {
    let ImportRecord { account, .. } = import_rows::need_open(change.tx, import)?;
    let slug = account.as_str();
    // An id that is used again is a current member, who is recorded in the log again.
    let mut erased = change.tx.open_table(ERASED)?;
    for id in &end.erased {
        erased.remove((slug, id.as_str()))?;
    }
    import_rows::remove(change, import)?;
    end.held.clone().write(change.tx)?;
    audit(change, &account, end.members, end.digest)?;
    change.tell(ChangedRecord::Imported { import, account });
    Ok(())
}

/// Writes down that members were imported.
pub(super) fn audit(
    change: &ChangeTransaction<'_>,
    account: &AccountSlug,
    members: u64,
    digest: Digest,
) -> Result<(), StoreError> {
    let fields = vec![
        FieldChange::added("members", members.to_string()),
        FieldChange::added("file_sha256", digest.hex()),
    ];
    let slug = account.as_str();
    change.audit(slug, AuditEvent::UsersImported, slug, fields)
}

/// Of clashes, by line.
pub(super) fn refused(faults: Vec<(String, String)>) -> Failure {
    Failure {
        fields: faults,
        ..Failure::new(
            Kind::Invalid,
            "import_refused",
            "the import was refused and nothing was changed: fix the lines that are named, then import the whole file again",
        )
    }
}

fn give_up(
    change: &mut ChangeTransaction<'_>,
    import: ImportId,
    record: ImportRecord,
) -> Result<(), StoreError> {
    import_rows::put(change, import, &ImportRecord { swept: Some(String::new()), ..record })?;
    change.tell(ChangedRecord::ImportGone(import));
    Ok(())
}

/// An import that was given up, or is to be.
fn to_sweep(
    change: &ChangeTransaction<'_>,
) -> Result<Option<(ImportId, ImportRecord)>, StoreError> {
    for row in change.tx.open_table(IMPORTS)?.iter()? {
        let (import, bytes) = row?;
        let record = ImportRecord::decode(bytes.value())?;
        let is_over = record.at.0.saturating_add(LEASE_MS) <= change.now.0;
        if record.swept.is_some() || is_over {
            return Ok(Some((ImportId(import.value()), record)));
        }
    }
    Ok(None)
}

/// Removes some members of an import that was given up, in the order of ids after `after`; the import
/// itself behind the last one.
fn sweep(
    change: &ChangeTransaction<'_>,
    import: ImportId,
    account: &AccountSlug,
    after: &str,
    at: Timestamp,
) -> Result<(), StoreError> {
    let mut found = Vec::new();
    let mut last = None;
    let members = change.tx.open(MEMBERS)?;
    for row in members.range(after..)?.take(LOOKED_AT_MAX) {
        let (id, bytes) = row?;
        let record = MemberRecord::decode(id.value(), bytes.value())?;
        last = Some(record.member.id.as_str().to_owned()).filter(|last| last != after);
        found.extend((record.import == Some(import)).then_some(record.member));
        if found.len() >= SWEPT_MAX {
            break;
        }
    }
    drop(members);
    let mut tables = MemberTables::open(change)?;
    found.iter().try_for_each(|member| tables.remove_hidden(member))?;
    match last {
        Some(_) => {
            let record = ImportRecord { account: account.clone(), at, swept: last };
            import_rows::put(change, import, &record)
        }
        None => import_rows::remove(change, import),
    }
}
