//! Lists of invites: pages, newest first, and counts.
//!
//! Reads in one transaction; changes nothing.

use redb::ReadTransaction;

use super::address_index::{self, AddressOwner};
use super::tables::{ADDRESSES, INVITES_BY_ACCOUNT};
use super::{Store, StoreError, invite_rows, letter_rows};
use crate::domain::case_folding::TextSearch;
use crate::domain::{
    AccountSlug, DeliveryState, Failure, Invite, InviteId, InviteState, Timestamp,
};
use crate::store::Page;
use crate::store::records::invites::InviteRecord;
use crate::store::requests_and_views::invites::{InviteFilter, InviteView, OpenInvites};

impl Store {
    /// One page of an account's invites, newest first, after the cursor `after`.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn invites(
        &self,
        account: &AccountSlug,
        filter: &InviteFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<InviteView>, Failure> {
        let after = after.map(InviteCursor::parse).transpose()?;
        let (account, filter, now) = (account.clone(), filter.clone(), self.0.clock.now());
        self.read(move |tx| {
            let wanted = InviteMatcher::new(&filter, now);
            page(tx, &account, after.as_ref(), |invite| wanted.is(invite), limit)
        })
        .await
    }

    /// How many invites of an account match a filter.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn invites_count(
        &self,
        account: &AccountSlug,
        filter: &InviteFilter,
    ) -> Result<usize, Failure> {
        let (account, filter, now) = (account.clone(), filter.clone(), self.0.clock.now());
        self.read(move |tx| count(tx, &account, &InviteMatcher::new(&filter, now))).await
    }

    /// Counts of the open invites of an account.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn invites_open(&self, account: &AccountSlug) -> Result<OpenInvites, Failure> {
        let (account, now) = (account.clone(), self.0.clock.now());
        self.read(move |tx| open(tx, &account, now)).await
    }
}

/// The cursor of a page: after this invite.
struct InviteCursor {
    created: i64,
    id: InviteId,
}

impl InviteCursor {
    fn parse(text: &str) -> Result<Self, Failure> {
        let cut = text.split_once('.');
        cut.and_then(|(created, id)| {
            Some(Self { created: created.parse().ok()?, id: InviteId::parse(id)? })
        })
        .ok_or_else(|| {
            Failure::invalid(
                "after",
                "`after` is not a valid cursor: use the `next` of the previous page",
            )
        })
    }

    fn behind(view: &InviteView) -> String {
        format!("{}.{}", view.invite.created.0, view.invite.id)
    }
}

/// A filter, ready to be asked.
struct InviteMatcher<'f> {
    filter: &'f InviteFilter,
    search: Option<TextSearch>,
    now: Timestamp,
}

impl<'f> InviteMatcher<'f> {
    fn new(filter: &'f InviteFilter, now: Timestamp) -> Self {
        Self { filter, search: filter.search.as_deref().map(TextSearch::new), now }
    }

    fn is(&self, invite: &Invite) -> bool {
        self.filter.role.as_ref().is_none_or(|role| *role == invite.role)
            && (self.filter.states.is_empty()
                || self.filter.states.contains(&invite.state(self.now)))
            && self
                .search
                .as_ref()
                .is_none_or(|search| search.finds(&invite.email, &invite.full_name()))
    }
}

/// One page, newest first.
fn page(
    tx: &ReadTransaction,
    account: &AccountSlug,
    after: Option<&InviteCursor>,
    wanted: impl Fn(&Invite) -> bool,
    limit: usize,
) -> Result<Page<InviteView>, StoreError> {
    let index = tx.open_table(INVITES_BY_ACCOUNT)?;
    let account = account.as_str();
    // No id sorts behind this one.
    let end = after
        .as_ref()
        .map_or((account, i64::MAX, "~"), |cursor| (account, cursor.created, cursor.id.as_str()));
    let mut page = Page { items: Vec::new(), next: None };
    for row in index.range((account, i64::MIN, "")..end)?.rev() {
        let (key, _) = row?;
        let (_, _, id) = key.value();
        let Some(invite) = invite_rows::read(tx, id)?.map(|record| record.invite) else { continue };
        if !wanted(&invite) {
            continue;
        }
        if page.items.len() == limit {
            page.next = page.items.last().map(InviteCursor::behind);
            break;
        }
        page.items.push(invite_rows::with_delivery(tx, invite)?);
    }
    Ok(page)
}

/// Counts what is wanted on all pages.
fn count(
    tx: &ReadTransaction,
    account: &AccountSlug,
    wanted: &InviteMatcher<'_>,
) -> Result<usize, StoreError> {
    let index = tx.open_table(INVITES_BY_ACCOUNT)?;
    let account = account.as_str();
    let mut count = 0;
    for row in index.range((account, i64::MIN, "")..(account, i64::MAX, "~"))? {
        let (key, _) = row?;
        let found = invite_rows::read(tx, key.value().2)?;
        count += usize::from(found.is_some_and(|record| wanted.is(&record.invite)));
    }
    Ok(count)
}

/// Counts the open invites: only these reserve their address.
fn open(
    tx: &ReadTransaction,
    account: &AccountSlug,
    now: Timestamp,
) -> Result<OpenInvites, StoreError> {
    let addresses = tx.open_table(ADDRESSES)?;
    let prefix = address_index::key(account, "");
    let mut open = OpenInvites::default();
    for row in addresses.range(prefix.as_str()..)? {
        let (key, bytes) = row?;
        if !key.value().starts_with(&prefix) {
            break;
        }
        let Some(AddressOwner::Invite(id)) = AddressOwner::decode(bytes.value()) else { continue };
        let Some(InviteRecord { invite, .. }) = invite_rows::read(tx, id)? else { continue };
        match invite.state(now) {
            InviteState::Pending => open.pending += 1,
            InviteState::Expired => {
                open.expired += 1;
                continue;
            }
            _ => continue,
        }
        let letter =
            invite.letter.map(|letter| letter_rows::read(tx, letter)).transpose()?.flatten();
        let state = letter.map(|record| record.letter.delivery.state).unwrap_or_default();
        if matches!(state, DeliveryState::Bounced | DeliveryState::Failed) {
            open.undelivered += 1;
        }
    }
    Ok(open)
}
