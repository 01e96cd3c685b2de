//! Who may do what: the client key, the admin token, and the checks that keep browsers out.

use std::net::{IpAddr, SocketAddr};

use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::{HeaderMap, Uri};

use crate::config::GatewayConfig;

/// Why a request is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denied {
    /// No credentials, or wrong ones.
    #[error("the gateway's key is missing or wrong")]
    Credentials,
    /// The `Host` header names a host that this gateway does not go by (DNS rebinding).
    #[error("the Host header names a host unknown to this gateway; add it to KnownHosts")]
    UnknownHost,
    /// A page of another site sent the request.
    #[error("requests from pages of other sites are refused")]
    ForeignOrigin,
}

/// What an admitted admin request was let in with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AdminPass {
    /// The admin token itself was presented, not the client key and not loopback alone.
    pub with_admin_token: bool,
}

/// Lets client traffic in.
pub(crate) fn check_client(
    config: &GatewayConfig,
    headers: &HeaderMap,
    uri: &Uri,
) -> Result<(), Denied> {
    match &config.client_key {
        Some(key) => {
            let mut any = false;
            for candidate in candidates(headers, uri) {
                any |= key.matches(candidate);
            }
            if any {
                Ok(())
            } else {
                Err(Denied::Credentials)
            }
        }
        // Open, on loopback only; then at least no web page may use it.
        None => check_browser(config, headers, uri),
    }
}

/// Lets an admin request in.
pub(crate) fn check_admin(
    config: &GatewayConfig,
    headers: &HeaderMap,
    uri: &Uri,
) -> Result<AdminPass, Denied> {
    check_browser(config, headers, uri)?;
    let with_admin_token = config.admin.token.is_some();
    let Some(key) = config.admin.token.as_ref().or(config.client_key.as_ref()) else {
        return Ok(AdminPass {
            with_admin_token: false,
        });
    };
    if candidates(headers, uri).any(|candidate| key.matches(candidate)) {
        Ok(AdminPass { with_admin_token })
    } else {
        Err(Denied::Credentials)
    }
}

/// Whether everything may be open on this address.
#[must_use]
pub(crate) fn is_loopback(address: SocketAddr) -> bool {
    match address.ip() {
        IpAddr::V4(ip) => ip.is_loopback(),
        IpAddr::V6(ip) => ip.is_loopback(),
    }
}

/// Every place in which clients put their key.
fn candidates<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> impl Iterator<Item = &'a str> {
    let bearer = headers.get_all(AUTHORIZATION).iter().filter_map(|value| {
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    let named = ["x-api-key", "x-goog-api-key"]
        .into_iter()
        .filter_map(|name| headers.get(name)?.to_str().ok());
    let query = uri.query().unwrap_or_default().split('&');
    bearer
        .chain(named)
        .chain(query.filter_map(|pair| pair.strip_prefix("key=")))
}

fn check_browser(config: &GatewayConfig, headers: &HeaderMap, uri: &Uri) -> Result<(), Denied> {
    let host = match headers.get(HOST) {
        Some(host) => host.to_str().map_err(|_| Denied::UnknownHost)?,
        None => uri.authority().map_or("", http::uri::Authority::as_str),
    };
    if !knows_host(config, host_name(host)) {
        return Err(Denied::UnknownHost);
    }
    match headers.get(ORIGIN) {
        None => Ok(()),
        Some(origin) => {
            let origin = origin.to_str().unwrap_or_default();
            let own = origin
                .split_once("://")
                .is_some_and(|(_, authority)| authority == host);
            if own {
                Ok(())
            } else {
                Err(Denied::ForeignOrigin)
            }
        }
    }
}

fn knows_host(config: &GatewayConfig, name: &str) -> bool {
    if name.eq_ignore_ascii_case("localhost") {
        return true;
    }
    if let Ok(ip) = name.trim_matches(['[', ']']).parse::<IpAddr>() {
        // An address cannot be rebound; a name can.
        return ip.is_loopback()
            || ip == config.listen.ip()
            || config.listen.ip().is_unspecified()
            || config.admin.listen.is_some_and(|listen| listen.ip() == ip);
    }
    config
        .known_hosts
        .iter()
        .any(|known| known.eq_ignore_ascii_case(name))
}

/// A `Host` value without its port.
fn host_name(host: &str) -> &str {
    if host.starts_with('[') {
        return host.split_inclusive(']').next().unwrap_or(host);
    }
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}

#[cfg(test)]
mod tests;
