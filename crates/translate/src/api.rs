//! The APIs that are translated between, and what has to be known of the one that is written to.

use keypool_wire::{Dialect, Endpoint};

/// An API in which a model is asked for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Api {
    /// Anthropic's Messages.
    Messages,
    /// OpenAI's Chat Completions, and all who imitate them.
    ChatCompletions,
    /// OpenAI's Responses.
    Responses,
    /// Gemini's `generateContent` and `streamGenerateContent`.
    GenerateContent,
}

impl Api {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Messages,
        Self::ChatCompletions,
        Self::Responses,
        Self::GenerateContent,
    ];

    /// The API of an endpoint; `None` for those where no model answers.
    #[must_use]
    pub fn of_endpoint(endpoint: Endpoint) -> Option<Self> {
        // Others may be added beside these; they are not translated until they are named here.
        match endpoint {
            Endpoint::Messages => Some(Self::Messages),
            Endpoint::ChatCompletions => Some(Self::ChatCompletions),
            Endpoint::Responses => Some(Self::Responses),
            Endpoint::GenerateContent => Some(Self::GenerateContent),
            _ => None,
        }
    }

    /// The dialect whose errors it speaks.
    #[must_use]
    pub const fn dialect(self) -> Dialect {
        match self {
            Self::Messages => Dialect::Anthropic,
            Self::ChatCompletions | Self::Responses => Dialect::OpenAi,
            Self::GenerateContent => Dialect::Gemini,
        }
    }

    /// The name users know it by.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Messages => "Anthropic Messages",
            Self::ChatCompletions => "OpenAI Chat Completions",
            Self::Responses => "OpenAI Responses",
            Self::GenerateContent => "Gemini generateContent",
        }
    }
}

/// A version of Anthropic's API, as the header `anthropic-version` names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AnthropicVersion {
    /// `2023-06-01`
    #[default]
    V20230601,
    /// `2026-10-21`: no sampling parameters at all, no `document` blocks in assistant messages.
    V20261021,
}

impl AnthropicVersion {
    /// The version a header names; an unknown one counts as the newest known.
    #[must_use]
    pub fn from_header(value: &str) -> Self {
        match value.trim() {
            "2023-01-01" | "2023-06-01" => Self::V20230601,
            _ => Self::V20261021,
        }
    }

    /// The header's value.
    #[must_use]
    pub const fn header(self) -> &'static str {
        match self {
            Self::V20230601 => "2023-06-01",
            Self::V20261021 => "2026-10-21",
        }
    }
}

/// Which members a chat completions upstream knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChatFlavour {
    /// OpenAI's own: `max_completion_tokens`; unknown members are refused.
    #[default]
    OpenAi,
    /// An imitation of it: `max_tokens`, and `reasoning_content` comes back in messages.
    Compatible,
}

/// What is to happen with tools that a provider runs itself, such as a web search. No other API
/// has the same ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServerTools {
    /// Say that they cannot be had.
    #[default]
    Refuse,
    /// Go without, and name them among the losses.
    Drop,
}

/// Where a translated request goes.
#[derive(Clone, Copy, Debug)]
pub struct Target<'t> {
    /// The API to write in.
    pub api: Api,
    /// The model, as the provider names it.
    pub model: &'t str,
    /// The `anthropic-version` that is sent along.
    pub anthropic_version: AnthropicVersion,
    /// Which chat completions these are.
    pub chat: ChatFlavour,
    /// Whether they know `stream_options`. Where not, a stream states its usage unasked.
    pub stream_options: bool,
    /// Tokens of output to ask for where the API demands a figure and the client named none.
    pub output_tokens_default: u64,
    /// The most tokens of output that the model can be asked for; larger wishes are lowered.
    pub output_tokens_max: Option<u64>,
    /// What to do with tools of the client's provider.
    pub server_tools: ServerTools,
}

impl<'t> Target<'t> {
    /// Output asked for where a figure is demanded and none is known: every current model of
    /// Anthropic's can write so much.
    pub const OUTPUT_TOKENS_DEFAULT: u64 = 8_192;

    /// A target with the defaults of everything else.
    #[must_use]
    pub fn new(api: Api, model: &'t str) -> Self {
        Self {
            api,
            model,
            anthropic_version: AnthropicVersion::default(),
            chat: ChatFlavour::default(),
            stream_options: true,
            output_tokens_default: Self::OUTPUT_TOKENS_DEFAULT,
            output_tokens_max: None,
            server_tools: ServerTools::default(),
        }
    }

    /// The client's wish for output tokens, within what the model can be asked for.
    pub(crate) fn output_tokens(&self, wish: Option<u64>) -> Option<u64> {
        match (wish, self.output_tokens_max) {
            (Some(wish), Some(max)) => Some(wish.min(max)),
            (wish, _) => wish,
        }
    }
}
