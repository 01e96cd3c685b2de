//! Where an HTTP/1.1 answer begins and ends, as cheaply as a load generator must know it.
//!
//! The generator shares the machine with what it measures, so it looks at each byte once: the head
//! through `httparse`, the body by counting bytes and ends of SSE events.

use anyhow::{Context as _, bail, ensure};
use memchr::{memchr, memchr_iter, memmem};

/// Longest head that is accepted, in bytes; the answers measured here have a few hundred.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Most header lines that are accepted.
const HEADERS_MAX: usize = 64;
/// Longest chunk-size line or trailer line, in bytes.
const LINE_BYTES_MAX: usize = 256;

/// What is known of an answer so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Status code; 0 until the head is complete.
    pub(crate) status: u16,
    /// Whether the server will close the connection afterwards.
    pub(crate) closes: bool,
    /// Body bytes without framing.
    pub(crate) body_bytes: u64,
    /// SSE events that are complete: blank lines that end a line before them.
    pub(crate) events: u64,
    /// Whether the last byte has arrived.
    pub(crate) complete: bool,
}

#[derive(Debug)]
enum State {
    Head,
    Length { left: u64 },
    ChunkSize,
    ChunkData { left: u64 },
    ChunkEnd,
    Trailer,
    Complete,
}

/// Follows one answer at a time through bytes that arrive in any portions.
#[derive(Debug)]
pub(crate) struct Framing {
    state: State,
    answer: Answer,
    /// An unfinished head or line.
    partial: Vec<u8>,
    body_at_line_start: bool,
}

impl Framing {
    /// Ready for the first answer of a connection.
    pub(crate) fn new() -> Self {
        Self {
            state: State::Head,
            answer: Answer::default(),
            partial: Vec::new(),
            body_at_line_start: false,
        }
    }

    /// Ready for the next answer.
    pub(crate) fn reset(&mut self) {
        self.state = State::Head;
        self.answer = Answer::default();
        self.partial.clear();
        self.body_at_line_start = false;
    }

    /// What is known of the answer so far.
    pub(crate) fn answer(&self) -> Answer {
        self.answer
    }

