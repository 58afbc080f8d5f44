//! `kwic-team serve`.
//!
//! Reads the configuration and starts the composition root.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::{CommandError, CommandResult, Global, output};
use crate::background;
use crate::cli::Exit;
use crate::config::{self, Config};
use crate::serve;

#[derive(Args, Debug)]
pub(super) struct ServeArgs {
    /// Keep all records in memory, with an account `demo` that has a member for each role; mail goes to a temporary folder, or to --data
    #[arg(long)]
    demo: bool,
    /// Check configuration and policies, then exit
    #[arg(long)]
    check: bool,
}

pub(super) fn run(global: &Global, args: &ServeArgs) -> CommandResult {
    // A demonstration leaves no files, unless a folder is named.
    let passing = args.demo && !args.check && global.named_data.is_none();
    let data = if passing { passing_folder()? } else { global.data.clone() };
    let ended = checked_or_served(global, args, &data);
    if passing {
        let _ = fs::remove_dir_all(&data);
    }
    ended
}

fn checked_or_served(global: &Global, args: &ServeArgs, data: &Path) -> CommandResult {
    let config = configured(global, data)?;
    if args.check {
        let found = serve::check(&config)?;
        return output::answer(global, &json!({"passed": true, "detail": found}), |_| {
            output::line(&found)
        });
    }
    let runtime = background::management()
        .map_err(|fault| CommandError::failure(format!("cannot start: {fault}")))?;
    let served = runtime.block_on(serve::run(config, args.demo));
    // What still runs in the background has nothing more to report.
    runtime.shutdown_background();
    served?;
    Ok(Exit::Ok)
}

/// A new temporary folder. An existing one may be somebody else's link to a folder whose
/// permissions would then be changed.
fn passing_folder() -> Result<PathBuf, CommandError> {
    let folder = std::env::temp_dir().join(format!("kwic-team-demo-{}", std::process::id()));
    fs::DirBuilder::new().mode(0o700).create(&folder).map_err(|fault| {
        let place = folder.display();
        CommandError::failure(format!(
            "`{place}` cannot be created: {fault}; name a folder with --data"
        ))
    })?;
    Ok(folder)
}

/// The configuration; by default `kwic-team.toml` in this folder.
pub(super) fn configured(global: &Global, data: &Path) -> Result<Config, CommandError> {
    let here = PathBuf::from("kwic-team.toml");
    let file = global.config.clone().or_else(|| here.exists().then_some(here));
    let data = data.to_owned();
    let place = file.as_ref().map_or_else(String::new, |file| file.display().to_string());
    // A configuration file that is a pipe may block.
    let load = move || Config::load(file.as_deref(), data, config::environment());
    global.wait_limit.read(&place, load)?.map_err(|faults| {
        let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
        CommandError::failure(lines.join("\n"))
    })
}
