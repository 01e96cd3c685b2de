//! `efficiency`: how much of its keys' independent quotas a pool hands on to its clients.
//!
//! A pool's whole worth is that N keys serve N times as much; a tenth lost to caution, or a tenth of the
//! requests refused by providers, is not seen in any functional test. So this program puts the real
//! gateway between a provider that enforces its limits and clients that ask for more, in real time over
//! real sockets, and compares what arrives with what the quotas allow. `bench/README.md` tells how to read
//! it.

mod affinity;
mod client;
mod row;
mod scenario;
mod statistics;
mod traffic;
mod verdict;

use std::ffi::OsString;
use std::fs::File;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use keypool_bench::{gateway, process};
use serde_json::json;
use tokio::task::JoinSet;

use crate::affinity::Sessions;
use crate::row::{Extent, Row};
use crate::scenario::Scenario;

/// The name of the conversations for `--only`.
const AFFINITY: &str = "affinity";

/// Measures how much of the keys' quotas reaches clients.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    role: Option<Role>,
    /// The keypool binary [default: the one beside this program]
    #[arg(long, value_name = "PATH")]
    keypool: Option<PathBuf>,
    /// Four rows with short warm-ups: about four minutes
    #[arg(long)]
    quick: bool,
    /// All 768 rows instead of fifteen: some seven hours
    #[arg(long)]
    all: bool,
    /// Only rows whose name holds this text, of all 768 if none of the default ones does; `affinity` for
    /// the conversations. May be given several times
    #[arg(long, value_name = "PATTERN")]
    only: Vec<String>,
    /// List the rows and end
    #[arg(long)]
    list: bool,
    /// Rows run side by side while they offer no more requests per second than this in all
    #[arg(long, value_name = "PER_SECOND", default_value_t = 150.0)]
    budget: f64,
    /// Fixes instants and sizes of requests
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write everything to this file, the gateway's view of its keys included
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
#[command(disable_help_subcommand = true)]
enum Role {
    /// Becomes the gateway, which ends with its parent.
    #[command(hide = true, name = process::LAUNCH)]
    Launch {
        #[arg(last = true)]
        program: Vec<OsString>,
    },
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    if let Some(Role::Launch { program }) = &arguments.role {
        process::launch(&[], program)?;
    }
    let rows = arguments.rows();
    if arguments.list {
        for row in &rows {
            println!("{row}");
        }
        return Ok(ExitCode::SUCCESS);
    }
    gateway::raise_file_limit()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(measure(&arguments, &rows))
}

impl Arguments {
    fn names(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|pattern| name.contains(pattern))
    }

    fn rows(&self) -> Vec<Scenario> {
        let chosen = if self.all {
            scenario::all()
        } else if self.quick {
            scenario::quick()
        } else {
            scenario::representative()
        };
        if self.only.is_empty() {
            return chosen;
        }
        scenario::named(&chosen, &self.only)
    }

    fn extent(&self) -> anyhow::Result<Extent> {
        let (warm_up, measured) = if self.quick { (30, 30) } else { (60, 90) };
        Ok(Extent {
            warm_up: Duration::from_secs(warm_up),
            measured: Duration::from_secs(measured),
            seed: self.seed,
            keypool: gateway::binary(self.keypool.as_deref())?,
        })
    }

    fn sessions(&self) -> Sessions {
        let (count, turns, gap) = if self.quick {
            (100, 4, 10)
        } else {
            (200, 6, 15)
        };
        Sessions {
            count,
            turns,
            gap: Duration::from_secs(gap),
        }
    }
}

async fn measure(arguments: &Arguments, rows: &[Scenario]) -> anyhow::Result<ExitCode> {
    let extent = arguments.extent()?;
    let command: Vec<String> = std::env::args().collect();
    println!("command  {}", command.join(" "));
    println!("{}", verdict::heading());
    let mut done = Vec::new();
    let mut broken = Vec::new();
    for group in scenario::side_by_side(rows, arguments.budget) {
        for measured in run_group(group, &extent).await? {
            let misses = verdict::misses(&measured);
            if !misses.is_empty() {
                broken.push(format!("{}: {}", measured.scenario, misses.join("; ")));
            }
            done.push(verdict::json(&measured));
        }
    }
    let mut conversations = Vec::new();
    if arguments.names(AFFINITY) {
        let sides = affinity::run(&extent, arguments.sessions()).await?;
        for side in &sides {
            println!("{}", verdict::affinity_line(side));
            conversations.push(verdict::affinity_json(side));
        }
        let misses = verdict::affinity_misses(&sides);
        broken.extend(misses.into_iter().map(|miss| format!("{AFFINITY}: {miss}")));
    }
    if let Some(path) = &arguments.json {
        let whole = json!({
            "command": command, "rows": done, "affinity": conversations, "missed": broken,
        });
        let file = File::create(path).with_context(|| format!("creating {}", path.display()))?;
        serde_json::to_writer_pretty(file, &whole)?;
    }
    println!(
        "\ntargets  limits right or learnt: goodput >= 0.99 at 2x, 429s <= 0.1 %; a fifth wrong: 0.97, 0.5 %;\n\
         \x20        below the quotas: all served, wait p99 <= 2 s (7 s for bursts into slices);\n\
         \x20        affinity: hit ratio within 0.02 of one key's, no key above 1.25 of its share"
    );
    if broken.is_empty() {
        println!("all targets are met");
        return Ok(ExitCode::SUCCESS);
    }
    for promise in &broken {
        println!("MISS     {promise}");
    }
    Ok(ExitCode::FAILURE)
}

/// Runs rows side by side and prints each as it ends.
async fn run_group(group: Vec<Scenario>, extent: &Extent) -> anyhow::Result<Vec<Row>> {
    let mut open = JoinSet::new();
    for scenario in group {
        let extent = extent.clone();
        open.spawn(async move {
            let row = row::run(scenario, &extent).await;
            row.with_context(|| format!("measuring {scenario}"))
        });
    }
    let mut rows = Vec::new();
    while let Some(row) = open.join_next().await {
        let row = row??;
        println!("{}", verdict::line(&row));
        rows.push(row);
    }
    Ok(rows)
}
