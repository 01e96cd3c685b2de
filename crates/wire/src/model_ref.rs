//! The forms in which a client may name a model.

/// A model as a client writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelRef<'a> {
    /// `provider,model`: the provider is named for certain.
    Qualified {
        /// The provider's name, trimmed.
        provider: &'a str,
        /// The model's name, trimmed; it may hold further commas and slashes.
        model: &'a str,
    },
    /// A bare name, an alias, or `provider/model`.
    Bare {
        /// The name as a whole, trimmed.
        name: &'a str,
        /// The two sides of the first slash, if there is one. Whether this is `provider/model`
        /// depends on the provider being configured: `meta-llama/Llama-4` is one model's name.
        slash: Option<(&'a str, &'a str)>,
    },
}

impl<'a> ModelRef<'a> {
    /// Splits a model's name at the first comma; the rest is the model, whatever it holds.
    #[must_use]
    pub fn parse(text: &'a str) -> Self {
        if let Some((provider, model)) = text.split_once(',') {
            return Self::Qualified {
                provider: provider.trim(),
                model: model.trim(),
            };
        }
        let name = text.trim();
        let slash = name
            .split_once('/')
            .map(|(provider, model)| (provider.trim(), model.trim()))
            .filter(|(provider, model)| !provider.is_empty() && !model.is_empty());
        Self::Bare { name, slash }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_split_at_the_first_comma_only() {
        assert_eq!(
            ModelRef::parse(" openrouter , meta-llama/llama-4,free"),
            ModelRef::Qualified {
                provider: "openrouter",
                model: "meta-llama/llama-4,free"
            }
        );
    }

    #[test]
    fn a_slash_is_only_a_candidate_split() {
        assert_eq!(
            ModelRef::parse("openai/gpt-4o/x"),
            ModelRef::Bare {
                name: "openai/gpt-4o/x",
                slash: Some(("openai", "gpt-4o/x"))
            }
        );
        assert_eq!(
            ModelRef::parse("claude-haiku-4-5"),
            ModelRef::Bare {
                name: "claude-haiku-4-5",
                slash: None
            }
        );
        assert_eq!(
            ModelRef::parse("/x"),
            ModelRef::Bare {
                name: "/x",
                slash: None
            }
        );
    }
}
