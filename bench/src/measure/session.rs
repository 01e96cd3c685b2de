//! Rounds of all targets in turns, and what casts doubt on them.
//!
//! On a shared machine another program may take the CPUs for some seconds. Which turns count is
//! decided by that alone, and never by what was measured in them.

use std::time::Duration;

use super::{CLOSED_LOOP_CONNECTIONS, Extent};
use crate::load::{Generator, Tally};
use crate::machine::CpuUse;
use crate::payload::Request;
use crate::process::cpu_time;
use crate::report::{Row, Section};
use crate::target::{Bench, Kind, Running};

/// Above this share of the machine's time for others, a turn is disturbed.
const FOREIGN_SHARE_MAX: f64 = 0.1;
/// Turns that may be run for each that is wanted, before disturbed ones are taken as well.
const TURNS_PER_WANTED: usize = 2;

/// The measurements of one section.
#[derive(Debug)]
pub(super) struct Session<'a> {
    targets: &'a [Running],
    extent: &'a Extent,
    /// All processes of the run besides this one.
    own: Vec<u32>,
    /// The most that others used of the CPUs in a turn that counts.
    foreign: f64,
    failures: u64,
    remarks: Vec<String>,
}

/// One closed-loop round of one target.
#[derive(Debug, Clone, Copy)]
pub(super) struct ClosedRound {
    /// Who answered.
    pub(super) kind: Kind,
    /// Right answers within the round.
    pub(super) answers: u64,
    /// The same, and those to requests that were in flight at its end.
    pub(super) answers_in_all: u64,
    /// SSE events within the round.
    pub(super) events: u64,
    /// CPU time that the target's processes used.
    pub(super) cpu: Duration,
}

impl<'a> Session<'a> {
    /// A session with `targets`, all of which are running.
    pub(super) fn new(bench: &Bench, targets: &'a [Running], extent: &'a Extent) -> Self {
        let mut own = vec![bench.upstream_id];
        own.extend(targets.iter().flat_map(|target| &target.processes));
        Self {
            targets,
            extent,
            own,
            foreign: 0.0,
            failures: 0,
            remarks: Vec::new(),
        }
    }

    /// Has `round` measure every target in turn, until `wanted` turns were undisturbed or twice as
    /// many were run; answers the `wanted` least disturbed ones.
    pub(super) fn turns<T>(
        &mut self,
        wanted: usize,
        mut round: impl FnMut(&mut Self, &Running) -> anyhow::Result<T>,
    ) -> anyhow::Result<Vec<Vec<T>>> {
        let mut turns: Vec<(f64, Vec<T>)> = Vec::new();
        let mut undisturbed = 0;
        while undisturbed < wanted && turns.len() < wanted * TURNS_PER_WANTED {
            let before = CpuUse::now(&self.own);
            let turn = self
                .targets
                .iter()
                .map(|target| round(self, target))
                .collect();
            let turn: anyhow::Result<Vec<T>> = turn;
            let foreign = CpuUse::now(&self.own).foreign_share_since(before);
            undisturbed += usize::from(foreign <= FOREIGN_SHARE_MAX);
            turns.push((foreign, turn?));
        }
        let turns = least_disturbed(turns, wanted);
        self.foreign = turns
            .iter()
            .fold(self.foreign, |most, (foreign, _)| most.max(*foreign));
        Ok(turns.into_iter().map(|(_, turn)| turn).collect())
    }

    /// One closed-loop round after a warm-up, on connections of its own.
    pub(super) fn closed_round(
        &mut self,
        target: &Running,
        request: Request,
    ) -> anyhow::Result<ClosedRound> {
        let mut generator = Generator::connect(target.address, CLOSED_LOOP_CONNECTIONS, request)?;
        generator.closed_loop(self.extent.warm_up)?;
        let cpu_before = cpu_time(&target.processes);
        let tally = generator.closed_loop(self.extent.round)?;
        let cpu = cpu_time(&target.processes).saturating_sub(cpu_before);
        self.note(target.kind, &tally);
        Ok(ClosedRound {
            kind: target.kind,
            answers: tally.answers,
            answers_in_all: tally.answers + tally.answers_after,
            events: tally.events,
            cpu,
        })
    }

    /// Notes requests that failed.
    pub(super) fn note(&mut self, kind: Kind, tally: &Tally) {
        if let Some(first) = &tally.first_failure {
            let count = tally.failures;
            self.failures += count;
            self.remark(format!(
                "{kind:?}: {count} requests failed; the first: {first}"
            ));
        }
    }

    /// Tells the reader something that changes how the lines are to be read.
    pub(super) fn remark(&mut self, text: impl Into<String>) {
        self.remarks.push(text.into());
    }

    /// Makes a section of what was measured.
    pub(super) fn into_section(mut self, title: String, mut rows: Vec<Row>) -> Section {
        if self.foreign > FOREIGN_SHARE_MAX {
            let percent = self.foreign * 100.0;
            self.remark(format!(
                "other programs used up to {percent:.0} % of the CPUs in a turn: no verdict, and \
                 ratios are a hint at most"
            ));
            rows.iter_mut().for_each(Row::cast_doubt);
        }
        Section {
            title,
            rows,
            remarks: self.remarks,
            failures: self.failures,
        }
    }
}

/// The `wanted` turns in which others used the CPUs least.
fn least_disturbed<T>(mut turns: Vec<(f64, T)>, wanted: usize) -> Vec<(f64, T)> {
    turns.sort_by(|(left, _), (right, _)| left.total_cmp(right));
    turns.truncate(wanted);
    turns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_disturbed_turns_count_whatever_was_measured_in_them() {
        let turns = vec![(0.3, "fast"), (0.0, "slow"), (0.2, "fast"), (0.1, "slow")];
        assert_eq!(
            least_disturbed(turns.clone(), 2),
            [(0.0, "slow"), (0.1, "slow")]
        );
        assert_eq!(least_disturbed(turns, 9).len(), 4);
    }
}
