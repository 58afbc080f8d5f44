//! The console's pages that show rather than change: roles, audit, settings and policies, as a
//! browser without a script gets them.

use std::collections::BTreeSet;
use std::fs;

use kwic_team::domain::{AccountSlug, PolicyCause};
use kwic_team::services::permits::StorePermit;
use kwic_team::services::{accounts, reload};
use serde_json::{Value, json};

use crate::support::api_fixture::{Answer, ApiFixture, Person};
use crate::support::sidecar::{copy_folder, shipped_policies, with_auditor};

const NONE: Value = Value::Null;

impl Person<'_> {
    pub async fn page(&self, path: &str) -> Answer {
        self.get(&format!("/raw{path}")).await
    }

    /// Sends a form, as a page does.
    pub async fn form(&self, path: &str, body: &str) -> Answer {
        let headers = format!(
            "cookie: {}\r\nsec-fetch-site: same-origin\r\ncontent-type: application/x-www-form-urlencoded\r\n",
            self.cookie
        );
        self.console.raw(&format!("POST /raw{path}"), &headers, body).await
    }
}

impl Answer {
    #[track_caller]
    pub fn shows(&self, status: u16, texts: &[&str]) {
        assert_eq!(self.status, status, "{}", self.text);
        for text in texts {
            assert!(self.text.contains(text), "no `{text}` in {}", self.text);
        }
    }

    #[track_caller]
    pub fn leaves_out(&self, text: &str) {
        assert!(!self.text.contains(text), "`{text}` in {}", self.text);
    }
}

/// The texts between two markers.
fn between<'t>(text: &'t str, from: &'t str, to: &'t str) -> Vec<&'t str> {
    text.split(from).skip(1).map(|rest| rest.split(to).next().unwrap()).collect()
}

/// A page's text as people read it: without elements, with the escapes resolved.
pub fn read(html: &str) -> String {
    let mut text = String::new();
    for (at, part) in html.split('<').enumerate() {
        text.push_str(if at == 0 { part } else { part.split_once('>').unwrap().1 });
    }
    let text = text.replace("&#60;", "<").replace("&#62;", ">").replace("&#34;", "\"");
    text.replace("&#39;", "'").replace("&#38;", "&")
}

#[tokio::test]
async fn a_refused_page_says_whom_to_ask() {
    let console = ApiFixture::new().await;
    console.stage.member("ann", "administrator").await;
    let joe = console.person("joe", "operator").await;
    for path in ["/audit", "/account", "/policies", "/policies/try?member=x&resource=a:b"] {
        joe.page(path).await.shows(403, &["Your role does not include this", "Ask: Ann Lee."]);
    }
    for (path, body) in [
        ("/account", "version=1&name=Mine&hours=72"),
        ("/account/mail/test", ""),
        ("/account/mail/resume", ""),
    ] {
        joe.form(path, body).await.shows(403, &["Ask: Ann Lee."]);
    }
    joe.form("/policies/reload", "").await.leaves_out("Ask: ");
    // The roles are for everybody.
    for path in ["/roles", "/roles/compare", "/roles/suggest?do=chats:view"] {
        let page = joe.page(path).await;
        page.shows(200, &["<h1>"]);
        page.leaves_out("/team/invite?role=");
    }
}

#[tokio::test]
async fn the_comparison_is_the_one_of_the_api() {
    let console = ApiFixture::new().await;
    let ann = console.person("ann", "administrator").await;
    let api = ann.get("/roles/compare").await.is(200);
    let page = ann.page("/roles/compare").await;
    page.shows(200, &["<th scope=\"col\">Administrator</th>"]);
    let head = between(&page.text, "<thead>", "</thead>")[0];
    assert_eq!(
        head.matches("<th scope=\"col\">").count(),
        api["roles"].as_array().unwrap().len() + 1
    );
    let mut rows: BTreeSet<String> = BTreeSet::new();
    for row in between(&page.text, "<tr data-action=\"", "</tr>") {
        let (action, rest) = row.split_once("\" data-on=\"").unwrap();
        let on = rest.split('"').next().unwrap();
        let words = between(row, "<th scope=\"row\">", "</th>")[0];
        let words = words.split("<span").next().unwrap();
        assert!(!words.contains([':', '_']), "{words}");
        let cells: Vec<&str> = between(row, "aria-hidden=\"true\">", "</span></td>")
            .into_iter()
            .map(|cell| match cell.split_once("</span>").unwrap() {
                ("\u{2713}", "Yes") => "allowed",
                ("\u{2013}", "No") => "denied",
                ("\u{25d0}", "Depends") => "depends",
                other => panic!("{other:?}"),
            })
            .collect();
        assert!(rows.insert(format!("{action} {on} {cells:?}")), "{action} on {on} twice");
    }
    let wanted = api["rows"].as_array().unwrap().iter().map(|row| {
        let cells: Vec<&str> =
            row["cells"].as_array().unwrap().iter().map(|cell| cell.as_str().unwrap()).collect();
        format!(
            "{} {} {cells:?}",
            row["action"].as_str().unwrap(),
            row["resource"].as_str().unwrap()
        )
    });
    assert_eq!(rows, wanted.collect::<BTreeSet<_>>());

    page.shows(
        200,
        &["Invite members <span class=\"soft\">(invitation)</span>", "Respond to chats"],
    );
    let found = ann.page("/roles/compare?search=send+broadcasts").await;
    found.shows(200, &["broadcasts:send", " of 69 actions"]);
    found.leaves_out("chats:view");
    let none = ann.page("/roles/compare?search=%3Cb%3Espace").await;
    none.shows(200, &["No action matches"]);
    none.leaves_out("<b>space");
}

