//! `kwic-team doctor`: checks an installation and says what to fix.
//!
//! Asks the running sidecar through `admin.sock`, and looks at the data folder itself; where no
//! sidecar answers, at the store's file, too. Changes no record; tries whether the disk takes one.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::{Value as Json, json};

use super::output::{self, text};
use super::sidecar_client::{ApiCall, SidecarClient, with_query};
use super::{CommandError, CommandResult, Exit, Global, serve};
use crate::backup::{abandoned_files, staged_restore};
use crate::config::resolve_symlinks;
use crate::domain::plural;
use crate::keys::Keys;
use crate::own_socket_file;
use crate::serve::folder_lock;
use crate::services::access_review::FindingKind;
use crate::services::store_and_key_checks;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CheckState {
    Ok,
    Warn,
    Fail,
}

impl CheckState {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One line of the report.
struct CheckLine {
    state: CheckState,
    about: &'static str,
    sentence: String,
}

impl CheckLine {
    fn ok(about: &'static str, sentence: impl Into<String>) -> Self {
        Self { state: CheckState::Ok, about, sentence: sentence.into() }
    }

    fn warn(about: &'static str, sentence: impl Into<String>) -> Self {
        Self { state: CheckState::Warn, about, sentence: sentence.into() }
    }

    fn fail(about: &'static str, sentence: impl Into<String>) -> Self {
        Self { state: CheckState::Fail, about, sentence: sentence.into() }
    }

    /// A call that failed. Only the sidecar's own answer says what it is about.
    fn failed(about: &'static str, stop: CommandError) -> Self {
        let answered = stop.code.is_some();
        Self::fail(
            about,
            if answered { stop.message } else { format!("{about}: {}", stop.message) },
        )
    }
}

pub(super) fn run(global: &Global) -> CommandResult {
    let mut lines = vec![data_folder(&global.data)];
    lines.extend(keys_folder(&global.data.join("keys")));
    let remote = SidecarClient::of(global)?;
    match remote.json(&ApiCall::new("GET", "/readyz")) {
        Ok(ready) => {
            // It tries to write, and readiness tells afterwards what came of that.
            let whole = whole(&remote);
            let ready = remote.json(&ApiCall::new("GET", "/readyz")).unwrap_or(ready);
            lines.push(CheckLine::ok(
                "sidecar",
                format!("the sidecar is ready, at revision {}", text(&ready, "revision")),
            ));
            lines.extend(disk(&ready));
            lines.extend(fleet(&ready));
            lines.push(policies(&ready));
            lines.extend(shadow(&ready));
            lines.extend(whole);
            lines.extend(running(&remote));
        }
        // What it works with is no leftover, and nothing else can be asked.
        Err(stop) if stop.is(folder_lock::RESTORING) => {
            lines.push(CheckLine::fail("restore", stop.message));
            lines
                .iter()
                .try_for_each(|line| print(global, line))
                .or_else(CommandError::unless_reader_left)?;
            return Ok(Exit::Failure);
        }
        // It answers, and says why it is not ready.
        Err(stop) if stop.code.is_some() => {
            lines.push(CheckLine::fail(
                "sidecar",
                format!("the sidecar is not ready: {}", stop.message),
            ));
            lines.extend(whole(&remote));
            lines.extend(running(&remote));
        }
        Err(stop) => {
            lines.push(CheckLine::fail("sidecar", stop.message));
            lines.extend(at_rest(global, &remote));
        }
    }
    lines.extend(left_behind(global));
    lines
        .iter()
        .try_for_each(|line| print(global, line))
        .or_else(CommandError::unless_reader_left)?;
    if lines.iter().any(|line| line.state == CheckState::Fail) {
        Ok(Exit::Failure)
    } else {
        Ok(Exit::Ok)
    }
}

fn print(global: &Global, line: &CheckLine) -> Result<(), CommandError> {
    let CheckLine { state, about, sentence } = line;
    if global.json {
        let line = json!({"state": state.as_str(), "about": about, "sentence": sentence});
        output::line(&line.to_string())
    } else {
        // A fault of a policy has its excerpt below. No line of it looks like one of these.
        let mut lines = sentence.lines();
        output::say(&format!("{}: {}", state.as_str(), lines.next().unwrap_or_default()))?;
        lines.try_for_each(|line| output::line(&format!("  {}", output::shown(line))))
    }
}

/// The permission bits of a file or folder.
fn mode(path: &Path) -> io::Result<u32> {
    Ok(fs::metadata(path)?.permissions().mode() & 0o777)
}

/// Whether a file can be read. A pipe would keep the command waiting.
fn readable(path: &Path) -> io::Result<()> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    File::open(path)?.read(&mut [0]).map(drop)
}

