//! Two-step verification: the stored second factor of a member, and the proof that a member
//! presents.
//!
//! Checks the syntax of codes, not their validity. Secrets are stored encrypted. Nothing here
//! prints a secret or a code.

use super::digest::Digest;
use super::failure::{Failure, Kind};
use super::input_cleanup;
use super::limits;
use super::opaque_debug::opaque_debug;
use super::passkey::Passkey;
use super::plural::plural;
use super::revision_and_timestamp::Timestamp;
use super::sealed_secret::Sealed;

/// The second factors of one member.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Factors {
    /// The authenticator app in use; two-step verification is on while there is one.
    pub authenticator: Option<Authenticator>,
    /// One that is being set up, not valid yet.
    pub pending: Option<PendingAuthenticator>,
    /// The unused recovery codes.
    pub recovery: Vec<RecoveryHash>,
    /// Passkeys, which can be used instead of a code while there is an app.
    pub passkeys: Vec<Passkey>,
    /// Wrong codes and wrong passkeys in a row.
    pub failures: u32,
    /// Increases with every use and every change of a factor: a ticket of an earlier round is no
    /// longer valid. Does not depend on the clock.
    pub round: u64,
}

impl Factors {
    /// Refuses further attempts after too many failures in a row.
    ///
    /// # Errors
    /// `Denied` `codes_locked`.
    pub fn may_try(&self) -> Result<(), Failure> {
        if self.failures < limits::CODE_FAILURES_MAX {
            return Ok(());
        }
        Err(Failure::new(
            Kind::Denied,
            CODES_LOCKED,
            "too many wrong codes in a row, by somebody who knows the password: set a new password by mail, then sign in with it",
        ))
    }
}

/// An authenticator app with time-based codes (RFC 6238).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authenticator {
    /// The shared secret.
    pub secret: Sealed,
    /// The last accepted time step: each code works once (RFC 6238 section 5.2).
    pub step: u64,
    /// When it was set up.
    pub since: Timestamp,
}

/// An authenticator app that is being set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingAuthenticator {
    /// The secret.
    pub secret: Sealed,
    /// When the set-up expires.
    pub expires: Timestamp,
}

/// A typed code.
#[derive(Clone, PartialEq, Eq)]
pub enum Code {
    /// Six digits of an authenticator app.
    Digits(String),
    /// A recovery code.
    Recovery(RecoveryCode),
}

impl Code {
    /// Parses typed text: spaces and dashes are ignored, and digits may be of any script.
    ///
    /// # Errors
    /// `Denied` `wrong_code`: what cannot be a code is a wrong one.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        if text.len() > limits::CODE_BYTES_MAX {
            return Err(wrong_code());
        }
        let typed = input_cleanup::code(text);
        if typed.len() == DIGITS && typed.bytes().all(|b| b.is_ascii_digit()) {
            return Ok(Self::Digits(typed));
        }
        RecoveryCode::parse(&typed).map(Self::Recovery).ok_or_else(wrong_code)
    }
}

opaque_debug!(Code, "Code(..)");

/// Digits of a code of an authenticator app (RFC 4226 section 5.3: six at least).
pub const DIGITS: usize = 6;
/// RFC 4648 section 6.
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// Characters of a recovery code: 15 bytes.
const RECOVERY_CHARS: usize = 24;
/// Characters in a group, for reading.
const RECOVERY_GROUP: usize = 4;

/// A recovery code, for a member without the authenticator app: 120 bits, shown once, works once.
#[derive(Clone, PartialEq, Eq)]
pub struct RecoveryCode(String);

impl RecoveryCode {
    /// The code of 15 random bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 15]) -> Self {
        let mut text = String::with_capacity(RECOVERY_CHARS);
        for five in bytes.chunks(5) {
            let bits = five.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
            for place in (0..8).rev() {
                let digit = usize::try_from(bits >> (place * 5) & 31).unwrap_or(0);
                text.push(BASE32.get(digit).copied().map_or('A', char::from));
            }
        }
        Self(text)
    }

    fn parse(typed: &str) -> Option<Self> {
        let text = typed.to_ascii_uppercase();
        let fits = text.len() == RECOVERY_CHARS && text.bytes().all(|b| BASE32.contains(&b));
        fits.then_some(Self(text))
    }

    /// The code in groups, for the one place that shows it.
    #[must_use]
    pub fn expose(&self) -> String {
        let mut shown = String::with_capacity(RECOVERY_CHARS + RECOVERY_CHARS / RECOVERY_GROUP);
        for (place, c) in self.0.chars().enumerate() {
            if place > 0 && place % RECOVERY_GROUP == 0 {
                shown.push('-');
            }
            shown.push(c);
        }
        shown
    }

    /// The stored hash. 120 bits need no slow hash (ASVS 5.0, 6.5.2: 112 are enough).
    #[must_use]
    pub fn hash(&self) -> RecoveryHash {
        RecoveryHash(Digest::of(&[b"recovery code", self.0.as_bytes()]))
    }
}

opaque_debug!(RecoveryCode, "RecoveryCode(..)");

/// SHA-256 of a recovery code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecoveryHash(pub Digest);

/// A change of a member's second factor, for the mail to the member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TwoStepEvent {
    /// An authenticator app was set up.
    On,
    /// Turned off by the member.
    Off,
    /// Reset by an administrator or the operator of the sidecar.
    Reset,
    /// New recovery codes were made.
    NewCodes,
    /// A recovery code was used.
    CodeUsed,
    /// Somebody who knows the password entered many wrong codes.
    Guessed,
    /// A passkey was added.
    PasskeyAdded,
    /// A passkey was removed.
    PasskeyRemoved,
    /// A passkey may have been copied: its counter went back.
    PasskeyCopied,
}

