//! A plan: on which resources of a type a subject may do an action. [`crate::engine::Plan`] says how.

use super::decide::{as_member, query_context, signed_in};
use crate::app::App;
use crate::domain::{Failure, Kind, Query};
use crate::engine::{Plan, Snapshot};

/// Plans a query, whose resource has a type and no id.
///
/// # Errors
/// `Invalid` `not_planned`, when no filter can express it; `Busy` `distrusted`, while the engine's decisions
/// are those of Cedar's own authorizer.
pub fn plan(app: &App, policies: &Snapshot, query: &Query<'_>) -> Result<Plan, Failure> {
    if app.cross_check.is_distrusted() {
        return Err(Failure::new(
            Kind::Busy,
            "distrusted",
            "a cross-check found a wrong decision, so no plan is made: ask for each resource, and see the log",
        ));
    }
    let signed_in = signed_in(app, query);
    let query = match &signed_in {
        Some(signed_in) => as_member(query, signed_in.member().as_str()),
        None => *query,
    };
    policies
        .plan(&query, &query_context(app, &*app.directory))
        .map_err(|why| Failure::new(Kind::Invalid, "not_planned", why))
}
