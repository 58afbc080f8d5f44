//! The difference of two policy sets cell by cell: who gains and who loses, by which policies, each with
//! an example that was asked of both sets.
//!
//! An example shows a change only if both sets answered as the change says. Of a change that depends
//! on attributes, such an example is searched among the values that the policies name; none may be
//! found. Says how many cases were compared, and claims no more.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

use cedar_policy::Policy;
use serde_json::Value as Json;

use super::Snapshot;
use super::access_changes::TOO_MUCH;
use super::attribute_types::{AttributeShape, AttributeType};
use super::change_report::AccessChanges;
use super::entity_builder::is_supplied;
use super::example_query::ExampleQuery;
use super::policy_scope::PolicyScope;
use super::role_matrix::{Cell, ResourceLocation, default_of};
use super::role_matrix_diff::{AccessChange, CellResults, FoundCell, WORK_MAX};
use crate::domain::access_query::Record;
use crate::domain::{RoleId, Value, worded};

/// Most cells that are listed, and most policies of one.
const CELLS_MAX: usize = 5_000;
const POLICIES_MAX: usize = 20;
/// Most queries for finding the example of one cell, and of all cells.
const TRIES_OF_CELL: usize = 300;
const TRIES: usize = 20_000;
/// Most values that are tried for one attribute.
const VALUES_MAX: usize = 24;

worded! {
    /// Where the resource is.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Place {
        /// In the member's account.
        Own = "own_profile",
        /// In another account.
        Other = "another_account",
        /// In no account.
        Nowhere = "no_account",
    }
}

/// A query that was asked of both sets.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// The query.
    pub query: ExampleQuery,
    /// Whether the former set allows it.
    pub before: bool,
    /// Whether this set allows it.
    pub now: bool,
}

/// One cell that changed: what a role may do with an action on a type, in one situation.
#[derive(Clone, Debug, PartialEq)]
pub struct ChangedCell {
    /// The role.
    pub role: RoleId,
    /// The action's name.
    pub action: String,
    /// The type of the resource, in snake case.
    pub resource: String,
    /// Where the resource is.
    pub place: Place,
    /// False for a suspended member.
    pub active: bool,
    /// The situation, as reports have it; empty for an active member in the own account.
    pub label: &'static str,
    /// The cell before.
    pub before: Cell,
    /// The cell now.
    pub now: Cell,
    /// How it changed.
    pub change: AccessChange,
    /// The policies responsible, sorted; at most the first ones.
    pub policies: Vec<String>,
    /// An example; `None` if the answers contradict the change, or no set can be asked.
    pub example: Option<Example>,
    /// Whether the answers to the example show the change.
    pub is_shown: bool,
}

/// The difference of two sets.
#[derive(Clone, Debug, Default)]
pub struct AccessDifference {
    /// The same as lines, with what no cell shows.
    pub changes: AccessChanges,
    /// The cells that changed, by role; at most 5,000.
    pub cells: Vec<ChangedCell>,
    /// The number of further cells.
    pub more: usize,
    /// How many cases were compared: cells in their situations. Cells that no changed policy concerns
    /// are equal, and are not counted.
    pub cases: usize,
}

impl AccessDifference {
    /// Whether somebody gains access, or may.
    #[must_use]
    pub fn is_wider(&self) -> bool {
        self.changes.widens()
    }

    /// Whether everything was compared.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        !self.changes.may_gain.iter().any(|line| line == TOO_MUCH)
    }

    /// The lines that no cell shows: data, single policies that depend on more than a role, and what was
    /// not compared.
    #[must_use]
    pub fn beyond_cells(&self) -> Vec<&str> {
        let AccessChanges { may_gain, may_lose, .. } = &self.changes;
        let lines = may_gain.iter().chain(may_lose).map(String::as_str);
        let beyond = lines.filter(|line| line.starts_with("somebody ") || *line == TOO_MUCH);
        beyond.fold(Vec::new(), |mut lines, line| {
            if !lines.contains(&line) {
                lines.push(line);
            }
            lines
        })
    }

    /// Whether somebody loses access, or may.
    #[must_use]
    pub fn is_narrower(&self) -> bool {
        !self.changes.loses.is_empty() || !self.changes.may_lose.is_empty()
    }
}

impl Snapshot {
    /// The difference from `before` to this set. May take seconds: not for threads that answer.
    #[must_use]
    pub fn difference_from(&self, before: &Self) -> AccessDifference {
        let read = |found: &CellResults<'_>| {
            let mut cells: Vec<&FoundCell<'_>> = found.cells.iter().collect();
            cells.sort_by_key(|cell| (cell.role, cell.change, cell.action));
            let more = cells.len().saturating_sub(CELLS_MAX);
            cells.truncate(CELLS_MAX);
            let by_id = [self.by_id(), before.by_id()];
            let mut search = ExampleSearch { now: self, before, by_id, tries: TRIES };
            let cells: Vec<ChangedCell> =
                cells.into_iter().map(|cell| search.changed_cell(cell)).collect();
            (cells, more, found.cases)
        };
        let (changes, (cells, more, cases)) = self.compared(before, WORK_MAX, read);
        AccessDifference { changes, cells, more, cases }
    }

    /// Whether the other set does not have a policy of this set with its meaning.
    fn differs_in(&self, other: &Self, id: &str) -> bool {
        let [own, of_other] = [self, other].map(|set| set.meta.get(id));
        own.is_some() && own.map(|meta| &meta.meaning) != of_other.map(|meta| &meta.meaning)
    }
}

