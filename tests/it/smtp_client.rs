//! Mail against a real mail server: every response leads to its class, its step and its sentence.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kwic_team::config;
use kwic_team::domain::{Email, MailId, Timestamp, Token};
use kwic_team::mail::{
    ActionLink, FaultClass, MailContent, Mailer, OutgoingMail, SendFault, SmtpStep, TestReport,
};
use serde_json::{Value as Json, json};

use crate::support::scripted_smtp_server::{Certificates, SmtpServer};
use crate::support::sidecar::{Sidecar, Start};

/// How long a mail server may be silent here.
const PATIENCE: Duration = Duration::from_millis(700);
fn mailer_at(url: &str) -> Mailer {
    let mail = config::Mail {
        kind: Some("smtp".to_owned()),
        url: Some(url.to_owned()),
        from: Some("no-reply@example.org".to_owned()),
        bounce_domain: Some("bounces.example.org".to_owned()),
        ..config::Mail::default()
    };
    Mailer::from_config(&mail, Path::new("/nonexistent")).unwrap().with_patience(PATIENCE)
}

fn plain(server: &SmtpServer) -> Mailer {
    mailer_at(&format!("smtp://127.0.0.1:{}", server.port))
}

fn email(text: &str) -> Email {
    Email::parse(text).unwrap()
}

fn outgoing(mailer: &Mailer, number: u64) -> OutgoingMail {
    let code = Token::from_bytes([7; 32]);
    OutgoingMail {
        to: email("bo@example.net"),
        to_name: "Bo Lee".to_owned(),
        message_id: format!("invite-{number}@example.org"),
        return_path: mailer.return_path(MailId(number), "0123456789abcdef"),
        date: Timestamp(1_795_521_600_000),
        content: MailContent::PasswordReset {
            account_name: "Acme".to_owned(),
            link: ActionLink {
                url: format!("https://team.example.org/reset#{}", code.expose()),
                code,
                expires: Timestamp(1_795_525_200_000),
            },
        },
    }
}

/// Sends one mail that must not be taken.
async fn fault_of(mailer: &Mailer) -> SendFault {
    mailer.send(&outgoing(mailer, 1)).await.unwrap_err()
}

fn check(fault: &SendFault, class: FaultClass, step: SmtpStep, sentence: &str) {
    assert_eq!((fault.class, fault.step), (class, step), "{fault:?}");
    let said = fault.sentence();
    match sentence.strip_suffix('*') {
        Some(beginning) => assert!(said.starts_with(beginning), "{said}"),
        None => assert_eq!(said, sentence),
    }
}

#[tokio::test]
async fn a_mail_is_handed_over_with_its_return_path() {
    let Some(server) = SmtpServer::start(&json!({"dsn": true})) else { return };
    let mailer = plain(&server);
    let taken = mailer.send(&outgoing(&mailer, 5)).await.unwrap();
    assert_eq!(taken.sentence(), "accepted by your mail server (250 2.0.0 Ok: queued as 4CxTEST)");
    let mail = server.mail();
    assert_eq!(mail["mail_from"], "bounce+5.0123456789abcdef@bounces.example.org");
    assert_eq!(mail["rcpt_to"], json!(["bo@example.net"]));
    assert_eq!(mail["params"], "RET=HDRS NOTIFY=SUCCESS,FAILURE,DELAY");
    let text = mail["mail"].as_str().unwrap();
    assert!(text.contains("Message-ID: <invite-5@example.org>\r\n"), "{text}");
    assert!(text.contains("Date: Tue, 24 Nov 2026 12:00:00 +0000\r\n"), "{text}");
}

