//! Remembered answers: where only role, account and suspension can decide, Cedar is asked once.
//!
//! An environment qualifies when none of its policies reads anything else (the same reading of
//! their syntax that makes a cell of the matrix certain) and nothing else about the question could
//! fail to conform. Then two questions that agree in role, suspension and the resource's account
//! (the own one, another, none) have the same answer. Cedar stays the only judge: nothing is
//! answered from here that it has not answered for an equal question. Belongs to one snapshot and
//! ends with it; its size is fixed at load, so no caller can make it grow.

use std::sync::atomic::{AtomicU8, Ordering};

use super::gather::{Case, Principal, can_hold, is_supplied};
use super::names::Names;
use super::stored::Stored;
use crate::domain::Value;
use crate::domain::query::member;

const UNKNOWN: u8 = 0;
const DENIED: u8 = 1;
const ALLOWED: u8 = 2;

/// Which account a resource is in, seen from the member who asks.
#[derive(Clone, Copy)]
enum Relation {
    Own,
    Other,
    Nowhere,
}

/// Situations that one role can be in: two of suspension, three of relation.
const SITUATIONS: usize = 6;

/// Where the answer to a question is remembered.
#[derive(Clone, Copy)]
pub(super) struct Place(usize);

/// The answers of one environment: one byte for each role and situation.
#[derive(Debug)]
pub(super) struct Memory(Box<[AtomicU8]>);

impl Memory {
    pub(super) fn new(roles: usize) -> Self {
        Self((0..roles * SITUATIONS).map(|_| AtomicU8::new(UNKNOWN)).collect())
    }

    pub(super) fn recall(&self, place: Place) -> Option<bool> {
        match self.0.get(place.0)?.load(Ordering::Relaxed) {
            ALLOWED => Some(true),
            DENIED => Some(false),
            _ => None,
        }
    }

    pub(super) fn remember(&self, place: Place, allowed: bool) {
        if let Some(cell) = self.0.get(place.0) {
            cell.store(if allowed { ALLOWED } else { DENIED }, Ordering::Relaxed);
        }
    }
}

/// Whether answers about members and this type of resource may be remembered, as far as the
/// schema decides it. Stored entities could give anybody further attributes and parents.
pub(super) fn qualifies(names: &Names, stored: &Stored, principal: usize, resource: usize) -> bool {
    let attributes = &names.shape(resource).attributes;
    let resource_is_plain = if resource == names.account {
        attributes.is_empty()
    } else {
        attributes
            .iter()
            .all(|found| found.name == "account" && can_hold(names, &found.name, &found.kind))
    };
    stored.is_empty()
        && principal == names.user
        && resource != names.user
        && resource_is_plain
        && names.shape(names.user).attributes.iter().all(|found| is_supplied(&found.name))
}

/// The place of a question; `None` where this one must be asked in full.
pub(super) fn place(case: &Case<'_>, role: Option<usize>, is_account: bool) -> Option<Place> {
    let Principal::Member(view) = case.principal else { return None };
    let query = case.query;
    let context_is_plain = case.action.context.attributes.is_empty()
        || (query.context.is_empty()
            && query.action_properties.is_empty()
            && !case.action.context.attributes.iter().any(|found| found.required));
    if !context_is_plain || case.moved_to.is_some() {
        return None;
    }
    let account = if is_account {
        Some(query.resource.id)
    } else {
        match member(query.resource.properties, "account") {
            Some(Value::String(slug)) => Some(slug.as_ref()),
            Some(_) => return None,
            None => case.default_account,
        }
    };
    let relation = match account {
        Some(account) if account == view.account => Relation::Own,
        Some(_) => Relation::Other,
        None => Relation::Nowhere,
    };
    Some(Place((role? * 2 + usize::from(view.active)) * 3 + relation as usize))
}
