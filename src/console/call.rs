//! One request for a page: its parameters, its viewer and its client address.

use std::sync::Arc;

use super::form::Form;
use super::place::{self, BACK};
use super::viewer::Viewer;
use crate::app::App;
use crate::browser;
use crate::domain::{Failure, limits};
use crate::flows::client_info::ClientInfo;
use crate::flows::session_auth::{self, COOKIE};
use crate::http::{Reply, Request, query};

pub(super) type Answer = Result<Reply, Failure>;

/// One request for a page.
pub(super) struct Call<'r> {
    pub(super) app: &'r Arc<App>,
    pub(super) request: &'r mut Request,
    /// The decoded path segment for an id; empty if there is none.
    pub(super) id: String,
    /// The action, if the path names one.
    pub(super) verb: String,
}

impl Call<'_> {
    /// The client address.
    pub(super) fn from(&self) -> ClientInfo {
        browser::client(self.app, self.request)
    }

    /// Whether mail is sent at all; where not, no page promises any.
    pub(super) fn sends_mail(&self) -> bool {
        self.app.mailer.sends()
    }

    /// The signed-in member.
    ///
    /// # Errors
    /// `Unauthenticated` `session_ended`; `Busy`.
    pub(super) async fn viewer(&self) -> Result<Viewer, Failure> {
        Viewer::of(self.app, self.request).await
    }

    /// The submitted form; of limited size for callers without a session.
    ///
    /// # Errors
    /// As [`Form::read`].
    pub(super) async fn form(&mut self) -> Result<Form, Failure> {
        let token = self.request.cookie(COOKIE);
        let most = match token.and_then(|token| session_auth::authenticate(self.app, token)) {
            Some(_) => limits::ADMIN_BODY_BYTES_MAX,
            None => limits::OPEN_BODY_BYTES_MAX,
        };
        Form::read(self.request, most).await
    }

    /// A query parameter; empty if it is missing.
    pub(super) fn parameter(&self, name: &str) -> String {
        self.parameters(name).into_iter().next().unwrap_or_default()
    }

    /// The place to return to: from the query, else the default.
    pub(super) fn back(&self, usual: &str) -> String {
        place::back(&self.parameter(BACK), usual)
    }

    /// All values of a parameter that are not empty.
    pub(super) fn parameters(&self, name: &str) -> Vec<String> {
        let pairs = query::pairs(self.request.query().unwrap_or_default());
        let found = pairs.flatten().filter(|(given, _)| given == name);
        found.map(|(_, value)| value).filter(|value| !value.is_empty()).collect()
    }
}
