//! A link that is handed over by hand. That of an invitation can be shown again; others cannot.

use askama::Template;

use super::page_layout::{PageLayout, page};
use super::texts as w;
use crate::http::Reply;

/// One link with its purpose.
#[derive(Template)]
#[template(path = "console/templates/link.html", config = ".askama.toml")]
pub(super) struct LinkPage<'p> {
    shell: PageLayout<'p>,
    line: String,
    link: String,
    /// Where its viewer continues.
    back: String,
    /// The reader can have it shown again.
    again: bool,
}

impl<'p> LinkPage<'p> {
    pub(super) fn new(shell: PageLayout<'p>, line: String, link: String, back: String) -> Self {
        Self { shell: shell.narrow(), line, link, back, again: false }
    }

    /// A link that can be shown again: to close the page loses nothing.
    pub(super) fn can_be_shown_again(self) -> Self {
        Self { again: true, ..self }
    }

    pub(super) fn page(&self) -> Reply {
        page(self)
    }
}