fn data_folder(data: &Path) -> CheckLine {
    let place = data.display();
    match mode(data) {
        Ok(_) if !data.is_dir() => CheckLine::fail(
            "data",
            format!("`{place}` is not a folder: give the data folder of the sidecar with --data"),
        ),
        Ok(mode) if mode & 0o077 == 0 => CheckLine::ok(
            "data",
            format!("the data folder `{place}` is accessible only to its owner"),
        ),
        Ok(mode) => CheckLine::fail(
            "data",
            format!(
                "others may enter the data folder `{place}` (mode {mode:04o}), where `admin.sock` and the keys lie: run `chmod 700 {place}`"
            ),
        ),
        Err(fault) => CheckLine::fail(
            "data",
            format!("the data folder `{place}` cannot be read: {fault}; give another --data"),
        ),
    }
}

/// Every key must be readable: links of an unreadable key no longer work.
fn keys_folder(keys: &Path) -> Vec<CheckLine> {
    let unreadable = |path: &Path, fault: &io::Error| {
        let place = path.display();
        CheckLine::fail(
            "keys",
            format!(
                "`{place}` cannot be read: {fault}; run this as the user who runs the sidecar, or put the backup of `keys/` back"
            ),
        )
    };
    let all: Vec<_> = match fs::read_dir(keys) {
        Ok(found) => found.flatten().map(|file| file.path()).collect(),
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => {
            let place = keys.display();
            return vec![CheckLine::warn(
                "keys",
                format!(
                    "there is no folder `{place}`: the sidecar makes it at its first start; if it has run before, put the backup of `keys/` back"
                ),
            )];
        }
        Err(fault) => return vec![unreadable(keys, &fault)],
    };
    let (found, others): (Vec<_>, Vec<_>) =
        all.iter().partition(|path| Keys::is_named_as_one(path));
    let mut lines = Vec::new();
    for path in found.iter().copied() {
        let place = path.display();
        match readable(path).and_then(|()| mode(path)) {
            Ok(mode) if mode & 0o077 == 0 => {}
            Ok(mode) => lines.push(CheckLine::fail(
                "keys",
                format!(
                    "others may read the key `{place}` (mode {mode:04o}): run `chmod 600 {place}`"
                ),
            )),
            Err(fault) => lines.push(unreadable(path, &fault)),
        }
    }
    if lines.is_empty() {
        let place = keys.display();
        lines.push(match found.len() {
            0 => CheckLine::warn(
                "keys",
                format!("there is no key in `{place}`: the sidecar makes one when it starts"),
            ),
            count => CheckLine::ok(
                "keys",
                format!(
                    "{} in `{place}`, which only the owner can read",
                    plural(count, "key", "keys")
                ),
            ),
        });
    }
    lines.extend(others.iter().map(|path| {
        let place = path.display();
        CheckLine::warn(
            "keys",
            format!("`{place}` is not a key, and no backup includes it: move it elsewhere"),
        )
    }));
    lines
}

fn policies(ready: &Json) -> CheckLine {
    match text(ready, "fault") {
        fault if fault.is_empty() => {
            let pinned = text(ready, "policies_pinned");
            if !pinned.is_empty() {
                return CheckLine::warn(
                    "policies",
                    format!(
                        "set {pinned} is pinned, and the policy folder is ignored: `kwic-team policy unpin` ends that"
                    ),
                );
            }
            let pending = text(ready, "policies_pending");
            if !pending.is_empty() {
                return CheckLine::warn(
                    "policies",
                    format!(
                        "the set of the policy folder waits for approval, since somebody would gain access by it: see `kwic-team policy diff live pending`, then run `kwic-team policy approve {pending}`"
                    ),
                );
            }
            CheckLine::ok("policies", "the policies are live")
        }
        fault => {
            let answers = match text(ready, "policies").as_str() {
                "last_good" => "the last good policies stay live",
                _ => "the previous policies stay live",
            };
            CheckLine::fail(
                "policies",
                format!(
                    "the policy folder was not loaded, and {answers}: correct what is named here, then run `kwic-team policy reload`\n{fault}"
                ),
            )
        }
    }
}

