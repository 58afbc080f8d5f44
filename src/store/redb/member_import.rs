//! The import of many members, all or nothing.
//!
//! Alone, a file is one transaction, however large. In a fleet it is one entry of the log, or staged
//! ([`super::staged_import`]) where it is too large for that.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::import_rows::GIVEN_UP;
use super::log_connection::{LOG_AWAY, LOG_UNCLEAR, away};
use super::member_rows::{MemberTables, RoleCounts};
use super::running_change::{ChangeTransaction, TransactionEnd};
use super::staged_import::{ImportEnd, PartEnd, audit, refused};
use super::{Store, StoreError, UNAVAILABLE, account_rows, busy};
use crate::domain::{AccountSlug, Actor, ChangedRecord, Digest, Failure, ImportId, Kind, limits};
use crate::store::{Committed, ImportPart, ImportRow};

/// Members that one entry stages: at most, and at least where other nodes are faster each time.
const STAGED_MAX: usize = 1_000;
const STAGED_MIN: usize = 32;
/// How often an entry is tried while the log is away or others are faster, and the pause before the
/// next try: a bit over a minute together.
const TRIES: u32 = 40;
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);

impl Store {
    /// Creates many members, all or nothing, with one audit entry. Returns their number. Alone it is
    /// one revision; in a fleet, where there are more than fit into an entry of the log, they are
    /// staged under revisions of their own, and seen from the last one on, which is returned.
    ///
    /// # Errors
    /// `NotFound` `unknown_account`; `Invalid` `import_refused` with a field for each line that
    /// clashes; `Busy`, when the disk fails or the log of a fleet does not take it.
    pub async fn member_import(
        &self,
        actor: &Actor,
        account: &AccountSlug,
        mut parts: mpsc::Receiver<ImportPart>,
    ) -> Result<Committed<u64>, Failure> {
        let account = account.clone();
        if self.0.log.get().is_none() {
            let parts = std::iter::from_fn(move || parts.blocking_recv());
            return self.write_direct(actor, move |change| import(change, &account, parts)).await;
        }
        let (gathered, is_all) = gather(&mut parts).await;
        if is_all {
            let gathered: Arc<[ImportPart]> = gathered.into();
            let import = move |change: &mut ChangeTransaction<'_>| {
                import(change, &account, gathered.iter().cloned())
            };
            return self.write(actor, import).await;
        }
        self.import_in_parts(actor, &account, gathered, parts).await
    }

    /// The same, staged however few members there are: each of `parts` is an entry of the log at least.
    /// So many nodes and faults can be tried with a few members.
    ///
    /// # Errors
    /// As [`Self::member_import`].
    pub async fn member_import_staged(
        &self,
        actor: &Actor,
        account: &AccountSlug,
        parts: mpsc::Receiver<ImportPart>,
    ) -> Result<Committed<u64>, Failure> {
        self.import_in_parts(actor, account, Vec::new(), parts).await
    }

    async fn import_in_parts(
        &self,
        actor: &Actor,
        account: &AccountSlug,
        first: Vec<ImportPart>,
        rest: mpsc::Receiver<ImportPart>,
    ) -> Result<Committed<u64>, Failure> {
        let mut staging = Staging::begin(self, actor, account).await?;
        let made = staging.run(first, rest).await;
        if made.is_err() {
            staging.clean_up().await;
        }
        made
    }
}

/// The first parts of a file, as many as fit into one entry of the log; whether these are all.
async fn gather(parts: &mut mpsc::Receiver<ImportPart>) -> (Vec<ImportPart>, bool) {
    let (mut gathered, mut rows) = (Vec::new(), 0);
    while let Some(part) = parts.recv().await {
        let is_end = matches!(part, ImportPart::End { .. });
        if let ImportPart::Rows(some) = &part {
            rows += some.len();
        }
        gathered.push(part);
        if rows > limits::FLEET_IMPORT_MAX && !is_end {
            return (gathered, false);
        }
    }
    (gathered, true)
}

/// An import that is being staged.
struct Staging<'s> {
    store: &'s Store,
    actor: Actor,
    import: ImportId,
    /// How many members the next part has.
    size: usize,
    end: ImportEnd,
    faults: Vec<(String, String)>,
}

impl<'s> Staging<'s> {
    async fn begin(
        store: &'s Store,
        actor: &Actor,
        account: &AccountSlug,
    ) -> Result<Self, Failure> {
        let mut tries = 0;
        // One that was begun without being heard of is given up like any other.
        let import = loop {
            match store.import_begin(actor, account).await {
                Err(fault) if is_passing(&fault) && tries < TRIES => {
                    tries += 1;
                    pause(tries).await;
                }
                begun => break begun.map_err(nothing_imported)?,
            }
        };
        let (held, erased) = (RoleCounts::default(), Vec::new());
        let digest = Digest::default();
        let end = ImportEnd { members: 0, first: None, digest, held, erased };
        Ok(Self { store, actor: actor.clone(), import, size: STAGED_MAX, end, faults: Vec::new() })
    }

    /// Stages all rows, then makes the import, unless a line clashes.
    async fn run(
        &mut self,
        first: Vec<ImportPart>,
        mut rest: mpsc::Receiver<ImportPart>,
    ) -> Result<Committed<u64>, Failure> {
        let mut first = first.into_iter();
        loop {
            let part = match first.next() {
                Some(part) => Some(part),
                None => rest.recv().await,
            };
            match part {
                Some(ImportPart::Rows(rows)) => self.stage(&rows).await?,
                Some(ImportPart::End { digest }) if self.faults.is_empty() => {
                    self.end.digest = digest;
                    return self.make().await;
                }
                // Without an end, the sender of the rows found a fault, which it reports with these.
                Some(ImportPart::End { .. }) | None => {
                    return Err(refused(std::mem::take(&mut self.faults)));
                }
            }
        }
    }

