//! What a client asks for.

use keypool_wire::excerpt;

use super::reasoning::Reasoning;
use crate::api::{ServerTools, Target};
use crate::json::{Json, Str};
use crate::losses::{Losses, Refusal};
use crate::namespaces::NamespacedTool;
use crate::rules::{Field, FieldSet};
use crate::seal::Seal;

/// One request for one answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request<'a> {
    pub(crate) stream: bool,
    /// Whether a streamed answer is to end with its usage. Only Chat Completions can say no.
    pub(crate) stream_usage: bool,
    /// The conversation, system prompts included, in the order of the body.
    pub(crate) turns: Vec<Turn<'a>>,
    pub(crate) tools: Vec<Tool<'a>>,
    /// Those of the tools that the client keeps in namespaces. In `tools` and in calls they go by the joined name.
    pub(crate) namespaced: Vec<NamespacedTool>,
    pub(crate) tool_choice: Option<ToolChoice<'a>>,
    /// Whether the model may call several tools in one turn; the API's default if `None`.
    pub(crate) parallel_tool_calls: Option<bool>,
    pub(crate) max_output_tokens: Option<u64>,
    pub(crate) temperature: Option<f64>,
    pub(crate) top_p: Option<f64>,
    pub(crate) top_k: Option<f64>,
    pub(crate) presence_penalty: Option<f64>,
    pub(crate) frequency_penalty: Option<f64>,
    pub(crate) seed: Option<i64>,
    pub(crate) stop: Vec<Str<'a>>,
    pub(crate) reasoning: Option<Reasoning>,
    pub(crate) output: Output<'a>,
    /// An opaque name of the end user, for the provider's abuse detection.
    pub(crate) user: Option<Str<'a>>,
    /// Every field that the body set, for the rules to judge.
    pub(crate) fields: FieldSet,
    /// The client's own word for a field, where the field's name alone would not tell.
    pub(crate) found: Vec<(Field, String)>,
    /// What the reader itself could not keep.
    pub(crate) losses: Losses,
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Instructions of the application, wherever they stand.
    System,
    /// The user, and the results of tools.
    User,
    /// The model.
    Assistant,
}

/// One message.
#[derive(Clone, Debug)]
pub(crate) struct Turn<'a> {
    pub(crate) role: Role,
    pub(crate) parts: Vec<Part<'a>>,
}

/// A piece of a message or of an answer.
#[derive(Clone, Debug)]
pub(crate) enum Part<'a> {
    Text(Str<'a>),
    /// The model's own words of why it does not answer.
    Refusal(Str<'a>),
    /// The model's reasoning, as far as it is shown, and its sealed form.
    Reasoning {
        text: Str<'a>,
        seal: Option<Seal<'a>>,
    },
    Image(Media<'a>),
    Document(Media<'a>),
    ToolCall(ToolCall<'a>),
    ToolResult(ToolResult<'a>),
}

/// An image or a document.
#[derive(Clone, Debug)]
pub(crate) struct Media<'a> {
    pub(crate) source: Source<'a>,
    /// The document's title or file name.
    pub(crate) name: Option<Str<'a>>,
}

/// Where the bytes of an image or a document are. Files uploaded to an account are not among
/// them: only that account can read them.
#[derive(Clone, Debug)]
pub(crate) enum Source<'a> {
    Base64 {
        media_type: Str<'a>,
        data: Str<'a>,
    },
    Url(Str<'a>),
    /// A document of plain text.
    Text(Str<'a>),
}

/// The model calls a tool.
#[derive(Clone, Debug)]
pub(crate) struct ToolCall<'a> {
    pub(crate) id: Str<'a>,
    pub(crate) name: Str<'a>,
    /// A JSON object, always.
    pub(crate) arguments: Json<'a>,
    /// Gemini seals reasoning into its calls.
    pub(crate) seal: Option<Seal<'a>>,
}

/// What a tool gave back.
#[derive(Clone, Debug)]
pub(crate) struct ToolResult<'a> {
    pub(crate) id: Str<'a>,
    /// Text, images and documents.
    pub(crate) content: Vec<Part<'a>>,
    pub(crate) is_error: bool,
}

/// A function the model may call.
#[derive(Clone, Debug)]
pub(crate) struct Tool<'a> {
    pub(crate) name: Str<'a>,
    pub(crate) description: Option<Str<'a>>,
    /// A JSON schema of an object; `None` for a function without parameters.
    pub(crate) parameters: Option<Json<'a>>,
    pub(crate) strict: Option<bool>,
}

/// Whether the model has to call a tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ToolChoice<'a> {
    Auto,
    None,
    Any,
    Named(Str<'a>),
}

impl ToolChoice<'_> {
    /// Whether the model must call something.
    pub(crate) const fn is_forced(&self) -> bool {
        matches!(self, Self::Any | Self::Named(_))
    }
}

/// The shape the answer's text must have.
#[derive(Clone, Debug, Default)]
pub(crate) enum Output<'a> {
    #[default]
    Text,
    /// Any JSON object.
    JsonObject,
    JsonSchema {
        name: Option<Str<'a>>,
        description: Option<Str<'a>>,
        schema: Json<'a>,
        strict: Option<bool>,
    },
}

