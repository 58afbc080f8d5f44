//! The explanation of a decision: all causes of a deny, found by evaluating the query with changes.
//!
//! The following can be changed: the status of the member, the account of the resource, the role,
//! the policies that forbid, and, if nothing permits, that. The reported causes are a smallest set:
//! with all of them changed the decision is allow, with one fewer it is deny. Needs several
//! evaluations for each role, so it does not run on decision threads.

use std::collections::BTreeMap;

use cedar_policy::{EvalResult, PolicyId};

use super::attribute_types::{shown, shown_within_quotes};
use super::decide::UnansweredCause;
use super::entity_builder::{BuiltAttributes, EntityBuilder, Principal, ResolvedQuery};
use super::evaluate::{Environment, Findings, Verdict};
use super::static_entities::StaticEntity;
use super::{Members, QueryContext, Snapshot};
use crate::domain::decision::Explanation;
use crate::domain::{MemberView, Query, Reason, RoleId, spelling_suggestions};

/// Most names in one list of a sentence; the explanation has them all.
const NAMED_MAX: usize = 10;

/// A cause of a deny: its code, and its part of the sentence.
type Cause = (Reason, String);

/// The policies that forbid, each with the error if it could not be evaluated.
type ForbiddingPolicies = BTreeMap<PolicyId, Option<String>>;

/// A change of a member's query, except the role.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct AttributeChange {
    /// The member is active.
    active: bool,
    /// The resource is in the member's account.
    account: bool,
}

impl AttributeChange {
    const fn count(self) -> usize {
        self.active as usize + self.account as usize
    }
}

/// A way to an allow: what is changed, and the policies that still forbid.
#[derive(Clone, Debug, PartialEq, Eq)]
struct AllowPath {
    change: AttributeChange,
    /// The roles that would be allowed; empty if it is the member's own.
    roles: Vec<RoleId>,
    blocks: ForbiddingPolicies,
}

impl AllowPath {
    fn new(change: AttributeChange, role: Option<&RoleId>, found: &Findings) -> Self {
        let blocks = found.blocks.clone();
        Self { change, roles: role.cloned().into_iter().collect(), blocks }
    }

    /// The fewest policies first: a `forbid` that depends on the status, the account or the role is
    /// reported as that. The role last.
    fn order(&self) -> (usize, bool, usize) {
        (self.blocks.len(), !self.roles.is_empty(), self.change.count())
    }

    /// The better of two; of equal ones the first, with the roles of both.
    fn or(best: Option<Self>, other: Self) -> Option<Self> {
        match best {
            Some(best) if best.order() < other.order() => Some(best),
            Some(mut best) if best.order() == other.order() => {
                if best.change == other.change && best.blocks == other.blocks {
                    best.roles.extend(other.roles);
                }
                Some(best)
            }
            _ => Some(other),
        }
    }
}

impl Snapshot {
    /// Explains the result of a query.
    pub(super) fn explain<M: Members>(
        &self,
        case: &ResolvedQuery<'_>,
        env: &Environment,
        verdict: &Verdict,
        world: &QueryContext<'_, M>,
    ) -> Explanation {
        if verdict.allowed {
            return granted(case, verdict);
        }
        DeniedQuery { snapshot: self, case, env, world }.explain()
    }

    /// Explains the result of the whole set, without further evaluations, which would use the
    /// slices.
    pub(super) fn explain_whole_set(
        &self,
        case: &ResolvedQuery<'_>,
        verdict: &Verdict,
    ) -> Explanation {
        if verdict.allowed {
            return granted(case, verdict);
        }
        let found = verdict.reasons.union(&verdict.erred);
        let forbids: Vec<&PolicyId> = found.filter(|id| self.forbids.contains(*id)).collect();
        let (action, kind) = (case.query.action, case.query.resource.kind);
        let denied = if forbids.is_empty() {
            format!("no policy allows `{action}` on this `{kind}`")
        } else {
            format!("denied by {}", policies(&forbids))
        };
        let sentence = format!(
            "{denied}; other causes were not looked for, because a wrong answer of the engine was found and all policies are evaluated for each question: see the log"
        );
        let policies = forbids.iter().map(ToString::to_string).collect();
        Explanation { reason: Reason::NotExplained, sentence, policies, roles: Vec::new() }
    }

