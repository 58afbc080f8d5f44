//! `kwic-team serve`.
//!
//! Reads the configuration and hands over to the composition root.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{Global, Outcome, Stop, output};
use crate::cli::Exit;
use crate::config::{self, Config};
use crate::serve;

#[derive(Args, Debug)]
pub(super) struct ServeArgs {
    /// Everything in memory, with an account `demo` and one member for each role
    #[arg(long)]
    demo: bool,
    /// Check configuration and policies, then end
    #[arg(long)]
    check: bool,
}

pub(super) fn run(global: &Global, args: &ServeArgs) -> Outcome {
    let config = configured(global, args.demo)?;
    if args.check {
        output::line(&serve::check(&config)?)?;
        return Ok(Exit::Ok);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("decisions")
        .build()
        .map_err(|fault| Stop::failure(format!("cannot begin: {fault}")))?;
    let data = config.data.clone();
    let served = runtime.block_on(serve::run(config, args.demo));
    // What still runs apart has nothing left to say to anybody.
    runtime.shutdown_background();
    if args.demo && global.data == Path::new("./kwic-data") {
        let _ = std::fs::remove_dir_all(data);
    }
    served?;
    Ok(Exit::Ok)
}

/// The configuration; `kwic-team.toml` in this folder where none is named.
fn configured(global: &Global, demo: bool) -> Result<Config, Stop> {
    let here = PathBuf::from("kwic-team.toml");
    let file = global.config.clone().or_else(|| here.exists().then_some(here));
    // A demonstration leaves nothing behind, unless somebody says where.
    let data = if demo && global.data == Path::new("./kwic-data") {
        std::env::temp_dir().join(format!("kwic-team-demo-{}", std::process::id()))
    } else {
        global.data.clone()
    };
    Config::load(file.as_deref(), data, config::environment()).map_err(|faults| {
        let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
        Stop::failure(lines.join("\n"))
    })
}
