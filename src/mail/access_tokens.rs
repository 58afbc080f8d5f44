//! Access tokens for the mail server, from a file or from a program that prints one.
//!
//! A token is valid for about an hour: it is read for each connection and not kept. Never prints a
//! token, nor other output of the program.

use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use crate::config::{SecretFile, TokenSource};
use crate::domain::limits;

/// The current token of a source; waits up to `patience` for a program.
///
/// # Errors
/// What is wrong, and what to do about it.
pub(super) async fn token(source: &TokenSource, patience: Duration) -> Result<String, String> {
    let key = source.key();
    let own = source.clone();
    let read = move || match own {
        TokenSource::File(file) => of_file(&file),
        TokenSource::Command(command) => of_command(&command, patience),
    };
    let read = tokio::task::spawn_blocking(read).await;
    let text = read.unwrap_or_else(|fault| Err(fault.to_string()));
    text.and_then(|text| checked(&text)).map_err(|why| format!("`{key}`: {why}"))
}

fn of_file(file: &Path) -> Result<String, String> {
    let secret = SecretFile::read(file).map_err(|why| format!("`{}` {why}", file.display()))?;
    Ok(secret.text)
}

fn of_command(command: &[String], patience: Duration) -> Result<String, String> {
    let Some((program, arguments)) = command.split_first() else {
        return Err("it names no program".to_owned());
    };
    // In its own process group, so that its children end with it.
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn();
    let mut child = child.map_err(|fault| {
        format!(
            "`{program}` cannot be started: {fault}; write its whole path, and each argument apart"
        )
    })?;
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let (tell, told) = channel();
    thread::spawn(move || {
        let most = u64::try_from(limits::MAIL_TOKEN_BYTES_MAX).unwrap_or(u64::MAX);
        let mut bytes = Vec::new();
        let pipe = child.stdout.take();
        let read = pipe.map_or(Ok(0), |pipe| pipe.take(most + 2).read_to_end(&mut bytes));
        let _ = tell.send((read.and_then(|_| child.wait()), bytes));
    });
    let Ok((ended, bytes)) = told.recv_timeout(patience) else {
        let _ = group.map(|group| kill_process_group(group, Signal::KILL));
        return Err(format!(
            "`{program}` did not end within {} s: run it by hand as the sidecar's user to see what it waits for",
            patience.as_secs()
        ));
    };
    let by_hand = "run it by hand as the sidecar's user to see why";
    match ended {
        Ok(status) if status.success() => {}
        // A program that prints too much is cut off, and that is the fault.
        Ok(_) if bytes.len() > limits::MAIL_TOKEN_BYTES_MAX => {}
        Ok(status) => return Err(format!("`{program}` ended with {status}: {by_hand}")),
        Err(fault) => return Err(format!("`{program}` cannot be read: {fault}: {by_hand}")),
    }
    String::from_utf8(bytes).map_err(|_| format!("`{program}` does not print text"))
}

/// One word that fits a line: it cannot contain a line end.
fn checked(text: &str) -> Result<String, String> {
    let token = text.trim();
    if token.is_empty() {
        return Err("there is no token: it must hold the access token and nothing else".to_owned());
    }
    if token.len() > limits::MAIL_TOKEN_BYTES_MAX {
        let most = limits::MAIL_TOKEN_BYTES_MAX;
        return Err(format!("there is more than a token, which has at most {most} bytes"));
    }
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(
            "there is more than a token: it must hold the access token alone, not JSON or a header"
                .to_owned(),
        );
    }
    Ok(token.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn of(command: &[&str], patience: Duration) -> Result<String, String> {
        let command = command.iter().map(|word| (*word).to_owned()).collect();
        token(&TokenSource::Command(command), patience).await
    }

    /// Longer than any program here takes.
    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_program_is_run_with_its_arguments_and_without_a_shell() {
        assert_eq!(of(&["printf", "%s\n", "ya29.$HOME;x"], LONG).await.unwrap(), "ya29.$HOME;x");
        for (command, why) in [
            (&["/nowhere/token"][..], "cannot be started"),
            (&["false"], "ended with exit status: 1"),
            (&["true"], "there is no token"),
            (&["printf", "%s", "{\"access_token\": \"SECRET\"}"], "not JSON"),
            (&["printf", "SECRET\\nSECRET"], "more than a token"),
            (&["printf", "\\377"], "does not print text"),
            (&["sh", "-c", "yes SECRET"], "more than a token"),
            (&["sh", "-c", "echo SECRET; exit 3"], "exit status: 3"),
        ] {
            let told = of(command, LONG).await.unwrap_err();
            assert!(
                told.starts_with("`mail.oauth_token_command`: ") && told.contains(why),
                "{told}"
            );
            assert!(!told.contains("SECRET") || command[1..].concat().contains("yes"), "{told}");
        }
    }

    /// Whether a process has this among its arguments.
    fn runs(mark: &str) -> bool {
        std::fs::read_dir("/proc").unwrap().flatten().any(|process| {
            let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            line.split(|byte| *byte == 0).any(|word| word == mark.as_bytes())
        })
    }

    #[tokio::test]
    async fn a_program_that_does_not_end_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().to_str().unwrap();
        let script = "sh -c 'sleep 600; :' \"$0\" & wait";
        let told = of(&["sh", "-c", script, mark], Duration::from_millis(1)).await.unwrap_err();
        assert!(told.contains("did not end within"), "{told}");
        for _ in 0..3_000 {
            if !runs(mark) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it still runs");
    }

    #[tokio::test]
    async fn a_file_holds_the_token_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        let source = TokenSource::File(file.clone());
        assert!(token(&source, LONG).await.unwrap_err().contains("cannot be read"));
        std::fs::write(&file, "ya29.one\n").unwrap();
        assert_eq!(token(&source, LONG).await.unwrap(), "ya29.one");
        std::fs::write(&file, "\u{feff}ya29.two").unwrap();
        assert_eq!(token(&source, LONG).await.unwrap(), "ya29.two");
        for text in ["", "\n", "Bearer SECRET", "SECRET\r\nDATA"] {
            std::fs::write(&file, text).unwrap();
            let told = token(&source, LONG).await.unwrap_err();
            assert!(told.starts_with("`mail.oauth_token_file`: ") && !told.contains("SECRET"));
        }
    }
}
