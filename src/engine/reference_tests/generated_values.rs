//! Random data whose policies compare values with each other: accounts with roles, in sets and
//! records, with `if`, arithmetic and `like`, at any depth.
//!
//! There are no stored entities, and accounts have the names of roles, so that decisions are cached
//! and a cached decision that belongs to another query shows.

use std::str::FromStr;

use cedar_policy::{PolicySet, Schema, ValidationMode, Validator};

use super::super::entity_builder::REACH;
use super::generated_teams::{ACCOUNTS_LIKE_ROLES, Dice, ROLES, Town};

/// The schema; `?ACCOUNT` and `?ROLE` stand for what the two variants declare differently.
const SCHEMA: &str = r#"
type Ctx = { n?: Long };
entity Account;
entity Role;
entity Service;
entity User in [Role, Account] {
  account: ?ACCOUNT, role: ?ROLE, active: Bool, email?: String, two_step?: Bool, joined?: ?TIME,
};
entity Shelf in [Account];
entity Template in [Account] { account?: ?ACCOUNT };
entity BotFlow in [Account];
entity Secret in [Account] { account: ?ACCOUNT };
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

const HELD: [&str; 6] = ["editor", "editor", "viewer", "viewer", "admin", "ghost"];

/// Most questions of such a town are about one of these.
const OFTEN: [(&str, &str); 4] = [
    ("papers:view", "Template"),
    ("papers:edit", "Secret"),
    ("roles:assign", "Account"),
    ("papers:edit", "BotFlow"),
];

const SCOPES: [&str; 6] = [
    "principal is ~User, action, resource",
    "principal is ~User, action in ~Action::\"manage\", resource",
    "principal in ~Role::\"editor\", action, resource",
    "principal is ~User in ~Role::\"viewer\", action, resource",
    "principal is ~User, action, resource is ~Template",
    "principal is ~User, action, resource is ~Account",
];

/// What role, status and relation to the account decide.
const PLAIN: [&str; 11] = [
    "principal.active",
    "!principal.active",
    "principal in ~Role::\"editor\"",
    "principal in [~Role::\"viewer\", ~Role::\"admin\"]",
    "action == ~Action::\"papers:view\"",
    "action in [~Action::\"manage\", ~Action::\"plain\"]",
    "resource is ~Template",
    "resource has account",
    "resource.account == principal.account",
    "principal.account != resource.account",
    "true",
];

/// What something else decides.
const OTHER: [&str; 9] = [
    "principal in ~Account::\"editor\"",
    "principal == ~User::\"m1\"",
    "principal is ~User in ~Account::\"viewer\"",
    "resource == ~Account::\"editor\"",
    "resource in ~Account::\"viewer\"",
    "resource is ~Template in ~Account::\"editor\"",
    "principal has email && principal.email like \"m2*\"",
    "principal has two_step && principal.two_step",
    "(if principal.active then 1 else 2) * 4611686018427387904 > 0",
];

/// What the values that may be compared with each other are in this town.
enum Sort {
    /// Accounts and roles, both strings.
    Texts,
    Accounts,
    Roles,
}

