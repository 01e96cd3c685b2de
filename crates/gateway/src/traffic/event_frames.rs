//! Streams of AWS: binary frames with checksums, in each of which an event is wrapped.
//!
//! They are turned into the server-sent events that the model's own API would have sent, before anybody looks
//! at them. So what is said here of usage, errors and silence holds for them as for any stream.
//! Sources: the format from AWS's page on event stream encoding; chunks and exceptions from the reference of
//! `InvokeModelWithResponseStream`.

use aws_smithy_eventstream::frame::{DecodedFrame, MessageFrameDecoder};
use aws_smithy_types::event_stream::Message;
use aws_smithy_types::str_bytes::StrBytes;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::{Buf, Bytes, BytesMut};
use serde::Deserialize;
use serde_json::json;

use crate::limits;
use crate::traffic::upstream_body::BodyError;

/// The content type of such a stream.
pub(super) const CONTENT_TYPE: &str = "application/vnd.amazon.eventstream";

/// Frames on their way to becoming events.
#[derive(Debug, Default)]
pub(super) struct Frames {
    decoder: MessageFrameDecoder,
    buffer: BytesMut,
    /// A frame has begun and not ended.
    is_unfinished: bool,
}

impl Frames {
    /// The events that are whole with this chunk; empty if there are none yet.
    pub(super) fn take_in(&mut self, chunk: &[u8]) -> Result<Bytes, BodyError> {
        self.buffer.extend_from_slice(chunk);
        let mut events = Vec::new();
        loop {
            let before = self.buffer.remaining();
            let frame = self.decoder.decode_frame(&mut self.buffer);
            match frame.map_err(|error| undecodable(&error))? {
                DecodedFrame::Complete(message) => {
                    self.is_unfinished = false;
                    write_event(&message, &mut events)?;
                }
                DecodedFrame::Incomplete => {
                    self.is_unfinished |= before > 0;
                    break;
                }
            }
        }
        if self.buffer.len() > limits::EVENT_FRAME_BYTES {
            return Err(undecodable(&"a frame has too many bytes"));
        }
        Ok(events.into())
    }

    /// The stream has ended: not within a frame, if it is whole.
    pub(super) fn finish(&mut self) -> Result<(), BodyError> {
        if std::mem::take(&mut self.is_unfinished) {
            let reason = "it ended in the middle of a frame";
            return Err(BodyError::Broken(reason.to_owned()));
        }
        Ok(())
    }
}

fn undecodable(error: &dyn std::fmt::Display) -> BodyError {
    BodyError::Undecodable(format!("its frames are damaged: {error}"))
}

fn write_event(message: &Message, out: &mut Vec<u8>) -> Result<(), BodyError> {
    let header = |name: &str| {
        let mut headers = message.headers().iter();
        let header = headers.find(|header| header.name().as_str() == name)?;
        header.value().as_string().ok().map(StrBytes::as_str)
    };
    match header(":message-type") {
        Some("event") if header(":event-type") == Some("chunk") => {
            write_chunk(message.payload(), out)
        }
        // Of a kind that was not there when this was written.
        Some("event") => Ok(()),
        Some("exception") => {
            #[derive(Deserialize)]
            struct Exception {
                #[serde(alias = "Message")]
                message: Option<String>,
            }
            let exception: Option<Exception> = serde_json::from_slice(message.payload()).ok();
            let text = exception.and_then(|exception| exception.message);
            let name = header(":exception-type").unwrap_or_default();
            write_error(name, &text.unwrap_or_default(), out);
            Ok(())
        }
        Some("error") => {
            let text = header(":error-message").unwrap_or_default();
            write_error(header(":error-code").unwrap_or_default(), text, out);
            Ok(())
        }
        _ => Err(undecodable(&"one does not say what it is")),
    }
}

/// An event of the model's.
fn write_chunk(payload: &[u8], out: &mut Vec<u8>) -> Result<(), BodyError> {
    #[derive(Deserialize)]
    struct Chunk<'a> {
        bytes: &'a str,
    }
    #[derive(Deserialize)]
    struct Event<'a> {
        #[serde(rename = "type")]
        kind: &'a str,
    }
    let chunk: Chunk<'_> = serde_json::from_slice(payload).map_err(|error| undecodable(&error))?;
    let mut event = BASE64_STANDARD
        .decode(chunk.bytes)
        .map_err(|error| undecodable(&error))?;
    // Between members they mean nothing, and in an event of one line they have no place.
    for byte in &mut event {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    if let Ok(Event { kind }) = serde_json::from_slice(&event) {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(kind.as_bytes());
        out.push(b'\n');
    }
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(&event);
    out.extend_from_slice(b"\n\n");
    Ok(())
}

