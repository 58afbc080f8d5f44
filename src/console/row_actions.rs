//! The actions of a table row: each is described once on a page, and referenced by key in each row.
//!
//! A complete menu in every row would be most of the page, so the script builds it when it is
//! opened. Without the script the row's own page has the same actions as links.

/// An action on a member or an invitation.
pub(super) struct RowAction {
    pub(super) key: &'static str,
    pub(super) name: &'static str,
    /// The page that it opens.
    pub(super) place: ActionTarget,
    /// Removes something for good.
    pub(super) danger: bool,
    pub(super) dialog: bool,
}

#[derive(Clone, Copy)]
pub(super) enum ActionTarget {
    /// Its confirmation page, which its key names below the row's own page.
    Below,
    /// A part of the row's own page.
    Part(&'static str),
    /// One page for all rows.
    At(&'static str),
}

impl RowAction {
    /// In a dialog, below the row's own page.
    pub(super) const fn asked(key: &'static str, name: &'static str) -> Self {
        Self { key, name, place: ActionTarget::Below, danger: false, dialog: true }
    }

    /// The end of its path, and whether that is the whole path.
    pub(super) fn rest(&self) -> (String, bool) {
        match self.place {
            ActionTarget::Below => (format!("/{}", self.key), false),
            ActionTarget::Part(part) => (part.to_owned(), false),
            ActionTarget::At(path) => (path.to_owned(), true),
        }
    }
}

pub(super) struct AvailableAction {
    pub(super) kind: &'static RowAction,
    /// Why it is disabled.
    pub(super) why: Option<&'static str>,
}

impl AvailableAction {
    /// The path of its page, for a row whose page is at `path`.
    pub(super) fn path(&self, path: &str) -> String {
        let (rest, is_whole) = self.kind.rest();
        if is_whole { rest } else { format!("{path}{rest}") }
    }
}

/// The menus of a page: most rows have the same menu, so each is written once and a row references
/// its number.
pub(super) struct RowMenus {
    pub(super) kinds: Vec<&'static RowAction>,
    menus: Vec<String>,
}

impl RowMenus {
    pub(super) fn new(kinds: impl IntoIterator<Item = &'static RowAction>) -> Self {
        Self { kinds: kinds.into_iter().collect(), menus: Vec::new() }
    }

    /// The number of the menu for `row_actions`; none if there are none.
    pub(super) fn number(&mut self, row_actions: &[AvailableAction]) -> Option<usize> {
        if row_actions.is_empty() {
            return None;
        }
        let menu = to_json(row_actions);
        let known = self.menus.iter().position(|other| *other == menu);
        Some(known.unwrap_or_else(|| {
            self.menus.push(menu);
            self.menus.len() - 1
        }))
    }

    /// All menus in the format of the script, separated by `|`.
    pub(super) fn all(&self) -> String {
        self.menus.join("|")
    }
}

/// One menu in the format of the script: keys, each with the reason why it is disabled after `=`,
/// separated by `;`.
fn to_json(row_actions: &[AvailableAction]) -> String {
    let one = |row_action: &AvailableAction| match row_action.why {
        Some(why) => format!("{}={why}", row_action.kind.key),
        None => row_action.kind.key.to_owned(),
    };
    row_actions.iter().map(one).collect::<Vec<_>>().join(";")
}
