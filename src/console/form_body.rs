//! Form bodies: `a=b&c=d`, as browsers send them (URL Standard, section 5.1).
//!
//! Keeps what was typed, so that a refused form is shown again with its values. Knows no field.

use super::local_path::{self, BACK};
use crate::domain::{Failure, Kind, Version, limits};
use crate::http::{Request, query_string};

/// A submitted form. Never printed: it may contain passwords.
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
        local_path::back(self.text(BACK), usual)
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
                ..Failure::new(Kind::Invalid, "invalid", super::texts::CHECK_FIELDS)
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
