//! How keys come back.

use keypool_sim::Fault;
use serde_json::{Value, json};

use crate::meets::{Meets, anthropic, fault, openai, sound};
use crate::row::Client::Ours;
use crate::row::Leaves::{Degraded, Out, Scored, Sound};
use crate::row::{Asked, CHAT, Group, MESSAGES, Row, Step};
use crate::run::secret;

fn row(trouble: &'static str, asked: Asked) -> Row {
    Row::new(Group::Recovery, trouble, asked)
}

fn check() -> Step {
    Step::Post("/api/apikeys/health-check", json!({}))
}

pub(super) fn rows() -> Vec<Row> {
    let revoked = || fault("401, everywhere", Fault::Unauthorized);
    let mut rows = Vec::new();
    for asked in [MESSAGES, CHAT] {
        let named: Value = json!({ "provider": asked.vendor.name, "key": secret(asked, 1) });
        rows.push(
            row("The key was over a limit, and its time has come", asked)
                .keys([(limited(1), Sound), (sound(), Sound)])
                .after([Step::Ask(1), Step::Becomes(1, "healthy")]),
        );
        rows.push(
            row(
                "The key was revoked and works again when a check is forced",
                asked,
            )
            .keys([(revoked(), Scored(71))])
            .after([
                Step::Ask(1),
                Step::Becomes(1, "unavailable"),
                Step::Heal,
                check(),
                Step::Becomes(1, "healthy"),
            ]),
        );
        rows.push(
            row("The key is still revoked when a check is forced", asked)
                .keys([(revoked(), Out("invalid_key"))])
                .after([Step::Ask(1), Step::Becomes(1, "unavailable"), check()])
                .gets(Ours(503, "all_keys_unavailable"))
                .do_not_retry()
                .attempts(0),
        );
        rows.push(
            row(
                "The account was empty and pays again, and a check is forced",
                asked,
            )
            .keys([(empty(asked), Sound)])
            .after([
                Step::Ask(1),
                Step::Becomes(1, "unavailable"),
                Step::Heal,
                check(),
            ]),
        );
        rows.push(
            row("The account is still empty when a check is forced", asked)
                .keys([(empty(asked), Out("out_of_credit")), (sound(), Sound)])
                .after([Step::Ask(1), Step::Becomes(1, "unavailable"), check()])
                .attempts(2),
        );
        rows.push(
            row(
                "The key was revoked, restored, removed and added again",
                asked,
            )
            .keys([(revoked(), Sound)])
            .after([
                Step::Ask(1),
                Step::Becomes(1, "unavailable"),
                Step::Heal,
                Step::Post("/api/apikeys/remove", named.clone()),
                Step::Post("/api/apikeys/add", named),
            ]),
        );
        rows.push(
            row("The key failed seven times, and works again", asked)
                .keys([
                    (fault("500", Fault::status(500)).times(7), Degraded(66..=66)),
                    (sound(), Sound),
                ])
                .after([Step::Ask(7)]),
        );
        rows.push(
            row("The only key is refused once, though it is good", asked)
                .keys([(spurious(asked).once(), Sound)])
                .attempts(2),
        );
    }
    rows
}

fn limited(seconds: u64) -> Meets {
    fault(
        &format!("429, `retry-after: {seconds}`"),
        Fault::rate_limited(seconds),
    )
    .once()
}

fn empty(asked: Asked) -> Meets {
    match asked {
        MESSAGES => anthropic(402, "billing_error", "Your payment could not be processed."),
        _ => openai(
            429,
            "insufficient_quota",
            Some("insufficient_quota"),
            "You exceeded your current quota.",
        ),
    }
}

/// A 401 of an answer of a model; the list of models is answered.
fn spurious(asked: Asked) -> Meets {
    match asked {
        MESSAGES => anthropic(401, "authentication_error", "invalid x-api-key"),
        _ => openai(
            401,
            "invalid_request_error",
            Some("invalid_api_key"),
            "Incorrect API key provided: sk-proj-****.",
        ),
    }
}
