//! State that a client hands back: thinking blocks with their signatures. They are good for the
//! organisation that made them and for nobody else, so a pool that moves such a conversation to a key of
//! another organisation gets a 400.
//!
//! Worked example: `{"role":"assistant","content":[{"type":"thinking","thinking":"…","signature":"Ep4C…"}]}`
//! as message 1 is found as signature at `messages.1.content.0`.

use serde_json::Value;

/// A signature in a request, and where it stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ThinkingSignature {
    /// Position of the message, from 0.
    pub message: usize,
    /// Position of the block in its content, from 0.
    pub block: usize,
    /// The signature, word for word.
    pub signature: String,
}

/// The signatures of the thinking blocks in the body of a request.
pub(crate) fn signatures(body: &[u8]) -> Vec<ThinkingSignature> {
    const MARK: &[u8] = b"\"signature\"";
    // Most requests have none, and need not be read a second time.
    if !body.windows(MARK.len()).any(|window| window == MARK) {
        return Vec::new();
    }
    let whole: Value = serde_json::from_slice(body).unwrap_or_default();
    let messages = whole.get("messages").and_then(Value::as_array);
    let mut found = Vec::new();
    for (message, value) in messages.into_iter().flatten().enumerate() {
        let blocks = value.get("content").and_then(Value::as_array);
        for (block, value) in blocks.into_iter().flatten().enumerate() {
            let kind = value.get("type").and_then(Value::as_str);
            if kind == Some("thinking") {
                let signature = value.get("signature").and_then(Value::as_str);
                found.push(ThinkingSignature {
                    message,
                    block,
                    signature: signature.unwrap_or_default().to_owned(),
                });
            }
        }
    }
    found
}
