//! Hashing with argon2id (RFC 9106), behind a gate.
//!
//! A run takes memory and a core for some ten milliseconds, so that few run at once, few wait, and
//! all run on threads that give their core to a decision at once. Each question costs one run, also
//! where there is nothing to compare with. Never says whose password it was, and never keeps one.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::available_parallelism;

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use tokio::sync::Semaphore;

use super::Password;
use crate::background::{Awaited, Traffic};
use crate::domain::{Failure, Kind, limits};
use crate::entropy;

/// 128 bits (RFC 9106 section 3.1).
const SALT_BYTES: usize = 16;
/// 256 bits (RFC 9106 section 4).
const TAG_BYTES: usize = 32;
/// One lane: a run is one thread.
const LANES: u32 = 1;

/// Makes and compares hashes; clones share one gate.
#[derive(Clone)]
pub struct Hasher(Arc<Shared>);

struct Shared {
    params: Params,
    /// Runs under way or waiting: who finds no place is sent away.
    places: Arc<Semaphore>,
    /// Runs under way.
    permits: Arc<Semaphore>,
    at_once: usize,
    awaited: Awaited,
    /// Memory of a run that is over, for one that waits: mapping it anew would hold up other threads
    /// of the process. Given back when nobody waits.
    spare: Mutex<Vec<Vec<Block>>>,
    runs: AtomicU64,
}

/// What a comparison showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Whether it is the password.
    pub matches: bool,
    /// Whether it is, and its hash is weaker than new ones: hash it again.
    pub rehash: bool,
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hasher(m={},t={})", self.0.params.m_cost(), self.0.params.t_cost())
    }
}

impl Hasher {
    /// New hashes take this much memory and so many passes; so many runs go on at once, at least
    /// one. `passwords.*` of the configuration and [`Self::runs_here`].
    ///
    /// # Errors
    /// `Internal`, when argon2id does not take the parameters; the configuration lets none through.
    pub fn new(memory_kib: u32, iterations: u32, runs_at_once: usize) -> Result<Self, Failure> {
        Self::beside(Traffic::default(), memory_kib, iterations, runs_at_once)
    }

