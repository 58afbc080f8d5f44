//! `/warnings`: what the operator of the sidecar should fix.

use super::call::{Answer, Call};
use super::wire::{self, List};
use crate::flows::warnings;
use crate::http::Reply;

pub(super) async fn list(call: &mut Call<'_>) -> Answer {
    let permit = call.operator()?;
    let all = warnings::all(call.app, &permit).await;
    Ok(Reply::json_of(&List::<wire::Warning>::whole(all)))
}
