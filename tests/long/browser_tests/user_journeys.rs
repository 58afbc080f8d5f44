//! User journeys, from the first account to the last click of a removed member: with the mouse,
//! with the keyboard alone, and without scripts.

use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use mail_parser::MessageParser;
use serde_json::Value as Json;

use super::browser::{Browser, is_there, key};
use super::state_checks::{first_link, id_of, sign_in, with_members};
use super::state_list::DEMO_PASSWORD;
use crate::support::api_users::PASSWORD;
use crate::support::sidecar::{Sidecar, Start, eventually, is_installed};

/// A sidecar whose mail is written to a folder.
pub struct Office {
    pub sidecar: Sidecar,
}

impl Office {
    pub fn open() -> Self {
        let config = "[mail]\nkind = \"folder\"\n".to_owned();
        Self { sidecar: Sidecar::start_with(&Start { config, ..Start::default() }) }
    }

    /// The same with policies of one's own.
    pub fn open_with(policies: &Path) -> Self {
        let config = "[mail]\nkind = \"folder\"\n".to_owned();
        let policies = Some(policies.to_owned());
        Self { sidecar: Sidecar::start_with(&Start { config, policies, ..Start::default() }) }
    }

    /// One with an account `acme`, and members who have a password: `id,role` each.
    pub fn with(members: &[(&str, &str)]) -> Self {
        let office = Self::open();
        with_members(&office.sidecar, members);
        office
    }

    pub fn base(&self) -> String {
        format!("http://{}", self.sidecar.console)
    }

    pub async fn browser(&self) -> Browser {
        Browser::at(&self.base()).await
    }

    /// The demonstration: there, invitations were sent longer ago than one may be sent again.
    pub fn demonstration() -> Self {
        let start = Start { arguments: &["--demo"], ..Start::default() };
        Self { sidecar: Sidecar::start_with(&start) }
    }

    /// A browser in which the demonstration's administrator is signed in, at a page.
    pub async fn browser_of_demo(&self, path: &str) -> Browser {
        let browser = self.browser().await;
        sign_in(&browser, "demo", "administrator@demo.example", DEMO_PASSWORD).await;
        browser.sees("Sign out").await;
        browser.open(path).await;
        browser
    }

    /// The link that an invitation of the demonstration had first.
    fn first_link_of(&self, name: &str) -> String {
        let invite = id_of(&self.sidecar, &["invite", "list", "--search", name]);
        first_link(&self.sidecar, "demo", &invite)
    }

    /// A browser in which somebody of `acme` is signed in, at a page.
    pub async fn browser_of(&self, id: &str, path: &str) -> Browser {
        let browser = self.browser().await;
        sign_in(&browser, "acme", &format!("{id}@example.org"), PASSWORD).await;
        browser.sees("Sign out").await;
        browser.open(path).await;
        browser
    }

    pub fn link_to(&self, address: &str) -> String {
        link_to(&self.sidecar, address)
    }

    pub fn role_of(&self, id: &str) -> String {
        let shown = self.sidecar.ok(&["member", "show", id, "--json"]);
        let member: Json = serde_json::from_str(&shown).unwrap();
        member["role"].as_str().unwrap().to_owned()
    }
}

/// The link in the newest mail to an address, once it has come.
pub fn link_to(sidecar: &Sidecar, address: &str) -> String {
    let mut link = None;
    eventually("the mail comes", || {
        link = letters(sidecar).into_iter().rev().find_map(|(to, text)| {
            let here = text.split_whitespace().find(|word| word.contains('#'));
            here.filter(|_| to == address).map(str::to_owned)
        });
        link.is_some()
    });
    link.unwrap()
}

/// The letters so far, the oldest first: to whom, and the text.
fn letters(sidecar: &Sidecar) -> Vec<(String, String)> {
    let Ok(folder) = std::fs::read_dir(sidecar.path("data/outbox")) else { return Vec::new() };
    let files = folder.map(|entry| entry.unwrap().path());
    let letters = files.filter(|path| path.extension().is_some_and(|it| it == "eml"));
    let mut letters: Vec<_> = letters
        .filter_map(|path| {
            let written = path.metadata().unwrap().modified().unwrap();
            let letter = std::fs::read(path).unwrap();
            let letter = MessageParser::default().parse(&letter)?;
            let to = letter.to()?.first()?.address()?.to_owned();
            Some((written, (to, letter.body_text(0)?.into_owned())))
        })
        .collect();
    letters.sort_by_key(|(written, _)| *written);
    letters.into_iter().map(|(_, letter)| letter).collect()
}

