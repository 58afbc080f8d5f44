//! Exclusive access to a data folder, for commands that no sidecar may run beside: a restore, and those
//! of a fleet.
//!
//! Holds `admin.sock`, and the store's lock where the store is replaced, so that no sidecar starts
//! meanwhile. Who asks the socket is told to wait.

use std::fs::TryLockError;
use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};

use super::make_private;
use crate::backup;
use crate::backup::staged_restore::failed;
use crate::config::Config;
use crate::domain::{Failure, Kind};
use crate::file_lock::FileLock;
use crate::http::{Listen, Listener, SOCKET_TAKEN};
use crate::own_socket_file::SocketFile;

/// The code of a failure that tells of such a command under way.
pub const RESTORING: &str = "restore_runs";
/// Such a command answers at once, and its callers are on this machine.
const ANSWERED_WITHIN: Duration = Duration::from_secs(1);
/// More than its answer has.
const ANSWER_BYTES_MAX: u64 = 16 << 10;
/// So many pieces of what is asked are read.
const ASKED_PIECES_MAX: usize = 1000;

/// Exclusive access to a data folder, while it lives.
pub(super) struct FolderLock {
    _socket: Arc<SocketFile>,
    /// Locked as a running sidecar does.
    store: Option<FileLock>,
}

impl FolderLock {
    /// Of the folder and its store, which is replaced.
    pub(super) async fn with(config: &Config) -> Result<Self, Failure> {
        let mut alone = Self::beside_store(config).await?;
        alone.lock_store(config)?;
        Ok(alone)
    }

    /// Of the folder alone: the store is locked when it is opened.
    pub(super) async fn beside_store(config: &Config) -> Result<Self, Failure> {
        make_private(&config.data)?;
        let path = config.data.join("admin.sock");
        let socket = match (Listen::Unix { path: path.clone(), mode: 0o600 }).bind().await {
            Err(taken) if taken.code == SOCKET_TAKEN => {
                return Err(if restores(&path).await {
                    restoring(&config.data)
                } else {
                    served(&config.data)
                });
            }
            bound => bound?,
        };
        let Listener::Unix(listener, socket) = socket else {
            return Err(Failure::internal("the socket that was bound is not a unix socket"));
        };
        answer(listener);
        Ok(Self { _socket: socket, store: None })
    }

    /// Locks the store, too, if there is one.
    pub(super) fn lock_store(&mut self, config: &Config) -> Result<(), Failure> {
        let store = &config.store.path;
        let file = match backup::open_file(store) {
            Ok(file) => file,
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(fault) => return Err(failed(store, &fault)),
        };
        self.store = Some(FileLock::exclusive(file).map_err(|fault| match fault {
            TryLockError::WouldBlock => held(store),
            TryLockError::Error(fault) => failed(store, &fault),
        })?);
        Ok(())
    }
}

/// That a restore, or another command that needs the folder, is under way.
pub(super) fn restoring(data: &Path) -> Failure {
    let sentence = format!(
        "a restore, or a command of `kwic-team fleet`, works on `{}`: wait until it has ended, then try again; nothing was changed",
        data.display()
    );
    Failure::new(Kind::Conflict, RESTORING, sentence)
}

/// Answers every client on the socket of the sidecar that a restore runs, until the process ends.
/// On a thread of its own: a restore reads and writes files on the one that it has.
fn answer(listener: UnixListener) {
    let detail = "a restore, or a command of `kwic-team fleet`, works on this data folder: wait until it has ended, then try again; nothing was changed";
    let body = format!("{{\"status\":503,\"code\":\"{RESTORING}\",\"detail\":\"{detail}\"}}");
    let head = "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\nx-request-id: restore\r\nconnection: close\r\ncontent-length:";
    let answer = format!("{head} {}\r\n\r\n{body}", body.len());
    let listener = listener.into_std().and_then(|listener| {
        listener.set_nonblocking(false)?;
        Ok(listener)
    });
    let Ok(listener) = listener else { return };
    // Who is not told this waits for nothing, and loses nothing.
    let _ = thread::Builder::new().name("restore".to_owned()).spawn(move || {
        for stream in listener.incoming() {
            let _ = stream.and_then(|stream| tell(stream, &answer));
        }
    });
}

/// Reads to the end of the head, and to the end of what is sent after the answer: a socket that is
/// closed with bytes in it takes the answer back.
fn tell(mut stream: StdUnixStream, answer: &str) -> io::Result<()> {
    stream.set_read_timeout(Some(ANSWERED_WITHIN))?;
    stream.set_write_timeout(Some(ANSWERED_WITHIN))?;
    let mut asked = [0; 4096];
    if stream.read(&mut asked)? == 0 {
        return Ok(());
    }
    stream.write_all(answer.as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    for _ in 0..ASKED_PIECES_MAX {
        if stream.read(&mut asked)? == 0 {
            break;
        }
    }
    Ok(())
}

/// Whether a restore answers at the socket.
pub(super) async fn restores(socket: &Path) -> bool {
    let ask = async {
        let mut stream = UnixStream::connect(socket).await?;
        stream
            .write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            .await?;
        let mut answer = Vec::new();
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
        let told = format!("\"code\":\"{RESTORING}\"");
        Ok::<bool, io::Error>(String::from_utf8_lossy(&answer).contains(&told))
    };
    matches!(tokio::time::timeout(ANSWERED_WITHIN, ask).await, Ok(Ok(true)))
}

fn served(what: &Path) -> Failure {
    Failure::new(
        Kind::Conflict,
        "sidecar_runs",
        format!(
            "a sidecar runs on `{}`: stop it, then run the command again; nothing was changed",
            what.display()
        ),
    )
}

fn held(store: &Path) -> Failure {
    let sentence = format!(
        "the store `{}` is held by another process, such as a sidecar or a backup: stop the sidecar, or wait until the other command has ended, then run this one again; nothing was changed",
        store.display()
    );
    Failure::new(Kind::Conflict, "sidecar_runs", sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn clients_are_told_while_a_restore_runs() {
        let home = tempfile::tempdir().unwrap();
        let config = Config::load(None, home.path().join("data"), std::iter::empty()).unwrap();
        let socket = config.data.join("admin.sock");
        assert!(!restores(&socket).await);
        let alone = FolderLock::with(&config).await.unwrap();
        for _ in 0..3 {
            assert!(restores(&socket).await);
        }
        let second = FolderLock::with(&config).await.map(drop).unwrap_err();
        assert_eq!(second.code, RESTORING);
        assert!(second.public.contains("wait until it has ended"), "{second}");
        drop(alone);
        assert!(!restores(&socket).await);
        FolderLock::with(&config).await.map(drop).unwrap();
    }
}
