//! A provider's streamed answer in the words of the client's API, event by event.

use crate::answer::Settings;
use crate::api::Api;
use crate::error::Failure;
use crate::flow::{Flow, Sink};
use crate::ir::Event;
use crate::namespaces::NamespacedTool;
use crate::{chat, gemini, messages, responses};

/// What a stream was started with, kept for as long as it lasts.
#[derive(Debug)]
pub(crate) struct OwnedSettings {
    from: Api,
    to: Api,
    model: String,
    id: String,
    created_unix_s: u64,
    stream_usage: bool,
    namespaced: Vec<NamespacedTool>,
}

impl OwnedSettings {
    pub(crate) fn borrow(&self) -> Settings<'_> {
        Settings {
            from: self.from,
            to: self.to,
            model: &self.model,
            id: &self.id,
            created_unix_s: self.created_unix_s,
            stream_usage: self.stream_usage,
            namespaced: &self.namespaced,
        }
    }
}

/// Translates one streamed answer. One per stream: call [`Self::event`] with each event in order,
/// then [`Self::end`].
#[derive(Debug)]
pub struct StreamTranslator {
    reader: Reader,
    writer: Writer,
    flow: Flow,
}

#[derive(Debug)]
enum Reader {
    Messages(messages::StreamReader),
    Chat(chat::StreamReader),
    Responses(responses::StreamReader),
    Gemini(gemini::StreamReader),
}

/// The client's side of a stream.
#[derive(Debug)]
pub(crate) struct Writer {
    settings: OwnedSettings,
    api: ApiWriter,
}

#[derive(Debug)]
enum ApiWriter {
    Messages(messages::StreamWriter),
    Chat(chat::StreamWriter),
    Responses(Box<responses::StreamWriter>),
    Gemini(gemini::StreamWriter),
}

impl Writer {
    pub(crate) fn event(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        let settings = &self.settings.borrow();
        match &mut self.api {
            ApiWriter::Messages(writer) => writer.event(settings, event, out),
            ApiWriter::Chat(writer) => writer.event(settings, event, out),
            ApiWriter::Responses(writer) => writer.event(settings, event, out),
            ApiWriter::Gemini(writer) => writer.event(settings, event, out),
        }
    }

    pub(crate) fn fail(&mut self, failure: &Failure, out: &mut Vec<u8>) {
        match &mut self.api {
            ApiWriter::Messages(_) => messages::StreamWriter::fail(failure, out),
            ApiWriter::Chat(_) => chat::StreamWriter::fail(failure, out),
            ApiWriter::Responses(writer) => writer.fail(failure, out),
            ApiWriter::Gemini(_) => gemini::StreamWriter::fail(failure, out),
        }
    }

    /// Whether a writer has met what it cannot write on: too much to keep.
    fn overflow(&self) -> bool {
        match &self.api {
            ApiWriter::Messages(_) | ApiWriter::Chat(_) => false,
            ApiWriter::Responses(writer) => writer.is_too_large(),
            ApiWriter::Gemini(writer) => writer.is_too_large(),
        }
    }
}

impl StreamTranslator {
    /// A translator for a new stream.
    #[must_use]
    pub fn new(settings: &Settings<'_>) -> Self {
        let reader = match settings.from {
            Api::Messages => Reader::Messages(messages::StreamReader::default()),
            Api::ChatCompletions => Reader::Chat(chat::StreamReader::default()),
            Api::Responses => Reader::Responses(responses::StreamReader::default()),
            Api::GenerateContent => Reader::Gemini(gemini::StreamReader::new(settings.id)),
        };
        let api = match settings.to {
            Api::Messages => ApiWriter::Messages(messages::StreamWriter::default()),
            Api::ChatCompletions => ApiWriter::Chat(chat::StreamWriter::default()),
            Api::Responses => ApiWriter::Responses(Box::default()),
            Api::GenerateContent => ApiWriter::Gemini(gemini::StreamWriter::default()),
        };
        let settings = OwnedSettings {
            from: settings.from,
            to: settings.to,
            model: settings.model.to_owned(),
            id: settings.id.to_owned(),
            created_unix_s: settings.created_unix_s,
            stream_usage: settings.stream_usage,
            namespaced: settings.namespaced.to_vec(),
        };
        Self {
            reader,
            writer: Writer { settings, api },
            flow: Flow::default(),
        }
    }

    /// Takes the data of the provider's next event and appends the client's events to `out`, none
    /// or several. Event names are not needed: every API names its events in the data, too.
    ///
    /// After an error or the end, whatever comes is ignored.
    pub fn event(&mut self, data: &[u8], out: &mut Vec<u8>) {
        let Self {
            reader,
            writer,
            flow,
        } = self;
        if flow.is_over() || data.is_empty() {
            return;
        }
        let mut sink = Sink { flow, writer, out };
        match reader {
            Reader::Messages(reader) => reader.read(data, &mut sink),
            Reader::Chat(reader) => reader.read(data, &mut sink),
            Reader::Responses(reader) => reader.read(data, &mut sink),
            Reader::Gemini(reader) => reader.read(data, &mut sink),
        }
        if sink.writer.overflow() {
            sink.fail(&Failure::own(
                502,
                "answer_too_large",
                "the answer is too large to be translated",
            ));
        }
    }

    /// The provider closed the stream. An answer that was not whole by then ends with an error
    /// event.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        let ends_by_closing = matches!(self.reader, Reader::Chat(_) | Reader::Gemini(_));
        let Self { writer, flow, .. } = self;
        let is_whole = ends_by_closing && flow.is_stopped();
        let mut sink = Sink { flow, writer, out };
        if is_whole {
            sink.done();
        } else {
            sink.fail(&Failure::broken());
        }
    }

    /// Ends the stream with an error of the gateway's own.
    pub fn fail(&mut self, failure: &Failure, out: &mut Vec<u8>) {
        let Self { writer, flow, .. } = self;
        Sink { flow, writer, out }.fail(failure);
    }

    /// Whether the client's stream is over: nothing that comes is translated any more.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.flow.is_over()
    }

    /// Whether it ended with an error event because of what is no answer in the provider's API.
    #[must_use]
    pub const fn is_malformed(&self) -> bool {
        self.flow.is_malformed()
    }

    /// Whether it ended with an error event.
    #[must_use]
    pub const fn has_failed(&self) -> bool {
        self.flow.has_failed()
    }
}
