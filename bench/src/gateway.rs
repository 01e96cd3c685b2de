//! The real gateway binary as a child process, on a free port, from a directory of its own.
//!
//! A gateway that outlived the benchmark would go on to hold its port and CPU: so it ends with its parent
//! ([`launcher`]).

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Stdio};

use anyhow::{Context as _, ensure};
use rustix::process::{Resource, getrlimit, setrlimit};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::launcher;

/// What the line on standard output begins with that names the address.
const ANNOUNCEMENT: &str = "keypool listening on ";

/// Open files for this process and each gateway: under overload thousands of clients wait.
const OPEN_FILES: u64 = 20_000;

/// A gateway that serves until this is dropped.
#[derive(Debug)]
pub struct Gateway {
    /// `http://host:port`.
    pub url: String,
    child: Child,
    /// Kept open: a write to a closed pipe would be an error.
    _stdout: Option<BufReader<ChildStdout>>,
    directory: TempDir,
}

impl Gateway {
    /// Starts `binary` with this pool of one provider, as `ApiKeyPool.providers` takes it, and waits until
    /// it serves.
    pub fn start(binary: &Path, provider: &str, pool: &Value) -> anyhow::Result<Self> {
        let pool = json!({ "enabled": true, "providers": { provider: pool } });
        Self::start_with(binary, &pool)
    }

    /// Starts `binary` with this `ApiKeyPool` and waits until it serves.
    pub fn start_with(binary: &Path, pool: &Value) -> anyhow::Result<Self> {
        ensure!(
            binary.is_file(),
            "{} does not exist: build it with `cargo build --release -p keypool`, or name it with --keypool",
            binary.display()
        );
        let directory = tempfile::Builder::new()
            .prefix("keypool-bench-")
            .tempdir()?;
        let file = directory.path().join("config.json");
        let config = json!({ "HOST": "127.0.0.1", "PORT": 0, "ApiKeyPool": pool });
        fs::write(&file, serde_json::to_vec_pretty(&config)?)?;
        let mut child = launcher(binary, &[])?
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

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
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

/// The keypool binary to measure: the one that was named, or the one beside this program. Absolute, since it runs
/// in a directory of its own.
pub fn binary(named: Option<&Path>) -> anyhow::Result<PathBuf> {
    let binary = match named {
        Some(named) => named.to_owned(),
        None => std::env::current_exe()?.with_file_name("keypool"),
    };
    Ok(std::path::absolute(binary)?)
}

/// A pool's `keys`, of which nothing is said but the secrets.
#[must_use]
pub fn keys(secrets: &[String]) -> Value {
    secrets
        .iter()
        .map(|secret| json!({ "key": secret }))
        .collect()
}

/// Allows this process and its children as many open files as an overload needs.
pub fn raise_file_limit() -> anyhow::Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.unwrap_or(OPEN_FILES).min(OPEN_FILES);
    if limit.current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    limit.current = Some(wanted);
    setrlimit(Resource::Nofile, limit).with_context(|| format!("allowing {wanted} open files"))
}
