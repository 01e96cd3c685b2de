//! `keypool code`, with scripts in the place of agents.

use std::io::Read;
use std::net::TcpStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{PROVIDER_KEYS, Server, User, ask, hello};

/// A script that says where it is sent and with what, then ends when it is told to.
const AGENT: &str = r#"
env | sort > environment
printf '%s\n' "$@" > arguments
echo "$ANTHROPIC_BASE_URL"
read -r code
exit "$code""#;

fn user(simulator: &str, settings: &str) -> User {
    let user = User::new().with(&PROVIDER_KEYS).with(&[
        ("TEAM_KEY", "the-gateways-key"),
        ("ANTHROPIC_API_KEY", "sk-ant-from-elsewhere"),
        ("CLAUDE_CODE_USE_BEDROCK", "1"),
        ("KEYPOOL_ADMIN_TOKEN", "opens-the-admin-api"),
    ]);
    let config = format!(
        "{{{settings} APIKEY: '$TEAM_KEY', ApiKeyPool: {{enabled: true, providers: {{anthropic: {{\
         baseUrl: '{simulator}', keys: [{{key: '$ANTHROPIC_KEY_1'}}, {{key: '$ANTHROPIC_KEY_2'}}]}}}}}}}}"
    );
    user.write("config.json", &config);
    user.script("agent", AGENT);
    user
}

/// Runs the agent, meets it while it runs, and ends it with that code.
fn meet(user: &User, arguments: &[&str], code: i32, meeting: impl FnOnce(&str)) {
    let mut child = user
        .keypool(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut url = String::new();
    let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut out, &mut url).unwrap();
    meeting(url.trim());
    let mut input = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut input, format!("{code}\n").as_bytes()).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(code));
}

#[test]
fn an_agent_is_served_by_a_gateway_that_lives_as_long_as_it_does() {
    let home = User::new();
    let simulator = Server::simulator(&home);
    let user = user(&simulator.url, "PORT: 0,");
    let mut address = String::new();
    meet(
        &user,
        &[
            "code",
            "--agent",
            "./agent",
            "-p",
            "two words",
            "--config",
            "its-own",
        ],
        7,
        |url| {
            address = url.to_owned();
            let body = hello("claude-sonnet-4-5");
            let (status, answer) = ask(url, "/v1/messages", "the-gateways-key", Some(&body));
            assert_eq!(status, 200, "{answer}");
            assert_eq!(ask(url, "/v1/messages", "another-key", Some(&body)).0, 401);
        },
    );
    assert_eq!(user.read("arguments"), "-p\ntwo words\n--config\nits-own\n");
    let environment = user.read("environment");
    let has = |line: &str| environment.lines().any(|known| known == line);
    assert!(
        has("ANTHROPIC_AUTH_TOKEN=the-gateways-key"),
        "{environment}"
    );
    assert!(
        has(&format!("OPENAI_BASE_URL={address}/v1")),
        "{environment}"
    );
    for absent in [
        "ANTHROPIC_API_KEY=",
        "ANTHROPIC_KEY_1=",
        "TEAM_KEY=",
        "KEYPOOL_ADMIN_TOKEN=",
        "CLAUDE_CODE_USE_BEDROCK=",
    ] {
        assert!(
            !environment.lines().any(|line| line.starts_with(absent)),
            "{environment}"
        );
    }
    let after = TcpStream::connect(address.strip_prefix("http://").unwrap());
    assert!(after.is_err(), "the gateway is still there");
}

#[test]
fn a_gateway_on_every_address_is_reached_on_this_machines_own() {
    let user = user("http://127.0.0.1:9", "HOST: '0.0.0.0', PORT: 0,");
    meet(&user, &["code", "--agent", "./agent"], 0, |url| {
        assert!(url.starts_with("http://127.0.0.1:"), "{url}");
        assert_eq!(ask(url, "/v1/models", "the-gateways-key", None).0, 200);
    });
}

#[test]
fn a_gateway_that_runs_is_used_and_left_running() {
    let simulator = Server::simulator(&User::new());
    let operator = user(&simulator.url, "PORT: 0,");
    let gateway = Server::start(operator.keypool(&["serve"]));
    let (_, port) = gateway.url.rsplit_once(':').unwrap();
    let user = user(&simulator.url, &format!("PORT: {port},"));
    for arguments in [
        &["code", "--agent", "./agent", "--no-start"][..],
        &[
            "code",
            "--agent",
            "./agent",
            "--url",
            &gateway.url,
            "--key-env",
            "TEAM_KEY",
        ],
    ] {
        meet(&user, arguments, 0, |url| assert_eq!(url, gateway.url));
    }
    assert_eq!(ask(&gateway.url, "/health", "", None).0, 200);
}

