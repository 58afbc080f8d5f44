//! The history on the policies page: each set with what became of it, who brought it and how, and who
//! gained and lost access by it.

use super::actor_names::{ActorNames, SentencePart};
use super::page_request::{CurrentUser, PageRequest};
use super::page_urls::LocalPath;
use super::roles::change;
use super::texts::{self as w, Badge, SetState};
use super::timestamps::TimeLabel;
use crate::app::PolicyStatus;
use crate::domain::{Digest, Failure, PolicyEntry, PolicyOutcome, PolicyReport};
use crate::engine::Snapshot;
use crate::services::policy_history::{self, PolicyReader};

/// The names of the set that answers, and of the one that waits.
pub(super) const LIVE: &str = "live";
pub(super) const PENDING: &str = "pending";
/// Sets on a page.
const PAGE: usize = 10;
/// The number of lines of one set that are shown.
const CHANGES_SHOWN: usize = 50;
/// The digits of a digest that are shown; they are enough to name a set.
const DIGITS: usize = 12;

/// One set of the history.
pub(super) struct HistoryRow {
    pub(super) title: String,
    pub(super) state: Badge,
    pub(super) when: TimeLabel,
    pub(super) by: String,
    /// How it was brought, if not by loading the folder.
    pub(super) way: Option<&'static str>,
    pub(super) digest: String,
    pub(super) changes: Vec<String>,
    pub(super) more: usize,
    /// Whether they say why the set was refused.
    pub(super) refused: bool,
    /// The link that compares it with another set, and its label.
    pub(super) compare: Option<(String, String)>,
    /// The link that goes back to it, and its label, for who may; only of a former live set.
    pub(super) rollback: Option<(String, String)>,
}

/// One page of the history.
pub(super) struct History {
    pub(super) rows: Vec<HistoryRow>,
    /// The number after which the next page begins.
    pub(super) next: Option<String>,
    /// Who brought the set that answers, if it is saved.
    pub(super) live_by: Option<String>,
}

/// What a row is compared with to say what became of its set.
struct Now<'n> {
    live: &'n Snapshot,
    /// The number of the live set, if it is saved.
    number: Option<u64>,
    status: &'n PolicyStatus,
    /// Whether the viewer may go back to a set.
    manages: bool,
}

/// The page that the request asks for.
///
/// # Errors
/// `Busy`, when the disk fails.
pub(super) async fn of(
    call: &PageRequest<'_>,
    viewer: &CurrentUser,
    reader: &PolicyReader,
    manages: bool,
) -> Result<History, Failure> {
    let before = call.parameter("before").parse().ok();
    let found = policy_history::list(call.app, reader, before, PAGE).await?;
    let answering = policy_history::live(call.app, reader).await?;
    let shown = found.items.iter().chain(&answering);
    let people = named(call, viewer, shown).await?;
    let (live, status) = (call.app.policies.load_full(), call.app.policy_status.load_full());
    let number = answering.as_ref().map(|entry| entry.number);
    let now = Now { live: &live, number, status: &status, manages };
    let mut former = None;
    // From the oldest: each is compared with the one that was live before it.
    let rows = found.items.into_iter().rev().map(|entry| {
        let (number, is_live) = (entry.number, entry.outcome == PolicyOutcome::Live);
        let row = row(&people, &now, &entry, former);
        former = if is_live { Some(number) } else { former };
        row
    });
    let mut rows: Vec<HistoryRow> = rows.collect();
    rows.reverse();
    Ok(History { rows, next: found.next, live_by: answering.map(|entry| by(&people, &entry)) })
}

/// The names of the actors, for viewers who may see the team.
async fn named<'e>(
    call: &PageRequest<'_>,
    viewer: &CurrentUser,
    entries: impl Iterator<Item = &'e PolicyEntry>,
) -> Result<ActorNames, Failure> {
    if viewer.rights.view_team {
        let labels = entries.map(|entry| entry.actor.as_str());
        ActorNames::of_labels(call.app, viewer, labels).await
    } else {
        Ok(ActorNames::nobody())
    }
}

