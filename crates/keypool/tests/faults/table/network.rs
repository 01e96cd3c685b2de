//! Connections that cannot be made, or break before an answer begins.

use keypool_sim::Fault;

use crate::meets::{Meets, fault, port, sound};
use crate::ports::Port;
use crate::row::Client::Ours;
use crate::row::Leaves::{Scored, Sound};
use crate::row::{
    Asked, CHAT, CHAT_STREAM, Group, MESSAGES, MESSAGES_STREAM, RESPONSES, RESPONSES_STREAM, Row,
};

fn row(trouble: &'static str, asked: Asked) -> Row {
    Row::new(Group::Network, trouble, asked)
}

fn reset() -> Meets {
    fault("connection reset", Fault::ResetBeforeHead)
}

pub(super) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for (trouble, meets) in [
        ("The connection is refused", port("refused", Port::Closed)),
        (
            "The connection is taken, and nothing is ever said",
            port("silence", Port::Silent),
        ),
        (
            "The request is taken and never answered",
            fault("no answer", Fault::Hang),
        ),
        ("The connection is reset before the answer", reset()),
        (
            "The connection is closed before the answer",
            fault("connection closed", Fault::CloseBeforeHead),
        ),
        (
            "The connection is closed within the answer's head",
            fault("half a head", Fault::HalfHead),
        ),
        (
            "The answer's head stops half-way",
            port("half a head, then silence", Port::HalfHead),
        ),
        (
            "What answers is no HTTP server",
            fault("the greeting of another protocol", Fault::GarbageHead),
        ),
    ] {
        for asked in [MESSAGES, CHAT] {
            rows.push(row(trouble, asked).cured(meets.clone(), Scored(95)));
        }
    }
    for asked in [MESSAGES_STREAM, CHAT_STREAM, RESPONSES, RESPONSES_STREAM] {
        rows.push(
            row("The connection is reset before the answer", asked).cured(reset(), Scored(95)),
        );
    }
    rows.push(row("The server speaks no TLS", CHAT).cured(port("no TLS", Port::NoTls), Scored(95)));
    for asked in [MESSAGES, CHAT] {
        rows.push(
            row("The only connection is reset once", asked)
                .keys([(reset().once(), Scored(95))])
                .attempts(2),
        );
    }
    rows.extend(bounded_replays());
    rows
}

/// The provider may have run a request whose answer never came.
fn bounded_replays() -> Vec<Row> {
    let never = |row: Row| row.set("`retry.maxReplays` 0", "/ApiKeyPool/retry/maxReplays", 0);
    vec![
        never(row(
            "The connection is reset, and nothing may run twice",
            CHAT,
        ))
        .keys([(reset(), Scored(95)), (sound(), Sound)])
        .gets(Ours(502, "upstream_broken")),
        never(row(
            "The connection is refused, and nothing may run twice",
            CHAT,
        ))
        .cured(port("refused", Port::Closed), Scored(95)),
    ]
}