    /// Explains a query that is denied without evaluating policies.
    pub(super) fn explain_refusal<M: Members>(
        &self,
        refusal: &UnansweredCause,
        query: &Query<'_>,
        world: &QueryContext<'_, M>,
    ) -> Explanation {
        let mut causes = Vec::new();
        match refusal {
            UnansweredCause::UnknownSubject => {
                causes.push(self.unknown_subject(query));
                let principal = match query.subject.kind {
                    "session" => Some(self.names.user),
                    kind => self.names.type_index(kind),
                };
                self.not_in_schema(principal, query, &mut causes);
            }
            UnansweredCause::NoTopic(principal) => {
                self.not_in_schema(*principal, query, &mut causes)
            }
            UnansweredCause::Bad(bad) => {
                let id = query.resource.id;
                if bad.found.iter().any(|(path, _)| path.starts_with("resource."))
                    && self.names.type_index(query.resource.kind) == Some(self.names.user)
                    && world.members.with(id, |_| ()).is_none()
                {
                    causes.push((Reason::UnknownResource, nobody(query.resource.kind, id)));
                }
                for (path, why) in &bad.found {
                    let (path, why) = (shown_within_quotes(path), shown_within_quotes(why));
                    causes.push((Reason::BadAttributes, format!("`{path}` {why}")));
                }
                if bad.more > 0 {
                    let more = format!("{} more attributes do not conform to the schema", bad.more);
                    causes.push((Reason::BadAttributes, more));
                }
            }
        }
        said(causes, Vec::new(), Vec::new())
    }

    fn unknown_subject(&self, query: &Query<'_>) -> Cause {
        let (kind, id) = (query.subject.kind, query.subject.id);
        match self.names.type_index(kind) {
            _ if kind == "session" => {
                (Reason::SessionEnded, "this session has ended: sign in again".to_owned())
            }
            Some(known) if known == self.names.user => (Reason::UnknownSubject, nobody(kind, id)),
            Some(_) => {
                let sentence = format!("`entities.json` has no `{kind}` `{}`", shown(id));
                (Reason::UnknownSubject, sentence)
            }
            None => (Reason::UnknownSubject, self.no_type(kind)),
        }
    }

    /// Why the policies cannot be asked a query of a member, if so: what [`Self::explain_refusal`]
    /// says of the schema, each with its reason.
    #[must_use]
    pub fn schema_lacks(&self, query: &Query<'_>) -> Vec<(Reason, String)> {
        let mut causes = Vec::new();
        self.not_in_schema(Some(self.names.user), query, &mut causes);
        causes
    }

    /// The types of resource to which the schema applies an action of members; without one, any of
    /// their actions.
    #[must_use]
    pub fn resource_types(&self, action: Option<&str>) -> Vec<&str> {
        let actions: Vec<usize> = match action {
            Some(name) => self.names.action_index(name).into_iter().collect(),
            None => (0..self.names.actions.len()).collect(),
        };
        let user = self.names.user;
        let applies = |kind: usize| {
            actions.iter().any(|action| self.slices.env(user, *action, kind).is_some())
        };
        let types = self.names.types.iter().enumerate();
        types.filter(|(kind, _)| applies(*kind)).map(|(_, info)| info.snake.as_str()).collect()
    }

