//! A browser with its own window and profile, and the actions of its user.
//!
//! Elements are found by their visible text. Chromium is controlled through its own driver, on
//! loopback; both stop with the value that started them.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fantoccini::actions::{
    InputSource, KeyAction, KeyActions, MOUSE_BUTTON_LEFT, MouseActions, PointerAction,
};
use fantoccini::elements::{Element, ElementRef};
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use url::Url;

use crate::support::sidecar::{PATIENCE, is_installed};

/// Keys as `WebDriver` names them (W3C `WebDriver`, section 17.4.2).
pub mod key {
    pub const TAB: char = '\u{e004}';
    pub const ENTER: char = '\u{e007}';
    pub const CONTROL: char = '\u{e009}';
    pub const ESCAPE: char = '\u{e00c}';
    pub const SPACE: char = ' ';
    pub const END: char = '\u{e010}';
    pub const DOWN: char = '\u{e015}';
}

/// How often something that is waited for is looked at.
const BLINK: Duration = Duration::from_millis(40);
/// How often something is tried again that a changing page may spoil.
const TRIES: u32 = 20;
/// The most presses of Tab that any page needs.
const TABS_MAX: usize = 150;
/// What an element reference is called (W3C `WebDriver`, section 12).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// What all scripts know: what is shown, what an element is called, and which look alike.
const EYES: &str = r"
const words = (text) => (text ?? '').replace(/\s+/g, ' ').trim();
const shown = (e) => e.checkVisibility({ visibilityProperty: true });
const called = (e) => words(e.getAttribute('aria-label')
    || (e.getAttribute('aria-labelledby') ?? '').split(' ').map((id) => document.getElementById(id)?.innerText ?? '').join(' ').trim()
    || (e.labels?.length ? [...e.labels].map((l) => l.innerText).join(' ') : '')
    || e.innerText || '');
const oneOfAKind = (all) => [...new Map(all.map((e) =>
    [[e.tagName, e.className, e.type, e.parentElement?.className, e.ariaCurrent].join(), e])).values()];
const top = document.querySelector('dialog[open]') ?? document;
const find = (selector, wanted) => {
    const all = [...top.querySelectorAll(selector)].filter(shown);
    return all.find((e) => called(e) === wanted) ?? all.find((e) => called(e).startsWith(wanted)) ?? null;
};
";

/// Chromium without the windows of the desktop: the same pages, for half of the processor's time.
const BROWSER: &str = "chromium-headless-shell";

/// Whether the programs are there; says so, or fails where they must be.
pub fn is_there() -> bool {
    is_installed(BROWSER) && is_installed("chromedriver")
}

/// Where the program is: its driver does not look for it by this name.
fn path_of(program: &str) -> String {
    let found = Command::new("which").arg(program).output().unwrap();
    String::from_utf8(found.stdout).unwrap().trim().to_owned()
}

/// A browser.
pub struct Browser {
    client: Client,
    driver: Child,
    /// The browser's own process.
    process: Option<u64>,
    /// Where the console is: scheme, host and port.
    pub base: String,
    left: bool,
    _home: TempDir,
}

