//! Which headers cross the gateway, in both directions.

use http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, ORIGIN,
    REFERER, RETRY_AFTER, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;

/// The header in which a client says which version of Anthropic's API it speaks.
pub(crate) const ANTHROPIC_VERSION_HEADER: HeaderName =
    HeaderName::from_static("anthropic-version");

/// The header in which a client names the features under test that it uses.
pub(super) const ANTHROPIC_BETA_HEADER: HeaderName = HeaderName::from_static("anthropic-beta");

/// The version that is spoken for a client that names none, and in probes.
pub(crate) const ANTHROPIC_VERSION: &str = "2023-06-01";

/// What every own header begins with.
const OWN_PREFIX: &str = "x-keypool-";

/// Headers that speak of one connection (RFC 9110 §7.6.1), by the names that have no constant.
const HOP_BY_HOP: [&str; 3] = ["keep-alive", "proxy-authenticate", "proxy-authorization"];

/// The client's credentials in all the places where clients put them, and the project that Google's credentials
/// are charged to: ours are charged to ours.
const CREDENTIALS: [&str; 4] = [
    "x-api-key",
    "x-goog-api-key",
    "api-key",
    "x-goog-user-project",
];

/// What the headers of a signature of AWS's begin with. Beside ours they would make it a wrong one.
const AWS_SIGNATURE_PREFIX: &str = "x-amz-";

/// The parameters of a query that are credentials.
const CREDENTIAL_PARAMETERS: [&str; 3] = ["key", "access_token", "oauth_token"];

/// The headers that an upstream is sent, without its own credentials.
///
/// Everything end-to-end goes on as it came. Left out are hop-by-hop headers, the client's
/// credentials, cookies, what a browser adds (a provider may refuse a request with an `Origin`),
/// and the gateway's own options. The encoding is set so that usage can be read.
#[must_use]
pub(super) fn for_upstream(client: &HeaderMap) -> HeaderMap {
    let named = named_by_connection(client);
    let mut headers = HeaderMap::with_capacity(client.len() + 2);
    for (name, value) in client {
        let left_out = is_hop_by_hop(name)
            || matches!(
                *name,
                AUTHORIZATION | COOKIE | HOST | CONTENT_LENGTH | ACCEPT_ENCODING | EXPECT
            )
            || matches!(*name, ORIGIN | REFERER)
            || CREDENTIALS.contains(&name.as_str())
            || name.as_str().starts_with(OWN_PREFIX)
            || name.as_str().starts_with(AWS_SIGNATURE_PREFIX)
            || named.iter().any(|named| named == name.as_str());
        if !left_out {
            headers.append(name, value.clone());
        }
    }
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers
}

/// What the headers of a dialect, and of its provider's own agent, begin with: versions, features, projects and
/// reports on the user's machine that mean nothing, or something else, to a provider of another.
const DIALECT_PREFIXES: [&str; 6] = [
    "anthropic-",
    "openai-",
    "x-openai-",
    "x-codex-",
    "x-goog-",
    "x-gemini-",
];

/// Takes out of the headers that go upstream what belongs to the client's API alone.
pub(super) fn take_dialect_out(headers: &mut HeaderMap) {
    let is_dialect_s = |name: &&HeaderName| {
        let mut prefixes = DIALECT_PREFIXES.iter();
        prefixes.any(|prefix| name.as_str().starts_with(prefix))
    };
    let names: Vec<HeaderName> = headers.keys().filter(is_dialect_s).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

/// What the lines of a header that is a list say together.
pub(super) fn list(headers: &HeaderMap, name: &HeaderName) -> String {
    let lines = headers.get_all(name).iter();
    let lines: Vec<&str> = lines.filter_map(|value| value.to_str().ok()).collect();
    lines.join(",")
}

/// The headers of an upstream's answer that a client gets to see.
///
/// Quota headers and `retry-after` speak of one key, not of the pool, and are left out.
#[must_use]
pub(super) fn for_client(upstream: &HeaderMap) -> HeaderMap {
    let named = named_by_connection(upstream);
    let mut headers = HeaderMap::with_capacity(upstream.len() + 5);
    for (name, value) in upstream {
        let left_out = is_hop_by_hop(name)
            || matches!(*name, CONTENT_LENGTH | SET_COOKIE | RETRY_AFTER)
            || name == "retry-after-ms"
            || is_quota_header(name.as_str())
            || name.as_str().starts_with(OWN_PREFIX)
            || named.iter().any(|named| named == name.as_str());
        if !left_out {
            headers.append(name, value.clone());
        }
    }
    headers
}

/// The query string without the client's key, which some clients put there, however it is written.
#[must_use]
pub(super) fn query_for_upstream(query: &str) -> Option<String> {
    let kept: Vec<&str> = query
        .split('&')
        .filter(|pair| !pair.is_empty() && !is_credential(pair))
        .collect();
    (!kept.is_empty()).then(|| kept.join("&"))
}

fn is_credential(pair: &str) -> bool {
    let name = pair.split('=').next().unwrap_or(pair);
    let name = percent_decode_str(name).decode_utf8_lossy();
    // Google takes its parameters with a `$` before them, too.
    CREDENTIAL_PARAMETERS.contains(&name.trim_start_matches('$'))
}

/// Whether a query asks Gemini's API for events (`alt=sse`), and not for one array.
#[must_use]
pub(super) fn asks_for_events(query: Option<&str>) -> bool {
    let mut pairs = query.into_iter().flat_map(|query| query.split('&'));
    pairs.any(|pair| matches!(pair, "alt=sse" | "$alt=sse" | "%24alt=sse"))
}

fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        *name,
        CONNECTION | TE | TRAILER | TRANSFER_ENCODING | UPGRADE
    ) || HOP_BY_HOP.contains(&name.as_str())
}

