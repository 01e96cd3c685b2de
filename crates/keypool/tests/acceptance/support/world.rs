//! A simulated provider, a configuration file and the gateway between them, all running.

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use keypool_gateway::clock::ManualTimeSource;
use keypool_sim::{FaultWindow, KeyCounters, ReceivedRequest, SimServer};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::answer::Answer;
use super::gateway::Gateway;
use super::secrets::mask;
use super::setup::complete;
use super::wait::eventually;

/// All that a test drives.
pub(crate) struct World {
    // First, so that it is gone before the provider is.
    pub(crate) gateway: Gateway,
    pub(crate) sim: SimServer,
    /// The configuration in its file.
    pub(crate) config: Value,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) arguments: Vec<String>,
    pub(crate) directory: TempDir,
}

/// The clock of a gateway in this process.
#[derive(Clone, Debug)]
pub(crate) struct Clock(Arc<ManualTimeSource>);

impl Clock {
    pub(crate) fn new(time: Arc<ManualTimeSource>) -> Self {
        Self(time)
    }

    pub(crate) fn advance(&self, seconds: u64) {
        self.0.advance(Duration::from_secs(seconds));
    }
}

impl Deref for World {
    type Target = Gateway;

    fn deref(&self) -> &Gateway {
        &self.gateway
    }
}

impl World {
    pub(crate) fn config_path(&self) -> PathBuf {
        self.directory.path().join("config.json")
    }

    /// Stops keypool and starts it again on the same file.
    pub(crate) async fn restart(mut self) -> Self {
        let path = self.config_path();
        drop(self.gateway);
        let spawned = Gateway::spawn(&path, &self.arguments, &self.environment);
        self.gateway = spawned.await.unwrap();
        self
    }

    /// Writes another configuration into the file.
    pub(crate) fn write_config(&self, mut config: Value) {
        complete(&mut config, &self.sim.base_url());
        std::fs::write(self.config_path(), config.to_string()).unwrap();
    }

    /// From now on requests with this key meet this fault.
    pub(crate) fn fault(&self, secret: &str, fault: impl Into<FaultWindow>) {
        self.sim
            .sim()
            .set_faults(secret, vec![fault.into()])
            .unwrap();
    }

    /// What the provider counted of a key.
    pub(crate) fn counted(&self, secret: &str) -> KeyCounters {
        self.sim.sim().counters().key(secret)
    }

    /// Requests that the provider let in with a key.
    pub(crate) fn served(&self, secret: &str) -> u64 {
        self.counted(secret).admitted
    }

    /// The requests that reached the provider.
    pub(crate) fn received(&self) -> Vec<ReceivedRequest> {
        self.sim.sim().requests()
    }

    /// `POST /api/apikeys/{action}`.
    pub(crate) async fn admin(&self, action: &str, body: &Value) -> Answer {
        self.post(&format!("/api/apikeys/{action}"))
            .json(body)
            .await
    }

    /// Adds a key at run time.
    pub(crate) async fn add(&self, provider: &str, secret: &str) -> Answer {
        self.admin("add", &json!({"provider": provider, "key": secret}))
            .await
    }

    pub(crate) async fn remove(&self, provider: &str, secret: &str) -> Answer {
        self.admin("remove", &json!({"provider": provider, "key": secret}))
            .await
    }

    /// `data` of a GET below `/api/apikeys/`.
    pub(crate) async fn shown(&self, path: &str) -> Value {
        self.get(&format!("/api/apikeys/{path}")).await.data()
    }

    /// A key of the health report.
    pub(crate) async fn health(&self, secret: &str) -> Value {
        let health = self.shown("health").await;
        find_key(health.as_object().unwrap().values(), secret)
    }

    /// A key of the provider details.
    pub(crate) async fn details(&self, provider: &str, secret: &str) -> Value {
        let details = self.shown(&format!("provider/{provider}")).await;
        find_key(std::iter::once(&details), secret)
    }

    /// The state in which a key is.
    pub(crate) async fn state(&self, secret: &str) -> String {
        self.health(secret).await["health"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// The health score of a key.
    pub(crate) async fn score(&self, secret: &str) -> u64 {
        self.health(secret).await["healthScore"].as_u64().unwrap()
    }

    /// Waits until a key is in this state.
    pub(crate) async fn becomes(&self, secret: &str, state: &str) {
        let what = format!("{} is {state}", mask(secret));
        eventually(&what, async || {
            (self.state(secret).await == state).then_some(())
        })
        .await;
    }

    /// The value of one metric series, by the start of its line: name and labels.
    pub(crate) async fn metric(&self, series: &str) -> Option<f64> {
        let page = self.get("/metrics").await.text();
        let line = page.lines().find_map(|line| line.strip_prefix(series))?;
        line.trim().parse().ok()
    }
}

fn find_key<'a>(mut providers: impl Iterator<Item = &'a Value>, secret: &str) -> Value {
    let mask = mask(secret);
    let key = providers.find_map(|provider| {
        let keys = provider["keys"].as_array()?;
        keys.iter().find(|key| key["key"] == mask)
    });
    key.unwrap_or_else(|| panic!("{mask} is not shown")).clone()
}
