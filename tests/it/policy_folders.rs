//! Policy folders that could crash, delay or exhaust a loader: each is refused by name, by every
//! command, while decisions continue.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use kwic_team::clock::Clock;
use kwic_team::config::Config;
use kwic_team::directory::Directory;
use kwic_team::domain::Timestamp;
use kwic_team::engine::Snapshot;
use kwic_team::policy_folder;
use kwic_team::services::permits::StorePermit;
use kwic_team::services::{directory_sync, reload};
use kwic_team::store::Store;
use kwic_team::telemetry::Gauges;

use crate::support::sidecar::{
    Sidecar, Start, binary, command, copy_folder, question, shipped_policies,
};

/// A folder's further files.
type More = Vec<(&'static str, String)>;

fn schema(more: &str) -> (&'static str, String) {
    let shipped = fs::read_to_string(shipped_policies().join("schema.cedarschema")).unwrap();
    ("schema.cedarschema", format!("{shipped}\n{more}"))
}

fn chain(length: usize) -> String {
    let mut text: String =
        (0..length).map(|n| format!("type T{n} = {{x: T{}}};\n", n + 1)).collect();
    text.push_str(&format!("type T{length} = Long;\n"));
    text
}

/// Folders that are refused, each with the file in the message.
fn refused() -> Vec<(&'static str, More, &'static str)> {
    let groups = |n: usize| {
        let more: String = (1..n).map(|n| format!("action g{n} in [g{}];\n", n - 1)).collect();
        format!("action g0;\n{more}")
    };
    let entities = |n: usize| {
        let one = |n: usize| {
            let uid = |n| format!(r#"{{"type":"KWIC::Role","id":"r{n}"}}"#);
            format!(r#"{{"uid":{},"attrs":{{}},"parents":[{}]}}"#, uid(n), uid(n + 1))
        };
        let all: Vec<String> = (0..n).map(one).collect();
        format!("[{}]", all.join(","))
    };
    // The last level: as many copies as there is memory.
    let types = |n: usize| -> String {
        let more = (1..n).map(|n| format!("type T{n} = {{a: T{0}, b: T{0}}};\n", n - 1));
        format!("type T0 = Long;\n{}", more.collect::<String>())
    };
    let names: Vec<String> = (0..20_000).map(|n| format!("E{n}")).collect();
    let attributes: String = (0..2_000).map(|n| format!("a{n}: Long, ")).collect();
    let many = |of: usize| (0..of).map(|n| format!("P{n}")).collect::<Vec<String>>().join(", ");
    let text = "a".repeat(150_000);
    let twice = text.repeat(2);
    vec![
        ("a chain of types", vec![schema(&chain(1_200))], "schema.cedarschema:"),
        (
            "the same with a use",
            vec![schema(&format!("{}entity Z {{ z: T0 }};", chain(80)))],
            "schema.cedarschema:",
        ),
        ("types that double", vec![schema(&types(60))], "schema.cedarschema:"),
        ("a chain of groups", vec![schema(&groups(4_000))], "schema.cedarschema:"),
        (
            "copies of a declaration",
            vec![schema(&format!("entity {} {{ {attributes} }};", names.join(", ")))],
            "schema.cedarschema:",
        ),
        (
            "kinds of requests",
            vec![schema(&format!(
                "entity {0}; action x appliesTo {{ principal: [{0}], resource: [{0}] }};",
                many(400)
            ))],
            "schema.cedarschema:",
        ),
        ("a chain of entities", vec![("entities.json", entities(4_000))], "entities.json"),
        ("what nests in entities", vec![("entities.json", "[".repeat(100_000))], "entities.json"),
        (
            "what nests in tests",
            vec![("tests/deep.json", "[".repeat(1_000_000))],
            "tests/deep.json",
        ),
        ("brackets", vec![("rules/deep.cedar", "(".repeat(1_000_000))], "rules/deep.cedar:1: "),
        (
            "a text that does not end",
            vec![(
                "rules/open.cedar",
                format!(
                    "@id(\"x\") permit(principal, action, resource) when {{ \"{}",
                    "x".repeat(1_000_000)
                ),
            )],
            "rules/open.cedar:1: ",
        ),
        (
            "bytes that are none of Cedar's",
            vec![("rules/zero.cedar", "\0".repeat(1_000))],
            "rules/zero.cedar:1: ",
        ),
        (
            "faults without end",
            vec![("rules/many.cedar", "permit(principal, action, resource);\n".repeat(30_000))],
            "rules/many.cedar:1: ",
        ),
        (
            "a comparison that takes for ever",
            vec![(
                "rules/slow.cedar",
                format!(
                    "@id(\"slow\") forbid(principal, action, resource) when {{ \"{twice}\" like \"*{text}b\" }};"
                ),
            )],
            "rules/slow.cedar:1: ",
        ),
    ]
}

fn folder(more: &More) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    let policies = home.path().join("policies");
    copy_folder(&shipped_policies(), &policies);
    more.iter().for_each(|(path, text)| fs::write(policies.join(path), text).unwrap());
    home
}

fn run(arguments: &[&str]) -> Output {
    Command::new(binary()).args(arguments).env_clear().output().unwrap()
}

/// The exit code, which a process that a signal ended has none of, and what was said.
fn told(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn whatever_is_in_the_folder_is_refused_and_ends_no_command() {
    for (what, more, file) in refused() {
        let home = folder(&more);
        let dir = home.path().join("policies");
        let (code, message) = told(&run(&["policy", "check", dir.to_str().unwrap()]));
        assert_eq!(code, Some(3), "{what}: {message}");
        assert!(message.contains(file), "{what}: {message}");
        assert!(message.len() < 100_000, "{what}: {} bytes are told", message.len());
    }
}

#[test]
fn every_command_that_loads_a_folder_refuses_it() {
    let (_, more, file) = refused().swap_remove(0);
    let home = folder(&more);
    let dir = home.path().join("policies");
    let dir = dir.to_str().unwrap();
    let ask = ["--subject", "user:ann", "--action", "chats:view", "--resource", "chat:1"];
    let mut decide = vec!["decide", "--policies", dir];
    decide.extend(ask);
    for arguments in [
        &["policy", "test", dir][..],
        &["policy", "matrix", dir],
        &["policy", "matrix", "--before", dir],
        &decide,
    ] {
        let (code, message) = told(&run(arguments));
        assert_eq!(code, Some(3), "{arguments:?}: {message}");
        assert!(message.contains(file), "{arguments:?}: {message}");
    }
    let config = format!("[policies]\ndir = \"{dir}\"\n[decision]\nlisten = \"127.0.0.1:0\"\n");
    fs::write(home.path().join("kwic-team.toml"), config).unwrap();
    let (code, message) = told(&command(home.path()).arg("--check").output().unwrap());
    assert_eq!(code, Some(3), "{message}");
    assert!(message.contains(file), "{message}");
    let (code, message) = told(&run(&["policy", "fmt", dir, "--check"]));
    assert!(matches!(code, Some(0 | 1)), "it reads policies alone: {message}");
}

fn with_ann(start: &Start) -> Sidecar {
    let sidecar = Sidecar::start_with(start);
    sidecar.account("acme");
    sidecar.members("acme", &[("ann", "operator")]);
    sidecar
}

fn answers(sidecar: &Sidecar) -> bool {
    sidecar.tcp().allows(&question("ann", "chats:view", ("chat", "c"), "acme"))
}

#[test]
fn a_folder_that_would_end_the_sidecar_ends_it_neither_now_nor_at_the_next_start() {
    let mut sidecar = with_ann(&Start::default());
    let (_, more, file) = refused().swap_remove(0);
    for (path, text) in &more {
        fs::write(sidecar.path("policies").join(path), text).unwrap();
    }
    // Beside much else that the machine does, longer than usual.
    let end = Instant::now() + Duration::from_secs(120);
    while !sidecar.log_text().contains(file) {
        assert!(Instant::now() < end, "the folder is not refused");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(answers(&sidecar));
    sidecar.kill_and_restart();
    assert!(answers(&sidecar), "the last good policies stay active");
    let ready = sidecar.tcp().get("/readyz").json();
    assert_eq!(ready["policies"], "last_good");
    assert!(ready["fault"].as_str().unwrap().starts_with(file), "{ready}");
}

/// What it is, how it is made, and what is said of it.
type Special<'t> = (&'t str, &'t dyn Fn(&Path), &'t str);

#[test]
fn a_special_file_holds_up_no_reload() {
    let sidecar = with_ann(&Start { unwatched: true, ..Start::default() });
    let rules = sidecar.path("policies/rules");
    let key = sidecar.path("key");
    fs::write(&key, "permit-this-secret-and-no-other\n").unwrap();
    let pipe = |path: &Path| {
        assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    };
    let secrets = sidecar.path("this-secret-folder");
    fs::create_dir(&secrets).unwrap();
    fs::write(secrets.join("this-secret-name.cedar"), "").unwrap();
    let kinds: [Special<'_>; 9] = [
        ("a link to a folder", &|path| symlink(&secrets, path).unwrap(), "leads out"),
        ("a named pipe", &pipe, "named pipe"),
        (
            "a link to one",
            &|path| {
                pipe(&sidecar.path("pipe"));
                symlink(sidecar.path("pipe"), path).unwrap();
            },
            "leads out of the policy folder",
        ),
        ("a socket", &|path| drop(UnixListener::bind(path).unwrap()), "socket"),
        ("a link to a device", &|path| symlink("/dev/zero", path).unwrap(), "leads out"),
        ("a link to a key", &|path| symlink(&key, path).unwrap(), "leads out"),
        (
            "a link to what has no size",
            &|path| symlink("/proc/self/environ", path).unwrap(),
            "leads out",
        ),
        ("a link to itself", &|path| symlink(path, path).unwrap(), "cannot be read"),
        ("a link to nothing", &|path| symlink("nothing", path).unwrap(), "cannot be read"),
    ];
    for (what, make, why) in kinds {
        let path = rules.join("special.cedar");
        make(&path);
        let (code, message) = told(&sidecar.run(&["policy", "reload"]));
        assert_eq!(code, Some(3), "{what}: {message}");
        assert!(message.contains("rules/special.cedar: "), "{what}: {message}");
        assert!(message.contains(why), "{what}: {message}");
        let ready = sidecar.tcp().get("/readyz").body;
        assert!(ready.contains("rules/special.cedar: refused"), "{ready}");
        for told in [&message, &ready, &sidecar.log_text()] {
            assert!(!told.contains("this-secret"), "{what}: {told}");
        }
        let dir = sidecar.path("policies");
        let (code, message) = told(&run(&["policy", "fmt", dir.to_str().unwrap()]));
        assert_eq!(code, Some(3), "{what}: {message}");
        fs::remove_file(&path).unwrap();
        sidecar.ok(&["policy", "reload"]);
        assert!(answers(&sidecar), "{what}");
    }
}

#[test]
fn a_file_that_may_not_be_read_is_named_and_one_folder_in_a_circle_too() {
    let home = folder(&vec![]);
    let dir = home.path().join("policies");
    let check = || told(&run(&["policy", "check", dir.to_str().unwrap()]));
    let closed = dir.join("rules/tenancy.cedar");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    // Root may read everything.
    if fs::File::open(&closed).is_err() {
        let (code, message) = check();
        assert_eq!(code, Some(3), "{message}");
        assert!(message.contains("rules/tenancy.cedar: cannot be read"), "{message}");
    }
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o644)).unwrap();
    symlink("..", dir.join("rules/again")).unwrap();
    let (code, message) = check();
    assert_eq!(code, Some(3), "{message}");
    assert!(message.contains("rules/again"), "{message}");
    fs::remove_file(dir.join("rules/again")).unwrap();
    // Links that stay inside are followed, also to a hidden folder.
    fs::rename(dir.join("rules"), dir.join("..data")).unwrap();
    symlink("..data", dir.join("rules")).unwrap();
    let (code, message) = check();
    assert_eq!(code, Some(0), "{message}");
}

#[test]
fn readiness_tells_strangers_where_a_fault_is_and_its_operator_what_it_is() {
    let sidecar = with_ann(&Start { unwatched: true, ..Start::default() });
    let rule = sidecar.path("policies/rules/tenancy.cedar");
    fs::write(&rule, "@id(\"a\")\npermit(principal == nosuchword, action, resource);\n").unwrap();
    fs::write(sidecar.path("policies/rules/more.cedar"), "forbid nosuchword").unwrap();
    assert_eq!(sidecar.run(&["policy", "reload"]).status.code(), Some(3));
    let stranger = sidecar.tcp().get("/readyz").json();
    assert_eq!(
        stranger["fault"],
        "rules/more.cedar:1: refused; see the log, or run `kwic-team doctor`"
    );
    let operator = sidecar.admin().get("/readyz").json();
    let fault = operator["fault"].as_str().unwrap();
    assert!(fault.contains("nosuchword") && fault.contains("^^^"), "{fault}");
    assert!(sidecar.log_text().contains("nosuchword"));
}

/// A sample of the metrics.
fn sample(sidecar: &Sidecar, name: &str) -> i64 {
    let text = sidecar.tcp().get("/metrics").body;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

#[test]
fn the_metrics_say_whether_the_folder_loads_and_since_when_the_set_lives() {
    let [success, at] =
        ["kwic_policy_last_reload_successful", "kwic_policy_last_success_reload_timestamp_seconds"];
    let mut sidecar = Sidecar::start_with(&Start { unwatched: true, ..Start::default() });
    // A start counts, too.
    let begun = sample(&sidecar, at);
    assert!(sample(&sidecar, success) == 1 && begun > 1_700_000_000, "{begun}");
    let rule = sidecar.path("policies/rules/more.cedar");
    fs::write(&rule, "forbid nosuchword").unwrap();
    assert_eq!(sidecar.run(&["policy", "reload"]).status.code(), Some(3));
    assert_eq!((sample(&sidecar, success), sample(&sidecar, at)), (0, begun));
    // What answers after this start was accepted by the one before.
    sidecar.kill_and_restart();
    assert_eq!(sample(&sidecar, success), 0);
    assert!((1..=begun).contains(&sample(&sidecar, at)));
    fs::remove_file(&rule).unwrap();
    sidecar.ok(&["policy", "reload"]);
    assert!(sample(&sidecar, success) == 1 && sample(&sidecar, at) >= begun);
}

/// Reloads that ended so far.
fn reloads(app: &kwic_team::app::App) -> u64 {
    let text = app.telemetry.render(&Gauges::default());
    let counts = text.lines().filter_map(|line| line.strip_prefix("kwic_policy_reloads_total{"));
    counts.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

#[tokio::test]
async fn however_many_ask_for_a_reload_one_more_follows_the_one_that_runs() {
    let home = folder(&vec![]);
    let clock = Clock::fixed(Timestamp(1_764_000_000_000));
    let store = Store::in_memory(clock.clone()).await.unwrap();
    let mut config = Config::default_for(home.path().to_owned());
    config.policies.dir = Some(home.path().join("policies"));
    let begun = Snapshot::load(&policy_folder::embedded_policies(), &[]).unwrap();
    let directory = Arc::new(Directory::new());
    let follower = directory_sync::load(&store, &directory).await.unwrap();
    tokio::spawn(directory_sync::follow(Arc::clone(&directory), follower));
    let app = Arc::new(kwic_team::app::App::new(config, clock, begun, directory, store).unwrap());

    let running = app.reloading.lock().await;
    let ask = |_| {
        let app = Arc::clone(&app);
        tokio::spawn(async move { reload::reload_now(&app, StorePermit::system()).await })
    };
    let asked: Vec<_> = (0..300).map(ask).collect();
    while app.reloads_asked.load(Ordering::Acquire) < 300 {
        tokio::task::yield_now().await;
    }
    // What changes after they asked, and before the next one begins, counts.
    let rule = home.path().join("policies/rules/tenancy.cedar");
    let text = fs::read_to_string(&rule).unwrap();
    fs::write(&rule, format!("// Edited.\n{text}")).unwrap();
    drop(running);
    let live = policy_folder::read(&home.path().join("policies")).unwrap().digest();
    for answer in asked {
        let report = answer.await.unwrap().unwrap();
        assert_eq!((report.digest, report.changed), (live, true));
    }
    assert_eq!(reloads(&app), 1);
    let report = reload::reload_now(&app, StorePermit::system()).await.unwrap();
    assert_eq!(
        (report.digest, report.changed),
        (live, false),
        "one that asks later is not told of it"
    );
    assert_eq!(reloads(&app), 2);
    fs::write(&rule, "forbid(").unwrap();
    reload::reload_now(&app, StorePermit::system()).await.unwrap_err();
    reload::reload_now(&app, StorePermit::system()).await.unwrap_err();
    assert_eq!(reloads(&app), 4);
}
