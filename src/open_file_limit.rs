//! The limit on open files, connections included: raised as far as the system allows, and divided
//! among the listeners.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::domain::{Failure, Kind, limits};

/// Raises the soft limit of open files to the hard one; returns the limit.
#[must_use]
pub fn raise_file_limit() -> usize {
    let now = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: now.maximum, maximum: now.maximum };
    let holds = if setrlimit(Resource::Nofile, raised).is_ok() { raised } else { now };
    holds.current.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX))
}

/// The number of open files that so many listeners with so many connections need.
#[must_use]
pub fn needed(listeners: usize, connections: usize) -> usize {
    listeners.saturating_mul(connections).saturating_add(limits::OTHER_FILES)
}

/// How many of the requested connections each listener can have: the same number for each, so that
/// a crowd on one takes nothing from another, nor from the store.
///
/// # Errors
/// `Invalid` `open_files`, where they are too few to start with.
pub fn connections(files: usize, listeners: usize, wanted: usize) -> Result<usize, Failure> {
    let share = files.saturating_sub(limits::OTHER_FILES) / listeners.max(1);
    if share < wanted.min(limits::CONNECTIONS_MIN) {
        let least = needed(listeners, limits::CONNECTIONS_MIN);
        return Err(Failure::new(
            Kind::Invalid,
            "open_files",
            format!(
                "this process may have only {files} files open: allow at least {least} with `ulimit -n`, or with `LimitNOFILE=` of the service"
            ),
        ));
    }
    Ok(wanted.min(share))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listener_gets_the_same_share_and_something_is_left() {
        assert_eq!(connections(1 << 20, 4, 4_096), Ok(4_096));
        assert_eq!(connections(usize::MAX, 4, 4_096), Ok(4_096));
        assert_eq!(connections(needed(4, 4_096), 4, 4_096), Ok(4_096));
        assert_eq!(connections(1_024, 4, 4_096), Ok(240));
        assert_eq!(connections(256, 3, 4_096), Ok(64));
        assert_eq!(connections(1_024, 4, 2), Ok(2));
        for files in [0, 64, needed(4, limits::CONNECTIONS_MIN) - 1] {
            let failure = connections(files, 4, 4_096).unwrap_err();
            assert!(failure.public.contains("allow at least 96"), "{failure}");
        }
    }
}
