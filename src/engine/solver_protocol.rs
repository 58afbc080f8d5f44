//! The link between Cedar's symbolic compiler and a solver: what is asked, and how an answer is read.
//!
//! Strict: only an `unsat` proves something, and whatever is not understood is unknown. Starts no process
//! and measures no time; that is the work of who implements [`SmtSolver`].

use std::collections::HashSet;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use cedar_policy::PolicySet;
use cedar_policy_symcc::err::{Error, Result as SymbolicResult};
use cedar_policy_symcc::solver::{Decision, DecisionWithModel, Solver, SolverError};
use cedar_policy_symcc::{CedarSymCompiler, CompiledPolicy, CompiledPolicySet, Env, SmtLibScript};
use tokio::io::AsyncWrite;

/// Most bytes of a script: one question of the largest sets that are analysed has some hundred KiB.
const SCRIPT_BYTES_MAX: usize = 16 << 20;
/// Most characters that are shown of an answer that is not understood.
const SHOWN_MAX: usize = 80;

/// A solver that reads SMT-LIB 2.
pub trait SmtSolver: Send {
    /// Sends commands, and returns what was printed for them.
    ///
    /// # Errors
    /// Why there is no answer, as a part of a sentence.
    fn answer(&mut self, commands: &[u8]) -> Result<String, String>;

    /// Why no question will be answered any more, if so.
    fn spent(&self) -> Option<String>;
}

/// The questions to one solver. Many kinds of request differ in names alone that no question has: what is
/// proved once is not asked again.
pub(super) struct Questions<'s> {
    solver: &'s mut dyn SmtSolver,
    proved: HashSet<Vec<u8>>,
}

impl<'s> Questions<'s> {
    pub(super) fn to(solver: &'s mut dyn SmtSolver) -> Self {
        Self { solver, proved: HashSet::new() }
    }

    /// Why no question will be answered any more, if so.
    pub(super) fn spent(&self) -> Option<String> {
        self.solver.spent()
    }
}

/// What is known about a statement.
#[derive(Debug)]
pub(super) enum Proof {
    /// It holds for every request.
    Proved,
    /// It does not hold for this one, as far as Cedar's model of a request goes.
    Refuted(Box<Env>),
    /// Why it is not known.
    Unknown(String),
}

/// Whether everything that `part` allows is allowed by `whole`.
pub(super) fn implies(
    questions: &mut Questions<'_>,
    part: &CompiledPolicySet,
    whole: &CompiledPolicySet,
) -> Proof {
    asked(questions, async |compiler| {
        compiler.check_implies_with_counterexample_opt(part, whole).await
    })
}

/// Whether a set allows nothing.
pub(super) fn denies_always(questions: &mut Questions<'_>, set: &CompiledPolicySet) -> Proof {
    asked(questions, async |compiler| {
        compiler.check_always_denies_with_counterexample_opt(set).await
    })
}

/// Whether a policy can always be evaluated.
pub(super) fn never_errs(questions: &mut Questions<'_>, policy: &CompiledPolicy) -> Proof {
    asked(questions, async |compiler| {
        compiler.check_never_errors_with_counterexample_opt(policy).await
    })
}

/// Builds a set for Cedar's compiler; a policy that is there twice counts once.
pub(super) fn set_of<'p>(policies: impl Iterator<Item = &'p cedar_policy::Policy>) -> PolicySet {
    let mut set = PolicySet::new();
    for policy in policies {
        let _ = set.add(policy.clone());
    }
    set
}

/// A reason that Cedar's compiler gives.
pub(super) fn reason(fault: &Error) -> String {
    match fault {
        Error::SolverUnknown => "the solver found no answer within its limit".to_owned(),
        Error::SolverError(SolverError::Solver(why)) => why.clone(),
        Error::SolverError(SolverError::UnrecognizedSolverOutput(text)) => {
            format!("the solver printed `{}`, which is no answer", shown(text))
        }
        other => format!("Cedar's analysis does not support it: {}", shown(&other.to_string())),
    }
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN_MAX).flat_map(char::escape_debug).collect()
}

fn asked(
    questions: &mut Questions<'_>,
    ask: impl AsyncFnOnce(&mut CedarSymCompiler<SolverLink<'_, '_>>) -> SymbolicResult<Option<Env>>,
) -> Proof {
    let link = SolverLink { questions, script: Vec::new() };
    let mut compiler = match CedarSymCompiler::new(link) {
        Ok(compiler) => compiler,
        Err(fault) => return Proof::Unknown(reason(&fault)),
    };
    match at_once(ask(&mut compiler)) {
        Some(Ok(None)) => Proof::Proved,
        Some(Ok(Some(env))) => Proof::Refuted(Box::new(env)),
        Some(Err(fault)) => Proof::Unknown(reason(&fault)),
        None => Proof::Unknown("the analysis did not end".to_owned()),
    }
}

/// The result of a future that waits for nothing: the link below blocks instead.
fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => Some(result),
        Poll::Pending => None,
    }
}

