//! `/backup`: writes a backup to a folder on the machine of the sidecar.
//!
//! Only for the operator of the sidecar, who can read all of it there anyway.

use std::path::PathBuf;

use super::api_request::{ApiRequest, ApiResult};
use super::response_documents;
use crate::domain::Failure;
use crate::http::Reply;
use crate::services::backup;
use crate::services::permits::StorePermit;

pub(super) async fn take(call: &mut ApiRequest<'_>) -> ApiResult {
    call.done()?;
    let permit = StorePermit::sidecar(call.uid()?);
    let mut form = call.form().await?;
    let to = form.required("path", place);
    let to = form.done(to)?;
    let taken = backup::take(call.app, permit, to).await?;
    Ok(Reply::json_of(&response_documents::Backup::from(taken)).status(super::CREATED))
}

/// The path must be absolute: the sidecar may run in another folder than the caller.
fn place(text: &str) -> Result<PathBuf, Failure> {
    let path = PathBuf::from(text);
    if path.is_absolute() && !text.contains('\0') {
        Ok(path)
    } else {
        Err(Failure::invalid("path", "must begin with `/`: give an absolute path"))
    }
}
