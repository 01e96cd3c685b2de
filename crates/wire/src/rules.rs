//! How each provider counts: one row per provider, with the source of each fact.
//!
//! One formula is wrong for two of three. A pool that counts in another way than the provider
//! either sends what will be refused or leaves quota unused: Azure takes a minute's requests in
//! slices of a second, Gemini's day ends at midnight in California, Anthropic does not count what
//! was read from its cache, DeepSeek counts nothing but requests in flight, and several models may
//! spend from one quota.
//!
//! Worked example: a key of Anthropic's is over its limit for `claude-opus-4-8-20260301`. Opus 4.5
//! to 4.8 share one bucket ([`model_class`] gives all of them one name), so Opus 4.6 need not be
//! tried with it, while Sonnet still may.

use crate::dialect::Dialect;
use crate::provider::ProviderKind;

/// How a limit's time goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WindowShape {
    /// A bucket that refills continuously, up to the limit.
    Bucket,
    /// No more than the limit in any stretch of time as long as the period.
    Sliding,
    /// Counting starts anew with each period.
    FixedMinute,
    /// Tokens as [`Self::FixedMinute`]; requests in slices of a second, each with its share of the
    /// minute's limit.
    SecondSlices,
}

/// When a limit per day starts anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DayRule {
    /// At 00:00 UTC.
    Utc,
    /// At midnight in US Pacific time, with its summer time.
    UsPacific,
}

/// How a provider counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QuotaRules {
    /// How the time of limits per minute goes by.
    pub window: WindowShape,
    /// When limits per day start anew.
    pub day: DayRule,
    /// Whether tokens read from the prompt cache are left out of limits on input.
    pub cache_reads_free: bool,
    /// No limit but on requests in flight at one time.
    pub concurrency_only: bool,
    /// Whether a request that is given up goes on to its end, and is billed in full.
    pub(crate) runs_on: bool,
    /// How output counts.
    pub(crate) output: OutputRule,
    /// Which models share a quota.
    model_classes: ModelClasses,
}

/// How output counts toward limits on tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OutputRule {
    /// What was written. `max_tokens` plays no part.
    Written,
    /// Not at all.
    Free,
    /// At admission, and never given back: input and output together are charged as the larger of
    /// `max_tokens` and the prompt.
    MaxTokensOrPrompt,
    /// `max_tokens` has to be free at admission; in the end what was written is charged, several times.
    Burned,
}

