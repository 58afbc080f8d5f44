//! From Cedar's JSON form of a policy to its compiled form.
//!
//! Types are not checked: the policy has passed Cedar's validator, and evaluation notices a wrong one as
//! Cedar does.

use cedar_policy::{ActionConstraint, Effect, EntityTypeName, EntityUid, Policy};
use serde_json::{Value as Json, json};

use super::text_pattern::TextPattern;
use super::{CompiledPolicy, Node, NodeId, Variable};
use crate::engine::cedar_expression_json::{operation, part, variable};
use crate::engine::extension_value_spelling::datetime_ms;
use crate::engine::left_to_cedar::{CedarOperand, DEPTH_MAX, NODES_MAX, NotCompiled};
use crate::engine::policy_scope::{PolicyScope, ScopeConstraint};
use crate::engine::reads_of_other_entities::EntityAttributes;
use crate::engine::schema_names::Symbols;

type Compiled<T = NodeId> = Result<T, NotCompiled>;

/// A policy, as a load has read it.
pub(in crate::engine) struct PolicySyntax<'p> {
    pub(in crate::engine) policy: &'p Policy,
    pub(in crate::engine) scope: &'p PolicyScope,
    /// Cedar's JSON form.
    pub(in crate::engine) json: &'p Json,
}

/// What is known of the schema when policies are compiled.
pub(in crate::engine) struct Compiler<'n> {
    names: &'n Symbols,
    /// The attributes that hold entities.
    entities: EntityAttributes<'n>,
}

impl<'n> Compiler<'n> {
    pub(in crate::engine) fn new(names: &'n Symbols) -> Self {
        Self { names, entities: EntityAttributes::of(names) }
    }

    /// # Errors
    /// Why the policy is left to Cedar.
    pub(in crate::engine) fn compile(&self, syntax: &PolicySyntax<'_>) -> Compiled<CompiledPolicy> {
        let PolicySyntax { policy, scope, json } = *syntax;
        let mut draft = Draft { names: self.names, entities: &self.entities, nodes: Vec::new() };
        let mut all = Vec::new();
        draft.side(Variable::Principal, &scope.principal, &mut all)?;
        draft.action(&policy.action_constraint(), &mut all)?;
        draft.side(Variable::Resource, &scope.resource, &mut all)?;
        let conditions = part(json, "conditions").as_array().ok_or_else(|| unusual("a policy"))?;
        for condition in conditions {
            let body = draft.boolean(part(condition, "body"), DEPTH_MAX)?;
            all.push(match part(condition, "kind").as_str() {
                Some("when") => body,
                Some("unless") => draft.add(Node::Not(body))?,
                _ => return Err(unusual("a condition")),
            });
        }
        let effect: Effect = policy.effect();
        Ok(CompiledPolicy { effect, nodes: draft.nodes.into(), conditions: all.into() })
    }
}

/// A policy under construction.
struct Draft<'n> {
    names: &'n Symbols,
    entities: &'n EntityAttributes<'n>,
    nodes: Vec<Node>,
}

