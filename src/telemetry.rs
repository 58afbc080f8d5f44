//! What the sidecar tells about itself: counters for Prometheus, and the log.
//!
//! Counting is a few relaxed atomic additions and never waits. Holds no name, address or id of a
//! person.

pub mod log;

use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use crate::background::Traffic;
use crate::domain::Timestamp;

/// A counter that only rises.
#[derive(Debug, Default)]
struct Counter(AtomicU64);

impl Counter {
    fn add(&self, by: u64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A histogram with the upper bounds of its buckets, in the unit of what is observed.
#[derive(Debug)]
struct Histogram<const N: usize> {
    bounds: [u64; N],
    buckets: [Counter; N],
    /// What is above the last bound.
    above: Counter,
    sum: Counter,
}

impl<const N: usize> Histogram<N> {
    fn new(bounds: [u64; N]) -> Self {
        let buckets = std::array::from_fn(|_| Counter::default());
        Self { bounds, buckets, above: Counter::default(), sum: Counter::default() }
    }

    fn observe(&self, value: u64) {
        let bucket = self.bounds.iter().position(|bound| value <= *bound);
        bucket.and_then(|at| self.buckets.get(at)).unwrap_or(&self.above).add(1);
        self.sum.add(value);
    }

    /// So many units of observation are one of the metric: a quotient prints as it is written,
    /// a product with a fraction does not.
    fn write(&self, out: &mut String, name: &str, help: &str, units: f64) {
        head(out, name, "histogram", help);
        let mut below = 0;
        for (bound, bucket) in self.bounds.iter().zip(&self.buckets) {
            below += bucket.get();
            let _ = writeln!(out, "{name}_bucket{{le=\"{}\"}} {below}", *bound as f64 / units);
        }
        let count = below + self.above.get();
        let _ = writeln!(out, "{name}_bucket{{le=\"+Inf\"}} {count}");
        let _ = writeln!(out, "{name}_sum {}", self.sum.get() as f64 / units);
        let _ = writeln!(out, "{name}_count {count}");
    }
}

/// Where a request went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is a path")]
pub enum Route {
    Evaluation,
    Evaluations,
    Metadata,
    ForwardAuth,
    Health,
    Metrics,
    Unknown,
}

const ROUTES: [(Route, &str); 7] = [
    (Route::Evaluation, "/access/v1/evaluation"),
    (Route::Evaluations, "/access/v1/evaluations"),
    (Route::Metadata, "/.well-known/authzen-configuration"),
    (Route::ForwardAuth, "/forward-auth"),
    (Route::Health, "health"),
    (Route::Metrics, "/metrics"),
    (Route::Unknown, "unknown"),
];

const CODES: [u16; 13] = [200, 400, 401, 403, 404, 405, 408, 413, 422, 429, 500, 503, 0];

/// What changes between two looks and is read where it lives, not counted here.
#[derive(Clone, Copy, Debug)]
pub struct Gauges<'g> {
    /// Members in memory.
    pub members: usize,
    /// The revision that decisions see.
    pub revision: u64,
    /// Policies of the live set.
    pub policies: usize,
    /// Answers that need not be asked of Cedar again while the set lives.
    pub remembered: usize,
    /// The live set's digest.
    pub digest: &'g str,
    /// Whether the set comes from the store, since the folder is refused.
    pub last_good: bool,
    /// Decisions that were asked again: agreed, differed, left out.
    pub cross_checks: [u64; 3],
    /// Whether every decision is left to Cedar's own authorizer, since one differed.
    pub distrusted: bool,
    /// Open connections of the decision listener.
    pub connections: usize,
    /// Handlers of the decision listener that panicked.
    pub panics: u64,
}

/// All counters.
#[derive(Debug)]
pub struct Telemetry {
    /// All decisions.
    traffic: Traffic,
    /// Those that are an allow.
    allowed: Counter,
    erred: Counter,
    decision_ns: Histogram<10>,
    batch: Histogram<6>,
    requests: [[Counter; CODES.len()]; ROUTES.len()],
    reloads: Counter,
    refused_reloads: Counter,
    last_reload: AtomicI64,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            traffic: Traffic::default(),
            allowed: Counter::default(),
            erred: Counter::default(),
            decision_ns: Histogram::new([
                1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000,
                10_000_000,
            ]),
            batch: Histogram::new([1, 5, 10, 50, 100, 1_000]),
            requests: std::array::from_fn(|_| std::array::from_fn(|_| Counter::default())),
            reloads: Counter::default(),
            refused_reloads: Counter::default(),
            last_reload: AtomicI64::new(0),
        }
    }
}

