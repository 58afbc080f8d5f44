//! All texts of the pages; those of the script are in the script.
//!
//! Sentences of pages begin with a capital and end with a full stop; messages of failures do not,
//! and [`sentence`] converts them.

mod failure_texts;
mod log;
mod team_texts;

use crate::domain::{AuditEvent, Reason, plural};
use crate::engine::{Cell, TypeTitles};
use crate::mail::SmtpStep;
use crate::services::reload;
pub(super) use failure_texts::*;
pub(super) use log::*;
pub(super) use team_texts::*;

// The frame of every page.
pub(super) const PRODUCT: &str = "KWIC Team";
pub(super) const SKIP: &str = "Skip to the content";
pub(super) const SETTINGS: &str = "Settings";
pub(super) const HELP: &str = "Help";
pub(super) const ROLES: &str = "Roles";
pub(super) const TOKENS: &str = "API tokens";
pub(super) const AUDIT: &str = "Audit log";
pub(super) const POLICIES: &str = "Policies";
pub(super) const ACCOUNT_SETTINGS: &str = "Account settings";
pub(super) const MY_SECURITY: &str = "My security";
pub(super) const MENU: &str = "Menu";
pub(super) const CANCEL: &str = "Cancel";
pub(super) const SAVE: &str = "Save";
pub(super) const CHECK_FIELDS: &str = "fix the highlighted fields";
pub(super) const NOT_FOUND: &str = "This page does not exist";
pub(super) const NOT_FOUND_WHY: &str = "the address may be mistyped, or the page was removed";
pub(super) const NOT_ALLOWED: &str = "Your role does not include this";
pub(super) const WRONG_ADDRESS: &str = "Wrong address";
pub(super) const SENT_FROM_ELSEWHERE: &str = "Not sent from KWIC Team";
pub(super) const OPERATOR_ONLY: &str = "Only for your system administrator";
pub(super) const WENT_WRONG: &str = "This did not work";
pub(super) const NOT_POSSIBLE: &str = "This is not possible now";
pub(super) const TO_MEMBER: &str = "Go to the member";
pub(super) const KEYS_NOT_LOADED: &str = "The policies are live, but the keys were not loaded";
pub(super) const NOT_SAVED: &str = "The policies are live, but not saved";
pub(super) const TO_TEAM: &str = "Back to Team Management";
pub(super) const TO_SIGN_IN: &str = "Go to sign-in";
pub(super) const TO_SECURITY: &str = "Back to My security";

// Signing in and out.
pub(super) const SIGN_IN: &str = "Sign in";
pub(super) const SIGN_OUT: &str = "Sign out";
pub(super) const SIGNED_OUT: &str = "You've been signed out";
pub(super) const SIGNED_OUT_WHY: &str = "Sign in again to continue.";
pub(super) const OVER: &str = "You are no longer signed in";
pub(super) const OVER_WHY: &str =
    "Your session has ended, or your access was removed. Everything that you saved is safe.";
pub(super) const OVER_ASK: &str =
    "Sign in again. If that does not work, ask an administrator of your team.";
pub(super) const ACCOUNT: &str = "Account";
pub(super) const ACCOUNT_TO_SIGN_IN: &str = "Account (to sign in)";
pub(super) const ACCOUNT_HINT: &str = "The short name of your team's account, such as acme.";
pub(super) const EMAIL: &str = "Email address";
pub(super) const PASSWORD: &str = "Password";
pub(super) const FORGOT: &str = "Forgot password?";
pub(super) const START_AGAIN: &str = "Start over";
pub(super) const BACK_TO_SIGN_IN: &str = "Back to sign-in";
pub(super) const SECOND_STEP: &str = "Two-step verification";
pub(super) const CODE: &str = "Code";
pub(super) const CODE_HINT: &str =
    "The 6-digit code from your authenticator app, or a recovery code.";
pub(super) const SET_UP_TWO_STEP: &str = "Set up two-step verification";
pub(super) const SET_UP_WHY: &str = "Your team requires two-step verification. Setting it up takes a minute, and protects you if somebody learns your password.";
pub(super) const SET_UP_AGAIN: &str = "That did not match. The QR code below is new: delete the entry that you just added to the app, scan again, then enter the 6 digits.";
pub(super) const SET_UP_SCAN: &str = "Scan this with an authenticator app";
pub(super) const SET_UP_TYPE: &str = "Or type this key into the app:";
pub(super) const SET_UP_OPEN: &str = "Open the app on this device";
pub(super) const SET_UP_CODE: &str = "6-digit code";
pub(super) const SET_UP_CONFIRM: &str = "Turn on";
pub(super) const QR_ALT: &str = "QR code for an authenticator app. The key below is the same.";
pub(super) const RECOVERY_CODES: &str = "Your recovery codes";
pub(super) const RECOVERY_WHY: &str = "If you lose your phone, each of these codes signs you in once. Keep them where you keep your passwords, not on the same phone.";
pub(super) const RECOVERY_ONCE: &str = "You won't see these again.";
pub(super) const RECOVERY_SAVED: &str = "I saved them";

pub(super) const GO_ON: &str = "Continue";

/// The topics of the help page: title and text.
pub(super) const fn help_topics(mail: bool) -> [(&'static str, &'static str); 5] {
    [
        (
            "Who can do what",
            "Each member has one role, which defines what they can do. Under Roles you can compare the roles and find the smallest one that fits a job.",
        ),
        (
            "Inviting somebody",
            if mail {
                "Open Team Management and choose Invite member. The invitation is sent by email. Until it is accepted, you can resend it, correct its address, change its role or revoke it."
            } else {
                "Open Team Management and choose Invite member. You get a link to pass on. Until it is accepted, you can copy it again, change its role or revoke it."
            },
        ),
        (
            "Taking access away",
            "Suspend somebody who may come back. Remove somebody who will not. Both take effect immediately and sign them out on every device.",
        ),
        (
            "Lost phone, lost password",
            if mail {
                "Sign in with a recovery code, or ask an administrator to reset your two-step verification. If you forgot your password, we send you a link to choose a new one."
            } else {
                "Sign in with a recovery code, or ask an administrator to reset your two-step verification. If you forgot your password, ask an administrator for a link to choose a new one."
            },
        ),
        (
            "Whom to ask",
            "An administrator of your team can change your role, your name and your access. Your system administrator can help an administrator who is locked out.",
        ),
    ]
}

