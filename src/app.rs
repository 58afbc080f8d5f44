//! The shared state that services need: live policies, the members in memory, the store, the clock.

mod fleet_node;
mod shadow;

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, RwLock, watch};

use crate::background::{BoundedQueue, Tasks};
use crate::clock::Clock;
use crate::config::{Config, Passwords, Policies, PolicySource};
use crate::cross_check_queue::CrossCheck;
use crate::directory::Directory;
use crate::domain::{
    Digest, Failure, Kind, PolicyCause, PolicyFiles, Timestamp, Token, TokenHash, limits,
};
use crate::engine::{AccessChanges, Snapshot};
use crate::keys::Keys;
use crate::mail::{Mailer, RefusalTracker};
use crate::own_socket_file::SocketFile;
use crate::password::PasswordHasher;
use crate::policy_folder;
use crate::staleness::Stale;
use crate::store::Store;
use crate::telemetry::Telemetry;
use crate::throttle::{ConcurrencyLimits, Quotas, Throttle};

pub use fleet_node::FleetNode;
pub use shadow::{Disagreement, DisagreementKind, Shadow, ShadowCounts, ShadowSet};

/// The state of the live policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyStatus {
    /// The set comes from the store, because the folder was refused at the start.
    pub last_good: bool,
    /// Why the folder could not be loaded the last time; `None` once it loads again.
    pub fault: Option<String>,
    /// The kind of that fault, for callers who may not read policies.
    pub outcome: FolderProblem,
    /// When the set became live.
    pub loaded_at: Timestamp,
    /// The digest of the folder's set, if that waits for approval.
    pub pending: Option<Digest>,
    /// The number in the history of the set that is served whatever the folder has.
    pub pinned: Option<u64>,
}

/// The ways in which loading a folder can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum FolderProblem {
    /// The folder has a fault.
    #[default]
    Refused,
    /// It could not be read, for a reason outside the folder.
    Unread,
    /// There was no process, thread or time to check it.
    Unchecked,
    /// Another error.
    BrokenOff,
}

impl FolderProblem {
    /// The outcome of a failure to load.
    #[must_use]
    pub fn of(failure: &Failure) -> Self {
        match (failure.kind, failure.code) {
            (Kind::PoliciesRefused, _) => Self::Refused,
            (_, policy_folder::UNREAD) => Self::Unread,
            (Kind::Busy, _) => Self::Unchecked,
            _ => Self::BrokenOff,
        }
    }

    /// In a few words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Unread => "could not be read, and is tried again",
            Self::Unchecked => "could not be checked, and is tried again",
            Self::BrokenOff => "could not be loaded, and is tried again",
        }
    }
}

/// Longest path that a short fault names.
const PLACE_CHARS_MAX: usize = 200;

/// Queued comparisons: one of a reload, one of a check.
const COMPARISONS_WAITING_MAX: usize = 2;

impl PolicyStatus {
    /// The status of a set that was loaded from the folder.
    #[must_use]
    pub fn live(at: Timestamp) -> Self {
        let outcome = FolderProblem::default();
        Self { last_good: false, fault: None, outcome, loaded_at: at, pending: None, pinned: None }
    }

    /// What the set is: `live`, from the folder; `last_good`, from the store; or `pinned`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self { pinned: Some(_), .. } => "pinned",
            Self { last_good: true, .. } => "last_good",
            Self { .. } => "live",
        }
    }

    /// The fault for callers who may not read policies: file and line, without their text.
    #[must_use]
    pub fn short_fault(&self) -> Option<String> {
        let fault = self.fault.as_deref()?;
        let first = fault.lines().next().unwrap_or_default();
        let place = first.split_once(": ").map_or("", |(place, _)| place);
        let is_place = !place.contains([' ', '`']) && place.len() <= PLACE_CHARS_MAX;
        let of_a_file = matches!(self.outcome, FolderProblem::Refused | FolderProblem::Unread);
        let is_place = is_place && of_a_file && !place.is_empty();
        let place = if is_place { place } else { "the policy folder" };
        let outcome = self.outcome.words();
        Some(format!("{place}: {outcome}; see the log, or run `kwic-team doctor`"))
    }
}

/// What a reload did, or would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReloadReport {
    /// The digest of the folder's set, which is live after a reload.
    pub digest: Digest,
    /// How many policies it holds.
    pub policies: usize,
    /// False if the folder matches the live set, or waits for approval.
    pub changed: bool,
    /// Whether the folder waits for approval, since somebody would gain access by it.
    pub pending: bool,
    /// Who gains and who loses, or may.
    pub changes: AccessChanges,
    /// What the load noticed without refusing it.
    pub notes: Vec<String>,
}