#[tokio::test]
async fn the_picker_suggests_what_the_api_suggests() {
    let console = ApiFixture::new().await;
    let ann = console.person("ann", "administrator").await;
    for actions in [vec!["chats:view"], vec!["chats:view", "chats:assign"], vec!["team:invite"]] {
        let api = ann.call("POST /roles/suggest", &json!({"actions": actions})).await.is(200);
        let role = api["role"]["id"].as_str().unwrap();
        let page = ann.page(&format!("/roles/suggest?do={}", actions.join("&do="))).await;
        page.shows(200, &[&format!("Suggested: {}", api["role"]["title"].as_str().unwrap())]);
        page.shows(200, &[&format!("/team/invite?role={role}\"")]);
        for action in &actions {
            page.shows(200, &[&format!("value=\"{action}\" checked")]);
        }
    }
    let alone = ann.page("/roles/suggest?do=templates:edit&do=%3Ci%3Efly").await;
    alone.shows(200, &["No longer available, and left out", "Suggested: "]);
    alone.leaves_out("<i>fly");
}

#[tokio::test]
async fn the_audit_page_says_who_did_what_to_whom() {
    let console = ApiFixture::new().await;
    let ann = console.person("ann", "administrator").await;
    let joe = console.stage.member("joe", "operator").await;
    let names = json!({"first_name": "<b>Joe</b>", "last_name": "\u{5d0}\u{5d1}"});
    let path = format!("PATCH /members/{}", joe.id);
    ann.send(&path, "if-match: *\r\n", &names).await.is(200);
    let removed = console.stage.member("sue", "operator").await;
    ann.send(&format!("DELETE /members/{}", removed.id), "if-match: *\r\n", &NONE).await.is(200);

    let page = ann.page("/audit").await;
    page.leaves_out("<b>Joe");
    // Those of the whole store are in no account's log.
    page.leaves_out("Policies loaded");
    let told: Vec<String> = between(&page.text, "<div><p>", "</p>").into_iter().map(read).collect();
    // The newest stands first; a name that is gone is still in the entry of the removal.
    assert!(told[0].ends_with("removed Ann Lee."), "{told:?}");
    let changed = "Ann Lee changed the details of <b>Joe</b> \u{5d0}\u{5d1}.";
    assert!(told.iter().any(|it| it == changed), "{told:?}");
    assert!(read(&page.text).contains("First name: from Ann to <b>Joe</b>"), "{}", page.text);

    let only = ann.page("/audit?member=joe@example.org&event=user_updated").await;
    assert_eq!(between(&only.text, "<div><p>", "</p>").len(), 1, "{}", only.text);
    ann.page("/audit?member=nobody@example.org").await.shows(200, &["Nobody was found"]);
    // Somebody of whom there is no such entry is no stranger.
    let id = ann.get("/me").await.is(200)["id"].as_str().unwrap().to_owned();
    let none = ann.page(&format!("/audit?member={id}&event=user_deleted")).await;
    none.leaves_out("Nobody was found");
    none.shows(200, &["No entries"]);
    ann.page("/audit?event=nope").await.shows(400, &["There is no such event"]);
    ann.page("/audit?verify=1").await.shows(200, &["Log verified"]);
    // Every entry is on one page of the walk, once, newest first.
    let mut seen = Vec::new();
    let mut next = Some("/audit".to_owned());
    for _ in 0..10 {
        let Some(path) = next.take() else { break };
        let page = ann.page(&path).await;
        seen.extend(between(&page.text, "<time datetime=\"", "\"").into_iter().map(str::to_owned));
        let more = page.text.split("<div class=\"row\"><a class=\"button\" href=\"").nth(1);
        next = more.map(|rest| rest.split('"').next().unwrap().replace("&#38;", "&"));
    }
    let all = ann.get("/audit?limit=1000").await.is(200);
    assert_eq!(seen.len(), all["items"].as_array().unwrap().len());
    assert!(seen.is_sorted_by(|a, b| a >= b), "{seen:?}");
}

#[tokio::test]
async fn erased_entries_say_so() {
    let console = ApiFixture::new().await;
    let ann = console.person("ann", "administrator").await;
    let joe = console.stage.member("joe", "operator").await;
    ann.send(&format!("DELETE /members/{}", joe.id), "if-match: *\r\n", &NONE).await.is(200);
    ann.page("/audit").await.leaves_out("Details erased");
    console.operator(&format!("POST /members/{}/erase", joe.id), &json!({})).await.is(200);
    let page = ann.page(&format!("/audit?member={}", joe.id)).await;
    page.shows(200, &["Details erased", "erased the personal data of"]);
    page.leaves_out("joe@example.org");
}

