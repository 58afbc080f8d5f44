//! Mail delivery: letters are written when they are due and submitted to the mail server, and
//! bounces are matched to them.
//!
//! A letter is claimed under a lease, so that after a crash it is tried again, under the same
//! message id. Its link is derived here and is only in the mail. A fault of the configuration stops
//! the queue and uses up no attempt of a letter.
//!
//! If the mail server received the whole mail and its response is lost, the letter may have
//! arrived. It is sent once more, under the same message id, and then given up: a server that never
//! responds would otherwise get it again and again.

use std::path::Path;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use super::account_and_inviter::inviter;
use super::caller::Caller;
use super::directory_sync;
use super::links::{KEY_GONE, new_letter, valid_invite_token, valid_link_token};
use super::notice_letters::may_write_to;
use super::permits::{Permit, StorePermit};
use super::rights::Right;
use crate::app::App;
use crate::domain::{
    ChangedRecord, DeliveryNotice, DeliveryState, Email, Failure, InviteState, Kind, LinkId,
    LinkPurpose, MailKind, QueuedMail, SendOutcome, Timestamp, Token, email, limits,
};
use crate::entropy;
use crate::mail::{
    self, ActionLink, HandoverFlag, MailBatch, MailContent, Maildir, OutgoingMail, RefusalTracker,
    SendFault, SmtpStep, TestReport, bounce,
};
use crate::store::change_feed::Follower;
use crate::store::requests_and_views::mail_queue::{MailFlow, MailStatus};
use crate::store::{Committed, LOG_AWAY, LOG_UNCLEAR};
use crate::telemetry::log::{self, DueLogLine};
use crate::telemetry::mail_metrics::MailFigures;

/// The pause after a failure of the store.
const REST: Duration = Duration::from_secs(5);
/// The pause after a mail server could not be reached.
const UNREACHED_REST: Duration = Duration::from_secs(30);
/// How often the mail figures are updated.
const QUEUE_EVERY: Duration = Duration::from_secs(5);
/// Part of the detail of a letter that the mail server may have accepted; persists over a restart.
const MAY_HAVE_ARRIVED: &str = "if it arrived already, it comes a second time";
/// How often the folder of bounces is read.
const BOUNCES_EVERY: Duration = Duration::from_secs(30);

/// Sends due letters until the sidecar stops. A letter that the mail server may have accepted is
/// completed and its result saved; any other is left for the next start.
pub async fn deliver(app: Arc<App>, mut feed: Follower) {
    while !*app.stopping.borrow() {
        // Earlier changes are found in the queue itself.
        while feed.try_recv().is_ok() {}
        let rest = match deliver_some(&app).await {
            Ok(DeliveryRound { reached: false, .. }) => UNREACHED_REST,
            Ok(DeliveryRound { tried, .. }) if tried > 0 => continue,
            // Due letters that are left are leased by another node: look again from time to time.
            Ok(_) if app.fleet.is_some() => until_due(&app).await.max(REST),
            Ok(_) => until_due(&app).await,
            Err(failure) => {
                tracing::error!(%failure, "messages could not be read from the queue");
                REST
            }
        };
        tokio::select! {
            () = tokio::time::sleep(rest) => {}
            alive = news(&mut feed), if rest != UNREACHED_REST => if !alive { return },
            () = app.stops() => return,
        }
    }
}

/// Updates the mail figures for the metrics, until the task is ended.
pub async fn watch_queue(app: Arc<App>) {
    while app.mailer.sends() {
        // A store that cannot be read is reported elsewhere.
        let read = (app.store.mail_status(None).await, app.store.mail_waiting().await);
        if let (Ok(status), Ok(accounts)) = read {
            let now = app.clock.now();
            let flows: Vec<MailFlow> = accounts.iter().map(|account| account.flow(now)).collect();
            let count = |is: fn(MailFlow) -> bool| {
                u64::try_from(flows.iter().filter(|flow| is(**flow)).count()).unwrap_or(u64::MAX)
            };
            app.telemetry.mail.set(MailFigures {
                queued: status.count(&[DeliveryState::Queued, DeliveryState::Sending]),
                deferred: status.count(&[DeliveryState::Deferred]),
                oldest: status.oldest.map(|oldest| oldest.since),
                taken: status.taken,
                stopped: status.stopped.is_some(),
                delayed: count(|flow| flow != MailFlow::Well),
                stuck: count(|flow| flow == MailFlow::Stuck),
            });
        }
        tokio::time::sleep(QUEUE_EVERY).await;
    }
}