/// Finds examples, within a limit on all queries.
struct ExampleSearch<'s> {
    now: &'s Snapshot,
    before: &'s Snapshot,
    /// The policies of both.
    by_id: [HashMap<&'s str, &'s (Policy, PolicyScope)>; 2],
    tries: usize,
}

impl ExampleSearch<'_> {
    fn changed_cell(&mut self, cell: &FoundCell<'_>) -> ChangedCell {
        let policies = self.responsible(cell);
        let example = self.example(cell);
        ChangedCell {
            role: cell.role.clone(),
            action: cell.action.to_owned(),
            resource: cell.resource.to_owned(),
            place: match cell.situation.place {
                ResourceLocation::Own => Place::Own,
                ResourceLocation::Other => Place::Other,
                ResourceLocation::Nowhere => Place::Nowhere,
            },
            active: cell.situation.active,
            label: cell.situation.label,
            before: cell.before,
            now: cell.now,
            change: cell.change,
            is_shown: example.as_ref().is_some_and(|example| shows(cell.change, example)),
            policies: policies.into_iter().take(POLICIES_MAX).collect(),
            example,
        }
    }

    /// The policies that decide a cell in one of the sets, or on which it depends: those that changed,
    /// else all.
    fn responsible(&self, cell: &FoundCell<'_>) -> BTreeSet<String> {
        let FoundCell { role, action, resource, situation, .. } = *cell;
        let (mut all, mut changed) = (BTreeSet::new(), BTreeSet::new());
        for (set, other) in [(self.now, self.before), (self.before, self.now)] {
            let reasons = set.certain_with_reasons(role, action, resource, situation).1;
            let reasons = reasons.iter().map(AsRef::<str>::as_ref);
            for id in reasons.chain(cell.on.iter().copied()) {
                all.insert(id.to_owned());
                if set.differs_in(other, id) {
                    changed.insert(id.to_owned());
                }
            }
        }
        if changed.is_empty() { all } else { changed }
    }

    fn example(&mut self, cell: &FoundCell<'_>) -> Option<Example> {
        let query =
            |set: &Snapshot| set.example(cell.role, cell.action, cell.resource, cell.situation);
        let plain = self.asked(query(self.now).or_else(|| query(self.before))?);
        match cell.change {
            AccessChange::Gains | AccessChange::Loses => {
                shows(cell.change, &plain).then_some(plain)
            }
            AccessChange::MayGain | AccessChange::MayLose if shows(cell.change, &plain) => {
                Some(plain)
            }
            AccessChange::MayGain | AccessChange::MayLose => {
                Some(self.searched(cell, &plain.query).unwrap_or(plain))
            }
        }
    }

    fn asked(&mut self, query: ExampleQuery) -> Example {
        self.tries = self.tries.saturating_sub(1);
        Example { before: self.before.allows(&query), now: self.now.allows(&query), query }
    }

    /// Tries the values that the policies name: first one of them, then two together.
    fn searched(&mut self, cell: &FoundCell<'_>, plain: &ExampleQuery) -> Option<Example> {
        if self.tries == 0 {
            return None;
        }
        let variations = self.variations(cell, plain);
        let mut left = TRIES_OF_CELL.min(self.tries);
        let single = variations.iter().map(|one| vec![one]);
        let pairs = variations.iter().enumerate().flat_map(|(at, one)| {
            let others = variations.iter().skip(at + 1).filter(|other| other.slot != one.slot);
            others.map(move |other| vec![one, other])
        });
        for changes in single.chain(pairs) {
            left = left.checked_sub(1)?;
            let mut query = plain.clone();
            changes.into_iter().for_each(|change| change.apply(&mut query));
            let example = self.asked(query);
            if shows(cell.change, &example) {
                return Some(example);
            }
        }
        None
    }

    /// Every value to try, in its place.
    fn variations(&self, cell: &FoundCell<'_>, plain: &ExampleQuery) -> Vec<Variation> {
        let mut literals = Literals::default();
        for id in cell.on.iter().take(POLICIES_MAX) {
            for policies in &self.by_id {
                if let Some((policy, _)) = policies.get(id)
                    && let Ok(json) = policy.to_json()
                {
                    literals.read(&json);
                }
            }
        }
        for text in [&plain.member, &plain.member_account] {
            literals.texts.insert(text.clone());
        }
        let names = &self.now.names;
        let mut found = Vec::new();
        let (kind, action) = (names.type_index(cell.resource), names.action_index(cell.action));
        if let Some(info) = action.and_then(|action| names.actions.get(action)) {
            literals.vary(Slot::Context, &info.context, |_| false, &mut found);
        }
        if let Some(kind) = kind {
            let shape = names.shape(kind);
            literals.vary(Slot::Resource, shape, |name| name == "account", &mut found);
        }
        literals.vary(Slot::Subject, names.shape(names.user), is_supplied, &mut found);
        for text in &literals.texts {
            for slot in [Slot::MemberId, Slot::ResourceId] {
                let value = Value::String(Cow::Owned(text.clone()));
                found.push(Variation { slot: (slot, String::new()), value });
            }
        }
        found
    }
}

