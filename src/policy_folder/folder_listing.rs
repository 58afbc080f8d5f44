//! Lists a policy folder without leaving it, within one limit on the number of entries.
//!
//! Opens no file. Links to folders are followed only if they stay inside the folder's real path:
//! what is behind another link is not even named.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::folder_fault::{file_unreadable, folder_unreadable, of_file};
use crate::domain::escaped_text::printable;
use crate::domain::policy_file_kind::{hidden, is_hidden, is_kept_by_a_program};
use crate::domain::{Failure, limits};

/// The maximum depth of folders that are searched for policies in hidden ones.
const LEVELS_MAX: usize = 8;

/// The result of a listing.
pub(super) struct FolderListing {
    /// The folder's real path.
    pub(super) root: PathBuf,
    pub(super) files: Vec<FolderEntry>,
    /// Hidden paths that look like policies, with the reason why each is a fault.
    pub(super) misplaced: Vec<(String, String)>,
    /// Notes about ignored files.
    pub(super) notes: Vec<String>,
}

/// One visible file, or any other entry except a folder.
pub(super) struct FolderEntry {
    /// The path inside the folder.
    pub(super) name: String,
    pub(super) path: PathBuf,
}

/// Lists the files of the folder and of its subfolders.
pub(super) fn list(dir: &Path) -> Result<FolderListing, Failure> {
    let root = dir.canonicalize().map_err(|fault| folder_unreadable(dir, &fault))?;
    let listed = FolderListing {
        root: root.clone(),
        files: Vec::new(),
        misplaced: Vec::new(),
        notes: Vec::new(),
    };
    let mut walk = FolderWalk { dir, room: limits::POLICY_ENTRIES_MAX, listed };
    let top = walk.entries("", &root).map_err(|fault| folder_unreadable(dir, &fault))??;
    walk.visible(top, 1)?;
    walk.listed.files.sort_by(|a, b| a.name.cmp(&b.name));
    walk.listed.misplaced.sort();
    Ok(walk.listed)
}

struct FolderWalk<'d> {
    dir: &'d Path,
    /// How many further entries may be examined.
    room: usize,
    listed: FolderListing,
}

