//! `keypool demo`: everything at work, with no real key, in half a minute.
//!
//! A simulated provider, the real gateway, and clients that ask for more than the keys may give.
//! The command is also a test: it fails if a client saw a failure, if keys were left unused, or if
//! the provider had to refuse what the gateway should have held back.

mod answer_check;
mod http;
mod live_view;
mod plan;
mod report;
mod scene;
mod traffic;

use std::io::IsTerminal;
use std::time::Instant;

use anyhow::{Context as _, bail};
use clap::Args;
use tokio::runtime::Builder;

use crate::cli::output::say;
use live_view::{LiveView, Mode};
use plan::{LIMIT_PER_MINUTE, Plan, USUAL_LIMIT_PER_MINUTE};
use report::Report;
use scene::Scene;

/// How to run the demo.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Leave the simulator and the gateway running afterwards, to try them by hand.
    #[arg(long)]
    keep: bool,
    /// The gateway's port on 127.0.0.1; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Half the time, measured less finely.
    #[arg(long)]
    quick: bool,
    /// Fixes everything that is drawn at random.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print the figures as JSON, and nothing else.
    #[arg(long)]
    json: bool,
}

/// Runs the demo; an error if the promise did not hold.
pub fn run(args: &DemoArgs) -> anyhow::Result<()> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no runtime")?;
    let plan = if args.quick {
        Plan::quick(args.seed)
    } else {
        Plan::standard(args.seed)
    };
    let began = Instant::now();
    let mut scene = runtime.block_on(Scene::set(plan, args.port))?;
    let ended = runtime.block_on(async {
        tokio::select! {
            // Asked first, so that Ctrl-C is caught before anything is said.
            biased;
            _ = tokio::signal::ctrl_c() => Ok(None),
            report = play(&mut scene, args, began) => report.map(Some),
        }
    });
    if args.keep && matches!(ended, Ok(Some(_))) {
        say(&keep_text(&scene));
        runtime
            .block_on(tokio::signal::ctrl_c())
            .context("Ctrl-C cannot be caught")?;
    }
    scene.strike();
    match ended? {
        Some(report) if report.held => Ok(()),
        Some(_) => bail!("the promise did not hold"),
        None => bail!("stopped before the end"),
    }
}

async fn play(scene: &mut Scene, args: &DemoArgs, began: Instant) -> anyhow::Result<Report> {
    let mode = match (args.json, std::io::stdout().is_terminal()) {
        (true, _) => Mode::Silent,
        (false, true) => Mode::Terminal,
        (false, false) => Mode::Lines,
    };
    if !args.json {
        say(&introduction(scene));
    }
    let view = LiveView::open(mode, scene.sources());
    let results = scene.play(&view).await;
    view.close().await;
    let report = Report::new(&results?, began.elapsed());
    if args.json {
        say(&serde_json::to_string_pretty(&report)?);
    } else {
        say(&format!("\n{}", report.render()));
        if !args.keep {
            say(NEXT);
        }
    }
    Ok(report)
}

fn introduction(scene: &Scene) -> String {
    format!(
        "\
keypool demo: no real key; a simulated provider at {}, keypool in front of it at {}.

Scaled: every key may make {LIMIT_PER_MINUTE} requests a minute, not the usual \
{USUAL_LIMIT_PER_MINUTE}, so that seconds show what
minutes would. The keys are of different organisations, so their limits add up. A fresh key has a
whole minute's allowance at once. That is used up before the clock starts: what is measured is what
lasts.
",
        scene.provider_url(),
        scene.url(),
    )
}

const NEXT: &str = "\
Next: `keypool demo --keep` leaves it running to play with; with keys of your own, write config.json
and start `keypool serve` (see the README).";

fn keep_text(scene: &Scene) -> String {
    let (url, provider) = (scene.url(), scene.provider_url());
    let question = serde_json::json!({
        "model": "claude-haiku-4-5",
        "max_tokens": 100,
        "messages": [{ "role": "user", "content": "Hello" }],
    });
    format!(
        "\
Still running, until Ctrl-C: the gateway at {url}, the simulated provider at {provider}. Try:

curl {url}/v1/messages -H 'content-type: application/json' -d '{question}'
curl {url}/api/apikeys/stats
curl {url}/api/apikeys/health
curl {provider}/__sim/counters
curl {url}/metrics",
    )
}
