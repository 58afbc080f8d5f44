//! An email address: as typed, for sending, and as a canonical key, for comparing.
//!
//! Does not fold Gmail dots or plus parts, and never queries DNS. Look-alike letters can only be in
//! domains, where they are written as `xn--`.

use std::borrow::Cow;
use std::fmt;

use super::escaped_text::printable;
use super::failure::Failure;
use super::input_cleanup::pasted;
use super::invisible_characters::hidden_in_address;
use super::limits;

/// Characters that separate or enclose addresses, and that no address contains.
const ODD: &str = "<>()[],;:\\\"";

const TOO_LONG: &str = "it is longer than 254 characters";

/// A valid address.
#[derive(Clone, PartialEq, Eq)]
pub struct Email {
    typed: Box<str>,
    key: Box<str>,
}

impl Email {
    /// Checks the syntax and creates the canonical key: ASCII letters in lower case. A domain in
    /// other letters is stored in its `xn--` form (RFC 5890), so that a look-alike is visible.
    ///
    /// # Errors
    /// `Invalid` with what is wrong, when the text is not an address.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let refuse = |why: &str| {
            Err(Failure::invalid(
                "email",
                format!("`{}` is not an email address: {why}", printable(text)),
            ))
        };
        if pasted(text).is_empty() {
            return Err(Failure::invalid(
                "email",
                "the email address is missing: write it as `name@example.org`",
            ));
        }
        // First, so that nothing below processes a long text.
        if text.len() > limits::EMAIL_BYTES_MAX {
            return refuse(TOO_LONG);
        }
        let text = bare(pasted(text));
        if text.chars().any(hidden_in_address) {
            return refuse("it has a control or invisible character: remove it");
        }
        if let Some(odd) = text.chars().find(|c| c.is_whitespace() || ODD.contains(*c)) {
            return refuse(&not_one(text, odd));
        }
        let Some((local, domain)) = text.rsplit_once('@') else {
            return refuse("write it as `name@example.org`");
        };
        if !local.is_ascii() {
            return refuse(
                "the part before the `@` has a letter that many mail servers refuse: use only unaccented letters, digits and `.`, `_`, `-` or `+`",
            );
        }
        if local.is_empty() || local.len() > 64 || local.contains('@') {
            return refuse("the part before the `@` must have 1 to 64 characters and no other `@`");
        }
        if local.starts_with('.') || local.ends_with('.') || local.contains("..") {
            return refuse("dots before the `@` must stand between other characters");
        }
        let Some(domain) = host_name(domain) else {
            return refuse(
                "the part after the `@` is not a valid domain: write one such as `example.org`",
            );
        };
        let typed = format!("{local}@{domain}");
        if typed.len() > limits::EMAIL_BYTES_MAX {
            return refuse(TOO_LONG);
        }
        let key = typed.to_ascii_lowercase().into();
        Ok(Self { typed: typed.into(), key })
    }

    /// The address as typed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.typed
    }

    /// What is unusual about an address that is accepted, if anything. A domain without a dot can
    /// be the name of a server in an intranet, but is more often one whose end is missing.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let (_, domain) = self.typed.rsplit_once('@')?;
        (!domain.contains('.')).then(|| format!("`{domain}` has no dot: check the address"))
    }

    /// The address for logs: its first letter and its domain.
    #[must_use]
    pub fn masked(&self) -> String {
        let domain = self.typed.rsplit_once('@').map_or("", |(_, domain)| domain);
        format!("{}***@{domain}", self.typed.chars().next().unwrap_or('?'))
    }

    /// The canonical key: two addresses are equal if their keys are.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }
}

/// An address without what may stand around it and belongs to none: the `mailto:` of a link, with
/// what follows a `?` there; the brackets of a list; a full stop, comma or semicolon at the end.
fn bare(text: &str) -> &str {
    let text = text.strip_suffix(['.', ',', ';']).unwrap_or(text).trim_end();
    let inside = text.strip_prefix('<').and_then(|rest| rest.strip_suffix('>'));
    let text = inside.unwrap_or(text).trim();
    match text.split_once(':') {
        Some((scheme, address)) if scheme.eq_ignore_ascii_case("mailto") => {
            address.split_once('?').map_or(address, |(address, _)| address)
        }
        _ => text,
    }
}

