//! Writing server-sent events.

use crate::json::{Object, object};

/// Writes an event with a name, whose data is one object.
pub(crate) fn event(out: &mut Vec<u8>, name: &str, members: impl FnOnce(&mut Object<'_>)) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(name.as_bytes());
    out.push(b'\n');
    data(out, members);
}

/// Writes an event without a name.
pub(crate) fn data(out: &mut Vec<u8>, members: impl FnOnce(&mut Object<'_>)) {
    out.extend_from_slice(b"data: ");
    let start = out.len();
    object(out, members);
    // JSON that is carried as it came may have line ends between its tokens, never within them.
    let data = out.get_mut(start..).unwrap_or_default();
    if memchr::memchr2(b'\n', b'\r', data).is_some() {
        let ends = data.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r'));
        ends.for_each(|byte| *byte = b' ');
    }
    out.extend_from_slice(b"\n\n");
}