// Roles.
pub(super) const SMALLEST_ROLE: &str = "Use the smallest role that fits the job.";
pub(super) const COMPARE_ROLES: &str = "Compare roles";
pub(super) const CAN: &str = "Can:";
pub(super) const CANNOT: &str = "Cannot:";
pub(super) const ADMINISTERS: &str = "Give only to people who manage the team.";
pub(super) const MAY_NOT_GIVE: &str = "Your role can't give this role.";
pub(super) const MAY_NOT_REVOKE: &str =
    "Only its creator, or somebody who can give its role, can revoke this token.";

// Joining.
pub(super) const JOIN: &str = "Join a team";
pub(super) const JOIN_WHY: &str =
    "Open the link of your invitation. If it does not open, paste it here.";
pub(super) const LINK_OR_CODE: &str = "Link or code that you received";
pub(super) const LINK_OR_CODE_HINT: &str = "Paste the whole link, or the part after the #.";
pub(super) const JOIN_SET_PASSWORD: &str = "Choose a password";
pub(super) const JOIN_DO: &str = "Join";
pub(super) const JOIN_ACCOUNT: &str = "Team";
pub(super) const JOIN_INVITED_BY: &str = "Invited by";
pub(super) const JOIN_FOR: &str = "For";
pub(super) const JOIN_HOLDS_UNTIL: &str = "Expires";
pub(super) const JOIN_TWO_STEP: &str = "This team requires two-step verification. You set it up next, with an authenticator app on your phone.";
pub(super) const JOIN_AS_ANOTHER: &str = "You are signed in as somebody else";
pub(super) const JOIN_LEAVE: &str = "Sign out and continue";
pub(super) const JOIN_STAY: &str = "Stay signed in";
pub(super) const JOIN_EXPIRED: &str = "This invitation has expired";
pub(super) const JOIN_REPLACED: &str = "There is a newer link";
pub(super) const JOIN_REPLACED_WHY: &str = "This link was replaced by a newer one: open the newest link that you got, or ask for a new one.";
pub(super) const JOIN_ACCEPTED: &str = "This invitation was accepted already";
pub(super) const JOIN_REVOKED: &str = "This invitation was revoked";
pub(super) const JOIN_CLOSED: &str = "This invitation can't be opened";
pub(super) const JOIN_ASK_NEW: &str = "Ask for a new invitation";
pub(super) const JOIN_NO_MAIL: &str =
    "No mail is sent here. Ask the person who invited you for a new link.";
pub(super) const JOIN_ASKED: &str = "If a new invitation is possible, the person who invited you has been asked for one. If they send one, it comes by mail.";
pub(super) const SOMEBODY: &str = "the person who invited you";
pub(super) const OPERATOR_INVITED: &str = "Your system administrator";

/// The heading of the permissions of a role.
pub(super) fn what_you_can_do(role: &str) -> String {
    format!("What you can do as {role}")
}

/// The title of an invitation.
pub(super) fn join_title(account: &str) -> String {
    format!("Join {account}")
}

/// After joining.
pub(super) fn joined(account: &str) -> String {
    format!("Welcome to {account}. You have joined.")
}

/// Who is signed in, and for whom the invitation is.
pub(super) fn signed_in_as(who: &str, invited: &str) -> String {
    format!("You are signed in as {who}; this invitation is for {invited}.")
}

/// When it expired, and whom to ask.
pub(super) fn expired_on(when: &str, whom: &str) -> String {
    format!("Expired on {when}. Ask {whom} for a new one.")
}

/// The rules of a new password, before it is typed.
pub(super) fn password_rules(least: usize) -> String {
    format!(
        "Use at least {least} characters. A few unrelated words work well, if nobody would connect them with you. No digits or symbols needed. Common passwords and names are refused."
    )
}

/// The same while the member is not known yet.
pub(super) fn password_rules_of_anybody(least: usize, with_second_factor: usize) -> String {
    format!(
        "{} If your team requires two-step verification, {with_second_factor} characters are enough.",
        password_rules(least)
    )
}

// The first account.
pub(super) const FIRST: &str = "Set up KWIC Team";
pub(super) const FIRST_WHY: &str =
    "This creates the first account, with you as its administrator. The link works once.";
pub(super) const FIRST_CODE: &str = "Link or code from the terminal";
pub(super) const FIRST_SLUG_HINT: &str = "Lowercase letters, digits and dashes, such as acme. Members enter it to sign in. It can't be changed later.";
pub(super) const FIRST_DO: &str = "Create the account";
pub(super) const FIRST_DONE: &str = "KWIC Team is already set up";
pub(super) const FIRST_DONE_WHY: &str = "There is an account already, or the link was used. Sign in, or ask an administrator for an invitation.";
pub(super) const GIVEN_NAME: &str = "First name";
pub(super) const FAMILY_NAME: &str = "Last name";

// Forgotten passwords, and addresses.
pub(super) const FORGOT_TITLE: &str = "Forgot password";
pub(super) const FORGOT_WHY: &str =
    "Enter your address, and we send you a link to choose a new password. It works for one hour.";
pub(super) const FORGOT_NO_MAIL: &str =
    "No mail is sent here. Ask an administrator of your team for a link to choose a new password.";
pub(super) const FORGOT_DO: &str = "Send the link";
pub(super) const FORGOT_SENT: &str =
    "If there is such a member, a link is on its way. Check your inbox and your spam folder.";
