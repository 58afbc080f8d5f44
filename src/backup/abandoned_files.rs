//! Cleanup after an interrupted backup or restore: files and folders with keys and records that
//! would otherwise stay unnoticed.
//!
//! Each running backup has a note in the data folder, and its folder is locked while its process
//! lives. Only names that are created here are ever removed, and only folders that contain nothing
//! else.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::replaced_stores::{BEFORE_JOIN, JOINING, SNAPSHOT};
use super::{KEYS, MANIFEST, STORE, is_key, new_file, staged_restore};
use crate::config::resolve_symlinks;
use crate::file_lock::FileLock;

/// The suffix of the folder of a running backup, after eight hexadecimal digits.
const ENDING: &str = ".part";
/// The prefix of the name of a note.
const NOTE: &str = "backup-";
/// No path is longer (`PATH_MAX` of Linux).
const PATH_BYTES_MAX: u64 = 4096;
/// The first bytes of a store's file; a new copy is empty before that.
const STORE_BEGINS: &[u8] = b"redb\x1a\n\xa9\r\n";
/// The beginning of the name that the file of an import has for a moment, before sixteen hexadecimal
/// digits. Nothing is written to it while it has one.
const IMPORT: &str = "import-";
/// The maximum number of names of a folder that are examined.
const NAMES_MAX: usize = 10_000;

/// A running backup: its folder is locked, and noted in the data folder.
pub(super) struct DraftMarker {
    _lock: Option<FileLock>,
    note: PathBuf,
}

impl DraftMarker {
    /// Best effort: not every file system has locks, and a full one cannot store a note.
    pub(super) fn of(folder: &Path, data: &Path, mark: &str) -> Self {
        let lock = File::open(folder).ok().and_then(|folder| FileLock::exclusive(folder).ok());
        let note = data.join(format!("{NOTE}{mark}{ENDING}"));
        let path = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        if let Ok(mut file) = new_file(&note) {
            let _ = file.write_all(path.as_os_str().as_bytes());
        }
        Self { _lock: lock, note }
    }
}

impl Drop for DraftMarker {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.note);
    }
}

/// Folders of interrupted backups: those noted in a data folder, and those in it, beside it, or in
/// further folders.
#[must_use]
pub fn of_backups(data: &Path, further: &[&Path]) -> Vec<PathBuf> {
    let beside = super::above(data);
    let mut found: Vec<PathBuf> = notes(data).iter().filter_map(|note| noted(note)).collect();
    for folder in [data, &beside].iter().chain(further) {
        found.extend(names(folder));
    }
    let mut found: Vec<PathBuf> =
        found.iter().filter_map(|path| std::path::absolute(path).ok()).collect();
    found.retain(|path| is_draft(path) && !is_alive(path));
    found.sort();
    found.dedup();
    found
}

/// What an interrupted restore or start has left beside a store and its keys. Only while neither is
/// running.
#[must_use]
pub fn of_restores(data: &Path, store: &Path) -> Vec<PathBuf> {
    let behind = |path: &Path| resolve_symlinks(path).unwrap_or_else(|_| path.to_owned());
    let (keys, store) = (data.join(KEYS), behind(store));
    let mut found = vec![staged_restore::beside(&store, "new"), staged_restore::draft(data)];
    found.extend(names(&keys).into_iter().filter(|path| is_new_key(path)));
    found.extend(names(data).into_iter().filter(|path| is_import(path)));
    found.extend([JOINING, SNAPSHOT].map(|ending| staged_restore::beside(&store, ending)));
    found.retain(|path| is_file(path));
    // The files of a pending restore are still needed.
    if !staged_restore::is_there(data) {
        found.extend(second_names(&store));
        let staged = [&store, &keys].map(|path| staged_restore::staged(path).ok());
        found.extend(staged.into_iter().flatten().filter(|path| is_of_restore(path)));
    }
    found
}

/// Names under which a restore or a join was to keep the store that it replaces, and has not replaced: links to
/// the store itself, and copies that were not written to their end.
fn second_names(store: &Path) -> Vec<PathBuf> {
    let id = |path: &Path| fs::symlink_metadata(path).map(|meta| (meta.dev(), meta.ino())).ok();
    let own = id(store);
    let begins = [staged_restore::KEPT, BEFORE_JOIN];
    let begins = begins.map(|kept| format!("{}.{kept}", name_of(store)));
    let mut found = names(&super::above(store));
    found.retain(|path| {
        let is_link = own.is_some() && id(path) == own;
        let is_cut = name_of(path).ends_with(".new");
        begins.iter().any(|begins| name_of(path).starts_with(begins))
            && is_file(path)
            && (is_link || is_cut)
    });
    found
}

