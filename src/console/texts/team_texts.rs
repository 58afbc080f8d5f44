//! Texts of Team Management: members and invitations.

use crate::domain::{DeliveryState, InviteState, Status, plural};
use crate::services::members_locked_out::SignInLock;

/// A state as a symbol and a word: never a colour alone.
pub(in crate::console) struct Badge {
    /// `ok`, `warn`, `error`, or nothing.
    pub(in crate::console) kind: &'static str,
    pub(in crate::console) sign: &'static str,
    pub(in crate::console) word: &'static str,
}

pub(super) const fn badge(kind: &'static str, sign: &'static str, word: &'static str) -> Badge {
    Badge { kind, sign, word }
}

words! {
    TEAM: "Team Management"
    CRUMBS: "Breadcrumb"
    INVITE_MEMBER: "Invite member"
    MORE: "More"
    INVITE_SEVERAL: "Invite several"
    EXPORT: "Export CSV"
    MEMBERS: "Members"
    INVITATIONS: "Invitations"
    REMOVED: "Removed"
    SEARCH: "Search by name or email"
    FIND: "Search"
    CLEAR: "Clear filters"
    ROLE: "Role"
    ANY: "Any"
    ALL: "All"
    ON: "On"
    OFF: "Off"
    ROWS: "Rows"
    NAME: "Name"
    STATUS: "Status"
    STATE: "State"
    TWO_STEP: "Two-step"
    JOINED: "Joined"
    LAST_SIGN_IN: "Last sign-in"
    DELIVERY: "Delivery"
    EXPIRES: "Expires"
    INVITED_BY: "Invited by"
    LAST_SENT: "Last sent"
    NEXT_TRY: "Next try"
    ACTIONS: "Actions"
    ACTIONS_FOR: "Actions for {}"
    SELECT_ALL: "Select everybody on this page"
    YOU: "You"
    PAGES: "Pages"
    NEXT_PAGE: "Next page"
    PREVIOUS_PAGE: "Previous page"
    ACTIVE: "Active"
    SUSPENDED: "Suspended"
    UNTIL: "until"
    OPEN: "Pending or expired"
    PENDING: "Pending"
    EXPIRED: "Expired"
    REVOKED: "Revoked"
    ACCEPTED: "Accepted"
    QUEUED: "Queued"
    SENDING: "Sending"
    ALONE: "You're the only one here"
    ALONE_WHY: "Invite the people you work with. These roles are where most teams begin:"
    NO_INVITATIONS: "No pending invitations"
    NO_INVITATIONS_WHY: "The people you invite are listed here until they join, with the delivery status of their mail."
    NO_INVITATIONS_WHY_NO_MAIL: "The people you invite are listed here until they join. To see the link to pass on, choose Copy link."
    RUNS_IT: "Your system administrator"
    NO_MAIL: "No mail is sent here. Each invitation gives you a link to pass on yourself. Your system administrator can set up mail."
    ONE_ADMINISTRATOR: "There is only one administrator. Add a second one, so that the team isn't locked out when one is away."

    DETAILS: "Details"
    SIGNED_IN_ON: "Signed in on"
    MEMBER_ID: "Member ID"
    MAY_NOTHING: "Nothing: the live policies allow this member no action."
    MAY_NOT: "Not included"
    MAY_SOMETIMES: "Depends on a policy"
    EDIT_DETAILS: "Edit details"
    CHANGE_ROLE: "Change role"
    VIEW_PERMISSIONS: "View permissions"
    SEND_PASSWORD_RESET: "Send password reset"
    RESET_TWO_STEP: "Reset two-step verification"
    OWN_FACTOR_FIRST: "Turn on your own two-step verification first. You need it to confirm this reset."
    END_SESSIONS: "End all sessions"
    SUSPEND: "Suspend"
    SUSPEND_INSTEAD: "Suspend instead"
    RESTORE: "Restore"
    LAST_ADMINISTRATOR: "The last administrator"
    CANNOT_LEAVE: "You are the last administrator of the team. Make somebody else an administrator first, then you can leave."
    OWN_ROLE: "You cannot change your own role. Ask another administrator of the team."
    OWN_SUSPENSION: "You cannot suspend yourself: ask another administrator to do it."
    OWN_TWO_STEP: "Your own two-step verification is under My security."
    IS_SUSPENDED: "Suspended: restore first"
    IS_SIGNED_OUT: "Suspended: already signed out"
    FIRST_NAME: "First name"
    LAST_NAME: "Last name"
    CHOOSE_ROLE: "choose a role"
    CHOOSE_A_ROLE: "Choose a role"
    NOT_ON_THE_TEAM: "Somebody who is no longer on the team"
    CHANGED_BEFORE: "This was changed in the meantime. Look at the current values, then confirm again."
    OVERTAKEN: "This was changed while you were editing. What you entered is still here: compare it with the current values, then save again."
    DISCARD: "Discard my changes"
    CURRENT_VALUES: "Current values"
    SAME_ROLE: "this is already the role: choose another one, or cancel"
    GAINS: "Gains"
    LOSES: "Loses"
    MAY_GAIN: "May gain (depends on a policy)"
    MAY_LOSE: "May lose (depends on a policy)"
    NOTHING: "Nothing"
    YOUR_CODE: "Your own code"
    RESET_LINK: "Password reset link"
    LINK: "Link"
    LINK_ONCE: "You won't see this link again. Send it in a way that only this person can read."
    LINK_AGAIN: "You can see this link again: choose Copy link under Invitations. Send it in a way that only this person can read."
    COPY_LINK: "Copy link"
    DONE: "Done"
    UNTICK: "Clear"
    TICK_SOME: "select the members first, then choose what to do"
    WHAT_WAS_DONE: "Results"

    CANNOT_INVITE: "you cannot invite members"
    CANNOT_CHANGE_MEMBERS: "you cannot change members"
    INVITE_IS_REVOKED: "This invitation was revoked"
    TOKENS_STAY_REVOKED: "Their API tokens are revoked, and stay revoked when you restore them."
    OTHER_SERVICES: "Other KWIC services follow the policies, which by default deny a suspended member everything."
    INVITE_ROLE_GONE: "The role of this invitation was removed"
    INVITE_ROLE_GONE_CHOOSE: "The role of this invitation was removed: choose another one."
    EDIT_INVITATION: "Edit invitation"
    SEND_INVITATION: "Invite"
    INVITATION_LINK: "Invitation link"
    RESEND: "Resend"
    CORRECT: "Edit"
    CORRECT_WHY_NO_MAIL: "If you change the address, you get a new link to pass on and the previous link stops working. The same happens if you change the role and somebody else sent the invitation."
    CORRECT_WHY: "If you change the address, a new link is sent and the previous link stops working. The same happens if you change the role and somebody else sent the invitation."
    REVOKE: "Revoke"
    CHECK_LINES: "Check"
    SEVERAL_HOW: "One person per line: first name, last name, email, role, separated by commas or by tabs (as copied from a spreadsheet). Or paste an address list from a mail program: Ann Lee <ann@example.org>; Bo Ray <bo@example.org>. You can check the list before anything is sent."
    LINES: "People"
    LEFT_LINES: "Fix these and check again"
    VERDICT: "Result"
    SEVERAL_CHECKED: "Checked: nothing has been sent yet"
    SEVERAL_LINKS: "No mail is sent here: give each person their own link. You can see the links again: choose Copy link under Invitations."
    SEVERAL_SENT: "Invitations"
    ROLE_OF_OTHERS: "Role for lines without one"
    ROLE_IN_LINE: "None: each line names its role"
    CAN_BE_SENT: "Can be sent"
    IS_SENDING: "Created"
    TO_INVITATIONS: "Go to invitations"
}

