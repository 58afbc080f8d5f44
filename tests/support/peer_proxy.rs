//! A proxy before the port that a member of etcd has for its peers, with a line of its own for each of
//! them, which a test tells what to pass on.
//!
//! Who calls is in the head of the first request of a connection. Some connections begin with a request
//! that does not say so, and are used for other ones later: they are kept waiting while any line is not
//! sound.

use std::collections::BTreeMap;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::tcp_proxy::{Passing, State, TICK, join};

/// Longer than the head of a request of a peer.
const HEAD_BYTES: usize = 4_096;
/// How long a caller may take for it.
const PATIENCE: Duration = Duration::from_secs(5);

/// The lines, by the id of the member that calls; that of callers without one has no name.
type Lines = Arc<Mutex<BTreeMap<String, State>>>;

pub struct PeerProxy {
    pub port: u16,
    lines: Lines,
    is_over: Arc<AtomicBool>,
    listener: Option<JoinHandle<()>>,
}

impl PeerProxy {
    pub fn to(server: u16) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let port = socket.local_addr().unwrap().port();
        let (lines, is_over) = (Lines::default(), Arc::<AtomicBool>::default());
        let (of_listener, ends) = (lines.clone(), is_over.clone());
        let listener = thread::spawn(move || {
            while !ends.load(Ordering::SeqCst) {
                let Ok((client, _)) = socket.accept() else {
                    thread::sleep(TICK);
                    continue;
                };
                let lines = of_listener.clone();
                thread::spawn(move || {
                    let Some(caller) = caller(&client) else { return };
                    let line = lines.lock().unwrap().entry(caller).or_default().clone();
                    join(&client, server, &line);
                });
            }
        });
        Self { port, lines, is_over, listener: Some(listener) }
    }

    /// What is passed on of what a member begins.
    pub fn pass(&self, caller: &str, what: Passing) {
        let mut lines = self.lines.lock().unwrap();
        lines.entry(caller.to_owned()).or_default().set(what);
        let is_sound =
            lines.iter().all(|(name, line)| name.is_empty() || line.get() == Passing::All);
        let of_others = if is_sound { Passing::All } else { Passing::Held };
        lines.entry(String::new()).or_default().set(of_others);
    }
}

impl Drop for PeerProxy {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        self.lines.lock().unwrap().values().for_each(|line| line.set(Passing::Ended));
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
    }
}

/// The id of the member that has opened a connection; empty where it does not say it, `None` where it
/// says nothing.
fn caller(client: &TcpStream) -> Option<String> {
    client.set_nonblocking(false).ok()?;
    client.set_read_timeout(Some(TICK)).ok()?;
    let (mut head, end) = ([0; HEAD_BYTES], Instant::now() + PATIENCE);
    while Instant::now() < end {
        thread::sleep(TICK);
        let Ok(count) = client.peek(&mut head) else { continue };
        if count == 0 {
            return None;
        }
        let text = String::from_utf8_lossy(&head[..count]);
        let Some((text, _)) = text.split_once("\r\n\r\n") else { continue };
        let from = text.lines().find_map(|line| line.strip_prefix("X-Server-From: "));
        return Some(from.unwrap_or_default().to_owned());
    }
    None
}
