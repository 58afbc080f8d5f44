//! Confirmation prompts for commands that cannot be undone.
//!
//! Asks at a terminal; without one, `--yes` is required.

use std::io::{self, IsTerminal as _, Write as _};

use clap::Args;

use super::CommandError;
use super::output::shown;

#[derive(Args, Debug)]
pub(super) struct ConfirmArg {
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl ConfirmArg {
    /// Continues only if confirmed by the flag or at the prompt.
    pub(super) fn or_ask(&self, question: &str) -> Result<(), CommandError> {
        if self.yes || confirmed(question)? {
            return Ok(());
        }
        Err(CommandError::failure("nothing was changed"))
    }
}

fn confirmed(question: &str) -> Result<bool, CommandError> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(CommandError::usage(
            "this needs a confirmation, and nobody can be asked here: add --yes to continue",
        ));
    }
    let _ = write!(io::stderr(), "{} [y/N] ", shown(question));
    let mut answer = String::new();
    io::stdin()
        .read_line(&mut answer)
        .map_err(|fault| CommandError::failure(format!("no answer: {fault}")))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
