//! What an administrator mistypes or misunderstands, and what the command line answers: nothing false,
//! and what to do instead. The real sidecar, with the shipped policies.

use std::fs;

use serde_json::{Value as Json, json};

use crate::reload::without_tests;
use crate::support::api_fixture::ApiFixture;
use crate::support::fake_sidecar::{Ran, run};
use crate::support::sidecar::{Sidecar, Start, shipped_policies};

/// One with the account `acme`, an administrator `ann` and an operator `bo`.
fn sidecar() -> Sidecar {
    let sidecar = Sidecar::start_with(&Start { unwatched: true, ..Start::default() });
    sidecar.account("acme");
    sidecar.members("acme", &[("ann", "administrator"), ("bo", "operator")]);
    sidecar
}

fn ran(sidecar: &Sidecar, arguments: &[&str]) -> Ran {
    sidecar.run(arguments).into()
}

/// What a command complains, which must end with this code.
#[track_caller]
fn refused(sidecar: &Sidecar, code: i32, arguments: &[&str]) -> String {
    let ran = ran(sidecar, arguments);
    assert_eq!(ran.code, code, "{arguments:?}\nout: {}\nerr: {}", ran.out, ran.err);
    ran.err
}

#[track_caller]
fn holds(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no `{part}` in: {text}");
    }
}

fn invite(sidecar: &Sidecar, account: &str, email: &str, role: &str) {
    let who = ["--account", account, "--email", email, "--first-name", "Ro", "--role", role];
    sidecar.ok(&[&["invite", "send"][..], &who].concat());
}

#[test]
fn an_account_is_not_made_for_somebody_who_cannot_administer_it() {
    let sidecar = sidecar();
    let create = ["account", "create", "--slug", "gamma", "--name", "Gamma"];
    let first = ["--email", "g@example.org", "--first-name", "Gi", "--role"];
    let told = refused(&sidecar, 64, &[&create[..], &first, &["operator"]].concat());
    holds(&told, &["`operator` does not administer the account: use `administrator`"]);
    assert!(!sidecar.ok(&["account", "list"]).contains("gamma"), "nothing was made");
    let made = sidecar.ok(&[&create[..], &first, &["administrator"]].concat());
    holds(&made, &["account gamma was created"]);
}

#[test]
fn an_account_that_nobody_can_administer_is_a_fault() {
    let sidecar = sidecar();
    sidecar.account("beta");
    // Nobody has joined yet: that is told already.
    assert!(!sidecar.ok(&["doctor"]).contains("nobody can administer"));
    sidecar.members("beta", &[("cy", "operator")]);
    let doctor = ran(&sidecar, &["doctor"]);
    holds(&doctor.out, &["fail: `beta`: nobody can administer the account"]);
    doctor.ends(1);
    let review = sidecar.ok(&["member", "review", "--account", "beta"]);
    holds(&review, &["warning\tnobody can administer the account"]);
    let review = sidecar.ok(&["member", "review", "--account", "acme"]);
    assert!(!review.contains("nobody can administer"), "{review}");
}

#[test]
fn a_mistyped_head_accuses_nobody() {
    let sidecar = sidecar();
    sidecar.account("beta");
    sidecar.members("beta", &[("cy", "administrator")]);
    let chains = sidecar.ok(&["audit", "verify"]);
    let head = |chain: &str| {
        let line = chains.lines().find(|line| line.starts_with(&format!("{chain}\t"))).unwrap();
        line.split('\t').nth(2).unwrap().to_owned()
    };
    let (acme, beta, store) = (head("acme"), head("beta"), head("(store)"));
    let expect = |account: &[&str], head: &str| {
        ran(&sidecar, &[&["audit", "verify"], account, &["--expect", head]].concat())
    };
    let of_acme = ["--account", "acme"];
    for typed in [acme.clone(), acme.to_uppercase(), format!(" {acme}\n")] {
        expect(&of_acme, &typed).ends(0);
        expect(&[], &typed).ends(0);
    }
    for typed in ["", "foo", &acme[..16], &format!("{acme}0")] {
        let ran = expect(&of_acme, typed);
        holds(&ran.err, &["is not a head: give all 64 characters"]);
        assert_eq!((ran.code, ran.out.as_str()), (64, ""), "nothing was looked at");
    }
    let other = expect(&of_acme, &beta);
    holds(&other.err, &["this is the head of `beta`", "give --account beta"]);
    other.ends(64);
    let other = expect(&of_acme, &store);
    holds(&other.err, &["this is the head of the store's own chain", "give --store"]);
    other.ends(64);
    // Built upon since.
    sidecar.ok(&["member", "suspend", "bo", "--account", "acme"]);
    expect(&[], &acme).ends(0);
    let other = expect(&["--account", "beta"], &acme);
    holds(&other.err, &["this was once the head of `acme`"]);
    other.ends(64);
    let cut = expect(&[], &"c".repeat(64));
    holds(&cut.err, &["no chain that was checked contains the expected head"]);
    cut.ends(1);
}

