//! Form bodies: `a=b&c=d`, as browsers send them (URL Standard, section 5.1).
//!
//! Keeps what was typed, so that a refused form is shown again with its values. Knows no field.

use super::place::{self, BACK};
use crate::domain::{Failure, Kind, Version, limits};
use crate::http::{Request, query};

/// What somebody typed. Never prints: there are passwords in it.
#[derive(Default)]
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    /// Reads the body of a request, of at most so many bytes.
    ///
    /// # Errors
    /// `Invalid` for what no form sends; `TooLarge`; `Timeout`.
    pub(super) async fn read(request: &mut Request, most: usize) -> Result<Self, Failure> {
        if !request.media().eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(unreadable());
        }
        let body = request.body(most).await?;
        let text = std::str::from_utf8(&body).map_err(|_| unreadable())?;
        // One more than there may be shows that there are too many.
        let pairs = query::pairs(text).take(limits::FORM_FIELDS_MAX + 1);
        let pairs: Vec<_> = pairs.collect::<Result<_, _>>().map_err(|_| unreadable())?;
        if pairs.len() > limits::FORM_FIELDS_MAX {
            return Err(unreadable());
        }
        Ok(Self(pairs))
    }

    /// A form that was not sent yet, filled in beforehand.
    pub(super) fn filled(fields: &[(&str, &str)]) -> Self {
        Self(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    /// The first value of a field; empty where there is none.
    pub(super) fn text(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(given, _)| given == name);
        found.map_or("", |(_, value)| value.as_str())
    }

    /// Every value of a field.
    pub(super) fn texts<'f>(&'f self, name: &'f str) -> impl Iterator<Item = &'f str> {
        self.0.iter().filter(move |(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// The version that the page showed which the form stood on.
    pub(super) fn version(&self) -> Option<Version> {
        self.text("version").parse().ok().map(Version)
    }

    /// The place that the form leads back to: the one that it names, else the usual one.
    pub(super) fn back(&self, usual: &str) -> String {
        place::back(self.text(BACK), usual)
    }

    /// Reads several fields, so that every fault is told at once.
    pub(super) fn reader(&self) -> Reader<'_> {
        Reader { form: self, faults: Vec::new() }
    }
}

/// Reads fields, and keeps what is wrong with them.
pub(super) struct Reader<'f> {
    form: &'f Form,
    faults: Vec<(String, String)>,
}

impl Reader<'_> {
    /// One field; `None` is a fault, which [`Self::done`] tells.
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

    /// What the fields made, when nothing was wrong with any.
    ///
    /// # Errors
    /// `Invalid` with every fault.
    pub(super) fn done<T>(self, made: Option<T>) -> Result<T, Failure> {
        match (made, self.faults.is_empty()) {
            (Some(made), true) => Ok(made),
            _ => Err(Failure {
                fields: self.faults,
                ..Failure::new(Kind::Invalid, "invalid", super::words::CHECK_FIELDS)
            }),
        }
    }
}

fn unreadable() -> Failure {
    Failure::new(
        Kind::Invalid,
        "form",
        "this is not a form of the console: open the page again, and send it from there",
    )
}
