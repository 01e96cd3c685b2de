//! `soak`: whether the gateway stays what it was after a long time of trouble.
//!
//! Leaks and miscounts are too small to see in a test of seconds: a kilobyte a failure, a connection an
//! hour, a request in a thousand that is counted twice. So this program lets the real gateway work for
//! minutes at half of what it can do, while every key of the simulated provider fails now and then, in every
//! way, and one after the other is refused for a while. Enough keys always work, so no client may see a failure
//! but streams that broke after they had begun. In the end the gateway's books must be those of the provider, and
//! its memory and open files what they were. `bench/README.md` tells how to read it.

mod books;
mod client;
mod faults;
mod load;
mod watch;

use std::ffi::OsString;
use std::fs::File;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::{Parser, Subcommand};
use keypool_bench::gateway::{self, Gateway};
use keypool_bench::process;
use keypool_sim::{AnswerConfig, Limits, SimConfig, SimServer, Spread};
use serde_json::json;

use crate::books::Books;
use crate::client::Client;
use crate::load::Tally;
use crate::watch::Watch;

/// Output tokens of an answer, and letters of each: a stream that breaks states no usage, and is counted by
/// four letters a token.
const OUTPUT_TOKENS: u64 = 40;
const LETTERS_PER_TOKEN: usize = 4;

/// Clients that ask as fast as they are answered while the peak is measured.
const PEAK_CLIENTS: usize = 128;

/// How long what is still open at the end may take.
const DRAIN: Duration = Duration::from_secs(30);

/// How long the gateway's books may lag behind.
const SETTLING: Duration = Duration::from_secs(5);

/// Lets the gateway work under faults and compares its books with the provider's.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    role: Option<Role>,
    /// The keypool binary [default: the one beside this program]
    #[arg(long, value_name = "PATH")]
    keypool: Option<PathBuf>,
    /// How long, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(10..=86_400))]
    duration: u64,
    /// How long the peak is measured before, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=60))]
    peak: u64,
    /// Requests per second instead of half of the peak
    #[arg(long, value_name = "PER_SECOND", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: Option<u32>,
    /// Keys of the pool
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(3..=100))]
    keys: u16,
    /// Fixes which requests meet which fault
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write every sample and both books to this file
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
    gateway::raise_file_limit()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(soak(&arguments))
}

async fn soak(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let command: Vec<String> = std::env::args().collect();
    println!("command  {}", command.join(" "));
    let secrets: Vec<String> = (1..=arguments.keys)
        .map(|number| format!("sk-ant-soak-key-{number:04}"))
        .collect();
    let sim = SimServer::start(
        ([127, 0, 0, 1], 0).into(),
        provider(&secrets, arguments.seed),
    )
    .await?;
    let gateway = start_gateway(arguments, &sim.base_url(), &secrets)?;
    let client = Client::new(&gateway.url);

    let peak = load::closed_loop(&client, PEAK_CLIENTS, Duration::from_secs(arguments.peak)).await;
    let per_second = peak.served / arguments.peak;
    ensure!(
        per_second > 1,
        "no peak to speak of: {:?}",
        peak.first_failure
    );
    let rate = arguments.rate.map_or(per_second / 2, u64::from);
    println!(
        "peak     {per_second} requests/s with {PEAK_CLIENTS} clients and no fault; soaking at {rate}/s"
    );

    let duration = Duration::from_secs(arguments.duration);
    for (place, secret) in secrets.iter().enumerate() {
        let script = faults::script(place, secrets.len(), duration);
        sim.sim().set_faults(secret, script)?;
    }
    let watch = Watch::start(gateway.id(), duration);
    let soaked = load::open_loop(&client, rate, duration, DRAIN).await;
    let samples = watch.stop().await?;
    sim.sim().clear_faults();

    let books = settled(&client, &sim, &secrets).await?;
    let mut complaints = complaints(&peak, &soaked, &books);
    complaints.extend(samples.complaints());
    report(&soaked, &samples, &books, duration);
    if let Some(path) = &arguments.json {
        let file = File::create(path).with_context(|| format!("creating {}", path.display()))?;
        let whole = json!({
            "command": command, "peak": per_second, "rate": rate, "soaked": soaked,
            "samples": samples, "books": books, "complaints": complaints, "log": gateway.log(),
        });
        serde_json::to_writer_pretty(file, &whole)?;
    }
    if complaints.is_empty() {
        println!(
            "held     no request failed that a key could have served, the books agree, nothing grew"
        );
        return Ok(ExitCode::SUCCESS);
    }
    for complaint in &complaints {
        println!("FAILED   {complaint}");
    }
    Ok(ExitCode::FAILURE)
}