/// An exception, as an error of Messages that also says what AWS calls it.
fn write_error(name: &str, message: &str, out: &mut Vec<u8>) {
    let kind = match name.to_ascii_lowercase().as_str() {
        "throttlingexception" => "rate_limit_error",
        "serviceunavailableexception" => "overloaded_error",
        "modeltimeoutexception" => "timeout_error",
        "validationexception" => "invalid_request_error",
        "accessdeniedexception" => "permission_error",
        _ => "api_error",
    };
    let message = if message.is_empty() { name } else { message };
    let details = json!({ "error_code": name });
    let error = json!({ "type": kind, "message": message, "details": details });
    let event = json!({ "type": "error", "error": error });
    out.extend_from_slice(b"event: error\ndata: ");
    out.extend_from_slice(event.to_string().as_bytes());
    out.extend_from_slice(b"\n\n");
}

#[cfg(test)]
mod tests {
    use aws_smithy_eventstream::frame::write_message_to;
    use aws_smithy_types::event_stream::{Header, HeaderValue};

    use super::*;

    fn frame(headers: &[(&'static str, &'static str)], payload: &str) -> Vec<u8> {
        let mut message = Message::new(payload.to_owned());
        for (name, value) in headers {
            message = message.add_header(Header::new(*name, HeaderValue::String((*value).into())));
        }
        let mut bytes = Vec::new();
        write_message_to(&message, &mut bytes).unwrap();
        bytes
    }

    fn chunk(event: &str) -> Vec<u8> {
        let payload = json!({ "bytes": BASE64_STANDARD.encode(event), "p": "abc" });
        let headers = [(":message-type", "event"), (":event-type", "chunk")];
        frame(&headers, &payload.to_string())
    }

    fn read(pieces: &[&[u8]]) -> Result<String, BodyError> {
        let mut frames = Frames::default();
        let mut events = Vec::new();
        for piece in pieces {
            events.extend_from_slice(&frames.take_in(piece)?);
        }
        frames.finish()?;
        Ok(String::from_utf8(events).unwrap())
    }

    #[test]
    fn frames_become_events_wherever_they_are_cut() {
        let bytes = [
            chunk("{\"type\":\"ping\"}"),
            frame(&[(":message-type", "event"), (":event-type", "news")], "{}"),
            chunk("{\n\"type\": \"message_stop\"}"),
        ]
        .concat();
        let expected = "event: ping\ndata: {\"type\":\"ping\"}\n\n\
                        event: message_stop\ndata: { \"type\": \"message_stop\"}\n\n";
        for at in 0..bytes.len() {
            let (one, two) = bytes.split_at(at);
            assert_eq!(read(&[one, two]).unwrap(), expected, "cut at {at}");
        }
        let each: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(read(&each).unwrap(), expected);
    }

    #[test]
    fn a_stream_that_ends_within_a_frame_has_broken_off() {
        let bytes = chunk("{\"type\":\"ping\"}");
        for end in 1..bytes.len() {
            let cut = read(&[&bytes[..end]]);
            assert!(matches!(cut, Err(BodyError::Broken(_))), "{end}: {cut:?}");
        }
        assert_eq!(read(&[]).unwrap(), "");
    }

    #[test]
    fn a_changed_byte_is_found_by_its_checksum() {
        let bytes = chunk("{\"type\":\"ping\"}");
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            assert!(read(&[&damaged]).is_err(), "{at}");
        }
    }

    #[test]
    fn exceptions_become_errors_that_say_what_they_were() {
        let throttled = frame(
            &[
                (":message-type", "exception"),
                (":exception-type", "throttlingException"),
            ],
            "{\"message\":\"Too many tokens\"}",
        );
        let failed = frame(
            &[
                (":message-type", "error"),
                (":error-code", "InternalError"),
                (":error-message", "Oh"),
            ],
            "",
        );
        let events = read(&[&throttled, &failed]).unwrap();
        for part in [
            "event: error\ndata: {",
            "\"type\":\"rate_limit_error\"",
            "\"error_code\":\"throttlingException\"",
            "\"message\":\"Too many tokens\"",
            "\"type\":\"api_error\"",
            "\"message\":\"Oh\"",
        ] {
            assert!(events.contains(part), "{part}: {events}");
        }
    }
}
