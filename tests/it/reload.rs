//! Live policies: an edit changes decisions, a broken folder does not.
//!
//! The real sidecar on a real folder: watched, signalled, commanded, killed and restarted.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::time::Duration;

use kwic_team::app::App;
use kwic_team::clock::Clock;
use kwic_team::config::Config;
use kwic_team::directory::Directory;
use kwic_team::domain::{Kind, Timestamp};
use kwic_team::engine::Snapshot;
use kwic_team::policy_folder;
use kwic_team::services::permits::StorePermit;
use kwic_team::services::{directory_sync, reload};
use kwic_team::store::{AuditFilter, Store};

use crate::support::failing_storage::FailingStorage;
use crate::support::sidecar::{
    Sidecar, Start, copy_folder, eventually, question, shipped_policies,
};

pub fn with_ann(start: &Start) -> Sidecar {
    let sidecar = Sidecar::start_with(start);
    sidecar.account("acme");
    sidecar.members("acme", &[("ann", "contact_manager")]);
    sidecar
}

pub fn may_view_templates(sidecar: &Sidecar) -> bool {
    sidecar.tcp().allows(&question("ann", "templates:view", ("template", "t"), "acme"))
}

/// Gives the role one more action, or takes it away again.
pub fn role_file(sidecar: &Sidecar, with_templates: bool) {
    let shipped =
        fs::read_to_string(shipped_policies().join("roles/contact_manager.cedar")).unwrap();
    let text = if with_templates {
        shipped.replacen(
            "KWIC::Action::\"contacts:view\"",
            "KWIC::Action::\"contacts:view\", KWIC::Action::\"templates:view\"",
            1,
        )
    } else {
        shipped
    };
    // As editors write: a new file moved over the old one.
    let new = sidecar.path("policies/roles/.contact_manager.cedar.new");
    fs::write(&new, text).unwrap();
    fs::rename(new, sidecar.path("policies/roles/contact_manager.cedar")).unwrap();
}

/// The folder's own tests hold the shipped matrix; an edit of the matrix edits them as well.
pub fn without_tests(sidecar: &Sidecar) {
    fs::remove_dir_all(sidecar.path("policies/tests")).unwrap();
}

pub fn readiness(sidecar: &Sidecar) -> serde_json::Value {
    sidecar.tcp().get("/readyz").json()
}

#[test]
fn an_edited_role_file_changes_answers_by_itself() {
    let sidecar = with_ann(&Start::default());
    without_tests(&sidecar);
    eventually("the folder without tests is live", || {
        sidecar.log_text().contains("folder changed")
    });
    assert!(!may_view_templates(&sidecar));
    for may in [true, false, true, false, true] {
        role_file(&sidecar, may);
        eventually("the edit is live", || may_view_templates(&sidecar) == may);
    }
    let log = sidecar.log_text();
    assert!(log.contains("contact_manager gains templates:view on account, template"), "{log}");
    assert!(log.contains("contact_manager loses templates:view"), "{log}");
    let audit = sidecar.ok(&["audit", "list", "--store"]);
    assert!(
        audit.contains("policies_reloaded") && audit.contains("gains templates:view"),
        "{audit}"
    );
}

#[test]
fn a_broken_file_changes_nothing_and_is_named() {
    let mut sidecar = with_ann(&Start { unwatched: true, ..Start::default() });
    without_tests(&sidecar);
    role_file(&sidecar, true);
    sidecar.ok(&["policy", "reload"]);
    assert!(may_view_templates(&sidecar));
    let file = sidecar.path("policies/roles/operator.cedar");
    let text = fs::read_to_string(&file).unwrap();
    let broken = text.replacen("permit", "permmit", 1);
    let line = broken.lines().position(|line| line.contains("permmit")).unwrap() + 1;
    fs::write(&file, broken).unwrap();
    role_file(&sidecar, false);
    let output = sidecar.run(&["policy", "reload"]);
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{message}");
    assert!(message.contains(&format!("roles/operator.cedar:{line}: ")), "{message}");
    assert!(message.contains("^^^"), "{message}");
    assert!(may_view_templates(&sidecar), "nothing of a refused folder may be live");
    let ready = readiness(&sidecar);
    assert_eq!(ready["policies"], "live");
    assert!(ready["fault"].as_str().unwrap().contains("roles/operator.cedar"), "{ready}");

    sidecar.kill_and_restart();
    assert!(may_view_templates(&sidecar), "the last good set answers after a crash");
    let ready = readiness(&sidecar);
    assert_eq!(ready["policies"], "last_good");
    assert!(ready["fault"].as_str().unwrap().contains("roles/operator.cedar"), "{ready}");
    assert!(sidecar.tcp().get("/metrics").body.contains("state=\"last_good\""));

    fs::write(&file, text).unwrap();
    let output = sidecar.ok(&["policy", "reload"]);
    assert!(output.contains("contact_manager loses templates:view"), "{output}");
    assert!(!may_view_templates(&sidecar));
    assert_eq!(readiness(&sidecar)["policies"], "live");
    assert_eq!(readiness(&sidecar).get("fault"), None);
}

