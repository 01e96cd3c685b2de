//! Request bodies: what is read of them, against `serde_json`'s reading; and what is cut into them.

use bytes::Bytes;
use keypool_wire::limits::STATE_IDS_MAX;
use keypool_wire::{Dialect, Endpoint, Peek, PeekError, peek, upstream_body};
use serde_json::{Map, Value, json};

use crate::json;

/// Reads the body as each endpoint's, and sends it on under another model's name.
pub fn check(data: &[u8]) {
    let value = json::value(data).filter(|_| !json::has_duplicates(data));
    for endpoint in Endpoint::ALL {
        let found = peek(endpoint, data);
        assert_eq!(found, peek(endpoint, data), "the same body, read again");
        if let Some(value) = &value {
            assert_agrees(endpoint, value, &found);
        }
        match &found {
            Ok(peek) => {
                assert_bounded(data, peek);
                assert_blank_space_is_nothing(endpoint, data, peek);
                assert_spliced(endpoint, data, peek, value.as_ref());
            }
            Err(error) => assert_in_body(data, error),
        }
    }
}

/// What the body asks for, as a tree of JSON tells it.
struct Wanted<'v> {
    model: Option<&'v str>,
    stream: bool,
    max_output_tokens: Option<u64>,
    asks_usage: bool,
}

/// A member has a type that the endpoint does not take.
struct WrongType;

impl<'v> Wanted<'v> {
    fn read(endpoint: Endpoint, body: &'v Map<String, Value>) -> Result<Self, WrongType> {
        if endpoint.dialect() == Dialect::Gemini {
            return Ok(Self {
                model: None,
                stream: false,
                max_output_tokens: gemini_bound(endpoint, body)?,
                asks_usage: false,
            });
        }
        let model = match body.get("model") {
            None => None,
            Some(Value::String(name)) => Some(name.as_str()),
            Some(_) => return Err(WrongType),
        };
        let bounds: &[&str] = match endpoint {
            Endpoint::Messages => &["max_tokens"],
            Endpoint::ChatCompletions => &["max_completion_tokens", "max_tokens"],
            Endpoint::Responses => &["max_output_tokens"],
            _ => &[],
        };
        let bound = bounds
            .iter()
            .find_map(|name| body.get(*name).filter(|value| !value.is_null()));
        let max_output_tokens = match bound {
            None => None,
            Some(value) => Some(value.as_u64().ok_or(WrongType)?),
        };
        let options = body
            .get("stream_options")
            .filter(|options| endpoint == Endpoint::ChatCompletions && !options.is_null());
        let asks_usage = match options {
            None => false,
            Some(Value::Object(options)) => flag(options.get("include_usage"))?,
            Some(_) => return Err(WrongType),
        };
        Ok(Self {
            model,
            stream: flag(body.get("stream"))?,
            max_output_tokens,
            asks_usage,
        })
    }
}

/// Names of Gemini's settings of the answer; of two of them the last one counts, which a tree does not tell.
const GENERATION: [&str; 2] = ["generationConfig", "generation_config"];

fn gemini_bound(endpoint: Endpoint, body: &Map<String, Value>) -> Result<Option<u64>, WrongType> {
    if endpoint != Endpoint::GenerateContent {
        return Ok(None);
    }
    let mut all = GENERATION.iter().filter_map(|name| body.get(*name));
    let Some(settings) = all.next() else {
        return Ok(None);
    };
    let mut names = ["maxOutputTokens", "max_output_tokens"]
        .iter()
        .filter_map(|name| settings.get(*name));
    let schemas = |names: [&str; 2]| names.iter().all(|name| settings.get(*name).is_some());
    let is_ambiguous = schemas(["responseSchema", "response_schema"])
        || schemas(["responseJsonSchema", "response_json_schema"]);
    match (names.next(), names.next()) {
        (Some(bound), None) if !is_ambiguous => match bound {
            Value::Null => Ok(None),
            Value::String(text) => serde_json::from_str(text).map(Some).map_err(|_| WrongType),
            bound => bound.as_u64().map(Some).ok_or(WrongType),
        },
        _ => Ok(None),
    }
}

fn flag(value: Option<&Value>) -> Result<bool, WrongType> {
    match value {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(_) => Err(WrongType),
    }
}

fn assert_agrees(endpoint: Endpoint, value: &Value, found: &Result<Peek, PeekError>) {
    let Value::Object(body) = value else {
        assert_eq!(*found, Err(PeekError::NotAnObject));
        return;
    };
    if endpoint == Endpoint::GenerateContent
        && GENERATION.iter().all(|name| body.contains_key(*name))
    {
        return;
    }
    match (Wanted::read(endpoint, body), found) {
        (Ok(wanted), Ok(peek)) => {
            let model = peek.model.as_ref().map(|model| model.name.as_str());
            assert_eq!(model, wanted.model);
            assert_eq!(peek.stream, wanted.stream);
            assert_eq!(peek.max_output_tokens, wanted.max_output_tokens);
            assert_eq!(peek.asks_usage, wanted.asks_usage);
        }
        (Err(WrongType), Err(PeekError::WrongType { .. })) => {}
        (wanted, _) => panic!(
            "{endpoint:?}: a body that is {}: {found:?}",
            if wanted.is_ok() {
                "good"
            } else {
                "of a wrong type"
            }
        ),
    }
}

