//! `POST /access/v1/evaluation` and `/access/v1/evaluations`: one query, or a batch.
//!
//! Nothing waits between the complete body and the answer, except for two kinds of request that
//! would delay others: a long batch yields to other decisions, and a request with `options.explain`
//! runs outside the decision threads, one at a time. An answer is `{"decision":...}` only, unless
//! `options.explain` asks for more.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::fast_parser;
use super::request_reader::{BatchSemantic, RequestBody, values};
use super::strict_json;
use crate::app::App;
use crate::domain::{Decision, Digest, Failure, Kind, Query, Revision, Value, limits, plural};
use crate::engine::Snapshot;
use crate::http::{AnswerHeaders, Bytes, Reply, Request, SoleHeader};
use crate::services::decide::{decide, deny_as_stale};
use crate::staleness::Stale;

const ALLOW: &[u8] = br#"{"decision":true}"#;
const DENY: &[u8] = br#"{"decision":false}"#;

/// An answer with its reasons.
#[derive(Serialize)]
struct Explained<'d> {
    decision: bool,
    context: Context<'d>,
}

#[derive(Serialize)]
struct Context<'d> {
    reason: &'static str,
    message: &'d str,
    policies: &'d [String],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    roles: Vec<&'d str>,
}

/// An item that is not a valid query.
#[derive(Serialize)]
struct Malformed<'f> {
    decision: bool,
    context: MalformedContext<'f>,
}

#[derive(Serialize)]
struct MalformedContext<'f> {
    error: ItemError<'f>,
}

#[derive(Serialize)]
struct ItemError<'f> {
    status: u16,
    message: &'f str,
}

/// An item of a batch that is answered but not explained.
#[derive(Serialize)]
struct Unexplained<'m> {
    decision: bool,
    context: UnexplainedContext<'m>,
}

#[derive(Serialize)]
struct UnexplainedContext<'m> {
    reason: &'static str,
    message: &'m str,
}

/// Answers one query.
///
/// # Errors
/// `Invalid`, when the body is none; `TooLarge`; `Busy`, when the revision that the caller asks
/// for is not reached, or too many ask for reasons.
pub async fn evaluation(app: &Arc<App>, request: &mut Request) -> Result<Reply, Failure> {
    let body = read(request, app.config.limits.evaluation_body_bytes_max).await?;
    wait_for_revision(app, request).await?;
    if let Some(reply) = answer(app, &body) {
        return Ok(reply);
    }
    // A body at fault is refused here: only what can be answered waits behind explanations.
    RequestBody::read(&strict_json::parse(&body)?)?.single().query()?;
    explain_in_queue(app, move |app, told| answer_with_reasons(app, &body, told)).await
}

/// Answers one query from its bytes; `None` if they are not a query, or ask for reasons.
#[must_use]
pub fn answer(app: &App, body: &[u8]) -> Option<Reply> {
    let policies = app.policies.load();
    let basis = AnswerBasis::now(app, &policies);
    if let Some(plain) = fast_parser::FastQuery::read(body)
        && let Some(query) = plain.query()
    {
        return Some(basis.single(&query, false));
    }
    let value = strict_json::parse(body).ok()?;
    let body = RequestBody::read(&value).ok()?;
    let query = body.single().query().ok()?;
    (!body.explain).then(|| basis.single(&query, false))
}

fn answer_with_reasons(app: &App, body: &[u8], told: Reasons) -> Result<Reply, Failure> {
    let policies = app.policies.load();
    let basis = AnswerBasis::now(app, &policies);
    let value = strict_json::parse(body)?;
    let body = RequestBody::read(&value)?;
    basis.one(&body, told)
}

/// Answers a batch, or one query if the body has no batch.
///
/// # Errors
/// As [`evaluation`]; a malformed item is a deny of that item alone.
pub async fn evaluations(app: &Arc<App>, request: &mut Request) -> Result<Reply, Failure> {
    let body = read(request, app.config.limits.batch_body_bytes_max).await?;
    wait_for_revision(app, request).await?;
    answer_batch(app, body).await
}

/// Answers a batch, or one query, from its bytes. A long batch yields to others.
///
/// # Errors
/// `Invalid`, when they are neither; `Busy`, when too many ask for reasons.
pub async fn answer_batch(app: &Arc<App>, body: Bytes) -> Result<Reply, Failure> {
    let policies = app.policies.load_full();
    let basis = AnswerBasis::now(app, &policies);
    let most = app.config.limits.batch_items_max;
    if let Some(batch) = fast_parser::FastBatch::read(&body)
        && let Some(queries) = batch.queries(most)
    {
        let asked: Vec<_> = queries.into_iter().map(Ok).collect();
        return Ok(basis.batch(&asked, BatchSemantic::ExecuteAll).await);
    }
    let value = strict_json::parse(&body)?;
    let read = RequestBody::read(&value)?;
    if read.explain {
        drop(value);
        return explain_in_queue(app, move |app, told| explain_batch(app, &body, told)).await;
    }
    let semantic = read.semantic()?;
    let Some(items) = read.items(most)? else {
        return Ok(basis.single(&read.single().query()?, false));
    };
    Ok(basis.batch(&asked(&read, items)?, semantic).await)
}

