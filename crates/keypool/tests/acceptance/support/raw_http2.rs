//! HTTP/2 frames written by hand (RFC 9113), for what no library would send.

use super::client::Client;
use super::raw::Raw;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Types of frames.
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const CONTINUATION: u8 = 9;

/// Flags.
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// Error codes.
pub(crate) const REFUSED_STREAM: u32 = 7;
pub(crate) const CANCEL: u32 = 8;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

/// The setting for how much of a stream may be sent before its client asks for more.
pub(crate) const INITIAL_WINDOW_SIZE: u16 = 4;

/// A frame that came.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// The error code of a `RST_STREAM` or GOAWAY.
    pub(crate) fn error(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }
}

/// A connection of its own that speaks HTTP/2.
pub(crate) struct RawHttp2(pub(crate) Raw);

impl RawHttp2 {
    /// Connects with these settings.
    pub(crate) async fn open(client: &Client, settings: &[(u16, u32)]) -> Self {
        let settings: Vec<u8> = settings
            .iter()
            .flat_map(|(name, value)| {
                let mut setting = name.to_be_bytes().to_vec();
                setting.extend(value.to_be_bytes());
                setting
            })
            .collect();
        let mut raw = Raw::sent(client, PREFACE).await;
        raw.send(&frame(SETTINGS, 0, 0, &settings)).await;
        Self(raw)
    }

    pub(crate) async fn send(&mut self, frames: &[u8]) {
        self.0.send(frames).await;
    }

    /// The next frame that is none of these kinds; `None` when the connection ends.
    pub(crate) async fn next_but(&mut self, kinds: &[u8]) -> Option<Frame> {
        loop {
            let head = self.0.exactly(9).await?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let payload = self.0.exactly(length).await?;
            let stream = u32::from_be_bytes(head[5..9].try_into().unwrap()) & 0x7fff_ffff;
            if !kinds.contains(&head[3]) {
                return Some(Frame {
                    kind: head[3],
                    flags: head[4],
                    stream,
                    payload,
                });
            }
        }
    }

    /// The body of this stream's answer, which must end; frames of other streams are lost.
    pub(crate) async fn body(&mut self, stream: u32) -> String {
        let mut body = Vec::new();
        loop {
            let frame = self.next_but(&[]).await.expect("the connection ended");
            if frame.stream == stream {
                assert_ne!(frame.kind, RST_STREAM, "the stream was reset");
                if frame.kind == DATA {
                    body.extend(&frame.payload);
                }
                if frame.flags & END_STREAM != 0 {
                    return String::from_utf8(body).unwrap();
                }
            }
        }
    }

    /// The body of the next answer, which must be this stream's and short.
    pub(crate) async fn next_of(&mut self, stream: u32) -> String {
        loop {
            let frame = self.next(DATA).await.expect("the connection ended");
            if frame.stream == stream {
                return String::from_utf8(frame.payload).unwrap();
            }
        }
    }

    /// The next frame of this kind; `None` when the connection ends before.
    pub(crate) async fn next(&mut self, kind: u8) -> Option<Frame> {
        loop {
            let frame = self.next_but(&[]).await?;
            if frame.kind == kind {
                return Some(frame);
            }
        }
    }
}

/// A frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// `RST_STREAM`.
pub(crate) fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes())
}

/// The header block of a request, in literals alone (RFC 7541, 6.2.2).
pub(crate) fn block(method: &str, path: &str) -> Vec<u8> {
    let fields = [
        (":method", method),
        (":scheme", "http"),
        (":path", path),
        (":authority", "localhost"),
    ];
    fields
        .iter()
        .flat_map(|(name, value)| literal(name, value))
        .collect()
}

/// One header field of less than 127 bytes in name and value each, neither indexed nor compressed.
pub(crate) fn literal(name: &str, value: &str) -> Vec<u8> {
    let mut field = vec![0, u8::try_from(name.len()).unwrap()];
    field.extend(name.as_bytes());
    field.push(u8::try_from(value.len()).unwrap());
    field.extend(value.as_bytes());
    field
}

/// `POST /v1/messages` with this body.
pub(crate) fn post(stream: u32, body: &str) -> Vec<u8> {
    let block = block("POST", "/v1/messages");
    let mut frames = frame(HEADERS, END_HEADERS, stream, &block);
    frames.extend(frame(DATA, END_STREAM, stream, body.as_bytes()));
    frames
}

/// A GET of this path.
pub(crate) fn get(stream: u32, path: &str) -> Vec<u8> {
    frame(
        HEADERS,
        END_HEADERS | END_STREAM,
        stream,
        &block("GET", path),
    )
}
