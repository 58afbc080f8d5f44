//! Commits: changes that wait for the file at the same time are written in one, each of them all or
//! nothing.
//!
//! One caller at a time makes a commit, with the changes of all that wait by then. Each runs on the
//! rows of those before it; one that is refused leaves nothing. Nobody hears of a change before it
//! is on the disk, and subscribers do in the order of revisions.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};

use redb::{Database, ReadableDatabase};

use super::change_transaction::{ChangeTransaction, TransactionEnd};
use super::workspace::Workspace;
use super::{Store, StoreError, Writer, blocking, is_of_disk, not_lasting, revision, unclear};
use crate::domain::{Actor, Change, Failure, Timestamp};
use crate::store::Committed;

/// The most changes in one commit.
const GROUP_MAX: usize = 64;
/// No further change is run for a commit after so many milliseconds, so that a removal does not wait
/// for slow changes behind it.
const GROUP_MS: i64 = 5;

/// Where a change begins.
type Begin = fn(&Database) -> Result<Workspace, StoreError>;

/// The changes that wait, oldest first.
#[derive(Default)]
pub(super) struct ChangeQueue(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Box<dyn Job>>,
    /// Whether a caller makes a commit, or was told to.
    is_led: bool,
}

impl ChangeQueue {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a change; whether its caller is to make the next commit.
    fn add(&self, job: Box<dyn Job>) -> bool {
        let mut waiting = self.waiting();
        waiting.jobs.push_back(job);
        !std::mem::replace(&mut waiting.is_led, true)
    }

    /// Takes the changes of the next commit.
    fn take(&self) -> Vec<Box<dyn Job>> {
        let mut waiting = self.waiting();
        let count = waiting.jobs.len().min(GROUP_MAX);
        waiting.jobs.drain(..count).collect()
    }

    /// Puts changes that were not run back before all others.
    fn put_back(&self, jobs: Vec<Box<dyn Job>>) {
        let mut waiting = self.waiting();
        for job in jobs.into_iter().rev() {
            waiting.jobs.push_front(job);
        }
    }

    /// How many changes wait for a commit after the current one.
    pub(super) fn len(&self) -> usize {
        self.waiting().jobs.len()
    }
}

/// The caller that makes a commit; dropped, the one that waits the longest makes the next.
struct Lead<'q>(&'q ChangeQueue);

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        let mut waiting = self.0.waiting();
        // A caller that is gone can make no commit.
        while waiting.jobs.front().is_some_and(|oldest| !oldest.lead()) {
            waiting.jobs.pop_front();
        }
        waiting.is_led = !waiting.jobs.is_empty();
    }
}

/// A change that waits, whatever its result is.
trait Job: Send {
    /// Runs it. `is_first`: nothing was written before it in the same commit.
    ///
    /// # Errors
    /// Those of the disk; a refusal is one of its results.
    fn run(&mut self, rows: &Workspace, now: Timestamp, is_first: bool) -> Result<Ran, StoreError>;

    /// Tells its caller to make the next commit; `false`, where nobody waits for it any more.
    fn lead(&self) -> bool;

    /// Answers its caller, after the commit or instead of it.
    fn answer(self: Box<Self>, fault: Option<&CommitFault>);
}

/// What a change did.
enum Ran {
    /// It wrote rows; `None`: subscribers are not told.
    Wrote(Option<Change>),
    Nothing,
    Refused,
}

/// The changes of one commit.
#[derive(Default)]
struct Group {
    /// How many were run.
    run: usize,
    /// Whether any wrote rows.
    wrote: bool,
    /// What subscribers are to be told.
    told: Vec<Change>,
}

/// Why a commit failed.
struct CommitFault {
    fault: Failure,
    /// What they are told whose change was written, and may have been made.
    of_writers: Failure,
}

impl CommitFault {
    fn of_all(fault: Failure) -> Box<Self> {
        Box::new(Self { of_writers: fault.clone(), fault })
    }
}

/// A change with what its caller waits for.
struct Submitted<T, W> {
    actor: String,
    /// Until it is run.
    work: Option<W>,
    /// What it came to, if it is committed.
    ended: Option<Result<Committed<T>, Failure>>,
    wrote: bool,
    /// Whether it was refused because of what is in the file, whatever comes of the commit.
    is_refused: bool,
    caller: mpsc::Sender<Message<T>>,
}

enum Message<T> {
    Lead,
    Answer(Result<Committed<T>, Failure>),
}

