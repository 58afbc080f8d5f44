//! `GET /.well-known/authzen-configuration`: the URL of the API, from `decision.public_url`.
//!
//! Never derived from the `Host` of the request, which would let a caller direct others to an
//! address of its choice.

use serde::Serialize;

use crate::app::App;
use crate::domain::{Failure, Kind};
use crate::http::Reply;

/// The registered well-known path.
const WELL_KNOWN: &str = "/.well-known/authzen-configuration";

#[derive(Serialize)]
struct Metadata<'m> {
    policy_decision_point: &'m str,
    access_evaluation_endpoint: String,
    access_evaluations_endpoint: String,
    search_subject_endpoint: String,
    search_resource_endpoint: String,
    search_action_endpoint: String,
}

/// The document, at the well-known path followed by the path of the public URL.
///
/// # Errors
/// `NotFound`, when no public address is configured, or another path is asked for.
pub fn metadata(app: &App, path: &str) -> Result<Reply, Failure> {
    let Some(base) = app.config.decision.public_url.as_deref() else {
        return Err(not_found("set `decision.public_url` to the https address that callers use"));
    };
    let base = base.trim_end_matches('/');
    let host = base.split_once("://").map_or(base, |(_, rest)| rest);
    let tenant = host.find('/').and_then(|slash| host.get(slash..)).unwrap_or_default();
    if path.strip_prefix(WELL_KNOWN) != Some(tenant) {
        return Err(not_found("this is not the path of the configured `decision.public_url`"));
    }
    let document = Metadata {
        policy_decision_point: base,
        access_evaluation_endpoint: format!("{base}/access/v1/evaluation"),
        access_evaluations_endpoint: format!("{base}/access/v1/evaluations"),
        search_subject_endpoint: format!("{base}/access/v1/search/subject"),
        search_resource_endpoint: format!("{base}/access/v1/search/resource"),
        search_action_endpoint: format!("{base}/access/v1/search/action"),
    };
    Ok(Reply::json_of(&document).header("cache-control", "max-age=3600".to_owned()))
}

fn not_found(next: &str) -> Failure {
    Failure::new(
        Kind::NotFound,
        "no_metadata",
        format!("there is no metadata document here: {next}"),
    )
}
