//! Which file of a folder is being worked on, for the process that ends a check that takes too long.
//!
//! Several threads work at once. A file is named only while no other one is in work, so that nobody is
//! sent to a file that is not at fault.

use std::sync::{Mutex, PoisonError};

/// Tells which file is in work: its name, or nothing where there are several.
pub(super) struct LoadProgress<'p> {
    tell: &'p (dyn Fn(&str) + Sync),
    in_work: Mutex<Vec<String>>,
}

impl<'p> LoadProgress<'p> {
    pub(super) fn new(tell: &'p (dyn Fn(&str) + Sync)) -> Self {
        Self { tell, in_work: Mutex::default() }
    }

    /// Works on a file.
    pub(super) fn on<T>(&self, file: &str, work: impl FnOnce() -> T) -> T {
        self.change(|in_work| in_work.push(file.to_owned()));
        let done = work();
        self.change(|in_work| {
            if let Some(at) = in_work.iter().position(|other| other == file) {
                in_work.swap_remove(at);
            }
        });
        done
    }

    /// Tells under the lock: what is told last is what is true then.
    fn change(&self, change: impl FnOnce(&mut Vec<String>)) {
        let mut in_work = self.in_work.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut in_work);
        let only = in_work.first().filter(|first| in_work.iter().all(|file| file == *first));
        (self.tell)(only.map_or("", String::as_str));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_only_while_no_other_one_is_in_work() {
        let told = Mutex::new(Vec::new());
        let tell = |file: &str| told.lock().unwrap().push(file.to_owned());
        let progress = LoadProgress::new(&tell);
        let seen = || std::mem::take(&mut *told.lock().unwrap());
        progress.on("a", || {
            assert_eq!(seen(), ["a"]);
            progress.on("a", || assert_eq!(seen(), ["a"]));
            assert_eq!(seen(), ["a"]);
            progress.on("b", || assert_eq!(seen(), [""]));
            assert_eq!(seen(), ["a"]);
        });
        assert_eq!(seen(), [""]);
    }
}
