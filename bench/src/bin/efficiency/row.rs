//! One row of the matrix, from the start of its processes to its sums.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use keypool_bench::gateway::Gateway;
use keypool_sim::{AnswerConfig, Counters, Dialect, SimConfig, SimServer, Spread};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::client::{self, Client};
use crate::scenario::{Limiter, Scenario, Traffic};
use crate::statistics::{Interval, Record, Seen, imbalance, share, sum_up};
use crate::traffic::{Boost, Planned, plan};

/// How much sooner than the turn of a minute a measurement of fixed minutes begins and ends: a burst just
/// after the turn then belongs to its minute, whatever some milliseconds do.
const BEFORE_TURN: Duration = Duration::from_secs(1);

/// After the end, answers under way may still arrive: longer than any stream takes.
const GRACE: Duration = Duration::from_secs(10);

/// The same for requests that may wait in the queue and should all be served.
const PATIENCE: Duration = Duration::from_secs(40);

const MINUTE: Duration = Duration::from_mins(1);

/// How long a run warms up and measures.
#[derive(Debug, Clone)]
pub(crate) struct Extent {
    /// At least so long; longer where the measurement begins with a minute.
    pub(crate) warm_up: Duration,
    /// Where windows do not matter; else whole minutes.
    pub(crate) measured: Duration,
    pub(crate) seed: u64,
    pub(crate) keypool: PathBuf,
}

/// What came of a row.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) scenario: Scenario,
    pub(crate) interval: Interval,
    pub(crate) seen: Seen,
    /// Upstream 429s and requests in the measured interval.
    pub(crate) refused: (u64, u64),
    /// The same from the start to the beginning of the interval.
    pub(crate) refused_before: (u64, u64),
    /// The largest share of a key ÷ the fair one, in the interval.
    pub(crate) imbalance: f64,
    /// Admitted by the simulator in the interval.
    pub(crate) admitted: u64,
    /// The gateway's view at the end of the interval.
    pub(crate) pool: Value,
    /// The end of the gateway's log.
    pub(crate) log: String,
}

impl Row {
    pub(crate) fn refused_share(&self) -> f64 {
        share(self.refused.0, self.refused.1)
    }
}

/// Name of a dialect's provider in the configuration.
pub(crate) const fn provider(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Anthropic => "anthropic",
        Dialect::OpenAi | Dialect::Gemini => "openai",
    }
}

/// Secrets of `count` keys.
pub(crate) fn secrets(dialect: Dialect, count: usize) -> Vec<String> {
    let prefix = match dialect {
        Dialect::Anthropic => "sk-ant-efficiency-key-number",
        Dialect::OpenAi | Dialect::Gemini => "sk-efficiency-key-number",
    };
    (1..=count)
        .map(|number| format!("{prefix}-{number:04}"))
        .collect()
}

/// A provider's part of the gateway's configuration.
pub(crate) fn pool(
    base_url: &str,
    secrets: &[String],
    limits: Option<&Value>,
    window: &Value,
) -> Value {
    let key = |secret: &String| {
        let mut key = json!({ "key": secret });
        if let (Some(limits), Some(members)) = (limits, key.as_object_mut()) {
            members.insert("rateLimit".to_owned(), limits.clone());
        }
        key
    };
    let keys: Vec<Value> = secrets.iter().map(key).collect();
    json!({ "baseUrl": base_url, "window": window, "keys": keys })
}

/// Runs one row.
pub(crate) async fn run(scenario: Scenario, extent: &Extent) -> anyhow::Result<Row> {
    let dialect = scenario.limiter.dialect();
    let secrets = secrets(dialect, scenario.keys);
    let names: Vec<&str> = secrets.iter().map(String::as_str).collect();
    let config = SimConfig::empty()
        .with_keys(dialect, &names, scenario.provider_limits())
        .with_algorithm(scenario.limiter.algorithm())
        .with_answer(answers(scenario.traffic))
        .without_request_log();
    let sim = SimServer::start(([127, 0, 0, 1], 0).into(), config).await?;
    let limits = scenario.declared_limits();
    let pool = pool(
        &sim.base_url(),
        &secrets,
        limits.as_ref(),
        &scenario.limiter.window(),
    );
    let gateway = Gateway::start(&extent.keypool, provider(dialect), &pool)?;
    let client = Client::new(&gateway.url, dialect);

    let interval = interval(scenario.limiter, extent, unix_now());
    let boost = Boost {
        until: extent.warm_up / 2,
        factor: if scenario.is_overload() { 3.0 } else { 1.0 },
    };
    let planned = plan(&scenario, interval.end, boost, extent.seed);
    let within = |request: &&Planned| interval.start <= request.due && request.due < interval.end;
    let offered = planned.iter().filter(within).count();
    let start = Instant::now();
    let records = Arc::default();
    let stream = scenario.traffic == Traffic::Streams;
    let traffic = tokio::spawn(offer(
        client.clone(),
        planned,
        stream,
        start,
        Arc::clone(&records),
    ));

    let at = |instant: Duration| tokio::time::sleep_until((start + instant).into());
    at(interval.start).await;
    let before = sim.sim().counters();
    at(interval.end).await;
    let after = sim.sim().counters();
    let pool = client
        .admin(&format!("/api/apikeys/provider/{}", provider(dialect)))
        .await;
    let patience = if scenario.is_overload() {
        GRACE
    } else {
        PATIENCE
    };
    // What is still open afterwards waits in the queue of an overloaded pool, and counts for nothing;
    // below the quotas it is missing from what was served.
    let _open = tokio::time::timeout(patience, traffic).await;
    let records: Vec<Record> = std::mem::take(&mut *records.lock());
    let admitted = |counters: &Counters, secret: &String| counters.key(secret).admitted;
    let shares: Vec<u64> = secrets
        .iter()
        .map(|secret| admitted(&after, secret) - admitted(&before, secret))
        .collect();
    let log = gateway.log();
    let tail = log.lines().rev().take(5).collect::<Vec<_>>();
    Ok(Row {
        scenario,
        interval,
        seen: sum_up(&scenario, interval, offered, &records),
        refused: (
            after.with_status(429) - before.with_status(429),
            after.requests - before.requests,
        ),
        refused_before: (before.with_status(429), before.requests),
        imbalance: imbalance(&shares),
        admitted: shares.iter().sum(),
        pool,
        log: tail.into_iter().rev().collect::<Vec<_>>().join("\n"),
    })
}

