//! Pages of the console as a browser without a script sees them: forms over HTTP, cookies, and
//! content. Checks for every response that no URL contains a secret.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use kwic_team::domain::{Member, Name, Version, limits};
use kwic_team::mail::MailContent;
use kwic_team::services::caller::Caller;
use kwic_team::services::invites::{self, ChosenInvite, Invitation};
use kwic_team::services::members::ChosenMember;
use kwic_team::services::{accounts, members, set_up};
use kwic_team::store::AccountEdit;
use serde_json::{Value, json};

use crate::support::api_fixture::{Answer, ApiFixture};
use crate::support::fixture::{Fixture, HOUR, NOW, PASSWORD, email, link_in, role};
use crate::support::in_process_log::{AppendFault, InProcessLog, LogLine};
use crate::two_step::{Phone, guarded};

const SESSION: &str = "__Host-kwic_session";
const NEW: &str = "eleven purple kettles";
const MARKUP: &str = "\"><script>alert('Bo')</script>";

/// A browser that runs no script.
struct Browser<'c> {
    console: &'c ApiFixture,
    cookies: RefCell<BTreeMap<String, String>>,
    /// What must stand in no address.
    secrets: RefCell<Vec<String>>,
}

fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        write!(out, "%{byte:02X}").unwrap();
        out
    })
}

/// Every address that an answer leads to.
fn addresses(answer: &Answer) -> Vec<&str> {
    let attribute = |name| {
        let parts = answer.text.split(name).skip(1);
        parts.map(|rest| rest.split('"').next().unwrap())
    };
    let of_page = attribute(" href=\"").chain(attribute(" action=\"")).chain(attribute(" src=\""));
    of_page.chain(answer.header("location")).collect()
}

impl<'c> Browser<'c> {
    fn new(console: &'c ApiFixture) -> Self {
        Self { console, cookies: RefCell::default(), secrets: RefCell::default() }
    }

    fn keeps_secret(&self, secret: &str) {
        self.secrets.borrow_mut().push(secret.to_owned());
    }

    fn cookie(&self, name: &str) -> Option<String> {
        self.cookies.borrow().get(name).cloned()
    }

    async fn send(&self, line: &str, media: &str, body: &str) -> Answer {
        let cookies = self.cookies.borrow().clone();
        let cookies: Vec<String> = cookies.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let headers = format!(
            "cookie: {}\r\nsec-fetch-site: same-origin\r\nuser-agent: Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0\r\n{media}",
            cookies.join("; ")
        );
        let answer = self.console.raw(line, &headers, body).await;
        self.take_cookies(&answer);
        for address in addresses(&answer) {
            for secret in self.secrets.borrow().iter() {
                assert!(!address.contains(secret), "{line}: {address}");
            }
        }
        answer
    }

    fn take_cookies(&self, answer: &Answer) {
        let mut cookies = self.cookies.borrow_mut();
        let given = answer.head.lines().filter_map(|line| line.strip_prefix("set-cookie: "));
        for cookie in given {
            assert!(cookie.contains("Secure") && cookie.contains("HttpOnly"), "{cookie}");
            let (name, rest) = cookie.split_once('=').unwrap();
            let value = rest.split(';').next().unwrap();
            if cookie.contains("Max-Age=0") {
                cookies.remove(name);
            } else {
                cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(&format!("GET /raw{path}"), "", "").await
    }

    async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let pairs: Vec<String> =
            fields.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect();
        let media = "content-type: application/x-www-form-urlencoded\r\n";
        self.send(&format!("POST /raw{path}"), media, &pairs.join("&")).await
    }

    /// The page that an answer leads to in the end.
    async fn led_to(&self, mut answer: Answer) -> Answer {
        for _ in 0..5 {
            let Some(place) = answer.header("location").map(str::to_owned) else { return answer };
            assert_eq!(answer.status, 303, "{answer:?}");
            answer = self.get(&place).await;
        }
        panic!("leads on and on: {answer:?}");
    }

    async fn sign_in(&self, who: &str) {
        let email = format!("{who}@example.org");
        let fields = [("account", "acme"), ("email", &email), ("password", PASSWORD)];
        let answer = self.post("/sign-in", &fields).await;
        answer.leads_to("/");
        self.keeps_secret(&self.cookie(SESSION).unwrap());
    }

    async fn is_signed_in(&self) -> bool {
        self.get("/me").await.status == 200
    }
}

impl Answer {
    #[track_caller]
    fn page(&self, status: u16) -> &Self {
        assert_eq!(self.status, status, "{}", self.text);
        assert_eq!(self.header("content-type"), Some("text/html; charset=utf-8"));
        assert_eq!(self.text.matches("<h1").count(), 1, "{}", self.text);
        self
    }

    #[track_caller]
    fn says(&self, words: &str) -> &Self {
        assert!(self.text.contains(words), "no {words:?} in {}", self.text);
        self
    }

    #[track_caller]
    fn hides(&self, words: &str) -> &Self {
        assert!(!self.text.contains(words), "{words:?} in {}", self.text);
        self
    }

    #[track_caller]
    fn leads_to(&self, path: &str) -> &Self {
        assert_eq!((self.status, self.header("location")), (303, Some(path)), "{}", self.text);
        self
    }

    /// The value of a hidden field.
    #[track_caller]
    fn hidden(&self, name: &str) -> &str {
        let begin = format!("type=\"hidden\" name=\"{name}\" value=\"");
        let (_, rest) = self.text.split_once(&begin).unwrap_or_else(|| panic!("{}", self.text));
        rest.split('"').next().unwrap()
    }

