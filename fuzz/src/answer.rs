//! A provider's answer, as text that can be read and mutated: a status, headers, a blank line, a body.

use keypool_wire::{Dialect, Headers, ProviderKind};

/// 2026-11-22T10:00:00Z, in microseconds since the Unix epoch.
pub(crate) const NOW: u64 = 1_795_341_600_000_000;

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// Reads it from an input; what is not of the form is left out.
    pub(crate) fn read(input: &[u8]) -> Self {
        let mut rest = input;
        let mut line = || {
            let end = rest.iter().position(|&byte| byte == b'\n');
            let (line, after) = rest.split_at(end.unwrap_or(rest.len()));
            rest = after.get(1..).unwrap_or_default();
            String::from_utf8_lossy(line).into_owned()
        };
        let status = line().trim().parse().unwrap_or(429);
        let mut headers = Vec::new();
        loop {
            let text = line();
            let Some((name, value)) = text.split_once(':') else {
                break;
            };
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
        Self {
            status,
            headers,
            body: rest.to_vec(),
        }
    }
}

/// Headers as a list.
pub(crate) struct HeaderList<'a>(pub(crate) &'a [(String, String)]);

impl Headers for HeaderList<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

/// Every provider there is, and one of each dialect that is not known.
pub(crate) fn providers() -> impl Iterator<Item = ProviderKind> {
    ProviderKind::names()
        .filter_map(ProviderKind::from_name)
        .chain([Dialect::Anthropic, Dialect::OpenAi, Dialect::Gemini].map(ProviderKind::Generic))
}
