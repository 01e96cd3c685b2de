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
    Blameless, Fault, Invalid, ModelDenied, NotServed, OutOfCredit, Overloaded, RateLimited,
    Suspect,
};
use ProviderKind::{Azure, Bedrock, DeepSeek, Groq, Mistral, OpenRouter, Together, Vertex, Xai};
use RequestVerdict::{Client, NextKey, NextProvider, SameKeyOnce};
use Scope::{Group, GroupModel, Key, KeyModel};
use Sign::{AsksMoreThanLimit, Code, CodePart, NoWaitStated, Says, SaysBoth, Starts, Unreadable};
use Status::{Any, Is, OneOf, Range};
use Until::{
    NextMonth, PacificMidnight, StatedElseNextMonth, Told, ToldElseMidnight, ToldElseSecond,
    Unknown,
};
use Who::{Anyone, Only, Speaker};

const ANTHROPIC: Who = Speaker(Dialect::Anthropic);
const OPENAI: Who = Speaker(Dialect::OpenAi);
const GEMINI: Who = Speaker(Dialect::Gemini);

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
const DEAD_KEY: &[&str] = &["invalid_api_key", "authentication_error", "API_KEY_INVALID"];

/// A prompt longer than the model's context, in each provider's words. All but Gemini's 500 come
/// as a client's mistake, which it is; the name lets clients and operators tell it from others.
const TOO_LONG: &[u16] = &[400, 413, 422, 500];
const TOO_LONG_CODES: &[&str] = &["context_length_exceeded"];
const TOO_LONG_WORDS: &[&str] = &[
    "prompt is too long",                           // Anthropic, Fireworks
    "exceed context limit",                         // Anthropic, with max_tokens
    "maximum context length",                       // OpenAI, DeepSeek, Mistral, OpenRouter
    "exceeds the context window",                   // OpenAI's Responses
    "maximum prompt length",                        // xAI
    "reduce the length of the messages",            // Groq, Cerebras
    "exceeds the maximum number of tokens allowed", // Gemini
    "input context is too long",                    // Gemini's 500
];

/// Anthropic's spend limit set by the operator: only the words tell it from a client's mistake.
const SPEND_LIMIT: &[&str] = &["you have reached your specified api usage limits"];
const WORKSPACE_SPEND_LIMIT: &[&str] =
    &["you have reached your specified workspace api usage limits"];
/// The whole rate is "dynamic": it rises with steady use.
const DYNAMIC_LIMIT: &[&str] = &["dynamic_request_limited", "dynamic_token_limited"];
const LINKED_ORGANIZATION: &[&str] = &[
    "linked_organization_spend_limit_reached",
    "linked_organization_billing_unavailable",
];
const MISCONFIGURED: &[&str] = &["cmek_key_disabled", "claude_code_key_creator_not_member"];
const WORKSPACE_UNREACHABLE: &[&str] = &["cmek_key_unreachable", "cmek_context_unavailable"];
const PLACES: &[&str] = &["country", "region", "territory"];
const NO_MONEY: &[&str] = &[
    "insufficient_quota",
    "credit_balance_exhausted",
    "billing_hard_limit_reached",
];
const ORGANIZATION_LIMIT: &[&str] = &[
    "organization_spend_limit_exceeded",
    "organization_usage_limit_exceeded",
];
const FILTERED: &[&str] = &[
    "content_filter",
    "content_policy_violation",
    "ResponsibleAIPolicyViolation",
];
const KEY_BUDGET: &[&str] = &[
    "openrouter_key_limit",
    "openrouter_workspace_budget",
    "openrouter_guardrail_budget",
];
const REFUSED_CONTENT: &[&str] = &["moderation", "flagged", "guardrail", "request blocked"];
const PROJECT_DISABLED: &[&str] = &["SERVICE_DISABLED", "CONSUMER_SUSPENDED", "CONSUMER_INVALID"];
const UNKNOWN_TO_AWS: &[&str] = &[
    "UnrecognizedClientException",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "IncompleteSignature",
    "ExpiredTokenException",
    "ExpiredToken",
    "MissingAuthenticationToken",
];
const NO_TOKEN: &[&str] = &["invalid_grant", "invalid_client", "unauthorized_client"];
const OVERLOADED: &[&str] = &[
    "overloaded_error",
    "server_is_overloaded",
    "provider_overloaded",
];

