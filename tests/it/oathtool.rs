//! The second factor of a running sidecar, with codes of an independent implementation: `oathtool`
//! of the OATH Toolkit.

use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value as Json, json};

use crate::support::api_users::{PASSWORD, Person, call, cookie_of, document, problem};
use crate::support::sidecar::{Sidecar, is_installed};

/// Seconds of a time step.
const STEP: u64 = 30;

/// An authenticator app.
struct Oathtool {
    secret: String,
    /// The next step whose code was not used.
    step: u64,
}

impl Oathtool {
    /// One that has the secret that was answered. Its first code is a step old, which is taken.
    fn of(enrolment: &Json) -> Self {
        let url = enrolment["url"].as_str().unwrap();
        let secret = url.split("secret=").nth(1).unwrap().split('&').next().unwrap();
        assert_eq!(enrolment["secret"], secret);
        assert!(enrolment["qr"].as_str().unwrap().starts_with("<svg"));
        Self { secret: secret.to_owned(), step: now() / STEP - 1 }
    }

    fn code_of(&self, step: u64) -> String {
        let at = format!("@{}", step * STEP);
        let output = Command::new("oathtool")
            .args(["--totp", "--base32", &self.secret, "--now", &at])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// A code that is good now and was not used; waits where all of them were.
    fn next(&mut self) -> String {
        self.step = self.step.max(now() / STEP - 1);
        while self.step > now() / STEP + 1 {
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
        self.step += 1;
        self.code_of(self.step - 1)
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn sign_in(sidecar: &Sidecar, who: &str) -> Json {
    let body =
        json!({"account": "acme", "email": format!("{who}@example.org"), "password": PASSWORD});
    document(&call(sidecar, "POST /sign-in", "", Some(&body)), 200)
}

fn show(sidecar: &Sidecar, ticket: &Json, code: &str) -> crate::support::sidecar::Answer {
    let body = json!({"ticket": ticket, "code": code});
    call(sidecar, "POST /sign-in/second-factor", "", Some(&body))
}

/// Calls with a cookie.
fn by(
    sidecar: &Sidecar,
    cookie: &str,
    line: &str,
    body: Option<&Json>,
) -> crate::support::sidecar::Answer {
    let headers = format!("cookie: {cookie}\r\nsec-fetch-site: same-origin\r\n");
    call(sidecar, line, &headers, body)
}

fn codes_of(set_up: &Json) -> Vec<String> {
    let codes = set_up["recovery_codes"].as_array().unwrap();
    codes.iter().map(|code| code.as_str().unwrap().to_owned()).collect()
}

/// One code, a hundred times at once: how many get a session.
fn a_hundred_at_once(sidecar: &Sidecar, ticket: &Json, code: &str) -> usize {
    std::thread::scope(|scope| {
        let tries: Vec<_> =
            (0..100).map(|_| scope.spawn(|| show(sidecar, ticket, code).status)).collect();
        tries.into_iter().map(|tried| tried.join().unwrap()).filter(|status| *status == 200).count()
    })
}

#[test]
fn the_story_of_a_second_factor() {
    if !is_installed("oathtool") {
        return;
    }
    let mut sidecar = Sidecar::start();
    sidecar.account("acme");
    let members = [("chief", "administrator"), ("ann", "operator"), ("bo", "operator")];
    sidecar.members("acme", &members);
    let mut secrets: Vec<String> = vec![PASSWORD.to_owned()];

    // Set up by oneself.
    let ann = Person::of_import(&sidecar, "acme", "ann");
    secrets.push(ann.token().to_owned());
    let enrolment = ann.call("POST /me/two-step", Some(&json!({"password": PASSWORD})));
    let mut phone = Oathtool::of(&document(&enrolment, 200));
    let first = phone.next();
    let confirmed = ann.call("POST /me/two-step/confirm", Some(&json!({"code": first})));
    let recovery = codes_of(&document(&confirmed, 200));
    let ann_in = cookie_of(&confirmed);
    assert_eq!(problem(&ann.call("GET /me", None), 401), "session_ended");
    let me = document(&by(&sidecar, &ann_in, "GET /me", None), 200);
    assert_eq!((&me["id"], &me["two_step"]), (&json!("ann"), &json!(true)));
    let standing = document(&by(&sidecar, &ann_in, "GET /me/two-step", None), 200);
    assert_eq!((&standing["on"], &standing["recovery_codes_left"]), (&json!(true), &json!(10)));

    // A code is good once, also for a hundred at once; the password alone is good for nothing.
    let waiting = sign_in(&sidecar, "ann");
    assert_eq!(waiting["state"], "second_factor");
    assert_eq!(problem(&show(&sidecar, &waiting["ticket"], &first), 403), "wrong_code");
    let code = phone.next();
    assert_eq!(a_hundred_at_once(&sidecar, &waiting["ticket"], &code), 1);
    let again = sign_in(&sidecar, "ann");
    assert_eq!(problem(&show(&sidecar, &again["ticket"], &code), 403), "wrong_code");
    let late = show(&sidecar, &waiting["ticket"], &phone.code_of(phone.step));
    assert_eq!(problem(&late, 401), "ticket_dead");

    // Where the account asks for it, who has none sets one up to come in.
    sidecar.ok(&["account", "edit", "--two-step", "on"]);
    let printed = sidecar.ok(&["member", "reset-password", "bo", "--json"]);
    let link: Json = serde_json::from_str(&printed).unwrap();
    let token = crate::support::api_users::token_of(link["link"].as_str().unwrap()).to_owned();
    let reset = json!({"token": token, "password": PASSWORD});
    let answer = call(&sidecar, "POST /password-reset/confirm", "", Some(&reset));
    assert!(
        document(&answer, 200).get("member").is_none() && answer.header("set-cookie").is_none()
    );
    let waiting = sign_in(&sidecar, "bo");
    assert_eq!(waiting["state"], "set_up_second_factor");
    let ticket = &waiting["ticket"];
    assert_eq!(problem(&show(&sidecar, ticket, "000000"), 409), "two_step_needed");
    let told = call(&sidecar, "POST /sign-in/two-step", "", Some(&json!({"ticket": ticket})));
    let mut other = Oathtool::of(&document(&told, 200));
    let wrong = json!({"ticket": ticket, "code": phone.code_of(phone.step)});
    let wrong = call(&sidecar, "POST /sign-in/two-step/confirm", "", Some(&wrong));
    assert_eq!(problem(&wrong, 403), "wrong_code");
    let body = json!({"ticket": ticket, "code": other.next()});
    let entered = call(&sidecar, "POST /sign-in/two-step/confirm", "", Some(&body));
    let bo_codes = codes_of(&document(&entered, 200));
    let bo_in = cookie_of(&entered);
    document(&by(&sidecar, &bo_in, "GET /me", None), 200);
    let off = json!({"password": PASSWORD, "code": other.next()});
    let off = by(&sidecar, &bo_in, "DELETE /me/two-step", Some(&off));
    assert_eq!(problem(&off, 409), "two_step_enforced");

    // A program acts as an administrator.
    let made = sidecar.ok(&[
        "token", "create", "--member", "chief", "--role", "operator", "--days", "1", "job",
        "--json",
    ]);
    let made: Json = serde_json::from_str(&made).unwrap();
    let program = made["secret"].as_str().unwrap().to_owned();
    let bearer = format!("authorization: Bearer {program}\r\n");
    document(&call(&sidecar, "GET /roles", &bearer, None), 200);

    // A power cut, and new keys: what was used stays used, what was not is good.
    let used = recovery[0].clone();
    let waiting = sign_in(&sidecar, "ann");
    let entered = show(&sidecar, &waiting["ticket"], &used);
    secrets.push(cookie_of(&entered).split_once('=').unwrap().1.to_owned());
    secrets.push(waiting["ticket"].as_str().unwrap().to_owned());
    sidecar.kill();
    let made = sidecar.ok(&["keys", "rotate"]);
    assert!(made.contains("seal-2.key") && made.contains("link-2.key"), "{made}");
    sidecar.restart();
    assert!(sidecar.log_text().contains("newest key"), "{}", sidecar.log_text());
    document(&call(&sidecar, "GET /roles", &bearer, None), 200);
    let waiting = sign_in(&sidecar, "ann");
    assert_eq!(problem(&show(&sidecar, &waiting["ticket"], &used), 403), "wrong_code");
    assert_eq!(problem(&show(&sidecar, &waiting["ticket"], &code), 403), "wrong_code");
    document(&show(&sidecar, &waiting["ticket"], &recovery[1].to_lowercase()), 200);
    let waiting = sign_in(&sidecar, "ann");
    document(&show(&sidecar, &waiting["ticket"], &phone.next()), 200);

    // The operator of the sidecar helps who has lost everything.
    let printed = sidecar.ok(&["member", "reset-two-step", "ann"]);
    assert!(printed.contains("ended"), "{printed}");
    assert_eq!(problem(&by(&sidecar, &ann_in, "GET /me", None), 401), "session_ended");
    assert_eq!(sign_in(&sidecar, "ann")["state"], "set_up_second_factor");

    secrets.extend([program.clone(), program.replace("kwt_", "")]);
    for cookie in [&ann_in, &bo_in] {
        secrets.push(cookie.split_once('=').unwrap().1.to_owned());
    }
    secrets.extend([phone.secret.clone(), other.secret.clone(), token]);
    for code in recovery.iter().chain(&bo_codes) {
        secrets.extend([code.clone(), code.replace('-', ""), code.to_lowercase()]);
    }
    // A backup lies in the data folder, so that it is looked through with the rest.
    let backup = sidecar.path("data/backup");
    sidecar.ok(&["backup", backup.to_str().unwrap()]);
    assert!(backup.join("kwic.redb").exists() && backup.join("manifest.json").exists());
    sidecar.holds_no_secret(&secrets);
    let raw = [&phone, &other].map(|app| totp_rs::Secret::try_from_base32(&app.secret).unwrap());
    sidecar.holds_no_secret(&raw);
    let verified = sidecar.ok(&["audit", "verify", "--json"]);
    assert!(verified.lines().all(|line| line.contains("\"fault\":null")), "{verified}");
}
