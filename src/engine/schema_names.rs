//! The names of the schema, and the spellings that callers may use.
//!
//! Maps entity types and actions from every spelling of the contract to their shapes. Only the
//! types `User`, `Role` and `Account` are known by name; no role, feature or action of a product
//! is.

use std::collections::{HashMap, HashSet};

use cedar_policy::{Entities, Entity, EntityId, EntityTypeName, EntityUid, Schema};
use foldhash::fast::RandomState;

use super::attribute_types::{AttributeShape, SchemaShapes};
use super::type_titles::TypeTitles;

/// The resource type that callers may say for `User`.
const MEMBER_ALIAS: &str = "member";

/// One entity type of the schema.
#[derive(Debug)]
pub(super) struct TypeInfo {
    pub(super) name: EntityTypeName,
    /// The base name in snake case: `bot_flow` for `BotFlow`.
    pub(super) snake: String,
    pub(super) shape: AttributeShape,
    /// The ids that such an entity may have, if the schema lists them.
    pub(super) ids: Option<Vec<String>>,
    /// Whether such an entity may be in an `Account`.
    pub(super) in_account: bool,
}

#[derive(Debug)]
pub(super) struct ActionInfo {
    pub(super) uid: EntityUid,
    pub(super) context: AttributeShape,
    /// The action with its groups, if it is in any, for conditions with `action in`.
    pub(super) entity: Option<Entity>,
    /// The action itself and every group it is in.
    pub(super) lineage: Vec<EntityUid>,
}

/// Entity types and actions, by index and by spelling.
#[derive(Debug)]
pub(super) struct Symbols {
    pub(super) types: Vec<TypeInfo>,
    pub(super) actions: Vec<ActionInfo>,
    pub(super) user: usize,
    pub(super) role: usize,
    pub(super) account: usize,
    /// What people call the types.
    pub(super) titles: TypeTitles,
    type_spellings: Spellings,
    action_spellings: Spellings,
}

/// Built from the policy folder alone, so that no caller can cause hash collisions.
type Spellings = HashMap<String, usize, RandomState>;

impl Symbols {
    /// Reads the names out of a schema.
    ///
    /// # Errors
    /// One sentence for each name that two things would share, and for a missing or repeated
    /// `User`, `Role` or `Account`.
    pub(super) fn read(schema: &Schema, mut shapes: SchemaShapes) -> Result<Self, Vec<String>> {
        let mut faults = Vec::new();
        let mut types: Vec<TypeInfo> = schema
            .entity_types()
            .map(|name| TypeInfo {
                name: name.clone(),
                snake: snake(name.basename()),
                ids: shapes.listed.remove(&name.to_string()),
                in_account: schema
                    .ancestors(name)
                    .is_some_and(|mut groups| groups.any(|group| group.basename() == "Account")),
                shape: shapes.entities.remove(&name.to_string()).unwrap_or_default(),
            })
            .collect();
        types.sort_by_key(|info| info.name.to_string());
        let type_spellings = spell_types(&types, &mut faults);
        let (user, role, account) = people(&types, &mut faults);
        if let Some(user) = user.and_then(|at| types.get(at)) {
            check_parents(schema, &user.name, &mut faults);
        }
        let actions = read_actions(schema, &mut shapes, &mut faults);
        let mut action_spellings = Spellings::default();
        for (index, action) in actions.iter().enumerate() {
            let id = action.uid.id().unescaped().to_owned();
            if action_spellings.insert(id.clone(), index).is_some() {
                faults.push(format!("two actions are called `{id}`: rename one, since callers name an action by its id alone"));
            }
        }
        match (user, role, account) {
            (Some(user), Some(role), Some(account)) if faults.is_empty() => {
                let titles = shapes.titles;
                Ok(Self {
                    types,
                    actions,
                    user,
                    role,
                    account,
                    titles,
                    type_spellings,
                    action_spellings,
                })
            }
            _ => Err(faults),
        }
    }

    /// The entity type for a caller's spelling.
    pub(super) fn type_index(&self, spelling: &str) -> Option<usize> {
        self.type_spellings.get(spelling).copied()
    }

    /// The action for a caller's spelling.
    pub(super) fn action_index(&self, id: &str) -> Option<usize> {
        self.action_spellings.get(id).copied()
    }

    pub(super) fn index_of(&self, name: &EntityTypeName) -> Option<usize> {
        self.types.iter().position(|info| info.name == *name)
    }

    pub(super) fn get(&self, index: usize) -> Option<&TypeInfo> {
        self.types.get(index)
    }

    pub(super) fn name(&self, index: usize) -> Option<&EntityTypeName> {
        self.types.get(index).map(|info| &info.name)
    }

    /// The declared attributes of a type known by index.
    pub(super) fn shape(&self, index: usize) -> &AttributeShape {
        static NONE: AttributeShape = AttributeShape { attributes: Vec::new() };
        self.types.get(index).map_or(&NONE, |info| &info.shape)
    }

