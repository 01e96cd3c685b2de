//! Answers in a content encoding, which can be decoded event by event as they come.

use std::io::Write;

use brotli::CompressorWriter;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};

use crate::ContentEncoding;

/// Brotli's working memory, in bytes.
const BROTLI_BUFFER: usize = 4096;
/// Brotli's effort, 0 to 11: this is a test.
const BROTLI_QUALITY: u32 = 4;
/// Brotli's window as a power of two: the least, as answers are short.
const BROTLI_WINDOW: u32 = 10;

/// Compresses what is written to it.
pub(super) enum Compressor {
    Gzip(GzEncoder<Vec<u8>>),
    Deflate(ZlibEncoder<Vec<u8>>),
    Brotli(Box<CompressorWriter<Vec<u8>>>),
}

impl Compressor {
    pub(super) fn new(encoding: ContentEncoding) -> Self {
        let level = Compression::default();
        match encoding {
            ContentEncoding::Gzip => Self::Gzip(GzEncoder::new(Vec::new(), level)),
            ContentEncoding::Deflate => Self::Deflate(ZlibEncoder::new(Vec::new(), level)),
            ContentEncoding::Br => {
                let (buffer, quality, window) = (BROTLI_BUFFER, BROTLI_QUALITY, BROTLI_WINDOW);
                let writer = CompressorWriter::new(Vec::new(), buffer, quality, window);
                Self::Brotli(Box::new(writer))
            }
        }
    }

    /// Takes `bytes` in and gives out all that is needed to read them.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Bytes {
        // A vector takes whatever is written to it.
        let written = match self {
            Self::Gzip(writer) => flushed(writer, bytes, GzEncoder::get_mut),
            Self::Deflate(writer) => flushed(writer, bytes, ZlibEncoder::get_mut),
            Self::Brotli(writer) => flushed(&mut **writer, bytes, CompressorWriter::get_mut),
        };
        written.into()
    }

    /// What stands at the end.
    pub(super) fn finish(self) -> Bytes {
        match self {
            Self::Gzip(writer) => writer.finish().unwrap_or_default(),
            Self::Deflate(writer) => writer.finish().unwrap_or_default(),
            Self::Brotli(writer) => writer.into_inner(),
        }
        .into()
    }
}

fn flushed<W: Write>(
    writer: &mut W,
    bytes: &[u8],
    out: impl Fn(&mut W) -> &mut Vec<u8>,
) -> Vec<u8> {
    let _ = writer.write_all(bytes).and_then(|()| writer.flush());
    std::mem::take(out(writer))
}
