//! The world that the engine is asked about: the members of the directory, and which account a
//! question means that names none.

use crate::app::App;
use crate::directory::Directory;
use crate::domain::{MemberAccess, MemberView};
use crate::engine::{Members, QueryContext};

/// The directory as the engine's members.
pub(super) struct InDirectory<'d>(pub(super) &'d Directory);

impl Members for InDirectory<'_> {
    fn with<R>(&self, id: &str, read: impl FnOnce(MemberView<'_>) -> R) -> Option<R> {
        self.0.with(id, read)
    }

    fn access<R>(&self, id: &str, read: impl FnOnce(MemberAccess<'_>) -> R) -> Option<R> {
        self.0.access(id, read)
    }
}

/// The world of these members, as configured.
pub(super) fn query_context<'w, M: Members>(app: &'w App, members: &'w M) -> QueryContext<'w, M> {
    let single_account = app.config.decision.single_account.as_ref().map(|slug| slug.as_str());
    QueryContext { members, single_account }
}
