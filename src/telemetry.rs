//! Telemetry: Prometheus metrics, and the log.
//!
//! Each thread counts for itself, so that counting never waits, not even for a cache line. Contains
//! no name, address or id of a person.

pub mod log;
pub mod mail_metrics;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use crate::clock;
use crate::domain::Timestamp;
use crate::sharded_counter::{PerThread, ShardCounter};

/// A histogram as a metric: its name, its text and its buckets.
struct Scale<const N: usize> {
    name: &'static str,
    help: &'static str,
    /// The upper bounds of its buckets, in the unit of what is observed.
    bounds: [u64; N],
    /// The divisor to the unit of the metric: a quotient prints as it is written, a product with a
    /// fraction does not.
    units: f64,
}

/// Observed in nanoseconds.
const DURATIONS: Scale<10> = Scale {
    name: "kwic_decision_duration_seconds",
    help: "Time from a parsed question to its answer; one decision in 8 is timed.",
    bounds: [1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 10_000_000],
    units: 1e9,
};
/// Observed in queries.
const BATCHES: Scale<6> = Scale {
    name: "kwic_batch_size",
    help: "Questions in one batch.",
    bounds: [1, 5, 10, 50, 100, 1_000],
    units: 1.0,
};

/// The counts of each bucket.
#[derive(Debug)]
struct Histogram<const N: usize> {
    buckets: [ShardCounter; N],
    /// The count above the last bound.
    above: ShardCounter,
    sum: ShardCounter,
}

impl<const N: usize> Default for Histogram<N> {
    fn default() -> Self {
        let buckets = std::array::from_fn(|_| ShardCounter::default());
        Self { buckets, above: ShardCounter::default(), sum: ShardCounter::default() }
    }
}

impl<const N: usize> Histogram<N> {
    fn observe(&self, scale: &Scale<N>, value: u64) {
        let bucket = scale.bounds.iter().zip(&self.buckets).find(|(bound, _)| value <= **bound);
        bucket.map_or(&self.above, |(_, bucket)| bucket).add(1);
        self.sum.add(value);
    }
}

/// The target of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is a path")]
pub enum Route {
    Evaluation,
    Evaluations,
    Search,
    Plan,
    Metadata,
    ForwardAuth,
    Health,
    Metrics,
    Unknown,
}

const ROUTES: [(Route, &str); 9] = [
    (Route::Evaluation, "/access/v1/evaluation"),
    (Route::Evaluations, "/access/v1/evaluations"),
    (Route::Search, "/access/v1/search"),
    (Route::Plan, "/access/v1/plan"),
    (Route::Metadata, "/.well-known/authzen-configuration"),
    (Route::ForwardAuth, "/forward-auth"),
    (Route::Health, "health"),
    (Route::Metrics, "/metrics"),
    (Route::Unknown, "unknown"),
];

const CODES: [u16; 13] = [200, 400, 401, 403, 404, 405, 408, 413, 422, 429, 500, 503, 0];

/// Values that are read when metrics are collected, not counted here.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gauges<'g> {
    /// Members in memory.
    pub members: usize,
    /// The revision that decisions see.
    pub revision: u64,
    /// Policies of the live set.
    pub policies: usize,
    /// Decisions in the cache of the live set.
    pub remembered: usize,
    /// The live set's digest.
    pub digest: &'g str,
    /// `live`, `last_good` or `pinned`.
    pub state: &'static str,
    /// Whether a set waits for approval.
    pub pending: bool,
    /// Whether the folder loaded at the last attempt, at a start or by a reload.
    pub loads: bool,
    /// When the live set was accepted; by an earlier run, where it comes from the store.
    pub loaded_at: Timestamp,
    /// Cross-checks: agreed, differed, left out.
    pub cross_checks: [u64; 3],
    /// Whether Cedar's own authorizer makes all decisions, since a cross-check differed.
    pub distrusted: bool,
    /// Open connections of the decision listener.
    pub connections: usize,
    /// Handlers of the decision listener that panicked.
    pub panics: u64,
    /// Seconds that a reload has been running; 0 while none is.
    pub reload_running: i64,
    /// The health of the disks.
    pub disk: Disk,
}

