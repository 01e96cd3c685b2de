//! Thousands of random scenarios, one of them again, or the matrix of efficiency.

use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use clap::{Parser, Subcommand};
use keypool_simulation::efficiency::{Row, affinity, matrix};
use keypool_simulation::{Arrivals, Checks, Pattern, Report, Scenario, run};

/// Runs the pool core against the provider model in virtual time.
#[derive(Parser)]
struct Options {
    /// Run the scenario of this seed and show how it went.
    #[arg(long, conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Run the scenarios of so many seeds.
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Hours that each lasts, instead of a few minutes.
    #[arg(long)]
    hours: Option<u64>,
    #[command(subcommand)]
    mode: Option<Mode>,
}

#[derive(Subcommand)]
enum Mode {
    /// The matrix of efficiency.
    Efficiency {
        /// Fixes the traffic.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Show rows that meet their targets, too.
        #[arg(long)]
        all: bool,
        /// Only rows whose names contain this.
        #[arg(long)]
        only: Option<String>,
        /// By how many percent estimates of prompts are wrong.
        #[arg(long, default_value_t = 10)]
        noise: u64,
    },
    /// Random faults on all keys but one: each request is to be answered, unless its answer had begun.
    Faults {
        /// Run the scenario of this seed and show how it went.
        #[arg(long)]
        seed: Option<u64>,
        /// Run the scenarios of so many seeds.
        #[arg(long, default_value_t = 1000)]
        seeds: u64,
    },
    /// A month of moderate traffic.
    Month {
        /// Days that it has.
        #[arg(long, default_value_t = 30)]
        days: u64,
    },
}

fn main() -> ExitCode {
    let options = Options::parse();
    match options.mode {
        Some(Mode::Efficiency {
            seed,
            all,
            only,
            noise,
        }) => efficiency(seed, noise, all, only.as_deref()),
        Some(Mode::Month { days }) => month(days),
        Some(Mode::Faults {
            seed: Some(seed), ..
        }) => {
            let scenario = Scenario::with_one_sound_key(seed);
            println!("{scenario:#?}");
            show(&run(&scenario))
        }
        Some(Mode::Faults { seeds: count, .. }) => seeds("faults --seed", 0, count, |seed| {
            let report = run(&Scenario::with_one_sound_key(seed));
            assert_eq!(report.avoidable_failures(), 0, "{:?}", report.failures);
            report
        }),
        None => match options.seed {
            Some(seed) => {
                let scenario = prepared(seed, options.hours);
                println!("{scenario:#?}");
                show(&run(&scenario))
            }
            None => seeds("--seed", options.from, options.seeds, |seed| {
                run(&prepared(seed, options.hours))
            }),
        },
    }
}

