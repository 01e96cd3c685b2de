//! Where the running gateway is, for commands that talk to it or send others there. Read leniently: such a
//! command must work in a shell that has none of the providers' keys in its environment.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use keypool_gateway::Secret;

use super::addresses::parse_host;
use super::document::{Node, NodeValue};
use super::load::read_tree;
use super::path::FieldPath;
use super::problem::{LoadError, Problem};
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

/// How clients reach the gateway that a configuration file describes.
#[derive(Debug)]
pub struct ClientSide {
    /// Base URL, without a slash at its end; `None` where the port is any free one.
    pub url: Option<String>,
    /// The key that clients present, if the gateway has one of its own; or why it cannot be had, which does not
    /// matter to who has another.
    pub key: Result<Option<Secret>, LoadError>,
    /// Clients may also come with a tenant's key, and must where there is no key of the gateway's own.
    pub has_tenants: bool,
    /// The environment variables from which the file takes secrets.
    pub variables: Vec<String>,
}

/// What a client of the gateway needs to know.
pub fn client_side(path: &Path, environment: Environment<'_>) -> Result<ClientSide, LoadError> {
    let root = read_tree(path)?;
    let host = host(&root, &["HOST"]).unwrap_or(Ipv4Addr::LOCALHOST.into());
    let port = port(&root, &["PORT"]).unwrap_or(DEFAULT_PORT);
    let address = SocketAddr::new(reachable(host), port);
    let tenants = root.get(&FieldPath::of(&["Tenants"]));
    let mut variables = Vec::new();
    collect_variables(&root, &mut variables);
    Ok(ClientSide {
        url: (port != 0).then(|| format!("http://{address}")),
        key: client_key(&root, path, environment),
        has_tenants: tenants
            .is_some_and(|node| matches!(&node.value, NodeValue::Array(list) if !list.is_empty())),
        variables,
    })
}

fn client_key(
    root: &Node,
    path: &Path,
    environment: Environment<'_>,
) -> Result<Option<Secret>, LoadError> {
    let field = FieldPath::of(&["APIKEY"]);
    let Some(text) = root.get(&field).and_then(Node::as_str) else {
        return Ok(None);
    };
    let directory = path.parent().unwrap_or(Path::new(""));
    let resolved = Reference::parse(text)
        .and_then(|reference| reference.resolve(environment, directory, &mut Vec::new()));
    match resolved {
        Ok(key) => Ok(Some(Secret::new(key))),
        Err(reason) => Err(LoadError::Invalid {
            path: path.to_owned(),
            problems: vec![Problem::new(root.locate(&field), field, reason)],
        }),
    }
}

fn collect_variables(node: &Node, names: &mut Vec<String>) {
    match &node.value {
        NodeValue::String(text) => {
            if let Ok(Reference::Variable(name)) = Reference::parse(text) {
                names.push(name.to_owned());
            }
        }
        NodeValue::Array(elements) => {
            for element in elements {
                collect_variables(element, names);
            }
        }
        NodeValue::Object(members) => {
            let is_address = |name: &str| matches!(name, "api_base_url" | "baseUrl");
            for member in members.iter().filter(|member| !is_address(&member.name)) {
                collect_variables(&member.value, names);
            }
        }
        NodeValue::Null | NodeValue::Bool(_) | NodeValue::Number(_) => {}
    }
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
#[must_use]
pub fn reachable(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        other => other,
    }
}
