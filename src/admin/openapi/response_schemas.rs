//! JSON Schema of outputs: the documents of `response_documents`.

use serde_json::{Map, Value, json};

use super::request_schemas::Inputs;
use super::schema_builder::{
    SchemaObject, any_of, count, flag, keyed, list, moment, object, or_null, reference, text, word,
};
use crate::domain::{
    AuditEvent, DeliveryState, GuardState, InviteState, PolicyCause, PolicyOutcome, Status,
};
use crate::engine::Cell;
use crate::services::access_review::{FindingKind, Severity};

/// A successful response with this document.
pub(super) fn answer(schema: Value) -> Value {
    success(keyed([("application/json", keyed([("schema", schema)]))]))
}

pub(super) fn member_file() -> Value {
    success(json!({"text/csv": {"schema": text()}, "application/jsonl": {"schema": text()}}))
}

/// Server-sent events, an endless stream.
pub(super) fn events() -> Value {
    success(json!({"text/event-stream": {"schema": text()}}))
}

fn success(content: Value) -> Value {
    keyed([
        ("description", json!("Done.")),
        ("headers", keyed([("x-request-id", request_id())])),
        ("content", content),
    ])
}

/// The header with the id of the request in the log.
pub(super) fn request_id() -> Value {
    json!({"required": true, "schema": text(), "description": "Names the request in the log."})
}

pub(super) fn schemas(inputs: &Inputs) -> Value {
    let mut schemas = Map::new();
    let mut add = |name: &str, schema: Value| {
        schemas.insert(name.to_owned(), schema);
    };
    add("Problem", problem());

    add("Account", account().schema());
    add("AccountChanged", account().changed().schema());
    add("AccountList", page("Account"));
    add("Founded", account().may("invite", reference("Invite")).changed().schema());
    add("FirstAccount", first_account());

    add("Member", member().schema());
    add("MemberChanged", member().changed().schema());
    add("SeenMember", seen().schema());
    add("MemberList", page("SeenMember"));
    add("Me", seen().with("session", reference("Session")).schema());
    add("Erased", erased());
    add("MemberData", member_data());
    add("Review", lists(finding()));
    add("Receipt", receipt());
    add("Imported", imported());
    add("MemberOutcomes", list_of(member_outcome()).may("seen", reference("Seen")).schema());

    add("ApiToken", api_token().schema());
    add("ApiTokenMade", api_token().with("secret", text()).changed().schema());
    add("ApiTokenChanged", api_token().changed().schema());
    add("ApiTokenList", page("ApiToken"));

    add("Session", session());
    add("SessionList", page("Session"));
    let ended = || object().with("sessions_ended", count()).changed();
    add("SessionsEnded", ended().schema());
    add("MemberSessionsEnded", ended().with("id", text()).schema());
    add("SignedIn", any_of([reference("Entered"), waiting()]));
    add("Entered", entered().schema());
    add("EnteredFirst", entered().with("recovery_codes", list(text())).schema());
    add("TwoStep", two_step());
    add("PasskeyAsked", passkey_asked());
    add("Passkey", passkey().schema());
    add("PasskeyChanged", passkey().changed().schema());
    add("PasskeyList", page("Passkey"));
    add("Enrolment", enrolment());
    add("RecoveryCodes", ended().with("recovery_codes", list(text())).schema());
    add("SignedOut", state(&["signed_out"]).schema());
    add("ResetAsked", state(&["mail_sent_if_known"]).schema());
    add("PasswordSet", state(&["changed"]).with("sessions_ended", count()).schema());
    add("EmailChangeBegun", state(&["confirm_both"]).with("expires", moment()).schema());
    add("EmailConfirmed", state(&["waiting_for_other", "changed"]).may("email", text()).schema());
    add("Reset", reset());
    add("Recovery", recovery());

    add("Invite", invite().schema());
    add("InviteChanged", invite().changed().schema());
    add("InviteList", page("Invite"));
    add("InviteOutcomes", lists(invite_outcome()));
    add("InviteWanted", state(&["requested"]).schema());
    add("Inspected", inspected());
    add("Delivery", delivery());

    add("Role", role(inputs));
    add("RoleList", page("Role"));
    add("Comparison", comparison());
    add("Permissions", permissions());
    let why = |object: SchemaObject| object.with("sentence", text()).with("policies", list(text()));
    add("MemberWhoMayList", lists(why(member()).schema()));
    add("ActionOfMemberList", lists(why(object().all(&["action", "resource"], text)).schema()));
    add("Suggestion", suggestion());

    add("Entry", entry());
    add("EntryList", page("Entry"));
    add("ChainList", lists(chain()));
    add("Mail", mail());
    add("MailTest", mail_test());
    add("Fleet", fleet());
    add("ErasureReached", erasure_reached());
    let activated = object().with("keys", list(text())).all(&["resealed", "unreadable"], count);
    add("KeysActivated", activated.schema());
    add("ForgottenNode", object().with("forgotten", text()).schema());
    add("Seen", seen_by());
    add("WarningList", lists(warning()));
    add("BounceTaken", state(&["told", "nothing_new"]).schema());
    add("Backup", backup());
    add("Policies", policies());
    add("Shadow", shadow());
    add("PolicyHistoryEntry", policy_entry().schema());
    add("PolicyHistoryEntryList", page("PolicyHistoryEntry"));
    add("PolicySet", policy_entry().with("files", list(policy_file())).schema());
    add("Reload", reload().schema());
    add("PoliciesPublished", publication());
    Value::Object(schemas)
}

