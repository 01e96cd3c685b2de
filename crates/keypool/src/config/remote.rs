//! Where the running gateway is, for commands that talk to it. Read leniently: such a command must work in a
//! shell that has none of the providers' keys in its environment.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use keypool_gateway::Secret;

use super::addresses::parse_host;
use super::document::{Node, NodeValue};
use super::load::read_tree;
use super::path::FieldPath;
use super::problem::LoadError;
use super::references::{Environment, Reference};

/// The gateway's default port.
const DEFAULT_PORT: u16 = 3456;

/// How a running gateway's admin API is reached.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Base URL, without a slash at its end.
    pub url: String,
    /// The token to present.
    pub token: Option<Secret>,
}

impl Default for Endpoint {
    fn default() -> Self {
        Self {
            url: format!("http://127.0.0.1:{DEFAULT_PORT}"),
            token: None,
        }
    }
}

/// The admin API that a configuration file describes.
pub fn endpoint(path: &Path, environment: Environment<'_>) -> Result<Endpoint, LoadError> {
    let root = read_tree(path)?;
    let directory = path.parent().unwrap_or(Path::new(""));
    let secret = |fields: &[&str]| {
        let text = root.get(&FieldPath::of(fields))?.as_str()?;
        let reference = Reference::parse(text).ok()?;
        reference
            .resolve(environment, directory, &mut Vec::new())
            .ok()
            .map(Secret::new)
    };
    let host = host(&root, &["Admin", "host"]).or_else(|| host(&root, &["HOST"]));
    let port = port(&root, &["Admin", "port"]).or_else(|| port(&root, &["PORT"]));
    let address = SocketAddr::new(
        reachable(host.unwrap_or(Ipv4Addr::LOCALHOST.into())),
        port.unwrap_or(DEFAULT_PORT),
    );
    let token = secret(&["Admin", "token"]).or_else(|| secret(&["APIKEY"]));
    Ok(Endpoint {
        url: format!("http://{address}"),
        token,
    })
}

fn host(root: &Node, fields: &[&str]) -> Option<IpAddr> {
    root.get(&FieldPath::of(fields))?
        .as_str()
        .and_then(parse_host)
}

fn port(root: &Node, fields: &[&str]) -> Option<u16> {
    match &root.get(&FieldPath::of(fields))?.value {
        NodeValue::Number(number) => u16::try_from(number.as_u64()?).ok(),
        _ => None,
    }
}

/// A listener on every address is reached on the loopback one.
fn reachable(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        other => other,
    }
}
