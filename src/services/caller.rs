//! Who calls: the operator of the sidecar, a member who is signed in, or the holder of an API token.

use super::session_auth::SignedIn;
use super::token_auth::TokenHolder;
use crate::domain::{AccountSlug, Actor, Failure, Kind};

/// Who wants something done.
#[derive(Clone, Debug)]
pub enum Caller {
    /// The operator of the sidecar: anyone who may open `admin.sock` (mode 0600, in a folder of
    /// mode 0700) may do everything, on any account.
    Sidecar {
        /// From the kernel, not from the caller.
        uid: u32,
        /// The account of the call.
        account: AccountSlug,
    },
    /// A member, signed in.
    Member(SignedIn),
    /// A program, by a member's API token.
    Token(TokenHolder),
}

impl Caller {
    /// The account of the call.
    #[must_use]
    pub fn account(&self) -> &AccountSlug {
        match self {
            Self::Sidecar { account, .. } => account,
            Self::Member(signed_in) => signed_in.account(),
            Self::Token(holder) => holder.account(),
        }
    }

    /// Whether this is the operator of the sidecar.
    #[must_use]
    pub const fn is_sidecar(&self) -> bool {
        matches!(self, Self::Sidecar { .. })
    }

    /// Refuses everybody else.
    ///
    /// # Errors
    /// `Denied` `operator_only`.
    pub(super) fn must_be_sidecar(&self) -> Result<(), Failure> {
        if self.is_sidecar() { Ok(()) } else { Err(operator_only()) }
    }

    /// Who acts, for the audit log.
    #[must_use]
    pub fn actor(&self) -> Actor {
        match self {
            Self::Sidecar { uid, .. } => Actor::Sidecar { uid: *uid },
            Self::Member(signed_in) => Actor::Member(signed_in.member().clone()),
            Self::Token(holder) => {
                Actor::Token { id: holder.id().clone(), member: holder.member().clone() }
            }
        }
    }
}

/// The code of what only the operator of the sidecar may do.
pub const OPERATOR_ONLY: &str = "operator_only";

/// The refusal of everybody except the operator of the sidecar.
#[must_use]
pub fn operator_only() -> Failure {
    Failure::new(
        Kind::Denied,
        OPERATOR_ONLY,
        "only the operator of the sidecar may do this, through `admin.sock`: contact your system administrator",
    )
}

/// The refusal of a program where a person is required.
#[must_use]
pub fn person_needed() -> Failure {
    Failure::new(
        Kind::Denied,
        "session_needed",
        "an API token cannot do this: sign in at `/api/v1/sign-in`, and send the cookie instead",
    )
}