/// The health of the disks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk {
    /// Failed writes to the store since the start.
    pub failures: u64,
    /// Changes that wait for a commit after the current one.
    pub waiting: usize,
    /// The last write to the store failed.
    pub failing: bool,
    /// The open file is not the one that a restart would open.
    pub replaced: bool,
    /// The live policies are not saved for the next start.
    pub policies_unkept: bool,
    /// Failed writes of files to the data folder since the start.
    pub data_failures: u64,
    /// The last write of such a file failed.
    pub data_failing: bool,
    /// Sockets whose file is missing or was replaced.
    pub sockets_displaced: usize,
}

/// The counters of one thread.
#[derive(Debug, Default)]
struct ThreadCounts {
    decisions: ShardCounter,
    /// Those of them that are an allow.
    allowed: ShardCounter,
    erred: ShardCounter,
    decision_ns: Histogram<{ DURATIONS.bounds.len() }>,
    batch: Histogram<{ BATCHES.bounds.len() }>,
    requests: [[ShardCounter; CODES.len()]; ROUTES.len()],
    reloads: ShardCounter,
    refused_reloads: ShardCounter,
}

/// All counters.
#[derive(Debug, Default)]
pub struct Telemetry {
    counts: PerThread<ThreadCounts>,
    /// Mail figures.
    pub mail: mail_metrics::MailGauges,
    /// When the reload that is running began; 0 while none is.
    reload_began: AtomicI64,
}

/// One decision in this many of a thread is timed: reading the clock twice would be a quarter of
/// the cost of a cached decision.
const TIMED_ONE_IN: u64 = 8;
/// Which one of them. The cross-check samples round numbers, and queueing a sample takes longer
/// than a usual decision: those are not timed.
const TIMED: u64 = 1;

/// A decision in progress: it is counted, and its time is measured if it is sampled.
#[derive(Debug)]
pub struct StartedDecision {
    at: Option<Instant>,
    number: u64,
}

impl StartedDecision {
    /// Its number among the decisions of its thread, from 0.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }
}

impl Telemetry {
    /// Begins a decision.
    #[must_use]
    pub fn begin_decision(&self) -> StartedDecision {
        let number = self.counts.own().decisions.add(1);
        StartedDecision { at: (number % TIMED_ONE_IN == TIMED).then(clock::monotonic), number }
    }

    /// It is done; `erred` policies could not be evaluated.
    pub fn decided(&self, begun: &StartedDecision, allowed: bool, erred: u32) {
        let counts = self.counts.own();
        counts.allowed.add(u64::from(allowed));
        counts.erred.add(erred.into());
        if let Some(at) = begun.at {
            let took = u64::try_from(at.elapsed().as_nanos()).unwrap_or(u64::MAX);
            counts.decision_ns.observe(&DURATIONS, took);
        }
    }

    /// One batch of this many questions was answered.
    pub fn batched(&self, questions: usize) {
        let questions = u64::try_from(questions).unwrap_or(u64::MAX);
        self.counts.own().batch.observe(&BATCHES, questions);
    }

    /// One request was answered with this status.
    pub fn answered(&self, route: Route, code: u16) {
        let row =
            ROUTES.iter().zip(&self.counts.own().requests).find(|((known, _), _)| *known == route);
        if let Some((_, row)) = row
            && let Some((_, counter)) =
                CODES.iter().zip(row).find(|(known, _)| **known == code || **known == 0)
        {
            counter.add(1);
        }
    }

    /// Begins a reload.
    pub fn begin_reload(&self, at: Timestamp) {
        self.reload_began.store(at.0, Ordering::Relaxed);
    }

    /// How many seconds the reload that is running has taken so far; 0 where none is.
    #[must_use]
    pub fn reload_running(&self, now: Timestamp) -> i64 {
        match self.reload_began.load(Ordering::Relaxed) {
            0 => 0,
            began => now.0.saturating_sub(began).max(0) / 1_000,
        }
    }

    /// Ends a reload.
    pub fn reloaded(&self, accepted: bool) {
        self.reload_began.store(0, Ordering::Relaxed);
        if accepted {
            self.counts.own().reloads.add(1);
        } else {
            self.counts.own().refused_reloads.add(1);
        }
    }

