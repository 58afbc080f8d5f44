//! Broken states of a data folder that could look healthy: missing keys, an interrupted restore,
//! sockets of other programs, links to the store, a full disk.

use std::fs;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use kwic_team::clock::Clock;
use kwic_team::domain::Kind;
use kwic_team::store::Store;
use serde_json::{Value as Json, json};

use crate::support::api_users::{document, problem};
use crate::support::fake_sidecar::Ran;
use crate::support::sidecar::{
    PATIENCE, Sidecar, Start, command, copy_folder, eventually, is_installed, question,
};
use crate::support::store_fixture::{ACTOR, NOW, member, slug};

const STORE: &str = "data/kwic.redb";

fn with_ann(sidecar: &Sidecar) {
    sidecar.account("acme");
    let members = [("ann", "operator"), ("bo", "operator"), ("chief", "administrator")];
    sidecar.members("acme", &members);
}

fn back_up(sidecar: &Sidecar, name: &str) -> (PathBuf, Json) {
    let folder = sidecar.path(name);
    let taken = sidecar.ok(&["backup", folder.to_str().unwrap(), "--json"]);
    (folder, serde_json::from_str(&taken).unwrap())
}

/// What a start says that is refused.
#[track_caller]
fn refused(sidecar: &Sidecar) -> String {
    let mut start = command(sidecar.home.path());
    let mut child = start.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(10));
    }
    // One that was not refused would go on for ever.
    let _ = child.kill();
    let ran = child.wait_with_output().unwrap();
    let told = String::from_utf8(ran.stderr).unwrap();
    assert_eq!(ran.status.code(), Some(1), "{told}");
    told
}

fn doctor(sidecar: &Sidecar) -> Ran {
    sidecar.run(&["doctor"]).into()
}

fn inode(path: &Path) -> u64 {
    fs::metadata(path).unwrap().ino()
}

#[test]
fn a_backup_without_a_sidecar_says_that_it_is_one() {
    let mut sidecar = Sidecar::start();
    sidecar.account("acme");
    assert_eq!(back_up(&sidecar, "online").1["offline"], json!(false));
    sidecar.kill();
    let told = sidecar.ok(&["backup", sidecar.path("offline").to_str().unwrap()]);
    assert!(told.contains("no sidecar answered") && told.contains("kwic.redb"), "{told}");
    assert_eq!(back_up(&sidecar, "again").1["offline"], json!(true));

    let socket = sidecar.path("data/admin.sock");
    let _ = fs::remove_file(&socket);
    fs::write(&socket, "mine").unwrap();
    for line in [&["backup", "never"][..], &["account", "list"]] {
        let told = Ran::from(sidecar.run(line)).complains(1);
        assert!(told.contains("admin.sock` is not a socket: move it away"), "{told}");
    }
    let ill = doctor(&sidecar).ends(1);
    assert!(ill.contains("admin.sock` is not a socket: move it away"), "{ill}");
}

#[test]
fn a_folder_that_is_swapped_under_a_sidecar_is_not_backed_up_in_its_place() {
    let sidecar = Sidecar::start();
    with_ann(&sidecar);
    let (before, _) = back_up(&sidecar, "before");
    sidecar.ok(&["member", "remove", "ann", "--yes"]);
    fs::rename(sidecar.path("data"), sidecar.path("aside")).unwrap();
    copy_folder(&before, &sidecar.path("data"));
    drop(UnixListener::bind(sidecar.path("data/admin.sock")).unwrap());
    let told = |told: &str| told.contains("was replaced by another one");
    eventually("the sidecar answers in its place", || told(&doctor(&sidecar).out));
    let (saved, taken) = back_up(&sidecar, "saved");
    assert_eq!(taken["offline"], json!(false));
    assert!(
        fs::read(saved.join("kwic.redb")).unwrap() != fs::read(before.join("kwic.redb")).unwrap()
    );
}

