//! One decision: names understood, entities gathered, slices judged, and on demand explained.
//!
//! Synchronous and total: whatever is in doubt is a deny that says why. Reads no disk, takes no
//! lock, and never writes.

use super::evaluate::{Evaluation, Verdict};
use super::gather::{Case, Gatherer, Principal};
use super::memory::{self, Memory, Place, Situation};
use super::names::ActionInfo;
use super::slices::{Env, Keys};
use super::types::BadAttribute;
use super::{Members, Snapshot, World};
use crate::domain::decision::Explanation;
use crate::domain::{Decision, MemberView, Query, Reason, RoleId, Standing};

/// Why a question is denied without asking any policy.
pub(super) struct Refusal {
    reason: Reason,
    sentence: String,
}

impl Refusal {
    fn new(reason: Reason, sentence: impl Into<String>) -> Self {
        Self { reason, sentence: sentence.into() }
    }
}

impl From<BadAttribute> for Refusal {
    fn from(bad: BadAttribute) -> Self {
        Self::new(Reason::BadAttributes, format!("`{}` {}", bad.path, bad.why))
    }
}

/// What a question is about.
struct Topic<'e> {
    action: &'e ActionInfo,
    resource_type: usize,
    env: &'e Env,
}

/// Which policies are asked.
#[derive(Clone, Copy)]
enum Asked<'e> {
    /// Those that could concern the question.
    Slices(&'e Env),
    /// All.
    WholeSet,
}

/// How a question is answered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    /// Remembered, or by the slices.
    Usual,
    /// By the slices, with the reasons.
    Explained,
    /// By Cedar's own authorizer over all policies.
    WholeSet,
}

impl Snapshot {
    /// Answers one question about the members of `world`.
    pub fn decide<M: Members>(
        &self,
        query: &Query<'_>,
        world: &World<'_, M>,
        explain: bool,
    ) -> Decision {
        self.answer(query, world, if explain { How::Explained } else { How::Usual })
    }

    /// The same by Cedar's own authorizer over the whole set: nothing is remembered and no policy
    /// is left out, so it costs what the whole set costs. An erring `forbid` denies here as well.
    pub fn decide_by_whole_set<M: Members>(
        &self,
        query: &Query<'_>,
        world: &World<'_, M>,
    ) -> Decision {
        self.answer(query, world, How::WholeSet)
    }

    fn answer<M: Members>(&self, query: &Query<'_>, world: &World<'_, M>, how: How) -> Decision {
        match self.find_principal(query, world, how) {
            Ok(decision) => decision,
            Err(refusal) => Decision {
                explanation: (how == How::Explained).then(|| Explanation {
                    reason: refusal.reason,
                    sentence: refusal.sentence,
                    policies: Vec::new(),
                    roles: Vec::new(),
                }),
                ..Decision::default()
            },
        }
    }

    fn find_principal<M: Members>(
        &self,
        query: &Query<'_>,
        world: &World<'_, M>,
        how: How,
    ) -> Result<Decision, Refusal> {
        let subject = &query.subject;
        let kind = self.names.type_index(subject.kind);
        if !self.stored.is_empty()
            && let Some(uid) = kind.and_then(|kind| self.names.uid(kind, subject.id))
            && let Some(stored) = self.stored.get(&uid)
        {
            return self.judge(Principal::Stored(&uid, stored), query, world, how);
        }
        let unknown = || match subject.kind {
            "session" => {
                Refusal::new(Reason::SessionEnded, "this session has ended: sign in again")
            }
            kind => Refusal::new(
                Reason::UnknownSubject,
                format!("nobody is known as `{kind}` `{}`", subject.id.escape_debug()),
            ),
        };
        if kind != Some(self.names.user) {
            return Err(unknown());
        }
        if how == How::Usual
            && let Some(Some(allowed)) = world
                .members
                .standing(subject.id, |standing| self.recall(standing, query, world.single_account))
        {
            return Ok(Decision { allowed, ..Decision::default() });
        }
        world
            .members
            .with(subject.id, |view| self.judge(Principal::Member(view), query, world, how))
            .unwrap_or_else(|| Err(unknown()))
    }

