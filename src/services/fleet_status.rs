//! The nodes of a fleet: what this one reports, what all report, who has seen a change, and
//! forgetting one that does not come back.
//!
//! Nodes tell each other by way of the log only: a node that cannot reach it says nothing, and nothing
//! is known of it but its last report.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::operator_warnings;
use crate::app::{App, FleetNode};
use crate::clock;
use crate::config::OnStale;
use crate::domain::{Digest, Failure, KeyMark, KeysInUse, Kind, RoleId, Timestamp};
use crate::fleet::node_reports::{self, RegisteredNode};
use crate::services::permits::StorePermit;
use crate::store::records::node_report::NodeReport;
use crate::store::records::shared_log_entry::ENTRY_FORMAT;
use crate::store::shared_log::NodeId;
use crate::store::{ErasureReach, LOG_AWAY};

/// A node reports at least this often.
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// And at most this often, where it has applied more.
const REPORT_PAUSE: Duration = Duration::from_millis(200);
/// How often the reports are read while somebody waits for them.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How often a node looks which others there are: several reports later, so that a node that lives
/// has another report each time.
const LOOK_AROUND_EVERY: Duration = Duration::from_secs(10);
/// A report that is further from now than this is silent, or of another clock.
const SILENT: Duration = Duration::from_secs(4);
/// By how much the clocks of two machines may differ in how long they take a time to be.
const CLOCK_BOUND: Duration = Duration::from_secs(5);
/// A node whose clock is further ahead of the other nodes makes no change.
const CLOCK_AHEAD_MAX: Duration = Duration::from_secs(60);
/// Longest part of a fault in a report.
const FAULT_CHARS_MAX: usize = 1_000;
/// The digits of a digest that are shown.
const DIGITS: usize = 12;
/// The usual limit of a wait for all nodes.
pub const WAIT_USUAL: Duration = Duration::from_secs(10);
/// The longest that may be asked for.
pub const WAIT_MAX: Duration = Duration::from_secs(120);

/// Reports how far this node is, until the sidecar stops.
pub async fn report(app: Arc<App>) {
    let Some(node) = app.fleet.clone() else { return };
    let mut last = None;
    loop {
        let (now, applied) = (clock::monotonic(), node.applied());
        let is_due = !node.is_copy()
            && last.is_none_or(|(at, then)| then != applied || now - at >= REPORT_EVERY);
        if is_due {
            if let Err(why) = put(&app, &node).await {
                // That the log is away is told by the task that follows it.
                let is_alone = node.away().is_none();
                if node.set_unreported(&why) && is_alone {
                    tracing::warn!(
                        why,
                        "the shared log takes no report of this node: changes may be refused, and this node is stale in time"
                    );
                }
            }
            last = Some((now, applied));
        }
        tokio::time::sleep(REPORT_PAUSE).await;
    }
}

/// Keeps known whose the regular work of the fleet is, and among how many nodes guesses are shared, until
/// the sidecar stops.
pub async fn watch_nodes(app: Arc<App>) {
    let Some(node) = app.fleet.clone() else { return };
    let (mut before, mut told, mut pause) = (None, Vec::<(RoleId, usize)>::new(), REPORT_EVERY * 2);
    loop {
        // That the log is away is told by the task that follows it; what is known stays.
        if let Ok(all) = registered(&node).await {
            look_around(&app, &node, before.as_deref(), &all);
            // The first comparison is soon: a node with a wrong clock is to change nothing.
            pause = if before.is_some() { LOOK_AROUND_EVERY } else { REPORT_EVERY * 2 };
            before = Some(all);
        }
        let unknown = operator_warnings::unknown_roles(&app);
        for (role, members) in unknown.iter().filter(|role| !told.contains(role)) {
            tracing::error!(
                %role,
                members,
                "members have a role that the policies of this node lack, and may do nothing here: give this node the policies of the other nodes"
            );
        }
        told = unknown;
        tokio::time::sleep(pause).await;
    }
}

