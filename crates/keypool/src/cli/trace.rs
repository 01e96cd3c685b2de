//! `keypool trace`: records the traffic of a running gateway, for `keypool plan` to replay.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::Failure;
use super::args::TraceArgs;
use super::output;
use super::remote::{Remote, escaped};

pub(super) fn trace(args: &TraceArgs) -> Result<(), Failure> {
    let remote = Remote::new(&args.remote)?;
    let path = match &args.provider {
        None => "/api/trace".to_owned(),
        Some(provider) => format!("/api/trace?provider={}", escaped(provider)),
    };
    let mut sink: Box<dyn Write> = match &args.output {
        None => Box::new(io::stdout().lock()),
        Some(file) => {
            let created = File::create(file);
            let created = created.with_context(|| format!("cannot write {}", file.display()))?;
            Box::new(BufWriter::new(created))
        }
    };
    let end = args
        .seconds
        .map(|seconds| Instant::now() + Duration::from_secs(seconds));
    if args.output.is_some() {
        let until = match args.seconds {
            Some(seconds) => format!("for {seconds} s"),
            None => "until it is interrupted".to_owned(),
        };
        output::complain(&format!(
            "recording the traffic of {} {until}",
            remote.url()
        ));
    }
    let mut records = 0_u64;
    let mut rest = Vec::new();
    remote.follow(&path, end, |bytes| {
        rest.extend_from_slice(bytes);
        let Some(whole) = rest.iter().rposition(|&byte| byte == b'\n') else {
            return Ok(());
        };
        let lines: Vec<u8> = rest.drain(..=whole).collect();
        for line in lines
            .split(|&byte| byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            sink.write_all(line)?;
            sink.write_all(b"\n")?;
            records += 1;
        }
        sink.flush()
    })?;
    if args.output.is_some() {
        output::complain(&format!("{records} requests recorded"));
    }
    Ok(())
}
