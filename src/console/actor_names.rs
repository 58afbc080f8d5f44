//! Display names for the ids in the audit log: members, invites, and other actors.
//!
//! Looks up each id once, however often it is on a page, and only in the viewer's account.

use std::collections::{BTreeMap, BTreeSet};

use super::page_request::CurrentUser;
use super::texts as w;
use crate::app::App;
use crate::domain::member::full_name;
use crate::domain::{
    Actor, AuditEntry, AuditEvent, Email, Failure, InviteId, InviteState, Kind, Member, MemberId,
    case_folding, limits,
};
use crate::services::{audit, invites, members};
use crate::store::requests_and_views::invites::InviteFilter;
use crate::store::{AuditFilter, MemberFilter};

pub(super) enum SentencePart {
    Words(String),
    /// A person: links to the entries about this id.
    Somebody {
        name: String,
        about: String,
        /// Whether it is the person's own name, which is not capitalized.
        own: bool,
    },
}

/// Display names by id.
pub(super) struct ActorNames {
    names: BTreeMap<String, String>,
}

impl ActorNames {
    /// The actors and targets of these entries.
    ///
    /// # Errors
    /// `Denied` `not_allowed`; `Busy`.
    pub(super) async fn of(
        app: &App,
        viewer: &CurrentUser,
        entries: &[AuditEntry],
    ) -> Result<Self, Failure> {
        let mut names = BTreeMap::new();
        let mut ids: BTreeSet<&str> = BTreeSet::new();
        for entry in entries {
            ids.insert(&entry.target);
            ids.extend(bearer(&entry.actor));
            // Names of former members come from the entry about their leaving, if any.
            if let Some(name) = written(entry) {
                names.entry(entry.target.clone()).or_insert(name);
            }
        }
        Self { names }.with(app, viewer, ids).await
    }

    /// The actors with these labels.
    ///
    /// # Errors
    /// `Denied` `not_allowed`; `Busy`.
    pub(super) async fn of_labels<'l>(
        app: &App,
        viewer: &CurrentUser,
        labels: impl IntoIterator<Item = &'l str>,
    ) -> Result<Self, Failure> {
        let ids = labels.into_iter().filter_map(bearer).collect();
        Self::nobody().with(app, viewer, ids).await
    }

    /// The same with the names of these ids.
    async fn with(
        mut self,
        app: &App,
        viewer: &CurrentUser,
        ids: BTreeSet<&str>,
    ) -> Result<Self, Failure> {
        for id in ids {
            if let Some(name) = name(app, viewer, id).await? {
                self.names.insert(id.to_owned(), name);
            }
        }
        Ok(self)
    }

    /// No names, for viewers who may not see the team.
    pub(super) const fn nobody() -> Self {
        Self { names: BTreeMap::new() }
    }

    pub(super) fn actor(&self, label: &str) -> SentencePart {
        let words = |words: &str| SentencePart::Words(words.to_owned());
        match Actor::from_label(label) {
            Some(Actor::Member(id)) => self.target(id.as_str()),
            Some(Actor::Token { member, .. }) => SentencePart::Somebody {
                name: w::program_of(self.names.get(member.as_str()).map(String::as_str)),
                about: member.to_string(),
                own: false,
            },
            Some(Actor::Invitee(_)) => words(w::BY_INVITATION),
            Some(Actor::Sidecar { .. }) => words(w::BY_OPERATOR),
            Some(Actor::System) => words(w::PRODUCT),
            Some(Actor::Setup) => words(w::BY_SET_UP),
            None => words(w::SOMEBODY_GONE),
        }
    }

    pub(super) fn target(&self, id: &str) -> SentencePart {
        let (own, about) = (self.names.contains_key(id), id.to_owned());
        let name = self.names.get(id).cloned().unwrap_or_else(|| w::SOMEBODY_GONE.to_owned());
        SentencePart::Somebody { name, about, own }
    }
}

/// How many that were removed are looked at, of those who were last.
const REMOVED_LOOKED_AT: usize = 500;

/// A person whom a text may mean: a member, an invited person, or a removed member.
pub(super) struct KnownPerson {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) email: String,
}

impl KnownPerson {
    fn of(member: &Member) -> Self {
        let (id, email) = (member.id.to_string(), member.email.to_string());
        Self { id, name: member.full_name(), email }
    }

