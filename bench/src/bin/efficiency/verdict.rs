//! Which row keeps which promise, in lines for people and in JSON.
//!
//! Targets hold in the measured interval, once limits are learnt and buckets empty; failures count from
//! the first request on.
//!
//! Worked example: 3 keys whose declared limits are a fifth too high may waste three in a hundred and be
//! refused five in a thousand times; with the right ones it is one in a hundred and one in a thousand.

use std::time::Duration;

use serde_json::{Value, json};

use crate::affinity::Side;
use crate::row::Row;
use crate::scenario::{Limiter, Scenario, Traffic};
use crate::statistics::share;
use crate::traffic::SLOT;

/// Below the quotas nobody waits longer for a key than this, at the 99th percentile.
const WAIT_MAX: Duration = Duration::from_secs(2);

/// The generator is late when the 99th percentile of requests is sent so long after its time.
const LATE_MAX: Duration = Duration::from_millis(100);

/// A pool's hit ratio may lie so far below that of one key.
const HIT_RATIO_LOSS_MAX: f64 = 0.02;

/// The largest share of a key in the conversations' requests ÷ the fair one.
const IMBALANCE_MAX: f64 = 1.25;

/// What a row must reach.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Targets {
    efficiency: Option<f64>,
    refused: f64,
    /// Told to wait counts as a failure, too.
    all_served: bool,
    wait_p99: Option<Duration>,
}

fn targets(scenario: &Scenario) -> Targets {
    let (efficiency, refused) = if scenario.declared.is_wrong() {
        (0.97, 0.005)
    } else {
        (0.99, 0.001)
    };
    let overload = scenario.is_overload();
    // Slices let a burst through within its slot and no sooner, whoever sends it.
    let least_wait = match (scenario.limiter, scenario.traffic) {
        (Limiter::Slices, Traffic::Bursts) => SLOT,
        _ => Duration::ZERO,
    };
    Targets {
        efficiency: overload.then_some(efficiency),
        refused,
        all_served: !overload,
        wait_p99: (!overload).then_some(WAIT_MAX + least_wait),
    }
}

/// What a row misses, in words; nothing when it keeps all its promises.
pub(crate) fn misses(row: &Row) -> Vec<String> {
    let targets = targets(&row.scenario);
    let seen = &row.seen;
    let mut misses = Vec::new();
    if let Some(least) = targets.efficiency.filter(|least| seen.efficiency < *least) {
        misses.push(format!("efficiency {:.4} < {least}", seen.efficiency));
    }
    if row.refused_share() > targets.refused {
        let (is, most) = (row.refused_share() * 100.0, targets.refused * 100.0);
        misses.push(format!("429s {is:.2} % > {most} %"));
    }
    if seen.failed > 0 {
        let words = seen.first_failure.as_deref().unwrap_or_default();
        misses.push(format!("{} failures: {words}", seen.failed));
    }
    if targets.all_served && (seen.told_to_wait > 0 || seen.efficiency < 1.0) {
        misses.push(format!(
            "{} of {:.0} served, {} told to wait",
            seen.served, seen.possible, seen.told_to_wait
        ));
    }
    if let Some(most) = targets.wait_p99.filter(|most| seen.wait_p99 > *most) {
        misses.push(format!("wait p99 {:?} > {most:?}", seen.wait_p99));
    }
    misses
}

/// The heads of the columns of [`line()`].
pub(crate) fn heading() -> String {
    format!(
        "{:<30} {:>7} {:>13} {:>12} {:>10} {:>5} {:>6} {:>8} {:>8} {:>5}",
        "row", "goodput", "served", "429s", "429 warm", "fail", "wait!", "p50", "p99", "share"
    )
}

/// One row in one line.
pub(crate) fn line(row: &Row) -> String {
    let seen = &row.seen;
    let late = if seen.sent_late_p99 > LATE_MAX {
        format!("  ! sent late: p99 {:?}", seen.sent_late_p99)
    } else {
        String::new()
    };
    let verdict = if misses(row).is_empty() { "" } else { "  MISS" };
    format!(
        "{:<30} {:>7.4} {:>13} {:>12} {:>10} {:>5} {:>6} {:>7.2}s {:>7.2}s {:>5.2}{verdict}{late}",
        row.scenario.to_string(),
        seen.efficiency,
        format!("{}/{:.0}", seen.served, seen.possible),
        format!("{}={:.2}%", row.refused.0, row.refused_share() * 100.0),
        format!("{}/{}", row.refused_before.0, row.refused_before.1),
        seen.failed,
        seen.told_to_wait,
        seen.wait_p50.as_secs_f64(),
        seen.wait_p99.as_secs_f64(),
        row.imbalance,
    )
}

