//! One decision from the live policies and the directory.
//!
//! Synchronous, reads memory only, cannot fail, and fails closed: any doubt is a deny. Takes no
//! lock that a writer can hold.

use crate::app::App;
use crate::directory::Directory;
use crate::domain::decision::Explanation;
use crate::domain::{
    Decision, EntityRef, Failure, MemberAccess, MemberView, Query, Reason, plural,
};
use crate::engine::{Members, QueryContext, Snapshot};
use crate::services::caller::Caller;
use crate::services::cross_check_fallback::evaluate_trusted;
use crate::services::permits::Permit;
use crate::services::rights::Right;
use crate::services::session_auth::{self, SignedIn};
use crate::services::token_auth::TokenHolder;
use crate::staleness::Stale;

/// The type of a subject that is a session token.
const SESSION: &str = "session";

/// The directory as the engine's members.
impl Members for Directory {
    fn with<R>(&self, id: &str, read: impl FnOnce(MemberView<'_>) -> R) -> Option<R> {
        self.with(id, read)
    }

    fn access<R>(&self, id: &str, read: impl FnOnce(MemberAccess<'_>) -> R) -> Option<R> {
        self.access(id, read)
    }
}

/// What a query is decided in: these members, and the account of a query that names none.
pub(super) fn query_context<'w, M: Members>(app: &'w App, members: &'w M) -> QueryContext<'w, M> {
    let single_account = app.config.decision.single_account.as_ref().map(|slug| slug.as_str());
    QueryContext { members, single_account }
}

/// The directory, where one member has the role of the API token that a program acts by.
struct ActingAs<'d> {
    directory: &'d Directory,
    holder: &'d TokenHolder,
}

impl Members for ActingAs<'_> {
    fn with<R>(&self, id: &str, read: impl FnOnce(MemberView<'_>) -> R) -> Option<R> {
        if id != self.holder.member().as_str() {
            return self.directory.with(id, read);
        }
        let role = self.holder.role().as_str();
        self.directory.with(id, |maker| read(MemberView { role, ..maker }))
    }
}

/// The members of one account; all others are unknown.
struct OfAccount<'d> {
    directory: &'d Directory,
    account: &'d str,
}

impl Members for OfAccount<'_> {
    fn with<R>(&self, id: &str, read: impl FnOnce(MemberView<'_>) -> R) -> Option<R> {
        self.directory.with(id, |view| (view.account == self.account).then(|| read(view))).flatten()
    }
}

/// The deny of a node that is stale. It is counted like any other.
#[must_use]
pub fn deny_as_stale(app: &App, stale: Stale, explain: bool) -> Decision {
    let begun = app.telemetry.begin_decision();
    app.telemetry.decided(&begun, false, 0);
    let explanation = explain.then(|| Explanation {
        reason: Reason::Stale,
        sentence: format!(
            "this node could not follow the log that the nodes share for {}, and denies everything until it does: `kwic-team doctor` says why",
            plural(stale.seconds, "second", "seconds")
        ),
        policies: Vec::new(),
        roles: Vec::new(),
    });
    Decision { allowed: false, erred: 0, explanation }
}

/// Decides one query with these policies; `explain` adds the reasons. Load `policies` once for each response,
/// and check staleness before: this function does not.
#[must_use]
pub fn decide(app: &App, policies: &Snapshot, query: &Query<'_>, explain: bool) -> Decision {
    let begun = app.telemetry.begin_decision();
    let world = query_context(app, &*app.directory);
    let signed_in = signed_in(app, query);
    let query = &match &signed_in {
        Some(signed_in) => as_member(query, signed_in.member().as_str()),
        None => *query,
    };
    let due = app.cross_check.is_due(begun.number()).then(|| app.directory.revision());
    let decision = evaluate_trusted(app, policies, query, &world, explain);
    if let Some(revision) = due {
        app.cross_check.leave(query, decision.allowed, revision, policies.digest());
    }
    if app.shadow.is_due(begun.number()) {
        app.shadow.leave(query);
    }
    app.telemetry.decided(&begun, decision.allowed, decision.erred);
    decision
}

/// Decides one query about the holder of an API token.
#[must_use]
pub fn decide_for(app: &App, holder: &TokenHolder, query: &Query<'_>) -> Decision {
    let begun = app.telemetry.begin_decision();
    let members = ActingAs { directory: &app.directory, holder };
    let decision =
        evaluate_trusted(app, &app.policies.load(), query, &query_context(app, &members), false);
    app.telemetry.decided(&begun, decision.allowed, decision.erred);
    decision
}

/// Decides one query with its reasons, to try out the policies: the decision is not counted. A
/// member of another account is treated as unknown.
///
/// # Errors
/// `Denied` `not_allowed`; `Busy`, when the disk fails.
pub async fn try_out(
    app: &App,
    caller: Caller,
    policies: &Snapshot,
    query: &Query<'_>,
) -> Result<Decision, Failure> {
    let permit = Permit::authorize(app, caller, [Right::VIEW_SETTINGS]).await?;
    let members = OfAccount { directory: &app.directory, account: permit.account().as_str() };
    Ok(evaluate_trusted(app, policies, query, &query_context(app, &members), true))
}

/// Who is signed in with the session that is the subject, if it is one.
pub(super) fn signed_in(app: &App, query: &Query<'_>) -> Option<SignedIn> {
    let is_session = query.subject.kind == SESSION;
    is_session.then(|| session_auth::authenticate(app, query.subject.id)).flatten()
}

/// The same query about the signed-in member, with the caller's attributes.
pub(super) fn as_member<'q>(query: &Query<'q>, id: &'q str) -> Query<'q> {
    Query { subject: EntityRef { kind: "user", id, ..query.subject }, ..*query }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::domain::Value;

    /// A `forbid` that asks for it must see it by whichever subject the question names the member.
    #[test]
    fn what_is_said_of_a_session_is_said_of_its_member() {
        let said = [(Cow::Borrowed("locked"), Value::Bool(true))];
        let resource = EntityRef { kind: "chat", id: "1", properties: &[] };
        let subject = EntityRef { kind: SESSION, id: "token", properties: &said };
        let asked =
            Query { subject, action: "view", action_properties: &[], resource, context: &[] };
        let of_member = as_member(&asked, "ann").subject;
        assert_eq!((of_member.kind, of_member.id), ("user", "ann"));
        assert_eq!(of_member.properties, said);
    }
}
