//! Changes that wait for a commit, each with its caller.
//!
//! One caller at a time makes a commit, with the changes of all that wait by then. A change may be run
//! more than once: what it came to is what its last run did.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};

use super::StoreError;
use super::change_workspace::Workspace;
use super::running_change::{ChangeTransaction, TransactionEnd};
use crate::domain::{Change, Failure, Timestamp};
use crate::store::Committed;

/// The most changes in one commit.
const GROUP_MAX: usize = 64;

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
    pub(super) fn add(&self, job: Box<dyn Job>) -> bool {
        let mut waiting = self.waiting();
        waiting.jobs.push_back(job);
        !std::mem::replace(&mut waiting.is_led, true)
    }

    /// Takes the changes of the next commit.
    pub(super) fn take(&self) -> Vec<Box<dyn Job>> {
        let mut waiting = self.waiting();
        let count = waiting.jobs.len().min(GROUP_MAX);
        waiting.jobs.drain(..count).collect()
    }

    /// Puts changes that were not run back before all others.
    pub(super) fn put_back(&self, jobs: Vec<Box<dyn Job>>) {
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

/// The caller that makes a commit. Dropped, it appoints the caller that has waited longest.
pub(super) struct Lead<'q>(pub(super) &'q ChangeQueue);

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
pub(super) trait Job: Send {
    /// Discards the result of a run whose commit did not happen.
    fn forget(&mut self);

    /// Runs it. `is_sure`: a refusal stands even if the commit fails.
    ///
    /// # Errors
    /// Those of the disk; a refusal is one of its results.
    fn run(&mut self, rows: &Workspace, now: Timestamp, is_sure: bool) -> Result<Ran, StoreError>;

    /// Tells its caller to make the next commit; `false`, where nobody waits for it any more.
    fn lead(&self) -> bool;

    /// Answers its caller, after the commit or instead of it.
    fn answer(self: Box<Self>, fault: Option<&CommitFault>);
}

/// What a change did.
pub(super) enum Ran {
    Wrote(Written),
    Nothing,
    Refused,
}

/// A change that wrote rows.
pub(super) struct Written {
    /// As [`crate::domain::Actor::label`] writes it.
    pub(super) actor: String,
    pub(super) at: Timestamp,
    /// `None`: subscribers are not told.
    pub(super) change: Option<Change>,
}

/// Why a commit failed.
pub(super) struct CommitFault {
    pub(super) fault: Failure,
    /// The answer to callers whose change may have been committed.
    pub(super) of_writers: Failure,
    /// Whether it is of the first change alone: the others wait for the next commit.
    pub(super) only_first: bool,
}

impl CommitFault {
    pub(super) fn of_all(fault: Failure) -> Box<Self> {
        Box::new(Self { of_writers: fault.clone(), fault, only_first: false })
    }

    pub(super) fn of_first(fault: Failure) -> Box<Self> {
        Box::new(Self { of_writers: fault.clone(), fault, only_first: true })
    }
}

/// A change with what its caller waits for.
struct Submitted<T, W> {
    actor: String,
    work: W,
    /// What it came to, if it is committed.
    ended: Option<Result<Committed<T>, Failure>>,
    wrote: bool,
    /// Whether it was refused because of what is in the file, whatever comes of the commit.
    is_refused: bool,
    caller: mpsc::Sender<Message<T>>,
}

/// What a caller that waits is told.
pub(super) enum Message<T> {
    Lead,
    Answer(Result<Committed<T>, Failure>),
}

impl<T, W> Job for Submitted<T, W>
where
    T: Send,
    W: FnMut(&mut ChangeTransaction<'_>) -> Result<TransactionEnd<T>, StoreError> + Send,
{
    fn forget(&mut self) {
        (self.ended, self.wrote, self.is_refused) = (None, false, false);
    }

    fn run(&mut self, rows: &Workspace, now: Timestamp, is_sure: bool) -> Result<Ran, StoreError> {
        let mut change = ChangeTransaction::new(rows, self.actor.clone(), now)?;
        let before = change.before();
        let ended = match (self.work)(&mut change) {
            Err(StoreError::Rule(refusal)) => {
                self.ended = Some(Err(refusal));
                self.is_refused = is_sure;
                return Ok(Ran::Refused);
            }
            ended => ended?,
        };
        let actor = std::mem::take(&mut change.actor);
        let (value, told) = match ended {
            TransactionEnd::Changed(value) => (value, Some(Some(change.seal()?))),
            TransactionEnd::Quietly(value) => (value, Some(None)),
            TransactionEnd::AsItWas(value) => (value, None),
        };
        self.wrote = told.is_some();
        let revision = told.iter().flatten().next().map_or(before, |change| change.revision);
        self.ended = Some(Ok(Committed { revision, value }));
        Ok(told.map_or(Ran::Nothing, |change| Ran::Wrote(Written { actor, at: now, change })))
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
pub(super) fn lost() -> Failure {
    Failure::internal("it is not known whether a change was made")
}

/// A change that waits, and where its caller waits.
pub(super) fn submitted<T: Send + 'static>(
    actor: String,
    work: impl FnMut(&mut ChangeTransaction<'_>) -> Result<TransactionEnd<T>, StoreError>
    + Send
    + 'static,
) -> (Box<dyn Job>, mpsc::Receiver<Message<T>>) {
    let (caller, answers) = mpsc::channel();
    let job = Submitted { actor, work, ended: None, wrote: false, is_refused: false, caller };
    (Box::new(job), answers)
}

/// Work that runs each time on what it was given at first.
pub(super) fn repeatedly<T: 'static>(
    work: impl FnOnce(&mut ChangeTransaction<'_>) -> Result<TransactionEnd<T>, StoreError>
    + Clone
    + Send
    + 'static,
) -> impl FnMut(&mut ChangeTransaction<'_>) -> Result<TransactionEnd<T>, StoreError> + Send + 'static
{
    move |change| work.clone()(change)
}

/// Work that can be run once.
pub(super) fn once<T: 'static>(
    work: impl FnOnce(&mut ChangeTransaction<'_>) -> Result<TransactionEnd<T>, StoreError>
    + Send
    + 'static,
) -> impl FnMut(&mut ChangeTransaction<'_>) -> Result<TransactionEnd<T>, StoreError> + Send + 'static
{
    let mut work = Some(work);
    move |change| work.take().map_or_else(|| Err(lost().into()), |work| work(change))
}
