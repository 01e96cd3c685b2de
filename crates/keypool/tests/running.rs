//! A running gateway: started, steered and stopped by the real binary.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "clippy knows test functions, not the helpers beside them; a panic is a test's answer"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long anything here may take before it counts as hanging.
const PATIENCE: Duration = Duration::from_secs(20);

/// A `keypool serve` with a configuration of its own; killed when dropped.
struct Served {
    child: Child,
    stdout: BufReader<ChildStdout>,
    directory: tempfile::TempDir,
    url: String,
}

impl Served {
    fn start(config: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("config.json"), config).unwrap();
        let log = std::fs::File::create(directory.path().join("log")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_keypool"));
        let command = command
            .arg("serve")
            .current_dir(directory.path())
            .env_clear();
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let url = line
            .trim()
            .strip_prefix("keypool listening on ")
            .unwrap_or_else(|| {
                let log = std::fs::read_to_string(directory.path().join("log"));
                panic!("no address: {line:?}, {log:?}")
            });
        Self {
            url: url.to_owned(),
            child,
            stdout,
            directory,
        }
    }

    fn config(&self) -> PathBuf {
        self.directory.path().join("config.json")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap()
    }

    fn wait_for_log(&self, text: &str) {
        let began = Instant::now();
        while !self.log().contains(text) {
            assert!(
                began.elapsed() < PATIENCE,
                "{text:?} is not in the log:\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn signal(&self, name: &str) {
        let mut kill = Command::new("kill");
        let status = kill
            .arg(format!("-{name}"))
            .arg(self.child.id().to_string())
            .status();
        assert!(status.unwrap().success());
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keypool"));
        let command_line = arguments.iter().copied().chain(["--url", &self.url]);
        // Away from the gateway's configuration, whose token would otherwise be found.
        command
            .args(command_line)
            .env_clear()
            .current_dir(std::env::temp_dir());
        command.stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments)
            .env("KEYPOOL_ADMIN_TOKEN", "the-gateway-key")
            .output()
            .unwrap()
    }

    /// What a command prints; it must have succeeded.
    fn say(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let arguments: Vec<_> = arguments.iter().copied().chain(["--json"]).collect();
        serde_json::from_str(&self.say(&arguments)).unwrap()
    }

    fn key_names(&self) -> Vec<String> {
        let health = self.json(&["keys", "list"]);
        let keys = health["anthropic"]["keys"].as_array().unwrap();
        keys.iter()
            .map(|key| key["name"].as_str().unwrap_or("-").to_owned())
            .collect()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const CONFIG: &str = r#"{
  PORT: 0, APIKEY: "the-gateway-key",
  ApiKeyPool: { providers: { anthropic: { keys: [
    { key: "sk-ant-api03-canary-0001", name: "one" },
    { key: "sk-ant-api03-canary-0002", name: "two" },
  ] } } },
}"#;

fn replace(path: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(path).unwrap();
    std::fs::write(path, text.replace(from, to)).unwrap();
}

#[test]
fn keys_are_listed_added_disabled_and_removed() {
    // acceptance 32, 34, 39, 86
    let served = Served::start(CONFIG);
    assert_eq!(served.key_names(), ["one", "two"]);

    let mut add = served.command(&[
        "keys",
        "add",
        "anthropic",
        "--name",
        "three",
        "--tag",
        "new",
    ]);
    let add = add.env("KEYPOOL_ADMIN_TOKEN", "the-gateway-key");
    let mut child = add
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"sk-ant-api03-canary-0003\n")
        .unwrap();
    let added = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    assert!(added.starts_with("sk-a****0003 (key_"), "{added}");
    assert_eq!(served.key_names(), ["one", "two", "three"]);

    assert!(
        served
            .say(&["keys", "disable", "anthropic", "two"])
            .contains("is disabled")
    );
    let health = served.json(&["keys", "list", "--provider", "anthropic"]);
    assert_eq!(health["anthropic"]["keys"][1]["enabled"], false);
    served.say(&["keys", "enable", "anthropic", "sk-a****0002"]);
    let health = served.json(&["keys", "list"]);
    assert_eq!(health["anthropic"]["keys"][1]["enabled"], true);

    let id = health["anthropic"]["keys"][0]["id"].as_str().unwrap();
    served.say(&["keys", "remove", "anthropic", id]);
    assert_eq!(served.key_names(), ["two", "three"]);

    let refused = served.run(&["keys", "remove", "anthropic", "sk-ant-api03-canary-0002"]);
    assert_eq!(refused.status.code(), Some(1));
    let status =
        served.say(&["status"]) + &served.log() + &String::from_utf8_lossy(&refused.stderr);
    assert!(!status.contains("canary"), "{status}");
}

#[test]
fn strategy_and_rotation_are_steered() {
    // acceptance 24, 30, 36
    let served = Served::start(CONFIG);
    assert!(
        served
            .say(&["strategy"])
            .contains("anthropic  least-loaded")
    );
    served.say(&["strategy", "round-robin"]);
    assert_eq!(
        served.json(&["strategy"])["current"]["anthropic"],
        "round-robin"
    );
    served.say(&["strategy", "lru", "--provider", "anthropic"]);
    assert!(served.say(&["strategy"]).contains("anthropic  lru"));
    assert!(
        served
            .say(&["rotate", "anthropic"])
            .contains("goes to sk-a****000")
    );
    let unknown = served.run(&["rotate", "antropic"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&unknown.stderr).contains("anthropic"),
        "{unknown:?}"
    );
}

#[test]
fn status_shows_every_key() {
    // acceptance 27, 29
    let served = Served::start(CONFIG);
    let status = served.say(&["status"]);
    assert!(
        status.contains("2 keys: 2 healthy, 0 degraded, 0 rate-limited, 0 unavailable"),
        "{status}"
    );
    assert_eq!(status.matches("healthy").count(), 3, "{status}");
    assert_eq!(served.json(&["status"])["stats"]["totalKeys"], 2);
}

#[test]
fn without_the_token_nothing_is_shown_and_the_message_says_what_to_do() {
    // acceptance 90
    let served = Served::start(CONFIG);
    let output = served.command(&["status"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("KEYPOOL_ADMIN_TOKEN"),
        "{output:?}"
    );
    // Beside the gateway's configuration its token is found, and sent to that gateway alone.
    let mut status = served.command(&["status"]);
    let output = status
        .arg("--config")
        .arg(served.config())
        .output()
        .unwrap();
    assert_eq!(
        output.status.code(),
        Some(1),
        "the configured gateway is another: {output:?}"
    );
}

#[test]
fn sighup_takes_a_good_file_over_and_leaves_a_bad_one_alone() {
    // acceptance 88
    let served = Served::start(CONFIG);
    replace(&served.config(), "\"two\"", "\"second\"");
    served.signal("HUP");
    served.wait_for_log("is taken over");
    assert_eq!(served.key_names(), ["one", "second"]);

    replace(
        &served.config(),
        "name: \"one\"",
        "nam: \"one\", priority: 0",
    );
    served.signal("HUP");
    served.wait_for_log("the running configuration stays in force");
    let log = served.log();
    assert!(
        log.contains("config.json:4:40: ApiKeyPool.providers.anthropic.keys[0].nam: unknown field"),
        "{log}"
    );
    assert!(log.contains("keys[0].priority: 0 is not allowed"), "{log}");
    assert_eq!(served.key_names(), ["one", "second"]);

    std::fs::write(served.config(), CONFIG.replace("PORT: 0", "PORT: 1")).unwrap();
    served.signal("HUP");
    served.wait_for_log("needs a restart");
}

#[test]
fn a_changed_file_is_taken_over_without_being_told() {
    let served = Served::start(CONFIG);
    replace(&served.config(), "\"two\"", "\"a second one\"");
    served.wait_for_log("is taken over");
    assert_eq!(served.key_names(), ["one", "a second one"]);
}

#[test]
fn sigterm_and_sigint_end_the_server_with_0_and_its_second_line_names_the_admin_address() {
    // acceptance 16
    let config = CONFIG.replace(
        "PORT: 0,",
        "PORT: 0, Admin: { port: 0, token: 'admin-token' },",
    );
    for signal in ["TERM", "INT"] {
        let mut served = Served::start(&config);
        let mut line = String::new();
        served.stdout.read_line(&mut line).unwrap();
        assert!(line.starts_with("admin on http://127.0.0.1:"), "{line}");
        served.signal(signal);
        assert_eq!(served.child.wait().unwrap().code(), Some(0));
        let mut rest = String::new();
        served.stdout.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "");
    }
}

#[test]
fn the_simulator_runs_alone_and_ends_when_asked() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keypool"));
    command
        .args(["sim", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    let mut kill = Command::new("kill");
    let killed = kill.arg(child.id().to_string()).status().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(
        killed.success() && line.starts_with("simulator listening on http://127.0.0.1:"),
        "{line}"
    );
}

#[test]
fn a_simulation_that_makes_no_sense_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sim.json");
    std::fs::write(
        &path,
        r#"{"organisations": [], "keys": [{"secret": "a", "organisation": "b"}]}"#,
    )
    .unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_keypool"));
    let output = command
        .args(["sim", "--listen", "127.0.0.1:0", "--config-file"])
        .arg(&path)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("no organisation is named"),
        "{output:?}"
    );
}
