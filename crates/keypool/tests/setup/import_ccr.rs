//! `keypool import-ccr`.

use serde_json::Value;

use crate::support::{CANARY, Server, User, ask, hello};

const V1: &str = include_str!("fixtures/ccr_v1.json5");
const V2: &str = include_str!("fixtures/ccr_v2.json");
const PLACE: &str = ".claude-code-router/config.json";

fn user(old: &str) -> User {
    let variables = [
        ("DEEPSEEK_API_KEY", "ds-canary-51d07c"),
        ("OPENAI_API_KEY", "sk-canary-51d07c"),
        ("OLLAMA_HOST", "127.0.0.1:11434"),
    ];
    let user = User::new().with(&variables);
    user.write(PLACE, old);
    user
}

fn written(user: &User, name: &str) -> Value {
    serde_json::from_str(&user.read(name)).unwrap()
}

#[test]
fn a_configuration_of_version_1_is_taken_over_and_check_passes() {
    let user = user(V1);
    let ended = user.run(&["import-ccr"]);
    assert_eq!(
        (ended.code, ended.stderr.as_str()),
        (Some(0), ""),
        "{}",
        ended.stdout
    );
    user.check("config.json");
    assert_eq!(user.mode("config.json"), 0o600);
    let new = written(&user, "config.json");
    for (pointer, expected) in [
        ("/HOST", Value::from("0.0.0.0")),
        ("/PORT", 3456.into()),
        ("/API_TIMEOUT_MS", 600_000.into()),
        ("/LOG_LEVEL", "info".into()),
        (
            "/Providers/0/api_base_url",
            "https://openrouter.ai/api/v1/chat/completions".into(),
        ),
        ("/Providers/0/models/0", "anthropic/claude-sonnet-4".into()),
        ("/Providers/1/api_key", "${DEEPSEEK_API_KEY}".into()),
        (
            "/Providers/2/api_base_url",
            "http://127.0.0.1:11434/v1/chat/completions".into(),
        ),
        ("/Providers/2/api_key", "keypool".into()),
        (
            "/Providers/3/api_base_url",
            "https://generativelanguage.googleapis.com/v1beta".into(),
        ),
        ("/Providers/3/protocol", "gemini".into()),
        ("/Providers/4/name", "my-mirror".into()),
        ("/Providers/4/protocol", "anthropic".into()),
        ("/Router/default", "deepseek,deepseek-chat".into()),
        ("/Router/background", "ollama,qwen2.5-coder:latest".into()),
        ("/Router/think", "my-mirror,claude-x".into()),
        ("/Router/longContextThreshold", 60000.into()),
    ] {
        assert_eq!(
            new.pointer(pointer),
            Some(&expected),
            "{pointer} in {new:#}"
        );
    }
    assert_eq!(new["Providers"].as_array().unwrap().len(), 5, "{new:#}");
    assert_eq!(new.pointer("/Router/longContext"), None);
}

#[test]
fn what_is_not_taken_over_is_named_without_its_value() {
    let user = user(V1);
    let said = user.run(&["import-ccr"]).stdout;
    for line in [
        "CUSTOM_ROUTER_PATH: keypool runs no scripts",
        "transformers: keypool runs no scripts",
        "Providers[0].transformer: openrouter with its options",
        "Providers[1].transformer: maxtoken with its options, tooluse: ",
        "Providers[5]: the provider \"vertex\" signs in by the transformer vertex-gemini",
        "Providers[6]: it has no name or no api_base_url",
        "Router.longContext: the provider \"vertex\" is not taken over",
        "Providers[2].api_base_url: variables in it are replaced",
        "Providers[4].name: \"my mirror\" is \"my-mirror\"",
        "4 secrets stand in config.json",
    ] {
        assert!(said.contains(line), "{line} in:\n{said}");
    }
    // A transformer that only translates is no loss.
    assert!(!said.contains("Providers[3].transformer"), "{said}");
}

