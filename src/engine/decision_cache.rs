//! The decision cache: if only role, suspension and the relation of the resource's account to the member's can
//! matter, Cedar is asked once.
//!
//! A role in an environment qualifies if each policy that could apply there is determined
//! ([`super::cacheable_policies`], a positive list) and nothing else about the query could fail to conform.
//! Then two queries that agree in role, suspension and the resource's account (the member's own,
//! another, none) have the same decision, unless `entities.json` contains the resource, or gives one of the
//! two accounts a parent. Every cached decision was made by Cedar for an equivalent
//! query. The cache belongs to one snapshot; its size is fixed at load, so that no caller can make
//! it grow.

use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use super::attribute_types::AttributeShape;
use super::entity_builder::can_hold_attribute;
use super::schema_facts::SchemaFacts;
use crate::domain::access_query::property;
use crate::domain::{MemberAccess, Query, Value};

const UNKNOWN: u8 = 0;
const DENIED: u8 = 1;
const ALLOWED: u8 = 2;
/// Other facts matter here: never cached.
const DEPENDS: u8 = 3;

/// The account of a resource, relative to the member who asks.
#[derive(Clone, Copy)]
enum AccountRelation {
    Own,
    Other,
    Nowhere,
}

/// The number of situations of one role: two of suspension, three of relation.
const SITUATIONS: usize = 6;

/// The place of a decision in the cache.
#[derive(Clone, Copy)]
pub(super) struct CacheKey(usize);

/// The decisions of one environment: one byte for each role and situation.
#[derive(Debug)]
pub(super) struct DecisionCache {
    answers: Box<[AtomicU8]>,
    held: AtomicUsize,
}

impl DecisionCache {
    pub(super) fn new(roles: usize) -> Self {
        let answers = (0..roles * SITUATIONS).map(|_| AtomicU8::new(UNKNOWN)).collect();
        Self { answers, held: AtomicUsize::new(0) }
    }

    /// Excludes a role from the cache.
    pub(super) fn leave_out(&mut self, role: usize) {
        for cell in self.answers.iter_mut().skip(role * SITUATIONS).take(SITUATIONS) {
            *cell.get_mut() = DEPENDS;
        }
    }

    /// Whether more than role, status and relation to the account matters here.
    pub(super) fn is_left_out(&self, place: CacheKey) -> bool {
        let cell = self.answers.get(place.0);
        cell.is_none_or(|cell| cell.load(Ordering::Relaxed) == DEPENDS)
    }

    /// The number of cached decisions.
    pub(super) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    pub(super) fn cached_decision(&self, place: CacheKey) -> Option<bool> {
        match self.answers.get(place.0)?.load(Ordering::Relaxed) {
            ALLOWED => Some(true),
            DENIED => Some(false),
            _ => None,
        }
    }

    pub(super) fn insert(&self, place: CacheKey, allowed: bool) {
        if let Some(cell) = self.answers.get(place.0)
            && cell.load(Ordering::Relaxed) != DEPENDS
        {
            let before = cell.swap(if allowed { ALLOWED } else { DENIED }, Ordering::Relaxed);
            self.held.fetch_add(usize::from(before == UNKNOWN), Ordering::Relaxed);
        }
    }
}

/// Whether decisions about members and this type of resource may be cached, as far as the schema is
/// concerned.
pub(super) fn is_cacheable(facts: SchemaFacts<'_>, principal: usize, resource: usize) -> bool {
    let SchemaFacts { names, stored, conformity } = facts;
    let account_fits = names.shape(resource).get("account").is_none_or(|found| {
        resource != names.account && can_hold_attribute(names, &found.name, &found.kind)
    });
    // An id that the schema does not list is refused, and the cache does not distinguish ids.
    let any_id = |kind| names.get(kind).is_some_and(|info| info.ids.is_none());
    // A query that reaches, by `entities.json`, a member without a required attribute is refused; the cache
    // cannot tell such queries apart.
    let may_be_refused = conformity.members_lack() && stored.names_members();
    [names.user, names.account, resource].into_iter().all(any_id)
        && principal == names.user
        && resource != names.user
        && account_fits
        && !may_be_refused
}

