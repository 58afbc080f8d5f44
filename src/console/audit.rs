//! The audit log as a timeline: newest first, each entry as a sentence.
//!
//! Read-only. Names of current members come from their records; names of former ones from the
//! entries on the page, or are left out.

use askama::Template;

use super::actor_names::{ActorNames, KnownPerson, SentencePart, people_of};
use super::page_layout::{PageLayout, page};
use super::page_request::{CurrentUser, PageRequest, PageResult};
use super::page_urls::LocalPath;
use super::roles::{change, title};
use super::texts as w;
use super::timestamps::TimeLabel;
use super::user_agent::device;
use crate::domain::audit::ChainReport;
use crate::domain::failure::Kind;
use crate::domain::{AuditEntry, AuditEvent, Failure, FieldChange, MemberId, RoleId};
use crate::engine::Snapshot;
use crate::percent_encoding::encoded;
use crate::services::{audit, members};
use crate::store::{AuditFilter, Page};

/// Entries on a page.
const PAGE: usize = 50;

/// The events of the whole store, which are in no account's log.
const OF_THE_STORE: [AuditEvent; 9] = [
    AuditEvent::AccountCreated,
    AuditEvent::StoreRestored,
    AuditEvent::KeysActivated,
    AuditEvent::PoliciesReloaded,
    AuditEvent::PoliciesHeld,
    AuditEvent::PoliciesPublished,
    AuditEvent::PoliciesUnpinned,
    AuditEvent::MailStopped,
    AuditEvent::MailResumed,
];

struct TimelineEntry {
    sentence: Vec<SentencePart>,
    when: TimeLabel,
    /// The changed fields, in words.
    fields: Vec<FieldChange>,
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
    /// The people whom the typed name may mean, each with the address of the entries about them.
    several: Vec<(KnownPerson, String)>,
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
    if known.is_none() && !event.is_empty() {
        return Err(Failure::invalid("event", "there is no such event: choose one of the list"));
    }
    let target = target(call, &viewer, member.trim()).await?;
    let found = match &target {
        AuditTarget::Nobody | AuditTarget::Several(_) => Page { items: Vec::new(), next: None },
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
    let here = format!("/audit?member={}&event={}", encoded(&member), encoded(&event));
    let nobody = matches!(target, AuditTarget::Id(_) | AuditTarget::Nobody);
    let several = match target {
        AuditTarget::Several(people) => people,
        _ => Vec::new(),
    };
    let about = |person: KnownPerson| {
        let path = LocalPath::at("/audit").with("member", &person.id).with("event", &event).path();
        (person, path)
    };
    Ok(page(&Timeline {
        shell: PageLayout::inside(call, &viewer, w::AUDIT, "/audit"),
        events: events(),
        entries: told.collect(),
        nobody,
        several: several.into_iter().map(about).collect(),
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
    Several(Vec<KnownPerson>),
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
    let mut people = people_of(call.app, viewer, text).await?;
    Ok(match (people.len(), people.pop(), MemberId::parse(text)) {
        (1, Some(person), _) => AuditTarget::Known(person.id),
        (_, Some(last), _) => {
            people.push(last);
            AuditTarget::Several(people)
        }
        (_, None, Ok(id)) if !text.contains('@') => {
            match members::show(call.app, viewer.caller(), &id).await {
                Ok(member) => AuditTarget::Known(member.id.to_string()),
                // Somebody who was removed may have had it.
                Err(failure) if failure.kind == Kind::NotFound => AuditTarget::Id(id.to_string()),
                Err(failure) => return Err(failure),
            }
        }
        (_, None, _) => AuditTarget::Nobody,
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
    let pattern = match known {
        Some(AuditEvent::AuthnTokenCreated) => entry.text("purpose").and_then(w::created),
        Some(AuditEvent::UserUpdated) => {
            entry.text("email_change_confirmed").map(|_| w::ADDRESS_CONFIRMED)
        }
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
    let in_words = |FieldChange { field, before, after }: &FieldChange| {
        let (before, after) = (value(field, before), value(field, after));
        Some(FieldChange { field: w::log_field(field)?, before, after })
    };
    TimelineEntry {
        sentence: sentence(people, pattern, entry),
        when: TimeLabel::exactly(entry.at),
        fields: entry.fields().iter().filter_map(in_words).collect(),
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
