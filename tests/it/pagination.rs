//! Every list of the console, the API and the command line, followed to its last page: each item is
//! there once, with filters, and also where the item that a page ended with is gone.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::support::api_fixture::{Answer, ApiFixture, Person};
use crate::support::sidecar::Sidecar;

/// More pages than any list here has.
const PAGES: usize = 50;

/// Invites this many people, who do not join.
async fn invited(console: &ApiFixture, names: impl IntoIterator<Item = String>, role: &str) {
    for who in names {
        console.stage.later(61_000);
        console.stage.invite(console.stage.operator(), &who, role).await.unwrap();
    }
    console.stage.mails().await;
}

fn names(prefix: &str, count: usize) -> impl Iterator<Item = String> {
    (0..count).map(move |number| format!("{prefix}{number:02}"))
}

/// Each text between two marks.
fn between<'t>(text: &'t str, before: &str, after: &str) -> Vec<&'t str> {
    let rest = text.split(before).skip(1);
    rest.map(|rest| rest.split(after).next().unwrap()).collect()
}

/// The pages of a list of the console, from the first address on.
async fn pages(person: &Person<'_>, path: &str) -> Vec<Answer> {
    let mut found = Vec::new();
    let mut path = path.to_owned();
    for _ in 0..PAGES {
        let page = person.get(&format!("/raw{path}")).await;
        assert_eq!(page.status, 200, "{path}: {}", page.text);
        let next = between(&page.text, "rel=\"next\" href=\"", "\"")
            .first()
            .map(|it| it.replace("&amp;", "&").replace("&#38;", "&"));
        found.push(page);
        match next {
            Some(next) => path = next,
            None => return found,
        }
    }
    panic!("{path} leads on and on");
}

/// The addresses that the pages show, each of them once.
fn addresses(pages: &[Answer]) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    for page in pages {
        let table = page.text.split("<tbody>").nth(1).unwrap_or_default();
        let table = table.split("</tbody>").next().unwrap_or_default();
        for who in between(table, "<span class=\"soft\">", "<") {
            assert!(seen.insert(who.to_owned()), "{who} is on two pages");
        }
    }
    seen
}

fn expected(names: impl IntoIterator<Item = String>) -> BTreeSet<String> {
    names.into_iter().map(|name| format!("{name}@example.org")).collect()
}

#[tokio::test]
async fn every_open_invitation_is_on_a_page_of_the_console() {
    let console = ApiFixture::new().await;
    invited(&console, names("open", 28), "operator").await;
    let admin = console.person("ada", "administrator").await;
    let found = pages(&admin, "/team?tab=invitations").await;
    assert_eq!((found.len(), addresses(&found)), (2, expected(names("open", 28))));
    let found = pages(&admin, "/team?tab=invitations&search=example&state=pending").await;
    assert_eq!((found.len(), addresses(&found).len()), (2, 28));
}

#[tokio::test]
async fn invitations_that_are_over_take_no_room_on_the_pages_of_the_open_ones() {
    let console = ApiFixture::new().await;
    invited(&console, names("open", 2), "operator").await;
    for who in names("joined", 38) {
        console.stage.member(&who, "operator").await;
    }
    let admin = console.person("ada", "administrator").await;
    let found = pages(&admin, "/team?tab=invitations").await;
    assert_eq!((found.len(), addresses(&found)), (1, expected(names("open", 2))));
    let found = pages(&admin, "/team?tab=invitations&state=accepted").await;
    assert_eq!((found.len(), addresses(&found).len()), (2, 39));
    let found = pages(&admin, "/team?tab=invitations&state=all").await;
    assert_eq!((found.len(), addresses(&found).len()), (2, 41));
}

#[tokio::test]
async fn the_team_page_and_the_audit_log_lead_to_their_ends() {
    let console = ApiFixture::new().await;
    for who in names("joined", 52) {
        console.stage.member(&who, "operator").await;
    }
    let admin = console.person("ada", "administrator").await;
    for query in ["", "&sort=-name", "&sort=signed_in", "&role=operator&status=active"] {
        let found = pages(&admin, &format!("/team?tab=members{query}")).await;
        assert_eq!(found.len(), 3, "{query}");
        assert!(addresses(&found).is_superset(&expected(names("joined", 52))), "{query}");
    }
    // Each was invited and accepted, and the first one has signed in.
    let found = pages(&admin, "/audit").await;
    let entries: usize = found.iter().map(|page| page.text.matches("<time").count()).sum();
    assert!(found.len() >= 3 && entries >= 2 * 53, "{} pages, {entries} entries", found.len());
}

/// The items of a list of the API, page by page; `gone` is done to the last item of each page.
async fn items(console: &ApiFixture, path: &str, gone: impl AsyncFn(&Value)) -> Vec<Value> {
    let mut found = Vec::new();
    let mut after = String::new();
    for _ in 0..PAGES {
        let page = console.operator(&format!("GET {path}{after}"), &Value::Null).await.is(200);
        let items = page["items"].as_array().unwrap();
        assert!(!items.is_empty(), "an empty page of {path}{after}");
        gone(items.last().unwrap()).await;
        found.extend(items.iter().cloned());
        match page["next"].as_str() {
            Some(next) => after = format!("&after={}", next.replace(' ', "%20")),
            None => return found,
        }
    }
    panic!("{path} leads on and on");
}