fn prepared(seed: u64, hours: Option<u64>) -> Scenario {
    let mut scenario = Scenario::random(seed);
    if let Some(hours) = hours {
        scenario.duration_ms = hours * 3_600_000;
    }
    scenario
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

fn show(report: &Report) -> ExitCode {
    match serde_json::to_string_pretty(report) {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn month(days: u64) -> ExitCode {
    let limits = keypool_sim::Limits {
        requests_per_minute: Some(60),
        requests_per_day: Some(20_000),
        ..keypool_sim::Limits::NONE
    };
    let mut scenario = Scenario::steady(3, limits).minutes(days * 1440);
    scenario.checks = Checks::LIGHT;
    scenario.traffic.arrivals = Arrivals::PerMinute {
        rate: 35.0,
        pattern: Pattern::Poisson,
    };
    let began = Instant::now();
    let report = run(&scenario);
    let code = show(&report);
    println!("{days} days in {:.1} s", began.elapsed().as_secs_f64());
    code
}

/// Runs scenarios until all are done; tells those that failed.
fn seeds(
    argument: &str,
    from: u64,
    count: u64,
    run_seed: impl Fn(u64) -> Report + Sync,
) -> ExitCode {
    let next = AtomicU64::new(from);
    let failed = Mutex::new(Vec::new());
    let requests = AtomicU64::new(0);
    let began = Instant::now();
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= from.saturating_add(count) {
                break;
            }
            match catch_unwind(AssertUnwindSafe(|| run_seed(seed))) {
                Ok(report) => {
                    requests.fetch_add(report.requests, Ordering::Relaxed);
                }
                Err(_) => {
                    if let Ok(mut failed) = failed.lock() {
                        failed.push(seed);
                    }
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads() {
            scope.spawn(work);
        }
    });
    let mut failed = failed.into_inner().unwrap_or_default();
    failed.sort_unstable();
    println!(
        "{count} seeds, {} requests, {:.1} s, {} failed",
        requests.into_inner(),
        began.elapsed().as_secs_f64(),
        failed.len()
    );
    for seed in &failed {
        println!("  cargo run --release -p keypool-simulation -- {argument} {seed}");
    }
    if failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn efficiency(seed: u64, noise: u64, all: bool, only: Option<&str>) -> ExitCode {
    let began = Instant::now();
    let rows = matrix(threads(), seed, noise, only);
    println!(
        "{:<58} {:>6} {:>7} {:>8} {:>8} {:>8}  misses",
        "scenario", "effic.", "429 %", "unserved", "p99 s", "ideal s"
    );
    for row in rows.iter().filter(|row| all || !row.misses.is_empty()) {
        print_row(row);
    }
    println!();
    for group in summaries(&rows) {
        println!("{group}");
    }
    let (five, one) = affinity(seed);
    println!(
        "\naffinity: cache hits {:.3} on 5 keys, {:.3} on one of their size together; largest share {:.3}",
        five.cache_hits,
        one.cache_hits,
        five.largest_share()
    );
    let missing = rows.iter().filter(|row| !row.misses.is_empty()).count();
    println!(
        "{} rows, {missing} miss a target, {:.1} s",
        rows.len(),
        began.elapsed().as_secs_f64()
    );
    ExitCode::SUCCESS
}

fn print_row(row: &Row) {
    let report = &row.report;
    println!(
        "{:<58} {:>6.3} {:>7.3} {:>8} {:>8.2} {:>8.2}  {}",
        report.scenario,
        report.efficiency,
        100.0 * report.limited_share(),
        report.failed() + report.told_to_wait,
        report.waits.p99_ms / 1000.0,
        report.ideal_waits.p99_ms / 1000.0,
        row.misses.join(", ")
    );
}

/// The worst and the median at double load, by limiter and declaration.
fn summaries(rows: &[Row]) -> Vec<String> {
    let mut groups: Vec<(String, Vec<&Row>)> = Vec::new();
    for row in rows {
        let name = format!("{:?}, {:?}", row.limiter, row.declared);
        match groups.iter_mut().find(|(known, _)| *known == name) {
            Some((_, rows)) => rows.push(row),
            None => groups.push((name, vec![row])),
        }
    }
    let line = |(name, rows): (String, Vec<&Row>)| {
        let full = rows.iter().filter(|row| row.offered > 1.0);
        let mut efficiency: Vec<f64> = full.map(|row| row.report.efficiency).collect();
        efficiency.sort_by(f64::total_cmp);
        let mut limited: Vec<f64> = rows.iter().map(|row| row.report.limited_share()).collect();
        limited.sort_by(f64::total_cmp);
        let middle = |values: &[f64]| values.get(values.len() / 2).copied().unwrap_or(0.0);
        let missing = rows.iter().filter(|row| !row.misses.is_empty()).count();
        format!(
            "{name:<32} efficiency worst {:.3} median {:.3}; 429s worst {:.2} % median {:.2} %; {missing} of {} miss",
            efficiency.first().copied().unwrap_or(0.0),
            middle(&efficiency),
            100.0 * limited.last().copied().unwrap_or(0.0),
            100.0 * middle(&limited),
            rows.len(),
        )
    };
    groups.into_iter().map(line).collect()
}
