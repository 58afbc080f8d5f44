//! Lists of members: a page in the order of addresses, for which there is
//! an index, and one in whichever order with counts, for which every member is looked at once.
//!
//! Reads in one transaction; changes nothing.

use std::collections::BTreeMap;

use redb::{ReadOnlyTable, ReadTransaction};

use super::address_index::{self, AddressOwner};
use super::import_rows::{Seen, UnmadeImports};
use super::tables::{ADDRESSES, MEMBERS, SIGNED_IN};
use super::{Store, StoreError};
use crate::domain::case_folding::TextSearch;
use crate::domain::{AccountSlug, Failure, Member, Status, Timestamp};
use crate::store::member_pages::{
    MemberOrder, MemberTablePage, MemberTableQuery, PageEnd, SortPosition,
};
use crate::store::records::MemberRecord;
use crate::store::requests_and_views::personal_data::MemberWithSignIn;
use crate::store::{MemberFilter, Page};

impl Store {
    /// One page of an account's members, in the order of addresses, after the cursor `after`.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn members(
        &self,
        account: &AccountSlug,
        filter: &MemberFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Member>, Failure> {
        let (filter, account) = (filter.clone(), account.clone());
        let after = after.map(str::to_owned);
        self.read(move |tx| {
            page(tx, &account, after.as_deref(), &MemberMatcher::new(&filter), limit)
        })
        .await
    }

    /// One page of an account's members, in any order, with counts. Reads every member of the
    /// account; [`Self::members`], in the order of addresses and without counts, does not.
    ///
    /// # Errors
    /// `Invalid` for a cursor that is none of this order, and for two; `Busy`, when the disk fails.
    pub async fn roster(
        &self,
        account: &AccountSlug,
        query: &MemberTableQuery,
    ) -> Result<MemberTablePage, Failure> {
        let (query, account) = (query.clone(), account.clone());
        let end = query.end()?;
        self.read(move |tx| {
            let mut walk = MemberWalk::new(tx, &query, end)?;
            each(tx, &account, None, |member| walk.take(member).map(|()| true))?;
            walk.finish()
        })
        .await
    }
}

/// Calls `take` with the members of an account in the order of addresses, after a canonical
/// address, until it returns false.
fn each(
    tx: &ReadTransaction,
    account: &AccountSlug,
    after: Option<&str>,
    mut take: impl FnMut(Member) -> Result<bool, StoreError>,
) -> Result<(), StoreError> {
    let (addresses, members) = (tx.open_table(ADDRESSES)?, tx.open_table(MEMBERS)?);
    let unmade = UnmadeImports::read(tx)?;
    let prefix = address_index::key(account, "");
    let after = after.map(|after| address_index::key(account, after));
    for row in addresses.range(after.as_deref().unwrap_or(&prefix)..)? {
        let (key, bytes) = row?;
        if !key.value().starts_with(&prefix) {
            break;
        }
        if after.as_deref() == Some(key.value()) {
            continue;
        }
        let Some(AddressOwner::Member(id)) = AddressOwner::decode(bytes.value()) else { continue };
        let Some(found) = members.get(id)? else { continue };
        let record = MemberRecord::decode(id, found.value())?;
        if matches!(unmade.seen(&record), Seen::ByAll) && !take(record.member)? {
            break;
        }
    }
    Ok(())
}

/// One page in the order of addresses; the cursor is the last address on it.
fn page(
    tx: &ReadTransaction,
    account: &AccountSlug,
    after: Option<&str>,
    wanted: &MemberMatcher<'_>,
    limit: usize,
) -> Result<Page<Member>, StoreError> {
    let mut page = Page { items: Vec::new(), next: None };
    each(tx, account, after, |member| {
        if !wanted.is(&member) {
            return Ok(true);
        }
        if page.items.len() == limit {
            page.next = page.items.last().map(|last: &Member| last.email.key().to_owned());
            return Ok(false);
        }
        page.items.push(member);
        Ok(true)
    })?;
    Ok(page)
}

/// A prepared filter.
struct MemberMatcher<'f> {
    filter: &'f MemberFilter,
    search: Option<TextSearch>,
}

impl<'f> MemberMatcher<'f> {
    fn new(filter: &'f MemberFilter) -> Self {
        Self { filter, search: filter.search.as_deref().map(TextSearch::new) }
    }

