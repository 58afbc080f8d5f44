//! The access review: who has access and seems not to need it, and whether the account's
//! administration depends on one person.
//!
//! Covers active members only, since nobody else can do anything. Reads the account once, page by
//! page; changes nothing.

use super::caller::Caller;
use super::permits::Permit;
use super::rights::Right;
use crate::app::App;
use crate::domain::{Failure, Status, Timestamp, limits, plural, worded};
use crate::store::MemberFilter;
use crate::store::requests_and_views::personal_data::MemberWithSignIn;

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

worded! {
    /// The kinds of findings, in the order of a report.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum FindingKind {
        /// Nobody administers the account.
        NoAdministrator = "no_administrator",
        /// Administers the account without a second factor.
        AdministratorWithoutSecondFactor = "administrator_without_second_factor",
        /// The only administrator of the account.
        OneAdministrator = "one_administrator",
        /// Signed in, but not for a quarter.
        NotForQuarter = "not_for_90_days",
        /// Signed in, but not for a month.
        NotForMonth = "not_for_30_days",
        /// Joined long ago, and never signed in.
        NeverSignedIn = "never_signed_in",
    }
}

impl FindingKind {
    /// Its severity.
    #[must_use]
    pub const fn severity(self) -> Severity {
        match self {
            Self::NeverSignedIn | Self::NotForMonth => Severity::Notice,
            _ => Severity::Warning,
        }
    }

    fn sentence(self, count: usize) -> String {
        let [months, quarter] = limits::REVIEW_DAYS;
        let members = plural(count, "member", "members");
        let did_not = if count == 1 { "has not" } else { "have not" };
        match self {
            Self::NeverSignedIn => format!(
                "{members} joined more than {months} days ago and {did_not} signed in since: remove those who need no access"
            ),
            Self::NotForMonth => format!(
                "{members} {did_not} signed in for {months} days: suspend or remove those who need no access"
            ),
            Self::NotForQuarter => format!(
                "{members} {did_not} signed in for {quarter} days: suspend or remove those who need no access"
            ),
            Self::AdministratorWithoutSecondFactor => format!(
                "{members} can administer the account without a second factor: have two-step verification switched on"
            ),
            Self::OneAdministrator => {
                "one active member alone can administer the account: make a second one an administrator, so that nobody is locked out"
                    .to_owned()
            }
            Self::NoAdministrator => {
                "nobody can administer the account: give an active member a role that administers (`kwic-team member edit --role`), or invite somebody with one; an invite that is pending counts once it is accepted"
                    .to_owned()
            }
        }
    }
}

worded! {
    /// The severity of a finding.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Severity {
        /// For information.
        Notice = "notice",
        /// Should be fixed.
        Warning = "warning",
    }
}

/// One thing that was found.
#[derive(Debug)]
pub struct Finding {
    /// The kind.
    pub kind: FindingKind,
    /// What it means, and what to do.
    pub sentence: String,
    /// The members, in the order of addresses; at most [`limits::REVIEW_NAMED_MAX`].
    pub members: Vec<MemberWithSignIn>,
    /// How many members.
    pub count: usize,
}

/// Reviews the caller's account; only problems are returned.
///
/// # Errors
/// `Denied` `not_allowed`; `Busy`.
pub async fn review(app: &App, caller: Caller) -> Result<Vec<Finding>, Failure> {
    let permit = Permit::authorize(app, caller, [Right::VIEW_TEAM]).await?;
    let mut counts = FindingCounts::new(app.clock.now());
    let administering = app.policies.load().administering().clone();
    // An account that nobody has joined waits for its first member. Where the policies let no role
    // administer whatever the attributes are, members may still administer by their attributes.
    let anybody = app.store.members(permit.account(), &MemberFilter::default(), None, 1).await?;
    counts.wants_administrator = !anybody.items.is_empty() && !administering.is_empty();
    let filter = MemberFilter { status: Some(Status::Active), ..MemberFilter::default() };
    let mut after = None;
    loop {
        let (after_last, limit) = (after.as_deref(), limits::PAGE_ITEMS_MAX);
        let page = app.store.members(permit.account(), &filter, after_last, limit).await?;
        for seen in app.store.seen(page.items).await? {
            let administers = administering.contains(&seen.member.role);
            counts.take(&seen, administers);
        }
        after = page.next;
        if after.is_none() {
            return Ok(counts.findings());
        }
    }
}

/// The members found so far, by kind.
struct FindingCounts {
    now: Timestamp,
    /// Whether the account should have an administrator.
    wants_administrator: bool,
    /// How many active members administer it.
    administrators: usize,
    found: [(FindingKind, Vec<MemberWithSignIn>, usize); FindingKind::ALL.len()],
}

impl FindingCounts {
    fn new(now: Timestamp) -> Self {
        let found = FindingKind::ALL.map(|kind| (kind, Vec::new(), 0));
        Self { now, wants_administrator: false, administrators: 0, found }
    }

    fn take(&mut self, seen: &MemberWithSignIn, administers: bool) {
        if let Some(kind) = self.idle(seen) {
            self.add(kind, seen);
        }
        if administers {
            if !seen.member.two_step {
                self.add(FindingKind::AdministratorWithoutSecondFactor, seen);
            }
            self.add(FindingKind::OneAdministrator, seen);
            self.administrators += 1;
        }
    }

