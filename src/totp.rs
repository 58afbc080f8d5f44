//! Authenticator apps: TOTP secrets and codes (RFC 6238), and the provisioning of an app.
//!
//! SHA-1, 6 digits, 30 seconds: the parameters that every app supports. Codes of one step before
//! and after the current one are accepted, because the clocks of phones differ; the store makes
//! sure that a code works once. Keeps no secret.

use fast_qr::ECL;
use fast_qr::convert::svg::SvgBuilder;
use fast_qr::qr::QRBuilder;
use totp_rs::{Builder, Secret, Totp};

use crate::domain::{Email, Failure, Timestamp, opaque_debug};

/// Bytes of a secret: 160 bits, as RFC 4226 section 4 (R6) recommends.
pub const SECRET_BYTES: usize = 20;

/// What an app needs to know, in three forms. Never printed.
pub struct Enrolment {
    /// The secret in base 32, to type.
    pub secret: String,
    /// The `otpauth` URL, for an app on the same device.
    pub url: String,
    /// The same as a QR code, an SVG document, for a camera.
    pub qr: String,
}

opaque_debug!(Enrolment, "Enrolment(..)");

/// The enrolment of a secret; `issuer` is the name that the app shows above the address.
///
/// # Errors
/// `Internal`, for a name that no such URL can carry.
pub fn enrolment(secret: &[u8], issuer: &str, email: &Email) -> Result<Enrolment, Failure> {
    let cannot = |fault: &dyn std::fmt::Debug| {
        Failure::internal(format!("an authenticator cannot be set up: {fault:?}"))
    };
    let totp = Builder::new()
        .with_secret(secret)
        .with_issuer(Some(issuer))
        .with_account_name(email.as_str())
        .build()
        .map_err(|fault| cannot(&fault))?;
    let url = totp.to_url().map_err(|fault| cannot(&fault))?;
    let qr = QRBuilder::new(url.as_str()).ecl(ECL::M).build().map_err(|fault| cannot(&fault))?;
    let qr = SvgBuilder::default().to_str(&qr);
    Ok(Enrolment { secret: Secret::from(secret).to_base32(), url, qr })
}

/// The time step of a code, if it is the current one, the one before or the next.
#[must_use]
pub fn step_of(secret: &[u8], code: &str, now: Timestamp) -> Option<u64> {
    totp(secret).check(code, seconds(now))
}

/// Which steps are searched for a code of another time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SearchWindow {
    /// Those of the last hour.
    Before,
    /// Those of the last hour and of the next.
    Around,
}

/// The steps of an hour: a clock that is further off is not considered.
const HOUR_STEPS: i64 = 120;
const STEP_SECONDS: i64 = 30;

/// By how many minutes the clock that made a code is off, negative if it is behind; `None` if no
/// step of that hour matches. Takes a quarter of a millisecond.
#[must_use]
pub fn minutes_off(secret: &[u8], code: &str, now: Timestamp, hour: SearchWindow) -> Option<i64> {
    let totp = totp(secret);
    let now = now.0 / 1_000;
    let is_of = |step: &i64| {
        let at = u64::try_from(now + step * STEP_SECONDS);
        at.is_ok_and(|at| totp.generate(at).to_string() == code)
    };
    let near = (1..=HOUR_STEPS).flat_map(|steps| match hour {
        SearchWindow::Before => [Some(-steps), None],
        SearchWindow::Around => [Some(-steps), Some(steps)],
    });
    near.flatten().find(is_of).map(minutes)
}

/// By how many minutes a step is ahead of now, if it could not be accepted now.
#[must_use]
pub fn minutes_ahead(step: u64, now: Timestamp) -> Option<i64> {
    let ahead = i64::try_from(step).ok()? - now.0 / 1_000 / STEP_SECONDS;
    (ahead > 1).then(|| minutes(ahead))
}

/// Steps as minutes, rounded away from zero.
fn minutes(steps: i64) -> i64 {
    (steps + steps.signum()) * STEP_SECONDS / 60
}