impl FolderWalk<'_> {
    /// The folder itself and its subfolders, hidden or not.
    fn visible(&mut self, entries: Vec<FolderEntry>, level: usize) -> Result<(), Failure> {
        for entry in entries {
            if is_hidden(last(&entry.name)) {
                self.hidden(&entry, level)?;
                continue;
            }
            match self.folder_behind(&entry)? {
                None => self.listed.files.push(entry),
                Some(real) if level == 1 => {
                    let inside = self.entries(&entry.name, &real).map_err(unreadable(&entry))??;
                    self.visible(inside, 2)?;
                }
                // If it were ignored, a `forbid` in it would silently have no effect.
                Some(_) => {
                    let name = printable(&entry.name);
                    let parent = name.split('/').next().unwrap_or_default();
                    return Err(Failure::policies_refused(format!(
                        "`{name}` is a folder in a folder: move its files up into `{parent}`"
                    )));
                }
            }
        }
        Ok(())
    }

    /// A hidden file is not loaded, and is a fault if it could be taken for an active policy. Links
    /// are not followed: their targets inside the folder are found anyway.
    fn hidden(&mut self, entry: &FolderEntry, level: usize) -> Result<(), Failure> {
        let FolderEntry { name, path } = entry;
        let is_folder = fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir());
        if is_folder && is_kept_by_a_program(last(name)) {
            return Ok(());
        }
        if is_folder {
            if level >= LEVELS_MAX {
                return Err(of_file(
                    name,
                    &format!(
                        "is nested {level} folders deep, deeper than is checked: move the hidden folder that it is in out of the policy folder"
                    ),
                ));
            }
            // An unreadable folder never contained anything that was loaded.
            let Ok(inside) = self.entries(name, path) else { return Ok(()) };
            return inside?.iter().try_for_each(|entry| self.hidden(entry, level + 1));
        }
        if let Some(why) = hidden(name) {
            self.listed.misplaced.push((name.clone(), why));
        } else if name.to_ascii_lowercase().contains(".cedar") {
            let note =
                format!("`{}` is hidden or a backup copy: it is not loaded", printable(name));
            self.listed.notes.push(note);
        }
        Ok(())
    }

    /// The real path of a folder, or of the target of a link to one; nothing for anything else.
    fn folder_behind(&self, entry: &FolderEntry) -> Result<Option<PathBuf>, Failure> {
        let meta = match fs::symlink_metadata(&entry.path) {
            // It has just been deleted: reading it reports that.
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => return Ok(None),
            meta => meta.map_err(unreadable(entry))?,
        };
        if meta.is_dir() {
            return Ok(Some(entry.path.clone()));
        }
        if !meta.is_symlink() {
            return Ok(None);
        }
        let real = entry.path.canonicalize().map_err(unreadable(entry))?;
        inside(&self.listed.root, &real, &entry.name)?;
        let is_folder = fs::metadata(&real).map_err(unreadable(entry))?.is_dir();
        Ok(is_folder.then_some(real))
    }

    /// The entries of one folder, sorted. Each counts towards the limit.
    fn entries(
        &mut self,
        name: &str,
        real: &Path,
    ) -> io::Result<Result<Vec<FolderEntry>, Failure>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(real)? {
            let entry = entry?;
            let Some(room) = self.room.checked_sub(1) else { return Ok(Err(self.too_many(name))) };
            self.room = room;
            let own = entry.file_name().to_string_lossy().into_owned();
            let name = if name.is_empty() { own } else { format!("{name}/{own}") };
            found.push(FolderEntry { name, path: entry.path() });
        }
        // If a folder on the path became a link meanwhile, these are another folder's.
        if real.canonicalize()? != real {
            return Err(io::Error::other("it changes while it is read"));
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Ok(found))
    }

    fn too_many(&self, name: &str) -> Failure {
        let place = match name {
            "" => format!("the policy folder `{}`", self.dir.display()),
            name => {
                format!("the policy folder `{}`, with its folder `{name}`,", self.dir.display())
            }
        };
        Failure::policies_refused(format!(
            "{place} holds more than {} files and folders, including hidden ones and those behind links: move out of it what is not a policy",
            limits::POLICY_ENTRIES_MAX
        ))
    }
}

