//! Files of people: the format, and the rows for commands that send them one by one.
//!
//! Reads files only.

use std::path::Path;

use clap::ValueEnum;

use super::timeout::WaitLimit;
use super::{CommandError, file_input};
use crate::domain::{Email, limits};
use crate::services::import::{self, ImportReader, ImportTarget, ImportedRow};
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

/// More than the size of the maximum number of invites.
const BYTES_MAX: u64 = ((limits::BULK_ITEMS_MAX + 1) * limits::IMPORT_LINE_BYTES_MAX) as u64;

/// The people to invite that a file names, each with the line; all of its faults at once, with what
/// `clash` says of those who are in order themselves.
pub(super) fn invited(
    file: &Path,
    format: Format,
    roles: RoleTitles,
    limit: &WaitLimit,
    clash: impl Fn(&Email) -> Option<String>,
) -> Result<Vec<(u64, ImportedRow)>, CommandError> {
    let format = match format {
        Format::Csv => import::Format::Csv,
        Format::Jsonl => import::Format::JsonLines,
    };
    let mut reader = ImportReader::new(format, ImportTarget::Invites, roles);
    reader.feed(&bytes(file, limit)?);
    reader.end();
    let (rows, is_whole) = (reader.take_rows(), reader.is_whole());
    let Err(mut faults) = reader.finish() else { return Ok(rows) };
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

fn bytes(file: &Path, limit: &WaitLimit) -> Result<Vec<u8>, CommandError> {
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
