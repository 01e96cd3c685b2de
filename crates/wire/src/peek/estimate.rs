//! How many tokens a prompt will be, guessed from its bytes.
//!
//! Nobody publishes a tokenizer for current Claude models, and counting by a call costs a round
//! trip, so a limit on tokens has to be guarded by a guess until the answer tells the truth. The
//! worst guesses come from three places, each of which is treated by itself here: scripts whose
//! characters are several bytes long, base64 data, and the JSON of tool definitions.
//!
//! Worked example: `"Hello, world"` has 12 bytes, so about 3.6 tokens; `"你好"` has 6 bytes but
//! counts as 2 tokens; a photo of 2 MB counts as [`IMAGE_TOKENS`], not as 800,000.

use super::PeekError;
use super::identity::Identity;
use super::kind::{KindFinder, is_image, is_image_data};
use super::walk::{Depth, Piece, Raw, Walk};

/// Bytes of text per token, times ten. English prose in Claude's older tokenizer; a start, from
/// which the real ratio is learned per model.
const BYTES_PER_TEN_TOKENS: u64 = 33;

/// A message costs a few tokens of its own for its frame.
const MESSAGE_TOKENS: u64 = 4;

/// An image of about a megapixel: Anthropic counts roughly width × height / 750, others less.
const IMAGE_TOKENS: u64 = 1_300;

/// Base64 characters of a document or recording per token. A page of a PDF is some tens of
/// kilobytes and one to three thousand tokens.
const ENCODED_BYTES_PER_TOKEN: u64 = 24;

/// Shorter strings are never taken for base64 data.
const ENCODED_LENGTH_MIN: usize = 64;

/// What kind of thing a top-level member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Messages and prompts: the strings in them count, their JSON does not.
    Text,
    /// As [`Part::Text`], but numbers are token ids and count one each.
    TextOrTokenIds,
    /// As [`Part::Text`], but several whole requests: the models' names in it are no text.
    Request,
    /// Tool definitions and schemas: the model sees them as written, punctuation and all.
    Schema,
}

/// The running sum.
pub(super) struct Estimate {
    ascii: bool,
    text_bytes: u64,
    whole_tokens: u64,
}

impl Estimate {
    /// `ascii` says that the whole body is, which spares looking for wide characters.
    pub(super) const fn new(ascii: bool) -> Self {
        Self {
            ascii,
            text_bytes: 0,
            whole_tokens: 0,
        }
    }

    pub(super) fn tokens(&self) -> u64 {
        self.whole_tokens + (self.text_bytes * 10).div_ceil(BYTES_PER_TEN_TOKENS)
    }