    /// Everything in Prometheus' text format, version 0.0.4.
    #[must_use]
    pub fn render(&self, gauges: &Gauges<'_>) -> String {
        let mut out = String::with_capacity(4096);
        head(&mut out, "kwic_decisions_total", "counter", "Decisions by their answer.");
        // In this order: each decision is counted before it is counted as an allow.
        let allowed = self.counts.sum(|counts| &counts.allowed);
        let denied = self.counts.sum(|counts| &counts.decisions).saturating_sub(allowed);
        for (answer, count) in [("allow", allowed), ("deny", denied)] {
            let _ = writeln!(out, "kwic_decisions_total{{decision=\"{answer}\"}} {count}");
        }
        self.write_histogram(&mut out, &DURATIONS, |counts| &counts.decision_ns);
        self.write_histogram(&mut out, &BATCHES, |counts| &counts.batch);
        single(
            &mut out,
            "kwic_policy_eval_errors_total",
            "counter",
            "Policies that could not be evaluated for a request.",
            self.counts.sum(|counts| &counts.erred),
        );
        self.write_requests(&mut out);
        head(&mut out, "kwic_policy_reloads_total", "counter", "Reloads by their result.");
        let accepted = self.counts.sum(|counts| &counts.reloads);
        let refused = self.counts.sum(|counts| &counts.refused_reloads);
        for (result, count) in [("accepted", accepted), ("refused", refused)] {
            let _ = writeln!(out, "kwic_policy_reloads_total{{result=\"{result}\"}} {count}");
        }
        single(
            &mut out,
            "kwic_handler_panics_total",
            "counter",
            "Requests that a bug ended; the log says where.",
            gauges.panics,
        );
        single(
            &mut out,
            "kwic_log_lines_dropped_total",
            "counter",
            "Log lines left out because whatever reads the log was too slow, or stopped reading.",
            log::dropped_lines(),
        );
        write_gauges(&mut out, gauges);
        out
    }

    fn write_histogram<const N: usize>(
        &self,
        out: &mut String,
        &Scale { name, help, bounds, units }: &Scale<N>,
        of: impl Fn(&ThreadCounts) -> &Histogram<N>,
    ) {
        head(out, name, "histogram", help);
        let mut below = 0;
        for (at, bound) in bounds.into_iter().enumerate() {
            below += self.counts.sum(|counts| of(counts).buckets.get(at));
            let _ = writeln!(out, "{name}_bucket{{le=\"{}\"}} {below}", bound as f64 / units);
        }
        let count = below + self.counts.sum(|counts| &of(counts).above);
        let sum = self.counts.sum(|counts| &of(counts).sum);
        let _ = writeln!(out, "{name}_bucket{{le=\"+Inf\"}} {count}");
        let _ = writeln!(out, "{name}_sum {}", sum as f64 / units);
        let _ = writeln!(out, "{name}_count {count}");
    }

    fn write_requests(&self, out: &mut String) {
        head(out, "kwic_http_requests_total", "counter", "Requests by route and status.");
        for (row, (_, route)) in ROUTES.iter().enumerate() {
            for (cell, code) in CODES.iter().enumerate() {
                let count = self.counts.sum(|counts| counts.requests.get(row)?.get(cell));
                if count > 0 {
                    let code = if *code == 0 { "other".to_owned() } else { code.to_string() };
                    let _ = writeln!(
                        out,
                        "kwic_http_requests_total{{route=\"{route}\",code=\"{code}\"}} {count}"
                    );
                }
            }
        }
    }
}

fn write_disk(out: &mut String, disk: Disk) {
    single(
        out,
        "kwic_store_write_failures_total",
        "counter",
        "Changes that the store did not keep.",
        disk.failures,
    );
    single(
        out,
        "kwic_store_changes_waiting",
        "gauge",
        "Changes that wait for a commit after the current one.",
        disk.waiting,
    );
    single(
        out,
        "kwic_data_write_failures_total",
        "counter",
        "Uploaded files that could not be written to the data folder.",
        disk.data_failures,
    );
    single(
        out,
        "kwic_sockets_displaced",
        "gauge",
        "Unix sockets whose file was removed or replaced.",
        disk.sockets_displaced,
    );
    for (name, help, value) in [
        ("kwic_data_failing", "1 while the last such write failed.", disk.data_failing),
        ("kwic_store_failing", "1 while the last write of a change failed.", disk.failing),
        (
            "kwic_store_replaced",
            "1 where the store's file is not the one that the sidecar has open.",
            disk.replaced,
        ),
        (
            "kwic_policies_unkept",
            "1 while the live policies are not saved for the next start.",
            disk.policies_unkept,
        ),
    ] {
        single(out, name, "gauge", help, u8::from(value));
    }
}