    /// What the schema lacks for a query: the action, the type of resource, or that the action
    /// applies to it.
    fn not_in_schema(&self, principal: Option<usize>, query: &Query<'_>, causes: &mut Vec<Cause>) {
        let (action, kind) = (query.action, query.resource.kind);
        let found = (self.names.action_index(action), self.names.type_index(kind));
        if found.0.is_none() {
            let known = self.names.actions.iter().map(|known| known.uid.id().unescaped());
            let sentence = format!("the schema has no action `{}`", shown(action));
            causes.push((Reason::UnknownAction, sentence + &did_you_mean(action, known)));
        }
        if found.1.is_none() {
            causes.push((Reason::UnknownResourceType, self.no_type(kind)));
        }
        if let ((Some(at), Some(resource)), Some(principal)) = (found, principal)
            && self.slices.env(principal, at, resource).is_none()
        {
            causes.push((Reason::ActionNotApplicable, self.not_applicable(principal, at, query)));
        }
    }

    fn not_applicable(&self, principal: usize, action: usize, query: &Query<'_>) -> String {
        let types = || 0..self.names.types.len();
        let applies = |from: usize, to: usize| self.slices.env(from, action, to).is_some();
        let list = |kinds: Vec<usize>| {
            let names = kinds.into_iter().filter_map(|kind| Some(&self.names.get(kind)?.snake));
            any_of(names.map(|name| with_article(name)).collect())
        };
        let name = query.action;
        let resources: Vec<usize> = types().filter(|kind| applies(principal, *kind)).collect();
        if !resources.is_empty() {
            let (kind, only) = (with_article(query.resource.kind), list(resources));
            return format!("the action `{name}` does not apply to {kind}, only to {only}");
        }
        let subject = self.names.get(principal).map_or("", |kind| &kind.snake);
        let subjects: Vec<usize> =
            types().filter(|from| types().any(|to| applies(*from, to))).collect();
        if subjects.is_empty() {
            format!("the schema applies the action `{name}` to nothing")
        } else {
            let only = list(subjects);
            let subject = with_article(subject);
            format!("the action `{name}` is not for {subject}, only for {only}")
        }
    }

    fn no_type(&self, kind: &str) -> String {
        let known = self.names.types.iter().map(|info| info.snake.as_str());
        let near = did_you_mean(kind, known);
        format!("the schema has no type `{}`{near}", shown(kind))
    }
}

struct DeniedQuery<'d, M> {
    snapshot: &'d Snapshot,
    case: &'d ResolvedQuery<'d>,
    env: &'d Environment,
    world: &'d QueryContext<'d, M>,
}