impl Dice {
    /// A folder that compares values, and its team.
    pub(super) fn town_of_values(&mut self) -> Town {
        let (plain, texts) = (self.chance(50), self.chance(70));
        // Where roles may do everything, what is forbidden shows; else, what is permitted.
        let open = self.chance(50);
        let prefix = if plain { "" } else { "KWIC::" };
        let mut town = Town {
            prefix,
            plain,
            files: Vec::new(),
            stored: Vec::new(),
            people: Vec::new(),
            account_text: texts,
            role_text: texts,
            often: Some(self.pick(&OFTEN)),
        };
        let entity = |kind| if texts { "String" } else { kind };
        let schema = SCHEMA
            .replace("?ACCOUNT", entity("Account"))
            .replace("?ROLE", entity("Role"))
            .replace("?TIME", if plain { "Long" } else { "datetime" });
        let schema = if plain { schema } else { format!("namespace KWIC {{\n{schema}\n}}") };
        let (read, _) = Schema::from_cedarschema_str(&schema).unwrap();
        let validator = Validator::new(read);
        for role in ROLES {
            let action = if open { "action" } else { "action == ~Action::\"team:edit\"" };
            let text = format!(
                "@id(\"{role}\") @role(\"{role}\") @title(\"t\") @summary(\"s\") @best_for(\"b\")\npermit (principal in ~Role::\"{role}\", {action}, resource);\n"
            );
            town.files.push((format!("roles/{role}.cedar"), text.replace('~', prefix)));
        }
        let mut rules = String::new();
        for number in 0..1 + self.below(2) {
            let effect = if open == self.chance(85) { "forbid" } else { "permit" };
            rules.push_str(&self.policy_of_values(&town, &validator, (effect, number)));
        }
        town.files.insert(0, ("schema.cedarschema".into(), schema));
        town.files.push(("rules/rules.cedar".into(), rules));
        self.people(&mut town, 16, &ACCOUNTS_LIKE_ROLES, &HELD);
        town
    }

    /// A policy that Cedar's validator takes; few that are drawn are refused.
    fn policy_of_values(
        &mut self,
        town: &Town,
        validator: &Validator,
        (effect, number): (&str, usize),
    ) -> String {
        let reach = u32::try_from(REACH).unwrap();
        for _ in 0..30 {
            let (scope, depth) = (self.pick(&SCOPES), self.below(4));
            let word = if self.chance(85) { "when" } else { "unless" };
            let condition = match self.below(10) {
                0..=3 => self.plain_flag(town, depth.min(2)),
                4..=6 => self.comparison(town, depth.min(1)),
                _ => self.flag(town, depth),
            };
            let guard = match condition.contains("resource.account") {
                true if self.chance(70) => "resource has account && ",
                true => "!(resource has account) || ",
                false => "",
            };
            let text = format!(
                "@id(\"rule-{number}\")\n{effect} ({scope})\n{word} {{ {guard}({condition}) }};\n"
            );
            let text = text.replace('~', town.prefix);
            let set = PolicySet::from_str(&text).unwrap_or_else(|fault| panic!("{text}{fault}"));
            let checked = validator.validate_with_level(&set, ValidationMode::Strict, reach);
            if checked.validation_passed() {
                return text;
            }
        }
        format!("@id(\"rule-{number}\")\n{effect} (principal is ~User, action, resource);\n")
            .replace('~', town.prefix)
    }

    /// An expression that is true or false.
    fn flag(&mut self, town: &Town, depth: usize) -> String {
        let Some(less) = depth.checked_sub(1) else { return self.leaf(town) };
        match self.below(14) {
            0 => format!("!({})", self.flag(town, less)),
            1 | 2 => format!("(({}) && ({}))", self.flag(town, less), self.flag(town, less)),
            3 => format!("(({}) || ({}))", self.flag(town, less), self.flag(town, less)),
            4 => format!(
                "(if {} then {} else {})",
                self.flag(town, less),
                self.flag(town, less),
                self.flag(town, less)
            ),
            5 => {
                let sign = self.pick(&["==", "!="]);
                format!("(({}) {sign} ({}))", self.flag(town, less), self.flag(town, less))
            }
            6 => format!("[{}].contains({})", self.flag(town, less), self.flag(town, less)),
            7 => {
                let (sign, sum) = (
                    self.pick(&["==", "<", "<="]),
                    self.pick(&["+ 1", "- 3", "* 4611686018427387904"]),
                );
                let (a, b) = (self.flag(town, less), self.flag(town, less));
                format!("(if {a} then 1 else 2) {sum} {sign} (if {b} then 3 else 2)")
            }
            _ => self.comparison(town, less),
        }
    }

