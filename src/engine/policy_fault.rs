//! The faults of a refused policy set: file, line, excerpt and remedy.
//!
//! Renders Cedar's findings for people. Does not decide whether a finding is a fault.

use std::fmt::{self, Write as _};

use miette::Diagnostic;
use serde::{Deserialize, Serialize};

use crate::domain::escaped_text::{is_printable, printable};
use crate::domain::plural;

/// Most faults of one load.
pub(super) const FAULTS_MAX: usize = 100;
/// Most notes of one load.
pub(super) const NOTES_MAX: usize = 100;
/// Most bytes of one message.
const MESSAGE_MAX: usize = 2_000;
/// Most characters of a line that are shown before its fault, and after it.
const AROUND_MAX: usize = 80;

/// One fault of a policy folder.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct PolicyFault {
    /// The path inside the folder; empty if the folder as a whole is at fault.
    pub file: String,
    /// From 1; `None` if no line is at fault.
    pub line: Option<usize>,
    /// What is wrong and what to do.
    pub message: String,
    /// The line with the fault underlined, ready to print; empty if there is none.
    pub excerpt: String,
    /// The folder is not at fault: the machine lacked resources.
    pub of_host: bool,
}

impl PolicyFault {
    /// A fault of a whole file, or of the folder if `file` is empty.
    #[must_use]
    pub fn new(file: impl Into<String>, message: impl Into<String>) -> Self {
        let (file, message) = (printable(&file.into()), clipped(message));
        Self { file, line: None, message, excerpt: String::new(), of_host: false }
    }

    /// A temporary fault of the machine.
    pub(super) fn of_host(message: impl Into<String>) -> Self {
        Self { of_host: true, ..Self::new("", message) }
    }

    /// A fault at a span of bytes of `text`.
    pub(super) fn at(
        file: &str,
        text: &str,
        span: (usize, usize),
        message: impl Into<String>,
    ) -> Self {
        let (line, excerpt) = underline(text, span);
        let (file, message) = (printable(file), clipped(message));
        Self { file, line: Some(line), message, excerpt, of_host: false }
    }

    /// A finding of Cedar, with its first position.
    pub(super) fn of(file: &str, text: &str, found: &dyn Diagnostic) -> Self {
        let message = sentence(found);
        match found.labels().and_then(|mut labels| labels.next()) {
            Some(label) => Self::at(file, text, (label.offset(), label.len()), message),
            None => Self::new(file, message),
        }
    }
}

/// `file:line: message`, and the underlined line below it.
impl fmt::Display for PolicyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.file.as_str(), self.line) {
            ("", _) => f.write_str(&self.message)?,
            (file, Some(line)) => write!(f, "{file}:{line}: {}", self.message)?,
            (file, None) => write!(f, "{file}: {}", self.message)?,
        }
        if self.excerpt.is_empty() { Ok(()) } else { write!(f, "\n{}", self.excerpt) }
    }
}

/// Whether the maximum number of faults is reached.
pub(super) fn is_full(faults: &[PolicyFault]) -> bool {
    faults.len() >= FAULTS_MAX
}

pub(super) fn bounded(mut faults: Vec<PolicyFault>) -> Vec<PolicyFault> {
    if is_full(&faults) {
        faults.truncate(FAULTS_MAX);
        let last = format!("there may be more than these {FAULTS_MAX} faults: fix these first");
        faults.push(PolicyFault::new("", last));
    }
    faults
}

/// Limits the notes, and the length of each.
pub(super) fn bounded_notes(mut notes: Vec<String>) -> Vec<String> {
    let more = notes.len().saturating_sub(NOTES_MAX);
    notes.truncate(NOTES_MAX);
    let mut notes: Vec<String> = notes.iter().map(clipped).collect();
    if more > 0 {
        notes.push(format!("{} left out", plural(more, "further note is", "further notes are")));
    }
    notes
}

/// Limits and escapes a message: it may quote a file, which may contain long words or terminal
/// control characters.
fn clipped(message: impl Into<String>) -> String {
    let lines: Vec<String> = message.into().split('\n').map(printable).collect();
    let mut message = lines.join("\n");
    if message.len() > MESSAGE_MAX {
        let end = message.floor_char_boundary(MESSAGE_MAX);
        message.truncate(end);
        message.push_str(" ...");
    }
    message
}

/// All faults as one text, for logs, terminals and problem details.
#[must_use]
pub fn render(faults: &[PolicyFault]) -> String {
    let mut out = String::new();
    for fault in faults {
        let _ = writeln!(out, "{fault}");
    }
    out.truncate(out.trim_end().len());
    out
}

