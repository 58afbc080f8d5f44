//! Backups of a real sidecar and their restore: complete or not at all, and nothing that was
//! revoked since works again.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value as Json, json};

use crate::support::api_users::{PASSWORD, Person, call, document, problem, token_of};
use crate::support::fake_sidecar::Ran;
use crate::support::sidecar::{Sidecar, binary, copy_folder, eventually};
use crate::two_step::Phone;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn json_of(printed: &str) -> Json {
    serde_json::from_str(printed).unwrap()
}

/// Makes a backup; returns its folder and what was printed.
fn back_up(sidecar: &Sidecar, name: &str) -> (PathBuf, Json) {
    let folder = sidecar.path(name);
    let taken = json_of(&sidecar.ok(&["backup", folder.to_str().unwrap(), "--json"]));
    (folder, taken)
}

/// Runs a restore where nobody can be asked.
fn restore(sidecar: &Sidecar, folder: &Path, more: &[&str]) -> Ran {
    let mut arguments = vec!["restore", folder.to_str().unwrap()];
    arguments.extend(more);
    sidecar.run(&arguments).into()
}

/// Stops the sidecar, restores a backup, and starts it; returns what was printed.
fn put_back(sidecar: &mut Sidecar, folder: &Path, more: &[&str]) -> Json {
    sidecar.kill();
    let arguments: Vec<&str> = ["--yes", "--json"].iter().chain(more).copied().collect();
    let printed = json_of(&restore(sidecar, folder, &arguments).ends(0));
    sidecar.restart();
    printed
}

/// Every file below a folder except sockets, with its content.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.extend(contents(&entry.path()));
        } else if kind.is_file() {
            found.push((entry.path(), fs::read(entry.path()).unwrap()));
        }
    }
    found.sort();
    found
}

#[track_caller]
fn chains_hold(sidecar: &Sidecar) {
    let verified = sidecar.ok(&["audit", "verify", "--json"]);
    assert!(verified.lines().count() > 1, "{verified}");
    assert!(verified.lines().all(|line| line.contains("\"fault\":null")), "{verified}");
}

#[test]
fn a_backup_holds_one_revision_whole_while_members_change() {
    let sidecar = Sidecar::start();
    sidecar.account("acme");
    sidecar.members("acme", &[("chief", "administrator")]);
    let (stop, count) = (AtomicBool::new(false), AtomicUsize::new(0));
    // Changes come before each backup and behind the last one, however fast the machine is.
    let changes_go_on = || {
        let before = count.load(Ordering::Relaxed);
        eventually("members are made", || count.load(Ordering::Relaxed) > before + 1);
    };
    let (made, taken) = std::thread::scope(|scope| {
        let making = scope.spawn(|| {
            let mut made = Vec::new();
            let mut admin = sidecar.admin();
            for number in 0..2_000 {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let id = format!("m{number}");
                let body = json!({"id": id, "first_name": "First", "last_name": "Last",
                    "email": format!("{id}@example.org"), "role": "operator"});
                let answer = admin.post("/api/v1/members?account=acme", &body);
                made.push((document(&answer, 201)["revision"].as_u64().unwrap(), id));
                count.fetch_add(1, Ordering::Relaxed);
            }
            made
        });
        let mut taken = Vec::new();
        for number in 0..3 {
            changes_go_on();
            taken.push(back_up(&sidecar, &format!("backup-{number}")));
        }
        changes_go_on();
        stop.store(true, Ordering::Relaxed);
        (making.join().unwrap(), taken)
    });
    let mut other = Sidecar::start();
    for (folder, taken) in taken {
        let revision = taken["revision"].as_u64().unwrap();
        assert!(made.first().unwrap().0 < revision && revision < made.last().unwrap().0);
        assert_eq!((mode(&folder), mode(&folder.join("keys"))), (0o700, 0o700));
        assert!(contents(&folder).iter().all(|(path, _)| mode(path) == 0o600));
        other.kill();
        fs::remove_dir_all(other.path("data")).unwrap();
        let restored = json_of(&restore(&other, &folder, &["--yes", "--json"]).ends(0));
        assert_eq!((&restored["revision"], &restored["kept"]), (&json!(revision), &json!([])));
        other.restart();
        let listed: BTreeSet<String> = other
            .ok(&["member", "list", "--json"])
            .lines()
            .map(|line| json_of(line)["id"].as_str().unwrap().to_owned())
            .collect();
        let known = made.iter().filter(|(at, _)| *at <= revision).map(|(_, id)| id.clone());
        assert_eq!(listed, known.chain(["chief".to_owned()]).collect());
        chains_hold(&other);
        let told = other.ok(&["audit", "list", "--store", "--json"]);
        let last = json_of(told.lines().rfind(|line| line.contains("store_restored")).unwrap());
        assert!(last["actor"].as_str().unwrap().starts_with("sidecar:"), "{last}");
    }
}

