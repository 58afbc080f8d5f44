//! The words of the audit log: what a field of an entry is called, how its value is said, and which
//! link it was that somebody created.

use super::{ADDRESS, DEVICE, ENFORCE, EXPIRES, field, status, with_moments, yes_no};
use crate::domain::{Status, plural};

/// Fields that only programs read: they stand in the export and the API.
const PROGRAMS: [&str; 9] = [
    "file_sha256",
    "id",
    "letter",
    "member",
    "purpose",
    "queued_again",
    "revision",
    "session",
    "token",
];

/// What a field of an entry is called; `None` for one that only programs read.
pub(in crate::console) fn log_field(name: &str) -> Option<String> {
    let words = match name {
        name if PROGRAMS.contains(&name) => return None,
        "address" => ADDRESS,
        "agent" => DEVICE,
        "cause" => "Reason",
        "detail" => "Result",
        "email_change_confirmed" => "Confirmed from",
        "email" => "Email address",
        "expires" => EXPIRES,
        "factor" => "Second step",
        "failures" => "Failed attempts",
        "failures_before" => "Failed attempts before",
        "invite_lifetime" => "Invitations expire after",
        "invites" => "Invitations",
        "kind" => "Mail",
        "letters" => "Mails",
        "sessions_ended" => "Devices signed out",
        "taken" => "Backup taken",
        "two_step_enforced" => ENFORCE,
        "unused" => "Recovery codes left",
        other => return Some(field(other)),
    };
    Some(words.to_owned())
}

/// A value of a field of an entry, but for roles and devices, which are not known here.
pub(in crate::console) fn log_value(name: &str, text: &str) -> String {
    match (name, text) {
        ("kind", kind) => mail(kind).to_owned(),
        ("invite_lifetime", text) => lifetime(text).unwrap_or_else(|| text.to_owned()),
        ("two_step_enforced", "true") => yes_no(true).to_owned(),
        ("two_step_enforced", "false") => yes_no(false).to_owned(),
        ("status", "active") => status(Status::Active).word.to_owned(),
        ("status", "suspended") => status(Status::Suspended).word.to_owned(),
        // File paths concern the system administrator only.
        ("detail", text) if text.starts_with("written to `") => "written to a file".to_owned(),
        (_, text) => with_moments(&text.replace('`', "")),
    }
}

fn mail(kind: &str) -> &str {
    match kind {
        "invite" => "Invitation",
        "invite_wanted" => "Request for a new invitation",
        "password_reset" => "Password reset link",
        "password_changed" => "Notice of a new password",
        "email_change" => "Link to confirm a new address",
        "email_changed" => "Notice of a new address",
        "two_step" => "Notice about two-step verification",
        other => other,
    }
}

/// A time that the log writes in seconds.
fn lifetime(text: &str) -> Option<String> {
    let seconds: u64 = text.strip_suffix(" s")?.parse().ok()?;
    let hours = seconds.is_multiple_of(3_600).then_some(seconds / 3_600)?;
    Some(if hours.is_multiple_of(24) {
        plural(hours / 24, "day", "days")
    } else {
        plural(hours, "hour", "hours")
    })
}

/// What was created, in the place of the sentence that leaves it open; `None` for what is not known
/// here.
pub(in crate::console) fn created(purpose: &str) -> Option<&'static str> {
    match purpose {
        "api_token" => Some("{who} created an API token for {whom}"),
        "password_reset" => Some("{who} created a password reset link for {whom}"),
        "email_change" => Some("{who} created links to confirm a new address of {whom}"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_is_written_as_programs_read_it() {
        for (name, text, words) in [
            ("kind", "invite", "Invitation"),
            ("kind", "password_reset", "Password reset link"),
            ("invite_lifetime", "259200 s", "3 days"),
            ("invite_lifetime", "3600 s", "1 hour"),
            ("two_step_enforced", "true", "Yes"),
            ("status", "suspended", "Suspended"),
            ("detail", "written to `/var/lib/outbox/1.eml`", "written to a file"),
            ("first_name", "Ann", "Ann"),
        ] {
            assert_eq!(log_value(name, text), words);
        }
        assert_eq!(log_field("file_sha256"), None);
        assert_eq!(log_field("invite_lifetime").as_deref(), Some("Invitations expire after"));
        assert_eq!(log_field("first_name").as_deref(), Some("First name"));
    }
}
