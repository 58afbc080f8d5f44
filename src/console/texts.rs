//! All texts of the pages; those of the script are in the script.
//!
//! Sentences of pages begin with a capital and end with a full stop; messages of failures do not,
//! and [`sentence`] converts them.

/// Texts that are always the same.
macro_rules! words {
    ($($name:ident: $text:literal)+) => {
        $(pub(in crate::console) const $name: &str = $text;)+
    };
}

/// Texts with values, which stand in braces.
macro_rules! sentences {
    ($($name:ident($($value:ident: $type:ty),+): $text:literal)+) => {
        $(pub(in crate::console) fn $name($($value: $type),+) -> String {
            format!($text)
        })+
    };
}

mod audit_log_texts;
mod failure_texts;
mod policy_texts;
mod team_texts;

use crate::domain::{AuditEvent, Reason, plural};
use crate::engine::{Cell, TypeTitles};
use crate::mail::SmtpStep;
pub(super) use audit_log_texts::*;
pub(super) use failure_texts::*;
pub(super) use policy_texts::*;
pub(super) use team_texts::*;

// The frame of every page.
words! {
    PRODUCT: "KWIC Team"
    SKIP: "Skip to the content"
    SETTINGS: "Settings"
    HELP: "Help"
    ROLES: "Roles"
    TOKENS: "API tokens"
    AUDIT: "Audit log"
    POLICIES: "Policies"
    ACCOUNT_SETTINGS: "Account settings"
    MY_SECURITY: "My security"
    MENU: "Menu"
    CANCEL: "Cancel"
    SAVE: "Save"
    CHECK_FIELDS: "fix the highlighted fields"
    NOT_FOUND: "This page does not exist"
    NOT_FOUND_WHY: "the address may be mistyped, or the page was removed"
    NOT_ALLOWED: "Your role does not include this"
    WRONG_ADDRESS: "Wrong address"
    SENT_FROM_ELSEWHERE: "Not sent from KWIC Team"
    OPERATOR_ONLY: "Only for your system administrator"
    WENT_WRONG: "This did not work"
    NOT_POSSIBLE: "This is not possible now"
    TO_MEMBER: "Go to the member"
    KEYS_NOT_LOADED: "The policies are live, but the keys were not loaded"
    NOT_SAVED: "The policies are live, but not saved"
    TO_TEAM: "Back to Team Management"
    TO_SIGN_IN: "Go to sign-in"
    TO_SECURITY: "Back to My security"
}

// Signing in and out.
words! {
    SIGN_IN: "Sign in"
    SIGN_OUT: "Sign out"
    SIGNED_OUT: "You've been signed out"
    SIGNED_OUT_WHY: "Sign in again to continue."
    OVER: "You are no longer signed in"
    OVER_WHY: "Your session has ended, or your access was removed. Everything that you saved is safe."
    OVER_ASK: "Sign in again. If that does not work, ask an administrator of your team."
    ACCOUNT: "Account"
    ACCOUNT_TO_SIGN_IN: "Account (to sign in)"
    ACCOUNT_HINT: "The short name of your team's account, such as acme."
    EMAIL: "Email address"
    PASSWORD: "Password"
    FORGOT: "Forgot password?"
    START_AGAIN: "Start over"
    BACK_TO_SIGN_IN: "Back to sign-in"
    SECOND_STEP: "Two-step verification"
    CODE: "Code"
    CODE_HINT: "The 6-digit code from your authenticator app, or a recovery code."
    SET_UP_TWO_STEP: "Set up two-step verification"
    SET_UP_WHY: "Your team requires two-step verification. Setting it up takes a minute, and protects you if somebody learns your password."
    SET_UP_AGAIN: "That did not match. The QR code below is new: delete the entry that you just added to the app, scan again, then enter the 6 digits."
    SET_UP_SCAN: "Scan this with an authenticator app"
    SET_UP_TYPE: "Or type this key into the app:"
    SET_UP_OPEN: "Open the app on this device"
    SET_UP_CODE: "6-digit code"
    SET_UP_CONFIRM: "Turn on"
    QR_ALT: "QR code for an authenticator app. The key below is the same."
    RECOVERY_CODES: "Your recovery codes"
    RECOVERY_WHY: "If you lose your phone, each of these codes signs you in once. Keep them where you keep your passwords, not on the same phone."
    RECOVERY_ONCE: "You won't see these again."
    RECOVERY_SAVED: "I saved them"
    GO_ON: "Continue"
}

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
words! {
    SMALLEST_ROLE: "Use the smallest role that fits the job."
    COMPARE_ROLES: "Compare roles"
    CAN: "Can:"
    CANNOT: "Cannot:"
    ADMINISTERS: "Give only to people who manage the team."
    MAY_NOT_GIVE: "Your role can't give this role."
    MAY_NOT_REVOKE: "Only its creator, or somebody who can give its role, can revoke this token."
}