/// Notes what the reports say of the other nodes, where `before` is what they said some time ago.
fn look_around(
    app: &App,
    node: &FleetNode,
    before: Option<&[RegisteredNode]>,
    all: &[RegisteredNode],
) {
    // Those that do not live count as well: they may come back.
    app.throttle.share(count(node.id, all));
    let Some(before) = before else { return };
    let ahead = clock_ahead(node.id, before, all, app.clock.now());
    if app.store.set_clock_ahead(ahead) {
        match ahead {
            Some(seconds) => tracing::error!(
                seconds,
                "the clock of this machine is ahead of the other nodes: changes are refused here until it is corrected"
            ),
            None => {
                tracing::info!("the clock of this machine is no longer ahead of the other nodes")
            }
        }
    }
    let tends = app.store.log_fault().is_none() && tends(node.id, before, all);
    if tends != node.tends() {
        tracing::info!(tends, "whether this node does the regular work of the fleet has changed");
    }
    node.set_tends(tends);
}

/// The nodes that have reported since before.
fn alive<'a>(
    before: &'a [RegisteredNode],
    all: &'a [RegisteredNode],
) -> impl Iterator<Item = (NodeId, &'a NodeReport)> {
    let is_new = |node: &&RegisteredNode| !before.contains(node);
    all.iter().filter(is_new).filter_map(|node| Some((node.id, node.report.as_ref().ok()?)))
}

/// By how many seconds this node's clock is ahead of the others that live, where that is too much for
/// more than half of them.
fn clock_ahead(
    own: NodeId,
    before: &[RegisteredNode],
    all: &[RegisteredNode],
    now: Timestamp,
) -> Option<u64> {
    let others = alive(before, all).filter(|(id, _)| *id != own);
    let mut ahead: Vec<u64> = others
        .map(|(_, report)| u64::try_from(now.0.saturating_sub(report.at.0)).unwrap_or(0) / 1_000)
        .collect();
    ahead.sort_unstable();
    let most = ahead.get(ahead.len().checked_sub(1)? / 2).copied()?;
    (most > CLOCK_AHEAD_MAX.as_secs()).then_some(most)
}

/// Whether a node has the lowest id of those that live: that have reported since before, whatever
/// their clocks say, and follow the log.
fn tends(own: NodeId, before: &[RegisteredNode], all: &[RegisteredNode]) -> bool {
    let works = |(_, report): &(NodeId, &NodeReport)| !report.is_halted && !report.is_stale;
    alive(before, all).filter(works).all(|(other, _)| own <= other)
}

/// Puts the report of this node, so that others know of it.
///
/// # Errors
/// `Busy` `log_unavailable`, when the log is not reached, or takes nothing.
pub async fn register(app: &App, node: &Arc<FleetNode>) -> Result<(), Failure> {
    put(app, node).await.map_err(|why| unreached(&why))
}

/// Notes that the log has a report by which this node answers while it is stale.
///
/// # Errors
/// `Busy`, when the disk fails.
pub async fn note_choice(app: &App, node: &FleetNode) -> Result<(), Failure> {
    if node.staleness.on_stale() == OnStale::Answer {
        if !app.store.reported_answering().await? {
            app.store.set_reported_answering(true).await?;
        }
        node.staleness.answers();
    }
    Ok(())
}

async fn put(app: &App, node: &Arc<FleetNode>) -> Result<(), String> {
    let sent = clock::since_boot();
    // Others rely on a report: what it says is on the disk first. Of a file that cannot be read or written,
    // nothing good is said.
    let (applied, reach) = (node.applied(), app.store.erasure_reach().await);
    let reach = if !app.store.awaits_retry() && app.store.persist().await.is_ok() {
        node.set_persisted(applied);
        reach.ok().flatten().unwrap_or_default()
    } else {
        ErasureReach::default()
    };
    let report = own(app, node, reach);
    let (of, has_reported) = (Arc::clone(node), node.last_reported().is_some());
    let put = move || {
        let last = if has_reported { node_reports::of(&*of.log, &of.seal, of.id)? } else { None };
        node_reports::put(&*of.log, &of.seal, of.id, &report)?;
        Ok::<_, String>(last)
    };
    let last = tokio::task::spawn_blocking(put).await.map_err(|fault| fault.to_string())??;
    node.reported(sent);
    if let Some(Ok(last)) = last.map(|last| last.report)
        && last.process != node.process
        && node.is_second_of_other()
    {
        stop_copy(app, node, &last);
    }
    Ok(())
}

