//! A plan: which resources of a type a member may do an action on, as a filter over their attributes.
//!
//! For rows that only the caller has: with the filter, its database finds exactly those that a decision
//! would allow. What cannot be expressed exactly is refused, by the name of the policy.

use cedar_policy::PolicyId;
use serde_json::Value as Json;

use super::compiled_condition::{FILTER_MAX, NotPlanned, Planner};
use super::compiled_condition_inputs::{MemberQuery, QueryFacts};
use super::evaluate::SliceKeys;
use super::plan_filter::Filter;
use super::{Members, QueryContext, Snapshot};
use crate::domain::{MemberView, Query};

/// Which resources of a type are allowed.
#[derive(Clone, Debug, PartialEq)]
pub enum Plan {
    /// All.
    Always,
    /// None.
    Never,
    /// Those that a filter selects.
    Filter(PlannedFilter),
}

/// A filter in two forms.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedFilter {
    /// The filter as JSON.
    pub json: Json,
    /// A condition of PostgreSQL over columns that are called like the attributes.
    pub sql: String,
    /// The values of `$1`, `$2` and so on in it: text, whole numbers and booleans.
    pub parameters: Vec<Json>,
}

impl Snapshot {
    /// Plans a query, whose resource has a type and no id.
    ///
    /// # Errors
    /// What cannot be expressed as a filter, and where: one sentence.
    pub fn plan<M: Members>(
        &self,
        query: &Query<'_>,
        world: &QueryContext<'_, M>,
    ) -> Result<Plan, String> {
        let kind = self.names.type_index(query.subject.kind);
        if kind != Some(self.names.user) {
            if self.is_stored(query.subject.kind, query.subject.id) {
                return Err("plans are made for members: ask for each resource".to_owned());
            }
            return Ok(Plan::Never);
        }
        let planned = world
            .members
            .with(query.subject.id, |view| self.plan_for(view, query, world.single_account));
        Ok(match planned.unwrap_or(Ok(Filter::Never))? {
            Filter::Always => Plan::Always,
            Filter::Never => Plan::Never,
            filter => {
                let sql = filter.sql();
                Plan::Filter(PlannedFilter {
                    json: filter.json(),
                    sql: sql.text,
                    parameters: sql.parameters,
                })
            }
        })
    }

    fn plan_for(
        &self,
        member: MemberView<'_>,
        query: &Query<'_>,
        default_account: Option<&str>,
    ) -> Result<Filter, String> {
        let Some(names) = self.names_of(self.names.user, query) else { return Ok(Filter::Never) };
        let conforms = self.conformity.of_subject(query.subject.properties)
            && self.conformity.of_context(&names.action.context, query);
        if !conforms {
            return Err("`context` or `subject.properties` have a value that is not of its declared type, or that only a decision can check: correct it, or ask for each resource".to_owned());
        }
        let (action, resource_type) = (names.action, names.resource_type);
        let asked = MemberQuery { member, query, action, resource_type, default_account };
        let facts = QueryFacts::of_any_resource(self.schema_facts(), asked).map_err(|why| {
            format!(
                "resources of this type cannot be planned, because {why}: ask for each resource"
            )
        })?;
        let Some(info) = self.names.get(resource_type) else { return Ok(Filter::Never) };
        let planner =
            Planner { facts: &facts, shape: &info.shape, resource: &info.name, default_account };
        let conforming = planner.conforming(info.ids.as_deref()).map_err(|why| {
            format!("resources of this type cannot be planned, because of the schema ({why}): ask for each resource")
        })?;
        let keys = SliceKeys {
            role: Some(member.role),
            role_lineage: &facts.role_lineage(),
            principal: &facts.principal_lineage(),
            resource: &[],
        };
        let (mut permits, mut forbids, mut refused) = (Vec::new(), Vec::new(), None);
        names.env.each_of_any_resource(&keys, |bucket| {
            for policy in bucket.rest().into_iter().flat_map(|rest| rest.policies()) {
                let why = self.why_not_compiled(policy.id());
                refused.get_or_insert_with(|| not_planned(policy.id(), &why));
            }
            for &at in &bucket.compiled {
                let Some(Ok(policy)) = self.compiled.get(at) else { continue };
                match planner.policy(policy) {
                    Ok(found) if policy.is_forbid() => forbids.push(found.no),
                    Ok(found) => permits.push(found.yes),
                    Err(why) => {
                        if let Some((policy, _)) = self.policies.get(at) {
                            refused.get_or_insert_with(|| not_planned(policy.id(), &why));
                        }
                    }
                }
            }
        });
        if let Some(refused) = refused {
            return Err(refused);
        }
        let filter = Filter::all([conforming, Filter::any(permits), Filter::all(forbids)]);
        if filter.size() > FILTER_MAX {
            return Err(format!(
                "the filter would have more than {FILTER_MAX} parts: ask for each resource"
            ));
        }
        Ok(filter)
    }

    fn why_not_compiled(&self, id: &PolicyId) -> String {
        let mut numbered = self.policies.iter().zip(&self.compiled);
        let found = numbered.find(|((policy, _), _)| policy.id() == id);
        match found {
            Some((_, Err(why))) => why.to_string(),
            _ => NotPlanned::Uses("what only Cedar evaluates").to_string(),
        }
    }
}

fn not_planned(policy: &PolicyId, why: &impl std::fmt::Display) -> String {
    format!(
        "policy `{policy}` cannot be expressed as a filter, because {why}: write it in another way, or ask for each resource"
    )
}
