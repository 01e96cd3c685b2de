//! The table of error meanings. First match wins, so the specific stands before the general.
//!
//! The mark at the end of a row tells where it was read (sections and marks of the provider notes:
//! V in the provider's own source, S in a secondary one, NV not verified).

use super::{RequestVerdict, Scope};
use crate::dialect::Dialect;
use crate::provider::ProviderKind;

/// One rule: to whom and what it applies, and what follows.
pub(super) struct Row {
    pub(super) who: Who,
    pub(super) status: Status,
    pub(super) sign: Sign,
    pub(super) key: KeyRule,
    pub(super) request: RequestVerdict,
    pub(super) code: &'static str,
}

/// Whose answers a row speaks of.
#[derive(Clone, Copy)]
pub(super) enum Who {
    Anyone,
    /// All that speak the dialect by default.
    Speaker(Dialect),
    Only(ProviderKind),
}

impl Who {
    pub(super) fn covers(self, provider: ProviderKind) -> bool {
        match self {
            Self::Anyone => true,
            Self::Speaker(dialect) => provider.dialect() == dialect,
            Self::Only(kind) => provider == kind,
        }
    }
}

/// Which statuses a row speaks of.
#[derive(Clone, Copy)]
pub(super) enum Status {
    Any,
    Is(u16),
    Either(u16, u16),
    /// From the first to the last, both included.
    Range(u16, u16),
}

impl Status {
    pub(super) const fn covers(self, status: u16) -> bool {
        match self {
            Self::Any => true,
            Self::Is(one) => status == one,
            Self::Either(one, other) => status == one || status == other,
            Self::Range(first, last) => first <= status && status <= last,
        }
    }
}

/// What the body must show. Messages are compared in lower case.
#[derive(Clone, Copy)]
pub(super) enum Sign {
    None,
    /// One of the body's codes is one of these.
    Code(&'static [&'static str]),
    /// One of the body's codes contains one of these.
    CodePart(&'static [&'static str]),
    /// The message starts with one of these.
    Starts(&'static [&'static str]),
    /// The message contains one of these.
    Says(&'static [&'static str]),
    /// The message contains one of each.
    SaysBoth(&'static [&'static str], &'static [&'static str]),
    /// The message states a limit and a larger request.
    AsksMoreThanLimit,
    /// Neither headers nor body say how long to wait.
    NoWaitStated,
    /// The body is empty, HTML, or otherwise not an error anybody wrote for a program.
    Unreadable,
}

/// What follows for the key, before the wait is worked out.
#[derive(Clone, Copy)]
pub(super) enum KeyRule {
    Blameless,
    Overloaded,
    Fault,
    Suspect,
    Invalid,
    ModelDenied,
    RateLimited(Scope, Until),
    OutOfCredit(Scope, Until),
}

/// How long.
#[derive(Clone, Copy)]
pub(super) enum Until {
    /// As long as the pool thinks fit.
    Unknown,
    /// What headers or body say.
    Told,
    /// What headers or body say, else a second.
    ToldElseSecond,
    /// The first of the next month, 00:00 UTC.
    NextMonth,
    /// The date in the message, else as [`Self::NextMonth`].
    StatedElseNextMonth,
    /// The next midnight in US Pacific time.
    PacificMidnight,
}

const fn row(
    who: Who,
    status: Status,
    sign: Sign,
    key: KeyRule,
    request: RequestVerdict,
    code: &'static str,
) -> Row {
    Row {
        who,
        status,
        sign,
        key,
        request,
        code,
    }
}

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

