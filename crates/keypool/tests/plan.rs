//! `keypool plan`, by running the real binary.

use std::process::{Command, Stdio};

fn plan(arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keypool"));
    command
        .args(["plan", "--config", "tests/fixtures/complete.json"])
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
