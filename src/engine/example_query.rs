//! A query of a made-up member, which can be asked of any policy set, and by anybody again.

use std::borrow::Cow;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value as Json};

use super::{Members, QueryContext, Snapshot};
use crate::domain::access_query::Record;
use crate::domain::{EntityRef, MemberTexts, MemberView, Query, RoleId, Timestamp, Value};

/// One query of a made-up member.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct ExampleQuery {
    /// The id of the member.
    pub member: String,
    /// The account of the member.
    pub member_account: String,
    /// The role of the member; a set may not have it.
    #[serde(serialize_with = "write_role", deserialize_with = "read_role")]
    pub role: RoleId,
    /// False for a suspended member.
    pub active: bool,
    /// Attributes of the member that the store does not supply.
    #[serde(serialize_with = "write_record", deserialize_with = "read_record")]
    pub subject_properties: Record<'static>,
    /// The action's name.
    pub action: String,
    /// The type of the resource, in snake case.
    pub resource_type: String,
    /// The id of the resource.
    pub resource: String,
    /// Attributes of the resource, with its `account` if it has one.
    #[serde(serialize_with = "write_record", deserialize_with = "read_record")]
    pub properties: Record<'static>,
    /// The context.
    #[serde(serialize_with = "write_record", deserialize_with = "read_record")]
    pub context: Record<'static>,
}

impl ExampleQuery {
    /// The query.
    #[must_use]
    pub fn query(&self) -> Query<'_> {
        Query {
            subject: EntityRef {
                kind: "user",
                id: &self.member,
                properties: &self.subject_properties,
            },
            action: &self.action,
            action_properties: &[],
            resource: EntityRef {
                kind: &self.resource_type,
                id: &self.resource,
                properties: &self.properties,
            },
            context: &self.context,
        }
    }

    /// The member.
    #[must_use]
    pub fn view(&self) -> MemberView<'_> {
        made_up_member(&self.member, &self.member_account, self.role.as_str(), self.active)
    }

    /// The account of the resource, if it has one.
    #[must_use]
    pub fn account(&self) -> Option<&str> {
        let found = self.properties.iter().find(|(name, _)| name == "account");
        found.and_then(|(_, account)| account.as_str())
    }
}

impl ExampleQuery {
    /// The command that asks a set this query: `set` as `--policies` takes it, and the data folder, if
    /// it is not the usual one.
    #[must_use]
    pub fn command(&self, set: &str, data: Option<&str>) -> String {
        let mut words = vec!["kwic-team".to_owned(), "decide".to_owned()];
        let mut flag = |name: &str, value: &str| {
            words.push(name.to_owned());
            words.push(quoted(value));
        };
        if let Some(data) = data {
            flag("--data", data);
        }
        flag("--policies", set);
        flag("--role", self.role.as_str());
        flag("--subject", &format!("user:{}", self.member));
        flag("--action", &self.action);
        flag("--resource", &format!("{}:{}", self.resource_type, self.resource));
        if let Some(account) = self.account() {
            flag("--account", account);
        }
        if self.account() != Some(self.member_account.as_str()) {
            flag("--member-account", &self.member_account);
        }
        for (name, record, without) in [
            ("--properties", &self.properties, Some("account")),
            ("--subject-properties", &self.subject_properties, None),
            ("--context", &self.context, None),
        ] {
            let mut object = object(record);
            object.retain(|name, _| Some(name.as_str()) != without);
            if !object.is_empty() {
                flag(name, &Json::Object(object).to_string());
            }
        }
        if !self.active {
            words.push("--suspended".to_owned());
        }
        words.join(" ")
    }
}

/// A word for a shell.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_./:@%+=,-".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

