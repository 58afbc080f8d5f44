//! The tables of a store on disk: every row, and whether indexes and counts agree with the records.
//!
//! Knows the layout independently, so that a table that the store forgets is noticed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use kwic_team::domain::{DeliveryState, InviteOutcome, MailId, QueuedMail, Status};
use kwic_team::store::records::MemberRecord;
use kwic_team::store::records::api_tokens::decode_api_token;
use kwic_team::store::records::invites::{InviteRecord, InviteTokenRecord};
use kwic_team::store::records::one_time_links::OneTimeLinkRecord;
use kwic_team::store::records::queued_mail::QueuedMailRecord;
use kwic_team::store::records::sessions::decode_session;
use kwic_team::store::records::two_step::decode_factors;
use redb::{
    Database, Key, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, Value,
};

use crate::support::failing_storage::FailingStorage;

type Hash = &'static [u8; 32];
type Bytes = &'static [u8];

/// Reads a table as pairs.
fn read<K: Key + 'static, V: Value + 'static, T>(
    tx: &ReadTransaction,
    name: &str,
    pair: impl for<'r> Fn(K::SelfType<'r>, V::SelfType<'r>) -> T,
) -> Vec<T> {
    let table = tx.open_table(TableDefinition::<K, V>::new(name)).unwrap();
    table
        .iter()
        .unwrap()
        .map(|row| {
            let (key, value) = row.unwrap();
            pair(key.value(), value.value())
        })
        .collect()
}

fn said<K: Key + 'static, V: Value + 'static>(tx: &ReadTransaction, name: &str) -> Vec<String>
where
    for<'r> K::SelfType<'r>: Debug,
    for<'r> V::SelfType<'r>: Debug,
{
    read::<K, V, _>(tx, name, |key, value| format!("{name} {key:?}: {value:?}"))
}

/// Every row, but for the audit log, whose salts are another's each time.
fn rows(tx: &ReadTransaction) -> BTreeSet<String> {
    let mut rows = said::<&str, u64>(tx, "meta");
    for name in [
        "accounts",
        "members",
        "addresses",
        "credentials",
        "factors",
        "api_tokens",
        "invites",
        "calls",
        "links",
        "log",
        "mail",
        "publications",
    ] {
        rows.extend(said::<&str, Bytes>(tx, name));
    }
    for name in ["role_counts", "letter_counts"] {
        rows.extend(said::<(&str, &str), u64>(tx, name));
    }
    for name in ["invites_by_inviter", "links_by_member", "erased"] {
        rows.extend(said::<(&str, &str), ()>(tx, name));
    }
    for name in ["imports", "policy_history"] {
        rows.extend(said::<u64, Bytes>(tx, name));
    }
    for name in ["sessions", "invite_tokens", "policy_sets"] {
        rows.extend(said::<Hash, Bytes>(tx, name));
    }
    for name in ["removed", "signed_in"] {
        rows.extend(said::<&str, i64>(tx, name));
    }
    rows.extend(said::<(&str, i64, Hash), ()>(tx, "sessions_by_member"));
    rows.extend(said::<(&str, i64, &str), ()>(tx, "invites_by_account"));
    rows.extend(said::<(&str, &str, i64, &str), ()>(tx, "api_tokens_by_member"));
    rows.extend(said::<(&str, u32), Hash>(tx, "invite_links"));
    rows.extend(said::<&str, (i64, u64)>(tx, "rates"));
    rows.extend(said::<&str, &str>(tx, "passkeys"));
    rows.extend(said::<Hash, &str>(tx, "link_tokens"));
    rows.extend(said::<u64, Bytes>(tx, "letters"));
    rows.extend(said::<(i64, u64), ()>(tx, "letters_due"));
    rows.extend(said::<(&str, i64, u64), ()>(tx, "letters_waiting"));
    rows.extend(said::<(&str, u64), ()>(tx, "letters_by_account"));
    rows.extend(said::<(i64, u8, &str), ()>(tx, "leaving"));
    rows.into_iter().collect()
}

