//! JSON Schema of inputs: parameters and bodies, as the domain checks them.
//!
//! The patterns repeat rules of `domain` as regular expressions; `tests/long/openapi.rs` keeps the
//! two in step.

use serde_json::{Map, Value, json};

use super::schema_builder::{SchemaObject, any_of, flag, keyed, list, object, text, word};
use crate::admin::accounts::INVITE_HOURS;
use crate::admin::tokens::DAYS;
use crate::domain::limits;
use crate::engine::Snapshot;
use crate::services::fleet_status::WAIT_MAX;

/// White space that is trimmed, as Unicode defines it.
const SPACE: &str = r"\t-\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000";
const CONTROL: &str = r"\u0000-\u001f\u007f-\u009f";
/// Further invisible characters.
const HIDDEN: &str = r"\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff";

/// The inputs, with the names of the live policies.
pub(super) struct Inputs {
    roles: Vec<String>,
    actions: Vec<String>,
}

impl Inputs {
    pub(super) fn of(live: &Snapshot) -> Self {
        Self {
            roles: live.roles().iter().map(|card| card.id.to_string()).collect(),
            actions: live.actions(),
        }
    }

    /// An existing role.
    pub(super) fn role(&self) -> Value {
        json!({"type": "string", "enum": self.roles})
    }

    /// Existing actions.
    pub(super) fn actions(&self) -> Value {
        some(json!({"type": "string", "enum": self.actions}), limits::SUGGESTED_ACTIONS_MAX)
    }

    /// The path segment for `{id}`. An invalid id names nothing, and is not found.
    pub(super) fn id_in(&self, path: &str) -> Value {
        if path.contains("/passkeys/") {
            return random_id('p');
        }
        match path.split('/').nth(1) {
            Some("members") => member_id(),
            Some("roles") => self.role(),
            Some("invites") => random_id('i'),
            Some("tokens") => random_id('t'),
            Some("policies" | "fleet") => json!({"type": "string", "minLength": 1}),
            _ => random_id('s'),
        }
    }

    pub(super) fn query(&self, name: &str, about: &str, schema: Value) -> Value {
        json!({"name": name, "in": "query", "description": about, "schema": or_empty(schema)})
    }

    /// Waiting until every node of a fleet has seen a change.
    pub(super) fn wait(&self) -> [Value; 2] {
        let most = WAIT_MAX.as_secs();
        let seconds = json!({"type": "integer", "minimum": 1, "maximum": most});
        [
            self.query(
                "wait",
                "`all` waits until every node of the fleet has seen the change.",
                word(&["all"]),
            ),
            self.query(
                "wait_seconds",
                "The same, for so many seconds at most in place of 10.",
                seconds,
            ),
        ]
    }

    /// The action that is asked about.
    pub(super) fn action(&self) -> Value {
        json!({
            "name": "action", "in": "query", "required": true,
            "description": "The action's name.",
            "schema": {"type": "string", "enum": self.actions},
        })
    }

    /// The resource that is asked about.
    pub(super) fn resource(&self) -> Value {
        let about = "The resource, as `TYPE:ID`; by default the account.";
        self.query("resource", about, pattern("^[A-Za-z_]+:[^:]"))
    }

    /// The page size.
    pub(super) fn limit(&self) -> Value {
        self.limit_to(limits::PAGE_ITEMS_MAX)
    }

    /// The page size of a list whose pages are at most so long.
    pub(super) fn limit_to(&self, most: usize) -> Value {
        let schema = json!({"type": "integer", "minimum": 1, "maximum": most});
        self.query("limit", "The maximum number of items.", schema)
    }

    /// An API token: a member re-authenticates, the operator of the sidecar names a member.
    pub(super) fn api_token(&self) -> Value {
        let days = json!({"type": "integer", "minimum": DAYS.start(), "maximum": DAYS.end()});
        object()
            .with("name", name())
            .with("role", self.role())
            .with("expires_days", days)
            .may("member", member_id())
            .may("password", text())
            .may("code", text())
            .schema()
    }

    /// A person to invite or to create as a member.
    pub(super) fn person(&self) -> SchemaObject {
        object()
            .with("first_name", name())
            .with("last_name", last_name())
            .with("email", email())
            .with("role", self.role())
    }

    /// A new account, optionally with its first administrator.
    pub(super) fn account(&self) -> Value {
        let with = object()
            .with("email", email())
            .with("first_name", name())
            .with("last_name", last_name())
            .may("role", self.role());
        let account = |object: SchemaObject| {
            object.with("slug", slug()).with("name", account_name()).schema()
        };
        json!({"oneOf": [account(object()), account(with)]})
    }

    /// The first account of an empty store, and its administrator.
    pub(super) fn first_account(&self) -> Value {
        object()
            .with("token", token())
            .with("slug", slug())
            .with("name", account_name())
            .with("email", email())
            .with("first_name", name())
            .with("last_name", last_name())
            .may("role", self.role())
            .with("password", new_password())
            .schema()
    }
}

pub(super) fn slug() -> Value {
    let more = limits::ACCOUNT_SLUG_CHARS_MAX - 2;
    pattern(&format!("^[a-z0-9]([a-z0-9-]{{0,{more}}}[a-z0-9])?$"))
}

pub(super) fn member_id() -> Value {
    pattern(&format!("^[!-\"$&-.0->@-~]{{1,{}}}$", limits::MEMBER_ID_CHARS_MAX))
}

