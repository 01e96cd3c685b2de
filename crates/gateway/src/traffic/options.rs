//! What a client asks of the gateway itself, by header.
//!
//! An option of ours that is wrong is an error: a batch job whose priority was misspelt would compete with
//! people, and nobody would know. What SDKs add on their own is taken where it can be read and ignored
//! where not, since a client must not fail by a header that its author never wrote.
//!
//! `x-keypool-timeout-ms: 30000` and `x-stainless-read-timeout: 20` leave 19.5 s: the less of the two,
//! with a margin in which an answer of ours reaches the client before its own clock runs out.

use std::time::Duration;

use http::HeaderMap;
use keypool_pool::Urgency;
use keypool_wire::OwnError;

use crate::limits::{CLIENT_CLOCK_MARGIN, SESSION_BYTES};

const TIMEOUT_HEADER: &str = "x-keypool-timeout-ms";
const TAGS_HEADER: &str = "x-keypool-tags";
const PRIORITY_HEADER: &str = "x-keypool-priority";
const SESSION_HEADER: &str = "x-keypool-session";

/// Claude Code names its conversation in every request.
const CLAUDE_CODE_SESSION_HEADER: &str = "x-claude-code-session-id";

/// The clocks of the SDKs that Stainless generates (those of Anthropic, OpenAI and others), in seconds. The
/// TypeScript ones send the first, the Python ones the second.
const SDK_TIMEOUT_HEADERS: [&str; 2] = ["x-stainless-timeout", "x-stainless-read-timeout"];

/// The margin as a part of the client's time, where that is less than [`CLIENT_CLOCK_MARGIN`].
const MARGIN_DIVISOR: u32 = 20;

/// A client's options.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    /// How urgent it says it is.
    pub urgency: Option<Urgency>,
    /// The conversation that it belongs to; at most [`SESSION_BYTES`].
    pub session: Option<String>,
    /// Only keys with all of these tags may serve it.
    pub tags: Vec<String>,
    /// The time that it gives us, from its arrival.
    pub time: Option<Duration>,
}

impl Options {
    /// Reads them. The error is a 400 that names the header and what is allowed.
    pub(super) fn read(headers: &HeaderMap) -> Result<Self, OwnError> {
        let times = own_timeout(headers)?.into_iter().chain(sdk_times(headers));
        Ok(Self {
            urgency: urgency(headers)?,
            session: session(headers)?,
            tags: tags(headers),
            time: times.min(),
        })
    }
}

/// Whether a request says that it is critical, without a look at anything else.
pub(crate) fn is_critical(headers: &HeaderMap) -> bool {
    matches!(urgency(headers), Ok(Some(Urgency::Critical)))
}

fn urgency(headers: &HeaderMap) -> Result<Option<Urgency>, OwnError> {
    let Some(value) = headers.get(PRIORITY_HEADER) else {
        return Ok(None);
    };
    let urgency = value
        .to_str()
        .ok()
        .and_then(|text| text.trim().parse().ok());
    if urgency.is_none() {
        let allowed = Urgency::ALL.map(Urgency::as_str).join(", ");
        return Err(invalid(format!(
            "{PRIORITY_HEADER} must be one of {allowed}"
        )));
    }
    Ok(urgency)
}

fn session(headers: &HeaderMap) -> Result<Option<String>, OwnError> {
    let name = |header: &str| {
        let text = headers.get(header)?.to_str().ok()?.trim();
        (1..=SESSION_BYTES)
            .contains(&text.len())
            .then(|| text.to_owned())
    };
    let own = name(SESSION_HEADER);
    if own.is_none() && headers.contains_key(SESSION_HEADER) {
        return Err(invalid(format!(
            "{SESSION_HEADER} must be a text of 1 to {SESSION_BYTES} visible ASCII characters"
        )));
    }
    Ok(own.or_else(|| name(CLAUDE_CODE_SESSION_HEADER)))
}

fn tags(headers: &HeaderMap) -> Vec<String> {
    let values = headers
        .get_all(TAGS_HEADER)
        .iter()
        .filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .map(|tag| tag.trim().to_owned())
        .filter(|tag| !tag.is_empty())
        .collect()
}

