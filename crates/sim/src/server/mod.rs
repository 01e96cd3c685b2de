//! HTTP around the model: sockets, bytes and waiting, and nothing else.

mod answer;
mod body;
mod carrier;
mod compress;
mod control;
mod handle;
mod head;
mod log;
mod service;
mod shared;
mod socket;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

pub use crate::model::UnknownName;
pub use handle::Sim;
pub use log::ReceivedRequest;

use crate::SimConfig;
use shared::Shared;
use socket::{ConnectionControl, SimSocket};

/// A simulator that listens on a socket, on the runtime in which it was started.
///
/// Dropping it closes the listener and every connection, as [`SimServer::stop`] does.
#[derive(Debug)]
pub struct SimServer {
    address: SocketAddr,
    sim: Sim,
    acceptor: JoinHandle<()>,
}

impl SimServer {
    /// Listens on `address`; port 0 picks a free one. A configuration which makes no sense gives
    /// [`io::ErrorKind::InvalidInput`].
    pub async fn start(address: SocketAddr, config: SimConfig) -> io::Result<Self> {
        let shared = Shared::new(&config)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let sim = Sim::new(Arc::new(shared));
        let acceptor = tokio::spawn(accept(listener, sim.clone(), config.max_http2_streams));
        Ok(Self {
            address,
            sim,
            acceptor,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// `http://host:port`, as the Anthropic SDK takes it; the OpenAI SDK wants `/v1` after it.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The handle that scripts faults and answers questions; it can be cloned.
    #[must_use]
    pub fn sim(&self) -> &Sim {
        &self.sim
    }

    /// Closes the listener and every connection, whatever is still in flight.
    pub async fn stop(mut self) {
        self.acceptor.abort();
        // A cancelled task is what was asked for.
        let _ = (&mut self.acceptor).await;
    }
}

impl Drop for SimServer {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

/// Accepts until it is cancelled; its connections end with it.
async fn accept(listener: TcpListener, sim: Sim, max_http2_streams: u32) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // What fails here is the one connection, or a shortage that passes.
                let Ok((stream, _)) = accepted else {
                    tokio::task::yield_now().await;
                    continue;
                };
                let _ = stream.set_nodelay(true);
                let control = Arc::new(ConnectionControl::default());
                let socket = SimSocket::new(stream, Arc::clone(&control));
                connections.spawn(serve(socket, control, sim.clone(), max_http2_streams));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Serves one connection until it ends or a fault ends it.
async fn serve(
    socket: SimSocket,
    control: Arc<ConnectionControl>,
    sim: Sim,
    max_http2_streams: u32,
) {
    let _open = sim.shared().connection_opened();
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http2().max_concurrent_streams(max_http2_streams);
    let service = service_fn(|request| {
        service::respond(Arc::clone(sim.shared()), Arc::clone(&control), request)
    });
    let connection = builder.serve_connection(TokioIo::new(socket), service);
    tokio::select! {
        () = control.end_asked() => {}
        // A connection that ends in an error was closed by the client: counted where it was noticed.
        _ = connection => {}
    }
}
