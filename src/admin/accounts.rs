//! `/accounts`: list and create.

use super::form::Form;
use super::wire::{self, Changed, List};
use super::{Call, Request};
use crate::domain::{AccountSlug, Failure};
use crate::flows::accounts;
use crate::http::Reply;

pub(super) async fn list(call: Call<'_>) -> Result<Reply, Failure> {
    let app = call.app;
    let permit = call.store_permit()?;
    let found = accounts::list(app, &permit).await?;
    Ok(Reply::json_of(&List::<wire::Account>::whole(found)))
}

pub(super) async fn create(call: Call<'_>, request: &mut Request) -> Result<Reply, Failure> {
    let app = call.app;
    let permit = call.store_permit()?;
    let mut form = Form::read(request).await?;
    let slug = form.required("slug", AccountSlug::parse);
    let name = form.required("name", accounts::checked_name);
    let (slug, name) = form.done(slug.zip(name))?;
    let made = accounts::create(app, permit, slug, &name).await?;
    Ok(Reply::json_of(&Changed::<wire::Account>::from(made)).status(super::CREATED))
}
