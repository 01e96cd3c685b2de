//! Scenarios out of a seed: whatever a person would not think of.
//!
//! They are kept small, since rare events meet sooner in a thousand short runs than in one long one.

use std::time::Duration;

use fastrand::Rng;
use keypool_pool::{Sequential, Strategy, Window};
use keypool_sim::{Algorithm, Fault, FaultWindow, Limits};

use crate::Size;
use crate::scenario::{
    Arrivals, Checks, Declared, KeyPlan, Pattern, PoolPlan, Provider, Quota, Scenario, Sessions,
    Traffic,
};
use crate::traffic::MODELS_MAX;

impl Scenario {
    /// The scenario of a seed.
    #[must_use]
    pub fn random(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let rng = &mut rng;
        let provider = one_of(rng, &Provider::ALL);
        let keys: usize = one_of(rng, &[1, 1, 2, 3, 4, 5, 8, 12]);
        let shared = rng.f64() < 0.35;
        let quota_count = if shared { keys.div_ceil(2) } else { keys };
        let is_small = rng.f64() < 0.4;
        let requests = if is_small {
            rng.u64(3..20)
        } else {
            rng.u64(20..300)
        };
        let limits = limits(rng, requests);
        let quotas = (0..quota_count)
            .map(|number| Quota {
                limits,
                group: (shared && rng.bool()).then(|| format!("group-{number}")),
            })
            .collect();
        let duration_ms = rng.u64(60_000..240_000);
        let key_plans = (0..keys)
            .map(|number| KeyPlan {
                faults: faults(rng, duration_ms),
                ..KeyPlan::of(number % quota_count)
            })
            .collect();
        let limiter = one_of(
            rng,
            &[
                Algorithm::Bucket,
                Algorithm::Bucket,
                Algorithm::FixedMinute,
                Algorithm::PerSecondSlices,
                Algorithm::Sliding,
            ],
        );
        Self {
            name: format!("random {seed}"),
            seed,
            duration_ms,
            warm_up_ms: 0,
            provider,
            limiter,
            quotas,
            keys: key_plans,
            declared: one_of(
                rng,
                &[
                    Declared::Right,
                    Declared::Right,
                    Declared::Nothing,
                    Declared::Percent(120),
                    Declared::Percent(80),
                    Declared::Percent(300),
                ],
            ),
            pool: pool(rng),
            traffic: traffic(rng),
            transit_ms: one_of(rng, &[(0, 0), (1, 20), (1, 20), (20, 200)]),
            patience_ms: one_of(rng, &[500, 5_000, 30_000, 90_000]),
            silence_ms: 20_000,
            checks: Checks {
                grants_every: 1,
                queue_every: 8,
            },
        }
    }
}

impl Scenario {
    /// A scenario in which every key but one fails in some way, most of the time or all of it, while the
    /// last one could serve everybody.
    #[must_use]
    pub fn with_one_sound_key(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let rng = &mut rng;
        let failing: usize = rng.usize(1..=7);
        let duration_ms = 120_000;
        let key_plans = (0..=failing).map(|number| {
            let mut plan = KeyPlan::of(number);
            if number < failing {
                plan.faults = lasting_faults(rng, duration_ms);
            }
            plan
        });
        let keys = key_plans.collect();
        let rate = one_of(rng, &[30.0, 300.0, 3_000.0]);
        let mut scenario = Self {
            name: format!("one sound key {seed}"),
            duration_ms,
            limiter: Algorithm::Bucket,
            quotas: vec![
                Quota {
                    limits: Limits::NONE,
                    group: None,
                };
                failing + 1
            ],
            keys,
            declared: Declared::Right,
            // Longer than eight keys that say nothing take one after the other, three times.
            patience_ms: 600_000,
            ..Self::random(seed)
        };
        scenario.pool.queue_length = 10_000;
        scenario.pool.sequential = Sequential::Off;
        scenario.traffic.leaving_share = 0.0;
        // Or a long plain answer of the sound key would take longer than silence is borne.
        scenario.traffic.tokens_per_second = scenario.traffic.tokens_per_second.max(1_000);
        scenario.traffic.arrivals = Arrivals::PerMinute {
            rate,
            pattern: Pattern::Poisson,
        };
        scenario
    }
}

fn one_of<T: Clone>(rng: &mut Rng, choices: &[T]) -> T {
    let position = rng.usize(0..choices.len());
    match choices.get(position) {
        Some(choice) => choice.clone(),
        None => unreachable!("the position is one of the choices'"),
    }
}

fn limits(rng: &mut Rng, requests: u64) -> Limits {
    let mut maybe = |share: f64, value: u64| (rng.f64() < share).then_some(value);
    Limits {
        requests_per_minute: maybe(0.8, requests),
        tokens_per_minute: maybe(0.25, requests * 1200),
        input_tokens_per_minute: maybe(0.5, requests * 900),
        output_tokens_per_minute: maybe(0.4, requests * 250),
        requests_per_day: maybe(0.05, requests * 3),
        tokens_per_day: None,
        max_concurrent: maybe(0.15, 1 + requests / 10),
    }
}

