//! Files of older layouts, brought up to date in the transaction that opens them.
//!
//! Loses nothing: a file that cannot be brought up to date is left as it was.

use redb::{ReadableTable, WriteTransaction};

use super::{Fault, MEMBERS, members};
use crate::store::record::MemberRecord;

/// The first layout counted no roles; everything else that is new begins empty.
pub(super) fn from_1(tx: &WriteTransaction) -> Result<(), Fault> {
    let mut held = members::Held::default();
    for row in tx.open_table(MEMBERS)?.iter()? {
        let (id, bytes) = row?;
        held.add(&MemberRecord::decode(id.value(), bytes.value())?.member);
    }
    held.write(tx)
}
