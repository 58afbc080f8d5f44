//! A Maildir in which bounces arrive, one file each.
//!
//! Never deletes a mail: a processed one is marked as seen.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::domain::escaped_text::printable;
use crate::domain::{Failure, Kind, limits};

/// The Maildir flag of a seen file.
const SEEN: &str = ":2,S";

/// A folder with `new/` and `cur/` in it.
#[derive(Clone, Debug)]
pub struct Maildir(PathBuf);

impl Maildir {
    /// The Maildir at a path; it need not exist yet.
    #[must_use]
    pub const fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// The unseen mails, the oldest first, at most [`limits::BOUNCES_MAX`].
    ///
    /// # Errors
    /// `Internal`, when the folder cannot be read; one that is not there yet is empty.
    pub async fn list(&self) -> Result<Vec<PathBuf>, Failure> {
        let folder = self.0.clone();
        blocking(&self.0, move || unseen(&folder)).await
    }

    /// The first bytes of a mail, at most [`limits::BOUNCE_BYTES_MAX`].
    ///
    /// # Errors
    /// `Internal`, when the file cannot be read.
    pub async fn read(&self, mail: &Path) -> Result<Vec<u8>, Failure> {
        let path = mail.to_owned();
        blocking(mail, move || beginning(&path)).await
    }

    /// Marks a mail as seen: it is no longer listed.
    ///
    /// # Errors
    /// `Internal`, when the file cannot be moved.
    pub async fn take(&self, mail: &Path) -> Result<(), Failure> {
        let (folder, path) = (self.0.join("cur"), mail.to_owned());
        blocking(mail, move || move_to(&folder, &path)).await
    }
}

/// Runs file operations on a blocking thread.
async fn blocking<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Failure> {
    let outcome = tokio::task::spawn_blocking(work).await.map_err(io::Error::other);
    outcome.and_then(|done| done).map_err(|fault| {
        Failure::new(
            Kind::Internal,
            "maildir",
            format!(
                "returned mail `{}` cannot be read or moved: {fault}",
                printable(&path.to_string_lossy())
            ),
        )
    })
}

fn unseen(maildir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for folder in ["new", "cur"] {
        let entries = match fs::read_dir(maildir.join(folder)) {
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            // A link or a pipe is not a mail.
            if entry.file_type()?.is_file() && !is_seen(&name) && !name.starts_with('.') {
                found.push((since(&name), entry.path()));
            }
            if found.len() >= 2 * limits::BOUNCES_MAX {
                found.sort();
                found.truncate(limits::BOUNCES_MAX);
            }
        }
    }
    found.sort();
    found.truncate(limits::BOUNCES_MAX);
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

fn beginning(mail: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(mail)?.take(limits::BOUNCE_BYTES_MAX as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether the flags of a file name include the one for seen mails.
fn is_seen(name: &str) -> bool {
    name.split_once(":2,").is_some_and(|(_, flags)| flags.contains('S'))
}

/// A file name begins with the arrival time in seconds.
fn since(name: &str) -> u64 {
    name.split('.').next().and_then(|seconds| seconds.parse().ok()).unwrap_or(u64::MAX)
}

fn move_to(folder: &Path, mail: &Path) -> io::Result<()> {
    let name = mail.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let name = name.split(":2,").next().unwrap_or_default();
    fs::create_dir_all(folder)?;
    fs::rename(mail, folder.join(format!("{name}{SEEN}")))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[tokio::test]
    async fn a_name_prints_nothing_but_itself() {
        let folder = tempfile::tempdir().unwrap();
        let maildir = Maildir::new(folder.path().to_owned());
        let told = maildir.read(&folder.path().join("a\n\u{1b}[2J")).await.unwrap_err();
        let told = told.to_string() + &told.public;
        assert!(told.contains("a\\n\\u{1b}[2J` cannot be read"), "{told}");
        assert!(!told.contains('\n'), "{told}");
    }

    async fn names(maildir: &Maildir) -> Vec<String> {
        let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
        maildir.list().await.unwrap().iter().map(name).collect()
    }

    #[tokio::test]
    async fn mail_waits_in_order_until_it_is_taken_and_is_never_lost() {
        let home = tempfile::tempdir().unwrap();
        let maildir = Maildir::new(home.path().to_owned());
        assert!(names(&maildir).await.is_empty());
        for (name, text) in [
            ("new/20.b.host", "two"),
            ("new/9.a.host", "one"),
            ("cur/30.c.host:2,", "three"),
            ("cur/5.d.host:2,RS", "seen"),
            ("new/.hidden", "hidden"),
        ] {
            let path = home.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        symlink("/dev/zero", home.path().join("new/1.link.host")).unwrap();
        assert_eq!(names(&maildir).await, ["9.a.host", "20.b.host", "30.c.host:2,"]);
        let waiting = maildir.list().await.unwrap();
        assert_eq!(maildir.read(&waiting[0]).await.unwrap(), b"one");
        maildir.take(&waiting[0]).await.unwrap();
        maildir.take(&waiting[1]).await.unwrap();
        maildir.take(&waiting[2]).await.unwrap();
        assert!(names(&maildir).await.is_empty());
        for (path, text) in [
            ("cur/9.a.host:2,S", "one"),
            ("cur/20.b.host:2,S", "two"),
            ("cur/30.c.host:2,S", "three"),
        ] {
            assert_eq!(fs::read_to_string(home.path().join(path)).unwrap(), text, "{path}");
        }
    }

    #[tokio::test]
    async fn much_mail_and_large_mail_are_bounded() {
        let home = tempfile::tempdir().unwrap();
        let new = home.path().join("new");
        fs::create_dir_all(&new).unwrap();
        for number in 0..2 * limits::BOUNCES_MAX + 5 {
            fs::write(new.join(format!("{number}.x.host")), "").unwrap();
        }
        let maildir = Maildir::new(home.path().to_owned());
        let found = names(&maildir).await;
        assert_eq!(found.len(), limits::BOUNCES_MAX);
        assert_eq!((found[0].as_str(), found[999].as_str()), ("0.x.host", "999.x.host"));
        let large = new.join("0.x.host");
        fs::write(&large, vec![b'x'; limits::BOUNCE_BYTES_MAX + 1]).unwrap();
        assert_eq!(maildir.read(&large).await.unwrap().len(), limits::BOUNCE_BYTES_MAX);
    }
}