pub(super) const RESET: &str = "Choose a new password";
pub(super) const RESET_WHY: &str = "You will be signed out on every device.";
pub(super) const RESET_AGAIN: &str = "Ask for a new link";
pub(super) const RESET_DONE: &str = "Your new password is set. Sign in with it.";
pub(super) const NEW_PASSWORD: &str = "New password";
pub(super) const CONFIRM_EMAIL: &str = "Confirm the new address";
pub(super) const CONFIRM_EMAIL_WHY: &str = "Your address changes when both links have been opened: the one sent to your old address and the one sent to your new address.";
pub(super) const CONFIRM_EMAIL_DO: &str = "Confirm";
pub(super) const CONFIRMED_WAITS_FOR_OLD: &str =
    "Confirmed. Now open the link that was sent to the old address.";
pub(super) const CONFIRMED_WAITS_FOR_NEW: &str =
    "Confirmed. Now open the link that was sent to the new address.";

/// The address was changed.
pub(super) fn email_is(email: &str) -> String {
    format!("Your address is now {email}.")
}

// My security.
pub(super) const WHO_YOU_ARE: &str = "You";
pub(super) const CHANGE_NAME: &str = "Change name";
pub(super) const CHANGE_EMAIL: &str = "Change address";
pub(super) const CHANGE_PASSWORD: &str = "Change password";
pub(super) const CHANGE_PASSWORD_WHY: &str = "You will be signed out on all other devices.";
pub(super) const CURRENT_PASSWORD: &str = "Current password";
pub(super) const YOUR_PASSWORD: &str = "Your password";
pub(super) const NEW_EMAIL: &str = "New address";
pub(super) const NEW_EMAIL_HINT: &str =
    "We send a link to this address and one to your current address. Open both to make the change.";
pub(super) const NEW_EMAIL_NO_MAIL: &str = "No mail is sent here, so a new address cannot be confirmed. Ask your system administrator to change it.";
pub(super) const NEW_EMAIL_ASKED: &str =
    "Two mails are on their way. Open the link in each to confirm the change.";
pub(super) const NAME_CHANGED: &str = "Your name was changed.";
pub(super) const TWO_STEP_TITLE: &str = "Two-step verification";
pub(super) const TWO_STEP_WHY: &str = "A second step at sign-in, with an app on your phone, protects you if somebody learns your password.";
pub(super) const TWO_STEP_ENFORCED: &str = "Your team requires it.";
pub(super) const TWO_STEP_ON: &str = "Turn on";
pub(super) const TWO_STEP_REPLACE: &str = "Set up another app";
pub(super) const TWO_STEP_REPLACE_WHY: &str = "The previous app and recovery codes stop working, and you will be signed out on all other devices.";
pub(super) const TWO_STEP_REPLACE_CONFIRM: &str = "Use this app";
pub(super) const TWO_STEP_OFF: &str = "Turn off";
pub(super) const TWO_STEP_OFF_TITLE: &str = "Turn off two-step verification?";
pub(super) const TWO_STEP_OFF_WHY: &str = "Your password alone will sign you in. Your recovery codes and passkeys stop working, and you will be signed out on all other devices.";
pub(super) const TWO_STEP_IS_OFF_ALREADY: &str = "Your two-step verification is off already.";
pub(super) const TWO_STEP_STAYS_ON: &str = "Your team requires two-step verification, so you cannot turn it off. To use another phone or app, set up another app.";
pub(super) const TWO_STEP_NEXT_CODE: &str = "Enter the next code";
pub(super) const TWO_STEP_NEXT_CODE_WHY: &str =
    "The app already has the key. Wait for its next code and enter that.";
pub(super) const SINCE: &str = "Since";
pub(super) const CODES_LEFT: &str = "Recovery codes left";
pub(super) const CODES_NEW: &str = "New recovery codes";
pub(super) const CODES_NEW_WHY: &str = "The previous codes stop working.";
pub(super) const CODES_TWO_STEP_FIRST: &str =
    "Recovery codes belong to two-step verification, which is off. Turn it on to get them.";
pub(super) const CODES_MAKE: &str = "Create new codes";
pub(super) const ON: &str = "On";
pub(super) const OFF: &str = "Off";
pub(super) const LOW: &str = "Low";
pub(super) const PASSKEYS: &str = "Passkeys";
pub(super) const ADDED: &str = "Added";
pub(super) const LAST_USED: &str = "Last used";
pub(super) const NEVER: &str = "Never";
pub(super) const REMOVE: &str = "Remove";
pub(super) const PASSKEYS_WHY: &str = "A passkey on your phone, computer or security key replaces the code at sign-in. It works only at this web address.";
pub(super) const PASSKEY_TWO_STEP_FIRST: &str =
    "Turn on two-step verification first, so that you still have codes if you lose a passkey.";
pub(super) const ADD_PASSKEY: &str = "Add a passkey";
pub(super) const ADD_PASSKEY_WHY: &str = "Enter your password first. Then your browser asks for your fingerprint, a PIN or a security key.";
pub(super) const PASSKEY_NAME_HINT: &str =
    "A name that you will recognise, such as Phone or Key ring.";
pub(super) const MAKE_PASSKEY: &str = "Create passkey";
pub(super) const MAKE_PASSKEY_WHY: &str = "Your browser asks where to keep it: on this device, on your phone or on a security key. You will be signed out on all other devices.";
pub(super) const USE_PASSKEY: &str = "Use a passkey";
pub(super) const PASSKEY_UNSCRIPTED: &str =
    "Passkeys need JavaScript. Turn it on for this page, or use your codes.";
const NO_PASSKEYS_HERE: &str =
    "This browser doesn't support passkeys. Use another browser, or your codes.";
pub(super) const NO_PASSKEY_MADE: [(&str, &str); 3] = [
    ("unable", NO_PASSKEYS_HERE),
    ("ended", "No passkey was created: it was cancelled or took too long. Try again."),
    ("known", "You already have a passkey there. Try again with another device, or cancel."),
];
pub(super) const NO_PASSKEY_SHOWN: [(&str, &str); 2] = [
    ("unable", NO_PASSKEYS_HERE),
    (
        "ended",
        "No passkey was used: it was cancelled, took too long or is not available. Try again, or use a code.",
    ),
];
pub(super) const REMOVE_PASSKEY_WHY: &str =
    "It no longer signs you in, and you will be signed out on all other devices.";