/// Whether the answers are those of a change.
fn shows(change: AccessChange, example: &Example) -> bool {
    match change {
        AccessChange::Gains | AccessChange::MayGain => !example.before && example.now,
        AccessChange::Loses | AccessChange::MayLose => example.before && !example.now,
    }
}

/// A part of a query that can be varied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    MemberId,
    ResourceId,
    Subject,
    Resource,
    Context,
}

/// Another value for one attribute, or for an id.
struct Variation {
    slot: (Slot, String),
    value: Value<'static>,
}

impl Variation {
    fn apply(&self, query: &mut ExampleQuery) {
        let (slot, name) = &self.slot;
        let record = match slot {
            Slot::MemberId | Slot::ResourceId => {
                let text = self.value.as_str().unwrap_or_default().to_owned();
                match slot {
                    Slot::MemberId => query.member = text,
                    _ => query.resource = text,
                }
                return;
            }
            Slot::Subject => &mut query.subject_properties,
            Slot::Resource => &mut query.properties,
            Slot::Context => &mut query.context,
        };
        record.retain(|(other, _)| other != name);
        record.push((Cow::Owned(name.clone()), self.value.clone()));
    }
}

/// The values that policies name.
#[derive(Default)]
struct Literals {
    texts: BTreeSet<String>,
    numbers: BTreeSet<i64>,
}

impl Literals {
    /// Reads a policy in Cedar's JSON form. Names of attributes are among the texts; they do no harm.
    fn read(&mut self, json: &Json) {
        match json {
            Json::String(text) if self.texts.len() < VALUES_MAX => {
                self.texts.insert(text.clone());
            }
            Json::Number(number) => self.numbers.extend(number.as_i64()),
            Json::Array(items) => items.iter().for_each(|item| self.read(item)),
            Json::Object(fields) => fields
                .iter()
                .filter(|(name, _)| *name != "annotations")
                .for_each(|(_, value)| self.read(value)),
            Json::Null | Json::Bool(_) | Json::String(_) => {}
        }
    }

    /// Adds each value of each attribute of a shape, except those that are supplied elsewhere.
    fn vary(
        &self,
        slot: Slot,
        shape: &AttributeShape,
        known: fn(&str) -> bool,
        found: &mut Vec<Variation>,
    ) {
        let attributes = shape.attributes.iter().filter(|attribute| !known(&attribute.name));
        for attribute in attributes {
            for value in self.values(&attribute.kind).into_iter().take(VALUES_MAX) {
                found.push(Variation { slot: (slot, attribute.name.clone()), value });
            }
        }
    }

    fn values(&self, kind: &AttributeType) -> Vec<Value<'static>> {
        let text = |text: &String| Value::String(Cow::Owned(text.clone()));
        match kind {
            AttributeType::Bool => vec![Value::Bool(true), Value::Bool(false)],
            AttributeType::Long => {
                let near = |&number: &i64| [number, number.wrapping_sub(1), number.wrapping_add(1)];
                self.numbers.iter().flat_map(near).map(Value::Long).collect()
            }
            AttributeType::Entity(_, Some(ids)) => ids.iter().map(text).collect(),
            AttributeType::String
            | AttributeType::Entity(_, None)
            | AttributeType::Extension(_) => self.texts.iter().map(text).collect(),
            AttributeType::Set(inner) => {
                self.values(inner).into_iter().map(|value| Value::List(vec![value])).collect()
            }
            AttributeType::Record(shape) => self.records(shape),
        }
    }

    /// Records with one value that is varied.
    fn records(&self, shape: &AttributeShape) -> Vec<Value<'static>> {
        let required = shape.attributes.iter().filter(|attribute| attribute.required);
        let plain: Record<'static> = required
            .map(|attribute| (Cow::Owned(attribute.name.clone()), default_of(&attribute.kind)))
            .collect();
        let mut found = vec![Value::Record(plain.clone())];
        for attribute in &shape.attributes {
            for value in self.values(&attribute.kind).into_iter().take(VALUES_MAX) {
                let mut record = plain.clone();
                record.retain(|(name, _)| *name != attribute.name);
                record.push((Cow::Owned(attribute.name.clone()), value));
                found.push(Value::Record(record));
            }
        }
        found
    }
}
