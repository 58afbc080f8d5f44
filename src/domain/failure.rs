//! The error type of the domain.
//!
//! A failure has two messages: one for the caller, which says what to do next, and one for the log.
//! It knows no status code: the only `Kind -> StatusCode` match is in `http::response`.

use std::fmt;

/// The kind of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The input is invalid.
    Invalid,
    /// The caller is not authenticated.
    Unauthenticated,
    /// The caller is not authorized.
    Denied,
    /// It does not exist, or not for this caller.
    NotFound,
    /// The path exists, but not with this method.
    MethodNotAllowed,
    /// The current state does not permit it.
    Conflict,
    /// `If-Match` names an older version.
    Stale,
    /// `If-Match` is missing.
    PreconditionRequired,
    /// It existed, and has ended.
    Gone,
    /// The input exceeds a limit.
    TooLarge,
    /// The caller took too long.
    Timeout,
    /// Too many concurrent requests, or a temporary fault: try again.
    Busy,
    /// Too many attempts: the failure says when to try again.
    TooMany,
    /// A policy set was refused.
    PoliciesRefused,
    /// A bug or a broken disk.
    Internal,
}

/// One failure, with a message for the caller and one for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The kind.
    pub kind: Kind,
    /// A stable word for programs, such as `already_member`.
    pub code: &'static str,
    /// For the caller: what is wrong and what to do next.
    pub public: String,
    /// For the log only.
    pub private: Option<String>,
    /// Faults of single inputs: field and message.
    pub fields: Vec<(String, String)>,
    /// Seconds to wait before the next attempt, if known.
    pub retry_after: Option<u64>,
}

impl Failure {
    /// The code of [`Self::internal`].
    pub const INTERNAL: &'static str = "internal";
    /// The code of a request whose body is too large.
    pub const BODY_TOO_LARGE: &str = "body_too_large";
    /// The code of a path at which there is nothing.
    pub const UNKNOWN_PATH: &str = "unknown_path";
    /// The code of [`Self::not_allowed`].
    pub const NOT_ALLOWED: &'static str = "not_allowed";
    /// The code of [`Self::policies_refused`].
    pub const POLICIES_REFUSED: &'static str = "policies_refused";

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

    /// An invalid input; `field` names it.
    #[must_use]
    pub fn invalid(field: &str, public: impl Into<String>) -> Self {
        let public = public.into();
        Self {
            fields: vec![(field.to_owned(), public.clone())],
            ..Self::new(Kind::Invalid, "invalid", public)
        }
    }

    /// Too many attempts; try again after so many seconds.
    #[must_use]
    pub fn too_many(code: &'static str, public: impl Into<String>, wait_seconds: u64) -> Self {
        Self { retry_after: Some(wait_seconds), ..Self::new(Kind::TooMany, code, public) }
    }

    /// The role of the caller does not permit it.
    #[must_use]
    pub fn not_allowed(public: impl Into<String>) -> Self {
        Self::new(Kind::Denied, Self::NOT_ALLOWED, public)
    }

    /// A policy set with a fault; the message says where.
    #[must_use]
    pub fn policies_refused(public: impl Into<String>) -> Self {
        Self::new(Kind::PoliciesRefused, Self::POLICIES_REFUSED, public)
    }

    /// A bug or a broken disk: the caller gets a generic message.
    #[must_use]
    pub fn internal(private: impl Into<String>) -> Self {
        Self::new(
            Kind::Internal,
            Self::INTERNAL,
            "an internal error occurred: try again; if it happens again, contact your system administrator and quote the request id",
        )
        .logged(private)
    }

    /// The same for the operator of the sidecar, who may see the cause.
    #[must_use]
    pub fn for_operator(mut self) -> Self {
        if let Some(private) = self.private.as_deref().filter(|private| !private.is_empty()) {
            self.public = format!("{} ({private})", self.public);
        }
        self
    }

    /// Adds a private message, for the log and the operator of the sidecar.
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
