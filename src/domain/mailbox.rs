//! The sender of mail: an address with an optional display name (RFC 5322 section 3.4).

use super::invisible_characters::hidden;
use super::{Email, limits};

/// An address with a display name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailbox {
    /// The name; empty if there is none.
    pub name: String,
    /// The address.
    pub email: Email,
}

impl Mailbox {
    /// Parses `a@b.example`, `Name <a@b.example>` or `"Name, with a comma" <a@b.example>`.
    ///
    /// # Errors
    /// What is wrong and what to write instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (name, address) = match text.strip_suffix('>') {
            Some(rest) => rest.rsplit_once('<').ok_or("there is no `<` before the address")?,
            None if text.contains('<') => {
                return Err("the address has no `>` at its end".to_owned());
            }
            None => ("", text),
        };
        let email = Email::parse(address.trim()).map_err(|failure| failure.public)?;
        let name = named(name.trim())?;
        if name.chars().any(hidden) {
            return Err("the name has a control or invisible character: remove it".to_owned());
        }
        if name.chars().count() > limits::SENDER_NAME_CHARS_MAX {
            let most = limits::SENDER_NAME_CHARS_MAX;
            return Err(format!("the name has more than {most} characters: shorten it"));
        }
        Ok(Self { name, email })
    }
}

/// A name without its quotes.
fn named(text: &str) -> Result<String, String> {
    let Some(inside) = text.strip_prefix('"') else {
        // Characters that separate several addresses.
        return match text.chars().find(|c| "\",;<>".contains(*c)) {
            Some(c) => Err(format!("put the name in quotes, since it has a `{c}`")),
            None => Ok(text.to_owned()),
        };
    };
    let mut name = String::new();
    let mut rest = inside.chars();
    loop {
        match rest.next() {
            Some('\\') => name.extend(rest.next()),
            Some('"') if rest.as_str().is_empty() => return Ok(name.trim().to_owned()),
            Some('"') => return Err("write nothing between the quoted name and the `<`".to_owned()),
            Some(c) => name.push(c),
            None => return Err("the name has no quote at its end".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_has_a_name_or_none() {
        for (text, name) in [
            ("no-reply@example.org", ""),
            (" <no-reply@example.org> ", ""),
            ("KWIC <no-reply@example.org>", "KWIC"),
            ("KWIC Team<no-reply@example.org>", "KWIC Team"),
            ("\"KWIC, Inc.\" <no-reply@example.org>", "KWIC, Inc."),
            ("\"The \\\"A\\\" <team>\" <no-reply@example.org>", "The \"A\" <team>"),
            ("Caf\u{e9} <no-reply@example.org>", "Caf\u{e9}"),
            ("\"\" <no-reply@example.org>", ""),
        ] {
            let found = Mailbox::parse(text).unwrap();
            assert_eq!((found.name.as_str(), found.email.as_str()), (name, "no-reply@example.org"));
        }
    }

    #[test]
    fn what_is_no_sender_is_refused_with_what_to_write() {
        let long = format!("{} <a@b.example>", "x".repeat(200));
        for (text, why) in [
            ("", "the email address is missing"),
            ("KWIC", "is not an email address"),
            ("KWIC <nobody>", "is not an email address"),
            ("KWIC <a@b.example", "no `>`"),
            ("KWIC a@b.example>", "no `<`"),
            ("KWIC, Inc. <a@b.example>", "in quotes"),
            ("a@b.example, c@d.example", "is not an email address"),
            ("<a@b.example> <c@d.example>", "in quotes"),
            ("\"KWIC <a@b.example>", "no quote at its end"),
            ("\"KWIC\" Team <a@b.example>", "nothing between"),
            ("KWIC\r\nBcc: x <a@b.example>", "control"),
            ("\"KWIC\\\r\\\nBcc: x\" <a@b.example>", "control"),
            ("KW\u{202e}IC <a@b.example>", "invisible"),
            (long.as_str(), "shorten it"),
        ] {
            let found = Mailbox::parse(text).unwrap_err();
            assert!(found.contains(why), "{text:?}: {found}");
        }
    }
}
