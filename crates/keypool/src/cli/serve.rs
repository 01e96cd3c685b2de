//! `keypool serve`: the gateway, from its first line of output to its last request.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use keypool_gateway::{Gateway, GatewayConfig, RunningGateway};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use super::args::ServeArgs;
use super::signals::{Signal, Signals};
use super::watch::Watch;
use super::{ENVIRONMENT, Failure, output};
use crate::config::{self, LoadError, Loaded};
use crate::logging;

/// How often the configuration's files are looked at. A change takes two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Why the server wakes up.
enum Wake {
    Signal(Signal),
    Look,
}

/// Runs the gateway until it is asked to stop.
pub(super) fn serve(args: &ServeArgs) -> Result<(), Failure> {
    let path = config::locate(args.config.config.as_deref(), ENVIRONMENT)?;
    // Watched before it is read, so that no change falls between the two.
    let mut watch = Watch::new(std::slice::from_ref(&path));
    let loaded = config::load(&path, ENVIRONMENT)?;
    watch.follow(&loaded.sources);
    let level = args
        .log_level
        .or(loaded.log_level.map(Into::into))
        .unwrap_or_default();
    logging::start(args.log_format, level).context("the log cannot be started")?;
    warn_of(&loaded);

    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no runtime")?;
    // Caught before the first line is printed: whoever reads it may send one at once.
    let mut signals = {
        let _within = runtime.enter();
        Signals::new().context("signals cannot be caught")?
    };
    let at_start = AtStart::of(&loaded.gateway);
    let gateway = Gateway::start(loaded.gateway).context("the gateway cannot start")?;
    let source = path.clone();
    gateway.set_reloader(Arc::new(move || {
        let loaded = config::load(&source, ENVIRONMENT).map_err(|error| error.to_string())?;
        Ok(loaded.gateway)
    }));
    announce(&gateway);
    let mut server = Server {
        gateway,
        path,
        watch,
        at_start,
    };
    loop {
        match next_wake(&runtime, &mut signals) {
            Wake::Signal(Signal::Stop) => break,
            Wake::Signal(Signal::Reload) => server.reload(),
            Wake::Look if server.watch.has_changed() => server.reload(),
            Wake::Look => {}
        }
    }
    drain(server.gateway, &runtime, &mut signals)
}

fn next_wake(runtime: &Runtime, signals: &mut Signals) -> Wake {
    runtime.block_on(async {
        tokio::select! {
            signal = signals.next() => Wake::Signal(signal),
            () = tokio::time::sleep(LOOK_EVERY) => Wake::Look,
        }
    })
}

fn announce(gateway: &RunningGateway) {
    output::say(&format!(
        "keypool listening on http://{}",
        gateway.traffic_addr()
    ));
    if let Some(address) = gateway.admin_addr() {
        output::say(&format!("admin on http://{address}"));
    }
}

fn warn_of(loaded: &Loaded) {
    for warning in &loaded.warnings {
        tracing::warn!("{}:{warning}", loaded.path.display());
    }
}

/// A gateway and the file that it follows.
struct Server {
    gateway: RunningGateway,
    path: PathBuf,
    watch: Watch,
    at_start: AtStart,
}

/// What is read at the start alone.
#[derive(PartialEq, Eq)]
struct AtStart {
    listen: SocketAddr,
    admin: Option<SocketAddr>,
    ca_file: Option<PathBuf>,
    proxy: Option<String>,
}

impl AtStart {
    fn of(config: &GatewayConfig) -> Self {
        Self {
            listen: config.listen,
            admin: config.admin.listen,
            ca_file: config.network.ca_file.clone(),
            proxy: config.network.proxy.clone(),
        }
    }
}

impl Server {
    /// Takes the changed file over, or leaves all as it is and says why.
    fn reload(&mut self) {
        const STAYS: &str = "the running configuration stays in force";
        let loaded = match config::load(&self.path, ENVIRONMENT) {
            Ok(loaded) => loaded,
            Err(LoadError::Invalid { path, problems }) => {
                for problem in &problems {
                    tracing::error!("{}:{problem}", path.display());
                }
                tracing::error!(
                    errors = problems.len(),
                    "{} is wrong; {STAYS}",
                    path.display()
                );
                return;
            }
            Err(error) => {
                tracing::error!("{error}; {STAYS}");
                return;
            }
        };
        warn_of(&loaded);
        self.watch.follow(&loaded.sources);
        if AtStart::of(&loaded.gateway) != self.at_start {
            tracing::warn!(
                "a change of HOST, PORT, Admin.host, Admin.port or Network needs a restart"
            );
        }
        let path = self.path.display();
        match self.gateway.reload(loaded.gateway) {
            Ok(summary) => tracing::info!(
                keys = summary.keys,
                "{path} is taken over{}{}",
                listed("; new providers: ", &summary.providers_added),
                listed("; providers gone: ", &summary.providers_removed),
            ),
            Err(error) => tracing::error!("{path}: {error}; {STAYS}"),
        }
    }
}

fn listed(intro: &str, names: &[String]) -> String {
    if names.is_empty() {
        String::new()
    } else {
        format!("{intro}{}", names.join(", "))
    }
}

/// Lets requests in flight finish; a second request to stop does not wait for them.
fn drain(gateway: RunningGateway, runtime: &Runtime, signals: &mut Signals) -> Result<(), Failure> {
    tracing::info!("stopping; requests in flight may finish");
    let (done, drained) = oneshot::channel();
    // Blocking, hence on a thread of its own.
    std::thread::spawn(move || {
        // Nobody is left to tell when the wait was cut short.
        let _ = done.send(gateway.shutdown());
    });
    let report = runtime.block_on(async {
        let again = async { while signals.next().await != Signal::Stop {} };
        tokio::select! {
            report = drained => report.ok(),
            () = again => None,
        }
    });
    match report {
        Some(report) if report.cut == 0 => tracing::info!("stopped"),
        Some(report) => tracing::warn!(connections = report.cut, "stopped; time was up for some"),
        None => return Err(anyhow::anyhow!("stopped at once, on a second request").into()),
    }
    Ok(())
}