impl<M: Members> DeniedQuery<'_, M> {
    fn explain(&self) -> Explanation {
        let own: Vec<(AttributeChange, Findings)> = self
            .changes()
            .into_iter()
            .filter_map(|change| Some((change, self.find(change, None)?)))
            .collect();
        let deciding = own.first().map_or_else(Vec::new, |(_, found)| {
            found.blocks.keys().map(ToString::to_string).collect()
        });
        let permitted = own.iter().filter(|(_, found)| !found.permits.is_empty());
        let by_status_and_account = permitted.fold(None, |best, (change, found)| {
            AllowPath::or(best, AllowPath::new(*change, None, found))
        });
        let way = self.by_role(&own, by_status_and_account);
        let (way, permitted) = match way {
            Some(way) => (way, true),
            None => (nearest_to_a_permit(&own), false),
        };
        let here = own.iter().find(|(change, _)| *change == way.change).map(|(_, found)| found);
        let (Some((_, now)), Some(here)) = (own.first(), here) else {
            return said(Vec::new(), deciding, Vec::new());
        };
        let causes = self.causes(&way, now, here, permitted);
        let alone = way.change == AttributeChange::default() && way.blocks.is_empty();
        said(causes, deciding, if alone { way.roles } else { self.roles_alone() })
    }

    /// The roles that would be allowed with nothing else changed, if another way is explained.
    fn roles_alone(&self) -> Vec<RoleId> {
        let Principal::Member(view) = self.case.principal else { return Vec::new() };
        let others = self.snapshot.roles.iter().map(|card| &card.id);
        let allowed = |role: &&RoleId| {
            role.as_str() != view.role
                && self
                    .find(AttributeChange::default(), Some(role))
                    .is_some_and(|found| !found.permits.is_empty() && found.blocks.is_empty())
        };
        others.filter(allowed).cloned().collect()
    }

    /// All combinations of changes, from none to all.
    fn changes(&self) -> Vec<AttributeChange> {
        let mut changes = vec![AttributeChange::default()];
        let Principal::Member(view) = self.case.principal else { return changes };
        if !view.active {
            changes.push(AttributeChange { active: true, account: false });
        }
        if self.may_be_elsewhere(&view) {
            let also = |change: &AttributeChange| AttributeChange { account: true, ..*change };
            let moved: Vec<AttributeChange> = changes.iter().map(also).collect();
            changes.extend(moved);
        }
        changes
    }

    /// False if the resource is in the member's account, whatever the policies say.
    fn may_be_elsewhere(&self, view: &MemberView<'_>) -> bool {
        let (names, asked) = (&self.snapshot.names, &self.case.query.resource);
        if self.case.resource_type == names.account {
            return asked.id != view.account;
        }
        if let Some(stored) = self.stored() {
            return self.stored_elsewhere(stored, view.account).is_some();
        }
        if self.case.resource_type == names.user
            && let Some(own) =
                self.world.members.with(asked.id, |member| member.account == view.account)
        {
            return !own;
        }
        self.account_of_question().is_none_or(|account| account != view.account)
    }

    /// The resource, if it is in `entities.json`.
    fn stored(&self) -> Option<&StaticEntity> {
        let uid = self.snapshot.names.uid(self.case.resource_type, self.case.query.resource.id)?;
        self.snapshot.stored.get(&uid)
    }

    /// Why a stored resource is outside this account: it is not in the account, or its attribute
    /// `account` is another. `None` if neither is so, even if it is in other accounts too.
    fn stored_elsewhere(&self, stored: &StaticEntity, own: &str) -> Option<String> {
        let (names, asked) = (&self.snapshot.names, &self.case.query.resource);
        let kind = asked.kind;
        let uid = stored.entity.uid();
        if let Some(slug) = self.gatherer().default_of_stored(self.case, &uid, stored) {
            let place = in_single_account(kind, slug);
            return (slug != own).then_some(place);
        }
        if names.get(self.case.resource_type).is_some_and(|info| info.in_account) {
            let account = names.name(names.account);
            let found = stored.lineage.iter().filter(|uid| Some(uid.type_name()) == account);
            let mut accounts: Vec<&str> = found.map(|uid| uid.id().unescaped()).collect();
            accounts.sort_unstable();
            if !accounts.contains(&own) {
                let list = listed(accounts.iter().map(|slug| format!("`{}`", shown(slug))));
                let place = match accounts.len() {
                    0 => "no account".to_owned(),
                    1 => format!("account {list}, not the member's"),
                    _ => format!("accounts {list}, none of them the member's"),
                };
                return Some(format!("`entities.json` puts this `{kind}` into {place}"));
            }
        }
        names.shape(self.case.resource_type).get("account")?;
        let not_own = |slug: &str, whose: &str| {
            let sentence = format!("{whose} is `{}`, not the member's", shown(slug));
            (slug != own).then_some(sentence)
        };
        if let Some(slug) = self.gatherer().said_account(asked).ok().flatten() {
            return not_own(&slug, "`resource.properties.account`");
        }
        let of_stored = format!("the `account` of this `{kind}` in `entities.json`");
        match stored.entity.attr("account") {
            Some(Ok(EvalResult::EntityUid(uid))) => not_own(uid.id().unescaped(), &of_stored),
            Some(Ok(EvalResult::String(slug))) => not_own(&slug, &of_stored),
            Some(_) => None,
            None => Some(format!(
                "neither `entities.json` nor the request gives the `account` of this `{kind}`: send `resource.properties.account`"
            )),
        }
    }

    /// The account that the query gives for the resource.
    fn account_of_question(&self) -> Option<String> {
        let said = self.gatherer().said_account(&self.case.query.resource).ok().flatten();
        said.map(|slug| slug.into_owned()).or(self.case.default_account.map(str::to_owned))
    }

    fn gatherer(&self) -> EntityBuilder<'_, M> {
        let Snapshot { names, stored, .. } = self.snapshot;
        let attributes = BuiltAttributes::Read;
        EntityBuilder { names, stored, members: self.world.members, attributes }
    }

    /// The result with this change; `None` if the change is not possible.
    fn find(&self, change: AttributeChange, role: Option<&RoleId>) -> Option<Findings> {
        let case = self.changed(change, role);
        self.snapshot.find(&case, self.env, self.world).ok()
    }

    fn changed<'s>(
        &'s self,
        change: AttributeChange,
        role: Option<&'s RoleId>,
    ) -> ResolvedQuery<'s> {
        let Principal::Member(view) = self.case.principal else { return *self.case };
        let role = role.map_or(view.role, RoleId::as_str);
        let active = view.active || change.active;
        let moved_to = change.account.then_some(view.account);
        let principal = Principal::Member(MemberView { active, role, ..view });
        ResolvedQuery { principal, moved_to, ..*self.case }
    }

    /// The best way with any role, if no way with the member's own is good enough.
    fn by_role(
        &self,
        own: &[(AttributeChange, Findings)],
        mut best: Option<AllowPath>,
    ) -> Option<AllowPath> {
        let Principal::Member(view) = self.case.principal else { return best };
        for (change, _) in own {
            let is_best = |best: &AllowPath| {
                best.blocks.is_empty()
                    && (best.roles.is_empty() || best.change.count() <= change.count())
            };
            if best.as_ref().is_some_and(is_best) {
                continue;
            }
            let others = self
                .snapshot
                .roles
                .iter()
                .map(|card| &card.id)
                .filter(|id| id.as_str() != view.role);
            for role in others {
                match self.find(*change, Some(role)) {
                    Some(found) if !found.permits.is_empty() => {
                        best = AllowPath::or(best, AllowPath::new(*change, Some(role), &found));
                    }
                    _ => {}
                }
            }
        }
        best
    }

    /// The causes along a way, each sufficient for a deny. `now` is the result without changes,
    /// `here` with the changes except the role.
    fn causes(
        &self,
        way: &AllowPath,
        now: &Findings,
        here: &Findings,
        permitted: bool,
    ) -> Vec<Cause> {
        let mut causes = Vec::new();
        let alone = way.order() == (0, false, 1);
        if let Principal::Member(view) = self.case.principal {
            if way.change.active {
                let next = if alone { ": restore the member first" } else { "" };
                causes.push((Reason::Suspended, format!("this member is suspended{next}")));
            }
            if way.change.account {
                causes.push((Reason::OtherAccount, self.elsewhere(&view)));
            }
        }
        if !way.roles.is_empty() {
            causes.extend(self.role_causes(way, now, here));
        }
        causes.extend(forbids(&way.blocks, now));
        if !permitted {
            causes.push(self.unpermitted(way.change, here));
        }
        causes
    }

    /// Where the resource is, if not in the member's account.
    fn elsewhere(&self, view: &MemberView<'_>) -> String {
        let (names, asked) = (&self.snapshot.names, &self.case.query.resource);
        let (kind, id) = (asked.kind, asked.id);
        let mut unknown = String::new();
        if self.case.resource_type == names.account {
            return format!("the account `{}` is not the member's", shown(id));
        }
        if let Some(stored) = self.stored()
            && let Some(sentence) = self.stored_elsewhere(stored, view.account)
        {
            return sentence;
        }
        if self.case.resource_type == names.user {
            if self.world.members.with(id, |_| ()).is_some() {
                return format!("this `{kind}` is a member of another account");
            }
            unknown = format!("{}, and ", nobody(kind, id));
        }
        let said = self.gatherer().said_account(asked).ok().flatten();
        match (said, self.case.default_account) {
            (Some(slug), _) => {
                let slug = shown(&slug);
                format!("{unknown}this `{kind}` is in account `{slug}`, not the member's")
            }
            (None, Some(slug)) => unknown + &in_single_account(kind, slug),
            (None, None) => {
                format!("{unknown}the request names no account: send `resource.properties.account`")
            }
        }
    }

    /// What the member's role lacks: a `permit`, or an exception from a `forbid`.
    fn role_causes(&self, way: &AllowPath, now: &Findings, here: &Findings) -> Vec<Cause> {
        let (action, kind) = (self.case.query.action, self.case.query.resource.kind);
        let Principal::Member(MemberView { role, .. }) = self.case.principal else {
            return Vec::new();
        };
        let mut lifted = here.blocks.clone();
        lifted.retain(|id, _| {
            // For a role without a `permit` only current facts are reported.
            let counts = !here.permits.is_empty() || now.blocks.contains_key(id);
            counts && !way.blocks.contains_key(id)
        });
        let mut causes = forbids(&lifted, now);
        if here.permits.is_empty() {
            let lacks = format!("the role `{role}` may not `{action}` this `{kind}`");
            causes.insert(0, (Reason::RoleLacksAction, lacks));
        }
        let roles = listed(way.roles.iter().map(|role| format!("`{role}`")));
        let rest = way.change.count() + way.blocks.len() > 0;
        let once = if rest { "if nothing else stood in the way, " } else { "" };
        if let Some((_, sentence)) = causes.last_mut() {
            sentence.push_str(&format!("; {once}these roles may: {roles}"));
        }
        causes
    }

    /// Nothing permits it, whatever is changed.
    fn unpermitted(&self, change: AttributeChange, here: &Findings) -> Cause {
        let (action, kind) = (self.case.query.action, self.case.query.resource.kind);
        let nothing = format!("no policy allows `{action}` on this `{kind}`");
        let case = self.changed(change, None);
        let in_scope =
            self.snapshot.permits_in_scope(&case, self.env, self.world).unwrap_or_default();
        if in_scope.is_empty() {
            let who = match self.case.principal {
                Principal::Member(view) => format!("the role `{}`", view.role),
                Principal::Stored(..) => {
                    let subject = &self.case.query.subject;
                    format!("`{}` `{}`", subject.kind, shown(subject.id))
                }
            };
            return (Reason::NoPermit, format!("{nothing} for {who}"));
        }
        let failed = |id: &&PolicyId| here.failed.contains_key(*id);
        let unmet: Vec<&PolicyId> = in_scope.iter().filter(|id| !failed(id)).collect();
        let mut why: Vec<String> = Vec::new();
        if !unmet.is_empty() {
            why.push(format!("the conditions of {} do not hold", policies(&unmet)));
        }
        for id in in_scope.iter().filter(failed).take(NAMED_MAX) {
            let reason = here.failed.get(id).map_or("", String::as_str);
            why.push(unevaluated(id, reason));
        }
        why.extend(more_unevaluated(in_scope.iter().filter(failed).count()));
        (Reason::ConditionUnmet, format!("{nothing}: {}", why.join(", ")))
    }
}

