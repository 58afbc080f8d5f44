//! API tokens: list, create and revoke.
//!
//! A secret is shown on one page, in the response that creates the token, and is in no URL.

use askama::Template;

use super::form_page::{Fact, FormPage, FormPart, Input, kind, role_select};
use super::page_layout::{PageLayout, page, redirect_with_notice};
use super::page_request::{CurrentUser, FormBody, PageRequest, PageResult};
use super::roles::title as role_title;
use super::texts as w;
use super::timestamps::TimeLabel;
use super::two_step::{proof_asked, proof_shown};
use crate::domain::{ApiToken, ApiTokenId, Failure, Name, RoleId, limits};
use crate::engine::Snapshot;
use crate::percent_encoding::encoded;
use crate::services::api_tokens::{self, IssuedToken, TokenRequest, TokenWithOwner};
use crate::services::rights;

/// The list of tokens.
const SECTION: &str = "/tokens";
/// Tokens on one page.
const SHOWN: usize = 50;
/// The default lifetime in days.
const DAYS: &str = "90";

struct TokenRow {
    id: String,
    name: String,
    role: String,
    role_gone: bool,
    maker: String,
    you: bool,
    created: TimeLabel,
    used: Option<TimeLabel>,
    expires: TimeLabel,
    /// Whether the viewer may revoke it.
    may: bool,
}

#[derive(Template)]
#[template(path = "console/templates/tokens.html", config = ".askama.toml")]
struct TokensPage<'p> {
    shell: PageLayout<'p>,
    rows: Vec<TokenRow>,
    may_make: bool,
    next: Option<String>,
}

fn inside<'p>(
    call: &PageRequest<'_>,
    viewer: &'p CurrentUser,
    title: impl Into<String>,
) -> PageLayout<'p> {
    PageLayout::inside(call, viewer, title, "/tokens")
}

pub(super) async fn list(call: &mut PageRequest<'_>) -> PageResult {
    let viewer = call.viewer().await?;
    let after = Some(call.parameter("after")).filter(|after| !after.is_empty());
    let found = api_tokens::list(call.app, viewer.caller(), None, after.as_deref(), SHOWN).await?;
    let live = call.app.policies.load();
    let rows = found.items.into_iter().map(|listed| row(call, &viewer, &live, listed)).collect();
    Ok(page(&TokensPage {
        shell: inside(call, &viewer, w::TOKENS),
        rows,
        may_make: may_make(&viewer),
        next: found.next.map(|next| format!("/tokens?after={}", encoded(&next))),
    }))
}

fn row(
    call: &PageRequest<'_>,
    viewer: &CurrentUser,
    live: &Snapshot,
    TokenWithOwner { token, maker }: TokenWithOwner,
) -> TokenRow {
    let now = call.app.clock.now();
    let (you, may) = (token.member == viewer.member.id, may_revoke(call, viewer, &token));
    TokenRow {
        id: token.id.to_string(),
        name: token.name.as_str().to_owned(),
        role: role_title(live, &token.role),
        role_gone: !live.has_role(&token.role),
        maker: maker.map_or_else(|| w::NOT_ON_THE_TEAM.to_owned(), |maker| maker.full_name()),
        you,
        created: TimeLabel::from(token.created, now),
        used: token.used.map(|at| TimeLabel::from(at, now)),
        expires: TimeLabel::from(token.expires, now),
        may,
    }
}

/// Whether there is a role that the viewer may make a token with.
fn may_make(viewer: &CurrentUser) -> bool {
    viewer.rights.may_change_roles()
}

pub(super) async fn show(call: &mut PageRequest<'_>) -> PageResult {
    let viewer = call.viewer().await?;
    if !may_make(&viewer) {
        return Err(Failure::not_allowed(w::CANNOT_MAKE_TOKENS));
    }
    Ok(sheet(call, &viewer, &FormBody::filled(&[("days", DAYS)])).page())
}

fn sheet<'p>(call: &PageRequest<'_>, viewer: &'p CurrentUser, form: &FormBody) -> FormPage<'p> {
    let input = |name, label, kind| Input::new(name, label, kind).value(form.text(name));
    let sheet = FormPage::new(inside(call, viewer, w::TOKEN_NEW), "/tokens/new", w::TOKEN_MAKE)
        .line(w::TOKENS_WHY)
        .input(input("name", w::NAME, kind::TEXT).hint(w::TOKEN_NAME_HINT))
        .part(FormPart::Select(role_select(call, viewer, form.text("role"))))
        .input(
            input("days", w::TOKEN_DAYS, kind::NUMBER)
                .hint(w::token_days(limits::API_TOKEN_DAYS_MAX)),
        )
        .cancel("/tokens");
    proof_asked(sheet, viewer, w::YOUR_PASSWORD)
}

pub(super) async fn make(call: &mut PageRequest<'_>) -> PageResult {
    let viewer = call.viewer().await?;
    let form = call.form().await?;
    match make_by(call, &viewer, &form).await {
        Ok(made) => Ok(once(call, &viewer, made)),
        Err(failure) => sheet(call, &viewer, &form).not_taken(failure),
    }
}

