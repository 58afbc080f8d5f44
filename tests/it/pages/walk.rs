//! Every state of the console, and what must hold in each: nothing that axe objects to, by day and
//! by night; a focus that shows, reaches everything and is nowhere covered; room on a phone; and no
//! complaint of the browser.
//!
//! Where `KWIC_TEAM_SCREENSHOTS` names a folder, pictures of all of them are put there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use serde_json::json;

use super::browser::{Browser, is_there, key};
use crate::support::{Sidecar, Start, is_there as is_found};

/// Printed by the demonstration beside its members.
pub const DEMO_PASSWORD: &str = "only for a look around";
/// What axe is asked to look at.
const RULES: [&str; 6] = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

/// One state of the console, and the way there.
pub struct State {
    pub name: &'static str,
    /// The role of the demonstration's member who looks; nobody where empty.
    who: &'static str,
    path: &'static str,
    way: &'static [Step],
}

/// One step on the way to a state.
#[derive(Clone, Copy)]
enum Step {
    Click(&'static str),
    Fill(&'static str, &'static str),
    Choose(&'static str, &'static str),
    Keys(char),
    /// Text that is shown once a page has come.
    Sees(&'static str),
    Width(u32),
    /// From here on, pages run no script.
    NoScript,
    Offline,
    /// Opens the page again.
    Again,
    /// A command of the operator: somebody else changes something meanwhile.
    Meanwhile(&'static [&'static str]),
    /// Policies that cannot be taken are put into the folder.
    BreakPolicies,
}

use Step::{
    Again, BreakPolicies, Choose, Click, Fill, Keys, Meanwhile, NoScript, Offline, Sees, Width,
};

const fn state(
    name: &'static str,
    who: &'static str,
    path: &'static str,
    way: &'static [Step],
) -> State {
    State { name, who, path, way }
}

const ADMIN: &str = "administrator";
const OPERATOR: &str = "operator";
const NOBODY: &str = "";
/// The longest name that is taken, and one letter more.
const LONG: &str = "Aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const TOO_LONG: &str = "Aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// All of them, those of one reader together.
pub const STATES: &[State] = &[
    state("sign-in", NOBODY, "/sign-in", &[]),
    state(
        "sign-in-refused",
        NOBODY,
        "/sign-in",
        &[
            Fill("Account", "demo"),
            Fill("Email address", "operator@demo.example"),
            Fill("Password", "something that is wrong"),
            Click("Sign in"),
            Sees("Password"),
        ],
    ),
    state("signed-out", NOBODY, "/signed-out", &[Sees("You are signed out")]),
    state("not-found-outside", NOBODY, "/nowhere", &[Sees("This page does not exist")]),
    state("help-outside", NOBODY, "/help", &[]),
    state("set-up-done", NOBODY, "/setup", &[]),
    state("join", NOBODY, "/join", &[Sees("Link or code")]),
    state(
        "join-dead-link",
        NOBODY,
        "/join",
        &[NoScript, Fill("Link or code", "nonsense"), Click("Go on")],
    ),
    state("forgot", NOBODY, "/forgot", &[]),
    state(
        "forgot-sent",
        NOBODY,
        "/forgot",
        &[
            Fill("Account", "demo"),
            Fill("Email address", "nobody@demo.example"),
            Click("Send the link"),
            Sees("on its way"),
        ],
    ),
    state("reset", NOBODY, "/reset", &[]),
    state("confirm-email", NOBODY, "/confirm-email", &[]),
    state("team", ADMIN, "/team", &[Sees("Team Management")]),
    state("team-without-script", ADMIN, "/team", &[NoScript, Sees("Manage")]),
    state("team-sorted", ADMIN, "/team?sort=-last_active", &[]),
    state("team-found", ADMIN, "/team?search=operator", &[Sees("1 member found")]),
    state("team-none-found", ADMIN, "/team?search=nobodyatall", &[Sees("Nobody matches")]),
    state(
        "team-menu",
        ADMIN,
        "/team?search=operator",
        &[Click("Actions for Demo Operator"), Sees("View permissions")],
    ),
    state(
        "team-ticked",
        ADMIN,
        "/team?search=manager",
        &[Click("Select everybody on this page"), Sees("selected")],
    ),
    state(
        "team-menu-on-a-phone",
        ADMIN,
        "/team?search=operator",
        &[Width(320), Click("Actions for Demo Operator"), Sees("View permissions")],
    ),
    state(
        "team-offline",
        ADMIN,
        "/team?search=operator",
        &[Offline, Click("Invite member"), Sees("cannot be reached")],
    ),
    state("invitations", ADMIN, "/team?tab=invitations", &[]),
    state(
        "invitations-none-found",
        ADMIN,
        "/team?tab=invitations&search=nobodyatall",
        &[Sees("Nobody matches")],
    ),
    state("invite", ADMIN, "/team/invite", &[Sees("First name")]),
    state("invite-dialog", ADMIN, "/team", &[Click("Invite member"), Sees("First name")]),
    state(
        "invite-refused",
        ADMIN,
        "/team/invite",
        &[
            NoScript,
            Fill("First name", LONG),
            Fill("Last name", "Rao"),
            Fill("Email address", "operator@demo.example"),
            Click("Operator"),
            Click("Send invitation"),
            Sees("already has access"),
        ],
    ),
    state(
        "invite-dialog-refused",
        ADMIN,
        "/team",
        &[
            Click("Invite member"),
            Fill("First name", "Asha"),
            Fill("Last name", "Rao"),
            Fill("Email address", "operator@demo.example"),
            Click("Operator"),
            Click("Send invitation"),
            Sees("already has access"),
        ],
    ),
    state("invite-several", ADMIN, "/team/invite-several", &[Sees("People")]),
    state(
        "invite-several-checked",
        ADMIN,
        "/team/invite-several",
        &[
            Fill("People", "Asha,Rao,asha@demo.example,operator\nNobody,,x,y"),
            Click("Check"),
            Sees("Can be sent"),
        ],
    ),
    state("member", ADMIN, "/team/members/demo-operator", &[Sees("Not included")]),
    state("member-oneself", ADMIN, "/team/members/demo-administrator", &[Sees("You")]),
    state("member-edit", ADMIN, "/team/members/demo-operator/edit", &[Sees("First name")]),
    state(
        "member-edit-refused",
        ADMIN,
        "/team/members/demo-operator/edit",
        &[Fill("First name", TOO_LONG), Fill("Last name", TOO_LONG), Click("Save"), Sees("64")],
    ),
    state("member-role", ADMIN, "/team/members/demo-operator/role", &[Sees("Administrator")]),
    state(
        "member-role-difference",
        ADMIN,
        "/team/members/demo-operator/role",
        &[Click("Chat Manager"), Click("Go on"), Sees("Gains")],
    ),
    state("member-suspend", ADMIN, "/team/members/demo-operator/suspend", &[Sees("Suspend")]),
    state("member-remove", ADMIN, "/team/members/demo-operator/remove", &[Sees("Remove")]),
    state(
        "member-remove-dialog",
        ADMIN,
        "/team?search=operator",
        &[
            Click("Actions for Demo Operator"),
            Keys(key::END),
            Keys(key::ENTER),
            Sees("This cannot be undone"),
        ],
    ),
    state("member-reset-password", ADMIN, "/team/members/demo-operator/reset-password", &[]),
    state("member-end-sessions", ADMIN, "/team/members/demo-operator/end-sessions", &[]),
    state(
        "member-changed-meanwhile",
        ADMIN,
        "/team/members/demo-chat_manager/edit",
        &[
            Fill("First name", "Asha"),
            Meanwhile(&["member", "edit", "demo-chat_manager", "--last-name", "Changed"]),
            Click("Save"),
            Sees("changed"),
        ],
    ),
    state("member-unknown", ADMIN, "/team/members/nobody", &[]),
    state(
        "bulk-remove",
        ADMIN,
        "/team?search=manager",
        &[
            Click("Select everybody on this page"),
            Sees("selected"),
            Click("Remove"),
            Sees("To be sure"),
        ],
    ),
    state("roles", ADMIN, "/roles", &[]),
    state("roles-compare", ADMIN, "/roles/compare", &[]),
    state("roles-suggest", ADMIN, "/roles/suggest", &[]),
    state("roles-suggested", ADMIN, "/roles/suggest?do=chats:view&do=broadcasts:send", &[]),
    state("me", ADMIN, "/me", &[Sees("Where you are signed in")]),
    state("me-name", ADMIN, "/me/names", &[]),
    state("me-address", ADMIN, "/me/email", &[]),
    state("me-password", ADMIN, "/me/password", &[]),
    state("me-password-dialog", ADMIN, "/me", &[Click("Change password"), Sees("New password")]),
    state("me-two-step", ADMIN, "/me/two-step", &[]),
    state(
        "me-two-step-scan",
        ADMIN,
        "/me/two-step",
        &[Fill("Your password", DEMO_PASSWORD), Click("Go on"), Sees("Scan this")],
    ),
    state(
        "me-two-step-wrong-code",
        ADMIN,
        "/me/two-step",
        &[
            Fill("Your password", DEMO_PASSWORD),
            Click("Go on"),
            Sees("Scan this"),
            Fill("The code that the app shows now", "000000"),
            Click("Turn it on"),
            Sees("next code"),
        ],
    ),
    state("me-leave", ADMIN, "/me/leave", &[]),
    state("tokens", ADMIN, "/tokens", &[]),
    state("token-new", ADMIN, "/tokens/new", &[]),
    state(
        "token-made",
        ADMIN,
        "/tokens/new",
        &[
            Fill("What it is for", "walk"),
            Choose("Role", "Operator"),
            Fill("Days until it expires", "1"),
            Fill("Your password", DEMO_PASSWORD),
            Click("Create token"),
            Sees("Copy it now"),
        ],
    ),
    state("audit", ADMIN, "/audit", &[]),
    state("audit-of-one", ADMIN, "/audit?member=demo-operator", &[]),
    state("audit-nothing", ADMIN, "/audit?member=nobody", &[]),
    state("audit-verified", ADMIN, "/audit?verify=1", &[]),
    state("account", ADMIN, "/account", &[]),
    state("policies", ADMIN, "/policies", &[]),
    state("policies-try", ADMIN, "/policies/try", &[]),
    state(
        "policies-tried",
        ADMIN,
        "/policies/try?member=demo-operator&action=broadcasts:send&resource=broadcast:1",
        &[],
    ),
    state(
        "policies-refused",
        ADMIN,
        "/policies",
        &[BreakPolicies, Meanwhile(&["policy", "reload"]), Again, Sees("forbid(")],
    ),
    state("not-found", ADMIN, "/nowhere", &[Sees("This page does not exist")]),
    state("help", ADMIN, "/help", &[]),
    state("team-not-allowed", OPERATOR, "/team", &[Sees("Your role does not include this")]),
    state("invite-not-allowed", OPERATOR, "/team/invite", &[]),
    state("member-of-another", OPERATOR, "/team/members/demo-administrator", &[]),
];

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

/// A demonstration, and a browser in front of it.
struct Walk {
    demo: Sidecar,
    browser: Browser,
    axe: String,
    pictures: Option<PathBuf>,
    faults: Vec<String>,
}

/// Signs in by the page.
pub async fn sign_in(browser: &Browser, account: &str, email: &str, password: &str) {
    browser.open("/sign-in").await;
    browser.fill("Account", account).await;
    browser.fill("Email address", email).await;
    browser.fill("Password", password).await;
    browser.click("Sign in").await;
}

impl Walk {
    async fn begin() -> Self {
        let start = Start { arguments: &["--demo"], ..Start::default() };
        let demo = Sidecar::start_with(&start);
        let browser = Browser::at(&format!("http://{}", demo.console)).await;
        let axe = std::fs::read_to_string(axe()).unwrap();
        Self { demo, browser, axe, pictures: pictures(), faults: Vec::new() }
    }

