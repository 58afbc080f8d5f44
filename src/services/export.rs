//! Export: all members of an account as CSV or JSON lines, streamed page by page.
//!
//! Keeps one page in memory. CSV cells that a spreadsheet would run as a formula are escaped; JSON
//! lines keep every name as it is. Contains no secret.

use std::sync::Arc;

use serde::Serialize;
use tokio::sync::mpsc;

use super::caller::Caller;
use super::import::{Format, begins_like_a_formula};
use super::permits::Permit;
use super::rights::Right;
use crate::app::App;
use crate::domain::input_cleanup::BYTE_ORDER_MARK;
use crate::domain::{Failure, Member, limits};
use crate::http::StreamPiece;
use crate::store::{MemberFilter, Page};

/// The columns, in order, as an import accepts them.
const COLUMNS: [&str; 6] = ["id", "first_name", "last_name", "email", "role", "status"];
/// Buffered pages for the caller.
const PAGES_AHEAD: usize = 2;

/// The format of an export.
#[derive(Clone, Copy, Debug)]
pub struct ExportFormat {
    /// As CSV or as JSON lines.
    pub format: Format,
    /// With a byte order mark before CSV: without one, Excel takes UTF-8 for the code page of its
    /// system. JSON has none (RFC 8259 section 8.1).
    pub marked: bool,
}

/// Starts an export: its pages arrive through the receiver. A member whose address changes during
/// the export may be missed or appear twice, since the order changes.
///
/// # Errors
/// `Denied` `not_allowed`; `Busy`, when the first page cannot be read. What fails later breaks the stream off, and is
/// told to the log.
pub async fn run(
    app: &Arc<App>,
    caller: Caller,
    written: ExportFormat,
) -> Result<mpsc::Receiver<StreamPiece>, Failure> {
    let first = page(app, &caller, None).await?;
    let (pieces, receiver) = mpsc::channel(PAGES_AHEAD);
    let app = Arc::clone(app);
    tokio::spawn(async move {
        if let Err(failure) = send(&app, &caller, written, first, &pieces).await {
            tracing::error!(%failure, "an export ended early");
            return;
        }
        // Otherwise the status, already sent, would be false: the response is cut off.
        let _ = pieces.send(StreamPiece::Last).await;
    });
    Ok(receiver)
}

/// One page, if the caller may still see it.
async fn page(app: &App, caller: &Caller, after: Option<&str>) -> Result<Page<Member>, Failure> {
    let permit = Permit::authorize(app, caller.clone(), [Right::VIEW_TEAM]).await?;
    let all = MemberFilter::default();
    app.store.members(permit.account(), &all, after, limits::PAGE_ITEMS_MAX).await
}

async fn send(
    app: &App,
    caller: &Caller,
    ExportFormat { format, marked }: ExportFormat,
    first: Page<Member>,
    pieces: &mpsc::Sender<StreamPiece>,
) -> Result<(), Failure> {
    let mut text =
        if marked && format == Format::Csv { BYTE_ORDER_MARK.to_vec() } else { Vec::new() };
    text.extend(head(format)?);
    let mut next_page = first;
    loop {
        text.extend(lines(format, &next_page.items)?);
        let piece = StreamPiece::Bytes(std::mem::take(&mut text).into());
        let heard = pieces.send(piece).await.is_ok();
        let Some(after) = next_page.next.filter(|_| heard) else { return Ok(()) };
        next_page = page(app, caller, Some(&after)).await?;
    }
}

/// The text before the first member.
///
/// # Errors
/// `Internal`, never seen: a header line has nothing that cannot be written.
pub fn head(format: Format) -> Result<Vec<u8>, Failure> {
    match format {
        Format::JsonLines => Ok(Vec::new()),
        Format::Csv => csv_lines(std::iter::once(COLUMNS.map(str::to_owned))),
    }
}

/// One line for each member.
///
/// # Errors
/// `Internal`, never seen: a member has nothing that cannot be written.
pub fn lines(format: Format, members: &[Member]) -> Result<Vec<u8>, Failure> {
    match format {
        Format::Csv => csv_lines(members.iter().map(|member| cells(member).map(defused))),
        Format::JsonLines => json_lines(members),
    }
}

