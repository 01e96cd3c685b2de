//! What it costs to serve a client of one API by a provider of another: small plain requests, closed loop, of a client
//! of Chat Completions, beside those of a client that speaks the upstream's own API.

use super::session::Session;
use super::{CLOSED_LOOP_CONNECTIONS, Extent};
use crate::payload::Request;
use crate::report::{Budget, Rounds, Row, Section};
use crate::stats::{micros, number, per_second};
use crate::target::{Bench, Kind, Workers};

/// keypool alone, both ways in each turn. Nobody else translates, so the ratio is between its own two ways.
pub(super) fn measure(bench: &Bench, extent: &Extent) -> anyhow::Result<Section> {
    let kinds = bench.kinds.iter().filter(|kind| **kind == Kind::Keypool);
    let targets: anyhow::Result<Vec<_>> = kinds
        .map(|kind| bench.start(*kind, &Workers::PerCpu))
        .collect();
    let targets = targets?;
    let mut session = Session::new(bench, &targets, extent);
    let turns = session.turns(extent.rounds, |session, target| {
        Ok([
            session.closed_round(target, Request::plain(target.address))?,
            session.closed_round(target, Request::plain_chat(target.address)?)?,
        ])
    })?;
    let mut rates = [Rounds::default(), Rounds::default()];
    let mut costs = [Rounds::default(), Rounds::default()];
    let mut ratio = Rounds::default();
    for both in turns.into_iter().flatten() {
        let each = both.map(|round| per_second(round.answers, extent.round));
        for ((round, rate), (rates, costs)) in
            both.iter().zip(each).zip(rates.iter_mut().zip(&mut costs))
        {
            rates.push(Kind::Keypool, rate);
            costs.push(
                Kind::Keypool,
                micros(round.cpu) / number(round.answers_in_all),
            );
        }
        let [passed, translated] = each;
        ratio.push(Kind::Keypool, translated / passed);
    }
    let [passed, translated] = rates;
    let [passed_cost, translated_cost] = costs;
    let title = format!(
        "Plain requests through a translation, closed loop, {CLOSED_LOOP_CONNECTIONS} connections"
    );
    let rows = vec![
        Row::new("requests, passed on", "1/s", passed, None),
        Row::new("requests, translated", "1/s", translated, None),
        Row::new(
            "translated ÷ passed on",
            "",
            ratio,
            Some(Budget::AtLeast(0.7)),
        ),
        Row::new("CPU time, passed on", "µs", passed_cost, None),
        Row::new("CPU time, translated", "µs", translated_cost, None),
    ];
    Ok(session.into_section(title, rows))
}
