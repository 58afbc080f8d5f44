//! The gate process: reads a policy folder from standard input, checks it, and reports each step
//! and the result on standard output.
//!
//! Ends itself when it exceeds the processor time or memory for the size of the folder, and when
//! its parent has ended. Opens no file of the folder.

use std::io::{self, BufRead as _, Read as _, Write as _};
use std::os::unix::process::parent_id;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use std::{fs, process, thread};

use rustix::process::{Resource, Rlimit, setrlimit};
use serde::{Deserialize, Serialize};

use super::solver_process::SolverProcess;
use crate::clock;
use crate::domain::{Failure, PolicyFiles, RoleId, input_cleanup};
use crate::engine::{
    GuardCheck, GuardProof, GuardProofs, LoadFacts, LoadMode, PolicyFault, PolicyWarning, Snapshot,
    SymbolicDifference, format,
};

/// Exit codes, beside those of success and of a panic.
pub(super) const OUT_OF_TIME: i32 = 90;
pub(super) const OUT_OF_MEMORY: i32 = 91;
const LEFT_ALONE: i32 = 92;

/// What the process does with a folder.
#[derive(Clone, Deserialize, Serialize)]
pub(super) enum Work {
    /// Checks it; with its guards if it may become the live set.
    Check { guards: bool },
    /// Formats its policies.
    Format,
    /// Proves its guards with this solver, and if asked for searches what is odd. `guard_cases` are those
    /// on which they hold, if that is known.
    Prove { solver: PathBuf, search: bool, guard_cases: Option<usize> },
    /// Compares it with the former set, which is the second one, with this solver.
    Compare { solver: PathBuf },
}

/// The task of the process. The files' bytes follow, one after another.
#[derive(Deserialize, Serialize)]
pub(super) struct Task {
    pub(super) work: Work,
    pub(super) held: Vec<(String, usize)>,
    /// Path and length.
    pub(super) files: Vec<(String, usize)>,
    /// The same of a former set; its bytes follow those of the files.
    pub(super) before: Vec<(String, usize)>,
    /// Path and reason.
    pub(super) misplaced: Vec<(String, String)>,
    pub(super) notes: Vec<String>,
}

#[derive(Deserialize, Serialize)]
pub(super) enum Answer {
    Passed(LoadFacts),
    Refused(Vec<PolicyFault>),
    /// Refused for its guards, with what is known about each of them.
    Broken(Vec<PolicyFault>, GuardReport),
    /// Each file, formatted, or why not.
    Formatted(Vec<Result<String, String>>),
    Proved(GuardReport),
    Compared(DifferenceReport),
}

/// How what is allowed differs from a former set.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct DifferenceReport {
    /// The difference.
    pub difference: SymbolicDifference,
    /// The solver with its version; empty if there is none, or it never answered.
    pub solver: String,
}

/// What is known about the guards of a set.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct GuardReport {
    /// Each guard.
    pub guards: Vec<GuardProof>,
    /// How many cases of the matrix were evaluated for them.
    pub cases: usize,
    /// The solver with its version; empty if there is none, or it never answered.
    pub solver: String,
    /// What is odd about policies, if that was searched.
    pub warnings: Vec<PolicyWarning>,
    /// Whether all of that was.
    pub is_searched: bool,
}

impl From<GuardProofs> for GuardReport {
    fn from(GuardProofs { guards, cases }: GuardProofs) -> Self {
        Self { guards, cases, ..Self::default() }
    }
}

/// Why a set is refused that breaks guards, and what is known about each of them.
pub(super) type BrokenGuards = (Vec<PolicyFault>, GuardReport);

/// The time for all proofs about a folder.
const PROOFS: Duration = Duration::from_secs(10);
/// How long a proof is waited for, with loading the folder.
pub(super) const PROOFS_PATIENCE: Duration = Duration::from_secs(30);

/// How often it checks its resource usage.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Clock ticks in a second: `proc_pid_stat(5)` has this unit on every machine that Linux runs on.
const TICKS_A_SECOND: u64 = 100;

/// The resources for checking a folder: a base, and more for a large one. A MiB of policies that
/// apply to everybody takes some 10 s and 300 MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    /// Of processor time.
    pub(super) seconds: u64,
    /// Of resident memory.
    pub(super) mib: u64,
}

impl Bounds {
    const SECONDS: u64 = 10;
    const SECONDS_A_MIB: u64 = 15;
    const MIB: u64 = 512;
    const MIB_A_MIB: u64 = 256;

    /// The time limit in seconds, for a process that was stopped or gets no processor time: several
    /// times the processor time, for a busy machine. A large folder is checked at a lower priority.
    const PATIENCE: u64 = 120;
    const PATIENCE_A_MIB: u64 = 300;

    /// The time limit for a folder.
    pub(super) fn patience(files: &PolicyFiles) -> Duration {
        let more = Self::mib(files).saturating_sub(1).saturating_mul(Self::PATIENCE_A_MIB);
        Duration::from_secs(Self::PATIENCE.saturating_add(more))
    }

