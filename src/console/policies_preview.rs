//! The preview of a reload: what is wrong with the folder, or who would gain and lose access.
//!
//! Only for those who may reload. Loads nothing, and reads only the configured folder: a page must
//! not choose which files of the machine are read.

use askama::Template;

use super::page_layout::{PageLayout, page};
use super::page_request::{PageRequest, PageResult};
use super::policies::{FolderFaultText, SECTION, faults};
use super::roles::change;
use super::texts as w;
use crate::domain::Kind;
use crate::services::permits::StorePermit;
use crate::services::reload::{self, ReloadReport};

#[derive(Template)]
#[template(path = "console/templates/check.html", config = ".askama.toml")]
struct FolderCheckPage<'p> {
    shell: PageLayout<'p>,
    faults: Vec<FolderFaultText>,
    /// What loading it would change, if there is no fault.
    report: Option<ReloadReport>,
    /// Who would gain and who lose.
    changes: Vec<String>,
}

pub(super) async fn show(call: &mut PageRequest<'_>) -> PageResult {
    let viewer = call.viewer().await?;
    let permit = StorePermit::managing_policies(call.app, viewer.caller()).await?;
    let (faults, report) = match reload::check(call.app, &permit).await {
        Ok(report) => (Vec::new(), Some(report)),
        Err(failure) if failure.kind == Kind::PoliciesRefused => (faults(&failure.public), None),
        Err(failure) => return Err(failure),
    };
    let live = call.app.policies.load_full();
    let lines = report.as_ref().map(|report| report.changes.lines()).unwrap_or_default();
    let changes = lines.iter().map(|line| change(&live, line)).collect();
    let shell = PageLayout::inside(call, &viewer, w::CHECK_FOLDER, SECTION);
    Ok(page(&FolderCheckPage { shell, faults, report, changes }))
}
