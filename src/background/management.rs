//! The threads of management: behind those that answer decisions, and beside many of them idle.
//!
//! A thread of a high nice value that has just got a core is left there for some ten microseconds,
//! also when a decision becomes due; an idle one gives it away at once. But on a machine without a
//! core to spare an idle thread may hardly run, so that somebody looks after them: where none of them
//! comes to its turn, they are as they were for a while. Never touches the threads that answer
//! decisions, nor those of blocking work: one that an idle worker begins stands behind others as soon
//! as it runs.

use std::cell::Cell;
use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::standing::{Thread, comes_back, stand_behind};
use super::{Load, Traffic, begin_thread};
use crate::domain::Failure;

/// The threads that run the tasks of management's runtime, each from its first rest on; clones are of
/// the same ones.
#[derive(Clone, Debug, Default)]
pub struct Workers(Arc<Mutex<Vec<Thread>>>);

thread_local! {
    /// A worker that was put off must not keep the list from whoever is to help it.
    static IS_KNOWN: Cell<bool> = const { Cell::new(false) };
}

impl Workers {
    /// The runtime of management, whose threads stand behind others ([`stand_behind`]).
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub fn runtime(&self) -> io::Result<Runtime> {
        let (known, gone) = (self.clone(), self.clone());
        Builder::new_multi_thread()
            .enable_all()
            .thread_name("management")
            .on_thread_start(stand_behind)
            // Threads of blocking work never come by here.
            .on_thread_park(move || known.know_own())
            .on_thread_stop(move || gone.forget_own())
            .build()
    }

    /// Has them idle while there are many of the decisions that are counted there, until the answer
    /// is dropped. Called on their runtime. Where a thread cannot come back from that, which takes
    /// `RLIMIT_NICE` of at least 10 or `CAP_SYS_NICE`, they stay as they are.
    ///
    /// # Errors
    /// `Internal`, when the thread that looks after them cannot start.
    pub fn give_way(&self, traffic: Traffic) -> Result<GivingWay, Failure> {
        let (end, ended) = mpsc::channel();
        let (workers, runtime) = (self.clone(), Handle::current());
        begin_thread("standing", move || {
            if comes_back() {
                LookingAfter { workers, runtime, traffic, ended }.run();
            } else {
                tracing::info!(
                    "management keeps its priority beside many decisions: to put it last of all, begin the process at the usual priority and with RLIMIT_NICE of 10 or more (systemd: LimitNICE=+10)"
                );
            }
        })?;
        Ok(GivingWay { _end: end })
    }

    fn know_own(&self) {
        if !IS_KNOWN.replace(true) {
            self.all(|workers| workers.push(Thread::own()));
        }
    }

    fn forget_own(&self) {
        self.all(|workers| workers.retain(|worker| *worker != Thread::own()));
    }

    fn set_idle(&self, idle: bool) {
        // None of them ends while it is in the list, and the list is held.
        self.all(|workers| workers.iter().for_each(|worker| worker.set_idle(idle)));
    }