/// The policies that cannot be evaluated, those that forbid, and those that would after the other
/// changes. `now` is the result without changes.
fn forbids(blocks: &ForbiddingPolicies, now: &Findings) -> Vec<Cause> {
    let mut causes = Vec::new();
    let erred = || blocks.iter().filter_map(|(id, why)| Some((id, why.as_ref()?)));
    for (id, why) in erred().take(NAMED_MAX) {
        causes.push((Reason::ForbidErred, unevaluated(id, why)));
    }
    causes.extend(more_unevaluated(erred().count()).map(|more| (Reason::ForbidErred, more)));
    let matching = blocks.iter().filter(|(_, why)| why.is_none()).map(|(id, _)| id);
    let (matched, later): (Vec<&PolicyId>, Vec<&PolicyId>) =
        matching.partition(|id| now.blocks.contains_key(*id));
    if !matched.is_empty() {
        causes.push((Reason::Forbidden, format!("forbidden by {}", policies(&matched))));
    }
    if !later.is_empty() {
        causes.push((
            Reason::Forbidden,
            format!("with that changed, it would still be forbidden by {}", policies(&later)),
        ));
    }
    causes
}

/// If nothing permits a query: the change after which the fewest policies forbid it.
fn nearest_to_a_permit(own: &[(AttributeChange, Findings)]) -> AllowPath {
    let ways = own.iter().map(|(change, found)| AllowPath::new(*change, None, found));
    let none = AllowPath {
        change: AttributeChange::default(),
        roles: Vec::new(),
        blocks: ForbiddingPolicies::new(),
    };
    ways.fold(None, AllowPath::or).unwrap_or(none)
}

