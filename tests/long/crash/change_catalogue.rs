//! Every change of a store, to be tried on one with data.
//!
//! A change that the store offers and that is missing here is a gap: add it.

use std::collections::BTreeSet;
use std::time::Duration;

use kwic_team::domain::{
    DeliveryNotice, DeliveryState, Digest, Failure, Member, Name, PolicyCause, PolicyOutcome,
    PolicyReport, QueuedMail, SendOutcome, SessionLimits, limits,
};
use kwic_team::store::requests_and_views::invites::{
    Idempotency, InviteEdit, NewInvite, NewInviteLink,
};
use kwic_team::store::requests_and_views::policies::NewPublication;
use kwic_team::store::requests_and_views::sessions::{PasswordChange, SessionSelector, SignIn};
use kwic_team::store::requests_and_views::two_step::{ResealedSecret, StepUp};
use kwic_team::store::{
    AccountEdit, ImportPart, ImportRow, MemberEdit, MemberTarget, StoredPolicies,
};
use tokio::sync::mpsc;

use crate::support::store_fixture::{
    ACTOR, BY, DAY, HOUR, LEASE, MINUTE, NOW, StoreFixture, address, by, by_passkey, code, hash,
    id, invite_id, key, member, passkey_id, password, recovery, recovery_code, role, sealed,
    session_id, shown, slug, to_address, to_role, token_id,
};

macro_rules! transitions {
    ($($name:ident),* $(,)?) => {
        /// A change of the store.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Transition {
            $($name),*
        }

        pub(super) const TRANSITIONS: &[Transition] = &[$(Transition::$name),*];
    };
}

transitions!(
    AccountCreate,
    AccountCreateWithInvite,
    AccountEdit,
    MemberCreate,
    MemberCreateOverExpiredInvite,
    EditName,
    EditAddress,
    EditRole,
    Suspend,
    Restore,
    Remove,
    Erase,
    Import,
    PoliciesInstalled,
    PoliciesHeld,
    PoliciesPublished,
    InviteCreate,
    InviteRenew,
    InviteEditAddress,
    InviteLinkShown,
    InviteRevoke,
    InviteAccept,
    InviteWanted,
    ResetBegin,
    ResetEnd,
    EmailChangeBegin,
    EmailChangeConfirmFirst,
    EmailChangeConfirmSecond,
    SessionBegin,
    SessionsEnd,
    SignOut,
    SessionsTend,
    Forget,
    PasswordChange,
    SignInSlowed,
    SessionBeginByCode,
    TwoStepBegin,
    TwoStepConfirm,
    TwoStepOff,
    TwoStepReset,
    RecoveryCodes,
    CodeFailed,
    FactorsReseal,
    ApiTokenCreate,
    ApiTokenRevoke,
    ApiTokensUsed,
    PasskeyBegin,
    PasskeyAdd,
    PasskeyRemove,
    PasskeyCopied,
    SessionBeginByPasskey,
    LettersClaim,
    LettersRelease,
    LettersGivenUp,
    LetterTaken,
    LetterDeferred,
    LetterVoid,
    LetterMisconfigured,
    LetterBounced,
    MailResume,
);

/// Two accounts. `anna` joined, is signed in twice, has links to a new password and a new address,
/// sent three invites, one of which has expired, and made two
/// API tokens; `bert` is suspended. Letters wait.
pub(super) async fn furnish(stage: &StoreFixture) {
    let anna = stage.join("anna").await;
    let bert = stage.create("bert").await;
    stage.store.member_suspend(&BY, stage.target(&bert.id)).await.unwrap();
    for token in ["one", "two"] {
        stage.signed_in(&anna, token).await;
    }
    stage.store.reset_begin(&BY, stage.target(&anna.id), stage.link("reset")).await.unwrap();
    let (old, new) = (stage.link("old"), stage.link("new"));
    let to = address("anna2");
    let target = stage.target(&anna.id);
    stage.store.email_change_begin(target, shown("anna"), to, [old, new]).await.unwrap();
    for (name, given) in [("bo", "operator"), ("cy", "viewer")] {
        let new = NewInvite { role: role(given), ..stage.new_invite(name) };
        stage.store.invite_create(&by(&anna), new).await.unwrap();
    }
    for (name, given) in [("work", "operator"), ("view", "viewer")] {
        let new = stage.api_token(&anna, name, given);
        stage.store.api_token_create(&by(&anna), new).await.unwrap();
    }
    stage.invite("dee").await;
    let expired = stage.new_invite("exp");
    let link = NewInviteLink { expires: NOW, ..expired.link.clone() };
    stage.store.invite_create(&by(&anna), NewInvite { link, ..expired }).await.unwrap();
}

