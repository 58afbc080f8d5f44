//! The roles, their comparison, and the smallest role for a job.
//!
//! Read from the live policies each time; no role or action is named in the code.

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;

use super::page_layout::{PageLayout, page};
use super::page_request::{CurrentUser, PageRequest, PageResult};
use super::texts as w;
use crate::domain::RoleId;
use crate::engine::{Matrix, RoleCard, Snapshot, TypeTitles};
use crate::services::roles::{self, RoleSuggestion};

const SECTION: &str = "/roles";

/// The actions on one kind of thing: `broadcasts` with `view` and `send`.
struct ActionTopic {
    name: String,
    verbs: String,
}

/// A role card.
struct RoleIntroduction {
    card: RoleCard,
    administers: bool,
    can: Vec<ActionTopic>,
}

#[derive(Template)]
#[template(path = "console/templates/roles.html", config = ".askama.toml")]
struct RoleGuidePage<'p> {
    shell: PageLayout<'p>,
    roles: Vec<RoleIntroduction>,
}

pub(super) async fn guide(call: &mut PageRequest<'_>) -> PageResult {
    let viewer = call.viewer().await?;
    let (live, matrix) = roles::compared(call.app).await?;
    let introduced = |card: &RoleCard| RoleIntroduction {
        card: card.clone(),
        administers: live.administering().contains(&card.id),
        can: topics(live.type_titles(), &roles::actions(&matrix, &card.id)),
    };
    let mut roles: Vec<RoleIntroduction> = live.roles().iter().map(introduced).collect();
    roles.sort_by_key(|role| role.administers);
    Ok(page(&RoleGuidePage { shell: PageLayout::inside(call, &viewer, w::ROLES, SECTION), roles }))
}

/// One row: an action on a type of resource, with a cell for each role.
struct ActionRow {
    action: String,
    resource: String,
    words: String,
    /// The type of resource.
    on: String,
    /// Class, symbol and word of each cell.
    cells: Vec<(&'static str, &'static str, &'static str)>,
    /// The policies on which cells with "Depends" depend; empty if there are none.
    depends_on: String,
}

/// The rows about one kind of thing.
struct ActionGroup {
    name: String,
    lines: Vec<ActionRow>,
}

#[derive(Template)]
#[template(path = "console/templates/compare.html", config = ".askama.toml")]
struct RoleComparisonPage<'p> {
    shell: PageLayout<'p>,
    search: String,
    titles: Vec<String>,
    groups: Vec<ActionGroup>,
    /// The number of rows shown, and of all.
    counted: String,
}

pub(super) async fn compare(call: &mut PageRequest<'_>) -> PageResult {
    let viewer = call.viewer().await?;
    let (live, matrix) = roles::compared(call.app).await?;
    let search = call.parameter("search");
    let all = matrix.rows.len();
    let titles = matrix.roles.iter().map(|id| title(&live, id)).collect();
    let groups = groups(live.type_titles(), &matrix, &search);
    let shown = groups.iter().map(|group| group.lines.len()).sum();
    let shell = PageLayout::inside(call, &viewer, w::COMPARE_ROLES, SECTION);
    let counted = w::rows_shown(shown, all);
    Ok(page(&RoleComparisonPage { shell, search, titles, groups, counted }))
}

/// The rows that match a search, grouped.
fn groups(titles: &TypeTitles, matrix: &Matrix, search: &str) -> Vec<ActionGroup> {
    let wanted = search.trim().to_lowercase();
    let mut groups: BTreeMap<String, Vec<ActionRow>> = BTreeMap::new();
    for row in &matrix.rows {
        let words = w::action(titles, &row.action);
        let (on, plain) = (w::on(titles, &row.resource), w::plain(&row.resource));
        let said = format!("{words} {on} {plain} {} {}", row.action, row.resource).to_lowercase();
        if said.contains(&wanted) {
            let name = w::thing(titles, &row.action);
            let cells = row.cells.iter().copied().map(w::cell).collect();
            let depends_on = w::depends_on(&row.policies());
            let (action, resource) = (row.action.clone(), row.resource.clone());
            let line = ActionRow { action, resource, words, on, cells, depends_on };
            groups.entry(name).or_default().push(line);
        }
    }
    groups.into_iter().map(|(name, lines)| ActionGroup { name, lines }).collect()
}

struct ActionChoice {
    action: String,
    words: String,
    ticked: bool,
}

/// The suggested role for a job.
struct RoleSuggestionView {
    suggested: RoleSuggestion,
    /// Why this one, or why none.
    reason: String,
    others: Vec<String>,
    extra: Vec<ActionTopic>,
    /// Whether the viewer may invite somebody with it.
    invites: bool,
}

#[derive(Template)]
#[template(path = "console/templates/suggest.html", config = ".askama.toml")]
struct RoleSuggestionPage<'p> {
    shell: PageLayout<'p>,
    choices: Vec<(String, Vec<ActionChoice>)>,
    /// Which selected actions the live policies no longer have; empty if they have all.
    gone: String,
    /// A role was asked for, and nothing was ticked.
    nothing: bool,
    advice: Option<RoleSuggestionView>,
}