#[tokio::test]
async fn each_answer_has_its_class_its_step_and_its_sentence() {
    use FaultClass::{Configuration, Permanent, Temporary};
    let Some(mut server) = SmtpServer::start(&json!({"dsn": true})) else { return };
    let mailer = plain(&server);
    let mend = |key| format!(": correct {key}, then run `kwic-team mail resume`");
    let later = "; it will be tried again";
    let url = "`mail.url`";
    let broken = "the mail server stopped answering";
    let ungreeted = "the mail server did not greet";
    for (command, answer, class, step, sentence) in [
        (
            "GREETING",
            "421 4.3.2 too busy",
            Temporary,
            SmtpStep::Greeting,
            format!("the mail server asks to try again later (421 4.3.2 too busy){later}"),
        ),
        (
            "GREETING",
            "554 5.7.1 not you",
            Configuration,
            SmtpStep::Greeting,
            format!("the mail server refuses this machine (554 5.7.1 not you){}", mend(url)),
        ),
        ("GREETING", "drop", Temporary, SmtpStep::Greeting, format!("{ungreeted} (*")),
        (
            "GREETING",
            "hang",
            Temporary,
            SmtpStep::Greeting,
            format!("{ungreeted} (no answer in time){later}"),
        ),
        (
            "GREETING",
            "HTTP/1.1 400 Bad Request",
            Temporary,
            SmtpStep::Greeting,
            format!("{ungreeted} (its answer is not SMTP){later}"),
        ),
        (
            "EHLO",
            "421 4.3.0 going down",
            Temporary,
            SmtpStep::Greeting,
            format!("the mail server asks to try again later (421 4.3.0 going down){later}"),
        ),
        (
            "MAIL",
            "553 5.7.1 not yours",
            Configuration,
            SmtpStep::MailFrom,
            format!(
                "the mail server refuses the sender (553 5.7.1 not yours){}",
                mend("`mail.from` or `mail.url`")
            ),
        ),
        (
            "RCPT",
            "421 4.3.2 closing",
            Temporary,
            SmtpStep::Rcpt,
            format!("the mail server asks to try again later (421 4.3.2 closing){later}"),
        ),
        (
            "RCPT",
            "450 4.2.0 greylisted",
            Temporary,
            SmtpStep::Rcpt,
            format!("the mail server asks to try again later (450 4.2.0 greylisted){later}"),
        ),
        (
            "RCPT",
            "550-5.1.1 no such user|550 5.1.1 here",
            Permanent,
            SmtpStep::Rcpt,
            "the recipient's mail server says this mailbox does not exist (550 5.1.1 no such user here)"
                .to_owned(),
        ),
        (
            "RCPT",
            "554 5.7.1 <bo@example.net>: Relay access denied",
            Configuration,
            SmtpStep::Rcpt,
            "the mail server does not relay mail from this machine (554 5.7.1 *".to_owned(),
        ),
        ("RCPT", "hang", Temporary, SmtpStep::Rcpt, format!("{broken} (no answer in time){later}")),
        ("RCPT", "drop", Temporary, SmtpStep::Rcpt, format!("{broken} (*")),
        (
            "DATA",
            "451 4.3.0 later",
            Temporary,
            SmtpStep::Data,
            format!("the mail server asks to try again later (451 4.3.0 later){later}"),
        ),
        (
            "END",
            "554 5.6.0 looks odd",
            Permanent,
            SmtpStep::Data,
            "the recipient's mail server refuses the mail (554 5.6.0 looks odd)".to_owned(),
        ),
        (
            "END",
            "452 4.3.1 disk full",
            Temporary,
            SmtpStep::Data,
            format!("the mail server asks to try again later (452 4.3.1 disk full){later}"),
        ),
        (
            "END",
            "hang",
            Temporary,
            SmtpStep::Data,
            format!(
                "{broken} after it was given the mail, and may have taken it (no answer in time){later}"
            ),
        ),
        (
            "END",
            "drop",
            Temporary,
            SmtpStep::Data,
            format!("{broken} after it was given the mail, and may have taken it (*"),
        ),
    ] {
        server.answer(&json!({command: answer}));
        let began = Instant::now();
        let fault = fault_of(&mailer).await;
        check(&fault, class, step, &sentence);
        assert!(began.elapsed() < 10 * PATIENCE, "{command} {answer}: no bound on the time");
        let code = answer.get(..3).and_then(|code| code.parse::<u16>().ok());
        assert_eq!(fault.code, code, "{command} {answer}");
    }
    server.answer(&json!({}));
    mailer.send(&outgoing(&mailer, 2)).await.unwrap();
}

