//! The command line as a person uses it: the real binary, with a scripted sidecar.

use std::fs;
use std::io::{BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use kwic_team::domain::AuditEvent;
use serde_json::{Value as Json, json};
use tempfile::TempDir;

use crate::support::fake_sidecar::{
    FakeSidecar, Ran, command, hear, member, ok, page, problem, run, unknown_member,
};
use crate::support::sidecar::{binary, copy_folder, shipped_policies};

const HEAD: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// Every command that does something.
const COMMANDS: &[&str] = &[
    "serve",
    "account create",
    "fleet init",
    "fleet join",
    "fleet leave",
    "fleet status",
    "fleet forget",
    "account list",
    "account edit",
    "member list",
    "member show",
    "member edit",
    "member suspend",
    "member restore",
    "member end-sessions",
    "member reset-password",
    "member remove",
    "member import",
    "member export",
    "member erase",
    "member review",
    "member reset-two-step",
    "token create",
    "token list",
    "token revoke",
    "invite send",
    "invite list",
    "invite edit",
    "invite resend",
    "invite link",
    "invite revoke",
    "role list",
    "role show",
    "role compare",
    "role suggest",
    "policy init",
    "policy check",
    "policy test",
    "policy matrix",
    "policy diff",
    "policy prove",
    "policy fmt",
    "policy history",
    "policy show",
    "policy reload",
    "policy publish",
    "policy approve",
    "policy rollback",
    "policy shadow",
    "policy unpin",
    "decide",
    "who-may",
    "what-may",
    "audit list",
    "audit verify",
    "mail status",
    "mail test",
    "mail resume",
    "keys activate",
    "keys rotate",
    "config",
    "doctor",
    "recover",
    "backup",
    "restore",
    "completions",
    "man",
];

#[test]
fn the_help_of_every_command_shows_an_example_of_it() {
    for name in COMMANDS {
        let arguments: Vec<&str> = name.split(' ').chain(["--help"]).collect();
        let help = run(&arguments).ends(0);
        assert!(help.contains(&format!("Example: kwic-team {name}")), "{name}: {help}");
        assert!(help.contains("--data <DIR>") && help.contains("--json"), "{name}: {help}");
    }
}

#[test]
fn a_command_that_is_not_understood_ends_with_64_and_never_with_a_deny() {
    let lines: &[&[&str]] = &[
        &[],
        &["member"],
        &["fly"],
        &["member", "show"],
        &["member", "list", "--fast"],
        &["serve", "surplus"],
        &["account", "create", "--slug", "a"],
        &["decide", "--subject", "user:a", "--action", "x"],
        &["decide", "--subject", "ann", "--action", "x", "--resource", "doc:1"],
        &[
            "decide",
            "--subject",
            "user:a",
            "--action",
            "x",
            "--resource",
            "doc:1",
            "--context",
            "[",
        ],
        &[
            "decide",
            "--subject",
            "user:a",
            "--action",
            "x",
            "--resource",
            "doc:1",
            "--context",
            "1",
        ],
        &["decide", "--subject", "user:a", "--action", "x", "--resource", "doc:1", "--role", "w"],
        &["audit", "list", "--store", "--account", "acme"],
        &["completions", "tcsh"],
        &["member", "edit", "ann"],
        &["member", "import", "members.txt"],
        &["invite", "send", "--email", "a@example.org", "--first-name", "A", "--last-name", "B"],
        &["invite", "send", "--file", "team.csv", "--email", "a@example.org"],
        &["invite", "send", "--file", "team.csv", "--idempotency-key", "k"],
        &["invite", "send", "--file", "team.doc"],
        &[
            "invite",
            "send",
            "--email",
            "a@example.org",
            "--first-name",
            "A",
            "--last-name",
            "B",
            "--role",
            "writer",
            "--format",
            "csv",
        ],
        &["invite", "edit", "a@example.org"],
        &["invite", "link"],
        &["account", "create", "--slug", "a", "--name", "A", "--email", "a@example.org"],
        &["account", "create", "--slug", "a", "--name", "A", "--first-name", "A"],
        &["account", "create", "--slug", "a", "--name", "A", "--role", "writer"],
        &["account", "edit"],
        &["account", "edit", "--two-step", "maybe"],
        &["account", "edit", "--invite-lifetime", "90m"],
        &["account", "edit", "--invite-lifetime", "72"],
        &["role", "suggest"],
        &["mail", "test"],
        &["recover"],
        &["backup"],
        &["restore", "--yes"],
    ];
    for line in lines {
        let ran = run(line);
        assert_eq!(ran.code, 64, "{line:?}: {}", ran.err);
        assert!(!ran.err.is_empty(), "{line:?}");
    }
}

#[test]
fn help_and_version_are_answers() {
    assert!(run(&["--version"]).ends(0).starts_with("kwic-team "));
    let help = run(&["--help"]).ends(0);
    let words = [
        "serve", "account", "member", "invite", "role", "policy", "decide", "audit", "mail",
        "config", "recover", "backup", "restore", "man",
    ];
    for word in words {
        assert!(help.contains(&format!("\n  {word} ")), "{word}: {help}");
    }
    assert!(run(&["help", "member", "import"]).ends(0).contains("first_name,last_name,email,role"));
}

#[test]
fn the_help_of_the_audit_log_names_every_event() {
    let help = run(&["audit", "list", "--help"]).ends(0);
    let missing = AuditEvent::ALL.map(AuditEvent::as_str).into_iter();
    let missing: Vec<&str> = missing.filter(|event| !help.contains(event)).collect();
    assert!(missing.is_empty(), "{missing:?}: {help}");
}

#[test]
fn completions_and_manual_know_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let script = run(&["completions", shell]).ends(0);
        assert!(script.contains("suspend") && script.contains("member-account"), "{shell}");
    }
    assert!(!run(&["completions", "bash"]).ends(0).contains("gate"));
}