fn faults(rng: &mut Rng, duration_ms: u64) -> Vec<FaultWindow> {
    if rng.f64() < 0.6 {
        return Vec::new();
    }
    let fault = fault(rng);
    let from = rng.u64(0..duration_ms);
    let until = from + rng.u64(500..60_000);
    let window = FaultWindow::between(
        Duration::from_millis(from),
        Duration::from_millis(until),
        fault,
    );
    vec![window.share(one_of(rng, &[1.0, 1.0, 0.3]))]
}

/// One to three faults, one of them for all the time.
fn lasting_faults(rng: &mut Rng, duration_ms: u64) -> Vec<FaultWindow> {
    let mut faults = Vec::new();
    for _ in 0..rng.u64(0..3) {
        let from = rng.u64(0..duration_ms);
        let until = from + rng.u64(500..60_000);
        let (from, until) = (Duration::from_millis(from), Duration::from_millis(until));
        let window = FaultWindow::between(from, until, fault(rng));
        faults.push(window.share(one_of(rng, &[1.0, 0.5])));
    }
    let share = one_of(rng, &[1.0, 1.0, 0.8]);
    faults.push(FaultWindow::always(fault(rng)).share(share));
    faults
}

fn fault(rng: &mut Rng) -> Fault {
    one_of(
        rng,
        &[
            Fault::Unauthorized,
            Fault::Forbidden,
            Fault::rate_limited(2),
            Fault::rate_limited_bare(),
            Fault::rate_limited_with_code("insufficient_quota"),
            Fault::overloaded(),
            Fault::status(500),
            Fault::status(402),
            Fault::Hang,
            Fault::ResetBeforeHead,
            Fault::Garbage,
            Fault::HtmlGateway,
            Fault::error_as_first_event(),
            Fault::ResetMidStream { after_events: 2 },
            Fault::StallStream { after_events: 1 },
            Fault::SlowHead {
                delay: Duration::from_secs(3),
            },
        ],
    )
}

fn pool(rng: &mut Rng) -> PoolPlan {
    PoolPlan {
        strategy: one_of(rng, &Strategy::ALL),
        window: (rng.f64() < 0.2).then(|| {
            one_of(
                rng,
                &[
                    Window::Bucket,
                    Window::Sliding,
                    Window::Fixed,
                    Window::Slices,
                ],
            )
        }),
        queue_length: one_of(rng, &[0, 5, 10_000, 10_000]),
        affinity: rng.bool(),
        sequential: one_of(
            rng,
            &[
                Sequential::Off,
                Sequential::Off,
                Sequential::Off,
                Sequential::Off,
                Sequential::Key,
                Sequential::Provider,
            ],
        ),
        correct_limits: rng.bool(),
    }
}

fn traffic(rng: &mut Rng) -> Traffic {
    let pattern = one_of(
        rng,
        &[
            Pattern::Even,
            Pattern::Poisson,
            Pattern::Poisson,
            Pattern::Bursts {
                on_ms: 2_000,
                off_ms: 8_000,
            },
        ],
    );
    let factor = one_of(rng, &[0.3, 0.8, 0.95, 1.1, 2.0, 5.0]);
    Traffic {
        arrivals: Arrivals::Offered { factor, pattern },
        input: one_of(
            rng,
            &[
                Size::Fixed { tokens: 800 },
                Size::LogNormal {
                    median: 500,
                    sigma: 1.0,
                    max: 20_000,
                },
                Size::Pareto {
                    min: 200,
                    alpha: 1.3,
                    max: 50_000,
                },
            ],
        ),
        output: one_of(
            rng,
            &[
                Size::Fixed { tokens: 200 },
                Size::Uniform { min: 1, max: 400 },
                Size::LogNormal {
                    median: 100,
                    sigma: 1.2,
                    max: 4_000,
                },
            ],
        ),
        max_tokens: one_of(rng, &[Some(1_000), Some(4_096), Some(300)]),
        stream_share: one_of(rng, &[0.0, 0.5, 1.0]),
        head_ms: one_of(
            rng,
            &[
                Size::Fixed { tokens: 1 },
                Size::Uniform { min: 100, max: 900 },
            ],
        ),
        tokens_per_second: one_of(rng, &[20, 100, 100_000]),
        estimate_percent: one_of(rng, &[100, 100, 70, 150]),
        estimate_noise_percent: 10,
        sessions: (rng.f64() < 0.3).then(|| Sessions {
            count: rng.u32(1..40),
            first_tokens: 1_200,
            growth_tokens: 300,
            turns: 12,
        }),
        tenants: one_of(rng, &[1, 1, 3]),
        urgencies: rng.bool(),
        models: one_of(rng, &[1, 1, 2, MODELS_MAX]),
        leaving_share: one_of(rng, &[0.0, 0.0, 0.1, 0.5]),
    }
}