#[test]
fn a_configuration_of_version_2_is_taken_over_and_check_passes() {
    let user = user(V2);
    let ended = user.run(&["import-ccr", PLACE, "--output", "new/keypool.json"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    user.check("new/keypool.json");
    let new = written(&user, "new/keypool.json");
    // Without an APIKEY claude-code-router listens on this machine alone.
    assert_eq!(new.pointer("/HOST"), None);
    let providers = new["Providers"].as_array().unwrap();
    let names: Vec<_> = providers
        .iter()
        .map(|provider| provider["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["openai", "anthropic"]);
    assert_eq!(providers[1]["models"][0], "claude-haiku-4-5");
    assert_eq!(new["Router"]["image"], "openai,gpt-5");
    for line in [
        "HOST: without an APIKEY only this machine is served",
        "HTTPS_PROXY: keypool goes through http:// proxies alone",
        "LOG_LEVEL: expected one of",
        "StatusLine: ",
        "plugins: ",
        "REWRITE_SYSTEM_PROMPT: ",
        "forceUseImageAgent: ",
        "OPENAI_API_KEY: keypool has no such field",
        "Providers[0].tokenizer: keypool has no such field",
        "Providers[2]: an earlier provider is named \"anthropic\", too",
        "Router.speculative: keypool has no such route",
    ] {
        assert!(ended.stdout.contains(line), "{line} in:\n{}", ended.stdout);
    }
    let fallback = new.pointer("/fallback/default/0") == Some(&"openai,gpt-5".into());
    let told = ended
        .stdout
        .contains("fallback: keypool has no such section");
    assert!(
        fallback != told,
        "either taken over or said: {}",
        ended.stdout
    );
}

#[test]
fn keys_can_be_kept_out_of_the_configuration() {
    let user = user(V1);
    let ended = user.run(&["import-ccr", "--keys-to-env", "keys.env"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(!user.read("config.json").contains(CANARY));
    assert_eq!(
        (user.mode("config.json"), user.mode("keys.env")),
        (0o600, 0o600)
    );
    assert_eq!(user.run(&["check"]).code, Some(2));
    let mut shell = user.command("/bin/sh");
    shell.env("KEYPOOL", env!("CARGO_BIN_EXE_keypool"));
    shell.args(["-c", "set -a; . ./keys.env; set +a; exec $KEYPOOL check"]);
    let output = shell.output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_key_in_a_url_stays_in_none() {
    let secret = |number: u32| format!("AIza{CANARY}{number}");
    let old = format!(
        r#"{{"Providers": [
            {{"name": "gemini", "models": ["gemini-2.5-flash"], "transformer": {{"use": ["gemini"]}}, "api_key": "",
              "api_base_url": "https://generativelanguage.googleapis.com/v1beta/models/?key={}"}},
            {{"name": "both", "models": ["m"], "api_key": "sk-{CANARY}",
              "api_base_url": "https://both.example/v1/chat/completions?api-version=1&access_token={}"}},
            {{"name": "same", "models": ["m"], "api_key": "{}",
              "api_base_url": "https://{CANARY}:pass@same.example/v1/chat/completions?api_key={}"}},
            {{"name": "referring", "models": ["m"], "api_key": "",
              "api_base_url": "https://referring.example/v1/chat/completions?key=$OPENAI_API_KEY"}}
        ], "Router": {{"default": "gemini,gemini-2.5-flash"}}}}"#,
        secret(1),
        secret(2),
        secret(3),
        secret(3),
    );
    let user = user(&old);
    let ended = user.run(&["import-ccr", "--keys-to-env", "keys.env"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(!user.read("config.json").contains(CANARY));
    assert!(!ended.stdout.contains(CANARY), "{}", ended.stdout);
    let new = written(&user, "config.json");
    for (provider, url, key) in [
        (
            0,
            "https://generativelanguage.googleapis.com/v1beta",
            "$GEMINI_API_KEY",
        ),
        (
            1,
            "https://both.example/v1/chat/completions?api-version=1",
            "$BOTH_API_KEY",
        ),
        (
            2,
            "https://same.example/v1/chat/completions",
            "$SAME_API_KEY",
        ),
        (
            3,
            "https://referring.example/v1/chat/completions",
            "$OPENAI_API_KEY",
        ),
    ] {
        assert_eq!(new["Providers"][provider]["api_base_url"], url);
        assert_eq!(new["Providers"][provider]["api_key"], key);
    }
    let keys = user.read("keys.env");
    assert!(
        keys.contains(&format!("GEMINI_API_KEY={}\n", secret(1))),
        "{keys}"
    );
    assert!(
        keys.contains(&format!("SAME_API_KEY={}\n", secret(3))),
        "{keys}"
    );
    for line in [
        "Providers[0].api_base_url: key in its query is the api_key",
        "Providers[1].api_base_url: access_token in its query: it holds a secret beside the api_key",
        "Providers[2].api_base_url: api_key in its query is left out",
        "Providers[2].api_base_url: the user and password in it",
    ] {
        assert!(ended.stdout.contains(line), "{line} in:\n{}", ended.stdout);
    }
    // Without the file of variables the key is counted with the secrets that stand there.
    let ended = user.run(&["import-ccr", "--force"]);
    assert!(
        ended.stdout.contains("3 secrets stand in config.json"),
        "{}",
        ended.stdout
    );
}

#[test]
fn what_was_imported_serves() {
    let simulator = Server::simulator(&User::new());
    let old = format!(
        r#"{{"PORT": 0, "APIKEY": "own-key", "Providers": [{{"name": "sim", "models": ["gpt-4o"],
            "api_base_url": "{}/v1/chat/completions", "api_key": "sk-proj-{CANARY}",
            "transformer": {{"use": ["deepseek"]}}}}], "Router": {{"default": "sim,gpt-4o"}}}}"#,
        simulator.url
    );
    let user = user(&old);
    assert_eq!(user.run(&["import-ccr"]).code, Some(0));
    let gateway = Server::start(user.keypool(&["serve"]));
    for (path, model) in [
        ("/v1/messages", "claude-sonnet-4-5"),
        ("/v1/chat/completions", "sim,gpt-4o"),
    ] {
        let (status, answer) = ask(&gateway.url, path, "own-key", Some(&hello(model)));
        assert_eq!(status, 200, "{answer}");
    }
}

#[test]
fn a_file_that_is_there_is_kept_unless_it_shall_be_replaced() {
    let user = user(V1);
    user.write("config.json", "mine");
    user.write("keys.env", "mine");
    for arguments in [
        &["import-ccr"][..],
        &[
            "import-ccr",
            "--output",
            "new.json",
            "--keys-to-env",
            "keys.env",
        ],
    ] {
        let ended = user.run(arguments);
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.stderr.contains("is there already"), "{ended:?}");
    }
    assert!(!user.path("new.json").exists());
    assert_eq!(
        (
            user.read("config.json").as_str(),
            user.read("keys.env").as_str()
        ),
        ("mine", "mine")
    );
    assert_eq!(user.run(&["import-ccr", "--force"]).code, Some(0));
    user.check("config.json");
}

#[test]
fn a_file_that_cannot_be_read_or_has_no_provider_is_told_with_its_place() {
    let user = user("{\n  \"Providers\": [\n");
    let ended = user.run(&["import-ccr"]);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(
        ended.stderr.contains("config.json:2:16: syntax: "),
        "{ended:?}"
    );
    user.write(PLACE, "{\"Providers\": [{\"name\": \"a\"}]}");
    let ended = user.run(&["import-ccr"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(
        ended.stderr.contains("no provider can be taken over"),
        "{ended:?}"
    );
    let ended = user.run(&["import-ccr", "not-there.json"]);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(!user.path("config.json").exists());
}