#[test]
fn members_without_keys_are_not_given_new_ones() {
    let mut sidecar = Sidecar::start();
    with_ann(&sidecar);
    sidecar.kill();
    let (keys, aside) = (sidecar.path("data/keys"), sidecar.path("keys-aside"));
    fs::rename(&keys, &aside).unwrap();
    for told in [refused(&sidecar), doctor(&sidecar).ends(1)] {
        assert!(told.contains("the keys of this store are missing"), "{told}");
        assert!(told.contains("restore `keys/`") && told.contains("empty folder `"), "{told}");
    }
    assert!(!keys.exists(), "a start that is refused makes no keys");
    fs::rename(&aside, &keys).unwrap();
    sidecar.restart();
    doctor(&sidecar).ends(0);
    sidecar.kill();

    // One kind of them is lost.
    fs::remove_file(keys.join("link-1.key")).unwrap();
    for told in [refused(&sidecar), doctor(&sidecar).ends(1)] {
        assert!(told.contains("link-") && told.contains("kwic-team keys rotate"), "{told}");
    }
    sidecar.ok(&["keys", "rotate"]);
    sidecar.restart();
    sidecar.kill();

    // The way out.
    fs::remove_dir_all(&keys).unwrap();
    refused(&sidecar);
    fs::create_dir(&keys).unwrap();
    sidecar.restart();
    doctor(&sidecar).ends(0);
}

#[test]
fn a_restore_that_was_killed_is_finished_by_the_next_start() {
    let mut sidecar = Sidecar::start();
    with_ann(&sidecar);
    let mut other = Sidecar::start();
    other.account("beta");
    let (backup, _) = back_up(&other, "backup");
    other.kill();
    sidecar.kill();
    // Its keys are in their place, and its store is not.
    let data = sidecar.path("data");
    fs::copy(backup.join("kwic.redb"), data.join("kwic.redb.restoring")).unwrap();
    fs::rename(data.join("keys"), data.join("keys.before-restore-then")).unwrap();
    copy_folder(&backup.join("keys"), &data.join("keys"));
    fs::write(data.join("restore.pending"), "before-restore-then\n").unwrap();
    let ill = doctor(&sidecar).ends(1);
    assert!(ill.contains("a restore was interrupted"), "{ill}");
    assert!(!ill.contains("has left"), "it is not removed: {ill}");
    let told = Ran::from(sidecar.run(&["backup", "never"])).complains(1);
    assert!(told.contains("a restore was interrupted"), "{told}");

    sidecar.restart();
    assert!(sidecar.log_text().contains("an interrupted restore was completed"));
    let listed = sidecar.ok(&["account", "list"]);
    assert!(listed.contains("beta") && !listed.contains("acme"), "{listed}");
    assert!(!data.join("restore.pending").exists() && !data.join("kwic.redb.restoring").exists());
    doctor(&sidecar).ends(0);
}

#[test]
fn what_lies_where_a_restore_works_and_is_not_its_own_stays() {
    let mut sidecar = Sidecar::start();
    sidecar.account("acme");
    let (backup, _) = back_up(&sidecar, "backup");
    sidecar.kill();
    fs::write(sidecar.path("data/keys/seal-1.key"), "0".repeat(64)).unwrap();
    let foreign = sidecar.path("data/keys.restoring/thesis.tex");
    fs::create_dir(foreign.parent().unwrap()).unwrap();
    fs::write(&foreign, "mine").unwrap();
    let line = ["restore", backup.to_str().unwrap(), "--yes"];
    let told = Ran::from(sidecar.run(&line)).complains(1);
    assert!(told.contains("keys.restoring` is in the way"), "{told}");
    assert_eq!(fs::read_to_string(&foreign).unwrap(), "mine");
    fs::remove_dir_all(foreign.parent().unwrap()).unwrap();

    let staged = sidecar.path("data/kwic.redb.restoring");
    fs::write(&staged, "mine, too").unwrap();
    let told = Ran::from(sidecar.run(&line)).complains(1);
    assert!(told.contains("kwic.redb.restoring` is in the way"), "{told}");
    assert_eq!(fs::read_to_string(&staged).unwrap(), "mine, too");
    fs::remove_file(&staged).unwrap();
    sidecar.ok(&line);
}

