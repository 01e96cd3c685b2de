//! The fields of one whole event.

/// What the lines of an event say.
pub(super) struct Fields<'a> {
    pub(super) name: &'a [u8],
    /// `None` when there is no `data` line.
    pub(super) data: Option<&'a [u8]>,
    /// Some line is neither a comment nor any field of the format.
    pub(super) has_foreign_line: bool,
    /// Nothing but blank lines.
    pub(super) is_empty: bool,
}

/// Reads the lines of an event. `joined` is scratch for data of several lines.
pub(super) fn read_fields<'a>(raw: &'a [u8], joined: &'a mut Vec<u8>) -> Fields<'a> {
    joined.clear();
    let mut name: &[u8] = b"";
    let mut first: Option<&[u8]> = None;
    let mut is_empty = true;
    let mut has_foreign_line = false;
    let mut rest = raw;
    while let Some((line, after)) = next_line(rest) {
        rest = after;
        is_empty &= line.is_empty();
        match field(line) {
            Field::Name(value) => name = value,
            Field::Data(value) => match first {
                None => first = Some(value),
                Some(before) => {
                    // Never empty again, since each further line adds its line feed.
                    if joined.is_empty() {
                        joined.extend_from_slice(before);
                    }
                    joined.push(b'\n');
                    joined.extend_from_slice(value);
                }
            },
            Field::Other => {}
            Field::Foreign => has_foreign_line = true,
        }
    }
    let data = if joined.is_empty() {
        first
    } else {
        Some(&joined[..])
    };
    Fields {
        name,
        data,
        has_foreign_line,
        is_empty,
    }
}

enum Field<'a> {
    Name(&'a [u8]),
    Data(&'a [u8]),
    /// A comment, an id, a retry hint, the blank line.
    Other,
    /// No field of the format.
    Foreign,
}

fn field(line: &[u8]) -> Field<'_> {
    if let Some(value) = value_of(line, b"data") {
        Field::Data(value)
    } else if let Some(value) = value_of(line, b"event") {
        Field::Name(value)
    } else if is_other(line) {
        Field::Other
    } else {
        Field::Foreign
    }
}

fn is_other(line: &[u8]) -> bool {
    let known = [b"id".as_slice(), b"retry"];
    line.is_empty()
        || line.starts_with(b":")
        || known.iter().any(|name| value_of(line, name).is_some())
}

/// The value of a line with that field name: what follows the colon, less one space. A line that
/// is only the name has an empty value.
fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let rest = line.strip_prefix(name)?;
    if rest.is_empty() {
        return Some(rest);
    }
    let value = rest.strip_prefix(b":")?;
    Some(value.strip_prefix(b" ").unwrap_or(value))
}

/// The first line of `text` and what follows its terminator; `None` at the end.
fn next_line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    if text.is_empty() {
        return None;
    }
    let Some(end) = memchr::memchr2(b'\n', b'\r', text) else {
        return Some((text, b""));
    };
    let (line, terminated) = text.split_at(end);
    let after = terminated
        .strip_prefix(b"\r\n")
        .or_else(|| terminated.get(1..))
        .unwrap_or_default();
    Some((line, after))
}
