//! Random folders, members and queries for the oracle, from one seed.
//!
//! Everything is valid by construction: scopes name only what applies, and conditions guard what
//! they read, so that a refused folder is unexpected.

use std::convert::Infallible;

use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng, TryRng};
use serde_json::{Map, Value as Json, json};

/// The members of a JSON object.
pub(super) type Said = Map<String, Json>;

/// The schema; `?` stands for what the two variants declare differently.
const SCHEMA: &str = r#"
type Ctx = { n?: Long, role?: Role, target?: User, place?: Account, action?: { force: Bool } };
entity AccountGroup in [AccountGroup];
entity Account in [AccountGroup] { limit: Long, plan?: String };
entity Role in [Role] { rank?: Long };
entity Squad in [Squad];
entity Service in [Squad] { trusted: Bool, contact?: User, home?: Account };
entity User in [Role, Account] {
  account: Account, role: ?ROLE, active: Bool, email?: String, two_step?: Bool, joined?: ?TIME,
  nickname?: String,
};
entity Shelf in [Shelf, Account];
entity Template in [Account, Shelf] {
  account?: Account, owner: User, n: Long, labels?: Set<String>, meta: { level: Long, note?: String },
} tags String;
entity BotFlow in [Account] { owner?: User, editors?: Set<User>, reviewers?: Role } tags User;
entity Secret in [Account] { account: Account };
action manage;
action edit_all in [manage] appliesTo { principal: User, resource: Template, context: Ctx };
action "papers:view" in [edit_all]
  appliesTo { principal: [User, Service], resource: [Template, BotFlow, Account, Shelf], context: Ctx };
action "papers:edit" in [edit_all]
  appliesTo { principal: [User, Service], resource: [Template, BotFlow, Secret], context: Ctx };
action "team:edit" in [manage]
  appliesTo { principal: User, resource: [User, Account], context: Ctx };
action "roles:assign"
  appliesTo { principal: User, resource: [Account, User, Role], context: Ctx };
action plain appliesTo { principal: [User, Service], resource: [Template, Shelf, Secret] };
"#;

