//! The changes that can be made to one member or to several, one after the other.
//!
//! The management API and the bulk page of the console differ in the words for them only.

use std::sync::Arc;

use super::caller::Caller;
use super::members::{self, ChosenMember};
use super::sessions;
use crate::app::App;
use crate::domain::{Failure, Member, RoleId};
use crate::store::{Committed, MemberEdit, Removal};

/// What is done to a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberChange {
    /// Give a role.
    Role(RoleId),
    /// Suspend.
    Suspend,
    /// Restore a suspended one.
    Restore,
    /// Remove.
    Remove,
    /// End all sessions.
    EndSessions,
}

/// What was done.
#[derive(Debug)]
pub enum ChangeResult {
    /// The member after the change.
    Member(Committed<Member>),
    /// The member was removed.
    Removed(Committed<Removal>),
    /// So many sessions ended.
    Ended(Committed<u64>),
}

impl MemberChange {
    /// Makes the change, in a transaction of its own.
    ///
    /// # Errors
    /// As the service of each change says.
    pub async fn apply(
        self,
        app: &Arc<App>,
        caller: Caller,
        chosen: ChosenMember,
    ) -> Result<ChangeResult, Failure> {
        Ok(match self {
            Self::Role(role) => {
                let edit = MemberEdit { role: Some(role), ..MemberEdit::default() };
                ChangeResult::Member(members::edit(app, caller, chosen, edit).await?)
            }
            Self::Suspend => ChangeResult::Member(members::suspend(app, caller, chosen).await?),
            Self::Restore => ChangeResult::Member(members::restore(app, caller, chosen).await?),
            Self::Remove => ChangeResult::Removed(members::remove(app, caller, chosen).await?),
            Self::EndSessions => {
                ChangeResult::Ended(sessions::end_of_member(app, caller, chosen).await?)
            }
        })
    }
}
