//! The history of the policies in the console: who gained and lost, the way back to a former set, and
//! the difference of two sets, as a browser without a script gets them.

use std::fs;

use std::time::{Duration, Instant};

use kwic_team::domain::{AccountSlug, EntityRef, Query, Value as Attribute};
use kwic_team::services::{decide, shadow};
use serde_json::Value;

use crate::console_read_pages::{managing, managing_with, read};
use crate::support::api_fixture::{ApiFixture, Person};
use crate::support::sidecar::{copy_folder, is_installed, shipped_policies};

const NONE: Value = Value::Null;
const RELOAD: &str = "/policies/reload";
const GAINED: &str = "Operator gains \u{201c}Assign chats\u{201d} on account, chat";
const LOST: &str = "Operator loses \u{201c}Assign chats\u{201d} on account, chat";

/// Gives operators one more action, or takes it back.
fn operators_assign(folder: &tempfile::TempDir, may: bool) {
    let shipped = fs::read_to_string(shipped_policies().join("roles/operator.cedar")).unwrap();
    let one = "Action::\"chats:respond\"";
    let two = format!("{one}, KWIC::Action::\"chats:assign\"");
    let text = if may { shipped.replace(one, &two) } else { shipped };
    fs::write(folder.path().join("roles/operator.cedar"), text).unwrap();
}

/// Set 1 is as shipped; set 2 lets operators assign chats, and is live.
async fn with_two_sets(ann: &Person<'_>, folder: &tempfile::TempDir) {
    assert_eq!(ann.form(RELOAD, "").await.status, 303);
    operators_assign(folder, true);
    assert_eq!(ann.form(RELOAD, "").await.status, 303);
}

async fn may_assign(console: &ApiFixture) -> bool {
    let card = console.operator("GET /roles/operator", &NONE).await.is(200);
    card.to_string().contains("\"chats:assign\"")
}

/// The folders next to the policy folder that hold what was there.
fn kept(folder: &tempfile::TempDir) -> usize {
    let name = folder.path().file_name().unwrap().to_str().unwrap();
    let beginning = format!("{name}.replaced-");
    let names = fs::read_dir(folder.path().parent().unwrap()).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with(&beginning)).count()
}

#[tokio::test]
async fn the_history_says_what_became_of_each_set_and_leads_back_to_a_former_one() {
    let home = tempfile::tempdir().unwrap();
    let folder = tempfile::tempdir_in(home.path()).unwrap();
    let console = managing(&folder).await;
    let ann = console.person("ann", "administrator").await;
    with_two_sets(&ann, &folder).await;
    let role = folder.path().join("roles/operator.cedar");
    let text = fs::read_to_string(&role).unwrap();
    fs::write(&role, text.replacen("permit", "permmit", 1)).unwrap();
    assert_eq!(ann.form(RELOAD, "").await.status, 422);

    let page = ann.page("/policies").await;
    page.shows(200, &["<strong>Set 1</strong>", "<strong>Set 2</strong>", GAINED, "Ann Lee"]);
    page.shows(200, &["Was live</span>", "Live</span>", "Refused</span>", "operator.cedar:"]);
    page.shows(
        200,
        &["Roll back to set 1", "compare?old=1&#38;new=2", "compare?old=live&#38;new=3"],
    );
    page.leaves_out("Roll back to set 2");
    page.leaves_out("Roll back to set 3");
    // What the check has found, not a proof for this page.
    let proved = if is_installed("cvc5") { "By cvc5 " } else { "not proved: there is no solver" };
    page.shows(200, &["What these policies must keep", "Nobody reaches another account", proved]);

    let path = "/policies/history/1/rollback";
    let asked = ann.page(path).await;
    asked.shows(200, &["Roll back to set 1?", LOST, "Nobody gains access", "Pin it instead"]);
    assert!(may_assign(&console).await, "it was only asked");
    let done = ann.form(path, "").await;
    assert_eq!((done.status, done.header("location")), (303, Some("/policies")));
    assert!(!may_assign(&console).await);
    assert_eq!(kept(&folder), 1);
    let shipped = fs::read(shipped_policies().join("roles/operator.cedar")).unwrap();
    assert_eq!(fs::read(&role).unwrap(), shipped);
    let page = ann.page("/policies").await;
    page.shows(200, &["<strong>Set 4</strong>", LOST, "rolled back to it", "Roll back to set 2"]);
    page.leaves_out("Roll back to set 1");
    page.leaves_out("The policy folder was refused");

    for (number, why) in [(4, "This set is live already."), (3, "This set was never live.")] {
        let none = ann.page(&format!("/policies/history/{number}/rollback")).await;
        none.shows(409, &[why, "Back to policies"]);
    }
    ann.page("/policies/history/99/rollback").await.shows(404, &[]);
}

