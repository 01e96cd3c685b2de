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
    /// A string value, escapes as they stand.
    Text(&'a [u8]),
    /// A number.
    Number,
    /// A bracket opens.
    Open,
    /// A bracket closes.
    Close,
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
        let rest = self.text.get(self.position..).unwrap_or_default();
        let length = string_length(rest);
        let content = rest.get(..length).unwrap_or(rest);
        self.position += length + 1;
        let after = self.text.get(self.position..).unwrap_or_default();
        if after.trim_ascii_start().first() == Some(&b':') {
            Piece::Name(content)
        } else {
            Piece::Text(content)
        }
    }

    fn number(&mut self) -> Piece<'a> {
        let rest = self.text.get(self.position..).unwrap_or_default();
        self.position += rest
            .iter()
            .take_while(|b| matches!(b, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'))
            .count();
        Piece::Number
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

/// Bytes up to the quote that ends a string, or to the end of the text.
fn string_length(text: &[u8]) -> usize {
    let mut position = 0;
    while let Some(rest) = text.get(position..) {
        let Some(found) = memchr::memchr2(b'"', b'\\', rest) else {
            break;
        };
        position += found;
        if text.get(position) == Some(&b'"') {
            return position;
        }
        position += 2;
    }
    text.len()
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
    pub(super) fn pass(&mut self, piece: Piece<'_>) -> Result<(), PeekError> {
        match piece {
            Piece::Open => self.0 += 1,
            Piece::Close => self.0 = self.0.saturating_sub(1),
            Piece::Name(_) | Piece::Text(_) | Piece::Number => {}
        }
        if self.0 > JSON_DEPTH_MAX {
            return Err(PeekError::TooDeep);
        }
        Ok(())
    }
}
