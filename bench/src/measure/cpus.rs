//! One CPU for a proxy alone, so that nothing but the proxy sets its rate.

use crate::process::confine;
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
}

impl Drop for Cpus<'_> {
    fn drop(&mut self) {
        // Widening to CPUs that were allowed before cannot be refused.
        let _upstream = confine(Some(self.bench.upstream_id), &self.bench.cpus);
        let _own = confine(None, &self.bench.cpus);
    }
}
