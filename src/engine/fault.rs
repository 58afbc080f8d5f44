//! Why a policy set is refused: which file, which line, what stands there, what to do.
//!
//! Renders Cedar's own findings for people. Never decides whether a finding is one.

use std::fmt::{self, Write as _};

use miette::Diagnostic;

/// One thing wrong with a policy folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyFault {
    /// The path inside the folder; empty where the folder as a whole is at fault.
    pub file: String,
    /// From 1; `None` where no line is at fault.
    pub line: Option<usize>,
    /// What is wrong and what to do.
    pub message: String,
    /// The line with its span underlined, ready to print; empty where there is none.
    pub excerpt: String,
}

impl PolicyFault {
    /// A fault of a whole file, or of the folder where `file` is empty.
    pub(super) fn new(file: impl Into<String>, message: impl Into<String>) -> Self {
        Self { file: file.into(), line: None, message: message.into(), excerpt: String::new() }
    }

    /// A fault at a span of bytes of `text`.
    pub(super) fn at(
        file: &str,
        text: &str,
        span: (usize, usize),
        message: impl Into<String>,
    ) -> Self {
        let (line, excerpt) = underline(text, span);
        Self { file: file.to_owned(), line: Some(line), message: message.into(), excerpt }
    }

    /// A finding of Cedar, with the first place it points at.
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

/// The number of the line that `offset` is on, and that line with the span underlined.
fn underline(text: &str, (offset, length): (usize, usize)) -> (usize, String) {
    let mut start = 0;
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let end = start + line.len();
        if offset < end || end == text.len() {
            let shown = line.trim_end();
            let column = columns(shown, offset.saturating_sub(start));
            let width =
                columns(shown, offset.saturating_sub(start).saturating_add(length)) - column;
            let number = index + 1;
            let gutter = number.to_string().len();
            let excerpt = format!(
                "  {number} | {shown}\n  {:gutter$} | {:column$}{}",
                "",
                "",
                "^".repeat(width.max(1))
            );
            return (number, excerpt);
        }
        start = end;
    }
    (1, String::new())
}

/// How many characters of `line` stand before byte `at`.
fn columns(line: &str, at: usize) -> usize {
    line.char_indices().take_while(|(index, _)| *index < at).count()
}
