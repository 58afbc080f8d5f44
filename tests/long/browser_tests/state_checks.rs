//! Checks of every state of the console: no complaint of axe, in light and dark mode; a visible
//! focus that reaches everything and is never covered, also in forced colours; a layout for phones;
//! no motion if it is not wanted; and no error of the browser.
//!
//! If `KWIC_TEAM_SCREENSHOTS` names a folder, screenshots of all states are saved there;
//! `KWIC_TEAM_STATES` selects states by parts of their names, separated by commas.

use std::any::Any;
use std::collections::BTreeSet;
use std::future::poll_fn;
use std::io::{BufRead, BufReader, Write as _};
use std::net::TcpListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::task::Poll;

use base64::Engine as _;
use kwic_team::domain::{AccountSlug, Generation, InviteId};
use kwic_team::keys::Keys;
use serde_json::{Value as Json, json};

use super::browser::{Browser, is_there, key};
use super::state_list::{DEMO_PASSWORD, NOBODY, SCENES, SECURED, Scene, State, Step};
use super::user_journeys::{code_of, link_to};
use crate::support::api_users::{self, PASSWORD, Person};
use crate::support::sidecar::{
    Sidecar, Start, eventually, is_installed, is_there as is_found, shipped_policies, with_auditor,
};
use crate::support::virtual_authenticator::{Says, VirtualAuthenticator};

/// What axe is asked to look at.
const RULES: [&str; 6] = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

/// No motion is asked for in any state: colours that fade into those of another scheme would be
/// drawn again and again, and waited for.
const CALM: (&str, &str) = ("prefers-reduced-motion", "reduce");

/// Where axe-core was put by `npm install --prefix`.
fn axe() -> PathBuf {
    let chosen = std::env::var_os("KWIC_TEAM_AXE").map(PathBuf::from);
    chosen.unwrap_or_else(|| {
        let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let cache = cache
            .unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"));
        cache.join("kwic-team-ci/node_modules/axe-core/axe.min.js")
    })
}

/// A folder for pictures, outside of the repository.
fn pictures() -> Option<PathBuf> {
    let folder = PathBuf::from(std::env::var_os("KWIC_TEAM_SCREENSHOTS")?);
    std::fs::create_dir_all(&folder).unwrap();
    let folder = folder.canonicalize().unwrap();
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    assert!(!folder.starts_with(own), "name a folder outside of {}", own.display());
    Some(folder)
}

/// What links in mails begin with; the walk goes to where the sidecar really is.
const PUBLIC: &str = "http://localhost:1";

/// A mail server that takes nothing from us, so that mail stops; ends with the process.
fn unwilling_mail_server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut answers = stream.try_clone().unwrap();
            let _ = answers.write_all(b"220 smtp.example\r\n");
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                let answer = match line.get(..4).unwrap_or_default() {
                    "EHLO" | "RSET" => "250 smtp.example",
                    "QUIT" => "221 bye",
                    _ => "550 5.7.1 this sender may not send from here",
                };
                let _ = answers.write_all(format!("{answer}\r\n").as_bytes());
            }
        }
    });
    port
}

