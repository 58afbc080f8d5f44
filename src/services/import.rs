//! Import: creates members from a file, streamed, all or nothing.
//!
//! The file is spooled to disk until it is complete, so that a slow sender delays nobody. Then
//! bytes become records, records become rows, and rows go to the store in parts; the file is never
//! held in memory. The store commits only after the last line was read without a fault. Faults of
//! lines and conflicts with existing members are reported together, by line. Sends no mail.

pub mod pasted_list;
mod record_splitter;
mod row_parser;
mod upload_spool;

use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::hash::BuildHasher as _;
use std::mem;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use self::record_splitter::{FileRecord, RecordFormat, RecordSplitter};
pub(super) use self::row_parser::begins_like_a_formula;
use self::row_parser::{Columns, json_row};
pub use self::row_parser::{ImportTarget, ImportedRow};
use self::upload_spool::UploadSpool;
use super::caller::Caller;
use super::detached_changes::run_detached;
use super::directory_sync;
use super::roles::{self, RoleTitles};
use crate::app::App;
use crate::domain::digest::Hasher;
use crate::domain::{
    AccountSlug, Digest, Failure, Kind, Member, MemberId, Revision, Timestamp, Version, limits,
    plural,
};
use crate::entropy;
use crate::http::{Bytes, Request};
use crate::store::{Committed, ImportPart, ImportRow};

/// The format of a file of members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Comma-separated values with a header line (RFC 4180).
    Csv,
    /// One JSON object on each line.
    JsonLines,
}

/// Rows sent to the store in one part: large enough that sending costs nothing, small enough that a
/// part is a fraction of a megabyte.
const PART_ROWS: usize = 1_000;
/// Buffered parts: the store writes one while the next is read.
const PARTS_AHEAD: usize = 2;
/// How a file of a spreadsheet program begins: as a ZIP archive, or as an older workbook.
const WORKBOOKS: [&[u8]; 2] = [b"PK\x03\x04", b"\xd0\xcf\x11\xe0"];
/// How long after a failed write it is checked whether the disk works again.
const TRY_EVERY: Duration = Duration::from_secs(5);
/// The result of an import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The number of created members.
    pub members: u64,
    /// SHA-256 of the file.
    pub digest: Digest,
    /// What is unusual, by line, up to [`limits::IMPORT_FAULTS_MAX`] lines.
    pub hints: Vec<(u64, String)>,
}

/// Imports the body of `request` into the account, for the operator of the sidecar.
///
/// # Errors
/// `Denied` `operator_only`;
/// `Invalid`, code `import_refused`, with a reason for each faulty line, up to
/// [`limits::IMPORT_FAULTS_MAX`] of them; `NotFound`, code `unknown_account`; `Timeout` when the
/// file stops arriving; `Internal`. Nothing has changed after any of them.
pub async fn run(
    app: &Arc<App>,
    caller: Caller,
    format: Format,
    request: &mut Request,
) -> Result<Committed<Imported>, Failure> {
    caller.must_be_sidecar()?;
    let filled = UploadSpool::fill(&app.config.data, request).await;
    match &filled {
        Ok(_) => app.spooling.worked(),
        Err(fault) if fault.code == upload_spool::NO_ROOM => {
            app.spooling.failed(fault.private.as_deref().unwrap_or(&fault.public));
        }
        Err(_) => {}
    }
    let file = filled?;
    let app = Arc::clone(app);
    run_detached(async move { store(&app, &caller, format, file).await }).await
}

/// Checks repeatedly whether a data folder that failed to store a file works again, until the task
/// is ended.
pub async fn retry_spool(app: Arc<App>) {
    loop {
        tokio::time::sleep(TRY_EVERY).await;
        if app.spooling.fault().is_some()
            && upload_spool::try_to_fill(&app.config.data).await.is_ok()
        {
            app.spooling.worked();
        }
    }
}

/// Finds out whether the data folder takes a file; readiness tells where it does not.
pub async fn try_to_keep(app: &App) {
    match upload_spool::try_to_fill(&app.config.data).await {
        Ok(()) => app.spooling.worked(),
        Err(fault) => app.spooling.failed(fault.private.as_deref().unwrap_or(&fault.public)),
    }
}

