//! Search: which subjects may do an action, on which resources a subject may do it, and which actions a
//! subject may do.
//!
//! Every result is one that [`super::decide`] allows. Where role, account and suspension alone decide,
//! one decision stands for a whole group of members; else each candidate is asked about. One page takes
//! a bounded number of decisions, so it may be short, or empty, and still not be the last. Not a
//! snapshot: a change between two pages is seen by the second.

use std::ops::Bound;

use serde::{Deserialize, Serialize};

use super::cross_check_fallback::evaluate_trusted;
use super::decide::{as_member, signed_in};
use crate::app::App;
use crate::directory::MemberGroup;
use crate::domain::access_query::property;
use crate::domain::{Decision, EntityRef, MemberAccess, MemberView, Query, limits};
use crate::engine::{Members, QueryContext, Snapshot, made_up_member};

/// What is searched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Searched {
    /// Who may do an action on a resource.
    Subject,
    /// On which resources a subject may do an action.
    Resource,
    /// Which actions a subject may do on a resource.
    Action,
}

/// The candidate after which a page begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SearchPosition {
    /// An entity of `entities.json`.
    Stored(String),
    /// A member.
    Member {
        /// Whether this is the walk through the account of the query, which comes first.
        own: bool,
        /// The member's account.
        account: String,
        /// The member's role.
        role: String,
        /// False while suspended.
        active: bool,
        /// The member's id; empty before the first of the group.
        id: String,
    },
    /// An account.
    Account(String),
    /// An action.
    Action(String),
}

/// One page of results.
#[derive(Debug, Default)]
pub struct SearchPage {
    /// Ids, or the names of actions.
    pub found: Vec<String>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<SearchPosition>,
}

/// Finds one page. The part of the query that is searched for has an empty id or name; its other
/// attributes are taken for every candidate.
#[must_use]
pub fn search(
    app: &App,
    policies: &Snapshot,
    query: &Query<'_>,
    searched: Searched,
    after: Option<SearchPosition>,
    limit: usize,
) -> SearchPage {
    let signed_in = signed_in(app, query);
    let query = match &signed_in {
        Some(signed_in) => as_member(query, signed_in.member().as_str()),
        None => *query,
    };
    let default_account = app.config.decision.single_account.as_ref().map(|slug| slug.as_str());
    let scope = SearchScope { app, policies, members_of: None, default_account };
    scope.search(query, searched, after, limit)
}

/// Where a search looks.
#[derive(Clone, Copy, Debug)]
pub(super) struct SearchScope<'s> {
    pub(super) app: &'s App,
    pub(super) policies: &'s Snapshot,
    /// The account whose members are found; `None` finds the members of all accounts, and entities
    /// that are no members.
    pub(super) members_of: Option<&'s str>,
    /// The account of a resource without one.
    pub(super) default_account: Option<&'s str>,
}

impl<'s> SearchScope<'s> {
    /// Finds one page, as [`search`] does.
    pub(super) fn search(
        self,
        query: Query<'s>,
        searched: Searched,
        after: Option<SearchPosition>,
        limit: usize,
    ) -> SearchPage {
        let SearchScope { app, policies, .. } = self;
        let (found, decisions) = (Vec::new(), 0);
        let mut search =
            Search { scope: self, app, policies, query, searched, limit, found, decisions };
        // A subject that does not exist may do nothing: no candidate has to be asked about.
        let next = if searched == Searched::Subject || search.has_subject() {
            search.walk(after)
        } else {
            None
        };
        SearchPage { found: search.found, next }
    }

    /// Decides one query as a search does.
    pub(super) fn decide(&self, query: &Query<'_>, explain: bool) -> Decision {
        let members = &*self.app.directory;
        let world = QueryContext { members, single_account: self.default_account };
        evaluate_trusted(self.app, self.policies, query, &world, explain)
    }

    /// One of the members who may be found, if there are any.
    pub(super) fn first_member(&self) -> Option<String> {
        let account = self.members_of?;
        let group = self.app.directory.first_group(Bound::Excluded(&before(account)))?;
        let first = self.app.directory.group_members(&group, "", 1);
        first.into_iter().next().filter(|_| *group.account == *account)
    }

    /// Whether an id is that of a member who may be found.
    fn has_member(&self, id: &str) -> bool {
        self.app.directory.with(id, |member| self.members_of == Some(member.account)) == Some(true)
    }
}

