//! Faults that are planted while the store is closed, to verify that a run finds each of them.
//!
//! Rows are changed directly, by the names of the tables: the program itself has no way to plant
//! one.

use std::collections::BTreeMap;

use kwic_team::domain::{ApiToken, MemberId};
use kwic_team::store::records::api_tokens::{decode_api_token, encode_api_token};
use kwic_team::store::records::two_step::decode_factors;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};

use super::random::{ActionKind, Swarm};
use crate::support::failing_storage::FailingStorage;

type Hash = &'static [u8; 32];
const SESSIONS: TableDefinition<Hash, &[u8]> = TableDefinition::new("sessions");
const SESSIONS_BY_MEMBER: TableDefinition<(&str, i64, Hash), ()> =
    TableDefinition::new("sessions_by_member");
const API_TOKENS: TableDefinition<&str, &[u8]> = TableDefinition::new("api_tokens");
const API_TOKENS_BY_MEMBER: TableDefinition<(&str, &str, i64, &str), ()> =
    TableDefinition::new("api_tokens_by_member");
const FACTORS: TableDefinition<&str, &[u8]> = TableDefinition::new("factors");
const INVITES: TableDefinition<&str, &[u8]> = TableDefinition::new("invites");
const LETTERS: TableDefinition<u64, &[u8]> = TableDefinition::new("letters");
const LETTERS_DUE: TableDefinition<(i64, u64), ()> = TableDefinition::new("letters_due");
const LETTERS_WAITING: TableDefinition<(&str, i64, u64), ()> =
    TableDefinition::new("letters_waiting");
const ROLE_COUNTS: TableDefinition<(&str, &str), u64> = TableDefinition::new("role_counts");
const AUDIT: TableDefinition<(&str, u64), &[u8]> = TableDefinition::new("audit");

/// A fault that a run must find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A session is there again after its member was removed.
    SessionLeft,
    /// An API token is there again after its maker was removed.
    TokenOutlivesMaker,
    /// A session is there that began past the second factor of its member.
    FactorBypass,
    /// A letter is deleted before it was sent.
    LetterLost,
    /// An invite is open again after it was accepted.
    InviteTwice,
    /// More administrators are counted than there are.
    AdministratorMiscounted,
    /// An entry is missing in the middle of the audit log.
    AuditGap,
}

impl Fault {
    /// Lets a seed do what this fault can be planted and found by.
    pub fn encourages(self, swarm: Swarm) -> Swarm {
        let swarm = Swarm { cut_percent: 0, long_jumps: false, ..swarm };
        let swarm = swarm
            .often(ActionKind::Crash, 20)
            .often(ActionKind::Accept, 20)
            .often(ActionKind::Invite, 30);
        match self {
            Self::SessionLeft => swarm
                .often(ActionKind::SignIn, 30)
                .often(ActionKind::Remove, 20)
                .often(ActionKind::Deliver, 30),
            Self::TokenOutlivesMaker => swarm
                .often(ActionKind::MakeToken, 40)
                .often(ActionKind::SignIn, 20)
                .often(ActionKind::Remove, 30),
            Self::FactorBypass => {
                swarm.often(ActionKind::SignIn, 30).often(ActionKind::SetUpFactor, 40)
            }
            Self::LetterLost | Self::AuditGap => swarm,
            Self::InviteTwice => swarm.often(ActionKind::Deliver, 30),
            Self::AdministratorMiscounted => swarm
                .often(ActionKind::Suspend, 20)
                .often(ActionKind::Remove, 20)
                .often(ActionKind::SignIn, 20),
        }
    }
}

/// A fault that is to be planted once.
pub struct FaultInjection {
    fault: Fault,
    planted: bool,
    /// Session rows of members who were about to go.
    kept: BTreeMap<String, Vec<Row>>,
    /// API tokens of members who were about to go.
    kept_tokens: BTreeMap<String, Vec<ApiToken>>,
    /// Invites as they were while they were open.
    open: BTreeMap<String, Vec<u8>>,
}

struct Row {
    hash: [u8; 32],
    begun: i64,
    bytes: Vec<u8>,
}

