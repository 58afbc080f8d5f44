//! A simulated disk below redb: it loses power, fills up, fails and recovers.
//!
//! What was written since the last sync survives a power cut not at all, completely, or as a random
//! half. Blocks only where it is told to, and never touches a real disk.

use std::io;
use std::sync::{Arc, Condvar, Mutex};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use redb::StorageBackend;
use tokio::sync::Notify;

/// What of the writes since the last sync is there after a power cut.
#[derive(Clone, Copy, Debug)]
pub enum Survives {
    Nothing,
    All,
    /// Each write with even chances, by this seed.
    Half(u64),
}

#[derive(Clone, Debug)]
enum Write {
    Bytes(u64, Vec<u8>),
    Length(u64),
}

#[derive(Debug, Default)]
struct DiskState {
    /// What the last sync made durable.
    durable: Vec<u8>,
    /// What came after it, in order.
    since: Vec<Write>,
    /// What reads see.
    current: Vec<u8>,
    syncs: usize,
    calls: usize,
    /// The power goes at this sync.
    cut_at_sync: Option<usize>,
    /// Every call that writes fails from this one on.
    breaks_at_call: Option<usize>,
    /// The storage does not grow beyond this.
    size_max: Option<u64>,
    /// Nothing is written behind this, though the storage grows, as a file with holes does.
    written_max: Option<u64>,
    off: bool,
    /// The number of the next sync that blocks, from 1.
    waits_at_sync: Option<(usize, Arc<Wait>)>,
}

/// A sync that blocks until it is released.
#[derive(Debug, Default)]
pub struct Wait {
    begun: Notify,
    over: Mutex<bool>,
    told: Condvar,
}

impl Wait {
    /// Ends once the sync waits; never, where it is not made.
    pub async fn begun(&self) {
        self.begun.notified().await;
    }

    /// Lets it go.
    pub fn end(&self) {
        *self.over.lock().unwrap() = true;
        self.told.notify_all();
    }

    fn wait(&self) {
        self.begun.notify_one();
        drop(self.told.wait_while(self.over.lock().unwrap(), |over| !*over).unwrap());
    }
}

/// A disk; clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct FailingStorage(Arc<Mutex<DiskState>>);

fn apply(bytes: &mut Vec<u8>, write: &Write) {
    match write {
        Write::Bytes(offset, data) => {
            let from = usize::try_from(*offset).unwrap();
            let to = from + data.len();
            // A write whose growth was lost: the file grows by it.
            if bytes.len() < to {
                bytes.resize(to, 0);
            }
            bytes[from..to].copy_from_slice(data);
        }
        Write::Length(length) => bytes.resize(usize::try_from(*length).unwrap(), 0),
    }
}

fn refused(kind: io::ErrorKind, why: &str) -> io::Error {
    io::Error::new(kind, why)
}

impl FailingStorage {
    fn with<T>(&self, work: impl FnOnce(&mut DiskState) -> T) -> T {
        work(&mut self.0.lock().unwrap())
    }

    /// Another disk with everything that this one holds.
    pub fn copy(&self) -> Self {
        let bytes = self.with(|state| state.current.clone());
        Self(Arc::new(Mutex::new(DiskState {
            durable: bytes.clone(),
            current: bytes,
            ..DiskState::default()
        })))
    }

    /// Another disk, as it is found after the power went.
    pub fn after_power_cut(&self, survives: Survives) -> Self {
        let bytes = self.with(|state| {
            let mut bytes = state.durable.clone();
            let mut dice =
                StdRng::seed_from_u64(if let Survives::Half(seed) = survives { seed } else { 0 });
            for write in &state.since {
                let kept = match survives {
                    Survives::Nothing => false,
                    Survives::All => true,
                    Survives::Half(_) => dice.random_range(0..2) == 0,
                };
                if kept {
                    apply(&mut bytes, write);
                }
            }
            bytes
        });
        Self(Arc::new(Mutex::new(DiskState {
            durable: bytes.clone(),
            current: bytes,
            ..DiskState::default()
        })))
    }

