//! The rules of the code: layers, the allowed place of each dependency, and the header of each file.
//!
//! Reads the source as text; runs none of it.

mod imports;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The modules of the crate, from the lowest layer to the highest.
const LAYERS: &[(&str, u32)] = &[
    ("domain", 0),
    ("percent_encoding", 0),
    ("sharded_counter", 0),
    ("background", 1),
    ("config", 1),
    ("clock", 1),
    ("entropy", 1),
    ("open_file_limit", 1),
    ("file_lock", 1),
    ("own_socket_file", 1),
    ("tls_authorities", 1),
    ("engine", 2),
    ("policy_folder", 2),
    ("directory", 2),
    ("store", 2),
    ("telemetry", 2),
    ("backup", 2),
    ("keys", 2),
    ("totp", 2),
    ("webauthn", 2),
    ("password", 2),
    ("throttle", 2),
    ("cross_check_queue", 2),
    ("staleness", 2),
    ("mail", 2),
    ("app", 3),
    ("fleet", 3),
    ("gate", 3),
    ("http", 3),
    ("services", 4),
    ("browser_security", 5),
    ("authzen", 6),
    ("admin", 6),
    ("console", 6),
    ("routes", 7),
    ("serve", 8),
    ("cli", 9),
    ("main", 10),
];

/// Where each dependency lives: beginnings of paths below `src/`. `*` is everywhere but the
/// lowest layer.
const HOMES: &[(&str, &[&str])] = &[
    ("arc_swap", &["app.rs", "app/shadow.rs", "directory"]),
    ("argon2", &["password"]),
    ("askama", &["mail", "console"]),
    (
        "base64",
        &["domain/sealed_secret.rs", "domain/token.rs", "mail/smtp_auth.rs", "store/etcd_log"],
    ),
    ("cedar_policy", &["engine"]),
    ("cedar_policy_formatter", &["engine/policy_formatter.rs"]),
    ("cedar_policy_symcc", &["engine"]),
    ("chacha20poly1305", &["keys"]),
    ("clap", &["cli"]),
    ("clap_complete", &["cli"]),
    ("clap_mangen", &["cli"]),
    ("csv", &["services/import", "services/export"]),
    ("csv_core", &["services/import"]),
    ("fast_qr", &["totp.rs"]),
    ("foldhash", &["directory", "engine"]),
    ("getrandom", &["entropy.rs"]),
    ("http_body_util", &["http", "cli/sidecar_client", "store/etcd_log"]),
    ("hmac", &["keys.rs"]),
    ("hyper", &["http", "cli/sidecar_client", "store/etcd_log"]),
    ("hyper_util", &["http", "cli/sidecar_client", "store/etcd_log"]),
    ("idna", &["domain/email.rs"]),
    ("indicatif", &["cli"]),
    ("jiff", &["clock.rs"]),
    ("lettre", &["mail"]),
    ("mail_parser", &["mail"]),
    ("miette", &["engine/policy_fault.rs"]),
    ("boxcar", &["directory"]),
    ("httparse", &["http"]),
    ("papaya", &["directory"]),
    ("redb", &["store"]),
    (
        "rustix",
        &[
            "clock.rs",
            "open_file_limit.rs",
            "gate",
            "mail/access_tokens.rs",
            "policy_folder/folder_exchange.rs",
        ],
    ),
    ("rustls_native_certs", &["tls_authorities.rs"]),
    ("strsim", &["domain/spelling_suggestions.rs"]),
    ("thread_local", &["sharded_counter.rs"]),
    ("thread_priority", &["background.rs"]),
    (
        "serde",
        &[
            "config",
            "engine",
            "store/etcd_log/",
            "store/records",
            "authzen",
            "admin",
            "services/import",
            "services/access_search.rs",
            "services/search_token.rs",
            "services/export",
            "http/response.rs",
            "cli",
            "webauthn.rs",
            "backup.rs",
            "gate",
        ],
    ),
    (
        "serde_json",
        &[
            "engine",
            "authzen",
            "admin",
            "services/import",
            "services/search_token.rs",
            "services/export",
            "http/response.rs",
            "cli",
            "store/etcd_log/",
            "store/records",
            "webauthn.rs",
            "backup.rs",
            "gate",
        ],
    ),
    ("sha2", &["domain/digest.rs", "keys.rs"]),
    ("similar", &["policy_folder/file_differences.rs"]),
    ("tokio", &["*"]),
    ("tokio_postgres", &["store/postgres_log"]),
    ("tokio_postgres_rustls", &["store/postgres_log/connection_settings.rs"]),
    ("tokio_rustls", &["mail/tls.rs", "store/etcd_log", "tls_authorities.rs"]),
    ("toml", &["config"]),
    ("totp_rs", &["totp.rs"]),
    ("tracing", &["*"]),
    ("tracing_appender", &["telemetry/log.rs"]),
    ("tracing_subscriber", &["telemetry"]),
    ("unicode_normalization", &["domain/case_folding.rs", "domain/input_cleanup.rs", "password"]),
    ("webauthn_rs", &["webauthn.rs"]),
];

fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let name = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
                files.push((name, fs::read_to_string(path).unwrap()));
            }
        }
    }
    files.sort();
    assert!(files.len() > 30, "the walk found only {} files", files.len());
    files
}

/// The module of the crate that a file belongs to.
fn module(file: &str) -> &str {
    file.split(['/', '.']).next().unwrap()
}

/// Lines of code, without comments and without the tests at a file's end.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .map(|(index, line)| (index + 1, line))
}

fn layers() -> BTreeMap<&'static str, u32> {
    LAYERS.iter().copied().collect()
}

/// Faults of the layers, as `file:line`.
fn climbing(sources: &[(String, String)]) -> Vec<String> {
    let layers = layers();
    let mut faults = Vec::new();
    for (file, text) in sources.iter().filter(|(file, _)| file != "lib.rs") {
        let own = module(file);
        let Some(layer) = layers.get(own) else {
            faults.push(format!("{file}: `{own}` is on no layer: give it one in LAYERS"));
            continue;
        };
        for (number, line) in code(text) {
            for (at, marker) in
                line.match_indices("crate::").chain(line.match_indices("kwic_team::"))
            {
                let rest = &line[at + marker.len()..];
                let name: String =
                    rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let Some(other) = layers.get(name.as_str()) else { continue };
                if name != own && other >= layer {
                    faults.push(format!(
                        "{file}:{number}: layer {layer} reaches `{name}` on layer {other}"
                    ));
                }
            }
        }
    }
    faults
}