#[test]
fn a_role_that_open_invites_name_is_taken_away_and_the_report_says_so() {
    let sidecar = with_ann(&Start { unwatched: true, ..Start::default() });
    for who in ["bo", "cy"] {
        let email = format!("{who}@example.org");
        sidecar.ok(&[
            "invite",
            "send",
            "--email",
            &email,
            "--first-name",
            who,
            "--role",
            "operator",
        ]);
    }
    without_tests(&sidecar);
    let role = sidecar.path("policies/roles/operator.cedar");
    let text = fs::read_to_string(&role).unwrap();
    fs::remove_file(&role).unwrap();
    let note = "2 pending invites are for the role `operator`, which was removed";
    let output = sidecar.ok(&["policy", "reload"]);
    assert!(output.contains(note), "{output}");
    fs::write(&role, text).unwrap();
    assert!(!sidecar.ok(&["policy", "reload"]).contains("pending invites"));
}

#[test]
fn each_kind_of_fault_is_refused_by_name() {
    let sidecar = with_ann(&Start { unwatched: true, ..Start::default() });
    let policies = sidecar.path("policies");
    let refused = |what: &str, expected: &[&str]| {
        let output = sidecar.run(&["policy", "reload"]);
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(3), "{what}: {message}");
        for text in expected {
            assert!(message.contains(text), "{what}: no `{text}` in\n{message}");
        }
        assert!(!may_view_templates(&sidecar));
        fs::remove_dir_all(&policies).ok();
        copy_folder(&shipped_policies(), &policies);
    };
    fs::remove_file(policies.join("roles/contact_manager.cedar")).unwrap();
    refused("a role that a member holds", &["contact_manager", "1 member holds it"]);
    let rule = policies.join("rules/extra.cedar");
    fs::write(&rule, "permit(principal, action, resource);").unwrap();
    refused("no id", &["rules/extra.cedar:1: this policy has no `@id`"]);
    fs::write(&rule, "\n@id(\"tenancy\") permit(principal, action, resource);").unwrap();
    refused("an id twice", &["the id `tenancy` is taken"]);
    fs::write(&rule, "@id(\"x\") permit(principal == ?principal, action, resource);").unwrap();
    refused("a template", &["has a slot"]);
    fs::write(
        &rule,
        "@id(\"x\") permit(principal, action, resource) when { principal.height > 3 };",
    )
    .unwrap();
    refused("a type error", &["rules/extra.cedar:1: ", "height", "^"]);
    fs::write(&rule, "@id(\"x\") permit(principal is KWIC::User, action == KWIC::Action::\"chats:view\", resource);").unwrap();
    refused("a failing test", &["tests/", "fails"]);
    let role = policies.join("roles/operator.cedar");
    let text = fs::read_to_string(&role).unwrap();
    fs::write(&role, text.replace("@title", "@name")).unwrap();
    refused("no title", &["roles/operator.cedar", "no `@title`"]);
    fs::write(
        policies.join("entities.json"),
        r#"[{"uid":{"type":"KWIC::User","id":"x"},"attrs":{},"parents":[]}]"#,
    )
    .unwrap();
    refused("a user in entities.json", &["entities.json"]);
    fs::write(policies.join("schema.cedarschema"), "entity ;").unwrap();
    refused("a broken schema", &["schema.cedarschema:1: "]);
    fs::remove_dir_all(&policies).unwrap();
    fs::create_dir(&policies).unwrap();
    refused("an empty folder", &["schema.cedarschema", "policy init"]);
    fs::remove_dir_all(&policies).unwrap();
    refused("a folder that vanished", &["cannot be read"]);
    sidecar.ok(&["policy", "reload"]);
    assert_eq!(readiness(&sidecar).get("fault"), None);
}

