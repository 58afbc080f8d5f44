//! The difference of two sets of the policies: as the role matrix, with who gains and who loses, and
//! their files side by side.

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;

use super::page_layout::{PageLayout, page};
use super::page_request::{CurrentUser, PageRequest, PageResult};
use super::policies::SECTION;
use super::policies_history::{LIVE, PENDING};
use super::roles::{change, title};
use super::texts::{self as w, Badge};
use super::timestamps::TimeLabel;
use crate::domain::{Failure, Kind, PolicyEntry, RoleId};
use crate::engine::{AccessDifference, ChangedCell, Snapshot};
use crate::policy_folder::{FileChange, FileDifference, FileDifferences};
use crate::services::policy_comparison::{self, PolicyComparison};
use crate::services::policy_history::{self, PolicyReader};

/// Sets that can be chosen from the list; an older one is named in the address.
const CHOICES: usize = 50;
/// Most rows and most columns of the matrix that are shown.
const ROWS_SHOWN: usize = 200;
const ROLES_SHOWN: usize = 30;
/// Files whose lines are shown without opening them.
const FILES_OPEN: usize = 10;

/// A cell that changed.
struct ChangedView {
    badge: Badge,
    /// The cell before, and now.
    words: String,
}

/// One action on one type of resource, in one situation.
struct ChangedRow {
    action: String,
    /// The type, and the situation if it is not the usual one.
    on: String,
    policies: String,
    /// One for each role; `None` if it is equal.
    cells: Vec<Option<ChangedView>>,
}

/// Who gains and who loses.
#[derive(Default)]
struct AccessView {
    /// In one sentence.
    summary: String,
    roles: Vec<String>,
    rows: Vec<ChangedRow>,
    /// The number of cells that are not shown.
    more: usize,
    /// What no cell shows.
    lines: Vec<String>,
    /// How much was compared.
    checked: String,
}

/// The result of a comparison.
struct ComparedSets {
    old: String,
    new: String,
    /// Why one of the sets cannot be loaded.
    fault: Option<String>,
    access: AccessView,
    /// Each with whether its lines are shown at once.
    files: Vec<(bool, FileDifference)>,
    more_files: usize,
}

#[derive(Template)]
#[template(path = "console/templates/policies_compare.html", config = ".askama.toml")]
struct ComparePoliciesPage<'p> {
    shell: PageLayout<'p>,
    /// Value and name of each set that can be chosen.
    choices: Vec<(String, String)>,
    /// Name, label and value of the two fields.
    fields: [(&'static str, &'static str, String); 2],
    wrong: Option<String>,
    compared: Option<ComparedSets>,
}

pub(super) async fn show(call: &mut PageRequest<'_>) -> PageResult {
    let viewer = call.viewer().await?;
    let reader = PolicyReader::of_member(call.app, viewer.caller()).await?;
    let (old, new) = (call.parameter("old"), call.parameter("new"));
    let found = match (old.as_str(), new.as_str()) {
        ("", _) | (_, "") => Ok(None),
        (old, new) => policy_comparison::compare(call.app, &reader, old, new).await.map(Some),
    };
    let (compared, wrong) = match found {
        Ok(found) => (found, None),
        Err(failure) if failure.kind == Kind::NotFound => (None, Some(w::refusal(&failure))),
        Err(failure) => return Err(failure),
    };
    let live = call.app.policies.load_full();
    let mut choices = choices(call, &reader).await?;
    for name in [&old, &new] {
        // A set that is not in the list, or that is named by its digest.
        if !name.is_empty() && !choices.iter().any(|(value, _)| value == name) {
            choices.push((name.clone(), name.clone()));
        }
    }
    let is_wrong = wrong.is_some();
    let usual = if old.is_empty() { LIVE.to_owned() } else { old };
    let reply = page(&ComparePoliciesPage {
        shell: shell(call, &viewer),
        choices,
        fields: [("old", w::OLD_SET, usual), ("new", w::NEW_SET, new)],
        wrong,
        compared: compared.map(|found| compared_view(&live, found)),
    });
    Ok(if is_wrong { reply.status(404) } else { reply })
}