pub(super) const SESSIONS: &str = "Where you are signed in";
pub(super) const SESSIONS_CAPTION: &str = "Devices that are signed in";
pub(super) const DEVICE: &str = "Device";
pub(super) const ADDRESS: &str = "IP address";
pub(super) const STARTED: &str = "Signed in";
pub(super) const LAST_ACTIVE: &str = "Last active";
pub(super) const THIS_DEVICE: &str = "This device";
pub(super) const END: &str = "Sign out";
pub(super) const END_OTHERS: &str = "Sign out all other devices";
pub(super) const SESSION_ENDED: &str = "That device was signed out.";
pub(super) const SIGN_INS: &str = "Last sign-ins";
pub(super) const WHEN: &str = "When";
pub(super) const OUTCOME: &str = "Outcome";
pub(super) const SIGN_IN_TOOK: &str = "Signed in";
pub(super) const SIGN_IN_LOCKED: &str = "Sign-in locked";
pub(super) const UNKNOWN_ADDRESS: &str = "Unknown";
pub(super) const SIGNED_OUT_EVERYWHERE: &str = "You've been signed out on every device.";
pub(super) const LEAVE: &str = "Leave the team";
pub(super) const LEAVE_WHY: &str = "You lose access immediately, on every device, and your API tokens stop working. To come back, you need a new invitation.";

/// A sign-in after failed attempts.
pub(super) fn sign_in_after(failures: &str) -> String {
    match failures {
        "1" => "Signed in after 1 failed attempt".to_owned(),
        failures => format!("Signed in after {failures} failed attempts"),
    }
}

/// A message, with the number of devices that were signed out.
pub(super) fn and_others_ended(done: &str, ended: u64) -> String {
    match ended {
        0 => done.to_owned(),
        1 => format!("{done} 1 other device was signed out."),
        ended => format!("{done} {ended} other devices were signed out."),
    }
}
pub(super) const PASSWORD_IS_CHANGED: &str = "Your password was changed.";
pub(super) const TWO_STEP_IS_OFF: &str = "Two-step verification is off.";
pub(super) const OTHERS_ENDED: &str = "You are signed in on this device only.";

/// The question whether to remove a passkey.
pub(super) fn remove_passkey(name: &str) -> String {
    format!("Remove the passkey {name}?")
}

/// A passkey was added.
pub(super) fn passkey_added(name: &str) -> String {
    format!("The passkey {name} was added. You were signed out on all other devices.")
}

/// A passkey was removed.
pub(super) fn passkey_removed(name: &str) -> String {
    format!("The passkey {name} was removed.")
}

/// The question about leaving.
pub(super) fn leave(account: &str) -> String {
    format!("Leave {account}?")
}

/// The title after leaving.
pub(super) fn has_left(account: &str) -> String {
    format!("You have left {account}")
}

// API tokens.
pub(super) const TOKENS_WHY: &str = "A token lets a program act for the member who created it, with the role of the token, until it expires.";
pub(super) const TOKENS_NONE: &str = "No API tokens";
pub(super) const TOKEN_NEW: &str = "New token";
pub(super) const TOKEN_NAME_HINT: &str = "For example, the program that uses it.";
pub(super) const TOKEN_DAYS: &str = "Days until it expires";
pub(super) const TOKEN_MAKE: &str = "Create token";
pub(super) const TOKEN_MADE: &str = "Your new token";
pub(super) const TOKEN_ONCE: &str = "Copy it now. You won't see it again.";
pub(super) const TOKEN_SECRET: &str = "Token";
pub(super) const TOKEN_MADE_BY: &str = "Created by";
pub(super) const TOKEN_CREATED: &str = "Created";
pub(super) const TOKEN_REVOKE: &str = "Revoke";
pub(super) const TOKEN_REVOKE_WHY: &str =
    "The program that uses it loses access immediately. This cannot be undone.";
pub(super) const TOKEN_ROLE_MISSING: &str = "choose a role";
pub(super) const CANNOT_MAKE_TOKENS: &str = "you cannot create API tokens";
pub(super) const CANNOT_REVOKE_TOKEN: &str = "you cannot revoke this API token";
pub(super) const COPY: &str = "Copy";

/// The hint for the lifetime of a token.
pub(super) fn token_days(most: u64) -> String {
    format!("From 1 to {most}.")
}

/// The fault of the lifetime of a token.
pub(super) fn token_days_wrong(most: u64) -> String {
    format!("enter a whole number from 1 to {most}")
}

/// The question whether to revoke a token.
pub(super) fn revoke_token(name: &str) -> String {
    format!("Revoke the token {name}?")
}

/// A token was revoked.
pub(super) fn token_revoked(name: &str) -> String {
    format!("The token {name} was revoked.")
}

/// Says whom to ask.
pub(super) fn ask(administrators: &[String]) -> String {
    match administrators {
        [] => "Ask your system administrator.".to_owned(),
        names => format!("Ask: {}.", names.join(", ")),
    }
}

/// An action of the policies with a readable name: `broadcasts:send` is "Send broadcasts".
pub(super) fn action(titles: &TypeTitles, name: &str) -> String {
    let (thing, verb) = name.split_once(':').unwrap_or(("", name));
    let thing = match (thing, verb) {
        ("team", "invite" | "remove") => "members".to_owned(),
        ("team", _) => "the team".to_owned(),
        (thing, _) => name_of(titles, thing),
    };
    let verb = if verb == "respond" { "respond to".to_owned() } else { plain(verb) };
    capital(format!("{verb} {thing}").trim())
}

