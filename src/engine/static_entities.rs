//! The entities of `entities.json`: service accounts, groups of roles, further data.
//!
//! Read once at load, with all ancestors, so that a query takes only those that it can read. Never
//! contains a member: members are in the store.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::str::FromStr;

use cedar_policy::{
    Entities, Entity, EntityTypeName, EntityUid, EvalResult, RestrictedExpression, Schema,
};
use foldhash::fast::RandomState;
use serde_json::Value as Json;

use super::schema_names::Symbols;

#[derive(Debug)]
pub(super) struct StaticEntity {
    pub(super) entity: Entity,
    /// The entity itself and all its ancestors.
    pub(super) lineage: Vec<EntityUid>,
    /// The parents in the file, without their own ancestors.
    pub(super) parents: Vec<EntityUid>,
    /// The tags, to rebuild the entity with other attributes.
    pub(super) tags: Vec<(String, RestrictedExpression)>,
    /// The entities that its attributes and tags name.
    pub(super) named: Vec<EntityUid>,
}

#[derive(Debug, Default)]
pub(super) struct StaticEntities {
    entities: HashMap<EntityUid, StaticEntity>,
    /// All ancestors of stored entities, stored or not.
    ancestors: HashSet<EntityUid>,
    /// Everything that the file names as an entity or as the parent of one, by type and id: to find that
    /// a query has nothing to do with the file takes no allocation.
    known: Vec<HashMap<String, KnownEntity, RandomState>>,
    /// Whether an attribute or a tag of a stored entity names a member.
    names_members: bool,
}

/// What the file says about an entity that it names.
#[derive(Debug, Default)]
pub(super) struct KnownEntity {
    /// Whether it is stored; else it is only the parent of stored ones.
    pub(super) is_stored: bool,
    /// All its ancestors; none if it is not stored.
    pub(super) ancestors: Vec<EntityUid>,
}

impl StaticEntities {
    /// Parses the file's text.
    ///
    /// # Errors
    /// Cedar's sentence, where the text is no list of entities that conform to the schema.
    pub(super) fn read(text: &str, schema: &Schema, names: &Symbols) -> Result<Self, String> {
        let all = Entities::from_json_str(text, Some(schema)).map_err(|fault| {
            let mut sentence = fault.to_string();
            let mut cause = std::error::Error::source(&fault);
            while let Some(inner) = cause {
                sentence = format!("{sentence}: {inner}");
                cause = inner.source();
            }
            sentence
        })?;
        let actions: HashSet<&EntityUid> = schema.actions().chain(schema.action_groups()).collect();
        let mut parents = parents(text);
        let mut stored = Self::default();
        for entity in all.iter().filter(|entity| !actions.contains(&entity.uid())) {
            let uid = entity.uid();
            let mut lineage = vec![uid.clone()];
            lineage.extend(all.ancestors(&uid).into_iter().flatten().cloned());
            let (mut named, mut tags) = (Vec::new(), Vec::new());
            for (_, value) in entity.attrs() {
                collect(&value.map_err(|fault| fault.to_string())?, &mut named);
            }
            for (name, value) in entity.tags() {
                let value = value.map_err(|fault| fault.to_string())?;
                collect(&value, &mut named);
                tags.push((name.to_owned(), expression(&value)?));
            }
            stored.ancestors.extend(lineage.iter().skip(1).cloned());
            let parents = parents.remove(&uid).unwrap_or_default();
            let entity = entity.clone();
            let found = StaticEntity { entity, lineage, parents, tags, named };
            stored.entities.insert(uid, found);
        }
        stored.index(names);
        Ok(stored)
    }

    /// Fills what is read by names.
    fn index(&mut self, names: &Symbols) {
        let members = names.name(names.user);
        let mut named = self.entities.values().flat_map(|stored| &stored.named);
        self.names_members = named.any(|uid| Some(uid.type_name()) == members);
        self.known.resize_with(names.types.len(), HashMap::default);
        let parents = self.ancestors.iter().map(|uid| (uid, KnownEntity::default()));
        let stored = self.entities.iter().map(|(uid, stored)| {
            let ancestors = stored.lineage.iter().skip(1).cloned().collect();
            (uid, KnownEntity { is_stored: true, ancestors })
        });
        for (uid, known) in parents.chain(stored) {
            if let Some(ids) = names.index_of(uid.type_name()).and_then(|at| self.known.get_mut(at))
            {
                ids.insert(uid.id().unescaped().to_owned(), known);
            }
        }
    }

