//! Passkeys: challenges for authenticators (Web Authentication), and the verification of their
//! responses.
//!
//! Identifies the console by its configured URL, never by what a request says. Stateless: the state
//! of a challenge goes back to the caller, which encrypts it. Never logs a response.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use webauthn_rs::prelude::{
    CredentialID, PublicKeyCredential, RegisterPublicKeyCredential, SecurityKey,
    SecurityKeyAuthentication, SecurityKeyRegistration, Url, Uuid, WebauthnError,
};
use webauthn_rs::{Webauthn, WebauthnBuilder};

use crate::domain::passkey::{passkey_unverified, wrong_passkey};
use crate::domain::{Digest, Failure, Kind, Member, Passkey, PasskeyId, limits};

/// The relying party's name, as authenticators show it.
const NAME: &str = "KWIC";

/// The console as relying party: its host is the relying party id, and responses must come from its
/// origin.
#[derive(Debug)]
pub struct RelyingParty(Webauthn);

/// The options of a request in the JSON form of Web Authentication Level 3 section 5.1: an object
/// whose `publicKey` is for `PublicKeyCredential.parseCreationOptionsFromJSON` or
/// `parseRequestOptionsFromJSON`.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct Options(serde_json::Value);

impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A challenge for an authenticator.
#[derive(Debug)]
pub struct PasskeyChallenge {
    /// For the browser.
    pub options: Options,
    /// The state for the verification of the response. A caller who could change it could have any
    /// response accepted.
    pub state: Vec<u8>,
}

/// A credential that an authenticator created.
#[derive(Debug)]
pub struct NewCredential {
    /// Its id.
    pub id: PasskeyId,
    /// What is stored of it.
    pub credential: Vec<u8>,
}

/// A verified response.
#[derive(Debug)]
pub struct VerifiedAnswer {
    /// The passkey.
    pub id: PasskeyId,
    /// The credential before the response.
    pub before: Vec<u8>,
    /// The credential with the counter and the flags of the response.
    pub after: Vec<u8>,
}

/// A response that is refused.
#[derive(Debug)]
pub enum PasskeyRefusal {
    /// Not a valid response, or an error of this side.
    Failed(Failure),
    /// Not a response of one of these passkeys to this challenge.
    Wrong,
    /// Without user verification (PIN, fingerprint or face), which this passkey has done before.
    Unverified,
    /// Its counter went back: the passkey may have been copied.
    Copied(PasskeyId),
}

impl RelyingParty {
    /// The console at its own URL, with or without a path.
    ///
    /// # Errors
    /// `Conflict` `passkeys_not_offered`, where that is no name that a browser trusts: passkeys
    /// need `https`, or `http` to `localhost`, and no bare IP address (Web Authentication Level 3,
    /// section 5.1.3: the relying party id is a domain).
    pub fn at(base: &str) -> Result<Self, Failure> {
        Self::build(base).ok_or_else(not_offered)
    }

    fn build(base: &str) -> Option<Self> {
        let url = Url::parse(base).ok()?;
        let host = url.domain()?;
        if url.scheme() != "https" && host != "localhost" {
            return None;
        }
        // Neither subdomains nor other ports: the builder refuses both unless they are allowed.
        let origin = Url::parse(&url.origin().ascii_serialization()).ok()?;
        let builder = WebauthnBuilder::new(host, &origin).ok()?;
        builder.rp_name(NAME).timeout(limits::PASSKEY_LIFETIME).build().ok().map(Self)
    }

    /// A challenge for a new credential, for an authenticator that has none of these.
    ///
    /// # Errors
    /// `Internal`, when a credential that is kept cannot be read.
    pub fn ask_new(&self, member: &Member, known: &[Passkey]) -> Result<PasskeyChallenge, Failure> {
        let known: Vec<SecurityKey> = read_all(known)?;
        let known: Vec<CredentialID> = known.iter().map(|key| key.cred_id().clone()).collect();
        let (handle, email, name) =
            (user_handle(member), member.email.as_str(), member.full_name());
        // The crate's kind for a second factor: user verification is preferred, presence is
        // required. Any kind of authenticator is accepted, so the hint for security keys is
        // removed.
        let asked =
            self.0.start_securitykey_registration(handle, email, &name, Some(known), None, None);
        let (mut options, state) = asked.map_err(broken)?;
        options.public_key.hints = None;
        // Nothing of the extensions is stored; and Chromium refuses one of them, credential
        // protection, if user verification is not required.
        options.public_key.extensions = None;
        question(&options, &state)
    }

    /// Verifies the response to [`Self::ask_new`].
    ///
    /// # Errors
    /// [`PasskeyRefusal::Wrong`]; [`PasskeyRefusal::Failed`] with `Invalid` `credential`, for what is no answer,
    /// and for a credential above [`limits::PASSKEY_BYTES_MAX`].
    pub fn judge_new(&self, state: &[u8], answer: &str) -> Result<NewCredential, PasskeyRefusal> {
        let state: SecurityKeyRegistration = own(state).map_err(PasskeyRefusal::Failed)?;
        let answer: RegisterPublicKeyCredential = read(answer)?;
        let made = self.0.finish_securitykey_registration(&answer, &state);
        let key = made.map_err(|fault| refused(&fault))?;
        let credential = written(&key).map_err(PasskeyRefusal::Failed)?;
        if credential.len() > limits::PASSKEY_BYTES_MAX {
            return Err(PasskeyRefusal::Failed(unreadable(
                "its credential is too large to be kept",
            )));
        }
        Ok(NewCredential { id: PasskeyId::of_credential(key.cred_id().as_slice()), credential })
    }

