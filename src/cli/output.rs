//! What a person or a program gets to see: tables on a terminal, plain lines in a pipe, JSON.
//!
//! Never fails: whoever closed the pipe does not want the rest.

use std::io::{self, IsTerminal as _, Write as _};

use serde_json::Value as Json;

/// Prints text on standard output.
pub(super) fn print(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Prints a line on standard output.
pub(super) fn line(text: &str) {
    print(&format!("{text}\n"));
}

/// Prints a message on standard error.
pub(super) fn complain(message: &str) {
    let _ = writeln!(io::stderr().lock(), "{message}");
}

/// Whether a person looks at standard output.
pub(super) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Prints rows: aligned under a head on a terminal, else tab-separated without one.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) {
    print(&if is_terminal() { aligned(head, rows) } else { plain(rows) });
}

fn plain(rows: &[Vec<String>]) -> String {
    rows.iter().map(|row| row.join("\t") + "\n").collect()
}

fn aligned(head: &[&str], rows: &[Vec<String>]) -> String {
    let head: Vec<String> = head.iter().map(|cell| cell.to_uppercase()).collect();
    let all = || std::iter::once(&head).chain(rows);
    let width = |column: usize| {
        all().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    all()
        .map(|row| {
            let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}"));
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
        })
        .collect()
}

/// A member of a JSON object as text; empty where there is none.
pub(super) fn text(json: &Json, name: &str) -> String {
    match json.get(name) {
        None | Some(Json::Null) => String::new(),
        Some(Json::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// Prints the members of a JSON object, one a line.
pub(super) fn fields(json: &Json, names: &[&str]) {
    let rows: Vec<Vec<String>> =
        names.iter().map(|name| vec![(*name).to_owned(), text(json, name)]).collect();
    let width = names.iter().map(|name| name.len()).max().unwrap_or(0);
    for row in rows {
        if let [name, value] = row.as_slice() {
            line(&if is_terminal() {
                format!("{name:width$}  {value}")
            } else {
                format!("{name}\t{value}")
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = vec![vec!["a".into(), "longer".into()], vec!["bcd".into(), String::new()]];
        assert_eq!(aligned(&["x", "y"], &rows), "X    Y\na    longer\nbcd\n");
        assert_eq!(plain(&rows), "a\tlonger\nbcd\t\n");
    }
}
