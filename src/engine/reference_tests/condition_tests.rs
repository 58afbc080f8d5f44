//! A property test of single policies: what a compiled one says is what Cedar says of it, on the entities
//! that it would be given.
//!
//! Conditions are drawn without regard to types, and policies do not pass the validator, so that operands
//! of a wrong type, missing attributes and overflows are usual. Whatever a caller says may lack anything.

use std::borrow::Cow;
use std::collections::HashMap;

use cedar_policy::{Authorizer, Decision, Policy, PolicyId, PolicySet};

use super::generated_teams::Dice;
use super::{CASES, SEED, chosen};
use crate::domain::access_query::Record;
use crate::domain::{EntityRef, MemberTexts, MemberView, Query, Timestamp, Value};
use crate::engine::Members;
use crate::engine::compiled_condition::{CompiledPolicy, Compiler, PolicySyntax};
use crate::engine::compiled_condition_inputs::{MemberQuery, QueryFacts, Stop};
use crate::engine::compiled_decision::OperandEvaluation;
use crate::engine::entity_builder::{BuiltAttributes, EntityBuilder, Principal, ResolvedQuery};
use crate::engine::left_to_cedar::{CedarOperand, NotCompiled};
use crate::engine::policy_scope::PolicyScope;
use crate::engine::schema::read_schema;
use crate::engine::schema_conformity::Conformity;
use crate::engine::schema_facts::SchemaFacts;
use crate::engine::schema_names::Symbols;
use crate::engine::static_entities::StaticEntities;

const SCHEMA: &str = r#"
    entity Region in [Region];
    entity Account in [Region, Account] { limit?: Long };
    entity Role in [Role] { rank?: Long };
    entity Robot { owner?: User };
    entity User in [Role, Account] {
        account: Account, role: String, active: Bool, email: String, two_step: Bool, joined: Long,
        nickname?: String, level?: Long, boss?: User, since?: datetime,
    };
    entity Paper in [Account] {
        account?: Account, owner?: User, n?: Long, "a.b \"c\""?: Long, title?: String, open?: Bool, labels?: Set<String>,
        numbers?: Set<Long>, editors?: Set<User>, reviewers?: Role,
        meta?: { level: Long, note?: String, inner?: { flag: Bool } }, expires?: datetime,
        days?: Set<datetime>,
    };
    entity Chart { account: String, n: Long };
    action manage;
    action look in [manage] appliesTo {
        principal: User, resource: [Paper, Chart, Account, Role, User],
        context: {
            n?: Long, who?: User, place?: Account, late?: Bool, list?: Set<Long>, now?: datetime,
            action?: { force: Bool, k?: Long },
        },
    };
    action mark appliesTo { principal: User, resource: [Paper, Chart] };
"#;
const STORED: &str = r#"[
    {"uid": {"type": "Account", "id": "globex"}, "attrs": {"limit": 3}, "parents": [{"type": "Region", "id": "eu"}]},
    {"uid": {"type": "Account", "id": "initech"}, "attrs": {}, "parents": [{"type": "Account", "id": "acme"}]},
    {"uid": {"type": "Role", "id": "editor"}, "attrs": {}, "parents": [{"type": "Role", "id": "staff"}]},
    {"uid": {"type": "Robot", "id": "r"}, "attrs": {"owner": {"__entity": {"type": "User", "id": "m2"}}}, "parents": []},
    {"uid": {"type": "Paper", "id": "p3"}, "attrs": {"n": 2}, "parents": [{"type": "Account", "id": "globex"}]}
]"#;

const ACCOUNTS: [&str; 3] = ["acme", "globex", "initech"];
const MEMBERS: [&str; 3] = ["m1", "m2", "m3"];
const NUMBERS: [i64; 9] = [0, 0, 1, 1, 2, 3, -1, i64::MAX, i64::MIN];
const TEXTS: [&str; 5] = ["a", "b", "acme", "editor", "m1@example.org"];
const PATTERNS: [&str; 8] = ["*", "", "a*", "*@example.org", "m*@*.org", "*e*i*", "a\\*", "acme"];
const QUERIES_OF_A_POLICY: usize = 8;

