//! Commits: changes that wait for the file at the same time are written in one, each of them all or
//! nothing.
//!
//! Each runs on the rows of those before it; one that is refused leaves nothing. Nobody hears of a
//! change before it is on the disk (or, of another node's, in the log), and subscribers do in the order of
//! revisions. With a shared log, [`super::log_commit`] is the way to the file.

use std::sync::atomic::Ordering;
use std::sync::mpsc;

use redb::{Database, Durability, ReadableDatabase, WriteTransaction};

use super::change_queue::{
    CommitFault, Job, Lead, Message, Ran, Written, lost, once, repeatedly, submitted,
};
use super::change_workspace::Workspace;
use super::running_change::{ChangeTransaction, TransactionEnd};
use super::staged_rows::StagedRows;
use super::{Store, StoreError, Writer, blocking, is_of_disk, not_lasting, revision, unclear};
use crate::domain::{Actor, Change, Failure, Kind, Timestamp};
use crate::store::Committed;

/// No further change is run for a commit after so many milliseconds, so that a removal does not wait
/// for slow changes behind it.
const GROUP_MS: i64 = 5;

/// Where a change begins.
type Begin = fn(&Database) -> Result<Workspace, StoreError>;

/// How changes are run.
#[derive(Clone, Copy)]
pub(super) struct RunRules {
    /// At most so many.
    pub(super) most: usize,
    /// None is made at an earlier time.
    pub(super) not_before: Timestamp,
    /// Whether the file is known to be current, so that a refusal based on it stands without asking the log.
    pub(super) is_alone: bool,
}

/// Changes that were run.
#[derive(Default)]
pub(super) struct Group {
    /// How many.
    pub(super) run: usize,
    /// Whether any wrote rows.
    pub(super) wrote: bool,
    /// Whether any found that it is so already.
    pub(super) has_nothing_to_change: bool,
}

/// A transaction to be committed, and what subscribers are told then.
pub(super) struct Ready {
    pub(super) tx: WriteTransaction,
    pub(super) told: Vec<Change>,
    /// Of a commit that does not wait for the disk.
    pub(super) unsynced: Option<Unsynced>,
}

/// What is committed without waiting for the disk: see [`super::unsynced_rows`].
pub(super) struct Unsynced {
    pub(super) span: (u64, u64),
    pub(super) rows: StagedRows,
    pub(super) bytes: usize,
}

impl Store {
    /// Runs one change atomically, then publishes it. Once called it runs to its end, even if the
    /// caller stops waiting.
    ///
    /// The change may run several times, each time on the newest state: it owns its input, and has no
    /// effect but rows and the events that it emits.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        actor: &Actor,
        work: impl FnOnce(&mut ChangeTransaction<'_>) -> Result<TransactionEnd<T>, StoreError>
        + Clone
        + Send
        + 'static,
    ) -> Result<Committed<T>, Failure> {
        let (store, actor) = (self.clone(), actor.label());
        blocking(move || store.change(actor, work)).await
    }

    /// The same for a change that is too large to be held in memory: it writes to the transaction
    /// itself, alone, and cannot be repeated.
    pub(super) async fn write_direct<T: Send + 'static>(
        &self,
        actor: &Actor,
        work: impl FnOnce(&mut ChangeTransaction<'_>) -> Result<TransactionEnd<T>, StoreError>
        + Send
        + 'static,
    ) -> Result<Committed<T>, Failure> {
        let (store, actor) = (self.clone(), actor.label());
        blocking(move || {
            if store.0.log.get().is_some() {
                return Err(not_by_log());
            }
            let (job, answers) = submitted(actor, once(work));
            store.commit(&mut store.writer(), Workspace::direct, vec![job]);
            let answer = store.answer(&answers);
            store.noted(answer)
        })
        .await
    }

    /// A change, on the calling thread.
    pub(super) fn change<T: Send + 'static>(
        &self,
        actor: String,
        work: impl FnOnce(&mut ChangeTransaction<'_>) -> Result<TransactionEnd<T>, StoreError>
        + Clone
        + Send
        + 'static,
    ) -> Result<Committed<T>, Failure> {
        self.noted(self.try_to_change(actor, work))
    }

    /// Notes that the disk failed; that it worked is noted with the commit.
    pub(super) fn noted<T>(&self, changed: Result<T, Failure>) -> Result<T, Failure> {
        if let Err(fault) = &changed
            && is_of_disk(fault)
            && !self.0.health.is_broken()
        {
            self.0.health.failed(fault.private.as_deref().unwrap_or(&fault.public));
        }
        changed
    }

