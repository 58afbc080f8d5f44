//! Invariants of a team, on every path and for everybody: the last administrator stays, nobody
//! changes their own role, nobody gives a role without the right. And attempts are logged.

use std::sync::Barrier;
use std::thread;

use serde_json::json;

use crate::support::api_users::{Person, call, document, problem};
use crate::support::sidecar::{Answer, Sidecar};

/// Two administrators and an operator on one account, and another account beside it.
fn sidecar() -> Sidecar {
    let sidecar = Sidecar::start();
    for account in ["acme", "globex"] {
        sidecar.account(account);
    }
    sidecar.members("acme", &[("ann", "administrator"), ("bo", "operator")]);
    sidecar.members("globex", &[("gil", "administrator")]);
    sidecar
}

#[track_caller]
fn says_to_make_another(answer: &Answer) {
    assert_eq!(problem(answer, 409), "last_administrator");
    assert!(answer.body.contains("administrator first"), "{}", answer.body);
}

#[test]
fn the_last_administrator_stays_on_every_path_of_the_api() {
    let sidecar = sidecar();
    let ann = Person::of_import(&sidecar, "acme", "ann");
    says_to_make_another(&ann.call("DELETE /members/ann", None));
    says_to_make_another(&ann.call("POST /members/ann/suspend", None));
    says_to_make_another(
        &ann.call(
            "POST /me/leave",
            Some(&json!({"password": crate::support::api_users::PASSWORD})),
        ),
    );
    for item in [json!({"id": "ann", "do": "remove"}), json!({"id": "ann", "do": "suspend"})] {
        let done = document(&ann.call("POST /members/bulk", Some(&json!({"items": [item]}))), 200);
        assert_eq!(done["items"][0]["problem"]["code"], "last_administrator", "{done}");
    }
    // A second one makes it possible; suspended ones do not count.
    document(&ann.give_role("bo", "administrator"), 200);
    let bo = Person::of_import(&sidecar, "acme", "bo");
    document(&ann.call("POST /members/bo/suspend", None), 200);
    says_to_make_another(&ann.call("DELETE /members/ann", None));
    document(&ann.call("POST /members/bo/restore", None), 200);
    assert_eq!(problem(&bo.call("GET /me", None), 401), "session_ended", "a suspension ends it");
    let bo = Person::sign_in(&sidecar, "acme", &bo.email);
    document(&bo.give_role("ann", "operator"), 200);
    says_to_make_another(&bo.call("DELETE /members/bo", None));
    assert_eq!(bo.get("/me")["role"], "administrator");
}

#[test]
fn the_last_administrator_stays_on_every_path_of_the_command_line() {
    let sidecar = sidecar();
    for words in [
        &["member", "remove", "ann", "--yes", "--account", "acme"][..],
        &["member", "suspend", "ann", "--account", "acme"],
        &["member", "edit", "ann", "--role", "operator", "--account", "acme"],
    ] {
        let output = sidecar.run(words);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{words:?}: {said}");
        assert!(said.contains("administrator first"), "{words:?}: {said}");
    }
    sidecar.ok(&["member", "edit", "bo", "--role", "administrator", "--account", "acme"]);
    sidecar.ok(&["member", "remove", "ann", "--yes", "--account", "acme"]);
    assert!(
        !sidecar.run(&["member", "remove", "bo", "--yes", "--account", "acme"]).status.success()
    );
}

#[test]
fn nobody_changes_the_own_role() {
    let sidecar = sidecar();
    let ann = Person::of_import(&sidecar, "acme", "ann");
    document(&ann.give_role("bo", "administrator"), 200);
    let answer = ann.give_role("ann", "operator");
    assert_eq!(problem(&answer, 409), "own_role");
    let items = json!({"items": [{"id": "ann", "do": "role", "role": "operator"}]});
    let done = document(&ann.call("POST /members/bulk", Some(&items)), 200);
    assert_eq!(done["items"][0]["problem"]["code"], "own_role", "{done}");
    // Nor by the own record, which takes names only.
    let version = ann.get("/me")["version"].clone();
    let refused = ann.change("PATCH /me", &version, &json!({"role": "operator"}));
    assert_eq!(problem(&refused, 400), "invalid");
    assert_eq!(ann.get("/me")["role"], "administrator");
}

#[test]
fn who_may_not_give_a_role_neither_invites_for_it_nor_gives_nor_takes_it() {
    let sidecar = sidecar();
    let ann = Person::of_import(&sidecar, "acme", "ann");
    let bo = Person::of_import(&sidecar, "acme", "bo");
    for (line, body) in [
        (
            "POST /invites",
            json!({"first_name": "Cy", "last_name": "Lee", "email": "cy@example.org", "role": "operator"}),
        ),
        ("POST /members/ann/suspend", json!({})),
        ("POST /members/ann/end-sessions", json!({})),
        ("POST /members/ann/reset-password", json!({})),
    ] {
        let answer = bo.call(line, Some(&body));
        assert_eq!(problem(&answer, 403), "not_allowed", "{line}");
        assert!(answer.body.contains("ask an administrator"), "{}", answer.body);
    }
    assert_eq!(problem(&bo.call("DELETE /members/ann", None), 403), "not_allowed");
    let version = ann.get("/members/bo")["version"].clone();
    let grab = bo.change("PATCH /members/bo", &version, &json!({"role": "administrator"}));
    assert_eq!(problem(&grab, 403), "not_allowed");
    assert_eq!(ann.get("/members/bo")["role"], "operator");
}