/// The time until a letter is due; long if none waits.
async fn until_due(app: &App) -> Duration {
    let due = app.store.letter_due().await.ok().flatten();
    let wait = due.map_or(i64::MAX, |due| due.0.saturating_sub(app.clock.now().0));
    let most = limits::LETTER_LEASE;
    u64::try_from(wait)
        .map_or(Duration::ZERO, Duration::from_millis)
        .clamp(Duration::from_millis(1), most)
}

/// Waits until something about letters changes; false once the store is closed.
async fn news(feed: &mut Follower) -> bool {
    while let Some(change) = feed.recv().await {
        if change
            .rows
            .iter()
            .any(|row| matches!(row, ChangedRecord::LetterQueued | ChangedRecord::Mail(_)))
        {
            return true;
        }
    }
    false
}

/// Tries each due letter once; returns their number.
///
/// # Errors
/// `Busy`, when the disk fails: the leases of claimed letters expire, and they are retried.
pub async fn deliver_due(app: &Arc<App>) -> Result<usize, Failure> {
    deliver_some(app).await.map(|round| round.tried)
}

/// The result of one round.
struct DeliveryRound {
    tried: usize,
    /// Whether the mail server could be reached.
    reached: bool,
}

/// Tries due letters over one connection, if possible. An unreachable mail server ends the round:
/// each further letter would wait as long.
async fn deliver_some(app: &Arc<App>) -> Result<DeliveryRound, Failure> {
    let mut round = DeliveryRound { tried: 0, reached: true };
    if !app.mailer.sends() {
        return Ok(round);
    }
    let mut batch = app.mailer.batch();
    // Claimed one by one, so that a slow one does not use up the lease of the next.
    while round.reached
        && round.tried < limits::LETTERS_A_CONNECTION
        && !*app.stopping.borrow()
        && let Some(letter) = app.store.letters_claim(1, limits::LETTER_LEASE).await?.pop()
    {
        let given = batch.given();
        let trying = Box::pin(attempt(app, &mut batch, &letter));
        let Some(tried) = unless_it_stops(app, &given, trying).await else { return Ok(round) };
        let (handover, reached) = tried?;
        tell(&letter, &handover);
        settle(app, &letter, handover).await?;
        round.tried += 1;
        round.reached = reached;
    }
    tokio::select! {
        () = batch.close() => {}
        () = app.stops() => {}
    }
    Ok(round)
}

/// Saves the result of an attempt. While the log of the fleet takes nothing, again and again until the
/// sidecar stops: without it, the letter would be sent once more when its lease is over.
async fn settle(app: &App, letter: &QueuedMail, handover: SendOutcome) -> Result<(), Failure> {
    loop {
        let settled = app.store.letter_settle(letter, handover.clone()).await;
        match settled {
            Err(fault) if [LOG_AWAY, LOG_UNCLEAR].contains(&fault.code) => {
                tracing::warn!(letter = letter.id.0, %fault, "the result of a message could not be saved yet");
            }
            settled => return settled.map(|_| ()),
        }
        tokio::select! {
            () = tokio::time::sleep(REST) => {}
            () = app.stops() => return Ok(()),
        }
    }
}

/// The result of sending; `None` if the sidecar stops before the mail server was given the mail.
/// The letter's lease ends with the process then.
async fn unless_it_stops<T>(
    app: &App,
    given: &HandoverFlag,
    mut sending: impl Future<Output = T> + Unpin,
) -> Option<T> {
    tokio::select! {
        biased;
        sent = &mut sending => return Some(sent),
        () = app.stops() => {}
    }
    if given.is_so() { Some(sending.await) } else { None }
}