// Joining.
words! {
    JOIN: "Join a team"
    JOIN_WHY: "Open the link of your invitation. If it does not open, paste it here."
    LINK_OR_CODE: "Link or code that you received"
    LINK_OR_CODE_HINT: "Paste the whole link, or the part after the #."
    JOIN_SET_PASSWORD: "Choose a password"
    JOIN_DO: "Join"
    JOIN_ACCOUNT: "Team"
    JOIN_INVITED_BY: "Invited by"
    JOIN_FOR: "For"
    JOIN_HOLDS_UNTIL: "Expires"
    JOIN_TWO_STEP: "This team requires two-step verification. You set it up next, with an authenticator app on your phone."
    JOIN_AS_ANOTHER: "You are signed in as somebody else"
    JOIN_LEAVE: "Sign out and continue"
    JOIN_STAY: "Stay signed in"
    JOIN_EXPIRED: "This invitation has expired"
    JOIN_REPLACED: "There is a newer link"
    JOIN_REPLACED_WHY: "This link was replaced by a newer one: open the newest link that you got, or ask for a new one."
    JOIN_ACCEPTED: "This invitation was accepted already"
    JOIN_REVOKED: "This invitation was revoked"
    JOIN_CLOSED: "This invitation can't be opened"
    JOIN_ASK_NEW: "Ask for a new invitation"
    JOIN_NO_MAIL: "No mail is sent here. Ask the person who invited you for a new link."
    JOIN_ASKED: "If a new invitation is possible, the person who invited you has been asked for one. If they send one, it comes by mail."
    SOMEBODY: "the person who invited you"
    OPERATOR_INVITED: "Your system administrator"
}

sentences! {
    what_you_can_do(role: &str): "What you can do as {role}"
    join_title(account: &str): "Join {account}"
    joined(account: &str): "Welcome to {account}. You have joined."
    signed_in_as(who: &str, invited: &str): "You are signed in as {who}; this invitation is for {invited}."
    expired_on(when: &str, whom: &str): "Expired on {when}. Ask {whom} for a new one."
    // The rules of a new password, before it is typed.
    password_rules(least: usize): "Use at least {least} characters. A few unrelated words work well, if nobody would connect them with you. No digits or symbols needed. Common passwords and names are refused."
}

/// The same while the member is not known yet.
pub(super) fn password_rules_of_anybody(least: usize, with_second_factor: usize) -> String {
    format!(
        "{} If your team requires two-step verification, {with_second_factor} characters are enough.",
        password_rules(least)
    )
}

// The first account.
words! {
    FIRST: "Set up KWIC Team"
    FIRST_WHY: "This creates the first account, with you as its administrator. The link works once."
    FIRST_CODE: "Link or code from the terminal"
    FIRST_SLUG_HINT: "Lowercase letters, digits and dashes, such as acme. Members enter it to sign in. It can't be changed later."
    FIRST_DO: "Create the account"
    FIRST_DONE: "KWIC Team is already set up"
    FIRST_DONE_WHY: "There is an account already, or the link was used. Sign in, or ask an administrator for an invitation."
    GIVEN_NAME: "First name"
    FAMILY_NAME: "Last name"
}

