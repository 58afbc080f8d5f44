//! Every word of the pages, in one place; those of the script stand at its head.
//!
//! English as it is spoken: sentences of pages begin with a capital and end with a full stop,
//! unlike failures, which [`sentence`] turns into such.

mod team;

use crate::domain::{AuditEvent, Reason, counted};
use crate::engine::Cell;
use crate::mail::Step;
pub(super) use team::*;

// Around every page.
pub(super) const PRODUCT: &str = "KWIC Team";
pub(super) const SKIP: &str = "Skip to the content";
pub(super) const SETTINGS: &str = "Settings";
pub(super) const HELP: &str = "Help";
pub(super) const ROLES: &str = "Roles";
pub(super) const TOKENS: &str = "API tokens";
pub(super) const AUDIT: &str = "Audit";
pub(super) const POLICIES: &str = "Policies";
pub(super) const ACCOUNT_SETTINGS: &str = "Account";
pub(super) const MY_SECURITY: &str = "My security";
pub(super) const MENU: &str = "Menu";
pub(super) const CANCEL: &str = "Cancel";
pub(super) const SAVE: &str = "Save";
pub(super) const CHECK_FIELDS: &str = "fix the highlighted fields";
pub(super) const NOT_FOUND: &str = "This page does not exist";
pub(super) const NOT_FOUND_WHY: &str =
    "the address may have been mistyped, or what it showed is gone";
pub(super) const NOT_ALLOWED: &str = "Your role does not include this";
pub(super) const WENT_WRONG: &str = "This did not work";
pub(super) const TO_TEAM: &str = "To Team Management";
pub(super) const TO_SIGN_IN: &str = "To the sign-in page";
pub(super) const TO_SECURITY: &str = "To your own settings";

// Signing in and out.
pub(super) const SIGN_IN: &str = "Sign in";
pub(super) const SIGN_OUT: &str = "Sign out";
pub(super) const SIGNED_OUT: &str = "You are signed out";
pub(super) const SIGNED_OUT_WHY: &str =
    "Nothing of the account is left in this browser. Sign in to go on.";
pub(super) const OVER: &str = "You are no longer signed in";
pub(super) const OVER_WHY: &str =
    "Your session has ended, or your access was removed. What you had saved is safe.";
pub(super) const OVER_ASK: &str =
    "Sign in again. If that does not work, ask an administrator of your team.";
pub(super) const ACCOUNT: &str = "Account";
pub(super) const ACCOUNT_HINT: &str = "The short name of your team's account, such as acme.";
pub(super) const EMAIL: &str = "Email address";
pub(super) const PASSWORD: &str = "Password";
pub(super) const FORGOT: &str = "Forgot the password?";
pub(super) const START_AGAIN: &str = "Start again";
pub(super) const SECOND_STEP: &str = "Second step";
pub(super) const CODE: &str = "Code";
pub(super) const CODE_HINT: &str = "Six digits from your authenticator app, or a recovery code.";
pub(super) const SET_UP_TWO_STEP: &str = "Set up two-step verification";
pub(super) const SET_UP_WHY: &str = "Your account asks everybody for a second step at sign-in. It takes a minute, and keeps out those who only know a password.";
pub(super) const SET_UP_AGAIN: &str = "Take what you scanned out of the app again, and scan this instead: what was shown before is over.";
pub(super) const SET_UP_SCAN: &str = "Scan this with an authenticator app";
pub(super) const SET_UP_TYPE: &str = "Or type this key into the app:";
pub(super) const SET_UP_OPEN: &str = "Open the app on this device";
pub(super) const SET_UP_CODE: &str = "The code that the app shows now";
pub(super) const SET_UP_CONFIRM: &str = "Turn it on";
pub(super) const QR_ALT: &str = "QR code for an authenticator app; the key below says the same";
pub(super) const RECOVERY_CODES: &str = "Your recovery codes";
pub(super) const RECOVERY_WHY: &str = "Each of these signs you in once if you lose your phone. Keep them where you keep passwords, not on the same phone.";
pub(super) const RECOVERY_ONCE: &str = "They are shown only now.";
pub(super) const RECOVERY_SAVED: &str = "I saved them";

pub(super) const GO_ON: &str = "Go on";

/// The topics of the help page: title and text.
pub(super) const HELP_TOPICS: [(&str, &str); 5] = [
    (
        "Who may do what",
        "Each member has one role, and the role says what is allowed. Under Roles you see what each one can do, side by side, and which is the smallest that fits a job.",
    ),
    (
        "Inviting somebody",
        "Team Management, Invite member. The invitation goes out by email and holds for the time that the account allows; until then you can send it again, correct its address, change its role or take it back.",
    ),
    (
        "Taking access away",
        "Suspend somebody who may come back, remove somebody who will not. Both hold at once: the next click is refused, and every device is signed out.",
    ),
    (
        "Lost phone, lost password",
        "Sign in with a recovery code, or ask an administrator to reset your two-step verification. A forgotten password is replaced by a link in your mail.",
    ),
    (
        "Whom to ask",
        "An administrator of your account can change your role, your name and your access. Your system administrator can help an administrator who is locked out.",
    ),
];

