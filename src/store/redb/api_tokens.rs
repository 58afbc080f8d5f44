//! API tokens in the embedded backend.
//!
//! Every token that is created or ends is published to the subscribers with the same change, and
//! every end that somebody causes has its audit entry.

use std::collections::BTreeSet;

use redb::{ReadTransaction, ReadableTable};

use super::rows::Rows;
use super::transition::{Ends, Transition};
use super::{
    API_TOKENS, API_TOKENS_BY_MEMBER, Fault, RedbStore, guards, leaving, members, two_step,
};
use crate::clock;
use crate::domain::api_token::unknown;
use crate::domain::{
    AccountSlug, Actor, ApiToken, ApiTokenId, AuditDetail, AuditEvent, Failure, Kind, Member,
    MemberId, RoleId, Row, Timestamp, limits,
};
use crate::store::api_tokens::{Maker, NewApiToken};
use crate::store::by::moved_on;
use crate::store::record::api_tokens::{decode_api_token, encode_api_token};
use crate::store::{By, Committed, Page};

impl RedbStore {
    pub(in crate::store) async fn api_token_create(
        &self,
        by: &By,
        new: NewApiToken,
    ) -> Result<Committed<ApiToken>, Failure> {
        let by = by.clone();
        self.write(&by.actor.clone(), move |change| {
            let NewApiToken { token, maker } = new;
            guards::by(change, &by, &token.account)?;
            still_maker(change, &by, &token, maker)?;
            need_room(change, &token)?;
            change.tx.open_table(API_TOKENS_BY_MEMBER)?.insert(index_key(&token), ())?;
            leaving::note(change, token.expires, leaving::Kind::ApiToken, token.id.as_str())?;
            put(change, &token)?;
            audit(change, AuditEvent::AuthnTokenCreated, &token)?;
            Ok(Ends::Changed(token))
        })
        .await
    }

    pub(in crate::store) async fn api_token(
        &self,
        account: &AccountSlug,
        id: &ApiTokenId,
    ) -> Result<Option<ApiToken>, Failure> {
        let (account, id) = (account.clone(), id.clone());
        self.read(move |tx| Ok(read(tx, id.as_str())?.filter(|token| token.account == account)))
            .await
    }

