//! What does one decision cost in process, and does it grow with policies or members?
//!
//! `cargo bench --bench decide` prints the first table of `docs/performance.md` first: single times with
//! their p50 and p99, over all members, 1,000,000 resources and the actions of the product, each
//! drawn uniformly. Then criterion compares the whole path (names, directory, entities, slice,
//! Cedar) with Cedar's own authorizer over the whole set, which is given its request and its
//! entities ready made. Ratios inside one run count; single times depend on the machine.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::allow_attributes,
    missing_docs,
    reason = "a benchmark that meets the unexpected should stop there"
)]

use std::fmt::Write as _;
use std::hint::black_box;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cedar_policy::{Authorizer, Context, Entities, EntityUid, PolicySet, Request, Schema};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion};
use kwic_team::app::App;
use kwic_team::authzen::answer;
use kwic_team::clock::Clock;
use kwic_team::config::Config;
use kwic_team::directory::Directory;
use kwic_team::domain::{
    AccountSlug, Email, EntityRef, Member, MemberId, Name, PolicyFiles, Query, Revision, RoleId,
    Status, Timestamp, Value, Version,
};
use kwic_team::engine::Snapshot;
use kwic_team::policy_folder;
use kwic_team::services::access_search::{Searched, search};
use kwic_team::services::decide::decide;
use kwic_team::services::plan::plan;
use kwic_team::store::Store;
use kwic_team::store::change_feed::LoadedRecord;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

type Group<'g> = BenchmarkGroup<'g, WallTime>;

/// What the scopes of the policies that are not relevant name.
#[derive(Clone, Copy)]
enum Named {
    Role,
    Account,
    Resource,
}

/// The shipped folder and further policies, `total` in all.
fn folder(total: usize, named: Named) -> PolicyFiles {
    let shipped = policy_folder::embedded_policies();
    let mut files: Vec<(String, Vec<u8>)> =
        shipped.iter().map(|(path, bytes)| (path.to_owned(), bytes.to_vec())).collect();
    let own = Snapshot::load(&shipped, &[]).unwrap().policy_count();
    let mut text = String::new();
    for number in own..total {
        let (principal, resource) = match named {
            Named::Role => {
                (format!("principal in KWIC::Role::\"extra_{number}\""), "resource".into())
            }
            Named::Account => {
                (format!("principal in KWIC::Account::\"a{number}\""), "resource".into())
            }
            Named::Resource => {
                ("principal".into(), format!("resource == KWIC::Template::\"t{number}\""))
            }
        };
        writeln!(
            text,
            "@id(\"extra-{number}\")\npermit({principal}, action == KWIC::Action::\"templates:view\", {resource});"
        )
        .unwrap();
    }
    files.push(("rules/extra.cedar".to_owned(), text.into_bytes()));
    PolicyFiles::new(files)
}

fn member(number: usize, role: &str) -> Member {
    Member {
        id: MemberId::parse(&format!("m{number:07}")).unwrap(),
        account: AccountSlug::parse(&format!("account-{}", number % 100)).unwrap(),
        email: Email::parse(&format!("member.{number}@example.org")).unwrap(),
        first_name: Name::parse("first_name", "Ann").unwrap(),
        last_name: Name::parse("last_name", "Example").unwrap(),
        role: RoleId::parse(role).unwrap(),
        status: Status::Active,
        two_step: false,
        joined: Timestamp(0),
        version: Version::FIRST,
    }
}

/// Members of one role, or of all in turns.
fn app(runtime: &tokio::runtime::Runtime, policies: &PolicyFiles, members: usize) -> App {
    app_of(runtime, policies, members, &["template_manager"])
}

fn app_of(
    runtime: &tokio::runtime::Runtime,
    policies: &PolicyFiles,
    members: usize,
    roles: &[&str],
) -> App {
    let directory = Arc::new(Directory::new());
    for number in 0..members {
        directory
            .load_one(LoadedRecord::Members(vec![member(number, roles[number % roles.len()])]));
    }
    directory.loaded(Revision(1));
    let store = runtime.block_on(Store::in_memory(Clock::System)).unwrap();
    let snapshot = Snapshot::load(policies, &[]).unwrap();
    let _on = runtime.enter();
    App::new(Config::default_for("unused".into()), Clock::System, snapshot, directory, store)
        .unwrap()
}

