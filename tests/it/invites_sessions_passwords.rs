//! Rules of invites, sign-in, sessions and passwords.

use std::net::IpAddr;
use std::sync::Arc;

use kwic_team::domain::{AddressSide, InviteState, Kind, PolicyFiles, TokenHash};
use kwic_team::engine::Snapshot;
use kwic_team::mail::MailContent;
use kwic_team::password::PasswordHasher;
use kwic_team::policy_folder;
use kwic_team::services::client_info::ClientInfo;
use kwic_team::services::invites::{self, ChosenInvite, InviteCorrection};
use kwic_team::services::members::{self, ChosenMember};
use kwic_team::services::step_up::StepUpProof;
use kwic_team::services::{own_profile, passwords, sessions};
use kwic_team::store::MemberEdit;
use kwic_team::store::requests_and_views::one_time_links::EmailConfirmed;

use crate::support::fixture::{Fixture, HOUR, PASSWORD, email, link_in, refused, role};

fn from(address: &str) -> ClientInfo {
    ClientInfo {
        address: Some(address.parse::<IpAddr>().unwrap()),
        agent: "test".into(),
        claimed: None,
    }
}

#[tokio::test]
async fn each_way_to_fail_a_sign_in_costs_one_hash_run_and_gets_one_answer() {
    let stage = Fixture::new().await;
    let ann = stage.member("ann", "administrator").await;
    stage.member("sue", "operator").await;
    let chosen = |id| ChosenMember { id, expected: None };
    stage.invite(stage.operator(), "invited", "operator").await.unwrap();
    let sue = stage.app.store.member_by_email(&stage.acme, email("sue").key()).await.unwrap();
    members::suspend(&stage.app, stage.operator(), chosen(sue.unwrap().id)).await.unwrap();
    let imported = members::NewMember {
        id: None,
        email: email("imported"),
        first_name: ann.first_name.clone(),
        last_name: ann.last_name.clone(),
        role: role("operator"),
    };
    members::create(&stage.app, stage.operator(), imported).await.unwrap();
    let too_long = "x".repeat(5_000);
    let mut answers = Vec::new();
    for (who, password) in [
        ("ann", "another password entirely"),
        ("nobody", PASSWORD),
        ("invited", PASSWORD),
        ("sue", PASSWORD),
        ("imported", PASSWORD),
        ("ann", too_long.as_str()),
    ] {
        let before = stage.app.hasher.runs();
        let failure = stage.try_sign_in(who, password, ClientInfo::default()).await.unwrap_err();
        assert_eq!(stage.app.hasher.runs() - before, 1, "{who}");
        answers.push((failure.kind, failure.code, failure.public, failure.fields));
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    let before = stage.app.hasher.runs();
    stage.sign_in("ann").await;
    assert_eq!(stage.app.hasher.runs() - before, 1);
}

#[tokio::test]
async fn a_weak_hash_is_made_anew_at_the_next_sign_in() {
    let mut stage = Fixture::new().await;
    let ann = stage.member("ann", "administrator").await;
    let before = stage.app.store.credential(&ann.id).await.unwrap().unwrap().password;
    let app = std::sync::Arc::get_mut(&mut stage.app);
    // The feed's task holds no handle on the app, so that this is the only one.
    app.expect("only one handle").hasher = PasswordHasher::new(19_456, 2, 1).unwrap();
    stage.sign_in("ann").await;
    let after = stage.app.store.credential(&ann.id).await.unwrap().unwrap().password;
    assert!(before != after && after.contains("m=19456,t=2,p=1"), "{after}");
    stage.sign_in("ann").await;
    let again = stage.app.store.credential(&ann.id).await.unwrap().unwrap().password;
    assert_eq!(after, again, "hashed anew for nothing");
}

#[tokio::test]
async fn failed_tries_slow_down_and_never_lock_the_owner_out() {
    let stage = Fixture::new().await;
    stage.member("ann", "administrator").await;
    let (home, stranger) = (from("198.51.100.7"), from("203.0.113.9"));
    stage.try_sign_in("ann", PASSWORD, home.clone()).await.unwrap();
    let mut waits = Vec::new();
    for _ in 0..40 {
        match stage.try_sign_in("ann", "wrong wrong wrong", stranger.clone()).await {
            Err(failure) if failure.kind == Kind::TooMany => {
                let wait = failure.retry_after.unwrap();
                waits.push(wait);
                stage.later(i64::try_from(wait).unwrap() * 1_000);
            }
            Err(failure) => assert_eq!(failure.code, "sign_in_refused"),
            Ok(_) => panic!("let in"),
        }
    }
    assert!(waits.is_sorted() && waits.len() > 3, "{waits:?}");
    assert!(waits.iter().all(|wait| *wait <= 3_600), "{waits:?}");
    // The owner, at the usual place, waits for nobody.
    stage.try_sign_in("ann", PASSWORD, home).await.unwrap();
    // And elsewhere after the delay at the latest.
    stage.later(HOUR);
    stage.try_sign_in("ann", PASSWORD, from("192.0.2.1")).await.unwrap();
}

#[tokio::test]
async fn a_password_does_not_grow_old() {
    let stage = Fixture::new().await;
    stage.member("ann", "operator").await;
    stage.later(3 * 365 * 24 * HOUR);
    let entered = stage.sign_in("ann").await;
    assert!(stage.signed_in(&entered).is_some());
}

#[tokio::test]
async fn a_session_ends_when_idle_and_after_its_time() {
    let stage = Fixture::new().await;
    stage.member("ann", "operator").await;
    let ann = stage.sign_in("ann").await;
    let idle = i64::try_from(stage.app.config.sessions.idle.as_millis()).unwrap();
    let absolute = i64::try_from(stage.app.config.sessions.absolute.as_millis()).unwrap();
    let mut lived = 0;
    while lived + idle / 2 < absolute {
        stage.later(idle / 2);
        lived += idle / 2;
        assert!(stage.signed_in(&ann).is_some(), "ended after {lived} ms of use");
        sessions::expire_once(&stage.app).await.unwrap();
    }
    stage.later(idle / 2);
    assert!(stage.signed_in(&ann).is_none(), "lives beyond its time");
    let ann = stage.sign_in("ann").await;
    stage.later(idle);
    assert!(stage.signed_in(&ann).is_none(), "lives though idle");
    sessions::expire_once(&stage.app).await.unwrap();
    let left = stage.app.store.sessions_of(&ann.member.id).await.unwrap();
    assert_eq!(left, [], "dead sessions are taken away");
}

#[tokio::test]
async fn the_old_link_of_a_resent_invite_is_dead_and_an_expired_one_blocks_nothing() {
    let stage = Fixture::new().await;
    let sent = stage.invite(stage.operator(), "bo", "operator").await.unwrap().value;
    let first = Fixture::link_of(&stage.mails().await);
    stage.later(61_000);
    let chosen = || ChosenInvite { id: sent.view.invite.id.clone(), expected: None };
    invites::resend(&stage.app, stage.operator(), chosen()).await.unwrap();
    let second = Fixture::link_of(&stage.mails().await);
    let accept = |link: &kwic_team::mail::ActionLink| {
        let (app, token) = (&stage.app, link.code.expose().to_owned());
        async move { invites::accept(app, &token, PASSWORD).await }
    };
    assert_eq!(refused(accept(&first).await), (Kind::Gone, "invite_replaced"));
    stage.later(72 * HOUR);
    assert_eq!(refused(accept(&second).await), (Kind::Gone, "invite_expired"));
    // The address is free: for a new invite, which then ends the old one.
    let again = stage.invite(stage.operator(), "bo", "operator").await.unwrap().value;
    let third = Fixture::link_of(&stage.mails().await);
    let old = invites::show(&stage.app, stage.operator(), &sent.view.invite.id).await.unwrap();
    assert_eq!(old.view.invite.state(stage.app.clock.now()), InviteState::Revoked);
    assert_eq!(refused(accept(&second).await), (Kind::Gone, "invite_revoked"));
    let bo = accept(&third).await.unwrap().value;
    assert_eq!(refused(accept(&third).await), (Kind::Gone, "invite_accepted"));
    assert_eq!((bo.role.as_str(), bo.email.as_str()), ("operator", "bo@example.org"));
    assert_ne!(again.view.invite.id, sent.view.invite.id);
}

#[tokio::test]
async fn a_refused_password_uses_no_invite_up() {
    let stage = Fixture::new().await;
    stage.invite(stage.operator(), "bo", "operator").await.unwrap();
    let link = Fixture::link_of(&stage.mails().await);
    for weak in ["short", "passwordpassword", "acme acme acme acme", "bo@example.org bo"] {
        let refusal = invites::accept(&stage.app, link.code.expose(), weak).await;
        assert_eq!(refused(refusal).0, Kind::Invalid, "{weak}");
    }
    invites::accept(&stage.app, link.code.expose(), PASSWORD).await.unwrap();
}

#[tokio::test]
async fn a_corrected_address_gets_the_only_link_that_opens() {
    let stage = Fixture::new().await;
    let sent = stage.invite(stage.operator(), "boo", "operator").await.unwrap().value;
    let wrong = Fixture::link_of(&stage.mails().await);
    let chosen = ChosenInvite { id: sent.view.invite.id, expected: None };
    let correction = InviteCorrection { email: Some(email("bo")), ..InviteCorrection::default() };
    let after =
        invites::correct(&stage.app, stage.operator(), chosen, correction).await.unwrap().value;
    assert_eq!(after.view.invite.first_name, sent.view.invite.first_name);
    let mails = stage.mails().await;
    assert_eq!(mails[0].0, email("bo"));
    let refusal = invites::accept(&stage.app, wrong.code.expose(), PASSWORD).await;
    assert_eq!(refused(refusal), (Kind::Gone, "invite_replaced"));
    invites::accept(&stage.app, Fixture::link_of(&mails).code.expose(), PASSWORD).await.unwrap();
    // The other address is free again.
    stage.later(61_000);
    stage.invite(stage.operator(), "boo", "operator").await.unwrap();
}

#[tokio::test]
async fn who_is_invited_to_a_role_that_is_gone_hears_whom_to_ask() {
    let stage = Fixture::new().await;
    stage.member("ann", "administrator").await;
    let entered = stage.sign_in("ann").await;
    stage.invite(stage.caller(&entered), "bo", "operator").await.unwrap();
    let bo = Fixture::link_of(&stage.mails().await);
    stage.later(61_000);
    stage.invite(stage.operator(), "cy", "operator").await.unwrap();
    let cy = Fixture::link_of(&stage.mails().await);
    let files = policy_folder::embedded_policies().into_files();
    let without = |(path, _): &(String, Vec<u8>)| {
        path != "roles/operator.cedar"
            && !path.starts_with("tests/")
            && !path.starts_with("guards/")
    };
    let set = Snapshot::load(&PolicyFiles::new(files.into_iter().filter(without).collect()), &[]);
    let before = stage.app.policies.swap(Arc::new(set.unwrap()));
    for (link, whom) in
        [(&bo, "who invited you, or an administrator of"), (&cy, "ask an administrator of")]
    {
        for refusal in [
            invites::inspect(&stage.app, link.code.expose()).await.unwrap_err(),
            invites::accept(&stage.app, link.code.expose(), PASSWORD).await.unwrap_err(),
        ] {
            assert_eq!((refusal.kind, refusal.code), (Kind::Gone, "invite_role_gone"));
            assert!(refusal.public.contains(whom), "{refusal}");
        }
    }
    stage.app.policies.store(before);
    invites::inspect(&stage.app, bo.code.expose()).await.unwrap();
}

#[tokio::test]
async fn invites_of_an_inviter_without_the_right_are_dead() {
    let stage = Fixture::new().await;
    stage.member("root", "administrator").await;
    let ann = stage.member("ann", "administrator").await;
    let entered = stage.sign_in("ann").await;
    let by_ann = || stage.caller(&entered);
    stage.invite(by_ann(), "bo", "operator").await.unwrap();
    let bo = Fixture::link_of(&stage.mails().await);
    // Suspended, the inviter may not invite; restored, the link opens again.
    let chosen = || ChosenMember { id: ann.id.clone(), expected: None };
    members::suspend(&stage.app, stage.operator(), chosen()).await.unwrap();
    let refusal = invites::accept(&stage.app, bo.code.expose(), PASSWORD).await;
    assert_eq!(refused(refusal), (Kind::Gone, "inviter_lost_right"));
    members::restore(&stage.app, stage.operator(), chosen()).await.unwrap();
    invites::inspect(&stage.app, bo.code.expose()).await.unwrap();
    // Demoted, the invite itself ends.
    let demoted = MemberEdit { role: Some(role("operator")), ..MemberEdit::default() };
    members::edit(&stage.app, stage.operator(), chosen(), demoted).await.unwrap();
    let refusal = invites::accept(&stage.app, bo.code.expose(), PASSWORD).await;
    assert_eq!(refused(refusal), (Kind::Gone, "invite_revoked"));
}

#[tokio::test]
async fn what_is_there_already_is_said_with_what_to_do() {
    let stage = Fixture::new().await;
    stage.member("root", "administrator").await;
    let ann = stage.member("ann", "operator").await;
    let said = |who: &'static str| {
        let stage = &stage;
        async move { stage.invite(stage.operator(), who, "operator").await.unwrap_err() }
    };
    let failure = said("ann").await;
    assert_eq!(failure.code, "already_member");
    assert!(failure.public.contains("`operator`"), "{failure}");
    let chosen = || ChosenMember { id: ann.id.clone(), expected: None };
    members::suspend(&stage.app, stage.operator(), chosen()).await.unwrap();
    let failure = said("ann").await;
    assert_eq!(failure.code, "suspended_member");
    assert!(failure.public.contains("restore"), "{failure}");
    stage.invite(stage.operator(), "bo", "operator").await.unwrap();
    let failure = said("bo").await;
    assert_eq!(failure.code, "already_invited");
    assert!(failure.public.contains("resend"), "{failure}");
    // Removed before: invited again, with a note.
    members::remove(&stage.app, stage.operator(), chosen()).await.unwrap();
    stage.later(61_000);
    let again = stage.invite(stage.operator(), "ann", "operator").await.unwrap().value;
    assert_eq!(
        again.view.previously_removed.map(|at| at.0),
        Some(stage.app.clock.now().0 - 61_000)
    );
}

