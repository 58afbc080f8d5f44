//! What the operator of the sidecar should fix.

use serde::Serialize;

use crate::services::operator_warnings;

#[derive(Debug, Serialize)]
pub(in crate::admin) struct Warning {
    about: &'static str,
    severity: &'static str,
    sentence: String,
}

impl From<operator_warnings::Warning> for Warning {
    fn from(warning: operator_warnings::Warning) -> Self {
        let operator_warnings::Warning { about, fails, sentence } = warning;
        Self { about, severity: if fails { "fail" } else { "warn" }, sentence }
    }
}
