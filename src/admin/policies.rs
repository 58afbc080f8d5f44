//! `/policies`: which set is live, and the command to load the folder again.

use super::Call;
use super::wire;
use crate::domain::Failure;
use crate::flows::reload;
use crate::http::Reply;

pub(super) fn show(call: Call<'_>) -> Result<Reply, Failure> {
    let app = call.app;
    call.store_permit()?;
    let (live, status) = (app.policies.load(), app.policy_status.load());
    Ok(Reply::json_of(&wire::Policies::new(&live, &status)))
}

pub(super) async fn reload(call: Call<'_>) -> Result<Reply, Failure> {
    let app = call.app;
    let permit = call.store_permit()?;
    let report = reload::now(app, permit).await?;
    Ok(Reply::json_of(&wire::Reload::from(report)))
}