const FLAGS: [&str; 24] = [
    "true",
    "false",
    "principal.active",
    "principal.two_step",
    "resource.open",
    "context.late",
    "context.action.force",
    "resource.meta.inner.flag",
    "principal has nickname",
    "principal has email",
    "resource has owner",
    "resource has meta.inner.flag",
    "context has action.k",
    "resource has account",
    "resource has nothing",
    "context has n",
    "action == Action::\"look\"",
    "action != Action::\"look\"",
    "action in [Action::\"manage\", Action::\"mark\"]",
    "resource in principal.account",
    "resource.account == principal.account",
    "principal is User",
    "resource is Paper in Account::\"globex\"",
    "principal is User in [Role::\"staff\"]",
];
const DATES: [&str; 4] =
    ["2026-01-31", "2026-01-31T00:00:00Z", "2026-01-31T00:00:00.001Z", "1969-12-31T23:59:59.999Z"];
const MOMENTS: [&str; 9] = [
    "principal.joined",
    "principal.since",
    "resource.expires",
    "resource.expires",
    "context.now",
    "context.now",
    "datetime(\"2026-01-31\")",
    "datetime(\"2026-01-31T00:00:00.001Z\")",
    "datetime(\"2026-01-31T01:00:00+0100\")",
];
const LONGS: [&str; 10] = [
    "resource[\"a.b \\\"c\\\"\"]",
    "resource.n",
    "resource.n",
    "context.n",
    "context.n",
    "resource.meta.level",
    "principal.joined",
    "principal.level",
    "context.action.k",
    "resource.nothing",
];
const STRINGS: [&str; 6] = [
    "principal.email",
    "principal.role",
    "principal.nickname",
    "resource.title",
    "resource.meta.note",
    "resource.account",
];
const ENTITIES: [&str; 17] = [
    "principal",
    "principal",
    "resource",
    "resource",
    "principal.account",
    "principal.boss",
    "resource.account",
    "resource.owner",
    "resource.reviewers",
    "context.who",
    "context.place",
    "User::\"m1\"",
    "Account::\"acme\"",
    "Region::\"eu\"",
    "Role::\"staff\"",
    "Role::\"editor\"",
    "Paper::\"p1\"",
];
const SETS: [&str; 6] = [
    "resource.labels",
    "resource.numbers",
    "resource.editors",
    "resource.days",
    "context.list",
    "resource.meta",
];

/// Booleans that are left to Cedar: extension types, sets and records as values, other entities.
const NOT_COMPILED: [&str; 25] = [
    "ip(\"127.0.0.1\").isLoopback()",
    "decimal(\"1.0\").lessThan(decimal(\"2.0\"))",
    "ip(resource.title).isIpv4()",
    "resource.numbers == [1, 2]",
    "resource.labels.isEmpty()",
    "{ n: resource.n }.n == 1",
    "[resource has n].containsAny([true])",
    "[resource has meta.inner.flag].containsAny([true])",
    "[resource has \"a.b \\\"c\\\"\", resource[\"a.b \\\"c\\\"\"] == 1] == [true]",
    "[resource.n != context.n, resource.n > 1] == [true]",
    "[resource.n >= context.n].containsAll([principal.joined > 0])",
    "[resource is Paper in Account::\"globex\"] == [true]",
    "{ o: resource.owner }.o.active",
    "{ o: principal.boss }.o has level",
    "{ one: principal has nickname, other: context has n } == { one: true, other: true }",
    "{ \"Var\": resource.n, \".\": context.n } == { \"Var\": 1, \".\": 1 }",
    "{ nested: resource.meta.inner }.nested.flag",
    "resource.hasTag(\"t\")",
    "resource.owner.active",
    "resource.owner has level",
    "context.who.account == principal.account",
    "principal.boss in Role::\"staff\" && principal.boss.active",
    "[resource.owner, principal.boss].containsAny([principal])",
    "[action].contains(action)",
    "principal.account.limit > 1",
];

/// What an expression is meant to be.
#[derive(Clone, Copy)]
enum Sort {
    Flag,
    Long,
    Text,
    Moment,
    Entity,
}

