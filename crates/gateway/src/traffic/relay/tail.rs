//! The end of an answer that is too large to be held: where its usage stands, and whether it ends at all.

use std::collections::VecDeque;

use bytes::Bytes;
use keypool_wire::{Endpoint, Usage, usage_in_part};

/// The last bytes of an answer that is passed on as it comes.
#[derive(Debug, Default)]
pub(crate) struct Tail(Vec<u8>);

/// Enough for the usage object and what the dialects write after it.
const KEPT: usize = 4 * 1024;

impl Tail {
    /// The end of what has come so far.
    pub(crate) fn of(chunks: &VecDeque<Bytes>) -> Self {
        let mut tail = Self::default();
        for chunk in chunks {
            tail.observe(chunk);
        }
        tail
    }

    /// A chunk goes by.
    pub(crate) fn observe(&mut self, chunk: &Bytes) {
        let new = chunk.len().saturating_sub(KEPT);
        let new = chunk.get(new..).unwrap_or_default();
        let old = (self.0.len() + new.len()).saturating_sub(KEPT);
        self.0.drain(..old);
        self.0.extend_from_slice(new);
    }

    /// The usage that the answer states in its end.
    #[must_use]
    pub(crate) fn usage(&self, endpoint: Endpoint) -> Option<Usage> {
        usage_in_part(endpoint, &self.0)
    }

    /// Whether a JSON object could end so.
    #[must_use]
    pub(crate) fn ends_an_object(&self) -> bool {
        self.0.trim_ascii_end().ends_with(b"}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_is_kept_however_it_is_cut() {
        let usage = r#","usage":{"prompt_tokens":12,"total_tokens":12}}"#;
        let whole = format!("[{}{usage}", "0.1,".repeat(3000));
        for size in [1, 7, 1000, KEPT, whole.len()] {
            let mut tail = Tail::default();
            for chunk in whole.as_bytes().chunks(size) {
                tail.observe(&Bytes::copy_from_slice(chunk));
                assert!(tail.0.len() <= KEPT);
            }
            assert!(tail.ends_an_object(), "{size}");
            let usage = tail.usage(Endpoint::Embeddings);
            assert_eq!(usage.map(|usage| usage.input_tokens), Some(12), "{size}");
        }
    }

    #[test]
    fn an_end_in_the_middle_of_a_list_is_no_end() {
        let mut tail = Tail::default();
        assert!(!tail.ends_an_object());
        tail.observe(&Bytes::from_static(b"{\"data\":[0.1,0.2"));
        assert!(!tail.ends_an_object());
        tail.observe(&Bytes::from_static(b"]}\n"));
        assert!(tail.ends_an_object());
    }
}
