//! The commands about the team, as a person uses them: invites, passwords, sessions, mail,
//! recovery.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value as Json, json};

use crate::support::fake_sidecar::{
    FakeSidecar, Ran, Scripted, member, ok, page, problem, unknown_member,
};
use crate::support::sidecar::binary;

const ANN: &str = "ann@example.org";
const LINK: &str = "https://app.example/team/join#TOKEN";
const EXPIRES: &str = "2026-11-28T12:00:00Z";

/// An id as the sidecar spells one.
fn id(last: char) -> String {
    format!("i{}{last}", "0".repeat(25))
}

fn invite(last: char, email: &str, state: &str) -> Json {
    json!({
        "id": id(last), "account": "acme", "email": email, "first_name": "Ann", "last_name": "Lee",
        "role": "writer", "state": state, "inviter": {"kind": "sidecar", "id": "0"},
        "created": "2026-11-25T12:00:00Z", "sent": "2026-11-25T12:00:00Z", "expires": EXPIRES,
        "version": 7,
        "delivery": {
            "state": "queued", "detail": "", "attempts": 0, "last_attempt": null,
            "next_attempt": null,
        },
    })
}

/// The same with what a change adds.
fn with(mut answer: Json, more: &[(&str, Json)]) -> Json {
    for (name, value) in more {
        answer[*name] = value.clone();
    }
    answer
}

fn changed(answer: Json) -> Json {
    with(answer, &[("revision", json!(12))])
}

fn delivery(state: &str, detail: &str, next: Option<&str>) -> Json {
    json!({"state": state, "detail": detail, "attempts": 1, "last_attempt": null, "next_attempt": next})
}

fn roles() -> Scripted {
    page(&[json!({"id": "reader"}), json!({"id": "writer"})], None)
}

fn json_of(text: &str) -> Json {
    serde_json::from_str(text).unwrap_or_else(|fault| panic!("{fault}: {text}"))
}

const SEND: [&str; 10] = [
    "invite",
    "send",
    "--email",
    ANN,
    "--first-name",
    "Ann",
    "--last-name",
    "Lee",
    "--role",
    "writer",
];

#[test]
fn an_invite_is_sent_and_its_link_printed_only_where_there_is_one() {
    let plain = changed(invite('1', ANN, "pending"));
    let linked = with(plain.clone(), &[("link", json!(LINK))]);
    let again = with(
        linked.clone(),
        &[
            ("previously_removed", json!("2026-03-01T00:00:00Z")),
            ("delivery", delivery("none", "", None)),
            ("warning", json!("the last mail came back")),
        ],
    );
    let sidecar = FakeSidecar::answering([ok(&plain), ok(&linked), ok(&again), ok(&linked)]);
    let first = format!(
        "Ann Lee ({ANN}) is invited as writer; the link works until {EXPIRES}; revision 12\n"
    );
    assert_eq!(sidecar.run(&SEND).ends(0), format!("{first}mail: queued\n"));
    let more = ["--account", "acme", "--idempotency-key", "monday-1"];
    let out = sidecar.run(&[&SEND[..], &more].concat()).ends(0);
    assert_eq!(out, format!("{first}mail: queued\n{LINK}\n"));
    assert_eq!(
        sidecar.run(&SEND).ends(0),
        format!(
            "{first}mail: no mail is sent\nnote: this address belonged to a member who was removed at 2026-03-01T00:00:00Z\nnote: the last mail came back\n{LINK}\n"
        )
    );
    assert_eq!(json_of(&sidecar.run(&[&SEND[..], &["--json"]].concat()).ends(0)), linked);

    let heard = sidecar.heard();
    assert_eq!(heard[0].line, "POST /api/v1/invites");
    assert_eq!(heard[1].line, "POST /api/v1/invites?account=acme");
    assert!(!heard[0].head.contains("idempotency-key"), "{}", heard[0].head);
    assert!(heard[1].head.contains("\r\nidempotency-key: monday-1\r\n"), "{}", heard[1].head);
    let asked = json!({"first_name": "Ann", "last_name": "Lee", "email": ANN, "role": "writer"});
    assert_eq!(json_of(&heard[0].body), asked);
}

#[test]
fn a_key_that_cannot_be_sent_is_not_understood() {
    let sidecar = FakeSidecar::answering([]);
    for key in ["", "two words", "k\u{e9}y", "a\nb"] {
        let line = [&SEND[..], &["--idempotency-key", key]].concat();
        let err = sidecar.run(&line).complains(64);
        assert!(err.contains("printable ASCII"), "{err}");
    }
    assert!(sidecar.lines().is_empty());
}

#[test]
fn an_invite_that_is_refused_names_each_field() {
    let body = json!({
        "status": 422, "code": "invalid", "detail": "the invite is not in order",
        "fields": [
            {"field": "email", "message": "`ann` is no address"},
            {"field": "role", "message": "there is no role `x`"},
        ],
    });
    let mut all = body.clone();
    all["detail"] = "`ann` is no address; there is no role `x`".into();
    let sidecar = FakeSidecar::answering([problem(422, &body), problem(422, &all)]);
    assert_eq!(
        sidecar.run(&SEND).complains(1),
        "the invite is not in order\n  email: `ann` is no address\n  role: there is no role `x`\n"
    );
    let once = "`ann` is no address; there is no role `x`\n";
    assert_eq!(sidecar.run(&SEND).complains(1), once, "the detail says it already");
}