impl Dice {
    /// An expression that is usually of this sort.
    fn expression(&mut self, sort: Sort, depth: usize) -> String {
        let sorts = [Sort::Flag, Sort::Long, Sort::Text, Sort::Moment, Sort::Entity];
        let sort = if self.chance(5) { self.pick(&sorts) } else { sort };
        let Some(less) = depth.checked_sub(1) else { return self.atom(sort) };
        if self.chance(8) {
            let test = self.expression(Sort::Flag, less);
            let (one, other) = (self.expression(sort, less), self.expression(sort, less));
            return format!("(if {test} then {one} else {other})");
        }
        match sort {
            Sort::Flag => self.test(less),
            Sort::Long if self.chance(60) => {
                let (one, other) = (self.expression(sort, less), self.expression(sort, less));
                match self.below(4) {
                    0 => format!("(-({one}))"),
                    1 => format!("({one} + {other})"),
                    2 => format!("({one} - {other})"),
                    _ => format!("({one} * {other})"),
                }
            }
            _ => self.atom(sort),
        }
    }

    fn atom(&mut self, sort: Sort) -> String {
        match sort {
            Sort::Flag => format!("({})", self.pick(&FLAGS)),
            Sort::Long if self.chance(40) => format!("({})", self.pick(&NUMBERS)),
            Sort::Long => self.pick(&LONGS).to_owned(),
            Sort::Text if self.chance(40) => format!("\"{}\"", self.pick(&TEXTS)),
            Sort::Text => self.pick(&STRINGS).to_owned(),
            Sort::Moment => self.pick(&MOMENTS).to_owned(),
            Sort::Entity => self.pick(&ENTITIES).to_owned(),
        }
    }

    fn set(&mut self, sort: Sort, depth: usize) -> String {
        if self.chance(40) {
            return self.pick(&SETS).to_owned();
        }
        let items: Vec<String> =
            (0..self.below(4)).map(|_| self.expression(sort, depth.min(1))).collect();
        format!("[{}]", items.join(", "))
    }

    fn test(&mut self, depth: usize) -> String {
        let sorts = [
            Sort::Flag,
            Sort::Long,
            Sort::Long,
            Sort::Text,
            Sort::Moment,
            Sort::Entity,
            Sort::Entity,
        ];
        let sort = self.pick(&sorts);
        match self.below(16) {
            0 => self.atom(Sort::Flag),
            1 => format!("(!({}))", self.expression(Sort::Flag, depth)),
            2..=5 => {
                let sign = self.pick(&["&&", "||"]);
                let count = if self.chance(3) { 40 } else { 2 + self.below(3) };
                let depth = if count > 4 { 0 } else { depth };
                let row: Vec<String> =
                    (0..count).map(|_| self.expression(Sort::Flag, depth)).collect();
                format!("({})", row.join(&format!(" {sign} ")))
            }
            6 | 7 => {
                let (one, other) = (self.expression(sort, depth), self.expression(sort, depth));
                format!("({one} {} {other})", self.pick(&["==", "!="]))
            }
            8 | 9 => {
                let sort = self.pick(&[Sort::Long, Sort::Long, Sort::Moment]);
                let mut one = || self.expression(sort, depth);
                let (one, other) = (one(), one());
                format!("({one} {} {other})", self.pick(&["<", "<=", ">", ">="]))
            }
            10 => {
                let one = self.expression(Sort::Entity, depth);
                let other = self.expression(Sort::Entity, depth);
                format!("({one} in {other})")
            }
            11 => {
                let one = self.expression(Sort::Entity, depth);
                format!("({one} in {})", self.set(Sort::Entity, depth))
            }
            12 => {
                let text = self.expression(Sort::Text, depth);
                format!("({text} like \"{}\")", self.pick(&PATTERNS))
            }
            13 => format!("({})", self.pick(&NOT_COMPILED)),
            14 => {
                let (one, other) = (self.set(sort, depth), self.set(sort, depth));
                format!("({one}.{}({other}))", self.pick(&["containsAny", "containsAll"]))
            }
            _ => {
                let set = self.set(sort, depth);
                format!("({set}.contains({}))", self.expression(sort, depth))
            }
        }
    }

