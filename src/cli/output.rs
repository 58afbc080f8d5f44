//! Output of commands: tables on a terminal, plain lines in a pipe, or JSON.
//!
//! Output that cannot be written is a failure, since a truncated list looks like a complete one;
//! only a pipe whose reader has closed it ends the command quietly. Control characters in values
//! are escaped, so that no value can move the cursor or break a line.

use std::borrow::Cow;
use std::io::{self, ErrorKind, IsTerminal as _, Write as _};

use serde_json::Value as Json;

use super::{CommandError, CommandResult, Exit, Global};
use crate::domain::member::full_name;
use crate::domain::plural;

/// Prints text on standard output, with control characters except line ends and tabs escaped.
pub(super) fn print(text: &str) -> Result<(), CommandError> {
    bytes(harmless(text).as_bytes())
}

/// Prints bytes on standard output.
pub(super) fn bytes(bytes: &[u8]) -> Result<(), CommandError> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|fault| match fault.kind() {
        ErrorKind::BrokenPipe => CommandError::reader_left(),
        _ => CommandError::failure(format!("standard output cannot be written: {fault}")),
    })
}

/// Prints a line on standard output.
pub(super) fn line(text: &str) -> Result<(), CommandError> {
    print(&format!("{text}\n"))
}

/// A colour of a line on a terminal. What it says is in its words, too.
#[derive(Clone, Copy)]
pub(super) enum Colour {
    Red,
    Green,
}

/// Prints a line, coloured on a terminal unless `NO_COLOR` is set.
pub(super) fn coloured(text: &str, colour: Colour) -> Result<(), CommandError> {
    let is_plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if is_plain || !is_terminal() {
        return line(text);
    }
    let code = match colour {
        Colour::Red => 31,
        Colour::Green => 32,
    };
    bytes(format!("\u{1b}[{code}m{}\u{1b}[0m\n", shown(text)).as_bytes())
}

/// Prints a sentence on standard output, on one line.
pub(super) fn say(sentence: &str) -> Result<(), CommandError> {
    line(&shown(sentence))
}

/// Prints a response: as JSON if requested, else with `print`.
pub(super) fn answer(
    global: &Global,
    answer: &Json,
    print: impl FnOnce(&Json) -> Result<(), CommandError>,
) -> CommandResult {
    if global.json {
        line(&answer.to_string())?
    } else {
        print(answer)?
    }
    Ok(Exit::Ok)
}

/// Prints the link of a response on its own line, if it has one.
pub(super) fn link(answer: &Json) -> Result<(), CommandError> {
    match text(answer, "link") {
        link if link.is_empty() => Ok(()),
        link => say(&link),
    }
}

/// Prints a line whose reader may have left: for commands whose exit code is the result.
pub(super) fn verdict(text: &str) -> Result<(), CommandError> {
    line(text).or_else(CommandError::unless_reader_left)
}

/// Prints a message on standard error, with control characters except line ends and tabs escaped.
pub(super) fn complain(message: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", harmless(message));
}

/// Whether standard output is a terminal.
pub(super) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// A list being printed. JSON and plain lines are printed immediately; a table is aligned at the
/// end.
pub(super) struct List<'h> {
    head: &'h [&'h str],
    json: bool,
    terminal: bool,
    rows: Vec<Vec<String>>,
}

impl<'h> List<'h> {
    pub(super) fn new(json: bool, head: &'h [&'h str]) -> Self {
        Self { head, json, terminal: is_terminal(), rows: Vec::new() }
    }

    /// Adds an item; `row` returns its columns.
    pub(super) fn add(
        &mut self,
        item: &Json,
        row: impl FnOnce(&Json) -> Vec<String>,
    ) -> Result<(), CommandError> {
        if self.json {
            return line(&item.to_string());
        }
        if !self.terminal {
            return line(&plain(&row(item)));
        }
        self.rows.push(row(item));
        Ok(())
    }

    pub(super) fn end(self) -> CommandResult {
        if !self.json && self.terminal {
            print(&aligned(self.head, &self.rows))?;
        }
        Ok(Exit::Ok)
    }
}