    async fn stage(&mut self, rows: &[ImportRow]) -> Result<(), Failure> {
        let (mut rest, mut tries) = (rows, 0);
        while !rest.is_empty() && self.faults.len() < limits::IMPORT_FAULTS_MAX {
            let (part, behind) = rest.split_at(self.size.min(rest.len()));
            let looks_only = !self.faults.is_empty();
            let staged =
                self.store.import_part(&self.actor, self.import, part.into(), looks_only).await;
            match staged {
                Ok(staged) => {
                    self.count(part, staged);
                    (rest, tries) = (behind, 0);
                    self.size = self.size.saturating_add(self.size / 8).min(STAGED_MAX);
                }
                Err(fault) if is_passing(&fault) && tries < TRIES => {
                    self.size = (self.size / 4).max(STAGED_MIN);
                    tries += 1;
                    pause(tries).await;
                }
                // Of very long names.
                Err(fault) if fault.kind == Kind::TooLarge && self.size > STAGED_MIN => {
                    self.size /= 2;
                }
                Err(fault) => return Err(nothing_imported(fault)),
            }
        }
        Ok(())
    }

    fn count(&mut self, part: &[ImportRow], staged: PartEnd) {
        let room = limits::IMPORT_FAULTS_MAX.saturating_sub(self.faults.len());
        self.faults.extend(staged.faults.into_iter().take(room));
        self.end.erased.extend(staged.erased);
        for ImportRow { member, .. } in part {
            self.end.first.get_or_insert_with(|| member.id.clone());
            self.end.held.add(member);
            self.end.members += 1;
        }
    }

    async fn make(&self) -> Result<Committed<u64>, Failure> {
        let (mut tries, mut unknown) = (0, None);
        loop {
            let end = self.end.clone();
            let made = self.store.import_make(&self.actor, self.import, end, tries > 0).await;
            match made {
                Err(fault) if is_passing(&fault) && tries < TRIES => {
                    unknown = Some(fault).filter(|fault| fault.code == LOG_UNCLEAR).or(unknown);
                    tries += 1;
                    pause(tries).await;
                }
                // That this try was not made says nothing of an earlier one, unless none can be made
                // any more.
                Err(fault) if fault.code != GIVEN_UP => return Err(unknown.unwrap_or(fault)),
                ended => return ended,
            }
        }
    }

    /// Removes what was staged. Where that fails, the node that does the regular work goes on.
    async fn clean_up(&self) {
        let cleaned = async {
            self.store.import_give_up(self.import).await?;
            while self.store.imports_sweep().await?.value {}
            Ok::<(), Failure>(())
        };
        if let Err(failure) = cleaned.await {
            tracing::warn!(%failure, "what is left of an import that was not made is removed later");
        }
    }
}

/// Whether the same may succeed later.
fn is_passing(fault: &Failure) -> bool {
    matches!(fault.code, LOG_AWAY | LOG_UNCLEAR)
}

async fn pause(tries: u32) {
    tokio::time::sleep(PAUSE.saturating_mul(tries).min(PAUSE_MAX)).await;
}

/// A begin or a part may have been made, or was and is not in the file: nobody will see it.
fn nothing_imported(fault: Failure) -> Failure {
    let why = fault.private.as_deref().unwrap_or_default();
    match fault.code {
        LOG_UNCLEAR => away(why),
        UNAVAILABLE => busy(why),
        _ => fault,
    }
}

fn import(
    change: &mut ChangeTransaction<'_>,
    account: &AccountSlug,
    parts: impl Iterator<Item = ImportPart>,
) -> Result<TransactionEnd<u64>, StoreError> {
    account_rows::need(change.tx, account)?;
    let (count, digest) = import_rows(change, parts)?;
    audit(change, account, count, digest)?;
    Ok(TransactionEnd::Changed(count))
}

/// Takes rows until the end; all conflicts are collected, and any of them refuses the import.
fn import_rows(
    change: &mut ChangeTransaction<'_>,
    parts: impl Iterator<Item = ImportPart>,
) -> Result<(u64, Digest), StoreError> {
    let mut faults = Vec::new();
    let mut count = 0;
    let mut held = RoleCounts::default();
    for part in parts {
        let rows = match part {
            ImportPart::Rows(rows) => rows,
            ImportPart::End { digest } if faults.is_empty() => {
                held.write(change.tx)?;
                return Ok((count, digest));
            }
            ImportPart::End { .. } => return Err(refused(faults).into()),
        };
        let mut tables = MemberTables::open(change)?;
        for ImportRow { line, member } in rows {
            let free = tables.need_free_id(&member.id);
            match free.and_then(|()| tables.need_free_address(change, &member)) {
                Ok(()) => {}
                Err(StoreError::Rule(clash)) => {
                    if faults.len() < limits::IMPORT_FAULTS_MAX {
                        faults.push((format!("line {line}"), clash.public));
                    }
                    continue;
                }
                Err(disk) => return Err(disk),
            }
            tables.put_row(change, &member)?;
            held.add(&member);
            count += 1;
            if faults.is_empty() {
                change.tell(ChangedRecord::Member(member));
            }
        }
    }
    // The sender of the rows found a fault, which it reports together with these.
    Err(refused(faults).into())
}
