//! Pasted lists of people: rows of a spreadsheet, or the address list of a mail program.
//!
//! Accepts only what is unambiguous. For a person with more than two names it asks which are first
//! names.

use crate::domain::{Email, Failure, Kind, Name, RoleId};
use crate::flows::invites::Invitation;
use crate::flows::roles::Titles;

/// The separators of cells, the most reliable first.
const SEPARATORS: [char; 3] = ['\t', ';', ','];

/// The entries of a text, each with its source: a line each, and each address of a list such as
/// `"Last, First" <user@example.org>; other@example.org`. Empty rows are skipped.
#[must_use]
pub fn entries(text: &str) -> Vec<&str> {
    let is_nothing = |part: &&str| part.chars().all(|c| c.is_whitespace() || ",;\"".contains(c));
    let lines = text.split(['\n', '\r']).map(str::trim).filter(|line| !is_nothing(line));
    lines.flat_map(|line| addresses(line).unwrap_or_else(|| vec![line])).collect()
}

/// The addresses of a line that contains only addresses.
fn addresses(line: &str) -> Option<Vec<&str>> {
    [';', ','].into_iter().find_map(|separator| {
        let parts = split(line, separator).into_iter().map(str::trim);
        let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
        parts.iter().all(|part| is_address(part)).then_some(parts)
    })
}

/// `Name <user@example.org>` or `user@example.org`.
fn is_address(part: &str) -> bool {
    let is_bare =
        part.contains('@') && !part.contains(|c: char| c.is_whitespace() || ",;".contains(c));
    part.ends_with('>') && part.matches('<').count() == 1 || is_bare && !part.contains('<')
}

/// Splits at a separator outside quotes.
fn split(line: &str, separator: char) -> Vec<&str> {
    let mut quoted = false;
    line.split(|c: char| {
        quoted ^= c == '"';
        c == separator && !quoted
    })
    .collect()
}

/// A cell or a name without its quotes.
fn unquoted(text: &str) -> String {
    let text = text.trim();
    let within = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    within.unwrap_or(text).replace("\"\"", "\"")
}

/// Parses one entry. `role` is for entries without one.
///
/// # Errors
/// `Invalid`, with a sentence for each part that is missing, wrong or may mean several things.
pub fn read(entry: &str, role: Option<&RoleId>, roles: &Titles) -> Result<Invitation, Failure> {
    let given = || {
        role.cloned().ok_or_else(|| {
            Failure::invalid("role", "no role is given: choose a role for lines without one")
        })
    };
    if is_address(entry) {
        let (name, email) = match entry.strip_suffix('>').and_then(|rest| rest.split_once('<')) {
            Some((name, email)) => (unquoted(name), email),
            None => (String::new(), entry),
        };
        return all(names(&name), Email::parse(email), given());
    }
    let cells = SEPARATORS.into_iter().map(|separator| split(entry, separator));
    let cells = cells.into_iter().find(|cells| (3..=4).contains(&cells.len()));
    let cells: Vec<String> = cells.unwrap_or_default().into_iter().map(unquoted).collect();
    let (first, last, email, role) = match cells.as_slice() {
        [first, last, email, role] => (first, last, email, roles.find(role)),
        [first, last, email] => (first, last, email, given()),
        _ => {
            return Err(Failure::invalid(
                "lines",
                "write first name, last name, email and role, divided by commas, semicolons or tabs, or an address such as `Ann Lee <ann@example.org>`",
            ));
        }
    };
    let first = Name::parse("first_name", first);
    let last = Name::last(last);
    all(first.and_then(|first| Ok((first, last?))), Email::parse(email), role)
}

/// An invitation from its parts, or all faults.
fn all(
    names: Result<(Name, Name), Failure>,
    email: Result<Email, Failure>,
    role: Result<RoleId, Failure>,
) -> Result<Invitation, Failure> {
    match (names, email, role) {
        (Ok((first_name, last_name)), Ok(email), Ok(role)) => {
            Ok(Invitation { email, first_name, last_name, role })
        }
        (names, email, role) => {
            let faults = [names.err(), email.err(), role.err()].into_iter().flatten();
            let sentences: Vec<String> = faults.map(|fault| fault.public).collect();
            Err(Failure::new(Kind::Invalid, "invalid", sentences.join("; ")))
        }
    }
}