/// The state that is kept between reloads.
#[derive(Debug, Default)]
pub struct Reloading {
    /// The live set, if it could not be saved for the next start.
    pub unkept: Option<UnsavedPolicies>,
    /// How many reloads had been requested when the last one began, and its result.
    pub last: Option<(u64, Result<ReloadReport, Failure>)>,
    /// How many reloads in a row failed for a reason outside the folder.
    pub failed: u32,
    /// The set of the folder, if it waits for approval.
    pub pending: Option<PendingPolicies>,
}

/// A set that waits for approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingPolicies {
    /// The digest of the folder.
    pub digest: Digest,
    /// Who brought it, as [`crate::domain::Actor::label`] writes it.
    pub actor: String,
}

/// A live policy set that could not be saved for the next start.
#[derive(Debug)]
pub struct UnsavedPolicies {
    /// What it was made from.
    pub files: PolicyFiles,
    /// What changed since the saved set, for the audit log.
    pub changes: AccessChanges,
    /// What brought them.
    pub cause: PolicyCause,
    /// When they went live.
    pub at: Timestamp,
    /// The number of the set, if it is pinned.
    pub pinned: Option<u64>,
}

/// The base of links in mail: the public URL of the console.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsoleUrls(String);

impl ConsoleUrls {
    /// The console's public URL, with or without a path; never derived from a request's `Host`.
    #[must_use]
    pub fn new(base: &str) -> Self {
        Self(base.trim_end_matches('/').to_owned())
    }

    /// The base URL.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.0
    }

    /// The URL of a page, with a token in the fragment: a mail scanner that opens the link never
    /// sends it anywhere (ASVS 5.0, 14.2.1).
    #[must_use]
    pub fn to(&self, page: &str, token: &Token) -> String {
        format!("{}/{page}#{}", self.0, token.expose())
    }
}

/// Whether files such as uploads can be written to the data folder.
#[derive(Debug, Default)]
pub struct SpoolHealth {
    fault: ArcSwapOption<String>,
    failures: AtomicU64,
}

impl SpoolHealth {
    /// A write failed.
    pub fn failed(&self, cause: &str) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        if self.fault.swap(Some(Arc::new(cause.to_owned()))).is_none() {
            tracing::error!(cause, "the data folder cannot be written");
        }
    }

    /// A write succeeded.
    pub fn worked(&self) {
        if self.fault.swap(None).is_some() {
            tracing::info!("the data folder can be written again");
        }
    }

    /// Why the last write failed, without a path; `None` if it succeeded.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        self.fault.load().as_deref().cloned()
    }

    /// The number of failed writes since the start.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }
}