#[test]
fn a_backup_is_written_over_nothing_and_needs_no_sidecar() {
    let mut sidecar = Sidecar::start();
    sidecar.account("acme");
    let (folder, taken) = back_up(&sidecar, "one");
    let again = |sidecar: &Sidecar| {
        let ran: Ran = sidecar.run(&["backup", folder.to_str().unwrap()]).into();
        let told = ran.complains(1);
        assert!(told.contains("exists already"), "{told}");
    };
    again(&sidecar);
    let nowhere: Ran = sidecar.run(&["backup", "/proc/nowhere/at/all"]).into();
    assert!(nowhere.complains(1).contains("cannot be written"));
    sidecar.kill();
    again(&sidecar);
    let (offline, same) = back_up(&sidecar, "two");
    assert_eq!((&taken["revision"], &taken["keys"]), (&same["revision"], &same["keys"]));
    let keys = |folder: &Path| fs::read(folder.join("keys/link-1.key")).unwrap();
    assert_eq!(keys(&offline), keys(&sidecar.path("data")));
    let parts = fs::read_dir(sidecar.home.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(parts.into_iter().all(|name| !name.to_string_lossy().ends_with(".part")));
    let empty = tempfile::tempdir().unwrap();
    let output = Command::new(binary())
        .args(["backup", "three", "--data"])
        .arg(empty.path().join("data"))
        .current_dir(empty.path())
        .env_clear()
        .output()
        .unwrap();
    assert!(Ran::from(output).complains(1).contains("there is no store"));
    assert!(!empty.path().join("data").exists(), "a backup makes no store");
}

#[test]
fn a_backup_that_is_damaged_or_not_whole_is_refused_and_nothing_changes() {
    let mut sidecar = Sidecar::start();
    sidecar.account("acme");
    let (folder, _) = back_up(&sidecar, "whole");
    sidecar.kill();
    let before = contents(&sidecar.path("data"));
    let damage = |name: &str, work: &dyn Fn(&Path)| {
        let copy = sidecar.path(name);
        copy_folder(&folder, &copy);
        work(&copy);
        let told = restore(&sidecar, &copy, &["--yes"]).complains(1);
        assert!(told.contains("nothing was changed"), "{told}");
        assert_eq!(contents(&sidecar.path("data")), before, "{name}");
        told
    };
    let edit = |copy: &Path, from: &str, to: &str| {
        let path = copy.join("manifest.json");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from));
        fs::write(path, text.replacen(from, to, 1)).unwrap();
    };
    let flipped = damage("flipped", &|copy| {
        let path = copy.join("kwic.redb");
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path, bytes).unwrap();
    });
    assert!(flipped.contains("`kwic.redb` was changed"), "{flipped}");
    let cut = damage("cut", &|copy| {
        let path = copy.join("kwic.redb");
        let length = fs::metadata(&path).unwrap().len();
        fs::File::options().write(true).open(path).unwrap().set_len(length - 1).unwrap();
    });
    assert!(cut.contains("was changed"), "{cut}");
    let keyless = damage("keyless", &|copy| {
        fs::remove_file(copy.join("keys/seal-1.key")).unwrap();
    });
    assert!(keyless.contains("`keys/seal-1.key` is missing"), "{keyless}");
    let other_key = damage("other-key", &|copy| {
        fs::write(copy.join("keys/seal-1.key"), "0".repeat(64)).unwrap();
    });
    assert!(other_key.contains("`keys/seal-1.key` was changed"), "{other_key}");
    damage("unlisted", &|copy| fs::remove_file(copy.join("manifest.json")).unwrap());
    damage("half-list", &|copy| edit(copy, "\"files\"", "\"flies\""));
    let newer = damage("newer", &|copy| edit(copy, "\"format\": 1", "\"format\": 2"));
    assert!(newer.contains("another version"), "{newer}");
    let leading_out = damage("leading-out", &|copy| {
        edit(copy, "keys/seal-1.key", "keys/../../seal-1.key");
    });
    assert!(leading_out.contains("it lists"), "{leading_out}");
    damage("gone", &|copy| fs::remove_dir_all(copy).unwrap());
    // The copies were all that was wrong.
    restore(&sidecar, &folder, &["--yes"]).ends(0);
}

