//! The complete story of a team, with a real mail server: set up, invited, joined, promoted,
//! removed; how each mail fault looks to the inviter; and recovery after a power cut.

use std::path::Path;

use kwic_team::config;
use kwic_team::domain::DeliveryState;
use kwic_team::mail::Mailer;
use kwic_team::services::invites::{self, ChosenInvite, InviteWithLink};
use kwic_team::services::mail_delivery;
use serde_json::{Value as Json, json};

use crate::support::api_users::{PASSWORD, Person, call, document, problem, token_of};
use crate::support::fixture::{Fixture, HOUR};
use crate::support::scripted_smtp_server::SmtpServer;
use crate::support::sidecar::{Sidecar, Start, eventually, question};

const FROM: &str = "no-reply@example.org";

/// A sidecar whose mail goes to the server.
fn sidecar(server: &SmtpServer) -> Sidecar {
    Sidecar::start_with(&Start {
        config: format!(
            "[mail]\nkind = \"smtp\"\nurl = \"smtp://127.0.0.1:{}\"\nfrom = \"{FROM}\"\nbounce_domain = \"bounce.example.org\"\n",
            server.port
        ),
        console: "public_url = \"http://127.0.0.1:1/team\"".to_owned(),
        ..Start::default()
    })
}

/// The text of a mail, and the link in it.
fn link_in(mail: &Json) -> String {
    let raw = mail["mail"].as_str().unwrap().as_bytes();
    let message = mail_parser::MessageParser::default().parse(raw).unwrap();
    let text = message.body_text(0).unwrap().into_owned();
    let links: Vec<&str> = text.lines().filter(|line| line.starts_with("http")).collect();
    let [link] = links[..] else { panic!("not one link on a line of its own:\n{text}") };
    assert!(link.starts_with("http://127.0.0.1:"), "{link}");
    link.to_owned()
}

fn to(mail: &Json) -> &str {
    mail["rcpt_to"][0].as_str().unwrap()
}

/// The question that a chat manager is allowed and an operator is not.
fn manages(person: &Person<'_>, by_session: bool) -> Json {
    let mut asked = question(&person.id, "chats:manage", ("chat", "c1"), &person.account);
    if by_session {
        asked["subject"] = json!({"type": "session", "id": person.token()});
    }
    asked
}

/// What must hold of somebody who was removed.
fn is_out(sidecar: &Sidecar, gone: &Person<'_>) {
    let mut ask = sidecar.tcp();
    for by_session in [false, true] {
        for action in ["chats:view", "chats:manage"] {
            let mut asked = manages(gone, by_session);
            asked["action"]["name"] = json!(action);
            assert!(!ask.allows(&asked), "{asked}");
        }
    }
    assert_eq!(problem(&gone.call("GET /me", None), 401), "session_ended");
    let forward = ask.send(
        "GET",
        "/forward-auth?action=chats%3Aview&resource_type=chat&resource_id=c1",
        &format!("cookie: {}\r\n", gone.cookie),
        "",
    );
    assert_eq!(forward.status, 401, "{forward:?}");
}

