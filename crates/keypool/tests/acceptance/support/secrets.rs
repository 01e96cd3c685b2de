//! Canaries: every key of every test carries a mark which must never be seen outside.

use std::sync::{Arc, Mutex};

/// Part of every secret in these tests. Its absence from all output is checked when a gateway is dropped.
pub(crate) const CANARY: &str = "canary-7f3a9c51e2";

/// The `number`-th key of the simulated Anthropic.
pub(crate) fn anthropic_key(number: usize) -> String {
    format!("sk-ant-{CANARY}-key{number}")
}

/// The `number`-th key of the simulated OpenAI.
pub(crate) fn openai_key(number: usize) -> String {
    format!("sk-proj-{CANARY}-key{number}")
}

/// The `number`-th key of the simulated Gemini API.
pub(crate) fn gemini_key(number: usize) -> String {
    format!("AIza{CANARY}-key{number}")
}

/// A key as people may see it.
pub(crate) fn mask(secret: &str) -> String {
    format!("{}****{}", &secret[..4], &secret[secret.len() - 4..])
}

/// Everything that a gateway let out: answers of all kinds, standard output, log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen(Arc<Mutex<Vec<u8>>>);

impl Seen {
    pub(crate) fn add(&self, bytes: &[u8]) {
        self.0.lock().unwrap().extend_from_slice(bytes);
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }

    /// Fails if any secret got out.
    pub(crate) fn assert_no_canary(&self, where_from: &str) {
        let text = self.text();
        if let Some(at) = text.find(CANARY) {
            let around: String = text[..at].chars().rev().take(200).collect();
            let around: String = around.chars().rev().collect();
            panic!("a secret got out in {where_from}, after: {around}");
        }
    }
}
