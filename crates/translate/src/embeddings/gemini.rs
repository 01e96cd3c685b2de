//! Gemini's `embedContent` and `batchEmbedContents`.

use serde_json::value::RawValue;

use super::openai::{numbers, put_numbers};
use super::{EmbeddingApi, EmbeddingRequest, Embeddings, Vector};
use crate::error::Failure;
use crate::json::{Count, Ignored, Object, Str, json_object, object, read_object};
use crate::losses::Refusal;
use crate::rules::Field;

json_object! {
    /// A batch.
    struct Batch<'a> {
        requests = "requests": Vec<One<'a>>,
    }
}

json_object! {
    /// A request for one text.
    struct One<'a> {
        model = "model": Ignored,
        content = "content": Content<'a>,
        task_type = "taskType" | "task_type": Ignored,
        title = "title": Ignored,
        output_dimensionality = "outputDimensionality" | "output_dimensionality": u64,
    }
}

json_object! {
    /// What is embedded.
    struct Content<'a> {
        role = "role": Ignored,
        parts = "parts": Vec<Part<'a>>,
    }
}

json_object! {
    /// A part of it; everything but text is a further member.
    struct Part<'a> {
        text = "text": Str<'a>,
    }
}

json_object! {
    /// An answer to either.
    struct Answer<'a> {
        embedding = "embedding": Embedding<'a>,
        embeddings = "embeddings": Vec<Embedding<'a>>,
        usage_metadata = "usageMetadata": UsageMetadata<'a>,
        error = "error": Ignored,
    }
}

json_object! {
    /// One vector.
    struct Embedding<'a> {
        values = "values": &'a RawValue,
    }
}

json_object! {
    /// What it cost.
    struct UsageMetadata<'a> {
        prompt_token_count = "promptTokenCount": Count,
    }
}

fn shape(api: EmbeddingApi, message: impl std::fmt::Display) -> Refusal {
    Refusal::Shape {
        api: api.name(),
        message: message.to_string(),
    }
}

pub(super) fn read_one(body: &[u8]) -> Result<EmbeddingRequest<'_>, Refusal> {
    let api = EmbeddingApi::GeminiOne;
    let one: One<'_> = read_object(body).map_err(|error| shape(api, error))?;
    let mut request = EmbeddingRequest {
        dimensions: one.output_dimensionality,
        ..EmbeddingRequest::default()
    };
    add(&mut request, one, api)?;
    Ok(request)
}

pub(super) fn read_batch(body: &[u8]) -> Result<EmbeddingRequest<'_>, Refusal> {
    let api = EmbeddingApi::GeminiBatch;
    let batch: Batch<'_> = read_object(body).map_err(|error| shape(api, error))?;
    let mut request = EmbeddingRequest::default();
    request.losses.unknown("", &batch.unknown);
    let all = batch.requests.unwrap_or_default();
    request.dimensions = all.first().and_then(|one| one.output_dimensionality);
    for one in all {
        if one.output_dimensionality != request.dimensions {
            return Err(shape(api, "the texts ask for vectors of different lengths"));
        }
        add(&mut request, one, api)?;
    }
    Ok(request)
}

/// Adds one text. Several parts are one text, as they are for Gemini.
fn add<'a>(
    request: &mut EmbeddingRequest<'a>,
    one: One<'a>,
    api: EmbeddingApi,
) -> Result<(), Refusal> {
    request.losses.unknown("", &one.unknown);
    request
        .fields
        .note(Field::EmbeddingTask, one.task_type.as_ref());
    request
        .fields
        .note(Field::EmbeddingTask, one.title.as_ref());
    let Some(content) = one.content else {
        return Err(shape(api, "`content` is missing"));
    };
    let mut text: Option<Str<'a>> = None;
    for part in content.parts.unwrap_or_default() {
        if !part.unknown.is_empty() {
            request.fields.add(Field::UnknownContent);
        }
        let more = part.text.unwrap_or_default();
        match &mut text {
            None => text = Some(more),
            Some(text) => text.push_str(&more),
        }
    }
    request.texts.push(text.unwrap_or_default());
    Ok(())
}

pub(super) fn write_batch(request: &EmbeddingRequest<'_>, model: &str, out: &mut Vec<u8>) {
    object(out, |body| {
        body.array("requests", |requests| {
            for text in &request.texts {
                requests.object(|one| write_text(request, text, model, one));
            }
        });
    });
}

pub(super) fn write_one(
    request: &EmbeddingRequest<'_>,
    text: &str,
    model: &str,
    out: &mut Vec<u8>,
) {
    object(out, |one| write_text(request, text, model, one));
}

fn write_text(request: &EmbeddingRequest<'_>, text: &str, model: &str, one: &mut Object<'_>) {
    // The body repeats the model of the path, as a resource's name.
    let model = model.strip_prefix("models/").unwrap_or(model);
    one.put("model", format!("models/{model}"))
        .object("content", |content| {
            content.array("parts", |parts| {
                parts.object(|part| {
                    part.put("text", text);
                });
            });
        })
        .maybe("outputDimensionality", request.dimensions);
}

pub(super) fn read_answer(body: &[u8]) -> Result<Embeddings<'_>, Failure> {
    let answer: Answer<'_> = read_object(body).map_err(|_| Failure::unreadable())?;
    if answer.error.is_some() {
        return Err(Failure::read(None, body));
    }
    let one = answer.embedding.map(|embedding| vec![embedding]);
    let all = answer.embeddings.or(one).ok_or_else(Failure::unreadable)?;
    let vectors = all.into_iter().map(|embedding| {
        let values = embedding.values.ok_or_else(Failure::unreadable)?;
        Ok(Vector::Numbers(values))
    });
    let usage = answer
        .usage_metadata
        .and_then(|usage| usage.prompt_token_count);
    Ok(Embeddings {
        vectors: vectors.collect::<Result<_, Failure>>()?,
        input_tokens: usage.unwrap_or_default().get(),
    })
}

pub(super) fn write_answer_to_one(
    answer: &Embeddings<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Failure> {
    let [vector] = answer.vectors.as_slice() else {
        return Err(Failure::unreadable());
    };
    let vector = Written::of(vector)?;
    object(out, |root| {
        root.object("embedding", |embedding| vector.write(embedding));
        write_usage(answer, root);
    });
    Ok(())
}

pub(super) fn write_answer_to_batch(
    answer: &Embeddings<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Failure> {
    let vectors = answer.vectors.iter().map(Written::of);
    let vectors = vectors.collect::<Result<Vec<_>, _>>()?;
    object(out, |root| {
        root.array("embeddings", |list| {
            for vector in &vectors {
                list.object(|embedding| vector.write(embedding));
            }
        });
        write_usage(answer, root);
    });
    Ok(())
}

fn write_usage(answer: &Embeddings<'_>, root: &mut Object<'_>) {
    root.object("usageMetadata", |usage| {
        usage.put("promptTokenCount", answer.input_tokens);
    });
}

/// A vector as it is written here: numbers, always.
enum Written<'v> {
    AsItCame(&'v RawValue),
    Decoded(Vec<f32>),
}

impl<'v> Written<'v> {
    fn of(vector: &'v Vector<'_>) -> Result<Self, Failure> {
        Ok(match vector {
            Vector::Numbers(raw) => Self::AsItCame(raw),
            Vector::Base64(_) => Self::Decoded(numbers(vector)?),
        })
    }

    fn write(&self, embedding: &mut Object<'_>) {
        match self {
            Self::AsItCame(raw) => embedding.put("values", *raw),
            Self::Decoded(numbers) => embedding.array("values", |list| put_numbers(numbers, list)),
        };
    }
}
