//! The matrix of efficiency: what the pool makes of quotas under each kind of limiter, of declaration
//! and of traffic, at half, nearly full and double load.
//!
//! Each row has a target, and rows that miss it are marked, so that a change to the core that costs
//! throughput somewhere is seen there.
//!
//! Worked example: `5 keys, bucket, undeclared, bursts, 2.0x` must use 99 % of the quotas with at most one
//! 429 in a thousand requests, though nobody told the pool of any limit.

use std::sync::atomic::{AtomicUsize, Ordering};

use keypool_sim::{Algorithm, Limits};

use crate::scenario::{Arrivals, Checks, Declared, Pattern, Scenario, Sessions};
use crate::{Report, Size, run};

/// Minutes of a row, the first of which does not count.
const MINUTES: u64 = 5;

/// How well a row did.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Keys.
    pub keys: usize,
    /// How the provider counts.
    pub limiter: Algorithm,
    /// What the pool is told.
    pub declared: Declared,
    /// The kind of traffic.
    pub traffic: &'static str,
    /// The load as a factor of what the quotas allow.
    pub offered: f64,
    /// How it went.
    pub report: Report,
    /// Which targets it misses.
    pub misses: Vec<String>,
}

const TRAFFICS: [&str; 4] = ["steady", "bursts", "heavy-tailed", "long streams"];

/// The scenario of one row.
#[must_use]
pub fn scenario(
    keys: usize,
    limiter: Algorithm,
    declared: Declared,
    traffic: &str,
    offered: f64,
) -> Scenario {
    let limits = Limits {
        requests_per_minute: Some(60),
        input_tokens_per_minute: Some(80_000),
        output_tokens_per_minute: Some(20_000),
        ..Limits::NONE
    };
    let mut scenario = Scenario::steady(keys, limits)
        .offered(offered)
        .minutes(MINUTES);
    scenario.limiter = limiter;
    scenario.declared = declared;
    scenario.checks = Checks::LIGHT;
    scenario.name = format!("{keys} keys, {limiter:?}, {declared:?}, {traffic}, {offered}x");
    let plan = &mut scenario.traffic;
    plan.input = Size::Uniform {
        min: 400,
        max: 1_200,
    };
    plan.output = Size::Uniform { min: 50, max: 350 };
    match traffic {
        "bursts" => {
            return scenario.arriving(Pattern::Bursts {
                on_ms: 4_000,
                off_ms: 6_000,
            });
        }
        "heavy-tailed" => {
            plan.input = Size::LogNormal {
                median: 1_500,
                sigma: 1.0,
                max: 20_000,
            };
            plan.output = Size::LogNormal {
                median: 150,
                sigma: 1.0,
                max: 2_000,
            };
            plan.max_tokens = Some(2_000);
        }
        "long streams" => {
            plan.output = Size::Uniform {
                min: 1_000,
                max: 2_000,
            };
            plan.max_tokens = Some(4_000);
            plan.stream_share = 1.0;
            plan.tokens_per_second = 60;
        }
        _ => {}
    }
    scenario
}

/// All rows, or those whose names contain `only`, worked out on `threads` threads, in order; estimates of
/// prompts are wrong by up to `noise_percent`.
#[must_use]
pub fn matrix(threads: usize, seed: u64, noise_percent: u64, only: Option<&str>) -> Vec<Row> {
    let mut plans = Vec::new();
    for limiter in [
        Algorithm::Bucket,
        Algorithm::FixedMinute,
        Algorithm::PerSecondSlices,
        Algorithm::Sliding,
    ] {
        for declared in [
            Declared::Right,
            Declared::Nothing,
            Declared::Percent(120),
            Declared::Percent(80),
        ] {
            for traffic in TRAFFICS {
                for keys in [1, 3, 5, 50] {
                    for offered in [0.5, 0.95, 2.0] {
                        plans.push((keys, limiter, declared, traffic, offered));
                    }
                }
            }
        }
    }
    plans.retain(|&(keys, limiter, declared, traffic, offered)| {
        let name = || scenario(keys, limiter, declared, traffic, offered).name;
        only.is_none_or(|part| name().contains(part))
    });
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let position = next.fetch_add(1, Ordering::Relaxed);
            let Some(&plan) = plans.get(position) else {
                return done;
            };
            done.push((position, row(plan, seed, noise_percent)));
        }
    };
    let mut rows = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        let done = threads.into_iter().flat_map(|thread| match thread.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        done.collect::<Vec<_>>()
    });
    rows.sort_by_key(|(position, _)| *position);
    rows.into_iter().map(|(_, row)| row).collect()
}

fn row(
    (keys, limiter, declared, traffic, offered): (usize, Algorithm, Declared, &'static str, f64),
    seed: u64,
    noise_percent: u64,
) -> Row {
    let mut scenario = scenario(keys, limiter, declared, traffic, offered).seeded(seed);
    scenario.traffic.estimate_noise_percent = noise_percent;
    let report = run(&scenario);
    let misses = misses(declared, offered, &report);
    Row {
        keys,
        limiter,
        declared,
        traffic,
        offered,
        report,
        misses,
    }
}

/// Wait beyond the ideal one that is still good, in milliseconds.
const WAIT_P99_MS: f64 = 2_000.0;

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn misses(declared: Declared, offered: f64, report: &Report) -> Vec<String> {
    let is_wrong = matches!(declared, Declared::Percent(_));
    let (least, most) = if is_wrong {
        (0.97, 0.005)
    } else {
        (0.99, 0.001)
    };
    let mut misses = Vec::new();
    if offered > 1.0 && report.efficiency < least {
        misses.push(format!("efficiency {:.3}", report.efficiency));
    }
    // One refusal teaches, however few requests there are.
    if report.upstream_limited > 1 && report.limited_share() > most {
        misses.push(format!("429s {:.2} %", 100.0 * report.limited_share()));
    }
    if offered < 1.0 {
        let unserved = report.failed() + report.told_to_wait;
        if unserved > 0 {
            let share = 100.0 * unserved as f64 / report.requests.max(1) as f64;
            misses.push(format!("unserved {share:.2} %"));
        }
        if report.waits.p99_ms > WAIT_P99_MS + report.ideal_waits.p99_ms {
            misses.push(format!("wait p99 {:.1} s", report.waits.p99_ms / 1000.0));
        }
    }
    misses
}

/// Sessions on five keys, and the same on one key with five times the limits.
#[must_use]
pub fn affinity(seed: u64) -> (Report, Report) {
    let sessions = |keys: usize, factor: u64| {
        let limits = Limits {
            requests_per_minute: Some(120 * factor),
            input_tokens_per_minute: Some(200_000 * factor),
            output_tokens_per_minute: Some(60_000 * factor),
            ..Limits::NONE
        };
        let mut scenario = Scenario::steady(keys, limits).minutes(30).seeded(seed);
        scenario.name = format!("200 sessions on {keys} keys");
        scenario.warm_up_ms = 10 * 60_000;
        scenario.checks = Checks::LIGHT;
        scenario.traffic.sessions = Some(Sessions {
            count: 200,
            first_tokens: 8_000,
            growth_tokens: 800,
            turns: 30,
        });
        scenario.traffic.arrivals = Arrivals::PerMinute {
            rate: 300.0,
            pattern: Pattern::Poisson,
        };
        run(&scenario)
    };
    (sessions(5, 1), sessions(1, 5))
}
