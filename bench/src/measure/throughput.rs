//! Small plain requests per second, closed loop, and the CPU time that a proxy spends on each.

use super::session::Session;
use super::{CLOSED_LOOP_CONNECTIONS, Extent};
use crate::payload::Request;
use crate::report::{Budget, Rounds, Row, Section};
use crate::stats::{micros, number, per_second};
use crate::target::{Bench, Kind, Workers};

/// How much faster than through nginx the upstream itself must answer to be no limit.
const HEADROOM_MIN: f64 = 1.5;

/// All targets run; each turn loads one after the other.
pub(super) fn measure(bench: &Bench, extent: &Extent) -> anyhow::Result<Section> {
    let targets = bench.start_all(&Workers::PerCpu)?;
    let mut session = Session::new(bench, &targets, extent);
    let mut rates = Rounds::default();
    let mut cpu_per_request = Rounds::default();
    let turns = session.turns(extent.rounds, |session, target| {
        session.closed_round(target, Request::plain(target.address))
    })?;
    for round in turns.iter().flatten() {
        rates.push(round.kind, per_second(round.answers, extent.round));
        if round.kind != Kind::Direct {
            cpu_per_request.push(round.kind, micros(round.cpu) / number(round.answers_in_all));
        }
    }
    if let (Some(direct), Some(nginx)) = (rates.median(Kind::Direct), rates.median(Kind::Nginx))
        && direct < nginx * HEADROOM_MIN
    {
        session.remark("the upstream is hardly faster than nginx: it limits what is measured");
    }
    let title = format!("Small plain requests, closed loop, {CLOSED_LOOP_CONNECTIONS} connections");
    let rows = vec![
        Row::new("requests", "1/s", rates, Some(Budget::RatioAtLeast(0.9))),
        Row::new(
            "CPU time per request",
            "µs",
            cpu_per_request,
            Some(Budget::RatioAtMost(1.3)),
        ),
    ];
    Ok(session.into_section(title, rows))
}