impl Scene {
    /// Starts its sidecar.
    fn begin(self) -> Sidecar {
        match self {
            Self::Demo => Sidecar::start_with(&Start {
                arguments: &["--demo"],
                // Passkeys are offered where the address is a name.
                console: format!("public_url = \"{PUBLIC}\""),
                environment: vec![
                    ("KWIC_TEAM_POLICIES_MANAGED_BY", PathBuf::from("demo")),
                    ("KWIC_TEAM_POLICIES_HOLD_WIDENING", PathBuf::from("true")),
                    ("KWIC_TEAM_POLICIES_SHADOW", shipped_policies()),
                    ("KWIC_TEAM_POLICIES_SHADOW_SAMPLE", PathBuf::from("1")),
                ],
                ..Start::default()
            }),
            Self::Fresh => Sidecar::start(),
            Self::Alone => {
                let sidecar = Sidecar::start();
                with_members(&sidecar, &[("chief", "administrator")]);
                sidecar
            }
            Self::Halted => {
                let (policies, port) = (with_auditor(), unwilling_mail_server());
                let sidecar = Sidecar::start_with(&Start {
                    config: format!(
                        "[mail]\nkind = \"smtp\"\nurl = \"smtp://127.0.0.1:{port}\"\nfrom = \"no-reply@example.org\"\n"
                    ),
                    console: format!("public_url = \"{PUBLIC}\""),
                    policies: Some(policies.path().to_owned()),
                    ..Start::default()
                });
                let roles = ["administrator", "operator", "auditor"];
                let members: Vec<_> = ["chief", "asha", "auditor"].into_iter().zip(roles).collect();
                with_members(&sidecar, &members);
                let who =
                    ["--email", "bo@example.org", "--first-name", "Bo", "--last-name", "Waiting"];
                sidecar.ok(&[&["invite", "send", "--role", "operator"][..], &who].concat());
                eventually("mail stops", || {
                    sidecar.ok(&["mail", "status", "--json"]).contains("\"cause\"")
                });
                sidecar
            }
        }
    }

    /// Account, address and password.
    fn login(self, who: &str) -> (&'static str, String, &'static str) {
        match self {
            Self::Demo => ("demo", format!("{who}@demo.example"), DEMO_PASSWORD),
            _ => ("acme", format!("{who}@example.org"), PASSWORD),
        }
    }
}

/// An account `acme`, and members who have a password: `id,role` each.
pub fn with_members(sidecar: &Sidecar, members: &[(&str, &str)]) {
    sidecar.account("acme");
    sidecar.members("acme", members);
    for (id, _) in members {
        drop(Person::of_import(sidecar, "acme", id));
    }
}

/// The id of what a list of the operator's shows first.
pub fn id_of(sidecar: &Sidecar, list: &[&str]) -> String {
    let listed = sidecar.ok(&[list, &["--json"]].concat());
    let first = listed.lines().next().unwrap_or_else(|| panic!("nobody by {list:?}"));
    let first: Json = serde_json::from_str(first).unwrap();
    first["id"].as_str().unwrap().to_owned()
}

/// The link of an invitation as it was first sent, made by the sidecar's own keys: it is known also
/// where it opens no more.
pub fn first_link(sidecar: &Sidecar, account: &str, invite: &str) -> String {
    let keys = Keys::open(&sidecar.path("data/keys")).unwrap();
    let account = AccountSlug::parse(account).unwrap();
    let invite = InviteId::parse(invite).unwrap();
    let token = keys.invite_token(keys.current(), &account, &invite, Generation::FIRST);
    format!("/join#{}", token.unwrap().expose())
}

/// Signs in by the page.
pub async fn sign_in(browser: &Browser, account: &str, email: &str, password: &str) {
    browser.open("/sign-in").await;
    browser.fill("Account", account).await;
    browser.fill("Email address", email).await;
    browser.fill("Password", password).await;
    browser.click("Sign in").await;
}

/// A scene, and a browser in front of it.
struct Walk {
    scene: Scene,
    sidecar: Sidecar,
    browser: Browser,
    /// The viewer.
    who: &'static str,
    /// Recovery codes of [`SECURED`] that were not used yet.
    codes: Vec<String>,
    axe: String,
    pictures: Option<PathBuf>,
    faults: Vec<String>,
}

impl Walk {
    async fn begin() -> Self {
        let (scene, sidecar) = (Scene::Demo, Scene::Demo.begin());
        let browser = Browser::at(&format!("http://{}", sidecar.console)).await;
        let axe = std::fs::read_to_string(axe()).unwrap();
        let (codes, faults) = (Vec::new(), Vec::new());
        Self { scene, sidecar, browser, who: NOBODY, codes, axe, pictures: pictures(), faults }
    }

