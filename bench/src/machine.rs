//! The machine that the numbers belong to, and who else used it meanwhile.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde::Serialize;

use crate::process::cpu_ticks;
use crate::target::Bench;

/// What a reader needs to compare these numbers with his own.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    /// CPUs that this run may use.
    pub(crate) cores: usize,
    /// The CPU's name for itself.
    pub(crate) cpu: String,
    /// Kernel release.
    pub(crate) kernel: String,
    /// Memory in MiB.
    pub(crate) memory_mib: u64,
    /// Version of nginx.
    pub(crate) nginx: String,
    /// Version of keypool.
    pub(crate) keypool: String,
}

impl Machine {
    /// Asks the kernel and the programs.
    pub(crate) fn describe(bench: &Bench) -> Self {
        let memory_kib = value_of("/proc/meminfo", "MemTotal")
            .and_then(|value| value.split(' ').next()?.parse::<u64>().ok());
        Self {
            cores: bench.cpus.len(),
            cpu: value_of("/proc/cpuinfo", "model name").unwrap_or_else(unknown),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")
                .map_or_else(|_| unknown(), |text| text.trim().to_owned()),
            memory_mib: memory_kib.unwrap_or_default() / 1024,
            nginx: version_of(&bench.nginx, "-v"),
            keypool: version_of(&bench.keypool, "--version"),
        }
    }
}

fn unknown() -> String {
    "unknown".to_owned()
}

/// The value of the first line `NAME : VALUE` of a file.
fn value_of(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// nginx tells its version on standard error, others on standard output.
fn version_of(program: &Path, flag: &str) -> String {
    let Ok(output) = Command::new(program).arg(flag).output() else {
        return "not found".to_owned();
    };
    let said = if output.stdout.is_empty() {
        output.stderr
    } else {
        output.stdout
    };
    String::from_utf8_lossy(&said)
        .lines()
        .next()
        .unwrap_or("unknown")
        .trim()
        .to_owned()
}

/// CPU time, in kernel ticks, of the whole machine and of the processes of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CpuUse {
    total: u64,
    idle: u64,
    own: u64,
}

impl CpuUse {
    /// So far; `own` lists the processes that belong to the run besides this one.
    pub(crate) fn now(own: &[u32]) -> Self {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        let own = cpu_ticks(own) + cpu_ticks(&[std::process::id()]);
        Self::parse(stat.lines().next().unwrap_or_default(), own)
    }

    /// The line `cpu user nice system idle iowait irq softirq steal …`.
    fn parse(line: &str, own: u64) -> Self {
        let fields: Vec<u64> = line
            .split_ascii_whitespace()
            .skip(1)
            .take(8)
            .flat_map(str::parse)
            .collect();
        let idle = fields.iter().skip(3).take(2).sum();
        Self {
            total: fields.iter().sum(),
            idle,
            own,
        }
    }

    /// Share (0–1) of the machine's CPU time since `earlier` that went to anyone else, the hypervisor's
    /// other guests included.
    pub(crate) fn foreign_share_since(self, earlier: Self) -> f64 {
        let total = self.total.saturating_sub(earlier.total).max(1);
        let idle = self.idle.saturating_sub(earlier.idle);
        let own = self.own.saturating_sub(earlier.own);
        crate::stats::number(total.saturating_sub(idle + own)) / crate::stats::number(total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_neither_idle_nor_our_own_is_foreign() {
        let before = CpuUse::parse("cpu  100 0 50 800 50 0 0 0 0 0", 100);
        let after = CpuUse::parse("cpu  150 0 80 890 60 0 0 20 0 0", 150);
        // 200 ticks passed: 100 idle, 50 ours, so 50 went to others.
        assert!((after.foreign_share_since(before) - 0.25).abs() < 1e-9);
    }
}