fn page(name: &str) -> Value {
    lists(reference(name))
}

fn lists(item: Value) -> Value {
    list_of(item).schema()
}

fn list_of(item: Value) -> SchemaObject {
    object().with("items", list(item)).with("next", or_null(text()))
}

fn state(words: &[&str]) -> SchemaObject {
    object().with("state", word(words))
}

fn fields() -> Value {
    list(object().all(&["field", "message"], text).schema())
}

fn problem() -> Value {
    let status = json!({"type": "integer", "minimum": 400, "maximum": 599});
    object()
        .all(&["type", "title"], text)
        .with("status", status)
        .with("code", json!({"type": "string", "pattern": "^[a-z0-9_]+$"}))
        .all(&["detail", "request_id"], text)
        .may("fields", fields())
        .schema()
}

fn account() -> SchemaObject {
    object()
        .all(&["slug", "name"], text)
        .with("created", moment())
        .with("invite_lifetime_hours", json!({"type": "number", "minimum": 0}))
        .with("two_step_enforced", flag())
        .with("version", count())
}

fn first_account() -> Value {
    object()
        .with("account", reference("Account"))
        .with("member", reference("Member"))
        .changed()
        .schema()
}

fn member() -> SchemaObject {
    object()
        .all(&["id", "account", "email", "first_name", "last_name", "role"], text)
        .with("status", word(&Status::ALL.map(Status::as_str)))
        .with("two_step", flag())
        .with("joined", moment())
        .with("version", count())
}

/// A member, with the last sign-in.
fn seen() -> SchemaObject {
    member().with("signed_in", or_null(moment()))
}

fn erased() -> Value {
    object()
        .with("id", text())
        .all(&["entries_erased", "invites_erased", "letters_erased"], count)
        .may("reached", reference("ErasureReached"))
        .changed()
        .schema()
}

fn member_data() -> Value {
    let came_by = object()
        .all(&["id", "email", "first_name", "last_name", "role", "inviter"], text)
        .all(&["created", "sent"], moment);
    let sent = object()
        .all(&["id", "role"], text)
        .with("state", word(&InviteState::ALL.map(InviteState::as_str)))
        .with("created", moment());
    object()
        .with("at", moment())
        .with("member", reference("SeenMember"))
        .with("sessions", list(reference("Session")))
        .with("tokens", list(reference("ApiToken")))
        .with("two_step", reference("TwoStep"))
        .with("came_by", or_null(came_by.schema()))
        .with("invites_sent", list(sent.schema()))
        .with("entries", list(reference("Entry")))
        .with("cut", flag())
        .schema()
}

