//! The request format: bodies to queries, and the faults of other bodies.
//!
//! Checks keys and types only; the engine checks whether names exist. Unknown keys are ignored, as
//! the specification requires.

use crate::domain::access_query::{Record, property};
use crate::domain::{EntityRef, Failure, Kind, Query, Value, limits};
use crate::services::access_search::Searched;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BatchSemantic {
    ExecuteAll,
    DenyOnFirstDeny,
    PermitOnFirstPermit,
}

/// The sources of a query's members.
#[derive(Clone, Copy)]
pub(super) struct QueryMembers<'v> {
    /// The item of a batch, or the body itself.
    own: &'v Record<'v>,
    /// The body around an item, whose members are defaults for the item.
    outer: Option<&'v Record<'v>>,
}

/// The part of a search that is asked for.
pub(super) struct PageRequest<'v> {
    /// The token of the page before; `None` for the first page.
    pub(super) token: Option<&'v str>,
    /// The most results; `None` where the caller does not say.
    pub(super) limit: Option<usize>,
}

pub(super) struct RequestBody<'v> {
    members: &'v Record<'v>,
    pub(super) explain: bool,
}

impl<'v> RequestBody<'v> {
    /// # Errors
    /// `Invalid`, when the value is no object, or its options are none.
    pub(super) fn read(value: &'v Value<'v>) -> Result<Self, Failure> {
        let Some(members) = value.as_record() else {
            return Err(bad(format!("the body must be a JSON object, not {}", value.kind())));
        };
        let mut body = Self { members, explain: false };
        body.explain = match body.option("explain")? {
            None => false,
            Some(Value::Bool(explain)) => *explain,
            Some(other) => {
                return Err(bad(format!(
                    "`options.explain` must be true or false, not {}",
                    other.kind()
                )));
            }
        };
        Ok(body)
    }

    pub(super) fn single(&self) -> QueryMembers<'v> {
        QueryMembers { own: self.members, outer: None }
    }

    /// The items of a batch; `None` if the body is one query.
    ///
    /// # Errors
    /// `Invalid`, when `evaluations` is no array or too long.
    pub(super) fn items(&self, most: usize) -> Result<Option<&'v [Value<'v>]>, Failure> {
        match given(self.members, "evaluations") {
            None => Ok(None),
            Some(Value::List(items)) if items.is_empty() => Ok(None),
            Some(Value::List(items)) if items.len() > most => Err(bad(format!(
                "`evaluations` has {} items, more than {}: send several batches",
                items.len(),
                most
            ))),
            Some(Value::List(items)) => Ok(Some(items)),
            Some(other) => {
                Err(bad(format!("`evaluations` must be an array, not {}", other.kind())))
            }
        }
    }

    /// An item as a query.
    ///
    /// # Errors
    /// `Invalid`, when it is no object.
    pub(super) fn item(&self, item: &'v Value<'v>) -> Result<QueryMembers<'v>, Failure> {
        match item.as_record() {
            Some(own) => Ok(QueryMembers { own, outer: Some(self.members) }),
            None => {
                Err(bad(format!("an item of `evaluations` must be an object, not {}", item.kind())))
            }
        }
    }

    /// # Errors
    /// `Invalid`, when the semantic is none of the three.
    pub(super) fn semantic(&self) -> Result<BatchSemantic, Failure> {
        match self.option("evaluations_semantic")? {
            None => Ok(BatchSemantic::ExecuteAll),
            Some(value) => match value.as_str() {
                Some("execute_all") => Ok(BatchSemantic::ExecuteAll),
                Some("deny_on_first_deny") => Ok(BatchSemantic::DenyOnFirstDeny),
                Some("permit_on_first_permit") => Ok(BatchSemantic::PermitOnFirstPermit),
                _ => Err(bad("`options.evaluations_semantic` must be `execute_all`, `deny_on_first_deny` or `permit_on_first_permit`".to_owned())),
            },
        }
    }

    /// The page of a search. A limit of 0 is none, and one that is too high is lowered.
    ///
    /// # Errors
    /// `Invalid`, when it is no object, or its members are of another kind.
    pub(super) fn page(&self) -> Result<PageRequest<'v>, Failure> {
        let page = match given(self.members, "page") {
            None => return Ok(PageRequest { token: None, limit: None }),
            Some(Value::Record(page)) => page,
            Some(other) => {
                return Err(bad(format!("`page` must be an object, not {}", other.kind())));
            }
        };
        let token = match given(page, "token") {
            None => None,
            Some(Value::String(token)) => Some(token.as_ref()).filter(|token| !token.is_empty()),
            Some(other) => {
                return Err(bad(format!("`page.token` must be a string, not {}", other.kind())));
            }
        };
        let limit = match given(page, "limit") {
            None | Some(Value::Long(0)) => None,
            Some(Value::Long(limit)) if *limit > 0 => {
                let limit = usize::try_from(*limit).unwrap_or(limits::SEARCH_RESULTS_MAX);
                Some(limit.min(limits::SEARCH_RESULTS_MAX))
            }
            Some(_) => {
                return Err(bad("`page.limit` must be a whole number, 0 or more".to_owned()));
            }
        };
        Ok(PageRequest { token, limit })
    }

    fn option(&self, name: &str) -> Result<Option<&'v Value<'v>>, Failure> {
        match given(self.members, "options") {
            None => Ok(None),
            Some(Value::Record(options)) => Ok(given(options, name)),
            Some(other) => Err(bad(format!("`options` must be an object, not {}", other.kind()))),
        }
    }
}