    fn policy_text(&mut self) -> String {
        let principal = self.pick(&[
            "principal",
            "principal",
            "principal",
            "principal",
            "principal",
            "principal",
            "principal == User::\"m1\"",
            "principal is User",
            "principal in Role::\"staff\"",
            "principal is User in Account::\"acme\"",
        ]);
        let action = self.pick(&[
            "action",
            "action",
            "action",
            "action",
            "action",
            "action == Action::\"look\"",
            "action in Action::\"manage\"",
            "action == Action::\"manage\"",
            "action in [Action::\"mark\", Action::\"manage\"]",
        ]);
        let resource = self.pick(&[
            "resource",
            "resource",
            "resource",
            "resource",
            "resource",
            "resource",
            "resource is Paper",
            "resource == Paper::\"p1\"",
            "resource in Account::\"acme\"",
            "resource is Paper in Region::\"eu\"",
        ]);
        let mut text = format!("permit ({principal}, {action}, {resource})");
        for _ in 0..1 + self.below(2) {
            let word = self.pick(&["when", "unless"]);
            let depth = self.below(5);
            text.push_str(&format!(" {word} {{ {} }}", self.expression(Sort::Flag, depth)));
        }
        text + ";"
    }

    /// A value for a declared type, by its first letter; seldom one that does not conform.
    fn value_for(&mut self, kind: char) -> Value<'static> {
        let text = |text: &'static str| Value::String(Cow::Borrowed(text));
        if self.below(300) == 0 {
            return self.pick_value(&[Value::Null, text("x"), Value::Double(0.5), Value::Long(1)]);
        }
        match kind {
            'b' => Value::Bool(self.chance(50)),
            'l' => Value::Long(self.pick(&NUMBERS)),
            't' => text(self.pick(&TEXTS)),
            // Read by Cedar alone.
            'd' if self.chance(2) => text("2026-01-31T01:00:00+0100"),
            'd' => text(self.pick(&DATES)),
            'D' => Value::List((0..self.below(4)).map(|_| self.value_for('d')).collect()),
            'T' => Value::List((0..self.below(4)).map(|_| text(self.pick(&TEXTS))).collect()),
            'L' => Value::List((0..self.below(4)).map(|_| self.value_for('l')).collect()),
            'U' => Value::List((0..self.below(3)).map(|_| self.value_for('u')).collect()),
            'u' => {
                let id = self.pick(&["m1", "m2", "m3", "nobody"]);
                self.entity("User", id)
            }
            'a' => {
                let id = self.pick(&ACCOUNTS);
                self.entity("Account", id)
            }
            _ => {
                let id = self.pick(&["editor", "staff"]);
                self.entity("Role", id)
            }
        }
    }

    fn pick_value(&mut self, from: &[Value<'static>]) -> Value<'static> {
        from[self.below(from.len())].clone()
    }

    fn entity(&mut self, kind: &'static str, id: &'static str) -> Value<'static> {
        let text = |text| Value::String(Cow::Borrowed(text));
        if self.chance(60) {
            return text(id);
        }
        let record = vec![("type".into(), text(kind)), ("id".into(), text(id))];
        if self.chance(50) {
            Value::Record(record)
        } else {
            Value::Record(vec![("__entity".into(), Value::Record(record))])
        }
    }

    /// Some of these attributes, by name and kind.
    fn record(&mut self, attributes: &[(&'static str, char)]) -> Record<'static> {
        let mut record = Record::new();
        for (name, kind) in attributes {
            if self.chance(70) {
                record.push((Cow::Borrowed(name), self.value_for(*kind)));
            }
        }
        record
    }
}

/// One query with all that it says.
#[derive(Debug)]
struct Asked {
    member: &'static str,
    subject: Record<'static>,
    action: &'static str,
    action_properties: Record<'static>,
    resource: (&'static str, &'static str),
    properties: Record<'static>,
    context: Record<'static>,
    single_account: Option<&'static str>,
}

impl Asked {
    fn drawn(dice: &mut Dice) -> Self {
        let kinds = [
            "Paper", "Paper", "Paper", "Paper", "Paper", "Paper", "Chart", "Account", "Role",
            "User",
        ];
        let kind = dice.pick(&kinds);
        let id = match kind {
            "Account" => dice.pick(&ACCOUNTS),
            "Role" => dice.pick(&["editor", "staff", "viewer"]),
            "User" => dice.pick(&MEMBERS),
            _ => dice.pick(&["p1", "p2", "p3"]),
        };
        let mut properties = dice.record(&[
            ("account", if kind == "Chart" { 't' } else { 'a' }),
            ("owner", 'u'),
            ("n", 'l'),
            ("a.b \"c\"", 'l'),
            ("title", 't'),
            ("open", 'b'),
            ("labels", 'T'),
            ("numbers", 'L'),
            ("editors", 'U'),
            ("reviewers", 'r'),
            ("expires", 'd'),
            ("days", 'D'),
        ]);
        if dice.chance(60) {
            let mut meta = vec![("level".into(), dice.value_for('l'))];
            meta.extend(dice.record(&[("note", 't')]));
            if dice.chance(60) {
                let flag = dice.value_for('b');
                meta.push(("inner".into(), Value::Record(vec![("flag".into(), flag)])));
            }
            properties.push(("meta".into(), Value::Record(meta)));
        }
        let mut action_properties = Record::new();
        if dice.chance(40) {
            action_properties.push(("force".into(), dice.value_for('b')));
            action_properties.extend(dice.record(&[("k", 'l')]));
        }
        Self {
            member: dice.pick(&MEMBERS),
            subject: dice.record(&[
                ("nickname", 't'),
                ("level", 'l'),
                ("boss", 'u'),
                ("since", 'd'),
            ]),
            action: dice.pick(&["look", "look", "mark"]),
            action_properties,
            resource: (kind, id),
            properties,
            context: dice.record(&[
                ("n", 'l'),
                ("who", 'u'),
                ("place", 'a'),
                ("late", 'b'),
                ("list", 'L'),
                ("now", 'd'),
            ]),
            single_account: dice.chance(20).then_some("acme"),
        }
    }

    fn query(&self) -> Query<'_> {
        let (kind, id) = self.resource;
        Query {
            subject: EntityRef { kind: "User", id: self.member, properties: &self.subject },
            action: self.action,
            action_properties: &self.action_properties,
            resource: EntityRef { kind, id, properties: &self.properties },
            context: &self.context,
        }
    }
}

struct Team(HashMap<&'static str, (&'static str, &'static str, bool)>);

impl Members for Team {
    fn with<R>(&self, id: &str, read: impl FnOnce(MemberView<'_>) -> R) -> Option<R> {
        let (account, role, active) = *self.0.get(id)?;
        let email = format!("{id}@example.org");
        let texts = MemberTexts::Apart { email_key: &email, first_name: "A", last_name: "B" };
        let joined = Timestamp(1_700_000_000_000);
        Some(read(MemberView { id, account, role, active, texts, two_step: !active, joined }))
    }
}

/// What one policy says to one query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Applies,
    DoesNot,
    Errs,
}

/// What both sides share.
struct World {
    names: Symbols,
    stored: StaticEntities,
    conformity: Conformity,
    team: Team,
}

impl World {
    fn new(schema: &str, entities: &str) -> Self {
        let (schema, names) = read_schema(schema, &mut Vec::new(), &mut Vec::new()).unwrap();
        let stored = StaticEntities::read(entities, &schema, &names).unwrap();
        let team = [
            ("m1", ("acme", "editor", true)),
            ("m2", ("globex", "viewer", true)),
            ("m3", ("initech", "staff", false)),
        ];
        let conformity = Conformity::new(&names);
        Self { names, stored, conformity, team: Team(team.into()) }
    }

    fn compile(&self, policy: &Policy) -> Result<CompiledPolicy, NotCompiled> {
        let (scope, json) = (PolicyScope::of(policy), policy.to_json().unwrap());
        let syntax = PolicySyntax { policy, scope: &scope, json: &json };
        Compiler::new(&self.names).compile(&syntax)
    }

    /// What Cedar says of the policy, and what its compiled form says; `None` where there is nothing to
    /// evaluate or nothing certain.
    fn ask(
        &self,
        policy: &Policy,
        compiled: &CompiledPolicy,
        asked: &Asked,
    ) -> (Option<Said>, Option<Result<bool, Stop>>) {
        let query = asked.query();
        let names = &self.names;
        let action = &names.actions[names.action_index(query.action).unwrap()];
        let resource_type = names.type_index(query.resource.kind).unwrap();
        let default_account = asked.single_account;
        let both = self.team.with(query.subject.id, |member| {
            let case = ResolvedQuery {
                principal: Principal::Member(member),
                query: &query,
                action,
                resource_type,
                default_account,
                moved_to: None,
            };
            let gatherer = EntityBuilder {
                names,
                stored: &self.stored,
                members: &self.team,
                attributes: BuiltAttributes::Read,
            };
            let by_cedar = gatherer.gather(&case).ok().map(|gathered| {
                let set = PolicySet::from_policies([policy.clone()]).unwrap();
                let answer =
                    Authorizer::new().is_authorized(&gathered.request, &set, &gathered.entities);
                match answer.decision() {
                    Decision::Allow => Said::Applies,
                    Decision::Deny if answer.diagnostics().errors().count() > 0 => Said::Errs,
                    Decision::Deny => Said::DoesNot,
                }
            });
            let facts = SchemaFacts { names, stored: &self.stored, conformity: &self.conformity };
            let asked =
                MemberQuery { member, query: &query, action, resource_type, default_account };
            let operands = OperandEvaluation::new(facts, &self.team, &case);
            let evaluate = |operand: &CedarOperand| operands.evaluate(operand);
            let facts = QueryFacts::read(facts, asked);
            (by_cedar, facts.map(|facts| compiled.matches(&facts.with_cedar(&evaluate))))
        });
        both.unwrap()
    }
}

#[derive(Debug, Default)]
struct Mix {
    answered: usize,
    applies: usize,
    errs: usize,
    left_to_cedar: usize,
    no_facts: usize,
    compiled: usize,
    not_compiled: usize,
    /// Policies of which a part is not compiled.
    with_operands: usize,
}

fn run(seed: u64, cases: usize) -> Result<Mix, String> {
    let with_dates = SCHEMA.replace("joined: Long", "joined: datetime");
    let worlds = [World::new(SCHEMA, "[]"), World::new(&with_dates, STORED)];
    let (mut mix, mut dice) = (Mix::default(), Dice::new(seed));
    while mix.answered < cases {
        let text = dice.policy_text();
        let policy = Policy::parse(Some(PolicyId::new("p")), &text);
        let policy = policy.map_err(|fault| format!("{text}: {fault}"))?;
        let world = &worlds[dice.below(worlds.len())];
        let Ok(compiled) = world.compile(&policy) else {
            mix.not_compiled += 1;
            continue;
        };
        mix.compiled += 1;
        mix.with_operands += usize::from(compiled.left_to_cedar().next().is_some());
        for _ in 0..QUERIES_OF_A_POLICY {
            let asked = Asked::drawn(&mut dice);
            let (by_cedar, found) = world.ask(&policy, &compiled, &asked);
            let said = match found {
                None => {
                    mix.no_facts += 1;
                    continue;
                }
                Some(Err(Stop::CedarDecides)) => {
                    mix.left_to_cedar += 1;
                    continue;
                }
                Some(Err(Stop::Errs)) => Said::Errs,
                Some(Ok(true)) => Said::Applies,
                Some(Ok(false)) => Said::DoesNot,
            };
            if by_cedar != Some(said) {
                return Err(format!("{text}\n{asked:#?}\nCedar: {by_cedar:?}, compiled: {said:?}"));
            }
            mix.answered += 1;
            mix.applies += usize::from(said == Said::Applies);
            mix.errs += usize::from(said == Said::Errs);
        }
    }
    Ok(mix)
}

#[test]
fn a_compiled_policy_says_what_cedar_says() {
    let seed = chosen("ORACLE_SEED").unwrap_or(SEED);
    println!("ORACLE_SEED={seed}");
    let mix = run(seed, chosen("ORACLE_CASES").unwrap_or(CASES))
        .unwrap_or_else(|difference| panic!("{difference}"));
    println!("{mix:#?}");
    if mix.answered >= 5_000 {
        let percent = |part: usize| part * 100 / mix.answered;
        assert!(percent(mix.applies) >= 6 && percent(mix.errs) >= 15, "{mix:#?}");
        assert!(percent(mix.left_to_cedar) <= 25, "{mix:#?}");
        assert!(mix.compiled > 9 * mix.not_compiled, "{mix:#?}");
        assert!(mix.with_operands * 10 > mix.compiled, "{mix:#?}");
    }
}

/// One more level, one more operator: left to Cedar, and a row is one level.
#[test]
fn the_compiled_form_is_bounded() {
    let world = World::new(SCHEMA, "[]");
    let compiled = |condition: &str| {
        let text = format!("permit (principal, action, resource) when {{ {condition} }};");
        world.compile(&Policy::parse(None, text).unwrap()).map(|_| ())
    };
    let nested =
        |levels: usize| format!("{}true{}", "true == (".repeat(levels), ")".repeat(levels));
    assert_eq!(compiled(&nested(31)), Ok(()));
    assert_eq!(compiled(&nested(32)), Err(NotCompiled::TooLarge));
    assert_eq!(compiled(&vec!["true"; 255].join(" && ")), Ok(()));
    assert_eq!(compiled(&vec!["true"; 256].join(" && ")), Err(NotCompiled::TooLarge));
    let set = |count: usize| format!("[{}].contains(1)", vec!["1"; count].join(", "));
    assert_eq!(compiled(&set(253)), Ok(()));
    assert_eq!(compiled(&set(254)), Err(NotCompiled::TooLarge));
    let actions = vec!["Action::\"look\""; 257].join(", ");
    assert_eq!(compiled(&format!("action in [{actions}]")), Err(NotCompiled::TooLarge));
}

/// Neighbours that are left to Cedar are one operand, whatever stands around them is compiled.
#[test]
fn only_the_operands_that_need_cedar_are_left_to_it() {
    let world = World::new(SCHEMA, "[]");
    let operands = |condition: &str| {
        let text = format!("permit (principal, action, resource) when {{ {condition} }};");
        let compiled = world.compile(&Policy::parse(None, text).unwrap()).unwrap();
        compiled.left_to_cedar().map(|operand| operand.needs_entities).collect::<Vec<_>>()
    };
    let (set, follows) = ("[1].containsAny([resource.n])", "resource.owner.active");
    assert!(operands("principal.active").is_empty());
    assert_eq!(operands(set), [false]);
    assert_eq!(operands(&format!("principal.active && {set} && !({set})")), [false, false]);
    assert_eq!(operands(&format!("{set} && {set} && principal.active && {set}")), [false, false]);
    assert_eq!(operands(&format!("{set} && {set} && {follows}")), [true]);
    assert_eq!(operands(&format!("({set} && {set}) || {set}")), [false, false]);
    assert_eq!(operands(&format!("(!({set}) && {set}) || {follows}")), [false, false, true]);
    assert_eq!(operands(&format!("if {set} then principal.active else false")), [false]);
    assert_eq!(operands(&format!("if true then {set} else false")), [false]);
    assert_eq!(operands("[1].containsAny([1]) && principal in resource.owner"), [false]);
    assert_eq!(operands("[principal in resource.owner].containsAny([true])"), [true]);
    assert_eq!(operands("[context] == [context]"), [true]);
    assert_eq!(operands("resource.hasTag(\"t\") && [1].containsAny([1])"), [true]);
    assert_eq!(operands("[(if true then principal else principal).active] == []"), [true]);
    assert_eq!(operands("[resource is Paper in Account::\"a\"].containsAny([true])"), [true]);
    for condition in [
        "[resource has n].containsAny([true])",
        "[resource has meta.inner.flag].containsAny([true])",
        "[resource[\"a.b \\\"c\\\"\"] != 1].containsAny([true])",
        "[resource.n > 1, resource.n >= 2].containsAny([true])",
    ] {
        assert_eq!(operands(condition), [false], "{condition}");
    }
}

#[test]
fn what_is_not_compiled_says_why() {
    let world = World::new(SCHEMA, "[]");
    for (condition, why) in [
        ("[1].containsAny([1])", "it uses `containsAny`"),
        ("[] == []", "it uses a set that is not on the right of `in` or the left of `contains`"),
        ("{a: 1}.a == 1", "it uses a record literal"),
        ("ip(\"127.0.0.1\").isLoopback()", "it uses `isLoopback`"),
        ("resource.hasTag(\"t\")", "it uses `hasTag`"),
        ("[action].contains(action)", "it uses `action` as a value"),
        ("action == principal", "it uses `action` beside no action"),
        ("principal == Action::\"look\"", "it uses an action as a value"),
        ("resource.owner.active", "it reads an attribute of an entity that an attribute names"),
        (
            "principal has account.limit",
            "it reads an attribute of an entity that an attribute names",
        ),
    ] {
        let text = format!("forbid (principal, action, resource) when {{ {condition} }};");
        let compiled = world.compile(&Policy::parse(None, text).unwrap()).unwrap();
        let told: Vec<String> =
            compiled.left_to_cedar().map(|operand| operand.why.to_string()).collect();
        assert_eq!(told, [why], "{condition}");
    }
}