    fn is_called(&self, folded: &str) -> bool {
        [&self.name, &self.email].iter().any(|it| case_folding::folded(it) == folded)
    }
}

/// The member with an address, or all with a name.
///
/// # Errors
/// `Denied` `not_allowed`; `Busy`.
pub(super) async fn members_of(
    app: &App,
    viewer: &CurrentUser,
    text: &str,
) -> Result<Vec<KnownPerson>, Failure> {
    if let Ok(email) = Email::parse(text)
        && let Some(member) = members::by_email(app, viewer.caller(), &email).await?
    {
        return Ok(vec![KnownPerson::of(&member)]);
    }
    let filter = MemberFilter { search: Some(text.to_owned()), ..MemberFilter::default() };
    let most = limits::PAGE_ITEMS_MAX;
    let found = members::list(app, viewer.caller(), &filter, None, most).await?;
    let wanted = case_folding::folded(text);
    let people = found.items.iter().map(KnownPerson::of);
    Ok(people.filter(|person| person.is_called(&wanted)).collect())
}

/// All with a name or an address: the members; if there are none, the invited people; else the
/// removed members whose data was not erased.
///
/// # Errors
/// `Denied` `not_allowed`; `Busy`.
pub(super) async fn people_of(
    app: &App,
    viewer: &CurrentUser,
    text: &str,
) -> Result<Vec<KnownPerson>, Failure> {
    let found = members_of(app, viewer, text).await?;
    if !found.is_empty() {
        return Ok(found);
    }
    let wanted = case_folding::folded(text);
    // The accepted ones are members, or were.
    let states = vec![InviteState::Pending, InviteState::Expired, InviteState::Revoked];
    let filter = InviteFilter { search: Some(text.to_owned()), role: None, states };
    let most = limits::PAGE_ITEMS_MAX;
    let found = invites::list(app, viewer.caller(), &filter, None, most).await?;
    let invited = found.items.iter().map(|shown| {
        let invite = &shown.view.invite;
        let (id, email) = (invite.id.to_string(), invite.email.to_string());
        KnownPerson { id, name: invite.full_name(), email }
    });
    let invited: Vec<_> = invited.filter(|person| person.is_called(&wanted)).collect();
    if !invited.is_empty() {
        return Ok(invited);
    }
    let removals = AuditFilter { event: Some(AuditEvent::UserDeleted), ..AuditFilter::default() };
    let most = REMOVED_LOOKED_AT;
    let found = audit::latest(app, viewer.caller(), &removals, None, most).await?;
    let gone = found.items.iter().map(|entry| KnownPerson {
        id: entry.target.clone(),
        name: written(entry).unwrap_or_default(),
        email: entry.text("email").unwrap_or_default().to_owned(),
    });
    let gone = gone.filter(|person| person.is_called(&wanted));
    // An id that was given anew may have been removed more than once.
    let gone: BTreeMap<String, KnownPerson> =
        gone.map(|person| (person.id.clone(), person)).collect();
    Ok(gone.into_values().collect())
}

/// The member or invite in an actor's label.
fn bearer(label: &str) -> Option<&str> {
    let (kind, id) = label.split_once(':')?;
    match kind {
        "member" | "invite" => Some(id),
        "token" => id.split_once(':').map(|(_, member)| member),
        _ => None,
    }
}

/// The name in an entry, if it has both parts.
fn written(entry: &AuditEntry) -> Option<String> {
    Some(full_name(entry.text("first_name")?, entry.text("last_name")?))
}

async fn name(app: &App, viewer: &CurrentUser, id: &str) -> Result<Option<String>, Failure> {
    if let Some(id) = InviteId::parse(id)
        && let Some(shown) = there(invites::show(app, viewer.caller(), &id).await)?
    {
        return Ok(Some(shown.view.invite.full_name()));
    }
    let Ok(id) = MemberId::parse(id) else { return Ok(None) };
    let member = there(members::show(app, viewer.caller(), &id).await)?;
    Ok(member.map(|member| member.full_name()))
}

fn there<T>(found: Result<T, Failure>) -> Result<Option<T>, Failure> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(failure) if failure.kind == Kind::NotFound => Ok(None),
        Err(failure) => Err(failure),
    }
}
