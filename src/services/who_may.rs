//! Who of a team may do something, and what a member may do, each with the policies that allow it.
//!
//! Only members of the caller's account are named. The answers are those of [`super::access_search`], each
//! explained, outside the decision threads. A resource without an account is taken to be in the
//! caller's account; attributes that only services know are not given.

use std::sync::Arc;

use super::access_search::{SearchPage, SearchPosition, SearchScope, Searched};
use super::caller::Caller;
use super::members;
use super::permits::{Permit, not_stale};
use super::rights::Right;
use super::search_token::{PageToken, PageTokenFault};
use crate::app::App;
use crate::domain::access_query::type_and_id;
use crate::domain::escaped_text::printable;
use crate::domain::{
    AccountSlug, Digest, EntityRef, Failure, Member, MemberId, Query, Reason, limits, plural,
};
use crate::engine::Snapshot;
use crate::store::Page;

/// The code of a question that needs attributes which only a service knows.
pub const ATTRIBUTES_NEEDED: &str = "attributes_needed";

/// The code of a text that is no resource.
pub const NO_RESOURCE: &str = "no_resource";

/// Most types that a failure names.
const TYPES_NAMED_MAX: usize = 10;

/// A resource that somebody names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedResource {
    kind: String,
    id: String,
}

impl NamedResource {
    /// Parses `TYPE:ID`.
    ///
    /// # Errors
    /// `Invalid` `no_resource`.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let named = |(kind, id): (&str, &str)| Self { kind: kind.to_owned(), id: id.to_owned() };
        type_and_id(text.trim()).map(named).ok_or_else(|| {
            let shown = printable(text);
            let what = format!("a resource is TYPE:ID, such as `doc:1`: `{shown}` is none");
            Failure { code: NO_RESOURCE, ..Failure::invalid("resource", what) }
        })
    }

    /// An account.
    #[must_use]
    pub fn account(slug: &AccountSlug) -> Self {
        Self { kind: "account".to_owned(), id: slug.as_str().to_owned() }
    }
}

impl std::fmt::Display for NamedResource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.kind, self.id)
    }
}

/// Which page is asked for.
#[derive(Clone, Debug)]
pub struct PageRequested {
    /// The `next` of the page before.
    pub after: Option<String>,
    /// The most results, at most [`limits::EXPLAINED_ITEMS_MAX`].
    pub limit: usize,
}

/// A result, and why it is allowed.
#[derive(Clone, Debug)]
pub struct Permitted<T> {
    /// The member or the action.
    pub what: T,
    /// The sentence of the explanation.
    pub sentence: String,
    /// The policies that allow it.
    pub policies: Vec<String>,
}

/// What one member may do.
#[derive(Debug)]
pub struct MemberActions {
    /// On what.
    pub resource: NamedResource,
    /// One page of the actions, by name.
    pub page: Page<Permitted<String>>,
}

/// One page of the members of the caller's account who may do `action` on a resource, by default on
/// the account.
///
/// # Errors
/// `Denied` `not_allowed`; `Invalid` for an action and a resource that do not belong together, and for
/// a cursor that is none; `NotFound` `unknown_member` for a resource that is no member of the account;
/// `Busy`.
pub async fn who_may(
    app: &Arc<App>,
    caller: Caller,
    action: &str,
    resource: Option<NamedResource>,
    page: PageRequested,
) -> Result<Page<Permitted<Member>>, Failure> {
    let permit = Permit::authorize(app, caller, [Right::VIEW_TEAM]).await?;
    let asked = Asked::new(permit.account(), Searched::Subject, resource, ("", action));
    let found = asked.found(app, page).await?;
    let mut items = Vec::with_capacity(found.items.len());
    for Permitted { what, sentence, policies } in found.items {
        let member = match MemberId::parse(&what) {
            Ok(id) => app.store.member(&id).await?,
            Err(_) => None,
        };
        // A member who was removed meanwhile may do nothing any more.
        let member = member.filter(|member| member.account == *permit.account());
        items.extend(member.map(|what| Permitted { what, sentence, policies }));
    }
    Ok(Page { items, next: found.next })
}

