//! The page frame: title, navigation, the viewer, and the flash message.
//!
//! The message about a completed form is shown by the next page: it travels in a cookie that no
//! other site can set, which is deleted once the message was shown.

use std::sync::Arc;

use askama::Template;

use super::assets::{ICON, SCRIPT, STYLE};
use super::page_request::{CurrentUser, PageRequest};
use super::texts as w;
use crate::app::App;
use crate::browser_security::{self, CROSS_SITE, FOREIGN_HOST, PublicUrl, TOLD};
use crate::domain::{Failure, Kind, Member};
use crate::http::{Method, Reply, Request, status};
use crate::percent_encoding::{decoded, encoded};
use crate::services::caller::OPERATOR_ONLY;
use crate::services::members;
use crate::services::{caller_keys, reload};

pub(super) struct NavigationLink {
    pub(super) path: &'static str,
    pub(super) name: &'static str,
    pub(super) current: bool,
}

/// The frame of a page.
pub(super) struct PageLayout<'p> {
    /// The base path; every link begins with it.
    pub(super) base: String,
    pub(super) title: String,
    pub(super) style: &'static str,
    pub(super) script: &'static str,
    pub(super) icon: &'static str,
    pub(super) viewer: Option<&'p CurrentUser>,
    pub(super) narrow: bool,
    /// The flash message.
    pub(super) told: Option<String>,
    pub(super) section: &'static str,
}

impl<'p> PageLayout<'p> {
    /// The frame for visitors.
    pub(super) fn outside(app: &App, request: &Request, title: impl Into<String>) -> Self {
        Self {
            base: PublicUrl::of(app).path().to_owned(),
            title: title.into(),
            style: &STYLE.path,
            script: &SCRIPT.path,
            icon: &ICON.path,
            viewer: None,
            narrow: true,
            told: request.cookie(TOLD).and_then(decoded).filter(|told| !told.is_empty()),
            section: "",
        }
    }

    /// The frame of a section, for the viewer.
    pub(super) fn inside(
        call: &PageRequest<'_>,
        viewer: &'p CurrentUser,
        title: impl Into<String>,
        section: &'static str,
    ) -> Self {
        let outside = Self::outside(call.app, call.request, title);
        Self { viewer: Some(viewer), narrow: false, section, ..outside }
    }

    /// Around a page about the viewer's own record and sign-in.
    pub(super) fn own(
        call: &PageRequest<'_>,
        viewer: &'p CurrentUser,
        title: impl Into<String>,
    ) -> Self {
        Self::inside(call, viewer, title, "/me")
    }

    /// The frame for visitors or the viewer.
    pub(super) fn seen_by(self, viewer: Option<&'p CurrentUser>) -> Self {
        Self { viewer, ..self }
    }

    /// The same for a page with one form.
    pub(super) fn narrow(self) -> Self {
        Self { narrow: true, ..self }
    }

    /// The sections that the viewer may open.
    pub(super) fn links(&self) -> Vec<NavigationLink> {
        let Some(viewer) = self.viewer else { return Vec::new() };
        let rights = &viewer.rights;
        let all = [
            ("/team", w::TEAM, rights.view_team),
            ("/roles", w::ROLES, true),
            ("/tokens", w::TOKENS, rights.may_change_roles()),
            ("/audit", w::AUDIT, rights.view_team),
            ("/policies", w::POLICIES, rights.view_settings),
            ("/account", w::ACCOUNT_SETTINGS, rights.view_settings),
            ("/me", w::MY_SECURITY, true),
        ];
        let shown = all.into_iter().filter(|(_, _, may)| *may);
        shown
            .map(|(path, name, _)| NavigationLink { path, name, current: path == self.section })
            .collect()
    }
}

pub(super) fn page(template: &impl Template) -> Reply {
    match template.render() {
        Ok(text) => Reply::text("text/html; charset=utf-8", text),
        Err(fault) => {
            tracing::error!(%fault, "a page cannot be written");
            Reply::text("text/plain; charset=utf-8", w::WENT_WRONG).status(500)
        }
    }
}