#[tokio::test]
async fn a_stale_form_of_the_settings_keeps_what_was_typed() {
    let console = ApiFixture::new().await;
    let ann = console.person("ann", "administrator").await;
    console.stage.member("bob", "administrator").await;
    let bob = console.sign_in("acme", "bob").await;
    let page = ann.page("/account").await;
    page.shows(
        200,
        &[
            "name=\"version\" value=\"1\"",
            "value=\"Acme\"",
            "2 active members don&#39;t have it yet",
        ],
    );
    let taken = bob.form("/account", "version=1&name=Acme+%3Cb%3E&hours=48").await;
    assert_eq!((taken.status, taken.header("location")), (303, Some("/account")), "{}", taken.text);

    let late = ann.form("/account", "version=1&name=Zenith&hours=96").await;
    late.shows(
        412,
        &[
            "value=\"Zenith\"",
            "value=\"96\"",
            "changed the settings on",
            "Ann Lee",
            "<dd>48</dd>",
            "name=\"version\" value=\"2\"",
        ],
    );
    late.leaves_out("<b>");
    // From here the form is based on the current values.
    assert_eq!(ann.form("/account", "version=2&name=Zenith&hours=96").await.status, 303);
    let now = ann.get("/account").await.is(200);
    assert_eq!((&now["name"], &now["invite_lifetime_hours"]), (&json!("Zenith"), &json!(96)));

    let wrong = ann.form("/account", "version=3&name=&hours=never").await;
    wrong.shows(400, &["id=\"name-wrong\"", "id=\"hours-wrong\"", "value=\"never\""]);
    ann.form("/account", "name=Blind&hours=96").await.shows(412, &["value=\"Blind\""]);
    let enforce = ann.form("/account", "version=3&name=Zenith&hours=96&two_step=yes").await;
    enforce.shows(409, &["Turn on your own two-step verification first, under My security."]);
}

#[tokio::test]
async fn mail_is_tested_step_by_step() {
    let console = ApiFixture::new().await;
    let ann = console.person("ann", "administrator").await;
    ann.page("/account")
        .await
        .shows(200, &["Send a test mail", "Delivered", "Account (to sign in)</dt><dd>acme<"]);
    ann.form("/account/mail/test", "")
        .await
        .shows(200, &["The test mail to ann@example.org", "Passed"]);
    assert_eq!(ann.form("/account/mail/resume", "").await.status, 303);
}

#[tokio::test]
async fn a_tried_decision_is_the_one_of_the_decision_listener() {
    let console = ApiFixture::new().await;
    let ann = console.person("ann", "administrator").await;
    let joe = console.stage.member("joe", "operator").await;
    let mut answers = BTreeSet::new();
    for (who, id) in [("joe@example.org", joe.id.as_str()), ("nobody", "nobody")] {
        for (action, kind, thing) in [
            ("chats:view", "chat", "c1"),
            ("chats:assign", "chat", "c1"),
            ("broadcasts:send", "KWIC::Broadcast", "b:1"),
            ("templates:view", "spaceship", "x"),
            ("team:view", "user", joe.id.as_str()),
        ] {
            let question = json!({
                "subject": {"type": "user", "id": id},
                "action": {"name": action},
                "resource": {"type": kind, "id": thing, "properties": {"account": "acme"}},
                "options": {"explain": true},
            });
            let path = "POST /raw/access/v1/evaluation";
            let answer = console.operator(path, &question).await.is(200);
            let page =
                format!("/policies/try?member={who}&action={action}&resource={kind}:{thing}");
            let page = ann.page(&page).await;
            let allowed = answer["decision"].as_bool().unwrap();
            page.shows(200, &[if allowed { "Allowed</span>" } else { "Denied</span>" }]);
            // The page says names as words, and an action as what people do.
            let message = answer["context"]["message"].as_str().unwrap();
            let message = match message.split_once(" may not `") {
                Some((_, rest)) => rest.split_once("` ").unwrap().1,
                None => match message.strip_prefix('`') {
                    Some(rest) => rest.split_once("` ").unwrap().1,
                    None => message,
                },
            };
            // Which roles may is said by their titles, beside the sentence.
            let message = message.split("; these roles may").next().unwrap();
            let message = if message.starts_with("there is no") {
                "nobody was found".to_owned()
            } else if message.starts_with("the schema has no type") {
                "there is no type of resource called spaceship. there are: account, ".to_owned()
            } else {
                message.replace('`', "").replace('_', " ")
            };
            let text = read(&page.text).to_lowercase().replace('_', " ");
            assert!(text.contains(&message.to_lowercase()), "no `{message}` in {text}");
            for policy in answer["context"]["policies"].as_array().unwrap() {
                let policy = policy.as_str().unwrap();
                assert!(read(&page.text).contains(&format!("@id(\"{policy}\")")), "{}", page.text);
            }
            answers.insert(allowed);
        }
    }
    assert_eq!(answers.len(), 2, "both answers must have come");
    let other = "/policies/try?member=joe@example.org&action=broadcasts:send&resource=template:t1";
    let told = "“Send broadcasts” does not apply to a template, only to an account or a broadcast.";
    ann.page(other).await.shows(200, &[told, "Types: account, "]);
    let lacks = "/policies/try?member=joe@example.org&action=chats:assign&resource=chat:c1";
    ann.page(lacks).await.shows(200, &["one of these roles: ", "Chat Manager"]);
    ann.page("/policies/try?member=joe&resource=%3Cb%3Ec1")
        .await
        .shows(400, &["value=\"&#60;b&#62;c1\""]);
}

