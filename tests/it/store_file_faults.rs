//! Problems with the store's file while the sidecar runs: replaced, deleted, truncated,
//! overwritten, damaged, or on a failing disk. Each is noticed, and nothing is acknowledged that a
//! restart undoes.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use kwic_team::clock::Clock;
use kwic_team::domain::{Failure, Member};
use kwic_team::store::change_feed::LoadedRecord;
use kwic_team::store::{MemberFilter, Store};

use crate::support::api_users::{document, problem};
use crate::support::fake_sidecar::Ran;
use crate::support::sidecar::{
    Answer, Sidecar, Start, command, eventually, is_installed, question,
};
use crate::support::store_fixture::{ACTOR, NOW, member, slug};

const STORE: &str = "data/kwic.redb";

fn doctor(sidecar: &Sidecar) -> Ran {
    sidecar.run(&["doctor"]).into()
}

fn readyz(sidecar: &Sidecar) -> Answer {
    sidecar.tcp().get("/readyz")
}

fn metric(sidecar: &Sidecar, name: &str) -> u64 {
    let text = sidecar.tcp().get("/metrics").body;
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.unwrap_or_else(|| panic!("no {name} in\n{text}")).parse().unwrap()
}

fn with_ann(sidecar: &Sidecar) {
    sidecar.account("acme");
    sidecar.members("acme", &[("ann", "operator"), ("chief", "administrator")]);
}

/// Every change is refused, every check says so, and none of it names a path to strangers.
#[track_caller]
fn is_noticed(sidecar: &Sidecar, what: &str) {
    let told = Ran::from(sidecar.run(&["member", "remove", "ann", "--yes"])).complains(1);
    assert!(told.contains(what) && told.contains("nothing was changed"), "{told}");
    assert!(told.contains("kwic.redb"), "its operator is told which file: {told}");
    let mut admin = sidecar.admin();
    let answer =
        admin.send("POST", "/api/v1/members/ann/suspend?account=acme", "if-match: \"1\"\r\n", "");
    assert_eq!(problem(&answer, 503), "store_replaced");
    let answer = readyz(sidecar);
    assert_eq!((answer.status, &answer.json()["status"]), (503, &"store_replaced".into()));
    assert!(answer.body.contains(what), "{answer:?}");
    assert!(!answer.body.contains(sidecar.home.path().to_str().unwrap()), "{answer:?}");
    let ill = doctor(sidecar).ends(1);
    assert!(
        ill.contains(&format!("fail: the sidecar is not ready: the store's file {what}")),
        "{ill}"
    );
    assert_eq!(metric(sidecar, "kwic_store_replaced"), 1);
}

#[track_caller]
fn is_well(sidecar: &Sidecar) {
    assert_eq!((readyz(sidecar).status, metric(sidecar, "kwic_store_replaced")), (200, 0));
    doctor(sidecar).ends(0);
}

