//! The rules by which something is changed, left out or refused, each for itself.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that fails says where"
)]

mod util;

use std::fmt::Write as _;

use keypool_translate::rules::{Field, Verdict};
use keypool_translate::{
    AnthropicVersion, Api, ChatFlavour, ClientRequest, Losses, ServerTools, StreamTranslator,
    Target, translate_answer, without_foreign_state,
};
use serde_json::{Value, json};
use util::{fixtures, settings, target};

/// A request's translation, and what is said to be lost.
fn write(from: Api, body: &Value, target: &Target<'_>) -> Result<(Value, Losses), String> {
    let body = body.to_string();
    let request = ClientRequest::read(from, body.as_bytes()).map_err(|e| e.to_string())?;
    let translated = request.write(target).map_err(|e| e.to_string())?;
    let body = serde_json::from_slice(&translated.body).unwrap();
    Ok((body, translated.losses))
}

fn says(losses: &Losses, field: &str) -> bool {
    losses.iter().any(|loss| loss.field == field)
}

fn chat(more: &Value) -> Value {
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}]});
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    body
}

#[test]
fn the_table_of_rules_is_as_it_was_agreed() {
    let mut table = String::from("field | Messages | Chat | Responses | Gemini | what or why\n");
    for field in Field::ALL {
        write!(table, "{}", field.name()).unwrap();
        for api in Api::ALL {
            let word = match field.verdict(api) {
                Verdict::Carried => "carried",
                Verdict::Changed => "changed",
                Verdict::Dropped => "dropped",
                Verdict::Refused => "refused",
            };
            write!(table, " | {word}").unwrap();
        }
        writeln!(table, " | {}", field.why()).unwrap();
    }
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!("rules", table);
    });
}

#[test]
fn temperature_is_cut_to_anthropic_s_range_and_that_is_said() {
    let target = Target::new(Api::Messages, "claude-sonnet-4-5");
    let body = chat(&json!({"temperature": 1.4}));
    let (body, losses) = write(Api::ChatCompletions, &body, &target).unwrap();
    assert_eq!(body["temperature"], 1);
    assert_eq!(losses.to_string(), "temperature: changed");
}

#[test]
fn sampling_is_left_out_where_version_or_model_refuse_it() {
    let body = chat(&json!({"temperature": 1.0, "top_p": 1.0}));
    let mut newest_version = Target::new(Api::Messages, "claude-sonnet-4-5");
    newest_version.anthropic_version = AnthropicVersion::V20261021;
    let newest_model = Target::new(Api::Messages, "claude-opus-4-8");
    for target in [newest_version, newest_model] {
        let (body, losses) = write(Api::ChatCompletions, &body, &target).unwrap();
        assert!(
            body["temperature"].is_null() && body["top_p"].is_null(),
            "{body}"
        );
        assert!(says(&losses, "temperature, top_p, top_k"), "{losses}");
    }
}

#[test]
fn nothing_is_written_that_the_newest_version_of_anthropic_s_api_refuses() {
    let mut target = Target::new(Api::Messages, "claude-sonnet-4-5");
    target.anthropic_version = AnthropicVersion::V20261021;
    let mut written = 0;
    for fixture in fixtures("requests") {
        // A client of Anthropic's own API, too: what an older version took, the newer one may not.
        let request = ClientRequest::read(fixture.api, &fixture.bytes).unwrap();
        let Ok(translated) = request.write(&target) else {
            continue;
        };
        written += 1;
        let body: Value = serde_json::from_slice(&translated.body).unwrap();
        for name in ["temperature", "top_p", "top_k"] {
            assert!(body[name].is_null(), "{name} in {}", fixture.name);
        }
        let blocks = |role| {
            let messages = body["messages"].as_array().unwrap().iter();
            let messages = messages.filter(move |message| message["role"] == role);
            messages
                .filter_map(|message| message["content"].as_array())
                .flatten()
        };
        assert!(
            blocks("assistant").all(|block| block["type"] != "document"),
            "{body}"
        );
        assert!(
            blocks("user").all(|block| block["citations"].is_null()),
            "{body}"
        );
    }
    assert!(written > 20, "{written}");
}

