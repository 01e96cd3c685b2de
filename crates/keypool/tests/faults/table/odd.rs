//! Answers that are right and complete, and yet not as they should be.

use std::time::Duration;

use keypool_sim::{ContentEncoding, Fault};

use crate::meets::{Meets, fault, sound};
use crate::row::Leaves::{Scored, Sound};
use crate::row::{
    Asked, CHAT, CHAT_STREAM, DEEPSEEK, EMBEDDINGS, Group, MESSAGES, MESSAGES_STREAM, OPENROUTER,
    RESPONSES, RESPONSES_STREAM, Row, chat_of, chat_stream_of,
};

fn row(trouble: &'static str, asked: Asked) -> Row {
    Row::new(Group::Odd, trouble, asked)
}

fn compressed(encoding: ContentEncoding) -> Meets {
    let words = format!("`content-encoding: {}`", encoding.name());
    fault(&words, Fault::Compressed { encoding })
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
    rows.push(row("The answer is called HTML", MESSAGES).keys([
        (
            fault("`content-type: text/html`", Fault::WrongContentType),
            Sound,
        ),
        (sound(), Sound),
    ]));
    rows
}
