//! Writing: objects and arrays straight into a buffer, commas included. Nothing here can fail.

use serde::Serialize;
use serde_json::value::RawValue;

use super::read::Str;

/// A value that can stand in an object or an array.
pub(crate) trait Put {
    fn put(&self, out: &mut Vec<u8>);
}

impl Put for str {
    fn put(&self, out: &mut Vec<u8>) {
        string(out, self);
    }
}

impl Put for Str<'_> {
    fn put(&self, out: &mut Vec<u8>) {
        string(out, self);
    }
}

impl Put for String {
    fn put(&self, out: &mut Vec<u8>) {
        string(out, self);
    }
}

impl Put for u64 {
    fn put(&self, out: &mut Vec<u8>) {
        scalar(out, self);
    }
}

impl Put for i64 {
    fn put(&self, out: &mut Vec<u8>) {
        scalar(out, self);
    }
}

impl Put for f64 {
    /// Whole figures are written without a fraction: some APIs have them where others have not.
    fn put(&self, out: &mut Vec<u8>) {
        const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
        if self.fract() == 0.0 && self.abs() < EXACT_MAX {
            #[expect(clippy::cast_possible_truncation, reason = "whole and small enough")]
            scalar(out, &(*self as i64));
        } else {
            scalar(out, self);
        }
    }
}

impl Put for f32 {
    fn put(&self, out: &mut Vec<u8>) {
        scalar(out, self);
    }
}

impl Put for bool {
    fn put(&self, out: &mut Vec<u8>) {
        scalar(out, self);
    }
}

impl Put for RawValue {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.get().as_bytes());
    }
}

/// JSON's null.
pub(crate) struct Null;

impl Put for Null {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"null");
    }
}

impl<T: Put + ?Sized> Put for &T {
    fn put(&self, out: &mut Vec<u8>) {
        (**self).put(out);
    }
}

/// `None` is null.
impl<T: Put> Put for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Some(value) => value.put(out),
            None => Null.put(out),
        }
    }
}

fn scalar(out: &mut Vec<u8>, value: &impl Serialize) {
    // Writing into memory does not fail, and scalars have no error of their own.
    let _ = serde_json::to_writer(out, value);
}

/// Writes a string with its quotes.
///
/// Nearly all of a body is text with little to escape, so it is searched eight bytes at a time and
/// copied in runs. A request of 10 kB is written in 4 µs so, and in 7 µs one byte at a time, as
/// `serde_json` does it.
pub(crate) fn string(out: &mut Vec<u8>, text: &str) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some((run, [byte, behind @ ..])) = rest.split_at_checked(next_escape(rest)) {
        out.extend_from_slice(run);
        escape(*byte, out);
        rest = behind;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// Where the first byte is that has to be escaped; the length if there is none.
fn next_escape(bytes: &[u8]) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let found = escapes(u64::from_le_bytes(*word));
        if found != 0 {
            return at * 8 + found.trailing_zeros() as usize / 8;
        }
    }
    let in_rest = rest.iter().position(|byte| is_escaped(*byte));
    words.len() * 8 + in_rest.unwrap_or(rest.len())
}

const fn is_escaped(byte: u8) -> bool {
    matches!(byte, 0x00..0x20 | b'"' | b'\\')
}

/// Marks the highest bit of the first of eight bytes that has to be escaped; bits above that one
/// say nothing. (Subtracting n from each byte borrows from its highest bit where it is below n.)
const fn escapes(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 0xFF;
    const HIGHS: u64 = ONES * 0x80;
    let controls = word.wrapping_sub(ONES * 0x20) & !word;
    let quotes = word ^ (ONES * b'"' as u64);
    let quotes = quotes.wrapping_sub(ONES) & !quotes;
    let slashes = word ^ (ONES * b'\\' as u64);
    let slashes = slashes.wrapping_sub(ONES) & !slashes;
    (controls | quotes | slashes) & HIGHS
}