/// The letter to `dee`, whom the operator of the sidecar invited.
async fn letter(stage: &StoreFixture) -> QueuedMail {
    stage.letters().await.into_iter().find(|letter| letter.to == address("dee")).unwrap()
}

async fn settle(stage: &StoreFixture, handover: SendOutcome) -> Result<(), Failure> {
    let claimed = letter(stage).await;
    stage.store.letter_settle(&claimed, handover).await.map(|_| ())
}

fn misconfigured() -> SendOutcome {
    SendOutcome::Misconfigured { detail: "535".into() }
}

async fn tend(stage: &StoreFixture, minutes: u64) -> Result<(), Failure> {
    let limit = Duration::from_secs(minutes * 60);
    let limits = SessionLimits { idle: limit, absolute: 100 * limit };
    let used = vec![(hash("one"), stage.clock.now())];
    stage.store.sessions_tend(used, limits).await.map(|_| ())
}

async fn import(stage: &StoreFixture) -> Result<(), Failure> {
    let (sender, parts) = mpsc::channel(4);
    for part in 0..2 {
        let row = |n: u64| {
            let member = member("acme", &format!("m{part}{n}"));
            ImportRow { line: n, member }
        };
        let mut rows: Vec<_> = (0..40).map(row).collect();
        if part == 1 {
            rows.push(ImportRow { line: 90, member: member("acme", "exp") });
        }
        sender.send(ImportPart::Rows(rows)).await.unwrap();
    }
    sender.send(ImportPart::End { digest: Digest::of(&[b"file"]) }).await.unwrap();
    stage.store.member_import(&ACTOR, &stage.acme, parts).await.map(|_| ())
}

impl Transition {
    /// What must be so before it.
    pub(super) async fn prepare(self, stage: &StoreFixture) {
        let store = &stage.store;
        match self {
            Self::EmailChangeConfirmSecond => {
                store.email_change_confirm(hash("old"), None).await.unwrap();
            }
            Self::LettersRelease
            | Self::LetterTaken
            | Self::LetterDeferred
            | Self::LetterVoid
            | Self::LetterMisconfigured
            | Self::LetterBounced => {
                stage.claim().await;
            }
            Self::TwoStepConfirm => stage.pending(&of_anna()).await,
            Self::CodeFailed => {
                stage.pending(&of_anna()).await;
                stage.confirmed(&of_anna(), hash("one"), "own").await;
                for _ in 1..limits::CODE_FAILURES_TOLD {
                    store.code_failed(&of_anna(), None).await.unwrap();
                }
            }
            Self::SessionBeginByCode
            | Self::TwoStepBegin
            | Self::TwoStepOff
            | Self::TwoStepReset
            | Self::RecoveryCodes
            | Self::FactorsReseal
            | Self::PasskeyBegin => {
                stage.pending(&of_anna()).await;
                stage.confirmed(&of_anna(), hash("one"), "own").await;
            }
            Self::PasskeyAdd
            | Self::PasskeyRemove
            | Self::PasskeyCopied
            | Self::SessionBeginByPasskey => {
                stage.pending(&of_anna()).await;
                stage.confirmed(&of_anna(), hash("one"), "own").await;
                stage.with_passkey(&of_anna(), "ring", 2).await;
            }
            Self::Erase => {
                let anna = id("anna");
                store.member_remove(&BY, stage.target(&anna)).await.unwrap();
            }
            Self::MailResume => {
                stage.claim().await;
                settle(stage, misconfigured()).await.unwrap();
            }
            _ => {}
        }
    }

    /// How long after everything else it happens.
    pub(super) fn wait(self) -> i64 {
        match self {
            Self::InviteCreate | Self::InviteRenew | Self::SessionsTend => 2 * MINUTE,
            Self::LettersGivenUp => 10 * DAY,
            Self::Forget => 200 * DAY,
            _ => 0,
        }
    }