/// Reads a disk as a store's file; fails where an index and the records differ.
pub(super) fn agreeing_rows(disk: &FailingStorage) -> BTreeSet<String> {
    let database = Database::builder().create_with_backend(disk.copy()).unwrap();
    let tx = database.begin_read().unwrap();
    let known = tx.list_tables().unwrap().count();
    assert_eq!(known, 41, "a table that this file does not know");
    let members: BTreeMap<String, MemberRecord> =
        read::<&str, Bytes, _>(&tx, "members", |id, bytes| {
            (id.to_owned(), MemberRecord::decode(id, bytes).unwrap())
        })
        .into_iter()
        .collect();
    let invites = read::<&str, Bytes, _>(&tx, "invites", |id, bytes| {
        InviteRecord::decode(id, bytes).unwrap()
    });
    roles_agree(&tx, &members);
    addresses_agree(&tx, &members, &invites);
    invites_agree(&tx, &invites);
    sessions_agree(&tx, &members);
    factors_agree(&tx, &members);
    api_tokens_agree(&tx, &members);
    links_agree(&tx, &members);
    letters_agree(&tx);
    rows(&tx)
}

fn roles_agree(tx: &ReadTransaction, members: &BTreeMap<String, MemberRecord>) {
    let mut counted = BTreeMap::new();
    for MemberRecord { member, .. } in members.values() {
        if member.status == Status::Active {
            let key = (member.account.to_string(), member.role.to_string());
            *counted.entry(key).or_insert(0) += 1;
        }
    }
    let kept = read::<(&str, &str), u64, _>(tx, "role_counts", |(account, role), count| {
        ((account.to_owned(), role.to_owned()), count)
    });
    assert_eq!(kept.into_iter().collect::<BTreeMap<_, _>>(), counted, "role_counts");
}

fn addresses_agree(
    tx: &ReadTransaction,
    members: &BTreeMap<String, MemberRecord>,
    invites: &[InviteRecord],
) {
    let of_members = members.values().map(|record| {
        let member = &record.member;
        (format!("{}\0{}", member.account, member.email.key()), format!("m{}", member.id))
    });
    let open = invites.iter().filter(|record| record.invite.fate == InviteOutcome::Open);
    let of_invites = open.map(|record| {
        let invite = &record.invite;
        (format!("{}\0{}", invite.account, invite.email.key()), format!("i{}", invite.id))
    });
    let held: Vec<_> = of_members.chain(of_invites).collect();
    let kept: BTreeMap<_, _> = read::<&str, Bytes, _>(tx, "addresses", |key, owner| {
        (key.to_owned(), String::from_utf8(owner.to_vec()).unwrap())
    })
    .into_iter()
    .collect();
    let count = held.len();
    let held: BTreeMap<_, _> = held.into_iter().collect();
    assert_eq!(held.len(), count, "an address is held twice");
    assert_eq!(kept, held, "addresses");
}

