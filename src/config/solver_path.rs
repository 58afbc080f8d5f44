//! Where the solver is that proves things about policies: `CVC5` names it, else it is `cvc5` on `PATH`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// The variable that names the solver's program.
const VARIABLE: &str = "CVC5";
/// The program on the path.
const PROGRAM: &str = "cvc5";

/// The solver's program.
///
/// # Errors
/// Why there is none, as a part of a sentence.
pub fn find_solver() -> Result<PathBuf, String> {
    // Not a setting: the same variable as that of Cedar's own tools.
    if let Some(named) = std::env::var_os(VARIABLE).filter(|named| !named.is_empty()) {
        let named = PathBuf::from(named);
        let found = fs::canonicalize(&named).ok().filter(|path| is_executable(path));
        return found.ok_or_else(|| {
            format!("`{VARIABLE}` names `{}`, which is no program", named.display())
        });
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&path).filter(|place| place.is_absolute());
    places.find_map(|place| Some(place.join(PROGRAM)).filter(|path| is_executable(path))).ok_or_else(
        || {
            format!(
                "there is no solver: install `{PROGRAM}`, or name its program in the variable `{VARIABLE}`"
            )
        },
    )
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}
