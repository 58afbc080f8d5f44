//! Passkeys in a browser with a virtual authenticator: added, used to sign in, removed; and the
//! messages if there is none, if it refuses, and without JavaScript.

use std::net::TcpListener;
use std::path::PathBuf;

use serde_json::json;

use super::browser::{Browser, is_there};
use super::state_checks::sign_in;
use super::user_journeys::{Office, code_of};
use crate::support::api_users::{PASSWORD, Person};
use crate::support::sidecar::{Sidecar, Start, is_installed};

/// Ann's browser, in front of a console that has a name, with what she has in her hands.
struct Desk {
    browser: Browser,
    /// Recovery codes: unlike those of an app they need not be waited for.
    codes: Vec<String>,
    /// The authenticator in her device, once she has one.
    authenticator: String,
    office: Office,
}

/// A console at `http://localhost`, a name that browsers trust (Secure Contexts, section 3.1).
fn named_office() -> (Office, String) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("http://localhost:{port}");
    let start = Start {
        config: "[mail]\nkind = \"folder\"\n".to_owned(),
        console: format!("public_url = \"{address}\""),
        environment: vec![("KWIC_TEAM_CONSOLE_LISTEN", PathBuf::from(format!("127.0.0.1:{port}")))],
        ..Start::default()
    };
    let office = Office { sidecar: Sidecar::start_with(&start) };
    office.sidecar.account("acme");
    office.sidecar.members("acme", &[("ann", "administrator")]);
    drop(Person::of_import(&office.sidecar, "acme", "ann"));
    (office, address)
}

impl Desk {
    /// Ann with two-step verification by an app.
    async fn new() -> Self {
        let (office, address) = named_office();
        let browser = Browser::at(&address).await;
        let mut desk = Self { browser, codes: Vec::new(), authenticator: String::new(), office };
        desk.enter().await;
        desk.browser.sees("Sign out").await;
        desk.browser.open("/me").await;
        desk.browser.sees("Turn on two-step verification first").await;
        assert!(!desk.browser.text().await.contains("Add a passkey"));
        desk.browser.click("Turn on").await;
        desk.browser.fill("Your password", PASSWORD).await;
        desk.browser.click("Continue").await;
        desk.browser.sees("Scan this").await;
        let secret = "return document.querySelector('.key').innerText";
        let secret = desk.browser.ask(secret, vec![]).await;
        let code = code_of(secret.as_str().unwrap());
        desk.browser.fill("6-digit code", &code).await;
        desk.browser.click("Turn on").await;
        desk.browser.sees("Your recovery codes").await;
        let codes = "return [...document.querySelectorAll('.codes li')].map((e) => e.innerText)";
        let codes = desk.browser.ask(codes, vec![]).await;
        desk.codes = serde_json::from_value(codes).unwrap();
        desk.browser.open("/me").await;
        desk
    }

    /// The same with an authenticator in the device, that knows her by her finger.
    async fn with_authenticator() -> Self {
        let mut desk = Self::new().await;
        desk.browser.devtools("WebAuthn.enable", json!({"enableUI": false})).await;
        let options = json!({"protocol": "ctap2", "transport": "internal",
            "hasResidentKey": true, "hasUserVerification": true, "isUserVerified": true,
            "automaticPresenceSimulation": true});
        let added =
            desk.browser.devtools("WebAuthn.addVirtualAuthenticator", json!({"options": options}));
        desk.authenticator = added.await["authenticatorId"].as_str().unwrap().to_owned();
        desk
    }

    /// Whether user verification succeeds.
    async fn knows_her(&self, knows: bool) {
        let who = json!({"authenticatorId": self.authenticator, "isUserVerified": knows});
        self.browser.devtools("WebAuthn.setUserVerified", who).await;
    }

    /// How many credentials the authenticator holds.
    async fn held(&self) -> usize {
        let which = json!({"authenticatorId": self.authenticator});
        let held = self.browser.devtools("WebAuthn.getCredentials", which).await;
        held["credentials"].as_array().unwrap().len()
    }

    async fn enter(&self) {
        sign_in(&self.browser, "acme", "ann@example.org", PASSWORD).await;
    }

    async fn leave_and_enter(&self) {
        self.browser.click("Sign out").await;
        self.browser.sees("You've been signed out").await;
        self.enter().await;
        self.browser.sees("Code").await;
    }

    async fn show_who(&mut self) {
        self.browser.fill("Your password", PASSWORD).await;
        let code = self.codes.pop().unwrap();
        self.browser.fill("Code", &code).await;
    }

    /// Up to where the browser is asked.
    async fn begin_to_add(&mut self, name: &str) {
        self.browser.fill("Name", name).await;
        self.show_who().await;
        self.browser.click("Continue").await;
        self.browser.sees("Your browser asks where to keep it").await;
    }

    fn passkeys(&self) -> String {
        self.office.sidecar.ok(&["audit", "list", "--account", "acme", "--json"])
    }
}

const ADD: &str = "Add a passkey";
const MAKE: &str = "Create passkey";
const USE: &str = "Use a passkey";

