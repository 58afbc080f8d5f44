//! The shadow policies on the policies page: whether they are loaded, and where they answer otherwise
//! than the live ones.

use super::roles::title;
use super::texts::{self as w, Badge};
use super::timestamps::TimeLabel;
use crate::app::{App, Disagreement, DisagreementKind};
use crate::domain::RoleId;
use crate::engine::Snapshot;
use crate::services::shadow::ShadowReport;

/// Most kinds of disagreements that are shown; `kwic-team policy shadow` lists more.
const KINDS_SHOWN: usize = 50;

/// One kind of disagreement.
pub(super) struct ShadowRow {
    pub(super) role: String,
    pub(super) action: String,
    pub(super) on: String,
    pub(super) change: Badge,
    pub(super) count: u64,
    pub(super) last: TimeLabel,
}

/// The shadow policies.
pub(super) struct ShadowView {
    pub(super) state: Badge,
    pub(super) fault: Option<String>,
    /// What was counted: what, and the value.
    pub(super) facts: Vec<(&'static str, String)>,
    pub(super) rows: Vec<ShadowRow>,
    /// How many disagreements are of kinds that are not shown.
    pub(super) more: u64,
}

pub(super) fn view(app: &App, live: &Snapshot, report: ShadowReport) -> ShadowView {
    let ShadowReport { candidate, every, counts, disagreements, more } = report;
    let now = app.clock.now();
    let mut facts = vec![(w::SHADOW_SAMPLE, w::one_in(every))];
    if let Some(set) = &candidate.set {
        facts.push((w::DIGEST, set.digest_hex().to_owned()));
        facts.push((w::SHADOW_AGREED, counts.agreed.to_string()));
        facts.push((w::SHADOW_DIFFERED, counts.differed.to_string()));
        facts.push((w::SHADOW_LEFT_OUT, counts.left_out.to_string()));
    }
    let hidden: u64 = disagreements.iter().skip(KINDS_SHOWN).map(|(_, seen)| seen.count).sum();
    let shown = disagreements.into_iter().take(KINDS_SHOWN);
    let row = |(kind, seen): (DisagreementKind, Disagreement)| ShadowRow {
        role: match RoleId::parse(&kind.role) {
            Ok(role) => title(live, &role),
            Err(_) => w::NO_MEMBER.to_owned(),
        },
        action: w::action(live.type_titles(), &kind.action),
        on: w::on(live.type_titles(), &kind.resource_type),
        change: w::shadow_change(kind.gains),
        count: seen.count,
        last: TimeLabel::roughly(seen.last, now),
    };
    ShadowView {
        state: w::shadow_state(candidate.set.is_some(), candidate.fault.is_some()),
        fault: candidate.fault.clone(),
        facts,
        rows: shown.map(row).collect(),
        more: hidden + more,
    }
}