    fn mib(files: &PolicyFiles) -> u64 {
        let bytes: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
        u64::try_from(bytes.div_ceil(1 << 20)).unwrap_or(u64::MAX)
    }

    pub(super) fn of(files: &PolicyFiles) -> Self {
        let mib = Self::mib(files);
        Self {
            seconds: Self::SECONDS.saturating_add(mib.saturating_mul(Self::SECONDS_A_MIB)),
            mib: Self::MIB.saturating_add(mib.saturating_mul(Self::MIB_A_MIB)),
        }
    }
}

/// Runs one task. For the command line.
///
/// # Errors
/// `Internal`, when the input is none that this program writes.
pub fn run() -> Result<(), Failure> {
    // If memory is short, the kernel should kill this process and not the one that decides.
    let _ = fs::write("/proc/self/oom_score_adj", "1000");
    // From here on neither this process nor a solver that it starts can fill a disk.
    for resource in [Resource::Fsize, Resource::Core] {
        let none = Rlimit { current: Some(0), maximum: Some(0) };
        setrlimit(resource, none).map_err(|fault| Failure::internal(fault.to_string()))?;
    }
    let (task, files, before) = read().map_err(|fault| Failure::internal(fault.to_string()))?;
    let bounds = Bounds::of(&files);
    let watch = thread::Builder::new().name("bounds".to_owned()).spawn(move || watch(bounds));
    watch.map_err(|fault| Failure::internal(fault.to_string()))?;
    tell(&answer(&task, &files, &before));
    Ok(())
}

fn read() -> io::Result<(Task, PolicyFiles, PolicyFiles)> {
    let mut input = io::stdin().lock();
    let mut head = String::new();
    input.read_line(&mut head)?;
    let task: Task = serde_json::from_str(&head)?;
    let mut content = |list: &[(String, usize)]| {
        let mut files = Vec::with_capacity(list.len());
        for (path, length) in list {
            let mut bytes = vec![0; *length];
            input.read_exact(&mut bytes)?;
            files.push((path.clone(), bytes));
        }
        Ok::<_, io::Error>(PolicyFiles::new(files))
    };
    let files = content(&task.files)?.with(task.misplaced.clone(), task.notes.clone());
    let before = content(&task.before)?;
    Ok((task, files, before))
}

fn answer(task: &Task, files: &PolicyFiles, before: &PolicyFiles) -> Answer {
    let again = |files, guard_cases| {
        let found = LoadFacts { guard_cases, ..LoadFacts::default() };
        Snapshot::pass(files, &[], &LoadMode::Again(found))
    };
    match &task.work {
        Work::Check { guards } => check(task, files, *guards),
        Work::Format => {
            let each = files.iter().map(|(path, bytes)| {
                tell(&path);
                format_one(path, bytes)
            });
            Answer::Formatted(each.collect())
        }
        Work::Prove { solver, search, guard_cases } => match again(files, *guard_cases) {
            Ok(set) => Answer::Proved(prove(&set, files, solver.clone(), *search)),
            Err(faults) => Answer::Refused(faults),
        },
        Work::Compare { solver } => {
            match again(files, None).and_then(|set| Ok((set, again(before, None)?))) {
                Ok((set, former)) => {
                    Answer::Compared(compare((&set, files), (&former, before), solver.clone()))
                }
                Err(faults) => Answer::Refused(faults),
            }
        }
    }
}

fn check(task: &Task, files: &PolicyFiles, guards: bool) -> Answer {
    let role = |(role, members): &(String, usize)| Some((RoleId::parse(role).ok()?, *members));
    let held: Vec<(RoleId, usize)> = task.held.iter().filter_map(role).collect();
    let passed = Snapshot::pass(files, &held, &LoadMode::Whole(&|step| tell(&step)));
    tell(&"");
    let guarded = match passed {
        Ok(snapshot) => guarded(snapshot, guards),
        Err(faults) => return Answer::Refused(faults),
    };
    match guarded {
        Ok((snapshot, note)) => {
            // The parent uses it to compare the set with the previous one.
            let suspended = snapshot.allowed_while_suspended();
            let (mut notes, tests) = (snapshot.notes().to_vec(), snapshot.test_count());
            notes.extend(suspended);
            notes.extend(note);
            Answer::Passed(LoadFacts { notes, tests, guard_cases: snapshot.guard_cases() })
        }
        Err(broken) => {
            let (faults, report) = *broken;
            Answer::Broken(faults, report)
        }
    }
}

/// Proves the guards, as far as the solver does within the time for all of them.
pub(super) fn prove(
    snapshot: &Snapshot,
    files: &PolicyFiles,
    solver: PathBuf,
    search: bool,
) -> GuardReport {
    let mut solver = SolverProcess::new(solver, clock::monotonic() + PROOFS);
    let proofs = snapshot.prove_guards(files, &mut solver);
    let searched = search.then(|| snapshot.policy_warnings(files, &mut solver));
    let (warnings, is_searched) = searched.unwrap_or_default();
    let solver = solver.version().to_owned();
    GuardReport { solver, warnings, is_searched, ..GuardReport::from(proofs) }
}

