//! The audit log as a timeline: newest first, each entry as a sentence.
//!
//! Read-only. Names of current members come from their records; names of former ones from the
//! entries on the page, or are left out.

use askama::Template;

use super::actors::{ActorNames, SentencePart, somebody};
use super::current_user::CurrentUser;
use super::local_path::escaped;
use super::page_layout::{PageLayout, page};
use super::page_request::{PageRequest, PageResult};
use super::roles::{change, title};
use super::texts as w;
use super::timestamps::TimeLabel;
use super::user_agent::device;
use crate::domain::audit::ChainReport;
use crate::domain::{AuditEntry, AuditEvent, Failure, MemberId, RoleId};
use crate::engine::Snapshot;
use crate::services::audit;
use crate::store::{AuditFilter, Page};

/// Entries on a page.
const PAGE: usize = 50;

/// The events of the whole store, which are in no account's log.
const OF_THE_STORE: [AuditEvent; 5] = [
    AuditEvent::AccountCreated,
    AuditEvent::StoreRestored,
    AuditEvent::PoliciesReloaded,
    AuditEvent::MailStopped,
    AuditEvent::MailResumed,
];

/// One entry in words.
struct TimelineEntry {
    sentence: Vec<SentencePart>,
    when: TimeLabel,
    /// The changed fields, with their old and new values.
    fields: Vec<(String, Option<String>, Option<String>)>,
    erased: bool,
}

#[derive(Template)]
#[template(path = "console/templates/audit.html", config = ".askama.toml")]
struct Timeline<'p> {
    shell: PageLayout<'p>,
    /// As it was typed.
    member: String,
    event: String,
    events: Vec<(&'static str, &'static str)>,
    entries: Vec<TimelineEntry>,
    /// Somebody was asked about: where there is nothing, what was typed may be nobody's.
    nobody: bool,
    chain: Option<ChainReport>,
    /// Path and query of this page, to which parameters are added.
    here: String,
    next: Option<String>,
}

impl Timeline<'_> {
    fn filtered(&self) -> bool {
        !self.member.is_empty() || !self.event.is_empty()
    }
}

pub(super) async fn show(call: &mut PageRequest<'_>) -> PageResult {
    let viewer = call.viewer().await?;
    let (member, event) = (call.parameter("member"), call.parameter("event"));
    let before = call.parameter("before").parse().ok();
    let known = AuditEvent::ALL.into_iter().find(|known| known.as_str() == event);
    let target = target(call, &viewer, member.trim()).await?;
    let found = match &target {
        AuditTarget::Nobody => Page { items: Vec::new(), next: None },
        AuditTarget::All => entries(call, &viewer, None, known, before).await?,
        AuditTarget::Known(id) | AuditTarget::Id(id) => {
            entries(call, &viewer, Some(id.clone()), known, before).await?
        }
    };
    let chain = match call.parameter("verify").as_str() {
        "" => None,
        _ => Some(audit::verify(call.app, viewer.caller()).await?),
    };
    let people = ActorNames::of(call.app, &viewer, &found.items).await?;
    let live = call.app.policies.load_full();
    let told = found.items.iter().map(|entry| told(&people, &live, entry));
    let here = format!("/audit?member={}&event={}", escaped(&member), escaped(&event));
    Ok(page(&Timeline {
        shell: PageLayout::inside(call, &viewer, w::AUDIT, "/audit"),
        events: events(),
        entries: told.collect(),
        nobody: matches!(target, AuditTarget::Id(_) | AuditTarget::Nobody),
        chain,
        next: found.next.map(|next| format!("{here}&before={next}")),
        here,
        member,
        event,
    }))
}

/// The member whose entries are shown.
enum AuditTarget {
    All,
    /// Somebody who was found.
    Known(String),
    /// What may be the id of somebody.
    Id(String),
    Nobody,
}

/// By address or name, also of somebody who was removed, or by an id.
async fn target(
    call: &PageRequest<'_>,
    viewer: &CurrentUser,
    text: &str,
) -> Result<AuditTarget, Failure> {
    if text.is_empty() {
        return Ok(AuditTarget::All);
    }
    if let Some(id) = somebody(call.app, viewer, text).await? {
        return Ok(AuditTarget::Known(id));
    }
    Ok(match MemberId::parse(text) {
        Ok(id) if !text.contains('@') => AuditTarget::Id(id.to_string()),
        _ => AuditTarget::Nobody,
    })
}

