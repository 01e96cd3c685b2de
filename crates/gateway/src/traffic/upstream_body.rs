//! The body of an upstream's answer, decoded if it came encoded.
//!
//! Identity is asked for, but what stands between us and a provider may compress all the same. Then the
//! answer is decoded, since unread it could not be judged, nor its usage counted. The client asked
//! the upstream for no encoding through us, so it gets identity.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use async_compression::tokio::bufread::{BrotliDecoder, GzipDecoder, ZlibDecoder, ZstdDecoder};
use async_compression::zstd::DParameter;
use bytes::{Buf, Bytes};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use http_body::Body;
use hyper::body::Incoming;
use tokio::io::{AsyncBufRead, AsyncRead, ReadBuf};

use crate::limits;
use crate::traffic::event_frames::{self, Frames};

/// The bytes of an answer, as they mean.
#[derive(Debug)]
pub(crate) struct UpstreamBody {
    /// What was read before and put back.
    returned: Option<Bytes>,
    source: Source,
    /// What turns the frames of AWS into events.
    frames: Option<Box<Frames>>,
}

#[derive(Debug)]
enum Source {
    Identity(Incoming),
    Encoded(Box<Decoding>),
    /// It has ended.
    Over,
}

/// Why an answer cannot be read on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// The connection broke.
    #[error("{0}")]
    Broken(String),
    /// Its encoding is none that is known, or is damaged.
    #[error("{0}")]
    Undecodable(String),
}

impl UpstreamBody {
    /// Takes a body with its headers, which no longer speak of an encoding afterwards.
    pub(crate) fn open(headers: &mut HeaderMap, body: Incoming) -> Result<Self, BodyError> {
        let source = if headers.contains_key(CONTENT_ENCODING) {
            let coding = Coding::of(headers)?;
            headers.remove(CONTENT_ENCODING);
            match coding {
                None => Source::Identity(body),
                Some(coding) => Source::Encoded(Box::new(Decoding::new(coding, body))),
            }
        } else {
            Source::Identity(body)
        };
        let is_framed = |value: &HeaderValue| {
            let named = value.to_str().unwrap_or_default();
            named.starts_with(event_frames::CONTENT_TYPE)
        };
        let frames = headers.get(CONTENT_TYPE).is_some_and(is_framed);
        Ok(Self {
            returned: None,
            source,
            frames: frames.then(Box::default),
        })
    }

    /// Puts a chunk back, to be read again first.
    pub(crate) fn put_back(&mut self, chunk: Bytes) {
        self.returned = Some(chunk);
    }

    /// The next chunk; `None` at the end.
    pub(crate) async fn chunk(&mut self) -> Option<Result<Bytes, BodyError>> {
        poll_fn(|cx| self.poll_chunk(cx)).await
    }

    /// The next chunk; `None` at the end.
    pub(crate) fn poll_chunk(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BodyError>>> {
        if let Some(chunk) = self.returned.take() {
            return Poll::Ready(Some(Ok(chunk)));
        }
        loop {
            let chunk = ready!(self.poll_source(cx));
            let Some(frames) = &mut self.frames else {
                return Poll::Ready(chunk);
            };
            match chunk {
                Some(Ok(chunk)) => match frames.take_in(&chunk) {
                    Ok(events) if events.is_empty() => {}
                    events => return Poll::Ready(Some(events)),
                },
                None => return Poll::Ready(frames.finish().err().map(Err)),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
            }
        }
    }

    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let chunk = match &mut self.source {
            Source::Identity(body) => {
                ready!(poll_data(body, cx)).map(|data| data.map_err(|error| broken(&error)))
            }
            Source::Encoded(decoding) => ready!(decoding.poll_chunk(cx)),
            Source::Over => None,
        };
        if chunk.is_none() {
            self.source = Source::Over;
        }
        Poll::Ready(chunk)
    }
}