/// An access change, with readable names of actions.
pub(super) fn change(titles: &TypeTitles, line: &str) -> String {
    let is_name =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    let word = |word: &str| {
        let bare = word.trim_end_matches([',', ';', '.']);
        match bare.split_once(':') {
            Some((thing, verb)) if is_name(thing) && is_name(verb) => {
                word.replace(bare, &format!("\u{201c}{}\u{201d}", action(titles, bare)))
            }
            None if is_name(bare) => word.replace(bare, &name_of(titles, bare)),
            _ => word.to_owned(),
        }
    };
    line.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// The first few of several actions, and the number of the rest.
pub(super) fn some_actions(titles: &TypeTitles, actions: &[String], shown: usize) -> String {
    let named: Vec<String> = actions.iter().take(shown).map(|name| action(titles, name)).collect();
    let named = named.join(", ");
    match actions.len().saturating_sub(shown) {
        0 => named,
        more => format!("{named}, and {more} more"),
    }
}

/// How many people hold a role.
pub(super) fn people_have_it(count: usize) -> String {
    match count {
        0 => "Nobody has it yet".to_owned(),
        count => plural(count, "person has it", "people have it"),
    }
}

// The roles, the comparison and the picker.
pub(super) const ROLES_WHY: &str =
    "Each member has one role. It defines what they can do, and can be changed at any time.";
pub(super) const BEST_FOR: &str = "Best for:";
pub(super) const CAN_NOTHING: &str = "Nothing yet.";
pub(super) const WHICH_ROLE: &str = "Which role?";
pub(super) const SEARCH_ACTIONS: &str = "Search by action";
pub(super) const ACTION: &str = "Action";
pub(super) const COMPARE_CAPTION: &str = "What members with each role can do in their own account";
pub(super) const COMPARE_NOTE: &str = "Based on the live policies. In parentheses is what the action is done to; \u{201c}(account)\u{201d} is the account as a whole. \u{201c}Depends\u{201d} means that it depends on the item, the person or the time. Suspended members cannot sign in, and nobody can do anything in another account unless a policy allows it.";
pub(super) const TICK_WHAT: &str = "Select what the person does";
pub(super) const TICK_FIRST: &str = "Select at least one thing that the person does.";
pub(super) const SUGGEST: &str = "Suggest a role";
pub(super) const SUGGESTED: &str = "Suggested:";
pub(super) const ALLOWS_MORE: &str = "It also allows";
pub(super) const OTHERS_COVER: &str = "These roles also cover it:";
pub(super) const NO_ROLE_COVERS: &str = "No single role covers all of this";
pub(super) const NO_ROLE_COVERS_WHY: &str =
    "Select less, or ask your system administrator for another role.";

/// A cell of the matrix: class, symbol and word.
pub(super) const fn cell(cell: Cell) -> (&'static str, &'static str, &'static str) {
    match cell {
        Cell::Allowed => ("ok", "\u{2713}", "Yes"),
        Cell::Denied => ("", "\u{2013}", "No"),
        Cell::Depends => ("warn", "\u{25d0}", "Depends"),
    }
}

/// The object of an action: `bot_flows:view` is about "Bot flows".
pub(super) fn thing(titles: &TypeTitles, action: &str) -> String {
    capital(&name_of(titles, action.split_once(':').map_or("", |(thing, _)| thing)))
}

/// The verb of an action: `bot_flows:view` is "view".
pub(super) fn verb(action: &str) -> String {
    plain(action.split_once(':').map_or(action, |(_, verb)| verb))
}

/// What people call a type of the policies: by its title, else by its name with spaces.
pub(super) fn name_of(titles: &TypeTitles, name: &str) -> String {
    titles.of(name).map_or_else(|| plain(name), str::to_owned)
}

/// A name of the policies with spaces.
pub(super) fn plain(name: &str) -> String {
    name.replace('_', " ")
}

/// What an action is done to, by the type of resource that the policies have.
pub(super) fn on(titles: &TypeTitles, resource: &str) -> String {
    match resource {
        "user" => "(member)".to_owned(),
        "invite" => "(invitation)".to_owned(),
        resource => format!("({})", name_of(titles, resource)),
    }
}

/// The policies on which a row depends; empty if there are none.
pub(super) fn depends_on(policies: &[String]) -> String {
    match policies {
        [] => String::new(),
        [one] => format!("depends on policy {one}"),
        more => format!("depends on policies {}", more.join(", ")),
    }
}

/// How many rows of a table are shown.
pub(super) fn rows_shown(shown: usize, all: usize) -> String {
    if shown == all {
        plural(all, "action", "actions")
    } else {
        format!("{shown} of {}", plural(all, "action", "actions"))
    }
}

/// No action matches a search.
pub(super) fn no_action_matches(search: &str) -> String {
    format!("No action matches \u{201c}{search}\u{201d}.")
}

/// Selected actions that no longer exist.
pub(super) fn actions_gone(titles: &TypeTitles, actions: &[String]) -> String {
    format!(
        "The policies have changed. No longer available, and left out: {}.",
        some_actions(titles, actions, actions.len())
    )
}

/// The link to an invitation with this role.
pub(super) fn invite_as(role: &str) -> String {
    format!("Invite somebody as {role}")
}

// The audit log.
pub(super) const VERIFY: &str = "Verify log";
pub(super) const AUDIT_MEMBER: &str = "Member";
pub(super) const EVENT: &str = "Event";
pub(super) const ANY_EVENT: &str = "Any event";
pub(super) const AUDIT_NOTHING: &str = "No entries match.";
/// Nobody has the name, address or ID that was entered.
pub(super) const NOBODY_FOUND: &str = "Nobody was found with this name, email address or ID.";
pub(super) const OLDER: &str = "Older entries";
pub(super) const ERASED: &str = "Details erased";
pub(super) const CHANGED_FROM: &str = "from";
pub(super) const CHANGED_TO: &str = "to";
pub(super) const WAS: &str = "was";
pub(super) const BY_OPERATOR: &str = "your system administrator";
pub(super) const BY_SET_UP: &str = "the set-up link";
pub(super) const BY_INVITATION: &str = "an invitation link";
/// One of the two addresses of a change of address was confirmed.
pub(super) const ADDRESS_CONFIRMED: &str = "{who} confirmed a change of address of {whom}";
/// An event of a newer version.
pub(super) const EVENT_UNKNOWN: &str =
    "{who} made a change to {whom} that this version doesn't know";

/// The label of an event, and a sentence with `{who}` and `{whom}`.
pub(super) const fn event(event: AuditEvent) -> (&'static str, &'static str) {
    match event {
        AuditEvent::AccountCreated => ("Account created", "{who} created the account {whom}"),
        AuditEvent::UserCreated => ("Member added", "{whom} was added by {who}"),
        AuditEvent::UserUpdated => {
            ("Member details changed", "{who} changed the details of {whom}")
        }
        AuditEvent::PrivilegePermissionsChanged => {
            ("Role changed", "{who} changed the role of {whom}")
        }
        AuditEvent::UserSuspended => ("Member suspended", "{who} suspended {whom}"),
        AuditEvent::UserRestored => ("Member restored", "{who} restored {whom}"),
        AuditEvent::UserDeleted => ("Member removed", "{who} removed {whom}"),
        AuditEvent::UserErased => {
            ("Personal data erased", "{who} erased the personal data of {whom}")
        }
        AuditEvent::UsersImported => ("Members imported", "{who} imported members"),
        AuditEvent::StoreRestored => {
            ("Backup restored", "{who} restored a backup, and later changes were undone")
        }
        AuditEvent::PoliciesReloaded => ("Policies loaded", "{who} loaded policies"),
        AuditEvent::InviteCreated => ("Invitation created", "{who} invited {whom}"),
        AuditEvent::InviteResent => ("Invitation resent", "{who} resent the invitation of {whom}"),
        AuditEvent::InviteUpdated => {
            ("Invitation changed", "{who} changed the invitation of {whom}")
        }
        AuditEvent::InviteLinkShown => {
            ("Invitation link shown", "{who} viewed the invitation link of {whom}")
        }
        AuditEvent::InviteRevoked => {
            ("Invitation revoked", "{who} revoked the invitation of {whom}")
        }
        AuditEvent::InviteAccepted => ("Invitation accepted", "{whom} accepted the invitation"),
        AuditEvent::InviteWanted => {
            ("New invitation requested", "{whom} requested a new invitation")
        }
        AuditEvent::MailHandedOver => {
            ("Mail sent", "a mail about {whom} was accepted by the mail server")
        }
        AuditEvent::MailDelivered => ("Mail delivered", "a mail about {whom} was delivered"),
        AuditEvent::MailBounced => ("Mail bounced", "a mail about {whom} bounced"),
        AuditEvent::MailFailed => ("Mail failed", "a mail about {whom} could not be delivered"),
        AuditEvent::MailStopped => ("Mail stopped", "{who} stopped sending mail"),
        AuditEvent::MailResumed => ("Mail resumed", "{who} resumed sending mail"),
        AuditEvent::AuthnLoginSuccess => ("Signed in", "{whom} signed in"),
        AuditEvent::AuthnLoginSuccessAfterFail => {
            ("Signed in after failed attempts", "{whom} signed in after failed attempts")
        }
        AuditEvent::AuthnLoginLock => {
            (SIGN_IN_LOCKED, "sign-in as {whom} was locked after failed attempts")
        }
        AuditEvent::AuthnPasswordChange => ("Password set", "{who} set the password of {whom}"),
        AuditEvent::AuthnTokenCreated => {
            ("Link or API token created", "{who} created a link or an API token for {whom}")
        }
        AuditEvent::TwoStepEnabled => {
            ("Two-step verification on", "{whom} turned two-step verification on")
        }
        AuditEvent::TwoStepDisabled => {
            ("Two-step verification off", "{whom} turned two-step verification off")
        }
        AuditEvent::TwoStepReset => {
            ("Two-step verification reset", "{who} reset the two-step verification of {whom}")
        }
        AuditEvent::RecoveryCodesCreated => {
            ("Recovery codes created", "{whom} created new recovery codes")
        }
        AuditEvent::RecoveryCodeUsed => ("Recovery code used", "{whom} used a recovery code"),
        AuditEvent::AuthnTokenRevoked => {
            ("API token revoked", "{who} revoked an API token of {whom}")
        }
        AuditEvent::PasskeyAdded => ("Passkey added", "{whom} added a passkey"),
        AuditEvent::PasskeyRemoved => ("Passkey removed", "{whom} removed a passkey"),
        AuditEvent::PasskeyCopied => {
            ("Passkey refused", "a passkey of {whom} may have been copied, and was refused")
        }
        AuditEvent::SessionLogout => ("Sessions ended", "{who} ended sessions of {whom}"),
        AuditEvent::AccountUpdated => {
            ("Account settings changed", "{who} changed the settings of the account")
        }
    }
}

/// A field of an entry or of a form.
pub(super) fn field(name: &str) -> String {
    capital(&plain(name))
}

/// A former member whose name is not kept.
pub(super) const SOMEBODY_GONE: &str = "somebody who is no longer on the team";

/// A program with an API token.
pub(super) fn program_of(maker: Option<&str>) -> String {
    match maker {
        Some(maker) => format!("an API token of {maker}"),
        None => format!("an API token of {SOMEBODY_GONE}"),
    }
}

/// The log was verified.
pub(super) fn chain_whole(entries: u64) -> String {
    let entries = plural(entries, "entry", "entries");
    format!("Log verified: {entries}, none altered.")
}

/// The log was altered.
pub(super) fn chain_broken(sequence: u64, why: &str) -> String {
    format!(
        "The log was altered at entry {sequence}: {why}. Tell your system administrator: KWIC Team's data file must be kept as it is, to find out who changed it."
    )
}

// The account's settings, and its mail.
pub(super) const SETTINGS_SAVED: &str = "The settings were saved.";
pub(super) const SETTINGS_READ_ONLY: &str =
    "Your role can view these settings, but not change them. Ask an administrator.";
pub(super) const NAME_OF_TEAM: &str = "Name of the team";
pub(super) const INVITE_HOURS: &str = "Invitations expire after (hours)";
pub(super) const INVITE_HOURS_HINT: &str = "72 hours are 3 days, 168 hours are a week. Applies to new invitations and to those that are resent.";
pub(super) const ENFORCE: &str = "Require two-step verification";
pub(super) const ENFORCE_WHY: &str = "Members without it must set it up at their next sign-in, and nobody can turn it off. Turn on your own two-step verification first.";
pub(super) const HOLDS_NOW: &str = "Current settings";
pub(super) const MAIL: &str = "Mail";
pub(super) const MAIL_BY: &str = "Sent by";
pub(super) const MAIL_OFF: &str = "No mail is sent. Links are shown instead, for you to pass on. Your system administrator can set up mail.";
pub(super) const MAIL_STOPPED: &str = "Mail has been stopped since";
pub(super) const MAIL_DELAYED: &str = "Mail is delayed. The oldest has been waiting since";
pub(super) const MAIL_RESUME: &str = "Resume mail";
pub(super) const MAIL_RESUME_WHY: &str = "Fix the cause first, then resume: waiting mail is sent. If the cause remains, mail stops again.";
pub(super) const MAIL_TEST: &str = "Send a test mail";
pub(super) const MAIL_TEST_WHY: &str = "It is sent to your own address:";
pub(super) const MAIL_TESTED: &str = "The test mail to";
pub(super) const PASSED: &str = "Passed";
pub(super) const FAILED: &str = "Failed";

/// Yes or no.
pub(super) const fn yes_no(yes: bool) -> &'static str {
    if yes { "Yes" } else { "No" }
}

