//! One request for a page: its parameters, its viewer and its client address.

use std::sync::Arc;

use super::current_user::CurrentUser;
use super::form_body::FormBody;
use super::local_path::{self, BACK};
use crate::app::App;
use crate::browser_security;
use crate::domain::{Failure, limits};
use crate::http::{Reply, Request, query_string};
use crate::services::client_info::ClientInfo;
use crate::services::session_auth::{self, COOKIE};

pub(super) type PageResult = Result<Reply, Failure>;

/// One request for a page.
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
        local_path::back(&self.parameter(BACK), usual)
    }

    /// All values of a parameter that are not empty.
    pub(super) fn parameters(&self, name: &str) -> Vec<String> {
        let pairs = query_string::pairs(self.request.query().unwrap_or_default());
        let found = pairs.flatten().filter(|(given, _)| given == name);
        found.map(|(_, value)| value).filter(|value| !value.is_empty()).collect()
    }
}
