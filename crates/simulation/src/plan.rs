//! Whether a load fits a set of quotas, and how many more of them it needs.
//!
//! Sums of limits mislead: bursts, long answers and a limit that binds early make half of a quota
//! useless. So the load is run against the quotas, and against more of them until it fits.
//!
//! Worked example: 150 requests a minute on two keys of 60. A third of the load is refused; with one more
//! quota of 60 nobody is.

use serde::{Deserialize, Serialize};

use crate::scenario::{KeyPlan, Scenario};
use crate::{Report, run};

/// Quotas that are added at most.
pub const MORE_MAX: usize = 1024;

/// The share of requests that may go unserved in a load that fits.
const UNSERVED_MAX: f64 = 0.001;

/// The wait for room that all but a hundredth stay below in a load that fits, in milliseconds.
const WAIT_P99_MS: f64 = 2_000.0;

/// The answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// How the load fares with the quotas that there are.
    pub report: Report,
    /// Whether it fits.
    pub fits: bool,
    /// How many more quotas it needs; `None` when [`MORE_MAX`] would not do.
    pub more_quotas: Option<usize>,
    /// The key after which those are modelled: the one with the smallest quota.
    pub like: Option<String>,
}

/// Whether a run served its load: at most one request in a thousand refused or failed, and waits for room
/// below two seconds for all but a hundredth.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub fn fits(report: &Report) -> bool {
    let unserved = report.failed() + report.told_to_wait;
    unserved as f64 <= UNSERVED_MAX * report.requests as f64 && report.waits.p99_ms < WAIT_P99_MS
}

/// Runs the load of a scenario, and finds out how many more quotas it needs.
#[must_use]
pub fn plan(scenario: &Scenario) -> Plan {
    let report = run(scenario);
    let fits_now = fits(&report);
    let model = smallest(scenario);
    let like = model.and_then(|key| report.keys.get(key));
    Plan {
        fits: fits_now,
        more_quotas: if fits_now {
            Some(0)
        } else {
            model.and_then(|key| needed(scenario, key))
        },
        like: like.map(|key| key.name.clone()),
        report,
    }
}

/// The key whose quota allows least.
fn smallest(scenario: &Scenario) -> Option<usize> {
    let size = |key: &KeyPlan| {
        let limits = scenario.quotas.get(key.quota).map(|quota| quota.limits);
        limits.map_or((u64::MAX, u64::MAX), |limits| {
            (
                limits.requests_per_minute.unwrap_or(u64::MAX),
                limits
                    .input_tokens_per_minute
                    .or(limits.tokens_per_minute)
                    .unwrap_or(u64::MAX),
            )
        })
    };
    let keys = scenario.keys.iter().enumerate();
    keys.min_by_key(|(_, key)| size(key)).map(|(at, _)| at)
}

/// The least number of quotas like that of `key` with which the load fits.
fn needed(scenario: &Scenario, key: usize) -> Option<usize> {
    let fits_with = |more: usize| fits(&run(&with_more(scenario, key, more)));
    let mut enough = 1;
    while !fits_with(enough) {
        enough *= 2;
        if enough > MORE_MAX {
            return None;
        }
    }
    let mut too_few = enough / 2;
    while enough - too_few > 1 {
        let middle = too_few.midpoint(enough);
        if fits_with(middle) {
            enough = middle;
        } else {
            too_few = middle;
        }
    }
    Some(enough)
}

fn with_more(scenario: &Scenario, key: usize, more: usize) -> Scenario {
    let mut larger = scenario.clone();
    let Some(model) = scenario.keys.get(key) else {
        return larger;
    };
    for _ in 0..more {
        if let Some(quota) = scenario.quotas.get(model.quota) {
            let mut quota = quota.clone();
            quota.group = None;
            larger.quotas.push(quota);
        }
        larger.keys.push(KeyPlan {
            name: None,
            quota: larger.quotas.len() - 1,
            ..model.clone()
        });
    }
    larger
}

#[cfg(test)]
mod tests {
    use keypool_sim::Limits;

    use super::*;
    use crate::{Arrivals, Pattern};

    fn loaded(keys: usize, rate: f64) -> Scenario {
        let mut scenario = Scenario::steady(keys, Limits::per_minute(60));
        scenario.traffic.arrivals = Arrivals::PerMinute {
            rate,
            pattern: Pattern::Poisson,
        };
        scenario
    }

    #[test]
    fn a_load_that_fits_needs_no_more_quotas() {
        let plan = plan(&loaded(2, 60.0));
        assert!(plan.fits);
        assert_eq!(plan.more_quotas, Some(0));
    }

    #[test]
    fn a_load_of_twice_the_quotas_needs_about_as_many_again() {
        let plan = plan(&loaded(2, 240.0));
        assert!(!plan.fits);
        assert!(
            matches!(plan.more_quotas, Some(2..=4)),
            "{:?}",
            plan.more_quotas
        );
        assert_eq!(plan.like.as_deref(), Some("key 1"));
    }
}
