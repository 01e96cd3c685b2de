//! Runs the simulator alone, for clients in other languages: `simulator [config.json]`.
//!
//! Prints the base URL on the first line, then serves until its standard input is closed. Without a
//! configuration there are two keys each of Anthropic, OpenAI and Gemini, without limits.

use std::error::Error;
use std::io::Read as _;

use keypool_sim::{Dialect, Limits, SimConfig, SimServer};

fn built_in() -> SimConfig {
    let anthropic = ["sk-ant-api03-simulated-1", "sk-ant-api03-simulated-2"];
    let openai = ["sk-proj-simulated-key-1", "sk-proj-simulated-key-2"];
    let gemini = ["AIzaSy-simulated-key-1", "AIzaSy-simulated-key-2"];
    SimConfig::anthropic(&anthropic, Limits::NONE)
        .with_keys(Dialect::OpenAi, &openai, Limits::NONE)
        .with_keys(Dialect::Gemini, &gemini, Limits::NONE)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let config = match std::env::args().nth(1) {
        Some(path) => serde_json::from_str(&std::fs::read_to_string(path)?)?,
        None => built_in(),
    };
    let server = SimServer::start(([127, 0, 0, 1], 0).into(), config).await?;
    println!("{}", server.base_url());
    // Whoever started this holds the other end: when they are gone, so is the simulator.
    let closed = || std::io::stdin().read_to_end(&mut Vec::new());
    tokio::task::spawn_blocking(closed).await??;
    server.stop().await;
    Ok(())
}
