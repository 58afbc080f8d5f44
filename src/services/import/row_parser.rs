//! Parses one record of an import file.
//!
//! Two formats, CSV and JSON lines, one [`ImportedRow`]. All faults of a line are reported together, in one
//! sentence. Independent of the store and the policies: the caller passes the roles.

use std::fmt;

use serde::de::{DeserializeSeed, Error, MapAccess, Visitor};

use crate::domain::escaped_text::printable;
use crate::domain::input_cleanup::{is_utf16, pasted};
use crate::domain::{Email, Failure, MemberId, Name, RoleId, Status, limits};
use crate::services::roles::RoleTitles;

/// The fields that a line may have.
const FIELDS: [&str; 6] = ["id", "first_name", "last_name", "email", "role", "status"];
/// Those that it must have.
const REQUIRED: [&str; 4] = ["first_name", "last_name", "email", "role"];

/// What is created from a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportTarget {
    /// Members.
    Members,
    /// Invites: without id and status.
    Invites,
}

impl ImportTarget {
    /// The optional fields of a line.
    const fn optional(self) -> &'static [&'static str] {
        match self {
            Self::Members => &["id", "status"],
            Self::Invites => &[],
        }
    }

    fn takes(self, field: &str) -> bool {
        REQUIRED.contains(&field) || self.optional().contains(&field)
    }

    /// The maximum number of people in a file.
    pub(super) const fn people_max(self) -> usize {
        match self {
            Self::Members => limits::IMPORT_MEMBERS_MAX,
            Self::Invites => limits::BULK_ITEMS_MAX,
        }
    }
}

/// One line of a file, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedRow {
    /// The id by which services already know the person.
    pub id: Option<MemberId>,
    /// The address.
    pub email: Email,
    /// First name.
    pub first_name: Name,
    /// Last name.
    pub last_name: Name,
    /// The role.
    pub role: RoleId,
    /// Active by default; an export writes it, and a suspended member must not become active by an
    /// import.
    pub status: Status,
}

/// The fields of one line as text, in the order of [`FIELDS`].
#[derive(Debug, Default)]
struct RowTexts([Option<String>; FIELDS.len()]);

impl RowTexts {
    /// Sets a field; false if there is no such field.
    fn put(&mut self, field: &str, text: String) -> bool {
        let place = FIELDS.iter().position(|known| *known == field);
        match place.and_then(|place| self.0.get_mut(place)) {
            Some(place) => {
                *place = Some(text);
                true
            }
            None => false,
        }
    }

    fn get(&self, field: &str) -> Option<&str> {
        let place = FIELDS.iter().position(|known| *known == field)?;
        self.0.get(place)?.as_deref()
    }
}

/// The field of a column, in any spelling: `First Name`, `first-name`, `E-Mail`.
pub(super) fn field_of(name: &str) -> Option<&'static str> {
    let letters = pasted(name).chars().filter(|c| c.is_alphanumeric());
    let letters: String = letters.flat_map(char::to_lowercase).collect();
    let meant = match letters.as_str() {
        "givenname" | "forename" => "firstname",
        "familyname" | "surname" => "lastname",
        "emailaddress" => "email",
        letters => letters,
    };
    FIELDS.into_iter().find(|field| field.replace('_', "") == meant)
}

/// The columns of a CSV file, in the order of its header line.
#[derive(Clone, Debug)]
pub(super) struct Columns {
    fields: Vec<&'static str>,
    separator: u8,
}

