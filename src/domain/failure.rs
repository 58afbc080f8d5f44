//! The error type of the domain.
//!
//! A failure has two messages: one for the caller, which says what to do next, and one for the log.
//! It knows no status code: the only `Kind -> StatusCode` match is in `http::respond`.

use std::fmt;

/// The kind of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The input is not what the call takes.
    Invalid,
    /// The caller is not known.
    Unauthenticated,
    /// The caller may not.
    Denied,
    /// There is no such thing, or it is none of the caller's business.
    NotFound,
    /// The call's method is not offered there.
    MethodNotAllowed,
    /// A rule stands against it.
    Conflict,
    /// `If-Match` names an older version.
    Stale,
    /// `If-Match` is missing.
    PreconditionRequired,
    /// It was there once and is over.
    Gone,
    /// The input is larger than a bound.
    TooLarge,
    /// The caller took too long.
    Timeout,
    /// Too much at once: try again.
    Busy,
    /// Too many tries: the failure says when the next one counts.
    TooMany,
    /// A policy set was refused.
    PoliciesRefused,
    /// A bug or a broken disk.
    Internal,
}

/// One failure, with what the caller is told and what the log is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What kind.
    pub kind: Kind,
    /// A stable word for programs, such as `already_member`.
    pub code: &'static str,
    /// For the caller: what is wrong and what to do next.
    pub public: String,
    /// For the log only.
    pub private: Option<String>,
    /// Faults of single inputs: field and message.
    pub fields: Vec<(String, String)>,
    /// Seconds until it is worth trying again, where that is known.
    pub retry_after: Option<u64>,
}

impl Failure {
    /// A failure of this kind.
    #[must_use]
    pub fn new(kind: Kind, code: &'static str, public: impl Into<String>) -> Self {
        Self {
            kind,
            code,
            public: public.into(),
            private: None,
            fields: Vec::new(),
            retry_after: None,
        }
    }

    /// An input that does not fit; `field` names it.
    #[must_use]
    pub fn invalid(field: &str, public: impl Into<String>) -> Self {
        let public = public.into();
        Self {
            fields: vec![(field.to_owned(), public.clone())],
            ..Self::new(Kind::Invalid, "invalid", public)
        }
    }

    /// Too many tries; the next one is looked at in so many seconds.
    #[must_use]
    pub fn too_many(code: &'static str, public: impl Into<String>, wait_seconds: u64) -> Self {
        Self { retry_after: Some(wait_seconds), ..Self::new(Kind::TooMany, code, public) }
    }

    /// A bug or a broken disk: the caller hears nothing of the cause.
    #[must_use]
    pub fn internal(private: impl Into<String>) -> Self {
        Self::new(
            Kind::Internal,
            "internal",
            "an internal error occurred: try again; if it happens again, contact your system administrator and quote the request id",
        )
        .logged(private)
    }

    /// The same for the operator of the sidecar, who may know the cause.
    #[must_use]
    pub fn for_operator(mut self) -> Self {
        if let Some(private) = self.private.as_deref().filter(|private| !private.is_empty()) {
            self.public = format!("{} ({private})", self.public);
        }
        self
    }

    /// Adds what only the log and the operator of the sidecar may hear.
    #[must_use]
    pub fn logged(mut self, private: impl Into<String>) -> Self {
        self.private = Some(private.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.public)?;
        match &self.private {
            Some(private) => write!(f, " ({private})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}
