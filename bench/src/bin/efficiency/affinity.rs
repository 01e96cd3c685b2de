//! Whether conversations keep their prompt cache although there are many keys, and keys their fair share.
//!
//! Each organisation has a prompt cache of its own, so a pool that moves conversations about pays for
//! every prompt again, and one that never moves them may load one key with most of the work. The yardstick
//! is one key with the limits of all of them, under the same conversations at the same instants: its cache
//! knows everything.
//!
//! Worked example: a conversation of six turns over a system prompt of 1,800 tokens reads nothing at its
//! first turn and its whole beginning at the others: about four fifths of its input.

use std::time::{Duration, Instant};

use bytes::Bytes;
use keypool_bench::gateway::Gateway;
use keypool_sim::{AnswerConfig, Dialect, KeyCounters, Limits, SimConfig, SimServer, Spread};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::client::{self, Client};
use crate::row::{Extent, pool, provider, secrets};
use crate::statistics::{Outcome, imbalance, share};

/// Keys of the pool; the single key of the yardstick has as many times their limits.
const KEYS: usize = 5;

/// Per minute and key. The busiest minute of the conversations asks for two thirds of it.
const REQUESTS: u64 = 240;
const INPUT_TOKENS: u64 = 600_000;

/// Bytes of the system prompt: 1,800 tokens.
const SYSTEM_BYTES: usize = 7_200;

/// Bytes of one message.
const MESSAGE_BYTES: usize = 1_200;

/// Breakpoints that a request may set: the system prompt's and those of the first messages.
const BREAKPOINTS_MAX: usize = 4;

/// The conversations.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sessions {
    pub(crate) count: usize,
    pub(crate) turns: usize,
    /// From one turn to the next.
    pub(crate) gap: Duration,
}

/// What came of one pool.
#[derive(Debug)]
pub(crate) struct Side {
    pub(crate) keys: usize,
    /// Cache reads ÷ all input tokens.
    pub(crate) hit_ratio: f64,
    pub(crate) imbalance: f64,
    pub(crate) requests: u64,
    pub(crate) refused: u64,
    pub(crate) failed: usize,
    pub(crate) first_failure: Option<String>,
    pub(crate) shares: Vec<u64>,
    pub(crate) pool: Value,
}

/// Runs pool and yardstick side by side.
pub(crate) async fn run(extent: &Extent, sessions: Sessions) -> anyhow::Result<[Side; 2]> {
    let (many, one) = tokio::join!(side(extent, sessions, KEYS), side(extent, sessions, 1));
    Ok([many?, one?])
}

async fn side(extent: &Extent, sessions: Sessions, keys: usize) -> anyhow::Result<Side> {
    let dialect = Dialect::Anthropic;
    let secrets = secrets(dialect, keys);
    let names: Vec<&str> = secrets.iter().map(String::as_str).collect();
    let factor = u64::try_from(KEYS / keys.max(1))?;
    let limits = Limits {
        input_tokens_per_minute: Some(INPUT_TOKENS * factor),
        ..Limits::per_minute(REQUESTS * factor)
    };
    let answer = AnswerConfig {
        latency_ms: Spread::Uniform { min: 100, max: 400 },
        ..AnswerConfig::default()
    };
    let config = SimConfig::anthropic(&names, limits)
        .with_answer(answer)
        .without_request_log();
    let sim = SimServer::start(([127, 0, 0, 1], 0).into(), config).await?;
    let declared = json!({
        "requestsPerMinute": REQUESTS * factor,
        "inputTokensPerMinute": INPUT_TOKENS * factor,
    });
    let pool = pool(&sim.base_url(), &secrets, Some(&declared), &Value::Null);
    let gateway = Gateway::start(&extent.keypool, provider(dialect), &pool)?;
    let client = Client::new(&gateway.url, dialect);
    let outcomes = converse(&client, sessions, extent.seed).await;
    let failures: Vec<&String> = outcomes
        .iter()
        .filter_map(|outcome| match outcome {
            Outcome::Failed(words) => Some(words),
            Outcome::Served | Outcome::ToldToWait => None,
        })
        .collect();
    let told = outcomes
        .iter()
        .filter(|outcome| **outcome == Outcome::ToldToWait)
        .count();
    let counters = sim.sim().counters();
    let of = |number: fn(&KeyCounters) -> u64| counters.total(number);
    let shares: Vec<u64> = secrets
        .iter()
        .map(|secret| counters.key(secret).admitted)
        .collect();
    Ok(Side {
        keys,
        hit_ratio: share(of(|key| key.cache_read_tokens), of(|key| key.input_tokens)),
        imbalance: imbalance(&shares),
        requests: counters.requests,
        refused: counters.with_status(429),
        failed: failures.len() + told,
        first_failure: failures.first().map(ToString::to_string),
        shares,
        pool: client.admin("/api/apikeys/provider/anthropic").await,
    })
}

