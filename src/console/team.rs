//! Team Management: the table of members with search, filters, order and counts.
//!
//! One query for a page, never one per row. [`member::available_actions`] lists the actions of a row; the services
//! decide whether they are allowed.

use std::collections::BTreeMap;

use askama::Template;

use super::page_layout::{PageLayout, page};
use super::page_request::{CurrentUser, PageRequest, PageResult};
use super::page_urls::{BACK, LocalPath, member_path};
use super::row_actions::RowMenus;
use super::team_tabs::TeamTabs;
use super::texts as w;
use super::timestamps::TimeLabel;
use super::{invitations, member, roles, team_banners};
use crate::domain::{Failure, Member, MemberId, RoleId, Status, Timestamp};
use crate::engine::Snapshot;
use crate::http::Reply;
use crate::services::import::Format;
use crate::services::{export, invites, members, members_locked_out};
use crate::store::MemberFilter;
use crate::store::member_pages::{MemberOrder, MemberTablePage, MemberTableQuery};
use crate::store::requests_and_views::invites::OpenInvites;
use crate::store::requests_and_views::personal_data::MemberWithSignIn;

/// The choices of rows on a page; the first is the default.
pub(super) const ROWS: [usize; 3] = [25, 50, 100];
/// The cookie with the chosen number of rows.
const ROWS_COOKIE: &str = "__Host-kwic_rows";

struct MemberRow {
    id: String,
    path: String,
    initials: String,
    name: String,
    email: String,
    you: bool,
    role: String,
    status: w::Badge,
    /// Until when sign-in attempts are refused.
    until: Option<TimeLabel>,
    two_step: w::Badge,
    active: Option<TimeLabel>,
    joined: TimeLabel,
    /// The number of the row's menu, for the script.
    menu: Option<usize>,
    /// Can be selected for bulk changes.
    tickable: bool,
}

struct Column {
    name: &'static str,
    /// The link of its header.
    path: String,
    /// `ascending` or `descending`, if the table is sorted by it.
    sorted: Option<&'static str>,
}

struct RoleFilterChoice {
    id: String,
    title: String,
    chosen: bool,
}

#[derive(Template)]
#[template(path = "console/templates/team.html", config = ".askama.toml")]
struct TeamPage<'p> {
    shell: PageLayout<'p>,
    viewer: &'p CurrentUser,
    banners: Vec<String>,
    tabs: TeamTabs,
    query: &'p TeamQuery,
    /// The path of this page of the table, to return to.
    here: String,
    chosen_roles: String,
    roles: Vec<RoleFilterChoice>,
    columns: Vec<Column>,
    lines: Vec<MemberRow>,
    count: String,
    range: String,
    next: Option<String>,
    previous: Option<String>,
    alone: bool,
    suggestions: Vec<(String, String)>,
    manages: bool,
    menus: RowMenus,
}

/// The query parameters of the page.
#[derive(Clone)]
struct TeamQuery {
    search: String,
    roles: Vec<RoleId>,
    status: Option<Status>,
    two_step: Option<bool>,
    order: MemberOrder,
    descending: bool,
    after: Option<String>,
    before: Option<String>,
    rows: usize,
}

impl TeamQuery {
    fn read(call: &PageRequest<'_>) -> Result<Self, Failure> {
        let sort = call.parameter("sort");
        let order = sort.trim_start_matches('-');
        let filled = |name| Some(call.parameter(name)).filter(|text: &String| !text.is_empty());
        let roles = call.parameters("role");
        Ok(Self {
            search: call.parameter("search").trim().to_owned(),
            roles: roles.iter().map(|role| RoleId::parse(role)).collect::<Result<_, _>>()?,
            status: Status::ALL
                .into_iter()
                .find(|status| status.as_str() == call.parameter("status")),
            two_step: match call.parameter("two_step").as_str() {
                "on" => Some(true),
                "off" => Some(false),
                _ => None,
            },
            order: MemberOrder::parse(order).unwrap_or(MemberOrder::Name),
            descending: sort.starts_with('-'),
            after: filled("after"),
            before: filled("before"),
            rows: rows(call),
        })
    }

