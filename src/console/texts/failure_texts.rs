//! Failures as messages for people: what is wrong, and what they can do about it.
//!
//! Failures are written for programs and operators: they name commands, settings and ISO times.
//! None of that reaches a page.

use super::{action, capital, plain};
use crate::browser_security::{CROSS_SITE, FOREIGN_HOST};
use crate::domain::{Failure, Kind, api_token, invite, member, passkey, plural, session, two_step};
use crate::engine::TypeTitles;
use crate::services::caller::OPERATOR_ONLY;
use crate::services::{accounts, invites, who_may};
use crate::store::preconditions::{KEY_REUSED, MOVED_ON, STALE, TOO_MANY_INVITES};
use crate::{clock, config, store, webauthn};

/// Whom to ask about what only the operator of the sidecar can do.
const ASK: &str = "ask your system administrator";

/// What is in backticks and meant for the operator of the sidecar, as are the keys of the
/// configuration.
const OPERATORS: [&str; 5] = ["kwic-team", "admin.sock", "Authorization", "Host", "toJSON()"];
/// How other text for the operator begins.
const OPERATORS_BEGIN: [&str; 4] = ["kwic-team ", "Authorization: ", "Sec-Fetch-", "/api/"];

/// The fields that a failure may begin with. Whatever else stands in backticks there is a value of
/// somebody's, which is written as it is.
const FIELDS: [&str; 12] = [
    "after",
    "code",
    "days",
    "email",
    "first_name",
    "hours",
    "last_name",
    "name",
    "password",
    "role",
    "slug",
    "status",
];

/// A failure as a sentence of a page.
pub(in crate::console) fn refusal(failure: &Failure) -> String {
    let own = match failure.code {
        Failure::NOT_ALLOWED => return not_allowed(&failure.public),
        STALE => "this was changed in the meantime: look at it again, then repeat your change",
        member::UNKNOWN => "there is no such member: somebody may have removed them",
        invite::UNKNOWN => "there is no such invitation: it may have been revoked or accepted",
        api_token::UNKNOWN => "there is no such API token: somebody may have revoked it",
        FOREIGN_HOST => "this is not the address of KWIC Team: open the one that you were given",
        CROSS_SITE => "this was not sent from a page of KWIC Team: open KWIC Team and try again",
        OPERATOR_ONLY => "only your system administrator can do this",
        passkey::UNKNOWN => "there is no such passkey: you may have removed it already",
        session::UNKNOWN => "that device was signed out already",
        MOVED_ON => {
            "nothing was changed, because somebody's role or access changed at the same moment: open the page again, then repeat your change"
        }
        Failure::BODY_TOO_LARGE => "this is too much at once: go back and enter fewer lines",
        store::REPLACED | store::BROKEN => {
            "something is wrong with KWIC Team's data file, and changes may not be kept: tell your system administrator at once"
        }
        store::LOG_AWAY => {
            "KWIC Team cannot save changes at the moment, and nothing was changed: try again in a minute; if that does not help, contact your system administrator"
        }
        store::LOG_UNCLEAR => {
            "this may or may not have been saved: look again in a minute, before you repeat it"
        }
        store::LOG_HALTED => {
            "this server of KWIC Team cannot save changes any more, and nothing was changed: tell your system administrator"
        }
        store::CLOCK_AHEAD => {
            "the clock of this server is wrong, and nothing was changed: tell your system administrator"
        }
        // Who joins by such an invitation hears something else.
        invite::ACCEPTED if failure.kind == Kind::Conflict => {
            "this invitation was accepted already: change the member instead"
        }
        invites::ROLE_GONE if failure.kind == Kind::Conflict => {
            "this invitation is for a role that was removed: edit it and choose another role, or revoke it"
        }
        KEY_REUSED => {
            "an invitation was sent from this form already: to invite somebody else, choose Invite member again"
        }
        accounts::ROLE_MISSING => {
            "this page cannot tell which role makes you an administrator: ask your system administrator to create the account on the command line"
        }
        Failure::INTERNAL => {
            "something went wrong on our side: try again. If it happens again, contact your system administrator"
        }
        two_step::CODES_LOCKED => {
            "too many wrong codes were entered in a row: choose a new password through Forgot password, then sign in with it"
        }
        two_step::OWN_FACTOR_FIRST => {
            "turn on your own two-step verification first, under My security"
        }
        webauthn::NOT_OFFERED => {
            "passkeys cannot be used at this web address: use codes, or ask your system administrator"
        }
        _ if failure.fields.iter().any(|(field, _)| field == webauthn::ANSWER_FIELD) => {
            "this passkey could not be read: try another passkey or another browser, or use a code"
        }
        "folder_not_written" => {
            "the policy folder cannot be written, and nothing was changed: pin this set instead, or ask your system administrator"
        }
        "no_policy_folder" => {
            "there is no policy folder that could be written: pin this set instead"
        }
        "policies_pinned" => "a set is pinned, and the policy folder is ignored: end the pin first",
        "none_pending" => "no policies wait for approval",
        "not_pinned" => "no set is pinned: the policy folder is watched as usual",
        "not_pending" => {
            "these policies no longer wait for approval: they were approved, or the policy folder has changed since"
        }
        "second_person_needed" => {
            "another person must approve these policies, since somebody gains access by them"
        }
        "unknown_policy_set" => "there is no such set in the history: it may have left it",
        who_may::ATTRIBUTES_NEEDED => {
            "this page tells the policies only the account of the resource, and here that is not enough: ask your system administrator"
        }
        TOO_MANY_INVITES => return resend_in(failure.retry_after.unwrap_or(60)),
        _ => &failure.public,
    };
    sentence(own)
}

