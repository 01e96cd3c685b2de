//! What becomes of each field of a request in each API: one table, and nothing else decides.
//!
//! - **Carried**: it is written in the other API's words.
//! - **Changed**: it is written as near as the other API comes to it, and named to the client.
//! - **Dropped**: it is left out and named to the client. For what only tunes, hints or saves.
//! - **Refused**: the request is turned down with a reason. For what an answer without it would
//!   not be the answer that was asked for: its content, its shape, its place.

use crate::api::Api;
use crate::losses::{Fate, Loss, Losses};

/// What becomes of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Written in the other API's words.
    Carried,
    /// Written as nearly as possible, and named.
    Changed,
    /// Left out, and named.
    Dropped,
    /// The request is turned down.
    Refused,
}

macro_rules! fields {
    ($($(#[$meta:meta])* $field:ident = $name:literal,
        [$messages:ident, $chat:ident, $responses:ident, $gemini:ident],
        $why:literal;)*) => {
        /// A field of a request, under a name of its own: each API has another one for it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Field {
            $($(#[$meta])* #[doc = $why] $field,)*
        }

        impl Field {
            /// All of them, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$field,)*];

            const TABLE: &'static [(&'static str, [Verdict; 4], &'static str)] = &[
                $(($name, [
                    Verdict::$messages, Verdict::$chat, Verdict::$responses, Verdict::$gemini,
                ], $why),)*
            ];
        }
    };
}

fields! {
    // The columns: Messages, Chat Completions, Responses, generateContent. Some rows say `Carried`
    // and are lost to some models only; the writers name those.

    // The conversation.
    System = "system", [Carried, Carried, Carried, Carried],
        "instructions of the application";
    LateSystem = "system (inside the conversation)", [Changed, Carried, Carried, Changed],
        "instructions after the first message go to the front of the conversation";
    AssistantFirst = "messages (the model's first)", [Carried, Carried, Carried, Carried],
        "Anthropic's conversations begin with the user, so a placeholder is put before it";
    Text = "text", [Carried, Carried, Carried, Carried],
        "text of user and model";
    Image = "image", [Carried, Carried, Carried, Carried],
        "images, as base64 or by URL";
    ImageDetail = "image.detail", [Dropped, Dropped, Dropped, Dropped],
        "how closely an image is looked at";
    Document = "document", [Carried, Carried, Carried, Carried],
        "documents as base64 or plain text";
    DocumentUrl = "document.url", [Carried, Refused, Carried, Carried],
        "chat messages hold files as base64 only";
    DocumentExtras = "document.context", [Dropped, Dropped, Dropped, Dropped],
        "notes on a document beside its title";
    File = "file_id", [Refused, Refused, Refused, Refused],
        "an uploaded file can be read by the account alone that has it";
    Audio = "audio", [Refused, Refused, Refused, Refused],
        "sound and video are not translated";
    AssistantMedia = "media of the model", [Refused, Refused, Refused, Refused],
        "images and documents in the model's own messages have no place elsewhere";
    UnknownContent = "content", [Refused, Refused, Refused, Refused],
        "content of a type that is not known cannot be translated";
    Citations = "citations", [Dropped, Dropped, Dropped, Dropped],
        "where a text was found";
    Reasoning = "reasoning", [Carried, Carried, Carried, Carried],
        "how hard the model thinks, as nearly as the other API can say it";
    ForeignReasoning = "reasoning of another provider", [Carried, Carried, Carried, Carried],
        "sealed reasoning goes back to the API alone that made it";
    ServerToolHistory = "server tool results", [Dropped, Dropped, Dropped, Dropped],
        "calls of the provider's own tools in the conversation so far";
    Name = "name", [Dropped, Dropped, Dropped, Dropped],
        "the name of a message's author";

    // Tools.
    Tools = "tools", [Carried, Carried, Carried, Carried],
        "functions with their schemas, their calls and results";
    ToolChoice = "tool_choice", [Carried, Carried, Carried, Carried],
        "whether a tool must be called";
    AllowedTools = "tool_choice.allowed_tools", [Refused, Refused, Refused, Refused],
        "a choice among some of the tools; send only those";
    ParallelToolCalls = "parallel_tool_calls", [Carried, Carried, Carried, Dropped],
        "one call at a time";
    ToolStrict = "tools.strict", [Dropped, Carried, Carried, Dropped],
        "whether arguments are held to the schema";
    ToolExtras = "tools (hints)", [Dropped, Dropped, Dropped, Dropped],
        "examples, deferred loading and the like";
    ToolNamespaces = "tools (namespaces)", [Changed, Changed, Carried, Changed],
        "the name of a function in a namespace begins with the namespace's";
    ServerTools = "server tools", [Refused, Refused, Refused, Refused],
        "tools that a provider runs itself are not to be had from another";
    CustomTools = "custom tools", [Refused, Refused, Refused, Refused],
        "tools that take text instead of JSON";
    ToolResultError = "tool_result.is_error", [Carried, Changed, Changed, Carried],
        "the result's text begins with `Error:`";
    ToolResultMedia = "tool_result.image", [Carried, Changed, Carried, Changed],
        "images and documents in a tool's result follow it as the user's";
    ToolArguments = "tool_call.arguments", [Changed, Changed, Changed, Changed],
        "arguments that are no JSON object are wrapped into one";

    // The answer.
    MaxTokens = "max_tokens", [Carried, Carried, Carried, Carried],
        "the most tokens of output";
    Temperature = "temperature", [Carried, Carried, Carried, Carried],
        "sampling";
    TopP = "top_p", [Carried, Carried, Carried, Carried],
        "sampling";
    TopK = "top_k", [Carried, Dropped, Dropped, Carried],
        "sampling";
    Penalties = "penalties", [Dropped, Carried, Dropped, Carried],
        "frequency and presence penalties";
    Seed = "seed", [Dropped, Carried, Dropped, Carried],
        "repeatable sampling";
    LogitBias = "logit_bias", [Dropped, Dropped, Dropped, Dropped],
        "it names tokens of one tokenizer";
    Logprobs = "logprobs", [Dropped, Dropped, Dropped, Dropped],
        "probabilities of tokens";
    Candidates = "n", [Refused, Refused, Refused, Refused],
        "one answer to a request; send the request again for more";
    Stop = "stop", [Carried, Carried, Refused, Carried],
        "the Responses API has no stop sequences";
    Sampling = "temperature, top_p, top_k", [Carried, Carried, Carried, Carried],
        "the model, the API's version or its thinking does not take the figure";
    BlankStop = "stop (blank)", [Carried, Carried, Carried, Carried],
        "Anthropic does not take a stop sequence of white space alone";
    JsonSchema = "response format", [Carried, Carried, Carried, Carried],
        "text held to a schema";
    JsonObject = "response format json_object", [Dropped, Carried, Carried, Carried],
        "without a schema only the prompt asks for JSON";
    Verbosity = "verbosity", [Dropped, Dropped, Dropped, Dropped],
        "how long answers are";
    Modalities = "modalities", [Refused, Refused, Refused, Refused],
        "answers are text";
    Prediction = "prediction", [Dropped, Dropped, Dropped, Dropped],
        "text the answer is likely to repeat";

    // Embeddings; the second column is for OpenAI's, the last one for Gemini's.
    EmbeddedTokens = "input (tokens)", [Refused, Carried, Refused, Refused],
        "numbers of one tokenizer's tokens say nothing to another model; send texts";
    EmbeddingTask = "taskType", [Dropped, Dropped, Dropped, Carried],
        "what the vectors are for";

    // Housekeeping.
    User = "user", [Carried, Carried, Carried, Dropped],
        "an opaque name of the end user, of at most 64 characters for OpenAI";
    Metadata = "metadata", [Dropped, Dropped, Dropped, Dropped],
        "notes for the provider's own log";
    CacheControl = "cache_control", [Dropped, Dropped, Dropped, Dropped],
        "marks and keys of the prompt cache";
    ServiceTier = "service_tier", [Dropped, Dropped, Dropped, Dropped],
        "classes of service have no counterpart";
    Store = "store", [Dropped, Dropped, Dropped, Dropped],
        "whether the provider keeps the answer";
    Moderation = "moderation", [Dropped, Dropped, Dropped, Dropped],
        "filters of the provider's own";
    ContextManagement = "context_management", [Dropped, Dropped, Dropped, Dropped],
        "how the provider shortens a long conversation";
    StreamOptions = "stream_options", [Dropped, Dropped, Dropped, Dropped],
        "details of how a stream is written";
    Region = "inference_geo", [Refused, Refused, Refused, Refused],
        "another provider cannot promise the region";
    AccountState = "stored state", [Refused, Refused, Refused, Refused],
        "conversations, answers, prompts and containers kept at an account stay there; send the whole conversation";
    Background = "background", [Refused, Refused, Refused, Refused],
        "answers are given at once";
}

impl Field {
    fn row(self) -> (&'static str, [Verdict; 4], &'static str) {
        let row = Self::TABLE.get(self as usize);
        row.copied()
            .unwrap_or(("", [Verdict::Refused; 4], "the field has no rule"))
    }

    /// Its name in messages and headers.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().0
    }

    /// What it is, or why it does not pass.
    #[must_use]
    pub fn why(self) -> &'static str {
        self.row().2
    }

    /// What becomes of it in an API.
    #[must_use]
    pub fn verdict(self, target: Api) -> Verdict {
        let [messages, chat, responses, gemini] = self.row().1;
        match target {
            Api::Messages => messages,
            Api::ChatCompletions => chat,
            Api::Responses => responses,
            Api::GenerateContent => gemini,
        }
    }
}