    /// Adds one member's value, which must be valid JSON. Text is shown to `identity` and `kind` in the
    /// same walk.
    pub(super) fn add<'a>(
        &mut self,
        part: Part,
        json: &'a str,
        identity: &mut Identity<'a>,
        kind: &mut KindFinder<'a>,
    ) -> Result<(), PeekError> {
        let mut depth = Depth::default();
        let mut name: &'a [u8] = b"";
        for piece in Walk::new(json.as_bytes()) {
            depth.pass(piece)?;
            match piece {
                Piece::Name(found) => name = found,
                Piece::Text(raw) => kind.see(depth.now(), name, raw),
                Piece::Open => kind.see_open(depth.now(), name),
                Piece::Number(_) | Piece::Close => {}
            }
            match part {
                Part::Schema => self.add_schema_piece(piece),
                Part::Text | Part::TextOrTokenIds | Part::Request => {
                    self.add_text_piece(part, name, piece);
                    identity.see(name, piece);
                }
            }
        }
        Ok(())
    }

    fn add_schema_piece(&mut self, piece: Piece<'_>) {
        // A string brings two quotes, and a colon or comma.
        match piece {
            Piece::Name(name) => self.text_bytes += 3 + name.len() as u64,
            Piece::Text(raw) => {
                self.text_bytes += 3;
                self.add_text(raw);
            }
            Piece::Number(digits) => self.text_bytes += 1 + digits.len() as u64,
            Piece::Open | Piece::Close => self.text_bytes += 1,
        }
    }

    fn add_text_piece(&mut self, part: Part, name: &[u8], piece: Piece<'_>) {
        match piece {
            Piece::Text(_) if part == Part::Request && matches!(name, b"model" | b"taskType") => {}
            Piece::Text(raw) => self.add_value(name, raw),
            Piece::Name(b"role") => self.whole_tokens += MESSAGE_TOKENS,
            Piece::Number(_) if part == Part::TextOrTokenIds => self.whole_tokens += 1,
            Piece::Name(_) | Piece::Number(_) | Piece::Open | Piece::Close => {}
        }
    }

    /// A string inside a message, under the given name.
    fn add_value(&mut self, name: &[u8], raw: Raw<'_>) {
        match name {
            b"type" => {
                if is_image(raw) {
                    self.whole_tokens += IMAGE_TOKENS;
                }
            }
            b"mimeType" | b"mime_type" => {
                if is_image_data(raw) {
                    self.whole_tokens += IMAGE_TOKENS;
                }
            }
            // Frame, references and sealed reasoning: not text the model is charged for as such.
            b"role" | b"id" | b"tool_use_id" | b"tool_call_id" | b"call_id" | b"signature"
            | b"media_type" | b"encrypted_content" | b"file_id" | b"ttl" | b"detail"
            | b"status" | b"fileUri" | b"file_uri" | b"thoughtSignature" | b"thought_signature" => {
            }
            b"data" | b"file_data" | b"url" | b"image_url" | b"file_url" => {
                match encoded_data(name, raw.bytes) {
                    Encoded::No => self.add_text(raw),
                    Encoded::Image => {}
                    Encoded::Other => {
                        self.whole_tokens += raw.bytes.len() as u64 / ENCODED_BYTES_PER_TOKEN;
                    }
                }
            }
            _ => self.add_text(raw),
        }
    }

    /// Text as it stands in JSON: an escape counts as the character it means.
    fn add_text(&mut self, raw: Raw<'_>) {
        let mut bytes = raw.bytes.len();
        if !self.ascii {
            let leads_of_three = raw.bytes.iter().filter(|&&b| b >= 0xE0).count();
            let leads_of_four = raw.bytes.iter().filter(|&&b| b >= 0xF0).count();
            self.whole_tokens += leads_of_three as u64;
            bytes = bytes.saturating_sub(3 * leads_of_three + leads_of_four);
        }
        bytes = bytes.saturating_sub(raw.escapes);
        if raw.has_unicode_escapes {
            let (wide, narrow) = unicode_escapes(raw.bytes);
            self.whole_tokens += wide as u64;
            // Six bytes each, one of which has been taken off already.
            bytes = bytes.saturating_sub(5 * wide + 4 * narrow);
        }
        self.text_bytes += bytes as u64;
    }
}

/// How many escapes of the form `\u4F60` mean a wide character, and how many any other. Python
/// writes all that is not ASCII that way. The second half of a pair counts as a narrow one.
fn unicode_escapes(raw: &[u8]) -> (usize, usize) {
    let (mut wide, mut narrow) = (0, 0);
    let mut rest = raw;
    while let Some(found) = memchr::memchr(b'\\', rest) {
        let escape = rest.get(found + 1..).unwrap_or_default();
        rest = escape.get(1..).unwrap_or_default();
        if escape.first() == Some(&b'u') {
            let unit = escape
                .get(1..5)
                .and_then(|digits| str::from_utf8(digits).ok())
                .and_then(|digits| u16::from_str_radix(digits, 16).ok());
            match unit {
                Some(0x0800..0xDC00 | 0xE000..) => wide += 1,
                _ => narrow += 1,
            }
        }
    }
    (wide, narrow)
}

enum Encoded {
    No,
    Image,
    Other,
}

/// Whether a string is base64 data, and of an image. Judged by its first bytes, since the media
/// type beside it may come after it.
fn encoded_data(name: &[u8], raw: &[u8]) -> Encoded {
    /// How PNG, JPEG, GIF and WebP begin in base64.
    const IMAGES: [&[u8]; 4] = [b"iVBORw0KGgo", b"/9j/", b"R0lGOD", b"UklGR"];
    if let Some(media_type) = raw.strip_prefix(b"data:") {
        return if media_type.starts_with(b"image/") {
            Encoded::Image
        } else {
            Encoded::Other
        };
    }
    let is_base64 = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'-' | b'_');
    match raw.get(..ENCODED_LENGTH_MIN) {
        Some(head) if matches!(name, b"data" | b"file_data") && head.iter().all(is_base64) => {
            if IMAGES.iter().any(|magic| raw.starts_with(magic)) {
                Encoded::Image
            } else {
                Encoded::Other
            }
        }
        _ => Encoded::No,
    }
}
