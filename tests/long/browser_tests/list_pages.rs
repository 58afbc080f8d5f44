//! Lists: returning to them unchanged, counts, layout at every width, and a page that closes when
//! its viewer loses access.

use serde_json::json;

use super::browser::{Browser, is_there};
use super::page_weight::grow;
use super::state_checks::sign_in;
use super::user_journeys::Office;
use crate::support::api_users::PASSWORD;
use crate::support::sidecar::copy_folder;

/// The second page of a list that is searched and sorted.
async fn goes_to_second_page(browser: &Browser) -> String {
    browser.open("/team?search=number&sort=-name").await;
    browser.click("Next page").await;
    browser.sees("26–50 of 60").await;
    browser.path().await
}

#[tokio::test]
async fn a_change_leads_back_to_the_list_as_it_was() {
    if !is_there() {
        return;
    }
    let office = Office::with(&[("chief", "administrator")]);
    grow(&office, 60);
    let browser = office.browser_of("chief", "/team").await;
    let list = goes_to_second_page(&browser).await;
    let is_there_again = async |told: &str| {
        browser.sees(told).await;
        browser.sees("26–50 of 60").await;
        assert_eq!(browser.path().await, list, "after {told:?}");
    };
    let acts = async |name: &str, act: &str| {
        browser.click(&format!("Actions for Member Number {name}")).await;
        browser.click(act).await;
    };
    acts("30", "Edit details").await;
    browser.fill("First name", "Edited").await;
    browser.click("Save").await;
    is_there_again("Edited Number 30").await;
    acts("29", "Change role").await;
    browser.click("Chat Manager").await;
    browser.click("Continue").await;
    browser.click("Change Member Number 29").await;
    is_there_again("is now Chat Manager").await;
    acts("28", "Suspend").await;
    browser.click("Suspend Member Number 28").await;
    is_there_again("was suspended").await;
    browser.click("Select Member Number 27").await;
    browser.click("Suspend").await;
    browser.click("Suspend 1 member").await;
    browser.sees("Results").await;
    browser.click("Back to Team Management").await;
    browser.sees_no("Results").await;
    is_there_again("Member Number 27").await;
    acts("28", "Remove").await;
    browser.click("Remove Member Number 28").await;
    browser.sees("removed").await;
    browser.sees("26–50 of 59").await;
    assert_eq!(browser.path().await, list);
    browser.leave().await;
}

#[tokio::test]
async fn without_scripts_a_change_leads_back_too() {
    if !is_there() {
        return;
    }
    let office = Office::with(&[("chief", "administrator")]);
    grow(&office, 60);
    let browser = office.browser().await;
    browser.scripts(false).await;
    sign_in(&browser, "acme", "chief@example.org", PASSWORD).await;
    browser.sees("Team Management").await;
    let list = goes_to_second_page(&browser).await;
    for leave in ["Cancel", "Save"] {
        browser.click("Member Number 30").await;
        browser.click("Edit details").await;
        browser.click(leave).await;
        browser.sees("What Member Number 30 can do").await;
        // Who looks needs a script.
        browser.scripts(true).await;
        let crumb = "return document.querySelector('.crumbs a').getAttribute('href')";
        assert_eq!(browser.ask(crumb, Vec::new()).await, list, "{leave} leads elsewhere");
        browser.scripts(false).await;
        browser.open(&list).await;
    }
    browser.leave().await;
}

#[tokio::test]
async fn tab_and_list_count_the_same() {
    if !is_there() {
        return;
    }
    let office = Office::demonstration();
    for path in ["/team", "/team?tab=invitations"] {
        let browser = office.browser_of_demo(path).await;
        let script = "return [document.querySelector('.tabs [aria-current] .count').innerText,
            document.querySelector('#count').innerText.split(' ')[0]]";
        let counts = browser.ask(script, Vec::new()).await;
        assert_eq!(counts[0], counts[1], "{path}");
        browser.leave().await;
    }
}

#[tokio::test]
async fn the_filter_of_roles_says_what_is_chosen() {
    if !is_there() {
        return;
    }
    let office = Office::with(&[("chief", "administrator"), ("asha", "operator")]);
    let browser = office.browser_of("chief", "/team").await;
    browser.click("Role Any").await;
    browser.click("Operator").await;
    browser.sees("1 member found").await;
    let script = "return document.querySelector('#roles-chosen').innerText";
    assert_eq!(browser.ask(script, Vec::new()).await, "Operator");
    browser.click("Administrator").await;
    browser.sees("2 members found").await;
    assert_eq!(browser.ask(script, Vec::new()).await, "2 roles");
    browser.leave().await;
}