// Roles.
pub(super) const SMALLEST_ROLE: &str = "Use the smallest role that fits the job.";
pub(super) const COMPARE_ROLES: &str = "Compare roles";
pub(super) const CAN: &str = "Can:";
pub(super) const CANNOT: &str = "Cannot:";
pub(super) const ADMINISTERS: &str = "Manages the team itself. Give it only to who must.";
pub(super) const MAY_NOT_GIVE: &str = "Your role may not give this one.";

// Joining.
pub(super) const JOIN: &str = "Join a team";
pub(super) const JOIN_WHY: &str =
    "Open the link in your invitation mail. If it does not open, paste it here.";
pub(super) const LINK_OR_CODE: &str = "Link or code from the mail";
pub(super) const LINK_OR_CODE_HINT: &str = "The whole link, or the part after the # in it.";
pub(super) const JOIN_SET_PASSWORD: &str = "Choose a password";
pub(super) const JOIN_DO: &str = "Join";
pub(super) const JOIN_ACCOUNT: &str = "Team";
pub(super) const JOIN_INVITED_BY: &str = "Invited by";
pub(super) const JOIN_FOR: &str = "For";
pub(super) const JOIN_HOLDS_UNTIL: &str = "Holds until";
pub(super) const JOIN_TWO_STEP: &str = "This team asks everybody for two-step verification: after this you set it up, with an authenticator app on your phone.";
pub(super) const JOIN_AS_ANOTHER: &str = "You are signed in as somebody else";
pub(super) const JOIN_LEAVE: &str = "Sign out and go on";
pub(super) const JOIN_STAY: &str = "Stay signed in";
pub(super) const JOIN_EXPIRED: &str = "This invitation has expired";
pub(super) const JOIN_REPLACED: &str = "There is a newer link";
pub(super) const JOIN_ACCEPTED: &str = "This invitation was accepted already";
pub(super) const JOIN_REVOKED: &str = "This invitation was cancelled";
pub(super) const JOIN_CLOSED: &str = "This invitation does not open";
pub(super) const JOIN_ASK_NEW: &str = "Ask for a new invitation";
pub(super) const JOIN_ASKED: &str = "If this invitation can be renewed, the person who sent it has just been asked. A new link comes by mail.";
pub(super) const SOMEBODY: &str = "the person who invited you";
pub(super) const OPERATOR_INVITED: &str = "The system administrator";

/// What a role lets one do, as a heading.
pub(super) fn what_you_can_do(role: &str) -> String {
    format!("What you can do as {role}")
}

/// Somebody is invited.
pub(super) fn join_title(account: &str) -> String {
    format!("Join {account}")
}

/// Joined.
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
        "At least {least} characters. Take some words that have nothing to do with each other or with you; digits and signs are not asked for. Common passwords and names are refused."
    )
}

/// The same where it is not known yet whose it is.
pub(super) fn password_rules_of_anybody(least: usize, with_second_factor: usize) -> String {
    format!(
        "{} Where your team asks for two-step verification, {with_second_factor} characters are enough.",
        password_rules(least)
    )
}

// The first account.
pub(super) const FIRST: &str = "Set up KWIC Team";
pub(super) const FIRST_WHY: &str =
    "This makes the first account and you its administrator. The link opens once.";
pub(super) const FIRST_CODE: &str = "Link or code from the terminal";
pub(super) const FIRST_SLUG_HINT: &str =
    "Small letters, digits and dashes, such as acme. It is asked for at sign-in, and stays.";
pub(super) const FIRST_NAME_OF_TEAM: &str = "Name of the team";
pub(super) const FIRST_DO: &str = "Create the account";
pub(super) const FIRST_DONE: &str = "KWIC Team is set up already";
pub(super) const FIRST_DONE_WHY: &str = "There is an account, or the link was used. Sign in, or ask an administrator for an invitation.";
pub(super) const GIVEN_NAME: &str = "First name";
pub(super) const FAMILY_NAME: &str = "Last name";

// Forgotten passwords, and addresses.
pub(super) const FORGOT_TITLE: &str = "Forgot the password";
pub(super) const FORGOT_WHY: &str =
    "Write your address, and a link to a new password is sent there. It opens for an hour.";
pub(super) const FORGOT_NO_MAIL: &str =
    "No mail is sent from here: ask an administrator of your team for a link to a new password.";
