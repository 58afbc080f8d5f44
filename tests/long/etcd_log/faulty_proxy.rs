//! A proxy between a node and etcd, which loses, delays and doubles requests as a test plans.
//!
//! It knows where a request and an answer end, so that what is lost is lost as a whole.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// What happens to one transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineFault {
    /// It does not arrive, and the connection breaks.
    LostRequest,
    /// It arrives; the connection breaks before the answer.
    LostAnswer,
    /// It arrives when [`FaultyProxy::deliver_late`] is called; the connection breaks.
    Late,
    /// It arrives twice; the second answer is heard.
    Twice,
    /// It arrives; the answer is that etcd is full, as it is for the one that fills it.
    FillsUp,
    /// It does not arrive; the answer is that etcd is full.
    IsFull,
    /// Nothing more is passed on, and the connection stays open.
    Silence,
}

/// The proxy; its threads end with it.
pub struct FaultyProxy {
    pub port: u16,
    shared: Arc<Shared>,
    listening: Option<JoinHandle<()>>,
}

struct Shared {
    server: u16,
    plan: Mutex<VecDeque<LineFault>>,
    late: Mutex<Vec<Vec<u8>>>,
    is_over: AtomicBool,
}

impl FaultyProxy {
    /// Before a member's port for clients.
    pub fn before(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            server,
            plan: Mutex::default(),
            late: Mutex::default(),
            is_over: AtomicBool::new(false),
        });
        let of_thread = shared.clone();
        let listening = std::thread::spawn(move || {
            for client in listener.incoming() {
                if of_thread.is_over.load(Ordering::Relaxed) {
                    return;
                }
                let of_connection = of_thread.clone();
                // It ends when either side closes, or with the proxy.
                std::thread::spawn(move || of_connection.serve(client.ok()?));
            }
        });
        Self { port, shared, listening: Some(listening) }
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What happens to the next transactions, one after another; then they pass.
    pub fn plan(&self, faults: impl IntoIterator<Item = LineFault>) {
        *self.shared.plan.lock().unwrap() = faults.into_iter().collect();
    }

    /// Delivers what is on its way; the answers are lost.
    pub fn deliver_late(&self) {
        for request in std::mem::take(&mut *self.shared.late.lock().unwrap()) {
            self.shared.exchange(&mut self.shared.connect().unwrap(), &request).unwrap();
        }
    }
}

impl Drop for FaultyProxy {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        // Wakes the listening thread.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(listening) = self.listening.take() {
            let _ = listening.join();
        }
    }
}

impl Shared {
    fn connect(&self) -> Option<BufReader<TcpStream>> {
        Some(BufReader::new(TcpStream::connect(("127.0.0.1", self.server)).ok()?))
    }

    /// `None` at the end of a connection.
    fn serve(&self, client: TcpStream) -> Option<()> {
        let mut client = BufReader::new(client);
        let mut server = self.connect()?;
        loop {
            let request = message(&mut client)?;
            let is_transaction = request.starts_with(b"POST /v3/kv/txn ");
            let fault = if is_transaction { self.plan.lock().unwrap().pop_front() } else { None };
            match fault {
                None => {}
                Some(LineFault::LostRequest) => return None,
                Some(LineFault::LostAnswer) => {
                    self.exchange(&mut server, &request)?;
                    return None;
                }
                Some(LineFault::Late) => {
                    self.late.lock().unwrap().push(request);
                    return None;
                }
                Some(LineFault::Twice) => {
                    self.exchange(&mut server, &request)?;
                }
                Some(fault @ (LineFault::FillsUp | LineFault::IsFull)) => {
                    if fault == LineFault::FillsUp {
                        self.exchange(&mut server, &request)?;
                    }
                    client.get_mut().write_all(full().as_bytes()).ok()?;
                    continue;
                }
                Some(LineFault::Silence) => return self.be_silent(client),
            }
            if request.starts_with(b"POST /v3/watch ") {
                return self.be_silent(client);
            }
            let answer = self.exchange(&mut server, &request)?;
            client.get_mut().write_all(&answer).ok()?;
        }
    }

    fn exchange(&self, server: &mut BufReader<TcpStream>, request: &[u8]) -> Option<Vec<u8>> {
        server.get_mut().write_all(request).ok()?;
        message(server)
    }

    /// Until the client closes.
    fn be_silent(&self, mut client: BufReader<TcpStream>) -> Option<()> {
        client.get_mut().set_read_timeout(Some(Duration::from_millis(50))).ok()?;
        while !self.is_over.load(Ordering::Relaxed) {
            if client.read(&mut [0; 64]).is_ok_and(|count| count == 0) {
                return None;
            }
        }
        None
    }
}

/// What etcd 3.4 answers where it is full.
fn full() -> String {
    let text = "etcdserver: mvcc: database space exceeded";
    let body = format!(r#"{{"error":"{text}","message":"{text}","code":8}}"#);
    format!("HTTP/1.1 429 Too Many Requests\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// One message of HTTP/1.1 with its body; `None` at the end of a connection.
pub fn message(stream: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let (mut whole, mut length, mut is_chunked) = (Vec::new(), 0, false);
    loop {
        let begin = whole.len();
        if stream.read_until(b'\n', &mut whole).ok()? == 0 {
            return None;
        }
        let line = String::from_utf8_lossy(&whole[begin..]).to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        is_chunked |= line.starts_with("transfer-encoding: chunked");
        if line == "\r\n" {
            break;
        }
    }
    if is_chunked {
        // No body of the gateway ends a line in another place.
        while !whole.ends_with(b"\r\n0\r\n\r\n") {
            if stream.read_until(b'\n', &mut whole).ok()? == 0 {
                return None;
            }
        }
        return Some(whole);
    }
    let begin = whole.len();
    whole.resize(begin + length, 0);
    stream.read_exact(&mut whole[begin..]).ok()?;
    Some(whole)
}
