//! Dialogs and forms: secrets that are shown once, input after an edit conflict, double clicks,
//! focus; and nothing is chosen or sent by accident.

use serde_json::{Value as Json, json};

use super::browser::{Browser, is_there, key};
use super::state_checks::with_members;
use super::user_journeys::{Office, code_of};
use crate::support::api_users::PASSWORD;
use crate::support::sidecar::{Sidecar, is_installed};

/// How many dialogs there are.
async fn dialogs(browser: &Browser) -> Json {
    browser.ask("return document.querySelectorAll('dialog').length", Vec::new()).await
}

/// Whether the browser asks before the page is left.
async fn asks_before_it_leaves(browser: &Browser) -> bool {
    let script = "const event = new Event('beforeunload', { cancelable: true });
        return !dispatchEvent(event)";
    browser.ask(script, Vec::new()).await == true
}

#[tokio::test]
async fn no_role_is_chosen_before_somebody_chooses_it() {
    if !is_there() {
        return;
    }
    let office =
        Office::with(&[("chief", "administrator"), ("asha", "operator"), ("bo", "operator")]);
    let browser = office.browser_of("chief", "/team").await;
    for path in ["/team/bulk?do=role&id=asha&id=bo", "/tokens/new", "/team/invite"] {
        browser.open(path).await;
        let script = "const select = document.querySelector('select[name=role]');
            return select ? select.value : document.querySelectorAll('input[name=role]:checked').length";
        let chosen = browser.ask(script, Vec::new()).await;
        assert!(chosen == "" || chosen == 0, "{path} begins with a role: {chosen}");
    }
    browser.open("/team/bulk?do=role&id=asha&id=bo").await;
    browser.enter("Change the role of 2 members").await;
    browser.rests().await;
    for id in ["asha", "bo"] {
        assert_eq!(office.role_of(id), "operator", "a role that nobody chose was given");
    }
    browser.leave().await;
}

/// Opens the dialog that shows recovery codes.
async fn shows_codes(browser: &Browser) {
    browser.click("Turn on").await;
    browser.fill("Your password", PASSWORD).await;
    browser.click("Continue").await;
    browser.sees("Scan this").await;
    let secret = browser.ask("return document.querySelector('.key').innerText", vec![]).await;
    browser.fill("6-digit code", &code_of(secret.as_str().unwrap())).await;
    browser.click("Turn on").await;
    browser.sees("Your recovery codes").await;
}

#[tokio::test]
async fn recovery_codes_are_not_lost_by_a_slip() {
    if !is_there() || !is_installed("oathtool") {
        return;
    }
    let office = Office::with(&[("asha", "operator")]);
    let browser = office.browser_of("asha", "/me").await;
    shows_codes(&browser).await;
    // A browser heeds a page's objection to Escape only once: the second press is the dangerous one.
    for _ in 0..2 {
        browser.press(&key::ESCAPE.to_string()).await;
        browser.refuse_question().await;
        browser.sees("Your recovery codes").await;
    }
    browser.click_at(3.0, 3.0).await;
    browser.sees("Your recovery codes").await;
    assert!(asks_before_it_leaves(&browser).await, "the page may be left unasked");
    browser.click("I saved them").await;
    assert!(!asks_before_it_leaves(&browser).await, "asked though the codes are kept");
    browser.click("Continue").await;
    browser.sees("Recovery codes left").await;
    assert_eq!(dialogs(&browser).await, 0);
    browser.leave().await;
}

#[tokio::test]
async fn a_link_and_a_token_are_not_lost_by_a_slip() {
    if !is_there() {
        return;
    }
    let sidecar = Sidecar::start();
    with_members(&sidecar, &[("chief", "administrator"), ("omar", "operator")]);
    let office = Office { sidecar };
    let browser = office.browser_of("chief", "/team").await;
    browser.allow_clipboard().await;
    browser.click("Invite member").await;
    browser.fill("First name", "Asha").await;
    browser.fill("Last name", "Rao").await;
    browser.fill("Email address", "asha@example.org").await;
    browser.click("Operator").await;
    browser.click("Invite").await;
    // Closed unasked: the link of an invitation can be shown again.
    browser.sees("You can see this link again").await;
    browser.press(&key::ESCAPE.to_string()).await;
    browser.sees_no("You can see this link again").await;
    browser.open("/team/members/omar").await;
    browser.click("Send password reset").await;
    browser.click("Create the link").await;
    browser.sees("You won't see this link again").await;
    browser.press(&key::ESCAPE.to_string()).await;
    browser.refuse_question().await;
    browser.sees("You won't see this link again").await;
    assert!(asks_before_it_leaves(&browser).await, "the link may be lost unasked");
    browser.click("Copy link").await;
    browser.sees("Copied.").await;
    assert!(!asks_before_it_leaves(&browser).await, "asked though the link was copied");
    browser.press(&key::ESCAPE.to_string()).await;
    browser.sees_no("You won't see this link again").await;

    browser.open("/tokens").await;
    browser.click("New token").await;
    browser.fill("Name", "walk").await;
    browser.choose("Role", "Operator").await;
    browser.fill("Your password", PASSWORD).await;
    browser.click("Create token").await;
    browser.sees("Copy it now").await;
    assert!(asks_before_it_leaves(&browser).await, "the token may be lost unasked");
    browser.click("Copy").await;
    browser.sees("Copied.").await;
    assert!(!asks_before_it_leaves(&browser).await, "asked though the token was copied");
    browser.leave().await;
}