#[test]
fn a_hangup_reloads() {
    let sidecar = with_ann(&Start { unwatched: true, ..Start::default() });
    without_tests(&sidecar);
    role_file(&sidecar, true);
    sidecar.signal("HUP");
    eventually("the signal reloads", || may_view_templates(&sidecar));
}

#[test]
fn a_swap_behind_symbolic_links_is_noticed() {
    // As Kubernetes mounts a ConfigMap: files are links into `..data`, itself a link that is
    // swapped for one to a new folder.
    let source = tempfile::tempdir().unwrap();
    let policies = source.path().join("policies");
    copy_folder(&shipped_policies(), &policies);
    fs::remove_dir_all(policies.join("tests")).unwrap();
    let sidecar = with_ann(&Start { policies: Some(policies), ..Start::default() });
    let roles = sidecar.path("policies/roles");
    let version = |name: &str, may: bool| {
        let folder = roles.join(name);
        copy_folder(&shipped_policies().join("roles"), &folder);
        if may {
            let file = folder.join("contact_manager.cedar");
            let text = fs::read_to_string(&file).unwrap();
            let more = "KWIC::Action::\"templates:view\", KWIC::Action::\"contacts:view\"";
            fs::write(&file, text.replacen("KWIC::Action::\"contacts:view\"", more, 1)).unwrap();
        }
    };
    let point = |name: &str| {
        symlink(name, roles.join("..data_tmp")).unwrap();
        fs::rename(roles.join("..data_tmp"), roles.join("..data")).unwrap();
    };
    version("..1", false);
    point("..1");
    for entry in fs::read_dir(shipped_policies().join("roles")).unwrap() {
        let name = entry.unwrap().file_name();
        fs::remove_file(roles.join(&name)).unwrap();
        symlink(std::path::Path::new("..data").join(&name), roles.join(&name)).unwrap();
    }
    assert!(!may_view_templates(&sidecar));
    version("..2", true);
    point("..2");
    eventually("the swap is live", || may_view_templates(&sidecar));
    point("..1");
    eventually("the swap back is live", || !may_view_templates(&sidecar));
}

#[test]
fn a_deleted_rule_and_a_renamed_file_are_noticed() {
    let sidecar = with_ann(&Start::default());
    without_tests(&sidecar);
    fs::write(
        sidecar.path("policies/rules/extra.cedar"),
        "@id(\"extra\") permit(principal is KWIC::User, action == KWIC::Action::\"templates:view\", resource);",
    )
    .unwrap();
    eventually("the rule is live", || may_view_templates(&sidecar));
    fs::rename(
        sidecar.path("policies/rules/extra.cedar"),
        sidecar.path("policies/rules/renamed.cedar"),
    )
    .unwrap();
    let reloads = || sidecar.log_text().matches("folder changed").count();
    let before = reloads();
    eventually("the rename reloads", || reloads() > before);
    assert!(may_view_templates(&sidecar));
    fs::remove_file(sidecar.path("policies/rules/renamed.cedar")).unwrap();
    eventually("the rule is gone", || !may_view_templates(&sidecar));
}

#[test]
fn no_request_notices_a_reload() {
    let sidecar = with_ann(&Start { unwatched: true, ..Start::default() });
    without_tests(&sidecar);
    let address = sidecar.address.clone();
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stopped = std::sync::Arc::clone(&stop);
    let hammer = std::thread::spawn(move || {
        let stream = std::net::TcpStream::connect(address).unwrap();
        let mut connection = crate::support::sidecar::Connection::new(stream);
        let sure = question("ann", "contacts:view", ("contact", "c"), "acme");
        let mut asked = 0;
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
            assert!(connection.allows(&sure));
            asked += 1;
        }
        asked
    });
    for round in 0..10 {
        role_file(&sidecar, round % 2 == 0);
        sidecar.ok(&["policy", "reload"]);
        assert_eq!(may_view_templates(&sidecar), round % 2 == 0);
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(hammer.join().unwrap() > 100);
}

