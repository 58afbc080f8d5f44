//! SMTP authentication: PLAIN (RFC 4616), LOGIN, and XOAUTH2 as Microsoft 365 and Google require.
//!
//! Chooses the mechanism and produces its messages. `smtp` checks that the connection is encrypted.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::smtp_replies::{SmtpConversation, SmtpError, SmtpReply};

/// The credential.
#[derive(Clone, Copy)]
pub(super) enum SmtpSecret<'a> {
    Password(&'a str),
    Token(&'a str),
}

/// An authentication mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AuthMechanism {
    Plain,
    Login,
    XOauth2,
}

/// The mechanism for a server with this greeting; `None` if it offers no suitable one.
pub(super) fn chosen(hello: &SmtpReply, by_token: bool) -> Option<AuthMechanism> {
    let offered = hello.offers("AUTH").unwrap_or_default();
    let is_offered = |name: &str| offered.iter().any(|word| word.eq_ignore_ascii_case(name));
    let known: &[(&str, AuthMechanism)] = if by_token {
        &[("XOAUTH2", AuthMechanism::XOauth2)]
    } else {
        &[("PLAIN", AuthMechanism::Plain), ("LOGIN", AuthMechanism::Login)]
    };
    known.iter().find(|(name, _)| is_offered(name)).map(|(_, mechanism)| *mechanism)
}

/// The mechanisms that a server offers, for messages.
pub(super) fn offered(hello: &SmtpReply, by_token: bool) -> String {
    let wanted = if by_token { "XOAUTH2" } else { "PLAIN or LOGIN" };
    match hello.offers("AUTH").unwrap_or_default().join(", ") {
        none if none.is_empty() => format!("it offers none, and {wanted} is needed"),
        some => format!("it offers {some}, and {wanted} is needed"),
    }
}

/// The credential in all forms in which it is transmitted, for redaction.
pub(super) fn secrets(user: &str, proof: SmtpSecret<'_>) -> Vec<String> {
    let (secret, whole) = match proof {
        SmtpSecret::Password(password) => (password, plain(user, password)),
        SmtpSecret::Token(token) => (token, bearer(user, token)),
    };
    vec![whole, STANDARD.encode(secret), secret.to_owned()]
}

fn plain(user: &str, password: &str) -> String {
    STANDARD.encode(format!("\0{user}\0{password}"))
}

fn bearer(user: &str, token: &str) -> String {
    STANDARD.encode(format!("user={user}\x01auth=Bearer {token}\x01\x01"))
}

pub(super) async fn sign_in(
    talk: &mut SmtpConversation,
    mechanism: AuthMechanism,
    user: &str,
    proof: SmtpSecret<'_>,
) -> Result<SmtpReply, SmtpError> {
    let (SmtpSecret::Password(secret) | SmtpSecret::Token(secret)) = proof;
    let reply = match mechanism {
        AuthMechanism::Plain => {
            talk.command(format!("AUTH PLAIN {}\r\n", plain(user, secret))).await?
        }
        AuthMechanism::Login => {
            // It asks for the user first, then for the password, in varying words.
            let mut reply = talk.command("AUTH LOGIN\r\n").await?;
            for part in [user, secret] {
                if reply.code == 334 {
                    reply = talk.command(format!("{}\r\n", STANDARD.encode(part))).await?;
                }
            }
            reply
        }
        AuthMechanism::XOauth2 => {
            let first = format!("AUTH XOAUTH2 {}\r\n", bearer(user, secret));
            match talk.command(first).await? {
                // The error details come first; after an empty response the server refuses.
                reply if reply.code == 334 => talk.command("\r\n").await?,
                reply => reply,
            }
        }
    };
    // More was asked for than there is.
    if reply.code >= 300 { Err(SmtpError::NotSmtp) } else { Ok(reply) }
}
