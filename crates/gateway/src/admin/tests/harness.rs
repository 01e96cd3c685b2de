//! A gateway's core without listeners, and calls of its admin routes.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use keypool_pool::{
    Charge, Demand, ErrorNote, KeyId, Limits, Outcome, Strategy, Timestamp, Usage, Verdict,
};
use keypool_wire::{Dialect, ProviderKind};
use serde_json::Value;
use tower::ServiceExt;

use crate::admin::{AdminAccess, router};
use crate::clock::ManualTimeSource;
use crate::config::{
    AdminConfig, AffinityConfig, Bounds, GatewayConfig, KeyEntry, NetworkConfig, ProviderConfig,
    QueueConfig, RetryConfig, RouterConfig, Sequential, Timeouts,
};
use crate::core::Core;
use crate::driver::Housekeeping;
use crate::pool_shell::Admitted;
use crate::secret::Secret;
use crate::state::StateStore;
use crate::telemetry::GatewayMeasurements;
use crate::upstream::UpstreamClient;

/// Noon of the day on which the tests play.
pub(super) const START: Timestamp = Timestamp::from_unix_secs(1_795_348_800);

pub(super) struct Harness {
    pub(super) core: Arc<Core>,
    router: Router,
    access: AdminAccess,
}

/// An answer: its status and its body.
pub(super) type Called = (StatusCode, Value);

impl Harness {
    /// Providers with the keys named, all with a limit of 100 requests a minute.
    pub(super) fn new(providers: &[(&str, &[&str])]) -> Self {
        Self::with_state_file(providers, None)
    }

    pub(super) fn with_state_file(providers: &[(&str, &[&str])], file: Option<PathBuf>) -> Self {
        Self::with_config(config(providers), file)
    }

    pub(super) fn with_config(config: GatewayConfig, file: Option<PathBuf>) -> Self {
        let measurements = GatewayMeasurements::default();
        let upstream =
            UpstreamClient::new(&config.network, &config.timeouts, Arc::default()).unwrap();
        let housekeeping = Housekeeping::new(
            tokio::runtime::Handle::current(),
            Arc::new(upstream),
            measurements.events(),
        );
        let time = Arc::new(ManualTimeSource::new(START));
        let state = StateStore::open(file).unwrap();
        let core = Core::new(config, time, state, housekeeping, measurements).unwrap();
        let core = Arc::new(core);
        let router = router(core.clone());
        Self {
            core,
            router,
            access: AdminAccess {
                with_admin_token: false,
            },
        }
    }

    pub(super) fn with_admin_token(mut self) -> Self {
        self.access.with_admin_token = true;
        self
    }

    pub(super) async fn call(&self, method: Method, path: &str, body: &str) -> Called {
        let (status, text) = self.call_text(method, path, body).await;
        (status, serde_json::from_str(&text).unwrap())
    }

    pub(super) async fn call_text(
        &self,
        method: Method,
        path: &str,
        body: &str,
    ) -> (StatusCode, String) {
        let mut request = Request::new(Body::from(body.to_owned()));
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().unwrap();
        request.extensions_mut().insert(self.access);
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    pub(super) async fn get(&self, path: &str) -> Value {
        let (status, body) = self.call(Method::GET, path, "").await;
        assert_eq!(status, StatusCode::OK, "{body}");
        assert_eq!(body["success"], true);
        body["data"].clone()
    }

    pub(super) async fn post(&self, path: &str, body: &str) -> Called {
        self.call(Method::POST, path, body).await
    }

    /// Serves one request and says which key served it.
    pub(super) fn serve(&self, provider: &str, verdict: Verdict) -> KeyId {
        let live = self.core.live();
        let provider = live.provider(provider).unwrap();
        let demand = Demand {
            model: "m",
            input_tokens: 10,
            output_tokens: 5,
            tags: &[],
            excluded: &[],
            ..Demand::default()
        };
        let Admitted::Granted(lease) = provider.pool.request(&demand) else {
            panic!("no key has room");
        };
        let key = lease.key();
        let usage = Usage {
            input_tokens: 10,
            output_tokens: 5,
            ..Usage::default()
        };
        let error = (verdict != Verdict::Success).then(|| ErrorNote {
            status: Some(500),
            code: "api_error".to_owned(),
            message: "it broke".to_owned(),
        });
        let latency = Duration::from_millis(120);
        let charge = Charge::Actual {
            input_tokens: 10,
            output_tokens: 5,
        };
        provider.pool.settle(
            lease,
            &Outcome {
                usage,
                latency,
                error,
                ..Outcome::of(verdict, charge)
            },
        );
        key
    }
}

/// A configuration for providers with the keys named.
pub(super) fn config(providers: &[(&str, &[&str])]) -> GatewayConfig {
    GatewayConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        client_key: None,
        tenants: Vec::new(),
        admin: AdminConfig::default(),
        known_hosts: Vec::new(),
        health_check_interval: Duration::from_mins(1),
        queue: QueueConfig::default(),
        affinity: AffinityConfig::default(),
        retry: RetryConfig::default(),
        timeouts: Timeouts::default(),
        bounds: Bounds::default(),
        network: NetworkConfig::default(),
        answer_headers: true,
        providers: providers
            .iter()
            .map(|(name, keys)| provider(name, keys))
            .collect(),
        router: RouterConfig::default(),
        aliases: Vec::new(),
        state_file: None,
        seed: 1,
    }
}

fn provider(name: &str, keys: &[&str]) -> ProviderConfig {
    ProviderConfig {
        name: name.to_owned(),
        kind: ProviderKind::Anthropic,
        dialect: Dialect::Anthropic,
        // Discard: nothing in these tests is to be answered.
        base_url: Some("http://127.0.0.1:9".to_owned()),
        strategy: Strategy::RoundRobin,
        window: None,
        correct_limits: true,
        sequential: Sequential::default(),
        quota_groups: vec![("org-a".to_owned(), Limits::default())],
        keys: keys.iter().map(|key| entry(key)).collect(),
        models: Vec::new(),
        serves_responses: true,
        output_tokens_max: None,
        drops_server_tools: false,
    }
}

fn entry(key: &str) -> KeyEntry {
    KeyEntry {
        limits: Limits {
            requests_per_minute: Some(100),
            ..Limits::default()
        },
        tags: vec!["production".to_owned()],
        ..KeyEntry::new(Secret::new(key))
    }
}