/// Writes and sends one letter; returns also whether a mail server was reached.
async fn attempt(
    app: &App,
    batch: &mut MailBatch<'_>,
    letter: &QueuedMail,
) -> Result<(SendOutcome, bool), Failure> {
    let content = match write(app, letter).await {
        Ok(Some(content)) => content,
        Ok(None) => return Ok((SendOutcome::Void, true)),
        Err(failure) if failure.code == KEY_GONE => {
            return Ok((SendOutcome::Refused { detail: failure.public }, true));
        }
        Err(failure) => return Err(failure),
    };
    let outgoing = OutgoingMail {
        to: letter.to.clone(),
        to_name: letter.to_name.clone(),
        message_id: letter.message_id.clone(),
        return_path: return_path(app, letter),
        date: letter.created,
        content,
    };
    match batch.send(&outgoing).await {
        Ok(taken) => {
            refusals(app).clear();
            Ok((SendOutcome::Taken { detail: taken.sentence() }, true))
        }
        Err(fault) => {
            let away = matches!(
                fault.step,
                SmtpStep::Dns | SmtpStep::Connect | SmtpStep::Tls | SmtpStep::Greeting
            ) && fault.class == mail::FaultClass::Temporary;
            Ok((refused(app, letter, &fault)?, !away))
        }
    }
}

fn refused(app: &App, letter: &QueuedMail, fault: &SendFault) -> Result<SendOutcome, Failure> {
    let may_have_arrived = letter.delivery.detail.contains(MAY_HAVE_ARRIVED);
    let mut detail = fault.sentence();
    if may_have_arrived && fault.unclear {
        let happened = fault.happened();
        return Ok(SendOutcome::Refused {
            detail: format!(
                "{happened}; this was the second time, so it is not sent again: ask whether it arrived, and send it again if not"
            ),
        });
    }
    if (may_have_arrived || fault.unclear) && fault.class == mail::FaultClass::Temporary {
        detail = format!("{detail}; {MAY_HAVE_ARRIVED}");
    }
    Ok(match fault.class {
        mail::FaultClass::Permanent => match refusals(app).note(letter.id, &letter.to, fault) {
            Some(others) => {
                SendOutcome::SenderRefused { detail: email::hide(&fault.about_sender()), others }
            }
            None => SendOutcome::Refused { detail },
        },
        // Every account sees why mail is stopped, so the reason contains no address.
        mail::FaultClass::Configuration => {
            SendOutcome::Misconfigured { detail: email::hide(&detail) }
        }
        mail::FaultClass::Temporary => {
            let [jitter] = entropy::random()?;
            let at = mail::next_try(letter.delivery.attempts, app.clock.now(), jitter);
            if at < letter.expires {
                SendOutcome::Later { detail, at }
            } else {
                SendOutcome::Refused {
                    detail: format!(
                        "{}; not tried again, since its link has expired",
                        fault.happened()
                    ),
                }
            }
        }
    })
}

fn refusals(app: &App) -> MutexGuard<'_, RefusalTracker> {
    app.refusals.lock().unwrap_or_else(PoisonError::into_inner)
}

fn tell(letter: &QueuedMail, handover: &SendOutcome) {
    let (how, detail) = match handover {
        SendOutcome::Taken { detail } => ("accepted by the mail server", detail.as_str()),
        SendOutcome::Later { detail, .. } => ("deferred", detail.as_str()),
        SendOutcome::Refused { detail } => ("failed", detail.as_str()),
        SendOutcome::Misconfigured { detail } | SendOutcome::SenderRefused { detail, .. } => {
            ("stopped", detail.as_str())
        }
        SendOutcome::Void => ("void", ""),
    };
    let (to, kind, detail) = (letter.to.masked(), letter.kind.as_str(), email::hide(detail));
    match handover {
        SendOutcome::Misconfigured { .. } | SendOutcome::SenderRefused { .. } => tracing::error!(
            letter = letter.id.0,
            kind,
            to,
            detail,
            "no mail goes out: fix it, then run `kwic-team mail resume`"
        ),
        _ => tracing::info!(letter = letter.id.0, kind, to, detail, "a message was {how}"),
    }
}

