//! The expanded size of a schema and of the stored entities, computed before Cedar expands them.
//!
//! Forty short lines can expand to a thousand million attributes, and a thousand to a type that
//! nests a thousand levels deep. Does not validate: whatever is invalid, such as an undeclared
//! name, counts as little and is reported by Cedar.

use std::collections::HashMap;

use serde_json::Value as Json;

use super::attribute_types::{at, candidates, members};

/// Levels of nested types.
const LEVELS_MAX: usize = 64;
/// Attributes and element types of all declarations, with those of the types that they name.
const NODES_MAX: usize = 500_000;
/// Bytes of declarations with many names, each with its own copy.
const COPIES_MAX: usize = 16 << 20;
/// Steps from types or actions to their groups, direct and indirect.
const GROUP_STEPS_MAX: usize = 200_000;
/// The same for stored entities, of which there may be more.
const PARENT_STEPS_MAX: usize = 1_000_000;
/// Kinds of queries: declared combinations of principal type, action and resource type.
const QUESTIONS_MAX: usize = 100_000;
/// The same, declared or not: each takes four bytes.
const CELLS_MAX: usize = 64_000_000;

/// What exceeds a limit, and its position in bytes.
#[derive(Debug)]
pub(super) struct SizeExcess {
    pub(super) at: Option<(usize, usize)>,
    pub(super) why: String,
}

impl SizeExcess {
    /// At the first place that declares or names something.
    fn of(text: &str, keyword: &str, name: &str, why: String) -> Self {
        Self { at: find(text, keyword, name), why }
    }
}

/// A schema's text, before it is parsed: `entity A, B, C { ... }` is copied for each name.
pub(super) fn of_copies(text: &str) -> Result<(), SizeExcess> {
    let (mut start, mut names, mut head, mut sum) = (0, 1_usize, true, 0_usize);
    let (mut quoted, mut escaped, mut comment, mut last) = (false, false, false, b' ');
    for (index, byte) in text.bytes().enumerate() {
        if comment {
            comment = !matches!(byte, b'\n' | b'\r');
        } else if quoted {
            quoted = escaped || byte != b'"';
            escaped = byte == b'\\' && !escaped;
        } else {
            match byte {
                b'"' => quoted = true,
                b'/' if last == b'/' => comment = true,
                b',' if head => names += 1,
                b'{' | b'=' | b'[' => head = false,
                b';' => {
                    let copies = names.saturating_sub(1).saturating_mul(index - start);
                    sum = sum.saturating_add(copies);
                    if sum > COPIES_MAX {
                        let why = format!(
                            "declares {names} names at once, each with a copy of what follows: declare that once as a `type` and name it"
                        );
                        return Err(SizeExcess { at: Some((first_word(text, start), 1)), why });
                    }
                    (start, names, head) = (index + 1, 1, true);
                }
                _ => {}
            }
        }
        last = byte;
    }
    Ok(())
}

fn first_word(text: &str, start: usize) -> usize {
    let rest = text.get(start..).unwrap_or_default();
    start + (rest.len() - rest.trim_start().len())
}

