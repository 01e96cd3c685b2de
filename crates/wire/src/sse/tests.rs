use proptest::prelude::*;

use super::*;

type Owned = (Vec<u8>, Vec<u8>, bool);

fn owned(event: &SseEvent<'_>) -> Owned {
    (
        event.name.to_vec(),
        event.data.to_vec(),
        event.is_comment_only,
    )
}

/// The events of a stream that comes in these chunks, and where the last one ended.
fn split(chunks: &[&[u8]]) -> (Vec<Owned>, usize) {
    let mut splitter = SseSplitter::new();
    let (mut events, mut start, mut boundary) = (Vec::new(), 0, 0);
    for chunk in chunks {
        let done = splitter
            .feed(chunk, |event| {
                assert!(event.end <= chunk.len());
                events.push(owned(&event));
            })
            .unwrap();
        if done > 0 {
            boundary = start + done;
        }
        start += chunk.len();
    }
    splitter.finish(|event| events.push(owned(&event))).unwrap();
    (events, boundary)
}

/// The format's definition, written down naively: whole text, line by line.
fn naive(stream: &[u8]) -> Vec<Owned> {
    let stream = stream.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(stream);
    let text: Vec<u8> = stream.to_vec();
    let text = replace(&replace(&text, b"\r\n", b"\n"), b"\r", b"\n");
    let mut events = Vec::new();
    let (mut name, mut data, mut seen) = (Vec::new(), None::<Vec<u8>>, false);
    let mut flush = |name: &mut Vec<u8>, data: &mut Option<Vec<u8>>, seen: &mut bool| {
        if std::mem::take(seen) {
            let comment = data.is_none();
            events.push((
                std::mem::take(name),
                data.take().unwrap_or_default(),
                comment,
            ));
        }
    };
    for line in text.split(|&b| b == b'\n') {
        if line.is_empty() {
            flush(&mut name, &mut data, &mut seen);
            continue;
        }
        seen = true;
        let colon = line.iter().position(|&b| b == b':').unwrap_or(line.len());
        let value = line.get(colon + 1..).unwrap_or_default();
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match &line[..colon] {
            b"event" => name = value.to_vec(),
            b"data" => match &mut data {
                None => data = Some(value.to_vec()),
                Some(data) => {
                    data.push(b'\n');
                    data.extend_from_slice(value);
                }
            },
            _ => {}
        }
    }
    flush(&mut name, &mut data, &mut seen);
    events
}

fn replace(text: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.first() {
        if let Some(after) = rest.strip_prefix(from) {
            out.extend_from_slice(to);
            rest = after;
        } else {
            out.push(*first);
            rest = &rest[1..];
        }
    }
    out
}

const CORPUS: &[&str] = &[
    "",
    "\n\n",
    "\r\n\r\n",
    "event: ping\ndata: {}\n\n",
    "event: a\r\ndata: 1\r\n\r\nevent: b\r\ndata: 2\r\n\r\n",
    "event: a\rdata: 1\r\revent: b\rdata: 2\r\r",
    "data: mixed\r\n\ndata: ends\r\r\ndata: x\n\r",
    "data:no space\n\ndata:  two spaces\n\ndata\n\ndata:\n\n",
    "data: one\ndata: two\ndata\ndata: four\n\n",
    "data:\ndata:\n\n",
    ": keep-alive\n\n: OPENROUTER PROCESSING\n\ndata: x\n\n",
    ": with data\ndata: x\nid: 7\nretry: 100\nunknown: y\n\nid: 8\n\n",
    "\u{FEFF}data: after the mark\n\ndata: \u{FEFF}kept\n\n",
    "\u{FEFF}\n\ndata: x\n\n",
    "data: [DONE]",
    "data: [DONE]\n",
    "data: x\n\nevent: cut\ndata: {\"a\":",
    "data: héllo 你好 🦀\n\n",
    "event: last name wins\nevent: second\ndata: x\n\n",
    "eventual: no\ndatabase: no\ndata : no\n\n",
    "\n\n\ndata: x\n\n\n\ndata: y\n\n\n",
];

#[test]
fn every_stream_of_the_corpus_reads_as_the_format_defines() {
    for stream in CORPUS {
        assert_eq!(
            split(&[stream.as_bytes()]).0,
            naive(stream.as_bytes()),
            "{stream:?}"
        );
    }
}

#[test]
fn every_split_in_two_gives_the_same_events_and_the_right_boundary() {
    for stream in CORPUS {
        let stream = stream.as_bytes();
        let (whole, _) = split(&[stream]);
        for at in 0..=stream.len() {
            let (head, tail) = stream.split_at(at);
            let (events, boundary) = split(&[head, tail]);
            assert_eq!(events, whole, "{stream:?} at {at}");
            assert_eq!(boundary, expected_boundary(stream), "{stream:?} at {at}");
        }
    }
}

/// The end of the last blank line, by the definition: terminators are CR LF, CR or LF.
fn expected_boundary(stream: &[u8]) -> usize {
    let (mut position, mut line_start, mut boundary) = (0, 0, 0);
    while position < stream.len() {
        let length = match &stream[position..] {
            [b'\r', b'\n', ..] => 2,
            [b'\r' | b'\n', ..] => 1,
            _ => 0,
        };
        if length > 0 && position == line_start {
            boundary = position + length;
        }
        position += length.max(1);
        if length > 0 {
            line_start = position;
        }
    }
    boundary
}

#[test]
fn byte_by_byte_gives_the_same_events() {
    for stream in CORPUS {
        let chunks: Vec<&[u8]> = stream.as_bytes().chunks(1).collect();
        assert_eq!(split(&chunks).0, naive(stream.as_bytes()), "{stream:?}");
    }
}

