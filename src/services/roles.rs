//! The roles of the live policies: whether one exists, what it may do, which one a task needs.
//!
//! All of it is read from the live policies and their matrix; no role is named in code, and nothing
//! is decided here.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use tokio::sync::RwLockReadGuard;

use crate::app::App;
use crate::background;
use crate::domain::escaped_text::printable;
use crate::domain::{
    Failure, Kind, Member, RoleId, Status, case_folding, input_cleanup, spelling_suggestions,
};
use crate::engine::{AccessChanges, Cell, Matrix, RoleCard, Snapshot};

/// Held while a member is given a role, until the directory counts it: no reload removes the role
/// meanwhile.
pub(super) type RoleGrantGuard<'a> = RwLockReadGuard<'a, ()>;

/// Checks that the live policies have `roles`, and keeps them from disappearing.
///
/// # Errors
/// `Invalid`, code `unknown_role`, naming the roles there are.
pub(super) async fn lock_role_grants<'a>(
    app: &'a App,
    roles: impl IntoIterator<Item = &RoleId>,
) -> Result<RoleGrantGuard<'a>, Failure> {
    let giving = app.roles_given.read().await;
    roles.into_iter().try_for_each(|role| ensure_role_exists(app, role))?;
    Ok(giving)
}

/// Checks that the live policies have `role`.
///
/// # Errors
/// `Invalid`, code `unknown_role`, naming the roles there are.
pub(super) fn ensure_role_exists(app: &App, role: &RoleId) -> Result<(), Failure> {
    let live = app.policies.load();
    if live.has_role(role) {
        return Ok(());
    }
    let roles: Vec<&str> = live.roles().iter().map(|card| card.id.as_str()).collect();
    Err(unknown(role, &roles))
}

/// The existing roles, by id or by title.
#[derive(Clone, Debug)]
pub struct RoleTitles(Vec<(RoleId, String)>);

impl RoleTitles {
    /// Roles, each with its title.
    #[must_use]
    pub fn new(roles: impl IntoIterator<Item = (RoleId, String)>) -> Self {
        Self(roles.into_iter().collect())
    }

    /// The titles of a policy set.
    #[must_use]
    pub fn of(live: &Snapshot) -> Self {
        Self::new(live.roles().iter().map(|card| (card.id.clone(), card.title.clone())))
    }

    /// What people call them.
    pub fn titles(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(_, title)| title.as_str())
    }

    /// The role with this id or title, ignoring case.
    ///
    /// # Errors
    /// `Invalid` for a text that names none, or is the title of several.
    pub fn find(&self, text: &str) -> Result<RoleId, Failure> {
        let folded = case_folding::folded(input_cleanup::pasted(text));
        let by_id = self.0.iter().find(|(id, _)| id.as_str().eq_ignore_ascii_case(&folded));
        let mut by_title =
            self.0.iter().filter(|(_, title)| case_folding::folded(title.trim()) == folded);
        match (by_id, by_title.next(), by_title.next()) {
            (Some((id, _)), _, _) | (None, Some((id, _)), None) => Ok(id.clone()),
            (None, Some((one, _)), Some((other, _))) => Err(Failure::invalid(
                "role",
                format!(
                    "`{}` is the title of several roles: write `{one}` or `{other}`",
                    printable(input_cleanup::pasted(text))
                ),
            )),
            (None, None, _) => {
                let ids: Vec<&str> = self.0.iter().map(|(id, _)| id.as_str()).collect();
                Err(unknown(&printable(input_cleanup::pasted(text)), &ids))
            }
        }
    }
}

/// The code of a role that there is not.
pub const UNKNOWN: &str = "unknown_role";

/// The failure that lists the roles.
pub(super) fn unknown(role: &dyn fmt::Display, roles: &[&str]) -> Failure {
    let text = format!("there is no role `{role}`: use one of `{}`", roles.join("`, `"));
    Failure {
        fields: vec![("role".to_owned(), text.clone())],
        ..Failure::new(Kind::Invalid, UNKNOWN, text)
    }
}

/// The role of this name in a policy set.
///
/// # Errors
/// `NotFound`, code `unknown_role`, naming the roles there are.
pub fn card<'s>(live: &'s Snapshot, id: &str) -> Result<&'s RoleCard, Failure> {
    live.roles().iter().find(|card| card.id.as_str() == id).ok_or_else(|| {
        let roles: Vec<&str> = live.roles().iter().map(|card| card.id.as_str()).collect();
        let text =
            format!("there is no role `{}`: use one of `{}`", printable(id), roles.join("`, `"));
        Failure::new(Kind::NotFound, UNKNOWN, text)
    })
}