impl<T, W> Job for Submitted<T, W>
where
    T: Send,
    W: FnOnce(&mut ChangeTransaction<'_>) -> Result<TransactionEnd<T>, StoreError> + Send,
{
    fn run(&mut self, rows: &Workspace, now: Timestamp, is_first: bool) -> Result<Ran, StoreError> {
        let Some(work) = self.work.take() else { return Ok(Ran::Nothing) };
        let mut change = ChangeTransaction::new(rows, std::mem::take(&mut self.actor), now)?;
        let before = change.before();
        let (value, told) = match work(&mut change) {
            Ok(TransactionEnd::Changed(value)) => (value, Some(Some(change.seal()?))),
            Ok(TransactionEnd::Quietly(value)) => (value, Some(None)),
            Ok(TransactionEnd::AsItWas(value)) => (value, None),
            Err(StoreError::Rule(refusal)) => {
                self.ended = Some(Err(refusal));
                self.is_refused = is_first;
                return Ok(Ran::Refused);
            }
            Err(disk) => return Err(disk),
        };
        self.wrote = told.is_some();
        let revision = told.iter().flatten().next().map_or(before, |change| change.revision);
        self.ended = Some(Ok(Committed { revision, value }));
        Ok(told.map_or(Ran::Nothing, Ran::Wrote))
    }

    fn lead(&self) -> bool {
        self.caller.send(Message::Lead).is_ok()
    }

    fn answer(self: Box<Self>, fault: Option<&CommitFault>) {
        let answer = match (fault, self.ended) {
            (None, Some(ended)) => ended,
            (Some(_), Some(Err(refusal))) if self.is_refused => Err(refusal),
            (Some(fault), _) if self.wrote => Err(fault.of_writers.clone()),
            (Some(fault), _) => Err(fault.fault.clone()),
            (None, None) => Err(lost()),
        };
        let _ = self.caller.send(Message::Answer(answer));
    }
}

/// Of a change that nobody answered.
fn lost() -> Failure {
    Failure::internal("it is not known whether a change was made")
}

impl Store {
    /// Runs one change atomically, then publishes it. Once called it runs to its end, even if the
    /// caller stops waiting.
    ///
    /// The change is a value that can be repeated: it owns what it needs, and has no effect but
    /// rows and what it tells, so that one that did not come to be can be run on another state.
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
            let (job, answers) = submitted(actor, work);
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
        + Send
        + 'static,
    ) -> Result<Committed<T>, Failure> {
        self.noted(self.try_to_change(actor, work))
    }

    /// Notes that the disk failed; that it worked is noted with the commit.
    fn noted<T>(&self, changed: Result<T, Failure>) -> Result<T, Failure> {
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
        + Send
        + 'static,
    ) -> Result<Committed<T>, Failure> {
        let (job, answers) = submitted(actor, work);
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
    fn lead(&self) {
        let _lead = Lead(&self.0.queue);
        let mut writer = self.writer();
        let jobs = self.0.queue.take();
        self.commit(&mut writer, Workspace::staged, jobs);
    }

    /// Makes one commit of changes, and answers their callers; those for which the time did not
    /// suffice wait for the next one.
    fn commit(&self, writer: &mut Writer, begin: Begin, mut jobs: Vec<Box<dyn Job>>) {
        let fault = match self.try_to_commit(writer, begin, &mut jobs) {
            Ok(run) => {
                self.0.queue.put_back(jobs.split_off(run));
                None
            }
            Err(fault) => Some(fault),
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
        let ready = self.settle(writer).and_then(|()| self.0.health.unbroken());
        ready.map_err(CommitFault::of_all)?;
        let unsettled = &mut writer.unsettled;
        let mut commit_begun = false;
        let committed = self.guarded(|database| {
            let mut rows = begin(database)?;
            let group = self.run(&mut rows, jobs)?;
            if group.wrote {
                let tx = rows.into_transaction(database)?;
                // Before the commit: one that panics has been started, too.
                *unsettled = group.told;
                commit_begun = true;
                tx.commit()?;
            }
            Ok(group.run)
        });
        match committed {
            Ok(run) if commit_begun => {
                self.0.health.worked();
                self.tell(writer);
                // The file may have been removed while it was written.
                let lasts = self.in_place();
                lasts.map_err(|fault| CommitFault { of_writers: not_lasting(&fault), fault })?;
                Ok(run)
            }
            Ok(run) => Ok(run),
            Err(fault) if commit_begun => {
                let is_told = !writer.unsettled.is_empty();
                self.0.unsettled.store(is_told, Ordering::Release);
                // If this fails too, it is retried until the outcome is known.
                let _ = self.settle(writer);
                Err(Box::new(CommitFault { of_writers: unclear(&fault), fault }))
            }
            Err(fault) => Err(CommitFault::of_all(fault)),
        }
    }

    /// Runs changes one after another, as many as the time suffices for.
    fn run(&self, rows: &mut Workspace, jobs: &mut [Box<dyn Job>]) -> Result<Group, StoreError> {
        let (mut group, mut relies_on_file) = (Group::default(), false);
        let begun = self.0.clock.now();
        for job in jobs {
            let now = self.0.clock.now();
            if group.wrote && now.0.saturating_sub(begun.0) > GROUP_MS {
                break;
            }
            group.run += 1;
            match job.run(rows, now, !group.wrote)? {
                Ran::Wrote(change) => {
                    rows.keep();
                    group.told.extend(change);
                    (group.wrote, relies_on_file) = (true, true);
                }
                Ran::Nothing => {
                    rows.forget();
                    relies_on_file = true;
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

/// A change that waits, and where its caller waits.
fn submitted<T: Send + 'static, W>(
    actor: String,
    work: W,
) -> (Box<dyn Job>, mpsc::Receiver<Message<T>>)
where
    W: FnOnce(&mut ChangeTransaction<'_>) -> Result<TransactionEnd<T>, StoreError> + Send + 'static,
{
    let (caller, answers) = mpsc::channel();
    let work = Some(work);
    let job = Submitted { actor, work, ended: None, wrote: false, is_refused: false, caller };
    (Box::new(job), answers)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
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