#[test]
fn events_inside_one_chunk_are_borrowed_from_it() {
    let chunk = b"event: a\ndata: first\n\ndata: second\n\ndata: unfinished".as_slice();
    let place = chunk.as_ptr_range();
    let mut splitter = SseSplitter::new();
    let mut count = 0;
    let done = splitter
        .feed(chunk, |event| {
            assert!(place.contains(&event.data.as_ptr()));
            count += 1;
        })
        .unwrap();
    assert_eq!(count, 2);
    assert_eq!(&chunk[done..], b"data: unfinished");
    assert!(splitter.is_inside_event());
}

#[test]
fn each_event_says_where_it_ends_in_its_chunk() {
    let chunk = b"rest\n\ndata: a\n\n\n: c\r\n\r\ndata: cut";
    let mut splitter = SseSplitter::new();
    splitter.feed(b"data: ", |_| ()).unwrap();
    let mut ends = Vec::new();
    splitter.feed(chunk, |event| ends.push(event.end)).unwrap();
    assert_eq!(ends, [6, 15, 23]);
}

#[test]
fn a_chunk_that_ends_within_a_character_loses_nothing() {
    let stream = "data: 🦀\n\n".as_bytes();
    let (events, _) = split(&[&stream[..7], &stream[7..9], &stream[9..]]);
    assert_eq!(events, [(vec![], "🦀".as_bytes().to_vec(), false)]);
}

#[test]
fn an_event_without_end_is_refused_whether_it_comes_at_once_or_in_pieces() {
    let long = vec![b'x'; 200];
    let mut splitter = SseSplitter::with_event_bytes_max(100);
    let error = splitter.feed(&long, |_| ()).unwrap_err();
    assert_eq!(error, SseError::EventTooLong { limit: 100 });

    let mut splitter = SseSplitter::with_event_bytes_max(100);
    let refused = long
        .chunks(10)
        .map(|chunk| splitter.feed(chunk, |_| ()))
        .find(Result::is_err);
    assert_eq!(refused, Some(Err(SseError::EventTooLong { limit: 100 })));

    let mut splitter = SseSplitter::with_event_bytes_max(100);
    let mut whole = long.clone();
    whole.extend_from_slice(b"\n\n");
    assert!(
        splitter.feed(&whole, |_| ()).is_err(),
        "complete, but too long"
    );
}

#[test]
fn what_is_no_event_stream_is_told_from_comments_and_fields() {
    for (block, foreign) in [
        (": keep-alive", false),
        ("id: 7\nretry: 10", false),
        ("event: ping", false),
        ("<html><body>", true),
        ("{\"error\":{\"message\":\"x\"}}", true),
        ("\u{0}\u{1}\u{2}", true),
        // A field that is not known here does no harm beside data.
        ("vendor: x\ndata: y", false),
    ] {
        let mut told = Vec::new();
        SseSplitter::new()
            .feed(format!("{block}\n\n").as_bytes(), |event| {
                told.push(event.foreign.map(|lines| lines.trim_ascii().to_vec()));
            })
            .unwrap();
        assert_eq!(
            told,
            [foreign.then(|| block.as_bytes().to_vec())],
            "{block}"
        );
    }
}

#[test]
fn many_short_events_never_reach_the_bound() {
    let mut splitter = SseSplitter::with_event_bytes_max(32);
    let mut events = 0;
    for _ in 0..1000 {
        splitter
            .feed(b"data: 0123456789\n", |_| events += 1)
            .unwrap();
        splitter.feed(b"\n", |_| events += 1).unwrap();
    }
    assert_eq!(events, 1000);
}

#[test]
fn the_buffer_of_a_large_event_is_given_back() {
    let mut splitter = SseSplitter::new();
    splitter.feed(b"data: ", |_| ()).unwrap();
    splitter.feed(&vec![b'x'; 500_000], |_| ()).unwrap();
    splitter.feed(b"\n\n", |_| ()).unwrap();
    splitter.feed(b"data: next", |_| ()).unwrap();
    assert!(splitter.pending.capacity() <= SSE_BUFFER_KEPT_BYTES);
}

proptest! {
    #[test]
    fn any_split_of_any_stream_gives_the_same_events(
        lines in prop::collection::vec(
            (prop::sample::select(vec![
                "", "", "data: x", "data:", "event: e", ": c", "data: é🦀", "\u{FEFF}", "id: 1",
            ]), prop::sample::select(vec!["\n", "\r\n", "\r"])),
            0..24,
        ),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let stream: String = lines.iter().flat_map(|(line, end)| [*line, *end]).collect();
        let stream = stream.as_bytes();
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        places.sort_unstable();
        let (mut chunks, mut from) = (Vec::new(), 0);
        for place in places {
            chunks.push(&stream[from..place]);
            from = place;
        }
        chunks.push(&stream[from..]);
        let (events, boundary) = split(&chunks);
        prop_assert_eq!(events, naive(stream));
        prop_assert_eq!(boundary, expected_boundary(stream));
    }

    #[test]
    fn any_bytes_are_split_without_panic(
        stream in prop::collection::vec(
            prop_oneof![4 => any::<u8>(), 1 => Just(b'\n'), 1 => Just(b'\r')], 0..300),
        at in any::<prop::sample::Index>(),
    ) {
        let (head, tail) = stream.split_at(at.index(stream.len() + 1));
        prop_assert_eq!(split(&[head, tail]).0, naive(&stream));
    }
}