#[tokio::test]
async fn a_former_set_is_pinned_where_the_folder_cannot_be_written() {
    let home = tempfile::tempdir().unwrap();
    let folder = tempfile::tempdir_in(home.path()).unwrap();
    let console = managing(&folder).await;
    let ann = console.person("ann", "administrator").await;
    with_two_sets(&ann, &folder).await;
    let elsewhere = home.path().join("elsewhere");
    fs::rename(folder.path(), &elsewhere).unwrap();
    let path = "/policies/history/1/rollback";
    let refused = ann.form(path, "").await;
    refused.shows(409, &["The policy folder cannot be written, and nothing was changed"]);
    refused.shows(409, &["name=\"pin\" value=\"1\"", ">Pin set 1</button>", LOST]);
    refused.leaves_out("--pin");
    assert!(may_assign(&console).await);
    let pinned = ann.form(path, "pin=1").await;
    assert_eq!(pinned.status, 303, "{}", pinned.text);
    assert!(!may_assign(&console).await);
    fs::rename(&elsewhere, folder.path()).unwrap();
    let page = ann.page("/policies").await;
    page.shows(200, &["Pinned: the policy folder is ignored", "pinned it", "Pin set 2", LOST]);
    page.leaves_out("Roll back to set 2");
    ann.page("/policies/history/2/rollback").await.shows(200, &["Pin set 2?", GAINED]);
    assert_eq!(ann.form("/policies/unpin", "").await.status, 303);
    assert!(may_assign(&console).await);
}

#[tokio::test]
async fn a_set_without_a_role_that_a_member_has_is_no_way_back() {
    let home = tempfile::tempdir().unwrap();
    let folder = tempfile::tempdir_in(home.path()).unwrap();
    let console = managing(&folder).await;
    let ann = console.person("ann", "administrator").await;
    assert_eq!(ann.form(RELOAD, "").await.status, 303);
    let role = fs::read_to_string(folder.path().join("roles/operator.cedar")).unwrap();
    let trainee = role.replace("\"operator\"", "\"trainee\"");
    fs::write(folder.path().join("roles/trainee.cedar"), trainee).unwrap();
    assert_eq!(ann.form(RELOAD, "").await.status, 303);
    console.stage.member("tim", "trainee").await;
    for pin in ["", "pin=1"] {
        let path = "/policies/history/1/rollback";
        for page in [ann.page(&format!("{path}?{pin}")).await, ann.form(path, pin).await] {
            page.shows(
                422,
                &["You cannot go back to this set", "the role trainee is gone, and 1 member"],
            );
            page.leaves_out("<form method=\"post\" action=\"/policies");
        }
    }
    assert!(folder.path().join("roles/trainee.cedar").exists());
}

#[tokio::test]
async fn only_who_manages_the_policies_is_offered_the_way_back() {
    let folder = tempfile::tempdir().unwrap();
    let other = AccountSlug::parse("other").unwrap();
    let console = managing_with(&folder, |policies| policies.managed_by = Some(other)).await;
    let ann = console.person("ann", "administrator").await;
    let joe = console.person("joe", "operator").await;
    console.operator("POST /policies/reload", &NONE).await.is(200);
    operators_assign(&folder, true);
    console.operator("POST /policies/reload", &NONE).await.is(200);
    let page = ann.page("/policies").await;
    page.shows(200, &[GAINED, "Compare with live"]);
    page.leaves_out("Roll back");
    let path = "/policies/history/1/rollback";
    for refused in [ann.page(path).await, ann.form(path, "").await] {
        refused.shows(403, &["Only your system administrator"]);
    }
    for page in ["/policies", "/policies/compare?old=1&new=2", path] {
        joe.page(page).await.shows(403, &[]);
    }
    assert!(may_assign(&console).await);
}

#[tokio::test]
async fn the_history_is_shown_page_by_page() {
    let folder = tempfile::tempdir().unwrap();
    let console = managing(&folder).await;
    let ann = console.person("ann", "administrator").await;
    assert_eq!(ann.form(RELOAD, "").await.status, 303);
    for round in 0..11 {
        operators_assign(&folder, round % 2 == 0);
        assert_eq!(ann.form(RELOAD, "").await.status, 303);
    }
    let page = ann.page("/policies").await;
    page.shows(200, &["<strong>Set 12</strong>", "<strong>Set 3</strong>", "/policies?before=3\""]);
    page.leaves_out("<strong>Set 2</strong>");
    let older = ann.page("/policies?before=3").await;
    older.shows(200, &["<strong>Set 2</strong>", "<strong>Set 1</strong>", "The first policies."]);
    older.leaves_out("<strong>Set 3</strong>");
    // Set 2 has what is live, and is no way back.
    older.shows(200, &["Roll back to set 1"]);
    older.leaves_out("Roll back to set 2");
}