#[tokio::test]
async fn who_can_do_an_action_and_what_a_member_can_do_is_shown_with_the_policies() {
    let console = ApiFixture::new().await;
    let ann = console.person("ann", "administrator").await;
    let joe = console.person("joe", "operator").await;
    let id = joe.get("/me").await.is(200)["id"].as_str().unwrap().to_owned();
    ann.page("/policies").await.shows(200, &["href=\"/policies/who-may\""]);
    let form = ann.page("/policies/who-may").await;
    form.shows(200, &["Who can do an action</bdi></h1>", "<option value=\"chats:view\">"]);
    form.leaves_out("id=\"answer\"");

    let asked = "/policies/who-may?action=chats:respond";
    let page = ann.page(&format!("{asked}&resource=chat:c1")).await;
    let member = format!("href=\"/team/members/{id}\"");
    page.shows(200, &[&member, "Allowed by policy operator.", "Allowed by policy administrator."]);
    page.shows(200, &["<td data-label=\"Role\">Operator</td>", "value=\"chat:c1\""]);
    let tried = format!(
        "href=\"/policies/try?member={id}&#38;action=chats%3Arespond&#38;resource=chat%3Ac1\""
    );
    page.shows(200, &[&tried]);
    ann.page(asked).await.shows(200, &[&member, "resource=account%3Aacme\""]);
    let only = ann.page("/policies/who-may?action=team:edit").await;
    only.shows(200, &["Allowed by policy administrator."]);
    only.leaves_out(&member);

    let what = format!("/team/members/{id}/what-may");
    ann.page(&format!("/team/members/{id}"))
        .await
        .shows(200, &[&format!("href=\"{what}\">See why")]);
    let page = ann.page(&what).await;
    page.shows(
        200,
        &["What Ann Lee can do</bdi></h1>", "View chats", "Allowed by policy operator."],
    );
    page.leaves_out("Send broadcasts");
    let none = ann.page(&format!("{what}?resource=template:t1")).await;
    none.shows(200, &["No action is allowed on this"]);

    for (path, told) in [
        (format!("{asked}&resource=nonsense"), "Enter a type, a colon and an ID"),
        (format!("{asked}&resource=%3Cb%3E:1"), "has no type &#60;b&#62;"),
        (
            format!("{asked}&resource=template:t"),
            "\u{201c}Respond to chats\u{201d} does not apply to a template, only to an account or a chat",
        ),
        (format!("{what}?resource=user:eve"), "There is no member eve on this account"),
        (format!("{asked}&after=x"), "This page of the list has expired."),
    ] {
        ann.page(&path).await.shows(400, &[told, "aria-invalid=\"true\""]);
    }
    joe.page(asked).await.shows(403, &[]);
    joe.page(&what).await.shows(403, &[]);
    ann.page("/team/members/nobody/what-may").await.shows(404, &[]);
}

#[tokio::test]
async fn nobody_of_another_account_is_known_to_a_tried_decision() {
    let console = ApiFixture::new().await;
    let ann = console.person("ann", "administrator").await;
    let other = AccountSlug::parse("other").unwrap();
    let permit = StorePermit::sidecar(7);
    accounts::create(&console.stage.app, permit, other, "Other", None).await.unwrap();
    let eve = json!({"id": "eve-1", "email": "eve@example.org", "first_name": "Eve",
        "last_name": "Far", "role": "administrator"});
    console.operator("POST /members?account=other", &eve).await.is(201);
    for who in ["eve-1", "eve@example.org"] {
        let page = format!("/policies/try?member={who}&action=chats:view&resource=chat:c1");
        let page = ann.page(&page).await;
        page.shows(
            200,
            &["Denied</span>", "Nobody was found with this name, email address or ID."],
        );
        page.leaves_out("Eve");
    }
    // Nor is that there is somebody.
    let ask = |id: &str| {
        format!("/policies/try?member=ann@example.org&action=team:edit&resource=user:{id}")
    };
    let (there, nowhere) = (ann.page(&ask("eve-1")).await, ann.page(&ask("eve-2")).await);
    assert_eq!(there.text.replace("eve-1", "eve-2"), nowhere.text);
}