fn write_gauges(out: &mut String, gauges: &Gauges<'_>) {
    write_disk(out, gauges.disk);
    head(
        out,
        "kwic_cross_checks_total",
        "counter",
        "Decisions checked again with Cedar's own authorizer.",
    );
    for (result, count) in ["agreed", "differed", "left_out"].iter().zip(gauges.cross_checks) {
        let _ = writeln!(out, "kwic_cross_checks_total{{result=\"{result}\"}} {count}");
    }
    single(
        out,
        "kwic_engine_distrusted",
        "gauge",
        "1 once a cross-check differed: Cedar's own authorizer then makes all decisions.",
        u8::from(gauges.distrusted),
    );
    head(out, "kwic_policy_info", "gauge", "The live policy set.");
    let state = gauges.state;
    let _ = writeln!(out, "kwic_policy_info{{digest=\"{}\",state=\"{state}\"}} 1", gauges.digest);
    single(
        out,
        "kwic_policies_pending",
        "gauge",
        "1 while a policy set waits for approval.",
        u8::from(gauges.pending),
    );
    single(
        out,
        "kwic_policy_last_reload_successful",
        "gauge",
        "Whether the policy folder loaded when it was last tried, at a start or by a reload.",
        u8::from(gauges.loads),
    );
    single(
        out,
        "kwic_policy_last_success_reload_timestamp_seconds",
        "gauge",
        "When the live set was accepted, at a start or by a reload; by an earlier run where the folder has not loaded since.",
        gauges.loaded_at.0 / 1_000,
    );
    let number = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
    single(
        out,
        "kwic_policy_reload_running_seconds",
        "gauge",
        "How long the reload that is running has taken so far; 0 where none is.",
        gauges.reload_running,
    );
    for (name, help, value) in [
        ("kwic_policies", "Policies of the live set.", number(gauges.policies)),
        (
            "kwic_answers_remembered",
            "Entries in the decision cache of the live set.",
            number(gauges.remembered),
        ),
        ("kwic_members", "Members in memory.", number(gauges.members)),
        ("kwic_store_revision", "The revision that decisions see.", gauges.revision),
        (
            "kwic_connections",
            "Open connections to the decision listener.",
            number(gauges.connections),
        ),
    ] {
        single(out, name, "gauge", help, value);
    }
}

/// Whether the file with the keys of callers is refused.
#[must_use]
pub fn keys_refused(refused: bool) -> String {
    let mut out = String::new();
    let help = "1 while `decision.keys_file` is refused and the previous keys stay valid.";
    single(&mut out, "kwic_keys_file_refused", "gauge", help, u8::from(refused));
    out
}

/// How many tasks have panicked that run as long as the sidecar.
#[must_use]
pub fn tasks_panicked(count: usize) -> String {
    let mut out = String::new();
    let help = "Background tasks that a bug has ended; the log says where.";
    single(&mut out, "kwic_tasks_panicked", "gauge", help, count);
    out
}

/// How a node follows the shared log.
#[derive(Clone, Copy, Debug)]
pub struct FleetGauges {
    /// The index up to which decisions see the log.
    pub applied: u64,
    /// The index of the log's head, as far as is known.
    pub head: u64,
    /// How long ago the node last had everything that the log has.
    pub lag: Duration,
    /// Whether that is longer than it may be.
    pub stale: bool,
    /// Whether the node does not follow the log any more.
    pub halted: bool,
}

/// How this node follows the shared log; for a node of a fleet only.
#[must_use]
pub fn fleet(gauges: &FleetGauges) -> String {
    let mut out = String::new();
    for (name, help, value) in [
        (
            "kwic_fleet_applied_index",
            "The entry of the shared log that decisions see.",
            gauges.applied,
        ),
        (
            "kwic_fleet_head_index",
            "The last entry of the shared log that is known of.",
            gauges.head,
        ),
        ("kwic_fleet_stale", "1 while this node is stale.", gauges.stale.into()),
        (
            "kwic_fleet_halted",
            "1 once this node has stopped following the shared log, until it joins again.",
            gauges.halted.into(),
        ),
    ] {
        single(&mut out, name, "gauge", help, value);
    }
    let help = "How long ago this node last had everything that the shared log has.";
    single(&mut out, "kwic_fleet_lag_seconds", "gauge", help, gauges.lag.as_secs_f64());
    out
}

