//! An address below the console's own path, put together from its parameters.

use super::shell::escaped;

/// An address; parameters without a value are left out.
#[derive(Clone)]
pub(super) struct Place {
    text: String,
    asks: bool,
}

impl Place {
    pub(super) fn at(path: &str) -> Self {
        Self { text: path.to_owned(), asks: false }
    }

    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        if !value.is_empty() {
            self.text.push(if self.asks { '&' } else { '?' });
            self.text.push_str(name);
            self.text.push('=');
            self.text.push_str(&escaped(value));
            self.asks = true;
        }
        self
    }

    pub(super) fn path(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_typed_stays_one_value() {
        let place =
            Place::at("/team").with("search", "a&b=c #").with("role", "").with("sort", "-name");
        assert_eq!(place.path(), "/team?search=a%26b%3Dc%20%23&sort=-name");
    }
}
