//! Providers in the configuration file: what is known about names, and what has to be said.

#![allow(
    clippy::unwrap_used,
    reason = "clippy knows test functions, not the helpers beside them; a panic is a test's answer"
)]

use keypool::config::{self, LoadError, Loaded};
use keypool_gateway::config::{Credential, KeyEntry, ProviderConfig};
use keypool_wire::{Dialect, ProviderKind};

/// Loads a file with these providers in its pool.
fn load(providers: &str) -> Result<Loaded, LoadError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.json");
    let text = format!("{{ApiKeyPool: {{providers: {{{providers}}}}}}}");
    std::fs::write(&path, text).unwrap();
    config::load(&path, &|_| None)
}

#[track_caller]
fn provider(text: &str) -> ProviderConfig {
    match load(text) {
        Ok(loaded) => loaded.gateway.providers.into_iter().next().unwrap(),
        Err(error) => panic!("{text}: {error}"),
    }
}

/// The only error of a file that is wrong in one way.
#[track_caller]
fn error(providers: &str) -> String {
    match load(providers) {
        Err(LoadError::Invalid { problems, .. }) if problems.len() == 1 => {
            problems.first().unwrap().to_string()
        }
        other => panic!("one error was expected: {other:?}"),
    }
}

#[test]
fn local_servers_are_known_by_name_and_need_no_key() {
    for (name, kind, url) in [
        ("ollama", ProviderKind::Ollama, "http://localhost:11434/v1"),
        ("vllm", ProviderKind::Vllm, "http://localhost:8000/v1"),
        (
            "lmstudio",
            ProviderKind::LmStudio,
            "http://localhost:1234/v1",
        ),
    ] {
        let provider = provider(&format!("{name}: {{}}"));
        assert_eq!(
            (provider.kind, provider.base_url.as_deref()),
            (kind, Some(url))
        );
        assert_eq!(provider.keys.len(), 1);
        assert_eq!(provider.keys.first().unwrap().mask(), "none");
    }
    let message = error("openai: {keys: [{name: 'a'}]}");
    assert!(message.contains("keys[0].key: is required"), "{message}");
    assert!(message.contains("\"none\""), "{message}");
    let message = error("openai: {}");
    assert!(message.contains("has no key"), "{message}");
}

#[test]
fn a_provider_under_another_name_says_whose_rules_hold() {
    let two = provider("'groq-eu': {kind: 'groq', keys: [{key: 'gsk-0123456789'}]}");
    assert_eq!(two.kind, ProviderKind::Groq);
    assert_eq!(
        two.base_url.as_deref(),
        Some("https://api.groq.com/openai/v1")
    );
    let message = error("'groq-eu': {kind: 'groqq', keys: [{key: 'gsk-0123456789'}]}");
    assert!(message.contains("did you mean"), "{message}");
    assert!(message.contains("\"groq\""), "{message}");
    // Whatever listens on this machine, nobody knows by its address.
    let mine = provider(
        "mine: {baseUrl: 'http://localhost:8000/v1/chat/completions', keys: [{key: 'none'}]}",
    );
    assert_eq!(mine.kind, ProviderKind::Generic(Dialect::OpenAi));
}

#[test]
fn what_a_provider_can_do_is_known_by_its_name_unless_it_is_said() {
    assert!(provider("vllm: {}").serves_responses);
    assert!(!provider("ollama: {}").serves_responses);
    let said = provider("ollama: {responses: true, maxOutputTokens: 4096}");
    assert!(said.serves_responses);
    assert_eq!(said.output_tokens_max, Some(4096));
}

#[test]
fn a_key_of_azures_says_where_it_is_and_what_its_models_are_called() {
    let azure = provider(
        "azure: {keys: [
           {key: 'azure-key-0123456789', resource: 'east', apiVersion: '2025-04-01-preview',
            deployments: {'gpt-4o': 'prod-4o'}},
           {key: 'azure-key-0123456789', resource: 'east', deployment: 'other', auth: 'bearer'}]}",
    );
    assert_eq!(azure.kind, ProviderKind::Azure);
    assert_eq!(azure.base_url, None);
    assert!(azure.serves_responses);
    let models: Vec<_> = azure.keys.iter().map(|key| &key.models).collect();
    assert_eq!(models, [&vec!["gpt-4o".to_owned()], &Vec::new()]);
    let credentials: Vec<_> = azure.keys.iter().map(|key| &key.credential).collect();
    assert!(matches!(
        credentials.as_slice(),
        [Credential::Key, Credential::Bearer]
    ));
    let old = provider(
        "azure: {keys: [{key: 'azure-key-0123456789', resource: 'east', apiVersion: '2024-10-21'}]}",
    );
    assert!(!old.serves_responses);
}

