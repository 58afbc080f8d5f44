//! Splits a streamed file into records: lines, or CSV records that span lines.
//!
//! Keeps one record at a time, up to a limit; a longer one is skipped to its end and reported, so
//! that the lines after it keep their numbers. Does not parse records.

use std::mem;

use crate::domain::input_cleanup::BYTE_ORDER_MARK;
use crate::domain::limits;

/// How records end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RecordFormat {
    /// At each line end.
    Lines,
    /// At each line end outside of quotes (RFC 4180).
    Csv,
}

/// One record as in the file, without its line end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileRecord {
    /// Its first line, from 1.
    pub(super) line: u64,
    /// Its content, or why it cannot be read.
    pub(super) bytes: Result<Vec<u8>, String>,
}

/// The position of the last byte in a CSV record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quoting {
    /// At the start of a field, where a quote opens.
    FieldStart,
    /// In a field without quotes, where a quote is an ordinary character.
    Plain,
    /// Within quotes.
    Quoted,
    /// After a quote within quotes: the end of the field, or the first of a doubled quote.
    QuoteSeen,
}

impl Quoting {
    fn after(self, byte: u8, separators: &[u8]) -> Self {
        match (self, byte) {
            (Self::Quoted, b'"') => Self::QuoteSeen,
            (Self::Quoted, _) | (Self::FieldStart | Self::QuoteSeen, b'"') => Self::Quoted,
            (_, byte) if separators.contains(&byte) => Self::FieldStart,
            (_, _) => Self::Plain,
        }
    }
}

/// The separators of spreadsheets: a comma, a semicolon where a comma is the decimal point, a tab
/// in copied cells. Each of them ends a cell until the first record has shown which one it is.
const SEPARATORS: [u8; 3] = [b',', b';', b'\t'];

/// The separator of a file, from its first record: the one that is most frequent outside quotes, a
/// comma by default.
fn separator_of(record: &[u8]) -> u8 {
    let mut counts = [0_usize; SEPARATORS.len()];
    let mut quoting = Quoting::FieldStart;
    for byte in record {
        quoting = quoting.after(*byte, &SEPARATORS);
        if quoting == Quoting::FieldStart {
            let found = SEPARATORS.iter().zip(&mut counts).find(|(known, _)| *known == byte);
            found.into_iter().for_each(|(_, count)| *count += 1);
        }
    }
    // In a tie, the first: a comma.
    let most = SEPARATORS.into_iter().zip(counts).rev().max_by_key(|(_, count)| *count);
    most.map_or(b',', |(separator, _)| separator)
}

/// The separator of a first line `sep=;` for spreadsheets.
fn told_separator(record: &[u8]) -> Option<u8> {
    match record {
        [b's' | b'S', b'e' | b'E', b'p' | b'P', b'=', separator] => {
            SEPARATORS.contains(separator).then_some(*separator)
        }
        _ => None,
    }
}

/// Splits bytes into records.
#[derive(Debug)]
pub(super) struct RecordSplitter {
    cut: RecordFormat,
    quoting: Quoting,
    /// The separator of cells, after the first record.
    separator: Option<u8>,
    /// Whether the previous byte was a carriage return, which forms one line end with a line feed.
    after_return: bool,
    /// The line of the next byte.
    line: u64,
    /// The first line of the current record.
    began: u64,
    held: Vec<u8>,
    too_long: bool,
    /// The bytes of a byte order mark seen; `None` after the file's start.
    mark: Option<usize>,
}

impl RecordSplitter {
    pub(super) fn new(cut: RecordFormat) -> Self {
        Self {
            cut,
            quoting: Quoting::FieldStart,
            separator: None,
            after_return: false,
            line: 1,
            began: 1,
            held: Vec::new(),
            too_long: false,
            mark: Some(0),
        }
    }

    /// The separator of the cells of a record.
    pub(super) fn separator(&self) -> u8 {
        self.separator.unwrap_or(b',')
    }

    /// Processes the next bytes of the file and passes each complete record to `each`. Empty lines
    /// are skipped, and lines of separators only, which spreadsheets write for empty rows.
    pub(super) fn feed(&mut self, bytes: &[u8], mut each: impl FnMut(FileRecord)) {
        for &byte in bytes {
            if !self.is_mark(byte) {
                self.take(byte, &mut each);
            }
        }
    }

