//! What each key does, while it does it: a small table that refreshes itself on a terminal, one
//! line a second anywhere else.
//!
//! State, score and requests are what the gateway says at `/api/apikeys/health`; 429s, requests in
//! flight and tokens are what the provider counts, which the gateway cannot embellish.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::Method;
use keypool_sim::{KeyCounters, Sim};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::http::Http;
use super::plan::secret;
use super::scene::PROVIDER;
use super::traffic::Progress;
use crate::cli::output::{Table, coloured_state, print, say, takes_colours};

/// What is waiting to be said; the speaker waits when it is full.
const SAYINGS_MAX: usize = 16;

/// How the show is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// A table that is drawn anew several times a second.
    Terminal,
    /// A line a second.
    Lines,
    /// Nothing: somebody wants the figures alone.
    Silent,
}

impl Mode {
    fn refreshes_every(self) -> Duration {
        match self {
            Self::Terminal => Duration::from_millis(200),
            Self::Lines | Self::Silent => Duration::from_secs(1),
        }
    }
}

/// Where the figures come from.
#[derive(Debug)]
pub(super) struct Sources {
    /// The gateway.
    pub(super) http: Http,
    /// The provider.
    pub(super) provider: Sim,
    /// The clients.
    pub(super) progress: Arc<Progress>,
}

/// The view; it lives until it is closed.
#[derive(Debug)]
pub(super) struct LiveView {
    sayings: mpsc::Sender<Saying>,
    painter: JoinHandle<()>,
}

#[derive(Debug)]
enum Saying {
    /// What happens from now on.
    Title(String),
    /// What happened once.
    Line(String),
}

impl LiveView {
    /// Begins to show.
    pub(super) fn open(mode: Mode, sources: Sources) -> Self {
        let (sayings, heard) = mpsc::channel(SAYINGS_MAX);
        let painter = tokio::spawn(Painter::new(mode, sources).run(heard));
        Self { sayings, painter }
    }

    /// Says what is shown from now on.
    pub(super) async fn title(&self, title: String) {
        // A view that has ended has nobody to tell.
        let _ = self.sayings.send(Saying::Title(title)).await;
    }

    /// Says what happened.
    pub(super) async fn say(&self, line: String) {
        let _ = self.sayings.send(Saying::Line(line)).await;
    }

    /// Wipes the table and ends.
    pub(super) async fn close(self) {
        drop(self.sayings);
        // A painter that panicked has printed so.
        let _ = self.painter.await;
    }
}

/// One key, as both sides see it.
struct KeyRow {
    mask: String,
    state: String,
    score: u64,
    requests: u64,
    provider: KeyCounters,
}

struct Painter {
    mode: Mode,
    sources: Sources,
    began: Instant,
    title: String,
    /// Lines of the table on the screen.
    drawn: usize,
    answered_before: u32,
    waited_before: u32,
}

impl Painter {
    fn new(mode: Mode, sources: Sources) -> Self {
        Self {
            mode,
            sources,
            began: Instant::now(),
            title: String::new(),
            drawn: 0,
            answered_before: 0,
            waited_before: 0,
        }
    }

