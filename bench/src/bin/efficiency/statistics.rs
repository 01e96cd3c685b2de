//! What a row's answers come to: pure arithmetic over what clients and the simulator saw.
//!
//! Two mistakes would make any pool look good: to count answers that were admitted before the
//! measurement, and to divide by less than the quotas allowed. So an answer counts for the instant at
//! which it was let go to the provider (sent + what it waited in the queue), and the denominator is
//! stated:
//!
//! - under overload it is what the quotas allow in the measured interval, limit × length, in the dimension
//!   of which most was used. Buckets are empty when the interval begins, fixed minutes are measured from
//!   turn to turn: nothing that was saved before helps.
//! - below it is what was offered, as far as the quotas allow it.
//!
//! Worked example: three keys of 300 a minute, twice as much offered; 1340 answers 200 were admitted in 90
//! measured seconds. The quotas allow 3 × 300 × 1.5 = 1350: efficiency 0.9926.

use std::time::Duration;

use crate::scenario::Scenario;

/// How one request ended, as its client saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// 200, and whole.
    Served,
    /// The gateway's own 429 that names the time at which there will be room.
    ToldToWait,
    /// Anything else, in few words.
    Failed(String),
}

/// One request that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    /// When it was due, from the start of the traffic.
    pub(crate) due: Duration,
    /// When it was sent.
    pub(crate) sent: Duration,
    /// What it waited in the gateway's queue.
    pub(crate) queued: Duration,
    /// Its input tokens.
    pub(crate) tokens: u64,
    pub(crate) outcome: Outcome,
}

impl Record {
    /// When it went to the provider.
    fn admitted(&self) -> Duration {
        self.sent.saturating_add(self.queued)
    }
}

/// The measured part of the run, from the start of the traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Interval {
    pub(crate) start: Duration,
    pub(crate) end: Duration,
}

impl Interval {
    fn holds(&self, at: Duration) -> bool {
        self.start <= at && at < self.end
    }

    pub(crate) fn length(&self) -> Duration {
        self.end.saturating_sub(self.start)
    }

    fn minutes(&self) -> f64 {
        self.length().as_secs_f64() / 60.0
    }
}

/// What the clients of a row saw.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Seen {
    /// Goodput ÷ what could be had.
    pub(crate) efficiency: f64,
    /// Requests served of those that count.
    pub(crate) served: usize,
    /// The denominator in requests of mean size.
    pub(crate) possible: f64,
    /// Told to wait, of those due in the interval.
    pub(crate) told_to_wait: usize,
    /// Failures of the whole run, with the words of the first.
    pub(crate) failed: usize,
    pub(crate) first_failure: Option<String>,
    pub(crate) wait_p50: Duration,
    pub(crate) wait_p99: Duration,
    /// How late the 99th percentile of requests was sent: the generator's own fault.
    pub(crate) sent_late_p99: Duration,
}

/// Sums up a row. `offered` are the requests due in the interval.
#[allow(clippy::cast_precision_loss, reason = "counts of some thousands")]
pub(crate) fn sum_up(
    scenario: &Scenario,
    interval: Interval,
    offered: usize,
    records: &[Record],
) -> Seen {
    let served = |record: &&Record| record.outcome == Outcome::Served;
    let due_inside = |record: &&Record| interval.holds(record.due);
    let (good, possible, efficiency) = if scenario.is_overload() {
        let good: Vec<&Record> = records
            .iter()
            .filter(served)
            .filter(|record| interval.holds(record.admitted()))
            .collect();
        let quota = scenario.quota();
        let scale = scenario.keys as f64 * interval.minutes();
        let tokens: u64 = good.iter().map(|record| record.tokens).sum();
        let of_requests = good.len() as f64 / (quota.requests as f64 * scale);
        let of_tokens = tokens as f64 / (quota.tokens as f64 * scale);
        let possible = scenario.allowed_per_minute() as f64 * interval.minutes();
        (good, possible, of_requests.max(of_tokens))
    } else {
        let good: Vec<&Record> = records.iter().filter(served).filter(due_inside).collect();
        let efficiency = good.len() as f64 / (offered as f64).max(1.0);
        (good, offered as f64, efficiency)
    };
    let mut failures = records.iter().filter_map(|record| match &record.outcome {
        Outcome::Failed(words) => Some(words.clone()),
        _ => None,
    });
    let first_failure = failures.next();
    let waits = good.iter().map(|record| record.queued).collect();
    let lateness = records
        .iter()
        .map(|record| record.sent.saturating_sub(record.due))
        .collect();
    let waits = Percentiles::of(waits);
    Seen {
        efficiency,
        served: good.len(),
        possible,
        told_to_wait: records
            .iter()
            .filter(due_inside)
            .filter(|record| record.outcome == Outcome::ToldToWait)
            .count(),
        failed: failures.count() + usize::from(first_failure.is_some()),
        first_failure,
        wait_p50: waits.at(50),
        wait_p99: waits.at(99),
        sent_late_p99: Percentiles::of(lateness).at(99),
    }
}

