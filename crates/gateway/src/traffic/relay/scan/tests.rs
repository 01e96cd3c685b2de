use keypool_translate::StreamTranslator;
use keypool_wire::Endpoint;

use super::*;

const CHAT: &str = concat!(
    "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\"}}]}\n\n",
    "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"}}]}\n\n",
    "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
    "data: {\"id\":\"c\",\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2,\
     \"total_tokens\":11}}\n\n",
    "data: [DONE]\n\n",
);

/// Feeds `stream` in chunks that end at `cuts`; what comes out, as one text.
fn relayed(stream: &str, cuts: &[usize], usage_injected: bool) -> (String, Scan) {
    let mut scan = Scan::new(
        StreamMeter::new(Endpoint::ChatCompletions, usage_injected),
        None,
    );
    let mut out = VecDeque::new();
    let mut from = 0;
    for to in cuts.iter().copied().chain([stream.len()]) {
        let chunk = Bytes::copy_from_slice(&stream.as_bytes()[from..to]);
        scan.take_in(&chunk, &mut out).unwrap();
        from = to;
    }
    let bytes: Vec<u8> = out.iter().flat_map(|bytes| bytes.to_vec()).collect();
    (String::from_utf8(bytes).unwrap(), scan)
}

#[test]
fn a_stream_that_asked_for_usage_itself_is_relayed_byte_for_byte_however_it_is_cut() {
    for cut in 0..CHAT.len() {
        assert_eq!(relayed(CHAT, &[cut], false).0, CHAT, "cut at {cut}");
    }
}

#[test]
fn the_injected_usage_chunk_alone_is_taken_out_however_the_stream_is_cut() {
    let usage_at = CHAT.find("data: {\"id\":\"c\",\"choices\":[],").unwrap();
    let done_at = CHAT.find("data: [DONE]").unwrap();
    let expected = format!("{}{}", &CHAT[..usage_at], &CHAT[done_at..]);
    for first in 0..CHAT.len() {
        for second in [first, (first + 7).min(CHAT.len()), CHAT.len()] {
            let (out, scan) = relayed(CHAT, &[first, second], true);
            assert_eq!(out, expected, "cut at {first} and {second}");
            assert!(scan.meter.is_complete());
            assert_eq!(scan.meter.usage().map(|usage| usage.output_tokens), Some(2));
        }
    }
}

