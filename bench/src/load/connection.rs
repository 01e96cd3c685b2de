//! One keep-alive connection of the load generator.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use crate::framing::Framing;
use crate::payload::{Expected, Request};

/// The clocks of one answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timing {
    /// From the instant the request was due to the first byte of the answer's body.
    pub(super) first_byte: Duration,
    /// From the instant the request was due to the last byte.
    pub(super) total: Duration,
}

/// What reading from a connection brought.
#[derive(Debug, Clone, Copy)]
pub(super) enum Progress {
    /// The answer goes on.
    Partial,
    /// The answer is complete and as expected.
    Complete {
        /// Its clocks.
        timing: Timing,
        /// Whether the server closes the connection.
        closes: bool,
    },
    /// The answer is complete and says that the server has too much to do.
    Refused {
        /// Whether the server closes the connection.
        closes: bool,
    },
}

/// A connection and the request it is waiting for, if any.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    framing: Framing,
    due: Instant,
    first_byte: Option<Instant>,
    waiting: bool,
}

impl Connection {
    /// Connects to `target`.
    pub(super) fn open(target: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(target)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            framing: Framing::new(),
            due: Instant::now(),
            first_byte: None,
            waiting: false,
        })
    }

    /// The socket, for the poller.
    pub(super) fn socket(&self) -> &TcpStream {
        &self.stream
    }

    /// Whether a request is on its way.
    pub(super) fn is_waiting(&self) -> bool {
        self.waiting
    }

    /// Whether that one is which was due at `due`.
    pub(super) fn is_waiting_since(&self, due: Instant) -> bool {
        self.waiting && self.due == due
    }

    /// Events of the present answer so far.
    pub(super) fn events(&self) -> u64 {
        self.framing.answer().events
    }

    /// Sends a request that was due at `due`. The socket's buffer is empty between two requests, and
    /// larger than any request here, so one write takes all of it.
    pub(super) fn begin(&mut self, request: &Request, due: Instant) -> anyhow::Result<()> {
        let sent = self
            .stream
            .write(&request.bytes)
            .context("sending a request")?;
        ensure!(
            sent == request.bytes.len(),
            "a request did not fit into the socket's buffer"
        );
        self.framing.reset();
        self.due = due;
        self.first_byte = None;
        self.waiting = true;
        Ok(())
    }

    /// Reads what has arrived, at most one buffer of it.
    pub(super) fn read(
        &mut self,
        expected: Expected,
        buffer: &mut [u8],
    ) -> anyhow::Result<Progress> {
        let count = match self.stream.read(buffer) {
            Ok(0) => bail!("the connection was closed"),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Ok(Progress::Partial);
            }
            Err(error) => return Err(error).context("reading an answer"),
        };
        ensure!(self.waiting, "bytes arrived without a request");
        let now = Instant::now();
        self.framing.feed(buffer.get(..count).unwrap_or_default())?;
        let answer = self.framing.answer();
        if answer.body_bytes > 0 && self.first_byte.is_none() {
            self.first_byte = Some(now);
        }
        if !answer.complete {
            return Ok(Progress::Partial);
        }
        self.waiting = false;
        if answer.status == 503 {
            return Ok(Progress::Refused {
                closes: answer.closes,
            });
        }
        ensure!(
            answer.status == 200,
            "an answer with status {}",
            answer.status
        );
        match expected {
            Expected::Bytes(bytes) if answer.body_bytes != bytes => {
                bail!(
                    "an answer of {} bytes instead of {bytes}",
                    answer.body_bytes
                )
            }
            Expected::Events(events) if answer.events != events => {
                bail!("an answer of {} events instead of {events}", answer.events)
            }
            Expected::Bytes(_) | Expected::Events(_) => {}
        }
        let first_byte = self.first_byte.unwrap_or(now);
        let timing = Timing {
            first_byte: first_byte.saturating_duration_since(self.due),
            total: now.saturating_duration_since(self.due),
        };
        Ok(Progress::Complete {
            timing,
            closes: answer.closes,
        })
    }
}