impl<'v> QueryMembers<'v> {
    /// Builds the query.
    ///
    /// # Errors
    /// `Invalid`, naming the member that is missing or of another kind.
    pub(super) fn query(&self) -> Result<Query<'v>, Failure> {
        self.read(None)
    }

    /// Builds the query of a search; what is searched for has an empty id or name.
    ///
    /// # Errors
    /// As [`Self::query`].
    pub(super) fn search(&self, searched: Searched) -> Result<Query<'v>, Failure> {
        self.read(Some(searched))
    }

    fn read(&self, searched: Option<Searched>) -> Result<Query<'v>, Failure> {
        let (action, action_properties) = match searched {
            Some(Searched::Action) => ("", [].as_slice()),
            _ => {
                let action = self.object("action")?;
                (text(action, "action", "name")?, properties(action, "action")?)
            }
        };
        let query = Query {
            subject: self.entity("subject", searched != Some(Searched::Subject))?,
            action,
            action_properties,
            resource: self.entity("resource", searched != Some(Searched::Resource))?,
            context: match self.find("context") {
                None => &[],
                Some(Value::Record(context)) => context,
                Some(other) => {
                    return Err(bad(format!("`context` must be an object, not {}", other.kind())));
                }
            },
        };
        let (values, most) = (values(&query), limits::QUERY_VALUES_MAX);
        if values > most {
            return Err(bad(format!(
                "`context` and `properties` have {values} values, more than {most}: send what the policies read"
            )));
        }
        Ok(query)
    }

    /// An id that is searched for is ignored.
    fn entity(&self, what: &'static str, with_id: bool) -> Result<EntityRef<'v>, Failure> {
        let members = self.object(what)?;
        Ok(EntityRef {
            kind: text(members, what, "type")?,
            id: if with_id { text(members, what, "id")? } else { "" },
            properties: properties(members, what)?,
        })
    }

    fn object(&self, what: &'static str) -> Result<&'v Record<'v>, Failure> {
        match self.find(what) {
            Some(Value::Record(members)) => Ok(members),
            Some(other) => Err(bad(format!("`{what}` must be an object, not {}", other.kind()))),
            None => Err(bad(format!("`{what}` is missing"))),
        }
    }

    /// An item's own member replaces the outer one completely.
    fn find(&self, what: &str) -> Option<&'v Value<'v>> {
        given(self.own, what).or_else(|| given(self.outer?, what))
    }
}

/// How many values the context and the properties of a query have, at any depth: the cost of
/// reading it.
pub(super) fn values(query: &Query<'_>) -> usize {
    let Query { subject, action_properties, resource, context, .. } = query;
    [subject.properties, action_properties, resource.properties, context]
        .into_iter()
        .flatten()
        .map(|(_, value)| values_in(value))
        .sum()
}

/// Recursion is limited by the depth of the body.
fn values_in(value: &Value<'_>) -> usize {
    1 + match value {
        Value::List(items) => items.iter().map(values_in).sum(),
        Value::Record(members) => members.iter().map(|(_, value)| values_in(value)).sum(),
        _ => 0,
    }
}

/// A member that is present and not null: I-JSON treats null as absent.
fn given<'v>(members: &'v Record<'v>, name: &str) -> Option<&'v Value<'v>> {
    property(members, name).filter(|value| **value != Value::Null)
}

fn text<'v>(members: &'v Record<'v>, what: &str, name: &str) -> Result<&'v str, Failure> {
    match given(members, name) {
        Some(Value::String(text)) if text.len() <= limits::QUERY_NAME_BYTES_MAX => Ok(text),
        Some(Value::String(_)) => Err(bad(format!(
            "`{what}.{name}` is longer than {} bytes",
            limits::QUERY_NAME_BYTES_MAX
        ))),
        Some(other) => Err(bad(format!("`{what}.{name}` must be a string, not {}", other.kind()))),
        None => Err(bad(format!("`{what}.{name}` is missing"))),
    }
}

fn properties<'v>(
    members: &'v Record<'v>,
    what: &str,
) -> Result<&'v [(std::borrow::Cow<'v, str>, Value<'v>)], Failure> {
    match given(members, "properties") {
        None => Ok(&[]),
        Some(Value::Record(properties)) => Ok(properties),
        Some(other) => {
            Err(bad(format!("`{what}.properties` must be an object, not {}", other.kind())))
        }
    }
}

fn bad(message: String) -> Failure {
    Failure::new(Kind::Invalid, "bad_request", message)
}