/// With what somebody works.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hands {
    Mouse,
    Keys,
}

/// Somebody in front of a browser.
struct Reader {
    browser: Browser,
    hands: Hands,
}

impl Reader {
    async fn press(&self, words: &str) {
        match self.hands {
            Hands::Mouse => self.browser.click(words).await,
            Hands::Keys => self.browser.enter(words).await,
        }
    }

    async fn write(&self, label: &str, text: &str) {
        match self.hands {
            Hands::Mouse => self.browser.fill(label, text).await,
            Hands::Keys => self.browser.type_into(label, text).await,
        }
    }

    async fn tick(&self, words: &str) {
        match self.hands {
            Hands::Mouse => self.browser.click(words).await,
            Hands::Keys => {
                self.browser.tab_to(words).await;
                self.browser.press(&key::SPACE.to_string()).await;
            }
        }
    }

    /// Chooses one of a group: by keys, Tab comes to the group and arrows go through it.
    async fn pick(&self, words: &str, first: &str) {
        match self.hands {
            Hands::Mouse => self.browser.click(words).await,
            Hands::Keys => {
                self.browser.tab_to(first).await;
                self.browser.press(&key::SPACE.to_string()).await;
                self.go_down_to(words).await;
            }
        }
    }

    /// Opens a menu and takes something from it.
    async fn choose(&self, menu: &str, item: &str) {
        self.press(menu).await;
        match self.hands {
            Hands::Mouse => self.browser.click(item).await,
            Hands::Keys => {
                self.go_down_to(item).await;
                self.browser.press(&key::ENTER.to_string()).await;
            }
        }
    }

    async fn go_down_to(&self, words: &str) {
        for _ in 0..20 {
            if self.browser.focus().await.starts_with(words) {
                return;
            }
            self.browser.press(&key::DOWN.to_string()).await;
        }
        panic!("no arrow leads to {words:?}, but to {:?}", self.browser.focus().await);
    }

    async fn sees(&self, text: &str) {
        self.browser.sees(text).await;
    }
}

