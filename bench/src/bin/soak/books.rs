//! What the gateway counted of each key, beside what the provider counted.
//!
//! The provider's count is the truth: it saw every request. The gateway's are read from two places, the
//! details of the provider and the metrics, which have to agree with each other as well.

use std::collections::BTreeMap;

use anyhow::Context as _;
use keypool_sim::{Counters, KeyCounters};
use serde::{Deserialize, Serialize};

use crate::client::Client;

/// Both books of all keys.
#[derive(Debug, Serialize)]
pub(crate) struct Books {
    pages: Vec<Page>,
    /// `totalRequests` of the statistics.
    total_requests: u64,
}

/// Both books of one key.
#[derive(Debug, Serialize)]
struct Page {
    key: String,
    provider: KeyCounters,
    details: Counted,
    metrics: Counted,
    /// Answers by status, as the gateway counted them, probes included.
    statuses: BTreeMap<u16, u64>,
}

/// What the gateway counted of a key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Counted {
    requests: u64,
    successes: u64,
    /// What did not succeed, for whatever reason.
    failures: u64,
    input_tokens: u64,
    output_tokens: u64,
}

/// What the admin API shows of a provider.
#[derive(Debug, Deserialize)]
struct ShownProvider {
    keys: Vec<ShownKey>,
}

#[derive(Debug, Deserialize)]
struct ShownKey {
    key: String,
    metrics: ShownMetrics,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ShownMetrics {
    requests: u64,
    successes: u64,
    errors_by_class: BTreeMap<String, u64>,
    tokens: ShownTokens,
    upstream_statuses: BTreeMap<u16, u64>,
}

#[derive(Debug, Deserialize)]
struct ShownTokens {
    input: u64,
    output: u64,
}

/// The statistics that the admin API shows.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ShownStats {
    total_requests: u64,
}

impl Books {
    /// Reads the gateway's books and lays them beside the provider's.
    pub(crate) async fn read(
        client: &Client,
        provider: &Counters,
        secrets: &[String],
    ) -> anyhow::Result<Self> {
        let shown: ShownProvider = client.admin("/api/apikeys/provider/anthropic").await?;
        let stats: ShownStats = client.admin("/api/apikeys/stats").await?;
        let metrics = client.page("/metrics").await?;
        let metrics = String::from_utf8_lossy(&metrics);
        let pages = secrets.iter().map(|secret| {
            let mask = mask(secret);
            let shown = shown.keys.iter().find(|key| key.key == mask);
            let shown = &shown
                .with_context(|| format!("{mask} is not shown"))?
                .metrics;
            Ok(Page {
                provider: provider.key(secret),
                details: Counted::of_details(shown),
                metrics: Counted::of_metrics(&metrics, &mask),
                statuses: shown.upstream_statuses.clone(),
                key: mask,
            })
        });
        Ok(Self {
            pages: pages.collect::<anyhow::Result<_>>()?,
            total_requests: stats.total_requests,
        })
    }

    /// Where the books do not agree.
    pub(crate) fn differences(&self) -> Vec<String> {
        let mut differences: Vec<String> = self.pages.iter().flat_map(Page::differences).collect();
        let attempts: u64 = self.pages.iter().map(|page| page.details.requests).sum();
        if self.total_requests != attempts {
            differences.push(format!(
                "the statistics show {} requests in all, the keys {attempts}",
                self.total_requests
            ));
        }
        differences
    }

    fn sum(&self, number: impl Fn(&KeyCounters) -> u64) -> u64 {
        self.pages.iter().map(|page| number(&page.provider)).sum()
    }

    /// Requests that reached the provider.
    pub(crate) fn requests(&self) -> u64 {
        self.sum(|key| key.requests)
    }

    /// Those that asked for the list of models.
    pub(crate) fn probes(&self) -> u64 {
        self.sum(|key| key.free)
    }

    /// Those that were struck by a fault.
    pub(crate) fn faults(&self) -> u64 {
        self.sum(|key| key.faults)
    }

    /// Answers that the provider gave whole.
    pub(crate) fn completed(&self) -> u64 {
        self.sum(|key| key.completed)
    }

