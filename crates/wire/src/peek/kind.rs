//! What kind of request it is, for rules that choose a model by it.
//!
//! claude-code-router sends requests that think, search the web or show pictures to models of their own,
//! and lets a subagent's prompt name its model. All of it is told by a few words that the walk which weighs
//! the prompt passes anyway.
//!
//! Worked example: a system block `"<CCR-SUBAGENT-MODEL>openai,gpt-x</CCR-SUBAGENT-MODEL>\nReview this"` is
//! a request for `openai,gpt-x`; the block that goes upstream is `"\nReview this"`.

use std::ops::Range;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::identity::Role;
use super::walk::{Raw, top_level_text};
use crate::state::unescaped;

/// What a request wants of a model besides text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestKind {
    /// It asks for reasoning: `thinking` that is not disabled (Messages), `reasoning_effort` or
    /// `reasoning.effort` (Chat Completions, Responses) that is neither `none` nor `minimal`, a
    /// `thinkingConfig` with a budget other than 0 or a level other than `minimal` (Gemini).
    pub thinks: bool,
    /// It has the provider's web search: a tool whose type begins with `web_search`, or
    /// `web_search_options` (Chat Completions), or the tool `googleSearch` (Gemini).
    pub searches_web: bool,
    /// A picture is in one of its messages.
    pub has_images: bool,
}

/// The model that a subagent's prompt names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SubagentTag {
    /// The model, in any of the forms in which a client may name one.
    pub(crate) model: String,
    /// Where the tag stands in the body.
    pub(crate) range: Range<usize>,
}

const TAG_OPENS: &[u8] = b"<CCR-SUBAGENT-MODEL>";
const TAG_CLOSES: &[u8] = b"</CCR-SUBAGENT-MODEL>";

/// Where a tool's own members stand, counted from the body's object: not those of a schema in it.
const TOOL_DEPTH: usize = 3;
/// Where the blocks of a message stand, and the blocks of a tool's result in it.
const BLOCK_DEPTHS: [usize; 2] = [5, 7];
/// Where Gemini's data stands in the parts of a message, and in the parts of a function's response in it.
const DATA_DEPTHS: [usize; 2] = [6, 9];

/// Gathers what is told, member by member.
pub(super) struct KindFinder<'a> {
    pub(super) kind: RequestKind,
    role: Option<Role>,
    /// A system prompt's text that begins with the tag: the model, and the tag as a whole.
    tag: Option<(&'a [u8], &'a [u8])>,
}

impl<'a> KindFinder<'a> {
    /// Begins with what members tell that are not weighed.
    pub(super) const fn new(kind: RequestKind) -> Self {
        Self {
            kind,
            role: None,
            tag: None,
        }
    }

    /// A member that is weighed begins.
    pub(super) const fn begin(&mut self, role: Role) {
        self.role = Some(role);
    }

    /// A string of the member, under the name that was last seen.
    pub(super) fn see(&mut self, depth: usize, name: &[u8], raw: Raw<'a>) {
        match self.role {
            Some(Role::Turns) => {
                let is_image = match name {
                    b"type" => is_image(raw) && BLOCK_DEPTHS.contains(&depth),
                    b"mimeType" | b"mime_type" => {
                        is_image_data(raw) && DATA_DEPTHS.contains(&depth)
                    }
                    _ => false,
                };
                self.kind.has_images |= is_image;
            }
            Some(Role::Tools) => {
                if name == b"type" && depth == TOOL_DEPTH && raw.bytes.starts_with(b"web_search") {
                    self.kind.searches_web = true;
                }
            }
            Some(Role::System) if self.tag.is_none() => self.tag = tag_of(raw.bytes),
            Some(Role::System | Role::Apart) | None => {}
        }
    }

    /// A bracket that opens, and the name that was last seen. Gemini's tools of its own are told by their
    /// names alone: `{"googleSearch":{}}`.
    pub(super) fn see_open(&mut self, depth: usize, name: &[u8]) {
        let is_search = matches!(name, b"googleSearch" | b"google_search");
        if is_search && depth == TOOL_DEPTH + 1 && self.role == Some(Role::Tools) {
            self.kind.searches_web = true;
        }
    }

