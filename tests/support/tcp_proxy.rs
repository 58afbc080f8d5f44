//! A proxy between a client and a server on loopback, which a test tells what to pass on.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// What is passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Passing {
    All,
    /// Cuts the connection instead of the next answer.
    NoAnswer,
    /// Cuts the connection instead of the next request.
    NoRequest,
    /// Keeps requests until something else is told, also of clients that are gone.
    Later,
    /// Keeps requests and answers until something else is told, as a network does that is cut.
    Held,
    /// Takes everything, and passes nothing on. Something else that is told then cuts the connections that
    /// lost something: TCP has no gaps.
    Nothing,
    /// Cuts all connections, and takes none: who connects is told that nobody listens.
    Refused,
    /// The proxy ends.
    Ended,
}

const STATES: [Passing; 8] = [
    Passing::All,
    Passing::NoAnswer,
    Passing::NoRequest,
    Passing::Later,
    Passing::Held,
    Passing::Nothing,
    Passing::Refused,
    Passing::Ended,
];

/// How often something that may end is looked at.
pub(super) const TICK: Duration = Duration::from_millis(5);

#[derive(Clone, Default)]
pub(super) struct State {
    passing: Arc<AtomicU8>,
    lost_requests: Arc<AtomicUsize>,
}

impl State {
    pub(super) fn get(&self) -> Passing {
        STATES[usize::from(self.passing.load(Ordering::SeqCst))]
    }

    pub(super) fn set(&self, what: Passing) {
        self.passing.store(what as u8, Ordering::SeqCst);
    }
}

pub struct TcpProxy {
    pub port: u16,
    state: State,
    listener: Option<JoinHandle<()>>,
}

impl TcpProxy {
    pub fn to(server: u16) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let port = socket.local_addr().unwrap().port();
        let state = State::default();
        let of_listener = state.clone();
        let listener = thread::spawn(move || listen(socket, port, server, &of_listener));
        Self { port, state, listener: Some(listener) }
    }

    pub fn pass(&self, what: Passing) {
        self.state.set(what);
    }

    /// How often a request was lost on the way, so far. Answers do not count: what a server says unasked, as
    /// that a log has changed, may be lost before any request is.
    pub fn lost_requests(&self) -> usize {
        self.state.lost_requests.load(Ordering::SeqCst)
    }
}

impl Drop for TcpProxy {
    fn drop(&mut self) {
        self.pass(Passing::Ended);
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
    }
}

fn listen(socket: TcpListener, port: u16, server: u16, state: &State) {
    let mut listening = Some(socket);
    while state.get() != Passing::Ended {
        if state.get() == Passing::Refused {
            listening = None;
        } else if listening.is_none() {
            // Tried again where another program has the port for a moment.
            listening = TcpListener::bind(("127.0.0.1", port)).ok();
            let _ = listening.as_ref().map(|socket| socket.set_nonblocking(true).unwrap());
        }
        match listening.as_ref().and_then(|socket| socket.accept().ok()) {
            Some((client, _)) => join(&client, server, state),
            None => thread::sleep(TICK),
        }
    }
}

/// Joins a client to the server, in threads that end with the connection or the proxy.
pub(super) fn join(client: &TcpStream, server: u16, state: &State) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else { return };
    client.set_nonblocking(false).unwrap();
    for (from, to, answers) in [(client, &server, false), (&server, client, true)] {
        from.set_read_timeout(Some(TICK)).unwrap();
        let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
        let state = state.clone();
        thread::spawn(move || {
            carry(&from, &to, answers, &state);
            let _ = from.shutdown(Shutdown::Both);
            let _ = to.shutdown(Shutdown::Both);
        });
    }
}

fn is_kept(what: Passing, is_answer: bool) -> bool {
    what == Passing::Held || (what == Passing::Later && !is_answer)
}

fn carry(mut from: &TcpStream, mut to: &TcpStream, answers: bool, state: &State) {
    let (mut bytes, mut has_gap) = ([0; 16 * 1024], false);
    while !matches!(state.get(), Passing::Ended | Passing::Refused) {
        if has_gap && state.get() != Passing::Nothing {
            return;
        }
        let count = match from.read(&mut bytes) {
            // A client that is gone does not take back what it sent.
            Ok(0) if !answers && state.get() == Passing::Later => {
                thread::sleep(TICK);
                continue;
            }
            Ok(0) => return,
            Ok(count) => count,
            Err(fault) if matches!(fault.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                continue;
            }
            Err(_) => return,
        };
        while is_kept(state.get(), answers) {
            thread::sleep(TICK);
        }
        match state.get() {
            Passing::NoAnswer if answers => return,
            Passing::NoRequest if !answers => return,
            Passing::Refused | Passing::Ended => return,
            Passing::Nothing => {
                has_gap = true;
                state.lost_requests.fetch_add(usize::from(!answers), Ordering::SeqCst);
                continue;
            }
            _ if has_gap => return,
            _ => {}
        }
        if to.write_all(&bytes[..count]).is_err() {
            return;
        }
    }
}