#[test]
fn what_a_client_of_either_version_of_anthropic_s_api_may_say_is_read() {
    // The newer version refuses the document and the citations; a provider of another API gets neither.
    let document = json!({
        "type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "A line."},
    });
    let body = json!({"model": "m", "max_tokens": 9, "messages": [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": [document]},
        {"role": "user", "content": "Bye"},
    ]});
    let refusal = write(Api::Messages, &body, &target(Api::ChatCompletions)).unwrap_err();
    assert!(refusal.contains("media of the model"), "{refusal}");
    let text = json!({"type": "text", "text": "Hi", "citations": [{"type": "char_location"}]});
    let body =
        json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": [text]}]});
    let (body, losses) = write(Api::Messages, &body, &target(Api::ChatCompletions)).unwrap();
    assert_eq!(body["messages"][0]["content"], "Hi");
    assert_eq!(losses.to_string(), "citations: dropped");
}

#[test]
fn of_temperature_and_top_p_newer_claude_models_get_one() {
    let body = chat(&json!({"temperature": 0.5, "top_p": 0.9}));
    let old = Target::new(Api::Messages, "claude-3-5-sonnet-20241022");
    let (both, _) = write(Api::ChatCompletions, &body, &old).unwrap();
    assert_eq!(
        (&both["temperature"], &both["top_p"]),
        (&json!(0.5), &json!(0.9))
    );
    let newer = Target::new(Api::Messages, "claude-sonnet-4-5");
    let (one, losses) = write(Api::ChatCompletions, &body, &newer).unwrap();
    assert_eq!(one["temperature"], 0.5);
    assert!(one["top_p"].is_null() && says(&losses, "top_p"));
}

#[test]
fn max_tokens_are_made_up_where_they_are_demanded_and_bounded_by_the_model() {
    let mut target = Target::new(Api::Messages, "claude-sonnet-4-5");
    let (body, _) = write(Api::ChatCompletions, &chat(&json!({})), &target).unwrap();
    assert_eq!(body["max_tokens"], Target::OUTPUT_TOKENS_DEFAULT);
    target.output_tokens_max = Some(1_000);
    for wish in [json!({}), json!({"max_tokens": 64_000})] {
        let (body, _) = write(Api::ChatCompletions, &chat(&wish), &target).unwrap();
        assert_eq!(body["max_tokens"], 1_000);
    }
    let chat_target = Target::new(Api::ChatCompletions, "gpt-5.2");
    let gemini = json!({"contents": [{"parts": [{"text": "Hi"}]}]});
    let (body, _) = write(Api::GenerateContent, &gemini, &chat_target).unwrap();
    assert!(body["max_completion_tokens"].is_null());
}

#[test]
fn imitations_of_openai_get_the_names_they_know() {
    let mut target = Target::new(Api::ChatCompletions, "deepseek-reasoner");
    target.chat = ChatFlavour::Compatible;
    let body = json!({
        "model": "m", "max_tokens": 9, "metadata": {"user_id": "u"},
        "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": "keypool::chat::"},
                {"type": "text", "text": "Hello"},
            ]},
            {"role": "user", "content": "Bye"},
        ],
    });
    let (body, losses) = write(Api::Messages, &body, &target).unwrap();
    assert_eq!(
        (&body["max_tokens"], &body["user"]),
        (&json!(9), &json!("u"))
    );
    assert_eq!(body["messages"][1]["reasoning_content"], "Hm.");
    assert!(losses.is_empty(), "{losses}");
}

