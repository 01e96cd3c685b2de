//! The command line.

mod args;
mod check;
mod client;
mod clients;
mod code;
mod env;
mod import_ccr;
mod init;
mod keys;
mod new_file;
pub(crate) mod output;
mod plan;
mod remote;
mod serve;
mod shell;
mod signals;
mod sim;
mod status;
mod steer;
mod trace;
mod watch;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::config::{Environment, LoadError};
use args::{Cli, Command};

/// Why a command failed; decides the exit code.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// Wrong usage: exit code 2.
    #[error("{0}")]
    Usage(String),
    /// Wrong configuration: exit code 2.
    #[error(transparent)]
    Config(#[from] LoadError),
    /// Anything else: exit code 1.
    #[error("{0:#}")]
    Failed(#[from] anyhow::Error),
}

/// The process's own environment.
const ENVIRONMENT: Environment<'static> = &|name| std::env::var(name).ok();

/// Runs the command that the process was started with. Exit codes: 0 fine, 1 failed, 2 wrong usage or
/// configuration.
#[must_use]
pub fn run() -> ExitCode {
    match run_command(Cli::parse().command) {
        Ok(code) => code,
        Err(failure) => {
            output::complain(&format!("keypool: {failure}"));
            failure.exit_code()
        }
    }
}

fn run_command(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Init(args) => init::init(&args),
        Command::ImportCcr(args) => import_ccr::import(&args),
        Command::Env(args) => env::env(&args),
        Command::Code(args) => return code::code(&args),
        Command::Serve(args) => serve::serve(&args),
        Command::Check(args) => check::check(&args),
        Command::Schema => {
            check::print_schema();
            Ok(())
        }
        Command::Demo(args) => Ok(crate::demo::run(&args)?),
        Command::Sim(args) => sim::sim(&args),
        Command::Status(args) => status::status(&args),
        Command::Keys(args) => keys::keys(args),
        Command::Strategy(args) => steer::strategy(&args),
        Command::Rotate(args) => steer::rotate(&args),
        Command::Trace(args) => trace::trace(&args),
        Command::Plan(args) => plan::plan(&args),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "keypool", &mut script);
            output::print(&String::from_utf8_lossy(&script));
            Ok(())
        }
    }?;
    Ok(ExitCode::SUCCESS)
}

impl Failure {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_) | Self::Config(_) => ExitCode::from(2),
            Self::Failed(_) => ExitCode::FAILURE,
        }
    }
}
