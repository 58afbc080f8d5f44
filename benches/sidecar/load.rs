//! What the server is asked, how fast, and how long each answer took.
//!
//! Measures only; the caller compares.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{CONNECTIONS, MEMBERS, ROUND, WINDOW};

/// Where a server listens.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// A connection that blocks.
pub(crate) trait Line: Read + Write {
    fn never_wait(&self);
}

impl Line for TcpStream {
    fn never_wait(&self) {
        self.set_nonblocking(true).unwrap();
    }
}

impl Line for UnixStream {
    fn never_wait(&self) {
        self.set_nonblocking(true).unwrap();
    }
}

impl Place {
    pub(crate) fn connect(&self) -> Box<dyn Line> {
        match self {
            Self::Tcp(address) => {
                let stream = TcpStream::connect(address).unwrap();
                stream.set_nodelay(true).unwrap();
                Box::new(stream)
            }
            Self::Unix(path) => Box::new(UnixStream::connect(path).unwrap()),
        }
    }
}

/// What is asked at a time.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ask {
    One,
    /// About a resource that is assigned to the member.
    Assigned,
    /// So many in one batch.
    Batch(usize),
}

/// Requests a second over all connections, each of which asks again once it is answered.
pub(crate) fn closed_loop(place: &Place, ask: Ask) -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let end = Instant::now() + ROUND;
        let tasks: Vec<_> = (0..CONNECTIONS)
            .map(|number| {
                let place = place.clone();
                tokio::spawn(async move {
                    let random = Random::new(number as u64 + 1);
                    match place {
                        Place::Tcp(address) => {
                            let stream = tokio::net::TcpStream::connect(address).await.unwrap();
                            stream.set_nodelay(true).unwrap();
                            ask_until(end, stream, random, ask).await
                        }
                        Place::Unix(path) => {
                            let stream = tokio::net::UnixStream::connect(path).await.unwrap();
                            ask_until(end, stream, random, ask).await
                        }
                    }
                })
            })
            .collect();
        let mut answered = 0;
        for task in tasks {
            answered += task.await.unwrap();
        }
        answered as f64 / ROUND.as_secs_f64()
    })
}

async fn ask_until(
    end: Instant,
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    mut random: Random,
    ask: Ask,
) -> u64 {
    let (mut request, mut buffer) = (Vec::new(), [0; 8192]);
    let mut answered = 0_u64;
    while Instant::now() < end {
        write_request(&mut request, &mut random, ask);
        stream.write_all(&request).await.unwrap();
        let mut filled = 0;
        loop {
            let read = stream.read(&mut buffer[filled..]).await.unwrap();
            assert!(read > 0, "the server hung up");
            filled += read;
            if complete(&buffer[..filled]) {
                break;
            }
        }
        assert!(buffer.starts_with(b"HTTP/1.1 200"));
        answered += 1;
    }
    answered
}

/// The median latency of one connection that asks again at once, in microseconds.
pub(crate) fn p50_us_alone(place: &Place) -> f64 {
    let mut line = place.connect();
    let mut random = Random::new(3);
    let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
    let end = Instant::now() + ROUND;
    let mut taken = Vec::new();
    while Instant::now() < end {
        write_request(&mut request, &mut random, Ask::One);
        let began = Instant::now();
        line.write_all(&request).unwrap();
        let mut filled = 0;
        while !complete(&buffer[..filled]) {
            filled += line.read(&mut buffer[filled..]).unwrap();
        }
        taken.push(began.elapsed().as_nanos() as f64 / 1_000.0);
    }
    super::median(&mut taken)
}

