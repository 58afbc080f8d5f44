//! `GET /forward-auth`: authorization of requests for a proxy: nginx `auth_request`, Traefik,
//! Caddy.
//!
//! The subject and the account come from the session cookie or from a bearer token, which may be an
//! API token; the proxy names only the action and the resource. Reveals nothing of a member except
//! to the holder of the member's session or token.

use std::borrow::Cow;

use super::evaluation::stale_header;
use crate::app::App;
use crate::domain::{
    AccountSlug, Decision, EntityRef, Failure, Kind, MemberId, MemberView, Query, Reason, Value,
    api_token,
};
use crate::engine::Snapshot;
use crate::http::{Reply, Request, query_string};
use crate::services::decide::{decide, decide_for};
use crate::services::session_auth::{self, SignedIn};
use crate::services::token_auth::{self, TokenHolder};
use crate::telemetry::log;

/// The maximum length of a misspelt name in the log.
const NAME_CHARS_LOGGED: usize = 100;

/// Answers 200 with `x-kwic-user`, `x-kwic-account` and `x-kwic-role`; without an action it only
/// identifies the caller. A stale node says so on every answer, and refuses where it is to deny: who
/// somebody is may be as stale as what they may do.
///
/// # Errors
/// `Unauthenticated` `session_ended`, `token_ended`; `Denied` `not_allowed`; `Invalid` for parameters that are
/// unknown, doubled, or half given.
pub fn forward_auth(app: &App, request: &Request) -> Result<Reply, Failure> {
    let Some(stale) = app.stale() else { return answer(app, request) };
    let answered = if stale.denies { Err(stale_deny()) } else { answer(app, request) };
    let reply = answered.unwrap_or_else(|failure| {
        log::failed(request.id(), &failure);
        Reply::message(&failure)
    });
    Ok(stale_header(reply, stale))
}

/// The deny of a stale node. Proxies pass the sentence on to a browser.
fn stale_deny() -> Failure {
    Failure::new(
        Kind::Denied,
        Reason::Stale.as_str(),
        "access cannot be checked at the moment: try again in a minute",
    )
}

fn answer(app: &App, request: &Request) -> Result<Reply, Failure> {
    let asked = ForwardAuthParams::read(request.query().unwrap_or_default())?;
    let who = ForwardAuthSubject::of(app, request)?;
    let (member, account) = (who.member().as_str(), who.account().as_str());
    if let Some((action, kind, id)) = asked.question() {
        let own = Value::String(Cow::Borrowed(account));
        let properties = [(Cow::Borrowed("account"), own)];
        let question = Query {
            subject: EntityRef { kind: "user", id: member, properties: &[] },
            action,
            action_properties: &[],
            resource: EntityRef { kind, id, properties: &properties },
            context: &[],
        };
        if !who.asks(app, &question).allowed {
            return Err(denied(&app.policies.load(), action, kind));
        }
    }
    Ok(Reply::text("text/plain; charset=utf-8", "ok\n")
        .header("x-kwic-user", member.to_owned())
        .header("x-kwic-account", account.to_owned())
        .header("x-kwic-role", who.role(app))
        .header("cache-control", "no-store".to_owned()))
}

/// Proxies pass the sentence on to a browser, so it reveals nothing of the policies or of the
/// query. A misspelt name is the proxy's fault, and is logged.
fn denied(policies: &Snapshot, action: &str, kind: &str) -> Failure {
    let sentence = "you do not have access to this: ask an administrator of your team for it";
    let denied = Failure::not_allowed(sentence);
    let wrong = |what: &str, name: &str, parameter: &str| {
        let name: String = name.chars().take(NAME_CHARS_LOGGED).collect();
        let name = name.escape_debug();
        format!(
            "/forward-auth is asked for the {what} `{name}`, which the policies do not have: correct `{parameter}` in the proxy's configuration"
        )
    };
    if !policies.knows_action(action) {
        denied.logged(wrong("action", action, "action"))
    } else if !policies.knows_type(kind) {
        denied.logged(wrong("resource type", kind, "resource_type"))
    } else {
        denied
    }
}

enum ForwardAuthSubject {
    Session(SignedIn),
    Program(TokenHolder),
}

