//! Password hashing with argon2id (RFC 9106), with limited concurrency.
//!
//! A hash takes memory and a core for some ten milliseconds, so few run concurrently, few wait, and
//! all run where they delay no decision. Each check costs one hash, even if there is nothing to
//! compare with. Never keeps a password.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;
use std::time::Duration;

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use tokio::sync::Semaphore;

use super::Password;
use crate::background::IdleThenNormal;
use crate::domain::{Failure, Kind, limits};
use crate::entropy;

/// 128 bits (RFC 9106 section 3.1).
const SALT_BYTES: usize = 16;
/// 256 bits (RFC 9106 section 4).
const TAG_BYTES: usize = 32;
/// One lane: a run is one thread.
const LANES: u32 = 1;
/// How long a hash may take in the idle scheduling class; it needs some ten milliseconds of a core.
const IDLE_MAX: Duration = Duration::from_millis(500);

/// Makes and verifies hashes; clones share the limit.
#[derive(Clone)]
pub struct PasswordHasher(Arc<HasherState>);

struct HasherState {
    params: Params,
    /// Running and waiting hashes: further ones are refused.
    places: Arc<Semaphore>,
    /// Running hashes.
    permits: Arc<Semaphore>,
    at_once: u32,
    threads: IdleThenNormal,
    /// Memory of finished hashes, for reuse: as many as may run concurrently. If it were freed each
    /// time, the allocator would keep it once for each thread.
    spare: Mutex<Vec<Vec<Block>>>,
    runs: AtomicU64,
}

/// The result of a verification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Whether the password is correct.
    pub matches: bool,
    /// Whether it is correct and its hash is weaker than new ones: hash it again.
    pub rehash: bool,
}

impl fmt::Debug for PasswordHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hasher(m={},t={})", self.0.params.m_cost(), self.0.params.t_cost())
    }
}

impl PasswordHasher {
    /// New hashes use this much memory and this many passes; this many run concurrently, at least
    /// one. See `passwords.*` of the configuration and [`Self::runs_here`].
    ///
    /// # Errors
    /// `Internal`, when argon2id does not take the parameters; the configuration lets none through.
    pub fn new(memory_kib: u32, iterations: u32, runs_at_once: usize) -> Result<Self, Failure> {
        let params = Params::new(memory_kib, iterations, LANES, Some(TAG_BYTES))
            .map_err(|fault| Failure::internal(format!("argon2id: {fault}")))?;
        let at_once = runs_at_once.max(1);
        Ok(Self(Arc::new(HasherState {
            params,
            places: Arc::new(Semaphore::new(at_once + limits::PASSWORD_RUNS_WAITING_MAX)),
            permits: Arc::new(Semaphore::new(at_once)),
            at_once: u32::try_from(at_once).unwrap_or(u32::MAX),
            threads: IdleThenNormal::new(at_once, IDLE_MAX),
            spare: Mutex::default(),
            runs: AtomicU64::new(0),
        })))
    }

    /// The minimum of argon2id, for tests and simulations. Not for real passwords: such a hash is
    /// cracked quickly.
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

    /// A new hash in the PHC string format, with a random salt.
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