    /// The same, in the way of none of the decisions that are counted there.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn beside(
        decisions: Traffic,
        memory_kib: u32,
        iterations: u32,
        runs_at_once: usize,
    ) -> Result<Self, Failure> {
        let params = Params::new(memory_kib, iterations, LANES, Some(TAG_BYTES))
            .map_err(|fault| Failure::internal(format!("argon2id: {fault}")))?;
        let at_once = runs_at_once.max(1);
        Ok(Self(Arc::new(Shared {
            params,
            places: Arc::new(Semaphore::new(at_once + limits::PASSWORD_RUNS_WAITING_MAX)),
            permits: Arc::new(Semaphore::new(at_once)),
            at_once,
            awaited: Awaited::beside(decisions),
            spare: Mutex::default(),
            runs: AtomicU64::new(0),
        })))
    }

    /// The least that argon2id takes, for tests and simulations. Never for a person's password: a
    /// stolen hash of it falls in no time.
    ///
    /// # Errors
    /// None, in truth: as [`Self::new`].
    pub fn cheap() -> Result<Self, Failure> {
        Self::new(Params::MIN_M_COST, Params::MIN_T_COST, 1)
    }

    /// Half of the machine's cores, at least one: the rest is for decisions.
    #[must_use]
    pub fn runs_here() -> usize {
        available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1))
    }

    /// A new hash in the PHC string format, with a salt of its own.
    ///
    /// # Errors
    /// `Busy`, when too many wait already; `Internal`, when there is no memory or no randomness.
    pub async fn hash(&self, password: &Password) -> Result<String, Failure> {
        let params = self.0.params.clone();
        let salt = salt(&entropy::random::<SALT_BYTES>()?)?;
        let tag = self.run(password, params.clone(), salt).await?;
        let hash = PasswordHash {
            algorithm: Algorithm::Argon2id.ident(),
            version: Some(Version::V0x13.into()),
            params: ParamsString::try_from(params).map_err(|fault| unfit(&fault))?,
            salt: Some(salt),
            hash: Some(tag),
        };
        Ok(hash.to_string())
    }

    /// Compares with a stored hash. One that is damaged matches nothing, costs a run like any
    /// other, and is told to the log.
    ///
    /// # Errors
    /// As [`Self::hash`].
    pub async fn verify(&self, password: &Password, phc: &str) -> Result<Verified, Failure> {
        let Some(stored) = Stored::read(phc) else {
            tracing::error!(
                "a stored password hash is damaged and matches nothing: its member needs a new password"
            );
            self.verify_nobody(password).await?;
            return Ok(Verified { matches: false, rehash: false });
        };
        let weaker = stored.params.m_cost() < self.0.params.m_cost()
            || stored.params.t_cost() < self.0.params.t_cost();
        let tag = self.run(password, stored.params, stored.salt).await?;
        // `Output` compares in constant time.
        let matches = tag == stored.tag;
        Ok(Verified { matches, rehash: matches && weaker })
    }

    /// What [`Self::verify`] costs, where there is nobody, or nobody who may sign in. Nothing is
    /// compared: the run is all that shows outside.
    ///
    /// # Errors
    /// As [`Self::hash`].
    pub async fn verify_nobody(&self, password: &Password) -> Result<(), Failure> {
        let salt = salt(&[0; SALT_BYTES])?;
        self.run(password, self.0.params.clone(), salt).await.map(drop)
    }

    /// How often argon2id has run to its end: what each path costs can be counted.
    #[must_use]
    pub fn runs(&self) -> u64 {
        self.0.runs.load(Ordering::Relaxed)
    }

    async fn run(
        &self,
        password: &Password,
        params: Params,
        salt: Salt,
    ) -> Result<Output, Failure> {
        let shared = Arc::clone(&self.0);
        let password = password.clone();
        let place = Arc::clone(&shared.places).try_acquire_owned().map_err(|_| {
            Failure::new(
                Kind::Busy,
                "busy",
                "too many people sign in at this moment: try again in a few seconds",
            )
        })?;
        let permit = Arc::clone(&shared.permits)
            .acquire_owned()
            .await
            .map_err(|_| Failure::internal("the gate of the hasher is closed"))?;
        // The permit goes with the work: who hangs up stops waiting, but frees no core.
        let held = Arc::new(Mutex::new(Some((place, permit))));
        let awaited = shared.awaited.clone();
        let work = move || {
            let tag = shared.derive(&password, params, salt);
            // Of two that came to the same, the first one counts.
            if let Some((place, permit)) =
                held.lock().unwrap_or_else(PoisonError::into_inner).take()
            {
                shared.runs.fetch_add(1, Ordering::Relaxed);
                // The place first: the next run counts those who wait.
                drop(place);
                drop(permit);
            }
            tag
        };
        awaited.run("password", limits::PASSWORD_RUN_PATIENCE, work).await?
    }
}

impl Shared {
    fn derive(&self, password: &Password, params: Params, salt: Salt) -> Result<Output, Failure> {
        let mut memory = self.take_memory();
        let blocks = params.block_count();
        memory.try_reserve_exact(blocks.saturating_sub(memory.len())).map_err(|fault| {
            Failure::internal(format!("no memory for a run of argon2id: {fault}"))
        })?;
        if memory.len() < blocks {
            memory.resize(blocks, Block::new());
        }
        let mut tag = [0; TAG_BYTES];
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into_with_memory(
                password.as_str().as_bytes(),
                &salt,
                &mut tag,
                &mut memory,
            )
            .map_err(|fault| Failure::internal(format!("argon2id: {fault}")))?;
        self.keep_memory(memory);
        Output::new(&tag).map_err(|fault| Failure::internal(format!("argon2id: {fault}")))
    }

    fn take_memory(&self) -> Vec<Block> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    fn keep_memory(&self, memory: Vec<Block>) {
        let most = self.at_once + limits::PASSWORD_RUNS_WAITING_MAX;
        let wait = most.saturating_sub(self.places.available_permits()) > self.at_once;
        // A stored hash may have asked for more than a new one takes: that is not kept.
        if wait && memory.len() <= self.params.block_count() {
            self.spare.lock().unwrap_or_else(PoisonError::into_inner).push(memory);
        }
    }
}

/// A stored hash that this file made.
struct Stored {
    params: Params,
    salt: Salt,
    tag: Output,
}