/// A generated id: its kind and 26 digits of base 32.
pub(super) fn random_id(kind: char) -> Value {
    pattern(&format!("^{kind}[0-9a-hjkmnp-tv-z]{{26}}$"))
}

/// The cursor of a page of invites.
pub(super) fn invite_cursor() -> Value {
    pattern("^[0-9]{1,18}\\.i[0-9a-hjkmnp-tv-z]{26}$")
}

/// The cursor of a page of API tokens.
pub(super) fn token_cursor() -> Value {
    pattern("^[0-9]{1,18}\\.t[0-9a-hjkmnp-tv-z]{26}$")
}

/// The cursor of a page of what is numbered: entries of the audit log, sets of policies.
pub(super) fn number_cursor() -> Value {
    json!({"type": "integer", "minimum": 0, "maximum": u64::MAX})
}

/// A name, optionally with white space around it.
pub(super) fn name() -> Value {
    trimmed(limits::NAME_CHARS_MAX, &format!("{CONTROL}{HIDDEN}"), "(?!.*://)")
}

/// The same, or empty: not everybody has a last name.
pub(super) fn last_name() -> Value {
    json!({"anyOf": [name(), pattern(&format!("^[{SPACE}]*$"))]})
}

/// The path of a file in a policy folder.
pub(super) fn policy_file_path() -> Value {
    pattern(&format!("^[^{CONTROL}]{{0,{}}}$", limits::POLICY_PATH_CHARS_MAX))
}

pub(super) fn account_name() -> Value {
    trimmed(limits::ACCOUNT_NAME_CHARS_MAX, CONTROL, "")
}

fn trimmed(most: usize, not: &str, before: &str) -> Value {
    let (ends, between) = (format!("[^{SPACE}{not}]"), format!("[^{not}]"));
    let more = most - 2;
    pattern(&format!("^{before}[{SPACE}]*{ends}({between}{{0,{more}}}{ends})?[{SPACE}]*$"))
}

/// An address in ASCII; a domain in other letters is accepted too, and stored as `xn--`.
pub(super) fn email() -> Value {
    let (atom, label) =
        ("[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+", "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?");
    json!({
        "type": "string",
        "format": "email",
        "maxLength": limits::EMAIL_BYTES_MAX,
        "pattern": format!(r"^(?=.{{1,64}}@){atom}(\.{atom})*@{label}(\.{label})*$"),
    })
}

/// A new password. Further rules (common passwords, own names) are reported on refusal.
pub(super) fn new_password() -> Value {
    let (least, most) = (limits::PASSWORD_CHARS_MIN, limits::PASSWORD_CHARS_MAX);
    json!({"type": "string", "minLength": least, "maxLength": most})
}

/// The secret of a link. An invalid one is treated as unknown.
pub(super) fn token() -> Value {
    text()
}

pub(super) fn account_edit() -> Value {
    let hours =
        json!({"type": "integer", "minimum": INVITE_HOURS.start(), "maximum": INVITE_HOURS.end()});
    object()
        .may("name", account_name())
        .may("invite_lifetime_hours", hours)
        .may("two_step_enforced", flag())
        .correction()
}

pub(super) fn member_file() -> Value {
    json!({"text/csv": {"schema": text()}, "application/jsonl": {"schema": text()}})
}

pub(super) fn mail_file() -> Value {
    json!({"message/rfc822": {"schema": text()}})
}

/// Forms send an absent value as an empty one.
pub(super) fn or_empty(schema: Value) -> Value {
    any_of([schema, json!({"type": "string", "maxLength": 0})])
}

/// At least one, up to the maximum for one call.
pub(super) fn some(items: Value, most: usize) -> Value {
    let mut schema = list(items);
    if let Some(schema) = schema.as_object_mut() {
        schema.extend(Map::from_iter([
            ("minItems".to_owned(), json!(1)),
            ("maxItems".to_owned(), json!(most)),
        ]));
    }
    schema
}

/// The version that the caller has seen.
pub(super) fn if_match(required: bool) -> Value {
    json!({
        "name": "If-Match", "in": "header", "required": required,
        "description": "The `etag` of the record as you read it; `*` accepts any version.",
        "schema": any_of([pattern("^\"[0-9]{1,19}\"$"), word(&["*"])]),
    })
}

pub(super) fn idempotency_key() -> Value {
    let more = limits::IDEMPOTENCY_KEY_CHARS_MAX - 2;
    json!({
        "name": "Idempotency-Key", "in": "header",
        "description": "A key of your choice: repeating the call with the same key within 24 hours invites nobody twice.",
        "schema": pattern(&format!("^[!-~]([ -~]{{0,{more}}}[!-~])?$")),
    })
}

/// The change to each of several members.
pub(super) fn change(role: Value) -> Value {
    let item = || {
        object().with("id", member_id()).may(
            "version",
            json!({"type": "integer", "minimum": 0, "maximum": limits::JSON_WHOLE_MAX}),
        )
    };
    json!({"oneOf": [
        item().with("do", word(&["suspend", "restore", "remove", "end_sessions"])).schema(),
        item().with("do", word(&["role"])).with("role", role).schema(),
    ]})
}

pub(super) fn json_body(schema: Value) -> Value {
    keyed([("application/json", keyed([("schema", schema)]))])
}

fn pattern(pattern: &str) -> Value {
    json!({"type": "string", "pattern": pattern})
}
