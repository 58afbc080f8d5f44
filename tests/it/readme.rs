//! The examples of the documentation, run as they stand: clients allow, deny, and deny on failure;
//! commands succeed in the order in which they are written.

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use crate::support::sidecar::{Sidecar, binary, is_installed, question};

pub(crate) const README: &str = include_str!("../../README.md");
const DECISIONS: &str = include_str!("../../docs/decisions.md");

/// The pages with commands to run, in the order in which they are run.
const PAGES: [(&str, &str); 3] = [
    ("README.md", README),
    ("docs/team.md", include_str!("../../docs/team.md")),
    ("docs/operations.md", include_str!("../../docs/operations.md")),
];

/// What is put around a client, so that it reads a question a line and prints an answer a line.
struct Caller {
    /// As the fence names it.
    language: &'static str,
    program: &'static str,
    arguments: &'static [&'static str],
    file: &'static str,
    before: &'static str,
    after: &'static str,
}

const PYTHON: Caller = Caller {
    language: "python",
    program: "python3",
    arguments: &["ask.py"],
    file: "ask.py",
    before: "",
    after: "import sys\nfor line in sys.stdin: print(allowed(json.loads(line)))\n",
};

const NODE: Caller = Caller {
    language: "js",
    program: "node",
    arguments: &["ask.js"],
    file: "ask.js",
    before: "",
    after: r#"
        const lines = require("node:fs").readFileSync(0, "utf8").trim().split("\n");
        (async () => { for (const line of lines) console.log(await allowed(JSON.parse(line))); agent.destroy(); })();
    "#,
};

const GO: Caller = Caller {
    language: "go",
    program: "go",
    arguments: &["run", "ask.go"],
    file: "ask.go",
    before: "package main\nimport (\"bufio\"; \"bytes\"; \"context\"; \"encoding/json\"; \"fmt\"; \"net\"; \"net/http\"; \"os\"; \"time\")\n",
    after: r#"
        func main() {
            lines := bufio.NewScanner(os.Stdin)
            for lines.Scan() { fmt.Println(allowed(json.RawMessage(lines.Text()))) }
        }
    "#,
};

/// The lines of the first fence in a language after the heading of the page that has it.
fn lines_of(language: &str) -> &'static str {
    let (page, heading) = match language {
        "sh" => (README, "## Ask from a service"),
        _ => (DECISIONS, "## Clients"),
    };
    let (_, section) = page.split_once(heading).unwrap();
    let (_, fence) = section.split_once(&format!("```{language}\n")).unwrap();
    fence.split_once("```").unwrap().0
}