/// The field of each item, none of them twice.
fn once(items: &[Value], field: &str) -> BTreeSet<String> {
    let found: BTreeSet<String> = items.iter().map(|item| item[field].to_string()).collect();
    assert_eq!(found.len(), items.len(), "{items:?}");
    found
}

#[tokio::test]
async fn every_list_of_the_api_leads_to_its_end_also_behind_what_is_gone() {
    let console = ApiFixture::new().await;
    console.person("ada", "administrator").await;
    for who in names("joined", 7) {
        console.stage.member(&who, "operator").await;
    }
    invited(&console, names("open", 7), "operator").await;
    let none = async |_: &Value| {};
    for sort in ["email", "-email", "name", "-name", "role", "-role", "signed_in", "-joined"] {
        let path = format!("/members?sort={sort}&limit=3&role=operator");
        let found = items(&console, &path, none).await;
        assert_eq!(once(&found, "email").len(), 7, "{path}");
    }
    let found = items(&console, "/invites?limit=3&search=open&state=pending", none).await;
    assert_eq!(once(&found, "email").len(), 7);
    let found = items(&console, "/invites?limit=3&role=operator", none).await;
    assert_eq!(once(&found, "email").len(), 14);
    let found = items(&console, "/audit?limit=3", none).await;
    let sequences = once(&found, "sequence");
    let found = items(&console, "/audit?limit=3&event=invite_accepted", none).await;
    assert!(found.len() >= 8 && once(&found, "sequence").is_subset(&sequences));

    let removes = async |item: &Value| {
        let id = item["id"].as_str().unwrap();
        console.operator(&format!("DELETE /members/{id}"), &Value::Null).await.is(200);
    };
    let found = items(&console, "/members?limit=3&role=operator&sort=name", removes).await;
    assert_eq!(once(&found, "email").len(), 7);
    let revokes = async |item: &Value| {
        let id = item["id"].as_str().unwrap();
        console.operator(&format!("DELETE /invites/{id}"), &Value::Null).await;
    };
    let found = items(&console, "/invites?limit=3&state=pending", revokes).await;
    assert_eq!(once(&found, "email").len(), 7);
}

/// More than the command line asks for at once.
const MANY: usize = 1_040;
/// How many people one call invites.
const INVITED_AT_ONCE: usize = 100;

/// What one column of a list of the command line says: as a table, and as JSON; both the same.
fn column(sidecar: &Sidecar, arguments: &[&str], field: &str) -> Vec<String> {
    let table = sidecar.ok(arguments);
    let json = sidecar.ok(&[arguments, &["--json"]].concat());
    let rows: Vec<Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(table.lines().count(), rows.len(), "{arguments:?}");
    rows.iter().map(|row| row[field].to_string()).collect()
}

/// How many a list holds, none of them twice.
fn count(sidecar: &Sidecar, arguments: &[&str], field: &str) -> usize {
    let found = column(sidecar, arguments, field);
    let different: BTreeSet<&String> = found.iter().collect();
    assert_eq!(different.len(), found.len(), "{arguments:?} names one twice");
    found.len()
}

#[test]
fn every_list_of_the_command_line_is_followed_to_its_end() {
    let sidecar = Sidecar::start();
    sidecar.account("acme");
    let ids: Vec<String> = names("joined", MANY).collect();
    let role = |at: usize| if at == 0 { "administrator" } else { "operator" };
    let members: Vec<(&str, &str)> =
        ids.iter().enumerate().map(|(at, id)| (id.as_str(), role(at))).collect();
    sidecar.members("acme", &members);
    let open: Vec<String> = names("open", MANY).collect();
    let file = sidecar.path("people.csv");
    for some in open.chunks(INVITED_AT_ONCE) {
        let mut text = String::from("first_name,last_name,email,role\n");
        for who in some {
            text.push_str(&format!("First,Last,{who}@example.org,chat_manager\n"));
        }
        fs::write(&file, text).unwrap();
        sidecar.ok(&["invite", "send", "--file", file.to_str().unwrap()]);
    }
    sidecar.ok(&["invite", "revoke", "open03@example.org", "--yes"]);
    sidecar.ok(&["member", "remove", "joined03@example.org", "--yes"]);

    let list = |arguments: &[&str], field: &str| count(&sidecar, arguments, field);
    assert_eq!(list(&["member", "list"], "email"), MANY - 1);
    assert_eq!(list(&["member", "list", "--role", "operator", "--sort=-name"], "email"), MANY - 2);
    assert_eq!(list(&["member", "list", "--search", "joined"], "email"), MANY - 1);
    assert_eq!(list(&["invite", "list"], "email"), MANY);
    assert_eq!(list(&["invite", "list", "--state", "pending"], "email"), MANY - 1);
    assert_eq!(list(&["invite", "list", "--role", "chat_manager"], "email"), MANY);
    // Each invite has an entry, and so have the import and the two changes.
    assert!(list(&["audit", "list"], "sequence") >= MANY + 3);
    assert_eq!(list(&["audit", "list", "--event", "invite_created"], "sequence"), MANY);

    for number in 0..120 {
        sidecar.account(&format!("other{number}"));
    }
    assert_eq!(list(&["account", "list"], "slug"), 121);
}