impl Columns {
    /// Parses the header line.
    ///
    /// # Errors
    /// The reason: unknown, doubled and missing columns, each named.
    pub(super) fn read(
        header: &[u8],
        separator: u8,
        becomes: ImportTarget,
    ) -> Result<Self, String> {
        let mut columns = Vec::new();
        let mut faults = Vec::new();
        let cells = cells(header, separator)?;
        for name in filled(&cells) {
            match field_of(name).filter(|field| becomes.takes(field)) {
                None => faults.push(format!("unknown column `{}`", printable(name.trim()))),
                Some(field) if columns.contains(&field) => {
                    faults.push(format!("column `{field}` is given twice"));
                }
                Some(field) => columns.push(field),
            }
        }
        for field in REQUIRED {
            if !columns.contains(&field) {
                faults.push(format!("column `{field}` is missing"));
            }
        }
        if faults.is_empty() {
            return Ok(Self { fields: columns, separator });
        }
        let wanted = match becomes.optional() {
            [] => String::new(),
            optional => format!(" and, if wanted, `{}`", optional.join("` and `")),
        };
        Err(format!(
            "{}: the first line must name the columns, `{}`{wanted}",
            faults.join("; "),
            REQUIRED.join("`, `")
        ))
    }

    /// Parses one record after the header line.
    ///
    /// # Errors
    /// The reason, all faults of the record in one sentence.
    pub(super) fn row(&self, record: &[u8], roles: &RoleTitles) -> Result<ImportedRow, String> {
        let cells = cells(record, self.separator)?;
        let columns = self.fields.len();
        // Spreadsheets write empty cells for columns without a name.
        if cells.len() < columns || filled(&cells).count() > columns {
            return Err(format!(
                "the line has {} cells and the header line {columns}: give each column a cell",
                cells.len(),
            ));
        }
        let mut texts = RowTexts::default();
        for (column, cell) in self.fields.iter().zip(&cells) {
            // An empty cell of an optional column means that it is absent.
            if !cell.is_empty() || REQUIRED.contains(column) {
                texts.put(column, as_meant(cell).to_owned());
            }
        }
        checked(&texts, roles)
    }
}

/// Whether a spreadsheet would evaluate a cell.
pub(in crate::services) fn begins_like_a_formula(cell: &str) -> bool {
    cell.starts_with(['=', '+', '-', '@', '\t', '\r'])
}

/// A cell without the apostrophe that makes it text.
fn as_meant(cell: &str) -> &str {
    match cell.strip_prefix('\'') {
        Some(text) if begins_like_a_formula(text.trim_start_matches('\'')) => text,
        _ => cell,
    }
}

/// The cells up to the last one that is not empty.
fn filled(cells: &csv::StringRecord) -> impl Iterator<Item = &str> {
    let is_filled = |at: &usize| cells.get(*at).is_some_and(|cell| !cell.trim().is_empty());
    cells.iter().take((0..cells.len()).rfind(is_filled).map_or(0, |last| last + 1))
}

fn cells(record: &[u8], separator: u8) -> Result<csv::StringRecord, String> {
    if is_utf16(record) {
        return Err(utf16());
    }
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(separator)
        .has_headers(false)
        .flexible(true)
        // The record is in memory already: a larger buffer would only cost time to clear it.
        .buffer_capacity(512)
        .from_reader(record);
    let mut cells = csv::StringRecord::new();
    let read = reader.read_record(&mut cells).map_err(|_| not_utf8())?;
    let more = reader.read_byte_record(&mut csv::ByteRecord::new()).unwrap_or(true);
    if !read || more {
        return Err(
            "the line has a carriage return without a line feed: save the file with LF or CRLF line ends"
                .to_owned(),
        );
    }
    Ok(cells)
}

fn not_utf8() -> String {
    "the line is not UTF-8 (older spreadsheets write Windows-1252): save the file as CSV UTF-8"
        .to_owned()
}

fn utf16() -> String {
    "the file is UTF-16, which Excel calls Unicode text: save it as CSV UTF-8".to_owned()
}

