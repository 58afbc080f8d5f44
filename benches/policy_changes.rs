//! What does a change of the policies cost: the difference of two sets, shadow policies, and a start with
//! a long history?
//!
//! `cargo bench --bench policy_changes` prints one table. The shadow is asked as in a sidecar, by a thread of
//! its own in the idle scheduling class; rounds with and without it take turns, so the ratio counts.
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
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kwic_team::app::{App, ShadowSet};
use kwic_team::authzen::answer;
use kwic_team::clock::Clock;
use kwic_team::config::{Config, PolicySource};
use kwic_team::directory::Directory;
use kwic_team::domain::{
    AccountSlug, Actor, Digest, Email, Member, MemberId, Name, PolicyFiles, PolicyReport, Revision,
    RoleId, Status, Timestamp, Version, limits,
};
use kwic_team::engine::Snapshot;
use kwic_team::policy_folder;
use kwic_team::services::shadow;
use kwic_team::services::startup_policies::{StartOptions, at_start};
use kwic_team::store::change_feed::LoadedRecord;
use kwic_team::store::{Store, StoredPolicies};
use tokio::runtime::{Builder, Runtime};

const POLICIES: usize = 1_000;
const DECISIONS: usize = 400_000;
const ROUNDS: usize = 9;
const MEMBERS: usize = 1_000;

/// The shipped folder and further policies, `POLICIES` in all; of some, the condition is another one.
fn folder(other: usize) -> PolicyFiles {
    let shipped = policy_folder::embedded_policies();
    let mut files: Vec<(String, Vec<u8>)> =
        shipped.iter().map(|(path, bytes)| (path.to_owned(), bytes.to_vec())).collect();
    let own = Snapshot::load(&shipped, &[]).unwrap().policy_count();
    let mut text = String::new();
    for number in own..POLICIES {
        let status = if number < own + other { "!principal.active" } else { "principal.active" };
        writeln!(
            text,
            "@id(\"extra-{number}\")\npermit(principal in KWIC::Account::\"a{number}\", action == KWIC::Action::\"templates:view\", resource) when {{ {status} }};"
        )
        .unwrap();
    }
    files.push(("rules/extra.cedar".to_owned(), text.into_bytes()));
    PolicyFiles::new(files)
}

fn median(mut taken: Vec<Duration>) -> Duration {
    taken.sort();
    taken[taken.len() / 2]
}

fn millis(taken: Duration) -> String {
    format!("{:.1} ms", taken.as_secs_f64() * 1_000.0)
}

