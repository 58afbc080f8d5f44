//! The members of each account by role and suspension, in the order of their ids: for searches.
//!
//! Not read by decisions. Costs 35 to 60 bytes a member.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use super::MemberKey;

/// What members of one group have in common. Ordered by account, role and status.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MemberGroup {
    /// The account's slug.
    pub account: Arc<str>,
    /// The role's id.
    pub role: Arc<str>,
    /// False while suspended.
    pub active: bool,
}

/// All groups that have members.
#[derive(Debug, Default)]
pub(super) struct RoleIndex(BTreeMap<MemberGroup, BTreeSet<MemberKey>>);

/// Members that were loaded together, by group: in the order of their ids, or in its reverse.
#[derive(Debug, Default)]
pub(super) struct LoadedRun(BTreeMap<MemberGroup, Vec<MemberKey>>);

impl LoadedRun {
    pub(super) fn push(&mut self, group: MemberGroup, id: MemberKey) {
        self.0.entry(group).or_default().push(id);
    }
}

/// All members that were loaded. In few long lists: the memory of many short ones would stay with the
/// allocator.
#[derive(Debug, Default)]
pub(super) struct LoadedMembers(BTreeMap<MemberGroup, LoadedGroup>);

#[derive(Debug, Default)]
struct LoadedGroup {
    /// Of runs in the order of the ids.
    rising: Vec<MemberKey>,
    /// Of runs in its reverse.
    falling: Vec<MemberKey>,
}

impl LoadedMembers {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn add(&mut self, run: LoadedRun) {
        for (group, mut ids) in run.0 {
            let LoadedGroup { rising, falling } = self.0.entry(group).or_default();
            let all = if ids.first() > ids.last() { falling } else { rising };
            all.append(&mut ids);
        }
    }
}

impl RoleIndex {
    /// All that were loaded. What is in order already is put into a set without a search for its place.
    pub(super) fn of_loaded(loaded: LoadedMembers) -> Self {
        let set = |LoadedGroup { rising, falling }| -> BTreeSet<MemberKey> {
            let mut ids = rising;
            ids.extend(falling.into_iter().rev());
            // Within the memory that they have already.
            ids.into_iter().collect()
        };
        Self(loaded.0.into_iter().map(|(group, ids)| (group, set(ids))).collect())
    }

    pub(super) fn insert(&mut self, group: MemberGroup, id: MemberKey) {
        self.0.entry(group).or_default().insert(id);
    }

    pub(super) fn remove(&mut self, group: &MemberGroup, id: &MemberKey) {
        if let Some(members) = self.0.get_mut(group) {
            members.remove(id);
            if members.is_empty() {
                self.0.remove(group);
            }
        }
    }

    /// Adds all members of another one, in time for each but not for finding its place.
    pub(super) fn append(&mut self, other: Self) {
        for (group, mut ids) in other.0 {
            self.0.entry(group).or_default().append(&mut ids);
        }
    }

    pub(super) fn groups(&self) -> impl Iterator<Item = &MemberGroup> {
        self.0.keys()
    }

    /// The members of all groups.
    pub(super) fn ids_of_all(&self) -> impl Iterator<Item = &MemberKey> {
        self.0.values().flatten()
    }

    pub(super) fn len(&self) -> usize {
        self.0.values().map(BTreeSet::len).sum()
    }

    /// The first group in a range that begins here.
    pub(super) fn first(&self, from: Bound<&MemberGroup>) -> Option<MemberGroup> {
        self.0.range((from, Bound::Unbounded)).next().map(|(group, _)| group.clone())
    }

    /// The first ids of a group after one.
    pub(super) fn ids(&self, group: &MemberGroup, after: &str, limit: usize) -> Vec<String> {
        let Some(members) = self.0.get(group) else { return Vec::new() };
        let after = MemberKey::new(after);
        let rest = members.range((Bound::Excluded(&after), Bound::Unbounded));
        rest.take(limit).map(|id| id.text().into_owned()).collect()
    }
}
