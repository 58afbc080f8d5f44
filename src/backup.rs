//! A backup as a folder: the file of the store, the keys, and a manifest with the length and the
//! digest of each file.
//!
//! A folder gets its final name only after everything in it is on disk, so that a partial backup is
//! never taken for a complete one, and nothing is ever overwritten. Digests detect damage, not
//! forgery. Handles files only: knows nothing of the store's contents or of key formats.

pub mod abandoned_files;
pub mod replaced_stores;
pub mod staged_restore;

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::clock;
use crate::domain::digest::Hasher;
use crate::domain::{Digest, Failure, Kind, Revision, Timestamp, limits};
use crate::entropy;

/// The format version of a backup.
const FORMAT: u64 = 1;
/// The file of the store, in a backup.
const STORE: &str = "kwic.redb";
/// The folder of the keys, in a backup.
const KEYS: &str = "keys";
const MANIFEST: &str = "manifest.json";
const PIECE_BYTES: usize = 64 << 10;

/// What a backup holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Manifest {
    format: u64,
    /// The version of the binary that made it.
    version: String,
    /// For people, RFC 3339.
    taken: String,
    /// The same in milliseconds since 1970.
    taken_ms: i64,
    revision: u64,
    files: Vec<ManifestFile>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct ManifestFile {
    path: String,
    bytes: u64,
    sha256: String,
}

impl ManifestFile {
    fn new(path: String, (bytes, digest): (u64, Digest)) -> Self {
        Self { path, bytes, sha256: digest.hex() }
    }

    /// The name of the key, if this file is one. A name that leads to another folder is not.
    fn key(&self) -> Option<&str> {
        let name = self.path.strip_prefix(KEYS)?.strip_prefix('/')?;
        is_key(name).then_some(name)
    }
}

fn is_key(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    name.strip_suffix(".key").is_some_and(|stem| !stem.is_empty() && stem.chars().all(plain))
}

/// Whether a key is that of a shared log, which is destroyed after an erasure: a copy of it, here or in
/// a folder of before a restore, would open what was erased.
fn is_of_the_log(name: &str) -> bool {
    is_key(name) && name.starts_with("epoch-")
}

/// A backup that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupReport {
    /// The folder.
    pub place: PathBuf,
    /// The revision of the store in it.
    pub revision: Revision,
    /// When it was made.
    pub at: Timestamp,
    /// Bytes of all files but the manifest.
    pub bytes: u64,
    /// How many keys it has.
    pub keys: usize,
}

/// Writes a backup to `to`, which must not exist: what `copy` writes into the file that it is
/// given, the keys in the data folder, and the keys in memory (each as the name and content of its
/// file, which takes precedence over the file). What an interrupted backup has left is removed.
///
/// # Errors
/// `Conflict` `backup_exists`; `Busy` `backup_failed`, when a file cannot be read or written; what
/// `copy` says.
pub async fn write<F: Future<Output = Result<Revision, Failure>>>(
    to: &Path,
    data: &Path,
    held: Vec<(String, String)>,
    at: Timestamp,
    copy: impl FnOnce(PathBuf) -> F,
) -> Result<BackupReport, Failure> {
    abandoned_files::remove(data, &[&above(to)]);
    let draft = BackupDraft::begin(to, data)?;
    let revision = copy(draft.folder.join(STORE)).await?;
    let keys = data.join(KEYS);
    tokio::task::spawn_blocking(move || {
        let failed = |fault: io::Error| failed(&draft.to, &fault);
        draft.finish(&keys, &held, revision, at).map_err(failed)
    })
    .await
    .map_err(|fault| Failure::internal(format!("the backup failed: {fault}")))?
}

fn failed(place: &Path, fault: &io::Error) -> Failure {
    Failure::new(
        Kind::Busy,
        "backup_failed",
        format!(
            "the backup `{}` cannot be written: {fault}; name another place, or free space there",
            place.display()
        ),
    )
}

/// An unfinished backup, beside its final name. Removed when dropped before it is complete.
struct BackupDraft {
    folder: PathBuf,
    to: PathBuf,
    _mark: abandoned_files::DraftMarker,
}

