//! Housekeeping: what pools ask for between requests.
//!
//! One thread with a runtime of its own runs a driver per provider. A driver sleeps until its pool's
//! next deadline, logs what the pool puts out, and probes the keys that the pool wants probed.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use http::response::Parts;
use http::{Method, Request};
use http_body_util::{BodyExt, Full, Limited};
use keypool_pool::{BreakerState, ErrorNote, KeyId, KeyState, Output, ProbeResult, Timestamp};
use keypool_wire::{Dialect, KeyVerdict, ProviderKind};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::clock::TimeSource;
use crate::credentials::ProofError;
use crate::limits;
use crate::pool_shell::Alarm;
use crate::provider::{Provider, UpstreamKey};
use crate::telemetry::{Events, POOL_LOG};
use crate::traffic::{ANTHROPIC_VERSION, ANTHROPIC_VERSION_HEADER, upstream_headers};
use crate::upstream::UpstreamClient;

/// Starts drivers.
pub(crate) struct Housekeeping {
    runtime: Handle,
    upstream: Arc<UpstreamClient>,
    events: Arc<Events>,
    waiting: parking_lot::Mutex<Vec<(String, mpsc::UnboundedReceiver<Output>)>>,
}

impl Housekeeping {
    /// Drivers will run on `runtime` and probe over `upstream`.
    #[must_use]
    pub(crate) fn new(runtime: Handle, upstream: Arc<UpstreamClient>, events: Arc<Events>) -> Self {
        Self {
            runtime,
            upstream,
            events,
            waiting: parking_lot::Mutex::default(),
        }
    }

    /// Where the pool of the provider of this name sends its outputs.
    #[must_use]
    pub(crate) fn outputs(&self, provider: &str) -> mpsc::UnboundedSender<Output> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.waiting.lock().push((provider.to_owned(), receiver));
        sender
    }

    /// Starts the provider's driver. It ends when the provider is gone.
    pub(crate) fn drive(&self, provider: &Arc<Provider>) {
        let mut waiting = self.waiting.lock();
        let Some(position) = waiting.iter().position(|(name, _)| *name == provider.name) else {
            return;
        };
        let (_, outputs) = waiting.swap_remove(position);
        let driver = Driver {
            provider: Arc::downgrade(provider),
            time: provider.pool.time().clone(),
            upstream: self.upstream.clone(),
            events: self.events.clone(),
        };
        self.runtime
            .spawn(driver.run(provider.pool.alarm(), outputs));
    }
}

#[derive(Clone)]
struct Driver {
    /// Not a strong reference: a provider that a reload removed takes its driver with it.
    provider: Weak<Provider>,
    time: Arc<dyn TimeSource>,
    upstream: Arc<UpstreamClient>,
    events: Arc<Events>,
}

impl Driver {
    async fn run(self, alarm: Arc<Alarm>, mut outputs: mpsc::UnboundedReceiver<Output>) {
        loop {
            let Some(provider) = self.provider.upgrade() else {
                return;
            };
            let deadline = self.next_deadline(&provider);
            drop(provider);
            tokio::select! {
                () = alarm.moved() => {}
                output = outputs.recv() => match output {
                    Some(output) => self.act_on(&output),
                    None => return,
                },
                () = self.time.sleep_until(deadline) => {
                    let Some(provider) = self.provider.upgrade() else { return };
                    // Any call lets the pool notice the time.
                    provider.pool.with(|_, _| ());
                }
            }
        }
    }

    /// When to look at the pool again; a pool with no deadline is looked at after the longest nap.
    fn next_deadline(&self, provider: &Provider) -> Timestamp {
        const SHORTEST_NAP: std::time::Duration = std::time::Duration::from_millis(1);
        const LONGEST_NAP: std::time::Duration = std::time::Duration::from_mins(1);
        let now = self.time.now();
        let deadline = provider.pool.set_alarm(now + LONGEST_NAP);
        deadline.max(now + SHORTEST_NAP)
    }

    fn act_on(&self, output: &Output) {
        let Some(provider) = self.provider.upgrade() else {
            return;
        };
        self.log(&provider, output);
        if let Output::Probe(key) = *output
            && let Some(key) = provider.key(key)
        {
            tokio::spawn(self.clone().probe(provider, key));
        }
    }

