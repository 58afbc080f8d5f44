//! An authenticator that can be told what to claim, and signs it: for invalid responses that a
//! manipulated valid one could not produce.
//!
//! Written from the standard (Web Authentication Level 3, sections 5.8.1, 6.1 and 6.5.1), without
//! the code under test.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// Flags of authenticator data.
pub const PRESENT: u8 = 0x01;
pub const VERIFIED: u8 = 0x04;
pub const BACKUP_ELIGIBLE: u8 = 0x08;
pub const BACKED_UP: u8 = 0x10;
const ATTESTED: u8 = 0x40;

/// One credential on one device.
#[derive(Clone)]
pub struct VirtualAuthenticator {
    pub id: Vec<u8>,
    key: SigningKey,
}

/// What it says: the truth, or something else in one place.
#[derive(Clone, Debug)]
pub struct Says {
    pub kind: &'static str,
    pub challenge: String,
    pub origin: String,
    pub relying_party: String,
    pub cross_origin: bool,
    pub flags: u8,
    pub counter: u32,
    pub algorithm: u8,
}

/// -7 in CBOR: ES256.
pub const ES256: u8 = 0x26;

impl Says {
    /// The truth, at this origin, about what was asked: made at its first count, asked at its second.
    pub fn truly(kind: &'static str, origin: &str, options: &Value) -> Self {
        let asked = &options["publicKey"];
        let relying_party = asked["rp"]["id"].as_str().or_else(|| asked["rpId"].as_str());
        Self {
            kind,
            challenge: asked["challenge"].as_str().unwrap().to_owned(),
            origin: origin.to_owned(),
            relying_party: relying_party.unwrap().to_owned(),
            cross_origin: false,
            flags: PRESENT,
            counter: if asked["rp"].is_null() { 2 } else { 1 },
            algorithm: ES256,
        }
    }

    fn client_data(&self) -> Vec<u8> {
        let data = json!({"type": self.kind, "challenge": self.challenge,
            "origin": self.origin, "crossOrigin": self.cross_origin});
        data.to_string().into_bytes()
    }

    fn head(&self, flags: u8) -> Vec<u8> {
        let mut data = Sha256::digest(self.relying_party.as_bytes()).to_vec();
        data.push(flags);
        data.extend(self.counter.to_be_bytes());
        data
    }
}

impl VirtualAuthenticator {
    pub fn new(number: u8) -> Self {
        let key = SigningKey::from_slice(&[number; 32]).unwrap();
        Self { id: vec![number; 24], key }
    }

    /// The same key under another credential id.
    pub fn named(self, id: &[u8]) -> Self {
        Self { id: id.to_vec(), ..self }
    }

    /// The answer to `navigator.credentials.create`.
    pub fn makes(&self, says: &Says) -> Value {
        let mut data = says.head(says.flags | ATTESTED);
        data.extend([0; 16]);
        data.extend(u16::try_from(self.id.len()).unwrap().to_be_bytes());
        data.extend(&self.id);
        data.extend(self.public_key(says.algorithm));
        // {"fmt": "none", "attStmt": {}, "authData": data}
        let mut object = b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x59".to_vec();
        object.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        object.extend(data);
        self.answers(&json!({
            "attestationObject": text(&object),
            "clientDataJSON": text(&says.client_data()),
            "transports": ["usb"],
        }))
    }

    /// The answer to `navigator.credentials.get`.
    pub fn signs(&self, says: &Says) -> Value {
        let (data, client) = (says.head(says.flags), says.client_data());
        let signed = [data.as_slice(), &Sha256::digest(&client)].concat();
        let signature: Signature = self.key.sign(&signed);
        self.answers(&json!({
            "authenticatorData": text(&data),
            "clientDataJSON": text(&client),
            "signature": text(signature.to_der().as_bytes()),
            "userHandle": null,
        }))
    }

    fn answers(&self, response: &Value) -> Value {
        json!({"id": text(&self.id), "rawId": text(&self.id), "type": "public-key",
            "response": response, "clientExtensionResults": {},
            "authenticatorAttachment": "cross-platform"})
    }

    /// A COSE key (RFC 9053 section 7.1.1): {1: 2, 3: algorithm, -1: 1, -2: x, -3: y}.
    fn public_key(&self, algorithm: u8) -> Vec<u8> {
        let point = self.key.verifying_key().to_sec1_point(false);
        let point = point.as_bytes();
        let mut key = vec![0xa5, 0x01, 0x02, 0x03, algorithm, 0x20, 0x01, 0x21, 0x58, 0x20];
        key.extend(&point[1..33]);
        key.extend([0x22, 0x58, 0x20]);
        key.extend(&point[33..]);
        key
    }
}

/// Base64url without padding.
pub fn text(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Bends one bit of a member of the response.
pub fn bent(mut answer: Value, member: &str, from_end: usize) -> Value {
    let mut bytes = URL_SAFE_NO_PAD.decode(answer["response"][member].as_str().unwrap()).unwrap();
    let place = bytes.len() - 1 - from_end;
    bytes[place] ^= 1;
    answer["response"][member] = text(&bytes).into();
    answer
}