#[tokio::test]
async fn two_sets_are_compared_by_role_and_line_by_line() {
    let folder = tempfile::tempdir().unwrap();
    let console = managing(&folder).await;
    let ann = console.person("ann", "administrator").await;
    with_two_sets(&ann, &folder).await;
    fs::write(folder.path().join("rules/bad.cedar"), "forbid(<b>").unwrap();
    assert_eq!(ann.form(RELOAD, "").await.status, 422);

    let page = ann.page("/policies/compare?old=1&new=live").await;
    page.shows(200, &["Access: from Set 1 to Set 2", "Gains</span>", "No \u{2192} Yes"]);
    page.shows(200, &["Somebody gains access or may. Nobody loses access.", "not proved."]);
    page.shows(200, &["Assign chats", ">Operator</th>", "by policy operator"]);
    page.shows(200, &["<code>roles/operator.cedar</code>", "Changed</span>"]);
    let text = read(&page.text);
    assert!(text.contains("Added:") && text.contains("KWIC::Action::\"chats:assign\""), "{text}");
    page.leaves_out("roles/administrator.cedar");
    let back = ann.page("/policies/compare?old=live&new=1").await;
    back.shows(200, &["Loses</span>", "Yes \u{2192} No", "Nobody gains access."]);

    let refused = ann.page("/policies/compare?old=live&new=3").await;
    refused.shows(200, &["One of these sets was refused", "rules/bad.cedar", "Added</span>"]);
    refused.shows(200, &["forbid(&#60;b&#62;"]);
    let same = ann.page("/policies/compare?old=2&new=live").await;
    same.shows(200, &["Nobody gains access. Nobody loses access.", "All files are equal."]);
    let form = ann.page("/policies/compare").await;
    form.shows(200, &["Live policies</option>", "Set 1, ", "Set 3, ", "Choose a set"]);
    for unknown in ["old=live&new=99", "old=%3Cb%3E&new=1", "old=live&new=pending"] {
        let page = ann.page(&format!("/policies/compare?{unknown}")).await;
        page.shows(404, &["role=\"alert\""]);
        page.leaves_out("<b>");
    }
}

#[tokio::test]
async fn what_waits_is_compared_before_it_is_approved() {
    let folder = tempfile::tempdir().unwrap();
    let console = managing_with(&folder, |policies| policies.hold_widening = true).await;
    let ann = console.person("ann", "administrator").await;
    with_two_sets(&ann, &folder).await;
    assert!(!may_assign(&console).await);
    let page = ann.page("/policies").await;
    page.shows(200, &["Waits for approval</span>", "/policies/compare?old=live&#38;new=pending"]);
    page.leaves_out("Roll back to set 2");
    let compared = ann.page("/policies/compare?old=live&new=pending").await;
    compared.shows(200, &["Policies that wait for approval</option>", "Gains</span>"]);
}

#[tokio::test]
async fn where_the_shadow_policies_differ_is_shown_to_who_manages_them() {
    let folder = tempfile::tempdir().unwrap();
    let candidate = tempfile::tempdir().unwrap();
    copy_folder(&shipped_policies(), candidate.path());
    fs::remove_dir_all(candidate.path().join("tests")).unwrap();
    operators_assign(&candidate, true);
    let shadowed = candidate.path().to_owned();
    let console = managing_with(&folder, |policies| {
        policies.shadow = Some(shadowed);
        policies.shadow_sample = 1;
    })
    .await;
    let ann = console.person("ann", "administrator").await;
    let joe = console.stage.member("joe", "operator").await;
    let app = &console.stage.app;
    ann.page("/policies").await.shows(200, &["Shadow policies", "Loading</span>"]);
    shadow::load(app, candidate.path()).await.unwrap();
    let asking = tokio::spawn(shadow::run(app.clone()));
    let account = [("account".into(), Attribute::String("acme".into()))];
    let query = Query {
        subject: EntityRef { kind: "user", id: joe.id.as_str(), properties: &[] },
        action: "chats:assign",
        action_properties: &[],
        resource: EntityRef { kind: "chat", id: "secret-chat", properties: &account },
        context: &[],
    };
    assert!(!decide::decide(app, &app.policies.load(), &query, false).allowed);
    let end = Instant::now() + Duration::from_secs(60);
    while app.shadow.counts().differed == 0 {
        assert!(Instant::now() < end, "{:?}", app.shadow.counts());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    asking.abort();
    let page = ann.page("/policies").await;
    page.shows(200, &["Asked</span>", "every decision", "Assign chats", "Allow it</span>"]);
    page.leaves_out("secret-chat");
    let found = ann.get("/policies/shadow").await.is(200);
    assert_eq!((&found["folder"], &found["differed"]), (&NONE, &1.into()));
    assert_eq!(found["items"][0]["question"]["resource"], "secret-chat");
    let told = console.operator("GET /policies/shadow", &NONE).await.is(200);
    assert_eq!(told["folder"], candidate.path().to_str().unwrap());
    // Others see no question of another account.
    let operator = console.sign_in("acme", "joe").await;
    operator.get("/policies/shadow").await.problem(403, "not_allowed");

    fs::write(candidate.path().join("rules/bad.cedar"), "forbid(<b>").unwrap();
    shadow::load(app, candidate.path()).await.unwrap_err();
    let page = ann.page("/policies").await;
    page.shows(200, &["Cannot be loaded</span>", "rules/bad.cedar"]);
    page.leaves_out("<b>)");
    assert!(!decide::decide(app, &app.policies.load(), &query, false).allowed);
}
