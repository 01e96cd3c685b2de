//! Who may do what: the client key, tenants' keys, the admin token, and the checks that keep browsers out.

use std::net::{IpAddr, SocketAddr};

use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::{HeaderMap, Uri};

use keypool_pool::Urgency;

use crate::config::{DEFAULT_TENANT, GatewayConfig};
use crate::limits::CREDENTIALS_TRIED;
use crate::secret::Digest;

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

/// Whose request it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TenantRef<'a> {
    /// 0 is the default tenant, then the configured ones in their order. It holds for the
    /// configuration that it was found in; across a reload only the name does.
    pub index: usize,
    /// What people call it.
    pub name: &'a str,
    /// Its share while requests wait, 1 to 1000.
    pub weight: u32,
    /// The urgency of a request that names none.
    pub urgency: Urgency,
}

impl TenantRef<'_> {
    /// Whoever presents the gateway's own key, or none where traffic is open.
    pub(crate) const DEFAULT: TenantRef<'static> = TenantRef {
        index: 0,
        name: DEFAULT_TENANT,
        weight: 1,
        urgency: Urgency::Normal,
    };
}

/// Lets client traffic in, and says whose it is.
pub(crate) fn check_client<'a>(
    config: &'a GatewayConfig,
    headers: &HeaderMap,
    uri: &Uri,
) -> Result<TenantRef<'a>, Denied> {
    if config.client_key.is_none() && config.tenants.is_empty() {
        // Open, on loopback only; then at least no web page may use it.
        return check_browser(config, headers, uri).map(|()| TenantRef::DEFAULT);
    }
    let mut found = None;
    for candidate in candidates(headers, uri) {
        // Of several keys that open the door, the first counts.
        found = found.or(tenant_of(config, candidate));
    }
    found.ok_or(Denied::Credentials)
}

/// The tenant whose key this is. It is held against every key, so that the time taken tells neither
/// which one matched nor whether one did.
fn tenant_of<'a>(config: &'a GatewayConfig, candidate: &str) -> Option<TenantRef<'a>> {
    let digest = Digest::of(candidate);
    let own = config.client_key.as_ref();
    let mut found = own
        .is_some_and(|key| key.has_digest(&digest))
        .then_some(TenantRef::DEFAULT);
    for (index, tenant) in config.tenants.iter().enumerate() {
        if tenant.key.has_digest(&digest) {
            found = Some(TenantRef {
                index: index + 1,
                name: &tenant.name,
                weight: tenant.weight,
                urgency: tenant.urgency,
            });
        }
    }
    found
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

/// An address that others can reach and that nothing guards, if there is one. Traffic needs a key of its
/// clients, be it the gateway's own or tenants'; the admin API the gateway's own or a token, since a
/// tenant's key does not open it.
#[must_use]
pub(crate) fn open_address(config: &GatewayConfig) -> Option<SocketAddr> {
    let traffic_is_open = config.client_key.is_none() && config.tenants.is_empty();
    let admin_is_open = config.client_key.is_none() && config.admin.token.is_none();
    let admin = config.admin.listen.unwrap_or(config.listen);
    let open = [(config.listen, traffic_is_open), (admin, admin_is_open)];
    open.into_iter()
        .find(|(address, is_open)| *is_open && !is_loopback(*address))
        .map(|(address, _)| address)
}

/// Whether everything may be open on this address.
fn is_loopback(address: SocketAddr) -> bool {
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
        .take(CREDENTIALS_TRIED)
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