    fn judge<M: Members>(
        &self,
        principal: Principal<'_>,
        query: &Query<'_>,
        world: &World<'_, M>,
        how: How,
    ) -> Result<Decision, Refusal> {
        let (case, env) = self.understand(principal, query, world)?;
        let place = match principal {
            Principal::Member(view) if how == How::Usual => {
                let Case { action, resource_type, .. } = case;
                let topic = Topic { action, resource_type, env };
                self.place(&topic, view.standing(), query, world.single_account)
            }
            _ => None,
        };
        if let Some((memory, place)) = place
            && let Some(allowed) = memory.recall(place)
        {
            return Ok(Decision { allowed, ..Decision::default() });
        }
        let asked = if how == How::WholeSet { Asked::WholeSet } else { Asked::Slices(env) };
        let verdict = self.ask(&case, asked, world)?;
        if let Some((memory, place)) = place.filter(|_| verdict.erred.is_empty()) {
            memory.remember(place, verdict.allowed);
        }
        Ok(Decision {
            allowed: verdict.allowed,
            erred: u32::try_from(verdict.erred.len()).unwrap_or(u32::MAX),
            explanation: (how == How::Explained).then(|| self.explain(&case, env, &verdict, world)),
        })
    }

    /// The answer to a question of a member of this standing, where it is remembered.
    fn recall(
        &self,
        standing: Standing<'_>,
        query: &Query<'_>,
        default_account: Option<&str>,
    ) -> Option<bool> {
        let topic = self.topic(self.names.user, query)?;
        let (memory, place) = self.place(&topic, standing, query, default_account)?;
        memory.recall(place)
    }

