//! Signing in to a mail server: PLAIN (RFC 4616) and LOGIN.
//!
//! Chooses the way, and gives what is asked for. Whether the connection is safe is `smtp`'s to know.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::place::Login;
use super::talk::{Broken, Reply, Talk};

/// A way to sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mechanism {
    Plain,
    Login,
}

/// The way that is used with a server that greets so; `None` where it offers none that is known.
pub(super) fn chosen(hello: &Reply) -> Option<Mechanism> {
    let offered = hello.offers("AUTH").unwrap_or_default();
    let is_offered = |name: &str| offered.iter().any(|word| word.eq_ignore_ascii_case(name));
    let known = [("PLAIN", Mechanism::Plain), ("LOGIN", Mechanism::Login)];
    known.into_iter().find(|(name, _)| is_offered(name)).map(|(_, mechanism)| mechanism)
}

/// What a server offers, for people.
pub(super) fn offered(hello: &Reply) -> String {
    match hello.offers("AUTH").unwrap_or_default().join(", ") {
        none if none.is_empty() => "it offers none".to_owned(),
        some => format!("it offers {some}"),
    }
}

/// Signs in.
pub(super) async fn sign_in(
    talk: &mut Talk,
    mechanism: Mechanism,
    login: &Login,
) -> Result<Reply, Broken> {
    let Login { user, password, .. } = login;
    let reply = match mechanism {
        Mechanism::Plain => {
            let both = STANDARD.encode(format!("\0{user}\0{password}"));
            talk.command(format!("AUTH PLAIN {both}\r\n")).await?
        }
        Mechanism::Login => {
            // It asks for the user first, then for the password, in words that vary.
            let mut reply = talk.command("AUTH LOGIN\r\n").await?;
            for part in [user, password] {
                if reply.code == 334 {
                    reply = talk.command(format!("{}\r\n", STANDARD.encode(part))).await?;
                }
            }
            reply
        }
    };
    // Asked for more than there is to give.
    if reply.code >= 300 { Err(Broken::NotSmtp) } else { Ok(reply) }
}
