//! `serve --demo`: an account with one member for each role, in memory, and two lines to try.
//!
//! Reads roles and actions from the live policies like everybody else; knows none by name.

use std::sync::Arc;

use super::say;
use crate::app::App;
use crate::domain::{
    AccountSlug, Actor, Email, Failure, LinkId, Member, MemberId, Name, Revision, RoleId, Status,
    Timestamp, Token, Version,
};
use crate::engine::{Cell, Matrix};
use crate::entropy;
use crate::flows::refresh;
use crate::password::Password;
use crate::store::links::NewLink;
use crate::store::{By, Target};

const ACCOUNT: &str = "demo";
/// Printed beside the members: it guards nothing but a demonstration.
const PASSWORD: &str = "only for a look around";

/// Makes the account and its members.
///
/// # Errors
/// Those of the store.
pub(super) async fn populate(app: &Arc<App>) -> Result<(), Failure> {
    let account = AccountSlug::parse(ACCOUNT)?;
    let name = "Demo".to_owned();
    let mut last =
        app.store.account_create(&Actor::System, account.clone(), name, None).await?.revision;
    let password = app.hasher.hash(&Password::parse(PASSWORD)?).await?;
    let policies = app.policies.load_full();
    for card in policies.roles() {
        let member = Member {
            id: MemberId::parse(&member_of(&card.id))?,
            account: account.clone(),
            email: Email::parse(&email_of(&card.id))?,
            first_name: Name::parse("first_name", "Demo")?,
            last_name: Name::parse("last_name", &card.title)?,
            role: card.id.clone(),
            status: Status::Active,
            two_step: false,
            joined: app.clock.now(),
            version: Version::FIRST,
        };
        let id = app.store.member_create(&Actor::System, member).await?.value.id;
        last = give_password(app, &account, &id, &password).await?;
    }
    refresh::settled(app, last).await
}

/// Gives a member the demonstration's password, the way a link does, with no mail about it.
async fn give_password(
    app: &App,
    account: &AccountSlug,
    id: &MemberId,
    password: &str,
) -> Result<Revision, Failure> {
    let token = Token::from_bytes(entropy::random()?).hash();
    let expires = Timestamp(app.clock.now().0.saturating_add(1_000));
    let link = LinkId::from_random(entropy::random()?);
    let link = NewLink { id: link, key: app.keys.current(), token, expires, letter: None };
    let target = Target { account, id, expected: None };
    app.store.reset_begin(&By::actor(Actor::System), target, link).await?;
    Ok(app.store.reset_end(token, password.to_owned(), None).await?.revision)
}

fn email_of(role: &RoleId) -> String {
    format!("{role}@demo.example")
}

fn member_of(role: &RoleId) -> String {
    format!("demo-{role}")
}

/// Says who there is, and prints a `curl` line that gets an allow and one that gets a deny.
pub(super) fn introduce(app: &App, places: &[(&str, String)]) {
    let policies = app.policies.load();
    say("");
    say("everything is in memory, in the account `demo`, with these members:");
    for card in policies.roles() {
        let email = email_of(&card.id);
        say(&format!("  {:<28} {:<36} {}", member_of(&card.id), email, card.title));
    }
    say(&format!("each signs in with the password `{PASSWORD}`"));
    say(&format!("mail is written to {}", app.config.data.join("outbox").display()));
    let place = places.iter().find(|(what, _)| *what == "decisions").map(|(_, place)| place);
    let (Some(place), Some([yes, no])) = (place, examples(&policies.matrix())) else { return };
    for (what, (role, action, resource)) in [("allow", yes), ("deny", no)] {
        let body = format!(
            r#"{{"subject":{{"type":"user","id":"{}"}},"action":{{"name":"{action}"}},"resource":{{"type":"{resource}","id":"one","properties":{{"account":"{ACCOUNT}"}}}}}}"#,
            member_of(&role)
        );
        say("");
        say(&format!("this gets {}:", if what == "allow" { "an allow" } else { "a deny" }));
        say(&format!(
            "  curl -s {place}/access/v1/evaluation -H 'content-type: application/json' -d '{body}'"
        ));
    }
    say("");
}

/// A role with what it may do, and another role with the same that it may not.
type Example = (RoleId, String, String);

fn examples(matrix: &Matrix) -> Option<[Example; 2]> {
    // The row that most roles are told apart by makes the better example.
    let few = |row: &&crate::engine::MatrixRow| {
        row.cells.iter().filter(|cell| **cell == Cell::Allowed).count()
    };
    let row = matrix
        .rows
        .iter()
        .filter(|row| row.cells.contains(&Cell::Allowed) && row.cells.contains(&Cell::Denied))
        // An account or a member would have to be one that there is.
        .filter(|row| !matches!(row.resource.as_str(), "account" | "user"))
        .min_by_key(|row| few(row).abs_diff(2))?;
    let role = |wanted: Cell| {
        let at = row.cells.iter().rposition(|cell| *cell == wanted)?;
        matrix.roles.get(at).cloned()
    };
    let example = |role| (role, row.action.clone(), row.resource.clone());
    Some([example(role(Cell::Allowed)?), example(role(Cell::Denied)?)])
}