/// Asks about a member and a resource that differ each time.
fn ask(app: &App, members: usize, number: usize) {
    let id = format!("m{:07}", number.wrapping_mul(7919) % members);
    let resource = format!("t{}", number.wrapping_mul(104_729) % 1_000_000);
    let account = format!("account-{}", (number.wrapping_mul(7919) % members) % 100);
    let properties = [("account".into(), Value::String(account.into()))];
    let query = Query {
        subject: EntityRef { kind: "user", id: &id, properties: &[] },
        action: "templates:view",
        action_properties: &[],
        resource: EntityRef { kind: "template", id: &resource, properties: &properties },
        context: &[],
    };
    assert!(black_box(decide(app, &app.policies.load(), &query, false)).allowed);
}

/// The whole set and one question, ready for Cedar's authorizer.
fn cedar(policies: &PolicyFiles) -> (PolicySet, Request, Entities) {
    let mut set = PolicySet::new();
    let mut schema = String::new();
    for (path, bytes) in policies.iter() {
        let text = std::str::from_utf8(bytes).unwrap();
        if path == "schema.cedarschema" {
            text.clone_into(&mut schema);
        }
        if path.starts_with("roles/") || path.starts_with("rules/") {
            for policy in PolicySet::from_str(text).unwrap().policies() {
                let id = policy.annotation("id").unwrap().parse().unwrap();
                set.add(policy.new_id(id)).unwrap();
            }
        }
    }
    let (schema, _) = Schema::from_cedarschema_str(&schema).unwrap();
    let entities = serde_json::json!([
        {"uid": {"type": "KWIC::User", "id": "m1"}, "parents": [
            {"type": "KWIC::Role", "id": "template_manager"}, {"type": "KWIC::Account", "id": "account-1"}],
         "attrs": {"account": {"__entity": {"type": "KWIC::Account", "id": "account-1"}}, "role": "template_manager",
            "active": true, "email": "e", "first_name": "f", "last_name": "l", "two_step": false,
            "joined": {"__extn": {"fn": "datetime", "arg": "2026-01-01"}}}},
        {"uid": {"type": "KWIC::Template", "id": "t"}, "attrs": {},
         "parents": [{"type": "KWIC::Account", "id": "account-1"}]},
    ]);
    let entities = Entities::from_json_value(entities, Some(&schema)).unwrap();
    let uid = |text: &str| EntityUid::from_str(text).unwrap();
    let request = Request::new(
        uid("KWIC::User::\"m1\""),
        uid("KWIC::Action::\"templates:view\""),
        uid("KWIC::Template::\"t\""),
        Context::empty(),
        None,
    )
    .unwrap();
    (set, request, entities)
}

/// Times questions to one app, whose members and resources differ each time.
fn time(group: &mut Group<'_>, id: BenchmarkId, app: &App, members: usize) {
    time_asking(group, id, app, members, &ask);
}

fn time_asking(
    group: &mut Group<'_>,
    id: BenchmarkId,
    app: &App,
    members: usize,
    ask: &dyn Fn(&App, usize, usize),
) {
    let mut number = 0;
    group.bench_function(id, |bencher| {
        bencher.iter(|| {
            number += 1;
            ask(app, members, number);
        });
    });
}

/// What a rule reads of a resource: the first two are compiled. Of the others the evaluation reaches an
/// operand that is not: one of principal and resource alone, and one of another member.
const CONDITIONS: [(&str, &str); 4] = [
    ("compiled", "resource has assignee && resource.assignee != principal"),
    ("compiled, dates", "resource has assignee && principal.joined > datetime(\"2100-01-01\")"),
    (
        "an operand left to Cedar",
        "resource has assignee && ![resource.assignee].containsAny([principal])",
    ),
    (
        "an operand that reads another member, left to Cedar",
        "resource has assignee && !resource.assignee.active",
    ),
];