#[tokio::test]
async fn a_mail_server_that_is_not_there_is_tried_again() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for scheme in [("smtp", ""), ("smtps", ""), ("smtp", "?tls=required")] {
        let mailer = mailer_at(&format!("{}://127.0.0.1:{port}{}", scheme.0, scheme.1));
        let sentence =
            "the mail server could not be reached (connection refused); it will be tried again";
        check(&fault_of(&mailer).await, FaultClass::Temporary, SmtpStep::Connect, sentence);
    }
    // One that hangs up in the handshake, and one that never answers.
    for (keeps, sentence) in [
        (false, "the TLS handshake with the mail server failed (*"),
        (true, "the TLS handshake with the mail server failed (no answer in time)*"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let guest = std::thread::spawn(move || listener.accept().ok().filter(|_| keeps));
        let mailer = mailer_at(&format!("smtps://127.0.0.1:{port}"));
        check(&fault_of(&mailer).await, FaultClass::Temporary, SmtpStep::Tls, sentence);
        drop(guest.join());
    }
    // A label of more than 63 bytes: no name server is asked for it.
    let mailer = mailer_at(&format!("smtps://{}.example", "a".repeat(64)));
    let sentence = "the name of the mail server was not found (*";
    check(&fault_of(&mailer).await, FaultClass::Temporary, SmtpStep::Dns, sentence);
}

#[tokio::test]
async fn a_refused_password_stops_the_queue_and_is_never_said() {
    let users = json!({"users": {"me": "right-horse"}});
    let Some(mut server) = SmtpServer::start(&users) else { return };
    let at = |login: &str| mailer_at(&format!("smtp://{login}@127.0.0.1:{}", server.port));
    let (right, wrong) = (at("me:right%2Dhorse"), at("me:wrong-horse"));
    right.send(&outgoing(&right, 1)).await.unwrap();
    assert_eq!(server.mail()["user"], "me");
    let fault = fault_of(&wrong).await;
    let sentence = "the mail server refused the password (535 5.7.8 Authentication credentials invalid): correct `mail.url`, then run `kwic-team mail resume`";
    check(&fault, FaultClass::Configuration, SmtpStep::Auth, sentence);
    for (answer, class) in [
        ("535 5.7.8 wrong-horse is not the password of me", FaultClass::Configuration),
        ("500 what is AG1lAHdyb25nLWhvcnNl", FaultClass::Configuration),
        ("534 5.7.9 use an application password", FaultClass::Configuration),
        ("538 5.7.11 encryption required", FaultClass::Configuration),
        ("454 4.7.0 no password can be checked now", FaultClass::Temporary),
    ] {
        server.answer(&json!({"AUTH": answer}));
        let fault = fault_of(&wrong).await;
        assert_eq!((fault.class, fault.step), (class, SmtpStep::Auth), "{fault:?}");
        let said = format!("{fault:?} {}", fault.sentence());
        assert!(!said.contains("wrong-horse") && !said.contains("AG1lAHdyb25n"), "{said}");
    }
    server.answer(&json!({"AUTH": "hang"}));
    check(
        &fault_of(&wrong).await,
        FaultClass::Temporary,
        SmtpStep::Auth,
        "the mail server stopped answering (no answer in time); it will be tried again",
    );
}

/// A mailer that signs in with the token of a file.
fn with_token(server: &SmtpServer, file: &Path) -> Mailer {
    let mail = config::Mail {
        kind: Some("smtp".to_owned()),
        url: Some(format!("smtp://me%40example.org@127.0.0.1:{}", server.port)),
        from: Some("\"KWIC, Inc.\" <no-reply@example.org>".to_owned()),
        oauth_token_file: Some(file.to_owned()),
        ..config::Mail::default()
    };
    Mailer::from_config(&mail, Path::new("/nonexistent")).unwrap().with_patience(PATIENCE)
}

