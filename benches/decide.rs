//! What does one decision cost in process, and does it grow with policies or members?
//!
//! `cargo bench --bench decide`. Compares the whole path (names, directory, entities, slice,
//! Cedar) with Cedar's own authorizer over the whole set, which is given its request and its
//! entities ready made. Ratios inside one run count; single times depend on the machine.
#![allow(
    clippy::unwrap_used,
    clippy::allow_attributes,
    missing_docs,
    reason = "a benchmark that meets the unexpected should stop there"
)]

use std::fmt::Write as _;
use std::hint::black_box;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use cedar_policy::{Authorizer, Context, Entities, EntityUid, PolicySet, Request, Schema};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion};
use kwic_team::app::App;
use kwic_team::clock::Clock;
use kwic_team::config::Config;
use kwic_team::directory::Directory;
use kwic_team::domain::{
    AccountSlug, Email, EntityRef, Member, MemberId, Name, PolicyFiles, Query, Revision, RoleId,
    Status, Timestamp, Value, Version,
};
use kwic_team::engine::Snapshot;
use kwic_team::flows::decide::decide;
use kwic_team::policy_folder;
use kwic_team::store::Store;
use kwic_team::store::feed::Loaded;

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
    let shipped = policy_folder::shipped();
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

fn member(number: usize) -> Member {
    Member {
        id: MemberId::parse(&format!("m{number:07}")).unwrap(),
        account: AccountSlug::parse(&format!("account-{}", number % 100)).unwrap(),
        email: Email::parse(&format!("member.{number}@example.org")).unwrap(),
        first_name: Name::parse("first_name", "Ann").unwrap(),
        last_name: Name::parse("last_name", "Example").unwrap(),
        role: RoleId::parse("template_manager").unwrap(),
        status: Status::Active,
        two_step: false,
        joined: Timestamp(0),
        version: Version::FIRST,
    }
}

fn app(runtime: &tokio::runtime::Runtime, policies: &PolicyFiles, members: usize) -> App {
    let directory = Arc::new(Directory::new());
    for number in 0..members {
        directory.load_one(Loaded::Member(member(number)));
    }
    directory.loaded(Revision(1));
    let store = runtime.block_on(Store::in_memory(Clock::System)).unwrap();
    let snapshot = Snapshot::load(policies, &[]).unwrap();
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
    let mut number = 0;
    group.bench_function(id, |bencher| {
        bencher.iter(|| {
            number += 1;
            ask(app, members, number);
        });
    });
}

/// What of a folder's questions is asked how: where scopes name only roles, role, account and
/// suspension decide, and Cedar's answer is remembered; where one names an account or a resource,
/// Cedar is asked each time.
const WAYS: [(&str, Named); 3] = [
    ("remembered", Named::Role),
    ("asked, scopes by account", Named::Account),
    ("asked, scopes by resource", Named::Resource),
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

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    policies(&mut criterion, &runtime);
    members(&mut criterion, &runtime);
    criterion.final_summary();
}
