use proptest::prelude::*;

use super::*;
use crate::peek::{Peek, peek};
use crate::sse::SseSplitter;
use crate::stream::StreamMeter;

fn request(endpoint: Endpoint, body: &str) -> Peek {
    peek(endpoint, body.as_bytes()).unwrap_or_else(|e| panic!("{body}: {e}"))
}

fn made_by_stream(endpoint: Endpoint, events: &[(&str, &str)]) -> Vec<u64> {
    let mut splitter = SseSplitter::new();
    let mut meter = StreamMeter::new(endpoint, false);
    for (name, data) in events {
        let event = format!("event: {name}\ndata: {data}\n\n");
        splitter
            .feed(event.as_bytes(), |event| {
                meter.observe(&event);
            })
            .unwrap();
    }
    meter.made_state().to_vec()
}

/// What a request carries is what the answer, plain or streamed, has made; and nothing else.
#[track_caller]
fn check(endpoint: Endpoint, answer: &str, events: &[(&str, &str)], next: &str) {
    let carried = request(endpoint, next).state_ids.to_vec();
    assert!(!carried.is_empty(), "{next}");
    assert_eq!(
        state_ids_of_answer(endpoint, answer.as_bytes()).to_vec(),
        carried,
        "{answer}"
    );
    assert_eq!(made_by_stream(endpoint, events), carried, "{events:?}");
}

const STOP: (&str, &str) = ("message_stop", r#"{"type":"message_stop"}"#);

#[test]
fn a_thinking_block_is_found_again_by_its_signature() {
    check(
        Endpoint::Messages,
        r#"{"id":"msg_1","content":[{"type":"thinking","thinking":"hm","signature":"EqQB+/=="},{"type":"text","text":"Yes"}],"container":null}"#,
        &[
            (
                "message_start",
                r#"{"type":"message_start","message":{"id":"msg_1","content":[],"container":null}}"#,
            ),
            (
                "content_block_start",
                r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
            ),
            (
                "content_block_delta",
                r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}"#,
            ),
            (
                "content_block_delta",
                r#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"EqQB+/=="}}"#,
            ),
            STOP,
        ],
        // Another serializer writes other escapes, and another order.
        r#"{"messages":[{"role":"user","content":"Is it?"},{"role":"assistant","content":[{"signature":"EqQB\u002b\/==","thinking":"hm","type":"thinking"}]}]}"#,
    );
}

#[test]
fn redacted_thinking_is_found_again_by_its_data() {
    check(
        Endpoint::Messages,
        r#"{"id":"msg_1","content":[{"type":"redacted_thinking","data":"EmwKAhgB"}]}"#,
        &[
            (
                "content_block_start",
                r#"{"type":"content_block_start","index":0,"content_block":{"type":"redacted_thinking","data":"EmwKAhgB"}}"#,
            ),
            STOP,
        ],
        r#"{"messages":[{"role":"assistant","content":[{"type":"redacted_thinking","data":"EmwKAhgB"}]}]}"#,
    );
}

