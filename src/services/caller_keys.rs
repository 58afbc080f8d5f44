//! The keys of callers, reloaded with each reload.
//!
//! A file that is refused changes nothing: the previous keys stay valid, and the fault is
//! reported.

use std::sync::Arc;

use crate::app::App;
use crate::domain::{Failure, Kind};
use crate::keys::caller_keys;

/// The code of a reload that loaded the policies, but not the keys.
pub const NOT_LOADED: &str = "keys_file";

/// Reloads the keys, if a file is configured.
///
/// # Errors
/// `Conflict` `keys_file`; the keys before go on counting then.
pub async fn reload_caller_keys(app: &App) -> Result<(), Failure> {
    let Some(path) = app.config.decision.keys_file.clone() else { return Ok(()) };
    let read = tokio::task::spawn_blocking(move || caller_keys::read(&path)).await;
    let read =
        read.map_err(|fault| Failure::internal(format!("the keys were not read: {fault}")))?;
    match read {
        Ok(keys) => {
            if app.caller_keys.swap(Arc::new(keys.clone())).as_ref() != &keys {
                tracing::info!(keys = keys.len(), "the keys of callers were reloaded");
            }
            app.caller_keys_fault.store(None);
            Ok(())
        }
        Err(fault) => {
            tracing::error!("the previous keys stay valid: {}", fault.public);
            app.caller_keys_fault.store(Some(Arc::new(fault.public.clone())));
            Err(fault)
        }
    }
}

/// The response to a reload that loaded the policies but not the keys.
pub(super) fn not_reloaded(fault: &Failure) -> Failure {
    let sentence = format!(
        "the policies were loaded, but the file with the keys of the programs that ask for decisions was refused, and their previous keys stay valid: {}",
        fault.public
    );
    Failure::new(Kind::Conflict, NOT_LOADED, sentence)
}
