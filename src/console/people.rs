//! Display names for the ids in the audit log: members, invites, and other actors.
//!
//! Looks up each id once, however often it is on a page, and only in the viewer's account.

use std::collections::{BTreeMap, BTreeSet};

use super::audit::Piece;
use super::viewer::Viewer;
use super::words as w;
use crate::app::App;
use crate::domain::member::full_name;
use crate::domain::{Actor, AuditEntry, Failure, InviteId, Kind, MemberId};
use crate::flows::{invites, members};

/// Display names by id.
pub(super) struct People {
    names: BTreeMap<String, String>,
}

impl People {
    /// The actors and targets of these entries.
    ///
    /// # Errors
    /// `Denied` `not_allowed`; `Busy`.
    pub(super) async fn of(
        app: &App,
        viewer: &Viewer,
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
        for id in ids {
            if let Some(name) = name(app, viewer, id).await? {
                names.insert(id.to_owned(), name);
            }
        }
        Ok(Self { names })
    }

    /// No names, for viewers who may not see the team.
    pub(super) const fn nobody() -> Self {
        Self { names: BTreeMap::new() }
    }

    /// The actor of an entry.
    pub(super) fn actor(&self, label: &str) -> Piece {
        let words = |words: &str| Piece::Words(words.to_owned());
        match Actor::from_label(label) {
            Some(Actor::Member(id)) => self.target(id.as_str()),
            Some(Actor::Token { member, .. }) => Piece::Somebody {
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

    /// The target of an entry.
    pub(super) fn target(&self, id: &str) -> Piece {
        let (own, about) = (self.names.contains_key(id), id.to_owned());
        let name = self.names.get(id).cloned().unwrap_or_else(|| w::SOMEBODY_GONE.to_owned());
        Piece::Somebody { name, about, own }
    }
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
    let fields = &entry.detail.as_ref()?.fields;
    let value = |wanted: &str| {
        let (_, before, after) = fields.iter().find(|(name, ..)| name == wanted)?;
        after.as_deref().or(before.as_deref())
    };
    Some(full_name(value("first_name")?, value("last_name")?))
}

async fn name(app: &App, viewer: &Viewer, id: &str) -> Result<Option<String>, Failure> {
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
