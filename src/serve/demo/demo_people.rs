//! The people of the demonstration: realistic names, short and long, in several scripts.
//!
//! All are invented; every address is under `.example`.

use crate::domain::case_folding::folded;
use crate::domain::{Email, Failure, Name};

/// Most letters of each name in an address.
const LETTERS_MAX: usize = 24;

/// First and last name.
pub(super) type Person = (&'static str, &'static str);

/// Members. The longest names have the maximum length.
pub(super) const MEMBERS: [Person; 56] = [
    ("Asha", "Rao"),
    ("Ravi", "Kumar"),
    ("Priya", "Sharma"),
    ("Arjun", "Mehta"),
    ("Lakshmi", "Narayanan"),
    ("Vikram", "Singh"),
    ("Ananya", "Iyer"),
    ("Mohammed", "Ansari"),
    ("Fatima", "Sheikh"),
    ("Sanjay", "Patel"),
    ("Deepa", "Krishnamurthy"),
    ("Zoë", "Müller"),
    ("Åsa", "Ångström"),
    ("Łukasz", "Wójcik"),
    ("José", "García Márquez"),
    ("Chloé", "Lefèvre"),
    ("Seán", "O'Brien"),
    ("Ngozi", "Okafor"),
    ("Thandiwe", "Mbeki"),
    ("Nguyễn", "Thị Hương"),
    ("रवि", "शर्मा"),
    ("सुनीता", "देवी"),
    ("தமிழ்", "செல்வன்"),
    ("דוד", "כהן"),
    ("محمد", "الأحمد"),
    ("美咲", "佐藤"),
    ("伟", "王"),
    ("민준", "김"),
    ("Дмитрий", "Соколов"),
    ("Ελένη", "Παπαδοπούλου"),
    ("Venkatanarasimharajuvaripeta", "Subrahmanyam"),
    (
        "Wolfeschlegelsteinhausenbergerdorffwelchevoralternwarengewissenh",
        "Kuratorenschaftsvorsitzendenstellvertreterinnenversammlungsleite",
    ),
    ("Bo", "Li"),
    ("Kavita", "Desai"),
    ("Rohan", "Gupta"),
    ("Meera", "Joshi"),
    ("Aditya", "Verma"),
    ("Nisha", "Reddy"),
    ("Karthik", "Subramanian"),
    ("Pooja", "Chopra"),
    ("Imran", "Khan"),
    ("Harpreet", "Kaur"),
    ("Gurpreet", "Gill"),
    ("Divya", "Menon"),
    ("Suresh", "Pillai"),
    ("Aishwarya", "Nair"),
    ("Rahul", "Banerjee"),
    ("Sneha", "Chatterjee"),
    ("Tanvi", "Kulkarni"),
    ("Farhan", "Qureshi"),
    ("Maria", "Fernandes"),
    ("John", "D'Souza"),
    ("Emily", "Clarke"),
    ("Hannah", "Schmidt"),
    ("Lucas", "Silva"),
    ("Amara", "Diallo"),
];

/// Former members.
pub(super) const REMOVED: [Person; 3] =
    [("Nikhil", "Bose"), ("Irina", "Petrova"), ("Tomás", "Herrera")];

/// The address for a name; `number` if the name has no Latin letters.
pub(super) fn email(person: Person, number: usize) -> Result<Email, Failure> {
    let latin = |name: &str| -> String {
        let letters = folded(name).chars().filter(char::is_ascii_alphanumeric).collect::<String>();
        letters.chars().take(LETTERS_MAX).collect()
    };
    let (first, last) = (latin(person.0), latin(person.1));
    if first.is_empty() || last.is_empty() {
        Email::parse(&format!("member.{number}@demo.example"))
    } else {
        Email::parse(&format!("{first}.{last}@demo.example"))
    }
}

/// Both names, checked.
pub(super) fn names(person: Person) -> Result<(Name, Name), Failure> {
    Ok((Name::parse("first_name", person.0)?, Name::last(person.1)?))
}
