//! What the simulation does in another account than that of its model: nodes send letters, one invite
//! is accepted on several nodes, and sessions begin and end on different ones.

use std::collections::BTreeMap;
use std::time::Duration;

use kwic_team::domain::{DeliveryState, Failure, MailId, Member, MemberId, SendOutcome};
use kwic_team::store::requests_and_views::invites::{Acceptance, NewInvite};
use kwic_team::store::{MemberFilter, Store};

use super::{Held, Node, holds};
use crate::support::store_fixture::{ACTOR, BY, StoreFixture, hash, id, slug};

const GLOBEX: &str = "globex";
const INVITED: [&str; 4] = ["bo", "cy", "di", "ed"];
/// Longer than a run is.
const LEASE: Duration = Duration::from_secs(3_600);

/// What is known of it.
pub(super) struct OtherAccount {
    /// Whose sessions they are.
    sam: Member,
    count: usize,
    letters: BTreeMap<MailId, Letter>,
    /// The member that each invite became.
    accepted: BTreeMap<&'static str, MemberId>,
    /// By the tokens of their sessions.
    sessions: BTreeMap<String, Session>,
}

enum Letter {
    /// A node has it since so many starts of that node.
    Sending { node: usize, starts: usize },
    /// The mail server has it, and its sender has written that down.
    Sent,
}

#[derive(Debug)]
enum Session {
    Begun,
    Ended,
    Unknown,
}

fn stage(node: &Node) -> StoreFixture {
    StoreFixture::on(node.store.clone(), node.clock.clone())
}

/// Whether a change is in the log, for all that its caller knows.
fn is_made<T>(answer: &Result<T, Failure>) -> bool {
    answer.as_ref().map_or_else(|fault| fault.public.contains("was made"), |_| true)
}

impl OtherAccount {
    pub(super) async fn new(node: &Node) -> Self {
        let (store, stage) = (&node.store, stage(node));
        store.account_create(&ACTOR, slug(GLOBEX), "Globex".into(), None).await.unwrap();
        for name in INVITED.into_iter().chain(["sam"]) {
            let new = NewInvite { account: slug(GLOBEX), ..stage.new_invite(name) };
            store.invite_create(&BY, new).await.unwrap();
        }
        let sam = store.invite_accept(stage.acceptance("sam")).await.unwrap().value;
        let (letters, accepted, sessions) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { sam, count: 0, letters, accepted, sessions }
    }

    /// Something happens on a node; `choice` says what, and `which` to whom.
    pub(super) async fn step(
        &mut self,
        nodes: &mut [Node],
        at: usize,
        choice: usize,
        which: usize,
    ) -> Held {
        self.count += 1;
        match choice % 8 {
            0..4 => self.send(nodes, at).await,
            4 => self.accept(&nodes[at], INVITED[which % INVITED.len()]).await,
            5 | 6 => {
                let token = format!("s{}", self.count);
                let sign_in = stage(&nodes[at]).sign_in(&self.sam, &token);
                let begun = nodes[at].store.session_begin(sign_in).await;
                let known = if is_made(&begun) { Session::Begun } else { Session::Unknown };
                self.sessions.insert(token, known);
                Ok(())
            }
            _ => {
                let count = self.sessions.len().max(1);
                let Some((token, known)) = self.sessions.iter_mut().nth(which % count) else {
                    return Ok(());
                };
                let ended = nodes[at].store.session_sign_out(hash(token)).await;
                *known = if is_made(&ended) { Session::Ended } else { Session::Unknown };
                Ok(())
            }
        }
    }

    /// A node writes down what came of the letter that it has sent, or sends another one.
    async fn send(&mut self, nodes: &mut [Node], at: usize) -> Held {
        let starts = nodes[at].starts;
        if let Some(letter) = nodes[at].sending.take() {
            let taken = SendOutcome::Taken { detail: "250".to_owned() };
            if is_made(&nodes[at].store.letter_settle(&letter, taken).await) {
                self.letters.insert(letter.id, Letter::Sent);
            } else {
                nodes[at].sending = Some(letter);
            }
            return Ok(());
        }
        if !nodes[at].has_released {
            nodes[at].has_released = nodes[at].store.letters_release().await.is_ok();
            return Ok(());
        }
        for letter in nodes[at].store.letters_claim(1, LEASE).await.unwrap_or_default() {
            let is_free = match self.letters.get(&letter.id) {
                None => true,
                // It has ended without a word since.
                Some(Letter::Sending { node, starts }) => nodes[*node].starts > *starts,
                Some(Letter::Sent) => false,
            };
            holds(is_free, || format!("node {at} sends letter {:?} once more", letter.id))?;
            self.letters.insert(letter.id, Letter::Sending { node: at, starts });
            nodes[at].sending = Some(letter);
        }
        Ok(())
    }

    /// Each time as another member, as each node would choose an id.
    async fn accept(&mut self, node: &Node, name: &'static str) -> Held {
        let member = id(&format!("{name}-{}", self.count));
        let acceptance = Acceptance { member: member.clone(), ..stage(node).acceptance(name) };
        if !is_made(&node.store.invite_accept(acceptance).await) {
            return Ok(());
        }
        let before = self.accepted.insert(name, member.clone());
        holds(before.is_none(), || format!("{name} joined as {before:?} and as {member}"))
    }

    /// Whether a store, which has all of the log, has what was answered.
    pub(super) async fn check(&self, store: &Store) -> Held {
        let members = store.members(&slug(GLOBEX), &MemberFilter::default(), None, 1_000).await;
        let members = members.unwrap().items;
        for name in INVITED {
            let begin = format!("{name}-");
            let became: Vec<&MemberId> = members
                .iter()
                .map(|it| &it.id)
                .filter(|id| id.as_str().starts_with(&begin))
                .collect();
            let known = self.accepted.get(name);
            let fits = became.len() <= 1 && (known.is_none() || known == became.first().copied());
            holds(fits, || format!("{name} became {became:?}, and was told {known:?}"))?;
        }
        let there = store.sessions_of(&self.sam.id).await.unwrap();
        for (token, known) in &self.sessions {
            let is_there = there.iter().any(|session| session.token == hash(token));
            let fits = match known {
                Session::Begun => is_there,
                Session::Ended => !is_there,
                Session::Unknown => true,
            };
            holds(fits, || format!("the session {token} is {known:?}, and there: {is_there}"))?;
        }
        for (letter, known) in &self.letters {
            let state = store.letter(*letter).await.unwrap().map(|letter| letter.delivery.state);
            // An invite that was accepted meanwhile has withdrawn the letter that was being sent.
            let fits = !matches!(known, Letter::Sent)
                || state.is_none_or(|state| state == DeliveryState::HandedOver);
            holds(fits, || format!("letter {letter:?} was sent, and is {state:?}"))?;
        }
        Ok(())
    }
}