#[test]
fn a_socket_that_was_replaced_is_taken_back_or_told() {
    let mut sidecar = Sidecar::start();
    sidecar.account("acme");
    let sockets = [sidecar.path("data/admin.sock"), sidecar.path("decide.sock")];
    for socket in &sockets {
        fs::remove_file(socket).unwrap();
        drop(UnixListener::bind(socket).unwrap());
    }
    eventually("both answer again", || {
        let asked = Ran::from(sidecar.run(&["account", "list"])).code == 0;
        asked && std::os::unix::net::UnixStream::connect(&sockets[1]).is_ok()
    });
    assert_eq!(sidecar.unix().get("/livez").status, 200);

    // What is alive, or no socket, is not taken away.
    fs::remove_file(&sockets[1]).unwrap();
    let _alive = UnixListener::bind(&sockets[1]).unwrap();
    let fault = |sidecar: &Sidecar| sidecar.tcp().get("/readyz").json()["sockets_fault"].clone();
    eventually("readiness tells", || fault(&sidecar).is_string());
    let told = fault(&sidecar);
    assert!(told.as_str().unwrap().contains("`decide.sock`"), "{told}");
    assert!(!told.as_str().unwrap().contains(sidecar.home.path().to_str().unwrap()), "{told}");
    let ill = doctor(&sidecar).ends(1);
    assert!(ill.contains("fail: ") && ill.contains("`decide.sock`"), "{ill}");
    fs::remove_file(&sockets[0]).unwrap();
    fs::write(&sockets[0], "mine").unwrap();
    eventually("readiness tells of both", || {
        fault(&sidecar).as_str().is_some_and(|told| told.contains("`admin.sock`"))
    });
    let alive = inode(&sockets[1]);
    sidecar.signal("TERM");
    assert_eq!(sidecar.wait(), Some(0));
    assert_eq!(fs::read_to_string(&sockets[0]).unwrap(), "mine", "it is not removed at the end");
    assert_eq!(inode(&sockets[1]), alive, "nor is this");
}

#[test]
fn a_folder_where_the_socket_should_be_is_named() {
    let sidecar = Sidecar::start();
    sidecar.account("acme");
    let socket = sidecar.path("data/admin.sock");
    fs::remove_file(&socket).unwrap();
    fs::create_dir(&socket).unwrap();
    let named = format!("`{}` is not a socket: move it away", socket.display());
    let told = Ran::from(sidecar.run(&["account", "list"])).complains(1);
    assert!(told.contains(&named), "{told}");
    let ill = doctor(&sidecar).ends(1);
    assert!(ill.contains(&named), "{ill}");
    fs::remove_dir(&socket).unwrap();
    eventually("it is made anew", || Ran::from(sidecar.run(&["account", "list"])).code == 0);
}

#[test]
fn sockets_end_with_their_sidecar_however_often_they_were_made() {
    let mut sidecar = Sidecar::start();
    let sockets = [sidecar.path("data/admin.sock"), sidecar.path("decide.sock")];
    for socket in &sockets {
        fs::remove_file(socket).unwrap();
    }
    eventually("both are there again", || sockets.iter().all(|socket| socket.exists()));
    sidecar.signal("TERM");
    assert_eq!(sidecar.wait(), Some(0));
    assert!(sockets.iter().all(|socket| fs::symlink_metadata(socket).is_err()));
}