pub(super) async fn suggest(call: &mut PageRequest<'_>) -> PageResult {
    let viewer = call.viewer().await?;
    let live = call.app.policies.load_full();
    let all: BTreeSet<String> = live.actions().into_iter().collect();
    let ticked: BTreeSet<String> = call.parameters("do").into_iter().collect();
    let (asked, gone): (BTreeSet<String>, BTreeSet<String>) =
        ticked.into_iter().partition(|action| all.contains(action));
    let mut choices: BTreeMap<String, Vec<ActionChoice>> = BTreeMap::new();
    let titles = live.type_titles();
    for action in all {
        let (words, ticked) = (w::action(titles, &action), asked.contains(&action));
        choices.entry(w::thing(titles, &action)).or_default().push(ActionChoice {
            action,
            words,
            ticked,
        });
    }
    let advice = if asked.is_empty() {
        None
    } else {
        Some(advice(&live, &viewer, roles::suggest(call.app, &asked).await?))
    };
    let shell = PageLayout::inside(call, &viewer, w::WHICH_ROLE, SECTION);
    let nothing = asked.is_empty() && gone.is_empty() && !call.parameter("asked").is_empty();
    let (choices, gone) = (choices.into_iter().collect(), gone.into_iter().collect::<Vec<_>>());
    let gone = if gone.is_empty() { String::new() } else { w::actions_gone(titles, &gone) };
    Ok(page(&RoleSuggestionPage { shell, choices, gone, nothing, advice }))
}

fn advice(live: &Snapshot, viewer: &CurrentUser, suggested: RoleSuggestion) -> RoleSuggestionView {
    let rights = &viewer.rights;
    let gives = |card: &RoleCard| rights.invite && rights.gives.contains(&card.id);
    RoleSuggestionView {
        invites: suggested.role.as_ref().is_some_and(gives),
        others: suggested.others.iter().map(|id| title(live, id)).collect(),
        extra: topics(live.type_titles(), &suggested.extra),
        reason: in_words(live, &suggested.reason),
        suggested,
    }
}

/// Actions grouped by what they are done to, with readable names.
fn topics(titles: &TypeTitles, actions: &[String]) -> Vec<ActionTopic> {
    let mut topics: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for action in actions {
        topics.entry(w::thing(titles, action)).or_default().push(w::verb(action));
    }
    let topic =
        |(name, verbs): (String, Vec<String>)| ActionTopic { name, verbs: verbs.join(", ") };
    topics.into_iter().map(topic).collect()
}

/// A change of who may do what as people say it: `operator gains chats:assign on bot_flow`.
pub(super) fn change(live: &Snapshot, line: &str) -> String {
    let titles = live.type_titles();
    let verbs = ["gains ", "loses ", "may gain ", "may lose "];
    let told = match line.split_once(' ') {
        Some((role, what)) if verbs.iter().any(|verb| what.starts_with(verb)) => {
            let role = RoleId::parse(role).map_or_else(|_| role.to_owned(), |id| title(live, &id));
            format!("{role} {}", w::change(titles, what))
        }
        _ => w::change(titles, line),
    };
    w::capital(&told.replace('`', ""))
}

/// A sentence about roles and actions that names them in backticks, as people say it.
fn in_words(live: &Snapshot, sentence: &str) -> String {
    let part = |(number, part): (usize, &str)| match RoleId::parse(part) {
        _ if number % 2 == 0 => part.to_owned(),
        Ok(role) => title(live, &role),
        Err(_) => format!("\u{201c}{}\u{201d}", w::action(live.type_titles(), part)),
    };
    let text: String = sentence.split('`').enumerate().map(part).collect();
    w::capital(&text) + "."
}

/// Why an answer is what it is, with roles by their titles. Policies stand in backticks too, and
/// keep the names that they have.
pub(super) fn with_titles(live: &Snapshot, sentence: &str) -> String {
    let (mut listed, mut before) = (false, "");
    let mut out = String::new();
    for (number, part) in sentence.split('`').enumerate() {
        if number % 2 == 0 {
            listed = match part {
                _ if part.ends_with("roles may: ") => true,
                ", " | " and " => listed,
                _ => false,
            };
            before = part;
            out.push_str(part);
            continue;
        }
        match RoleId::parse(part) {
            Ok(role) if listed || before.ends_with("the role ") => {
                out.push_str(&title(live, &role));
            }
            _ if ["this ", " a ", " an "].iter().any(|word| before.ends_with(word)) => {
                out.push_str(&w::name_of(live.type_titles(), part));
            }
            _ if part.contains(':') && is_action(before) => {
                out.truncate(out.trim_end_matches("the action ").len());
                out.push_str(&format!("\u{201c}{}\u{201d}", w::action(live.type_titles(), part)));
            }
            _ => {
                out.push('`');
                out.push_str(part);
                out.push('`');
            }
        }
    }
    out
}

/// Whether an action is named after these words. At the beginning of an answer it always is.
fn is_action(before: &str) -> bool {
    before.is_empty() || ["the action ", "no policy allows "].iter().any(|it| before.ends_with(it))
}

/// What people call a role; its name as words where the live policies do not have it.
pub(super) fn title(live: &Snapshot, id: &RoleId) -> String {
    let card = live.roles().iter().find(|card| card.id == *id);
    card.map_or_else(|| w::capital(&w::plain(id.as_str())), |card| card.title.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Cell, MatrixRow};

    #[test]
    fn a_search_finds_rows_by_words_and_by_names() {
        let row = |action: &str, resource: &str| MatrixRow {
            action: action.to_owned(),
            resource: resource.to_owned(),
            cells: vec![Cell::Allowed],
            suspended: vec![Cell::Denied],
            depends_on: Vec::new(),
        };
        let rows = vec![row("botflows:edit", "bot_flow"), row("chats:view", "chat")];
        let matrix = Matrix { roles: vec![RoleId::parse("boss").unwrap()], rows };
        let found = |search| {
            let groups = groups(&TypeTitles::none(), &matrix, search);
            groups.iter().map(|group| group.name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(found(""), ["Botflows", "Chats"]);
        assert_eq!(found("BOT FLOW"), ["Botflows"]);
        assert_eq!(found(" chats:view "), ["Chats"]);
        assert!(found("spaceship").is_empty());
    }
}