/// A command of the Chrome `DevTools` Protocol.
#[derive(Debug)]
struct DevTools(&'static str, Json);

/// Asks for what the browser complained about since it was asked last.
#[derive(Debug)]
struct Complaints;

/// The path of a session's command.
fn of_session(base: &Url, session: Option<&str>, rest: &str) -> Result<Url, url::ParseError> {
    base.join(&format!("session/{}/{rest}", session.unwrap_or_default()))
}

impl WebDriverCompatibleCommand for DevTools {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, url::ParseError> {
        of_session(base, session, "goog/cdp/execute")
    }

    fn method_and_body(&self, _: &Url) -> (hyper::Method, Option<String>) {
        let body = json!({"cmd": self.0, "params": self.1});
        (hyper::Method::POST, Some(body.to_string()))
    }
}

impl WebDriverCompatibleCommand for Complaints {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, url::ParseError> {
        of_session(base, session, "se/log")
    }

    fn method_and_body(&self, _: &Url) -> (hyper::Method, Option<String>) {
        (hyper::Method::POST, Some(json!({"type": "browser"}).to_string()))
    }
}

/// A driver and its port. None where it ended at once: the port that the system gave it for IPv4
/// is another process's for IPv6, and it wants both.
fn driver(home: &Path) -> Option<(Child, String)> {
    let mut driver = Command::new("chromedriver")
        .args(["--port=0", "--log-level=SEVERE"])
        .env("HOME", home)
        // India: a zone with a half-hour offset, to detect missing conversions.
        .env("TZ", "Asia/Kolkata")
        .process_group(0)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
    let port = lines.by_ref().map(Result::unwrap).find_map(|line| {
        Some(line.split_once("successfully on port ")?.1.trim_end_matches('.').to_owned())
    });
    std::thread::spawn(move || lines.for_each(drop));
    if port.is_none() {
        driver.wait().unwrap();
    }
    Some((driver, port?))
}

impl Browser {
    /// Opens one whose addresses begin with `base`, 1280 pixels wide.
    pub async fn at(base: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let (mut driver, port) = (0..5).find_map(|_| driver(home.path())).expect("a driver starts");
        let profile = home.path().join("profile");
        let capabilities = json!({
            "browserName": "chrome-headless-shell",
            "goog:chromeOptions": {
                "binary": path_of(BROWSER),
                "args": ["--no-sandbox", "--disable-dev-shm-usage",
                    "--disable-gpu", "--hide-scrollbars", "--disable-background-networking", "--no-first-run",
                    "--window-size=1280,900", format!("--user-data-dir={}", profile.display())],
            },
            "goog:loggingPrefs": {"browser": "ALL"},
            // A long page takes axe a while on a machine that has other things to do.
            "timeouts": {"script": 120_000},
            // What is asked before something typed is lost is answered by the tests.
            "unhandledPromptBehavior": "ignore",
        });
        let capabilities = capabilities.as_object().unwrap().clone();
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{port}"))
            .await;
        if client.is_err() {
            driver.kill().unwrap();
            driver.wait().unwrap();
        }
        let client = client.unwrap();
        let process = client.capabilities().and_then(|it| it.get("goog:processID")?.as_u64());
        let browser =
            Self { client, driver, process, base: base.to_owned(), left: false, _home: home };
        browser.width(1280).await;
        // Several browsers share a machine, and only one window of it would have the focus.
        browser.devtools("Emulation.setFocusEmulationEnabled", json!({"enabled": true})).await;
        browser
    }

    /// Ends it; whatever it complained about fails the test.
    pub async fn leave(mut self) {
        let complaints = self.complaints().await;
        assert!(complaints.is_empty(), "{complaints:#?}");
        self.left = true;
        self.client.clone().close().await.unwrap();
    }

    pub async fn devtools(&self, command: &'static str, parameters: Json) -> Json {
        self.client.issue_cmd(DevTools(command, parameters)).await.unwrap()
    }

    /// The window's width in CSS pixels.
    pub async fn width(&self, pixels: u32) {
        let size = json!({"width": pixels, "height": 900, "deviceScaleFactor": 1,
            "mobile": false});
        self.devtools("Emulation.setDeviceMetricsOverride", size).await;
    }

    /// What the reader prefers, such as `prefers-color-scheme` and `dark`; all else as usual.
    pub async fn prefers(&self, preferences: &[(&str, &str)]) {
        let features =
            preferences.iter().map(|(name, value)| json!({"name": name, "value": value}));
        let media = json!({"features": features.collect::<Vec<_>>()});
        self.devtools("Emulation.setEmulatedMedia", media).await;
        self.rests().await;
    }

    /// Waits until nothing moves on the page.
    pub async fn rests(&self) {
        let script = "const done = arguments[arguments.length - 1];
            requestAnimationFrame(() => requestAnimationFrame(() =>
                Promise.allSettled(document.getAnimations().map((it) => it.finished)).then(() => done())));";
        self.ask_later(script, Vec::new()).await;
    }

    /// From the next page on.
    pub async fn scripts(&self, run: bool) {
        self.devtools("Emulation.setScriptExecutionDisabled", json!({"value": !run})).await;
    }

    pub async fn offline(&self, offline: bool) {
        self.devtools("Network.enable", json!({})).await;
        let network = json!({"offline": offline, "latency": 0, "downloadThroughput": -1,
            "uploadThroughput": -1});
        self.devtools("Network.emulateNetworkConditions", network).await;
    }

    pub async fn forget_cookies(&self) {
        self.devtools("Network.clearBrowserCookies", json!({})).await;
    }

    /// Errors that pages made, the script and the policy about scripts first of all. That a form was
    /// refused or a session has ended is an answer, and none of them.
    pub async fn complaints(&self) -> Vec<String> {
        let log = self.client.issue_cmd(Complaints).await.unwrap();
        let answered = |text: &str| {
            let refusals = ["400", "401", "403", "404", "405", "409", "410", "412", "422", "429"];
            refusals.iter().any(|code| text.contains(&format!("status of {code}")))
                || text.contains("ERR_INTERNET_DISCONNECTED")
        };
        let entries = log.as_array().unwrap().iter();
        entries
            .filter(|entry| entry["level"] == "SEVERE")
            .map(|entry| entry["message"].as_str().unwrap().to_owned())
            .filter(|text| !answered(text))
            .collect()
    }

    /// Opens a path of the console, or a whole address.
    pub async fn open(&self, path: &str) {
        let address =
            if path.starts_with('/') { format!("{}{path}", self.base) } else { path.to_owned() };
        // A link with a fragment is opened as from a mail: not over the page that it leads to.
        if address.contains('#') {
            self.client.goto("about:blank").await.unwrap();
        }
        self.client.goto(&address).await.unwrap();
    }

    pub async fn back(&self) {
        self.client.back().await.unwrap();
    }

    pub async fn path(&self) -> String {
        let url = self.client.current_url().await.unwrap();
        url[url::Position::BeforePath..].to_owned()
    }

    /// Runs a script in the page; it may use what [`EYES`] knows.
    /// Where a page goes away meanwhile, the one that comes is asked.
    pub async fn ask(&self, script: &str, arguments: Vec<Json>) -> Json {
        let script = format!("{EYES}{script}");
        for _ in 0..TRIES {
            if let Ok(answer) = self.client.execute(&script, arguments.clone()).await {
                return answer;
            }
            tokio::time::sleep(BLINK).await;
        }
        self.client.execute(&script, arguments).await.unwrap()
    }

    /// The same for one that calls the last argument when it is done.
    pub async fn ask_later(&self, script: &str, arguments: Vec<Json>) -> Json {
        self.client.execute_async(&format!("{EYES}{script}"), arguments).await.unwrap()
    }

    /// Brings a whole script into the page, as an extension of the browser would: no policy of the
    /// page holds it back.
    pub async fn inject(&self, script: &str) {
        let script = json!({"expression": script});
        let done = self.devtools("Runtime.evaluate", script).await;
        assert!(done.get("exceptionDetails").is_none(), "{done}");
    }

    /// All text that is shown.
    pub async fn text(&self) -> String {
        self.client
            .execute("return document.body?.innerText ?? ''", Vec::new())
            .await
            .unwrap_or_default()
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// A bounded wait for text.
    pub async fn sees(&self, text: &str) {
        self.until(&format!("to see {text:?}"), async |it| it.text().await.contains(text)).await;
    }

    /// A bounded wait for text to be gone.
    pub async fn sees_no(&self, text: &str) {
        self.until(&format!("no longer to see {text:?}"), async |it| {
            !it.text().await.contains(text)
        })
        .await;
    }

    /// A bounded wait.
    pub async fn until(&self, what: &str, mut holds: impl AsyncFnMut(&Self) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !holds(self).await {
            if Instant::now() > end {
                let (path, text) = (self.path().await, self.text().await);
                panic!("waited {PATIENCE:?} in vain {what}, at {path}:\n{text}");
            }
            tokio::time::sleep(BLINK).await;
        }
    }

    /// A bounded wait for what a selector and words name.
    async fn found(&self, selector: &str, words: &str) -> Element {
        let end = Instant::now() + PATIENCE;
        loop {
            let script = format!("{EYES} return find(arguments[0], arguments[1])");
            let found = self.client.execute(&script, vec![json!(selector), json!(words)]).await;
            if let Some(id) = found.ok().and_then(|it| Some(it.get(ELEMENT)?.as_str()?.to_owned()))
            {
                return Element::from_element_id(self.client.clone(), ElementRef::from(id));
            }
            if Instant::now() > end {
                let (path, text) = (self.path().await, self.text().await);
                panic!("there is no {words:?} to {selector:?}, at {path}:\n{text}");
            }
            tokio::time::sleep(BLINK).await;
        }
    }

    /// Presses with the mouse what is called so, or begins so. The list may be written anew
    /// between a look and a press: then it is looked at again.
    pub async fn click(&self, words: &str) {
        let selector = "a[href], button, summary, label, input[type=checkbox], [role=menuitem]";
        let mut last = None;
        for _ in 0..TRIES {
            match self.found(selector, words).await.click().await {
                Ok(()) => return,
                Err(fault) => last = Some(fault),
            }
            tokio::time::sleep(BLINK).await;
        }
        panic!("{words:?} cannot be pressed: {last:?}");
    }

    /// Presses twice as fast as a hand can.
    pub async fn double_click(&self, words: &str) {
        let element = self.found("button, a[href]", words).await;
        let button = MOUSE_BUTTON_LEFT;
        let (down, up) = (PointerAction::Down { button }, PointerAction::Up { button });
        let over = PointerAction::MoveToElement { element, duration: None, x: 0.0, y: 0.0 };
        let mouse = MouseActions::new("mouse".to_owned()).then(over);
        let twice = mouse.then(down.clone()).then(up.clone()).then(down).then(up);
        self.client.perform_actions(twice).await.unwrap();
    }

    /// Puts the mouse button down on what is called so, and keeps it there until [`Self::lets_go`].
    pub async fn holds_down(&self, words: &str) {
        let element = self.found("button, a[href]", words).await;
        let over = PointerAction::MoveToElement { element, duration: None, x: 0.0, y: 0.0 };
        let down = PointerAction::Down { button: MOUSE_BUTTON_LEFT };
        let mouse = MouseActions::new("mouse".to_owned()).then(over).then(down);
        self.client.perform_actions(mouse).await.unwrap();
    }

    /// Releases the mouse button, where it is.
    pub async fn lets_go(&self) {
        let up = PointerAction::Up { button: MOUSE_BUTTON_LEFT };
        self.client.perform_actions(MouseActions::new("mouse".to_owned()).then(up)).await.unwrap();
    }

    /// Presses a place of the window.
    pub async fn click_at(&self, x: f64, y: f64) {
        let button = MOUSE_BUTTON_LEFT;
        let mouse = MouseActions::new("mouse".to_owned())
            .then(PointerAction::MoveTo { duration: None, x, y })
            .then(PointerAction::Down { button })
            .then(PointerAction::Up { button });
        self.client.perform_actions(mouse).await.unwrap();
    }

    /// Replaces the text of the field with this label.
    pub async fn fill(&self, label: &str, text: &str) {
        let mut last = None;
        for _ in 0..TRIES {
            let field = self.found("input, textarea", label).await;
            let written = match field.clear().await {
                Ok(()) => field.send_keys(text).await,
                Err(fault) => Err(fault),
            };
            match written {
                Ok(()) => return,
                Err(fault) => last = Some(fault),
            }
            tokio::time::sleep(BLINK).await;
        }
        panic!("nothing can be written into {label:?}: {last:?}");
    }

    /// Chooses one of a list by its first word, typed: what the driver does instead tells the page
    /// less than a reader's choice would.
    pub async fn choose(&self, label: &str, option: &str) {
        self.found("select", label).await;
        self.ask("find('select', arguments[0]).focus()", vec![json!(label)]).await;
        self.press(option.split(' ').next().unwrap_or_default()).await;
        let chosen = "return words(find('select', arguments[0])?.selectedOptions[0]?.innerText)";
        self.until(&format!("for {option:?} to be chosen"), async |it| {
            it.ask(chosen, vec![json!(label)]).await == option
        })
        .await;
    }

    /// The text of a field.
    pub async fn value(&self, label: &str) -> String {
        let script = "return find('input, textarea, select', arguments[0])?.value ?? ''";
        self.ask(script, vec![json!(label)]).await.as_str().unwrap().to_owned()
    }

    /// Lets pages read what was copied.
    pub async fn allow_clipboard(&self) {
        let permissions = json!({"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"], "origin": self.base});
        self.devtools("Browser.grantPermissions", permissions).await;
    }

    /// What was copied last.
    pub async fn clipboard(&self) -> String {
        let script = "const done = arguments[arguments.length - 1];
            navigator.clipboard.readText().then(done, (fault) => done(String(fault)));";
        self.ask_later(script, Vec::new()).await.as_str().unwrap().to_owned()
    }

    /// Answers what the browser asks over the page, once it asks.
    pub async fn accept_question(&self) {
        self.until("to be asked", async |it| it.client.accept_alert().await.is_ok()).await;
    }

    /// The same with no for an answer.
    pub async fn refuse_question(&self) {
        self.until("to be asked", async |it| it.client.dismiss_alert().await.is_ok()).await;
    }

    /// Presses keys one after another, wherever the focus is.
    pub async fn press(&self, keys: &str) {
        let mut actions = KeyActions::new("keyboard".to_owned());
        for value in keys.chars() {
            actions = actions.then(KeyAction::Down { value }).then(KeyAction::Up { value });
        }
        self.client.perform_actions(actions).await.unwrap();
    }

    /// Presses one key while others are held.
    pub async fn chord(&self, held: char, value: char) {
        let actions = KeyActions::new("keyboard".to_owned())
            .then(KeyAction::Down { value: held })
            .then(KeyAction::Down { value })
            .then(KeyAction::Up { value })
            .then(KeyAction::Up { value: held });
        self.client.perform_actions(actions).await.unwrap();
    }

    /// What has the focus, as it is called; nothing where nothing has.
    pub async fn focus(&self) -> String {
        let script = "const e = document.activeElement;
            return !e || e === document.body ? '' : called(e)";
        self.ask(script, Vec::new()).await.as_str().unwrap_or_default().to_owned()
    }

    /// Goes on by Tab until what is called so, or begins so, has the focus.
    pub async fn tab_to(&self, words: &str) {
        let mut met = Vec::new();
        for _ in 0..TABS_MAX {
            let at = self.focus().await;
            if at == words || at.starts_with(words) {
                return;
            }
            met.push(at);
            self.press(&key::TAB.to_string()).await;
        }
        panic!("Tab does not lead to {words:?} at {}, but to {met:#?}", self.path().await);
    }

    /// The same by keys alone: goes to a field, empties it and writes.
    pub async fn type_into(&self, label: &str, text: &str) {
        self.tab_to(label).await;
        self.chord(key::CONTROL, 'a').await;
        self.press(text).await;
    }

    /// Goes to what is called so, and presses Enter.
    pub async fn enter(&self, words: &str) {
        self.tab_to(words).await;
        self.press(&key::ENTER.to_string()).await;
    }

    /// The whole page as a PNG, in base64.
    pub async fn picture(&self) -> String {
        let asked = json!({"format": "png", "captureBeyondViewport": true});
        let taken = self.devtools("Page.captureScreenshot", asked).await;
        taken["data"].as_str().unwrap().to_owned()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Some(process) = self.process.filter(|_| !self.left) {
            let line = format!("kill -s KILL {process}");
            let _ = Command::new("sh").args(["-c", &line]).stderr(Stdio::null()).status();
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
        if !self.left && !std::thread::panicking() {
            panic!("end a browser by `leave`, which hears its complaints");
        }
    }
}
