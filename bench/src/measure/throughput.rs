//! Small plain requests per second, closed loop, and the CPU time that a proxy spends on each.

use super::{CLOSED_LOOP_CONNECTIONS, Doubts, Extent};
use crate::load::Generator;
use crate::payload::Request;
use crate::process::cpu_time;
use crate::report::{Budget, Rounds, Row, Section};
use crate::stats::{micros, number, per_second};
use crate::target::{Bench, Kind, Workers};

/// How much faster than through nginx the upstream itself must answer to be no limit.
const HEADROOM_MIN: f64 = 1.5;

/// All targets run; each round loads one after the other.
pub(super) fn measure(bench: &Bench, extent: &Extent) -> anyhow::Result<Section> {
    let targets = bench.start_all(&Workers::PerCpu)?;
    let mut doubts = Doubts::watch(bench, &targets);
    let mut rates = Rounds::default();
    let mut cpu_per_request = Rounds::default();
    for _ in 0..extent.rounds {
        for target in &targets {
            let request = Request::plain(target.address);
            let mut generator =
                Generator::connect(target.address, CLOSED_LOOP_CONNECTIONS, request)?;
            generator.closed_loop(extent.warm_up)?;
            let cpu_before = cpu_time(&target.processes);
            let tally = generator.closed_loop(extent.round)?;
            let cpu = cpu_time(&target.processes).saturating_sub(cpu_before);
            doubts.note(target.kind, &tally);
            rates.push(target.kind, per_second(tally.answers, extent.round));
            if target.kind != Kind::Direct {
                let answers = number(tally.answers + tally.answers_after);
                cpu_per_request.push(target.kind, micros(cpu) / answers);
            }
        }
    }
    if let (Some(direct), Some(nginx)) = (rates.median(Kind::Direct), rates.median(Kind::Nginx))
        && direct < nginx * HEADROOM_MIN
    {
        doubts
            .remarks
            .push("the upstream is hardly faster than nginx: it limits what is measured".into());
    }
    Ok(doubts.into_section(
        format!("Small plain requests, closed loop, {CLOSED_LOOP_CONNECTIONS} connections"),
        vec![
            Row::new("requests", "1/s", rates, Some(Budget::RatioAtLeast(0.9))),
            Row::new(
                "CPU time per request",
                "µs",
                cpu_per_request,
                Some(Budget::RatioAtMost(1.3)),
            ),
        ],
    ))
}