    /// The tag, and where it stands in the body whose text this is.
    pub(super) fn tag(&self, text: &str) -> Option<SubagentTag> {
        let (model, tag) = self.tag?;
        let model = unescaped(model)?;
        let model = str::from_utf8(&model).ok()?.trim();
        let start = tag.as_ptr().addr() - text.as_ptr().addr();
        (!model.is_empty()).then(|| SubagentTag {
            model: model.to_owned(),
            range: start..start + tag.len(),
        })
    }
}

/// Whether a block's type is that of a picture.
pub(super) fn is_image(raw: Raw<'_>) -> bool {
    matches!(raw.bytes, b"image" | b"image_url" | b"input_image")
}

/// Whether data of Gemini's, inline or uploaded, is a picture by its type.
pub(super) fn is_image_data(mime_type: Raw<'_>) -> bool {
    mime_type.bytes.starts_with(b"image/")
}

fn tag_of(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let inside = text.strip_prefix(TAG_OPENS)?;
    let length = memchr::memmem::find(inside, TAG_CLOSES)?;
    let tag = text.get(..TAG_OPENS.len() + length + TAG_CLOSES.len())?;
    Some((inside.get(..length)?, tag))
}

/// How a member asks for reasoning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ThinkingForm {
    /// Anthropic's `thinking`: an object with a `type`.
    Thinking,
    /// The effort itself.
    Effort,
    /// An object with an `effort`.
    Reasoning,
    /// Gemini's `thinkingConfig`.
    Config,
}

/// Whether a member asks for reasoning.
pub(super) fn asks_to_think(form: ThinkingForm, value: &RawValue) -> bool {
    let json = value.get();
    let is_effort = |effort: &[u8]| !matches!(effort, b"none" | b"minimal");
    match form {
        ThinkingForm::Thinking => {
            top_level_text(json.as_bytes(), b"type").is_some_and(|kind| kind != b"disabled")
        }
        ThinkingForm::Effort => json
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'))
            .is_some_and(|effort| is_effort(effort.as_bytes())),
        ThinkingForm::Reasoning => {
            top_level_text(json.as_bytes(), b"effort").is_some_and(is_effort)
        }
        ThinkingForm::Config => serde_json::from_str::<ThinkingConfig<'_>>(json)
            .is_ok_and(|config| config.asks_to_think()),
    }
}

/// Gemini's words for reasoning: a budget in tokens for some models, a level for others.
#[derive(Deserialize)]
struct ThinkingConfig<'a> {
    #[serde(borrow, rename = "thinkingBudget", alias = "thinking_budget")]
    budget: Option<&'a RawValue>,
    #[serde(borrow, rename = "thinkingLevel", alias = "thinking_level")]
    level: Option<&'a RawValue>,
}

impl ThinkingConfig<'_> {
    /// A budget of -1 leaves its size to the model.
    fn asks_to_think(&self) -> bool {
        let has_budget = self.budget.is_some_and(|budget| budget.get() != "0");
        let level = self.level.map(|level| level.get().trim_matches('"'));
        has_budget || level.is_some_and(|level| !level.eq_ignore_ascii_case("minimal"))
    }
}

#[cfg(test)]
mod tests {
    use crate::dialect::Endpoint as E;
    use crate::peek::peek;

    /// Whether it thinks, searches the web, has images.
    fn seen(endpoint: E, body: &str) -> (bool, bool, bool) {
        let kind = peek(endpoint, body.as_bytes()).unwrap().kind;
        (kind.thinks, kind.searches_web, kind.has_images)
    }

    fn tag(body: &str) -> Option<(String, String)> {
        let tag = peek(E::Messages, body.as_bytes()).unwrap().tag?;
        Some((tag.model, body[tag.range].to_owned()))
    }

