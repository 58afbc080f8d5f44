//! The rules for a new password.
//!
//! NIST SP 800-63B-4 section 3.1.1.2 and ASVS 5.0 section 6.2: a length, and a comparison with what
//! attackers try first. No composition rules. Not used when a password is only tried.

use unicode_normalization::UnicodeNormalization as _;

use super::Password;
use super::common_passwords::{CommonMatch, look_up};
use super::password_strength::{PasswordStrength, worth};
use crate::domain::{AccountSlug, Email, Failure, limits};

/// The minimum score of a password: 8 of 15 characters, so that two common passwords in a row are
/// not enough and three words are.
const WORTH_MIN: usize = 8;
/// The same with a second factor: 6 of 8 characters.
const WORTH_MIN_WITH_SECOND_FACTOR: usize = 6;
/// Shorter context words occur by coincidence.
const CONTEXT_CHARS_MIN: usize = 3;
/// The service's own names (ASVS 6.2.11).
const SERVICE: [&str; 2] = ["kwic", "whatsapp"];

/// The context of a new password, which an attacker may know.
#[derive(Clone, Copy, Debug)]
pub struct PasswordContext<'c> {
    /// Whether a second factor is required at each sign-in.
    pub second_factor: bool,
    /// The account.
    pub account: &'c AccountSlug,
    /// The account's display name.
    pub account_name: &'c str,
    /// The person's first name.
    pub first_name: &'c str,
    /// The person's last name.
    pub last_name: &'c str,
    /// The person's address.
    pub email: &'c Email,
}

/// The minimum length in code points, by whether a second factor is required.
#[must_use]
pub const fn chars_min(second_factor: bool) -> usize {
    if second_factor {
        limits::PASSWORD_CHARS_MIN_WITH_SECOND_FACTOR
    } else {
        limits::PASSWORD_CHARS_MIN
    }
}

/// Checks a new password.
///
/// # Errors
/// `Invalid` for the field `password`, with the rule and what to do. Shows nothing of the password.
pub fn check(password: &Password, context: &PasswordContext<'_>) -> Result<(), Failure> {
    let refuse = |why: String| Err(Failure::invalid("password", why));
    let length = password.as_str().chars().count();
    let least = chars_min(context.second_factor);
    if length < least {
        return refuse(format!(
            "use at least {least} characters, this password has {length}: a few words that have nothing to do with each other work well"
        ));
    }
    let text = password.as_str().to_lowercase();
    if look_up(&text) == CommonMatch::Listed {
        return refuse(
            "this password is one of the most common ones, which are tried first: choose another"
                .to_owned(),
        );
    }
    let text: Vec<char> = text.chars().collect();
    let found = worth(&text, &words(context));
    let least = if context.second_factor { WORTH_MIN_WITH_SECOND_FACTOR } else { WORTH_MIN };
    if found.worth < least {
        return refuse(format!(
            "this password is easy to guess, being little more than {}: add words that have nothing to do with it",
            what(found)
        ));
    }
    Ok(())
}

/// What was found, in words.
fn what(found: PasswordStrength) -> String {
    let mut parts: Vec<&str> = [
        (found.context, "names that belong to you, your account or this service"),
        (found.listed, "common passwords"),
        (found.run, "keys in a row such as `1234` or `qwerty`"),
        (found.again, "repetition"),
    ]
    .into_iter()
    .filter_map(|(is, part)| is.then_some(part))
    .collect();
    match (parts.pop(), parts.is_empty()) {
        (Some(last), false) => format!("{} and {last}", parts.join(", ")),
        (last, _) => last.unwrap_or_default().to_owned(),
    }
}