    pub(super) async fn run(self, stage: &StoreFixture) -> Result<(), Failure> {
        match self {
            Self::AccountCreate
            | Self::AccountCreateWithInvite
            | Self::AccountEdit
            | Self::PoliciesInstalled
            | Self::PoliciesHeld
            | Self::PoliciesPublished => self.run_on_accounts(stage).await,
            Self::MemberCreate
            | Self::MemberCreateOverExpiredInvite
            | Self::EditName
            | Self::EditAddress
            | Self::EditRole
            | Self::Suspend
            | Self::Restore
            | Self::Remove
            | Self::Erase
            | Self::Import => self.run_on_members(stage).await,
            Self::InviteCreate
            | Self::InviteRenew
            | Self::InviteEditAddress
            | Self::InviteLinkShown
            | Self::InviteRevoke
            | Self::InviteAccept
            | Self::InviteWanted => self.run_on_invites(stage).await,
            Self::LettersClaim
            | Self::LettersRelease
            | Self::LettersGivenUp
            | Self::LetterTaken
            | Self::LetterDeferred
            | Self::LetterVoid
            | Self::LetterMisconfigured
            | Self::LetterBounced
            | Self::MailResume => self.run_on_letters(stage).await,
            _ => self.run_on_sessions(stage).await,
        }
    }

    async fn run_on_accounts(self, stage: &StoreFixture) -> Result<(), Failure> {
        let store = &stage.store;
        match self {
            Self::AccountCreate => {
                store.account_create(&ACTOR, slug("initech"), "I".into(), None).await.map(|_| ())
            }
            Self::AccountCreateWithInvite => {
                let first = NewInvite { account: slug("initech"), ..stage.new_invite("first") };
                let made = store.account_create(&ACTOR, slug("initech"), "I".into(), Some(first));
                made.await.map(|_| ())
            }
            Self::AccountEdit => {
                let edit = AccountEdit { two_step_enforced: Some(true), ..AccountEdit::default() };
                store.account_edit(&BY, &stage.acme, None, edit).await.map(|_| ())
            }
            _ => {
                let files = vec![("schema.cedarschema".to_owned(), b"entity A;".repeat(3000))];
                let policies = StoredPolicies { digest: Digest::of(&[b"set"]), at: NOW, files };
                let report = PolicyReport::default();
                if self == Self::PoliciesPublished {
                    let new = NewPublication {
                        set: policies,
                        cause: PolicyCause::Publish,
                        roles: vec![role("operator"), role("viewer")],
                        waits: false,
                        is_pinned: false,
                    };
                    return store.policies_published(&ACTOR, new).await.map(|_| ());
                }
                if self == Self::PoliciesHeld {
                    let (actor, outcome) = (&ACTOR, PolicyOutcome::Pending);
                    let held = store.policies_set_aside(actor, outcome, policies, report).await;
                    return held.map(|_| ());
                }
                store.policies_installed(&ACTOR, policies, report, Vec::new()).await.map(|_| ())
            }
        }
    }

    async fn run_on_members(self, stage: &StoreFixture) -> Result<(), Failure> {
        let store = &stage.store;
        let (anna, bert) = (id("anna"), id("bert"));
        let target = stage.target(&anna);
        let done = match self {
            Self::MemberCreate => store.member_create(&ACTOR, member("acme", "carl")).await,
            Self::MemberCreateOverExpiredInvite => {
                store.member_create(&ACTOR, member("acme", "exp")).await
            }
            Self::EditName => {
                let first_name = Some(Name::parse("first_name", "Anna").unwrap());
                let edit = MemberEdit { first_name, ..MemberEdit::default() };
                store.member_edit(&BY, target, edit).await
            }
            Self::EditAddress => store.member_edit(&BY, target, to_address("other")).await,
            Self::EditRole => {
                let still_invites: BTreeSet<_> = [role("viewer")].into();
                let still_makes_tokens = still_invites.clone();
                let edit = MemberEdit { still_invites, still_makes_tokens, ..to_role("viewer") };
                store.member_edit(&BY, target, edit).await
            }
            Self::Suspend => store.member_suspend(&BY, target).await,
            Self::Restore => store.member_restore(&BY, stage.target(&bert)).await,
            Self::Erase => {
                return store.member_erase(&BY, &stage.acme, &anna).await.map(|_| ());
            }
            Self::Remove => return store.member_remove(&BY, target).await.map(|_| ()),
            _ => return import(stage).await,
        };
        done.map(|_| ())
    }