#[test]
fn a_file_that_is_not_the_open_one_takes_no_change() {
    let mut sidecar = Sidecar::start();
    with_ann(&sidecar);
    let backup = sidecar.path("backup");
    sidecar.ok(&["backup", backup.to_str().unwrap()]);
    let (store, aside) = (sidecar.path(STORE), sidecar.path("aside"));
    is_well(&sidecar);

    fs::rename(&store, &aside).unwrap();
    is_noticed(&sidecar, "was deleted or moved away");
    fs::copy(backup.join("kwic.redb"), &store).unwrap();
    is_noticed(&sidecar, "was replaced by another one");
    // What the sidecar holds can still be saved, though the keys are gone too.
    fs::rename(sidecar.path("data/keys"), sidecar.path("keys-aside")).unwrap();
    let saved = sidecar.path("saved");
    sidecar.ok(&["backup", saved.to_str().unwrap()]);
    let ill = doctor(&sidecar).ends(1);
    assert!(
        ill.contains("link-1.key, seal-1.key; before it stops, run `kwic-team backup`"),
        "{ill}"
    );
    fs::rename(sidecar.path("keys-aside"), sidecar.path("data/keys")).unwrap();
    let key = |folder: &Path| fs::read(folder.join("keys/seal-1.key")).unwrap();
    assert_eq!(key(&saved), key(&sidecar.path("data")));
    fs::rename(&aside, &store).unwrap();
    is_well(&sidecar);
    let data = sidecar.path("data");
    fs::rename(&data, sidecar.path("moved")).unwrap();
    assert_eq!(readyz(&sidecar).status, 503);
    fs::rename(sidecar.path("moved"), &data).unwrap();
    is_well(&sidecar);

    // In its place, with the inode that it has.
    let whole = fs::read(&store).unwrap();
    fs::write(&store, fs::read(backup.join("kwic.redb")).unwrap()).unwrap();
    is_noticed(&sidecar, "was written over by another process");
    fs::write(&store, &whole[..whole.len() / 2]).unwrap();
    is_noticed(&sidecar, "was cut off by another process");
    eventually("it is told without being asked", || sidecar.log_text().contains("store's file"));
    fs::write(&store, &whole).unwrap();
    is_well(&sidecar);

    sidecar.ok(&["member", "remove", "ann", "--yes"]);
    sidecar.kill_and_restart();
    let listed = sidecar.ok(&["member", "list"]);
    assert!(listed.contains("chief") && !listed.contains("ann"), "{listed}");
}

#[test]
fn what_another_process_wrote_is_not_written_over_at_the_end() {
    let mut sidecar = Sidecar::start();
    with_ann(&sidecar);
    let backup = sidecar.path("backup");
    sidecar.ok(&["backup", backup.to_str().unwrap()]);
    sidecar.ok(&["member", "remove", "ann", "--yes"]);
    let put_there = fs::read(backup.join("kwic.redb")).unwrap();
    fs::write(sidecar.path(STORE), &put_there).unwrap();
    sidecar.signal("TERM");
    assert_eq!(sidecar.wait(), Some(0));
    assert!(fs::read(sidecar.path(STORE)).unwrap() == put_there, "the file was written to");
}

#[test]
fn keys_without_a_store_are_not_given_an_empty_one() {
    let mut sidecar = Sidecar::start();
    with_ann(&sidecar);
    sidecar.kill();
    fs::remove_file(sidecar.path(STORE)).unwrap();
    let refused = Ran::from(command(sidecar.home.path()).output().unwrap());
    let told = refused.err;
    assert_eq!(refused.code, 1, "{told}");
    assert!(told.contains("restore a backup") && told.contains("keys` first"), "{told}");
    assert!(!sidecar.path(STORE).exists());
    let ill = doctor(&sidecar).ends(1);
    assert!(ill.contains("fail: there is no store"), "{ill}");
    fs::remove_dir_all(sidecar.path("data/keys")).unwrap();
    sidecar.restart();
    assert_eq!(sidecar.ok(&["account", "list"]), "");
}

#[test]
fn a_socket_whose_file_is_removed_is_made_anew() {
    let sidecar = Sidecar::start();
    for socket in ["data/admin.sock", "decide.sock"] {
        fs::remove_file(sidecar.path(socket)).unwrap();
        eventually(socket, || sidecar.path(socket).exists());
    }
    sidecar.account("acme");
    assert_eq!(sidecar.unix().get("/livez").status, 200);
    assert!(sidecar.path("data/admin.sock").exists());
}

