//! `/audit`: who did what when, and whether the chains hold.

use super::Call;
use super::wire::{self, List};
use crate::domain::{AuditEvent, Failure, MemberId};
use crate::flows::audit;
use crate::http::Reply;
use crate::store::AuditFilter;

/// The events, each with its name.
fn events() -> [(&'static str, AuditEvent); AuditEvent::ALL.len()] {
    AuditEvent::ALL.map(|event| (event.as_str(), event))
}

pub(super) async fn list(mut call: Call<'_>) -> Result<Reply, Failure> {
    let app = call.app;
    let of_store = call.params.one_of("chain", &[("store", ())]).is_some();
    let filter = AuditFilter {
        member: call.params.read_as("member", MemberId::parse).map(|id| id.to_string()),
        event: call.params.one_of("event", &events()),
    };
    let after = call.params.read_as("after", sequence);
    let limit = call.params.limit();
    // The store's chain is no account's, so that `account` beside it is a fault.
    let page = if of_store {
        let permit = call.store_permit()?;
        audit::list_store(app, &permit, &filter, after, limit).await?
    } else {
        let permit = call.permit().await?;
        audit::list(app, &permit, &filter, after, limit).await?
    };
    Ok(Reply::json_of(&List::<wire::Entry>::from(page)))
}

fn sequence(text: &str) -> Result<u64, Failure> {
    text.parse().map_err(|_| {
        Failure::invalid("after", "`after` is not where a page ends: send the `next` of the page")
    })
}

/// One account's chain where one is named, else every chain.
pub(super) async fn verify(call: Call<'_>) -> Result<Reply, Failure> {
    let app = call.app;
    let reports = if call.params.names("account") {
        let permit = call.permit().await?;
        vec![audit::verify(app, &permit).await?]
    } else {
        let permit = call.store_permit()?;
        audit::verify_all(app, &permit).await?
    };
    Ok(Reply::json_of(&List::<wire::Chain>::whole(reports)))
}
