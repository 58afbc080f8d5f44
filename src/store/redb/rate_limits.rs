//! Rate limits with fixed windows, counted in the transaction that they limit.
//!
//! A refused request does not count. Knows the limits, not the callers.

use super::StoreError;
use super::expiry_schedule::{self, time_after};
use super::row_reads::TableRead;
use super::running_change::ChangeTransaction;
use super::tables::RATES;
use crate::domain::{AccountSlug, Actor, Email, Failure, Timestamp, limits, plural};
use crate::store::preconditions::TOO_MANY_INVITES;

/// A maximum count in a window.
struct RateLimit {
    most: u64,
    window_ms: i64,
}

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

const OF_ACCOUNT: RateLimit =
    RateLimit { most: limits::INVITES_OF_ACCOUNT_A_DAY, window_ms: DAY_MS };
const BY_INVITER: RateLimit =
    RateLimit { most: limits::INVITES_BY_INVITER_AN_HOUR, window_ms: HOUR_MS };
const TO_ADDRESS: [RateLimit; 2] = [
    RateLimit { most: limits::INVITES_TO_ADDRESS_A_DAY, window_ms: DAY_MS },
    RateLimit { most: limits::INVITES_TO_ADDRESS_A_MINUTE, window_ms: MINUTE_MS },
];

/// Counts one more link to an address. The operator of the sidecar has only the limit of the
/// address.
pub(super) fn invite(
    change: &ChangeTransaction<'_>,
    actor: &Actor,
    account: &AccountSlug,
    email: &Email,
) -> Result<(), StoreError> {
    let refuse = |until: Option<Timestamp>, what: String| match until {
        Some(until) => Err(too_many(change, &what, until)),
        None => Ok(()),
    };
    if !matches!(actor, Actor::Sidecar { .. }) {
        let full = count(change, &OF_ACCOUNT, &format!("account\0{account}"))?;
        refuse(full, format!("this account has sent {} invites in a day", OF_ACCOUNT.most))?;
        // A member's tokens count as the member: otherwise each would have its own limit.
        let inviter = match actor.member() {
            Some(member) => Actor::Member(member.clone()).label(),
            None => actor.label(),
        };
        let full = count(change, &BY_INVITER, &format!("inviter\0{inviter}"))?;
        refuse(full, format!("you have sent {} invites in an hour", BY_INVITER.most))?;
    }
    for (bound, key) in TO_ADDRESS.iter().zip(of_address(account, email.key())) {
        let full = count(change, bound, &key)?;
        refuse(full, format!("`{email}` was sent an invite too often lately"))?;
    }
    Ok(())
}

/// The key of an address.
pub(super) fn of_address(account: &AccountSlug, email_key: &str) -> [String; 2] {
    TO_ADDRESS
        .map(|RateLimit { window_ms, .. }| format!("address\0{window_ms}\0{account}\0{email_key}"))
}

/// Counts one more; at the limit, counts none and returns until when.
fn count(
    change: &ChangeTransaction<'_>,
    bound: &RateLimit,
    key: &str,
) -> Result<Option<Timestamp>, StoreError> {
    let mut rates = change.tx.open_table(RATES)?;
    let found = rates.get(key)?.map(|found| found.value());
    // A window that begins in the future was begun before the clock was set back.
    let is_running = |(start, _): &(i64, u64)| {
        (*start..start.saturating_add(bound.window_ms)).contains(&change.now.0)
    };
    let (start, times) = found.filter(is_running).unwrap_or((change.now.0, 0));
    let until = time_after(Timestamp(start), bound.window_ms);
    if times >= bound.most {
        return Ok(Some(until));
    }
    rates.insert(key, (start, times.saturating_add(1)))?;
    drop(rates);
    if times == 0 {
        // By then the longest window is over, whichever this one is.
        expiry_schedule::schedule(
            change,
            time_after(Timestamp(start), DAY_MS),
            expiry_schedule::ExpiringKind::Rate,
            key,
        )?;
    }
    Ok(None)
}

fn too_many(change: &ChangeTransaction<'_>, what: &str, until: Timestamp) -> Failure {
    let wait_ms = u64::try_from(until.0.saturating_sub(change.now.0)).unwrap_or(0);
    let seconds = wait_ms.div_ceil(1_000);
    let wait = match seconds {
        0..=90 => plural(seconds, "second", "seconds"),
        91..=5_400 => plural(seconds.div_ceil(60), "minute", "minutes"),
        _ => plural(seconds.div_ceil(3_600), "hour", "hours"),
    };
    Failure::too_many(
        TOO_MANY_INVITES,
        format!("nothing was sent, because {what}: try again in {wait}"),
        seconds,
    )
}

/// Deletes a window that is over, unless a new one began since.
pub(super) fn forget(
    change: &ChangeTransaction<'_>,
    key: &str,
) -> Result<Option<Timestamp>, StoreError> {
    let mut rates = change.tx.open_table(RATES)?;
    let Some((start, _)) = rates.get(key)?.map(|found| found.value()) else { return Ok(None) };
    let over = time_after(Timestamp(start), DAY_MS);
    if change.now < over {
        return Ok(Some(over));
    }
    rates.remove(key)?;
    Ok(None)
}
