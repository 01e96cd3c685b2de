//! Where in a configuration something stands: `ApiKeyPool.providers.anthropic.keys[0].priority`.

use std::fmt;

use keypool_gateway::Secret;

/// How the keys of the common providers begin. A key that slipped into the place of a field name
/// must not be printed as one.
const SECRET_PREFIXES: [&str; 8] = ["sk-", "sk_", "AIza", "AQ.", "gsk_", "xai-", "fw_", "csk-"];

/// Shortest name that is taken for a key when it begins like one.
const SHORTEST_SECRET: usize = 16;

/// Shortest run of letters and digits that is taken for a key by itself; those of keys have 32 and more, those of
/// models' names less than ten.
const SHORTEST_RANDOM: usize = 24;

/// The way from the top of the file to a value.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct FieldPath(Vec<Segment>);

/// One step of a [`FieldPath`]. Not printable by itself: a name may be a misplaced key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Segment {
    /// Into a field of an object.
    Field(String),
    /// Into an element of a list, counted from 0.
    Index(usize),
}

impl FieldPath {
    /// The path of a field given by its name at every level.
    #[must_use]
    pub fn of(fields: &[&str]) -> Self {
        Self(
            fields
                .iter()
                .map(|field| Segment::Field((*field).to_owned()))
                .collect(),
        )
    }

    /// The path of a field below this one.
    #[must_use]
    pub fn field(&self, name: &str) -> Self {
        self.with(Segment::Field(name.to_owned()))
    }

    /// The path of an element below this one.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.with(Segment::Index(index))
    }

    /// The steps, from the top.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// Whether one of the two stands inside the other (or both are the same).
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.0
            .iter()
            .zip(&other.0)
            .all(|(own, theirs)| own == theirs)
    }

    /// Goes one step further, where a walk would otherwise copy the path at every step.
    pub(super) fn push(&mut self, segment: Segment) {
        self.0.push(segment);
    }

    /// Takes the last step back.
    pub(super) fn pop(&mut self) {
        self.0.pop();
    }

    fn with(&self, segment: Segment) -> Self {
        let mut segments = self.0.clone();
        segments.push(segment);
        Self(segments)
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (depth, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Index(index) => write!(f, "[{index}]")?,
                Segment::Field(name) if is_plain(name) => {
                    write!(
                        f,
                        "{}{}",
                        if depth == 0 { "" } else { "." },
                        shown_name(name)
                    )?;
                }
                Segment::Field(name) => write!(f, "[{:?}]", shown_name(name))?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A field name fit to be printed: masked when it looks like a key.
#[must_use]
pub(super) fn shown_name(name: &str) -> String {
    if looks_like_a_key(name) {
        Secret::new(name).mask()
    } else {
        name.to_owned()
    }
}

/// Whether a word is taken for a key: it begins like those of a common provider, or has a long run of letters
/// and digits such as no name has that people or providers give.
#[must_use]
pub(super) fn looks_like_a_key(word: &str) -> bool {
    let begins_like_one = || {
        SECRET_PREFIXES
            .iter()
            .any(|prefix| word.starts_with(prefix))
    };
    let is_random = |run: &str| {
        run.len() >= SHORTEST_RANDOM
            && run.bytes().any(|byte| byte.is_ascii_digit())
            && run.bytes().any(|byte| byte.is_ascii_alphabetic())
    };
    let mut runs = word.split(|c: char| !c.is_ascii_alphanumeric());
    (word.len() >= SHORTEST_SECRET && begins_like_one()) || runs.any(is_random)
}

fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '$'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_as_one_would_write_it() {
        let path = FieldPath::of(&["ApiKeyPool", "providers", "my.own"])
            .field("keys")
            .index(3);
        assert_eq!(path.to_string(), "ApiKeyPool.providers[\"my.own\"].keys[3]");
    }

    #[test]
    fn a_key_in_the_place_of_a_name_is_masked() {
        // acceptance 86
        let path = FieldPath::of(&["ApiKeyPool", "sk-ant-api03-canary-0001"]);
        assert_eq!(path.to_string(), "ApiKeyPool.sk-a****0001");
    }

    #[test]
    fn a_word_is_taken_for_a_key_by_its_beginning_or_by_a_run_that_no_name_has() {
        for key in [
            "sk-ant-api03-canary-0001",
            "AIzaSyCanary0000000000000",
            "0123456789abcdef0123456789abcdef",
            "prefix-A1b2C3d4E5f6A1b2C3d4E5f6",
        ] {
            assert!(looks_like_a_key(key), "{key}");
        }
        for name in [
            "sk-short",
            "Llama-4-Maverick-17B-128E-Instruct-FP8",
            "claude-3-5-sonnet-20241022",
            "averyveryverylongnamewithoutdigits",
            "longContextThreshold",
        ] {
            assert!(!looks_like_a_key(name), "{name}");
        }
    }

    #[test]
    fn paths_overlap_when_one_is_inside_the_other() {
        let pool = FieldPath::of(&["ApiKeyPool"]);
        let strategy = pool.field("strategy");
        assert!(pool.overlaps(&strategy) && strategy.overlaps(&pool));
        assert!(!strategy.overlaps(&pool.field("enabled")));
    }
}
