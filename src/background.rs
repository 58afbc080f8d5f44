//! Work beside the decisions: management on threads that stand behind those that answer; long work
//! on a thread of its own, at the lowest priority once there are any.
//!
//! A decision that becomes due takes the core from long work at once. Never for work that a request
//! waits for on the decision listener.
//!
//! On a machine that has no core to spare, an idle thread may not run for as long as that lasts.
//! What somebody waits for has a patience: then it is begun once more like any other work. Where it
//! is decisions that take the core, the patience is longer: they come first. Short work, such as a
//! change of the store, becomes idle work beside many decisions, and begins only so often.

mod management;
mod standing;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::time::Duration;

use tokio::sync::{Mutex, OwnedMutexGuard, oneshot};
use tokio::time::{Instant, sleep_until};

use self::standing::yield_to_others;
pub use management::{GivingWay, Workers};
pub use standing::stand_behind;

use crate::domain::Failure;
use crate::tally::{EachThread, Tally};

/// Runs `work` to its end, also when the caller stops waiting.
///
/// # Errors
/// `Internal`, when the thread cannot start or the work panics.
pub async fn run<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    let last = move || {
        yield_to_others();
        work()
    };
    run_before_serving(name, last).await
}

/// The same at the priority of whoever calls, while there is no decision yet to make room for: on a
/// busy host an idle thread would put a start off for as long as others have something to do.
///
/// # Errors
/// As [`run`].
pub async fn run_before_serving<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    let (answer, answered) = oneshot::channel();
    begin_thread(name, move || {
        // Nobody may be waiting any more; the work counts all the same.
        let _ = answer.send(work());
    })?;
    answered.await.map_err(|_| broke_off(name))
}

/// The same where the threads of management stand while they are not idle.
async fn run_behind<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    let behind = move || {
        stand_behind();
        work()
    };
    run_before_serving(name, behind).await
}

fn begin_thread(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    let begun = std::thread::Builder::new().name(name.to_owned()).spawn(work);
    begun.map(drop).map_err(|fault| Failure::internal(format!("no thread for `{name}`: {fault}")))
}

fn broke_off(name: &str) -> Failure {
    Failure::internal(format!("`{name}` broke off"))
}

/// How many decisions there were so far; clones count together.
#[derive(Clone, Debug, Default)]
pub struct Traffic(Arc<EachThread<Tally>>);

impl Traffic {
    /// One more decision; answers how many the calling thread made before.
    pub fn one_more(&self) -> u64 {
        self.0.own().add(1)
    }

    /// How many there were.
    #[must_use]
    pub fn decisions(&self) -> u64 {
        self.0.sum(|decisions| decisions)
    }
}

/// Work of one kind that somebody waits for; clones share what is known of how late it is.
#[derive(Clone, Debug, Default)]
pub struct Awaited {
    late: Arc<AtomicUsize>,
    traffic: Traffic,
}

impl Awaited {
    /// Work beside the decisions that are counted there.
    #[must_use]
    pub fn beside(traffic: Traffic) -> Self {
        Self { late: Arc::default(), traffic }
    }

    /// Runs `work` as [`run`] does, and once more at the caller's priority where it has not ended
    /// within `patience`, or within several while there are many decisions; the first end answers.
    /// `work` must come to the same however often it is done. Whatever is done at that priority
    /// has waited that long before: callers who come one after another take no more than a little of
    /// a core from decisions, and while several are late, the next ones leave no further thread that
    /// waits for a core.
    ///
    /// # Errors
    /// As [`run`].
    pub async fn run<T: Send + 'static>(
        &self,
        name: &str,
        patience: Duration,
        work: impl FnOnce() -> T + Clone + Send + 'static,
    ) -> Result<T, Failure> {
        if self.late() >= LATE_MAX {
            self.be_patient(patience).await;
            return run_behind(name, work).await;
        }
        let again = work.clone();
        let lateness =
            Lateness { state: Arc::new(AtomicU8::new(RUNNING)), late: Arc::clone(&self.late) };
        let ends = Ends(lateness.clone());
        let mut first = pin!(run(name, move || {
            let _ends = ends;
            work()
        }));
        tokio::select! {
            biased;
            done = first.as_mut() => return done,
            () = self.be_patient(patience) => lateness.is_late(),
        }
        tokio::select! {
            done = first => done,
            done = run_behind(name, again) => done,
        }
    }

    /// Begun once more, work takes a core from decisions for some of their time: not while they come
    /// in numbers, but for a bound that keeps a waiting person from waiting for ever.
    async fn be_patient(&self, patience: Duration) {
        for _ in 0..PATIENCES_MAX {
            let before = self.traffic.decisions();
            tokio::time::sleep(patience).await;
            if self.traffic.decisions().saturating_sub(before) < DECISIONS_FEW {
                return;
            }
        }
    }

    /// How many idle threads have not come to their end within the patience.
    fn late(&self) -> usize {
        self.late.load(Ordering::Relaxed)
    }
}

/// So many decisions within one patience leave a core nearly all its time.
const DECISIONS_FEW: u64 = 1_000;
/// So often the patience begins anew while there are more.
const PATIENCES_MAX: usize = 10;