#[test]
fn tools_of_the_provider_are_refused_or_dropped_as_configured() {
    let body = json!({
        "model": "m", "max_tokens": 99, "messages": [{"role": "user", "content": "Hi"}],
        "tools": [{"type": "web_search_20260318", "name": "web_search"}],
    });
    for api in [Api::ChatCompletions, Api::Responses, Api::GenerateContent] {
        let mut target = target(api);
        let refusal = write(Api::Messages, &body, &target).unwrap_err();
        assert!(refusal.contains("`web_search_20260318`"), "{refusal}");
        target.server_tools = ServerTools::Drop;
        let (body, losses) = write(Api::Messages, &body, &target).unwrap();
        assert!(body["tools"].is_null());
        assert_eq!(losses.to_string(), "server tools: dropped");
    }
}

#[test]
fn thinking_is_asked_for_in_the_way_the_model_understands() {
    let body = chat(&json!({"reasoning_effort": "high", "max_completion_tokens": 50_000}));
    let budget = Target::new(Api::Messages, "claude-sonnet-4-5");
    let (body_of_budget, _) = write(Api::ChatCompletions, &body, &budget).unwrap();
    let expected = json!({"type": "enabled", "budget_tokens": 24_576});
    assert_eq!(body_of_budget["thinking"], expected);
    let adaptive = Target::new(Api::Messages, "claude-opus-4-8");
    let (body_of_adaptive, _) = write(Api::ChatCompletions, &body, &adaptive).unwrap();
    assert_eq!(body_of_adaptive["thinking"], json!({"type": "adaptive"}));
    assert_eq!(body_of_adaptive["output_config"], json!({"effort": "high"}));
    let gemini = Target::new(Api::GenerateContent, "gemini-2.5-pro");
    let (body_of_gemini, _) = write(Api::ChatCompletions, &body, &gemini).unwrap();
    let config = &body_of_gemini["generationConfig"]["thinkingConfig"];
    assert_eq!(config, &json!({"thinkingBudget": 24_576}));
}

#[test]
fn models_that_do_not_reason_are_not_asked_to() {
    let body = json!({
        "model": "m", "max_tokens": 9_000, "messages": [{"role": "user", "content": "Hi"}],
        "thinking": {"type": "enabled", "budget_tokens": 4_000},
    });
    for api in [Api::ChatCompletions, Api::Responses] {
        let (body, losses) = write(Api::Messages, &body, &Target::new(api, "gpt-4o")).unwrap();
        assert!(body["reasoning_effort"].is_null() && body["reasoning"].is_null());
        assert!(body["include"].is_null(), "{body}");
        assert_eq!(losses.to_string(), "reasoning: dropped");
    }
}

#[test]
fn thinking_gives_way_to_a_forced_tool_and_to_a_turn_without_its_thinking() {
    let tools = json!([{"type": "function", "function": {"name": "t"}}]);
    let forced = chat(&json!({
        "reasoning_effort": "low", "tools": tools, "tool_choice": "required",
        "max_tokens": 9_000,
    }));
    let call = json!({"id": "c", "type": "function", "function": {"name": "t", "arguments": "{}"}});
    let within = json!({
        "model": "m", "reasoning_effort": "low", "tools": tools, "max_tokens": 9_000,
        "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c", "content": "1"},
        ],
    });
    let target = Target::new(Api::Messages, "claude-sonnet-4-5");
    for body in [forced, within] {
        let (body, losses) = write(Api::ChatCompletions, &body, &target).unwrap();
        assert!(body["thinking"].is_null(), "{body}");
        assert_eq!(losses.to_string(), "reasoning: dropped");
    }
}