pub(super) const FORGOT_DO: &str = "Send the link";
pub(super) const FORGOT_SENT: &str = "If there is such a member, a link is on its way. Look into your mail, and in the spam folder too.";
pub(super) const RESET: &str = "Choose a new password";
pub(super) const RESET_WHY: &str = "Every device that is signed in with the old one is signed out.";
pub(super) const RESET_AGAIN: &str = "Ask for a new link";
pub(super) const RESET_DONE: &str = "Your new password is set. Sign in with it.";
pub(super) const NEW_PASSWORD: &str = "New password";
pub(super) const CONFIRM_EMAIL: &str = "Confirm the new address";
pub(super) const CONFIRM_EMAIL_WHY: &str = "Your address changes once both links were opened: the one to the old address, and the one to the new.";
pub(super) const CONFIRM_EMAIL_DO: &str = "Confirm";
pub(super) const CONFIRMED_WAITS_FOR_OLD: &str =
    "Confirmed. Now open the link that was sent to the old address.";
pub(super) const CONFIRMED_WAITS_FOR_NEW: &str =
    "Confirmed. Now open the link that was sent to the new address.";

/// The address is another one now.
pub(super) fn email_is(email: &str) -> String {
    format!("Your address is {email} now.")
}

// My security.
pub(super) const WHO_YOU_ARE: &str = "You";
pub(super) const CHANGE_NAME: &str = "Change name";
pub(super) const CHANGE_EMAIL: &str = "Change address";
pub(super) const CHANGE_PASSWORD: &str = "Change password";
pub(super) const CHANGE_PASSWORD_WHY: &str = "Every other device is signed out.";
pub(super) const CURRENT_PASSWORD: &str = "Your password so far";
pub(super) const YOUR_PASSWORD: &str = "Your password";
pub(super) const NEW_EMAIL: &str = "New address";
pub(super) const NEW_EMAIL_HINT: &str =
    "A link goes there, and one to the old address. The change is made when both were opened.";
pub(super) const NEW_EMAIL_ASKED: &str = "Two mails are on their way: open the link in each, the one at the old address and the one at the new.";
pub(super) const NAME_CHANGED: &str = "Your name is changed.";
pub(super) const TWO_STEP_TITLE: &str = "Two-step verification";
pub(super) const TWO_STEP_WHY: &str = "A second step at sign-in, by an app on your phone, keeps out those who only know your password.";
pub(super) const TWO_STEP_ENFORCED: &str = "Your team asks everybody for it.";
pub(super) const TWO_STEP_ON: &str = "Turn on";
pub(super) const TWO_STEP_REPLACE: &str = "Set up another app";
pub(super) const TWO_STEP_OFF: &str = "Turn off";
pub(super) const TWO_STEP_OFF_TITLE: &str = "Turn off two-step verification?";
pub(super) const TWO_STEP_OFF_WHY: &str = "Then your password alone signs you in. Your recovery codes and passkeys stop working, and every other device is signed out.";
pub(super) const TWO_STEP_NEXT_CODE: &str = "Enter the next code";
pub(super) const TWO_STEP_NEXT_CODE_WHY: &str =
    "The app has the key already. Wait for its next code, and type that.";
pub(super) const SINCE: &str = "Since";
pub(super) const CODES_LEFT: &str = "Recovery codes left";
pub(super) const CODES_NEW: &str = "New recovery codes";
pub(super) const CODES_NEW_WHY: &str = "The old ones stop working.";
pub(super) const CODES_MAKE: &str = "Make new codes";
pub(super) const ON: &str = "On";
pub(super) const OFF: &str = "Off";
pub(super) const LOW: &str = "Low";
pub(super) const PASSKEYS: &str = "Passkeys";
pub(super) const ADDED: &str = "Added";
pub(super) const LAST_USED: &str = "Last used";
pub(super) const NEVER: &str = "Never";
pub(super) const REMOVE: &str = "Remove";
pub(super) const PASSKEYS_WHY: &str = "A passkey on your phone, computer or security key signs you in in the place of a code, and to this address only.";
pub(super) const PASSKEY_TWO_STEP_FIRST: &str =
    "Turn on two-step verification first: its codes still work when a passkey is lost.";
pub(super) const ADD_PASSKEY: &str = "Add a passkey";
pub(super) const ADD_PASSKEY_WHY: &str =
    "Show again who you are. Then your browser asks for a finger, a PIN or a security key.";
pub(super) const PASSKEY_NAME_HINT: &str = "By which you know it again, such as Phone or Key ring.";
pub(super) const MAKE_PASSKEY: &str = "Make the passkey";
pub(super) const MAKE_PASSKEY_WHY: &str = "Your browser asks where to keep it: on this device, on your phone or on a security key. Every other device is signed out.";
pub(super) const USE_PASSKEY: &str = "Use a passkey";
pub(super) const PASSKEY_UNSCRIPTED: &str = "A passkey needs JavaScript, which this browser does not run: turn it on for this page, or stay with your codes.";
const NO_PASSKEYS_HERE: &str =
    "This browser cannot work with passkeys: take another one, or stay with your codes.";
