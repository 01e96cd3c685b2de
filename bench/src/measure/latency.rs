//! What a proxy adds to the latency of an answer at half of the load that the slower proxy can bear:
//! open loop, counted from the instant each request was due.

use std::time::Duration;

use super::Extent;
use super::session::Session;
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
    together: 1,
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

/// One clock of an answer.
struct Clock {
    name: &'static str,
    samples: fn(&mut Tally) -> Vec<Duration>,
}

const PLAIN_END: Clock = Clock {
    name: "plain answer",
    samples: |tally| std::mem::take(&mut tally.total),
};
const FIRST_BYTE: Clock = Clock {
    name: "first byte",
    samples: |tally| std::mem::take(&mut tally.first_byte),
};
const STREAM_END: Clock = Clock {
    name: "stream's end",
    samples: |tally| std::mem::take(&mut tally.total),
};

/// The samples of one open-loop round of one target.
struct OpenRound {
    kind: Kind,
    /// In the order of the clocks asked for.
    by_clock: Vec<Latencies>,
    lateness: Latencies,
}

/// Plain answers first, then streamed ones.
pub(super) fn measure(bench: &Bench, extent: &Extent) -> anyhow::Result<Section> {
    let targets = bench.start_all(&Workers::PerCpu)?;
    let mut session = Session::new(bench, &targets, extent);
    let plain = |target: &Running| Request::plain(target.address);
    let plain_rate = half_of_peak(&mut session, extent, plain)?;
    let mut rows = at_rate(&mut session, extent, plain_rate, plain, &[PLAIN_END])?;
    let stream = |target: &Running| Request::stream(target.address, PLAN);
    let stream_rate = half_of_peak(&mut session, extent, stream)?;
    rows.extend(at_rate(
        &mut session,
        extent,
        stream_rate,
        stream,
        &[FIRST_BYTE, STREAM_END],
    )?);
    let title = format!(
        "Latency, open loop: {plain_rate} plain answers/s, then {stream_rate} streams/s of {} events",
        PLAN.events
    );
    Ok(session.into_section(title, rows))
}

/// Half of the closed-loop rate of the slowest proxy.
fn half_of_peak(
    session: &mut Session<'_>,
    extent: &Extent,
    request: impl Fn(&Running) -> Request,
) -> anyhow::Result<u64> {
    let turns = session.turns(1, |session, target| {
        session.closed_round(target, request(target))
    })?;
    let proxies = turns
        .iter()
        .flatten()
        .filter(|round| round.kind != Kind::Direct);
    let peak = proxies
        .map(|round| per_second(round.answers, extent.round))
        .fold(f64::INFINITY, f64::min);
    let rate = (peak * LOAD).max(1.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a whole number of requests per second, at least one"
    )]
    Ok(rate as u64)
}

fn at_rate(
    session: &mut Session<'_>,
    extent: &Extent,
    rate: u64,
    request: impl Fn(&Running) -> Request,
    clocks: &[Clock],
) -> anyhow::Result<Vec<Row>> {
    let turns = session.turns(extent.open_rounds, |session, target| {
        let mut generator =
            Generator::connect(target.address, OPEN_LOOP_CONNECTIONS, request(target))?;
        generator.open_loop(Schedule::new(rate, extent.warm_up))?;
        let mut tally = generator.open_loop(Schedule::new(rate, extent.open_round))?;
        session.note(target.kind, &tally);
        let by_clock = clocks
            .iter()
            .map(|clock| Latencies::new((clock.samples)(&mut tally)));
        Ok(OpenRound {
            kind: target.kind,
            by_clock: by_clock.collect(),
            lateness: Latencies::new(tally.lateness),
        })
    })?;
    let rounds: Vec<OpenRound> = turns.into_iter().flatten().collect();
    let mut rows = Vec::new();
    for (place, clock) in clocks.iter().enumerate() {
        for percentile in &PERCENTILES {
            let seen = over(&rounds, percentile.per_mille, |round| {
                round.by_clock.get(place)
            });
            let added = seen.added();
            let name = format!("{} {}", clock.name, percentile.name);
            rows.push(Row::new(name.clone(), "µs", seen, None));
            rows.push(Row::new(
                format!("{name}, added"),
                "µs",
                added,
                percentile.budget,
            ));
        }
    }
    let sent_late = over(&rounds, 990, |round| Some(&round.lateness));
    rows.push(Row::new("of it: sent late p99", "µs", sent_late, None));
    Ok(rows)
}

/// One percentile of one clock over all rounds.
fn over(
    rounds: &[OpenRound],
    per_mille: usize,
    clock: impl Fn(&OpenRound) -> Option<&Latencies>,
) -> Rounds {
    let mut values = Rounds::default();
    for round in rounds {
        if let Some(value) = clock(round).and_then(|samples| samples.percentile_us(per_mille)) {
            values.push(round.kind, value);
        }
    }
    values
}