fn shell<'p>(call: &PageRequest<'_>, viewer: &'p CurrentUser) -> PageLayout<'p> {
    PageLayout::inside(call, viewer, w::COMPARE_SETS, SECTION)
}

async fn choices(
    call: &PageRequest<'_>,
    reader: &PolicyReader,
) -> Result<Vec<(String, String)>, Failure> {
    let found = policy_history::list(call.app, reader, None, CHOICES).await?;
    let mut choices = vec![(LIVE.to_owned(), w::LIVE_SET.to_owned())];
    if call.app.policy_status.load().pending.is_some() {
        choices.push((PENDING.to_owned(), w::WAITING_SET.to_owned()));
    }
    choices.extend(found.items.iter().map(|entry| {
        let when = TimeLabel::exactly(entry.at).words();
        (entry.number.to_string(), w::set_of(entry.number, &when))
    }));
    Ok(choices)
}

fn compared_view(live: &Snapshot, found: PolicyComparison) -> ComparedSets {
    let PolicyComparison { old, new, access, files } = found;
    let FileDifferences { files, more } = files;
    let name = |entry: &PolicyEntry| w::set(entry.number);
    let (access, fault) = match access {
        Ok(access) => (access_view(live, &access), None),
        Err(fault) => (AccessView::default(), Some(fault)),
    };
    let files = files.into_iter().enumerate();
    let files = files.map(|(at, file)| (is_open(at, &file), file)).collect();
    ComparedSets { old: name(&old), new: name(&new), fault, access, files, more_files: more }
}

/// Whether the lines of a file are shown at once: the first files that changed, and not one that is
/// new or gone as a whole.
fn is_open(at: usize, file: &FileDifference) -> bool {
    file.change == FileChange::Changed && at < FILES_OPEN
}

/// What a row of the matrix is about: action, type, and the situation in words.
type RowKey<'d> = (&'d str, &'d str, &'static str);

fn access_view(live: &Snapshot, difference: &AccessDifference) -> AccessView {
    let roles: BTreeSet<&RoleId> = difference.cells.iter().map(|cell| &cell.role).collect();
    let roles: Vec<&RoleId> = roles.into_iter().take(ROLES_SHOWN).collect();
    let mut rows: BTreeMap<RowKey<'_>, BTreeMap<&RoleId, &ChangedCell>> = BTreeMap::new();
    let mut shown = 0;
    for cell in difference.cells.iter().filter(|cell| roles.contains(&&cell.role)) {
        let key = (cell.action.as_str(), cell.resource.as_str(), w::situation(cell));
        if rows.len() < ROWS_SHOWN || rows.contains_key(&key) {
            rows.entry(key).or_default().insert(&cell.role, cell);
            shown += 1;
        }
    }
    let lines = difference.beyond_cells().into_iter().map(|line| change(live, line));
    AccessView {
        summary: w::widened(difference.is_wider(), difference.is_narrower()),
        rows: rows.iter().map(|(key, cells)| changed_row(live, &roles, *key, cells)).collect(),
        roles: roles.iter().map(|role| title(live, role)).collect(),
        more: difference.cells.len() - shown + difference.more,
        lines: lines.collect(),
        checked: w::cases_checked(difference.cases),
    }
}

fn changed_row(
    live: &Snapshot,
    roles: &[&RoleId],
    (action, resource, situation): RowKey<'_>,
    cells: &BTreeMap<&RoleId, &ChangedCell>,
) -> ChangedRow {
    let titles = live.type_titles();
    let policies: BTreeSet<&str> =
        cells.values().flat_map(|cell| &cell.policies).map(String::as_str).collect();
    let view = |cell: &&ChangedCell| ChangedView {
        badge: w::changed(cell.change),
        words: format!("{} \u{2192} {}", w::cell(cell.before).2, w::cell(cell.now).2),
    };
    ChangedRow {
        action: w::action(titles, action),
        on: format!("{}{situation}", w::on(titles, resource)),
        policies: w::by_policies(&policies.into_iter().collect::<Vec<_>>()),
        cells: roles.iter().map(|role| cells.get(role).map(view)).collect(),
    }
}
