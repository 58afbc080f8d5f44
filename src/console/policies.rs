//! The live policies: which set is active, why the folder was last refused, what each reload
//! changed, and a reload for those who may.
//!
//! A set that waits for approval is approved here, and a pin is ended.

use askama::Template;

use super::page_layout::{PageLayout, page, redirect_with_notice};
use super::page_request::{CurrentUser, PageRequest, PageResult};
use super::policies_guards::{self, GuardRow};
use super::policies_history::{self, History, LIVE, PENDING};
use super::policies_shadow::{self, ShadowView};
use super::texts as w;
use super::timestamps::TimeLabel;
use crate::app::{FolderProblem, PolicyStatus};
use crate::domain::{Digest, Failure, Kind};
use crate::engine::Snapshot;
use crate::http::status;
use crate::services::permits::StorePermit;
use crate::services::policy_history::{self, PolicyReader};
use crate::services::reload::ReloadReport;
use crate::services::{policy_approval, policy_rollback, reload, shadow};

pub(super) const SECTION: &str = "/policies";

#[derive(Debug, PartialEq, Eq)]
pub(super) struct FolderFaultText {
    /// Place and message.
    pub(super) text: String,
    /// The line with the fault underlined; empty if there is none.
    pub(super) excerpt: String,
}

#[derive(Template)]
#[template(path = "console/templates/policies.html", config = ".askama.toml")]
struct PoliciesPage<'p> {
    shell: PageLayout<'p>,
    /// Whether the viewer may ask who can do an action.
    who_can: bool,
    last_good: bool,
    /// Whether the policies are published to a fleet, instead of loaded from a folder.
    are_of_fleet: bool,
    texts: &'static w::SourceTexts,
    /// The result of the last load.
    told: &'static str,
    faults: Vec<FolderFaultText>,
    when: TimeLabel,
    facts: Vec<(&'static str, String)>,
    /// What each guard states, and whether it is proved.
    guards: Vec<GuardRow>,
    notes: Vec<String>,
    files: Vec<String>,
    /// Whether the viewer may reload.
    reloads: bool,
    /// The set that waits for approval.
    pending: Option<PendingSet>,
    /// The number of the set that is pinned.
    pinned: Option<u64>,
    history: History,
    /// The shadow policies, for who may load policies.
    shadow: Option<ShadowView>,
}

/// A set by which somebody gains access.
struct PendingSet {
    digest: String,
    changes: Vec<String>,
    /// The page that compares it with the live set.
    compare: String,
}

pub(super) async fn show(call: &mut PageRequest<'_>) -> PageResult {
    let viewer = call.viewer().await?;
    Ok(page(&policies(call, &viewer).await?))
}

async fn policies<'p>(
    call: &PageRequest<'_>,
    viewer: &'p CurrentUser,
) -> Result<PoliciesPage<'p>, Failure> {
    let reader = PolicyReader::of_member(call.app, viewer.caller()).await?;
    let files = reload::files(call.app, viewer.caller()).await?;
    let managed_by = call.app.config.policies.managed_by.as_ref();
    let manages = managed_by == Some(&viewer.account.slug) && viewer.rights.edit_settings;
    let history = policies_history::of(call, viewer, &reader, manages).await?;
    let (live, status) = (call.app.policies.load_full(), call.app.policy_status.load_full());
    let PolicyStatus { last_good, fault, outcome, loaded_at, pending, pinned } =
        PolicyStatus::clone(&status);
    let pending = match pending {
        Some(digest) => Some(waiting(call, &reader, &live, digest).await?),
        None => None,
    };
    let are_of_fleet = call.app.has_policies_of_fleet();
    let texts = w::source_texts(are_of_fleet);
    Ok(PoliciesPage {
        shell: PageLayout::inside(call, viewer, w::POLICIES, SECTION),
        who_can: viewer.rights.view_team,
        last_good,
        are_of_fleet,
        texts,
        told: match outcome {
            FolderProblem::Refused => texts.refused,
            FolderProblem::Unread | FolderProblem::Unchecked | FolderProblem::BrokenOff => {
                texts.not_loaded
            }
        },
        faults: fault.as_deref().map(faults).unwrap_or_default(),
        when: TimeLabel::from(loaded_at, call.app.clock.now()),
        facts: facts(&live),
        guards: policies_guards::rows(&live),
        notes: live.notes().to_vec(),
        files: files.unwrap_or_default(),
        reloads: manages,
        pending,
        pinned,
        history,
        shadow: shadow_view(call, viewer, &live, manages).await?,
    })
}