    pub(super) fn try_to_change<T: Send + 'static>(
        &self,
        actor: String,
        work: impl FnOnce(&mut ChangeTransaction<'_>) -> Result<TransactionEnd<T>, StoreError>
        + Clone
        + Send
        + 'static,
    ) -> Result<Committed<T>, Failure> {
        let (job, answers) = submitted(actor, repeatedly(work));
        if self.0.queue.add(job) {
            self.lead();
        }
        self.answer(&answers)
    }

    /// Waits for an answer, and makes a commit where it is the caller's turn.
    fn answer<T>(&self, answers: &mpsc::Receiver<Message<T>>) -> Result<Committed<T>, Failure> {
        loop {
            match answers.recv() {
                Ok(Message::Answer(answer)) => return answer,
                Ok(Message::Lead) => self.lead(),
                Err(mpsc::RecvError) => return Err(lost()),
            }
        }
    }

    /// Makes a commit of what waits once the file is free.
    pub(super) fn lead(&self) {
        let _lead = Lead(&self.0.queue);
        if let Some(link) = self.0.log.get() {
            link.wait_for_turn();
            let mut jobs = self.0.queue.take();
            let ended = self.commit_by_log(link, &mut jobs);
            return self.answer_all(jobs, ended);
        }
        let mut writer = self.writer();
        let jobs = self.0.queue.take();
        self.commit(&mut writer, Workspace::staged, jobs);
    }

    /// Makes one commit of changes, and answers their callers.
    fn commit(&self, writer: &mut Writer, begin: Begin, mut jobs: Vec<Box<dyn Job>>) {
        let ended = self.try_to_commit(writer, begin, &mut jobs);
        self.answer_all(jobs, ended);
    }

    /// Answers the callers of changes; those for which the time did not suffice wait for the next
    /// commit.
    fn answer_all(&self, mut jobs: Vec<Box<dyn Job>>, ended: Result<usize, Box<CommitFault>>) {
        let fault = match ended {
            Ok(run) => {
                self.0.queue.put_back(jobs.split_off(run));
                None
            }
            Err(fault) => {
                if fault.only_first && !jobs.is_empty() {
                    self.0.queue.put_back(jobs.split_off(1));
                }
                Some(fault)
            }
        };
        for job in jobs {
            job.answer(fault.as_deref());
        }
    }

    /// How many of the changes were run.
    fn try_to_commit(
        &self,
        writer: &mut Writer,
        begin: Begin,
        jobs: &mut [Box<dyn Job>],
    ) -> Result<usize, Box<CommitFault>> {
        self.ready(writer).map_err(CommitFault::of_all)?;
        let rules = RunRules { most: jobs.len(), not_before: Timestamp(i64::MIN), is_alone: true };
        self.write_and_tell(writer, |database| {
            let (mut rows, mut told) = (begin(database)?, Vec::new());
            let group = self.run(&mut rows, jobs, rules, |_, written| {
                told.extend(written.change);
                Ok(())
            })?;
            if !group.wrote {
                return Ok((None, group.run));
            }
            let tx = rows.into_transaction(database)?;
            Ok((Some(Ready { tx, told, unsynced: None }), group.run))
        })
    }

    /// Resolves what is unresolved, and refuses where nothing is written any more.
    pub(super) fn ready(&self, writer: &mut Writer) -> Result<(), Failure> {
        self.settle(writer).and_then(|()| self.0.health.unbroken())
    }

    /// Commits what the work made ready, if it did, then tells subscribers.
    pub(super) fn write_and_tell<T>(
        &self,
        writer: &mut Writer,
        work: impl FnOnce(&Database) -> Result<(Option<Ready>, T), StoreError>,
    ) -> Result<T, Box<CommitFault>> {
        let unsettled = &mut writer.unsettled;
        let mut commit_begun = false;
        let committed = self.guarded(|database| {
            let (ready, value) = work(database)?;
            if let Some(Ready { mut tx, told, unsynced }) = ready {
                let durability =
                    unsynced.as_ref().map_or(Durability::Immediate, |_| Durability::None);
                tx.set_durability(durability)?;
                // Before the commit: one that panics has been started, too.
                *unsettled = told;
                commit_begun = true;
                // Held during the commit: who reads it also learns whether it is on the disk.
                let mut rows = self.unsynced();
                tx.commit()?;
                match unsynced {
                    Some(Unsynced { span, rows: more, bytes }) => rows.add(span, more, bytes),
                    None => {
                        rows.clear();
                        self.0.health.worked();
                    }
                }
            }
            Ok(value)
        });
        match committed {
            Ok(value) if commit_begun => {
                self.tell(writer);
                // The file may have been removed while it was written.
                let lasts = self.in_place();
                lasts.map_err(|fault| CommitFault {
                    of_writers: not_lasting(&fault),
                    fault,
                    only_first: false,
                })?;
                Ok(value)
            }
            Ok(value) => Ok(value),
            Err(fault) if commit_begun => {
                let is_told = !writer.unsettled.is_empty();
                self.0.unsettled.store(is_told, Ordering::Release);
                // If this fails too, it is retried until the outcome is known.
                let _ = self.settle(writer);
                Err(Box::new(CommitFault { of_writers: unclear(&fault), fault, only_first: false }))
            }
            Err(fault) => Err(CommitFault::of_all(fault)),
        }
    }

