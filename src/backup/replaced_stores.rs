//! Stores that are kept when another one takes their place: their names, and when they may go.
//!
//! A restore keeps the store that it replaces for ever, a node that joins a fleet for the days that the
//! configuration says. Handles names and files only.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::above;
use super::staged_restore::beside;
use crate::clock;
use crate::domain::Timestamp;

/// How the ending of a store begins that a node had before it joined a fleet; the time follows.
pub const BEFORE_JOIN: &str = "before-join-";
/// The ending of the store that a node that joins is about to begin with.
pub const JOINING: &str = "joining";
/// The ending of the copy of a store that is being put beside the log of a fleet.
pub const SNAPSHOT: &str = "snapshot";

const DAY_MS: i64 = 86_400_000;

/// An ending with the time: such as `before-join-20261124T120000123Z`.
#[must_use]
pub fn mark(kept: &str, now: Timestamp) -> String {
    let milliseconds = now.0.rem_euclid(1000);
    let time = clock::rfc3339(Timestamp(now.0 - milliseconds));
    let time: String = time.chars().filter(|c| c.is_ascii_alphanumeric() && *c != 'Z').collect();
    format!("{kept}{time}{milliseconds:03}Z")
}

/// Gives the store a second name. Not every file system has links; a copy gets the name once it is
/// whole.
///
/// # Errors
/// Those of the system.
pub fn keep(store: &Path, old: &Path) -> io::Result<()> {
    fs::hard_link(store, old).or_else(|_| {
        let new = beside(old, "new");
        fs::copy(store, &new).and_then(|_| fs::rename(&new, old)).inspect_err(|_| {
            let _ = fs::remove_file(&new);
        })
    })
}

/// Removes the stores from before a join that are older than so many days; answers which. With 0 days
/// none is removed.
pub fn remove_old(store: &Path, days: u32, now: Timestamp) -> Vec<PathBuf> {
    if days == 0 {
        return Vec::new();
    }
    let file = store.file_name().unwrap_or_default().to_string_lossy();
    let begins = format!("{file}.{BEFORE_JOIN}");
    let oldest = mark("", Timestamp(now.0.saturating_sub(i64::from(days).saturating_mul(DAY_MS))));
    let entries = fs::read_dir(above(store)).into_iter().flatten().flatten();
    let mut removed: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    removed.retain(|path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_old = name.strip_prefix(&begins).is_some_and(|time| {
            // Names of one length sort by their time.
            time.len() == oldest.len() && is_time(time) && *time < *oldest
        });
        let is_file = || fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file());
        is_old && is_file() && fs::remove_file(path).is_ok()
    });
    removed
}

/// Such as `20261124T120000123Z`.
fn is_time(text: &str) -> bool {
    text.bytes().zip(0..).all(|(byte, at)| match at {
        8 => byte == b'T',
        18 => byte == b'Z',
        _ => byte.is_ascii_digit(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_795_521_600_000);

    #[test]
    fn names_of_what_is_kept_sort_by_their_time() {
        for (milliseconds, ending) in [(0, "000Z"), (5, "005Z"), (120, "120Z"), (389, "389Z")] {
            let name = mark(BEFORE_JOIN, Timestamp(NOW.0 + milliseconds));
            assert_eq!(name, format!("before-join-20261124T120000{ending}"));
        }
    }

    #[test]
    fn what_was_kept_goes_after_its_days_and_nothing_else_does() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("kwic.redb");
        let at = |days: i64| beside(&store, &mark(BEFORE_JOIN, Timestamp(NOW.0 - days * DAY_MS)));
        let stay = [
            store.clone(),
            at(29),
            at(30),
            beside(&store, "before-restore-20200101T000000000Z"),
            beside(&store, "before-join-20200101T000000000Z.mine"),
            beside(&store, "before-join-20200101T0000000000"),
            beside(&store, "before-join-"),
            folder.path().join("other.redb.before-join-20200101T000000000Z"),
        ];
        for path in stay.iter().chain([&at(31), &at(400)]) {
            fs::write(path, "x").unwrap();
        }
        let linked = beside(&store, "before-join-20200101T000000001Z");
        std::os::unix::fs::symlink(&store, &linked).unwrap();
        assert!(remove_old(&store, 0, NOW).is_empty(), "0 is for ever");
        let mut removed = remove_old(&store, 30, NOW);
        removed.sort();
        assert_eq!(removed, [at(400), at(31)]);
        assert!(stay.iter().chain([&linked]).all(|path| path.exists()));
        assert!(remove_old(&store, 30, NOW).is_empty());
    }
}
