//! What can be typed.

mod setup;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::demo::DemoArgs;
use crate::logging::{LogFormat, LogLevel};
pub(super) use setup::{ClientArgs, CodeArgs, EnvArgs, ImportArgs, InitArgs};

/// The strategies, as the admin API names them.
const STRATEGIES: [&str; 5] = [
    "round-robin",
    "lru",
    "least-loaded",
    "weighted",
    "fill-first",
];

/// A gateway that pools API keys of LLM providers.
#[derive(Debug, Parser)]
#[command(name = "keypool", version, arg_required_else_help = true)]
pub(super) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(super) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Write a configuration: finds the providers' keys in the environment, asks, and writes references to
    /// them, never a key.
    Init(InitArgs),
    /// Write a configuration that does what one of claude-code-router does, and say what it leaves out.
    ImportCcr(ImportArgs),
    /// Run the gateway.
    Serve(ServeArgs),
    /// Check the configuration without starting.
    Check(ConfigArgs),
    /// Print the JSON Schema of the configuration.
    Schema,
    /// Print the variables by which clients find the gateway: eval "$(keypool env)".
    Env(EnvArgs),
    /// Run Claude Code, or another coding agent, through the gateway; starts one if none answers.
    Code(CodeArgs),
    /// See everything at work in half a minute, with no real key.
    Demo(DemoArgs),
    /// Run the simulator of providers alone.
    Sim(SimArgs),
    /// Show what every key of a running gateway is doing.
    Status(StatusArgs),
    /// List and change the keys of a running gateway.
    Keys(KeysArgs),
    /// Show or change how a running gateway chooses keys.
    Strategy(StrategyArgs),
    /// Make the next request to a provider go to another key than the last.
    Rotate(RotateArgs),
    /// Record the traffic of a running gateway, one request a line: sizes and times, nothing of what anybody
    /// wrote.
    Trace(TraceArgs),
    /// Find out in virtual time whether a load fits the configured keys, and how many more it needs.
    Plan(PlanArgs),
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
}

/// Which configuration.
#[derive(Debug, Args)]
pub(super) struct ConfigArgs {
    /// The configuration; default: `$KEYPOOL_CONFIG`, `./config.json`, `~/.config/keypool/config.json`.
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

/// How to run the gateway.
#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    pub(super) config: ConfigArgs,
    /// The form of the log, which goes to standard error.
    #[arg(long, value_enum, default_value_t)]
    pub(super) log_format: LogFormat,
    /// How much is logged; default: `LOG_LEVEL` of the configuration, else info.
    #[arg(long, value_enum, value_name = "LEVEL")]
    pub(super) log_level: Option<LogLevel>,
}

/// What to simulate.
#[derive(Debug, Args)]
pub(super) struct SimArgs {
    /// The address to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:3500")]
    pub(super) listen: SocketAddr,
    /// What to simulate, as JSON; default: three Anthropic and two OpenAI keys, 50 requests a minute each.
    #[arg(long, value_name = "FILE")]
    pub(super) config_file: Option<PathBuf>,
}

/// How to reach the running gateway.
#[derive(Debug, Args)]
pub(super) struct RemoteArgs {
    #[command(flatten)]
    pub(super) config: ConfigArgs,
    /// The running gateway; default: what the configuration says, else `http://127.0.0.1:3456`. The token is
    /// `$KEYPOOL_ADMIN_TOKEN`, else the configuration's Admin.token or APIKEY.
    #[arg(long)]
    pub(super) url: Option<String>,
    /// Print the answer as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

/// Whose status to show.
#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    pub(super) remote: RemoteArgs,
    /// This provider alone.
    #[arg(long)]
    pub(super) provider: Option<String>,
}

/// What to do with keys.
#[derive(Debug, Args)]
pub(super) struct KeysArgs {
    /// What to do.
    #[command(subcommand)]
    pub(super) command: KeysCommand,
}

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub(super) enum KeysCommand {
    /// List the keys.
    List(StatusArgs),
    /// Add a key, read from standard input or from a variable; never from the command line, which others
    /// can see.
    Add(Box<AddArgs>),
    /// Remove a key; its requests in flight finish.
    Remove(KeyArgs),
    /// Let a key be selected again.
    Enable(KeyArgs),
    /// Keep a key listed and not select it.
    Disable(KeyArgs),
}