/// Writes a file beside the socket; its place.
fn file(sidecar: &FakeSidecar, name: &str, text: &str) -> String {
    let place = sidecar.folder.path().join(name);
    fs::write(&place, text).unwrap();
    place.to_str().unwrap().to_owned()
}

const TEAM: &str = "role,first_name,last_name,email\nwriter,Ann,Lee,ann@example.org\n\nreader,\"Bo, jr\",Ek,bo@example.org\nreader,Cy,Fox,cy@example.org\n";

fn verdicts() -> Json {
    json!({"items": [
        {"status": 201, "invite": with(invite('1', ANN, "pending"), &[("link", json!(LINK))])},
        {"status": 409, "problem": {
            "code": "already_invited", "detail": "`bo@example.org` is invited already",
            "fields": [
                {"field": "email", "message": "`bo@example.org` is invited already"},
                {"field": "role", "message": "may not be given"},
            ],
        }},
        {"status": 201, "invite": with(invite('3', "cy@example.org", "pending"), &[("warning", json!("check it"))])},
    ]})
}

#[test]
fn of_several_people_on_one_line_those_who_were_refused_are_named() {
    let sidecar = FakeSidecar::answering([roles(), ok(&verdicts())]);
    let list = r#"Ann Lee <ann@example.org>; "Ek, Bo" <bo@example.org>; Cy Fox <cy@example.org>"#;
    let mut piped = sidecar
        .command(&["invite", "send", "--file", "-", "--format", "list", "--role", "writer"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    piped.stdin.take().unwrap().write_all(list.as_bytes()).unwrap();
    let ran = Ran::from(piped.wait_with_output().unwrap());
    let told = "`bo@example.org` on line 1 was refused: fix this entry, and send a file with nothing else\n";
    assert_eq!(ran.err, told);
    ran.ends(1);
}

#[test]
fn a_file_gets_a_verdict_a_line_and_ends_with_1_where_any_is_refused() {
    let sidecar = FakeSidecar::answering([roles(), ok(&verdicts()), roles(), ok(&verdicts())]);
    let team = file(&sidecar, "team.csv", TEAM);
    let ran = sidecar.run(&["invite", "send", "--account", "acme", "--file", &team]);
    assert_eq!(
        ran.err,
        "`bo@example.org` on line 4 was refused: fix this entry, and send a file with nothing else below the header line\n"
    );
    assert_eq!(
        ran.ends(1),
        format!(
            "2\t{ANN}\tinvited\tqueued\t{LINK}\n4\tbo@example.org\trefused\t`bo@example.org` is invited already; role: may not be given\t\n5\tcy@example.org\tinvited\tqueued; check it\t\n"
        )
    );
    let heard = sidecar.heard();
    assert_eq!(heard[0].line, "GET /api/v1/roles");
    assert_eq!(heard[1].line, "POST /api/v1/invites/bulk?account=acme");
    assert_eq!(
        json_of(&heard[1].body),
        json!({"items": [
            {"first_name": "Ann", "last_name": "Lee", "email": ANN, "role": "writer"},
            {"first_name": "Bo, jr", "last_name": "Ek", "email": "bo@example.org", "role": "reader"},
            {"first_name": "Cy", "last_name": "Fox", "email": "cy@example.org", "role": "reader"},
        ]})
    );
    // A line an item for a program, with the line of the file.
    let ran = sidecar.run(&["invite", "send", "--file", &team, "--json"]);
    let items: Vec<Json> = ran.out.lines().map(json_of).collect();
    assert_eq!(items.len(), 3);
    assert_eq!((&items[0]["line"], &items[0]["invite"]["link"]), (&json!(2), &json!(LINK)));
    assert_eq!(
        (&items[1]["line"], &items[1]["email"], &items[1]["problem"]["code"]),
        (&json!(4), &json!("bo@example.org"), &json!("already_invited"))
    );
    ran.ends(1);
}

#[test]
fn a_file_that_is_invited_whole_ends_with_0() {
    let all = |count: usize| {
        let one = json!({"status": 201, "invite": invite('1', ANN, "pending")});
        ok(&json!({"items": vec![one; count]}))
    };
    let sidecar = FakeSidecar::answering([roles(), all(1), roles(), all(1), roles(), all(100)]);
    let line = |n: usize| {
        format!(
            "{{\"first_name\":\"A\",\"last_name\":\"B\",\"email\":\"a{n}@example.org\",\"role\":\"writer\"}}\n"
        )
    };
    let team = file(&sidecar, "team.jsonl", &line(1));
    sidecar.run(&["invite", "send", "--file", &team]).ends(0);
    let team = file(&sidecar, "team.txt", &line(1));
    sidecar.run(&["invite", "send", "--file", &team, "--format", "jsonl"]).ends(0);
    let team = file(&sidecar, "many.jsonl", &(0..100).map(line).collect::<String>());
    assert_eq!(sidecar.run(&["invite", "send", "--file", &team]).ends(0).lines().count(), 100);
    let sent = json_of(&sidecar.heard()[5].body);
    assert_eq!(sent["items"].as_array().unwrap().len(), 100);
}

#[test]
fn a_file_at_fault_invites_nobody_and_names_every_line() {
    let sidecar = FakeSidecar::answering((0..8).map(|_| roles()));
    let check = |name: &str, text: &str, expected: &[&str]| {
        let team = file(&sidecar, name, text);
        let err = sidecar.run(&["invite", "send", "--file", &team]).complains(1);
        for part in expected {
            assert!(err.contains(part), "{part}: {err}");
        }
    };
    let head = "first_name,last_name,email,role\n";
    check(
        "team.csv",
        &format!("{head}Ann,Lee,ann,writer\nBo,Ek,bo@example.org,emperor\nCy,Fox\n"),
        &[
            "nobody was invited: fix the file and send it again\n  line 2: ",
            "\n  line 3: there is no role `emperor`: use one of `reader`, `writer`\n",
            "\n  line 4: the line has 2 cells",
        ],
    );
    check("team.csv", "id,first_name,last_name,email,role\n", &["line 1: unknown column `id`"]);
    check("team.csv", "", &["line 1: the file names nobody"]);
    let many: String = (0..101).map(|n| format!("A,B,a{n}@example.org,writer\n")).collect();
    check("team.csv", &format!("{head}{many}"), &["line 102: the file names more than 100 people"]);
    check("team.csv", &" ".repeat(2 << 20), &["is too large for the 100 people", "split it"]);
    check("team.jsonl", "{\"first_name\":1}\n", &["line 1: `first_name` must be a string"]);
    assert!(sidecar.lines().iter().all(|line| line == "GET /api/v1/roles"));
    let err = sidecar.run(&["invite", "send", "--file", "/nowhere/team.csv"]).complains(1);
    assert!(err.starts_with("`/nowhere/team.csv` cannot be read"), "{err}");
    assert!(err.ends_with(": name a file that is there\n"), "{err}");
    let err = sidecar.run(&["invite", "send", "--format", "csv", "--file", "/"]).complains(1);
    assert!(err.ends_with(": name a file, not a folder\n"), "{err}");
}

#[test]
fn an_address_list_of_a_mail_program_is_a_file_too() {
    let one = json!({"status": 201, "invite": invite('1', ANN, "pending")});
    let sent = ok(&json!({"items": [one, one, one]}));
    let none = || page(&[], None);
    let sidecar = FakeSidecar::answering([
        roles(),
        sent,
        roles(),
        roles(),
        none(),
        none(),
        none(),
        none(),
        roles(),
    ]);
    let list = "\"Last, First\" <user@example.org>; Ann Lee <ann@example.org>\nBo,Ek,bo@example.org,Reader\n";
    let place = file(&sidecar, "team.txt", list);
    let send =
        |arguments: &[&str]| sidecar.run(&[&["invite", "send", "--file"], arguments].concat());
    let told = send(&[&place, "--role", "writer"]).ends(0);
    let lines: Vec<&str> = told.lines().map(|line| line.split('\t').next().unwrap()).collect();
    assert_eq!(lines, ["1", "1", "2"]);
    let person = |first: &str, last: &str, email: &str, role: &str| json!({"first_name": first, "last_name": last, "email": email, "role": role});
    assert_eq!(
        json_of(&sidecar.heard()[1].body),
        json!({"items": [
            person("First", "Last", "user@example.org", "writer"),
            person("Ann", "Lee", "ann@example.org", "writer"),
            person("Bo", "Ek", "bo@example.org", "reader"),
        ]})
    );
    // All faults at once, each with its line and its entry.
    let list = "Ann Lee <ann@example.org>; Cy <nonsense>\nDi Fox <di@example.org>\nAnn Lee <ANN@example.org>";
    let place = file(&sidecar, "team.list", list);
    let told = send(&[&place, "--format", "list"]).complains(1);
    for part in
        ["line 1: `Ann Lee <ann@example.org>`: no role is given", "line 1: `Cy <nonsense>`: "]
    {
        assert!(told.contains(part), "{part}: {told}");
    }
    let told = send(&[&place, "--format", "list", "--role", "writer"]).complains(1);
    assert!(
        told.contains("line 3: `Ann Lee <ANN@example.org>`: same address as on line 1"),
        "{told}"
    );
    let told = send(&[&place, "--format", "list", "--role", "boss"]).complains(64);
    assert!(told.contains("there is no role `boss`"), "{told}");
    let csv = file(&sidecar, "team.csv", TEAM);
    assert!(send(&[&csv, "--role", "writer"]).complains(64).contains("--role is for a list"));
    assert!(send(&["team.doc"]).complains(64).contains("`.txt`: give --format csv, jsonl or list"));
}

#[test]
fn an_answer_without_a_verdict_for_each_line_is_a_failure() {
    let sidecar = FakeSidecar::answering([roles(), ok(&json!({"items": []}))]);
    let team = file(&sidecar, "team.csv", TEAM);
    let err = sidecar.run(&["invite", "send", "--file", &team]).complains(1);
    assert!(err.contains("`kwic-team invite list` shows who is invited"), "{err}");
}

#[test]
fn a_list_tells_in_plain_words_how_far_the_mail_got() {
    let deliveries = [
        (delivery("none", "", None), "no mail is sent"),
        (delivery("queued", "", None), "queued"),
        (delivery("sending", "", None), "is being sent"),
        (delivery("handed_over", "250 ok", None), "accepted by the mail server: 250 ok"),
        (delivery("handed_over", "written to `/x/1.eml`", None), "written to `/x/1.eml`"),
        (
            delivery("deferred", "the mailbox is full", Some("2026-11-25T13:00:00Z")),
            "deferred: the mailbox is full; next try at 2026-11-25T13:00:00Z",
        ),
        (delivery("bounced", "no such mailbox (550)", None), "bounced: no such mailbox (550)"),
    ];
    let items: Vec<Json> = deliveries
        .iter()
        .map(|(delivery, _)| with(invite('1', ANN, "pending"), &[("delivery", delivery.clone())]))
        .collect();
    let sidecar = FakeSidecar::answering([page(&items, None), page(&items[..1], None)]);
    let line = [
        "invite",
        "list",
        "--account",
        "acme",
        "--state",
        "pending",
        "--role",
        "writer",
        "--search",
        "a b",
    ];
    let expected: String = deliveries
        .iter()
        .map(|(_, words)| {
            format!("{}\t{ANN}\tAnn Lee\twriter\tpending\t{words}\t{EXPIRES}\n", id('1'))
        })
        .collect();
    assert_eq!(sidecar.run(&line).ends(0), expected);
    assert_eq!(json_of(&sidecar.run(&["invite", "list", "--json"]).ends(0)), items[0]);
    assert_eq!(
        sidecar.lines()[0],
        "GET /api/v1/invites?account=acme&state=pending&role=writer&search=a%20b&limit=1000"
    );
}

#[test]
fn a_list_marks_a_role_that_was_removed() {
    let removed = [("role_removed", json!(true))];
    let invites = [with(invite('1', ANN, "pending"), &removed), invite('2', ANN, "revoked")];
    let token = json!({"id": "t1", "name": "nightly", "role": "writer", "role_removed": true,
        "member": {"id": "m1", "name": "Ann Lee"}, "expires": EXPIRES});
    let sidecar =
        FakeSidecar::answering([page(&invites, None), page(&invites, None), page(&[token], None)]);
    let listed = sidecar.run(&["invite", "list"]).ends(0);
    let roles: Vec<&str> = listed.lines().map(|line| line.split('\t').nth(3).unwrap()).collect();
    assert_eq!(roles, ["writer (removed)", "writer"]);
    let lines = sidecar.run(&["invite", "list", "--json"]).ends(0);
    assert_eq!(json_of(lines.lines().next().unwrap())["role_removed"], true);
    let tokens = sidecar.run(&["token", "list"]).ends(0);
    assert!(tokens.contains("\twriter (removed)\tAnn Lee (m1)\t"), "{tokens}");
}

#[test]
fn an_invite_is_named_by_id_or_by_address() {
    let sent = || ok(&changed(invite('2', ANN, "pending")));
    // By id, with one call to read it.
    let sidecar = FakeSidecar::answering([ok(&invite('2', ANN, "pending")), sent()]);
    sidecar.run(&["invite", "resend", &id('2'), "--account", "acme"]).ends(0);
    assert_eq!(
        sidecar.lines(),
        [
            format!("GET /api/v1/invites/{}?account=acme", id('2')),
            format!("POST /api/v1/invites/{}/resend?account=acme", id('2')),
        ]
    );
    // By address: only invites for exactly this one, however it is written; an open one before any
    // that is over, on whichever page.
    let sidecar = FakeSidecar::answering([
        page(
            &[invite('9', "joann@example.org", "pending"), invite('8', ANN, "revoked")],
            Some("n"),
        ),
        page(&[invite('7', ANN, "expired"), invite('2', ANN, "pending")], None),
        sent(),
    ]);
    sidecar.run(&["invite", "resend", "ANN@example.org"]).ends(0);
    assert_eq!(
        sidecar.lines(),
        [
            "GET /api/v1/invites?search=ann%40example.org".to_owned(),
            "GET /api/v1/invites?search=ann%40example.org&after=n".to_owned(),
            format!("POST /api/v1/invites/{}/resend", id('2')),
        ]
    );
    // None is open: the newest that has expired.
    let expired =
        [invite('5', ANN, "revoked"), invite('4', ANN, "expired"), invite('3', ANN, "expired")];
    let sidecar = FakeSidecar::answering([page(&expired, None), sent()]);
    sidecar.run(&["invite", "resend", ANN]).ends(0);
    assert_eq!(sidecar.lines()[1], format!("POST /api/v1/invites/{}/resend", id('4')));
}

#[test]
fn an_invite_that_is_not_found_says_why() {
    let check = |items: &[Json], name: &str, expected: &str| {
        let sidecar = FakeSidecar::answering([page(items, None)]);
        assert_eq!(sidecar.run(&["invite", "link", name]).complains(1), format!("{expected}\n"));
        assert!(sidecar.lines().iter().all(|line| line.starts_with("GET ")));
    };
    check(
        &[invite('1', "joann@example.org", "pending")],
        ANN,
        "`ann@example.org` is not invited: `kwic-team invite list` shows who is",
    );
    check(
        &[invite('2', ANN, "accepted"), invite('1', ANN, "revoked")],
        ANN,
        "no pending invite is for `ann@example.org`, and the last one is accepted: `kwic-team invite list --search ann@example.org` shows it",
    );
    check(
        &[invite('2', ANN, "pending"), invite('1', ANN, "pending")],
        ANN,
        "several pending invites are for `ann@example.org`: `kwic-team invite list --search ann@example.org` shows their ids",
    );
    for (name, shown) in
        [("bulk", "bulk"), ("../members/m1", "../members/m1"), ("a\u{1b}[2J", "a\\u{1b}[2J")]
    {
        check(
            &[],
            name,
            &format!(
                "`{shown}` is neither the id of an invite nor an address: `kwic-team invite list` shows both"
            ),
        );
    }
}

#[test]
fn a_link_is_printed_on_its_own_line_and_never_made_up() {
    let plain = || invite('1', ANN, "pending");
    let linked = with(changed(plain()), &[("link", json!(LINK))]);
    let sidecar =
        FakeSidecar::answering([ok(&plain()), ok(&linked), ok(&plain()), ok(&changed(plain()))]);
    assert_eq!(
        sidecar.run(&["invite", "link", &id('1')]).ends(0),
        format!("the link of Ann Lee ({ANN}) works until {EXPIRES}\n{LINK}\n")
    );
    let err = sidecar.run(&["invite", "link", &id('1')]).complains(1);
    assert!(err.contains("`kwic-team invite resend`"), "{err}");
    assert_eq!(sidecar.lines()[1], format!("POST /api/v1/invites/{}/link", id('1')));

    let resent = changed(plain());
    let sidecar = FakeSidecar::answering([ok(&plain()), ok(&resent), ok(&plain()), ok(&linked)]);
    let out = sidecar.run(&["invite", "resend", &id('1')]).ends(0);
    assert!(!out.contains("http") && out.ends_with("mail: queued\n"), "{out}");
    let out = sidecar.run(&["invite", "resend", &id('1')]).ends(0);
    assert_eq!(out.lines().last(), Some(LINK));
}

#[test]
fn an_edit_of_an_invite_rests_on_the_version_that_was_read() {
    let after = changed(invite('1', "anna@example.org", "pending"));
    let sidecar = FakeSidecar::answering([
        page(&[invite('1', ANN, "pending")], None),
        ok(&after),
        ok(&invite('1', ANN, "pending")),
        ok(&after),
    ]);
    let line = ["invite", "edit", ANN, "--email", "anna@example.org", "--role", "reader"];
    let out = sidecar.run(&line).ends(0);
    for part in ["email\tanna@example.org\n", "delivery\tqueued\n", "revision\t12\n"] {
        assert!(out.contains(part), "{part}: {out}");
    }
    let patch = &sidecar.heard()[1];
    assert_eq!(patch.line, format!("PATCH /api/v1/invites/{}", id('1')));
    assert!(patch.head.contains("\r\nif-match: \"7\"\r\n"), "{}", patch.head);
    assert_eq!(json_of(&patch.body), json!({"email": "anna@example.org", "role": "reader"}));
    let names = ["invite", "edit", &id('1'), "--first-name", "A", "--last-name", "B", "--json"];
    assert_eq!(json_of(&sidecar.run(&names).ends(0)), after);
    assert_eq!(json_of(&sidecar.heard()[3].body), json!({"first_name": "A", "last_name": "B"}));
}

#[test]
fn taking_an_invite_back_needs_a_yes_where_nobody_can_be_asked() {
    let plain = || ok(&invite('1', ANN, "pending"));
    let sidecar =
        FakeSidecar::answering([plain(), plain(), ok(&changed(invite('1', ANN, "revoked")))]);
    let err = sidecar.run(&["invite", "revoke", &id('1')]).complains(64);
    assert!(err.contains("--yes"), "{err}");
    assert!(sidecar.lines().iter().all(|line| line.starts_with("GET ")));
    let out = sidecar.run(&["invite", "revoke", &id('1'), "--yes"]).ends(0);
    assert_eq!(out, format!("the invite of Ann Lee ({ANN}) is revoked, at revision 12\n"));
    assert_eq!(sidecar.lines()[2], format!("DELETE /api/v1/invites/{}", id('1')));
}

/// Runs a command on a terminal of its own, with what a person types.
fn on_a_terminal(sidecar: &FakeSidecar, arguments: &[&str], typed: &str) -> String {
    let data = sidecar.folder.path().to_str().unwrap();
    let words = [&[binary(), "--data", data], arguments].concat();
    let mut script = Command::new("script")
        .args(["--quiet", "--return", "--command", &words.join(" "), "/dev/null"])
        .env("SHELL", "/bin/sh")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    script.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
    let output = script.wait_with_output().unwrap();
    format!("{}[{}]", String::from_utf8(output.stdout).unwrap(), output.status.code().unwrap())
}

#[test]
fn on_a_terminal_a_person_is_asked_by_name_and_no_changes_nothing() {
    let there = Command::new("script").arg("--version").output();
    if there.is_err() {
        assert!(std::env::var_os("CI").is_none(), "`script` is needed and missing");
        eprintln!("skipped: needs script");
        return;
    }
    let odd = || with(invite('1', ANN, "pending"), &[("first_name", json!("A\u{1b}[2Jn"))]);
    let sidecar = FakeSidecar::answering([
        ok(&odd()),
        ok(&odd()),
        ok(&changed(odd())),
        ok(&member("m1", ANN)),
        page(&[odd()], None),
    ]);
    let question = format!("revoke the invite of A\\u{{1b}}[2Jn Lee ({ANN})? [y/N] ");
    let seen = on_a_terminal(&sidecar, &["invite", "revoke", &id('1')], "n\n");
    assert!(seen.contains(&question) && seen.contains("nothing was changed"), "{seen:?}");
    assert!(seen.ends_with("[1]") && !seen.contains('\u{1b}'), "{seen:?}");
    assert_eq!(sidecar.lines().len(), 1);
    let seen = on_a_terminal(&sidecar, &["invite", "revoke", &id('1')], "y\n");
    assert!(seen.contains(&question) && seen.ends_with("[0]"), "{seen:?}");
    assert_eq!(sidecar.lines()[2], format!("DELETE /api/v1/invites/{}", id('1')));
    let seen = on_a_terminal(&sidecar, &["member", "remove", "m1"], "\n");
    assert!(seen.contains(&format!("remove Ann Lee ({ANN}) for good? [y/N] ")), "{seen:?}");
    assert!(seen.ends_with("[1]"), "{seen:?}");
    // A table has a head.
    let seen = on_a_terminal(&sidecar, &["invite", "list"], "");
    assert!(seen.contains("ID ") && seen.contains("  DELIVERY  EXPIRES\r\n"), "{seen:?}");
}

#[test]
fn no_name_moves_the_cursor_or_breaks_a_line() {
    let odd = |answer: Json| with(answer, &[("first_name", json!("A\u{1b}[2J\nB"))]);
    let shown = "A\\u{1b}[2J\\nB";
    let pending = || odd(changed(invite('1', ANN, "pending")));
    let person = || odd(member("m1", ANN));
    let ended = json!({"id": "m1", "sessions_ended": 0, "revision": 1});
    let reset = json!({"id": "m1", "expires": EXPIRES, "link": LINK, "revision": 1});
    let sidecar = FakeSidecar::answering(
        [pending(), pending(), pending(), pending(), pending(), person(), ended, person(), reset]
            .iter()
            .map(ok),
    );
    let lines: [&[&str]; 5] = [
        &SEND,
        &["invite", "resend", &id('1')],
        &["invite", "revoke", &id('1'), "--yes"],
        &["member", "end-sessions", "m1"],
        &["member", "reset-password", "m1"],
    ];
    for line in lines {
        let out = sidecar.run(line).ends(0);
        assert!(out.contains(shown) && !out.contains('\u{1b}'), "{line:?}: {out:?}");
    }
}

#[test]
fn the_sessions_of_a_member_are_ended() {
    let ended = json!({"id": "m1", "sessions_ended": 3, "revision": 9});
    let ann = || ok(&member("m1", ANN));
    let sidecar = FakeSidecar::answering([ann(), ok(&ended), ann(), ok(&ended)]);
    assert_eq!(
        sidecar.run(&["member", "end-sessions", "m1", "--account", "acme"]).ends(0),
        format!("Ann Lee ({ANN}) is signed out everywhere, at revision 9: 3 sessions ended\n")
    );
    assert_eq!(sidecar.lines()[1], "POST /api/v1/members/m1/end-sessions?account=acme");
    assert_eq!(json_of(&sidecar.run(&["member", "end-sessions", "m1", "--json"]).ends(0)), ended);
}

#[test]
fn a_password_is_reset_by_the_link_that_is_printed_and_mailed() {
    let linked = json!({
        "id": "m1", "expires": EXPIRES, "link": LINK, "delivery": delivery("none", "", None),
        "revision": 9,
    });
    let mailed = json!({
        "id": "m1", "expires": EXPIRES, "link": LINK, "delivery": delivery("queued", "", None),
        "revision": 9,
    });
    let ann = || ok(&member("m1", ANN));
    let sidecar =
        FakeSidecar::answering([ann(), ok(&linked), ann(), ok(&mailed), ann(), ok(&mailed)]);
    let line = ["member", "reset-password", "m1"];
    assert_eq!(
        sidecar.run(&line).ends(0),
        format!(
            "give Ann Lee ({ANN}) this link to set a new password; it works until {EXPIRES}; revision 9\nmail: no mail is sent\n{LINK}\n"
        )
    );
    assert_eq!(
        sidecar.run(&line).ends(0),
        format!(
            "give Ann Lee ({ANN}) this link to set a new password; it works until {EXPIRES}; revision 9\nmail: queued\n{LINK}\n"
        )
    );
    assert_eq!(json_of(&sidecar.run(&[&line[..], &["--json"]].concat()).ends(0)), mailed);
    assert_eq!(sidecar.lines()[1], "POST /api/v1/members/m1/reset-password");
}

#[test]
fn an_account_is_made_with_an_invite_for_its_first_administrator() {
    let made = json!({
        "slug": "acme", "name": "Acme", "created": EXPIRES, "invite_lifetime_hours": 72,
        "two_step_enforced": false, "version": 1, "revision": 3,
    });
    let invited = with(
        made.clone(),
        &[("invite", with(invite('1', ANN, "pending"), &[("link", json!(LINK))]))],
    );
    let sidecar = FakeSidecar::answering([ok(&made), ok(&invited), ok(&invited)]);
    let create = ["account", "create", "--slug", "acme", "--name", "Acme"];
    let first = "account acme was created, at revision 3";
    let alone = "it has no members yet: invite an administrator with `kwic-team invite send --account acme`";
    assert_eq!(sidecar.run(&create).ends(0), format!("{first}; {alone}\n"));
    let more = ["--email", ANN, "--first-name", "Ann", "--last-name", "Lee", "--role", "writer"];
    let line = [&create[..], &more].concat();
    assert_eq!(
        sidecar.run(&line).ends(0),
        format!(
            "{first}\nAnn Lee ({ANN}) is invited as writer; the link works until {EXPIRES}\nmail: queued\n{LINK}\n"
        )
    );
    assert_eq!(json_of(&sidecar.run(&[&line[..], &["--json"]].concat()).ends(0)), invited);
    let heard = sidecar.heard();
    assert_eq!(heard[0].line, "POST /api/v1/accounts");
    assert_eq!(json_of(&heard[0].body), json!({"slug": "acme", "name": "Acme"}));
    assert_eq!(
        json_of(&heard[1].body),
        json!({
            "slug": "acme", "name": "Acme", "email": ANN, "first_name": "Ann", "last_name": "Lee",
            "role": "writer",
        })
    );
}

#[test]
fn an_account_is_changed_as_it_was_read() {
    let before = json!({
        "slug": "acme", "name": "Acme", "created": EXPIRES, "invite_lifetime_hours": 72,
        "two_step_enforced": false, "version": 4,
    });
    let after = changed(with(
        before.clone(),
        &[("invite_lifetime_hours", json!(48)), ("two_step_enforced", json!(true))],
    ));
    let sidecar = FakeSidecar::answering([ok(&before), ok(&after), ok(&before), ok(&after)]);
    let line = [
        "account",
        "edit",
        "--account",
        "acme",
        "--name",
        "Acme 2",
        "--invite-lifetime",
        "2d",
        "--two-step",
        "on",
    ];
    let out = sidecar.run(&line).ends(0);
    for part in ["slug\tacme\n", "invite_lifetime_hours\t48\n", "two_step_enforced\ttrue\n"] {
        assert!(out.contains(part), "{part}: {out}");
    }
    let heard = sidecar.heard();
    assert_eq!(heard[0].line, "GET /api/v1/account?account=acme");
    assert_eq!(heard[1].line, "PATCH /api/v1/account?account=acme");
    assert!(heard[1].head.contains("\r\nif-match: \"4\"\r\n"), "{}", heard[1].head);
    assert_eq!(
        json_of(&heard[1].body),
        json!({"name": "Acme 2", "invite_lifetime_hours": 48, "two_step_enforced": true})
    );
    let off = sidecar.run(&["account", "edit", "--two-step", "off", "--json"]).ends(0);
    assert_eq!(json_of(&off), after);
    assert_eq!(json_of(&sidecar.heard()[3].body), json!({"two_step_enforced": false}));
}

#[test]
fn a_role_is_suggested_with_what_it_allows_beyond() {
    let writer = json!({"id": "writer", "title": "Writer", "summary": "writes"});
    let found = json!({
        "role": writer, "extra": ["docs:share", "docs:print"], "others": ["editor"],
        "reason": "it allows the fewest others",
    });
    let exact = with(found.clone(), &[("extra", json!([])), ("others", json!([]))]);
    let none = json!({
        "role": null, "extra": [], "others": [], "reason": "no role allows both `a:b` and `c:d`",
    });
    let sidecar =
        FakeSidecar::answering([ok(&found), ok(&exact), ok(&none), ok(&found), ok(&none)]);
    let ask = |more: &[&str]| {
        sidecar.run(&[&["role", "suggest", "docs:read", "docs:edit"], more].concat())
    };
    assert_eq!(
        ask(&[]).ends(0),
        "role\twriter\ntitle\tWriter\nreason\tit allows the fewest others\nalso allows\tdocs:share, docs:print\nother roles\teditor\n"
    );
    let out = ask(&[]).ends(0);
    assert!(out.ends_with("also allows\tnone\nother roles\tnone\n"), "{out}");
    assert_eq!(ask(&[]).complains(1), "no role allows both `a:b` and `c:d`\n");
    assert_eq!(json_of(&ask(&["--json"]).ends(0)), found);
    assert_eq!(json_of(&ask(&["--json"]).ends(1)), none);
    let heard = &sidecar.heard()[0];
    assert_eq!(heard.line, "POST /api/v1/roles/suggest");
    assert_eq!(json_of(&heard.body), json!({"actions": ["docs:read", "docs:edit"]}));
}

fn mail(stopped: &Json, banner: &Json) -> Json {
    json!({
        "kind": "smtp", "sends": true, "stopped": stopped, "queued": 4, "deferred": 1, "failed": 0,
        "bounced": 2, "handed_over": 9, "banner": banner,
    })
}

#[test]
fn the_mail_tells_whether_it_is_stopped_and_why() {
    let cause = json!({"cause": "the mail server refused the password", "since": EXPIRES});
    let stopped = mail(&cause, &json!("mail is stopped: mend it"));
    let going = mail(&Json::Null, &Json::Null);
    let sidecar = FakeSidecar::answering([ok(&stopped), ok(&going), ok(&stopped)]);
    let counts = "queued\t4\ndeferred\t1\nhanded_over\t9\nbounced\t2\nfailed\t0\n";
    assert_eq!(
        sidecar.run(&["mail", "status"]).ends(0),
        format!(
            "kind\tsmtp\nstopped\tsince {EXPIRES}: the mail server refused the password\n{counts}mail is stopped: mend it\n"
        )
    );
    assert_eq!(
        sidecar.run(&["mail", "resume", "--account", "acme"]).ends(0),
        format!("kind\tsmtp\nstopped\tno\n{counts}")
    );
    assert_eq!(json_of(&sidecar.run(&["mail", "status", "--json"]).ends(0)), stopped);
    assert_eq!(sidecar.lines()[..2], ["GET /api/v1/mail", "POST /api/v1/mail/resume?account=acme"]);
}

#[test]
fn a_mail_test_tells_each_step_and_ends_with_1_at_the_one_that_fails() {
    let step =
        |step: &str, ok: bool, detail: &str| json!({"step": step, "ok": ok, "detail": detail});
    let good =
        json!({"ok": true, "steps": [step("connect", true, "in 3 ms"), step("data", true, "")]});
    let bad = json!({
        "ok": false, "steps": [step("connect", true, ""), step("auth", false, "535 no\u{1b}")],
    });
    let odd = json!({"ok": false, "steps": []});
    let sidecar = FakeSidecar::answering([ok(&good), ok(&bad), ok(&bad), ok(&odd)]);
    let line = ["mail", "test", ANN];
    assert_eq!(sidecar.run(&line).ends(0), "connect\tok\tin 3 ms\ndata\tok\t\n");
    let ran = sidecar.run(&line);
    assert_eq!(ran.err, "the step `auth` failed: 535 no\\u{1b}\n");
    assert_eq!(ran.ends(1), "connect\tok\t\nauth\tfailed\t535 no\\u{1b}\n");
    let ran: Ran = sidecar.run(&[&line[..], &["--json"]].concat());
    assert_eq!(json_of(&ran.ends(1)), bad);
    assert!(sidecar.run(&line).complains(1).contains("was not sent"));
    assert_eq!(sidecar.heard()[0].line, "POST /api/v1/mail/test");
    assert_eq!(json_of(&sidecar.heard()[0].body), json!({"to": ANN}));
}

#[test]
fn an_administrator_who_is_locked_out_gets_a_link() {
    let reset = json!({
        "id": "m1", "email": ANN, "link": LINK, "expires": EXPIRES,
        "delivery": delivery("none", "", None), "revision": 9,
    });
    let refused = json!({
        "status": 409, "code": "not_an_administrator",
        "detail": "`bo@example.org` is no administrator: `kwic-team member reset-password` resets other passwords",
    });
    let sidecar = FakeSidecar::answering([ok(&reset), ok(&reset), problem(409, &refused)]);
    assert_eq!(
        sidecar.run(&["recover", "--account", "acme", ANN]).ends(0),
        format!(
            "give {ANN} this link to set a new password; it works until {EXPIRES}; revision 9\nmail: no mail is sent\n{LINK}\n"
        )
    );
    assert_eq!(json_of(&sidecar.run(&["recover", ANN, "--json"]).ends(0)), reset);
    let err = sidecar.run(&["recover", "--account", "acme", "bo@example.org"]).complains(1);
    assert!(err.contains("is no administrator"), "{err}");
    let heard = sidecar.heard();
    assert_eq!(heard[0].line, "POST /api/v1/recover");
    assert_eq!(json_of(&heard[0].body), json!({"account": "acme", "email": ANN}));
    assert_eq!(json_of(&heard[1].body), json!({"email": ANN}));
}

#[test]
fn somebody_who_is_only_invited_is_said_to_be() {
    let invite = json!({"id": "i1", "email": "Bo@example.org", "state": "pending"});
    for verb in [
        &["edit", "bo@example.org", "--role", "editor"][..],
        &["remove", "bo@example.org", "--yes"],
    ] {
        let script = [unknown_member(), page(&[], None), page(std::slice::from_ref(&invite), None)];
        let sidecar = FakeSidecar::answering(script);
        let err = sidecar.run(&[&["member"], verb].concat()).complains(1);
        assert!(err.starts_with("`bo@example.org` is invited and has not joined yet: "), "{err}");
    }
    // Another address that the search finds too is nobody's here.
    let other = json!({"id": "i2", "email": "bo@example.org.au", "state": "pending"});
    let sidecar = FakeSidecar::answering([unknown_member(), page(&[], None), page(&[other], None)]);
    let err = sidecar.run(&["member", "show", "bo@example.org"]).complains(1);
    assert!(err.starts_with("there is no such member"), "{err}");
}

#[test]
fn a_token_is_revoked_by_its_name_where_only_one_has_it() {
    let token = |id: &str, name: &str| json!({"id": id, "name": name, "revision": 3});
    let tokens =
        [token("t1", "nightly"), token("t2", "daily"), token("t3", "daily"), token("t4", "t2")];
    let revoke = |named: &str| {
        let sidecar = FakeSidecar::answering([page(&tokens, None), ok(&token("t", named))]);
        let ran = sidecar.run(&["token", "revoke", named, "--yes"]);
        (ran, sidecar.lines().get(1).cloned().unwrap_or_default())
    };
    assert_eq!(revoke("nightly").1, "DELETE /api/v1/tokens/t1");
    assert_eq!(revoke("t2").1, "DELETE /api/v1/tokens/t2", "an id goes before a name");
    let (several, asked) = revoke("daily");
    assert!(several.complains(1).contains("`t2`, `t3`") && asked.is_empty());
}
