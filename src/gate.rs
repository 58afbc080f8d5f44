//! The gate process: a policy folder is checked in a separate process before it is loaded here.
//!
//! Cedar can overflow the stack on a folder, or need more time and memory than there is, in more
//! ways than the text of the folder shows. In that case only the gate process dies, and the folder
//! is refused. If the process ends or hangs for another reason, that says nothing about the folder,
//! and the check can be retried. Only a folder that passed is loaded here, without the steps that
//! only check. Does not interpret policies itself.

mod policy_check_worker;
mod solver_process;

use std::io::{BufRead as _, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use crate::background;
use crate::config::find_solver;
use crate::domain::{
    Failure, GuardOutcome, GuardOutcomes, GuardState, Kind, PolicyFiles, RoleId, plural,
};
use crate::engine::{GuardProof, LoadMode, PolicyFault, Snapshot, SymbolicDifference, render};
use crate::policy_folder;
use policy_check_worker::{
    Answer, Bounds, OUT_OF_MEMORY, OUT_OF_TIME, PROOFS_PATIENCE, Task, Work, format_one, guarded,
};
pub use policy_check_worker::{DifferenceReport, GuardReport, run};

/// The internal command that runs the gate process.
pub const COMMAND: &str = "gate-process";

/// The program to start; if there is none, as in a test, the check runs in this process.
static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// The maximum size of a response: twice the largest folder, formatted and quoted.
const ANSWER_BYTES_MAX: u64 = 512 << 20;
/// The maximum size of the standard error output that is read.
const LAST_WORDS_MAX: u64 = 4 << 10;
/// A larger set is not analysed: a process would load it for seconds, to find that too many policies
/// apply to most requests.
const PROVED_POLICIES_MAX: usize = 5_000;
/// What has proved the guards of the built-in policies.
const BUILT_IN_SOLVER: &str = "cvc5 in the tests of this version";
const TOO_MANY: &str = "sets of more than 5,000 policies are not analysed";
/// The standard library's message when the system gives no memory.
const NO_MEMORY: &str = "memory allocation of ";
/// The exit code of a panic.
const PANIC: i32 = 101;

/// From now on, folders are checked in processes of this program: for its command line, which knows
/// [`COMMAND`].
pub fn use_processes() {
    // If the program was replaced on disk, this is still the one that runs.
    let own = Path::new("/proc/self/exe");
    let program = if own.exists() { Some(own.to_owned()) } else { std::env::current_exe().ok() };
    if let Some(program) = program {
        let _ = PROGRAM.set(program);
    }
}

/// Why a set did not pass, and what was found about its guards, if they were reached.
#[derive(Clone, Debug)]
pub struct NotAdmitted {
    /// Why.
    pub failure: Failure,
    /// What was found about the guards.
    pub guards: Option<Box<GuardOutcomes>>,
}

impl From<Failure> for NotAdmitted {
    fn from(failure: Failure) -> Self {
        Self { failure, guards: None }
    }
}

impl From<NotAdmitted> for Failure {
    fn from(refused: NotAdmitted) -> Self {
        refused.failure
    }
}

/// Checks and loads a folder that may become the live set, and proves its guards as far as there is a
/// solver; it can neither crash this process nor use more resources than its size allows. The set knows
/// what was found.
///
/// # Errors
/// `PoliciesRefused` with every fault, also where a guard is broken, or with `demand_proof` not proved;
/// `Busy`, when the host does not let it be checked.
pub fn admit(
    files: &PolicyFiles,
    held: &[(RoleId, usize)],
    demand_proof: bool,
) -> Result<Snapshot, NotAdmitted> {
    let snapshot = checked(files, held, true)?;
    // The built-in policies were proved when this program was built.
    if !demand_proof && is_built_in(files) {
        let solver = BUILT_IN_SOLVER.to_owned();
        let proved = snapshot.guards_alike(GuardState::Proved, "");
        let report = GuardReport { solver, ..proved.into() };
        return Ok(snapshot.with_guard_outcomes(Some(report.outcomes())));
    }
    let report = prove(files, &snapshot, false);
    let (faults, guards) = (report.faults(demand_proof), report.outcomes());
    if faults.is_empty() {
        Ok(snapshot.with_note(report.note()).with_guard_outcomes(Some(guards)))
    } else {
        Err(NotAdmitted { failure: failure(&faults), guards: Some(Box::new(guards)) })
    }
}

/// What is known about the guards of a set that was loaded from `files`: proved by the solver, or
/// checked on cases where there is none; with `search` also what is odd about its policies. Never fails:
/// what is not known is unknown. Takes 30 s at most.
#[must_use]
pub fn prove(files: &PolicyFiles, snapshot: &Snapshot, search: bool) -> GuardReport {
    if snapshot.guard_count() == 0 && !search {
        return GuardReport::default();
    }
    if snapshot.policy_count() > PROVED_POLICIES_MAX {
        return snapshot.guards_alike(GuardState::Unknown, TOO_MANY).into();
    }
    let solver = match find_solver() {
        Ok(solver) => solver,
        Err(why) => return snapshot.checked_guard_proofs(&why).into(),
    };
    let Some(program) = PROGRAM.get() else {
        return policy_check_worker::prove(snapshot, files, solver, search);
    };
    let unknown = |why: &str| snapshot.guards_alike(GuardState::Unknown, why).into();
    let guard_cases = snapshot.guard_cases();
    match ask(program, Work::Prove { solver, search, guard_cases }, files, &[]) {
        Ok(Answer::Proved(report)) => report,
        Ok(Answer::Refused(faults)) => unknown(&render(&faults)),
        Ok(_) => unknown("the process that proves it sent an unexpected answer"),
        Err(fault) => unknown(&fault.public),
    }
}

/// How what the policies allow differs from a former set, for every kind of request; each set with the
/// files that it was loaded from. Never fails: what is not known is unknown. Takes 30 s at most.
#[must_use]
pub fn difference(
    now: (&Snapshot, &PolicyFiles),
    before: (&Snapshot, &PolicyFiles),
) -> DifferenceReport {
    let unknown = |why: String| DifferenceReport {
        difference: SymbolicDifference::unknown(why),
        solver: String::new(),
    };
    if now.0.policy_count().max(before.0.policy_count()) > PROVED_POLICIES_MAX {
        return unknown(TOO_MANY.to_owned());
    }
    let solver = match find_solver() {
        Ok(solver) => solver,
        Err(why) => return unknown(why),
    };
    let Some(program) = PROGRAM.get() else {
        return policy_check_worker::compare(now, before, solver);
    };
    let former = lengths(before.1);
    let task = Task { before: former, ..task(Work::Compare { solver }, now.1, &[]) };
    match ask_program(program, &task, now.1, before.1) {
        Ok(Answer::Compared(report)) => report,
        Ok(Answer::Refused(faults)) => unknown(render(&faults)),
        Ok(_) => unknown("the process that compares them sent an unexpected answer".to_owned()),
        Err(fault) => unknown(fault.public),
    }
}

impl GuardReport {
    /// Whether every guard is proved.
    #[must_use]
    pub fn is_proved(&self) -> bool {
        self.guards.iter().all(|guard| guard.state == GuardState::Proved)
    }

    /// Why a set with these guards may not become the live one.
    fn faults(&self, demand_proof: bool) -> Vec<PolicyFault> {
        let fault = |guard: &GuardProof| {
            let GuardProof { id, state, why, .. } = guard;
            let message = match (&guard.example, state) {
                (Some(example), _) => format!(
                    "the policies break the guard `{id}`: `{}` shows it, with this folder as DIR; correct the policies, or the guard if it no longer states what is wanted",
                    example.command("DIR", None)
                ),
                (None, GuardState::Proved) => return None,
                (None, _) if !demand_proof => return None,
                (None, _) => format!(
                    "the guard `{id}` is not proved, and `policies.demand_proof` asks for it: {why}"
                ),
            };
            Some(PolicyFault::new(guard.file.as_str(), message))
        };
        self.guards.iter().filter_map(fault).collect()
    }

    /// The same, for the history.
    fn outcomes(&self) -> GuardOutcomes {
        let outcome = |GuardProof { id, state, why, .. }: &GuardProof| GuardOutcome {
            id: id.clone(),
            state: *state,
            why: why.clone(),
        };
        GuardOutcomes {
            solver: self.solver.clone(),
            cases: u64::try_from(self.cases).unwrap_or(u64::MAX),
            guards: self.guards.iter().map(outcome).collect(),
        }
    }

    /// What is proved, in one line.
    fn note(&self) -> Option<String> {
        let all = self.guards.len();
        let proved = self.guards.iter().filter(|guard| guard.state == GuardState::Proved).count();
        let open = self.guards.iter().find(|guard| guard.state != GuardState::Proved);
        match open {
            None if all == 0 => None,
            None => {
                Some(format!("{} proved by {}", plural(all, "guard is", "guards are"), self.solver))
            }
            Some(GuardProof { id, why, .. }) => Some(format!(
                "{proved} of {} proved, and the others are checked on the cases of the matrix only; `{id}`: {why}",
                plural(all, "guard is", "guards are")
            )),
        }
    }
}

fn is_built_in(files: &PolicyFiles) -> bool {
    files.digest() == policy_folder::embedded_policies().digest()
}

/// The same for a folder that is only looked at or compared: it may break its guards.
///
/// # Errors
/// As [`admit`].
pub fn load(files: &PolicyFiles, held: &[(RoleId, usize)]) -> Result<Snapshot, Failure> {
    Ok(checked(files, held, false)?)
}

fn checked(
    files: &PolicyFiles,
    held: &[(RoleId, usize)],
    guards: bool,
) -> Result<Snapshot, NotAdmitted> {
    // The built-in policies were checked when this program was built.
    let is_built_in = is_built_in(files);
    let refused = |faults: Vec<PolicyFault>| NotAdmitted::from(failure(&faults));
    let broken = |faults: &[PolicyFault], report: &GuardReport| NotAdmitted {
        failure: failure(faults),
        guards: Some(Box::new(report.outcomes())),
    };
    let Some(program) = PROGRAM.get().filter(|_| !is_built_in) else {
        let loaded = Snapshot::load(files, held).map_err(refused)?;
        let kept = guarded(loaded, guards && !is_built_in);
        return kept.map(|(set, _)| set).map_err(|found| broken(&found.0, &found.1));
    };
    let passage = match ask(program, Work::Check { guards }, files, held)? {
        Answer::Passed(found) => LoadMode::Again(found),
        Answer::Refused(faults) => return Err(refused(faults)),
        Answer::Broken(faults, report) => return Err(broken(&faults, &report)),
        _ => return Err(unanswered().into()),
    };
    Snapshot::pass(files, held, &passage).map_err(refused)
}

/// The policy files of a folder, formatted, or why not, in the order of their paths.
///
/// # Errors
/// `PoliciesRefused`, where a file cannot be formatted within its bounds; `Busy`, when the host does
/// not let it be tried.
pub fn format_all(files: &PolicyFiles) -> Result<Vec<Result<String, String>>, Failure> {
    let Some(program) = PROGRAM.get() else {
        return Ok(files.iter().map(|(path, bytes)| format_one(path, bytes)).collect());
    };
    match ask(program, Work::Format, files, &[])? {
        Answer::Formatted(texts) => Ok(texts),
        Answer::Refused(faults) => Err(failure(&faults)),
        _ => Err(unanswered()),
    }
}

/// Why a set did not load: it was refused, or the host had no resources for the check.
#[must_use]
pub fn failure(faults: &[PolicyFault]) -> Failure {
    match faults.iter().find(|fault| fault.of_host) {
        Some(fault) => Failure::new(Kind::Busy, "no_thread", fault.message.clone()),
        None => Failure::policies_refused(render(faults)),
    }
}

fn unanswered() -> Failure {
    Failure::internal("the process that checks the policies sent an unexpected answer")
}

fn ask(
    program: &Path,
    work: Work,
    files: &PolicyFiles,
    held: &[(RoleId, usize)],
) -> Result<Answer, Failure> {
    ask_program(program, &task(work, files, held), files, &PolicyFiles::default())
}

fn task(work: Work, files: &PolicyFiles, held: &[(RoleId, usize)]) -> Task {
    Task {
        work,
        held: held.iter().map(|(role, members)| (role.to_string(), *members)).collect(),
        files: lengths(files),
        before: Vec::new(),
        misplaced: files.misplaced().to_vec(),
        notes: files.notes().to_vec(),
    }
}

fn lengths(files: &PolicyFiles) -> Vec<(String, usize)> {
    files.iter().map(|(path, bytes)| (path.to_owned(), bytes.len())).collect()
}

fn ask_program(
    program: &Path,
    task: &Task,
    files: &PolicyFiles,
    before: &PolicyFiles,
) -> Result<Answer, Failure> {
    let mut command = Command::new(program);
    command.arg(COMMAND).env_clear();
    let patience = match &task.work {
        Work::Prove { .. } | Work::Compare { .. } => PROOFS_PATIENCE,
        Work::Check { .. } | Work::Format => Bounds::patience(files),
    };
    ask_process(command, task, [files, before], patience)
}

/// What was received from the process.
#[derive(Default)]
struct Heard {
    /// Its result, if there was one.
    answer: Option<String>,
    /// The last step that it reported.
    step: String,
    /// Its standard error output.
    last_words: String,
}

/// Starts a process and sends it the work; if the work kills the process, the folder is refused.
fn ask_process(
    mut command: Command,
    task: &Task,
    sets: [&PolicyFiles; 2],
    patience: Duration,
) -> Result<Answer, Failure> {
    let [files, _] = sets;
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().map_err(|fault| {
        Failure::new(
            Kind::Busy,
            "no_process",
            format!("the policies cannot be checked, since no process can be started for that: {fault}: see the limits of this host"),
        )
    })?;
    let heard = hear(&mut child, task, sets, patience);
    // Whatever it is doing: nobody listens any more. If it has exited, its status is kept.
    let _ = child.kill();
    let status = child.wait().map_err(|fault| Failure::internal(fault.to_string()))?;
    let (heard, late) = heard?;
    if let Some(answer) = heard.answer {
        return serde_json::from_str(&answer).map_err(|_| unanswered());
    }
    let host = |code, why: String| {
        let failure =
            Failure::new(Kind::Busy, code, format!("the process that checks the policies {why}"));
        Err(failure.logged(format!("{status} {}", heard.last_words.trim_end())))
    };
    if late {
        return host(
            "gate_slow",
            format!(
                "did not answer in {} s and was ended: it was stopped, or the machine is too busy",
                patience.as_secs()
            ),
        );
    }
    if heard.last_words.contains(NO_MEMORY) {
        return host(
            "no_memory",
            "got no memory: see the memory and the limits of this host".to_owned(),
        );
    }
    let Some(why) = how_it_ended(status, &Bounds::of(files)) else {
        return host("gate_ended", "was ended from outside, perhaps because memory is short: see the log and the memory of this host".to_owned());
    };
    let file = files.iter().map(|(path, _)| path).find(|path| *path == heard.step);
    Ok(Answer::Refused(vec![match file {
        Some(file) => PolicyFault::new(file, why),
        None => PolicyFault::new("", format!("the folder {why}")),
    }]))
}

/// Sends the work and listens until the process has answered or exited; kills it after the time
/// limit, and says so.
fn hear(
    child: &mut Child,
    task: &Task,
    sets: [&PolicyFiles; 2],
    patience: Duration,
) -> Result<(Heard, bool), Failure> {
    let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(stdin), Some(stdout), Some(stderr)) = pipes else { return Err(unanswered()) };
    let (heard, ended) = mpsc::channel::<()>();
    thread::scope(|threads| {
        let limit = thread::Builder::new().name("gate-limit".to_owned());
        // This thread alone owns the process meanwhile; it is reaped only afterwards, so that its
        // process id cannot be reused.
        let limit = limit.spawn_scoped(threads, move || {
            let late = ended.recv_timeout(patience) == Err(RecvTimeoutError::Timeout);
            if late {
                let _ = child.kill();
            }
            late
        });
        let limit = limit.map_err(|fault| background::no_thread(&fault))?;
        // If it has exited meanwhile, its status says why.
        let _ = hand_over(stdin, task, sets);
        let found = listen(stdout, stderr);
        drop(heard);
        Ok((found, limit.join().unwrap_or_default()))
    })
}

