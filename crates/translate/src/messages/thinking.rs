//! Which thinking and sampling a request to a Claude model may ask for.
//!
//! The two exclude each other, thinking excludes a forced tool, models differ in the way they are
//! asked, and a budget must fit below `max_tokens`: what does not fit is refused upstream, so here it
//! is left out and named.

use crate::api::{AnthropicVersion, Target};
use crate::ir::{Depth, Effort, Part, Reasoning, Request, Role, ToolChoice};
use crate::json::Object;
use crate::losses::Losses;
use crate::models::Claude;
use crate::rules::Field;
use crate::seal::SealKind;

/// The least budget that is accepted.
const BUDGET_TOKENS_MIN: u64 = 1_024;

/// What is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Settings {
    thinking: Option<Thinking>,
    effort: Option<Effort>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    top_k: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Thinking {
    Disabled,
    Adaptive { is_shown: bool },
    Budget(u64),
}

impl Settings {
    /// Chooses what fits model, version and request.
    pub(crate) fn choose(
        request: &Request<'_>,
        target: &Target<'_>,
        max_tokens: u64,
        losses: &mut Losses,
    ) -> Self {
        let model = Claude::of(target.model);
        let mut settings = Self::default();
        if let Some(reasoning) = request.reasoning {
            settings.reason(reasoning, model, max_tokens);
            let forced = request
                .tool_choice
                .as_ref()
                .is_some_and(ToolChoice::is_forced);
            let thinks = matches!(
                settings.thinking,
                Some(Thinking::Adaptive { .. } | Thinking::Budget(_))
            );
            let lacks_history = matches!(settings.thinking, Some(Thinking::Budget(_)))
                && is_within_tool_use(request);
            if thinks && (forced || lacks_history) {
                settings.thinking = None;
                losses.dropped(Field::Reasoning);
            } else if settings.thinking.is_none() && wants_thinking(reasoning.depth) {
                losses.dropped(Field::Reasoning);
            }
        }
        settings.sample(request, target, model, losses);
        settings
    }

    fn reason(&mut self, reasoning: Reasoning, model: Claude, max_tokens: u64) {
        let Reasoning { depth, is_shown } = reasoning;
        if model.is_adaptive() {
            self.thinking = Some(match depth {
                Depth::Off => Thinking::Disabled,
                _ => Thinking::Adaptive { is_shown },
            });
            self.effort = depth.effort().map(|effort| match effort {
                Effort::Minimal => Effort::Low,
                Effort::XHigh if !model.takes_xhigh() => Effort::High,
                effort => effort,
            });
        } else {
            let budget = depth
                .budget_tokens()
                .unwrap_or_else(|| Effort::Medium.budget_tokens());
            // A quarter is left for the answer.
            let budget = budget.min(max_tokens - max_tokens / 4);
            self.thinking = (depth != Depth::Off && budget >= BUDGET_TOKENS_MIN)
                .then_some(Thinking::Budget(budget));
        }
    }

    fn sample(
        &mut self,
        request: &Request<'_>,
        target: &Target<'_>,
        model: Claude,
        losses: &mut Losses,
    ) {
        let wished = [request.temperature, request.top_p, request.top_k];
        if wished.iter().all(Option::is_none) {
            return;
        }
        let has_none = target.anthropic_version == AnthropicVersion::V20261021;
        let thinks = matches!(self.thinking, Some(Thinking::Budget(_)));
        if has_none || !model.takes_sampling() || thinks {
            losses.dropped(Field::Sampling);
            return;
        }
        self.temperature = request.temperature.map(|degree| degree.clamp(0.0, 1.0));
        if self.temperature != request.temperature {
            losses.changed(Field::Temperature);
        }
        self.top_p = request.top_p;
        if self.temperature.is_some() && self.top_p.is_some() && !model.takes_both() {
            self.top_p = None;
            losses.dropped(Field::TopP);
        }
        self.top_k = request.top_k;
    }

    pub(crate) const fn effort(&self) -> Option<Effort> {
        self.effort
    }

    pub(crate) fn write(&self, body: &mut Object<'_>) {
        body.maybe("temperature", self.temperature)
            .maybe("top_p", self.top_p);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "saturates; Gemini's clients may send a fraction where a whole number is meant"
        )]
        body.maybe("top_k", self.top_k.map(|k| k as u64));
        match self.thinking {
            None => {}
            Some(Thinking::Disabled) => {
                body.object("thinking", |thinking| {
                    thinking.put("type", "disabled");
                });
            }
            Some(Thinking::Adaptive { is_shown }) => {
                body.object("thinking", |thinking| {
                    thinking.put("type", "adaptive");
                    if is_shown {
                        thinking.put("display", "summarized");
                    }
                });
            }
            Some(Thinking::Budget(tokens)) => {
                body.object("thinking", |thinking| {
                    thinking.put("type", "enabled").put("budget_tokens", tokens);
                });
            }
        }
    }
}

fn wants_thinking(depth: Depth) -> bool {
    !matches!(
        depth,
        Depth::Off | Depth::Auto | Depth::Effort(Effort::Minimal)
    )
}

/// Whether the model waits for results of tools that it called without thinking that we can show
/// it: with a budget, such a turn must begin with its thinking.
fn is_within_tool_use(request: &Request<'_>) -> bool {
    let dialogue = request.dialogue();
    let [.., (Role::Assistant, calls), (Role::User, results)] = dialogue.as_slice() else {
        return false;
    };
    let is_result = |part: &&Part<'_>| matches!(part, Part::ToolResult(_));
    let is_thought = |part: &&Part<'_>| match part {
        Part::Reasoning { seal, .. } => seal
            .as_ref()
            .is_some_and(|seal| matches!(seal.kind, SealKind::Anthropic | SealKind::Redacted)),
        _ => false,
    };
    results.iter().any(is_result) && !calls.iter().any(is_thought)
}
