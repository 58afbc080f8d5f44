//! A console behind a proxy: the warnings if it is not configured, and whom a stranger's wrong
//! passwords slow down.

use std::fs;

use kwic_team::domain::IpNetwork;
use serde_json::json;

use crate::support::api_fixture::{Answer, ApiFixture};
use crate::support::fixture::PASSWORD;
use crate::support::sidecar::{Sidecar, Start, command};

const HTTPS: &str = "public_url = \"https://team.example.org\"";
const LINE: &str = "write `trusted_proxies = [\"127.0.0.1\"]` under `[console]`";

#[test]
fn a_proxy_that_nobody_named_is_told_at_the_start_by_the_check_and_by_doctor() {
    for (console, told) in [
        (HTTPS.to_owned(), true),
        (format!("{HTTPS}\ntrusted_proxies = [\"10.0.0.1\"]"), true),
        (format!("{HTTPS}\ntrusted_proxies = [\"127.0.0.0/8\"]"), false),
        (String::new(), false),
        ("public_url = \"http://localhost:8180\"".to_owned(), false),
    ] {
        let sidecar = Sidecar::start_with(&Start { console: console.clone(), ..Start::default() });
        assert_eq!(sidecar.log_text().contains(LINE), told, "{console}");
        let doctor = String::from_utf8(sidecar.run(&["doctor"]).stdout).unwrap();
        let line = doctor.lines().find(|line| line.contains(LINE));
        assert_eq!(line.is_some_and(|line| line.starts_with("warn: ")), told, "{doctor}");
        let output = command(sidecar.home.path()).arg("--check").output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let check = String::from_utf8(output.stdout).unwrap();
        assert_eq!(check.contains(LINE), told, "{check}");
    }
}

#[test]
fn a_password_that_everybody_may_read_is_told() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = tempfile::tempdir().unwrap();
    let (file, url) = (home.path().join("kwic-team.toml"), home.path().join("url"));
    let config = |mail: &str| {
        format!(
            "[console]\nlisten = \"127.0.0.1:0\"\n{HTTPS}\ntrusted_proxies = [\"127.0.0.1\"]\n[decision]\nlisten = \"127.0.0.1:0\"\n[mail]\nkind = \"smtp\"\nfrom = \"a@example.org\"\n{mail}\n"
        )
    };
    let check = |variables: &[(&str, &str)]| {
        let mut command = command(home.path());
        let output = command.arg("--check").envs(variables.iter().copied()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(!text.contains("hunter2"), "{text}");
        text
    };
    let secret = "smtps://u:hunter2@mail.example.org";
    fs::write(&file, config(&format!("url = \"{secret}\""))).unwrap();
    let mode = |path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    mode(&file, 0o644);
    assert!(check(&[]).contains("chmod o= "));
    mode(&file, 0o640);
    assert!(!check(&[]).contains("warning"));
    fs::write(&file, config("")).unwrap();
    fs::write(&url, format!("\u{feff}{secret}\r\n")).unwrap();
    let named = [("KWIC_TEAM_MAIL_URL_FILE", url.to_str().unwrap())];
    mode(&url, 0o644);
    assert!(check(&named).contains("(mode 0644): run `chmod 600"));
    mode(&url, 0o600);
    assert!(!check(&named).contains("warning"));
}

/// A sign-in attempt as Ann, through a proxy.
async fn tries(console: &ApiFixture, password: &str, headers: &str) -> Answer {
    let body = json!({"account": "acme", "email": "ann@example.org", "password": password});
    let head = format!("content-type: application/json\r\n{headers}");
    console.raw("POST /sign-in", &head, &body.to_string()).await
}

#[tokio::test]
async fn a_stranger_locks_nobody_out_of_the_place_that_they_sign_in_from() {
    for (trusted, header) in [
        (&["127.0.0.1"][..], "x-forwarded-for: "),
        (&["127.0.0.1"], "forwarded: for="),
        (&["127.0.0.1"], "x-real-ip: "),
        (&[], "x-forwarded-for: "),
        (&[], "forwarded: for="),
        (&[], "x-real-ip: "),
        (&["10.9.9.9"], "x-forwarded-for: "),
    ] {
        for public_url in [None, Some("https://team.example".to_owned())] {
            let console = ApiFixture::with(|config| {
                config.console.public_url = public_url;
                let networks = trusted.iter().filter_map(|text| IpNetwork::parse(text));
                config.console.trusted_proxies = networks.collect();
            })
            .await;
            console.stage.member("ann", "administrator").await;
            let home = format!("{header}192.0.2.7\r\n");
            let stranger = format!("{header}198.51.100.9\r\n");
            tries(&console, PASSWORD, &home).await.is(200);
            for _ in 0..3 {
                tries(&console, "a wrong guess of it", &stranger).await.is(401);
            }
            for _ in 0..5 {
                tries(&console, PASSWORD, &stranger).await.is(429);
            }
            tries(&console, PASSWORD, &home).await.is(200);
        }
    }
}

#[tokio::test]
async fn the_address_of_a_proxy_counts_for_nobody() {
    // Many logins fail, and many links are asked for, by way of a proxy that says nothing.
    let console = ApiFixture::with(|config| {
        config.console.public_url = Some("https://team.example".to_owned());
    })
    .await;
    console.stage.member("ann", "administrator").await;
    let json = "content-type: application/json\r\n";
    for number in 0..40 {
        let email = format!("m{number}@example.org");
        let body = json!({"account": "acme", "email": email, "password": "a wrong guess of it"});
        console.raw("POST /sign-in", json, &body.to_string()).await.is(401);
        let body = json!({"account": "acme", "email": email});
        let asked = console.raw("POST /password-reset", json, &body.to_string()).await;
        assert_eq!(asked.status / 100, 2, "{asked:?}");
    }
    let answer = tries(&console, PASSWORD, "").await;
    let head = format!("cookie: {}\r\n", answer.cookie());
    let session = console.raw("GET /me", &head, "").await.is(200)["session"].clone();
    assert_eq!(session["address"], "", "a proxy is not where somebody is");
}