/// Answers with state that only their maker can read, and that state.
fn sealed_answers() -> Vec<(Api, Value, Vec<&'static str>)> {
    let call = json!({"name": "t", "args": {}});
    vec![
        (
            Api::Messages,
            json!({
                "id": "m", "type": "message", "model": "m", "stop_reason": "tool_use",
                "content": [
                    {"type": "thinking", "thinking": "Hm.", "signature": "SIGNATURE="},
                    {"type": "redacted_thinking", "data": "REDACTED="},
                    {"type": "tool_use", "id": "c1", "name": "t", "input": {}},
                ],
            }),
            vec!["SIGNATURE=", "REDACTED="],
        ),
        (
            Api::Responses,
            json!({
                "id": "r", "model": "m", "status": "completed",
                "output": [
                    {
                        "type": "reasoning", "id": "rs_1", "encrypted_content": "ENCRYPTED=",
                        "summary": [{"type": "summary_text", "text": "Hm."}],
                    },
                    {"type": "function_call", "call_id": "c1", "name": "t", "arguments": "{}"},
                ],
            }),
            vec!["ENCRYPTED="],
        ),
        (
            Api::GenerateContent,
            json!({
                "responseId": "g",
                "candidates": [{"finishReason": "STOP", "content": {"role": "model", "parts": [
                    {"text": "Hm.", "thought": true},
                    {"functionCall": call, "thoughtSignature": "THOUGHT="},
                ]}}],
            }),
            vec!["THOUGHT="],
        ),
    ]
}

/// The next request of a client that sends back what it got.
fn next_request(api: Api, answer: &Value) -> Value {
    let user = "Weather?";
    match api {
        Api::Messages => json!({"model": "m", "max_tokens": 9_000, "messages": [
            {"role": "user", "content": user},
            {"role": "assistant", "content": answer["content"]},
            {"role": "user", "content": "And?"},
        ]}),
        Api::ChatCompletions => json!({"model": "m", "messages": [
            {"role": "user", "content": user},
            answer["choices"][0]["message"],
            {"role": "user", "content": "And?"},
        ]}),
        Api::Responses => {
            let mut input = vec![json!({"role": "user", "content": user})];
            input.extend(answer["output"].as_array().unwrap().iter().cloned());
            input.push(json!({"role": "user", "content": "And?"}));
            json!({"model": "m", "input": input})
        }
        Api::GenerateContent => json!({"contents": [
            {"role": "user", "parts": [{"text": user}]},
            answer["candidates"][0]["content"],
            {"role": "user", "parts": [{"text": "And?"}]},
        ]}),
    }
}

#[test]
fn sealed_state_goes_back_to_its_maker_unchanged_and_to_nobody_else() {
    for (maker, answer, secrets) in sealed_answers() {
        for client in Api::ALL {
            let bytes = answer.to_string().into_bytes();
            let seen = translate_answer(&settings(maker, client), &bytes).unwrap();
            let what = format!("{maker:?} to {client:?}");
            let is_marked =
                |text: &str| text.contains("keypool::") || text.contains("a2V5cG9vbDo6");
            let seen_text = String::from_utf8_lossy(&seen).into_owned();
            assert_eq!(is_marked(&seen_text), client != maker, "{what}");
            let seen: Value = serde_json::from_slice(&seen).unwrap();
            let next = next_request(client, &seen);
            // In the client's own API all but the mark passes untouched.
            let same = without_foreign_state(client, next.to_string().as_bytes());
            assert_eq!(same.is_some(), client != maker, "{what}");
            let same = same.unwrap_or_default();
            assert!(!is_marked(&String::from_utf8_lossy(&same)), "{what}");
            for upstream in Api::ALL {
                let (body, losses) = write(client, &next, &target(upstream)).unwrap();
                let body = body.to_string();
                for secret in &secrets {
                    let what = format!("{secret} by {client:?} to {upstream:?}: {body}");
                    assert_eq!(body.contains(secret), upstream == maker, "{what}");
                }
                assert!(!body.contains("keypool::"), "{body}");
                if upstream != maker {
                    assert!(!losses.is_empty(), "{client:?} to {upstream:?}: {body}");
                }
            }
        }
    }
}