/// The same if nothing has to wait; `None` if the batch is long, asks for reasons, or is no batch.
#[must_use]
pub fn answer_batch_fast(app: &App, body: &[u8]) -> Option<Reply> {
    let policies = app.policies.load();
    let basis = AnswerBasis::now(app, &policies);
    let most = app.config.limits.batch_items_max;
    if let Some(batch) = fast_parser::FastBatch::read(body)
        && let Some(queries) = batch.queries(most)
    {
        let asked: Vec<_> = queries.into_iter().map(Ok).collect();
        return basis.batch_at_once(&asked, BatchSemantic::ExecuteAll);
    }
    let value = strict_json::parse(body).ok()?;
    let read = RequestBody::read(&value).ok().filter(|read| !read.explain)?;
    let semantic = read.semantic().ok()?;
    match read.items(most).ok()? {
        Some(items) => basis.batch_at_once(&asked(&read, items).ok()?, semantic),
        None => Some(basis.single(&read.single().query().ok()?, false)),
    }
}

/// A batch with reasons, up to the limit of one request.
fn explain_batch(app: &App, body: &[u8], told: Reasons) -> Result<Reply, Failure> {
    let policies = app.policies.load();
    let basis = AnswerBasis::now(app, &policies);
    let value = strict_json::parse(body)?;
    let read = RequestBody::read(&value)?;
    let semantic = read.semantic()?;
    let Some(items) = read.items(app.config.limits.batch_items_max)? else {
        return basis.one(&read, told);
    };
    let asked = asked(&read, items)?;
    let mut answers = Answers::new(&basis, semantic, asked.len());
    for (index, query) in asked.iter().enumerate() {
        let told = if index < limits::EXPLAINED_ITEMS_MAX { told } else { Reasons::Beyond };
        if !answers.add(query, told) {
            break;
        }
    }
    Ok(answers.end())
}

/// The queries of a batch; an invalid one is a failure of its own.
fn asked<'v>(
    body: &RequestBody<'v>,
    items: &'v [Value<'v>],
) -> Result<Vec<Result<Query<'v>, Failure>>, Failure> {
    let mut asked = Vec::with_capacity(items.len());
    let mut all = 0;
    for item in items {
        let query = body.item(item).and_then(|source| source.query());
        all += query.as_ref().map_or(0, values);
        if all > limits::BATCH_VALUES_MAX {
            let most = limits::BATCH_VALUES_MAX;
            return Err(Failure::new(
                Kind::Invalid,
                "bad_request",
                format!(
                    "the items of `evaluations` have more than {most} values in `context` and `properties` together (shared values count for each item): send several batches"
                ),
            ));
        }
        asked.push(query);
    }
    Ok(asked)
}

/// Answers outside the decision threads, one request at a time. If the sidecar is stopping,
/// immediately and without reasons: a restart does not wait for explanations.
async fn explain_in_queue(
    app: &Arc<App>,
    work: impl Fn(&App, Reasons) -> Result<Reply, Failure> + Clone + Send + 'static,
) -> Result<Reply, Failure> {
    let (own, explain) = (Arc::clone(app), work.clone());
    tokio::select! {
        biased;
        () = app.stops() => work(app, Reasons::Stopping),
        explained = app.explanations.run("explain", move || explain(&own, Reasons::Told)) => explained?,
    }
}

pub(super) async fn read(request: &mut Request, max: usize) -> Result<Bytes, Failure> {
    if !request.content_type_is_json() {
        return Err(Failure::new(
            Kind::Invalid,
            "content_type",
            "send the body as `Content-Type: application/json`",
        ));
    }
    request.body(max).await
}

