//! How the kernel ranks threads: behind others, or idle.
//!
//! Never ranks a thread before one that the process began with, but for the moment in which one that
//! calls the library is set right.

use std::fs;

use thread_priority::unix::{
    NormalThreadSchedulePolicy, ThreadSchedulePolicy, set_thread_priority_and_policy,
    thread_native_id,
};
use thread_priority::{ThreadId, ThreadPriority, ThreadPriorityValue};

const IDLE: ThreadSchedulePolicy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
const USUAL: ThreadSchedulePolicy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Other);

/// Puts the thread that calls, and those that it begins, behind the threads that answer decisions:
/// beside one of them it has a tenth of a core. So much is always left for an administrator, and so
/// little that no queue of decisions builds up while many changes are written. One that is idle
/// because whoever began it is so for a while comes back from that, where it may.
pub fn stand_behind() {
    // A privileged process that was begun further behind would be moved before its decisions.
    let is_behind = Standing::own().is_some_and(|own| own.nice >= BEHIND_NICE && !own.idle);
    let began_idle = Standing::of_process().is_some_and(|process| process.idle);
    if !is_behind && !began_idle {
        Thread::own().set_idle(false);
    }
}

const BEHIND_NICE: i32 = 10;
/// The same on the scale of the library, which ends at 99 with a nice value of -20.
const BEHIND: u8 = 22;

/// How the kernel ranks a thread.
pub(super) struct Standing {
    pub(super) nice: i32,
    pub(super) idle: bool,
}

impl Standing {
    /// Of the thread that calls.
    pub(super) fn own() -> Option<Self> {
        Self::read("/proc/thread-self/stat")
    }

    /// Of the thread that the process began with, which nothing here changes.
    fn of_process() -> Option<Self> {
        Self::read("/proc/self/stat")
    }

    /// Fields 19 and 41 of `proc_pid_stat(5)`, counted from behind the name, which may hold anything.
    fn read(file: &str) -> Option<Self> {
        let stat = fs::read_to_string(file).ok()?;
        let (_, fields) = stat.rsplit_once(") ")?;
        let number = |field: usize| fields.split(' ').nth(field)?.parse::<i32>().ok();
        Some(Self { nice: number(19 - 3)?, idle: number(41 - 3)? == SCHED_IDLE })
    }
}

/// Of `sched(7)`.
const SCHED_IDLE: i32 = 5;

/// Only an idle thread gives its core away at once: one of a high nice value may still finish its
/// slice of some milliseconds. Where it cannot be made idle the work is done anyway.
pub(super) fn yield_to_others() {
    Thread::own().set_idle(true);
}

/// Whether a thread that is idle can be made as it was; tried on the one that calls. A process that
/// was begun further behind keeps its threads there.
pub(super) fn comes_back() -> bool {
    if Standing::of_process().is_none_or(|process| process.idle || process.nice > BEHIND_NICE) {
        return false;
    }
    // What a thread needs to come back depends on its nice value: this is that of those it is asked for.
    stand_behind();
    yield_to_others();
    stand_behind();
    Standing::own().is_some_and(|own| !own.idle)
}

/// A thread of this process that others may rank; not to be used once it has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Thread(ThreadId);

impl Thread {
    /// The one that calls.
    pub(super) fn own() -> Self {
        Self(thread_native_id())
    }

    /// Makes it idle, or takes that back; another one than that which calls keeps its nice value.
    pub(super) fn set_idle(self, idle: bool) {
        // The library sets the nice value of the thread that calls, whichever it is given.
        let (policy, callers) =
            if idle { (IDLE, Some(ThreadPriority::Min)) } else { (USUAL, behind()) };
        if let Some(callers) = callers {
            let _ = set_thread_priority_and_policy(self.0, callers, policy);
        }
    }
}

fn behind() -> Option<ThreadPriority> {
    ThreadPriorityValue::try_from(BEHIND).ok().map(ThreadPriority::Crossplatform)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_stands_further_behind_stays_there() {
        let nice = || Standing::own().unwrap().nice;
        let own = nice();
        stand_behind();
        assert_eq!(nice(), own.max(BEHIND_NICE));
        set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, USUAL).unwrap();
        stand_behind();
        assert_eq!(nice(), 19);
    }
}
