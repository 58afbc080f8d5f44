//! The form that goes back to a former set: what would change is shown first. Where the policy folder
//! cannot be written, it offers to pin the set instead.

use super::form_page::{Fact, FormPage, FormPart};
use super::page_layout::{MessagePage, PageLayout, not_possible, page, redirect_with_notice};
use super::page_request::{CurrentUser, PageRequest, PageResult};
use super::policies::SECTION;
use super::policies_history::{rollback_path, short};
use super::roles::change;
use super::texts as w;
use super::timestamps::TimeLabel;
use crate::domain::{Failure, Kind, PolicyEntry};
use crate::http::{Reply, status};
use crate::services::permits::StorePermit;
use crate::services::policy_history::{self, PolicyReader};
use crate::services::policy_rollback;

/// The form field, and query parameter, of a pin.
const PIN: &str = "pin";

pub(super) async fn ask(call: &mut PageRequest<'_>) -> PageResult {
    let viewer = call.viewer().await?;
    let permit = StorePermit::managing_policies(call.app, viewer.caller()).await?;
    let entry = entry(call, &permit).await?;
    if let Some(why) = impossible(call, &entry).await? {
        return Ok(no_way(call, &viewer, why));
    }
    let pins = must_pin(call) || !call.parameter(PIN).is_empty();
    match changes(call, &permit, &entry).await {
        Ok(changes) => Ok(sheet(call, &viewer, &entry, pins, changes).page()),
        Err(failure) if failure.kind == Kind::PoliciesRefused => {
            Ok(refused(call, &viewer, &failure))
        }
        Err(failure) => Err(failure),
    }
}

pub(super) async fn done(call: &mut PageRequest<'_>) -> PageResult {
    let pins = !call.form().await?.text(PIN).is_empty();
    let viewer = call.viewer().await?;
    let permit = StorePermit::managing_policies(call.app, viewer.caller()).await?;
    let entry = entry(call, &permit).await?;
    if let Some(why) = impossible(call, &entry).await? {
        return Ok(no_way(call, &viewer, why));
    }
    let number = entry.number.to_string();
    match policy_rollback::rollback(call.app, permit, &number, pins).await {
        Ok(report) => {
            let mut told = if report.pending {
                w::HELD_NOW.to_owned()
            } else {
                w::rolled_back(entry.number, report.changes.count())
            };
            if !pins && !call.app.has_policies_of_fleet() {
                told = format!("{told} {}", w::FORMER_FILES_KEPT);
            }
            Ok(redirect_with_notice(call.app, SECTION, &told))
        }
        Err(failure) if failure.kind == Kind::PoliciesRefused => {
            Ok(refused(call, &viewer, &failure))
        }
        Err(failure) => {
            let permit = StorePermit::managing_policies(call.app, viewer.caller()).await?;
            let changes = changes(call, &permit, &entry).await?;
            // What cannot be written can be pinned.
            let pins = pins || failure.kind == Kind::Conflict;
            sheet(call, &viewer, &entry, pins, changes).not_taken(failure)
        }
    }
}

async fn entry(call: &PageRequest<'_>, permit: &StorePermit) -> Result<PolicyEntry, Failure> {
    let reader = PolicyReader::of_operator(permit);
    Ok(policy_history::set(call.app, &reader, &call.id).await?.entry)
}

/// Why it is no way back, whatever the folder is.
async fn impossible(
    call: &PageRequest<'_>,
    entry: &PolicyEntry,
) -> Result<Option<&'static str>, Failure> {
    if !policy_rollback::was_live(call.app, entry).await? {
        return Ok(Some(w::source_texts(call.app.has_policies_of_fleet()).never_live));
    }
    let is_live = entry.digest == call.app.policies.load().digest();
    Ok(is_live.then_some(w::IS_LIVE_ALREADY))
}

fn no_way(call: &PageRequest<'_>, viewer: &CurrentUser, why: &'static str) -> Reply {
    let shell = PageLayout::inside(call, viewer, w::CANNOT_GO_BACK, SECTION);
    not_possible(shell, why, (SECTION, w::TO_POLICIES))
}

/// Whether the folder cannot be written: a set is pinned, or there is no folder. In a fleet none is.
fn must_pin(call: &PageRequest<'_>) -> bool {
    let no_folder = call.app.config.policies.dir.is_none() && !call.app.has_policies_of_fleet();
    no_folder || call.app.policy_status.load().pinned.is_some()
}

async fn changes(
    call: &PageRequest<'_>,
    permit: &StorePermit,
    entry: &PolicyEntry,
) -> Result<Vec<String>, Failure> {
    let number = entry.number.to_string();
    let changes = policy_rollback::preview(call.app, permit, &number).await?;
    let live = call.app.policies.load_full();
    Ok(changes.lines().iter().map(|line| change(&live, line)).collect())
}

fn sheet<'p>(
    call: &PageRequest<'_>,
    viewer: &'p CurrentUser,
    entry: &PolicyEntry,
    pins: bool,
    changes: Vec<String>,
) -> FormPage<'p> {
    let number = entry.number;
    let (title, submit) = if pins {
        (w::pin_ask(number), w::pin_set(number))
    } else {
        (w::roll_back_ask(number), w::roll_back_to(number))
    };
    let why = match (call.app.has_policies_of_fleet(), pins) {
        (false, false) => w::ROLLBACK_WHY,
        (false, true) => w::PIN_WHY,
        (true, false) => w::ROLLBACK_ALL_WHY,
        (true, true) => w::PIN_ALL_WHY,
    };
    let facts = vec![
        Fact::when(w::SET_OF, TimeLabel::exactly(entry.at)),
        Fact::text(w::DIGEST, short(&entry.digest)),
    ];
    let shell = PageLayout::inside(call, viewer, title, SECTION);
    let form = FormPage::new(shell, rollback_path(number), submit)
        .line(why)
        .part(FormPart::Facts(facts))
        .part(FormPart::List { title: w::WOULD_CHANGE.to_owned(), items: changes })
        .danger()
        .cancel(SECTION);
    match (pins, must_pin(call)) {
        (true, _) => form.hidden(PIN, "1"),
        (false, true) => form,
        (false, false) => {
            form.instead(format!("{}?{PIN}=1", rollback_path(number)), w::PIN_INSTEAD)
        }
    }
}

/// The set did not pass the check: a member may hold a role that it does not have.
fn refused(call: &PageRequest<'_>, viewer: &CurrentUser, failure: &Failure) -> Reply {
    let shell = PageLayout::inside(call, viewer, w::CANNOT_GO_BACK, SECTION).narrow();
    let faults = failure.public.lines().map(|line| line.replace('`', ""));
    let lines = std::iter::once(w::NOT_PASSED.to_owned()).chain(faults).collect();
    let next = (SECTION.to_owned(), w::TO_POLICIES);
    page(&MessagePage { shell, lines, next }).status(status(failure.kind))
}