    /// The end of the file: the rest is its last record.
    pub(super) fn finish(&mut self, mut each: impl FnMut(FileRecord)) {
        self.release_mark(&mut each);
        if self.cut == RecordFormat::Csv && self.quoting == Quoting::Quoted {
            each(FileRecord {
                line: self.began,
                bytes: Err("a quote is opened and never closed: close it with `\"`".to_owned()),
            });
            return;
        }
        self.end_record(&mut each);
    }

    /// Whether this byte belongs to a byte order mark at the file's start.
    fn is_mark(&mut self, byte: u8) -> bool {
        let Some(seen) = self.mark else { return false };
        if BYTE_ORDER_MARK.get(seen) == Some(&byte) {
            self.mark = if seen + 1 == BYTE_ORDER_MARK.len() { None } else { Some(seen + 1) };
            return true;
        }
        self.release_mark(&mut |_| {});
        false
    }

    /// Bytes that only looked like a byte order mark are part of the first record.
    fn release_mark(&mut self, each: &mut impl FnMut(FileRecord)) {
        if let Some(seen) = self.mark.take() {
            for byte in BYTE_ORDER_MARK.into_iter().take(seen) {
                self.take(byte, each);
            }
        }
    }

    fn separators(&self) -> &[u8] {
        self.separator.as_ref().map_or(&SEPARATORS, std::slice::from_ref)
    }

    fn take(&mut self, byte: u8, each: &mut impl FnMut(FileRecord)) {
        let quoted = self.cut == RecordFormat::Csv && self.quoting == Quoting::Quoted;
        // A line ends with a line feed, a carriage return, or both.
        let is_second_half = mem::replace(&mut self.after_return, byte == b'\r') && byte == b'\n';
        if matches!(byte, b'\r' | b'\n') {
            self.line = self.line.saturating_add(u64::from(!is_second_half));
            if !quoted {
                if is_second_half {
                    self.began = self.line;
                } else {
                    self.end_record(each);
                }
                return;
            }
        }
        self.quoting = self.quoting.after(byte, self.separators());
        if self.held.len() < limits::IMPORT_LINE_BYTES_MAX {
            self.held.push(byte);
        } else {
            self.too_long = true;
        }
    }