/// The live policies with their matrix. The first call for a set evaluates every cell, outside the
/// decision threads.
///
/// # Errors
/// `Internal`, when no thread can be had.
pub async fn compared(app: &App) -> Result<(Arc<Snapshot>, Arc<Matrix>), Failure> {
    let live = app.policies.load_full();
    let matrix = match live.known_matrix() {
        Some(matrix) => matrix,
        None => {
            let tried = Arc::clone(&live);
            background::run("matrix", move || tried.matrix()).await?
        }
    };
    Ok((live, matrix))
}

/// The actions that a role is allowed on some type of resource, sorted.
#[must_use]
pub fn actions(matrix: &Matrix, id: &RoleId) -> Vec<String> {
    allowed(matrix, id).into_iter().map(str::to_owned).collect()
}

/// The actions that a role is denied on every type of resource, whatever the attributes are, sorted.
#[must_use]
pub fn denied_actions(matrix: &Matrix, id: &RoleId) -> Vec<String> {
    let Some(column) = column(matrix, id) else { return Vec::new() };
    let of = |denied: bool| {
        let is_it = move |cell: Option<&Cell>| (cell == Some(&Cell::Denied)) == denied;
        let rows = matrix.rows.iter().filter(move |row| is_it(row.cells.get(column)));
        rows.map(|row| row.action.as_str()).collect::<BTreeSet<_>>()
    };
    of(true).difference(&of(false)).map(|action| (*action).to_owned()).collect()
}

fn allowed<'m>(matrix: &'m Matrix, id: &RoleId) -> BTreeSet<&'m str> {
    let Some(column) = column(matrix, id) else { return BTreeSet::new() };
    let rows = matrix.rows.iter().filter(|row| row.cells.get(column) == Some(&Cell::Allowed));
    rows.map(|row| row.action.as_str()).collect()
}

fn column(matrix: &Matrix, id: &RoleId) -> Option<usize> {
    matrix.roles.iter().position(|role| role == id)
}

/// The actions gained and lost when going from one role to another: each list has the bare names of
/// actions, sorted.
#[must_use]
pub fn difference(matrix: &Matrix, from: &RoleId, to: &RoleId) -> AccessChanges {
    let (from, to) = (column(matrix, from), column(matrix, to));
    let [mut gains, mut loses, mut may_gain, mut may_lose] = [const { BTreeSet::new() }; 4];
    for row in &matrix.rows {
        let at = |column: Option<usize>| {
            let cell = column.and_then(|at| row.cells.get(at)).copied().unwrap_or(Cell::Denied);
            (cell, column.and_then(|at| row.depends_on.get(at)))
        };
        let (before, after) = (at(from), at(to));
        let action = &row.action;
        match (before.0, after.0) {
            // By the same policies, and so in the same cases.
            _ if before == after => {}
            (Cell::Denied, Cell::Allowed) => drop(gains.insert(action)),
            (Cell::Allowed, Cell::Denied) => drop(loses.insert(action)),
            (Cell::Denied, _) | (_, Cell::Allowed) => drop(may_gain.insert(action)),
            (Cell::Allowed, _) | (_, Cell::Denied) => drop(may_lose.insert(action)),
            (Cell::Depends, Cell::Depends) => {
                may_gain.insert(action);
                may_lose.insert(action);
            }
        }
    }
    let texts = |found: BTreeSet<&String>| found.into_iter().cloned().collect();
    AccessChanges {
        gains: texts(gains),
        loses: texts(loses),
        may_gain: texts(may_gain),
        may_lose: texts(may_lose),
    }
}

/// What a member may do, by role, status and account alone: action, type of resource, and whether.
#[must_use]
pub fn permissions_of<'m>(matrix: &'m Matrix, member: &Member) -> Vec<(&'m str, &'m str, Cell)> {
    let column = column(matrix, &member.role);
    let cell = |cells: &[Cell]| column.and_then(|column| cells.get(column).copied());
    let rows = matrix.rows.iter();
    rows.map(|row| {
        let cells = match member.status {
            Status::Active => &row.cells,
            Status::Suspended => &row.suspended,
        };
        let cell = cell(cells).unwrap_or(Cell::Denied);
        (row.action.as_str(), row.resource.as_str(), cell)
    })
    .collect()
}

/// The smallest role for a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleSuggestion {
    /// The role; `None` if no single role is enough.
    pub role: Option<RoleCard>,
    /// What it allows beyond the request, sorted.
    pub extra: Vec<String>,
    /// Why this one, or why none, in one sentence.
    pub reason: String,
    /// The other roles that are sufficient.
    pub others: Vec<RoleId>,
}

/// The role with the fewest actions that covers the request; the first of several.
///
/// # Errors
/// `Invalid` for an action that there is not; `Internal`, when no thread can be had.
pub async fn suggest(app: &App, asked: &BTreeSet<String>) -> Result<RoleSuggestion, Failure> {
    let (live, matrix) = compared(app).await?;
    asked.iter().try_for_each(|action| known_action(&matrix, action))?;
    Ok(smallest(&matrix, live.roles(), asked))
}

