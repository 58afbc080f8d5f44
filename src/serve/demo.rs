//! `serve --demo`: an account with one member for each role, in memory, with a month of history;
//! and two example requests.
//!
//! Reads roles and actions from the live policies; knows none by name.

mod demo_history;
mod demo_people;

use std::sync::Arc;

use self::demo_history::{DemoHistory, MINUTE, MONTH, give_password};
use crate::app::{App, PolicyStatus};
use crate::clock::Clock;
use crate::domain::{
    AccountSlug, Actor, Email, Failure, Member, MemberId, Name, PolicyFiles, RoleId, Status,
    Version,
};
use crate::engine::{Cell, Matrix, Snapshot, render};
use crate::password::Password;
use crate::policy_folder;
use crate::services::directory_sync;
use crate::telemetry::log::say;

const ACCOUNT: &str = "demo";
/// Printed with the members: it protects only a demonstration.
const PASSWORD: &str = "only for a look around";

/// The initial clock of a demonstration.
pub(super) fn clock() -> Clock {
    Clock::behind(MONTH)
}

/// Creates the account, its members, and a month of history.
///
/// # Errors
/// Those of the store.
pub(super) async fn populate(app: &Arc<App>) -> Result<(), Failure> {
    let account = AccountSlug::parse(ACCOUNT)?;
    app.store.account_create(&Actor::System, account.clone(), "Demo".to_owned(), None).await?;
    let password = app.hasher.hash(&Password::parse(PASSWORD)?).await?;
    let past = DemoHistory { app, account: account.clone(), password };
    let policies = app.policies.load_full();
    for card in policies.roles() {
        app.clock.advance_ms(MINUTE);
        let member = Member {
            id: MemberId::parse(&member_of(&card.id))?,
            account: account.clone(),
            email: Email::parse(&email_of(&card.id))?,
            first_name: Name::parse("first_name", "Demo")?,
            last_name: Name::last(&card.title)?,
            role: card.id.clone(),
            status: Status::Active,
            two_step: false,
            joined: app.clock.now(),
            version: Version::FIRST,
        };
        let id = app.store.member_create(&Actor::System, member).await?.value.id;
        give_password(&past, &id).await?;
    }
    past.happens().await?;
    if app.config.policies.dir.is_none() {
        refuse_a_reload(app);
    }
    directory_sync::wait_until_settled(app, app.store.revision().await?).await
}

/// Shows the message of a refused folder: a real fault, of invented policies.
fn refuse_a_reload(app: &App) {
    let broken = |(path, bytes): (&str, &[u8])| {
        let slip: &[u8] = if path.starts_with("roles/") {
            b"permit (principal, action, resource) when { principal.actve };\n"
        } else {
            b""
        };
        (path.to_owned(), [bytes, slip].concat())
    };
    let files = PolicyFiles::new(policy_folder::embedded_policies().iter().map(broken).collect());
    if let Err(faults) = Snapshot::load(&files, &[]) {
        let first: Vec<_> = faults.into_iter().take(1).collect();
        let status = PolicyStatus::clone(&app.policy_status.load());
        app.policy_status.store(Arc::new(PolicyStatus { fault: Some(render(&first)), ..status }));
    }
}

fn email_of(role: &RoleId) -> String {
    format!("{role}@demo.example")
}

fn member_of(role: &RoleId) -> String {
    format!("demo-{role}")
}

