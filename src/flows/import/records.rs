//! Cuts a file that arrives in pieces into records: lines, or CSV records that span lines.
//!
//! Holds one record at a time, up to a bound; a longer one is skipped to its end and told as a
//! fault, so that the lines after it keep their numbers. Knows where a record ends, never what it
//! says.

use std::mem;

use crate::domain::limits;

/// How records are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// At each line feed.
    Lines,
    /// At each line feed outside of quotes (RFC 4180).
    Csv,
}

/// One record as it stands in the file, without its line end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// The line it begins on, from 1.
    pub(super) line: u64,
    /// What it says, or why it cannot be read.
    pub(super) bytes: Result<Vec<u8>, String>,
}

/// Where in a CSV record the last byte was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quoting {
    /// At the start of a field, where a quote opens.
    FieldStart,
    /// In a field without quotes, where a quote is a character like any other.
    Plain,
    /// Within quotes.
    Quoted,
    /// After a quote within quotes: the end of the field, or the first of a doubled quote.
    QuoteSeen,
}

impl Quoting {
    fn after(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::Quoted, b'"') => Self::QuoteSeen,
            (Self::Quoted, _) | (Self::FieldStart | Self::QuoteSeen, b'"') => Self::Quoted,
            (_, b',') => Self::FieldStart,
            (_, _) => Self::Plain,
        }
    }
}

/// Takes bytes, gives records.
#[derive(Debug)]
pub(super) struct Cutter {
    cut: Cut,
    quoting: Quoting,
    /// The line that the next byte is on.
    line: u64,
    /// The line that the record under way began on.
    began: u64,
    held: Vec<u8>,
    too_long: bool,
    /// How many bytes of a byte order mark were seen; `None` past the file's start.
    mark: Option<usize>,
}

/// U+FEFF as UTF-8, which spreadsheets write at the start of a file.
const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

impl Cutter {
    pub(super) fn new(cut: Cut) -> Self {
        Self {
            cut,
            quoting: Quoting::FieldStart,
            line: 1,
            began: 1,
            held: Vec::new(),
            too_long: false,
            mark: Some(0),
        }
    }

    /// Takes the next bytes of the file and hands each record that they complete to `each`.
    /// Empty lines are no records.
    pub(super) fn feed(&mut self, bytes: &[u8], mut each: impl FnMut(Record)) {
        for &byte in bytes {
            if !self.is_mark(byte) {
                self.take(byte, &mut each);
            }
        }
    }

    /// The file is read to its end: what is held is its last record.
    pub(super) fn finish(&mut self, mut each: impl FnMut(Record)) {
        self.release_mark(&mut each);
        if self.cut == Cut::Csv && self.quoting == Quoting::Quoted {
            each(Record {
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

    /// Bytes that only looked like a byte order mark belong to the first record.
    fn release_mark(&mut self, each: &mut impl FnMut(Record)) {
        if let Some(seen) = self.mark.take() {
            for byte in BYTE_ORDER_MARK.into_iter().take(seen) {
                self.take(byte, each);
            }
        }
    }

    fn take(&mut self, byte: u8, each: &mut impl FnMut(Record)) {
        let quoted = self.cut == Cut::Csv && self.quoting == Quoting::Quoted;
        if byte == b'\n' {
            self.line = self.line.saturating_add(1);
            if !quoted {
                self.end_record(each);
                return;
            }
        }
        self.quoting = self.quoting.after(byte);
        if self.held.len() < limits::IMPORT_LINE_BYTES_MAX {
            self.held.push(byte);
        } else {
            self.too_long = true;
        }
    }

    fn end_record(&mut self, each: &mut impl FnMut(Record)) {
        let line = mem::replace(&mut self.began, self.line);
        let mut bytes = mem::take(&mut self.held);
        self.quoting = Quoting::FieldStart;
        if mem::take(&mut self.too_long) {
            let most = limits::IMPORT_LINE_BYTES_MAX;
            let hint = match self.cut {
                Cut::Lines => "",
                Cut::Csv => ", or close a quote that was left open",
            };
            let reason = format!("the line is longer than {most} bytes: shorten it{hint}");
            each(Record { line, bytes: Err(reason) });
            return;
        }
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
        if !bytes.iter().all(u8::is_ascii_whitespace) {
            each(Record { line, bytes: Ok(bytes) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(cut: Cut, file: &[u8], piece: usize) -> Vec<Record> {
        let mut records = Vec::new();
        let mut cutter = Cutter::new(cut);
        for bytes in file.chunks(piece) {
            cutter.feed(bytes, |record| records.push(record));
        }
        cutter.finish(|record| records.push(record));
        records
    }

    fn texts(records: Vec<Record>) -> Vec<(u64, String)> {
        let text = |record: Record| match record.bytes {
            Ok(bytes) => (record.line, String::from_utf8(bytes).unwrap()),
            Err(reason) => (record.line, reason),
        };
        records.into_iter().map(text).collect()
    }

    fn expect(found: Vec<Record>, expected: &[(u64, &str)]) {
        let expected: Vec<(u64, String)> =
            expected.iter().map(|(line, text)| (*line, (*text).to_owned())).collect();
        assert_eq!(texts(found), expected);
    }

    #[test]
    fn records_are_the_same_however_the_file_is_cut_into_pieces() {
        let file = b"\xef\xbb\xbfa,b\r\n\r\n\"x\ny\",\"q\"\"\n\",z\n \nlast,5\" pipe\nend";
        for piece in 1..=file.len() {
            expect(
                cut(Cut::Csv, file, piece),
                &[(1, "a,b"), (3, "\"x\ny\",\"q\"\"\n\",z"), (7, "last,5\" pipe"), (8, "end")],
            );
        }
    }

    #[test]
    fn a_quote_means_nothing_in_lines() {
        expect(cut(Cut::Lines, b"{\"a\n{\"b", 3), &[(1, "{\"a"), (2, "{\"b")]);
    }

    #[test]
    fn an_unclosed_quote_is_told_by_the_line_it_began_on() {
        let records = texts(cut(Cut::Csv, b"a\n\"b\nc\n", 4));
        let [_, (2, reason)] = records.as_slice() else { panic!("{records:?}") };
        assert!(reason.contains("never closed"));
    }

    #[test]
    fn a_long_line_is_skipped_and_the_next_keeps_its_number() {
        let mut file = vec![b'x'; limits::IMPORT_LINE_BYTES_MAX + 1];
        file.extend_from_slice(b"\nnext\n");
        let records = texts(cut(Cut::Lines, &file, 4096));
        let [(1, long), (2, next)] = records.as_slice() else { panic!("{records:?}") };
        assert!(long.contains("longer than"));
        assert_eq!(next, "next");
        let fits = vec![b'x'; limits::IMPORT_LINE_BYTES_MAX];
        assert!(cut(Cut::Lines, &fits, 4096).iter().all(|record| record.bytes.is_ok()));
    }

    #[test]
    fn bytes_that_only_begin_like_a_byte_order_mark_are_kept() {
        let records = cut(Cut::Lines, b"\xef\xbbx\n", 1);
        assert_eq!(records, [Record { line: 1, bytes: Ok(b"\xef\xbbx".to_vec()) }]);
    }
}