    /// What role, status and relation to the account decide, combined.
    fn plain_flag(&mut self, town: &Town, depth: usize) -> String {
        let sign = self.pick(&["==", "!="]);
        let Some(less) = depth.checked_sub(1) else {
            return match self.below(8) {
                0 if town.role_text => format!("principal.role {sign} \"{}\"", self.pick(&ROLES)),
                0 => format!("principal.role {sign} ~Role::\"{}\"", self.pick(&ROLES)),
                1 if !town.account_text => "resource in principal.account".to_owned(),
                _ => self.pick(&PLAIN).to_owned(),
            };
        };
        let mut one = || self.plain_flag(town, less);
        let (a, b, c) = (one(), one(), one());
        match self.below(5) {
            0 => format!("!({a})"),
            1 => format!("({a}) && ({b})"),
            2 => format!("({a}) || ({b})"),
            3 => format!("({a}) {sign} ({b})"),
            _ => format!("if {a} then {b} else {c}"),
        }
    }

    fn leaf(&mut self, town: &Town) -> String {
        match self.below(15) {
            0..=6 => self.plain_flag(town, 0),
            7 | 8 => self.pick(&OTHER).to_owned(),
            9 if !town.role_text => self
                .pick(&[
                    "principal in resource.account",
                    "principal.account in resource.account",
                    "resource == principal.account",
                    "principal in principal.role",
                    "principal.role in ~Role::\"editor\"",
                    "resource in principal.role",
                ])
                .to_owned(),
            _ => self.comparison(town, 0),
        }
    }

    /// Two or three values of one sort, compared.
    fn comparison(&mut self, town: &Town, depth: usize) -> String {
        let sort = match (town.role_text, self.chance(70)) {
            (true, _) => Sort::Texts,
            (false, true) => Sort::Accounts,
            (false, false) => Sort::Roles,
        };
        let mut one = || self.name(town, &sort, depth);
        let (a, b, c) = (one(), one(), one());
        match self.below(if town.role_text { 10 } else { 9 }) {
            0 => format!("{a} == {b}"),
            1 => format!("{a} != {b}"),
            2 => format!("[{a}] == [{b}]"),
            3 => format!("[{a}, {b}] != [{c}]"),
            4 => format!("[{a}, {b}].contains({c})"),
            5 => format!("[{a}].containsAll([{b}, {c}])"),
            6 => format!("[{a}].containsAny([{b}, {c}])"),
            7 => format!("{{x: {a}, y: {b}}} == {{x: {c}, y: {b}}}"),
            8 => format!("[[{a}], [{b}]].contains([{c}])"),
            _ => format!("{a} like \"*{}*\"", self.pick(&["e", "ed", "view", "acme"])),
        }
    }

    /// An expression of one sort.
    fn name(&mut self, town: &Town, sort: &Sort, depth: usize) -> String {
        if let Some(less) = depth.checked_sub(1)
            && self.chance(25)
        {
            let a = self.name(town, sort, less);
            return match self.below(3) {
                0 => format!("{{x: {a}}}.x"),
                1 => format!("{{x: {{y: {a}}}}}[\"x\"].y"),
                _ => {
                    let b = self.name(town, sort, less);
                    format!("(if {} then {a} else {b})", self.flag(town, less))
                }
            };
        }
        match sort {
            Sort::Texts => {
                let literal = format!("\"{}\"", self.pick(&ACCOUNTS_LIKE_ROLES));
                self.pick(&[
                    "principal.role",
                    "principal.role",
                    "principal.account",
                    "principal.account",
                    "resource.account",
                    &literal,
                ])
                .to_owned()
            }
            Sort::Accounts => {
                let literal = format!("~Account::\"{}\"", self.pick(&ACCOUNTS_LIKE_ROLES));
                self.pick(&["principal.account", "resource.account", &literal]).to_owned()
            }
            Sort::Roles => {
                let literal = format!("~Role::\"{}\"", self.pick(&ROLES));
                self.pick(&["principal.role", &literal]).to_owned()
            }
        }
    }
}