impl Telemetry {
    /// One decision was made; `erred` policies could not be evaluated.
    pub fn decided(&self, allowed: bool, erred: u32, took: Duration) {
        self.traffic.one_more();
        if allowed {
            self.allowed.add(1);
        }
        if erred > 0 {
            self.erred.add(erred.into());
        }
        self.decision_ns.observe(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    /// How many decisions were made, for whoever makes room for them.
    #[must_use]
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// One batch of this many questions was answered.
    pub fn batched(&self, questions: usize) {
        self.batch.observe(u64::try_from(questions).unwrap_or(u64::MAX));
    }

    /// One request was answered with this status.
    pub fn answered(&self, route: Route, code: u16) {
        let row = ROUTES.iter().zip(&self.requests).find(|((known, _), _)| *known == route);
        if let Some((_, row)) = row
            && let Some((_, counter)) =
                CODES.iter().zip(row).find(|(known, _)| **known == code || **known == 0)
        {
            counter.add(1);
        }
    }

    /// One reload ended.
    pub fn reloaded(&self, accepted: bool, at: Timestamp) {
        if accepted {
            self.reloads.add(1);
            self.last_reload.store(at.0, Ordering::Relaxed);
        } else {
            self.refused_reloads.add(1);
        }
    }

    /// Everything in Prometheus' text format, version 0.0.4.
    #[must_use]
    pub fn render(&self, gauges: &Gauges<'_>) -> String {
        let mut out = String::with_capacity(4096);
        head(&mut out, "kwic_decisions_total", "counter", "Decisions by their answer.");
        // In this order: each decision counts among all of them before it counts as an allow.
        let allowed = self.allowed.get();
        let denied = self.traffic.decisions().saturating_sub(allowed);
        for (answer, count) in [("allow", allowed), ("deny", denied)] {
            let _ = writeln!(out, "kwic_decisions_total{{decision=\"{answer}\"}} {count}");
        }
        self.decision_ns.write(
            &mut out,
            "kwic_decision_duration_seconds",
            "Time from a parsed question to its answer.",
            1e9,
        );
        self.batch.write(&mut out, "kwic_batch_size", "Questions in one batch.", 1.0);
        single(
            &mut out,
            ("kwic_policy_eval_errors_total", "counter"),
            "Policies that could not be evaluated for a question.",
            self.erred.get(),
        );
        self.write_requests(&mut out);
        head(&mut out, "kwic_policy_reloads_total", "counter", "Reloads by their result.");
        for (result, counter) in [("accepted", &self.reloads), ("refused", &self.refused_reloads)] {
            let _ =
                writeln!(out, "kwic_policy_reloads_total{{result=\"{result}\"}} {}", counter.get());
        }
        single(
            &mut out,
            ("kwic_policy_last_success_reload_timestamp_seconds", "gauge"),
            "When a reload was last accepted; 0 for never since the start.",
            self.last_reload.load(Ordering::Relaxed) / 1_000,
        );
        single(
            &mut out,
            ("kwic_handler_panics_total", "counter"),
            "Requests that a bug ended; the log says where.",
            gauges.panics,
        );
        write_gauges(&mut out, gauges);
        out
    }

    fn write_requests(&self, out: &mut String) {
        head(out, "kwic_http_requests_total", "counter", "Requests by route and status.");
        for ((_, route), row) in ROUTES.iter().zip(&self.requests) {
            for (code, counter) in CODES.iter().zip(row).filter(|(_, counter)| counter.get() > 0) {
                let code = if *code == 0 { "other".to_owned() } else { code.to_string() };
                let _ = writeln!(
                    out,
                    "kwic_http_requests_total{{route=\"{route}\",code=\"{code}\"}} {}",
                    counter.get()
                );
            }
        }
    }
}

fn write_gauges(out: &mut String, gauges: &Gauges<'_>) {
    head(out, "kwic_cross_checks_total", "counter", "Decisions asked again in full.");
    for (result, count) in ["agreed", "differed", "left_out"].iter().zip(gauges.cross_checks) {
        let _ = writeln!(out, "kwic_cross_checks_total{{result=\"{result}\"}} {count}");
    }
    single(
        out,
        ("kwic_engine_distrusted", "gauge"),
        "1 where a decision asked again differed: Cedar's own authorizer then answers all.",
        u8::from(gauges.distrusted),
    );
    head(out, "kwic_policy_info", "gauge", "The live policy set.");
    let state = if gauges.last_good { "last_good" } else { "live" };
    let _ = writeln!(out, "kwic_policy_info{{digest=\"{}\",state=\"{state}\"}} 1", gauges.digest);
    let number = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
    for (name, help, value) in [
        ("kwic_policies", "Policies of the live set.", number(gauges.policies)),
        (
            "kwic_answers_remembered",
            "Situations whose answer is remembered while the live set lives.",
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
        single(out, (name, "gauge"), help, value);
    }
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn single(out: &mut String, (name, kind): (&str, &str), help: &str, value: impl std::fmt::Display) {
    head(out, name, kind, help);
    let _ = writeln!(out, "{name} {value}");
}
