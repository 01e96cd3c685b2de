//! `keypool sim`: the simulator of providers alone.

use std::path::Path;

use anyhow::Context as _;
use keypool_sim::{Dialect, Limits, SimConfig, SimServer};
use tokio::runtime::Builder;

use super::args::SimArgs;
use super::signals::{Signal, Signals};
use super::{Failure, output};

/// What is simulated unless a file says otherwise: each key with a quota of its own.
const ANTHROPIC_KEYS: [&str; 3] = [
    "sk-ant-sim-0000000001",
    "sk-ant-sim-0000000002",
    "sk-ant-sim-0000000003",
];
const OPENAI_KEYS: [&str; 2] = ["sk-proj-sim-0000000001", "sk-proj-sim-0000000002"];
const REQUESTS_PER_MINUTE: u64 = 50;

/// Runs the simulator until it is asked to stop.
pub(super) fn sim(args: &SimArgs) -> Result<(), Failure> {
    let config = match &args.config_file {
        Some(path) => read(path)?,
        None => default_config(),
    };
    let keys: Vec<_> = config.keys.iter().map(|key| key.secret.clone()).collect();
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no runtime")?;
    runtime.block_on(async {
        let mut signals = Signals::new().context("signals cannot be caught")?;
        let listening = SimServer::start(args.listen, config).await;
        let server = listening.with_context(|| format!("cannot simulate on {}", args.listen))?;
        output::say(&format!("simulator listening on {}", server.base_url()));
        // Not secrets: whoever runs the simulator needs them, and nobody else takes them.
        output::say(&format!("keys: {}", keys.join(", ")));
        while signals.next().await != Signal::Stop {}
        server.stop().await;
        Ok(())
    })
}

fn read(path: &Path) -> Result<SimConfig, Failure> {
    let wrong = |reason: String| Failure::Usage(format!("{}: {reason}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let config: SimConfig =
        serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    config.check().map_err(|error| wrong(error.to_string()))?;
    Ok(config)
}

fn default_config() -> SimConfig {
    let limits = Limits::per_minute(REQUESTS_PER_MINUTE);
    SimConfig::empty()
        .with_keys(Dialect::Anthropic, &ANTHROPIC_KEYS, limits)
        .with_keys(Dialect::OpenAi, &OPENAI_KEYS, limits)
}