// Forgotten passwords, and addresses.
words! {
    FORGOT_TITLE: "Forgot password"
    FORGOT_WHY: "Enter your address, and we send you a link to choose a new password. It works for one hour."
    FORGOT_NO_MAIL: "No mail is sent here. Ask an administrator of your team for a link to choose a new password."
    FORGOT_DO: "Send the link"
    FORGOT_SENT: "If there is such a member, a link is on its way. Check your inbox and your spam folder."
    RESET: "Choose a new password"
    RESET_WHY: "You will be signed out on every device."
    RESET_AGAIN: "Ask for a new link"
    RESET_DONE: "Your new password is set. Sign in with it."
    NEW_PASSWORD: "New password"
    CONFIRM_EMAIL: "Confirm the new address"
    CONFIRM_EMAIL_WHY: "Your address changes when both links have been opened: the one sent to your old address and the one sent to your new address."
    CONFIRM_EMAIL_DO: "Confirm"
    CONFIRMED_WAITS_FOR_OLD: "Confirmed. Now open the link that was sent to the old address."
    CONFIRMED_WAITS_FOR_NEW: "Confirmed. Now open the link that was sent to the new address."
}

sentences! {
    email_is(email: &str): "Your address is now {email}."
}

// My security.
words! {
    WHO_YOU_ARE: "You"
    CHANGE_NAME: "Change name"
    CHANGE_EMAIL: "Change address"
    CONFIRM_EMAIL_GONE: "this link no longer works: if your address has not changed yet, sign in and choose Change address under My security, which sends two new links"
    CHANGE_PASSWORD: "Change password"
    CHANGE_PASSWORD_WHY: "You will be signed out on all other devices."
    CURRENT_PASSWORD: "Current password"
    YOUR_PASSWORD: "Your password"
    NEW_EMAIL: "New address"
    NEW_EMAIL_HINT: "We send a link to this address and one to your current address. Open both to make the change."
    NEW_EMAIL_NO_MAIL: "No mail is sent here, so a new address cannot be confirmed. Ask your system administrator to change it."
    NEW_EMAIL_ASKED: "Two mails are on their way. Open the link in each to confirm the change."
    NAME_CHANGED: "Your name was changed."
    TWO_STEP_TITLE: "Two-step verification"
    TWO_STEP_WHY: "A second step at sign-in, with an app on your phone, protects you if somebody learns your password."
    TWO_STEP_ENFORCED: "Your team requires it."
    TWO_STEP_ON: "Turn on"
    TWO_STEP_REPLACE: "Set up another app"
    TWO_STEP_REPLACE_WHY: "The previous app and recovery codes stop working, and you will be signed out on all other devices."
    TWO_STEP_REPLACE_CONFIRM: "Use this app"
    TWO_STEP_OFF: "Turn off"
    TWO_STEP_OFF_TITLE: "Turn off two-step verification?"
    TWO_STEP_OFF_WHY: "Your password alone will sign you in. Your recovery codes and passkeys stop working, and you will be signed out on all other devices."
    TWO_STEP_IS_OFF_ALREADY: "Your two-step verification is off already."
    TWO_STEP_STAYS_ON: "Your team requires two-step verification, so you cannot turn it off. To use another phone or app, set up another app."
    TWO_STEP_NEXT_CODE: "Enter the next code"
    TWO_STEP_NEXT_CODE_WHY: "The app already has the key. Wait for its next code and enter that."
    SINCE: "Since"
    CODES_LEFT: "Recovery codes left"
    CODES_NEW: "New recovery codes"
    CODES_NEW_WHY: "The previous codes stop working."
    CODES_TWO_STEP_FIRST: "Recovery codes belong to two-step verification, which is off. Turn it on to get them."
    CODES_MAKE: "Create new codes"
    ON: "On"
    OFF: "Off"
    LOW: "Low"
    PASSKEYS: "Passkeys"
    ADDED: "Added"
    LAST_USED: "Last used"
    NEVER: "Never"
    REMOVE: "Remove"
    PASSKEYS_WHY: "A passkey on your phone, computer or security key replaces the code at sign-in. It works only at this web address."
    PASSKEY_TWO_STEP_FIRST: "Turn on two-step verification first, so that you still have codes if you lose a passkey."
    ADD_PASSKEY: "Add a passkey"
    ADD_PASSKEY_WHY: "Enter your password first. Then your browser asks for your fingerprint, a PIN or a security key."
    PASSKEY_NAME_HINT: "A name that you will recognise, such as Phone or Key ring."
    MAKE_PASSKEY: "Create passkey"
    MAKE_PASSKEY_WHY: "Your browser asks where to keep it: on this device, on your phone or on a security key. You will be signed out on all other devices."
    USE_PASSKEY: "Use a passkey"
    PASSKEY_UNSCRIPTED: "Passkeys need JavaScript. Turn it on for this page, or use your codes."
    REMOVE_PASSKEY_WHY: "It no longer signs you in, and you will be signed out on all other devices."
    SESSIONS: "Where you are signed in"
    SESSIONS_CAPTION: "Devices that are signed in"
    DEVICE: "Device"
    ADDRESS: "IP address"
    STARTED: "Signed in"
    LAST_ACTIVE: "Last active"
    THIS_DEVICE: "This device"
    END: "Sign out"
    END_OTHERS: "Sign out all other devices"
    SESSION_ENDED: "That device was signed out."
    SIGN_INS: "Last sign-ins"
    WHEN: "When"
    OUTCOME: "Outcome"
    SIGN_IN_TOOK: "Signed in"
    SIGN_IN_LOCKED: "Sign-in locked"
    UNKNOWN_ADDRESS: "Unknown"
    SIGNED_OUT_EVERYWHERE: "You've been signed out on every device."
    LEAVE: "Leave the team"
    LEAVE_WHY: "You lose access immediately, on every device, and your API tokens stop working. To come back, you need a new invitation."
    PASSWORD_IS_CHANGED: "Your password was changed."
    TWO_STEP_IS_OFF: "Two-step verification is off."
    OTHERS_ENDED: "You are signed in on this device only."
}