    fn all<T>(&self, on: impl FnOnce(&mut Vec<Thread>) -> T) -> T {
        on(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Ends what [`Workers::give_way`] began.
#[derive(Debug)]
pub struct GivingWay {
    /// Never told anything: that it is gone is the word.
    _end: Sender<()>,
}

/// Who looks whether they are to be idle, and whether they still come to their turn.
struct LookingAfter {
    workers: Workers,
    runtime: Handle,
    traffic: Traffic,
    ended: Receiver<()>,
}

impl LookingAfter {
    fn run(&self) {
        let mut load = Load::now(&self.traffic);
        let mut stance = Stance::Usual { until: Instant::now() };
        while self.ended.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
            load.look(&self.traffic);
            let next = stance.next(load.is_high, Instant::now(), || self.runtime.spawn(async {}));
            if let Some(next) = next {
                self.workers.set_idle(matches!(next, Stance::Idle { .. }));
                // The library has set the nice value of this thread.
                stand_behind();
                stance = next;
            }
        }
    }
}

impl Drop for LookingAfter {
    /// However it ends, nobody would help them any more.
    fn drop(&mut self) {
        self.workers.set_idle(false);
    }
}

/// How the workers stand.
#[derive(Debug)]
enum Stance {
    /// As they began, and so until then at least.
    Usual { until: Instant },
    /// Idle, and asked then to do next to nothing.
    Idle { asked: Instant, task: JoinHandle<()> },
}

impl Stance {
    /// How they are to stand instead, if otherwise.
    fn next(
        &mut self,
        beside_many: bool,
        now: Instant,
        ask: impl FnOnce() -> JoinHandle<()>,
    ) -> Option<Self> {
        match self {
            Self::Usual { until } if beside_many && now >= *until => {
                Some(Self::Idle { asked: now, task: ask() })
            }
            Self::Idle { .. } if !beside_many => Some(Self::Usual { until: now }),
            Self::Idle { asked, task } if task.is_finished() => {
                (*asked, *task) = (now, ask());
                None
            }
            Self::Idle { asked, .. } if now >= *asked + PATIENCE => {
                Some(Self::Usual { until: now + RELIEF })
            }
            _ => None,
        }
    }
}

const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Who waits longer than this for its turn gets no core beside the decisions.
const PATIENCE: Duration = Duration::from_millis(100);
/// So long they are as they began after that: of the time in which somebody may wait for them, they
/// are idle for no more than a little.
const RELIEF: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::super::standing::Standing;
    use super::*;

    #[tokio::test]
    async fn who_does_not_come_to_a_turn_is_not_idle_for_a_while() {
        let began = Instant::now();
        let at = |milliseconds: u64| began + Duration::from_millis(milliseconds);
        let starved = || tokio::spawn(pending());
        let mut stance = Stance::Usual { until: began };
        let unasked = || -> JoinHandle<()> { panic!("nobody is asked") };
        assert!(stance.next(false, at(0), unasked).is_none(), "there are few decisions");
        stance = stance.next(true, at(20), || tokio::spawn(async {})).unwrap();
        assert!(matches!(stance, Stance::Idle { .. }));
        while !matches!(&stance, Stance::Idle { task, .. } if task.is_finished()) {
            tokio::task::yield_now().await;
        }
        assert!(
            stance.next(true, at(500), starved).is_none(),
            "it had its turn, and is asked anew"
        );
        assert!(stance.next(true, at(599), unasked).is_none());
        stance = stance.next(true, at(600), unasked).unwrap();
        assert!(matches!(stance, Stance::Usual { .. }));
        assert!(stance.next(true, at(2_599), unasked).is_none());
        stance = stance.next(true, at(2_600), starved).unwrap();
        stance = stance.next(false, at(2_620), unasked).unwrap();
        assert!(stance.next(true, at(2_620), starved).is_some(), "it had not waited in vain");
    }

    /// How a thread that is asked stands, once it stands so or that has lasted for seconds.
    async fn stands(idle: bool, own: impl AsyncFn() -> Standing) -> Standing {
        for _ in 0..1_000 {
            let standing = own().await;
            if standing.idle == idle {
                return standing;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        own().await
    }

    /// What the process may do, by `proc_pid_status(5)` and `proc_pid_limits(5)`.
    fn kernel_lets_threads_come_back() -> bool {
        let of_process = |file: &str, line: &str| {
            let text = std::fs::read_to_string(format!("/proc/self/{file}")).unwrap();
            let found = text.lines().find_map(|it| it.strip_prefix(line)).unwrap();
            found.split_whitespace().next().unwrap().to_owned()
        };
        let capabilities = u64::from_str_radix(&of_process("status", "CapEff:"), 16).unwrap();
        // `unlimited`, where it is no number.
        let nice = of_process("limits", "Max nice priority").parse().unwrap_or(40);
        capabilities & CAP_SYS_NICE != 0 || nice >= 10
    }

    /// Of `capabilities(7)`.
    const CAP_SYS_NICE: u64 = 1 << 23;

    #[test]
    fn workers_are_idle_while_there_are_many_decisions() {
        if !kernel_lets_threads_come_back() {
            return println!("skipped: needs CAP_SYS_NICE, or RLIMIT_NICE of 10 or more");
        }
        assert!(std::thread::spawn(comes_back).join().unwrap());
        let workers = Workers::default();
        let runtime = workers.runtime().unwrap();
        let traffic = Traffic::default();
        let giving_way = {
            let _on = runtime.enter();
            workers.give_way(traffic.clone()).unwrap()
        };
        let own = || Standing::own().unwrap();
        let worker = async || tokio::spawn(async move { own() }).await.unwrap();
        let begun_by_worker = tokio::task::spawn_blocking;
        let blocking = async || {
            tokio::spawn(async move { begun_by_worker(own).await.unwrap() }).await.unwrap()
        };
        let decisions = runtime.spawn(async move {
            loop {
                for _ in 0..100 {
                    traffic.one_more();
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        runtime.block_on(async {
            assert!(stands(true, worker).await.idle);
            let blocking = blocking().await;
            assert!(!blocking.idle && blocking.nice >= 10);
            decisions.abort();
            let worker = stands(false, worker).await;
            assert!(!worker.idle && worker.nice >= 10);
        });
        drop(giving_way);
    }
}
