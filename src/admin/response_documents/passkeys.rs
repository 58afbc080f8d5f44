//! Passkeys as their owner sees them, and the challenges for their authenticators.

use serde::Serialize;

use crate::clock::rfc3339;
use crate::domain;
use crate::services::passkeys;

document! {
    /// One passkey, without its key.
    pub(in crate::admin) struct Passkey from(passkey: domain::Passkey) {
        id: String = passkey.id.to_string(),
        name: String = passkey.name.as_str().to_owned(),
        created: String = rfc3339(passkey.created),
        used: Option<String> = passkey.used.map(rfc3339),
    }
}

document! {
    /// The challenge for the browser, and the state to send back with the response.
    pub(in crate::admin) struct PasskeyPrompt from(asked: passkeys::PasskeyPrompt) {
        challenge: String = asked.challenge,
        options: crate::webauthn::Options = asked.options,
        expires: String = rfc3339(asked.expires),
    }
}
