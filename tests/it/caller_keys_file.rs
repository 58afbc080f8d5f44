//! The keys of callers: valid files, and how they are rotated while the sidecar runs.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::Value as Json;

use crate::support::sidecar::{Sidecar, Start, command, eventually, question};

const OLD: &str = "old-0123456789abcdef0123456789abcdef";
const NEW: &str = "new-0123456789abcdef0123456789abcdef";

fn write(path: &Path, text: &str, mode: u32) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// A sidecar that asks for a key, and the folder of its file.
fn sidecar() -> (Sidecar, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys");
    write(&file, &format!("# of the shop\n{OLD}\n"), 0o600);
    let environment = vec![("KWIC_TEAM_DECISION_KEYS_FILE", file)];
    let start = Start { environment, unwatched: true, ..Start::default() };
    (Sidecar::start_with(&start), folder)
}

/// The status of a question with this key.
fn asks(sidecar: &Sidecar, key: &str) -> u16 {
    let body = question("ann", "chats:view", ("chat", "1"), "acme").to_string();
    let headers = format!("content-type: application/json\r\nauthorization: Bearer {key}\r\n");
    sidecar.tcp().send("POST", "/access/v1/evaluation", &headers, &body).status
}

fn ready(sidecar: &Sidecar) -> Json {
    sidecar.tcp().get("/readyz").json()
}

fn metric(sidecar: &Sidecar, key: &str) -> String {
    let headers = format!("authorization: Bearer {key}\r\n");
    let text = sidecar.tcp().send("GET", "/metrics", &headers, "").body;
    let line = text.lines().find(|line| line.starts_with("kwic_keys_file_refused ")).unwrap();
    line.to_owned()
}

#[test]
fn a_start_and_its_check_refuse_the_same_files() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("keys");
    let config = format!(
        "[console]\nlisten = \"127.0.0.1:0\"\n[decision]\nlisten = \"127.0.0.1:0\"\nkeys_file = \"{}\"\n",
        file.display()
    );
    fs::write(home.path().join("kwic-team.toml"), config).unwrap();
    for (text, mode, wanted) in [
        ("# comment\n", 0o600, "holds no key"),
        ("a\n", 0o600, "line 1 is shorter than 32 characters"),
        (&format!("{OLD}\n{OLD} # both\n"), 0o600, "line 2 has a space"),
        (&format!("{OLD}\n"), 0o644, "mode 0644"),
        (&format!("{OLD}\n"), 0o640, "mode 0640"),
    ] {
        write(&file, text, mode);
        for check in [&[][..], &["--check"]] {
            let output = command(home.path()).args(check).output().unwrap();
            let told = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1), "{text:?}: {told}");
            assert!(told.contains(wanted) && told.contains("`decision.keys_file`"), "{told}");
            assert!(!told.contains(OLD), "{told}");
        }
    }
    write(&file, &format!("# comment\n{OLD}\n"), 0o600);
    let output = command(home.path()).arg("--check").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn keys_are_changed_by_a_reload_and_a_broken_file_changes_nothing() {
    let (sidecar, folder) = sidecar();
    let file = folder.path().join("keys");
    assert_eq!((asks(&sidecar, OLD), asks(&sidecar, NEW)), (200, 401));
    assert_eq!(asks(&sidecar, "# of the shop"), 401);
    // Both for a while, then the new one alone.
    write(&file, &format!("{OLD}\n{NEW}\n"), 0o600);
    assert_eq!(asks(&sidecar, NEW), 401, "not before a reload");
    sidecar.ok(&["policy", "reload"]);
    assert_eq!((asks(&sidecar, OLD), asks(&sidecar, NEW)), (200, 200));
    write(&file, &format!("{NEW}\n"), 0o600);
    sidecar.signal("HUP");
    eventually("the old key is over", || asks(&sidecar, OLD) == 401);
    assert_eq!(asks(&sidecar, NEW), 200);
    assert_eq!(ready(&sidecar)["keys_fault"], Json::Null);
    assert_eq!(metric(&sidecar, NEW), "kwic_keys_file_refused 0");

    for (text, mode, wanted) in [
        (format!("{OLD}\n"), 0o644, "mode 0644"),
        (format!("{OLD}\nshort\n"), 0o600, "line 2 is shorter"),
    ] {
        write(&file, &text, mode);
        let output = sidecar.run(&["policy", "reload"]);
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains(wanted) && told.contains("previous keys stay valid"), "{told}");
        assert_eq!((asks(&sidecar, OLD), asks(&sidecar, NEW)), (401, 200), "{text}");
        assert_eq!(metric(&sidecar, NEW), "kwic_keys_file_refused 1");
        let fault = ready(&sidecar)["keys_fault"].as_str().unwrap().to_owned();
        assert!(!fault.contains(file.to_str().unwrap()), "no path to strangers: {fault}");
        assert!(sidecar.log_text().contains(wanted));
        let doctor = sidecar.run(&["doctor"]);
        let told = String::from_utf8(doctor.stdout).unwrap();
        assert_eq!(doctor.status.code(), Some(1), "{told}");
        assert!(told.contains("fail: `decision.keys_file`") && told.contains(wanted), "{told}");
    }
    fs::remove_file(&file).unwrap();
    assert_eq!(sidecar.run(&["policy", "reload"]).status.code(), Some(1));
    assert_eq!(asks(&sidecar, NEW), 200);
    write(&file, &format!("{OLD}\n"), 0o400);
    sidecar.ok(&["policy", "reload"]);
    assert_eq!((asks(&sidecar, OLD), asks(&sidecar, NEW)), (200, 401));
    assert_eq!(ready(&sidecar)["keys_fault"], Json::Null);
    sidecar.holds_no_secret(&[OLD, NEW]);
}