sentences! {
    remove_passkey(name: &str): "Remove the passkey {name}?"
    passkey_added(name: &str): "The passkey {name} was added. You were signed out on all other devices."
    passkey_removed(name: &str): "The passkey {name} was removed."
    leave(account: &str): "Leave {account}?"
    // The title after leaving.
    has_left(account: &str): "You have left {account}"
}

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

// API tokens.
words! {
    TOKENS_WHY: "A token lets a program act for the member who created it, with the role of the token, until it expires."
    TOKENS_NONE: "No API tokens"
    TOKEN_NEW: "New token"
    TOKEN_NAME_HINT: "For example, the program that uses it."
    TOKEN_DAYS: "Days until it expires"
    TOKEN_MAKE: "Create token"
    TOKEN_MADE: "Your new token"
    TOKEN_ONCE: "Copy it now. You won't see it again."
    TOKEN_SECRET: "Token"
    TOKEN_MADE_BY: "Created by"
    TOKEN_CREATED: "Created"
    TOKEN_REVOKE: "Revoke"
    TOKEN_REVOKE_WHY: "The program that uses it loses access immediately. This cannot be undone."
    TOKEN_ROLE_MISSING: "choose a role"
    CANNOT_MAKE_TOKENS: "you cannot create API tokens"
    CANNOT_REVOKE_TOKEN: "you cannot revoke this API token"
    COPY: "Copy"
}