    /// How long a member has been inactive.
    fn idle(&self, seen: &MemberWithSignIn) -> Option<FindingKind> {
        let [month, quarter] = limits::REVIEW_DAYS;
        let is_before = |at: Timestamp, days: i64| self.now.0.saturating_sub(at.0) >= days * DAY_MS;
        match seen.signed_in {
            None if is_before(seen.member.joined, month) => Some(FindingKind::NeverSignedIn),
            Some(at) if is_before(at, quarter) => Some(FindingKind::NotForQuarter),
            Some(at) if is_before(at, month) => Some(FindingKind::NotForMonth),
            _ => None,
        }
    }

    fn add(&mut self, wanted: FindingKind, seen: &MemberWithSignIn) {
        for (kind, members, count) in &mut self.found {
            if *kind == wanted {
                *count += 1;
                if members.len() < limits::REVIEW_NAMED_MAX {
                    members.push(seen.clone());
                }
            }
        }
    }

    fn findings(self) -> Vec<Finding> {
        let nobody = self.wants_administrator && self.administrators == 0;
        let is_one = |kind, count| match kind {
            FindingKind::OneAdministrator => count == 1,
            FindingKind::NoAdministrator => nobody,
            _ => count > 0,
        };
        let found = self.found.into_iter().filter(|(kind, _, count)| is_one(*kind, *count));
        found
            .map(|(kind, members, count)| Finding {
                kind,
                sentence: kind.sentence(count),
                members,
                count,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{AccountSlug, Email, Member, MemberId, Name, RoleId, Version};

    const NOW: Timestamp = Timestamp(1_764_000_000_000);

    fn ago(days: i64) -> Timestamp {
        Timestamp(NOW.0 - days * DAY_MS)
    }

    fn seen(joined: i64, signed_in: Option<i64>, two_step: bool) -> MemberWithSignIn {
        let member = Member {
            id: MemberId::parse("m").unwrap(),
            account: AccountSlug::parse("acme").unwrap(),
            email: Email::parse("ann@example.org").unwrap(),
            first_name: Name::parse("first_name", "Ann").unwrap(),
            last_name: Name::parse("last_name", "Lee").unwrap(),
            role: RoleId::parse("operator").unwrap(),
            status: Status::Active,
            two_step,
            joined: ago(joined),
            version: Version::FIRST,
        };
        MemberWithSignIn { member, signed_in: signed_in.map(ago) }
    }

    fn found(people: &[(MemberWithSignIn, bool)]) -> Vec<(&'static str, usize)> {
        let mut counts = FindingCounts::new(NOW);
        people.iter().for_each(|(seen, administers)| counts.take(seen, *administers));
        counts.findings().iter().map(|found| (found.kind.as_str(), found.count)).collect()
    }

    #[test]
    fn days_count_from_the_last_sign_in_and_without_one_from_joining() {
        let one = |joined, signed_in| found(&[(seen(joined, signed_in, true), false)]);
        assert_eq!(one(29, None), []);
        assert_eq!(one(30, None), [("never_signed_in", 1)]);
        assert_eq!(one(400, Some(29)), []);
        assert_eq!(one(400, Some(30)), [("not_for_30_days", 1)]);
        assert_eq!(one(400, Some(89)), [("not_for_30_days", 1)]);
        assert_eq!(one(400, Some(90)), [("not_for_90_days", 1)]);
        // A clock that was put back makes nobody idle.
        assert_eq!(one(-5, Some(-5)), []);
    }

    #[test]
    fn administrators_are_counted_and_asked_for_their_second_factor() {
        let (with, without) = (seen(1, Some(0), true), seen(1, Some(0), false));
        let factor = "administrator_without_second_factor";
        assert_eq!(found(&[(with.clone(), true)]), [("one_administrator", 1)]);
        assert_eq!(found(&[(with.clone(), true), (with.clone(), true)]), []);
        assert_eq!(found(&[(with, true), (without.clone(), true)]), [(factor, 1)]);
        assert_eq!(found(&[(without, false)]), [], "somebody else needs none");
    }

    #[test]
    fn an_account_whose_members_cannot_administer_it_is_found_and_an_empty_one_is_not() {
        let found =
            |wants_administrator, people: &[(MemberWithSignIn, bool)]| -> Vec<&'static str> {
                let mut counts = FindingCounts { wants_administrator, ..FindingCounts::new(NOW) };
                people.iter().for_each(|(seen, administers)| counts.take(seen, *administers));
                counts.findings().iter().map(|found| found.kind.as_str()).collect()
            };
        let member = seen(1, Some(0), true);
        assert_eq!(found(true, &[(member.clone(), false)]), ["no_administrator"]);
        // Everybody is suspended.
        assert_eq!(found(true, &[]), ["no_administrator"]);
        assert_eq!(found(true, &[(member.clone(), false), (member, true)]), ["one_administrator"]);
        assert_eq!(found(false, &[]), [] as [&str; 0]);
    }

    #[test]
    fn many_are_counted_and_some_are_named() {
        let people = vec![(seen(40, None, false), false); limits::REVIEW_NAMED_MAX + 5];
        let mut counts = FindingCounts::new(NOW);
        people.iter().for_each(|(seen, administers)| counts.take(seen, *administers));
        let found = counts.findings();
        assert_eq!((found[0].count, found[0].members.len()), (105, limits::REVIEW_NAMED_MAX));
        assert!(found[0].sentence.starts_with("105 members joined"), "{}", found[0].sentence);
    }
}