#[test]
fn a_disk_that_refuses_is_told_and_forgotten_once_it_does_not() {
    if !is_installed("prlimit") {
        return;
    }
    let mut sidecar = Sidecar::start_with(&Start { unwatched: true, ..Start::default() });
    with_ann(&sidecar);
    let limit = |bytes: &str| {
        let pid = sidecar.pid().to_string();
        let bound = format!("--fsize={bytes}:unlimited");
        assert!(Command::new("prlimit").args(["--pid", &pid, &bound]).status().unwrap().success());
    };
    // A file takes no more than this: as with a full disk, writing fails, whatever is written.
    limit("4096");
    let told = Ran::from(sidecar.run(&["member", "suspend", "ann"])).complains(1);
    assert!(told.contains("File too large"), "{told}");
    let ready = readyz(&sidecar);
    assert_eq!((ready.status, &ready.json()["store"]), (200, &"failing".into()));
    assert!(ready.body.contains("File too large"), "{ready:?}");
    assert!(!ready.body.contains(sidecar.home.path().to_str().unwrap()), "{ready:?}");
    assert!(metric(&sidecar, "kwic_store_write_failures_total") > 0);
    let ill = doctor(&sidecar).ends(1);
    assert!(
        ill.contains("fail: the store cannot be written") && ill.contains("too large"),
        "{ill}"
    );

    // New policies are live all the same, and not kept.
    let more = sidecar.path("policies/rules/more.cedar");
    fs::write(
        &more,
        "@id(\"more\") forbid(principal, action, resource) when { context has more };",
    )
    .unwrap();
    let told = Ran::from(sidecar.run(&["policy", "reload"])).complains(1);
    assert!(told.contains("are live, but could not be saved"), "{told}");
    assert!(readyz(&sidecar).json().get("policies_unkept").is_some());
    assert_eq!(metric(&sidecar, "kwic_policies_unkept"), 1);
    let ill = doctor(&sidecar).ends(1);
    assert!(ill.contains("fail: the live policies are not saved"), "{ill}");

    limit("unlimited");
    eventually("the policies are kept and the store works", || {
        let ready = readyz(&sidecar).json();
        ready.get("policies_unkept").is_none() && ready["store"] == "ok"
    });
    doctor(&sidecar).ends(0);
    assert_eq!(metric(&sidecar, "kwic_policies_unkept"), 0);
    assert_eq!(document(&readyz(&sidecar), 200)["status"], "ready");
    let live = readyz(&sidecar).json()["digest"].clone();
    sidecar.ok(&["member", "suspend", "ann"]);
    // The set that was kept at last is the one to begin with where the folder is at fault.
    sidecar.kill();
    fs::write(&more, "forbid(").unwrap();
    sidecar.restart();
    let ready = readyz(&sidecar).json();
    assert_eq!((&ready["policies"], &ready["digest"]), (&"last_good".into(), &live));
}

#[test]
fn a_log_that_takes_no_line_stops_nothing() {
    let sidecar = Sidecar::start();
    with_ann(&sidecar);
    if !is_installed("prlimit") {
        return;
    }
    let pid = sidecar.pid().to_string();
    // Below what the log has: each line fails.
    let bound = "--fsize=1:unlimited";
    assert!(Command::new("prlimit").args(["--pid", &pid, bound]).status().unwrap().success());
    for _ in 0..3 {
        let refused = Ran::from(sidecar.run(&["member", "suspend", "ann"])).complains(1);
        assert!(refused.contains("File too large"), "{refused}");
    }
    assert_eq!(metric(&sidecar, "kwic_handler_panics_total"), 0);
}

/// The position of a text in a file.
fn places(bytes: &[u8], text: &str) -> Vec<u64> {
    let at = |(at, window): (usize, &[u8])| (window == text.as_bytes()).then_some(at as u64);
    bytes.windows(text.len()).enumerate().filter_map(at).collect()
}