/// What the shadow policies were asked.
#[derive(Clone, Debug, Default)]
pub struct ShadowGauges {
    /// Whether a candidate is loaded.
    pub loaded: bool,
    /// Answers that agreed, and queries that were left out.
    pub agreed: u64,
    /// See `agreed`.
    pub left_out: u64,
    /// Role, action, whether only the candidate allows it, and how often.
    pub disagreements: Vec<(String, String, bool, u64)>,
    /// Disagreements that are not listed.
    pub more: u64,
}

/// The shadow policies. The counts begin anew with each candidate.
#[must_use]
pub fn shadow(gauges: &ShadowGauges) -> String {
    let mut out = String::new();
    let help = "1 while the shadow policies are loaded, 0 while their folder is at fault.";
    single(&mut out, "kwic_shadow_loaded", "gauge", help, u8::from(gauges.loaded));
    let help = "Decisions that the shadow policies were asked too, by result.";
    head(&mut out, "kwic_shadow_asked_total", "counter", help);
    let differed: u64 = gauges.disagreements.iter().map(|(.., count)| count).sum();
    let differed = differed + gauges.more;
    for (result, count) in
        [("agreed", gauges.agreed), ("differed", differed), ("left_out", gauges.left_out)]
    {
        let _ = writeln!(out, "kwic_shadow_asked_total{{result=\"{result}\"}} {count}");
    }
    let help = "Decisions that the shadow policies would change, by role and action.";
    head(&mut out, "kwic_shadow_disagreements_total", "counter", help);
    let mut series: BTreeMap<(&str, &str, &str), u64> = BTreeMap::new();
    for (role, action, gains, count) in &gauges.disagreements {
        let answer = if *gains { "allow" } else { "deny" };
        *series.entry((role, action, answer)).or_default() += count;
    }
    for ((role, action, answer), count) in series {
        let (role, action) = (label(role), label(action));
        let _ = writeln!(
            out,
            "kwic_shadow_disagreements_total{{role=\"{role}\",action=\"{action}\",shadow=\"{answer}\"}} {count}"
        );
    }
    out
}

/// A text as the value of a label.
fn label(text: &str) -> String {
    text.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n")
}

/// The number of second-factor secrets that no key decrypts.
#[must_use]
pub fn secrets_without_key(count: usize) -> String {
    let mut out = String::new();
    let help = "Secrets of second factors that no key opens, as the start or the last `kwic-team doctor` saw.";
    single(&mut out, "kwic_secrets_without_key", "gauge", help, count);
    out
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn single(out: &mut String, name: &str, kind: &str, help: &str, value: impl std::fmt::Display) {
    head(out, name, kind, help);
    let _ = writeln!(out, "{name} {value}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reload_that_does_not_end_is_told() {
        let (telemetry, began) = (Telemetry::default(), Timestamp(1_764_000_000_000));
        let later = Timestamp(began.0 + 7_900);
        assert_eq!(telemetry.reload_running(later), 0);
        telemetry.begin_reload(began);
        assert_eq!(telemetry.reload_running(later), 7);
        telemetry.reloaded(false);
        assert_eq!(telemetry.reload_running(later), 0);
    }

    #[test]
    fn each_decision_is_counted_and_one_in_eight_is_timed() {
        let telemetry = Telemetry::default();
        for number in 0..24 {
            let begun = telemetry.begin_decision();
            assert_eq!(begun.number(), number);
            telemetry.decided(&begun, number % 4 == 0, 0);
        }
        let gauges = Gauges {
            members: 0,
            revision: 0,
            policies: 0,
            remembered: 0,
            digest: "",
            state: "live",
            pending: false,
            loads: true,
            loaded_at: Timestamp(0),
            cross_checks: [0; 3],
            distrusted: false,
            connections: 0,
            panics: 0,
            reload_running: 0,
            disk: Disk { failures: 3, failing: true, ..Disk::default() },
        };
        let text = telemetry.render(&gauges);
        for line in [
            "kwic_decisions_total{decision=\"allow\"} 6",
            "kwic_decisions_total{decision=\"deny\"} 18",
            "kwic_decision_duration_seconds_bucket{le=\"+Inf\"} 3",
            "kwic_decision_duration_seconds_count 3",
            "kwic_store_write_failures_total 3",
            "kwic_store_failing 1",
            "kwic_store_replaced 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