#[tokio::test]
async fn the_policies_page_shows_what_is_live_what_was_refused_and_what_changed() {
    let folder = tempfile::tempdir().unwrap();
    let console = managing(&folder).await;
    let ann = console.person("ann", "administrator").await;
    assert_eq!(ann.form("/policies/reload", "").await.status, 303);
    let digest = console.stage.app.policies.load().digest_hex().to_owned();
    ann.page("/policies").await.shows(200, &[&digest, "Load the folder again", "Live</span>"]);

    let file = folder.path().join("roles/operator.cedar");
    let text = fs::read_to_string(&file).unwrap();
    let more = text.replace(
        "Action::\"chats:respond\"",
        "Action::\"chats:respond\", KWIC::Action::\"chats:assign\"",
    );
    let more = more.replace("@id(\"operator\")", "@id(\"operator\")\n@note(\"<script>\")");
    fs::write(&file, more).unwrap();
    // Looked at before it is loaded, which it is not by that.
    let gained = "Operator gains \u{201c}Assign chats\u{201d} on account, chat";
    let looked = ann.page("/policies/check").await;
    looked.shows(200, &[gained, "None of this is live yet", "action=\"/policies/reload\""]);
    looked.leaves_out(&digest);
    let page = ann.page("/policies").await;
    page.shows(200, &[&digest]);
    page.leaves_out(gained);
    let loaded = ann.form("/policies/reload", "").await;
    assert_eq!((loaded.status, loaded.header("location")), (303, Some("/policies")));
    let page = ann.page("/policies").await;
    page.shows(200, &[gained, "Ann Lee", "roles/operator.cedar"]);
    let looked = ann.page("/policies/check").await;
    looked.shows(200, &["None: the folder matches the live policies"]);
    looked.leaves_out("/policies/reload\"");
    page.leaves_out(&digest);
    let short = &digest[..12];
    assert_eq!(page.text.matches(short).count(), 1, "only in the history: {}", page.text);

    let wrong = text.replacen("permit", "permmit<i>", 1);
    let line = wrong.lines().position(|line| line.contains("permmit")).unwrap() + 1;
    fs::write(&file, wrong).unwrap();
    let place = format!("roles/operator.cedar:{line}: ");
    let looked = ann.page("/policies/check").await;
    looked.shows(200, &["The folder would be refused", &place, "^", "<pre "]);
    looked.shows(200, &["The live policies stay as they are. Fix this, then check again."]);
    looked.leaves_out("permmit<i>");
    ann.page("/policies").await.leaves_out(&place);
    let refused = ann.form("/policies/reload", "").await;
    refused.shows(422, &["The policy folder was refused", &place, "^", "<pre "]);
    refused.leaves_out("permmit<i>");
    ann.page("/policies").await.shows(200, &[&place]);
    // The previous policies stay active, and the text of the fault is shown as text.
    console.stage.member("joe", "operator").await;
    let tried = "/policies/try?member=joe@example.org&action=chats:assign&resource=chat:c1";
    let tried = ann.page(tried).await;
    tried.shows(200, &["Allowed</span>", "&#60;script&#62;"]);
    tried.leaves_out("<script>");
    fs::write(&file, text).unwrap();
    assert_eq!(ann.form("/policies/reload", "").await.status, 303);
    let mended = ann.page("/policies").await;
    mended.shows(200, &[&digest, "Operator loses \u{201c}Assign chats\u{201d}"]);
    mended.leaves_out("The policy folder was refused");
}

#[tokio::test]
async fn a_policy_for_one_user_is_told_as_what_somebody_may_lose() {
    let folder = tempfile::tempdir().unwrap();
    let console = managing(&folder).await;
    // Bob may become an administrator, whom a guard allows everything.
    fs::remove_file(folder.path().join("guards/administrators_do_everything.cedar")).unwrap();
    let ann = console.person("ann", "administrator").await;
    assert_eq!(ann.form("/policies/reload", "").await.status, 303);
    let rule = "@id(\"bob\") forbid (principal == KWIC::User::\"bob\", action, resource);\n";
    fs::write(folder.path().join("rules/bob.cedar"), rule).unwrap();
    let line = "Somebody may lose access: policy bob is new, and it concerns only";
    ann.page("/policies/check").await.shows(200, &[line, "Nobody gains access"]);
    assert_eq!(ann.form("/policies/reload", "").await.status, 303);
    let page = ann.page("/policies").await;
    page.shows(200, &[line]);
    page.leaves_out("Administrator loses");
    let compared = ann.page("/roles/compare").await;
    compared.shows(200, &["Depends</span>", "depends on policy bob"]);
    // What depends is not told as something that the member cannot do.
    let joe = console.stage.member("joe", "operator").await;
    let page = ann.page(&format!("/team/members/{}", joe.id)).await;
    page.shows(200, &["Depends on a policy</h3>"]);
    page.leaves_out("allow this member no action");
    fs::remove_file(folder.path().join("rules/bob.cedar")).unwrap();
    let line = "Somebody may gain access: policy bob was removed, and it concerns only";
    ann.page("/policies/check").await.shows(200, &[line, "Nobody loses access"]);
}

#[tokio::test]
async fn only_the_managing_account_loads_policies() {
    let console = ApiFixture::new().await;
    let ann = console.person("ann", "administrator").await;
    let page = ann.page("/policies").await;
    page.shows(200, &["Your system administrator changes these policies."]);
    page.leaves_out("/policies/reload\"");
    page.leaves_out("/policies/check");
    for refused in [ann.form("/policies/reload", "").await, ann.page("/policies/check").await] {
        refused.shows(403, &["Only your system administrator"]);
        // No role includes it, and no administrator of the account can help.
        refused.leaves_out("Your role does not include this");
        refused.leaves_out("Ask: ");
    }
}

