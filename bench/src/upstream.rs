//! The upstream that everything is measured against: canned answers from one small event loop.
//!
//! It runs as a process of its own, so that its CPU time is not mixed with the load generator's or
//! the proxies', and on one thread, so that it leaves as much of the machine as it can to them. It
//! answers every request with a content length; `"stream":true` in the body makes the answer a
//! stream, each event written on its own.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use memchr::memmem;

use crate::payload::{Chunks, FRAME_EVENTS, PLAN_HEADER, STREAM_HEAD, StreamPlan, plain_answer};
use crate::poller::Poller;

/// Token of the listener; connections have their place in the list.
const LISTENER: u64 = u64::MAX;
/// Largest request that is taken, in bytes.
const REQUEST_BYTES_MAX: usize = 64 * 1024;
/// Puts a stream's next event behind those of all other streams, however short its gap.
const NEXT_PASS: Duration = Duration::from_nanos(1);
/// Most header lines of a request.
const HEADERS_MAX: usize = 64;

/// Serves on a free loopback port, announced on standard output, until standard input ends: then
/// whoever started it is gone.
pub(crate) fn run() -> anyhow::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    println!("{}", listener.local_addr()?);
    std::thread::spawn(|| {
        let mut discarded = Vec::new();
        let _ended = io::stdin().read_to_end(&mut discarded);
        std::process::exit(0);
    });
    serve(listener)
}

/// Answers on `listener` until something fails.
pub(crate) fn serve(listener: TcpListener) -> anyhow::Result<()> {
    Upstream::new(listener)?.serve()
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    /// Tells this connection from an earlier one in the same place.
    serial: u64,
    received: Vec<u8>,
    /// Bytes that the socket had no room for.
    unsent: Vec<u8>,
    /// The streamed answer being given: its plan and the number of its next event.
    streaming: Option<(StreamPlan, u64)>,
}

/// When an event is due, on which connection: its place and its serial number.
type DueEvent = Reverse<(Instant, usize, u64)>;

struct Upstream {
    listener: TcpListener,
    connections: Vec<Option<Connection>>,
    vacant: Vec<usize>,
    accepted: u64,
    answering: Answering,
}

/// What it takes to answer on one connection, whichever it is.
struct Answering {
    poller: Poller,
    due: BinaryHeap<DueEvent>,
    plain: Vec<u8>,
    chunks: Chunks,
    joined: Vec<u8>,
    buffer: Vec<u8>,
}

impl Upstream {
    fn new(listener: TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let poller = Poller::new()?;
        poller.watch_reads(&listener, LISTENER)?;
        let answering = Answering {
            poller,
            due: BinaryHeap::new(),
            plain: plain_answer(),
            chunks: Chunks::new(),
            joined: Vec::new(),
            buffer: vec![0; REQUEST_BYTES_MAX],
        };
        Ok(Self {
            listener,
            connections: Vec::new(),
            vacant: Vec::new(),
            accepted: 0,
            answering,
        })
    }

    fn serve(mut self) -> anyhow::Result<()> {
        let mut ready = Vec::new();
        loop {
            let next = self.answering.due.peek().map(|Reverse((at, ..))| *at);
            let timeout = next.map(|at| at.saturating_duration_since(Instant::now()));
            self.answering
                .poller
                .wait(timeout, &mut ready)
                .context("epoll")?;
            for token in &ready {
                match usize::try_from(*token) {
                    Ok(place) if *token != LISTENER => self.on_ready(place),
                    _ => self.accept()?,
                }
            }
            self.write_due();
        }
    }

    fn accept(&mut self) -> anyhow::Result<()> {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).context("accepting a connection"),
            };
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            let place = self.vacant.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            self.answering.poller.watch_reads(&stream, place as u64)?;
            self.accepted += 1;
            if let Some(slot) = self.connections.get_mut(place) {
                *slot = Some(Connection {
                    stream,
                    serial: self.accepted,
                    received: Vec::new(),
                    unsent: Vec::new(),
                    streaming: None,
                });
            }
        }
    }

    /// Reads and answers; a connection that ends or fails is closed.
    fn on_ready(&mut self, place: usize) {
        let Some(slot) = self.connections.get_mut(place) else {
            return;
        };
        let Some(connection) = slot else { return };
        let goes_on = self
            .answering
            .advance(place, connection)
            .unwrap_or_else(|error| {
                eprintln!("upstream: {error:#}");
                false
            });
        if !goes_on {
            *slot = None;
            self.vacant.push(place);
        }
    }

    /// Writes what a plan has in one write on every stream where that is due. Streams without a gap are due again at
    /// once, but take turns: they advance side by side, as answers to many users do.
    fn write_due(&mut self) {
        let now = Instant::now();
        while let Some(Reverse((at, place, serial))) = self.answering.due.peek().copied() {
            if at > now {
                return;
            }
            self.answering.due.pop();
            if let Some(Some(connection)) = self.connections.get_mut(place)
                && connection.serial == serial
            {
                self.answering.write_next(place, connection, now);
            }
        }
    }
}

