//! The actions of a table row: each is described once on a page, and referenced by key in each row.
//!
//! A complete menu in every row would be most of the page, so the script builds it when it is
//! opened. Without the script the row's own page has the same actions as links.

/// Something that can be done about a member or an invitation.
pub(super) struct Act {
    /// Names it among the others of the page.
    pub(super) key: &'static str,
    pub(super) name: &'static str,
    /// The page that asks: below that of the row, or anywhere below the console's own path.
    pub(super) place: Place,
    /// Takes something away for good.
    pub(super) danger: bool,
    /// Opens over the page.
    pub(super) dialog: bool,
}

#[derive(Clone, Copy)]
pub(super) enum Place {
    /// Below the row's own page.
    Below(&'static str),
    /// One page for all.
    At(&'static str),
}

impl Act {
    /// Asked in a dialog, below the row's own page.
    pub(super) const fn asked(key: &'static str, name: &'static str, rest: &'static str) -> Self {
        Self { key, name, place: Place::Below(rest), danger: false, dialog: true }
    }

    /// The end of its address, and whether that is all of it.
    pub(super) const fn rest(&self) -> (&'static str, bool) {
        match self.place {
            Place::Below(rest) => (rest, false),
            Place::At(path) => (path, true),
        }
    }
}

/// The same about one row.
pub(super) struct Deed {
    pub(super) kind: &'static Act,
    /// Why it cannot be done now.
    pub(super) why: Option<&'static str>,
}

impl Deed {
    /// Where it is asked, for the row whose page is at `path`.
    pub(super) fn path(&self, path: &str) -> String {
        match self.kind.place {
            Place::Below(rest) => format!("{path}{rest}"),
            Place::At(whole) => whole.to_owned(),
        }
    }
}

/// The menus of a page: most rows have the same one, so each is written once and a row names its
/// number.
pub(super) struct Menus {
    pub(super) kinds: Vec<&'static Act>,
    menus: Vec<String>,
}

impl Menus {
    pub(super) fn new(kinds: impl IntoIterator<Item = &'static Act>) -> Self {
        Self { kinds: kinds.into_iter().collect(), menus: Vec::new() }
    }

    /// The number of the menu that offers `deeds`; none for nothing.
    pub(super) fn number(&mut self, deeds: &[Deed]) -> Option<usize> {
        if deeds.is_empty() {
            return None;
        }
        let menu = told(deeds);
        let known = self.menus.iter().position(|other| *other == menu);
        Some(known.unwrap_or_else(|| {
            self.menus.push(menu);
            self.menus.len() - 1
        }))
    }

    /// All of them as the script reads them: between them `|`.
    pub(super) fn all(&self) -> String {
        self.menus.join("|")
    }
}

/// One menu as the script reads it: keys, each with why not after `=`, and between them `;`.
fn told(deeds: &[Deed]) -> String {
    let one = |deed: &Deed| match deed.why {
        Some(why) => format!("{}={why}", deed.kind.key),
        None => deed.kind.key.to_owned(),
    };
    deeds.iter().map(one).collect::<Vec<_>>().join(";")
}
