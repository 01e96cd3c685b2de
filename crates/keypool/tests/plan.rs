//! `keypool plan`, by running the real binary.

#![allow(
    clippy::unwrap_used,
    reason = "clippy knows test functions, not the helpers beside them; a panic is a test's answer"
)]

use std::process::{Command, Stdio};

use serde_json::json;

fn plan(arguments: &[&str]) -> (Option<i32>, String, String) {
    let config = ["--config", "tests/fixtures/complete.json"];
    plan_of(&[&config, arguments].concat())
}

fn plan_of(arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keypool"));
    command
        .arg("plan")
        .args(arguments)
        .env_clear()
        .stdin(Stdio::null());
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => panic!("keypool does not start: {error}"),
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

/// The plan for a trace of so many requests for a model, evenly over so many seconds, on two keys of 60 requests a
/// minute, of which one serves another model alone.
fn with_trace(requests: u64, seconds: u64, model: &str) -> (Option<i32>, String) {
    let directory = tempfile::tempdir().unwrap();
    let limit = json!({ "requestsPerMinute": 60 });
    let keys = json!([
        { "key": "sk-ant-1", "rateLimit": limit, "models": ["claude-a*"] },
        { "key": "sk-ant-2", "rateLimit": limit },
    ]);
    let config = json!({ "ApiKeyPool": { "enabled": true, "providers": { "anthropic": { "keys": keys } } } });
    let path = |name: &str| directory.path().join(name);
    std::fs::write(path("config.json"), config.to_string()).unwrap();
    let record = |number: u64| {
        let at = 1_800_000_000_000_000 + number * seconds * 1_000_000 / requests;
        let record = json!({ "at": at, "provider": "anthropic", "model": model, "inputTokens": 10,
            "outputTokens": 10, "status": 200, "latencyMs": 100 });
        format!("{record}\n")
    };
    std::fs::write(path("trace"), (0..requests).map(record).collect::<String>()).unwrap();
    let (code, told, complaint) = plan_of(&[
        "--config",
        path("config.json").to_str().unwrap(),
        "--trace",
        path("trace").to_str().unwrap(),
    ]);
    (code, told + &complaint)
}

#[test]
fn a_trace_finds_only_the_keys_that_serve_its_models() {
    let (code, told) = with_trace(200, 60, "claude-a-1");
    assert_eq!(code, Some(0), "{told}");
    let (code, told) = with_trace(200, 60, "claude-b-1");
    assert_eq!(code, Some(1), "{told}");
}

#[test]
fn a_trace_of_two_seconds_is_no_rate_of_thirty_times_as_much_a_minute() {
    let (_, told) = with_trace(20, 2, "claude-a-1");
    assert!(told.contains("20.0 requests"), "{told}");
}

fn with_load(rpm: &str) -> (Option<i32>, String, String) {
    plan(&[
        "--provider=anthropic",
        "--minutes=4",
        "--input-tokens=100",
        "--output-tokens=50",
        "--rpm",
        rpm,
    ])
}

#[test]
fn a_load_that_the_keys_can_bear_fits() {
    let (code, told, _) = with_load("20");
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("the load fits"), "{told}");
}

#[test]
fn a_load_beyond_the_keys_needs_more_quotas() {
    let (code, _, complaint) = with_load("120");
    assert_eq!(code, Some(1), "{complaint}");
    assert!(complaint.contains("more independent quota"), "{complaint}");
}

#[test]
fn a_load_that_is_not_stated_is_wrong_usage() {
    let (code, _, complaint) = plan(&["--provider=anthropic"]);
    assert_eq!(code, Some(2), "{complaint}");
    assert!(complaint.contains("--rpm is missing"), "{complaint}");
    let (code, _, complaint) = plan(&["--rpm=1"]);
    assert_eq!(code, Some(2), "{complaint}");
    assert!(complaint.contains("--provider is needed"), "{complaint}");
}