impl Stored {
    /// `None` for everything else. What a damaged one may ask for is bounded, or it would take all
    /// memory there is.
    fn read(phc: &str) -> Option<Self> {
        let hash = PasswordHash::new(phc).ok()?;
        let number = |name| hash.params.get_decimal(name);
        let (memory_kib, iterations) = (number("m")?, number("t")?);
        let ours = hash.algorithm == Algorithm::Argon2id.ident()
            && hash.version == Some(Version::V0x13.into())
            && number("p") == Some(LANES)
            && memory_kib <= limits::PASSWORD_MEMORY_KIB_MAX
            && iterations <= limits::PASSWORD_ITERATIONS_MAX;
        let params = Params::new(memory_kib, iterations, LANES, Some(TAG_BYTES)).ok()?;
        let (salt, tag) = (hash.salt?, hash.hash?);
        (ours && tag.len() == TAG_BYTES).then_some(Self { params, salt, tag })
    }
}

fn salt(bytes: &[u8]) -> Result<Salt, Failure> {
    Salt::new(bytes).map_err(|fault| unfit(&fault))
}

fn unfit(fault: &dyn fmt::Display) -> Failure {
    Failure::internal(format!("a password hash cannot be written: {fault}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> Password {
        Password::parse(text).unwrap()
    }

    fn target() -> Hasher {
        Hasher::new(19_456, 2, 1).unwrap()
    }

    #[tokio::test]
    async fn a_hash_is_argon2id_at_the_parameters_with_a_salt_of_its_own() {
        let hasher = target();
        let right = password("correct horse battery staple");
        let hash = hasher.hash(&right).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        let [salt, tag] = [4, 5].map(|field| hash.split('$').nth(field).unwrap().len());
        assert_eq!((salt, tag), (22, 43), "16 and 32 bytes in base 64: {hash}");
        assert_ne!(hash, hasher.hash(&right).await.unwrap());
        let matches = Verified { matches: true, rehash: false };
        assert_eq!(hasher.verify(&right, &hash).await.unwrap(), matches);
        let wrong = hasher.verify(&password("Correct horse battery staple"), &hash).await.unwrap();
        assert_eq!(wrong, Verified { matches: false, rehash: false });
    }

    #[tokio::test]
    async fn a_hash_of_another_program_at_the_same_parameters_matches() {
        // Made with the reference implementation: argon2-cffi 25.1.0.
        let hash = "$argon2id$v=19$m=19456,t=2,p=1$YlBCHuFSd30a6q94naqQOA$H9jFiyt/5OUKiqJbJHQ4euhFRZAgDK5SCb3BS7nSCic";
        let verified = target().verify(&password("correct horse battery staple"), hash).await;
        assert!(verified.unwrap().matches);
    }

    #[tokio::test]
    async fn a_weaker_hash_is_to_be_made_again_by_whoever_knows_the_password() {
        let weak = Hasher::new(64, 2, 1).unwrap().hash(&password("sesame")).await.unwrap();
        let fast = Hasher::new(128, 1, 1).unwrap().hash(&password("sesame")).await.unwrap();
        let strong = Hasher::new(256, 3, 1).unwrap().hash(&password("sesame")).await.unwrap();
        let hasher = Hasher::new(128, 2, 1).unwrap();
        for (hash, rehash) in [(&weak, true), (&fast, true), (&strong, false)] {
            let verified = hasher.verify(&password("sesame"), hash).await.unwrap();
            assert_eq!(verified, Verified { matches: true, rehash }, "{hash}");
        }
        let wrong = hasher.verify(&password("simsim"), &weak).await.unwrap();
        assert_eq!(wrong, Verified { matches: false, rehash: false });
    }

    #[tokio::test]
    async fn each_question_costs_one_run() {
        let hasher = Hasher::cheap().unwrap();
        let hash = hasher.hash(&password("sesame")).await.unwrap();
        assert_eq!(hasher.runs(), 1);
        hasher.verify(&password("sesame"), &hash).await.unwrap();
        hasher.verify(&password("simsim"), &hash).await.unwrap();
        hasher.verify_nobody(&password("sesame")).await.unwrap();
        hasher.verify(&password("sesame"), "damaged").await.unwrap();
        assert_eq!(hasher.runs(), 5);
    }

    #[tokio::test]
    async fn a_damaged_hash_matches_nothing_and_takes_no_memory() {
        let hasher = Hasher::cheap().unwrap();
        let hash = hasher.hash(&password("sesame")).await.unwrap();
        let mut damaged: Vec<String> = [
            ("argon2id", "argon2i"),
            ("argon2id", "argon2d"),
            ("argon2id", "scrypt"),
            ("v=19", "v=16"),
            ("$v=19", ""),
            ("m=8", "m=4294967295"),
            ("m=8", "m=0"),
            ("m=8,", ""),
            ("t=1", "t=4294967295"),
            ("t=1", "t=x"),
            ("p=1", "p=2"),
            ("p=1", "p=16777216"),
        ]
        .map(|(part, other)| hash.replace(part, other))
        .into();
        damaged.extend((0..hash.len()).filter_map(|end| hash.get(..end)).map(str::to_owned));
        damaged.push(format!("{hash}A"));
        damaged.push(format!("{hash}$A"));
        damaged.push("\u{1f511}".to_owned());
        for text in &damaged {
            assert_ne!(*text, hash);
            let verified = hasher.verify(&password("sesame"), text).await.unwrap();
            assert_eq!(verified, Verified { matches: false, rehash: false }, "{text}");
        }
        assert_eq!(hasher.runs(), 1 + damaged.len() as u64);
    }

    #[tokio::test]
    #[expect(clippy::await_holding_lock, reason = "holding it is what keeps the runs from ending")]
    async fn runs_wait_for_one_another_and_too_many_are_sent_away() {
        let hasher = Hasher::cheap().unwrap();
        // Nothing runs to its end while somebody holds the spare memory.
        let held = hold(&hasher);
        let mut waiting: Vec<_> = (0..=limits::PASSWORD_RUNS_WAITING_MAX)
            .map(|_| {
                let hasher = hasher.clone();
                tokio::spawn(async move { hasher.verify_nobody(&password("sesame")).await })
            })
            .collect();
        places(&hasher, 0).await;
        let sent_away = hasher.verify_nobody(&password("sesame")).await.unwrap_err();
        assert_eq!(sent_away.kind, Kind::Busy);
        assert_eq!(hasher.runs(), 0);

        // Who hangs up while waiting makes room.
        waiting.pop().unwrap().abort();
        places(&hasher, 1).await;
        drop(held);
        for run in waiting {
            run.await.unwrap().unwrap();
        }
        assert_eq!(hasher.runs(), limits::PASSWORD_RUNS_WAITING_MAX as u64);
        places(&hasher, 1 + limits::PASSWORD_RUNS_WAITING_MAX).await;
        assert!(hasher.0.spare.lock().unwrap().is_empty(), "no memory is kept for nobody");
    }

    #[tokio::test]
    #[expect(clippy::await_holding_lock, reason = "holding it is what keeps the runs from ending")]
    async fn who_hangs_up_frees_no_core() {
        let hasher = Hasher::cheap().unwrap();
        let held = hold(&hasher);
        let running = hasher.clone();
        let run = tokio::spawn(async move { running.verify_nobody(&password("sesame")).await });
        while hasher.0.permits.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        // A little longer, so that the work surely has the permit.
        while Arc::strong_count(&hasher.0) < 3 {
            tokio::task::yield_now().await;
        }
        run.abort();
        assert!(run.await.unwrap_err().is_cancelled());
        assert_eq!(hasher.0.permits.available_permits(), 0, "the work goes on");
        drop(held);
        let _next = hasher.0.permits.acquire().await.unwrap();
        assert_eq!(hasher.runs(), 1, "and counts");
    }

    #[tokio::test]
    async fn memory_that_was_used_gives_the_same_hash() {
        let hasher = Hasher::cheap().unwrap();
        let hash = hasher.hash(&password("sesame")).await.unwrap();
        for dirt in [1_u8, 255] {
            let mut block = Block::new();
            block.as_mut().fill(u64::from(dirt));
            hasher.0.spare.lock().unwrap().push(vec![block; 8]);
            assert!(hasher.verify(&password("sesame"), &hash).await.unwrap().matches);
            assert!(hasher.0.spare.lock().unwrap().is_empty(), "it was used");
        }
    }

    #[test]
    fn parameters_that_argon2id_does_not_take_are_refused() {
        assert!(Hasher::new(7, 1, 1).is_err());
        assert!(Hasher::new(8, 0, 1).is_err());
        assert!(Hasher::runs_here() >= 1);
        assert_eq!(format!("{:?}", target()), "Hasher(m=19456,t=2)");
    }

    fn hold(hasher: &Hasher) -> std::sync::MutexGuard<'_, Vec<Vec<Block>>> {
        hasher.0.spare.lock().unwrap()
    }

    async fn places(hasher: &Hasher, left: usize) {
        let settled = async {
            while hasher.0.places.available_permits() != left {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(20), settled).await.unwrap();
    }
}