/// The next bytes of a body; trailers are passed over.
fn poll_data(
    body: &mut Incoming,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Bytes, hyper::Error>>> {
    loop {
        let Some(frame) = ready!(Pin::new(&mut *body).poll_frame(cx)?) else {
            return Poll::Ready(None);
        };
        if let Ok(data) = frame.into_data() {
            return Poll::Ready(Some(Ok(data)));
        }
    }
}

fn broken(error: &dyn std::error::Error) -> BodyError {
    BodyError::Broken(error.to_string())
}

/// A content coding of RFC 9110 §8.4.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

impl Coding {
    /// The one that headers name; `None` for identity. Two in a row are as good as unknown.
    fn of(headers: &HeaderMap) -> Result<Option<Self>, BodyError> {
        let values = headers.get_all(CONTENT_ENCODING).iter();
        let named = values.flat_map(|value| value.as_bytes().split(|&byte| byte == b','));
        let mut coding = None;
        for name in named.map(<[u8]>::trim_ascii) {
            let known = match name.to_ascii_lowercase().as_slice() {
                b"" | b"identity" => continue,
                b"gzip" | b"x-gzip" => Self::Gzip,
                b"deflate" => Self::Deflate,
                b"br" => Self::Brotli,
                b"zstd" => Self::Zstd,
                _ => return Err(unknown_coding()),
            };
            if coding.replace(known).is_some() {
                return Err(unknown_coding());
            }
        }
        Ok(coding)
    }
}

fn unknown_coding() -> BodyError {
    BodyError::Undecodable("it came in an encoding that is not known and was not asked for".into())
}

/// An encoded body and what it has come to.
#[derive(Debug)]
struct Decoding {
    decoder: Decoder,
    decoded_bytes: u64,
    buffer: Box<[u8]>,
}

#[derive(Debug)]
enum Decoder {
    Gzip(GzipDecoder<Encoded>),
    Zlib(ZlibDecoder<Encoded>),
    Brotli(BrotliDecoder<Encoded>),
    Zstd(ZstdDecoder<Encoded>),
}

impl Decoding {
    fn new(coding: Coding, body: Incoming) -> Self {
        let encoded = Encoded {
            body,
            chunk: Bytes::new(),
            bytes: 0,
        };
        let decoder = match coding {
            Coding::Gzip => {
                let mut decoder = GzipDecoder::new(encoded);
                // Some servers end a member where they flush.
                decoder.multiple_members(true);
                Decoder::Gzip(decoder)
            }
            Coding::Deflate => Decoder::Zlib(ZlibDecoder::new(encoded)),
            Coding::Brotli => Decoder::Brotli(BrotliDecoder::new(encoded)),
            Coding::Zstd => {
                let window = DParameter::window_log_max(limits::ZSTD_WINDOW_LOG);
                let mut decoder = ZstdDecoder::with_params(encoded, &[window]);
                decoder.multiple_members(true);
                Decoder::Zstd(decoder)
            }
        };
        Self {
            decoder,
            decoded_bytes: 0,
            buffer: vec![0; limits::DECODED_CHUNK_BYTES].into(),
        }
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let mut buffer = ReadBuf::new(&mut self.buffer);
        if let Err(error) = ready!(Pin::new(self.decoder.reader()).poll_read(cx, &mut buffer)) {
            return Poll::Ready(Some(Err(read_error(&error))));
        }
        let decoded = buffer.filled();
        if decoded.is_empty() {
            return Poll::Ready(None);
        }
        let chunk = Bytes::copy_from_slice(decoded);
        self.decoded_bytes += chunk.len() as u64;
        let most = self.decoder.encoded_bytes() * limits::EXPANSION_RATIO;
        if self.decoded_bytes > limits::EXPANSION_SLACK_BYTES + most {
            let reason = "its encoded bytes come to too many";
            return Poll::Ready(Some(Err(BodyError::Undecodable(reason.into()))));
        }
        Poll::Ready(Some(Ok(chunk)))
    }
}

/// A break of the connection comes through the decoder as the error that it was.
fn read_error(error: &io::Error) -> BodyError {
    match error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<hyper::Error>())
    {
        Some(inner) => broken(inner),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            BodyError::Broken("it ended in the middle of its encoding".into())
        }
        None => BodyError::Undecodable(format!("its encoding is damaged: {error}")),
    }
}

impl Decoder {
    fn reader(&mut self) -> &mut (dyn AsyncRead + Unpin) {
        match self {
            Self::Gzip(decoder) => decoder,
            Self::Zlib(decoder) => decoder,
            Self::Brotli(decoder) => decoder,
            Self::Zstd(decoder) => decoder,
        }
    }

    fn encoded_bytes(&self) -> u64 {
        let encoded = match self {
            Self::Gzip(decoder) => decoder.get_ref(),
            Self::Zlib(decoder) => decoder.get_ref(),
            Self::Brotli(decoder) => decoder.get_ref(),
            Self::Zstd(decoder) => decoder.get_ref(),
        };
        encoded.bytes
    }
}

/// The bytes as they come, for a decoder to read.
#[derive(Debug)]
struct Encoded {
    body: Incoming,
    chunk: Bytes,
    /// How many have come.
    bytes: u64,
}

impl AsyncBufRead for Encoded {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let encoded = self.get_mut();
        while encoded.chunk.is_empty() {
            match ready!(poll_data(&mut encoded.body, cx)) {
                Some(Ok(chunk)) => {
                    encoded.bytes += chunk.len() as u64;
                    encoded.chunk = chunk;
                }
                Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
                None => break,
            }
        }
        Poll::Ready(Ok(&encoded.chunk))
    }

    fn consume(self: Pin<&mut Self>, count: usize) {
        self.get_mut().chunk.advance(count);
    }
}

impl AsyncRead for Encoded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let available = ready!(self.as_mut().poll_fill_buf(cx)?);
        let count = available.len().min(buffer.remaining());
        buffer.put_slice(available.get(..count).unwrap_or_default());
        self.consume(count);
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coding(values: &[&'static str]) -> Result<Option<Coding>, ()> {
        let values = values
            .iter()
            .map(|value| (CONTENT_ENCODING, HeaderValue::from_static(value)));
        Coding::of(&values.collect()).map_err(|_| ())
    }

    #[test]
    fn codings_are_told_by_their_names_and_two_in_a_row_are_unknown() {
        assert_eq!(coding(&["GZip"]), Ok(Some(Coding::Gzip)));
        assert_eq!(coding(&["x-gzip"]), Ok(Some(Coding::Gzip)));
        assert_eq!(coding(&["br"]), Ok(Some(Coding::Brotli)));
        assert_eq!(coding(&["zstd, identity"]), Ok(Some(Coding::Zstd)));
        assert_eq!(
            coding(&["identity", " deflate "]),
            Ok(Some(Coding::Deflate))
        );
        assert_eq!(coding(&["identity"]), Ok(None));
        assert_eq!(coding(&[""]), Ok(None));
        assert_eq!(coding(&["gzip", "br"]), Err(()));
        assert_eq!(coding(&["compress"]), Err(()));
    }
}