#[tokio::test]
async fn an_access_token_is_read_for_each_connection_and_never_said() {
    const TOKEN: &str = "ya29.a0AfB-first_token.of~the+day/==";
    let tokens = json!({"tokens": {"me@example.org": TOKEN}, "require_auth": true});
    let Some(mut server) = SmtpServer::start(&tokens) else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let mailer = with_token(&server, &file);
    let fault = fault_of(&mailer).await;
    let sentence = format!(
        "there is no access token for the mail server: `mail.oauth_token_file`: `{}` cannot be read: *",
        file.display()
    );
    check(&fault, FaultClass::Temporary, SmtpStep::Auth, &sentence);
    std::fs::write(&file, "ya29.of_yesterday").unwrap();
    let fault = fault_of(&mailer).await;
    let sentence = "the mail server refused the access token (535 5.7.8 Authentication credentials invalid): correct what `mail.oauth_token_file` gives, or the user in `mail.url`, then run `kwic-team mail resume`";
    check(&fault, FaultClass::Configuration, SmtpStep::Auth, sentence);
    std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
    mailer.send(&outgoing(&mailer, 1)).await.unwrap();
    let mail = server.mail();
    assert_eq!(
        (&mail["user"], &mail["mail_from"]),
        (&json!("me@example.org"), &json!("no-reply@example.org"))
    );
    let text = mail["mail"].as_str().unwrap();
    assert!(text.contains("From: \"KWIC, Inc.\" <no-reply@example.org>\r\n"), "{text}");
    // A server that says what it was told, and one that takes no token.
    for said in [TOKEN.to_owned(), "dXNlcj1tZUBleGFtcGxlLm9yZwFhdXRoPUJlYXJlciB5".to_owned()] {
        server.answer(&json!({"AUTH": format!("535 5.7.3 what is {said}")}));
        let fault = fault_of(&mailer).await;
        assert!(!format!("{fault:?} {}", fault.sentence()).contains(&said), "{fault:?}");
    }
    server.answer(&json!({"EHLO": "250-here|250 AUTH PLAIN LOGIN"}));
    let sentence = "the mail server offers no sign-in method that KWIC Team supports (it offers PLAIN, LOGIN, and XOAUTH2 is needed): correct *";
    check(&fault_of(&mailer).await, FaultClass::Configuration, SmtpStep::Auth, sentence);
    let walked = format!("{:?}", test_mail(&mailer).await);
    assert!(!walked.contains(TOKEN), "{walked}");
}

#[tokio::test]
async fn a_mail_server_that_wants_more_stops_the_queue() {
    let Some(server) = SmtpServer::start(&json!({"require_auth": true})) else { return };
    let fault = fault_of(&plain(&server)).await;
    let sentence =
        "the mail server wants TLS or a password first (530 5.7.0 Authentication required)*";
    check(&fault, FaultClass::Configuration, SmtpStep::MailFrom, sentence);
    let mailer = mailer_at(&format!("smtp://me:pw@127.0.0.1:{}", server.port));
    let sentence = "the mail server offers no sign-in method that KWIC Team supports (*";
    check(&fault_of(&mailer).await, FaultClass::Configuration, SmtpStep::Auth, sentence);
    let mailer = mailer_at(&format!("smtp://127.0.0.1:{}?tls=required", server.port));
    let sentence = "the mail server does not offer TLS (it does not offer STARTTLS): correct `mail.url`, then run `kwic-team mail resume`";
    check(&fault_of(&mailer).await, FaultClass::Configuration, SmtpStep::StartTls, sentence);
}

#[tokio::test]
async fn a_mail_server_that_repeats_a_link_does_not_get_it_into_the_list() {
    let Some(mut server) = SmtpServer::start(&json!({})) else { return };
    let mailer = plain(&server);
    let code = Token::from_bytes([7; 32]);
    server.answer(&json!({"END": format!("554 5.7.1 spam: https://x.example/#{}", code.expose())}));
    let fault = fault_of(&mailer).await;
    check(
        &fault,
        FaultClass::Permanent,
        SmtpStep::Data,
        "the recipient's mail server refuses the mail (554 5.7.1 spam: https://x.example/#***)",
    );
}

