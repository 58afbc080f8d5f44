//! Tokens that continue a search: the place where the next page begins, encrypted.
//!
//! A token belongs to what was asked: with another digest it does not open. Its holder
//! can neither read nor change it, nor make one.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::access_search::SearchPosition;
use crate::app::App;
use crate::domain::{Digest, Failure, Sealed, Timestamp, limits};

/// What the seal of a token is for.
const PURPOSE: &[u8] = b"search";

/// The content of a token.
#[derive(Debug, Deserialize, Serialize)]
pub struct PageToken {
    issued: i64,
    /// The results of a page.
    pub limit: usize,
    /// Where the next page begins.
    pub after: SearchPosition,
}

/// Why a token continues nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageTokenFault {
    /// It is no token, or that of another search.
    Foreign,
    /// It is older than [`limits::SEARCH_TOKEN_HOURS`].
    Expired,
}

impl PageToken {
    /// A token of the search with this digest.
    ///
    /// # Errors
    /// `Internal`, when the system has no randomness.
    pub fn sealed(
        app: &App,
        digest: &Digest,
        limit: usize,
        after: SearchPosition,
    ) -> Result<String, Failure> {
        let token = Self { issued: app.clock.now().0, limit, after };
        let bytes = serde_json::to_vec(&token)
            .map_err(|fault| Failure::internal(format!("a token cannot be written: {fault}")))?;
        Ok(app.keys.seal(&[PURPOSE, &digest.0], &bytes)?.to_text())
    }

    /// Opens a token of the search with this digest.
    ///
    /// # Errors
    /// Why it continues nothing.
    pub fn unsealed(app: &App, text: &str, digest: &Digest) -> Result<Self, PageTokenFault> {
        let sealed = Sealed::parse(text).ok_or(PageTokenFault::Foreign)?;
        let bytes = app.keys.unseal(&[PURPOSE, &digest.0], &sealed);
        let token = bytes.and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok());
        let token = token.ok_or(PageTokenFault::Foreign)?;
        let lifetime = Duration::from_secs(limits::SEARCH_TOKEN_HOURS * 3_600);
        let ends = Timestamp(token.issued).later(lifetime);
        if ends.ends_within(lifetime, app.clock.now()) {
            Ok(token)
        } else {
            Err(PageTokenFault::Expired)
        }
    }
}
