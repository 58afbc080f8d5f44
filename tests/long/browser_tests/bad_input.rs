//! Mistakes and attacks: strange names, stale pages, double clicks, ended sessions, a missing
//! network.

use serde_json::json;

use super::browser::{is_there, key};
use super::state_checks::sign_in;
use super::user_journeys::Office;
use crate::support::api_users::PASSWORD;

/// Names that pages get wrong: the longest, without a space to break at; right to left; letters
/// that join; and what a page must show, never run.
const NAMES: [&str; 5] = [
    "Wwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwww",
    "\u{627}\u{644}\u{623}\u{633}\u{62a}\u{627}\u{630}\u{629} \u{639}\u{627}\u{626}\u{634}\u{629} \u{628}\u{646}\u{62a} \u{639}\u{628}\u{62f} \u{627}\u{644}\u{631}\u{62d}\u{645}\u{646}",
    "\u{936}\u{94d}\u{930}\u{940}\u{92e}\u{924}\u{940} \u{905}\u{928}\u{941}\u{930}\u{93e}\u{927}\u{93e} \u{915}\u{943}\u{937}\u{94d}\u{923}\u{92e}\u{942}\u{930}\u{94d}\u{924}\u{93f}",
    "<img src=x onerror=document.title=`run`>",
    "<script>document.title=\"run\"</script>",
];

#[tokio::test]
async fn strange_names_are_text_and_fit() {
    if !is_there() {
        return;
    }
    let office = Office::with(&[("chief", "administrator")]);
    office.sidecar.ok(&["account", "edit", "--name", NAMES[3]]);
    let mut file = String::from("id,first_name,last_name,email,role\n");
    for (number, name) in NAMES.iter().enumerate() {
        let name = name.replace('"', "\"\"");
        file.push_str(&format!("m{number},\"{name}\",\"{name}\",m{number}@example.org,operator\n"));
    }
    let path = office.sidecar.path("names.csv");
    std::fs::write(&path, file).unwrap();
    office.sidecar.ok(&["member", "import", path.to_str().unwrap()]);
    let browser = office.browser_of("chief", "/team").await;
    browser.width(320).await;

    // A form that is refused, and then an invitation, with such a name.
    for name in NAMES {
        browser.open("/team/invite").await;
        browser.fill("First name", name).await;
        browser.fill("Last name", name).await;
        browser.fill("Email address", "m1@example.org").await;
        browser.click("Operator").await;
        browser.click("Invite").await;
        browser.sees("already has access").await;
        assert_eq!(browser.value("First name").await, name, "a refused form keeps what was typed");
        browser.fill("Email address", &format!("n{}@example.org", name.len())).await;
        browser.click("Invite").await;
        browser.sees("created").await;
    }
    let mut pages = vec!["/team".to_owned(), "/team?tab=invitations".to_owned()];
    for number in 0..NAMES.len() {
        for rest in ["", "/edit", "/role", "/remove"] {
            pages.push(format!("/team/members/m{number}{rest}"));
        }
    }
    for hostile in ["%3Cscript%3Edocument.title%3D1%3C/script%3E", "%22%3E%3Cimg%20src=x%3E"] {
        pages.push(format!("/team?search={hostile}"));
    }
    for page in pages {
        browser.open(&page).await;
        let script =
            "return [document.title, document.querySelectorAll('img[src=x], main script').length,
            document.documentElement.scrollWidth]";
        let found = browser.ask(script, Vec::new()).await;
        assert!(!found[0].as_str().unwrap().eq("run"), "{page}: a script ran");
        assert_eq!(found[1], 0, "{page}: text became elements");
        assert!(found[2].as_u64().unwrap() <= 320, "{page} is {} px wide", found[2]);
    }
    browser.open("/team").await;
    for name in NAMES {
        browser.sees(name).await;
    }
    browser.leave().await;
}

#[tokio::test]
async fn a_page_that_is_old_is_told_so_and_loses_nothing() {
    if !is_there() {
        return;
    }
    let office = Office::with(&[("chief", "administrator"), ("asha", "operator")]);
    let browser = office.browser_of("chief", "/team?search=asha").await;
    browser.click("Actions for First Last").await;
    browser.click("Edit details").await;
    browser.fill("First name", "Asha").await;
    office.sidecar.ok(&["member", "edit", "asha", "--last-name", "Rao"]);
    browser.click("Save").await;
    browser.sees("changed this on").await;
    assert_eq!(browser.value("First name").await, "Asha");
    browser.leave().await;
}

#[tokio::test]
async fn two_presses_of_send_are_one_invitation() {
    if !is_there() {
        return;
    }
    let office = Office::with(&[("chief", "administrator")]);
    for (number, scripts) in [true, false].into_iter().enumerate() {
        let browser = office.browser().await;
        browser.scripts(scripts).await;
        sign_in(&browser, "acme", "chief@example.org", PASSWORD).await;
        browser.sees("Team Management").await;
        browser.click("Invite member").await;
        browser.fill("First name", "Asha").await;
        browser.fill("Last name", "Rao").await;
        browser.fill("Email address", &format!("asha{number}@example.org")).await;
        browser.click("Operator").await;
        browser.double_click("Invite").await;
        browser.sees(&format!("Invitation for asha{number}@example.org created")).await;
        browser.sees(&format!("{} invitation", number + 1)).await;
        let listed = office.sidecar.ok(&["invite", "list", "--json", "--search", "asha"]);
        assert_eq!(listed.lines().count(), number + 1, "{listed}");
        browser.leave().await;
    }
}