sentences! {
    token_days(most: u64): "From 1 to {most}."
    // The fault of the lifetime of a token.
    token_days_wrong(most: u64): "enter a whole number from 1 to {most}"
    revoke_token(name: &str): "Revoke the token {name}?"
    token_revoked(name: &str): "The token {name} was revoked."
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
words! {
    ROLES_WHY: "Each member has one role. It defines what they can do, and can be changed at any time."
    BEST_FOR: "Best for:"
    CAN_NOTHING: "Nothing yet."
    WHICH_ROLE: "Which role?"
    SEARCH_ACTIONS: "Search by action"
    ACTION: "Action"
    COMPARE_CAPTION: "What members with each role can do in their own account"
    COMPARE_NOTE: "Based on the live policies. In parentheses is what the action is done to; \u{201c}(account)\u{201d} is the account as a whole. \u{201c}Depends\u{201d} means that it depends on the item, the person or the time. Suspended members cannot sign in, and nobody can do anything in another account unless a policy allows it."
    TICK_WHAT: "Select what the person does"
    TICK_FIRST: "Select at least one thing that the person does."
    SUGGEST: "Suggest a role"
    SUGGESTED: "Suggested:"
    ALLOWS_MORE: "It also allows"
    OTHERS_COVER: "These roles also cover it:"
    NO_ROLE_COVERS: "No single role covers all of this"
    NO_ROLE_COVERS_WHY: "Select less, or ask your system administrator for another role."
}

sentences! {
    no_action_matches(search: &str): "No action matches \u{201c}{search}\u{201d}."
    invite_as(role: &str): "Invite somebody as {role}"
}

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

/// Selected actions that no longer exist.
pub(super) fn actions_gone(titles: &TypeTitles, actions: &[String]) -> String {
    format!(
        "The policies have changed. No longer available, and left out: {}.",
        some_actions(titles, actions, actions.len())
    )
}

// The audit log.
words! {
    VERIFY: "Verify log"
    AUDIT_MEMBER: "Member"
    EVENT: "Event"
    ANY_EVENT: "Any event"
    AUDIT_NOTHING: "No entries match."
    // Nobody has the name, address or ID that was entered.
    NOBODY_FOUND: "Nobody was found with this name, email address or ID."
    OLDER: "Older entries"
    ERASED: "Details erased"
    CHANGED_FROM: "from"
    CHANGED_TO: "to"
    WAS: "was"
    BY_OPERATOR: "your system administrator"
    BY_SET_UP: "the set-up link"
    BY_INVITATION: "an invitation link"
    // One of the two addresses of a change of address was confirmed.
    ADDRESS_CONFIRMED: "{who} confirmed a change of address of {whom}"
    // An event of a newer version.
    EVENT_UNKNOWN: "{who} made a change to {whom} that this version doesn't know"
    // A former member whose name is not kept.
    SOMEBODY_GONE: "somebody who is no longer on the team"
}

sentences! {
    chain_broken(sequence: u64, why: &str): "The log was altered at entry {sequence}: {why}. Tell your system administrator: KWIC Team's data file must be kept as it is, to find out who changed it."
}

/// The label of each event, and a sentence with `{who}` and `{whom}`.
macro_rules! events {
    ($($event:ident: $label:expr, $sentence:literal;)+) => {
        pub(super) const fn event(event: AuditEvent) -> (&'static str, &'static str) {
            match event {
                $(AuditEvent::$event => ($label, $sentence),)+
            }
        }
    };
}

events! {
    AccountCreated: "Account created", "{who} created the account {whom}";
    UserCreated: "Member added", "{whom} was added by {who}";
    UserUpdated: "Member details changed", "{who} changed the details of {whom}";
    PrivilegePermissionsChanged: "Role changed", "{who} changed the role of {whom}";
    UserSuspended: "Member suspended", "{who} suspended {whom}";
    UserRestored: "Member restored", "{who} restored {whom}";
    UserDeleted: "Member removed", "{who} removed {whom}";
    UserErased: "Personal data erased", "{who} erased the personal data of {whom}";
    UsersImported: "Members imported", "{who} imported members";
    StoreRestored: "Backup restored", "{who} restored a backup, and later changes were undone";
    KeysActivated: "New keys in use", "{who} put new keys in use on all machines";
    PoliciesReloaded: "Policies loaded", "{who} loaded policies";
    PoliciesHeld: "Policies held for approval", "{who} brought policies that wait for approval";
    PoliciesPublished: "Policies published", "{who} published policies for all nodes";
    PoliciesUnpinned: "Policies unpinned", "{who} ended the pin of former policies";
    InviteCreated: "Invitation created", "{who} invited {whom}";
    InviteResent: "Invitation resent", "{who} resent the invitation of {whom}";
    InviteUpdated: "Invitation changed", "{who} changed the invitation of {whom}";
    InviteLinkShown: "Invitation link shown", "{who} viewed the invitation link of {whom}";
    InviteRevoked: "Invitation revoked", "{who} revoked the invitation of {whom}";
    InviteAccepted: "Invitation accepted", "{whom} accepted the invitation";
    InviteWanted: "New invitation requested", "{whom} requested a new invitation";
    MailHandedOver: "Mail sent", "a mail about {whom} was accepted by the mail server";
    MailDelivered: "Mail delivered", "a mail about {whom} was delivered";
    MailBounced: "Mail bounced", "a mail about {whom} bounced";
    MailFailed: "Mail failed", "a mail about {whom} could not be delivered";
    MailStopped: "Mail stopped", "{who} stopped sending mail";
    MailResumed: "Mail resumed", "{who} resumed sending mail";
    AuthnLoginSuccess: "Signed in", "{whom} signed in";
    AuthnLoginSuccessAfterFail: "Signed in after failed attempts", "{whom} signed in after failed attempts";
    AuthnLoginLock: SIGN_IN_LOCKED, "sign-in as {whom} was locked after failed attempts";
    AuthnPasswordChange: "Password set", "{who} set the password of {whom}";
    AuthnTokenCreated: "Link or API token created", "{who} created a link or an API token for {whom}";
    TwoStepEnabled: "Two-step verification on", "{whom} turned two-step verification on";
    TwoStepDisabled: "Two-step verification off", "{whom} turned two-step verification off";
    TwoStepReset: "Two-step verification reset", "{who} reset the two-step verification of {whom}";
    RecoveryCodesCreated: "Recovery codes created", "{whom} created new recovery codes";
    RecoveryCodeUsed: "Recovery code used", "{whom} used a recovery code";
    AuthnTokenRevoked: "API token revoked", "{who} revoked an API token of {whom}";
    PasskeyAdded: "Passkey added", "{whom} added a passkey";
    PasskeyRemoved: "Passkey removed", "{whom} removed a passkey";
    PasskeyCopied: "Passkey refused", "a passkey of {whom} may have been copied, and was refused";
    SessionLogout: "Sessions ended", "{who} ended sessions of {whom}";
    AccountUpdated: "Account settings changed", "{who} changed the settings of the account";
}

/// A field of an entry or of a form.
pub(super) fn field(name: &str) -> String {
    capital(&plain(name))
}

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

// The account's settings, and its mail.
words! {
    SETTINGS_SAVED: "The settings were saved."
    SETTINGS_READ_ONLY: "Your role can view these settings, but not change them. Ask an administrator."
    NAME_OF_TEAM: "Name of the team"
    INVITE_HOURS: "Invitations expire after (hours)"
    INVITE_HOURS_HINT: "72 hours are 3 days, 168 hours are a week. Applies to new invitations and to those that are resent."
    ENFORCE: "Require two-step verification"
    ENFORCE_WHY: "Members without it must set it up at their next sign-in, and nobody can turn it off. Turn on your own two-step verification first."
    HOLDS_NOW: "Current settings"
    MAIL: "Mail"
    MAIL_BY: "Sent by"
    MAIL_OFF: "No mail is sent. Links are shown instead, for you to pass on. Your system administrator can set up mail."
    MAIL_STOPPED: "Mail has been stopped since"
    MAIL_DELAYED: "Mail is delayed. The oldest has been waiting since"
    MAIL_RESUME: "Resume mail"
    MAIL_RESUME_WHY: "Fix the cause first, then resume: waiting mail is sent. If the cause remains, mail stops again."
    MAIL_TEST: "Send a test mail"
    MAIL_TEST_WHY: "It is sent to your own address:"
    MAIL_TESTED: "The test mail to"
    PASSED: "Passed"
    FAILED: "Failed"
}

sentences! {
    // An edit conflict.
    changed_meanwhile(who: &str, when: &str): "{who} changed the settings on {when}, while you were editing. What you entered is still here: compare it with the current settings, then save again."
}

pub(super) const fn yes_no(yes: bool) -> &'static str {
    if yes { "Yes" } else { "No" }
}

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
words! {
    REFUSED_TELL: "The previous policies stay live. Tell your system administrator."
    REFUSED_LINE: "The line at fault"
    HELD: "New policies wait for approval"
    HELD_WHY: "Somebody would gain access by them. The live policies stay until you approve."
    HELD_TELL: "Somebody would gain access by them. The live policies stay until somebody who may change the policies approves."
    HELD_NOW: "The new policies wait for approval. The live policies stay."
    HELD_UNKNOWN: "Who would gain access is in the log."
    APPROVE: "Approve"
    LIVE_SET: "Live policies"
    LOADED: "Loaded"
    LOADED_BY: "By"
    POLICY_COUNT: "Policies"
    GUARDS: "Safety rules (guards)"
    POLICY_TESTS: "Tests passed"
    DIGEST: "Fingerprint"
    RELOAD: "Load the folder again"
    CHECK_FOLDER: "Check the folder"
    CHECK_REFUSED: "The folder would be refused"
    CHECK_REFUSED_WHY: "The live policies stay as they are. Fix this, then check again."
    CHECK_WOULD: "Changes if you load it"
    CHECK_SAME: "None: the folder matches the live policies."
    CHECK_NOT_YET: "None of this is live yet."
    TO_POLICIES: "Back to policies"
    RELOAD_HOW: "Your system administrator changes these policies."
    TRY_DECISION: "Try a decision"
    TRY_WHY: "Asks the live policies and changes nothing. The resource is assumed to be in your account; nothing else about it is known here."
    TRY_MEMBER: "Member (name, email address or ID)"
    SEVERAL_ARE_CALLED: "Several people have this name. Choose one:"
    TRY_RESOURCE: "Resource"
    RESOURCE_WRONG: "Enter a type, a colon and an ID, such as template:t1."
    TRY: "Try"
    WHO_CAN: "Who can do an action"
    WHO_CAN_WHY: "Asks the live policies about each member of your account, and changes nothing."
    WHAT_CAN_WHY: "Asks the live policies about each action, and changes nothing."
    OPTIONAL_RESOURCE: "Resource (optional)"
    SHOW: "Show"
    WHY: "Why"
    SEE_WHY: "See why"
    SHOW_POLICY: "Show policy"
    NOBODY_CAN: "No member can do this"
    CAN_NOTHING_ON_IT: "No action is allowed on this"
    LIST_IS_OLD: "This page of the list has expired. Choose Show to begin again."
    NONE_SO_FAR: "None on this page. Go on to the next page"
    ALLOWED: "Allowed"
    DENIED: "Denied"
    DECIDED_BY: "Decided by"
    // The resource is a member, and there is none with this ID.
    NO_SUCH_RESOURCE: "There is no member with this ID. Enter \u{201c}user:\u{201d} followed by the member ID that is on the member's page."
}