/// Checks that an action of this name exists.
///
/// # Errors
/// `Invalid` `actions`, with the name that is near.
pub fn known_action(matrix: &Matrix, text: &str) -> Result<(), Failure> {
    let known = || matrix.rows.iter().map(|row| row.action.as_str());
    if known().any(|action| action == text) {
        return Ok(());
    }
    let shown = printable(text);
    Err(Failure::invalid(
        "actions",
        match spelling_suggestions::nearest(text, known()) {
            Some(near) => format!("there is no action `{shown}`: did you mean `{near}`?"),
            None => format!("there is no action `{shown}`: `kwic-team role compare` lists them"),
        },
    ))
}

fn smallest(matrix: &Matrix, roles: &[RoleCard], asked: &BTreeSet<String>) -> RoleSuggestion {
    let all: Vec<(&RoleCard, BTreeSet<String>)> =
        roles.iter().map(|card| (card, actions(matrix, &card.id).into_iter().collect())).collect();
    let covering = || all.iter().filter(|(_, allowed)| allowed.is_superset(asked));
    let Some((card, allowed)) = covering().min_by_key(|(_, allowed)| allowed.len()) else {
        return RoleSuggestion {
            role: None,
            extra: Vec::new(),
            reason: uncovered(&all, asked),
            others: Vec::new(),
        };
    };
    let extra: Vec<String> = allowed.difference(asked).cloned().collect();
    let reason = match extra.len() {
        0 => format!("`{}` allows just this", card.id),
        more => {
            format!("`{}` is the smallest role that allows this, and allows {more} more", card.id)
        }
    };
    let others = covering().map(|(other, _)| &other.id).filter(|other| **other != card.id);
    RoleSuggestion { role: Some((*card).clone()), extra, reason, others: others.cloned().collect() }
}

