//! `POST /access/v1/evaluation` and `/access/v1/evaluations`: one question, or a batch.
//!
//! From the whole body to the answer nothing waits. An answer is `{"decision":...}` and nothing
//! else unless `options.explain` asks for more.

use std::cell::RefCell;
use std::time::Duration;

use serde::Serialize;

use super::json;
use super::plain;
use super::wire::{Body, Semantic};
use crate::app::App;
use crate::domain::{Decision, Digest, Failure, Kind, Query, Revision};
use crate::engine::Snapshot;
use crate::flows::decide::decide;
use crate::http::{Bytes, Reply, Request, Sole, Stamp};

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

/// An item that was no question.
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

/// Answers one question.
///
/// # Errors
/// `Invalid`, when the body is none; `TooLarge`; `Busy`, when the revision that the caller asks
/// for is not reached.
pub async fn evaluation(app: &App, request: &mut Request) -> Result<Reply, Failure> {
    let body = read(request, app.config.limits.evaluation_body_bytes_max).await?;
    wait_for_revision(app, request).await?;
    answer(app, &body)
}

/// From the bytes of one question to its answer.
///
/// # Errors
/// `Invalid`, when they are no question.
pub fn answer(app: &App, body: &[u8]) -> Result<Reply, Failure> {
    let policies = app.policies.load();
    let basis = Basis::now(app, &policies);
    if let Some(plain) = plain::Plain::read(body)
        && let Some(query) = plain.query()
    {
        return Ok(basis.stamp(single(&basis.decide(&query, false))));
    }
    let value = json::parse(body)?;
    let body = Body::read(&value)?;
    let decision = basis.decide(&body.single().query()?, body.explain);
    Ok(basis.stamp(single(&decision)))
}

/// Answers a batch, or one question where there is no batch.
///
/// # Errors
/// As [`evaluation`]; a malformed item is a deny of that item alone.
pub async fn evaluations(app: &App, request: &mut Request) -> Result<Reply, Failure> {
    let body = read(request, app.config.limits.batch_body_bytes_max).await?;
    wait_for_revision(app, request).await?;
    answer_batch(app, &body)
}

/// From the bytes of a batch, or of one question, to the answer.
///
/// # Errors
/// `Invalid`, when they are neither.
pub fn answer_batch(app: &App, body: &[u8]) -> Result<Reply, Failure> {
    let policies = app.policies.load();
    let basis = Basis::now(app, &policies);
    let most = app.config.limits.batch_items_max;
    if let Some(batch) = plain::Batch::read(body)
        && let Some(queries) = batch.queries(most)
    {
        let asked = queries.into_iter().map(Ok);
        return Ok(basis.batch(asked, Semantic::ExecuteAll, false));
    }
    let value = json::parse(body)?;
    let body = Body::read(&value)?;
    let semantic = body.semantic()?;
    let Some(items) = body.items(most)? else {
        let decision = basis.decide(&body.single().query()?, body.explain);
        return Ok(basis.stamp(single(&decision)));
    };
    let sources: Vec<_> = items.iter().map(|item| body.item(item)).collect();
    let asked = sources.iter().map(|source| source.as_ref().map_err(Clone::clone)?.query());
    Ok(basis.batch(asked, semantic, body.explain))
}

async fn read(request: &mut Request, max: usize) -> Result<Bytes, Failure> {
    if !request.content_type_is_json() {
        return Err(Failure::new(
            Kind::Invalid,
            "content_type",
            "send the body as `Content-Type: application/json`",
        ));
    }
    request.body(max).await
}

