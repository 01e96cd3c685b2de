//! Writing a stream anew for its client: in the words of its API, as the JSON array that Gemini's API streams
//! where no events are asked for, or both.

use bytes::Bytes;
use keypool_translate::{Failure, StreamTranslator};
use keypool_wire::{Dialect, Endpoint, OwnError, StreamError, error_body};

/// What keeps a connection alive and means nothing, for clients that take comments.
const SIGN_OF_LIFE: &[u8] = b": keep-alive\n\n";

/// Turns the events of a stream into what its client gets.
#[derive(Debug)]
pub(crate) struct Rewriter {
    /// Where the client asked. Clients of Gemini's API take no comments.
    asked: Endpoint,
    translator: Option<Box<StreamTranslator>>,
    array: Option<JsonArray>,
}

impl Rewriter {
    /// For a client that asked at `asked`; `None` if it gets the stream as it comes.
    #[must_use]
    pub(crate) fn new(
        asked: Endpoint,
        translator: Option<StreamTranslator>,
        as_array: bool,
    ) -> Option<Self> {
        (translator.is_some() || as_array).then(|| Self {
            asked,
            translator: translator.map(Box::new),
            array: as_array.then(JsonArray::default),
        })
    }

    /// Writes what an event's data comes to.
    pub(super) fn event(&mut self, data: &[u8], out: &mut Vec<u8>) {
        let Self {
            translator, array, ..
        } = self;
        match (translator, array) {
            (Some(translator), None) => translator.event(data, out),
            (Some(translator), Some(array)) => {
                let mut events = Vec::new();
                translator.event(data, &mut events);
                array.events(&events, out);
            }
            (None, Some(array)) => array.element(data, out),
            (None, None) => {}
        }
    }

    pub(super) fn keep_alive(&self, out: &mut Vec<u8>) {
        if self.asked.dialect() != Dialect::Gemini {
            out.extend_from_slice(SIGN_OF_LIFE);
        }
    }

    /// Whether an event was not what its API sends, though it was JSON.
    pub(super) fn is_malformed(&self) -> bool {
        let translator = self.translator.as_ref();
        translator.is_some_and(|translator| translator.is_malformed())
    }

    /// Whether the client was told of a failure.
    pub(super) fn has_failed(&self) -> bool {
        let translator = self.translator.as_ref();
        translator.is_some_and(|translator| translator.has_failed())
    }

    /// Ends the client's stream with the provider's own error, if its words alone did not tell of one: it may have
    /// been in the event's name.
    pub(super) fn failed(&mut self, error: &StreamError, out: &mut Vec<u8>) {
        if self.translator.is_some() && !self.has_failed() {
            let own = OwnError {
                status: error.status,
                code: "upstream_stream_error",
                message: format!("the provider answered with an error: {}", error.message),
            };
            self.fail(&own, out);
        }
        self.close(out);
    }

    /// The answer is whole: ends the client's stream, if the provider's own words have not done so.
    pub(super) fn complete(&mut self, out: &mut Vec<u8>) {
        if let Some(translator) = self.translator.as_mut().filter(|t| !t.is_over()) {
            let mut events = Vec::new();
            translator.end(&mut events);
            match &mut self.array {
                None => out.extend_from_slice(&events),
                Some(array) => array.events(&events, out),
            }
        }
        self.close(out);
    }

    /// Ends the client's stream with an error, unless it has ended before.
    pub(super) fn fail(&mut self, error: &OwnError, out: &mut Vec<u8>) {
        match (&mut self.translator, &mut self.array) {
            (Some(translator), array) => {
                let failure = Failure {
                    status: error.status,
                    code: error.code.to_owned(),
                    message: error.message.clone(),
                    request_id: None,
                };
                let mut events = Vec::new();
                translator.fail(&failure, &mut events);
                match array {
                    None => out.extend_from_slice(&events),
                    Some(array) => array.events(&events, out),
                }
            }
            (None, Some(array)) => {
                array.element(error_body(Dialect::Gemini, error).as_bytes(), out);
            }
            (None, None) => {}
        }
        self.close(out);
    }

    /// Nothing comes after this.
    pub(super) fn close(&mut self, out: &mut Vec<u8>) {
        if let Some(array) = &mut self.array {
            array.close(out);
        }
    }
}

/// A plain answer for a client that wants an array.
#[must_use]
pub(crate) fn array_of_one(answer: &[u8]) -> Bytes {
    let (mut array, mut out) = (JsonArray::default(), Vec::with_capacity(answer.len() + 2));
    array.element(answer, &mut out);
    array.close(&mut out);
    out.into()
}

/// A stream as one JSON array, whose elements are the events' data (clients.md, surprise 2: SDKs ask for
/// events; who writes requests by hand may not).
#[derive(Debug, Default)]
enum JsonArray {
    #[default]
    Empty,
    Open,
    Closed,
}

impl JsonArray {
    fn element(&mut self, data: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Empty => out.push(b'['),
            Self::Open => out.extend_from_slice(b",\r\n"),
            Self::Closed => return,
        }
        *self = Self::Open;
        out.extend_from_slice(data);
    }

    /// The same for events that a translator wrote.
    fn events(&mut self, events: &[u8], out: &mut Vec<u8>) {
        let lines = events.split(|byte| *byte == b'\n');
        for data in lines.filter_map(|line| line.strip_prefix(b"data: ")) {
            self.element(data, out);
        }
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        match self {
            Self::Empty => out.extend_from_slice(b"[]"),
            Self::Open => out.push(b']'),
            Self::Closed => return,
        }
        *self = Self::Closed;
    }
}