/// Prints the members, and a `curl` line that gets an allow and one that gets a deny.
pub(super) fn introduce(app: &App, places: &[(&str, String)]) {
    let policies = app.policies.load();
    say("");
    say(
        "all records are in memory, in the account `demo`; among its members is one for each role:",
    );
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

/// A role with an action that it may do, and another role that may not.
type Example = (RoleId, String, String);

fn examples(matrix: &Matrix) -> Option<[Example; 2]> {
    // An action that few roles may do is the better example.
    let few = |row: &&crate::engine::MatrixRow| {
        row.cells.iter().filter(|cell| **cell == Cell::Allowed).count()
    };
    let row = matrix
        .rows
        .iter()
        .filter(|row| row.cells.contains(&Cell::Allowed) && row.cells.contains(&Cell::Denied))
        // An account or a member would have to exist.
        .filter(|row| !matches!(row.resource.as_str(), "account" | "user"))
        .min_by_key(|row| few(row).abs_diff(2))?;
    let role = |wanted: Cell| {
        let at = row.cells.iter().rposition(|cell| *cell == wanted)?;
        matrix.roles.get(at).cloned()
    };
    let example = |role| (role, row.action.clone(), row.resource.clone());
    Some([example(role(Cell::Allowed)?), example(role(Cell::Denied)?)])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::Config;
    use crate::directory::Directory;
    use crate::domain::{DeliveryState, InviteState};
    use crate::password::PasswordHasher;
    use crate::store::member_pages::MemberTableQuery;
    use crate::store::requests_and_views::invites::InviteFilter;
    use crate::store::{AuditFilter, Store};

    async fn demonstration() -> Arc<App> {
        let clock = clock();
        let store = Store::in_memory(clock.clone()).await.unwrap();
        let directory = Arc::new(Directory::new());
        let feed = directory_sync::load(&store, &directory).await.unwrap();
        tokio::spawn(directory_sync::follow(Arc::clone(&directory), feed));
        let policies = Snapshot::load(&policy_folder::embedded_policies(), &[]).unwrap();
        let config = Config::default_for("/nowhere".into());
        let mut app = App::new(config, clock, policies, directory, store).unwrap();
        app.hasher = PasswordHasher::cheap().unwrap();
        let app = Arc::new(app);
        populate(&app).await.unwrap();
        app
    }

    #[tokio::test]
    async fn a_demonstration_shows_every_state_and_a_log_that_verifies() {
        let app = demonstration().await;
        let account = AccountSlug::parse(ACCOUNT).unwrap();
        let query = MemberTableQuery { limit: 1_000, ..MemberTableQuery::default() };
        let roster = app.store.roster(&account, &query).await.unwrap();
        let roles = app.policies.load().roles().len();
        // Two of the invites were accepted.
        assert_eq!(roster.total, roles + demo_people::MEMBERS.len() + 2);
        assert_eq!(roster.held.len(), roles);
        let count = |is: &dyn Fn(&Member) -> bool| {
            roster.items.iter().filter(|seen| is(&seen.member)).count()
        };
        assert_eq!(count(&|member| member.status == Status::Suspended), 8);
        assert!(count(&|member| member.two_step) > 10);
        assert!(roster.items.iter().filter(|seen| seen.signed_in.is_none()).count() > 5);
        assert!(count(&|member| member.first_name.as_str().chars().count() == 64) == 1);

        let filter = InviteFilter::default();
        let invites = app.store.invites(&account, &filter, None, 100).await.unwrap().items;
        let now = app.clock.now();
        let mut states = BTreeMap::new();
        let mut mails = BTreeMap::new();
        for view in &invites {
            *states.entry(view.invite.state(now).as_str()).or_insert(0) += 1;
            *mails.entry(view.delivery.state.as_str()).or_insert(0) += 1;
        }
        for state in InviteState::ALL {
            assert!(states.contains_key(state.as_str()), "no invite is {}", state.as_str());
        }
        for state in DeliveryState::ALL {
            assert!(mails.contains_key(state.as_str()), "no mail is {}", state.as_str());
        }
        let tokens = app.store.api_tokens(&account, None, None, 10).await.unwrap().items;
        assert_eq!(tokens.len(), 2);
        assert_ne!(tokens[0].member, tokens[1].member);

        let report = app.store.audit_verify(Some(&account)).await.unwrap();
        assert_eq!(report.fault, None);
        let entries =
            app.store.audit(Some(&account), &AuditFilter::default(), None, 1_000).await.unwrap();
        let times: Vec<_> = entries.items.iter().map(|entry| entry.at).collect();
        assert!(times.len() > 100 && times.is_sorted());
        assert!(now.0 - times[0].0 > MONTH - MONTH / 30 && times.last().unwrap().0 <= now.0);
        assert!(Clock::System.now().0 - now.0 < 60_000, "the clock is late");
        let status = app.policy_status.load();
        let fault = status.fault.as_deref().unwrap();
        assert!(fault.contains("roles/") && fault.contains("actve"), "{fault}");
        assert!(!status.last_good);
    }
}