/// Removes what is left of imports that were never made; in a fleet one node does.
///
/// # Errors
/// `Busy`, when the disk fails, or the log of a fleet is not reached.
pub async fn sweep_once(app: &App) -> Result<(), Failure> {
    while app.tends() {
        let done = app.store.imports_sweep().await?;
        directory_sync::wait_until_settled(app, done.revision).await?;
        if !done.value {
            break;
        }
    }
    Ok(())
}

/// Whether a folder takes a file.
///
/// # Errors
/// `Busy` with the cause, where it does not.
pub async fn folder_takes_a_file(folder: &Path) -> Result<(), Failure> {
    upload_spool::try_to_fill(folder).await
}

async fn store(
    app: &App,
    caller: &Caller,
    format: Format,
    mut file: impl UploadSource,
) -> Result<Committed<Imported>, Failure> {
    // Acquired before the store, as for every change that gives a role: otherwise a deadlock with a
    // reload is possible.
    let _giving = roles::lock_role_grants(app, []).await?;
    let roles = RoleTitles::of(&app.policies.load());
    let mut reader = ImportReader::new(format, ImportTarget::Members, roles);
    let maker = MemberMaker { account: caller.account().clone(), joined: app.clock.now() };
    let (parts, receiver) = mpsc::channel(PARTS_AHEAD);
    let actor = caller.actor();
    let storing = app.store.member_import(&actor, caller.account(), receiver);
    let (read, stored) = tokio::join!(read(&mut file, &mut reader, &maker, parts), storing);
    let hints = mem::take(&mut reader.hints);
    outcome(
        read,
        reader.finish().map(|digest| (digest, hints)),
        directory_sync::wait_until_applied(app, stored).await,
    )
}

/// The source of a file, in pieces.
trait UploadSource {
    /// The next piece; `None` at the end.
    fn piece(&mut self) -> impl Future<Output = Result<Option<Bytes>, Failure>> + Send;
}

/// Reads the file to its end, sends its rows to the store, and commits if there is no fault.
/// Dropped without that, the parts abort the import.
async fn read(
    file: &mut impl UploadSource,
    reader: &mut ImportReader,
    maker: &MemberMaker,
    parts: mpsc::Sender<ImportPart>,
) -> Result<(), Failure> {
    while let Some(bytes) = file.piece().await? {
        reader.feed(&bytes);
        let gone_wrong = reader.faults.full()
            || reader.rows.len() >= PART_ROWS && !hand_over(reader, maker, &parts).await?;
        if gone_wrong {
            return Ok(());
        }
    }
    reader.end();
    if hand_over(reader, maker, &parts).await? && reader.faults.list.is_empty() {
        // The store's own result says whether it still listens.
        let _ = parts.send(ImportPart::End { digest: reader.digest() }).await;
    }
    Ok(())
}

/// Sends the rows read so far; false if the store has failed.
async fn hand_over(
    reader: &mut ImportReader,
    maker: &MemberMaker,
    parts: &mpsc::Sender<ImportPart>,
) -> Result<bool, Failure> {
    let rows = mem::take(&mut reader.rows);
    let rows: Vec<ImportRow> =
        rows.into_iter().map(|(line, row)| maker.row(line, row)).collect::<Result<_, _>>()?;
    Ok(parts.send(ImportPart::Rows(rows)).await.is_ok())
}

/// Reads and discards the rest of a refused file.
///
/// # Errors
/// `Timeout` when the file stops arriving.
pub async fn drain_body(request: &mut Request) -> Result<(), Failure> {
    let mut skipped = 0_usize;
    while skipped < limits::IMPORT_FILE_BYTES_MAX
        && let Some(bytes) = request.chunk().await?
    {
        skipped = skipped.saturating_add(bytes.len());
    }
    Ok(())
}

/// Turns rows into members.
#[derive(Debug)]
struct MemberMaker {
    account: AccountSlug,
    joined: Timestamp,
}

