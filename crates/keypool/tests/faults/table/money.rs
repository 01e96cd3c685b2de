//! Accounts that run out of money or reach a limit of spending.

use serde_json::json;

use crate::meets::{Meets, anthropic, anthropic_code, openai, openrouter, sound};
use crate::row::Client::{Ours, Theirs};
use crate::row::Leaves::{Limited, Out, OutWithGroup, Sound};
use crate::row::{
    Asked, CHAT, CHAT_STREAM, DEEPSEEK, Group, MESSAGES, MESSAGES_STREAM, MISTRAL, OPENROUTER,
    RESPONSES, Row, TOGETHER, chat_of,
};

fn row(trouble: &'static str, asked: Asked) -> Row {
    Row::new(Group::Money, trouble, asked)
}

fn credit_too_low() -> Meets {
    let message = "Your credit balance is too low to access the Anthropic API. Please go to Plans & \
                   Billing to upgrade or purchase credits.";
    anthropic(400, "invalid_request_error", message).quoting("Your credit balance is too low")
}

fn insufficient_quota() -> Meets {
    let message = "You exceeded your current quota, please check your plan and billing details.";
    openai(
        429,
        "insufficient_quota",
        Some("insufficient_quota"),
        message,
    )
}

pub(super) fn rows() -> Vec<Row> {
    let mut rows = accounts_without_money();
    rows.extend(limits_of_spending());
    rows.extend(of_openrouter());
    rows
}

/// Whoever pays has to pay again.
fn accounts_without_money() -> Vec<Row> {
    let failed = "Your payment could not be processed.";
    let limit = "Billing hard limit has been reached";
    let balance = "Insufficient Balance";
    let mut rows = Vec::new();
    for (asked, meets) in [
        (MESSAGES, credit_too_low()),
        (MESSAGES_STREAM, credit_too_low()),
        (MESSAGES, anthropic(402, "billing_error", failed)),
        (CHAT, insufficient_quota()),
        (CHAT_STREAM, insufficient_quota()),
        (RESPONSES, insufficient_quota()),
        (
            CHAT,
            openai(
                429,
                "insufficient_quota",
                Some("credit_balance_exhausted"),
                failed,
            ),
        ),
        (
            CHAT,
            openai(
                400,
                "invalid_request_error",
                Some("billing_hard_limit_reached"),
                limit,
            ),
        ),
        (
            chat_of(DEEPSEEK),
            openai(402, "unknown_error", Some("invalid_request_error"), balance),
        ),
        (
            chat_of(MISTRAL),
            openai(402, "payment_required", None, "Payment required."),
        ),
        (
            chat_of(TOGETHER),
            openai(402, "credit_limit", None, "Credit limit exceeded."),
        ),
    ] {
        rows.push(row("The account is out of credit", asked).cured(meets, Out("out_of_credit")));
    }
    for (asked, meets) in [(MESSAGES, credit_too_low()), (CHAT, insufficient_quota())] {
        rows.push(
            row("Every account is out of credit", asked)
                .keys([
                    (meets.clone(), Out("out_of_credit")),
                    (meets, Out("out_of_credit")),
                ])
                .gets(Ours(503, "all_keys_unavailable"))
                .do_not_retry()
                .attempts(2),
        );
    }
    rows.push(
        row("The account of two keys is out of credit", MESSAGES)
            .set_of_provider(
                "both keys in one quota group",
                "/quotaGroups",
                json!({ "org": {} }),
            )
            .set_of_provider("", "/keys/0/quotaGroup", "org")
            .set_of_provider("", "/keys/1/quotaGroup", "org")
            .keys([
                (credit_too_low(), Out("out_of_credit")),
                (sound(), OutWithGroup),
            ])
            .gets(Ours(503, "all_keys_unavailable"))
            .do_not_retry(),
    );
    rows
}

/// Limits that somebody set, or that come with the account's tier.
fn limits_of_spending() -> Vec<Row> {
    let own = "You have reached your specified API usage limits. You will regain access on \
               2099-03-01 at 00:00 UTC.";
    let workspace = "You have reached your specified workspace API usage limits.";
    let tier = "Your organization has reached its monthly spend limit.";
    let linked = "The linked organization has reached its spend limit.";
    let organisation = "The organization's monthly spend limit is reached.";
    let mut rows = Vec::new();
    for (asked, trouble, meets, leaves) in [
        (
            MESSAGES,
            "The spend limit that the operator set is reached",
            anthropic(400, "invalid_request_error", own)
                .quoting("You have reached your specified API usage limits"),
            Out("spend_limit"),
        ),
        (
            MESSAGES,
            "The spend limit of the workspace is reached",
            anthropic(400, "invalid_request_error", workspace).quoting(workspace),
            Out("spend_limit"),
        ),
        (
            MESSAGES,
            "The monthly limit of the account's tier is reached",
            anthropic_code(
                429,
                "rate_limit_error",
                "enforced_spend_limit_reached",
                tier,
            ),
            Out("monthly_spend_limit"),
        ),
        (
            MESSAGES,
            "The spend limit of the contract is reached",
            anthropic_code(
                429,
                "rate_limit_error",
                "contract_spend_limit_reached",
                tier,
            ),
            Out("contract_spend_limit"),
        ),
        (
            CHAT,
            "The organisation's spend limit is reached",
            openai(
                429,
                "insufficient_quota",
                Some("organization_spend_limit_exceeded"),
                organisation,
            ),
            Out("monthly_spend_limit"),
        ),
        (
            RESPONSES,
            "The organisation's usage limit is reached",
            openai(
                429,
                "insufficient_quota",
                Some("organization_usage_limit_exceeded"),
                organisation,
            ),
            Out("monthly_spend_limit"),
        ),
        (
            CHAT,
            "The project's spend limit is reached",
            openai(
                429,
                "insufficient_quota",
                Some("project_spend_limit_exceeded"),
                organisation,
            ),
            Out("project_spend_limit"),
        ),
    ] {
        rows.push(row(trouble, asked).cured(meets, leaves));
    }
    rows.push(
        row(
            "The account of the client's own customer is out of credit",
            MESSAGES,
        )
        .keys([
            (
                anthropic_code(
                    402,
                    "billing_error",
                    "linked_organization_spend_limit_reached",
                    linked,
                ),
                Sound,
            ),
            (sound(), Sound),
        ])
        .gets(Theirs(402, "linked_organization_spend_limit_reached"))
        .do_not_retry(),
    );
    rows
}

/// OpenRouter's 402 means four things.
fn of_openrouter() -> Vec<Row> {
    let chat = chat_of(OPENROUTER);
    let refusal = |source: &str, message: &str| {
        openrouter(402, source, message, &json!({ "limit_source": source }))
    };
    let in_flight = "In-flight requests exceed the account's balance. Please retry shortly.";
    let too_heavy = "This request requires more credits than the key may spend at once.";
    let credits = "Insufficient credits. Add more using https://openrouter.ai/settings/credits";
    vec![
        row("What is in flight may cost more than the account has", chat).cured(
            refusal("openrouter_in_flight_budget", in_flight).header("retry-after", "40"),
            Limited(38..=40),
        ),
        row("The request alone may cost more than the budget", chat)
            .cured(refusal("weight_exceeds_budget", too_heavy), Sound),
        row("The account is out of credit", chat)
            .cured(refusal("openrouter_credits", credits), Out("out_of_credit")),
    ]
}