#[tokio::test]
async fn a_dead_link_can_ask_for_a_new_one_once_an_hour() {
    let stage = Fixture::new().await;
    let ann = stage.member("ann", "administrator").await;
    let entered = stage.sign_in("ann").await;
    stage.invite(stage.caller(&entered), "bo", "operator").await.unwrap();
    let link = Fixture::link_of(&stage.mails().await);
    stage.later(72 * HOUR);
    invites::request_new_link(&stage.app, link.code.expose()).await.unwrap();
    let mails = stage.mails().await;
    assert_eq!((mails.len(), &mails[0].0), (1, &ann.email));
    assert!(matches!(&mails[0].1, MailContent::InviteWanted { .. }));
    // Asked again, it says the same, and writes nothing.
    invites::request_new_link(&stage.app, link.code.expose()).await.unwrap();
    // An unknown token asks nobody.
    invites::request_new_link(&stage.app, &"A".repeat(43)).await.unwrap();
    assert_eq!(stage.mails().await.len(), 0);
}

#[tokio::test]
async fn a_reset_ends_every_session_and_opens_once() {
    let stage = Fixture::new().await;
    let ann = stage.member("ann", "operator").await;
    let (one, two) = (stage.sign_in("ann").await, stage.sign_in("ann").await);
    passwords::send_link(&stage.app, &stage.acme, &ann.email).await.unwrap();
    passwords::send_link(&stage.app, &stage.acme, &email("nobody")).await.unwrap();
    let link = Fixture::link_of(&stage.mails().await);
    let new = "eleven purple kettles";
    let by_link = |token: String| {
        let app = &stage.app;
        async move { passwords::reset_by_link(app, &token, new, &ClientInfo::default()).await }
    };
    let token = link.code.expose().to_owned();
    let done = by_link(token.clone()).await.unwrap().value;
    assert_eq!(done.1, 2, "sessions ended");
    assert!(stage.signed_in(&one).is_none() && stage.signed_in(&two).is_none());
    assert_eq!(refused(by_link(token).await), (Kind::Gone, "link_dead"));
    let mails = stage.mails().await;
    assert!(matches!(mails[..], [(_, MailContent::PasswordChanged { .. })]), "the member is told");
    assert_eq!(
        refused(stage.try_sign_in("ann", PASSWORD, ClientInfo::default()).await).1,
        "sign_in_refused"
    );
    stage.try_sign_in("ann", new, ClientInfo::default()).await.unwrap();
    // A link that is not used dies.
    passwords::send_link(&stage.app, &stage.acme, &ann.email).await.unwrap();
    let link = Fixture::link_of(&stage.mails().await);
    stage.later(HOUR);
    assert_eq!(refused(by_link(link.code.expose().to_owned()).await).1, "link_expired");
}

