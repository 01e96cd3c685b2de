//! The stage: a simulated provider, the real gateway in front of it, and what happens to both.
//!
//! Everything goes over sockets on loopback, as it would with a real provider; keys are added
//! through the admin API while traffic could run.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use http::Method;
use keypool_gateway::config::{
    AdminConfig, AffinityConfig, Bounds, KeyEntry, NetworkConfig, ProviderConfig, QueueConfig,
    RetryConfig, RouterConfig, Sequential, Timeouts,
};
use keypool_gateway::{Gateway, GatewayConfig, RunningGateway, Secret};
use keypool_pool::{Limits, Strategy};
use keypool_sim::{AnswerConfig, Counters, Fault, FaultWindow, SimConfig, SimServer, Spread};
use keypool_wire::{Dialect, ProviderKind};
use serde_json::json;
use tokio::time::{Instant, sleep_until};

use super::answer_check::TEXT;
use super::http::Http;
use super::live_view::{LiveView, Sources};
use super::plan::{
    ANSWER_TIME, FAILING_OF_TEN, KeyNumber, LIMIT_PER_MINUTE, PIECE_DELAY, Phase, Plan,
    STREAM_PIECES, Trouble, TroubleKind, secret,
};
use super::traffic::{Progress, Traffic, Visit};

/// The name of the one provider.
pub(super) const PROVIDER: &str = "anthropic";

/// Output tokens in one piece of a stream.
const PIECE_TOKENS: u64 = 4;

/// The provider, the gateway, the clients.
#[derive(Debug)]
pub(super) struct Scene {
    plan: Plan,
    provider: SimServer,
    gateway: RunningGateway,
    http: Http,
    traffic: Traffic,
    progress: Arc<Progress>,
    keys: u32,
}

/// What came out of one phase.
#[derive(Debug)]
pub(super) struct PhaseResult {
    /// What was planned.
    pub(super) phase: Phase,
    /// Its clients.
    pub(super) visits: Vec<Visit>,
    /// What clients saw fail while the burst was used up.
    pub(super) failed_before: Vec<String>,
    /// What the provider counted, that time included.
    pub(super) upstream: Upstream,
}

/// What the provider counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Upstream {
    /// Requests refused because a limit was reached: each is a 429 that the gateway should have
    /// foreseen.
    pub(super) over_limit: u64,
    /// Answers by status.
    pub(super) by_status: BTreeMap<u16, u64>,
}

impl Scene {
    /// Starts the provider and the gateway with the first key.
    pub(super) async fn set(plan: Plan, port: u16) -> anyhow::Result<Self> {
        let secrets: Vec<_> = (1..=plan.keys()).map(secret).collect();
        let secrets: Vec<_> = secrets.iter().map(String::as_str).collect();
        let limits = keypool_sim::Limits::per_minute(LIMIT_PER_MINUTE.into());
        let mut config = SimConfig::anthropic(&secrets, limits).without_request_log();
        config.seed = plan.seed;
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let provider = SimServer::start(any_port, config)
            .await
            .context("the simulator")?;
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let gateway = Gateway::start(gateway_config(listen, provider.base_url(), plan.seed))?;
        let http = Http::new(gateway.traffic_addr());
        let progress = Arc::new(Progress::default());
        let traffic = Traffic::new(http.clone(), Arc::clone(&progress));
        Ok(Self {
            plan,
            provider,
            gateway,
            http,
            traffic,
            progress,
            keys: 1,
        })
    }

    /// Where the live view finds what it shows.
    pub(super) fn sources(&self) -> Sources {
        Sources {
            http: self.http.clone(),
            provider: self.provider.sim().clone(),
            progress: Arc::clone(&self.progress),
        }
    }

    /// `http://host:port` of the gateway.
    pub(super) fn url(&self) -> &str {
        self.http.base()
    }

    /// `http://host:port` of the provider.
    pub(super) fn provider_url(&self) -> String {
        self.provider.base_url()
    }

    /// Plays all phases.
    pub(super) async fn play(&mut self, view: &LiveView) -> anyhow::Result<Vec<PhaseResult>> {
        let mut results = Vec::new();
        for phase in self.plan.phases.clone() {
            results.push(self.play_phase(phase, view).await?);
        }
        Ok(results)
    }

    /// Ends gateway and provider. Blocks until the gateway has drained.
    pub(super) fn strike(self) {
        // Nobody waits for the requests that a stop in the middle cuts off.
        let _ = self.gateway.shutdown();
    }

    async fn play_phase(&mut self, phase: Phase, view: &LiveView) -> anyhow::Result<PhaseResult> {
        let before = self.provider.sim().counters();
        let grows = self.keys < phase.keys;
        while self.keys < phase.keys {
            self.add_key(self.keys + 1).await?;
        }
        let mut failed_before = Vec::new();
        if grows || phase.keys == 1 {
            view.title(format!(
                "{}: using up the first minute's allowance",
                phase.title
            ))
            .await;
            self.provider.sim().set_answer(answers(Duration::ZERO));
            failed_before = self.traffic.use_up_the_burst(phase.keys).await;
        }
        self.provider.sim().set_answer(answers(ANSWER_TIME));
        view.title(format!(
            "{}: limits add up to {} requests a minute, clients ask for {}",
            phase.title,
            phase.limits_per_minute(),
            phase.offered_per_minute,
        ))
        .await;
        let troubles = self.cause(&phase.troubles, view);
        let (visits, caused) = tokio::join!(self.traffic.run(&phase, self.plan.seed), troubles);
        caused?;
        let upstream = Upstream::between(&before, &self.provider.sim().counters());
        Ok(PhaseResult {
            phase,
            visits,
            failed_before,
            upstream,
        })
    }