#[tokio::test]
async fn nothing_is_left_behind_after_signing_out() {
    if !is_there() {
        return;
    }
    let office = Office::with(&[("chief", "administrator"), ("asha", "operator")]);
    let browser = office.browser_of("chief", "/team").await;
    browser.sees("asha@example.org").await;
    browser.click("Sign out").await;
    browser.sees("You've been signed out").await;
    for _ in 0..2 {
        browser.back().await;
        browser.until("the page settles", async |it| it.text().await.contains("Sign in")).await;
        let left = browser.ask("return document.documentElement.outerHTML", Vec::new()).await;
        assert!(!left.as_str().unwrap().contains("asha@"), "{left}");
    }
    browser.leave().await;
}

#[tokio::test]
async fn a_session_that_ends_under_a_dialog_ends_the_page() {
    if !is_there() {
        return;
    }
    let office = Office::with(&[("chief", "administrator"), ("asha", "operator")]);
    let browser = office.browser_of("chief", "/team").await;
    browser.click("Invite member").await;
    browser.fill("First name", "Asha").await;
    office.sidecar.ok(&["member", "end-sessions", "chief"]);
    browser.sees("signed out").await;
    browser.sees_no("asha@example.org").await;
    browser.leave().await;
}

#[tokio::test]
async fn a_removed_member_s_open_page_goes_within_seconds() {
    if !is_there() {
        return;
    }
    let office = Office::with(&[("chief", "administrator"), ("asha", "administrator")]);
    let browser = office.browser_of("asha", "/team").await;
    browser.sees("chief@example.org").await;
    office.sidecar.ok(&["member", "remove", "asha", "--yes"]);
    let removed = std::time::Instant::now();
    browser.sees_no("chief@example.org").await;
    assert!(removed.elapsed().as_secs() < 10, "it took {:?}", removed.elapsed());
    browser.leave().await;
}

#[tokio::test]
async fn a_moment_without_network_loses_nothing() {
    if !is_there() {
        return;
    }
    let office = Office::with(&[("chief", "administrator")]);
    let browser = office.browser_of("chief", "/team").await;
    browser.click("Invite member").await;
    browser.fill("First name", "Asha").await;
    browser.fill("Last name", "Rao").await;
    browser.fill("Email address", "asha@example.org").await;
    browser.click("Operator").await;
    browser.offline(true).await;
    browser.click("Invite").await;
    browser.sees("cannot be reached").await;
    assert_eq!(browser.value("Email address").await, "asha@example.org");
    browser.offline(false).await;
    browser.click("Invite").await;
    browser.sees("Invitation for asha@example.org created").await;
    browser.leave().await;
}

/// Delays every request of the page's script until it is released.
const HOLD_EACH: &str = r"
    const ask = window.fetch;
    window.held = {};
    window.fetch = (...what) => new Promise((answer) => {
        const search = new URL(what[0]).searchParams.get('search');
        window.held[search] = () => ask(...what).then((come) => { answer(come); window.answered = search; });
    });";

#[tokio::test]
async fn an_answer_that_comes_late_does_not_undo_a_newer_search() {
    if !is_there() {
        return;
    }
    let office = Office::with(&[("chief", "administrator"), ("asha", "operator")]);
    let browser = office.browser_of("chief", "/team").await;
    browser.ask(HOLD_EACH, Vec::new()).await;
    let holds = async |script: &str| {
        browser.until(script, async |it| it.ask(script, Vec::new()).await == true).await;
    };
    browser.fill("Search by name or email", "chief").await;
    holds("return 'chief' in held").await;
    browser.fill("Search by name or email", "asha").await;
    holds("return 'asha' in held").await;
    // The newer one is answered first, then the older one.
    browser.ask("held.asha()", Vec::new()).await;
    browser.sees("1 member found").await;
    browser.sees_no("chief@example.org").await;
    browser.ask("held.chief()", Vec::new()).await;
    holds("return window.answered === 'chief'").await;
    browser.rests().await;
    let text = browser.text().await;
    assert!(text.contains("asha@example.org") && !text.contains("chief@example.org"), "{text}");
    assert!(browser.path().await.contains("search=asha"), "{}", browser.path().await);
    browser.leave().await;
}

