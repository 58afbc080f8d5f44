//! A decision by compiled policies: Cedar evaluates only what of them is not compiled, or, where a fact of
//! the query is not certain, all of them.

use std::cell::OnceCell;

use cedar_policy::{Entities, Request};

use super::attribute_types::BadAttributes;
use super::compiled_condition::CompiledPolicy;
use super::compiled_condition_inputs::{MemberQuery, QueryFacts, Stop};
use super::entity_builder::{
    BuiltAttributes, EntityBuilder, Principal, RequestEntities, ResolvedQuery,
};
use super::evaluate::{Environment, Outcome, SliceKeys, evaluate_operand};
use super::left_to_cedar::CedarOperand;
use super::schema_facts::SchemaFacts;
use super::{Members, QueryContext, Snapshot};

/// Evaluates with Cedar what is not compiled, for one query: what Cedar needs is built once, and only if the
/// evaluation reaches such an operand.
pub(super) struct OperandEvaluation<'o, M> {
    builder: EntityBuilder<'o, M>,
    case: &'o ResolvedQuery<'o>,
    /// For operands that need no entities.
    request: OnceCell<Option<Request>>,
    with_entities: OnceCell<Option<RequestEntities>>,
}

impl<'o, M: Members> OperandEvaluation<'o, M> {
    pub(super) const fn new(
        sources: SchemaFacts<'o>,
        members: &'o M,
        case: &'o ResolvedQuery<'o>,
    ) -> Self {
        let SchemaFacts { names, stored, .. } = sources;
        let attributes = BuiltAttributes::ReadByCedar;
        let builder = EntityBuilder { names, stored, members, attributes };
        Self { builder, case, request: OnceCell::new(), with_entities: OnceCell::new() }
    }

    /// # Errors
    /// [`Stop::Errs`] where the evaluation fails; [`Stop::CedarDecides`] where a value cannot be built.
    pub(super) fn evaluate(&self, operand: &CedarOperand) -> Result<bool, Stop> {
        if operand.needs_entities {
            let built = self.with_entities.get_or_init(|| self.builder.gather(self.case).ok());
            let built = built.as_ref().ok_or(Stop::CedarDecides)?;
            evaluate_operand(operand, &built.request, &built.entities)
        } else {
            let request = self.request.get_or_init(|| self.builder.operand_request(self.case).ok());
            let request = request.as_ref().ok_or(Stop::CedarDecides)?;
            evaluate_operand(operand, request, &Entities::empty())
        }
    }
}

impl Snapshot {
    /// What the policies say to a query of a member; `None` if Cedar must evaluate all of them.
    pub(super) fn decide_compiled<M: Members>(
        &self,
        case: &ResolvedQuery<'_>,
        env: &Environment,
        world: &QueryContext<'_, M>,
    ) -> Option<Result<Outcome, BadAttributes>> {
        let mut outcome = Outcome::default();
        let is_complete = self.each_compiled(case, env, world, |_, policy, found| match found {
            Ok(true) if policy.is_forbid() => outcome.forbidden = true,
            Ok(true) => outcome.permitted = true,
            Ok(false) => {}
            Err(_) => outcome.errs(policy.is_forbid()),
        })?;
        Some(if is_complete {
            Ok(outcome)
        } else {
            self.evaluate(case, world, BuiltAttributes::ReadByCedar, |evaluation, keys| {
                outcome.and(evaluation.rest(env, keys))
            })
        })
    }

    /// Makes every compiled policy apply to everything, to test the detection.
    #[cfg(test)]
    pub(crate) fn bend_compiled(mut self) -> Self {
        self.compiled.iter_mut().flatten().for_each(CompiledPolicy::apply_always);
        self
    }

    /// Evaluates the compiled policies that could apply, and tells each result with the policy's number;
    /// answers whether there are no others. `None` if Cedar must evaluate all of them.
    pub(super) fn each_compiled<M: Members>(
        &self,
        case: &ResolvedQuery<'_>,
        env: &Environment,
        world: &QueryContext<'_, M>,
        mut tell: impl FnMut(usize, &CompiledPolicy, Result<bool, Stop>),
    ) -> Option<bool> {
        let Principal::Member(member) = case.principal else { return None };
        let asked = MemberQuery {
            member,
            query: case.query,
            action: case.action,
            resource_type: case.resource_type,
            default_account: case.default_account,
        };
        let operands = OperandEvaluation::new(self.schema_facts(), world.members, case);
        let by_cedar = |operand: &CedarOperand| operands.evaluate(operand);
        let facts =
            QueryFacts::read(self.schema_facts(), asked).filter(|_| case.moved_to.is_none())?;
        let facts = facts.with_cedar(&by_cedar);
        // Most environments need only the role's name to find their slices.
        let (by_role, by_principal, by_resource) = env.sorted_by();
        let keys = SliceKeys {
            role: Some(member.role),
            role_lineage: &if by_role { facts.role_lineage() } else { Vec::new() },
            principal: &if by_principal { facts.principal_lineage() } else { Vec::new() },
            resource: &if by_resource { facts.resource_lineage() } else { Vec::new() },
        };
        let (mut is_complete, mut is_certain) = (true, true);
        env.each(&keys, |bucket| {
            is_complete &= bucket.rest().is_none();
            for &at in &bucket.compiled {
                let Some(Ok(policy)) = self.compiled.get(at) else {
                    is_certain = false;
                    return;
                };
                let found = policy.matches(&facts);
                is_certain &= found != Err(Stop::CedarDecides);
                if !is_certain {
                    return;
                }
                tell(at, policy, found);
            }
        });
        is_certain.then_some(is_complete)
    }
}
