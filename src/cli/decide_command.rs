//! A `kwic-team decide` command as text: a question that anybody can ask again.

use std::path::Path;

use serde_json::{Map, Value as Json};

/// The question of a made-up member.
pub(super) struct DecideCommand<'q> {
    /// The data folder, where a set is of a sidecar with another one than usual.
    pub(super) data: Option<&'q Path>,
    /// The set that is asked.
    pub(super) policies: &'q str,
    pub(super) role: &'q str,
    pub(super) member: &'q str,
    pub(super) member_account: &'q str,
    pub(super) active: bool,
    pub(super) action: &'q str,
    /// As `TYPE:ID`.
    pub(super) resource: String,
    /// The account of the resource, if it has one.
    pub(super) account: Option<&'q str>,
    /// Attributes of the resource, but its account.
    pub(super) properties: Map<String, Json>,
    pub(super) subject_properties: Map<String, Json>,
    pub(super) context: Map<String, Json>,
}

impl DecideCommand<'_> {
    /// The command, for a shell.
    pub(super) fn line(self) -> String {
        let mut words = vec!["kwic-team".to_owned(), "decide".to_owned()];
        let mut flag = |name: &str, value: &str| {
            words.push(name.to_owned());
            words.push(quoted(value));
        };
        if let Some(data) = self.data {
            flag("--data", &data.display().to_string());
        }
        flag("--policies", self.policies);
        flag("--role", self.role);
        flag("--subject", &format!("user:{}", self.member));
        flag("--action", self.action);
        flag("--resource", &self.resource);
        if let Some(account) = self.account {
            flag("--account", account);
        }
        if self.account != Some(self.member_account) {
            flag("--member-account", self.member_account);
        }
        for (name, object) in [
            ("--properties", self.properties),
            ("--subject-properties", self.subject_properties),
            ("--context", self.context),
        ] {
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
}
