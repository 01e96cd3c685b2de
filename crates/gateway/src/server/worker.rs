//! One core's share of the work: a thread, a runtime, and the connections that it was handed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::StartError;
use super::accept::Acceptor;
use super::connection::serve_connection;
use super::connections::Place;
use super::service::Service;
use crate::limits;

/// A worker that is not running yet.
pub(super) struct Worker {
    service: Service,
    stopped: watch::Receiver<bool>,
}

/// How connections are handed to a worker.
pub(super) struct WorkerHandle {
    connections: mpsc::UnboundedSender<(std::net::TcpStream, Place)>,
    open: Arc<AtomicUsize>,
}

impl Worker {
    pub(super) fn new(service: Service, stopped: watch::Receiver<bool>) -> Self {
        Self { service, stopped }
    }

    /// Starts its thread.
    pub(super) fn spawn(self, name: &str) -> Result<(WorkerHandle, JoinHandle<()>), StartError> {
        let runtime = runtime()?;
        let (connections, incoming) = mpsc::unbounded_channel();
        let open = Arc::new(AtomicUsize::new(0));
        let handle = WorkerHandle {
            connections,
            open: open.clone(),
        };
        let thread = std::thread::Builder::new().name(name.to_owned());
        let thread = thread
            .spawn(move || runtime.block_on(self.run(incoming, open)))
            .map_err(StartError::Worker)?;
        Ok((handle, thread))
    }

    /// Serves the connections that it is handed, until there will be no more and all are done.
    async fn run(
        self,
        mut incoming: mpsc::UnboundedReceiver<(std::net::TcpStream, Place)>,
        open: Arc<AtomicUsize>,
    ) {
        let watching = tokio::spawn(self.service.watch_pressure());
        let mut connections = JoinSet::new();
        while let Some((socket, place)) = incoming.recv().await {
            while connections.try_join_next().is_some() {}
            if let Ok(socket) = TcpStream::from_std(socket) {
                let counted = Counted::new(&open);
                let (service, stopped) = (self.service.clone(), self.stopped.clone());
                connections.spawn(async move {
                    let _counted = counted;
                    serve_connection(socket, &place.activity, service, stopped).await;
                });
            }
        }
        while connections.join_next().await.is_some() {}
        watching.abort();
    }

    /// Accepts and serves in one place, for a listener with little traffic.
    pub(super) async fn accept(self, mut acceptor: Acceptor) {
        while let Some((socket, place)) = acceptor.next().await {
            let (service, stopped) = (self.service.clone(), self.stopped.clone());
            tokio::spawn(async move {
                serve_connection(socket, &place.activity, service, stopped).await;
            });
        }
    }
}

/// Hands each new connection to the worker with the fewest open ones.
pub(super) async fn distribute(mut acceptor: Acceptor, workers: Vec<WorkerHandle>) {
    let mut turn = 0_usize;
    while let Some((socket, place)) = acceptor.next().await {
        turn = turn.wrapping_add(1);
        let count = workers.len();
        let fewest = (0..count)
            .map(|offset| turn.wrapping_add(offset) % count)
            .min_by_key(|index| workers.get(*index).map(WorkerHandle::open));
        if let Some(worker) = fewest.and_then(|index| workers.get(index))
            && let Ok(socket) = socket.into_std()
        {
            // A worker ends only after this task has dropped its handle.
            let _ = worker.connections.send((socket, place));
        }
    }
}

impl WorkerHandle {
    fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}

/// Counts a connection as open for as long as it lives.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A runtime for one thread.
pub(super) fn runtime() -> Result<Runtime, StartError> {
    Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(limits::LOOKUPS)
        .build()
        .map_err(StartError::Worker)
}