    /// Runs changes one after another, as many as the time suffices for. `keep` sees the rows of each
    /// that wrote any, before the next one runs on them.
    pub(super) fn run(
        &self,
        rows: &mut Workspace,
        jobs: &mut [Box<dyn Job>],
        rules: RunRules,
        mut keep: impl FnMut(&Workspace, Written) -> Result<(), StoreError>,
    ) -> Result<Group, StoreError> {
        let (mut group, mut relies_on_file) = (Group::default(), false);
        let begun = self.0.clock.now();
        jobs.iter_mut().for_each(|job| job.forget());
        for job in jobs.iter_mut().take(rules.most) {
            let now = self.0.clock.now();
            if group.wrote && now.0.saturating_sub(begun.0) > GROUP_MS {
                break;
            }
            group.run += 1;
            let is_sure = rules.is_alone && !group.wrote;
            match job.run(rows, now.max(rules.not_before), is_sure)? {
                Ran::Wrote(written) => {
                    keep(rows, written)?;
                    rows.keep();
                    (group.wrote, relies_on_file) = (true, true);
                }
                Ran::Nothing => {
                    rows.forget();
                    (group.has_nothing_to_change, relies_on_file) = (true, true);
                }
                Ran::Refused => rows.forget(),
            }
        }
        if relies_on_file {
            // Also before a response that nothing had to change: a restart would make it untrue.
            self.in_place()?;
        }
        Ok(group)
    }

    /// Resolves changes whose commit failed midway, and publishes them if they were saved, so that
    /// subscribers never know less than the file.
    pub(super) fn settle(&self, writer: &mut Writer) -> Result<(), Failure> {
        // They were saved all or none.
        let Some(last) = writer.unsettled.last() else { return Ok(()) };
        let expected = last.revision;
        if self.guarded(|database| revision(&database.begin_read()?))? >= expected {
            self.tell(writer);
        } else {
            writer.unsettled.clear();
            self.0.unsettled.store(false, Ordering::Release);
        }
        Ok(())
    }

    /// Publishes the changes.
    fn tell(&self, writer: &mut Writer) {
        for change in writer.unsettled.drain(..) {
            self.0.reached.fetch_max(change.revision.0, Ordering::AcqRel);
            writer.followers.publish(change);
        }
        self.0.unsettled.store(false, Ordering::Release);
    }
}

/// Of a change that is too large for an entry.
fn not_by_log() -> Failure {
    Failure::new(
        Kind::Conflict,
        "not_by_log",
        "this change is too large for the log that the nodes share, and nothing was changed: make it in parts",
    )
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::thread;

    use super::*;
    use crate::clock::Clock;

    /// Has `count` changes wait, and runs them; each takes so many milliseconds. Answers how many
    /// were committed when each was run.
    async fn committed_before_each(count: u64, each_ms: i64) -> Vec<u64> {
        let clock = Clock::fixed(Timestamp(1_000_000));
        let store = Store::in_memory(clock.clone()).await.unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let held = store.writer();
        let mut threads = Vec::new();
        for waiting in 0..count {
            let (ours, clock, seen) = (store.clone(), clock.clone(), Arc::clone(&seen));
            threads.push(thread::spawn(move || {
                let reads = ours.clone();
                ours.change(Actor::System.label(), move |_| {
                    seen.lock().unwrap().push(reads.0.reached.load(Ordering::Relaxed));
                    clock.advance_ms(each_ms);
                    Ok(TransactionEnd::Changed(()))
                })
            }));
            while store.changes_waiting() < usize::try_from(waiting + 1).unwrap() {
                thread::yield_now();
            }
        }
        drop(held);
        for thread in threads {
            thread.join().unwrap().unwrap();
        }
        seen.lock().unwrap().clone()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_change_does_not_wait_for_slow_ones_behind_it() {
        assert_eq!(committed_before_each(4, 1).await, [0, 0, 0, 0]);
        assert_eq!(committed_before_each(4, GROUP_MS + 1).await, [0, 1, 2, 3]);
        assert_eq!(committed_before_each(4, GROUP_MS / 2 + 1).await, [0, 0, 2, 2]);
    }
}
