//! Confirmation prompts for commands that cannot be undone.
//!
//! Asks at a terminal; without one, `--yes` is required.

use std::io::{self, IsTerminal as _, Write as _};

use clap::Args;

use super::Stop;
use super::output::shown;

#[derive(Args, Debug)]
pub(super) struct Yes {
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl Yes {
    /// Continues only if confirmed by the flag or at the prompt.
    pub(super) fn or_ask(&self, question: &str) -> Result<(), Stop> {
        if self.yes || confirmed(question)? {
            return Ok(());
        }
        Err(Stop::failure("nothing was changed"))
    }
}

fn confirmed(question: &str) -> Result<bool, Stop> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Stop::usage(
            "this cannot be undone, and nobody can be asked here: add --yes to go on",
        ));
    }
    let _ = write!(io::stderr(), "{} [y/N] ", shown(question));
    let mut answer = String::new();
    io::stdin()
        .read_line(&mut answer)
        .map_err(|fault| Stop::failure(format!("no answer: {fault}")))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