    async fn add_key(&mut self, number: KeyNumber) -> anyhow::Result<()> {
        let key = json!({
            "provider": PROVIDER,
            "key": secret(number),
            "rateLimit": { "requestsPerMinute": LIMIT_PER_MINUTE },
            "priority": 10,
            "enabled": true,
        });
        self.http
            .admin(Method::POST, "/api/apikeys/add", Some(&key))
            .await?;
        self.keys = number;
        Ok(())
    }

    /// Lets things go wrong, each at its time.
    async fn cause(&self, troubles: &[Trouble], view: &LiveView) -> anyhow::Result<()> {
        let began = Instant::now();
        for trouble in troubles {
            sleep_until(began + trouble.after).await;
            let secret = secret(trouble.key);
            let provider = self.provider.sim();
            let told = match trouble.kind {
                TroubleKind::Failing { lasts } => {
                    let share = f64::from(FAILING_OF_TEN) / 10.0;
                    let fault = FaultWindow::between(Duration::ZERO, lasts, Fault::status(500));
                    provider.set_faults(&secret, vec![fault.share(share)])?;
                    format!("answers {FAILING_OF_TEN} of 10 requests with 500")
                }
                TroubleKind::Limited { seconds } => {
                    let lasts = Duration::from_secs(seconds.into());
                    let fault = Fault::rate_limited(seconds.into());
                    let fault = FaultWindow::between(Duration::ZERO, lasts, fault);
                    provider.set_faults(&secret, vec![fault])?;
                    format!("is limited by the provider: 429, retry-after: {seconds}")
                }
                TroubleKind::Revoked => {
                    provider.revoke(&secret)?;
                    "is revoked: 401".to_owned()
                }
            };
            view.say(format!("  key{} {told}", trouble.key)).await;
        }
        Ok(())
    }
}

impl Upstream {
    /// What was counted between two looks at the counters.
    fn between(before: &Counters, after: &Counters) -> Self {
        let over_limit = |counters: &Counters| counters.total(|key| key.limited);
        let mut by_status = BTreeMap::new();
        for key in after.keys.values() {
            for status in key.by_status.keys() {
                let count = after.with_status(*status) - before.with_status(*status);
                by_status.insert(*status, count);
            }
        }
        by_status.retain(|_, count| *count > 0);
        Self {
            over_limit: over_limit(after) - over_limit(before),
            by_status,
        }
    }

    /// Answers of this status.
    pub(super) fn with_status(&self, status: u16) -> u64 {
        self.by_status.get(&status).copied().unwrap_or(0)
    }
}

fn answers(answer_time: Duration) -> AnswerConfig {
    AnswerConfig {
        latency_ms: Spread::Fixed(u64::try_from(answer_time.as_millis()).unwrap_or(u64::MAX)),
        output_tokens: Spread::Fixed(PIECE_TOKENS * u64::from(STREAM_PIECES)),
        chunk_tokens: PIECE_TOKENS,
        chunk_delay: PIECE_DELAY,
        text: Some(TEXT.to_owned()),
    }
}

/// A gateway with one provider and its first key.
fn gateway_config(listen: SocketAddr, base_url: String, seed: u64) -> GatewayConfig {
    let limits = Limits {
        requests_per_minute: Some(LIMIT_PER_MINUTE.into()),
        ..Limits::default()
    };
    let key = KeyEntry {
        limits,
        ..KeyEntry::new(Secret::new(secret(1)))
    };
    let provider = ProviderConfig {
        name: PROVIDER.to_owned(),
        kind: ProviderKind::Anthropic,
        dialect: Dialect::Anthropic,
        base_url: Some(base_url),
        strategy: Strategy::LeastLoaded,
        window: None,
        correct_limits: true,
        sequential: Sequential::default(),
        quota_groups: Vec::new(),
        keys: vec![key],
        models: Vec::new(),
        serves_responses: true,
        output_tokens_max: None,
        drops_server_tools: false,
    };
    GatewayConfig {
        listen,
        client_key: None,
        tenants: Vec::new(),
        admin: AdminConfig::default(),
        known_hosts: Vec::new(),
        health_check_interval: Duration::from_mins(1),
        queue: QueueConfig::default(),
        affinity: AffinityConfig::default(),
        retry: RetryConfig::default(),
        timeouts: Timeouts {
            drain: Duration::from_secs(1),
            ..Timeouts::default()
        },
        bounds: Bounds::default(),
        network: NetworkConfig::default(),
        answer_headers: true,
        providers: vec![provider],
        router: RouterConfig::default(),
        aliases: Vec::new(),
        state_file: None,
        seed,
    }
}