impl Draft<'_> {
    fn add(&mut self, node: Node) -> Compiled {
        let at = u16::try_from(self.nodes.len()).map_err(|_| NotCompiled::TooLarge)?;
        if self.nodes.len() == NODES_MAX {
            return Err(NotCompiled::TooLarge);
        }
        self.nodes.push(node);
        Ok(NodeId(at))
    }

    /// The scope of the principal or the resource.
    fn side(
        &mut self,
        of: Variable,
        scope: &ScopeConstraint,
        all: &mut Vec<NodeId>,
    ) -> Compiled<()> {
        let (kind, equal, within) = match scope {
            ScopeConstraint::Any => return Ok(()),
            ScopeConstraint::Is(kind) => (Some(kind), None, None),
            ScopeConstraint::Eq(uid) => (None, Some(uid), None),
            ScopeConstraint::In(uid) => (None, None, Some(uid)),
            ScopeConstraint::IsIn(kind, uid) => (Some(kind), None, Some(uid)),
        };
        let of = self.add(Node::Variable(of))?;
        if let Some(kind) = kind {
            all.push(self.add(Node::Is(of, kind.clone()))?);
        }
        if let Some(uid) = equal {
            let uid = self.add(Node::Entity(uid.clone()))?;
            all.push(self.add(Node::Equal(of, uid))?);
        }
        if let Some(uid) = within {
            let uid = self.add(Node::Entity(uid.clone()))?;
            all.push(self.add(Node::In(of, uid))?);
        }
        Ok(())
    }

    fn action(&mut self, scope: &ActionConstraint, all: &mut Vec<NodeId>) -> Compiled<()> {
        all.push(match scope {
            ActionConstraint::Any => return Ok(()),
            ActionConstraint::Eq(uid) => self.add(Node::ActionIs(uid.clone()))?,
            ActionConstraint::In(uids) => self.add(Node::ActionIn(uids.clone().into()))?,
        });
        Ok(())
    }

    /// An expression that Cedar takes for a boolean, or fails: it is left to Cedar where it is not compiled.
    fn boolean(&mut self, json: &Json, levels: usize) -> Compiled {
        let before = self.nodes.len();
        match self.expression(json, levels) {
            Err(NotCompiled::TooLarge) => Err(NotCompiled::TooLarge),
            Err(why) => {
                self.nodes.truncate(before);
                self.left_to_cedar(json.clone(), why)
            }
            compiled => compiled,
        }
    }

    fn left_to_cedar(&mut self, json: Json, why: NotCompiled) -> Compiled {
        let follows = self.entities.are_followed_in(&json);
        self.add(Node::LeftToCedar(Box::new(CedarOperand::new(json, follows, why)?)))
    }

    /// An expression that may nest so many levels further.
    fn expression(&mut self, json: &Json, levels: usize) -> Compiled {
        let levels = levels.checked_sub(1).ok_or(NotCompiled::TooLarge)?;
        let (operator, inside) = operation(json).ok_or_else(|| unusual("an expression"))?;
        match operator {
            "Value" => self.literal(inside),
            "Var" => self.variable(inside),
            "datetime" => self.datetime(inside),
            "&&" | "||" => self.row(operator, json, levels),
            "." | "has" if self.entities.is_followed_by(operator, inside) => {
                Err(NotCompiled::FollowsEntity)
            }
            "." => {
                let from = self.expression(part(inside, "left"), levels)?;
                let name = part(inside, "attr").as_str().ok_or_else(|| unusual("`.`"))?;
                self.add(Node::Get(from, name.into()))
            }
            "has" => self.has(inside, levels),
            "Record" => Err(unusual("a record literal")),
            "Set" => {
                Err(unusual("a set that is not on the right of `in` or the left of `contains`"))
            }
            "is" => self.is(inside, levels),
            "in" | "==" | "!=" if is_action(inside) => self.about_action(operator, inside),
            "in" => {
                let one = self.expression(part(inside, "left"), levels)?;
                let other = self.set_or_expression(part(inside, "right"), levels)?;
                self.add(Node::In(one, other))
            }
            "contains" => {
                let set = self.set_or_expression(part(inside, "left"), levels)?;
                let value = self.expression(part(inside, "right"), levels)?;
                self.add(Node::Contains(set, value))
            }
            "like" => {
                let text = self.expression(part(inside, "left"), levels)?;
                let pattern = TextPattern::read(part(inside, "pattern"));
                self.add(Node::Like(text, pattern.ok_or_else(|| unusual("`like`"))?))
            }
            "if-then-else" => {
                let test = self.boolean(part(inside, "if"), levels)?;
                let then = self.expression(part(inside, "then"), levels)?;
                let otherwise = self.expression(part(inside, "else"), levels)?;
                self.add(Node::If(test, then, otherwise))
            }
            "!" => {
                let operand = self.boolean(part(inside, "arg"), levels)?;
                self.add(Node::Not(operand))
            }
            "neg" => {
                let operand = self.expression(part(inside, "arg"), levels)?;
                self.add(Node::Negate(operand))
            }
            _ => self.of_two(operator, inside, levels),
        }
    }

    /// The operators of two operands that are both evaluated.
    fn of_two(&mut self, operator: &str, inside: &Json, levels: usize) -> Compiled {
        let known = ["==", "!=", "<", "<=", ">", ">=", "+", "-", "*"];
        if !known.contains(&operator) {
            return Err(unusual(&format!("`{operator}`")));
        }
        let left = self.expression(part(inside, "left"), levels)?;
        let right = self.expression(part(inside, "right"), levels)?;
        let node = match operator {
            "==" => Node::Equal(left, right),
            "!=" => Node::Not(self.add(Node::Equal(left, right))?),
            "<" => Node::Less(left, right),
            "<=" => Node::LessOrEqual(left, right),
            ">" => Node::Less(right, left),
            ">=" => Node::LessOrEqual(right, left),
            "+" => Node::Add(left, right),
            "-" => Node::Subtract(left, right),
            _ => Node::Multiply(left, right),
        };
        self.add(node)
    }

    /// A row of `&&` or of `||`, however it is put in brackets: the first operand that decides ends the
    /// evaluation either way. Neighbours that are left to Cedar are evaluated at once.
    fn row(&mut self, operator: &str, json: &Json, levels: usize) -> Compiled {
        let (mut open, mut operands) = (vec![json], Vec::new());
        while let Some(next) = open.pop() {
            match operation(next) {
                Some((same, inside)) if same == operator => {
                    open.push(part(inside, "right"));
                    open.push(part(inside, "left"));
                }
                _ => {
                    let operand = self.boolean(next, levels)?;
                    if !self.joins_last(operator, &operands)? {
                        operands.push(operand);
                    }
                }
            }
        }
        let operands = operands.into();
        self.add(if operator == "&&" { Node::All(operands) } else { Node::Any(operands) })
    }

    /// Joins the operand that was added last with the one before it in its row, if Cedar evaluates both.
    fn joins_last(&mut self, operator: &str, row: &[NodeId]) -> Compiled<bool> {
        let [.., Node::LeftToCedar(one), Node::LeftToCedar(other)] = self.nodes.as_slice() else {
            return Ok(false);
        };
        // Else the one before is a part of something else.
        if row.last().map(|at| usize::from(at.0)) != Some(self.nodes.len() - 2) {
            return Ok(false);
        }
        let both = json!({ operator: {"left": one.json, "right": other.json} });
        let why = one.why.clone();
        self.nodes.truncate(self.nodes.len() - 2);
        self.left_to_cedar(both, why)?;
        Ok(true)
    }

    fn has(&mut self, inside: &Json, levels: usize) -> Compiled {
        let from = self.expression(part(inside, "left"), levels)?;
        let names = match part(inside, "attr") {
            Json::Array(names) => names.as_slice(),
            name => std::slice::from_ref(name),
        };
        let names: Option<Box<[Box<str>]>> =
            names.iter().map(|name| name.as_str().map(Into::into)).collect();
        let names = names.ok_or_else(|| unusual("`has`"))?;
        self.add(Node::Has(from, names))
    }

    /// `is`, which may have an `in`.
    fn is(&mut self, inside: &Json, levels: usize) -> Compiled {
        let from = self.expression(part(inside, "left"), levels)?;
        let kind = part(inside, "entity_type").as_str().and_then(|kind| kind.parse().ok());
        let kind: EntityTypeName = kind.ok_or_else(|| unusual("`is`"))?;
        let is = self.add(Node::Is(from, kind))?;
        let within = part(inside, "in");
        if within.is_null() {
            return Ok(is);
        }
        let other = self.set_or_expression(within, levels)?;
        let within = self.add(Node::In(from, other))?;
        self.add(Node::All([is, within].into()))
    }

    fn set_or_expression(&mut self, json: &Json, levels: usize) -> Compiled {
        let Some(("Set", items)) = operation(json) else {
            return self.expression(json, levels);
        };
        let items = items.as_array().ok_or_else(|| unusual("a set"))?;
        let levels = levels.checked_sub(1).ok_or(NotCompiled::TooLarge)?;
        let items = items.iter().map(|item| self.expression(item, levels));
        let items = items.collect::<Compiled<Box<[NodeId]>>>()?;
        self.add(Node::Set(items))
    }

    fn variable(&mut self, name: &Json) -> Compiled {
        let variable = match name.as_str() {
            Some("principal") => Variable::Principal,
            Some("resource") => Variable::Resource,
            Some("context") => Variable::Context,
            // Its entity has its groups, which a query does not have as facts.
            _ => return Err(unusual("`action` as a value")),
        };
        self.add(Node::Variable(variable))
    }

    fn literal(&mut self, value: &Json) -> Compiled {
        let node = match value {
            Json::Bool(flag) => Node::Bool(*flag),
            Json::Number(number) => Node::Long(number.as_i64().ok_or_else(|| unusual("a number"))?),
            Json::String(text) => Node::Text(text.as_str().into()),
            _ => {
                let uid = entity(value).ok_or_else(|| unusual("a literal"))?;
                // An action is none of the schema's types.
                let is_known = self.names.index_of(uid.type_name()).is_some();
                if !is_known {
                    return Err(unusual("an action as a value"));
                }
                Node::Entity(uid)
            }
        };
        self.add(node)
    }

    fn datetime(&mut self, arguments: &Json) -> Compiled {
        let text = match arguments.as_array().map(Vec::as_slice) {
            Some([text]) => part(text, "Value").as_str(),
            _ => None,
        };
        let ms = text.and_then(datetime_ms).ok_or_else(|| unusual("`datetime` of this form"))?;
        self.add(Node::DateTime(ms))
    }

    /// A comparison of the action with literals.
    fn about_action(&mut self, operator: &str, inside: &Json) -> Compiled {
        let unusual = || unusual("`action` beside no action");
        let other = part(inside, "right");
        let literal = |json: &Json| match operation(json) {
            Some(("Value", value)) => entity(value),
            _ => None,
        };
        let node = match (operator, operation(other)) {
            ("in", Some(("Set", items))) => {
                let items = items.as_array().ok_or_else(unusual)?;
                if items.len() > NODES_MAX {
                    return Err(NotCompiled::TooLarge);
                }
                let uids = items.iter().map(literal).collect::<Option<Box<[EntityUid]>>>();
                Node::ActionIn(uids.ok_or_else(unusual)?)
            }
            ("in", _) => Node::ActionIn([literal(other).ok_or_else(unusual)?].into()),
            ("==", _) => Node::ActionIs(literal(other).ok_or_else(unusual)?),
            _ => {
                let is = Node::ActionIs(literal(other).ok_or_else(unusual)?);
                Node::Not(self.add(is)?)
            }
        };
        self.add(node)
    }
}

fn is_action(inside: &Json) -> bool {
    variable(part(inside, "left")) == Some("action")
}

/// The entity of a literal.
fn entity(value: &Json) -> Option<EntityUid> {
    let members = value.get("__entity")?;
    EntityUid::from_json(members.clone()).ok()
}

fn unusual(what: &str) -> NotCompiled {
    NotCompiled::Operator(what.to_owned())
}
