//! The response about a backup: where it is and which files it has, never their contents.

use serde::Serialize;

use crate::backup::BackupReport;
use crate::clock::rfc3339;

document! {
    pub(in crate::admin) struct Backup from(taken: BackupReport) {
        path: String = taken.place.display().to_string(),
        revision: u64 = taken.revision.0,
        taken: String = rfc3339(taken.at),
        bytes: u64 = taken.bytes,
        keys: usize = taken.keys,
    }
}
