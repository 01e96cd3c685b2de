//! The arguments of the commands that set keypool up and send clients to it.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use super::ConfigArgs;
use crate::cli::shell::Shell;

/// What to configure.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  keypool init
      asks, with what the environment has as the proposals
  keypool init --yes
      takes all proposals: every provider with a key in the environment
  keypool init --yes --provider anthropic --keys-from ANTHROPIC_KEY_1,ANTHROPIC_KEY_2
      these keys and no others

Keys are found under NAME_API_KEY, NAME_KEY and the same with _1, _2 and so on, where NAME is a provider's
name (ANTHROPIC_API_KEY, OPENAI_KEY_2). The file refers to them as $NAME; the keys stay where they are.")]
pub(in crate::cli) struct InitArgs {
    /// The file to write.
    #[arg(long, short, value_name = "FILE", default_value = "config.json")]
    pub(in crate::cli) output: PathBuf,
    /// A provider; may be given several times. Default: each that has a key in the environment.
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) provider: Vec<String>,
    /// The variables that hold the keys of the one provider that is given, separated by commas. Default: those
    /// that are found.
    #[arg(long, value_name = "VARIABLES", value_delimiter = ',')]
    pub(in crate::cli) keys_from: Vec<String>,
    /// The variable that holds the key which clients of the gateway must present. Default: `KEYPOOL_API_KEY` if it
    /// is set; without one, only this machine is served.
    #[arg(long, value_name = "VARIABLE")]
    pub(in crate::cli) client_key_from: Option<String>,
    /// The port to listen on.
    #[arg(long, value_name = "N")]
    pub(in crate::cli) port: Option<u16>,
    /// Ask nothing.
    #[arg(long, short)]
    pub(in crate::cli) yes: bool,
    /// Write over a file that is there.
    #[arg(long)]
    pub(in crate::cli) force: bool,
}

/// What to take over.
#[derive(Debug, Args)]
#[command(after_help = "\
Providers, routes, fallbacks, APIKEY, HOST, PORT, PROXY_URL, API_TIMEOUT_MS and the log level are taken over. What
has no equal here, such as transformers, custom routers and plugins, is listed. The new file can be read by you
alone, since keys that stand in the old one stand in it, too; --keys-to-env keeps them out of it.")]
pub(in crate::cli) struct ImportArgs {
    /// The configuration of claude-code-router; default: `~/.claude-code-router/config.json`.
    pub(in crate::cli) path: Option<PathBuf>,
    /// The file to write.
    #[arg(long, short, value_name = "FILE", default_value = "config.json")]
    pub(in crate::cli) output: PathBuf,
    /// Put keys that stand in the old file as NAME=value into this file, and references to them into the new
    /// configuration.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) keys_to_env: Option<PathBuf>,
    /// Write over files that are there.
    #[arg(long)]
    pub(in crate::cli) force: bool,
}

/// Which gateway clients are sent to, and with which key.
#[derive(Debug, Args)]
pub(in crate::cli) struct ClientArgs {
    #[command(flatten)]
    pub(in crate::cli) config: ConfigArgs,
    /// A gateway elsewhere, instead of the configuration's: `http://host:port`. Its key comes by --key-env.
    #[arg(long, conflicts_with = "config")]
    pub(in crate::cli) url: Option<String>,
    /// The variable that holds the key to present, such as a tenant's; default: the configuration's APIKEY.
    #[arg(long, value_name = "VARIABLE")]
    pub(in crate::cli) key_env: Option<String>,
}

/// Which variables, and for which shell.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  eval \"$(keypool env)\"                        sh, bash, zsh
  keypool env --shell fish | source              fish
  keypool env --shell powershell | Out-String | Invoke-Expression

The gateway's own key is printed, since it is what clients need: mind who sees it. Variables that would lead
clients elsewhere are unset. A gateway without a key takes any, so a word without meaning is printed.")]
pub(in crate::cli) struct EnvArgs {
    #[command(flatten)]
    pub(in crate::cli) client: ClientArgs,
    /// The shell; default: what $SHELL names.
    #[arg(long, value_enum)]
    pub(in crate::cli) shell: Option<Shell>,
    /// Only what this agent needs: claude, codex, aider, opencode, gemini or qwen. Default: what the SDKs read.
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) agent: Option<String>,
}

/// Which agent, and what it is told.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  keypool code                                   Claude Code
  keypool code -p \"what does this do?\"           with arguments of its own
  keypool code --agent codex exec \"run the tests\"
  keypool code --agent ./my-script               any program that reads the variables of the SDKs

Options of keypool's stand before the agent's arguments. If no gateway answers at the configured address, one is
started, which ends when the agent does; for several agents at a time, let keypool serve run. The agent does not see
the variables from which the configuration takes keys. The exit code is the agent's.")]
pub(in crate::cli) struct CodeArgs {
    #[command(flatten)]
    pub(in crate::cli) client: ClientArgs,
    /// The agent: claude, codex, aider, opencode, gemini or qwen; any other name is a command to run.
    #[arg(long, value_name = "NAME", default_value = "claude")]
    pub(in crate::cli) agent: String,
    /// Fail if no gateway answers, instead of starting one.
    #[arg(long)]
    pub(in crate::cli) no_start: bool,
    /// Where a gateway that is started writes its log; default: nowhere, as the screen is the agent's.
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) log_file: Option<PathBuf>,
    /// The agent's arguments.
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "ARGS"
    )]
    pub(in crate::cli) arguments: Vec<OsString>,
}
