//! `ETag` and `If-Match`: optimistic locking of records.
//!
//! Reads and writes the tag; the store checks in the transaction whether the version is the latest.

use crate::domain::{Failure, Kind, Version};
use crate::http::SoleHeader;

/// The entity tag of a version: `"7"`.
pub(super) fn tag(version: Version) -> String {
    format!("\"{version}\"")
}

/// The caller's `If-Match`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Precondition {
    /// No header.
    None,
    /// `*`: any version, on purpose.
    Any,
    /// This version and no other.
    Exactly(Version),
}

impl Precondition {
    /// Parses the header.
    ///
    /// # Errors
    /// `Invalid` for what is neither `*` nor one tag that this API gave out.
    pub(super) fn read(if_match: SoleHeader<'_>) -> Result<Self, Failure> {
        let text = match if_match {
            SoleHeader::Absent => return Ok(Self::None),
            SoleHeader::Text(text) => text.trim(),
            SoleHeader::Unclear => "",
        };
        if text == "*" {
            return Ok(Self::Any);
        }
        let quoted = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
        let version = quoted.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        version.and_then(|text| text.parse().ok()).map(|at| Self::Exactly(Version(at))).ok_or_else(
            || {
                Failure::new(
                    Kind::Invalid,
                    "if_match",
                    "`if-match` must be a single tag: send the `etag` of the record as you read it, such as `\"7\"`",
                )
            },
        )
    }

    /// The version that the store must check.
    pub(super) fn expected(self) -> Option<Version> {
        match self {
            Self::Exactly(version) => Some(version),
            Self::None | Self::Any => None,
        }
    }

    /// The same, where the caller must send one.
    ///
    /// # Errors
    /// `PreconditionRequired` when nothing was sent.
    pub(super) fn demanded(self) -> Result<Option<Version>, Failure> {
        match self {
            Self::None => Err(Failure::new(
                Kind::PreconditionRequired,
                "if_match_missing",
                "`if-match` is missing: read the record and send its `etag` as `if-match`",
            )),
            Self::Any | Self::Exactly(_) => Ok(self.expected()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_reads_back_as_the_version_it_was_made_of() {
        let tag = tag(Version(7));
        assert_eq!(
            Precondition::read(SoleHeader::Text(&tag)),
            Ok(Precondition::Exactly(Version(7)))
        );
    }

    #[test]
    fn what_no_tag_of_ours_looks_like_is_refused() {
        for text in ["7", "W/\"7\"", "\"7\", \"8\"", "\"\"", "\"+7\"", "\"x\"", ""] {
            assert!(Precondition::read(SoleHeader::Text(text)).is_err(), "{text}");
        }
        assert!(Precondition::read(SoleHeader::Unclear).is_err(), "sent twice");
    }

    #[test]
    fn silence_is_taken_where_it_may_be_and_demanded_away_where_not() {
        let none = Precondition::read(SoleHeader::Absent).unwrap();
        assert_eq!(none.expected(), None);
        assert_eq!(none.demanded().unwrap_err().kind, Kind::PreconditionRequired);
        assert_eq!(Precondition::read(SoleHeader::Text("*")).unwrap().demanded(), Ok(None));
    }
}