#[test]
fn a_flipped_bit_in_an_address_is_found_and_never_backed_up() {
    let mut sidecar = Sidecar::start();
    with_ann(&sidecar);
    let file = fs::File::options().write(true).open(sidecar.path(STORE)).unwrap();
    let places = places(&fs::read(sidecar.path(STORE)).unwrap(), "ann@example.org");
    assert!(!places.is_empty());
    let put = |letter: &[u8]| places.iter().for_each(|at| file.write_all_at(letter, *at).unwrap());
    doctor(&sidecar).ends(0);
    put(b"c");
    let folder = sidecar.path("backup");
    let ill = |sidecar: &Sidecar| {
        let found = doctor(sidecar).ends(1);
        assert!(found.contains("is damaged") && found.contains("restore"), "{found}");
        let refused = Ran::from(sidecar.run(&["backup", folder.to_str().unwrap()])).complains(1);
        assert!(refused.contains("is damaged"), "{refused}");
        assert!(!folder.exists());
    };
    ill(&sidecar);
    sidecar.kill();
    ill(&sidecar);
    put(b"a");
    let alone = doctor(&sidecar).ends(1);
    assert!(alone.contains("ok: every page of the store"), "{alone}");
    sidecar.restart();
    doctor(&sidecar).ends(0);
}

#[test]
fn work_on_the_store_that_panics_is_told_and_nothing_is_written_after_it() {
    // More members than its cache holds pages for: what is zeroed in the file is read from there.
    let config = "[store]\ncache_mb = 1\n".to_owned();
    let mut sidecar = Sidecar::start_with(&Start { config, ..Start::default() });
    sidecar.account("acme");
    let ids: Vec<String> = (0..6_000).map(|number| format!("m{number}")).collect();
    let more = ids.iter().map(|id| (id.as_str(), "operator"));
    sidecar.members("acme", &more.chain([("ann", "operator")]).collect::<Vec<_>>());
    sidecar.signal("TERM");
    assert_eq!(sidecar.wait(), Some(0));
    sidecar.restart();
    let asks = question("ann", "chats:view", ("chat", "1"), "acme");
    assert!(sidecar.tcp().allows(&asks));
    let file = fs::File::options().write(true).open(sidecar.path(STORE)).unwrap();
    let length = usize::try_from(file.metadata().unwrap().len()).unwrap();
    file.write_all_at(&vec![0; length - 4096], 4096).unwrap();
    let zeroed = fs::read(sidecar.path(STORE)).unwrap();
    let edit = ["member", "edit", "ann", "--first-name", "Z"];
    for _ in 0..3 {
        let told = Ran::from(sidecar.run(&edit)).complains(1);
        assert!(told.contains("restore the last backup"), "{told}");
    }
    Ran::from(sidecar.run(&["audit", "verify"])).complains(1);
    let mut admin = sidecar.admin();
    let answer =
        admin.send("POST", "/api/v1/members/ann/suspend?account=acme", "if-match: \"1\"\r\n", "");
    assert_eq!(problem(&answer, 503), "store_broken");
    let ready = document(&readyz(&sidecar), 200);
    assert_eq!(ready["store"], "failing", "{ready}");
    assert!(ready["store_fault"].as_str().unwrap().contains("until a restart"), "{ready}");
    assert_eq!(metric(&sidecar, "kwic_store_failing"), 1);
    assert!(metric(&sidecar, "kwic_store_write_failures_total") > 0);
    let ill = doctor(&sidecar).ends(1);
    assert!(ill.contains("fail: the store cannot be written"), "{ill}");
    assert!(!ill.contains("changes are accepted again"), "{ill}");
    assert!(sidecar.tcp().allows(&asks), "decisions go on");
    let log = sidecar.log_text();
    assert!(log.contains("until a restart") && !log.contains("can be written again"), "{log}");
    sidecar.signal("TERM");
    assert_eq!(sidecar.wait(), Some(0));
    assert!(fs::read(sidecar.path(STORE)).unwrap() == zeroed, "the file was written to");
}

