//! The shadow policies (`policies.shadow`): a candidate folder goes through the gate, and is asked
//! beside the live set what services ask.
//!
//! Off the request path, in the idle scheduling class, since nobody waits for it. A faulty folder
//! is reported and receives no queries; neither it nor its answers ever change the live set.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::cross_check_fallback::evaluate_trusted;
use super::decide::query_context;
use super::permits::StorePermit;
use super::reload;
use crate::app::{App, Disagreement, DisagreementKind, ShadowCounts, ShadowSet};
use crate::background;
use crate::clock;
use crate::directory::Directory;
use crate::domain::access_query::{OwnedQuery, owned};
use crate::domain::{Digest, Failure, Kind, Query, RoleId, Value};
use crate::engine::{ExampleQuery, QueryContext, Snapshot};
use crate::gate;
use crate::policy_folder::{self, FolderWatch};

/// Queries that are asked one after another before the thread rests: all that can wait.
const BATCH: usize = 1_024;
/// After each batch it rests for this many times its duration: it takes a fiftieth of one core.
const RESTS: u32 = 49;
/// The shortest rest: each batch starts a thread, which costs more than some queries.
const REST_MIN: Duration = Duration::from_millis(50);
/// The longest rest: a thread that was preempted took no time of a core.
const REST_MAX: Duration = Duration::from_secs(1);
/// The pause before a folder that could not be read or checked is tried again.
const AGAIN_AFTER: Duration = Duration::from_secs(60);

/// The candidate, and where it differs from the live set.
#[derive(Debug)]
pub struct ShadowReport {
    /// The candidate.
    pub candidate: Arc<ShadowSet>,
    /// One decision in this many is asked.
    pub every: u64,
    /// What was counted.
    pub counts: ShadowCounts,
    /// The disagreements, the most frequent kind first.
    pub disagreements: Vec<(DisagreementKind, Disagreement)>,
    /// How many were of further kinds.
    pub more: u64,
}

/// What is known about the candidate; `None` if no folder is configured.
#[must_use]
pub fn report(app: &App, _: &StorePermit) -> Option<ShadowReport> {
    app.config.policies.shadow.as_ref()?;
    let (disagreements, more) = app.shadow.disagreements();
    Some(ShadowReport {
        candidate: app.shadow.candidate(),
        every: app.shadow.every(),
        counts: app.shadow.counts(),
        disagreements,
        more,
    })
}

/// No shadow policies are configured.
#[must_use]
pub fn no_folder() -> Failure {
    Failure::new(
        Kind::NotFound,
        "no_shadow",
        "there are no shadow policies: name their folder in `policies.shadow`, and restart the sidecar",
    )
}

/// Loads the folder, and again whenever it changes or a reload is asked for.
pub async fn follow(app: Arc<App>) {
    let Some(dir) = app.config.policies.shadow.clone() else { return };
    let mut watch = None;
    if app.config.policies.watch {
        let dir = dir.clone();
        // Before the folder is read, so that no change is missed.
        watch = tokio::task::spawn_blocking(move || FolderWatch::new(&dir)).await.ok();
    }
    loop {
        let loaded = load(&app, &dir).await;
        let again = loaded.is_err_and(|fault| reload::is_passing(&fault));
        tokio::select! {
            () = changed(watch.as_mut()) => {}
            () = app.shadow.wait_until_due() => {}
            () = tokio::time::sleep(AGAIN_AFTER), if again => {}
        }
    }
}

async fn changed(watch: Option<&mut FolderWatch>) {
    match watch {
        Some(watch) => watch.changed().await,
        None => std::future::pending().await,
    }
}

/// Takes the folder through the gate. The set that was asked until now is given up if it is at fault.
///
/// # Errors
/// `PoliciesRefused` with every fault; `Busy`.
pub async fn load(app: &App, dir: &Path) -> Result<(), Failure> {
    // Only one folder is checked at a time, for any purpose.
    let _one = app.checking.lock().await;
    let (dir, held) = (dir.to_owned(), app.directory.roles_held());
    let known = app.shadow.candidate().set.as_ref().map(|set| set.digest());
    let work = move || read(&dir, &held, known);
    let loaded = reload::run_on_blocking_thread(app, true, work).await.and_then(|loaded| loaded);
    let loaded_at = Some(app.clock.now());
    match loaded {
        Ok(None) => Ok(()),
        Ok(Some(set)) => {
            tracing::info!(
                digest = set.digest_hex(),
                policies = set.policy_count(),
                "the shadow policies are loaded"
            );
            app.shadow.replace(ShadowSet { set: Some(Arc::new(set)), loaded_at, fault: None });
            Ok(())
        }
        // The same folder may load later.
        Err(failure) if reload::is_passing(&failure) && known.is_some() => Err(failure),
        Err(failure) => {
            let fault = failure.public.clone();
            tracing::warn!(
                "the shadow policies are not asked, since they cannot be loaded\n{fault}"
            );
            app.shadow.replace(ShadowSet { set: None, loaded_at, fault: Some(fault) });
            Err(failure)
        }
    }
}

