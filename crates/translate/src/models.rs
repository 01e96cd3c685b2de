//! What models accept, as far as their names tell. Names that are not known count as accepting
//! what most do.

/// Generation of a Claude model, such as (4, 7); `None` for models of others.
fn claude_generation(model: &str) -> Option<(u32, u32)> {
    let rest = model.split("claude-").nth(1)?;
    let mut numbers = rest
        .split(['-', '.', '@', ':', '['])
        .skip_while(|word| !is_short_number(word));
    let major = numbers.next()?.parse().ok()?;
    let minor = numbers.next().filter(|word| is_short_number(word));
    Some((major, minor.and_then(|word| word.parse().ok()).unwrap_or(0)))
}

/// One or two digits: longer numbers are dates.
fn is_short_number(word: &str) -> bool {
    matches!(word.len(), 1 | 2) && word.bytes().all(|b| b.is_ascii_digit())
}

/// What an Anthropic model takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claude {
    generation: (u32, u32),
}

impl Claude {
    pub(crate) fn of(model: &str) -> Self {
        Self {
            generation: claude_generation(model).unwrap_or((0, 0)),
        }
    }

    /// Sampling parameters; from 4.7 on only their defaults (providers.md, 1).
    pub(crate) fn takes_sampling(self) -> bool {
        self.generation < (4, 7)
    }

    /// `temperature` and `top_p` in one request; refused from 4.1 on.
    pub(crate) fn takes_both(self) -> bool {
        self.generation < (4, 1)
    }

    /// Adaptive thinking and effort, from 4.6 on; before it a budget of tokens.
    pub(crate) fn is_adaptive(self) -> bool {
        self.generation >= (4, 6)
    }

    /// The effort `xhigh`, from 4.7 on.
    pub(crate) fn takes_xhigh(self) -> bool {
        self.generation >= (4, 7)
    }
}

/// Whether a model of OpenAI's or of an imitator's takes `reasoning_effort`. Models that do not
/// reason refuse it.
pub(crate) fn takes_effort(model: &str) -> bool {
    const NOT: [&str; 5] = ["gpt-3", "gpt-4", "chatgpt-", "gpt-5-chat", "deepseek-chat"];
    let name = model.rsplit('/').next().unwrap_or(model);
    !NOT.iter().any(|prefix| name.starts_with(prefix))
}

/// Whether a Gemini model speaks of reasoning in levels, and checks the signatures of its calls:
/// from the third generation on. Before it, in tokens, and without checks.
pub(crate) fn is_gemini_3(model: &str) -> bool {
    let name = model.rsplit('/').next().unwrap_or(model);
    !["gemini-1", "gemini-2"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generation_of_a_claude_model_is_read_from_all_forms_of_its_name() {
        let cases = [
            ("claude-opus-4-7", Some((4, 7))),
            ("claude-sonnet-4-5-20250929", Some((4, 5))),
            ("claude-opus-4-20250514", Some((4, 0))),
            ("claude-3-5-sonnet-20241022", Some((3, 5))),
            ("claude-fable-5", Some((5, 0))),
            ("anthropic/claude-opus-4.7", Some((4, 7))),
            ("anthropic.claude-haiku-4-5-v1:0", Some((4, 5))),
            ("claude-sonnet-4-5@20250929", Some((4, 5))),
            ("claude-instant", None),
            ("deepseek-chat", None),
        ];
        for (model, generation) in cases {
            assert_eq!(claude_generation(model), generation, "{model}");
        }
    }

    #[test]
    fn only_models_that_reason_take_an_effort() {
        assert!(
            takes_effort("gpt-5.2") && takes_effort("o3") && takes_effort("openai/gpt-oss-120b")
        );
        assert!(!takes_effort("gpt-4o") && !takes_effort("openai/gpt-4.1"));
    }
}