/// `x-kwic-at-least: REVISION`: the caller knows of a change and wants it seen.
async fn wait_for_revision(app: &App, request: &Request) -> Result<(), Failure> {
    let wanted = match request.at_least() {
        Sole::Absent => return Ok(()),
        Sole::Text(wanted) => wanted.trim().parse().ok().map(Revision),
        Sole::Unclear => None,
    };
    let Some(wanted) = wanted else {
        return Err(Failure::new(
            Kind::Invalid,
            "bad_revision",
            "`x-kwic-at-least` must be a revision: a whole number, as a change answers it",
        ));
    };
    let wait = Duration::from_millis(app.config.decision.wait_ms);
    if app.directory.revision() >= wanted {
        return Ok(());
    }
    tokio::select! {
        reached = app.directory.reached(wanted, wait) => if reached { return Ok(()) },
        // No change comes any more.
        () = app.stops() => {}
    }
    Err(Failure::new(
        Kind::Busy,
        "revision_not_reached",
        format!("revision {wanted} is not reached yet, {} is: try again", app.directory.revision()),
    ))
}

/// What an answer rests on: read before the first question is decided, so that no answer claims a
/// change that it did not see, and one for a whole batch.
struct Basis<'a> {
    app: &'a App,
    revision: Revision,
    policies: &'a Snapshot,
}

impl<'a> Basis<'a> {
    fn now(app: &'a App, policies: &'a Snapshot) -> Self {
        Self { app, revision: app.directory.revision(), policies }
    }

    fn decide(&self, query: &Query<'_>, explain: bool) -> Decision {
        decide(self.app, self.policies, query, explain)
    }

    /// Answers questions in order; what is no question is a deny of its own.
    fn batch<'q>(
        &self,
        asked: impl ExactSizeIterator<Item = Result<Query<'q>, Failure>>,
        semantic: Semantic,
        explain: bool,
    ) -> Reply {
        self.app.telemetry.batched(asked.len());
        let mut out = Vec::with_capacity(asked.len() * (DENY.len() + 1) + 20);
        out.extend_from_slice(br#"{"evaluations":["#);
        for (index, query) in asked.enumerate() {
            if index > 0 {
                out.push(b',');
            }
            let allowed = match query {
                Ok(query) => {
                    let decision = self.decide(&query, explain);
                    write(&mut out, &decision);
                    decision.allowed
                }
                Err(failure) => {
                    write_malformed(&mut out, &failure, explain);
                    false
                }
            };
            match semantic {
                Semantic::DenyOnFirstDeny if !allowed => break,
                Semantic::PermitOnFirstPermit if allowed => break,
                _ => {}
            }
        }
        out.extend_from_slice(b"]}");
        self.stamp(Reply::json(out))
    }

    /// The stamp changes when members or policies do; each thread keeps the last one.
    fn stamp(&self, reply: Reply) -> Reply {
        thread_local! {
            static LAST: RefCell<Option<(Revision, Digest, Stamp)>> = const { RefCell::new(None) };
        }
        LAST.with_borrow_mut(|last| {
            let (revision, digest) = (self.revision, self.policies.digest());
            let fits =
                |kept: &&mut (Revision, Digest, Stamp)| kept.0 == revision && kept.1 == digest;
            if let Some((_, _, stamp)) = last.as_mut().filter(fits) {
                return reply.stamp(stamp);
            }
            let stamp = Stamp::new(revision.0, self.policies.digest_hex());
            let reply = reply.stamp(&stamp);
            *last = Some((revision, digest, stamp));
            reply
        })
    }
}

fn single(decision: &Decision) -> Reply {
    if decision.explanation.is_none() {
        return Reply::json(if decision.allowed { ALLOW } else { DENY });
    }
    let mut out = Vec::new();
    write(&mut out, decision);
    Reply::json(out)
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
    let begun = out.len();
    if serde_json::to_writer(&mut *out, &explained).is_err() {
        out.truncate(begun);
        out.extend_from_slice(plain);
    }
}

fn write_malformed(out: &mut Vec<u8>, failure: &Failure, explain: bool) {
    let malformed = Malformed {
        decision: false,
        context: MalformedContext { error: ItemError { status: 400, message: &failure.public } },
    };
    let begun = out.len();
    if !explain || serde_json::to_writer(&mut *out, &malformed).is_err() {
        out.truncate(begun);
        out.extend_from_slice(DENY);
    }
}
