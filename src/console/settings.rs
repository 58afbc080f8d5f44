//! The account's settings and the status of its mail; and for those who may change them, the form,
//! the test mail and resuming mail.
//!
//! A form that is based on an older version is shown again with what was typed and with the current
//! values.

use std::time::Duration;

use askama::Template;

use super::edit_conflict::by_whom;
use super::form_page::FormErrors;
use super::page_layout::{PageLayout, page, redirect_with_notice, refused_page};
use super::page_request::{CurrentUser, FormBody, PageRequest, PageResult};
use super::texts as w;
use super::timestamps::TimeLabel;
use crate::app::App;
use crate::domain::{Account, AuditEvent, DeliveryState, Failure, Kind, Status, Version, limits};
use crate::http::status;
use crate::mail::SmtpStepResult;
use crate::services::{accounts, mail_delivery, members};
use crate::store::requests_and_views::mail_queue::{MailFlow, MailStatus};
use crate::store::{AccountEdit, AuditFilter, MemberFilter};

const PATH: &str = "/account";
const HOUR: u64 = 3_600;

#[derive(Template)]
#[template(path = "console/templates/settings.html", config = ".askama.toml")]
struct SettingsPage<'p> {
    shell: PageLayout<'p>,
    viewer: &'p CurrentUser,
    account: Account,
    /// The values of the form.
    name: String,
    hours: String,
    enforced: bool,
    version: Version,
    /// How many members a requirement would affect.
    without_factor: String,
    refusal: Option<FormErrors>,
    /// The current values, if the form was overtaken.
    now: Vec<(&'static str, String)>,
    mail: MailStatusView,
    test: Vec<MailTestStep>,
    test_refusal: Option<FormErrors>,
}

impl SettingsPage<'_> {
    fn wrong(&self, name: &str) -> Option<&str> {
        let fields = &self.refusal.as_ref()?.fields;
        fields.iter().find(|field| field.name == name).map(|field| field.sentence.as_str())
    }
}

struct MailTestStep {
    passed: bool,
    step: &'static str,
    detail: String,
}

impl From<SmtpStepResult> for MailTestStep {
    fn from(SmtpStepResult { step, passed, detail }: SmtpStepResult) -> Self {
        Self { passed, step: w::mail_step(step), detail: w::sentence(&detail) }
    }
}

struct MailStatusView {
    kind: &'static str,
    sends: bool,
    stopped: Option<(String, TimeLabel)>,
    /// The oldest letter, if letters have waited longer than usual, with the result of its last
    /// attempt.
    delayed: Option<(String, TimeLabel)>,
    last: Option<TimeLabel>,
    counts: Vec<(&'static str, u64)>,
}

pub(super) async fn show(call: &mut PageRequest<'_>) -> PageResult {
    let viewer = call.viewer().await?;
    Ok(page(&settings(call, &viewer).await?))
}

async fn settings<'p>(
    call: &PageRequest<'_>,
    viewer: &'p CurrentUser,
) -> Result<SettingsPage<'p>, Failure> {
    let account = accounts::show(call.app, viewer.caller()).await?;
    let status = mail_delivery::status(call.app, viewer.caller()).await?;
    Ok(SettingsPage {
        shell: PageLayout::inside(call, viewer, w::ACCOUNT_SETTINGS, PATH),
        viewer,
        name: account.name.clone(),
        hours: hours(call.app, &account),
        enforced: account.two_step_enforced,
        version: account.version,
        without_factor: without_factor(call, viewer, &account).await?,
        account,
        refusal: None,
        now: Vec::new(),
        mail: mail(call.app, status),
        test: Vec::new(),
        test_refusal: None,
    })
}

/// The lifetime of invitations, in hours.
fn hours(app: &App, account: &Account) -> String {
    let seconds = account.invite_lifetime.unwrap_or(app.config.invite_lifetime).as_secs();
    (seconds as f64 / HOUR as f64).to_string()
}

/// How many members have no second factor yet.
async fn without_factor(
    call: &PageRequest<'_>,
    viewer: &CurrentUser,
    account: &Account,
) -> Result<String, Failure> {
    if account.two_step_enforced || !viewer.rights.edit_settings || !viewer.rights.view_team {
        return Ok(String::new());
    }
    let filter = MemberFilter { status: Some(Status::Active), ..MemberFilter::default() };
    let most = limits::PAGE_ITEMS_MAX;
    let found = members::list(call.app, viewer.caller(), &filter, None, most).await?;
    let count = found.items.iter().filter(|member| !member.two_step).count();
    Ok(w::without_factor(count, found.next.is_some()))
}

fn mail(app: &App, status: MailStatus) -> MailStatusView {
    let count = |states: &[DeliveryState]| status.count(states);
    let of = |state| (w::delivery(state).word, count(&[state]));
    let now = app.clock.now();
    let delayed = status.flow(now) != MailFlow::Well && status.stopped.is_none();
    MailStatusView {
        kind: w::mail_kind(app.mailer.kind()),
        sends: app.mailer.sends(),
        counts: vec![
            (w::QUEUED, count(&[DeliveryState::Queued, DeliveryState::Sending])),
            of(DeliveryState::Deferred),
            of(DeliveryState::HandedOver),
            of(DeliveryState::Delivered),
            of(DeliveryState::Bounced),
            of(DeliveryState::Failed),
        ],
        last: status.taken.map(|taken| TimeLabel::from(taken, now)),
        delayed: status.oldest.filter(|_| delayed).map(|oldest| {
            let detail = Some(oldest.detail).filter(|detail| !detail.is_empty());
            let why = detail.map(|detail| w::sentence(&detail)).unwrap_or_default();
            (why, TimeLabel::exactly(oldest.since))
        }),
        stopped: status
            .stopped
            .map(|stop| (w::sentence(&stop.cause), TimeLabel::exactly(stop.since))),
    }
}

