//! Property test of explanations: what a sentence names is changed, and the decision must follow.
//!
//! Over random folders, members and queries: with all causes of a sentence changed the decision is
//! allow, with one fewer it is deny. A role is listed only if it alone makes the difference. The
//! test parses the sentence as a person reads it; code and lists must agree with it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::{Members, QueryContext, Snapshot};
use crate::domain::access_query::Record;
use crate::domain::decision::Explanation;
use crate::domain::{
    EntityRef, MemberTexts, MemberView, PolicyFiles, Query, Reason, Timestamp, Value,
};

const SCHEMA: &str = r#"
    entity Account;
    entity Role in [Role];
    entity User in [Role, Account] { account: Account, role: String, active: Bool };
    entity Service { trusted: Bool };
    entity Paper in [Account] { account?: Account, owner?: User, n: Long };
    entity Shelf in [Account];
    action look appliesTo { principal: [User, Service], resource: [Paper, Shelf, Account, User] };
    action mark appliesTo { principal: [User, Service], resource: [Paper, Shelf] };
"#;
const ROLES: [&str; 3] = ["admin", "reader", "writer"];
const ACCOUNTS: [&str; 2] = ["acme", "globex"];
const SCOPES: [&str; 12] = [
    "principal, action, resource",
    "principal, action, resource",
    "principal is User, action, resource",
    "principal in Role::\"reader\", action, resource",
    "principal in Role::\"writer\", action == Action::\"look\", resource",
    "principal in Role::\"staff\", action, resource is Paper",
    "principal == User::\"m1\", action, resource",
    "principal is Service, action, resource",
    "principal, action == Action::\"mark\", resource is Paper",
    "principal, action, resource in Account::\"acme\"",
    "principal, action, resource == Paper::\"p1\"",
    "principal, action, resource is Shelf",
];
const CONDITIONS: [&str; 12] = [
    "principal is User && principal.active",
    "principal is User && resource in principal.account",
    "principal is User && principal.active && resource in principal.account",
    "principal is User && principal.role == \"admin\"",
    "principal in Role::\"writer\"",
    "principal is Service && principal.trusted",
    "resource is Paper && resource.n > 3",
    "resource is Paper && resource.n + 9223372036854775807 > 0",
    "resource is Paper && resource has owner && resource.owner.active",
    "principal is User && resource has account && resource.account == principal.account",
    "resource is Paper && resource in Account::\"acme\"",
    "principal is User && principal.account == Account::\"acme\"",
];
/// What is permitted once nothing but a `permit` is missing.
const ANYTHING: &str = "@id(\"anything\") permit (principal, action, resource);";

struct Dice(StdRng);

impl Dice {
    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.0.random_range(0..from.len())]
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.0.random_range(0..100) < percent
    }

    fn folder(&mut self) -> Folder {
        let mut policies = BTreeMap::new();
        for role in ROLES {
            let action = self.pick(&["action", "action == Action::\"look\""]);
            let condition = self.condition(50);
            let text = format!(
                "@id(\"{role}\") @role(\"{role}\") @title(\"t\") @summary(\"s\") @best_for(\"b\")\n\
                 permit (principal in Role::\"{role}\", {action}, resource){condition};"
            );
            policies.insert(role.to_owned(), text);
        }
        for number in 0..self.0.random_range(0..7) {
            let effect = self.pick(&["permit", "forbid"]);
            let (scope, condition) = (self.pick(&SCOPES), self.condition(90));
            let id = format!("r{number}");
            let text = format!("@id(\"{id}\") {effect} ({scope}){condition};");
            policies.insert(id, text);
        }
        for (id, condition) in [
            ("tenancy", "resource in principal.account"),
            ("suspension", "principal.active"),
            ("both", "principal.active && resource in principal.account"),
        ] {
            if self.chance(45) {
                let text = format!(
                    "@id(\"{id}\") forbid (principal is User, action, resource) unless {{ {condition} }};"
                );
                policies.insert(id.to_owned(), text);
            }
        }
        let stored = self.chance(50).then(|| Stored {
            account: self.pick(&[None, Some("acme"), Some("globex")]),
            attribute: self.pick(&[None, Some("acme"), Some("globex")]),
            staff: self.chance(50),
        });
        Folder { policies, stored }
    }

    fn condition(&mut self, percent: u32) -> String {
        if !self.chance(percent) {
            return String::new();
        }
        let word = self.pick(&["when", "unless"]);
        let (a, b) = (self.pick(&CONDITIONS), self.pick(&CONDITIONS));
        match self.0.random_range(0..6) {
            0 => format!(" {word} {{ ({a}) && ({b}) }}"),
            1 => format!(" {word} {{ ({a}) || ({b}) }}"),
            _ => format!(" {word} {{ {a} }}"),
        }
    }

    fn question(&mut self) -> Question {
        let mut people = HashMap::new();
        for id in ["m1", "m2", "m3"] {
            let role = self.pick(&["admin", "reader", "writer", "ghost"]);
            people.insert(id, (self.pick(&ACCOUNTS), role, self.chance(60)));
        }
        let subject = self.pick(&["m1", "m1", "m2", "m3", "bot"]);
        let resource = self.pick(&[
            ("Paper", "p1"),
            ("Paper", "p2"),
            ("Paper", "stored"),
            ("Shelf", "s1"),
            ("Account", "acme"),
            ("Account", "globex"),
            ("User", "m2"),
        ]);
        let marks = ["Paper", "Shelf"].contains(&resource.0) && self.chance(50);
        Question {
            people,
            subject,
            action: if marks { "mark" } else { "look" },
            resource,
            account: self.pick(&[None, Some("acme"), Some("acme"), Some("globex")]),
            owner: self.pick(&[None, None, Some("m2"), Some("unknown")]),
            n: self.pick(&[1, 5]),
            single_account: if self.chance(10) { Some("acme") } else { None },
        }
    }
}