/// Everything that a start reads of a store.
async fn loaded(store: &Store) -> Result<(Vec<Member>, Vec<String>), Failure> {
    let (told, reader) = std::sync::mpsc::channel();
    store.load(move |record| drop(told.send(record))).await?;
    let mut rows = Vec::new();
    for record in reader {
        match record {
            // How many come at once depends on how fast each thread reads.
            LoadedRecord::Members(members) => {
                rows.extend(members.iter().map(|member| format!("{member:?}")));
            }
            record => rows.push(format!("{record:?}")),
        }
    }
    rows.sort();
    let page = store.members(&slug("acme"), &MemberFilter::default(), None, 100).await?;
    Ok((page.items, rows))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_is_refused_or_read_as_it_was() {
    let home = tempfile::tempdir().unwrap();
    let (path, copy) = (home.path().join("whole"), home.path().join("copy"));
    let store = Store::open(&path, 1, Clock::fixed(NOW)).await.unwrap();
    store.account_create(&ACTOR, slug("acme"), "Acme".into(), None).await.unwrap();
    for number in 0..30 {
        store.member_create(&ACTOR, member("acme", &format!("m{number}"))).await.unwrap();
    }
    drop(store);
    let whole = fs::read(&path).unwrap();
    let before = loaded(&Store::view(&path).await.unwrap()).await.unwrap();
    assert!(fs::read(&path).unwrap() == whole, "a look changes nothing");
    let in_use: Vec<usize> = (0..whole.len()).filter(|at| whole[*at] != 0).collect();
    let mut found = 0;
    for at in in_use.iter().step_by((in_use.len() / 100).max(1)) {
        let mut bytes = whole.clone();
        bytes[*at] ^= 1 << (at % 8);
        fs::write(&copy, &bytes).unwrap();
        match Store::view(&copy).await {
            Err(failure) => {
                found += 1;
                let told = failure.public;
                let says = ["damaged", "another version", "cut off"];
                assert!(says.iter().any(|word| told.contains(word)), "{at}: {told}");
            }
            Ok(view) => assert_eq!(loaded(&view).await.unwrap(), before, "{at}"),
        }
        // A start does not look at every page; what it meets is a sentence, never a panic.
        match Store::open(&copy, 1, Clock::fixed(NOW)).await {
            Ok(store) => drop(loaded(&store).await),
            Err(failure) => assert_eq!(failure.code, "store", "{at}: {failure}"),
        }
    }
    assert!(found > 10, "only {found} flips were found");
    for length in [0, 1, 100, 320, 4096, 5000, whole.len() / 2, whole.len() - 1] {
        fs::write(&copy, &whole[..length]).unwrap();
        let failure = Store::open(&copy, 1, Clock::fixed(NOW)).await.unwrap_err();
        assert!(failure.public.contains("restore a backup"), "{length}: {failure}");
    }
}

#[test]
fn what_a_killed_backup_left_is_named_and_removed() {
    let mut sidecar = Sidecar::start();
    sidecar.account("acme");
    sidecar.kill();
    let left = sidecar.path("nightly.0a1b2c3d.part");
    fs::create_dir_all(left.join("keys")).unwrap();
    fs::copy(sidecar.path("data/keys/seal-1.key"), left.join("keys/seal-1.key")).unwrap();
    let staged = sidecar.path("data/kwic.redb.restoring");
    fs::copy(sidecar.path(STORE), &staged).unwrap();
    let link = sidecar.path("data/kwic.redb.before-restore-20261124T120000123Z");
    fs::hard_link(sidecar.path(STORE), &link).unwrap();
    // No process has such a number.
    let socket = sidecar.path("data/admin.sock.99999999");
    drop(UnixListener::bind(&socket).unwrap());
    let told = doctor(&sidecar).ends(1);
    let named = format!("has left the socket `{}`", socket.display());
    assert!(told.contains(&named), "{told}");
    for path in [&left, &staged, &link] {
        assert!(told.contains(&format!("has left `{}`", path.display())), "{told}");
    }
    assert!(told.contains("warn: `acme` has no members yet"), "{told}");
    sidecar.restart();
    assert!(!left.exists() && !staged.exists() && !link.exists());
    assert!(fs::symlink_metadata(&socket).is_err());
    let well = doctor(&sidecar).ends(0);
    assert!(!well.contains("has left"), "{well}");
    assert!(well.contains("warn: `acme` has no members yet"), "{well}");
}