/// Checks a folder as it would be loaded, for no members.
///
/// # Errors
/// As [`load`].
pub fn check(dir: &Path) -> Result<(), Failure> {
    read(dir, &[], None).map(drop)
}

/// The set of a folder; none if it is the known one.
fn read(
    dir: &Path,
    held: &[(RoleId, usize)],
    known: Option<Digest>,
) -> Result<Option<Snapshot>, Failure> {
    let files = policy_folder::read(dir)?;
    if known == Some(files.digest()) {
        return Ok(None);
    }
    gate::load(&files, held).map(Some)
}

/// Asks the waiting queries, for as long as the process lives.
pub async fn run(app: Arc<App>) {
    let Some(mut waiting) = app.shadow.waiting() else { return };
    let mut batch = Vec::with_capacity(BATCH);
    while waiting.recv_many(&mut batch, BATCH).await > 0 {
        let began = clock::monotonic();
        let (asked, queries) = (Arc::clone(&app), std::mem::take(&mut batch));
        let work = move || queries.iter().for_each(|query| ask(&asked, query));
        if let Err(failure) = background::run_idle("shadow", work).await {
            tracing::error!(%failure, "the shadow policies could not be asked");
        }
        tokio::time::sleep((began.elapsed() * RESTS).clamp(REST_MIN, REST_MAX)).await;
    }
}

/// Asks both sets, and records whether they differ.
pub(crate) fn ask(app: &App, question: &OwnedQuery) {
    let Some(candidate) = app.shadow.candidate().set.clone() else { return };
    let live = app.policies.load_full();
    let query = question.query();
    let world = query_context(app, &*app.directory);
    let both = || {
        let answer = |set: &Snapshot| evaluate_trusted(app, set, &query, &world, false).allowed;
        (answer(&live), answer(&candidate))
    };
    let (before, now) = both();
    if before == now {
        return app.shadow.count_agreed();
    }
    // A member may have changed between the two answers.
    let revision = app.directory.settled();
    if both() != (before, now) || app.directory.settled() != revision {
        return app.shadow.count_left_out();
    }
    let example = example(&live, &world, &query);
    let kind = DisagreementKind {
        role: example.as_ref().map(|it| it.role.to_string()).unwrap_or_default(),
        action: query.action.to_owned(),
        resource_type: query.resource.kind.to_owned(),
        gains: now,
    };
    let replays = |it: &ExampleQuery| (live.allows(it), candidate.allows(it)) == (before, now);
    app.shadow.count_differed(&candidate, kind, app.clock.now(), || example.filter(replays));
}

/// The question of a made-up member with the role, the account and the status of the subject; `None`
/// if the subject is no member.
fn example(
    live: &Snapshot,
    world: &QueryContext<'_, Directory>,
    query: &Query<'_>,
) -> Option<ExampleQuery> {
    if !live.is_member_type(query.subject.kind) {
        return None;
    }
    let Query { subject, action, resource, context, .. } = *query;
    let mut properties = owned(resource.properties);
    if let Some(account) = world.single_account
        && !properties.iter().any(|(name, _)| name == "account")
    {
        properties.push(("account".into(), Value::String(account.to_owned().into())));
    }
    world.members.with(subject.id, |member| {
        Some(ExampleQuery {
            member: subject.id.to_owned(),
            member_account: member.account.to_owned(),
            role: RoleId::parse(member.role).ok()?,
            active: member.active,
            subject_properties: owned(subject.properties),
            action: action.to_owned(),
            resource_type: resource.kind.to_owned(),
            resource: resource.id.to_owned(),
            properties,
            context: owned(context),
        })
    })?
}