#[tokio::test]
async fn a_request_from_elsewhere_is_told_as_that_and_not_as_a_role() {
    let console = ApiFixture::new().await;
    let ann = console.person("ann", "administrator").await;
    let cookie = format!("cookie: {}\r\n", ann.cookie);
    for own in ["", cookie.as_str()] {
        let foreign = format!("host: foo.example\r\n{own}");
        let host = console.raw("GET /raw/team", &foreign, "").await;
        host.shows(403, &["<h1 id=\"sheet-title\">Wrong address</h1>"]);
        let foreign = format!("origin: https://evil.example\r\n{own}");
        let sent = console.raw("POST /raw/sign-in", &foreign, "").await;
        sent.shows(403, &["<h1 id=\"sheet-title\">Not sent from KWIC Team</h1>"]);
        for page in [host, sent] {
            page.leaves_out("Your role does not include this");
            page.leaves_out("Ask: ");
        }
    }
}

#[tokio::test]
async fn no_form_is_shown_to_a_member_without_the_right() {
    let folder = with_auditor();
    let dir = folder.path().to_owned();
    let console = ApiFixture::with(|config| {
        config.policies.dir = Some(dir);
        config.policies.managed_by = Some(AccountSlug::parse("acme").unwrap());
    })
    .await;
    let ann = console.person("ann", "administrator").await;
    assert_eq!(ann.form("/policies/reload", "").await.status, 303);
    let joe = console.stage.member("joe", "operator").await;
    let eve = console.person("eve", "auditor").await;
    let mut paths = vec!["/tokens/new".to_owned(), "/team/invite".to_owned()];
    paths.push("/team/invite-several".to_owned());
    for what in ["edit", "role", "reset-password", "end-sessions", "suspend", "remove"] {
        paths.push(format!("/team/members/{}/{what}", joe.id));
    }
    for what in ["role", "suspend", "remove"] {
        paths.push(format!("/team/bulk?do={what}&id={}", joe.id));
    }
    console.stage.later(61_000);
    let sent = console.stage.invite(console.stage.operator(), "cy", "operator").await.unwrap();
    for what in ["edit", "resend", "link", "revoke"] {
        paths.push(format!("/team/invitations/{}/{what}", sent.value.view.invite.id));
    }
    for path in paths {
        let page = eve.page(&path).await;
        page.shows(403, &["Your role does not include this", "Ask: Ann Lee."]);
        page.leaves_out("<form method=\"post\" action=\"/team");
        page.leaves_out("<form method=\"post\" action=\"/tokens");
        assert_ne!(ann.page(&path).await.status, 403, "{path}");
    }
    let operator = console.sign_in("acme", "joe").await;
    operator.page("/tokens/new").await.shows(403, &["You cannot create API tokens."]);
}

/// A console whose account manages the policies of a folder, without their tests, and has loaded
/// them.
pub async fn managing(folder: &tempfile::TempDir) -> ApiFixture {
    managing_with(folder, |_| {}).await
}

/// The same with further settings.
pub async fn managing_with(
    folder: &tempfile::TempDir,
    set: impl FnOnce(&mut kwic_team::config::Policies),
) -> ApiFixture {
    copy_folder(&shipped_policies(), folder.path());
    fs::remove_dir_all(folder.path().join("tests")).unwrap();
    let dir = folder.path().to_owned();
    ApiFixture::with(|config| {
        config.policies.dir = Some(dir);
        config.policies.managed_by = Some(AccountSlug::parse("acme").unwrap());
        set(&mut config.policies);
    })
    .await
}