/// A schema in Cedar's JSON form; `text` is its source.
pub(super) fn of_schema(schema: &Json, text: &str) -> Result<(), SizeExcess> {
    let mut sizes = TypeSizes { schema, known: HashMap::new(), nodes: 0 };
    let (mut questions, mut types, mut actions) = (0_usize, 0_usize, 0_usize);
    for (namespace, body) in members(schema) {
        for (name, _) in members(at(body, "commonTypes")) {
            let measured = sizes.named(namespace, name, 1).and_then(|size| sizes.add(size));
            measured.map_err(|why| SizeExcess::of(text, "type", name, why))?;
        }
        for (keyword, list, parts) in [
            ("entity", "entityTypes", &["shape", "tags"][..]),
            ("action", "actions", &["appliesTo"]),
        ] {
            for (name, declared) in members(at(body, list)) {
                for part in parts {
                    let part = at(declared, part);
                    let context = at(part, "context");
                    let kind = if context.is_null() { part } else { context };
                    let measured = sizes.of(namespace, kind, 1).and_then(|size| sizes.add(size));
                    measured.map_err(|why| SizeExcess::of(text, keyword, name, why))?;
                }
            }
        }
        types += at(body, "entityTypes").as_object().map_or(0, serde_json::Map::len);
        for (name, action) in members(at(body, "actions")) {
            actions += 1;
            let count = |of| at(at(action, "appliesTo"), of).as_array().map_or(0, Vec::len);
            questions += count("principalTypes").saturating_mul(count("resourceTypes"));
            if questions > QUESTIONS_MAX {
                let why = format!(
                    "more than {QUESTIONS_MAX} kinds of requests (principal, action, resource) with this action: let actions apply to fewer types"
                );
                return Err(SizeExcess::of(text, "action", name, why));
            }
        }
    }
    if types.saturating_mul(types).saturating_mul(actions) > CELLS_MAX {
        let why = format!(
            "{types} entity types and {actions} actions are more than can be kept together: use fewer"
        );
        return Err(SizeExcess { at: None, why });
    }
    of_groups(schema, text)
}

#[derive(Clone, Copy, Default)]
struct TypeSize {
    levels: usize,
    nodes: usize,
}

struct TypeSizes<'s> {
    schema: &'s Json,
    /// The size of each common type, by namespace and name; none while it is being computed.
    known: HashMap<(String, String), TypeSize>,
    nodes: usize,
}

impl TypeSizes<'_> {
    /// Adds a declaration, with the types that it names: those are copied into it.
    fn add(&mut self, size: TypeSize) -> Result<(), String> {
        self.nodes = self.nodes.saturating_add(size.nodes);
        if self.nodes > NODES_MAX {
            return Err(format!(
                "has more than {NODES_MAX} attributes, counting the types that it names and those before it: name fewer types, or smaller ones"
            ));
        }
        Ok(())
    }

    /// Computes the size of a type; `level` is its nesting depth.
    fn of(&mut self, namespace: &str, kind: &Json, level: usize) -> Result<TypeSize, String> {
        if level > LEVELS_MAX {
            return Err(too_deep());
        }
        let mut inner = TypeSize::default();
        let mut put = |size: TypeSize| {
            inner.levels = inner.levels.max(size.levels);
            inner.nodes = inner.nodes.saturating_add(size.nodes);
        };
        match at(kind, "type").as_str().unwrap_or_default() {
            "Set" => put(self.of(namespace, at(kind, "element"), level + 1)?),
            "Record" => {
                for (_, attribute) in members(at(kind, "attributes")) {
                    put(self.of(namespace, attribute, level + 1)?);
                }
            }
            "EntityOrCommon" => {
                let name = at(kind, "name").as_str().unwrap_or_default();
                put(self.named(namespace, name, level + 1)?);
            }
            "Long" | "String" | "Boolean" | "Bool" | "Entity" | "Extension" => {}
            name => put(self.named(namespace, name, level + 1)?),
        }
        Ok(TypeSize { levels: inner.levels + 1, nodes: inner.nodes.saturating_add(1) })
    }

    /// Computes the size of a name: a common type, or something small.
    fn named(&mut self, namespace: &str, name: &str, level: usize) -> Result<TypeSize, String> {
        for (home, local) in candidates(namespace, name) {
            let schema = self.schema;
            let body = at(schema, home);
            let common = at(at(body, "commonTypes"), local);
            if common.is_null() {
                if at(at(body, "entityTypes"), local).is_null() {
                    continue;
                }
                return Ok(TypeSize::default());
            }
            let key = (home.to_owned(), local.to_owned());
            let size = match self.known.get(&key) {
                Some(size) => *size,
                None => {
                    // A type that is found again here is in a cycle, which Cedar reports.
                    self.known.insert(key.clone(), TypeSize::default());
                    let size = self.of(home, common, level)?;
                    self.known.insert(key, size);
                    size
                }
            };
            return if level + size.levels > LEVELS_MAX { Err(too_deep()) } else { Ok(size) };
        }
        Ok(TypeSize::default())
    }
}