fn own_timeout(headers: &HeaderMap) -> Result<Option<Duration>, OwnError> {
    let Some(value) = headers.get(TIMEOUT_HEADER) else {
        return Ok(None);
    };
    let millis = value
        .to_str()
        .ok()
        .and_then(|text| text.trim().parse::<u64>().ok());
    match millis {
        Some(millis) if millis > 0 => Ok(Some(Duration::from_millis(millis))),
        _ => Err(invalid(format!(
            "{TIMEOUT_HEADER} must be a whole number of milliseconds above 0"
        ))),
    }
}

/// The times after which the client's own clocks run out, less the margin.
fn sdk_times(headers: &HeaderMap) -> impl Iterator<Item = Duration> + '_ {
    let seconds = |header: &&str| headers.get(*header)?.to_str().ok()?.trim().parse().ok();
    SDK_TIMEOUT_HEADERS
        .iter()
        .filter_map(seconds)
        .filter_map(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|time| !time.is_zero())
        .map(|time| time.saturating_sub(CLIENT_CLOCK_MARGIN.min(time / MARGIN_DIVISOR)))
}

fn invalid(message: String) -> OwnError {
    OwnError {
        status: 400,
        code: "invalid_option",
        message,
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn read(pairs: &[(&'static str, &str)]) -> Result<Options, OwnError> {
        let pair = |(name, value): &(&'static str, &str)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_str(value).unwrap(),
            )
        };
        Options::read(&pairs.iter().map(pair).collect())
    }

    fn time(pairs: &[(&'static str, &str)]) -> Option<Duration> {
        read(pairs).unwrap().time
    }

    #[test]
    fn without_headers_nothing_is_asked_for() {
        assert_eq!(read(&[]).unwrap(), Options::default());
    }

    #[test]
    fn a_priority_is_one_of_five_words_and_any_other_is_told_which() {
        for urgency in Urgency::ALL {
            let options = read(&[("x-keypool-priority", urgency.as_str())]).unwrap();
            assert_eq!(options.urgency, Some(urgency));
        }
        for wrong in ["", "urgent", "1", "HIGH"] {
            let error = read(&[("x-keypool-priority", wrong)]).unwrap_err();
            assert_eq!((error.status, error.code), (400, "invalid_option"));
            assert_eq!(
                error.message,
                "x-keypool-priority must be one of critical, high, normal, low, batch"
            );
        }
    }

    #[test]
    fn a_session_is_named_by_our_header_or_else_by_the_coding_agents() {
        let session = |pairs: &[(&'static str, &str)]| read(pairs).unwrap().session;
        let claude = ("x-claude-code-session-id", "from-the-agent");
        assert_eq!(session(&[claude]).as_deref(), Some("from-the-agent"));
        assert_eq!(
            session(&[claude, ("x-keypool-session", "mine")]).as_deref(),
            Some("mine")
        );
        let long = "s".repeat(SESSION_BYTES + 1);
        for wrong in ["", " ", &long] {
            assert!(read(&[("x-keypool-session", wrong)]).is_err(), "{wrong}");
            assert_eq!(session(&[("x-claude-code-session-id", wrong)]), None);
        }
    }

    #[test]
    fn the_shortest_clock_counts_and_the_sdks_clock_has_a_margin() {
        let seconds = Duration::from_secs_f64;
        let own = ("x-keypool-timeout-ms", "30000");
        assert_eq!(time(&[own]), Some(seconds(30.0)));
        assert_eq!(
            time(&[own, ("x-stainless-read-timeout", "20")]),
            Some(seconds(19.5))
        );
        assert_eq!(
            time(&[own, ("x-stainless-timeout", "60")]),
            Some(seconds(30.0))
        );
        assert_eq!(
            time(&[
                ("x-stainless-timeout", "600"),
                ("x-stainless-read-timeout", "5.0")
            ]),
            Some(seconds(4.75))
        );
        assert_eq!(
            time(&[("x-stainless-timeout", "600")]),
            Some(seconds(599.5))
        );
    }

    #[test]
    fn an_sdk_timeout_that_is_no_time_is_ignored_and_ours_is_refused() {
        for wrong in ["", "None", "-1", "0", "NaN", "inf", "1e300", "ten"] {
            assert_eq!(time(&[("x-stainless-timeout", wrong)]), None, "{wrong}");
            assert!(read(&[("x-keypool-timeout-ms", wrong)]).is_err(), "{wrong}");
        }
    }
}
