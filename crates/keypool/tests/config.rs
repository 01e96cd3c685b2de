//! The configuration file, from its text to what the gateway runs on.

#![allow(
    clippy::unwrap_used,
    reason = "clippy knows test functions, not the helpers beside them; a panic is a test's answer"
)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use keypool::config::{self, LoadError, Loaded};
use keypool_gateway::config::{AffinityConfig, ProviderConfig, QueueConfig, Sequential};
use keypool_pool::{Limits, Strategy, Urgency, Window};
use keypool_wire::{Dialect, ProviderKind};

fn environment(name: &str) -> Option<String> {
    let value = match name {
        "ANTHROPIC_KEY_1" => "sk-ant-api03-env-0001",
        "OPENAI_API_KEY" => "sk-proj-env-0001",
        "KEYPOOL_API_KEY" => "the-gateway-key",
        "KEYPOOL_ADMIN_TOKEN" => "the-admin-token",
        "TEAM_A_KEY" => "the-key-of-team-a",
        "OWN_URL" => "https://llm.example.com/v1",
        "PROXY" => "http://user:password@127.0.0.1:3128",
        _ => return None,
    };
    Some(value.to_owned())
}

fn fixture(name: &str) -> PathBuf {
    Path::new("tests/fixtures").join(name)
}

fn load(path: &Path) -> Result<Loaded, LoadError> {
    config::load(path, &environment)
}

/// Loads a text as if it were a file of its own.
fn load_text(text: &str) -> Result<Loaded, LoadError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.json");
    std::fs::write(&path, text).unwrap();
    load(&path)
}

/// The messages of a text that is wrong, without the file's name.
fn errors_of(text: &str) -> Vec<String> {
    match load_text(text) {
        Err(LoadError::Invalid { problems, .. }) => {
            problems.iter().map(ToString::to_string).collect()
        }
        other => panic!("errors were expected: {other:?}"),
    }
}

fn keys_of(provider: &ProviderConfig) -> Vec<&str> {
    provider
        .keys
        .iter()
        .map(|key| key.secret.expose())
        .collect()
}

#[test]
fn the_quick_start_of_the_guide_loads_as_printed() {
    // acceptance 1, 2
    let loaded = load(&fixture("quick_start.json")).unwrap();
    let [anthropic] = loaded.gateway.providers.as_slice() else {
        panic!("one provider")
    };
    assert_eq!(
        anthropic.base_url.as_deref(),
        Some("https://api.anthropic.com")
    );
    assert_eq!(
        (anthropic.kind, anthropic.dialect),
        (ProviderKind::Anthropic, Dialect::Anthropic)
    );
    assert_eq!(
        keys_of(anthropic),
        ["sk-ant-api03-your-key-1", "sk-ant-api03-your-key-2"]
    );
    let limits = Limits {
        requests_per_minute: Some(50),
        tokens_per_minute: Some(40_000),
        ..Limits::default()
    };
    assert!(
        anthropic
            .keys
            .iter()
            .all(|key| key.limits == limits && key.enabled)
    );
    assert_eq!(loaded.gateway.listen.to_string(), "127.0.0.1:3456");
    assert!(loaded.warnings.is_empty());
}

#[test]
fn the_complete_example_of_the_guide_loads_as_printed() {
    // acceptance 4, 5, 9, 12, 15
    let loaded = load(&fixture("complete.json")).unwrap();
    assert_eq!(loaded.gateway.health_check_interval, Duration::from_mins(1));
    let [anthropic, openai] = loaded.gateway.providers.as_slice() else {
        panic!("two providers")
    };
    assert_eq!(keys_of(anthropic), ["sk-ant-api03-key1"]);
    assert_eq!(keys_of(openai), ["sk-proj-key1"]);
    assert_eq!(anthropic.keys[0].limits.requests_per_day, Some(5000));
    assert_eq!(openai.keys[0].limits.requests_per_day, None);
    assert_eq!(anthropic.keys[0].tags, ["production", "high-priority"]);
}

