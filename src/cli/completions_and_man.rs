//! `kwic-team completions` and `kwic-team man`: generated from the command definitions.

use std::fs;
use std::path::PathBuf;

use clap::{Args, Command, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man;
use serde_json::json;

use super::{Cli, CommandError, CommandResult, Exit, Global, output};

/// The common end of every manual page; roff.
const ENDING: &str = r#".SH "EXIT STATUS"
.TP
0
Done; for a decision: allow.
.TP
1
It could not be done, as the message says; or the answer is no: a check fails, a file would change, no role is enough.
.TP
2
For a decision: deny.
.TP
3
The policy folder is refused; every fault is named.
.TP
64
The command line is not valid.
.SH REVISIONS
Every change raises the store's revision by one. Commands print it, so that a program can ask for a decision that includes the change: it sends the revision in the header `x\-kwic\-at\-least`.
.SH ENVIRONMENT
.TP
KWIC_TEAM_SECTION_KEY
A setting of the configuration: KWIC_TEAM_MAIL_URL is `mail.url`. It takes precedence over the file.
.TP
SSL_CERT_FILE
Certificates to trust instead of those of the system, for mail over TLS.
.SH FILES
.TP
\&./kwic\-team.toml
The configuration where no \-\-config is given; `kwic\-team config` prints its keys.
.TP
\&./kwic\-data
The data folder where no \-\-data is given: the store `kwic.redb`, the socket `admin.sock` of the running sidecar, `keys/` and `outbox/`.
"#;

#[derive(Args, Debug)]
pub(super) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

#[derive(Args, Debug)]
pub(super) struct ManArgs {
    /// The command whose page is printed; by default kwic-team itself
    command: Vec<String>,
    /// Write the page of every command into this folder instead
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    dir: Option<PathBuf>,
}

pub(super) fn completions(args: &CompletionsArgs) -> CommandResult {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "kwic-team", &mut script);
    let mut script = String::from_utf8_lossy(&script).into_owned();
    if args.shell == Shell::Bash {
        // clap_complete 4.6 spells a dash in a program's name in two ways, so that subcommands are
        // not completed.
        script = script.replace("kwic__subcmd__team", "kwic__team");
    }
    output::print(&script)?;
    Ok(Exit::Ok)
}

/// Prints one page, or writes all of them.
pub(super) fn man(global: &Global, args: &ManArgs) -> CommandResult {
    let mut root = Cli::command().disable_help_subcommand(true);
    root.build();
    if let Some(dir) = &args.dir {
        let written = fs::create_dir_all(dir).and_then(|()| {
            all(&root)
                .into_iter()
                .try_for_each(|command| fs::write(dir.join(file_name(command)), page(command)?))
        });
        written.map_err(|fault| {
            CommandError::failure(format!(
                "the pages cannot be written to `{}`: {fault}",
                dir.display()
            ))
        })?;
        let dir = dir.display().to_string();
        return output::answer(global, &json!({"folder": dir}), |_| {
            output::line(&format!("the pages are in `{dir}`"))
        });
    }
    let found = args.command.iter().try_fold(&root, |command, word| {
        command.find_subcommand(word).ok_or_else(|| {
            let names: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
            CommandError::usage(if names.is_empty() {
                let whole = command.get_bin_name().unwrap_or_default();
                format!("`{whole}` has no commands of its own: leave out `{word}`")
            } else {
                format!("there is no command `{word}`: use one of `{}`", names.join("`, `"))
            })
        })
    })?;
    let page = page(found).map_err(|fault| {
        CommandError::failure(format!("the manual page cannot be written: {fault}"))
    })?;
    output::bytes(&page)?;
    Ok(Exit::Ok)
}

/// The command and all subcommands.
fn all(command: &Command) -> Vec<&Command> {
    std::iter::once(command).chain(command.get_subcommands().flat_map(all)).collect()
}

fn file_name(command: &Command) -> String {
    Man::new(command.clone()).get_filename()
}

fn page(command: &Command) -> std::io::Result<Vec<u8>> {
    let mut page = Vec::new();
    let version = concat!("kwic-team ", env!("CARGO_PKG_VERSION"));
    Man::new(command.clone()).manual("KWIC Team").source(version).render(&mut page)?;
    let page = String::from_utf8_lossy(&page).replace(".SH EXTRA\n", ".SH EXAMPLES\n");
    Ok((page + ENDING).into_bytes())
}