/// All conversations: their beginnings spread over the time that one of them takes.
async fn converse(client: &Client, sessions: Sessions, seed: u64) -> Vec<Outcome> {
    let start = Instant::now();
    let turns = u32::try_from(sessions.turns).unwrap_or(1);
    let span = sessions.gap * turns;
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut open = JoinSet::new();
    for number in 0..sessions.count {
        let first = span.mul_f64(rng.f64());
        let client = client.clone();
        open.spawn(async move {
            let name = format!("conversation-{number}");
            let mut outcomes = Vec::new();
            for turn in 1..=turns {
                let due = first + sessions.gap * (turn - 1);
                tokio::time::sleep_until((start + due).into()).await;
                let body = conversation(&name, turn as usize);
                outcomes.push(client.send(body, Some(&name), false).await.outcome);
            }
            outcomes
        });
    }
    open.join_all().await.into_iter().flatten().collect()
}

/// The request of a conversation's n-th turn. All that earlier turns sent stands unchanged at its
/// beginning, breakpoints included: a cache knows a prompt by its bytes.
fn conversation(name: &str, turn: usize) -> Bytes {
    let text = |words: String, marked: bool| {
        let mut block = json!({ "type": "text", "text": words });
        if let (true, Some(members)) = (marked, block.as_object_mut()) {
            members.insert("cache_control".to_owned(), json!({ "type": "ephemeral" }));
        }
        json!([block])
    };
    let mut messages = Vec::new();
    for number in 1..=turn {
        let words = format!("{name}, {number}: {}", client::filler(MESSAGE_BYTES));
        let content = text(words, number < BREAKPOINTS_MAX);
        messages.push(json!({ "role": "user", "content": content }));
        if number < turn {
            messages.push(json!({ "role": "assistant", "content": "Go on." }));
        }
    }
    let system = text(format!("{name}: {}", client::filler(SYSTEM_BYTES)), true);
    let model = client::model(Dialect::Anthropic);
    // Written by hand: the order of the members decides what a prefix is.
    let body = format!(
        r#"{{"model":"{model}","max_tokens":64,"system":{system},"messages":{}}}"#,
        Value::from(messages)
    );
    body.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_begins_with_all_of_the_turn_before() {
        let (before, after) = (conversation("a", 2), conversation("a", 3));
        let shared = before.len() - "]}".len();
        assert_eq!(before[..shared], after[..shared]);
        assert!(before.len() / 4 > 1500);
        serde_json::from_slice::<Value>(&after).unwrap();
    }

    #[test]
    fn there_are_never_more_than_four_breakpoints() {
        let body = conversation("a", 9);
        let text = std::str::from_utf8(&body).unwrap();
        assert_eq!(text.matches("\"cache_control\"").count(), 4);
    }

    #[test]
    fn conversations_share_no_prefix_that_could_be_cached() {
        let (one, other) = (conversation("a", 1), conversation("b", 1));
        let common = one
            .iter()
            .zip(other.iter())
            .take_while(|(a, b)| a == b)
            .count();
        assert!(common < 200);
    }
}
