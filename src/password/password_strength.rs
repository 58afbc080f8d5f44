//! The strength of a password: its score after everything is discounted that an attacker tries
//! first.
//!
//! A password is cut into pieces so that the score is lowest. A piece scores
//!
//! | piece | score |
//! | --- | --- |
//! | any single character | 1 |
//! | a word of the context, however long | 1 |
//! | a common password of 4 characters or more | 3 |
//! | 4 or more characters along the alphabet, the digits or a row of keys, either way | 1 |
//! | a repetition of the text before it, as far as it goes | 1 |
//! | digits and punctuation beside one of the two kinds of words, however many | 2 |
//!
//! so that `password1234567` scores 4 and `correct horse battery staple` 15. Kinds of characters do
//! not matter: random digits score as much as random letters.

use super::common_passwords::{CommonMatch, look_up};

/// Shorter sequences are coincidence: `pin` and `tree` contain three and two.
const RUN_MIN: usize = 4;

/// Sequences in both directions: the alphabet, the digits, and rows of keys of the QWERTY, QWERTZ
/// and AZERTY layouts.
const RUNS: [&str; 9] = [
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890",
    "qwertyuiop",
    "asdfghjkl",
    "zxcvbnm",
    "qwertzuiop",
    "yxcvbnm",
    "azertyuiop",
    "qsdfghjklm",
];

/// The score of a password, and what was found in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PasswordStrength {
    /// In characters that cannot be predicted.
    pub(super) worth: usize,
    /// It contains common passwords.
    pub(super) listed: bool,
    /// It contains context words.
    pub(super) context: bool,
    /// It contains sequences of the alphabet, the digits or a row of keys.
    pub(super) run: bool,
    /// It contains repetitions.
    pub(super) again: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum PatternKind {
    Character,
    Context,
    Listed,
    Run,
    Again,
    Padding,
}

/// A piece of a text, up to (and without) the character at `end`.
#[derive(Clone, Copy)]
struct PasswordPart {
    end: usize,
    kind: PatternKind,
}

impl PasswordStrength {
    fn and(self, kind: PatternKind) -> Self {
        let worth = match kind {
            PatternKind::Character
            | PatternKind::Context
            | PatternKind::Run
            | PatternKind::Again => 1,
            PatternKind::Padding => 2,
            PatternKind::Listed => 3,
        };
        Self {
            worth: self.worth + worth,
            listed: self.listed || kind == PatternKind::Listed,
            context: self.context || kind == PatternKind::Context,
            run: self.run || kind == PatternKind::Run,
            again: self.again || kind == PatternKind::Again,
        }
    }
}

/// The score of a text; it and the context words are in lower case.
pub(super) fn worth(text: &[char], context: &[Vec<char>]) -> PasswordStrength {
    let words: Vec<Vec<PasswordPart>> =
        (0..text.len()).map(|start| words_at(tail(text, start), start, context)).collect();
    let beside = beside_words(text, &words);
    let repeats = repeats(text);
    // The lowest score of the text before each position. It is final when its turn comes, since
    // pieces only go forward.
    let mut least: Vec<Option<PasswordStrength>> = vec![None; text.len() + 1];
    if let Some(first) = least.first_mut() {
        *first = Some(PasswordStrength::default());
    }
    for (start, (words, repeats)) in words.iter().zip(&repeats).enumerate() {
        let Some(here) = least.get(start).copied().flatten() else { continue };
        let others = [PasswordPart { end: start + 1, kind: PatternKind::Character }]
            .into_iter()
            .chain(runs_at(text, start))
            .chain(padding_at(text, start, &beside));
        for piece in words.iter().chain(repeats).copied().chain(others) {
            let there = here.and(piece.kind);
            if let Some(known) = least.get_mut(piece.end)
                && known.is_none_or(|known| there.worth < known.worth)
            {
                *known = Some(there);
            }
        }
    }
    least.last().copied().flatten().unwrap_or_default()
}

fn tail(text: &[char], start: usize) -> &[char] {
    text.get(start..).unwrap_or_default()
}

/// Context words and common passwords that begin here.
fn words_at(rest: &[char], start: usize, context: &[Vec<char>]) -> Vec<PasswordPart> {
    let mut words: Vec<PasswordPart> = context
        .iter()
        .filter(|word| rest.starts_with(word))
        .map(|word| PasswordPart { end: start + word.len(), kind: PatternKind::Context })
        .collect();
    let mut begun = String::new();
    for (end, c) in (start + 1..).zip(rest) {
        begun.push(*c);
        match look_up(&begun) {
            CommonMatch::Listed => words.push(PasswordPart { end, kind: PatternKind::Listed }),
            CommonMatch::Begins => {}
            CommonMatch::Unknown => break,
        }
    }
    words
}

/// Positions where a word with a letter begins or ends. Common passwords of digits alone are left
/// out, since nearly every number would be padding beside one.
fn beside_words(text: &[char], words: &[Vec<PasswordPart>]) -> Vec<bool> {
    let mut beside = vec![false; text.len() + 1];
    for (start, words) in words.iter().enumerate() {
        for word in words {
            let own = tail(text, start).iter().take(word.end - start);
            if own.copied().any(char::is_alphabetic) {
                for place in [start, word.end] {
                    if let Some(place) = beside.get_mut(place) {
                        *place = true;
                    }
                }
            }
        }
    }
    beside
}

/// Sequences of the alphabet, the digits or a row of keys.
fn runs_at(text: &[char], start: usize) -> impl Iterator<Item = PasswordPart> {
    let rest = tail(text, start);
    let along = |row: &mut dyn Iterator<Item = char>| {
        let mut row = row.skip_while(|key| rest.first() != Some(key));
        rest.iter().take_while(|c| row.next() == Some(**c)).count()
    };
    let longest = RUNS
        .iter()
        .map(|row| along(&mut row.chars()).max(along(&mut row.chars().rev())))
        .max()
        .unwrap_or(0);
    (RUN_MIN..=longest)
        .map(move |length| PasswordPart { end: start + length, kind: PatternKind::Run })
}

/// Repetitions by position: the text just before, repeated at least once, as far as it goes.
fn repeats(text: &[char]) -> Vec<Vec<PasswordPart>> {
    let mut repeats = vec![Vec::new(); text.len()];
    for period in 1..text.len() {
        // How far the text repeats itself with this period, computed from right to left.
        let mut length = 0;
        for (start, repeats) in repeats.iter_mut().enumerate().skip(period).rev() {
            let same = text.get(start) == text.get(start - period);
            length = if same { length + 1 } else { 0 };
            if length >= period {
                repeats.push(PasswordPart { end: start + length, kind: PatternKind::Again });
            }
        }
    }
    repeats
}

/// Digits and punctuation beside a word.
fn padding_at(text: &[char], start: usize, beside: &[bool]) -> impl Iterator<Item = PasswordPart> {
    let is_beside = |place: usize| beside.get(place).copied().unwrap_or(false);
    let follows = is_beside(start);
    let others = tail(text, start).iter().take_while(|c| !c.is_alphabetic()).count();
    (start + 1..=start + others)
        .filter(move |end| follows || is_beside(*end))
        .map(|end| PasswordPart { end, kind: PatternKind::Padding })
}