impl MemberMaker {
    fn row(&self, line: u64, row: ImportedRow) -> Result<ImportRow, Failure> {
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

/// The caller's result: faults of the file and conflicts in the store are one list.
fn outcome(
    read: Result<(), Failure>,
    file: Result<(Digest, Vec<(u64, String)>), ImportFaults>,
    stored: Result<Committed<u64>, Failure>,
) -> Result<Committed<Imported>, Failure> {
    match (file, stored) {
        (Ok((digest, hints)), Ok(Committed { revision, value: members })) => {
            Ok(Committed { revision, value: Imported { members, digest, hints } })
        }
        (Err(faults), Ok(Committed { revision: Revision(revision), .. })) => {
            Err(Failure::internal(format!(
                "an import with {} was committed as revision {revision}",
                plural(faults.list.len(), "fault", "faults")
            )))
        }
        (file, Err(stored)) => {
            // A truncated body is the cause of the store's failure after it.
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

/// The code of a refused import.
const REFUSED: &str = "import_refused";

/// Faults by line, up to a limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportFaults {
    /// The line, from 1, and the reason.
    pub list: Vec<(u64, String)>,
    /// Whether there are more than the list holds.
    pub more: bool,
}

impl ImportFaults {
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

    /// Adds the store's faults: fields named `line 17`.
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
            "nothing was imported: the file has {many} {faults}{more}; fix it and import it again"
        );
        let field = |(line, reason)| (format!("line {line}"), reason);
        let mut fields: Vec<_> = self.list.into_iter().map(field).collect();
        if self.more {
            fields.push(("and more".to_owned(), "further faults are not listed".to_owned()));
        }
        Failure { fields, ..Failure::new(Kind::Invalid, REFUSED, text) }
    }
}

/// Parses a file in pieces into rows and faults. Keeps the rows of one piece, never the file.
pub struct ImportReader {
    cutter: RecordSplitter,
    layout: FileLayout,
    becomes: ImportTarget,
    roles: RoleTitles,
    hasher: Hasher,
    digest: Digest,
    people: usize,
    /// The first bytes of the file, by which a workbook is known.
    begins: Vec<u8>,
    /// The line of each address and id, by a hash, which is smaller than the text. That two texts of
    /// the largest file have one hash has a chance below one in a million. Bounded by
    /// [`ImportTarget::people_max`].
    lines: HashMap<u64, u64>,
    hashes: RandomState,
    rows: Vec<(u64, ImportedRow)>,
    /// What is unusual, by line.
    hints: Vec<(u64, String)>,
    faults: ImportFaults,
    /// The rest cannot be parsed.
    over: bool,
}

#[derive(Debug)]
enum FileLayout {
    /// CSV; with the columns after the header line.
    Csv(Option<Columns>),
    JsonLines,
}

impl ImportReader {
    /// A reader of a file whose roles must be among `roles`.
    #[must_use]
    pub fn new(format: Format, becomes: ImportTarget, roles: RoleTitles) -> Self {
        let (cut, layout) = match format {
            Format::Csv => (RecordFormat::Csv, FileLayout::Csv(None)),
            Format::JsonLines => (RecordFormat::Lines, FileLayout::JsonLines),
        };
        Self {
            cutter: RecordSplitter::new(cut),
            layout,
            becomes,
            roles,
            hasher: Hasher::default(),
            digest: Digest::default(),
            people: 0,
            begins: Vec::new(),
            lines: HashMap::new(),
            hashes: RandomState::new(),
            rows: Vec::new(),
            hints: Vec::new(),
            faults: ImportFaults::default(),
            over: false,
        }
    }

    /// Parses the next bytes of the file.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.hasher.raw(bytes);
        self.begin(bytes);
        let mut records = Vec::new();
        self.cutter.feed(bytes, |record| records.push(record));
        records.into_iter().for_each(|record| self.record(record));
    }

    /// A workbook makes no sense as lines, however it is cut.
    fn begin(&mut self, bytes: &[u8]) {
        let missing = WORKBOOKS[0].len().saturating_sub(self.begins.len());
        if missing == 0 {
            return;
        }
        self.begins.extend(bytes.iter().take(missing));
        if WORKBOOKS.contains(&self.begins.as_slice()) {
            self.over = true;
            self.faults.add(
                1,
                "the file is an Excel workbook or the like: save it as CSV UTF-8, and give that file"
                    .to_owned(),
            );
        }
    }

    /// Finishes after the last byte.
    pub fn end(&mut self) {
        let mut records = Vec::new();
        self.cutter.finish(|record| records.push(record));
        records.into_iter().for_each(|record| self.record(record));
        if self.people == 0 && self.faults.list.is_empty() {
            self.faults.add(1, "the file names nobody: add a line for each person".to_owned());
        }
        self.digest = mem::take(&mut self.hasher).finish();
    }

    /// Takes the rows parsed so far, each with its line.
    pub fn take_rows(&mut self) -> Vec<(u64, ImportedRow)> {
        mem::take(&mut self.rows)
    }

    /// SHA-256 of the file, after its end.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The digest of a valid file, or its faults.
    ///
    /// # Errors
    /// The faults, by line.
    pub fn finish(self) -> Result<Digest, ImportFaults> {
        if self.faults.list.is_empty() { Ok(self.digest) } else { Err(self.faults) }
    }

    fn record(&mut self, record: FileRecord) {
        if self.over {
            return;
        }
        let line = record.line;
        match record.bytes.and_then(|bytes| self.read(&bytes)) {
            Ok(Some(_)) if self.people == self.becomes.people_max() => {
                self.over = true;
                let most = self.becomes.people_max();
                self.faults.add(line, format!("the file names more than {most} people: split it"));
            }
            Ok(Some(row)) => {
                self.people += 1;
                match self.named_before(line, &row) {
                    Some(reason) => self.faults.add(line, reason),
                    None => {
                        let hint = row.email.hint().map(|hint| (line, hint));
                        let room = limits::IMPORT_FAULTS_MAX - self.hints.len();
                        self.hints.extend(hint.into_iter().take(room));
                        self.rows.push((line, row));
                    }
                }
            }
            Ok(None) => {}
            Err(reason) => self.faults.add(line, reason),
        }
    }

    /// Says of a person who comes twice what is the same, and on which line it was first.
    fn named_before(&mut self, line: u64, row: &ImportedRow) -> Option<String> {
        let email = ("address", row.email.key());
        let id = row.id.as_ref().map(|id| ("id", id.as_str()));
        let mut same = Vec::new();
        for (what, text) in std::iter::once(email).chain(id) {
            match self.lines.entry(self.hashes.hash_one((what, text))) {
                Entry::Occupied(first) => same.push(format!("same {what} as line {}", first.get())),
                Entry::Vacant(free) => drop(free.insert(line)),
            }
        }
        (!same.is_empty())
            .then(|| format!("`{}`: {}: remove one of the two", row.email, same.join("; ")))
    }

    /// Whether every line of the file was read.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        !self.over
    }