/// Cedar's message, its causes and its help as one sentence.
fn sentence(found: &dyn Diagnostic) -> String {
    let mut out = found.to_string();
    if let Some(label) = found.labels().and_then(|mut labels| labels.next())
        && let Some(text) = label.label()
        && !out.contains(text)
    {
        let _ = write!(out, ": {text}");
    }
    if let Some(help) = found.help() {
        let _ = write!(out, " ({help})");
    }
    out
}

/// The line number of `offset`, and the text around it with the span underlined.
fn underline(text: &str, (offset, length): (usize, usize)) -> (usize, String) {
    let last = text.trim_end_matches(['\r', '\n']).len();
    let offset = text.floor_char_boundary(offset.min(last));
    let (before, after) = text.split_at_checked(offset).unwrap_or((text, ""));
    let number = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    let line = before.rsplit('\n').next().unwrap_or_default();
    let rest = after.split('\n').next().unwrap_or_default().trim_end();
    let (left, cut_left) = match line.char_indices().rev().nth(AROUND_MAX) {
        Some((at, _)) => (line.get(at..).unwrap_or_default(), "..."),
        None => (line, ""),
    };
    let (right, cut_right) = match rest.char_indices().nth(AROUND_MAX) {
        Some((at, _)) => (rest.get(..at).unwrap_or_default(), "..."),
        None => (rest, ""),
    };
    let shown = |text: &str| text.replace(|c| !is_printable(c) && c != '\t', "\u{fffd}");
    let column = cut_left.chars().count() + left.chars().count();
    let width = columns(right, length).max(1);
    let gutter = number.to_string().len();
    let excerpt = format!(
        "  {number} | {cut_left}{}{}{cut_right}\n  {:gutter$} | {:column$}{}",
        shown(left),
        shown(right),
        "",
        "",
        "^".repeat(width)
    );
    (number, excerpt)
}

/// The number of characters of `line` before byte `at`.
fn columns(line: &str, at: usize) -> usize {
    line.char_indices().take_while(|(index, _)| *index < at).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_at_fault_is_shown_as_far_as_it_helps() {
        let shown = |text: &str, at: usize, length: usize| underline(text, (at, length));
        assert_eq!(shown("a\n b c \n", 5, 1), (2, "  2 |  b c\n    |    ^".to_owned()));
        assert_eq!(shown("a", 1, 0), (1, "  1 | a\n    |  ^".to_owned()));
        // At the end of a file: its last line.
        assert_eq!(shown("ab\n", 3, 0), (1, "  1 | ab\n    |   ^".to_owned()));
        assert_eq!(shown("", 9, 9), (1, "  1 | \n    | ^".to_owned()));
        let long = format!("{}!{}", "\u{e9}".repeat(1_000_000), "\u{e9}".repeat(1_000_000));
        let (line, excerpt) = shown(&long, 2_000_000, 1);
        let [text, marks] = excerpt.lines().collect::<Vec<_>>()[..] else { panic!("{excerpt}") };
        assert_eq!((line, text.chars().position(|c| c == '!')), (1, marks.find('^')));
        assert!(excerpt.len() < 1_000);
        assert_eq!(
            shown("a\0b\u{1b}[2J", 0, 1).1.lines().next(),
            Some("  1 | a\u{fffd}b\u{fffd}[2J")
        );
    }

    #[test]
    fn what_a_terminal_takes_for_a_command_is_escaped() {
        let fault =
            PolicyFault::new("rules/a\nlive\u{1b}[2J.cedar", "the id `\u{1b}[2J`\nis taken");
        assert_eq!(
            fault.to_string(),
            "rules/a\\nlive\\u{1b}[2J.cedar: the id `\\u{1b}[2J`\nis taken"
        );
        let fault = PolicyFault::at("a\u{202e}b", "x\u{202e}y", (0, 1), "z");
        assert_eq!(fault.to_string(), "a\\u{202e}b:1: z\n  1 | x\u{fffd}y\n    | ^");
        assert_eq!(bounded_notes(vec!["a\u{1b}b".to_owned()]), ["a\\u{1b}b"]);
    }

    #[test]
    fn nothing_is_told_without_end() {
        let faults: Vec<PolicyFault> =
            (0..5_000).map(|n| PolicyFault::new(format!("f{n}"), "\u{e9}".repeat(9_000))).collect();
        let told = bounded(faults);
        assert_eq!(told.len(), FAULTS_MAX + 1);
        assert!(render(&told).len() < 300_000);
        let notes = bounded_notes(vec!["n".repeat(9_000); 5_000]);
        assert_eq!(notes.len(), NOTES_MAX + 1);
        assert_eq!(notes[NOTES_MAX], "4900 further notes are left out");
        assert!(notes.concat().len() < 300_000);
    }
}