fn cells(member: &Member) -> [&str; COLUMNS.len()] {
    [
        member.id.as_str(),
        member.first_name.as_str(),
        member.last_name.as_str(),
        member.email.as_str(),
        member.role.as_str(),
        member.status.as_str(),
    ]
}

/// A spreadsheet evaluates a cell that begins like a formula, so that a member's name could read
/// other cells (OWASP: CSV injection). An apostrophe makes it text; an import removes it again.
fn defused(cell: &str) -> String {
    let quote = if begins_like_a_formula(cell.trim_start_matches('\'')) { "'" } else { "" };
    format!("{quote}{cell}")
}

fn csv_lines(records: impl Iterator<Item = [String; COLUMNS.len()]>) -> Result<Vec<u8>, Failure> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for record in records {
        writer.write_record(&record).map_err(|fault| unwritten(&fault))?;
    }
    writer.into_inner().map_err(|fault| unwritten(&fault))
}

/// One member as a line of JSON.
#[derive(Serialize)]
struct ExportLine<'a> {
    id: &'a str,
    first_name: &'a str,
    last_name: &'a str,
    email: &'a str,
    role: &'a str,
    status: &'a str,
}

fn json_lines(members: &[Member]) -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    for member in members {
        let [id, first_name, last_name, email, role, status] = cells(member);
        let line = ExportLine { id, first_name, last_name, email, role, status };
        serde_json::to_writer(&mut text, &line).map_err(|fault| unwritten(&fault))?;
        text.push(b'\n');
    }
    Ok(text)
}

fn unwritten(fault: &impl std::fmt::Display) -> Failure {
    Failure::internal(format!("an export line could not be written: {fault}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{AccountSlug, Email, MemberId, Name, RoleId, Status, Timestamp, Version};
    use crate::services::import::{ImportReader, ImportTarget};
    use crate::services::roles::RoleTitles;

    fn member(id: &str, first_name: &str, status: Status) -> Member {
        Member {
            id: MemberId::parse(id).unwrap(),
            account: AccountSlug::parse("acme").unwrap(),
            email: Email::parse(&format!("{id}@example.org")).unwrap(),
            first_name: Name::parse("first_name", first_name).unwrap(),
            last_name: Name::parse("last_name", "O\"Neil, Jr").unwrap(),
            role: RoleId::parse("writer").unwrap(),
            status,
            two_step: false,
            joined: Timestamp(0),
            version: Version::FIRST,
        }
    }

    fn exported(format: Format, members: &[Member]) -> Vec<u8> {
        [head(format).unwrap(), lines(format, members).unwrap()].concat()
    }

    #[test]
    fn a_cell_that_begins_like_a_formula_is_defused_in_csv() {
        for first_name in ["=1+1", "+1", "-1", "@SUM(A1)"] {
            let members = [member("a1", first_name, Status::Active)];
            let text = String::from_utf8(exported(Format::Csv, &members)).unwrap();
            assert!(text.contains(&format!(",'{first_name},")), "{text}");
            let text = String::from_utf8(exported(Format::JsonLines, &members)).unwrap();
            assert!(text.contains(&format!("\"{first_name}\"")), "{text}");
        }
        assert_eq!(defused("\tx"), "'\tx");
        assert_eq!(defused("a=b"), "a=b");
    }

    #[test]
    fn an_export_can_be_imported_and_nobody_suspended_comes_back_active() {
        let members = [
            member("a1", "Ann", Status::Active),
            member("b2", "\u{dc}mit", Status::Suspended),
            member("+4917", "'=1+1", Status::Active),
            member("-x", "'Tis", Status::Active),
        ];
        for format in [Format::Csv, Format::JsonLines] {
            let roles = RoleTitles::new([(RoleId::parse("writer").unwrap(), "Writer".to_owned())]);
            let mut reader = ImportReader::new(format, ImportTarget::Members, roles);
            reader.feed(&exported(format, &members));
            reader.end();
            let rows = reader.take_rows();
            reader.finish().unwrap();
            assert_eq!(rows.len(), members.len());
            for ((_, row), member) in rows.iter().zip(&members) {
                assert_eq!(row.id.as_ref(), Some(&member.id));
                assert_eq!((&row.email, &row.role), (&member.email, &member.role));
                assert_eq!(
                    (&row.first_name, &row.last_name),
                    (&member.first_name, &member.last_name)
                );
                assert_eq!(row.status, member.status);
            }
        }
    }
}
