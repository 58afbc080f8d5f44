//! Links that carry a token: made, and made again when they are mailed or shown.
//!
//! A token is derived from a key and kept nowhere; the store knows its hash. A new link is made with
//! the letter that carries it.

use std::time::Duration;

use crate::app::App;
use crate::domain::{
    Account, AccountSlug, Digest, Failure, Generation, Invite, InviteId, Kind, LinkId, OneTimeLink,
    Timestamp, Token,
};
use crate::entropy;
use crate::store::requests_and_views::invites::NewInviteLink;
use crate::store::requests_and_views::mail_queue::NewMail;
use crate::store::requests_and_views::one_time_links::NewOneTimeLink;

/// A new link of an invite, with the letter that carries it.
pub(super) fn new_invite_link(
    app: &App,
    account: &Account,
    id: &InviteId,
    generation: Generation,
) -> Result<NewInviteLink, Failure> {
    let key = app.keys.current();
    let token = app
        .keys
        .invite_token(key, &account.slug, id, generation)
        .ok_or_else(|| Failure::internal("the current key derives no token"))?;
    let expires = app.clock.later(account.invite_lifetime.unwrap_or(app.config.invite_lifetime));
    let letter = if app.mailer.sends() { Some(new_letter(app, "invite", expires)?) } else { None };
    Ok(NewInviteLink { generation, key, token: token.hash(), expires, letter })
}

/// The data with which a transaction queues a letter; `what` begins the message id.
pub(super) fn new_letter(app: &App, what: &str, expires: Timestamp) -> Result<NewMail, Failure> {
    let random = Digest::of(&[&entropy::random::<16>()?]).hex();
    let random = random.get(..32).unwrap_or_default().to_owned();
    Ok(NewMail { message_id: format!("{what}-{random}@{}", app.mailer.domain()), expires })
}

/// The valid link of an invite.
///
/// # Errors
/// As [`valid_invite_token`].
pub(super) async fn valid_invite_link(app: &App, invite: &Invite) -> Result<String, Failure> {
    Ok(app.links.to("join", &valid_invite_token(app, invite).await?))
}

/// The valid token of an invite, verified against the store: a new key with the number of a lost
/// one derives another token.
///
/// # Errors
/// `Conflict` `link_key_gone`; `Busy`.
pub(super) async fn valid_invite_token(app: &App, invite: &Invite) -> Result<Token, Failure> {
    let token = app.keys.invite_token(invite.key, &invite.account, &invite.id, invite.generation);
    let token = token.ok_or_else(key_gone)?;
    let found = app.store.invite_by_token(token.hash()).await?;
    let is_it = found.is_some_and(|(known, generation)| {
        known.id == invite.id && generation == invite.generation
    });
    if is_it { Ok(token) } else { Err(key_gone()) }
}

/// A new link, with its letter.
pub(super) fn new_link(
    app: &App,
    account: &AccountSlug,
    lifetime: Duration,
    what: &str,
) -> Result<(NewOneTimeLink, Token), Failure> {
    let id = LinkId::from_random(entropy::random()?);
    let key = app.keys.current();
    let token = app
        .keys
        .link_token(key, account, &id)
        .ok_or_else(|| Failure::internal("the current key derives no token"))?;
    let expires = app.clock.later(lifetime);
    let letter = if app.mailer.sends() { Some(new_letter(app, what, expires)?) } else { None };
    Ok((NewOneTimeLink { id, key, token: token.hash(), expires, letter }, token))
}

/// The valid token of a link of an account, where the store knows it: as with an invite, its key may
/// have been made anew.
///
/// # Errors
/// `Conflict` `link_key_gone`; `Busy`.
pub(super) async fn valid_link_token(
    app: &App,
    account: &AccountSlug,
    link: &OneTimeLink,
) -> Result<Token, Failure> {
    let token = app.keys.link_token(link.key, account, &link.id).ok_or_else(key_gone)?;
    if app.store.link_by_token(token.hash()).await?.is_none_or(|known| known.id != link.id) {
        return Err(key_gone());
    }
    Ok(token)
}

/// The code of a link that cannot be derived again.
pub(super) const KEY_GONE: &str = "link_key_gone";

/// The failure for a link whose key is missing, as after a restore without keys.
fn key_gone() -> Failure {
    Failure::new(
        Kind::Conflict,
        KEY_GONE,
        "this link cannot be shown any more: resend the invite, which creates a new one",
    )
    .logged("its key is missing, as after a restore without the folder `keys`")
}
