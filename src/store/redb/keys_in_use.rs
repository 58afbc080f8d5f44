//! Which keys the nodes of a fleet use for new links and secrets: rows that all nodes have alike, so that
//! none uses a key that another one lacks. Holds numbers, and no key.

use super::change_workspace::Workspace;
use super::row_reads::{Rows, TableRead as _};
use super::running_change::TransactionEnd;
use super::tables::META;
use super::{Store, StoreError};
use crate::domain::{Actor, AuditEvent, Failure, FieldChange, KeyId, KeysInUse, Kind};
use crate::store::Committed;

/// The row of [`META`] with the number of the key for links.
const LINK: &str = "link_key";
/// The row of [`META`] with the number of the key for secrets.
const SEAL: &str = "seal_key";

impl Store {
    /// The keys that the nodes of the fleet use; `None` where that was never said, as in no fleet.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn keys_in_use(&self) -> Result<Option<KeysInUse>, Failure> {
        self.read(in_use).await
    }

    /// Says which keys are used, in a store that is to be the first of a fleet.
    ///
    /// # Errors
    /// `Busy`, when the disk fails.
    pub async fn begin_keys(&self, keys: KeysInUse) -> Result<(), Failure> {
        let begun = self.write(&Actor::System, move |change| {
            put(change.tx, keys)?;
            Ok(TransactionEnd::Quietly(()))
        });
        begun.await.map(drop)
    }

    /// Has all nodes use other keys from now on.
    ///
    /// # Errors
    /// `Conflict` `older_keys`, where newer ones are in use; `Busy`, when the disk fails.
    pub async fn activate_keys(
        &self,
        actor: &Actor,
        keys: KeysInUse,
    ) -> Result<Committed<()>, Failure> {
        self.write(actor, move |change| {
            let before = in_use(change.tx)?;
            if before == Some(keys) {
                return Ok(TransactionEnd::AsItWas(()));
            }
            if before.is_some_and(|before| before.link > keys.link || before.seal > keys.seal) {
                return Err(older().into());
            }
            put(change.tx, keys)?;
            let [link, seal] = keys.files();
            let fields = vec![FieldChange::added("link", link), FieldChange::added("seal", seal)];
            change.audit("", AuditEvent::KeysActivated, "", fields)?;
            Ok(TransactionEnd::Changed(()))
        })
        .await
    }
}

fn in_use(rows: &impl Rows) -> Result<Option<KeysInUse>, StoreError> {
    let meta = rows.open(META)?;
    let number = |row: &str| {
        let found = meta.get(row)?.map(|found| u32::try_from(found.value()));
        let found = found.transpose().map_err(|_| Failure::internal("a key has no such number"));
        Ok::<_, StoreError>(found?.map(KeyId))
    };
    Ok(number(LINK)?.zip(number(SEAL)?).map(|(link, seal)| KeysInUse { link, seal }))
}

fn put(tx: &Workspace, keys: KeysInUse) -> Result<(), StoreError> {
    let mut meta = tx.open_table(META)?;
    meta.insert(LINK, u64::from(keys.link.0))?;
    meta.insert(SEAL, u64::from(keys.seal.0))?;
    Ok(())
}

fn older() -> Failure {
    Failure::new(
        Kind::Conflict,
        "older_keys",
        "the nodes use newer keys than the newest ones of this node: copy the folder `keys` of another node to this one, then restart its sidecar; nothing was changed",
    )
}
