//! The pattern of a `like`: texts with any text between them.

use serde_json::Value as Json;

/// What is before, between and behind the wildcards of a pattern: one text more than it has wildcards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) struct TextPattern {
    texts: Box<[Box<str>]>,
}

impl TextPattern {
    /// From Cedar's JSON form; `None` where it has another form.
    pub(super) fn read(json: &Json) -> Option<Self> {
        let mut texts = vec![String::new()];
        for part in json.as_array()? {
            match part.get("Literal") {
                Some(literal) => texts.last_mut()?.push_str(literal.as_str()?),
                None if part == "Wildcard" => texts.push(String::new()),
                None => return None,
            }
        }
        Some(Self { texts: texts.into_iter().map(Into::into).collect() })
    }

    /// Whether a whole text fits. The first place where a text in the middle fits is as good as any later
    /// one.
    pub(super) fn fits(&self, text: &str) -> bool {
        match &*self.texts {
            [] => false,
            [only] => text == &**only,
            [first, middle @ .., last] => {
                let rest = text.strip_prefix(&**first).and_then(|rest| rest.strip_suffix(&**last));
                let Some(mut rest) = rest else { return false };
                middle.iter().all(|part| {
                    let after = rest.split_once(&**part).map(|(_, after)| after);
                    rest = after.unwrap_or_default();
                    after.is_some()
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_whole_text_fits_or_does_not() {
        let any = json!("Wildcard");
        let text = |text: &str| json!({"Literal": text});
        let fits = |pattern: Vec<Json>, asked: &str| {
            TextPattern::read(&Json::Array(pattern)).unwrap().fits(asked)
        };
        assert!(fits(vec![], "") && !fits(vec![], "a"));
        assert!(fits(vec![text("a"), text("b")], "ab") && !fits(vec![text("ab")], "abc"));
        assert!(fits(vec![any.clone()], "") && fits(vec![any.clone(), any.clone()], "a"));
        let ends = || vec![text("ab"), any.clone(), text("ba")];
        assert!(fits(ends(), "abba") && fits(ends(), "ab-ba"));
        assert!(!fits(ends(), "aba"), "the ends do not share a letter");
        let middle = || vec![any.clone(), text("ab"), any.clone(), text("ab"), any.clone()];
        assert!(fits(middle(), "xabab") && !fits(middle(), "xabyb"));
        assert!(fits(vec![text("ü*"), any.clone()], "ü*b") && !fits(vec![text("*")], "a"));
    }

    #[test]
    fn another_form_is_none() {
        for json in [json!("a*"), json!([{"Text": "a"}]), json!(["Star"]), json!([{"Literal": 1}])]
        {
            assert_eq!(TextPattern::read(&json), None, "{json}");
        }
    }
}
