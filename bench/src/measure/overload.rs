//! What is left of a worker's goodput when three times as much is offered as it can serve: open loop, on one CPU, by
//! clients that leave after a second.

use std::time::Duration;

use super::cpus::Cpus;
use super::session::Session;
use super::{Extent, OVERLOAD_CONNECTIONS};
use crate::load::crowd::{Crowd, Outcome};
use crate::payload::{Request, StreamPlan};
use crate::process::{cpu_time, raise_file_limit};
use crate::report::{Budget, Rounds, Row, Section};
use crate::schedule::Schedule;
use crate::stats::{Latencies, number, per_second};
use crate::target::{Bench, Kind, Running, Workers};

/// How long a client waits for its answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// Until the target has found out that it is overloaded, and goes on as it will.
const WARM_UP: Duration = Duration::from_secs(2);
/// Between two loads, so that the target has done with the one before.
const CALM: Duration = Duration::from_secs(3);
/// Open files besides the connections.
const OTHER_FILES: u64 = 256;
/// What is offered, as multiples of the rate that a closed loop reaches.
const LOADS: [u32; 3] = [1, 2, 3];
/// An answer in few writes, so that the upstream and the clients, on one CPU, can do more than the proxy.
const PLAN: StreamPlan = StreamPlan {
    events: 100,
    together: 10,
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
    left_of_closed: Rounds,
    p50: Rounds,
    p99: Rounds,
    refused: Rounds,
    abandoned: Rounds,
    cpu: Rounds,
}

/// What became of one load.
struct Offered {
    outcome: Outcome,
    /// The worker's share of its CPU, in percent.
    cpu: f64,
}

/// Streams first, then plain answers.
pub(super) fn measure(bench: &Bench, extent: &Extent) -> anyhow::Result<Section> {
    raise_file_limit(2 * OVERLOAD_CONNECTIONS as u64 + OTHER_FILES)?;
    let cpus = Cpus::divide(bench)?;
    let _busy = cpus.keep_others_busy()?;
    let mut targets = bench.start_all(&Workers::OneOn(cpus.proxy))?;
    targets.retain(|target| target.kind != Kind::Direct);
    let mut session = Session::new(bench, &targets, extent);
    let mut rows = Vec::new();
    for shape in &SHAPES {
        let mut lines = Lines::default();
        let turns = session.turns(extent.open_rounds, |session, target| {
            std::thread::sleep(CALM);
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
fn offer(target: &Running, shape: &Shape, rate: f64, extent: &Extent) -> anyhow::Result<Offered> {
    std::thread::sleep(CALM);
    let request = (shape.request)(target);
    let mut crowd = Crowd::connect(target.address, OVERLOAD_CONNECTIONS, request, PATIENCE)?;
    crowd.run(Schedule::new(rate as u64, WARM_UP))?;
    let cpu_before = cpu_time(&target.processes);
    let outcome = crowd.run(Schedule::new(rate as u64, extent.open_round))?;
    let cpu = cpu_time(&target.processes).saturating_sub(cpu_before);
    let cpu = 100.0 * cpu.as_secs_f64() / extent.open_round.as_secs_f64();
    Ok(Offered { outcome, cpu })
}

impl Lines {
    fn take_in(
        &mut self,
        kind: Kind,
        peak: f64,
        outcomes: [anyhow::Result<Offered>; LOADS.len()],
        extent: &Extent,
    ) -> anyhow::Result<()> {
        let mut best = 0.0;
        let mut last = 0.0;
        for (load, offered) in outcomes.into_iter().enumerate() {
            let Offered { mut outcome, cpu } = offered?;
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
                self.cpu.push(kind, cpu);
            }
        }
        self.left.push(kind, last / best.max(1.0));
        self.left_of_closed.push(kind, last / peak.max(1.0));
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
        rows.push(Row::new(
            format!("{shape}, the same of the closed loop's rate"),
            "",
            self.left_of_closed,
            None,
        ));
        for (what, unit, rounds) in [
            ("latency of what is served, p50", "ms", self.p50),
            ("of it, p99", "ms", self.p99),
            ("refused", "%", self.refused),
            ("given up by clients", "%", self.abandoned),
            ("the worker's CPU", "%", self.cpu),
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