sentences! {
    range(first: usize, last: usize, of: usize): "{first}–{last} of {of}"
    select(name: &str): "Select {name}"
    manage(name: &str): "Manage {name}"
    invite_a(role: &str): "Invite: {role}"
    may_do(name: &str): "What {name} can do"
    edit_of(name: &str): "Edit {name}"
    role_of(name: &str): "Role of {name}"
    make(name: &str, role: &str): "Change {name} to {role}"
    now_is(name: &str, role: &str): "{name} is now {role}. Effective immediately."
    saved(name: &str): "{name}'s details were saved."
    // An edit conflict.
    overtaken_by(who: &str, when: &str): "{who} changed this on {when}, while you were editing. What you entered is still here: compare it with the current values, then save again."
    // A change while a confirmation was open.
    changed_by(who: &str, when: &str): "{who} changed this on {when}. Look at the current values, then confirm again."
    is_last_administrator(name: &str): "{name} is the last administrator of the team. Make somebody else an administrator first."
    is_suspended(name: &str): "{name} is suspended, signed out everywhere and cannot sign in. Restore {name} first."
    is_signed_out(name: &str): "{name} is suspended already, signed out everywhere and cannot sign in."
    is_active(name: &str): "{name} is active already."
    has_no_two_step(name: &str): "{name} has no two-step verification, so there is nothing to reset."
    type_name(name: &str): "To confirm, type the name: {name}"
    reset_link_for(name: &str): "No mail is sent here. Give this link to {name}, who can then choose a new password. It works once."
    reset_on_its_way(name: &str): "A password reset link is on its way to {name}."
    was_suspended(name: &str): "{name} was suspended and signed out everywhere."
    was_restored(name: &str): "{name} was restored and can sign in again."
    type_count(count: usize): "To confirm, type the number of members: {count}"
    invitation_made(email: &str): "Invitation for {email} created. The Delivery column shows whether the mail was sent."
    invitation_anew(email: &str): "New link for {email} created. The Delivery column shows whether the mail was sent."
    invitation_changed(name: &str): "{name}'s invitation was changed."
    no_such_role(role: &str): "`{role}` is not a role that you can give"
    so_many_ticked(most: usize): "nothing was changed: select {most} members at most, then repeat with the others"
    same_address(line: usize): "Same address as line {line}."
    invited_until(when: &str): "Already invited, until {when}. Resend or edit that invitation instead."
    correct_of(name: &str): "Edit {name}'s invitation"
    invite_role_gone(name: &str): "The invitation for {name} is for a role that was removed, so nobody can join with it. Edit it and choose another role, or revoke it."
    invite_is_accepted(name: &str): "{name} has joined. Change the member instead."
    invite_is_revoked(name: &str): "The invitation for {name} was revoked, and its link no longer works. Invite them again."
    was_revoked(name: &str): "{name}'s invitation was revoked."
}

