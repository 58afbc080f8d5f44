//! The form to try a decision: subject, action, resource, and the explanation.
//!
//! Only about the viewer's account, with no attribute of the resource except its account: a member
//! of another account is reported as unknown.

use std::borrow::Cow;
use std::collections::BTreeSet;

use askama::Template;

use super::actor_names::{KnownPerson, members_of};
use super::page_layout::{PageLayout, page};
use super::page_request::{CurrentUser, PageRequest, PageResult};
use super::page_urls::LocalPath;
use super::policies::SECTION;
use super::roles::{title, with_titles};
use super::texts as w;
use crate::domain::access_query::{Record, type_and_id};
use crate::domain::decision::Explanation;
use crate::domain::escaped_text::printable;
use crate::domain::{EntityRef, Failure, Query, Reason, Value};
use crate::engine::Snapshot;
use crate::services::roles::compared;
use crate::services::{accounts, decide};

struct TriedDecision {
    allowed: bool,
    sentence: String,
    /// Id and text of each policy that decided.
    policies: Vec<(String, String)>,
    /// What else would change the decision.
    remedy: String,
}

#[derive(Template)]
#[template(path = "console/templates/try.html", config = ".askama.toml")]
struct TryDecisionPage<'p> {
    shell: PageLayout<'p>,
    member: String,
    action: String,
    resource: String,
    resource_hint: String,
    /// Name and label.
    actions: Vec<(String, String)>,
    wrong: Option<String>,
    /// The members whom the typed name may mean, each with the address of the question about them.
    several: Vec<(KnownPerson, String)>,
    answered: Option<TriedDecision>,
}

pub(super) async fn show(call: &mut PageRequest<'_>) -> PageResult {
    let viewer = call.viewer().await?;
    accounts::show(call.app, viewer.caller()).await?;
    let (live, matrix) = compared(call.app).await?;
    let types = matrix.rows.iter().map(|row| row.resource.clone()).collect::<BTreeSet<_>>();
    let types: Vec<String> = types.into_iter().collect();
    let (member, action) = (call.parameter("member"), call.parameter("action"));
    let resource = call.parameter("resource");
    let asked = !member.is_empty() || !resource.is_empty();
    let in_words = |name: String| {
        let words = w::action(live.type_titles(), &name);
        (name, words)
    };
    let mut shown = TryDecisionPage {
        shell: PageLayout::inside(call, &viewer, w::TRY_DECISION, SECTION),
        actions: live.actions().into_iter().map(in_words).collect(),
        wrong: None,
        several: Vec::new(),
        answered: None,
        member,
        action,
        resource,
        resource_hint: w::try_resource_hint(&types),
    };
    match type_and_id(shown.resource.trim()) {
        Some(on) if asked => {
            let (member, action) = (shown.member.trim(), shown.action.as_str());
            let people = subjects(call, &viewer, member).await?;
            if people.len() > 1 {
                let about = |person| about(person, action, &shown.resource);
                shown.several = people.into_iter().map(about).collect();
            } else {
                // Any other text is taken as an id.
                let id = people.first().map_or(member, |person| &person.id);
                let asked = (id, action, on);
                shown.answered = Some(answered(call, &viewer, (&live, &types), asked).await?);
            }
        }
        None if asked => shown.wrong = Some(w::RESOURCE_WRONG.to_owned()),
        _ => {}
    }
    let reply = page(&shown);
    Ok(if shown.wrong.is_some() { reply.status(400) } else { reply })
}

async fn answered(
    call: &PageRequest<'_>,
    viewer: &CurrentUser,
    (live, types): (&Snapshot, &[String]),
    (member, action, (kind, id)): (&str, &str, (&str, &str)),
) -> Result<TriedDecision, Failure> {
    let account = Value::String(Cow::Borrowed(viewer.account.slug.as_str()));
    let properties: Record<'_> = vec![(Cow::Borrowed("account"), account)];
    let query = Query {
        subject: EntityRef { kind: "user", id: member, properties: &[] },
        action,
        action_properties: &[],
        resource: EntityRef { kind, id, properties: &properties },
        context: &[],
    };
    let decision = decide::try_out(call.app, viewer.caller(), live, &query).await?;
    Ok(match decision.explanation {
        Some(Explanation { reason: Reason::UnknownResourceType, .. }) => TriedDecision {
            allowed: decision.allowed,
            sentence: w::no_such_type(&printable(kind), types),
            policies: Vec::new(),
            remedy: String::new(),
        },
        Some(why) => explained(live, decision.allowed, why),
        None => TriedDecision {
            allowed: decision.allowed,
            sentence: String::new(),
            policies: Vec::new(),
            remedy: String::new(),
        },
    })
}

/// The member with this address, or all with this name.
async fn subjects(
    call: &PageRequest<'_>,
    viewer: &CurrentUser,
    text: &str,
) -> Result<Vec<KnownPerson>, Failure> {
    // Who may not see the team knows nobody but by an id.
    if viewer.rights.view_team { members_of(call.app, viewer, text).await } else { Ok(Vec::new()) }
}

/// The same question about this person.
fn about(person: KnownPerson, action: &str, resource: &str) -> (KnownPerson, String) {
    let path = LocalPath::at("/policies/try").with("member", &person.id);
    let path = path.with("action", action).with("resource", resource).path();
    (person, path)
}

fn explained(live: &Snapshot, allowed: bool, why: Explanation) -> TriedDecision {
    let Explanation { reason, sentence, policies, roles } = why;
    let titles: Vec<String> = roles.iter().map(|role| title(live, role)).collect();
    let with_text = |id: String| {
        let text = live.policy_text(&id).unwrap_or_default();
        (id, text)
    };
    // Which roles may is said once: after the sentence, or in it where something else must change
    // too.
    let (sentence, remedy) = match (reason, sentence.split_once("; these roles may: ")) {
        (Reason::UnknownSubject, _) => (w::NOBODY_FOUND.to_owned(), String::new()),
        (Reason::UnknownResource, _) => (w::NO_SUCH_RESOURCE.to_owned(), String::new()),
        (Reason::NotExplained, _) => {
            let known = sentence.split("; other causes").next().unwrap_or_default();
            (said(live, known), w::remedy(reason, &titles))
        }
        (_, Some((sentence, _))) => (said(live, sentence), w::remedy(reason, &titles)),
        (_, None) if sentence.contains("these roles may: ") => {
            (said(live, &sentence), String::new())
        }
        (_, None) => (said(live, &sentence), w::remedy(reason, &titles)),
    };
    let policies = policies.into_iter().map(with_text).collect();
    TriedDecision { allowed, sentence, policies, remedy }
}

/// The sentence of an explanation, with roles and actions as people call them.
pub(super) fn said(live: &Snapshot, sentence: &str) -> String {
    w::reasons(live.type_titles(), &with_titles(live, sentence))
}