#[tokio::test]
async fn the_own_password_is_changed_under_a_new_token() {
    let stage = Fixture::new().await;
    stage.member("ann", "operator").await;
    let (here, there) = (stage.sign_in("ann").await, stage.sign_in("ann").await);
    let new = "eleven purple kettles";
    let change = |current: &'static str| {
        let (app, signed_in) = (&stage.app, stage.signed_in(&here).unwrap());
        let shown = StepUpProof::password(current);
        async move { passwords::change_own(app, signed_in, &shown, new, ClientInfo::default()).await }
    };
    assert_eq!(refused(change("wrong wrong wrong").await), (Kind::Denied, "wrong_password"));
    let done = change(PASSWORD).await.unwrap().value;
    assert_eq!(done.1, 1, "the other session ended");
    assert!(stage.signed_in(&here).is_none() && stage.signed_in(&there).is_none());
    assert!(stage.signed_in(&done.0).is_some());
    assert_ne!(done.0.token.hash(), here.token.hash());
    let kept: Vec<TokenHash> = sessions::own(&stage.app, &stage.signed_in(&done.0).unwrap())
        .await
        .unwrap()
        .into_iter()
        .map(|session| session.token)
        .collect();
    assert_eq!(kept, [done.0.token.hash()]);
}

#[tokio::test]
async fn an_address_changes_when_both_ends_said_so() {
    let stage = Fixture::new().await;
    let ann = stage.member("ann", "operator").await;
    let entered = stage.sign_in("ann").await;
    let shown = StepUpProof::password(PASSWORD);
    let begin = || {
        let (app, signed_in) = (&stage.app, stage.signed_in(&entered).unwrap());
        own_profile::change_email(app, signed_in, email("anna"), &shown, ClientInfo::default())
    };
    begin().await.unwrap();
    let mails = stage.mails().await;
    let to = |end: AddressSide| {
        let found = mails.iter().find(
            |(_, content)| matches!(content, MailContent::EmailChange { end: of, .. } if *of == end),
        );
        let (to, content) = found.unwrap();
        (to.clone(), link_in(content).code)
    };
    let (old, new) = (to(AddressSide::Old), to(AddressSide::New));
    assert_eq!((&old.0, &new.0), (&ann.email, &email("anna")));
    let confirm = |token: &kwic_team::domain::Token| {
        let (app, token) = (&stage.app, token.expose().to_owned());
        async move { own_profile::confirm_email(app, &token).await }
    };
    let first = confirm(&new.1).await.unwrap().value;
    assert_eq!(first, EmailConfirmed::WaitingFor(AddressSide::Old));
    assert_eq!(stage.stored(&ann.id).await.unwrap().email, ann.email, "one end is not enough");
    let EmailConfirmed::Changed(after) = confirm(&old.1).await.unwrap().value else {
        panic!("both ends confirmed");
    };
    assert_eq!(after.email, email("anna"));
    let mails = stage.mails().await;
    assert!(matches!(&mails[..], [(to, MailContent::EmailChanged { .. })] if *to == ann.email));
    assert_eq!(refused(confirm(&new.1).await), (Kind::Gone, "link_dead"));
    stage.try_sign_in("anna", PASSWORD, ClientInfo::default()).await.unwrap();
}