pub(super) const NO_PASSKEY_MADE: [(&str, &str); 3] = [
    ("unable", NO_PASSKEYS_HERE),
    (
        "ended",
        "No passkey was made: it was cancelled, or took too long. Nothing is lost: try again.",
    ),
    (
        "known",
        "There is a passkey of yours already where you wanted to keep this one. Try again with another device, or cancel.",
    ),
];
pub(super) const NO_PASSKEY_SHOWN: [(&str, &str); 2] = [
    ("unable", NO_PASSKEYS_HERE),
    (
        "ended",
        "No passkey answered: it was cancelled, took too long, or is not at hand. Try again, or use a code.",
    ),
];
pub(super) const REMOVE_PASSKEY_WHY: &str =
    "It signs you in no more, and every other device is signed out.";
pub(super) const SESSIONS: &str = "Where you are signed in";
pub(super) const SESSIONS_CAPTION: &str = "Devices that are signed in";
pub(super) const DEVICE: &str = "Device";
pub(super) const ADDRESS: &str = "IP address";
pub(super) const STARTED: &str = "Signed in";
pub(super) const LAST_ACTIVE: &str = "Last active";
pub(super) const THIS_DEVICE: &str = "This device";
pub(super) const END: &str = "Sign out";
pub(super) const END_OTHERS: &str = "Sign out all other devices";
pub(super) const SESSION_ENDED: &str = "That device is signed out.";
pub(super) const SIGN_INS: &str = "Last sign-ins";
pub(super) const WHEN: &str = "When";
pub(super) const OUTCOME: &str = "Outcome";
pub(super) const SIGN_IN_TOOK: &str = "Signed in";
pub(super) const SIGN_IN_LOCKED: &str = "Too many wrong codes";
pub(super) const UNKNOWN_ADDRESS: &str = "Not known";
pub(super) const SIGNED_OUT_EVERYWHERE: &str =
    "You are signed out on every device, and nothing of the account is left in this browser.";
pub(super) const LEAVE: &str = "Leave the team";
pub(super) const LEAVE_WHY: &str = "You lose access at once, on every device, and your API tokens stop working. To come back you need a new invitation.";

/// Signed in after tries that failed.
pub(super) fn sign_in_after(failures: &str) -> String {
    match failures {
        "1" => "Signed in after 1 failed try".to_owned(),
        failures => format!("Signed in after {failures} failed tries"),
    }
}

/// How many devices were signed out, after what was done.
pub(super) fn and_others_ended(done: &str, ended: u64) -> String {
    match ended {
        0 => done.to_owned(),
        1 => format!("{done} 1 other device was signed out."),
        ended => format!("{done} {ended} other devices were signed out."),
    }
}
pub(super) const PASSWORD_IS_CHANGED: &str = "Your password is changed.";
pub(super) const TWO_STEP_IS_OFF: &str = "Two-step verification is off.";
pub(super) const OTHERS_ENDED: &str = "You are signed in on this device only.";

/// Whether a passkey shall go.
pub(super) fn remove_passkey(name: &str) -> String {
    format!("Remove the passkey {name}?")
}

/// A passkey is there.
pub(super) fn passkey_added(name: &str) -> String {
    format!("The passkey {name} is added, and every other device is signed out.")
}

/// A passkey is gone.
pub(super) fn passkey_removed(name: &str) -> String {
    format!("The passkey {name} is removed.")
}

/// Leaving.
pub(super) fn leave(account: &str) -> String {
    format!("Leave {account}?")
}

/// Left, as the title of a page.
pub(super) fn has_left(account: &str) -> String {
    format!("You have left {account}")
}

// API tokens.
pub(super) const TOKENS_WHY: &str = "A token lets a program act as the member who made it, with the role that the token has, until it expires.";
pub(super) const TOKENS_NONE: &str = "No API tokens";
pub(super) const TOKEN_NEW: &str = "New token";
pub(super) const TOKEN_NAME: &str = "What it is for";
pub(super) const TOKEN_NAME_HINT: &str = "Such as the program that uses it.";
pub(super) const TOKEN_CHOOSE_ROLE: &str = "Choose a role";
pub(super) const TOKEN_DAYS: &str = "Days until it expires";
pub(super) const TOKEN_MAKE: &str = "Create token";
pub(super) const TOKEN_MADE: &str = "Your new token";
pub(super) const TOKEN_ONCE: &str = "Copy it now: it is shown only this once, and kept nowhere.";
pub(super) const TOKEN_SECRET: &str = "Token";
pub(super) const TOKEN_MADE_BY: &str = "Made by";
pub(super) const TOKEN_CREATED: &str = "Created";
pub(super) const TOKEN_REVOKE: &str = "Revoke";
pub(super) const TOKEN_REVOKE_WHY: &str =
    "The program that uses it is refused from its next call on. This cannot be undone.";
pub(super) const TOKEN_ROLE_MISSING: &str = "choose what the token may do";
pub(super) const COPY: &str = "Copy";

/// For how many days a token may hold.
pub(super) fn token_days(most: u64) -> String {
    format!("From 1 to {most}.")
}

