//! What was asked and answered, against what the audit log says was made.

use std::collections::BTreeMap;

use kwic_team::domain::{Actor, Status};
use kwic_team::store::{AuditFilter, MemberFilter, Store};

use super::{Held, holds};
use crate::support::store_fixture::{member, slug};

/// A change that somebody asked for; its actor has its place in the list as a number.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) who: String,
    pub(super) what: What,
    pub(super) came: Came,
}

impl Asked {
    pub(super) fn is_import(&self) -> bool {
        matches!(self.what, What::Import(_))
    }
}

#[derive(Debug)]
pub(super) enum What {
    Create,
    Rename(String),
    Switch {
        suspends: bool,
    },
    Remove,
    /// Of members with these ids.
    Import(Vec<String>),
}

/// What the caller was told.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// By this revision, or that it was so already.
    Done(u64),
    /// It is in the log, and the node that answered could not apply it yet.
    Made,
    NotMade,
    Unclear,
}

/// First name and status of each member.
type Model = BTreeMap<String, (String, Status)>;

/// Whether a change is allowed, and what it makes of the model.
fn repeat(model: &mut Model, Asked { who, what, .. }: &Asked) -> bool {
    match what {
        What::Create => {
            let first_name = member("acme", who).first_name.as_str().to_owned();
            model.insert(who.clone(), (first_name, Status::Active)).is_none()
        }
        What::Rename(to) => model.get_mut(who).is_some_and(|(name, _)| {
            to.clone_into(name);
            true
        }),
        What::Switch { suspends } => {
            let to = if *suspends { Status::Suspended } else { Status::Active };
            model.get_mut(who).is_some_and(|(_, status)| std::mem::replace(status, to) != to)
        }
        What::Remove => model.remove(who).is_some(),
        What::Import(names) => {
            let is_free = names.iter().all(|name| !model.contains_key(name));
            for name in names {
                let first_name = member("acme", name).first_name.as_str().to_owned();
                model.insert(name.clone(), (first_name, Status::Active));
            }
            is_free
        }
    }
}

/// Whether what was answered is what was made, and the store what comes of it.
pub(super) async fn check(store: &Store, asked: &[Asked]) -> Held {
    let acme = slug("acme");
    let audit = store.audit(Some(&acme), &AuditFilter::default(), None, 10_000).await.unwrap();
    let (mut model, mut made) = (Model::new(), BTreeMap::new());
    for entry in &audit.items {
        let Some(Actor::Sidecar { uid }) = Actor::from_label(&entry.actor) else {
            return Err(format!("{entry:?} is of nobody who asked"));
        };
        let number = usize::try_from(uid).unwrap();
        let before = made.insert(number, entry.revision.0);
        holds(before.is_none(), || format!("{:?} was made twice", asked[number]))?;
        let is_allowed = repeat(&mut model, &asked[number]);
        holds(is_allowed, || format!("{:?} was made, and must not be", asked[number]))?;
    }
    for (number, asked) in asked.iter().enumerate() {
        let fits = match (&asked.came, made.get(&number)) {
            // Of an import whose end was not heard at once it is known only that it was made.
            (Came::Done(revision), Some(made)) if asked.is_import() => revision >= made,
            (Came::Done(revision), Some(made)) => revision == made,
            (Came::Done(_) | Came::Made, None) | (Came::NotMade, Some(_)) => false,
            (Came::Made, Some(_)) | (Came::NotMade, None) | (Came::Unclear, _) => true,
        };
        holds(fits, || format!("{asked:?} is {:?} in the audit log", made.get(&number)))?;
    }
    let page = store.members(&acme, &MemberFilter::default(), None, 1_000).await.unwrap();
    let there: Model = page
        .items
        .into_iter()
        .map(|member| {
            let first_name = member.first_name.as_str().to_owned();
            (member.id.as_str().to_owned(), (first_name, member.status))
        })
        .collect();
    holds(there == model, || format!("the store has {there:?}, the model {model:?}"))?;
    let report = store.audit_verify(Some(&acme)).await.unwrap();
    holds(report.fault.is_none(), || format!("the chain of the audit log: {:?}", report.fault))
}