    async fn run_on_invites(self, stage: &StoreFixture) -> Result<(), Failure> {
        let store = &stage.store;
        let dee = invite_id("dee");
        let target = stage.invite_target(&dee);
        let done = match self {
            Self::InviteCreate => {
                let idempotency =
                    Some(Idempotency { key: key("k"), request: Digest::of(&[b"call"]) });
                let new =
                    NewInvite { email: address("exp"), idempotency, ..stage.new_invite("new") };
                store.invite_create(&BY, new).await
            }
            Self::InviteRenew => store.invite_renew(&BY, target, stage.invite_link("dee", 2)).await,
            Self::InviteEditAddress => {
                let email = Some(address("dee2"));
                let link = Some(stage.invite_link("dee", 2));
                let edit = InviteEdit { email, link, ..InviteEdit::default() };
                store.invite_edit(&BY, target, edit).await
            }
            Self::InviteLinkShown => store.invite_link_shown(&BY, target, None).await,
            Self::InviteRevoke => store.invite_revoke(&BY, target).await,
            Self::InviteAccept => {
                return store.invite_accept(stage.acceptance("dee")).await.map(|_| ());
            }
            _ => {
                let anna = stage.get("anna").await;
                let letter = stage.notice().map(|letter| (anna, letter));
                return store.invite_wanted(hash("exp 1"), letter).await.map(|_| ());
            }
        };
        done.map(|_| ())
    }

    async fn run_on_letters(self, stage: &StoreFixture) -> Result<(), Failure> {
        let detail = "as the mail server said".to_owned();
        match self {
            Self::LettersClaim => stage.store.letters_claim(3, LEASE).await.map(|_| ()),
            Self::LettersRelease => stage.store.letters_release().await,
            Self::LettersGivenUp => stage.store.letters_claim(100, LEASE).await.map(|_| ()),
            Self::LetterTaken => settle(stage, SendOutcome::Taken { detail }).await,
            Self::LetterDeferred => {
                settle(stage, SendOutcome::Later { detail, at: stage.later(HOUR) }).await
            }
            Self::LetterVoid => settle(stage, SendOutcome::Void).await,
            Self::LetterMisconfigured => settle(stage, misconfigured()).await,
            Self::LetterBounced => {
                let letter = letter(stage).await.id;
                let notice = DeliveryNotice { letter, state: DeliveryState::Bounced, detail };
                stage.store.letter_notice(notice).await.map(|_| ())
            }
            _ => stage.store.mail_resume(&ACTOR).await.map(|_| ()),
        }
    }

    async fn run_on_sessions(self, stage: &StoreFixture) -> Result<(), Failure> {
        let store = &stage.store;
        let anna = &id("anna");
        let target: MemberTarget<'_> = stage.target(anna);
        match self {
            Self::ResetBegin => {
                store.reset_begin(&BY, target, stage.link("reset2")).await.map(|_| ())
            }
            Self::ResetEnd => {
                store.reset_end(hash("reset"), password("new"), stage.notice()).await.map(|_| ())
            }
            Self::EmailChangeBegin => {
                let (old, new) = (stage.link("old2"), stage.link("new2"));
                let to = address("anna3");
                store.email_change_begin(target, shown("anna"), to, [old, new]).await.map(|_| ())
            }
            Self::EmailChangeConfirmFirst => {
                store.email_change_confirm(hash("old"), stage.notice()).await.map(|_| ())
            }
            Self::EmailChangeConfirmSecond => {
                store.email_change_confirm(hash("new"), stage.notice()).await.map(|_| ())
            }
            Self::SessionBegin => {
                let sign_in = stage.sign_in(&of_anna(), "three");
                let sign_in = SignIn { rehashed: Some(password("anew")), ..sign_in };
                store.session_begin(sign_in).await.map(|_| ())
            }
            Self::SessionsEnd => {
                let one = SessionSelector::One(session_id("one"));
                store.sessions_end(&BY, target, one).await.map(|_| ())
            }
            Self::SignOut => store.session_sign_out(hash("one")).await.map(|_| ()),
            Self::SessionsTend => tend(stage, 1).await,
            // No session ends by it, so that it only deletes.
            Self::Forget => tend(stage, 10_000_000).await,
            Self::PasswordChange => {
                let change = PasswordChange {
                    member: anna.clone(),
                    shown: shown("anna"),
                    password: password("new"),
                    renewed: (hash("one"), stage.session(&of_anna(), "next")),
                    letter: stage.notice(),
                };
                store.password_change(change).await.map(|_| ())
            }
            Self::SignInSlowed => store.sign_in_slowed(&of_anna(), 10).await.map(|_| ()),
            _ => self.run_on_factors(stage).await,
        }
    }

