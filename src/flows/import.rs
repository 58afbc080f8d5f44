//! Import: makes members of a file, streamed, all or nothing, in one revision.
//!
//! The file is never held whole: bytes become records, records rows, and rows go to the store in
//! parts while the next bytes arrive. The store commits only after the last line was read and
//! found in order; until then nothing has changed, whoever hangs up. Faults of lines and clashes
//! with members there are come back together, by line. Writes nothing itself, and sends no mail.

mod records;
mod rows;

use std::collections::BTreeSet;
use std::mem;
use std::sync::Arc;

use tokio::sync::mpsc;

use self::records::{Cut, Cutter, Record};
pub use self::rows::Row;
use self::rows::{Columns, json_row};
use super::permit::Permit;
use super::whole::whole;
use super::{refresh, roles};
use crate::app::App;
use crate::domain::digest::Hasher;
use crate::domain::{
    AccountSlug, Digest, Failure, Kind, Member, MemberId, Revision, RoleId, Timestamp, Version,
    limits,
};
use crate::entropy;
use crate::http::Request;
use crate::store::{Committed, ImportPart, ImportRow};

/// How a file of members is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Comma-separated values with a header line (RFC 4180).
    Csv,
    /// One JSON object a line.
    JsonLines,
}

/// Rows that go to the store at once: large enough that handing over costs nothing, small enough
/// that a part is a fraction of a megabyte.
const PART_ROWS: usize = 1_000;
/// Parts that may wait for the store: it writes one while the next is read.
const PARTS_AHEAD: usize = 2;
/// Bytes of a refused file that are still read: a caller that is cut off while it sends sees a
/// broken pipe in place of the reasons.
const REFUSED_BYTES_READ_MAX: usize = 1 << 30;

/// What an import did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Imported {
    /// How many members it made.
    pub members: u64,
    /// SHA-256 of the file.
    pub digest: Digest,
}

/// Imports the body of `request` into the permit's account.
///
/// # Errors
/// `Invalid`, code `import_refused`, with a reason for each faulty line, up to
/// [`limits::IMPORT_FAULTS_MAX`] of them; `NotFound`, code `unknown_account`; `Timeout` when the
/// file stops arriving; `Internal`. Nothing has changed after any of them.
pub async fn run(
    app: &Arc<App>,
    permit: Permit,
    format: Format,
    request: &mut Request,
) -> Result<Committed<Imported>, Failure> {
    let roles = app.policies.load().roles().iter().map(|card| card.id.clone()).collect();
    let mut reader = Reader::new(format, roles);
    let maker = Maker { account: permit.account().clone(), joined: app.clock.now() };
    let (parts, receiver) = mpsc::channel(PARTS_AHEAD);
    // The reading is part of the connection and ends with it, which closes the channel and so
    // aborts the import. The storing is not: once the end was sent, the change is made whole.
    let storing = whole(store(Arc::clone(app), permit, receiver));
    let (read, stored) = tokio::join!(read(request, &mut reader, &maker, parts), storing);
    outcome(read, reader.finish(), stored)
}

async fn store(
    app: Arc<App>,
    permit: Permit,
    parts: mpsc::Receiver<ImportPart>,
) -> Result<Committed<u64>, Failure> {
    let done = app.store.member_import(permit.actor(), permit.account(), parts).await?;
    refresh::settled(&app, done.revision).await;
    Ok(done)
}

/// Reads the body to its end and hands its rows to the store, and, when all is in order, the end.
async fn read(
    request: &mut Request,
    reader: &mut Reader,
    maker: &Maker,
    parts: mpsc::Sender<ImportPart>,
) -> Result<(), Failure> {
    while let Some(bytes) = request.chunk().await? {
        reader.feed(&bytes);
        let gone_wrong = reader.faults.full()
            || reader.rows.len() >= PART_ROWS && !hand_over(reader, maker, &parts).await?;
        if gone_wrong {
            drop(parts);
            return skip_rest(request).await;
        }
    }
    reader.end();
    if hand_over(reader, maker, &parts).await? && reader.faults.list.is_empty() {
        // Whether the store still listens is told by what it answers.
        let _ = parts.send(ImportPart::End { digest: reader.digest() }).await;
    }
    Ok(())
}

/// Sends the rows read so far; false when the store takes no more, since it has failed.
async fn hand_over(
    reader: &mut Reader,
    maker: &Maker,
    parts: &mpsc::Sender<ImportPart>,
) -> Result<bool, Failure> {
    let rows = mem::take(&mut reader.rows);
    let rows: Vec<ImportRow> =
        rows.into_iter().map(|(line, row)| maker.row(line, row)).collect::<Result<_, _>>()?;
    Ok(parts.send(ImportPart::Rows(rows)).await.is_ok())
}

async fn skip_rest(request: &mut Request) -> Result<(), Failure> {
    let mut skipped = 0_usize;
    while let Some(bytes) = request.chunk().await? {
        skipped = skipped.saturating_add(bytes.len());
        if skipped > REFUSED_BYTES_READ_MAX {
            break;
        }
    }
    Ok(())
}

