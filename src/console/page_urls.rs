//! URLs below the console's base path: built from parameters, or taken from a request as the place
//! to return to.

use super::is_page;
use crate::domain::MemberId;
use crate::percent_encoding::encoded;

/// The query parameter, and form field, with the place to return to.
pub(super) const BACK: &str = "back";

/// The page of the console to return to; `usual` if the request names none.
pub(super) fn back(named: &str, usual: &str) -> String {
    let is_plain = named.bytes().all(|byte| byte.is_ascii_graphic());
    let place = if is_plain && is_page(named) { named } else { usual };
    place.to_owned()
}

/// A path with query parameters; those without a value are left out.
#[derive(Clone)]
pub(super) struct LocalPath {
    text: String,
    asks: bool,
}

impl LocalPath {
    pub(super) fn at(path: &str) -> Self {
        Self { text: path.to_owned(), asks: false }
    }

    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        if !value.is_empty() {
            self.text.push(if self.asks { '&' } else { '?' });
            self.text.push_str(name);
            self.text.push('=');
            self.text.push_str(&encoded(value));
            self.asks = true;
        }
        self
    }

    pub(super) fn path(self) -> String {
        self.text
    }
}

/// The page of a member, or with `rest` a place below it.
pub(super) fn member_path(id: &MemberId, rest: &str) -> String {
    format!("/team/members/{}{rest}", encoded(id.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_page_of_our_own_is_led_back_to() {
        for own in ["/team?search=a%20b&after=x", "/team/members/m1?back=%2Fteam", "/me"] {
            assert_eq!(back(own, "/team"), own);
        }
        for other in
            ["", "//evil.example", "https://evil.example", "/team?a\r\nb: c", "/no", "/sign-out"]
        {
            assert_eq!(back(other, "/team"), "/team", "{other:?}");
        }
    }

    #[test]
    fn what_was_typed_stays_one_value() {
        let place =
            LocalPath::at("/team").with("search", "a&b=c #").with("role", "").with("sort", "-name");
        assert_eq!(place.path(), "/team?search=a%26b%3Dc%20%23&sort=-name");
    }
}
