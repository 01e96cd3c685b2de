//! Ids in the shape of the real ones, from a seed.

use fastrand::Rng;

const BASE58: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const HEX: &[u8; 16] = b"0123456789abcdef";

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

    /// `resp_…`, a response.
    pub(crate) fn response(&mut self) -> String {
        self.draw("resp_", HEX, 48)
    }

    /// `msg_…`, an output item of a response.
    pub(crate) fn output_item(&mut self) -> String {
        self.draw("msg_", HEX, 48)
    }

    /// `fp_…`, the fingerprint of OpenAI's backend.
    pub(crate) fn fingerprint(&mut self) -> String {
        self.draw("fp_", HEX, 10)
    }
}

/// The id in which Anthropic names the organisation called `name`: a UUID, the same each time.
pub(crate) fn organisation_uuid(name: &str) -> String {
    let seed = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut rng = Rng::with_seed(seed);
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        rng.u32(..),
        rng.u16(..),
        rng.u16(..0x1000),
        rng.u16(0x8000..0xc000),
        rng.u64(..1 << 48),
    )
}