/// What bash offers for the last of these words.
fn completed(script: &std::path::Path, words: &[&str]) -> Vec<String> {
    let mut bash = std::process::Command::new("bash");
    bash.args([
        "-c",
        r#"source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
        _kwic__team "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
        printf '%s\n' "${COMPREPLY[@]}""#,
    ]);
    let output = bash.arg(script).args(words).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().split_whitespace().map(str::to_owned).collect()
}

#[test]
fn bash_completes_words_and_flags_of_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("completions");
    fs::write(&script, run(&["completions", "bash"]).ends(0)).unwrap();
    for name in COMMANDS {
        let words: Vec<&str> = ["kwic-team"].into_iter().chain(name.split(' ')).collect();
        // The last word, from its first letters on; and the flags of the whole command.
        assert!(
            completed(&script, &words).contains(&(*words.last().unwrap()).to_owned()),
            "{name}"
        );
        let flags: Vec<&str> = words.iter().copied().chain(["--js"]).collect();
        assert_eq!(completed(&script, &flags), ["--json"], "{name}");
    }
    assert_eq!(completed(&script, &["kwic-team", "--data", "x", "invite", "rev"]), ["revoke"]);
}

#[test]
fn the_manual_has_a_page_for_each_command() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("man1");
    run(&["man", "--dir", dir.to_str().unwrap()]).ends(0);
    let pages = fs::read_dir(&dir).unwrap().count();
    let groups: std::collections::BTreeSet<&str> =
        COMMANDS.iter().filter_map(|name| name.split_once(' ')).map(|(group, _)| group).collect();
    assert_eq!(pages, 1 + COMMANDS.len() + groups.len());
    for name in COMMANDS.iter().copied().chain([""]) {
        let words: Vec<&str> = name.split_whitespace().collect();
        let printed = run(&[&["man"], &*words].concat()).ends(0);
        let title = [&["kwic-team"], &*words].concat().join("-");
        assert_eq!(printed, fs::read_to_string(dir.join(format!("{title}.1"))).unwrap(), "{name}");
        for part in ["NAME", "SYNOPSIS", "\"EXIT STATUS\"", "ENVIRONMENT", "FILES"] {
            assert!(printed.contains(&format!(".SH {part}\n")), "{name}: {part}: {printed}");
        }
        // A line that begins with a dot is a request of roff, and is not printed.
        let is_request = |line: &str| line[1..].starts_with(|c: char| c.is_ascii_alphabetic());
        let mut dotted = printed.lines().filter(|line| line.starts_with('.'));
        assert!(dotted.all(is_request), "{name}: {printed}");
        assert!(printed.contains("./kwic\\-team.toml\n") && printed.contains("./kwic\\-data\n"));
    }
    assert!(run(&["man", "member", "fly"]).complains(64).contains("`suspend`"));
    assert_eq!(
        run(&["man", "member", "list", "fly"]).complains(64),
        "`kwic-team member list` has no commands of its own: leave out `fly`\n"
    );
}

#[test]
fn global_flags_stand_before_and_after_the_command() {
    let item = json!({"slug": "acme", "name": "Acme", "created": "2026-01-02T03:04:05Z"});
    let sidecar = FakeSidecar::answering((0..3).map(|_| page(std::slice::from_ref(&item), None)));
    let data = sidecar.folder.path().to_str().unwrap().to_owned();
    let lines: [&[&str]; 3] = [
        &["--data", &data, "--json", "account", "list"],
        &["account", "--json", "list", "--data", &data],
        &["account", "list", "--json", "--data", &data],
    ];
    for line in lines {
        let out = run(line).ends(0);
        assert_eq!(serde_json::from_str::<Json>(&out).unwrap(), item, "{line:?}");
    }
}

#[test]
fn without_a_sidecar_the_command_says_where_it_looked_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let data = data.to_str().unwrap();
    let socket = format!("{data}/admin.sock");
    let looked = format!(
        "no sidecar answers at `{socket}` (looked there because of --data): give --data of the one that runs, or start one with `kwic-team serve`\n"
    );
    for line in ["member list", "account list", "policy reload", "audit verify", "role list"] {
        let arguments: Vec<&str> = line.split(' ').chain(["--data", data]).collect();
        assert_eq!(run(&arguments).complains(1), looked, "{line}");
    }
    // A socket that a dead process left behind.
    fs::create_dir(data).unwrap();
    drop(UnixListener::bind(&socket).unwrap());
    assert_eq!(run(&["account", "list", "--data", data]).complains(1), looked);
    // A decision that could not be asked is no deny.
    let question =
        ["decide", "--subject", "user:a", "--action", "x", "--resource", "doc:1", "--data", data];
    run(&question).complains(1);
}

