//! One request for a page: its parameters, its form, its client address, and its viewer, who is the
//! signed-in member with the account and the rights.
//!
//! Pages use the rights to decide what to show; services never rely on them.

use std::sync::Arc;

use super::page_urls::{self, BACK};
use super::texts;
use crate::app::App;
use crate::browser_security;
use crate::domain::{Account, Failure, Kind, Member, Revision, Version, limits};
use crate::http::{Reply, Request, query_string};
use crate::services::accounts;
use crate::services::caller::Caller;
use crate::services::client_info::ClientInfo;
use crate::services::rights::{self, RightsSummary};
use crate::services::session_auth::{self, COOKIE, SignedIn};

pub(super) type PageResult = Result<Reply, Failure>;

pub(super) struct PageRequest<'r> {
    pub(super) app: &'r Arc<App>,
    pub(super) request: &'r mut Request,
    /// The decoded path segment for an id; empty if there is none.
    pub(super) id: String,
    /// The action, if the path names one.
    pub(super) verb: String,
}

impl PageRequest<'_> {
    /// The client address.
    pub(super) fn from(&self) -> ClientInfo {
        browser_security::client(self.app, self.request)
    }

    /// Whether mail is sent at all; where not, no page promises any.
    pub(super) fn sends_mail(&self) -> bool {
        self.app.mailer.sends()
    }

    /// The signed-in member.
    ///
    /// # Errors
    /// `Unauthenticated` `session_ended`; `Busy`.
    pub(super) async fn viewer(&self) -> Result<CurrentUser, Failure> {
        CurrentUser::of(self.app, self.request).await
    }

    /// The submitted form; of limited size for callers without a session.
    ///
    /// # Errors
    /// As [`FormBody::read`].
    pub(super) async fn form(&mut self) -> Result<FormBody, Failure> {
        let token = self.request.cookie(COOKIE);
        let most = match token.and_then(|token| session_auth::authenticate(self.app, token)) {
            Some(_) => limits::ADMIN_BODY_BYTES_MAX,
            None => limits::OPEN_BODY_BYTES_MAX,
        };
        FormBody::read(self.request, most).await
    }

    /// A query parameter; empty if it is missing.
    pub(super) fn parameter(&self, name: &str) -> String {
        self.parameters(name).into_iter().next().unwrap_or_default()
    }

    /// The place to return to: from the query, else the default.
    pub(super) fn back(&self, usual: &str) -> String {
        page_urls::back(&self.parameter(BACK), usual)
    }

    /// All values of a parameter that are not empty.
    pub(super) fn parameters(&self, name: &str) -> Vec<String> {
        let pairs = query_string::pairs(self.request.query().unwrap_or_default());
        let found = pairs.flatten().filter(|(given, _)| given == name);
        found.map(|(_, value)| value).filter(|value| !value.is_empty()).collect()
    }
}

/// The signed-in member.
#[derive(Clone, Debug)]
pub(super) struct CurrentUser {
    pub(super) signed_in: SignedIn,
    pub(super) member: Member,
    pub(super) account: Account,
    pub(super) rights: RightsSummary,
    /// What the page shows is of this revision, or of a later one.
    pub(super) revision: Revision,
}

impl CurrentUser {
    /// Authenticates the viewer; counts as use of the session.
    ///
    /// # Errors
    /// `Unauthenticated` `session_ended`; `Busy`.
    pub(super) async fn of(app: &App, request: &Request) -> Result<Self, Failure> {
        let revision = app.directory.revision();
        let token = request.cookie(COOKIE);
        let signed_in = token.and_then(|token| session_auth::authenticate(app, token));
        let signed_in = signed_in.ok_or_else(session_auth::ended)?;
        let member = signed_in.record(app).await?;
        let account = accounts::own(app, &signed_in).await?;
        let rights = rights::of(app, &member);
        Ok(Self { signed_in, member, account, rights, revision })
    }

    /// As the services know it.
    pub(super) fn caller(&self) -> Caller {
        Caller::Member(self.signed_in.clone())
    }

    pub(super) fn is(&self, member: &Member) -> bool {
        self.member.id == member.id
    }
}

/// A submitted form: `a=b&c=d`, as browsers send it (URL Standard, section 5.1). Keeps what was
/// typed, so that a refused form is shown again with its values. Never printed: it may contain passwords.
#[derive(Default)]
pub(super) struct FormBody(Vec<(String, String)>);

impl FormBody {
    /// Reads the body of a request, up to this size.
    ///
    /// # Errors
    /// `Invalid` for what no form sends; `TooLarge`; `Timeout`.
    pub(super) async fn read(request: &mut Request, most: usize) -> Result<Self, Failure> {
        if !request.media().eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(unreadable());
        }
        let body = request.body(most).await?;
        let text = std::str::from_utf8(&body).map_err(|_| unreadable())?;
        // One more than the maximum shows that there are too many.
        let pairs = query_string::pairs(text).take(limits::FORM_FIELDS_MAX + 1);
        let pairs: Vec<_> = pairs.collect::<Result<_, _>>().map_err(|_| unreadable())?;
        if pairs.len() > limits::FORM_FIELDS_MAX {
            return Err(unreadable());
        }
        Ok(Self(pairs))
    }

    /// An initial form with default values.
    pub(super) fn filled(fields: &[(&str, &str)]) -> Self {
        Self(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    /// The first value of a field; empty if it is missing.
    pub(super) fn text(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(given, _)| given == name);
        found.map_or("", |(_, value)| value.as_str())
    }

    /// Every value of a field.
    pub(super) fn texts<'f>(&'f self, name: &'f str) -> impl Iterator<Item = &'f str> {
        self.0.iter().filter(move |(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// The version of the record on which the form is based.
    pub(super) fn version(&self) -> Option<Version> {
        self.text("version").parse().ok().map(Version)
    }

    /// The place to return to: from the form, else the default.
    pub(super) fn back(&self, usual: &str) -> String {
        page_urls::back(self.text(BACK), usual)
    }

    /// Reads several fields, so that all faults are reported together.
    pub(super) fn reader(&self) -> FormReader<'_> {
        FormReader { form: self, faults: Vec::new() }
    }
}

/// Reads fields and collects faults.
pub(super) struct FormReader<'f> {
    form: &'f FormBody,
    faults: Vec<(String, String)>,
}

impl FormReader<'_> {
    /// Reads one field; `None` is a fault, which [`Self::done`] reports.
    pub(super) fn read<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, Failure>,
    ) -> Option<T> {
        match parse(self.form.text(name).trim()) {
            Ok(value) => Some(value),
            Err(failure) => {
                self.faults.push((name.to_owned(), failure.public));
                None
            }
        }
    }

    /// The values of the fields, if there was no fault.
    ///
    /// # Errors
    /// `Invalid` with every fault.
    pub(super) fn done<T>(self, made: Option<T>) -> Result<T, Failure> {
        match (made, self.faults.is_empty()) {
            (Some(made), true) => Ok(made),
            _ => Err(Failure {
                fields: self.faults,
                ..Failure::new(Kind::Invalid, "invalid", texts::CHECK_FIELDS)
            }),
        }
    }
}

fn unreadable() -> Failure {
    Failure::new(
        Kind::Invalid,
        "form",
        "this form was not sent from a page of KWIC Team: open the page again, then fill it in and send it",
    )
}