/// A shadow folder at fault; nothing depends on it.
fn shadow(ready: &Json) -> Option<CheckLine> {
    let fault = text(ready, "shadow_fault");
    (!fault.is_empty()).then(|| {
        CheckLine::warn(
            "shadow",
            format!(
                "the shadow policies cannot be loaded, and are not asked: correct what is named here, then run `kwic-team policy reload`\n{fault}"
            ),
        )
    })
}

/// How a node of a fleet follows its log.
fn fleet(ready: &Json) -> Option<CheckLine> {
    let fleet = ready.get("fleet")?;
    let (state, fault) = (text(fleet, "state"), text(fleet, "fault"));
    let cause = if fault.is_empty() { String::new() } else { format!(": {fault}") };
    let lag = text(fleet, "lag_seconds");
    Some(match state.as_str() {
        "fresh" => CheckLine::ok(
            "fleet",
            format!("the shared log is followed, up to entry {}", text(fleet, "applied")),
        ),
        "away" => CheckLine::fail(
            "fleet",
            format!(
                "the shared log has not been reached for {lag} s, and changes are refused{cause}"
            ),
        ),
        "halted" => CheckLine::fail(
            "fleet",
            format!(
                "this node no longer follows the shared log{cause}; stop it, run `kwic-team fleet join`, then start it again"
            ),
        ),
        _ => CheckLine::fail(
            "fleet",
            format!(
                "this node is stale: decisions may miss changes that other nodes made in the last {lag} s, and changes are refused{cause}"
            ),
        ),
    })
}

/// What the sidecar cannot write now is lost when it stops.
fn disk(ready: &Json) -> Vec<CheckLine> {
    let mut lines = Vec::new();
    let (fault, unkept) = (text(ready, "store_fault"), text(ready, "policies_unkept"));
    if !fault.is_empty() {
        let next = if ready.get("store_needs_restart").is_some() {
            ""
        } else {
            "; changes are accepted again as soon as the store can be written"
        };
        lines.push(CheckLine::fail(
            "store",
            format!("the store cannot be written, and every change is refused: {fault}{next}"),
        ));
    }
    for (name, about, what) in [
        ("data_fault", "data", "the data folder cannot be written, and no file can be imported: "),
        ("tasks_fault", "tasks", ""),
        ("sockets_fault", "sockets", ""),
    ] {
        let fault = text(ready, name);
        if !fault.is_empty() {
            lines.push(CheckLine::fail(about, format!("{what}{fault}")));
        }
    }
    if !unkept.is_empty() {
        lines.push(CheckLine::fail(
            "policies",
            format!(
                "{unkept}: make the store writable again, and the sidecar saves them by itself"
            ),
        ));
    }
    lines
}

/// What a restart would find, as the running sidecar reports.
fn whole(remote: &SidecarClient) -> Vec<CheckLine> {
    let checked = match remote.json(&ApiCall::new("GET", "/check")) {
        Ok(checked) => checked,
        Err(stop) => return vec![CheckLine::failed("store", stop)],
    };
    let list = |name: &str| -> Vec<String> {
        let items = checked.get(name).and_then(Json::as_array).into_iter().flatten();
        items.filter_map(Json::as_str).map(str::to_owned).collect()
    };
    let secrets = checked.get("secrets_without_key").and_then(Json::as_u64).unwrap_or(0);
    let fault = Some(text(&checked, "store_fault")).filter(|fault| !fault.is_empty());
    let mut lines = found(fault, &list("keys_missing"), secrets, &list("empty_accounts"));
    lines.extend(made_ahead(checked.get("made_ahead").and_then(Json::as_u64).unwrap_or(0)));
    let fault = text(&checked, "erased_fault");
    if checked.get("erased_left").and_then(Json::as_bool).unwrap_or(false) {
        lines.push(erased_left(&fault));
    }
    lines
}

/// That a clock was ahead, or is behind now, and what does not count for that.
fn made_ahead(count: u64) -> Option<CheckLine> {
    (count > 0).then(|| {
        let what = plural(
            count,
            "invite, link, session or API token is dated in the future, and does not work",
            "invites, links, sessions or API tokens are dated in the future, and do not work",
        );
        CheckLine::fail(
            "clock",
            format!("{what}: the clock of this machine is behind, or was ahead: set it; if it is correct already, resend each invite whose `sent` is in the future (`kwic-team invite list --json`), and replace each API token whose `created` is (`kwic-team token list --json`); sessions need nothing; a person whose link does not work can ask for a new one"),
        )
    })
}