fn hand_over(mut pipe: impl Write, task: &Task, sets: [&PolicyFiles; 2]) -> std::io::Result<()> {
    let head = serde_json::to_vec(task)?;
    pipe.write_all(&head)?;
    pipe.write_all(b"\n")?;
    let files = sets.iter().flat_map(|files| files.iter());
    files.into_iter().try_for_each(|(_, bytes)| pipe.write_all(bytes))
}

fn listen(stdout: impl Read, stderr: impl Read) -> Heard {
    let mut heard = Heard::default();
    // A step is a JSON string, the result an object.
    for line in BufReader::new(stdout.take(ANSWER_BYTES_MAX)).lines() {
        let Ok(line) = line else { break };
        match serde_json::from_str::<String>(&line) {
            Ok(told) => heard.step = told,
            Err(_) => return Heard { answer: Some(line), ..heard },
        }
    }
    let mut words = Vec::new();
    let _ = stderr.take(LAST_WORDS_MAX).read_to_end(&mut words);
    Heard { last_words: String::from_utf8_lossy(&words).into_owned(), ..heard }
}

/// What the exit status says about the file that was checked; `None` for an exit that a check
/// cannot cause, such as a signal from somebody else.
fn how_it_ended(status: ExitStatus, bounds: &Bounds) -> Option<String> {
    match (status.code(), status.signal()) {
        (Some(OUT_OF_TIME), _) => Some(format!(
            "takes more than {} s of processor time to check: write fewer or simpler policies, types, entities or tests",
            bounds.seconds
        )),
        (Some(OUT_OF_MEMORY), _) => Some(format!(
            "takes more than {} MiB of memory to check: write fewer or simpler policies, types, entities or tests",
            bounds.mib
        )),
        (Some(PANIC), _) => Some(
            "crashes the process that checks it: write it in another way, and report it".to_owned(),
        ),
        // Illegal instruction, trap, abort, bus error or segmentation fault, floating-point
        // exception.
        (_, Some(signal @ (4 | 5 | 6 | 7 | 8 | 11))) => Some(format!(
            "ends the process that checks it (signal {signal}): something in it nests too deep or expands to too much; write it simpler"
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(script: &str, patience: Duration) -> Result<Answer, Failure> {
        // More than a pipe holds.
        let files = PolicyFiles::new(vec![("rules/a.cedar".to_owned(), vec![b' '; 1 << 20])]);
        let task = Task {
            work: Work::Check { guards: false },
            held: Vec::new(),
            files: Vec::new(),
            before: Vec::new(),
            misplaced: Vec::new(),
            notes: Vec::new(),
        };
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        ask_process(command, &task, [&files, &PolicyFiles::default()], patience)
    }

    const LONG: Duration = Duration::from_secs(600);

    #[test]
    fn a_process_that_does_not_answer_is_ended_and_refuses_no_folder() {
        // Before it has read, and while it answers; a stopped process handles no other signal.
        for script in
            ["exec sleep 1000", "kill -STOP $$", "cat > /dev/null; echo '\"rules\"'; kill -STOP $$"]
        {
            let fault = asked(script, Duration::from_millis(50)).err().unwrap();
            assert_eq!((fault.kind, fault.code), (Kind::Busy, "gate_slow"), "{script}: {fault}");
        }
    }

    #[test]
    fn a_process_that_ends_for_another_reason_refuses_no_folder() {
        for (script, code) in [
            ("kill -KILL $$", "gate_ended"),
            ("kill -TERM $$", "gate_ended"),
            ("kill -HUP $$", "gate_ended"),
            ("exit 1", "gate_ended"),
            ("exit 127", "gate_ended"),
            ("echo 'memory allocation of 64 bytes failed' >&2; kill -ABRT $$", "no_memory"),
        ] {
            let fault = asked(script, LONG).err().unwrap();
            assert_eq!((fault.kind, fault.code), (Kind::Busy, code), "{script}: {fault}");
            assert!(fault.private.is_some(), "{script}: {fault}");
        }
        for end in ["kill -ABRT $$", "kill -SEGV $$", "exit 90", "exit 91", "exit 101"] {
            let script = format!("echo '\"rules/a.cedar\"'; {end}");
            let Ok(Answer::Refused(faults)) = asked(&script, LONG) else { panic!("{script}") };
            assert_eq!(faults[0].file, "rules/a.cedar");
        }
        let none = Command::new("/nothing/here");
        let task = Task {
            work: Work::Check { guards: false },
            held: Vec::new(),
            files: Vec::new(),
            before: Vec::new(),
            misplaced: Vec::new(),
            notes: Vec::new(),
        };
        let fault = ask_process(none, &task, [&PolicyFiles::default(); 2], LONG).err().unwrap();
        assert_eq!((fault.kind, fault.code), (Kind::Busy, "no_process"));
    }

    #[test]
    fn what_was_answered_counts_whatever_the_process_does_next() {
        let answer = r#"echo '{"Passed":{"notes":[],"tests":3,"guard_cases":5}}'"#;
        for script in [answer.to_owned(), format!("cat > /dev/null; {answer}; exec sleep 1000")] {
            let Ok(Answer::Passed(found)) = asked(&script, LONG) else { panic!("{script}") };
            assert_eq!((found.tests, found.guard_cases), (3, Some(5)));
        }
        assert_eq!(asked("echo '{\"Else\":1}'", LONG).err().unwrap().kind, Kind::Internal);
    }

    #[test]
    fn a_thread_that_cannot_be_had_refuses_no_folder() {
        let of_host = |of_host| PolicyFault { of_host, ..PolicyFault::new("a", "why") };
        assert_eq!(failure(&[of_host(false)]).kind, Kind::PoliciesRefused);
        assert_eq!(failure(&[of_host(false), of_host(true)]).kind, Kind::Busy);
    }

    #[test]
    fn each_end_of_the_process_is_told() {
        let bounds = Bounds { seconds: 10, mib: 512 };
        for (status, said) in [
            (OUT_OF_TIME << 8, "more than 10 s of processor time"),
            (OUT_OF_MEMORY << 8, "more than 512 MiB of memory"),
            (6, "signal 6"),
            (PANIC << 8, "crashes"),
        ] {
            let told = how_it_ended(ExitStatus::from_raw(status), &bounds).unwrap();
            assert!(told.contains(said), "{told}");
        }
    }
}
