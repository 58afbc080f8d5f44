//! The help page. Static.

use askama::Template;

use super::page_layout::{PageLayout, page};
use super::page_request::{PageRequest, PageResult};
use super::texts as w;

#[derive(Template)]
#[template(path = "console/templates/help.html", config = ".askama.toml")]
struct HelpPage<'p> {
    shell: PageLayout<'p>,
    /// Title and text of each.
    topics: [(&'static str, &'static str); 5],
}

pub(super) async fn show(call: &mut PageRequest<'_>) -> PageResult {
    let viewer = call.viewer().await.ok();
    let shell = PageLayout::outside(call.app, call.request, w::HELP).seen_by(viewer.as_ref());
    Ok(page(&HelpPage { shell, topics: w::help_topics(call.sends_mail()) }))
}