fn open(disk: &FailingStorage) -> Database {
    Database::builder().create_with_backend(disk.clone()).unwrap()
}

impl FaultInjection {
    pub fn new(fault: Fault) -> Self {
        Self {
            fault,
            planted: false,
            kept: BTreeMap::new(),
            kept_tokens: BTreeMap::new(),
            open: BTreeMap::new(),
        }
    }

    /// Keeps what a removal is about to take away.
    pub fn before_leaving(&mut self, disk: &FailingStorage, member: &MemberId) {
        if self.fault == Fault::TokenOutlivesMaker {
            self.keep_tokens(disk, member);
        }
        if self.fault != Fault::SessionLeft {
            return;
        }
        let copy = open(&disk.copy());
        let tx = copy.begin_read().unwrap();
        let (index, sessions) =
            (tx.open_table(SESSIONS_BY_MEMBER).unwrap(), tx.open_table(SESSIONS).unwrap());
        let mut rows = Vec::new();
        for row in index.iter().unwrap() {
            let (key, _) = row.unwrap();
            let (of, begun, hash) = key.value();
            if of == member.as_str() {
                let bytes = sessions.get(hash).unwrap().unwrap().value().to_vec();
                rows.push(Row { hash: *hash, begun, bytes });
            }
        }
        if !rows.is_empty() {
            self.kept.insert(member.as_str().to_owned(), rows);
        }
    }

    fn keep_tokens(&mut self, disk: &FailingStorage, member: &MemberId) {
        let copy = open(&disk.copy());
        let tx = copy.begin_read().unwrap();
        let rows = tx.open_table(API_TOKENS).unwrap();
        let tokens = rows.iter().unwrap().map(|row| {
            let (id, bytes) = row.unwrap();
            decode_api_token(id.value(), bytes.value()).unwrap()
        });
        let tokens: Vec<_> = tokens.filter(|token| token.member == *member).collect();
        if !tokens.is_empty() {
            self.kept_tokens.insert(member.as_str().to_owned(), tokens);
        }
    }

    /// Plants the fault if the data permits; returns what was done.
    pub fn sow(&mut self, disk: &FailingStorage) -> Option<String> {
        if self.planted {
            return None;
        }
        let database = open(disk);
        let tx = database.begin_write().unwrap();
        let planted = match self.fault {
            Fault::SessionLeft => self.put_session_back(&tx),
            Fault::TokenOutlivesMaker => self.put_token_back(&tx),
            Fault::FactorBypass => begin_past_factor(&tx),
            Fault::LetterLost => lose_letter(&tx),
            Fault::InviteTwice => self.reopen_invite(&tx),
            Fault::AdministratorMiscounted => count_one_more(&tx),
            Fault::AuditGap => lose_entry(&tx),
        };
        tx.commit().unwrap();
        self.planted = planted.is_some();
        planted
    }

    fn put_session_back(&mut self, tx: &WriteTransaction) -> Option<String> {
        let members: TableDefinition<&str, &[u8]> = TableDefinition::new("members");
        let members = tx.open_table(members).unwrap();
        // A removal may have been refused: only who is gone leaves something behind.
        let gone = |id: &&String| members.get(id.as_str()).unwrap().is_none();
        let id = self.kept.keys().find(gone)?.clone();
        for row in &self.kept[&id] {
            tx.open_table(SESSIONS).unwrap().insert(&row.hash, row.bytes.as_slice()).unwrap();
            let key = (id.as_str(), row.begun, &row.hash);
            tx.open_table(SESSIONS_BY_MEMBER).unwrap().insert(key, ()).unwrap();
        }
        Some(format!("a session of {id}, who is gone"))
    }

