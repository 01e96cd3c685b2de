//! What was measured, and whether the promise held.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::plan::{ANSWER_TIME, LEAD_IN, PIECE_DELAY, STREAM_PIECES, TIME_LIMIT};
use super::scene::PhaseResult;
use super::traffic::{Answered, End, Visit};
use crate::cli::output::Table;

/// Of what is attainable, so much must be answered. A bucket loses nothing, so it would be all of
/// it but for the requests that are on their way when a measurement begins and ends.
pub(super) const THROUGHPUT_FLOOR: f64 = 0.95;

/// Failing over must not take longer, at the 99th percentile, beyond what the keys themselves take.
pub(super) const FAILOVER_CEILING: Duration = Duration::from_secs(1);

/// Examples of failures that are told.
const EXAMPLES: usize = 3;

/// Everything measured.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    /// Whether the promise held.
    pub(super) held: bool,
    /// Why it did not.
    pub(super) broken: Vec<String>,
    /// From the start to the verdict.
    took_seconds: f64,
    rows: Vec<Row>,
}

/// One phase, measured.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row {
    phase: &'static str,
    keys: u32,
    sum_of_limits_per_minute: u32,
    offered_per_minute: u32,
    answered_per_minute: f64,
    /// Of what is attainable: the sum of the limits, or what is offered if that is less.
    answered_share: f64,
    /// 429s of the provider because a limit was reached: keypool should have foreseen them.
    upstream_429s: u64,
    /// 429s of the provider that the demo caused on purpose.
    upstream_429s_on_purpose: u64,
    /// The provider's answers by status.
    upstream_by_status: BTreeMap<u16, u64>,
    /// Answers that waited in keypool's queue.
    waited: usize,
    /// Answers which told a client to wait.
    told_to_wait: u32,
    /// Clients that saw a failure.
    failures: usize,
    failure_examples: Vec<String>,
    /// Whole streams among the answers.
    streams: usize,
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
    /// Answers that another key gave after one had failed.
    failovers: usize,
    /// Time to the head beyond what the keys that were tried took to answer.
    failover_p99_ms: Option<f64>,
    #[serde(skip)]
    expects_failovers: bool,
}

impl Report {
    /// Judges what was measured.
    pub(super) fn new(results: &[PhaseResult], took: Duration) -> Self {
        let rows: Vec<_> = results.iter().map(Row::new).collect();
        let mut broken: Vec<_> = rows.iter().flat_map(Row::broken_promises).collect();
        if took > TIME_LIMIT {
            broken.push(format!(
                "it took {:.1} s, more than {} s",
                took.as_secs_f64(),
                TIME_LIMIT.as_secs()
            ));
        }
        Self {
            held: broken.is_empty(),
            broken,
            took_seconds: took.as_secs_f64(),
            rows,
        }
    }

    /// The table, what lies behind it, and the verdict.
    pub(super) fn render(&self) -> String {
        let mut text = self.table();
        for line in [self.behind_the_scenes(), self.verdict()] {
            text.push('\n');
            text.push_str(&line);
            text.push('\n');
        }
        text
    }

    fn table(&self) -> String {
        let mut table = Table::new(&[
            "PHASE",
            "SUM OF LIMITS",
            "OFFERED",
            "ANSWERED",
            "SHARE",
            "429s",
            "WAITS",
            "FAILED",
            "P50 / P99",
            "FAILOVER P99",
        ]);
        for row in &self.rows {
            table.row(row.cells());
        }
        table.render()
    }

    fn behind_the_scenes(&self) -> String {
        let sum = |number: fn(&Row) -> usize| self.rows.iter().map(number).sum::<usize>();
        let mut errors: BTreeMap<u16, u64> = BTreeMap::new();
        for (status, count) in self.rows.iter().flat_map(|row| &row.upstream_by_status) {
            if *status >= 400 {
                *errors.entry(*status).or_default() += count;
            }
        }
        let errors: Vec<_> = errors
            .iter()
            .map(|(status, count)| format!("{count} × {status}"))
            .collect();
        format!(
            "\
SHARE is of the sum of limits, or of what was offered where that is less. 429s: the provider's, for
limits that keypool knew. WAITS: how many requests waited for room in keypool's queue, or were told
when to come back. FAILED: clients that got anything else but an answer. P50 / P99 are of answers,
without the waits; the provider itself takes {} ms, for a stream {} ms. FAILOVER: what was added to
the time of the keys that were tried.

Errors of the provider, caused on purpose or in the table: {}.
{} requests were answered by another key after one had failed. {} of the answers were streams; all
answers were compared word for word.",
            ANSWER_TIME.as_millis(),
            (ANSWER_TIME + PIECE_DELAY * (STREAM_PIECES - 1)).as_millis(),
            if errors.is_empty() {
                "none".to_owned()
            } else {
                errors.join(", ")
            },
            sum(|row| row.failovers),
            sum(|row| row.streams),
        )
    }

    fn verdict(&self) -> String {
        if self.held {
            format!(
                "The promise held, in {:.1} s: as many keys, as many times the throughput; no client \
                 saw a key fail.",
                self.took_seconds
            )
        } else {
            format!("The promise did not hold:\n  {}", self.broken.join("\n  "))
        }
    }
}

