//! The table of error meanings. First match wins, so the specific stands before the general.
//!
//! A row's first line says when it applies, the second what follows. The mark at its end tells
//! where it was read: V in the provider's own source, S in a secondary one, NV not verified.
//! Sections are those of the notes on providers.

use super::rule::{KeyRule, Row, Sign, Status, Until, Who};
use super::{RequestVerdict, Scope};
use crate::dialect::Dialect;
use crate::provider::ProviderKind;

use KeyRule::{
    Blameless, Fault, Invalid, ModelDenied, OutOfCredit, Overloaded, RateLimited, Suspect,
};
use RequestVerdict::{Client, NextKey, SameKeyOnce};
use Scope::{Group, GroupModel, Key};
use Sign::{AsksMoreThanLimit, Code, CodePart, NoWaitStated, Says, SaysBoth, Starts, Unreadable};
use Status::{Any, Either, Is, Range};
use Until::{NextMonth, PacificMidnight, StatedElseNextMonth, Told, ToldElseSecond, Unknown};
use Who::{Anyone, Only, Speaker};

const ANTHROPIC: Who = Speaker(Dialect::Anthropic);
const OPENAI: Who = Speaker(Dialect::OpenAi);
const GEMINI: Who = Speaker(Dialect::Gemini);
const OPENROUTER: Who = Only(ProviderKind::OpenRouter);

/// Words that make a 403 speak of the key or its account, not of a resource.
const KEY_OR_ACCOUNT: &[&str] = &["api key", "api_key", "organization", "account", "workspace"];
const DEAD: &[&str] = &[
    "disabled",
    "deactivated",
    "revoked",
    "expired",
    "suspended",
    "terminated",
    "blocked",
    "leaked",
    "invalid",
    "banned",
];

/// Anthropic's spend limit set by the operator: only the words tell it from a client's mistake.
const SPEND_LIMIT: &[&str] = &[
    "you have reached your specified api usage limits",
    "you have reached your specified workspace api usage limits",
];
/// The whole rate is "dynamic": it rises with steady use.
const DYNAMIC_LIMIT: &[&str] = &["dynamic_request_limited", "dynamic_token_limited"];
const LINKED_ORGANIZATION: &[&str] = &[
    "linked_organization_spend_limit_reached",
    "linked_organization_billing_unavailable",
];
const MISCONFIGURED: &[&str] = &["cmek_key_disabled", "claude_code_key_creator_not_member"];
const PLACES: &[&str] = &["country", "region", "territory"];
const ORGANIZATION_LIMIT: &[&str] = &[
    "organization_spend_limit_exceeded",
    "organization_usage_limit_exceeded",
];
const NO_MONEY: &[&str] = &[
    "insufficient_quota",
    "credit_balance_exhausted",
    "billing_hard_limit_reached",
];
const OVERLOADED: &[&str] = &[
    "overloaded_error",
    "server_is_overloaded",
    "provider_overloaded",
];

/// What is left when no row matches: a status nobody documented is shown to the client.
pub(super) const ELSE: Row = Row::new(
    Anyone,
    Any,
    Sign::None,
    Blameless,
    Client,
    "unexpected_answer",
);