#[test]
fn the_strategy_fragments_of_the_guide_load_inside_the_pool() {
    // acceptance 3, 6, 13
    let expected = [
        ("strategy_least_loaded.json", Strategy::LeastLoaded),
        ("strategy_round_robin.json", Strategy::RoundRobin),
        ("strategy_lru.json", Strategy::Lru),
        ("strategy_weighted.json", Strategy::Weighted),
    ];
    for (name, strategy) in expected {
        // The guide writes "..." where each key goes.
        let fragment = std::fs::read_to_string(fixture(name)).unwrap();
        let fragment = fragment.replacen("\"...\"", "\"sk-first-0000001\"", 1);
        let fragment = fragment.replacen("\"...\"", "\"sk-second-000002\"", 1);
        let text = format!(
            r#"{{ "ApiKeyPool": {fragment},
                 "Providers": [{{ "name": "openai", "api_key": "sk-proj-key1" }}] }}"#
        );
        let loaded = load_text(&text).unwrap();
        assert!(
            loaded
                .gateway
                .providers
                .iter()
                .all(|one| one.strategy == strategy),
            "{name}"
        );
    }
}

#[test]
fn without_a_strategy_the_least_loaded_key_is_chosen() {
    // acceptance 3
    let loaded =
        load_text("{ApiKeyPool: {providers: {anthropic: {keys: [{key: 'sk-ant-0123456789'}]}}}}")
            .unwrap();
    assert_eq!(loaded.gateway.providers[0].strategy, Strategy::LeastLoaded);
}

#[test]
fn every_field_is_read() {
    // acceptance 10, 11, 14
    let loaded = load(&fixture("everything.json5")).unwrap();
    let gateway = &loaded.gateway;
    assert_eq!(
        gateway.client_key.as_ref().unwrap().expose(),
        "the-gateway-key"
    );
    assert_eq!(
        gateway.admin.token.as_ref().unwrap().expose(),
        "the-admin-token"
    );
    assert_eq!(gateway.admin.listen, None);
    let tenants: Vec<_> = gateway
        .tenants
        .iter()
        .map(|one| (one.name.as_str(), one.key.expose(), one.weight, one.urgency))
        .collect();
    let expected = [
        ("team-a", "the-key-of-team-a", 2, Urgency::High),
        ("team-b", "the-key-of-team-b", 1, Urgency::Normal),
    ];
    assert_eq!(tenants, expected);
    let queue = &gateway.queue;
    assert_eq!(
        (queue.enabled, queue.max_wait, queue.max_length),
        (true, Duration::from_secs(20), 500)
    );
    assert_eq!(queue.max_bytes, 16 * 1024 * 1024);
    let affinity = &gateway.affinity;
    assert_eq!(
        (affinity.enabled, affinity.ttl),
        (true, Duration::from_mins(10))
    );
    assert!((affinity.load_factor - 1.5).abs() < f64::EPSILON);
    assert_eq!(
        gateway.network.proxy.as_deref(),
        Some("http://user:password@127.0.0.1:3128")
    );
    assert_eq!(gateway.bounds.body_bytes, 1 << 20);
    assert_eq!(
        gateway.state_file.as_deref(),
        Some(fixture("state.json").as_path())
    );
    assert_eq!(gateway.known_hosts, ["keypool.example.com"]);
    assert_eq!((gateway.answer_headers, gateway.seed), (false, 7));
    let names: Vec<_> = gateway
        .aliases
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(names, ["fast", "big"], "aliases keep the order of the file");

    let names: Vec<_> = gateway
        .providers
        .iter()
        .map(|one| one.name.as_str())
        .collect();
    assert_eq!(names, ["anthropic", "own", "openai"]);
    let [anthropic, own, openai] = gateway.providers.as_slice() else {
        panic!("three providers")
    };
    let key = &anthropic.keys[0];
    assert_eq!(key.secret.expose(), "sk-ant-api03-env-0001");
    assert_eq!(key.quota_group.as_deref(), Some("org-a"));
    assert_eq!(
        key.expires_at.unwrap().as_unix_micros(),
        1_801_353_600_000_000
    );
    assert_eq!(
        anthropic.quota_groups[0].1.input_tokens_per_minute,
        Some(40_000)
    );
    assert_eq!(keys_of(own), ["sk-own-0001-literal", "sk-own-0002-literal"]);
    assert_eq!(own.kind, ProviderKind::Generic(Dialect::OpenAi));
    assert_eq!(
        (own.strategy, own.window),
        (Strategy::FillFirst, Some(Window::Sliding))
    );
    assert_eq!(
        (own.correct_limits, own.sequential),
        (true, Sequential::Off)
    );
    assert_eq!(anthropic.window, Some(Window::Slices));
    assert_eq!(
        (anthropic.correct_limits, anthropic.sequential),
        (false, Sequential::Key)
    );
    assert_eq!(openai.window, None);
    assert_eq!(own.base_url.as_deref(), Some("https://llm.example.com/v1"));
    assert_eq!(openai.models, ["gpt-x", "gpt-x-mini"]);
    insta::assert_snapshot!(warnings(&loaded));
}

