//! Rows of passwords: set and check, with the audit entry and the letter about a new one.
//!
//! Contains no password in clear, only PHC strings.

use super::StoreError;
use super::letter_rows::{self, MailToQueue};
use super::row_reads::Rows;
use super::running_change::ChangeTransaction;
use super::tables::CREDENTIALS;
use crate::domain::{AuditEvent, FieldChange, MailKind, Member, MemberId};
use crate::store::preconditions::rights_changed;
use crate::store::records::sessions::{decode_credential, encode_credential};
use crate::store::requests_and_views::mail_queue::NewMail;
use crate::store::requests_and_views::sessions::Credential;
use crate::store::requests_and_views::two_step::CheckedPassword;

/// Sets a member's password.
pub(super) fn set(
    change: &ChangeTransaction<'_>,
    member: &MemberId,
    password: String,
) -> Result<(), StoreError> {
    put(change, member, &Credential { password, changed: change.now })
}

pub(super) fn put(
    change: &ChangeTransaction<'_>,
    member: &MemberId,
    credential: &Credential,
) -> Result<(), StoreError> {
    let mut credentials = change.tx.open_table(CREDENTIALS)?;
    credentials.insert(member.as_str(), encode_credential(credential).as_slice())?;
    Ok(())
}

pub(super) fn read(rows: &impl Rows, member: &MemberId) -> Result<Option<Credential>, StoreError> {
    rows.record(CREDENTIALS, member.as_str(), decode_credential)
}

/// Notifies a member that the password was changed.
pub(super) fn tell_changed(
    change: &mut ChangeTransaction<'_>,
    member: &Member,
    new: NewMail,
) -> Result<(), StoreError> {
    let kind = MailKind::PasswordChanged { member: member.id.clone() };
    letter_rows::queue(change, MailToQueue::to_member(member, kind, new)).map(|_| ())
}

/// An entry about a new password.
pub(super) fn audit_changed(
    change: &ChangeTransaction<'_>,
    member: &Member,
    sessions_ended: u64,
) -> Result<(), StoreError> {
    let fields = vec![FieldChange::added("sessions_ended", sessions_ended.to_string())];
    let (chain, target) = (member.account.as_str(), member.id.as_str());
    change.audit(chain, AuditEvent::AuthnPasswordChange, target, fields)
}

/// Refuses whose password is another one than what was checked.
pub(super) fn check(
    change: &ChangeTransaction<'_>,
    member: &MemberId,
    checked: CheckedPassword,
) -> Result<(), StoreError> {
    let found = read(change.tx, member)?;
    let same = found.is_some_and(|found| CheckedPassword::of(&found.password) == checked);
    if same { Ok(()) } else { Err(rights_changed().into()) }
}