/// The same with everything that helps to find a cause.
pub(crate) fn json(row: &Row) -> Value {
    let seen = &row.seen;
    json!({
        "row": row.scenario.to_string(),
        "measuredSeconds": row.interval.length().as_secs_f64(),
        "warmUpSeconds": row.interval.start.as_secs_f64(),
        "efficiency": seen.efficiency,
        "served": seen.served,
        "possible": seen.possible,
        "admittedBySimulator": row.admitted,
        "upstreamRequests": row.refused.1,
        "upstream429s": row.refused.0,
        "upstreamRequestsWarmUp": row.refused_before.1,
        "upstream429sWarmUp": row.refused_before.0,
        "failed": seen.failed,
        "firstFailure": seen.first_failure,
        "toldToWait": seen.told_to_wait,
        "waitP50Ms": seen.wait_p50.as_secs_f64() * 1000.0,
        "waitP99Ms": seen.wait_p99.as_secs_f64() * 1000.0,
        "sentLateP99Ms": seen.sent_late_p99.as_secs_f64() * 1000.0,
        "largestShare": row.imbalance,
        "misses": misses(row),
        "pool": row.pool,
        "log": row.log,
    })
}

/// What the conversations miss.
pub(crate) fn affinity_misses([many, one]: &[Side; 2]) -> Vec<String> {
    let mut misses = Vec::new();
    if many.hit_ratio < one.hit_ratio - HIT_RATIO_LOSS_MAX {
        misses.push(format!(
            "hit ratio {:.4} < {:.4} - 0.02",
            many.hit_ratio, one.hit_ratio
        ));
    }
    if many.imbalance > IMBALANCE_MAX {
        misses.push(format!(
            "largest share {:.3} > {IMBALANCE_MAX}",
            many.imbalance
        ));
    }
    for side in [many, one] {
        if side.failed > 0 {
            let words = side.first_failure.as_deref().unwrap_or("told to wait");
            misses.push(format!(
                "{} failures with {} keys: {words}",
                side.failed, side.keys
            ));
        }
    }
    misses
}

/// One side of the conversations in one line.
pub(crate) fn affinity_line(side: &Side) -> String {
    format!(
        "affinity, {} key(s): hit ratio {:.4}, largest share {:.3} {:?}, 429s {}/{}={:.2}%, failures {}",
        side.keys,
        side.hit_ratio,
        side.imbalance,
        side.shares,
        side.refused,
        side.requests,
        share(side.refused, side.requests) * 100.0,
        side.failed,
    )
}

/// The same as JSON.
pub(crate) fn affinity_json(side: &Side) -> Value {
    json!({
        "keys": side.keys,
        "hitRatio": side.hit_ratio,
        "largestShare": side.imbalance,
        "requestsPerKey": side.shares,
        "upstreamRequests": side.requests,
        "upstream429s": side.refused,
        "failed": side.failed,
        "firstFailure": side.first_failure,
        "pool": side.pool,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Declared;

    fn row(limiter: Limiter, declared: Declared, traffic: Traffic, load: f64) -> Targets {
        targets(&Scenario {
            keys: 1,
            limiter,
            declared,
            traffic,
            load,
        })
    }

    #[test]
    fn wrong_limits_may_cost_more_than_right_or_learnt_ones() {
        let of = |declared| row(Limiter::Bucket, declared, Traffic::Steady, 2.0);
        assert_eq!(of(Declared::Right), of(Declared::None));
        assert_eq!(of(Declared::None).efficiency, Some(0.99));
        assert_eq!(of(Declared::High).efficiency, Some(0.97));
        assert!(of(Declared::Low).refused > of(Declared::Right).refused);
    }

    #[test]
    fn below_the_quotas_all_are_served_soon() {
        let of = |limiter, traffic| row(limiter, Declared::Right, traffic, 0.95);
        let fixed = of(Limiter::Fixed, Traffic::Bursts);
        assert!(fixed.all_served && fixed.efficiency.is_none());
        assert_eq!(fixed.wait_p99, Some(WAIT_MAX));
        let slices = of(Limiter::Slices, Traffic::Bursts);
        assert_eq!(slices.wait_p99, Some(WAIT_MAX + SLOT));
    }
}