fn warnings(loaded: &Loaded) -> String {
    let lines: Vec<_> = loaded.warnings.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

#[test]
fn a_file_of_claude_code_router_loads_as_a_gateway_with_one_key_per_provider() {
    // acceptance 1, 61
    let loaded = load(&fixture("claude_code_router.json")).unwrap();
    let gateway = &loaded.gateway;
    let kinds: Vec<_> = gateway
        .providers
        .iter()
        .map(|one| (one.kind, one.keys.len()))
        .collect();
    assert_eq!(
        kinds,
        [(ProviderKind::OpenRouter, 1), (ProviderKind::Ollama, 1)]
    );
    assert_eq!(
        gateway.network.proxy.as_deref(),
        Some("http://127.0.0.1:7890")
    );
    assert_eq!(gateway.timeouts.first_byte, Duration::from_mins(10));
}

#[test]
fn a_file_wrong_in_many_ways_shows_them_all_with_their_places_and_no_secret() {
    // acceptance 3, 10, 14, 86
    let error = load(&fixture("wrong_in_many_ways.json5")).unwrap_err();
    let report = error.to_string();
    assert!(!report.contains("canary"), "{report}");
    assert!(!format!("{error:?}").contains("canary"));
    insta::assert_snapshot!(report);
}

#[test]
fn a_disabled_pool_leaves_a_plain_gateway() {
    // acceptance 1
    let text = |enabled: bool| {
        format!(
            r#"{{ ApiKeyPool: {{ enabled: {enabled}, providers: {{ openai: {{ keys: [
                 {{ key: "sk-pooled-000001" }}, {{ key: "sk-pooled-000002" }}] }} }} }},
               Providers: [{{ name: "openai", api_key: "sk-plain-0000001" }}] }}"#
        )
    };
    let loaded = load_text(&text(false)).unwrap();
    assert_eq!(keys_of(&loaded.gateway.providers[0]), ["sk-plain-0000001"]);
    let loaded = load_text(&text(true)).unwrap();
    let expected = ["sk-pooled-000001", "sk-pooled-000002", "sk-plain-0000001"];
    assert_eq!(keys_of(&loaded.gateway.providers[0]), expected);
}

#[test]
fn a_key_that_stands_in_both_sections_is_one_key_with_what_the_pool_says_about_it() {
    let loaded = load_text(
        r#"{ ApiKeyPool: { providers: { openai: { keys: [{ key: "$OPENAI_API_KEY", priority: 7 }] } } },
             Providers: [{ name: "openai", api_key: "$OPENAI_API_KEY" }] }"#,
    )
    .unwrap();
    let keys = &loaded.gateway.providers[0].keys;
    assert_eq!(keys.len(), 1);
    assert_eq!(keys[0].priority, 7.try_into().unwrap());
}