    fn put_token_back(&mut self, tx: &WriteTransaction) -> Option<String> {
        let members: TableDefinition<&str, &[u8]> = TableDefinition::new("members");
        let members = tx.open_table(members).unwrap();
        let gone = |id: &&String| members.get(id.as_str()).unwrap().is_none();
        let id = self.kept_tokens.keys().find(gone)?.clone();
        for token in &self.kept_tokens[&id] {
            let (record, own) = (encode_api_token(token), token.id.as_str());
            tx.open_table(API_TOKENS).unwrap().insert(own, record.as_slice()).unwrap();
            let key = (token.account.as_str(), id.as_str(), token.created.0, own);
            tx.open_table(API_TOKENS_BY_MEMBER).unwrap().insert(key, ()).unwrap();
        }
        Some(format!("an API token of {id}, who is gone"))
    }

    /// An invite that was open at one crash and accepted at the next is open again.
    fn reopen_invite(&mut self, tx: &WriteTransaction) -> Option<String> {
        let mut invites = tx.open_table(INVITES).unwrap();
        let rows: Vec<(String, Vec<u8>)> = invites
            .iter()
            .unwrap()
            .map(|row| {
                let (id, bytes) = row.unwrap();
                (id.value().to_owned(), bytes.value().to_vec())
            })
            .collect();
        let decoded = |id: &str, bytes: &[u8]| {
            kwic_team::store::records::invites::InviteRecord::decode(id, bytes).unwrap().invite
        };
        for (id, bytes) in rows {
            match decoded(&id, &bytes).fate {
                kwic_team::domain::InviteOutcome::Open => {
                    self.open.insert(id, bytes);
                }
                kwic_team::domain::InviteOutcome::Accepted { .. } => {
                    if let Some(before) = self.open.get(&id) {
                        invites.insert(id.as_str(), before.as_slice()).unwrap();
                        return Some(format!("{id} is open again"));
                    }
                }
                kwic_team::domain::InviteOutcome::Revoked { .. } => {}
            }
        }
        None
    }
}

/// A second session beside one of a member who has a factor, as no sign-in has begun it.
fn begin_past_factor(tx: &WriteTransaction) -> Option<String> {
    let factors = tx.open_table(FACTORS).unwrap();
    let guarded = |id: &str| {
        let row = factors.get(id).unwrap();
        row.is_some_and(|row| decode_factors(row.value()).unwrap().authenticator.is_some())
    };
    let mut index = tx.open_table(SESSIONS_BY_MEMBER).unwrap();
    let (id, begun, hash) = index.iter().unwrap().find_map(|row| {
        let (key, _) = row.unwrap();
        let (id, begun, hash) = key.value();
        guarded(id).then(|| (id.to_owned(), begun, *hash))
    })?;
    let mut sessions = tx.open_table(SESSIONS).unwrap();
    let bytes = sessions.get(&hash).unwrap().unwrap().value().to_vec();
    let other = hash.map(|byte| !byte);
    sessions.insert(&other, bytes.as_slice()).unwrap();
    index.insert((id.as_str(), begun, &other), ()).unwrap();
    Some(format!("a session of {id} past the factor"))
}

fn lose_letter(tx: &WriteTransaction) -> Option<String> {
    let mut due = tx.open_table(LETTERS_DUE).unwrap();
    let (at, id) = due.first().unwrap()?.0.value();
    due.remove((at, id)).unwrap();
    let mut waiting = tx.open_table(LETTERS_WAITING).unwrap();
    waiting.retain(|(_, _, of), ()| of != id).unwrap();
    tx.open_table(LETTERS).unwrap().remove(id).unwrap();
    Some(format!("letter {id} is gone"))
}

fn count_one_more(tx: &WriteTransaction) -> Option<String> {
    let mut counts = tx.open_table(ROLE_COUNTS).unwrap();
    for account in super::model::ACCOUNTS {
        let key = (account, "administrator");
        let count = counts.get(key).unwrap().map_or(0, |count| count.value());
        counts.insert(key, count + 1).unwrap();
    }
    Some("one administrator too many is counted".to_owned())
}

fn lose_entry(tx: &WriteTransaction) -> Option<String> {
    let mut audit = tx.open_table(AUDIT).unwrap();
    let key = ("acme", 2);
    let there = audit.remove(key).unwrap().is_some();
    // The last one would be no gap.
    there.then(|| "entry 2 of acme is gone".to_owned())
}
