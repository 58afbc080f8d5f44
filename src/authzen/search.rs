//! `POST /access/v1/search/subject`, `/resource` and `/action`: who may, on what, and which actions.
//!
//! Searches run outside the decision threads, one at a time. A token continues one search, and belongs
//! to what was asked.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Serialize;

use super::evaluation::{AnswerBasis, read, wait_for_revision};
use super::request_reader::RequestBody;
use super::strict_json;
use crate::app::App;
use crate::domain::digest::Hasher;
use crate::domain::{Digest, EntityRef, Failure, Kind, Query, Value, limits, plural};
use crate::http::{Reply, Request};
use crate::services::access_search::{SearchPage, SearchPosition, Searched, search as find};
use crate::services::search_token::{PageToken, PageTokenFault};

#[derive(Serialize)]
struct Answer<'a> {
    page: AnsweredPage,
    results: Vec<Found<'a>>,
}

#[derive(Serialize)]
struct AnsweredPage {
    next_token: String,
    count: usize,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Found<'a> {
    Entity { r#type: &'a str, id: String },
    Action { name: String },
}

/// Answers one page of a search.
///
/// # Errors
/// `Invalid`, when the body is none, or its token is not one of this search; `TooLarge`; `Busy`, when
/// the revision that the caller asks for is not reached, or too many search.
pub async fn search(
    app: &Arc<App>,
    request: &mut Request,
    searched: Searched,
) -> Result<Reply, Failure> {
    let body = read(request, app.config.limits.evaluation_body_bytes_max).await?;
    wait_for_revision(app, request).await?;
    // A body at fault is refused here: only what can be answered waits behind other searches.
    SearchBody::read(app, &strict_json::parse(&body)?, searched)?;
    let own = Arc::clone(app);
    app.searches
        .run("search", move || {
            let value = strict_json::parse(&body)?;
            SearchBody::read(&own, &value, searched)?.answer(&own, searched)
        })
        .await?
}

/// What a body asks for.
struct SearchBody<'v> {
    query: Query<'v>,
    digest: Digest,
    limit: usize,
    after: Option<SearchPosition>,
}

impl<'v> SearchBody<'v> {
    fn read(app: &App, value: &'v Value<'v>, searched: Searched) -> Result<Self, Failure> {
        let body = RequestBody::read(value)?;
        let query = body.single().search(searched)?;
        let page = body.page()?;
        let digest = digest(&query, searched);
        let Some(text) = page.token else {
            let limit = page.limit.unwrap_or(limits::SEARCH_RESULTS);
            return Ok(Self { query, digest, limit, after: None });
        };
        let token = unsealed(app, text, &digest)?;
        if page.limit.is_some_and(|limit| limit != token.limit) {
            return Err(bad(format!(
                "`page.limit` was {} on the page before: send the same, or leave it out",
                token.limit
            )));
        }
        Ok(Self { query, digest, limit: token.limit, after: Some(token.after) })
    }

    fn answer(self, app: &App, searched: Searched) -> Result<Reply, Failure> {
        let policies = app.policies.load();
        let basis = AnswerBasis::now(app, &policies);
        let Self { query, digest, limit, after } = self;
        // A stale node that denies every decision has no results.
        let SearchPage { found, next } = if basis.denies() {
            SearchPage::default()
        } else {
            find(app, &policies, &query, searched, after, limit)
        };
        let next_token = match next {
            Some(after) => PageToken::sealed(app, &digest, limit, after)?,
            None => String::new(),
        };
        let page = AnsweredPage { next_token, count: found.len() };
        let kind = match searched {
            Searched::Subject => query.subject.kind,
            Searched::Resource | Searched::Action => query.resource.kind,
        };
        let entry = |it| match searched {
            Searched::Action => Found::Action { name: it },
            Searched::Subject | Searched::Resource => Found::Entity { r#type: kind, id: it },
        };
        let results = found.into_iter().map(entry).collect();
        Ok(basis.stamp(Reply::json_of(&Answer { page, results })))
    }
}

fn unsealed(app: &App, text: &str, digest: &Digest) -> Result<PageToken, Failure> {
    PageToken::unsealed(app, text, digest).map_err(|fault| {
        bad(match fault {
            PageTokenFault::Foreign => {
                "`page.token` is not a token of this search: send the token of the page before with the same subject, action, resource and context, or begin without one".to_owned()
            }
            PageTokenFault::Expired => format!(
                "`page.token` has expired, after {}: begin again without a token",
                plural(limits::SEARCH_TOKEN_HOURS, "hour", "hours")
            ),
        })
    })
}

/// What a token belongs to: the query, in whichever order its keys are.
fn digest(query: &Query<'_>, searched: Searched) -> Digest {
    let mut hasher = Hasher::default();
    hasher.part(&[searched as u8]);
    for EntityRef { kind, id, properties } in [query.subject, query.resource] {
        hasher.part(kind.as_bytes());
        hasher.part(id.as_bytes());
        add_record(&mut hasher, properties);
    }
    hasher.part(query.action.as_bytes());
    add_record(&mut hasher, query.action_properties);
    add_record(&mut hasher, query.context);
    hasher.finish()
}

fn add_record(hasher: &mut Hasher, record: &[(Cow<'_, str>, Value<'_>)]) {
    let mut members: Vec<_> = record.iter().collect();
    members.sort_by(|one, other| one.0.cmp(&other.0));
    hasher.part(&members.len().to_le_bytes());
    for (name, value) in members {
        hasher.part(name.as_bytes());
        add_value(hasher, value);
    }
}

/// Recursion is limited by the depth of the body.
fn add_value(hasher: &mut Hasher, value: &Value<'_>) {
    hasher.part(value.kind().as_bytes());
    match value {
        Value::Null => {}
        Value::Bool(flag) => hasher.part(&[u8::from(*flag)]),
        Value::Long(number) => hasher.part(&number.to_le_bytes()),
        Value::Double(number) => hasher.part(&number.to_le_bytes()),
        Value::String(text) => hasher.part(text.as_bytes()),
        Value::List(items) => {
            hasher.part(&items.len().to_le_bytes());
            items.iter().for_each(|item| add_value(hasher, item));
        }
        Value::Record(record) => add_record(hasher, record),
    }
}

fn bad(message: String) -> Failure {
    Failure::new(Kind::Invalid, "bad_request", message)
}