    async fn become_one(&self, who: &str) {
        self.browser.forget_cookies().await;
        if !who.is_empty() {
            let email = format!("{who}@demo.example");
            sign_in(&self.browser, "demo", &email, DEMO_PASSWORD).await;
            self.browser.sees("Sign out").await;
        }
    }

    async fn go(&self, state: &State) {
        let browser = &self.browser;
        browser.width(1280).await;
        browser.prefers("prefers-color-scheme", "light").await;
        let without = state.way.iter().any(|step| matches!(step, NoScript));
        browser.scripts(!without).await;
        browser.open(state.path).await;
        for step in state.way {
            match step {
                Click(words) => browser.click(words).await,
                Fill(label, text) => browser.fill(label, text).await,
                Choose(label, option) => browser.choose(label, option).await,
                Keys(key) => browser.press(&key.to_string()).await,
                Sees(text) => browser.sees(text).await,
                Width(pixels) => browser.width(*pixels).await,
                NoScript => {}
                Again => browser.open(state.path).await,
                Offline => browser.offline(true).await,
                Meanwhile(command) => drop(self.demo.run(command)),
                BreakPolicies => {
                    let rule = self.demo.path("policies/rules/tenancy.cedar");
                    std::fs::write(rule, "forbid(").unwrap();
                }
            }
        }
        // The page stays as it is; who looks at it needs scripts of their own.
        browser.scripts(true).await;
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

    async fn look(&mut self, state: &State) {
        let begun = std::time::Instant::now();
        self.go(state).await;
        let browser = &self.browser;
        browser.inject(&self.axe).await;
        let mut found = self.objections(&[]).await;
        self.take(state, "light", 1280).await;
        browser.prefers("prefers-color-scheme", "dark").await;
        found.extend(self.objections(&["color-contrast"]).await);
        self.take(state, "dark", 1280).await;
        browser.width(320).await;
        found.extend(self.sideways().await);
        found.extend(self.objections(&["target-size"]).await);
        self.take(state, "dark", 320).await;
        browser.prefers("prefers-color-scheme", "light").await;
        self.take(state, "light", 320).await;
        if !state.way.iter().any(|step| matches!(step, Width(_))) {
            browser.width(1280).await;
        }
        found.extend(self.unfocused().await);
        if state.way.iter().any(|step| matches!(step, Offline)) {
            browser.offline(false).await;
        }
        found.extend(browser.complaints().await);
        println!("{:<28} {:.1?}", state.name, begun.elapsed());
        let unique: BTreeSet<String> = found.into_iter().collect();
        self.faults.extend(unique.into_iter().map(|fault| format!("{}: {fault}", state.name)));
    }
}

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
    if !is_there() || !is_found("axe-core", std::process::Command::new("ls").arg(axe())) {
        return;
    }
    // Two people share the way.
    let (some, others) = STATES.split_at(STATES.len() / 2);
    let (mut faults, more) = tokio::join!(walked(some), walked(others));
    faults.extend(more);
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

/// Goes through some of the states; answers what is wrong in them.
async fn walked(states: &[State]) -> Vec<String> {
    let wanted = std::env::var("KWIC_TEAM_STATES").unwrap_or_default();
    let mut walk = Walk::begin().await;
    let mut who = NOBODY;
    for state in states.iter().filter(|state| state.name.contains(&wanted)) {
        if state.who != who {
            walk.become_one(state.who).await;
            who = state.who;
        }
        walk.look(state).await;
    }
    walk.browser.leave().await;
    walk.faults
}

#[test]
fn no_two_states_have_one_name() {
    let names: BTreeSet<&str> = STATES.iter().map(|state| state.name).collect();
    assert_eq!(names.len(), STATES.len());
}