fn api_token() -> SchemaObject {
    let maker = object().with("id", text()).may("name", text());
    object()
        .all(&["id", "name", "role"], text)
        .may("role_removed", flag())
        .with("member", maker.schema())
        .all(&["created", "expires"], moment)
        .with("used", or_null(moment()))
}

fn finding() -> Value {
    let named = object()
        .all(&["id", "name", "email", "role"], text)
        .with("joined", moment())
        .with("signed_in", or_null(moment()));
    object()
        .with("kind", word(&FindingKind::ALL.map(FindingKind::as_str)))
        .with("severity", word(&Severity::ALL.map(Severity::as_str)))
        .with("sentence", text())
        .with("members", list(named.schema()))
        .with("count", count())
        .schema()
}

fn receipt() -> Value {
    object()
        .with("id", text())
        .all(&["sessions_ended", "tokens_revoked", "invites_cancelled"], count)
        .changed()
        .schema()
}

fn imported() -> Value {
    let warning = object().with("line", count()).with("sentence", text()).schema();
    object()
        .with("imported", count())
        .with("digest", text())
        .may("warnings", list(warning))
        .changed()
        .schema()
}

fn session() -> Value {
    object()
        .with("id", text())
        .all(&["created", "used", "expires"], moment)
        .all(&["address", "agent"], text)
        .with("current", flag())
        .schema()
}

fn entered() -> SchemaObject {
    state(&["signed_in"]).with("member", reference("Member")).with("expires", moment())
}

fn waiting() -> Value {
    state(&["second_factor", "set_up_second_factor"])
        .with("ticket", text())
        .with("expires", moment())
        .with("passkeys", flag())
        .schema()
}

fn two_step() -> Value {
    object()
        .with("on", flag())
        .with("since", or_null(moment()))
        .with("recovery_codes_left", count())
        .with("passkeys", list(reference("Passkey")))
        .with("enforced", flag())
        .schema()
}

fn passkey() -> SchemaObject {
    object().all(&["id", "name"], text).with("created", moment()).with("used", or_null(moment()))
}

fn passkey_asked() -> Value {
    let options = json!({"type": "object", "required": ["publicKey"]});
    object().with("challenge", text()).with("options", options).with("expires", moment()).schema()
}

fn enrolment() -> Value {
    object().with("secret", text()).with("url", link()).with("qr", text()).schema()
}

fn link() -> Value {
    json!({"type": "string", "format": "uri"})
}

fn reset() -> Value {
    object()
        .with("id", text())
        .with("expires", moment())
        .may("link", link())
        .with("delivery", reference("Delivery"))
        .changed()
        .schema()
}

fn backup() -> Value {
    object()
        .with("path", text())
        .with("revision", count())
        .with("taken", moment())
        .all(&["bytes", "keys"], count)
        .schema()
}

fn recovery() -> Value {
    object()
        .all(&["id", "email"], text)
        .may("link", link())
        .with("expires", moment())
        .with("delivery", reference("Delivery"))
        .changed()
        .schema()
}

fn invite() -> SchemaObject {
    let inviter = object()
        .with("kind", word(&["member", "sidecar", "system"]))
        .may("id", text())
        .may("name", text());
    object()
        .all(&["id", "account", "email", "first_name", "last_name", "role"], text)
        .with("state", word(&InviteState::ALL.map(InviteState::as_str)))
        .with("inviter", inviter.schema())
        .all(&["created", "sent", "expires"], moment)
        .with("version", count())
        .with("delivery", reference("Delivery"))
        .may("member", text())
        .may("link", link())
        .may("previously_removed", moment())
        .may("role_removed", flag())
        .may("warning", text())
}

fn delivery() -> Value {
    object()
        .with("state", word(&DeliveryState::ALL.map(DeliveryState::as_str)))
        .with("detail", text())
        .with("attempts", count())
        .with("last_attempt", or_null(moment()))
        .with("next_attempt", or_null(moment()))
        .schema()
}

