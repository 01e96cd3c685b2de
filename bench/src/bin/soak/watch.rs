//! The gateway's memory and open files while it works.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use keypool_bench::process::{open_files, resident_bytes};
use serde::Serialize;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Time between two samples.
const EVERY: Duration = Duration::from_secs(1);

/// The first sample that counts is taken after a tenth of the time, a minute at most: until then connections
/// are opened and buffers grow to their size.
const WARM_UP_MAX: Duration = Duration::from_mins(1);

/// By how much resident memory may grow: an eighth, for what an allocator keeps in pieces, and 8 MiB.
const GROWTH_SHARE: u64 = 8;
const GROWTH_BYTES: u64 = 8 * 1024 * 1024;

/// By how many open files may grow: the number in use goes up and down with the requests in flight.
const GROWTH_FILES: usize = 64;

const MIB: u64 = 1024 * 1024;

/// What was seen at one time.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Sample {
    seconds: u64,
    resident_bytes: u64,
    open_files: usize,
}

/// All that was seen, from the end of the warm-up on. Never empty.
#[derive(Debug, Serialize)]
pub(crate) struct Samples {
    first: Sample,
    last: Sample,
    all: Vec<Sample>,
}

/// Looks at a process until it is stopped.
#[derive(Debug)]
pub(crate) struct Watch {
    stop: oneshot::Sender<()>,
    task: JoinHandle<anyhow::Result<Samples>>,
}

impl Watch {
    /// Begins to look at a process which works for `duration`.
    pub(crate) fn start(process: u32, duration: Duration) -> Self {
        let (stop, stopped) = oneshot::channel();
        let warm_up = (duration / 10).min(WARM_UP_MAX);
        let task = tokio::spawn(watch(process, warm_up, stopped));
        Self { stop, task }
    }

    /// Takes the last sample.
    pub(crate) async fn stop(self) -> anyhow::Result<Samples> {
        // The task may have failed already; it says so itself.
        let _ = self.stop.send(());
        self.task.await?
    }
}

async fn watch(
    process: u32,
    warm_up: Duration,
    mut stopped: oneshot::Receiver<()>,
) -> anyhow::Result<Samples> {
    let start = Instant::now();
    let sample = || -> anyhow::Result<Sample> {
        Ok(Sample {
            seconds: start.elapsed().as_secs(),
            resident_bytes: resident_bytes(&[process])?,
            open_files: open_files(process)?,
        })
    };
    tokio::time::sleep(warm_up).await;
    let first = sample()?;
    let mut all = vec![first];
    loop {
        let stopped = tokio::time::timeout(EVERY, &mut stopped).await.is_ok();
        let last = sample()?;
        all.push(last);
        if stopped {
            return Ok(Samples { first, last, all });
        }
    }
}

impl Samples {
    /// What has grown.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let (first, last) = (self.first, self.last);
        let mut complaints = Vec::new();
        if last.resident_bytes > most_bytes(first.resident_bytes) {
            complaints.push(format!(
                "memory grew from {} to {} MiB; {} are allowed",
                first.resident_bytes / MIB,
                last.resident_bytes / MIB,
                most_bytes(first.resident_bytes) / MIB,
            ));
        }
        if last.open_files > first.open_files + GROWTH_FILES {
            complaints.push(format!(
                "open files grew from {} to {}; {GROWTH_FILES} more are allowed",
                first.open_files, last.open_files,
            ));
        }
        complaints
    }
}

const fn most_bytes(first: u64) -> u64 {
    first + first / GROWTH_SHARE + GROWTH_BYTES
}

impl Display for Samples {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (first, last) = (self.first, self.last);
        let peak = self.all.iter().map(|sample| sample.resident_bytes).max();
        let most = self.all.iter().map(|sample| sample.open_files).max();
        writeln!(
            f,
            "memory   first {} KiB after {} s, last {} KiB after {} s, most {} KiB",
            first.resident_bytes / 1024,
            first.seconds,
            last.resident_bytes / 1024,
            last.seconds,
            peak.unwrap_or_default() / 1024,
        )?;
        write!(
            f,
            "files    first {}, last {}, most {}",
            first.open_files,
            last.open_files,
            most.unwrap_or_default(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(first: (u64, usize), last: (u64, usize)) -> Samples {
        let sample = |(resident_bytes, open_files)| Sample {
            seconds: 0,
            resident_bytes,
            open_files,
        };
        Samples {
            first: sample(first),
            last: sample(last),
            all: Vec::new(),
        }
    }

    #[test]
    fn growth_within_the_bounds_is_none() {
        let flat = samples((80 * MIB, 100), (97 * MIB, 160));
        assert!(flat.complaints().is_empty(), "{:?}", flat.complaints());
        let grown = samples((80 * MIB, 100), (99 * MIB, 165));
        assert_eq!(grown.complaints().len(), 2, "{:?}", grown.complaints());
    }
}
