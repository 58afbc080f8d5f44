//! The event stream of an open page: announces changes of the team to viewers who may see it; its
//! end means that the session is over.

use super::page_request::{PageRequest, PageResult};
use crate::http::Reply;
use crate::services::member_event_stream::{self, Event};

/// The path below the base path.
pub(super) const PATH: &str = "/live";

pub(super) async fn follow(call: &mut PageRequest<'_>) -> PageResult {
    let viewer = call.viewer().await?;
    let (told, place) = member_event_stream::follow(call.app, viewer.signed_in)?;
    Ok(Reply::events(told, place, |event| match event {
        // A page of an earlier revision lacks what changed before the stream, or while it was broken.
        Event::Begins(revision) => format!("event: begins\ndata: {}\n\n", revision.0).into(),
        // A comment: the page learns that the connection is alive.
        Event::Beat => ":\n\n".into(),
        _ => "event: changed\ndata:\n\n".into(),
    }))
}
