//! Parsing of query strings.
//!
//! Strict, because a misspelt filter that is ignored would return everybody: an unknown or
//! duplicate parameter is a fault that names it, and all faults are reported together.

use crate::domain::{Failure, Kind, limits};
use crate::http::query_string;

/// The parameters of a request, each removed by the call that reads it.
#[derive(Debug, Default)]
pub(super) struct QueryParams {
    given: Vec<(String, String)>,
    known: Vec<&'static str>,
    faults: Vec<(String, String)>,
}

impl QueryParams {
    /// Parses a query string of a form: `a=b&c=d`, `+` for a space, percent-encoding.
    pub(super) fn read(query: Option<&str>) -> Self {
        let mut params = Self::default();
        for pair in query_string::pairs(query.unwrap_or_default()) {
            match pair {
                Ok((name, value)) => params.add(name, value),
                Err(pair) => {
                    let (name, shown) =
                        (pair.split('=').next().unwrap_or_default(), pair.escape_debug());
                    params
                        .fault(name, format!("`{shown}` is not percent-encoded UTF-8: encode it"));
                }
            }
        }
        params
    }

    fn add(&mut self, name: String, value: String) {
        if self.given.iter().any(|(given, _)| *given == name) {
            let shown = name.escape_debug().to_string();
            self.fault(&shown, format!("`{shown}` is given twice: give it once"));
        } else {
            self.given.push((name, value));
        }
    }

    /// The text of a parameter; an empty one counts as absent, as forms send it.
    pub(super) fn text(&mut self, name: &'static str) -> Option<String> {
        self.known.push(name);
        let place = self.given.iter().position(|(given, _)| given == name)?;
        let (_, value) = self.given.swap_remove(place);
        Some(value).filter(|value| !value.is_empty())
    }

    /// Whether a parameter is given; does not remove it.
    pub(super) fn names(&self, name: &str) -> bool {
        self.given.iter().any(|(given, value)| given == name && !value.is_empty())
    }

    /// Parses a parameter; a fault is kept, with the parameter's name.
    pub(super) fn read_as<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, Failure>,
    ) -> Option<T> {
        let text = self.text(name)?;
        parse(&text).map_err(|failure| self.fault(name, failure.public)).ok()
    }

    /// A word of a list.
    pub(super) fn one_of<T: Copy>(
        &mut self,
        name: &'static str,
        words: &[(&'static str, T)],
    ) -> Option<T> {
        self.read_as(name, |text| meant(name, words, text))
    }

    /// The page size.
    pub(super) fn limit(&mut self) -> usize {
        self.limit_to(limits::PAGE_ITEMS_MAX)
    }

    /// The page size of a list whose pages are at most so long.
    pub(super) fn limit_to(&mut self, most: usize) -> usize {
        let limit = self.read_as("limit", |text| match text.parse() {
            Ok(limit) if (1..=most).contains(&limit) => Ok(limit),
            _ => Err(Failure::invalid(
                "limit",
                format!("`limit` must be a whole number from 1 to {most}"),
            )),
        });
        limit.unwrap_or(limits::PAGE_ITEMS_DEFAULT.min(most))
    }

    pub(super) fn fault(&mut self, name: &str, reason: String) {
        self.faults.push((name.to_owned(), reason));
    }

    /// Checks that no parameters are left.
    ///
    /// # Errors
    /// `Invalid` with every fault.
    pub(super) fn done(mut self) -> Result<(), Failure> {
        for (name, _) in std::mem::take(&mut self.given) {
            let shown = name.escape_debug().to_string();
            let known = if self.known.is_empty() {
                "this call takes none".to_owned()
            } else {
                format!("this call takes `{}`", self.known.join("`, `"))
            };
            self.fault(&shown, format!("there is no parameter `{shown}`: {known}"));
        }
        faulty(self.faults)
    }
}

/// What a word of a list means.
///
/// # Errors
/// `Invalid`, naming the words.
pub(super) fn meant<T: Clone>(
    name: &str,
    words: &[(&'static str, T)],
    text: &str,
) -> Result<T, Failure> {
    let known = words.iter().find(|(word, _)| *word == text);
    known.map(|(_, meant)| meant.clone()).ok_or_else(|| {
        let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let (text, words) = (text.escape_debug(), words.join("`, `"));
        Failure::invalid(name, format!("`{name}` does not accept `{text}`: use one of `{words}`"))
    })
}

/// `Ok` if there are no faults, else `Invalid` with all of them.
pub(super) fn faulty(faults: Vec<(String, String)>) -> Result<(), Failure> {
    if faults.is_empty() {
        return Ok(());
    }
    let reasons: Vec<&str> = faults.iter().map(|(_, reason)| reason.as_str()).collect();
    let text = reasons.join("; ");
    Err(Failure { fields: faults, ..Failure::new(Kind::Invalid, "invalid", text) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_string_reads_as_forms_write_it() {
        let mut params =
            QueryParams::read(Some("search=J%C3%BCrg+Lee&role=&email=a%2Bb%40c.de&flag"));
        assert_eq!(params.text("search").unwrap(), "J\u{fc}rg Lee");
        assert_eq!(params.text("role"), None);
        assert_eq!(params.text("email").unwrap(), "a+b@c.de");
        assert_eq!(params.text("flag"), None);
        params.done().unwrap();
    }

    #[test]
    fn every_fault_of_a_query_string_is_told_at_once() {
        let mut params = QueryParams::read(Some("limit=0&serach=x&after=1&after=2&email=%zz"));
        params.limit();
        params.text("search");
        params.text("after");
        let failure = params.done().unwrap_err();
        let names: Vec<&str> = failure.fields.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["after", "email", "limit", "serach"]);
        assert!(failure.public.contains("from 1 to 1000"), "{failure}");
        assert!(failure.public.contains("this call takes `limit`, `search`, `after`"), "{failure}");
    }

    #[test]
    fn a_limit_keeps_its_bounds() {
        let limit = |query| {
            let mut params = QueryParams::read(Some(query));
            let limit = params.limit();
            params.done().map(|()| limit)
        };
        assert_eq!(limit("limit=1"), Ok(1));
        assert_eq!(limit("limit=1000"), Ok(1000));
        assert_eq!(limit(""), Ok(limits::PAGE_ITEMS_DEFAULT));
        for query in ["limit=0", "limit=1001", "limit=-1", "limit=x", "limit=1.5"] {
            assert!(limit(query).is_err(), "{query}");
        }
    }
}