#[test]
fn a_list_is_plain_in_a_pipe_and_json_on_demand_page_by_page() {
    let script = || {
        let (ann, bo) = (member("m1", "ann@example.org"), member("m2", "bo@example.org"));
        [page(&[ann], Some("a/b c")), page(&[bo], None)]
    };
    let sidecar = FakeSidecar::answering(script());
    let list = ["member", "list", "--account", "acme", "--search", "ä &", "--sort", "-name"];
    let out = sidecar.run(&list).ends(0);
    assert_eq!(
        out,
        "m1\tann@example.org\tAnn\tLee\twriter\tactive\nm2\tbo@example.org\tAnn\tLee\twriter\tactive\n"
    );
    let first = "GET /api/v1/members?account=acme&search=%C3%A4%20%26&sort=-name&limit=1000";
    assert_eq!(sidecar.lines(), [first.to_owned(), format!("{first}&after=a%2Fb%20c")]);

    let sidecar = FakeSidecar::answering(script());
    let out = sidecar.run(&["member", "list", "--json"]).ends(0);
    let items: Vec<Json> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(items, [member("m1", "ann@example.org"), member("m2", "bo@example.org")]);
}

#[test]
fn a_member_is_named_by_id_and_else_by_address() {
    // By id.
    let sidecar = FakeSidecar::answering([ok(&member("m1", "ann@example.org"))]);
    let out = sidecar.run(&["member", "show", "m1"]).ends(0);
    assert!(out.contains("email\tann@example.org\n") && out.contains("version\t7\n"), "{out}");
    assert_eq!(sidecar.lines(), ["GET /api/v1/members/m1"]);

    // An id that looks like an address is an id first.
    let sidecar = FakeSidecar::answering([ok(&member("ann@example.org", "other@example.org"))]);
    let out = sidecar.run(&["member", "show", "ann@example.org"]).ends(0);
    assert!(out.contains("email\tother@example.org\n"), "{out}");

    // By address.
    let found = page(&[member("m1", "ann@example.org")], None);
    let sidecar = FakeSidecar::answering([unknown_member(), found]);
    sidecar.run(&["member", "show", "ann@example.org", "--account", "acme"]).ends(0);
    assert_eq!(
        sidecar.lines(),
        [
            "GET /api/v1/members/ann%40example.org?account=acme",
            "GET /api/v1/members?account=acme&email=ann%40example.org"
        ]
    );

    // Nobody.
    let sidecar = FakeSidecar::answering([unknown_member(), page(&[], None)]);
    let err = sidecar.run(&["member", "show", "no@example.org"]).complains(1);
    assert!(err.contains("there is no such member"), "{err}");
    let sidecar = FakeSidecar::answering([unknown_member()]);
    sidecar.run(&["member", "show", "m9"]).complains(1);
    assert_eq!(
        sidecar.lines()[1..],
        ["GET /api/v1/audit?event=user_deleted&member=m9&limit=1000"],
        "the log may know of a removal"
    );

    // A name that the API keeps for a call of its own.
    let sidecar = FakeSidecar::answering([]);
    let err = sidecar.run(&["member", "remove", "export", "--yes"]).complains(1);
    assert!(err.contains("give the member's address"), "{err}");
    assert!(sidecar.lines().is_empty());
}