/// The code that an authenticator app shows now, by another implementation than the sidecar's.
pub fn code_of(secret: &str) -> String {
    let secret: String = secret.split_whitespace().collect();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let output = Command::new("oathtool")
        .args(["--totp", "--base32", &secret, "--now", &format!("@{now}")])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The story of the product's documentation.
async fn from_set_up_to_removal(hands: Hands) {
    if !is_there() || !is_installed("oathtool") {
        return;
    }
    let office = Office::open();
    let said = office.sidecar.said.iter().map(|line| line.trim());
    let link = said.clone().find(|line| line.contains("/setup#")).unwrap().to_owned();
    let chief = Reader { browser: office.browser().await, hands };

    // The first account.
    chief.browser.open(&link).await;
    chief.write("Name of the team", "Acme").await;
    chief.write("Account", "acme").await;
    chief.write("First name", "Chief").await;
    chief.write("Last name", "Example").await;
    chief.write("Email address", "chief@example.org").await;
    chief.write("Choose a password", PASSWORD).await;
    chief.press("Create the account").await;
    chief.sees("Welcome to Acme").await;
    chief.sees("You're the only one here").await;

    // Inviting a member, with the smallest role that fits.
    chief.press("Invite member").await;
    chief.sees("First name").await;
    chief.write("First name", "Asha").await;
    chief.write("Last name", "Rao").await;
    chief.write("Email address", "asha@example.org").await;
    chief.pick("Operator", "Automation Manager").await;
    chief.press("Invite").await;
    chief.sees("Invitation for asha@example.org created").await;
    chief.sees("Sent").await;

    // Her mail, and joining by its link.
    let asha = Reader { browser: office.browser().await, hands };
    asha.browser.open(&office.link_to("asha@example.org")).await;
    asha.sees("Join Acme").await;
    asha.sees("What you can do as Operator").await;
    asha.write("Choose a password", PASSWORD).await;
    asha.press("Join").await;
    asha.sees("You have joined").await;

    // A second step.
    asha.press("Turn on").await;
    asha.write("Your password", PASSWORD).await;
    asha.press("Continue").await;
    asha.sees("Scan this").await;
    let secret = asha.browser.ask("return document.querySelector('.key').innerText", vec![]).await;
    asha.write("6-digit code", &code_of(secret.as_str().unwrap())).await;
    asha.press("Turn on").await;
    asha.sees("Your recovery codes").await;
    asha.tick("I saved them").await;
    asha.press("Continue").await;
    asha.sees("Recovery codes left").await;

    // What an operator may not see is not there, and is refused.
    assert!(!asha.browser.text().await.contains("Team Management"));
    asha.browser.open("/team").await;
    asha.sees("Your role does not include this").await;
    asha.sees("Ask: Chief Example").await;

    // The administrator promotes her; her next click has it.
    chief.press("Members").await;
    chief.sees("Asha Rao").await;
    chief.choose("Actions for Asha Rao", "Change role").await;
    chief.sees("Role of Asha Rao").await;
    chief.pick("Administrator", "Operator").await;
    chief.press("Continue").await;
    chief.sees("Gains").await;
    chief.press("Change Asha Rao to Administrator").await;
    chief.sees("Asha Rao is now Administrator").await;
    asha.press("Back to My security").await;
    asha.press("Team Management").await;
    asha.sees("Chief Example").await;

    // Removed, she is out: her open page goes, and so does every other.
    chief.choose("Actions for Asha Rao", "Remove").await;
    chief.sees("Remove Asha Rao?").await;
    chief.write("To confirm, type the name", "Asha Rao").await;
    chief.press("Remove Asha Rao").await;
    chief.sees("Asha Rao was removed and signed out on 1 device").await;
    chief.sees("You're the only one here").await;
    asha.browser.sees_no("Chief Example").await;
    assert_eq!(asha.browser.path().await, "/signed-out");
    let left = asha.browser.ask("return document.documentElement.outerHTML", vec![]).await;
    for secret in ["Asha", "Chief", "acme", "example.org"] {
        assert!(!left.as_str().unwrap().contains(secret), "`{secret}` is left in {left}");
    }
    asha.press("Sign in").await;
    asha.sees("Email address").await;
    asha.browser.open("/team").await;
    asha.sees("Email address").await;
    asha.browser.leave().await;
    chief.browser.leave().await;
}

#[tokio::test]
async fn from_set_up_to_removal_by_mouse() {
    from_set_up_to_removal(Hands::Mouse).await;
}

#[tokio::test]
async fn from_set_up_to_removal_by_keys_alone() {
    from_set_up_to_removal(Hands::Keys).await;
}

#[tokio::test]
async fn a_role_that_changes_here_holds_there_at_the_next_click() {
    if !is_there() {
        return;
    }
    let office = Office::with(&[("chief", "administrator"), ("other", "administrator")]);
    let (chief, other) =
        (office.browser_of("chief", "/team").await, office.browser_of("other", "/team").await);
    other.sees("Invite member").await;
    chief.open("/team/members/other/role").await;
    chief.click("Operator").await;
    chief.click("Continue").await;
    chief.click("Change First Last to Operator").await;
    chief.sees("First Last is now Operator").await;
    other.click("Invite member").await;
    other.sees("Your role does not include this").await;
    assert!(!other.text().await.contains("chief@example.org"));
    chief.leave().await;
    other.leave().await;
}

#[tokio::test]
async fn of_two_administrators_who_demote_each_other_one_wins() {
    if !is_there() {
        return;
    }
    let office = Office::with(&[("ann", "administrator"), ("bo", "administrator")]);
    let (ann, bo) = (
        office.browser_of("ann", "/team/members/bo/role").await,
        office.browser_of("bo", "/team/members/ann/role").await,
    );
    for browser in [&ann, &bo] {
        browser.click("Operator").await;
        browser.click("Continue").await;
        browser.sees("Gains").await;
    }
    let demote = "Change First Last to Operator";
    tokio::join!(ann.click(demote), bo.click(demote));
    for browser in [&ann, &bo] {
        let done = async |it: &Browser| {
            let text = it.text().await;
            text.contains("is now Operator") || text.contains("does not include this")
        };
        browser.until("an answer", done).await;
    }
    let roles = [office.role_of("ann"), office.role_of("bo")];
    assert_eq!(roles.iter().filter(|role| *role == "administrator").count(), 1, "{roles:?}");
    let (winner, loser) = if roles[0] == "administrator" { (&ann, &bo) } else { (&bo, &ann) };
    winner.sees("First Last is now Operator").await;
    loser.sees("Your role does not include this").await;
    ann.leave().await;
    bo.leave().await;
}

const INVITATIONS: &str = "/team?tab=invitations";

#[tokio::test]
async fn an_invitation_is_sent_again_corrected_copied_and_taken_back() {
    if !is_there() {
        return;
    }
    let office = Office::demonstration();
    let browser = office.browser_of_demo(INVITATIONS).await;
    let guest = office.browser().await;
    let chooses = async |name: &str, deed: &str| {
        browser.click(&format!("Actions for {name}")).await;
        browser.click(deed).await;
    };

    // Resent: a new link is sent, and the previous one no longer works.
    let old = office.first_link_of("Yusuf");
    chooses("Yusuf Demir", "Resend").await;
    browser.sees("the previous link stops working").await;
    browser.click("Resend").await;
    browser.sees("New link for yusuf.demir@demo.example created").await;
    browser.sees_no("Resend invitation to Yusuf Demir?").await;
    guest.open(&office.link_to("yusuf.demir@demo.example")).await;
    guest.sees("Join Demo").await;
    guest.open(&old).await;
    guest.sees("There is a newer link").await;

    // Corrected: the name alone sends nothing; another address gets a link of its own.
    chooses("Ines Costa", "Edit").await;
    browser.fill("First name", "Inês").await;
    browser.click("Save").await;
    browser.sees("Inês Costa's invitation was changed").await;
    let old = office.first_link_of("Costa");
    guest.open(&old).await;
    guest.sees("Join Demo").await;
    chooses("Inês Costa", "Edit").await;
    browser.fill("Email address", "ines@demo.example").await;
    browser.click("Save").await;
    browser.sees("New link for ines@demo.example created").await;
    guest.open(&office.link_to("ines@demo.example")).await;
    guest.sees("Join Demo").await;
    guest.open(&old).await;
    guest.sees("There is a newer link").await;

    // Copied: shown for who asks, and it opens what the mail's would.
    chooses("Tara Bhatt", "Copy link").await;
    browser.click("Show link").await;
    browser.sees("You can see this link again").await;
    let link = browser.value("Link").await;
    browser.allow_clipboard().await;
    browser.click("Copy link").await;
    browser.sees("Copied.").await;
    assert_eq!(browser.clipboard().await, link);
    browser.click("Done").await;
    guest.open(&link).await;
    guest.sees("Join Demo").await;

    // Revoked: gone from the list, and its link says so.
    browser.open(INVITATIONS).await;
    chooses("Omar Farouk", "Revoke").await;
    browser.click("Revoke invitation").await;
    browser.sees("Omar Farouk's invitation was revoked").await;
    browser.sees_no("omar.farouk@demo.example").await;
    let old = office.first_link_of("Omar");
    guest.open(&old).await;
    guest.sees("This invitation was revoked").await;
    browser.leave().await;
    guest.leave().await;
}

#[tokio::test]
async fn who_has_joined_leaves_the_list_and_stays_in_the_history() {
    if !is_there() {
        return;
    }
    let office = Office::demonstration();
    let browser = office.browser_of_demo(INVITATIONS).await;
    browser.sees("tara.bhatt@demo.example").await;
    let guest = office.browser().await;
    guest.open(&office.first_link_of("Tara")).await;
    guest.fill("Choose a password", PASSWORD).await;
    guest.click("Join").await;
    guest.sees("You have joined").await;
    guest.leave().await;

    browser.open(INVITATIONS).await;
    browser.sees("yusuf.demir@demo.example").await;
    assert!(
        !browser.text().await.contains("tara.bhatt@"),
        "an accepted invitation is still listed"
    );
    browser.choose("State", "Accepted").await;
    browser.sees("tara.bhatt@demo.example").await;
    browser.open("/team?search=tara").await;
    browser.sees("1 member found").await;
    browser.open("/audit?event=invite_accepted").await;
    browser.sees("Tara Bhatt accepted the invitation").await;
    browser.leave().await;
}

#[tokio::test]
async fn several_are_changed_at_once_and_each_is_answered_for() {
    if !is_there() {
        return;
    }
    let all =
        [("chief", "administrator"), ("asha", "operator"), ("bo", "operator"), ("cy", "operator")];
    let office = Office::with(&all);
    for (id, name) in [("chief", "Chief"), ("asha", "Asha"), ("bo", "Bo"), ("cy", "Cy")] {
        office.sidecar.ok(&["member", "edit", id, "--first-name", name]);
    }
    let browser = office.browser_of("chief", "/team").await;
    // All except oneself; and the selection can be cleared.
    browser.click("Select everybody on this page").await;
    browser.sees("3 selected").await;
    browser.click("Clear").await;
    browser.sees_no("selected").await;
    browser.click("Select Asha Last").await;
    browser.click("Select Bo Last").await;
    browser.sees("2 selected").await;

    browser.click("Change role").await;
    browser.sees("Change the role of 2 members").await;
    browser.choose("Role", "Chat Manager").await;
    browser.click("Change the role of 2 members").await;
    browser.sees("Results").await;
    for id in ["asha", "bo"] {
        assert_eq!(office.role_of(id), "chat_manager");
    }
    assert_eq!(office.role_of("cy"), "operator");
    browser.click("Back to Team Management").await;

    // One of them cannot be done any more: the other is, and the page tells them apart.
    browser.click("Select Asha Last").await;
    browser.click("Select Cy Last").await;
    browser.click("Suspend").await;
    browser.sees("Suspend 2 members").await;
    office.sidecar.ok(&["member", "suspend", "cy"]);
    browser.click("Suspend 2 members").await;
    browser.sees("Results").await;
    let outcomes =
        "return [...document.querySelectorAll('.outcomes li')].map((it) => it.innerText)";
    let outcomes = browser.ask(outcomes, Vec::new()).await;
    for (outcome, name, words) in
        [(&outcomes[0], "Asha Last", "Done"), (&outcomes[1], "Cy Last", "is suspended already")]
    {
        let outcome = outcome.as_str().unwrap();
        assert!(outcome.starts_with(name) && outcome.contains(words), "{outcomes:#}");
    }
    browser.leave().await;
}

#[tokio::test]
async fn without_scripts_everything_that_matters_works() {
    if !is_there() {
        return;
    }
    let office = Office::with(&[("chief", "administrator"), ("bo", "operator")]);
    let browser = office.browser().await;
    browser.scripts(false).await;
    sign_in(&browser, "acme", "chief@example.org", PASSWORD).await;
    browser.sees("Team Management").await;
    browser.click("Invite member").await;
    browser.fill("First name", "Asha").await;
    browser.fill("Last name", "Rao").await;
    browser.fill("Email address", "asha@example.org").await;
    browser.click("Operator").await;
    browser.click("Invite").await;
    browser.sees("Invitation for asha@example.org created").await;

    // Edited and removed, each from the page of the member.
    browser.open("/team/members/bo").await;
    browser.click("Edit details").await;
    browser.fill("First name", "Bodo").await;
    browser.click("Save").await;
    browser.sees("Bodo Last's details were saved").await;
    browser.open("/team/members/bo").await;
    browser.click("Remove").await;
    browser.sees("Remove Bodo Last?").await;
    browser.click("Remove Bodo Last").await;
    browser.sees("Bodo Last was removed").await;
    browser.click("Sign out").await;
    browser.sees("You've been signed out").await;

    // Joining by the code in the mail.
    let link = office.link_to("asha@example.org");
    browser.open("/join").await;
    browser.fill("Link or code that you received", link.rsplit('#').next().unwrap()).await;
    browser.click("Continue").await;
    browser.sees("Join acme").await;
    browser.fill("Choose a password", PASSWORD).await;
    browser.click("Join").await;
    browser.sees("You have joined").await;
    browser.leave().await;
}