#[test]
fn priority_is_a_whole_number_from_1_to_100() {
    // acceptance 10
    let text = |priority: &str| {
        format!(
            "{{ApiKeyPool: {{providers: {{openai: {{keys: [{{key: 'sk-0123456789', priority: {priority}}}]}}}}}}}}"
        )
    };
    for allowed in ["1", "10", "100", "1e1", "null"] {
        assert!(load_text(&text(allowed)).is_ok(), "{allowed}");
    }
    for refused in ["0", "101", "-1", "1.5", "'10'", "1e300", "true"] {
        let errors = errors_of(&text(refused));
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].contains("keys[0].priority: "), "{errors:?}");
        assert!(
            errors[0].contains("expected a whole number from 1 to 100"),
            "{errors:?}"
        );
    }
}

#[test]
fn an_address_that_others_can_reach_needs_a_key() {
    // acceptance 90
    let provider = "Providers: [{name: 'openai', api_key: 'sk-0123456789'}]";
    for open in [
        "HOST: '0.0.0.0'",
        "HOST: '::'",
        "HOST: '0.0.0.0', Admin: {token: 'admin-token'}",
    ] {
        let errors = errors_of(&format!("{{{open}, {provider}}}"));
        assert!(errors[0].contains("set APIKEY"), "{errors:?}");
    }
    let errors = errors_of(&format!(
        "{{Admin: {{host: '0.0.0.0', port: 1}}, {provider}}}"
    ));
    assert!(errors[0].contains("Admin.host: "), "{errors:?}");
    for guarded in [
        "HOST: '0.0.0.0', APIKEY: 'gateway-key'",
        "HOST: 'localhost'",
        "HOST: '[::1]'",
        "Admin: {host: '0.0.0.0', port: 1, token: 'admin-token'}",
    ] {
        let loaded = load_text(&format!("{{{guarded}, {provider}}}"));
        assert!(loaded.is_ok(), "{guarded}: {loaded:?}");
    }
}

#[test]
fn tenants_keys_guard_traffic_and_not_the_admin_api() {
    let file = |rest: &str| {
        format!(
            "{{Tenants: [{{name: 'a', key: 'key-of-a'}}], {rest},
               Providers: [{{name: 'openai', api_key: 'sk-0123456789'}}]}}"
        )
    };
    for open in ["HOST: '0.0.0.0'", "HOST: '0.0.0.0', Admin: {token: null}"] {
        let errors = errors_of(&file(open));
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].contains("HOST: "), "{errors:?}");
        assert!(
            errors[0].contains("set Admin.token or APIKEY"),
            "{errors:?}"
        );
    }
    let errors = errors_of(&file("Admin: {host: '0.0.0.0', port: 1}"));
    assert!(errors[0].contains("Admin.host: "), "{errors:?}");
    for guarded in [
        "HOST: 'localhost'",
        "HOST: '0.0.0.0', Admin: {token: 'admin-token'}",
        "HOST: '0.0.0.0', APIKEY: 'gateway-key'",
        "HOST: '0.0.0.0', Admin: {host: '127.0.0.1', port: 1}",
    ] {
        let loaded = load_text(&file(guarded));
        assert!(loaded.is_ok(), "{guarded}: {loaded:?}");
    }
}

#[test]
fn what_is_wrong_with_tenants_is_said_at_once_with_its_place_and_no_key() {
    let errors = errors_of(
        "{APIKEY: 'canary-gateway-key', Admin: {token: 'canary-admin-token'}, Tenants: [
           {name: 'a', key: 'canary-key-of-a'},
           {name: 'a', key: '$TEAM_B_KEY'},
           {name: 'c', key: 'canary-key-of-a'},
           {name: 'default', key: 'canary-gateway-key'},
           {name: '', key: 'canary-admin-token', weight: 0, priority: 'hihg'},
           {key: 'canary-key-of-f', maxPriority: 'high'},
           'canary-key-of-g',
           {name: ' ', key: 'canary key of h', weight: 1001},
         ],
         Providers: [{name: 'openai', api_key: 'sk-0123456789'}]}",
    );
    assert!(
        !errors.iter().any(|error| error.contains("canary")),
        "{errors:?}"
    );
    insta::assert_snapshot!(errors.join("\n"));
}

