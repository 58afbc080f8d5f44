//! The difference of the files of two policy sets, line by line, within bounds.
//!
//! Compares texts only: what a change means for access, the engine says.

use similar::{Algorithm, DiffOp, capture_diff_slices, group_diff_ops};

use crate::domain::escaped_text::printable;

/// Most files that are listed.
const FILES_MAX: usize = 100;
/// Most lines of one file on one side that are compared, and of all files. The work grows with the
/// square of the lines of a file.
const FILE_LINES_MAX: usize = 2_000;
const LINES_MAX: usize = 20_000;
/// Most rows of one file that are returned, and of all files.
const FILE_ROWS_MAX: usize = 300;
const ROWS_MAX: usize = 1_500;
/// Most characters of a line that are returned.
const LINE_CHARS_MAX: usize = 500;
/// How many equal lines are returned around each change.
const CONTEXT: usize = 3;

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileChange {
    /// Only the new set has it.
    Added,
    /// Only the old set has it.
    Removed,
    /// Both have it, with different contents.
    Changed,
}

/// A line of a file: its number from 1, and its text with invisible characters escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NumberedLine {
    /// From 1.
    pub number: usize,
    /// The text; cut if it is long.
    pub text: String,
}

/// A line on each side. One side is missing where a line was added or removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinePair {
    /// Whether both lines are equal.
    pub same: bool,
    /// The line of the old file.
    pub old: Option<NumberedLine>,
    /// The line of the new file.
    pub new: Option<NumberedLine>,
}

/// A file that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileDifference {
    /// The path in the folder.
    pub path: String,
    /// What became of it.
    pub change: FileChange,
    /// The changed lines in groups, each with equal lines around them. Empty where only the end of
    /// the last line differs.
    pub groups: Vec<Vec<LinePair>>,
    /// How many changed rows are left out; `None` if the file is too large to be compared.
    pub left_out: Option<usize>,
}

/// The files that differ, by path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileDifferences {
    /// At most 100.
    pub files: Vec<FileDifference>,
    /// The number of further files.
    pub more: usize,
}

/// Path and content of each file of a set, sorted by path.
type Files<'f> = &'f [(String, Vec<u8>)];

/// Compares two sets of files, which are sorted by path.
#[must_use]
pub fn file_differences(old: Files<'_>, new: Files<'_>) -> FileDifferences {
    let mut found = FileDifferences::default();
    let mut room = Room { lines: LINES_MAX, rows: ROWS_MAX };
    let content = |files: Files<'_>, path: &str| {
        let at = files.binary_search_by(|(other, _)| other.as_str().cmp(path)).ok()?;
        files.get(at).map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned())
    };
    let mut paths: Vec<&str> = old.iter().chain(new).map(|(path, _)| path.as_str()).collect();
    paths.sort_unstable();
    paths.dedup();
    for path in paths {
        let change = match (content(old, path), content(new, path)) {
            (Some(old), Some(new)) if old == new => continue,
            (Some(old), Some(new)) => (FileChange::Changed, old, new),
            (Some(old), None) => (FileChange::Removed, old, String::new()),
            (None, new) => (FileChange::Added, String::new(), new.unwrap_or_default()),
        };
        if found.files.len() == FILES_MAX {
            found.more += 1;
            continue;
        }
        let (change, old, new) = change;
        let (groups, left_out) = match room.grouped(&old, &new) {
            Some((groups, left_out)) => (groups, Some(left_out)),
            None => (Vec::new(), None),
        };
        found.files.push(FileDifference { path: printable(path), change, groups, left_out });
    }
    found
}

/// What may still be compared and returned.
struct Room {
    lines: usize,
    rows: usize,
}

impl Room {
    /// The groups of changed lines, and how many rows are left out; `None` if there is no room to
    /// compare these files.
    fn grouped(&mut self, old: &str, new: &str) -> Option<(Vec<Vec<LinePair>>, usize)> {
        let lines = |text: &'_ str| text.split_terminator('\n').count();
        let (count, longest) = (lines(old) + lines(new), lines(old).max(lines(new)));
        if longest > FILE_LINES_MAX {
            return None;
        }
        self.lines = self.lines.checked_sub(count)?;
        let old: Vec<&str> = old.split_terminator('\n').collect();
        let new: Vec<&str> = new.split_terminator('\n').collect();
        let ops = capture_diff_slices(Algorithm::Myers, &old, &new);
        let (mut groups, mut left_out) = (Vec::new(), 0);
        let mut rows_left = FILE_ROWS_MAX.min(self.rows);
        for ops in group_diff_ops(ops, CONTEXT) {
            let mut group: Vec<LinePair> =
                ops.iter().flat_map(|op| pairs(op, &old, &new)).collect();
            let cut = group.split_off(rows_left.min(group.len()));
            left_out += cut.iter().filter(|pair| !pair.same).count();
            rows_left -= group.len();
            self.rows = self.rows.saturating_sub(group.len());
            if !group.is_empty() {
                groups.push(group);
            }
        }
        Some((groups, left_out))
    }
}

