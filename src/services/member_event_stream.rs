//! The event stream: members of an account that changed or left, for the product, as it happens.
//!
//! An event is sent only after decisions see the change. A listener that falls behind, whose
//! session has ended or who lost the right is disconnected, and starts again with a full read.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::caller::Caller;
use super::permits::Permit;
use super::rights::Right;
use super::session_auth::{self, SignedIn};
use crate::app::App;
use crate::domain::{
    AccountSlug, Change, ChangedRecord, Failure, Member, MemberId, Revision, limits, plural,
};
use crate::store::change_feed::Follower;
use crate::throttle::ConcurrencyPermit;

/// How often an idle listener is checked, and gets a keep-alive.
const BEAT: Duration = Duration::from_secs(15);

/// After this long a stream without a listener may have ended.
const TRY_AGAIN_SECONDS: u64 = 30;

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// All later changes are sent.
    Begins(Revision),
    /// A member was created or changed.
    MemberChanged(Revision, Box<Member>),
    /// A member was removed.
    MemberRemoved(Revision, MemberId),
    /// A keep-alive.
    Beat,
}

impl Event {
    /// The revision of the change.
    #[must_use]
    pub fn revision(&self) -> Option<Revision> {
        match self {
            Self::Begins(revision)
            | Self::MemberChanged(revision, _)
            | Self::MemberRemoved(revision, _) => Some(*revision),
            Self::Beat => None,
        }
    }
}

/// Starts an event stream of the caller's account. The channel closes when the listener is
/// disconnected; the slot is held while its connection is open.
///
/// # Errors
/// `Denied` `not_allowed`; `TooMany` `too_many_streams`; `Busy`.
pub async fn listen(
    app: &Arc<App>,
    caller: Caller,
) -> Result<(mpsc::Receiver<Event>, ConcurrencyPermit), Failure> {
    let permit = Permit::authorize(app, caller, [Right::VIEW_TEAM]).await?;
    begin(app, EventListener { caller: permit.caller().clone(), is_page: false })
}

/// The same for an open page of a member: it gets changes while its reader may see the team, and
/// continues as long as the session.
///
/// # Errors
/// `TooMany` `too_many_streams`.
pub fn follow(
    app: &Arc<App>,
    signed_in: SignedIn,
) -> Result<(mpsc::Receiver<Event>, ConcurrencyPermit), Failure> {
    begin(app, EventListener { caller: Caller::Member(signed_in), is_page: true })
}

/// A listener, and what it listens to.
struct EventListener {
    caller: Caller,
    /// A page gets changes of the team while its reader may see it; other streams end with that
    /// right.
    is_page: bool,
}

impl EventListener {
    async fn sees_team(&self, app: &App) -> bool {
        Permit::authorize(app, self.caller.clone(), [Right::VIEW_TEAM]).await.is_ok()
    }

    async fn may_listen(&self, app: &App) -> bool {
        match &self.caller {
            Caller::Sidecar { .. } => true,
            Caller::Member(signed_in) if !session_auth::is_live(app, signed_in) => false,
            Caller::Member(_) if self.is_page => true,
            Caller::Member(_) | Caller::Token(_) => self.sees_team(app).await,
        }
    }

    /// Whether a change ends the session that listens.
    fn is_ended_by(&self, change: &Change) -> bool {
        matches!(&self.caller, Caller::Member(signed_in) if signed_in.is_ended_by(change))
    }
}

fn begin(
    app: &Arc<App>,
    listener: EventListener,
) -> Result<(mpsc::Receiver<Event>, ConcurrencyPermit), Failure> {
    let place = place(app, &listener.caller)?;
    let feed = app.store.subscribe();
    let (events, receiver) = mpsc::channel(limits::EVENTS_AHEAD_MAX);
    let _ = events.try_send(Event::Begins(app.directory.revision()));
    let app = Arc::clone(app);
    tokio::spawn(async move { tell(&app, &listener, feed, &events).await });
    Ok((receiver, place))
}

