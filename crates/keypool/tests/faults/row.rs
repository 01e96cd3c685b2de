//! A row of the table: what goes wrong, and what must come of it.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::Value;

use crate::meets::{Meets, sound};
use crate::support::Api;

/// How long a row may take, unless it says otherwise: far more than needed.
const USUAL_TIME: Duration = Duration::from_secs(5);

/// Kinds of trouble, in the order of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    Refused,
    Money,
    Limits,
    Failing,
    Network,
    Garbage,
    Streams,
    Odd,
    Client,
    Outage,
    Recovery,
}

/// A provider by its name in the configuration, and as people write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Vendor {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
}

macro_rules! vendors {
    ($($constant:ident: $name:literal, $title:literal;)+) => {$(
        pub(crate) const $constant: Vendor = Vendor { name: $name, title: $title };
    )+};
}

vendors! {
    ANTHROPIC: "anthropic", "Anthropic";
    OPENAI: "openai", "OpenAI";
    GEMINI: "gemini", "Gemini";
    AZURE: "azure", "Azure";
    OPENROUTER: "openrouter", "OpenRouter";
    DEEPSEEK: "deepseek", "DeepSeek";
    GROQ: "groq", "Groq";
    MISTRAL: "mistral", "Mistral";
    TOGETHER: "together", "Together";
    XAI: "xai", "xAI";
    BEDROCK: "bedrock", "Bedrock";
    VERTEX: "vertex", "Vertex";
}

impl Vendor {
    /// Whether it serves others' models in a way of its own, which the simulated provider does not speak.
    pub(crate) fn is_cloud(self) -> bool {
        self == BEDROCK || self == VERTEX
    }
}

/// What is asked, and of whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) vendor: Vendor,
    pub(crate) api: Api,
    pub(crate) is_streamed: bool,
}

const fn asked(vendor: Vendor, api: Api, is_streamed: bool) -> Asked {
    Asked {
        vendor,
        api,
        is_streamed,
    }
}

pub(crate) const MESSAGES: Asked = asked(ANTHROPIC, Api::Messages, false);
pub(crate) const MESSAGES_STREAM: Asked = asked(ANTHROPIC, Api::Messages, true);
pub(crate) const CHAT: Asked = asked(OPENAI, Api::Chat, false);
pub(crate) const CHAT_STREAM: Asked = asked(OPENAI, Api::Chat, true);
pub(crate) const RESPONSES: Asked = asked(OPENAI, Api::Responses, false);
pub(crate) const RESPONSES_STREAM: Asked = asked(OPENAI, Api::Responses, true);
pub(crate) const EMBEDDINGS: Asked = asked(OPENAI, Api::Embeddings, false);

pub(crate) const GENERATE: Asked = asked(GEMINI, Api::Gemini, false);
pub(crate) const GENERATE_STREAM: Asked = asked(GEMINI, Api::Gemini, true);

/// Chat completions of a vendor that speaks like OpenAI.
pub(crate) const fn chat_of(vendor: Vendor) -> Asked {
    asked(vendor, Api::Chat, false)
}

/// The same, streamed.
pub(crate) const fn chat_stream_of(vendor: Vendor) -> Asked {
    asked(vendor, Api::Chat, true)
}

/// Messages of a cloud that serves Claude.
pub(crate) const fn messages_of(vendor: Vendor) -> Asked {
    asked(vendor, Api::Messages, false)
}

/// The same, streamed.
pub(crate) const fn messages_stream_of(vendor: Vendor) -> Asked {
    asked(vendor, Api::Messages, true)
}

/// A request other than the usual one.
#[derive(Debug, Clone)]
pub(crate) enum Sends {
    /// The usual small request of the API.
    Usual,
    /// The usual one with this value at this place.
    With(&'static str, Value),
    /// Another body, word for word.
    Body(String),
    /// The usual one with another header.
    Header(&'static str, &'static str),
}

/// A value of the configuration, and how the page speaks of it.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    pub(crate) pointer: String,
    pub(crate) value: Value,
    pub(crate) words: String,
}

