//! Whether bytes are a JSON object, told in one pass and without an allocation.
//!
//! Every event of a stream is looked at, so a parser that builds or remembers anything is too much.
//! The question is narrower, too: not "is each number well-formed" but "would a client's parser choke on
//! this". Brackets, strings, commas, colons and bare words are checked; the inside of numbers and escapes
//! is not. `NaN` and `Infinity` pass, since servers in Python write them and clients in Python read them.

use crate::limits::JSON_DEPTH_MAX;
use crate::peek::raw_string;

/// Whether `text` is one JSON object in UTF-8, with nothing but white space around it.
///
/// Everything that a strict parser takes for an object passes. Nesting beyond
/// [`JSON_DEPTH_MAX`](crate::limits::JSON_DEPTH_MAX) does not.
#[must_use]
pub fn is_json_object(text: &[u8]) -> bool {
    let text = text.trim_ascii();
    text.first() == Some(&b'{')
        && str::from_utf8(text).is_ok()
        && Checker::new(text).finds_one_value()
}

/// What may stand next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Want {
    Value,
    /// A list has just begun.
    ValueOrEnd,
    /// A comma in an object has just gone by.
    Name,
    /// An object has just begun.
    NameOrEnd,
    CommaOrEnd,
}

struct Checker<'a> {
    rest: &'a [u8],
    /// One bit for each bracket that is open: whether it is an object's.
    objects: u128,
    depth: usize,
}

// One bit for each level.
const _: () = assert!(JSON_DEPTH_MAX <= u128::BITS as usize);

impl<'a> Checker<'a> {
    const fn new(text: &'a [u8]) -> Self {
        Self {
            rest: text,
            objects: 0,
            depth: 0,
        }
    }

    fn finds_one_value(mut self) -> bool {
        let mut want = Want::Value;
        while let Some(byte) = self.next_byte() {
            match self.step(want, byte) {
                None => return false,
                Some(_) if self.depth == 0 => return self.next_byte().is_none(),
                Some(next) => want = next,
            }
        }
        false
    }

    /// What may follow `byte`; `None` if it may not stand here.
    fn step(&mut self, want: Want, byte: u8) -> Option<Want> {
        match (want, byte) {
            (Want::Value | Want::ValueOrEnd, b'{') => self.open(true).then_some(Want::NameOrEnd),
            (Want::Value | Want::ValueOrEnd, b'[') => self.open(false).then_some(Want::ValueOrEnd),
            (Want::Value | Want::ValueOrEnd, b'"') => self.string().then_some(Want::CommaOrEnd),
            (Want::NameOrEnd | Want::CommaOrEnd, b'}') => {
                self.close(true).then_some(Want::CommaOrEnd)
            }
            (Want::ValueOrEnd | Want::CommaOrEnd, b']') => {
                self.close(false).then_some(Want::CommaOrEnd)
            }
            (Want::Name | Want::NameOrEnd, b'"') => {
                (self.string() && self.next_byte() == Some(b':')).then_some(Want::Value)
            }
            (Want::CommaOrEnd, b',') if self.in_object() => Some(Want::Name),
            (Want::CommaOrEnd, b',') => Some(Want::Value),
            (Want::Value | Want::ValueOrEnd, _) => self.word(byte).then_some(Want::CommaOrEnd),
            (Want::Name | Want::NameOrEnd | Want::CommaOrEnd, _) => None,
        }
    }

    /// The next byte that is not white space.
    fn next_byte(&mut self) -> Option<u8> {
        loop {
            let (&byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(byte);
            }
        }
    }

    /// The rest of a string whose opening quote has gone by; false if it never ends.
    fn string(&mut self) -> bool {
        let length = raw_string(self.rest).bytes.len();
        match self.rest.get(length + 1..) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// The rest of a number or of a bare word.
    fn word(&mut self, first: u8) -> bool {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-');
        if first.is_ascii_digit()
            || (first == b'-' && self.rest.first().is_some_and(u8::is_ascii_digit))
        {
            let length = self.rest.iter().take_while(|&&byte| is_digit(byte)).count();
            self.rest = self.rest.get(length..).unwrap_or_default();
            return true;
        }
        let tail: &[u8] = match first {
            b't' => b"rue",
            b'f' => b"alse",
            b'n' => b"ull",
            b'N' => b"aN",
            b'I' => b"nfinity",
            b'-' => b"Infinity",
            _ => return false,
        };
        self.rest.strip_prefix(tail).is_some_and(|rest| {
            self.rest = rest;
            true
        })
    }

    const fn open(&mut self, object: bool) -> bool {
        if self.depth == JSON_DEPTH_MAX {
            return false;
        }
        self.depth += 1;
        self.objects = self.objects << 1 | object as u128;
        true
    }

    const fn close(&mut self, object: bool) -> bool {
        if self.depth == 0 || self.in_object() != object {
            return false;
        }
        self.depth -= 1;
        self.objects >>= 1;
        true
    }

    const fn in_object(&self) -> bool {
        self.objects & 1 == 1
    }
}

#[cfg(test)]
mod tests;
