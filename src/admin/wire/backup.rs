//! The response about a backup: where it is and which files it has, never their contents.

use serde::Serialize;

use crate::backup::BackupReport;
use crate::clock::rfc3339;

#[derive(Debug, Serialize)]
pub(in crate::admin) struct Backup {
    path: String,
    revision: u64,
    taken: String,
    bytes: u64,
    keys: usize,
}

impl From<BackupReport> for Backup {
    fn from(taken: BackupReport) -> Self {
        Self {
            path: taken.place.display().to_string(),
            revision: taken.revision.0,
            taken: rfc3339(taken.at),
            bytes: taken.bytes,
            keys: taken.keys,
        }
    }
}