/// `x-kwic-at-least: REVISION`: waits until decisions see the caller's change.
pub(super) async fn wait_for_revision(app: &App, request: &Request) -> Result<(), Failure> {
    let wanted = match request.at_least() {
        SoleHeader::Absent => return Ok(()),
        SoleHeader::Text(wanted) => wanted.trim().parse().ok().map(Revision),
        SoleHeader::Unclear => None,
    };
    let Some(wanted) = wanted else {
        return Err(Failure::new(
            Kind::Invalid,
            "bad_revision",
            "`x-kwic-at-least` must be a revision: a whole number, as a change answers it",
        ));
    };
    if app.directory.revision() >= wanted {
        return Ok(());
    }
    // Each waiting request holds a connection: some must be left for others.
    let most = (app.config.limits.connections_max / 2).max(1);
    let Ok(_place) = app.waiting.take(&[(&[b"revision"], most)]) else {
        return Err(Failure::new(
            Kind::Busy,
            "too_many_waiting",
            format!(
                "{} for a revision already: try again in a moment",
                plural(most, "request waits", "requests wait")
            ),
        ));
    };
    let wait = Duration::from_millis(app.config.decision.wait_ms);
    tokio::select! {
        reached = app.directory.reached(wanted, wait) => if reached { return Ok(()) },
        // No more changes will come.
        () = app.stops() => {}
    }
    Err(Failure::new(
        Kind::Busy,
        "revision_not_reached",
        format!(
            "revision {wanted} is not reached yet, only {}: try again",
            app.directory.revision()
        ),
    ))
}

/// Adds `x-kwic-stale`: the seconds since this node was last known to be up to date.
pub(super) fn stale_header(reply: Reply, stale: Stale) -> Reply {
    reply.header("x-kwic-stale", stale.seconds.to_string())
}

/// The revision and the digest of an answer, read before the first decision, so that no answer
/// names a newer revision than it used. A batch has one.
pub(super) struct AnswerBasis<'a> {
    app: &'a App,
    revision: Revision,
    policies: &'a Snapshot,
    /// Whether the node is stale.
    stale: Option<Stale>,
}

impl<'a> AnswerBasis<'a> {
    pub(super) fn now(app: &'a App, policies: &'a Snapshot) -> Self {
        Self { app, revision: app.directory.revision(), policies, stale: app.stale() }
    }

    /// Whether the node is stale, and denies every decision for it.
    pub(super) fn denies(&self) -> bool {
        self.stale.is_some_and(|stale| stale.denies)
    }

    fn decide(&self, query: &Query<'_>, explain: bool) -> Decision {
        match self.stale {
            Some(stale) if stale.denies => deny_as_stale(self.app, stale, explain),
            _ => decide(self.app, self.policies, query, explain),
        }
    }

    /// Decides one query, and answers it.
    fn single(&self, query: &Query<'_>, explain: bool) -> Reply {
        let decision = self.decide(query, explain);
        if decision.explanation.is_none() {
            return self.stamp(Reply::json(if decision.allowed { ALLOW } else { DENY }));
        }
        let mut out = Vec::new();
        write(&mut out, &decision);
        self.stamp(Reply::json(out))
    }

    /// Adds the headers with revision and digest; each thread caches the last pair.
    pub(super) fn stamp(&self, mut reply: Reply) -> Reply {
        if let Some(stale) = self.stale {
            reply = stale_header(reply, stale);
        }
        thread_local! {
            static LAST: RefCell<Option<(Revision, Digest, AnswerHeaders)>> = const { RefCell::new(None) };
        }
        LAST.with_borrow_mut(|last| {
            let (revision, digest) = (self.revision, self.policies.digest());
            let fits = |kept: &&mut (Revision, Digest, AnswerHeaders)| {
                kept.0 == revision && kept.1 == digest
            };
            if let Some((_, _, stamp)) = last.as_mut().filter(fits) {
                return reply.stamp(stamp);
            }
            let stamp = AnswerHeaders::new(revision.0, self.policies.digest_hex());
            let reply = reply.stamp(&stamp);
            *last = Some((revision, digest, stamp));
            reply
        })
    }

    /// Answers one query that may ask for reasons.
    fn one(&self, body: &RequestBody<'_>, told: Reasons) -> Result<Reply, Failure> {
        let query = body.single().query()?;
        if !body.explain || matches!(told, Reasons::Told) {
            return Ok(self.single(&query, body.explain));
        }
        let mut out = Vec::new();
        write_unexplained(&mut out, self.decide(&query, false).allowed, told);
        Ok(self.stamp(Reply::json(out)))
    }

