//! `keypool demo` by the real binary: the promise holds, and nothing is left behind.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "clippy knows test functions, not the helpers beside them; a panic is a test's answer"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// The demo promises to be done by then; what it leaves running is stopped within moments.
const PATIENCE: Duration = Duration::from_secs(40);

/// A demo; killed when dropped.
struct Demo {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Demo {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keypool"));
        let command = command.arg("demo").args(arguments).env_clear();
        let pipes = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = pipes.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdout }
    }

    /// What it prints up to and including the first line with this text.
    fn print_until(&mut self, text: &str) -> String {
        let mut printed = String::new();
        let mut line = String::new();
        while !line.contains(text) {
            line.clear();
            let read = self.stdout.read_line(&mut line).unwrap();
            assert!(read > 0, "it ended before {text:?}:\n{printed}");
            printed.push_str(&line);
        }
        printed
    }

    fn interrupt(&self) {
        let pid = Pid::from_raw(self.child.id().try_into().unwrap()).unwrap();
        kill_process(pid, Signal::INT).unwrap();
    }

    /// Its exit status and what it had to complain about.
    fn ended(&mut self) -> (ExitStatus, String) {
        let began = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(began.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        };
        let mut complaint = String::new();
        let mut stderr = self.child.stderr.take().unwrap();
        stderr.read_to_string(&mut complaint).unwrap();
        (status, complaint)
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The body of a `GET`, without any help of keypool's own.
fn get(url: &str) -> String {
    let (host, path) = url
        .strip_prefix("http://")
        .unwrap()
        .split_once('/')
        .unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    let request = format!("GET /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// The row of the final table that begins with this phase.
fn row<'a>(printed: &'a str, phase: &str) -> Vec<&'a str> {
    let row = printed.lines().rfind(|line| {
        line.strip_prefix(phase)
            .is_some_and(|rest| rest.starts_with("  "))
    });
    let row = row.unwrap_or_else(|| panic!("no row {phase:?} in:\n{printed}"));
    row.split("  ")
        .map(str::trim)
        .filter(|cell| !cell.is_empty())
        .collect()
}

// acceptance 63, 64, 65, 66
#[test]
fn the_promise_holds_and_the_gateway_stays_when_asked_to() {
    let mut demo = Demo::start(&["--quick", "--keep"]);
    let printed = demo.print_until("/metrics");
    assert!(
        printed.contains("Scaled: every key may make 900 requests a minute"),
        "{printed}"
    );
    assert!(printed.contains("The promise held"), "{printed}");
    for (phase, limits) in [
        ("1 key", "900/min"),
        ("3 keys", "2700/min"),
        ("5 keys", "4500/min"),
    ] {
        let row = row(&printed, phase);
        assert_eq!(row[1], limits, "{printed}");
        assert_eq!(row[5], "0", "429s upstream: {printed}");
        assert_eq!(row[7], "0", "failures: {printed}");
    }
    let troubled = row(&printed, "5 keys, 3 in trouble");
    assert_eq!(troubled[7], "0", "failures: {printed}");
    assert!(troubled[9].ends_with(" ms"), "failover p99: {printed}");

    let stats = printed
        .lines()
        .find_map(|line| line.strip_prefix("curl ")?.strip_suffix("/stats"));
    let stats = get(&format!("{}/stats", stats.unwrap()));
    assert!(stats.contains(r#""totalKeys":5"#), "{stats}");
    demo.interrupt();
    let (exit, complaint) = demo.ended();
    assert!(exit.success(), "{complaint}");
}

#[test]
fn ctrl_c_stops_it_in_the_middle_and_says_so() {
    let mut demo = Demo::start(&["--quick"]);
    demo.print_until("limits add up");
    demo.interrupt();
    let asked = Instant::now();
    let (status, complaint) = demo.ended();
    assert!(
        asked.elapsed() < Duration::from_secs(5),
        "{:?}",
        asked.elapsed()
    );
    assert_eq!(status.code(), Some(1));
    assert!(complaint.contains("stopped before the end"), "{complaint}");
}

#[test]
fn a_port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let mut demo = Demo::start(&["--port", &port]);
    let (status, complaint) = demo.ended();
    assert_eq!(status.code(), Some(1));
    assert!(
        complaint.contains(&format!("cannot listen on 127.0.0.1:{port}")),
        "{complaint}"
    );
}