#[test]
fn an_unfinished_event_is_held_back() {
    let begun = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: {\"cho";
    let (out, _) = relayed(begun, &[], false);
    assert_eq!(
        out,
        "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n"
    );
}

#[test]
fn a_last_event_without_its_blank_line_still_goes_out() {
    let stream = CHAT.strip_suffix('\n').unwrap();
    let (mut out, mut scan) = relayed(stream, &[], false);
    let mut rest = VecDeque::new();
    scan.finish(&mut rest).unwrap();
    for bytes in rest {
        out.push_str(std::str::from_utf8(&bytes).unwrap());
    }
    assert_eq!(out, stream);
    assert!(scan.meter.is_complete());
}

const CONTENT: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n";

const ERROR: &str =
    "data: {\"error\":{\"message\":\"busy\",\"type\":\"server_error\",\"code\":null}}\n\n";

fn text(out: &VecDeque<Bytes>) -> String {
    let bytes: Vec<u8> = out.iter().flat_map(|bytes| bytes.to_vec()).collect();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn nothing_goes_out_after_the_providers_own_error_however_the_stream_is_cut() {
    let stream = format!("{CONTENT}{ERROR}data: [DONE]\n\n");
    let end = CONTENT.len() + ERROR.len();
    for cut in 0..end {
        let mut scan = Scan::new(StreamMeter::new(Endpoint::ChatCompletions, true), None);
        let mut out = VecDeque::new();
        for chunk in [&stream[..cut], &stream[cut..]] {
            scan.take_in(&Bytes::copy_from_slice(chunk.as_bytes()), &mut out)
                .unwrap();
        }
        assert_eq!(text(&out), stream[..end], "cut at {cut}");
        assert_eq!(scan.failure().map(|error| error.status), Some(500));
        assert!(!scan.meter.is_complete());
    }
}

#[test]
fn whole_events_go_out_before_garbage_and_nothing_of_it() {
    for garbage in ["data: {\"choices\":[{", "data: \u{1}", "<html>"] {
        let stream = format!("{CONTENT}{garbage}\n\n{CONTENT}");
        for cut in 0..stream.len() - CONTENT.len() {
            let mut scan = Scan::new(StreamMeter::new(Endpoint::ChatCompletions, false), None);
            let mut out = VecDeque::new();
            let chunks = [&stream[..cut], &stream[cut..]];
            let results = chunks.map(|chunk| {
                scan.take_in(&Bytes::copy_from_slice(chunk.as_bytes()), &mut out)
                    .err()
            });
            assert_eq!(results, [None, Some(ScanError::Garbage)], "cut at {cut}");
            assert_eq!(text(&out), CONTENT, "cut at {cut}");
        }
    }
}

#[test]
fn whole_events_go_out_before_one_that_never_ends() {
    let mut scan = Scan::new(StreamMeter::new(Endpoint::ChatCompletions, false), None);
    let mut out = VecDeque::new();
    let endless = Bytes::from(format!("{CONTENT}data: {}", "x".repeat(1024 * 1024)));
    scan.take_in(&endless, &mut out).unwrap();
    assert_eq!(text(&out), CONTENT);
    let more = Bytes::from("x".repeat(1024 * 1024));
    let mut taken = (1..32).map(|_| scan.take_in(&more, &mut out));
    let error = taken.find_map(Result::err);
    assert!(matches!(error, Some(ScanError::Event(_))), "{error:?}");
    assert_eq!(text(&out), CONTENT);
}

#[test]
fn keep_alives_alone_say_nothing_of_the_answer() {
    let mut scan = Scan::new(StreamMeter::new(Endpoint::Messages, false), None);
    let mut out = VecDeque::new();
    let mut is_meaningful = |chunk: &'static str| {
        scan.take_in(&Bytes::from_static(chunk.as_bytes()), &mut out)
            .unwrap()
            .meaningful
    };
    assert!(!is_meaningful(": comment\n\n"));
    assert!(!is_meaningful("\n\n\n"));
    assert!(!is_meaningful(
        "event: ping\ndata: {\"type\": \"ping\"}\n\n"
    ));
    assert!(is_meaningful(
        "event: message_start\ndata: {\"type\":\"message_start\"}\n\n: c\n\n"
    ));
}

#[test]
fn an_error_that_lacks_only_its_blank_line_is_left_to_be_told_in_words_of_ours() {
    let mut scan = Scan::new(StreamMeter::new(Endpoint::ChatCompletions, false), None);
    let mut out = VecDeque::new();
    let begun = format!("{CONTENT}{}", ERROR.trim_end());
    scan.take_in(&Bytes::from(begun), &mut out).unwrap();
    assert!(scan.finish(&mut out).unwrap().committing);
    assert!(scan.failure().is_some());
    assert_eq!(text(&out), CONTENT);
}

/// What reads Chat Completions for a client of Messages.
fn from_chat_to_messages() -> Scan {
    let settings = keypool_translate::Settings {
        from: keypool_translate::Api::ChatCompletions,
        to: keypool_translate::Api::Messages,
        model: "m",
        id: "i",
        created_unix_s: 0,
        stream_usage: false,
        namespaced: &[],
    };
    let translator = StreamTranslator::new(&settings);
    let rewriter = Rewriter::new(Endpoint::Messages, Some(translator), false);
    Scan::new(StreamMeter::new(Endpoint::ChatCompletions, false), rewriter)
}

/// `CHAT` for a client of Messages, in chunks that end at `cut`.
fn translated(cut: usize) -> String {
    let mut scan = from_chat_to_messages();
    let mut out = VecDeque::new();
    for part in [&CHAT[..cut], &CHAT[cut..]] {
        let chunk = Bytes::copy_from_slice(part.as_bytes());
        scan.take_in(&chunk, &mut out).unwrap();
    }
    scan.finish(&mut out).unwrap();
    assert!(scan.meter.is_complete());
    scan.complete(&mut out);
    let bytes: Vec<u8> = out.iter().flat_map(|bytes| bytes.to_vec()).collect();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_translated_stream_is_the_same_however_it_is_cut_and_ends_once() {
    let whole = translated(CHAT.len());
    assert_eq!(whole.matches("message_stop").count(), 2, "name and type");
    assert!(whole.contains("\"text\":\"hi\"") && whole.contains("\"output_tokens\":2"));
    for cut in 0..CHAT.len() {
        assert_eq!(translated(cut), whole, "cut at {cut}");
    }
}

#[test]
fn an_error_that_only_its_events_name_tells_of_reaches_a_client_of_another_api() {
    let stream =
        format!("{CONTENT}event: error\ndata: {{\"message\":\"overloaded\",\"code\":503}}\n\n");
    let mut scan = from_chat_to_messages();
    let mut out = VecDeque::new();
    scan.take_in(&Bytes::from(stream), &mut out).unwrap();
    assert!(scan.failure().is_some());
    let told: Vec<u8> = out.iter().flatten().copied().collect();
    let told = String::from_utf8(told).unwrap();
    let (_, last) = told.rsplit_once("event: ").unwrap();
    assert!(last.starts_with("error\n"), "{told}");
}

#[test]
fn what_a_translator_cannot_read_is_garbage_in_the_middle_and_at_the_end_and_is_told_once() {
    // JSON, and finished by its own words.
    let unreadable =
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":7},\"finish_reason\":\"stop\"}]}";
    for (rest, ends) in [("\n\n", false), ("", true)] {
        let mut scan = from_chat_to_messages();
        let mut out = VecDeque::new();
        let stream = Bytes::from(format!("{CONTENT}{unreadable}{rest}"));
        let taken = scan.take_in(&stream, &mut out);
        let finished = scan.finish(&mut out);
        let seen = if ends { finished } else { taken };
        assert_eq!(seen.err(), Some(ScanError::Garbage), "{ends}");
        assert!(!scan.is_whole());
        let own = OwnError {
            status: 502,
            code: "upstream_garbage",
            message: "x".to_owned(),
        };
        scan.tell(Endpoint::Messages, &own, &mut out);
        assert_eq!(text(&out).matches("event: error").count(), 1, "{ends}");
    }
}