/// A page under construction.
struct Search<'s> {
    scope: SearchScope<'s>,
    app: &'s App,
    policies: &'s Snapshot,
    query: Query<'s>,
    searched: Searched,
    limit: usize,
    found: Vec<String>,
    decisions: usize,
}

/// The page is full, or has taken enough decisions: the rest is another page.
struct PageEnd;

impl<'s> Search<'s> {
    fn walk(&mut self, after: Option<SearchPosition>) -> Option<SearchPosition> {
        if self.searched == Searched::Action {
            let after = match &after {
                Some(SearchPosition::Action(name)) => name.as_str(),
                _ => "",
            };
            let names = self.policies.action_names();
            return self.each(names.into_iter(), after).map(SearchPosition::Action);
        }
        let kind = self.kind();
        let after = match after {
            None | Some(SearchPosition::Stored(_)) => {
                let from = match &after {
                    Some(SearchPosition::Stored(id)) => id.as_str(),
                    _ => "",
                };
                let mut stored = self.policies.stored_ids(kind);
                stored.retain(|id| self.scope.members_of.is_none() || self.scope.has_member(id));
                if let Some(last) = self.each(stored.into_iter(), from) {
                    return Some(SearchPosition::Stored(last));
                }
                None
            }
            further => further,
        };
        if self.policies.is_member_type(kind) {
            self.members(after)
        } else if self.policies.is_account_type(kind) && self.searched == Searched::Resource {
            self.accounts(after)
        } else {
            None
        }
    }

