//! From the start of the process to its first answer, and how large the binary is.

use anyhow::Context as _;

use super::Extent;
use crate::report::{Budget, Rounds, Row, Section};
use crate::stats::number;
use crate::target::{Bench, Kind, Workers};

const MB: f64 = 1e6;

/// Starts the proxies in turns.
pub(super) fn measure(bench: &Bench, extent: &Extent) -> anyhow::Result<Section> {
    let mut times = Rounds::default();
    for _ in 0..extent.starts {
        for kind in bench.proxies() {
            let target = bench.start(kind, &Workers::PerCpu)?;
            times.push(kind, target.start_time.as_secs_f64() * 1e3);
        }
    }
    let mut sizes = Rounds::default();
    for kind in bench.proxies() {
        let program = if kind == Kind::Keypool {
            &bench.keypool
        } else {
            &bench.nginx
        };
        let size = std::fs::metadata(program)
            .with_context(|| format!("looking at {}", program.display()))?
            .len();
        sizes.push(kind, number(size) / MB);
    }
    Ok(Section {
        title: "Start and size".to_owned(),
        rows: vec![
            Row::new(
                "start to first answer",
                "ms",
                times,
                Some(Budget::AtMost(100.0)),
            ),
            Row::new("binary", "MB", sizes, Some(Budget::AtMost(30.0))),
        ],
        remarks: Vec::new(),
        failures: 0,
    })
}
