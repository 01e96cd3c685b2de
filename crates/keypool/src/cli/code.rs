//! `keypool code`: a coding agent that finds the gateway, and a gateway if there is none yet.
//!
//! A gateway that is started here lives in this process and ends with the agent. It is not left running in the
//! background: it would go on with the keys of an environment that nobody remembers.

use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::process::{Command as StdCommand, ExitCode, ExitStatus};

use anyhow::{Context as _, anyhow};
use keypool_gateway::{Gateway as Server, RunningGateway};
use tokio::process::{Child, Command};
use tokio::runtime::Builder;

use super::args::CodeArgs;
use super::client::{Presence, look_for};
use super::clients::{Agent, Change, Gateway};
use super::env::{Target, changes};
use super::remote::ADMIN_TOKEN;
use super::signals::Passing;
use super::{ENVIRONMENT, Failure};
use crate::config;
use crate::logging::{self, LogFormat};

/// Runs the agent to its end, and ends as it does.
pub(super) fn code(args: &CodeArgs) -> Result<ExitCode, Failure> {
    let target = Target::find(&args.client)?;
    let agent = Agent::named(&args.agent);
    let mut command = StdCommand::new(&args.agent);
    // An agent runs what a model tells it to: the providers' keys are not for it to read.
    for variable in &target.file_reads {
        command.env_remove(variable);
    }
    // Nor is what opens the admin API.
    command.env_remove(ADMIN_TOKEN);
    let (server, gateway) = gateway(args, target)?;
    command
        .args(agent.arguments(&gateway))
        .args(&args.arguments);
    for change in changes(agent, &gateway) {
        match change {
            Change::Set(name, value) => command.env(name, value),
            Change::Unset(name) => command.env_remove(name),
        };
    }
    let status = run(command).map_err(|error| not_run(args, agent, &error));
    if let Some(server) = server {
        let report = server.shutdown();
        tracing::info!(connections = report.cut, "the agent has ended; stopped");
    }
    Ok(exit_code(status?))
}

/// The gateway that answers, or one that is started.
fn gateway(args: &CodeArgs, target: Target) -> Result<(Option<RunningGateway>, Gateway), Failure> {
    let Target { url, key, file, .. } = target;
    if let Some(url) = url {
        match look_for(&url, &key)? {
            Presence::Serves => return Ok((None, Gateway { url, key })),
            Presence::Refuses => {
                let message = format!(
                    "the gateway at {url} refuses the key: does it run with another configuration? \
                     --key-env names a variable with another key"
                );
                return Err(anyhow!(message).into());
            }
            Presence::Nobody if args.no_start || file.is_none() => {
                return Err(anyhow!("no gateway answers at {url}").into());
            }
            Presence::Nobody => {}
        }
    }
    let Some(file) = file else {
        return Err(anyhow!("no gateway to go to").into());
    };
    let server = start(&file, args.log_file.as_deref())?;
    let mut address = server.traffic_addr();
    address.set_ip(config::reachable(address.ip()));
    let url = format!("http://{address}");
    Ok((Some(server), Gateway { url, key }))
}

fn start(file: &Path, log: Option<&Path>) -> Result<RunningGateway, Failure> {
    let loaded = config::load(file, ENVIRONMENT)?;
    if let Some(path) = log {
        let file = OpenOptions::new().create(true).append(true).open(path);
        let file = file.with_context(|| format!("cannot write to {}", path.display()))?;
        let level = loaded.log_level.map(Into::into).unwrap_or_default();
        logging::start_in_file(file, LogFormat::default(), level)
            .context("the log cannot be started")?;
    }
    let server = Server::start(loaded.gateway).context("no gateway answers, and none can start")?;
    Ok(server)
}

fn run(command: StdCommand) -> io::Result<ExitStatus> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // Caught before the agent is there, and by a handler, which a child does not inherit.
        let mut signals = Passing::new()?;
        let mut child = Command::from(command).spawn()?;
        loop {
            tokio::select! {
                status = child.wait() => return status,
                signal = signals.next() => signal.pass_to(process_id(&child)),
            }
        }
    })
}

fn process_id(child: &Child) -> Option<i32> {
    child.id().and_then(|id| i32::try_from(id).ok())
}

fn not_run(args: &CodeArgs, agent: Agent, error: &io::Error) -> Failure {
    let name = &args.agent;
    let message = match agent.installation() {
        Some(how) if error.kind() == io::ErrorKind::NotFound => {
            format!("{name} is not installed, or not on the PATH; one way: {how}")
        }
        Some(_) | None => format!("{name} cannot be run: {error}"),
    };
    anyhow!(message).into()
}

/// The agent's own exit code; ended by a signal, what a shell makes of it.
fn exit_code(status: ExitStatus) -> ExitCode {
    #[cfg(unix)]
    let by_signal = {
        use std::os::unix::process::ExitStatusExt as _;
        status.signal().map(|signal| 128 + signal)
    };
    #[cfg(not(unix))]
    let by_signal = None;
    let code = status.code().or(by_signal).unwrap_or(1);
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
