//! Upload of a file as a request body, streamed, with progress for a person.
//!
//! The file is read on its own thread, so that the timeout works even for a pipe that nobody writes
//! to.

use std::error::Error;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::thread;

use hyper::body::{Body, Bytes, Frame, SizeHint};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::mpsc;

use super::TICK;

const PIECE_BYTES: usize = 64 << 10;
/// The number of pieces that are read ahead.
const PIECES_AHEAD: usize = 2;

/// A file as a body.
pub(super) struct Upload {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    /// Unknown for a pipe.
    length: Option<u64>,
    sent: Arc<UploadProgress>,
}

pub(super) struct UploadProgress {
    file: PathBuf,
    pub(super) bar: ProgressBar,
    whole: AtomicBool,
    waits_for_file: AtomicBool,
}

impl Upload {
    pub(super) fn of(path: &Path) -> io::Result<(Self, Arc<UploadProgress>)> {
        let meta = fs::metadata(path)?;
        if meta.is_dir() {
            return Err(ErrorKind::IsADirectory.into());
        }
        // Opening a pipe waits for its writer, so it runs on the thread, too.
        let file = if meta.is_file() { Some(File::open(path)?) } else { None };
        let length = meta.is_file().then_some(meta.len());
        let sent = Arc::new(UploadProgress {
            file: path.to_owned(),
            // Drawn on standard error, if that is a terminal.
            bar: length.map_or_else(ProgressBar::no_length, ProgressBar::new),
            whole: AtomicBool::new(false),
            waits_for_file: AtomicBool::new(false),
        });
        let (give, pieces) = mpsc::channel(PIECES_AHEAD);
        let path = path.to_owned();
        thread::spawn(move || read(file, &path, &give));
        Ok((Self { pieces, length, sent: Arc::clone(&sent) }, sent))
    }
}

/// Reads a file to its end, or until the receiver is gone.
fn read(file: Option<File>, path: &Path, give: &mpsc::Sender<io::Result<Bytes>>) {
    let mut file = match file.map_or_else(|| File::open(path), Ok) {
        Ok(file) => file,
        Err(fault) => return drop(give.blocking_send(Err(fault))),
    };
    loop {
        let mut piece = vec![0; PIECE_BYTES];
        let read = match file.read(&mut piece) {
            Err(fault) if fault.kind() == ErrorKind::Interrupted => continue,
            Ok(0) => return,
            Ok(read) => {
                piece.truncate(read);
                Ok(piece.into())
            }
            Err(fault) => Err(fault),
        };
        let over = read.is_err();
        if give.blocking_send(read).is_err() || over {
            return;
        }
    }
}

impl UploadProgress {
    /// The number of bytes sent.
    pub(super) fn bytes(&self) -> u64 {
        self.bar.position()
    }

    /// Whether the file was sent completely and the response is awaited.
    pub(super) fn is_whole(&self) -> bool {
        self.whole.load(Ordering::Relaxed)
    }

    /// Whether the file is what everybody waits for.
    pub(super) fn waits_for_file(&self) -> bool {
        self.waits_for_file.load(Ordering::Relaxed)
    }

    pub(super) fn file(&self) -> String {
        self.file.display().to_string()
    }

    fn end(&self) {
        self.whole.store(true, Ordering::Relaxed);
        self.bar.set_style(ProgressStyle::default_spinner());
        self.bar.set_message("the sidecar checks the file and imports the members");
        self.bar.enable_steady_tick(TICK);
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = UploadReadError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadReadError>>> {
        let polled = self.pieces.poll_recv(context);
        self.sent.waits_for_file.store(polled.is_pending(), Ordering::Relaxed);
        polled.map(|piece| match piece {
            None => {
                self.sent.end();
                None
            }
            Some(Ok(piece)) => {
                self.sent.bar.inc(u64::try_from(piece.len()).unwrap_or(0));
                // A body of known length is not polled for its end.
                if self.length == Some(self.sent.bytes()) {
                    self.sent.end();
                }
                Some(Ok(Frame::data(piece)))
            }
            // A normal end would make a partial file look complete.
            Some(Err(fault)) => Some(Err(UploadReadError(fault))),
        })
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// The file could not be read to its end.
#[derive(Debug)]
pub(super) struct UploadReadError(io::Error);

impl fmt::Display for UploadReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the file cannot be read: {}", self.0)
    }
}

impl Error for UploadReadError {}