#[test]
fn without_a_word_about_them_requests_wait_conversations_stay_and_limits_are_corrected() {
    let loaded = load_text("{Providers: [{name: 'openai', api_key: 'sk-0123456789'}]}").unwrap();
    let gateway = loaded.gateway;
    assert!(gateway.tenants.is_empty());
    for queue in [gateway.queue, QueueConfig::default()] {
        assert_eq!(
            (queue.enabled, queue.max_wait, queue.max_length),
            (true, Duration::from_secs(30), 10_000)
        );
        assert_eq!(queue.max_bytes, 256 * 1024 * 1024);
    }
    for affinity in [gateway.affinity, AffinityConfig::default()] {
        assert_eq!(
            (affinity.enabled, affinity.ttl),
            (true, Duration::from_mins(5))
        );
        assert!((affinity.load_factor - 1.25).abs() < f64::EPSILON);
    }
    let openai = &gateway.providers[0];
    assert_eq!(openai.window, None);
    assert_eq!(
        (openai.correct_limits, openai.sequential),
        (true, Sequential::Off)
    );
}

#[test]
fn a_window_is_one_of_four_and_null_leaves_it_to_the_provider() {
    let window = |window: &str| {
        let text = format!(
            "{{ApiKeyPool: {{providers: {{openai: {{window: {window}, keys: [{{key: 'sk-0123456789'}}]}}}}}}}}"
        );
        load_text(&text).map(|loaded| loaded.gateway.providers[0].window)
    };
    for (text, expected) in [
        ("null", None),
        ("'bucket'", Some(Window::Bucket)),
        ("'sliding'", Some(Window::Sliding)),
        ("'fixed'", Some(Window::Fixed)),
        ("'slices'", Some(Window::Slices)),
    ] {
        assert_eq!(window(text).unwrap(), expected, "{text}");
    }
    assert!(window("'Bucket'").is_err());
}

#[test]
fn the_admin_token_may_not_be_the_client_key() {
    let errors = errors_of(
        "{APIKEY: 'one-and-the-same', Admin: {token: 'one-and-the-same'}, Providers: [{name: 'openai', api_key: 'sk-0123456789'}]}",
    );
    assert!(errors[0].contains("is the same as APIKEY"), "{errors:?}");
}

#[test]
fn the_dialect_is_told_by_name_then_host_then_url() {
    let dialect = |entry: &str| {
        let loaded = load_text(&format!(
            "{{Providers: [{{{entry}, api_key: 'sk-0123456789'}}]}}"
        ));
        let provider = loaded.unwrap().gateway.providers.remove(0);
        (provider.kind, provider.dialect)
    };
    let generic = |dialect| (ProviderKind::Generic(dialect), dialect);
    assert_eq!(
        dialect("name: 'anthropic'"),
        (ProviderKind::Anthropic, Dialect::Anthropic)
    );
    assert_eq!(
        dialect("name: 'mine', api_base_url: 'https://API.anthropic.com'"),
        (ProviderKind::Anthropic, Dialect::Anthropic)
    );
    assert_eq!(
        dialect("name: 'mine', api_base_url: 'https://llm.example.com/v1/messages'"),
        generic(Dialect::Anthropic)
    );
    assert_eq!(
        dialect("name: 'mine', api_base_url: 'https://llm.example.com/x'"),
        generic(Dialect::OpenAi)
    );
    assert_eq!(
        dialect(
            "name: 'deepseek', protocol: 'anthropic', api_base_url: 'https://api.deepseek.com/anthropic'"
        ),
        (ProviderKind::DeepSeek, Dialect::Anthropic)
    );
}