/// What `entities.json` says of one paper.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Stored {
    account: Option<&'static str>,
    attribute: Option<&'static str>,
    staff: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Folder {
    policies: BTreeMap<String, String>,
    stored: Option<Stored>,
}

impl Folder {
    fn load(&self) -> Option<Snapshot> {
        let mut files = vec![("schema.cedarschema".to_owned(), SCHEMA.to_owned())];
        let mut rules = String::new();
        for (id, text) in &self.policies {
            if ROLES.contains(&id.as_str()) {
                files.push((format!("roles/{id}.cedar"), text.clone()))
            } else {
                rules.push_str(&format!("{text}\n"))
            }
        }
        files.push(("rules/rules.cedar".to_owned(), rules));
        if let Some(stored) = &self.stored {
            let account = |slug: &str| serde_json::json!({"type": "Account", "id": slug});
            let mut attrs = serde_json::json!({"n": 5});
            if let Some(slug) = stored.attribute {
                attrs["account"] = account(slug);
            }
            let parents: Vec<_> = stored.account.into_iter().map(account).collect();
            let staff = if stored.staff {
                serde_json::json!([{"type": "Role", "id": "staff"}])
            } else {
                serde_json::json!([])
            };
            let entities = serde_json::json!([
                {"uid": {"type": "Paper", "id": "stored"}, "attrs": attrs, "parents": parents},
                {"uid": {"type": "Service", "id": "bot"}, "attrs": {"trusted": true}, "parents": []},
                {"uid": {"type": "Role", "id": "writer"}, "attrs": {}, "parents": staff},
            ]);
            files.push(("entities.json".to_owned(), entities.to_string()));
        }
        let files = files.into_iter().map(|(path, text)| (path, text.into_bytes())).collect();
        Snapshot::load(&PolicyFiles::new(files), &[]).ok()
    }
}

/// A question, and the members of whom it is asked.
#[derive(Clone, Debug)]
struct Question {
    /// Account, role, and whether the member is active.
    people: HashMap<&'static str, (&'static str, &'static str, bool)>,
    subject: &'static str,
    action: &'static str,
    resource: (&'static str, &'static str),
    account: Option<&'static str>,
    owner: Option<&'static str>,
    n: i64,
    single_account: Option<&'static str>,
}