#[tokio::test]
async fn an_invitation_to_a_role_that_was_removed_says_so_and_leads_to_another_role() {
    let folder = tempfile::tempdir().unwrap();
    let console = managing(&folder).await;
    let ann = console.person("ann", "administrator").await;
    let bea = console.person("bea", "administrator").await;
    assert_eq!(ann.form("/policies/reload", "").await.status, 303);
    console.stage.later(61_000);
    let operator = console.stage.operator();
    let sent = console.stage.invite(operator, "cy", "automation_manager").await.unwrap().value;
    let of_cy = format!("/team/invitations/{}", sent.view.invite.id);
    let id = bea.get("/me").await.is(200)["id"].clone();
    let token = json!({"name": "Nightly", "member": id, "role": "automation_manager",
        "expires_days": 1});
    let made = console.operator("POST /tokens?account=acme", &token).await.is(201);
    assert_eq!(made.get("role_removed"), None);
    let list = "/team?tab=invitations";
    for page in [list, "/tokens"] {
        ann.page(page).await.leaves_out("Role removed");
    }
    fs::remove_file(folder.path().join("roles/automation_manager.cedar")).unwrap();
    assert_eq!(ann.form("/policies/reload", "").await.status, 303);

    for page in [ann.page(list).await, ann.page("/tokens").await] {
        page.shows(200, &["Role removed</span>", "<bdi>Automation manager</bdi>"]);
        page.leaves_out("automation_manager");
    }
    ann.page("/tokens").await.leaves_out("Only its creator");
    for path in ["/invites", "/tokens"] {
        let listed = ann.get(path).await.is(200);
        let of = |item: &Value| (item["role"].clone(), item.get("role_removed").cloned());
        let marked: Vec<_> = listed["items"].as_array().unwrap().iter().map(of).collect();
        let removed = (json!("automation_manager"), Some(json!(true)));
        assert_eq!(marked.iter().filter(|it| **it == removed).count(), 1, "{listed}");
        assert!(marked.iter().all(|it| *it == removed || it.1.is_none()), "{listed}");
    }
    for verb in ["resend", "link"] {
        let path = format!("{of_cy}/{verb}");
        for page in [ann.page(&path).await, ann.form(&path, "").await] {
            page.shows(409, &["is for a role that was removed", &format!("{of_cy}/edit?back=")]);
            page.leaves_out("automation_manager");
        }
    }
    let edit = format!("{of_cy}/edit");
    ann.page(&edit).await.shows(200, &["The role of this invitation was removed: choose"]);
    let names = "first_name=Cy&last_name=Lee&email=cy%40example.org";
    ann.form(&edit, names).await.shows(400, &["Choose a role.", "value=\"Cy\""]);
    console.stage.later(61_000);
    assert_eq!(ann.form(&edit, &format!("{names}&role=operator")).await.status, 303);
    ann.page(list).await.leaves_out("Role removed");
    assert_eq!(ann.form(&format!("{of_cy}/link"), "").await.status, 200);
}

#[tokio::test]
async fn a_type_is_called_by_its_title_in_the_schema_on_every_page() {
    let console = ApiFixture::new().await;
    let ann = console.person("ann", "administrator").await;
    let own = format!("/team/members/{}", ann.get("/me").await.is(200)["id"].as_str().unwrap());
    for (path, words) in [
        ("/roles", "BotFlows"),
        ("/roles/compare", "(BotFlow)"),
        ("/roles/suggest", "View BotFlows"),
        ("/policies/try?member=joe&action=botflows:view&resource=bot_flow:b1", "View BotFlows"),
        (own.as_str(), "View BotFlows"),
    ] {
        let page = ann.page(path).await;
        page.shows(200, &[words]);
        for other in ["Botflow", "View botflow", "bot flow"] {
            page.leaves_out(other);
        }
    }
}

#[tokio::test]
async fn what_the_policies_were_loaded_for_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let console = managing(&folder).await;
    let ann = console.person("ann", "administrator").await;
    let file = folder.path().join("roles/operator.cedar");
    let text = fs::read_to_string(&file).unwrap();
    for (number, (cause, words)) in [
        (PolicyCause::Watch, "Automatic reload: the folder changed"),
        (PolicyCause::Signal, "Reload by your system administrator"),
        (PolicyCause::Start, "Start of KWIC Team"),
        (PolicyCause::Retry, "Automatic retry of a reload that had failed"),
    ]
    .into_iter()
    .enumerate()
    {
        fs::write(&file, format!("{text}// {number}\n")).unwrap();
        let permit = StorePermit::system().because(cause);
        reload::reload_now(&console.stage.app, permit).await.unwrap();
        let page = ann.page("/policies").await;
        let by = between(&page.text, "<dt>By</dt><dd><bdi>", "</bdi>");
        assert_eq!(by, [words], "{}", page.text);
        assert!(!read(&page.text).contains("Reason"), "{}", page.text);
        let log = console.operator("GET /audit?chain=store", &NONE).await.is(200);
        assert!(log.to_string().contains(cause.told().unwrap()), "{log}");
    }
}

#[tokio::test]
async fn the_audit_log_is_in_the_words_of_people() {
    let console = ApiFixture::new().await;
    let stage = &console.stage;
    let ann = console.person("ann", "administrator").await;
    let joe = stage.member("joe", "operator").await;
    assert_eq!(ann.form("/account", "version=1&name=Acme&hours=48").await.status, 303);
    let now = ann.get("/account").await.is(200)["version"].to_string();
    let hours = format!("version={now}&name=Acme&hours=30&two_step=");
    assert_eq!(ann.form("/account", &hours).await.status, 303);
    assert_eq!(ann.form(&format!("/team/members/{}/reset-password", joe.id), "").await.status, 303);
    stage.mails().await;
    let names = json!({"first_name": "Joe", "last_name": ""});
    let path = format!("PATCH /members/{}", joe.id);
    ann.send(&path, "if-match: *\r\n", &names).await.is(200);
    let names = json!({"first_name": "Joe", "last_name": "Example"});
    ann.send(&path, "if-match: *\r\n", &names).await.is(200);
    let page = ann.page("/audit").await;
    let text = read(&page.text);
    for words in [
        "Ann Lee created a password reset link for Joe Example.",
        "Mail: Invitation",
        "Mail: Password reset link",
        "Invitations expire after: from 2 days to 30 hours",
        "Role: Operator",
        "Last name: Example",
        "Last name: was Lee",
    ] {
        assert!(text.contains(words), "no {words:?} in {text}");
    }
    for raw in ["password_reset", "Purpose", "Kind:", " s\n", "Mozilla", "from  to", "invite_"] {
        let list = page.text.split("id=\"list\"").nth(1).unwrap();
        assert!(!read(list).contains(raw), "{raw:?} in {list}");
    }
}

