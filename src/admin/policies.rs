//! `/policies`: the live policy set, a preview of what the folder would change, and a reload.

use super::call::{Answer, Call, Who};
use super::wire;
use crate::domain::Failure;
use crate::flows::permit::{Permit, StorePermit};
use crate::flows::reload;
use crate::flows::rights::Right;
use crate::http::Reply;

pub(super) async fn show(call: &mut Call<'_>) -> Answer {
    match call.who {
        Some(Who::Member(_) | Who::Token(_)) => {
            let caller = call.caller().await?;
            Permit::authorize(call.app, caller, [Right::VIEW_SETTINGS]).await?;
        }
        _ => drop(call.operator()?),
    }
    let (live, status) = (call.app.policies.load(), call.app.policy_status.load());
    Ok(Reply::json_of(&wire::Policies::new(&live, &status)))
}

pub(super) async fn check(call: &mut Call<'_>) -> Answer {
    let permit = managing(call).await?;
    Ok(Reply::json_of(&wire::Reload::from(reload::check(call.app, &permit).await?)))
}

pub(super) async fn reload(call: &mut Call<'_>) -> Answer {
    let permit = managing(call).await?;
    let report = reload::now(call.app, permit).await?;
    Ok(Reply::json_of(&wire::Reload::from(report)))
}

async fn managing(call: &mut Call<'_>) -> Result<StorePermit, Failure> {
    match call.who {
        Some(Who::Member(_) | Who::Token(_)) => {
            let caller = call.caller().await?;
            StorePermit::managing_policies(call.app, caller).await
        }
        _ => call.operator(),
    }
}
