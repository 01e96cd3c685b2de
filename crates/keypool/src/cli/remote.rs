//! What the commands which talk to a running gateway have in common.

use std::io;
use std::time::Instant;

use http::Method;
use keypool_gateway::Secret;
use serde_json::Value;

use super::args::RemoteArgs;
use super::client::{call, follow};
use super::{ENVIRONMENT, Failure, output};
use crate::config::{self, Endpoint, LoadError};

/// The variable with the token that opens the admin API.
pub(super) const ADMIN_TOKEN: &str = "KEYPOOL_ADMIN_TOKEN";

/// A running gateway.
pub(super) struct Remote {
    endpoint: Endpoint,
    json: bool,
}

impl Remote {
    /// Finds out where it is and with which token it is spoken to.
    pub(super) fn new(args: &RemoteArgs) -> Result<Self, Failure> {
        let configured = configured(args)?;
        let token = ENVIRONMENT(ADMIN_TOKEN).filter(|token| !token.is_empty());
        let token = token.map(Secret::new);
        let endpoint = match &args.url {
            None => {
                let endpoint = configured.unwrap_or_default();
                Endpoint {
                    token: token.or(endpoint.token),
                    url: endpoint.url,
                }
            }
            Some(url) => {
                let url = url.trim_end_matches('/').to_owned();
                // The configured token goes to the configured gateway, and nowhere else.
                let own = configured.filter(|endpoint| endpoint.url == url);
                Endpoint {
                    token: token.or(own.and_then(|endpoint| endpoint.token)),
                    url,
                }
            }
        };
        if !endpoint.url.starts_with("http://") && !endpoint.url.starts_with("https://") {
            let message = format!("--url {}: expected http://host:port", endpoint.url);
            return Err(Failure::Usage(message));
        }
        Ok(Self {
            endpoint,
            json: args.json,
        })
    }

    /// Where it is.
    pub(super) fn url(&self) -> &str {
        &self.endpoint.url
    }

    /// Reads.
    pub(super) fn get(&self, path: &str) -> Result<Value, Failure> {
        Ok(call(&self.endpoint, Method::GET, path, None)?)
    }

    /// Reads an answer that does not end by itself, piece by piece, until an instant.
    pub(super) fn follow(
        &self,
        path: &str,
        end: Option<Instant>,
        take: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), Failure> {
        Ok(follow(&self.endpoint, path, end, take)?)
    }

    /// Asks for a change.
    pub(super) fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        Ok(call(&self.endpoint, Method::POST, path, Some(body))?)
    }

    /// Changes fields.
    pub(super) fn patch(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        Ok(call(&self.endpoint, Method::PATCH, path, Some(body))?)
    }

    /// Prints the answer as JSON if that was asked for, else as `text` puts it.
    pub(super) fn print(&self, answer: &Value, text: impl FnOnce(&Value) -> String) {
        if self.json {
            output::say(&format!("{answer:#}"));
        } else {
            output::print(&text(answer));
        }
    }
}

/// The gateway of the configuration; without any configuration that of the defaults.
fn configured(args: &RemoteArgs) -> Result<Option<Endpoint>, Failure> {
    let path = match config::locate(args.config.config.as_deref(), ENVIRONMENT) {
        Ok(path) => path,
        Err(LoadError::NotFound(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    match config::endpoint(&path, ENVIRONMENT) {
        Ok(endpoint) => Ok(Some(endpoint)),
        // A broken file does not matter to who says where the gateway is.
        Err(_) if args.url.is_some() && args.config.config.is_none() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A text of an answer, or `-`.
pub(super) fn text(value: &Value, field: &str) -> String {
    match value.get(field) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Bool(true)) => "yes".to_owned(),
        Some(Value::Bool(false)) => "no".to_owned(),
        Some(Value::Null | Value::Array(_) | Value::Object(_)) | None => "-".to_owned(),
    }
}

/// A name made fit for a path or a query.
pub(super) fn escaped(name: &str) -> String {
    name.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}