/// A folder whose templates have an assignee, whom a `forbid` for everybody reads.
fn folder_with_attribute(total: usize, condition: &str) -> PolicyFiles {
    let mut files = folder(total, Named::Role).into_files();
    for (path, bytes) in &mut files {
        if path == "schema.cedarschema" {
            let text = String::from_utf8(bytes.clone()).unwrap();
            let declared = "entity Template in [Account] { assignee?: User };";
            let changed = text.replace("entity Template in [Account];", declared);
            assert_ne!(text, changed);
            *bytes = changed.into_bytes();
        }
    }
    let rule = format!(
        "@id(\"assigned\") forbid (principal, action, resource is KWIC::Template) when {{ {condition} }};"
    );
    files.push(("rules/assigned.cedar".to_owned(), rule.into_bytes()));
    PolicyFiles::new(files)
}

/// As [`ask`], about a resource that is assigned to the member. Its names are made beforehand.
fn ask_assigned(app: &App, id: &str, account: &str) {
    let properties = [
        ("account".into(), Value::String(account.into())),
        ("assignee".into(), Value::String(id.into())),
    ];
    let query = Query {
        subject: EntityRef { kind: "user", id, properties: &[] },
        action: "templates:view",
        action_properties: &[],
        resource: EntityRef { kind: "template", id: "t1", properties: &properties },
        context: &[],
    };
    assert!(black_box(decide(app, &app.policies.load(), &query, false)).allowed);
}

fn attributes(criterion: &mut Criterion, runtime: &tokio::runtime::Runtime) {
    let mut group =
        criterion.benchmark_group("decision that reads an attribute, 1,000 members, policies");
    let member = |number| (format!("m{number:07}"), format!("account-{}", number % 100));
    let members: Vec<(String, String)> = (0..1_000).map(member).collect();
    let ask = |app: &App, members_of: usize, number: usize| {
        let (id, account) = &members[number.wrapping_mul(7919) % members_of];
        ask_assigned(app, id, account);
    };
    for total in [10, 10_000] {
        for (way, condition) in CONDITIONS {
            let app = app(runtime, &folder_with_attribute(total, condition), 1_000);
            time_asking(&mut group, BenchmarkId::new(way, total), &app, 1_000, &ask);
        }
    }
    group.finish();
}

/// How queries are answered: if scopes name only roles, then role, account and suspension decide,
/// and Cedar's decision is cached; if one names an account or a resource, policies are evaluated each time.
const WAYS: [(&str, Named); 3] = [
    ("cached", Named::Role),
    ("evaluated, scopes by account", Named::Account),
    ("evaluated, scopes by resource", Named::Resource),
];

fn policies(criterion: &mut Criterion, runtime: &tokio::runtime::Runtime) {
    let mut group = criterion.benchmark_group("decision, 1,000 members, policies");
    for total in [10, 1_000, 10_000] {
        for (way, named) in WAYS {
            let app = app(runtime, &folder(total, named), 1_000);
            time(&mut group, BenchmarkId::new(way, total), &app, 1_000);
        }
        let (set, request, entities) = cedar(&folder(total, Named::Role));
        let authorizer = Authorizer::new();
        group.bench_function(BenchmarkId::new("cedar's authorizer", total), |bencher| {
            bencher.iter(|| black_box(authorizer.is_authorized(&request, &set, &entities)));
        });
    }
    group.finish();
}

fn members(criterion: &mut Criterion, runtime: &tokio::runtime::Runtime) {
    let mut group = criterion.benchmark_group("decision, 10 policies, members");
    for members in [1_000, 1_000_000] {
        for (way, named) in WAYS.into_iter().take(2) {
            let app = app(runtime, &folder(10, named), members);
            time(&mut group, BenchmarkId::new(way, members), &app, members);
        }
    }
    group.finish();
}

/// What is asked, and about what.
const ACTIONS: [(&str, &str); 21] = [
    ("templates:view", "template"),
    ("templates:create", "template"),
    ("templates:edit", "template"),
    ("templates:manage", "template"),
    ("broadcasts:view", "broadcast"),
    ("broadcasts:create", "broadcast"),
    ("broadcasts:send", "broadcast"),
    ("broadcasts:monitor", "broadcast"),
    ("contacts:view", "contact"),
    ("contacts:add", "contact"),
    ("contacts:edit", "contact"),
    ("contacts:organize", "contact"),
    ("chats:view", "chat"),
    ("chats:respond", "chat"),
    ("chats:manage", "chat"),
    ("chats:assign", "chat"),
    ("chats:monitor", "chat"),
    ("automations:view", "automation"),
    ("automations:create", "automation"),
    ("automations:edit", "automation"),
    ("automations:manage", "automation"),
];