#[tokio::test]
async fn a_set_that_could_not_be_kept_is_kept_as_soon_as_it_can() {
    let folder = tempfile::tempdir().unwrap();
    let policies = folder.path().join("policies");
    copy_folder(&shipped_policies(), &policies);
    let disk = FailingStorage::default();
    let opened = disk.clone();
    let clock = Clock::fixed(Timestamp(1_764_000_000_000));
    let store = Store::on(move || opened.clone(), clock.clone()).await.unwrap();
    let directory = Arc::new(Directory::new());
    let follower = directory_sync::load(&store, &directory).await.unwrap();
    tokio::spawn(directory_sync::follow(Arc::clone(&directory), follower));
    let mut config = Config::default_for(folder.path().to_owned());
    config.policies.dir = Some(policies.clone());
    let begun = Snapshot::load(&policy_folder::embedded_policies(), &[]).unwrap();
    let app = Arc::new(App::new(config, clock, begun, directory, store).unwrap());
    let kept = async || app.store.policies_last_good().await.unwrap().map(|kept| kept.digest);

    let role = policies.join("roles/operator.cedar");
    let text = fs::read_to_string(&role).unwrap();
    fs::write(&role, format!("// Another set.\n{text}")).unwrap();
    disk.break_at_call(1);
    let refused = reload::reload_now(&app, StorePermit::system()).await.unwrap_err();
    assert_eq!((refused.kind, refused.code), (Kind::Busy, "policies_not_kept"));
    let live = app.policies.load().digest();
    disk.heal();
    assert_ne!(kept().await, Some(live));

    let report = reload::reload_now(&app, StorePermit::system()).await.unwrap();
    assert!(!report.changed);
    assert_eq!((report.digest, kept().await), (live, Some(live)));
    let log = app.store.audit(None, &AuditFilter::default(), None, 10).await.unwrap();
    let reloads = log.items.iter().filter(|entry| entry.event == "policies_reloaded").count();
    assert_eq!(reloads, 1);
    reload::reload_now(&app, StorePermit::system()).await.unwrap();
    assert_eq!(app.store.audit(None, &AuditFilter::default(), None, 10).await.unwrap(), log);
    // Other files in the folder change nothing.
    for text in ["one", "one\ntwo"] {
        fs::write(policies.join("rules/sync.log"), text).unwrap();
        assert!(!reload::reload_now(&app, StorePermit::system()).await.unwrap().changed);
    }
    assert_eq!(app.store.audit(None, &AuditFilter::default(), None, 10).await.unwrap(), log);
}

#[test]
fn a_folder_in_a_folder_is_refused_and_never_passed_over() {
    let sidecar = with_ann(&Start { unwatched: true, ..Start::default() });
    fs::create_dir(sidecar.path("policies/rules/more")).unwrap();
    let rule = "@id(\"nobody\") forbid (principal, action, resource);";
    fs::write(sidecar.path("policies/rules/more/nobody.cedar"), rule).unwrap();
    let output = sidecar.run(&["policy", "reload"]);
    assert_eq!(output.status.code(), Some(3));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("`rules/more` is a folder in a folder"), "{message}");
}

#[test]
fn what_changes_while_it_starts_is_seen_once_it_has_started() {
    let mut sidecar = with_ann(&Start::default());
    sidecar.kill();
    let begun = "checking the policies";
    let before = sidecar.log_text().matches(begun).count();
    let (log, rule) = (sidecar.log.clone(), sidecar.path("policies/rules/tenancy.cedar"));
    let editor = std::thread::spawn(move || {
        eventually("the policies are being checked", || {
            fs::read_to_string(&log).unwrap().matches(begun).count() > before
        });
        // Read by now, and checked for a while yet.
        std::thread::sleep(Duration::from_millis(150));
        let text = fs::read_to_string(&rule).unwrap();
        fs::write(&rule, format!("{text}\n// Edited.\n")).unwrap();
    });
    sidecar.restart();
    editor.join().unwrap();
    let edited = policy_folder::read(&sidecar.path("policies")).unwrap().digest().hex();
    eventually("the edit is live", || readiness(&sidecar)["digest"] == edited.as_str());
}
