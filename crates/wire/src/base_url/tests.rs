use proptest::prelude::*;

use super::*;
use crate::provider::ProviderKind;

fn url(dialect: Dialect, base: &str, endpoint: Endpoint) -> String {
    UpstreamBase::parse(dialect, base)
        .unwrap_or_else(|e| panic!("{base}: {e}"))
        .url(&Call::of(endpoint))
}

#[test]
fn every_way_to_write_a_base_means_the_same() {
    for base in [
        "https://api.anthropic.com",
        "https://api.anthropic.com/",
        "HTTPS://API.anthropic.com/v1",
        "https://api.anthropic.com/v1/",
        "https://api.anthropic.com/v1/messages",
        "https://api.anthropic.com/v1/messages/count_tokens",
        "  https://api.anthropic.com/v1/messages/ ",
    ] {
        assert_eq!(
            url(Dialect::Anthropic, base, Endpoint::Messages),
            "https://api.anthropic.com/v1/messages"
        );
        assert_eq!(
            url(Dialect::Anthropic, base, Endpoint::CountTokens),
            "https://api.anthropic.com/v1/messages/count_tokens"
        );
    }
    for base in [
        "http://127.0.0.1:8080",
        "http://127.0.0.1:8080/v1",
        "http://127.0.0.1:8080/v1/chat/completions",
        "http://127.0.0.1:8080/v1/embeddings",
        "http://127.0.0.1:8080/v1/responses/",
    ] {
        assert_eq!(
            url(Dialect::OpenAi, base, Endpoint::ChatCompletions),
            "http://127.0.0.1:8080/v1/chat/completions"
        );
    }
}

#[test]
fn paths_of_other_providers_are_kept() {
    for (base, expected) in [
        (
            "https://api.groq.com/openai/v1",
            "https://api.groq.com/openai/v1/chat/completions",
        ),
        (
            "https://openrouter.ai/api",
            "https://openrouter.ai/api/v1/chat/completions",
        ),
        (
            "https://generativelanguage.googleapis.com/v1beta/openai/",
            "https://generativelanguage.googleapis.com/v1beta/openai/chat/completions",
        ),
        (
            "https://x.example/api/paas/v4",
            "https://x.example/api/paas/v4/chat/completions",
        ),
        (
            "https://x.example/no/version/chat/completions",
            "https://x.example/no/version/chat/completions",
        ),
        (
            "https://[::1]:9000",
            "https://[::1]:9000/v1/chat/completions",
        ),
        (
            "http://vllm/verbose",
            "http://vllm/verbose/v1/chat/completions",
        ),
    ] {
        assert_eq!(
            url(Dialect::OpenAi, base, Endpoint::ChatCompletions),
            expected
        );
    }
}

#[test]
fn in_geminis_api_model_method_and_version_stand_in_the_path() {
    let call = Call {
        model: "gemini-2.5-flash",
        query: Some("alt=json&%24x=1&$alt=sse"),
        ..Call::of(Endpoint::GenerateContent)
    };
    let stream = Call {
        stream: true,
        version: Some("v1"),
        ..call
    };
    for base in [
        "https://g.example",
        "https://g.example/v1beta",
        "https://g.example/v1beta/models/",
        "https://g.example/v1beta/models/gemini-2.5-flash:generateContent",
    ] {
        let base = UpstreamBase::parse(Dialect::Gemini, base).unwrap();
        assert_eq!(
            base.url(&call),
            "https://g.example/v1beta/models/gemini-2.5-flash:generateContent?%24x=1"
        );
        assert_eq!(
            base.url(&stream),
            "https://g.example/v1/models/gemini-2.5-flash:streamGenerateContent?alt=sse&%24x=1"
        );
        assert_eq!(base.models_url(), "https://g.example/v1beta/models");
    }
    // No model's name leads anywhere else, and its resource's name is the same.
    let base = UpstreamBase::parse(Dialect::Gemini, "https://g.example/proxy/v1").unwrap();
    for (model, segment) in [
        ("models/a", "a"),
        ("../../x?y#z", "..%2F..%2Fx%3Fy%23z"),
        ("a:b%2F", "a%3Ab%252F"),
    ] {
        let call = Call {
            model,
            query: None,
            ..call
        };
        let path = format!("/proxy/v1/models/{segment}:generateContent");
        assert_eq!(base.path_and_query(&call), path);
        for endpoint in [
            Endpoint::CountContentTokens,
            Endpoint::EmbedContent,
            Endpoint::BatchEmbedContents,
        ] {
            let call = Call { endpoint, ..call };
            let path = base.path_and_query(&call);
            let read = crate::GeminiPath::parse(path.strip_prefix("/proxy").unwrap()).unwrap();
            assert_eq!(read.endpoint, endpoint);
            assert_eq!(read.model, model.trim_start_matches("models/"));
        }
    }
}

