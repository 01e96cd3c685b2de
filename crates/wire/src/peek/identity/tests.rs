use proptest::prelude::*;

use super::*;
use crate::peek::peek;
use Endpoint::{ChatCompletions, CountTokens, Embeddings, Messages, Responses};

#[track_caller]
fn prefix(endpoint: Endpoint, body: &str) -> u64 {
    peek(endpoint, body.as_bytes()).unwrap().prefix
}

#[track_caller]
fn same(endpoint: Endpoint, one: &str, other: &str) {
    assert_eq!(
        prefix(endpoint, one),
        prefix(endpoint, other),
        "{one}\n{other}"
    );
}

#[track_caller]
fn different(endpoint: Endpoint, one: &str, other: &str) {
    assert_ne!(
        prefix(endpoint, one),
        prefix(endpoint, other),
        "{one}\n{other}"
    );
}

#[test]
fn the_turns_of_a_conversation_have_one_prefix() {
    let system = r#""system":"Be brief.","tools":[{"name":"Read"}]"#;
    let user = r#"{"role":"user","content":"Hi"}"#;
    let rest = r#"{"role":"assistant","content":"Hello"},{"role":"user","content":"Why?"}"#;
    for endpoint in [Messages, CountTokens] {
        same(
            endpoint,
            &format!(
                r#"{{"model":"a","max_tokens":5,"stream":true,{system},"messages":[{user}]}}"#
            ),
            &format!(r#"{{"messages":[{user},{rest}],{system},"max_tokens":9}}"#),
        );
    }
    let chat = r#"{"role":"system","content":"Be brief."},{"role":"user","content":"Hi"}"#;
    same(
        ChatCompletions,
        &format!(r#"{{"messages":[{chat}],"max_completion_tokens":1}}"#),
        &format!(r#"{{"messages":[{chat},{rest}],"stream":true,"temperature":1}}"#),
    );
    same(
        Responses,
        &format!(r#"{{"instructions":"Be brief.","input":[{user}]}}"#),
        &format!(r#"{{"instructions":"Be brief.","input":[{user},{rest}]}}"#),
    );
    // Without a message of the user's it is the first item.
    same(
        Responses,
        r#"{"input":[{"type":"function_call_output","output":"a"}]}"#,
        r#"{"input":[{"type":"function_call_output","output":"a"},{"type":"x","output":"b"}]}"#,
    );
}

#[test]
fn conversations_that_begin_otherwise_have_other_prefixes() {
    let base = r#"{"system":"S","tools":[{"name":"T"}],"messages":[{"role":"user","content":"A"},{"role":"assistant","content":"B"}]}"#;
    for changed in [
        r#"{"system":"X","tools":[{"name":"T"}],"messages":[{"role":"user","content":"A"}]}"#,
        r#"{"system":"S","tools":[{"name":"X"}],"messages":[{"role":"user","content":"A"}]}"#,
        r#"{"system":"S","tools":[{"name":"T"}],"messages":[{"role":"user","content":"X"}]}"#,
        r#"{"system":"S","messages":[{"role":"user","content":"A"}]}"#,
        r#"{"tools":[{"name":"T"}],"messages":[{"role":"user","content":"A"}]}"#,
        r#"{"system":"A","tools":[{"name":"T"}],"messages":[{"role":"user","content":"S"}]}"#,
    ] {
        different(Messages, base, changed);
    }
    // The first user's message is part of it even where a system message comes before.
    different(
        ChatCompletions,
        r#"{"messages":[{"role":"system","content":"S"},{"role":"user","content":"A"}]}"#,
        r#"{"messages":[{"role":"system","content":"S"},{"role":"user","content":"B"}]}"#,
    );
    different(Responses, r#"{"input":"A"}"#, r#"{"input":"B"}"#);
}

#[test]
fn the_wrapping_of_what_is_said_does_not_count() {
    same(
        Messages,
        r#"{"system":"S","messages":[{"role":"user","content":[{"type":"text","text":"A","cache_control":{"type":"ephemeral","ttl":"1h"}}]}]}"#,
        r#"{"system":[{"type":"text","text":"S","cache_control":{"type":"ephemeral"}}],"messages":[{"content":"A","role":"user"},{"role":"assistant","content":"B"}]}"#,
    );
    same(
        Messages,
        r#"{"system":[{"type":"text","text":"x-anthropic-billing-header: cc_version=1; cch=1;"},{"type":"text","text":"S"}]}"#,
        r#"{"system":[{"type":"text","text":"x-anthropic-billing-header: cc_version=1; cch=2;"},{"type":"text","text":"S"}]}"#,
    );
    // A role deeper inside is not the message's.
    different(
        Messages,
        r#"{"messages":[{"content":[{"role":"user"}]},{"role":"user","content":"A"}]}"#,
        r#"{"messages":[{"content":[{"role":"user"}]},{"role":"user","content":"B"}]}"#,
    );
}

#[test]
fn of_long_prompts_both_ends_and_the_length_count() {
    let long = |start: &str, end: &str, length: usize| {
        format!(
            r#"{{"messages":[{{"role":"user","content":"{start}{}{end}"}}]}}"#,
            "x".repeat(length)
        )
    };
    let base = long("a", "b", 100_000);
    different(Messages, &base, &long("A", "b", 100_000));
    different(Messages, &base, &long("a", "B", 100_000));
    different(Messages, &base, &long("a", "b", 100_001));
    same(Messages, &base, &long("a", "b", 100_000));
}

#[test]
fn no_prompt_has_the_prefix_zero() {
    for (endpoint, body) in [
        (Messages, r#"{"model":"m","max_tokens":5}"#),
        (Embeddings, r#"{"model":"m","input":["a"]}"#),
        (
            Responses,
            r#"{"previous_response_id":"r","text":{"format":{}}}"#,
        ),
    ] {
        assert_eq!(prefix(endpoint, body), 0, "{body}");
    }
}

const UUID: &str = "7581b58b-1234-4321-abcd-0123456789ab";

#[track_caller]
fn check_session(endpoint: Endpoint, member: &str, expected: Option<&str>) {
    let body = format!(r#"{{"messages":[],{member}}}"#);
    let seen = peek(endpoint, body.as_bytes()).unwrap();
    assert_eq!(seen.session, expected.map(session_hash), "{member}");
}

#[test]
fn a_session_is_what_a_client_names_so_in_whatever_form() {
    let metadata = |user_id: &str| {
        format!(
            r#""metadata":{{"x":{{"user_id":"no"}},"user_id":{}}}"#,
            serde_json::to_string(user_id).unwrap()
        )
    };
    let json = format!(r#"{{"device_id":"d","account_uuid":"","session_id":"{UUID}"}}"#);
    let older = format!("user_abc123_account_f00_session_{UUID}");
    let without_account = format!("user_abc123_account__session_{UUID}");
    for (user_id, session) in [
        (json.as_str(), Some(UUID)),
        (older.as_str(), Some(UUID)),
        (without_account.as_str(), Some(UUID)),
        ("customer-17", None),
        ("user_abc123_account_f00", None),
        ("user_abc123_account_f00_session_", None),
        ("my_session_x", None),
        (r#"{"device_id":"d"}"#, None),
        (r#"{"session_id":""}"#, None),
        (r#"{"session_id":7}"#, None),
        (r#"{"nested":{"session_id":"x"}}"#, None),
        ("{", None),
        ("", None),
    ] {
        check_session(Messages, &metadata(user_id), session);
        check_session(ChatCompletions, &metadata(user_id), None);
    }
    for endpoint in [ChatCompletions, Responses] {
        check_session(endpoint, r#""prompt_cache_key":"k\u0031""#, Some("k1"));
        check_session(endpoint, r#""prompt_cache_key":" k1 ""#, Some("k1"));
        for nothing in ["null", "\"\"", "7", "{}"] {
            check_session(endpoint, &format!(r#""prompt_cache_key":{nothing}"#), None);
        }
    }
    check_session(Messages, r#""prompt_cache_key":"k""#, None);
    for odd in ["null", "7", "[]", "\"x\"", r#"{"user_id":null}"#] {
        check_session(Messages, &format!(r#""metadata":{odd}"#), None);
    }
}

fn turn() -> impl Strategy<Value = serde_json::Value> {
    (
        prop::sample::select(vec!["user", "assistant", "system"]),
        ".{0,40}",
    )
        .prop_map(|(role, text)| serde_json::json!({ "role": role, "content": text }))
}

proptest! {
    #[test]
    fn whatever_follows_the_first_user_message_the_prefix_stays(
        before in prop::collection::vec(turn(), 0..3),
        first in ".{0,40}",
        after in prop::collection::vec(turn(), 0..5),
    ) {
        let first = serde_json::json!({ "role": "user", "content": first });
        let before: Vec<_> = before.into_iter().filter(|turn| turn["role"] != "user").collect();
        let short: Vec<_> = before.into_iter().chain([first]).collect();
        let long: Vec<_> = short.iter().cloned().chain(after).collect();
        for endpoint in [Messages, ChatCompletions] {
            let of = |turns: &[serde_json::Value]| {
                prefix(endpoint, &serde_json::json!({ "messages": turns }).to_string())
            };
            prop_assert_eq!(of(&short), of(&long));
        }
    }
}