/// What is wrong with a number of days.
pub(super) fn token_days_wrong(most: u64) -> String {
    format!("write a whole number from 1 to {most}")
}

/// Whether a token shall go.
pub(super) fn revoke_token(name: &str) -> String {
    format!("Revoke the token {name}?")
}

/// A token is gone.
pub(super) fn token_revoked(name: &str) -> String {
    format!("The token {name} is revoked.")
}

/// Says whom to ask.
pub(super) fn ask(administrators: &[String]) -> String {
    match administrators {
        [] => "Ask your system administrator.".to_owned(),
        names => format!("Ask: {}.", names.join(", ")),
    }
}

/// When a refused try is worth repeating.
pub(super) fn try_again(seconds: u64) -> String {
    match seconds {
        0..=90 => format!("Try again in {}.", counted(seconds, "second", "seconds")),
        _ => format!("Try again in {} minutes.", seconds.div_ceil(60)),
    }
}

/// An action of the policies as people say it: `broadcasts:send` is "Send broadcasts".
pub(super) fn action(name: &str) -> String {
    let (thing, verb) = name.split_once(':').unwrap_or(("", name));
    capital(format!("{verb} {thing}").replace('_', " ").trim())
}

/// The first few of several actions, and how many more there are.
pub(super) fn some_actions(actions: &[String], shown: usize) -> String {
    let named: Vec<String> = actions.iter().take(shown).map(|name| action(name)).collect();
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
        count => counted(count, "person has it", "people have it"),
    }
}

// The role guide, the comparison and the picker.
pub(super) const ROLES_WHY: &str =
    "Everybody has one role. It says what they can do, and it can be changed at any time.";
pub(super) const BEST_FOR: &str = "Best for:";
pub(super) const CAN_NOTHING: &str = "Nothing yet.";
pub(super) const WHICH_ROLE: &str = "Which role?";
pub(super) const SEARCH_ACTIONS: &str = "Search by action";
pub(super) const ACTION: &str = "Action";
pub(super) const COMPARE_CAPTION: &str = "What each role may do on the own account";
pub(super) const COMPARE_NOTE: &str = "Made from the live policies. Depends: an attribute, a person or the moment decides. A suspended member cannot sign in; what decisions say of one is up to the policies, and nobody reaches another account unless a policy says so.";
pub(super) const TICK_WHAT: &str = "Tick what the person does";
pub(super) const SUGGEST: &str = "Suggest a role";
pub(super) const SUGGESTED: &str = "Suggested:";
pub(super) const ALLOWS_MORE: &str = "It also allows";
pub(super) const OTHERS_COVER: &str = "These cover it too:";
pub(super) const NO_ROLE_COVERS: &str = "No one role covers all of this";

/// How a role stands to an action: class, sign and word.
pub(super) const fn cell(cell: Cell) -> (&'static str, &'static str, &'static str) {
    match cell {
        Cell::Allowed => ("ok", "\u{2713}", "Yes"),
        Cell::Denied => ("", "\u{2013}", "No"),
        Cell::Depends => ("warn", "\u{25d0}", "Depends"),
    }
}

/// What an action is done to: `bot_flows:view` is about "Bot flows".
pub(super) fn thing(action: &str) -> String {
    capital(&plain(action.split_once(':').map_or("", |(thing, _)| thing)))
}

/// What an action does, without what to: `bot_flows:view` is "view".
pub(super) fn verb(action: &str) -> String {
    plain(action.split_once(':').map_or(action, |(_, verb)| verb))
}

/// A name of the policies in plain letters.
pub(super) fn plain(name: &str) -> String {
    name.replace('_', " ")
}

/// On what an action is done.
pub(super) fn on(resource: &str) -> String {
    format!("on {resource}")
}

/// What a row of the table depends on; empty where on nothing.
pub(super) fn depends_on(policies: &[String]) -> String {
    match policies {
        [] => String::new(),
        [one] => format!("depends on policy {one}"),
        more => format!("depends on policies {}", more.join(", ")),
    }
}

/// How many rows of a table are shown.
pub(super) fn rows_shown(shown: usize, all: usize) -> String {
    match shown == all {
        true => counted(all, "action", "actions"),
        false => format!("{shown} of {}", counted(all, "action", "actions")),
    }
}

/// No action is found by this search.
pub(super) fn no_action_matches(search: &str) -> String {
    format!("No action matches \u{201c}{search}\u{201d}.")
}

/// What was ticked and is not there any more.
pub(super) fn actions_gone(actions: &[String]) -> String {
    format!(
        "The policies changed meanwhile: {} is no action any more, and was left out.",
        actions.join(", ")
    )
}

/// Leads to the invitation of somebody with this role.
pub(super) fn invite_as(role: &str) -> String {
    format!("Invite somebody as {role}")
}