/// The same with the time after which a try is worth repeating, said once.
pub(in crate::console) fn refusal_with_wait(failure: &Failure) -> String {
    let text = refusal(failure);
    let Some(seconds) = failure.retry_after else { return text };
    let says = failure.code == TOO_MANY_INVITES
        || text.contains("again in ")
        || text.contains("; it is tried again by itself")
        || text.ends_with(", then try again.");
    match text.strip_suffix("try again.") {
        _ if says => text,
        Some(before) => format!("{before}try again in {}.", wait(seconds)),
        None => format!("{text} Try again in {}.", wait(seconds)),
    }
}

/// When an invitation can be sent again, with the time to wait.
fn resend_in(seconds: u64) -> String {
    format!(
        "Nothing was sent: too many invitations were sent recently. Try again in {}.",
        wait(seconds)
    )
}

/// A time to wait, in seconds if it is short.
pub(in crate::console) fn wait(seconds: u64) -> String {
    match seconds {
        0..=90 => plural(seconds, "second", "seconds"),
        91..=5_400 => plural(seconds.div_ceil(60), "minute", "minutes"),
        _ => plural(seconds.div_ceil(3_600), "hour", "hours"),
    }
}

/// A missing permission: `team:view` is "view the team".
fn not_allowed(public: &str) -> String {
    let quoted: Vec<&str> = public.split('`').skip(1).step_by(2).collect();
    match quoted.as_slice() {
        [_, _, _] => {
            "Your role doesn't allow you to give this role. Ask an administrator.".to_owned()
        }
        [_, wanted] => {
            // Only the product's own rights are named so, and these have no titles.
            let words = action(&TypeTitles::none(), wanted).to_lowercase();
            format!("Your role doesn't allow you to {words}. Ask an administrator.")
        }
        _ => sentence(public),
    }
}

/// The message of a failure as a sentence of a page: without backticks, with field names as words
/// and formatted times, a capital and a full stop; a remedy for the operator is replaced by whom to
/// ask.
pub(in crate::console) fn sentence(failure: &str) -> String {
    let failure = without_operators(failure);
    let part = |(number, part): (usize, &str)| {
        if number % 2 == 1 && FIELDS.contains(&part) { plain(part) } else { part.to_owned() }
    };
    let text: String = failure.split('`').enumerate().map(part).collect();
    let text = with_invitations(&with_moments(&text));
    let end = if text.ends_with(['.', '?', '!']) { "" } else { "." };
    let begins_with_value = match failure.strip_prefix('`').and_then(|rest| rest.split_once('`')) {
        Some((part, _)) => !FIELDS.contains(&part),
        None => false,
    };
    if begins_with_value { text + end } else { capital(&text) + end }
}

