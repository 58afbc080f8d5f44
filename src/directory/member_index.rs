//! The member index for decisions: role, account and suspension of each member, in half a cache
//! line.
//!
//! A compact table beside the full records, so that the usual decision causes one cache miss. A
//! member may be missing, for instance because of a long id, and is then looked up in the full
//! records; what the table has is always current. Single writer; each member is one word that is
//! written atomically, so that readers take no lock and see the old or the new state. A missing
//! entry never means that the member does not exist.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use foldhash::quality::RandomState;

use crate::domain::MemberAccess;

/// The number of characters of generated ids.
const TEXT_ID: usize = 27;
/// The text form of a UUID (RFC 9562, section 4).
const UUID_TEXT: usize = 36;
const UUID_HYPHENS: [usize; 4] = [8, 13, 18, 23];
/// No text begins with this byte, so that none is taken for a UUID.
const UUID: u8 = 0x80;

/// An id in the four words of a slot; the last word has five bytes of it.
type PackedId = [u64; 4];

/// The bits of the id in the last word.
const KEY_BITS: u64 = (1 << 24) - 1;
/// Set when a slot is first used: a slot belongs to one id for as long as its table lives.
const TAKEN: u64 = 1 << 24;
const PRESENT: u64 = 1 << 25;
const ACTIVE: u64 = 1 << 26;
const ROLE_AT: u32 = 27;
const ROLE_BITS: u32 = 13;
const ACCOUNT_AT: u32 = ROLE_AT + ROLE_BITS;
const ACCOUNT_BITS: u32 = 64 - ACCOUNT_AT;

/// The key of an id; `None` if it does not fit. Keys are padded with zeros, so an id that ends in
/// one, as no id does, would share the key of another.
fn key(id: &str) -> Option<PackedId> {
    if matches!(id.as_bytes().last(), None | Some(0)) {
        return None;
    }
    let mut bytes = [0; 32];
    let (text, _) = bytes.split_at_mut(TEXT_ID);
    match text.get_mut(..id.len()) {
        Some(room) => room.copy_from_slice(id.as_bytes()),
        None => {
            let (mark, room) = text.split_first_mut()?;
            *mark = UUID;
            room.get_mut(..16)?.copy_from_slice(&uuid(id)?);
        }
    }
    let (words, _) = bytes.as_chunks::<8>();
    let mut words = words.iter().map(|word| u64::from_le_bytes(*word));
    Some(std::array::from_fn(|_| words.next().unwrap_or_default()))
}

/// The bytes of a UUID in lower case. One in upper case is another id.
fn uuid(id: &str) -> Option<[u8; 16]> {
    let text: &[u8; UUID_TEXT] = id.as_bytes().try_into().ok()?;
    let mut bytes = [0; 16];
    let mut digits = 0;
    for (at, letter) in text.iter().enumerate() {
        if UUID_HYPHENS.contains(&at) {
            if *letter != b'-' {
                return None;
            }
            continue;
        }
        let digit = match letter {
            b'0'..=b'9' => letter - b'0',
            b'a'..=b'f' => letter - b'a' + 10,
            _ => return None,
        };
        let byte = bytes.get_mut(digits / 2)?;
        *byte = *byte << 4 | digit;
        digits += 1;
    }
    Some(bytes)
}

/// Two slots in one cache line, filled in this order. A slot has the id, and in its last word the
/// member's state, the only part that changes.
#[derive(Debug, Default)]
#[repr(align(64))]
struct CacheLine([[AtomicU64; 4]; 2]);

#[derive(Debug)]
struct SlotTable(Box<[CacheLine]>);

enum SlotSearch<'t> {
    /// The slot of the id.
    Slot(&'t AtomicU64, u64),
    /// A free slot.
    Free(&'t [AtomicU64; 4]),
    Nowhere,
}

impl SlotTable {
    fn new(lines: usize) -> Self {
        Self((0..lines).map(|_| CacheLine::default()).collect())
    }

    fn find(&self, key: &PackedId, hash: u64) -> SlotSearch<'_> {
        // The hash as a fraction of the table size, which may be any number of lines.
        let lines = u128::try_from(self.0.len()).unwrap_or_default();
        let first = usize::try_from((u128::from(hash) * lines) >> 64).unwrap_or_default();
        let (before, from) = self.0.split_at_checked(first).unwrap_or_default();
        for slot in from.iter().chain(before).flat_map(|line| &line.0) {
            let [one, two, three, last] = slot;
            // Read first: a reader that sees the slot taken also sees its id.
            let state = last.load(Ordering::Acquire);
            if state & TAKEN == 0 {
                return SlotSearch::Free(slot);
            }
            let read = |word: &AtomicU64| word.load(Ordering::Relaxed);
            if [read(one), read(two), read(three), state & KEY_BITS] == *key {
                return SlotSearch::Slot(last, state);
            }
        }
        SlotSearch::Nowhere
    }
}

/// The writer's counters.
#[derive(Debug, Default)]
pub(super) struct SlotCounts {
    /// Slots that belong to an id, of a current or a former member.
    taken: usize,
    present: usize,
}

/// The index of all members whose ids fit.
#[derive(Debug)]
pub(super) struct MemberIndex {
    table: ArcSwap<SlotTable>,
    /// A random seed, so that nobody can choose ids that collide.
    hash: RandomState,
    roles: boxcar::Vec<Arc<str>>,
    accounts: boxcar::Vec<Arc<str>>,
}

