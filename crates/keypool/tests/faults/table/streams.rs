//! Streams that fail: before their first content another key serves the request; after it the client is told
//! in its dialect, and never by an end that looks like a complete answer.

use keypool_sim::Fault;

use crate::meets::{Meets, fault, sound};
use crate::row::Client::{Partial, Unmarked};
use crate::row::Leaves::{Scored, Sound};
use crate::row::{Asked, CHAT_STREAM, Group, MESSAGES_STREAM, RESPONSES_STREAM, Row};

const ALL: [Asked; 3] = [MESSAGES_STREAM, CHAT_STREAM, RESPONSES_STREAM];

/// Each API sends some text before it has sent so many events.
const SOME_TEXT: u64 = 6;

fn row(trouble: &'static str, asked: Asked) -> Row {
    Row::new(Group::Streams, trouble, asked)
}

fn error_after(after_events: u64, code: Option<&str>) -> Fault {
    Fault::StreamError {
        after_events,
        code: code.map(str::to_owned),
    }
}

pub(super) fn rows() -> Vec<Row> {
    let mut rows = before_the_first_content();
    rows.extend(after_some_content());
    rows
}

fn before_the_first_content() -> Vec<Row> {
    let mut rows = Vec::new();
    let mut cured = |asked, trouble, meets: Meets, leaves| {
        rows.push(row(trouble, asked).cured(meets, leaves));
    };
    for asked in ALL {
        cured(
            asked,
            "The first event says that the provider is overloaded",
            fault("200, error event", error_after(0, None)),
            Sound,
        );
        let failed = match asked {
            MESSAGES_STREAM => "api_error",
            _ => "server_error",
        };
        cured(
            asked,
            "The first event says that the provider failed",
            fault(
                &format!("200, error event `{failed}`"),
                error_after(0, Some(failed)),
            ),
            Scored(95),
        );
        cured(
            asked,
            "An error comes before the first text",
            fault("200, one event, error event", error_after(1, None)),
            Sound,
        );
        cured(
            asked,
            "The stream ends before its first event",
            fault(
                "200, no event, the end",
                Fault::TruncateStream { after_events: 0 },
            ),
            Scored(95),
        );
    }
    cured(
        MESSAGES_STREAM,
        "The stream stops before its first event",
        fault("200, silence", Fault::StallStream { after_events: 0 }),
        Scored(95),
    );
    cured(
        CHAT_STREAM,
        "The stream breaks before its first text",
        fault(
            "200, one event, reset",
            Fault::ResetMidStream { after_events: 1 },
        ),
        Scored(95),
    );
    cured(
        RESPONSES_STREAM,
        "An endless line comes before the first event",
        fault(
            "200, a line without end",
            Fault::EndlessLine { after_events: 0 },
        ),
        Scored(95),
    );
    rows
}

fn after_some_content() -> Vec<Row> {
    let after_events = SOME_TEXT;
    let mut rows = Vec::new();
    for asked in ALL {
        let overloaded = match asked {
            MESSAGES_STREAM => "overloaded_error",
            _ => "server_is_overloaded",
        };
        for (trouble, words, how, code, leaves) in [
            (
                "The provider gives up after some text",
                "200, text, error event",
                error_after(after_events, None),
                overloaded,
                Sound,
            ),
            (
                "The connection is reset after some text",
                "200, text, reset",
                Fault::ResetMidStream { after_events },
                "upstream_reset",
                Scored(95),
            ),
            (
                "The connection is closed after some text",
                "200, text, closed",
                Fault::CloseMidStream { after_events },
                "upstream_reset",
                Scored(95),
            ),
            (
                "The stream ends after some text as if it were complete",
                "200, text, the end",
                Fault::TruncateStream { after_events },
                "upstream_cut",
                Scored(95),
            ),
            (
                "The stream stops after some text",
                "200, text, silence",
                Fault::StallStream { after_events },
                "upstream_stalled",
                Scored(95),
            ),
            (
                "Garbage comes after some text",
                "200, text, garbage, more",
                Fault::GarbageEvent { after_events },
                "upstream_garbage",
                Scored(95),
            ),
            (
                "An endless line comes after some text",
                "200, text, a line without end",
                Fault::EndlessLine { after_events },
                "upstream_garbage",
                Scored(95),
            ),
        ] {
            rows.push(
                row(trouble, asked)
                    .keys([(fault(words, how), leaves), (sound(), Sound)])
                    .gets(Partial(code)),
            );
        }
    }
    for asked in [MESSAGES_STREAM, RESPONSES_STREAM] {
        rows.push(
            row("The stream lacks nothing but its end marker", asked)
                .keys([
                    (
                        fault("200, all text, the end", Fault::NoEndMarker),
                        Scored(95),
                    ),
                    (sound(), Sound),
                ])
                .gets(Partial("upstream_cut")),
        );
    }
    // Its last chunk has said why it is finished.
    rows.push(
        row("The stream lacks nothing but its end marker", CHAT_STREAM)
            .keys([
                (fault("200, all text, the end", Fault::NoEndMarker), Sound),
                (sound(), Sound),
            ])
            .gets(Unmarked),
    );
    rows
}