#[test]
fn a_restore_wants_a_yes_and_no_sidecar() {
    let mut sidecar = Sidecar::start();
    sidecar.account("acme");
    let (folder, _) = back_up(&sidecar, "backup");
    let told = restore(&sidecar, &folder, &["--yes"]).complains(1);
    assert!(told.contains("a sidecar runs") && told.contains("stop it"), "{told}");
    sidecar.ok(&["account", "list"]);
    // By another data folder the same store.
    let other = tempfile::tempdir().unwrap();
    let config = other.path().join("kwic-team.toml");
    let store = sidecar.path("data/kwic.redb");
    fs::write(&config, format!("[store]\npath = \"{}\"\n", store.display())).unwrap();
    let elsewhere = |arguments: &[&str]| -> Output {
        Command::new(binary())
            .arg("--config")
            .arg(&config)
            .arg("--data")
            .arg(other.path().join("data"))
            .args(arguments)
            .env_clear()
            .stdin(Stdio::null())
            .output()
            .unwrap()
    };
    let line = ["restore", folder.to_str().unwrap(), "--yes"];
    let told = Ran::from(elsewhere(&line)).complains(1);
    assert!(told.contains("is held by another process") && told.contains("kwic.redb"), "{told}");
    let held = Ran::from(elsewhere(&["backup", other.path().join("b").to_str().unwrap()]));
    assert!(held.complains(1).contains("held by another process"));
    assert!(!other.path().join("b").exists());
    sidecar.kill();
    let before = contents(&sidecar.path("data"));
    assert!(restore(&sidecar, &folder, &[]).complains(64).contains("--yes"));
    assert_eq!(contents(&sidecar.path("data")), before);
    fs::write(&config, "[store]\nkind = \"etcd\"\n").unwrap();
    for line in [&line[..], &["backup", "b"]] {
        let told = Ran::from(elsewhere(line)).complains(1);
        assert!(told.contains("`store.kind` must be `redb`"), "{told}");
    }
    let kept = restore(&sidecar, &folder, &["--yes"]).ends(0);
    assert!(kept.contains("later changes were undone"), "{kept}");
    let (_, bytes) = before.iter().find(|(path, _)| path.ends_with("kwic.redb")).unwrap();
    let kept = contents(&sidecar.path("data")).into_iter().find(|(path, _)| {
        path.file_name().unwrap().to_string_lossy().starts_with("kwic.redb.before-restore-")
    });
    assert_eq!(&kept.unwrap().1, bytes, "what was there is kept as it was");
}