pub(super) async fn set(call: &mut PageRequest<'_>) -> PageResult {
    let viewer = call.viewer().await?;
    let form = call.form().await?;
    match try_to_set(call, &viewer, &form).await {
        Ok(()) => Ok(redirect_with_notice(call.app, PATH, w::SETTINGS_SAVED)),
        Err(failure) if failure.kind == Kind::Denied => Err(failure),
        Err(failure) => refused(call, &viewer, &form, &failure).await,
    }
}

async fn try_to_set(
    call: &PageRequest<'_>,
    viewer: &CurrentUser,
    form: &FormBody,
) -> Result<(), Failure> {
    let before = accounts::show(call.app, viewer.caller()).await?;
    let shown = hours(call.app, &before);
    let mut read = form.reader();
    let name = read.read("name", accounts::checked_name);
    // An unchanged value stays as it is, even if it is not a whole number of hours.
    let hours =
        read.read("hours", |text| if text == shown { Ok(None) } else { lifetime(text).map(Some) });
    let (name, invite_lifetime) = read.done(name.zip(hours))?;
    let enforced = !form.text("two_step").is_empty();
    let edit = AccountEdit {
        name: Some(name),
        invite_lifetime,
        two_step_enforced: (enforced != before.two_step_enforced).then_some(enforced),
    };
    // A form without a version was not created by the page: it is treated as outdated.
    let version = form.version().unwrap_or(Version(0));
    accounts::edit(call.app, viewer.caller(), Some(version), edit).await.map(drop)
}

fn lifetime(text: &str) -> Result<Duration, Failure> {
    let (least, most) = (limits::INVITE_LIFETIME_MIN, limits::INVITE_LIFETIME_MAX);
    let time = text.parse().ok().and_then(|hours: u64| hours.checked_mul(HOUR));
    let time = time.map(Duration::from_secs).filter(|time| (least..=most).contains(time));
    time.ok_or_else(|| {
        Failure::invalid("hours", w::hours_between(least.as_secs() / HOUR, most.as_secs() / HOUR))
    })
}

/// The page again, with what was typed. An overtaken form also shows the current values, and is
/// based on their version from then on.
async fn refused(
    call: &PageRequest<'_>,
    viewer: &CurrentUser,
    form: &FormBody,
    failure: &Failure,
) -> PageResult {
    let mut shown = settings(call, viewer).await?;
    let mut refusal = FormErrors::of(failure);
    if failure.kind == Kind::Stale {
        refusal.sentence = changed_meanwhile(call, viewer).await.unwrap_or(refusal.sentence);
        shown.now = vec![
            (w::NAME_OF_TEAM, shown.account.name.clone()),
            (w::INVITE_HOURS, shown.hours.clone()),
            (w::ENFORCE, w::yes_no(shown.account.two_step_enforced).to_owned()),
        ];
    } else {
        shown.version = form.version().unwrap_or(shown.version);
    }
    form.text("name").clone_into(&mut shown.name);
    form.text("hours").clone_into(&mut shown.hours);
    shown.enforced = !form.text("two_step").is_empty();
    shown.refusal = Some(refusal);
    Ok(page(&shown).status(status(failure.kind)))
}

/// Who changed the settings first.
async fn changed_meanwhile(call: &PageRequest<'_>, viewer: &CurrentUser) -> Option<String> {
    let event = Some(AuditEvent::AccountUpdated);
    let filter = AuditFilter { event, ..AuditFilter::default() };
    let (who, when) = by_whom(call, viewer, &filter).await?;
    Some(w::changed_meanwhile(&who, &when))
}

/// Sends a test mail to the viewer, and shows its steps.
pub(super) async fn test_mail(call: &mut PageRequest<'_>) -> PageResult {
    call.form().await?;
    let viewer = call.viewer().await?;
    let tested = mail_delivery::test(call.app, viewer.caller(), &viewer.member.email).await;
    let mut shown = settings(call, &viewer).await?;
    match tested {
        Ok(report) => {
            shown.test = report.steps.into_iter().map(MailTestStep::from).collect();
            Ok(page(&shown))
        }
        Err(failure) if failure.kind == Kind::Denied => Err(failure),
        Err(failure) => {
            shown.test_refusal = Some(FormErrors::of(&failure));
            Ok(refused_page(&shown, &failure))
        }
    }
}

pub(super) async fn resume_mail(call: &mut PageRequest<'_>) -> PageResult {
    call.form().await?;
    let viewer = call.viewer().await?;
    let was_stopped = mail_delivery::resume(call.app, viewer.caller()).await?.value;
    Ok(redirect_with_notice(call.app, PATH, w::mail_resumed(was_stopped)))
}
