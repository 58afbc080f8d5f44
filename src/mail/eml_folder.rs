//! The development backend: each message becomes a file and is not sent.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::send_fault::{AcceptedMail, FaultClass, SendFault, SmtpStep};
use crate::domain::{Failure, Kind};

/// How the detail of a message that became a file begins.
pub const WRITTEN: &str = "written to ";

/// Longest file name from a message id.
const NAME_CHARS_MAX: usize = 128;

/// A folder of `.eml` files.
pub(super) struct EmlFolder(PathBuf);

impl EmlFolder {
    /// Creates the folder (mode 0700) if it does not exist.
    pub(super) fn open(folder: PathBuf) -> Result<Self, Failure> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(|fault| {
            Failure::new(
                Kind::Internal,
                "outbox",
                format!("the folder `{}` cannot be made: {fault}", folder.display()),
            )
        })?;
        Ok(Self(folder))
    }

    /// Writes a message; one with the same id replaces the previous one.
    pub(super) async fn send(
        &self,
        message_id: &str,
        mail: Vec<u8>,
    ) -> Result<AcceptedMail, SendFault> {
        let path = self.0.join(file_name(message_id));
        let fault =
            |text: String| SendFault::without_answer(FaultClass::Temporary, SmtpStep::Write, &text);
        let taken = AcceptedMail(format!("{WRITTEN}`{}`", path.display()));
        tokio::task::spawn_blocking(move || write_whole(&path, &mail))
            .await
            .map_err(|fault_of_task| fault(fault_of_task.to_string()))?
            .map_err(|fault_of_file| fault(fault_of_file.to_string()))?;
        Ok(taken)
    }
}

/// Only characters of host names and numbers: no path can be formed.
fn file_name(message_id: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_@".contains(c) { c } else { '.' };
    let name: String = message_id.chars().map(plain).take(NAME_CHARS_MAX).collect();
    format!("{}.eml", name.trim_start_matches('.'))
}

/// Written to a temporary file and renamed: nobody reads a partial mail.
fn write_whole(path: &Path, mail: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(mail)?;
    file.sync_all()?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[tokio::test]
    async fn a_mail_is_one_file_for_its_owner_only() {
        let home = tempfile::tempdir().unwrap();
        let outbox = home.path().join("outbox");
        let folder = EmlFolder::open(outbox.clone()).unwrap();
        for _ in 0..2 {
            folder.send("a/../b@c.example", b"Hello".to_vec()).await.unwrap();
        }
        let names: Vec<_> =
            fs::read_dir(&outbox).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["a....b@c.example.eml"]);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&outbox), 0o700);
        assert_eq!(mode(&outbox.join("a....b@c.example.eml")), 0o600);
    }

    #[tokio::test]
    async fn what_cannot_be_written_is_tried_again() {
        let home = tempfile::tempdir().unwrap();
        let folder = EmlFolder::open(home.path().join("outbox")).unwrap();
        fs::remove_dir(home.path().join("outbox")).unwrap();
        let fault = folder.send("a@b", b"Hello".to_vec()).await.unwrap_err();
        assert_eq!((fault.class, fault.step), (FaultClass::Temporary, SmtpStep::Write));
    }
}