/// What determines the cache place of a member's query.
pub(super) struct CacheKeyParts<'s> {
    pub(super) access: MemberAccess<'s>,
    /// The number of the member's role.
    pub(super) role: usize,
    pub(super) query: &'s Query<'s>,
    /// The attributes that the action's context may have.
    pub(super) context: &'s AttributeShape,
    /// The type of the resource.
    pub(super) resource: usize,
    /// The account of a resource without one.
    pub(super) default_account: Option<&'s str>,
}

/// The cache place of a query; `None` if it must be evaluated.
pub(super) fn cache_key(facts: SchemaFacts<'_>, parts: &CacheKeyParts<'_>) -> Option<CacheKey> {
    let CacheKeyParts { access, role, query, resource, .. } = *parts;
    let SchemaFacts { names, stored, conformity } = facts;
    let conforms = conformity.of_subject(query.subject.properties)
        && conformity.of_resource(names.shape(resource), query.resource.properties)
        && conformity.of_context(parts.context, query);
    if !conforms {
        return None;
    }
    let is_account = resource == names.account;
    let account = if is_account {
        Some(query.resource.id)
    } else {
        match property(query.resource.properties, "account") {
            Some(Value::String(slug)) => Some(slug.as_ref()),
            Some(_) => return None,
            None => parts.default_account,
        }
    };
    if !stored.is_empty() {
        let is_in_others = |account: &str| {
            stored.known(names.account, account).is_some_and(|known| !known.ancestors.is_empty())
        };
        let is_known = !is_account && stored.known(resource, query.resource.id).is_some();
        if is_known || is_in_others(access.account) || account.is_some_and(is_in_others) {
            return None;
        }
    }
    let relation = match account {
        Some(account) if account == access.account => AccountRelation::Own,
        Some(_) => AccountRelation::Other,
        None => AccountRelation::Nowhere,
    };
    Some(CacheKey((role * 2 + usize::from(access.active)) * 3 + relation as usize))
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use crate::domain::access_query::Record;
    use crate::domain::{
        EntityRef, MemberAccess, MemberTexts, MemberView, PolicyFiles, Query, Timestamp, Value,
    };
    use crate::engine::{Members, QueryContext, Snapshot};

    const SCHEMA: &str = r#"
        entity Region;
        entity Account in [Region];
        entity Role in [Role];
        entity Robot in [Region] { owner?: User, note?: String };
        entity User in [Role, Account] {
            account: Account, role: String, active: Bool, email: String, nickname?: String, boss?: User,
        };
        entity Paper in [Account, Shelf] { account?: Account, n?: Long };
        entity Draft in [Account] { account: Account };
        entity Shelf in [Account];
        entity Stamp enum ["blue", "red"];
        action look appliesTo { principal: User, resource: [Paper, Draft, Shelf, Stamp, Account, Role] };
        action mark appliesTo { principal: User, resource: [Paper, Draft, User], context: { n?: Long } };
    "#;
    /// What a folder may store.
    const STORED: [&str; 7] = [
        r#"{"uid": {"type": "Robot", "id": "r1"}, "attrs": {"note": "x"}, "parents": []}"#,
        r#"{"uid": {"type": "Robot", "id": "r2"}, "attrs": {"owner": {"__entity": {"type": "User", "id": "m"}}}, "parents": [{"type": "Region", "id": "eu"}]}"#,
        r#"{"uid": {"type": "Account", "id": "acme"}, "attrs": {}, "parents": []}"#,
        r#"{"uid": {"type": "Account", "id": "globex"}, "attrs": {}, "parents": [{"type": "Region", "id": "eu"}]}"#,
        r#"{"uid": {"type": "Role", "id": "writer"}, "attrs": {}, "parents": [{"type": "Role", "id": "staff"}]}"#,
        r#"{"uid": {"type": "Paper", "id": "red"}, "attrs": {"account": {"__entity": {"type": "Account", "id": "hooli"}}}, "parents": [{"type": "Account", "id": "hooli"}]}"#,
        r#"{"uid": {"type": "Paper", "id": "blue"}, "attrs": {}, "parents": [{"type": "Shelf", "id": "green"}]}"#,
    ];
    const SCOPES: [&str; 7] = [
        "principal, action, resource",
        "principal in Role::\"staff\", action, resource",
        "principal in Role::\"reader\", action, resource",
        "principal in Role::\"writer\", action == Action::\"look\", resource",
        "principal, action, resource is Paper",
        "principal is User, action in [Action::\"look\", Action::\"mark\"], resource is Draft",
        "principal, action == Action::\"look\", resource is Account",
    ];
    const CONDITIONS: [&str; 11] = [
        "principal.active",
        "resource in principal.account",
        "principal in Role::\"writer\"",
        "principal.role == \"reader\"",
        "resource is Draft && resource.account == principal.account",
        "resource is Paper && resource has account",
        "resource is Paper && resource has account && resource.account == principal.account",
        "action == Action::\"mark\"",
        // What follows reads more than a place tells apart.
        "resource == Account::\"acme\"",
        "resource == Stamp::\"red\"",
        "principal.email like \"a*\"",
    ];
    const ACCOUNTS: [&str; 3] = ["acme", "globex", "hooli"];

    struct Dice(StdRng);

    impl Dice {
        fn pick<T: Copy>(&mut self, from: &[T]) -> T {
            from[self.0.random_range(0..from.len())]
        }

        fn chance(&mut self, percent: u32) -> bool {
            self.0.random_range(0..100) < percent
        }

        fn folder(&mut self) -> PolicyFiles {
            let mut rules = String::new();
            for number in 0..self.0.random_range(1..7) {
                let effect = self.pick(&["permit", "permit", "permit", "forbid"]);
                let scope = self.pick(&SCOPES);
                // One that reads more takes the memory of a role, or of all.
                let of_one_role = scope.starts_with("principal in");
                let more = self.chance(if of_one_role { 30 } else { 5 });
                let most = if more { CONDITIONS.len() } else { 8 };
                let word = self.pick(&["when", "unless"]);
                let condition = self.pick(&CONDITIONS[..most]);
                rules.push_str(&format!(
                    "@id(\"r{number}\") {effect} ({scope}) {word} {{ {condition} }};\n"
                ));
            }
            let role = |role: &str| {
                format!(
                    "@id(\"{role}\") @role(\"{role}\") @title(\"t\") @summary(\"s\") @best_for(\"b\") \
                     permit (principal in Role::\"{role}\", action == Action::\"mark\", resource is Paper);"
                )
            };
            PolicyFiles::new(
                [
                    ("schema.cedarschema", SCHEMA.to_owned()),
                    ("roles/reader.cedar", role("reader")),
                    ("roles/writer.cedar", role("writer")),
                    ("rules/rules.cedar", rules),
                    ("entities.json", self.stored()),
                ]
                .map(|(path, text)| (path.to_owned(), text.into_bytes()))
                .into(),
            )
        }

        fn stored(&mut self) -> String {
            let some = self.chance(60);
            let stored = STORED.iter().filter(|_| some && self.chance(40));
            format!("[{}]", stored.copied().collect::<Vec<_>>().join(","))
        }

        /// What a caller says of one attribute that no policy reads, usually nothing.
        fn unread(&mut self, names: &[&'static str]) -> Record<'static> {
            let values = [Value::Long(1), Value::String("m".into()), Value::Null];
            let value = values[self.0.random_range(0..values.len())].clone();
            let name = Cow::Borrowed(self.pick(names));
            self.chance(25).then_some((name, value)).into_iter().collect()
        }

        fn member(&mut self) -> Somebody {
            Somebody {
                account: self.pick(&ACCOUNTS[..2]),
                role: self.pick(&["reader", "writer", "nobody"]),
                active: self.chance(70),
                email: self.pick(&["anna@example.org", "bert@example.org"]),
            }
        }

        fn said(&mut self) -> Record<'static> {
            let mut said = Record::new();
            if self.chance(70) {
                let account = Value::String(Cow::Borrowed(self.pick(&ACCOUNTS)));
                let entity = vec![
                    (Cow::Borrowed("type"), Value::String(Cow::Borrowed("Account"))),
                    (Cow::Borrowed("id"), account.clone()),
                ];
                let account = match self.0.random_range(0..10) {
                    0 => Value::Null,
                    1 => Value::Bool(true),
                    2 | 3 => Value::Record(entity),
                    _ => account,
                };
                said.push((Cow::Borrowed("account"), account));
            }
            said
        }
    }

    /// One member under whatever name.
    struct Somebody {
        account: &'static str,
        role: &'static str,
        active: bool,
        email: &'static str,
    }

    impl Members for Somebody {
        fn with<R>(&self, id: &str, read: impl FnOnce(MemberView<'_>) -> R) -> Option<R> {
            Some(read(MemberView {
                id,
                account: self.account,
                role: self.role,
                active: self.active,
                texts: MemberTexts::Apart {
                    email_key: self.email,
                    first_name: "A",
                    last_name: "B",
                },
                two_step: false,
                joined: Timestamp(0),
            }))
        }

        fn access<R>(&self, id: &str, read: impl FnOnce(MemberAccess<'_>) -> R) -> Option<R> {
            self.with(id, |view| read(view.access()))
        }
    }

    /// An explained decision is never cached, so asking for it asks Cedar.
    #[test]
    fn what_is_remembered_is_what_cedar_says() {
        let (mut asked, mut recalled, mut allowed) = (0_u32, 0_u32, 0_u32);
        // Of those, with something stored, and with something said that no policy reads.
        let (mut beside_stored, mut beside_said) = (0_u32, 0_u32);
        for seed in 0..80 {
            let mut dice = Dice(StdRng::seed_from_u64(seed));
            let Ok(snapshot) = Snapshot::load(&dice.folder(), &[]) else { continue };
            for _ in 0..500 {
                let members = dice.member();
                let single_account = dice.chance(10).then_some("acme");
                let world = QueryContext { members: &members, single_account };
                let (mut said, context) = (dice.said(), Record::new());
                let said_of_subject = dice.unread(&["nickname", "boss", "other"]);
                said.extend(dice.unread(&["n", "other"]));
                let context = if dice.chance(10) {
                    vec![(
                        Cow::Borrowed("n"),
                        dice.pick(&[Value::Long(1), Value::Null].each_ref()).clone(),
                    )]
                } else {
                    context
                };
                let kind = dice.pick(&[
                    "Paper", "Paper", "Draft", "Draft", "Shelf", "Stamp", "Account", "Role", "User",
                ]);
                let id = dice.pick(&["acme", "globex", "red", "green", "reader"]);
                let query = Query {
                    subject: EntityRef { kind: "User", id: "m", properties: &said_of_subject },
                    action: dice.pick(&["look", "mark"]),
                    action_properties: &[],
                    resource: EntityRef { kind, id, properties: &said },
                    context: &context,
                };
                let in_full = snapshot.decide(&query, &world, true);
                let usual = snapshot.decide(&query, &world, false);
                assert_eq!(
                    (usual.allowed, usual.erred),
                    (in_full.allowed, in_full.erred),
                    "seed {seed}: {query:?}"
                );
                asked += 1;
                allowed += u32::from(usual.allowed);
                let is_cached = snapshot.is_cached(&query, &world);
                recalled += u32::from(is_cached);
                beside_stored += u32::from(is_cached && !snapshot.stored.is_empty());
                beside_said += u32::from(is_cached && !said_of_subject.is_empty());
            }
        }
        println!(
            "{asked} questions, {allowed} allowed, {recalled} remembered, {beside_stored} and {beside_said} beside what does not concern them"
        );
        assert!(
            asked > 10_000 && allowed * 8 > asked && recalled * 8 > asked,
            "a mix that tries little"
        );
        assert!(beside_stored * 20 > asked && beside_said * 50 > asked, "a mix that tries little");
    }

    /// A service account, an account of its own, a group of roles: all others are remembered.
    #[test]
    fn what_is_stored_of_others_switches_nothing_off() {
        let rule = "@id(\"r\") permit (principal in Role::\"staff\", action, resource is Paper) \
                    when { principal.email like \"a*\" };";
        let role = |role: &str| {
            format!(
                "@id(\"{role}\") @role(\"{role}\") @title(\"t\") @summary(\"s\") @best_for(\"b\") \
                 permit (principal in Role::\"{role}\", action, resource) when {{ resource in principal.account }};"
            )
        };
        let files = [
            ("schema.cedarschema", SCHEMA.to_owned()),
            ("roles/reader.cedar", role("reader")),
            ("roles/writer.cedar", role("writer")),
            ("rules/rules.cedar", rule.to_owned()),
            ("entities.json", format!("[{}]", STORED.join(","))),
        ];
        let files = files.map(|(path, text)| (path.to_owned(), text.into_bytes()));
        let snapshot = Snapshot::load(&PolicyFiles::new(files.into()), &[])
            .unwrap_or_else(|faults| panic!("{}", crate::engine::render(&faults)));
        let remembers = |who: (&'static str, &'static str), what, said| {
            let before = snapshot.remembered();
            ask(&snapshot, who, "look", what, said);
            snapshot.remembered() > before
        };
        assert!(remembers(("acme", "reader"), ("Paper", "p"), Some("acme")), "acme is in nothing");
        assert!(remembers(("acme", "reader"), ("Paper", "p"), Some("hooli")));
        assert!(remembers(("acme", "reader"), ("Account", "hooli"), None), "it has what is stored");
        for (who, what, said, why) in [
            (("acme", "reader"), ("Draft", "p"), "globex", "the account is in a region"),
            (("globex", "reader"), ("Draft", "p"), "acme", "so is the member's"),
            (("hooli", "reader"), ("Paper", "red"), "hooli", "the resource is stored"),
            (("hooli", "reader"), ("Shelf", "green"), "hooli", "what is stored is in it"),
            (
                ("acme", "writer"),
                ("Paper", "p"),
                "acme",
                "the role is in a group that a rule names",
            ),
        ] {
            assert!(!remembers(who, what, Some(said)), "{why}");
        }
        assert!(remembers(("acme", "writer"), ("Draft", "p"), Some("acme")), "no such rule here");
    }

    /// Loads a schema with two roles that are given the same policy, `ROLE` being the role.
    fn two_roles(schema: &str, policy: &str) -> Snapshot {
        let role = |role: &str| {
            format!(
                "@id(\"{role}\") @role(\"{role}\") @title(\"t\") @summary(\"s\") @best_for(\"b\") {}",
                policy.replace("ROLE", role)
            )
        };
        let files = [
            ("schema.cedarschema", schema.to_owned()),
            ("roles/reader.cedar", role("reader")),
            ("roles/writer.cedar", role("writer")),
        ];
        let files = files.map(|(path, text)| (path.to_owned(), text.into_bytes()));
        Snapshot::load(&PolicyFiles::new(files.into()), &[])
            .unwrap_or_else(|faults| panic!("{}", crate::engine::render(&faults)))
    }

    /// Asks by the name of an active member of an account and role.
    fn ask(
        snapshot: &Snapshot,
        (account, role): (&'static str, &'static str),
        action: &str,
        (kind, id): (&str, &str),
        said: Option<&str>,
    ) -> bool {
        let somebody = Somebody { account, role, active: true, email: "anna@example.org" };
        let world = QueryContext { members: &somebody, single_account: None };
        let said = said.map(|said| (Cow::Borrowed("account"), Value::String(said.into())));
        let said = Record::from_iter(said);
        let query = Query {
            subject: EntityRef { kind: "User", id: "anna", properties: &[] },
            action,
            action_properties: &[],
            resource: EntityRef { kind, id, properties: &said },
            context: &[],
        };
        let usual = snapshot.decide(&query, &world, false).allowed;
        assert_eq!(usual, snapshot.decide(&query, &world, true).allowed, "{query:?}");
        usual
    }

    /// No place tells which role a resource is in.
    #[test]
    fn what_compares_a_resource_with_a_role_is_not_remembered() {
        let snapshot = two_roles(
            "entity Account; entity Role; \
             entity User in [Role, Account] { account: Account, role: Role, active: Bool }; \
             action look appliesTo { principal: User, resource: Role };",
            "permit (principal in Role::\"ROLE\", action, resource) \
             when { resource in principal.role };",
        );
        let allowed = |role| ask(&snapshot, ("acme", "reader"), "look", ("Role", role), None);
        assert_eq!(["reader", "writer"].map(allowed), [true, false]);
    }

    /// It would take the role's members there.
    #[test]
    fn no_caller_puts_a_role_into_an_account() {
        let snapshot = two_roles(
            "entity Account; entity Role in [Account] { account?: Account }; \
             entity User in [Role, Account] { account: Account, role: String, active: Bool }; \
             action look appliesTo { principal: User, resource: Role };",
            "permit (principal in Role::\"ROLE\", action, resource) \
             when { resource has account && principal in resource.account };",
        );
        let allowed =
            |role| ask(&snapshot, ("acme", "reader"), "look", ("Role", role), Some("globex"));
        assert_eq!(["reader", "writer"].map(allowed), [false, false]);
    }

    /// Accounts are called what roles are called: an answer about the one is none about the other.
    #[test]
    fn an_account_compared_with_a_role_is_not_remembered() {
        let snapshot = two_roles(
            "entity Account; entity Role; \
             entity User in [Role, Account] { account: String, role: String, active: Bool }; \
             entity Paper in [Account] { account?: String }; \
             action look appliesTo { principal: User, resource: Paper };",
            "permit (principal in Role::\"ROLE\", action, resource) \
             when { [principal.account] == [principal.role] };",
        );
        let allowed = |account: &'static str| {
            ask(&snapshot, (account, "reader"), "look", ("Paper", "p"), Some(account))
        };
        assert_eq!(["reader", "acme", "reader"].map(allowed), [true, false, true]);
    }

    /// By the shipped policies Cedar is asked once a situation, members as resources apart.
    #[test]
    fn the_shipped_policies_are_remembered() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
        let mut files = Vec::new();
        for folder in ["", "roles", "rules"] {
            for entry in std::fs::read_dir(root.join(folder)).unwrap() {
                let path = entry.unwrap().path();
                if path.is_file() {
                    let name = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
                    files.push((name, std::fs::read(path).unwrap()));
                }
            }
        }
        let snapshot = Snapshot::load(&PolicyFiles::new(files), &[]).unwrap();
        let asked: Vec<_> =
            snapshot.asked().into_iter().filter(|(_, resource)| resource != "user").collect();
        assert_eq!(asked.len(), 64);
        for (action, resource) in &asked {
            for role in ["administrator", "operator"] {
                for said in [Some("acme"), Some("globex"), None] {
                    for id in ["acme", "globex"] {
                        ask(&snapshot, ("acme", role), action, (resource, id), said);
                    }
                }
            }
        }
        let of_accounts = asked.iter().filter(|(_, resource)| resource == "account").count();
        assert_eq!(snapshot.remembered(), 2 * (3 * asked.len() - of_accounts));
    }
}