/// An action, the groups that it is in, and what it applies to.
type ActionRow =
    (&'static str, &'static [&'static str], &'static [&'static str], &'static [&'static str]);

const ACTIONS: [ActionRow; 6] = [
    ("edit_all", &["manage"], &["User"], &["Template"]),
    (
        "papers:view",
        &["edit_all", "manage"],
        &["User", "Service"],
        &["Template", "BotFlow", "Account", "Shelf"],
    ),
    (
        "papers:edit",
        &["edit_all", "manage"],
        &["User", "Service"],
        &["Template", "BotFlow", "Secret"],
    ),
    ("team:edit", &["manage"], &["User"], &["User", "Account"]),
    ("roles:assign", &[], &["User"], &["Account", "User", "Role"]),
    ("plain", &[], &["User", "Service"], &["Template", "Shelf", "Secret"]),
];

/// Principal scopes with the types of principal that they can match; `~` is the namespace.
const PRINCIPALS: [(&str, &[&str]); 22] = [
    ("principal", &["User", "Service"]),
    ("principal", &["User", "Service"]),
    ("principal is ~User", &["User"]),
    ("principal is ~Service", &["Service"]),
    ("principal == ~User::\"m1\"", &["User"]),
    ("principal == ~User::\"m2\"", &["User"]),
    ("principal == ~Service::\"bot\"", &["Service"]),
    ("principal in ~Role::\"admin\"", &["User"]),
    ("principal in ~Role::\"editor\"", &["User"]),
    ("principal in ~Role::\"viewer\"", &["User"]),
    ("principal in ~Role::\"temp\"", &["User"]),
    ("principal in ~Role::\"staff\"", &["User"]),
    ("principal in ~Role::\"leads\"", &["User"]),
    ("principal is ~User in ~Role::\"staff\"", &["User"]),
    ("principal is ~User in ~Role::\"editor\"", &["User"]),
    ("principal in ~Account::\"acme\"", &["User"]),
    ("principal is ~User in ~Account::\"globex\"", &["User"]),
    ("principal in ~AccountGroup::\"world\"", &["User"]),
    ("principal in ~AccountGroup::\"eu\"", &["User"]),
    ("principal in ~User::\"m3\"", &["User"]),
    ("principal in ~Squad::\"everybot\"", &["Service"]),
    ("principal is ~Service in ~Squad::\"ops\"", &["Service"]),
];

const IN_ACCOUNT: &[&str] = &["Template", "BotFlow", "User", "Shelf", "Secret", "Account"];
const EVERYTHING: &[&str] = &["Template", "BotFlow", "User", "Shelf", "Secret", "Account", "Role"];

/// Resource scopes with the types of resource that they can match.
const RESOURCES: [(&str, &[&str]); 26] = [
    ("resource", EVERYTHING),
    ("resource", EVERYTHING),
    ("resource", EVERYTHING),
    ("resource", EVERYTHING),
    ("resource is ~Template", &["Template"]),
    ("resource is ~BotFlow", &["BotFlow"]),
    ("resource is ~User", &["User"]),
    ("resource is ~Account", &["Account"]),
    ("resource == ~Template::\"t1\"", &["Template"]),
    ("resource == ~Template::\"x1\"", &["Template"]),
    ("resource == ~Account::\"acme\"", &["Account"]),
    ("resource == ~User::\"m2\"", &["User"]),
    ("resource in ~Account::\"acme\"", IN_ACCOUNT),
    ("resource in ~Account::\"globex\"", IN_ACCOUNT),
    ("resource in ~AccountGroup::\"eu\"", IN_ACCOUNT),
    ("resource in ~AccountGroup::\"world\"", IN_ACCOUNT),
    ("resource in ~Shelf::\"s2\"", &["Template", "Shelf"]),
    ("resource is ~Template in ~Shelf::\"s1\"", &["Template"]),
    ("resource is ~Template in ~Account::\"acme\"", &["Template"]),
    ("resource is ~BotFlow in ~AccountGroup::\"world\"", &["BotFlow"]),
    ("resource is ~User in ~Role::\"staff\"", &["User"]),
    ("resource in ~Role::\"staff\"", &["User", "Role"]),
    ("resource in ~Template::\"t2\"", &["Template"]),
    ("resource is ~Account in ~AccountGroup::\"eu\"", &["Account"]),
    ("resource is ~Secret", &["Secret"]),
    ("resource is ~Shelf", &["Shelf"]),
];

/// Conditions that validate under any scope. `#ROLE#` and `#TIME#` follow the schema's variant.
const CONDITIONS: [&str; 64] = [
    "principal is ~User && principal.active",
    "principal is ~User && !principal.active",
    "principal is ~User && principal has two_step && principal.two_step",
    "principal is ~User && #ROLE#",
    "principal is ~User && principal.account == ~Account::\"acme\"",
    "principal is ~User && resource in principal.account",
    "principal is ~User && principal has nickname && principal.nickname like \"a*\"",
    "principal is ~User && principal has joined && #TIME#",
    "principal in ~Role::\"editor\"",
    "principal in [~Role::\"admin\", ~Role::\"staff\"]",
    "principal in ~AccountGroup::\"world\"",
    "principal is ~User in ~Role::\"leads\"",
    "principal is ~User && principal has email && principal.email like \"*2@*\"",
    "principal is ~User && principal has account.plan",
    "principal is ~User && principal.account has plan && principal.account.plan == \"gold\"",
    "principal is ~User && principal.account.limit > 3",
    "principal is ~User && principal.account in ~AccountGroup::\"eu\"",
    "principal is ~Service && principal.trusted",
    "principal is ~Service && principal has contact && principal.contact.active",
    "principal is ~Service && principal has contact && principal.contact in ~Role::\"staff\"",
    "principal is ~Service && principal has home && resource in principal.home",
    "principal is ~Service && principal in ~Squad::\"everybot\"",
    "resource is ~Template && resource.n > 10",
    "resource is ~Template && resource.n + 9223372036854775807 > 0",
    "resource is ~Template && resource.n * 9223372036854775807 > 7",
    "resource is ~Template && principal is ~User && resource.owner == principal",
    "resource is ~Template && resource.owner.active",
    "resource is ~Template && resource.owner in ~Role::\"staff\"",
    "resource is ~Template && resource.owner in ~Account::\"acme\"",
    "resource is ~Template && resource has account && resource.owner.account == resource.account",
    "resource is ~Template && resource.owner has two_step",
    "resource is ~Template && resource has labels && resource.labels.contains(\"red\")",
    "resource is ~Template && resource.meta.level > 2",
    "resource is ~Template && resource has meta.note",
    "resource is ~Template && resource.meta has note && resource.meta.note == \"x\"",
    "resource is ~Template && resource.hasTag(\"state\") && resource.getTag(\"state\") == \"locked\"",
    "resource is ~Template && resource in ~Shelf::\"s2\"",
    "resource is ~BotFlow && principal is ~User && resource has editors && resource.editors.contains(principal)",
    "resource is ~BotFlow && resource has owner && resource.owner.active",
    "resource is ~BotFlow && resource has owner && resource.owner in ~AccountGroup::\"eu\"",
    "resource is ~BotFlow && resource has owner.nickname",
    "resource is ~BotFlow && principal is ~User && resource has reviewers && principal in resource.reviewers",
    "resource is ~BotFlow && resource has reviewers && resource.reviewers in ~Role::\"staff\"",
    "resource is ~BotFlow && resource.hasTag(\"boss\") && resource.getTag(\"boss\").active",
    "resource is ~BotFlow && resource.hasTag(\"boss\") && resource.getTag(\"boss\") in ~Role::\"leads\"",
    "resource has account && resource.account == ~Account::\"acme\"",
    "principal is ~User && resource has account && resource.account != principal.account",
    "resource has account && resource.account.limit > 3",
    "resource is ~User && resource.active",
    "resource is ~User && principal is ~User && resource == principal",
    "resource is ~User && resource in ~Role::\"staff\"",
    "resource is ~User && resource has nickname",
    "resource is ~Role && resource in ~Role::\"staff\"",
    "resource is ~Account && resource.limit > 5",
    "resource in [~AccountGroup::\"world\", ~AccountGroup::\"eu\"]",
    "action in ~Action::\"manage\"",
    "action in [~Action::\"edit_all\", ~Action::\"plain\"]",
    "action == ~Action::\"papers:view\"",
    "context has n && context.n * 9223372036854775807 > 0",
    "context has role && context.role in ~Role::\"staff\"",
    "context has target && context.target.active && context.target.account.limit > 3",
    "context has target && (context.target in ~Account::\"acme\" || context.target has nickname)",
    "context has action && context.action.force",
    "context has place && context.place in ~AccountGroup::\"world\"",
];

/// Conditions that validate and yet err for some questions: overflow, or an entity that nobody has.
const ERRING: [&str; 10] = [
    "resource is ~Template && resource.n + 9223372036854775807 > 0",
    "context has n && context.n * 9223372036854775807 > 0",
    "context has n && 9223372036854775807 + context.n < 5",
    "resource is ~Template && resource.owner.active",
    "context has target && context.target.active",
    "context has place && context.place.limit > 2",
    "principal is ~User && principal.account.limit > 2",
    "resource has account && resource.account.limit > 3",
    "principal is ~Service && principal has contact && principal.contact.active",
    "principal is ~User && principal.account.limit + 9223372036854775807 > 2",
];

/// How many towns compare values.
const VALUES_PERCENT: u32 = 20;

/// How many conditions may err.
const ERRING_PERCENT: u32 = 60;

pub(super) const ROLES: [&str; 3] = ["admin", "editor", "viewer"];
/// Accounts that are called what roles are called.
pub(super) const ACCOUNTS_LIKE_ROLES: [&str; 4] = ["editor", "viewer", "acme", "staff"];
const ACCOUNTS: [&str; 4] = ["acme", "globex", "initech", "hooli"];
/// Roles that members hold: also groups, one that only a scope names, and one named nowhere.
const HELD: [&str; 8] = ["admin", "editor", "editor", "viewer", "viewer", "temp", "staff", "ghost"];

/// A member of a generated team.
#[derive(Clone, Debug)]
pub(super) struct Person {
    pub(super) id: String,
    pub(super) account: &'static str,
    pub(super) role: &'static str,
    pub(super) active: bool,
    pub(super) two_step: bool,
    pub(super) email: String,
    pub(super) joined_ms: i64,
}

impl TryRng for Tape {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from(self.0.next().unwrap_or_default()) << 24)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from(self.0.next().unwrap_or_default()) << 56)
    }

    fn try_fill_bytes(&mut self, into: &mut [u8]) -> Result<(), Infallible> {
        into.fill_with(|| self.0.next().unwrap_or_default());
        Ok(())
    }
}

/// A folder with its team.
#[derive(Debug)]
pub(super) struct Town {
    /// `KWIC::`, or nothing.
    pub(super) prefix: &'static str,
    pub(super) files: Vec<(String, String)>,
    pub(super) stored: Vec<Json>,
    pub(super) people: Vec<Person>,
    /// Whether `joined` of `User` is a number.
    pub(super) plain: bool,
    /// Whether `account` is a string and no entity.
    pub(super) account_text: bool,
    /// Whether `role` is a string and no entity.
    pub(super) role_text: bool,
    /// Where the policies compare values and nothing is stored: the action and the type of
    /// resource that most questions are about.
    pub(super) often: Option<(&'static str, &'static str)>,
}

impl Town {
    /// What the attribute `account` of a member or resource holds.
    pub(super) fn account_said(&self, slug: &str) -> Json {
        if self.account_text { slug.into() } else { uid(self.prefix, "Account", slug) }
    }
}

/// A question, in a form that both sides read in their own way.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) subject: (&'static str, String),
    pub(super) subject_says: Said,
    pub(super) action: String,
    pub(super) action_says: Said,
    pub(super) resource: (&'static str, String),
    /// The account that the caller puts the resource into.
    pub(super) account: Option<&'static str>,
    pub(super) resource_says: Said,
    pub(super) context: Said,
    pub(super) single_account: Option<&'static str>,
    /// Whether entities are said as a bare id.
    pub(super) bare: bool,
}

/// Choices, by a seed or by bytes.
pub(super) struct Dice(Box<dyn Rng>);

/// One byte decides each choice, so that a fuzzer that changes one changes one choice; after the
/// last, each falls on its first side.
struct Tape(std::vec::IntoIter<u8>);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(Box::new(StdRng::seed_from_u64(seed)))
    }

    pub(super) fn of_bytes(bytes: Vec<u8>) -> Self {
        Self(Box::new(Tape(bytes.into_iter())))
    }

    pub(super) fn below(&mut self, n: usize) -> usize {
        self.0.random_range(0..n)
    }

    pub(super) fn chance(&mut self, percent: u32) -> bool {
        self.0.random_range(0..100) < percent
    }

    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    fn number(&mut self) -> i64 {
        self.pick(&[-3, 0, 0, 1, 2, 4, 7, 11, 50])
    }

    /// A folder and its team.
    pub(super) fn town(&mut self) -> Town {
        if !self.chance(100 - VALUES_PERCENT) {
            return self.town_of_values();
        }
        let plain = self.chance(50);
        let prefix = if plain { "" } else { "KWIC::" };
        let mut town = Town {
            prefix,
            plain,
            files: Vec::new(),
            stored: Vec::new(),
            people: Vec::new(),
            account_text: false,
            role_text: !plain,
            often: None,
        };
        let (role, time) = if plain { ("Role", "Long") } else { ("String", "datetime") };
        let schema = SCHEMA.replace("?ROLE", role).replace("?TIME", time);
        let schema = if plain { schema } else { format!("namespace KWIC {{\n{schema}\n}}") };
        town.files.push(("schema.cedarschema".into(), schema));
        self.policies(&mut town);
        self.stored(&mut town);
        let stored = Json::from(town.stored.clone()).to_string();
        town.files.push(("entities.json".into(), stored));
        self.people(&mut town, 8, &ACCOUNTS[..3], &HELD);
        town
    }

    pub(super) fn people(
        &mut self,
        town: &mut Town,
        count: usize,
        accounts: &[&'static str],
        roles: &[&'static str],
    ) {
        for number in 1..=count {
            town.people.push(Person {
                id: format!("m{number}"),
                account: self.pick(accounts),
                role: self.pick(roles),
                active: self.chance(80),
                two_step: self.chance(50),
                email: format!("m{number}@example.org"),
                joined_ms: self.pick(&[0, 1_600_000_000_120, 1_700_000_000_000, 1_750_000_000_007]),
            });
        }
    }

    fn policies(&mut self, town: &mut Town) {
        for role in ROLES {
            let (action, _) = self.action_scope("User", EVERYTHING);
            let mut text = format!(
                "@id(\"{role}\") @role(\"{role}\") @title(\"t\") @summary(\"s\") @best_for(\"b\")\npermit (principal in {}Role::\"{role}\", {action}, resource){};\n",
                town.prefix,
                self.conditions(town, 40),
            );
            for extra in 0..self.below(3) {
                text.push_str(&self.policy(town, &format!("{role}-{extra}")));
            }
            town.files.push((format!("roles/{role}.cedar"), text.replace('~', town.prefix)));
        }
        let mut rules = String::new();
        let many = self.chance(10);
        // Few policies read few attributes, and what none reads is not built.
        let few = self.chance(25);
        let count = if many {
            80
        } else if few {
            self.below(3)
        } else {
            6 + self.below(14)
        };
        for number in 0..count {
            rules.push_str(&self.policy(town, &format!("rule-{number}")));
        }
        if self.chance(40) {
            rules.push_str("@id(\"tenancy\") forbid (principal is ~User, action, resource) unless { resource in principal.account };\n");
        }
        // An empty file is a fault.
        if !rules.is_empty() {
            town.files.push(("rules/rules.cedar".into(), rules.replace('~', town.prefix)));
        }
    }

    fn policy(&mut self, town: &Town, id: &str) -> String {
        let forbid = self.chance(25);
        // A scope that nothing fits is refused by the validator: draw until one applies.
        for _ in 0..100 {
            let (principal, principals) = self.pick(&PRINCIPALS);
            let (resource, resources) = self.pick(&RESOURCES);
            let kind = self.pick(principals);
            let (action, applies) = self.action_scope(kind, resources);
            if applies {
                let effect = if forbid { "forbid" } else { "permit" };
                let conditions = self.conditions(town, if forbid { 85 } else { 60 });
                return format!(
                    "@id(\"{id}\")\n{effect} ({principal}, {action}, {resource}){conditions};\n"
                );
            }
        }
        format!("@id(\"{id}\")\npermit (principal is ~Service, action, resource);\n")
    }

    /// An action scope, and whether it applies to such a principal and one of these resources.
    fn action_scope(&mut self, principal: &str, resources: &[&str]) -> (String, bool) {
        let applies = |row: &ActionRow| {
            row.2.contains(&principal) && row.3.iter().any(|kind| resources.contains(kind))
        };
        let (first, second) = (self.pick(&ACTIONS), self.pick(&ACTIONS));
        let group = self.pick(&["manage", "edit_all"]);
        let in_group = |row: &&ActionRow| row.0 == group || row.1.contains(&group);
        let grouped = ACTIONS.iter().filter(in_group).any(applies);
        match self.below(6) {
            0 | 1 => ("action".into(), ACTIONS.iter().any(applies)),
            2 => (format!("action == ~Action::\"{}\"", first.0), applies(&first)),
            3 => (
                format!("action in [~Action::\"{}\", ~Action::\"{}\"]", first.0, second.0),
                applies(&first) || applies(&second),
            ),
            4 => (format!("action in ~Action::\"{group}\""), grouped),
            _ => (
                format!("action in [~Action::\"{group}\", ~Action::\"{}\"]", first.0),
                grouped || applies(&first),
            ),
        }
    }

    fn conditions(&mut self, town: &Town, percent: u32) -> String {
        let mut text = String::new();
        if self.chance(percent) {
            let word = if self.chance(80) { "when" } else { "unless" };
            let condition = self.condition(town);
            text = format!("\n{word} {{ {condition} }}");
        }
        text
    }

    fn condition(&mut self, town: &Town) -> String {
        let (role, time) = if town.plain {
            ("principal.role in ~Role::\"staff\"", "principal.joined > 0")
        } else {
            ("principal.role == \"editor\"", "principal.joined > datetime(\"2021-01-01\")")
        };
        let mut one = || {
            let from = if self.chance(ERRING_PERCENT) { &ERRING[..] } else { &CONDITIONS[..] };
            format!("({})", self.pick(from).replace("#ROLE#", role).replace("#TIME#", time))
        };
        let (a, b, c) = (one(), one(), one());
        match self.below(8) {
            0 => format!("{a} && {b}"),
            1 => format!("{a} || {b}"),
            2 => format!("!{a}"),
            3 => format!("if {a} then {b} else {c}"),
            _ => a,
        }
    }

    fn stored(&mut self, town: &mut Town) {
        if self.chance(10) {
            return;
        }
        let mut add = |kind: &str, id: &str, attrs: Json, parents: Vec<Json>| {
            town.stored.push(
                json!({"uid": uid(town.prefix, kind, id), "attrs": attrs, "parents": parents}),
            );
        };
        let p = town.prefix;
        let maybe = |dice: &mut Self, kind: &str, id: &str| {
            if dice.chance(75) { vec![uid(p, kind, id)] } else { Vec::new() }
        };
        add("AccountGroup", "eu", json!({}), maybe(self, "AccountGroup", "world"));
        if self.chance(60) {
            let plan = if self.chance(50) {
                json!({"limit": self.number(), "plan": "gold"})
            } else {
                json!({"limit": 9})
            };
            add("Account", "acme", plan, maybe(self, "AccountGroup", "eu"));
        }
        if self.chance(30) {
            add("Account", "globex", json!({"limit": 1}), maybe(self, "AccountGroup", "world"));
        }
        add("Role", "editor", json!({"rank": 2}), maybe(self, "Role", "leads"));
        add("Role", "leads", json!({}), maybe(self, "Role", "staff"));
        add("Squad", "ops", json!({}), maybe(self, "Squad", "everybot"));
        let contact = format!("m{}", 1 + self.below(10));
        let bot = json!({"trusted": self.chance(50), "contact": uid(p, "User", &contact), "home": uid(p, "Account", "acme")});
        add("Service", "bot", bot, maybe(self, "Squad", "ops"));
        add("Service", "cron", json!({"trusted": true}), Vec::new());
        add("Shelf", "s1", json!({}), maybe(self, "Shelf", "s2"));
        add("Shelf", "s2", json!({}), maybe(self, "Account", "acme"));
        for (id, parent) in [("t1", ("Shelf", "s1")), ("t2", ("Account", "globex"))] {
            let attrs = Json::from(self.attributes(p, "Template"));
            add("Template", id, attrs, maybe(self, parent.0, parent.1));
        }
        let attrs = Json::from(self.attributes(p, "BotFlow"));
        add("BotFlow", "f1", attrs, maybe(self, "Account", "acme"));
        for entity in &mut town.stored {
            let kind = entity["uid"]["type"].as_str().unwrap_or_default().to_owned();
            if kind.ends_with("Template") && self.chance(60) {
                entity["tags"] = json!({"state": self.pick(&["locked", "open"])});
            }
            if kind.ends_with("BotFlow") && self.chance(60) {
                let boss = format!("m{}", 1 + self.below(10));
                entity["tags"] = json!({"boss": uid(p, "User", &boss)});
            }
        }
    }

    /// The attributes of a resource, the account apart.
    fn attributes(&mut self, prefix: &str, kind: &str) -> Said {
        let mut said = Said::new();
        let user = |dice: &mut Self| uid(prefix, "User", &format!("m{}", 1 + dice.below(10)));
        match kind {
            "Template" => {
                said.insert("owner".into(), user(self));
                said.insert("n".into(), self.number().into());
                if self.chance(50) {
                    said.insert("labels".into(), json!([self.pick(&["red", "blue"]), "green"]));
                }
                let level = self.number();
                let meta = if self.chance(50) {
                    json!({"level": level, "note": "x"})
                } else {
                    json!({"level": level})
                };
                said.insert("meta".into(), meta);
            }
            "BotFlow" => {
                if self.chance(60) {
                    said.insert("owner".into(), user(self));
                }
                if self.chance(60) {
                    said.insert("editors".into(), json!([user(self), user(self)]));
                }
                if self.chance(60) {
                    let role = self.pick(&HELD);
                    said.insert("reviewers".into(), uid(prefix, "Role", role));
                }
            }
            "Account" => {
                said.insert("limit".into(), self.number().into());
            }
            "User" if self.chance(40) => {
                said.insert("nickname".into(), "anna".into());
            }
            _ => {}
        }
        said
    }

    /// A question to a town.
    pub(super) fn question(&mut self, town: &Town) -> Question {
        let p = town.prefix;
        let values = town.often.is_some();
        let accounts = if values { ACCOUNTS_LIKE_ROLES } else { ACCOUNTS };
        let often = town.often.filter(|_| self.chance(85));
        let row = |often: (&str, &str)| ACTIONS.iter().find(|row| row.0 == often.0).copied();
        let (action, _, principals, resources) =
            often.and_then(row).unwrap_or_else(|| self.pick(&ACTIONS));
        let kind = if self.chance(97) { self.pick(principals) } else { "Service" };
        let kind = if values { "User" } else { kind };
        let subject = if kind == "User" {
            let people = town.people.len();
            let person = if self.chance(98) { 1 + self.below(people) } else { 99 };
            (kind, format!("m{person}"))
        } else {
            (kind, self.pick(&["bot", "bot", "cron", "nobody"]).to_owned())
        };
        let resource_kind =
            if self.chance(98) { self.pick(resources) } else { self.pick(EVERYTHING) };
        let resource_kind = often.map_or(resource_kind, |often| often.1);
        let id = match resource_kind {
            "Account" => self.pick(&accounts).to_owned(),
            "User" if self.chance(15) => subject.1.clone(),
            "User" => format!("m{}", 1 + self.below(10)),
            "Role" => self.pick(&HELD).to_owned(),
            "Shelf" => self.pick(&["s1", "s2", "s3"]).to_owned(),
            "Template" => self.pick(&["t1", "t2", "x1", "x2", "x3"]).to_owned(),
            _ => self.pick(&["f1", "f2", "f3"]).to_owned(),
        };
        let own =
            town.people.iter().find(|person| person.id == subject.1).map(|person| person.account);
        let account = match self.below(10) {
            0..=5 => own.or(Some("acme")),
            6..=8 => Some(self.pick(&accounts)),
            _ => None,
        };
        let mut resource_says = self.attributes(p, resource_kind);
        let mut subject_says = self.attributes(p, "User");
        if values {
            (resource_says, subject_says) = (Said::new(), Said::new());
        }
        if self.chance(3)
            && let Some(name) = resource_says.keys().next().cloned()
        {
            if self.chance(50) {
                resource_says.remove(&name);
            } else {
                resource_says.insert(name, Json::from(true));
            }
        }
        if self.chance(20) {
            resource_says.insert("zz_undeclared".into(), json!({"a": [1]}));
        }
        if self.chance(20) {
            subject_says.insert("active".into(), true.into());
            subject_says.insert("account".into(), "acme".into());
            subject_says.insert("role".into(), "admin".into());
        }
        Question {
            subject,
            subject_says,
            action: action.to_owned(),
            action_says: if !values && self.chance(30) {
                object(json!({"force": self.chance(50)}))
            } else {
                Said::new()
            },
            resource: (resource_kind, id),
            account,
            resource_says,
            context: if values { self.number_only() } else { self.context(p) },
            single_account: if self.chance(15) { Some("acme") } else { None },
            bare: self.chance(50),
        }
    }

    /// A context that is mostly empty, as the usual question's is.
    fn number_only(&mut self) -> Said {
        let mut said = Said::new();
        if self.chance(10) {
            said.insert("n".into(), self.number().into());
        }
        said
    }

    fn context(&mut self, prefix: &str) -> Said {
        let mut said = Said::new();
        if self.chance(50) {
            said.insert("n".into(), self.number().into());
        }
        if self.chance(40) {
            let role = self.pick(&HELD);
            said.insert("role".into(), uid(prefix, "Role", role));
        }
        if self.chance(50) {
            let target = format!("m{}", 1 + self.below(10));
            said.insert("target".into(), uid(prefix, "User", &target));
        }
        if self.chance(40) {
            let place = self.pick(&ACCOUNTS);
            said.insert("place".into(), uid(prefix, "Account", place));
        }
        if self.chance(1) {
            said.insert("n".into(), "many".into());
        }
        said
    }
}

/// An entity's JSON form.
pub(super) fn uid(prefix: &str, kind: &str, id: &str) -> Json {
    json!({"type": format!("{prefix}{kind}"), "id": id})
}

pub(super) fn object(json: Json) -> Said {
    match json {
        Json::Object(members) => members,
        _ => Said::new(),
    }
}