#[test]
fn an_edit_rests_on_the_version_that_was_read() {
    let mut after = member("m1", "ann@example.org");
    after["role"] = json!("editor");
    after["revision"] = json!(12);
    let sidecar = FakeSidecar::answering([ok(&member("m1", "ann@example.org")), ok(&after)]);
    let out = sidecar.run(&["member", "edit", "m1", "--role", "editor"]).ends(0);
    assert!(out.contains("role\teditor\n") && out.contains("revision\t12\n"), "{out}");
    let patch = &sidecar.heard()[1];
    assert_eq!(patch.line, "PATCH /api/v1/members/m1");
    assert!(patch.head.to_lowercase().contains("\r\nif-match: \"7\"\r\n"), "{}", patch.head);
    assert_eq!(patch.body, r#"{"role":"editor"}"#);
}

#[test]
fn a_problem_is_its_detail_and_a_line_for_each_field() {
    let body = json!({
        "status": 400, "code": "import_refused", "request_id": "r1",
        "detail": "nothing was imported: the file has 2 faults; fix it and import it again",
        "fields": [
            {"field": "line 2", "message": "the address is taken"},
            {"field": "line 17", "message": "there is no role `x`"},
        ],
    });
    let sidecar = FakeSidecar::answering([problem(400, &body)]);
    let file = sidecar.folder.path().join("members.csv");
    fs::write(&file, "first_name,last_name,email,role\n").unwrap();
    let err = sidecar.run(&["member", "import", file.to_str().unwrap()]).complains(1);
    assert_eq!(
        err,
        "nothing was imported: the file has 2 faults; fix it and import it again\n  line 2: the address is taken\n  line 17: there is no role `x`\n"
    );
    // A field that repeats the detail says nothing new; a fault of ours names the request.
    let body = json!({
        "status": 500, "code": "internal", "request_id": "r2", "detail": "something broke",
        "fields": [{"field": "x", "message": "something broke"}],
    });
    let sidecar = FakeSidecar::answering([problem(500, &body)]);
    let err = sidecar.run(&["account", "list"]).complains(1);
    assert_eq!(err, "something broke\n  request id: r2\n");
}

#[test]
fn a_file_is_imported_as_its_name_or_its_flag_says() {
    let receipt = json!({"imported": 2, "digest": HEAD, "revision": 3});
    let sidecar = FakeSidecar::answering((0..5).map(|_| ok(&receipt)));
    let place = |name: &str| sidecar.folder.path().join(name).to_str().unwrap().to_owned();
    let text = "x".repeat(200_000);
    for name in ["a.csv", "a.jsonl", "a.txt"] {
        fs::write(place(name), &text).unwrap();
    }
    let out = sidecar.run(&["member", "import", "--account", "acme", &place("a.csv")]).ends(0);
    assert!(out.contains("2 members were imported, at revision 3") && out.contains(HEAD), "{out}");
    sidecar.run(&["member", "import", &place("a.jsonl")]).ends(0);
    sidecar.run(&["member", "import", &place("a.txt"), "--format", "jsonl"]).ends(0);
    // From a pipe, whose length nobody knows.
    for name in ["/dev/stdin", "-"] {
        let mut piped = sidecar
            .command(&["member", "import", name, "--format", "csv"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        piped.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        assert!(piped.wait().unwrap().success(), "{name}");
    }

    let heard = sidecar.heard();
    assert_eq!(heard[0].line, "POST /api/v1/members/import?account=acme");
    let media = ["text/csv", "application/jsonl", "application/jsonl", "text/csv", "text/csv"];
    assert_eq!(heard.len(), media.len());
    for (heard, media) in heard.iter().zip(media) {
        assert!(heard.head.contains(&format!("content-type: {media}\r\n")), "{}", heard.head);
        assert_eq!(heard.body.len(), text.len());
    }
}

#[test]
fn a_file_that_cannot_be_read_is_no_import() {
    let sidecar = FakeSidecar::answering([]);
    let err = sidecar.run(&["member", "import", "/nowhere/members.csv"]).complains(1);
    assert!(err.starts_with("`/nowhere/members.csv` cannot be read"), "{err}");
    assert!(err.ends_with(": name a file that is there\n"), "{err}");
    let folder = sidecar.folder.path().join("folder.csv");
    fs::create_dir(&folder).unwrap();
    let err = sidecar.run(&["member", "import", folder.to_str().unwrap()]).complains(1);
    assert!(err.ends_with(": name a file, not a folder\n"), "{err}");
    assert!(sidecar.lines().is_empty());
}

#[test]
fn an_export_that_is_refused_leaves_the_old_file_alone() {
    let text = "id,email\nm1,ann@example.org\n";
    let refused = problem(404, &json!({"code": "unknown_account", "detail": "no such account"}));
    let csv = || (200, "text/csv", text.to_owned());
    let sidecar = FakeSidecar::answering([refused, csv(), csv()]);
    let file = sidecar.folder.path().join("members.csv");
    fs::write(&file, "yesterday").unwrap();
    let arguments = ["member", "export", "--output", file.to_str().unwrap()];
    sidecar.run(&arguments).complains(1);
    assert_eq!(fs::read_to_string(&file).unwrap(), "yesterday");
    assert_eq!(sidecar.run(&arguments).ends(0), "");
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
    assert_eq!(sidecar.run(&["member", "export", "--format", "jsonl"]).ends(0), text);
    assert_eq!(sidecar.lines()[2], "GET /api/v1/members/export?format=jsonl");
    run(&["member", "export", "--excel", "--format", "jsonl"]).complains(64);
}

#[test]
fn an_answer_that_breaks_off_is_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(folder.path().join("admin.sock")).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            hear(&mut stream);
            let half = b"HTTP/1.1 200 OK\r\nx-request-id: 1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nid,\r\n";
            stream.get_mut().write_all(half).unwrap();
        }
    });
    let output = folder.path().join("members.csv");
    let ran = command(&["member", "export", "--output", output.to_str().unwrap()])
        .arg("--data")
        .arg(folder.path())
        .output();
    let err = Ran::from(ran.unwrap()).complains(1);
    assert!(err.contains("cut off") && err.contains("do not use it"), "{err}");
}

#[test]
fn output_that_cannot_be_written_is_a_failure() {
    let sidecar = FakeSidecar::answering([
        page(&[member("m1", "a@example.org")], None),
        (200, "text/csv", "x".repeat(10_000)),
    ]);
    for line in [["member", "list"], ["member", "export"]] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = sidecar.command(&line).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{line:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("cannot be written"));
    }
}

/// Runs a command whose reader has left before it begins.
fn unread(sidecar: &FakeSidecar, arguments: &[&str]) -> Ran {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    sidecar.command(arguments).stdout(writer).output().unwrap().into()
}

#[test]
fn a_reader_who_leaves_ends_a_list_quietly_and_changes_no_verdict() {
    let chain =
        |fault: Option<&str>| json!({"account": null, "entries": 3, "head": HEAD, "fault": fault});
    let sidecar = FakeSidecar::answering([
        page(&[member("m1", "a@example.org")], Some("more")),
        ok(&json!({"decision": false})),
        ok(&json!({"decision": true})),
        page(&[chain(Some("entry 2: another hash"))], None),
    ]);
    assert_eq!(unread(&sidecar, &["member", "list"]).complains(0), "");
    assert_eq!(sidecar.lines().len(), 1, "it went on reading pages for nobody");
    let question = ["decide", "--subject", "user:a", "--action", "x", "--resource", "doc:1"];
    unread(&sidecar, &question).complains(2);
    unread(&sidecar, &question).complains(0);
    unread(&sidecar, &["audit", "verify"]).complains(1);
    let folder = tempfile::tempdir().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let policies = folder.path().join("p");
    run(&["policy", "init", policies.to_str().unwrap()]).ends(0);
    let check = command(&["policy", "check", policies.to_str().unwrap()]).stdout(writer).output();
    assert_eq!(check.unwrap().status.code(), Some(0));
}