    async fn run_on_factors(self, stage: &StoreFixture) -> Result<(), Failure> {
        let (store, anna) = (&stage.store, of_anna());
        let target: MemberTarget<'_> = stage.target(&anna.id);
        match self {
            Self::SessionBeginByCode => {
                let sign_in = stage.sign_in_by(&anna, "three", Some(code(2)), 1);
                store.session_begin(sign_in).await.map(|_| ())
            }
            Self::TwoStepBegin => {
                let expires = stage.later(HOUR);
                let shown = StepUp { proof: Some(code(2)), ..shown("anna") };
                store.two_step_begin(target, shown, sealed("other"), expires).await.map(|_| ())
            }
            Self::TwoStepConfirm => {
                let confirmed = stage.confirmation(&anna, hash("one"), "own");
                store.two_step_confirm(target, confirmed).await.map(|_| ())
            }
            Self::TwoStepOff => {
                let shown = StepUp { proof: Some(code(2)), ..shown("anna") };
                let renewed = (hash("own"), stage.session(&anna, "next"));
                store.two_step_off(target, shown, renewed, stage.notice()).await.map(|_| ())
            }
            Self::TwoStepReset => {
                store.two_step_reset(&BY, target, None, stage.notice()).await.map(|_| ())
            }
            Self::RecoveryCodes => {
                let shown = StepUp { proof: Some(recovery(1, stage.notice())), ..shown("anna") };
                let codes = vec![recovery_code(7).hash()];
                store.recovery_codes(target, shown, codes, stage.notice()).await.map(|_| ())
            }
            Self::ApiTokenCreate => {
                let new = stage.api_token(&anna, "new", "viewer");
                store.api_token_create(&by(&anna), new).await.map(|_| ())
            }
            Self::ApiTokenRevoke => {
                store.api_token_revoke(&BY, &stage.acme, &token_id("work")).await.map(|_| ())
            }
            Self::ApiTokensUsed => {
                let used = vec![(token_id("work"), stage.later(MINUTE))];
                store.api_tokens_used(used).await.map(|_| ())
            }
            Self::CodeFailed => store.code_failed(&anna, stage.notice()).await.map(|_| ()),
            Self::PasskeyBegin => {
                let shown = StepUp { proof: Some(code(2)), ..shown("anna") };
                store.passkey_begin(target, shown).await.map(|_| ())
            }
            Self::PasskeyAdd => {
                let round = store.factors(&anna.id).await?.round;
                let new = stage.new_passkey("another", round);
                store.passkey_add(target, new).await.map(|_| ())
            }
            Self::PasskeyRemove => {
                let shown = StepUp { proof: Some(code(3)), ..shown("anna") };
                let (own, ring) = (hash("own"), passkey_id("ring"));
                store.passkey_remove(target, own, ring, shown, stage.notice()).await.map(|_| ())
            }
            Self::PasskeyCopied => {
                let ring = passkey_id("ring");
                store.passkey_copied(&anna, &ring, stage.notice()).await.map(|_| ())
            }
            Self::SessionBeginByPasskey => {
                let (round, proof) =
                    (store.factors(&anna.id).await?.round, by_passkey("ring", "0", "1"));
                let sign_in = stage.sign_in_by(&anna, "three", Some(proof), round);
                store.session_begin(sign_in).await.map(|_| ())
            }
            _ => {
                let (before, after) = (sealed("anna"), sealed("anew"));
                let resealed = ResealedSecret { member: anna.id.clone(), before, after };
                store.factors_reseal(vec![resealed]).await.map(|_| ())
            }
        }
    }
}

fn of_anna() -> Member {
    member("acme", "anna")
}