    /// Takes the next bytes. An error means that they are no answer this generator understands.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) -> anyhow::Result<()> {
        while !bytes.is_empty() {
            bytes = match self.state {
                State::Head => self.head(bytes)?,
                State::Length { left } => {
                    let (rest, left) = self.body(bytes, left);
                    if left == 0 {
                        self.finish();
                    } else {
                        self.state = State::Length { left };
                    }
                    rest
                }
                State::ChunkData { left } => {
                    let (rest, left) = self.body(bytes, left);
                    self.state = if left == 0 {
                        State::ChunkEnd
                    } else {
                        State::ChunkData { left }
                    };
                    rest
                }
                State::ChunkSize | State::ChunkEnd | State::Trailer => self.line(bytes)?,
                State::Complete => bail!("{} bytes after the end of an answer", bytes.len()),
            };
        }
        Ok(())
    }

    fn finish(&mut self) {
        self.state = State::Complete;
        self.answer.complete = true;
    }

    fn head<'a>(&mut self, bytes: &'a [u8]) -> anyhow::Result<&'a [u8]> {
        let known = self.partial.len();
        self.partial.extend_from_slice(bytes);
        let search_from = known.saturating_sub(3);
        let unseen = self.partial.get(search_from..).unwrap_or_default();
        let Some(end) = memmem::find(unseen, b"\r\n\r\n").map(|at| search_from + at + 4) else {
            ensure!(
                self.partial.len() <= HEAD_BYTES_MAX,
                "an answer's head is too long"
            );
            return Ok(&[]);
        };
        self.partial.truncate(end);
        self.read_head()?;
        self.partial.clear();
        Ok(bytes.get(end - known..).unwrap_or_default())
    }

    fn read_head(&mut self) -> anyhow::Result<()> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut head = httparse::Response::new(&mut headers);
        head.parse(&self.partial)
            .context("malformed head of an answer")?;
        self.answer.status = head.code.unwrap_or_default();
        let mut length = None;
        let mut chunked = false;
        for header in head.headers.iter() {
            if header.name.eq_ignore_ascii_case("content-length") {
                length = Some(std::str::from_utf8(header.value)?.trim().parse::<u64>()?);
            } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
                chunked = header.value.eq_ignore_ascii_case(b"chunked");
            } else if header.name.eq_ignore_ascii_case("connection") {
                self.answer.closes = header.value.eq_ignore_ascii_case(b"close");
            }
        }
        match (chunked, length) {
            (true, _) => self.state = State::ChunkSize,
            (false, Some(0)) => self.finish(),
            (false, Some(left)) => self.state = State::Length { left },
            (false, None) => bail!("an answer without length and without chunks"),
        }
        Ok(())
    }

    fn body<'a>(&mut self, bytes: &'a [u8], left: u64) -> (&'a [u8], u64) {
        let take = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        let (body, rest) = bytes.split_at(take);
        self.count_events(body);
        self.answer.body_bytes += body.len() as u64;
        (rest, left - body.len() as u64)
    }

    fn count_events(&mut self, body: &[u8]) {
        let mut line_start = self.body_at_line_start.then_some(0);
        for newline in memchr_iter(b'\n', body) {
            if line_start == Some(newline) {
                self.answer.events += 1;
            }
            line_start = Some(newline + 1);
        }
        self.body_at_line_start = body.last() == Some(&b'\n');
    }

    fn line<'a>(&mut self, bytes: &'a [u8]) -> anyhow::Result<&'a [u8]> {
        let Some(newline) = memchr(b'\n', bytes) else {
            self.partial.extend_from_slice(bytes);
            ensure!(
                self.partial.len() <= LINE_BYTES_MAX,
                "a chunk's size line is too long"
            );
            return Ok(&[]);
        };
        let (line, rest) = bytes.split_at(newline + 1);
        self.partial.extend_from_slice(line);
        let text = std::str::from_utf8(&self.partial)?.trim();
        match self.state {
            State::ChunkSize => {
                let digits = text.split(';').next().unwrap_or_default();
                let left = u64::from_str_radix(digits, 16).context("malformed chunk size")?;
                self.state = if left == 0 {
                    State::Trailer
                } else {
                    State::ChunkData { left }
                };
            }
            State::ChunkEnd if text.is_empty() => self.state = State::ChunkSize,
            State::ChunkEnd => bail!("a chunk is longer than its size"),
            _ if text.is_empty() => self.finish(),
            _ => {}
        }
        self.partial.clear();
        Ok(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
        10\r\nevent: a\ndata: 1\r\n2\r\n\n\n\r\n\
        1a;x=y\r\nevent: b\ndata: 2\n\ndata: 3\r\n1\r\n\n\r\n1\r\n\n\r\n0\r\nx-t: 1\r\n\r\n";

    #[test]
    fn a_chunked_stream_is_counted_alike_at_every_split() {
        for at in 0..=CHUNKED.len() {
            let mut framing = Framing::new();
            framing.feed(&CHUNKED[..at]).unwrap();
            assert_eq!(
                framing.answer().complete,
                at == CHUNKED.len(),
                "split at {at}"
            );
            framing.feed(&CHUNKED[at..]).unwrap();
            let expected = Answer {
                status: 200,
                closes: false,
                body_bytes: 46,
                events: 3,
                complete: true,
            };
            assert_eq!(framing.answer(), expected, "split at {at}");
        }
    }

    #[test]
    fn a_body_with_a_length_ends_with_its_last_byte() {
        let mut framing = Framing::new();
        framing
            .feed(b"HTTP/1.1 429 Slow\r\ncontent-length: 4\r\nConnection: close\r\n\r\nab")
            .unwrap();
        assert!(!framing.answer().complete);
        framing.feed(b"cd").unwrap();
        let answer = framing.answer();
        assert!(answer.complete && answer.closes);
        assert_eq!((answer.status, answer.body_bytes), (429, 4));
    }

    #[test]
    fn the_next_answer_starts_afresh() {
        let mut framing = Framing::new();
        framing.feed(CHUNKED).unwrap();
        framing.reset();
        framing
            .feed(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            .unwrap();
        let answer = framing.answer();
        assert!(answer.complete);
        assert_eq!((answer.body_bytes, answer.events), (0, 0));
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        for bytes in [
            &b"SMTP ready\r\n\r\n"[..],
            b"HTTP/1.1 200 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nab\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nab",
        ] {
            assert!(
                Framing::new().feed(bytes).is_err(),
                "{:?}",
                bytes.escape_ascii().to_string()
            );
        }
    }
}
