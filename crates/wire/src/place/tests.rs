use super::*;
use crate::dialect::Endpoint;

fn call(endpoint: Endpoint, model: &str) -> Call<'_> {
    Call {
        model,
        ..Call::of(endpoint)
    }
}

fn azure(url: Option<&str>, said: &KeyPlace) -> Result<Place, PlaceError> {
    Place::of(ProviderKind::Azure, Dialect::OpenAi, url, said)
}

fn at_east() -> KeyPlace {
    KeyPlace {
        resource: Some("east".to_owned()),
        ..KeyPlace::default()
    }
}

fn at_version(version: Option<&str>) -> KeyPlace {
    KeyPlace {
        api_version: version.map(str::to_owned),
        ..KeyPlace::default()
    }
}

fn named(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(model, name)| ((*model).to_owned(), (*name).to_owned()))
        .collect()
}

#[test]
fn a_dated_version_puts_the_deployment_into_the_path_and_no_version_into_the_body() {
    let dated = KeyPlace {
        api_version: Some("2024-10-21".to_owned()),
        deployments: named(&[("gpt-4o", "our gpt/4o")]),
        ..at_east()
    };
    let dated = azure(None, &dated).unwrap();
    let chat = call(Endpoint::ChatCompletions, "gpt-4o");
    let base = "https://east.openai.azure.com/openai";
    assert_eq!(
        dated.url(&chat),
        format!("{base}/deployments/our%20gpt%2F4o/chat/completions?api-version=2024-10-21")
    );
    let embeddings = call(Endpoint::Embeddings, "ada");
    assert_eq!(
        dated.url(&embeddings),
        format!("{base}/deployments/ada/embeddings?api-version=2024-10-21")
    );
    let responses = call(Endpoint::Responses, "gpt-4o");
    assert_eq!(
        dated.url(&responses),
        format!("{base}/responses?api-version=2024-10-21")
    );
    assert_eq!(
        dated.models_url().unwrap(),
        format!("{base}/models?api-version=2024-10-21")
    );
    let body = Bytes::from(r#"{"model":"gpt-4o", "n": 1.0}"#);
    assert_eq!(dated.body(&chat, &body, ""), body);
    let named_in_body = r#"{"n":1.0,"model":"our gpt/4o"}"#;
    assert_eq!(dated.body(&responses, &body, ""), named_in_body);

    let newer = KeyPlace {
        deployment: Some("dep".to_owned()),
        ..at_east()
    };
    let newer = azure(None, &newer).unwrap();
    assert_eq!(newer.url(&chat), format!("{base}/v1/chat/completions"));
    assert_eq!(newer.models_url().unwrap(), format!("{base}/v1/models"));
    assert_eq!(newer.body(&chat, &body, ""), r#"{"n":1.0,"model":"dep"}"#);
}

#[test]
fn azures_base_url_may_be_written_in_any_of_its_forms() {
    let chat = call(Endpoint::ChatCompletions, "gpt-4o");
    for (url, version, expected) in [
        ("", None, "/openai/v1/chat/completions"),
        ("/openai/", None, "/openai/v1/chat/completions"),
        (
            "/openai/v1/chat/completions?api-version=preview",
            None,
            "/openai/v1/chat/completions?api-version=preview",
        ),
        (
            "/openai",
            Some("2025-04-01-preview"),
            "/openai/deployments/gpt-4o/chat/completions?api-version=2025-04-01-preview",
        ),
        (
            "/apim/openai/deployments/d/chat/completions?api-version=2024-10-21",
            None,
            "/apim/openai/deployments/d/chat/completions?api-version=2024-10-21",
        ),
        // Somebody in between who speaks like OpenAI himself.
        (
            "/openai-proxy/v1",
            None,
            "/openai-proxy/v1/chat/completions",
        ),
    ] {
        let place = azure(
            Some(&format!("https://r.example{url}")),
            &at_version(version),
        );
        assert_eq!(
            place.unwrap().url(&chat),
            format!("https://r.example{expected}"),
            "{url}"
        );
    }
    let queried = Call {
        query: Some("a=b"),
        ..chat
    };
    let url = "https://r.example/openai/deployments/d?api-version=2024-10-21";
    let dated = azure(Some(url), &KeyPlace::default());
    assert_eq!(
        dated.unwrap().url(&queried),
        "https://r.example/openai/deployments/d/chat/completions?api-version=2024-10-21&a=b"
    );
}

#[test]
fn responses_are_served_since_one_of_azures_versions() {
    for (version, serves) in [
        (None, true),
        (Some("2024-10-21"), false),
        (Some("2025-03-01-preview"), true),
        (Some("preview"), true),
    ] {
        let place = azure(Some("https://r.example"), &at_version(version));
        assert_eq!(place.unwrap().serves_responses(), serves, "{version:?}");
    }
}

#[test]
fn what_is_wrong_with_a_place_is_told_by_its_field() {
    let field = |place: Result<Place, PlaceError>| place.unwrap_err().field;
    assert_eq!(field(azure(None, &KeyPlace::default())), "resource");
    for resource in ["", "a.b", "-a", "a/b", "evil.example/#"] {
        let said = KeyPlace {
            resource: Some(resource.to_owned()),
            ..KeyPlace::default()
        };
        assert_eq!(field(azure(None, &said)), "resource", "{resource}");
    }
    let said = KeyPlace {
        base_url: Some("https://r.example".to_owned()),
        ..at_east()
    };
    assert_eq!(field(azure(None, &said)), "resource");
    let url = Some("https://r.example");
    assert_eq!(field(azure(url, &at_version(Some("2024")))), "apiVersion");
    let undated = Some("https://r.example/openai/deployments/d");
    assert_eq!(field(azure(undated, &KeyPlace::default())), "apiVersion");
    let said = KeyPlace {
        deployments: named(&[("gpt-*", "d")]),
        ..at_east()
    };
    assert_eq!(field(azure(None, &said)), "deployments");
    let openai = Place::of(ProviderKind::OpenAi, Dialect::OpenAi, url, &at_east());
    assert_eq!(field(openai), "resource");
    assert_eq!(
        field(azure(Some("ftp://x"), &KeyPlace::default())),
        "baseUrl"
    );
}

#[test]
fn one_secret_at_two_deployments_is_two_keys() {
    let identity = |deployment: &str| {
        let said = KeyPlace {
            deployment: Some(deployment.to_owned()),
            ..at_east()
        };
        said.identity()
    };
    assert_ne!(identity("a"), identity("b"));
    assert_eq!(identity("a"), identity("a"));
    let plain = KeyPlace {
        base_url: Some("https://r.example".to_owned()),
        ..at_version(Some("2024-10-21"))
    };
    assert_eq!(plain.identity(), None);
}

#[test]
fn members_that_stay_are_written_byte_for_byte() {
    let body = Bytes::from(r#" { "a" : 1.50 , "model":"x", "\u0062": {"c" : [ ] } } "#);
    assert_eq!(
        with_members(&body, &["model"], &[("z", 1.into())]),
        r#"{"a":1.50,"b":{"c" : [ ] },"z":1}"#
    );
    let empty = Bytes::from(r#"{"model":"x"}"#);
    assert_eq!(with_members(&empty, &["model"], &[]), "{}");
    let no_object = Bytes::from("[1]");
    assert_eq!(
        with_members(&no_object, &["model"], &[("z", 1.into())]),
        no_object
    );
}

fn vertex(dialect: Dialect, region: &str) -> Place {
    let said = KeyPlace {
        region: Some(region.to_owned()),
        project: Some("proj-1".to_owned()),
        ..KeyPlace::default()
    };
    Place::of(ProviderKind::Vertex, dialect, None, &said).unwrap()
}

#[test]
fn claude_on_vertex_is_named_in_the_path_and_a_version_in_the_body() {
    let place = vertex(Dialect::Anthropic, "us-east5");
    let messages = call(Endpoint::Messages, "claude-sonnet-4-5@20250929");
    let base = "https://us-east5-aiplatform.googleapis.com/v1/projects/proj-1/locations/us-east5";
    let claude = format!("{base}/publishers/anthropic/models/claude-sonnet-4-5@20250929");
    assert_eq!(place.url(&messages), format!("{claude}:rawPredict"));
    let streamed = Call {
        stream: true,
        query: Some("beta=true"),
        ..messages
    };
    assert_eq!(
        place.url(&streamed),
        format!("{claude}:streamRawPredict?beta=true")
    );
    let count = call(Endpoint::CountTokens, "claude-sonnet-4-5@20250929");
    assert_eq!(
        place.url(&count),
        format!("{base}/publishers/anthropic/models/count-tokens:rawPredict")
    );
    let body =
        Bytes::from(r#"{"model":"x","max_tokens":5,"anthropic_version":"mine","stream":true}"#);
    assert_eq!(
        place.body(&streamed, &body, ""),
        r#"{"max_tokens":5,"stream":true,"anthropic_version":"vertex-2023-10-16"}"#
    );
    assert_eq!(
        place.body(&count, &Bytes::from(r#"{"model":"x"}"#), ""),
        r#"{"model":"claude-sonnet-4-5@20250929","anthropic_version":"vertex-2023-10-16"}"#
    );
    assert_eq!(place.models_url(), None);

    let global = vertex(Dialect::Anthropic, "global").url(&messages);
    assert!(
        global
            .starts_with("https://aiplatform.googleapis.com/v1/projects/proj-1/locations/global/"),
        "{global}"
    );
    let gemini = Call {
        stream: true,
        ..call(Endpoint::GenerateContent, "gemini-2.5-flash")
    };
    assert_eq!(
        vertex(Dialect::Gemini, "us-east5").url(&gemini),
        format!("{base}/publishers/google/models/gemini-2.5-flash:streamGenerateContent?alt=sse")
    );
    assert_eq!(
        vertex(Dialect::OpenAi, "us-east5")
            .url(&call(Endpoint::ChatCompletions, "google/gemini-2.5-flash")),
        format!("{base}/endpoints/openapi/chat/completions")
    );
}

#[test]
fn vertex_wants_a_region_and_a_project() {
    let field = |region: Option<&str>, project: Option<&str>| {
        let said = KeyPlace {
            region: region.map(str::to_owned),
            project: project.map(str::to_owned),
            ..KeyPlace::default()
        };
        let place = Place::of(ProviderKind::Vertex, Dialect::Anthropic, None, &said);
        place.unwrap_err().field
    };
    assert_eq!(field(None, Some("p")), "region");
    assert_eq!(field(Some("evil.example/"), Some("p")), "region");
    assert_eq!(field(Some("us-east5"), None), "project");
}

#[test]
fn claude_on_bedrock_is_named_in_the_path_and_features_in_the_body() {
    let said = KeyPlace {
        region: Some("eu-west-1".to_owned()),
        deployments: named(&[("claude-sonnet-4-5", "eu.anthropic.claude-sonnet-4-5-v1:0")]),
        ..KeyPlace::default()
    };
    let place = Place::of(ProviderKind::Bedrock, Dialect::Anthropic, None, &said).unwrap();
    let messages = Call {
        query: Some("beta=true"),
        ..call(Endpoint::Messages, "claude-sonnet-4-5")
    };
    let model = "https://bedrock-runtime.eu-west-1.amazonaws.com/model/eu.anthropic.claude-sonnet-4-5-v1%3A0";
    assert_eq!(place.url(&messages), format!("{model}/invoke"));
    let streamed = Call {
        stream: true,
        ..messages
    };
    assert_eq!(
        place.url(&streamed),
        format!("{model}/invoke-with-response-stream")
    );
    assert_eq!(
        place.models_url().unwrap(),
        "https://bedrock.eu-west-1.amazonaws.com/foundation-models"
    );
    let body =
        Bytes::from(r#"{"model":"x","stream":true,"max_tokens":5,"anthropic_beta":["mine"]}"#);
    assert_eq!(
        place.body(&messages, &body, ""),
        r#"{"max_tokens":5,"anthropic_beta":["mine"],"anthropic_version":"bedrock-2023-05-31"}"#
    );
    assert_eq!(
        place.body(&messages, &body, "one, two,"),
        r#"{"max_tokens":5,"anthropic_version":"bedrock-2023-05-31","anthropic_beta":["one","two"]}"#
    );
    let openai = KeyPlace {
        deployments: BTreeMap::new(),
        ..said
    };
    let openai = Place::of(ProviderKind::Bedrock, Dialect::OpenAi, None, &openai).unwrap();
    assert_eq!(
        openai.url(&call(Endpoint::ChatCompletions, "openai.gpt-oss-120b-1:0")),
        "https://bedrock-runtime.eu-west-1.amazonaws.com/openai/v1/chat/completions"
    );
    let nowhere = Place::of(
        ProviderKind::Bedrock,
        Dialect::Anthropic,
        None,
        &KeyPlace::default(),
    );
    assert_eq!(nowhere.unwrap_err().field, "region");
}
