//! Trouble with every key: it is the provider's, so no key is blamed, the client gets the provider's last
//! words, and a breaker keeps further requests away.

use keypool_sim::{Fault, FaultWindow};
use serde_json::{Value, json};

use crate::meets::{Meets, What, anthropic, fault, port, sound};
use crate::ports::Port;
use crate::row::Client::{Ours, Theirs};
use crate::row::Leaves::{Degraded, Limited, Out, Sound};
use crate::row::{
    Asked, CHAT, CHAT_STREAM, Group, MESSAGES, MESSAGES_STREAM, RESPONSES, Row, Sends, Step,
};

/// Requests that all fail open the breaker when so many have ended.
const ENOUGH: u32 = 12;

fn row(trouble: &'static str, asked: Asked) -> Row {
    Row::new(Group::Outage, trouble, asked)
}

fn status(status: u16) -> Meets {
    fault(&status.to_string(), Fault::status(status))
}

pub(super) fn rows() -> Vec<Row> {
    let mut rows = every_key_alike();
    rows.extend(each_key_otherwise());
    rows.extend(with_a_breaker());
    rows
}

fn every_key_alike() -> Vec<Row> {
    let mut rows = Vec::new();
    for (asked, word) in [
        (MESSAGES, "api_error"),
        (MESSAGES_STREAM, "api_error"),
        (CHAT, "server_error"),
        (CHAT_STREAM, "server_error"),
        (RESPONSES, "server_error"),
    ] {
        rows.push(
            row("The provider fails with every key", asked)
                .keys([(status(500), Sound), (status(500), Sound)])
                .gets(Theirs(500, word))
                .attempts(6),
        );
    }
    for (asked, meets, told) in [
        (MESSAGES, status(529), (529, "overloaded_error")),
        (CHAT, status(503), (503, "server_is_overloaded")),
    ] {
        rows.push(
            row("The provider is overloaded for everybody", asked)
                .keys([(meets.clone(), Sound), (meets, Sound)])
                .gets(Theirs(told.0, told.1))
                .retry_after(1..=60)
                .attempts(6),
        );
    }
    rows.push(
        row("The provider fails with every key for a moment", CHAT)
            .keys([(status(500).once(), Sound), (status(500).once(), Sound)])
            .attempts(3),
    );
    rows.push(
        row("Every connection is refused", CHAT)
            .keys([
                (port("refused", Port::Closed), Sound),
                (port("refused", Port::Closed), Sound),
            ])
            .gets(Ours(502, "upstream_unreachable"))
            .attempts(6),
    );
    rows.push(
        row("Every connection is reset", MESSAGES)
            .keys([
                (fault("reset", Fault::ResetBeforeHead), Sound),
                (fault("reset", Fault::ResetBeforeHead), Sound),
            ])
            .gets(Ours(502, "upstream_broken"))
            .attempts(6),
    );
    for asked in [MESSAGES, CHAT] {
        rows.push(
            row("No key is answered in time", asked)
                .keys([
                    (fault("no answer", Fault::Hang), Sound),
                    (fault("no answer", Fault::Hang), Sound),
                ])
                .gets(Ours(504, "upstream_timeout"))
                .attempts_within(2..=6)
                .within(10),
        );
    }
    rows
}

fn each_key_otherwise() -> Vec<Row> {
    let limited = || fault("429, `retry-after: 40`", Fault::rate_limited(40));
    let revoked = || fault("401, everywhere", Fault::Unauthorized);
    let long = anthropic(
        400,
        "invalid_request_error",
        "prompt is too long: 214315 tokens > 200000 maximum",
    )
    .quoting("prompt is too long");
    vec![
        row("One key is over its limit, the other was revoked", MESSAGES)
            .keys([
                (limited(), Limited(38..=40)),
                (revoked(), Out("invalid_key")),
            ])
            .gets(Ours(429, "no_room"))
            .retry_after(38..=40)
            .attempts(2),
        row("One key was revoked, the other is over its limit", CHAT)
            .keys([
                (revoked(), Out("invalid_key")),
                (limited(), Limited(38..=40)),
            ])
            .gets(Ours(429, "no_room"))
            .retry_after(38..=40)
            .attempts(2),
        row("One key was revoked, the provider is overloaded", MESSAGES)
            .keys([(revoked(), Out("invalid_key")), (status(529), Sound)])
            .gets(Theirs(529, "overloaded_error"))
            .retry_after(1..=60)
            .attempts_within(2..=4),
        row(
            "The provider fails, and then finds the request wrong",
            MESSAGES,
        )
        .keys([(status(500), Sound), (long, Sound)])
        .gets(Theirs(400, "invalid_request_error"))
        .do_not_retry()
        .attempts(2),
    ]
}

fn with_a_breaker() -> Vec<Row> {
    let failing = || [(status(500), Sound), (status(500), Sound)];
    let of_provider = |asked: Asked| json!({ "provider": asked.vendor.name });
    let mirror = |row: Row, target: &str| -> Row {
        let provider = json!({
            "protocol": "anthropic",
            "baseUrl": "$SIM",
            "keys": [{ "key": crate::run::spare_secret(row.asked) }],
        });
        row.set(
            "an alias with a second target",
            "/Aliases/big",
            json!([target, "mirror,claude-x"]),
        )
        .set("", "/ApiKeyPool/providers/mirror", provider)
        .sends(Sends::With("model", "big".into()))
    };
    let mut rows = Vec::new();
    for asked in [MESSAGES, CHAT] {
        rows.push(
            row("Nearly all requests of the last seconds failed", asked)
                .keys(failing())
                .after([Step::AskAtOnce(ENOUGH)])
                .gets(Ours(503, "breaker_open"))
                .retry_after(1..=5)
                .attempts(0),
        );
        rows.push(
            row("They failed, and an operator resets the breaker", asked)
                .keys(failing())
                .after([
                    Step::AskAtOnce(ENOUGH),
                    Step::Heal,
                    Step::Post("/api/circuit-breaker/reset", of_provider(asked)),
                ]),
        );
        rows.push(
            row("An operator opens the breaker", asked)
                .keys([(sound(), Sound)])
                .after([Step::Post(
                    "/api/circuit-breaker/force-open",
                    of_provider(asked),
                )])
                .gets(Ours(503, "breaker_open"))
                .do_not_retry()
                .attempts(0),
        );
        rows.push(
            row(
                "The trouble has passed, and the breaker lets one request try",
                asked,
            )
            .keys(failing())
            .after([
                Step::AskAtOnce(ENOUGH),
                Step::Heal,
                Step::Breaker("half_open"),
            ]),
        );
        rows.push(
            row("One key fails all the time, and the other does not", asked)
                .keys([(status(500), Degraded(50..=60)), (sound(), Sound)])
                .after([Step::Ask(8)])
                .attempts_within(1..=2),
        );
    }
    let of_the_model = FaultWindow::from(Fault::status(500)).for_models(&["claude-3-*"]);
    let failing_model = || Meets {
        words: "500 for one model".to_owned(),
        what: What::Fault(of_the_model.clone()),
    };
    rows.push(
        row(
            "They failed for one model, and another is asked for",
            MESSAGES,
        )
        .keys([(failing_model(), Sound), (failing_model(), Sound)])
        .after([Step::AskAtOnce(ENOUGH)])
        .sends(Sends::With("model", Value::from("anthropic,claude-other"))),
    );
    rows.push(
        mirror(
            row("They failed, and there is a fallback", MESSAGES),
            "anthropic,claude-y",
        )
        .keys(failing())
        .after([Step::AskAtOnce(ENOUGH)]),
    );
    rows
}
