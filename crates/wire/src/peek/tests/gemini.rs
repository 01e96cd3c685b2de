use bytes::Bytes;

use super::ok;
use crate::dialect::Endpoint;
use crate::peek::{Peek, peek};
use crate::splice::upstream_body;

fn generate(body: &str) -> Peek {
    ok(Endpoint::GenerateContent, body)
}

#[test]
fn the_model_and_the_stream_are_not_the_bodys_to_say() {
    let peek = generate(r#"{"model":"models/x","stream":7,"contents":[]}"#);
    assert_eq!((peek.model, peek.stream), (None, false));
}

#[test]
fn the_bound_on_the_answer_is_found_in_the_settings_however_they_are_written() {
    for settings in [
        r#"{"generationConfig":{"maxOutputTokens":300,"temperature":1}}"#,
        r#"{"generation_config":{"max_output_tokens":300}}"#,
        r#"{"generationConfig":{"maxOutputTokens":"300"}}"#,
    ] {
        assert_eq!(
            generate(settings).max_output_tokens,
            Some(300),
            "{settings}"
        );
    }
    for none in [
        "{}",
        r#"{"generationConfig":{"maxOutputTokens":null}}"#,
        r#"{"generationConfig":[300]}"#,
        r#"{"maxOutputTokens":300}"#,
    ] {
        assert_eq!(generate(none).max_output_tokens, None, "{none}");
    }
    let wrong = br#"{"generationConfig":{"maxOutputTokens":1.5}}"#;
    let error = peek(Endpoint::GenerateContent, wrong)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("generationConfig.maxOutputTokens"),
        "{error}"
    );
}