/// What is left when no row matches: a status nobody documented is shown to the client.
pub(super) const ELSE: Row = row(
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
    row(OPENROUTER, Is(402), Code(&["openrouter_in_flight_budget"]), RateLimited(Group, Told), NextKey, "in_flight_budget"), // V
    row(OPENROUTER, Is(402), Code(&["weight_exceeds_budget"]), Blameless, NextKey, "request_exceeds_budget"), // V
    row(OPENROUTER, Either(402, 403), Code(&["openrouter_key_limit"]), OutOfCredit(Key, Told), NextKey, "key_spend_limit"), // S
    row(OPENROUTER, Is(403), Says(&["moderation", "flagged", "guardrail"]), Blameless, Client, "content_refused"), // V
    // Others with statuses or codes of their own, §4.4
    row(Only(ProviderKind::Groq), Is(498), Sign::None, Overloaded, NextKey, "overloaded"), // V
    row(Only(ProviderKind::Mistral), Is(429), NoWaitStated, RateLimited(GroupModel, ToldElseSecond), NextKey, "rate_limited"), // V: limits are per second
    row(Only(ProviderKind::Together), Is(503), Sign::None, Overloaded, NextKey, "overloaded"), // V
    row(Only(ProviderKind::Xai), Is(400), Says(&["incorrect api key", "invalid api key"]), Invalid, NextKey, "invalid_key"), // NV

    // Gemini, §4.3
    row(GEMINI, Is(400), Code(&["API_KEY_INVALID", "API_KEY_EXPIRED"]), Invalid, NextKey, "invalid_key"), // S
    row(GEMINI, Is(400), Says(&["api key not valid", "api key expired"]), Invalid, NextKey, "invalid_key"), // S
    row(GEMINI, Is(400), Code(&["FAILED_PRECONDITION"]), Invalid, NextKey, "billing_or_region"), // S
    row(GEMINI, Is(403), Says(&["model"]), ModelDenied, NextKey, "model_denied"), // S
    row(GEMINI, Is(403), Sign::None, Invalid, NextKey, "invalid_key"), // S
    row(GEMINI, Is(429), Says(&["prepayment credits"]), OutOfCredit(Group, Unknown), NextKey, "out_of_credit"), // S
    row(GEMINI, Is(429), Says(&["limit: 0,", "limit: 0\n"]), ModelDenied, NextKey, "model_denied"), // V: not offered to this tier
    row(GEMINI, Is(429), CodePart(&["PerDay"]), RateLimited(GroupModel, PacificMidnight), NextKey, "daily_limit"), // V: the stated delay is wrong for these

    // Anthropic, §4.1
    row(ANTHROPIC, Is(400), Starts(&["you have reached your specified api usage limits", "you have reached your specified workspace api usage limits"]), RateLimited(Group, StatedElseNextMonth), NextKey, "spend_limit"), // V
    row(Anyone, Either(400, 402), Says(&["credit balance is too low"]), OutOfCredit(Group, Unknown), NextKey, "out_of_credit"), // S
    row(ANTHROPIC, Is(400), Code(&["organization_on_hold"]), Invalid, NextKey, "organization_on_hold"), // V
    row(ANTHROPIC, Either(400, 403), Says(&["organization has been disabled"]), Invalid, NextKey, "organization_disabled"), // V: the case is named, the words NV
    row(ANTHROPIC, Any, Code(&["cmek_key_disabled", "claude_code_key_creator_not_member"]), Invalid, NextKey, "key_misconfigured"), // V
    row(ANTHROPIC, Is(401), Says(&["cors"]), Blameless, NextKey, "cors_refused"), // V: not a word about the key
    row(ANTHROPIC, Is(402), Code(&["linked_organization_spend_limit_reached", "linked_organization_billing_unavailable"]), Blameless, Client, "linked_organization"), // V
    row(ANTHROPIC, Is(403), SaysBoth(KEY_OR_ACCOUNT, DEAD), Invalid, NextKey, "invalid_key"), // contract §4
    row(ANTHROPIC, Is(403), Code(&["permission_error"]), ModelDenied, NextKey, "model_denied"), // V
    row(ANTHROPIC, Is(429), Code(&["enforced_spend_limit_reached"]), OutOfCredit(Group, NextMonth), NextKey, "monthly_spend_limit"), // V
    row(ANTHROPIC, Is(429), Code(&["contract_spend_limit_reached"]), OutOfCredit(Group, Unknown), NextKey, "contract_spend_limit"), // V
    row(ANTHROPIC, Is(429), Code(&["ramp_limit_exceeded"]), RateLimited(Group, Told), NextKey, "ramp_limit"), // V

    // OpenAI, Azure and those who speak like them, §4.2
    row(OPENAI, Is(400), SaysBoth(&["service_tier", "service tier"], &["project"]), Blameless, NextKey, "service_tier_denied"), // S
    row(OPENAI, Is(401), Says(&["ip not authorized", "ip address", "not authorized to access this project from your ip"]), Invalid, NextKey, "ip_not_allowed"), // V
    row(OPENAI, Is(403), Code(&["unsupported_country_region_territory"]), Blameless, Client, "unsupported_region"), // V
    row(OPENAI, Is(403), SaysBoth(&["country", "region", "territory"], &["not supported", "unsupported"]), Blameless, Client, "unsupported_region"), // V
    row(OPENAI, Is(403), SaysBoth(KEY_OR_ACCOUNT, DEAD), Invalid, NextKey, "invalid_key"), // contract §4
    row(OPENAI, Is(403), Code(&["model_not_found"]), ModelDenied, NextKey, "model_denied"), // V
    row(OPENAI, Is(403), Says(&["model"]), ModelDenied, NextKey, "model_denied"), // V
    row(Only(ProviderKind::Azure), Is(404), Code(&["DeploymentNotFound"]), ModelDenied, NextKey, "model_denied"), // V
    row(OPENAI, Is(429), Code(&["organization_spend_limit_exceeded", "organization_usage_limit_exceeded"]), OutOfCredit(Group, NextMonth), NextKey, "monthly_spend_limit"), // S
    row(OPENAI, Is(429), Code(&["project_spend_limit_exceeded"]), OutOfCredit(Group, NextMonth), NextKey, "project_spend_limit"), // S
    row(OPENAI, Any, Code(&["insufficient_quota", "credit_balance_exhausted", "billing_hard_limit_reached"]), OutOfCredit(Group, Unknown), NextKey, "out_of_credit"), // S
    row(OPENAI, Either(413, 429), AsksMoreThanLimit, Blameless, NextKey, "larger_than_limit"), // S: no wait will help on this key
    row(OPENAI, Is(429), Says(&["request too large"]), Blameless, NextKey, "larger_than_limit"), // S
    row(OPENAI, Either(429, 503), Code(&["slow_down"]), RateLimited(Group, Told), NextKey, "slow_down"), // S
    row(Only(ProviderKind::Azure), Is(429), Says(&["high demand"]), RateLimited(Key, Told), NextKey, "rate_limited"), // V

    // Codes that mean one thing whoever says them
    row(Anyone, Any, Code(&["overloaded_error", "server_is_overloaded", "provider_overloaded"]), Overloaded, NextKey, "overloaded"), // V
    row(Anyone, Is(402), Sign::None, OutOfCredit(Group, Unknown), NextKey, "out_of_credit"), // V

    // By status alone
    row(Anyone, Is(400), Sign::None, Blameless, Client, "invalid_request"),
    row(Anyone, Is(401), Sign::None, Invalid, NextKey, "invalid_key"),
    row(Anyone, Is(403), Unreadable, Fault, NextKey, "forbidden"),
    row(Anyone, Is(403), Sign::None, ModelDenied, NextKey, "model_denied"),
    row(Anyone, Is(404), Sign::None, Suspect, NextKey, "not_found"),
    row(Anyone, Either(408, 409), Sign::None, Blameless, SameKeyOnce, "conflict_or_timeout"),
    row(Anyone, Is(413), Sign::None, Blameless, Client, "request_too_large"),
    // Without any hint the cause is unknown, and so is its reach.
    row(Anyone, Is(429), NoWaitStated, RateLimited(Key, Unknown), NextKey, "rate_limited"), // V
    row(Anyone, Is(429), Sign::None, RateLimited(GroupModel, Told), NextKey, "rate_limited"), // V
    row(Anyone, Range(400, 499), Sign::None, Blameless, Client, "invalid_request"),
    row(Anyone, Is(529), Sign::None, Overloaded, NextKey, "overloaded"), // V
    row(Anyone, Is(504), Sign::None, Fault, NextKey, "upstream_timeout"),
    row(Anyone, Range(500, 599), Sign::None, Fault, NextKey, "upstream_error"),
];