/// Makes members of rows.
#[derive(Debug)]
struct Maker {
    account: AccountSlug,
    joined: Timestamp,
}

impl Maker {
    fn row(&self, line: u64, row: Row) -> Result<ImportRow, Failure> {
        let id = match row.id {
            Some(id) => id,
            None => MemberId::from_random(entropy::random()?),
        };
        let member = Member {
            id,
            account: self.account.clone(),
            email: row.email,
            first_name: row.first_name,
            last_name: row.last_name,
            role: row.role,
            status: row.status,
            two_step: false,
            joined: self.joined,
            version: Version::FIRST,
        };
        Ok(ImportRow { line, member })
    }
}

/// What the caller hears: faults of the file and clashes in the store are one list.
fn outcome(
    read: Result<(), Failure>,
    file: Result<Digest, Faults>,
    stored: Result<Committed<u64>, Failure>,
) -> Result<Committed<Imported>, Failure> {
    match (file, stored) {
        (Ok(digest), Ok(Committed { revision, value: members })) => {
            Ok(Committed { revision, value: Imported { members, digest } })
        }
        (Err(faults), Ok(Committed { revision: Revision(revision), .. })) => {
            Err(Failure::internal(format!(
                "an import with {} faults was committed as revision {revision}",
                faults.list.len()
            )))
        }
        (file, Err(stored)) => {
            // A body that broke off is the cause of whatever the store says after it.
            read?;
            let mut faults = file.err().unwrap_or_default();
            let refused = stored.code == REFUSED;
            if !(refused || stored.kind == Kind::Invalid && !faults.list.is_empty()) {
                return Err(stored);
            }
            faults.merge(&stored.fields);
            Err(if faults.list.is_empty() { stored } else { faults.failure() })
        }
    }
}

/// The code of an import that is not in order.
const REFUSED: &str = "import_refused";

/// What is wrong with which line, up to a bound.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// The line, from 1, and the reason.
    pub list: Vec<(u64, String)>,
    /// Whether there are more than the list holds.
    pub more: bool,
}

impl Faults {
    fn add(&mut self, line: u64, reason: String) {
        if self.list.len() < limits::IMPORT_FAULTS_MAX {
            self.list.push((line, reason));
        } else {
            self.more = true;
        }
    }

    fn full(&self) -> bool {
        self.more
    }

    /// Takes in what the store found: fields named `line 17`.
    fn merge(&mut self, clashes: &[(String, String)]) {
        for (field, reason) in clashes {
            match field.strip_prefix("line ").and_then(|line| line.parse().ok()) {
                Some(line) => self.list.push((line, reason.clone())),
                None => self.more = true,
            }
        }
        self.list.sort_by_key(|(line, _)| *line);
        self.more |= self.list.len() > limits::IMPORT_FAULTS_MAX;
        self.list.truncate(limits::IMPORT_FAULTS_MAX);
    }

    fn failure(self) -> Failure {
        let (many, more) = (self.list.len(), if self.more { " and more" } else { "" });
        let faults = if many == 1 && !self.more { "fault" } else { "faults" };
        let text = format!(
            "nothing was imported: the file has {many} {faults}{more}; mend it and import it again"
        );
        let field = |(line, reason)| (format!("line {line}"), reason);
        let mut fields: Vec<_> = self.list.into_iter().map(field).collect();
        if self.more {
            fields.push(("and more".to_owned(), "further faults are not listed".to_owned()));
        }
        Failure { fields, ..Failure::new(Kind::Invalid, REFUSED, text) }
    }
}

/// Reads a file that arrives in pieces into rows and faults. Holds the rows of one piece, never
/// the file.
pub struct Reader {
    cutter: Cutter,
    layout: Layout,
    roles: BTreeSet<RoleId>,
    hasher: Hasher,
    digest: Digest,
    members: usize,
    rows: Vec<(u64, Row)>,
    faults: Faults,
    /// Nothing after this can be made sense of.
    over: bool,
}

#[derive(Debug)]
enum Layout {
    /// CSV; the columns once the header line was read.
    Csv(Option<Columns>),
    JsonLines,
}

impl Reader {
    /// A reader of a file whose roles must be among `roles`.
    #[must_use]
    pub fn new(format: Format, roles: BTreeSet<RoleId>) -> Self {
        let (cut, layout) = match format {
            Format::Csv => (Cut::Csv, Layout::Csv(None)),
            Format::JsonLines => (Cut::Lines, Layout::JsonLines),
        };
        Self {
            cutter: Cutter::new(cut),
            layout,
            roles,
            hasher: Hasher::default(),
            digest: Digest::default(),
            members: 0,
            rows: Vec::new(),
            faults: Faults::default(),
            over: false,
        }
    }