    async fn go_to(&mut self, scene: Scene) {
        if self.scene != scene {
            // Nothing of the scene before is still asked for.
            self.browser.open("about:blank").await;
            self.sidecar = scene.begin();
            self.browser.base = format!("http://{}", self.sidecar.console);
            (self.scene, self.who) = (scene, NOBODY);
        }
    }

    async fn become_one(&mut self, who: &'static str) {
        if who != NOBODY && self.who == who {
            return;
        }
        let browser = &self.browser;
        browser.scripts(true).await;
        browser.forget_cookies().await;
        self.who = who;
        if who == NOBODY {
            return;
        }
        let (account, email, password) = self.scene.login(who);
        sign_in(browser, account, &email, password).await;
        if who == SECURED && !self.codes.is_empty() {
            browser.sees("Back to sign-in").await;
            self.step(&Step::FillRecovery("Code"), "").await;
            self.browser.click("Sign in").await;
        }
        self.browser.sees("Sign out").await;
        if who == SECURED && self.codes.is_empty() {
            self.sets_up_second_step(password).await;
        }
    }

    async fn sets_up_second_step(&mut self, password: &'static str) {
        for step in [
            Step::Goes("/me/two-step"),
            Step::Fill("Your password", password),
            Step::Click("Continue"),
            Step::Sees("Scan this"),
            Step::FillCode("6-digit code"),
            Step::Click("Turn on"),
            Step::Sees("Your recovery codes"),
        ] {
            self.step(&step, "").await;
        }
        let script = "return [...document.querySelectorAll('.codes li')].map((it) => it.innerText)";
        let codes = self.browser.ask(script, Vec::new()).await;
        self.codes = serde_json::from_value(codes).unwrap();
    }

    /// The viewer's passkey, created if there is none.
    async fn passkey(&mut self) -> String {
        let cookies = json!({"urls": [self.browser.base]});
        let cookies = self.browser.devtools("Network.getCookies", cookies).await;
        let cookies = cookies["cookies"].as_array().unwrap().iter();
        let cookies: Vec<String> = cookies
            .map(|it| format!("{}={}", it["name"].as_str().unwrap(), it["value"].as_str().unwrap()))
            .collect();
        let headers = format!("cookie: {}\r\nsec-fetch-site: same-origin\r\n", cookies.join("; "));
        let call = |line, body| api_users::call(&self.sidecar, line, &headers, body);
        let known = call("GET /me/passkeys", None).json();
        if let Some(id) = known["items"][0]["id"].as_str() {
            return id.to_owned();
        }
        let shown = json!({"password": DEMO_PASSWORD, "code": self.codes.pop().unwrap()});
        let asked = call("POST /me/passkeys", Some(&shown)).json();
        let says = Says::truly("webauthn.create", PUBLIC, &asked["options"]);
        let credential = VirtualAuthenticator::new(1).makes(&says);
        let made =
            json!({"challenge": asked["challenge"], "name": "Phone", "credential": credential});
        let made = call("POST /me/passkeys/confirm", Some(&made));
        assert_eq!((made.status, made.header("set-cookie")), (201, None), "{made:?}");
        made.json()["id"].as_str().unwrap().to_owned()
    }

    async fn filled_in(&mut self, place: &str) -> String {
        let (kind, name) = place.split_once(':').unwrap_or((place, ""));
        let invite = || id_of(&self.sidecar, &["invite", "list", "--search", name]);
        match kind {
            "invite" => invite(),
            "member" => id_of(&self.sidecar, &["member", "list", "--search", name]),
            "token" => {
                let listed = self.sidecar.ok(&["token", "list", "--json"]);
                let mut tokens =
                    listed.lines().map(|line| serde_json::from_str::<Json>(line).unwrap());
                let token = tokens.find(|token| token["name"] == name).unwrap();
                token["id"].as_str().unwrap().to_owned()
            }
            "passkey" => self.passkey().await,
            "join" => first_link(&self.sidecar, self.scene.login(NOBODY).0, &invite()),
            "reset" => {
                let printed = self.sidecar.ok(&["member", "reset-password", name, "--json"]);
                let printed: Json = serde_json::from_str(&printed).unwrap();
                printed["link"].as_str().unwrap().to_owned()
            }
            "setup" => {
                let said = self.sidecar.said.iter().map(|line| line.trim());
                said.clone().find(|line| line.contains("/setup#")).unwrap().to_owned()
            }
            _ => panic!("no place is called `{place}`"),
        }
    }