/// One page of the actions that a member of the caller's account may do on a resource, by default on
/// the account.
///
/// # Errors
/// As [`who_may`]; `NotFound` `unknown_member` also for the member.
pub async fn what_may(
    app: &Arc<App>,
    caller: Caller,
    id: &MemberId,
    resource: Option<NamedResource>,
    page: PageRequested,
) -> Result<MemberActions, Failure> {
    let permit = Permit::authorize(app, caller, [Right::VIEW_TEAM]).await?;
    members::found(app, permit.account(), id).await?;
    let asked = Asked::new(permit.account(), Searched::Action, resource, (id.as_str(), ""));
    let resource = asked.resource.clone();
    Ok(MemberActions { resource, page: asked.found(app, page).await? })
}

/// A question of one account. The part that is searched for is empty.
struct Asked {
    account: AccountSlug,
    searched: Searched,
    resource: NamedResource,
    subject: String,
    action: String,
}

impl Asked {
    fn new(
        account: &AccountSlug,
        searched: Searched,
        resource: Option<NamedResource>,
        (subject, action): (&str, &str),
    ) -> Self {
        Self {
            account: account.clone(),
            searched,
            resource: resource.unwrap_or_else(|| NamedResource::account(account)),
            subject: subject.to_owned(),
            action: action.to_owned(),
        }
    }

    /// One page, explained.
    async fn found(
        self,
        app: &Arc<App>,
        page: PageRequested,
    ) -> Result<Page<Permitted<String>>, Failure> {
        not_stale(app)?;
        let policies = app.policies.load_full();
        self.check_schema(&policies)?;
        self.check_resource(app, &policies)?;
        let after = page.after.map(|text| self.position(app, &text)).transpose()?;
        let own = Arc::clone(app);
        app.searches.run("search", move || self.page(&own, &policies, after, page.limit)).await?
    }

    fn page(
        &self,
        app: &App,
        policies: &Snapshot,
        after: Option<SearchPosition>,
        limit: usize,
    ) -> Result<Page<Permitted<String>>, Failure> {
        let scope = self.scope(app, policies);
        let is_first = after.is_none();
        let SearchPage { found, next } = scope.search(self.query(), self.searched, after, limit);
        if is_first && found.is_empty() && next.is_none() {
            self.check_attributes(&scope)?;
        }
        let explained = |what: String| {
            let decision = scope.decide(&self.about(&what), true);
            let why = decision.explanation.filter(|_| decision.allowed)?;
            Some(Permitted { what, sentence: why.sentence, policies: why.policies })
        };
        let items = found.into_iter().filter_map(explained).collect();
        let next = next.map(|after| PageToken::sealed(app, &self.digest(), limit, after));
        Ok(Page { items, next: next.transpose()? })
    }