/// The fields of one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FieldSet(u128);

const _: () = assert!(Field::ALL.len() <= 128);

impl FieldSet {
    pub(crate) fn add(&mut self, field: Field) {
        self.0 |= 1 << (field as u32);
    }

    /// Adds a field if it was set.
    pub(crate) fn note<T>(&mut self, field: Field, value: Option<&T>) {
        if value.is_some() {
            self.add(field);
        }
    }

    pub(crate) fn has(self, field: Field) -> bool {
        self.0 & (1 << (field as u32)) != 0
    }

    fn remove(&mut self, field: Field) {
        self.0 &= !(1 << (field as u32));
    }

    /// Holds every field against the table: the losses are named, the first refused field ends it.
    pub(crate) fn judge(
        mut self,
        target: Api,
        drops_server_tools: bool,
        losses: &mut Losses,
    ) -> Result<(), Field> {
        if drops_server_tools && self.has(Field::ServerTools) {
            self.remove(Field::ServerTools);
            losses.add(Loss::of(Field::ServerTools, Fate::Dropped));
        }
        let fields = Field::ALL.iter().copied();
        for field in fields.filter(|field| self.has(*field)) {
            match field.verdict(target) {
                Verdict::Carried => {}
                Verdict::Changed => losses.add(Loss::of(field, Fate::Changed)),
                Verdict::Dropped => losses.add(Loss::of(field, Fate::Dropped)),
                Verdict::Refused => return Err(field),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_has_a_name_and_a_reason_of_its_own() {
        for (at, field) in Field::ALL.iter().enumerate() {
            assert_eq!(*field as usize, at);
            assert!(!field.name().is_empty() && !field.why().is_empty());
            let same = Field::ALL
                .iter()
                .filter(|other| other.name() == field.name());
            assert_eq!(same.count(), 1, "{}", field.name());
        }
    }

    #[test]
    fn server_tools_are_dropped_only_where_that_is_configured() {
        let mut fields = FieldSet::default();
        fields.add(Field::ServerTools);
        let mut losses = Losses::default();
        assert!(fields.judge(Api::Messages, false, &mut losses).is_err());
        assert!(fields.judge(Api::Messages, true, &mut losses).is_ok());
        assert_eq!(losses.to_string(), "server tools: dropped");
    }
}
