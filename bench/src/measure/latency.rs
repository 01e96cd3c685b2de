//! What a proxy adds to the latency of an answer at half of the load that the slower proxy can bear:
//! open loop, counted from the instant each request was due.

use std::time::Duration;

use super::{CLOSED_LOOP_CONNECTIONS, Doubts, Extent};
use crate::load::{Generator, Tally};
use crate::payload::{Request, StreamPlan};
use crate::report::{Budget, Rounds, Row, Section};
use crate::schedule::Schedule;
use crate::stats::{Latencies, per_second};
use crate::target::{Bench, Kind, Running, Workers};

/// Connections of the open loop: so many that requests find a free one even behind a slow answer.
const OPEN_LOOP_CONNECTIONS: usize = 128;
/// A short streamed answer, written event by event without pause.
const PLAN: StreamPlan = StreamPlan {
    events: 20,
    gap: Duration::ZERO,
};
/// Share of the peak rate that is offered.
const LOAD: f64 = 0.5;

/// A percentile and what the proxy's addition to it may be.
struct Percentile {
    name: &'static str,
    per_mille: usize,
    budget: Option<Budget>,
}

const PERCENTILES: [Percentile; 3] = [
    Percentile {
        name: "p50",
        per_mille: 500,
        budget: Some(Budget::RatioAtMost(1.2)),
    },
    Percentile {
        name: "p99",
        per_mille: 990,
        budget: Some(Budget::RatioAtMost(1.5)),
    },
    Percentile {
        name: "p99.9",
        per_mille: 999,
        budget: None,
    },
];

/// One clock of an answer, measured at every percentile.
struct Clock {
    name: &'static str,
    samples: fn(&mut Tally) -> Vec<Duration>,
    rounds: [Rounds; PERCENTILES.len()],
}

impl Clock {
    fn new(name: &'static str, samples: fn(&mut Tally) -> Vec<Duration>) -> Self {
        Self {
            name,
            samples,
            rounds: Default::default(),
        }
    }

    fn first_byte(name: &'static str) -> Self {
        Self::new(name, |tally| std::mem::take(&mut tally.first_byte))
    }

    fn last_byte(name: &'static str) -> Self {
        Self::new(name, |tally| std::mem::take(&mut tally.total))
    }

    fn record(&mut self, kind: Kind, tally: &mut Tally) {
        let latencies = Latencies::new((self.samples)(tally));
        for (percentile, rounds) in PERCENTILES.iter().zip(&mut self.rounds) {
            if let Some(value) = latencies.percentile_us(percentile.per_mille) {
                rounds.push(kind, value);
            }
        }
    }

    /// For each percentile, what the client saw and what of it the proxy added.
    fn into_rows(self) -> impl Iterator<Item = Row> {
        let name = self.name;
        PERCENTILES
            .iter()
            .zip(self.rounds)
            .flat_map(move |(percentile, rounds)| {
                let added = rounds.added();
                let name = format!("{name} {}", percentile.name);
                [
                    Row::new(name.clone(), "µs", rounds, None),
                    Row::new(format!("{name}, added"), "µs", added, percentile.budget),
                ]
            })
    }
}

/// Plain answers first, then streamed ones.
pub(super) fn measure(bench: &Bench, extent: &Extent) -> anyhow::Result<Section> {
    let targets = bench.start_all(&Workers::PerCpu)?;
    let doubts = Doubts::watch(bench, &targets);
    let mut run = Run {
        targets: &targets,
        extent,
        doubts,
        rows: Vec::new(),
    };
    let plain = |target: &Running| Request::plain(target.address);
    let plain_rate = run.half_of_peak(plain)?;
    run.at_rate(plain_rate, plain, vec![Clock::last_byte("plain answer")])?;
    let stream = |target: &Running| Request::stream(target.address, PLAN);
    let stream_rate = run.half_of_peak(stream)?;
    let clocks = vec![
        Clock::first_byte("first byte"),
        Clock::last_byte("stream's end"),
    ];
    run.at_rate(stream_rate, stream, clocks)?;
    let title = format!(
        "Latency, open loop: {plain_rate} plain answers/s, then {stream_rate} streams/s of {} events",
        PLAN.events
    );
    Ok(run.doubts.into_section(title, run.rows))
}

/// What the two halves of the section share.
struct Run<'a> {
    targets: &'a [Running],
    extent: &'a Extent,
    doubts: Doubts,
    rows: Vec<Row>,
}

impl Run<'_> {
    /// Half of the closed-loop rate of the slowest proxy.
    fn half_of_peak(&self, request: impl Fn(&Running) -> Request) -> anyhow::Result<u64> {
        let mut peak = f64::INFINITY;
        for target in self
            .targets
            .iter()
            .filter(|target| target.kind != Kind::Direct)
        {
            let mut generator =
                Generator::connect(target.address, CLOSED_LOOP_CONNECTIONS, request(target))?;
            generator.closed_loop(self.extent.warm_up)?;
            let tally = generator.closed_loop(self.extent.round)?;
            peak = peak.min(per_second(tally.answers, self.extent.round));
        }
        let rate = (peak * LOAD).max(1.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a whole number of requests per second, at least one"
        )]
        Ok(rate as u64)
    }

    fn at_rate(
        &mut self,
        rate: u64,
        request: impl Fn(&Running) -> Request,
        mut clocks: Vec<Clock>,
    ) -> anyhow::Result<()> {
        let mut sent_late = Rounds::default();
        for _ in 0..self.extent.open_rounds {
            for target in self.targets {
                let mut generator =
                    Generator::connect(target.address, OPEN_LOOP_CONNECTIONS, request(target))?;
                generator.open_loop(Schedule::new(rate, self.extent.warm_up))?;
                let mut tally = generator.open_loop(Schedule::new(rate, self.extent.open_round))?;
                self.doubts.note(target.kind, &tally);
                for clock in &mut clocks {
                    clock.record(target.kind, &mut tally);
                }
                let lateness = Latencies::new(std::mem::take(&mut tally.lateness));
                if let Some(value) = lateness.percentile_us(990) {
                    sent_late.push(target.kind, value);
                }
            }
        }
        self.rows
            .extend(clocks.into_iter().flat_map(Clock::into_rows));
        self.rows
            .push(Row::new("of it: sent late p99", "µs", sent_late, None));
        Ok(())
    }
}