impl<'a> Request<'a> {
    /// Adds a part to the conversation, to the last turn if it is of the same role.
    pub(crate) fn push(&mut self, role: Role, part: Part<'a>) {
        match self.turns.last_mut() {
            Some(turn) if turn.role == role => turn.parts.push(part),
            _ => self.turns.push(Turn {
                role,
                parts: vec![part],
            }),
        }
    }

    /// Adds several parts, as [`Self::push`] does.
    pub(crate) fn push_all(&mut self, role: Role, mut parts: Vec<Part<'a>>) {
        match self.turns.last_mut() {
            _ if parts.is_empty() => {}
            Some(turn) if turn.role == role => turn.parts.append(&mut parts),
            _ => self.turns.push(Turn { role, parts }),
        }
    }

    /// Adds instructions where they stand.
    pub(crate) fn push_system(&mut self, text: Str<'a>) {
        let is_late = self.turns.iter().any(|turn| turn.role != Role::System);
        self.fields.add(if is_late {
            Field::LateSystem
        } else {
            Field::System
        });
        self.push(Role::System, Part::Text(text));
    }

    /// Notes a field together with the client's own word for it.
    pub(crate) fn find(&mut self, field: Field, word: &str) {
        if !self.fields.has(field) {
            self.fields.add(field);
            self.found.push((field, excerpt(word)));
        }
    }

    /// Holds the request against the rules of a target.
    pub(crate) fn judge(&self, target: &Target<'_>) -> Result<Losses, Refusal> {
        let mut losses = self.losses.clone();
        let drops_server_tools = target.server_tools == ServerTools::Drop;
        match self
            .fields
            .judge(target.api, drops_server_tools, &mut losses)
        {
            Ok(()) => Ok(losses),
            Err(field) => Err(Refusal::Field {
                field,
                target: target.api.name(),
                found: self
                    .found
                    .iter()
                    .find(|(found, _)| *found == field)
                    .map(|(_, word)| word.clone()),
            }),
        }
    }

    /// All texts of the system, in order, wherever they stand.
    pub(crate) fn system_texts(&self) -> impl Iterator<Item = &Str<'a>> {
        self.turns
            .iter()
            .filter(|turn| turn.role == Role::System)
            .flat_map(|turn| &turn.parts)
            .filter_map(|part| match part {
                Part::Text(text) if !text.trim().is_empty() => Some(text),
                _ => None,
            })
    }

    /// The conversation proper, with neighbours of one role together.
    pub(crate) fn dialogue(&self) -> Vec<(Role, Vec<&Part<'a>>)> {
        let mut groups: Vec<(Role, Vec<&Part<'a>>)> = Vec::new();
        for turn in self.turns.iter().filter(|turn| turn.role != Role::System) {
            match groups.last_mut() {
                Some((role, parts)) if *role == turn.role => parts.extend(&turn.parts),
                _ => groups.push((turn.role, turn.parts.iter().collect())),
            }
        }
        groups
    }
}