#[test]
fn encrypted_reasoning_goes_back_with_the_id_it_came_with() {
    let (maker, answer, _) = sealed_answers().swap_remove(1);
    for client in Api::ALL.into_iter().filter(|client| *client != maker) {
        let bytes = answer.to_string().into_bytes();
        let seen = translate_answer(&settings(maker, client), &bytes).unwrap();
        let next = next_request(client, &serde_json::from_slice(&seen).unwrap());
        let (body, _) = write(client, &next, &target(maker)).unwrap();
        let input = body["input"].as_array().unwrap();
        let reasoning = input
            .iter()
            .find(|item| item["type"] == "reasoning")
            .unwrap();
        let sealed = (&reasoning["id"], &reasoning["encrypted_content"]);
        assert_eq!(
            sealed,
            (&json!("rs_1"), &json!("ENCRYPTED=")),
            "by {client:?}"
        );
    }
}

#[test]
fn thinking_goes_back_to_anthropic_with_the_text_it_was_signed_with() {
    let (maker, answer, _) = sealed_answers().swap_remove(0);
    for client in Api::ALL {
        let bytes = answer.to_string().into_bytes();
        let seen = translate_answer(&settings(maker, client), &bytes).unwrap();
        let next = next_request(client, &serde_json::from_slice(&seen).unwrap());
        let (body, _) = write(client, &next, &target(maker)).unwrap();
        let content = body["messages"][1]["content"].as_array().unwrap();
        let sealed = answer["content"].as_array().unwrap();
        assert_eq!(content[..2], sealed[..2], "by {client:?}");
    }
}

#[test]
fn a_call_of_gemini_s_is_signed_by_gemini_or_by_the_word_google_has_for_it() {
    let (maker, answer, _) = sealed_answers().swap_remove(2);
    for client in Api::ALL {
        let bytes = answer.to_string().into_bytes();
        let seen = translate_answer(&settings(maker, client), &bytes).unwrap();
        let next = next_request(client, &serde_json::from_slice(&seen).unwrap());
        let (body, _) = write(client, &next, &target(maker)).unwrap();
        let parts = body["contents"][1]["parts"].as_array().unwrap();
        let call = parts
            .iter()
            .find(|part| part["functionCall"].is_object())
            .unwrap();
        assert_eq!(call["thoughtSignature"], "THOUGHT=", "by {client:?}");
    }
}

#[test]
fn names_of_unknown_members_cannot_harm_a_header() {
    let name = "x\r\nset-cookie: é";
    let (_, losses) = write(
        Api::ChatCompletions,
        &chat(&json!({name: 1, "y".repeat(500): 1})),
        &target(Api::Messages),
    )
    .unwrap();
    let line = losses.to_string();
    assert!(line.is_ascii() && !line.contains(['\r', '\n']), "{line}");
    assert!(line.contains("set-cookie??") && line.len() < 200, "{line}");
}

#[test]
fn many_losses_are_cut_and_that_is_said() {
    let many: serde_json::Map<_, _> = (0..500).map(|at| (format!("x{at}"), json!(1))).collect();
    let body = chat(&Value::Object(many));
    let (_, losses) = write(Api::ChatCompletions, &body, &target(Api::Messages)).unwrap();
    assert!(
        losses.is_cut() && losses.to_string().ends_with("; and more"),
        "{losses}"
    );
    assert!(losses.iter().count() <= keypool_translate::limits::LOSSES_MAX);
}

#[test]
fn members_that_say_nothing_are_no_losses() {
    let nothing = json!({
        "logprobs": false, "n": 1, "store": false, "functions": null, "tools": [], "user": null,
        "parallel_tool_calls": true, "response_format": {"type": "text"}, "modalities": ["text"],
        "some_new_thing": null,
    });
    for api in Api::ALL {
        let (_, losses) = write(Api::ChatCompletions, &chat(&nothing), &target(api)).unwrap();
        assert!(losses.is_empty(), "{api:?}: {losses}");
    }
}

