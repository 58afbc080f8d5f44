//! Files of people: the format, and the rows for commands that send them one by one.
//!
//! Reads files only.

use std::path::Path;

use clap::ValueEnum;

use super::timeout::WaitLimit;
use super::{CommandError, file_input};
use crate::domain::escaped_text::printable;
use crate::domain::{Email, Failure, RoleId, Status, input_cleanup, limits};
use crate::services::import::{
    self, ImportFaults, ImportReader, ImportTarget, ImportedRow, pasted_list,
};
use crate::services::invites::Invitation;
use crate::services::roles::RoleTitles;

/// The format of a file of people.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Format {
    Csv,
    Jsonl,
}

impl Format {
    /// From the flag, else from the file's name.
    pub(super) fn of(file: &Path, flag: Option<Self>) -> Result<Self, CommandError> {
        let ending = file.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        match (flag, ending) {
            (Some(format), _) => Ok(format),
            (None, "csv") => Ok(Self::Csv),
            (None, "jsonl" | "ndjson") => Ok(Self::Jsonl),
            (None, "xlsx" | "xlsm" | "xls" | "ods" | "numbers") => {
                Err(CommandError::usage(format!(
                    "`{}` is a workbook of a spreadsheet program: save it as CSV UTF-8, and give that file",
                    file.display()
                )))
            }
            _ => Err(CommandError::usage(format!(
                "`{}` ends in neither `.csv` nor `.jsonl`: give --format csv or --format jsonl",
                file.display()
            ))),
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Jsonl => "jsonl",
        }
    }

    pub(super) const fn media(self) -> &'static str {
        match self {
            Self::Csv => "text/csv",
            Self::Jsonl => "application/jsonl",
        }
    }
}

/// The format of a file of people to invite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum InviteFormat {
    /// With a header line
    Csv,
    /// One JSON object a line
    Jsonl,
    /// An address list of a mail program, or rows of a spreadsheet without a header line
    List,
}

impl InviteFormat {
    /// From the flag, else from the file's name.
    pub(super) fn of(file: &Path, flag: Option<Self>) -> Result<Self, CommandError> {
        match (flag, file.extension().and_then(|ending| ending.to_str())) {
            (Some(format), _) => Ok(format),
            (None, Some("txt")) => Ok(Self::List),
            (None, _) => match Format::of(file, None) {
                Ok(Format::Csv) => Ok(Self::Csv),
                Ok(Format::Jsonl) => Ok(Self::Jsonl),
                Err(stop) => Err(CommandError {
                    message: stop.message.replace(
                        "ends in neither `.csv` nor `.jsonl`: give --format csv or --format jsonl",
                        "ends in none of `.csv`, `.jsonl` and `.txt`: give --format csv, jsonl or list",
                    ),
                    ..stop
                }),
            },
        }
    }
}

/// More than the size of the maximum number of invites.
const BYTES_MAX: u64 = ((limits::BULK_ITEMS_MAX + 1) * limits::IMPORT_LINE_BYTES_MAX) as u64;

/// The people to invite that a file names, each with the line; all of its faults at once, with what
/// `clash` says of those who are in order themselves.
pub(super) fn invited(
    bytes: &[u8],
    (format, role): (InviteFormat, Option<&RoleId>),
    roles: RoleTitles,
    clash: impl Fn(&Email) -> Option<String>,
) -> Result<Vec<(u64, ImportedRow)>, CommandError> {
    let (rows, mut faults, is_whole) = match format {
        InviteFormat::Csv => rows(bytes, import::Format::Csv, roles),
        InviteFormat::Jsonl => rows(bytes, import::Format::JsonLines, roles),
        InviteFormat::List => {
            let (rows, faults) = listed(bytes, role, &roles)?;
            (rows, faults, true)
        }
    };
    if faults.list.is_empty() {
        return Ok(rows);
    }
    if is_whole {
        let clashes = rows.iter().filter_map(|(line, row)| Some((*line, clash(&row.email)?)));
        faults.list.extend(clashes);
        faults.list.sort_by_key(|(line, _)| *line);
    }
    let mut message = "nobody was invited: fix the file and send it again".to_owned();
    for (line, reason) in &faults.list {
        message.push_str(&format!("\n  line {line}: {reason}"));
    }
    if faults.more {
        message.push_str("\n  and more: further faults are not listed");
    }
    Err(CommandError::failure(message))
}

/// The rows of a file and its faults, and whether every line was read.
fn rows(
    bytes: &[u8],
    format: import::Format,
    roles: RoleTitles,
) -> (Vec<(u64, ImportedRow)>, ImportFaults, bool) {
    let mut reader = ImportReader::new(format, ImportTarget::Invites, roles);
    reader.feed(bytes);
    reader.end();
    let (rows, is_whole) = (reader.take_rows(), reader.is_whole());
    (rows, reader.finish().err().unwrap_or_default(), is_whole)
}

/// The same for a list, of which several entries may stand on one line.
fn listed(
    bytes: &[u8],
    role: Option<&RoleId>,
    roles: &RoleTitles,
) -> Result<(Vec<(u64, ImportedRow)>, ImportFaults), CommandError> {
    let text = input_cleanup::text(bytes);
    let text = text.map_err(|why| CommandError::failure(format!("the file {why}")))?;
    let entries = pasted_list::entries(text);
    let entries = entries.map_err(|fault| CommandError::failure(fault.public))?;
    let most = limits::BULK_ITEMS_MAX;
    if entries.is_empty() || entries.len() > most {
        let count = entries.len();
        let why = format!(
            "the file names {count} people, and from 1 to {most} can be invited at once: add people, or split the file"
        );
        return Err(CommandError::failure(why));
    }
    let (mut rows, mut faults) = (Vec::<(u64, ImportedRow)>::new(), ImportFaults::default());
    for entry in entries {
        let line = line_of(text, entry.source);
        let read = pasted_list::read(&entry.text, role, roles);
        let read = read.map(imported).map_err(|fault: Failure| fault.public);
        let read = read.and_then(|row| {
            let before = rows.iter().find(|(_, other)| other.email.key() == row.email.key());
            before.map_or(Ok(row), |(line, _)| Err(format!("same address as on line {line}")))
        });
        match read {
            Ok(row) => rows.push((line, row)),
            Err(why) => faults.list.push((line, format!("`{}`: {why}", printable(entry.source)))),
        }
    }
    Ok((rows, faults))
}

/// The line of a text on which a part of it begins.
fn line_of(text: &str, part: &str) -> u64 {
    let at = part.as_ptr().addr().saturating_sub(text.as_ptr().addr());
    let before = text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count();
    u64::try_from(before).unwrap_or(u64::MAX).saturating_add(1)
}

fn imported(invitation: Invitation) -> ImportedRow {
    let Invitation { email, first_name, last_name, role } = invitation;
    ImportedRow { id: None, email, first_name, last_name, role, status: Status::Active }
}

/// The content of a file, if it is not larger than that many people need.
pub(super) fn bytes(file: &Path, limit: &WaitLimit) -> Result<Vec<u8>, CommandError> {
    let bytes = file_input::bytes(file, BYTES_MAX + 1, limit)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= BYTES_MAX) {
        return Ok(bytes);
    }
    let most = limits::BULK_ITEMS_MAX;
    Err(CommandError::failure(format!(
        "`{}` is too large for the {most} people who can be invited at once: split it",
        file.display()
    )))
}