async fn make_by(
    call: &PageRequest<'_>,
    viewer: &CurrentUser,
    form: &FormBody,
) -> Result<IssuedToken, Failure> {
    let mut read = form.reader();
    let name = read.read("name", |text| Name::parse("name", text));
    let role = read.read("role", role);
    let days = read.read("days", days);
    let ((name, role), days) = read.done(name.zip(role).zip(days))?;
    let (wanted, shown) = (TokenRequest { name, role, days }, Some(proof_shown(form)));
    let signed_in = viewer.signed_in.clone();
    let done = api_tokens::create_own(call.app, signed_in, wanted, shown, call.from()).await?;
    Ok(done.value)
}

fn role(text: &str) -> Result<RoleId, Failure> {
    match text {
        "" => Err(Failure::invalid("role", w::TOKEN_ROLE_MISSING)),
        text => RoleId::parse(text),
    }
}

fn days(text: &str) -> Result<i64, Failure> {
    let most = limits::API_TOKEN_DAYS_MAX;
    let days = text.parse().ok().filter(|days| (1..=most).contains(days));
    let days = days.and_then(|days| i64::try_from(days).ok());
    days.ok_or_else(|| Failure::invalid("days", w::token_days_wrong(most)))
}

/// A secret, shown once.
#[derive(Template)]
#[template(path = "console/templates/secret.html", config = ".askama.toml")]
struct NewTokenPage<'p> {
    shell: PageLayout<'p>,
    facts: Vec<Fact>,
    secret: String,
}

fn once(
    call: &PageRequest<'_>,
    viewer: &CurrentUser,
    IssuedToken { token, secret }: IssuedToken,
) -> crate::http::Reply {
    let facts = vec![
        Fact::text(w::NAME, token.name.as_str()),
        Fact::text(w::ROLE, role_title(&call.app.policies.load(), &token.role)),
        Fact::when(w::EXPIRES, TimeLabel::exactly(token.expires)),
    ];
    page(&NewTokenPage { shell: inside(call, viewer, w::TOKEN_MADE).narrow(), facts, secret })
}

async fn found(call: &PageRequest<'_>, viewer: &CurrentUser) -> Result<TokenWithOwner, Failure> {
    let id = ApiTokenId::parse(&call.id).ok_or_else(api_tokens::unknown)?;
    api_tokens::show(call.app, viewer.caller(), &id).await
}

/// Own tokens can always be revoked; others by members who may give the role, also if it was removed.
fn may_revoke(call: &PageRequest<'_>, viewer: &CurrentUser, token: &ApiToken) -> bool {
    token.member == viewer.member.id || rights::may_assign(call.app, &viewer.member, &token.role)
}

pub(super) async fn ask(call: &mut PageRequest<'_>) -> PageResult {
    let viewer = call.viewer().await?;
    let listed = found(call, &viewer).await?;
    if !may_revoke(call, &viewer, &listed.token) {
        return Err(Failure::not_allowed(w::CANNOT_REVOKE_TOKEN));
    }
    Ok(revoke_sheet(call, &viewer, listed, call.back(SECTION)).page())
}

fn revoke_sheet<'p>(
    call: &PageRequest<'_>,
    viewer: &'p CurrentUser,
    listed: TokenWithOwner,
    back: String,
) -> FormPage<'p> {
    let (created, expires) = (listed.token.created, listed.token.expires);
    let row = row(call, viewer, &call.app.policies.load(), listed);
    let mut facts = vec![Fact::text(w::ROLE, row.role), Fact::text(w::TOKEN_MADE_BY, row.maker)];
    // Two may have one name.
    facts.push(Fact::when(w::TOKEN_CREATED, TimeLabel::exactly(created)));
    facts.push(Fact::when(w::EXPIRES, TimeLabel::exactly(expires)));
    match row.used {
        Some(used) => facts.push(Fact::when(w::LAST_USED, used)),
        None => facts.push(Fact::text(w::LAST_USED, w::NEVER)),
    }
    let action = format!("/tokens/{}/revoke", row.id);
    FormPage::new(inside(call, viewer, w::revoke_token(&row.name)), action, w::TOKEN_REVOKE)
        .line(w::TOKEN_REVOKE_WHY)
        .part(FormPart::Facts(facts))
        .danger()
        .leads_back(back)
}

pub(super) async fn revoke(call: &mut PageRequest<'_>) -> PageResult {
    let viewer = call.viewer().await?;
    let back = call.form().await?.back(SECTION);
    let listed = found(call, &viewer).await?;
    let (caller, id) = (viewer.caller(), listed.token.id.clone());
    match api_tokens::revoke(call.app, caller, id).await {
        Ok(done) => {
            let told = w::token_revoked(done.value.name.as_str());
            Ok(redirect_with_notice(call.app, &back, &told))
        }
        Err(failure) => revoke_sheet(call, &viewer, listed, back).not_taken(failure),
    }
}
