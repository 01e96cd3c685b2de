//! Answers of OpenAI's embeddings.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use fastrand::Rng;

use super::{AnswerFacts, json};
use crate::model::{Request, VectorFormat};

/// Length of a vector: short, since nobody looks at the numbers.
const DIMENSIONS: usize = 16;

/// The most texts that one request may hold.
const INPUTS_MAX: u64 = 2048;

/// The answer to `POST /v1/embeddings`.
pub(crate) fn embeddings(request: &Request, facts: &AnswerFacts<'_>) -> Bytes {
    let mut rng = Rng::with_seed(facts.seed);
    let count = request.embedding_inputs.min(INPUTS_MAX);
    let entry = |index| {
        let vector = unit_vector(&mut rng);
        let vector = match request.vectors {
            VectorFormat::Base64 => base64_of(&vector),
            VectorFormat::Floats => list_of(&vector),
        };
        format!(r#"{{"object":"embedding","index":{index},"embedding":{vector}}}"#)
    };
    let data: Vec<String> = (0..count).map(entry).collect();
    let tokens = facts.usage.whole_input();
    format!(
        r#"{{"object":"list","data":[{}],"model":{},"usage":{{"prompt_tokens":{tokens},"total_tokens":{tokens}}}}}"#,
        data.join(","),
        json(facts.model),
    )
    .into()
}

pub(super) fn unit_vector(rng: &mut Rng) -> Vec<f32> {
    let vector: Vec<f32> = (0..DIMENSIONS).map(|_| rng.f32() - 0.5).collect();
    let length = vector
        .iter()
        .map(|x| x * x)
        .sum::<f32>()
        .sqrt()
        .max(f32::EPSILON);
    vector.iter().map(|x| x / length).collect()
}

fn base64_of(vector: &[f32]) -> String {
    let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
    format!("\"{}\"", STANDARD.encode(bytes))
}

pub(super) fn list_of(vector: &[f32]) -> String {
    let numbers: Vec<String> = vector.iter().map(ToString::to_string).collect();
    format!("[{}]", numbers.join(","))
}