    pub(in crate::store) async fn api_tokens(
        &self,
        account: &AccountSlug,
        member: Option<&MemberId>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<ApiToken>, Failure> {
        let after = after.map(Cursor::parse).transpose()?;
        let (account, member) = (account.clone(), member.cloned());
        self.read(move |tx| {
            let mut found = of(tx, &account, member.as_ref())?;
            found.sort_by_key(Cursor::of);
            if let Some(after) = &after {
                found.retain(|token| Cursor::of(token) > *after);
            }
            let more = found.len() > limit;
            found.truncate(limit);
            let next = found.last().filter(|_| more).map(|last| Cursor::of(last).text());
            Ok(Page { items: found, next })
        })
        .await
    }

    pub(in crate::store) async fn api_token_revoke(
        &self,
        by: &By,
        account: &AccountSlug,
        id: &ApiTokenId,
    ) -> Result<Committed<ApiToken>, Failure> {
        let (by, account, id) = (by.clone(), account.clone(), id.clone());
        self.write(&by.actor.clone(), move |change| {
            guards::by(change, &by, &account)?;
            let token = read(change.tx, id.as_str())?.filter(|token| token.account == account);
            let token = token.ok_or_else(unknown)?;
            revoke(change, &token)?;
            Ok(Ends::Changed(token))
        })
        .await
    }

    pub(in crate::store) async fn api_tokens_used(
        &self,
        used: Vec<(ApiTokenId, Timestamp)>,
    ) -> Result<Committed<()>, Failure> {
        self.write(&Actor::System, move |change| {
            for (id, at) in used {
                // It may have ended since.
                if let Some(before) = read(change.tx, id.as_str())?
                    && before.used < Some(at)
                {
                    put(change, &ApiToken { used: Some(at), ..before })?;
                }
            }
            Ok(if change.tells() { Ends::Changed(()) } else { Ends::AsItWas(()) })
        })
        .await
    }
}

/// The creator is the one that was checked, unchanged.
fn still_maker(
    change: &mut Transition<'_>,
    by: &By,
    token: &ApiToken,
    maker: Maker,
) -> Result<(), Fault> {
    match (&by.actor, maker) {
        // Only the member itself, never a token of the member: a token cannot create tokens.
        (Actor::Member(id), Maker::Own(shown)) if *id == token.member => {
            let member = members::read(change.tx, id.as_str())?.ok_or_else(moved_on)?;
            two_step::step_up(change, &member, shown)
        }
        (Actor::Sidecar { .. }, Maker::Named(judged)) => {
            guards::acting(change, &token.member, Some(judged), &token.account)
        }
        _ => Err(moved_on().into()),
    }
}

fn need_room(change: &Transition<'_>, token: &ApiToken) -> Result<(), Fault> {
    let own = of(change.tx, &token.account, Some(&token.member))?.len();
    let all = of(change.tx, &token.account, None)?.len();
    let (whose, most) = if own >= limits::API_TOKENS_OF_MEMBER_MAX {
        ("this member", limits::API_TOKENS_OF_MEMBER_MAX)
    } else if all >= limits::API_TOKENS_OF_ACCOUNT_MAX {
        ("this account", limits::API_TOKENS_OF_ACCOUNT_MAX)
    } else {
        return Ok(());
    };
    Err(Failure::new(
        Kind::Conflict,
        "too_many_tokens",
        format!("{whose} has {most} API tokens, and may have no more: revoke one that is not used"),
    )
    .into())
}

/// Whether an acting token is still valid.
pub(super) fn still_acts(
    change: &Transition<'_>,
    id: &ApiTokenId,
    member: &MemberId,
) -> Result<bool, Fault> {
    let found = read(change.tx, id.as_str())?;
    Ok(found.is_some_and(|token| token.member == *member && change.now < token.expires))
}

/// Revokes a member's tokens, except those for roles that the member may still give; returns their
/// number. Expired ones are deleted without being counted.
pub(super) fn revoke_made_by(
    change: &mut Transition<'_>,
    member: &Member,
    keep: &BTreeSet<RoleId>,
) -> Result<u64, Fault> {
    let tokens = of(change.tx, &member.account, Some(&member.id))?;
    revoke_some(change, tokens, |token| keep.contains(&token.role))
}

fn revoke_some(
    change: &mut Transition<'_>,
    tokens: Vec<ApiToken>,
    keeps: impl Fn(&ApiToken) -> bool,
) -> Result<u64, Fault> {
    let mut revoked = 0;
    for token in tokens {
        if change.now >= token.expires {
            end(change, &token)?;
        } else if !keeps(&token) {
            revoke(change, &token)?;
            revoked += 1;
        }
    }
    Ok(revoked)
}

/// Revokes every token; returns their number. Expired ones are deleted without being counted.
pub(super) fn revoke_every(change: &mut Transition<'_>) -> Result<u64, Fault> {
    let mut tokens = Vec::new();
    for row in change.tx.open_table(API_TOKENS)?.iter()? {
        let (id, bytes) = row?;
        tokens.push(decode_api_token(id.value(), bytes.value())?);
    }
    revoke_some(change, tokens, |_| false)
}

fn revoke(change: &mut Transition<'_>, token: &ApiToken) -> Result<(), Fault> {
    end(change, token)?;
    audit(change, AuditEvent::AuthnTokenRevoked, token)
}

/// Deletes an expired token.
pub(super) fn forget(change: &mut Transition<'_>, id: &str) -> Result<Option<Timestamp>, Fault> {
    let Some(token) = read(change.tx, id)? else { return Ok(None) };
    if change.now < token.expires {
        return Ok(Some(token.expires));
    }
    end(change, &token)?;
    Ok(None)
}

fn end(change: &mut Transition<'_>, token: &ApiToken) -> Result<(), Fault> {
    change.tx.open_table(API_TOKENS)?.remove(token.id.as_str())?;
    change.tx.open_table(API_TOKENS_BY_MEMBER)?.remove(index_key(token))?;
    change.tell(Row::ApiTokenGone(token.token));
    Ok(())
}

fn put(change: &mut Transition<'_>, token: &ApiToken) -> Result<(), Fault> {
    let record = encode_api_token(token);
    change.tx.open_table(API_TOKENS)?.insert(token.id.as_str(), record.as_slice())?;
    change.tell(Row::ApiToken(token.clone()));
    Ok(())
}

fn read(rows: &impl Rows, id: &str) -> Result<Option<ApiToken>, Fault> {
    rows.record(API_TOKENS, id, |bytes| decode_api_token(id, bytes))
}

/// Tokens of an account, or of one creator, by creator and then oldest first.
fn of(
    rows: &impl Rows,
    account: &AccountSlug,
    member: Option<&MemberId>,
) -> Result<Vec<ApiToken>, Fault> {
    let index = rows.open(API_TOKENS_BY_MEMBER)?;
    let begin = member.map_or("", MemberId::as_str);
    let mut found = Vec::new();
    for row in index.range((account.as_str(), begin, i64::MIN, "")..)? {
        let (key, _) = row?;
        let (of_account, maker, _, id) = key.value();
        if of_account != account.as_str() || member.is_some_and(|member| member.as_str() != maker) {
            break;
        }
        found.extend(read(rows, id)?);
    }
    Ok(found)
}

fn index_key(token: &ApiToken) -> (&str, &str, i64, &str) {
    (token.account.as_str(), token.member.as_str(), token.created.0, token.id.as_str())
}

/// Reads every token, in no order.
pub(super) fn all(tx: &ReadTransaction, mut each: impl FnMut(ApiToken)) -> Result<(), Fault> {
    for row in tx.open_table(API_TOKENS)?.iter()? {
        let (id, bytes) = row?;
        each(decode_api_token(id.value(), bytes.value())?);
    }
    Ok(())
}

/// The cursor of a page: oldest first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Cursor {
    created: i64,
    id: ApiTokenId,
}

impl Cursor {
    fn of(token: &ApiToken) -> Self {
        Self { created: token.created.0, id: token.id.clone() }
    }

    fn parse(text: &str) -> Result<Self, Failure> {
        let read = || {
            let (created, id) = text.split_once('.')?;
            Some(Self { created: created.parse().ok()?, id: ApiTokenId::parse(id)? })
        };
        read().ok_or_else(|| {
            Failure::invalid(
                "after",
                "`after` is not a valid cursor: use the `next` of the previous page",
            )
        })
    }

    fn text(&self) -> String {
        format!("{}.{}", self.created, self.id)
    }
}

fn audit(change: &Transition<'_>, event: AuditEvent, token: &ApiToken) -> Result<(), Fault> {
    let made = event == AuditEvent::AuthnTokenCreated;
    let field = |name: &str, value: &str| {
        let (name, value) = (name.to_owned(), Some(value.to_owned()));
        if made { (name, None, value) } else { (name, value, None) }
    };
    let fields = vec![
        field("purpose", "api_token"),
        field("token", token.id.as_str()),
        field("name", token.name.as_str()),
        field("role", token.role.as_str()),
        field("expires", &clock::rfc3339(token.expires)),
    ];
    change.audit(token.account.as_str(), event, token.member.as_str(), AuditDetail { fields })
}