/// Compares two sets, as far as the solver does within the time for it.
pub(super) fn compare(
    now: (&Snapshot, &PolicyFiles),
    before: (&Snapshot, &PolicyFiles),
    solver: PathBuf,
) -> DifferenceReport {
    let mut solver = SolverProcess::new(solver, clock::monotonic() + PROOFS);
    let difference = now.0.symbolic_difference(now.1, before, &mut solver);
    DifferenceReport { difference, solver: solver.version().to_owned() }
}

/// A set that keeps its guards in all cases of the matrix, with a note if there were too many to try;
/// any set if `guards` is false.
pub(super) fn guarded(
    snapshot: Snapshot,
    guards: bool,
) -> Result<(Snapshot, Option<String>), Box<BrokenGuards>> {
    if !guards {
        return Ok((snapshot, None));
    }
    let mut check = snapshot.check_guards();
    let faults = std::mem::take(&mut check.faults);
    if !faults.is_empty() {
        let why = "the policies were refused before it was to be proved";
        return Err(Box::new((faults, snapshot.guard_proofs_of(check, why).into())));
    }
    let GuardCheck { cases, is_whole, .. } = check;
    let note = format!("the guards were checked on {cases} cases only, since there are too many");
    Ok((snapshot.with_guard_cases(Some(cases)), (!is_whole).then_some(note)))
}

pub(super) fn format_one(path: &str, bytes: &[u8]) -> Result<String, String> {
    let text = input_cleanup::text(bytes).map_err(|why| PolicyFault::new(path, why));
    text.and_then(|text| format(path, text)).map_err(|fault| fault.to_string())
}

/// Writes one line of JSON. If the parent is gone, this process ends.
fn tell(what: &impl Serialize) {
    if let Ok(mut line) = serde_json::to_vec(what) {
        line.push(b'\n');
        let mut out = io::stdout().lock();
        let _ = out.write_all(&line).and_then(|()| out.flush());
    }
}

fn watch(bounds: Bounds) {
    let (began, parent) = (clock::monotonic(), parent_id());
    loop {
        // After a spurious wake-up it checks once more.
        thread::park_timeout(LOOK_EVERY);
        if seconds(began) > bounds.seconds {
            process::exit(OUT_OF_TIME);
        }
        if resident_mib() > bounds.mib {
            process::exit(OUT_OF_MEMORY);
        }
        if parent_id() != parent {
            process::exit(LEFT_ALONE);
        }
    }
}

/// Processor time of all threads; elapsed time if the kernel does not report it.
fn seconds(began: Instant) -> u64 {
    let ticks = || {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        // Fields 14 and 15, counted from behind the name, which may contain anything.
        let (_, fields) = stat.rsplit_once(") ")?;
        let mut fields = fields.split(' ').skip(14 - 3);
        let mut next = || fields.next()?.parse::<u64>().ok();
        next()?.checked_add(next()?)
    };
    ticks().map_or_else(|| began.elapsed().as_secs(), |ticks| ticks / TICKS_A_SECOND)
}

fn resident_mib() -> u64 {
    let kib = || {
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    kib().unwrap_or_default() >> 10
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy_folder;

    #[test]
    fn guards_that_hold_are_not_evaluated_again() {
        let files = policy_folder::embedded_policies();
        let proved = |guard_cases| {
            let solver = PathBuf::from("/no/solver");
            let task = Task {
                work: Work::Prove { solver, search: false, guard_cases },
                held: Vec::new(),
                files: Vec::new(),
                before: Vec::new(),
                misplaced: Vec::new(),
                notes: Vec::new(),
            };
            let answer = answer(&task, &files, &PolicyFiles::default());
            let Answer::Proved(report) = answer else { panic!("it was to be proved") };
            report.cases
        };
        let evaluated = proved(None);
        assert!(evaluated > 1, "{evaluated}");
        assert_eq!(proved(Some(1)), 1, "not a number that an evaluation gives");
        let (checked, _) = guarded(Snapshot::load(&files, &[]).unwrap(), true).ok().unwrap();
        assert_eq!(checked.guard_cases(), Some(evaluated));
        let (looked_at, _) = guarded(Snapshot::load(&files, &[]).unwrap(), false).ok().unwrap();
        assert_eq!(looked_at.guard_cases(), None);
    }

    #[test]
    fn it_knows_what_it_takes() {
        assert!(resident_mib() > 0);
        let began = clock::monotonic();
        assert!(seconds(began) < 24 * 3_600, "since the beginning of this process");
    }

    #[test]
    fn a_large_folder_may_take_more() {
        let of = |mib: usize| {
            Bounds::of(&PolicyFiles::new(vec![("rules/a.cedar".to_owned(), vec![0; mib << 20])]))
        };
        assert_eq!(of(1), Bounds { seconds: 25, mib: 768 });
        assert_eq!(of(4), Bounds { seconds: 70, mib: 1_536 });
        let patience = |mib: usize| {
            let files = PolicyFiles::new(vec![("rules/a.cedar".to_owned(), vec![0; mib << 20])]);
            Bounds::patience(&files).as_secs()
        };
        assert_eq!([patience(0), patience(1), patience(4)], [120, 120, 1_020]);
    }
}
