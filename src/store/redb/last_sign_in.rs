//! The last sign-in of each member.
//!
//! Written when a session begins, and deleted with the member.

use super::change_workspace::Workspace;
use super::row_reads::TableRead;
use super::tables::SIGNED_IN;
use super::{Store, StoreError};
use crate::domain::{Failure, Member, Session, Timestamp};
use crate::store::requests_and_views::personal_data::MemberWithSignIn;

impl Store {
    /// The last sign-ins of members, in the given order.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn seen(&self, members: Vec<Member>) -> Result<Vec<MemberWithSignIn>, Failure> {
        self.read(move |tx| {
            let table = tx.open_table(SIGNED_IN)?;
            let seen = |member: Member| {
                let found = table.get(member.id.as_str())?;
                let signed_in = found.map(|found| Timestamp(found.value()));
                Ok(MemberWithSignIn { member, signed_in })
            };
            members.into_iter().map(seen).collect()
        })
        .await
    }
}

/// Records the begin of a session, unless a later one is known.
pub(super) fn record_sign_indule_expiry(
    tx: &Workspace,
    session: &Session,
) -> Result<(), StoreError> {
    let mut table = tx.open_table(SIGNED_IN)?;
    let before = table.get(session.member.as_str())?.map_or(i64::MIN, |found| found.value());
    table.insert(session.member.as_str(), session.created.0.max(before))?;
    Ok(())
}