/// The state that is shared by all requests of one sidecar.
#[derive(Debug)]
pub struct App {
    /// What the operator of the sidecar configured.
    pub config: Config,
    /// What time it is.
    pub clock: Clock,
    /// The live policy set. A decision loads it once.
    pub policies: ArcSwap<Snapshot>,
    /// The state of the live set; not read by decisions.
    pub policy_status: ArcSwap<PolicyStatus>,
    /// The members in memory.
    pub directory: Arc<Directory>,
    /// The records on disk.
    pub store: Store,
    /// This node of a fleet; `None` for a sidecar on its own.
    pub fleet: Option<Arc<FleetNode>>,
    /// Samples of decisions to cross-check, and whether the engine is trusted.
    pub cross_check: CrossCheck,
    /// The shadow policies, and where they differ from the live ones.
    pub shadow: Shadow,
    /// Requests for reasons: one at a time, outside the decision threads.
    pub explanations: BoundedQueue,
    /// Searches: one at a time, outside the decision threads.
    pub searches: BoundedQueue,
    /// Counters and histograms.
    pub telemetry: Telemetry,
    /// Digests of the bearer keys that callers of the decision listener must send; empty if none
    /// are required.
    pub caller_keys: ArcSwap<Vec<Digest>>,
    /// Why the file with those keys was refused; `None` once it is read again.
    pub caller_keys_fault: ArcSwapOption<String>,
    /// Secret keys, and what is derived from them.
    pub keys: Keys,
    /// The mailer.
    pub mailer: Mailer,
    /// Refusals in a row by the mail server.
    pub refusals: std::sync::Mutex<RefusalTracker>,
    /// The password hasher, with limited concurrency.
    pub hasher: PasswordHasher,
    /// Delays after failed sign-in attempts.
    pub throttle: Throttle,
    /// Quotas for actions that send mail.
    pub quotas: Quotas,
    /// Streams of events that are open.
    pub streams: ConcurrencyLimits,
    /// Requests that wait for a revision.
    pub waiting: ConcurrencyLimits,
    /// Where links in mail lead.
    pub links: ConsoleUrls,
    /// The hash of the set-up link's token, while the store is empty.
    pub set_up: std::sync::Mutex<Option<TokenHash>>,
    /// The runtime of decisions. Its threads have the priority of the process, since a thread
    /// inherits that of its parent.
    pub decisions: Handle,
    /// Whether the sidecar is stopping: everything that waits for somebody outside then gives up.
    pub stopping: watch::Sender<bool>,
    /// Serializes reloads; held until the result is known.
    pub reloading: Arc<Mutex<Reloading>>,
    /// When the next retry of a reload is due; none if the last reload did not fail, or failed
    /// because of the folder.
    pub reload_due: watch::Sender<Option<Duration>>,
    /// Comparisons of a set with the previous one, outside the threads that answer: one at a time,
    /// while a reload and a check of the folder may wait.
    pub comparisons: BoundedQueue,
    /// How many reloads were requested.
    pub reloads_asked: AtomicU64,
    /// The number of the last set from the fleet that this node has taken or refused; 0 for none.
    pub published: AtomicU64,
    /// One check of the folder at a time, so that a reload waits for one at most.
    pub checking: Mutex<()>,
    /// Whether the live set is not saved for the next start; for readiness and metrics.
    pub policies_unkept: AtomicBool,
    /// How many secrets of second factors no key opens, as far as the start or the last check saw.
    pub secrets_without_key: AtomicUsize,
    /// The files of the unix sockets that are served.
    sockets: std::sync::Mutex<Vec<Weak<SocketFile>>>,
    /// Which long-running tasks have panicked.
    pub tasks: Tasks,
    /// Whether files can be written to the data folder.
    pub spooling: SpoolHealth,
    /// Read-locked while a member is given a role, write-locked while the policies are swapped: no
    /// role disappears while a member is given it.
    pub roles_given: RwLock<()>,
}

impl App {
    /// Registers the file of a socket that is served.
    pub fn watch_socket(&self, file: &Arc<SocketFile>) {
        let mut sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        sockets.retain(|known| known.strong_count() > 0);
        sockets.push(Arc::downgrade(file));
    }

    /// What is wrong with each socket that nobody reaches by its name. Names no path.
    #[must_use]
    pub fn sockets_at_fault(&self) -> Vec<String> {
        let sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        let fault = |file: Arc<SocketFile>| {
            let name = file.path().file_name().unwrap_or_default().to_string_lossy();
            match file.look() {
                Ok(true) => None,
                Ok(false) => Some(format!(
                    "the file of the socket `{name}` was removed or replaced: move away what lies there, and it is made anew"
                )),
                Err(fault) => Some(format!(
                    "the file of the socket `{name}` cannot be looked at: {fault}: let the user who runs the sidecar enter its folder, with `chmod 700`"
                )),
            }
        };
        sockets.iter().filter_map(Weak::upgrade).filter_map(fault).collect()
    }