/// Another process reports as this node, as where the data folder was copied to another machine. The
/// one that was started later stops: what one of them has seen, the other may have not.
fn stop_copy(app: &App, node: &FleetNode, other: &NodeReport) {
    if other.since > node.since {
        return tracing::error!(
            name = other.name,
            "another sidecar runs with a copy of this node's data folder: stop it, and run `kwic-team fleet leave`, then `kwic-team fleet join` there"
        );
    }
    node.set_copy();
    app.store.halt_log(&format!(
        "the sidecar `{}` runs with the same data folder as this one, which is a copy: stop this one, run `kwic-team fleet leave`, then `kwic-team fleet join`",
        other.name
    ));
}

/// What this node says of itself.
fn own(app: &App, node: &FleetNode, reach: ErasureReach) -> NodeReport {
    NodeReport {
        name: node.name.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        applied: node.persisted(),
        revision: app.directory.revision(),
        policies: app.policies.load().digest(),
        policies_refused: app.policy_status.load().fault.is_some(),
        policies_fault: policies_fault(app),
        published: app.published.load(Ordering::Acquire),
        is_stale: node.staleness.now().is_some(),
        is_halted: app.store.log_fault().is_some(),
        max_staleness: node.staleness.max(),
        on_stale: node.staleness.on_stale(),
        process: node.process,
        erased: reach.erased,
        rewritten: reach.rewritten,
        opens_behind: node.seal.begins().0,
        keys: app.keys.marks(),
        since: node.since,
        at: app.clock.now(),
        reads_format: ENTRY_FORMAT,
        halted_because: cut(app.store.log_fault().as_deref()),
    }
}

/// A fault as long as others are told, or nothing.
fn cut(fault: Option<&str>) -> String {
    fault.unwrap_or_default().chars().take(FAULT_CHARS_MAX).collect()
}

/// Why this node does not have the policies of the fleet, for the others.
fn policies_fault(app: &App) -> String {
    let status = app.policy_status.load();
    cut(status.fault.as_deref().filter(|_| app.has_policies_of_fleet()))
}

/// What is known of a node.
#[derive(Clone, Debug)]
pub struct NodeStatus {
    /// The node.
    pub id: NodeId,
    /// Whether it is this one.
    pub is_own: bool,
    /// Its last report, or why that cannot be read.
    pub report: Result<NodeReport, String>,
    /// How many entries of the log it has not applied.
    pub behind: u64,
    /// For how many seconds it has not reported, if it does not: by its clock and this one.
    pub silent_seconds: Option<u64>,
    /// By how many seconds its clock is ahead of this one, where it reports; to within two.
    pub clock_seconds: Option<i64>,
    /// The files of keys in use, or newer, that another node has and this one lacks, or has with other
    /// content.
    pub lacks_keys: Vec<String>,
}

/// The fleet, as this node sees it.
#[derive(Clone, Debug)]
pub struct FleetStatus {
    /// The index of the log's head, as far as this node knows.
    pub head: u64,
    /// The nodes that are registered, by name.
    pub nodes: Vec<NodeStatus>,
    /// The keys that all nodes use, as far as this node knows.
    pub keys: KeysInUse,
    /// What to know of the nodes: those that have stopped or read other entries, and their policies.
    pub warnings: Vec<String>,
}

