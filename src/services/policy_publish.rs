//! Policies of a fleet: one set for all nodes, which somebody publishes on one of them.
//!
//! The set goes through the gate of that node, and is written to the store, so that the log brings it to
//! every node. Each takes it through its own gate before it is live there; one that refuses it
//! keeps its last good set, and says so. What waits for approval and what is pinned are rows of the store,
//! too.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::detached_changes::run_detached;
use super::directory_sync;
use super::fleet_status;
use super::permits::StorePermit;
use super::reload::{self, CheckedPolicies, ReloadReport, WayToLive};
use crate::app::{App, PolicyStatus, Reloading};
use crate::clock;
use crate::domain::{Digest, Failure, Kind, PolicyCause, PolicyFiles, PolicySetName, limits};
use crate::engine::AccessChanges;
use crate::fleet::node_reports::RegisteredNode;
use crate::gate;
use crate::store::StoredPolicies;
use crate::store::requests_and_views::policies::{NewPublication, Publication, Publications};

/// How often it is looked whether something was published.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// How a set gets to all nodes.
pub(super) struct WayToAll {
    /// Who gains and who loses access by it on this node.
    pub(super) changes: AccessChanges,
    /// Whether it waits for approval.
    pub(super) waits: bool,
    /// Whether no other set may be published until that is ended.
    pub(super) is_pinned: bool,
}

/// Publishes a set to all nodes, and waits until it is live on this one.
///
/// # Errors
/// `Conflict` `no_fleet_source`, `policies_pinned`; `TooLarge` `policies_too_large`; `PoliciesRefused` with
/// every fault, also where a member was given a role meanwhile that the set lacks; `Busy`, as where the log
/// is away.
pub async fn publish(
    app: &Arc<App>,
    permit: StorePermit,
    files: PolicyFiles,
) -> Result<ReloadReport, Failure> {
    if !app.has_policies_of_fleet() {
        return Err(no_fleet_source());
    }
    let bytes: usize = files.iter().map(|(path, bytes)| path.len() + bytes.len()).sum();
    if bytes > limits::POLICY_PUBLISHED_BYTES_MAX {
        return Err(too_large());
    }
    let mut paths = BTreeSet::new();
    if let Some((path, _)) = files.iter().find(|(path, _)| !paths.insert(*path)) {
        return Err(Failure::policies_refused(format!("{path}: is there twice: send it once")));
    }
    let app = Arc::clone(app);
    run_detached(async move {
        let permit = permit.because(PolicyCause::Publish);
        let mut reloading = app.reloading.lock().await;
        if is_published(&app, files.digest()).await? {
            let live = app.policies.load_full();
            return Ok(reload::report(&live, false, AccessChanges::default()));
        }
        let new = admitted(&app, &permit, files).await?;
        let live = app.policies.load_full();
        let changes = reload::compare(&app, Arc::clone(&new.snapshot), live).await;
        let waits = app.config.policies.hold_widening && changes.widens();
        let way = WayToAll { changes, waits, is_pinned: false };
        to_all(&app, &permit, new, way, &mut reloading).await
    })
    .await
}

/// Whether a set was published last, and is live here.
async fn is_published(app: &App, digest: Digest) -> Result<bool, Failure> {
    let published = app.store.publications().await?;
    let is_it = published.live.is_some_and(|live| live.digest == digest);
    Ok(is_it && published.pending.is_none() && app.policies.load().digest() == digest)
}

/// A set that passed the gate of this node. One that did not is in the history.
async fn admitted(
    app: &App,
    permit: &StorePermit,
    files: PolicyFiles,
) -> Result<CheckedPolicies, Failure> {
    let (held, demand_proof) = (app.directory.roles_held(), app.config.policies.demand_proof);
    let work = move || {
        let admitted = gate::admit(&files, &held, demand_proof);
        (files, admitted)
    };
    let (files, admitted) = reload::run_on_blocking_thread(app, false, work).await?;
    let at = app.clock.now();
    if let Err(why) = &admitted {
        let set = reload::stored(files.clone(), at);
        reload::refused(&app.store, permit.actor(), permit.cause(), set, why).await;
    }
    Ok(CheckedPolicies { files, snapshot: Arc::new(admitted?), at })
}

/// Writes down that all nodes are to have a set, and makes it live here; or that it waits. Who gives a
/// member a role that it lacks is first, or sees that it has gone.
pub(super) async fn to_all(
    app: &App,
    permit: &StorePermit,
    new: CheckedPolicies,
    WayToAll { changes, waits, is_pinned }: WayToAll,
    reloading: &mut Reloading,
) -> Result<ReloadReport, Failure> {
    let roles = new.snapshot.roles().iter().map(|card| card.id.clone()).collect();
    let set = reload::stored(new.files.clone(), new.at);
    let publication = NewPublication { set, cause: permit.cause(), roles, waits, is_pinned };
    let done = app.store.policies_published(permit.actor(), publication).await?;
    directory_sync::wait_until_settled(app, done.revision).await?;
    tracing::info!(number = done.value.number, digest = %done.value.digest, waits, "policies were published to the fleet");
    if waits {
        return Ok(reload::hold(app, permit, new, changes, reloading).await);
    }
    live_here(app, permit, new, (changes, &done.value), reloading).await
}

