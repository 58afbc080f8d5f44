//! The cross-check: Cedar's own authorizer re-evaluates sampled decisions over the whole policy
//! set.
//!
//! Runs in the idle scheduling class with long pauses, since nobody waits for it. Reads what
//! decisions read, and changes nothing except whether the engine is trusted; the log names nobody.

use std::sync::Arc;
use std::time::Duration;

use crate::app::App;
use crate::background;
use crate::clock;
use crate::cross_check_queue::DecisionSample;
use crate::domain::Decision;
use crate::engine::Snapshot;
use crate::services::decide::query_context;

/// After each check it pauses for this many times its duration: it takes a twentieth of one core.
const RESTS: u32 = 19;
/// The maximum pause: a large set may take long when the thread was preempted.
const REST_MAX: Duration = Duration::from_secs(1);

/// Checks waiting samples, for as long as the process lives.
pub async fn run(app: Arc<App>) {
    let Some(mut waiting) = app.cross_check.waiting() else { return };
    while let Some(sample) = waiting.recv().await {
        let began = clock::monotonic();
        let asked = Arc::clone(&app);
        let done = background::run_idle("cross-check", move || check(&asked, &sample)).await;
        if let Err(failure) = done {
            tracing::error!(%failure, "a decision could not be cross-checked");
        }
        tokio::time::sleep((began.elapsed() * RESTS).min(REST_MAX)).await;
    }
}

/// Evaluates one sample again, by the live policies.
pub(crate) fn check(app: &App, sample: &DecisionSample) {
    let policies = app.policies.load_full();
    let query = sample.question.query();
    let world = query_context(app, &*app.directory);
    let revision = app.directory.settled();
    let usual = policies.decide(&query, &world, false);
    let whole = policies.decide_by_whole_set(&query, &world);
    if app.directory.settled() != revision {
        return app.cross_check.count_left_out();
    }
    let as_it_was = sample.revision == revision && sample.policies == policies.digest();
    if usual.allowed == whole.allowed && (!as_it_was || sample.allowed == whole.allowed) {
        return app.cross_check.count_agreed();
    }
    app.cross_check.count_differed();
    alarm(&policies, sample, &usual, &whole);
}