// The audit log.
pub(super) const VERIFY: &str = "Check the chain";
pub(super) const AUDIT_MEMBER: &str = "Member (email address)";
pub(super) const EVENT: &str = "Event";
pub(super) const ANY_EVENT: &str = "Any event";
pub(super) const AUDIT_NOTHING: &str = "Nothing like this has happened.";
pub(super) const AUDIT_NOBODY: &str = "Nobody on your team has this address.";
pub(super) const OLDER: &str = "Older entries";
pub(super) const ERASED: &str = "Details erased";
pub(super) const CHANGED_FROM: &str = "from";
pub(super) const CHANGED_TO: &str = "to";
pub(super) const WAS: &str = "was";
pub(super) const BY_OPERATOR: &str = "the system administrator";
pub(super) const BY_SET_UP: &str = "the set-up link";
pub(super) const BY_INVITATION: &str = "the link of an invitation";
/// Of a version that this one does not know.
pub(super) const EVENT_UNKNOWN: &str = "{who} did something to {whom}";

/// An event as people say it: its name, and a sentence with `{who}` and `{whom}`.
pub(super) const fn event(event: AuditEvent) -> (&'static str, &'static str) {
    match event {
        AuditEvent::AccountCreated => ("Account made", "{who} made the account {whom}"),
        AuditEvent::UserCreated => ("Member added", "{whom} became a member, by {who}"),
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
            ("Backup restored", "{who} restored a backup: all that came after it is undone")
        }
        AuditEvent::PoliciesReloaded => ("Policies loaded", "{who} loaded policies"),
        AuditEvent::InviteCreated => ("Invitation made", "{who} invited {whom}"),
        AuditEvent::InviteResent => {
            ("Invitation sent again", "{who} sent the invitation of {whom} again")
        }
        AuditEvent::InviteUpdated => {
            ("Invitation changed", "{who} changed the invitation of {whom}")
        }
        AuditEvent::InviteLinkShown => {
            ("Invitation link shown", "{who} had the link of {whom} shown")
        }
        AuditEvent::InviteRevoked => {
            ("Invitation cancelled", "{who} cancelled the invitation of {whom}")
        }
        AuditEvent::InviteAccepted => ("Invitation accepted", "{whom} accepted the invitation"),
        AuditEvent::InviteWanted => {
            ("New invitation asked for", "{whom} asked for a new invitation")
        }
        AuditEvent::MailHandedOver => {
            ("Mail handed over", "a mail about {whom} was taken by the mail server")
        }
        AuditEvent::MailDelivered => ("Mail arrived", "a mail about {whom} arrived"),
        AuditEvent::MailBounced => ("Mail came back", "a mail about {whom} came back"),
        AuditEvent::MailFailed => ("Mail failed", "a mail about {whom} could not be delivered"),
        AuditEvent::MailStopped => ("Mail stopped", "{who} stopped sending mail"),
        AuditEvent::MailResumed => ("Mail resumed", "{who} let mail go out again"),
        AuditEvent::AuthnLoginSuccess => ("Signed in", "{whom} signed in"),
        AuditEvent::AuthnLoginSuccessAfterFail => {
            ("Signed in after failed tries", "{whom} signed in after failed tries")
        }
        AuditEvent::AuthnLoginLock => {
            ("Sign-in slowed down", "tries to sign in as {whom} were slowed down")
        }
        AuditEvent::AuthnPasswordChange => ("Password set", "{who} set the password of {whom}"),
        AuditEvent::AuthnTokenCreated => {
            ("Link or API token made", "{who} made a link or an API token for {whom}")
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
            ("Recovery codes made", "{whom} made new recovery codes")
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

/// Somebody whose name is not known any more.
pub(super) fn somebody(id: &str) -> String {
    format!("somebody who is not on the team ({id})")
}

/// A program with an API token.
pub(super) fn program_of(maker: Option<&str>) -> String {
    match maker {
        Some(maker) => format!("a program of {maker}"),
        None => "a program of somebody who is not on the team".to_owned(),
    }
}

/// Nobody changed the log.
pub(super) fn chain_whole(entries: u64) -> String {
    let entries = counted(entries, "entry", "entries");
    format!("The chain is whole: {entries}, none changed, none missing.")
}

/// Somebody did.
pub(super) fn chain_broken(sequence: u64, why: &str) -> String {
    format!(
        "The chain is broken at entry {sequence}: {why}. Keep the file as it is, and find out who could write it."
    )
}

// The account's settings, and its mail.
pub(super) const SETTINGS_SAVED: &str = "The settings are saved.";
pub(super) const SETTINGS_READ_ONLY: &str =
    "Your role may see these settings and not change them. An administrator can.";
pub(super) const ACCOUNT_NAME: &str = "Account name";
pub(super) const INVITE_HOURS: &str = "Invitations hold for (hours)";
pub(super) const INVITE_HOURS_HINT: &str = "72 hours are 3 days, 168 are a week. Counts for invitations from now on, and for those that are sent again.";
pub(super) const ENFORCE: &str = "Ask everybody for two-step verification";
pub(super) const ENFORCE_WHY: &str = "Whoever has none sets it up at the next sign-in, and nobody can turn it off. You need it yourself first.";
pub(super) const HOLDS_NOW: &str = "What holds now";
pub(super) const MAIL: &str = "Mail";
pub(super) const MAIL_BY: &str = "Goes out by";
pub(super) const MAIL_OFF: &str = "No mail is sent. Links are shown instead, to be handed over another way. Your system administrator can set mail up.";
pub(super) const MAIL_STOPPED: &str = "No mail goes out, since";
pub(super) const MAIL_DELAYED: &str = "Mail is waiting, the oldest since";
pub(super) const MAIL_LAST: &str = "Last accepted by the mail server";
pub(super) const MAIL_RESUME: &str = "Let mail go on";
pub(super) const MAIL_RESUME_WHY: &str =
    "Once the cause is fixed, waiting mail goes out. If it is not, mail stops again.";
pub(super) const MAIL_QUEUED: &str = "Waiting";
pub(super) const MAIL_DEFERRED: &str = "Tried, to be tried again";
pub(super) const MAIL_TAKEN: &str = "Taken by the mail server";
pub(super) const MAIL_BOUNCED: &str = "Came back";
pub(super) const MAIL_FAILED: &str = "Given up";
pub(super) const MAIL_TEST: &str = "Send a test mail";
pub(super) const MAIL_TEST_WHY: &str = "It goes to your own address:";
pub(super) const MAIL_TESTED: &str = "The test mail to";
pub(super) const PASSED: &str = "Passed";
pub(super) const FAILED: &str = "Failed";

/// Yes or no.
pub(super) const fn yes_no(yes: bool) -> &'static str {
    if yes { "Yes" } else { "No" }
}

/// Hours as days, beside them.
pub(super) fn days(hours: &str) -> String {
    match hours.parse::<f64>() {
        Ok(hours) if hours >= 48.0 => format!("({:.1} days)", hours / 24.0).replace(".0 ", " "),
        _ => String::new(),
    }
}

/// What may stand in the field of hours.
pub(super) fn hours_between(least: u64, most: u64) -> String {
    format!("write a whole number of hours from {least} to {most}, which is {} days", most / 24)
}

/// How many have no second factor; `more` where they were not all counted.
pub(super) fn without_factor(count: usize, more: bool) -> String {
    match (count, more) {
        (0, false) => "Everybody has it already.".to_owned(),
        (1, false) => "1 active member has none yet.".to_owned(),
        (count, false) => format!("{count} active members have none yet."),
        (count, true) => format!("{count} active members or more have none yet."),
    }
}

/// Somebody else was faster.
pub(super) fn changed_meanwhile(who: &str, when: &str) -> String {
    format!(
        "{} changed the settings while you typed, on {when}. What you typed is still here: look at what holds now, then save again.",
        capital(who)
    )
}

/// How mail goes out.
pub(super) fn mail_kind(kind: &str) -> &'static str {
    match kind {
        "smtp" => "A mail server",
        "folder" => "Files in a folder, for trying things out",
        "memory" => "Memory, for tests",
        _ => "Nothing: links are shown",
    }
}