pub(in crate::console) fn status(status: Status) -> Badge {
    match status {
        Status::Active => badge("ok", "●", ACTIVE),
        Status::Suspended => badge("error", "■", SUSPENDED),
    }
}

/// Failed attempts keep the member from signing in.
pub(in crate::console) fn locked() -> Badge {
    badge("warn", "▲", super::SIGN_IN_LOCKED)
}

pub(in crate::console) fn why_locked(lock: SignInLock) -> &'static str {
    match lock {
        SignInLock::Until(_) => {
            "Too many wrong passwords or codes. The wait may be shorter on a network where they signed in before. A password reset ends it."
        }
        SignInLock::Codes => {
            "Somebody who knows the password entered too many wrong codes in a row. Send a password reset: once there is a new password, codes work again."
        }
    }
}

pub(in crate::console) fn two_step(on: bool) -> Badge {
    if on { badge("ok", "✓", ON) } else { badge("", "○", OFF) }
}

pub(in crate::console) fn invite_state(state: InviteState) -> Badge {
    match state {
        InviteState::Pending => badge("", "…", PENDING),
        InviteState::Accepted => badge("ok", "✓", ACCEPTED),
        InviteState::Expired => badge("warn", "▲", EXPIRED),
        InviteState::Revoked => badge("error", "✕", REVOKED),
    }
}

/// The policies no longer have a role that is given.
pub(in crate::console) fn role_removed() -> Badge {
    badge("error", "✕", "Role removed")
}

pub(in crate::console) fn delivery(state: DeliveryState) -> Badge {
    match state {
        DeliveryState::None => badge("", "–", "By link"),
        DeliveryState::Queued => badge("", "…", QUEUED),
        DeliveryState::Sending => badge("", "…", SENDING),
        DeliveryState::HandedOver => badge("ok", "→", "Sent"),
        DeliveryState::Delivered => badge("ok", "✓", "Delivered"),
        DeliveryState::Deferred => badge("warn", "↻", "Retrying"),
        DeliveryState::Bounced => badge("error", "✕", "Bounced"),
        DeliveryState::Failed => badge("error", "✕", "Failed"),
    }
}

pub(in crate::console) fn members_found(count: usize) -> String {
    plural(count, "member found", "members found")
}

pub(in crate::console) fn invitations_found(count: usize) -> String {
    plural(count, "invitation found", "invitations found")
}

pub(in crate::console) fn roles_chosen(titles: &[String]) -> String {
    match titles {
        [] => ANY.to_owned(),
        [one] => one.clone(),
        several => plural(several.len(), "role", "roles"),
    }
}