/// That erased data may still be in the store's file, and why the last start has not removed it.
fn erased_left(fault: &str) -> CheckLine {
    let what = "erased data may still be in the store's file";
    if fault.is_empty() {
        CheckLine::warn(
            "erasure",
            format!(
                "{what} until the next start of the sidecar, which needs as much free space as the file takes"
            ),
        )
    } else {
        CheckLine::fail(
            "erasure",
            format!(
                "{what}, which the last start could not rewrite: {fault}; free as much space as the file takes, then restart the sidecar"
            ),
        )
    }
}

/// The same without a running sidecar.
fn at_rest(global: &Global, remote: &SidecarClient) -> Vec<CheckLine> {
    let config = match serve::configured(global, &global.data) {
        Ok(config) => config,
        Err(stop) => return vec![CheckLine::fail("configuration", stop.message)],
    };
    let (store, keys) = (&config.store.path, config.data.join("keys"));
    if staged_restore::is_there(&config.data) {
        return vec![CheckLine::fail("restore", staged_restore::told(&config.data).public)];
    }
    if let Err(lost) = resolve_symlinks(store) {
        return vec![CheckLine::fail("store", lost.public)];
    }
    if matches!(store.try_exists(), Ok(false)) {
        return vec![CheckLine::fail(
            "store",
            format!(
                "there is no store `{}`: if there was one, put it back, or restore a backup with `kwic-team restore`",
                store.display()
            ),
        )];
    }
    match remote.run(store_and_key_checks::at_rest(store, &keys)) {
        Ok(checked) => {
            let secrets = u64::try_from(checked.secrets_without_key).unwrap_or(u64::MAX);
            let mut lines = found(None, &checked.keys_missing, secrets, &checked.empty_accounts);
            lines.extend(checked.unwritable.map(|fault| CheckLine::fail("store", fault.public)));
            lines.extend(checked.keys_lost.map(|lost| CheckLine::fail("keys", lost.public)));
            lines.extend(made_ahead(checked.made_ahead));
            lines.extend(checked.erased_left.map(|_| erased_left("")));
            lines
        }
        Err(stop) => vec![CheckLine::fail("store", stop.message)],
    }
}

/// The result of the check of the store and its keys.
fn found(store: Option<String>, keys: &[String], secrets: u64, empty: &[String]) -> Vec<CheckLine> {
    let mut lines = vec![match store {
        Some(fault) => CheckLine::fail("store", fault),
        None => CheckLine::ok("store", "every page of the store has a correct checksum"),
    }];
    if !keys.is_empty() {
        lines.push(CheckLine::fail(
            "keys",
            format!(
                "the sidecar uses keys that are missing from the folder `keys`, or differ there: {}; before it stops, run `kwic-team backup`, which still includes them, and copy them from its `keys` into this folder; else second factors can no longer be decrypted (`seal-` keys), and pending links can no longer be mailed or shown (`link-` keys)",
                keys.join(", ")
            ),
        ));
    }
    if secrets > 0 {
        lines.push(CheckLine::fail(
            "keys",
            format!("{} encrypted with a key that is missing: put the backup of `keys` back and restart the sidecar; a member who is told at sign-in that codes cannot be checked can use a recovery code, or needs `kwic-team member reset-two-step`", plural(secrets, "secret of a second factor is", "secrets of second factors are")),
        ));
    }
    lines.extend(empty.iter().map(|slug| {
        CheckLine::warn(
            "accounts",
            format!("`{slug}` has no members yet: invite one with `kwic-team invite send --account {slug}`, or resend an invite that `kwic-team invite list --account {slug}` shows"),
        )
    }));
    lines
}

