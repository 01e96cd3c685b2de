//! Server-sent events as a client sees them.

use serde_json::Value;

/// One event of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    /// The `event:` line; empty without one.
    pub(crate) name: String,
    /// The `data:` lines.
    pub(crate) data: String,
}

impl Event {
    /// The data as JSON; `null` when it is none, like `[DONE]`.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_default()
    }
}

/// Takes the first whole event off the front of `buffer`.
pub(crate) fn take_event(buffer: &mut Vec<u8>) -> Option<Event> {
    // Google ends its lines with CRLF.
    let ends: [&[u8]; 2] = [b"\n\n", b"\n\r\n"];
    let found = ends.iter().filter_map(|end| {
        let at = buffer
            .windows(end.len())
            .position(|window| window == *end)?;
        Some(at + end.len())
    });
    let end = found.min()?;
    let block: Vec<u8> = buffer.drain(..end).collect();
    Some(parse(&String::from_utf8(block).unwrap()))
}

/// All events of a whole stream.
pub(crate) fn events(body: &[u8]) -> Vec<Event> {
    let mut rest = body.to_vec();
    std::iter::from_fn(|| take_event(&mut rest)).collect()
}

fn parse(block: &str) -> Event {
    let field = |prefix: &str| {
        let values: Vec<&str> = block
            .lines()
            .filter_map(|line| line.strip_prefix(prefix))
            .collect();
        values.join("\n")
    };
    Event {
        name: field("event: "),
        data: field("data: "),
    }
}
