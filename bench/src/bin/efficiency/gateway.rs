//! The real gateway binary as a child process, on a free port, from a directory of its own.
//!
//! A gateway that outlived the benchmark would go on to hold its port and CPU: so the child asks the
//! kernel to end it with its parent, also when that is killed. That is possible only between fork and
//! exec; hence this program starts itself, which then becomes the gateway ([`launch`]).

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context as _, ensure};
use rustix::process::{Resource, Signal, getrlimit, setrlimit};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The hidden subcommand that becomes the gateway.
pub(crate) const LAUNCH: &str = "launch";

/// What the line on standard output begins with that names the address.
const ANNOUNCEMENT: &str = "keypool listening on ";

/// Open files for this process and each gateway: under overload thousands of clients wait.
const OPEN_FILES: u64 = 20_000;

/// A gateway that serves until this is dropped.
#[derive(Debug)]
pub(crate) struct Gateway {
    /// `http://host:port`.
    pub(crate) url: String,
    child: Child,
    /// Kept open: a write to a closed pipe would be an error.
    _stdout: Option<BufReader<ChildStdout>>,
    directory: TempDir,
}

impl Gateway {
    /// Starts `binary` with this pool and waits until it serves.
    pub(crate) fn start(binary: &Path, provider: &str, pool: &Value) -> anyhow::Result<Self> {
        ensure!(
            binary.is_file(),
            "{} does not exist: build it with `cargo build --release -p keypool`, or name it with --keypool",
            binary.display()
        );
        let directory = tempfile::Builder::new()
            .prefix("keypool-efficiency-")
            .tempdir()?;
        let file = directory.path().join("config.json");
        let config = json!({
            "HOST": "127.0.0.1",
            "PORT": 0,
            "ApiKeyPool": { "enabled": true, "providers": { provider: pool } },
        });
        fs::write(&file, serde_json::to_vec_pretty(&config)?)?;
        let mut child = Command::new(std::env::current_exe()?)
            .arg(LAUNCH)
            .arg("--")
            .arg(binary)
            .args(["serve", "--config"])
            .arg(&file)
            .current_dir(directory.path())
            .env("HOME", directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(directory.path().join("log"))?)
            .spawn()
            .context("starting the gateway")?;
        let mut line = String::new();
        let mut stdout = child.stdout.take().map(BufReader::new);
        if let Some(stdout) = &mut stdout {
            stdout.read_line(&mut line)?;
        }
        let mut gateway = Self {
            url: String::new(),
            child,
            _stdout: stdout,
            directory,
        };
        let announced = line.trim().strip_prefix(ANNOUNCEMENT);
        let url = announced.with_context(|| {
            let log = gateway.log();
            format!("expected `{ANNOUNCEMENT}…`, got `{line}`; its log: {log}")
        })?;
        url.trim_end_matches('/').clone_into(&mut gateway.url);
        Ok(gateway)
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // At once: what it would still drain is what waits for room. A failure means that it is gone.
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Becomes `program`, which dies with the process that started it.
pub(crate) fn launch(program: &[OsString]) -> anyhow::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::TERM))?;
    let (name, arguments) = program.split_first().context("nothing to launch")?;
    let error = Command::new(name).args(arguments).exec();
    Err(error).with_context(|| format!("executing {}", name.display()))
}

/// Allows this process and its children as many open files as an overload needs.
pub(crate) fn raise_file_limit() -> anyhow::Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.unwrap_or(OPEN_FILES).min(OPEN_FILES);
    if limit.current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    limit.current = Some(wanted);
    setrlimit(Resource::Nofile, limit).with_context(|| format!("allowing {wanted} open files"))
}