/// What processes that were killed have left.
fn left_behind(global: &Global) -> Vec<CheckLine> {
    let (store, sockets) = match serve::configured(global, &global.data) {
        Ok(config) => (config.store.path.clone(), crate::serve::socket_paths(&config)),
        Err(_) => (global.data.join("kwic.redb"), vec![global.data.join("admin.sock")]),
    };
    let mut left = abandoned_files::of_backups(&global.data, &[Path::new(".")]);
    left.extend(abandoned_files::of_restores(&global.data, &store));
    let next = "the next start removes it, or remove it by hand";
    let files = left.iter().map(|path| {
        let place = path.display();
        format!("an interrupted backup, restore, import or start has left `{place}`, which may hold records or keys: {next}")
    });
    let sockets = own_socket_file::left_behind(&sockets);
    let sockets = sockets.iter().map(|path| {
        let place = path.display();
        format!("a killed process has left the socket `{place}`, where nobody listens: {next}")
    });
    files.chain(sockets).map(|sentence| CheckLine::warn("leftovers", sentence)).collect()
}

/// What only the running sidecar knows. A missing answer is a line, too.
fn running(remote: &SidecarClient) -> Vec<CheckLine> {
    let mut lines = Vec::new();
    let accounts = match items(remote, "/api/v1/accounts") {
        Ok(accounts) => accounts,
        Err(stop) => return vec![CheckLine::failed("accounts", stop)],
    };
    if accounts.is_empty() {
        lines.push(CheckLine::warn(
            "accounts",
            "there is no account yet: open the set-up link that the sidecar printed at its start, or run `kwic-team account create`",
        ));
    }
    let slugs: Vec<String> = accounts.iter().map(|account| text(account, "slug")).collect();
    lines.extend(mail(remote, &slugs));
    lines.extend(warnings(remote));
    slugs.iter().for_each(|slug| lines.extend(review(remote, slug)));
    lines.extend(chains(remote));
    lines
}

fn items(remote: &SidecarClient, path: &str) -> Result<Vec<Json>, CommandError> {
    let mut found = Vec::new();
    remote.pages(path, &[], |item| {
        found.push(item);
        Ok(())
    })?;
    Ok(found)
}

/// The status of mail, and the bounces of each account.
fn mail(remote: &SidecarClient, slugs: &[String]) -> Vec<CheckLine> {
    let (mut lines, mut statuses) = (Vec::new(), Vec::new());
    for slug in slugs {
        let path = with_query("/api/v1/mail", &[("account", Some(slug))]);
        let status = match remote.json(&ApiCall::new("GET", path)) {
            Ok(status) => status,
            Err(stop) => {
                lines.push(CheckLine::failed("mail", stop));
                continue;
            }
        };
        let count = |name: &str| status.get(name).and_then(Json::as_u64).unwrap_or(0);
        let (failed, bounced) = (count("failed"), count("bounced"));
        if failed + bounced > 0 {
            lines.push(CheckLine::warn(
                "mail",
                format!(
                    "`{slug}`: {} refused or given up, and {bounced} bounced: `kwic-team audit list --account {slug} --event mail_failed`, and the same with `mail_bounced`, show the addresses and why",
                    plural(failed, "message was", "messages were")
                ),
            ));
        }
        statuses.push((slug.as_str(), status));
    }
    lines.extend(goes_out(statuses));
    lines
}

/// The maximum number of accounts in a line.
const NAMED_MAX: usize = 5;

/// One line for all accounts: the one with the longest waiting mail is named.
fn goes_out(mut statuses: Vec<(&str, Json)>) -> Option<CheckLine> {
    // Without its last letter, a longer duration is a later one.
    let moment = |text: String| text.trim_end_matches('Z').to_owned();
    let since = |status: &Json| {
        moment(status.get("oldest").map(|oldest| text(oldest, "since")).unwrap_or_default())
    };
    let is_stuck = |status: &Json| text(status, "state") == "stuck";
    let is_delayed = |status: &Json| is_stuck(status) || text(status, "state") == "slow";
    statuses.sort_by_key(|(_, status)| moment(text(status, "last_success")));
    let (_, last) = statuses.last()?.clone();
    statuses.retain(|(_, status)| is_delayed(status));
    statuses.sort_by_key(|(_, status)| (!is_stuck(status), since(status)));
    let Some(((slug, status), others)) = statuses.split_first() else {
        return Some(mail_itself(&last));
    };
    let CheckLine { state, about, mut sentence } = mail_itself(status);
    sentence = format!("`{slug}`: {sentence}");
    if !others.is_empty() {
        let accounts = plural(others.len(), "more account", "more accounts");
        let named: Vec<String> =
            others.iter().take(NAMED_MAX).map(|(slug, _)| format!("`{slug}`")).collect();
        let more = if others.len() > NAMED_MAX { " and others" } else { "" };
        sentence += &format!("; messages of {accounts} wait, too: {}{more}", named.join(", "));
    }
    Some(CheckLine { state, about, sentence })
}