/// Why a text with such a character is no address, and what to write.
fn not_one(text: &str, odd: char) -> String {
    let between = text.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    if let Some((address, after)) = between
        && !after.contains('@')
        && let Ok(address) = Email::parse(address)
    {
        return format!("write the address alone, `{address}`");
    }
    if text.matches('@').count() > 1 {
        return "give one address at a time".to_owned();
    }
    match odd {
        ',' => match Email::parse(&text.replace(',', ".")) {
            Ok(meant) => format!("it has a comma: if it should be a dot, write `{meant}`"),
            Err(_) => "it has a comma: remove it".to_owned(),
        },
        odd if odd.is_whitespace() => "it has a space: remove it".to_owned(),
        odd => format!("it has a `{odd}`: remove it"),
    }
}

/// Untrusted text, such as a mail server's response, with addresses masked.
#[must_use]
pub fn hide(text: &str) -> String {
    let is_part = |c: char| !c.is_whitespace() && !"<>()[],;:\"".contains(c);
    let mut hidden = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(begin) = rest.find(is_part) {
        let (before, from) = rest.split_at(begin);
        let end = from.find(|c| !is_part(c)).unwrap_or(from.len());
        let (word, after) = from.split_at(end);
        hidden.push_str(before);
        hidden.push_str(if word.contains('@') { "***" } else { word });
        rest = after;
    }
    hidden.push_str(rest);
    hidden
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.typed)
    }
}

/// Logs print only a masked address.
impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