/// Parses one line of JSON.
///
/// # Errors
/// The reason, all faults of the line in one sentence.
pub(super) fn json_row(
    line: &[u8],
    becomes: ImportTarget,
    roles: &RoleTitles,
) -> Result<ImportedRow, String> {
    if is_utf16(line) {
        return Err(utf16());
    }
    let line = str::from_utf8(line).map_err(|_| not_utf8())?;
    let mut texts = serde_json::Deserializer::from_str(line);
    let read = TextsOf(becomes).deserialize(&mut texts).and_then(|read| texts.end().map(|()| read));
    checked(&read.map_err(|fault| json_fault(&fault))?, roles)
}

/// A parser's message without its line number, which is always 1.
fn json_fault(fault: &serde_json::Error) -> String {
    let text = fault.to_string();
    let what = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what);
    if fault.is_data() {
        what.to_owned()
    } else {
        format!("the line is not one JSON object: {what} at column {}", fault.column())
    }
}

/// Reads the permitted fields.
struct TextsOf(ImportTarget);

impl<'de> DeserializeSeed<'de> for TextsOf {
    type Value = RowTexts;

    fn deserialize<D: serde::Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<RowTexts, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for TextsOf {
    type Value = RowTexts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("one JSON object a line")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<RowTexts, A::Error> {
        let mut texts = RowTexts::default();
        while let Some(field) = members.next_key::<String>()? {
            let shown = printable(&field);
            if texts.get(&field).is_some() {
                return Err(A::Error::custom(format!("`{shown}` is given twice")));
            }
            let serde_json::Value::String(text) = members.next_value()? else {
                return Err(A::Error::custom(format!("`{shown}` must be a string")));
            };
            if !self.0.takes(&field) || !texts.put(&field, text) {
                let known = FIELDS.into_iter().filter(|field| self.0.takes(field));
                let fields = known.collect::<Vec<_>>().join("`, `");
                return Err(A::Error::custom(format!("unknown key `{shown}`: use `{fields}`")));
            }
        }
        Ok(texts)
    }
}

/// Makes a row; reports all faults together.
fn checked(texts: &RowTexts, roles: &RoleTitles) -> Result<ImportedRow, String> {
    let mut faults = Vec::new();
    let first_name = required(texts, "first_name", name("first_name"), &mut faults);
    let last_name = required(texts, "last_name", Name::last, &mut faults);
    let email = required(texts, "email", Email::parse, &mut faults);
    let role = required(texts, "role", |text| roles.find(text), &mut faults);
    let id = optional(texts, "id", MemberId::parse, &mut faults);
    let status = optional(texts, "status", status, &mut faults);
    match (first_name, last_name, email, role) {
        (Some(first_name), Some(last_name), Some(email), Some(role)) if faults.is_empty() => {
            let status = status.unwrap_or(Status::Active);
            Ok(ImportedRow { id, email, first_name, last_name, role, status })
        }
        _ => Err(faults.join("; ")),
    }
}

fn name(field: &'static str) -> impl Fn(&str) -> Result<Name, Failure> {
    move |text| Name::parse(field, text)
}

fn status(text: &str) -> Result<Status, Failure> {
    Status::ALL.into_iter().find(|status| status.as_str() == text).ok_or_else(|| {
        let text = printable(text);
        Failure::invalid("status", format!("`{text}` is not a status: use `active` or `suspended`"))
    })
}

fn required<T>(
    texts: &RowTexts,
    field: &str,
    parse: impl Fn(&str) -> Result<T, Failure>,
    faults: &mut Vec<String>,
) -> Option<T> {
    if texts.get(field).is_none() {
        faults.push(format!("`{field}` is missing"));
    }
    optional(texts, field, parse, faults)
}

fn optional<T>(
    texts: &RowTexts,
    field: &str,
    parse: impl Fn(&str) -> Result<T, Failure>,
    faults: &mut Vec<String>,
) -> Option<T> {
    parse(texts.get(field)?).map_err(|fault| faults.push(fault.public)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(header: &str) -> Columns {
        Columns::read(header.as_bytes(), b',', ImportTarget::Members).unwrap()
    }

    fn roles() -> RoleTitles {
        let all = [("writer", "Author"), ("r", "Reader"), ("a", "Boss"), ("b", "boss")];
        RoleTitles::new(all.map(|(id, title)| (RoleId::parse(id).unwrap(), title.to_owned())))
    }

    #[test]
    fn columns_stand_in_any_order_and_the_optional_ones_may_be_left_out() {
        let row = columns("role,email, last_name ,first_name")
            .row(b"writer,Ann@Example.org,Lee,\"Ann\"", &roles())
            .unwrap();
        assert_eq!((row.first_name.as_str(), row.last_name.as_str()), ("Ann", "Lee"));
        assert_eq!((row.email.as_str(), row.role.as_str()), ("Ann@Example.org", "writer"));
        assert_eq!((row.id, row.status), (None, Status::Active));
    }

    #[test]
    fn a_header_tells_all_its_faults_at_once() {
        let fault =
            Columns::read(b"first_name,last_name,mail,role,role", b',', ImportTarget::Members)
                .unwrap_err();
        for part in ["unknown column `mail`", "`role` is given twice", "`email` is missing"] {
            assert!(fault.contains(part), "{fault}");
        }
    }

    #[test]
    fn a_line_tells_all_its_faults_at_once() {
        let columns = columns("first_name,last_name,email,role,id,status");
        let fault = columns.row(b",Lee,ann,Writer!,a b,gone", &roles()).unwrap_err();
        for part in ["`first_name` is empty", "`ann`", "`Writer!`", "`a b`", "`gone`"] {
            assert!(fault.contains(part), "{part} in {fault}");
        }
        assert!(
            columns
                .row(b"Ann,Lee", &roles())
                .unwrap_err()
                .contains("2 cells and the header line 6")
        );
    }

    #[test]
    fn an_empty_optional_cell_is_no_cell_and_a_suspended_member_stays_so() {
        let columns = columns("first_name,last_name,email,role,id,status");
        let row = columns.row(b"Ann,Lee,ann@example.org,writer,,", &roles()).unwrap();
        assert_eq!((row.id, row.status), (None, Status::Active));
        let row = columns.row(b"Ann,Lee,ann@example.org,writer,a1,suspended", &roles()).unwrap();
        assert_eq!(row.id.unwrap().as_str(), "a1");
        assert_eq!(row.status, Status::Suspended);
    }

    #[test]
    fn a_lone_carriage_return_and_other_encodings_are_faults() {
        let columns = columns("first_name,last_name,email,role");
        let fault = columns.row(b"Ann,Lee,a@b.c,r\rBo,Lee,b@b.c,r", &roles()).unwrap_err();
        assert!(fault.contains("carriage return"), "{fault}");
        let fault = columns.row(b"J\xfcrg,Lee,a@b.c,r", &roles()).unwrap_err();
        assert!(fault.contains("UTF-8"), "{fault}");
    }

    #[test]
    fn a_json_line_is_strict_about_its_members() {
        let line = |extra: &str| {
            let text = format!(
                r#"{{"first_name":"Ann","last_name":"Lee","email":"ann@example.org"{extra}}}"#
            );
            json_row(text.as_bytes(), ImportTarget::Members, &roles())
        };
        assert_eq!(line(r#","role":"writer","id":"a1""#).unwrap().id.unwrap().as_str(), "a1");
        let cases = [
            ("", "`role` is missing"),
            (r#","role":"a","role":"b""#, "`role` is given twice"),
            (r#","role":"a","phone":"1""#, "unknown key `phone`"),
            (r#","role":7"#, "`role` must be a string"),
            (r#","role":null"#, "`role` must be a string"),
        ];
        for (extra, expected) in cases {
            let fault = line(extra).unwrap_err();
            assert!(fault.contains(expected), "{expected} in {fault}");
        }
        for text in [&b"[1]"[..], b"{", b"{} {}", b"x"] {
            let fault = json_row(text, ImportTarget::Members, &roles()).unwrap_err();
            assert!(fault.contains("JSON object"), "{fault}");
            assert!(!fault.contains("line 1"), "{fault}");
        }
    }

    #[test]
    fn who_is_invited_has_no_id_yet() {
        let header = b"id,first_name,last_name,email,role";
        assert!(Columns::read(header, b',', ImportTarget::Members).is_ok());
        assert_eq!(
            Columns::read(header, b',', ImportTarget::Invites).unwrap_err(),
            "unknown column `id`: the first line must name the columns, `first_name`, `last_name`, `email`, `role`"
        );
        let line = br#"{"first_name":"Ann","last_name":"Lee","email":"a@b.c","role":"r","status":"active"}"#;
        assert!(json_row(line, ImportTarget::Members, &roles()).is_ok());
        let fault = json_row(line, ImportTarget::Invites, &roles()).unwrap_err();
        assert_eq!(fault, "unknown key `status`: use `first_name`, `last_name`, `email`, `role`");
    }

    #[test]
    fn a_header_is_read_however_its_names_are_written() {
        for header in [
            "First Name,Last Name,E-Mail,Role",
            "FIRST_NAME,LAST_NAME,EMAIL,ROLE",
            " first-name , last-name ,Email address, role ,,",
            "\u{feff}\"Given name\",Surname,e mail,ROLE",
        ] {
            let row = columns(header).row(b"Ann,Lee,ann@example.org,writer,,", &roles()).unwrap();
            assert_eq!(
                (row.first_name.as_str(), row.last_name.as_str()),
                ("Ann", "Lee"),
                "{header}"
            );
            assert_eq!((row.email.as_str(), row.role.as_str()), ("ann@example.org", "writer"));
        }
        let twice = Columns::read(
            b"First Name,firstname,last_name,email,role",
            b',',
            ImportTarget::Members,
        );
        assert!(twice.unwrap_err().contains("`first_name` is given twice"));
        let columns = columns("first_name,last_name,email,role");
        assert!(columns.row(b"Ann,Lee,a@b.c,writer,,x", &roles()).unwrap_err().contains("6 cells"));
        // The separator of the header is that of every line.
        let columns =
            Columns::read(b"first_name;last_name;email;role", b';', ImportTarget::Members).unwrap();
        let row = columns.row(b"Ann;\"Lee; Jr\";a@b.c;writer", &roles()).unwrap();
        assert_eq!(row.last_name.as_str(), "Lee; Jr");
    }

    #[test]
    fn a_role_may_be_written_by_its_title_where_that_is_the_title_of_one() {
        let columns = columns("first_name,last_name,email,role");
        let role = |role: &str| columns.row(format!("Ann,-,a@b.c,{role}").as_bytes(), &roles());
        for written in ["writer", "Writer", " AUTHOR ", "author"] {
            let row = role(written).unwrap();
            assert_eq!((row.role.as_str(), row.last_name.as_str()), ("writer", ""), "{written}");
        }
        assert!(role("boss").unwrap_err().contains("`boss` is the title of several roles"));
        assert_eq!(role("b").unwrap().role.as_str(), "b", "an id is never ambiguous");
        assert!(role("editor").unwrap_err().contains("there is no role `editor`: use one of `"));
    }

    #[test]
    fn other_encodings_are_named() {
        let utf16: Vec<u8> = "\u{feff}first".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let fault = Columns::read(&utf16, b',', ImportTarget::Members).unwrap_err();
        assert!(fault.contains("is UTF-16"), "{fault}");
        assert!(
            json_row(&utf16, ImportTarget::Members, &roles()).unwrap_err().contains("is UTF-16")
        );
        let columns = columns("first_name,last_name,email,role");
        let fault = columns.row(b"J\xfcrg,Lee,a@b.c,r", &roles()).unwrap_err();
        assert!(fault.contains("Windows-1252"), "{fault}");
    }
}