impl ForwardAuthSubject {
    fn of(app: &App, request: &Request) -> Result<Self, Failure> {
        let bearer = bearer(request);
        if let Some(secret) = bearer.filter(|text| token_auth::is_meant(text)) {
            let holder = token_auth::authenticate(app, secret);
            return holder.map(Self::Program).ok_or_else(api_token::ended);
        }
        // A product may send its own bearer token beside the cookie.
        let known = |token| session_auth::authenticate(app, token);
        let by_cookie = || request.cookie(session_auth::COOKIE).and_then(known);
        let signed_in = bearer.and_then(known).or_else(by_cookie);
        signed_in.map(Self::Session).ok_or_else(session_auth::ended)
    }

    fn member(&self) -> &MemberId {
        match self {
            Self::Session(signed_in) => signed_in.member(),
            Self::Program(holder) => holder.member(),
        }
    }

    fn account(&self) -> &AccountSlug {
        match self {
            Self::Session(signed_in) => signed_in.account(),
            Self::Program(holder) => holder.account(),
        }
    }

    /// The effective role: the member's, or the token's.
    fn role(&self, app: &App) -> String {
        match self {
            Self::Session(signed_in) => {
                let role = |member: MemberView<'_>| member.role.to_owned();
                app.directory.with(signed_in.member().as_str(), role).unwrap_or_default()
            }
            Self::Program(holder) => holder.role().to_string(),
        }
    }

    fn asks(&self, app: &App, question: &Query<'_>) -> Decision {
        match self {
            Self::Session(_) => decide(app, &app.policies.load(), question, false),
            Self::Program(holder) => decide_for(app, holder, question),
        }
    }
}

fn bearer(request: &Request) -> Option<&str> {
    let (scheme, token) = request.header("authorization")?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The query parameters.
#[derive(Debug, Default)]
struct ForwardAuthParams {
    action: Option<String>,
    resource_type: Option<String>,
    resource_id: Option<String>,
}

impl ForwardAuthParams {
    fn read(text: &str) -> Result<Self, Failure> {
        let bad = |sentence: String| Failure::new(Kind::Invalid, "bad_parameters", sentence);
        let mut asked = Self::default();
        for pair in query_string::pairs(text) {
            let (name, value) = pair.map_err(|pair| {
                bad(format!("`{}` is not percent-encoded UTF-8: encode it", pair.escape_debug()))
            })?;
            let place = match name.as_str() {
                "action" => &mut asked.action,
                "resource_type" => &mut asked.resource_type,
                "resource_id" => &mut asked.resource_id,
                _ => {
                    let name = name.escape_debug();
                    return Err(bad(format!(
                        "there is no parameter `{name}`: use `action`, `resource_type` and `resource_id`"
                    )));
                }
            };
            if place.replace(value).is_some() {
                return Err(bad(format!("`{name}` is given twice: give it once")));
            }
        }
        let given = [&asked.action, &asked.resource_type, &asked.resource_id];
        // An incomplete query must not be taken for none.
        match given.iter().filter(|given| given.is_some()).count() {
            0 | 3 => Ok(asked),
            _ => Err(bad(
                "give `action`, `resource_type` and `resource_id` together, or none of them"
                    .to_owned(),
            )),
        }
    }

    fn question(&self) -> Option<(&str, &str, &str)> {
        Some((
            self.action.as_deref()?,
            self.resource_type.as_deref()?,
            self.resource_id.as_deref()?,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_question_is_refused() {
        assert!(ForwardAuthParams::read("").unwrap().question().is_none());
        let whole =
            ForwardAuthParams::read("action=a%3Ab&resource_type=doc&resource_id=1").unwrap();
        assert_eq!(whole.question(), Some(("a:b", "doc", "1")));
        for half in [
            "action=a",
            "action=a&resource_type=doc",
            "resource_id=1",
            "action=a&action=b&resource_type=doc&resource_id=1",
            "action=a&resource_type=doc&resource_id=1&account=x",
            "action=%zz&resource_type=doc&resource_id=1",
        ] {
            assert_eq!(ForwardAuthParams::read(half).unwrap_err().kind, Kind::Invalid, "{half}");
        }
    }
}
