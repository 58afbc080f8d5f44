//! The entry point: parse, run, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    kwic_team::cli::run(std::env::args_os())
}