#[test]
fn a_store_behind_a_link_stays_behind_it() {
    let mut sidecar = Sidecar::start();
    with_ann(&sidecar);
    sidecar.kill();
    let disk = sidecar.path("disk2");
    fs::create_dir(&disk).unwrap();
    for name in ["kwic.redb", "keys"] {
        fs::rename(sidecar.path("data").join(name), disk.join(name)).unwrap();
        symlink(disk.join(name), sidecar.path("data").join(name)).unwrap();
    }
    sidecar.restart();
    let (backup, _) = back_up(&sidecar, "backup");
    // After an erasure the next start rewrites the file.
    sidecar.ok(&["member", "remove", "ann", "--yes"]);
    sidecar.ok(&["member", "erase", "ann", "--account", "acme", "--yes"]);
    let before = inode(&disk.join("kwic.redb"));
    sidecar.kill_and_restart();
    assert!(sidecar.log_text().contains("was rewritten"));
    assert!(sidecar.path(STORE).is_symlink(), "the link was replaced by a file");
    assert_ne!(inode(&disk.join("kwic.redb")), before);
    sidecar.kill();

    fs::write(disk.join("keys/seal-1.key"), "0".repeat(64)).unwrap();
    sidecar.ok(&["restore", backup.to_str().unwrap(), "--yes"]);
    assert!(sidecar.path(STORE).is_symlink() && sidecar.path("data/keys").is_symlink());
    let key = |folder: &Path| fs::read(folder.join("seal-1.key")).unwrap();
    assert_eq!(key(&disk.join("keys")), key(&backup.join("keys")));
    sidecar.restart();
    assert!(sidecar.ok(&["member", "list"]).contains("ann"));
    sidecar.kill();

    // Its disk is not mounted.
    fs::rename(disk.join("kwic.redb"), sidecar.path("unmounted")).unwrap();
    let told = refused(&sidecar);
    assert!(told.contains("is a link to `") && told.contains("mount its disk"), "{told}");
    assert!(sidecar.path(STORE).is_symlink() && !disk.join("kwic.redb").exists());
    fs::remove_file(sidecar.path("data/keys")).unwrap();
    let told = refused(&sidecar);
    assert!(told.contains("is a link to `") && told.contains("mount its disk"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_names_the_change_before_the_last_one_loses_nothing() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("kwic.redb");
    let store = Store::open(&path, 1, Clock::fixed(NOW)).await.unwrap();
    store.account_create(&ACTOR, slug("acme"), "Acme".into(), None).await.unwrap();
    for number in 0..3 {
        store.member_create(&ACTOR, member("acme", &format!("m{number}"))).await.unwrap();
    }
    let reached = store.revision().await.unwrap();
    // As a power cut leaves it, and as a clean end does.
    let cut = home.path().join("cut.redb");
    fs::copy(&path, &cut).unwrap();
    drop(store);
    for path in [path, cut] {
        let file = fs::File::options().read(true).write(true).open(&path).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, 9).unwrap();
        file.write_all_at(&[byte[0] ^ 1], 9).unwrap();
        let left = fs::read(&path).unwrap();
        assert_eq!(Store::view(&path).await.unwrap().revision().await.unwrap(), reached);
        let to = home.path().join("copy");
        assert_eq!(Store::copy_file(&path, &to).await.unwrap(), reached);
        assert!(fs::read(&path).unwrap() == left, "a look changes nothing");
        let store = Store::open(&path, 1, Clock::fixed(NOW)).await.unwrap();
        assert_eq!(store.revision().await.unwrap(), reached);
        drop(store);
        Store::view(&path).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_closed_stays_closed() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("kwic.redb");
    let store = Store::open(&path, 1, Clock::fixed(NOW)).await.unwrap();
    store.account_create(&ACTOR, slug("acme"), "Acme".into(), None).await.unwrap();
    let (held, reached) = (store.clone(), store.revision().await.unwrap());
    store.close().await.unwrap();
    store.close().await.unwrap();
    let closed = fs::read(&path).unwrap();
    let told = held.member_create(&ACTOR, member("acme", "ann")).await.unwrap_err();
    assert_eq!((told.kind, told.code), (Kind::Busy, "stopping"));
    assert_eq!(held.revision().await.unwrap_err().code, "stopping");
    assert_eq!(held.fault(), None, "it is no fault of the disk");
    // Another process may have it.
    let again = Store::open(&path, 1, Clock::fixed(NOW)).await.unwrap();
    assert_eq!(again.revision().await.unwrap(), reached);
    again.close().await.unwrap();
    drop((store, held));
    assert_eq!(closed[9] & 2, 0, "its header asks for a repair");
}

/// Bounds the size of files of a running sidecar: as with a full disk, writing fails.
fn limit(sidecar: &Sidecar, bytes: &str) {
    let pid = sidecar.pid().to_string();
    let bound = format!("--fsize={bytes}:unlimited");
    assert!(Command::new("prlimit").args(["--pid", &pid, &bound]).status().unwrap().success());
}

fn metric(sidecar: &Sidecar, name: &str) -> u64 {
    let text = sidecar.tcp().get("/metrics").body;
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.unwrap_or_else(|| panic!("no {name} in\n{text}")).parse().unwrap()
}

#[test]
fn an_import_that_the_disk_does_not_hold_is_told() {
    if !is_installed("prlimit") {
        return;
    }
    let sidecar = Sidecar::start();
    with_ann(&sidecar);
    let mut file = String::from("id,first_name,last_name,email,role\n");
    for number in 0..200 {
        file.push_str(&format!("m{number},First,Last,m{number}@example.org,operator\n"));
    }
    let path = sidecar.path("many.csv");
    fs::write(&path, file).unwrap();
    limit(&sidecar, "4096");
    let line = ["member", "import", "--account", "acme", path.to_str().unwrap()];
    let told = Ran::from(sidecar.run(&line)).complains(1);
    assert!(told.contains("File too large"), "{told}");
    let ready = sidecar.tcp().get("/readyz").json();
    let fault = ready["data_fault"].as_str().unwrap_or_else(|| panic!("{ready}"));
    assert!(fault.contains("File too large"), "{fault}");
    assert!(metric(&sidecar, "kwic_data_write_failures_total") > 0);
    assert_eq!(metric(&sidecar, "kwic_data_failing"), 1);
    let ill = doctor(&sidecar).ends(1);
    assert!(ill.contains("fail: the data folder cannot be written"), "{ill}");
    limit(&sidecar, "unlimited");
    sidecar.ok(&line);
    assert!(sidecar.tcp().get("/readyz").json().get("data_fault").is_none());
    assert_eq!(metric(&sidecar, "kwic_data_failing"), 0);
    doctor(&sidecar).ends(0);
}

#[test]
fn a_start_on_a_full_disk_decides_and_refuses_changes() {
    if !is_installed("prlimit") {
        return;
    }
    let mut sidecar = Sidecar::start_with(&Start { unwatched: true, ..Start::default() });
    with_ann(&sidecar);
    sidecar.ok(&["member", "remove", "bo", "--yes"]);
    sidecar.ok(&["member", "erase", "bo", "--account", "acme", "--yes"]);
    // Another folder than the one that is kept.
    let more = sidecar.path("policies/rules/more.cedar");
    fs::write(
        &more,
        "@id(\"more\") forbid(principal, action, resource) when { context has more };",
    )
    .unwrap();
    for end in ["TERM", "KILL"] {
        sidecar.signal(end);
        sidecar.wait();
        sidecar.restart_within("-S -f 8");
        let ask = |sidecar: &Sidecar| {
            sidecar.tcp().allows(&question("ann", "chats:view", ("chat", "1"), "acme"))
        };
        assert!(ask(&sidecar));
        let ready = document(&sidecar.tcp().get("/readyz"), 200);
        assert_eq!(ready["store"], "failing", "before the first change: {ready}");
        assert!(ready["data_fault"].is_string(), "{ready}");
        let mut admin = sidecar.admin();
        let answer = admin.send(
            "POST",
            "/api/v1/members/ann/suspend?account=acme",
            "if-match: \"1\"\r\n",
            "",
        );
        assert_eq!(problem(&answer, 503), "store_unavailable");
        assert!(ask(&sidecar));
        let ready = document(&sidecar.tcp().get("/readyz"), 200);
        assert_eq!(ready["store"], "failing", "{ready}");
        // The changes of a start are reported and saved while decisions are answered already.
        eventually("the policies could not be kept", || {
            document(&sidecar.tcp().get("/readyz"), 200)["policies_unkept"].is_string()
        });
        let ill = doctor(&sidecar).ends(1);
        assert!(ill.contains("fail: the store cannot be written"), "{ill}");
        assert!(ill.contains("fail: the live policies are not saved"), "{ill}");
        assert!(ill.contains("fail: erased data may still be in the store's file"), "{ill}");
    }
    limit(&sidecar, "unlimited");
    eventually("the policies are kept and the store works", || {
        let ready = sidecar.tcp().get("/readyz").json();
        ready.get("policies_unkept").is_none() && ready["store"] == "ok"
    });
    sidecar.ok(&["member", "suspend", "ann"]);
    sidecar.signal("TERM");
    sidecar.wait();
    sidecar.restart();
    doctor(&sidecar).ends(0);
    assert!(sidecar.log_text().contains("was rewritten"));
}

#[test]
fn what_is_no_key_is_not_counted_as_one() {
    let sidecar = Sidecar::start();
    sidecar.account("acme");
    fs::write(sidecar.path("data/keys/notes.txt"), "mine").unwrap();
    fs::write(sidecar.path("data/keys/link-1.key.old"), "mine").unwrap();
    fs::create_dir(sidecar.path("data/keys/old")).unwrap();
    let told = doctor(&sidecar).ends(0);
    assert!(told.contains("ok: 2 keys in"), "{told}");
    for name in ["notes.txt", "link-1.key.old", "old"] {
        assert!(told.contains(&format!("{name}` is not a key")), "{told}");
    }
}