#[test]
fn who_could_come_in_then_cannot_now() {
    let mut sidecar = Sidecar::start();
    sidecar.account("acme");
    sidecar.members("acme", &[("chief", "administrator"), ("ann", "operator")]);
    let cookie = Person::of_import(&sidecar, "acme", "ann").cookie;
    let made = sidecar.ok(&[
        "token", "create", "--member", "chief", "--role", "operator", "--days", "1", "job",
        "--json",
    ]);
    let bearer = json_of(&made)["secret"].as_str().unwrap().to_owned();
    let bearer = format!("authorization: Bearer {bearer}\r\n");
    let link = json_of(&sidecar.ok(&["member", "reset-password", "chief", "--json"]));
    let link = token_of(link["link"].as_str().unwrap()).to_owned();
    let headers = format!("cookie: {cookie}\r\nsec-fetch-site: same-origin\r\n");
    document(&call(&sidecar, "GET /me", &headers, None), 200);
    document(&call(&sidecar, "GET /roles", &bearer, None), 200);
    let (folder, _) = back_up(&sidecar, "backup");
    sidecar.ok(&["member", "remove", "ann", "--yes"]);

    let restored = put_back(&mut sidecar, &folder, &[]);
    let ended = ["sessions_ended", "tokens_revoked", "links_ended"].map(|name| &restored[name]);
    assert_eq!(ended, [&json!(1), &json!(1), &json!(1)], "{restored}");
    assert_eq!(restored["secrets_without_key"], 0);
    assert_eq!(problem(&call(&sidecar, "GET /me", &headers, None), 401), "session_ended");
    assert_eq!(problem(&call(&sidecar, "GET /roles", &bearer, None), 401), "token_ended");
    let body = json!({"token": link, "password": PASSWORD});
    let dead = call(&sidecar, "POST /password-reset/confirm", "", Some(&body));
    assert_eq!(problem(&dead, 410), "link_dead");
    // With the members came the passwords of then.
    Person::sign_in(&sidecar, "acme", "ann@example.org");
    chains_hold(&sidecar);
}

#[test]
fn without_its_keys_no_factor_is_skipped_and_no_dead_link_is_sent() {
    let mut sidecar = Sidecar::start();
    sidecar.account("acme");
    sidecar.members("acme", &[("chief", "administrator"), ("ann", "operator")]);
    let chief = Person::of_import(&sidecar, "acme", "chief");
    let invited = document(&chief.invite("Bo", "operator"), 201);
    let (invite, link) = (invited["id"].as_str().unwrap(), invited["link"].as_str().unwrap());
    let ann = Person::of_import(&sidecar, "acme", "ann");
    let begun = document(&ann.call("POST /me/two-step", Some(&json!({"password": PASSWORD}))), 200);
    let phone = Phone::of(begun["secret"].as_str().unwrap());
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let code = json!({"code": phone.shows_at(now())});
    let confirmed = document(&ann.call("POST /me/two-step/confirm", Some(&code)), 200);
    let recovery = confirmed["recovery_codes"][0].as_str().unwrap().to_owned();
    let (folder, taken) = back_up(&sidecar, "backup");
    assert_eq!(taken["keys"], 2);
    let old_keys = contents(&sidecar.path("data/keys"));

    // The keys of the backup are lost, and the machine is new.
    fs::remove_dir_all(folder.join("keys")).unwrap();
    sidecar.kill();
    fs::remove_dir_all(sidecar.path("data")).unwrap();
    assert!(restore(&sidecar, &folder, &["--yes"]).complains(1).contains("--without-keys"));
    let told = restore(&sidecar, &folder, &["--yes", "--without-keys"]).ends(0);
    assert!(told.contains("1 pending invite ") && told.contains("1 secret "), "{told}");
    assert!(told.contains("invite resend") && told.contains("reset-two-step"), "{told}");
    sidecar.restart();
    assert!(sidecar.log_text().contains("cannot be decrypted"), "{}", sidecar.log_text());
    let lost = |sidecar: &Sidecar| {
        let told = Ran::from(sidecar.run(&["doctor"])).ends(1);
        assert!(told.contains("1 secret of a second factor is encrypted with a key"), "{told}");
    };
    let ready = sidecar.tcp().get("/readyz");
    assert_eq!((ready.status, &ready.json()["secrets_without_key"]), (200, &json!(1)));
    let metrics = sidecar.tcp().get("/metrics").body;
    assert!(metrics.contains("\nkwic_secrets_without_key 1\n"), "{metrics}");
    lost(&sidecar);
    sidecar.kill();
    lost(&sidecar);
    sidecar.restart();

    let password = json!({"account": "acme", "email": "ann@example.org", "password": PASSWORD});
    let sign_in =
        |sidecar: &Sidecar| document(&call(sidecar, "POST /sign-in", "", Some(&password)), 200);
    let show = |sidecar: &Sidecar, code: &str| {
        let waiting = sign_in(sidecar);
        assert_eq!(waiting["state"], "second_factor");
        let body = json!({"ticket": waiting["ticket"], "code": code});
        call(sidecar, "POST /sign-in/second-factor", "", Some(&body))
    };
    let unreadable = show(&sidecar, &phone.shows_at(now() + 30));
    assert_eq!(problem(&unreadable, 409), "factor_unreadable");
    let says = unreadable.json()["detail"].as_str().unwrap().to_owned();
    assert!(says.contains("recovery code") && says.contains("administrator"), "{says}");
    assert_eq!(document(&show(&sidecar, &recovery), 200)["state"], "signed_in");
    // The new key has the number of the old one, and derives another link: it is not shown.
    let shown = sidecar.run(&["invite", "link", invite, "--account", "acme"]);
    assert!(Ran::from(shown).complains(1).contains("resend the invite"));
    // The old password signs in.
    let body = json!({"token": token_of(link), "password": PASSWORD});
    document(&call(&sidecar, "POST /invites/accept", "", Some(&body)), 201);

    // The keys are found: back in their place they open what they sealed.
    for (path, bytes) in &old_keys {
        fs::write(path, bytes).unwrap();
    }
    sidecar.kill_and_restart();
    document(&show(&sidecar, &phone.shows_at(now() + 30)), 200);
}

