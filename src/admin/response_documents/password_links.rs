//! Links to a new password.

use serde::Serialize;

use super::invites::Delivery;
use crate::clock::rfc3339;
use crate::services::passwords;

document! {
    /// A link to set a new password.
    pub(in crate::admin) struct PasswordResetLink from(reset: passwords::PasswordResetLink) {
        id: String = reset.member.id.to_string(),
        expires: String = rfc3339(reset.expires),
        #[serde(skip_serializing_if = "Option::is_none")]
        link: Option<String> = reset.link,
        delivery: Delivery = Delivery::from(reset.delivery),
    }
}

document! {
    /// The same, for an administrator who cannot sign in.
    pub(in crate::admin) struct AdministratorRecovery from(reset: passwords::PasswordResetLink) {
        id: String = reset.member.id.to_string(),
        email: String = reset.member.email.to_string(),
        #[serde(skip_serializing_if = "Option::is_none")]
        link: Option<String> = reset.link,
        expires: String = rfc3339(reset.expires),
        delivery: Delivery = Delivery::from(reset.delivery),
    }
}