#[test]
fn a_place_that_cannot_be_is_an_error_at_its_field() {
    let key = |fields: &str| format!("{{key: 'azure-key-0123456789', {fields}}}");
    for (provider, fields, field, words) in [
        ("azure", "", "resource: ", "is needed"),
        (
            "azure",
            "resource: 'east.openai.azure.com'",
            "resource: ",
            "without the rest",
        ),
        (
            "azure",
            "resource: 'east', apiVersion: '24-10'",
            "apiVersion: ",
            "2024-10-21",
        ),
        (
            "azure",
            "resource: 'east', baseUrl: 'https://r.example'",
            "resource: ",
            "one of them",
        ),
        (
            "azure",
            "resource: 'east', deployments: {'gpt-*': 'a'}",
            "deployments: ",
            "none has a *",
        ),
        (
            "openai",
            "resource: 'east'",
            "resource: ",
            "it is for azure",
        ),
    ] {
        let message = error(&format!("{provider}: {{keys: [{}]}}", key(fields)));
        assert!(message.contains(&format!("keys[0].{field}")), "{message}");
        assert!(message.contains(words), "{message}");
    }
    let message =
        error("azure: {keys: [{key: 'azure-key-0123456789', resource: 'east', deploymant: 'd'}]}");
    assert!(message.contains("did you mean \"deployment\""), "{message}");
}

#[test]
fn a_key_of_vertex_is_a_service_account() {
    let file = std::path::absolute("tests/fixtures/service_account.json").unwrap();
    let file = file.display();
    let vertex = provider(&format!(
        "vertex: {{keys: [{{key: 'file:{file}', region: 'us-east5'}}]}}"
    ));
    let key = vertex.keys.first().unwrap();
    assert_eq!(key.place.project.as_deref(), Some("proj-1"));
    assert!(matches!(key.credential, Credential::ServiceAccount(_)));
    assert_eq!(key.mask(), "0123****4567");
    assert!(!format!("{key:?}").contains("PRIVATE"));

    let message = error(&format!("vertex: {{keys: [{{key: 'file:{file}'}}]}}"));
    assert!(message.contains("keys[0].region: is needed"), "{message}");
    let message = error("vertex: {keys: [{key: 'AIza-no-account', region: 'us-east5'}]}");
    assert!(
        message.contains("keys[0].key: is no service account"),
        "{message}"
    );
    assert!(!message.contains("AIza"), "{message}");
    let bearer = provider(
        "vertex: {keys: [{key: 'ya29.token', auth: 'bearer', region: 'global', project: 'p'}]}",
    );
    assert!(matches!(
        bearer.keys.first().unwrap().credential,
        Credential::Bearer
    ));
}

#[test]
fn a_key_of_bedrock_is_an_access_key_or_an_api_key_in_a_region() {
    let pair = "accessKeyId: 'AKIAEXAMPLE12345', secretAccessKey: 'canary-secret'";
    let two = provider(&format!(
        "bedrock: {{keys: [{{{pair}, region: 'us-east-1'}}, {{{pair}, region: 'eu-west-1'}},
                           {{key: 'bedrock-api-key-1', region: 'us-east-1'}}]}}"
    ));
    let masks: Vec<String> = two.keys.iter().map(KeyEntry::mask).collect();
    assert_eq!(masks, ["AKIA****2345", "AKIA****2345", "bedr****ey-1"]);
    let ids: std::collections::BTreeSet<_> = two.keys.iter().map(KeyEntry::id).collect();
    assert_eq!(ids.len(), 3);
    assert!(!format!("{two:?}").contains("canary"));
    for (fields, field, words) in [
        (pair, "region: ", "is needed: a region such as us-east-1"),
        (
            "region: 'us-east-1'",
            "key: ",
            "or accessKeyId and secretAccessKey",
        ),
        (
            "accessKeyId: 'AKIAEXAMPLE12345', region: 'us-east-1'",
            "secretAccessKey: ",
            "is required",
        ),
        (
            "secretAccessKey: 'canary-secret', region: 'us-east-1'",
            "accessKeyId: ",
            "is required",
        ),
        (
            "key: 'k-0123456789', sessionToken: 't', region: 'us-east-1'",
            "key: ",
            "one of them",
        ),
        (
            "key: 'k-0123456789', region: 'us east'",
            "region: ",
            "is no region",
        ),
        (
            "key: 'k-0123456789', region: 'us-east-1', project: 'p'",
            "project: ",
            "it is for vertex",
        ),
    ] {
        let message = error(&format!("bedrock: {{keys: [{{{fields}}}]}}"));
        assert!(message.contains(&format!("keys[0].{field}")), "{message}");
        assert!(message.contains(words), "{message}");
        assert!(!message.contains("canary"), "{message}");
    }
    let message = error(&format!("anthropic: {{keys: [{{{pair}}}]}}"));
    assert!(message.contains("it is for bedrock"), "{message}");
}