/// Sends everything at its time, each request on its own, and returns when all are over.
async fn offer(
    client: Client,
    planned: Vec<Planned>,
    stream: bool,
    start: Instant,
    records: Arc<Mutex<Vec<Record>>>,
) {
    let mut open = JoinSet::new();
    for (number, request) in planned.into_iter().enumerate() {
        tokio::time::sleep_until((start + request.due).into()).await;
        let (client, records) = (client.clone(), Arc::clone(&records));
        open.spawn(async move {
            let body = client::body(client.dialect(), number, request.tokens, stream);
            let sent = start.elapsed();
            let answer = client.send(body, None, stream).await;
            records.lock().push(Record {
                due: request.due,
                sent,
                queued: answer.queued,
                tokens: request.tokens,
                outcome: answer.outcome,
            });
        });
        while open.try_join_next().is_some() {}
    }
    while open.join_next().await.is_some() {}
}

/// Answers of some hundred milliseconds, or streams of four seconds.
fn answers(traffic: Traffic) -> AnswerConfig {
    let answer = AnswerConfig {
        latency_ms: Spread::Uniform { min: 100, max: 400 },
        ..AnswerConfig::default()
    };
    match traffic {
        Traffic::Streams => AnswerConfig {
            output_tokens: Spread::Fixed(40),
            chunk_delay: Duration::from_millis(400),
            ..answer
        },
        Traffic::Steady | Traffic::Bursts | Traffic::Heavy => answer,
    }
}

/// The measured part of a run that starts at `now`, the time since the epoch.
fn interval(limiter: Limiter, extent: &Extent, now: Duration) -> Interval {
    let whole_minutes =
        || MINUTE * u32::try_from(extent.measured.as_secs().div_ceil(90)).unwrap_or(1);
    let (start, length) = match limiter {
        Limiter::Bucket | Limiter::Known => (extent.warm_up, extent.measured),
        Limiter::Sliding => (extent.warm_up, whole_minutes()),
        Limiter::Fixed | Limiter::Slices => {
            let earliest = now + extent.warm_up + BEFORE_TURN;
            let turns = earliest.as_secs() / MINUTE.as_secs() + 1;
            let turn = Duration::from_secs(turns * MINUTE.as_secs());
            (turn.saturating_sub(now + BEFORE_TURN), whole_minutes())
        }
    };
    Interval {
        start,
        end: start + length,
    }
}

fn unix_now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(warm_up: u64, measured: u64) -> Extent {
        Extent {
            warm_up: Duration::from_secs(warm_up),
            measured: Duration::from_secs(measured),
            seed: 1,
            keypool: PathBuf::new(),
        }
    }

    #[test]
    fn fixed_minutes_are_measured_from_just_before_a_turn_and_whole() {
        for now in [0, 17, 59, 100] {
            let now = Duration::from_secs(now);
            let interval = interval(Limiter::Fixed, &extent(60, 90), now);
            assert_eq!((now + interval.start).as_secs() % 60, 59);
            assert!(interval.start >= Duration::from_mins(1));
            assert!(interval.start <= Duration::from_secs(121));
            assert_eq!(interval.length(), MINUTE);
        }
    }

    #[test]
    fn a_bucket_is_measured_right_after_the_warm_up() {
        let interval = interval(Limiter::Bucket, &extent(30, 30), Duration::from_secs(5));
        assert_eq!(interval.start, Duration::from_secs(30));
        assert_eq!(interval.end, Duration::from_mins(1));
    }
}
