//! The last good policy set.
//!
//! Keeps one set; does not check it.

use super::Store;
use super::change_transaction::TransactionEnd;
use super::tables::POLICIES;
use crate::domain::{Actor, AuditEvent, Failure, FieldChange};
use crate::store::records::{decode_policies, encode_policies};
use crate::store::{Committed, StoredPolicies};

const LAST_GOOD: &str = "last_good";

impl Store {
    /// The last live policy set.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn policies_last_good(&self) -> Result<Option<StoredPolicies>, Failure> {
        self.read(|tx| {
            let policies = tx.open_table(POLICIES)?;
            let found = policies.get(LAST_GOOD)?;
            Ok(found.map(|found| decode_policies(found.value())).transpose()?)
        })
        .await
    }

    /// Saves a policy set that became live.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn policies_installed(
        &self,
        actor: &Actor,
        policies: StoredPolicies,
        detail: Vec<FieldChange>,
    ) -> Result<Committed<()>, Failure> {
        self.write(actor, move |change| {
            let bytes = encode_policies(&policies);
            change.tx.open_table(POLICIES)?.insert(LAST_GOOD, bytes.as_slice())?;
            let target = policies.digest.hex();
            change.audit("", AuditEvent::PoliciesReloaded, &target, detail)?;
            Ok(TransactionEnd::Changed(()))
        })
        .await
    }
}