    /// Answers that it began and broke off.
    pub(crate) fn broken(&self) -> u64 {
        self.sum(|key| key.admitted - key.completed)
    }
}

impl Page {
    fn differences(&self) -> Vec<String> {
        let (theirs, ours) = (&self.provider, &self.details);
        let attempts = theirs.requests - theirs.free;
        let truth = Counted {
            requests: attempts,
            successes: theirs.completed,
            failures: attempts - theirs.completed,
            input_tokens: theirs.input_tokens,
            output_tokens: theirs.output_tokens,
        };
        let mut differences = Vec::new();
        for (place, counted) in [("details", ours), ("metrics", &self.metrics)] {
            if *counted != truth {
                differences.push(format!(
                    "{}: the provider counted {truth:?}, the gateway's {place} {counted:?}",
                    self.key
                ));
            }
        }
        if self.statuses != theirs.by_status {
            differences.push(format!(
                "{}: the provider answered {:?}, the gateway saw {:?}",
                self.key, theirs.by_status, self.statuses
            ));
        }
        differences
    }
}

impl Counted {
    fn of_details(metrics: &ShownMetrics) -> Self {
        Self {
            requests: metrics.requests,
            successes: metrics.successes,
            failures: metrics.errors_by_class.values().sum(),
            input_tokens: metrics.tokens.input,
            output_tokens: metrics.tokens.output,
        }
    }

    fn of_metrics(page: &str, mask: &str) -> Self {
        let key = format!("key=\"{mask}\"");
        let mut counted = Self::default();
        for line in page.lines().filter(|line| line.contains(&key)) {
            let Some((series, value)) = line.rsplit_once(' ') else {
                continue;
            };
            let value: u64 = value.parse().unwrap_or_default();
            if series.starts_with("keypool_requests_total{") {
                counted.requests += value;
                if series.contains("outcome=\"success\"") {
                    counted.successes += value;
                } else {
                    counted.failures += value;
                }
            } else if series.starts_with("keypool_tokens_total{") {
                if series.contains("kind=\"input\"") {
                    counted.input_tokens += value;
                } else if series.contains("kind=\"output\"") {
                    counted.output_tokens += value;
                }
            }
        }
        counted
    }
}

/// A key as the gateway shows it.
fn mask(secret: &str) -> String {
    let characters: Vec<char> = secret.chars().collect();
    let first: String = characters.iter().take(4).collect();
    let last: String = characters
        .iter()
        .skip(characters.len().saturating_sub(4))
        .collect();
    format!("{first}****{last}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const METRICS: &str = r#"# TYPE keypool_requests counter
keypool_requests_total{provider="anthropic",key="sk-a****0001",outcome="success"} 7
keypool_requests_total{provider="anthropic",key="sk-a****0001",outcome="reset"} 2
keypool_requests_total{provider="anthropic",key="sk-a****0002",outcome="success"} 50
keypool_tokens_total{provider="anthropic",key="sk-a****0001",kind="input"} 100
keypool_tokens_total{provider="anthropic",key="sk-a****0001",kind="output"} 200
keypool_tokens_total{provider="anthropic",key="sk-a****0001",kind="cache_read"} 5
"#;

    #[test]
    fn a_keys_metrics_are_summed_over_their_labels() {
        let counted = Counted::of_metrics(METRICS, &mask("sk-ant-soak-key-0001"));
        let expected = Counted {
            requests: 9,
            successes: 7,
            failures: 2,
            input_tokens: 100,
            output_tokens: 200,
        };
        assert_eq!(counted, expected);
    }

    #[test]
    fn a_difference_of_one_is_a_difference() {
        let provider = KeyCounters {
            requests: 10,
            free: 1,
            completed: 7,
            input_tokens: 100,
            output_tokens: 200,
            ..KeyCounters::default()
        };
        let counted = Counted::of_metrics(METRICS, "sk-a****0001");
        let page = |details| Page {
            key: "sk-a****0001".to_owned(),
            provider: provider.clone(),
            details,
            metrics: counted,
            statuses: BTreeMap::new(),
        };
        assert!(page(counted).differences().is_empty());
        let other = Counted {
            output_tokens: 201,
            ..counted
        };
        assert_eq!(page(other).differences().len(), 1);
    }
}