#[test]
fn a_gateway_that_refuses_the_key_is_said_before_the_agent_starts() {
    let simulator = Server::simulator(&User::new());
    let operator = user(&simulator.url, "PORT: 0,");
    let gateway = Server::start(operator.keypool(&["serve"]));
    let ended = operator.run(&["code", "--agent", "./agent", "--url", &gateway.url]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("refuses the key"), "{ended:?}");
    assert!(!operator.path("arguments").exists());
}

#[test]
fn no_gateway_is_started_where_none_is_wanted() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    drop(taken);
    let user = user("http://127.0.0.1:9", &format!("PORT: {port},"));
    let ended = user.run(&["code", "--agent", "./agent", "--no-start"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(
        ended
            .stderr
            .contains(&format!("no gateway answers at http://127.0.0.1:{port}")),
        "{ended:?}"
    );
    assert!(!user.path("arguments").exists());
}

#[test]
fn another_server_at_the_address_is_not_taken_for_a_gateway() {
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = other.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]).unwrap();
        std::io::Write::write_all(
            &mut stream,
            b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
        )
        .unwrap();
    });
    let user = user("http://127.0.0.1:9", &format!("PORT: {port},"));
    let ended = user.run(&["code", "--agent", "./agent"]);
    server.join().unwrap();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("is no keypool gateway"), "{ended:?}");
}

#[test]
fn signals_reach_the_agent_and_its_end_is_passed_on() {
    let user = user("http://127.0.0.1:9", "PORT: 0,");
    user.script(
        "agent",
        "trap 'exit 3' TERM\necho ready\nwhile :; do sleep 1; done",
    );
    let mut child = user
        .keypool(&["code", "--agent", "./agent"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut out, &mut line).unwrap();
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(3));

    user.script("agent", "kill -KILL $$");
    let ended = user.run(&["code", "--agent", "./agent"]);
    assert_eq!(ended.code, Some(128 + 9), "{ended:?}");
}

#[test]
fn an_agent_that_is_not_there_is_named_with_a_way_to_get_it() {
    let user = user("http://127.0.0.1:9", "PORT: 0,").with(&[("PATH", "/nowhere")]);
    let began = Instant::now();
    let ended = user.run(&["code"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(
        ended.stderr.contains("claude is not installed") && ended.stderr.contains("npm install"),
        "{ended:?}"
    );
    let ended = user.run(&["code", "--agent", "./not-there"]);
    assert!(
        ended.stderr.contains("./not-there cannot be run"),
        "{ended:?}"
    );
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "it waited for something"
    );
}

#[test]
fn codex_is_told_of_the_gateway_by_arguments_before_its_own() {
    let user = user("http://127.0.0.1:9", "PORT: 0,");
    user.script("bin/codex", "printf '%s\\n' \"$@\"");
    let path = format!("{}:/usr/bin:/bin", user.path("bin").display());
    let user = user.with(&[("PATH", &path)]);
    let said = user
        .run(&["code", "--agent", "codex", "exec", "do it"])
        .stdout;
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines[0], "-c");
    assert!(
        lines[1]
            .starts_with("model_providers.keypool={name=\"keypool\",base_url=\"http://127.0.0.1:"),
        "{said}"
    );
    assert_eq!(
        lines[2..],
        ["-c", "model_provider=\"keypool\"", "exec", "do it"]
    );
}

#[test]
fn qwen_is_told_by_which_api_to_go() {
    let user = user("http://127.0.0.1:9", "PORT: 0,");
    user.script("bin/qwen", "printf '%s\\n' \"$OPENAI_API_KEY\" \"$@\"");
    let path = format!("{}:/usr/bin:/bin", user.path("bin").display());
    let user = user.with(&[("PATH", &path)]);
    let said = user.run(&["code", "--agent", "qwen", "-p", "do it"]).stdout;
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(
        lines,
        ["the-gateways-key", "--auth-type", "openai", "-p", "do it"]
    );
}

#[test]
fn the_log_of_a_gateway_that_is_started_goes_to_a_file() {
    let user = user("http://127.0.0.1:9", "PORT: 0,");
    user.script("agent", "exit 0");
    let ended = user.run(&["code", "--agent", "./agent", "--log-file", "keypool.log"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert!(user.read("keypool.log").contains("the agent has ended"));
}
