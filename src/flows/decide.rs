//! One decision: the live policies, the directory, an answer.
//!
//! Synchronous, reads memory only, and cannot fail: whatever is in doubt is a deny. Takes no lock
//! that a writer can hold.

use crate::app::App;
use crate::clock;
use crate::directory::Directory;
use crate::domain::{Decision, MemberView, Query};
use crate::engine::{Members, Snapshot, World};

/// The directory, as the engine asks it.
struct InDirectory<'d>(&'d Directory);

impl Members for InDirectory<'_> {
    fn with<R>(&self, id: &str, read: impl FnOnce(MemberView<'_>) -> R) -> Option<R> {
        self.0.with(id, read)
    }
}

/// Answers one question by these policies; `explain` adds why. Who asks several questions for one
/// answer, or says by which policies it was given, loads them once.
#[must_use]
pub fn decide(app: &App, policies: &Snapshot, query: &Query<'_>, explain: bool) -> Decision {
    let began = clock::monotonic();
    let world = World {
        members: &InDirectory(&app.directory),
        single_account: app.config.decision.single_account.as_ref().map(|slug| slug.as_str()),
    };
    let decision = policies.decide(query, &world, explain);
    app.telemetry.decided(decision.allowed, decision.erred, began.elapsed());
    decision
}
