//! The member table: one page in any order, with its counts.
//!
//! A cursor carries the sort position of its item, so that a page is correct even if that member is
//! gone.

use std::collections::BTreeMap;

use super::MemberFilter;
use super::requests_and_views::personal_data::MemberWithSignIn;
use crate::domain::case_folding::folded;
use crate::domain::{Failure, Member, MemberId, RoleId, Timestamp};

/// The sort order of members; ties by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum MemberOrder {
    /// Both names, ignoring case and accents.
    Name,
    /// The canonical address.
    #[default]
    Email,
    /// The role's id.
    Role,
    /// The last sign-in; never comes first.
    SignedIn,
    /// When the person became a member.
    Joined,
}

impl MemberOrder {
    /// Every order.
    pub const ALL: [Self; 5] = [Self::Name, Self::Email, Self::Role, Self::SignedIn, Self::Joined];

    /// The word in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Email => "email",
            Self::Role => "role",
            Self::SignedIn => "signed_in",
            Self::Joined => "joined",
        }
    }

    /// The order that a word names.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|order| order.as_str() == text)
    }
}

/// A page of an account's members.
#[derive(Clone, Debug, Default)]
pub struct MemberTableQuery {
    /// The filter.
    pub filter: MemberFilter,
    /// The order.
    pub order: MemberOrder,
    /// Reversed.
    pub descending: bool,
    /// The page after this cursor.
    pub after: Option<String>,
    /// The page before this cursor; not together with `after`.
    pub before: Option<String>,
    /// The maximum number of items.
    pub limit: usize,
}

/// One page of an account's members, with counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberTablePage {
    /// The page, in order.
    pub items: Vec<MemberWithSignIn>,
    /// How many members the account has.
    pub total: usize,
    /// How many of them match the filter.
    pub matching: usize,
    /// The position of the first item among those, from 1; 0 if the page is empty.
    pub first: usize,
    /// The cursor for the next page; `None` at the end.
    pub next: Option<String>,
    /// The cursor for the previous page; `None` at the beginning.
    pub previous: Option<String>,
    /// How many active members of the account have no second factor.
    pub without_two_step: usize,
    /// How many members of the account have each role, suspended ones included; no entry for none.
    pub held: BTreeMap<RoleId, usize>,
}

/// The position of a member in an order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SortPosition {
    key: SortKey,
    id: String,
}

/// The first sort key: always the same kind in one order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum SortKey {
    Text(String),
    Moment(Option<i64>),
}

impl SortPosition {
    /// The member's position, with the last sign-in at this time.
    pub(super) fn of(order: MemberOrder, member: &Member, signed_in: Option<Timestamp>) -> Self {
        let key = match order {
            MemberOrder::Name => SortKey::Text(folded(&member.full_name())),
            MemberOrder::Email => SortKey::Text(member.email.key().to_owned()),
            MemberOrder::Role => SortKey::Text(member.role.as_str().to_owned()),
            MemberOrder::SignedIn => SortKey::Moment(signed_in.map(|at| at.0)),
            MemberOrder::Joined => SortKey::Moment(Some(member.joined.0)),
        };
        Self { key, id: member.id.as_str().to_owned() }
    }

    fn parse(order: MemberOrder, id: &str, key: &str) -> Option<Self> {
        let key = match order {
            MemberOrder::Name | MemberOrder::Email | MemberOrder::Role => {
                SortKey::Text(key.to_owned())
            }
            MemberOrder::SignedIn if key.is_empty() => SortKey::Moment(None),
            MemberOrder::SignedIn | MemberOrder::Joined => SortKey::Moment(Some(key.parse().ok()?)),
        };
        Some(Self { key, id: MemberId::parse(id).ok()?.as_str().to_owned() })
    }
}

/// The given end of a page.
pub(super) enum PageEnd {
    After(SortPosition),
    Before(SortPosition),
}

impl MemberTableQuery {
    /// The end of the page at the cursor; `None` for the first page.
    pub(super) fn end(&self) -> Result<Option<PageEnd>, Failure> {
        match (&self.after, &self.before) {
            (None, None) => Ok(None),
            (Some(text), None) => Ok(Some(PageEnd::After(self.place("after", text)?))),
            (None, Some(text)) => Ok(Some(PageEnd::Before(self.place("before", text)?))),
            (Some(_), Some(_)) => Err(Failure::invalid(
                "before",
                "`after` and `before` exclude each other: leave one of them out",
            )),
        }
    }

    fn place(&self, field: &'static str, text: &str) -> Result<SortPosition, Failure> {
        // An id contains no space.
        let rest = text.strip_prefix(&self.sort_key()).and_then(|rest| rest.strip_prefix(' '));
        rest.and_then(|rest| rest.split_once(' '))
            .and_then(|(id, key)| SortPosition::parse(self.order, id, key))
            .ok_or_else(|| {
                Failure::invalid(
                    field,
                    format!("`{field}` is not a cursor of this sort order: use one from a page in the same order"),
                )
            })
    }

    /// The cursor of a position in this order.
    pub(super) fn cursor(&self, place: &SortPosition) -> String {
        let key = match &place.key {
            SortKey::Text(text) => text.clone(),
            SortKey::Moment(at) => at.map(|at| at.to_string()).unwrap_or_default(),
        };
        format!("{} {} {key}", self.sort_key(), place.id)
    }

    fn sort_key(&self) -> String {
        format!("{}{}", if self.descending { "-" } else { "" }, self.order.as_str())
    }
}