/// Hours as days.
pub(super) fn days(hours: &str) -> String {
    match hours.parse::<f64>() {
        Ok(hours) if hours >= 48.0 => format!("({:.1} days)", hours / 24.0).replace(".0 ", " "),
        _ => String::new(),
    }
}

/// The fault of the field of hours.
pub(super) fn hours_between(least: u64, most: u64) -> String {
    format!("enter a whole number of hours from {least} to {most} ({} days)", most / 24)
}

/// How many members have no second factor; `more` if not all were counted.
pub(super) fn without_factor(count: usize, more: bool) -> String {
    match (count, more) {
        (0, false) => "All active members have it.".to_owned(),
        (1, false) => "1 active member doesn't have it yet.".to_owned(),
        (count, false) => format!("{count} active members don't have it yet."),
        (count, true) => format!("At least {count} active members don't have it yet."),
    }
}

/// An edit conflict.
pub(super) fn changed_meanwhile(who: &str, when: &str) -> String {
    format!(
        "{who} changed the settings on {when}, while you were editing. What you entered is still here: compare it with the current settings, then save again."
    )
}

/// The name of a mail backend.
pub(super) fn mail_kind(kind: &str) -> &'static str {
    match kind {
        "smtp" => "A mail server",
        "folder" => "Files in a folder (for testing)",
        "memory" => "Memory (for testing)",
        _ => "Nothing: links are shown",
    }
}