/// Whether this is a file that a restore prepares: a store, or a folder with keys only.
#[must_use]
pub fn is_of_restore(path: &Path) -> bool {
    let is_store = || {
        let mut head = Vec::new();
        let most = STORE_BEGINS.len() as u64;
        let read = File::open(path).and_then(|file| file.take(most).read_to_end(&mut head));
        read.is_ok() && (head.is_empty() || head == STORE_BEGINS)
    };
    (is_file(path) && is_store()) || holds_only(path, is_key_file)
}

/// Removes the folders of interrupted backups, and their notes; returns the folders.
pub fn remove(data: &Path, further: &[&Path]) -> Vec<PathBuf> {
    let mut removed = of_backups(data, further);
    removed.retain(|folder| fs::remove_dir_all(folder).is_ok());
    for note in notes(data) {
        if noted(&note).is_none_or(|folder| !is_draft(&folder)) {
            let _ = fs::remove_file(note);
        }
    }
    removed
}

/// The same for what an interrupted restore or start has left.
pub fn remove_of_restores(data: &Path, store: &Path) -> Vec<PathBuf> {
    let mut removed = of_restores(data, store);
    removed.retain(|path| {
        if path.is_dir() && !path.is_symlink() {
            fs::remove_dir_all(path).is_ok()
        } else {
            fs::remove_file(path).is_ok()
        }
    });
    removed
}

fn names(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().take(NAMES_MAX);
    entries.map(|entry| entry.path()).collect()
}

fn notes(data: &Path) -> Vec<PathBuf> {
    let is_note = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let mark = name.strip_prefix(NOTE).and_then(|name| name.strip_suffix(ENDING));
        mark.is_some_and(is_mark) && path.is_file()
    };
    names(data).into_iter().filter(is_note).collect()
}

fn noted(note: &Path) -> Option<PathBuf> {
    let mut path = Vec::new();
    File::open(note).ok()?.take(PATH_BYTES_MAX).read_to_end(&mut path).ok()?;
    Some(PathBuf::from(std::ffi::OsString::from_vec(path)))
}