fn too_deep() -> String {
    format!(
        "nests deeper than {LEVELS_MAX} levels through the types that it names: write it flatter"
    )
}

/// The groups of entity types and of actions.
fn of_groups(schema: &Json, text: &str) -> Result<(), SizeExcess> {
    for (list, groups, keyword) in
        [("entityTypes", "memberOfTypes", "entity"), ("actions", "memberOf", "action")]
    {
        let mut graph = GroupGraph::default();
        for (_, body) in members(schema) {
            for (name, declared) in members(at(body, list)) {
                let parents = at(declared, groups).as_array().into_iter().flatten();
                let parents = parents.filter_map(|parent| {
                    parent.as_str().or_else(|| at(parent, "id").as_str()).map(str::to_owned)
                });
                let last = |name: String| name.rsplit("::").next().map(str::to_owned);
                let parents = parents.filter_map(|name| match list {
                    "actions" => Some(name),
                    _ => last(name),
                });
                graph.add(name.clone(), parents.collect());
            }
        }
        if let Some(name) = graph.too_much(GROUP_STEPS_MAX) {
            let why = format!(
                "with this one, more than {GROUP_STEPS_MAX} steps lead to groups, and to their groups: nest groups less"
            );
            return Err(SizeExcess::of(text, keyword, &name, why));
        }
    }
    Ok(())
}

/// The text of `entities.json`.
pub(super) fn of_entities(text: &str) -> Result<(), SizeExcess> {
    // Invalid JSON is reported by Cedar.
    let Ok(Json::Array(entities)) = serde_json::from_str(text) else { return Ok(()) };
    let mut graph = GroupGraph::default();
    for entity in &entities {
        let Some(name) = uid(at(entity, "uid")) else { continue };
        let parents = at(entity, "parents").as_array().into_iter().flatten();
        graph.add(name, parents.filter_map(uid).collect());
    }
    match graph.too_much(PARENT_STEPS_MAX) {
        Some(name) => {
            let id = name.rsplit('\n').next().unwrap_or_default();
            let why = format!(
                "with `{}`, more than {PARENT_STEPS_MAX} steps lead to parents, and to their parents: nest groups less",
                id.escape_debug()
            );
            let quoted = serde_json::to_string(id).unwrap_or_default();
            Err(SizeExcess { at: text.find(&quoted).map(|at| (at, quoted.len())), why })
        }
        None => Ok(()),
    }
}

/// Type and id as one string.
fn uid(json: &Json) -> Option<String> {
    let inner = at(json, "__entity");
    let json = if inner.is_null() { json } else { inner };
    Some(format!("{}\n{}", at(json, "type").as_str()?, at(json, "id").as_str()?))
}

#[derive(Default)]
struct GroupGraph {
    nodes: Vec<(String, Vec<String>)>,
    /// By name: two of one name in two namespaces count as one group with the parents of both.
    index: HashMap<String, Vec<usize>>,
}

impl GroupGraph {
    fn add(&mut self, name: String, parents: Vec<String>) {
        self.index.entry(name.clone()).or_default().push(self.nodes.len());
        self.nodes.push((name, parents));
    }

    /// The node at which the steps from every node to all its groups exceed `most`.
    fn too_much(&self, most: usize) -> Option<String> {
        let mut steps = 0_usize;
        let mut seen = vec![usize::MAX; self.nodes.len()];
        for (start, (name, _)) in self.nodes.iter().enumerate() {
            let mut open = vec![start];
            while let Some(node) = open.pop() {
                let parents = self.nodes.get(node).map_or(&[][..], |(_, parents)| parents);
                for parent in parents {
                    steps += 1;
                    if steps > most {
                        return Some(name.clone());
                    }
                    for group in self.index.get(parent).into_iter().flatten() {
                        if let Some(seen) = seen.get_mut(*group).filter(|by| **by != start) {
                            *seen = start;
                            open.push(*group);
                        }
                    }
                }
            }
        }
        None
    }
}