    /// Answers queries in order, and yields to others in between.
    async fn batch(&self, asked: &[Result<Query<'_>, Failure>], semantic: BatchSemantic) -> Reply {
        let mut answers = Answers::new(self, semantic, asked.len());
        let mut work = 0;
        for query in asked {
            let more = work_of(query);
            if work > 0 && work + more > WORK_AT_ONCE {
                work = 0;
                tokio::task::yield_now().await;
            }
            work += more;
            if !answers.add(query, Reasons::Unasked) {
                break;
            }
        }
        answers.end()
    }

    /// The same in one go; `None` if that would delay others.
    fn batch_at_once(
        &self,
        asked: &[Result<Query<'_>, Failure>],
        semantic: BatchSemantic,
    ) -> Option<Reply> {
        if asked.iter().map(work_of).sum::<usize>() > WORK_AT_ONCE {
            return None;
        }
        let mut answers = Answers::new(self, semantic, asked.len());
        // Stops at the first decision that ends the batch.
        asked.iter().all(|query| answers.add(query, Reasons::Unasked));
        Some(answers.end())
    }
}

/// The work of a batch that one decision may have to wait for: some 64 queries that Cedar
/// evaluates, a millisecond or two.
const WORK_AT_ONCE: usize = 64 * WORK_OF_ONE;

/// The cost of a query beside its values, which cost one each.
const WORK_OF_ONE: usize = 16;

fn work_of(query: &Result<Query<'_>, Failure>) -> usize {
    WORK_OF_ONE + query.as_ref().map_or(0, values)
}

/// Whether an item of a batch gets reasons.
#[derive(Clone, Copy)]
enum Reasons {
    Unasked,
    Told,
    /// More items than one request may have explained.
    Beyond,
    /// The sidecar is stopping.
    Stopping,
}

/// The response to a batch, under construction.
struct Answers<'b> {
    basis: &'b AnswerBasis<'b>,
    semantic: BatchSemantic,
    out: Vec<u8>,
    answered: usize,
}

impl<'b> Answers<'b> {
    fn new(basis: &'b AnswerBasis<'b>, semantic: BatchSemantic, items: usize) -> Self {
        basis.app.telemetry.batched(items);
        let mut out = Vec::with_capacity(items * (DENY.len() + 1) + 20);
        out.extend_from_slice(br#"{"evaluations":["#);
        Self { basis, semantic, out, answered: 0 }
    }

    /// Answers the next item; an invalid query is a deny. Returns false if the rest is not to be
    /// answered.
    fn add(&mut self, query: &Result<Query<'_>, Failure>, reasons: Reasons) -> bool {
        if self.answered > 0 {
            self.out.push(b',');
        }
        self.answered += 1;
        let allowed = match query {
            Ok(query) => {
                let decision = self.basis.decide(query, matches!(reasons, Reasons::Told));
                match reasons {
                    Reasons::Beyond | Reasons::Stopping => {
                        write_unexplained(&mut self.out, decision.allowed, reasons);
                    }
                    Reasons::Unasked | Reasons::Told => write(&mut self.out, &decision),
                }
                decision.allowed
            }
            Err(failure) => {
                let explain = !matches!(reasons, Reasons::Unasked);
                write_malformed(&mut self.out, failure, explain);
                false
            }
        };
        match self.semantic {
            BatchSemantic::ExecuteAll => true,
            BatchSemantic::DenyOnFirstDeny => allowed,
            BatchSemantic::PermitOnFirstPermit => !allowed,
        }
    }

    fn end(mut self) -> Reply {
        self.out.extend_from_slice(b"]}");
        self.basis.stamp(Reply::json(self.out))
    }
}

fn write(out: &mut Vec<u8>, decision: &Decision) {
    let plain = if decision.allowed { ALLOW } else { DENY };
    let Some(why) = &decision.explanation else {
        out.extend_from_slice(plain);
        return;
    };
    let explained = Explained {
        decision: decision.allowed,
        context: Context {
            reason: why.reason.as_str(),
            message: &why.sentence,
            policies: &why.policies,
            roles: why.roles.iter().map(|role| role.as_str()).collect(),
        },
    };
    write_or(out, plain, &explained);
}

fn write_unexplained(out: &mut Vec<u8>, decision: bool, why: Reasons) {
    let most = limits::EXPLAINED_ITEMS_MAX;
    let message = &match why {
        Reasons::Stopping => "this sidecar is stopping: ask for the reasons again".to_owned(),
        _ => format!("a batch explains its first {most} items: ask about this one again"),
    };
    let context = UnexplainedContext { reason: "not_explained", message };
    let plain = if decision { ALLOW } else { DENY };
    write_or(out, plain, &Unexplained { decision, context });
}

/// Writes an answer, or the plain one if it cannot be serialized.
fn write_or(out: &mut Vec<u8>, plain: &[u8], answer: &impl Serialize) {
    let begun = out.len();
    if serde_json::to_writer(&mut *out, answer).is_err() {
        out.truncate(begun);
        out.extend_from_slice(plain);
    }
}

fn write_malformed(out: &mut Vec<u8>, failure: &Failure, explain: bool) {
    let malformed = Malformed {
        decision: false,
        context: MalformedContext { error: ItemError { status: 400, message: &failure.public } },
    };
    if explain { write_or(out, DENY, &malformed) } else { out.extend_from_slice(DENY) }
}