    fn end_record(&mut self, each: &mut impl FnMut(FileRecord)) {
        let line = mem::replace(&mut self.began, self.line);
        let bytes = mem::take(&mut self.held);
        self.quoting = Quoting::FieldStart;
        if mem::take(&mut self.too_long) {
            let most = limits::IMPORT_LINE_BYTES_MAX;
            let hint = match self.cut {
                RecordFormat::Lines => "",
                RecordFormat::Csv => ", or close a quote that was left open",
            };
            let reason = format!("the line is longer than {most} bytes: shorten it{hint}");
            each(FileRecord { line, bytes: Err(reason) });
            return;
        }
        let is_nothing = |byte: &u8| {
            byte.is_ascii_whitespace()
                || self.cut == RecordFormat::Csv
                    && (*byte == b'"' || self.separators().contains(byte))
        };
        if bytes.iter().all(is_nothing) {
            return;
        }
        if self.separator.is_none() && self.cut == RecordFormat::Csv {
            let told = told_separator(&bytes);
            self.separator = told.or_else(|| Some(separator_of(&bytes)));
            if told.is_some() {
                return;
            }
        }
        each(FileRecord { line, bytes: Ok(bytes) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(cut: RecordFormat, file: &[u8], piece: usize) -> Vec<FileRecord> {
        let mut records = Vec::new();
        let mut cutter = RecordSplitter::new(cut);
        for bytes in file.chunks(piece) {
            cutter.feed(bytes, |record| records.push(record));
        }
        cutter.finish(|record| records.push(record));
        records
    }

    fn texts(records: Vec<FileRecord>) -> Vec<(u64, String)> {
        let text = |record: FileRecord| match record.bytes {
            Ok(bytes) => (record.line, String::from_utf8(bytes).unwrap()),
            Err(reason) => (record.line, reason),
        };
        records.into_iter().map(text).collect()
    }

    fn expect(found: Vec<FileRecord>, expected: &[(u64, &str)]) {
        let expected: Vec<(u64, String)> =
            expected.iter().map(|(line, text)| (*line, (*text).to_owned())).collect();
        assert_eq!(texts(found), expected);
    }

    #[test]
    fn records_are_the_same_however_the_file_is_cut_into_pieces() {
        let file = b"\xef\xbb\xbfa,b\r\n\r\n\"x\ny\",\"q\"\"\n\",z\n \nlast,5\" pipe\nend";
        for piece in 1..=file.len() {
            expect(
                cut(RecordFormat::Csv, file, piece),
                &[(1, "a,b"), (3, "\"x\ny\",\"q\"\"\n\",z"), (7, "last,5\" pipe"), (8, "end")],
            );
        }
    }

    #[test]
    fn the_first_record_tells_the_separator_and_empty_rows_are_no_records() {
        for (file, separator) in [
            ("a,b\n1,2\n", b','),
            ("a;b;c\n,;,\n1;\"2\n3\";4\n;;\n \t\n", b';'),
            ("a\tb, c\td\n1\t2\t3\n\t\"\"\t\n", b'\t'),
            ("\"a,b,c\";d\n1;2\n", b';'),
            ("a\n1\n", b','),
            ("sep=;\na,b;c,d\n1;2\n", b';'),
            (";;\na;b\n1;2\n", b';'),
        ] {
            for piece in [1, 3, file.len()] {
                let mut records = Vec::new();
                let mut cutter = RecordSplitter::new(RecordFormat::Csv);
                for bytes in file.as_bytes().chunks(piece) {
                    cutter.feed(bytes, |record| records.push(record));
                }
                cutter.finish(|record| records.push(record));
                assert_eq!(cutter.separator(), separator, "{file:?}");
                let data = if file.starts_with("a;b;c") { 3 } else { 2 };
                assert_eq!(records.len(), data, "{file:?}: {records:?}");
            }
        }
    }

    #[test]
    fn a_line_ends_with_any_line_end() {
        for end in ["\n", "\r\n", "\r"] {
            let file = ["a,b", "", "\"x", "y\",z", "last", ""].join(end);
            for piece in 1..=file.len() {
                let quoted = format!("\"x{end}y\",z");
                expect(
                    cut(RecordFormat::Csv, file.as_bytes(), piece),
                    &[(1, "a,b"), (3, &quoted), (5, "last")],
                );
            }
        }
    }

    #[test]
    fn a_quote_means_nothing_in_lines() {
        expect(cut(RecordFormat::Lines, b"{\"a\n{\"b", 3), &[(1, "{\"a"), (2, "{\"b")]);
    }

    #[test]
    fn an_unclosed_quote_is_told_by_the_line_it_began_on() {
        let records = texts(cut(RecordFormat::Csv, b"a\n\"b\nc\n", 4));
        let [_, (2, reason)] = records.as_slice() else { panic!("{records:?}") };
        assert!(reason.contains("never closed"));
    }

    #[test]
    fn a_long_line_is_skipped_and_the_next_keeps_its_number() {
        let mut file = vec![b'x'; limits::IMPORT_LINE_BYTES_MAX + 1];
        file.extend_from_slice(b"\nnext\n");
        let records = texts(cut(RecordFormat::Lines, &file, 4096));
        let [(1, long), (2, next)] = records.as_slice() else { panic!("{records:?}") };
        assert!(long.contains("longer than"));
        assert_eq!(next, "next");
        let fits = vec![b'x'; limits::IMPORT_LINE_BYTES_MAX];
        assert!(cut(RecordFormat::Lines, &fits, 4096).iter().all(|record| record.bytes.is_ok()));
    }

    #[test]
    fn bytes_that_only_begin_like_a_byte_order_mark_are_kept() {
        let records = cut(RecordFormat::Lines, b"\xef\xbbx\n", 1);
        assert_eq!(records, [FileRecord { line: 1, bytes: Ok(b"\xef\xbbx".to_vec()) }]);
    }
}
