//! Disk errors in plain words, with a remedy.
//!
//! The sentence names no path, so that anybody may see it.

use std::io;

use crate::config::remedy;

/// The cause in the system's words, and the remedy if it is known.
pub(super) fn of(fault: &redb::Error) -> String {
    match fault {
        redb::Error::Io(fault) => of_io(fault),
        other => other.to_string(),
    }
}

/// The same for an I/O error.
pub(super) fn of_io(fault: &io::Error) -> String {
    match remedy(fault) {
        Some(remedy) => format!("{fault}: {remedy}"),
        None => fault.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_says_what_to_do_next() {
        for (errno, remedy) in
            [(28, "free space"), (30, "writable"), (24, "open files"), (13, "owner"), (27, "size")]
        {
            let told = of(&redb::Error::Io(io::Error::from_raw_os_error(errno)));
            assert!(told.contains(remedy), "{told}");
        }
        let plain = of(&redb::Error::Io(io::Error::from_raw_os_error(5)));
        assert!(plain.contains("nput/output error"), "{plain}");
    }
}