fn granted(case: &ResolvedQuery<'_>, verdict: &Verdict) -> Explanation {
    let (action, kind) = (case.query.action, case.query.resource.kind);
    Explanation {
        reason: Reason::Granted,
        sentence: format!("`{action}` on this `{kind}` is allowed"),
        policies: verdict.reasons.iter().map(ToString::to_string).collect(),
        roles: Vec::new(),
    }
}

fn unevaluated(id: &PolicyId, why: &str) -> String {
    format!("policy `{}` could not be evaluated: {why}", shown(id.as_ref()))
}

/// The number of further policies that could not be evaluated.
fn more_unevaluated(count: usize) -> Option<String> {
    let more = count.saturating_sub(NAMED_MAX);
    (more > 0).then(|| format!("and {more} more could not be evaluated"))
}

/// An explanation with the code of the first cause.
fn said(causes: Vec<Cause>, policies: Vec<String>, roles: Vec<RoleId>) -> Explanation {
    let reason = causes.first().map_or(Reason::NoPermit, |(reason, _)| *reason);
    let sentences: Vec<String> = causes.into_iter().map(|(_, sentence)| sentence).collect();
    Explanation { reason, sentence: sentences.join("; "), policies, roles }
}

fn in_single_account(kind: &str, slug: &str) -> String {
    format!("this `{kind}` is in account `{slug}` (`decision.single_account`), not the member's")
}

fn nobody(kind: &str, id: &str) -> String {
    format!("there is no `{kind}` `{}`", shown(id))
}

fn did_you_mean<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> String {
    spelling_suggestions::nearest(name, known)
        .map_or_else(String::new, |near| format!(": did you mean `{near}`?"))
}

fn policies(ids: &[&PolicyId]) -> String {
    let word = if ids.len() == 1 { "policy" } else { "policies" };
    format!("{word} {}", listed(ids.iter().map(|id| format!("`{}`", shown(id.as_ref())))))
}

/// "an `account`", "a `chat`".
fn with_article(name: &str) -> String {
    let article = if name.starts_with(['a', 'e', 'i', 'o']) { "an" } else { "a" };
    format!("{article} `{name}`")
}

/// Names of which one is meant: "a `chat` or an `account`".
fn any_of(names: Vec<String>) -> String {
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() && rest.len() < NAMED_MAX => {
            format!("{} or {last}", rest.join(", "))
        }
        _ => listed(names),
    }
}

/// The first items of a list, and the number of the rest.
fn listed(names: impl IntoIterator<Item = String>) -> String {
    let names: Vec<String> = names.into_iter().collect();
    let shown = names.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