impl Row {
    fn new(result: &PhaseResult) -> Self {
        let phase = &result.phase;
        let answers = answers(&result.visits);
        let window = LEAD_IN..phase.length();
        let in_time = answers
            .iter()
            .filter(|(visit, _)| window.contains(&visit.left))
            .count();
        let answered_per_minute = float(in_time) / phase.measured.as_secs_f64() * 60.0;
        let times = sorted(answers.iter().map(|(_, answered)| answered.took));
        let failed_over = answers.iter().filter(|(_, answered)| answered.attempts > 1);
        let failovers = sorted(failed_over.map(|(_, answered)| failover_time(answered)));
        let failures: Vec<_> = result
            .visits
            .iter()
            .filter_map(|visit| match &visit.end {
                End::Failed(reason) => Some(reason),
                End::Answered(_) | End::Unserved => None,
            })
            .chain(&result.failed_before)
            .collect();
        let upstream = &result.upstream;
        Self {
            phase: phase.title,
            keys: phase.keys,
            sum_of_limits_per_minute: phase.limits_per_minute(),
            offered_per_minute: phase.offered_per_minute,
            answered_per_minute,
            answered_share: answered_per_minute / f64::from(phase.attainable_per_minute()),
            upstream_429s: upstream.over_limit,
            upstream_429s_on_purpose: upstream
                .with_status(429)
                .saturating_sub(upstream.over_limit),
            upstream_by_status: upstream.by_status.clone(),
            waited: answers
                .iter()
                .filter(|(_, answered)| !answered.queued.is_zero())
                .count(),
            told_to_wait: result.visits.iter().map(|visit| visit.told_to_wait).sum(),
            failures: failures.len(),
            failure_examples: failures.into_iter().take(EXAMPLES).cloned().collect(),
            streams: answers
                .iter()
                .filter(|(_, answered)| answered.is_stream)
                .count(),
            p50_ms: percentile(&times, 50).map(milliseconds),
            p99_ms: percentile(&times, 99).map(milliseconds),
            failovers: failovers.len(),
            failover_p99_ms: percentile(&failovers, 99).map(milliseconds),
            expects_failovers: !phase.troubles.is_empty(),
        }
    }

    fn broken_promises(&self) -> Vec<String> {
        let mut broken = Vec::new();
        let mut unless = |holds: bool, reason: String| {
            if !holds {
                broken.push(format!("{}: {reason}", self.phase));
            }
        };
        unless(
            self.failures == 0,
            format!(
                "clients that saw a failure: {}, such as {}",
                self.failures,
                self.failure_examples.join("; ")
            ),
        );
        unless(
            self.answered_share >= THROUGHPUT_FLOOR,
            format!(
                "{:.1} % of what the limits and the clients allow was answered, less than {:.0} %",
                self.answered_share * 100.0,
                THROUGHPUT_FLOOR * 100.0
            ),
        );
        unless(
            self.upstream_429s == 0,
            format!(
                "requests that met a limit which keypool knew: {}",
                self.upstream_429s
            ),
        );
        unless(self.streams > 0, "no stream was answered".to_owned());
        unless(
            self.failovers > 0 || !self.expects_failovers,
            "keys failed, and yet no request was answered by another key".to_owned(),
        );
        let ceiling = milliseconds(FAILOVER_CEILING);
        unless(
            self.failover_p99_ms.is_none_or(|p99| p99 <= ceiling),
            format!("failing over took longer than {ceiling:.0} ms"),
        );
        broken
    }

    fn waits(&self) -> usize {
        let told = usize::try_from(self.told_to_wait).unwrap_or(usize::MAX);
        self.waited.saturating_add(told)
    }

    fn cells(&self) -> Vec<String> {
        let per_minute = |number: f64| format!("{number:.0}/min");
        let time = |ms: Option<f64>| ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.0}"));
        let failover = self.failover_p99_ms.map(|ms| format!("{ms:.1} ms"));
        vec![
            self.phase.to_owned(),
            per_minute(self.sum_of_limits_per_minute.into()),
            per_minute(self.offered_per_minute.into()),
            per_minute(self.answered_per_minute),
            format!("{:.1} %", self.answered_share * 100.0),
            self.upstream_429s.to_string(),
            self.waits().to_string(),
            self.failures.to_string(),
            format!("{} / {} ms", time(self.p50_ms), time(self.p99_ms)),
            failover.unwrap_or_else(|| "-".to_owned()),
        ]
    }
}

fn answers(visits: &[Visit]) -> Vec<(&Visit, Answered)> {
    let answered = visits.iter().filter_map(|visit| match visit.end {
        End::Answered(answered) => Some((visit, answered)),
        End::Unserved | End::Failed(_) => None,
    });
    answered.collect()
}

/// What an answer took beyond the provider's own time for each of its attempts.
fn failover_time(answered: &Answered) -> Duration {
    answered
        .head_after
        .saturating_sub(ANSWER_TIME.saturating_mul(answered.attempts))
}

fn sorted(times: impl Iterator<Item = Duration>) -> Vec<Duration> {
    let mut times: Vec<_> = times.collect();
    times.sort_unstable();
    times
}

/// The smallest value that so many percent of all do not exceed.
fn percentile(sorted: &[Duration], percent: usize) -> Option<Duration> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e4).round() / 10.0
}

#[expect(clippy::cast_precision_loss, reason = "counts of a demo")]
fn float(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests;