/// The name of a step of a test mail.
pub(super) const fn mail_step(step: SmtpStep) -> &'static str {
    match step {
        SmtpStep::Dns => "Finding the mail server",
        SmtpStep::Connect => "Connecting",
        SmtpStep::Tls | SmtpStep::StartTls => "Encrypting",
        SmtpStep::Greeting => "Greeting",
        SmtpStep::Auth => "Signing in",
        SmtpStep::MailFrom => "Naming the sender",
        SmtpStep::Rcpt => "Naming the recipient",
        SmtpStep::Data => "Sending the mail",
        SmtpStep::Write => "Writing the mail",
    }
}

/// Whether mail was stopped before.
pub(super) const fn mail_resumed(was_stopped: bool) -> &'static str {
    if was_stopped { "Mail was resumed." } else { "Mail was not stopped." }
}

// The policies, and a decision to try.
pub(super) const REFUSED: &str = "The policy folder was refused";
pub(super) const NOT_LOADED: &str =
    "The folder could not be loaded because of a problem on the server";
pub(super) const REFUSED_WHY: &str =
    "The previous policies stay live. Fix this, then load the folder again.";
pub(super) const REFUSED_TELL: &str =
    "The previous policies stay live. Tell your system administrator.";
pub(super) const REFUSED_LINE: &str = "The line at fault";
pub(super) const LIVE_SET: &str = "Live policies";
pub(super) const LIVE: &str = "Live";
pub(super) const LAST_GOOD: &str =
    "Previous policies: the folder could not be loaded when KWIC Team started";
pub(super) const LOADED: &str = "Loaded";
pub(super) const LOADED_BY: &str = "By";
pub(super) const BY_ITSELF: &str = "Automatic reload";
pub(super) const POLICY_COUNT: &str = "Policies";
pub(super) const GUARDS: &str = "Safety rules (guards)";
pub(super) const POLICY_TESTS: &str = "Tests passed";
pub(super) const DIGEST: &str = "Fingerprint";
pub(super) const RELOAD: &str = "Load the folder again";
pub(super) const RELOAD_WHY: &str =
    "If the folder has a fault, nothing changes and the fault is shown here.";
pub(super) const CHECK_FOLDER: &str = "Check the folder";
pub(super) const CHECK_REFUSED: &str = "The folder would be refused";
pub(super) const CHECK_REFUSED_WHY: &str =
    "The live policies stay as they are. Fix this, then check again.";