pub(super) fn try_resource_hint(types: &[String]) -> String {
    format!(
        "Type and ID, such as template:t1. For user, enter the ID of a member; for account, the short name of an account; for other types any ID will do, unless a policy names one. Types: {}.",
        types.join(", ")
    )
}

pub(super) fn optional_resource_hint(types: &[&str]) -> String {
    format!(
        "Type and ID, such as template:t1; without it, your account as a whole. For user, enter the ID of a member. Types: {}.",
        types.join(", ")
    )
}

/// Why something is allowed.
pub(super) fn allowed_by(policies: &[String]) -> String {
    let policies: Vec<&str> = policies.iter().map(String::as_str).collect();
    format!("Allowed {}.", by_policies(&policies))
}

/// The policies know no such type of resource.
pub(super) fn no_such_type(kind: &str, types: &[String]) -> String {
    format!("There is no type of resource called {kind}. There are: {}.", types.join(", "))
}

/// How many files a set consists of.
pub(super) fn files_count(count: usize) -> String {
    format!("Made from {}", plural(count, "file", "files"))
}

pub(super) fn reloaded(changed: bool, changes: usize) -> String {
    match (changed, changes) {
        (true, 1) => "The policies were loaded. 1 access change is listed below.".to_owned(),
        (false, _) => "Nothing changed: these policies are live already.".to_owned(),
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
            reasons(&NONE, "forbidden by policy `own_profile`"),
            "Forbidden by policy own_profile."
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
