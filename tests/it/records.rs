//! Records as bytes: one example of each kind, written once and read ever after.

use std::fs;
use std::path::Path;

use kwic_team::domain::{
    Account, AccountSlug, AuditDetail, Digest, Email, Failure, Member, MemberId, Name, Revision,
    RoleId, Status, Timestamp, Version,
};
use kwic_team::store::StoredPolicies;
use kwic_team::store::record::{
    AuditHead, AuditHeader, LastChange, MemberRecord, Personal, decode_account, decode_policies,
    encode_account, encode_policies,
};

const AT: Timestamp = Timestamp(1_764_000_000_123);

fn account() -> Account {
    let slug = AccountSlug::parse("acme").unwrap();
    Account { slug, name: "Acme Ø".into(), created: AT, version: Version(3) }
}

fn member() -> MemberRecord {
    let member = Member {
        id: MemberId::parse("m1").unwrap(),
        account: AccountSlug::parse("acme").unwrap(),
        email: Email::parse("Anna.Lee@Example.org").unwrap(),
        first_name: Name::parse("first_name", "Ánna").unwrap(),
        last_name: Name::parse("last_name", "Lee").unwrap(),
        role: RoleId::parse("operator").unwrap(),
        status: Status::Active,
        two_step: true,
        joined: Timestamp(-1),
        version: Version(7),
    };
    MemberRecord { member, last_change: LastChange { actor: "sidecar:1000".into(), at: AT } }
}

fn personal() -> Personal {
    let fields = vec![
        ("role".to_owned(), Some("operator".to_owned()), Some("viewer".to_owned())),
        ("email".to_owned(), None, Some("a@example.org".to_owned())),
        ("first_name".to_owned(), Some("Anna".to_owned()), None),
    ];
    Personal { salt: *b"0123456789abcdef", detail: AuditDetail { fields } }
}

fn header() -> AuditHeader {
    AuditHeader {
        sequence: 2,
        revision: Revision(9),
        at: AT,
        actor: "sidecar:1000".into(),
        event: "user_updated".into(),
        target: "m1".into(),
        personal: personal().digest(),
    }
}

fn hash() -> Digest {
    header().hash(Digest::of(&[b"before"]))
}

fn policies() -> StoredPolicies {
    let files = vec![
        ("roles/a.cedar".to_owned(), b"permit(principal, action, resource);".to_vec()),
        ("schema.cedarschema".to_owned(), Vec::new()),
    ];
    StoredPolicies { digest: Digest::of(&[b"set"]), at: AT, files }
}

/// A kind of record: its file, its bytes now, and whether bytes are read as the example.
type Kind = (&'static str, Vec<u8>, fn(&[u8]) -> Result<bool, Failure>);

fn kinds() -> [Kind; 6] {
    [
        ("account", encode_account(&account()), |bytes| {
            Ok(decode_account("acme", bytes)? == account())
        }),
        ("member", member().encode(), |bytes| Ok(MemberRecord::decode("m1", bytes)? == member())),
        ("audit_header", header().encode_with(hash()), |bytes| {
            Ok(AuditHeader::decode(bytes)? == (header(), hash()))
        }),
        ("audit_head", AuditHead { sequence: 2, hash: hash() }.encode(), |bytes| {
            Ok(AuditHead::decode(bytes)? == AuditHead { sequence: 2, hash: hash() })
        }),
        ("personal", personal().encode(), |bytes| Ok(Personal::decode(bytes)? == personal())),
        ("policies", encode_policies(&policies()), |bytes| {
            Ok(decode_policies(bytes)? == policies())
        }),
    ]
}

fn golden(kind: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden");
    fs::read(folder.join(format!("{kind}.bin"))).unwrap()
}

#[test]
fn every_record_is_written_and_read_as_it_always_was() {
    for (kind, bytes, reads) in kinds() {
        assert_eq!(bytes, golden(kind), "the bytes of a stored {kind} have changed");
        assert!(reads(&golden(kind)).unwrap(), "a stored {kind} is read as another one");
        assert_eq!(bytes.first(), Some(&1), "a {kind} begins with its version");
    }
}

#[test]
fn a_record_of_a_newer_version_says_so() {
    for (kind, mut bytes, reads) in kinds() {
        bytes[0] = 2;
        let fault = reads(&bytes).expect_err(kind).to_string();
        assert!(fault.contains("newer kwic-team"), "{kind}: {fault}");
    }
}

#[test]
fn a_damaged_record_is_told_as_damage_and_never_read_as_another() {
    for (kind, bytes, reads) in kinds() {
        for cut in 0..bytes.len() {
            let fault = reads(&bytes[..cut]).expect_err(kind).to_string();
            assert!(fault.contains("damaged"), "{kind} cut at {cut}: {fault}");
        }
        let longer: Vec<u8> = bytes.iter().copied().chain([0]).collect();
        assert!(reads(&longer).is_err(), "{kind} with a byte too many");
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x80;
            // It may read as another value, where only the value changed; it never panics.
            let _ = reads(&flipped);
        }
    }
}