/// What all nodes report; `None` for a sidecar on its own. Where one seems to be silent, its next report
/// is waited for.
///
/// # Errors
/// `Busy` `log_unavailable`, when the log is not reached.
pub async fn status(app: &App, _permit: &StorePermit) -> Result<Option<FleetStatus>, Failure> {
    let Some(node) = &app.fleet else { return Ok(None) };
    let first = registered(node).await?;
    let now = app.clock.now();
    let is_recent = |node: &RegisteredNode| {
        node.report.as_ref().is_ok_and(|report| apart(report.at, now) <= SILENT)
    };
    let again = if first.iter().all(is_recent) {
        first.clone()
    } else {
        tokio::time::sleep(REPORT_EVERY * 2).await;
        registered(node).await?
    };
    let now = app.clock.now();
    let (head, keys) = (node.head(), app.keys.in_use());
    let wanted = wanted_keys(&again, keys);
    let mut nodes: Vec<NodeStatus> = again
        .into_iter()
        .map(|found| {
            let before = first.iter().find(|before| before.id == found.id);
            let is_own = found.id == node.id;
            let lacks_keys = lacks_keys(&found, &wanted);
            NodeStatus { lacks_keys, ..status_of(found, before, is_own, head, now) }
        })
        .collect();
    nodes.sort_by_key(|node| node.report.as_ref().map(|report| report.name.clone()).ok());
    let mut warnings = of_programs(&nodes);
    if app.has_policies_of_fleet() {
        let published = app.store.publications().await?.live;
        warnings
            .extend(published.into_iter().flat_map(|live| without_published(&nodes, live.digest)));
    } else {
        warnings.extend(other_policies(&nodes));
    }
    Ok(Some(FleetStatus { head, nodes, keys, warnings }))
}

/// The reports of the nodes that can be read.
fn readable(nodes: &[NodeStatus]) -> impl Iterator<Item = &NodeReport> {
    nodes.iter().filter_map(|node| node.report.as_ref().ok())
}

/// Which nodes have stopped, and which read fewer formats of entries than another one.
fn of_programs(nodes: &[NodeStatus]) -> Vec<String> {
    let halted = readable(nodes).filter(|report| report.is_halted).map(|report| {
        format!("{} has stopped following the log: {}", report.name, report.halted_because)
    });
    let newest = readable(nodes).map(|report| report.reads_format).max().unwrap_or_default();
    let older = readable(nodes).filter(|report| report.reads_format < newest).map(|report| {
        format!(
            "{} (version {}) reads entries of the log up to format {}, and other nodes up to {newest}: install their version there, too",
            report.name, report.version, report.reads_format
        )
    });
    halted.chain(older).collect()
}

fn digits(digest: Digest) -> String {
    digest.hex().chars().take(DIGITS).collect()
}

/// That nodes which load their own folders have different ones.
fn other_policies(nodes: &[NodeStatus]) -> Option<String> {
    let mut having: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for report in readable(nodes) {
        having.entry(digits(report.policies)).or_default().push(report.name.as_str());
    }
    let each = having.iter().map(|(digest, names)| format!("{} with {digest}", names.join(", ")));
    let each: Vec<String> = each.collect();
    (each.len() > 1).then(|| {
        format!(
            "the nodes have different policies, and may decide otherwise: {}; give all nodes the same folder, or set `policies.source = \"fleet\"`",
            each.join("; ")
        )
    })
}

/// The nodes that have other policies than those that were published, and why.
fn without_published(nodes: &[NodeStatus], published: Digest) -> Vec<String> {
    let others = readable(nodes).filter(|report| report.policies != published);
    let warning = |report: &NodeReport| {
        let (name, has) = (&report.name, digits(report.policies));
        let why = report.policies_fault.lines().next();
        let why = why.map_or_else(String::new, |why| format!(": {why}"));
        format!("{name} has the policies {has}, and {} are published{why}", digits(published))
    };
    others.map(warning).collect()
}