    fn scope<'s>(&'s self, app: &'s App, policies: &'s Snapshot) -> SearchScope<'s> {
        let NamedResource { kind, id } = &self.resource;
        // What is in `entities.json` has its place there, also for other callers.
        let default_account = if policies.is_stored(kind, id) {
            app.config.decision.single_account.as_ref()
        } else {
            Some(&self.account)
        };
        let default_account = default_account.map(AccountSlug::as_str);
        SearchScope { app, policies, members_of: Some(self.account.as_str()), default_account }
    }

    fn query(&self) -> Query<'_> {
        let NamedResource { kind, id } = &self.resource;
        Query {
            subject: EntityRef { kind: "user", id: &self.subject, properties: &[] },
            action: &self.action,
            action_properties: &[],
            resource: EntityRef { kind, id, properties: &[] },
            context: &[],
        }
    }

    /// The query about one candidate.
    fn about<'q>(&'q self, candidate: &'q str) -> Query<'q> {
        let mut query = self.query();
        match self.searched {
            Searched::Action => query.action = candidate,
            Searched::Subject | Searched::Resource => query.subject.id = candidate,
        }
        query
    }

    fn check_schema(&self, policies: &Snapshot) -> Result<(), Failure> {
        let is_of_question = |reason: &Reason| {
            self.searched == Searched::Subject || *reason == Reason::UnknownResourceType
        };
        let lacks = policies.schema_lacks(&self.query()).into_iter();
        let fields: Vec<(String, String)> = lacks
            .filter(|(reason, _)| is_of_question(reason))
            .map(|(reason, sentence)| {
                let field = if reason == Reason::UnknownAction { "action" } else { "resource" };
                let next = if sentence.ends_with('?') {
                    String::new()
                } else {
                    self.next_step(policies, reason)
                };
                (field.to_owned(), sentence + &next)
            })
            .collect();
        if fields.is_empty() {
            return Ok(());
        }
        let sentences: Vec<&str> = fields.iter().map(|(_, sentence)| sentence.as_str()).collect();
        let text = sentences.join("; ");
        Err(Failure { fields, ..Failure::invalid("resource", text) })
    }

    /// What to do about a name that the schema lacks.
    fn next_step(&self, policies: &Snapshot, reason: Reason) -> String {
        if reason == Reason::UnknownAction {
            return ": `kwic-team role compare` lists the actions".to_owned();
        }
        let action = Some(self.action.as_str()).filter(|name| policies.knows_action(name));
        let types = policies.resource_types(action);
        if types.is_empty() {
            return ": no member may do it".to_owned();
        }
        if reason == Reason::UnknownResourceType {
            let types: Vec<&str> = types.into_iter().take(TYPES_NAMED_MAX).collect();
            return format!(": use one of `{}`", types.join("`, `"));
        }
        let is_of_services =
            |kind: &&&str| !policies.is_account_type(kind) && !policies.is_member_type(kind);
        match types.iter().find(is_of_services) {
            Some(kind) => format!(": name the resource, such as `{kind}:1`"),
            None => ": name another resource, or none".to_owned(),
        }
    }

    /// Members and accounts are those that the caller may know.
    fn check_resource(&self, app: &App, policies: &Snapshot) -> Result<(), Failure> {
        let (NamedResource { kind, id }, account) = (&self.resource, &self.account);
        if policies.is_account_type(kind) && id != account.as_str() {
            let what = format!(
                "only the account `{account}` can be asked about here: write `account:{account}`, or name no resource"
            );
            return Err(Failure::invalid("resource", what));
        }
        let is_own = || app.directory.with(id, |member| member.account == account.as_str());
        if policies.is_member_type(kind) && !policies.is_stored(kind, id) && is_own() != Some(true)
        {
            let id = printable(id);
            let what = format!(
                "there is no member `{id}` on this account: give the id of one of its members"
            );
            return Err(Failure::invalid("resource", what));
        }
        Ok(())
    }

    /// Where nothing is found: whether policies were asked at all.
    fn check_attributes(&self, scope: &SearchScope<'_>) -> Result<(), Failure> {
        let sample = match self.searched {
            Searched::Action => {
                let names = scope.policies.action_names();
                let applies =
                    |name: &&str| scope.policies.schema_lacks(&self.about(name)).is_empty();
                names.into_iter().find(applies).map(str::to_owned)
            }
            Searched::Subject | Searched::Resource => scope.first_member(),
        };
        let Some(sample) = sample else { return Ok(()) };
        match scope.decide(&self.about(&sample), true).explanation {
            Some(why) if why.reason == Reason::BadAttributes => {
                let search = match self.searched {
                    Searched::Action => "action",
                    Searched::Subject | Searched::Resource => "subject",
                };
                let what = format!(
                    "{}: ask `POST /access/v1/search/{search}` with the attributes that your service knows",
                    why.sentence
                );
                Err(Failure { code: ATTRIBUTES_NEEDED, ..Failure::invalid("resource", what) })
            }
            _ => Ok(()),
        }
    }

    /// Where a page begins.
    fn position(&self, app: &App, text: &str) -> Result<SearchPosition, Failure> {
        let token = PageToken::unsealed(app, text, &self.digest()).map_err(|fault| {
            let why = match fault {
                PageTokenFault::Foreign => {
                    "`after` does not continue this list: send the `next` of the page before with the same question, or leave it out".to_owned()
                }
                PageTokenFault::Expired => format!(
                    "`after` has expired, after {}: begin again without it",
                    plural(limits::SEARCH_TOKEN_HOURS, "hour", "hours")
                ),
            };
            Failure::invalid("after", why)
        })?;
        Ok(token.after)
    }

    /// What a token belongs to.
    fn digest(&self) -> Digest {
        let NamedResource { kind, id } = &self.resource;
        let searched = [self.searched as u8];
        let texts = [self.account.as_str(), kind, id, &self.subject, &self.action];
        let parts: Vec<&[u8]> = [b"who may".as_slice(), &searched]
            .into_iter()
            .chain(texts.map(str::as_bytes))
            .collect();
        Digest::of(&parts)
    }
}
