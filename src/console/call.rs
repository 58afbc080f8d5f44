//! One request for a page: its parameters, its viewer and its client address.

use std::sync::Arc;

use super::form::Form;
use super::place::{self, BACK};
use super::viewer::Viewer;
use crate::app::App;
use crate::browser;
use crate::domain::{Failure, limits};
use crate::flows::sessions::{self, COOKIE};
use crate::flows::sign_in::From;
use crate::http::{Reply, Request, query};

pub(super) type Answer = Result<Reply, Failure>;

/// One page that is asked for.
pub(super) struct Call<'r> {
    pub(super) app: &'r Arc<App>,
    pub(super) request: &'r mut Request,
    /// What stands in the path for an id, decoded; empty where there is none.
    pub(super) id: String,
    /// What is to be done, where the path says so.
    pub(super) verb: String,
}

impl Call<'_> {
    /// Where it comes from.
    pub(super) fn from(&self) -> From {
        browser::client(self.app, self.request)
    }

    /// Whoever is signed in.
    ///
    /// # Errors
    /// `Unauthenticated` `session_ended`; `Busy`.
    pub(super) async fn viewer(&self) -> Result<Viewer, Failure> {
        Viewer::of(self.app, self.request).await
    }

    /// What was typed into a form; a small one of callers not signed in.
    ///
    /// # Errors
    /// As [`Form::read`].
    pub(super) async fn form(&mut self) -> Result<Form, Failure> {
        let token = self.request.cookie(COOKIE);
        let most = match token.and_then(|token| sessions::authenticate(self.app, token)) {
            Some(_) => limits::ADMIN_BODY_BYTES_MAX,
            None => limits::OPEN_BODY_BYTES_MAX,
        };
        Form::read(self.request, most).await
    }

    /// A parameter of the address; empty where it is missing.
    pub(super) fn parameter(&self, name: &str) -> String {
        self.parameters(name).into_iter().next().unwrap_or_default()
    }

    /// The place that the page leads back to: the one that its address names, else the usual one.
    pub(super) fn back(&self, usual: &str) -> String {
        place::back(&self.parameter(BACK), usual)
    }

    /// Every value of a parameter that is not empty.
    pub(super) fn parameters(&self, name: &str) -> Vec<String> {
        let pairs = query::pairs(self.request.query().unwrap_or_default());
        let found = pairs.flatten().filter(|(given, _)| given == name);
        found.map(|(_, value)| value).filter(|value| !value.is_empty()).collect()
    }
}