/// Latencies in nanoseconds from the moment a request was due, at a fixed rate, by the window that
/// it was due in, as long as `on` says.
pub(crate) fn open_loop(place: &Place, rate: f64, on: impl Fn() -> bool) -> Vec<Vec<u64>> {
    struct Slot {
        line: Box<dyn Line>,
        due: Option<Instant>,
        buffer: Vec<u8>,
    }
    let mut slots: Vec<Slot> = (0..CONNECTIONS)
        .map(|_| {
            let line = place.connect();
            line.never_wait();
            Slot { line, due: None, buffer: Vec::new() }
        })
        .collect();
    let gap = Duration::from_secs_f64(1.0 / rate);
    let began = Instant::now();
    let mut due = began;
    let mut random = Random::new(7);
    let mut request = Vec::new();
    let mut windows: Vec<Vec<u64>> = Vec::new();
    loop {
        let now = Instant::now();
        let ending = !on();
        if ending && slots.iter().all(|slot| slot.due.is_none()) {
            // The last window is not a whole one.
            windows.pop();
            return windows;
        }
        if !ending
            && now >= due
            && let Some(slot) = slots.iter_mut().find(|slot| slot.due.is_none())
        {
            write_request(&mut request, &mut random, Ask::One);
            slot.line.write_all(&request).unwrap();
            slot.due = Some(due);
            due += gap;
        }
        for slot in slots.iter_mut().filter(|slot| slot.due.is_some()) {
            let mut piece = [0; 4096];
            match slot.line.read(&mut piece) {
                Ok(0) => panic!("the server hung up"),
                Ok(read) => slot.buffer.extend_from_slice(&piece[..read]),
                Err(fault) if fault.kind() == ErrorKind::WouldBlock => continue,
                Err(fault) => panic!("{fault}"),
            }
            if complete(&slot.buffer) {
                assert!(slot.buffer.starts_with(b"HTTP/1.1 200"));
                let due = slot.due.take().unwrap();
                let window = ((due - began).as_secs_f64() / WINDOW.as_secs_f64()) as usize;
                if windows.len() <= window {
                    windows.resize(window + 1, Vec::new());
                }
                windows[window].push(u64::try_from(due.elapsed().as_nanos()).unwrap());
                slot.buffer.clear();
            }
        }
    }
}

/// A question about one of all members and one of a million resources.
fn write_question(into: &mut Vec<u8>, random: u64, is_assigned: bool) {
    let member = random as usize % MEMBERS;
    let resource = (random >> 32) % 1_000_000;
    let assignee =
        if is_assigned { format!(r#","assignee":"m{member:07}""#) } else { String::new() };
    write!(
        into,
        r#"{{"subject":{{"type":"user","id":"m{member:07}"}},"action":{{"name":"templates:view"}},"resource":{{"type":"template","id":"t{resource}","properties":{{"account":"acme"{assignee}}}}}}}"#
    )
    .unwrap();
}

fn write_request(into: &mut Vec<u8>, random: &mut Random, ask: Ask) {
    let mut body = Vec::new();
    let path = match ask {
        Ask::One | Ask::Assigned => {
            write_question(&mut body, random.next(), matches!(ask, Ask::Assigned));
            "evaluation"
        }
        Ask::Batch(many) => {
            body.extend_from_slice(br#"{"evaluations":["#);
            for number in 0..many {
                if number > 0 {
                    body.push(b',');
                }
                write_question(&mut body, random.next(), false);
            }
            body.extend_from_slice(b"]}");
            "evaluations"
        }
    };
    into.clear();
    write!(
        into,
        "POST /access/v1/{path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )
    .unwrap();
    into.extend_from_slice(&body);
}

/// Whether all of an answer is there, by the length that it says.
fn complete(answer: &[u8]) -> bool {
    let Some(head) = answer.windows(4).position(|window| window == b"\r\n\r\n") else {
        return false;
    };
    let length = b"content-length: ";
    let at = answer[..head].windows(length.len()).position(|window| window == length).unwrap();
    let digits = answer[at + length.len()..head].iter().take_while(|byte| byte.is_ascii_digit());
    let length = digits.fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0'));
    answer.len() >= head + 4 + length
}

/// One question, and whether it is allowed.
pub(crate) fn ask_once(place: &Place) -> bool {
    let mut line = place.connect();
    let mut request = Vec::new();
    write_request(&mut request, &mut Random::new(1), Ask::One);
    line.write_all(&request).unwrap();
    let mut answer = Vec::new();
    while !complete(&answer) {
        let mut piece = [0; 1024];
        let read = line.read(&mut piece).unwrap();
        answer.extend_from_slice(&piece[..read]);
    }
    answer.ends_with(br#"{"decision":true}"#)
}

/// xorshift64*: which member and resource is asked about need not be a secret.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
}