#[tokio::test]
async fn the_audit_log_is_searched_by_name_and_address_also_of_who_has_left() {
    let console = ApiFixture::new().await;
    let stage = &console.stage;
    let ann = console.person("ann", "administrator").await;
    let joe = stage.member("joe", "operator").await;
    let names = json!({"first_name": "Joe", "last_name": "Zulu"});
    let path = format!("PATCH /members/{}", joe.id);
    ann.send(&path, "if-match: *\r\n", &names).await.is(200);
    stage.later(61_000);
    stage.invite(stage.operator(), "cy", "operator").await.unwrap();
    for text in ["Joe+Zulu", "joe+zulu", "joe%40example.org", joe.id.as_str()] {
        let page = ann.page(&format!("/audit?member={text}")).await;
        page.shows(200, &["Joe Zulu"]);
        page.leaves_out("Nobody was found");
    }
    ann.page("/audit?member=cy%40example.org").await.leaves_out("Nobody was found");
    ann.send(&format!("DELETE /members/{}", joe.id), "if-match: *\r\n", &NONE).await.is(200);
    for text in ["Joe+Zulu", "JOE%40example.org"] {
        let page = ann.page(&format!("/audit?member={text}")).await;
        page.leaves_out("Nobody was found");
    }
    for text in ["nobody", "Nobody+At+All", "nobody%40example.org"] {
        let page = ann.page(&format!("/audit?member={text}")).await;
        page.shows(200, &["Nobody was found with this name, email address or ID."]);
    }
}

#[tokio::test]
async fn where_several_have_a_name_they_are_offered_to_choose_from() {
    let console = ApiFixture::new().await;
    let stage = &console.stage;
    let ann = console.person("ann", "administrator").await;
    let several = "Several people have this name";
    // Nobody else has it.
    ann.page("/audit?member=Ann+Lee").await.leaves_out(several);
    let bo = stage.member("bo", "operator").await;
    let about_bo = format!("/audit?member={}&#38;event=user_created\"><bdi>Ann Lee", bo.id);
    let page = ann.page("/audit?member=ann+lee&event=user_created").await;
    page.shows(200, &[several, "ann@example.org", "bo@example.org", &about_bo]);
    page.leaves_out("Nobody was found");
    let tried = "action=chats:assign&resource=chat:c1";
    let page = ann.page(&format!("/policies/try?member=Ann+Lee&{tried}")).await;
    let same = format!(
        "/policies/try?member={}&#38;action=chats%3Aassign&#38;resource=chat%3Ac1\"",
        bo.id
    );
    page.shows(200, &[several, &same]);
    page.leaves_out("id=\"answer\"");
    // The same for people who were invited or removed.
    stage.later(61_000);
    let rename = json!({"first_name": "Bo", "last_name": "Zulu"});
    let path = format!("PATCH /members/{}", bo.id);
    ann.send(&path, "if-match: *\r\n", &rename).await.is(200);
    for who in ["cy", "di"] {
        stage.later(61_000);
        let person = json!({"first_name": "Bo", "last_name": "Yul", "role": "operator",
            "email": format!("{who}@example.org")});
        ann.call("POST /invites", &person).await.is(201);
    }
    let page = ann.page("/audit?member=Bo+Yul").await;
    page.shows(200, &[several, "cy@example.org", "di@example.org"]);
    stage.mails().await;
    let other = stage.member("ed", "operator").await;
    let path = format!("PATCH /members/{}", other.id);
    ann.send(&path, "if-match: *\r\n", &rename).await.is(200);
    for gone in [&bo.id, &other.id] {
        let path = format!("DELETE /members/{gone}");
        ann.send(&path, "if-match: *\r\n", &NONE).await.is(200);
    }
    let page = ann.page("/audit?member=Bo+Zulu").await;
    page.shows(200, &[several, "bo@example.org", "ed@example.org"]);
}

#[tokio::test]
async fn roles_are_called_by_their_titles_on_every_page() {
    let console = ApiFixture::new().await;
    let ann = console.person("ann", "administrator").await;
    console.stage.member("joe", "operator").await;
    let tried = "/policies/try?member=Ann+Lee&action=chats:assign&resource=chat:c1";
    ann.page(tried).await.shows(200, &["Several people have this name"]);
    let tried = "/policies/try?member=joe@example.org&action=chats:assign&resource=chat:c1";
    let page = ann.page(tried).await;
    page.shows(200, &["The role Operator doesn&#39;t allow", "with one of these roles: "]);
    page.leaves_out("these roles may");
    let suggested = ann.page("/roles/suggest?do=chats:view&do=chats:assign").await;
    suggested.shows(200, &["Chat Manager is the smallest role that allows this"]);
    suggested.leaves_out("chat_manager is");
    let nothing = ann.page("/roles/suggest?asked=yes").await;
    nothing.shows(200, &["Select at least one thing that the person does."]);
    ann.page("/roles/suggest").await.leaves_out("Select at least one thing");
}