    /// Where the answer is remembered, if it may be.
    fn place<'e>(
        &self,
        topic: &Topic<'e>,
        standing: Standing<'_>,
        query: &Query<'_>,
        default_account: Option<&str>,
    ) -> Option<(&'e Memory, Place)> {
        let memory = topic.env.memory.as_ref()?;
        let situation = Situation {
            standing,
            role: *self.role_index.get(standing.role)?,
            query,
            context: &topic.action.context,
            is_account: topic.resource_type == self.names.account,
            default_account,
        };
        Some((memory, memory::place(&situation)?))
    }

    /// Whether the answer to this question of a member is remembered.
    #[cfg(test)]
    pub(super) fn remembers<M: Members>(&self, query: &Query<'_>, world: &World<'_, M>) -> bool {
        let recalled = world.members.with(query.subject.id, |view| {
            self.recall(view.standing(), query, world.single_account)
        });
        recalled.flatten().is_some()
    }

    /// Makes the opposite of what is remembered for a question of a member, to see who notices.
    #[cfg(test)]
    pub(crate) fn lie_about<M: Members>(&self, query: &Query<'_>, world: &World<'_, M>) {
        world.members.with(query.subject.id, |view| {
            let topic = self.topic(self.names.user, query)?;
            let (memory, place) =
                self.place(&topic, view.standing(), query, world.single_account)?;
            memory.remember(place, !memory.recall(place)?);
            Some(())
        });
    }

    /// What a question of such a principal is about, where the schema has it.
    fn topic(&self, principal: usize, query: &Query<'_>) -> Option<Topic<'_>> {
        let action = self.names.action_index(query.action)?;
        let resource_type = self.names.type_index(query.resource.kind)?;
        let env = self.slices.env(principal, action, resource_type)?;
        Some(Topic { action: self.names.actions.get(action)?, resource_type, env })
    }

    /// Finds the action, the resource's type and the environment.
    pub(super) fn understand<'a, M: Members>(
        &'a self,
        principal: Principal<'a>,
        query: &'a Query<'a>,
        world: &World<'a, M>,
    ) -> Result<(Case<'a>, &'a Env), Refusal> {
        let principal_type = match principal {
            Principal::Member(_) => Some(self.names.user),
            Principal::Stored(uid, _) => self.names.index_of(uid.type_name()),
        };
        let topic = principal_type.and_then(|kind| self.topic(kind, query));
        let Some(Topic { action, resource_type, env }) = topic else {
            return Err(self.no_topic(query));
        };
        let default_account = world.single_account;
        let case =
            Case { principal, query, action, resource_type, default_account, moved_to: None };
        Ok((case, env))
    }

    /// Why there is nothing that a question is about.
    fn no_topic(&self, query: &Query<'_>) -> Refusal {
        let (action, kind) = (query.action, query.resource.kind);
        if self.names.action_index(action).is_none() {
            return Refusal::new(
                Reason::UnknownAction,
                format!("the schema has no action `{}`", action.escape_debug()),
            );
        }
        if self.names.type_index(kind).is_none() {
            return Refusal::new(
                Reason::UnknownResourceType,
                format!("the schema has no type `{}`", kind.escape_debug()),
            );
        }
        Refusal::new(
            Reason::NotApplicable,
            format!("the action `{action}` does not apply to such a subject and a `{kind}`"),
        )
    }

    /// Lets Cedar judge one case.
    fn ask<M: Members>(
        &self,
        case: &Case<'_>,
        asked: Asked<'_>,
        world: &World<'_, M>,
    ) -> Result<Verdict, BadAttribute> {
        let gatherer =
            Gatherer { names: &self.names, stored: &self.stored, members: world.members };
        let gathered = gatherer.gather(case)?;
        let evaluation = Evaluation {
            forbids: &self.forbids,
            request: &gathered.request,
            entities: &gathered.entities,
        };
        let Asked::Slices(env) = asked else { return Ok(evaluation.whole(self.whole_set())) };
        let role = match case.principal {
            Principal::Member(view) => Some(view.role),
            Principal::Stored(..) => None,
        };
        let keys = Keys {
            role,
            role_lineage: &gathered.role_lineage,
            principal: &gathered.principal_lineage,
            resource: &gathered.resource_lineage,
        };
        Ok(evaluation.slices(env, &keys))
    }

    /// Why the verdict is what it is, found by asking again with one thing changed.
    fn explain<M: Members>(
        &self,
        case: &Case<'_>,
        env: &Env,
        verdict: &Verdict,
        world: &World<'_, M>,
    ) -> Explanation {
        let (reason, roles) = if verdict.allowed {
            (Reason::Granted, Vec::new())
        } else if verdict.forbid_erred {
            (Reason::ForbidErred, Vec::new())
        } else {
            self.why_denied(case, env, world)
        };
        let mut policies: Vec<String> = verdict.reasons.iter().map(ToString::to_string).collect();
        if reason == Reason::ForbidErred {
            let erred = verdict.erred.iter().filter(|id| self.forbids.contains(*id));
            policies = erred.map(ToString::to_string).collect();
        }
        Explanation { sentence: sentence(case, reason, &roles), reason, policies, roles }
    }

    fn why_denied<M: Members>(
        &self,
        case: &Case<'_>,
        env: &Env,
        world: &World<'_, M>,
    ) -> (Reason, Vec<RoleId>) {
        let Principal::Member(view) = case.principal else {
            return (Reason::NotApplicable, Vec::new());
        };
        let slices = Asked::Slices(env);
        let allows =
            |case: Case<'_>| self.ask(&case, slices, world).is_ok_and(|found| found.allowed);
        let as_member = |view| Case { principal: Principal::Member(view), ..*case };
        if allows(as_member(MemberView { active: true, ..view })) {
            return (Reason::Suspended, Vec::new());
        }
        if allows(Case { moved_to: Some(view.account), ..*case }) {
            return (Reason::OtherAccount, Vec::new());
        }
        let roles: Vec<RoleId> = self
            .roles
            .iter()
            .filter(|card| allows(as_member(MemberView { role: card.id.as_str(), ..view })))
            .map(|card| card.id.clone())
            .collect();
        match roles.is_empty() {
            true => (Reason::NotApplicable, roles),
            false => (Reason::RoleLacksAction, roles),
        }
    }
}

/// The sentence that people read.
fn sentence(case: &Case<'_>, reason: Reason, roles: &[RoleId]) -> String {
    let action = case.query.action;
    let resource = case.query.resource.kind;
    let role = match case.principal {
        Principal::Member(view) => view.role,
        Principal::Stored(..) => "",
    };
    match reason {
        Reason::Granted => format!("`{action}` on this `{resource}` is allowed"),
        Reason::Suspended => "this member is suspended: restore the member first".to_owned(),
        Reason::OtherAccount => format!("this `{resource}` is not in the member's account"),
        Reason::RoleLacksAction => {
            let list = roles.iter().map(|role| format!("`{role}`")).collect::<Vec<_>>().join(", ");
            format!(
                "the role `{role}` may not `{action}` this `{resource}`; these roles may: {list}"
            )
        }
        Reason::ForbidErred => {
            "a `forbid` could not be evaluated, and so denies: see the policies it names".to_owned()
        }
        _ => format!("no policy allows `{action}` on this `{resource}`"),
    }
}