    fn roster(&self) -> MemberTableQuery {
        MemberTableQuery {
            filter: MemberFilter {
                search: Some(self.search.clone()).filter(|search| !search.is_empty()),
                roles: self.roles.clone(),
                status: self.status,
                two_step: self.two_step,
            },
            order: self.order,
            descending: self.descending,
            after: self.after.clone(),
            before: self.before.clone(),
            limit: self.rows,
        }
    }

    fn is_filtered(&self) -> bool {
        !self.search.is_empty()
            || !self.roles.is_empty()
            || self.status.is_some()
            || self.two_step.is_some()
    }

    fn sort(&self) -> String {
        let minus = if self.descending { "-" } else { "" };
        format!("{minus}{}", self.order.as_str())
    }

    fn is_status(&self, word: &str) -> bool {
        self.status.is_some_and(|status| status.as_str() == word)
    }

    /// The path of this view of the table, first page.
    fn place(&self) -> LocalPath {
        let place = LocalPath::at("/team").with("search", &self.search);
        let place = self.roles.iter().fold(place, |place, role| place.with("role", role.as_str()));
        place
            .with("status", self.status.map_or("", Status::as_str))
            .with("two_step", self.two_step.map_or("", |on| if on { "on" } else { "off" }))
            .with("sort", &Some(self.sort()).filter(|sort| sort != "name").unwrap_or_default())
    }

    /// The path of this page of the table.
    fn here(&self) -> String {
        let text = |cursor: &Option<String>| cursor.clone().unwrap_or_default();
        self.place().with("after", &text(&self.after)).with("before", &text(&self.before)).path()
    }

    fn column(&self, order: MemberOrder, name: &'static str) -> Column {
        let here = self.order == order;
        let down = here && !self.descending;
        let path = Self { order, descending: down, ..self.clone() }.place();
        let sorted = here.then_some(if self.descending { "descending" } else { "ascending" });
        Column { name, path: path.path(), sorted }
    }
}

/// The number of rows: from the query, else from the cookie.
fn rows(call: &PageRequest<'_>) -> usize {
    let known = |text: &str| text.parse().ok().filter(|rows| ROWS.contains(rows));
    let said = known(&call.parameter("rows"));
    said.or_else(|| known(call.request.cookie(ROWS_COOKIE)?)).unwrap_or(ROWS[0])
}

pub(super) async fn show(call: &mut PageRequest<'_>) -> PageResult {
    let viewer = call.viewer().await?;
    let open = invites::open_count(call.app, viewer.caller()).await?;
    if call.parameter("tab") == "invitations" {
        // Only the total: search, filters and cursor of the query are about the invites.
        let one = MemberTableQuery { limit: 1, ..MemberTableQuery::default() };
        let roster = members::roster(call.app, viewer.caller(), &one).await?;
        let tabs = TeamTabs { members: roster.total, invitations: open.all(), open: "invitations" };
        return invitations::list(call, &viewer, tabs).await;
    }
    let query = TeamQuery::read(call)?;
    let roster = members::roster(call.app, viewer.caller(), &query.roster()).await?;
    let reply = members_page(call, &viewer, &query, roster, open).await?;
    Ok(if call.parameter("rows").is_empty() {
        reply
    } else {
        reply.cookie(&format!(
            "{ROWS_COOKIE}={}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=31536000",
            query.rows
        ))
    })
}