#[test]
fn what_is_no_request_is_refused_with_the_place_of_the_fault() {
    let cases = [
        (Api::Messages, r#"{"messages": 7}"#, "line 1"),
        (
            Api::Messages,
            r#"{"messages": [{"role": "robot"}]}"#,
            "`robot`",
        ),
        (Api::ChatCompletions, r"[]", "object"),
        (Api::ChatCompletions, "{}", "`messages`"),
        (Api::Responses, "{}", "`input`"),
        (
            Api::GenerateContent,
            r#"{"contents": [{"role": "robot"}]}"#,
            "`robot`",
        ),
        (Api::GenerateContent, "{", "line 1"),
    ];
    for (api, body, expected) in cases {
        let refusal = ClientRequest::read(api, body.as_bytes()).unwrap_err();
        assert!(refusal.to_string().contains(expected), "{refusal}");
        assert_eq!(refusal.code(), "invalid_request");
    }
}

#[test]
fn calls_that_come_in_turns_are_an_error_and_not_mixed_up() {
    let piece = |index: u64, id: Value, name: Value, arguments: &str| {
        let function = json!({"name": name, "arguments": arguments});
        let call = json!({"index": index, "id": id, "function": function});
        json!({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}).to_string()
    };
    let mut translator = StreamTranslator::new(&settings(Api::ChatCompletions, Api::Messages));
    let mut out = Vec::new();
    for event in [
        piece(0, json!("a"), json!("t"), "{"),
        piece(1, json!("b"), json!("t"), "{"),
        piece(0, Value::Null, Value::Null, "}"),
    ] {
        translator.event(event.as_bytes(), &mut out);
    }
    assert!(translator.has_failed());
    assert!(String::from_utf8(out).unwrap().contains("event: error"));
}

#[test]
fn vendors_that_number_all_calls_alike_are_understood_by_the_ids() {
    let call = |id: &str| {
        let function = json!({"name": "t", "arguments": "{}"});
        let call = json!({"index": 0, "id": id, "function": function});
        json!({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}).to_string()
    };
    let mut translator = StreamTranslator::new(&settings(Api::ChatCompletions, Api::Messages));
    let mut out = Vec::new();
    translator.event(call("a").as_bytes(), &mut out);
    translator.event(call("b").as_bytes(), &mut out);
    let text = String::from_utf8(out).unwrap();
    assert_eq!(
        text.matches("event: content_block_start").count(),
        2,
        "{text}"
    );
}

#[test]
fn an_answer_too_large_to_be_kept_ends_with_an_error() {
    let piece = "x".repeat(1024 * 1024);
    let delta = json!({"choices": [{"index": 0, "delta": {"content": piece}}]}).to_string();
    let mut translator = StreamTranslator::new(&settings(Api::ChatCompletions, Api::Responses));
    let mut out = Vec::new();
    for _ in 0..20 {
        out.clear();
        translator.event(delta.as_bytes(), &mut out);
        if translator.is_over() {
            break;
        }
    }
    assert!(translator.has_failed());
    assert!(String::from_utf8(out).unwrap().contains("answer_too_large"));
}

#[test]
fn carried_json_with_line_ends_stays_within_its_event() {
    let args = "{\n  \"a\": 1\r\n}";
    let chunk = format!(
        r#"{{"candidates":[{{"content":{{"parts":[{{"functionCall":{{"name":"t","args":{args}}}}}]}}}}]}}"#
    );
    for to in Api::ALL {
        let mut translator = StreamTranslator::new(&settings(Api::GenerateContent, to));
        let mut out = Vec::new();
        translator.event(chunk.as_bytes(), &mut out);
        let events = util::events(&out);
        assert!(!events.is_empty());
        for event in events {
            serde_json::from_slice::<Value>(&event).unwrap();
        }
    }
}

#[test]
fn stream_options_go_to_those_alone_who_know_them() {
    let body = json!({"model": "m", "max_tokens": 9, "stream": true,
        "messages": [{"role": "user", "content": "Hi"}]});
    for (stream_options, expected) in [(true, json!({"include_usage": true})), (false, Value::Null)]
    {
        let target = Target {
            stream_options,
            ..Target::new(Api::ChatCompletions, "m")
        };
        let (written, _) = write(Api::Messages, &body, &target).unwrap();
        assert_eq!(written["stream"], true);
        assert_eq!(written["stream_options"], expected);
    }
}
