//! What is sent and what is answered: small canned Anthropic Messages requests and answers.
//!
//! Bodies are real in shape (usage where a gateway looks for it, events in the provider's order), so
//! that everything a gateway does with them is done, and fixed in size, so that a shortened answer
//! shows.

use std::net::SocketAddr;
use std::time::Duration;

use keypool_translate::{Api, Settings, translate_answer};

/// Key that clients present to keypool; other targets ignore it.
pub(crate) const GATEWAY_KEY: &str = "bench-gateway-key-0123456789";
/// Request header that tells the upstream how to stream: `<events> <events in one write> <microseconds between writes>`.
pub(crate) const PLAN_HEADER: &str = "x-bench-plan";
/// Events of a streamed answer that are not text: two before it and three after it.
pub(crate) const FRAME_EVENTS: u64 = 5;

/// The plain answer's body: about 500 bytes.
pub(crate) const PLAIN_BODY: &str = concat!(
    r#"{"id":"msg_013Zva2CMHLNnXjNJJKqJ2EF","type":"message","role":"assistant","#,
    r#""model":"claude-bench","content":[{"type":"text","text":"Loopback answers quickly, and "#,
    r#"always with the same words: a benchmark wants an upstream whose own work is small and equal "#,
    r#"for everyone who asks, so that what differs is the work of whoever stands in between."}],"#,
    r#""stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":58,"#,
    r#""cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":47}}"#,
);

/// How the upstream streams an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StreamPlan {
    /// Events of the whole answer, at least [`FRAME_EVENTS`].
    pub(crate) events: u64,
    /// Events that go out in one write, at least one.
    pub(crate) together: u64,
    /// Time between two writes, in whole microseconds; zero makes them as fast as they go out.
    pub(crate) gap: Duration,
}

impl StreamPlan {
    /// Reads the value of [`PLAN_HEADER`].
    pub(crate) fn parse(value: &[u8]) -> Option<Self> {
        let mut numbers = std::str::from_utf8(value).ok()?.split_whitespace();
        let mut number = || numbers.next()?.parse::<u64>().ok();
        let (events, together, gap_us) = (number()?, number()?, number()?);
        Some(Self {
            events: events.max(FRAME_EVENTS),
            together: together.max(1),
            gap: Duration::from_micros(gap_us),
        })
    }

    /// The event with this number (from 0) as one HTTP chunk; the last one also ends the body.
    pub(crate) fn chunk<'a>(&self, number: u64, chunks: &'a Chunks) -> &'a [u8] {
        match number {
            0 => &chunks.message_start,
            1 => &chunks.block_start,
            n if n + 3 == self.events => &chunks.block_stop,
            n if n + 2 == self.events => &chunks.message_delta,
            n if n + 1 == self.events => &chunks.message_stop,
            _ => &chunks.text,
        }
    }
}

/// The events of a streamed answer, ready to write.
#[derive(Debug)]
pub(crate) struct Chunks {
    message_start: Vec<u8>,
    block_start: Vec<u8>,
    text: Vec<u8>,
    block_stop: Vec<u8>,
    message_delta: Vec<u8>,
    message_stop: Vec<u8>,
}

impl Chunks {
    /// Renders every event once.
    pub(crate) fn new() -> Self {
        let mut message_stop = chunk("message_stop", r#"{"type":"message_stop"}"#);
        message_stop.extend_from_slice(b"0\r\n\r\n");
        Self {
            message_start: chunk(
                "message_start",
                concat!(
                    r#"{"type":"message_start","message":{"id":"msg_013Zva2CMHLNnXjNJJKqJ2EF","#,
                    r#""type":"message","role":"assistant","model":"claude-bench","content":[],"#,
                    r#""stop_reason":null,"stop_sequence":null,"#,
                    r#""usage":{"input_tokens":58,"output_tokens":1}}}"#,
                ),
            ),
            block_start: chunk(
                "content_block_start",
                concat!(
                    r#"{"type":"content_block_start","index":0,"#,
                    r#""content_block":{"type":"text","text":""}}"#,
                ),
            ),
            text: chunk(
                "content_block_delta",
                concat!(
                    r#"{"type":"content_block_delta","index":0,"#,
                    r#""delta":{"type":"text_delta","text":" token"}}"#,
                ),
            ),
            block_stop: chunk(
                "content_block_stop",
                r#"{"type":"content_block_stop","index":0}"#,
            ),
            message_delta: chunk(
                "message_delta",
                concat!(
                    r#"{"type":"message_delta","#,
                    r#""delta":{"stop_reason":"end_turn","stop_sequence":null},"#,
                    r#""usage":{"output_tokens":195}}"#,
                ),
            ),
            message_stop,
        }
    }
}

fn chunk(event: &str, data: &str) -> Vec<u8> {
    let text = format!("event: {event}\ndata: {data}\n\n");
    format!("{:x}\r\n{text}\r\n", text.len()).into_bytes()
}

/// The whole plain answer.
pub(crate) fn plain_answer() -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nrequest-id: req_bench\r\n\
         content-length: {}\r\n\r\n{PLAIN_BODY}",
        PLAIN_BODY.len()
    )
    .into_bytes()
}

/// The head of a streamed answer.
pub(crate) const STREAM_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
    cache-control: no-cache\r\nrequest-id: req_bench\r\ntransfer-encoding: chunked\r\n\r\n";

/// What a complete answer must look like to be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    /// A plain answer with a body of this many bytes.
    Bytes(u64),
    /// A streamed answer with this many events.
    Events(u64),
}

/// One request, sent over and over.
#[derive(Debug)]
pub(crate) struct Request {
    /// Head and body.
    pub(crate) bytes: Vec<u8>,
    /// The answer that belongs to it.
    pub(crate) expected: Expected,
}