impl Drop for BackupDraft {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl BackupDraft {
    fn begin(to: &Path, data: &Path) -> Result<Self, Failure> {
        if fs::symlink_metadata(to).is_ok() {
            return Err(Failure::new(
                Kind::Conflict,
                "backup_exists",
                format!("`{}` exists already: name a new folder", to.display()),
            ));
        }
        // Two concurrent backups to one name each have their own folder.
        let mark = Digest::of(&[&entropy::random::<16>()?]).hex();
        let mark = mark.get(..8).unwrap_or_default();
        let folder = PathBuf::from(format!("{}.{mark}.part", to.display()));
        let parents = fs::DirBuilder::new().recursive(true).mode(0o700).create(above(&folder));
        parents.and_then(|()| make_folder(&folder)).map_err(|fault| failed(to, &fault))?;
        let _mark = abandoned_files::DraftMarker::of(&folder, data, mark);
        Ok(Self { folder, to: to.to_owned(), _mark })
    }

    fn finish(
        &self,
        keys: &Path,
        held: &[(String, String)],
        revision: Revision,
        at: Timestamp,
    ) -> io::Result<BackupReport> {
        let mut files =
            vec![ManifestFile::new(STORE.to_owned(), measured(&self.folder.join(STORE))?)];
        make_folder(&self.folder.join(KEYS))?;
        let there = match names(keys) {
            Err(fault) if fault.kind() == io::ErrorKind::NotFound && !held.is_empty() => Vec::new(),
            there => there?,
        };
        let is_kept = |name: &&String| !is_of_the_log(name);
        let there = there.iter().filter(is_kept);
        for name in there.filter(|name| held.iter().all(|(held, _)| held != *name)) {
            let path = format!("{KEYS}/{name}");
            let copied = copied(&keys.join(name), &self.folder.join(&path))?;
            files.push(ManifestFile::new(path, copied));
        }
        for (name, text) in held {
            let path = format!("{KEYS}/{name}");
            let mut file = new_file(&self.folder.join(&path))?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            files.push(ManifestFile::new(path.clone(), measured(&self.folder.join(path))?));
        }
        let bytes = files.iter().map(|file| file.bytes).sum();
        let taken =
            BackupReport { place: self.to.clone(), revision, at, bytes, keys: files.len() - 1 };
        let manifest = Manifest {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            taken: clock::rfc3339(at),
            taken_ms: at.0,
            revision: revision.0,
            files,
        };
        let mut file = new_file(&self.folder.join(MANIFEST))?;
        file.write_all(&serde_json::to_vec_pretty(&manifest)?)?;
        file.sync_all()?;
        sync_folder(&self.folder.join(KEYS))?;
        sync_folder(&self.folder)?;
        fs::rename(&self.folder, &self.to)?;
        sync_folder(&above(&self.to))?;
        Ok(taken)
    }
}

/// The names of the keys in a folder, sorted.
fn names(keys: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(keys)? {
        names.extend(entry?.file_name().into_string().ok().filter(|name| is_key(name)));
    }
    names.sort();
    Ok(names)
}

fn make_folder(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o700).create(folder)
}