fn totp(secret: &[u8]) -> Totp {
    Builder::new().with_secret(secret).build_noncompliant()
}

fn seconds(now: Timestamp) -> u64 {
    u64::try_from(now.0 / 1_000).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The secret of RFC 4226 appendix D and RFC 6238 appendix B.
    const SECRET: &[u8; 20] = b"12345678901234567890";

    fn code_at(secret: &[u8], now: Timestamp) -> String {
        totp(secret).generate(seconds(now)).to_string()
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp(seconds * 1_000)
    }

    #[test]
    fn codes_are_those_of_rfc_4226() {
        let codes = [
            "755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583",
            "399871", "520489",
        ];
        for (counter, code) in codes.into_iter().enumerate() {
            let moment = at(i64::try_from(counter).unwrap() * 30);
            assert_eq!(code_at(SECRET, moment), code);
            assert_eq!(step_of(SECRET, code, moment), Some(counter as u64));
        }
    }

    #[test]
    fn codes_are_the_last_six_digits_of_rfc_6238() {
        let codes = [
            (59, "94287082"),
            (1_111_111_109, "07081804"),
            (1_111_111_111, "14050471"),
            (1_234_567_890, "89005924"),
            (2_000_000_000, "69279037"),
            (20_000_000_000, "65353130"),
        ];
        for (moment, code) in codes {
            assert_eq!(code_at(SECRET, at(moment)), code.split_at(2).1, "at {moment}");
        }
    }

    #[test]
    fn a_code_is_taken_one_step_early_and_one_step_late_and_no_more() {
        let code = code_at(SECRET, at(300));
        let found: Vec<i64> =
            (200..=400).filter(|now| step_of(SECRET, &code, at(*now)).is_some()).collect();
        assert_eq!((found.first(), found.last()), (Some(&270), Some(&359)));
        for wrong in ["", "0", "abcdef", "1234567", "\u{661}\u{661}\u{661}\u{661}\u{661}\u{661}"] {
            assert_eq!(step_of(SECRET, wrong, at(300)), None, "{wrong}");
        }
        assert_eq!(step_of(SECRET, "755224", at(-5)), Some(0), "before 1970 is step 0");
    }

    #[test]
    fn a_code_of_another_time_tells_how_far_its_clock_is_off() {
        let (now, code) = (at(1_000_000), code_at(SECRET, at(1_000_000 - 47 * 60)));
        assert_eq!(minutes_off(SECRET, &code, now, SearchWindow::Before), Some(-47));
        let early = code_at(SECRET, at(1_000_000 + 20 * 60));
        assert_eq!(minutes_off(SECRET, &early, now, SearchWindow::Around), Some(20));
        assert_eq!(minutes_off(SECRET, &early, now, SearchWindow::Before), None, "it comes later");
        let far = code_at(SECRET, at(1_000_000 - 62 * 60));
        assert_eq!(minutes_off(SECRET, &far, now, SearchWindow::Around), None);
        assert_eq!(minutes_off(SECRET, "123456", at(0), SearchWindow::Around), None);
        assert_eq!(minutes_ahead(1_000_000 / 30 + 120, now), Some(60));
        assert_eq!(minutes_ahead(1_000_000 / 30 + 1, now), None);
    }

    #[test]
    fn an_app_gets_secret_url_and_picture() {
        let email = Email::parse("ann+team@example.org").unwrap();
        let told = enrolment(SECRET, "KWIC acme", &email).unwrap();
        assert_eq!(told.secret, "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        assert!(told.url.starts_with("otpauth://totp/KWIC%20acme:ann%2Bteam%40example.org?"));
        assert!(told.url.contains(&format!("secret={}", told.secret)), "{}", told.url);
        assert!(told.url.contains("issuer=KWIC%20acme"), "{}", told.url);
        assert!(told.qr.starts_with("<svg") && told.qr.ends_with("</svg>"), "{}", told.qr);
        assert!(!told.qr.contains("<script") && !told.qr.contains("style="), "{}", told.qr);
        assert!(!format!("{told:?}").contains("GEZD"));
    }
}
