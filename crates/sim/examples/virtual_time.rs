//! How fast the model runs without sockets: virtual hours of traffic per real second.
//!
//! `cargo run --release -p keypool-sim --example virtual_time` prints verdicts per second for admitted
//! and for refused requests, with and without rendered headers.

use std::error::Error;
use std::time::{Duration, Instant};

use keypool_sim::model::{Ending, Model, Request};
use keypool_sim::{Endpoint, Limits, Organisation, Ramp, SimConfig, SimTime};

const KEY: &str = "sk-virtual-1";

/// Requests of each measurement.
const REQUESTS: u32 = 2_000_000;

fn config(limits: Limits, change: fn(&mut Organisation)) -> SimConfig {
    let mut config = SimConfig::anthropic(&[KEY], limits);
    config.organisations.iter_mut().for_each(change);
    config
}

/// Sends one request per virtual microsecond; the share that was admitted.
fn flood(
    name: &str,
    config: &SimConfig,
    request: &Request,
    headers: bool,
) -> Result<(), Box<dyn Error>> {
    let begin = SimTime::from_unix_micros(1_800_000_000_000_000);
    let mut model = Model::new(begin, config)?;
    let started = Instant::now();
    let mut now = begin;
    for _ in 0..REQUESTS {
        now = now + Duration::from_micros(1);
        let verdict = model.ask(now, Endpoint::Messages, KEY, request);
        let output = verdict.grant().map_or(0, |grant| grant.usage.output);
        let Some(mut ticket) = verdict.ticket else {
            continue;
        };
        if headers {
            std::hint::black_box(model.headers(now, &ticket));
        }
        model.produce(now, &mut ticket, output);
        model.finish(now, ticket, Ending::Complete);
    }
    let per_second = f64::from(REQUESTS) / started.elapsed().as_secs_f64() / 1e6;
    let counters = model.counters().key(KEY);
    println!(
        "{name:32} {per_second:6.2} M/s, {} admitted, {} refused",
        counters.admitted, counters.limited
    );
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let plain = Request::plain("claude-test", 1000, Some(100));
    let cached = plain.clone().with_cache_prefix(1, 1024);
    let large = Limits {
        requests_per_minute: Some(1_000_000_000),
        input_tokens_per_minute: Some(1_000_000_000_000),
        output_tokens_per_minute: Some(1_000_000_000_000),
        ..Limits::NONE
    };
    let keep = |_: &mut Organisation| {};
    let ramp = |organisation: &mut Organisation| {
        organisation.ramp = Some(Ramp::new(Duration::from_millis(100), 2.0, 1_000_000));
    };
    let sliding = |organisation: &mut Organisation| {
        organisation.algorithm = keypool_sim::Algorithm::Sliding;
    };
    flood("admitted", &config(large, keep), &plain, false)?;
    flood(
        "admitted, cached prefix",
        &config(large, keep),
        &cached,
        false,
    )?;
    flood(
        "admitted, bound on growth",
        &config(large, ramp),
        &plain,
        false,
    )?;
    flood(
        "admitted, sliding window",
        &config(large, sliding),
        &plain,
        false,
    )?;
    flood("admitted, headers", &config(large, keep), &plain, true)?;
    flood(
        "refused",
        &config(Limits::per_minute(50), keep),
        &plain,
        false,
    )?;
    flood(
        "refused, headers",
        &config(Limits::per_minute(50), keep),
        &plain,
        true,
    )
}