pub(in crate::console) fn devices(count: usize) -> String {
    match count {
        0 => "No device".to_owned(),
        count => plural(count, "device", "devices"),
    }
}

pub(in crate::console) fn mail_stopped(cause: &str) -> String {
    format!(
        "Mail is stopped, and invitations wait. Fix the cause, then resume mail under Account settings. Cause: {}",
        super::sentence(cause)
    )
}

pub(in crate::console) fn undelivered(count: usize) -> String {
    let some = plural(count, "invitation", "invitations");
    format!(
        "{some} could not be delivered. See the reason under Invitations, then correct the address or copy the link."
    )
}

pub(in crate::console) fn without_two_step(count: usize) -> String {
    let some = plural(count, "member has", "members have");
    format!("{some} no two-step verification yet. They must set it up at their next sign-in.")
}

/// A search without results.
pub(in crate::console) fn none_match(search: &str) -> String {
    match search {
        "" => "Nobody matches these filters".to_owned(),
        search => format!("Nobody matches “{search}”"),
    }
}

pub(in crate::console) fn address_is(email: &str, mail: bool) -> String {
    if mail {
        format!("Only the member can change the address {email}, under My security.")
    } else {
        format!("Only your system administrator can change the address {email}.")
    }
}

type ConfirmationTexts = (String, Vec<String>, String);

/// Where somebody is signed in, if the viewer may see it.
fn now_out(name: &str, sessions: Option<usize>) -> String {
    match sessions {
        None => String::new(),
        Some(0) => format!("{name} has no active sessions. "),
        Some(sessions) => format!("{name} will be signed out on {}. ", devices(sessions)),
    }
}

pub(in crate::console) fn ask_reset_password(
    name: &str,
    email: &str,
    mail: bool,
) -> ConfirmationTexts {
    let (title, link, submit) = if mail {
        (
            format!("Send {name} a password reset?"),
            format!("A link to choose a new password is sent to {email}."),
            "Send the link",
        )
    } else {
        (
            format!("Create a password reset link for {name}?"),
            format!("No mail is sent here. You get a link to pass on to {name}."),
            "Create the link",
        )
    };
    let line = format!("{link} Until it is used, the current password works.");
    (title, vec![line], submit.to_owned())
}

pub(in crate::console) fn ask_reset_two_step(name: &str, mail: bool) -> ConfirmationTexts {
    let lines = vec![
        "The authenticator app, recovery codes and passkeys stop working, and every session ends. First make sure who is asking: call back, or ask in person.".to_owned(),
        if mail { "The member is told by mail.".to_owned() } else { format!("No mail is sent here: tell {name} yourself.") },
    ];
    (format!("Reset {name}'s two-step verification?"), lines, "Reset".to_owned())
}

pub(in crate::console) fn ask_end_sessions(
    name: &str,
    sessions: Option<usize>,
) -> ConfirmationTexts {
    let line = format!("{}They can sign in again.", now_out(name, sessions));
    (format!("End {name}'s sessions?"), vec![line], "End sessions".to_owned())
}

pub(in crate::console) fn ask_suspend(name: &str, sessions: Option<usize>) -> ConfirmationTexts {
    let lines = vec![
        format!("{}They cannot sign in until you restore them.", now_out(name, sessions)),
        OTHER_SERVICES.to_owned(),
        format!("Their name, role and history are kept. {TOKENS_STAY_REVOKED}"),
    ];
    (format!("Suspend {name}?"), lines, format!("Suspend {name}"))
}

pub(in crate::console) fn ask_restore(name: &str) -> ConfirmationTexts {
    let line = format!("{name} can sign in again and do what the role allows.");
    (format!("Restore {name}?"), vec![line], format!("Restore {name}"))
}

pub(in crate::console) fn ask_remove(name: &str, sessions: Option<usize>) -> ConfirmationTexts {
    let lines = vec![
        format!("{}They lose all access.", now_out(name, sessions)),
        "Pending invitations that they sent, and their API tokens, are revoked. The audit log keeps their name.".to_owned(),
        "This cannot be undone. To bring them back, invite them again.".to_owned(),
    ];
    (format!("Remove {name}?"), lines, format!("Remove {name}"))
}

pub(in crate::console) fn two_step_was_reset(name: &str, sessions: u64) -> String {
    match sessions {
        0 => format!("{name}'s two-step verification was reset."),
        sessions => format!(
            "{name}'s two-step verification was reset, and {} ended.",
            plural(sessions, "session", "sessions")
        ),
    }
}