#[test]
fn every_part_of_a_prompt_counts() {
    let text = "word ".repeat(200);
    let empty = generate(r#"{"contents":[]}"#).input_tokens;
    for (endpoint, body) in [
        (
            Endpoint::GenerateContent,
            format!(r#"{{"contents":[{{"parts":[{{"text":"{text}"}}]}}]}}"#),
        ),
        (
            Endpoint::GenerateContent,
            format!(r#"{{"systemInstruction":{{"parts":[{{"text":"{text}"}}]}}}}"#),
        ),
        (
            Endpoint::GenerateContent,
            format!(r#"{{"system_instruction":{{"parts":[{{"text":"{text}"}}]}}}}"#),
        ),
        (
            Endpoint::GenerateContent,
            format!(
                r#"{{"tools":[{{"functionDeclarations":[{{"name":"f","description":"{text}"}}]}}]}}"#
            ),
        ),
        (
            Endpoint::GenerateContent,
            format!(
                r#"{{"generationConfig":{{"responseJsonSchema":{{"description":"{text}"}}}}}}"#
            ),
        ),
        (
            Endpoint::CountContentTokens,
            format!(r#"{{"contents":[{{"parts":[{{"text":"{text}"}}]}}]}}"#),
        ),
        (
            Endpoint::CountContentTokens,
            format!(
                r#"{{"generateContentRequest":{{"model":"models/m","contents":[{{"parts":[{{"text":"{text}"}}]}}]}}}}"#
            ),
        ),
        (
            Endpoint::EmbedContent,
            format!(r#"{{"content":{{"parts":[{{"text":"{text}"}}]}}}}"#),
        ),
        (
            Endpoint::BatchEmbedContents,
            format!(
                r#"{{"requests":[{{"model":"models/m","content":{{"parts":[{{"text":"{text}"}}]}}}}]}}"#
            ),
        ),
    ] {
        let counted = ok(endpoint, &body).input_tokens;
        assert!((300..330).contains(&counted), "{counted} of {body}");
    }
    assert_eq!(empty, 0);
}

#[test]
fn pictures_cost_a_constant_and_seals_nothing() {
    let data = format!("iVBORw0KGgo{}", "A".repeat(100_000));
    let picture = format!(
        r#"{{"contents":[{{"parts":[{{"inlineData":{{"mimeType":"image/png","data":"{data}"}}}}]}}]}}"#
    );
    assert_eq!(generate(&picture).input_tokens, 1_300);
    let seal =
        format!(r#"{{"contents":[{{"parts":[{{"text":"","thoughtSignature":"{data}"}}]}}]}}"#);
    assert_eq!(generate(&seal).input_tokens, 0);
}

#[test]
fn a_conversation_keeps_its_prefix_from_turn_to_turn() {
    let first = generate(
        r#"{"systemInstruction":{"parts":[{"text":"Be kind."}]},"contents":[{"role":"user","parts":[{"text":"A"}]}]}"#,
    );
    let second = generate(
        r#"{"contents":[{"role":"user","parts":[{"text":"A"}]},{"role":"model","parts":[{"text":"B","thoughtSignature":"S"}]},{"role":"user","parts":[{"text":"C"}]}],"system_instruction":{"parts":[{"text":"Be kind."}]},"generationConfig":{"maxOutputTokens":9}}"#,
    );
    assert_eq!(first.prefix, second.prefix);
    let other = generate(r#"{"contents":[{"role":"user","parts":[{"text":"A"}]}]}"#);
    assert_ne!(first.prefix, other.prefix);
}

#[test]
fn what_a_project_keeps_ties_a_request_to_it() {
    let cached = generate(r#"{"cachedContent":"cachedContents/abc","contents":[]}"#);
    assert_eq!(
        (cached.state_ids.len(), cached.state_name()),
        (1, Some("cachedContent"))
    );
    let file = |uri: &str| {
        let body = format!(
            r#"{{"contents":[{{"parts":[{{"fileData":{{"mimeType":"image/png","fileUri":"{uri}"}}}}]}}]}}"#
        );
        generate(&body).state_name()
    };
    assert_eq!(
        file("https://generativelanguage.googleapis.com/v1beta/files/abc-123"),
        Some("file")
    );
    assert_eq!(file("https://www.youtube.com/watch?v=abc"), None);
    assert_eq!(file("gs://bucket/files/a.png"), None);
}

#[test]
fn the_model_is_written_anew_wherever_a_body_repeats_it_and_nowhere_else() {
    let sent = |endpoint, body: &str, model: &str| {
        let body = Bytes::copy_from_slice(body.as_bytes());
        let peek = peek(endpoint, &body).unwrap();
        let sent = upstream_body(&body, &peek, Some(model), true);
        String::from_utf8(sent.to_vec()).unwrap()
    };
    for (endpoint, body, expected) in [
        (
            Endpoint::BatchEmbedContents,
            r#"{ "requests": [{"model": "models/fast","content":{"parts":[{"model":"models/fast","text":"models/fast"}]}}, {"model":"fast"}] }"#,
            r#"{ "requests": [{"model": "models/real","content":{"parts":[{"model":"models/fast","text":"models/fast"}]}}, {"model":"models/real"}] }"#,
        ),
        (
            Endpoint::CountContentTokens,
            r#"{"generateContentRequest":{"model":"models/gemini,x","contents":[]}}"#,
            r#"{"generateContentRequest":{"model":"models/real","contents":[]}}"#,
        ),
        (
            Endpoint::EmbedContent,
            r#"{"model":"models\/fast","content":{}}"#,
            r#"{"model":"models/real","content":{}}"#,
        ),
        // What is right already is not touched, and nothing is added.
        (
            Endpoint::BatchEmbedContents,
            r#"{"requests":[{"model":"models\/real"},{"model":"real"}]}"#,
            r#"{"requests":[{"model":"models\/real"},{"model":"real"}]}"#,
        ),
        (
            Endpoint::GenerateContent,
            r#"{"contents":[]}"#,
            r#"{"contents":[]}"#,
        ),
        (Endpoint::GenerateContent, "{}", "{}"),
    ] {
        assert_eq!(sent(endpoint, body, "real"), expected);
        assert_eq!(sent(endpoint, body, "models/real"), expected);
    }
}

#[test]
fn a_request_whose_tokens_are_counted_is_looked_into_as_if_it_came_itself() {
    let whole = r#"{"model":"models/m","systemInstruction":{"parts":[{"text":"Be kind."}]},
        "contents":[{"role":"user","parts":[{"text":"What is this?"},
            {"inlineData":{"mimeType":"image/png","data":"iVBOR"}},
            {"fileData":{"fileUri":"https://generativelanguage.googleapis.com/v1beta/files/a"}}]}],
        "tools":[{"functionDeclarations":[{"name":"f","description":"finds"}]},{"googleSearch":{}}],
        "generationConfig":{"maxOutputTokens":7,"thinkingConfig":{"thinkingBudget":9},
            "responseSchema":{"type":"OBJECT"}},
        "cachedContent":"cachedContents/abc"}"#;
    let asked = generate(whole);
    for name in ["generateContentRequest", "generate_content_request"] {
        let body = format!(r#"{{"{name}":{whole}}}"#);
        let counted = ok(Endpoint::CountContentTokens, &body);
        assert_eq!(counted.kind, asked.kind);
        assert!(asked.kind.thinks && asked.kind.searches_web && asked.kind.has_images);
        assert_eq!(counted.input_tokens, asked.input_tokens);
        assert_eq!(
            (counted.prefix, &counted.state_ids),
            (asked.prefix, &asked.state_ids)
        );
        assert_eq!(asked.state_ids.len(), 2);
        assert_eq!(counted.max_output_tokens, None, "there is no answer");
    }
    let tagged = whole.replace("Be kind.", "<CCR-SUBAGENT-MODEL>a,b</CCR-SUBAGENT-MODEL>");
    let body = Bytes::from(format!(r#"{{"generateContentRequest":{tagged}}}"#));
    let mut peek = peek(Endpoint::CountContentTokens, &body).unwrap();
    let (model, without) = crate::splice::take_subagent_model(&body, &mut peek).unwrap();
    assert_eq!(model, "a,b");
    let sent = upstream_body(&without, &peek, Some("m2"), false);
    let expected = whole
        .replace("Be kind.", "")
        .replace("models/m", "models/m2");
    assert_eq!(sent, format!(r#"{{"generateContentRequest":{expected}}}"#));
}

#[test]
fn what_is_no_request_in_the_place_of_one_is_the_providers_to_complain_of() {
    for odd in ["7", "null", "[{}]", r#""x""#] {
        let body = format!(r#"{{"generateContentRequest":{odd},"contents":[]}}"#);
        assert_eq!(ok(Endpoint::CountContentTokens, &body).input_tokens, 0);
    }
    let deep = format!(
        r#"{{"generateContentRequest":{{"x":{}{}}}}}"#,
        "[".repeat(200),
        "]".repeat(200)
    );
    assert!(peek(Endpoint::CountContentTokens, deep.as_bytes()).is_err());
}