fn difference() {
    let (before, now) = (Snapshot::load(&folder(0), &[]), Snapshot::load(&folder(100), &[]));
    let (before, now) = (before.unwrap(), now.unwrap());
    let time = |work: &dyn Fn()| {
        let once = || {
            let began = Instant::now();
            work();
            began.elapsed()
        };
        median((0..5).map(|_| once()).collect())
    };
    let changes = time(&|| drop(black_box(now.changes_since(&before))));
    let cells = time(&|| drop(black_box(now.difference_from(&before))));
    println!("| who gains and who loses, two sets of 1,000 policies | {} | 1 s |", millis(changes));
    println!("| the same by cells, each with a question | {} | 1 s |", millis(cells));
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

/// A sidecar's state, of whose decisions one in `every` is asked of the shadow; none for 0.
fn app(runtime: &Runtime, every: u64) -> Arc<App> {
    let directory = Arc::new(Directory::new());
    for number in 0..MEMBERS {
        directory.load_one(LoadedRecord::Members(vec![member(number)]));
    }
    directory.loaded(Revision(1));
    let store = runtime.block_on(Store::in_memory(Clock::System)).unwrap();
    let mut config = Config::default_for("unused".into());
    if every > 0 {
        config.policies.shadow = Some("unused".into());
        config.policies.shadow_sample = every;
    }
    let policies = Snapshot::load(&folder(0), &[]).unwrap();
    let _on = runtime.enter();
    let app = App::new(config, Clock::System, policies, directory, store).unwrap();
    let set = Some(Arc::new(Snapshot::load(&folder(100), &[]).unwrap()));
    app.shadow.replace(ShadowSet { set, loaded_at: None, fault: None });
    let app = Arc::new(app);
    runtime.spawn(shadow::run(Arc::clone(&app)));
    app
}

/// How long so many decisions take, and the slowest one of a thousand in nanoseconds.
fn decisions(app: &App, bodies: &[String]) -> (Duration, u128) {
    let mut single = Vec::with_capacity(DECISIONS);
    let began = Instant::now();
    for number in 0..DECISIONS {
        let asked = Instant::now();
        black_box(answer(app, bodies[number % bodies.len()].as_bytes()).unwrap());
        single.push(asked.elapsed().as_nanos());
    }
    let whole = began.elapsed();
    single.sort_unstable();
    (whole, single[DECISIONS * 999 / 1_000])
}

fn shadow_cost(runtime: &Runtime) {
    let bodies: Vec<String> = (0..MEMBERS)
        .map(|number| {
            format!(
                r#"{{"subject":{{"type":"user","id":"m{number:07}"}},"action":{{"name":"templates:view"}},"resource":{{"type":"template","id":"t{number}","properties":{{"account":"account-{}"}}}}}}"#,
                number % 100
            )
        })
        .collect();
    let apps: Vec<(u64, Arc<App>)> =
        [0, 100, 1].into_iter().map(|every| (every, app(runtime, every))).collect();
    let mut taken: Vec<Vec<(Duration, u128)>> = vec![Vec::new(); apps.len()];
    for _ in 0..ROUNDS {
        for (at, (_, app)) in apps.iter().enumerate() {
            taken[at].push(decisions(app, &bodies));
        }
    }
    let whole = |at: usize| median(taken[at].iter().map(|(whole, _)| *whole).collect());
    let slow = |at: usize| {
        let mut slow: Vec<u128> = taken[at].iter().map(|(_, slow)| *slow).collect();
        slow.sort_unstable();
        slow[slow.len() / 2]
    };
    let base = whole(0).as_secs_f64();
    for (at, (every, app)) in apps.iter().enumerate() {
        let counts = app.shadow.counts();
        println!(
            "| {DECISIONS} decisions, shadow asked {} | {}, {:+.1} %, p99.9 {:.1} µs; asked {}, left out {} | {} |",
            if *every == 0 { "never".to_owned() } else { format!("1 in {every}") },
            millis(whole(at)),
            (whole(at).as_secs_f64() / base - 1.0) * 100.0,
            slow(at) as f64 / 1_000.0,
            counts.agreed + counts.differed,
            counts.left_out,
            if *every == 100 { "2 %" } else { "" },
        );
    }
}

/// Writes so many sets to a store's file, and answers the last one.
async fn fill(file: &Path, sets: usize) -> PolicyFiles {
    let store = Store::open(file, 64, Clock::System).await.unwrap();
    let mut last = policy_folder::embedded_policies();
    for number in 0..sets {
        let rule = format!(
            "// {number}\n@id(\"x{number}\")\nforbid(principal == KWIC::User::\"nobody\", action, resource);\n"
        );
        last = policy_folder::embedded_policies().with_file("rules/extra.cedar", rule.into_bytes());
        let set = StoredPolicies {
            digest: last.digest(),
            at: Timestamp(0),
            files: last.clone().into_files(),
        };
        let report = PolicyReport::default();
        store.policies_installed(&Actor::System, set, report, Vec::new()).await.unwrap();
    }
    store.close().await.unwrap();
    last
}

/// The part of a start that opens the store and chooses the policies.
async fn start(file: &Path, folder: &Path) -> Duration {
    let began = Instant::now();
    let store = Store::open(file, 64, Clock::System).await.unwrap();
    let options = StartOptions {
        dir: Some(folder.to_owned()),
        source: PolicySource::Folder,
        hold_widening: false,
        demand_proof: false,
        held: Vec::new(),
    };
    black_box(at_start(options, &store, Timestamp(1)).await.unwrap());
    let taken = began.elapsed();
    store.close().await.unwrap();
    taken
}

fn starts(runtime: &Runtime) {
    for sets in [1, limits::POLICY_HISTORY_LIVE_MAX] {
        let home = tempfile::tempdir().unwrap();
        let (file, folder) = (home.path().join("s.redb"), home.path().join("policies"));
        let last = runtime.block_on(fill(&file, sets));
        assert_ne!(last.digest(), Digest::default());
        policy_folder::write_new(&folder, &last).unwrap();
        let taken = (0..ROUNDS).map(|_| runtime.block_on(start(&file, &folder))).collect();
        println!(
            "| store and policies of a start, history of {sets} | {} | |",
            millis(median(taken))
        );
    }
}

fn main() {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    println!("| measured | result | goal |\n| --- | --- | --- |");
    difference();
    shadow_cost(&runtime);
    starts(&runtime);
    // What follows the shadow ends with the program.
    std::process::exit(0);
}
