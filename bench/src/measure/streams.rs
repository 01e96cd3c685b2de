//! SSE events per second through one worker on one CPU, while upstream and clients use the others.

use std::time::Duration;

use super::cpus::Cpus;
use super::session::Session;
use super::{CLOSED_LOOP_CONNECTIONS, Extent};
use crate::payload::{Request, StreamPlan};
use crate::report::{Budget, Rounds, Row, Section};
use crate::stats::{micros, number, per_second};
use crate::target::{Bench, Kind, Workers};

/// A long answer of small events, each written on its own by the upstream.
const PLAN: StreamPlan = StreamPlan {
    events: 200,
    together: 1,
    gap: Duration::ZERO,
};
/// Below this share of its CPU, it was not the proxy that set the rate.
const BUSY_MIN: f64 = 0.85;

/// Each turn loads one target after the other.
pub(super) fn measure(bench: &Bench, extent: &Extent) -> anyhow::Result<Section> {
    let cpus = Cpus::divide(bench)?;
    let targets = bench.start_all(&Workers::OneOn(cpus.proxy))?;
    let mut session = Session::new(bench, &targets, extent);
    let mut rates = Rounds::default();
    let mut cpu_per_event = Rounds::default();
    let mut busy = Rounds::default();
    let turns = session.turns(extent.rounds, |session, target| {
        session.closed_round(target, Request::stream(target.address, PLAN))
    })?;
    for round in turns.iter().flatten() {
        rates.push(round.kind, per_second(round.events, extent.round));
        if round.kind != Kind::Direct {
            cpu_per_event.push(round.kind, micros(round.cpu) / number(round.events));
            busy.push(
                round.kind,
                round.cpu.as_secs_f64() / extent.round.as_secs_f64(),
            );
        }
    }
    let mut events = Row::new("events", "1/s", rates, Some(Budget::RatioAtLeast(0.7)));
    for kind in [Kind::Nginx, Kind::Keypool] {
        if let Some(share) = busy.median(kind).filter(|share| *share < BUSY_MIN) {
            events.cast_doubt();
            session.remark(format!(
                "{kind:?} used {:.0} % of its CPU: something else set the rate; \
                 see CPU time per event",
                share * 100.0
            ));
        }
    }
    let title = format!(
        "SSE through one worker: {CLOSED_LOOP_CONNECTIONS} streams of {} events, one write each",
        PLAN.events
    );
    let cpu_per_event = Row::new("CPU time per event", "µs", cpu_per_event, None);
    Ok(session.into_section(title, vec![events, cpu_per_event]))
}