    fn log(&self, provider: &Provider, output: &Output) {
        let mask = |key: KeyId| {
            provider
                .key(key)
                .map_or_else(|| key.to_string(), |key| key.mask.clone())
        };
        match output {
            Output::StateChanged(change) => {
                let mask = mask(change.key);
                self.events.publish(&provider.name, &mask, output);
                if change.to == KeyState::Unavailable {
                    tracing::warn!(target: POOL_LOG, provider = %provider.name, key = %mask,
                        "key is {} (was {}): {}", change.to, change.from, change.reason);
                } else {
                    tracing::info!(target: POOL_LOG, provider = %provider.name, key = %mask,
                        "key is {} (was {}): {}", change.to, change.from, change.reason);
                }
            }
            Output::Alert(alert) => {
                let mask = mask(alert.key);
                self.events.publish(&provider.name, &mask, output);
                tracing::error!(target: POOL_LOG, provider = %provider.name, key = %mask,
                    "alert: {}", alert.message);
            }
            Output::BreakerChanged(change) => {
                self.events.publish(&provider.name, "", output);
                let model = change.model.as_deref().map(keypool_wire::excerpt);
                let model = model.unwrap_or_else(|| "all".to_owned());
                let (from, to, reason) = (change.from, change.to, &change.reason);
                if to == BreakerState::Open {
                    tracing::error!(target: POOL_LOG, provider = %provider.name, %model,
                        "alert: the circuit breaker is {to} (was {from}): {reason}");
                } else {
                    tracing::info!(target: POOL_LOG, provider = %provider.name, %model,
                        "the circuit breaker is {to} (was {from}): {reason}");
                }
            }
            Output::Probe(key) => {
                tracing::debug!(target: POOL_LOG, provider = %provider.name, key = %mask(*key),
                    "probing");
            }
        }
    }

    async fn probe(self, provider: Arc<Provider>, key: Arc<UpstreamKey>) {
        let result = match tokio::time::timeout(limits::PROBE_TIME, self.ask(&provider, &key)).await
        {
            Ok(result) => result,
            Err(_) => ProbeResult::Inconclusive,
        };
        provider
            .pool
            .with(|pool, now| pool.handle_probe(now, key.id, result));
    }

    /// Lists the provider's models: the cheapest call that a dead key cannot make.
    async fn ask(&self, provider: &Provider, key: &UpstreamKey) -> ProbeResult {
        let settings = provider.settings();
        let asked = models_request(settings.dialect, key, &self.upstream, &self.time);
        let request = match asked.await {
            Ok(Some(request)) => request,
            // The token that was given proves it.
            Ok(None) => return ProbeResult::Passed,
            Err(ProofError::Refused(parts, body)) => {
                return self.judge_probe(provider, &parts, &body);
            }
            Err(ProofError::Unavailable(_)) => return ProbeResult::Inconclusive,
        };
        let Ok((response, _open)) = self.upstream.send(request).await else {
            return ProbeResult::Inconclusive;
        };
        let (parts, body) = response.into_parts();
        let status = parts.status.as_u16();
        key.count_status(status);
        // Some compatible servers list no models; the key has been accepted all the same.
        if parts.status.is_success() || matches!(status, 404 | 405) {
            return ProbeResult::Passed;
        }
        let Ok(body) = Limited::new(body, limits::ERROR_BODY_BYTES).collect().await else {
            return ProbeResult::Inconclusive;
        };
        self.judge_probe(provider, &parts, &body.to_bytes())
    }

    fn judge_probe(&self, provider: &Provider, parts: &Parts, body: &[u8]) -> ProbeResult {
        let status = parts.status.as_u16();
        let judged = keypool_wire::judge(
            provider.settings().kind,
            status,
            &upstream_headers(&parts.headers),
            body,
            self.time.now().as_unix_micros(),
        );
        match judged.key {
            KeyVerdict::Invalid { .. } | KeyVerdict::OutOfCredit { .. } => {
                ProbeResult::Failed(ErrorNote {
                    status: Some(status),
                    code: judged.code,
                    message: judged.message,
                })
            }
            // AWS has looked at the signature before it looked at what the key may do.
            KeyVerdict::ModelDenied if provider.settings().kind == ProviderKind::Bedrock => {
                ProbeResult::Passed
            }
            _ => ProbeResult::Inconclusive,
        }
    }
}

/// The request for a list of models, with a key; `None` where there is no such list.
pub(crate) async fn models_request(
    dialect: Dialect,
    key: &UpstreamKey,
    upstream: &UpstreamClient,
    time: &Arc<dyn TimeSource>,
) -> Result<Option<Request<Full<Bytes>>>, ProofError> {
    let mut request = Request::new(Full::new(Bytes::new()));
    *request.method_mut() = Method::GET;
    let url = key.place.models_url();
    if let Some(url) = &url {
        *request.uri_mut() = url
            .parse()
            .map_err(|_| ProofError::Unavailable("the URL is not valid".to_owned()))?;
    }
    if dialect == Dialect::Anthropic {
        let version = http::HeaderValue::from_static(ANTHROPIC_VERSION);
        request
            .headers_mut()
            .insert(ANTHROPIC_VERSION_HEADER, version);
    }
    key.proof.put_on(&mut request, b"", upstream, time).await?;
    Ok(url.map(|_| request))
}