/// What is left when no row matches: a status nobody documented is shown to the client.
pub(super) static ELSE: Row = Row::new(
    Anyone,
    Any,
    Sign::None,
    Blameless,
    Client,
    "unexpected_answer",
);

/// All rules, in order.
#[rustfmt::skip]
pub(super) static ROWS: &[Row] = &[
    // A page of a CDN or firewall says nothing of the key.
    Row::new(Anyone, Is(403), Unreadable,
        Fault, NextKey, "forbidden"), // NV
    // The client's, whoever says it; among Gemini's it hides in a 500.
    Row::new(Anyone, OneOf(TOO_LONG), Code(TOO_LONG_CODES),
        Blameless, Client, "context_too_long"), // S
    Row::new(Anyone, OneOf(TOO_LONG), Says(TOO_LONG_WORDS),
        Blameless, Client, "context_too_long"), // S
    Row::new(Anyone, Is(400), Code(FILTERED),
        Blameless, Client, "content_refused"), // S

    // OpenRouter, §4.4
    Row::new(Only(OpenRouter), Is(402), Code(&["openrouter_in_flight_budget"]),
        RateLimited(Group, Told), NextKey, "in_flight_budget"), // V
    Row::new(Only(OpenRouter), Is(402), Code(&["weight_exceeds_budget"]),
        Blameless, NextKey, "request_exceeds_budget"), // V
    Row::new(Only(OpenRouter), OneOf(&[402, 403]), Code(KEY_BUDGET),
        OutOfCredit(Key, Told), NextKey, "key_spend_limit"), // S
    Row::new(Only(OpenRouter), Is(403), Says(REFUSED_CONTENT),
        Blameless, Client, "content_refused"), // V
    Row::new(Only(OpenRouter), Is(429), Says(&["free-models-per-day"]),
        RateLimited(GroupModel, ToldElseMidnight), NextKey, "daily_limit"), // S
    // Whoever serves the model behind them is full: it says nothing of the key's other models.
    Row::new(Only(OpenRouter), Is(429), Says(&["provider returned error"]),
        RateLimited(KeyModel, Told), NextKey, "rate_limited"), // NV
    Row::new(Only(OpenRouter), Is(502), Code(&["provider_unavailable"]),
        Overloaded, NextKey, "overloaded"), // V
    // Others with statuses or codes of their own, §4.4
    Row::new(Only(DeepSeek), Is(429), NoWaitStated,
        RateLimited(GroupModel, ToldElseSecond), NextKey, "concurrency_limit"), // V: a slot, not a minute
    Row::new(Only(DeepSeek), Is(503), Sign::None,
        Overloaded, NextKey, "overloaded"), // V
    Row::new(Only(Groq), Is(498), Sign::None,
        Overloaded, NextKey, "overloaded"), // V
    Row::new(Only(Groq), Is(424), Sign::None,
        Blameless, Client, "failed_dependency"), // S
    Row::new(Only(Groq), Is(499), Sign::None,
        Blameless, Client, "cancelled"), // S
    Row::new(Only(Mistral), Is(429), NoWaitStated,
        RateLimited(GroupModel, ToldElseSecond), NextKey, "rate_limited"), // V: per second
    Row::new(Only(Together), Is(429), CodePart(DYNAMIC_LIMIT),
        RateLimited(GroupModel, Told), NextKey, "dynamic_limit").on_growth(), // V: T-rl
    Row::new(Only(Together), Is(503), Sign::None,
        Overloaded, NextKey, "overloaded"), // V
    Row::new(Only(Xai), Is(400), Says(&["incorrect api key", "invalid api key"]),
        Invalid(Key), NextKey, "invalid_key"), // NV

    // Bedrock, §4.4; the names of its exceptions
    Row::new(Only(Bedrock), Is(429), Says(&["tokens per day"]),
        RateLimited(GroupModel, ToldElseMidnight), NextKey, "daily_limit"), // S
    Row::new(Only(Bedrock), Is(429), Code(&["ModelNotReadyException"]),
        Overloaded, NextKey, "model_not_ready"), // V: the SDK sends it again, five times
    Row::new(Only(Bedrock), Is(429), Sign::None,
        RateLimited(GroupModel, Told), NextKey, "rate_limited"), // S: per account, region and model
    Row::new(Only(Bedrock), Is(400), Code(&["ServiceQuotaExceededException"]),
        RateLimited(GroupModel, Unknown), NextKey, "rate_limited"), // S
    Row::new(Only(Bedrock), Is(400), Says(&["model identifier is invalid", "on-demand throughput"]),
        Suspect, NextKey, "not_found"), // NV: of this region
    Row::new(Only(Bedrock), Is(403), Starts(&["signature expired", "signature not yet current"]),
        Fault, NextKey, "clock_wrong"), // S: our clock, not the key
    Row::new(Only(Bedrock), Is(403), Code(UNKNOWN_TO_AWS),
        Invalid(Key), NextKey, "invalid_key"), // V: AWS's list of common errors
    Row::new(Only(Bedrock), Is(403), Says(&["api key is valid", "bearer token"]),
        Invalid(Key), NextKey, "invalid_key"), // NV
    Row::new(Only(Bedrock), Is(408), Sign::None,
        Fault, NextKey, "upstream_timeout"), // V: the model took too long
    Row::new(Only(Bedrock), Is(424), Sign::None,
        Fault, NextKey, "upstream_error"), // V: the model failed
    Row::new(Only(Bedrock), Is(503), Sign::None,
        Overloaded, NextKey, "overloaded"), // V
    // Vertex: what Google says before the model is asked. Its refusals to give a token come as those of a request.
    Row::new(Only(Vertex), OneOf(&[400, 401]), Says(NO_TOKEN),
        Invalid(Key), NextKey, "invalid_key"), // V: RFC 6749 §5.2
    Row::new(Only(Vertex), Is(401), Code(&["ACCESS_TOKEN_EXPIRED"]),
        Fault, NextKey, "token_expired"), // NV: our clock is wrong, not the key
    Row::new(Only(Vertex), Is(400), Says(&["servable in region", "available in region"]),
        ModelDenied, NextKey, "model_denied"), // NV
    Row::new(Only(Vertex), Is(403), Code(PROJECT_DISABLED),
        Invalid(Group), NextKey, "project_disabled"), // S: as Gemini
    Row::new(Only(Vertex), Is(403), Code(&["BILLING_DISABLED"]),
        OutOfCredit(Group, Unknown), NextKey, "out_of_credit"), // NV
    Row::new(Only(Vertex), Is(429), Sign::None,
        RateLimited(GroupModel, Told), NextKey, "rate_limited"), // S: per project, region and model

    // Gemini, §4.3. The first comes as the `finishReason` of a 200, from Vertex, too.
    Row::new(Anyone, Any, Code(&["PUP_LIMITED_DISABLED"]),
        Invalid(Group), NextKey, "account_limited"), // V
    Row::new(GEMINI, Is(400), Code(&["API_KEY_INVALID", "API_KEY_EXPIRED"]),
        Invalid(Key), NextKey, "invalid_key"), // S
    Row::new(GEMINI, Is(400), Says(&["api key not valid", "api key expired"]),
        Invalid(Key), NextKey, "invalid_key"), // S
    Row::new(GEMINI, Is(400), Code(&["FAILED_PRECONDITION"]),
        Invalid(Group), NextKey, "billing_or_region"), // S
    Row::new(GEMINI, Is(403), Code(PROJECT_DISABLED),
        Invalid(Group), NextKey, "project_disabled"), // S
    Row::new(GEMINI, Is(403), CodePart(&["API_KEY_"]),
        Invalid(Key), NextKey, "key_restricted"), // S
    Row::new(GEMINI, Is(403), Says(&["model"]),
        ModelDenied, NextKey, "model_denied"), // S
    Row::new(GEMINI, Is(403), Sign::None,
        Invalid(Key), NextKey, "invalid_key"), // S
    Row::new(GEMINI, Is(429), Says(&["prepayment credits"]),
        OutOfCredit(Group, Unknown), NextKey, "out_of_credit"), // S
    Row::new(GEMINI, Is(429), Says(&["limit: 0,", "limit: 0\n"]),
        ModelDenied, NextKey, "model_denied"), // V: not offered to this tier
    Row::new(GEMINI, Is(429), CodePart(&["PerDay"]),
        RateLimited(GroupModel, PacificMidnight), NextKey, "daily_limit"), // V; not retryDelay
    Row::new(GEMINI, Is(429), CodePart(&["PerMinute"]),
        RateLimited(GroupModel, Told), NextKey, "rate_limited"), // V
    Row::new(GEMINI, Is(503), Code(&["UNAVAILABLE"]),
        Overloaded, NextKey, "overloaded"), // V

    // Anthropic, §4.1
    Row::new(ANTHROPIC, Is(400), Starts(SPEND_LIMIT),
        OutOfCredit(Group, StatedElseNextMonth), NextKey, "spend_limit"), // V
    Row::new(ANTHROPIC, Is(400), Starts(WORKSPACE_SPEND_LIMIT),
        OutOfCredit(Key, StatedElseNextMonth), NextKey, "spend_limit"), // V: other workspaces go on
    Row::new(Anyone, OneOf(&[400, 402]), Says(&["credit balance is too low"]),
        OutOfCredit(Group, Unknown), NextKey, "out_of_credit"), // S
    Row::new(ANTHROPIC, Is(400), Code(&["organization_on_hold"]),
        Invalid(Group), NextKey, "organization_on_hold"), // V
    Row::new(ANTHROPIC, OneOf(&[400, 403]), Says(&["organization has been disabled"]),
        Invalid(Group), NextKey, "organization_disabled"), // V: the case is named, the words NV
    Row::new(ANTHROPIC, Is(400), Says(&["invalid `signature` in `thinking`"]),
        Blameless, SameKeyOnce, "thinking_signature"), // S
    Row::new(ANTHROPIC, Any, Code(MISCONFIGURED),
        Invalid(Key), NextKey, "key_misconfigured"), // V
    Row::new(ANTHROPIC, Is(401), Says(&["cors"]),
        Blameless, NextKey, "cors_refused"), // V: not a word about the key
    Row::new(ANTHROPIC, Is(402), Code(LINKED_ORGANIZATION),
        Blameless, Client, "linked_organization"), // V
    Row::new(ANTHROPIC, Is(403), Says(&["request not allowed"]),
        NotServed, NextProvider, "unsupported_region"), // NV
    Row::new(ANTHROPIC, Is(403), SaysBoth(KEY_OR_ACCOUNT, DEAD),
        Invalid(Key), NextKey, "invalid_key"), // contract §4
    Row::new(ANTHROPIC, Is(403), Code(&["permission_error"]),
        ModelDenied, NextKey, "model_denied"), // V
    Row::new(ANTHROPIC, Is(429), Code(&["enforced_spend_limit_reached"]),
        OutOfCredit(Group, NextMonth), NextKey, "monthly_spend_limit"), // V
    Row::new(ANTHROPIC, Is(429), Code(&["contract_spend_limit_reached"]),
        OutOfCredit(Group, Unknown), NextKey, "contract_spend_limit"), // V
    Row::new(ANTHROPIC, Is(429), Code(&["ramp_limit_exceeded"]),
        RateLimited(Group, Told), NextKey, "ramp_limit").on_growth(), // V
    Row::new(ANTHROPIC, Is(503), Code(WORKSPACE_UNREACHABLE),
        Fault, NextKey, "workspace_unreachable"), // V: this workspace's encryption key

    // OpenAI, Azure and those who speak like them, §4.2
    Row::new(OPENAI, Is(400), SaysBoth(&["service_tier", "service tier"], &["project"]),
        Blameless, NextKey, "service_tier_denied"), // S
    Row::new(OPENAI, Is(401), Says(&["ip not authorized", "ip address", "from your ip"]),
        Invalid(Key), NextKey, "ip_not_allowed"), // V
    Row::new(OPENAI, Is(403), Code(&["unsupported_country_region_territory"]),
        NotServed, NextProvider, "unsupported_region"), // V
    Row::new(OPENAI, Is(403), SaysBoth(PLACES, &["not supported", "unsupported"]),
        NotServed, NextProvider, "unsupported_region"), // V
    Row::new(OPENAI, Is(403), SaysBoth(KEY_OR_ACCOUNT, DEAD),
        Invalid(Key), NextKey, "invalid_key"), // contract §4
    Row::new(OPENAI, Is(403), Code(&["model_not_found"]),
        ModelDenied, NextKey, "model_denied"), // V
    Row::new(OPENAI, Is(403), Says(&["model"]),
        ModelDenied, NextKey, "model_denied"), // V
    Row::new(Only(Azure), Is(404), Code(&["DeploymentNotFound"]),
        ModelDenied, NextKey, "model_denied"), // V
    Row::new(OPENAI, Is(429), Code(ORGANIZATION_LIMIT),
        OutOfCredit(Group, NextMonth), NextKey, "monthly_spend_limit"), // S
    Row::new(OPENAI, Is(429), Code(&["project_spend_limit_exceeded"]),
        OutOfCredit(Key, NextMonth), NextKey, "project_spend_limit"), // S: other projects go on
    Row::new(OPENAI, Any, Code(NO_MONEY),
        OutOfCredit(Group, Unknown), NextKey, "out_of_credit"), // S
    Row::new(OPENAI, OneOf(&[413, 429]), AsksMoreThanLimit,
        Blameless, NextKey, "larger_than_limit"), // S: no wait will help on this key
    Row::new(OPENAI, Is(429), Says(&["request too large"]),
        Blameless, NextKey, "larger_than_limit"), // S
    Row::new(OPENAI, OneOf(&[429, 503]), Code(&["slow_down"]),
        RateLimited(Group, Told), NextKey, "slow_down").on_growth(), // S
    Row::new(Only(Azure), Is(429), Says(&["high demand"]),
        RateLimited(KeyModel, Told), NextKey, "rate_limited"), // V: this deployment, not the quota

    // Codes that mean one thing whoever says them
    Row::new(Anyone, Any, Code(OVERLOADED),
        Overloaded, NextKey, "overloaded"), // V
    Row::new(Anyone, OneOf(&[400, 403]), Code(DEAD_KEY),
        Invalid(Key), NextKey, "invalid_key"), // NV: servers that are freer with statuses
    Row::new(Anyone, Is(402), Sign::None,
        OutOfCredit(Group, Unknown), NextKey, "out_of_credit"), // V

    // By status alone
    Row::new(Anyone, Is(400), Sign::None,
        Blameless, Client, "invalid_request"),
    Row::new(Anyone, Is(401), Sign::None,
        Invalid(Key), NextKey, "invalid_key"),
    Row::new(Anyone, Is(403), Sign::None,
        ModelDenied, NextKey, "model_denied"),
    Row::new(Anyone, Is(404), Sign::None,
        Suspect, NextKey, "not_found"),
    Row::new(Anyone, OneOf(&[408, 409]), Sign::None,
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
    Row::new(Anyone, OneOf(&[500, 502, 503]), Says(&["overloaded"]),
        Overloaded, NextKey, "overloaded"), // S: the words of those without a code for it
    Row::new(Anyone, Range(500, 599), Sign::None,
        Fault, NextKey, "upstream_error"),
];
