//! `POST /access/v1/plan`: on which resources of a type a subject may do an action, as a filter for the
//! caller's database.
//!
//! Of this project, not of AuthZEN. The body is that of a resource search. Plans are made outside the
//! threads that decide, one at a time, and are never wider than the decisions.

use std::sync::Arc;

use serde::Serialize;
use serde_json::Value as Json;

use super::evaluation::{AnswerBasis, read, wait_for_revision};
use super::request_reader::RequestBody;
use super::strict_json;
use crate::app::App;
use crate::domain::{Failure, Kind, Query, Value};
use crate::engine::{Plan, PlannedFilter};
use crate::http::{Reply, Request};
use crate::services::access_search::Searched;
use crate::services::plan::plan as make;

#[derive(Serialize)]
struct Answer {
    /// `always`, `never` or `filter`.
    plan: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    filter: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sql: Option<Sql>,
}

#[derive(Serialize)]
struct Sql {
    condition: String,
    parameters: Vec<Json>,
}

/// Answers a plan.
///
/// # Errors
/// `Invalid`, when the body is none, or a policy cannot be expressed as a filter; `TooLarge`; `Busy`, when the
/// revision that the caller asks for is not reached, too many wait, or the engine is not trusted.
pub async fn plan(app: &Arc<App>, request: &mut Request) -> Result<Reply, Failure> {
    let body = read(request, app.config.limits.evaluation_body_bytes_max).await?;
    wait_for_revision(app, request).await?;
    // A body at fault is refused here: only what can be answered waits behind others.
    query(&strict_json::parse(&body)?)?;
    let own = Arc::clone(app);
    app.searches
        .run("plan", move || {
            let value = strict_json::parse(&body)?;
            answer(&own, &query(&value)?)
        })
        .await?
}

fn query<'v>(value: &'v Value<'v>) -> Result<Query<'v>, Failure> {
    let query = RequestBody::read(value)?.single().search(Searched::Resource)?;
    if query.resource.properties.is_empty() {
        return Ok(query);
    }
    Err(Failure::new(
        Kind::Invalid,
        "bad_request",
        "a plan is for all resources of a type: leave `resource.properties` out, and add what you know of them to the condition",
    ))
}

fn answer(app: &App, query: &Query<'_>) -> Result<Reply, Failure> {
    let policies = app.policies.load();
    let basis = AnswerBasis::now(app, &policies);
    // A stale node that denies every decision allows nothing.
    let plan = if basis.denies() { Plan::Never } else { make(app, &policies, query)? };
    let (plan, filter, sql) = match plan {
        Plan::Always => ("always", None, None),
        Plan::Never => ("never", None, None),
        Plan::Filter(PlannedFilter { json, sql, parameters }) => {
            ("filter", Some(json), Some(Sql { condition: sql, parameters }))
        }
    };
    Ok(basis.stamp(Reply::json_of(&Answer { plan, filter, sql })))
}
