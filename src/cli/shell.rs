//! `kwic-team completions` and `kwic-team man`: made from the commands themselves.
//!
//! Prints only.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::{Cli, Exit, Outcome, Stop, output};

#[derive(Args, Debug)]
pub(super) struct CompletionsArgs {
    /// bash, zsh, fish, elvish or powershell
    shell: Shell,
}

pub(super) fn completions(args: &CompletionsArgs) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "kwic-team", &mut script);
    output::print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Ok)
}

/// One page with every command below the main one.
pub(super) fn man() -> Outcome {
    fn render(command: &clap::Command, page: &mut Vec<u8>) -> std::io::Result<()> {
        clap_mangen::Man::new(command.clone()).render(page)?;
        for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
            let name = format!("{}-{}", command.get_name(), inner.get_name());
            render(&inner.clone().name(name), page)?;
        }
        Ok(())
    }
    let mut page = Vec::new();
    render(&Cli::command(), &mut page)
        .map_err(|fault| Stop::failure(format!("the manual cannot be made: {fault}")))?;
    output::print(&String::from_utf8_lossy(&page))?;
    Ok(Exit::Ok)
}
