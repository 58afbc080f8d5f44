//! The API keys of the decision listener's callers, from the file of `decision.keys_file`: one on
//! each line, `#` begins a comment line.
//!
//! Keeps digests only, and never prints a key.

use std::path::Path;

use crate::config::SecretFile;
use crate::domain::{Digest, Failure, Kind, limits};

/// Reads the keys from a file.
///
/// # Errors
/// `Conflict` `keys_file` with a sentence that names every line at fault.
pub fn read(path: &Path) -> Result<Vec<Digest>, Failure> {
    keys(path).map_err(|why| {
        let sentence = format!("`decision.keys_file` `{}` {why}", path.display());
        Failure::new(Kind::Conflict, "keys_file", sentence)
    })
}

fn keys(path: &Path) -> Result<Vec<Digest>, String> {
    let secret = SecretFile::read(path)?;
    if let Some(mode) = secret.exposed {
        return Err(format!(
            "may be read by others (mode {mode:04o}): run `chmod 600 {}`",
            path.display()
        ));
    }
    let lines = secret.text.lines().map(str::trim).zip(1..);
    let lines = lines.filter(|(line, _)| !line.is_empty() && !line.starts_with('#'));
    let (mut keys, mut faults) = (Vec::new(), Vec::new());
    for (line, number) in lines {
        match fault(line) {
            Some(why) => faults.push(format!("line {number} {why}")),
            None => keys.push(Digest::of(&[line.as_bytes()])),
        }
    }
    if !faults.is_empty() {
        return Err(format!("is refused: {}", faults.join("; ")));
    }
    keys.sort_unstable();
    keys.dedup();
    match keys.len() {
        0 => Err("holds no key: write one a line, made with `openssl rand -hex 32`".to_owned()),
        _ => Ok(keys),
    }
}

/// Why a line is not a key.
fn fault(line: &str) -> Option<String> {
    let least = limits::CALLER_KEY_CHARS_MIN;
    if !line.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Some(
            "has a space or another character that no header carries: write a comment on a line of its own"
                .to_owned(),
        );
    }
    (line.len() < least).then(|| {
        format!("is shorter than {least} characters: make a key with `openssl rand -hex 32`")
    })
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::PathBuf;

    use super::*;

    const A: &str = "0123456789abcdef0123456789abcdef";
    const B: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ-._~+/=";

    struct Place(tempfile::TempDir);

    impl Place {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn file(&self) -> PathBuf {
            self.0.path().join("keys")
        }

        fn holds(&self, bytes: impl AsRef<[u8]>) -> Result<Vec<Digest>, String> {
            fs::write(self.file(), bytes).unwrap();
            fs::set_permissions(self.file(), Permissions::from_mode(0o600)).unwrap();
            read(&self.file()).map_err(|failure| failure.public)
        }
    }

    fn digests(keys: &[&str]) -> Vec<Digest> {
        let mut keys: Vec<_> = keys.iter().map(|key| Digest::of(&[key.as_bytes()])).collect();
        keys.sort_unstable();
        keys
    }

    #[test]
    fn a_line_is_a_key_or_a_comment_however_it_ends() {
        let place = Place::new();
        for text in [
            format!("{A}\n{B}\n"),
            format!("# of the shop, until May\n{A}\n\n  # {A}x\n{B}"),
            format!("\u{feff}{A}\r\n{B}\r\n"),
            format!("  {A}  \t\n{B} \n{A}\n"),
        ] {
            assert_eq!(place.holds(&text).unwrap(), digests(&[A, B]), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_key_is_refused_by_its_line_and_never_shown() {
        let place = Place::new();
        let short = A.get(1..).unwrap();
        for (text, wanted) in [
            (format!("{A}\n{short}\n"), "line 2 is shorter than 32"),
            (format!("a\n{A}\n"), "line 1 is shorter than 32"),
            (format!("{A} # the shop\n"), "line 1 has a space"),
            (format!("{A}\u{e9}\n"), "line 1 has a space or another character"),
            (format!("{A}\0\n"), "line 1 has a space or another character"),
            ("# nothing\n\n".to_owned(), "holds no key"),
            (String::new(), "holds no key"),
        ] {
            let why = place.holds(&text).unwrap_err();
            assert!(why.contains(wanted), "{text:?}: {why}");
            assert!(!why.contains(short), "{why}");
        }
        let both = place.holds(format!("a\n{A}\nb\n")).unwrap_err();
        assert!(both.contains("line 1") && both.contains("line 3"), "{both}");
        let binary = place.holds([0xff, 0xfe, b'a', b'\n']).unwrap_err();
        assert!(binary.contains("UTF-8"), "{binary}");
        let huge = place.holds(vec![b'k'; 1 << 20]).unwrap_err();
        assert!(huge.contains("more than 64 KiB"), "{huge}");
    }

    #[test]
    fn a_file_that_others_may_read_is_refused_and_so_is_what_is_no_file() {
        let place = Place::new();
        place.holds(A).unwrap();
        for mode in [0o644, 0o640, 0o604, 0o660, 0o666, 0o602, 0o620, 0o444] {
            fs::set_permissions(place.file(), Permissions::from_mode(mode)).unwrap();
            let why = read(&place.file()).unwrap_err().public;
            assert!(why.contains(&format!("mode {mode:04o}")), "{why}");
            assert!(why.contains("chmod 600"), "{why}");
        }
        for mode in [0o600, 0o400, 0o700] {
            fs::set_permissions(place.file(), Permissions::from_mode(mode)).unwrap();
            read(&place.file()).unwrap();
        }
        let link = place.0.path().join("link");
        std::os::unix::fs::symlink(place.file(), &link).unwrap();
        read(&link).unwrap();
        let folder = read(place.0.path()).unwrap_err().public;
        assert!(folder.contains("is not a regular file"), "{folder}");
        let pipe = place.0.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        let pipe = read(&pipe).unwrap_err().public;
        assert!(pipe.contains("is not a regular file"), "{pipe}");
        let none = read(&place.0.path().join("none")).unwrap_err().public;
        assert!(none.contains("cannot be read"), "{none}");
    }
}
