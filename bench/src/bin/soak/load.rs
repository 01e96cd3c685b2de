//! Requests at fixed instants, or as fast as they are answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use crate::client::{Client, Outcome};

/// How often requests that are due are sent.
const TICK: Duration = Duration::from_millis(5);

/// How requests ended.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Tally {
    pub(crate) sent: u64,
    pub(crate) served: u64,
    pub(crate) broken: u64,
    pub(crate) failed: u64,
    /// Not over when their time was.
    pub(crate) unanswered: u64,
    pub(crate) first_failure: Option<String>,
}

impl Tally {
    fn count(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Served => self.served += 1,
            Outcome::Broken => self.broken += 1,
            Outcome::Failed(reason) => {
                self.failed += 1;
                self.first_failure.get_or_insert(reason);
            }
        }
    }
}

/// So many clients ask again as soon as they are answered.
pub(crate) async fn closed_loop(client: &Client, clients: usize, duration: Duration) -> Tally {
    let end = Instant::now() + duration;
    let tally = Arc::new(Mutex::new(Tally::default()));
    let number = Arc::new(AtomicU64::new(0));
    let mut running = JoinSet::new();
    for _ in 0..clients {
        let (client, tally, number) = (client.clone(), Arc::clone(&tally), Arc::clone(&number));
        running.spawn(async move {
            while Instant::now() < end {
                let outcome = client.ask(number.fetch_add(1, Ordering::Relaxed)).await;
                tally.lock().count(outcome);
            }
        });
    }
    running.join_all().await;
    let mut tally = std::mem::take(&mut *tally.lock());
    tally.sent = number.load(Ordering::Relaxed);
    tally
}

/// `rate` requests a second, whatever the answers do; those still open at the end have `patience`.
pub(crate) async fn open_loop(
    client: &Client,
    rate: u64,
    duration: Duration,
    patience: Duration,
) -> Tally {
    let start = Instant::now();
    let tally = Arc::new(Mutex::new(Tally::default()));
    let mut open = JoinSet::new();
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut sent = 0;
    loop {
        let elapsed = ticks
            .tick()
            .await
            .saturating_duration_since(start)
            .min(duration);
        let due = u64::try_from(elapsed.as_micros())
            .unwrap_or(u64::MAX)
            .saturating_mul(rate)
            / 1_000_000;
        while sent < due {
            let (client, tally) = (client.clone(), Arc::clone(&tally));
            let number = sent;
            open.spawn(async move {
                let outcome = client.ask(number).await;
                tally.lock().count(outcome);
            });
            sent += 1;
        }
        // Those that are over need not be remembered.
        while open.try_join_next().is_some() {}
        if elapsed >= duration {
            break;
        }
    }
    // What is still open afterwards is counted as unanswered.
    let _late = tokio::time::timeout(patience, async {
        while open.join_next().await.is_some() {}
    })
    .await;
    let unanswered = open.len();
    open.abort_all();
    let mut tally = std::mem::take(&mut *tally.lock());
    tally.sent = sent;
    tally.unanswered = u64::try_from(unanswered).unwrap_or(u64::MAX);
    tally
}
