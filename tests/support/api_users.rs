//! People who use the management API over TCP: they join, sign in, and call it with their cookie.

use std::net::TcpStream;

use serde_json::{Value as Json, json};

use crate::support::sidecar::{Answer, Connection, PATIENCE, Sidecar};

/// Passes every rule, for anybody.
pub const PASSWORD: &str = "seven green bicycles";

/// Calls the management API over TCP; `line` is a method and a path below `/api/v1`.
pub fn call(sidecar: &Sidecar, line: &str, headers: &str, body: Option<&Json>) -> Answer {
    let stream = TcpStream::connect(&sidecar.console).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let (method, path) = line.split_once(' ').unwrap();
    let media = if body.is_some() { "content-type: application/json\r\n" } else { "" };
    let headers = format!("{media}{headers}");
    let body = body.map(ToString::to_string).unwrap_or_default();
    Connection::new(stream).send(method, &format!("/api/v1{path}"), &headers, &body)
}

/// The problem's code, after checking the status.
#[track_caller]
pub fn problem(answer: &Answer, status: u16) -> String {
    assert_eq!(answer.status, status, "{answer:?}");
    assert!(answer.header("content-type").unwrap().starts_with("application/problem+json"));
    let body = answer.json();
    assert!(body["detail"].as_str().unwrap().len() > 20, "{body}");
    body["code"].as_str().unwrap().to_owned()
}

/// The document, after checking the status.
#[track_caller]
pub fn document(answer: &Answer, status: u16) -> Json {
    assert_eq!(answer.status, status, "{answer:?}");
    answer.json()
}

/// The token in a link's fragment.
pub fn token_of(link: &str) -> &str {
    link.trim().rsplit_once('#').unwrap_or_else(|| panic!("no token in {link}")).1
}

/// A signed-in member.
pub struct Person<'s> {
    sidecar: &'s Sidecar,
    pub account: String,
    pub email: String,
    pub id: String,
    pub cookie: String,
}

impl<'s> Person<'s> {
    /// Signs in.
    #[track_caller]
    pub fn sign_in(sidecar: &'s Sidecar, account: &str, email: &str) -> Self {
        let body = json!({"account": account, "email": email, "password": PASSWORD});
        let answer = call(sidecar, "POST /sign-in", "", Some(&body));
        let found = document(&answer, 200);
        assert_eq!(found["state"], "signed_in");
        Self {
            sidecar,
            account: account.to_owned(),
            email: email.to_owned(),
            id: found["member"]["id"].as_str().unwrap().to_owned(),
            cookie: cookie_of(&answer),
        }
    }

    /// Gives an imported member a password by the operator's link, and signs in.
    #[track_caller]
    pub fn of_import(sidecar: &'s Sidecar, account: &str, id: &str) -> Self {
        let printed = sidecar.ok(&["member", "reset-password", id, "--account", account, "--json"]);
        let reset: Json = serde_json::from_str(&printed).unwrap();
        let token = token_of(reset["link"].as_str().unwrap());
        let body = json!({"token": token, "password": PASSWORD});
        document(&call(sidecar, "POST /password-reset/confirm", "", Some(&body)), 200);
        Self::sign_in(sidecar, account, &format!("{id}@example.org"))
    }

    /// Joins by an invite's link, and signs in.
    #[track_caller]
    pub fn join(sidecar: &'s Sidecar, account: &str, link: &str) -> Self {
        let body = json!({"token": token_of(link), "password": PASSWORD});
        let member = document(&call(sidecar, "POST /invites/accept", "", Some(&body)), 201);
        Self::sign_in(sidecar, account, member["email"].as_str().unwrap())
    }

    fn headers(&self) -> String {
        format!("cookie: {}\r\nsec-fetch-site: same-origin\r\n", self.cookie)
    }

    /// Calls with the cookie.
    pub fn call(&self, line: &str, body: Option<&Json>) -> Answer {
        call(self.sidecar, line, &self.headers(), body)
    }

    /// Calls with the cookie and the version that is changed.
    pub fn change(&self, line: &str, version: &Json, body: &Json) -> Answer {
        let headers = format!("{}if-match: \"{version}\"\r\n", self.headers());
        call(self.sidecar, line, &headers, Some(body))
    }

    /// A page of the console.
    pub fn page(&self, path: &str) -> String {
        let stream = TcpStream::connect(&self.sidecar.console).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let answer = Connection::new(stream).send("GET", path, &self.headers(), "");
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Json {
        document(&self.call(&format!("GET {path}"), None), 200)
    }

    /// Gives another member a role, by the version as it is.
    pub fn give_role(&self, id: &str, role: &str) -> Answer {
        let version = self.get(&format!("/members/{id}"))["version"].clone();
        self.change(&format!("PATCH /members/{id}"), &version, &json!({"role": role}))
    }

    pub fn invite(&self, name: &str, role: &str) -> Answer {
        let body = json!({"first_name": name, "last_name": "Lee",
            "email": format!("{}@example.org", name.to_lowercase()), "role": role});
        self.call("POST /invites", Some(&body))
    }

    /// The token that the cookie carries, as services pass it on.
    pub fn token(&self) -> &str {
        self.cookie.split_once('=').unwrap().1
    }
}

/// The cookie as a browser sends it back.
#[track_caller]
pub fn cookie_of(answer: &Answer) -> String {
    let set = answer.header("set-cookie").unwrap_or_else(|| panic!("no cookie: {answer:?}"));
    set.split(';').next().unwrap().to_owned()
}
