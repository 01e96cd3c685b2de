//! `keypool plan`: whether a load fits the configured keys, found out by running it in virtual time.
//!
//! Worked example: `keypool plan --rpm 150 --input-tokens 1000 --output-tokens 300` with two keys of 60
//! requests a minute says that the load needs one more quota like theirs, and exits with 1.

use std::path::Path;
use std::time::Duration;

use anyhow::anyhow;
use keypool_gateway::GatewayConfig;
use keypool_gateway::config::ProviderConfig;
use keypool_pool::{Limits, TraceRecord, Window};
use keypool_sim::Algorithm;
use keypool_simulation::plan::{MORE_MAX, Plan, plan as simulate};
use keypool_simulation::{
    Arrivals, Checks, KeyPlan, Pattern, PoolPlan, Provider, Quota, Scenario, Size, TraceItem,
    Traffic,
};
use keypool_wire::{ProviderKind, WindowShape, quota_rules};

use super::args::PlanArgs;
use super::output::{self, Table};
use super::{ENVIRONMENT, Failure};
use crate::config;

/// Records of a trace that are read.
const RECORDS_MAX: usize = 2_000_000;

/// Runs the load; fails if it does not fit.
pub(super) fn plan(args: &PlanArgs) -> Result<(), Failure> {
    let path = config::locate(args.config.config.as_deref(), ENVIRONMENT)?;
    let loaded = config::load(&path, ENVIRONMENT)?;
    let provider = chosen(&loaded.gateway, args.provider.as_deref())?;
    let assumed = args.assume.as_deref().map(assumed).transpose()?;
    let scenario = scenario(&loaded.gateway, provider, args, assumed)?;
    let plan = simulate(&scenario);
    if args.json {
        let text = serde_json::to_string_pretty(&plan)
            .map_err(|error| anyhow!("the plan cannot be written: {error}"))?;
        output::say(&text);
    } else {
        show(&provider.name, &plan);
    }
    if plan.fits {
        Ok(())
    } else {
        Err(Failure::Failed(anyhow!(verdict(&plan))))
    }
}

fn chosen<'a>(
    gateway: &'a GatewayConfig,
    name: Option<&str>,
) -> Result<&'a ProviderConfig, Failure> {
    let names = || {
        let names = gateway.providers.iter();
        let names: Vec<&str> = names.map(|provider| provider.name.as_str()).collect();
        names.join(", ")
    };
    match (name, gateway.providers.as_slice()) {
        (None, [only]) => Ok(only),
        (None, _) => Err(Failure::Usage(format!(
            "--provider is needed: one of {}",
            names()
        ))),
        (Some(name), providers) => providers
            .iter()
            .find(|provider| provider.name == name)
            .ok_or_else(|| {
                Failure::Usage(format!(
                    "no provider is named {name:?}; there are {}",
                    names()
                ))
            }),
    }
}

/// `rpm=60,tpm=90000` as limits.
fn assumed(text: &str) -> Result<keypool_sim::Limits, Failure> {
    let mut limits = keypool_sim::Limits::NONE;
    for part in text.split(',') {
        let wrong = || {
            Failure::Usage(format!(
                "--assume: {part:?} is not one of rpm, tpm, itpm, otpm, rpd, tpd with a number, such as rpm=60"
            ))
        };
        let (name, number) = part.split_once('=').ok_or_else(wrong)?;
        let number: u64 = number.trim().parse().map_err(|_| wrong())?;
        if number == 0 {
            return Err(wrong());
        }
        let limit = match name.trim() {
            "rpm" => &mut limits.requests_per_minute,
            "tpm" => &mut limits.tokens_per_minute,
            "itpm" => &mut limits.input_tokens_per_minute,
            "otpm" => &mut limits.output_tokens_per_minute,
            "rpd" => &mut limits.requests_per_day,
            "tpd" => &mut limits.tokens_per_day,
            _ => return Err(wrong()),
        };
        *limit = Some(number);
    }
    Ok(limits)
}

