use crate::dialect::Endpoint;
use crate::provider::ProviderKind;
use crate::sse::SseSplitter;
use crate::stream::{EventKind, StreamEnd, StreamError, StreamMeter, error_of_answer};
use crate::taxonomy::{KeyVerdict, RequestVerdict, Scope};
use crate::usage::{Usage, UsageSource};

/// A stream as Google writes it: `data:` with CRLF, and nothing else.
fn stream(chunks: &[&str]) -> String {
    let event = |chunk: &&str| format!("data: {chunk}\r\n\r\n");
    chunks.iter().map(event).collect()
}

fn run(chunks: &[&str]) -> (StreamMeter, Vec<EventKind>) {
    let mut splitter = SseSplitter::new();
    let mut meter = StreamMeter::new(Endpoint::GenerateContent, false);
    let mut kinds = Vec::new();
    splitter
        .feed(stream(chunks).as_bytes(), |event| {
            kinds.push(meter.observe(&event));
        })
        .unwrap();
    (meter, kinds)
}

fn error_of(kinds: &[EventKind]) -> &StreamError {
    match kinds.last() {
        Some(EventKind::Error(error)) => error,
        other => panic!("no error but {other:?}"),
    }
}

const THOUGHT: &str = r#"{"candidates":[{"content":{"parts":[{"text":"Hm, so","thought":true}],"role":"model"},"index":0}],"usageMetadata":{"promptTokenCount":120,"cachedContentTokenCount":100,"thoughtsTokenCount":3,"totalTokenCount":123,"promptTokensDetails":[{"modality":"TEXT","tokenCount":7}]},"modelVersion":"gemini-2.5-flash","responseId":"r1"}"#;
const TEXT: &str = r#"{"candidates":[{"content":{"parts":[{"text":"Hello, how are you"}],"role":"model"},"index":0}],"usageMetadata":{"promptTokenCount":120,"cachedContentTokenCount":100,"candidatesTokenCount":5,"thoughtsTokenCount":3}}"#;
const LAST: &str = r#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{"a":"b"}},"thoughtSignature":"AbC="}],"role":"model"},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":120,"candidatesTokenCount":9,"thoughtsTokenCount":4,"toolUsePromptTokenCount":11}}"#;

#[test]
fn a_stream_is_read_to_its_finish_reason_and_its_last_figures_hold() {
    let (meter, kinds) = run(&[THOUGHT, TEXT, LAST]);
    assert_eq!(
        kinds,
        [EventKind::Content, EventKind::Content, EventKind::Content]
    );
    assert!(meter.is_complete() && meter.has_content());
    assert_eq!(
        meter.end(),
        None,
        "nothing but the connection's end marks it"
    );
    assert_eq!(
        meter.usage(),
        Some(Usage {
            // What was cached is a part of the prompt, what tools added is not.
            input_tokens: 20 + 11,
            output_tokens: 9 + 4,
            cache_read_tokens: 100,
            cache_write_tokens: 0,
        })
    );
    assert!(!meter.tally(999).is_estimated());
}

