//! The pages of the repository for people: each link leads to a file and a heading that exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Folders with pages; the first is the repository itself.
const FOLDERS: [&str; 3] = ["", "docs", ".github"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Each page by its path below the repository, with its text.
pub fn pages() -> Vec<(PathBuf, String)> {
    let mut pages = Vec::new();
    for folder in FOLDERS {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|ending| ending == "md") {
                let text = fs::read_to_string(&path).unwrap();
                pages.push((path.strip_prefix(root()).unwrap().to_owned(), text));
            }
        }
    }
    pages.sort();
    pages
}

/// The lines outside of code blocks.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut in_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        in_code ^= is_fence;
        !in_code && !is_fence
    })
}

/// What the links and pictures of a page lead to, but for other sites.
fn links(text: &str) -> Vec<&str> {
    let after = prose(text).flat_map(|line| line.split("](").skip(1));
    let targets = after.filter_map(|rest| Some(rest.split_once(')')?.0));
    targets.filter(|target| !target.contains("://")).collect()
}

/// The names by which GitHub finds the headings of a page.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = prose(text).filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let heading = line.trim_start_matches('#').trim().to_lowercase();
            let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

/// What is wrong with the links of one page.
fn faults(page: &Path, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for target in links(text) {
        let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
        let place = root().join(page).parent().unwrap().join(file);
        let is_own = file.is_empty();
        if !is_own && !place.exists() {
            faults.push(format!("{}: there is no `{target}`", page.display()));
        } else if !anchor.is_empty() {
            let there = if is_own { text.to_owned() } else { fs::read_to_string(place).unwrap() };
            if !anchors(&there).contains(anchor) {
                faults.push(format!("{}: `{target}` names no heading", page.display()));
            }
        }
    }
    faults
}

#[test]
fn every_link_leads_to_a_file_and_a_heading_that_exist() {
    let pages = pages();
    let found: Vec<String> = pages.iter().flat_map(|(page, text)| faults(page, text)).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
    let links: usize = pages.iter().map(|(_, text)| links(text).len()).sum();
    assert!(pages.len() >= 10 && links > 60, "{} pages, {links} links", pages.len());
}

#[test]
fn the_readme_leads_to_every_page() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let named = links(&readme);
    for (page, _) in pages() {
        let path = page.to_str().unwrap();
        assert!(path == "README.md" || named.contains(&path), "the README does not link {path}");
    }
}

#[test]
fn a_link_that_leads_nowhere_is_found() {
    let broken = [
        "[a](nowhere.md)",
        "![a](nowhere.png)",
        "[a](security.md#nowhere)",
        "[a](#nowhere)",
        "[a](testing.md) and [b](../src/nowhere.rs)",
    ];
    for text in broken {
        assert_eq!(faults(Path::new("docs/page.md"), text).len(), 1, "{text}");
    }
    let whole = "# Here, `now`\n[a](#here-now) [b](../README.md) [c](https://nowhere.example)\n\
        ```text\n[d](nowhere.md)\n```\n";
    assert_eq!(faults(Path::new("docs/page.md"), whole), Vec::<String>::new());
}
