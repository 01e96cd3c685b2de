//! nginx as the yardstick: a plain reverse proxy, set up as someone who wants it fast would do it.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::time::Instant;

use anyhow::ensure;

use super::{Bench, Kind, LOG, Running, Starting, Workers};
use crate::process::{ManagedChild, launcher};

/// Starts nginx in a directory of its own. It takes a free port that was closed just before, since it
/// cannot be told to choose one; if another program takes it in between, the start fails visibly.
pub(super) fn start(bench: &Bench, workers: &Workers) -> anyhow::Result<Running> {
    ensure!(
        bench.nginx.is_file(),
        "{} does not exist: install Debian's nginx-light, or name a binary with --nginx",
        bench.nginx.display()
    );
    let directory = tempfile::Builder::new()
        .prefix("keypool-bench-nginx-")
        .tempdir()?;
    let address = free_address()?;
    let text = configuration(
        address,
        bench.upstream,
        bench.worker_count(workers),
        directory.path(),
    );
    let file = directory.path().join("nginx.conf");
    fs::write(&file, text)?;
    let mut command = launcher(&bench.nginx, workers.cpus())?;
    command.arg("-p").arg(directory.path()).arg("-c").arg(&file);
    command
        .arg("-e")
        .arg(directory.path().join(LOG))
        .arg("-g")
        .arg("daemon off;");
    let spawned = Instant::now();
    let child = ManagedChild::spawn(&mut command)?;
    Starting {
        kind: Kind::Nginx,
        child,
        directory,
        spawned,
    }
    .until_answering(address)
}

fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// `reuseport` spreads connections over the workers; without it one worker tends to take most of
/// them. Connections are never retired by count. Buffering is off, as it must be for streams; small
/// plain answers pass in one piece either way.
fn configuration(
    address: SocketAddr,
    upstream: SocketAddr,
    workers: usize,
    directory: &Path,
) -> String {
    let directory = directory.display();
    format!(
        r#"worker_processes {workers};
pid {directory}/nginx.pid;
error_log {directory}/{LOG} error;
events {{
    worker_connections 8192;
}}
http {{
    access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout 300s;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    upstream answers {{
        server {upstream};
        keepalive 256;
        keepalive_requests 1000000000;
        keepalive_timeout 300s;
    }}
    server {{
        listen {address} reuseport backlog=4096;
        location / {{
            proxy_pass http://answers;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
        }}
    }}
}}
"#
    )
}
