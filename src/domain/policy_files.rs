//! The contents of a policy folder as values: relative paths and file contents.
//!
//! Reads no disk and parses nothing.

use super::digest::{Digest, Hasher};
use super::escaped_text::printable;
use super::policy_file_kind::{PolicyFileKind, misplaced};

/// The files of one policy folder, sorted by path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyFiles {
    files: Vec<(String, Vec<u8>)>,
    misplaced: Vec<(String, String)>,
    notes: Vec<String>,
}

impl PolicyFiles {
    /// From files in any order, with `/` in paths relative to the folder. Of a file that is not
    /// loaded only the beginning is examined, and nothing is kept.
    #[must_use]
    pub fn new(files: Vec<(String, Vec<u8>)>) -> Self {
        let mut sorted = Self::default();
        for (path, bytes) in files {
            if PolicyFileKind::of(&path).is_some() {
                sorted.files.push((path, bytes));
            } else if let Some(why) = misplaced(&path, &bytes) {
                sorted.misplaced.push((path, why));
            } else {
                sorted.notes.push(format!(
                    "`{}` is not part of a policy folder: it is ignored",
                    printable(&path)
                ));
            }
        }
        sorted.files.sort();
        sorted
    }

    /// The files of an earlier live set: only those that were loaded.
    #[must_use]
    pub fn kept(files: Vec<(String, Vec<u8>)>) -> Self {
        Self { files: Self::new(files).files, ..Self::default() }
    }

    /// The same with one file replaced.
    #[must_use]
    pub fn with_file(mut self, path: &str, bytes: Vec<u8>) -> Self {
        self.files.retain(|(other, _)| other != path);
        self.files.push((path.to_owned(), bytes));
        self.files.sort();
        self
    }

    /// Adds further misplaced paths, each with the reason, and notes.
    #[must_use]
    pub fn with(mut self, misplaced: Vec<(String, String)>, notes: Vec<String>) -> Self {
        self.misplaced.extend(misplaced);
        self.notes.extend(notes);
        self
    }

    /// The paths of files that look as if they should be loaded, but are not, with the reason.
    #[must_use]
    pub fn misplaced(&self) -> &[(String, String)] {
        &self.misplaced
    }

    /// Notes about other files that are not loaded.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Path and content of each loaded file, sorted by path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice()))
    }

    /// The digest of the set: equal for equal paths and contents of loaded files. Misplaced files
    /// are included, since the set is refused because of them; ignored ones are not.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let mut hasher = Hasher::default();
        for (path, bytes) in self.iter() {
            hasher.part(path.as_bytes());
            hasher.part(bytes);
        }
        for (path, why) in &self.misplaced {
            hasher.part(b"misplaced");
            hasher.part(path.as_bytes());
            hasher.part(why.as_bytes());
        }
        hasher.finish()
    }

    /// The loaded files, to be saved.
    #[must_use]
    pub fn into_files(self) -> Vec<(String, Vec<u8>)> {
        self.files
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_counts_belongs_to_the_digest() {
        let with = |path: &str, text: &str| {
            let rule = ("rules/a.cedar".to_owned(), b"forbid".to_vec());
            PolicyFiles::new(vec![rule, (path.to_owned(), text.as_bytes().to_vec())])
        };
        let one = with("rules/sync.log", "one");
        assert_eq!(one.digest(), with("rules/sync.log", "two").digest());
        assert_eq!(one.digest(), with("rules/other.log", "two").digest());
        assert_eq!(one.clone().into_files().len(), 1);
        let policy = with("rules/sync.log", "forbid (principal, action, resource);");
        assert_ne!(one.digest(), policy.digest());
        assert_ne!(one.digest(), with("rules/b.cedar", "one").digest());
        let kept = PolicyFiles::kept(vec![
            ("rules/a.cedar".to_owned(), b"forbid".to_vec()),
            ("Rules/a.cedar".to_owned(), b"forbid".to_vec()),
        ]);
        assert_eq!((kept.digest(), kept.misplaced().len()), (one.digest(), 0));
    }
}