/// A step of a test mail.
pub(super) const fn mail_step(step: Step) -> &'static str {
    match step {
        Step::Dns => "Finding the mail server",
        Step::Connect => "Connecting",
        Step::Tls | Step::StartTls => "Encrypting",
        Step::Greeting => "Greeting",
        Step::Auth => "Signing in",
        Step::MailFrom => "Naming the sender",
        Step::Rcpt => "Naming the recipient",
        Step::Data => "Handing the mail over",
        Step::Write => "Writing the mail",
    }
}

/// Whether there was anything to resume.
pub(super) const fn mail_resumed(was_stopped: bool) -> &'static str {
    if was_stopped { "Mail goes out again." } else { "Mail was not stopped." }
}

// The policies, and a decision to try.
pub(super) const REFUSED: &str = "The folder was refused";
pub(super) const NOT_LOADED: &str = "The folder could not be loaded, for no fault of its own";
pub(super) const REFUSED_WHY: &str =
    "The previous policies stay active. Fix this, then load the folder again.";
pub(super) const REFUSED_LINE: &str = "The line at fault";
pub(super) const LIVE_SET: &str = "Live set";
pub(super) const LIVE: &str = "Live";
pub(super) const LAST_GOOD: &str = "Last good set: the folder was not loaded at the start";
pub(super) const LOADED: &str = "Loaded";
pub(super) const LOADED_BY: &str = "By";
pub(super) const BY_ITSELF: &str =
    "KWIC Team itself, at a start, by a signal, or since the folder changed";
pub(super) const POLICY_COUNT: &str = "Policies";
pub(super) const GUARDS: &str = "Guards";
pub(super) const POLICY_TESTS: &str = "Tests passed";
pub(super) const DIGEST: &str = "Digest";
pub(super) const RELOAD: &str = "Load the folder again";
pub(super) const RELOAD_WHY: &str =
    "All or nothing: a folder with a fault changes nothing, and the fault is shown here.";
