//! Child processes that cannot outlive the benchmark, and what the kernel knows of them.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Resource, Signal, getrlimit, kill_process, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::stats::number;

/// How long a child may take to end after it was asked to.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// The hidden subcommand that becomes another program, see [`launch`].
pub const LAUNCH: &str = "launch";

/// A running child, ended when this is dropped.
#[derive(Debug)]
pub struct ManagedChild {
    child: Child,
    stdout: Option<BufReader<ChildStdout>>,
    /// Kept open: the upstream ends when it closes.
    _stdin: Option<ChildStdin>,
}

impl ManagedChild {
    /// Starts a command made with [`launcher`].
    pub fn spawn(command: &mut Command) -> anyhow::Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("running {command:?}"))?;
        let stdout = child.stdout.take().map(BufReader::new);
        let stdin = child.stdin.take();
        Ok(Self {
            child,
            stdout,
            _stdin: stdin,
        })
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line of its standard output without the line's end.
    pub fn read_line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        if let Some(stdout) = &mut self.stdout {
            stdout.read_line(&mut line)?;
        }
        if line.is_empty() {
            bail!("the process said nothing and closed its standard output");
        }
        Ok(line.trim_end().to_owned())
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> anyhow::Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }
}

impl Drop for ManagedChild {
    fn drop(&mut self) {
        let Some(pid) = pid(self.child.id()) else {
            return;
        };
        // A failure here means that the child is gone already.
        let _gone = kill_process(pid, Signal::TERM);
        let deadline = Instant::now() + STOP_PATIENCE;
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// A command that runs `program`, given to it as first arguments, so that it ends when this process
/// does; with `cpus` it may use only those. It costs the child one more `exec`, about a millisecond.
pub fn launcher(program: impl AsRef<OsStr>, cpus: &[usize]) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(LAUNCH);
    for cpu in cpus {
        command.arg("--cpu").arg(cpu.to_string());
    }
    command.arg("--").arg(program);
    Ok(command)
}

/// Becomes `program`, on `cpus` if there are any, and dies with the process that started it. Needed
/// between fork and exec, where only unsafe code could do it in the parent.
pub fn launch(cpus: &[usize], program: &[OsString]) -> anyhow::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::TERM))?;
    if !cpus.is_empty() {
        confine(None, cpus)?;
    }
    let (name, arguments) = program.split_first().context("nothing to launch")?;
    let error = Command::new(name).args(arguments).exec();
    Err(error).with_context(|| format!("executing {}", name.display()))
}

/// The CPUs this process may use, in ascending order.
pub fn usable_cpus() -> anyhow::Result<Vec<usize>> {
    let set = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU)
        .filter(|cpu| set.is_set(*cpu))
        .collect())
}

/// Lets a process, or this one if `None`, and what it starts from then on use only `cpus`.
pub fn confine(process: Option<u32>, cpus: &[usize]) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    for cpu in cpus {
        set.set(*cpu);
    }
    let process = match process {
        Some(id) => Some(pid(id).context("no such process")?),
        None => None,
    };
    sched_setaffinity(process, &set).with_context(|| format!("using only the CPUs {cpus:?}"))
}

fn pid(id: u32) -> Option<Pid> {
    i32::try_from(id).ok().and_then(Pid::from_raw)
}

/// Lets this process and its children have `wanted` open files, or says what to do.
pub fn raise_file_limit(wanted: u64) -> anyhow::Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    if let Some(maximum) = limit.maximum.filter(|maximum| *maximum < wanted) {
        bail!(
            "{wanted} open files are needed but only {maximum} are allowed; \
             raise the limit (`ulimit -Hn {wanted}` as root) or use fewer streams (`--streams`)"
        );
    }
    limit.current = Some(wanted);
    setrlimit(Resource::Nofile, limit).with_context(|| format!("allowing {wanted} open files"))
}

/// `root` and its children: a proxy with worker processes counts as one.
#[must_use]
pub fn family(root: u32) -> Vec<u32> {
    let children = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let id = entry.file_name().to_str()?.parse::<u32>().ok()?;
            (stat_field(id, 1)? == u64::from(root)).then_some(id)
        });
    std::iter::once(root).chain(children).collect()
}

/// CPU time, user and system, that `processes` have used so far, in steps of usually 10 ms.
#[must_use]
pub fn cpu_time(processes: &[u32]) -> Duration {
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    Duration::from_secs_f64(number(cpu_ticks(processes)) / number(per_second))
}

/// The same in the kernel's own ticks.
#[must_use]
pub fn cpu_ticks(processes: &[u32]) -> u64 {
    let ticks_of = |id: &u32| Some(stat_field(*id, 11)? + stat_field(*id, 12)?);
    processes.iter().filter_map(ticks_of).sum()
}

/// A field of `/proc/ID/stat`, counted from the one after the command's name (the state is 0).
fn stat_field(id: u32, number: usize) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    field_after_name(&stat, number)
}

/// A command's name may hold spaces and parentheses; the last `)` ends it.
fn field_after_name(stat: &str, number: usize) -> Option<u64> {
    stat.rsplit_once(") ")?
        .1
        .split(' ')
        .nth(number)?
        .parse()
        .ok()
}

/// Resident memory of `processes` in bytes, summed; pages they share count in each.
pub fn resident_bytes(processes: &[u32]) -> anyhow::Result<u64> {
    processes.iter().map(|id| resident_bytes_of(*id)).sum()
}

/// From `smaps_rollup`, which counts pages; `status` may lag by some pages per thread.
fn resident_bytes_of(id: u32) -> anyhow::Result<u64> {
    let directory = Path::new("/proc").join(id.to_string());
    let (file, field) = ("smaps_rollup", "Rss:");
    let text = fs::read_to_string(directory.join(file))
        .with_context(|| format!("reading the memory of process {id}"))?;
    let kibibytes = text
        .lines()
        .find_map(|line| line.strip_prefix(field))
        .and_then(|value| value.trim().strip_suffix("kB"))
        .and_then(|value| value.trim().parse::<u64>().ok())
        .with_context(|| format!("no {field} in {file} of process {id}"))?;
    Ok(kibibytes * 1024)
}

/// Files, sockets included, that a process has open.
pub fn open_files(id: u32) -> anyhow::Result<usize> {
    let entries = fs::read_dir(format!("/proc/{id}/fd"))
        .with_context(|| format!("counting the open files of process {id}"))?;
    Ok(entries.count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_name_with_spaces_and_parentheses_does_not_shift_the_fields() {
        let stat = "42 (a) b (c) S 7 42 42 0 -1 4194560 1 0 0 0 123 45 0 0 20 0";
        assert_eq!(field_after_name(stat, 1), Some(7));
        assert_eq!(field_after_name(stat, 11), Some(123));
        assert_eq!(field_after_name(stat, 12), Some(45));
    }

    #[test]
    fn this_process_has_memory_and_is_in_its_own_family() {
        let own = std::process::id();
        assert!(family(own).contains(&own));
        assert!(resident_bytes(&[own]).unwrap() > 100_000);
        assert!(open_files(own).unwrap() >= 3);
    }

    #[test]
    fn an_impossible_number_of_files_is_refused_with_advice() {
        if getrlimit(Resource::Nofile).maximum.is_some() {
            let message = raise_file_limit(u64::MAX).unwrap_err().to_string();
            assert!(message.contains("--streams"), "{message}");
        }
    }
}
