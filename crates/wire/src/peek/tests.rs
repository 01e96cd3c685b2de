use proptest::prelude::*;

use super::*;
use crate::limits::JSON_DEPTH_MAX;

mod gemini;

fn ok(endpoint: Endpoint, body: &str) -> Peek {
    peek(endpoint, body.as_bytes()).unwrap_or_else(|e| panic!("{body}: {e}"))
}

fn refused(endpoint: Endpoint, body: &str) -> String {
    peek(endpoint, body.as_bytes()).unwrap_err().to_string()
}

fn tokens_of_chat(content: &str) -> u64 {
    let body = format!(r#"{{"messages":[{{"role":"user","content":{content}}}]}}"#);
    ok(Endpoint::ChatCompletions, &body).input_tokens
}

#[test]
fn the_model_is_found_with_its_place_and_its_escapes_resolved() {
    let body = r#" { "model" : "claude-é\u0041", "max_tokens": 5 }"#;
    let model = ok(Endpoint::Messages, body).model.unwrap();
    assert_eq!(model.name, "claude-éA");
    assert_eq!(&body[model.range], r#""claude-é\u0041""#);
}

#[test]
fn a_name_written_with_escapes_is_still_the_member() {
    let model = ok(Endpoint::Messages, r#"{"mod\u0065l":"x"}"#)
        .model
        .unwrap();
    assert_eq!(model.name, "x");
}

#[test]
fn members_of_nested_objects_are_not_the_requests_own() {
    let seen = ok(
        Endpoint::Messages,
        r#"{"metadata":{"model":"inner","stream":true},"messages":[{"model":"other"}]}"#,
    );
    assert_eq!((seen.model, seen.stream), (None, false));
}

#[test]
fn a_missing_model_is_none_and_absent_flags_are_off() {
    let seen = ok(Endpoint::Messages, "{}");
    assert_eq!(seen.model, None);
    assert!(!seen.stream && !seen.asks_usage);
    assert_eq!((seen.max_output_tokens, seen.input_tokens), (None, 0));
}

#[test]
fn each_endpoint_reads_its_own_bound_on_the_answer() {
    let body = r#"{"max_tokens":1,"max_completion_tokens":2,"max_output_tokens":3}"#;
    assert_eq!(ok(Endpoint::Messages, body).max_output_tokens, Some(1));
    assert_eq!(
        ok(Endpoint::ChatCompletions, body).max_output_tokens,
        Some(2)
    );
    assert_eq!(ok(Endpoint::Responses, body).max_output_tokens, Some(3));
    assert_eq!(ok(Endpoint::Embeddings, body).max_output_tokens, None);
}

#[test]
fn the_newer_bound_wins_in_either_order_unless_it_is_null() {
    for (body, bound) in [
        (r#"{"max_completion_tokens":2,"max_tokens":1}"#, 2),
        (r#"{"max_tokens":1,"max_completion_tokens":null}"#, 1),
        (r#"{"max_tokens":1,"max_tokens":4}"#, 4),
    ] {
        let seen = ok(Endpoint::ChatCompletions, body);
        assert_eq!(seen.max_output_tokens, Some(bound), "{body}");
    }
}

#[test]
fn stream_and_usage_options_are_read() {
    let seen = ok(
        Endpoint::ChatCompletions,
        r#"{"stream":true,"stream_options":{"include_obfuscation":false,"include_usage":true}}"#,
    );
    assert!(seen.stream && seen.asks_usage);
    let seen = ok(
        Endpoint::ChatCompletions,
        r#"{"stream":null,"stream_options":{"include_usage":null}}"#,
    );
    assert!(!seen.stream && !seen.asks_usage);
}

#[test]
fn a_wrong_type_is_refused_by_name() {
    for (body, message) in [
        (r#"{"model":7}"#, "`model` must be a string, not a number"),
        (r#"{"model":null}"#, "`model` must be a string, not null"),
        (
            r#"{"model":{"id":1}}"#,
            "`model` must be a string, not an object",
        ),
        (
            r#"{"model":"\ud83d"}"#,
            "`model` must be a string of valid Unicode characters, not a string",
        ),
        (
            r#"{"stream":"true"}"#,
            "`stream` must be true or false, not a string",
        ),
        (
            r#"{"stream":1}"#,
            "`stream` must be true or false, not a number",
        ),
        (
            r#"{"max_tokens":-1}"#,
            "`max_tokens` must be a whole number of tokens, not a negative number",
        ),
        (
            r#"{"max_tokens":"5"}"#,
            "`max_tokens` must be a whole number of tokens, not a string",
        ),
        (
            r#"{"max_completion_tokens":1.5}"#,
            "`max_completion_tokens` must be a whole number of tokens, not a fraction",
        ),
        (
            r#"{"stream_options":[]}"#,
            "`stream_options` must be an object, not an array",
        ),
        (
            r#"{"stream_options":{"include_usage":"yes"}}"#,
            "`stream_options.include_usage` must be true or false, not a string",
        ),
    ] {
        assert_eq!(refused(Endpoint::ChatCompletions, body), message);
    }
}

#[test]
fn a_second_model_is_refused() {
    assert_eq!(
        refused(
            Endpoint::Messages,
            r#"{"model":"a","model":"b","model":"c"}"#
        ),
        "`model` is given more than once"
    );
}

#[test]
fn broken_json_is_refused_with_its_place() {
    for (body, message) in [
        ("", "the request body is empty; send a JSON object"),
        (" \n", "the request body is empty; send a JSON object"),
        ("[]", "the request body must be a JSON object"),
        ("\"x\"", "the request body must be a JSON object"),
        (
            "{\n \"model\": x}",
            "the request body is not valid JSON: expected value at line 2 column 11",
        ),
        (
            "{\"a\":1}}",
            "the request body is not valid JSON: trailing characters at line 1 column 8",
        ),
        (
            "{\"a\":[1,2",
            "the request body is not valid JSON: EOF while parsing a list at line 1 column 9",
        ),
    ] {
        assert_eq!(refused(Endpoint::Messages, body), message);
    }
}

#[test]
fn what_is_wrong_deep_inside_is_found_too() {
    for body in [
        r#"{"messages":[{"content":"a"b"}]}"#,
        r#"{"tools":[{"x":01}]}"#,
        "{\"metadata\":{\"x\":\"\u{1}\"}}",
        r#"{"messages":[{"content":"\x"}]}"#,
        r#"{"metadata":{"x":tru}}"#,
    ] {
        let error = peek(Endpoint::Messages, body.as_bytes()).unwrap_err();
        assert!(
            matches!(error, PeekError::NotJson { line: 1, .. }),
            "{body}: {error}"
        );
    }
}

#[test]
fn bytes_that_are_not_utf8_are_refused_with_their_place() {
    let error = peek(Endpoint::Messages, b"{\n\"a\":\"\xFF\"}").unwrap_err();
    assert_eq!(error, PeekError::NotUtf8 { line: 2, column: 6 });
}

#[test]
fn half_a_surrogate_pair_in_a_prompt_is_the_providers_to_judge() {
    ok(
        Endpoint::Messages,
        r#"{"messages":[{"role":"user","content":"cut \ud83d"}]}"#,
    );
}

#[test]
fn nesting_is_bounded_wherever_it_is() {
    for member in ["messages", "tools", "metadata"] {
        for (depth, fits) in [
            (JSON_DEPTH_MAX - 1, true),
            (JSON_DEPTH_MAX, false),
            (100_000, false),
        ] {
            let body = format!(
                r#"{{"{member}":{}{}}}"#,
                "[".repeat(depth),
                "]".repeat(depth)
            );
            let seen = peek(Endpoint::Messages, body.as_bytes());
            let expected = if fits { None } else { Some(PeekError::TooDeep) };
            assert_eq!(seen.err(), expected, "{member} {depth}");
        }
    }
}

#[test]
fn brackets_in_text_are_not_nesting() {
    let body = format!(r#"{{"messages":["{}"]}}"#, "[{".repeat(1000));
    ok(Endpoint::Messages, &body);
}

#[test]
fn english_text_is_about_three_bytes_a_token() {
    let text = "The quick brown fox jumps over the lazy dog. ".repeat(20);
    let tokens = tokens_of_chat(&format!("{text:?}"));
    assert_eq!(tokens, 4 + (900_u64 * 10).div_ceil(33));
}

#[test]
fn wide_characters_count_one_token_each_however_they_are_written() {
    let raw = tokens_of_chat(r#""你好世界""#);
    let escaped = tokens_of_chat(r#""\u4f60\u597d\u4e16\u754c""#);
    assert_eq!((raw, escaped), (4 + 4, 4 + 4));
    assert_eq!(tokens_of_chat(r#""🦀🦀""#), 4 + 2);
}

#[test]
fn escapes_count_as_what_they_mean() {
    let plain = tokens_of_chat(&format!("{:?}", "x".repeat(330)));
    let escaped = tokens_of_chat(&format!("\"{}\"", r"\n".repeat(330)));
    let in_unicode = tokens_of_chat(&format!("\"{}\"", r"\u0041".repeat(330)));
    assert_eq!((plain, escaped, in_unicode), (104, 104, 104));
}

#[test]
fn base64_images_cost_a_constant_and_not_their_size() {
    let data = format!("iVBORw0KGgo{}", "A".repeat(2_000_000));
    let small = format!("iVBORw0KGgo{}", "A".repeat(2_000));
    let anthropic = |data: &str| {
        format!(
            r#"[{{"type":"image","source":{{"type":"base64","media_type":"image/png","data":"{data}"}}}}]"#
        )
    };
    let chat = |data: &str| {
        format!(r#"[{{"type":"image_url","image_url":{{"url":"data:image/png;base64,{data}"}}}}]"#)
    };
    let responses = |data: &str| {
        format!(r#"[{{"type":"input_image","image_url":"data:image/png;base64,{data}"}}]"#)
    };
    for form in [&anthropic as &dyn Fn(&str) -> String, &chat, &responses] {
        let tokens = tokens_of_chat(&form(&data));
        assert_eq!(tokens, tokens_of_chat(&form(&small)));
        assert!((1_000..2_000).contains(&tokens), "{tokens}");
    }
}

#[test]
fn documents_count_by_their_size() {
    let document = |length: usize| {
        tokens_of_chat(&format!(
            r#"[{{"type":"document","source":{{"type":"base64","data":"JVBERi{}"}}}}]"#,
            "A".repeat(length)
        ))
    };
    let (small, large) = (document(24_000), document(240_000));
    assert!(small > 900 && large > 9 * small, "{small} {large}");
    assert!(
        large < 240_000 / 10,
        "far less than text of that length: {large}"
    );
}

#[test]
fn a_short_or_spaced_data_member_is_text() {
    let text = "plain words that a tool was called with ".repeat(20);
    let tokens = tokens_of_chat(&format!(
        r#"[{{"type":"tool_use","input":{{"data":{text:?}}}}}]"#
    ));
    assert!(tokens > 200, "{tokens}");
}

#[test]
fn signatures_and_sealed_reasoning_are_not_text() {
    let sealed = "A".repeat(5000);
    let tokens = tokens_of_chat(&format!(
        r#"[{{"type":"thinking","thinking":"hm","signature":"{sealed}","encrypted_content":"{sealed}"}}]"#
    ));
    assert!(tokens < 20, "{tokens}");
}

#[test]
fn tools_count_with_their_names_and_punctuation() {
    let tool =
        r#"{"name":"f","input_schema":{"type":"object","properties":{"a":{"type":"string"}}}}"#;
    let body = format!(r#"{{"tools":[{tool}]}}"#);
    let tokens = ok(Endpoint::Messages, &body).input_tokens;
    let by_length = (tool.len() as u64) * 10 / 33;
    assert!(
        tokens.abs_diff(by_length) <= by_length / 4,
        "{tokens} for {by_length}"
    );
}

#[test]
fn every_part_of_a_prompt_counts_at_its_endpoint() {
    let text = "word ".repeat(66);
    let counted = 100;
    for (endpoint, body) in [
        (Endpoint::Messages, format!(r#"{{"system":"{text}"}}"#)),
        (
            Endpoint::Messages,
            format!(r#"{{"system":[{{"type":"text","text":"{text}"}}]}}"#),
        ),
        (
            Endpoint::CountTokens,
            format!(r#"{{"messages":[{{"content":"{text}"}}]}}"#),
        ),
        (Endpoint::Responses, format!(r#"{{"input":"{text}"}}"#)),
        (
            Endpoint::Responses,
            format!(r#"{{"instructions":"{text}"}}"#),
        ),
        (
            Endpoint::ChatCompletions,
            format!(
                r#"{{"messages":[{{"tool_calls":[{{"function":{{"arguments":"{text}"}}}}]}}]}}"#
            ),
        ),
        (Endpoint::Embeddings, format!(r#"{{"input":["{text}"]}}"#)),
    ] {
        let tokens = ok(endpoint, &body).input_tokens;
        assert!(
            (counted..counted + 8).contains(&tokens),
            "{endpoint:?}: {tokens}"
        );
    }
    let elsewhere = format!(r#"{{"metadata":{{"note":"{text}"}},"user":"{text}"}}"#);
    assert_eq!(ok(Endpoint::ChatCompletions, &elsewhere).input_tokens, 0);
}

#[test]
fn token_ids_count_one_each() {
    let seen = ok(Endpoint::Embeddings, r#"{"input":[[1, 22 ,333],[-4,5]]}"#);
    assert_eq!(seen.input_tokens, 5);
}

fn arb_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        ".*".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
            prop::collection::hash_map(
                prop_oneof![
                    Just("model".to_owned()),
                    Just("messages".to_owned()),
                    Just("content".to_owned()),
                    Just("stream".to_owned()),
                    Just("type".to_owned()),
                    ".{0,8}"
                ],
                inner,
                0..5
            )
            .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

/// The strings and names of a tree, in the order they are written.
fn strings_of(value: &serde_json::Value, out: &mut Vec<String>) {
    match value {
        serde_json::Value::String(text) => out.push(text.clone()),
        serde_json::Value::Array(items) => items.iter().for_each(|item| strings_of(item, out)),
        serde_json::Value::Object(members) => {
            for (name, value) in members {
                out.push(name.clone());
                strings_of(value, out);
            }
        }
        serde_json::Value::Null | serde_json::Value::Bool(_) | serde_json::Value::Number(_) => {}
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused_without_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        for endpoint in Endpoint::ALL {
            _ = peek(endpoint, &body);
        }
        Walk::new(&body).for_each(drop);
    }

    #[test]
    fn damaged_json_is_read_or_refused_without_panic(
        json in arb_json(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let mut body = json.to_string().into_bytes();
        let position = at.index(body.len());
        body[position] = byte;
        for endpoint in Endpoint::ALL {
            let accepted = peek(endpoint, &body).is_ok();
            let is_object = serde_json::from_slice::<serde_json::Map<_, _>>(&body).is_ok();
            // What is accepted is JSON, apart from numbers and surrogates only a tree has to hold.
            prop_assert!(!accepted || is_object || serde_json::from_slice::<&serde_json::value::RawValue>(&body).is_ok());
        }
    }

    #[test]
    fn a_walk_finds_exactly_the_strings_and_names(json in arb_json(), pretty in any::<bool>()) {
        let text = if pretty {
            serde_json::to_string_pretty(&json).unwrap()
        } else {
            json.to_string()
        };
        let found: Vec<String> = Walk::new(text.as_bytes())
            .filter_map(|piece| match piece {
                Piece::Name(bytes) => Some(bytes),
                Piece::Text(raw) => Some(raw.bytes),
                Piece::Number(_) | Piece::Open | Piece::Close => None,
            })
            .map(|bytes| {
                let quoted = format!("\"{}\"", str::from_utf8(bytes).unwrap());
                serde_json::from_str(&quoted).unwrap()
            })
            .collect();
        let mut expected = Vec::new();
        strings_of(&json, &mut expected);
        prop_assert_eq!(found, expected);
    }
}