#[tokio::test]
async fn a_link_to_a_fault_leads_to_its_field_and_loses_nothing() {
    if !is_there() {
        return;
    }
    let office = Office::with(&[("chief", "administrator")]);
    let browser = office.browser_of("chief", "/team/invite").await;
    let long = "A".repeat(65);
    browser.fill("First name", &long).await;
    browser.fill("Last name", &long).await;
    browser.fill("Email address", "asha@example.org").await;
    browser.click("Operator").await;
    browser.click("Invite").await;
    browser.sees("ix the highlighted fields").await;
    browser.fill("First name", "Asha").await;
    browser.ask("window.same = true", Vec::new()).await;
    browser.click("Last name is longer").await;
    browser.until("the field to have the focus", async |it| it.focus().await == "Last name").await;
    // The page would be loaded again only now, without what was typed since.
    browser.rests().await;
    assert_eq!(browser.ask("return window.same ?? false", Vec::new()).await, true, "loaded anew");
    assert_eq!(browser.value("First name").await, "Asha");
    browser.leave().await;
}

#[tokio::test]
async fn a_link_opened_over_the_page_it_leads_to_is_taken() {
    if !is_there() {
        return;
    }
    let office = Office::open();
    let browser = office.browser().await;
    browser.open("/join").await;
    // A place on the page is no code.
    browser.ask("location.hash = 'main'", Vec::new()).await;
    browser.ask("location.hash = 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'", Vec::new()).await;
    browser.sees("This link no longer works").await;
    assert_eq!(browser.path().await, "/join/look");
    browser.leave().await;
}

#[tokio::test]
async fn while_rows_are_fetched_the_old_ones_stay_and_nothing_jumps() {
    if !is_there() {
        return;
    }
    let office = Office::with(&[("chief", "administrator"), ("asha", "operator")]);
    let browser = office.browser_of("chief", "/team").await;
    browser.sees("asha@example.org").await;
    browser.ask(HOLD, Vec::new()).await;
    let watch = "window.moved = 0;
        new PerformanceObserver((list) => { for (const it of list.getEntries()) window.moved += it.value; })
            .observe({ type: 'layout-shift' });
";
    browser.ask(watch, Vec::new()).await;
    let place = "const at = document.querySelector('#list').getBoundingClientRect();
        return [at.x, at.y, at.width, at.height]";
    let before = browser.ask(place, Vec::new()).await;
    browser.fill("Search by name or email", "asha").await;
    let is_busy = "return document.querySelector('#list').ariaBusy === 'true'";
    browser
        .until("the list to say that it waits", async |it| {
            it.ask(is_busy, Vec::new()).await == true
        })
        .await;
    assert_eq!(browser.ask(place, Vec::new()).await, before, "the rows jumped");
    assert_eq!(browser.ask("return window.moved", Vec::new()).await, 0, "something jumped");
    let text = browser.text().await;
    assert!(text.contains("chief@example.org") && text.contains("2 members found"), "{text}");
    browser.ask("window.held()", Vec::new()).await;
    browser.sees("1 member found").await;
    browser.sees_no("chief@example.org").await;
    assert_eq!(browser.ask(is_busy, Vec::new()).await, false);
    browser.leave().await;
}

/// Delays requests of the page's script until they are released.
pub const HOLD: &str = r"
    const ask = window.fetch;
    window.fetch = (...what) => new Promise((answer) => {
        window.held = () => ask(...what).then((come) => {
            answer(come);
            setTimeout(() => { window.shown = true; }, 500);
        });
    });";

#[tokio::test]
async fn an_open_menu_stays_open_while_others_change_something() {
    if !is_there() {
        return;
    }
    let office = Office::with(&[("chief", "administrator"), ("asha", "operator")]);
    let browser = office.browser_of("chief", "/team").await;
    browser.sees("asha@example.org").await;
    browser.ask(HOLD, Vec::new()).await;
    office.sidecar.ok(&["member", "edit", "asha", "--first-name", "Changed"]);
    let there = async |name: &str| {
        let script = format!("return Boolean(window.{name})");
        browser.until(name, async |it| it.ask(&script, Vec::new()).await == true).await;
    };
    there("held").await;
    browser.enter("Actions for First Last").await;
    let item = browser.focus().await;
    assert!(!item.is_empty(), "the menu did not open");
    browser.ask("window.held(); delete window.held", Vec::new()).await;
    there("shown").await;
    assert_eq!(browser.focus().await, item, "the rows came anew under an open menu");
    // Shut, it lets the rows come, and the reader stays where they were.
    browser.press(&key::ESCAPE.to_string()).await;
    there("held").await;
    browser.ask("window.held()", Vec::new()).await;
    browser.sees("Changed Last").await;
    assert!(browser.focus().await.starts_with("Actions for"), "{}", browser.focus().await);
    browser.leave().await;
}

#[tokio::test]
async fn what_was_typed_is_not_thrown_away_unasked() {
    if !is_there() {
        return;
    }
    let office = Office::with(&[("chief", "administrator")]);
    let browser = office.browser_of("chief", "/team").await;
    browser.click("Invite member").await;
    browser.fill("First name", "Asha").await;
    browser.press(&super::browser::key::ESCAPE.to_string()).await;
    browser.accept_question().await;
    browser
        .until("the dialog to close", async |it| {
            it.ask("return document.querySelector('dialog') === null", Vec::new()).await
                == json!(true)
        })
        .await;
    assert_eq!(browser.focus().await, "Invite member", "the focus goes back");
    browser.leave().await;
}