#[test]
fn an_account_is_found_however_its_name_is_typed() {
    let sidecar = sidecar();
    for typed in ["ACME", " Acme "] {
        holds(&sidecar.ok(&["member", "list", "--account", typed]), &["ann@example.org"]);
        sidecar.ok(&["recover", "--account", typed, "ann@example.org"]);
    }
    let told = refused(&sidecar, 64, &["member", "list", "--account", "Acme Inc"]);
    holds(&told, &["there is no account `Acme Inc`", "kwic-team account list"]);
    sidecar.account("Beta");
    let several = refused(&sidecar, 64, &["member", "list"]);
    holds(&several, &["name one of `acme`, `beta` (`--account`)"]);
}

#[tokio::test]
async fn the_account_may_be_typed_in_capitals_at_sign_in() {
    let console = ApiFixture::new().await;
    console.stage.member("ann", "administrator").await;
    console.sign_in(" ACME ", "ann").await;
    let body = json!({"account": "Acme Inc", "email": "ann@example.org", "password": "x"});
    let refused = console.anybody("POST /sign-in", &body).await.problem(400, "invalid");
    holds(refused["detail"].as_str().unwrap(), &["`Acme Inc`", "short name, such as `acme`"]);
}

#[test]
fn an_invite_to_a_role_that_was_removed_says_what_to_do() {
    let sidecar = sidecar();
    invite(&sidecar, "acme", "ro@example.org", "automation_manager");
    without_tests(&sidecar);
    fs::remove_file(sidecar.path("policies/roles/automation_manager.cedar")).unwrap();
    let note = "`acme`: 1 pending invite is for the role `automation_manager`, which was removed";
    holds(&sidecar.ok(&["policy", "reload"]), &[note]);
    // The same as where the watcher was first.
    let again = sidecar.ok(&["policy", "reload"]);
    holds(&again, &["were live already", note]);
    holds(&sidecar.ok(&["doctor"]), &[&format!("warn: {note}")]);
    for line in [
        &["invite", "resend", "ro@example.org"][..],
        &["invite", "link", "ro@example.org"],
        &["invite", "edit", "ro@example.org", "--first-name", "Rosa"],
    ] {
        let told = refused(&sidecar, 1, line);
        holds(&told, &["for the role `automation_manager`, which was removed", "invite edit"]);
        assert!(!told.contains("use one of"), "{told}");
    }
    let wrong = ["invite", "edit", "ro@example.org", "--role", "emperor"];
    holds(&refused(&sidecar, 64, &wrong), &["there is no role `emperor`"]);
    holds(
        &sidecar.ok(&["invite", "list", "--role", "automation_manager"]),
        &["ro@example.org\tRo\tautomation_manager"],
    );
    sidecar.ok(&["invite", "edit", "ro@example.org", "--role", "operator"]);
    assert!(!sidecar.ok(&["doctor"]).contains("which was removed"));
    sidecar.ok(&["invite", "link", "ro@example.org"]);
}

#[test]
fn nobody_loses_a_second_factor_that_is_not_there() {
    let told = refused(&sidecar(), 1, &["member", "reset-two-step", "bo"]);
    assert_eq!(told, "First Last has no two-step verification: nothing was changed\n");
}