fn assert_bounded(body: &[u8], peek: &Peek) {
    // The dearest per byte: `"type":"image"`.
    let most = 100 * body.len() as u64;
    assert!(peek.input_tokens <= most, "{}", peek.input_tokens);
    assert!(peek.state_ids.len() <= STATE_IDS_MAX);
    assert_eq!(peek.state_ids.is_empty(), peek.state_name().is_none());
    if let Some(model) = &peek.model {
        let text = body.get(model.range.clone()).unwrap_or_default();
        let name: Option<String> = serde_json::from_slice(text).ok();
        assert_eq!(name.as_ref(), Some(&model.name));
    }
}

/// Blank space around a body changes neither what it asks for nor whose conversation it is.
fn assert_blank_space_is_nothing(endpoint: Endpoint, body: &[u8], seen: &Peek) {
    let spaced = [b" \n", body, b"\t\r\n"].concat();
    let Ok(again) = peek(endpoint, &spaced) else {
        panic!("blank space spoils the body");
    };
    assert_eq!(
        again.model.as_ref().map(|model| &model.name),
        seen.model.as_ref().map(|model| &model.name)
    );
    assert_eq!(again.stream, seen.stream);
    assert_eq!(again.max_output_tokens, seen.max_output_tokens);
    assert_eq!(again.asks_usage, seen.asks_usage);
    assert_eq!(again.input_tokens, seen.input_tokens);
    assert_eq!(again.session, seen.session);
    assert_eq!(again.prefix, seen.prefix);
    assert_eq!(again.state_ids, seen.state_ids);
}

fn assert_spliced(endpoint: Endpoint, body: &[u8], seen: &Peek, value: Option<&Value>) {
    let body = Bytes::copy_from_slice(body);
    let untouched = upstream_body(&body, seen, None, false);
    assert_eq!(
        untouched.as_ptr(),
        body.as_ptr(),
        "nothing is copied for nothing"
    );
    for model in ["m", "a \"b\" \\ \u{1F600}\n", ""] {
        let asks = endpoint == Endpoint::ChatCompletions;
        for inject in [false, asks] {
            let out = upstream_body(&body, seen, Some(model), inject);
            let Ok(again) = peek(endpoint, &out) else {
                panic!("the body is spoilt: {}", String::from_utf8_lossy(&out));
            };
            let in_body = endpoint.dialect() != Dialect::Gemini;
            assert_eq!(
                again.model.as_ref().map(|field| field.name.as_str()),
                in_body.then_some(model)
            );
            assert_eq!(again.stream, seen.stream);
            assert_eq!(again.max_output_tokens, seen.max_output_tokens);
            assert_eq!(again.input_tokens, seen.input_tokens);
            assert_eq!(again.prefix, seen.prefix);
            assert_eq!(again.state_ids, seen.state_ids);
            assert_eq!(again.asks_usage, seen.asks_usage || (inject && seen.stream));
            if let Some(value) = value {
                assert_eq!(
                    json::value(&out),
                    Some(if in_body {
                        expected(value, model, again.asks_usage)
                    } else {
                        expected_of_gemini(endpoint, value, model)
                    })
                );
            }
            if let (Some(old), Some(new), false) = (&seen.model, &again.model, inject) {
                assert_eq!(body.get(..old.range.start), out.get(..new.range.start));
                assert_eq!(body.get(old.range.end..), out.get(new.range.end..));
            }
        }
    }
}

/// The body's tree with the two members that may be changed.
fn expected(value: &Value, model: &str, asks_usage: bool) -> Value {
    let mut value = value.clone();
    if let Some(body) = value.as_object_mut() {
        body.insert("model".to_owned(), model.into());
        if asks_usage {
            let options = body.entry("stream_options").or_insert_with(|| json!({}));
            if options.is_null() {
                *options = json!({});
            }
            if let Some(options) = options.as_object_mut() {
                options.insert("include_usage".to_owned(), true.into());
            }
        }
    }
    value
}

/// The body's tree with the model wherever it stands again.
fn expected_of_gemini(endpoint: Endpoint, value: &Value, model: &str) -> Value {
    let mut value = value.clone();
    write_model(&mut value, 1, model);
    let nested: &[(&str, usize)] = match endpoint {
        Endpoint::CountContentTokens => &[
            ("generateContentRequest", 1),
            ("generate_content_request", 1),
        ],
        Endpoint::BatchEmbedContents => &[("requests", 2)],
        _ => &[],
    };
    for (name, depth) in nested {
        if let Some(member) = value.get_mut(name) {
            write_model(member, *depth, model);
        }
    }
    value
}

/// Writes the model into objects that stand so many brackets inside.
fn write_model(value: &mut Value, depth: usize, model: &str) {
    match (value, depth) {
        (Value::Object(members), 1) => {
            if let Some(Value::String(old)) = members.get_mut("model") {
                let bare = model.strip_prefix("models/").unwrap_or(model);
                if old.strip_prefix("models/").unwrap_or(old) != bare {
                    *old = format!("models/{bare}");
                }
            }
        }
        (Value::Object(members), _) => {
            for member in members.values_mut() {
                write_model(member, depth - 1, model);
            }
        }
        (Value::Array(items), 2..) => {
            for item in items {
                write_model(item, depth - 1, model);
            }
        }
        _ => {}
    }
}

/// An error points to a place that is there.
fn assert_in_body(body: &[u8], error: &PeekError) {
    let (PeekError::NotUtf8 { line, column } | PeekError::NotJson { line, column, .. }) = *error
    else {
        return;
    };
    let mut lines = body.split(|&byte| byte == b'\n');
    let length = line.checked_sub(1).and_then(|index| lines.nth(index));
    let Some(length) = length.map(<[u8]>::len) else {
        panic!("line {line} is not there: {error}");
    };
    assert!(column <= length + 1, "{error} in a line of {length} bytes");
}