/// What was published goes live on this node.
async fn live_here(
    app: &App,
    permit: &StorePermit,
    new: CheckedPolicies,
    (changes, publication): (AccessChanges, &Publication),
    reloading: &mut Reloading,
) -> Result<ReloadReport, Failure> {
    let way = WayToLive { changes: Some(changes), ..WayToLive::default() };
    let live = reload::bring_live(app, permit, new, way, reloading).await;
    // Where it is not live, it is taken as those of other nodes are.
    if app.policies.load().digest() == publication.digest {
        app.published.fetch_max(publication.number, Ordering::AcqRel);
        follow_pin(app, Some(publication)).await?;
    }
    live
}

/// The set that waits in the fleet is published, if it is still this one.
///
/// # Errors
/// `Conflict` `not_pending`; else as [`publish`].
pub(super) async fn approved(
    app: &App,
    permit: &StorePermit,
    digest: Digest,
    reloading: &mut Reloading,
) -> Result<ReloadReport, Failure> {
    let set = app.store.published_pending().await?.filter(|set| set.digest == digest);
    let set = set.ok_or_else(reload::not_pending)?;
    let new = admitted(app, permit, PolicyFiles::kept(set.files)).await?;
    let live = app.policies.load_full();
    let changes = reload::compare(app, Arc::clone(&new.snapshot), live).await;
    let done = app.store.publication_approved(permit.actor(), digest).await?;
    directory_sync::wait_until_settled(app, done.revision).await?;
    live_here(app, permit, new, (changes, &done.value), reloading).await
}

/// Ends the pin of the published set, which stays live.
///
/// # Errors
/// `Conflict` `not_pinned`; `Busy`, as where the log is away.
pub(super) async fn unpinned(app: &App, permit: &StorePermit) -> Result<ReloadReport, Failure> {
    let done = app.store.publication_unpinned(permit.actor()).await?;
    if !done.value {
        return Err(Failure::new(
            Kind::Conflict,
            "not_pinned",
            "no set is pinned: others may be published as usual",
        ));
    }
    directory_sync::wait_until_settled(app, done.revision).await?;
    follow_pin(app, None).await?;
    let live = app.policies.load_full();
    Ok(reload::report(&live, false, AccessChanges::default()))
}

/// Takes what other nodes publish, until the sidecar stops.
pub async fn follow(app: Arc<App>) {
    let (mut refused, mut told) = (None, false);
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        match step(&app, &mut refused).await {
            Ok(()) => told = false,
            Err(fault) if !told => {
                tracing::warn!(%fault, "what was published to the fleet cannot be followed");
                told = true;
            }
            Err(_) => {}
        }
    }
}

/// Looks once. `refused`: the number of a set that waits and did not pass the gate of this node.
async fn step(app: &Arc<App>, refused: &mut Option<u64>) -> Result<(), Failure> {
    let Publications { live, pending } = app.store.publications().await?;
    if let Some(live) = live.as_ref().filter(|live| is_new(app, live)) {
        if live.digest != app.policies.load().digest() {
            // The outcome is in the log and the status; what may pass is tried again.
            let _ = reload::reload_now(app, StorePermit::of_publication(live)).await;
        }
        // A publication of this node may be a newer one.
        app.published.fetch_max(live.number, Ordering::AcqRel);
    }
    follow_pin(app, live.as_ref()).await?;
    match pending {
        Some(pending) if *refused != Some(pending.number) => {
            if let Err(fault) = follow_pending(app, &pending).await {
                tracing::warn!(%fault, "the policies that wait in the fleet do not pass the check of this node");
                *refused = Some(pending.number);
            }
        }
        Some(_) => {}
        None => no_longer_pending(app).await?,
    }
    Ok(())
}

fn is_new(app: &App, live: &Publication) -> bool {
    live.number > app.published.load(Ordering::Acquire)
}

/// Notes whether the published set is pinned, by its number in the history of this node.
async fn follow_pin(app: &App, live: Option<&Publication>) -> Result<(), Failure> {
    let live = live.filter(|live| live.is_pinned && live.digest == app.policies.load().digest());
    let status = app.policy_status.load_full();
    if live.is_some() == status.pinned.is_some() {
        return Ok(());
    }
    let number = match live {
        Some(live) => {
            let entry = app.store.policy_entry(PolicySetName::Live).await?;
            Some(entry.map_or(live.number, |entry| entry.number))
        }
        None => None,
    };
    app.policy_status.store(Arc::new(PolicyStatus { pinned: number, ..(*status).clone() }));
    Ok(())
}