fn inspected() -> Value {
    let role = object().all(&["id", "title", "summary"], text);
    let password = object().all(&["min", "max"], count);
    state(&[InviteState::Pending.as_str()])
        .all(&["account", "account_name", "email", "first_name", "last_name"], text)
        .with("role", role.schema())
        .may("inviter_name", text())
        .with("expires", moment())
        .with("two_step_enforced", flag())
        .with("password", password.schema())
        .schema()
}

fn refused() -> Value {
    object().all(&["code", "detail"], text).may("fields", fields()).schema()
}

fn invite_outcome() -> Value {
    let outcome = || object().with("status", count());
    json!({"oneOf": [
        outcome().with("invite", reference("InviteChanged")).schema(),
        outcome().with("problem", refused()).schema(),
    ]})
}

fn member_outcome() -> Value {
    let outcome = || object().with("id", text()).with("status", count());
    let receipt = json!({"oneOf": [reference("Receipt"), reference("MemberSessionsEnded")]});
    json!({"oneOf": [
        outcome().with("member", reference("MemberChanged")).schema(),
        outcome().with("receipt", receipt).schema(),
        outcome().with("problem", refused()).schema(),
    ]})
}

fn role(inputs: &Inputs) -> Value {
    object()
        .with("id", inputs.role())
        .all(&["title", "summary", "best_for"], text)
        .with("actions", list(text()))
        .schema()
}

fn cell() -> Value {
    word(&Cell::ALL.map(Cell::as_str))
}

fn comparison() -> Value {
    let row = object()
        .all(&["action", "resource"], text)
        .with("cells", list(cell()))
        .with("depends_on", list(text()))
        .schema();
    object().with("roles", list(text())).with("rows", list(row)).schema()
}

fn permissions() -> Value {
    let item = object().all(&["action", "resource"], text).with("allowed", cell()).schema();
    object().with("role", text()).with("items", list(item)).schema()
}

fn suggestion() -> Value {
    object()
        .with("role", or_null(reference("Role")))
        .with("extra", list(text()))
        .with("reason", text())
        .with("others", list(text()))
        .schema()
}

fn entry() -> Value {
    let field = object()
        .with("field", text())
        .with("before", or_null(text()))
        .with("after", or_null(text()))
        .schema();
    object()
        .all(&["sequence", "revision"], count)
        .with("at", moment())
        .with("actor", text())
        .with("event", word(&AuditEvent::ALL.map(AuditEvent::as_str)))
        .all(&["target", "hash"], text)
        .with("detail", or_null(list(field)))
        .schema()
}

fn chain() -> Value {
    object()
        .with("account", or_null(text()))
        .with("entries", count())
        .with("head", text())
        .with("fault", or_null(text()))
        .schema()
}

fn mail() -> Value {
    let stopped = object().with("cause", text()).with("since", moment()).schema();
    let oldest = object().with("since", moment()).with("seconds", count()).with("detail", text());
    object()
        .with("kind", text())
        .with("sends", flag())
        .with("state", word(&["ok", "slow", "stuck", "stopped", "off"]))
        .with("stopped", or_null(stopped))
        .with("oldest", or_null(oldest.schema()))
        .with("last_success", or_null(moment()))
        .all(&["queued", "deferred", "handed_over", "bounced", "failed"], count)
        .with("banner", or_null(text()))
        .schema()
}

fn mail_test() -> Value {
    let step = object().with("step", text()).with("ok", flag()).with("detail", text());
    object().with("ok", flag()).with("steps", list(step.schema())).schema()
}

fn fleet() -> Value {
    let report = object()
        .all(&["name", "version", "policies"], text)
        .all(&["index", "revision", "max_staleness_seconds", "reads_format"], count)
        .with("policies_refused", flag())
        .all(&["policies_fault", "halted_because"], || or_null(text()))
        .with("on_stale", word(&["deny", "answer"]))
        .all(&["since", "at"], moment)
        .schema();
    let node = object()
        .with("id", text())
        .with("this", flag())
        .with("state", word(&["fresh", "stale", "halted", "silent", "unreadable"]))
        .with("silent_seconds", or_null(count()))
        .with("clock_seconds", or_null(json!({"type": "integer"})))
        .with("behind", count())
        .with("lacks_keys", list(text()))
        .with("report", or_null(report))
        .schema();
    object()
        .with("head", count())
        .with("erasure", or_null(reference("ErasureReached")))
        .all(&["keys", "warnings"], || list(text()))
        .with("items", list(node))
        .schema()
}