    fn is(&self, member: &Member) -> bool {
        let MemberFilter { roles, status, two_step, search: _ } = self.filter;
        (roles.is_empty() || roles.contains(&member.role))
            && status.is_none_or(|status| status == member.status)
            && two_step.is_none_or(|two_step| two_step == member.two_step)
            && self
                .search
                .as_ref()
                .is_none_or(|search| search.finds(&member.email, &member.full_name()))
    }
}

/// One scan of all members of an account, which keeps a page and counts the rest.
struct MemberWalk<'q> {
    query: &'q MemberTableQuery,
    wanted: MemberMatcher<'q>,
    end: Option<PageEnd>,
    signed_in: ReadOnlyTable<&'static str, i64>,
    /// Those nearest to the given end, and one more than a page has.
    kept: BTreeMap<SortPosition, Member>,
    /// How many are on the page's side of that end.
    candidates: usize,
    roster: MemberTablePage,
}

impl<'q> MemberWalk<'q> {
    fn new(
        tx: &ReadTransaction,
        query: &'q MemberTableQuery,
        end: Option<PageEnd>,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            query,
            wanted: MemberMatcher::new(&query.filter),
            end,
            signed_in: tx.open_table(SIGNED_IN)?,
            kept: BTreeMap::new(),
            candidates: 0,
            roster: MemberTablePage::default(),
        })
    }

    fn take(&mut self, member: Member) -> Result<(), StoreError> {
        self.count(&member);
        if !self.wanted.is(&member) {
            return Ok(());
        }
        self.roster.matching += 1;
        let signed_in = match self.query.order {
            MemberOrder::SignedIn => self.signed_in(&member)?,
            _ => None,
        };
        let place = SortPosition::of(self.query.order, &member, signed_in);
        if self.is_candidate(&place) {
            self.candidates += 1;
            self.kept.insert(place, member);
            if self.kept.len() > self.query.limit.saturating_add(1) {
                self.drop_farthest();
            }
        }
        Ok(())
    }

    fn count(&mut self, member: &Member) {
        self.roster.total += 1;
        *self.roster.held.entry(member.role.clone()).or_default() += 1;
        if member.status == Status::Active && !member.two_step {
            self.roster.without_two_step += 1;
        }
    }

    fn signed_in(&self, member: &Member) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.signed_in.get(member.id.as_str())?.map(|found| Timestamp(found.value())))
    }

    fn is_candidate(&self, place: &SortPosition) -> bool {
        match (&self.end, self.query.descending) {
            (None, _) => true,
            (Some(PageEnd::After(end)), false) | (Some(PageEnd::Before(end)), true) => place > end,
            (Some(PageEnd::After(end)), true) | (Some(PageEnd::Before(end)), false) => place < end,
        }
    }

    fn ends_before(&self) -> bool {
        matches!(self.end, Some(PageEnd::Before(_)))
    }

    fn drop_farthest(&mut self) {
        if self.query.descending == self.ends_before() {
            self.kept.pop_last();
        } else {
            self.kept.pop_first();
        }
    }

    fn finish(mut self) -> Result<MemberTablePage, StoreError> {
        let more = self.kept.len() > self.query.limit;
        if more {
            self.drop_farthest();
        }
        let kept = std::mem::take(&mut self.kept);
        let shown = kept.len();
        // The others are on the far side of the end.
        let beyond = self.roster.matching - self.candidates;
        let (before, is_last) = if self.ends_before() {
            (self.candidates - shown, beyond == 0)
        } else {
            (beyond, !more)
        };
        let ends = if self.query.descending {
            (kept.last_key_value(), kept.first_key_value())
        } else {
            (kept.first_key_value(), kept.last_key_value())
        };
        if let (Some((first, _)), Some((last, _))) = ends {
            self.roster.first = before + 1;
            self.roster.previous = (before > 0).then(|| self.query.cursor(first));
            self.roster.next = (!is_last).then(|| self.query.cursor(last));
        }
        let seen =
            |member: Member| Ok(MemberWithSignIn { signed_in: self.signed_in(&member)?, member });
        let mut items =
            kept.into_values().map(seen).collect::<Result<Vec<MemberWithSignIn>, StoreError>>()?;
        if self.query.descending {
            items.reverse();
        }
        Ok(MemberTablePage { items, ..self.roster })
    }
}
