//! Permits: the proof, as a value, that somebody may do what a flow is about to do.
//!
//! The fields are private and every maker is in this file, so a flow that takes a permit cannot
//! be called by a face that forgot to ask: there is nothing it could pass. Changing flows take the
//! permit by value, and it is neither `Clone` nor `Copy`: one question asked, one change made.
//! Never judges by itself beyond what its makers say, and never reads the store.

use crate::domain::{AccountSlug, Actor};

/// The right to manage the people of one account.
#[derive(Debug)]
pub struct Permit {
    actor: Actor,
    account: AccountSlug,
}

impl Permit {
    /// For the operator of the sidecar: whoever may open `admin.sock` (mode 0600, in a folder of
    /// mode 0700) may do everything, on any account. `peer_uid` is what the kernel says of the
    /// connection, never what the caller says of itself.
    #[must_use]
    pub fn sidecar(peer_uid: u32, account: AccountSlug) -> Self {
        Self { actor: Actor::Sidecar { uid: peer_uid }, account }
    }

    /// Who acts, for the audit log.
    #[must_use]
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// The one account that this permit is about.
    #[must_use]
    pub fn account(&self) -> &AccountSlug {
        &self.account
    }
}

/// The right to manage what is one for all accounts: the accounts themselves, and the policies.
#[derive(Debug)]
pub struct StorePermit {
    actor: Actor,
}

impl StorePermit {
    /// For the operator of the sidecar, by the peer's user id as the kernel gives it.
    #[must_use]
    pub fn sidecar(peer_uid: u32) -> Self {
        Self { actor: Actor::Sidecar { uid: peer_uid } }
    }

    /// For the sidecar itself: a reload by file watch or signal.
    #[must_use]
    pub fn system() -> Self {
        Self { actor: Actor::System }
    }

    /// Who acts, for the audit log.
    #[must_use]
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// The same, where the permit is used up.
    #[must_use]
    pub fn into_actor(self) -> Actor {
        self.actor
    }
}