    /// The initial state with a live policy set, created on the runtime of decisions. Keys are
    /// temporary and no mail is sent until others are set.
    ///
    /// # Errors
    /// `Internal`, when the operating system has no randomness, or there is no runtime.
    pub fn new(
        config: Config,
        clock: Clock,
        policies: Snapshot,
        directory: Arc<Directory>,
        store: Store,
    ) -> Result<Self, Failure> {
        let Passwords { memory_kib, iterations } = config.passwords;
        let hasher = PasswordHasher::new(memory_kib, iterations, PasswordHasher::runs_here())?;
        let decisions = Handle::try_current().map_err(|fault| {
            Failure::internal(format!("the runtime for decisions cannot be started: {fault}"))
        })?;
        let cross_check = CrossCheck::new(config.decision.cross_check);
        let Policies { shadow, shadow_sample, .. } = &config.policies;
        let shadow = Shadow::new(shadow.as_ref().map_or(0, |_| *shadow_sample));
        let own = format!("http://{}", config.console.listen);
        let links = ConsoleUrls::new(config.console.public_url.as_deref().unwrap_or(&own));
        let status = PolicyStatus::live(clock.now());
        Ok(Self {
            config,
            clock,
            policies: ArcSwap::from_pointee(policies),
            policy_status: ArcSwap::from_pointee(status),
            directory,
            store,
            fleet: None,
            cross_check,
            shadow,
            explanations: BoundedQueue::new(limits::EXPLANATIONS_WAITING_MAX),
            searches: BoundedQueue::new(limits::SEARCHES_WAITING_MAX),
            telemetry: Telemetry::default(),
            caller_keys: ArcSwap::default(),
            caller_keys_fault: ArcSwapOption::empty(),
            keys: Keys::passing()?,
            mailer: Mailer::links()?,
            refusals: std::sync::Mutex::default(),
            hasher,
            throttle: Throttle::default(),
            quotas: Quotas::default(),
            streams: ConcurrencyLimits::default(),
            waiting: ConcurrencyLimits::default(),
            links,
            set_up: std::sync::Mutex::default(),
            decisions,
            stopping: watch::Sender::new(false),
            reloading: Arc::default(),
            reload_due: watch::Sender::new(None),
            comparisons: BoundedQueue::new(COMPARISONS_WAITING_MAX),
            reloads_asked: AtomicU64::new(0),
            published: AtomicU64::new(0),
            checking: Mutex::default(),
            policies_unkept: AtomicBool::new(false),
            secrets_without_key: AtomicUsize::new(0),
            sockets: std::sync::Mutex::default(),
            tasks: Tasks::default(),
            spooling: SpoolHealth::default(),
            roles_given: RwLock::new(()),
        })
    }

    /// Whether what decisions read is stale, so that a deny or a header is due.
    #[must_use]
    pub fn stale(&self) -> Option<Stale> {
        self.fleet.as_ref()?.staleness.now()
    }

    /// Whether this sidecar does what needs to be done once for the whole team, such as deleting what
    /// has expired. In a fleet one node does; two at once would do no harm.
    #[must_use]
    pub fn tends(&self) -> bool {
        self.fleet.as_ref().is_none_or(|node| node.tends())
    }

    /// Whether the live policies are those that were published to the fleet.
    #[must_use]
    pub fn has_policies_of_fleet(&self) -> bool {
        self.config.policies.source == PolicySource::Fleet
    }

    /// Waits until the sidecar stops.
    pub async fn stops(&self) {
        // The sender is here: it cannot be gone.
        let _ = self.stopping.subscribe().wait_for(|stopping| *stopping).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_fault_names_the_place_and_no_text_of_a_policy() {
        let short_of = |outcome, fault: &str| {
            let fault = Some(fault.to_owned());
            PolicyStatus { fault, outcome, ..PolicyStatus::live(Timestamp(0)) }.short_fault()
        };
        let short = |fault: &str| short_of(FolderProblem::Refused, fault);
        let see = "see the log, or run `kwic-team doctor`";
        for (fault, told) in [
            (
                "rules/a.cedar:3: unexpected `secret`\n  3 | secret\n    | ^^^",
                "rules/a.cedar:3: refused",
            ),
            ("rules/a.cedar: cannot be read: no", "rules/a.cedar: refused"),
            ("the policy folder `/etc/secret` cannot be read: no", "the policy folder: refused"),
            ("the folder has no role: write one", "the policy folder: refused"),
            ("secret", "the policy folder: refused"),
            ("", "the policy folder: refused"),
        ] {
            assert_eq!(short(fault), Some(format!("{told}; {see}")));
        }
        assert_eq!(PolicyStatus::live(Timestamp(0)).short_fault(), None);
        for (kind, code, fault, told) in [
            (Kind::PoliciesRefused, "policies_refused", "a.cedar: no", "a.cedar: refused"),
            (
                Kind::Busy,
                "policies_unread",
                "a.cedar: no",
                "a.cedar: could not be read, and is tried again",
            ),
            (
                Kind::Busy,
                "policies_unread",
                "the policy folder `/s` cannot: no",
                "the policy folder: could not be read, and is tried again",
            ),
            (
                Kind::Busy,
                "gate_slow",
                "gate: no",
                "the policy folder: could not be checked, and is tried again",
            ),
            (
                Kind::Internal,
                "internal",
                "x: no",
                "the policy folder: could not be loaded, and is tried again",
            ),
        ] {
            let outcome = FolderProblem::of(&Failure::new(kind, code, fault));
            assert_eq!(short_of(outcome, fault), Some(format!("{told}; {see}")));
        }
    }
}
