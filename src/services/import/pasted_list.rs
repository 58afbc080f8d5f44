//! Pasted lists of people: rows of a spreadsheet, or the address list of a mail program.
//!
//! Accepts only what is unambiguous. For a person with more than two names it asks which are first
//! names.

use std::borrow::Cow;

use super::row_parser::field_of;
use crate::domain::escaped_text::printable;
use crate::domain::{Email, Failure, Kind, Name, RoleId, input_cleanup};
use crate::services::invites::Invitation;
use crate::services::roles::{self, RoleTitles};

/// The separators of cells, the most reliable first.
const SEPARATORS: [char; 3] = ['\t', ';', ','];

/// The columns of a row, in the order in which [`read`] takes them; the last one may be missing.
const COLUMNS: [&str; 4] = ["first_name", "last_name", "email", "role"];

/// One entry of a list.
#[derive(Debug)]
pub struct Entry<'t> {
    /// Where it is in the text.
    pub source: &'t str,
    /// The same, with its cells in the order in which [`read`] takes them.
    pub text: Cow<'t, str>,
}

/// The entries of a text: a line each, and each address of a list such as
/// `"Last, First" <user@example.org>; other@example.org`. Empty rows are skipped. A first line that names the
/// columns says in which order they are.
///
/// # Errors
/// `Invalid`, where the first line names columns, and not which ones hold names and address.
pub fn entries(text: &str) -> Result<Vec<Entry<'_>>, Failure> {
    let is_nothing = |part: &&str| part.chars().all(|c| c.is_whitespace() || ",;\"".contains(c));
    let lines = text.split(['\n', '\r']).map(|line| (line, input_cleanup::pasted(line)));
    let mut lines = lines.filter(|(_, line)| !is_nothing(line)).peekable();
    let header = lines.peek().and_then(|(_, line)| header(line)).transpose()?;
    if header.is_some() {
        lines.next();
    }
    let as_it_is = |source| Entry { source, text: Cow::Borrowed(source) };
    let of_line = |(whole, line)| match (addresses(line), &header) {
        (Some(addresses), _) => addresses.into_iter().map(as_it_is).collect(),
        (None, Some(header)) => vec![Entry { source: line, text: header.in_order(whole, line) }],
        (None, None) => vec![as_it_is(line)],
    };
    Ok(lines.flat_map(of_line).collect())
}

/// The names of columns, as the first row of a spreadsheet has them.
struct Header {
    separator: char,
    /// How many columns there are.
    width: usize,
    /// For each of [`COLUMNS`] its place in a row. Of the role there may be none.
    places: Vec<usize>,
}

/// The names of columns that a row has, if it names any, and nobody.
fn header(line: &str) -> Option<Result<Header, Failure>> {
    let split_at = |separator| (separator, split(line, separator));
    let named = SEPARATORS.into_iter().map(split_at).find_map(|(separator, cells)| {
        // Spreadsheets write cells for columns without a name.
        let named =
            cells.iter().rposition(|cell| !cell.trim().is_empty()).map_or(0, |last| last + 1);
        let cells = cells.into_iter().take(named);
        let field = |name: String| match name.to_lowercase().as_str() {
            "mail" => Some("email"),
            _ => field_of(&name),
        };
        let fields: Vec<_> = cells.map(unquoted).map(field).collect();
        (fields.len() > 1 && fields.contains(&Some("email"))).then_some((separator, fields))
    });
    let (separator, fields) = named.filter(|_| !line.contains('@'))?;
    let place = |column: &&str| fields.iter().position(|field| *field == Some(*column));
    let places: Vec<usize> = COLUMNS.iter().map_while(place).collect();
    let width = fields.len();
    let known = fields.iter().flatten();
    // An unknown column may be the role, unless a role is named. A known one is never ignored: an export has
    // a status, and its suspended members are not to be invited.
    let is_clear = places.len() + 1 >= COLUMNS.len()
        && known.clone().count() == places.len()
        && (places.len() == COLUMNS.len() || width == places.len());
    Some(is_clear.then_some(Header { separator, width, places }).ok_or_else(|| {
        Failure::invalid(
            "lines",
            "the first line names the columns, and it is not clear which of them are first name, last name, email and role: call each of them once `First name`, `Last name`, `Email` and, if there is one, `Role`; or leave out the other columns and that line, and write them in this order",
        )
    }))
}