    /// What follows the first `begin`, up to `end`.
    #[track_caller]
    fn between(&self, begin: &str, end: &str) -> &str {
        let (_, rest) = self.text.split_once(begin).unwrap_or_else(|| panic!("{}", self.text));
        rest.split_once(end).unwrap().0
    }
}

/// The code of the only mail that is due.
async fn code(stage: &Fixture) -> String {
    Fixture::link_of(&stage.mails().await).code.expose().to_owned()
}

async fn invited(stage: &Fixture, by: Caller, who: &str) -> (String, ChosenInvite) {
    let sent = stage.invite(by, who, "operator").await.unwrap().value;
    (code(stage).await, ChosenInvite { id: sent.view.invite.id, expected: None })
}

#[tokio::test]
async fn somebody_joins_by_pasting_the_code_or_the_whole_link() {
    let console = ApiFixture::new().await;
    for (who, before) in [("bo", ""), ("cy", " https://team.example/console/join#")] {
        let (code, _) = invited(&console.stage, console.stage.operator(), who).await;
        let browser = Browser::new(&console);
        browser.keeps_secret(&code);
        browser.get("/join").await.page(200).says("data-fragment data-send").says("name=\"token\"");
        let look = browser.post("/join/look", &[("token", &format!("{before}{code}"))]).await;
        look.page(200).says("Join Acme").says("Your system administrator").says("Use at least 15");
        look.says("What you can do as Operator").hides("two-step");
        assert_eq!(look.hidden("token"), code);
        let weak =
            browser.post("/join", &[("token", &code), ("password", "acme acme acme a")]).await;
        weak.page(400)
            .says("aria-invalid=\"true\"")
            .says("easy to guess")
            .hides("acme acme acme a");
        assert_eq!(weak.hidden("token"), code);
        let joined = browser.post("/join", &[("token", &code), ("password", PASSWORD)]).await;
        joined.leads_to("/");
        let first = browser.led_to(joined).await;
        first.says("Welcome to Acme. You have joined.");
        browser
            .get("/me")
            .await
            .page(200)
            .hides("Welcome to Acme")
            .says(&format!("{who}@example.org"));
        // Once more, as by a second press or the back button.
        let again = browser.post("/join", &[("token", &code), ("password", PASSWORD)]).await;
        again.page(410).says("accepted already");
        console.stage.later(61_000);
    }
}

#[tokio::test]
async fn each_link_that_opens_no_more_says_why_and_what_to_do() {
    let console = ApiFixture::new().await;
    let stage = &console.stage;
    stage.member("root", "administrator").await;
    let root = stage.sign_in("root").await;
    let by_root = || stage.caller(&root);
    let browser = Browser::new(&console);
    let look = |code: String| {
        let browser = &browser;
        browser.keeps_secret(&code);
        async move { browser.post("/join/look", &[("token", &code)]).await }
    };

    let nothing = "A".repeat(43);
    look(nothing.clone())
        .await
        .page(410)
        .says("was used, replaced or never valid")
        .says("id=\"token\"");

    let (first, chosen) = invited(stage, by_root(), "bo").await;
    stage.later(61_000);
    invites::resend(&stage.app, by_root(), chosen.clone()).await.unwrap();
    let second = code(stage).await;
    look(first).await.page(410).says("There is a newer link").says("Ask for a new invitation");
    invites::revoke(&stage.app, by_root(), chosen).await.unwrap();
    look(second).await.page(410).says("was revoked").hides("Ask for a new invitation");

    stage.later(61_000);
    let (late, _) = invited(stage, by_root(), "cy").await;
    stage.later(72 * HOUR);
    let expired = look(late.clone()).await;
    expired.page(410).says("This invitation has expired").says("Ask Ann Lee for a new one.");
    expired.says("Expired on 27 November 2025, ");
    assert_eq!(expired.hidden("token"), late);
    // The same response for every link; only the inviter sees which it was.
    let mut answers = Vec::new();
    for token in [late.as_str(), nothing.as_str()] {
        let asked = browser.post("/join/request-new", &[("token", token)]).await;
        asked.leads_to("/join");
        answers.push(browser.led_to(asked).await.text);
    }
    assert_eq!(answers[0], answers[1]);
    assert!(answers[0].contains("has been asked for one"), "{}", answers[0]);
    let mails = stage.mails().await;
    assert!(matches!(&mails[..], [(to, MailContent::InviteWanted { .. })] if *to == email("root")));
}

#[tokio::test]
async fn who_is_signed_in_as_somebody_else_decides_before_joining() {
    let console = ApiFixture::new().await;
    console.stage.member("ann", "operator").await;
    let browser = Browser::new(&console);
    browser.sign_in("ann").await;
    let (code, _) = invited(&console.stage, console.stage.operator(), "yasmin").await;
    let look = browser.post("/join/look", &[("token", &code)]).await;
    look.page(200)
        .says("this invitation is for y***@example.org")
        .hides("yasmin")
        .hides("type=\"password\"");
    assert!(browser.is_signed_in().await, "looking ends nothing");
    let before = browser.cookie(SESSION).unwrap();
    let fields = [("token", look.hidden("token")), ("leave", look.hidden("leave"))];
    browser.post("/join/look", &fields).await.page(200).says("type=\"password\"");
    assert_eq!(browser.cookie(SESSION), None);
    let joined = browser.post("/join", &[("token", &code), ("password", PASSWORD)]).await;
    browser.led_to(joined).await;
    browser.get("/me").await.says("yasmin@example.org");
    let with_old = console
        .raw(
            "GET /me",
            &format!("cookie: {SESSION}={before}\r\nsec-fetch-site: same-origin\r\n"),
            "",
        )
        .await;
    with_old.problem(401, "session_ended");
}

#[tokio::test]
async fn where_two_step_is_enforced_joining_leads_through_its_set_up() {
    let console = ApiFixture::new().await;
    let stage = &console.stage;
    let edit = AccountEdit { two_step_enforced: Some(true), ..AccountEdit::default() };
    accounts::edit(&stage.app, stage.operator(), Some(Version::FIRST), edit).await.unwrap();
    let (code, _) = invited(stage, stage.operator(), "bo").await;
    let browser = Browser::new(&console);
    let look = browser.post("/join/look", &[("token", &code)]).await;
    look.page(200).says("Use at least 8 characters").says("requires two-step verification");
    let scan = browser.post("/join", &[("token", &code), ("password", PASSWORD)]).await;
    scan.page(200).says("<svg").says("action=\"/sign-in/set-up\"");
    assert_eq!(browser.cookie(SESSION), None, "a password alone signs nobody in");
    let phone = Phone::of(&scan.between("<code class=\"key\">", "</code>").replace(' ', ""));
    let ticket = scan.hidden("ticket");
    browser.keeps_secret(ticket);
    let wrong = browser.post("/sign-in/set-up", &[("ticket", ticket), ("code", "000000")]).await;
    // The next code of the previous secret would be wrong, too.
    wrong.page(403).says("This code is not right").hides("recovery code").hides("next code");
    wrong.says("The QR code below is new");
    let phone_now = Phone::of(&wrong.between("<code class=\"key\">", "</code>").replace(' ', ""));
    assert_ne!(phone.shows(stage, 0), phone_now.shows(stage, 0), "a secret is shown once");
    let fields = [("ticket", ticket), ("code", &*phone_now.shows(stage, 0))];
    browser.post("/sign-in/set-up", &fields).await.page(200).says("Your recovery codes");
    assert!(browser.is_signed_in().await);
}

#[tokio::test]
async fn the_first_account_is_set_up_on_a_page_once() {
    let console = ApiFixture::empty().await;
    let browser = Browser::new(&console);
    browser.get("/setup").await.page(200).says("is already set up");
    let token =
        set_up::offer_setup_link(&console.stage.app).await.unwrap().unwrap().expose().to_owned();
    browser.keeps_secret(&token);
    browser.get("/setup").await.page(200).says("data-fragment").says("name=\"slug\"");
    let fields = |token: &str, slug: &str| {
        [
            ("token", token),
            ("name", MARKUP),
            ("slug", slug),
            ("first_name", "Ann"),
            ("last_name", "Lee"),
            ("email", "ann@example.org"),
            ("password", PASSWORD),
        ]
        .map(|(name, value)| (name, value.to_owned()))
    };
    let send = |fields: [(&'static str, String); 7]| {
        let browser = &browser;
        async move {
            let fields = fields.each_ref().map(|(name, value)| (*name, value.as_str()));
            browser.post("/setup", &fields).await
        }
    };
    let wrong = send(fields(&token, "NOT A SLUG")).await;
    wrong.page(400).says("value=\"Ann\"").says("id=\"slug-wrong\"").hides(PASSWORD).hides(MARKUP);
    assert_eq!(wrong.hidden("token"), token);
    send(fields(&"A".repeat(43), "acme")).await.page(410).says("id=\"token\"");
    let done = send(fields(&token, "acme")).await;
    done.leads_to("/");
    browser.led_to(done).await.hides(MARKUP);
    browser.get("/me").await.page(200).says("Administrator").hides(MARKUP);
    browser.get("/setup").await.page(200).says("is already set up").hides("name=\"slug\"");
}

#[tokio::test]
async fn a_forgotten_password_is_replaced_by_a_link() {
    let console = ApiFixture::new().await;
    console.stage.member("ann", "operator").await;
    let browser = Browser::new(&console);
    let mut answers = Vec::new();
    for who in ["ann@example.org", "nobody@example.org"] {
        let asked = browser.post("/forgot", &[("account", "acme"), ("email", who)]).await;
        asked.leads_to("/sign-in");
        answers.push(browser.led_to(asked).await.text);
    }
    assert_eq!(answers[0], answers[1], "the same is said of both");
    assert!(answers[0].contains("If there is such a member"), "{}", answers[0]);
    browser.get("/sign-in").await.page(200).hides("If there is such a member");
    let bad = browser.post("/forgot", &[("account", "acme"), ("email", "no address")]).await;
    bad.page(400).says("value=\"no address\"").says("id=\"email-wrong\"");

    let code = reset_code(&console.stage).await;
    browser.keeps_secret(&code);
    browser.get("/reset").await.page(200).says("data-fragment").hides("data-send");
    let weak = browser.post("/reset", &[("token", &code), ("password", "short")]).await;
    weak.page(400).says("id=\"password-wrong\"").hides("id=\"token\"");
    let link = format!("https://team.example/reset#{code}");
    let done = browser.post("/reset", &[("token", &link), ("password", NEW)]).await;
    done.leads_to("/sign-in");
    browser.led_to(done).await.says("Your new password is set.");
    let used = browser.post("/reset", &[("token", &code), ("password", NEW)]).await;
    used.page(410).says("id=\"token\"").says("/forgot");
    let fields = [("account", "acme"), ("email", "ann@example.org"), ("password", PASSWORD)];
    browser.post("/sign-in", &fields).await.page(401).hides(PASSWORD);
    let fields = [("account", "acme"), ("email", "ann@example.org"), ("password", NEW)];
    browser.post("/sign-in", &fields).await.leads_to("/");
}

/// The link is created after the response; waits for it.
async fn reset_code(stage: &Fixture) -> String {
    for _ in 0..1_000 {
        let mails = stage.mails().await;
        if !mails.is_empty() {
            return Fixture::link_of(&mails).code.expose().to_owned();
        }
        tokio::task::yield_now().await;
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("no mail");
}

#[tokio::test]
async fn markup_in_names_is_text_on_every_page() {
    let console = ApiFixture::new().await;
    let stage = &console.stage;
    let named = |text: &str| Name::parse("first_name", text).unwrap();
    let invitation = Invitation {
        email: email("bo"),
        first_name: named(MARKUP),
        last_name: named("<b>Lee</b>"),
        role: role("administrator"),
    };
    invites::send(&stage.app, stage.operator(), invitation, None).await.unwrap();
    let code = code(stage).await;
    let browser = Browser::new(&console);
    let shown = "&#60;script&#62;alert(&#39;Bo&#39;)&#60;/script&#62;";
    let look = browser.post("/join/look", &[("token", &code)]).await;
    look.page(200).says(shown).hides(MARKUP).hides("<b>Lee");
    let joined = browser.post("/join", &[("token", &code), ("password", PASSWORD)]).await;
    browser.led_to(joined).await;
    for path in ["/me", "/me/names", "/tokens", "/tokens/new"] {
        browser.get(path).await.page(200).says(shown).hides(MARKUP).hides("<b>Lee");
    }
    let pasted = browser.post("/join/look", &[("token", MARKUP)]).await;
    pasted.page(410).hides("<script>alert");
    let fields = [("name", MARKUP), ("role", "operator"), ("days", "7"), ("password", PASSWORD)];
    browser.post("/tokens/new", &fields).await.page(200).says(shown).hides(MARKUP);
    let list = browser.get("/tokens").await;
    list.page(200).says(shown).hides(MARKUP);
    let id = list.between("/tokens/t", "/revoke").to_owned();
    let ask = browser.get(&format!("/tokens/t{id}/revoke")).await;
    ask.page(200).says(shown).hides(MARKUP);
    let done = browser.post(&format!("/tokens/t{id}/revoke"), &[]).await;
    browser.led_to(done).await.page(200).says(shown).hides(MARKUP);
}

#[tokio::test]
async fn after_a_session_has_ended_a_page_shows_nothing_but_that() {
    let console = ApiFixture::new().await;
    let ann = console.stage.member("ann", "operator").await;
    console.stage.member("root", "administrator").await;
    let browser = Browser::new(&console);
    browser.get("/me").await.leads_to("/sign-in?next=%2Fme");
    browser.sign_in("ann").await;
    let chosen = members::ChosenMember { id: ann.id, expected: None };
    members::remove(&console.stage.app, console.stage.operator(), chosen).await.unwrap();
    for (path, fields) in [("/me", None), ("/me/names", Some([("first_name", "Anna")]))] {
        let before = browser.cookies.borrow().clone();
        let answer = match fields {
            None => browser.get(path).await,
            Some(fields) => browser.post(path, &fields).await,
        };
        answer.page(401).says("no longer signed in").says("/sign-in").hides("ann@example.org");
        answer.hides("Acme").hides("Ann Lee");
        assert_eq!(browser.cookie(SESSION), None, "the cookie is taken away");
        *browser.cookies.borrow_mut() = before;
    }
}

#[tokio::test]
async fn sign_in_leads_on_to_pages_of_our_own_only() {
    let console = ApiFixture::new().await;
    console.stage.member("ann", "operator").await;
    let places = [
        ("/me", "/me"),
        ("/me/names?x=1", "/me/names?x=1"),
        ("", "/"),
        ("https://evil.example/", "/"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("/sign-out", "/"),
        ("javascript:alert(1)", "/"),
        ("/me\r\nx: y", "/"),
    ];
    for (next, place) in places {
        let browser = Browser::new(&console);
        let asked = browser.get(&format!("/sign-in?next={}", escaped(next))).await;
        asked.page(200);
        let fields = [
            ("account", "acme"),
            ("email", "ann@example.org"),
            ("password", PASSWORD),
            ("next", next),
        ];
        browser.post("/sign-in", &fields).await.leads_to(place);
        console.stage.later(1_000);
    }
}

#[tokio::test]
async fn a_member_changes_name_and_password_and_ends_other_devices() {
    let console = ApiFixture::new().await;
    console.stage.member("ann", "operator").await;
    let (browser, other) = (Browser::new(&console), Browser::new(&console));
    browser.sign_in("ann").await;
    other.sign_in("ann").await;
    let me = browser.get("/me").await;
    me.page(200).says("Firefox on Linux").says("127.0.0.1").says("Last sign-ins");
    assert_eq!(me.text.matches("This device").count(), 1);

    let names = browser.get("/me/names").await;
    let version = names.hidden("version").to_owned();
    let send = |first: &'static str| {
        let (browser, version) = (&browser, &version);
        let fields = [("version", version.as_str()), ("first_name", first), ("last_name", "Lee")];
        async move { browser.post("/me/names", &fields).await }
    };
    send("").await.page(400).says("id=\"first_name-wrong\"");
    let changed = send("Anna").await;
    changed.leads_to("/me");
    browser.led_to(changed).await.says("Your name was changed.").says("Anna Lee");
    browser.get("/me").await.hides("Your name was changed.");
    send("Anja").await.page(412);

    let change = |password: &'static str, new: &'static str| {
        let browser = &browser;
        let fields = [("password", password), ("new_password", new)];
        async move { browser.post("/me/password", &fields).await }
    };
    let wrong = change("seven red bicycles", NEW).await;
    wrong.page(403).says("id=\"password-wrong\"").hides("id=\"new_password-wrong\"").hides(NEW);
    let weak = change(PASSWORD, "short").await;
    weak.page(400).says("id=\"new_password-wrong\"").hides("id=\"password-wrong\"");
    assert!(other.is_signed_in().await);
    let before = browser.cookie(SESSION);
    let done = change(PASSWORD, NEW).await;
    done.leads_to("/me");
    assert_ne!(browser.cookie(SESSION), before, "a new token");
    browser.led_to(done).await.says("1 other device was signed out.");
    assert!(!other.is_signed_in().await);
}

#[tokio::test]
async fn devices_are_signed_out_one_by_one_or_all_others() {
    let console = ApiFixture::new().await;
    console.stage.member("ann", "operator").await;
    let (browser, other, third) =
        (Browser::new(&console), Browser::new(&console), Browser::new(&console));
    for browser in [&other, &third, &browser] {
        browser.sign_in("ann").await;
        console.stage.later(1_000);
    }
    let me = browser.get("/me").await;
    let ids: Vec<&str> =
        me.text.split("/me/sessions/s").skip(1).map(|it| it.split('/').next().unwrap()).collect();
    assert_eq!(ids.len(), 3, "newest first: {ids:?}");
    let end = |id: String| {
        let browser = &browser;
        async move { browser.post(&format!("/me/sessions/s{id}/end"), &[]).await }
    };
    // What is no id of a session ends nothing, neither that of the browser.
    for id in ["nope", "s", "%20"] {
        let none = browser.post(&format!("/me/sessions/{id}/end"), &[]).await;
        none.page(404).says("That device was signed out already.");
        assert!(browser.is_signed_in().await);
    }
    end(ids[1].to_owned()).await.leads_to("/me");
    let again = end(ids[1].to_owned()).await;
    again.page(404).says("That device was signed out already.").hides("does not exist");
    assert!(!third.is_signed_in().await && other.is_signed_in().await);
    browser.post("/me/sessions/end", &[]).await.leads_to("/me");
    assert!(!other.is_signed_in().await && browser.is_signed_in().await);
    let out = end(ids[0].to_owned()).await;
    out.leads_to("/signed-out");
    assert_eq!(out.header("clear-site-data"), None, "the host is the product's");
    assert_eq!(browser.cookie(SESSION), None);
}

#[tokio::test]
async fn signing_out_leaves_what_is_the_products() {
    let console = ApiFixture::with(|config| {
        config.console.public_url = Some("https://app.example/console".to_owned());
    })
    .await;
    console.stage.member("ann", "administrator").await;
    let browser = Browser::new(&console);
    let fields = [("account", "acme"), ("email", "ann@example.org"), ("password", PASSWORD)];
    browser.post("/console/sign-in", &fields).await.leads_to("/console/");
    browser.cookies.borrow_mut().insert("basket".to_owned(), "three apples".to_owned());
    // Something is still to be told when the session ends.
    let names = [("first_name", "Anna"), ("last_name", "Lee"), ("version", "1")];
    browser.post("/console/me/names", &names).await.leads_to("/console/me");
    assert!(browser.cookie("__Host-kwic_told").is_some());
    let out = browser.post("/console/sign-out", &[]).await;
    out.leads_to("/console/signed-out");
    for header in ["clear-site-data", "strict-transport-security"] {
        assert_eq!(out.header(header), None, "{header}");
    }
    let left: Vec<String> = browser.cookies.borrow().keys().cloned().collect();
    assert_eq!(left, ["basket"]);
    // No page leads to, loads or sends anything beside the console's own path.
    browser.post("/console/sign-in", &fields).await.leads_to("/console/");
    for path in [
        "/sign-in",
        "/forgot",
        "/join",
        "/reset",
        "/confirm-email",
        "/setup",
        "/help",
        "/team",
        "/team?tab=invitations",
        "/team/invite",
        "/team/invite-several",
        "/roles",
        "/roles/compare",
        "/roles/suggest",
        "/me",
        "/me/names",
        "/me/leave",
        "/tokens",
        "/tokens/new",
        "/account",
        "/audit",
        "/policies",
        "/policies/check",
        "/nothing",
    ] {
        let answer = browser.get(&format!("/console{path}")).await;
        for address in addresses(&answer) {
            let is_own = address.starts_with("/console/") || address.starts_with('#');
            assert!(is_own, "{path} leads to {address}");
        }
    }
}

#[tokio::test]
async fn what_a_form_sends_is_bounded_as_what_a_program_sends() {
    let console = ApiFixture::new().await;
    console.stage.member("ann", "administrator").await;
    let browser = Browser::new(&console);
    let far = format!("/team?search={}", "x".repeat(limits::PLACE_BYTES_MAX));
    browser.get(&far).await.leads_to("/sign-in");
    let fields = [
        ("account", "acme"),
        ("email", "ann@example.org"),
        ("password", PASSWORD),
        ("next", far.as_str()),
    ];
    browser.post("/sign-in", &fields).await.leads_to("/");
    let revision = console.revision().await;
    let invite = async |key: &str| {
        let fields = [
            ("first_name", "Bo"),
            ("last_name", "Lee"),
            ("email", "bo@example.org"),
            ("role", "operator"),
            ("key", key),
        ];
        browser.post("/team/invite", &fields).await
    };
    let most = "k".repeat(limits::IDEMPOTENCY_KEY_CHARS_MAX);
    for key in [&format!("{most}k"), "a\tb", "\u{e4}", &"k".repeat(300_000)] {
        invite(key).await.page(400).says("printable ASCII characters");
    }
    let ids = |many: usize| {
        let ids = (0..many).map(|_| ("id", "nobody"));
        ids.chain([("do", "suspend")]).collect::<Vec<_>>()
    };
    browser
        .post("/team/bulk", &ids(limits::FORM_FIELDS_MAX))
        .await
        .page(400)
        .says("not sent from a page of KWIC Team");
    let ann = console.stage.app.store.member_by_email(&console.stage.acme, "ann@example.org");
    let ann = ann.await.unwrap().unwrap().id.to_string();
    let mut many = vec![("id", ann.as_str()); limits::BULK_ITEMS_MAX + 1];
    many.push(("do", "suspend"));
    browser.post("/team/bulk", &many).await.page(400).says("100 members at most");
    let long = [("lines", "x".repeat(limits::ADMIN_BODY_BYTES_MAX)), ("role", "-".to_owned())];
    let long = long.each_ref().map(|(name, text)| (*name, text.as_str()));
    let long = browser.post("/team/invite-several", &long).await;
    long.page(413).says("This is too much at once: go back and enter fewer lines.");
    assert_eq!(console.revision().await, revision, "something was done");
    invite(&most).await.leads_to("/team?tab=invitations");
    invite(&most).await.leads_to("/team?tab=invitations");
    assert_eq!(console.revision().await, revision + 1, "twice the same is one");
}

#[tokio::test]
async fn a_form_that_the_log_does_not_take_keeps_what_was_typed_and_says_what_to_do() {
    let console = ApiFixture::new().await;
    console.stage.member("ann", "administrator").await;
    let log = InProcessLog::default();
    let line = LogLine::new(&log);
    log.join(&console.stage.app.store, line.clone()).await;
    let browser = Browser::new(&console);
    browser.sign_in("ann").await;
    let fields = [
        ("first_name", "Bo"),
        ("last_name", "Ray"),
        ("email", "bo@example.org"),
        ("role", "operator"),
        ("key", "one form"),
    ];
    let unknown = [AppendFault::LostAnswer, AppendFault::Refused, AppendFault::Refused];
    for (faults, words) in [
        (&[AppendFault::Refused][..], "and nothing was changed: try again in a minute;"),
        (&unknown[..], "look again in a minute, before you repeat it."),
    ] {
        line.plan(faults.iter().copied());
        let refused = browser.post("/team/invite", &fields).await;
        refused.page(503).says(words).hides("nodes share");
        for (name, value) in &fields[..3] {
            let kept = refused.between(&format!("name=\"{name}\""), ">");
            assert!(kept.contains(&format!("value=\"{value}\"")), "{kept}");
        }
        assert_eq!(refused.hidden("key"), "one form");
        let role = refused.between("value=\"operator\"", ">");
        assert!(role.contains("checked"), "{role}");
    }
    // It was made by the last try, and the same form makes no second one.
    let before = console.revision().await;
    browser.post("/team/invite", &fields).await.leads_to("/team?tab=invitations");
    assert_eq!(console.stage.app.store.follow_log().await.unwrap(), 0);
    assert!(console.revision().await <= before + 1);
}

#[tokio::test]
async fn two_step_verification_is_turned_on_renewed_and_turned_off() {
    let console = ApiFixture::new().await;
    let stage = &console.stage;
    stage.member("ann", "operator").await;
    let browser = Browser::new(&console);
    browser.sign_in("ann").await;
    browser.get("/me").await.says("Turn on").hides("Recovery codes left");
    browser.post("/me/two-step", &[("password", "seven red bicycles")]).await.page(403);
    let scan = browser.post("/me/two-step", &[("password", PASSWORD)]).await;
    let key = scan.page(200).between("<code class=\"key\">", "</code>").replace(' ', "");
    let phone = Phone::of(&key);
    for (typed, told) in [("12", "Enter the 6 digits"), ("letters", "Enter the 6 digits")] {
        let wrong = browser.post("/me/two-step/confirm", &[("code", typed)]).await;
        wrong.page(403).says(told).hides("recovery code");
    }
    let wrong = browser.post("/me/two-step/confirm", &[("code", "000000")]).await;
    wrong
        .hides("recovery code")
        .page(403)
        .says("id=\"code-wrong\"")
        .hides(&key)
        .hides("<svg class");
    let before = browser.cookie(SESSION);
    let codes = browser.post("/me/two-step/confirm", &[("code", &phone.shows(stage, 0))]).await;
    assert_eq!(
        codes.page(200).between("<ul class=\"codes\">", "</ul>").matches("<li>").count(),
        10
    );
    assert_ne!(browser.cookie(SESSION), before, "a new token");
    let recovery = codes.between("<ul class=\"codes\">\n<li>", "</li>").to_owned();
    browser.get("/me").await.says("Recovery codes left").hides(&recovery).hides("Low");

    let ends = "The previous app and recovery codes stop working";
    browser.get("/me/two-step").await.page(200).says("Set up another app").says(ends);
    let fields = [("password", PASSWORD), ("code", &*phone.next(stage))];
    let another = browser.post("/me/two-step", &fields).await;
    another.page(200).says("Set up another app").says(ends).says("Use this app");
    another.hides("Set up two-step verification").hides("Turn on");

    browser
        .post("/me/recovery-codes", &[("password", PASSWORD)])
        .await
        .page(403)
        .says("id=\"code-wrong\"");
    let fields = [("password", PASSWORD), ("code", recovery.as_str())];
    let renewed = browser.post("/me/recovery-codes", &fields).await;
    renewed.page(200).says("Your recovery codes").hides(&recovery);
    browser.post("/me/two-step/off", &fields).await.page(403).says("id=\"code-wrong\"");
    let fields = [("password", PASSWORD), ("code", &*phone.next(stage))];
    let off = browser.post("/me/two-step/off", &fields).await;
    off.leads_to("/me");
    browser.led_to(off).await.says("Two-step verification is off.").says("Turn on");
}

#[tokio::test]
async fn an_address_changes_once_both_links_were_opened() {
    let console = ApiFixture::new().await;
    console.stage.member("ann", "operator").await;
    let browser = Browser::new(&console);
    browser.sign_in("ann").await;
    let fields = [("email", "anna@example.org"), ("password", PASSWORD)];
    let asked = browser.post("/me/email", &fields).await;
    asked.leads_to("/me");
    let mails = console.stage.mails().await;
    assert_eq!(mails.len(), 2);
    let code = |who: &str| {
        let (_, content) = mails.iter().find(|(to, _)| *to == email(who)).unwrap();
        link_in(content).code.expose().to_owned()
    };
    let (old, new) = (code("ann"), code("anna"));
    for code in [&old, &new] {
        browser.keeps_secret(code);
    }
    let first = browser.post("/confirm-email", &[("token", &old)]).await;
    first.leads_to("/confirm-email");
    browser.led_to(first).await.says("Now open the link that was sent to the new address.");
    let second = browser.post("/confirm-email", &[("token", &new)]).await;
    browser.led_to(second).await.says("Your address is now anna@example.org.");
    let again = browser.post("/confirm-email", &[("token", &new)]).await;
    again.page(410).says("id=\"token\"").says("choose Change address under My security");
}

#[tokio::test]
async fn a_token_is_shown_once_and_ends_when_it_is_revoked() {
    let console = ApiFixture::new().await;
    console.stage.member("root", "administrator").await;
    let browser = Browser::new(&console);
    browser.sign_in("root").await;
    browser.get("/tokens").await.page(200).says("No API tokens");
    let send = |role: &'static str, days: &'static str, password: &'static str| {
        let browser = &browser;
        let fields =
            [("name", "Nightly export"), ("role", role), ("days", days), ("password", password)];
        async move { browser.post("/tokens/new", &fields).await }
    };
    send("", "x", PASSWORD)
        .await
        .page(400)
        .says("id=\"days-wrong\"")
        .says("value=\"Nightly export\"")
        .hides(PASSWORD);
    send("administrator", "366", PASSWORD).await.page(400).says("1 to 365");
    let nameless = browser.post("/tokens/new", &[("name", " "), ("days", "7")]).await;
    nameless.page(400).says("id=\"name-wrong\"");
    send("administrator", "7", "seven red bicycles").await.page(403).says("id=\"password-wrong\"");
    let made = send("administrator", "7", PASSWORD).await;
    let secret = made
        .page(200)
        .between("readonly spellcheck=\"false\" autocomplete=\"off\">", "<")
        .to_owned();
    assert!(secret.starts_with("kwt_"), "{secret}");
    browser.keeps_secret(&secret);
    made.says("data-copy=\"secret\"");
    let list = browser.get("/tokens").await;
    list.page(200).says("Nightly export").hides(&secret).says("Never");
    let call = || async {
        console.raw("GET /members", &format!("authorization: Bearer {secret}\r\n"), "").await.status
    };
    assert_eq!(call().await, 200);
    let path = format!("/tokens/t{}/revoke", list.between("/tokens/t", "/revoke"));
    let ask = browser.get(&path).await;
    ask.page(200).says("Revoke the token Nightly export?").says("danger");
    ask.says("<dt>Created</dt>").says("<dt>Expires</dt>");
    assert_eq!(call().await, 200, "to ask changes nothing");
    let gone = browser.post(&path, &[]).await;
    gone.leads_to("/tokens");
    browser.led_to(gone).await.says("was revoked").says("No API tokens");
    assert_eq!(call().await, 401);
}

#[tokio::test]
async fn who_may_not_edit_the_team_gets_no_tokens_and_learns_whom_to_ask() {
    let console = ApiFixture::new().await;
    console.stage.member("root", "administrator").await;
    console.stage.member("bo", "operator").await;
    let browser = Browser::new(&console);
    browser.sign_in("bo").await;
    browser.get("/me").await.page(200).hides("href=\"/tokens\"");
    browser
        .get("/tokens")
        .await
        .page(403)
        .says("Your role does not include this")
        .says("Ask: Ann Lee.");
    let fields = [("name", "x"), ("role", "operator"), ("days", "7"), ("password", PASSWORD)];
    browser.post("/tokens/new", &fields).await.page(403).hides("kwt_");
    assert_eq!(
        console.operator("GET /tokens?account=acme", &Value::Null).await.is(200)["items"],
        json!([])
    );
}

#[tokio::test]
async fn a_member_who_leaves_is_out_at_once_and_the_last_administrator_stays() {
    let console = ApiFixture::new().await;
    console.stage.member("root", "administrator").await;
    console.stage.member("bo", "operator").await;
    for (who, status) in [("root", 409), ("bo", 200)] {
        let browser = Browser::new(&console);
        browser.sign_in(who).await;
        // Who cannot leave is told before the password is looked at.
        let wrong = browser.post("/me/leave", &[("password", "seven red bicycles")]).await;
        wrong.page(if status == 409 { 409 } else { 403 });
        let left = browser.post("/me/leave", &[("password", PASSWORD)]).await;
        left.page(status);
        assert_eq!(browser.is_signed_in().await, status == 409, "{who}");
        if status == 200 {
            left.says("You have left Acme").hides("bo@example.org");
            assert_eq!(browser.cookie(SESSION), None);
        }
    }
    assert!(console.stage.app.clock.now() > NOW);
}

fn about(member: &Member) -> String {
    format!("/team/members/{}", member.id)
}

#[tokio::test]
async fn a_locked_member_is_shown_to_who_may_see_the_team() {
    let console = ApiFixture::new().await;
    let stage = &console.stage;
    stage.member("ann", "administrator").await;
    let (of_bo, of_cy) =
        (stage.member("bo", "operator").await, stage.member("cy", "operator").await);
    let (of_bo, of_cy) = (about(&of_bo), about(&of_cy));
    let (ann, bo) = (Browser::new(&console), Browser::new(&console));
    ann.sign_in("ann").await;
    let pages = ["/team?search=bo", of_bo.as_str()];
    for page in pages {
        ann.get(page).await.page(200).says("Active</span>").hides("Sign-in locked</span>");
    }
    let wrong = [("account", "acme"), ("email", "bo@example.org"), ("password", "not this one")];
    for _ in 0..5 {
        bo.post("/sign-in", &wrong).await;
        stage.later(4_000);
    }
    // Five failures: the sixth try waits five seconds, of which four are over.
    bo.post("/sign-in", &wrong).await.page(429);
    for page in pages {
        ann.get(page)
            .await
            .page(200)
            .says("Sign-in locked</span> until <time")
            .hides("Active</span>");
    }
    ann.get(&of_bo).await.says("Too many wrong passwords or codes");
    ann.get(&of_cy).await.hides("Sign-in locked</span>");
    bo.sign_in("cy").await;
    bo.get(&of_bo).await.page(403).hides("Sign-in locked");
    stage.later(1_000);
    for page in pages {
        ann.get(page).await.page(200).says("Active</span>").hides("Sign-in locked</span>");
    }

    // Guessing codes with the correct password locks codes until there is a new password.
    let di = guarded(stage, "di", "operator").await.member;
    for _ in 0..limits::CODE_FAILURES_MAX {
        stage.app.store.code_failed(&di, None).await.unwrap();
    }
    let page = ann.get(&about(&di)).await;
    page.page(200).says("Sign-in locked</span>").says("Send a password reset").hides("until <time");
    // A suspended one is that first of all.
    ann.post(&format!("{of_bo}/suspend"), &[]).await.leads_to("/team");
    bo.post("/sign-in", &wrong).await;
    ann.get(&of_bo).await.says("Suspended").hides("Sign-in locked</span>");
}

#[tokio::test]
async fn a_role_for_several_must_be_chosen_and_forms_lead_back_to_our_own_pages_only() {
    let console = ApiFixture::new().await;
    console.stage.member("ann", "administrator").await;
    let bo = console.stage.member("bo", "operator").await;
    let browser = Browser::new(&console);
    browser.sign_in("ann").await;
    let fields = [("do", "role"), ("id", bo.id.as_str())];
    let refused = browser.post("/team/bulk", &fields).await;
    refused.page(400).says("id=\"role-wrong\"").says("Choose a role");
    let mut version = bo.version.0;
    for (back, leads_to) in [
        ("/team?search=lee&sort=-name", "/team?search=lee&sort=-name"),
        ("//evil.example", "/team"),
        ("https://evil.example/team", "/team"),
        ("/team?a\r\nset-cookie: b=c", "/team"),
    ] {
        let shown = version.to_string();
        let fields = [
            ("first_name", "Bo"),
            ("last_name", "Lee"),
            ("version", shown.as_str()),
            ("back", back),
        ];
        browser.post(&format!("{}/edit", about(&bo)), &fields).await.leads_to(leads_to);
        let now = console.stage.app.store.member(&bo.id).await.unwrap();
        version = now.unwrap().version.0;
    }
}

#[tokio::test]
async fn the_link_of_an_invitation_is_said_to_be_shown_again_and_is() {
    let console = ApiFixture::without_mail().await;
    console.stage.member("ann", "administrator").await;
    let bo = console.stage.member("bo", "operator").await;
    let browser = Browser::new(&console);
    browser.sign_in("ann").await;
    console.stage.later(61_000);
    let fields = [
        ("first_name", "Cy"),
        ("last_name", "Lee"),
        ("email", "cy@example.org"),
        ("role", "operator"),
    ];
    let made = browser.post("/team/invite", &fields).await;
    let link = made.page(200).between("id=\"link\" type=\"text\" value=\"", "\"").to_owned();
    let list = browser.get("/team?tab=invitations").await;
    let ids = list.text.split("/team/invitations/").skip(1);
    let mut ids = ids.filter_map(|rest| rest.split(|c: char| !c.is_ascii_alphanumeric()).next());
    let id = ids.find(|id| id.len() > 20).unwrap_or_else(|| panic!("{}", list.text));
    let path = format!("/team/invitations/{id}");
    browser.get(&format!("{path}/link")).await.page(200).hides("shown once");
    let shown = browser.post(&format!("{path}/link"), &[]).await;
    assert_eq!(shown.page(200).between("id=\"link\" type=\"text\" value=\"", "\""), link);
    for page in [&made, &shown] {
        page.says("You can see this link again").hides("won&#39;t see").hides("data-once");
    }
    // A link to a new password is shown once indeed.
    let reset = browser.post(&format!("{}/reset-password", about(&bo)), &[]).await;
    reset.page(200).says("You won&#39;t see this link again").says("data-once");
}

#[tokio::test]
async fn an_invitation_of_somebody_else_says_when_its_link_is_a_new_one() {
    let console = ApiFixture::new().await;
    let stage = &console.stage;
    stage.member("ann", "administrator").await;
    stage.later(61_000);
    let sent = stage.invite(stage.operator(), "cy", "operator").await.unwrap().value;
    stage.later(61_000);
    let browser = Browser::new(&console);
    browser.sign_in("ann").await;
    let path = format!("/team/invitations/{}", sent.view.invite.id);
    let renewed = "A new link is made, and the previous link stops working.";
    browser.get(&format!("{path}/link")).await.page(200).says(renewed);
    let sheet = browser.get(&format!("{path}/edit")).await;
    sheet
        .page(200)
        .says("The same happens if you change the role and somebody else sent the invitation.");
    let fields = |last_name, role| {
        let names = [("first_name", "Cy"), ("last_name", last_name)];
        [names, [("email", "cy@example.org"), ("role", role)]].concat()
    };
    let edit = format!("{path}/edit");
    let changed = browser.post(&edit, &fields("Lee", "chat_manager")).await;
    browser.led_to(changed).await.says("New link for cy@example.org created.");
    // From now on it is Ann's: the link stays.
    browser.get(&format!("{path}/link")).await.page(200).hides(renewed);
    let changed = browser.post(&edit, &fields("Low", "chat_manager")).await;
    browser.led_to(changed).await.says("Cy Low&#39;s invitation was changed.");
    // Nothing was typed that could be compared or saved.
    let stale = browser.post(&format!("{path}/revoke"), &[("version", "1")]).await;
    stale.page(412).says("Look at the current values, then confirm again.").hides("save again");
}

#[tokio::test]
async fn where_no_mail_is_sent_no_page_promises_any() {
    let console = ApiFixture::without_mail().await;
    let stage = &console.stage;
    let ann = guarded(stage, "ann", "administrator").await;
    let bo = guarded(stage, "bo", "operator").await.member;
    stage.later(61_000);
    let sent = stage.invite(stage.operator(), "cy", "operator").await.unwrap().value;
    let browser = Browser::new(&console);
    browser.get("/help").await.page(200).hides("sent by email").hides("we send you");
    for answer in [
        browser.get("/forgot").await,
        browser.post("/forgot", &[("account", "acme"), ("email", "bo@example.org")]).await,
    ] {
        answer.page(200).says("No mail is sent here").hides("<form").hides("on its way");
    }
    browser.get("/join").await.page(200).hides("mail. If it does not open");
    let dead = "A".repeat(43);
    let asked = browser.post("/join/request-new", &[("token", &dead)]).await;
    browser.led_to(asked).await.page(200).says("No mail is sent here").hides("by mail");

    let session = ann.entered.token.expose().to_owned();
    browser.cookies.borrow_mut().insert(SESSION.to_owned(), session);
    let (of_bo, of_cy) = (about(&bo), format!("/team/invitations/{}", sent.view.invite.id));
    for (path, told) in [
        (format!("{of_bo}/reset-password"), "You get a link to pass on"),
        (format!("{of_bo}/reset-two-step"), "No mail is sent here: tell Ann Lee yourself"),
        (format!("{of_bo}/edit"), "Only your system administrator can change the address"),
        (format!("{of_cy}/resend"), "You get a new link to pass on"),
        (format!("{of_cy}/edit"), "you get a new link to pass on"),
    ] {
        let page = browser.get(&path).await;
        page.page(200).says(told).hides("is sent to").hides("told by mail").hides("sent there");
    }
    for answer in [
        browser.get("/me/email").await,
        browser.post("/me/email", &[("email", "anna@example.org"), ("password", "x")]).await,
    ] {
        answer
            .page(409)
            .says("No mail is sent here")
            .hides("We send a link")
            .hides("name=\"email\"");
    }
    // What is promised comes.
    let reset = browser.post(&format!("{of_bo}/reset-password"), &[]).await;
    reset.page(200).says("Give this link to Ann Lee");
    stage.later(61_000);
    let anew = browser.post(&format!("{of_cy}/resend"), &[]).await;
    anew.page(200).says("Give this link to cy@example.org: it opens the invitation.");
    // Nor is anybody asked by mail for an invitation that has expired.
    let code = anew.between("/join#", "\"").to_owned();
    stage.later(100 * HOUR);
    let late = browser.post("/join/look", &[("token", &code)]).await;
    late.page(410).says(" for a new one.").hides("/join/request-new");
}

#[tokio::test]
async fn several_are_checked_as_they_would_be_sent_and_get_links_where_no_mail_is_sent() {
    let lines = "First name,Last name,Email,Role\n\
        Bo,Lee,bo@example.org,Operator\n\
        Bob,Lee,BO@example.org,operator\n\
        Cy,Lee,cy@example.org,operator\n\
        Di,Lee,ann@example.org,operator\n\
        Ed,Lee,ed@example.org,boss\n\
        Fay,Lee,fay@example.org";
    for console in [ApiFixture::new().await, ApiFixture::without_mail().await] {
        let stage = &console.stage;
        stage.member("ann", "administrator").await;
        stage.later(61_000);
        stage.invite(stage.operator(), "cy", "operator").await.unwrap();
        stage.later(61_000);
        let browser = Browser::new(&console);
        browser.sign_in("ann").await;
        let form = browser.get("/team/invite-several").await;
        let roles = form.page(200).between("Roles that you can give: ", "</p>");
        assert!(roles.contains("Broadcast Manager") && !roles.contains('_'), "{roles}");
        let many = "x\n".repeat(101);
        let many = browser.post("/team/invite-several", &[("lines", &many), ("role", "-")]).await;
        many.page(400).says("You entered 101 people");

        let fields = [("lines", lines), ("role", "-"), ("send", "")];
        let checked = browser.post("/team/invite-several", &fields).await;
        checked.page(200).says("Invite 1 person").hides("First name,Last name");
        for why in [
            "Same address as line 1.",
            "Already invited, until ",
            "Ann Lee already has access as Administrator",
            "There is no role boss: use one of Administrator, ",
            "No role is given: add it to the line, or choose a role for lines without one.",
            "<select id=\"role\" name=\"role\">",
            "<option value=\"-\" selected>",
        ] {
            checked.says(why);
        }
        let fields = [("lines", lines), ("role", "-"), ("send", "yes")];
        let sent = browser.post("/team/invite-several", &fields).await;
        sent.page(200).says("Created").says("Same address as line 1.");
        let links = sent.text.matches("/join#").count();
        assert_eq!(links, usize::from(!stage.app.mailer.sends()), "{}", sent.text);
    }
}

#[tokio::test]
async fn an_action_that_the_state_rules_out_has_no_form_but_says_why() {
    let console = ApiFixture::new().await;
    let stage = &console.stage;
    let ann = guarded(stage, "ann", "administrator").await;
    let bo = stage.member("bo", "operator").await;
    let suspended = stage.member("cy", "operator").await;
    let chosen = ChosenMember { id: suspended.id.clone(), expected: None };
    members::suspend(&stage.app, stage.operator(), chosen).await.unwrap();
    let mut over = Vec::new();
    for who in ["dee", "eve"] {
        stage.later(61_000);
        let sent = stage.invite(stage.operator(), who, "operator").await.unwrap().value;
        over.push((sent.view.invite.id, link_in(&stage.mails().await[0].1).code));
    }
    invites::accept(&stage.app, over[0].1.expose(), PASSWORD).await.unwrap();
    let chosen = ChosenInvite { id: over[1].0.clone(), expected: None };
    invites::revoke(&stage.app, stage.operator(), chosen).await.unwrap();
    let [joined, revoked] = [0, 1].map(|at: usize| format!("/team/invitations/{}", over[at].0));

    let browser = Browser::new(&console);
    let session = ann.entered.token.expose().to_owned();
    browser.cookies.borrow_mut().insert(SESSION.to_owned(), session);
    browser.get("/me/two-step/off").await.page(200).says("action=\"/me/two-step/off\"");
    let edit = AccountEdit { two_step_enforced: Some(true), ..AccountEdit::default() };
    accounts::edit(&stage.app, stage.operator(), Some(Version::FIRST), edit).await.unwrap();
    let (of_ann, of_bo, of_cy) = (about(&ann.member), about(&bo), about(&suspended));
    let last = "is the last administrator of the team. Make somebody else";
    let restore = format!("{of_cy}/restore\"");
    let of_joined = "/team/members/";
    let own = "You cannot change your own role. Ask another administrator";
    for (path, why, next) in [
        (format!("{of_ann}/suspend"), last, "/team\""),
        (format!("{of_ann}/remove"), last, "/team\""),
        (format!("{of_ann}/role"), own, of_ann.as_str()),
        (format!("{of_ann}/reset-two-step"), "is under My security", "/me\""),
        (format!("{of_cy}/reset-password"), "Restore Ann Lee first", restore.as_str()),
        (format!("{of_cy}/end-sessions"), "is suspended already", of_cy.as_str()),
        (format!("{of_cy}/suspend"), "is suspended already", of_cy.as_str()),
        (format!("{of_bo}/restore"), "Ann Lee is active already", of_bo.as_str()),
        (format!("{of_bo}/reset-two-step"), "there is nothing to reset", of_bo.as_str()),
        (format!("{joined}/edit"), "Ann Lee has joined. Change the member", of_joined),
        (format!("{joined}/resend"), "Ann Lee has joined. Change the member", of_joined),
        (format!("{joined}/revoke"), "Ann Lee has joined. Change the member", of_joined),
        (format!("{revoked}/edit"), "was revoked, and its link no longer works", "/team/invite\""),
        (format!("{revoked}/link"), "was revoked, and its link no longer works", "/team/invite\""),
        (
            format!("{revoked}/revoke"),
            "was revoked, and its link no longer works",
            "/team/invite\"",
        ),
        ("/me/two-step/off".to_owned(), "Your team requires two-step", "/me/two-step\""),
        ("/me/leave".to_owned(), "You are the last administrator", "/team\""),
    ] {
        let form = format!("action=\"{path}\"");
        browser.get(&path).await.page(409).says(why).says(next).hides(&form);
        // Nor does one come back that was sent although it was not offered.
        let code = ann.phone.shows(stage, 1);
        let fields = [("password", PASSWORD), ("code", &code), ("name", "Ann Lee")];
        let fields = [&fields[..], &[("role", "operator"), ("seen", "yes")]].concat();
        // To end no session is not refused.
        let ends = |end: &str| path.ends_with(end);
        if !ends("/edit") && !ends("/reset-two-step") && !ends("/end-sessions") {
            browser.post(&path, &fields).await.page(409).says(why).hides(&form);
        }
    }
    let browser = Browser::new(&console);
    let edit = AccountEdit { two_step_enforced: Some(false), ..AccountEdit::default() };
    let now = stage.app.store.account(&stage.acme).await.unwrap().unwrap().version;
    accounts::edit(&stage.app, stage.operator(), Some(now), edit).await.unwrap();
    browser.sign_in("bo").await;
    for (path, why, next) in [
        ("/me/two-step/off", "Your two-step verification is off already", "/me\""),
        ("/me/recovery-codes", "Turn it on to get them", "/me/two-step\""),
        ("/me/passkeys/new", "Turn on two-step verification first", "/me/two-step\""),
    ] {
        let form = format!("action=\"{path}\"");
        browser.get(path).await.page(409).says(why).says(next).hides(&form);
        let fields = [("password", PASSWORD), ("name", "Phone")];
        browser.post(path, &fields).await.page(409).says(why).hides(&form);
    }
}

#[tokio::test]
async fn nobody_suspends_oneself_by_a_page() {
    let console = ApiFixture::new().await;
    let ann = console.stage.member("ann", "administrator").await;
    console.stage.member("bo", "administrator").await;
    let browser = Browser::new(&console);
    browser.sign_in("ann").await;
    let path = format!("{}/suspend", about(&ann));
    let why = "You cannot suspend yourself: ask another administrator";
    browser.get(&path).await.page(409).says(why).hides("They cannot sign in");
    browser.post(&path, &[("seen", "yes")]).await.page(409).says(why);
    assert!(browser.is_signed_in().await);
}

#[tokio::test]
async fn an_address_whose_domain_has_no_dot_is_invited_with_a_hint() {
    let hint = "example has no dot: check the address.";
    for console in [ApiFixture::new().await, ApiFixture::without_mail().await] {
        console.stage.member("ann", "administrator").await;
        let browser = Browser::new(&console);
        browser.sign_in("ann").await;
        let lines = "Asha,Rao,asha@example,operator\nBo,Lee,bo@example.org,operator";
        let fields = [("lines", lines), ("role", "-"), ("send", "")];
        let checked = browser.post("/team/invite-several", &fields).await;
        checked.page(200).says("Invite 2 people");
        assert_eq!(checked.text.matches(hint).count(), 1, "{}", checked.text);
        console.stage.later(61_000);
        let person = [("first_name", "Asha"), ("email", "<asha@example>"), ("role", "operator")];
        let sent = browser.post("/team/invite", &person).await;
        browser.led_to(sent).await.says("asha@example").says(hint);
    }
}

#[tokio::test]
async fn what_was_typed_to_confirm_is_kept_and_a_reset_asks_for_the_own_factor_first() {
    let console = ApiFixture::new().await;
    let stage = &console.stage;
    stage.member("ann", "administrator").await;
    let bo = stage.member("bo", "administrator").await;
    let cy = stage.member("cy", "operator").await;
    let browser = Browser::new(&console);
    browser.sign_in("ann").await;
    let remove = format!("{}/remove", about(&bo));
    let refused = browser.post(&remove, &[("name", "Ann Leee")]).await;
    refused.page(400).says("value=\"Ann Leee\"").says("id=\"name-wrong\"");
    let fields = [("do", "remove"), ("id", cy.id.as_str()), ("count", "12")];
    browser.post("/team/bulk", &fields).await.page(400).says("value=\"12\"");
    let dee = guarded(stage, "dee", "operator").await.member;
    let factor = browser.get(&format!("{}/reset-two-step", about(&dee))).await;
    factor
        .page(409)
        .says("Turn on your own two-step verification first")
        .says("/me/two-step\"")
        .hides("type=\"password\"");
    // Nobody is said to be signed out who was not signed in.
    let ended = browser.post(&format!("{}/end-sessions", about(&cy)), &[]).await;
    browser.led_to(ended).await.says("was not signed in on any device").hides("0 devices");
    let gone = browser.post(&format!("{}/remove", about(&cy)), &[]).await;
    browser.led_to(gone).await.says("Ann Lee was removed.").hides("0 devices");
}
