//! From one API into another and back: what people wrote, what the model thought, what tools were called with, why
//! it stopped and what it cost is the same as before, for every pair; streamed as in one piece.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that fails says where"
)]

mod util;

use keypool_translate::{Api, ClientRequest, StreamTranslator, translate_answer};
use keypool_wire::SseSplitter;
use proptest::prelude::*;
use util::neutral::{self, answers, conversations};
use util::{settings, target, translate};

fn pairs() -> impl Iterator<Item = (Api, Api)> {
    let all = Api::ALL.into_iter();
    all.flat_map(|there| Api::ALL.into_iter().map(move |back| (there, back)))
}

proptest! {
    // Each case goes through all sixteen pairs.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn an_answer_survives_the_way_there_and_back(answer in answers()) {
        for (a, b) in pairs() {
            let before = neutral::answer_body(a, &answer);
            let there = translate_answer(&settings(a, b), &before).unwrap();
            prop_assert_eq!(&neutral::read_answer(b, &there), &answer, "{:?} to {:?}", a, b);
            let back = translate_answer(&settings(b, a), &there).unwrap();
            prop_assert_eq!(&neutral::read_answer(a, &back), &answer, "{:?} by {:?}", a, b);
        }
    }

    #[test]
    fn a_conversation_survives_the_way_there_and_back(talk in conversations()) {
        for (a, b) in pairs() {
            let before = neutral::request_body(a, &talk);
            let there = ClientRequest::read(a, &before).unwrap().write(&target(b)).unwrap();
            prop_assert_eq!(&neutral::read_request(b, &there.body), &talk, "{:?} to {:?}", a, b);
            let back = ClientRequest::read(b, &there.body).unwrap().write(&target(a)).unwrap();
            prop_assert_eq!(&neutral::read_request(a, &back.body), &talk, "{:?} by {:?}", a, b);
        }
    }

    #[test]
    fn a_stream_survives_the_way_there_and_back(answer in answers()) {
        for (a, b) in pairs() {
            let before = neutral::stream_events(a, &answer);
            let (_, there) = translate(&settings(a, b), &before);
            let there = util::events(there.as_bytes());
            prop_assert_eq!(&neutral::read_stream(b, &there), &answer, "{:?} to {:?}", a, b);
            let (_, back) = translate(&settings(b, a), &there);
            let back = util::events(back.as_bytes());
            prop_assert_eq!(&neutral::read_stream(a, &back), &answer, "{:?} by {:?}", a, b);
        }
    }

    #[test]
    fn a_stream_tells_what_the_plain_answer_tells_however_its_bytes_are_cut(
        answer in answers(),
        lengths in prop::collection::vec(1..40_usize, 1..8),
    ) {
        for (a, b) in pairs() {
            let plain = translate_answer(&settings(a, b), &neutral::answer_body(a, &answer)).unwrap();
            let stream = util::stream_bytes(&neutral::stream_events(a, &answer));
            let streamed = translate_cut(a, b, &stream, &lengths);
            let events = util::events(&streamed);
            prop_assert_eq!(
                neutral::read_stream(b, &events),
                neutral::read_answer(b, &plain),
                "{:?} to {:?}", a, b
            );
            prop_assert_eq!(&streamed, &translate_cut(a, b, &stream, &[stream.len()]));
        }
    }
}

/// Translates a stream whose bytes come in chunks of these lengths, over and over.
fn translate_cut(a: Api, b: Api, stream: &[u8], lengths: &[usize]) -> Vec<u8> {
    let mut translator = StreamTranslator::new(&settings(a, b));
    let (mut splitter, mut out) = (SseSplitter::new(), Vec::new());
    let mut rest = stream;
    for length in lengths.iter().cycle() {
        let (chunk, after) = rest.split_at((*length).min(rest.len()));
        splitter
            .feed(chunk, |event| translator.event(event.data, &mut out))
            .unwrap();
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    translator.end(&mut out);
    assert!(!translator.has_failed());
    out
}