    /// The type that is searched for, as the caller spells it.
    fn kind(&self) -> &'s str {
        match self.searched {
            Searched::Subject => self.query.subject.kind,
            Searched::Resource | Searched::Action => self.query.resource.kind,
        }
    }

    fn has_subject(&self) -> bool {
        let EntityRef { kind, id, .. } = self.query.subject;
        self.policies.is_stored(kind, id)
            || (self.policies.is_member_type(kind) && self.app.directory.with(id, |_| ()).is_some())
    }

    /// Asks about candidates in their order, after one. Answers the last one that was asked about, if
    /// others remain.
    fn each<'c>(
        &mut self,
        candidates: impl Iterator<Item = &'c str>,
        after: &str,
    ) -> Option<String> {
        let mut last = after.to_owned();
        for candidate in candidates.filter(|candidate| *candidate > after) {
            if self.ask(candidate).is_err() {
                return Some(last);
            }
            candidate.clone_into(&mut last);
        }
        None
    }

    /// Asks about one candidate, and keeps it if it is allowed.
    fn ask(&mut self, candidate: &str) -> Result<(), PageEnd> {
        self.count()?;
        let query = self.about(candidate);
        if self.scope.decide(&query, false).allowed {
            self.keep(candidate)?;
        }
        Ok(())
    }

    /// Counts a decision, if the page may take one more.
    fn count(&mut self) -> Result<(), PageEnd> {
        if self.decisions >= limits::SEARCH_DECISIONS_MAX {
            return Err(PageEnd);
        }
        self.decisions += 1;
        Ok(())
    }

    /// Keeps a result. One more than fits shows that there is another page.
    fn keep(&mut self, result: &str) -> Result<(), PageEnd> {
        if self.found.len() >= self.limit {
            return Err(PageEnd);
        }
        self.found.push(result.to_owned());
        Ok(())
    }

    /// The query about one candidate.
    fn about<'c>(&'c self, candidate: &'c str) -> Query<'c> {
        let mut query: Query<'c> = self.query;
        match self.searched {
            Searched::Subject => query.subject.id = candidate,
            Searched::Resource => query.resource.id = candidate,
            Searched::Action => query.action = candidate,
        }
        query
    }

    fn accounts(&mut self, after: Option<SearchPosition>) -> Option<SearchPosition> {
        let mut last = match after {
            Some(SearchPosition::Account(slug)) => slug,
            _ => String::new(),
        };
        loop {
            let some = self.app.directory.accounts(&last, limits::SEARCH_CHUNK);
            let end = some.last()?.clone();
            let stored: Vec<bool> =
                some.iter().map(|slug| self.policies.is_stored(self.kind(), slug)).collect();
            let fresh = some.iter().zip(stored).filter(|(_, stored)| !stored);
            let fresh: Vec<&str> = fresh.map(|(slug, _)| slug.as_str()).collect();
            if let Some(last) = self.each(fresh.into_iter(), &last) {
                return Some(SearchPosition::Account(last));
            }
            last = end;
        }
    }

    /// All members that are no stored entities: first those of the account that the query is about, to
    /// which policies usually limit everything, then all others.
    fn members(&mut self, after: Option<SearchPosition>) -> Option<SearchPosition> {
        let only = self.scope.members_of.map(str::to_owned);
        let is_only = only.is_some();
        let account = only.or_else(|| self.account());
        let is_own = |group: &MemberGroup| account.as_deref() == Some(&*group.account);
        let (mut own, mut group, mut id) = match after {
            Some(SearchPosition::Member { own, account, role, active, id }) => {
                (own, MemberGroup { account: account.into(), role: role.into(), active }, id)
            }
            _ => (account.is_some(), before(account.as_deref().unwrap_or_default()), String::new()),
        };
        loop {
            if own == is_own(&group) && self.group(&group, &mut id).is_err() {
                let MemberGroup { account, role, active } = &group;
                let (account, role) = (account.to_string(), role.to_string());
                return Some(SearchPosition::Member { own, account, role, active: *active, id });
            }
            let next = self.app.directory.first_group(Bound::Excluded(&group));
            group = match next.filter(|next| !own || is_own(next)) {
                Some(next) => next,
                None if own && !is_only && !self.others_are_denied() => before(""),
                None => return None,
            };
            own = own && is_own(&group);
            id.clear();
        }
    }

    /// The members of one group after `id`, which becomes the last one that was asked about.
    fn group(&mut self, group: &MemberGroup, id: &mut String) -> Result<(), PageEnd> {
        let MemberGroup { account, role, active } = group;
        let decided = self.decision_by_state(MemberAccess { account, role, active: *active });
        if decided.is_some() {
            self.count()?;
        }
        if decided == Some(false) {
            return Ok(());
        }
        loop {
            let some = self.app.directory.group_members(group, id, limits::SEARCH_CHUNK);
            if some.is_empty() {
                return Ok(());
            }
            for candidate in some {
                if !self.policies.is_stored(self.kind(), &candidate) {
                    match decided {
                        Some(_) => self.keep(&candidate)?,
                        None => self.ask(&candidate)?,
                    }
                }
                *id = candidate;
            }
        }
    }

    /// The account of the resource or, where resources are searched for, of the subject.
    fn account(&self) -> Option<String> {
        let Query { subject, resource, .. } = &self.query;
        if self.searched == Searched::Resource {
            return self.app.directory.with(subject.id, |member| member.account.to_owned());
        }
        if self.policies.is_account_type(resource.kind) {
            return Some(resource.id.to_owned());
        }
        let said = property(resource.properties, "account").and_then(|said| said.as_str());
        said.or(self.scope.default_account).map(str::to_owned)
    }

    /// Whether the members of all accounts but that of the resource are denied, whichever role they
    /// have.
    fn others_are_denied(&self) -> bool {
        self.app.directory.roles_held().iter().all(|(role, _)| {
            [true, false].into_iter().all(|active| {
                // No account has this name.
                let access = MemberAccess { account: "", role: role.as_str(), active };
                self.decision_by_state(access) == Some(false)
            })
        })
    }

    /// The decision about all members with this state; `None` where it depends on the member.
    fn decision_by_state(&self, access: MemberAccess<'_>) -> Option<bool> {
        let single_account = self.scope.default_account;
        let is_alike = self.searched == Searched::Subject
            && !self.app.cross_check.is_distrusted()
            && self.policies.is_decided_by_state(access, &self.query, single_account);
        let MemberAccess { account, role, active } = access;
        is_alike.then(|| {
            let members = &OneMember(made_up_member(self.query.subject.id, account, role, active));
            self.policies
                .decide(&self.query, &QueryContext { members, single_account }, false)
                .allowed
        })
    }
}

/// A place before all groups of an account.
fn before(account: &str) -> MemberGroup {
    MemberGroup { account: account.into(), role: "".into(), active: false }
}

/// A member who stands for all with the same state.
struct OneMember<'m>(MemberView<'m>);

impl Members for OneMember<'_> {
    fn with<R>(&self, _: &str, read: impl FnOnce(MemberView<'_>) -> R) -> Option<R> {
        Some(read(self.0))
    }
}