/// What is done before the request that the row is about.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// So many requests, one after another, whatever they get.
    Ask(u32),
    /// So many at once.
    AskAtOnce(u32),
    /// All keys work from now on.
    Heal,
    /// A `POST` to the admin API, with this body.
    Post(&'static str, Value),
    /// Waits until a key (counted from 1) is in this state.
    Becomes(usize, &'static str),
    /// Waits until the breaker of the model that is asked for is in this state.
    Breaker(&'static str),
}

/// What the client gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Client {
    /// The whole answer.
    Whole,
    /// The whole answer of a stream, but for the end marker that the provider left out.
    Unmarked,
    /// A part of a streamed answer, then one error event with this code.
    Partial(&'static str),
    /// The provider's own words: a status, and the type or code in the body. Byte for byte where the row
    /// spells them out.
    Theirs(u16, &'static str),
    /// keypool's words in the shape of the API: a status and its code.
    Ours(u16, &'static str),
}

/// What the client is told about trying again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Advice {
    /// Seconds in `retry-after`.
    pub(crate) after: Option<RangeInclusive<u64>>,
    /// `x-should-retry: false`.
    pub(crate) never: bool,
}

/// What becomes of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Leaves {
    /// Healthy, with nothing held against it.
    Sound,
    /// Healthy with this score.
    Scored(u64),
    /// Degraded, with a score between these.
    Degraded(RangeInclusive<u64>),
    /// Set aside for so many seconds.
    Limited(RangeInclusive<u64>),
    /// Out of use, for the reason of this code.
    Out(&'static str),
    /// Out of use with the others of its quota group, though nothing was sent with it.
    OutWithGroup,
    /// Healthy, but not to be used for this model.
    Barred,
}

/// A row of the table.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    group: Group,
    trouble: &'static str,
    pub(crate) asked: Asked,
    pub(crate) keys: Vec<Meets>,
    pub(crate) sends: Sends,
    pub(crate) settings: Vec<Setting>,
    pub(crate) before: Vec<Step>,
    pub(crate) client: Client,
    pub(crate) advice: Advice,
    pub(crate) leaves: Vec<Leaves>,
    pub(crate) attempts: RangeInclusive<u32>,
    pub(crate) within: Duration,
}

impl Row {
    /// A row about this trouble. Until it says otherwise, one attempt brings the whole answer.
    pub(crate) fn new(group: Group, trouble: &'static str, asked: Asked) -> Self {
        Self {
            group,
            trouble,
            asked,
            keys: Vec::new(),
            sends: Sends::Usual,
            settings: Vec::new(),
            before: Vec::new(),
            client: Client::Whole,
            advice: Advice::default(),
            leaves: Vec::new(),
            attempts: 1..=1,
            within: USUAL_TIME,
        }
    }

    /// What each key meets, and what becomes of it; the pool uses them in this order.
    pub(crate) fn keys<const N: usize>(mut self, keys: [(Meets, Leaves); N]) -> Self {
        (self.keys, self.leaves) = keys.into_iter().unzip();
        self
    }

    /// The first of two keys meets this, and the second serves the request at once.
    pub(crate) fn cured(self, meets: Meets, leaves: Leaves) -> Self {
        self.keys([(meets, leaves), (sound(), Leaves::Sound)])
            .attempts(2)
    }

    pub(crate) fn sends(mut self, sends: Sends) -> Self {
        self.sends = sends;
        self
    }

    /// Sets a value of the configuration; `words` say it on the page.
    pub(crate) fn set(
        mut self,
        words: &str,
        pointer: impl Into<String>,
        value: impl Into<Value>,
    ) -> Self {
        self.settings.push(Setting {
            pointer: pointer.into(),
            value: value.into(),
            words: words.to_owned(),
        });
        self
    }

    /// The same for a value of the provider.
    pub(crate) fn set_of_provider(
        self,
        words: &str,
        pointer: &str,
        value: impl Into<Value>,
    ) -> Self {
        let name = self.asked.vendor.name;
        self.set(
            words,
            format!("/ApiKeyPool/providers/{name}{pointer}"),
            value,
        )
    }

    pub(crate) fn after<const N: usize>(mut self, steps: [Step; N]) -> Self {
        self.before = steps.into();
        self
    }

    pub(crate) fn gets(mut self, client: Client) -> Self {
        self.client = client;
        self
    }

    pub(crate) fn retry_after(mut self, seconds: RangeInclusive<u64>) -> Self {
        self.advice.after = Some(seconds);
        self
    }

    pub(crate) fn do_not_retry(mut self) -> Self {
        self.advice.never = true;
        self
    }

    pub(crate) fn attempts(self, attempts: u32) -> Self {
        self.attempts_within(attempts..=attempts)
    }

    pub(crate) fn attempts_within(mut self, attempts: RangeInclusive<u32>) -> Self {
        self.attempts = attempts;
        self
    }

    pub(crate) fn within(mut self, seconds: u64) -> Self {
        self.within = Duration::from_secs(seconds);
        self
    }

    pub(crate) fn group(&self) -> Group {
        self.group
    }

    pub(crate) fn trouble(&self) -> &'static str {
        self.trouble
    }

    /// What tells the row from all others.
    pub(crate) fn name(&self) -> String {
        let keys: Vec<&str> = self.keys.iter().map(|meets| meets.words.as_str()).collect();
        format!("{} ({}): {}", self.trouble, self.asked, keys.join("; "))
    }
}