fn invites_agree(tx: &ReadTransaction, invites: &[InviteRecord]) {
    let invites = || invites.iter().map(|record| &record.invite);
    let by_account: BTreeSet<_> =
        read::<(&str, i64, &str), (), _>(tx, "invites_by_account", |(account, created, id), ()| {
            (account.to_owned(), created, id.to_owned())
        })
        .into_iter()
        .collect();
    let made =
        invites().map(|found| (found.account.to_string(), found.created.0, found.id.to_string()));
    assert_eq!(by_account, made.collect(), "invites_by_account");
    let by_inviter: BTreeSet<_> =
        read::<(&str, &str), (), _>(tx, "invites_by_inviter", |(inviter, id), ()| {
            (inviter.to_owned(), id.to_owned())
        })
        .into_iter()
        .collect();
    let sent = invites()
        .filter(|found| found.fate == InviteOutcome::Open)
        .filter_map(|found| Some((found.inviter.member()?.to_string(), found.id.to_string())));
    assert_eq!(by_inviter, sent.collect(), "invites_by_inviter");
    let links: BTreeMap<_, _> =
        read::<(&str, u32), Hash, _>(tx, "invite_links", |(id, generation), hash| {
            ((id.to_owned(), generation), *hash)
        })
        .into_iter()
        .collect();
    let given = invites()
        .flat_map(|found| (1..=found.generation.0).map(|number| (found.id.to_string(), number)));
    assert_eq!(links.keys().cloned().collect::<BTreeSet<_>>(), given.collect(), "invite_links");
    let tokens: BTreeMap<_, _> = read::<Hash, Bytes, _>(tx, "invite_tokens", |hash, bytes| {
        let InviteTokenRecord { invite, generation } = InviteTokenRecord::decode(bytes).unwrap();
        ((invite.to_string(), generation.0), *hash)
    })
    .into_iter()
    .collect();
    assert_eq!(tokens, links, "invite_tokens");
}

fn sessions_agree(tx: &ReadTransaction, members: &BTreeMap<String, MemberRecord>) {
    let sessions =
        read::<Hash, Bytes, _>(tx, "sessions", |hash, bytes| decode_session(hash, bytes).unwrap());
    let begun: BTreeSet<_> = sessions
        .into_iter()
        .map(|session| (session.member.to_string(), session.created.0, session.token.0.0))
        .collect();
    let kept: BTreeSet<_> = read::<(&str, i64, Hash), (), _>(
        tx,
        "sessions_by_member",
        |(member, created, hash), ()| (member.to_owned(), created, *hash),
    )
    .into_iter()
    .collect();
    assert_eq!(kept, begun, "sessions_by_member");
    for (member, ..) in &begun {
        let status = members.get(member).map(|record| record.member.status);
        assert_eq!(status, Some(Status::Active), "`{member}` is signed in");
    }
    for member in read::<&str, i64, _>(tx, "signed_in", |member, _| member.to_owned()) {
        assert!(members.contains_key(&member), "`{member}` is gone and was seen");
    }
    for member in read::<&str, Bytes, _>(tx, "credentials", |member, _| member.to_owned()) {
        assert!(members.contains_key(&member), "`{member}` is gone and has a password");
    }
}

fn factors_agree(tx: &ReadTransaction, members: &BTreeMap<String, MemberRecord>) {
    let factors = read::<&str, Bytes, _>(tx, "factors", |member, bytes| {
        (member.to_owned(), decode_factors(bytes).unwrap())
    });
    let on: BTreeSet<_> = factors
        .iter()
        .filter(|(_, factors)| factors.authenticator.is_some())
        .map(|(member, _)| member)
        .collect();
    let said = members.iter().filter(|(_, record)| record.member.two_step);
    assert_eq!(on, said.map(|(id, _)| id).collect(), "who has a second factor");
    for (member, _) in &factors {
        assert!(members.contains_key(member), "`{member}` is gone and has a second factor");
    }
    let owned: BTreeSet<_> = factors
        .iter()
        .flat_map(|(member, factors)| {
            factors.passkeys.iter().map(|it| (it.id.to_string(), member.clone()))
        })
        .collect();
    let index =
        read::<&str, &str, _>(tx, "passkeys", |id, member| (id.to_owned(), member.to_owned()));
    assert_eq!(owned, index.into_iter().collect(), "who has which passkey");
}