#[test]
fn a_container_is_found_again_by_its_id() {
    let answer = r#"{"id":"msg_1","content":[{"type":"tool_use","id":"toolu_1","input":{"container":{"id":"no"}}}],"container":{"id":"container_1","expires_at":"2026"}}"#;
    for next in [
        r#"{"container":"container_1","messages":[]}"#,
        r#"{"container":{"id":"container_1","skills":[{"id":"no"}]},"messages":[]}"#,
    ] {
        check(
            Endpoint::Messages,
            answer,
            &[(
                "message_delta",
                r#"{"type":"message_delta","delta":{"stop_reason":"end_turn","container":{"id":"container_1"}},"usage":{"output_tokens":1}}"#,
            )],
            next,
        );
    }
    let started = made_by_stream(
        Endpoint::Messages,
        &[(
            "message_start",
            r#"{"type":"message_start","message":{"id":"msg_1","container":{"id":"container_1"}}}"#,
        )],
    );
    let carried = request(Endpoint::Messages, r#"{"container":"container_1"}"#).state_ids;
    assert_eq!(started, carried.to_vec());
}

#[test]
fn a_stored_response_is_found_again_by_its_id() {
    let events = [
        (
            "response.created",
            r#"{"type":"response.created","response":{"object":"response","id":"resp_1","status":"in_progress","tools":[{"id":"no"}]}}"#,
        ),
        (
            "response.output_item.added",
            r#"{"type":"response.output_item.added","item":{"id":"msg_1"}}"#,
        ),
        (
            "response.completed",
            r#"{"type":"response.completed","response":{"id":"resp_1","output":[{"id":"msg_1"}],"usage":{"input_tokens":1,"output_tokens":1}}}"#,
        ),
    ];
    let next = r#"{"previous_response_id":"resp_1","input":"go on"}"#;
    check(
        Endpoint::Responses,
        r#"{"id":"resp_1","object":"response","output":[{"type":"message","id":"msg_1"}],"previous_response_id":"resp_0"}"#,
        &events,
        next,
    );
    let broken_off = made_by_stream(Endpoint::Responses, &events[..1]);
    assert_eq!(
        broken_off,
        request(Endpoint::Responses, next).state_ids.to_vec()
    );
}

#[test]
fn sealed_reasoning_and_a_conversation_are_found_again() {
    let response = r#"{"id":"resp_1","conversation":{"id":"conv_1"},"output":[{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"gAAAA"}]}"#;
    check(
        Endpoint::Responses,
        response,
        &[(
            "response.completed",
            &format!(r#"{{"type":"response.completed","response":{response}}}"#),
        )],
        r#"{"previous_response_id":"resp_1","conversation":{"id":"conv_1"},"input":[{"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"s"}],"encrypted_content":"gAAAA"}]}"#,
    );
    let by_name = request(Endpoint::Responses, r#"{"conversation":"conv_1"}"#);
    let by_object = request(Endpoint::Responses, r#"{"conversation":{"id":"conv_1"}}"#);
    assert_eq!(by_name.state_ids, by_object.state_ids);
}

#[test]
fn a_request_names_the_kind_of_state_that_binds_it_most() {
    use Endpoint::{ChatCompletions, CountTokens, Messages, Responses};
    const THINKING: &str = r#"{"type":"thinking","thinking":"h","signature":"s1"}"#;
    for (endpoint, body, count, name) in [
        (Messages, "{}".to_owned(), 0, None),
        (
            Messages,
            format!(r#"{{"messages":[{{"content":[{THINKING}]}}]}}"#),
            1,
            Some("thinking blocks"),
        ),
        (
            CountTokens,
            format!(r#"{{"messages":[{{"content":[{THINKING},{THINKING}]}}]}}"#),
            1,
            Some("thinking blocks"),
        ),
        (
            Messages,
            format!(
                r#"{{"messages":[{{"content":[{THINKING},{{"type":"document","source":{{"type":"file","file_id":"file_1"}}}}]}}],"container":"c"}}"#
            ),
            3,
            Some("container"),
        ),
        (
            Messages,
            r#"{"messages":[{"content":[{"type":"container_upload","file_id":"file_1"}]}]}"#
                .to_owned(),
            1,
            Some("file"),
        ),
        (
            ChatCompletions,
            r#"{"messages":[{"content":[{"type":"file","file":{"file_id":"file-1"}}]}]}"#
                .to_owned(),
            1,
            Some("file"),
        ),
        (
            Responses,
            r#"{"input":[{"content":[{"type":"input_file","file_id":"file-1"}]}],"previous_response_id":"r"}"#
                .to_owned(),
            2,
            Some("previous_response_id"),
        ),
        (
            Responses,
            r#"{"input":[{"type":"reasoning","encrypted_content":"e"}],"previous_response_id":null,"conversation":null}"#
                .to_owned(),
            1,
            Some("encrypted reasoning"),
        ),
        (
            Responses,
            r#"{"conversation":"c","input":"x"}"#.to_owned(),
            1,
            Some("conversation"),
        ),
        // Members of these names that are something else.
        (
            Messages,
            r#"{"messages":[{"content":[{"type":"tool_use","input":{"signature":"s","data":"d","file_id":"7","encrypted_content":"e"}}]}],"previous_response_id":"r"}"#
                .to_owned(),
            0,
            None,
        ),
        (
            Messages,
            r#"{"messages":[{"content":[{"type":"thinking","signature":""},{"type":"image","source":{"type":"base64","data":"iVBO"}},{"type":"web_search_result","encrypted_content":"e"}]}],"container":{"skills":[]}}"#
                .to_owned(),
            0,
            None,
        ),
        (
            Messages,
            r#"{"system":[{"type":"text","text":"signature"}],"metadata":{"signature":"s"},"container":7}"#.to_owned(),
            0,
            None,
        ),
    ] {
        let seen = request(endpoint, &body);
        assert_eq!(
            (seen.state_ids.len(), seen.state_name()),
            (count, name),
            "{body}"
        );
    }
}

#[test]
fn of_many_seals_the_last_count_and_of_many_files_the_first() {
    let block = |index: usize| {
        format!(r#"{{"type":"thinking","thinking":"h","signature":"seal {index}"}}"#)
    };
    let file = |index: usize| format!(r#"{{"type":"file","file_id":"file_{index}"}}"#);
    let blocks: Vec<String> = (0..20).map(block).collect();
    let files: Vec<String> = (0..20).map(file).collect();
    let of = |parts: &[String]| {
        let body = format!(r#"{{"messages":[{{"content":[{}]}}]}}"#, parts.join(","));
        let mut ids = request(Endpoint::Messages, &body).state_ids.to_vec();
        ids.sort_unstable();
        ids
    };
    assert_eq!(of(&blocks), of(&blocks[20 - SEALED_STATE_MAX..]));
    assert_eq!(of(&files), of(&files[..STATE_IDS_MAX - SEALED_STATE_MAX]));
    assert_eq!(of(&[blocks, files].concat()).len(), STATE_IDS_MAX);
}

#[test]
fn a_stream_keeps_the_last_of_many_seals() {
    let data: Vec<String> = (0..20)
        .map(|index| {
            format!(
                r#"{{"type":"content_block_delta","delta":{{"type":"signature_delta","signature":"seal {index}"}}}}"#
            )
        })
        .collect();
    let events: Vec<(&str, &str)> = data
        .iter()
        .map(|data| ("content_block_delta", data.as_str()))
        .collect();
    let made = made_by_stream(Endpoint::Messages, &events);
    assert_eq!(made.len(), STATE_IDS_MAX);
    let last = request(
        Endpoint::Messages,
        r#"{"messages":[{"content":[{"type":"thinking","signature":"seal 19"}]}]}"#,
    );
    assert_eq!(made.last(), last.state_ids.first());
}

#[test]
fn each_kind_is_a_domain_of_its_own() {
    let kinds = [
        StateKind::Response,
        StateKind::Conversation,
        StateKind::Container,
        StateKind::File,
        StateKind::Thinking,
        StateKind::Reasoning,
    ];
    let mut hashes: Vec<u64> = kinds
        .iter()
        .filter_map(|&kind| state_hash(kind, b"x"))
        .chain([session_hash("x"), sampled_hash(PREFIX_DOMAIN, b"x")])
        .collect();
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), kinds.len() + 2);
}

#[test]
fn endpoints_that_keep_nothing_make_no_state() {
    let answer = br#"{"id":"chatcmpl_1","content":[{"type":"thinking","signature":"s"}]}"#;
    for endpoint in [
        Endpoint::ChatCompletions,
        Endpoint::Embeddings,
        Endpoint::CountTokens,
    ] {
        assert!(state_ids_of_answer(endpoint, answer).is_empty());
    }
}

proptest! {
    #[test]
    fn any_answer_is_looked_through_without_panic(
        body in prop::collection::vec(any::<u8>(), 0..200),
        pieces in prop::collection::vec(prop::sample::select(vec![
            "{", "}", "[", "]", ",", ":", "\"id\"", "\"type\"", "\"thinking\"", "\"signature\"",
            "\"data\"", "\"redacted_thinking\"", "\"container\"", "\"file_id\"", "\"file_1\"",
            "\"encrypted_content\"", "\"\\u12\"", "\"\\ud800\"", "\"response\"", "\"", "1",
        ]), 0..60),
    ) {
        let pieces = pieces.concat();
        for endpoint in Endpoint::ALL {
            _ = state_ids_of_answer(endpoint, &body);
            prop_assert!(state_ids_of_answer(endpoint, pieces.as_bytes()).len() <= STATE_IDS_MAX);
            for name in ["message_start", "content_block_start", "content_block_delta", "response.completed", "response.created"] {
                prop_assert!(made_by_stream(endpoint, &[(name, &pieces)]).len() <= STATE_IDS_MAX);
            }
        }
    }

    #[test]
    fn long_texts_that_differ_at_an_end_or_in_length_differ(
        length in 0..10_000_usize, end in any::<bool>(),
    ) {
        let mut text = vec![b'a'; length + 1];
        let before = sampled_hash(SESSION_DOMAIN, &text);
        let at = if end { length } else { 0 };
        text[at] = b'b';
        prop_assert_ne!(sampled_hash(SESSION_DOMAIN, &text), before);
        text[at] = b'a';
        prop_assert_eq!(sampled_hash(SESSION_DOMAIN, &text), before);
        text.push(b'a');
        prop_assert_ne!(sampled_hash(SESSION_DOMAIN, &text), before);
    }
}
