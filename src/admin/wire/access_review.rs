//! The findings of an access review.

use serde::Serialize;

use crate::clock::rfc3339;
use crate::services::access_review;
use crate::store::types::personal_data::MemberWithSignIn;

/// One finding of an access review.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct Finding {
    kind: &'static str,
    severity: &'static str,
    sentence: String,
    members: Vec<MemberReference>,
    count: usize,
}

/// A member in a finding.
#[derive(Debug, Serialize)]
struct MemberReference {
    id: String,
    name: String,
    email: String,
    role: String,
    joined: String,
    signed_in: Option<String>,
}

impl From<access_review::Finding> for Finding {
    fn from(found: access_review::Finding) -> Self {
        let named = |MemberWithSignIn { member, signed_in }| MemberReference {
            id: member.id.to_string(),
            name: member.full_name(),
            email: member.email.to_string(),
            role: member.role.to_string(),
            joined: rfc3339(member.joined),
            signed_in: signed_in.map(rfc3339),
        };
        Self {
            kind: found.kind.as_str(),
            severity: found.kind.severity().as_str(),
            sentence: found.sentence,
            members: found.members.into_iter().map(named).collect(),
            count: found.count,
        }
    }
}