fn api_tokens_agree(tx: &ReadTransaction, members: &BTreeMap<String, MemberRecord>) {
    let tokens =
        read::<&str, Bytes, _>(tx, "api_tokens", |id, bytes| decode_api_token(id, bytes).unwrap());
    let made: BTreeSet<_> = tokens
        .into_iter()
        .map(|token| {
            let maker = members.get(token.member.as_str()).map(|record| record.member.status);
            assert_eq!(maker, Some(Status::Active), "`{}` outlives its maker", token.id);
            let (account, member) = (token.account.to_string(), token.member.to_string());
            (account, member, token.created.0, token.id.to_string())
        })
        .collect();
    let kept: BTreeSet<_> = read::<(&str, &str, i64, &str), (), _>(
        tx,
        "api_tokens_by_member",
        |(account, member, created, id), ()| {
            (account.to_owned(), member.to_owned(), created, id.to_owned())
        },
    )
    .into_iter()
    .collect();
    assert_eq!(kept, made, "api_tokens_by_member");
}

fn links_agree(tx: &ReadTransaction, members: &BTreeMap<String, MemberRecord>) {
    let links = read::<&str, Bytes, _>(tx, "links", |id, bytes| {
        OneTimeLinkRecord::decode(id, bytes).unwrap()
    });
    let by_member: BTreeSet<_> =
        read::<(&str, &str), (), _>(tx, "links_by_member", |(member, id), ()| {
            (member.to_owned(), id.to_owned())
        })
        .into_iter()
        .collect();
    let given = links.iter().map(|record| {
        assert!(members.contains_key(record.link.member.as_str()), "a link of nobody");
        (record.link.member.to_string(), record.link.id.to_string())
    });
    assert_eq!(by_member, given.collect(), "links_by_member");
    let tokens: BTreeSet<_> =
        read::<Hash, &str, _>(tx, "link_tokens", |hash, id| (*hash, id.to_owned()))
            .into_iter()
            .collect();
    let given = links.iter().map(|record| (record.token.0.0, record.link.id.to_string()));
    assert_eq!(tokens, given.collect(), "link_tokens");
}

/// When a sender must look at a letter.
fn due(letter: &QueuedMail) -> Option<i64> {
    let due = match letter.delivery.state {
        DeliveryState::Queued => Some(letter.delivery.next_attempt.unwrap_or(letter.created)),
        DeliveryState::Sending => letter.leased_until,
        DeliveryState::Deferred => letter.delivery.next_attempt,
        _ => None,
    };
    due.map(|due| due.0)
}

fn letters_agree(tx: &ReadTransaction) {
    let letters = read::<u64, Bytes, _>(tx, "letters", |id, bytes| {
        QueuedMailRecord::decode(MailId(id), bytes).unwrap().letter
    });
    let queue: BTreeSet<_> =
        read::<(i64, u64), (), _>(tx, "letters_due", |key, ()| key).into_iter().collect();
    let waiting = letters.iter().filter_map(|letter| Some((due(letter)?, letter.id.0)));
    assert_eq!(queue, waiting.collect(), "letters_due");
    let turns: BTreeSet<_> =
        read::<(&str, i64, u64), (), _>(tx, "letters_waiting", |(account, due, id), ()| {
            (account.to_owned(), due, id)
        })
        .into_iter()
        .collect();
    let waiting = letters
        .iter()
        .filter_map(|letter| Some((letter.account.to_string(), due(letter)?, letter.id.0)));
    assert_eq!(turns, waiting.collect(), "letters_waiting");
    let by_account: BTreeSet<_> =
        read::<(&str, u64), (), _>(tx, "letters_by_account", |(account, id), ()| {
            (account.to_owned(), id)
        })
        .into_iter()
        .collect();
    let queued = letters.iter().map(|letter| (letter.account.to_string(), letter.id.0));
    assert_eq!(by_account, queued.collect(), "letters_by_account");
    let mut counted = BTreeMap::new();
    for letter in &letters {
        let key = (letter.account.to_string(), letter.delivery.state.as_str().to_owned());
        *counted.entry(key).or_insert(0) += 1;
    }
    let kept = read::<(&str, &str), u64, _>(tx, "letter_counts", |(account, state), count| {
        ((account.to_owned(), state.to_owned()), count)
    });
    assert_eq!(kept.into_iter().collect::<BTreeMap<_, _>>(), counted, "letter_counts");
}
