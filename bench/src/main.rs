//! `keypool-bench`: keypool beside nginx, in one run, on loopback.
//!
//! Absolute numbers of a proxy say more about the machine than about the proxy. So this program
//! measures nginx as plain keep-alive reverse proxy, keypool, and the bare upstream in turns of a few
//! seconds, and reports ratios, each beside its budget. What the numbers mean, and what they do not,
//! is in `bench/README.md`.

mod framing;
mod load;
mod machine;
mod measure;
mod payload;
mod poller;
mod report;
mod schedule;
mod target;
mod upstream;

use std::ffi::OsString;
use std::fs::File;
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use clap::{Parser, Subcommand, ValueEnum};
use keypool_bench::{process, stats};
use serde_json::json;

use crate::machine::Machine;
use crate::measure::{Extent, Part};
use crate::process::{ManagedChild, launcher, usable_cpus};
use crate::report::Section;
use crate::target::{Bench, Kind};

/// Measures keypool and nginx side by side on loopback and prints their ratios.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    role: Option<Role>,
    /// The keypool binary [default: the one beside this program]
    #[arg(long, value_name = "PATH")]
    keypool: Option<PathBuf>,
    /// The nginx binary
    #[arg(long, value_name = "PATH", default_value = "/usr/sbin/nginx")]
    nginx: PathBuf,
    /// Measure one proxy alone; ratios are left out
    #[arg(long, value_enum)]
    only: Option<Proxy>,
    /// Measure these parts only [default: all but overload]
    #[arg(long, value_enum, value_delimiter = ',')]
    parts: Vec<Part>,
    /// About one minute instead of about four
    #[arg(long)]
    quick: bool,
    /// Streams held open at once for the memory measurement
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    streams: u16,
    /// Write every round of every measurement to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Proxy {
    Nginx,
    Keypool,
}

/// What this program is when it starts itself as a process of its own.
#[derive(Debug, Subcommand)]
#[command(disable_help_subcommand = true)]
enum Role {
    /// Serves the canned answers.
    #[command(hide = true)]
    Upstream,
    /// Becomes another program that ends with its parent.
    #[command(hide = true, name = process::LAUNCH)]
    Launch {
        #[arg(long)]
        cpu: Vec<usize>,
        #[arg(last = true)]
        program: Vec<OsString>,
    },
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    match &arguments.role {
        Some(Role::Upstream) => upstream::run(),
        Some(Role::Launch { cpu, program }) => process::launch(cpu, program),
        None => compare(&arguments),
    }
}

fn compare(arguments: &Arguments) -> anyhow::Result<()> {
    let own_program = std::env::current_exe()?;
    let mut upstream = ManagedChild::spawn(launcher(&own_program, &[])?.arg("upstream"))?;
    let beside = own_program.with_file_name("keypool");
    let bench = Bench {
        nginx: arguments.nginx.clone(),
        keypool: arguments.keypool.clone().unwrap_or(beside),
        upstream: upstream
            .read_line()?
            .parse()
            .context("the upstream's address")?,
        upstream_id: upstream.id(),
        cpus: usable_cpus()?,
        kinds: match arguments.only {
            None => vec![Kind::Direct, Kind::Nginx, Kind::Keypool],
            Some(Proxy::Nginx) => vec![Kind::Direct, Kind::Nginx],
            Some(Proxy::Keypool) => vec![Kind::Direct, Kind::Keypool],
        },
    };
    let streams = usize::from(arguments.streams);
    let extent = if arguments.quick {
        Extent::quick(streams)
    } else {
        Extent::full(streams)
    };
    let parts = match arguments.parts.as_slice() {
        [] => &Part::USUAL,
        parts => parts,
    };
    let machine = Machine::describe(&bench);
    let sections = measure::run(&bench, &extent, parts)?;
    print(&machine, &sections);
    if let Some(path) = &arguments.json {
        let command: Vec<_> = std::env::args().collect();
        let whole = json!({
            "command": command, "machine": machine, "extent": extent, "sections": sections,
        });
        let file = File::create(path).with_context(|| format!("creating {}", path.display()))?;
        serde_json::to_writer_pretty(file, &whole)?;
    }
    let failures: u64 = sections.iter().map(|section| section.failures).sum();
    ensure!(
        failures == 0,
        "{failures} requests failed: these numbers mean little"
    );
    Ok(())
}

fn print(machine: &Machine, sections: &[Section]) {
    let command: Vec<_> = std::env::args().collect();
    println!("command  {}", command.join(" "));
    println!(
        "machine  {} CPUs, {}, {} MiB, Linux {}",
        machine.cores, machine.cpu, machine.memory_mib, machine.kernel
    );
    println!("programs {}; {}", machine.keypool, machine.nginx);
    println!(
        "Load generator, upstream and proxy share these CPUs: absolute numbers belong to this machine\n\
         and this arrangement, ratios of the same round are what to compare. Each cell is the median of\n\
         the rounds; the ratio is taken round by round (smallest–largest).\n"
    );
    println!("{}", report::table(sections));
}