/// The keys that every node should have: those in use, and newer ones that some node has.
pub(super) fn wanted_keys(all: &[RegisteredNode], in_use: KeysInUse) -> BTreeSet<KeyMark> {
    let reports = all.iter().filter_map(|node| node.report.as_ref().ok());
    let keys = reports.flat_map(|report| &report.keys);
    keys.filter(|key| in_use.include(key)).copied().collect()
}

/// The files of wanted keys that a node lacks, or has with other content.
pub(super) fn lacks_keys(node: &RegisteredNode, wanted: &BTreeSet<KeyMark>) -> Vec<String> {
    let Ok(report) = &node.report else { return Vec::new() };
    let lacking = wanted.iter().filter(|key| !report.keys.contains(key));
    let mut files: Vec<String> = lacking.map(KeyMark::file).collect();
    files.dedup();
    files
}

fn status_of(
    found: RegisteredNode,
    before: Option<&RegisteredNode>,
    is_own: bool,
    head: u64,
    now: Timestamp,
) -> NodeStatus {
    let RegisteredNode { id, report } = found;
    let (mut behind, mut silent_seconds, mut clock_seconds) = (0, None, None);
    if let Ok(report) = &report {
        behind = head.saturating_sub(report.applied);
        let is_new = before.is_none_or(|before| before.report.as_ref() != Ok(report));
        if is_new || apart(report.at, now) <= SILENT {
            clock_seconds = Some((report.at.0.saturating_sub(now.0)) / 1_000);
        } else {
            silent_seconds = Some(apart(report.at, now).as_secs());
        }
    }
    NodeStatus { id, is_own, report, behind, silent_seconds, clock_seconds, lacks_keys: Vec::new() }
}

fn apart(one: Timestamp, other: Timestamp) -> Duration {
    Duration::from_millis(one.0.abs_diff(other.0))
}

/// All nodes; where the log cannot be reached, the failure for the caller.
pub(super) async fn registered(node: &Arc<FleetNode>) -> Result<Vec<RegisteredNode>, Failure> {
    let node = Arc::clone(node);
    blocking(move || node_reports::all(&*node.log, &node.seal)).await
}

/// Asks the log on a thread that may wait.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.map_err(|fault| Failure::internal(format!("a task has failed: {fault}")))?;
    done.map_err(|why| unreached(&why))
}

fn unreached(why: &str) -> Failure {
    let sentence = "the log that the nodes share cannot be reached, and what they report is in it: try again in a minute";
    Failure::new(Kind::Busy, LOG_AWAY, sentence).logged(why)
}

/// Removes the report of a node that does not come back; answers its name. Nobody waits for that node
/// from then on, so one that still reports is refused.
///
/// # Errors
/// `NotFound` `no_fleet`, `unknown_node`; `Conflict` `own_node`, `ambiguous_node`, `node_running`;
/// `Busy` `log_unavailable`.
pub async fn forget(app: &App, permit: &StorePermit, named: &str) -> Result<String, Failure> {
    let (Some(node), Some(fleet)) = (&app.fleet, status(app, permit).await?) else {
        return Err(no_fleet());
    };
    let is_named = |found: &&NodeStatus| {
        found.id.to_string() == named
            || found.report.as_ref().is_ok_and(|report| report.name == named)
    };
    let mut found = fleet.nodes.iter().filter(is_named);
    let (Some(one), others) = (found.next(), found.count()) else {
        return Err(Failure::new(
            Kind::NotFound,
            "unknown_node",
            "there is no node of this name or id: `kwic-team fleet status` lists them",
        ));
    };
    if others > 0 {
        return Err(Failure::new(
            Kind::Conflict,
            "ambiguous_node",
            "several nodes have this name: give the id, which `kwic-team fleet status` lists",
        ));
    }
    if one.is_own {
        return Err(Failure::new(
            Kind::Conflict,
            "own_node",
            "this is the node that answers, and it would report again: stop it, run `kwic-team fleet leave` there, then forget it on another node",
        ));
    }
    if one.report.is_ok() && one.silent_seconds.is_none() {
        return Err(Failure::new(
            Kind::Conflict,
            "node_running",
            "this node has reported a moment ago, and nobody would wait for it any more: stop it first, then try again in a few seconds",
        ));
    }
    let (log, id) = (Arc::clone(&node.log), one.id);
    blocking(move || node_reports::forget(&*log, id)).await?;
    let name = one.report.as_ref().map_or_else(|_| id.to_string(), |report| report.name.clone());
    tracing::info!(node = name, "the node was forgotten");
    Ok(name)
}

