//! Links to a new password.

use serde::Serialize;

use super::invites::Delivery;
use crate::clock::rfc3339;
use crate::services::passwords;

/// A link to set a new password.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct PasswordResetLink {
    id: String,
    expires: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<String>,
    delivery: Delivery,
}

impl From<passwords::PasswordResetLink> for PasswordResetLink {
    fn from(reset: passwords::PasswordResetLink) -> Self {
        Self {
            id: reset.member.id.to_string(),
            expires: rfc3339(reset.expires),
            link: reset.link,
            delivery: Delivery::from(reset.delivery),
        }
    }
}

/// The same, for an administrator who cannot sign in.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct AdministratorRecovery {
    id: String,
    email: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<String>,
    expires: String,
    delivery: Delivery,
}

impl From<passwords::PasswordResetLink> for AdministratorRecovery {
    fn from(reset: passwords::PasswordResetLink) -> Self {
        Self {
            id: reset.member.id.to_string(),
            email: reset.member.email.to_string(),
            link: reset.link,
            expires: rfc3339(reset.expires),
            delivery: Delivery::from(reset.delivery),
        }
    }
}