fn scenario(
    gateway: &GatewayConfig,
    provider: &ProviderConfig,
    args: &PlanArgs,
    assumed: Option<keypool_sim::Limits>,
) -> Result<Scenario, Failure> {
    let (quotas, mut keys) = quotas(provider, assumed)?;
    let (traffic, duration_ms) = if let Some(path) = &args.trace {
        recorded(path, &provider.name, args.speed)?
    } else {
        // A load that is stated is of no model in particular.
        for key in &mut keys {
            key.models.clear();
        }
        (stated(args)?, args.minutes.saturating_mul(60_000))
    };
    let mut scenario = Scenario::steady(0, keypool_sim::Limits::NONE);
    scenario.name = format!("plan for {}", provider.name);
    scenario.seed = gateway.seed;
    scenario.duration_ms = duration_ms;
    scenario.warm_up_ms = if args.trace.is_some() { 0 } else { 60_000 };
    scenario.provider = match provider.kind {
        ProviderKind::OpenAi => Provider::OpenAi,
        ProviderKind::Azure => Provider::Azure,
        // Everybody else counts what is written.
        _ => Provider::Anthropic,
    };
    scenario.limiter = limiter(provider);
    scenario.quotas = quotas;
    scenario.keys = keys;
    scenario.pool = PoolPlan {
        strategy: provider.strategy,
        queue_length: gateway.queue.max_length,
        affinity: gateway.affinity.enabled,
        sequential: provider.sequential,
        correct_limits: provider.correct_limits,
        window: None,
    };
    scenario.traffic = traffic;
    let patience = if gateway.queue.enabled {
        gateway.queue.max_wait.min(gateway.retry.deadline)
    } else {
        Duration::ZERO
    };
    scenario.patience_ms = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
    scenario.checks = Checks {
        grants_every: 0,
        queue_every: 0,
    };
    Ok(scenario)
}

fn limiter(provider: &ProviderConfig) -> Algorithm {
    match (provider.window, quota_rules(provider.kind).window) {
        (Some(Window::Bucket), _) | (None, WindowShape::Bucket) => Algorithm::Bucket,
        (Some(Window::Sliding), _) | (None, WindowShape::Sliding) => Algorithm::Sliding,
        (Some(Window::Fixed), _) | (None, WindowShape::FixedMinute) => Algorithm::FixedMinute,
        (Some(Window::Slices), _) | (None, WindowShape::SecondSlices) => Algorithm::PerSecondSlices,
    }
}

/// The quotas behind the enabled keys, and who draws from which.
fn quotas(
    provider: &ProviderConfig,
    assumed: Option<keypool_sim::Limits>,
) -> Result<(Vec<Quota>, Vec<KeyPlan>), Failure> {
    let mut quotas = Vec::new();
    let mut keys = Vec::new();
    for (name, limits) in &provider.quota_groups {
        quotas.push(Quota {
            limits: or_assumed(limits, assumed),
            group: Some(name.clone()),
        });
    }
    let enabled = provider.keys.iter().filter(|key| key.enabled);
    for (number, key) in enabled.enumerate() {
        let name = key
            .name
            .clone()
            .unwrap_or_else(|| format!("key {}", number + 1));
        let group = provider
            .quota_groups
            .iter()
            .position(|(group, _)| Some(group) == key.quota_group.as_ref());
        let (quota, limits) = if let Some(group) = group {
            (group, simulated(&key.limits))
        } else {
            quotas.push(Quota {
                limits: or_assumed(&key.limits, assumed),
                group: None,
            });
            (quotas.len() - 1, keypool_sim::Limits::NONE)
        };
        let shared = quotas.get(quota).map(|quota| quota.limits);
        if shared == Some(keypool_sim::Limits::NONE) && limits == keypool_sim::Limits::NONE {
            return Err(Failure::Usage(format!(
                "planning needs limits, and none are declared for {name} of {}: declare them, or say for instance \
                 --assume rpm=60,tpm=90000",
                provider.name
            )));
        }
        keys.push(KeyPlan {
            name: Some(name),
            quota,
            limits,
            models: key.models.clone(),
            faults: Vec::new(),
        });
    }
    if keys.is_empty() {
        return Err(Failure::Usage(format!(
            "{} has no enabled key",
            provider.name
        )));
    }
    Ok((quotas, keys))
}

fn or_assumed(declared: &Limits, assumed: Option<keypool_sim::Limits>) -> keypool_sim::Limits {
    let declared = simulated(declared);
    if declared == keypool_sim::Limits::NONE {
        assumed.unwrap_or(declared)
    } else {
        declared
    }
}

/// Limits as the simulator has them: those of a second as sixty times as much a minute.
fn simulated(limits: &Limits) -> keypool_sim::Limits {
    let tighter = |minute: Option<u64>, second: Option<u64>| {
        let second = second.map(|second| second.saturating_mul(60));
        minute.into_iter().chain(second).min()
    };
    keypool_sim::Limits {
        requests_per_minute: tighter(limits.requests_per_minute, limits.requests_per_second),
        tokens_per_minute: tighter(limits.tokens_per_minute, limits.tokens_per_second),
        input_tokens_per_minute: limits.input_tokens_per_minute,
        output_tokens_per_minute: limits.output_tokens_per_minute,
        requests_per_day: limits.requests_per_day,
        tokens_per_day: limits.tokens_per_day,
        max_concurrent: limits.max_concurrent.map(u64::from),
    }
}