#[test]
fn a_file_of_people_names_every_line_and_why() {
    let sidecar = sidecar();
    invite(&sidecar, "acme", "in@example.org", "operator");
    let write = |name: &str, text: &[u8]| {
        let path = sidecar.path(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let twice = write(
        "twice.csv",
        b"first_name,last_name,email,role\nA,B,dup1@example.org,operator\nA,B,DUP1@example.org,operator\n",
    );
    let told = refused(&sidecar, 1, &["member", "import", &twice]).to_lowercase();
    holds(&told, &["line 3", "same address as line 2"]);
    assert!(!told.contains("already"), "{told}");
    let all = write(
        "all.csv",
        b"first_name,last_name,email,role\nA,B,a@example.org,boss\nA,B,in@example.org,operator\nA,B,bo@example.org,operator\nA,B,new@example.org,operator\nA,B,new@example.org,operator\n",
    );
    let told = refused(&sidecar, 1, &["invite", "send", "--file", &all]);
    holds(
        &told,
        &[
            "nobody was invited",
            "line 2: there is no role `boss`",
            "line 3: `in@example.org` is invited already, until 20",
            "line 4: `bo@example.org` is the address of a member already",
            "line 6: `new@example.org`: same address as line 5",
        ],
    );
    assert!(!told.contains("\n  line 5:"), "{told}");
    let workbook = write("team.xlsx", b"PK\x03\x04\x14\x00\x06\x00");
    for line in [&["member", "import", &workbook][..], &["invite", "send", "--file", &workbook]] {
        for (more, code) in [(&[][..], 64), (&["--format", "csv"], 1)] {
            let told = refused(&sidecar, code, &[line, more].concat());
            holds(&told, &["workbook", "save it as CSV UTF-8"]);
        }
    }
    let lines = write("team.jsonl", b"{\"mail\":\"a@example.org\"}\n");
    let told = refused(&sidecar, 1, &["member", "import", &lines]);
    holds(&told, &["unknown key `mail`"]);
}

#[test]
fn removed_and_invited_people_are_named_as_such() {
    let sidecar = sidecar();
    sidecar.members("acme", &[("rem", "operator")]);
    sidecar.ok(&["member", "remove", "rem", "--yes"]);
    for verb in ["show", "suspend", "restore", "export", "reset-password"] {
        let told = refused(&sidecar, 1, &["member", verb, "rem@example.org"]);
        holds(&told, &["`rem@example.org` was removed at 20", "`kwic-team invite send`"]);
        holds(&refused(&sidecar, 1, &["member", verb, "rem"]), &["`rem` was removed at 20"]);
        let told = refused(&sidecar, 1, &["member", verb, "never@example.org"]);
        holds(&told, &["there is no such member"]);
    }
    let told = refused(&sidecar, 64, &["member", "erase", "rem@example.org", "--yes"]);
    holds(&told, &["erase takes the id", "was the address of `rem`, removed at 20"]);
    let told = refused(&sidecar, 64, &["member", "erase", "never@example.org", "--yes"]);
    holds(&told, &["erase takes the id", "--event user_deleted"]);
    invite(&sidecar, "acme", "root@example.org", "administrator");
    let told = refused(&sidecar, 1, &["recover", "root@example.org"]);
    holds(
        &told,
        &["is invited and has not joined yet", "`kwic-team invite link root@example.org`"],
    );
}

#[test]
fn the_audit_log_is_asked_by_address_too() {
    let sidecar = sidecar();
    sidecar.members("acme", &[("rem", "operator")]);
    sidecar.ok(&["member", "suspend", "bo"]);
    sidecar.ok(&["member", "remove", "rem", "--yes"]);
    let about = |who: &str| sidecar.ok(&["audit", "list", "--member", who]);
    assert_eq!(about("BO@example.org"), about("bo"));
    holds(&about("bo@example.org"), &["user_suspended"]);
    holds(&about("rem@example.org"), &["user_deleted"]);
    let told = refused(&sidecar, 1, &["audit", "list", "--member", "nobody@example.org"]);
    holds(&told, &["no member has or had the address"]);
    invite(&sidecar, "acme", "soon@example.org", "operator");
    let told = refused(&sidecar, 1, &["audit", "list", "--member", "soon@example.org"]);
    holds(&told, &["is invited and has not joined yet"]);
    let told = refused(&sidecar, 1, &["audit", "list", "--member", "nobody"]);
    holds(&told, &["no entry is about `nobody`"]);
    // A member about whom there is no such entry is no mistake.
    let none = ["audit", "list", "--member", "ann", "--event", "user_suspended"];
    assert_eq!(sidecar.ok(&none), "");
}

#[test]
fn an_empty_name_is_a_usage_error_everywhere() {
    for line in [
        &["member", "show", ""][..],
        &["member", "suspend", ""],
        &["member", "edit", "", "--role", "x"],
        &["member", "edit", "m1", "--first-name", ""],
        &["member", "remove", "", "--yes"],
        &["member", "erase", " ", "--yes"],
        &["member", "export", ""],
        &["member", "list", "--role", ""],
        &["member", "list", "--account", ""],
        &["token", "revoke", "", "--yes"],
        &["token", "list", "--member", ""],
        &["invite", "link", ""],
        &["invite", "list", "--role", ""],
        &["role", "show", ""],
        &["recover", ""],
        &["mail", "test", ""],
        &["audit", "list", "--member", ""],
    ] {
        let ran = run(line);
        assert_eq!(ran.code, 64, "{line:?}: {}", ran.err);
        holds(&ran.err, &["it is empty"]);
    }
}

#[test]
fn numbers_and_times_say_what_they_may_be() {
    let token = ["token", "create", "--member", "ann", "--role", "operator", "x", "--days"];
    for days in ["2027-01-31", "0"] {
        let told = run(&[&token[..], &[days]].concat()).complains(64);
        holds(&told, &["give a number of days from 1 to 365"]);
        assert!(!told.contains("invalid digit"), "{told}");
    }
    let told = run(&["--timeout", "soon", "member", "list"]).complains(64);
    holds(&told, &["give seconds from 1 to 86400"]);
    let told = run(&["account", "edit", "--invite-lifetime", "1000h"]).complains(64);
    holds(&told, &["from `1h` to `720h`"]);
}

#[test]
fn roles_are_named_by_title_too() {
    let sidecar = sidecar();
    holds(&sidecar.ok(&["member", "list", "--role", "Operator"]), &["bo@example.org"]);
    holds(&sidecar.ok(&["role", "show", "Chat Manager"]), &["id\tchat_manager"]);
    sidecar.ok(&["member", "edit", "bo", "--role", "Chat Manager"]);
    holds(&sidecar.ok(&["member", "list", "--role", "chat_manager"]), &["bo@example.org"]);
    for line in [
        &["role", "show", "emperor"][..],
        &["role", "show", "The Emperor"],
        &["role", "compare", "operator", "The Emperor"],
        &["member", "list", "--role", "The Emperor"],
        &["member", "edit", "bo", "--role", "emperor"],
    ] {
        let told = refused(&sidecar, 64, line);
        let named = line.last().unwrap();
        holds(&told, &[&format!("there is no role `{named}`: use one of `administrator`")]);
    }
    let told = refused(&sidecar, 64, &["role", "suggest", "foo"]);
    assert!(!told.contains("/api/"), "{told}");
}

#[test]
fn what_is_wrong_with_an_address_is_all_that_is_told() {
    let sidecar = sidecar();
    let create = ["account", "create", "--slug", "delta", "--name", "D", "--first-name", "Gi"];
    let told = refused(
        &sidecar,
        64,
        &[&create[..], &["--last-name", "Lu", "--email", "bad address"]].concat(),
    );
    holds(&told, &["it has a space"]);
    assert!(!told.contains("or none"), "{told}");
    sidecar.ok(&[&create[..], &["--email", "mailto:gi@example.org"]].concat());
}

#[test]
fn a_question_does_not_contradict_itself() {
    let policies = shipped_policies();
    let asked = [
        "decide",
        "--policies",
        policies.to_str().unwrap(),
        "--subject",
        "user:ann",
        "--role",
        "Administrator",
        "--action",
        "team:view",
        "--resource",
        "account:acme",
    ];
    let ask = |more: &[&str]| run(&[&asked[..], more].concat());
    ask(&["--account", "acme"]).ends(0);
    ask(&["--account", "acme", "--properties", r#"{"account":"acme"}"#]).ends(0);
    let told = ask(&["--account", "acme", "--properties", r#"{"account":"beta"}"#]).complains(64);
    holds(&told, &["--account and the `account` of --properties"]);
    for flag in ["--properties", "--subject-properties", "--action-properties", "--context"] {
        let told = ask(&["--account", "acme", flag, r#"{"a":1,"a":2}"#]).complains(64);
        holds(&told, &[flag, "`a` is given twice"]);
    }
    let told = ask(&["--member-account", "acme", "--explain", "--resource-properties", "{}"]);
    if told.out.contains("names no account") {
        holds(&told.out, &["give --account"]);
        assert!(!told.out.contains("resource.properties"), "{}", told.out);
    }
}

#[test]
fn policy_tools_point_at_the_line() {
    let sidecar = sidecar();
    let role = sidecar.path("policies/roles/operator.cedar");
    let text = fs::read_to_string(&role).unwrap();
    let wrong = text.replace("@role(\"operator\")", "@role(\"operater\")");
    assert_ne!(text, wrong);
    fs::write(&role, &wrong).unwrap();
    let line = wrong.lines().position(|line| line.starts_with("@role")).unwrap() + 1;
    let policies = sidecar.path("policies");
    let told = run(&["policy", "check", policies.to_str().unwrap()]).complains(3);
    holds(
        &told,
        &[&format!("roles/operator.cedar:{line}: `@role` must be"), "@role(\"operater\")"],
    );
    refused(&sidecar, 3, &["policy", "reload"]);
    let doctor = ran(&sidecar, &["doctor"]);
    holds(&doctor.out, &["fail: the policy folder was not loaded", "^^^^^"]);
    assert!(!doctor.out.contains("\\n"), "{}", doctor.out);
    let states = ["ok: ", "warn: ", "fail: ", "  "];
    let is_line = |line: &str| states.iter().any(|state| line.starts_with(state));
    assert!(doctor.out.lines().all(is_line), "{}", doctor.out);
    doctor.ends(1);

    fs::write(&role, format!("{text}\nforbid(\n")).unwrap();
    let told = run(&["policy", "fmt", policies.to_str().unwrap()]).complains(3);
    let last = text.lines().count() + 1;
    let named = (last..last + 3).any(|at| told.contains(&format!("roles/operator.cedar:{at}: ")));
    assert!(named && told.contains('^'), "{told}");

    let team = sidecar.path("team.csv");
    fs::write(&team, "id,email\n").unwrap();
    let shipped = shipped_policies();
    let told = run(&[
        "decide",
        "--policies",
        shipped.to_str().unwrap(),
        "--entities",
        team.to_str().unwrap(),
        "--subject",
        "user:a",
        "--action",
        "team:view",
        "--resource",
        "account:acme",
    ])
    .complains(3);
    holds(&told, &[team.to_str().unwrap()]);
    assert!(!told.contains("entities.json:"), "{told}");
}

#[tokio::test]
async fn the_current_password_is_no_new_one() {
    let console = ApiFixture::new().await;
    let ann = console.person("ann", "administrator").await;
    let same = json!({"current": crate::support::fixture::PASSWORD, "password": crate::support::fixture::PASSWORD});
    let me: Json = ann.get("/me").await.is(200);
    assert!(me["id"].is_string());
    let answer = ann.call("POST /me/password", &same).await;
    holds(&answer.text, &["this is your current password"]);
}

#[test]
fn a_file_is_no_data_folder() {
    let sidecar = sidecar();
    let file = sidecar.path("file");
    fs::write(&file, "").unwrap();
    let told = run(&["--data", file.to_str().unwrap(), "doctor"]);
    assert_eq!(told.code, 1, "{}{}", told.out, told.err);
    let shown = format!("{}{}", told.out, told.err);
    holds(&shown, &["is not a folder: give the data folder"]);
    assert!(!shown.contains("chmod"), "{shown}");
}

#[test]
fn an_administrator_who_recovers_is_told_what_becomes_of_the_mail() {
    let sidecar = sidecar();
    let told = sidecar.ok(&["recover", "--account", "acme", "ann@example.org"]);
    holds(&told, &["mail: "]);
    assert!(!told.contains("mail: \n"), "{told}");
}