#[test]
fn the_keys_of_a_backup_take_the_place_of_others_and_leave_newer_ones() {
    let mut sidecar = Sidecar::start();
    sidecar.account("acme");
    let (folder, _) = back_up(&sidecar, "backup");
    sidecar.ok(&["keys", "rotate"]);
    let rotated = contents(&sidecar.path("data/keys"));
    let restored = put_back(&mut sidecar, &folder, &[]);
    assert_eq!(restored["kept"].as_array().unwrap().len(), 1, "{restored}");
    assert_eq!(contents(&sidecar.path("data/keys")), rotated);

    // The key of a shared log opens what will be erased: it is in no backup, and stays where it is.
    let of_the_log = format!("{} 0\n", "1".repeat(64));
    fs::write(sidecar.path("data/keys/epoch-1.key"), &of_the_log).unwrap();
    let (later, _) = back_up(&sidecar, "later");
    assert!(later.join("keys/seal-2.key").exists() && !later.join("keys/epoch-1.key").exists());

    fs::write(sidecar.path("data/keys/seal-1.key"), "0".repeat(64)).unwrap();
    let restored = put_back(&mut sidecar, &folder, &[]);
    let kept = restored["kept"].as_array().unwrap();
    assert_eq!(kept.len(), 2, "{restored}");
    assert!(kept.iter().any(|path| Path::new(path.as_str().unwrap()).join("seal-2.key").exists()));
    let is_log_key = |path: &Json| Path::new(path.as_str().unwrap()).join("epoch-1.key").exists();
    assert!(!kept.iter().any(is_log_key), "{restored}");
    let there = fs::read_to_string(sidecar.path("data/keys/epoch-1.key")).unwrap();
    assert_eq!(there, of_the_log);
    let key = |folder: &Path| fs::read(folder.join("keys/seal-1.key")).unwrap();
    assert_eq!(key(&sidecar.path("data")), key(&folder));
    assert_eq!(
        (mode(&sidecar.path("data/keys")), mode(&sidecar.path("data/keys/seal-1.key"))),
        (0o700, 0o600)
    );
}