/// The shipped roles.
const ROLES: [&str; 7] = [
    "administrator",
    "automation_manager",
    "broadcast_manager",
    "chat_manager",
    "contact_manager",
    "operator",
    "template_manager",
];

/// One question drawn from all that could be asked.
struct Drawn {
    member: String,
    account: [(std::borrow::Cow<'static, str>, Value<'static>); 1],
    action: &'static str,
    kind: &'static str,
    resource: String,
    body: String,
}

impl Drawn {
    fn new(random: &mut StdRng, members: usize) -> Self {
        let number = random.random_range(0..members);
        let (action, kind) = ACTIONS[random.random_range(0..ACTIONS.len())];
        let (member, account) = (format!("m{number:07}"), format!("account-{}", number % 100));
        let resource = format!("r{}", random.random_range(0..1_000_000));
        let body = format!(
            r#"{{"subject":{{"type":"user","id":"{member}"}},"action":{{"name":"{action}"}},"resource":{{"type":"{kind}","id":"{resource}","properties":{{"account":"{account}"}}}}}}"#
        );
        let account = [("account".into(), Value::String(account.into()))];
        Self { member, account, action, kind, resource, body }
    }

    fn query(&self) -> Query<'_> {
        Query {
            subject: EntityRef { kind: "user", id: &self.member, properties: &[] },
            action: self.action,
            action_properties: &[],
            resource: EntityRef { kind: self.kind, id: &self.resource, properties: &self.account },
            context: &[],
        }
    }
}

const SINGLE: usize = 400_000;
/// So many are drawn at a time: few enough to stay in the nearest cache, as a body just read does.
const AT_ONCE: usize = 32;

/// The p50 and p99 of single calls, in nanoseconds, less what a look at the clock takes.
fn percentiles(members: usize, mut call: impl FnMut(&Drawn)) -> (u64, u64) {
    let mut random = StdRng::seed_from_u64(7);
    let mut taken = Vec::with_capacity(SINGLE);
    let mut looks = Vec::new();
    while taken.len() < SINGLE {
        let drawn: Vec<Drawn> = (0..AT_ONCE).map(|_| Drawn::new(&mut random, members)).collect();
        for one in &drawn {
            let began = Instant::now();
            let looked = Instant::now();
            call(one);
            taken.push(looked.elapsed().as_nanos());
            looks.push((looked - began).as_nanos());
        }
    }
    taken.sort_unstable();
    looks.sort_unstable();
    let look = looks[looks.len() / 2];
    let at = |percent: usize| {
        u64::try_from(taken[taken.len() * percent / 100].saturating_sub(look)).unwrap()
    };
    (at(50), at(99))
}

fn by_query(app: &App) -> impl FnMut(&Drawn) {
    |drawn| {
        black_box(decide(app, &app.policies.load(), &drawn.query(), false));
    }
}

fn by_bytes(app: &App) -> impl FnMut(&Drawn) {
    |drawn| {
        black_box(answer(app, drawn.body.as_bytes()).unwrap());
    }
}