#[test]
fn a_removal_needs_a_yes_where_nobody_can_be_asked() {
    let receipt = json!({
        "id": "m1", "sessions_ended": 2, "tokens_revoked": 1, "invites_cancelled": 0, "revision": 9,
    });
    let ann = || ok(&member("m1", "ann@example.org"));
    let sidecar = FakeSidecar::answering([ann(), ann(), ok(&receipt)]);
    let err = sidecar.run(&["member", "remove", "m1"]).complains(64);
    assert!(err.contains("--yes"), "{err}");
    assert!(sidecar.lines().iter().all(|line| line.starts_with("GET ")));
    let out = sidecar.run(&["member", "remove", "m1", "--yes"]).ends(0);
    assert!(out.contains("ann@example.org") && out.contains("ended: 2 sessions"), "{out}");
    assert_eq!(sidecar.lines()[2], "DELETE /api/v1/members/m1");
}

#[test]
fn suspend_and_restore_do_not_ask() {
    let mut after = member("m1", "ann@example.org");
    after["status"] = json!("suspended");
    after["revision"] = json!(9);
    let sidecar = FakeSidecar::answering([ok(&member("m1", "ann@example.org")), ok(&after)]);
    let out = sidecar.run(&["member", "suspend", "m1", "--account", "acme"]).ends(0);
    assert_eq!(out, "Ann Lee (ann@example.org) is suspended, at revision 9\n");
    assert_eq!(sidecar.lines()[1], "POST /api/v1/members/m1/suspend?account=acme");
}

#[test]
fn roles_are_compared_in_the_order_they_are_named() {
    let matrix = json!({
        "roles": ["editor", "reader", "writer"],
        "rows": [
            {"action": "docs:edit", "resource": "doc", "cells": ["allowed", "denied", "depends"], "depends_on": ["own", "bob"]},
            {"action": "docs:read", "resource": "doc", "cells": ["allowed", "allowed", "allowed"]},
        ],
    });
    let sidecar = FakeSidecar::answering((0..4).map(|_| ok(&matrix)));
    assert_eq!(
        sidecar.run(&["role", "compare"]).ends(0),
        "action\ton\teditor\treader\twriter\tdepends on policy\ndocs:edit\tdoc\tyes\t-\tdepends\town, bob\ndocs:read\tdoc\tyes\tyes\tyes\t\n"
    );
    assert_eq!(
        sidecar.run(&["role", "compare", "writer", "editor"]).ends(0),
        "action\ton\twriter\teditor\tdepends on policy\ndocs:edit\tdoc\tdepends\tyes\town, bob\ndocs:read\tdoc\tyes\tyes\t\n"
    );
    let out = sidecar.run(&["role", "compare", "reader", "--json"]).ends(0);
    let one: Json = serde_json::from_str(&out).unwrap();
    assert_eq!(one["roles"], json!(["reader"]));
    assert_eq!(one["rows"][0]["cells"], json!(["denied"]));
    assert_eq!(one["rows"][0]["depends_on"], json!([]));
    let err = sidecar.run(&["role", "compare", "typist"]).complains(64);
    assert!(err.contains("`typist`: use one of `editor`, `reader`, `writer`"), "{err}");
}

#[test]
fn a_refused_reload_prints_the_faults_as_they_are_and_ends_with_3() {
    let faults =
        "roles/writer.cedar:3: unexpected token\n    permit (principla)\n            ^^^^^^^^^";
    let body = json!({"status": 422, "code": "policies_refused", "detail": faults});
    let report = json!({
        "digest": HEAD, "policies": 9, "changed": true, "gains": ["writer gains docs:edit"],
        "loses": [], "may_gain": ["may gain: x", "too much"], "may_lose": ["may lose: y", "too much"], "notes": ["a note"],
    });
    let sidecar = FakeSidecar::answering([problem(422, &body), ok(&report)]);
    assert_eq!(
        sidecar.run(&["policy", "reload"]).complains(3),
        format!("{faults}\nthe previous policies stay live\n")
    );
    assert_eq!(
        sidecar.run(&["policy", "reload"]).ends(0),
        format!(
            "9 policies are live, digest {HEAD}\nwriter gains docs:edit\nmay gain: x\ntoo much\nmay lose: y\na note\n"
        )
    );
}