/// The context words, in lower case: each name as a whole and its parts.
fn words(context: &PasswordContext<'_>) -> Vec<Vec<char>> {
    let (local, domain) = context.email.key().rsplit_once('@').unwrap_or_default();
    let names = [
        context.account.as_str(),
        context.account_name,
        context.first_name,
        context.last_name,
        context.email.key(),
        local,
        domain,
    ];
    let mut words = Vec::new();
    for name in SERVICE.into_iter().chain(names) {
        let name: Vec<char> = name.nfkc().flat_map(char::to_lowercase).collect();
        let parts = name.split(|c| !c.is_alphanumeric()).chain(name.split(|c| !c.is_alphabetic()));
        words.extend(parts.map(<[char]>::to_vec));
        words.push(name);
    }
    words.retain(|word| word.len() >= CONTEXT_CHARS_MIN);
    words.sort_unstable();
    words.dedup();
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checked for Anna Meier of Globex Trading.
    fn judge(text: &str, second_factor: bool) -> Result<(), String> {
        let context = PasswordContext {
            second_factor,
            account: &AccountSlug::parse("globex-eu").unwrap(),
            account_name: "Globex Trading",
            first_name: "Anna",
            last_name: "Mei\u{308}er",
            email: &Email::parse("a.meier84+work@mail.example.org").unwrap(),
        };
        check(&Password::parse(text).unwrap(), &context).map_err(|failure| {
            assert_eq!(failure.fields.len(), 1);
            assert_eq!(failure.fields[0].0, "password");
            failure.public
        })
    }

    fn taken(text: &str) {
        assert_eq!(judge(text, false), Ok(()), "{text}");
    }

    /// Refused with a reason that names each of these.
    fn refused(text: &str, reasons: &[&str]) {
        let said = judge(text, false).expect_err(text);
        for reason in reasons {
            assert!(said.contains(reason), "{text}: {said}");
        }
    }

    const LISTED: &str = "common passwords";
    const NAMES: &str = "names that belong to you";
    const RUN: &str = "keys in a row";
    const AGAIN: &str = "repetition";

    #[test]
    fn length_is_counted_in_code_points() {
        refused("tq8zk3vw9xj2mf", &["use at least 15 characters, this password has 14"]);
        refused("\u{1f511}\u{fc}\u{4e16}bn3k\u{fd}vz8jd4", &["this password has 14"]);
        taken("tq8zk3vw9xj2mfd");
        taken("\u{1f511}\u{fc}\u{4e16}bn3k\u{fd}vz8jd4x");
        assert_eq!("\u{1f511}\u{fc}\u{4e16}bn3k\u{fd}vz8jd4x".chars().count(), 15);
        assert!(
            judge("tq8zk3v", true)
                .unwrap_err()
                .contains("at least 8 characters, this password has 7")
        );
        assert_eq!(judge("tq8zk3vw", true), Ok(()));
        let long = "tq8zk3vw".repeat(32);
        assert_eq!(long.len(), 256);
        taken(&long);
        assert_eq!((chars_min(false), chars_min(true)), (15, 8));
    }

    #[test]
    fn a_common_password_is_refused() {
        refused("passwordpassword", &["one of the most common ones"]);
        refused("QAZwsxEDCrfvTGB", &["one of the most common ones"]);
        refused("\u{ff50}asswordpassword", &["one of the most common ones"]);
        for text in ["password", "iloveyou", "Football1", "12345678"] {
            assert!(judge(text, true).unwrap_err().contains("most common ones"), "{text}");
        }
    }

    #[test]
    fn a_common_password_stretched_is_refused() {
        refused("manchesterunited", &[LISTED]);
        refused("sunshinesunshine", &[LISTED, AGAIN]);
        refused("PasswordPasswordPass", &[LISTED]);
        refused("password1234567", &[LISTED]);
        refused("monkey!!!!!!!!!", &[LISTED]);
        refused("dragon-19840512-777", &[LISTED]);
        refused("2026/11/25 sunshine", &[LISTED]);
        refused("iloveyouprincess", &[LISTED]);
        refused("letmein letmein letmein!", &[LISTED, AGAIN]);
    }

    #[test]
    fn repetition_and_runs_are_refused() {
        refused("aaaaaaaaaaaaaaa", &[AGAIN]);
        refused("abcabcabcabcabc", &[AGAIN]);
        refused("7h7h7h7h7h7h7h7h7h", &[AGAIN]);
        refused("kxqz9kxqz9kxqz9kx", &[AGAIN]);
        refused("1357913579135791357", &[AGAIN]);
        refused("123456789012345", &[RUN]);
        refused("098765432109876", &[RUN]);
        refused("abcdefghijklmno", &[RUN]);
        refused("qwertyuiopasdfg", &[RUN]);
        refused("poiuytrewqlkjhgf", &[RUN]);
        refused("qwertzuiop12345", &[RUN]);
        refused("abcd efgh ijkl mnop", &[RUN]);
    }

    #[test]
    fn a_context_word_with_little_around_it_is_refused() {
        refused("KwicKwicKwic2026!", &[NAMES]);
        refused("whatsapp-20261125", &[NAMES]);
        refused("Globex Trading 2026!", &[NAMES]);
        refused("globextrading2026", &[NAMES]);
        refused("globex-eu-globex-eu", &[NAMES]);
        refused("GlobexPassword2026!", &[NAMES, LISTED]);
        refused("AnnaMe\u{ef}er19840512", &[NAMES]);
        refused("ANNAMEI\u{308}ERANNAMEI\u{308}ER", &[NAMES]);
        refused("a.meier84+work@mail.example.org", &[NAMES]);
        refused("mail.example.org", &[NAMES]);
        // The same for somebody else would do.
        refused("meier#meier#anna", &[NAMES]);
        taken("mauer#hofen#anka");
    }

    #[test]
    fn ordinary_passphrases_are_taken() {
        taken("correct horse battery staple");
        taken("correcthorsebatterystaple");
        taken("Anna likes correct horses");
        taken("monkey banana river");
        taken("monkeybananariver");
        taken("we meet at noon on fridays");
        taken("the kettle sings at 7");
        taken("kwic pays for my lunch");
        taken("mein hund frisst nudeln");
        taken("kissa istuu katolla aina");
        taken(
            "\u{43c}\u{43e}\u{439} \u{43a}\u{43e}\u{442} \u{43b}\u{44e}\u{431}\u{438}\u{442} \u{441}\u{44b}\u{440}",
        );
        taken("qwerty horses eat lamps");
    }

    #[test]
    fn no_mix_of_characters_is_asked_for() {
        taken("482915736027385");
        taken("kqzvjxwmbtpydhg");
        taken("%)#@!(?$+[]{}~;");
        assert_eq!(judge("58203947", true), Ok(()));
        assert_eq!(judge("kqzvjxwm", true), Ok(()));
    }

    #[test]
    fn beside_a_second_factor_stretched_words_are_refused_too() {
        for text in ["Battery7!", "kwic2026", "qwer7890", "anna7531", "xqxqxqxq"] {
            assert!(judge(text, true).unwrap_err().contains("easy to guess"), "{text}");
        }
        assert_eq!(judge("horse7kqx", true), Ok(()));
    }

    #[test]
    fn what_a_machine_makes_is_taken() {
        use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
        let mut rng = StdRng::seed_from_u64(20_261_125);
        let alphabets: [&[u8]; 4] = [
            b"0123456789",
            b"abcdefghijklmnopqrstuvwxyz",
            b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
            b"abcdefghijklmnopqrstuvwxyz0123456789!#$%&()*+,-./:;<=>?@[]^_{|}~",
        ];
        for alphabet in alphabets {
            for _ in 0..500 {
                let text: String = (0..15)
                    .map(|_| char::from(alphabet[rng.random_range(0..alphabet.len())]))
                    .collect();
                taken(&text);
            }
        }
    }

    #[test]
    fn the_longest_is_judged_and_names_too_short_to_tell_do_no_harm() {
        refused(&"a".repeat(256), &[AGAIN]);
        refused(&"password".repeat(32), &[LISTED]);
        let context = PasswordContext {
            second_factor: false,
            account: &AccountSlug::parse("a").unwrap(),
            account_name: "",
            first_name: "A",
            last_name: "-",
            email: &Email::parse("o@e.io").unwrap(),
        };
        let password = Password::parse("a toe on a radio table").unwrap();
        assert_eq!(check(&password, &context), Ok(()));
    }

    #[test]
    fn the_reason_shows_nothing_of_the_password() {
        for text in ["zebra1234567890", "ZebraZebraZebra", "zebra"] {
            let said = judge(text, false).unwrap_err();
            assert!(!said.to_lowercase().contains("zebra"), "{said}");
        }
    }
}
