//! Rows of passwords: set and check, with the audit entry and the letter about a new one.
//!
//! Contains no password in clear, only PHC strings.

use super::Fault;
use super::audit_diff::added;
use super::letter_rows::{self, Outgoing};
use super::rows::Rows;
use super::tables::CREDENTIALS;
use super::transition::Transition;
use crate::domain::{AuditDetail, AuditEvent, LetterKind, Member, MemberId};
use crate::store::letters::NewLetter;
use crate::store::preconditions::moved_on;
use crate::store::record::sessions::{decode_credential, encode_credential};
use crate::store::sessions::Credential;
use crate::store::two_step::Checked;

/// Sets a member's password.
pub(super) fn set(
    change: &Transition<'_>,
    member: &MemberId,
    password: String,
) -> Result<(), Fault> {
    put(change, member, &Credential { password, changed: change.now })
}

pub(super) fn put(
    change: &Transition<'_>,
    member: &MemberId,
    credential: &Credential,
) -> Result<(), Fault> {
    let mut credentials = change.tx.open_table(CREDENTIALS)?;
    credentials.insert(member.as_str(), encode_credential(credential).as_slice())?;
    Ok(())
}

pub(super) fn read(rows: &impl Rows, member: &MemberId) -> Result<Option<Credential>, Fault> {
    rows.record(CREDENTIALS, member.as_str(), decode_credential)
}

/// Notifies a member that the password was changed.
pub(super) fn tell_changed(
    change: &mut Transition<'_>,
    member: &Member,
    new: NewLetter,
) -> Result<(), Fault> {
    let kind = LetterKind::PasswordChanged { member: member.id.clone() };
    letter_rows::queue(change, Outgoing::to_member(member, kind, new)).map(|_| ())
}

/// An entry about a new password.
pub(super) fn audit_changed(
    change: &Transition<'_>,
    member: &Member,
    sessions_ended: u64,
) -> Result<(), Fault> {
    let fields = vec![added("sessions_ended", sessions_ended.to_string())];
    let (chain, target) = (member.account.as_str(), member.id.as_str());
    change.audit(chain, AuditEvent::AuthnPasswordChange, target, AuditDetail { fields })
}

/// Refuses whose password is another one than what was checked.
pub(super) fn check(
    change: &Transition<'_>,
    member: &MemberId,
    checked: Checked,
) -> Result<(), Fault> {
    let found = read(change.tx, member)?;
    let same = found.is_some_and(|found| Checked::of(&found.password) == checked);
    if same { Ok(()) } else { Err(moved_on().into()) }
}
