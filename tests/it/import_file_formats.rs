//! Import files: each case is a file, and the parsed result.
//!
//! Every file is read in pieces of every length, since a network may split it anywhere.

use kwic_team::domain::RoleId;
use kwic_team::services::import::{Format, ImportReader, ImportTarget};
use kwic_team::services::roles::RoleTitles;

/// Roles without a title of their own.
fn titled(roles: impl IntoIterator<Item = RoleId>) -> RoleTitles {
    RoleTitles::new(roles.into_iter().map(|role| (role.clone(), role.to_string())))
}

/// What is read of a file: `LINE ID ADDRESS ROLE STATUS` for a row, `LINE: REASON` for a fault.
fn outline(format: Format, file: &[u8], piece: usize) -> Vec<String> {
    let roles = ["reader", "writer"].map(|role| RoleId::parse(role).unwrap());
    let mut reader = ImportReader::new(format, ImportTarget::Members, titled(roles));
    for bytes in file.chunks(piece) {
        reader.feed(bytes);
    }
    reader.end();
    let mut outline: Vec<String> = reader
        .take_rows()
        .into_iter()
        .map(|(line, row)| {
            let id = row.id.as_ref().map_or("-", |id| id.as_str());
            format!("{line} {id} {} {} {}", row.email, row.role, row.status.as_str())
        })
        .collect();
    if let Err(faults) = reader.finish() {
        outline.extend(faults.list.into_iter().map(|(line, reason)| format!("{line}: {reason}")));
    }
    outline
}

/// Each expected line must be the beginning of the line found.
#[track_caller]
fn check(format: Format, file: &[u8], expected: &[&str]) {
    for piece in 1..=file.len().max(1) {
        let found = outline(format, file, piece);
        assert_eq!(found.len(), expected.len(), "pieces of {piece}: {found:#?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "pieces of {piece}:\n{found}\n{expected}");
        }
    }
}

#[test]
fn csv_as_spreadsheets_write_it() {
    check(
        Format::Csv,
        b"\xef\xbb\xbfemail,role,first_name,last_name,id\r\n\
          ann@example.org,writer,\"Ann, the \"\"first\"\"\",Lee,a1\r\n\
          \r\n\
          bo@example.org,reader,\"Bo\n\",\"Lee\",\r\n\
          cy@example.org,reader,Cy,Lee,c3",
        &[
            "2 a1 ann@example.org writer active",
            "4 - bo@example.org reader active",
            "6 c3 cy@example.org reader active",
        ],
    );
}

#[test]
fn csv_faults_each_with_its_line() {
    check(
        Format::Csv,
        b"first_name,last_name,email,role\n\
          Ann,Lee,ann@example.org,boss\n\
          Bo,Lee,bo@example.org\n\
          \"C\ny\",Lee,cy@example.org,reader\n\
          ,Lee,dee@,reader\n\
          Eve,Lee,eve@example.org,\"reader\n",
        &[
            "2: there is no role `boss`: use one of `reader`, `writer`",
            "3: the line has 3 cells and the header line 4",
            "4: `first_name` holds a control",
            "6: `first_name` is empty: write a name; `dee@` is not an email address",
            "7: a quote is opened and never closed",
        ],
    );
}

#[test]
fn csv_without_a_good_header_line_says_only_that() {
    let good = "Ann,Lee,ann@example.org,writer\n";
    let cases = [
        ("first_name,last_name,email,role,phone\n", "1: unknown column `phone`"),
        ("first_name,last_name,email,role,email\n", "1: column `email` is given twice"),
        ("first_name,last_name,role\n", "1: column `email` is missing"),
        ("", "1: unknown column `Ann`; unknown column `Lee`"),
    ];
    for (header, expected) in cases {
        check(Format::Csv, format!("{header}{good}").as_bytes(), &[expected]);
    }
}

#[test]
fn json_lines() {
    check(
        Format::JsonLines,
        b"{\"first_name\":\"Ann\",\"last_name\":\"Lee\",\"email\":\"ann@example.org\",\"role\":\"writer\",\"id\":\"a1\"}\r\n\
          \n\
          {\"role\":\"reader\",\"email\":\"bo@example.org\",\"last_name\":\"\\u004cee\",\"first_name\":\"Bo\",\"status\":\"suspended\"}\n\
          {\"first_name\":\"Cy\",\"last_name\":\"Lee\",\"email\":\"cy@example.org\",\"role\":\"reader\",\"phone\":\"1\"}\n\
          {\"first_name\":\"Dee\",\"first_name\":\"Dee\"}\n\
          {\"first_name\":\"Eve\"}\n\
          {\"first_name\":\n",
        &[
            "1 a1 ann@example.org writer active",
            "3 - bo@example.org reader suspended",
            "4: unknown key `phone`",
            "5: `first_name` is given twice",
            "6: `last_name` is missing; `email` is missing; `role` is missing",
            "7: the line is not one JSON object",
        ],
    );
}

#[test]
fn a_file_without_members_is_a_slip_of_the_hand() {
    for file in ["", "\n\n", "\u{feff}"] {
        check(Format::JsonLines, file.as_bytes(), &["1: the file names nobody"]);
        check(Format::Csv, file.as_bytes(), &["1: the file names nobody"]);
    }
    check(Format::Csv, b"first_name,last_name,email,role\n", &["1: the file names nobody"]);
}

#[test]
fn the_digest_is_that_of_the_bytes_as_they_came() {
    let file = b"first_name,last_name,email,role\nAnn,Lee,ann@example.org,writer\n";
    let roles = titled([RoleId::parse("writer").unwrap()]);
    let mut reader = ImportReader::new(Format::Csv, ImportTarget::Members, roles);
    reader.feed(file);
    reader.end();
    // As `sha256sum` says it.
    assert_eq!(
        reader.finish().unwrap().hex(),
        "9cf449ea8dc001bac6f4489915988b5071d6586fa6123a803aeb3116c5ae641f"
    );
}