/// Collects the commands of a question, and asks them at once.
struct SolverLink<'q, 's> {
    questions: &'q mut Questions<'s>,
    script: Vec<u8>,
}

impl SolverLink<'_, '_> {
    fn sent(&mut self, script: &[u8]) -> Result<String, SolverError> {
        if script.len() > SCRIPT_BYTES_MAX {
            return Err(SolverError::Solver("the question is too large".to_owned()));
        }
        self.questions.solver.answer(script).map_err(SolverError::Solver)
    }
}

impl Solver for SolverLink<'_, '_> {
    fn smtlib_input(&mut self) -> &mut (dyn AsyncWrite + Unpin + Send) {
        &mut self.script
    }

    async fn enable_models(&mut self) -> Result<(), SolverError> {
        self.script.set_option("produce-models", "true").await.map_err(Into::into)
    }

    async fn check_sat(&mut self) -> Result<Decision, SolverError> {
        SmtLibScript::check_sat(&mut self.script).await?;
        let script = std::mem::take(&mut self.script);
        // It begins with a reset, so it is the whole question.
        if self.questions.proved.contains(&script) {
            return Ok(Decision::Unsat);
        }
        let answer = self.sent(&script)?;
        match answer.trim() {
            "sat" => Ok(Decision::Sat),
            "unsat" => {
                self.questions.proved.insert(script);
                Ok(Decision::Unsat)
            }
            "unknown" => Ok(Decision::Unknown),
            _ => Err(SolverError::UnrecognizedSolverOutput(answer)),
        }
    }

    async fn check_sat_with_model(&mut self) -> Result<DecisionWithModel, SolverError> {
        match Solver::check_sat(self).await? {
            Decision::Unsat => Ok(DecisionWithModel::Unsat),
            Decision::Unknown => Ok(DecisionWithModel::Unknown),
            Decision::Sat => {
                self.script.get_model().await?;
                let script = std::mem::take(&mut self.script);
                let model = self.sent(&script)?;
                let is_list = model.trim().starts_with('(') && model.trim().ends_with(')');
                if !is_list || model.trim().starts_with("(error") {
                    return Err(SolverError::UnrecognizedSolverOutput(model));
                }
                Ok(DecisionWithModel::Sat { model })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives prepared answers, and keeps what was asked.
    struct PreparedAnswers(Vec<Result<&'static str, &'static str>>, Vec<String>);

    impl SmtSolver for PreparedAnswers {
        fn answer(&mut self, commands: &[u8]) -> Result<String, String> {
            self.1.push(String::from_utf8(commands.to_vec()).unwrap());
            let answer = if self.0.is_empty() { Err("none left") } else { self.0.remove(0) };
            answer.map(str::to_owned).map_err(str::to_owned)
        }

        fn spent(&self) -> Option<String> {
            None
        }
    }

    /// What one question about a satisfiable set comes to with these answers.
    fn question(answers: Vec<Result<&'static str, &'static str>>) -> (Proof, Vec<String>) {
        use cedar_policy::{RequestEnv, Schema};
        let schema =
            "entity A { x: Long, y: Long }; action a appliesTo { principal: [A], resource: [A] };";
        let (schema, _) = Schema::from_cedarschema_str(schema).unwrap();
        let env = RequestEnv::new(
            "A".parse().unwrap(),
            "Action::\"a\"".parse().unwrap(),
            "A".parse().unwrap(),
        );
        let policy = "permit (principal, action, resource) when { principal.x > resource.y };";
        let set = CompiledPolicySet::compile(&policy.parse().unwrap(), &env, &schema).unwrap();
        let mut solver = PreparedAnswers(answers, Vec::new());
        let mut questions = Questions::to(&mut solver);
        let proof = denies_always(&mut questions, &set);
        // What is proved is not asked again, and nothing else is taken for proved.
        if let Proof::Proved = proof {
            assert!(matches!(denies_always(&mut questions, &set), Proof::Proved));
            assert!(questions.proved.len() == 1);
        } else {
            assert!(questions.proved.is_empty());
        }
        (proof, solver.1)
    }

    #[test]
    fn only_unsat_proves() {
        let (proof, asked) = question(vec![Ok("unsat")]);
        assert!(matches!(proof, Proof::Proved), "{proof:?}");
        assert_eq!(asked.len(), 1);
        assert!(asked[0].starts_with("(reset)\n") && asked[0].ends_with("(check-sat)\n"));
        for answers in [
            vec![Ok("unknown")],
            vec![Ok("")],
            vec![Ok("unsat unsat")],
            vec![Ok("UNSAT")],
            vec![Ok("(error \"x\")")],
            vec![Err("it crashed")],
            vec![Ok("sat"), Err("it crashed")],
            vec![Ok("sat"), Ok("unsat")],
            vec![Ok("sat"), Ok("(error \"x\")")],
            vec![Ok("sat"), Ok("(define-fun)")],
            vec![Ok("sat"), Ok("((((")],
        ] {
            let said = format!("{answers:?}");
            let (proof, _) = question(answers);
            assert!(matches!(proof, Proof::Unknown(_)), "{said}: {proof:?}");
        }
    }
}