#[tokio::test]
async fn a_passkey_is_added_signs_in_and_is_removed_on_pages() {
    if !is_there() || !is_installed("oathtool") {
        return;
    }
    let mut desk = Desk::with_authenticator().await;

    // A strange finger, and then hers: nothing has to be typed again.
    desk.browser.click(ADD).await;
    desk.begin_to_add("Phone").await;
    desk.knows_her(false).await;
    desk.browser.click(MAKE).await;
    desk.browser.sees("No passkey was created: it was cancelled").await;
    assert_eq!(desk.held().await, 0);
    desk.knows_her(true).await;
    desk.browser.click(MAKE).await;
    desk.browser.sees("The passkey Phone was added").await;
    assert_eq!((desk.held().await, desk.browser.path().await.as_str()), (1, "/me"));

    // One that is there already is not made again.
    desk.browser.open("/me").await;
    desk.browser.click(ADD).await;
    desk.begin_to_add("Phone again").await;
    desk.browser.click(MAKE).await;
    desk.browser.sees("You already have a passkey there").await;
    desk.browser.click("Cancel").await;
    desk.browser.sees_no("You already have a passkey there").await;
    assert_eq!(desk.held().await, 1);

    // Signing in by it, after a strange finger.
    desk.leave_and_enter().await;
    desk.knows_her(false).await;
    desk.browser.click(USE).await;
    desk.browser.sees("No passkey was used: it was cancelled").await;
    desk.knows_her(true).await;
    desk.browser.click(USE).await;
    desk.browser.sees("Sign out").await;
    desk.browser.sees("Team Management").await;
    assert!(desk.passkeys().contains("passkey_added"));

    // Removed, it is offered no more, and a code goes on working.
    desk.browser.open("/me").await;
    desk.browser.click("Remove Phone").await;
    desk.browser.sees("Remove the passkey Phone?").await;
    desk.show_who().await;
    desk.browser.click("Remove").await;
    desk.browser.sees("The passkey Phone was removed").await;
    desk.leave_and_enter().await;
    assert!(!desk.browser.text().await.contains(USE));
    let code = desk.codes.pop().unwrap();
    desk.browser.fill("Code", &code).await;
    desk.browser.click("Sign in").await;
    desk.browser.sees("Sign out").await;
    desk.browser.leave().await;
}

#[tokio::test]
async fn a_passkey_that_the_console_does_not_know_signs_nobody_in() {
    if !is_there() || !is_installed("oathtool") {
        return;
    }
    let mut desk = Desk::with_authenticator().await;
    desk.browser.open("/me/passkeys/new").await;
    desk.begin_to_add("Phone").await;
    desk.browser.click(MAKE).await;
    desk.browser.sees("The passkey Phone was added").await;

    // The answer to one question, bent on its way: told, and asked anew.
    desk.leave_and_enter().await;
    desk.browser
        .ask(
            "const asks = document.querySelector('[data-passkey]');
             const bent = JSON.parse(asks.dataset.options);
             bent.publicKey.challenge = bent.publicKey.challenge.replace(/^./, (c) => c === 'A' ? 'B' : 'A');
             asks.dataset.options = JSON.stringify(bent)",
            vec![],
        )
        .await;
    desk.browser.click(USE).await;
    desk.browser.sees("This passkey was not accepted").await;
    desk.browser.click(USE).await;
    desk.browser.sees("Sign out").await;
    desk.browser.leave().await;
}

#[tokio::test]
async fn a_browser_without_passkeys_is_told_so_and_codes_go_on_working() {
    if !is_there() || !is_installed("oathtool") {
        return;
    }
    let mut desk = Desk::with_authenticator().await;
    desk.browser.open("/me/passkeys/new").await;
    desk.begin_to_add("Phone").await;
    desk.browser.click(MAKE).await;
    desk.browser.sees("The passkey Phone was added").await;

    // A browser of before.
    let before = json!({"source": "delete PublicKeyCredential.parseCreationOptionsFromJSON"});
    desk.browser.devtools("Page.addScriptToEvaluateOnNewDocument", before).await;
    desk.browser.open("/me/passkeys/new").await;
    desk.begin_to_add("Old").await;
    desk.browser.click(MAKE).await;
    desk.browser.sees("This browser doesn't support passkeys").await;
    desk.leave_and_enter().await;
    assert!(!desk.browser.text().await.contains(USE));

    // One that runs no script: it is said, and what was typed stays.
    desk.browser.scripts(false).await;
    desk.browser.open("/sign-in").await;
    desk.enter().await;
    desk.browser.sees("Code").await;
    assert!(!desk.browser.text().await.contains(USE));
    let code = desk.codes.pop().unwrap();
    desk.browser.fill("Code", &code).await;
    desk.browser.click("Sign in").await;
    desk.browser.sees("Sign out").await;
    desk.browser.open("/me/passkeys/new").await;
    desk.browser.sees("Passkeys need JavaScript").await;
    desk.begin_to_add("Ring").await;
    // The page that is left says the same: what was typed is on the next one only.
    desk.browser.click(MAKE).await;
    desk.browser
        .until("for the name that was typed", async |it| it.value("Name").await == "Ring")
        .await;
    desk.browser.sees("Passkeys need JavaScript").await;
    assert_eq!(desk.held().await, 1);
    desk.browser.leave().await;
}