/// So many idle threads may be late at once.
const LATE_MAX: usize = 4;

const RUNNING: u8 = 0;
const LATE: u8 = 1;
const ENDED: u8 = 2;

/// How one idle thread stands: counted while it is late.
#[derive(Clone)]
struct Lateness {
    state: Arc<AtomicU8>,
    late: Arc<AtomicUsize>,
}

impl Lateness {
    fn is_late(&self) {
        // Counted first, so that an end in between finds something to take back.
        self.late.fetch_add(1, Ordering::Relaxed);
        let late = self.state.compare_exchange(RUNNING, LATE, Ordering::AcqRel, Ordering::Relaxed);
        if late.is_err() {
            self.late.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Told however the thread ends.
struct Ends(Lateness);

impl Drop for Ends {
    fn drop(&mut self) {
        if self.0.state.swap(ENDED, Ordering::AcqRel) == LATE {
            self.0.late.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// When short work may begin, such as a change of the store: at once while there are few decisions;
/// beside many each [`Pace::APART`] from the one before, and then on an idle thread, since one of
/// a high nice value may finish its slice before a decision that became due gets the core.
#[derive(Debug, Default)]
pub struct Pace {
    traffic: OnceLock<Traffic>,
    place: Arc<Mutex<Place>>,
}

/// What one piece of work has at a time.
#[derive(Debug, Default)]
struct Place {
    begun: Option<(Instant, Load)>,
    thread: Option<IdleThread>,
}

/// The right to work beside many decisions: the next begins once it is given back.
#[derive(Debug)]
pub struct Turn(OwnedMutexGuard<Place>);

impl Turn {
    /// Runs `work` to its end, also when the caller stops waiting, on an idle thread that is named
    /// when the first turn of a pace begins it.
    ///
    /// # Errors
    /// As [`run`].
    pub async fn run<T: Send + 'static>(
        mut self,
        name: &'static str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let thread = match &self.0.thread {
            Some(thread) => thread.clone(),
            None => self.0.thread.insert(IdleThread::begin(name)?).clone(),
        };
        let (answer, answered) = oneshot::channel();
        thread.run(move || {
            let done = work();
            drop(self);
            let _ = answer.send(done);
        });
        answered.await.map_err(|_| broke_off(name))
    }
}

type Piece = Box<dyn FnOnce() + Send>;

/// A thread that is kept for short work, one piece after another: the kernel lets no decision
/// interrupt it while it makes a thread or clears one away. Ends when nobody can ask for more.
#[derive(Clone, Debug)]
struct IdleThread(mpsc::Sender<Piece>);

impl IdleThread {
    fn begin(name: &str) -> Result<Self, Failure> {
        let (pieces, to_do) = mpsc::channel::<Piece>();
        begin_thread(name, move || {
            yield_to_others();
            while let Ok(piece) = to_do.recv() {
                // Whoever waits for one that panics hears so; the next one is done all the same.
                let _ = catch_unwind(AssertUnwindSafe(piece));
            }
        })?;
        Ok(Self(pieces))
    }

    fn run(&self, piece: impl FnOnce() + Send + 'static) {
        // It takes pieces for as long as somebody can ask.
        let _ = self.0.send(Box::new(piece));
    }
}

impl Pace {
    /// How far the beginnings lie apart beside many decisions, at least.
    pub const APART: Duration = Duration::from_millis(2);

    /// Makes room for the decisions that are counted there; before, and where this is never called,
    /// there are none.
    pub fn beside(&self, traffic: Traffic) {
        let _ = self.traffic.set(traffic);
    }

    /// Waits for the caller's turn: first come, first served. `None`: there are few decisions, and the
    /// work is done as usual. Else the turn is to [`Turn::run`] it. Beside decisions that leave no
    /// core any time an idle thread gets about a three-hundredth of one (Linux weighs it 3 to 1,024):
    /// enough for a change of the store, not for long work.
    pub async fn turn(&self) -> Option<Turn> {
        let traffic = self.traffic.get()?;
        let mut place = Arc::clone(&self.place).lock_owned().await;
        let (begun, load) = place.begun.get_or_insert_with(|| (Instant::now(), Load::now(traffic)));
        load.look(traffic);
        if !load.is_high {
            *begun = Instant::now();
            return None;
        }
        sleep_until(*begun + Self::APART).await;
        *begun = Instant::now();
        Some(Turn(place))
    }
}

/// Whether there are many decisions, as it was seen last.
#[derive(Debug)]
struct Load {
    looked: Instant,
    /// How many there were then.
    decisions: u64,
    is_high: bool,
}

impl Load {
    fn now(traffic: &Traffic) -> Self {
        Self { looked: Instant::now(), decisions: traffic.decisions(), is_high: false }
    }

    /// Looks again how many there are, over a time that is long enough to tell.
    fn look(&mut self, traffic: &Traffic) {
        let passed = self.looked.elapsed();
        if passed < LOOK {
            return;
        }
        let decisions = traffic.decisions();
        let since = decisions.saturating_sub(self.decisions);
        self.is_high = u128::from(since) >= passed.as_millis() * MANY_A_MILLISECOND;
        (self.looked, self.decisions) = (Instant::now(), decisions);
    }
}

const LOOK: Duration = Duration::from_millis(10);
/// Fewer leave a core nearly all its time.
const MANY_A_MILLISECOND: u128 = 2;

#[cfg(test)]
mod tests {
    use std::panic::resume_unwind;

    use super::standing::Standing;
    use super::*;
    use crate::domain::Kind;

    #[tokio::test]
    async fn what_is_put_off_is_begun_once_more_and_piles_nothing_up() {
        let (go_on, told) = mpsc::channel::<()>();
        let (calls, told) = (Arc::new(AtomicUsize::new(0)), Arc::new(std::sync::Mutex::new(told)));
        let counted = Arc::clone(&calls);
        // Done twice, except by those who do not try on an idle thread: the first waits.
        let work = move |first: Arc<AtomicUsize>| {
            counted.fetch_add(1, Ordering::Relaxed);
            if first.fetch_add(1, Ordering::Relaxed) == 0 {
                let _ = told.lock().unwrap().recv();
            }
        };
        let (awaited, patience) = (Awaited::default(), Duration::from_millis(20));
        for late in 1..=LATE_MAX {
            let (work, first) = (work.clone(), Arc::default());
            awaited.run("test", patience, move || work(first)).await.unwrap();
            assert_eq!(awaited.late(), late);
        }
        assert_eq!(calls.load(Ordering::Relaxed), 2 * LATE_MAX);
        let second = Arc::new(AtomicUsize::new(1));
        let again = work.clone();
        awaited.run("test", patience, move || again(second)).await.unwrap();
        assert_eq!(calls.load(Ordering::Relaxed), 2 * LATE_MAX + 1, "no further thread waits");
        drop(go_on);
        while awaited.late() > 0 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn many_decisions_lengthen_the_patience_up_to_a_bound() {
        let patience = Duration::from_millis(100);
        let waited = async |many: u64, patiences: usize| {
            let traffic = Traffic::default();
            let decisions = traffic.clone();
            tokio::spawn(async move {
                for _ in 0..patiences {
                    tokio::time::sleep(patience / 2).await;
                    (0..many).for_each(|_| {
                        decisions.one_more();
                    });
                    tokio::time::sleep(patience / 2).await;
                }
            });
            let began = tokio::time::Instant::now();
            Awaited::beside(traffic).be_patient(patience).await;
            began.elapsed()
        };
        assert_eq!(waited(DECISIONS_FEW - 1, 99).await, patience);
        assert_eq!(waited(DECISIONS_FEW, 3).await, 4 * patience);
        assert_eq!(waited(DECISIONS_FEW, 99).await, 10 * patience);
    }

    #[tokio::test(start_paused = true)]
    async fn beside_many_decisions_work_begins_apart() {
        let (pace, traffic) = (Pace::default(), Traffic::default());
        let took = async |turns: u32| {
            let began = Instant::now();
            for _ in 0..turns {
                drop(pace.turn().await);
            }
            began.elapsed()
        };
        let decide = async |a_millisecond: u128| {
            let many = a_millisecond * LOOK.as_millis();
            (0..many).for_each(|_| {
                traffic.one_more();
            });
            tokio::time::sleep(LOOK).await;
        };
        decide(9).await;
        assert_eq!(took(99).await, Duration::ZERO, "it knows of no decisions");
        pace.beside(traffic.clone());
        assert_eq!(took(99).await, Duration::ZERO, "those of before do not count");
        decide(MANY_A_MILLISECOND - 1).await;
        assert_eq!(took(99).await, Duration::ZERO);
        decide(MANY_A_MILLISECOND).await;
        assert_eq!(took(1).await, Duration::ZERO, "the one before began long ago");
        assert_eq!(took(4).await, 4 * Pace::APART);
        decide(0).await;
        assert_eq!(took(99).await, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_panics_is_told_and_leaves_the_idle_thread_to_the_next() {
        let (pace, traffic) = (Pace::default(), Traffic::default());
        pace.beside(traffic.clone());
        assert!(pace.turn().await.is_none());
        for _ in 0..1_000 {
            traffic.one_more();
        }
        tokio::time::sleep(LOOK).await;
        let turn = async || pace.turn().await.unwrap();
        let own = || std::thread::current().id();
        let thread = turn().await.run("test", own).await.unwrap();
        let broken = turn().await.run("test", || -> () { resume_unwind(Box::new(())) }).await;
        assert_eq!(broken.unwrap_err().kind, Kind::Internal);
        let is_idle = move || (own(), Standing::own().unwrap().idle);
        assert_eq!(turn().await.run("test", is_idle).await.unwrap(), (thread, true));
        assert!(!is_idle().1);
    }

    const PATIENT: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn what_ends_in_time_is_done_once() {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let work = move || counted.fetch_add(1, Ordering::Relaxed);
        assert_eq!(Awaited::default().run("test", PATIENT, work).await.unwrap(), 0);
        assert_eq!(calls.load(Ordering::Relaxed), 1);
    }
}