/// The minimum number of lines of a table.
const LINES_MIN: usize = 64;

impl MemberIndex {
    pub(super) fn new() -> Self {
        Self {
            table: ArcSwap::from_pointee(SlotTable::new(LINES_MIN)),
            hash: RandomState::default(),
            roles: boxcar::Vec::new(),
            accounts: boxcar::Vec::new(),
        }
    }

    /// Calls `read` with a member's entry; `None` if the full record must be read.
    pub(super) fn with<R>(&self, id: &str, read: impl FnOnce(MemberAccess<'_>) -> R) -> Option<R> {
        let key = key(id)?;
        let table = self.table.load();
        let SlotSearch::Slot(_, state) = table.find(&key, self.hash_of(&key)) else { return None };
        if state & PRESENT == 0 {
            return None;
        }
        let index = |at: u32, bits: u32| usize::try_from(state >> at & ((1 << bits) - 1)).ok();
        Some(read(MemberAccess {
            account: self.accounts.get(index(ACCOUNT_AT, ACCOUNT_BITS)?)?,
            role: self.roles.get(index(ROLE_AT, ROLE_BITS)?)?,
            active: state & ACTIVE != 0,
        }))
    }

    fn hash_of(&self, key: &PackedId) -> u64 {
        let mut hasher = self.hash.build_hasher();
        key.iter().for_each(|word| hasher.write_u64(*word));
        hasher.finish()
    }

    /// The number of a role; one string must be numbered once.
    pub(super) fn number_role(&self, role: &Arc<str>) -> usize {
        self.roles.push(Arc::clone(role))
    }

    /// The number of an account; one string must be numbered once.
    pub(super) fn number_account(&self, account: &Arc<str>) -> usize {
        self.accounts.push(Arc::clone(account))
    }

    /// Sets a member's entry.
    pub(super) fn put(
        &self,
        filled: &mut SlotCounts,
        id: &str,
        account: usize,
        role: usize,
        active: bool,
    ) {
        let fits = |number: usize, bits: u32| u64::try_from(number).ok().filter(|n| n >> bits == 0);
        let numbers = fits(account, ACCOUNT_BITS).zip(fits(role, ROLE_BITS));
        let Some((account, role)) = numbers else { return self.remove(filled, id) };
        let active = if active { ACTIVE } else { 0 };
        let standing = TAKEN | PRESENT | active | role << ROLE_AT | account << ACCOUNT_AT;
        let Some(key) = key(id) else { return };
        self.make_room(filled);
        filled.present += self.write(&self.table.load(), &key, standing, &mut filled.taken);
    }

    /// Removes a member's entry.
    pub(super) fn remove(&self, filled: &mut SlotCounts, id: &str) {
        let Some(key) = key(id) else { return };
        if let SlotSearch::Slot(last, state) = self.table.load().find(&key, self.hash_of(&key)) {
            filled.present -= usize::from(state & PRESENT != 0);
            last.store(key[3] | TAKEN, Ordering::Release);
        }
    }

    /// Returns 1 if the member is new.
    fn write(&self, table: &SlotTable, key: &PackedId, standing: u64, taken: &mut usize) -> usize {
        match table.find(key, self.hash_of(key)) {
            SlotSearch::Slot(last, before) => {
                last.store(key[3] | standing, Ordering::Release);
                usize::from(before & PRESENT == 0)
            }
            SlotSearch::Free(slot) => {
                let [one, two, three, last] = slot;
                one.store(key[0], Ordering::Relaxed);
                two.store(key[1], Ordering::Relaxed);
                three.store(key[2], Ordering::Relaxed);
                last.store(key[3] | standing, Ordering::Release);
                *taken += 1;
                1
            }
            // There is always room: see `make_room`.
            SlotSearch::Nowhere => 0,
        }
    }

    /// Reserves room for so many members, so that none is moved later.
    pub(super) fn reserve(&self, filled: &mut SlotCounts, members: usize) {
        // Two thirds full, with two slots in a line.
        let lines = members / 4 * 3;
        if lines > self.table.load().0.len() {
            self.move_to(filled, lines);
        }
    }

    /// The same for a number that grows: with a quarter more, so that entries are seldom moved.
    pub(super) fn reserve_ahead(&self, filled: &mut SlotCounts, members: usize) {
        if members / 4 * 3 > self.table.load().0.len() {
            self.reserve(filled, members + members / 4);
        }
    }

    /// Once three quarters are taken, all entries move to a table that is half full.
    fn make_room(&self, filled: &mut SlotCounts) {
        if filled.taken * 4 >= self.table.load().0.len() * 2 * 3 {
            self.move_to(filled, filled.present.max(LINES_MIN));
        }
    }

    fn move_to(&self, filled: &mut SlotCounts, lines: usize) {
        let table = self.table.load();
        let wider = SlotTable::new(lines);
        filled.taken = 0;
        for slot in table.0.iter().flat_map(|line| &line.0) {
            let [one, two, three, last] = slot.each_ref().map(|word| word.load(Ordering::Relaxed));
            if last & PRESENT != 0 {
                let key = [one, two, three, last & KEY_BITS];
                self.write(&wider, &key, last & !KEY_BITS, &mut filled.taken);
            }
        }
        self.table.store(Arc::new(wider));
    }
}
