//! Answers that are right and complete, and yet not as they should be.

use std::time::Duration;

use keypool_sim::{ContentEncoding, Fault};
use serde_json::{Value, json};

use crate::meets::{Meets, fault, sound, verbatim};
use crate::row::Leaves::{Scored, Sound};
use crate::row::{
    Asked, CHAT, CHAT_STREAM, DEEPSEEK, EMBEDDINGS, GENERATE_STREAM, Group, MESSAGES,
    MESSAGES_STREAM, OPENROUTER, RESPONSES, RESPONSES_STREAM, Row, chat_of, chat_stream_of,
};
use crate::run::TEXT;

fn row(trouble: &'static str, asked: Asked) -> Row {
    Row::new(Group::Odd, trouble, asked)
}

fn compressed(encoding: ContentEncoding) -> Meets {
    let words = format!("`content-encoding: {}`", encoding.name());
    fault(&words, Fault::Compressed { encoding })
}

/// What each API says of the whole text where no stream is asked for.
fn whole_answers() -> [(Asked, Value); 4] {
    let text = json!({ "type": "text", "text": TEXT });
    let message = json!({ "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [text],
        "stop_reason": "end_turn", "stop_sequence": null, "usage": { "input_tokens": 9, "output_tokens": 9 } });
    let said = json!({ "role": "assistant", "content": TEXT });
    let completion = json!({ "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{ "index": 0, "message": said, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18 } });
    let text = json!({ "type": "output_text", "text": TEXT, "annotations": [] });
    let item = json!({ "id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [text] });
    let response = json!({ "id": "resp_1", "object": "response", "created_at": 1, "model": "m",
        "status": "completed", "output": [item],
        "usage": { "input_tokens": 9, "output_tokens": 9, "total_tokens": 18 } });
    let content = json!({ "role": "model", "parts": [{ "text": TEXT }] });
    let candidate = json!({ "index": 0, "content": content, "finishReason": "STOP" });
    let generated = json!({ "candidates": [candidate],
        "usageMetadata": { "promptTokenCount": 9, "candidatesTokenCount": 9, "totalTokenCount": 18 } });
    [
        (MESSAGES_STREAM, message),
        (CHAT_STREAM, completion),
        (RESPONSES_STREAM, response),
        (GENERATE_STREAM, generated),
    ]
}

pub(super) fn rows() -> Vec<Row> {
    use ContentEncoding::{Br, Deflate, Gzip};
    let mut rows = Vec::new();
    for (asked, encoding) in [
        (MESSAGES, Gzip),
        (MESSAGES_STREAM, Gzip),
        (CHAT, Br),
        (CHAT_STREAM, Br),
        (RESPONSES, Deflate),
        (RESPONSES_STREAM, Gzip),
        (EMBEDDINGS, Gzip),
    ] {
        rows.push(
            row("The answer is compressed, unasked", asked)
                .keys([(compressed(encoding), Sound), (sound(), Sound)]),
        );
    }
    let every = Duration::from_millis(100);
    let times = Some(5);
    for asked in [
        chat_of(DEEPSEEK),
        chat_stream_of(DEEPSEEK),
        chat_stream_of(OPENROUTER),
        MESSAGES,
        MESSAGES_STREAM,
    ] {
        let words = if asked.is_streamed {
            "comments, then the stream"
        } else {
            "blank lines, then the answer"
        };
        rows.push(
            row("The provider keeps the connection alive first", asked).keys([
                (fault(words, Fault::KeepAlive { times, every }), Sound),
                (sound(), Sound),
            ]),
        );
    }
    let times = None;
    rows.push(
        row(
            "The provider keeps the connection alive and never answers",
            chat_of(DEEPSEEK),
        )
        .cured(
            fault("blank lines without end", Fault::KeepAlive { times, every }),
            Scored(95),
        ),
    );
    let delay = Duration::from_millis(1);
    for asked in [MESSAGES, MESSAGES_STREAM, CHAT_STREAM, RESPONSES_STREAM] {
        rows.push(
            row("The answer comes in pieces of seven bytes", asked).keys([
                (
                    fault("a trickle", Fault::Trickle { bytes: 7, delay }),
                    Sound,
                ),
                (sound(), Sound),
            ]),
        );
    }
    for asked in [MESSAGES_STREAM, CHAT_STREAM] {
        let delay = Duration::from_millis(100);
        rows.push(row("Each event is slow, and none too slow", asked).keys([
            (fault("slow events", Fault::SlowEvents { delay }), Sound),
            (sound(), Sound),
        ]));
    }
    let delay = Duration::from_millis(250);
    rows.push(row("The answer begins late, and not too late", CHAT).keys([
        (fault("a slow head", Fault::SlowHead { delay }), Sound),
        (sound(), Sound),
    ]));
    for (asked, body) in whole_answers() {
        let meets = verbatim(
            "200, one JSON object",
            200,
            "application/json",
            &body.to_string(),
        );
        rows.push(
            row("A stream is asked for, and the answer comes whole", asked)
                .keys([(meets, Sound), (sound(), Sound)]),
        );
    }
    rows.push(row("The answer is called HTML", MESSAGES).keys([
        (
            fault("`content-type: text/html`", Fault::WrongContentType),
            Sound,
        ),
        (sound(), Sound),
    ]));
    rows
}