    /// A link as the sidecar gives it, below where the sidecar is.
    fn here(&self, link: &str) -> String {
        link.replacen(PUBLIC, "", 1)
    }

    /// A path of the list, with its places filled in.
    async fn path(&mut self, path: &str) -> String {
        let mut whole = String::new();
        let mut rest = path;
        while let Some((before, after)) = rest.split_once('{') {
            let (place, after) = after.split_once('}').unwrap();
            whole.push_str(before);
            whole.push_str(&self.filled_in(place).await);
            rest = after;
        }
        whole += rest;
        self.here(&whole)
    }

    async fn go(&mut self, state: &State) {
        let browser = &self.browser;
        browser.width(1280).await;
        browser.prefers(&[CALM]).await;
        let without = state.way.iter().any(|step| matches!(step, Step::NoScript));
        browser.scripts(!without).await;
        let path = self.path(state.path).await;
        self.browser.open(&path).await;
        for step in state.way {
            self.step(step, &path).await;
        }
        // The page stays as it is; who looks at it needs scripts of their own.
        self.browser.scripts(true).await;
    }

    async fn step(&mut self, step: &Step, path: &str) {
        let browser = &self.browser;
        match *step {
            Step::Click(words) => browser.click(words).await,
            Step::Fill(label, text) => browser.fill(label, text).await,
            Step::FillCode(label) => {
                let secret = browser.ask("return document.querySelector('.key').innerText", vec![]);
                browser.fill(label, &code_of(secret.await.as_str().unwrap())).await;
            }
            Step::FillRecovery(label) => {
                let code = self.codes.pop().unwrap();
                browser.fill(label, &code).await;
            }
            Step::Choose(label, option) => browser.choose(label, option).await,
            Step::Keys(key) => browser.press(&key.to_string()).await,
            Step::Sees(text) => browser.sees(text).await,
            Step::Comes(text) => {
                let what = format!("for {text:?} to come");
                let comes = async |it: &Browser| {
                    it.open(path).await;
                    it.text().await.contains(text)
                };
                browser.until(&what, comes).await;
            }
            Step::Refused => {
                let there = "return document.querySelector('#faults') !== null";
                let what = "to be told why not";
                browser.until(what, async |it| it.ask(there, Vec::new()).await == true).await;
            }
            Step::Width(pixels) => browser.width(pixels).await,
            Step::NoScript => {}
            Step::Again => browser.open(path).await,
            Step::Goes(path) => {
                let path = self.path(path).await;
                self.browser.open(&path).await;
            }
            Step::Mail(address) => {
                browser.open(&self.here(&link_to(&self.sidecar, address))).await;
            }
            Step::Offline => browser.offline(true).await,
            Step::Elsewhere => {
                let (account, email, password) = self.scene.login(self.who);
                let body = json!({"account": account, "email": email, "password": password});
                let answer = api_users::call(&self.sidecar, "POST /sign-in", "", Some(&body));
                assert_eq!(answer.status, 200, "{answer:?}");
            }
            Step::Meanwhile(command) => drop(self.sidecar.run(command)),
            Step::BreakPolicies => {
                let rule = self.sidecar.path("policies/rules/tenancy.cedar");
                std::fs::write(rule, "forbid(").unwrap();
            }
            Step::WidenPolicies => {
                let folder = self.sidecar.path("policies");
                // The shipped tests hold the shipped roles.
                let _ = std::fs::remove_dir_all(folder.join("tests"));
                let role = folder.join("roles/operator.cedar");
                let text = std::fs::read_to_string(&role).unwrap();
                let wider = text.replacen("[", r#"[KWIC::Action::"templates:view", "#, 1);
                std::fs::write(role, wider).unwrap();
            }
            Step::NarrowPolicies => {
                let folder = self.sidecar.path("policies");
                let _ = std::fs::remove_dir_all(folder.join("tests"));
                let shipped = shipped_policies().join("roles/operator.cedar");
                let text = std::fs::read_to_string(shipped).unwrap();
                let narrower = text.replacen(r#", KWIC::Action::"chats:respond""#, "", 1);
                assert_ne!(narrower, text);
                std::fs::write(folder.join("roles/operator.cedar"), narrower).unwrap();
                self.sidecar.ok(&["policy", "reload"]);
            }
        }
    }

    /// What axe objects to.
    async fn objections(&self, only: &[&str]) -> Vec<String> {
        let script = "const done = arguments[arguments.length - 1];
            const only = arguments[0];
            const run = only.length ? { runOnly: only } : { runOnly: arguments[1] };
            axe.run(document, { ...run, resultTypes: ['violations'] }).then(
                ({ violations }) => done(violations.flatMap((v) => v.nodes.map((n) =>
                    `${v.id}: ${n.html.slice(0, 160)}: ${n.failureSummary.replace(/\\s+/g, ' ').slice(0, 220)}`))),
                (fault) => done([`axe itself: ${fault}`]));";
        let found = self.browser.ask_later(script, vec![json!(only), json!(RULES)]).await;
        let found = found.as_array().unwrap().iter();
        found.map(|it| it.as_str().unwrap().to_owned()).collect()
    }

    /// What is wrong with the focus: goes through the page by Tab, to the end and round.
    async fn unfocused(&self) -> Vec<String> {
        let count = self.browser.ask(WATCH_FOCUS, Vec::new()).await.as_u64().unwrap();
        let tabs = key::TAB.to_string().repeat(usize::try_from(count).unwrap() + 4);
        self.browser.press(&tabs).await;
        let faults = self.browser.ask(FOCUS_FAULTS, Vec::new()).await;
        faults.as_array().unwrap().iter().map(|it| it.as_str().unwrap().to_owned()).collect()
    }

    /// What does not fit on a phone.
    async fn sideways(&self) -> Vec<String> {
        let script = "const page = document.documentElement;
            if (page.scrollWidth <= innerWidth) return [];
            const over = [...document.querySelectorAll('body *')].filter((e) =>
                shown(e) && e.getBoundingClientRect().right > innerWidth + 1);
            return [`${page.scrollWidth} px wide: ` + over.slice(0, 5).map((e) =>
                `${e.tagName.toLowerCase()}.${e.className} ${words(e.innerText).slice(0, 40)}`).join('; ')]";
        let faults = self.browser.ask(script, Vec::new()).await;
        faults.as_array().unwrap().iter().map(|it| it.as_str().unwrap().to_owned()).collect()
    }

    async fn take(&self, state: &State, scheme: &str, width: u32) {
        let Some(folder) = &self.pictures else { return };
        let taken = self.browser.picture().await;
        let bytes = base64::engine::general_purpose::STANDARD.decode(taken).unwrap();
        std::fs::write(folder.join(format!("{}-{scheme}-{width}.png", state.name)), bytes).unwrap();
    }

    /// What a script finds wrong.
    async fn found_by(&self, script: &str) -> Vec<String> {
        let faults = self.browser.ask(script, Vec::new()).await;
        faults.as_array().unwrap().iter().map(|it| it.as_str().unwrap().to_owned()).collect()
    }

    async fn look(&mut self, state: &State) {
        let begun = std::time::Instant::now();
        self.become_one(state.who).await;
        self.go(state).await;
        let browser = &self.browser;
        browser.inject(&self.axe).await;
        let mut found = self.objections(&[]).await;
        self.take(state, "light", 1280).await;
        found.extend(self.found_by(RAW).await);
        found.extend(self.found_by(MOVING).await);
        browser.prefers(&[CALM, ("prefers-color-scheme", "dark")]).await;
        found.extend(self.objections(&["color-contrast"]).await);
        self.take(state, "dark", 1280).await;
        browser.width(320).await;
        found.extend(self.sideways().await);
        found.extend(self.objections(&["target-size"]).await);
        self.take(state, "dark", 320).await;
        browser.prefers(&[CALM]).await;
        self.take(state, "light", 320).await;
        if !state.way.iter().any(|step| matches!(step, Step::Width(_))) {
            browser.width(1280).await;
        }
        found.extend(self.unfocused().await);
        let forced = [CALM, ("forced-colors", "active"), ("prefers-color-scheme", "dark")];
        browser.prefers(&forced).await;
        self.take(state, "forced", 1280).await;
        found.extend(self.found_by(UNSEEN).await);
        if state.way.iter().any(|step| matches!(step, Step::Offline)) {
            browser.offline(false).await;
        }
        // A state may be the end of a session.
        if browser.ask("return document.body.hasAttribute('data-live')", vec![]).await == false {
            self.who = NOBODY;
        }
        found.extend(browser.complaints().await);
        println!("{:<28} {:.1?}", state.name, begun.elapsed());
        let unique: BTreeSet<String> = found.into_iter().collect();
        self.faults.extend(unique.into_iter().map(|fault| format!("{}: {fault}", state.name)));
    }
}

/// What programs say to programs: moments of RFC 3339, ids with their kind, keys of the configuration,
/// commands, actions and reasons of the policies. What is set as code is meant so.
const RAW: &str = r"
const copy = document.body.cloneNode(true);
for (const e of copy.querySelectorAll('code, pre, script, template, noscript')) e.replaceWith(' ');
const walker = document.createTreeWalker(copy, NodeFilter.SHOW_TEXT);
const faults = [];
const raw = /\d{4}-\d{2}-\d{2}T\d|\b(member|invite|token|session|sidecar|user):\w|\b(console|mail|decision|policies|limits)\.[a-z_]+\b|kwic-team|admin\.sock|\b[a-z_]+:(view|edit|invite|remove|assign|create|manage|send|respond|monitor)\b|\b1 (seconds|minutes|hours|days|members|invitations|files|lines|entries|actions|devices|sessions)\b|`|\bundefined\b|\[object/;
while (walker.nextNode()) {
    const text = words(walker.currentNode.textContent);
    if (raw.test(text)) faults.push(`raw text: ${text.slice(0, 200)}`);
}
return faults.slice(0, 5);
";

/// What moves for longer than is seen as motion, where the reader asked for none.
const MOVING: &str = r"
const seconds = (time) => parseFloat(time) / (time.trim().endsWith('ms') ? 1000 : 1);
const faults = [];
for (const e of oneOfAKind([...document.querySelectorAll('*')])) {
    for (const part of [null, '::before', '::after', '::backdrop']) {
        const style = getComputedStyle(e, part);
        const times = [...style.transitionDuration.split(','), ...style.animationDuration.split(',')];
        if (times.some((time) => seconds(time) > 0.01) || style.scrollBehavior === 'smooth')
            faults.push(`${e.tagName.toLowerCase()}.${e.className}${part ?? ''} moves though no motion was asked for`);
    }
}
return faults.slice(0, 5);
";

/// What cannot be told from the page around it in forced colours, where backgrounds and shadows are
/// all alike; and what looks the same with the focus and without.
const UNSEEN: &str = r"
const faults = [];
const name = (e) => `${e.tagName.toLowerCase()}.${e.className} ${called(e).slice(0, 60)}`;
const edged = (e) => ['Top', 'Left'].every((side) => {
    const style = getComputedStyle(e);
    return style[`border${side}Style`] !== 'none' && parseFloat(style[`border${side}Width`]) > 0;
});
const seen = [...document.querySelectorAll('button, .button, input, select, textarea, dialog, .card, .toast, .told, .badge, [role=menu]')];
for (const e of seen.filter(shown))
    if (!edged(e) && !['checkbox', 'radio', 'hidden'].includes(e.type) && !e.closest('.hidden-visually') && !(e.matches('dialog, dialog > .card')))
        faults.push(`${name(e)} has no edge in forced colours`);
for (const e of document.querySelectorAll('dialog'))
    if (innerWidth > 640 && !edged(e) && !edged(e.firstElementChild)) faults.push('the dialog has no edge in forced colours');
for (const e of document.querySelectorAll('.qr'))
    if (getComputedStyle(e).backgroundColor !== 'rgb(255, 255, 255)') faults.push('the QR code is dark on dark in forced colours');
const ring = (e) => {
    const styles = [e, e.closest('label')].filter(Boolean).map((it) => getComputedStyle(it));
    return styles.map((it) => it.outlineStyle === 'none' ? '' : `${it.outlineStyle} ${it.outlineWidth} ${it.outlineColor}`).join();
};
const focusable = [...top.querySelectorAll('a[href], button, input, select, textarea, summary')]
    .filter((e) => shown(e) && !e.disabled && e.tabIndex >= 0 && e.type !== 'hidden');
for (const e of oneOfAKind(focusable)) {
    e.blur();
    const before = ring(e);
    e.focus({ preventScroll: true, focusVisible: true });
    const now = ring(e);
    if (document.activeElement === e && (before === now || now.replaceAll(',', '') === ''))
        faults.push(`focus does not show in forced colours on ${name(e)}`);
}
return [...new Set(faults)].slice(0, 12);
";

/// Begins to write down what the focus comes to, and how it looks there. Answers how many there are
/// to come to.
const WATCH_FOCUS: &str = r"
const all = [...top.querySelectorAll('a[href], button, input, select, textarea, summary, [tabindex=\'0\']')]
    .filter((e) => shown(e) && !e.disabled && e.tabIndex >= 0 && e.type !== 'hidden');
window.met = new Map();
window.wanted = all;
document.addEventListener('focusin', (event) => {
    const e = event.target;
    const seen = [e, e.closest('label')].filter(Boolean).map((it) => getComputedStyle(it));
    const outlined = seen.some((s) => (s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2) || s.boxShadow !== 'none');
    const box = (e.closest('label') ?? e).getBoundingClientRect();
    const place = e.getBoundingClientRect();
    const at = document.elementFromPoint(place.left + place.width / 2, place.top + place.height / 2);
    const covered = at && !(e.contains(at) || at.contains(e) || at.closest('label')?.contains(e));
    const inline = getComputedStyle(e).display === 'inline' && words(e.parentElement.innerText).length > words(e.innerText).length;
    // Focus that comes back with the window shows where it did before.
    const before = met.get(e);
    met.set(e, { outlined: outlined || before?.outlined, covered: covered && (before?.covered ?? true),
        by: covered ? at.outerHTML.slice(0, 80) : before?.by, small: !inline && (box.width < 24 || box.height < 24),
        size: `${Math.round(box.width)}x${Math.round(box.height)}` });
});
return all.length;
";

const FOCUS_FAULTS: &str = r"
const faults = [];
for (const [e, it] of met) {
    const name = `${e.tagName.toLowerCase()} ${called(e).slice(0, 60)}`;
    if (!it.outlined) faults.push(`focus does not show on ${name}`);
    if (it.covered) faults.push(`${name} is covered by ${it.by} when focused`);
    if (it.small) faults.push(`${name} is a target of only ${it.size}`);
}
const group = (e) => e.type === 'radio' && [...met.keys()].some((other) => other.name === e.name && other.type === 'radio');
for (const e of wanted) {
    if (!met.has(e) && !group(e) && e.isConnected && shown(e)) faults.push(`Tab does not come to ${e.tagName.toLowerCase()} ${called(e).slice(0, 60)}`);
}
return faults;
";

#[tokio::test]
async fn every_state_is_open_to_everybody() {
    let there = is_there() && is_installed("oathtool");
    if !there || !is_found("axe-core", std::process::Command::new("ls").arg(axe())) {
        return;
    }
    let wanted = std::env::var("KWIC_TEAM_STATES").unwrap_or_default();
    let is_wanted = |state: &State| wanted.split(',').any(|part| state.name.contains(part));
    let states: Vec<_> = states().filter(|(_, state)| is_wanted(state)).collect();
    // Two people share the way.
    let (some, others) = states.split_at(states.len() / 2);
    let (mut faults, more) = tokio::join!(walked(some), walked(others));
    faults.extend(more);
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

fn states() -> impl Iterator<Item = (Scene, &'static State)> {
    SCENES.iter().flat_map(|(scene, states)| states.iter().map(|state| (*scene, state)))
}

/// Goes through some of the states; answers what is wrong in them.
async fn walked(states: &[(Scene, &State)]) -> Vec<String> {
    if states.is_empty() {
        return Vec::new();
    }
    let mut walk = Walk::begin().await;
    for (scene, state) in states {
        walk.go_to(*scene).await;
        let outcome = caught(walk.look(state)).await;
        walk.faults.extend(outcome.err().map(|fault| format!("{}: {fault}", state.name)));
    }
    walk.browser.leave().await;
    walk.faults
}

/// What a look says when it panics, so that one state that is lost hides no other.
async fn caught(look: impl Future<Output = ()>) -> Result<(), String> {
    let mut look = pin!(look);
    let said = |fault: Box<dyn Any + Send>| match fault.downcast::<String>() {
        Ok(text) => *text,
        Err(_) => "a panic".to_owned(),
    };
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| look.as_mut().poll(context))) {
        Ok(polled) => polled.map(Ok),
        Err(fault) => Poll::Ready(Err(said(fault))),
    })
    .await
}

#[test]
fn no_two_states_have_one_name() {
    let names: BTreeSet<&str> = states().map(|(_, state)| state.name).collect();
    assert_eq!(names.len(), states().count());
}

/// Pages that no state shows: one that only leads on, a stream, and one that is a file.
const SHOW_NOTHING: [&str; 3] = ["/", "/live", "/team/export"];

#[test]
fn no_page_is_left_out() {
    let router = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/console.rs");
    let router = std::fs::read_to_string(router).unwrap();
    let pages: Vec<&str> = router
        .lines()
        .filter_map(|line| line.split_once(": Get \"")?.1.split_once("\" => ").map(|it| it.0))
        .collect();
    assert!(pages.len() > 30, "{pages:?}");
    let opened = states().flat_map(|(_, state)| {
        let goes = state.way.iter().filter_map(|step| match step {
            Step::Goes(path) => Some(*path),
            _ => None,
        });
        goes.chain([state.path])
    });
    let opened: Vec<&str> = opened.map(|path| path.split(['?', '#']).next().unwrap()).collect();
    let shows = |page: &str, path: &str| match path.split_once(':') {
        Some(("{join", _)) => page == "/join",
        Some(("{reset", _)) => page == "/reset",
        _ if path == "{setup}" => page == "/setup",
        _ => {
            let (wanted, given) = (page.split('/'), path.split('/'));
            wanted.clone().count() == given.clone().count()
                && wanted
                    .zip(given)
                    .all(|(wanted, given)| wanted == given || wanted.starts_with('{'))
        }
    };
    let is_left_out = |page: &&&str| !opened.iter().any(|path| shows(page, path));
    let left_out: Vec<&&str> = pages.iter().filter(is_left_out).collect();
    assert_eq!(left_out, SHOW_NOTHING.iter().collect::<Vec<_>>(), "no state shows these pages");
}
