//! Failures as messages for people: what is wrong, and what they can do about it.
//!
//! Failures are written for programs and operators: they name commands, settings and ISO times.
//! None of that reaches a page.

use super::{action, capital, plain};
use crate::clock;
use crate::domain::{Failure, Kind, plural};

/// Whom to ask about what only the operator of the sidecar can do.
const ASK: &str = "ask your system administrator";

/// Prefixes of words that are meant for the operator of the sidecar.
const OPERATORS: [&str; 12] = [
    "`kwic-team",
    "`admin.sock",
    "`console.",
    "`mail.",
    "`decision.",
    "`policies.",
    "`limits.",
    "`Authorization",
    "`Sec-Fetch",
    "`Host`",
    "`/api/",
    "`toJSON()`",
];

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
        "not_allowed" => return not_allowed(&failure.public),
        "stale" => "this was changed in the meantime: look at it again, then repeat your change",
        "unknown_member" => "there is no such member: somebody may have removed them",
        "unknown_invite" => "there is no such invitation: it may have been revoked or accepted",
        "unknown_passkey" => "there is no such passkey: you may have removed it already",
        "unknown_session" => "that device was signed out already",
        "unknown_token" => "there is no such API token: somebody may have revoked it",
        "foreign_host" => "this is not the address of KWIC Team: open the one that you were given",
        "cross_site" => "this was not sent from a page of KWIC Team: open KWIC Team and try again",
        "operator_only" => "only your system administrator can do this",
        "moved_on" => {
            "nothing was changed, because somebody's role or access changed at the same moment: open the page again, then repeat it"
        }
        "body_too_large" => "this is too much at once: go back and enter fewer lines",
        "store_replaced" | "store_broken" => {
            "something is wrong with KWIC Team's data file, and changes may not be kept: tell your system administrator at once"
        }
        // Who joins by such an invitation hears something else.
        "invite_accepted" if failure.kind == Kind::Conflict => {
            "this invitation was accepted already: change the member instead"
        }
        "invite_role_gone" if failure.kind == Kind::Conflict => {
            "this invitation is for a role that was removed: edit it and choose another role, or revoke it"
        }
        "internal" => {
            "something went wrong on our side: try again. If it happens again, contact your system administrator"
        }
        "invite_replaced" => {
            "this link was replaced by a newer one: open the newest link that you got, or ask for a new one"
        }
        "codes_locked" => {
            "too many wrong codes were entered in a row: choose a new password through Forgot password, then sign in with it"
        }
        "own_factor_first" => "turn on your own two-step verification first, under My security",
        "passkeys_not_offered" => {
            "passkeys cannot be used at this web address: use codes, or ask your system administrator"
        }
        "too_many_invites" => return resend_in(failure.retry_after.unwrap_or(60)),
        _ => &failure.public,
    };
    sentence(own)
}

/// When a refused try is worth repeating, where its own words do not say so.
pub(in crate::console) fn when_again(failure: &Failure) -> Option<String> {
    let says = failure.code == "too_many_invites"
        || failure.public.ends_with(", then try again")
        || failure.public.contains("; it is tried again by itself");
    let seconds = failure.retry_after.filter(|_| !says)?;
    Some(format!("Try again in {}.", wait(seconds)))
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
            let words = action(wanted).to_lowercase();
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
    let text = with_moments(&text);
    let end = if text.ends_with(['.', '?', '!']) { "" } else { "." };
    let begins_with_value = match failure.strip_prefix('`').and_then(|rest| rest.split_once('`')) {
        Some((part, _)) => !FIELDS.contains(&part),
        None => false,
    };
    if begins_with_value { text + end } else { capital(&text) + end }
}

/// The message with whom to ask, instead of a remedy for the operator. A command in parentheses
/// does what the message says, so it is only left out.
fn without_operators(failure: &str) -> String {
    if let Some((before, command)) = failure.split_once(" (`kwic-team ")
        && let Some((_, after)) = command.split_once(')')
    {
        return without_operators(&format!("{before}{after}"));
    }
    let named = OPERATORS.iter().filter_map(|word| failure.find(word)).min();
    let Some(named) = named else { return failure.to_owned() };
    match failure.get(..named).and_then(|before| before.rfind(": ")) {
        Some(end) => format!("{}: {ASK}", failure.get(..end).unwrap_or_default()),
        None => format!("this cannot be done here: {ASK}"),
    }
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
    fn a_failure_becomes_a_sentence() {
        for (failure, words) in [
            ("`email` is missing: write it", "Email is missing: write it."),
            ("is it `x`?", "Is it x?"),
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
            Failure::too_many("too_many_invites", "nothing was sent: try again after 2026-", 1);
        assert!(refusal(&many).ends_with("Try again in 1 second."), "{}", refusal(&many));
    }

    #[test]
    fn the_time_to_wait_is_said_once() {
        let said = |text: &str| when_again(&Failure::too_many("too_many_tries", text, 1));
        assert_eq!(said("too many tries: wait 1 second, then try again"), None);
        assert_eq!(said("busy; it is tried again by itself in 2 s"), None);
        assert_eq!(said("busy: try again").as_deref(), Some("Try again in 1 second."));
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
