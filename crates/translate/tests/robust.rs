//! Broken streams end with an error, and no input does harm.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that fails says where"
)]

mod util;

use std::sync::LazyLock;

use keypool_translate::{
    Api, ClientRequest, Failure, StreamTranslator, translate_answer, without_foreign_state,
};
use proptest::prelude::*;
use util::{Fixture, events, fixtures, settings, target, translate};

/// Whether the last event is the API's error event.
fn ends_with_error(api: Api, stream: &str) -> bool {
    let last = stream.trim_end().rsplit("\n\n").next().unwrap_or_default();
    match api {
        Api::Messages | Api::Responses => last.starts_with("event: error\n"),
        Api::ChatCompletions | Api::GenerateContent => last.starts_with(r#"data: {"error":{"#),
    }
}

/// Whether a stream has the API's end marker anywhere.
fn has_end_marker(api: Api, stream: &str) -> bool {
    match api {
        Api::Messages => stream.contains(r#""type":"message_stop""#),
        Api::ChatCompletions => stream.contains("[DONE]"),
        Api::GenerateContent => stream.contains("finishReason"),
        Api::Responses => {
            stream.contains("event: response.completed")
                || stream.contains("event: response.incomplete")
        }
    }
}

/// How many of the events make the answer whole by the API's own rules.
fn whole_at(api: Api, events: &[Vec<u8>]) -> usize {
    let says = |event: &Vec<u8>, word: &str| String::from_utf8_lossy(event).contains(word);
    let position = |word: &str| events.iter().position(|event| says(event, word));
    let at = match api {
        Api::Messages => position(r#""message_stop""#),
        // The reason to stop is enough: some providers close without the end marker.
        Api::ChatCompletions => events
            .iter()
            .position(|event| says(event, r#""finish_reason":""#) && !says(event, r#""error""#)),
        Api::GenerateContent => {
            position(r#""finishReason":"STOP""#).or_else(|| position("blockReason"))
        }
        Api::Responses => position(r#""type":"response.completed""#)
            .or_else(|| position(r#""type":"response.incomplete""#)),
    };
    at.map_or(usize::MAX, |at| at + 1)
}

#[test]
fn a_stream_cut_at_any_event_ends_with_an_error_and_no_end_marker() {
    for fixture in fixtures("streams") {
        let all = events(&fixture.bytes);
        let whole = whole_at(fixture.api, &all);
        for to in Api::ALL {
            let settings = settings(fixture.api, to);
            for cut in 0..=all.len() {
                let (translator, stream) = translate(&settings, &all[..cut]);
                let what = format!("{} to {to:?}, cut at {cut}:\n{stream}", fixture.name);
                assert!(translator.is_over(), "{what}");
                if cut < whole {
                    assert!(
                        translator.has_failed() && ends_with_error(to, &stream),
                        "{what}"
                    );
                    assert!(!has_end_marker(to, &stream), "{what}");
                } else {
                    assert!(
                        !translator.has_failed() && !ends_with_error(to, &stream),
                        "{what}"
                    );
                    assert!(has_end_marker(to, &stream), "{what}");
                }
            }
        }
    }
}

#[test]
fn an_event_cut_in_its_middle_is_an_error() {
    for fixture in fixtures("streams") {
        let all = events(&fixture.bytes);
        for to in Api::ALL {
            for (at, event) in all.iter().enumerate() {
                let mut cut = all[..=at].to_vec();
                cut[at] = event[..event.len() / 2].to_vec();
                let (translator, stream) = translate(&settings(fixture.api, to), &cut);
                // Whether it was whole before is the other test's matter.
                if at < whole_at(fixture.api, &all) {
                    assert!(
                        translator.has_failed() && ends_with_error(to, &stream),
                        "{stream}"
                    );
                }
            }
        }
    }
}

#[test]
fn nothing_comes_after_an_error_or_the_end() {
    for fixture in fixtures("streams") {
        let all = events(&fixture.bytes);
        for to in Api::ALL {
            let (mut translator, _) = translate(&settings(fixture.api, to), &all);
            let mut more = Vec::new();
            for event in &all {
                translator.event(event, &mut more);
            }
            translator.fail(&Failure::read(Some(500), b"{}"), &mut more);
            translator.end(&mut more);
            assert_eq!(more, b"");
        }
    }
}

/// Every fixture of every kind.
static ALL: LazyLock<Vec<Fixture>> = LazyLock::new(|| {
    let kinds = ["requests", "answers", "streams", "errors"];
    kinds.iter().flat_map(|kind| fixtures(kind)).collect()
});

proptest! {
    // Each case goes through all sixteen pairs.
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        feed(&bytes);
    }

    #[test]
    fn no_change_of_a_fixture_makes_it_panic(
        which in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        splice in prop::collection::vec(any::<u8>(), 0..6),
        cut in 0..12_usize,
    ) {
        let mut bytes = ALL[which.index(ALL.len())].bytes.clone();
        let at = at.index(bytes.len());
        let end = (at + cut).min(bytes.len());
        bytes.splice(at..end, splice);
        feed(&bytes);
    }

    #[test]
    fn deep_nesting_is_refused_and_not_followed(depth in 1..1000_usize, open in "[\\[{]") {
        let nested = open.replace('{', r#"{"content":"#).repeat(depth);
        feed(nested.as_bytes());
        feed(format!(r#"{{"messages":{nested}"#).as_bytes());
        feed(format!(r#"{{"input":{nested}"#).as_bytes());
    }
}

/// Gives bytes to everything.
fn feed(bytes: &[u8]) {
    let _ = Failure::read(None, bytes);
    for a in Api::ALL {
        for b in Api::ALL {
            if let Ok(request) = ClientRequest::read(a, bytes) {
                let _ = request.write(&target(b));
            }
            let _ = translate_answer(&settings(a, b), bytes);
            let _ = without_foreign_state(a, bytes);
            let mut translator = StreamTranslator::new(&settings(a, b));
            let mut out = Vec::new();
            translator.event(bytes, &mut out);
            let mut splitter = keypool_wire::SseSplitter::new();
            let _ = splitter.feed(bytes, |event| translator.event(event.data, &mut out));
            translator.end(&mut out);
            assert!(translator.is_over());
        }
    }
}

#[test]
fn an_end_marker_without_a_reason_to_stop_is_no_clean_end() {
    let mut streams = fixtures("streams").into_iter();
    let is_text = |stream: &Fixture| stream.api == Api::Messages && stream.name == "text";
    let stream = streams.find(is_text).unwrap();
    let mut all = events(&stream.bytes);
    all.retain(|event| !String::from_utf8_lossy(event).contains("message_delta"));
    for to in Api::ALL {
        let (translator, text) = translate(&settings(Api::Messages, to), &all);
        assert!(
            translator.has_failed() && ends_with_error(to, &text),
            "{text}"
        );
    }
}