/// A mail server on loopback that gives these answers, one to each command, as bytes; a thread that
/// ends with them and says what it was told.
fn terse(answers: Vec<&'static str>) -> (u16, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut told = Vec::new();
        for answer in answers {
            stream.write_all(answer.as_bytes()).unwrap();
            let end = if answer.starts_with("354") { "\r\n.\r\n" } else { "\r\n" };
            let (mut text, mut bytes) = (String::new(), [0; 4_096]);
            while !text.ends_with(end) {
                match stream.read(&mut bytes).unwrap() {
                    0 => break,
                    length => text.push_str(&String::from_utf8_lossy(&bytes[..length])),
                }
            }
            told.push(text);
        }
        told
    });
    (port, server)
}

#[tokio::test]
async fn answers_without_text_and_with_bare_line_feeds_are_answers() {
    for (answers, said) in [
        (["220\r\n", "250\r\n", "250\r\n", "250\r\n", "354\r\n", "250\r\n"], "(250)"),
        (["220\n", "250-a\n250-DSN\n250\n", "250\n", "250-\n250\n", "354 go\n", "250\n"], "(250)"),
        (
            ["220-\r\n220\r\n", "250 \r\n", "250 \r\n", "251 \r\n", "354 \r\n", "250-a\r\n250\r\n"],
            "(250 a)",
        ),
    ] {
        let (port, server) = terse(answers.to_vec());
        let mailer = mailer_at(&format!("smtp://127.0.0.1:{port}"));
        let taken = mailer.send(&outgoing(&mailer, 1)).await.unwrap();
        assert_eq!(taken.sentence(), format!("accepted by your mail server {said}"));
        let told = server.join().unwrap();
        assert!(told[4].ends_with("\r\n.\r\n") && told[5] == "QUIT\r\n", "{told:?}");
    }
}

#[tokio::test]
async fn a_mail_that_is_tried_again_is_the_same_mail() {
    let Some(mut server) = SmtpServer::start(&json!({})) else { return };
    let mailer = plain(&server);
    server.answer(&json!({"END": "drop"}));
    fault_of(&mailer).await;
    server.answer(&json!({}));
    mailer.send(&outgoing(&mailer, 1)).await.unwrap();
    assert_eq!(server.mail()["mail"], server.mail()["mail"]);
}

#[tokio::test]
async fn a_batch_shares_a_connection_and_outlives_refusals_and_restarts() {
    let Some(mut server) = SmtpServer::start(&json!({})) else { return };
    let mailer = plain(&server);
    let mut batch = mailer.batch();
    batch.send(&outgoing(&mailer, 1)).await.unwrap();
    server.answer(&json!({"RCPT": "550 5.1.1 unknown"}));
    assert_eq!(batch.send(&outgoing(&mailer, 2)).await.unwrap_err().class, FaultClass::Permanent);
    server.answer(&json!({}));
    batch.send(&outgoing(&mailer, 3)).await.unwrap();
    let (first, third) = (server.mail(), server.mail());
    assert_eq!(first["peer"], third["peer"]);
    server.answer(&json!({"RCPT": "421 4.3.2 closing"}));
    assert_eq!(batch.send(&outgoing(&mailer, 4)).await.unwrap_err().class, FaultClass::Temporary);
    server.answer(&json!({}));
    batch.send(&outgoing(&mailer, 5)).await.unwrap();
    assert_ne!(server.mail()["peer"], first["peer"]);
    batch.close().await;
    assert!(!server.has_mail());
}

async fn test_mail(mailer: &Mailer) -> TestReport {
    mailer.test(&email("op@example.org"), "test-1@example.org", Timestamp(0)).await
}

