//! What the operator of the sidecar should fix.

use serde::Serialize;

use crate::services::operator_warnings;

document! {
    pub(in crate::admin) struct Warning from(warning: operator_warnings::Warning) {
        about: &'static str = warning.about,
        severity: &'static str = if warning.fails { "fail" } else { "warn" },
        sentence: String = warning.sentence,
    }
}