/// Of a sidecar on its own.
#[must_use]
pub fn no_fleet() -> Failure {
    Failure::new(
        Kind::NotFound,
        "no_fleet",
        "this sidecar is on its own: `fleet.log` names the log of a fleet",
    )
}

/// Which nodes have seen a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenBy {
    /// How many.
    pub by: usize,
    /// How many are registered.
    pub of: usize,
    /// The names of those that have not, as far as is known.
    pub missing: Vec<String>,
    /// Why it is not known; the change was made all the same.
    pub fault: Option<String>,
}

impl SeenBy {
    /// Whether every node has seen it.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.fault.is_none() && self.by == self.of
    }

    /// A sentence for people.
    #[must_use]
    pub fn sentence(&self) -> String {
        let Self { by, of, missing, fault } = self;
        match fault {
            Some(why) => format!("it is not known which nodes have seen the change: {why}"),
            None if self.is_all() => format!("seen by {by} of {of}"),
            None => format!("seen by {by} of {of}, not by {}", missing.join(", ")),
        }
    }
}

/// Waits until every node has what this one has, at most so long. After a change of this node: it is in
/// what this one has.
///
/// A node that does not report counts once it denies every decision for being stale: it was fresh before
/// the change at the latest, so that is its own `max_staleness` from now, and a bound for the
/// clocks. One that answers while it is stale never counts for that.
pub async fn seen_by_all(app: &App, at_most: Duration) -> SeenBy {
    let alone = SeenBy { by: 1, of: 1, missing: Vec::new(), fault: None };
    let Some(node) = &app.fleet else { return alone };
    let begun = clock::monotonic();
    let target = match app.store.log_applied().await {
        Ok(applied) => applied.map_or(0, |head| head.index),
        Err(fault) => return SeenBy { fault: Some(fault.public), ..alone },
    };
    loop {
        let all = registered(node).await;
        let waited = begun.elapsed();
        let is_over = waited >= at_most;
        let seen = match all {
            Ok(all) => seen(&all, node.id, target, waited),
            Err(fault) => SeenBy { fault: Some(fault.public), ..alone.clone() },
        };
        if seen.is_all() || is_over {
            return seen;
        }
        tokio::time::sleep(LOOK_EVERY.min(at_most.saturating_sub(waited))).await;
    }
}

/// The name of a node, or its id where its report cannot be read.
pub(super) fn name_of(node: &RegisteredNode) -> String {
    node.report.as_ref().map_or_else(|_| node.id.to_string(), |report| report.name.clone())
}

/// How many nodes there are. This one is, whether or not its first report has arrived.
fn count(own: NodeId, all: &[RegisteredNode]) -> usize {
    all.iter().filter(|node| node.id != own).count() + 1
}