fn mail_itself(status: &Json) -> CheckLine {
    let stopped = status.get("stopped").is_some_and(|stopped| !stopped.is_null());
    let stuck = text(status, "state") == "stuck";
    match text(status, "banner") {
        banner if banner.is_empty() => {
            let way = match text(status, "kind").as_str() {
                "folder" => "written to the folder `outbox`, and sent to nobody".to_owned(),
                kind => format!("sent by `{kind}`"),
            };
            let last = match text(status, "last_success") {
                last if last.is_empty() => String::new(),
                last => format!("; the last one at {last}"),
            };
            CheckLine::ok("mail", format!("mail is {way}{last}"))
        }
        banner if stopped || stuck => CheckLine::fail("mail", banner),
        banner => CheckLine::warn("mail", banner),
    }
}

/// What the sidecar says should be fixed.
fn warnings(remote: &SidecarClient) -> Vec<CheckLine> {
    let found = match items(remote, "/api/v1/warnings") {
        Ok(found) => found,
        Err(stop) => return vec![CheckLine::failed("warnings", stop)],
    };
    let line = |warning: &Json| match text(warning, "severity").as_str() {
        "fail" => CheckLine::fail("warnings", text(warning, "sentence")),
        _ => CheckLine::warn("warnings", text(warning, "sentence")),
    };
    found.iter().map(line).collect()
}

/// The finding that no member can correct.
const NO_ADMINISTRATOR: &str = FindingKind::NoAdministrator.as_str();

fn review(remote: &SidecarClient, slug: &str) -> Vec<CheckLine> {
    let path = with_query("/api/v1/members/review", &[("account", Some(slug))]);
    match items(remote, &path) {
        Err(stop) => vec![CheckLine::fail("access", format!("`{slug}`: {}", stop.message))],
        Ok(found) if found.is_empty() => {
            vec![CheckLine::ok("access", format!("`{slug}`: the access review finds nothing"))]
        }
        Ok(found) => found
            .iter()
            .map(|finding| {
                let sentence = text(finding, "sentence");
                match text(finding, "kind").as_str() {
                    NO_ADMINISTRATOR => CheckLine::fail("access", format!("`{slug}`: {sentence}")),
                    _ => CheckLine::warn(
                        "access",
                        format!("`{slug}`: {sentence}; `kwic-team member review --account {slug}` names them"),
                    ),
                }
            })
            .collect(),
    }
}

