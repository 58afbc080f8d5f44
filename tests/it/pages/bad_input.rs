//! What people do by mistake or on purpose: strange names, old pages, impatient fingers, a session
//! that is over, a network that is not there.

use serde_json::json;

use super::browser::is_there;
use super::stories::Office;
use super::walk::sign_in;
use crate::people::PASSWORD;

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
        browser.click("Send invitation").await;
        browser.sees("already has access").await;
        assert_eq!(browser.value("First name").await, name, "a refused form keeps what was typed");
        browser.fill("Email address", &format!("n{}@example.org", name.len())).await;
        browser.click("Send invitation").await;
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
    browser.sees("was changed").await;
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
        browser.double_click("Send invitation").await;
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
    browser.sees("You are signed out").await;
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
    let removed = std::time::Instant::now();
    office.sidecar.ok(&["member", "remove", "asha", "--yes"]);
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
    browser.click("Send invitation").await;
    browser.sees("cannot be reached").await;
    assert_eq!(browser.value("Email address").await, "asha@example.org");
    browser.offline(false).await;
    browser.click("Send invitation").await;
    browser.sees("Invitation for asha@example.org created").await;
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
    assert!(browser.accept_question().await, "nobody asked");
    browser
        .until("the dialog to close", async |it| {
            it.ask("return document.querySelector('dialog') === null", Vec::new()).await
                == json!(true)
        })
        .await;
    assert_eq!(browser.focus().await, "Invite member", "the focus goes back");
    browser.leave().await;
}
