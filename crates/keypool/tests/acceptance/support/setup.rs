//! What a test starts from: the provider to simulate and the configuration file to write.

use std::sync::Arc;

use keypool_gateway::Gateway as GatewayHere;
use keypool_gateway::clock::ManualTimeSource;
use keypool_pool::Timestamp;
use keypool_sim::{Dialect, Limits, SimConfig, SimServer};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::gateway::{DRAIN, Gateway, Refused};
use super::secrets::{CANARY, anthropic_key, gemini_key, openai_key};
use super::world::{Clock, World};

/// New Year 2027, 00:00 UTC: where clocks that are moved by hand stand at first.
const NEW_YEAR_SECONDS: u64 = 1_798_761_600;

/// A world that is still to be started.
pub(crate) struct Setup {
    sim: SimConfig,
    config: Value,
    /// Written instead of `config`, word for word.
    text: Option<String>,
    environment: Vec<(String, String)>,
    arguments: Vec<String>,
}

impl Setup {
    /// A pool of this many Anthropic keys, each with a quota of its own that has no limits.
    pub(crate) fn anthropic(keys: usize) -> Self {
        Self::empty().with_provider("anthropic", keys)
    }

    /// A pool of this many OpenAI keys.
    pub(crate) fn openai(keys: usize) -> Self {
        Self::empty().with_provider("openai", keys)
    }

    /// A pool of this many Gemini keys.
    pub(crate) fn gemini(keys: usize) -> Self {
        Self::empty().with_provider("gemini", keys)
    }

    /// A pool of this many keys of each of the three providers whose APIs differ.
    pub(crate) fn all(keys: usize) -> Self {
        Self::both(keys).with_provider("gemini", keys)
    }

    /// A pool of this many keys of both providers.
    pub(crate) fn both(keys: usize) -> Self {
        Self::anthropic(keys).with_provider("openai", keys)
    }

    /// No provider at all.
    pub(crate) fn empty() -> Self {
        let config = json!({ "ApiKeyPool": { "enabled": true, "providers": {} } });
        Self {
            sim: SimConfig::empty(),
            config,
            text: None,
            environment: Vec::new(),
            arguments: Vec::new(),
        }
    }

    fn with_provider(mut self, name: &str, keys: usize) -> Self {
        let secrets: Vec<String> = (1..=keys).map(|number| key_of(name, number)).collect();
        let entries: Vec<Value> = secrets
            .iter()
            .map(|secret| json!({ "key": secret }))
            .collect();
        put(
            &mut self.config,
            &format!("/ApiKeyPool/providers/{name}/keys"),
            entries.into(),
        );
        self.with_sim_keys(name, keys)
    }

    /// Keys which the simulated provider knows, whatever the configuration says.
    pub(crate) fn with_sim_keys(mut self, name: &str, keys: usize) -> Self {
        let dialect = match name {
            "openai" => Dialect::OpenAi,
            "gemini" => Dialect::Gemini,
            _ => Dialect::Anthropic,
        };
        for number in 1..=keys {
            let secret = key_of(name, number);
            if !self.sim.keys.iter().any(|known| known.secret == secret) {
                self.sim = self.sim.with_keys(dialect, &[&secret], Limits::NONE);
            }
        }
        self
    }

    /// Takes another configuration, with keys that the simulated provider knows.
    pub(crate) fn with_config(mut self, config: Value) -> Self {
        self.config = config;
        self
    }

    /// Takes a configuration as a text, which is written as it is. `$SIM` leads to the simulator.
    pub(crate) fn with_text(mut self, text: &str) -> Self {
        self.text = Some(text.to_owned());
        self
    }

    /// Sets one value of the configuration, by its JSON pointer.
    pub(crate) fn set(mut self, pointer: &str, value: impl Into<Value>) -> Self {
        put(&mut self.config, pointer, value.into());
        self
    }

    pub(crate) fn strategy(self, strategy: &str) -> Self {
        self.set("/ApiKeyPool/strategy", strategy)
    }

    /// What has no room is refused at once, where a test is about the refusal.
    pub(crate) fn without_waiting(self) -> Self {
        self.set("/ApiKeyPool/queue/enabled", false)
    }

    /// Sets a field of every key of every provider in the pool.
    pub(crate) fn every_key(mut self, field: &str, value: &Value) -> Self {
        for provider in self.providers() {
            for key in provider["keys"].as_array_mut().unwrap() {
                key[field] = value.clone();
            }
        }
        self
    }

    /// Sets a field of the `number`-th key of every provider in the pool.
    pub(crate) fn key(mut self, number: usize, field: &str, value: impl Into<Value>) -> Self {
        let value = value.into();
        for provider in self.providers() {
            provider["keys"][number - 1][field] = value.clone();
        }
        self
    }

    /// Changes what is simulated.
    pub(crate) fn sim(mut self, change: impl FnOnce(&mut SimConfig)) -> Self {
        change(&mut self.sim);
        self
    }

    /// The limits that the simulated provider enforces on each organisation.
    pub(crate) fn sim_limits(self, limits: Limits) -> Self {
        self.sim(|sim| {
            sim.organisations
                .iter_mut()
                .for_each(|one| one.limits = limits);
        })
    }

    pub(crate) fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Starts the simulator and keypool.
    pub(crate) async fn start(self) -> World {
        match self.try_start().await {
            Ok(world) => world,
            Err(refused) => panic!("keypool does not start: {}", refused.stderr),
        }
    }

