//! Whether the header of a store's file names its newest commit.
//!
//! redb keeps the last two commits in two slots, and one bit of the header selects the current one.
//! No checksum covers that bit: if it flips, the last commit is undone unnoticed. The slots have
//! commit numbers, and only a crash during a commit leaves the newer one unselected. In both cases
//! the newer commit is used if all its pages are intact: after a crash this is allowed, since
//! nobody was told that the commit had failed. Reads the header only.

/// The header of redb 4: a byte of flags after the nine of its magic number, and the two slots.
pub(super) const FLAGS: usize = 9;
const NAMED: u8 = 1;
const SLOTS: [usize; 2] = [64, 192];
/// In a slot: its layout, and its commit number.
const LAYOUT: u8 = 3;
const NUMBER: usize = 104;

/// The flags that would select the newer commit, if the header selects the older one.
pub(super) fn newer_slot(head: &[u8]) -> Option<u8> {
    let flags = *head.get(FLAGS)?;
    let number = |slot: usize| {
        let bytes = head.get(slot + NUMBER..slot + NUMBER + 8)?;
        let known = *head.get(slot)? == LAYOUT;
        known.then_some(u64::from_le_bytes(bytes.try_into().ok()?))
    };
    let [zero, one] = SLOTS.map(number);
    let (named, other) = if flags & NAMED == 0 { (zero?, one?) } else { (one?, zero?) };
    (other > named).then_some(flags ^ NAMED)
}