    /// Verifies against a stored hash. A damaged one matches nothing, costs as much as any other,
    /// and is logged.
    ///
    /// # Errors
    /// As [`Self::hash`].
    pub async fn verify(&self, password: &Password, phc: &str) -> Result<Verified, Failure> {
        let Some(stored) = StoredHash::read(phc) else {
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

    /// Costs as much as [`Self::verify`], for an unknown member, or one who may not sign in.
    /// Compares nothing.
    ///
    /// # Errors
    /// As [`Self::hash`].
    pub async fn verify_nobody(&self, password: &Password) -> Result<(), Failure> {
        let salt = salt(&[0; SALT_BYTES])?;
        self.run(password, self.0.params.clone(), salt).await.map(drop)
    }

    /// How many hashes were computed, to count the cost of each path in tests.
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
        // A stored hash may need more memory than new ones: it runs alone.
        let alone = params.block_count() > shared.params.block_count();
        let permits = if alone { shared.at_once } else { 1 };
        let permit = Arc::clone(&shared.permits)
            .acquire_many_owned(permits)
            .await
            .map_err(|_| Failure::internal("the gate of the hasher is closed"))?;
        // A task of its own: a client that disconnects does not free a core.
        let hashing = tokio::spawn(async move {
            let state = Arc::clone(&shared);
            let derive = move || state.derive(&password, params, salt);
            let tag = shared.threads.run("hash", derive).await;
            shared.runs.fetch_add(1, Ordering::Relaxed);
            drop((place, permit));
            tag
        });
        hashing
            .await
            .map_err(|fault| Failure::internal(format!("a run of argon2id broke off: {fault}")))??
    }
}

impl HasherState {
    fn derive(&self, password: &Password, params: Params, salt: Salt) -> Result<Output, Failure> {
        let mut memory = self.memory(params.block_count())?;
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

    /// Memory for a hash: as much as a new one needs, or more if a stored one does.
    fn memory(&self, blocks: usize) -> Result<Vec<Block>, Failure> {
        let usual = self.params.block_count();
        if blocks <= usual
            && let Some(spare) = self.spare().pop()
        {
            return Ok(spare);
        }
        let mut memory = Vec::new();
        memory.try_reserve_exact(blocks.max(usual)).map_err(|fault| {
            Failure::internal(format!("no memory for a run of argon2id: {fault}"))
        })?;
        memory.resize(blocks.max(usual), Block::new());
        Ok(memory)
    }

    fn keep_memory(&self, memory: Vec<Block>) {
        if memory.len() == self.params.block_count() {
            self.spare().push(memory);
        }
    }

    fn spare(&self) -> MutexGuard<'_, Vec<Vec<Block>>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stored hash in the format of this program.
struct StoredHash {
    params: Params,
    salt: Salt,
    tag: Output,
}

impl StoredHash {
    /// `None` for everything else. The parameters of a damaged one are limited; otherwise it could
    /// use up all memory.
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
    use std::collections::BTreeSet;

    use super::*;

    fn password(text: &str) -> Password {
        Password::parse(text).unwrap()
    }

    fn target() -> PasswordHasher {
        PasswordHasher::new(19_456, 2, 1).unwrap()
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
    async fn a_weaker_hash_is_replaced_at_the_next_sign_in() {
        let weak = PasswordHasher::new(64, 2, 1).unwrap().hash(&password("sesame")).await.unwrap();
        let fast = PasswordHasher::new(128, 1, 1).unwrap().hash(&password("sesame")).await.unwrap();
        let strong =
            PasswordHasher::new(256, 3, 1).unwrap().hash(&password("sesame")).await.unwrap();
        let hasher = PasswordHasher::new(128, 2, 1).unwrap();
        for (hash, rehash) in [(&weak, true), (&fast, true), (&strong, false)] {
            let verified = hasher.verify(&password("sesame"), hash).await.unwrap();
            assert_eq!(verified, Verified { matches: true, rehash }, "{hash}");
        }
        let wrong = hasher.verify(&password("simsim"), &weak).await.unwrap();
        assert_eq!(wrong, Verified { matches: false, rehash: false });
    }

    #[tokio::test]
    async fn each_question_costs_one_run() {
        let hasher = PasswordHasher::cheap().unwrap();
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
        let hasher = PasswordHasher::cheap().unwrap();
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
        let hasher = PasswordHasher::cheap().unwrap();
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
    }

    #[tokio::test]
    #[expect(clippy::await_holding_lock, reason = "holding it is what keeps the runs from ending")]
    async fn who_hangs_up_frees_no_core() {
        let hasher = PasswordHasher::cheap().unwrap();
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
        let hasher = PasswordHasher::cheap().unwrap();
        let hash = hasher.hash(&password("sesame")).await.unwrap();
        for dirt in [1_u8, 255] {
            let mut block = Block::new();
            block.as_mut().fill(u64::from(dirt));
            *hasher.0.spare() = vec![vec![block; 8]];
            assert!(hasher.verify(&password("sesame"), &hash).await.unwrap().matches);
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn memory_is_used_again_and_never_more_than_runs_go_on_at_once() {
        let hasher = PasswordHasher::new(64, 1, 2).unwrap();
        let kept = || -> BTreeSet<usize> {
            hasher.0.spare().iter().map(|memory| memory.as_ptr().addr()).collect()
        };
        let many = async || {
            let runs: Vec<_> = (0..32)
                .map(|_| {
                    let hasher = hasher.clone();
                    tokio::spawn(async move { hasher.verify_nobody(&password("sesame")).await })
                })
                .collect();
            for run in runs {
                run.await.unwrap().unwrap();
            }
        };
        // Both run concurrently, however busy the machine is.
        *hasher.0.spare() = vec![vec![Block::new(); 64], vec![Block::new(); 64]];
        let first = kept();
        many().await;
        assert_eq!(kept(), first);
        // Neither a stored hash that asks for more nor one that asks for less changes that.
        for (memory_kib, iterations) in [(8, 1), (1_024, 1)] {
            let other = PasswordHasher::new(memory_kib, iterations, 1).unwrap();
            let hash = other.hash(&password("sesame")).await.unwrap();
            assert!(hasher.verify(&password("sesame"), &hash).await.unwrap().matches);
            assert_eq!(kept(), first);
        }
    }

    #[tokio::test]
    #[expect(clippy::await_holding_lock, reason = "holding it is what keeps the runs from ending")]
    async fn a_stored_hash_that_takes_more_memory_goes_alone() {
        let large =
            PasswordHasher::new(1_024, 1, 1).unwrap().hash(&password("sesame")).await.unwrap();
        let hasher = PasswordHasher::new(64, 1, 4).unwrap();
        let permits = async |left: usize| {
            let settled = async {
                while hasher.0.permits.available_permits() != left {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(std::time::Duration::from_secs(20), settled).await.unwrap();
        };
        let held = hold(&hasher);
        let usual = hasher.clone();
        let usual = tokio::spawn(async move { usual.verify_nobody(&password("sesame")).await });
        permits(3).await;
        let alone = hasher.clone();
        let alone = tokio::spawn(async move { alone.verify(&password("sesame"), &large).await });
        // It has these and waits for the last one.
        permits(0).await;
        assert!(!alone.is_finished());
        drop(held);
        usual.await.unwrap().unwrap();
        assert!(alone.await.unwrap().unwrap().matches);
    }

    #[test]
    fn parameters_that_argon2id_does_not_take_are_refused() {
        assert!(PasswordHasher::new(7, 1, 1).is_err());
        assert!(PasswordHasher::new(8, 0, 1).is_err());
        assert!(PasswordHasher::runs_here() >= 1);
        assert_eq!(format!("{:?}", target()), "Hasher(m=19456,t=2)");
    }

    fn hold(hasher: &PasswordHasher) -> std::sync::MutexGuard<'_, Vec<Vec<Block>>> {
        hasher.0.spare.lock().unwrap()
    }

    async fn places(hasher: &PasswordHasher, left: usize) {
        let settled = async {
            while hasher.0.places.available_permits() != left {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(20), settled).await.unwrap();
    }
}