/// Why no role is sufficient: the nearest one, and what it lacks.
fn uncovered(all: &[(&RoleCard, BTreeSet<String>)], asked: &BTreeSet<String>) -> String {
    let lacks = |allowed: &BTreeSet<String>| asked.difference(allowed).count();
    match all.iter().min_by_key(|(_, allowed)| lacks(allowed)) {
        Some((card, allowed)) => {
            let lacking: Vec<&str> = asked.difference(allowed).map(String::as_str).collect();
            format!(
                "no one role allows all of this: `{}` comes nearest, and lacks `{}`",
                card.id,
                lacking.join("`, `")
            )
        }
        None => "there are no roles".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{AccountSlug, Email, MemberId, Name, Timestamp, Version};
    use crate::engine::MatrixRow;

    fn id(id: &str) -> RoleId {
        RoleId::parse(id).unwrap()
    }

    fn card(name: &str) -> RoleCard {
        RoleCard {
            id: id(name),
            title: String::new(),
            summary: String::new(),
            best_for: String::new(),
        }
    }

    /// What a cell depends on.
    fn on((cell, policy): (Cell, &str)) -> Arc<[String]> {
        match cell {
            Cell::Depends => [policy.to_owned()].into(),
            Cell::Allowed | Cell::Denied => [].into(),
        }
    }

    fn matrix() -> Matrix {
        let row = |action: &str, resource: &str, cells: [Cell; 3]| MatrixRow {
            action: action.to_owned(),
            resource: resource.to_owned(),
            cells: cells.to_vec(),
            // One action is open to suspended members too.
            suspended: cells
                .map(|cell| if action == "a:view" { cell } else { Cell::Denied })
                .to_vec(),
            // One policy asks for an owner, and one of its own has the boss.
            depends_on: cells.into_iter().zip(["owner", "owner", "boss"]).map(on).collect(),
        };
        Matrix {
            roles: vec![id("reader"), id("writer"), id("boss")],
            rows: vec![
                row("b:edit", "b", [Cell::Denied, Cell::Allowed, Cell::Allowed]),
                row("a:view", "a", [Cell::Allowed, Cell::Allowed, Cell::Allowed]),
                row("a:view", "account", [Cell::Allowed, Cell::Allowed, Cell::Allowed]),
                row("c:view", "c", [Cell::Depends, Cell::Depends, Cell::Depends]),
                row("d:pay", "d", [Cell::Denied, Cell::Denied, Cell::Allowed]),
                row("e:draw", "e", [Cell::Allowed, Cell::Denied, Cell::Denied]),
            ],
        }
    }

    #[test]
    fn a_role_lists_the_actions_that_it_is_allowed_whatever_the_attributes() {
        let matrix = matrix();
        assert_eq!(actions(&matrix, &id("reader")), ["a:view", "e:draw"]);
        assert_eq!(actions(&matrix, &id("writer")), ["a:view", "b:edit"]);
        assert!(actions(&matrix, &id("stranger")).is_empty());
    }

    #[test]
    fn a_change_of_role_gains_and_loses() {
        let matrix = matrix();
        let of = |from: &str, to: &str| {
            let AccessChanges { gains, loses, may_gain, may_lose } =
                difference(&matrix, &id(from), &id(to));
            [gains, loses, may_gain, may_lose].map(|actions| actions.join(" "))
        };
        assert_eq!(of("reader", "writer"), ["b:edit", "e:draw", "", ""]);
        assert_eq!(of("reader", "boss"), ["b:edit d:pay", "e:draw", "c:view", "c:view"]);
        assert_eq!(of("boss", "writer"), ["", "d:pay", "c:view", "c:view"]);
        assert_eq!(of("writer", "writer"), [""; 4]);
    }

    #[test]
    fn a_change_of_role_claims_nothing_of_what_depends() {
        let of = |before: Cell, after: Cell| {
            let row = MatrixRow {
                action: "a".to_owned(),
                resource: "a".to_owned(),
                cells: vec![before, after],
                suspended: Vec::new(),
                depends_on: [before, after].map(|cell| on((cell, "owner"))).to_vec(),
            };
            let matrix = Matrix { roles: vec![id("one"), id("two")], rows: vec![row] };
            let AccessChanges { gains, loses, may_gain, may_lose } =
                difference(&matrix, &id("one"), &id("two"));
            [gains, loses, may_gain, may_lose].map(|actions| actions.len())
        };
        let (yes, no, depends) = (Cell::Allowed, Cell::Denied, Cell::Depends);
        for (before, after, found) in [
            (no, yes, [1, 0, 0, 0]),
            (yes, no, [0, 1, 0, 0]),
            (no, depends, [0, 0, 1, 0]),
            (depends, yes, [0, 0, 1, 0]),
            (yes, depends, [0, 0, 0, 1]),
            (depends, no, [0, 0, 0, 1]),
            (depends, depends, [0; 4]),
            (yes, yes, [0; 4]),
        ] {
            assert_eq!(of(before, after), found, "{before:?} {after:?}");
        }
    }

    #[test]
    fn a_member_may_what_the_policies_say_of_role_and_status() {
        let mut member = Member {
            id: MemberId::parse("m1").unwrap(),
            account: AccountSlug::parse("acme").unwrap(),
            email: Email::parse("bo@example.org").unwrap(),
            first_name: Name::parse("first_name", "Bo").unwrap(),
            last_name: Name::parse("last_name", "Lee").unwrap(),
            role: id("writer"),
            status: Status::Active,
            two_step: false,
            joined: Timestamp(0),
            version: Version::FIRST,
        };
        let matrix = matrix();
        let cells = |member: &Member| -> Vec<Cell> {
            permissions_of(&matrix, member).into_iter().map(|(_, _, cell)| cell).collect()
        };
        let (no, yes) = (Cell::Denied, Cell::Allowed);
        assert_eq!(cells(&member), [yes, yes, yes, Cell::Depends, no, no]);
        assert_eq!(permissions_of(&matrix, &member)[2], ("a:view", "account", yes));
        member.status = Status::Suspended;
        assert_eq!(cells(&member), [no, yes, yes, no, no, no]);
        (member.status, member.role) = (Status::Active, id("stranger"));
        assert_eq!(cells(&member), [no; 6]);
    }

    #[test]
    fn the_smallest_role_that_covers_everything_is_suggested() {
        let roles = ["reader", "writer", "boss"].map(card);
        let suggest = |asked: &[&str]| {
            let asked = asked.iter().map(|action| (*action).to_owned()).collect();
            smallest(&matrix(), &roles, &asked)
        };
        let one = suggest(&["a:view", "b:edit"]);
        assert_eq!(one.role, Some(card("writer")));
        assert_eq!((one.extra.len(), &one.others[..]), (0, &[id("boss")][..]));
        let more = suggest(&["b:edit"]);
        assert_eq!((more.role, more.extra), (Some(card("writer")), vec!["a:view".to_owned()]));
        let none = suggest(&["c:view", "d:pay"]);
        assert!(none.role.is_none() && none.others.is_empty());
        assert!(none.reason.contains("`boss` comes nearest, and lacks `c:view`"), "{none:?}");
    }

    #[test]
    fn an_action_that_there_is_not_is_told_with_one_that_is_near() {
        assert!(known_action(&matrix(), "b:edit").is_ok());
        let refusal = known_action(&matrix(), "b:edti").expect_err("was known");
        assert_eq!((refusal.kind, refusal.fields[0].0.as_str()), (Kind::Invalid, "actions"));
        assert!(refusal.public.contains("did you mean `b:edit`?"), "{refusal}");
    }
}
