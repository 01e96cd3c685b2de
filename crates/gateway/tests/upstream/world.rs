//! A gateway in front of one provider, and a client.

use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use keypool_gateway::config::{
    AdminConfig, AffinityConfig, Bounds, KeyEntry, NetworkConfig, ProviderConfig, QueueConfig,
    RetryConfig, RouterConfig, Sequential, Timeouts,
};
use keypool_gateway::{Gateway, GatewayConfig, RunningGateway, Secret};
use keypool_pool::Strategy;
use keypool_wire::{Dialect, KeyPlace, ProviderKind};

use crate::provider::Provider;

/// The key that only the provider may see.
pub(crate) const KEY: &str = "sk-ant-api03-canary-of-the-upstream-tests";

const BODY: &str =
    r#"{"model":"anthropic,m","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}"#;

pub(crate) type HttpClient = Client<HttpConnector, Full<Bytes>>;

pub(crate) struct World {
    gateway: RunningGateway,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    body: Bytes,
}

impl World {
    /// Starts a gateway; `network` says how it reaches the provider.
    pub(crate) fn start(provider: &Provider, network: impl FnOnce(&mut NetworkConfig)) -> Self {
        Self::start_before(&[provider], network)
    }

    /// Starts a gateway with a key for each of these providers, to be used in this order.
    pub(crate) fn start_before(
        providers: &[&Provider],
        network: impl FnOnce(&mut NetworkConfig),
    ) -> Self {
        let urls = providers
            .iter()
            .map(|provider| format!("https://localhost:{}", provider.port()));
        let mut config = config(urls);
        network(&mut config.network);
        Self {
            gateway: Gateway::start(config).unwrap(),
        }
    }

    /// Asks over a connection of its own.
    pub(crate) fn ask(&self) -> impl Future<Output = Answer> + Send + 'static {
        let (client, url) = (http_client(), self.url());
        async move { send(&client, &url).await }
    }

    pub(crate) async fn ask_with(&self, client: &HttpClient) -> Answer {
        send(client, &self.url()).await
    }

    fn url(&self) -> String {
        format!("http://{}/v1/messages", self.gateway.traffic_addr())
    }
}

/// A client with connections of its own.
pub(crate) fn http_client() -> HttpClient {
    Client::builder(TokioExecutor::new()).build_http()
}

impl Answer {
    pub(crate) fn error_type(&self) -> String {
        let body: HashMap<String, serde_json::Value> = serde_json::from_slice(&self.body).unwrap();
        body["error"]["type"].as_str().unwrap().to_owned()
    }
}

async fn send(client: &HttpClient, url: &str) -> Answer {
    let request = Request::post(url).body(Full::from(BODY)).unwrap();
    let response = client.request(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8_lossy(&body);
    assert!(!text.contains(KEY), "the key shows: {text}");
    Answer { status, body }
}

fn config(base_urls: impl Iterator<Item = String>) -> GatewayConfig {
    let key = |(number, base_url): (usize, String)| KeyEntry {
        place: KeyPlace {
            base_url: Some(base_url),
            ..KeyPlace::default()
        },
        ..KeyEntry::new(Secret::new(format!("{KEY}-{number}")))
    };
    let provider = ProviderConfig {
        name: "anthropic".to_owned(),
        kind: ProviderKind::Anthropic,
        dialect: Dialect::Anthropic,
        base_url: Some("https://localhost".to_owned()),
        strategy: Strategy::FillFirst,
        window: None,
        correct_limits: true,
        sequential: Sequential::default(),
        quota_groups: Vec::new(),
        keys: base_urls.enumerate().map(key).collect(),
        models: Vec::new(),
        serves_responses: true,
        output_tokens_max: None,
        drops_server_tools: false,
    };
    GatewayConfig {
        listen: ([127, 0, 0, 1], 0).into(),
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
        providers: vec![provider],
        router: RouterConfig::default(),
        aliases: Vec::new(),
        state_file: None,
        seed: 1,
    }
}