    /// One record as a row; `None` for the header line.
    fn read(&mut self, bytes: &[u8]) -> Result<Option<ImportedRow>, String> {
        match &mut self.layout {
            FileLayout::JsonLines => json_row(bytes, self.becomes, &self.roles).map(Some),
            FileLayout::Csv(Some(columns)) => columns.row(bytes, &self.roles).map(Some),
            FileLayout::Csv(columns) => {
                // Without columns, no line can be parsed.
                self.over = true;
                let separator = self.cutter.separator();
                *columns = Some(Columns::read(bytes, separator, self.becomes)?);
                self.over = false;
                Ok(None)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::domain::RoleId;

    /// A file in pieces; a failure is a body that breaks off.
    impl UploadSource for VecDeque<Result<Bytes, Failure>> {
        async fn piece(&mut self) -> Result<Option<Bytes>, Failure> {
            self.pop_front().transpose()
        }
    }

    /// What the store would get of a file.
    #[derive(Debug, Default)]
    struct Sent {
        /// The lines of the rows, a list for each part.
        parts: Vec<Vec<u64>>,
        end: Option<Digest>,
    }

    /// Reads a file as an import does. The store hangs up after `parts_taken` parts.
    async fn sent(
        mut file: VecDeque<Result<Bytes, Failure>>,
        parts_taken: usize,
    ) -> (Result<(), Failure>, Result<Digest, ImportFaults>, Sent) {
        let roles = RoleTitles::new([(RoleId::parse("writer").unwrap(), "Writer".to_owned())]);
        let mut reader = ImportReader::new(Format::Csv, ImportTarget::Members, roles);
        let maker =
            MemberMaker { account: AccountSlug::parse("acme").unwrap(), joined: Timestamp(0) };
        let (parts, mut receiver) = mpsc::channel(PARTS_AHEAD);
        let store = async move {
            let mut sent = Sent::default();
            while sent.parts.len() < parts_taken
                && let Some(part) = receiver.recv().await
            {
                match part {
                    ImportPart::Rows(rows) => {
                        sent.parts.push(rows.iter().map(|row| row.line).collect());
                    }
                    ImportPart::End { digest } => sent.end = Some(digest),
                }
            }
            sent
        };
        let (read, sent) = tokio::join!(read(&mut file, &mut reader, &maker, parts), store);
        (read, reader.finish(), sent)
    }

    fn pieces(texts: &[&str]) -> VecDeque<Result<Bytes, Failure>> {
        texts.iter().map(|text| Ok(Bytes::copy_from_slice(text.as_bytes()))).collect()
    }

    const HEADER: &str = "first_name,last_name,email,role\n";

    #[tokio::test]
    async fn a_file_in_order_ends_with_the_digest_of_its_bytes() {
        let file = [HEADER, "Ann,Lee,ann@exa", "mple.org,writer\nBo,Lee,bo@example.org,writer"];
        let (read, digest, sent) = sent(pieces(&file), usize::MAX).await;
        read.unwrap();
        assert_eq!(sent.parts, [[2, 3]]);
        let mut hasher = Hasher::default();
        hasher.raw(file.concat().as_bytes());
        let expected = hasher.finish();
        assert_eq!(sent.end, Some(expected));
        assert_eq!(digest, Ok(expected));
    }

    #[tokio::test]
    async fn a_file_with_a_fault_has_no_end_and_is_still_read_for_clashes() {
        let file = [HEADER, "Ann,Lee,ann,writer\n", "Bo,Lee,bo@example.org,writer\n"];
        let (read, digest, sent) = sent(pieces(&file), usize::MAX).await;
        read.unwrap();
        assert_eq!((sent.parts, sent.end), (vec![vec![3]], None));
        assert_eq!(digest.unwrap_err().list.first().unwrap().0, 2);
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_has_no_end() {
        let late = Failure::new(Kind::Timeout, "body_late", "too late");
        let mut file = pieces(&[HEADER, "Ann,Lee,ann@example.org,writer\n"]);
        file.push_back(Err(late.clone()));
        let (read, _, sent) = sent(file, usize::MAX).await;
        assert_eq!(read, Err(late));
        assert_eq!(sent.end, None);
    }

    #[tokio::test]
    async fn a_long_file_goes_in_parts_and_a_store_that_hangs_up_gets_no_more() {
        let line = |number| format!("Ann,Lee,ann{number}@example.org,writer\n");
        let lines = |numbers: std::ops::Range<usize>| numbers.map(line).collect::<String>();
        let (first, second) = (lines(0..PART_ROWS), lines(PART_ROWS..2 * PART_ROWS));
        let last = line(2 * PART_ROWS);
        let file = [HEADER, &first, &second, &last];
        let (read, _, all) = sent(pieces(&file), usize::MAX).await;
        read.unwrap();
        let lengths: Vec<usize> = all.parts.iter().map(Vec::len).collect();
        assert_eq!(lengths, [PART_ROWS, PART_ROWS, 1]);
        assert!(all.end.is_some());
        let (read, _, some) = sent(pieces(&file), 1).await;
        read.unwrap();
        assert_eq!((some.parts.len(), some.end), (1, None));
    }

    #[tokio::test]
    async fn a_file_full_of_faults_is_given_up() {
        let lines = "x\n".repeat(limits::IMPORT_FAULTS_MAX + 1);
        let (read, digest, sent) = sent(pieces(&[HEADER, &lines, "x\n"]), usize::MAX).await;
        read.unwrap();
        assert_eq!((sent.parts.len(), sent.end), (0, None));
        let faults = digest.unwrap_err();
        assert_eq!((faults.list.len(), faults.more), (limits::IMPORT_FAULTS_MAX, true));
    }

    fn read_all(format: Format, file: &[u8], piece: usize) -> ImportFaults {
        let roles = RoleTitles::new([(RoleId::parse("writer").unwrap(), "Writer".to_owned())]);
        let mut reader = ImportReader::new(format, ImportTarget::Members, roles);
        file.chunks(piece).for_each(|bytes| reader.feed(bytes));
        reader.end();
        reader.finish().unwrap_err()
    }

    #[test]
    fn who_comes_twice_is_told_by_both_lines() {
        let file = "id,first_name,last_name,email,role\nm1,Ann,Lee,ann@example.org,writer\n\
            ,Bo,Ek,bo@example.org,writer\nm2,Ann,Lee,ANN@example.org,writer\n\
            m1,Cy,Fox,cy@example.org,writer\n";
        let faults = read_all(Format::Csv, file.as_bytes(), 7);
        let lines: Vec<u64> = faults.list.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [4, 5]);
        assert!(faults.list[0].1.contains("same address as line 2"), "{faults:?}");
        assert!(faults.list[1].1.contains("same id as line 2"), "{faults:?}");
    }

    #[test]
    fn who_comes_twice_is_told_by_both_lines_in_a_long_file_too() {
        let mut file = HEADER.to_owned();
        for number in 0..120_000 {
            file.push_str(&format!("Ann,Lee,a{number}@example.org,writer\n"));
        }
        file.push_str("Ann,Lee,A119999@example.org,writer\n");
        let faults = read_all(Format::Csv, file.as_bytes(), 64 << 10);
        let [(120_002, reason)] = faults.list.as_slice() else { panic!("{faults:?}") };
        assert!(reason.contains("same address as line 120001"), "{reason}");
    }

    #[test]
    fn a_workbook_is_named_and_read_no_further() {
        for begin in WORKBOOKS {
            for (format, piece) in [(Format::Csv, 1), (Format::Csv, 64), (Format::JsonLines, 64)] {
                let file = [begin, b"\x14\0\x06\0\n\"x,\ny\n"].concat();
                let faults = read_all(format, &file, piece);
                let [(1, reason)] = faults.list.as_slice() else { panic!("{faults:?}") };
                assert!(reason.contains("save it as CSV UTF-8"), "{reason}");
            }
        }
    }

    #[test]
    fn one_member_too_many_is_a_fault() {
        let roles = RoleTitles::new([(RoleId::parse("writer").unwrap(), "Writer".to_owned())]);
        let mut reader = ImportReader::new(Format::Csv, ImportTarget::Members, roles);
        reader.people = limits::IMPORT_MEMBERS_MAX - 1;
        reader.feed(HEADER.as_bytes());
        reader.feed(b"Ann,Lee,ann@example.org,writer\n");
        assert_eq!(reader.faults, ImportFaults::default());
        reader.feed(b"Bo,Lee,bo@example.org,writer\nCy,Lee,cy@example.org,writer\n");
        reader.end();
        assert_eq!(reader.take_rows().len(), 1);
        let [(3, reason)] = reader.faults.list.as_slice() else { panic!("{:?}", reader.faults) };
        assert!(reason.contains("split it"));
    }

    fn faults(lines: &[u64]) -> ImportFaults {
        let list = lines.iter().map(|line| (*line, "from the file".to_owned())).collect();
        ImportFaults { list, more: false }
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
        let failure =
            outcome(Ok(()), Ok((Digest::default(), Vec::new())), Err(clash("line 5"))).unwrap_err();
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
        let failure =
            outcome(Err(late), Ok((Digest::default(), Vec::new())), Err(disk)).unwrap_err();
        assert_eq!(failure.kind, Kind::Timeout);
    }

    #[test]
    fn a_commit_in_spite_of_faults_is_a_bug_and_not_a_success() {
        let stored = Ok(Committed { revision: Revision(7), value: 2 });
        let failure = outcome(Ok(()), Err(faults(&[1])), stored).unwrap_err();
        assert_eq!(failure.kind, Kind::Internal);
    }
}
