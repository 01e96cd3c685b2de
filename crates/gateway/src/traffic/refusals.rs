//! What a client is told when no attempt could serve its request: the gateway's own words.

use std::sync::Arc;
use std::time::Duration;

use http::Response;
use keypool_pool::{Refusal, RefusalReason};
use keypool_wire::OwnError;

use crate::answer::{Retry, error_response};
use crate::body::AnswerBody;
use crate::limits;
use crate::provider::Provider;

pub(super) fn refused(
    dialect: keypool_wire::Dialect,
    provider: &Provider,
    refusal: &Refusal,
    room_in: Option<Duration>,
    state: Option<&'static str>,
) -> Response<AnswerBody> {
    let (status, code) = match refusal.reason {
        RefusalReason::NoRoom => return no_room(dialect, room_in),
        RefusalReason::NoKeys => (503, "no_keys"),
        RefusalReason::NoKeyForModel => (404, "no_key_for_model"),
        RefusalReason::NoKeyForTags => (404, "no_key_for_tags"),
        RefusalReason::TooLarge => (413, "request_exceeds_quota"),
        RefusalReason::AllUnavailable | RefusalReason::AllTried => (503, "all_keys_unavailable"),
        RefusalReason::BreakerOpen => (503, "breaker_open"),
        RefusalReason::RetriesSpent => (503, "retries_spent"),
        RefusalReason::StateUnavailable => return state_unavailable(dialect, provider, state),
    };
    let message = format!("provider {}: {}", provider.name, refusal.reason);
    let retry = match (refusal.reason, room_in) {
        (RefusalReason::AllTried | RefusalReason::BreakerOpen, Some(wait)) => Retry::After(wait),
        (RefusalReason::RetriesSpent, _) => Retry::After(limits::OVERLOAD_RETRY_AFTER),
        _ => Retry::Never,
    };
    error_response(
        dialect,
        &OwnError {
            status,
            code,
            message,
        },
        retry,
    )
}

/// Only the account that made it understands what the request carries; another would drop it or refuse.
fn state_unavailable(
    dialect: keypool_wire::Dialect,
    provider: &Provider,
    state: Option<&'static str>,
) -> Response<AnswerBody> {
    let state = state.unwrap_or("state of an earlier answer");
    let message = format!(
        "provider {}: the request carries {state} that only one account understands, and none of that \
         account's keys is usable; begin a new conversation, or take it out of the request",
        provider.name
    );
    let error = OwnError {
        status: 503,
        code: "state_unavailable",
        message,
    };
    error_response(dialect, &error, Retry::Never)
}

pub(super) fn no_room(
    dialect: keypool_wire::Dialect,
    room_in: Option<Duration>,
) -> Response<AnswerBody> {
    let wait = room_in.unwrap_or(limits::OVERLOAD_RETRY_AFTER);
    let message = format!(
        "no key has room for this request now; there will be room in {:.1} s",
        wait.as_secs_f64()
    );
    let error = OwnError {
        status: 429,
        code: "no_room",
        message,
    };
    error_response(dialect, &error, Retry::After(wait))
}

pub(super) fn unavailable(
    dialect: keypool_wire::Dialect,
    refusal: Option<&(Arc<Provider>, Refusal)>,
) -> Response<AnswerBody> {
    let provider = refusal.map_or("", |(provider, _)| provider.name.as_str());
    let message = format!("provider {provider}: no key is usable; see GET /api/apikeys/health");
    let error = OwnError {
        status: 503,
        code: "all_keys_unavailable",
        message,
    };
    error_response(dialect, &error, Retry::Never)
}

pub(super) fn out_of_time(dialect: keypool_wire::Dialect) -> Response<AnswerBody> {
    let message = "the request's deadline passed before an attempt could begin".to_owned();
    let error = OwnError {
        status: 504,
        code: "deadline_passed",
        message,
    };
    error_response(dialect, &error, Retry::Unsaid)
}