#[test]
fn a_stream_that_stops_before_its_finish_reason_is_broken_and_counted_as_far_as_it_came() {
    let (meter, _) = run(&[THOUGHT, TEXT]);
    assert!(!meter.is_complete());
    let tally = meter.tally(999);
    assert_eq!(
        (tally.input, tally.output),
        (UsageSource::Measured, UsageSource::Measured)
    );
    assert_eq!(tally.usage.output_tokens, 8);
    // A chunk that says nothing of output leaves it to be guessed: 18 bytes since the last figure.
    let unsaid = TEXT.replace(r#","candidatesTokenCount":5,"thoughtsTokenCount":3"#, "");
    let (meter, _) = run(&[THOUGHT, &unsaid]);
    let tally = meter.tally(999);
    assert_eq!(
        (tally.output, tally.usage.output_tokens),
        (UsageSource::Estimated, 3 + 5)
    );
}

#[test]
fn an_answer_of_several_candidates_is_whole_when_all_of_them_are() {
    let other = LAST.replace(r#""index":0"#, r#""index":1"#);
    let (meter, _) = run(&[TEXT, &other]);
    assert!(!meter.is_complete());
    let (meter, _) = run(&[TEXT, &other, LAST]);
    assert!(meter.is_complete());
}

#[test]
fn a_blocked_prompt_is_an_answer_and_no_fault() {
    let blocked = r#"{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT"},"usageMetadata":{"promptTokenCount":8,"totalTokenCount":8}}"#;
    let (meter, kinds) = run(&[blocked]);
    assert_eq!(kinds, [EventKind::Content]);
    assert!(meter.is_complete());
    let tally = meter.tally(999);
    assert_eq!(
        (tally.usage.input_tokens, tally.usage.output_tokens),
        (8, 0)
    );
    assert!(!tally.is_estimated());
    assert_eq!(error_of_answer(blocked.as_bytes()), None);
}

#[test]
fn chunks_in_which_nothing_is_said_do_not_commit() {
    for silent in [
        r#"{"usageMetadata":{"promptTokenCount":8},"modelVersion":"m"}"#,
        r#"{"candidates":[{"content":{"parts":[{"text":""}],"role":"model"},"index":0}]}"#,
        r#"{"candidates":[{"content":{"role":"model"},"index":0,"finishReason":"FINISH_REASON_UNSPECIFIED"}]}"#,
    ] {
        let (meter, kinds) = run(&[silent]);
        assert_eq!(kinds, [EventKind::Preamble], "{silent}");
        assert!(!meter.is_complete());
    }
}

#[test]
fn an_error_is_an_error_as_the_first_chunk_and_later() {
    let error =
        r#"{"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}"#;
    for chunks in [&[error][..], &[TEXT, error]] {
        let (meter, kinds) = run(chunks);
        let error = error_of(&kinds);
        assert_eq!((error.status, error.code.as_str()), (503, "UNAVAILABLE"));
        let judged = error.judge(ProviderKind::Gemini, 0);
        assert_eq!(judged.key, KeyVerdict::Overloaded);
        assert_eq!(meter.end(), Some(StreamEnd::Failed));
        assert!(!meter.is_complete());
    }
}

#[test]
fn an_error_that_is_no_event_is_an_error_all_the_same() {
    let error = r#"{
  "error": {
    "code": 503,
    "message": "The model is overloaded.",
    "status": "UNAVAILABLE"
  }
}"#;
    for bare in [error.to_owned(), format!("[{error}\n]")] {
        for ends in ["", "\r\n\r\n"] {
            let (mut splitter, mut kinds) = (SseSplitter::new(), Vec::new());
            let mut meter = StreamMeter::new(Endpoint::GenerateContent, false);
            let stream = stream(&[TEXT]) + &bare + ends;
            let mut see = |event: &crate::sse::SseEvent<'_>| kinds.push(meter.observe(event));
            splitter
                .feed(stream.as_bytes(), |event| see(&event))
                .unwrap();
            splitter.finish(|event| see(&event)).unwrap();
            let error = error_of(&kinds);
            assert_eq!((error.status, error.code.as_str()), (503, "UNAVAILABLE"));
            assert_eq!(meter.end(), Some(StreamEnd::Failed));
        }
    }
    for other in [
        r#"{"error":null}"#,
        r#"{"candidates":[]}"#,
        "[]",
        "[{},{}]",
        "7",
    ] {
        let mut kinds = Vec::new();
        let mut meter = StreamMeter::new(Endpoint::GenerateContent, false);
        SseSplitter::new()
            .feed(format!("{other}\n\n").as_bytes(), |event| {
                kinds.push(meter.observe(&event));
            })
            .unwrap();
        assert_eq!(kinds, [EventKind::Garbage], "{other}");
    }
}

#[test]
fn an_account_that_is_limited_for_breaches_fails_in_streams_and_whole_answers() {
    let limited = r#"{"candidates":[{"finishReason":"PUP_LIMITED_DISABLED","index":0}],"usageMetadata":{"promptTokenCount":4}}"#;
    let (_, kinds) = run(&[limited]);
    let in_answer = error_of_answer(limited.as_bytes()).unwrap();
    for error in [error_of(&kinds), &in_answer] {
        let judged = error.judge(ProviderKind::Gemini, 0);
        assert_eq!(
            (error.status, judged.code.as_str()),
            (403, "account_limited")
        );
        assert_eq!(
            judged.key,
            KeyVerdict::Invalid {
                scope: Scope::Group
            }
        );
        assert_eq!(judged.request, RequestVerdict::NextKey);
    }
    let said = r#"{"candidates":[{"content":{"parts":[{"text":"PUP_LIMITED_DISABLED"}]},"finishReason":"STOP"}]}"#;
    assert_eq!(error_of_answer(said.as_bytes()), None);
}

#[test]
fn pictures_and_seals_are_no_text() {
    let picture = r#"{"candidates":[{"content":{"parts":[{"inlineData":{"mimeType":"image/png","data":"iVBORw0KGgoAAAA"}},{"text":"abcd","thoughtSignature":"0123456789"}]},"index":0}]}"#;
    let (meter, kinds) = run(&[picture]);
    assert_eq!(kinds, [EventKind::Content]);
    assert_eq!(meter.output_tokens_so_far(), 1);
}

/// A chunk whose candidate has these members.
fn candidate(members: &str) -> String {
    format!(r#"{{"candidates":[{{{members},"index":0}}]}}"#)
}

#[test]
fn what_a_model_writes_calls_and_runs_is_text() {
    for (part, bytes) in [
        (r#"{"text":"0123456789ab"}"#, 12),
        (r#"{"text":"0123456789ab","thought":true}"#, 12),
        (
            r#"{"functionCall":{"id":"call-1","name":"find","args":{"id":"1234","data":["56","78"]}}}"#,
            12,
        ),
        (
            r#"{"executableCode":{"language":"PYTHON","code":"print(12345)"}}"#,
            12,
        ),
        (
            r#"{"codeExecutionResult":{"outcome":"OUTCOME_OK","output":"0123456789ab"}}"#,
            12,
        ),
        (
            r#"{"inlineData":{"mimeType":"image/png","data":"iVBOR"}}"#,
            0,
        ),
        (r#"{"fileData":{"fileUri":"gs://bucket/picture"}}"#, 0),
    ] {
        let chunk = candidate(&format!(
            r#""content":{{"parts":[{{"thoughtSignature":"x"}},{part}],"role":"model"}}"#
        ));
        let (meter, kinds) = run(&[&chunk]);
        assert_eq!(kinds, [EventKind::Content], "{part}");
        assert_eq!(
            meter.output_tokens_so_far(),
            crate::usage::guessed_tokens(bytes),
            "{part}"
        );
    }
}

#[test]
fn what_is_said_about_an_answer_is_no_content() {
    for members in [
        r#""safetyRatings":[{"category":"HARM_CATEGORY_HARASSMENT","probability":"LOW"}]"#,
        r#""citationMetadata":{"citationSources":[{"uri":"https://example.com/a","license":"mit"}]}"#,
        r#""groundingMetadata":{"webSearchQueries":["weather"],"groundingSupports":[{"segment":{"text":"It rains."}}],"searchEntryPoint":{"renderedContent":"<div>"}}"#,
        r#""urlContextMetadata":{"urlMetadata":[{"retrievedUrl":"https://example.com"}]}"#,
        r#""logprobsResult":{"chosenCandidates":[{"token":"It"}]}"#,
        r#""content":{"parts":[{"thoughtSignature":"AbC=","partMetadata":{"a":"b"}}],"role":"model"}"#,
    ] {
        let (meter, kinds) = run(&[&candidate(members)]);
        assert_eq!(kinds, [EventKind::Preamble], "{members}");
        assert_eq!(meter.output_tokens_so_far(), 0, "{members}");
        assert!(!meter.has_content());
    }
}

#[test]
fn what_is_no_json_object_is_garbage() {
    for garbage in ["[1]", "[DONE]", "{\"candidates\":", "\u{1}"] {
        assert_eq!(run(&[garbage]).1, [EventKind::Garbage], "{garbage}");
    }
}
