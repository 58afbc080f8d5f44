//! Who may do something, and what a member may do, with why.

use serde::Serialize;

use super::Member;
use crate::domain;
use crate::services::who_may::{NamedResource, Permitted};

document! {
    pub(in crate::admin) struct MemberWhoMay from(permitted: Permitted<domain::Member>) {
        #[serde(flatten)]
        member: Member = Member::from(permitted.what),
        sentence: String = permitted.sentence,
        policies: Vec<String> = permitted.policies,
    }
}

document! {
    pub(in crate::admin) struct ActionOfMember on(
        resource: &NamedResource,
        permitted: Permitted<String>
    ) {
        action: String = permitted.what,
        /// As `TYPE:ID`.
        resource: String = resource.to_string(),
        sentence: String = permitted.sentence,
        policies: Vec<String> = permitted.policies,
    }
}