async fn entries(
    call: &PageRequest<'_>,
    viewer: &CurrentUser,
    member: Option<String>,
    event: Option<AuditEvent>,
    before: Option<u64>,
) -> Result<Page<AuditEntry>, Failure> {
    let filter = AuditFilter { member, event };
    audit::latest(call.app, viewer.caller(), &filter, before, PAGE).await
}

/// The name and label of each event of an account, sorted by label.
fn events() -> Vec<(&'static str, &'static str)> {
    let of_account = AuditEvent::ALL.into_iter().filter(|event| !OF_THE_STORE.contains(event));
    let mut events: Vec<_> = of_account.map(|event| (event.as_str(), w::event(event).0)).collect();
    events.sort_by_key(|(_, words)| *words);
    events
}

/// An entry in words.
fn told(people: &ActorNames, live: &Snapshot, entry: &AuditEntry) -> TimelineEntry {
    let known = AuditEvent::ALL.into_iter().find(|known| known.as_str() == entry.event);
    let fields = entry.detail.as_ref().map(|detail| detail.fields.as_slice());
    let fields = fields.unwrap_or_default();
    let purpose = fields.iter().find(|(name, ..)| name == "purpose");
    let purpose = purpose.and_then(|(_, before, after)| after.as_deref().or(before.as_deref()));
    let pattern = match known {
        Some(AuditEvent::AuthnTokenCreated) => purpose.and_then(w::created),
        _ => None,
    };
    let pattern = pattern.or_else(|| known.map(|event| w::event(event).1));
    let pattern = pattern.unwrap_or(w::EVENT_UNKNOWN);
    // A name that was left empty is none.
    let value = |name: &str, value: &Option<String>| {
        let text = value.as_deref().filter(|text| !text.is_empty())?;
        Some(match (name, RoleId::parse(text)) {
            ("role", Ok(role)) => title(live, &role),
            ("agent", _) => device(text),
            ("change", _) => change(live, text),
            _ => w::log_value(name, text),
        })
    };
    let field = |(name, before, after): &(String, Option<String>, Option<String>)| {
        Some((w::log_field(name)?, value(name, before), value(name, after)))
    };
    TimelineEntry {
        sentence: sentence(people, pattern, entry),
        when: TimeLabel::exactly(entry.at),
        fields: fields.iter().filter_map(field).collect(),
        erased: entry.detail.is_none(),
    }
}

fn sentence(people: &ActorNames, pattern: &str, entry: &AuditEntry) -> Vec<SentencePart> {
    let mut pieces = Vec::new();
    let mut rest = pattern;
    while let Some((words, after)) = rest.split_once('{') {
        pieces.push(SentencePart::Words(words.to_owned()));
        let (place, after) = after.split_once('}').unwrap_or((after, ""));
        pieces.push(if place == "who" {
            people.actor(&entry.actor)
        } else {
            people.target(&entry.target)
        });
        rest = after;
    }
    pieces.push(SentencePart::Words(format!("{rest}.")));
    pieces.retain(|piece| !matches!(piece, SentencePart::Words(words) if words.is_empty()));
    if let Some(
        SentencePart::Words(words) | SentencePart::Somebody { name: words, own: false, .. },
    ) = pieces.first_mut()
    {
        *words = w::capital(words);
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_has_words_of_its_own_and_a_sentence_with_known_places() {
        let events = events();
        let mut words: Vec<_> = events.iter().map(|(_, words)| *words).collect();
        words.dedup();
        assert_eq!(
            words.len(),
            AuditEvent::ALL.len() - OF_THE_STORE.len(),
            "two events have the same words"
        );
        for event in AuditEvent::ALL {
            let pattern = w::event(event).1.replace("{who}", "").replace("{whom}", "");
            assert!(!pattern.contains(['{', '}', '.']), "{pattern}");
        }
    }
}