fn seen(all: &[RegisteredNode], own: NodeId, target: u64, waited: Duration) -> SeenBy {
    let has_seen = |node: &&RegisteredNode| {
        node.id == own
            || node.report.as_ref().is_ok_and(|report| {
                let denies = report.on_stale == OnStale::Deny
                    && waited >= report.max_staleness.saturating_add(CLOCK_BOUND);
                report.applied >= target || denies
            })
    };
    let of = count(own, all);
    let missing: Vec<String> = all.iter().filter(|node| !has_seen(node)).map(name_of).collect();
    SeenBy { by: of - missing.len(), of, missing, fault: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: NodeId = NodeId([1; 16]);

    fn node(id: u8, applied: u64, on_stale: OnStale) -> RegisteredNode {
        let report =
            NodeReport { applied, rewritten: applied, on_stale, ..NodeReport::made_up(id) };
        RegisteredNode { id: NodeId([id; 16]), report: Ok(report) }
    }

    #[test]
    fn a_change_is_seen_by_who_has_it_or_denies_for_being_stale() {
        let all = [
            node(1, 0, OnStale::Deny),
            node(2, 7, OnStale::Answer),
            node(3, 6, OnStale::Deny),
            node(4, 6, OnStale::Answer),
            RegisteredNode { id: NodeId([5; 16]), report: Err("newer".to_owned()) },
        ];
        let five = NodeId([5; 16]).to_string();
        let after = |seconds| seen(&all, OWN, 7, Duration::from_secs(seconds));
        let early = after(34);
        assert_eq!((early.by, early.of), (2, 5));
        assert_eq!(early.missing, ["host-3", "host-4", five.as_str()]);
        let late = after(35);
        assert_eq!((late.by, late.missing), (3, vec!["host-4".to_owned(), five]));
        assert!(seen(&all[..2], OWN, 7, Duration::ZERO).is_all());
        // This node has not reported yet.
        let seen = seen(&all[1..2], OWN, 7, Duration::ZERO);
        assert_eq!((seen.by, seen.sentence().as_str()), (2, "seen by 2 of 2"));
    }

    #[test]
    fn the_regular_work_is_that_of_the_lowest_node_that_lives() {
        let at = |id: u8, at: i64, spoil: fn(&mut NodeReport)| {
            let mut node = node(id, 0, OnStale::Deny);
            if let Ok(report) = &mut node.report {
                report.at = Timestamp(at);
                spoil(report);
            }
            node
        };
        let well = |_: &mut NodeReport| {};
        let before = [at(1, 5, well), at(2, 5, well), at(3, 5, well)];
        let tend = |now: &[RegisteredNode]| {
            [1, 2, 3].into_iter().filter(|own| tends(NodeId([*own; 16]), &before, now)).collect()
        };
        let who =
            |first: RegisteredNode| -> Vec<u8> { tend(&[first, at(2, 6, well), at(3, 6, well)]) };
        assert_eq!(who(at(1, 6, well)), [1]);
        assert_eq!(who(at(1, -3_600, well)), [1], "its clock does not matter");
        // One that does not live, or cannot change anything, does not know that it is not asked.
        for lame in [
            at(1, 5, well),
            at(1, 6, |report| report.is_halted = true),
            at(1, 6, |report| report.is_stale = true),
        ] {
            assert_eq!(who(lame), [1, 2]);
        }
        // One that is forgotten, or was never there.
        assert_eq!(tend(&[at(3, 6, well)]), [1, 2, 3]);
    }

    #[test]
    fn a_clock_is_ahead_where_it_is_so_of_more_than_half_of_the_others() {
        let (hour, own) = (3_600_000, NodeId([1; 16]));
        let at = |id: u8, at: i64| {
            let mut node = node(id, 0, OnStale::Deny);
            if let Ok(report) = &mut node.report {
                report.at = Timestamp(at);
            }
            node
        };
        let before = [at(1, 0), at(2, 0), at(3, 0)];
        let ahead = |others: &[RegisteredNode]| {
            let all = [&[at(1, hour)], others].concat();
            clock_ahead(own, &before, &all, Timestamp(hour))
        };
        assert_eq!(ahead(&[]), None);
        assert_eq!(ahead(&[at(2, 1_000)]), Some(3_599));
        assert_eq!(ahead(&[at(2, hour - 61_000)]), Some(61));
        assert_eq!(ahead(&[at(2, hour - 60_000)]), None);
        assert_eq!(ahead(&[at(2, 2 * hour)]), None, "behind changes nothing");
        assert_eq!(ahead(&[at(2, 1_000), at(3, hour)]), None, "it is the other one that is behind");
        assert_eq!(ahead(&[at(2, 1_000), at(3, 2_000)]), Some(3_598));
        assert_eq!(ahead(&[at(2, 0), at(3, hour)]), None, "a report of before says nothing");
    }

    #[test]
    fn nodes_with_other_policies_are_named() {
        let policies = |found: &[(u8, &[u8], &str)]| -> Vec<NodeStatus> {
            let of = |&(id, set, fault): &(u8, &[u8], &str)| {
                let mut found = node(id, 0, OnStale::Deny);
                if let Ok(report) = &mut found.report {
                    report.policies = Digest::of(&[set]);
                    report.policies_fault = fault.to_owned();
                }
                status_of(found, None, false, 0, Timestamp(0))
            };
            found.iter().map(of).collect()
        };
        let (a, b) = (digits(Digest::of(&[b"a"])), digits(Digest::of(&[b"b"])));
        assert_eq!(other_policies(&policies(&[(1, b"a", ""), (2, b"a", "")])), None);
        let told = other_policies(&policies(&[(1, b"a", ""), (2, b"b", ""), (3, b"a", "")]));
        let told = told.unwrap();
        assert!(told.contains(&format!("host-1, host-3 with {a}")), "{told}");
        assert!(told.contains(&format!("host-2 with {b}")), "{told}");
        let nodes = policies(&[(1, b"a", ""), (2, b"b", "x.cedar:1: what"), (3, b"b", "")]);
        let told = without_published(&nodes, Digest::of(&[b"a"]));
        let other = format!("has the policies {b}, and {a} are published");
        assert_eq!(told, [format!("host-2 {other}: x.cedar:1: what"), format!("host-3 {other}")]);
    }

    #[test]
    fn nodes_that_have_stopped_or_read_fewer_entries_are_named() {
        let of = |id: u8, reads: u8, why: &str| {
            let mut found = node(id, 0, OnStale::Deny);
            if let Ok(report) = &mut found.report {
                (report.reads_format, report.is_halted) = (reads, !why.is_empty());
                report.halted_because = why.to_owned();
            }
            status_of(found, None, false, 0, Timestamp(0))
        };
        assert_eq!(of_programs(&[of(1, 3, ""), of(2, 3, "")]), [""; 0]);
        let told = of_programs(&[of(1, 1, "entry 7 is newer"), of(2, 3, "")]);
        let [halted, older] = &told[..] else { panic!("{told:?}") };
        assert_eq!(halted, "host-1 has stopped following the log: entry 7 is newer");
        assert!(older.starts_with("host-1 (version 0.1.0) reads"), "{older}");
    }

    #[test]
    fn what_is_not_known_is_not_seen_by_all() {
        let fault = Some("the log is away".to_owned());
        let seen = SeenBy { by: 1, of: 1, missing: Vec::new(), fault };
        assert!(!seen.is_all() && seen.sentence().contains("not known"));
    }

    #[test]
    fn a_node_that_goes_on_reporting_has_another_clock_and_one_that_does_not_is_silent() {
        let at = |ms: i64| {
            let mut node = node(2, 5, OnStale::Deny);
            if let Ok(report) = &mut node.report {
                report.at = Timestamp(ms);
            }
            node
        };
        let hour = 3_600_000;
        let of = |before: i64, found: i64, now: i64| {
            let status = status_of(at(found), Some(&at(before)), false, 8, Timestamp(now));
            assert_eq!(status.behind, 3);
            (status.silent_seconds, status.clock_seconds)
        };
        assert_eq!(of(1_000, 1_000, 2_000), (None, Some(-1)));
        assert_eq!(of(hour, hour + 2_000, 2_000), (None, Some(3_600)));
        assert_eq!(of(1_000, 1_000, hour + 1_000), (Some(3_600), None));
    }
}