    /// Starts keypool, which must refuse.
    pub(crate) async fn refused(self) -> Refused {
        match self.try_start().await {
            Ok(_) => panic!("keypool serves, but should refuse"),
            Err(refused) => refused,
        }
    }

    async fn try_start(mut self) -> Result<World, Refused> {
        let (sim, directory) = self.prepare().await;
        let config = directory.path().join("config.json");
        let gateway = Gateway::spawn(&config, &self.arguments, &self.environment).await?;
        let Self {
            config,
            environment,
            arguments,
            ..
        } = self;
        Ok(World {
            gateway,
            sim,
            config,
            environment,
            arguments,
            directory,
        })
    }

    /// Starts the simulator and a gateway in this process, whose clock stands at New Year 2027 until it
    /// is moved. The simulator goes by the real clock.
    pub(crate) async fn start_with_manual_clock(self) -> (World, Clock) {
        self.start_with_clock_at(NEW_YEAR_SECONDS).await
    }

    /// The same with a clock that stands at another instant, in seconds since the epoch.
    pub(crate) async fn start_with_clock_at(mut self, unix_seconds: u64) -> (World, Clock) {
        let (sim, directory) = self.prepare().await;
        let variable = |name: &str| {
            let mut known = self.environment.iter();
            known
                .find(|(known, _)| known == name)
                .map(|(_, value)| value.clone())
        };
        let path = directory.path().join("config.json");
        let loaded = keypool::config::load(&path, &variable).unwrap();
        let start = Timestamp::from_unix_micros(unix_seconds * 1_000_000);
        let time = Arc::new(ManualTimeSource::new(start));
        let gateway = GatewayHere::start_with_time(loaded.gateway, time.clone()).unwrap();
        let gateway = Gateway::here(gateway);
        let Self {
            config,
            environment,
            arguments,
            ..
        } = self;
        (
            World {
                gateway,
                sim,
                config,
                environment,
                arguments,
                directory,
            },
            Clock::new(time),
        )
    }

    async fn prepare(&mut self) -> (SimServer, TempDir) {
        let sim = SimServer::start(([127, 0, 0, 1], 0).into(), self.sim.clone())
            .await
            .unwrap();
        self.environment.push(("SIM".to_owned(), sim.base_url()));
        complete(&mut self.config, &sim.base_url());
        let directory = tempfile::tempdir().unwrap();
        let text = self.text.clone().unwrap_or_else(|| self.config.to_string());
        std::fs::write(directory.path().join("config.json"), text).unwrap();
        (sim, directory)
    }

    fn providers(&mut self) -> impl Iterator<Item = &mut Value> {
        let providers = self.config.pointer_mut("/ApiKeyPool/providers").unwrap();
        providers.as_object_mut().unwrap().values_mut()
    }
}

/// Sets what a test does not care about: a free port, a talkative log, patience with a slow machine, a short
/// drain, and the simulator as every provider's address.
pub(crate) fn complete(config: &mut Value, sim: &str) {
    put_if_absent(config, "/PORT", 0.into());
    put_if_absent(config, "/LOG_LEVEL", "debug".into());
    // A test machine that is slow is no overload.
    put_if_absent(config, "/Bounds/delay", 5000.into());
    if config.pointer("/ApiKeyPool").is_some() {
        let drain = u64::try_from(DRAIN.as_millis()).unwrap();
        put_if_absent(config, "/ApiKeyPool/timeouts/drain", drain.into());
    }
    if let Some(providers) = config.pointer_mut("/ApiKeyPool/providers") {
        for (name, provider) in providers.as_object_mut().unwrap() {
            put_if_absent(provider, "/baseUrl", base_url(name, sim).into());
        }
    }
    if let Some(providers) = config.get_mut("Providers") {
        for provider in providers.as_array_mut().unwrap() {
            let name = provider["name"].as_str().unwrap().to_owned();
            put_if_absent(provider, "/api_base_url", base_url(&name, sim).into());
        }
    }
}

/// An example of the guide as it is printed there, but with keys that the simulated provider knows.
pub(crate) fn guide_example(name: &str) -> String {
    let path = format!("{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let anthropic = format!("sk-ant-{CANARY}-key");
    let openai = format!("sk-proj-{CANARY}-key");
    text.replace("sk-ant-api03-your-key-", &anthropic)
        .replace("sk-ant-api03-key", &anthropic)
        .replace("sk-proj-key", &openai)
        .replacen("\"...\"", &format!("\"{}\"", anthropic_key(1)), 1)
        .replacen("\"...\"", &format!("\"{}\"", anthropic_key(2)), 1)
}

/// Sets a value by its JSON pointer and makes the objects on the way.
pub(crate) fn put(into: &mut Value, pointer: &str, value: Value) {
    let mut place = into;
    for name in pointer.split('/').skip(1) {
        place = match name.parse::<usize>() {
            Ok(index) if place.is_array() => &mut place[index],
            _ => &mut place[name],
        };
    }
    *place = value;
}

fn put_if_absent(into: &mut Value, pointer: &str, value: Value) {
    if into.pointer(pointer).is_none() {
        put(into, pointer, value);
    }
}

fn base_url(provider: &str, sim: &str) -> String {
    match provider {
        "anthropic" => sim.to_owned(),
        "gemini" => format!("{sim}/v1beta"),
        _ => format!("{sim}/v1"),
    }
}

fn key_of(provider: &str, number: usize) -> String {
    match provider {
        "openai" => openai_key(number),
        "gemini" => gemini_key(number),
        _ => anthropic_key(number),
    }
}
