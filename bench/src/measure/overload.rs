//! What is left of a worker's goodput when three times as much is offered as it can serve: open loop, on one CPU, by
//! clients that leave after a second.

use std::time::Duration;

use super::cpus::Cpus;
use super::session::Session;
use super::{Extent, OVERLOAD_CONNECTIONS};
use crate::load::crowd::{Crowd, Outcome};
use crate::payload::{Request, StreamPlan};
use crate::process::raise_file_limit;
use crate::report::{Budget, Rounds, Row, Section};
use crate::schedule::Schedule;
use crate::stats::{Latencies, number, per_second};
use crate::target::{Bench, Kind, Running, Workers};

/// How long a client waits for its answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// Open files besides the connections.
const OTHER_FILES: u64 = 256;
/// What is offered, as multiples of the rate that a closed loop reaches.
const LOADS: [u32; 3] = [1, 2, 3];
/// An answer as a model gives it: many small events.
const PLAN: StreamPlan = StreamPlan {
    events: 100,
    gap: Duration::ZERO,
};

/// A kind of request.
struct Shape {
    name: &'static str,
    request: fn(&Running) -> Request,
}

const SHAPES: [Shape; 2] = [
    Shape {
        name: "streams",
        request: |target| Request::stream(target.address, PLAN),
    },
    Shape {
        name: "plain",
        request: |target| Request::plain(target.address),
    },
];

/// One shape's lines.
#[derive(Default)]
struct Lines {
    goodput: [Rounds; LOADS.len()],
    left: Rounds,
    p50: Rounds,
    p99: Rounds,
    refused: Rounds,
    abandoned: Rounds,
}

/// Streams first, then plain answers.
pub(super) fn measure(bench: &Bench, extent: &Extent) -> anyhow::Result<Section> {
    raise_file_limit(2 * OVERLOAD_CONNECTIONS as u64 + OTHER_FILES)?;
    let cpus = Cpus::divide(bench)?;
    let mut targets = bench.start_all(&Workers::OneOn(cpus.proxy))?;
    targets.retain(|target| target.kind != Kind::Direct);
    let mut session = Session::new(bench, &targets, extent);
    let mut rows = Vec::new();
    for shape in &SHAPES {
        let mut lines = Lines::default();
        let turns = session.turns(extent.open_rounds, |session, target| {
            let peak = session.closed_round(target, (shape.request)(target))?;
            let peak = per_second(peak.answers, extent.round);
            let outcomes = LOADS.map(|load| offer(target, shape, peak * f64::from(load), extent));
            Ok((target.kind, peak, outcomes))
        })?;
        for (kind, peak, outcomes) in turns.into_iter().flatten() {
            lines.take_in(kind, peak, outcomes, extent)?;
        }
        rows.extend(lines.into_rows(shape.name));
    }
    let title = format!(
        "Overload: one worker on one CPU, open loop, {OVERLOAD_CONNECTIONS} connections, clients leave after {PATIENCE:?}"
    );
    Ok(session.into_section(title, rows))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a whole number of requests per second"
)]
fn offer(target: &Running, shape: &Shape, rate: f64, extent: &Extent) -> anyhow::Result<Outcome> {
    let request = (shape.request)(target);
    let mut crowd = Crowd::connect(target.address, OVERLOAD_CONNECTIONS, request, PATIENCE)?;
    // Overload takes a moment to build up; what is measured is how it goes on.
    crowd.run(Schedule::new(rate as u64, extent.warm_up))?;
    crowd.run(Schedule::new(rate as u64, extent.open_round))
}

impl Lines {
    fn take_in(
        &mut self,
        kind: Kind,
        peak: f64,
        outcomes: [anyhow::Result<Outcome>; LOADS.len()],
        extent: &Extent,
    ) -> anyhow::Result<()> {
        let mut best = peak;
        let mut last = 0.0;
        for (load, outcome) in outcomes.into_iter().enumerate() {
            let mut outcome = outcome?;
            let goodput = per_second(outcome.served, extent.open_round);
            if let Some(rounds) = self.goodput.get_mut(load) {
                rounds.push(kind, goodput);
            }
            best = f64::max(best, goodput);
            last = goodput;
            if load + 1 == LOADS.len() {
                let latencies = Latencies::new(std::mem::take(&mut outcome.latencies));
                for (rounds, per_mille) in [(&mut self.p50, 500), (&mut self.p99, 990)] {
                    if let Some(micros) = latencies.percentile_us(per_mille) {
                        rounds.push(kind, micros / 1000.0);
                    }
                }
                let share = |count: u64| 100.0 * number(count) / number(outcome.due.max(1));
                self.refused.push(kind, share(outcome.refused));
                let abandoned = outcome.abandoned + outcome.unsent + outcome.failed;
                self.abandoned.push(kind, share(abandoned));
            }
        }
        self.left.push(kind, last / best.max(1.0));
        Ok(())
    }

    fn into_rows(self, shape: &str) -> Vec<Row> {
        let goodput = LOADS.iter().zip(self.goodput);
        let mut rows: Vec<Row> = goodput
            .map(|(load, rounds)| {
                Row::new(format!("{shape}, goodput at {load}×"), "1/s", rounds, None)
            })
            .collect();
        let at_least = Some(Budget::AtLeast(0.8));
        rows.push(Row::new(
            format!("{shape}, share of the peak left at 3×"),
            "",
            self.left,
            at_least,
        ));
        for (what, unit, rounds) in [
            ("latency of what is served, p50", "ms", self.p50),
            ("of it, p99", "ms", self.p99),
            ("refused", "%", self.refused),
            ("given up by clients", "%", self.abandoned),
        ] {
            rows.push(Row::new(
                format!("{shape} at 3×: {what}"),
                unit,
                rounds,
                None,
            ));
        }
        rows
    }
}