fn provider(secrets: &[String], seed: u64) -> SimConfig {
    let names: Vec<&str> = secrets.iter().map(String::as_str).collect();
    let letters = usize::try_from(OUTPUT_TOKENS).unwrap_or_default() * LETTERS_PER_TOKEN;
    let answer = AnswerConfig {
        latency_ms: Spread::Uniform { min: 5, max: 50 },
        output_tokens: Spread::Fixed(OUTPUT_TOKENS),
        text: Some("soak".chars().cycle().take(letters).collect()),
        ..AnswerConfig::default()
    };
    let mut config = SimConfig::anthropic(&names, Limits::NONE)
        .with_answer(answer)
        .without_request_log();
    config.seed = seed;
    config
}

fn start_gateway(
    arguments: &Arguments,
    base_url: &str,
    secrets: &[String],
) -> anyhow::Result<Gateway> {
    let binary = gateway::binary(arguments.keypool.as_deref())?;
    let keys = gateway::keys(secrets);
    let pool = json!({
        "enabled": true,
        // A refused key is probed soon, so that it is back before its next turn.
        "healthCheckInterval": 2000,
        "timeouts": { "firstByte": 1000, "idle": 1000 },
        "providers": { "anthropic": { "baseUrl": base_url, "keys": keys } },
    });
    Gateway::start_with(&binary, &pool)
}

/// Both books, as soon as they agree, or as they are when they have had time to.
async fn settled(client: &Client, sim: &SimServer, secrets: &[String]) -> anyhow::Result<Books> {
    let deadline = Instant::now() + SETTLING;
    loop {
        let books = Books::read(client, &sim.sim().counters(), secrets).await?;
        if books.differences().is_empty() || Instant::now() >= deadline {
            return Ok(books);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn complaints(peak: &Tally, soaked: &Tally, books: &Books) -> Vec<String> {
    let mut complaints = Vec::new();
    for (when, tally) in [
        ("while the peak was measured", peak),
        ("under faults", soaked),
    ] {
        if let Some(first) = &tally.first_failure {
            complaints.push(format!(
                "{} requests failed {when}; the first: {first}",
                tally.failed
            ));
        }
    }
    if soaked.unanswered > 0 {
        complaints.push(format!(
            "{} requests were still open {} s after the end",
            soaked.unanswered,
            DRAIN.as_secs()
        ));
    }
    let (served, broken) = (peak.served + soaked.served, peak.broken + soaked.broken);
    if served != books.completed() {
        complaints.push(format!(
            "clients got {served} whole answers, the provider gave {}",
            books.completed()
        ));
    }
    if broken != books.broken() {
        complaints.push(format!(
            "clients saw {broken} streams break, the provider broke {}",
            books.broken()
        ));
    }
    complaints.extend(books.differences());
    complaints
}

fn report(soaked: &Tally, samples: &watch::Samples, books: &Books, duration: Duration) {
    println!(
        "clients  {} requests in {} s: {} whole answers, {} streams broke after they had begun, {} failed",
        soaked.sent,
        duration.as_secs(),
        soaked.served,
        soaked.broken,
        soaked.failed,
    );
    println!(
        "provider {} requests, {} probes among them; {} struck by a fault",
        books.requests(),
        books.probes(),
        books.faults(),
    );
    println!("{samples}");
}
