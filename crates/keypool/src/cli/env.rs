//! `keypool env`: the variables by which clients find the gateway.

use std::io::IsTerminal;
use std::path::PathBuf;

use http::HeaderValue;
use keypool_gateway::Secret;

use super::args::{ClientArgs, EnvArgs};
use super::clients::{Agent, Change, Gateway, past_the_proxy};
use super::init::variable_name;
use super::shell::Shell;
use super::{ENVIRONMENT, Failure, output};
use crate::config;

/// The key for a gateway that has none of its own. It opens nothing; SDKs want something to send.
pub(super) const NO_KEY: &str = "keypool";

/// Prints them. The gateway's own key is among them: to hand it to clients is what the command is for.
pub(super) fn env(args: &EnvArgs) -> Result<(), Failure> {
    let target = Target::find(&args.client)?;
    let gateway = target.gateway()?;
    let agent = args.agent.as_deref().map_or(Agent::Other, Agent::named);
    let changes = changes(agent, &gateway);
    let shell = args
        .shell
        .unwrap_or_else(|| Shell::of_user(ENVIRONMENT("SHELL").as_deref()));
    for change in &changes {
        output::say(&shell.statement(change));
    }
    if std::io::stdout().is_terminal() {
        output::complain(&format!("# to take them over: {}", shell.usage()));
    }
    for change in &changes {
        let (Change::Set(name, _) | Change::Unset(name)) = change;
        if target.file_reads.iter().any(|read| read == name) {
            output::complain(&format!(
                "# the configuration reads ${name}, which this changes: start keypool from another shell"
            ));
        }
    }
    Ok(())
}

/// The gateway that clients are sent to.
pub(super) struct Target {
    /// Where it is; `None` where the configuration leaves the port open.
    pub(super) url: Option<String>,
    /// The key to present.
    pub(super) key: String,
    /// The configuration that describes it; `None` for one that the command line names.
    pub(super) file: Option<PathBuf>,
    /// The environment variables from which the configuration takes secrets.
    pub(super) file_reads: Vec<String>,
}

impl Target {
    /// Finds out where it is and with which key clients come.
    pub(super) fn find(args: &ClientArgs) -> Result<Self, Failure> {
        let own_key = args.key_env.as_deref().map(key_in).transpose()?;
        if let Some(url) = &args.url {
            if !url.starts_with("http://") && !url.starts_with("https://") {
                let message = format!("--url {url}: expected http://host:port");
                return Err(Failure::Usage(message));
            }
            return Ok(Self {
                url: Some(url.trim_end_matches('/').to_owned()),
                key: presentable(own_key)?,
                file: None,
                file_reads: Vec::new(),
            });
        }
        let path = config::locate(args.config.config.as_deref(), ENVIRONMENT)?;
        let side = config::client_side(&path, ENVIRONMENT)?;
        let key = match own_key {
            Some(key) => Some(key),
            None => side.key?,
        };
        if key.is_none() && side.has_tenants {
            let message =
                "only tenants have keys to this gateway: name the variable with yours by --key-env";
            return Err(Failure::Usage(message.to_owned()));
        }
        Ok(Self {
            url: side.url,
            key: presentable(key)?,
            file: Some(path),
            file_reads: side.variables,
        })
    }

    /// The gateway, where its address is known beforehand.
    fn gateway(&self) -> Result<Gateway, Failure> {
        let Some(url) = self.url.clone() else {
            let message =
                "PORT is 0, so the address is known only while the gateway runs: name it by --url";
            return Err(Failure::Usage(message.to_owned()));
        };
        Ok(Gateway {
            url,
            key: self.key.clone(),
        })
    }
}

/// What an agent's environment must say, in an environment like this one.
pub(super) fn changes(agent: Agent, gateway: &Gateway) -> Vec<Change> {
    let host = gateway.url.parse::<http::Uri>().ok();
    let host = host.as_ref().and_then(http::Uri::host).unwrap_or_default();
    let mut changes = agent.changes(gateway);
    changes.extend(past_the_proxy(host, ENVIRONMENT));
    changes
}

fn key_in(variable: &str) -> Result<Secret, Failure> {
    match ENVIRONMENT(variable).as_deref().map(str::trim) {
        None | Some("") => {
            // A key in the place of a name is not repeated.
            let name = variable_name(variable).map_err(Failure::Usage)?;
            let message = format!("the environment variable {name} is not set");
            Err(Failure::Usage(message))
        }
        Some(key) => Ok(Secret::new(key)),
    }
}

/// The key as a client can send it.
fn presentable(key: Option<Secret>) -> Result<String, Failure> {
    let Some(key) = key else {
        return Ok(NO_KEY.to_owned());
    };
    let can_be_sent = HeaderValue::from_str(key.expose())
        .is_ok_and(|value| value.to_str().is_ok_and(|text| !text.contains('\t')));
    if can_be_sent {
        Ok(key.expose().to_owned())
    } else {
        let message = "the gateway's key has characters that no header can carry";
        Err(Failure::Usage(message.to_owned()))
    }
}
