//! Answers of OpenAI's responses.

use bytes::Bytes;

use super::ids::{Ids, Mark};
use super::stream::{Frame, chunk_count, named};
use super::{AnswerFacts, Usage, json};
use crate::model::Request;

/// The id of the response with this seed.
pub(crate) fn response_id(seed: u64, mark: &Mark) -> String {
    Ids::new(seed).response(mark)
}

/// Events before the first one with text.
const PROLOGUE_EVENTS: u64 = 4;

/// The parts of one response that several events repeat.
struct Writer {
    response_id: String,
    item_id: String,
    created: u64,
    model: String,
    max_output_tokens: String,
    cut_short: bool,
    usage: Usage,
    text: String,
}

impl Writer {
    fn new(request: &Request, facts: &AnswerFacts<'_>) -> Self {
        let mut ids = Ids::new(facts.seed);
        let limit = request
            .max_tokens
            .map_or_else(|| "null".to_owned(), |limit| limit.to_string());
        Self {
            response_id: ids.response(facts.mark),
            item_id: ids.output_item(),
            created: facts.created,
            model: json(facts.model),
            max_output_tokens: limit,
            cut_short: facts.cut_short,
            usage: facts.usage,
            text: json(&facts.text.piece(0, facts.usage.output)),
        }
    }

    /// A `response` object with this status.
    fn response(&self, status: &str, output: &str, usage: &str) -> String {
        let Self {
            response_id,
            created,
            model,
            max_output_tokens,
            ..
        } = self;
        let details = match status {
            "incomplete" => r#"{"reason":"max_output_tokens"}"#,
            _ => "null",
        };
        format!(
            r#"{{"id":"{response_id}","object":"response","created_at":{created},"status":"{status}","background":false,"error":null,"incomplete_details":{details},"instructions":null,"max_output_tokens":{max_output_tokens},"max_tool_calls":null,"model":{model},"output":{output},"parallel_tool_calls":true,"previous_response_id":null,"prompt_cache_key":null,"reasoning":{{"effort":null,"summary":null}},"safety_identifier":null,"service_tier":"default","store":true,"temperature":1.0,"text":{{"format":{{"type":"text"}},"verbosity":"medium"}},"tool_choice":"auto","tools":[],"top_logprobs":0,"top_p":1.0,"truncation":"disabled","usage":{usage},"user":null,"metadata":{{}}}}"#
        )
    }

    fn part(text: &str) -> String {
        format!(r#"{{"type":"output_text","annotations":[],"logprobs":[],"text":{text}}}"#)
    }

    fn item(&self, status: &str, content: &str) -> String {
        let id = &self.item_id;
        format!(
            r#"{{"id":"{id}","type":"message","status":"{status}","content":[{content}],"role":"assistant"}}"#
        )
    }

    fn final_status(&self) -> &'static str {
        if self.cut_short {
            "incomplete"
        } else {
            "completed"
        }
    }

    fn finished_item(&self) -> String {
        self.item(self.final_status(), &Self::part(&self.text))
    }

    fn finished(&self) -> String {
        let output = format!("[{}]", self.finished_item());
        self.response(self.final_status(), &output, &self.usage_json())
    }

    fn usage_json(&self) -> String {
        let (input, output) = (self.usage.whole_input(), self.usage.output);
        let cached = self.usage.cache_read;
        format!(
            r#"{{"input_tokens":{input},"input_tokens_details":{{"cached_tokens":{cached},"cache_write_tokens":0}},"output_tokens":{output},"output_tokens_details":{{"reasoning_tokens":0}},"total_tokens":{}}}"#,
            input + output
        )
    }
}

/// One event: its type, its number in the stream, and its other fields.
fn event(kind: &str, number: u64, fields: &str) -> Bytes {
    named(
        kind,
        &format!(r#"{{"type":"{kind}","sequence_number":{number},{fields}}}"#),
    )
}

/// The answer to `POST /v1/responses`.
pub(crate) fn response(request: &Request, facts: &AnswerFacts<'_>) -> Bytes {
    Writer::new(request, facts).finished().into()
}

/// The events around the text of a streamed response.
pub(crate) fn frame(request: &Request, facts: &AnswerFacts<'_>) -> Frame {
    let writer = Writer::new(request, facts);
    let id = &writer.item_id;
    let begun = format!(
        r#""response":{}"#,
        writer.response("in_progress", "[]", "null")
    );
    let item = format!(
        r#""output_index":0,"item":{}"#,
        writer.item("in_progress", "")
    );
    let place = format!(r#""item_id":"{id}","output_index":0,"content_index":0"#);
    let empty_part = Writer::part(r#""""#);
    let prologue = vec![
        event("response.created", 0, &begun),
        event("response.in_progress", 1, &begun),
        event("response.output_item.added", 2, &item),
        event(
            "response.content_part.added",
            3,
            &format!(r#"{place},"part":{empty_part}"#),
        ),
    ];
    let epilogue = epilogue(&writer, &place, PROLOGUE_EVENTS + chunk_count(facts));
    let render = Box::new(move |ordinal, text: &str| {
        let fields = format!(r#"{place},"delta":{},"logprobs":[]"#, json(text));
        event(
            "response.output_text.delta",
            PROLOGUE_EVENTS + ordinal,
            &fields,
        )
    });
    Frame {
        prologue,
        render,
        epilogue,
    }
}

fn epilogue(writer: &Writer, place: &str, first: u64) -> Vec<Bytes> {
    let text = &writer.text;
    let part = Writer::part(text);
    let item = writer.finished_item();
    let last = format!("response.{}", writer.final_status());
    vec![
        event(
            "response.output_text.done",
            first,
            &format!(r#"{place},"text":{text},"logprobs":[]"#),
        ),
        event(
            "response.content_part.done",
            first + 1,
            &format!(r#"{place},"part":{part}"#),
        ),
        event(
            "response.output_item.done",
            first + 2,
            &format!(r#""output_index":0,"item":{item}"#),
        ),
        event(
            &last,
            first + 3,
            &format!(r#""response":{}"#, writer.finished()),
        ),
    ]
}