/// Prints rows: aligned under a header on a terminal, else tab-separated without one.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) -> Result<(), CommandError> {
    if is_terminal() {
        return print(&aligned(head, rows));
    }
    print(&rows.iter().map(|row| plain(row) + "\n").collect::<String>())
}

fn plain(row: &[String]) -> String {
    row.iter().map(|cell| shown(cell)).collect::<Vec<_>>().join("\t")
}

fn aligned(head: &[&str], rows: &[Vec<String>]) -> String {
    let head: Vec<String> = head.iter().map(|cell| cell.to_uppercase()).collect();
    let shown = |row: &Vec<String>| row.iter().map(|cell| shown(cell)).collect::<Vec<_>>();
    let all: Vec<Vec<String>> = std::iter::once(head).chain(rows.iter().map(shown)).collect();
    let columns = all.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = all.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    all.iter()
        .map(|row| {
            let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}"));
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
        })
        .collect()
}

/// Control characters as escapes: values come from files and people.
pub(super) fn shown(text: &str) -> String {
    escaped(text, char::is_control).into_owned()
}

/// Several lines, which may quote a policy file.
fn harmless(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c.is_control() && !matches!(c, '\n' | '\t'))
}

fn escaped(text: &str, is_escaped: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_escaped(c) { out.extend(c.escape_default()) } else { out.push(c) }
    }
    Cow::Owned(out)
}

/// A person as named in a sentence.
pub(super) fn person(json: &Json) -> String {
    let [first, last, email] = ["first_name", "last_name", "email"].map(|name| text(json, name));
    format!("{} ({email})", full_name(&first, &last))
}

/// The role that a record names, with a note where the policies no longer have it.
pub(super) fn role(json: &Json) -> String {
    let role = text(json, "role");
    match json.get("role_removed").and_then(Json::as_bool) {
        Some(true) => format!("{role} (removed)"),
        _ => role,
    }
}

/// A number in a document, with its noun.
pub(super) fn count(document: &Json, name: &str, one: &str, more: &str) -> String {
    plural(document.get(name).and_then(Json::as_u64).unwrap_or(0), one, more)
}

/// A field of a JSON object as text; empty if absent.
pub(super) fn text(json: &Json, name: &str) -> String {
    match json.get(name) {
        None | Some(Json::Null) => String::new(),
        Some(Json::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// The present fields of a JSON object, one on each line.
pub(super) fn fields(json: &Json, names: &[&str]) -> Result<(), CommandError> {
    let there = names.iter().filter(|name| json.get(name).is_some());
    let rows: Vec<[String; 2]> =
        there.map(|name| [(*name).to_owned(), shown(&text(json, name))]).collect();
    let width = rows.iter().map(|[name, _]| name.len()).max().unwrap_or(0);
    let terminal = is_terminal();
    rows.iter().try_for_each(|[name, value]| {
        if terminal {
            line(format!("{name:width$}  {value}").trim_end())
        } else {
            line(&format!("{name}\t{value}"))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: &[&str]) -> Vec<String> {
        cells.iter().map(|cell| (*cell).to_owned()).collect()
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [row(&["a", "longer"]), row(&["bcd", ""])];
        assert_eq!(aligned(&["x", "y"], &rows), "X    Y\na    longer\nbcd\n");
        assert_eq!(plain(&rows[1]), "bcd\t");
    }

    #[test]
    fn no_value_moves_the_cursor_or_breaks_a_line() {
        let rows = [row(&["a\tb\n", "\u{1b}[2J"])];
        assert_eq!(aligned(&["x", "y"], &rows), "X       Y\na\\tb\\n  \\u{1b}[2J\n");
        assert_eq!(plain(&rows[0]), "a\\tb\\n\t\\u{1b}[2J");
    }
}