/// Renders the page of a form that was refused.
pub(super) fn refused_page(template: &impl Template, failure: &Failure) -> Reply {
    let reply = page(template).status(status(failure.kind));
    match failure.retry_after {
        Some(seconds) => reply.header("retry-after", seconds.to_string()),
        None => reply,
    }
}

/// Redirects to another page (RFC 9110, section 15.4.4).
pub(super) fn redirect(app: &App, path: &str) -> Reply {
    let place = format!("{}{path}", PublicUrl::of(app).path());
    Reply::text("text/plain; charset=utf-8", "").status(303).header("location", place)
}

/// Redirects to another page, with a flash message.
pub(super) fn redirect_with_notice(app: &App, path: &str, told: &str) -> Reply {
    with_notice(redirect(app, path), told)
}

/// Sets the flash message of the next page.
pub(super) fn with_notice(reply: Reply, told: &str) -> Reply {
    browser_security::telling(reply, &encoded(told))
}

/// A page with a few sentences and a link.
#[derive(Template)]
#[template(path = "console/templates/note.html", config = ".askama.toml")]
pub(super) struct MessagePage<'p> {
    pub(super) shell: PageLayout<'p>,
    pub(super) lines: Vec<String>,
    /// The path below the base path, and the label.
    pub(super) next: (String, &'static str),
}

/// The page in the place of a form that would be refused whatever is typed, since the state of the
/// record rules the action out: why, and what to do instead.
pub(super) fn not_possible(
    shell: PageLayout<'_>,
    why: impl Into<String>,
    next: (impl Into<String>, &'static str),
) -> Reply {
    let next = (next.0.into(), next.1);
    let shown = MessagePage { shell: shell.narrow(), lines: vec![why.into()], next };
    page(&shown).status(status(Kind::Conflict))
}

/// The refusal of a path at which there is no page.
pub(super) fn unknown_path() -> Failure {
    Failure::new(Kind::NotFound, Failure::UNKNOWN_PATH, w::NOT_FOUND_WHY)
}

/// Why the page is not available to this viewer.
pub(super) async fn message_page(app: &Arc<App>, request: &Request, failure: &Failure) -> Reply {
    let viewer = CurrentUser::of(app, request).await.ok();
    let title = match (failure.code, failure.kind) {
        (FOREIGN_HOST, _) => w::WRONG_ADDRESS,
        (CROSS_SITE, _) => w::SENT_FROM_ELSEWHERE,
        (OPERATOR_ONLY, _) => w::OPERATOR_ONLY,
        (reload::NOT_KEPT, _) => w::NOT_SAVED,
        (caller_keys::NOT_LOADED, _) => w::KEYS_NOT_LOADED,
        // A button of a page asked for something that is gone: the page itself exists.
        (Failure::UNKNOWN_PATH, _) => w::NOT_FOUND,
        (_, Kind::NotFound) if request.method == Method::Get => w::NOT_FOUND,
        (_, Kind::Denied) => w::NOT_ALLOWED,
        _ => w::WENT_WRONG,
    };
    let mut lines = vec![w::refusal_with_wait(failure)];
    if let (Failure::NOT_ALLOWED, Some(viewer)) = (failure.code, &viewer) {
        let administrators = members::administrators(app, &viewer.account.slug).await;
        let others = administrators.iter().filter(|member| !viewer.is(member));
        lines.push(w::ask(&others.map(Member::full_name).collect::<Vec<_>>()));
    }
    let shell = PageLayout::outside(app, request, title).seen_by(viewer.as_ref());
    let next = match &viewer {
        Some(viewer) if viewer.rights.view_team => ("/team".to_owned(), w::TO_TEAM),
        Some(_) => ("/me".to_owned(), w::TO_SECURITY),
        None => ("/sign-in".to_owned(), w::TO_SIGN_IN),
    };
    page(&MessagePage { shell, lines, next })
}