fn erasure_reached() -> Value {
    let missing = object().all(&["node", "lacks"], text).schema();
    object()
        .with("complete", flag())
        .with("sentence", text())
        .with("index", count())
        .with("removed_from_log", flag())
        .with("missing", list(missing))
        .schema()
}

fn seen_by() -> Value {
    object()
        .with("all", flag())
        .all(&["by", "of"], || or_null(count()))
        .with("sentence", text())
        .with("missing", list(text()))
        .schema()
}

fn warning() -> Value {
    object()
        .with("about", text())
        .with("severity", word(&["warn", "fail"]))
        .with("sentence", text())
        .schema()
}

fn policies() -> Value {
    object()
        .with("digest", text())
        .with("policies", count())
        .with("state", word(&["live", "last_good", "pinned"]))
        .with("pending", or_null(text()))
        .with("pinned", or_null(count()))
        .with("fault", or_null(text()))
        .with("loaded_at", moment())
        .with("proof", or_null(guard_proofs()))
        .schema()
}

fn shadow() -> Value {
    let map = || json!({"type": "object"});
    let question = object()
        .all(&["role", "member", "member_account", "action", "resource_type", "resource"], text)
        .with("active", flag())
        .all(&["properties", "subject_properties", "context"], map)
        .schema();
    let disagreement = object()
        .all(&["role", "action", "resource_type"], text)
        .all(&["live", "shadow"], || word(&["allow", "deny"]))
        .with("count", count())
        .with("last", moment())
        .with("question", or_null(question))
        .schema();
    object()
        .all(&["folder", "digest", "fault"], || or_null(text()))
        .with("policies", or_null(count()))
        .with("loaded_at", or_null(moment()))
        .all(&["sample", "agreed", "differed", "left_out", "more"], count)
        .with("items", list(disagreement))
        .schema()
}

fn policy_entry() -> SchemaObject {
    object()
        .all(&["number", "revision", "policies", "bytes"], count)
        .all(&["digest", "actor"], text)
        .with("outcome", word(&PolicyOutcome::ALL.map(PolicyOutcome::as_str)))
        .with("at", moment())
        .with("cause", word(&PolicyCause::ALL.map(PolicyCause::as_str)))
        .with("pinned", or_null(count()))
        .all(&["gains", "loses", "may_gain", "may_lose"], || list(text()))
        .with("fault", or_null(text()))
        .with("proof", or_null(guard_proofs()))
}

/// What is known about the guards of a set.
fn guard_proofs() -> Value {
    let guard = object()
        .all(&["id", "why"], text)
        .with("state", word(&GuardState::ALL.map(GuardState::as_str)))
        .schema();
    object()
        .with("solver", or_null(text()))
        .with("cases", count())
        .with("guards", list(guard))
        .schema()
}

fn policy_file() -> Value {
    object().all(&["path", "text"], text).schema()
}

/// After a set was published: where it is live, if that was waited for.
fn publication() -> Value {
    let refused = object().all(&["node", "why"], text).schema();
    let nodes = object()
        .with("all", flag())
        .all(&["by", "of"], || or_null(count()))
        .with("sentence", text())
        .with("refused", list(refused))
        .with("missing", list(text()))
        .schema();
    reload().may("nodes", nodes).schema()
}

fn reload() -> SchemaObject {
    object()
        .with("digest", text())
        .with("policies", count())
        .with("changed", flag())
        .with("pending", flag())
        .with("gains", list(text()))
        .with("loses", list(text()))
        .with("may_gain", list(text()))
        .with("may_lose", list(text()))
        .with("notes", list(text()))
}
