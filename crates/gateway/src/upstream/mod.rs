//! Connections to providers: pooled HTTP/1.1 and HTTP/2, TLS, an optional proxy.
//!
//! Each worker has an [`UpstreamClient`] of its own, so that no connection is shared between cores.
//! An HTTP/2 server takes only so many streams on one connection and lets further ones wait in
//! silence; therefore an origin has several connection pools, and a request goes to the first that
//! has few enough open requests.

mod connector;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use http::uri::Authority;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use parking_lot::RwLock;

use crate::config::{NetworkConfig, Timeouts};
use crate::limits;
pub(crate) use connector::NetworkError;
use connector::{Connector, build_connector};

type HyperClient = Client<Connector, Full<Bytes>>;

/// One worker's connections to all upstreams.
#[derive(Debug)]
pub(crate) struct UpstreamClient {
    connector: Connector,
    origins: RwLock<HashMap<Authority, Arc<Origin>>>,
}

#[derive(Debug, Default)]
struct Origin {
    slots: RwLock<Vec<Arc<Slot>>>,
}

#[derive(Debug)]
struct Slot {
    client: HyperClient,
    open: AtomicUsize,
}

/// Keeps a request counted as open on its connection pool until it is dropped.
#[derive(Debug)]
pub(crate) struct OpenRequest(Arc<Slot>);

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Why no answer's head came.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    /// No connection could be made, so the provider never saw the request.
    #[error("connecting failed: {0}")]
    Connect(String),
    /// The connection broke after the request may have been seen.
    #[error("the connection broke before an answer: {0}")]
    Broken(String),
}

impl UpstreamClient {
    /// Makes a client. `opened` counts the connections that it makes.
    pub(crate) fn new(
        network: &NetworkConfig,
        timeouts: &Timeouts,
        opened: Arc<AtomicU64>,
    ) -> Result<Self, NetworkError> {
        let connector = build_connector(network, timeouts.connect, opened)?;
        Ok(Self {
            connector,
            origins: RwLock::default(),
        })
    }

    /// Sends a request and waits for the head of the answer. Dropping the future, or the answer's
    /// body, cancels the request upstream.
    pub(crate) async fn send(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<(Response<Incoming>, OpenRequest), SendError> {
        let Some(authority) = request.uri().authority().cloned() else {
            return Err(SendError::Connect(
                "the upstream's URL names no host".to_owned(),
            ));
        };
        let slot = self.origin(authority).slot(&self.connector);
        let open = OpenRequest(slot);
        match open.0.client.request(request).await {
            Ok(response) => Ok((response, open)),
            Err(error) if error.is_connect() => Err(SendError::Connect(chain(&error))),
            Err(error) => Err(SendError::Broken(chain(&error))),
        }
    }

    fn origin(&self, authority: Authority) -> Arc<Origin> {
        if let Some(origin) = self.origins.read().get(&authority) {
            return origin.clone();
        }
        self.origins.write().entry(authority).or_default().clone()
    }
}

impl Origin {
    /// The first pool with few enough open requests; a new one when all are full.
    fn slot(&self, connector: &Connector) -> Arc<Slot> {
        if let Some(slot) = self.slots.read().iter().find(|slot| slot.try_open()) {
            return slot.clone();
        }
        let mut slots = self.slots.write();
        if let Some(slot) = slots.iter().find(|slot| slot.try_open()) {
            return slot.clone();
        }
        let slot = Arc::new(Slot {
            client: build_client(connector),
            open: AtomicUsize::new(1),
        });
        slots.push(slot.clone());
        slot
    }
}

impl Slot {
    fn try_open(&self) -> bool {
        let before = self.open.fetch_add(1, Ordering::Relaxed);
        let fits = before < limits::STREAMS_PER_UPSTREAM_CONNECTION;
        if !fits {
            self.open.fetch_sub(1, Ordering::Relaxed);
        }
        fits
    }
}

fn build_client(connector: &Connector) -> HyperClient {
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .timer(TokioTimer::new())
        .pool_idle_timeout(limits::UPSTREAM_IDLE)
        .http2_adaptive_window(true)
        .build(connector.clone())
}

/// An error with its causes, as one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