impl Answering {
    /// Goes on with whatever the connection allows; answers whether it stays open.
    fn advance(&mut self, place: usize, connection: &mut Connection) -> anyhow::Result<bool> {
        if !connection.unsent.is_empty() {
            let unsent = std::mem::take(&mut connection.unsent);
            if connection.send(&self.poller, place, &unsent)? {
                self.poller
                    .watch_writes(&connection.stream, place as u64, false)?;
                self.schedule(place, connection, Instant::now());
            }
        }
        match connection.stream.read(&mut self.buffer) {
            Ok(0) => return Ok(false),
            Ok(count) => {
                connection
                    .received
                    .extend_from_slice(self.buffer.get(..count).unwrap_or_default());
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
            // A proxy that leaves in the middle of a stream resets the connection.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(false),
            Err(error) => return Err(error).context("reading a request"),
        }
        let Some(received) = Received::parse(&connection.received)? else {
            ensure!(
                connection.received.len() <= REQUEST_BYTES_MAX,
                "a request is too large"
            );
            return Ok(true);
        };
        connection.received.drain(..received.length);
        if let Some(plan) = received.plan {
            connection.streaming = Some((plan, 0));
            if connection.send(&self.poller, place, STREAM_HEAD)? {
                self.schedule(place, connection, Instant::now());
            }
        } else {
            connection.send(&self.poller, place, &self.plain)?;
        }
        Ok(true)
    }

    fn write_next(&mut self, place: usize, connection: &mut Connection, now: Instant) {
        let Some((plan, first)) = connection.streaming else {
            return;
        };
        let end = first.saturating_add(plan.together).min(plan.events);
        connection.streaming = (end < plan.events).then_some((plan, end));
        self.joined.clear();
        for number in first..end {
            self.joined
                .extend_from_slice(plan.chunk(number, &self.chunks));
        }
        match connection.send(&self.poller, place, &self.joined) {
            Ok(true) => self.schedule(place, connection, now + plan.gap.max(NEXT_PASS)),
            Ok(false) => {}
            // The proxy is gone; reading from the connection will tell, and close it.
            Err(_) => connection.streaming = None,
        }
    }

    fn schedule(&mut self, place: usize, connection: &Connection, at: Instant) {
        if connection.streaming.is_some() {
            self.due.push(Reverse((at, place, connection.serial)));
        }
    }
}

impl Connection {
    /// Writes `bytes`, or keeps what does not fit until there is room; answers whether all went.
    fn send(&mut self, poller: &Poller, place: usize, bytes: &[u8]) -> io::Result<bool> {
        let count = match self.stream.write(bytes) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        let rest = bytes.get(count..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(true);
        }
        self.unsent = rest.to_vec();
        poller.watch_writes(&self.stream, place as u64, true)?;
        Ok(false)
    }
}

/// A complete request.
#[derive(Debug, PartialEq, Eq)]
struct Received {
    /// Bytes of head and body.
    length: usize,
    /// How to stream the answer; `None` for a plain one.
    plan: Option<StreamPlan>,
}

impl Received {
    /// Reads the request at the start of `bytes`; `None` while it is incomplete.
    fn parse(bytes: &[u8]) -> anyhow::Result<Option<Self>> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut head = httparse::Request::new(&mut headers);
        let httparse::Status::Complete(body_at) = head.parse(bytes).context("malformed request")?
        else {
            return Ok(None);
        };
        let mut body_bytes = None;
        let mut plan = StreamPlan {
            events: FRAME_EVENTS,
            together: 1,
            gap: Duration::ZERO,
        };
        for header in head.headers.iter() {
            if header.name.eq_ignore_ascii_case("content-length") {
                body_bytes = Some(std::str::from_utf8(header.value)?.trim().parse::<usize>()?);
            } else if header.name.eq_ignore_ascii_case(PLAN_HEADER) {
                plan = StreamPlan::parse(header.value).context("malformed stream plan")?;
            }
        }
        let length = body_at + body_bytes.context("a request without content-length")?;
        let Some(body) = bytes.get(body_at..length) else {
            return Ok(None);
        };
        let streams = memmem::find(body, br#""stream":true"#).is_some();
        Ok(Some(Self {
            length,
            plan: streams.then_some(plan),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::Request;

    #[test]
    fn the_generators_own_requests_are_understood_once_they_are_complete() {
        let target = ([127, 0, 0, 1], 1).into();
        let plan = StreamPlan {
            events: 200,
            together: 5,
            gap: Duration::from_micros(7),
        };
        for (request, plan) in [
            (Request::plain(target), None),
            (Request::stream(target, plan), Some(plan)),
        ] {
            let bytes = request.bytes;
            for end in 0..bytes.len() {
                assert_eq!(Received::parse(&bytes[..end]).unwrap(), None);
            }
            let length = bytes.len();
            assert_eq!(
                Received::parse(&bytes).unwrap(),
                Some(Received { length, plan })
            );
        }
    }

    #[test]
    fn what_cannot_be_framed_is_refused() {
        assert!(Received::parse(b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
        assert!(Received::parse(b"\0\0\0\0").is_err());
    }
}
