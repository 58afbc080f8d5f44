//! The findings of an access review.

use serde::Serialize;

use crate::clock::rfc3339;
use crate::services::access_review;
use crate::store::requests_and_views::personal_data::MemberWithSignIn;

document! {
    pub(in crate::admin) struct Finding from(found: access_review::Finding) {
        kind: &'static str = found.kind.as_str(),
        severity: &'static str = found.kind.severity().as_str(),
        sentence: String = found.sentence,
        members: Vec<MemberReference> = found.members.into_iter().map(MemberReference::from).collect(),
        count: usize = found.count,
    }
}

document! {
    struct MemberReference from(seen: MemberWithSignIn) {
        id: String = seen.member.id.to_string(),
        name: String = seen.member.full_name(),
        email: String = seen.member.email.to_string(),
        role: String = seen.member.role.to_string(),
        joined: String = rfc3339(seen.member.joined),
        signed_in: Option<String> = seen.signed_in.map(rfc3339),
    }
}
