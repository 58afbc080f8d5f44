//! The imports between the files of a folder, and the circles among them.
//!
//! Reads `use` trees, and paths in the code that begin with `crate`, `super` or `self`. A name that
//! a module file only passes on belongs to the file that it comes from.

use std::collections::{BTreeMap, BTreeSet};

/// Where a module or a name is, from the root of the crate: `admin/response_documents.rs` is `admin`, `response_documents`.
type Place<'s> = Vec<&'s str>;

/// The paths that one file names.
#[derive(Default)]
struct File<'s> {
    /// What its `use`s bring in, by the name that it has in the file.
    imports: BTreeMap<&'s str, Place<'s>>,
    /// All of them, from the root of the crate.
    named: Vec<Place<'s>>,
}

type Files<'s> = BTreeMap<Place<'s>, File<'s>>;

/// What each child of a folder uses of the other ones.
type Graph<'s> = BTreeMap<Place<'s>, BTreeSet<Place<'s>>>;

/// The uses that tie files of one folder into a circle, as `user -> used: names`. A subfolder
/// belongs to the file beside it. What the module file of the folder defines is anybody's to use.
pub(super) fn circles(sources: &[(String, String)]) -> Vec<String> {
    let files = read(sources);
    let mut uses: BTreeMap<(Place<'_>, Place<'_>), BTreeSet<&str>> = BTreeMap::new();
    let mut graph = Graph::new();
    for (user, file) in &files {
        for (used, name) in file.named.iter().filter_map(|path| home(&files, path)) {
            if let Some((one, other)) = siblings(user, &used) {
                graph.entry(one.to_vec()).or_default().insert(other.to_vec());
                uses.entry((user.clone(), used)).or_default().insert(name);
            }
        }
    }
    let is_tie = |user: &Place<'_>, used: &Place<'_>| {
        siblings(user, used).is_some_and(|(one, other)| leads(&graph, other, one))
    };
    let ties = uses.iter().filter(|((user, used), _)| is_tie(user, used));
    ties.map(|((user, used), names)| {
        let names: Vec<&str> = names.iter().copied().collect();
        format!("{}.rs -> {}.rs: {}", user.join("/"), used.join("/"), names.join(", "))
    })
    .collect()
}

/// The two children of one folder that these files are, or are below; `None` where one file is the
/// other's module file.
fn siblings<'p, 's>(
    one: &'p [&'s str],
    other: &'p [&'s str],
) -> Option<(&'p [&'s str], &'p [&'s str])> {
    let shared = one.iter().zip(other).take_while(|(one, other)| one == other).count();
    Some((one.get(..=shared)?, other.get(..=shared)?))
}

/// Whether uses lead from one child to another, over any number of others.
fn leads<'s>(graph: &Graph<'s>, from: &[&'s str], to: &[&'s str]) -> bool {
    let (mut reached, mut open) = (BTreeSet::new(), vec![from]);
    while let Some(at) = open.pop() {
        if at == to {
            return true;
        }
        let next = graph.get(at).into_iter().flatten().map(Vec::as_slice);
        open.extend(next.filter(|next| reached.insert(*next)));
    }
    false
}

/// The file that a path leads into, and the name there; `self` where it names the file.
fn home<'s>(files: &Files<'s>, path: &[&'s str]) -> Option<(Place<'s>, &'s str)> {
    let length = (1..=path.len()).rev().find(|length| files.contains_key(&path[..*length]))?;
    let (place, below) = path.split_at(length);
    let Some((name, rest)) = below.split_first() else { return Some((place.to_vec(), "self")) };
    match files[place].imports.get(name) {
        Some(from) if from != path => home(files, &[from.as_slice(), rest].concat()),
        _ => Some((place.to_vec(), name)),
    }
}

/// The place of a file, which is its module's.
fn place(file: &str) -> Place<'_> {
    file.trim_end_matches(".rs").split('/').collect()
}

fn read(sources: &[(String, String)]) -> Files<'_> {
    let modules = sources.iter().filter(|(file, _)| file != "lib.rs" && file != "main.rs");
    let mut files: Files<'_> =
        modules.clone().map(|(file, _)| (place(file), File::default())).collect();
    for (file, text) in modules {
        let place = place(file);
        let mut read = File::default();
        for (path, name) in paths(text) {
            let Some(path) = from_root(&files, &place, &path) else { continue };
            read.named.push(path.clone());
            read.imports.extend(name.map(|name| (name, path)));
        }
        files.insert(place, read);
    }
    files
}

/// The same path from the root of the crate; `None` for names of the file itself and other crates.
fn from_root<'s>(files: &Files<'s>, place: &[&'s str], path: &[&'s str]) -> Option<Place<'s>> {
    let (mut folder, mut rest) = match path {
        ["crate", rest @ ..] => (&[][..], rest),
        ["self", rest @ ..] => (place, rest),
        ["super", ..] => (place, path),
        [child, ..] if files.contains_key([place, &[*child]].concat().as_slice()) => (place, path),
        _ => return None,
    };
    while let ["super", after @ ..] = rest {
        (folder, rest) = (folder.split_last()?.1, after);
    }
    Some([folder, rest].concat())
}

/// The paths of a file as they stand, those of a `use` with the name that each gets.
fn paths(text: &str) -> Vec<(Place<'_>, Option<&str>)> {
    let tokens: Vec<&str> = super::code(text).flat_map(|(_, line)| tokens(line)).collect();
    let (mut rest, mut all) = (tokens.as_slice(), Vec::new());
    loop {
        let mut found = Vec::new();
        match rest {
            ["use", tree_of @ ..] => {
                rest = tree_of;
                tree(&mut rest, &[], &mut found);
                all.extend(found.into_iter().map(|(path, name)| (path, Some(name))));
            }
            ["crate" | "super" | "self", "::", ..] => {
                tree(&mut rest, &[], &mut found);
                all.extend(found.into_iter().map(|(path, _)| (path, None)));
            }
            [_, after @ ..] => rest = after,
            [] => return all,
        }
    }
}

/// One tree: `a::{self, b::c as d}` is `a`, and `a::b::c` by the name `d`.
fn tree<'s>(rest: &mut &[&'s str], before: &[&'s str], found: &mut Vec<(Place<'s>, &'s str)>) {
    let mut path = before.to_vec();
    while let [first, after @ ..] = *rest {
        *rest = after;
        if *first == "{" {
            while !matches!(*rest, [] | ["}", ..]) {
                tree(rest, &path, found);
                *rest = rest.strip_prefix(&[","]).unwrap_or(*rest);
            }
            *rest = rest.strip_prefix(&["}"]).unwrap_or(*rest);
            return;
        }
        path.push(*first);
        let Some(after) = rest.strip_prefix(&["::"]) else { break };
        *rest = after;
    }
    path.pop_if(|last| *last == "self");
    let Some(mut name) = path.last().copied() else { return };
    if let ["as", other, after @ ..] = *rest {
        (name, *rest) = (*other, after);
    }
    found.push((path, name));
}

/// Names, `::`, and every other sign by itself.
fn tokens(line: &str) -> Vec<&str> {
    let (mut rest, mut found) = (line.trim_start(), Vec::new());
    while let Some(first) = rest.chars().next() {
        let is_of_name = |c: char| c.is_alphanumeric() || c == '_';
        let length = match first {
            _ if rest.starts_with("::") => 2,
            _ if is_of_name(first) => rest.find(|c| !is_of_name(c)).unwrap_or(rest.len()),
            _ => first.len_utf8(),
        };
        let (token, after) = rest.split_at(length);
        found.push(token);
        rest = after.trim_start();
    }
    found
}
