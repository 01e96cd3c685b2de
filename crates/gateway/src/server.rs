//! Listening and serving: one thread and one runtime per core, each with upstream connections of
//! its own, so that a request never crosses cores.
//!
//! One task accepts and hands each connection to the worker with the fewest. (With a listener per
//! worker the kernel's hash may put all of a few long-lived connections on one core, and a second
//! process could bind the same port unnoticed.)

mod accept;
mod activity;
mod connection;
mod connections;
mod descriptors;
mod http2;
mod pressure;
mod served;
mod service;
mod stream;
mod worker;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::auth::open_address;
use crate::clock::{SystemTimeSource, TimeSource};
use crate::config::GatewayConfig;
use crate::core::{Core, ReloadError, ReloadSummary, Reloader};
use crate::driver::Housekeeping;
use crate::limits;
use crate::provider::ProviderError;
use crate::state::{StateError, StateStore};
use crate::telemetry::GatewayMeasurements;
use crate::upstream::{NetworkError, UpstreamClient};
use accept::Acceptor;
use connections::Connections;
use service::{Routes, Service};
use worker::{Worker, distribute, runtime};

/// Why the gateway cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be bound.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// Everybody could use the keys.
    #[error(
        "refusing to listen on {0}, which is not loopback, without APIKEY (for the admin API alone: \
         Admin.token): everybody who reaches it could use the keys"
    )]
    Open(SocketAddr),
    /// A provider cannot be set up.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// TLS roots or proxy are wrong.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The stored changes cannot be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// No thread or no runtime could be made.
    #[error("cannot start a worker: {0}")]
    Worker(io::Error),
}

/// The way in: starts gateways.
#[derive(Debug)]
pub struct Gateway;

/// A gateway that is serving.
#[derive(Debug)]
pub struct RunningGateway {
    core: Arc<Core>,
    traffic: SocketAddr,
    admin: Option<SocketAddr>,
    stop: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
    connections: [Arc<Connections>; 2],
}

/// How a stop went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrainReport {
    /// Connections that were still open when the time was up, and were cut.
    pub cut: usize,
    /// How long draining took.
    pub took: Duration,
}

impl Gateway {
    /// Starts serving on threads of its own, by the system's clock. Returns once the addresses are
    /// bound.
    pub fn start(config: GatewayConfig) -> Result<RunningGateway, StartError> {
        Self::start_with_time(config, Arc::new(SystemTimeSource::new()))
    }

    /// Starts serving by another clock.
    pub fn start_with_time(
        config: GatewayConfig,
        time: Arc<dyn TimeSource>,
    ) -> Result<RunningGateway, StartError> {
        if let Some(address) = open_address(&config) {
            return Err(StartError::Open(address));
        }
        let traffic = bind(config.listen)?;
        let admin = config.admin.listen.map(bind).transpose()?;
        let measurements = GatewayMeasurements::default();
        let client = || {
            let opened = measurements.connections_opened.clone();
            UpstreamClient::new(&config.network, &config.timeouts, opened).map(Arc::new)
        };
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        let clients = (0..workers)
            .map(|_| client())
            .collect::<Result<Vec<_>, _>>()?;
        let prober = client()?;

        let (stop, stopped) = watch::channel(false);
        let bound = descriptors::connections(config.bounds.connections, descriptors::raise_limit());
        let connections = [bound, limits::ADMIN_CONNECTIONS]
            .map(|bound| Connections::new(bound, measurements.defence.clone()));
        let mut threads = Vec::new();
        let keeper = runtime()?;
        let housekeeping = Housekeeping::new(
            keeper.handle().clone(),
            prober.clone(),
            measurements.events(),
        );
        let state = StateStore::open(config.state_file.clone())?;
        let core = Arc::new(Core::new(config, time, state, housekeeping, measurements)?);

        let traffic_routes = if admin.is_some() {
            Routes::Traffic
        } else {
            Routes::TrafficAndAdmin
        };
        let mut handles = Vec::new();
        for (index, client) in clients.into_iter().enumerate() {
            let service = Service::new(core.clone(), client, traffic_routes);
            let worker = Worker::new(service, stopped.clone());
            let (handle, thread) = worker.spawn(&format!("keypool-{index}"))?;
            handles.push(handle);
            threads.push(thread);
        }
        let traffic_at = local_addr(&traffic)?;
        let admin_at = admin.as_ref().map(local_addr).transpose()?;
        let admin_service = Service::new(core.clone(), prober, Routes::Admin);
        let admin_worker = Worker::new(admin_service, stopped.clone());
        let (clients, operators) = {
            let _within = keeper.enter();
            let [clients, operators] = &connections;
            let acceptor = |listener, connections: &Arc<Connections>| {
                Acceptor::new(listener, connections.clone(), stopped.clone())
                    .map_err(StartError::Worker)
            };
            let operators = admin.map(|listener| acceptor(listener, operators));
            (acceptor(traffic, clients)?, operators.transpose()?)
        };
        let thread = std::thread::Builder::new().name("keypool-main".to_owned());
        let keeper_thread = thread.spawn(move || {
            keeper.block_on(async move {
                if let Some(operators) = operators {
                    tokio::spawn(admin_worker.accept(operators));
                }
                distribute(clients, handles).await;
            });
        });
        threads.push(keeper_thread.map_err(StartError::Worker)?);
        Ok(RunningGateway {
            core,
            traffic: traffic_at,
            admin: admin_at,
            stop,
            threads,
            connections,
        })
    }
}

impl RunningGateway {
    /// Where client traffic is served; the real port when the configured one was 0.
    #[must_use]
    pub fn traffic_addr(&self) -> SocketAddr {
        self.traffic
    }

    /// Where the admin API is served, when it has an address of its own.
    #[must_use]
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// Takes another configuration over without dropping a request. Addresses stay.
    pub fn reload(&self, config: GatewayConfig) -> Result<ReloadSummary, ReloadError> {
        self.core.reload(config)
    }

    /// Says how `POST /api/config/reload` finds the configuration.
    pub fn set_reloader(&self, reloader: Reloader) {
        self.core.set_reloader(reloader);
    }

    /// Stops: no new connections, requests in flight finish within the configured time. Blocks.
    #[must_use]
    pub fn shutdown(self) -> DrainReport {
        /// Often enough that a stop feels prompt.
        const LOOK_EVERY: Duration = Duration::from_millis(10);
        let began = Instant::now();
        let bound = self.core.live().config.timeouts.drain;
        self.core.begin_draining();
        self.stop.send_replace(true);
        let open = || -> usize {
            self.connections
                .iter()
                .map(|listener| listener.count())
                .sum()
        };
        while open() > 0 && began.elapsed() < bound {
            if began.elapsed() >= bound / 2 {
                // What waits for room still is told so, rather than cut; what got room has the rest of
                // the time to be answered.
                self.core.dismiss_waiting();
            }
            std::thread::sleep(LOOK_EVERY);
        }
        let cut = open();
        if cut == 0 {
            for thread in self.threads {
                // A worker that panicked has nothing left to wait for.
                let _ = thread.join();
            }
        }
        DrainReport {
            cut,
            took: began.elapsed(),
        }
    }
}

fn bind(address: SocketAddr) -> Result<std::net::TcpListener, StartError> {
    let failed = |source| StartError::Listen { address, source };
    let listener = std::net::TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}

fn local_addr(listener: &std::net::TcpListener) -> Result<SocketAddr, StartError> {
    listener.local_addr().map_err(StartError::Worker)
}
