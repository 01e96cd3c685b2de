//! Ids in the shape of the real ones, from a seed.

use std::fmt;

use fastrand::Rng;

use super::Dialect;

const BASE58: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const HEX: &[u8; 16] = b"0123456789abcdef";

/// How the id of a response begins.
const RESPONSE: &str = "resp_";

/// How the signature of a thinking block begins.
const SIGNATURE: &str = "Ep4C";

/// Letters of a [`Mark`].
const MARK_LETTERS: usize = 8;

/// What an organisation leaves in ids and signatures, so that it knows its own again without a memory
/// that would grow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Mark(String);

impl Mark {
    /// The mark of the organisation of this name, the same each time.
    pub(crate) fn of(organisation: &str) -> Self {
        Self(format!("{:08x}", fingerprint_of(organisation) >> 32))
    }

    /// Whether this organisation made the response.
    pub(crate) fn made_response(&self, id: &str) -> bool {
        self.follows(RESPONSE, id)
    }

    /// Whether this organisation signed the thinking block.
    pub(crate) fn made_signature(&self, signature: &str) -> bool {
        self.follows(SIGNATURE, signature)
    }

    fn follows(&self, prefix: &str, text: &str) -> bool {
        text.strip_prefix(prefix)
            .is_some_and(|rest| rest.starts_with(&self.0))
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.0)
    }
}

/// Draws ids for one answer; the same seed gives the same ids in the same order.
pub(crate) struct Ids(Rng);

impl Ids {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Rng::with_seed(seed))
    }

    fn draw(&mut self, prefix: &str, alphabet: &[u8], length: usize) -> String {
        let mut id = String::with_capacity(prefix.len() + length);
        id.push_str(prefix);
        for _ in 0..length {
            let letter = alphabet.get(self.0.usize(..alphabet.len()));
            id.push(char::from(letter.copied().unwrap_or(b'0')));
        }
        id
    }

    /// `msg_01…`, an Anthropic message.
    pub(crate) fn message(&mut self) -> String {
        self.draw("msg_01", BASE58, 22)
    }

    /// `req_011C…`, the `request-id` of Anthropic.
    pub(crate) fn anthropic_request(&mut self) -> String {
        self.draw("req_011C", BASE58, 20)
    }

    /// `req_…`, the `x-request-id` of OpenAI.
    pub(crate) fn openai_request(&mut self) -> String {
        self.draw("req_", HEX, 32)
    }

    /// `chatcmpl-…`, a chat completion.
    pub(crate) fn chat(&mut self) -> String {
        self.draw("chatcmpl-", BASE62, 29)
    }

    /// `resp_…`, a response; its first letters are the mark of the organisation that keeps it.
    pub(crate) fn response(&mut self, mark: &Mark) -> String {
        self.draw(&format!("{RESPONSE}{mark}"), HEX, 48 - MARK_LETTERS)
    }

    /// The signature of a thinking block, with the mark of the organisation that takes it back.
    pub(crate) fn signature(&mut self, mark: &Mark) -> String {
        self.draw(&format!("{SIGNATURE}{mark}"), BASE62, 84)
    }

    /// `msg_…`, an output item of a response.
    pub(crate) fn output_item(&mut self) -> String {
        self.draw("msg_", HEX, 48)
    }

    /// The `responseId` of Gemini.
    pub(crate) fn gemini_response(&mut self) -> String {
        self.draw("", BASE62, 22)
    }

    /// `fp_…`, the fingerprint of OpenAI's backend.
    pub(crate) fn fingerprint(&mut self) -> String {
        self.draw("fp_", HEX, 10)
    }
}

/// The header in which an answer names itself, and the id; drawn from the seed of the verdict. Gemini's answers
/// have no such header.
pub(crate) fn request_id(dialect: Dialect, seed: u64) -> (Option<&'static str>, String) {
    // Not from the seed itself, from which the ids in the body are drawn.
    let mut ids = Ids::new(!seed);
    match dialect {
        Dialect::Anthropic => (Some("request-id"), ids.anthropic_request()),
        Dialect::OpenAi => (Some("x-request-id"), ids.openai_request()),
        Dialect::Gemini => (None, ids.gemini_response()),
    }
}

/// FNV-1a: the same for the same text in every build, which the standard hasher does not promise.
pub(crate) fn fingerprint_of(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The id in which Anthropic names the organisation called `name`: a UUID, the same each time.
pub(crate) fn organisation_uuid(name: &str) -> String {
    let mut rng = Rng::with_seed(fingerprint_of(name));
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        rng.u32(..),
        rng.u16(..),
        rng.u16(..0x1000),
        rng.u16(0x8000..0xc000),
        rng.u64(..1 << 48),
    )
}
