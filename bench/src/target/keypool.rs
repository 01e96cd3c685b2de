//! keypool as its users run it: a configuration file, a pool of three keys with declared limits.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use serde_json::json;

use super::{Bench, Kind, LOG, Running, Starting, Workers};
use crate::payload::GATEWAY_KEY;
use crate::process::{ManagedChild, launcher};

/// What the line on standard output begins with that names the address.
const ANNOUNCEMENT: &str = "keypool listening on http://";
/// A limit that no run reaches, but that every grant is counted against.
const HIGH_LIMIT: u64 = 50_000_000_000;

/// Starts keypool with a temporary configuration. It has no setting for the number of its workers:
/// it runs one for each CPU that it may use.
pub(super) fn start(bench: &Bench, workers: &Workers) -> anyhow::Result<Running> {
    ensure!(
        bench.keypool.is_file(),
        "{} does not exist: build it with `cargo build --release -p keypool`, or name it with --keypool",
        bench.keypool.display()
    );
    let directory = tempfile::Builder::new()
        .prefix("keypool-bench-")
        .tempdir()?;
    let file = directory.path().join("config.json");
    fs::write(
        &file,
        serde_json::to_vec_pretty(&configuration(bench.upstream))?,
    )?;
    let mut command = launcher(&bench.keypool, workers.cpus())?;
    command
        .arg("serve")
        .arg("--config")
        .arg(&file)
        .current_dir(directory.path());
    command
        .env("HOME", directory.path())
        .stderr(File::create(directory.path().join(LOG))?);
    let spawned = Instant::now();
    let child = ManagedChild::spawn(&mut command)?;
    let mut starting = Starting {
        kind: Kind::Keypool,
        child,
        directory,
        spawned,
    };
    let line = starting.child.read_line().with_context(|| starting.log())?;
    let address = line
        .strip_prefix(ANNOUNCEMENT)
        .and_then(|rest| rest.trim_end_matches('/').parse().ok())
        .with_context(|| format!("expected `{ANNOUNCEMENT}ADDRESS`, got `{line}`"))?;
    starting.until_answering(address)
}

fn configuration(upstream: SocketAddr) -> serde_json::Value {
    let keys: Vec<_> = (1..=3)
        .map(|number| {
            json!({
                "key": format!("sk-ant-bench-key-number-{number}"),
                "name": format!("bench-{number}"),
                "rateLimit": {
                    "requestsPerMinute": HIGH_LIMIT,
                    "tokensPerMinute": HIGH_LIMIT,
                    "requestsPerDay": HIGH_LIMIT,
                    "maxConcurrent": 1_000_000,
                },
            })
        })
        .collect();
    json!({
        "HOST": "127.0.0.1",
        "PORT": 0,
        "APIKEY": GATEWAY_KEY,
        "ApiKeyPool": {
            "enabled": true,
            "strategy": "least-loaded",
            "providers": {
                "anthropic": { "baseUrl": format!("http://{upstream}"), "keys": keys },
            },
        },
    })
}
