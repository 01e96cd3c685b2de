//! Where the gateway listens and who may come in. An address that others can reach is refused unless a key
//! guards it: behind it stand the operator's own paid keys.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use keypool_gateway::Secret;
use keypool_gateway::config::AdminConfig;

use super::checker::Checker;
use super::file::ConfigFile;
use super::path::FieldPath;

/// Addresses and the keys to them.
pub(super) struct Access {
    /// The traffic listener.
    pub(super) listen: SocketAddr,
    /// The key of the gateway's clients.
    pub(super) client_key: Option<Secret>,
    /// The admin API.
    pub(super) admin: AdminConfig,
}

/// Reads HOST, PORT, APIKEY and Admin, and looks whether there are tenants.
pub(super) fn access(file: &ConfigFile, checker: &mut Checker<'_>) -> Access {
    let api_key = FieldPath::of(&["APIKEY"]);
    let token = FieldPath::of(&["Admin", "token"]);
    let client_key = file
        .api_key
        .as_ref()
        .and_then(|text| checker.secret(text, &api_key));
    let admin_token = file
        .admin
        .token
        .as_ref()
        .and_then(|text| checker.secret(text, &token));
    if let (Some(client), Some(admin)) = (&client_key, &admin_token)
        && client.matches(admin.expose())
    {
        checker.error(
            &token,
            "is the same as APIKEY; the admin token must be one of its own",
        );
    }
    let host_field = FieldPath::of(&["HOST"]);
    let listen = SocketAddr::new(address(&file.host, &host_field, checker), file.port);
    let admin_listen = admin_listener(file, listen, checker);
    let reachable = !listen.ip().is_loopback();
    let traffic_open = file.api_key.is_none() && file.tenants.is_empty();
    if reachable && traffic_open {
        let message = format!(
            "{:?} can be reached from outside and no APIKEY is set, so anyone could spend the keys: \
             set APIKEY, or listen on 127.0.0.1",
            file.host
        );
        checker.error(&host_field, message);
    }
    // A tenant's key does not guard the admin API.
    let admin_open = file.api_key.is_none() && file.admin.token.is_none();
    if admin_listen.is_some_and(|address| !address.ip().is_loopback()) && admin_open {
        let message = "can be reached from outside and neither Admin.token nor APIKEY is set: \
                       set one, or listen on 127.0.0.1";
        checker.error(&FieldPath::of(&["Admin", "host"]), message);
    } else if admin_listen.is_none() && reachable && !traffic_open && admin_open {
        let message = format!(
            "{:?} can be reached from outside and Tenants' keys do not guard the admin API, which is \
             served there too: set Admin.token or APIKEY, or put the admin API on a loopback address \
             with Admin.host and Admin.port",
            file.host
        );
        checker.error(&host_field, message);
    }
    Access {
        listen,
        client_key,
        admin: AdminConfig {
            token: admin_token,
            listen: admin_listen,
        },
    }
}

/// The IP address that a HOST field means.
pub(super) fn parse_host(text: &str) -> Option<IpAddr> {
    if text.eq_ignore_ascii_case("localhost") {
        return Some(Ipv4Addr::LOCALHOST.into());
    }
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .unwrap_or(text);
    bare.parse().ok()
}

fn admin_listener(
    file: &ConfigFile,
    traffic: SocketAddr,
    checker: &mut Checker<'_>,
) -> Option<SocketAddr> {
    let admin = &file.admin;
    if admin.host.is_none() && admin.port.is_none() {
        return None;
    }
    let field = FieldPath::of(&["Admin", "host"]);
    let host = admin
        .host
        .as_ref()
        .map(|host| address(host, &field, checker));
    let listen = SocketAddr::new(
        host.unwrap_or(traffic.ip()),
        admin.port.unwrap_or(traffic.port()),
    );
    // Port 0 on both is two free ports, not one address.
    (listen != traffic || listen.port() == 0).then_some(listen)
}

fn address(text: &str, field: &FieldPath, checker: &mut Checker<'_>) -> IpAddr {
    parse_host(text).unwrap_or_else(|| {
        let message = format!("{text:?} is not an IP address: expected one such as 127.0.0.1, ::1 or 0.0.0.0, or localhost");
        checker.error(field, message);
        Ipv4Addr::LOCALHOST.into()
    })
}