/// The noun of the API and the command line is "invite"; pages say "invitation".
fn with_invitations(text: &str) -> String {
    let mut before = "";
    let word = |word| {
        let noun = ["this", "the", "that", "an", "pending", "open"].contains(&before);
        before = word;
        match word.strip_prefix("invite") {
            Some(end) if noun && ["", "s", ",", ":", ";", "."].contains(&end) => {
                format!("invitation{end}")
            }
            _ => word.to_owned(),
        }
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// The message with whom to ask, instead of a remedy for the operator. A command in parentheses
/// does what the message says, so it is only left out.
fn without_operators(failure: &str) -> String {
    if let Some((before, command)) = failure.split_once(" (`kwic-team ")
        && let Some((_, after)) = command.split_once(')')
    {
        return without_operators(&format!("{before}{after}"));
    }
    let mut before = String::new();
    for (number, part) in failure.split('`').enumerate() {
        if number % 2 == 1 && is_operators(part) {
            return match before.rfind(": ") {
                Some(end) => format!("{}: {ASK}", before.get(..end).unwrap_or_default()),
                None => format!("this cannot be done here: {ASK}"),
            };
        }
        if number > 0 {
            before.push('`');
        }
        before.push_str(part);
    }
    failure.to_owned()
}

fn is_operators(quoted: &str) -> bool {
    OPERATORS.contains(&quoted)
        || OPERATORS_BEGIN.iter().any(|beginning| quoted.starts_with(beginning))
        || config::keys().iter().any(|key| Some(key.path().as_str()) == quoted.split(" = ").next())
}

/// The same with formatted times.
pub(in crate::console) fn with_moments(text: &str) -> String {
    let written = |word: &str| {
        let bare = word.trim_end_matches([',', '.', ';', ':', ')']);
        let at = clock::moment(bare.trim_start_matches('('))?;
        Some(word.replace(bare.trim_start_matches('('), &clock::written_out(at)))
    };
    let words = text.split(' ').map(|word| written(word).unwrap_or_else(|| word.to_owned()));
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unreadable_passkey_leads_to_another_way_in() {
        let failure = Failure::invalid(webauthn::ANSWER_FIELD, "missing field `id` at line 1");
        assert_eq!(
            refusal(&failure),
            "This passkey could not be read: try another passkey or another browser, or use a code."
        );
    }

    #[test]
    fn a_failure_becomes_a_sentence() {
        for (failure, words) in [
            ("`email` is missing: write it", "Email is missing: write it."),
            ("is it `x`?", "Is it x?"),
            ("`Hostmaster` is not a role", "Hostmaster is not a role."),
            ("`kwic-team@example.org` is taken", "kwic-team@example.org is taken."),
            ("`mail.example.org` is 192.0.2.1", "mail.example.org is 192.0.2.1."),
            (
                "`mail.room@example.org` was invited: resend that",
                "mail.room@example.org was invited: resend that.",
            ),
            ("`first_name` is long", "First name is long."),
            ("`w w@example.org` is not an address", "w w@example.org is not an address."),
            ("`boss` is not a role", "boss is not a role."),
            (
                "no mail is sent: set `mail.kind`, then restart",
                "No mail is sent: ask your system administrator.",
            ),
            (
                "there is none: `kwic-team member list` shows all",
                "There is none: ask your system administrator.",
            ),
            (
                "give it another role (`kwic-team invite edit --role`), or revoke it",
                "Give it another role, or revoke it.",
            ),
            (
                "`Manager` is several roles: write `chat_manager`",
                "Manager is several roles: write chat_manager.",
            ),
            ("give a `kwic-team` name", "This cannot be done here: ask your system administrator."),
            (
                "`x@example.org` was invited at 2026-11-24T12:00:00.123Z, and may accept until 2026-11-27T12:00:00Z: resend that",
                "x@example.org was invited at 24 November 2026, 12:00 UTC, and may accept until 27 November 2026, 12:00 UTC: resend that.",
            ),
        ] {
            assert_eq!(sentence(failure), words);
        }
    }

    #[test]
    fn a_refusal_names_no_action_no_id_and_no_moment_of_a_program() {
        let said =
            |code: &'static str, public: &str| refusal(&Failure::new(Kind::Denied, code, public));
        let lacking = "your role `operator` may not do this (`team:view`): ask an administrator";
        assert_eq!(
            said("not_allowed", lacking),
            "Your role doesn't allow you to view the team. Ask an administrator."
        );
        let lacking =
            "your role `operator` may not give the role `chat_manager` (`roles:assign`): ask";
        assert_eq!(
            said("not_allowed", lacking),
            "Your role doesn't allow you to give this role. Ask an administrator."
        );
        let stale =
            "this member was changed by `member:abc` at 2026-11-24T12:00:00Z and is at version 3";
        assert!(!said("stale", stale).contains("abc"));
        let many =
            Failure::too_many(TOO_MANY_INVITES, "nothing was sent: try again after 2026-", 1);
        assert!(refusal(&many).ends_with("Try again in 1 second."), "{}", refusal(&many));
    }

    #[test]
    fn the_time_to_wait_is_said_once() {
        let said = |text: &str| refusal_with_wait(&Failure::too_many("too_many_tries", text, 1));
        for (text, words) in [
            (
                "too many tries: wait 1 second, then try again",
                "Too many tries: wait 1 second, then try again.",
            ),
            ("busy: try again in a moment", "Busy: try again in a moment."),
            (
                "not reloaded; it is tried again by itself in 1 s",
                "Not reloaded; it is tried again by itself in 1 s.",
            ),
            ("busy; it is tried again by itself", "Busy; it is tried again by itself."),
            ("busy: try again", "Busy: try again in 1 second."),
            ("the disk is full", "The disk is full. Try again in 1 second."),
        ] {
            assert_eq!(said(text), words);
        }
    }

    #[test]
    fn a_time_to_wait_is_in_the_number_that_it_is() {
        for (seconds, words) in
            [(1, "1 second"), (90, "90 seconds"), (91, "2 minutes"), (7_200, "2 hours")]
        {
            assert_eq!(wait(seconds), words);
        }
    }
}
