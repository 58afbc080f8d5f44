//! Commits by way of the shared log: changes run on what is in the file, are appended as one entry,
//! then are applied as the entries of other nodes are.
//!
//! No lock is held while the log is asked: reads go on, and so does the application of what other
//! nodes append. What is refused, or has nothing to change, is answered only once the log has nothing
//! newer, so that every answer is true of one place in the log.

use std::time::Duration;

use super::change_queue::{CommitFault, Job, Written};
use super::change_workspace::Workspace;
use super::group_commit::{Group, RunRules};
use super::large_entries::{self, NotApplied};
use super::log_apply::{check, position};
use super::log_connection::{LOG_UNCLEAR, LogConnection, Unread, away, unclear};
use super::shared_log_entry_rows::{self, Split};
use super::staged_rows::StagedRows;
use super::{Store, StoreError, change_feed_references, revision};
use crate::clock;
use crate::domain::{Failure, Revision};
use crate::entropy;
use crate::store::records::shared_log_entry::{Difference, Entry};
use crate::store::records::shared_log_position::LogPosition;
use crate::store::shared_log::{Appended, EntryId, LogEntry, LogHead, LogPart, READ_MAX};

/// How long changes are run again where other nodes are faster.
const CONTENTION_MAX: Duration = Duration::from_secs(10);
/// How often the same entry is sent where it is not known what came of it.
const APPEND_TRIES: usize = 3;

/// Changes that were run, and not appended yet.
struct Proposal {
    /// What they ran on.
    at: LogPosition,
    reached: Revision,
    group: Group,
    entry: Entry,
    /// Rows of this node alone.
    own: StagedRows,
}

impl Proposal {
    /// Takes the rows of a change that was run.
    fn add(&mut self, rows: &Workspace, written: Written) -> Result<(), StoreError> {
        let Split { shared: rows, local, rewrite } = shared_log_entry_rows::split(rows.written())?;
        self.own.extend(local);
        let Written { actor, at, change } = written;
        let told = change
            .as_ref()
            .map_or(Ok(Vec::new()), |told| change_feed_references::refer(&told.rows))?;
        let revision = change.map(|change| change.revision);
        if revision.is_some() || rewrite || !rows.is_empty() {
            self.entry.changes.push(Difference { actor, at, revision, rewrite, rows, told });
        }
        Ok(())
    }
}

impl Store {
    /// Makes one entry of changes; answers how many of them were run.
    pub(super) fn commit_by_log(
        &self,
        link: &LogConnection,
        jobs: &mut [Box<dyn Job>],
    ) -> Result<usize, Box<CommitFault>> {
        let (first, mut most) = (clock::monotonic(), jobs.len());
        while first.elapsed() < CONTENTION_MAX {
            let begun = clock::monotonic();
            let proposal = self.propose(link, jobs, most).map_err(CommitFault::of_all)?;
            let Proposal { at, reached, group, entry, own } = proposal;
            let head = at.head;
            if entry.changes.is_empty() {
                let is_current = self.is_current(link, &head).map_err(CommitFault::of_all)?;
                if is_current && group.wrote {
                    self.apply(link, &[], Some(own))?;
                } else if is_current && group.has_nothing_to_change {
                    // Who asked for what is so already must find it so after a crash.
                    self.persist_now().map_err(CommitFault::of_all)?;
                }
                if is_current {
                    return Ok(group.run);
                }
                continue;
            }
            let (entry, is_large) = match sealed(link, at, reached, &entry) {
                Ok(sealed) => sealed,
                // Of one change it is known that it is the one at fault.
                Err(fault) if group.run == 1 => return Err(CommitFault::of_first(fault)),
                Err(_) => {
                    most = group.run / 2;
                    continue;
                }
            };
            let part = match append(link, &head, &entry)? {
                AppendEnd::Made => {
                    let appended = entry.head;
                    let applied = self.apply(link, &[entry], Some(own));
                    link.appended(&head, appended, begun..clock::monotonic());
                    let applied = self.noted(applied.map_err(|fault| fault.fault));
                    applied.map_err(|fault| not_seen_here(&fault))?;
                    return Ok(group.run);
                }
                AppendEnd::Moved(part) => part,
            };
            if is_large {
                large_entries::remove(link, &entry);
            }
            let mut seen = self.apply_behind(link, &head, &part).map_err(CommitFault::of_all)?;
            while seen.is_behind() {
                seen = self.follow_once(link).map_err(CommitFault::of_all)?;
            }
        }
        Err(CommitFault::of_all(away("other nodes were faster each time")))
    }