impl Request {
    /// Asks `target` for the plain answer; the body has about 300 bytes.
    pub(crate) fn plain(target: SocketAddr) -> Self {
        let expected = Expected::Bytes(PLAIN_BODY.len() as u64);
        Self {
            bytes: request_bytes(target, false, ""),
            expected,
        }
    }

    /// Asks `target` for the plain answer in the words of Chat Completions; what is asked is the same.
    pub(crate) fn plain_chat(target: SocketAddr) -> anyhow::Result<Self> {
        let settings = Settings {
            from: Api::Messages,
            to: Api::ChatCompletions,
            model: "",
            id: "",
            // Of ten digits, as today.
            created_unix_s: 1_764_000_000,
            stream_usage: false,
            namespaced: &[],
        };
        let answer = translate_answer(&settings, PLAIN_BODY.as_bytes())
            .map_err(|failure| anyhow::anyhow!("{}", failure.message))?;
        let body = concat!(
            r#"{"model":"anthropic,claude-bench","max_tokens":256,"stream":false,"messages":["#,
            r#"{"role":"system","content":"Answer in one sentence."},{"role":"user","content":"#,
            r#""Why does a benchmark need an upstream that is faster than any gateway, "#,
            r#"and why must both be measured in the same run on one machine?"}],"#,
            r#""user":"bench-0001"}"#,
        );
        let bytes = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: {target}\r\ncontent-type: application/json\r\n\
             authorization: Bearer {GATEWAY_KEY}\r\nuser-agent: keypool-bench\r\naccept: */*\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        Ok(Self {
            bytes: bytes.into_bytes(),
            expected: Expected::Bytes(answer.len() as u64),
        })
    }

    /// Asks `target` for a streamed answer.
    pub(crate) fn stream(target: SocketAddr, plan: StreamPlan) -> Self {
        let StreamPlan {
            events,
            together,
            gap,
        } = plan;
        let gap_us = gap.as_micros();
        let header = format!("{PLAN_HEADER}: {events} {together} {gap_us}\r\n");
        Self {
            bytes: request_bytes(target, true, &header),
            expected: Expected::Events(events),
        }
    }
}

fn request_bytes(target: SocketAddr, stream: bool, extra_header: &str) -> Vec<u8> {
    let body = format!(
        concat!(
            r#"{{"model":"anthropic,claude-bench","max_tokens":256,"stream":{},"#,
            r#""system":"Answer in one sentence.","messages":[{{"role":"user","content":"#,
            r#""Why does a benchmark need an upstream that is faster than any gateway, "#,
            r#"and why must both be measured in the same run on one machine?"}}],"#,
            r#""metadata":{{"user_id":"bench-0001"}}}}"#,
        ),
        stream
    );
    format!(
        "POST /v1/messages HTTP/1.1\r\nhost: {target}\r\ncontent-type: application/json\r\n\
         x-api-key: {GATEWAY_KEY}\r\nanthropic-version: 2023-06-01\r\n\
         user-agent: keypool-bench\r\naccept: */*\r\n{extra_header}content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framing::Framing;

    fn target() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 3456))
    }

    #[test]
    fn bodies_are_json_of_the_sizes_the_report_speaks_of() {
        let request = request_bytes(target(), false, "");
        let body_at = memchr::memmem::find(&request, b"\r\n\r\n").unwrap() + 4;
        let body = &request[body_at..];
        assert!((270..=330).contains(&body.len()), "{} bytes", body.len());
        assert_eq!(
            serde_json::from_slice::<serde_json::Value>(body).unwrap()["stream"],
            false
        );
        assert!(
            (450..=550).contains(&PLAIN_BODY.len()),
            "{} bytes",
            PLAIN_BODY.len()
        );
        let answer: serde_json::Value = serde_json::from_str(PLAIN_BODY).unwrap();
        assert_eq!(answer["usage"]["output_tokens"], 47);
    }

    #[test]
    fn a_client_of_the_other_api_asks_the_same_and_expects_a_whole_answer() {
        let request = Request::plain_chat(target()).unwrap();
        let body_at = memchr::memmem::find(&request.bytes, b"\r\n\r\n").unwrap() + 4;
        let body = &request.bytes[body_at..];
        assert!((270..=330).contains(&body.len()), "{} bytes", body.len());
        let body: serde_json::Value = serde_json::from_slice(body).unwrap();
        assert_eq!(body["messages"][1]["role"], "user");
        assert!(matches!(request.expected, Expected::Bytes(450..=700)));
    }

    #[test]
    fn a_streamed_answer_has_exactly_the_planned_events_and_ends() {
        let chunks = Chunks::new();
        for events in [5, 6, 200] {
            let plan = StreamPlan {
                events,
                together: 1,
                gap: Duration::ZERO,
            };
            let mut framing = Framing::new();
            framing.feed(STREAM_HEAD).unwrap();
            for number in 0..events {
                assert!(!framing.answer().complete);
                framing.feed(plan.chunk(number, &chunks)).unwrap();
            }
            let answer = framing.answer();
            assert!(answer.complete);
            assert_eq!((answer.status, answer.events), (200, events));
        }
    }

    #[test]
    fn a_plan_survives_the_header_and_is_never_shorter_than_its_frame() {
        let parsed = StreamPlan::parse(b" 200 3 1000");
        assert_eq!(
            parsed,
            Some(StreamPlan {
                events: 200,
                together: 3,
                gap: Duration::from_millis(1)
            })
        );
        assert_eq!(
            StreamPlan::parse(b"1 0 0"),
            Some(StreamPlan {
                events: 5,
                together: 1,
                gap: Duration::ZERO
            })
        );
        assert_eq!(StreamPlan::parse(b"many"), None);
    }
}