#[tokio::test]
async fn a_press_lands_where_it_was_aimed() {
    if !is_there() {
        return;
    }
    let office = Office::with(&[("chief", "administrator")]);
    let browser = office.browser_of("chief", "/team").await;

    // What was wrong goes as the field is left, and the page below it moves up.
    browser.open("/forgot").await;
    browser.fill("Account", "acme").await;
    browser.fill("Email address", "chief").await;
    browser.press(&key::TAB.to_string()).await;
    browser.sees("Enter an email address").await;
    browser.fill("Email address", "chief@example.org").await;
    browser.click("Send the link").await;
    browser.sees("is on its way").await;

    // What is said as the field is left moves it down.
    browser.open("/forgot").await;
    browser.fill("Account", "acme").await;
    browser.fill("Email address", "chief@gmial.com").await;
    browser.click("Send the link").await;
    browser.sees("is on its way").await;

    // A list of choices that is left closes, and the page below it moves up.
    browser.open("/team").await;
    browser.width(600).await;
    browser.click("Role Any").await;
    browser.sees("Template Manager").await;
    browser.tab_to("Administrator").await;
    browser.holds_down("First Last").await;
    browser.lets_go().await;
    browser.until("the member's page", async |it| it.path().await.contains("/members/")).await;
    browser.leave().await;
}

#[tokio::test]
async fn rows_that_come_anew_do_not_take_a_press_away() {
    if !is_there() {
        return;
    }
    let office = Office::with(&[("chief", "administrator"), ("asha", "operator")]);
    let browser = office.browser_of("chief", "/team?search=asha").await;
    browser.sees("asha@example.org").await;
    browser.ask(super::bad_input::HOLD, Vec::new()).await;
    office.sidecar.ok(&["member", "edit", "asha", "--last-name", "Changed"]);
    let there = async |name: &str| {
        let script = format!("return Boolean(window.{name})");
        browser.until(name, async |it| it.ask(&script, Vec::new()).await == true).await;
    };
    there("held").await;
    browser.holds_down("First Last").await;
    browser.ask("window.held()", Vec::new()).await;
    there("shown").await;
    browser.lets_go().await;
    browser.until("the member's page", async |it| it.path().await.contains("/members/")).await;
    browser.leave().await;
}

#[tokio::test]
async fn a_double_click_does_one_thing() {
    if !is_there() {
        return;
    }
    let office = Office::with(&[("chief", "administrator"), ("asha", "operator")]);
    let browser = office.browser_of("chief", "/team").await;
    browser.double_click("Invite member").await;
    browser.sees("First name").await;
    browser.rests().await;
    assert_eq!(dialogs(&browser).await, 1);
    browser.press(&key::ESCAPE.to_string()).await;
    browser.sees_no("First name").await;

    // The second click comes when the next dialog is in the place of the first one.
    browser.click("Actions for First Last").await;
    browser.click("Change role").await;
    browser.click("Chat Manager").await;
    browser.click("Continue").await;
    browser.sees("Gains").await;
    let second = "find('button', arguments[0]).dispatchEvent(
        new MouseEvent('click', { bubbles: true, cancelable: true, detail: 2 }))";
    let gives = "return find('button', 'Change First Last to') ? 1 : 0";
    assert_eq!(browser.ask(gives, Vec::new()).await, 1);
    browser.ask(second, vec![json!("Change First Last to")]).await;
    browser.rests().await;
    assert_eq!(office.role_of("asha"), "operator", "the second press answered a new question");
    browser.click("Change First Last to").await;
    browser.sees("is now Chat Manager").await;
    browser.leave().await;
}