    /// Marks the attributes that a policy reads, and those that one reads which is not compiled; others
    /// need not be built for a query.
    pub(super) fn mark_mentioned(
        &mut self,
        mentioned: &HashSet<String>,
        left_to_cedar: &HashSet<String>,
    ) {
        for attribute in self.types.iter_mut().flat_map(|info| &mut info.shape.attributes) {
            attribute.mentioned = mentioned.contains(&attribute.name);
            attribute.left_to_cedar = left_to_cedar.contains(&attribute.name);
        }
    }

    pub(super) fn uid(&self, index: usize, id: &str) -> Option<EntityUid> {
        let name = self.types.get(index)?.name.clone();
        Some(EntityUid::from_type_name_and_id(name, EntityId::new(id)))
    }
}

/// Every spelling of every type: full name, base name and snake form.
fn spell_types(types: &[TypeInfo], faults: &mut Vec<String>) -> Spellings {
    let mut spellings = Spellings::default();
    for (index, info) in types.iter().enumerate() {
        if let Some(other) = spellings.insert(info.snake.clone(), index)
            && let Some(other) = types.get(other)
        {
            faults.push(format!(
                "the entity types `{}` and `{}` are both called `{}` by callers: rename one",
                other.name, info.name, info.snake
            ));
        }
    }
    for (index, info) in types.iter().enumerate() {
        spellings.entry(info.name.basename().to_owned()).or_insert(index);
        spellings.entry(info.name.to_string()).or_insert(index);
    }
    if let Some(user) = types.iter().position(|info| info.name.basename() == "User") {
        spellings.entry(MEMBER_ALIAS.to_owned()).or_insert(user);
    }
    spellings
}

/// Finds `User`, `Role` and `Account`, which must share one namespace.
fn people(
    types: &[TypeInfo],
    faults: &mut Vec<String>,
) -> (Option<usize>, Option<usize>, Option<usize>) {
    let mut find = |base: &str| {
        let mut found = types.iter().enumerate().filter(|(_, info)| info.name.basename() == base);
        match (found.next(), found.next()) {
            (Some((index, _)), None) => Some(index),
            (None, _) => {
                faults.push(format!("the schema declares no entity type `{base}`: members, roles and accounts are entities of `User`, `Role` and `Account`"));
                None
            }
            (Some(_), Some(_)) => {
                faults.push(format!("more than one namespace declares `{base}`: keep one"));
                None
            }
        }
    };
    let found = (find("User"), find("Role"), find("Account"));
    let namespace =
        |index: Option<usize>| index.and_then(|i| types.get(i)).map(|i| i.name.namespace());
    if let (Some(user), Some(role), Some(account)) =
        (namespace(found.0), namespace(found.1), namespace(found.2))
        && (user != role || role != account)
    {
        faults.push("`User`, `Role` and `Account` must be declared in one namespace".to_owned());
    }
    found
}

/// Members must be allowed in roles and in accounts, so that policies are validated for that.
fn check_parents(schema: &Schema, user: &EntityTypeName, faults: &mut Vec<String>) {
    for group in ["Role", "Account"] {
        let declared = schema
            .ancestors(user)
            .is_some_and(|mut groups| groups.any(|found| found.basename() == group));
        if !declared {
            faults.push(format!(
                "every member is in a `{group}`, and the schema does not say so: declare `entity User in [Role, Account]`"
            ));
        }
    }
}

fn read_actions(
    schema: &Schema,
    shapes: &mut SchemaShapes,
    faults: &mut Vec<String>,
) -> Vec<ActionInfo> {
    let entities = schema.action_entities().unwrap_or_else(|fault| {
        faults.push(format!("the actions cannot be read: {fault}"));
        Entities::empty()
    });
    let mut actions: Vec<ActionInfo> = schema
        .actions()
        .map(|uid| {
            let key = (uid.type_name().namespace(), uid.id().unescaped().to_owned());
            let mut lineage = vec![uid.clone()];
            lineage.extend(entities.ancestors(uid).into_iter().flatten().cloned());
            ActionInfo {
                uid: uid.clone(),
                context: shapes.contexts.remove(&key).unwrap_or_default(),
                entity: (lineage.len() > 1).then(|| entities.get(uid).cloned()).flatten(),
                lineage,
            }
        })
        .collect();
    actions.sort_by_key(|action| action.uid.to_string());
    actions
}

/// `BotFlow` as `bot_flow`, `SMSLog` as `sms_log`.
fn snake(name: &str) -> String {
    let chars: Vec<char> = name.chars().collect();
    let mut out = String::with_capacity(name.len() + 2);
    for (at, c) in chars.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| chars.get(at));
        let starts_word = c.is_uppercase()
            && before.is_some_and(|before| {
                before.is_lowercase()
                    || before.is_ascii_digit()
                    || chars.get(at + 1).is_some_and(|next| next.is_lowercase())
            });
        if starts_word && !out.ends_with('_') {
            out.push('_');
        }
        out.extend(c.to_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::snake;

    #[test]
    fn snake_forms() {
        for (name, form) in [
            ("BotFlow", "bot_flow"),
            ("User", "user"),
            ("SMSLog", "sms_log"),
            ("A_B", "a_b"),
            ("V2Flow", "v2_flow"),
        ] {
            assert_eq!(snake(name), form);
        }
    }
}
