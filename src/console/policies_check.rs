//! The preview of a reload: what is wrong with the folder, or who would gain and lose access.
//!
//! Only for those who may reload. Loads nothing, and reads only the configured folder: a page must
//! not choose which files of the machine are read.

use askama::Template;

use super::call::{Answer, Call};
use super::policies::{Fault, SECTION, faults};
use super::roles::change;
use super::shell::{Shell, page};
use super::words as w;
use crate::domain::Kind;
use crate::flows::permit::StorePermit;
use crate::flows::reload::{self, ReloadReport};

#[derive(Template)]
#[template(path = "console/templates/check.html", config = ".askama.toml")]
struct Check<'p> {
    shell: Shell<'p>,
    faults: Vec<Fault>,
    /// What loading it would change, if there is no fault.
    report: Option<ReloadReport>,
    /// Who would gain and who lose.
    changes: Vec<String>,
}

pub(super) async fn show(call: &mut Call<'_>) -> Answer {
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
    let shell = Shell::inside(call, &viewer, w::CHECK_FOLDER, SECTION);
    Ok(page(&Check { shell, faults, report, changes }))
}