pub(super) const CHECK_WOULD: &str = "Changes if you load it";
pub(super) const CHECK_SAME: &str = "None: the folder matches the live policies.";
pub(super) const CHECK_NOT_YET: &str = "None of this is live yet.";
pub(super) const TO_POLICIES: &str = "Back to policies";
pub(super) const RELOAD_HOW: &str = "Your system administrator changes these policies.";
pub(super) const HISTORY: &str = "Access changes";
pub(super) const HISTORY_NONE: &str = "There are no earlier policies yet.";
pub(super) const FIRST_SET: &str = "The first policies.";
pub(super) const TRY_DECISION: &str = "Try a decision";
pub(super) const TRY_WHY: &str = "Asks the live policies and changes nothing. The resource is assumed to be in your account; nothing else about it is known here.";
pub(super) const TRY_MEMBER: &str = "Member (name, email address or ID)";
pub(super) const SEVERAL_ARE_CALLED: &str = "Several people have this name. Choose one:";
pub(super) const TRY_RESOURCE: &str = "Resource";
pub(super) const RESOURCE_WRONG: &str = "Enter a type, a colon and an ID, such as template:t1.";
pub(super) const TRY: &str = "Try";
pub(super) const ALLOWED: &str = "Allowed";
pub(super) const DENIED: &str = "Denied";
pub(super) const DECIDED_BY: &str = "Decided by";

/// What KWIC Team loaded the policies for by itself.
pub(super) fn reload_cause(cause: &str) -> String {
    match cause {
        reload::FOLDER_CHANGED => "Automatic reload: the folder changed",
        reload::SIGNALLED => "Reload by your system administrator",
        reload::STARTED => "Start of KWIC Team",
        reload::EARLIER_FAILED => "Automatic retry of a reload that had failed",
        _ => BY_ITSELF,
    }
    .to_owned()
}

/// The hint for a resource.
pub(super) fn try_resource_hint(types: &[String]) -> String {
    format!(
        "Type and ID, such as template:t1. For user, enter the ID of a member; for account, the short name of an account; for other types any ID will do, unless a policy names one. Types: {}.",
        types.join(", ")
    )
}

/// The resource is a member, and there is none with this ID.
pub(super) const NO_SUCH_RESOURCE: &str = "There is no member with this ID. Enter \u{201c}user:\u{201d} followed by the member ID that is on the member's page.";

/// The policies know no such type of resource.
pub(super) fn no_such_type(kind: &str, types: &[String]) -> String {
    format!("There is no type of resource called {kind}. There are: {}.", types.join(", "))
}

/// How many files a set consists of.
pub(super) fn files_count(count: usize) -> String {
    format!("Made from {}", plural(count, "file", "files"))
}

/// How many changes of a reload are not shown.
pub(super) fn more_changes(count: usize) -> String {
    format!("And {count} more. Your system administrator can show you the full list.")
}

/// The result of a reload.
pub(super) fn reloaded(changed: bool, changes: usize) -> String {
    match (changed, changes) {
        (true, 1) => "The policies were loaded. 1 access change is listed below.".to_owned(),
        (false, _) => "Nothing changed: the folder matches the live policies.".to_owned(),
        (true, 0) => "The policies were loaded. Nobody gained or lost access.".to_owned(),
        (true, changes) => {
            format!("The policies were loaded. {changes} access changes are listed below.")
        }
    }
}

/// What would change a decision, beyond what its sentence says; may be empty.
pub(super) fn remedy(reason: Reason, roles: &[String]) -> String {
    match reason {
        _ if !roles.is_empty() => {
            format!("It would be allowed with one of these roles: {}.", roles.join(", "))
        }
        Reason::BadAttributes => {
            "This page tells the policies only the account of the resource, and here that is not enough. Ask your system administrator.".to_owned()
        }
        Reason::NotExplained => {
            "There may be other causes: KWIC Team found a wrong answer of its own, and uses a slower evaluation that does not look for them. Tell your system administrator.".to_owned()
        }
        _ => String::new(),
    }
}

pub(super) fn capital(text: &str) -> String {
    let mut letters = text.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    first + letters.as_str()
}

/// The explanation of a decision as a sentence of a page: policies and roles by their names.
pub(super) fn reasons(titles: &TypeTitles, sentence: &str) -> String {
    let end = if sentence.ends_with('?') { "" } else { "." };
    let sentence = match sentence.split_once(" may not `") {
        Some((who, rest)) => match rest.split_once('`') {
            Some((wanted, rest)) if wanted.contains(':') => {
                format!("{who} doesn't allow \u{201c}{}\u{201d} on{rest}", action(titles, wanted))
            }
            _ => sentence.to_owned(),
        },
        None => sentence.to_owned(),
    };
    let sentence = sentence.replace("these roles may: ", "these roles would allow it: ");
    capital(&sentence.replace('`', "")) + end
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: TypeTitles = TypeTitles::none();

    #[test]
    fn reasons_name_policies_as_they_are_called() {
        assert_eq!(
            reasons(&NONE, "forbidden by policy `own_account`"),
            "Forbidden by policy own_account."
        );
        assert_eq!(
            reasons(
                &NONE,
                "the role `operator` may not `broadcasts:send` this `broadcast`; these roles may: `x`"
            ),
            "The role operator doesn't allow \u{201c}Send broadcasts\u{201d} on this broadcast; these roles would allow it: x."
        );
    }

    #[test]
    fn a_change_names_actions_as_people_say_them() {
        assert_eq!(
            change(&NONE, "operator gains chats:assign, x on account, roles/a.cedar:3: y"),
            "operator gains \u{201c}Assign chats\u{201d}, x on account, roles/a.cedar:3: y"
        );
    }

    #[test]
    fn an_action_is_said_as_people_say_it() {
        assert_eq!(action(&NONE, "broadcasts:send"), "Send broadcasts");
        assert_eq!(action(&NONE, "bot_flows:view"), "View bot flows");
        assert_eq!(action(&NONE, "fly"), "Fly");
        let all = ["a:b", "c:d", "e:f"].map(str::to_owned);
        assert_eq!(some_actions(&NONE, &all, 2), "B a, D c, and 1 more");
    }
}