pub(super) const CHECK_FOLDER: &str = "Check the folder";
pub(super) const CHECK_REFUSED: &str = "The folder would be refused";
pub(super) const CHECK_WOULD: &str = "What loading it would change";
pub(super) const CHECK_SAME: &str = "Nothing: the folder is what is live already.";
pub(super) const CHECK_NOT_YET: &str = "Nothing of this is live yet.";
pub(super) const TO_POLICIES: &str = "To the policies";
pub(super) const RELOAD_HOW: &str = "Your system administrator loads the folder again with";
pub(super) const HISTORY: &str = "Who gained, who lost";
pub(super) const HISTORY_NONE: &str = "Nothing is kept of earlier sets yet.";
pub(super) const FIRST_SET: &str = "The first set.";
pub(super) const TRY_DECISION: &str = "Try a decision";
pub(super) const TRY_WHY: &str = "Asks the live policies, and changes nothing. The resource is taken to be in your account, without further attributes.";
pub(super) const TRY_MEMBER: &str = "Member (email address or id)";
pub(super) const TRY_RESOURCE: &str = "Resource";
pub(super) const TRY_RESOURCE_HINT: &str = "Type and id, such as template:t1.";
pub(super) const RESOURCE_WRONG: &str = "Write a type, a colon and an id, such as template:t1.";
pub(super) const TRY: &str = "Ask";
pub(super) const ALLOWED: &str = "Allowed";
pub(super) const DENIED: &str = "Denied";
pub(super) const DECIDED_BY: &str = "Decided by";

/// How many files a set was made from.
pub(super) fn files_count(count: usize) -> String {
    format!("Made from {}", counted(count, "file", "files"))
}

/// How many changes of a reload are not shown.
pub(super) fn more_changes(count: usize) -> String {
    format!(
        "And {count} more: `kwic-team audit list --store --event policies_reloaded` shows them all."
    )
}

/// What a reload did.
pub(super) fn reloaded(changed: bool, changes: usize) -> String {
    match (changed, changes) {
        (false, _) => "The folder is what is live already: nothing changed.".to_owned(),
        (true, 0) => "The folder was loaded. Nobody gained or lost anything.".to_owned(),
        (true, changes) => {
            format!(
                "The folder was loaded. Who gained and who lost, or may have, is below: {}.",
                counted(changes, "line", "lines")
            )
        }
    }
}

/// What would change an answer, beside what its sentence says; empty where there is no more.
pub(super) fn remedy(reason: Reason, roles: &[String]) -> String {
    match reason {
        _ if !roles.is_empty() => {
            format!("It would be allowed with one of these roles: {}.", roles.join(", "))
        }
        Reason::UnknownSubject => "Nobody on your team is known by this.".to_owned(),
        Reason::BadAttributes => {
            "The policies need more than the account to tell: ask by the decision API, with the attributes.".to_owned()
        }
        _ => String::new(),
    }
}

pub(super) fn capital(text: &str) -> String {
    let mut letters = text.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    first + letters.as_str()
}

/// Why an answer is what it is, as a sentence of a page: policies and roles by the names they have.
pub(super) fn reasons(sentence: &str) -> String {
    let end = if sentence.ends_with('?') { "" } else { "." };
    capital(&sentence.replace('`', "")) + end
}

/// The words of a failure as a sentence of a page: no backticks, names of fields as words, a
/// capital, a full stop.
pub(super) fn sentence(failure: &str) -> String {
    let is_field = |part: &str| part.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    let part = |(number, part): (usize, &str)| match number % 2 == 1 && is_field(part) {
        true => part.replace('_', " "),
        false => part.to_owned(),
    };
    let text: String = failure.split('`').enumerate().map(part).collect();
    let end = if text.ends_with(['.', '?', '!']) { "" } else { "." };
    capital(&text) + end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_name_policies_as_they_are_called() {
        assert_eq!(
            reasons("forbidden by policy `own_account`"),
            "Forbidden by policy own_account."
        );
    }

    #[test]
    fn a_failure_becomes_a_sentence() {
        assert_eq!(sentence("`email` is missing: write it"), "Email is missing: write it.");
        assert_eq!(sentence("is it `x`?"), "Is it x?");
        assert_eq!(sentence("`first_name` is long"), "First name is long.");
        assert_eq!(sentence("use `kwic-team a_b`"), "Use kwic-team a_b.");
    }

    #[test]
    fn an_action_is_said_as_people_say_it() {
        assert_eq!(action("broadcasts:send"), "Send broadcasts");
        assert_eq!(action("bot_flows:view"), "View bot flows");
        assert_eq!(action("fly"), "Fly");
        let all = ["a:b", "c:d", "e:f"].map(str::to_owned);
        assert_eq!(some_actions(&all, 2), "B a, D c, and 1 more");
    }
}
