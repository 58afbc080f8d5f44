//! What the operator of the sidecar should fix.

use serde::Serialize;

use crate::flows::warnings;

#[derive(Debug, Serialize)]
pub(in crate::admin) struct Warning {
    about: &'static str,
    severity: &'static str,
    sentence: String,
}

impl From<warnings::Warning> for Warning {
    fn from(warning: warnings::Warning) -> Self {
        let warnings::Warning { about, fails, sentence } = warning;
        Self { about, severity: if fails { "fail" } else { "warn" }, sentence }
    }
}