/// Which models share a quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ModelClasses {
    /// Each model has its own.
    Each,
    /// As [`Self::Each`]; names may stand behind this prefix.
    EachWithout(&'static str),
    /// All models share one.
    AllTogether,
    /// As [`Self::AllTogether`], apart from models whose names end so, which share another.
    AllTogetherBut(&'static str),
    /// Each family without the date of its snapshot; these families share.
    Families(&'static [SharedFamily]),
}

/// Versions of a model that share a quota: all whose name is the stem and a number within bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct SharedFamily {
    stem: &'static str,
    first: u8,
    last: u8,
    class: &'static str,
}

/// V: A-rl.
const ANTHROPIC_FAMILIES: &[SharedFamily] = &[
    SharedFamily {
        stem: "claude-opus-4",
        first: 5,
        last: 8,
        class: "claude-opus-4.5-4.8",
    },
    SharedFamily {
        stem: "claude-sonnet-4",
        first: 5,
        last: 6,
        class: "claude-sonnet-4.5-4.6",
    },
];

/// Who merely speaks like OpenAI: input and output count, a bucket by analogy, NV.
const LIKE_OPENAI: QuotaRules = QuotaRules {
    window: WindowShape::Bucket,
    day: DayRule::Utc,
    cache_reads_free: false,
    concurrency_only: false,
    runs_on: false,
    output: OutputRule::Written,
    model_classes: ModelClasses::Each,
};

/// V: bucket, cache reads, real output and classes by A-rl; no limits per day, so the day is moot.
const ANTHROPIC: QuotaRules = QuotaRules {
    cache_reads_free: true,
    model_classes: ModelClasses::Families(ANTHROPIC_FAMILIES),
    ..LIKE_OPENAI
};

/// V: charge at admission (O-rl). NV: bucket, by observation; which models share is not published.
const OPENAI: QuotaRules = QuotaRules {
    output: OutputRule::MaxTokensOrPrompt,
    ..LIKE_OPENAI
};

/// V: fixed minute, slices, and charge at admission (Z-q).
const AZURE: QuotaRules = QuotaRules {
    window: WindowShape::SecondSlices,
    ..OPENAI
};

/// V: input only, and the day (G-rl). NV: the shape of the minute; a sliding one never asks for
/// more than any other shape allows. V: runs on when given up (R-st).
const GEMINI: QuotaRules = QuotaRules {
    window: WindowShape::Sliding,
    day: DayRule::UsPacific,
    runs_on: true,
    output: OutputRule::Free,
    model_classes: ModelClasses::EachWithout("models/"),
    ..LIKE_OPENAI
};

/// V: global per account, free models with limits of their own, UTC day (R-lim). NV: the minute's
/// shape.
const OPENROUTER: QuotaRules = QuotaRules {
    window: WindowShape::Sliding,
    model_classes: ModelClasses::AllTogetherBut(":free"),
    ..LIKE_OPENAI
};

/// V: concurrency per account and model (D-rl).
const DEEPSEEK: QuotaRules = QuotaRules {
    concurrency_only: true,
    ..LIKE_OPENAI
};

/// V: cached tokens do not count (Q-rl), runs on when given up (R-st). S: a bucket, by the resets it
/// states.
const GROQ: QuotaRules = QuotaRules {
    runs_on: true,
    cache_reads_free: true,
    ..LIKE_OPENAI
};

/// V: per organisation (M-rl), requests by the second; runs on when given up (R-st). NV: that all models
/// share, and the bucket.
const MISTRAL: QuotaRules = QuotaRules {
    runs_on: true,
    model_classes: ModelClasses::AllTogether,
    ..LIKE_OPENAI
};

/// V: per organisation and model (T-rl). NV: the bucket.
const TOGETHER: QuotaRules = LIKE_OPENAI;

/// Claude on Bedrock. V: `max_tokens` set aside, then what was written counts several times (B-q); cache reads
/// are given back at the end (B-bd); runs on when given up (R-st). NV: the minute's shape, and that the day is
/// UTC's.
const BEDROCK: QuotaRules = QuotaRules {
    window: WindowShape::Sliding,
    cache_reads_free: true,
    runs_on: true,
    output: OutputRule::Burned,
    ..LIKE_OPENAI
};

/// Claude on Vertex. NV: as Anthropic counts it, each model by itself; of the minute's shape as with Gemini.
/// V: runs on when given up (R-st, of Google).
const VERTEX: QuotaRules = QuotaRules {
    window: WindowShape::Sliding,
    runs_on: true,
    model_classes: ModelClasses::Families(&[]),
    ..ANTHROPIC
};

/// How a provider counts.
#[must_use]
pub const fn quota_rules(provider: ProviderKind) -> &'static QuotaRules {
    use ProviderKind as P;
    match provider {
        P::Anthropic | P::Generic(Dialect::Anthropic) => &ANTHROPIC,
        P::OpenAi => &OPENAI,
        P::Azure => &AZURE,
        P::Gemini | P::Generic(Dialect::Gemini) => &GEMINI,
        P::OpenRouter => &OPENROUTER,
        P::DeepSeek => &DEEPSEEK,
        P::Groq => &GROQ,
        P::Mistral => &MISTRAL,
        P::Together => &TOGETHER,
        P::Bedrock => &BEDROCK,
        P::Vertex => &VERTEX,
        P::Xai
        | P::Fireworks
        | P::Cerebras
        | P::Ollama
        | P::Vllm
        | P::LmStudio
        | P::Generic(Dialect::OpenAi) => &LIKE_OPENAI,
    }
}

/// The name under which the provider counts a model's quota: models that spend from one bucket
/// have one name. It is a part of the model's own name or a fixed one; empty where all models
/// share.
///
/// A name that is not understood is a class of its own. That errs on the safe side for limits that
/// the provider states, since it states them again for the other name.
#[must_use]
pub fn model_class(provider: ProviderKind, model: &str) -> &str {
    match quota_rules(provider).model_classes {
        ModelClasses::Each => model,
        ModelClasses::EachWithout(prefix) => model.strip_prefix(prefix).unwrap_or(model),
        ModelClasses::AllTogether => "",
        ModelClasses::AllTogetherBut(suffix) => {
            if model.ends_with(suffix) {
                suffix
            } else {
                ""
            }
        }
        ModelClasses::Families(shared) => {
            let family = without_snapshot(model);
            shared
                .iter()
                .find(|known| known.holds(family))
                .map_or(family, |known| known.class)
        }
    }
}

impl SharedFamily {
    /// Vendors write the version with a dash or a dot.
    fn holds(&self, family: &str) -> bool {
        family
            .strip_prefix(self.stem)
            .and_then(|rest| rest.strip_prefix(['-', '.']))
            .and_then(|version| version.parse::<u8>().ok())
            .is_some_and(|version| (self.first..=self.last).contains(&version))
    }
}

/// A model's name without what tells snapshots of one model apart: `-20251101`, `@20251101` or
/// `-latest`; the alias `-4-0` of the first Claude 4 models means no more than `-4`.
fn without_snapshot(model: &str) -> &str {
    const DATE_DIGITS: usize = 8;
    let undated = model.rsplit_once(['-', '@']).and_then(|(name, date)| {
        let is_date = date.len() == DATE_DIGITS && date.bytes().all(|b| b.is_ascii_digit());
        (is_date || date == "latest").then_some(name)
    });
    let family = undated.unwrap_or(model);
    family
        .strip_suffix("-0")
        .filter(|stem| stem.ends_with("-4"))
        .unwrap_or(family)
}

#[cfg(test)]
mod tests;