    /// What the file says about the entity of this type and id, if it names it.
    pub(super) fn known(&self, kind: usize, id: &str) -> Option<&KnownEntity> {
        self.known.get(kind)?.get(id)
    }

    /// The ids of all stored entities of a type.
    pub(super) fn ids(&self, kind: usize) -> BTreeSet<&str> {
        let known = self.known.get(kind).into_iter().flatten();
        known.filter(|(_, known)| known.is_stored).map(|(id, _)| id.as_str()).collect()
    }

    /// Everything of a type that the file names, by id.
    pub(super) fn all_known(&self, kind: usize) -> impl Iterator<Item = (&str, &KnownEntity)> {
        let known = self.known.get(kind).into_iter().flatten();
        known.map(|(id, known)| (id.as_str(), known))
    }

    /// Whether an attribute or a tag of a stored entity names a member.
    pub(super) const fn names_members(&self) -> bool {
        self.names_members
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entities.is_empty()
    }

    pub(super) fn get(&self, uid: &EntityUid) -> Option<&StaticEntity> {
        self.entities.get(uid)
    }

    /// Whether a stored entity is in this one.
    pub(super) fn are_in(&self, uid: &EntityUid) -> bool {
        self.ancestors.contains(uid)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&EntityUid, &StaticEntity)> {
        self.entities.iter()
    }

    /// The entity and its ancestors; only itself if it is not stored.
    pub(super) fn lineage(&self, uid: EntityUid) -> Vec<EntityUid> {
        match self.entities.get(&uid) {
            Some(stored) => stored.lineage.clone(),
            None => vec![uid],
        }
    }

    /// The entity and its ancestors, without entities of this type and what is reached through
    /// them.
    pub(super) fn lineage_without(
        &self,
        uid: EntityUid,
        left_out: Option<&EntityTypeName>,
    ) -> Vec<EntityUid> {
        let mut found = vec![uid];
        let mut at = 0;
        while let Some(stored) = found.get(at).map(|uid| self.entities.get(uid)) {
            for parent in stored.into_iter().flat_map(|stored| &stored.parents) {
                if Some(parent.type_name()) != left_out && !found.contains(parent) {
                    found.push(parent.clone());
                }
            }
            at += 1;
        }
        found
    }
}

/// The parents of each entity of a parsed file: Cedar's own API returns all ancestors.
fn parents(text: &str) -> HashMap<EntityUid, Vec<EntityUid>> {
    let entities: Vec<Json> = serde_json::from_str(text).unwrap_or_default();
    let uid = |json: &Json| EntityUid::from_json(json.clone()).ok();
    let of = |entity: &Json| {
        let parents = entity.get("parents").and_then(Json::as_array).into_iter().flatten();
        Some((uid(entity.get("uid")?)?, parents.filter_map(uid).collect()))
    };
    entities.iter().filter_map(of).collect()
}

/// Every entity in a value, at any depth.
fn collect(value: &EvalResult, into: &mut Vec<EntityUid>) {
    match value {
        EvalResult::EntityUid(uid) => into.push(uid.clone()),
        EvalResult::Set(set) => set.iter().for_each(|value| collect(value, into)),
        EvalResult::Record(record) => record.iter().for_each(|(_, value)| collect(value, into)),
        EvalResult::Bool(_)
        | EvalResult::Long(_)
        | EvalResult::String(_)
        | EvalResult::ExtensionValue(_) => {}
    }
}

fn expression(value: &EvalResult) -> Result<RestrictedExpression, String> {
    Ok(match value {
        EvalResult::Bool(flag) => RestrictedExpression::new_bool(*flag),
        EvalResult::Long(number) => RestrictedExpression::new_long(*number),
        EvalResult::String(text) => RestrictedExpression::new_string(text.clone()),
        EvalResult::EntityUid(uid) => RestrictedExpression::new_entity_uid(uid.clone()),
        EvalResult::Set(set) => RestrictedExpression::new_set(
            set.iter().map(expression).collect::<Result<Vec<_>, _>>()?,
        ),
        EvalResult::Record(record) => {
            let fields = record
                .iter()
                .map(|(name, value)| Ok((name.clone(), expression(value)?)))
                .collect::<Result<Vec<_>, String>>()?;
            RestrictedExpression::new_record(fields).map_err(|fault| fault.to_string())?
        }
        EvalResult::ExtensionValue(call) => {
            RestrictedExpression::from_str(call).map_err(|fault| fault.to_string())?
        }
    })
}
