//! Reads all data kept about one member.
//!
//! Reads one account, once, from the end to the beginning; changes nothing.

use redb::ReadTransaction;

use super::audit::{ChainReader, entry, joined_by};
use super::tables::{INVITES_BY_ACCOUNT, SIGNED_IN};
use super::{Store, StoreError, invite_rows, member_rows};
use crate::domain::{
    AccountSlug, Actor, Failure, Invite, InviteOutcome, Member, MemberId, Timestamp,
};
use crate::store::requests_and_views::personal_data::{MemberData, MemberWithSignIn};

impl Store {
    /// All data kept about one member, with at most `limit` entries and `limit` invites; `None` if
    /// the account has no such member.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn member_data(
        &self,
        account: &AccountSlug,
        id: &MemberId,
        limit: usize,
    ) -> Result<Option<MemberData>, Failure> {
        let (account, id) = (account.clone(), id.clone());
        self.read(move |tx| {
            let member = member_rows::read(tx, id.as_str())?;
            let member = member.filter(|member| member.account == account);
            member.map(|member| of(tx, member, limit)).transpose()
        })
        .await
    }
}

fn of(tx: &ReadTransaction, member: Member, limit: usize) -> Result<MemberData, StoreError> {
    let signed_in = tx.open_table(SIGNED_IN)?.get(member.id.as_str())?;
    let signed_in = signed_in.map(|found| Timestamp(found.value()));
    let mut data = MemberData {
        seen: MemberWithSignIn { member, signed_in },
        came_by: None,
        invites_sent: Vec::new(),
        entries: Vec::new(),
        cut: false,
    };
    take_invites(tx, &mut data, limit)?;
    take_entries(tx, &mut data, limit)?;
    Ok(data)
}

fn take_invites(
    tx: &ReadTransaction,
    data: &mut MemberData,
    limit: usize,
) -> Result<(), StoreError> {
    let member = data.seen.member.clone();
    let index = tx.open_table(INVITES_BY_ACCOUNT)?;
    let account = member.account.as_str();
    // No id sorts after this one.
    for row in index.range((account, i64::MIN, "")..(account, i64::MAX, "~"))?.rev() {
        let (key, _) = row?;
        let (_, _, id) = key.value();
        let Some(invite) = invite_rows::read(tx, id)?.map(|record| record.invite) else { continue };
        if data.came_by.is_none() && is_of(&invite, &member.id) {
            data.came_by = Some(invite.clone());
        }
        if invite.inviter.member() == Some(&member.id) {
            if data.invites_sent.len() < limit {
                data.invites_sent.push(invite)
            } else {
                data.cut = true
            }
        }
    }
    Ok(())
}

/// Whether somebody became this member by an invite.
fn is_of(invite: &Invite, id: &MemberId) -> bool {
    matches!(&invite.fate, InviteOutcome::Accepted { member, .. } if member == id)
}

fn take_entries(
    tx: &ReadTransaction,
    data: &mut MemberData,
    limit: usize,
) -> Result<(), StoreError> {
    let member = &data.seen.member;
    let id = member.id.as_str();
    let by = Actor::Member(member.id.clone()).label();
    let reader = ChainReader::open(tx, member.account.as_str())?;
    let mut came_by: Option<String> = None;
    for row in reader.headers(0)?.rev() {
        let (header, hash) = row?;
        // The entry that created the member names the invite, and comes after those that led to it.
        if header.target == id {
            came_by = joined_by(&header).map(str::to_owned).or(came_by);
        }
        let about = header.target == id || came_by.as_ref() == Some(&header.target);
        if !about && header.actor != by {
            continue;
        }
        if data.entries.len() == limit {
            data.cut = true;
            break;
        }
        let personal = if about { reader.personal(header.sequence)? } else { None };
        let detail = personal.map(|personal| personal.detail);
        data.entries.push(entry(Some(&member.account), header, hash, detail));
    }
    data.entries.reverse();
    Ok(())
}
