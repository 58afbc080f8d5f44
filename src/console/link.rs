//! A link that is shown once, for the viewer to pass on.

use askama::Template;

use super::shell::{Shell, page};
use super::words as w;
use crate::http::Reply;

/// One link with its purpose.
#[derive(Template)]
#[template(path = "console/templates/link.html", config = ".askama.toml")]
pub(super) struct LinkPage<'p> {
    shell: Shell<'p>,
    line: String,
    link: String,
    /// Where its viewer continues.
    back: String,
}

impl<'p> LinkPage<'p> {
    pub(super) fn new(shell: Shell<'p>, line: String, link: String, back: String) -> Self {
        Self { shell: shell.narrow(), line, link, back }
    }

    pub(super) fn page(&self) -> Reply {
        page(self)
    }
}
