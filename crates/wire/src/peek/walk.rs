//! A walk over JSON text that has been checked already (or need not be).
//!
//! It finds strings, names and numbers and the nesting they stand in, and nothing else: no tree,
//! no recursion, no unescaping. On text that is not JSON the pieces are nonsense, but it neither
//! panics nor loops.

use super::PeekError;
use crate::limits::JSON_DEPTH_MAX;

/// One thing found on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// A member's name, escapes as they stand.
    Name(&'a [u8]),
    /// A string value.
    Text(Raw<'a>),
    /// A number, as it is written.
    Number(&'a [u8]),
    /// A bracket opens.
    Open,
    /// A bracket closes.
    Close,
}

/// The inside of a JSON string, as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Raw<'a> {
    /// What stands between the quotes, escapes unresolved.
    pub(crate) bytes: &'a [u8],
    /// How many escapes there are.
    pub(crate) escapes: usize,
    /// Whether any of them is of the form `\u0041`.
    pub(crate) has_unicode_escapes: bool,
}

/// An iterator over the pieces of JSON text.
pub(crate) struct Walk<'a> {
    text: &'a [u8],
    position: usize,
}

impl<'a> Walk<'a> {
    pub(crate) const fn new(text: &'a [u8]) -> Self {
        Self { text, position: 0 }
    }

    /// The string whose opening quote is just behind us.
    fn string(&mut self) -> Piece<'a> {
        let raw = raw_string(self.text.get(self.position..).unwrap_or_default());
        self.position += raw.bytes.len() + 1;
        let after = self.text.get(self.position..).unwrap_or_default();
        if after.trim_ascii_start().first() == Some(&b':') {
            Piece::Name(raw.bytes)
        } else {
            Piece::Text(raw)
        }
    }

    /// The number whose first byte is just behind us.
    fn number(&mut self) -> Piece<'a> {
        let number = self.text.get(self.position - 1..).unwrap_or_default();
        let length = number
            .iter()
            .take_while(|b| matches!(b, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'))
            .count();
        self.position += length - 1;
        Piece::Number(number.get(..length).unwrap_or(number))
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        loop {
            let byte = *self.text.get(self.position)?;
            self.position += 1;
            match byte {
                b'"' => return Some(self.string()),
                b'{' | b'[' => return Some(Piece::Open),
                b'}' | b']' => return Some(Piece::Close),
                b'-' | b'0'..=b'9' => return Some(self.number()),
                _ => {}
            }
        }
    }
}

/// The string up to its closing quote, or to the end of the text.
pub(crate) fn raw_string(text: &[u8]) -> Raw<'_> {
    let mut raw = Raw {
        bytes: text,
        escapes: 0,
        has_unicode_escapes: false,
    };
    let mut position = 0;
    while let Some(found) = text.get(position..).and_then(quote_or_backslash) {
        position += found;
        if text.get(position) == Some(&b'"') {
            raw.bytes = text.get(..position).unwrap_or(text);
            return raw;
        }
        raw.escapes += 1;
        raw.has_unicode_escapes |= text.get(position + 1) == Some(&b'u');
        position += 2;
    }
    raw
}

/// Where the next quote or backslash is. Eight bytes at a time in a register: in source code the
/// next one is near, and a call of `memchr2` costs more than the search.
fn quote_or_backslash(text: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::MAX / 0xFF;
    const HIGH_BITS: u64 = ONES << 7;
    const QUOTES: u64 = ONES * b'"' as u64;
    const BACKSLASHES: u64 = ONES * b'\\' as u64;
    /// The high bit of the lowest zero byte is set, and of none before it.
    const fn zero_bytes(word: u64) -> u64 {
        word.wrapping_sub(ONES) & !word & HIGH_BITS
    }
    let (words, tail) = text.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let found = zero_bytes(word ^ QUOTES) | zero_bytes(word ^ BACKSLASHES);
        if found != 0 {
            return Some(index * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let in_tail = tail.iter().position(|b| matches!(b, b'"' | b'\\'))?;
    Some(words.len() * 8 + in_tail)
}

/// The string member of that name at the top of an object.
pub(crate) fn top_level_text<'a>(data: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    let mut depth = 0_usize;
    let mut name: &[u8] = b"";
    for piece in Walk::new(data) {
        match piece {
            Piece::Name(found) => name = found,
            Piece::Text(text) if depth == 1 && name == wanted => return Some(text.bytes),
            Piece::Open => depth += 1,
            Piece::Close => depth = depth.saturating_sub(1),
            Piece::Text(_) | Piece::Number(_) => {}
        }
    }
    None
}

/// Refuses JSON text nested more deeply than [`JSON_DEPTH_MAX`], counting the body's own object.
pub(super) fn check_depth(json: &str) -> Result<(), PeekError> {
    if !json.starts_with(['{', '[']) {
        return Ok(());
    }
    let mut depth = Depth::default();
    for piece in Walk::new(json.as_bytes()) {
        depth.pass(piece)?;
    }
    Ok(())
}

/// How deep the walk is.
pub(super) struct Depth(usize);

impl Default for Depth {
    /// Inside the body's own object.
    fn default() -> Self {
        Self(1)
    }
}

impl Depth {
    /// How many brackets are open, the body's own included.
    pub(super) const fn now(&self) -> usize {
        self.0
    }

    pub(super) fn pass(&mut self, piece: Piece<'_>) -> Result<(), PeekError> {
        match piece {
            Piece::Open => self.0 += 1,
            Piece::Close => self.0 = self.0.saturating_sub(1),
            Piece::Name(_) | Piece::Text(_) | Piece::Number(_) => {}
        }
        if self.0 > JSON_DEPTH_MAX {
            return Err(PeekError::TooDeep);
        }
        Ok(())
    }
}