/// The position of `name` as a word in the declaration that begins with the keyword; else its first
/// position as a word.
fn find(text: &str, keyword: &str, name: &str) -> Option<(usize, usize)> {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    let mut found = text.match_indices(name).filter(|(at, _)| {
        let before = text.get(..*at).and_then(|text| text.chars().next_back());
        let after = text.get(at + name.len()..).and_then(|text| text.chars().next());
        !before.is_some_and(part) && !after.is_some_and(part)
    });
    let first = found.next()?.0;
    let declares = |at: &usize| {
        let line = text.get(..*at).and_then(|text| text.rsplit(['\n', ';', '{', '}']).next());
        line.unwrap_or_default().trim_start().starts_with(keyword)
    };
    let declared = std::iter::once(first).chain(found.map(|(at, _)| at)).find(declares);
    Some((declared.unwrap_or(first), name.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::PolicyFiles;
    use crate::engine::Snapshot;

    const PEOPLE: &str = "entity Account; entity Role in [Role]; entity User in [Role, Account] { account: Account, role: String, active: Bool };\n";

    /// What the gate says to a schema, on the stack that it uses.
    fn told(more: &str) -> Vec<String> {
        told_with(more, "[]")
    }

    fn told_with(more: &str, entities: &str) -> Vec<String> {
        let role = "@id(\"r\") @role(\"r\") @title(\"t\") @summary(\"s\") @best_for(\"b\") \
            permit (principal in Role::\"r\", action, resource);";
        let files = [
            (SCHEMA, format!("{PEOPLE}{more}")),
            ("roles/r.cedar", role.to_owned()),
            ("entities.json", entities.to_owned()),
        ];
        let files = files.map(|(path, text)| (path.to_owned(), text.into_bytes()));
        let faults = Snapshot::load(&PolicyFiles::new(files.into()), &[]).err();
        faults.unwrap_or_default().iter().map(ToString::to_string).collect()
    }

    const SCHEMA: &str = "schema.cedarschema";
    const ASK: &str = "action look appliesTo { principal: User, resource: Account };\n";

    fn chain(length: usize) -> String {
        let more: String =
            (0..length).map(|n| format!("type T{n} = {{x: T{}}};\n", n + 1)).collect();
        format!("{more}type T{length} = Long;\n")
    }

    #[test]
    fn what_types_come_to_is_bounded_with_the_line_that_is_too_much() {
        let double = |levels: usize| -> String {
            let more =
                (1..levels).map(|n| format!("type T{n} = {{a: T{0}, b: Set<T{0}>}};\n", n - 1));
            format!("type T0 = Long;\n{}", more.collect::<String>())
        };
        let used = |types: &str| format!("{ASK}{types}entity Z {{ z: T0 }};\n");
        // In the order of their names each is measured after the one that it names.
        let upward = |length: usize| -> String {
            let more = (1..length).map(|n| format!("type A{n:04} = {{x: A{:04}}};\n", n - 1));
            let last = format!("type T0 = A{:04};\n", length - 1);
            format!("type A0000 = Long;\n{}{last}", more.collect::<String>())
        };
        // None of them is large, and each names one that is.
        let many = |declared: fn(usize) -> String| -> String {
            format!("{ASK}{}{}", double(9), (0..1_000).map(declared).collect::<String>())
        };
        for (schema, why) in [
            (format!("{ASK}{}", chain(1_200)), "deeper than 64 levels"),
            (used(&chain(1_200)), "deeper than 64 levels"),
            (format!("{ASK}namespace N {{ {} }}", chain(100_000)), "deeper than 64 levels"),
            (format!("{ASK}{}", upward(1_200)), "deeper than 64 levels"),
            (many(|n| format!("entity Z{n} {{ z: T8 }};\n")), "more than 500000 attributes"),
            (many(|n| format!("entity Z{n} tags T8;\n")), "more than 500000 attributes"),
            (
                many(|n| {
                    format!(
                        "action z{n} appliesTo {{ principal: User, resource: Account, context: {{ z: T8 }} }};\n"
                    )
                }),
                "more than 500000 attributes",
            ),
            (format!("{ASK}{}", double(40)), "more than 500000 attributes"),
            (format!("{ASK}{}", double(20)), "more than 500000 attributes"),
        ] {
            let told = told(&schema);
            assert!(matches!(&told[..], [one] if one.contains(why)), "{told:?}");
            let line = told[0].strip_prefix("schema.cedarschema:").unwrap();
            let line: usize = line.split(':').next().unwrap().parse().unwrap();
            assert!(line > 2, "{told:?}");
        }
        for schema in [chain(30), upward(30), double(10)] {
            assert_eq!(told(&used(&schema)), Vec::<String>::new());
        }
    }

    #[test]
    fn what_goes_in_a_circle_is_told_by_cedar() {
        let told = told(&format!("{ASK}type A = {{ b: B }}; type B = {{ a: A }};"));
        assert!(matches!(&told[..], [one] if one.contains("cycle")), "{told:?}");
    }

    #[test]
    fn groups_questions_and_copies_are_bounded() {
        let groups = |keyword: &str, n: usize| {
            let more: String =
                (1..n).map(|n| format!("{keyword} g{n} in [g{}];\n", n - 1)).collect();
            format!("{ASK}{keyword} g0;\n{more}")
        };
        let names = |of: usize| (0..of).map(|n| format!("P{n}")).collect::<Vec<_>>().join(", ");
        let attributes = "a: Long, ".repeat(1_000);
        let actions = (0..401).map(|n| format!("a{n}")).collect::<Vec<_>>().join(", ");
        for (schema, why) in [
            (groups("action", 4_000), "lead to groups"),
            (groups("entity", 4_000), "lead to groups"),
            (
                format!(
                    "{ASK}entity {0}; action x appliesTo {{ principal: [{0}], resource: [{0}] }};",
                    names(400)
                ),
                "kinds of requests",
            ),
            (format!("{ASK}entity {} {{ {attributes} }};", names(4_000)), "names at once"),
            (format!("{ASK}entity {}; action {actions};", names(400)), "can be kept together"),
        ] {
            let told = told(&schema);
            assert!(matches!(&told[..], [one] if one.contains(why)), "{told:?}");
        }
        assert_eq!(told(&groups("action", 100)), Vec::<String>::new());
        assert_eq!(told(&groups("entity", 100)), Vec::<String>::new());
    }

    #[test]
    fn parents_of_entities_are_bounded() {
        let chain = |n: usize| {
            let one = |n| {
                format!(
                    r#"{{"uid":{{"type":"Role","id":"r{n}"}},"attrs":{{}},"parents":[{{"type":"Role","id":"r{}"}}]}}"#,
                    n + 1
                )
            };
            format!("[{}]", (0..n).map(one).collect::<Vec<_>>().join(",\n"))
        };
        assert!(of_entities(&chain(1_000)).is_ok());
        let Err(SizeExcess { at: Some((at, _)), why }) = of_entities(&chain(4_000)) else {
            panic!()
        };
        assert!(at < 1_000_000 && why.contains("lead to parents"), "{at} {why}");
        assert!(of_entities("no JSON").is_ok());
        let told = told_with(ASK, &chain(4_000));
        assert!(matches!(&told[..], [one] if one.contains("lead to parents")), "{told:?}");
        assert_eq!(told_with(ASK, &chain(100)), Vec::<String>::new());
    }
}
