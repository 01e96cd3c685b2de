//! What the tests share: fixtures, targets, and streams as the gateway feeds them.

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "each test file uses a part of it"
)]

pub mod neutral;

use std::fs;
use std::path::{Path, PathBuf};

use keypool_translate::{Api, Settings, StreamTranslator, Target};
use keypool_wire::SseSplitter;
use serde_json::Value;

/// A fixture: the API it is written in, its name, its bytes.
pub struct Fixture {
    pub api: Api,
    pub name: String,
    pub bytes: Vec<u8>,
}

/// The name of an API's folder of fixtures.
pub fn folder(api: Api) -> &'static str {
    match api {
        Api::Messages => "messages",
        Api::ChatCompletions => "chat",
        Api::Responses => "responses",
        Api::GenerateContent => "gemini",
    }
}

/// All fixtures of a kind, in order.
pub fn fixtures(kind: &str) -> Vec<Fixture> {
    let mut all = Vec::new();
    for api in Api::ALL {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let folder = root.join(kind).join(folder(api));
        let mut paths: Vec<PathBuf> = fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
            .map(|entry| entry.unwrap().path())
            .collect();
        paths.sort();
        for path in paths {
            all.push(Fixture {
                api,
                name: path.file_stem().unwrap().to_string_lossy().into_owned(),
                bytes: fs::read(&path).unwrap(),
            });
        }
    }
    assert!(!all.is_empty(), "no fixtures of {kind}");
    all
}

/// A model that a provider of the API would have.
pub fn target(api: Api) -> Target<'static> {
    let model = match api {
        Api::Messages => "claude-sonnet-4-5",
        Api::ChatCompletions | Api::Responses => "gpt-5.2",
        Api::GenerateContent => "gemini-3.5-flash",
    };
    Target::new(api, model)
}

pub fn settings(from: Api, to: Api) -> Settings<'static> {
    Settings {
        from,
        to,
        model: "the-model",
        id: "made-id",
        created_unix_s: 1_764_000_000,
        stream_usage: true,
        namespaced: &[],
    }
}

/// JSON with a line for each member, its keys, numbers and order as they are.
pub fn pretty(json: &[u8]) -> String {
    let json = std::str::from_utf8(json).unwrap();
    serde_json::from_str::<Value>(json).unwrap_or_else(|error| panic!("{error}: {json}"));
    let (mut out, mut depth, mut is_inside, mut after_escape) = (String::new(), 0, false, false);
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    };
    for (at, c) in json.char_indices() {
        let is_string = is_inside || c == '"';
        if is_inside {
            is_inside = after_escape || c != '"';
            after_escape = c == '\\' && !after_escape;
        } else {
            is_inside = c == '"';
        }
        let next = json[at + c.len_utf8()..].chars().next();
        match c {
            _ if is_string => out.push(c),
            '{' | '[' if matches!(next, Some('}' | ']')) => out.push(c),
            '{' | '[' => {
                depth += 1;
                out.push(c);
                line(&mut out, depth);
            }
            '}' | ']' if out.ends_with(['{', '[']) => out.push(c),
            '}' | ']' => {
                depth -= 1;
                line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            c if c.is_whitespace() => {}
            c => out.push(c),
        }
    }
    out
}

/// The data of each event of a stream; comments are left out.
pub fn events(stream: &[u8]) -> Vec<Vec<u8>> {
    let mut events = Vec::new();
    let mut splitter = SseSplitter::new();
    let mut keep = |event: keypool_wire::SseEvent<'_>| {
        if !event.is_comment_only {
            events.push(event.data.to_vec());
        }
    };
    splitter.feed(stream, &mut keep).unwrap();
    splitter.finish(&mut keep).unwrap();
    events
}

/// Events as a stream has them, by their data alone.
pub fn stream_bytes(events: &[Vec<u8>]) -> Vec<u8> {
    let event = |data: &Vec<u8>| [b"data: ", data.as_slice(), b"\n\n"].concat();
    events.iter().flat_map(event).collect()
}

/// Translates events as they come, then the end of the stream.
pub fn translate(settings: &Settings<'_>, events: &[Vec<u8>]) -> (StreamTranslator, String) {
    let mut translator = StreamTranslator::new(settings);
    let mut out = Vec::new();
    for event in events {
        translator.event(event, &mut out);
    }
    translator.end(&mut out);
    (translator, String::from_utf8(out).unwrap())
}
