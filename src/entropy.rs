//! Random bytes from the operating system: the only place that asks for them.
//!
//! Never seeds a generator of its own.

use crate::domain::Failure;

/// `N` random bytes.
///
/// # Errors
/// `Internal`, when the operating system has none to give.
pub fn random<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|fault| Failure::internal(format!("no randomness: {fault}")))?;
    Ok(bytes)
}
