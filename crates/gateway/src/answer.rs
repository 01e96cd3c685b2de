//! Answers that are the gateway's own: errors in the client's dialect, with honest retry advice.

use std::time::Duration;

use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use keypool_wire::{Dialect, OwnError, error_body};

use crate::body::AnswerBody;
use crate::limits;

/// Tells official SDKs whether to try again by themselves.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");

/// What a client should do after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retry {
    /// Nothing is said; clients follow their own rules.
    Unsaid,
    /// Trying again cannot help.
    Never,
    /// There will be room after this time.
    After(Duration),
}

/// An error of the gateway's own.
#[must_use]
pub(crate) fn error_response(
    dialect: Dialect,
    error: &OwnError,
    retry: Retry,
) -> Response<AnswerBody> {
    let mut response = json_response(error.status, error_body(dialect, error));
    advise(&mut response, retry);
    response
}

/// What a request gets that cannot be served any more because the gateway stops.
#[must_use]
pub(crate) fn stopping(dialect: Dialect) -> Response<AnswerBody> {
    let error = OwnError {
        status: 503,
        code: "stopping",
        message: "keypool is stopping; try again in a moment".to_owned(),
    };
    error_response(dialect, &error, Retry::After(Duration::from_secs(1)))
}

/// A JSON answer.
#[must_use]
pub(crate) fn json_response(status: u16, body: impl Into<bytes::Bytes>) -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::whole(body));
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Adds the retry advice. A wait too long for a client to sleep through is also marked as not worth
/// a retry: SDKs sleep as long as they are told to, with no bound of their own.
pub(crate) fn advise(response: &mut Response<AnswerBody>, retry: Retry) {
    let headers = response.headers_mut();
    let wait = match retry {
        Retry::Unsaid => return,
        Retry::Never => {
            headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
            return;
        }
        Retry::After(wait) => wait,
    };
    let millis = wait.as_millis().max(1);
    headers.insert(RETRY_AFTER, number(millis.div_ceil(1000)));
    headers.insert(RETRY_AFTER_MS, number(millis));
    if wait > limits::LONGEST_CLIENT_WAIT {
        headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
    }
}

fn number(value: u128) -> HeaderValue {
    HeaderValue::from(u64::try_from(value).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advised(retry: Retry) -> Response<AnswerBody> {
        let mut response = json_response(429, "{}");
        advise(&mut response, retry);
        response
    }

    #[test]
    fn a_wait_is_rounded_up_to_whole_seconds_and_also_given_in_milliseconds() {
        let response = advised(Retry::After(Duration::from_millis(1200)));
        assert_eq!(response.headers()["retry-after"], "2");
        assert_eq!(response.headers()["retry-after-ms"], "1200");
        assert!(!response.headers().contains_key("x-should-retry"));
    }

    #[test]
    fn a_wait_beyond_a_minute_is_not_worth_a_retry() {
        let response = advised(Retry::After(Duration::from_secs(61)));
        assert_eq!(response.headers()["x-should-retry"], "false");
        assert_eq!(response.headers()["retry-after"], "61");
    }
}
