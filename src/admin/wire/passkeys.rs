//! Passkeys as their owner sees them, and the challenges for their authenticators.

use serde::Serialize;

use crate::clock::rfc3339;
use crate::domain;
use crate::services::passkeys;

/// One passkey, without its key.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct Passkey {
    id: String,
    name: String,
    created: String,
    used: Option<String>,
}

impl From<domain::Passkey> for Passkey {
    fn from(passkey: domain::Passkey) -> Self {
        let domain::Passkey { id, name, created, used, .. } = passkey;
        Self {
            id: id.to_string(),
            name: name.as_str().to_owned(),
            created: rfc3339(created),
            used: used.map(rfc3339),
        }
    }
}

/// The challenge for the browser, and the state to send back with the response.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct PasskeyPrompt {
    challenge: String,
    options: crate::webauthn::Options,
    expires: String,
}

impl From<passkeys::PasskeyPrompt> for PasskeyPrompt {
    fn from(asked: passkeys::PasskeyPrompt) -> Self {
        let passkeys::PasskeyPrompt { challenge, options, expires } = asked;
        Self { challenge, options, expires: rfc3339(expires) }
    }
}
