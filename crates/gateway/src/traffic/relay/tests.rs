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
    let mut scan = Scan::new(StreamMeter::new(Endpoint::ChatCompletions, usage_injected));
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
    scan.finish(&mut rest);
    for bytes in rest {
        out.push_str(std::str::from_utf8(&bytes).unwrap());
    }
    assert_eq!(out, stream);
    assert!(scan.meter.is_complete());
}

#[test]
fn an_error_before_any_content_is_told_apart_from_one_after_it() {
    let error =
        "data: {\"error\":{\"message\":\"busy\",\"type\":\"server_error\",\"code\":null}}\n\n";
    let mut scan = Scan::new(StreamMeter::new(Endpoint::ChatCompletions, false));
    let mut out = VecDeque::new();
    let first = scan.take_in(&Bytes::from(error), &mut out).unwrap();
    assert!(first.error_first.is_some());

    let mut scan = Scan::new(StreamMeter::new(Endpoint::ChatCompletions, false));
    let content = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n";
    let later = scan
        .take_in(&Bytes::from(format!("{content}{error}")), &mut out)
        .unwrap();
    assert!(later.committing && later.error_first.is_none());
}