    /// Runs changes on what is in the file.
    fn propose(
        &self,
        link: &LogConnection,
        jobs: &mut [Box<dyn Job>],
        most: usize,
    ) -> Result<Proposal, Failure> {
        self.ready(&mut self.writer())?;
        link.takes_changes()?;
        self.guarded(|database| {
            let mut rows = Workspace::staged(database)?;
            let (at, reached) = (position(&rows)?, revision(&rows)?);
            let (group, entry, own) = (Group::default(), Entry::default(), StagedRows::default());
            let mut proposal = Proposal { at, reached, group, entry, own };
            let rules = RunRules { most, not_before: at.at, is_alone: false };
            proposal.group =
                self.run(&mut rows, jobs, rules, |rows, written| proposal.add(rows, written))?;
            Ok(proposal)
        })
    }

    /// Whether the log has nothing after a head; what it has is applied.
    fn is_current(&self, link: &LogConnection, head: &LogHead) -> Result<bool, Failure> {
        let part = self.read_log(link, head)?;
        if part.head == *head {
            return Ok(true);
        }
        self.apply(link, &part.entries, None).map_err(|fault| fault.fault)?;
        Ok(false)
    }
}

/// The entry that is to follow a place in the log, and whether it names its bytes; one that no node
/// could apply is refused.
fn sealed(
    link: &LogConnection,
    at: LogPosition,
    reached: Revision,
    entry: &Entry,
) -> Result<(LogEntry, bool), Failure> {
    let bytes = entry.encode();
    let is_large = bytes.len() > large_entries::PLAIN_BYTES_MAX;
    if is_large && entry.changes.len() > 1 {
        return Err(large_entries::too_large());
    }
    let id = EntryId(entropy::random()?);
    let entry = if is_large {
        let named = large_entries::put(link, &at.head, id, &bytes)?;
        link.seal.entry(&at.head, id, &named)?
    } else {
        link.seal.entry(&at.head, id, &bytes)?
    };
    check(link, at, reached, &entry).map_err(|why| match why {
        NotApplied::Never(why) => no_entry(&why),
        NotApplied::NotYet(why) => away(&why),
    })?;
    Ok((entry, is_large))
}

/// What came of an append in the end.
pub(super) enum AppendEnd {
    /// The entry is in the log.
    Made,
    /// It never will be: the head was another one. With what follows the head that the entry named.
    Moved(LogPart),
}

/// Appends an entry.
pub(super) fn append(
    link: &LogConnection,
    before: &LogHead,
    entry: &LogEntry,
) -> Result<AppendEnd, Box<CommitFault>> {
    let mut unknown = None;
    for _ in 0..APPEND_TRIES {
        match link.log.append(before, entry) {
            Appended::Made => return Ok(AppendEnd::Made),
            Appended::Moved(told) => return end_of_moved(link, before, entry, told),
            Appended::Refused(why) if unknown.is_none() => {
                return Err(CommitFault::of_all(away(&why)));
            }
            Appended::Refused(why) | Appended::Unknown(why) => unknown = Some(why),
        }
    }
    Err(not_known(&unknown.unwrap_or_default()))
}

/// Whether it is this entry that follows the head that it named. `told`: what follows that head, where the
/// engine has told it.
fn end_of_moved(
    link: &LogConnection,
    before: &LogHead,
    entry: &LogEntry,
    told: Option<LogPart>,
) -> Result<AppendEnd, Box<CommitFault>> {
    let part = match told {
        Some(part) => link.checked_after(before, part),
        None => link.read_after(before, READ_MAX),
    };
    let part = part.map_err(|why| match why {
        Unread::Failed(fault) => not_known(fault.private.as_deref().unwrap_or_default()),
        Unread::Gap(why) => not_known(&why),
    })?;
    match part.entries.iter().find(|found| found.head.index == entry.head.index) {
        Some(found) if found.id == entry.id => Ok(AppendEnd::Made),
        Some(_) => Ok(AppendEnd::Moved(part)),
        None if part.head == *before => Ok(AppendEnd::Moved(part)),
        None => Err(not_known("the log has trimmed where it would be")),
    }
}