/// The shadow policies, where there are some and the viewer may see what other accounts ask.
async fn shadow_view(
    call: &PageRequest<'_>,
    viewer: &CurrentUser,
    live: &Snapshot,
    manages: bool,
) -> Result<Option<ShadowView>, Failure> {
    if !manages {
        return Ok(None);
    }
    let permit = StorePermit::managing_policies(call.app, viewer.caller()).await?;
    let report = shadow::report(call.app, &permit);
    Ok(report.map(|report| policies_shadow::view(call.app, live, report)))
}

/// The set that waits, with who would gain and who lose; without that, if it could not be kept.
async fn waiting(
    call: &PageRequest<'_>,
    reader: &PolicyReader,
    live: &Snapshot,
    digest: Digest,
) -> Result<PendingSet, Failure> {
    let changes = match policy_history::set(call.app, reader, "pending").await {
        // Another one may have taken its place since: its changes are none of this digest.
        Ok(set) if set.entry.digest != digest => Vec::new(),
        Ok(set) => policies_history::changes(live, &set.entry.report),
        Err(failure) if failure.kind == Kind::NotFound => Vec::new(),
        Err(failure) => return Err(failure),
    };
    let compare = policies_history::compare_path(LIVE, PENDING);
    Ok(PendingSet { digest: digest.hex(), changes, compare })
}

fn facts(live: &Snapshot) -> Vec<(&'static str, String)> {
    let roles: Vec<&str> = live.roles().iter().map(|card| card.title.as_str()).collect();
    vec![
        (w::POLICY_COUNT, live.policy_count().to_string()),
        (w::ROLES, roles.join(", ")),
        (w::GUARDS, live.guard_count().to_string()),
        (w::POLICY_TESTS, live.test_count().to_string()),
        (w::DIGEST, live.digest_hex().to_owned()),
    ]
}

/// The faults of a refused folder: `file:line: message`, and below it, indented, the line at fault.
pub(super) fn faults(text: &str) -> Vec<FolderFaultText> {
    let mut faults: Vec<FolderFaultText> = Vec::new();
    for line in text.lines() {
        match faults.last_mut() {
            Some(fault) if line.starts_with("  ") => {
                fault.excerpt.push_str(line);
                fault.excerpt.push('\n');
            }
            _ => faults.push(FolderFaultText { text: line.to_owned(), excerpt: String::new() }),
        }
    }
    faults
}

pub(super) async fn approve(call: &mut PageRequest<'_>) -> PageResult {
    let digest = call.form().await?.text("digest").to_owned();
    let viewer = call.viewer().await?;
    let permit = StorePermit::managing_policies(call.app, viewer.caller()).await?;
    let report = policy_approval::approve(call.app, permit, &digest).await?;
    Ok(redirect_with_notice(call.app, SECTION, &told(&report)))
}

pub(super) async fn unpin(call: &mut PageRequest<'_>) -> PageResult {
    call.form().await?;
    let viewer = call.viewer().await?;
    let permit = StorePermit::managing_policies(call.app, viewer.caller()).await?;
    let report = policy_rollback::unpin(call.app, permit).await?;
    Ok(redirect_with_notice(call.app, SECTION, &told(&report)))
}

/// What is said after a load of the folder.
fn told(report: &ReloadReport) -> String {
    if report.pending {
        w::HELD_NOW.to_owned()
    } else {
        w::reloaded(report.changed, report.changes.count())
    }
}

pub(super) async fn reload(call: &mut PageRequest<'_>) -> PageResult {
    call.form().await?;
    let viewer = call.viewer().await?;
    let permit = StorePermit::managing_policies(call.app, viewer.caller()).await?;
    match reload::reload_now(call.app, permit).await {
        Ok(report) => Ok(redirect_with_notice(call.app, SECTION, &told(&report))),
        // The page shows every fault of the folder.
        Err(failure) if failure.kind == Kind::PoliciesRefused => {
            Ok(page(&policies(call, &viewer).await?).status(status(failure.kind)))
        }
        Err(failure) => Err(failure),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_told_apart_with_the_line_of_each() {
        let text = "roles/a.cedar:3: what\n  3 | permmit\n    | ^^^^^^^\nroles/b.cedar: empty";
        let told = faults(text);
        assert_eq!(told.len(), 2, "{told:?}");
        assert_eq!(told[0].text, "roles/a.cedar:3: what");
        assert_eq!(told[0].excerpt, "  3 | permmit\n    | ^^^^^^^\n");
        assert_eq!(
            told[1],
            FolderFaultText { text: "roles/b.cedar: empty".to_owned(), excerpt: String::new() }
        );
    }
}