fn row(people: &ActorNames, now: &Now<'_>, entry: &PolicyEntry, former: Option<u64>) -> HistoryRow {
    let state = match entry.outcome {
        PolicyOutcome::Live if now.number == Some(entry.number) => SetState::Live,
        PolicyOutcome::Live => SetState::WasLive,
        PolicyOutcome::Pending if now.status.pending == Some(entry.digest) => SetState::Waits,
        PolicyOutcome::Pending => SetState::Waited,
        PolicyOutcome::Refused => SetState::Refused,
    };
    let by = by(people, entry);
    let (changes, more) = told(now.live, entry);
    let is_former = entry.outcome == PolicyOutcome::Live && entry.digest != now.live.digest();
    let number = entry.number;
    let compare = match (&state, former) {
        (SetState::Live, None) => None,
        (SetState::Live, Some(former)) => {
            let path = compare_path(&former.to_string(), &number.to_string());
            Some((path, w::compare_with(former)))
        }
        _ if entry.digest == now.live.digest() => None,
        (SetState::Waits, _) => {
            Some((compare_path(LIVE, PENDING), w::COMPARE_WITH_LIVE.to_owned()))
        }
        _ => Some((compare_path(LIVE, &number.to_string()), w::COMPARE_WITH_LIVE.to_owned())),
    };
    let rollback = (now.manages && is_former).then(|| {
        let pinned = now.status.pinned.is_some();
        let label = if pinned { w::pin_set(number) } else { w::roll_back_to(number) };
        (rollback_path(number), label)
    });
    HistoryRow {
        title: w::set(number),
        state: state.badge(),
        when: TimeLabel::exactly(entry.at),
        by,
        way: w::way(entry.report.cause),
        digest: short(&entry.digest),
        changes,
        more,
        refused: entry.report.fault.is_some(),
        compare,
        rollback,
    }
}

/// The page that compares two sets.
pub(super) fn compare_path(old: &str, new: &str) -> String {
    LocalPath::at("/policies/compare").with("old", old).with("new", new).path()
}

/// The page that asks before it goes back to a set.
pub(super) fn rollback_path(number: u64) -> String {
    format!("/policies/history/{number}/rollback")
}

/// The beginning of a digest, by which a set can be named.
pub(super) fn short(digest: &Digest) -> String {
    digest.hex().chars().take(DIGITS).collect()
}

fn by(people: &ActorNames, entry: &PolicyEntry) -> String {
    match people.actor(&entry.actor) {
        SentencePart::Words(words) if words == w::PRODUCT => {
            w::reload_cause(entry.report.cause).to_owned()
        }
        SentencePart::Somebody { name, own: true, .. } => name,
        SentencePart::Words(words) | SentencePart::Somebody { name: words, .. } => {
            w::capital(&words)
        }
    }
}

/// Who gained and lost, or why the set was refused; and how many lines are left out.
fn told(live: &Snapshot, entry: &PolicyEntry) -> (Vec<String>, usize) {
    let mut lines = changes(live, &entry.report);
    if let Some(fault) = &entry.report.fault {
        lines = fault.lines().filter(|line| !line.starts_with("  ")).map(str::to_owned).collect();
    } else if lines.is_empty() {
        let is_first = entry.number == 1;
        lines.push(if is_first { w::FIRST_SET } else { w::NO_CHANGES }.to_owned());
    }
    let more = lines.len().saturating_sub(CHANGES_SHOWN);
    lines.truncate(CHANGES_SHOWN);
    (lines, more)
}

/// The access changes of a set as people say them.
pub(super) fn changes(live: &Snapshot, report: &PolicyReport) -> Vec<String> {
    let PolicyReport { gains, loses, may_gain, may_lose, .. } = report;
    let mut lines = Vec::new();
    for line in [gains, loses, may_gain, may_lose].into_iter().flatten() {
        let line = change(live, line);
        // An incomplete comparison is noted in two of them.
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines
}
