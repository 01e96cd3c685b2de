//! Resident memory when idle, and what each open stream adds to it.

use std::time::Duration;

use anyhow::Context as _;

use super::Extent;
use crate::load::Generator;
use crate::payload::{Request, StreamPlan};
use crate::process::{raise_file_limit, resident_bytes};
use crate::report::{Budget, Rounds, Row, Section};
use crate::stats::number;
use crate::target::{Bench, Workers};

/// A trickle that does not end while it is looked at.
const PLAN: StreamPlan = StreamPlan {
    events: 100_000,
    together: 1,
    gap: Duration::from_millis(500),
};
/// Events on every stream before memory is read: past the head and the events that open an answer.
const EVENTS_BEFORE: u64 = 6;
/// How long the streams may take to come that far.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between the first answer and the reading of idle memory.
const SETTLE: Duration = Duration::from_millis(500);
/// Open files besides the streams: listeners, pipes, logs, pooled connections.
const OTHER_FILES: u64 = 256;

const KIB: f64 = 1024.0;
const MIB: f64 = 1024.0 * 1024.0;

/// Each proxy is started afresh, read, loaded with streams, and read again.
pub(super) fn measure(bench: &Bench, extent: &Extent) -> anyhow::Result<Section> {
    let streams = extent.held_streams;
    // A proxy has two connections for each stream.
    raise_file_limit(2 * streams as u64 + OTHER_FILES)?;
    let mut idle = Rounds::default();
    let mut loaded = Rounds::default();
    let mut per_stream = Rounds::default();
    for kind in bench.proxies() {
        let target = bench.start(kind, &Workers::PerCpu)?;
        std::thread::sleep(SETTLE);
        let before = number(resident_bytes(&target.processes)?);
        let request = Request::stream(target.address, PLAN);
        let mut generator = Generator::connect(target.address, streams, request)?;
        generator
            .open_streams(EVENTS_BEFORE, PATIENCE)
            .with_context(|| format!("holding {streams} streams through {kind:?}"))?;
        let after = number(resident_bytes(&target.processes)?);
        idle.push(kind, before / MIB);
        loaded.push(kind, after / MIB);
        per_stream.push(kind, (after - before) / KIB / number(streams as u64));
    }
    let rows = vec![
        Row::new(
            "idle, after one answer",
            "MiB",
            idle,
            Some(Budget::AtMost(20.0)),
        ),
        Row::new("with the streams open", "MiB", loaded, None),
        Row::new(
            "per open stream",
            "KiB",
            per_stream,
            Some(Budget::AtMost(24.0)),
        ),
    ];
    Ok(Section {
        title: format!("Resident memory, summed over a proxy's processes; {streams} open streams"),
        rows,
        remarks: Vec::new(),
        failures: 0,
    })
}
