//! `/events`: members of the account that changed or left, as server-sent events (HTML, section
//! 9.2), so that a product can end what it still has open for them.

use tokio::sync::mpsc;

use super::call::{Answer, Call};
use super::wire;
use crate::flows::events::{self, Event};
use crate::http::{Piece, Reply};
use crate::throttle::Place;

/// Buffered pieces for the listener; the flow holds back more.
const PIECES_AHEAD: usize = 1;

pub(super) async fn listen(call: &mut Call<'_>) -> Answer {
    let caller = call.caller().await?;
    let (told, place) = events::listen(call.app, caller).await?;
    let (pieces, receiver) = mpsc::channel(PIECES_AHEAD);
    tokio::spawn(pass_on(told, pieces, place));
    Ok(Reply::events(receiver))
}

/// Until either end is closed. The response then ends normally: the client reconnects. The slot is
/// held until the listener has received the end, or its connection is closed.
async fn pass_on(mut told: mpsc::Receiver<Event>, pieces: mpsc::Sender<Piece>, _place: Place) {
    loop {
        let event = tokio::select! {
            event = told.recv() => event,
            () = pieces.closed() => return,
        };
        let piece = match event {
            Some(event) => Piece::Bytes(wire::event(&event).into()),
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