fn steps(report: &TestReport) -> Vec<(&'static str, bool)> {
    report.steps.iter().map(|step| (step.step.as_str(), step.passed)).collect()
}

#[tokio::test]
async fn a_test_mail_names_the_steps_that_passed_and_the_one_that_failed() {
    let users = json!({"users": {"me": "pw"}});
    let Some(mut server) = SmtpServer::start(&users) else { return };
    let mailer = mailer_at(&format!("smtp://me:pw@127.0.0.1:{}", server.port));
    let report = test_mail(&mailer).await;
    assert!(report.passed(), "{report:?}");
    let walk = ["dns", "connect", "greeting", "auth", "mail_from", "rcpt", "data"];
    assert_eq!(steps(&report), walk.map(|step| (step, true)));
    let mail = server.mail();
    assert_eq!(
        (&mail["mail_from"], &mail["rcpt_to"][0]),
        (&json!("no-reply@example.org"), &json!("op@example.org"))
    );
    for (command, name) in [
        ("GREETING", "greeting"),
        ("AUTH", "auth"),
        ("MAIL", "mail_from"),
        ("RCPT", "rcpt"),
        ("DATA", "data"),
    ] {
        server.answer(&json!({command: "550 no"}));
        let report = test_mail(&mailer).await;
        assert!(!report.passed());
        let until = walk.iter().position(|step| *step == name).unwrap();
        let expected: Vec<_> = walk[..=until].iter().map(|step| (*step, *step != name)).collect();
        assert_eq!(steps(&report), expected, "{report:?}");
        assert!(report.steps[until].detail.contains("(550 no)"), "{report:?}");
    }
    server.answer(&json!({"RCPT": "450 4.2.0 later"}));
    let report = test_mail(&mailer).await;
    let told = &report.steps.last().unwrap().detail;
    assert!(told.ends_with("; a test mail is not tried again: send another one later"), "{told}");
}