impl Header {
    /// A row with its cells in the order of [`COLUMNS`]. `whole`: with the space around it, as a first cell may
    /// be empty.
    fn in_order<'t>(&self, whole: &str, line: &'t str) -> Cow<'t, str> {
        if self.places.iter().copied().eq(0..self.width) {
            return Cow::Borrowed(line);
        }
        let cells = split(if self.separator == '\t' { whole } else { line }, self.separator);
        let cell =
            |place: &usize| cells.get(*place).map_or("", |cell| cell.trim()).replace('\t', " ");
        self.places.iter().map(cell).collect::<Vec<_>>().join("\t").into()
    }
}

/// The addresses of a line that holds nothing else. Between semicolons stands one person each, where
/// any of them is an address with a name: what is wrong with one is told of that one alone.
fn addresses(line: &str) -> Option<Vec<&str>> {
    let parts = |separator| {
        let parts = split(line, separator).into_iter().map(str::trim);
        parts.filter(|part| !part.is_empty()).collect::<Vec<_>>()
    };
    let persons = parts(';');
    if persons.len() > 1 && persons.iter().any(|part| is_address(part) && part.ends_with('>')) {
        return Some(persons);
    }
    [persons, parts(',')].into_iter().find(|parts| parts.iter().all(|part| is_address(part)))
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
pub fn read(entry: &str, role: Option<&RoleId>, roles: &RoleTitles) -> Result<Invitation, Failure> {
    let given = || {
        role.cloned().ok_or_else(|| {
            Failure::invalid(
                "role",
                "no role is given: add it to the line, or choose a role for lines without one",
            )
        })
    };
    if is_address(entry) {
        let (name, email) = match entry.strip_suffix('>').and_then(|rest| rest.split_once('<')) {
            Some((name, email)) => (unquoted(name), email),
            None => (String::new(), entry),
        };
        return all(names(&name, email), Email::parse(email), given());
    }
    let cells = SEPARATORS.into_iter().map(|separator| split(entry, separator));
    let cells = cells.into_iter().find(|cells| (3..=4).contains(&cells.len()));
    let cells: Vec<String> = cells.unwrap_or_default().into_iter().map(unquoted).collect();
    let (first, last, email, role) = match cells.as_slice() {
        [first, last, email, role] if role.is_empty() => (first, last, email, given()),
        [first, last, email, role] => (first, last, email, known(role, roles)),
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

/// The role that a cell names. Where it names none, it is told by their titles which there are.
fn known(role: &str, roles: &RoleTitles) -> Result<RoleId, Failure> {
    roles.find(role).map_err(|failure| match failure.code {
        roles::UNKNOWN => {
            let titles = roles.titles().collect::<Vec<_>>().join("`, `");
            let role = printable(input_cleanup::pasted(role));
            Failure::invalid("role", format!("there is no role `{role}`: use one of `{titles}`"))
        }
        _ => failure,
    })
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
fn names(name: &str, email: &str) -> Result<(Name, Name), Failure> {
    let (first, last) = match name.split_once(',') {
        Some((last, first)) if !first.contains(',') => (first, last),
        Some(_) => return Err(unclear(name, email)),
        None => match name.split_whitespace().collect::<Vec<_>>().as_slice() {
            // Mail programs show the address if they know no name.
            [] => return Err(nameless(email)),
            [address] if address.contains('@') => return Err(nameless(email)),
            [only] => (*only, ""),
            [first, last] => (*first, *last),
            _ => return Err(unclear(name, email)),
        },
    };
    Ok((Name::parse("first_name", first)?, Name::last(last)?))
}

fn nameless(email: &str) -> Failure {
    let email = printable(email.trim());
    Failure::invalid("first_name", format!("add the name: write `First Last <{email}>`"))
}

/// A name that has more than one reading, with one of them as an example.
fn unclear(name: &str, email: &str) -> Failure {
    let (name, email) = (printable(name.trim()), printable(email.trim()));
    let example = match name.rsplit_once(char::is_whitespace) {
        Some((first, last)) if !name.contains(',') => format!("{last}, {}", first.trim_end()),
        _ => "Last, First".to_owned(),
    };
    Failure::invalid(
        "first_name",
        format!(
            "it is not clear which names of `{name}` are first names: write `{example} <{email}>`"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn titles() -> RoleTitles {
        RoleTitles::new([(RoleId::parse("writer").unwrap(), "Author".to_owned())])
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
        entries(text).unwrap().into_iter().map(|entry| read(&entry.text)).collect()
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
            ("bare@example.org", "add the name: write `First Last <bare@example.org>`"),
            ("\"a@example.org\" <a@example.org>", "write `First Last <a@example.org>`"),
            (
                "Ann Maria Lee <a@example.org>",
                "which names of `Ann Maria Lee` are first names: write `Lee, Ann Maria <a@example.org>`",
            ),
            ("Ann O'Neil Lee <a@example.org>", "names of `Ann O'Neil Lee` are"),
            ("Lee, Ann, Dr. <a@example.org>", "write `Last, First <a@example.org>`"),
            ("Ann Lee <nonsense>", "is not an email address"),
            ("Ann Lee", "write first name, last name, email and role"),
            ("Ann,Lee,nonsense,boss", "there is no role `boss`: use one of `Author`"),
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
    fn what_is_wrong_with_one_of_a_list_is_told_of_that_one() {
        let list = "Ann Lee <ann@example.org>; nobody at all; Cy <cy@example.org>";
        let all = read_all(list);
        assert_eq!(all.len(), 3, "{all:?}");
        assert!(all[0].is_ok() && all[2].is_ok(), "{all:?}");
        assert!(all[1].as_ref().is_err_and(|why| why.starts_with("write first name")), "{all:?}");
    }

    #[test]
    fn the_names_of_columns_are_nobody() {
        let row = "Asha,Rao,asha@example.org,writer";
        for header in
            ["First name,Last name,Email,Role", "\u{feff}first_name;last_name;EMAIL_ADDRESS;role"]
        {
            let all = read_all(&format!("{header}\n{row}"));
            assert_eq!(all, [Ok("Asha|Rao|asha@example.org|writer".to_owned())], "{header}");
        }
        // Further down it is a line like every other.
        assert_eq!(read_all(&format!("{row}\nFirst,Last,Email,Role")).len(), 2);
        assert_eq!(read_all("Email").len(), 1);
    }

    #[test]
    fn the_names_of_columns_tell_their_order() {
        for text in [
            "Last Name;First Name;E-Mail;Role\nRao;Asha;asha@example.org;writer",
            "Role,Email,Phone,Surname,Given name\nwriter,asha@example.org,\"1, 2\",Rao,Asha",
            "E-Mail\tFirst Name\tLast Name\nasha@example.org\tAsha\tRao\n",
            "Email;First name;Last name\nAsha Rao <asha@example.org>",
        ] {
            let all = read_all(text);
            assert_eq!(all, [Ok("Asha|Rao|asha@example.org|writer".to_owned())], "{text}");
        }
        let quoted = read_all("Email;Last name;First name\nasha@example.org;\"Rao; Jr\";Asha");
        assert_eq!(quoted, [Ok("Asha|Rao; Jr|asha@example.org|writer".to_owned())]);
        let no_role = read_all("Role\tEmail\tLast name\tFirst name\n\tasha@example.org\tRao\tAsha");
        assert_eq!(no_role, [Ok("Asha|Rao|asha@example.org|writer".to_owned())]);
        assert_eq!(
            read_all("First name,Last name,Mail,,\nAsha,Rao,asha@example.org,writer").len(),
            1
        );
        // Which is which is not guessed: nobody is written to by a wrong name, or gets another role.
        for header in [
            "Nachname;Vorname;E-Mail;Rolle",
            "Name,Team,Email",
            "Email,Role,First name",
            "First name;Last name;Email;Access",
            "First name;Last name;Email;Mail;Role",
            "First name;Last name;Email;Role;Status",
        ] {
            let fault =
                entries(&format!("{header}\nRao;Asha;asha@example.org;writer")).unwrap_err();
            assert!(fault.public.contains("`First name`"), "{header}: {fault}");
        }
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