    /// Takes the next bytes of the file.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.hasher.raw(bytes);
        let mut records = Vec::new();
        self.cutter.feed(bytes, |record| records.push(record));
        records.into_iter().for_each(|record| self.record(record));
    }

    /// The file is read to its end.
    pub fn end(&mut self) {
        let mut records = Vec::new();
        self.cutter.finish(|record| records.push(record));
        records.into_iter().for_each(|record| self.record(record));
        if self.members == 0 && self.faults.list.is_empty() {
            self.faults.add(1, "the file holds no member: add a line for each".to_owned());
        }
        self.digest = mem::take(&mut self.hasher).finish();
    }

    /// Takes the rows read so far, each with its line.
    pub fn take_rows(&mut self) -> Vec<(u64, Row)> {
        mem::take(&mut self.rows)
    }

    /// SHA-256 of the file, once it was read to its end.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The digest of a file in order, or its faults.
    ///
    /// # Errors
    /// The faults, by line.
    pub fn finish(self) -> Result<Digest, Faults> {
        if self.faults.list.is_empty() { Ok(self.digest) } else { Err(self.faults) }
    }

    fn record(&mut self, record: Record) {
        if self.over {
            return;
        }
        let line = record.line;
        match record.bytes.and_then(|bytes| self.read(&bytes)) {
            Ok(Some(_)) if self.members == limits::IMPORT_MEMBERS_MAX => {
                self.over = true;
                let most = limits::IMPORT_MEMBERS_MAX;
                self.faults.add(line, format!("the file has more than {most} members: split it"));
            }
            Ok(Some(row)) => {
                self.members += 1;
                self.rows.push((line, row));
            }
            Ok(None) => {}
            Err(reason) => self.faults.add(line, reason),
        }
    }

    /// One record as a row; `None` for the header line.
    fn read(&mut self, bytes: &[u8]) -> Result<Option<Row>, String> {
        let row = match &mut self.layout {
            Layout::JsonLines => json_row(bytes)?,
            Layout::Csv(Some(columns)) => columns.row(bytes)?,
            Layout::Csv(columns) => {
                // Without its columns, no line of the file says anything.
                self.over = true;
                *columns = Some(Columns::read(bytes)?);
                self.over = false;
                return Ok(None);
            }
        };
        if self.roles.contains(&row.role) {
            return Ok(Some(row));
        }
        let there_are: Vec<&str> = self.roles.iter().map(RoleId::as_str).collect();
        Err(roles::unknown(&row.role, &there_are).public)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(lines: &[u64]) -> Faults {
        let list = lines.iter().map(|line| (*line, "from the file".to_owned())).collect();
        Faults { list, more: false }
    }

    fn clash(line: &str) -> Failure {
        let fields = vec![(line.to_owned(), "from the store".to_owned())];
        Failure { fields, ..Failure::new(Kind::Invalid, REFUSED, "") }
    }

    #[test]
    fn faults_of_the_file_and_clashes_in_the_store_are_one_list_by_line() {
        let failure = outcome(Ok(()), Err(faults(&[3, 9])), Err(clash("line 5"))).unwrap_err();
        let lines: Vec<&str> = failure.fields.iter().map(|(field, _)| field.as_str()).collect();
        assert_eq!(lines, ["line 3", "line 5", "line 9"]);
        assert!(failure.public.contains("3 faults;"), "{failure}");
        let failure = outcome(Ok(()), Ok(Digest::default()), Err(clash("line 5"))).unwrap_err();
        assert_eq!(failure.fields.len(), 1);
        assert!(failure.public.contains("1 fault;"), "{failure}");
    }

    #[test]
    fn the_list_is_bounded_and_says_that_there_is_more() {
        let lines: Vec<u64> = (1..=100).collect();
        let failure = outcome(Ok(()), Err(faults(&lines)), Err(clash("line 50"))).unwrap_err();
        assert_eq!(failure.fields.len(), limits::IMPORT_FAULTS_MAX + 1);
        assert_eq!(failure.fields.last().unwrap().0, "and more");
        assert!(failure.public.contains("100 faults and more"), "{failure}");
    }

    #[test]
    fn a_broken_disk_and_a_broken_body_are_told_as_such() {
        let disk = Failure::internal("disk");
        let failure = outcome(Ok(()), Err(faults(&[1])), Err(disk.clone())).unwrap_err();
        assert_eq!(failure.kind, Kind::Internal);
        let late = Failure::new(Kind::Timeout, "body_late", "too late");
        let failure = outcome(Err(late), Ok(Digest::default()), Err(disk)).unwrap_err();
        assert_eq!(failure.kind, Kind::Timeout);
    }

    #[test]
    fn a_commit_in_spite_of_faults_is_a_bug_and_not_a_success() {
        let stored = Ok(Committed { revision: Revision(7), value: 2 });
        let failure = outcome(Ok(()), Err(faults(&[1])), stored).unwrap_err();
        assert_eq!(failure.kind, Kind::Internal);
    }
}