/// The key to add.
#[derive(Debug, Args)]
pub(super) struct AddArgs {
    #[command(flatten)]
    pub(super) remote: RemoteArgs,
    /// The provider.
    pub(super) provider: String,
    /// Read the key from this environment variable instead of from standard input.
    #[arg(long, value_name = "NAME")]
    pub(super) key_env: Option<String>,
    /// A name for people.
    #[arg(long)]
    pub(super) name: Option<String>,
    /// The quota group it shares.
    #[arg(long, value_name = "GROUP")]
    pub(super) quota_group: Option<String>,
    /// Weight for the weighted strategy.
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub(super) priority: Option<u8>,
    /// A label; may be given several times.
    #[arg(long, value_name = "TAG")]
    pub(super) tag: Vec<String>,
    /// A model it may serve, with `*` for any characters; may be given several times; default: all.
    #[arg(long, value_name = "MODEL")]
    pub(super) model: Vec<String>,
    /// Most requests per minute.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) requests_per_minute: Option<u64>,
    /// Most tokens per minute.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) tokens_per_minute: Option<u64>,
    /// Most requests per day.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) requests_per_day: Option<u64>,
    /// Add it without letting it be selected yet.
    #[arg(long)]
    pub(super) disabled: bool,
}

/// Which key.
#[derive(Debug, Args)]
pub(super) struct KeyArgs {
    #[command(flatten)]
    pub(super) remote: RemoteArgs,
    /// The provider.
    pub(super) provider: String,
    /// The key's id, name or mask, as `keypool keys list` shows them.
    pub(super) key: String,
}

/// Which strategy.
#[derive(Debug, Args)]
pub(super) struct StrategyArgs {
    #[command(flatten)]
    pub(super) remote: RemoteArgs,
    /// The strategy to change to; without one the present state is shown.
    #[arg(value_parser = PossibleValuesParser::new(STRATEGIES))]
    pub(super) strategy: Option<String>,
    /// This provider alone.
    #[arg(long)]
    pub(super) provider: Option<String>,
}

/// What to record.
#[derive(Debug, Args)]
pub(super) struct TraceArgs {
    #[command(flatten)]
    pub(super) remote: RemoteArgs,
    /// This provider alone.
    #[arg(long)]
    pub(super) provider: Option<String>,
    /// Stop after so many seconds; default: when interrupted.
    #[arg(long, value_name = "N")]
    pub(super) seconds: Option<u64>,
    /// Write to this file instead of to standard output.
    #[arg(long, short, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
}

/// Which load, on which keys.
#[derive(Debug, Args)]
pub(super) struct PlanArgs {
    #[command(flatten)]
    pub(super) config: ConfigArgs,
    /// The provider whose keys are planned with; not needed where there is one.
    #[arg(long)]
    pub(super) provider: Option<String>,
    /// Recorded traffic, one request a line, to be run again at its own pace.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["rpm", "input_tokens", "output_tokens", "burst"])]
    pub(super) trace: Option<PathBuf>,
    /// How many times as fast recorded traffic comes.
    #[arg(long, value_name = "X", default_value_t = 1.0, value_parser = positive)]
    pub(super) speed: f64,
    /// Requests per minute.
    #[arg(long, value_name = "N", value_parser = positive)]
    pub(super) rpm: Option<f64>,
    /// Tokens of a prompt on average.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub(super) input_tokens: Option<u64>,
    /// Tokens of an answer on average; clients are taken to allow twice as many.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub(super) output_tokens: Option<u64>,
    /// The requests come within 5 of every 20 seconds.
    #[arg(long)]
    pub(super) burst: bool,
    /// Minutes to simulate; the first does not count.
    #[arg(long, value_name = "M", default_value_t = 10, value_parser = clap::value_parser!(u64).range(2..=100_000))]
    pub(super) minutes: u64,
    /// Limits of keys and groups for which none are declared: rpm, tpm, itpm, otpm, rpd, tpd.
    #[arg(long, value_name = "rpm=N,tpm=N")]
    pub(super) assume: Option<String>,
    /// Print the plan as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

/// A number of more than nothing and at most a million.
fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number > 0.0 && number <= 1e6 => Ok(number),
        _ => Err("must be a number above 0 and at most 1,000,000".to_owned()),
    }
}

/// Which provider.
#[derive(Debug, Args)]
pub(super) struct RotateArgs {
    #[command(flatten)]
    pub(super) remote: RemoteArgs,
    /// The provider.
    pub(super) provider: String,
}
