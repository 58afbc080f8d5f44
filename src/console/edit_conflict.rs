//! Edit conflicts: who changed the record first, read from the audit log.

use super::actor_names::{ActorNames, SentencePart};
use super::form_page::{EditConflict, Fact};
use super::page_request::{CurrentUser, PageRequest};
use super::texts as w;
use super::timestamps::TimeLabel;
use crate::domain::{AuditEntry, AuditEvent, Member, Version};
use crate::services::audit;
use crate::store::AuditFilter;

/// How many entries are searched for a change: there are others about a member, such as sign-ins.
const LOOKED_AT: usize = 20;

/// The events that change what a form shows.
const CHANGES: [AuditEvent; 9] = [
    AuditEvent::AccountUpdated,
    AuditEvent::UserUpdated,
    AuditEvent::PrivilegePermissionsChanged,
    AuditEvent::UserSuspended,
    AuditEvent::UserRestored,
    AuditEvent::InviteUpdated,
    AuditEvent::InviteResent,
    AuditEvent::InviteRevoked,
    AuditEvent::InviteAccepted,
];

/// The author and the time of the newest matching change; `None` if the viewer may not see it.
pub(super) async fn by_whom(
    call: &PageRequest<'_>,
    viewer: &CurrentUser,
    filter: &AuditFilter,
) -> Option<(String, String)> {
    let found = audit::latest(call.app, viewer.caller(), filter, None, LOOKED_AT).await.ok()?;
    let is_change = |entry: &&AuditEntry| CHANGES.iter().any(|it| it.as_str() == entry.event);
    let last = found.items.iter().find(is_change)?;
    let people = ActorNames::of(call.app, viewer, std::slice::from_ref(last)).await.ok()?;
    // It begins a sentence: a person's own name stays as it is written.
    let who = match people.actor(&last.actor) {
        SentencePart::Somebody { name, own: true, .. } => name,
        SentencePart::Words(words) | SentencePart::Somebody { name: words, .. } => {
            w::capital(&words)
        }
    };
    Some((who, TimeLabel::exactly(last.at).words()))
}

/// The notice for an overtaken form about a member or an invitation with this `id`.
pub(super) async fn about(
    call: &PageRequest<'_>,
    viewer: &CurrentUser,
    id: &str,
    version: Version,
    current: Vec<Fact>,
) -> EditConflict {
    let filter = AuditFilter { member: Some(id.to_owned()), ..AuditFilter::default() };
    EditConflict { by: by_whom(call, viewer, &filter).await, current, version, anew: None }
}

/// The current values of a member.
pub(super) fn of_member(member: &Member, role: String) -> Vec<Fact> {
    vec![
        Fact::text(w::FIRST_NAME, member.first_name.as_str()),
        Fact::text(w::LAST_NAME, member.last_name.as_str()),
        Fact::text(w::ROLE, role),
        Fact::text(w::STATUS, w::status(member.status).word),
    ]
}