fn alarm(policies: &Snapshot, sample: &DecisionSample, usual: &Decision, whole: &Decision) {
    let query = sample.question.query();
    tracing::error!(
        action = query.action,
        resource_type = query.resource.kind,
        answered = sample.allowed,
        usual = usual.allowed,
        whole = whole.allowed,
        policies = policies.digest_hex(),
        "a decision differed from that of Cedar's own authorizer, which now makes every decision until a restart, more slowly: keep this line and the policy folder, and report both"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::config::Config;
    use crate::directory::Directory;
    use crate::domain::{
        AccountSlug, Email, EntityRef, LoadedRecord, Member, MemberId, Name, PolicyFiles, Query,
        Revision, RoleId, Status, Timestamp, Value, Version,
    };
    use crate::engine::QueryContext;
    use crate::policy_folder;
    use crate::services::decide::decide;
    use crate::services::rights;
    use crate::store::Store;

    /// A template manager of `acme`.
    fn member() -> Member {
        Member {
            id: MemberId::parse("m").unwrap(),
            account: AccountSlug::parse("acme").unwrap(),
            email: Email::parse("m@example.org").unwrap(),
            first_name: Name::parse("first_name", "Ann").unwrap(),
            last_name: Name::parse("last_name", "Example").unwrap(),
            role: RoleId::parse("template_manager").unwrap(),
            status: Status::Active,
            two_step: false,
            joined: Timestamp(0),
            version: Version::FIRST,
        }
    }

    /// `member()`; every decision is asked again.
    async fn app(snapshot: Snapshot) -> Arc<App> {
        let directory = Arc::new(Directory::new());
        directory.load_one(LoadedRecord::Members(vec![member()]));
        directory.loaded(Revision(1));
        let mut config = Config::default_for("unused".into());
        config.decision.cross_check = 1;
        let store = Store::in_memory(Clock::System).await.unwrap();
        Arc::new(App::new(config, Clock::System, snapshot, directory, store).unwrap())
    }

    fn shipped() -> Snapshot {
        Snapshot::load(&policy_folder::embedded_policies(), &[]).unwrap()
    }

    /// The shipped policies, and one for everybody that reads who a template is assigned to.
    fn with_assignees() -> Snapshot {
        let mut files = policy_folder::embedded_policies().into_files();
        for (path, bytes) in &mut files {
            if path == "schema.cedarschema" {
                let text = String::from_utf8(bytes.clone()).unwrap();
                let declared = "entity Template in [Account] { assignee?: User };";
                *bytes = text.replace("entity Template in [Account];", declared).into_bytes();
            }
        }
        let rule = "@id(\"assigned\") forbid (principal, action, resource is KWIC::Template) \
                    when { resource has assignee && resource.assignee != principal };";
        files.push(("rules/assigned.cedar".to_owned(), rule.into()));
        Snapshot::load(&PolicyFiles::new(files), &[]).unwrap()
    }

    fn query<'q>(action: &'q str, said: &'q [(std::borrow::Cow<'q, str>, Value<'q>)]) -> Query<'q> {
        Query {
            subject: EntityRef { kind: "user", id: "m", properties: &[] },
            action,
            action_properties: &[],
            resource: EntityRef { kind: "template", id: "t", properties: said },
            context: &[],
        }
    }

    #[tokio::test]
    async fn a_wrong_answer_is_found_out_and_never_given_again() {
        let app = app(shipped()).await;
        let said = [("account".into(), Value::String("acme".into()))];
        let (view, edit) = (query("templates:view", &said), query("billing:manage", &said));
        let live = || app.policies.load_full();
        let mut waiting = app.cross_check.waiting().unwrap();
        let ask = |query: &Query<'_>| decide(&app, &live(), query, false).allowed;
        let mut check_all = || {
            while let Ok(sample) = waiting.try_recv() {
                check(&app, &sample);
            }
        };

        assert!(ask(&view) && !ask(&edit));
        check_all();
        assert_eq!(app.cross_check.outcomes().agreed, 2);

        let members = &*app.directory;
        live().invert_cached(&view, &QueryContext { members, single_account: None });
        assert!(!ask(&view), "the lie is told");
        check_all();
        assert_eq!(app.cross_check.outcomes().differed, 1);
        assert!(app.cross_check.is_distrusted());
        assert!(ask(&view) && !ask(&edit), "Cedar answers now, whatever is cached");
    }

    /// The rights of the console and the management API, and a decision that is tried out, come from the
    /// same policies.
    #[tokio::test]
    async fn a_wrong_answer_gives_no_right_once_it_was_found_out() {
        let app = app(shipped()).await;
        let may_view = || rights::of(&app, &member()).view_team;
        let before = may_view();
        let said = [("account".into(), Value::String("acme".into()))];
        let right = Query {
            resource: EntityRef { kind: "account", id: "acme", properties: &said },
            ..query("team:view", &said)
        };
        let members = &*app.directory;
        let world = QueryContext { members, single_account: None };
        app.policies.load().invert_cached(&right, &world);
        assert_ne!(may_view(), before, "the lie is told");
        app.cross_check.count_differed();
        assert_eq!(may_view(), before);
    }

    /// Compiled policies are checked as the cache is.
    #[tokio::test]
    async fn a_wrong_compiled_policy_is_found_out() {
        let app = app(with_assignees().bend_compiled()).await;
        let said = [
            ("account".into(), Value::String("acme".into())),
            ("assignee".into(), Value::String("m".into())),
        ];
        let view = query("templates:view", &said);
        let mut waiting = app.cross_check.waiting().unwrap();
        let ask = || decide(&app, &app.policies.load(), &view, false).allowed;
        assert!(!ask(), "the rule applies to everything now");
        check(&app, &waiting.try_recv().unwrap());
        assert!(app.cross_check.is_distrusted());
        assert!(ask(), "Cedar answers");
    }

    #[tokio::test]
    async fn what_changed_in_between_is_no_lie() {
        let app = app(shipped()).await;
        let said = [("account".into(), Value::String("acme".into()))];
        let view = query("templates:view", &said);
        let mut waiting = app.cross_check.waiting().unwrap();
        assert!(decide(&app, &app.policies.load(), &view, false).allowed);
        let mut sample = waiting.try_recv().unwrap();
        // Answered by members that are no longer these.
        sample.allowed = false;
        sample.revision = Revision(0);
        check(&app, &sample);
        assert_eq!(app.cross_check.outcomes().agreed, 1);
        // By these, it is one.
        sample.revision = Revision(1);
        check(&app, &sample);
        assert!(app.cross_check.is_distrusted());
    }

    #[tokio::test]
    async fn a_decision_never_waits_for_room() {
        let app = app(shipped()).await;
        let said = [("account".into(), Value::String("acme".into()))];
        for _ in 0..1_000 {
            assert!(
                decide(&app, &app.policies.load(), &query("templates:view", &said), false).allowed
            );
        }
        let left = u64::try_from(app.cross_check.waiting().unwrap().len()).unwrap();
        assert!((1..1_000).contains(&left));
        assert_eq!(left + app.cross_check.outcomes().left_out, 1_000);
    }
}