impl Members for ExampleQuery {
    fn with<R>(&self, id: &str, read: impl FnOnce(MemberView<'_>) -> R) -> Option<R> {
        (id == self.member).then(|| read(self.view()))
    }
}

impl Snapshot {
    /// Whether this set allows an example.
    #[must_use]
    pub fn allows(&self, example: &ExampleQuery) -> bool {
        let world = QueryContext { members: example, single_account: None };
        self.decide(&example.query(), &world, false).allowed
    }
}

fn write_role<S: Serializer>(role: &RoleId, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(role.as_str())
}

fn read_role<'de, D: Deserializer<'de>>(from: D) -> Result<RoleId, D::Error> {
    let text = String::deserialize(from)?;
    RoleId::parse(&text).map_err(|fault| D::Error::custom(fault.public))
}

fn write_record<S: Serializer>(record: &Record<'_>, to: S) -> Result<S::Ok, S::Error> {
    object(record).serialize(to)
}

fn read_record<'de, D: Deserializer<'de>>(from: D) -> Result<Record<'static>, D::Error> {
    Map::deserialize(from).map(record)
}

/// Attributes as a JSON object.
fn object(record: &Record<'_>) -> Map<String, Json> {
    record.iter().map(|(name, value)| (name.to_string(), json(value))).collect()
}

fn json(value: &Value<'_>) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(flag) => Json::from(*flag),
        Value::Long(number) => Json::from(*number),
        Value::Double(number) => Json::from(*number),
        Value::String(text) => Json::from(text.as_ref()),
        Value::List(items) => Json::Array(items.iter().map(json).collect()),
        Value::Record(record) => Json::Object(object(record)),
    }
}

fn record(object: Map<String, Json>) -> Record<'static> {
    object.into_iter().map(|(name, json)| (Cow::Owned(name), value(json))).collect()
}

fn value(json: Json) -> Value<'static> {
    match json {
        Json::Null => Value::Null,
        Json::Bool(flag) => Value::Bool(flag),
        Json::Number(number) => match number.as_i64() {
            Some(long) => Value::Long(long),
            None => Value::Double(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::String(Cow::Owned(text)),
        Json::Array(items) => Value::List(items.into_iter().map(value).collect()),
        Json::Object(object) => Value::Record(record(object)),
    }
}

/// A member that there is not, as the examples and `kwic-team decide --role` have one.
#[must_use]
pub fn made_up_member<'m>(
    id: &'m str,
    account: &'m str,
    role: &'m str,
    active: bool,
) -> MemberView<'m> {
    MemberView {
        id,
        account,
        role,
        active,
        texts: MemberTexts::Apart {
            email_key: "made.up@example.org",
            first_name: "Made",
            last_name: "Up",
        },
        two_step: false,
        joined: Timestamp(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_quoted_where_a_shell_would_change_it() {
        for (word, quoted_word) in [
            ("roles/a.cedar", "roles/a.cedar"),
            ("user:ann@example.org", "user:ann@example.org"),
            ("", "''"),
            ("two words", "'two words'"),
            ("it's", r"'it'\''s'"),
            ("$HOME;`id`", "'$HOME;`id`'"),
            (r#"{"a":1}"#, r#"'{"a":1}'"#),
        ] {
            assert_eq!(quoted(word), quoted_word);
        }
    }

    #[test]
    fn an_example_is_the_same_after_it_was_written_and_read() {
        let text = |text: &'static str| Value::String(Cow::Borrowed(text));
        let inner = vec![(Cow::Borrowed("b"), Value::List(vec![Value::Long(i64::MIN), text("x")]))];
        let query = ExampleQuery {
            member: "m".to_owned(),
            member_account: "own".to_owned(),
            role: RoleId::parse("operator").unwrap(),
            active: false,
            subject_properties: vec![(Cow::Borrowed("a"), Value::Record(inner))],
            action: "chats:view".to_owned(),
            resource_type: "chat".to_owned(),
            resource: "1".to_owned(),
            properties: vec![(Cow::Borrowed("account"), text("own"))],
            context: vec![(Cow::Borrowed("yes"), Value::Bool(true))],
        };
        let written = serde_json::to_string(&query).unwrap();
        assert_eq!(serde_json::from_str::<ExampleQuery>(&written).unwrap(), query);
        let command = query.command("DIR", None);
        assert!(command.ends_with("--context '{\"yes\":true}' --suspended"), "{command}");
    }
}