    /// A challenge for any of these passkeys.
    ///
    /// # Errors
    /// `Internal`, when a credential that is kept cannot be read.
    pub fn ask(&self, known: &[Passkey]) -> Result<PasskeyChallenge, Failure> {
        let asked = self.0.start_securitykey_authentication(&read_all(known)?);
        let (mut options, state) = asked.map_err(broken)?;
        options.public_key.hints = None;
        question(&options, &state)
    }

    /// Verifies the response to [`Self::ask`].
    ///
    /// # Errors
    /// [`PasskeyRefusal::Wrong`], [`PasskeyRefusal::Copied`]; [`PasskeyRefusal::Failed`] with `Invalid` `credential`, for
    /// what is no answer.
    pub fn judge(
        &self,
        state: &[u8],
        answer: &str,
        known: &[Passkey],
    ) -> Result<VerifiedAnswer, PasskeyRefusal> {
        let state: SecurityKeyAuthentication = own(state).map_err(PasskeyRefusal::Failed)?;
        let answer: PublicKeyCredential = read(answer)?;
        let id = PasskeyId::of_credential(answer.get_credential_id());
        let passkey = known.iter().find(|passkey| passkey.id == id).ok_or(PasskeyRefusal::Wrong)?;
        let result = match self.0.finish_securitykey_authentication(&answer, &state) {
            Ok(result) => result,
            Err(WebauthnError::UserNotVerified) => return Err(PasskeyRefusal::Unverified),
            Err(WebauthnError::CredentialPossibleCompromise) => {
                return Err(PasskeyRefusal::Copied(id));
            }
            Err(fault) => return Err(refused(&fault)),
        };
        let mut key: SecurityKey = own(&passkey.credential).map_err(PasskeyRefusal::Failed)?;
        key.update_credential(&result).ok_or(PasskeyRefusal::Wrong)?;
        let after = written(&key).map_err(PasskeyRefusal::Failed)?;
        Ok(VerifiedAnswer { id, before: passkey.credential.clone(), after })
    }
}

/// The user handle: does not identify the person (Web Authentication Level 3, section 14.6.1).
fn user_handle(member: &Member) -> Uuid {
    let (account, id) = (member.account.as_str(), member.id.as_str());
    let Digest(digest) = Digest::of(&[b"user handle", account.as_bytes(), id.as_bytes()]);
    Uuid::from_bytes(digest.first_chunk().copied().unwrap_or_default())
}

fn question(options: &impl Serialize, state: &impl Serialize) -> Result<PasskeyChallenge, Failure> {
    let options = Options(serde_json::to_value(options).map_err(broken)?);
    Ok(PasskeyChallenge { options, state: written(state)? })
}

fn written(value: &impl Serialize) -> Result<Vec<u8>, Failure> {
    serde_json::to_vec(value).map_err(broken)
}

/// Parses stored state.
fn own<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(bytes).map_err(broken)
}

fn read_all<T: DeserializeOwned>(known: &[Passkey]) -> Result<Vec<T>, Failure> {
    known.iter().map(|passkey| own(&passkey.credential)).collect()
}

/// Parses a browser's response. Unknown keys are ignored: browsers may send more than an earlier
/// standard defined.
fn read<'a, T: Deserialize<'a>>(answer: &'a str) -> Result<T, PasskeyRefusal> {
    if answer.len() > limits::PASSKEY_ANSWER_BYTES_MAX {
        return Err(PasskeyRefusal::Failed(unreadable("it is too long for one")));
    }
    serde_json::from_str(answer)
        .map_err(|fault| PasskeyRefusal::Failed(unreadable(&fault.to_string())))
}

fn refused(fault: &WebauthnError) -> PasskeyRefusal {
    tracing::info!(%fault, "the answer of an authenticator was refused");
    PasskeyRefusal::Wrong
}

fn broken(fault: impl std::fmt::Display) -> Failure {
    Failure::internal(format!("a passkey cannot be worked with: {fault}"))
}

/// The input that holds an authenticator's answer.
pub const ANSWER_FIELD: &str = "credential";

fn unreadable(why: &str) -> Failure {
    Failure::invalid(
        ANSWER_FIELD,
        format!(
            "this is not what an authenticator answers ({why}): send the `toJSON()` of what `navigator.credentials` gave"
        ),
    )
}

/// The code of the refusal where the address of the console permits no passkeys.
pub const NOT_OFFERED: &str = "passkeys_not_offered";

fn not_offered() -> Failure {
    Failure::new(
        Kind::Conflict,
        NOT_OFFERED,
        "passkeys need a name that browsers trust: have `console.public_url` set to the console's `https` address with a host name in it, not a bare IP address",
    )
}

impl From<PasskeyRefusal> for Failure {
    fn from(refusal: PasskeyRefusal) -> Self {
        match refusal {
            PasskeyRefusal::Failed(failure) => failure,
            PasskeyRefusal::Wrong => wrong_passkey(),
            PasskeyRefusal::Unverified => passkey_unverified(),
            PasskeyRefusal::Copied(_) => Self::new(
                Kind::Denied,
                "passkey_copied",
                "this passkey may have been copied, so it was refused: sign in with a code, remove it, and choose a new password",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passkeys_are_offered_at_names_that_browsers_trust() {
        for base in [
            "https://team.example.org",
            "https://team.example.org:8443/console",
            "http://localhost:8080",
            "https://localhost",
        ] {
            RelyingParty::at(base).unwrap();
        }
        for base in [
            "https://192.0.2.7",
            "https://[2001:db8::1]/console",
            "http://127.0.0.1:8080",
            "http://team.example.org",
            "http://localhost.example.org",
            "team.example.org",
            "data:,x",
            "",
        ] {
            let failure = RelyingParty::at(base).unwrap_err();
            assert_eq!(
                (failure.kind, failure.code),
                (Kind::Conflict, "passkeys_not_offered"),
                "{base}"
            );
        }
    }
}