#[test]
fn a_decision_ends_with_0_or_2_and_says_why_on_demand() {
    let why = json!({"decision": false, "context": {
        "reason": "role_lacks_action", "message": "the role may not", "policies": [], "roles": ["editor"],
    }});
    let sidecar = FakeSidecar::answering([
        ok(&json!({"decision": true})),
        ok(&why),
        ok(&json!({"decision": false})),
        ok(&json!({"verdict": 1})),
        (400, "application/json", "\"`subject.id` is missing\"".to_owned()),
    ]);
    let question = |more: &[&'static str]| {
        let asked =
            ["decide", "--subject", "A::User:ann", "--action", "x", "--resource", "doc:u:1"];
        sidecar.run(&[&asked, more].concat())
    };
    let more = ["--account", "acme", "--properties", r#"{"size":3}"#, "--context", r#"{"a":[1]}"#];
    assert_eq!(question(&more).ends(0), "allow\n");
    assert_eq!(
        question(&["--explain"]).ends(2),
        "deny\nreason\trole_lacks_action\nmessage\tthe role may not\nrole\teditor\n"
    );
    assert_eq!(question(&["--json"]).ends(2), "{\"decision\":false}\n");
    question(&[]).complains(1);
    assert_eq!(question(&[]).complains(64), "`subject.id` is missing\n");

    let heard = sidecar.heard();
    assert_eq!(heard[0].line, "POST /access/v1/evaluation");
    let asked: Json = serde_json::from_str(&heard[0].body).unwrap();
    assert_eq!(
        asked,
        json!({
            "subject": {"type": "A::User", "id": "ann", "properties": {}},
            "action": {"name": "x", "properties": {}},
            "resource": {"type": "doc", "id": "u:1", "properties": {"size": 3, "account": "acme"}},
            "context": {"a": [1]},
            "options": {"explain": false},
        })
    );
}

#[test]
fn a_decision_takes_attributes_of_subject_action_and_resource() {
    let sidecar = FakeSidecar::answering([ok(&json!({"decision": true}))]);
    let asked = ["decide", "--subject", "user:ann", "--action", "x", "--resource", "doc:1"];
    let said = [
        "--subject-properties",
        r#"{"device":"known"}"#,
        "--action-properties",
        r#"{"soft":true}"#,
        "--resource-properties",
        r#"{"size":3}"#,
    ];
    assert_eq!(sidecar.run(&[&asked[..], &said].concat()).ends(0), "allow\n");
    let body: Json = serde_json::from_str(&sidecar.heard()[0].body).unwrap();
    assert_eq!(body["subject"]["properties"], json!({"device": "known"}));
    assert_eq!(body["action"]["properties"], json!({"soft": true}));
    assert_eq!(body["resource"]["properties"], json!({"size": 3}));
    for flag in ["--subject-properties", "--action-properties", "--properties", "--context"] {
        let err = run(&[&asked[..], &[flag, "[1]"]].concat()).complains(64);
        assert!(err.contains(&format!("{flag} must be a JSON object")), "{err}");
    }
    // A folder hears the same.
    let (_home, policies) = folder();
    let schema = policies.join("schema.cedarschema");
    let text = fs::read_to_string(&schema).unwrap();
    let declared = text.replacen("first_name: String,", "first_name: String, device?: String,", 1);
    assert_ne!(declared, text, "the schema of `User` is another: change this test");
    fs::write(&schema, declared).unwrap();
    fs::write(
        policies.join("rules/devices.cedar"),
        r#"@id("devices") forbid (principal is KWIC::User, action, resource)
           when { principal has device && principal.device == "stolen" };"#,
    )
    .unwrap();
    let ask = |device: &'static str| {
        let asked = ["decide", "--policies", path(&policies), "--subject", "user:ann"];
        let more = ["--action", "team:view", "--resource", "account:acme", "--account", "acme"];
        let who = ["--role", "administrator", "--explain", "--subject-properties", device];
        run(&[&asked[..], &more, &who].concat())
    };
    ask(r#"{"device":"known"}"#).ends(0);
    assert!(ask(r#"{"device":"stolen"}"#).ends(2).contains("devices"));
}

#[test]
fn the_audit_log_is_listed_and_verified_against_a_head() {
    let entry = json!({
        "sequence": 4, "revision": 9, "at": "2026-01-02T03:04:05Z", "actor": "sidecar:0",
        "event": "user_updated", "target": "m1", "hash": "b".repeat(64),
        "detail": [{"field": "role", "before": "reader", "after": "writer"}],
    });
    let chain = |account: Option<&str>, fault: Option<&str>| json!({"account": account, "entries": 4, "head": HEAD, "fault": fault});
    let sidecar = FakeSidecar::answering([
        page(std::slice::from_ref(&entry), None),
        page(&[chain(Some("acme"), None), chain(None, None)], None),
        page(&[chain(Some("acme"), None)], None),
        page(&[chain(Some("acme"), None)], None),
        page(std::slice::from_ref(&entry), None),
        page(&[chain(Some("acme"), None)], None),
        page(&[entry], None),
        // No other chain has it.
        page(&[chain(Some("acme"), None)], None),
        page(&[chain(Some("acme"), Some("entry 2: another hash")), chain(None, None)], None),
        page(&[chain(Some("acme"), Some("entry 2: another hash")), chain(None, None)], None),
    ]);
    assert_eq!(
        sidecar.run(&["audit", "list", "--store", "--event", "user_updated"]).ends(0),
        "4\t2026-01-02T03:04:05Z\tsidecar:0\tuser_updated\tm1\trole: reader -> writer\n"
    );
    assert_eq!(
        sidecar.run(&["audit", "verify"]).ends(0),
        format!("acme\t4\t{HEAD}\tintact\n(store)\t4\t{HEAD}\tintact\n")
    );
    let expect =
        |head: &str| sidecar.run(&["audit", "verify", "--account", "acme", "--expect", head]);
    expect(HEAD).ends(0);
    // Built upon since: some entry carries the head.
    expect(&"b".repeat(64)).ends(0);
    let cut = expect(&"c".repeat(64));
    assert!(
        cut.err.contains("no chain that was checked contains the expected head"),
        "{}",
        cut.err
    );
    cut.ends(1);
    // A chain at fault, whichever is looked at; the other one is intact.
    let broken = sidecar.run(&["audit", "verify"]);
    assert!(broken.out.contains("entry 2: another hash"), "{}", broken.out);
    broken.ends(1);
    let store = sidecar.run(&["audit", "verify", "--store", "--expect", HEAD]).ends(0);
    assert_eq!(store, format!("(store)\t4\t{HEAD}\tintact\n"));
    assert_eq!(sidecar.lines()[0], "GET /api/v1/audit?chain=store&event=user_updated&limit=1000");
}

#[test]
fn no_value_from_the_sidecar_moves_the_cursor() {
    let item = json!({"slug": "acme", "name": "A\u{1b}[2J\tB\n", "created": "now"});
    let sidecar = FakeSidecar::answering([page(&[item], None)]);
    assert_eq!(sidecar.run(&["account", "list"]).ends(0), "acme\tA\\u{1b}[2J\\tB\\n\tnow\n");
}

/// The shipped folder, copied.
fn folder() -> (TempDir, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let policies = home.path().join("policies");
    copy_folder(&shipped_policies(), &policies);
    (home, policies)
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_folder_is_written_checked_tested_and_compared_without_a_sidecar() {
    let home = tempfile::tempdir().unwrap();
    let policies = home.path().join("policies");
    run(&["policy", "init", path(&policies)]).ends(0);
    run(&["policy", "init", path(&policies)]).complains(1);
    assert!(run(&["policy", "check", path(&policies)]).ends(0).contains("in order"));
    let checked: Json =
        serde_json::from_str(&run(&["policy", "check", "--json", path(&policies)]).ends(0))
            .unwrap();
    assert_eq!(checked["roles"], 7);
    assert!(run(&["policy", "test", path(&policies)]).ends(0).contains("tests passed"));
    let matrix = run(&["policy", "matrix", path(&policies)]).ends(0);
    assert!(matrix.starts_with("action\ton\t") && matrix.contains("\tyes"), "{matrix}");
    let document: Json =
        serde_json::from_str(&run(&["policy", "matrix", "--json", path(&policies)]).ends(0))
            .unwrap();
    assert_eq!(document["roles"].as_array().unwrap().len(), 7);
    assert_eq!(document["rows"][0]["cells"].as_array().unwrap().len(), 7);
}

#[test]
fn a_policy_for_one_user_is_one_line_against_the_folder_before() {
    let (home, before) = folder();
    let (after, same) = (home.path().join("after"), home.path().join("same"));
    copy_folder(&before, &after);
    copy_folder(&before, &same);
    let rule = "@id(\"bob\") forbid (principal == KWIC::User::\"bob\", action, resource);\n";
    fs::write(after.join("rules/bob.cedar"), rule).unwrap();
    fs::remove_dir_all(after.join("tests")).unwrap();
    let compare = |new: &Path, old: &Path, more: &[&str]| {
        run(&[&["policy", "matrix", path(new), "--before", path(old)], more].concat()).ends(0)
    };
    let why = "it concerns only `KWIC::User::\"bob\"`";
    let new = format!("somebody may lose access: policy `bob` is new, and {why}");
    assert_eq!(compare(&after, &before, &[]), format!("{new}\nnobody gains access\n"));
    let gone = format!("somebody may gain access: policy `bob` was removed, and {why}");
    assert_eq!(compare(&before, &after, &[]), format!("{gone}\nnobody loses access\n"));
    assert_eq!(compare(&same, &before, &[]), "nobody gains access\nnobody loses access\n");
    let document: Json = serde_json::from_str(&compare(&after, &before, &["--json"])).unwrap();
    let wanted = json!({"gains": [], "loses": [], "may_gain": [], "may_lose": [new]});
    assert_eq!(document, wanted);
    let matrix = run(&["policy", "matrix", path(&after)]).ends(0);
    assert!(matrix.contains("\tdepends\t") && matrix.contains("\tbob\n"), "{matrix}");
}

#[test]
fn a_folder_at_fault_ends_with_3_and_names_file_and_line() {
    let (_home, policies) = folder();
    let file = policies.join("rules/tenancy.cedar");
    fs::write(&file, "\n\npermit (principla, action, resource);\n").unwrap();
    let lines: [&[&str]; 3] = [&["policy", "check"], &["policy", "test"], &["policy", "matrix"]];
    for line in lines {
        let err = run(&[line, &[path(&policies)]].concat()).complains(3);
        assert!(err.contains("rules/tenancy.cedar:3"), "{err}");
    }
    let err = run(&["policy", "check", "/nowhere"]).complains(3);
    assert!(err.contains("/nowhere"), "{err}");
}

#[test]
fn formatting_changes_all_files_or_none() {
    let (_home, policies) = folder();
    run(&["policy", "fmt", path(&policies)]).ends(0);
    assert_eq!(run(&["policy", "fmt", "--check", path(&policies)]).ends(0), "");
    let good = policies.join("guards/zz.cedar");
    let untidy = "@id(\"zz\")@guard(\"at_most\")permit(principal,action,resource);";
    fs::write(&good, untidy).unwrap();
    assert_eq!(
        run(&["policy", "fmt", "--check", path(&policies)]).ends(1),
        "guards/zz.cedar would change\n"
    );
    assert_eq!(fs::read_to_string(&good).unwrap(), untidy);

    let bad = policies.join("rules/bad.cedar");
    for text in [&b"permit ("[..], b"// \xff\npermit(principal,action,resource);"] {
        fs::write(&bad, text).unwrap();
        let err = run(&["policy", "fmt", path(&policies)]).complains(3);
        assert!(err.starts_with("rules/bad.cedar:"), "{err}");
        assert_eq!(fs::read(&bad).unwrap(), text);
        assert_eq!(fs::read_to_string(&good).unwrap(), untidy);
    }
    fs::remove_file(&bad).unwrap();
    assert_eq!(run(&["policy", "fmt", path(&policies)]).ends(0), "guards/zz.cedar was changed\n");
    assert_ne!(fs::read_to_string(&good).unwrap(), untidy);
}

#[test]
fn a_folder_decides_about_a_made_up_member() {
    let (_home, policies) = folder();
    let ask = |action: &'static str, more: &[&'static str]| {
        let asked = [
            "decide",
            "--policies",
            path(&policies),
            "--subject",
            "user:ann",
            "--action",
            action,
            "--resource",
            "account:acme",
            "--account",
            "acme",
            "--explain",
        ];
        run(&[&asked, more].concat())
    };
    let administers = ["--role", "administrator"];
    assert!(ask("team:view", &administers).ends(0).starts_with("allow\nreason\tgranted\n"));
    let suspended = ask("team:view", &[&administers[..], &["--suspended"]].concat()).ends(2);
    assert!(suspended.starts_with("deny\nreason\tsuspended\n"), "{suspended}");
    let elsewhere = ask("team:view", &[&administers[..], &["--member-account", "zeta"]].concat());
    assert!(elsewhere.ends(2).contains("other_account"));
    let both = [&administers[..], &["--suspended", "--member-account", "zeta"]].concat();
    let both = ask("team:view", &both).ends(2);
    let sentence = "this member is suspended; the account `acme` is not the member's";
    assert!(both.contains(&format!("message\t{sentence}\n")), "{both}");
    let nobody = ask("team:view", &[]).ends(2);
    assert!(nobody.contains("unknown_subject"), "{nobody}");
    // A role that does not exist is a mistake, not a deny.
    let err = ask("team:view", &["--role", "emperor"]).complains(64);
    assert!(err.contains("there is no role `emperor`: use one of"), "{err}");
    // A folder at fault is no deny either.
    fs::remove_file(policies.join("schema.cedarschema")).unwrap();
    ask("team:view", &administers).complains(3);
}

#[test]
fn other_entities_may_stand_in_for_the_folders_own() {
    let (home, policies) = folder();
    let entities = home.path().join("entities.json");
    fs::write(&entities, "[").unwrap();
    let ask = || {
        run(&[
            "decide",
            "--policies",
            path(&policies),
            "--entities",
            path(&entities),
            "--subject",
            "user:ann",
            "--action",
            "team:view",
            "--resource",
            "account:acme",
            "--role",
            "administrator",
            "--account",
            "acme",
        ])
    };
    assert!(ask().complains(3).contains("entities.json"));
    fs::write(&entities, "[]").unwrap();
    ask().ends(0);
    fs::remove_file(&entities).unwrap();
    ask().complains(1);
}

#[test]
fn a_configuration_at_fault_refuses_the_start_with_every_fault() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("kwic-team.toml");
    fs::write(&file, "[decision]\nwait_mss = 1\n[store]\ncache_mb = 0\n").unwrap();
    let data = home.path().join("data");
    let arguments = ["serve", "--check", "--config", path(&file), "--data", path(&data)];
    let err = run(&arguments).complains(1);
    assert!(err.contains(":2: ") && err.contains("did you mean `wait_ms`?"), "{err}");
    assert!(err.contains(":4: "), "{err}");
    // Checking makes nothing.
    fs::write(&file, "").unwrap();
    run(&arguments).ends(0);
    assert!(!data.exists());
    // A stray byte in a variable of somebody else.
    use std::os::unix::ffi::OsStrExt;
    let stray = std::ffi::OsStr::from_bytes(b"\xff\xfe");
    let ran: Ran = command(&arguments).env("LC_ODD", stray).output().unwrap().into();
    ran.ends(0);
    let ran: Ran =
        command(&arguments).env("KWIC_TEAM_STORE_KINDS", "redb").output().unwrap().into();
    assert!(ran.complains(1).contains("did you mean `KWIC_TEAM_STORE_KIND`?"));
}

#[test]
fn a_socket_that_may_not_be_opened_says_so() {
    let sidecar = FakeSidecar::answering([]);
    let socket = sidecar.folder.path().join("admin.sock");
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o000)).unwrap();
    let ran = sidecar.run(&["account", "list"]);
    // Root opens everything; then the script is simply over.
    if ran.err.contains("may not be opened") {
        ran.complains(1);
    } else {
        assert!(ran.complains(1).contains("the script is over"));
    }
}

#[test]
fn a_demonstration_touches_no_folder_that_is_there_already() {
    // The process that a shell becomes has the shell's number, so the folder's name is known.
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join("own")).unwrap();
    let script = "ln -s \"$TMPDIR/own\" \"$TMPDIR/kwic-team-demo-$$\"; exec \"$0\" serve --demo --config /dev/null";
    let output = Command::new("/bin/sh")
        .args(["-c", script, binary()])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("TMPDIR", home.path())
        .output()
        .unwrap();
    let err = Ran::from(output).complains(1);
    assert!(err.contains("cannot be created") && err.contains("--data"), "{err}");
}
