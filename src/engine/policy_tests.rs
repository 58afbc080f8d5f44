//! stub
use std::collections::BTreeSet;
pub(super) struct Outcome {
    pub(super) allowed: bool,
    pub(super) reasons: BTreeSet<String>,
    pub(super) errors: usize,
}
pub(super) struct TestFault {
    pub(super) file: String,
    pub(super) case: String,
    pub(super) message: String,
}
pub(super) fn run(
    _files: &[(String, String)],
    _schema: &cedar_policy::Schema,
    _ask: impl Fn(&cedar_policy::Request, &cedar_policy::Entities) -> Outcome,
) -> Result<usize, Vec<TestFault>> {
    Ok(0)
}