#[test]
fn of_two_administrators_who_demote_each_other_one_stays() {
    let sidecar = sidecar();
    let ann = Person::of_import(&sidecar, "acme", "ann");
    for round in 0..20 {
        document(&ann.give_role("bo", "administrator"), 200);
        let bo = Person::of_import(&sidecar, "acme", "bo");
        let both = Barrier::new(2);
        let demote = |who: &Person<'_>, whom: &str| {
            let path = format!("/members/{whom}");
            // Read before either acts: a demoted member may no longer read it.
            let version = who.get(&path)["version"].clone();
            both.wait();
            who.change(&format!("PATCH {path}"), &version, &json!({"role": "operator"})).status
        };
        let (first, second) = thread::scope(|scope| {
            let first = scope.spawn(|| demote(&ann, "bo"));
            let second = scope.spawn(|| demote(&bo, "ann"));
            (first.join().unwrap(), second.join().unwrap())
        });
        let won = [first, second].iter().filter(|status| **status == 200).count();
        assert_eq!(won, 1, "round {round}: {first} and {second}");
        if second == 200 {
            // Restored by the remaining one, for the next round.
            document(&bo.give_role("ann", "administrator"), 200);
            document(&ann.give_role("bo", "operator"), 200);
        }
    }
}

#[test]
fn another_account_is_not_there() {
    let sidecar = sidecar();
    let ann = Person::of_import(&sidecar, "acme", "ann");
    let gil = Person::of_import(&sidecar, "globex", "gil");
    let theirs = document(&gil.invite("Hal", "operator"), 201)["id"].as_str().unwrap().to_owned();
    for line in [
        "GET /members/gil".to_owned(),
        "DELETE /members/gil".to_owned(),
        "POST /members/gil/suspend".to_owned(),
        "POST /members/gil/end-sessions".to_owned(),
        "POST /members/gil/reset-password".to_owned(),
        "GET /members/gil/permissions".to_owned(),
        format!("GET /invites/{theirs}"),
        format!("POST /invites/{theirs}/resend"),
        format!("POST /invites/{theirs}/link"),
        format!("DELETE /invites/{theirs}"),
    ] {
        let code = problem(&ann.call(&line, None), 404);
        let nobody = line.replace("gil", "nobody").replace(&theirs, "i00000000000000000000000000");
        assert_eq!(code, problem(&ann.call(&nobody, None), 404), "{line} tells more than {nobody}");
    }
    assert_eq!(problem(&ann.call("GET /members?account=globex", None), 400), "invalid");
    assert_eq!(gil.get("/members/gil")["status"], "active");
    assert_eq!(gil.get(&format!("/invites/{theirs}"))["state"], "pending");
    // Nobody at all is nobody.
    assert_eq!(problem(&call(&sidecar, "GET /members", "", None), 401), "not_signed_in");
}

#[test]
fn who_is_refused_stands_in_the_log_and_no_secret_does() {
    let sidecar = sidecar();
    let ann = Person::of_import(&sidecar, "acme", "ann");
    let bo = Person::of_import(&sidecar, "acme", "bo");
    let guess = "a wrong guess entirely";
    let body = json!({"account": "acme", "email": "ann@example.org", "password": guess});
    assert_eq!(problem(&call(&sidecar, "POST /sign-in", "", Some(&body)), 401), "sign_in_refused");
    assert_eq!(problem(&bo.call("DELETE /members/ann", None), 403), "not_allowed");
    // What a stranger sends stays a value, however much it looks like an event.
    let made_up = "event=\"authn_login_success\" member=zed";
    let headers = format!("x-request-id: a\" {made_up}\r\norigin: https://b\" {made_up}\r\n");
    assert_eq!(problem(&call(&sidecar, "POST /sign-out", &headers, None), 403), "cross_site");
    let log = sidecar.log_text();
    let line = |event: &str| {
        let found = log.lines().find(|line| line.contains(&format!(" event=\"{event}\"")));
        found.unwrap_or_else(|| panic!("no {event}: {log}"))
    };
    for (event, parts) in [
        ("authn_login_success", &["member=ann", "account=acme", "session="][..]),
        (
            "authn_login_fail",
            &["account=acme", "email=\"a***@example.org\"", "address=\"127.0.0.1"],
        ),
        ("authz_fail", &["member=bo", "account=acme", "action=\"team:remove\""]),
        ("csrf_refused", &["request_id=", "path=\"/api/v1/sign-out\"", "zed"]),
    ] {
        for part in parts {
            assert!(line(event).contains(part), "{part}: {}", line(event));
        }
    }
    assert!(!log.contains(made_up), "{log}");
    for line in log.lines() {
        let (moment, _) = line.split_once(' ').unwrap();
        let is_utc = moment.starts_with("20") && moment.contains('T') && moment.ends_with('Z');
        assert!(is_utc, "a line without its time: {line}");
    }
    let secrets =
        [guess, crate::support::api_users::PASSWORD, ann.token(), bo.token(), "ann@example.org"];
    for secret in secrets {
        assert!(!log.contains(secret), "{secret}: {log}");
    }
}