    #[test]
    fn thinking_is_asked_for_in_the_words_of_each_endpoint() {
        for (endpoint, member, thinks) in [
            (
                E::Messages,
                r#""thinking":{"type":"enabled","budget_tokens":1024}"#,
                true,
            ),
            (E::Messages, r#""thinking":{"type":"adaptive"}"#, true),
            (E::Messages, r#""thinking":{"type":"disabled"}"#, false),
            (E::Messages, r#""thinking":null"#, false),
            (
                E::Messages,
                r#""thinking":{"budget":{"type":"enabled"}}"#,
                false,
            ),
            (E::Messages, r#""reasoning_effort":"high""#, false),
            (E::CountTokens, r#""thinking":{"type":"adaptive"}"#, true),
            (E::ChatCompletions, r#""reasoning_effort":"low""#, true),
            (E::ChatCompletions, r#""reasoning_effort":"minimal""#, false),
            (E::ChatCompletions, r#""reasoning_effort":"none""#, false),
            (E::ChatCompletions, r#""reasoning_effort":null"#, false),
            (E::ChatCompletions, r#""reasoning":{"effort":"high"}"#, true),
            (
                E::Responses,
                r#""reasoning":{"effort":"medium","summary":"auto"}"#,
                true,
            ),
            (E::Responses, r#""reasoning":{"effort":"none"}"#, false),
            (E::Responses, r#""reasoning":{"summary":"auto"}"#, false),
            (E::Responses, r#""reasoning":null"#, false),
            (E::Embeddings, r#""reasoning_effort":"high""#, false),
            (
                E::GenerateContent,
                r#""generationConfig":{"thinkingConfig":{"thinkingBudget":1024}}"#,
                true,
            ),
            (
                E::GenerateContent,
                r#""generation_config":{"thinking_config":{"thinking_budget":-1}}"#,
                true,
            ),
            (
                E::GenerateContent,
                r#""generationConfig":{"thinkingConfig":{"thinkingBudget":0,"includeThoughts":true}}"#,
                false,
            ),
            (
                E::GenerateContent,
                r#""generationConfig":{"thinkingConfig":{"thinkingLevel":"HIGH"}}"#,
                true,
            ),
            (
                E::GenerateContent,
                r#""generationConfig":{"thinkingConfig":{"thinkingLevel":"minimal","thinkingBudget":null}}"#,
                false,
            ),
            (
                E::GenerateContent,
                r#""generationConfig":{"thinkingConfig":null,"temperature":1}"#,
                false,
            ),
            (
                E::GenerateContent,
                r#""thinkingConfig":{"thinkingBudget":1024}"#,
                false,
            ),
        ] {
            let kind = seen(endpoint, &format!("{{{member}}}"));
            assert_eq!(kind, (thinks, false, false), "{endpoint:?} {member}");
        }
    }

    #[test]
    fn a_web_search_is_a_tool_of_the_providers_and_not_a_function_that_looks_like_one() {
        for (endpoint, member, searches) in [
            (
                E::Messages,
                r#""tools":[{"name":"Read"},{"type":"web_search_20250305","name":"web_search"}]"#,
                true,
            ),
            (
                E::Messages,
                r#""tools":[{"type":"custom","name":"web_search"}]"#,
                false,
            ),
            (
                E::Messages,
                r#""tools":[{"name":"x","input_schema":{"type":"web_search"}}]"#,
                false,
            ),
            (E::Messages, r#""messages":[{"type":"web_search"}]"#, false),
            (E::Responses, r#""tools":[{"type":"web_search"}]"#, true),
            (
                E::Responses,
                r#""tools":[{"type":"web_search_preview"}]"#,
                true,
            ),
            (E::ChatCompletions, r#""web_search_options":{}"#, true),
            (E::ChatCompletions, r#""web_search_options":null"#, false),
            (E::Messages, r#""web_search_options":{}"#, false),
            (
                E::GenerateContent,
                r#""tools":[{"functionDeclarations":[]},{"googleSearch":{}}]"#,
                true,
            ),
            (
                E::GenerateContent,
                r#""tools":[{"google_search":{}}]"#,
                true,
            ),
            (
                E::GenerateContent,
                r#""tools":[{"googleSearch":null,"codeExecution":{}}]"#,
                false,
            ),
            (
                E::GenerateContent,
                r#""tools":[{"functionDeclarations":[{"name":"googleSearch","parameters":{"google_search":{}}}]}]"#,
                false,
            ),
            (
                E::GenerateContent,
                r#""contents":[{"googleSearch":{}}]"#,
                false,
            ),
        ] {
            let kind = seen(endpoint, &format!("{{{member}}}"));
            assert_eq!(kind, (false, searches, false), "{endpoint:?} {member}");
        }
    }

    #[test]
    fn a_picture_is_seen_in_a_message_and_in_a_tools_result_and_not_in_a_tools_input() {
        let in_block = |block: &str| {
            format!(
                r#"{{"messages":[{{"role":"user","content":[{{"type":"text","text":"x"}},{block}]}}]}}"#
            )
        };
        for (endpoint, block, shown) in [
            (
                E::Messages,
                r#"{"type":"image","source":{"type":"url","url":"https://x"}}"#,
                true,
            ),
            (
                E::Messages,
                r#"{"type":"tool_result","content":[{"type":"image","source":{}}]}"#,
                true,
            ),
            (
                E::Messages,
                r#"{"type":"tool_use","input":{"type":"image"}}"#,
                false,
            ),
            (E::Messages, r#"{"type":"text","text":"image"}"#, false),
            (
                E::ChatCompletions,
                r#"{"type":"image_url","image_url":{"url":"data:"}}"#,
                true,
            ),
        ] {
            assert_eq!(
                seen(endpoint, &in_block(block)),
                (false, false, shown),
                "{block}"
            );
        }
        let input =
            r#"{"input":[{"role":"user","content":[{"type":"input_image","image_url":"x"}]}]}"#;
        assert_eq!(seen(E::Responses, input), (false, false, true));
        for (part, shown) in [
            (r#"{"inlineData":{"mimeType":"image/png","data":""}}"#, true),
            (
                r#"{"file_data":{"mime_type":"image/webp","file_uri":"https://x"}}"#,
                true,
            ),
            (
                r#"{"functionResponse":{"name":"f","response":{},"parts":[{"inlineData":{"mimeType":"image/png"}}]}}"#,
                true,
            ),
            (
                r#"{"inlineData":{"mimeType":"application/pdf","data":""}}"#,
                false,
            ),
            (
                r#"{"functionCall":{"name":"f","args":{"mimeType":"image/png"}}}"#,
                false,
            ),
            (r#"{"text":"image/png"}"#, false),
        ] {
            let body =
                format!(r#"{{"contents":[{{"role":"user","parts":[{{"text":"x"}},{part}]}}]}}"#);
            for endpoint in [E::GenerateContent, E::CountContentTokens] {
                assert_eq!(seen(endpoint, &body), (false, false, shown), "{part}");
            }
        }
    }

    #[test]
    fn a_tag_counts_where_a_system_prompt_or_a_block_of_it_begins_with_it() {
        let whole = "<CCR-SUBAGENT-MODEL> openai,gpt-x </CCR-SUBAGENT-MODEL>";
        let found = Some(("openai,gpt-x".to_owned(), whole.to_owned()));
        for (system, found) in [
            (
                format!(
                    r#"[{{"type":"text","text":"You are an agent"}},{{"type":"text","text":"{whole}\nReview"}}]"#
                ),
                found.clone(),
            ),
            // As current versions of Claude Code write it: a billing block before the two.
            (
                format!(
                    r#"[{{"text":"x-anthropic-billing-header: cc_version=2"}},{{"text":"You"}},{{"text":"{whole}"}}]"#
                ),
                found.clone(),
            ),
            (format!(r#""{whole}""#), found.clone()),
            (
                format!(r#"[{{"text":"{whole} and {whole}"}},{{"text":"{whole}"}}]"#),
                found,
            ),
            (format!(r#"[{{"text":"see {whole}"}}]"#), None),
            (
                r#"[{"text":"<CCR-SUBAGENT-MODEL>openai,gpt-x"}]"#.to_owned(),
                None,
            ),
            (
                r#"[{"text":"<CCR-SUBAGENT-MODEL> </CCR-SUBAGENT-MODEL>"}]"#.to_owned(),
                None,
            ),
        ] {
            let body = format!(r#"{{"model":"m","system":{system},"messages":[]}}"#);
            assert_eq!(tag(&body), found, "{body}");
        }
        let elsewhere = format!(r#"{{"messages":[{{"role":"user","content":"{whole}"}}]}}"#);
        assert_eq!(tag(&elsewhere), None);
    }

    #[test]
    fn a_model_written_with_escapes_is_read_without_them() {
        let body = r#"{"system":"<CCR-SUBAGENT-MODEL>openai,\u0067pt\/x</CCR-SUBAGENT-MODEL>"}"#;
        assert_eq!(tag(body).unwrap().0, "openai,gpt/x");
    }
}