/// Holds what waits in the fleet on this node, too.
async fn follow_pending(app: &App, pending: &Publication) -> Result<(), Failure> {
    if app.policy_status.load().pending == Some(pending.digest) {
        return Ok(());
    }
    let mut reloading = app.reloading.lock().await;
    let set = app.store.published_pending().await?;
    let Some(StoredPolicies { files, .. }) = set.filter(|set| set.digest == pending.digest) else {
        return Ok(());
    };
    let permit = StorePermit::of_publication(pending);
    let new = admitted(app, &permit, PolicyFiles::kept(files)).await?;
    let live = app.policies.load_full();
    let changes = reload::compare(app, Arc::clone(&new.snapshot), live).await;
    reload::hold(app, &permit, new, changes, &mut reloading).await;
    Ok(())
}

async fn no_longer_pending(app: &App) -> Result<(), Failure> {
    if app.policy_status.load().pending.is_none() {
        return Ok(());
    }
    let mut reloading = app.reloading.lock().await;
    // It may have been published meanwhile.
    if app.store.publications().await?.pending.is_none() {
        reload::none_pending(app, &mut reloading).await;
        let status = PolicyStatus { pending: None, ..(*app.policy_status.load_full()).clone() };
        app.policy_status.store(Arc::new(status));
    }
    Ok(())
}

fn no_fleet_source() -> Failure {
    Failure::new(
        Kind::Conflict,
        "no_fleet_source",
        "the policies of this node come from its folder: set `policies.source = \"fleet\"` on all nodes of the fleet, and restart their sidecars",
    )
}

fn too_large() -> Failure {
    Failure::new(
        Kind::TooLarge,
        "policies_too_large",
        format!(
            "these policies have more than {} MiB, too much for the log that the nodes share: write fewer, or have each node load them from its folder",
            limits::POLICY_PUBLISHED_BYTES_MAX >> 20
        ),
    )
}

/// Which nodes have a published set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublishedOn {
    /// How many have it.
    pub by: usize,
    /// How many are registered.
    pub of: usize,
    /// The nodes that refused it, each with the reason.
    pub refused: Vec<(String, String)>,
    /// The nodes that have not said anything about it.
    pub missing: Vec<String>,
    /// Why it is not known; the set was published all the same.
    pub fault: Option<String>,
}

impl PublishedOn {
    /// Whether every node has it.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.fault.is_none() && self.by == self.of
    }

    /// A sentence for people.
    #[must_use]
    pub fn sentence(&self) -> String {
        let Self { by, of, refused, missing, fault } = self;
        if let Some(why) = fault {
            return format!("it is not known which nodes have these policies: {why}");
        }
        let mut sentence = format!("live on {by} of {of}");
        if !missing.is_empty() {
            sentence = format!("{sentence}, not yet on {}", missing.join(", "));
        }
        for (node, why) in refused {
            sentence = format!(
                "{sentence}\n{node} refuses them, and goes on with its last good ones: {why}"
            );
        }
        sentence
    }
}

/// Waits until every node has the live set of this one, or has refused it, at most so long.
pub async fn live_on_all(app: &App, at_most: Duration) -> PublishedOn {
    let alone = PublishedOn { by: 1, of: 1, ..PublishedOn::default() };
    let Some(node) = &app.fleet else { return alone };
    let (begun, digest) = (clock::monotonic(), app.policies.load().digest());
    let number = app.published.load(Ordering::Acquire);
    loop {
        let waited = begun.elapsed();
        let found = match fleet_status::registered(node).await {
            Ok(all) => {
                let others: Vec<RegisteredNode> =
                    all.into_iter().filter(|other| other.id != node.id).collect();
                published_on(&others, digest, number)
            }
            Err(fault) => PublishedOn { fault: Some(fault.public), ..alone.clone() },
        };
        if found.fault.is_none() && found.missing.is_empty() || waited >= at_most {
            return found;
        }
        tokio::time::sleep(LOOK_EVERY.min(at_most.saturating_sub(waited))).await;
    }
}

/// What the other nodes say; this one has it.
fn published_on(others: &[RegisteredNode], digest: Digest, number: u64) -> PublishedOn {
    let mut found = PublishedOn { by: 1, of: others.len() + 1, ..PublishedOn::default() };
    for node in others {
        let name = fleet_status::name_of(node);
        match &node.report {
            Ok(report) if report.policies == digest => found.by += 1,
            Ok(report) if report.published >= number && report.policies_refused => {
                found.refused.push((name, report.policies_fault.clone()));
            }
            _ => found.missing.push(name),
        }
    }
    found
}
