//! `failover`: what it costs a client that the first key fails.
//!
//! A small share of the requests of every key fails, so that another key serves them. The gateway says in
//! each answer how many attempts it took; a request that took two is compared with those that took one. What
//! is left is the failover: the failed answer, the verdict on it, the choice of another key, and the second
//! request on its way. The simulated provider answers at once, so that nothing of this hides behind its
//! latency.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use clap::{Parser, Subcommand};
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use keypool_bench::gateway::{self, Gateway};
use keypool_bench::process;
use keypool_bench::stats::Latencies;
use keypool_sim::{AnswerConfig, Fault, FaultWindow, Limits, SimConfig, SimServer, Spread};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

/// Keys of the pool.
const KEYS: u16 = 8;

/// Requests of a key that fail: few enough for every key to stay in good health.
const SHARE: f64 = 0.05;

/// Compares requests that a second key served with those that the first one did.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    role: Option<Role>,
    /// The keypool binary [default: the one beside this program]
    #[arg(long, value_name = "PATH")]
    keypool: Option<std::path::PathBuf>,
    /// Seconds for each kind of failure
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=600))]
    duration: u32,
    /// Requests per second
    #[arg(long, value_name = "PER_SECOND", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(10..=10_000))]
    rate: u32,
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

/// A kind of failure, and whether the requests ask for streams.
struct Case {
    name: &'static str,
    fault: Fault,
    streamed: bool,
}

/// How long requests took, by the attempts that were needed.
#[derive(Default)]
struct Times {
    first: Vec<Duration>,
    second: Vec<Duration>,
    more: usize,
    failed: usize,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    if let Some(Role::Launch { program }) = &arguments.role {
        process::launch(&[], program)?;
    }
    gateway::raise_file_limit()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(measure(&arguments))
}

fn cases() -> Vec<Case> {
    let plain = |name, fault| Case {
        name,
        fault,
        streamed: false,
    };
    let streamed = |name, fault| Case {
        name,
        fault,
        streamed: true,
    };
    let first_event = Fault::StreamError {
        after_events: 0,
        code: None,
    };
    vec![
        plain("500", Fault::status(500)),
        plain("529 overloaded", Fault::overloaded()),
        plain("reset before the head", Fault::ResetBeforeHead),
        streamed("500, stream", Fault::status(500)),
        streamed("error as first event", first_event),
    ]
}

async fn measure(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let command: Vec<String> = std::env::args().collect();
    println!("command  {}", command.join(" "));
    println!(
        "{:<22} {:>8} {:>16} {:>8} {:>16} {:>14}",
        "failure", "one", "p50 / p99 ms", "two", "p50 / p99 ms", "added p50 / p99"
    );
    let mut failed = 0;
    for case in cases() {
        let times = run(arguments, &case).await.context(case.name)?;
        failed += times.failed;
        report(&case, times)?;
    }
    if failed > 0 {
        println!("FAILED   {failed} requests failed that a key could have served");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// Sends requests at a fixed rate through a fresh gateway.
async fn run(arguments: &Arguments, case: &Case) -> anyhow::Result<Times> {
    let secrets: Vec<String> = (1..=KEYS)
        .map(|number| format!("sk-ant-failover-key-{number:04}"))
        .collect();
    let sim = SimServer::start(([127, 0, 0, 1], 0).into(), provider(&secrets)).await?;
    for secret in &secrets {
        let window = FaultWindow::always(case.fault.clone()).share(SHARE);
        sim.sim().set_faults(secret, vec![window])?;
    }
    let gateway = start_gateway(arguments, &sim.base_url(), &secrets)?;
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new()).build(connector);

    let mut ticks = interval(Duration::from_secs(1) / arguments.rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut requests = JoinSet::new();
    for number in 0..arguments.duration * arguments.rate {
        ticks.tick().await;
        requests.spawn(ask(
            client.clone(),
            gateway.url.clone(),
            number,
            case.streamed,
        ));
    }
    let mut times = Times::default();
    while let Some(answer) = requests.join_next().await {
        match answer? {
            Ok((1, took)) => times.first.push(took),
            Ok((2, took)) => times.second.push(took),
            Ok(_) => times.more += 1,
            Err(_) => times.failed += 1,
        }
    }
    Ok(times)
}

/// How many attempts one request needed, and how long it took.
async fn ask(
    client: Client<HttpConnector, Full<Bytes>>,
    url: String,
    number: u32,
    streamed: bool,
) -> anyhow::Result<(u32, Duration)> {
    let body = format!(
        r#"{{"model":"anthropic,claude-failover","max_tokens":100,"stream":{streamed},"messages":[{{"role":"user","content":"{number:08} hello"}}]}}"#
    );
    let request = Request::post(format!("{url}/v1/messages"))
        .header("content-type", "application/json")
        .header("anthropic-version", "2023-06-01")
        .body(Full::new(Bytes::from(body)))?;
    let sent = Instant::now();
    let response = client.request(request).await?;
    let (head, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    let took = sent.elapsed();
    let is_whole = !streamed || body.ends_with(b"data: {\"type\":\"message_stop\"}\n\n");
    ensure!(head.status.is_success() && is_whole, "{}", head.status);
    let attempts = head.headers.get("x-keypool-attempts");
    let attempts = attempts.context("no x-keypool-attempts")?.to_str()?;
    Ok((attempts.parse()?, took))
}

fn report(case: &Case, times: Times) -> anyhow::Result<()> {
    let ms = |latencies: &Latencies, per_mille| {
        let micros = latencies.percentile_us(per_mille);
        micros.map(|micros| micros / 1000.0).context("no samples")
    };
    let (one, two) = (times.first.len(), times.second.len());
    let (first, second) = (Latencies::new(times.first), Latencies::new(times.second));
    let (first_p50, first_p99) = (ms(&first, 500)?, ms(&first, 990)?);
    let (second_p50, second_p99) = (ms(&second, 500)?, ms(&second, 990)?);
    let pair = |p50: f64, p99: f64| format!("{p50:.2} / {p99:.2}");
    println!(
        "{:<22} {one:>8} {:>16} {two:>8} {:>16} {:>14}",
        case.name,
        pair(first_p50, first_p99),
        pair(second_p50, second_p99),
        pair(second_p50 - first_p50, second_p99 - first_p50),
    );
    if times.more > 0 {
        println!("         {} needed more than two attempts", times.more);
    }
    Ok(())
}

fn provider(secrets: &[String]) -> SimConfig {
    let names: Vec<&str> = secrets.iter().map(String::as_str).collect();
    let answer = AnswerConfig {
        latency_ms: Spread::Fixed(0),
        output_tokens: Spread::Fixed(10),
        ..AnswerConfig::default()
    };
    SimConfig::anthropic(&names, Limits::NONE)
        .with_answer(answer)
        .without_request_log()
}

fn start_gateway(
    arguments: &Arguments,
    base_url: &str,
    secrets: &[String],
) -> anyhow::Result<Gateway> {
    let binary = gateway::binary(arguments.keypool.as_deref())?;
    let keys = gateway::keys(secrets);
    Gateway::start(
        &binary,
        "anthropic",
        &json!({ "baseUrl": base_url, "keys": keys }),
    )
}
