//! A store file as the first layout was, for tests that a store of that age goes on.

use std::path::Path;

use kwic_team::domain::{Email, Member, MemberId, Status};
use kwic_team::store::records;

type Table<'k, K> = redb::TableDefinition<'k, K, &'static [u8]>;

/// A file as the first layout was: the records are those that its code wrote.
pub fn of_layout_1(database: &redb::Database) {
    let tx = database.begin_write().unwrap();
    {
        const META: redb::TableDefinition<'_, &str, u64> = redb::TableDefinition::new("meta");
        let mut meta = tx.open_table(META).unwrap();
        meta.insert("format", 1).unwrap();
        meta.insert("revision", 3).unwrap();
        let golden = |kind: &str| {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden");
            std::fs::read(folder.join(format!("{kind}.bin"))).unwrap()
        };
        let open = |name: &'static str| tx.open_table(Table::<&str>::new(name)).unwrap();
        open("accounts").insert("acme", golden("account_1").as_slice()).unwrap();
        // The member of the example, and two like it: one suspended, one with another address.
        let example = records::MemberRecord::decode("m1", &golden("member")).unwrap();
        // Nobody had a second factor then.
        let member = Member { two_step: false, ..example.member.clone() };
        let example = records::MemberRecord { member, ..example };
        let member = |name: &str, status| {
            let email = Email::parse(&format!("{name}@example.org")).unwrap();
            let id = MemberId::parse(name).unwrap();
            let member = Member { id, email, status, ..example.member.clone() };
            (name.to_owned(), records::MemberRecord { member, ..example.clone() })
        };
        let members = [
            ("m1".to_owned(), example.clone()),
            member("m2", Status::Suspended),
            member("m3", Status::Active),
        ];
        for (name, member) in &members {
            open("members").insert(name.as_str(), member.encode().as_slice()).unwrap();
            let key = format!("acme\0{}", member.member.email.key());
            let owner = [b"m", name.as_bytes()].concat();
            open("addresses").insert(key.as_str(), owner.as_slice()).unwrap();
        }
        open("audit_heads");
        open("policies").insert("last_good", golden("policies").as_slice()).unwrap();
        for name in ["audit", "audit_personal"] {
            tx.open_table(Table::<(&str, u64)>::new(name)).unwrap();
        }
    }
    tx.commit().unwrap();
}