fn new_file(path: &Path) -> io::Result<File> {
    fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// The parent folder.
#[must_use]
pub fn above(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Makes the names in a folder durable.
///
/// # Errors
/// Those of the system.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Opens a regular file: a pipe would block.
///
/// # Errors
/// Those of the system; `InvalidInput`, where it is something else.
pub fn open_file(path: &Path) -> io::Result<File> {
    if fs::metadata(path)?.is_file() {
        return File::open(path);
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"))
}

/// Reads a file; returns its length and its digest.
fn measured(path: &Path) -> io::Result<(u64, Digest)> {
    read_through(path, |_| Ok(()))
}

/// Copies a file into a new one (mode 0600); returns its length and its digest.
fn copied(from: &Path, to: &Path) -> io::Result<(u64, Digest)> {
    let mut new = new_file(to)?;
    let measured = read_through(from, |piece| new.write_all(piece))?;
    new.sync_all()?;
    Ok(measured)
}

fn read_through(
    path: &Path,
    mut each: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<(u64, Digest)> {
    let mut file = open_file(path)?;
    let (mut hasher, mut bytes) = (Hasher::default(), 0);
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let read = file.read(&mut piece)?;
        let Some(read) = piece.get(..read).filter(|read| !read.is_empty()) else {
            return Ok((bytes, hasher.finish()));
        };
        hasher.raw(read);
        each(read)?;
        bytes += read.len() as u64;
    }
}

/// An existing backup, verified as far as requested.
#[derive(Clone, Debug)]
pub struct Backup {
    folder: PathBuf,
    manifest: Manifest,
    with_keys: bool,
}

impl Backup {
    /// Reads a backup, and checks every file against the manifest; without its keys if they are not
    /// wanted.
    ///
    /// # Errors
    /// `Invalid` `backup_refused` with what is wrong with it.
    pub fn read(folder: &Path, with_keys: bool) -> Result<Self, Failure> {
        let manifest = manifest(folder).map_err(|why| refused(folder, &why))?;
        let backup = Self { folder: folder.to_owned(), manifest, with_keys };
        for file in backup.wanted() {
            let measured = measured(&folder.join(&file.path));
            backup.hold(file, measured)?;
        }
        Ok(backup)
    }

    /// When it was made.
    #[must_use]
    pub const fn taken(&self) -> Timestamp {
        Timestamp(self.manifest.taken_ms)
    }

    /// The revision of the store in it.
    #[must_use]
    pub const fn revision(&self) -> Revision {
        Revision(self.manifest.revision)
    }

    /// Copies the file of the store.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn put_store(&self, to: &Path) -> Result<(), Failure> {
        self.wanted()
            .filter(|file| file.path == STORE)
            .try_for_each(|file| self.hold(file, copied(&self.folder.join(STORE), to)))
    }

    /// Copies the keys into a new folder.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn put_keys(&self, to: &Path) -> Result<(), Failure> {
        make_folder(to).map_err(|fault| self.refused(&format!("cannot be put back: {fault}")))?;
        for file in self.wanted() {
            if let Some(name) = file.key().filter(|name| !is_of_the_log(name)) {
                self.hold(file, copied(&self.folder.join(&file.path), &to.join(name)))?;
            }
        }
        Ok(())
    }

    /// Whether a folder has every key of this backup, unchanged.
    #[must_use]
    pub fn keys_are_in(&self, folder: &Path) -> bool {
        let keys = self.wanted().filter_map(|file| Some((file, file.key()?)));
        keys.filter(|(_, name)| !is_of_the_log(name)).all(|(file, name)| {
            measured(&folder.join(name))
                .is_ok_and(|there| ManifestFile::new(file.path.clone(), there) == *file)
        })
    }

    fn wanted(&self) -> impl Iterator<Item = &ManifestFile> {
        self.manifest.files.iter().filter(|file| self.with_keys || file.path == STORE)
    }

    fn hold(&self, file: &ManifestFile, found: io::Result<(u64, Digest)>) -> Result<(), Failure> {
        match found {
            Ok(found) if ManifestFile::new(file.path.clone(), found) == *file => Ok(()),
            Ok(_) => {
                Err(self
                    .refused(&format!("is damaged, `{}` was changed since it was made", file.path)))
            }
            Err(fault) if fault.kind() == io::ErrorKind::NotFound && file.key().is_some() => {
                Err(self.refused(&format!(
                    "is incomplete: the key `{0}` is missing; put it back, or give --without-keys",
                    file.path
                )))
            }
            Err(fault) => Err(self.refused(&format!("cannot be used: `{}`: {fault}", file.path))),
        }
    }

    fn refused(&self, why: &str) -> Failure {
        refused(&self.folder, why)
    }
}

fn refused(folder: &Path, why: &str) -> Failure {
    let place = folder.display();
    let sentence =
        format!("the backup `{place}` {why}: nothing was changed; restore another backup");
    Failure::new(Kind::Invalid, "backup_refused", sentence)
}

fn manifest(folder: &Path) -> Result<Manifest, String> {
    let path = folder.join(MANIFEST);
    let file = open_file(&path)
        .map_err(|fault| format!("cannot be used: its `{MANIFEST}` cannot be read: {fault}"))?;
    let mut text = Vec::new();
    let most = limits::MANIFEST_BYTES_MAX as u64;
    file.take(most)
        .read_to_end(&mut text)
        .map_err(|fault| format!("cannot be used: its `{MANIFEST}` cannot be read: {fault}"))?;
    // The format version is read first: a newer one may have another layout.
    #[derive(Deserialize)]
    struct Layout {
        format: u64,
    }
    let damaged = |fault: serde_json::Error| format!("is damaged: its `{MANIFEST}`: {fault}");
    let Layout { format } = serde_json::from_slice(&text).map_err(damaged)?;
    if format != FORMAT {
        return Err("was made by another version of kwic-team: restore it with that one".to_owned());
    }
    let manifest: Manifest = serde_json::from_slice(&text).map_err(damaged)?;
    let stores = manifest.files.iter().filter(|file| file.path == STORE).count();
    let known = |file: &ManifestFile| file.path == STORE || file.key().is_some();
    match (stores, manifest.files.iter().find(|file| !known(file))) {
        (1, None) => Ok(manifest),
        (_, Some(file)) => Err(format!("is damaged: it lists `{}`", file.path)),
        (_, None) => Err(format!("is damaged: it does not list `{STORE}` once")),
    }
}
