//! Reading the events of an upstream's stream.

use super::answer::{read_stop, read_usage};
use super::shapes::{Block, Delta, StreamEvent, Usage as RawUsage};
use crate::error::Failure;
use crate::flow::{Sink, TextKind};
use crate::ir::Usage;
use crate::json::read_object;
use crate::seal::{Seal, SealKind};

/// Where in the stream we are.
#[derive(Debug, Default)]
pub(crate) struct StreamReader {
    block: Option<OpenBlock>,
    usage: Usage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OpenBlock {
    Text,
    Thinking,
    /// A call, and whether any of its arguments came.
    Call {
        has_arguments: bool,
    },
    /// A block of a type that is not translated.
    Skipped,
}

impl StreamReader {
    /// Takes the next event. Events of unknown types are skipped: the API says that there may be
    /// new ones at any time.
    pub(crate) fn read(&mut self, data: &[u8], sink: &mut Sink<'_>) {
        let Ok(event) = read_object::<StreamEvent<'_>>(data) else {
            return sink.fail(&Failure::unreadable());
        };
        match event.kind.as_deref() {
            Some("message_start") => {
                let message = event.message.unwrap_or_default();
                if let Some(usage) = &message.usage {
                    self.usage = read_usage(usage);
                    sink.usage(self.usage);
                }
                let id = message.id.unwrap_or_default();
                sink.start(&id, &message.model.unwrap_or_default());
            }
            Some("content_block_start") => self.open(event.content_block.unwrap_or_default(), sink),
            Some("content_block_delta") => self.delta(&event.delta.unwrap_or_default(), sink),
            Some("content_block_stop") => self.close(sink),
            Some("message_delta") => {
                if let Some(usage) = &event.usage {
                    self.update_usage(usage);
                    sink.usage(self.usage);
                }
                let delta = event.delta.unwrap_or_default();
                if let Some(reason) = delta.stop_reason.as_deref() {
                    sink.stop(read_stop(Some(reason), delta.stop_sequence.clone()));
                }
            }
            Some("message_stop") => {
                if sink.flow.is_stopped() {
                    sink.done();
                } else {
                    sink.fail(&Failure::broken());
                }
            }
            Some("ping") => sink.keep_alive(),
            Some("error") => sink.fail(&Failure::read(None, data)),
            _ => {}
        }
    }

    fn open(&mut self, block: Block<'_>, sink: &mut Sink<'_>) {
        sink.close();
        self.block = Some(match block.kind.as_deref() {
            Some("text") => {
                sink.text(TextKind::Text, &block.text.unwrap_or_default());
                OpenBlock::Text
            }
            Some("thinking") => {
                sink.text(
                    TextKind::Reasoning(SealKind::Anthropic),
                    &block.thinking.unwrap_or_default(),
                );
                OpenBlock::Thinking
            }
            Some("redacted_thinking") => {
                sink.seal(Seal {
                    kind: SealKind::Redacted,
                    data: block.data.unwrap_or_default(),
                });
                OpenBlock::Skipped
            }
            Some("tool_use") => {
                sink.call(
                    &block.id.unwrap_or_default(),
                    &block.name.unwrap_or_default(),
                    None,
                );
                // Whole arguments may stand in the start; mostly it is `{}`, and pieces follow.
                let whole = block.input.map_or("{}", |input| input.get());
                let is_empty = whole.bytes().all(|b| b"{} \t\r\n".contains(&b));
                if !is_empty {
                    sink.arguments(whole);
                }
                OpenBlock::Call {
                    has_arguments: !is_empty,
                }
            }
            _ => OpenBlock::Skipped,
        });
    }

    fn delta(&mut self, delta: &Delta<'_>, sink: &mut Sink<'_>) {
        match (delta.kind.as_deref(), &mut self.block) {
            (Some("text_delta"), Some(OpenBlock::Text)) => {
                sink.text(TextKind::Text, delta.text.as_deref().unwrap_or_default());
            }
            (Some("thinking_delta"), Some(OpenBlock::Thinking)) => {
                let text = delta.thinking.as_deref().unwrap_or_default();
                sink.text(TextKind::Reasoning(SealKind::Anthropic), text);
            }
            (Some("signature_delta"), Some(OpenBlock::Thinking)) => {
                sink.seal(Seal {
                    kind: SealKind::Anthropic,
                    data: delta.signature.as_deref().unwrap_or_default().into(),
                });
            }
            (Some("input_json_delta"), Some(OpenBlock::Call { has_arguments })) => {
                let piece = delta.partial_json.as_deref().unwrap_or_default();
                *has_arguments |= !piece.is_empty();
                sink.arguments(piece);
            }
            // A delta without its block is a broken stream, one of an unknown kind is news.
            (Some("text_delta" | "thinking_delta" | "input_json_delta"), None) => {
                sink.fail(&Failure::unreadable());
            }
            _ => {}
        }
    }

    fn close(&mut self, sink: &mut Sink<'_>) {
        if let Some(OpenBlock::Call {
            has_arguments: false,
        }) = self.block.take()
        {
            sink.arguments("{}");
        }
        sink.close();
    }

    /// Later figures replace earlier ones; those that are not repeated stand.
    fn update_usage(&mut self, usage: &RawUsage<'_>) {
        let update = |figure: &mut u64, count: Option<crate::json::Count>| {
            if let Some(told) = count.and_then(|count| count.0) {
                *figure = told;
            }
        };
        update(&mut self.usage.input, usage.input_tokens);
        update(&mut self.usage.cache_read, usage.cache_read_input_tokens);
        update(
            &mut self.usage.cache_write,
            usage.cache_creation_input_tokens,
        );
        update(&mut self.usage.output, usage.output_tokens);
        let details = usage.output_tokens_details.as_ref();
        update(
            &mut self.usage.reasoning,
            details.and_then(|details| details.thinking_tokens),
        );
    }
}
