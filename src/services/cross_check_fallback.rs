//! What every answer of the live policies goes through: the cache, the slices and the compiled policies
//! are used until a cross-check has found one of their decisions wrong.

use crate::app::App;
use crate::domain::{Decision, Query};
use crate::engine::{Members, QueryContext, Snapshot};

/// The engine's decision while it is trusted; otherwise that of Cedar's own authorizer.
pub(super) fn evaluate_trusted<M: Members>(
    app: &App,
    policies: &Snapshot,
    query: &Query<'_>,
    world: &QueryContext<'_, M>,
    explain: bool,
) -> Decision {
    if !app.cross_check.is_distrusted() {
        return policies.decide(query, world, explain);
    }
    if explain {
        policies.explain_by_whole_set(query, world)
    } else {
        policies.decide_by_whole_set(query, world)
    }
}