fn is_quota_header(name: &str) -> bool {
    [
        "anthropic-ratelimit-",
        "anthropic-priority-",
        "anthropic-fast-",
        "x-ratelimit-",
        // Together's, beside the last.
        "x-tokenlimit-",
    ]
    .iter()
    .any(|prefix| name.starts_with(prefix))
}

fn named_by_connection(headers: &HeaderMap) -> Vec<String> {
    headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn credentials_cookies_and_own_options_never_go_upstream_and_the_rest_does() {
        let sent = for_upstream(&map(&[
            ("authorization", "Bearer client"),
            ("x-api-key", "client"),
            ("x-goog-api-key", "client"),
            ("x-goog-user-project", "another-one"),
            ("x-amz-security-token", "client"),
            ("x-amz-content-sha256", "0"),
            ("x-amzn-bedrock-guardrailidentifier", "g"),
            ("cookie", "a=b"),
            ("origin", "https://evil.example"),
            ("x-keypool-session", "s"),
            ("connection", "close, x-private"),
            ("x-private", "1"),
            ("anthropic-version", "2023-06-01"),
            ("anthropic-beta", "one,two"),
            ("x-stainless-retry-count", "0"),
        ]));
        let mut names: Vec<&str> = sent.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        let expected = [
            "accept-encoding",
            "anthropic-beta",
            "anthropic-version",
            "x-amzn-bedrock-guardrailidentifier",
            "x-stainless-retry-count",
        ];
        assert_eq!(names, expected);
        assert_eq!(sent["accept-encoding"], "identity");
    }

    #[test]
    fn credentials_in_a_query_never_go_upstream_however_they_are_written() {
        for (query, sent) in [
            ("key=k", None),
            ("key", None),
            ("%6bey=k&alt=sse", Some("alt=sse")),
            ("$key=k&%24key=k&%24%6Bey=k", None),
            ("alt=sse&access_token=t&oauth_token=t", Some("alt=sse")),
            ("beta=true&keyed=1", Some("beta=true&keyed=1")),
        ] {
            assert_eq!(query_for_upstream(query).as_deref(), sent, "{query}");
        }
    }

    #[test]
    fn a_provider_of_another_api_is_not_sent_the_headers_of_the_clients() {
        let mut headers = map(&[
            ("anthropic-version", "2023-06-01"),
            ("anthropic-beta", "one"),
            ("openai-project", "p"),
            ("x-goog-api-client", "g"),
            ("user-agent", "sdk"),
        ]);
        headers.append("anthropic-beta", HeaderValue::from_static("two"));
        take_dialect_out(&mut headers);
        assert_eq!(
            headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(),
            ["user-agent"]
        );
    }

    #[test]
    fn quota_headers_of_one_key_are_not_shown_to_clients() {
        let shown = for_client(&map(&[
            ("anthropic-ratelimit-requests-remaining", "3"),
            ("x-ratelimit-limit-tokens", "3"),
            ("x-tokenlimit-remaining", "3"),
            ("retry-after", "1"),
            ("set-cookie", "a=b"),
            ("request-id", "req_1"),
        ]));
        assert_eq!(
            shown.keys().map(HeaderName::as_str).collect::<Vec<_>>(),
            ["request-id"]
        );
    }

    #[test]
    fn a_key_in_the_query_is_dropped_and_other_parameters_stay() {
        assert_eq!(
            query_for_upstream("beta=true").as_deref(),
            Some("beta=true")
        );
        assert_eq!(
            query_for_upstream("key=s&alt=sse").as_deref(),
            Some("alt=sse")
        );
        assert_eq!(query_for_upstream("key=s"), None);
    }
}