/// The bounce address of a letter; `None` if nobody reads bounces.
fn return_path(app: &App, letter: &QueuedMail) -> Option<Email> {
    let mark = app.keys.bounce_mark(letter.id)?;
    app.mailer.return_path(letter.id, &mark)
}

/// The content of a letter, from current data; `None` if it is obsolete.
async fn write(app: &App, letter: &QueuedMail) -> Result<Option<MailContent>, Failure> {
    let account_name = match app.store.account(&letter.account).await? {
        Some(account) => account.name,
        None => return Ok(None),
    };
    match &letter.kind {
        MailKind::Invite { invite, generation } => {
            let Some(view) = app.store.invite(&letter.account, invite).await? else {
                return Ok(None);
            };
            let invite = view.invite;
            let open = invite.state(app.clock.now()) == InviteState::Pending;
            if !open || invite.generation != *generation {
                return Ok(None);
            }
            let token = valid_invite_token(app, &invite).await?;
            let inviter = inviter(app, &invite).await?;
            let live = app.policies.load();
            let card = live.roles().iter().find(|card| card.id == invite.role);
            Ok(Some(MailContent::Invite {
                account_name,
                inviter_name: inviter.as_ref().map(|member| member.full_name()),
                inviter_email: inviter.map(|member| member.email),
                role_title: card.map_or(invite.role.to_string(), |card| card.title.clone()),
                role_summary: card.map_or(String::new(), |card| card.summary.clone()),
                link: action(app, "join", token, invite.expires),
            }))
        }
        MailKind::InviteWanted { invite } => {
            let view = app.store.invite(&letter.account, invite).await?;
            Ok(view.map(|view| MailContent::InviteWanted {
                account_name,
                invitee_name: view.invite.full_name(),
                invitee_email: view.invite.email,
                team_link: app.links.base().to_owned(),
            }))
        }
        MailKind::PasswordReset { link } | MailKind::EmailChange { link } => {
            write_link(app, letter, account_name, link).await
        }
        MailKind::PasswordChanged { .. } => {
            Ok(Some(MailContent::PasswordChanged { account_name, at: letter.created }))
        }
        MailKind::TwoStep { news, .. } => {
            Ok(Some(MailContent::TwoStep { account_name, news: *news, at: letter.created }))
        }
        MailKind::EmailChanged { member } => {
            let member = app.store.member(member).await?;
            Ok(member.map(|member| MailContent::EmailChanged {
                account_name,
                new_email: member.email,
                at: letter.created,
            }))
        }
    }
}

async fn write_link(
    app: &App,
    letter: &QueuedMail,
    account_name: String,
    id: &LinkId,
) -> Result<Option<MailContent>, Failure> {
    let Some(link) = app.store.link(id).await? else { return Ok(None) };
    if link.may_be_used(app.clock.now()).is_err() {
        return Ok(None);
    }
    let token = valid_link_token(app, &letter.account, &link).await?;
    Ok(Some(match link.purpose {
        LinkPurpose::PasswordReset => MailContent::PasswordReset {
            account_name,
            link: action(app, "reset", token, link.expires),
        },
        LinkPurpose::EmailChange { to, end } => MailContent::EmailChange {
            account_name,
            new_email: to,
            end,
            link: action(app, "confirm-email", token, link.expires),
        },
    }))
}

fn action(app: &App, page: &str, token: Token, expires: Timestamp) -> ActionLink {
    ActionLink { url: app.links.to(page, &token), code: token, expires }
}

/// The status of mail of the caller's account.
///
/// # Errors
/// `Denied` `not_allowed`; `Busy`.
pub async fn status(app: &App, caller: Caller) -> Result<MailStatus, Failure> {
    let permit = Permit::authorize(app, caller, [Right::VIEW_SETTINGS]).await?;
    let mut status = app.store.mail_status(Some(permit.account())).await?;
    if let Some(oldest) = &mut status.oldest {
        // Members who may see the settings may not be allowed to see addresses.
        oldest.detail = email::hide(&oldest.detail);
    }
    Ok(status)
}

