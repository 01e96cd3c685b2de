//! The command line, by running the real binary.

#![allow(
    clippy::unwrap_used,
    reason = "clippy knows test functions, not the helpers beside them; a panic is a test's answer"
)]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn keypool(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keypool"));
    command.args(arguments).env_clear().stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    keypool(arguments).output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn check_says_that_a_good_configuration_is_fine() {
    // acceptance 15, 16
    let output = run(&["check", "--config", "tests/fixtures/complete.json"]);
    assert_eq!((code(&output), stderr(&output).as_str()), (0, ""));
    assert_eq!(
        stdout(&output),
        "tests/fixtures/complete.json: fine, anthropic with 1 key (least-loaded), openai with 1 key (least-loaded)\n"
    );
}

#[test]
fn check_warns_of_fields_that_are_not_in_effect() {
    let output = run(&[
        "check",
        "--config",
        "tests/fixtures/claude_code_router.json",
    ]);
    assert_eq!(code(&output), 0);
    assert!(
        stderr(&output).contains(": accepted, not yet in effect: "),
        "{output:?}"
    );
}

#[test]
fn check_refuses_a_bad_configuration_with_all_its_errors_and_no_secret() {
    // acceptance 3, 86
    let output = run(&[
        "check",
        "--config",
        "tests/fixtures/wrong_in_many_ways.json5",
    ]);
    assert_eq!(code(&output), 2);
    assert_eq!(stdout(&output), "");
    let errors = stderr(&output);
    assert!(
        errors.contains("errors in tests/fixtures/wrong_in_many_ways.json5"),
        "{errors}"
    );
    assert!(errors.contains(":8:17: ApiKeyPool.strategy: "), "{errors}");
    assert!(!errors.contains("canary"), "{errors}");
}

#[test]
fn check_names_an_unset_variable_and_takes_a_set_one() {
    // acceptance 14
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.json");
    std::fs::write(
        &path,
        "{Providers: [{name: 'openai', api_key: '${MY_OPENAI_KEY}'}]}",
    )
    .unwrap();
    let check = || {
        let mut command = keypool(&["check", "--config"]);
        command.arg(&path);
        command
    };
    let output = check().output().unwrap();
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("the environment variable MY_OPENAI_KEY is not set"));
    let output = check()
        .env("MY_OPENAI_KEY", "sk-proj-0123456789")
        .output()
        .unwrap();
    assert_eq!(code(&output), 0, "{output:?}");
}

#[test]
fn without_a_configuration_every_place_looked_at_is_listed() {
    let directory = tempfile::tempdir().unwrap();
    for command in ["check", "serve"] {
        let mut command = keypool(&[command]);
        let command = command
            .current_dir(directory.path())
            .env("HOME", directory.path());
        let output = command.output().unwrap();
        assert_eq!(code(&output), 2);
        let errors = stderr(&output);
        for place in [
            "--config",
            "$KEYPOOL_CONFIG",
            "config.json",
            ".config/keypool/config.json",
        ] {
            assert!(errors.contains(place), "{errors}");
        }
    }
}

#[test]
fn the_configuration_is_found_by_variable() {
    let mut command = keypool(&["check"]);
    let command = command.env("KEYPOOL_CONFIG", "tests/fixtures/quick_start.json");
    assert_eq!(code(&command.output().unwrap()), 0);
}

#[test]
fn schema_prints_a_json_schema_that_knows_every_section() {
    let output = run(&["schema"]);
    assert_eq!(code(&output), 0);
    let schema: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        schema["$schema"],
        "https://json-schema.org/draft/2020-12/schema"
    );
    for section in [
        "ApiKeyPool",
        "Providers",
        "Router",
        "Aliases",
        "Admin",
        "APIKEY",
    ] {
        assert!(schema["properties"][section].is_object(), "{section}");
    }
}

#[test]
fn completions_are_printed_for_the_common_shells() {
    for shell in ["bash", "zsh", "fish"] {
        let output = run(&["completions", shell]);
        assert_eq!(code(&output), 0);
        assert!(stdout(&output).contains("rotate"), "{shell}");
    }
}

#[test]
fn wrong_usage_ends_with_2_and_a_hint() {
    for (arguments, hint) in [
        (&["serv"][..], "serve"),
        (&[][..], "Usage"),
        (&["strategy", "least-load"][..], "least-loaded"),
        (
            &["keys", "add", "openai", "sk-on-the-command-line"][..],
            "unexpected argument",
        ),
        (
            &["status", "--url", "localhost:3456"][..],
            "expected http://host:port",
        ),
    ] {
        let output = run(arguments);
        assert_eq!(code(&output), 2, "{arguments:?}: {output:?}");
        assert!(stderr(&output).contains(hint), "{arguments:?}: {output:?}");
    }
}

#[test]
fn a_command_for_a_gateway_that_is_not_there_fails_and_says_so() {
    // Nothing listens on the discard port of this host.
    let output = run(&["status", "--url", "http://127.0.0.1:9"]);
    assert_eq!(code(&output), 1);
    assert!(
        stderr(&output).contains("no gateway answers at http://127.0.0.1:9"),
        "{output:?}"
    );
}

#[test]
fn a_key_to_add_must_come_from_somewhere() {
    let output = run(&["keys", "add", "openai", "--key-env", "NOT_SET_HERE"]);
    assert_eq!(code(&output), 2);
    assert!(
        stderr(&output).contains("NOT_SET_HERE is not set"),
        "{output:?}"
    );
    let output = run(&["keys", "add", "openai"]);
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("the key is empty"), "{output:?}");
}

#[test]
fn the_port_being_taken_is_said_plainly() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.json");
    write_config(&path, port);
    let output = keypool(&["serve", "--config"]).arg(&path).output().unwrap();
    assert_eq!(code(&output), 1, "{output:?}");
    let errors = stderr(&output);
    assert!(errors.contains(&format!("127.0.0.1:{port}")), "{errors}");
    assert!(errors.contains("in use"), "{errors}");
}

fn write_config(path: &Path, port: u16) {
    let text = format!(
        "{{HOST: '127.0.0.1', PORT: {port}, Providers: [{{name: 'openai', api_key: 'sk-proj-0123456789'}}]}}"
    );
    std::fs::File::create(path)
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
}