#[tokio::test]
async fn after_a_dialog_the_focus_is_where_it_was_opened() {
    if !is_there() {
        return;
    }
    let office = Office::with(&[("chief", "administrator"), ("asha", "operator")]);
    let browser = office.browser_of("chief", "/me").await;
    let is_at = async |words: &str| {
        browser.until(words, async |it| it.focus().await.starts_with(words)).await;
        let index = browser.ask("return document.activeElement.tabIndex", Vec::new()).await;
        assert_eq!(index, 0, "{words} left the order of Tab");
    };
    for (opener, does) in [("Change name", "Save"), ("Change name", "Cancel")] {
        browser.click(opener).await;
        browser.sees("First name").await;
        browser.click(does).await;
        browser.until("the dialog to close", async |it| dialogs(it).await == 0).await;
        is_at(opener).await;
    }
    browser.open("/team/members/asha").await;
    browser.click("Edit details").await;
    browser.fill("First name", "Asha").await;
    browser.click("Save").await;
    browser.until("the dialog to close", async |it| dialogs(it).await == 0).await;
    is_at("Edit details").await;
    browser.open("/team?search=asha").await;
    browser.click("Actions for Asha Last").await;
    browser.click("Edit details").await;
    browser.fill("First name", "Ashok").await;
    browser.click("Save").await;
    browser.until("the dialog to close", async |it| dialogs(it).await == 0).await;
    is_at("Actions for Ashok Last").await;
    // What opened it is gone: the next best thing has the focus.
    browser.open("/tokens").await;
    let token = ["--member", "chief", "--role", "operator", "--days", "1", "walk"];
    office.sidecar.ok(&[&["token", "create"][..], &token].concat());
    browser.open("/tokens").await;
    browser.click("Revoke").await;
    browser.sees("Revoke the token walk?").await;
    browser.click("Revoke").await;
    browser.sees("No API tokens").await;
    is_at("New token").await;
    browser.leave().await;
}

#[tokio::test]
async fn who_was_overtaken_sees_what_changed_and_can_save() {
    if !is_there() {
        return;
    }
    let office = Office::with(&[("chief", "administrator"), ("asha", "operator")]);
    let browser = office.browser_of("chief", "/team").await;
    let invite = ["--role", "operator", "--first-name", "Bo", "--last-name", "Lee"];
    office.sidecar.ok(&[&["invite", "send", "--email", "bo@example.org"][..], &invite].concat());
    let invite = super::state_checks::id_of(&office.sidecar, &["invite", "list"]);

    let page = format!("/team/invitations/{invite}/edit");
    let by_operator: [(&str, Vec<&str>); 3] = [
        ("/team/members/asha/edit", vec!["member", "edit", "asha", "--last-name", "Rao"]),
        (&page, vec!["invite", "edit", &invite, "--last-name", "Rao"]),
        ("/me/names", vec!["member", "edit", "chief", "--last-name", "Rao"]),
    ];
    for (path, command) in by_operator {
        browser.open(path).await;
        browser.fill("First name", "Typed").await;
        office.sidecar.ok(&command);
        browser.click("Save").await;
        browser.sees("Your system administrator changed this on").await;
        browser.sees("Rao").await;
        assert_eq!(browser.value("First name").await, "Typed", "{path}");
        // Changes of others are shown, what was typed here is kept.
        browser.fill("Last name", "Rao").await;
        browser.click("Save").await;
        browser.until("to be saved", async |it| !it.path().await.starts_with(path)).await;
    }
    for (id, name) in [("asha", "Typed Rao"), ("chief", "Typed Rao")] {
        let shown = office.sidecar.ok(&["member", "show", id]);
        assert!(shown.contains("Typed") && shown.contains("Rao"), "{name}: {shown}");
    }

    // A role that was chosen meanwhile is shown, and another one can be given.
    browser.open("/team/members/asha/role").await;
    browser.click("Chat Manager").await;
    browser.click("Continue").await;
    browser.sees("Gains").await;
    office.sidecar.ok(&["member", "edit", "asha", "--role", "template_manager"]);
    browser.click("Change Typed Rao to").await;
    browser.sees("Your system administrator changed this on").await;
    browser.sees("Template Manager").await;
    browser.click("Continue").await;
    browser.sees("Gains").await;
    browser.click("Change Typed Rao to").await;
    browser.sees("is now Chat Manager").await;
    assert_eq!(office.role_of("asha"), "chat_manager");
    browser.leave().await;
}