fn escape(byte: u8, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let short = match byte {
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0C => b'f',
        0x00..0x20 => {
            let digit = HEX.get(usize::from(byte & 0xF)).copied().unwrap_or(b'0');
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', b'0' + (byte >> 4), digit]);
            return;
        }
        quote_or_slash => quote_or_slash,
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// Writes one object.
pub(crate) fn object(out: &mut Vec<u8>, members: impl FnOnce(&mut Object<'_>)) {
    out.push(b'{');
    members(&mut Object {
        out,
        is_first: true,
    });
    out.push(b'}');
}

/// Writes one array.
pub(crate) fn array(out: &mut Vec<u8>, items: impl FnOnce(&mut Array<'_>)) {
    out.push(b'[');
    items(&mut Array {
        out,
        is_first: true,
    });
    out.push(b']');
}

/// An object that is being written.
pub(crate) struct Object<'o> {
    out: &'o mut Vec<u8>,
    is_first: bool,
}

impl Object<'_> {
    fn key(&mut self, key: &'static str) {
        if !std::mem::take(&mut self.is_first) {
            self.out.push(b',');
        }
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    pub(crate) fn put(&mut self, key: &'static str, value: impl Put) -> &mut Self {
        self.key(key);
        value.put(self.out);
        self
    }

    /// Writes the member only if there is a value.
    pub(crate) fn maybe(&mut self, key: &'static str, value: Option<impl Put>) -> &mut Self {
        if let Some(value) = value {
            self.put(key, value);
        }
        self
    }

    pub(crate) fn null(&mut self, key: &'static str) -> &mut Self {
        self.put(key, Null)
    }

    pub(crate) fn object(
        &mut self,
        key: &'static str,
        members: impl FnOnce(&mut Object<'_>),
    ) -> &mut Self {
        self.key(key);
        object(self.out, members);
        self
    }

    pub(crate) fn array(
        &mut self,
        key: &'static str,
        items: impl FnOnce(&mut Array<'_>),
    ) -> &mut Self {
        self.key(key);
        array(self.out, items);
        self
    }

    /// A member whose name comes from elsewhere, and whose value `value` writes.
    pub(crate) fn member(&mut self, key: &str, value: impl FnOnce(&mut Vec<u8>)) {
        if !std::mem::take(&mut self.is_first) {
            self.out.push(b',');
        }
        string(self.out, key);
        self.out.push(b':');
        value(self.out);
    }

    /// A member whose value was written before.
    pub(crate) fn written(&mut self, key: &'static str, json: &[u8]) -> &mut Self {
        self.key(key);
        self.out.extend_from_slice(json);
        self
    }

    /// A member whose value is a string that holds the JSON of an object, as OpenAI writes tool
    /// arguments.
    pub(crate) fn text_of(&mut self, key: &'static str, json: &RawValue) -> &mut Self {
        self.put(key, json.get())
    }
}

/// An array that is being written.
pub(crate) struct Array<'o> {
    out: &'o mut Vec<u8>,
    is_first: bool,
}

impl Array<'_> {
    fn next(&mut self) {
        if !std::mem::take(&mut self.is_first) {
            self.out.push(b',');
        }
    }

    pub(crate) fn put(&mut self, value: impl Put) {
        self.next();
        value.put(self.out);
    }

    /// An item that `value` writes.
    pub(crate) fn with(&mut self, value: impl FnOnce(&mut Vec<u8>)) {
        self.next();
        value(self.out);
    }

    /// Items that were written before, with their commas.
    pub(crate) fn written(&mut self, items: &[u8]) {
        if !items.is_empty() {
            self.next();
            self.out.extend_from_slice(items);
        }
    }

    pub(crate) fn object(&mut self, members: impl FnOnce(&mut Object<'_>)) {
        self.next();
        object(self.out, members);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::string;

    proptest! {
        #[test]
        fn a_string_is_written_as_serde_json_writes_it(text in "[\\x00-\\x7fä漢🦀]{0,40}") {
            let mut out = Vec::new();
            string(&mut out, &text);
            prop_assert_eq!(out, serde_json::to_vec(&text).unwrap());
        }
    }
}