impl Members for Question {
    fn with<R>(&self, id: &str, read: impl FnOnce(MemberView<'_>) -> R) -> Option<R> {
        self.people.get(id).map(|&(account, role, active)| {
            read(MemberView {
                id,
                account,
                role,
                active,
                texts: MemberTexts::Apart {
                    email_key: "a@example.org",
                    first_name: "A",
                    last_name: "B",
                },
                two_step: false,
                joined: Timestamp(0),
            })
        })
    }
}

impl Question {
    fn ask(&self, snapshot: &Snapshot) -> (bool, Explanation) {
        let text = |text: &'static str| Value::String(Cow::Borrowed(text));
        let mut says = Record::new();
        says.extend(self.account.map(|slug| (Cow::Borrowed("account"), text(slug))));
        says.extend(self.owner.map(|id| (Cow::Borrowed("owner"), text(id))));
        says.push((Cow::Borrowed("n"), Value::Long(self.n)));
        let kind = if self.subject == "bot" { "Service" } else { "User" };
        let query = Query {
            subject: EntityRef { kind, id: self.subject, properties: &[] },
            action: self.action,
            action_properties: &[],
            resource: EntityRef { kind: self.resource.0, id: self.resource.1, properties: &says },
            context: &[],
        };
        let world = QueryContext { members: self, single_account: self.single_account };
        let decision = snapshot.decide(&query, &world, true);
        assert_eq!(decision.allowed, snapshot.decide_by_whole_set(&query, &world).allowed);
        (decision.allowed, decision.explanation.unwrap())
    }

    fn account_of_subject(&self) -> &'static str {
        self.people[self.subject].0
    }
}

/// One thing that a sentence names, as what would change it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fix {
    Restore,
    Move,
    GiveRole(Vec<&'static str>),
    Remove(String),
    Permit,
    /// Any one of these `permit`s without its conditions.
    Unconditional(Vec<String>),
}

/// The words between backticks.
fn quoted(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// What a sentence names, and the policies that a change of role would be enough against.
fn read(sentence: &str) -> (Vec<(Reason, Fix)>, Vec<String>) {
    let (mut fixes, mut lifted) = (Vec::new(), Vec::new());
    let (mut of_role, mut later) = (None, Vec::new());
    for part in sentence.split("; ") {
        if part.contains("these roles may: ") {
            let known = |name: &String| ROLES.iter().find(|role| *role == name).copied();
            let roles = quoted(part).iter().map(|name| known(name).unwrap()).collect();
            // The text before it is about the role.
            while let Some((_, Fix::Remove(_))) = fixes.last() {
                let Some((reason, Fix::Remove(id))) = fixes.pop() else { unreachable!() };
                of_role = Some(reason);
                if !later.contains(&id) {
                    lifted.push(id);
                }
            }
            fixes.retain(|(reason, _)| {
                if *reason == Reason::RoleLacksAction {
                    of_role = Some(Reason::RoleLacksAction);
                    false
                } else {
                    true
                }
            });
            fixes.push((of_role.expect(sentence), Fix::GiveRole(roles)));
        } else if part.starts_with("this member is suspended") {
            fixes.push((Reason::Suspended, Fix::Restore));
        } else if part.starts_with("the role `") {
            fixes.push((Reason::RoleLacksAction, Fix::GiveRole(Vec::new())));
        } else if part.contains("forbidden by polic") {
            if part.starts_with("with that changed") {
                later.extend(quoted(part));
            }
            fixes.extend(quoted(part).into_iter().map(|id| (Reason::Forbidden, Fix::Remove(id))));
        } else if part.starts_with("policy `") && part.contains("could not be evaluated: ") {
            fixes.push((Reason::ForbidErred, Fix::Remove(quoted(part)[0].clone())));
        } else if let Some((_, rest)) = part.split_once("the conditions of ") {
            let (policies, _) = rest.split_once(" do not hold").unwrap();
            fixes.push((Reason::ConditionUnmet, Fix::Unconditional(quoted(policies))));
        } else if part.starts_with("no policy allows ") && part.contains(": policy `") {
            fixes.push((Reason::ConditionUnmet, Fix::Permit));
        } else if part.starts_with("no policy allows ") {
            fixes.push((Reason::NoPermit, Fix::Permit));
        } else if part.contains("account") {
            fixes.push((Reason::OtherAccount, Fix::Move));
        } else {
            panic!("not understood: {part:?} of {sentence:?}");
        }
    }
    (fixes, lifted)
}

fn apply(fix: &Fix, folder: &mut Folder, question: &mut Question) {
    match fix {
        Fix::Restore => question.people.get_mut(question.subject).unwrap().2 = true,
        Fix::Move => {
            let own = question.account_of_subject();
            match question.resource {
                ("Account", _) => question.resource.1 = own,
                ("User", id) => question.people.get_mut(id).unwrap().0 = own,
                ("Paper", "stored") => {
                    if let Some(stored) = &mut folder.stored {
                        (stored.account, stored.attribute) = (Some(own), Some(own));
                    }
                    question.account = Some(own);
                }
                _ => question.account = Some(own),
            }
        }
        Fix::GiveRole(roles) => question.people.get_mut(question.subject).unwrap().1 = roles[0],
        Fix::Remove(id) => {
            let text = folder.policies.get_mut(id).unwrap();
            // Its scope stays, for the slices to be the same.
            *text =
                format!("@id(\"{id}\") forbid (principal == User::\"none\", action, resource);");
        }
        Fix::Permit => drop(folder.policies.insert("anything".to_owned(), ANYTHING.to_owned())),
        Fix::Unconditional(ids) => {
            let text = folder.policies.get_mut(&ids[0]).unwrap();
            let at = |word: &'static str| text.split_once(word);
            let (scope, _) = at(") when").or_else(|| at(") unless")).unwrap();
            *text = format!("{scope});");
        }
    }
}

/// The sets of changed folders, which are made once.
#[derive(Default)]
struct Loaded(HashMap<Folder, Snapshot>);

impl Loaded {
    fn answers(&mut self, folder: &Folder, question: &Question) -> bool {
        if !self.0.contains_key(folder) {
            let snapshot = folder.load().unwrap_or_else(|| panic!("refused: {folder:#?}"));
            self.0.insert(folder.clone(), snapshot);
        }
        question.ask(&self.0[folder]).0
    }
}

/// Holds one deny to the truth; answers its causes.
fn check(folder: &Folder, question: &Question, why: &Explanation, loaded: &mut Loaded) -> usize {
    let context = || format!("{}\n{why:#?}\n{question:#?}\n{folder:#?}", why.sentence);
    let (causes, lifted) = read(&why.sentence);
    assert!(!causes.is_empty(), "{}", context());
    assert_eq!(why.reason, causes[0].0, "{}", context());
    for id in &lifted {
        assert!(why.policies.contains(id), "{id}: {}", context());
    }
    for left_out in 0..=causes.len() {
        let (mut folder, mut question) = (folder.clone(), question.clone());
        let fixes = causes.iter().enumerate().filter(|(at, _)| *at != left_out);
        fixes.for_each(|(_, (_, fix))| apply(fix, &mut folder, &mut question));
        let allowed = loaded.answers(&folder, &question);
        assert_eq!(allowed, left_out == causes.len(), "without {left_out}: {}", context());
    }
    let now = |role: &'static str| {
        let mut other = question.clone();
        other.people.get_mut(question.subject).unwrap().1 = role;
        other
    };
    let listed: BTreeSet<&str> = why.roles.iter().map(|role| role.as_str()).collect();
    if question.subject != "bot" {
        for role in ROLES {
            let allowed = loaded.answers(folder, &now(role));
            assert_eq!(listed.contains(role), allowed, "{role}: {}", context());
        }
    }
    for (_, fix) in &causes {
        if let (Fix::GiveRole(roles), 1) = (fix, causes.len()) {
            assert_eq!(roles.iter().copied().collect::<BTreeSet<_>>(), listed, "{}", context());
        }
    }
    causes.len()
}