/// All rules, in order.
#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    // OpenRouter, §4.4
    Row::new(OPENROUTER, Is(402), Code(&["openrouter_in_flight_budget"]),
        RateLimited(Group, Told), NextKey, "in_flight_budget"), // V
    Row::new(OPENROUTER, Is(402), Code(&["weight_exceeds_budget"]),
        Blameless, NextKey, "request_exceeds_budget"), // V
    Row::new(OPENROUTER, Either(402, 403), Code(&["openrouter_key_limit"]),
        OutOfCredit(Key, Told), NextKey, "key_spend_limit"), // S
    Row::new(OPENROUTER, Is(403), Says(&["moderation", "flagged", "guardrail"]),
        Blameless, Client, "content_refused"), // V
    // Others with statuses or codes of their own, §4.4
    Row::new(Only(ProviderKind::Groq), Is(498), Sign::None,
        Overloaded, NextKey, "overloaded"), // V
    Row::new(Only(ProviderKind::Mistral), Is(429), NoWaitStated,
        RateLimited(GroupModel, ToldElseSecond), NextKey, "rate_limited"), // V: per second
    Row::new(Only(ProviderKind::Together), Is(429), CodePart(DYNAMIC_LIMIT),
        RateLimited(GroupModel, Told), NextKey, "dynamic_limit").on_growth(), // V: T-rl
    Row::new(Only(ProviderKind::Together), Is(503), Sign::None,
        Overloaded, NextKey, "overloaded"), // V
    Row::new(Only(ProviderKind::Xai), Is(400), Says(&["incorrect api key", "invalid api key"]),
        Invalid, NextKey, "invalid_key"), // NV

    // Gemini, §4.3
    Row::new(GEMINI, Is(400), Code(&["API_KEY_INVALID", "API_KEY_EXPIRED"]),
        Invalid, NextKey, "invalid_key"), // S
    Row::new(GEMINI, Is(400), Says(&["api key not valid", "api key expired"]),
        Invalid, NextKey, "invalid_key"), // S
    Row::new(GEMINI, Is(400), Code(&["FAILED_PRECONDITION"]),
        Invalid, NextKey, "billing_or_region"), // S
    Row::new(GEMINI, Is(403), Says(&["model"]),
        ModelDenied, NextKey, "model_denied"), // S
    Row::new(GEMINI, Is(403), Sign::None,
        Invalid, NextKey, "invalid_key"), // S
    Row::new(GEMINI, Is(429), Says(&["prepayment credits"]),
        OutOfCredit(Group, Unknown), NextKey, "out_of_credit"), // S
    Row::new(GEMINI, Is(429), Says(&["limit: 0,", "limit: 0\n"]),
        ModelDenied, NextKey, "model_denied"), // V: not offered to this tier
    Row::new(GEMINI, Is(429), CodePart(&["PerDay"]),
        RateLimited(GroupModel, PacificMidnight), NextKey, "daily_limit"), // V; not retryDelay

    // Anthropic, §4.1
    Row::new(ANTHROPIC, Is(400), Starts(SPEND_LIMIT),
        RateLimited(Group, StatedElseNextMonth), NextKey, "spend_limit"), // V
    Row::new(Anyone, Either(400, 402), Says(&["credit balance is too low"]),
        OutOfCredit(Group, Unknown), NextKey, "out_of_credit"), // S
    Row::new(ANTHROPIC, Is(400), Code(&["organization_on_hold"]),
        Invalid, NextKey, "organization_on_hold"), // V
    Row::new(ANTHROPIC, Either(400, 403), Says(&["organization has been disabled"]),
        Invalid, NextKey, "organization_disabled"), // V: the case is named, the words NV
    Row::new(ANTHROPIC, Any, Code(MISCONFIGURED),
        Invalid, NextKey, "key_misconfigured"), // V
    Row::new(ANTHROPIC, Is(401), Says(&["cors"]),
        Blameless, NextKey, "cors_refused"), // V: not a word about the key
    Row::new(ANTHROPIC, Is(402), Code(LINKED_ORGANIZATION),
        Blameless, Client, "linked_organization"), // V
    Row::new(ANTHROPIC, Is(403), SaysBoth(KEY_OR_ACCOUNT, DEAD),
        Invalid, NextKey, "invalid_key"), // contract §4
    Row::new(ANTHROPIC, Is(403), Code(&["permission_error"]),
        ModelDenied, NextKey, "model_denied"), // V
    Row::new(ANTHROPIC, Is(429), Code(&["enforced_spend_limit_reached"]),
        OutOfCredit(Group, NextMonth), NextKey, "monthly_spend_limit"), // V
    Row::new(ANTHROPIC, Is(429), Code(&["contract_spend_limit_reached"]),
        OutOfCredit(Group, Unknown), NextKey, "contract_spend_limit"), // V
    Row::new(ANTHROPIC, Is(429), Code(&["ramp_limit_exceeded"]),
        RateLimited(Group, Told), NextKey, "ramp_limit").on_growth(), // V

    // OpenAI, Azure and those who speak like them, §4.2
    Row::new(OPENAI, Is(400), SaysBoth(&["service_tier", "service tier"], &["project"]),
        Blameless, NextKey, "service_tier_denied"), // S
    Row::new(OPENAI, Is(401), Says(&["ip not authorized", "ip address", "from your ip"]),
        Invalid, NextKey, "ip_not_allowed"), // V
    Row::new(OPENAI, Is(403), Code(&["unsupported_country_region_territory"]),
        Blameless, Client, "unsupported_region"), // V
    Row::new(OPENAI, Is(403), SaysBoth(PLACES, &["not supported", "unsupported"]),
        Blameless, Client, "unsupported_region"), // V
    Row::new(OPENAI, Is(403), SaysBoth(KEY_OR_ACCOUNT, DEAD),
        Invalid, NextKey, "invalid_key"), // contract §4
    Row::new(OPENAI, Is(403), Code(&["model_not_found"]),
        ModelDenied, NextKey, "model_denied"), // V
    Row::new(OPENAI, Is(403), Says(&["model"]),
        ModelDenied, NextKey, "model_denied"), // V
    Row::new(Only(ProviderKind::Azure), Is(404), Code(&["DeploymentNotFound"]),
        ModelDenied, NextKey, "model_denied"), // V
    Row::new(OPENAI, Is(429), Code(ORGANIZATION_LIMIT),
        OutOfCredit(Group, NextMonth), NextKey, "monthly_spend_limit"), // S
    Row::new(OPENAI, Is(429), Code(&["project_spend_limit_exceeded"]),
        OutOfCredit(Group, NextMonth), NextKey, "project_spend_limit"), // S
    Row::new(OPENAI, Any, Code(NO_MONEY),
        OutOfCredit(Group, Unknown), NextKey, "out_of_credit"), // S
    Row::new(OPENAI, Either(413, 429), AsksMoreThanLimit,
        Blameless, NextKey, "larger_than_limit"), // S: no wait will help on this key
    Row::new(OPENAI, Is(429), Says(&["request too large"]),
        Blameless, NextKey, "larger_than_limit"), // S
    Row::new(OPENAI, Either(429, 503), Code(&["slow_down"]),
        RateLimited(Group, Told), NextKey, "slow_down").on_growth(), // S
    Row::new(Only(ProviderKind::Azure), Is(429), Says(&["high demand"]),
        RateLimited(Key, Told), NextKey, "rate_limited"), // V

    // Codes that mean one thing whoever says them
    Row::new(Anyone, Any, Code(OVERLOADED),
        Overloaded, NextKey, "overloaded"), // V
    Row::new(Anyone, Is(402), Sign::None,
        OutOfCredit(Group, Unknown), NextKey, "out_of_credit"), // V

    // By status alone
    Row::new(Anyone, Is(400), Sign::None,
        Blameless, Client, "invalid_request"),
    Row::new(Anyone, Is(401), Sign::None,
        Invalid, NextKey, "invalid_key"),
    Row::new(Anyone, Is(403), Unreadable,
        Fault, NextKey, "forbidden"),
    Row::new(Anyone, Is(403), Sign::None,
        ModelDenied, NextKey, "model_denied"),
    Row::new(Anyone, Is(404), Sign::None,
        Suspect, NextKey, "not_found"),
    Row::new(Anyone, Either(408, 409), Sign::None,
        Blameless, SameKeyOnce, "conflict_or_timeout"),
    Row::new(Anyone, Is(413), Sign::None,
        Blameless, Client, "request_too_large"),
    // Without any hint the cause is unknown, and so is its reach.
    Row::new(Anyone, Is(429), NoWaitStated,
        RateLimited(Key, Unknown), NextKey, "rate_limited"), // V
    Row::new(Anyone, Is(429), Sign::None,
        RateLimited(GroupModel, Told), NextKey, "rate_limited"), // V
    Row::new(Anyone, Range(400, 499), Sign::None,
        Blameless, Client, "invalid_request"),
    Row::new(Anyone, Is(529), Sign::None,
        Overloaded, NextKey, "overloaded"), // V
    Row::new(Anyone, Is(504), Sign::None,
        Fault, NextKey, "upstream_timeout"),
    Row::new(Anyone, Range(500, 599), Sign::None,
        Fault, NextKey, "upstream_error"),
];
