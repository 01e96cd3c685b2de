//! What is measured: the upstream itself, and proxies in front of it, each started from scratch with a
//! configuration made for the run.

mod keypool;
mod nginx;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde::Serialize;
use tempfile::TempDir;

use crate::load::Generator;
use crate::payload::Request;
use crate::process::{ManagedChild, family};

/// How long a proxy may take to answer its first request.
const START_PATIENCE: Duration = Duration::from_secs(10);

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// The upstream, with nothing in between.
    Direct,
    /// nginx as plain keep-alive reverse proxy.
    Nginx,
    /// keypool with three keys, limits and usage parsing on.
    Keypool,
}

/// How many workers a proxy runs, and where.
#[derive(Debug, Clone)]
pub(crate) enum Workers {
    /// One per usable CPU.
    PerCpu,
    /// One, confined to this CPU.
    OneOn(usize),
}

/// The programs under measurement and the upstream they stand before.
#[derive(Debug)]
pub(crate) struct Bench {
    /// The nginx binary.
    pub(crate) nginx: PathBuf,
    /// The keypool binary.
    pub(crate) keypool: PathBuf,
    /// Address of the upstream.
    pub(crate) upstream: SocketAddr,
    /// Process id of the upstream.
    pub(crate) upstream_id: u32,
    /// CPUs this run may use.
    pub(crate) cpus: Vec<usize>,
    /// Which targets are measured, in the order of the report.
    pub(crate) kinds: Vec<Kind>,
}

/// A target that answers.
#[derive(Debug)]
pub(crate) struct Running {
    /// Who it is.
    pub(crate) kind: Kind,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Its processes; empty for the upstream, whose work is not the subject.
    pub(crate) processes: Vec<u32>,
    /// From the start of its process to its first right answer.
    pub(crate) start_time: Duration,
    _child: Option<ManagedChild>,
    _directory: Option<TempDir>,
}

impl Bench {
    /// Starts one target and has it answer a first request.
    pub(crate) fn start(&self, kind: Kind, workers: &Workers) -> anyhow::Result<Running> {
        match kind {
            Kind::Direct => Ok(Running {
                kind,
                address: self.upstream,
                processes: Vec::new(),
                start_time: Duration::ZERO,
                _child: None,
                _directory: None,
            }),
            Kind::Nginx => nginx::start(self, workers).context("starting nginx"),
            Kind::Keypool => keypool::start(self, workers).context("starting keypool"),
        }
    }

    /// Starts every target that is measured.
    pub(crate) fn start_all(&self, workers: &Workers) -> anyhow::Result<Vec<Running>> {
        self.kinds
            .iter()
            .map(|kind| self.start(*kind, workers))
            .collect()
    }

    /// What is measured besides the upstream itself.
    pub(crate) fn proxies(&self) -> impl Iterator<Item = Kind> {
        self.kinds
            .iter()
            .copied()
            .filter(|kind| *kind != Kind::Direct)
    }

    fn worker_count(&self, workers: &Workers) -> usize {
        match workers {
            Workers::PerCpu => self.cpus.len(),
            Workers::OneOn(_) => 1,
        }
    }
}

impl Workers {
    /// The CPUs to confine a proxy to; none leaves it all of them.
    fn cpus(&self) -> &[usize] {
        match self {
            Self::PerCpu => &[],
            Self::OneOn(cpu) => std::slice::from_ref(cpu),
        }
    }
}

/// Name of the file, in a target's own directory, that it logs to.
const LOG: &str = "log";

/// A proxy whose process runs but has not answered yet.
#[derive(Debug)]
struct Starting {
    kind: Kind,
    child: ManagedChild,
    directory: TempDir,
    spawned: Instant,
}

impl Starting {
    /// Waits until `address` gives the plain answer.
    fn until_answering(mut self, address: SocketAddr) -> anyhow::Result<Running> {
        self.first_answer(address).with_context(|| self.log())?;
        let start_time = self.spawned.elapsed();
        Ok(Running {
            kind: self.kind,
            address,
            processes: family(self.child.id()),
            start_time,
            _child: Some(self.child),
            _directory: Some(self.directory),
        })
    }

    fn first_answer(&mut self, address: SocketAddr) -> anyhow::Result<()> {
        let deadline = self.spawned + START_PATIENCE;
        loop {
            match Generator::connect(address, 1, Request::plain(address)) {
                Ok(mut generator) => return generator.once(START_PATIENCE),
                Err(error) if Instant::now() > deadline || self.child.has_ended()? => {
                    return Err(error);
                }
                Err(_) => std::thread::sleep(Duration::from_micros(200)),
            }
        }
    }

    /// What it has logged so far, for the report of a failure.
    fn log(&self) -> String {
        let log = std::fs::read_to_string(self.directory.path().join(LOG)).unwrap_or_default();
        format!("its log says: {}", log.trim())
    }
}