/// The rows of one operation. Lines that took the place of others stand opposite to them.
fn pairs(op: &DiffOp, old: &[&str], new: &[&str]) -> Vec<LinePair> {
    let same = matches!(op, DiffOp::Equal { .. });
    let (of_old, of_new) = (op.old_range(), op.new_range());
    let line = |lines: &[&str], at: Option<usize>| {
        let at = at?;
        lines.get(at).map(|text| NumberedLine { number: at + 1, text: shown(text) })
    };
    let rows = of_old.len().max(of_new.len());
    let at = |range: &std::ops::Range<usize>, row: usize| range.clone().nth(row);
    (0..rows)
        .map(|row| LinePair {
            same,
            old: line(old, at(&of_old, row)),
            new: line(new, at(&of_new, row)),
        })
        .collect()
}

/// A line as it is shown: a tab as spaces, other invisible characters escaped, and cut if it is long.
fn shown(line: &str) -> String {
    let cut: String = line.chars().take(LINE_CHARS_MAX).collect();
    let end = if cut.len() < line.len() { "..." } else { "" };
    printable(&cut.replace('\t', "    ")) + end
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(of: &[(&str, &str)]) -> Vec<(String, Vec<u8>)> {
        of.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect()
    }

    fn rows(file: &FileDifference) -> Vec<String> {
        let line = |line: &Option<NumberedLine>| match line {
            Some(line) => format!("{}:{}", line.number, line.text),
            None => "-".to_owned(),
        };
        let pairs = file.groups.iter().flatten();
        pairs.map(|it| format!("{} {} {}", it.same, line(&it.old), line(&it.new))).collect()
    }

    #[test]
    fn lines_stand_opposite_to_those_whose_place_they_took() {
        let old = files(&[("a", "1\n2\n3\n4\n5\n6\n7\n8\n9"), ("b", "x\n"), ("c", "same\n")]);
        let new = files(&[("a", "1\n2\n3\n4\nfive\n6\n7\n8\n9\n10"), ("c", "same\n"), ("d", "y")]);
        let found = file_differences(&old, &new);
        let changes: Vec<_> = found.files.iter().map(|it| (it.path.as_str(), it.change)).collect();
        assert_eq!(
            changes,
            [("a", FileChange::Changed), ("b", FileChange::Removed), ("d", FileChange::Added)]
        );
        assert_eq!(
            rows(&found.files[0]),
            [
                "true 2:2 2:2",
                "true 3:3 3:3",
                "true 4:4 4:4",
                "false 5:5 5:five",
                "true 6:6 6:6",
                "true 7:7 7:7",
                "true 8:8 8:8",
                "true 9:9 9:9",
                "false - 10:10",
            ]
        );
        assert_eq!(rows(&found.files[1]), ["false 1:x -"]);
        assert_eq!(rows(&found.files[2]), ["false - 1:y"]);
        assert_eq!(file_differences(&old, &old), FileDifferences::default());
    }

    #[test]
    fn what_cannot_be_seen_is_escaped_and_a_last_line_end_is_a_change_without_rows() {
        let old = files(&[("a", "x\n"), ("b", "\ty\r\n")]);
        let new = files(&[("a", "x"), ("b", "\u{202e}y\n")]);
        let found = file_differences(&old, &new);
        assert_eq!((found.files[0].groups.len(), found.files[0].left_out), (0, Some(0)));
        assert_eq!(rows(&found.files[1]), ["false 1:    y\\r 1:\\u{202e}y"]);
    }

    #[test]
    fn everything_is_bounded_and_says_what_is_left_out() {
        let many = |lines: usize, word: &str| {
            (0..lines).map(|line| format!("{word}{line}\n")).collect::<String>()
        };
        let changed = |lines: usize| {
            let (old, new) = (many(lines, "a"), many(lines, "b"));
            file_differences(&files(&[("f", &old)]), &files(&[("f", &new)])).files.remove(0)
        };
        let long = changed(FILE_LINES_MAX);
        assert_eq!(rows(&long).len(), FILE_ROWS_MAX);
        assert_eq!(long.left_out, Some(FILE_LINES_MAX - FILE_ROWS_MAX));
        let too_long = changed(FILE_LINES_MAX + 1);
        assert_eq!((too_long.groups.len(), too_long.left_out), (0, None));

        let text = "z".repeat(LINE_CHARS_MAX + 1);
        let names: Vec<String> = (0..FILES_MAX + 3).map(|at| format!("f{at:04}")).collect();
        let added: Vec<(&str, &str)> =
            names.iter().map(|name| (name.as_str(), text.as_str())).collect();
        let found = file_differences(&[], &files(&added));
        assert_eq!((found.files.len(), found.more), (FILES_MAX, 3));
        assert!(rows(&found.files[0])[0].ends_with("zz..."));

        let block = many(FILE_LINES_MAX, "a");
        let blocks: Vec<(&str, &str)> =
            names.iter().take(20).map(|name| (name.as_str(), block.as_str())).collect();
        let found = file_differences(&[], &files(&blocks));
        let shown: usize = found.files.iter().map(|file| rows(file).len()).sum();
        assert_eq!(shown, ROWS_MAX);
        assert_eq!(found.files.iter().filter(|file| file.left_out.is_none()).count(), 10);
    }
}