#[test]
fn a_module_imports_only_layers_below_it() {
    let faults = climbing(&sources());
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn an_import_from_above_is_found() {
    let planted = [
        ("store/redb.rs".to_owned(), "use crate::services::decide;\n".to_owned()),
        ("engine/decide.rs".to_owned(), "fn f() { crate::store::open() }\n".to_owned()),
        ("domain/email.rs".to_owned(), "use crate::clock::Clock;\n".to_owned()),
    ];
    assert_eq!(climbing(&planted).len(), 3);
}

#[test]
fn no_folder_holds_a_circle_of_imports() {
    let ties = imports::circles(&sources());
    let what = "files of one folder lead back to each other: move what they share to where both \
                reach it";
    assert!(ties.is_empty(), "{what}\n{}", ties.join("\n"));
}

#[test]
fn a_circle_of_imports_is_found() {
    let planted = [
        ("team.rs", "mod invite;\nmod member;\npub use member::Member as Person;\nstruct Tabs;\n"),
        ("team/invite.rs", "use super::{Person, Tabs};\n"),
        ("team/member.rs", "fn tell() { super::words::member::told() }\n"),
        ("team/words.rs", "mod member;\n"),
        ("team/words/member.rs", "use crate::team::invite::{self, Sent as S};\n"),
    ];
    let planted = planted.map(|(file, text)| (file.to_owned(), text.to_owned()));
    assert_eq!(
        imports::circles(&planted),
        [
            "team/invite.rs -> team/member.rs: Member",
            "team/member.rs -> team/words/member.rs: told",
            "team/words/member.rs -> team/invite.rs: Sent, self",
        ]
    );
    // A member of the circle less, and what the module file defines, tie nothing.
    assert!(imports::circles(&planted[..4]).is_empty());
}

#[test]
fn every_dependency_has_a_home_and_stays_there() {
    let manifest =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    let section = manifest.split("[dependencies]").nth(1).unwrap().split("\n[").next().unwrap();
    let sources = sources();
    let mut faults = Vec::new();
    for line in section.lines().filter(|line| line.contains('=')) {
        let name = line.split([' ', '=']).next().unwrap().replace('-', "_");
        let Some((_, homes)) = HOMES.iter().find(|(known, _)| *known == name) else {
            faults.push(format!("`{name}` has no home: name one in HOMES"));
            continue;
        };
        for (file, text) in &sources {
            let at_home = homes
                .iter()
                .any(|home| file.starts_with(home) || *home == "*" && !file.starts_with("domain"));
            let prefix = format!("{name}::");
            for (number, line) in code(text).filter(|_| !at_home) {
                let named = line.match_indices(&prefix).any(|(at, _)| {
                    let before = line[..at].chars().next_back();
                    before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':')
                        || line[..at].ends_with("use ::")
                });
                if named {
                    faults.push(format!("{file}:{number}: `{name}` is away from home {homes:?}"));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// What people write where something is left to do; apart, since this file is read too.
const UNFINISHED: [&str; 2] = [concat!("FIX", "ME"), concat!("XX", "X")];

#[test]
fn every_file_says_what_it_is() {
    let mut faults = Vec::new();
    for (file, text) in sources() {
        // The first paragraph is a whole sentence or more.
        let head = text.lines().take_while(|line| line.starts_with("//! "));
        if !head.last().is_some_and(|line| line.ends_with(['.', ':', '?'])) {
            faults.push(format!("{file}: begin with `//!` and a sentence"));
        }
        if file.ends_with("mod.rs") {
            faults.push(format!("{file}: write NAME.rs beside the folder"));
        }
        for (number, line) in text.lines().enumerate() {
            if UNFINISHED.iter().any(|mark| line.contains(mark)) {
                faults.push(format!("{file}:{}: finish it or say why not", number + 1));
            }
            if !line.is_ascii() && line.trim_start().starts_with("//") {
                faults.push(format!("{file}:{}: write comments in ASCII", number + 1));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn no_role_and_no_feature_is_named_in_the_code() {
    let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    let mut words: Vec<String> = fs::read_dir(policies.join("roles"))
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        // A domain term that is also a role: the operator of the sidecar.
        .filter(|role| role != "operator" && role != "administrator")
        .collect();
    for action in
        ["templates", "broadcasts", "contacts", "chats", "botflows", "automations", "billing"]
    {
        words.push(format!("{action}:"));
    }
    assert!(words.len() > 10);
    let mut faults = Vec::new();
    // The list of the shipped files names them.
    let named = |(file, _): &(String, String)| file != "policy_folder/shipped.rs";
    for (file, text) in sources().into_iter().filter(named) {
        for (number, line) in code(&text) {
            for word in words.iter().filter(|word| line.contains(word.as_str())) {
                faults.push(format!(
                    "{file}:{number}: names `{word}`, which is the policies' to know"
                ));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Characters beyond Latin-1 that the fonts of every usual system have. Others are an empty box
/// where a font lacks them, or a coloured picture.
const DRAWN: &str = "\u{2013}\u{201c}\u{201d}\u{2026}\u{203a}\u{2190}\u{2191}\u{2192}\u{2193}\u{21bb}\u{22ef}\u{25a0}\u{25b2}\u{25be}\u{25cb}\u{25cf}\u{25d0}\u{2713}\u{2715}";

#[test]
fn pages_show_only_characters_that_usual_fonts_have() {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src/console")];
    let mut odd = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let of_text = text.chars().filter(|c| *c > '\u{ff}');
            let escapes = text.split("\\u{").skip(1).filter_map(|rest| {
                char::from_u32(u32::from_str_radix(rest.split('}').next()?, 16).ok()?)
            });
            let all = of_text.chain(escapes.filter(|c| *c > '\u{ff}'));
            odd.extend(all.filter(|c| !DRAWN.contains(*c)).map(|c| format!("{c} in {path:?}")));
        }
    }
    assert!(odd.is_empty(), "{odd:?}");
}

#[test]
fn the_only_status_codes_are_in_respond() {
    let mut faults = Vec::new();
    for (file, text) in sources() {
        for (number, line) in code(&text) {
            if line.contains("StatusCode::")
                && !file.starts_with("http/")
                && !file.starts_with("cli/sidecar_client")
            {
                faults.push(format!("{file}:{number}: maps a status code"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_walkthroughs_name_files_that_there_are() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let map = fs::read_to_string(root.join("lib.rs")).unwrap();
    let mut named = 0;
    for word in map.lines().filter(|line| line.starts_with("//!")).flat_map(|line| line.split('`'))
    {
        let is_path =
            word.contains("::") && word.chars().all(|c| c.is_ascii_lowercase() || "_:".contains(c));
        if is_path {
            assert!(stands(&root, word), "the map names `{word}`, and there is none");
            named += 1;
        }
    }
    assert!(named > 15, "the map names only {named} files");
}

#[test]
fn the_list_of_the_services_names_each_of_them_and_no_other() {
    let sources = sources();
    let (_, head) = sources.iter().find(|(file, _)| file == "services.rs").unwrap();
    let list = head.lines().filter(|line| line.starts_with("//!"));
    let named: BTreeSet<&str> = list.flat_map(|line| line.split('`').skip(1).step_by(2)).collect();
    let files = sources.iter().filter_map(|(file, _)| file.strip_prefix("services/"));
    let files: BTreeSet<&str> = files.filter_map(|file| file.strip_suffix(".rs")).collect();
    let files: BTreeSet<&str> = files.into_iter().filter(|file| !file.contains('/')).collect();
    assert_eq!(named, files);
}

/// Whether the path names a file, or a function in one.
fn stands(root: &Path, path: &str) -> bool {
    if root.join(format!("{}.rs", path.replace("::", "/"))).exists() {
        return true;
    }
    let (module, function) = path.rsplit_once("::").unwrap();
    fs::read_to_string(root.join(format!("{}.rs", module.replace("::", "/"))))
        .is_ok_and(|text| text.contains(&format!("fn {function}(")))
}

#[test]
fn errors_are_written_in_one_style() {
    let mut faults = Vec::new();
    for (file, text) in sources() {
        for (number, line) in code(&text) {
            let Some(at) = line.find("Failure::new(").or_else(|| line.find("Failure::internal("))
            else {
                continue;
            };
            for sentence in
                line[at..].split('"').skip(1).step_by(2).filter(|text| text.contains(' '))
            {
                if sentence.ends_with('.') || sentence.starts_with(|c: char| c.is_ascii_uppercase())
                {
                    faults.push(format!("{file}:{number}: `{sentence}`"));
                }
            }
        }
    }
    assert!(faults.is_empty(), "lower case, no full stop:\n{}", faults.join("\n"));
}