#[tokio::test]
async fn the_page_of_somebody_suspended_or_signed_out_goes_at_once() {
    if !is_there() {
        return;
    }
    let office =
        Office::with(&[("chief", "administrator"), ("asha", "operator"), ("bo", "operator")]);
    for (id, command) in [
        ("asha", ["member", "suspend", "asha"]),
        ("bo", ["member", "end-sessions", "bo"]),
        ("chief", ["member", "end-sessions", "chief"]),
    ] {
        // Also for viewers who may not see the team, and get no changes of it.
        let browser = office.browser_of(id, "/me").await;
        browser.sees(&format!("{id}@example.org")).await;
        // The stream is open before anything happens.
        stream_is(&browser, "open").await;
        office.sidecar.ok(&command);
        let told = std::time::Instant::now();
        browser.sees_no(&format!("{id}@example.org")).await;
        browser.until("to be signed out", async |it| it.path().await == "/signed-out").await;
        assert!(told.elapsed().as_secs() < 10, "{id}: it took {:?}", told.elapsed());
        browser.leave().await;
    }
}

/// A stream that begins when the test says so.
const LATE_STREAM: &str = r"
    const Stream = window.EventSource;
    window.EventSource = class extends EventTarget {
        constructor(address) {
            super();
            window.begin = () => {
                const stream = new Stream(address);
                for (const kind of ['begins', 'changed', 'open', 'error']) {
                    const passOn = ({ data }) => this.dispatchEvent(new MessageEvent(kind, { data }));
                    stream.addEventListener(kind, passOn);
                }
            };
        }
        close() {}
    };";

#[tokio::test]
async fn what_changed_before_the_stream_of_a_page_began_is_shown() {
    if !is_there() {
        return;
    }
    let office = Office::with(&[("chief", "administrator"), ("asha", "operator")]);
    let browser = office.browser_of("chief", "/me").await;
    let script = json!({"source": LATE_STREAM});
    browser.devtools("Page.addScriptToEvaluateOnNewDocument", script).await;
    browser.open("/team").await;
    browser.sees("asha@example.org").await;
    office.sidecar.ok(&["member", "edit", "asha", "--last-name", "Changed"]);
    browser.ask("window.begin()", Vec::new()).await;
    browser.sees("First Changed").await;
    browser.leave().await;
}

/// Waits until the stream of an open page is so.
async fn stream_is(browser: &Browser, state: &str) {
    let script = format!("return document.body.dataset.live === '{state}'");
    browser
        .until(&format!("a stream that is {state}"), async |it| {
            it.ask(&script, Vec::new()).await == true
        })
        .await;
}

/// The longest address without a place to break at, as far as addresses may be long.
fn long_address() -> String {
    format!("{}@{}.example.org", "w".repeat(64), "x".repeat(60))
}

#[tokio::test]
async fn what_somebody_wrote_fits_at_every_width() {
    if !is_there() {
        return;
    }
    let policies = tempfile::tempdir().unwrap();
    copy_folder(&crate::support::sidecar::shipped_policies(), policies.path());
    let role = policies.path().join("roles/operator.cedar");
    let text = std::fs::read_to_string(&role).unwrap();
    let title = format!("@title(\"{}\")", "R".repeat(60));
    let text: Vec<&str> = text
        .lines()
        .map(|line| if line.starts_with("@title(") { title.as_str() } else { line })
        .collect();
    std::fs::write(&role, text.join("\n")).unwrap();
    let office = Office::open_with(policies.path());
    super::state_checks::with_members(&office.sidecar, &[("chief", "administrator")]);
    let name = "W".repeat(64);
    let file = format!(
        "id,first_name,last_name,email,role\nm1,{name},{name},{},operator\n",
        long_address()
    );
    let path = office.sidecar.path("long.csv");
    std::fs::write(&path, file).unwrap();
    office.sidecar.ok(&["member", "import", path.to_str().unwrap()]);
    let who = ["--role", "operator", "--first-name", &name, "--last-name", &name];
    let other = long_address().replace('x', "y");
    office.sidecar.ok(&[&["invite", "send", "--email", &other][..], &who].concat());
    let token = ["--member", "chief", "--role", "operator", "--days", "1", &name];
    office.sidecar.ok(&[&["token", "create"][..], &token].concat());
    let browser = office.browser_of("chief", "/team").await;
    let mut faults = Vec::new();
    for path in [
        "/team",
        "/team?tab=invitations",
        "/team/members/m1",
        "/team/members/m1/role",
        "/team/members/m1/remove",
        "/team/bulk?do=remove&id=m1",
        "/tokens",
        "/audit",
        "/roles",
        "/me",
        "/account",
    ] {
        browser.open(path).await;
        for width in [320, 600, 700, 960, 1000, 1280] {
            browser.width(width).await;
            browser.rests().await;
            let script = "const over = [...document.querySelectorAll('.card, table, .card :is(td, th, p, dd, li, span, bdi, .button)')]
                .filter((e) => shown(e) && !e.closest('.scroll, .hidden-visually') && (e.getBoundingClientRect().right > Math.min(innerWidth, e.closest('.card').getBoundingClientRect().right) + 1
                    || e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display !== 'inline'));
                return [document.documentElement.scrollWidth, ...over.slice(0, 3).map((e) => `${e.tagName} ${e.className} ${words(e.innerText).slice(0, 30)}`)]";
            let found = browser.ask(script, Vec::new()).await;
            let found = found.as_array().unwrap();
            if found[0].as_u64().unwrap() > u64::from(width) || found.len() > 1 {
                faults.push(format!("{path} at {width} px: {found:?}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    browser.leave().await;
}