#[test]
fn the_story_by_api() {
    let Some(server) = SmtpServer::start(&json!({})) else { return };
    let sidecar = sidecar(&server);
    let set_up = sidecar.said.iter().find(|line| line.contains("/setup#")).expect("a link");
    assert!(set_up.trim().starts_with("http://127.0.0.1:1/team/setup#"), "{set_up}");
    let first = json!({"token": token_of(set_up), "slug": "acme", "name": "Acme",
        "email": "ann@example.org", "first_name": "Ann", "last_name": "Lee", "password": PASSWORD});
    document(&call(&sidecar, "POST /setup", "", Some(&first)), 201);
    assert_eq!(problem(&call(&sidecar, "POST /setup", "", Some(&first)), 410), "link_dead");
    let ann = Person::sign_in(&sidecar, "acme", "ann@example.org");

    let invite = document(&ann.invite("Bo", "operator"), 201);
    assert_eq!((&invite["state"], &invite["link"]), (&json!("pending"), &Json::Null));
    let mail = server.mail();
    assert_eq!(to(&mail), "bo@example.org");
    assert!(mail["mail_from"].as_str().unwrap().starts_with("bounce+"), "{mail}");
    let link = link_in(&mail);
    let invite_path = format!("/invites/{}", invite["id"].as_str().unwrap());
    eventually("the mail server has the mail", || {
        ann.get(&invite_path)["delivery"]["state"] == "handed_over"
    });
    // A scanner opens the link in every way but the one that counts.
    for method in ["GET", "HEAD", "GET"] {
        call(&sidecar, &format!("{method} /invites/accept"), "", None);
        call(&sidecar, &format!("{method} /invites/accept?token={}", token_of(&link)), "", None);
    }
    let seen = ann.get(&invite_path);
    assert_eq!((&seen["state"], &seen["version"]), (&json!("pending"), &invite["version"]));
    let token = json!({"token": token_of(&link)});
    let said = document(&call(&sidecar, "POST /invites/inspect", "", Some(&token)), 200);
    assert_eq!((&said["account_name"], &said["inviter_name"]), (&json!("Acme"), &json!("Ann Lee")));

    let bo = Person::join(&sidecar, "acme", &link);
    let mut ask = sidecar.tcp();
    assert!(!ask.allows(&manages(&bo, false)) && !ask.allows(&manages(&bo, true)));
    document(&ann.give_role(&bo.id, "administrator"), 200);
    assert!(ask.allows(&manages(&bo, false)) && ask.allows(&manages(&bo, true)));
    let forward = ask.send(
        "GET",
        "/forward-auth?action=chats%3Amanage&resource_type=chat&resource_id=c1",
        &format!("authorization: Bearer {}\r\n", bo.token()),
        "",
    );
    assert_eq!((forward.status, forward.header("x-kwic-user")), (200, Some(bo.id.as_str())));
    assert_eq!(forward.header("x-kwic-role"), Some("administrator"));

    document(&bo.invite("Cy", "operator"), 201);
    let cy = link_in(&server.mail());
    let receipt = document(&ann.call(&format!("DELETE /members/{}", bo.id), None), 200);
    assert_eq!((&receipt["sessions_ended"], &receipt["invites_cancelled"]), (&json!(1), &json!(1)));
    is_out(&sidecar, &bo);
    let token = json!({"token": token_of(&cy), "password": PASSWORD});
    assert_eq!(
        problem(&call(&sidecar, "POST /invites/accept", "", Some(&token)), 410),
        "invite_revoked"
    );
    let secrets = [link, cy].map(|link| token_of(&link).to_owned());
    let more = [PASSWORD, token_of(set_up), bo.token(), ann.token()].map(str::to_owned);
    sidecar.holds_no_secret(&[secrets.to_vec(), more.to_vec()].concat());
    let verified = sidecar.ok(&["audit", "verify", "--json"]);
    assert!(verified.lines().all(|line| line.contains("\"fault\":null")), "{verified}");
}

#[test]
fn the_story_by_command_line() {
    let Some(server) = SmtpServer::start(&json!({})) else { return };
    let sidecar = sidecar(&server);
    let printed = sidecar.ok(&[
        "account",
        "create",
        "--slug",
        "acme",
        "--name",
        "Acme",
        "--email",
        "ann@example.org",
        "--first-name",
        "Ann",
        "--last-name",
        "Lee",
    ]);
    let link = printed.split_whitespace().find(|word| word.contains("/join#")).expect("a link");
    assert_eq!(link_in(&server.mail()), link, "the mail carries the link that was printed");
    let ann = Person::join(&sidecar, "acme", link);
    assert_eq!(ann.get("/me")["role"], "administrator");

    sidecar.ok(&[
        "invite",
        "send",
        "--email",
        "bo@example.org",
        "--first-name",
        "Bo",
        "--last-name",
        "Lee",
        "--role",
        "operator",
    ]);
    let bo = Person::join(&sidecar, "acme", &link_in(&server.mail()));
    let mut ask = sidecar.tcp();
    assert!(!ask.allows(&manages(&bo, true)));
    sidecar.ok(&["member", "edit", "bo@example.org", "--role", "administrator"]);
    assert!(ask.allows(&manages(&bo, true)));
    document(&bo.invite("Cy", "operator"), 201);
    let cy = link_in(&server.mail());
    let printed = sidecar.ok(&["member", "remove", "bo@example.org", "--yes"]);
    assert!(
        printed.contains("ended: 1 session;")
            && printed.contains("1 invite that this member had sent"),
        "{printed}"
    );
    is_out(&sidecar, &bo);
    let token = json!({"token": token_of(&cy), "password": PASSWORD});
    assert_eq!(
        problem(&call(&sidecar, "POST /invites/accept", "", Some(&token)), 410),
        "invite_revoked"
    );
    let listed = sidecar.ok(&["invite", "list", "--state", "revoked"]);
    assert!(listed.contains("cy@example.org"), "{listed}");
    // Rescue: an administrator who lost the password.
    let printed = sidecar.ok(&["recover", "--account", "acme", "ann@example.org"]);
    let link = printed.split_whitespace().find(|word| word.contains("/reset#")).expect("a link");
    let new = json!({"token": token_of(link), "password": PASSWORD});
    document(&call(&sidecar, "POST /password-reset/confirm", "", Some(&new)), 200);
    assert_eq!(problem(&ann.call("GET /me", None), 401), "session_ended");
    Person::sign_in(&sidecar, "acme", "ann@example.org");
}

