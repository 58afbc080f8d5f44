//! A policy folder as values: paths inside it and what stands there.
//!
//! Reads no disk and parses nothing; whoever holds one may load it, write it or keep it.

use super::digest::{Digest, Hasher};

/// The files of one policy folder, sorted by path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyFiles {
    files: Vec<(String, Vec<u8>)>,
    hidden: Vec<String>,
}

impl PolicyFiles {
    /// Takes files in any order; paths use `/` and are relative to the folder.
    #[must_use]
    pub fn new(mut files: Vec<(String, Vec<u8>)>) -> Self {
        files.sort();
        Self { files, hidden: Vec::new() }
    }

    /// Adds the paths of hidden files that look like policies. They are no part of the set.
    #[must_use]
    pub fn with_hidden(mut self, hidden: Vec<String>) -> Self {
        self.hidden = hidden;
        self
    }

    /// The paths of hidden files that look like policies.
    #[must_use]
    pub fn hidden(&self) -> &[String] {
        &self.hidden
    }

    /// Path and content, sorted by path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice()))
    }

    /// The digest of the set: equal for equal paths and contents.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let mut hasher = Hasher::default();
        for (path, bytes) in self.iter() {
            hasher.part(path.as_bytes());
            hasher.part(bytes);
        }
        hasher.finish()
    }

    /// The files, for whoever stores them.
    #[must_use]
    pub fn into_files(self) -> Vec<(String, Vec<u8>)> {
        self.files
    }
}