/// Sends a test mail, and returns its steps.
///
/// # Errors
/// `Denied` `not_allowed`; `Conflict` `mail_not_sent`, where no mail is sent at all; `TooMany`
/// `too_many_requests`.
pub async fn test(app: &App, caller: Caller, to: &Email) -> Result<TestReport, Failure> {
    let permit = Permit::authorize(app, caller, [Right::EDIT_SETTINGS]).await?;
    if !app.mailer.sends() {
        return Err(Failure::new(
            Kind::Conflict,
            "mail_not_sent",
            "no mail is sent: set `mail.kind` and, for `smtp`, `mail.url` and `mail.from`, then restart the sidecar",
        ));
    }
    may_write_to(app, permit.account(), "test", to)?;
    let now = app.clock.now();
    let message_id = new_letter(app, "test", now)?.message_id;
    tokio::select! {
        report = app.mailer.test(to, &message_id, now) => Ok(report),
        () = app.stops() => Err(Failure::new(
            Kind::Busy,
            "stopping",
            "KWIC Team is stopping, and the test mail may or may not have been sent: try again in a minute",
        )),
    }
}

/// Resumes mail; returns whether it was stopped.
///
/// # Errors
/// `Denied` `not_allowed`; `Busy`.
pub async fn resume(app: &App, caller: Caller) -> Result<Committed<bool>, Failure> {
    let permit = Permit::authorize(app, caller, [Right::EDIT_SETTINGS]).await?;
    app.store.mail_resume(&permit.actor()).await
}

/// Processes a bounce as raw mail; returns whether it had news. A bounce without the mark of its
/// letter is ignored.
///
/// # Errors
/// `Busy`, when the disk fails.
pub async fn record_bounce(app: &App, _permit: &StorePermit, raw: &[u8]) -> Result<bool, Failure> {
    let Some(report) = bounce::parse(raw) else { return Ok(false) };
    if !app.keys.is_bounce_mark(report.letter, &report.mark) {
        if let Some(DueLogLine { left_out }) = log::due("a bounce without the mark of its message")
        {
            let letter = report.letter.0;
            tracing::warn!(
                letter,
                left_out,
                "a bounce was ignored: it does not carry the mark of its message"
            );
        }
        return Ok(false);
    }
    let notice =
        DeliveryNotice { letter: report.letter, state: report.state, detail: report.detail };
    let told = app.store.letter_notice(notice).await?;
    directory_sync::wait_until_settled(app, told.revision).await?;
    Ok(told.value)
}

/// Reads the folder of bounces repeatedly, until the task is ended.
pub async fn watch_bounces(app: Arc<App>) {
    let Some(folder) = app.config.mail.bounce_maildir.clone() else { return };
    loop {
        let read = read_bounces(&app, &folder).await;
        let fault = read.as_ref().err().map(|failure| failure.public.clone());
        app.telemetry.mail.set_bounces_fault(fault);
        match read {
            Ok(0) => {}
            Ok(told) => tracing::info!(told, "bounces were read"),
            Err(failure) => tracing::warn!(%failure, "the folder of bounces could not be read"),
        }
        tokio::time::sleep(BOUNCES_EVERY).await;
    }
}

/// Reads the mails in a Maildir; returns how many bounces had news.
///
/// # Errors
/// `Internal`, when the folder cannot be read; `Busy`, when the store's disk fails.
pub async fn read_bounces(app: &App, folder: &Path) -> Result<usize, Failure> {
    let maildir = Maildir::new(folder.to_owned());
    let mut told = 0;
    for mail in maildir.list().await? {
        let raw = maildir.read(&mail).await?;
        told += usize::from(record_bounce(app, &StorePermit::system(), &raw).await?);
        // Afterwards: a bounce that could not be saved is read again.
        maildir.take(&mail).await?;
    }
    Ok(told)
}