/// A stage whose mail goes to the server.
async fn stage(server: &SmtpServer) -> Fixture {
    let mail = config::Mail {
        kind: Some("smtp".to_owned()),
        url: Some(format!("smtp://127.0.0.1:{}", server.port)),
        from: Some(FROM.to_owned()),
        bounce_domain: Some("bounce.example.org".to_owned()),
        ..config::Mail::default()
    };
    let mailer = Mailer::from_config(&mail, Path::new("/nowhere")).unwrap();
    let patience = std::time::Duration::from_secs(1);
    Fixture::with_mailer(mailer.with_patience(patience)).await
}

async fn shown(stage: &Fixture, sent: &InviteWithLink) -> InviteWithLink {
    invites::show(&stage.app, stage.operator(), &sent.view.invite.id).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_of_mail_is_told_in_plain_words_and_repair_delivers() {
    let Some(mut server) = SmtpServer::start(&json!({})) else { return };
    let stage = stage(&server).await;
    let deferred = DeliveryState::Deferred;
    let unknown = "this mailbox does not exist (550 5.1.1";
    let faults = [
        (json!({"GREETING": "421 4.3.2 closing"}), deferred, "421"),
        (json!({"RCPT": "450 4.2.1 mailbox busy"}), deferred, "450"),
        (json!({"RCPT": "550 5.1.1 no such user"}), DeliveryState::Failed, unknown),
        (json!({"RCPT": "hang"}), deferred, "no answer in time"),
        (json!({"END": "drop"}), deferred, "may have taken it"),
    ];
    for (number, (script, state, words)) in faults.into_iter().enumerate() {
        server.answer(&script);
        let who = format!("bo{number}");
        let sent = stage.invite(stage.operator(), &who, "operator").await.unwrap().value;
        mail_delivery::deliver_due(&stage.app).await.unwrap();
        let delivery = shown(&stage, &sent).await.view.delivery;
        assert_eq!(delivery.state, state, "{script}: {}", delivery.detail);
        assert!(delivery.detail.contains(words), "{script}: {}", delivery.detail);
        assert_eq!(delivery.next_attempt.is_some(), state == DeliveryState::Deferred);
        assert_eq!(delivery.attempts, 1);
        // A server that hangs up late has the mail, which then comes twice.
        if script["END"] == "drop" {
            drop(server.mail())
        } else {
            assert!(!server.has_mail(), "{script}")
        }
        // Repaired: what waits goes out by itself, what failed when it is sent again.
        server.answer(&json!({}));
        stage.later(10 * 60_000);
        if state == DeliveryState::Failed {
            let chosen = ChosenInvite { id: sent.view.invite.id.clone(), expected: None };
            invites::resend(&stage.app, stage.operator(), chosen).await.unwrap();
        }
        mail_delivery::deliver_due(&stage.app).await.unwrap();
        let delivery = shown(&stage, &sent).await.view.delivery;
        assert_eq!(delivery.state, DeliveryState::HandedOver, "{script}: {}", delivery.detail);
        assert!(delivery.detail.starts_with("accepted by your mail server"), "{}", delivery.detail);
        let mail = server.mail();
        let token = link_in(&mail);
        invites::accept(&stage.app, token_of(&token), PASSWORD).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_may_have_arrived_is_sent_once_more_and_never_a_third_time() {
    let Some(mut server) = SmtpServer::start(&json!({})) else { return };
    let stage = stage(&server).await;
    let sent = stage.invite(stage.operator(), "bo", "operator").await.unwrap().value;
    let try_now = async || {
        // Longer than any pause between two tries.
        stage.later(5 * HOUR);
        mail_delivery::deliver_due(&stage.app).await.unwrap();
        shown(&stage, &sent).await.view.delivery
    };
    // Before it is given the mail, a server may hang up as often as it likes.
    for _ in 0..3 {
        server.answer(&json!({"DATA": "drop"}));
        let delivery = try_now().await;
        assert_eq!(delivery.state, DeliveryState::Deferred, "{}", delivery.detail);
        assert!(!delivery.detail.contains("may have taken it"), "{}", delivery.detail);
    }
    server.answer(&json!({"END": "drop"}));
    let delivery = try_now().await;
    assert_eq!(delivery.state, DeliveryState::Deferred);
    assert!(delivery.detail.contains("may have taken it"), "{}", delivery.detail);
    // Another fault in between does not make it forgotten.
    server.answer(&json!({"RCPT": "450 4.2.1 busy"}));
    let delivery = try_now().await;
    assert!(delivery.detail.contains("it comes a second time"), "{}", delivery.detail);
    server.answer(&json!({"END": "what?"}));
    let delivery = try_now().await;
    assert_eq!(delivery.state, DeliveryState::Failed, "{}", delivery.detail);
    assert!(delivery.detail.contains("ask whether it arrived"), "{}", delivery.detail);
    server.answer(&json!({}));
    try_now().await;
    assert_eq!(server.mail()["mail"], server.mail()["mail"]);
    assert!(!server.has_mail(), "it was sent a third time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_stops_the_queue_and_costs_no_invite_anything() {
    let users = json!({"users": {"team": "right"}, "require_auth": true});
    let Some(mut server) = SmtpServer::start(&users) else { return };
    server.answer(
        &json!({"AUTH": "535 5.7.8 bad credentials", "MAIL": "530 5.7.0 authenticate first"}),
    );
    let stage = stage(&server).await;
    let mut sent = Vec::new();
    for number in 0..3 {
        let who = format!("bo{number}");
        sent.push(stage.invite(stage.operator(), &who, "operator").await.unwrap().value);
    }
    mail_delivery::deliver_due(&stage.app).await.unwrap();
    let status = mail_delivery::status(&stage.app, stage.operator()).await.unwrap();
    let stop = status.stopped.expect("the queue is stopped");
    assert!(stop.cause.contains("530") && stop.cause.contains("mail resume"), "{}", stop.cause);
    for sent in &sent {
        let delivery = shown(&stage, sent).await.view.delivery;
        assert_eq!((delivery.state, delivery.attempts), (DeliveryState::Queued, 0));
    }
    // Nothing is tried while it is stopped, however long.
    stage.later(24 * HOUR);
    assert_eq!(mail_delivery::deliver_due(&stage.app).await.unwrap(), 0);
    server.answer(
        &json!({"MAIL": "250 2.1.0 ok", "RCPT": "250 2.1.5 ok", "DATA": "354 go on|250 2.0.0 ok"}),
    );
    mail_delivery::resume(&stage.app, stage.operator()).await.unwrap();
    let status = mail_delivery::status(&stage.app, stage.operator()).await.unwrap();
    assert_eq!(status.stopped, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_of_the_sender_in_any_words_stops_the_queue_and_fails_no_invite() {
    let Some(mut server) = SmtpServer::start(&json!({})) else { return };
    for (command, answer) in [
        ("END", "554 5.2.252 SendAsDenied; login not allowed to send as no-reply@example.org"),
        ("RCPT", "550 5.7.60 SMTP; Client does not have permissions to send as this sender"),
        ("RCPT", "553 5.7.1 <no-reply@example.org>: Sender address rejected: not owned by user"),
        ("END", "550 mailbox not configured for you"),
        ("MAIL", "550 5.7.60 not this sender"),
    ] {
        let stage = stage(&server).await;
        let mut sent = Vec::new();
        for number in 0..50 {
            let who = format!("bo{number}");
            sent.push(stage.invite(stage.operator(), &who, "operator").await.unwrap().value);
        }
        server.answer(&json!({command: answer}));
        while mail_delivery::deliver_due(&stage.app).await.unwrap() > 0 {}
        while server.has_mail() {}
        let status = mail_delivery::status(&stage.app, stage.operator()).await.unwrap();
        let stop = status.stopped.unwrap_or_else(|| panic!("{answer}: the queue goes on"));
        let code = answer.split(' ').next().unwrap();
        assert!(stop.cause.contains(code) && stop.cause.contains("mail resume"), "{}", stop.cause);
        assert!(!stop.cause.contains("no-reply@"), "{}", stop.cause);
        for sent in &sent {
            let delivery = shown(&stage, sent).await.view.delivery;
            let found = (delivery.state, delivery.attempts);
            assert_eq!(found, (DeliveryState::Queued, 0), "{answer}: {}", delivery.detail);
        }
        server.answer(&json!({}));
        mail_delivery::resume(&stage.app, stage.operator()).await.unwrap();
        stage.later(10 * 60_000);
        while mail_delivery::deliver_due(&stage.app).await.unwrap() > 0 {}
        for sent in &sent {
            let delivery = shown(&stage, sent).await.view.delivery;
            assert_eq!(delivery.state, DeliveryState::HandedOver, "{}", delivery.detail);
            server.mail();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_wrong_addresses_in_a_row_are_three_wrong_addresses() {
    let Some(mut server) = SmtpServer::start(&json!({})) else { return };
    for answer in ["550 5.1.1 no such user", "550 5.1.10 RecipientNotFound", "552 5.2.2 full"] {
        let stage = stage(&server).await;
        server.answer(&json!({"RCPT": answer}));
        for number in 0..4 {
            let who = format!("bo{number}");
            let sent = stage.invite(stage.operator(), &who, "operator").await.unwrap().value;
            mail_delivery::deliver_due(&stage.app).await.unwrap();
            let delivery = shown(&stage, &sent).await.view.delivery;
            assert_eq!(delivery.state, DeliveryState::Failed, "{answer}");
        }
        let status = mail_delivery::status(&stage.app, stage.operator()).await.unwrap();
        assert_eq!(status.stopped, None, "{answer}");
        // What Microsoft 365 says of an unknown mailbox fails that invite alone.
        server.answer(&json!({"RCPT": "550 5.4.1 Recipient address rejected: Access denied"}));
        let sent = stage.invite(stage.operator(), "cy", "operator").await.unwrap().value;
        mail_delivery::deliver_due(&stage.app).await.unwrap();
        let delivery = shown(&stage, &sent).await.view.delivery;
        assert_eq!(delivery.state, DeliveryState::Failed);
        assert!(delivery.detail.contains("takes no mail for this address"), "{}", delivery.detail);
    }
}

#[test]
fn a_letter_on_its_way_at_a_power_cut_is_sent_again_as_the_same_mail() {
    let Some(mut server) = SmtpServer::start(&json!({})) else { return };
    let mut sidecar = sidecar(&server);
    sidecar.ok(&["account", "create", "--slug", "acme", "--name", "Acme"]);
    server.answer(&json!({"END": "hang"}));
    sidecar.ok(&[
        "invite",
        "send",
        "--email",
        "bo@example.org",
        "--first-name",
        "Bo",
        "--last-name",
        "Lee",
        "--role",
        "operator",
    ]);
    let first = server.mail();
    sidecar.kill();
    server.answer(&json!({}));
    sidecar.restart();
    let second = server.mail();
    let id = |mail: &Json| {
        let raw = mail["mail"].as_str().unwrap();
        let line = raw.lines().find(|line| line.to_lowercase().starts_with("message-id:"));
        line.unwrap().to_owned()
    };
    assert_eq!(id(&first), id(&second));
    assert_eq!(link_in(&first), link_in(&second));
    eventually("it is handed over", || {
        sidecar.ok(&["invite", "list", "--json"]).contains("\"handed_over\"")
    });
    Person::join(&sidecar, "acme", &link_in(&second));
}