/// The code of every refusal of a wrong code.
pub const WRONG_CODE: &str = "wrong_code";
/// The code of the refusal after too many wrong codes.
pub const CODES_LOCKED: &str = "codes_locked";
/// The code of a refusal that asks for a second factor of one's own first.
pub const OWN_FACTOR_FIRST: &str = "own_factor_first";

/// The refusal of a code that is wrong, already used, or too old.
#[must_use]
pub fn wrong_code() -> Failure {
    Failure {
        kind: Kind::Denied,
        code: WRONG_CODE,
        ..Failure::invalid(
            "code",
            "this code is not right, or was used already: wait for the next one of your authenticator app, check the clock of its device, or use a recovery code",
        )
    }
}

/// The refusal of the first code of an app that is being set up: there are no recovery codes yet.
#[must_use]
pub fn wrong_first_code(typed: &str) -> Failure {
    let is_code = typed.len() == DIGITS && typed.bytes().all(|b| b.is_ascii_digit());
    wrong_code_because(if is_code {
        "this code is not right: check the clock of the app's device, then enter a new code"
            .to_owned()
    } else {
        format!("enter the {DIGITS} digits that the app shows now")
    })
}

/// The same for a code of another time.
#[must_use]
pub fn first_code_of_another_time(minutes: i64) -> Failure {
    wrong_code_because(of_another_time(minutes))
}

/// The refusal of a code of another time: `minutes` is the difference of the app's clock to this
/// one, negative if it is behind. Either clock may be wrong.
#[must_use]
pub fn clock_off(minutes: i64) -> Failure {
    wrong_code_because(format!("{}, and use a recovery code", of_another_time(minutes)))
}

fn of_another_time(minutes: i64) -> String {
    let side = if minutes < 0 { "behind" } else { "ahead" };
    let minutes = minutes.unsigned_abs();
    format!(
        "the clock of your phone is about {} {side}: let it set its time automatically, then enter a new code. If its time is right, the clock of the server is wrong: tell your system administrator",
        plural(minutes, "minute", "minutes")
    )
}

/// The refusal of a correct code after one of a later time was accepted.
#[must_use]
pub fn clock_went_back(minutes: i64) -> Failure {
    wrong_code_because(format!(
        "this code is correct, but cannot be accepted yet: the clock of this server was wrong when you used your last one; wait {}, or use a recovery code",
        plural(minutes, "minute", "minutes")
    ))
}

fn wrong_code_because(sentence: String) -> Failure {
    Failure { kind: Kind::Denied, code: WRONG_CODE, ..Failure::invalid("code", sentence) }
}

/// The refusal of a missing code.
#[must_use]
pub fn code_missing() -> Failure {
    Failure {
        kind: Kind::Denied,
        code: "code_missing",
        ..Failure::invalid("code", "enter the code of your authenticator app, or a recovery code")
    }
}

/// The refusal of who takes away somebody else's second factor and has none.
#[must_use]
pub fn own_factor_first() -> Failure {
    Failure::new(
        Kind::Conflict,
        OWN_FACTOR_FIRST,
        "set up two-step verification for yourself first: only then can you reset somebody else's",
    )
}

/// The refusal where the account requires a second factor and the member has none.
#[must_use]
pub fn set_up_first() -> Failure {
    Failure::new(
        Kind::Conflict,
        "two_step_needed",
        "this account requires two-step verification: set it up first",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recovery_code_is_120_bits_in_base_32_and_reads_back_however_it_is_typed() {
        // RFC 4648 section 10: "foobar" is MZXW6YTBOI; its first five bytes make eight digits.
        let code = RecoveryCode::from_bytes(*b"foobafoobafooba");
        assert_eq!(code.expose(), "MZXW-6YTB-MZXW-6YTB-MZXW-6YTB");
        let dashes =
            "\u{ff2d}ZXW\u{2013}6YTB\u{2013}MZXW\u{2011}6YTB\u{2212}MZXW\u{a0}6YTB\u{200e}";
        for typed in ["MZXW-6YTB-MZXW-6YTB-MZXW-6YTB", " mzxw6ytb mzxw6ytb\tmzxw6ytb\n", dashes] {
            assert_eq!(Code::parse(typed), Ok(Code::Recovery(code.clone())), "{typed}");
        }
        assert!(!format!("{code:?}{:?}", Code::Recovery(code.clone())).contains("MZXW"));
        assert_ne!(code.hash(), RecoveryCode::from_bytes([0; 15]).hash());
    }

    #[test]
    fn six_digits_are_a_code_of_an_app_and_anything_else_is_wrong() {
        assert_eq!(Code::parse("123 456"), Ok(Code::Digits("123456".to_owned())));
        let long = "1".repeat(1_000);
        // Arabic digits, full-width ones with a no-break space, an en dash.
        for typed in [
            "\u{661}\u{662}\u{663}\u{664}\u{665}\u{666}",
            "\u{ff11}\u{ff12}3\u{a0}456",
            "123\u{2013}456",
        ] {
            assert_eq!(Code::parse(typed), Ok(Code::Digits("123456".to_owned())), "{typed}");
        }
        for typed in ["", "12345", "1234567", "12345x", "MZXW-6YTB", "\u{661}2345", &long] {
            assert_eq!(Code::parse(typed).unwrap_err().code, "wrong_code", "{typed}");
        }
    }

    #[test]
    fn a_hundred_wrong_codes_in_a_row_end_the_tries() {
        let with = |failures| Factors { failures, ..Factors::default() };
        assert!(with(limits::CODE_FAILURES_MAX - 1).may_try().is_ok());
        assert_eq!(with(limits::CODE_FAILURES_MAX).may_try().unwrap_err().code, "codes_locked");
    }
}