/// A slot for one more stream. Each is a permanent connection, so the streams of a listener, an
/// account and a member are limited.
fn place(app: &App, caller: &Caller) -> Result<ConcurrencyPermit, Failure> {
    let all = (app.config.limits.connections_max / 2).max(1);
    let of_account = limits::STREAMS_OF_ACCOUNT_MAX.min((all / 2).max(1));
    let of_member = limits::STREAMS_OF_MEMBER_MAX.min((all / 4).max(1));
    let of_session = limits::STREAMS_OF_SESSION_MAX.min(of_member);
    let (session, member) = match caller {
        // With its own limit; a caller who may open it may do everything.
        Caller::Sidecar { .. } => {
            let taken = app.streams.take(&[(&[b"sidecar"], all)]);
            return taken.map_err(|_| too_many("the operator of the sidecar has", all));
        }
        Caller::Member(signed_in) => (signed_in.session().as_str(), signed_in.member()),
        Caller::Token(holder) => (holder.id().as_str(), holder.member()),
    };
    let account = caller.account().as_str();
    let bounds: [(&[&[u8]], usize); 4] = [
        (&[b"session", session.as_bytes()], of_session),
        (&[b"member", member.as_str().as_bytes()], of_member),
        (&[b"account", account.as_bytes()], of_account),
        (&[b"all"], all),
    ];
    app.streams.take(&bounds).map_err(|full| match full {
        0 => too_many("this session or API token has", of_session),
        1 => too_many("you have", of_member),
        2 => too_many(&format!("account `{account}` has"), of_account),
        _ => too_many("this sidecar has", all),
    })
}

fn too_many(whose: &str, most: usize) -> Failure {
    let streams = plural(most, "event stream", "event streams");
    let text = format!("{whose} {streams} open, the most allowed: close one first");
    Failure::too_many("too_many_streams", text, TRY_AGAIN_SECONDS)
}

async fn tell(
    app: &App,
    listener: &EventListener,
    mut feed: Follower,
    events: &mpsc::Sender<Event>,
) {
    let mut beat = tokio::time::interval(BEAT);
    beat.reset();
    loop {
        let goes_on = tokio::select! {
            change = feed.recv() => match change {
                Some(change) => tell_change(app, listener, &change, events).await,
                None => false,
            },
            _ = beat.tick() => listener.may_listen(app).await && events.try_send(Event::Beat).is_ok(),
            () = events.closed() => false,
        };
        if !goes_on {
            return;
        }
    }
}

/// Sends the effect of a change on the caller's account; false if the listener is to be
/// disconnected.
async fn tell_change(
    app: &App,
    listener: &EventListener,
    change: &Change,
    events: &mpsc::Sender<Event>,
) -> bool {
    let account = listener.caller.account();
    if change.rows.iter().any(|row| is_import_of(account, row)) {
        // The members of an import are not told one by one: the listener connects again, and reads.
        return false;
    }
    let mut told = change.rows.iter().filter_map(|row| event_of(account, change.revision, row));
    let first = told.next();
    let is_over = listener.is_ended_by(change);
    if first.is_none() && !is_over {
        return true;
    }
    // A listener that asks right after an event must get an answer that includes the change.
    let reached = app.directory.reached(change.revision, BEAT).await;
    if is_over || !reached || !listener.may_listen(app).await {
        return false;
    }
    if listener.is_page && !listener.sees_team(app).await {
        return true;
    }
    // One by one: an import is far larger than a listener's buffer.
    first.into_iter().chain(told).all(|event| events.try_send(event).is_ok())
}

fn is_import_of(account: &AccountSlug, row: &ChangedRecord) -> bool {
    matches!(row, ChangedRecord::Imported { account: whose, .. } if whose == account)
}

fn event_of(account: &AccountSlug, revision: Revision, row: &ChangedRecord) -> Option<Event> {
    match row {
        ChangedRecord::Member(member) if member.account == *account => {
            Some(Event::MemberChanged(revision, Box::new(member.clone())))
        }
        ChangedRecord::MemberGone { id, account: whose } if whose == account => {
            Some(Event::MemberRemoved(revision, id.clone()))
        }
        _ => None,
    }
}
