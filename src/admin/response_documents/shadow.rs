//! The shadow policies, and where they differ from the live ones.

use serde::Serialize;

use crate::app::{Disagreement, DisagreementKind};
use crate::clock::rfc3339;
use crate::engine::ExampleQuery;
use crate::services::shadow::ShadowReport;

document! {
    pub(in crate::admin) struct Shadow new(report: ShadowReport, folder: Option<String>) {
        /// Only for the operator of the sidecar.
        folder: Option<String> = folder,
        digest: Option<String> =
            report.candidate.set.as_ref().map(|set| set.digest_hex().to_owned()),
        policies: Option<usize> = report.candidate.set.as_ref().map(|set| set.policy_count()),
        /// When the folder was last loaded or refused; null before.
        loaded_at: Option<String> = report.candidate.loaded_at.map(rfc3339),
        fault: Option<String> = report.candidate.fault.clone(),
        sample: u64 = report.every,
        agreed: u64 = report.counts.agreed,
        differed: u64 = report.counts.differed,
        left_out: u64 = report.counts.left_out,
        items: Vec<ShadowDisagreement> =
            report.disagreements.into_iter().map(ShadowDisagreement::of).collect(),
        /// How many were of further kinds.
        more: u64 = report.more,
    }
}

document! {
    struct ShadowDisagreement of(found: (DisagreementKind, Disagreement)) {
        /// Empty for a subject that is no member.
        role: String = found.0.role,
        action: String = found.0.action,
        resource_type: String = found.0.resource_type,
        live: &'static str = answer(!found.0.gains),
        shadow: &'static str = answer(found.0.gains),
        count: u64 = found.1.count,
        last: String = rfc3339(found.1.last),
        /// An example, about a made-up member, to which the two sets answer differently.
        question: Option<ExampleQuery> = found.1.question,
    }
}

fn answer(allowed: bool) -> &'static str {
    if allowed { "allow" } else { "deny" }
}
