//! Banners above the table for administrators: at most one for each topic.

use super::page_request::{CurrentUser, PageRequest};
use super::texts as w;
use crate::services::mail_delivery;
use crate::store::member_pages::MemberTablePage;
use crate::store::requests_and_views::invites::OpenInvites;

/// The banners for a viewer who can act on them.
pub(super) async fn of(
    call: &PageRequest<'_>,
    viewer: &CurrentUser,
    roster: &MemberTablePage,
    open: OpenInvites,
    administrators: usize,
) -> Vec<String> {
    let mut lines = Vec::new();
    if !viewer.rights.invite && !viewer.rights.edit {
        return lines;
    }
    if !call.app.mailer.sends() {
        lines.push(w::NO_MAIL.to_owned());
    } else if viewer.rights.view_settings
        && let Ok(mail) = mail_delivery::status(call.app, viewer.caller()).await
        && let Some(stop) = mail.stopped
    {
        lines.push(w::mail_stopped(&stop.cause));
    }
    if open.undelivered > 0 {
        lines.push(w::undelivered(open.undelivered));
    }
    if administrators == 1 {
        lines.push(w::ONE_ADMINISTRATOR.to_owned());
    }
    if viewer.account.two_step_enforced && roster.without_two_step > 0 {
        lines.push(w::without_two_step(roster.without_two_step));
    }
    lines
}