/// Durations, sorted once.
#[derive(Debug)]
struct Percentiles(Vec<Duration>);

impl Percentiles {
    fn of(mut samples: Vec<Duration>) -> Self {
        samples.sort_unstable();
        Self(samples)
    }

    /// The smallest sample that `percent` of all do not exceed; zero without samples.
    fn at(&self, percent: usize) -> Duration {
        let rank = (self.0.len() * percent).div_ceil(100);
        self.0
            .get(rank.saturating_sub(1))
            .copied()
            .unwrap_or_default()
    }
}

/// The largest share ÷ the fair one; 1 when there is nothing to share.
#[allow(clippy::cast_precision_loss, reason = "counts of some thousands")]
pub(crate) fn imbalance(counts: &[u64]) -> f64 {
    let total: u64 = counts.iter().sum();
    match counts.iter().max() {
        Some(most) if total > 0 => *most as f64 * counts.len() as f64 / total as f64,
        _ => 1.0,
    }
}

/// `part` ÷ `whole`; zero of nothing.
#[allow(clippy::cast_precision_loss, reason = "counts of some millions")]
pub(crate) fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Declared, Limiter, Traffic};

    const INTERVAL: Interval = Interval {
        start: Duration::from_mins(1),
        end: Duration::from_mins(2),
    };

    fn row(load: f64) -> Scenario {
        Scenario {
            keys: 1,
            limiter: Limiter::Bucket,
            declared: Declared::Right,
            traffic: Traffic::Steady,
            load,
        }
    }

    fn record(sent: u64, queued: u64, tokens: u64, outcome: Outcome) -> Record {
        let sent = Duration::from_secs(sent);
        Record {
            due: sent,
            sent,
            queued: Duration::from_secs(queued),
            tokens,
            outcome,
        }
    }

    #[test]
    fn an_answer_counts_for_the_instant_at_which_it_was_admitted() {
        let served = |sent, queued| record(sent, queued, 1000, Outcome::Served);
        let records = [
            served(50, 5),
            served(50, 15),
            served(110, 5),
            served(110, 15),
        ];
        let seen = sum_up(&row(2.0), INTERVAL, 4, &records);
        assert_eq!(seen.served, 2);
        assert!((seen.efficiency - 2.0 / 300.0).abs() < 1e-9);
    }

    #[test]
    fn the_dimension_of_which_most_was_used_is_what_counts_under_overload() {
        let large = vec![record(70, 0, 15_000, Outcome::Served); 40];
        assert!((sum_up(&row(2.0), INTERVAL, 600, &large).efficiency - 1.0).abs() < 1e-9);
    }

    #[test]
    fn below_the_quotas_what_was_offered_must_be_served() {
        let mut records = vec![record(70, 1, 1000, Outcome::Served); 99];
        records.push(record(70, 0, 1000, Outcome::Failed("502".to_owned())));
        let seen = sum_up(&row(0.5), INTERVAL, 100, &records);
        assert!((seen.efficiency - 0.99).abs() < 1e-9);
        assert_eq!(
            (seen.failed, seen.first_failure.as_deref()),
            (1, Some("502"))
        );
        assert_eq!(seen.wait_p99, Duration::from_secs(1));
    }

    #[test]
    fn who_is_told_to_wait_has_not_failed() {
        let records = [record(70, 0, 1000, Outcome::ToldToWait)];
        let seen = sum_up(&row(2.0), INTERVAL, 1, &records);
        assert_eq!((seen.told_to_wait, seen.failed), (1, 0));
    }

    #[test]
    fn percentiles_are_samples_and_never_beyond_the_last() {
        let samples = (1..=200).map(Duration::from_millis).collect();
        let percentiles = Percentiles::of(samples);
        assert_eq!(percentiles.at(50), Duration::from_millis(100));
        assert_eq!(percentiles.at(99), Duration::from_millis(198));
        assert_eq!(Percentiles::of(Vec::new()).at(99), Duration::ZERO);
    }

    #[test]
    fn imbalance_is_one_when_all_have_the_same() {
        assert!((imbalance(&[5, 5, 5]) - 1.0).abs() < 1e-9);
        assert!((imbalance(&[10, 5, 0]) - 2.0).abs() < 1e-9);
        assert!((imbalance(&[]) - 1.0).abs() < 1e-9);
    }
}
