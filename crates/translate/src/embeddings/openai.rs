//! OpenAI's `/embeddings`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Deserialize, Deserializer, Error as _};
use serde_json::value::RawValue;

use super::{
    EmbeddingApi, EmbeddingRequest, EmbeddingSettings, Embeddings, Vector, VectorEncoding,
};
use crate::error::Failure;
use crate::json::{Array, Count, Ignored, Object, Str, json_object, object, read_object};
use crate::losses::Refusal;
use crate::rules::Field;

json_object! {
    /// A request.
    struct Body<'a> {
        model = "model": Ignored,
        input = "input": Input<'a>,
        dimensions = "dimensions": u64,
        encoding_format = "encoding_format": Str<'a>,
        user = "user": Str<'a>,
    }
}

json_object! {
    /// An answer.
    struct Answer<'a> {
        data = "data": Vec<Row<'a>>,
        usage = "usage": Usage<'a>,
        error = "error": Ignored,
    }
}

json_object! {
    /// One vector.
    struct Row<'a> {
        embedding = "embedding": &'a RawValue,
        index = "index": u64,
    }
}

json_object! {
    /// What it cost.
    struct Usage<'a> {
        prompt_tokens = "prompt_tokens": Count,
    }
}

/// Texts, or numbers of one tokenizer's tokens.
#[derive(Clone, Debug)]
pub(crate) enum Input<'a> {
    Texts(Vec<Str<'a>>),
    Tokens,
}

impl<'de: 'a, 'a> Deserialize<'de> for Input<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&'de RawValue>::deserialize(deserializer)?.get();
        let inside = raw.trim_start_matches('[').trim_start();
        if !raw.starts_with('[') {
            let text = serde_json::from_str(raw).map_err(D::Error::custom)?;
            Ok(Self::Texts(vec![text]))
        } else if inside.starts_with(|c: char| c.is_ascii_digit()) {
            Ok(Self::Tokens)
        } else {
            let texts = serde_json::from_str(raw).map_err(D::Error::custom)?;
            Ok(Self::Texts(texts))
        }
    }
}

fn shape(message: impl std::fmt::Display) -> Refusal {
    Refusal::Shape {
        api: EmbeddingApi::OpenAi.name(),
        message: message.to_string(),
    }
}

pub(super) fn read_request(body: &[u8]) -> Result<EmbeddingRequest<'_>, Refusal> {
    let body: Body<'_> = read_object(body).map_err(shape)?;
    let mut request = EmbeddingRequest {
        dimensions: body.dimensions,
        encoding: match body.encoding_format.as_deref() {
            None | Some("float") => VectorEncoding::Numbers,
            Some("base64") => VectorEncoding::Base64,
            Some(format) => return Err(shape(format!("`encoding_format` is {format:?}"))),
        },
        user: body.user,
        ..EmbeddingRequest::default()
    };
    request.losses.unknown("", &body.unknown);
    request.fields.note(Field::User, request.user.as_ref());
    match body.input {
        Some(Input::Texts(texts)) => request.texts = texts,
        Some(Input::Tokens) => request.fields.add(Field::EmbeddedTokens),
        None => return Err(shape("`input` is missing")),
    }
    Ok(request)
}

pub(super) fn write_request(request: &EmbeddingRequest<'_>, model: &str, out: &mut Vec<u8>) {
    object(out, |body| {
        body.put("model", model);
        body.array("input", |input| {
            for text in &request.texts {
                input.put(text);
            }
        });
        body.maybe("dimensions", request.dimensions)
            .put("encoding_format", "float")
            .maybe("user", request.user.as_ref());
    });
}

pub(super) fn read_answer(body: &[u8]) -> Result<Embeddings<'_>, Failure> {
    let answer: Answer<'_> = read_object(body).map_err(|_| Failure::unreadable())?;
    if answer.error.is_some() {
        return Err(Failure::read(None, body));
    }
    let mut data = answer.data.ok_or_else(Failure::unreadable)?;
    data.sort_by_key(|row| row.index);
    let vectors = data.iter().map(read_vector);
    let usage = answer.usage.and_then(|usage| usage.prompt_tokens);
    Ok(Embeddings {
        vectors: vectors.collect::<Result<_, _>>()?,
        input_tokens: usage.unwrap_or_default().get(),
    })
}

fn read_vector<'a>(row: &Row<'a>) -> Result<Vector<'a>, Failure> {
    let raw = row.embedding.ok_or_else(Failure::unreadable)?;
    if raw.get().starts_with('"') {
        let text = serde_json::from_str(raw.get());
        text.map(Vector::Base64).map_err(|_| Failure::unreadable())
    } else {
        Ok(Vector::Numbers(raw))
    }
}

pub(super) fn write_answer(
    answer: &Embeddings<'_>,
    settings: &EmbeddingSettings<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Failure> {
    let mut written = Ok(());
    object(out, |root| {
        root.put("object", "list").array("data", |data| {
            for (index, vector) in (0_u64..).zip(&answer.vectors) {
                let one = write_vector(vector, index, settings.encoding, data);
                written = std::mem::replace(&mut written, Ok(())).and(one);
            }
        });
        root.put("model", settings.model).object("usage", |usage| {
            usage
                .put("prompt_tokens", answer.input_tokens)
                .put("total_tokens", answer.input_tokens);
        });
    });
    written
}

fn write_vector(
    vector: &Vector<'_>,
    index: u64,
    encoding: VectorEncoding,
    data: &mut Array<'_>,
) -> Result<(), Failure> {
    let mut written = Ok(());
    data.object(|object: &mut Object<'_>| {
        object.put("object", "embedding").put("index", index);
        match (vector, encoding) {
            (Vector::Numbers(raw), VectorEncoding::Numbers) => {
                object.put("embedding", *raw);
            }
            (Vector::Base64(text), VectorEncoding::Base64) => {
                object.put("embedding", text);
            }
            (vector, VectorEncoding::Base64) => match numbers(vector) {
                Ok(numbers) => {
                    let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
                    object.put("embedding", STANDARD.encode(bytes));
                }
                Err(failure) => written = Err(failure),
            },
            (vector, VectorEncoding::Numbers) => match numbers(vector) {
                Ok(numbers) => {
                    object.array("embedding", |list| put_numbers(&numbers, list));
                }
                Err(failure) => written = Err(failure),
            },
        }
    });
    written
}

pub(super) fn put_numbers(numbers: &[f32], list: &mut Array<'_>) {
    for number in numbers {
        list.put(*number);
    }
}

/// A vector's numbers.
pub(super) fn numbers(vector: &Vector<'_>) -> Result<Vec<f32>, Failure> {
    match vector {
        Vector::Numbers(raw) => serde_json::from_str(raw.get()).map_err(|_| Failure::unreadable()),
        Vector::Base64(text) => {
            let bytes = STANDARD
                .decode(text.as_bytes())
                .map_err(|_| Failure::unreadable())?;
            let (floats, rest) = bytes.as_chunks::<4>();
            if !rest.is_empty() {
                return Err(Failure::unreadable());
            }
            Ok(floats
                .iter()
                .map(|bytes| f32::from_le_bytes(*bytes))
                .collect())
        }
    }
}