/// The first table of `docs/performance.md`.
fn singles(runtime: &tokio::runtime::Runtime) {
    println!(
        "| one decision in process, p50 and p99 | 10 policies, 1,000 members | 10,000 policies, 1,000,000 members | ratio | goal |"
    );
    println!("| --- | --- | --- | --- | --- |");
    let small = app_of(runtime, &folder(10, Named::Role), 1_000, &ROLES);
    let large = app_of(runtime, &folder(10_000, Named::Role), 1_000_000, &ROLES);
    let mut first = Vec::new();
    for app in [&small, &large] {
        // The first of each situation asks Cedar, all others are cached.
        let mut random = StdRng::seed_from_u64(3);
        let mut took: Vec<Duration> = (0..20)
            .map(|_| {
                let drawn = Drawn::new(&mut random, 1_000);
                let began = Instant::now();
                drop(black_box(decide(app, &app.policies.load(), &drawn.query(), false)));
                began.elapsed()
            })
            .collect();
        took.sort();
        first.push(took[took.len() / 2].as_nanos() as f64 / 1_000.0);
    }
    let line = |what: &str, goal: &str, small: (u64, u64), large: (u64, u64)| {
        let us = |ns: u64| ns as f64 / 1_000.0;
        println!(
            "| {what} | {:.2} and {:.2} \u{b5}s | {:.2} and {:.2} \u{b5}s | {:.2} | {goal} |",
            us(small.0),
            us(small.1),
            us(large.0),
            us(large.1),
            us(large.0) / us(small.0)
        );
    };
    line(
        "from the parsed question to the answer",
        "0.3 and 5 \u{b5}s, 1.2",
        percentiles(1_000, by_query(&small)),
        percentiles(1_000_000, by_query(&large)),
    );
    line(
        "from the body's bytes to the answer's",
        "1 \u{b5}s",
        percentiles(1_000, by_bytes(&small)),
        percentiles(1_000_000, by_bytes(&large)),
    );
    println!(
        "| questions that Cedar was asked, of {} | {} | {} | | |",
        2 * SINGLE,
        small.policies.load().remembered(),
        large.policies.load().remembered()
    );
    println!(
        "| the first of its kind, which Cedar is asked | {:.1} \u{b5}s | {:.1} \u{b5}s | | |",
        first[0], first[1]
    );
}

/// The first page of a subject search, 100 results of 1,000,000 members on 100 accounts, where roles
/// decide.
fn searches(runtime: &tokio::runtime::Runtime) {
    let app = app_of(runtime, &folder(10, Named::Role), 1_000_000, &ROLES);
    let policies = app.policies.load();
    let mut random = StdRng::seed_from_u64(5);
    let mut took: Vec<Duration> = (0..1_000)
        .map(|_| {
            let account = format!("account-{}", random.random_range(0..100));
            let properties = [("account".into(), Value::String(account.into()))];
            let query = Query {
                subject: EntityRef { kind: "user", id: "", properties: &[] },
                action: "templates:view",
                action_properties: &[],
                resource: EntityRef { kind: "template", id: "t", properties: &properties },
                context: &[],
            };
            let began = Instant::now();
            let page = search(&app, &policies, &query, Searched::Subject, None, 100);
            let took = began.elapsed();
            assert_eq!(black_box(page).found.len(), 100);
            took
        })
        .collect();
    took.sort();
    let at = |share: usize| took[took.len() * share / 100].as_nanos() as f64 / 1_000.0;
    println!("\n| subject search, the first 100 of 1,000,000 members, p50 and p99 | goal |");
    println!("| --- | --- |");
    println!("| {:.0} and {:.0} \u{b5}s | 5,000 \u{b5}s |\n", at(50), at(99));
}

/// A plan by the shipped policies.
fn plans(runtime: &tokio::runtime::Runtime) {
    let app = app_of(runtime, &folder(10, Named::Role), 1_000, &ROLES);
    let policies = app.policies.load();
    let mut took: Vec<Duration> = (0..10_000)
        .map(|number| {
            let id = format!("m{:07}", number % 1_000);
            let query = Query {
                subject: EntityRef { kind: "user", id: &id, properties: &[] },
                action: "templates:view",
                action_properties: &[],
                resource: EntityRef { kind: "template", id: "", properties: &[] },
                context: &[],
            };
            let began = Instant::now();
            black_box(plan(&app, &policies, &query).unwrap());
            began.elapsed()
        })
        .collect();
    took.sort();
    let at = |share: usize| took[took.len() * share / 100].as_nanos() as f64 / 1_000.0;
    println!("| a plan by the shipped policies, p50 and p99 | goal |");
    println!("| --- | --- |");
    println!("| {:.1} and {:.1} \u{b5}s | 50 \u{b5}s |\n", at(50), at(99));
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    if !std::env::args().any(|argument| argument == "--no-singles") {
        singles(&runtime);
        searches(&runtime);
        plans(&runtime);
    }
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    policies(&mut criterion, &runtime);
    members(&mut criterion, &runtime);
    attributes(&mut criterion, &runtime);
    criterion.final_summary();
}