/// First and last name if they are unambiguous: one name, two, or `Last, First`.
fn names(name: &str) -> Result<(Name, Name), Failure> {
    let (first, last) = match name.split_once(',') {
        Some((last, first)) if !first.contains(',') => (first, last),
        Some(_) => return Err(unclear(name)),
        None => match name.split_whitespace().collect::<Vec<_>>().as_slice() {
            // Mail programs show the address if they know no name.
            [] => return Err(nameless()),
            [address] if address.contains('@') => return Err(nameless()),
            [only] => (*only, ""),
            [first, last] => (*first, *last),
            _ => return Err(unclear(name)),
        },
    };
    Ok((Name::parse("first_name", first)?, Name::last(last)?))
}

fn nameless() -> Failure {
    Failure::invalid(
        "first_name",
        "this address has no name: write `First Last <user@example.org>`",
    )
}

fn unclear(name: &str) -> Failure {
    let name = name.escape_debug();
    Failure::invalid(
        "first_name",
        format!(
            "which names of `{name}` are first and which are last? write `Last, First <user@example.org>`"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn titles() -> Titles {
        Titles::new([(RoleId::parse("writer").unwrap(), "Author".to_owned())])
    }

    fn read_all(text: &str) -> Vec<Result<String, String>> {
        let role = RoleId::parse("writer").unwrap();
        let read = |entry: &str| match read(entry, Some(&role), &titles()) {
            Ok(it) => {
                let names = [it.first_name.as_str(), it.last_name.as_str()];
                Ok(format!("{}|{}|{}|{}", names[0], names[1], it.email, it.role))
            }
            Err(failure) => Err(failure.public),
        };
        entries(text).into_iter().map(read).collect()
    }

    #[test]
    fn an_address_list_of_a_mail_program_is_taken() {
        let text = "\"Last, First\" <user@example.org>; Ann Lee <ann@example.org>; Suharto <su@example.org>;\n\
            \u{200e}Bo Ray <bo@example.org>, 'Cy' <cy@example.org>\r\
            Lee, Di <di@example.org>";
        let read = read_all(text);
        let expected = [
            "First|Last|user@example.org|writer",
            "Ann|Lee|ann@example.org|writer",
            "Suharto||su@example.org|writer",
            "Bo|Ray|bo@example.org|writer",
            "'Cy'||cy@example.org|writer",
            "Di|Lee|di@example.org|writer",
        ];
        assert_eq!(read, expected.map(|line| Ok(line.to_owned())));
    }

    #[test]
    fn what_may_mean_several_things_is_asked_about() {
        for (text, words) in [
            ("bare@example.org", "this address has no name"),
            ("\"a@example.org\" <a@example.org>", "this address has no name"),
            ("Ann Maria Lee <a@example.org>", "which names of `Ann Maria Lee`"),
            ("Lee, Ann, Dr. <a@example.org>", "which names of"),
            ("Ann Lee <nonsense>", "is not an e-mail address"),
            ("Ann Lee", "write first name, last name, email and role"),
            ("Ann,Lee,nonsense,boss", "there is no role `boss`"),
        ] {
            let read = read_all(text);
            assert!(
                read.len() == 1 && read[0].as_ref().is_err_and(|why| why.contains(words)),
                "{read:?}"
            );
        }
        let alone = read("Ann Lee <a@example.org>", None, &titles());
        assert!(alone.unwrap_err().public.contains("no role is given"));
        assert_eq!(read_all("a@example.org; b@example.org, c@example.org").len(), 1);
        assert_eq!(read_all("a@example.org, b@example.org").len(), 2);
    }

    #[test]
    fn rows_of_a_spreadsheet_are_taken_with_any_separator() {
        for row in [
            "Asha,Rao,asha@example.org,writer",
            "Asha\tRao\tasha@example.org\tWriter",
            "Asha;Rao;asha@example.org;author",
            "\"Asha\";\"Rao\";asha@example.org;\" Author \"",
            ",,,\nAsha,Rao,asha@example.org\n\t\t\t",
        ] {
            assert_eq!(read_all(row), [Ok("Asha|Rao|asha@example.org|writer".to_owned())], "{row}");
        }
        let quoted = read_all("Asha,\"Rao, Jr\",asha@example.org,writer");
        assert_eq!(quoted, [Ok("Asha|Rao, Jr|asha@example.org|writer".to_owned())]);
    }
}