/// Asks from a folder with a `decide.sock` in it.
fn ask(caller: &Caller, folder: &Path, questions: &[Json]) -> Vec<bool> {
    let text = format!("{}{}{}", caller.before, lines_of(caller.language), caller.after);
    fs::write(folder.join(caller.file), text).unwrap();
    let mut child = Command::new(caller.program)
        .args(caller.arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    for question in questions {
        writeln!(input, "{question}").unwrap();
    }
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let answers = String::from_utf8(output.stdout).unwrap().to_lowercase();
    answers.lines().map(|line| line.parse().unwrap()).collect()
}

/// A sidecar where Ann may view chats and Vic may not create a template.
fn sidecar() -> Sidecar {
    let sidecar = Sidecar::start();
    sidecar.account("acme");
    sidecar.members("acme", &[("ann", "operator"), ("vic", "operator")]);
    sidecar
}

fn ann() -> Json {
    question("ann", "chats:view", ("chat", "1"), "acme")
}

fn holds(caller: &Caller) {
    assert!(lines_of(caller.language).lines().count() <= 10, "{}", caller.language);
    if !is_installed(caller.program) {
        return;
    }
    let sidecar = sidecar();
    let vic = question("vic", "templates:edit", ("template", "1"), "acme");
    let nobody = question("nobody", "chats:view", ("chat", "1"), "acme");
    let broken = serde_json::json!({"subject": 5});
    let answers = ask(caller, sidecar.home.path(), &[ann(), vic, broken, nobody, ann()]);
    assert_eq!(answers, [true, false, false, false, true], "{}", caller.language);

    let empty = tempfile::tempdir().unwrap();
    assert_eq!(ask(caller, empty.path(), &[ann()]), [false], "{}: no socket", caller.language);

    let mute = tempfile::tempdir().unwrap();
    let _never_answers = UnixListener::bind(mute.path().join("decide.sock")).unwrap();
    let answers = ask(caller, mute.path(), &[ann(), ann()]);
    assert_eq!(answers, [false, false], "{}: no answer", caller.language);
}

#[test]
fn the_lines_in_python_hold() {
    holds(&PYTHON);
}

#[test]
fn the_lines_in_node_hold() {
    holds(&NODE);
}

#[test]
fn the_lines_in_go_hold() {
    holds(&GO);
}

#[test]
fn the_lines_for_curl_hold() {
    if !is_installed("curl") {
        return;
    }
    assert!(lines_of("sh").lines().count() <= 10);
    let sidecar = sidecar();
    let run = |lines: &str, folder: &Path| {
        let output = Command::new("sh").args(["-c", lines]).current_dir(folder).output().unwrap();
        let answer: Json = serde_json::from_slice(&output.stdout).unwrap();
        answer["decision"].as_bool().unwrap()
    };
    assert!(run(lines_of("sh"), sidecar.home.path()));
    assert!(!run(&lines_of("sh").replace("\"ann\"", "\"nobody\""), sidecar.home.path()));
    assert!(!run(&lines_of("sh").replace("\"type\"", "\"tipe\""), sidecar.home.path()));
    let mute = tempfile::tempdir().unwrap();
    assert!(!run(lines_of("sh"), mute.path()));
    let _never_answers = UnixListener::bind(mute.path().join("decide.sock")).unwrap();
    let began = Instant::now();
    assert!(!run(lines_of("sh"), mute.path()));
    assert!(began.elapsed() < Duration::from_secs(5), "no bound on the time");
}

/// The commands of the fences, in their order: a line that ends with a backslash goes on, and so does
/// one that begins a text. Those of a fleet need a log.
fn commands() -> Vec<String> {
    let mut commands: Vec<String> = Vec::new();
    let fences = PAGES.iter().flat_map(|(_, page)| page.split("```sh\n").skip(1));
    let fences = fences.map(|fence| fence.split("```").next().unwrap());
    for fence in fences.filter(|fence| !fence.contains("kwic-team fleet init")) {
        let mut lines = fence.lines();
        while let Some(line) = lines.next() {
            let mut command = line.to_owned();
            let whole = |command: &str| {
                let words = command.split(" # ").next().unwrap();
                let text = command.contains("<<'END'") && !command.ends_with("\nEND");
                !words.ends_with('\\') && words.matches('\'').count().is_multiple_of(2) && !text
            };
            while !whole(&command) {
                command = format!("{command}\n{}", lines.next().unwrap());
            }
            commands.push(command);
        }
    }
    commands
}

#[test]
fn every_page_with_commands_is_run() {
    for (path, text) in crate::docs::pages() {
        let is_run = PAGES.iter().any(|(known, _)| Path::new(known) == path);
        assert!(is_run || !text.contains("```sh\n"), "{}: add it to PAGES", path.display());
    }
}

#[test]
fn the_commands_run_in_the_order_in_which_they_stand() {
    let mut sidecar = Sidecar::start();
    let home = sidecar.home.path().to_owned();
    // What the fixture has done in another way already, and what needs a browser or a password first.
    let skipped =
        ["cargo ", "kwic-team policy init", "printf '[policies]", "kwic-team serve", "curl "];
    std::os::unix::fs::symlink(home.join("data"), home.join("kwic-data")).unwrap();
    let path = format!("{}:/usr/bin:/bin", Path::new(binary()).parent().unwrap().display());
    let mut ran = 0;
    for command in commands() {
        if skipped.iter().any(|skipped| command.starts_with(skipped)) {
            continue;
        }
        if command.contains("while no sidecar runs") {
            sidecar.signal("TERM");
            assert_eq!(sidecar.wait(), Some(0));
        }
        // A place that anybody may write to.
        let line = command.replace(" /backup/", &format!(" {}/backup/", home.display()));
        let mut shell = Command::new("sh");
        shell.args(["-c", &line]).current_dir(&home).env_clear().env("PATH", &path);
        let output = shell.stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{command}: {output:?}");
        ran += 1;
    }
    assert!(ran >= 18, "{ran}");
}