#[test]
fn every_sentence_is_held_to_the_truth() {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut several, mut denied, mut asked, mut folders) = (0, 0, 0, 0);
    for seed in 0..70 {
        let mut dice = Dice(StdRng::seed_from_u64(seed));
        let folder = dice.folder();
        let Some(snapshot) = folder.load() else { continue };
        folders += 1;
        let mut loaded = Loaded::default();
        for _ in 0..25 {
            let question = dice.question();
            let (allowed, why) = question.ask(&snapshot);
            asked += 1;
            if allowed {
                assert_eq!(why.reason, Reason::Granted);
                continue;
            }
            // What is refused before any policy is asked has a table of its own.
            if [Reason::UnknownSubject, Reason::BadAttributes].contains(&why.reason) {
                continue;
            }
            denied += 1;
            *seen.entry(why.reason.as_str()).or_default() += 1;
            several += usize::from(check(&folder, &question, &why, &mut loaded) > 1);
        }
    }
    println!("{folders} folders, {asked} questions, {denied} denied, {several} for several causes");
    println!("{seen:?}");
    assert!(folders > 40 && denied > 400 && several > 80, "a mix that tries little");
    for reason in [
        Reason::Suspended,
        Reason::OtherAccount,
        Reason::RoleLacksAction,
        Reason::ForbidErred,
        Reason::Forbidden,
        Reason::ConditionUnmet,
        Reason::NoPermit,
    ] {
        assert!(seen.contains_key(reason.as_str()), "{reason:?} was never a reason: {seen:?}");
    }
}
