//! Limits on requests and tokens.

use keypool_sim::Fault;
use serde_json::json;

use crate::meets::{Meets, anthropic, anthropic_code, fault, openai, sound};
use crate::row::Client::{Ours, Theirs};
use crate::row::Leaves::{Limited, Sound};
use crate::row::{
    AZURE, Asked, CHAT, CHAT_STREAM, DEEPSEEK, EMBEDDINGS, GROQ, Group, MESSAGES, MESSAGES_STREAM,
    MISTRAL, RESPONSES, Row, TOGETHER, chat_of,
};

fn row(trouble: &'static str, asked: Asked) -> Row {
    Row::new(Group::Limits, trouble, asked)
}

fn limited(seconds: u64) -> Meets {
    fault(
        &format!("429, `retry-after: {seconds}`"),
        Fault::rate_limited(seconds),
    )
}

fn exceeded(message: &str) -> Meets {
    openai(429, "requests", Some("rate_limit_exceeded"), message)
}

pub(super) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for asked in [
        MESSAGES,
        MESSAGES_STREAM,
        CHAT,
        CHAT_STREAM,
        RESPONSES,
        EMBEDDINGS,
    ] {
        rows.push(row("The key is over a limit", asked).cured(limited(40), Limited(38..=40)));
    }
    for asked in [MESSAGES, CHAT] {
        rows.push(
            row(
                "The only key is over a limit for longer than requests wait",
                asked,
            )
            .keys([(limited(40), Limited(38..=40))])
            .gets(Ours(429, "no_room"))
            .retry_after(38..=40),
        );
        rows.push(
            row("The only key is over a limit for a moment", asked)
                .keys([(limited(1).once(), Sound)])
                .attempts(2),
        );
        rows.push(
            row("Every key is over a limit", asked)
                .keys([
                    (limited(50), Limited(48..=50)),
                    (limited(40), Limited(38..=40)),
                ])
                .gets(Ours(429, "no_room"))
                .retry_after(38..=40)
                .attempts(2),
        );
        rows.push(
            row("Every key is over a limit for minutes", asked)
                .keys([
                    (limited(900), Limited(898..=900)),
                    (limited(600), Limited(598..=600)),
                ])
                .gets(Ours(429, "no_room"))
                .retry_after(598..=600)
                .do_not_retry()
                .attempts(2),
        );
    }
    rows.push(
        row(
            "The only key is over a limit, and requests do not wait",
            CHAT,
        )
        .set("`queue` off", "/ApiKeyPool/queue/enabled", false)
        .keys([(limited(2), Limited(0..=2))])
        .gets(Ours(429, "no_room"))
        .retry_after(1..=2),
    );
    rows.extend(told_in_many_ways());
    rows.extend(shared_and_too_large());
    rows
}

/// When there will be room, in the notations of the providers.
fn told_in_many_ways() -> Vec<Row> {
    let slow = "Rate limit reached for requests.";
    let dynamic = openai(429, "rate_limit", Some("dynamic_request_limited"), slow)
        .header("retry-after", "40");
    let growth = "This request would exceed your organization's maximum usage increase rate.";
    let high_demand = "The system is currently experiencing high demand and cannot process your \
                       request. Please retry.";
    let used = "Rate limit reached for gpt-4o-mini in organization org-1 on requests per min (RPM): \
                Limit 3, Used 3, Requested 1. Please try again in 40s.";
    let mut rows: Vec<Row> = [
        (CHAT, exceeded(used).quoting("Please try again in 40s")),
        (
            CHAT,
            exceeded(slow)
                .header("x-ratelimit-remaining-requests", "0")
                .header("x-ratelimit-reset-requests", "40s"),
        ),
        (
            chat_of(AZURE),
            exceeded(slow).header("retry-after-ms", "40000"),
        ),
        (
            chat_of(AZURE),
            openai(429, "", Some("429"), high_demand)
                .quoting("experiencing high demand")
                .header("retry-after-ms", "40000"),
        ),
        (chat_of(GROQ), exceeded(slow).header("retry-after", "39.5")),
    ]
    .into_iter()
    .map(|(asked, meets)| {
        row("The key is over a limit, told otherwise", asked).cured(meets, Limited(38..=40))
    })
    .collect();
    for (asked, meets) in [
        (
            MESSAGES,
            anthropic_code(429, "rate_limit_error", "ramp_limit_exceeded", growth)
                .header("retry-after", "40"),
        ),
        (
            CHAT,
            openai(429, "requests", Some("slow_down"), slow).header("retry-after", "40"),
        ),
        (chat_of(TOGETHER), dynamic),
    ] {
        rows.push(row("The key's traffic grows too fast", asked).cured(meets, Limited(38..=40)));
    }
    for (asked, meets) in [
        (
            MESSAGES,
            anthropic(429, "rate_limit_error", "Rate limited."),
        ),
        (
            MESSAGES,
            anthropic(429, "rate_limit_error", "Rate limited.").header("retry-after", "0"),
        ),
        (CHAT, exceeded("Rate limited.")),
    ] {
        rows.push(
            row(
                "The key is over a limit, and nobody says for how long",
                asked,
            )
            .cured(meets, Limited(58..=60)),
        );
    }
    rows.push(
        row(
            "The only key has too many requests in flight",
            chat_of(DEEPSEEK),
        )
        .keys([(
            openai(429, "rate_limit_reached", None, "Too many requests.").once(),
            Sound,
        )])
        .attempts(2),
    );
    rows.push(
        row(
            "The only key is over its limit per second",
            chat_of(MISTRAL),
        )
        .keys([(
            openai(
                429,
                "rate_limited",
                Some("1300"),
                "Requests rate limit exceeded",
            )
            .once(),
            Sound,
        )])
        .attempts(2),
    );
    rows
}

/// Limits of an organisation, and requests that no wait will ever fit.
fn shared_and_too_large() -> Vec<Row> {
    let large = "Request too large for gpt-4o-mini in organization org-1 on tokens per min (TPM): \
                 Limit 30000, Requested 40000.";
    let large = || {
        openai(429, "tokens", Some("rate_limit_exceeded"), large)
            .quoting("Limit 30000, Requested 40000")
    };
    let mut rows = Vec::new();
    for asked in [MESSAGES, CHAT] {
        rows.push(
            row("The organisation of both keys is over a limit", asked)
                .set_of_provider(
                    "both keys in one quota group",
                    "/quotaGroups",
                    json!({ "org": {} }),
                )
                .set_of_provider("", "/keys/0/quotaGroup", "org")
                .set_of_provider("", "/keys/1/quotaGroup", "org")
                .keys([(limited(40), Limited(38..=40)), (sound(), Limited(38..=40))])
                .gets(Ours(429, "no_room"))
                .retry_after(38..=40),
        );
    }
    rows.push(row("The request is larger than the key's whole limit", CHAT).cured(large(), Sound));
    rows.push(
        row("The request is larger than any key's whole limit", CHAT)
            .keys([(large(), Sound), (large(), Sound)])
            .gets(Theirs(429, "rate_limit_exceeded"))
            .attempts(2),
    );
    rows
}