/// The load that was stated.
fn stated(args: &PlanArgs) -> Result<Traffic, Failure> {
    let missing =
        |what: &str| Failure::Usage(format!("either --trace or --rpm: {what} is missing"));
    let rate = args.rpm.ok_or_else(|| missing("--rpm"))?;
    let input = args.input_tokens.ok_or_else(|| missing("--input-tokens"))?;
    let output = args
        .output_tokens
        .ok_or_else(|| missing("--output-tokens"))?;
    let around = |mean: u64| Size::Uniform {
        min: mean.div_ceil(2),
        max: mean.saturating_add(mean / 2),
    };
    let pattern = if args.burst {
        Pattern::Bursts {
            on_ms: 5_000,
            off_ms: 15_000,
        }
    } else {
        Pattern::Poisson
    };
    Ok(Traffic {
        arrivals: Arrivals::PerMinute { rate, pattern },
        input: around(input),
        output: around(output),
        max_tokens: Some(output.saturating_mul(2)),
        ..Traffic::default()
    })
}

/// The load that was recorded, and how long it lasts, in milliseconds: a minute at least, since what came in a second is
/// no rate of sixty times as much a minute.
fn recorded(path: &Path, provider: &str, speed: f64) -> Result<(Traffic, u64), Failure> {
    let wrong = |reason: String| Failure::Usage(format!("{}: {reason}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let mut records = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let record: TraceRecord = serde_json::from_str(line)
            .map_err(|error| wrong(format!("line {}: {error}", number + 1)))?;
        if record.provider == provider {
            records.push(record);
        }
        if records.len() > RECORDS_MAX {
            return Err(wrong(format!("more than {RECORDS_MAX} requests")));
        }
    }
    records.sort_by_key(|record| record.at);
    let (Some(first), Some(last)) = (records.first(), records.last()) else {
        return Err(wrong(format!("no request to {provider}")));
    };
    let begin = first.at;
    let span = last.at.saturating_duration_since(begin).as_secs_f64() / speed;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative, and cut at the end of the range"
    )]
    let duration_ms = ((span * 1000.0) as u64 + 1).max(60_000);
    let mut tenants: Vec<Option<String>> = Vec::new();
    let items = records
        .into_iter()
        .map(|record| {
            let tenant = tenants.iter().position(|known| *known == record.tenant);
            let tenant = tenant.unwrap_or_else(|| {
                tenants.push(record.tenant.clone());
                tenants.len() - 1
            });
            TraceItem {
                offset_us: record.at.as_unix_micros() - begin.as_unix_micros(),
                model: record.model,
                input_tokens: record.input_tokens,
                cached_tokens: record.cached_tokens,
                output_tokens: record.output_tokens,
                max_output_tokens: record.max_output_tokens,
                stream: record.stream,
                session: record.session,
                tenant: tenant as u64,
                urgency: record.urgency,
                latency_ms: record.latency_ms,
            }
        })
        .collect();
    let traffic = Traffic {
        arrivals: Arrivals::Trace { items, speed },
        ..Traffic::default()
    };
    Ok((traffic, duration_ms))
}

fn show(provider: &str, plan: &Plan) {
    let report = &plan.report;
    output::say(&format!(
        "{provider}: {:.1} requests and {:.0} tokens a minute answered, over {:.1} minutes",
        report.answered_per_minute, report.tokens_per_minute, report.minutes
    ));
    output::say(&format!(
        "requests {}, answered {}, told to wait {}, failed {}",
        report.requests,
        report.answered,
        report.told_to_wait,
        report.failed()
    ));
    output::say(&format!(
        "wait for room: half below {:.2} s, all but a hundredth below {:.2} s; 429s from the provider {:.2} %",
        report.waits.p50_ms / 1000.0,
        report.waits.p99_ms / 1000.0,
        100.0 * report.limited_share()
    ));
    let mut keys = Table::new(&["KEY", "ANSWERED", "429S", "OF A FAIR SHARE"]);
    for key in &report.keys {
        keys.row(vec![
            key.name.clone(),
            key.answered.to_string(),
            key.limited.to_string(),
            format!("{:.2}", key.of_fair_share),
        ]);
    }
    output::print(&keys.render());
    let mut quotas = Table::new(&["QUOTA", "USED", "BINDS"]);
    for quota in &report.quotas {
        quotas.row(vec![
            quota.name.clone(),
            format!("{:.0} %", 100.0 * quota.tightest()),
            quota.binding().unwrap_or("nothing").to_owned(),
        ]);
    }
    output::print(&quotas.render());
    if plan.fits {
        output::say("the load fits");
    }
}

fn verdict(plan: &Plan) -> String {
    let like = plan.like.as_deref().unwrap_or("the smallest key");
    match plan.more_quotas {
        Some(1) => format!("the load needs 1 more independent quota like that of {like}"),
        Some(more) => format!("the load needs {more} more independent quotas like that of {like}"),
        None => {
            format!("the load does not fit even with {MORE_MAX} more quotas like that of {like}")
        }
    }
}