async fn members_page(
    call: &PageRequest<'_>,
    viewer: &CurrentUser,
    query: &TeamQuery,
    roster: MemberTablePage,
    open: OpenInvites,
) -> PageResult {
    let live = call.app.policies.load_full();
    let administrators = members::administrators(call.app, &viewer.account.slug).await;
    let manages = viewer.rights.edit || viewer.rights.remove;
    let shown = roster.items.iter().map(|seen| &seen.member);
    let waiting = members_locked_out::locked_members(call.app, viewer.caller(), shown).await?;
    let now = call.app.clock.now();
    let here = query.here();
    let leads_back =
        if here == "/team" { String::new() } else { LocalPath::at("").with(BACK, &here).path() };
    let administrators = &administrators;
    let scene = RowContext { viewer, live: &live, now, administrators, waiting, leads_back };
    let place = query.place();
    let last = roster.first + roster.items.len().saturating_sub(1);
    let mut menus = RowMenus::new(member::MEMBER_ACTIONS);
    let lines = roster.items.iter().map(|seen| scene.line(seen, &mut menus)).collect();
    Ok(page(&TeamPage {
        shell: PageLayout::inside(call, viewer, w::TEAM, "/team"),
        viewer,
        banners: team_banners::of(call, viewer, &roster, open, administrators.len()).await,
        tabs: TeamTabs { members: roster.total, invitations: open.all(), open: "members" },
        query,
        here,
        chosen_roles: w::roles_chosen(&chosen_titles(&live, &query.roles)),
        roles: choices(&live, &query.roles),
        columns: vec![
            query.column(MemberOrder::Name, w::NAME),
            query.column(MemberOrder::Role, w::ROLE),
            query.column(MemberOrder::SignedIn, w::LAST_SIGN_IN),
            query.column(MemberOrder::Joined, w::JOINED),
        ],
        lines,
        count: w::members_found(roster.matching),
        range: w::range(roster.first, last, roster.matching),
        next: roster.next.map(|cursor| place.clone().with("after", &cursor).path()),
        previous: roster.previous.map(|cursor| place.clone().with("before", &cursor).path()),
        alone: roster.total == 1 && !query.is_filtered(),
        suggestions: suggestions(&live, viewer),
        manages,
        menus,
    }))
}

/// The data that every row needs.
struct RowContext<'s> {
    viewer: &'s CurrentUser,
    live: &'s Snapshot,
    now: Timestamp,
    administrators: &'s [Member],
    waiting: BTreeMap<MemberId, Timestamp>,
    /// Appended to the path of each member's page, so that it returns to this view of the table.
    leads_back: String,
}

impl RowContext<'_> {
    fn line(
        &self,
        MemberWithSignIn { member, signed_in }: &MemberWithSignIn,
        menus: &mut RowMenus,
    ) -> MemberRow {
        let you = self.viewer.is(member);
        let last = member::is_last_administrator(self.administrators, member);
        let until = self.waiting.get(&member.id).copied();
        MemberRow {
            initials: member::initials(member),
            name: member.full_name(),
            email: member.email.as_str().to_owned(),
            you,
            role: roles::title(self.live, &member.role),
            status: if until.is_some() { w::locked() } else { w::status(member.status) },
            until: until.map(TimeLabel::exactly),
            two_step: w::two_step(member.two_step),
            active: signed_in.map(|at| TimeLabel::roughly(at, self.now)),
            joined: TimeLabel::day(member.joined),
            menu: menus.number(&member::available_actions(self.viewer, member, last)),
            tickable: !you && (self.viewer.rights.edit || self.viewer.rights.remove),
            path: member_path(&member.id, &self.leads_back),
            id: member.id.to_string(),
        }
    }
}

fn choices(live: &Snapshot, chosen: &[RoleId]) -> Vec<RoleFilterChoice> {
    let choice = |card: &crate::engine::RoleCard| RoleFilterChoice {
        id: card.id.to_string(),
        title: card.title.clone(),
        chosen: chosen.contains(&card.id),
    };
    live.roles().iter().map(choice).collect()
}

/// The titles of the roles in the filter.
fn chosen_titles(live: &Snapshot, chosen: &[RoleId]) -> Vec<String> {
    chosen.iter().map(|role| roles::title(live, role)).collect()
}

/// Three likely roles for a first invitation: those with the fewest permissions.
fn suggestions(live: &Snapshot, viewer: &CurrentUser) -> Vec<(String, String)> {
    let given = live.roles().iter().filter(|card| viewer.rights.gives.contains(&card.id));
    let plain = given.filter(|card| !live.administering().contains(&card.id));
    plain.take(3).map(|card| (card.id.to_string(), card.title.clone())).collect()
}

pub(super) async fn export(call: &mut PageRequest<'_>) -> PageResult {
    let viewer = call.viewer().await?;
    // A download from the console is opened in a spreadsheet.
    let written = export::ExportFormat { format: Format::Csv, marked: true };
    let pieces = export::run(call.app, viewer.caller(), written).await?;
    let disposition = "attachment; filename=\"members.csv\"".to_owned();
    Ok(Reply::stream("text/csv; charset=utf-8", pieces).header("content-disposition", disposition))
}