fn chains(remote: &SidecarClient) -> Vec<CheckLine> {
    let chains = match items(remote, "/api/v1/audit/verify") {
        Ok(chains) => chains,
        Err(stop) => return vec![CheckLine::failed("audit", stop)],
    };
    let line = |chain: &Json| {
        let name = match text(chain, "account") {
            account if account.is_empty() => "the store's own audit chain".to_owned(),
            account => format!("the audit chain of `{account}`"),
        };
        match text(chain, "fault") {
            fault if fault.is_empty() => {
                let entries = output::count(chain, "entries", "entry", "entries");
                CheckLine::ok("audit", format!("{name} is intact, with {entries}"))
            }
            fault => CheckLine::fail(
                "audit",
                format!(
                    "{name} was altered: {fault}; keep the store's file as it is, and find out who could write to it"
                ),
            ),
        }
    };
    chains.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn states(lines: &[CheckLine]) -> Vec<CheckState> {
        lines.iter().map(|line| line.state).collect()
    }

    #[test]
    fn a_folder_that_others_may_enter_fails() {
        let data = std::env::temp_dir().join(format!("kwic-doctor-{}", std::process::id()));
        let keys = data.join("keys");
        fs::create_dir_all(&keys).unwrap();
        let set = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        set(&data, 0o700);
        assert_eq!(data_folder(&data).state, CheckState::Ok);
        set(&data, 0o750);
        let open = data_folder(&data);
        assert_eq!(open.state, CheckState::Fail);
        assert!(open.sentence.contains("mode 0750") && open.sentence.contains("chmod 700"));
        assert_eq!(states(&keys_folder(&keys)), [CheckState::Warn]);
        let key = keys.join("link-1.key");
        fs::write(&key, b"k").unwrap();
        set(&key, 0o600);
        assert_eq!(states(&keys_folder(&keys)), [CheckState::Ok]);
        set(&key, 0o640);
        assert_eq!(states(&keys_folder(&keys)), [CheckState::Fail]);
        set(&key, 0o600);
        let pipe = keys.join("link-2.key");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert_eq!(states(&keys_folder(&keys)), [CheckState::Fail], "a pipe is no key");
        fs::remove_dir_all(&data).unwrap();
        assert_eq!(data_folder(&data).state, CheckState::Fail);
        assert_eq!(states(&keys_folder(&keys)), [CheckState::Warn]);
    }

    #[test]
    fn a_line_without_an_answer_says_what_was_not_checked() {
        let silent = CommandError::failure("not checked, since the sidecar does not answer");
        let line = CheckLine::failed("audit", silent);
        assert_eq!(line.sentence, "audit: not checked, since the sidecar does not answer");
        let told = CommandError {
            code: Some("busy".to_owned()),
            ..CommandError::failure("the disk is full")
        };
        assert_eq!(CheckLine::failed("store", told).sentence, "the disk is full");
    }

    #[test]
    fn the_account_whose_mail_waits_longest_is_named() {
        let waits = |state: &str, since: &str| json!({"state": state, "banner": "messages wait", "oldest": {"since": since}});
        let well = json!({"state": "ok", "kind": "smtp", "last_success": "2026-11-28T10:00:00Z"});
        let line = |statuses: &[(&'static str, Json)]| {
            let line = goes_out(statuses.to_vec()).unwrap();
            (line.state, line.sentence)
        };
        assert!(goes_out(Vec::new()).is_none());
        let early = json!({"state": "ok", "kind": "smtp", "last_success": null});
        let (state, sentence) = line(&[("b", well.clone()), ("a", early)]);
        assert_eq!(state, CheckState::Ok);
        assert!(sentence.ends_with("the last one at 2026-11-28T10:00:00Z"), "{sentence}");
        let (later, first) =
            (waits("slow", "2026-11-28T09:00:00.5Z"), waits("slow", "2026-11-28T09:00:00Z"));
        let (state, sentence) = line(&[("a", later.clone()), ("b", well), ("c", first.clone())]);
        let told = "`c`: messages wait; messages of 1 more account wait, too: `a`";
        assert_eq!((state, sentence.as_str()), (CheckState::Warn, told));
        let stuck = waits("stuck", "2026-11-28T09:30:00Z");
        let many = ["d", "e", "f", "g", "h"].map(|slug| (slug, later.clone()));
        let (state, sentence) = line(&[&[("a", stuck), ("b", first)], &many[..]].concat());
        assert_eq!(state, CheckState::Fail);
        assert!(sentence.starts_with("`a`: "), "{sentence}");
        assert!(
            sentence.ends_with("6 more accounts wait, too: `b`, `d`, `e`, `f`, `g` and others")
        );
    }

    #[test]
    fn a_refused_folder_and_a_stop_of_mail_fail() {
        let live = json!({"policies": "live"});
        assert_eq!(policies(&live).state, CheckState::Ok);
        // The built-in policies are in no folder.
        assert!(!policies(&live).sentence.contains("folder"));
        for set in ["live", "last_good"] {
            let refused = policies(&json!({"policies": set, "fault": "no roles"}));
            assert_eq!(refused.state, CheckState::Fail);
            assert!(refused.sentence.contains("no roles"), "{}", refused.sentence);
        }
        assert_eq!(
            mail_itself(&json!({"kind": "smtp", "stopped": null, "banner": null})).state,
            CheckState::Ok
        );
        let links = json!({"kind": "links", "stopped": null, "banner": "no mail is sent"});
        assert_eq!(mail_itself(&links).state, CheckState::Warn);
        let waits =
            |state: &str| mail_itself(&json!({"state": state, "banner": "499 messages wait"}));
        assert_eq!(
            (waits("slow").state, waits("stuck").state),
            (CheckState::Warn, CheckState::Fail)
        );
        let written = mail_itself(&json!({"kind": "folder", "stopped": null, "banner": null}));
        assert_eq!(written.state, CheckState::Ok);
        assert!(written.sentence.contains("sent to nobody"), "{}", written.sentence);
        let stopped = json!({"stopped": {"cause": "535"}, "banner": "no mail goes out: 535"});
        assert_eq!(mail_itself(&stopped).state, CheckState::Fail);
    }
}