fn last(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

fn unreadable(entry: &FolderEntry) -> impl Fn(io::Error) -> Failure {
    |fault| file_unreadable(&entry.name, &fault)
}

/// Whether the target of a link is inside the folder.
pub(super) fn inside(root: &Path, real: &Path, name: &str) -> Result<(), Failure> {
    if real.starts_with(root) {
        Ok(())
    } else {
        Err(of_file(
            name,
            "is a link that leads out of the policy folder: put a copy there in its place",
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        for file in files {
            let path = home.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        home
    }

    fn names(home: &Path) -> Vec<String> {
        list(home).unwrap().files.into_iter().map(|found| found.name).collect()
    }

    fn misplaced(home: &Path) -> Vec<String> {
        list(home).unwrap().misplaced.into_iter().map(|(name, _)| name).collect()
    }

    fn fault(home: &Path) -> String {
        list(home).err().unwrap().public
    }

    #[test]
    fn a_link_that_leads_out_is_named_and_nothing_behind_it() {
        let outside = folder(&["secret/secret.cedar", "secret/secret2.cedar"]);
        let secret = outside.path().join("secret");
        for name in ["x", "rules/x", "rules/../x", "rules/x.cedar"] {
            let home = folder(&["rules/a.cedar"]);
            symlink(&secret, home.path().join(name)).unwrap();
            let told = fault(home.path());
            assert!(
                told.contains("x") && told.contains("leads out of the policy folder"),
                "{told}"
            );
            assert!(!told.contains("secret"), "{told}");
        }
        let home = folder(&["rules/a.cedar"]);
        symlink(&secret, outside.path().join("on")).unwrap();
        symlink(outside.path().join("on"), home.path().join("rules/x")).unwrap();
        assert!(fault(home.path()).starts_with("rules/x: is a link that leads out"));
        fs::rename(home.path().join("rules/x"), home.path().join(".x")).unwrap();
        assert_eq!(names(home.path()), ["rules/a.cedar"]);
        assert_eq!(misplaced(home.path()), Vec::<String>::new());
    }

    #[test]
    fn links_that_stay_inside_are_followed_as_a_config_map_swaps_them() {
        let home = folder(&["..2026_1/rules/a.cedar", "..2026_2/rules/b.cedar"]);
        let point = |version: &str| {
            fs::remove_file(home.path().join("..data")).ok();
            symlink(version, home.path().join("..data")).unwrap();
        };
        symlink("..data/rules", home.path().join("rules")).unwrap();
        point("..2026_1");
        assert_eq!(names(home.path()), ["rules/a.cedar"]);
        point("..2026_2");
        assert_eq!(names(home.path()), ["rules/b.cedar"]);
        assert_eq!(misplaced(home.path()), Vec::<String>::new());
        // The folder itself may be such a link.
        symlink(home.path(), home.path().join(".itself")).unwrap();
        assert_eq!(names(&home.path().join(".itself")), ["rules/b.cedar"]);
    }

    #[test]
    fn policies_in_hidden_folders_are_found_however_deep() {
        let home = folder(&[
            "rules/a.cedar",
            ".rules/b.cedar",
            "rules~/b.cedar",
            "#rules/b.cedar",
            "rules/.old/b.cedar",
            ".a/b/c/d/e/f/b.cedar",
            ".git/rules/b.cedar",
            "..2026_1/b.cedar",
            "rules/.a.cedar.swp",
        ]);
        assert_eq!(names(home.path()), ["rules/a.cedar"]);
        assert_eq!(
            misplaced(home.path()),
            [
                "#rules/b.cedar",
                ".a/b/c/d/e/f/b.cedar",
                ".rules/b.cedar",
                "rules/.old/b.cedar",
                "rules~/b.cedar"
            ]
        );
        let notes = list(home.path()).unwrap().notes;
        assert_eq!(notes, ["`rules/.a.cedar.swp` is hidden or a backup copy: it is not loaded"]);
        fs::create_dir_all(home.path().join(".a/b/c/d/e/f/g/h")).unwrap();
        let told = fault(home.path());
        assert!(told.starts_with(".a/b/c/d/e/f/g/h: is nested 8 folders deep"), "{told}");
    }

    #[test]
    fn all_that_is_looked_at_has_one_bound() {
        let hidden: Vec<String> = (0..300).map(|n| format!("..data/.{n}.cedar~")).collect();
        let hidden: Vec<&str> = hidden.iter().map(String::as_str).collect();
        let home = folder(&hidden);
        let link = |n: usize| symlink("..data", home.path().join(format!("l{n}"))).unwrap();
        (0..60).for_each(link);
        assert!(list(home.path()).is_ok());
        (60..100).for_each(link);
        let told = fault(home.path());
        assert!(told.contains("with its folder `l"), "{told}");
        assert!(told.contains("more than 20000 files and folders"), "{told}");
        assert!(told.contains(&home.path().display().to_string()), "{told}");
    }

    #[test]
    fn a_name_prints_nothing_but_itself() {
        let home = folder(&[]);
        symlink("/", home.path().join("x\n\u{1b}[2Jlive")).unwrap();
        let told = fault(home.path());
        assert!(told.starts_with("x\\n\\u{1b}[2Jlive: is a link"), "{told}");
    }
}
