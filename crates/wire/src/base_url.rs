//! A provider's base URL, in whichever of the usual forms it was written.
//!
//! Anthropic's SDK takes its base without `/v1`, OpenAI's with it, claude-code-router wants the
//! whole URL of the endpoint. People copy any of them into any field; a gateway that appends
//! blindly calls `/v1/v1/messages` and reports that the model does not exist. All forms mean the
//! same here.

use std::fmt::Write as _;

use percent_encoding::utf8_percent_encode;

use crate::dialect::{Dialect, Endpoint};
use crate::gemini_path::IN_A_SEGMENT;

/// Where a provider's endpoints are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamBase {
    scheme: Scheme,
    authority: String,
    /// The path up to and with the version segment, without a slash at its end.
    prefix: String,
    /// A query every request carries (Azure's `api-version`).
    query: Option<String>,
}

/// With TLS or without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
}

/// What the URL of a request has to say besides where the provider is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call<'a> {
    /// What is asked for.
    pub endpoint: Endpoint,
    /// The model, as the provider names it. It stands in the path of Gemini's API alone.
    pub model: &'a str,
    /// Whether a stream is asked for; Gemini's API has a path of its own for it.
    pub stream: bool,
    /// The version segment of the client's own path, which takes the place of the base URL's; `None` where
    /// the base URL decides.
    pub version: Option<&'a str>,
    /// The query the client sent.
    pub query: Option<&'a str>,
}

impl<'a> Call<'a> {
    /// A call that says no more than what is asked for.
    #[must_use]
    pub const fn of(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            model: "",
            stream: false,
            version: None,
            query: None,
        }
    }

    /// The same with the query that a client sent.
    #[must_use]
    pub const fn with_query(mut self, query: &'a str) -> Self {
        self.query = Some(query);
        self
    }
}

/// Why a base URL cannot be used. None of them quotes the URL, which may hold a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BaseUrlError {
    /// Neither `http://` nor `https://`.
    #[error("a base URL starts with https:// or http://")]
    Scheme,
    /// No host, or one with characters no host has.
    #[error("the base URL names no valid host")]
    Host,
    /// A user name or password before the host.
    #[error("a base URL must not hold credentials; give the key as `key`")]
    Credentials,
    /// Characters that have no place in a URL, or a fragment.
    #[error("the base URL holds characters that are not allowed in a URL")]
    Characters,
}

impl UpstreamBase {
    /// Understands a base URL of a provider spoken to in `dialect`: with or without the version
    /// segment, or the full URL of one endpoint.
    pub fn parse(dialect: Dialect, url: &str) -> Result<Self, BaseUrlError> {
        let (scheme, rest) = split_scheme(url.trim())?;
        if !rest.bytes().all(|b| b.is_ascii_graphic()) || rest.contains(['#', '"', '<', '>', '\\'])
        {
            return Err(BaseUrlError::Characters);
        }
        let (location, query) = match rest.split_once('?') {
            Some((location, query)) => (location, Some(query).filter(|query| !query.is_empty())),
            None => (rest, None),
        };
        let (authority, path) = match location.find('/') {
            Some(slash) => location.split_at(slash),
            None => (location, ""),
        };
        if authority.contains('@') {
            return Err(BaseUrlError::Credentials);
        }
        if !is_authority(authority) {
            return Err(BaseUrlError::Host);
        }
        Ok(Self {
            scheme,
            authority: authority.to_ascii_lowercase(),
            prefix: versioned_prefix(dialect, path.trim_end_matches('/')),
            query: query.map(ToOwned::to_owned),
        })
    }

    /// With TLS or without.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Host and, where given, port; in lower case.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Path and query of a call.
    #[must_use]
    pub fn path_and_query(&self, call: &Call<'_>) -> String {
        if call.endpoint.dialect() == Dialect::Gemini {
            return self.gemini_path_and_query(call);
        }
        self.with_query(
            format!("{}{}", self.prefix, call.endpoint.tail()),
            call.query,
        )
    }

