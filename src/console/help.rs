//! The help page. Static.

use askama::Template;

use super::call::{Answer, Call};
use super::shell::{Shell, page};
use super::words as w;

#[derive(Template)]
#[template(path = "console/templates/help.html", config = ".askama.toml")]
struct Help<'p> {
    shell: Shell<'p>,
}

pub(super) async fn show(call: &mut Call<'_>) -> Answer {
    let viewer = call.viewer().await.ok();
    let shell = Shell::outside(call.app, call.request, w::HELP).seen_by(viewer.as_ref());
    Ok(page(&Help { shell }))
}
