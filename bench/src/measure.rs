//! The measurements, one section of the report each.

mod cpus;
mod latency;
mod memory;
mod overload;
mod session;
mod start;
mod streams;
mod throughput;
mod translation;

use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;

use crate::report::Section;
use crate::target::Bench;

/// Connections of the closed loop: enough to keep two cores busy, few enough that answers are not
/// mostly waiting for each other.
const CLOSED_LOOP_CONNECTIONS: usize = 32;

/// Connections of the clients in an overload: far more than any worker can serve at a time.
const OVERLOAD_CONNECTIONS: usize = 2048;

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Small requests per second, and CPU time for each.
    Throughput,
    /// The same for a client of another API than the upstream's.
    Translation,
    /// Added latency at a fixed rate, plain and streamed.
    Latency,
    /// SSE events per second through one worker.
    Streams,
    /// Goodput and latency when more is offered than one worker can serve.
    Overload,
    /// Memory when idle and with many open streams.
    Memory,
    /// Time to the first answer, and size of the binary.
    Start,
}

impl Part {
    /// What is measured unless parts are named: all but the overload, which takes as long as the rest.
    pub(crate) const USUAL: [Self; 6] = [
        Self::Throughput,
        Self::Translation,
        Self::Latency,
        Self::Streams,
        Self::Memory,
        Self::Start,
    ];
}

/// How long and how often.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Extent {
    /// Rounds of a closed-loop measurement.
    pub(crate) rounds: usize,
    /// Length of one of them.
    pub(crate) round: Duration,
    /// Unmeasured load before each round.
    pub(crate) warm_up: Duration,
    /// Rounds of an open-loop measurement.
    pub(crate) open_rounds: usize,
    /// Length of one of them.
    pub(crate) open_round: Duration,
    /// Starts of each proxy.
    pub(crate) starts: usize,
    /// Streams held open at once.
    pub(crate) held_streams: usize,
}

impl Extent {
    /// About four minutes.
    pub(crate) fn full(held_streams: usize) -> Self {
        Self {
            rounds: 7,
            round: Duration::from_millis(2500),
            warm_up: Duration::from_millis(300),
            open_rounds: 5,
            open_round: Duration::from_secs(3),
            starts: 15,
            held_streams,
        }
    }

    /// About one minute.
    pub(crate) fn quick(held_streams: usize) -> Self {
        Self {
            rounds: 5,
            round: Duration::from_millis(800),
            warm_up: Duration::from_millis(150),
            open_rounds: 3,
            open_round: Duration::from_millis(1200),
            starts: 5,
            held_streams,
        }
    }
}

/// Measures `parts` in the order of the report.
pub(crate) fn run(bench: &Bench, extent: &Extent, parts: &[Part]) -> anyhow::Result<Vec<Section>> {
    let mut sections = Vec::new();
    for part in Part::value_variants()
        .iter()
        .filter(|part| parts.contains(part))
    {
        eprintln!("measuring {part:?} …");
        sections.push(match part {
            Part::Throughput => throughput::measure(bench, extent)?,
            Part::Translation => translation::measure(bench, extent)?,
            Part::Latency => latency::measure(bench, extent)?,
            Part::Streams => streams::measure(bench, extent)?,
            Part::Overload => overload::measure(bench, extent)?,
            Part::Memory => memory::measure(bench, extent)?,
            Part::Start => start::measure(bench, extent)?,
        });
    }
    Ok(sections)
}