/// Nothing is known of the changes that wrote rows; the others are not answered without the log.
fn not_known(why: &str) -> Box<CommitFault> {
    Box::new(CommitFault { fault: away(why), of_writers: unclear(why), only_first: false })
}

/// The log has the changes, and this node could not apply them yet.
fn not_seen_here(fault: &Failure) -> Box<CommitFault> {
    let public = "this change was made, and is not seen on this node yet: do not repeat it; this node's own log says why";
    // The other codes say that nothing was changed.
    let of_writers = Failure { public: public.to_owned(), code: LOG_UNCLEAR, ..fault.clone() };
    Box::new(CommitFault { fault: fault.clone(), of_writers, only_first: false })
}

/// Of a change that is none of an entry.
fn no_entry(why: &str) -> Failure {
    Failure::internal(format!("nothing was changed, as no node could apply it: {why}"))
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::clock::Clock;
    use crate::domain::{AccountSlug, Actor, ChangedRecord, KeyId, Kind, Sealed, Timestamp};
    use crate::store::records::fleet_membership::FleetMembership;
    use crate::store::redb::change_queue::{Message, submitted};
    use crate::store::redb::log_connection::LOG_AWAY;
    use crate::store::redb::running_change::TransactionEnd;
    use crate::store::redb::tables::ACCOUNTS;
    use crate::store::shared_log::{ENTRY_BYTES_MAX, LogId, LogPart, NodeId, SharedLog};
    use crate::store::shared_log_encryption::LogCipher;

    pub(in crate::store::redb) const LOG: LogId = LogId([7; 16]);

    /// Encrypts nothing.
    pub(in crate::store::redb) struct Plain;

    impl LogCipher for Plain {
        fn seal(&self, _: u64, _: &[&[u8]], plain: &[u8]) -> Result<Sealed, Failure> {
            Ok(Sealed { key: KeyId(1), bytes: plain.to_vec() })
        }

        fn open(&self, _: &[&[u8]], sealed: &Sealed) -> Option<Vec<u8>> {
            Some(sealed.bytes.clone())
        }

        fn has(&self, _: KeyId) -> bool {
            true
        }
    }

    /// A log that answers each append alike.
    struct AnswersAlike(Appended, Mutex<Vec<LogEntry>>);

    impl AnswersAlike {
        fn entries(&self) -> usize {
            self.1.lock().unwrap().len()
        }
    }

    impl SharedLog for AnswersAlike {
        fn append(&self, _: &LogHead, entry: &LogEntry) -> Appended {
            if self.0 == Appended::Made {
                self.1.lock().unwrap().push(entry.clone());
            }
            self.0.clone()
        }

        fn read(&self, _: u64, _: usize) -> Result<LogPart, String> {
            let entries = self.1.lock().unwrap().clone();
            let head = entries.last().map_or(LOG.start(), |entry| entry.head);
            Ok(LogPart { entries, head })
        }
    }

    async fn on(answer: Appended) -> (Store, Arc<AnswersAlike>) {
        let store = Store::in_memory(Clock::fixed(Timestamp(1_000))).await.unwrap();
        let log = Arc::new(AnswersAlike(answer, Mutex::default()));
        let fleet = FleetMembership { log: LOG, node: NodeId([1; 16]) };
        let applied = LogPosition { head: LOG.start(), at: Timestamp(i64::MIN) };
        store.enter_fleet(fleet, applied).await.unwrap();
        store.join_log(log.clone(), Arc::new(Plain)).await.unwrap();
        (store, log)
    }

    #[tokio::test]
    async fn an_entry_that_no_node_could_apply_is_not_appended() {
        let (store, log) = on(Appended::Made).await;
        // It tells a row that it does not write.
        let told = store.write(&Actor::System, |change| {
            change.tell(ChangedRecord::Mail(None));
            Ok(TransactionEnd::Changed(()))
        });
        assert_eq!(told.await.unwrap_err().kind, Kind::Internal);
        assert_eq!(log.entries(), 0);
        let acme = AccountSlug::parse("acme").unwrap();
        store.account_create(&Actor::System, acme, "Acme".into(), None).await.unwrap();
        assert_eq!(log.entries(), 1);
    }

    #[test]
    fn what_was_made_has_no_code_that_says_that_nothing_was_changed() {
        let full = crate::store::redb::busy("no space left");
        for fault in [away("not read"), full] {
            let told = not_seen_here(&fault).of_writers;
            assert_eq!(told.code, LOG_UNCLEAR);
            assert!(told.public.contains("was made"), "{told}");
        }
    }

    #[tokio::test]
    async fn a_slow_reader_of_a_trimmed_log_stops_nobody() {
        let (store, log) = on(Appended::Made).await;
        for slug in ["acme", "beta"] {
            let account = AccountSlug::parse(slug).unwrap();
            store.account_create(&Actor::System, account, slug.into(), None).await.unwrap();
        }
        // Both entries are in the file, and the first is trimmed.
        log.1.lock().unwrap().remove(0);
        let link = store.0.log.get().unwrap();
        let slow = store.read_log(link, &LOG.start()).unwrap_err();
        assert_eq!((slow.code, store.log_fault()), (LOG_AWAY, None));
        // An entry that is in no file is missed.
        let applied = store.log_applied().await.unwrap().unwrap();
        log.1.lock().unwrap()[0].head.index = applied.index + 2;
        store.read_log(link, &applied).unwrap_err();
        assert!(store.log_fault().is_some());
    }

    #[tokio::test]
    async fn a_change_at_fault_does_not_fail_those_that_wait_with_it() {
        let (store, log) = on(Appended::Made).await;
        let row = |key: &'static str, bytes: usize| {
            submitted("system".to_owned(), move |change| {
                change.tx.open_table(ACCOUNTS)?.insert(key, vec![0; bytes].as_slice())?;
                Ok(TransactionEnd::Changed(()))
            })
        };
        let (jobs, answers): (Vec<_>, Vec<_>) =
            [row("a", 1), row("b", ENTRY_BYTES_MAX), row("c", 1)].into_iter().unzip();
        for job in jobs {
            store.0.queue.add(job);
        }
        let codes = answers.into_iter().map(|answers| {
            // Each commit answers one of them at least.
            for _ in 0..3 {
                match answers.try_recv() {
                    Ok(Message::Answer(answer)) => return answer.map_err(|fault| fault.code).err(),
                    Ok(Message::Lead) | Err(_) => store.lead(),
                }
            }
            Some("no answer")
        });
        let codes: Vec<_> = codes.collect();
        assert_eq!(codes, [None, Some("too_large_for_log"), None]);
        assert_eq!(log.entries(), 2);
    }

    #[tokio::test]
    async fn a_change_that_was_left_out_of_an_entry_was_not_made() {
        let (store, _) = on(Appended::Unknown("no answer".to_owned())).await;
        // Both together are too large for an entry.
        let large = |key: &'static str| {
            submitted("system".to_owned(), move |change| {
                let bytes = vec![0; ENTRY_BYTES_MAX * 2 / 3];
                change.tx.open_table(ACCOUNTS)?.insert(key, bytes.as_slice())?;
                Ok(TransactionEnd::Changed(()))
            })
        };
        let (jobs, answers): (Vec<_>, Vec<_>) = ["a", "b"].map(large).into_iter().unzip();
        let mut jobs = jobs;
        let link = store.0.log.get().unwrap();
        let fault = store.commit_by_log(link, &mut jobs).unwrap_err();
        jobs.into_iter().for_each(|job| job.answer(Some(&fault)));
        let codes = answers.iter().map(|answers| match answers.recv().unwrap() {
            Message::Answer(answer) => answer.unwrap_err().code,
            Message::Lead => "to make a commit",
        });
        assert_eq!(codes.collect::<Vec<_>>(), [LOG_UNCLEAR, LOG_AWAY]);
    }
}
