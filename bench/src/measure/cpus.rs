//! One CPU for a proxy alone, so that nothing but the proxy sets its rate.

use crate::process::{ManagedChild, confine, launcher};
use crate::target::Bench;

/// The proxy's CPU, kept free of upstream and generator as long as this lives.
pub(super) struct Cpus<'a> {
    bench: &'a Bench,
    /// The proxy's CPU.
    pub(super) proxy: usize,
}

impl<'a> Cpus<'a> {
    /// The last CPU for the proxy; on a machine with a single one all share it.
    pub(super) fn divide(bench: &'a Bench) -> anyhow::Result<Self> {
        let proxy = bench.cpus.last().copied().unwrap_or_default();
        let others: Vec<usize> = bench
            .cpus
            .iter()
            .copied()
            .filter(|cpu| *cpu != proxy)
            .collect();
        let divided = Self { bench, proxy };
        if !others.is_empty() {
            confine(Some(bench.upstream_id), &others)?;
            confine(None, &others)?;
        }
        Ok(divided)
    }

    /// Lets the other CPUs never rest, as long as what is returned lives: what they do not need, a process that yields
    /// to all others uses up.
    ///
    /// A virtual machine's CPU may be one of a core's two threads, and twice as fast while the other one rests. A load
    /// that leaves the generator time would make the proxy faster than one that does not.
    pub(super) fn keep_others_busy(&self) -> anyhow::Result<Vec<ManagedChild>> {
        let others = self.bench.cpus.iter().filter(|cpu| **cpu != self.proxy);
        others
            .map(|cpu| {
                let mut command = launcher("chrt", &[*cpu])?;
                command.args(["--idle", "0", "sh", "-c", "while :; do :; done"]);
                ManagedChild::spawn(&mut command)
            })
            .collect()
    }
}

impl Drop for Cpus<'_> {
    fn drop(&mut self) {
        // Widening to CPUs that were allowed before cannot be refused.
        let _upstream = confine(Some(self.bench.upstream_id), &self.bench.cpus);
        let _own = confine(None, &self.bench.cpus);
    }
}
