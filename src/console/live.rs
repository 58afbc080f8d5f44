//! The event stream of an open page: announces changes of the team to viewers who may see it; its
//! end means that the session is over.

use tokio::sync::mpsc;

use super::call::{Answer, Call};
use crate::flows::events::{self, Event};
use crate::http::{Piece, Reply};
use crate::throttle::Place;

/// The path below the base path.
pub(super) const PATH: &str = "/live";

/// Buffered pieces for the listener; the flow holds back more.
const PIECES_AHEAD: usize = 1;

pub(super) async fn follow(call: &mut Call<'_>) -> Answer {
    let viewer = call.viewer().await?;
    let (told, place) = events::follow(call.app, viewer.signed_in)?;
    let (pieces, receiver) = mpsc::channel(PIECES_AHEAD);
    tokio::spawn(pass_on(told, pieces, place));
    Ok(Reply::events(receiver))
}

/// Until either end is closed. The slot is held until the listener has received the end, or its
/// connection is closed.
async fn pass_on(mut told: mpsc::Receiver<Event>, pieces: mpsc::Sender<Piece>, _place: Place) {
    loop {
        let event = tokio::select! {
            event = told.recv() => event,
            () = pieces.closed() => return,
        };
        let piece = match event {
            // A comment: tells the page that the connection works.
            Some(Event::Begins(_) | Event::Beat) => Piece::Bytes(":\n\n".into()),
            Some(_) => Piece::Bytes("event: changed\ndata:\n\n".into()),
            None => Piece::Last,
        };
        let last = matches!(piece, Piece::Last);
        if pieces.send(piece).await.is_err() {
            return;
        }
        if last {
            return pieces.closed().await;
        }
    }
}