    /// How often it was synced.
    pub fn syncs(&self) -> usize {
        self.with(|state| state.syncs)
    }

    /// How many calls wrote, grew or synced it.
    pub fn calls(&self) -> usize {
        self.with(|state| state.calls)
    }

    /// Lets the power go at the `nth` sync from now, from 1.
    pub fn cut_at_sync(&self, nth: usize) {
        self.with(|state| state.cut_at_sync = Some(state.syncs + nth));
    }

    /// Whether the power is gone.
    pub fn is_off(&self) -> bool {
        self.with(|state| state.off)
    }

    /// Lets the `nth` sync from now, from 1, wait before it does anything.
    pub fn wait_at_sync(&self, nth: usize) -> Arc<Wait> {
        let wait = Arc::<Wait>::default();
        self.with(|state| state.waits_at_sync = Some((state.syncs + nth, Arc::clone(&wait))));
        wait
    }

    /// Lets every write, growth and sync fail, from the `nth` from now on, from 1.
    pub fn break_at_call(&self, nth: usize) {
        self.with(|state| state.breaks_at_call = Some(state.calls + nth));
    }

    /// Lets no byte be added.
    pub fn fill(&self) {
        self.with(|state| state.size_max = u64::try_from(state.current.len()).ok());
    }

    /// What is there can be written over, and its length grows, but there is no space for more.
    pub fn fill_blocks(&self) {
        self.with(|state| state.written_max = u64::try_from(state.current.len()).ok());
    }

    /// Everything works again, except where the power is gone.
    pub fn heal(&self) {
        self.with(|state| {
            state.cut_at_sync = None;
            state.breaks_at_call = None;
            (state.size_max, state.written_max) = (None, None);
        });
    }
}

impl DiskState {
    /// Counts a call that writes; refuses it where the disk is off or broken.
    fn call(&mut self) -> Result<(), io::Error> {
        self.calls += 1;
        if self.off {
            return Err(refused(io::ErrorKind::BrokenPipe, "the power is off"));
        }
        if self.breaks_at_call.is_some_and(|from| self.calls >= from) {
            return Err(refused(io::ErrorKind::Other, "input/output error"));
        }
        Ok(())
    }

    fn write(&mut self, write: Write) {
        apply(&mut self.current, &write);
        self.since.push(write);
    }
}

impl StorageBackend for FailingStorage {
    fn len(&self) -> Result<u64, io::Error> {
        Ok(self.with(|state| u64::try_from(state.current.len()).unwrap()))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.with(|state| {
            if state.off {
                return Err(refused(io::ErrorKind::BrokenPipe, "the power is off"));
            }
            let from = usize::try_from(offset).unwrap();
            match state.current.get(from..from + out.len()) {
                Some(bytes) => {
                    out.copy_from_slice(bytes);
                    Ok(())
                }
                None => Err(refused(io::ErrorKind::UnexpectedEof, "behind the end")),
            }
        })
    }

    fn set_len(&self, length: u64) -> Result<(), io::Error> {
        self.with(|state| {
            state.call()?;
            if state.size_max.is_some_and(|most| length > most) {
                return Err(refused(io::ErrorKind::StorageFull, "no space left on device"));
            }
            state.write(Write::Length(length));
            Ok(())
        })
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        let waits = self.with(|state| {
            let next = state.syncs + 1;
            state.waits_at_sync.take_if(|(at, _)| *at == next)
        });
        if let Some((_, wait)) = waits {
            wait.wait();
        }
        self.with(|state| {
            state.call()?;
            state.syncs += 1;
            if state.cut_at_sync == Some(state.syncs) {
                state.off = true;
                return Err(refused(io::ErrorKind::BrokenPipe, "the power is off"));
            }
            state.durable.clone_from(&state.current);
            state.since.clear();
            Ok(())
        })
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.with(|state| {
            state.call()?;
            if state.written_max.is_some_and(|most| offset + data.len() as u64 > most) {
                return Err(refused(io::ErrorKind::StorageFull, "no space left on device"));
            }
            state.write(Write::Bytes(offset, data.to_vec()));
            Ok(())
        })
    }
}