pub(in crate::console) fn signed_out_of(name: &str, sessions: u64) -> String {
    match sessions {
        0 => format!("{name} was not signed in on any device."),
        sessions => {
            format!("{name} was signed out on {}.", plural(sessions, "device", "devices"))
        }
    }
}

pub(in crate::console) fn was_removed(name: &str, sessions: u64, invites: u64) -> String {
    let signed_out = match sessions {
        0 => String::new(),
        sessions => format!(" and signed out on {}", plural(sessions, "device", "devices")),
    };
    let revoked = match invites {
        0 => String::new(),
        count => format!(" {} revoked.", plural(count, "invitation was", "invitations were")),
    };
    format!("{name} was removed{signed_out}.{revoked}")
}

pub(in crate::console) fn ask_roles(count: usize) -> (String, String) {
    let some = plural(count, "member", "members");
    (format!("Change the role of {some}"), "The new role is effective immediately.".to_owned())
}

pub(in crate::console) fn ask_suspend_several(count: usize) -> (String, String) {
    let some = plural(count, "member", "members");
    (
        format!("Suspend {some}"),
        format!(
            "They are signed out everywhere and cannot sign in until you restore them. {TOKENS_STAY_REVOKED} {OTHER_SERVICES}"
        ),
    )
}

pub(in crate::console) fn ask_remove_several(count: usize) -> (String, String) {
    let some = plural(count, "member", "members");
    (format!("Remove {some}"), "They are signed out everywhere and lose all access. Pending invitations that they sent, and their API tokens, are revoked. This cannot be undone.".to_owned())
}

pub(in crate::console) fn link_for(email: &str, mail: bool) -> String {
    if mail {
        return format!("This link opens the invitation for {email}.");
    }
    format!("No mail is sent here. Give this link to {email}: it opens the invitation.")
}

pub(in crate::console) fn has_access(name: &str, role: &str, status: Status) -> String {
    match status {
        Status::Active => format!("`{name}` already has access as {role}: change the role instead"),
        Status::Suspended => format!("`{name}` is suspended: restore this member instead"),
    }
}

pub(in crate::console) fn roles_are(roles: &[&str]) -> String {
    format!("Roles that you can give: {}.", roles.join(", "))
}

/// The button that sends the checked invitations.
pub(in crate::console) fn send_good(count: usize) -> String {
    format!("Invite {}", plural(count, "person", "people"))
}

pub(in crate::console) fn so_many_lines(most: usize, given: usize) -> String {
    match given {
        0 => "enter at least one person".to_owned(),
        given => format!("you entered {given} people: enter at most {most}, then the others"),
    }
}

pub(in crate::console) fn ask_resend(
    name: &str,
    email: &str,
    mail: bool,
) -> (String, String, String) {
    let (title, line, submit) = if mail {
        (
            format!("Resend invitation to {name}?"),
            format!("A new link is sent to {email}, and the previous link stops working."),
            RESEND,
        )
    } else {
        (
            format!("Create a new invitation link for {name}?"),
            "No mail is sent here. You get a new link to pass on, and the previous link stops working.".to_owned(),
            "Create the link",
        )
    };
    (title, line, submit.to_owned())
}

/// `renewed`: showing the link makes a new one.
pub(in crate::console) fn ask_link(name: &str, renewed: bool) -> (String, String, String) {
    let line =
        "This is recorded in the audit log. Anybody who has the link can join as this person.";
    let line = if renewed {
        format!("A new link is made, and the previous link stops working. {line}")
    } else {
        line.to_owned()
    };
    (format!("Show {name}'s invitation link?"), line, "Show link".to_owned())
}

pub(in crate::console) fn ask_revoke(name: &str) -> (String, String, String) {
    let line = "The link stops working. You can invite the same address again.".to_owned();
    (format!("Revoke {name}'s invitation?"), line, "Revoke invitation".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_not_see_the_sessions_is_told_nothing_about_them() {
        let line = |sessions| ask_remove("Bo Lee", sessions).1.swap_remove(0);
        assert_eq!(line(None), "They lose all access.");
        assert_eq!(line(Some(0)), "Bo Lee has no active sessions. They lose all access.");
        assert_eq!(line(Some(2)), "Bo Lee will be signed out on 2 devices. They lose all access.");
    }
}
