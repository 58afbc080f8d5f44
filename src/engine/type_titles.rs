//! What people call the entity types: `@title` in the schema.

use std::collections::BTreeMap;

/// The titles of entity types, by the names under which callers and actions know them.
#[derive(Debug, Default)]
pub struct TypeTitles(BTreeMap<String, String>);

impl TypeTitles {
    /// No titles.
    #[must_use]
    pub const fn none() -> Self {
        Self(BTreeMap::new())
    }

    /// Adds the title of a type, and as the plural that with an `s`.
    pub(super) fn add(&mut self, name: &str, title: &str) {
        let (name, title) = (key(name), title.trim());
        if !title.is_empty() {
            self.0.insert(format!("{name}s"), format!("{title}s"));
            self.0.insert(name, title.to_owned());
        }
    }

    /// The title for the name of a type or for its plural: `bot_flow`, `botflows`.
    #[must_use]
    pub fn of(&self, name: &str) -> Option<&str> {
        self.0.get(&key(name)).map(String::as_str)
    }
}

/// A name without what may differ: actions are named `botflows:view` or `bot_flows:view`.
fn key(name: &str) -> String {
    name.replace('_', "").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_found_by_every_name_of_its_type() {
        let mut titles = TypeTitles::default();
        titles.add("BotFlow", "BotFlow");
        titles.add("Chat", " ");
        for (name, title) in [
            ("bot_flow", Some("BotFlow")),
            ("BotFlow", Some("BotFlow")),
            ("botflows", Some("BotFlows")),
            ("bot_flows", Some("BotFlows")),
            ("chats", None),
            ("flows", None),
        ] {
            assert_eq!(titles.of(name), title, "{name}");
        }
    }
}
