//! What the nodes of a fleet keep in etcd beside the log.

use std::time::Duration;

use super::messages::{KeyValue, Operation, Range, Transaction};
use super::{EtcdLog, Repeat};
use crate::store::shared_log::{FleetLog, OBJECT_BYTES_MAX, SharedLog as _};

/// How many names are read at once.
const NAMES_STEP: usize = 256;

impl EtcdLog {
    /// The first keys of a range, in this log.
    fn keys_of(
        &self,
        range: &Range,
        most: usize,
        keys_only: bool,
    ) -> Result<Vec<KeyValue>, String> {
        let read = Operation::read_range(range, most, keys_only);
        let transaction =
            Transaction { success: vec![self.read_head(), read], ..Transaction::default() };
        let answer = self.transact(&transaction, Repeat::Harmless).map_err(|fault| fault.why)?;
        let mut read = answer.read();
        self.own_head(read.next())?;
        Ok(read.next().unwrap_or_default())
    }

    fn object_range(&self, name: &str) -> Range {
        let key = self.keys.object(name);
        Range { end: after(&key), key }
    }
}

/// The key right after another one.
fn after(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}

impl FleetLog for EtcdLog {
    fn wait_for_change(&self, at_most: Duration) {
        let _ = Self::wait_for_change(self, at_most);
    }

    fn trim(&self, through: u64) -> Result<(), String> {
        // The engine refuses an index that the log does not reach.
        let head = self.read(through, 0)?.head.index;
        Self::trim(self, through.min(head)).map(drop)
    }

    fn put_object(&self, name: &str, bytes: &[u8]) -> Result<(), String> {
        if bytes.len() > OBJECT_BYTES_MAX {
            return Err(format!("an object has at most {OBJECT_BYTES_MAX} bytes"));
        }
        let (_, created) = self.head()?;
        self.change(&created, vec![Operation::put(&self.keys.object(name), bytes)]).map(drop)
    }

    fn object(&self, name: &str) -> Result<Option<Vec<u8>>, String> {
        let found = self.keys_of(&self.object_range(name), 1, false)?;
        Ok(found.into_iter().next().map(|found| found.value.0))
    }

    fn object_names(&self, prefix: &str) -> Result<Vec<String>, String> {
        let (mut names, mut range) = (Vec::new(), self.keys.objects(prefix));
        loop {
            let found = self.keys_of(&range, NAMES_STEP, true)?;
            let Some(last) = found.last() else { return Ok(names) };
            range.key = after(&last.key.0);
            for one in &found {
                names.push(self.keys.object_of(&one.key.0).ok_or_else(|| self.altered())?);
            }
        }
    }

    fn remove_object(&self, name: &str) -> Result<(), String> {
        self.delete(&self.object_range(name), 1).map(drop)
    }
}