#[test]
fn a_configuration_without_providers_says_what_to_write() {
    for (text, expected) in [
        ("{}", "no provider is configured"),
        ("{ApiKeyPool: {providers: {}}}", "no provider is configured"),
        (
            "{ApiKeyPool: {enabled: false, providers: {openai: {keys: [{key: 'sk-0123456789'}]}}}}",
            "leaves the gateway without any key",
        ),
        ("{Providers: [{name: 'openai'}]}", "has no key"),
    ] {
        let errors = errors_of(text);
        assert!(
            errors.len() == 1 && errors[0].contains(expected),
            "{text}: {errors:?}"
        );
    }
}

#[test]
fn a_key_may_stand_in_a_file_beside_the_configuration() {
    // acceptance 14, 87
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("openai.key"), "sk-from-a-file-01\n").unwrap();
    let path = directory.path().join("config.json");
    std::fs::write(
        &path,
        "{Providers: [{name: 'openai', api_key: 'file:openai.key'}]}",
    )
    .unwrap();
    let loaded = load(&path).unwrap();
    assert_eq!(keys_of(&loaded.gateway.providers[0]), ["sk-from-a-file-01"]);
    assert_eq!(
        loaded.sources,
        [path.clone(), directory.path().join("openai.key")]
    );
    let state = directory.path().join("config.state.json");
    assert_eq!(loaded.gateway.state_file, Some(state));
}

#[test]
fn the_file_is_looked_for_in_the_documented_order() {
    let none = |_: &str| None;
    let variable = |name: &str| (name == "KEYPOOL_CONFIG").then(|| "from-variable.json".to_owned());
    let asked = Path::new("asked.json");
    assert_eq!(config::locate(Some(asked), &variable).unwrap(), asked);
    assert_eq!(
        config::locate(None, &variable).unwrap(),
        Path::new("from-variable.json")
    );
    let home = tempfile::tempdir().unwrap();
    let in_home = |name: &str| (name == "HOME").then(|| home.path().display().to_string());
    let error = config::locate(None, &in_home).unwrap_err().to_string();
    for place in [
        "--config",
        "$KEYPOOL_CONFIG",
        "config.json",
        ".config/keypool/config.json",
    ] {
        assert!(error.contains(place), "{error}");
    }
    assert!(config::locate(None, &none).is_err());
    std::fs::create_dir_all(home.path().join(".config/keypool")).unwrap();
    let path = home.path().join(".config/keypool/config.json");
    std::fs::write(&path, "{}").unwrap();
    assert_eq!(config::locate(None, &in_home).unwrap(), path);
}

#[test]
fn a_running_gateway_is_found_without_the_providers_keys() {
    let endpoint = config::endpoint(&fixture("everything.json5"), &|_| None).unwrap();
    assert_eq!(endpoint.url, "http://127.0.0.1:3456");
    assert!(endpoint.token.is_none());
    let endpoint = config::endpoint(&fixture("everything.json5"), &environment).unwrap();
    assert_eq!(endpoint.token.unwrap().expose(), "the-admin-token");
}

#[test]
fn the_examples_of_the_documents_load() {
    let read = |path: &str| std::fs::read_to_string(Path::new("../..").join(path)).unwrap();
    let mut count = 0;
    for document in ["README.md", "docs/configuration.md"] {
        let text = read(document);
        for block in text.split("```json5\n").skip(1) {
            let example = block.split("```").next().unwrap();
            // Files that only the reader's machine has.
            let account = std::path::absolute(fixture("service_account.json")).unwrap();
            let account = format!("file:{}", account.display());
            let example = example.replace("file:/run/secrets/service-account.json", &account);
            let example = example.replace("file:/run/secrets/", "sk-ant-in-a-file-");
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("config.json");
            std::fs::write(&path, example).unwrap();
            let loaded = config::load(&path, &|name| Some(format!("value-of-{name}")));
            assert!(loaded.is_ok(), "{document}: {}", loaded.unwrap_err());
            count += 1;
        }
    }
    assert!(count >= 2, "the documents have examples");
}