    async fn run(mut self, mut sayings: mpsc::Receiver<Saying>) {
        let mut ticks = interval(self.mode.refreshes_every());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                saying = sayings.recv() => match saying {
                    Some(saying) => self.take(saying),
                    None => break,
                },
                _ = ticks.tick() => self.refresh().await,
            }
        }
        self.wipe();
    }

    fn take(&mut self, saying: Saying) {
        let line = match saying {
            Saying::Line(line) => line,
            Saying::Title(title) if self.mode == Mode::Terminal => {
                self.title = title;
                return;
            }
            Saying::Title(title) => title,
        };
        if self.mode != Mode::Silent {
            self.wipe();
            say(&line);
        }
    }

    async fn refresh(&mut self) {
        if self.mode == Mode::Silent {
            return;
        }
        // A gateway that gives no answer will be noticed by its clients.
        let health = self
            .sources
            .http
            .admin(Method::GET, "/api/apikeys/health", None)
            .await;
        let rows = self.rows(&health.unwrap_or_default());
        match self.mode {
            Mode::Terminal => self.draw(&rows),
            Mode::Lines => self.tell(&rows),
            Mode::Silent => {}
        }
    }

    fn rows(&self, health: &Value) -> Vec<KeyRow> {
        let keys = health
            .get(PROVIDER)
            .and_then(|provider| provider.get("keys"));
        let counters = self.sources.provider.counters();
        // Keys are listed in the order in which they were added.
        (1..)
            .zip(keys.and_then(Value::as_array).into_iter().flatten())
            .map(|(number, key)| KeyRow {
                mask: text(key, "key"),
                state: text(key, "health"),
                score: count(key, "healthScore"),
                requests: count(key, "requestCount"),
                provider: counters.key(&secret(number)),
            })
            .collect()
    }

    fn draw(&mut self, rows: &[KeyRow]) {
        let mut table = Table::new(&[
            "KEY",
            "STATE",
            "SCORE",
            "REQUESTS",
            "SHARE",
            "429s",
            "IN FLIGHT",
            "TOKENS",
        ]);
        for row in rows {
            table.row(vec![
                row.mask.clone(),
                coloured_state(&row.state, takes_colours()),
                row.score.to_string(),
                row.requests.to_string(),
                share(row, rows),
                row.provider.with_status(429).to_string(),
                row.provider.in_flight.to_string(),
                (row.provider.input_tokens + row.provider.output_tokens).to_string(),
            ]);
        }
        let progress = &self.sources.progress;
        let text = format!(
            "\n{}\n\n{}\nclients: {} answered, {} told to wait, {} failed · {:.0} s\n",
            self.title,
            table.render(),
            progress.answered.load(Ordering::Relaxed),
            progress.told_to_wait.load(Ordering::Relaxed),
            progress.failed.load(Ordering::Relaxed),
            self.began.elapsed().as_secs_f64(),
        );
        self.wipe();
        print(&text);
        self.drawn = text.lines().count();
    }

    fn tell(&mut self, rows: &[KeyRow]) {
        let progress = &self.sources.progress;
        let answered = progress.answered.load(Ordering::Relaxed);
        let waited = progress.told_to_wait.load(Ordering::Relaxed);
        let keys: Vec<_> = rows
            .iter()
            .map(|row| format!("{} {}", row.mask, told_of(row, rows)))
            .collect();
        say(&format!(
            "  {:>2.0} s  {:>4} answered, {:>4} told to wait, {} failed | {}",
            self.began.elapsed().as_secs_f64(),
            answered - self.answered_before,
            waited - self.waited_before,
            progress.failed.load(Ordering::Relaxed),
            keys.join(" | "),
        ));
        self.answered_before = answered;
        self.waited_before = waited;
    }

    /// Takes the table off the screen.
    fn wipe(&mut self) {
        if self.drawn > 0 {
            print(&format!("\x1b[{}A\x1b[J", self.drawn));
            self.drawn = 0;
        }
    }
}

fn told_of(row: &KeyRow, rows: &[KeyRow]) -> String {
    if row.state == "healthy" {
        format!("{} {}", row.score, share(row, rows))
    } else {
        format!("{} {} {}", row.state, row.score, share(row, rows))
    }
}

/// The key's share of all requests.
#[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
fn share(row: &KeyRow, rows: &[KeyRow]) -> String {
    let all: u64 = rows.iter().map(|row| row.requests).sum();
    format!("{:.1} %", row.requests as f64 / all.max(1) as f64 * 100.0)
}

fn text(key: &Value, field: &str) -> String {
    key.get(field)
        .and_then(Value::as_str)
        .unwrap_or("?")
        .to_owned()
}

fn count(key: &Value, field: &str) -> u64 {
    key.get(field).and_then(Value::as_u64).unwrap_or(0)
}