#[tokio::test]
async fn a_test_mail_to_a_folder_is_a_file_and_without_mail_says_so() {
    let home = tempfile::tempdir().unwrap();
    let mail = |kind: Option<&str>| config::Mail {
        kind: kind.map(str::to_owned),
        ..config::Mail::default()
    };
    let mailer = Mailer::from_config(&mail(Some("folder")), home.path()).unwrap();
    assert!(mailer.sends());
    let report = test_mail(&mailer).await;
    assert_eq!(steps(&report), [("write", true)]);
    let file = home.path().join("outbox/test-1@example.org.eml");
    assert!(
        std::fs::read_to_string(file).unwrap().contains("From: KWIC <kwic-team@localhost>\r\n")
    );
    for kind in [None, Some("links")] {
        let mailer = Mailer::from_config(&mail(kind), home.path()).unwrap();
        assert!(!mailer.sends());
        let report = test_mail(&mailer).await;
        assert_eq!(steps(&report), [("write", false)]);
        assert_eq!(
            report.steps[0].detail,
            "no mail is sent (links are shown instead): correct `mail.kind`, then run `kwic-team mail resume`"
        );
    }
    assert!(Mailer::from_config(&mail(Some("smtp")), home.path()).is_err());
    assert!(Mailer::from_config(&mail(Some("pigeon")), home.path()).is_err());
    let bad = config::Mail { from: Some("nobody".to_owned()), ..mail(Some("folder")) };
    assert!(Mailer::from_config(&bad, home.path()).is_err());
    let bad = config::Mail { bounce_domain: Some("a b".to_owned()), ..mail(Some("folder")) };
    assert!(Mailer::from_config(&bad, home.path()).is_err());
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_stops_the_queue() {
    let Some(certificates) = Certificates::make() else { return };
    let untrusted = "no safe connection to the mail server (invalid peer certificate: *";
    for (tls, url) in
        [("implicit", "smtps://127.0.0.1:PORT"), ("starttls", "smtp://127.0.0.1:PORT?tls=required")]
    {
        let Some(mut server) = SmtpServer::start(&certificates.options(tls)) else { return };
        let mailer = mailer_at(&url.replace("PORT", &server.port.to_string()));
        check(&fault_of(&mailer).await, FaultClass::Configuration, SmtpStep::Tls, untrusted);
        if tls == "starttls" {
            server.answer(&json!({"STARTTLS": "454 4.7.0 not now"}));
            let sentence = "the mail server asks to try again later (454 4.7.0 not now); it will be tried again";
            check(&fault_of(&mailer).await, FaultClass::Temporary, SmtpStep::StartTls, sentence);
            server.answer(&json!({"STARTTLS": "501 5.5.1 no"}));
            let sentence = "the mail server does not offer TLS (501 5.5.1 no)*";
            check(
                &fault_of(&mailer).await,
                FaultClass::Configuration,
                SmtpStep::StartTls,
                sentence,
            );
            // The port begins without TLS: `smtps://` is the wrong scheme for it.
            let mailer = mailer_at(&format!("smtps://127.0.0.1:{}", server.port));
            let sentence =
                "no safe connection to the mail server (this port does not begin with TLS*";
            check(&fault_of(&mailer).await, FaultClass::Configuration, SmtpStep::Tls, sentence);
        } else {
            // And the other way round, both sides wait.
            let mailer = mailer_at(&format!("smtp://127.0.0.1:{}?tls=required", server.port));
            assert_eq!(fault_of(&mailer).await.step, SmtpStep::Greeting);
        }
        assert!(!server.has_mail());
    }
}

/// A sidecar that trusts an authority, which stands in the environment, and sends to `url`.
fn trusting(authority: PathBuf, url: &str) -> Sidecar {
    Sidecar::start_with(&Start {
        config: format!(
            "[mail]\nkind = \"smtp\"\nurl = \"{url}\"\nfrom = \"no-reply@example.org\""
        ),
        console: "public_url = \"https://team.example\"".to_owned(),
        environment: vec![("SSL_CERT_FILE", authority)],
        ..Start::default()
    })
}

#[test]
fn a_certificate_that_the_environment_vouches_for_is_trusted() {
    let Some(certificates) = Certificates::make() else { return };
    let implicit = ["dns", "connect", "tls", "greeting", "auth", "mail_from", "rcpt", "data"];
    let starttls =
        ["dns", "connect", "greeting", "starttls", "tls", "auth", "mail_from", "rcpt", "data"];
    for (tls, url, walk) in [
        ("implicit", "smtps://me:pw@localhost:PORT", &implicit[..]),
        ("starttls", "smtp://me:pw@127.0.0.1:PORT?tls=required", &starttls[..]),
    ] {
        let mut options = certificates.options(tls);
        options["users"] = json!({"me": "pw"});
        options["require_starttls"] = json!(true);
        // Taken for the answer to what is asked under TLS, it would offer no way to sign in.
        options["injected"] = json!("250-intruder\r\n250 DSN");
        let Some(mut server) = SmtpServer::start(&options) else { return };
        // An answer needs no text (RFC 5321 section 4.2).
        server.answer(&json!({"END": "250-|250"}));
        let url = url.replace("PORT", &server.port.to_string());
        let sidecar = trusting(certificates.authority(), &url);
        sidecar.account("acme");
        let report: Json =
            sidecar.ok(&["mail", "test", "bo@example.org", "--json"]).parse().unwrap();
        let walked: Vec<&str> = report["steps"]
            .as_array()
            .unwrap()
            .iter()
            .map(|step| {
                assert_eq!(step["ok"], true, "{report}");
                step["step"].as_str().unwrap()
            })
            .collect();
        assert_eq!(walked, walk);
        let mail = server.mail();
        assert_eq!((&mail["tls"], &mail["user"]), (&Json::from(true), &Json::from("me")));
        if tls == "starttls" {
            // What a server says that is asked without TLS.
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let fault = runtime.block_on(fault_of(&plain(&server)));
            let sentence = "the mail server wants TLS or a password first (530 *";
            check(&fault, FaultClass::Configuration, SmtpStep::MailFrom, sentence);
        }
    }
}
