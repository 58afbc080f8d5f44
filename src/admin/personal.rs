//! `/members/{id}/erase`, `/members/{id}/data`, `/me/data` and `/members/review`: personal data,
//! and the access review.

use super::call::{Answer, Call};
use super::wire::{self, Changed, List};
use crate::flows::{personal, review};
use crate::http::Reply;

pub(super) async fn erase(call: &mut Call<'_>) -> Answer {
    let id = call.member_id()?;
    let caller = call.caller().await?;
    let done = personal::erase(call.app, caller, id.clone()).await?;
    let erasure = wire::Erasure::of(&id, done.value);
    Ok(Reply::json_of(&Changed::new(erasure, done.revision)))
}

pub(super) async fn of_member(call: &mut Call<'_>) -> Answer {
    let id = call.member_id()?;
    let caller = call.caller().await?;
    let data = personal::of_member(call.app, caller, &id).await?;
    Ok(Reply::json_of(&wire::MemberData::of(call.app, data, None)))
}

pub(super) async fn own(call: &mut Call<'_>) -> Answer {
    let signed_in = call.signed_in()?;
    let data = personal::own(call.app, &signed_in).await?;
    Ok(Reply::json_of(&wire::MemberData::of(call.app, data, Some(signed_in.session()))))
}

pub(super) async fn review(call: &mut Call<'_>) -> Answer {
    let caller = call.caller().await?;
    let found = review::review(call.app, caller).await?;
    Ok(Reply::json_of(&List::<wire::Finding>::whole(found)))
}
