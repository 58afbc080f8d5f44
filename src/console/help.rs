//! The help page. Static.

use askama::Template;

use super::call::{Answer, Call};
use super::shell::{Shell, page};
use super::words as w;

#[derive(Template)]
#[template(path = "console/templates/help.html", config = ".askama.toml")]
struct Help<'p> {
    shell: Shell<'p>,
    /// Title and text of each.
    topics: [(&'static str, &'static str); 5],
}

pub(super) async fn show(call: &mut Call<'_>) -> Answer {
    let viewer = call.viewer().await.ok();
    let shell = Shell::outside(call.app, call.request, w::HELP).seen_by(viewer.as_ref());
    Ok(page(&Help { shell, topics: w::help_topics(call.sends_mail()) }))
}