    /// In Gemini's API model and method stand in the path. In which form a stream comes its query says
    /// (`alt=sse`, else one JSON array), which is not left to the client: events are what can be judged.
    fn gemini_path_and_query(&self, call: &Call<'_>) -> String {
        let model = call.model.strip_prefix("models/").unwrap_or(call.model);
        let method = if call.stream {
            ":streamGenerateContent"
        } else {
            call.endpoint.tail()
        };
        let prefix = match (call.version, self.prefix.rsplit_once('/')) {
            (Some(version), Some((before, last))) if is_version(last) => {
                format!("{before}/{version}")
            }
            _ => self.prefix.clone(),
        };
        let model = utf8_percent_encode(model, IN_A_SEGMENT);
        let path = format!("{prefix}/models/{model}{method}");
        let alt = call.stream.then_some("alt=sse");
        let others = call.query.into_iter().flat_map(|query| query.split('&'));
        let others = others.filter(|pair| !is_parameter(pair, "alt"));
        let query: Vec<&str> = alt.into_iter().chain(others).collect();
        self.with_query(path, Some(&query.join("&")))
    }

    /// The whole URL of a call.
    #[must_use]
    pub fn url(&self, call: &Call<'_>) -> String {
        let path = self.path_and_query(call);
        format!("{}{}{path}", self.scheme_text(), self.authority)
    }

    /// The whole URL of what stands at this path below the base.
    pub(crate) fn url_of(&self, path: &str, client_query: Option<&str>) -> String {
        let path = self.with_query(format!("{}{path}", self.prefix), client_query);
        format!("{}{}{path}", self.scheme_text(), self.authority)
    }

    /// The whole URL of the list of models.
    #[must_use]
    pub fn models_url(&self) -> String {
        self.url_of("/models", None)
    }

    /// What stands at this path below the base.
    pub(crate) fn below(mut self, path: &str) -> Self {
        self.prefix.push_str(path);
        self
    }

    /// The same host with another path.
    pub(crate) fn with_prefix(mut self, prefix: String) -> Self {
        self.prefix = prefix;
        self
    }

    /// The same with another query of its own.
    pub(crate) fn with_own_query(mut self, query: Option<String>) -> Self {
        self.query = query;
        self
    }

    fn with_query(&self, mut path: String, client_query: Option<&str>) -> String {
        let client_query = client_query.filter(|query| !query.is_empty());
        let mut separator = '?';
        for query in [self.query.as_deref(), client_query].into_iter().flatten() {
            path.push(separator);
            path.push_str(query);
            separator = '&';
        }
        path
    }

    const fn scheme_text(&self) -> &'static str {
        match self.scheme {
            Scheme::Http => "http://",
            Scheme::Https => "https://",
        }
    }
}

/// Whether this is a query's parameter of that name; Google's take a dollar before it, too.
pub(crate) fn is_parameter(pair: &str, name: &str) -> bool {
    let found = pair.split('=').next().unwrap_or_default();
    found.strip_prefix('$').unwrap_or(found) == name
}

fn split_scheme(url: &str) -> Result<(Scheme, &str), BaseUrlError> {
    let (scheme, rest) = url.split_once("://").ok_or(BaseUrlError::Scheme)?;
    match scheme.to_ascii_lowercase().as_str() {
        "https" => Ok((Scheme::Https, rest)),
        "http" => Ok((Scheme::Http, rest)),
        _ => Err(BaseUrlError::Scheme),
    }
}

fn is_authority(authority: &str) -> bool {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let host_is_valid = match host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
    {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
        }
    };
    host_is_valid && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port != 0))
}

/// The path with its version segment and without any endpoint.
fn versioned_prefix(dialect: Dialect, path: &str) -> String {
    let endpoint = if dialect == Dialect::Gemini {
        without_models(path)
    } else {
        Endpoint::ALL
            .iter()
            .filter(|endpoint| endpoint.dialect() == dialect)
            .find_map(|endpoint| path.strip_suffix(endpoint.tail()))
    };
    if let Some(prefix) = endpoint {
        return prefix.to_owned();
    }
    let mut prefix = path.to_owned();
    if !has_version(path) {
        let version = match dialect {
            Dialect::Anthropic | Dialect::OpenAi => "v1",
            Dialect::Gemini => "v1beta",
        };
        _ = write!(prefix, "/{version}");
    }
    prefix
}

/// What is before `/models`, or before a model and its method there.
fn without_models(path: &str) -> Option<&str> {
    path.strip_suffix("/models")
        .or_else(|| path.rsplit_once("/models/").map(|(before, _)| before))
}

/// Whether a path says which version of an API is meant.
pub(crate) fn has_version(path: &str) -> bool {
    path.split('/').any(is_version)
}

/// `v1`, `v1beta`, `v4`: a `v` and a digit.
fn is_version(segment: &str) -> bool {
    segment
        .strip_prefix('v')
        .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests;