/// A domain as typed if it is ASCII, else in its `xn--` form; `None` if it is not valid in DNS (RFC
/// 1123 section 2.1; UTS 46 with all its checks).
fn host_name(domain: &str) -> Option<Cow<'_, str>> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let encoded = |label: &str| {
        label.as_bytes().get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case(b"xn--"))
    };
    // An ASCII name needs the checks of UTS 46 only if it contains an encoded label. The checks
    // would refuse hyphens that real names have.
    let name = if !domain.is_ascii() {
        Cow::Owned(idna::domain_to_ascii_strict(domain).ok()?)
    } else if domain.split('.').any(encoded) {
        idna::domain_to_ascii_strict(domain).ok().map(|_| Cow::Borrowed(domain))?
    } else {
        Cow::Borrowed(domain)
    };
    name.split('.').all(label).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        Email::parse(text).unwrap_err().public
    }

    #[test]
    fn an_ascii_address_is_kept_as_typed_and_compared_in_lower_case() {
        let email = Email::parse("Ann.Lee+kwic@Example.ORG").unwrap();
        assert_eq!(email.as_str(), "Ann.Lee+kwic@Example.ORG");
        assert_eq!(email.key(), "ann.lee+kwic@example.org");
        assert!(Email::parse("a@r3---sn-4g5e.example").is_ok(), "a real name with its hyphens");
    }

    #[test]
    fn what_is_more_than_one_address_is_told_as_such() {
        for typed in [
            "x@example.org;y@example.org",
            "x@example.org, y@example.org",
            "Ann <x@example.org>, Bo <y@example.org>",
            "x@example.org y@example.org",
        ] {
            assert!(refused(typed).contains("one address at a time"), "{}", refused(typed));
        }
        for typed in ["Ann Lee <x@example.org>", "\"Lee, Ann\" <x@example.org>"] {
            assert!(
                refused(typed).ends_with("write the address alone, `x@example.org`"),
                "{typed}"
            );
        }
        for (typed, why) in [
            ("x y@example.org", "it has a space"),
            ("x @example.org", "it has a space"),
            ("x@example,org", "it has a comma: if it should be a dot, write `x@example.org`"),
            (",x@example.org", "it has a comma: remove it"),
            ("x:y@example.org", "it has a `:`"),
            ("Ann <x>", "it has a space"),
        ] {
            assert!(refused(typed).contains(why), "{}", refused(typed));
        }
    }

    #[test]
    fn what_stands_around_an_address_is_left_out() {
        for typed in [
            "mailto:Ann@example.org",
            " MAILTO:Ann@example.org",
            "mailto:Ann@example.org?subject=Hello",
            "<Ann@example.org>",
            "<mailto:Ann@example.org>;",
            "Ann@example.org.",
            "Ann@example.org, ",
            "Ann@example.org;",
        ] {
            assert_eq!(Email::parse(typed).unwrap().as_str(), "Ann@example.org", "{typed}");
        }
        for typed in ["Ann@example.org..", "<<Ann@example.org>>", "Ann@example.org?subject=Hello"] {
            assert!(Email::parse(typed).is_err(), "{typed}");
        }
    }

    #[test]
    fn a_domain_without_a_dot_is_accepted_with_a_hint() {
        let hint = |typed: &str| Email::parse(typed).unwrap().hint();
        assert_eq!(
            hint("asha@example").as_deref(),
            Some("`example` has no dot: check the address")
        );
        assert_eq!(
            hint("asha.rao@localhost.").as_deref(),
            Some("`localhost` has no dot: check the address")
        );
        assert_eq!(hint("asha@example.org"), None);
    }

    #[test]
    fn a_domain_in_other_letters_is_kept_as_xn() {
        for typed in
            ["bo@b\u{fc}cher.example", "bo@BU\u{308}CHER.example", "bo@xn--bcher-kva.example"]
        {
            let email = Email::parse(typed).unwrap();
            assert_eq!(email.key(), "bo@xn--bcher-kva.example", "{typed}");
        }
        let typed = Email::parse("bo@XN--bcher-KVA.example").unwrap();
        assert_eq!(typed.as_str(), "bo@XN--bcher-KVA.example");
        // Cyrillic letters that look like Latin ones, and a full stop of another script.
        let fake = Email::parse("bo@\u{435}xample.org").unwrap();
        assert_eq!(fake.as_str(), "bo@xn--xample-2of.org");
        assert_eq!(Email::parse("bo@example\u{3002}org").unwrap().as_str(), "bo@example.org");
    }

    #[test]
    fn a_domain_that_no_server_knows_is_refused() {
        let long = format!("bo@{}.example", "\u{fc}".repeat(60));
        for typed in [
            "bo@xn--\u{fc}.example",
            "bo@xn--a.example",
            "bo@XN--0.example",
            "bo@-b\u{fc}cher.example",
            "bo@b\u{fc}_cher.example",
            "bo@b\u{fc}cher..example",
            "bo@b\u{fc}cher.example..",
            "bo@\u{5d0}a.example",
            "bo@",
            "bo@a_b.example",
            &long,
        ] {
            assert!(refused(typed).contains("not a valid domain"), "{typed}: {}", refused(typed));
        }
        let long = format!("{}@{}example", "b".repeat(64), "\u{fc}.".repeat(25));
        assert!(long.len() < limits::EMAIL_BYTES_MAX);
        assert!(refused(&long).contains(TOO_LONG), "as `xn--`");
    }

    #[test]
    fn a_local_part_in_other_letters_is_refused_with_what_to_do() {
        // KELVIN SIGN, which lower-cases to `k`, and Cyrillic.
        for typed in ["\u{212a}im@example.org", "b\u{43e}@example.org"] {
            assert!(refused(typed).contains("only unaccented letters"), "{typed}");
        }
    }

    #[test]
    fn a_refused_address_is_shown_as_it_was_typed() {
        assert!(refused("bö@b.example").starts_with("`bö@b.example` is not"));
        assert!(refused("b\u{200b}o@b.example").starts_with("`b\\u{200b}o@b.example` is not"));
        assert_eq!(refused(" "), "the email address is missing: write it as `name@example.org`");
    }

    #[test]
    fn what_nobody_sees_is_refused_anywhere() {
        for c in [
            '\0',
            '\n',
            '\u{7f}',
            '\u{85}',
            '\u{ad}',
            '\u{61c}',
            '\u{200b}',
            '\u{200d}',
            '\u{200e}',
            '\u{202e}',
            '\u{2066}',
            '\u{feff}',
            '\u{fe0f}',
            '\u{e0061}',
        ] {
            for typed in [format!("b{c}o@example.org"), format!("bo@exam{c}ple.org")] {
                assert!(refused(&typed).contains("invisible"), "{}", typed.escape_unicode());
            }
        }
    }

    #[test]
    fn what_copying_brings_along_goes_at_the_ends() {
        for (begin, end) in
            [("\u{200e}", ""), ("\u{202a}", "\u{202c}"), ("\u{feff}\u{200f} ", "\u{a0}\u{61c}\n")]
        {
            let email = Email::parse(&format!("{begin}bo@example.org{end}")).unwrap();
            assert_eq!(email.as_str(), "bo@example.org");
        }
        assert!(refused("\u{ad}bo@example.org").contains("invisible"));
    }

    #[test]
    fn logs_see_the_first_letter_and_the_domain() {
        let email = Email::parse("anna@example.org").unwrap();
        assert_eq!(email.masked(), "a***@example.org");
        assert_eq!(format!("{email:?}"), "a***@example.org");
    }

    #[test]
    fn addresses_in_a_text_are_hidden() {
        let said = "550 5.1.1 <bo@example.org>: unknown, see https://x.example/?a@b (bo@x.y)";
        let hidden = hide(said);
        assert_eq!(hidden, "550 5.1.1 <***>: unknown, see https:*** (***)");
        assert_eq!(hide("nothing to hide: 1 < 2"), "nothing to hide: 1 < 2");
    }
}