#[test]
fn the_clients_query_is_kept() {
    let base = UpstreamBase::parse(Dialect::Anthropic, "https://api.anthropic.com").unwrap();
    assert_eq!(
        base.path_and_query(&Call::of(Endpoint::Messages).with_query("beta=true")),
        "/v1/messages?beta=true"
    );
    assert_eq!(
        base.path_and_query(&Call::of(Endpoint::Messages).with_query("")),
        "/v1/messages"
    );
    assert_eq!(
        (base.scheme(), base.authority()),
        (Scheme::Https, "api.anthropic.com")
    );
    assert_eq!(base.models_url(), "https://api.anthropic.com/v1/models");
}

#[test]
fn what_is_no_base_url_is_refused_without_being_quoted() {
    for (base, error) in [
        ("", BaseUrlError::Scheme),
        ("api.openai.com/v1", BaseUrlError::Scheme),
        ("ftp://x", BaseUrlError::Scheme),
        ("https://", BaseUrlError::Host),
        ("https:///v1", BaseUrlError::Host),
        ("https://x:port", BaseUrlError::Host),
        ("https://x:0", BaseUrlError::Host),
        ("https://x:99999", BaseUrlError::Host),
        ("https://[::1", BaseUrlError::Host),
        ("https://ho$t", BaseUrlError::Host),
        ("https://sk-secret@x", BaseUrlError::Credentials),
        ("https://x/a b", BaseUrlError::Characters),
        ("https://x/#top", BaseUrlError::Characters),
        ("https://exämple", BaseUrlError::Characters),
    ] {
        let refused = UpstreamBase::parse(Dialect::OpenAi, base).unwrap_err();
        assert_eq!(refused, error, "{base}");
        assert!(!refused.to_string().contains("secret"));
    }
}

#[test]
fn every_known_default_is_a_base_url_of_its_dialect() {
    for name in ProviderKind::names() {
        let kind = ProviderKind::from_name(name).unwrap();
        match kind.default_base_url() {
            Some(base) => {
                let parsed = UpstreamBase::parse(kind.dialect(), base).unwrap();
                assert_eq!(parsed.scheme() == Scheme::Http, kind.is_open(), "{name}");
                let models = parsed.models_url();
                assert!(
                    models.trim_end_matches("/models") == base || kind == ProviderKind::Anthropic,
                    "{name}"
                );
            }
            None => assert!(kind.is_placed_by_key(kind.dialect()), "{name}"),
        }
    }
}

#[test]
fn names_of_providers_are_known_in_any_case_and_others_are_not() {
    assert_eq!(
        ProviderKind::from_name("OpenAI"),
        Some(ProviderKind::OpenAi)
    );
    assert_eq!(ProviderKind::from_name("my-proxy"), None);
    assert_eq!(
        ProviderKind::Generic(Dialect::Gemini).default_base_url(),
        None
    );
}

#[test]
fn each_provider_takes_its_key_in_one_header() {
    for (kind, header, prefix) in [
        (ProviderKind::Anthropic, "x-api-key", ""),
        (ProviderKind::OpenAi, "authorization", "Bearer "),
        (ProviderKind::Gemini, "x-goog-api-key", ""),
        (ProviderKind::Azure, "api-key", ""),
        (ProviderKind::Groq, "authorization", "Bearer "),
    ] {
        let scheme = kind.auth_scheme(kind.dialect());
        assert_eq!(
            (scheme.header_name(), scheme.value_prefix()),
            (header, prefix)
        );
    }
    let gemini_as_openai = ProviderKind::Gemini.auth_scheme(Dialect::OpenAi);
    assert_eq!(gemini_as_openai.header_name(), "authorization");
}

proptest! {
    #[test]
    fn any_text_is_parsed_or_refused_without_panic(text in ".*") {
        for dialect in [Dialect::Anthropic, Dialect::OpenAi, Dialect::Gemini] {
            _ = UpstreamBase::parse(dialect, &text);
            _ = UpstreamBase::parse(dialect, &format!("https://{text}"));
        }
    }

    #[test]
    fn parsing_a_built_url_again_changes_nothing(path in "(/[a-z0-9]{1,4}){0,4}", port in 1_u16..) {
        for dialect in [Dialect::Anthropic, Dialect::OpenAi] {
            let base = UpstreamBase::parse(dialect, &format!("http://h:{port}{path}")).unwrap();
            for endpoint in Endpoint::ALL.into_iter().filter(|e| e.dialect() == dialect) {
                let again = UpstreamBase::parse(dialect, &base.url(&Call::of(endpoint))).unwrap();
                prop_assert_eq!(&again, &base);
            }
        }
    }
}