fn is_mark(text: &str) -> bool {
    text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether this folder was created here, and contains only what a backup does.
fn is_draft(folder: &Path) -> bool {
    let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let mark = name.strip_suffix(ENDING).and_then(|name| name.rsplit_once('.'));
    let own = fs::metadata("/proc/self").map(|meta| meta.uid()).ok();
    let is_own = fs::symlink_metadata(folder)
        .is_ok_and(|meta| meta.is_dir() && own.is_none_or(|own| own == meta.uid()));
    let is_known = |path: &Path| match name_of(path) {
        STORE | MANIFEST => is_file(path),
        KEYS => holds_only(path, is_key_file),
        _ => false,
    };
    mark.is_some_and(|(_, mark)| is_mark(mark)) && is_own && holds_only(folder, is_known)
}

/// Whether this is a folder with known entries only. False if it cannot be read.
fn holds_only(folder: &Path, is_known: impl Fn(&Path) -> bool) -> bool {
    let is_folder = fs::symlink_metadata(folder).is_ok_and(|meta| meta.is_dir());
    let Some(entries) = is_folder.then(|| fs::read_dir(folder).ok()).flatten() else {
        return false;
    };
    entries
        .zip(0..)
        .all(|(entry, count)| count < NAMES_MAX && entry.is_ok_and(|entry| is_known(&entry.path())))
}

fn name_of(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

/// A regular file, not a link.
fn is_file(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file())
}

fn is_key_file(path: &Path) -> bool {
    is_key(name_of(path)) && is_file(path)
}

/// Such as `import-0123456789abcdef`, and empty.
fn is_import(path: &Path) -> bool {
    let mark = name_of(path).strip_prefix(IMPORT).unwrap_or_default();
    mark.len() == 16
        && mark.bytes().all(|byte| byte.is_ascii_hexdigit())
        && fs::symlink_metadata(path).is_ok_and(|meta| meta.len() == 0)
}

/// Such as `link-2.new`: an incompletely written key.
fn is_new_key(path: &Path) -> bool {
    let stem = name_of(path).strip_suffix(".new").and_then(|stem| stem.split_once('-'));
    stem.is_some_and(|(kind, number)| {
        ["link", "seal"].contains(&kind) && number.parse::<u32>().is_ok()
    })
}

/// Whether its process is still running; true if that is unknown.
fn is_alive(folder: &Path) -> bool {
    !File::open(folder).is_ok_and(|folder| FileLock::exclusive(folder).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_backup_left_is_found_and_removed_and_nothing_else() {
        let home = tempfile::tempdir().unwrap();
        let (data, backups) = (home.path().join("data"), home.path().join("backups"));
        let draft = |name: &str| {
            let folder = backups.join(name);
            fs::create_dir_all(folder.join(KEYS)).unwrap();
            fs::write(folder.join("keys/seal-1.key"), "secret").unwrap();
            folder
        };
        fs::create_dir_all(&data).unwrap();
        let dead = draft("nightly.0a1b2c3d.part");
        let alive = draft("nightly.aaaaaaaa.part");
        let others = draft("nightly.bbbbbbbb.part");
        fs::write(others.join("thesis.tex"), "mine").unwrap();
        let plain = draft("nightly.part");
        let note = data.join("backup-0a1b2c3d.part");
        fs::write(&note, dead.as_os_str().as_bytes()).unwrap();
        let live = DraftMarker::of(&alive, &data, "aaaaaaaa");
        assert_eq!(of_backups(&data, &[]), std::slice::from_ref(&dead));
        assert_eq!(remove(&data, &[&backups]), [dead]);
        assert!(!note.exists() && alive.exists() && data.join("backup-aaaaaaaa.part").exists());
        drop(live);
        assert!(of_backups(&data, &[]).is_empty(), "its note went with its maker");
        assert_eq!(remove(&data, &[&backups]), [alive]);
        assert!(others.exists() && plain.exists());
    }

    #[test]
    fn a_second_name_of_the_store_goes_and_a_copy_of_before_stays() {
        let home = tempfile::tempdir().unwrap();
        let (data, store) = (home.path(), home.path().join("kwic.redb"));
        fs::write(&store, "live").unwrap();
        let beside = |ending: &str| data.join(format!("kwic.redb.{ending}"));
        let link = beside("before-restore-20261124T120000123Z");
        fs::hard_link(&store, &link).unwrap();
        let cut = beside("before-restore-20261124T120000124Z.new");
        let import = data.join("import-0123456789abcdef");
        let stay = [
            beside("before-restore-20261124T120000125Z"),
            beside("mine"),
            data.join("import-more"),
            data.join("import-fedcba9876543210"),
        ];
        for path in stay.iter().chain([&cut]) {
            fs::write(path, "other").unwrap();
        }
        fs::hard_link(&store, beside("linked")).unwrap();
        fs::write(&import, "").unwrap();
        staged_restore::begin(data, "before-restore-20261124T120000123Z").unwrap();
        assert_eq!(
            of_restores(data, &store),
            std::slice::from_ref(&import),
            "it is to be finished"
        );
        fs::remove_file(data.join("restore.pending")).unwrap();
        let mut removed = remove_of_restores(data, &store);
        removed.sort();
        assert_eq!(removed, [import, link, cut]);
        assert_eq!(fs::read_to_string(&store).unwrap(), "live");
        assert!(stay.iter().chain([&beside("linked")]).all(|path| path.exists()));
    }

    #[test]
    fn what_is_not_ours_at_any_depth_keeps_its_folder() {
        let home = tempfile::tempdir().unwrap();
        let (data, store) = (home.path().join("data"), home.path().join("data/kwic.redb"));
        for (name, foreign) in [
            ("a.00000001.part", "keys/thesis.tex"),
            ("b.00000002.part", "keys/more.key/thesis.tex"),
            ("c.00000003.part", "kwic.redb/thesis.tex"),
            ("d.00000004.part", "keys/more/seal-1.key"),
            ("keys.restoring", "thesis.tex"),
            ("kwic.redb.restoring", "thesis.tex"),
            ("kwic.redb.new", "thesis.tex"),
            ("keys", "letter.new"),
            ("keys", "link-2.new/thesis.tex"),
        ] {
            let file = data.join(name).join(foreign);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "mine").unwrap();
        }
        let linked = data.join("keys/seal-2.new");
        std::os::unix::fs::symlink(data.join("keys/letter.new"), &linked).unwrap();
        assert!(remove(&data, &[]).is_empty());
        assert!(remove_of_restores(&data, &store).is_empty());
        fs::remove_dir_all(data.join("keys.restoring")).unwrap();
        fs::remove_dir_all(data.join("kwic.redb.new")).unwrap();
        fs::create_dir(data.join("keys.restoring")).unwrap();
        for ours in ["keys.restoring/seal-1.key", "kwic.redb.new", "keys/seal-3.new"] {
            fs::write(data.join(ours), "ours").unwrap();
        }
        let removed = remove_of_restores(&data, &store);
        let ours = ["kwic.redb.new", "keys/seal-3.new", "keys.restoring"];
        assert_eq!(removed, ours.map(|name| data.join(name)));
    }
}
