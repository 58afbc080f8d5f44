//! An upload, spooled to disk until it is complete.
//!
//! While a caller sends, however slowly, nothing is locked and nobody waits. The file has no name,
//! so it disappears with its handle. Does not parse the content.

use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

use super::UploadSource;
use crate::config::remedy;
use crate::domain::{Failure, Kind, limits};
use crate::entropy;
use crate::http::{Bytes, Request};

/// The code of a file that could not be stored.
pub(super) const NO_ROOM: &str = "import_unreadable";
/// Bytes read back in one piece.
const PIECE_BYTES: usize = 64 << 10;

/// A complete file.
#[derive(Debug)]
pub(super) struct UploadSpool(File);

impl UploadSpool {
    /// Spools the body of `request` to `folder`.
    ///
    /// # Errors
    /// `TooLarge`; `Timeout` or `Invalid` when the body breaks off; `Busy` when the disk is full.
    pub(super) async fn fill(folder: &Path, request: &mut Request) -> Result<Self, Failure> {
        let mut file = File::from_std(nameless(folder)?);
        let mut length = 0_usize;
        while let Some(bytes) = request.chunk().await? {
            length = length.saturating_add(bytes.len());
            if length > limits::IMPORT_FILE_BYTES_MAX {
                return Err(too_large());
            }
            if let Err(fault) = file.write_all(&bytes).await {
                // A caller that is cut off while it sends would see a broken pipe instead of the
                // response.
                super::drain_body(request).await?;
                return Err(no_room(&fault));
            }
        }
        file.flush().await.map_err(|fault| no_room(&fault))?;
        file.rewind().await.map_err(|fault| no_room(&fault))?;
        Ok(Self(file))
    }
}

impl UploadSource for UploadSpool {
    async fn piece(&mut self) -> Result<Option<Bytes>, Failure> {
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        let read = self.0.read_buf(&mut piece).await.map_err(|fault| no_room(&fault))?;
        Ok((read > 0).then(|| piece.into()))
    }
}

/// Whether a folder accepts a test write.
///
/// # Errors
/// `Busy`, where it does not.
pub(super) async fn try_to_fill(folder: &Path) -> Result<(), Failure> {
    let mut file = File::from_std(nameless(folder)?);
    file.write_all(&[0; PIECE_BYTES]).await.map_err(|fault| no_room(&fault))?;
    file.flush().await.map_err(|fault| no_room(&fault))
}

/// An unlinked file of mode 0600.
fn nameless(folder: &Path) -> Result<fs::File, Failure> {
    let name = format!("import-{:016x}", u64::from_le_bytes(entropy::random()?));
    let path = folder.join(name);
    let open = || {
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        fs::remove_file(&path)?;
        Ok(file)
    };
    open().map_err(|fault| no_room(&fault))
}

fn no_room(fault: &std::io::Error) -> Failure {
    Failure::new(
        Kind::Busy,
        NO_ROOM,
        "the file could not be kept in the data folder while it was read, and nothing was changed: free space there, then import it again",
    )
    .logged(match remedy(fault) {
        Some(remedy) => format!("{fault}: {remedy}"),
        None => fault.to_string(),
    })
}

fn too_large() -> Failure {
    Failure::new(
        Kind::TooLarge,
        "import_too_large",
        format!("the file is larger than {} MiB: split it", limits::IMPORT_FILE_BYTES_MAX >> 20),
    )
}
