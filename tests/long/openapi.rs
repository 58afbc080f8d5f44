//! The API is tested against its `OpenAPI` document with schemathesis, a program from `PyPI`:
//! requests that conform to the document must get responses that conform to it.
//!
//! The clock runs fast, about an hour in a second, so that quotas refuse some calls and not all of
//! them.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use kwic_team::app::App;
use kwic_team::domain::Member;
use kwic_team::services::caller::Caller;
use kwic_team::services::members::{self, ChosenMember};
use kwic_team::store::{MemberEdit, MemberFilter};
use kwic_team::throttle::LoginKey;

use crate::support::api_fixture::ApiFixture;
use crate::support::fixture::{HOUR, PASSWORD, email, role as role_of};
use crate::support::sidecar::is_there;

/// Cases of one run.
const CASES_MIN: u64 = 2_000;

#[tokio::test(flavor = "multi_thread")]
async fn what_fits_the_document_is_answered_to_an_administrator_by_the_document() {
    answers_by_the_document("ann").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fits_the_document_is_answered_to_a_member_by_the_document() {
    answers_by_the_document("bo").await;
}

async fn answers_by_the_document(who: &'static str) {
    let python = || Command::new("python3");
    if !is_there("schemathesis", python().args(["-c", "import schemathesis"])) {
        return;
    }
    let console = ApiFixture::with(|config| {
        config.sessions.idle = Duration::from_secs(10_000 * 3_600);
        config.sessions.absolute = config.sessions.idle;
    })
    .await;
    let ann = console.stage.member("ann", "administrator").await;
    console.stage.member("bo", "operator").await;
    console.stage.member("cy", "operator").await;
    let (app, operator) = (Arc::clone(&console.stage.app), console.stage.operator());
    let meanwhile = tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            app.clock.advance_ms(HOUR / 50);
            keep_alone(&app, &operator, &ann).await;
            // Invented passwords must not prevent the caller from signing in again.
            for who in ["ann", "bo"] {
                app.throttle.forget(LoginKey::new(operator.account(), &email(who)));
            }
        }
    });
    let cases = run(&console, who).await;
    meanwhile.abort();
    assert!(cases >= CASES_MIN, "{cases} cases");
    assert_eq!(console.server.panics(), 0);
    // Who called is there to the end: else the rest was refused unseen.
    console.sign_in("acme", who).await.get("/me").await.is(200);
}

/// Further administrators are demoted: the last one cannot be removed.
async fn keep_alone(app: &Arc<App>, operator: &Caller, ann: &Member) {
    let roles = vec![ann.role.clone()];
    let filter = MemberFilter { roles, ..MemberFilter::default() };
    let page = members::list(app, operator.clone(), &filter, None, 10).await.unwrap();
    for other in page.items.into_iter().filter(|other| other.id != ann.id) {
        let chosen = ChosenMember { id: other.id, expected: None };
        let edit = MemberEdit { role: Some(role_of("operator")), ..MemberEdit::default() };
        let _ = members::edit(app, operator.clone(), chosen, edit).await;
    }
}

/// Runs it as somebody; answers how many cases it made up.
async fn run(console: &ApiFixture, who: &'static str) -> u64 {
    let document = format!("http://{}/api/v1/openapi.json", console.address);
    let settings = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/long/openapi.toml");
    let ran = tokio::task::spawn_blocking(move || {
        Command::new("python3")
            .args(["-m", "schemathesis.cli", "--config-file"])
            .arg(settings)
            .args(["run", &document, "--checks", "all", "--max-examples", "8", "--seed", "7"])
            .args(["--header", "Sec-Fetch-Site: same-origin"])
            // The first has no end, the second ends the session that calls, the third is nobody's
            // here and takes a media type that cannot be made up.
            .args(["--exclude-path-regex", "^/(events|sign-out|bounces)$"])
            .args(["--continue-on-failure", "--warnings", "off", "--no-color"])
            .env("KWIC_TEST_EMAIL", format!("{who}@example.org"))
            .env("KWIC_TEST_PASSWORD", PASSWORD)
            .current_dir(std::env::temp_dir())
            .output()
            .unwrap()
    });
    let ran = ran.await.unwrap();
    let told = String::from_utf8_lossy(&ran.stdout).into_owned();
    let faults = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(ran.status.success(), "as {who}:\n{told}\n{faults}");
    println!("as {who}:\n{told}");
    let words: Vec<&str> = told.split_whitespace().collect();
    let at = words.iter().position(|word| *word == "generated,").expect("a count of cases");
    words[at - 1].parse().unwrap()
}
