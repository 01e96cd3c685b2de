//! From what a client asks for to the targets that may serve it, in order.

use std::sync::Arc;

use keypool_wire::{Dialect, Endpoint, ModelRef, RequestKind};

use crate::live::Live;
use crate::provider::Provider;
use crate::traffic::endpoint_at;

/// A provider and the model's name there.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// Who serves it.
    pub provider: Arc<Provider>,
    /// The model's name at that provider.
    pub model: String,
    /// What it is asked for, in the API that it speaks.
    pub endpoint: Endpoint,
}

/// Why a model leads nowhere.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum RouteError {
    /// The model form names a provider that is not configured.
    #[error("provider {name:?} is not configured; configured are: {known}")]
    UnknownProvider {
        /// The name asked for.
        name: String,
        /// The names that exist.
        known: String,
    },
    /// Nothing says which provider serves this model.
    #[error(
        "model {model:?} is not known: name its provider (`provider,model`), or list it under that \
         provider's `models`; configured providers are: {known}"
    )]
    UnknownModel {
        /// The model asked for.
        model: String,
        /// The providers that exist.
        known: String,
    },
    /// The provider speaks another dialect than the client, and what is asked for is not translated into
    /// it.
    #[error(
        "provider {provider:?} speaks the {speaks} API and this endpoint the {asked} API, and its requests \
         cannot be translated; use the {speaks} endpoint, or a provider that speaks {asked}"
    )]
    OtherDialect {
        /// The provider's name.
        provider: String,
        /// What the provider speaks.
        speaks: &'static str,
        /// What the client spoke.
        asked: &'static str,
    },
}

/// What a request says of the model that it wants.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// What is asked for.
    pub endpoint: Endpoint,
    /// The model that it names.
    pub model: &'a str,
    /// The model that the prompt of a subagent names.
    pub subagent: Option<&'a str>,
    /// What it wants besides text.
    pub kind: RequestKind,
    /// Tokens of its prompt, by estimate.
    pub input_tokens: u64,
}

/// Where a request goes.
#[derive(Debug)]
pub(crate) struct Routed {
    /// The wanted target, then its fallbacks, in order. Never empty.
    pub targets: Vec<Target>,
    /// The rule that chose them, if the model's name alone did not.
    pub rule: Option<&'static str>,
}

/// Where a request goes.
///
/// A model's name may be an alias, `provider,model`, `provider/model` where the provider exists, or bare.
/// What names its provider goes there. A bare name is under the rules of `Router`, in the order of
/// claude-code-router: image, longContext, the subagent's own model, background, webSearch, think. If none
/// of them holds, it goes to the one provider that lists the model, else where the rule `default` says, else
/// to the provider whose dialect the path speaks. Of the rules an alias obeys the subagent's alone.
pub(crate) fn route(live: &Live, wanted: &Wanted<'_>) -> Result<Routed, RouteError> {
    let (named, rule) = choose(live, wanted)?;
    let targets = match named {
        Named::One(form) => vec![form.target(live, wanted.endpoint)?],
        Named::Several(forms) => targets(live, wanted.endpoint, forms)?,
    };
    Ok(Routed { targets, rule })
}

/// What a model's name says.
#[derive(Clone, Copy)]
enum Named<'a> {
    /// One model.
    One(Form<'a>),
    /// Forms of which the first is wanted; none is an alias.
    Several(&'a [String]),
}

/// Any form of a model's name but an alias.
#[derive(Clone, Copy)]
enum Form<'a> {
    /// The provider, and the model there.
    Qualified(&'a Arc<Provider>, &'a str),
    /// The model, and its provider if exactly one lists it.
    Bare(&'a str, Option<&'a Arc<Provider>>),
}

impl<'a> Named<'a> {
    fn read(live: &'a Live, name: &'a str) -> Result<Self, RouteError> {
        match live.alias(name.trim()) {
            Some(forms) => Ok(Self::Several(forms)),
            None => Form::read(live, name).map(Self::One),
        }
    }
}

impl<'a> Form<'a> {
    fn read(live: &'a Live, form: &'a str) -> Result<Self, RouteError> {
        match ModelRef::parse(form) {
            ModelRef::Qualified {
                provider: name,
                model,
            } => match live.provider(name) {
                Some(provider) => Ok(Self::Qualified(provider, model)),
                None => Err(RouteError::UnknownProvider {
                    name: keypool_wire::excerpt(name),
                    known: live.provider_names(),
                }),
            },
            ModelRef::Bare { name, slash } => {
                let slashed =
                    slash.and_then(|(provider, model)| Some((live.provider(provider)?, model)));
                Ok(match slashed {
                    Some((provider, model)) => Self::Qualified(provider, model),
                    None => Self::Bare(name, live.only_provider_of(name)),
                })
            }
        }
    }

    fn target(self, live: &Live, asked: Endpoint) -> Result<Target, RouteError> {
        let (provider, model) = match self {
            Self::Qualified(provider, model) => (Some(provider), model),
            Self::Bare(model, listed) => {
                let of_dialect = || live.provider_for(asked.dialect());
                (listed.or_else(of_dialect), model)
            }
        };
        match provider {
            // Where models stand in paths these would lead elsewhere.
            Some(provider) if !matches!(model, "." | "..") => target(provider, model, asked),
            Some(_) | None => Err(RouteError::UnknownModel {
                model: keypool_wire::excerpt(model),
                known: live.provider_names(),
            }),
        }
    }
}

/// What the name and the rules come to.
fn choose<'a>(
    live: &'a Live,
    wanted: &Wanted<'a>,
) -> Result<(Named<'a>, Option<&'static str>), RouteError> {
    let router = &live.config.router;
    let named = Named::read(live, wanted.model)?;
    let bare = match named {
        Named::One(Form::Qualified(..)) => return Ok((named, None)),
        Named::One(Form::Bare(_, listed)) if is_conversation(wanted.endpoint) => Some(listed),
        Named::One(Form::Bare(..)) | Named::Several(_) => None,
    };
    let kind = wanted.kind;
    let is_long = wanted.input_tokens > router.long_context_threshold;
    let by_size = first_rule([
        ("image", &router.image, kind.has_images),
        ("longContext", &router.long_context, is_long),
    ]);
    if let Some(ruled) = by_size.filter(|_| bare.is_some()) {
        return Ok(ruled);
    }
    if let Some(subagent) = wanted.subagent {
        return Ok((Named::read(live, subagent)?, Some("subagent")));
    }
    let Some(listed) = bare else {
        return Ok((named, None));
    };
    let is_small = wanted.model.contains("claude") && wanted.model.contains("haiku");
    let ruled = first_rule([
        ("background", &router.background, is_small),
        ("webSearch", &router.web_search, kind.searches_web),
        ("think", &router.think, kind.thinks),
        ("default", &router.default, listed.is_none()),
    ]);
    Ok(ruled.unwrap_or((named, None)))
}

/// The first rule that is set and holds.
fn first_rule<'a, const N: usize>(
    rules: [(&'static str, &'a Vec<String>, bool); N],
) -> Option<(Named<'a>, Option<&'static str>)> {
    let mut rules = rules.into_iter();
    let (name, forms, _) = rules.find(|(_, forms, holds)| *holds && !forms.is_empty())?;
    Some((Named::Several(forms), Some(name)))
}

/// Whether the rules are meant for it: no model for conversations makes embeddings.
fn is_conversation(endpoint: Endpoint) -> bool {
    endpoint.streams() || endpoint.counts_tokens()
}

/// The targets of several forms, without fallbacks that cannot be asked for it.
fn targets(live: &Live, endpoint: Endpoint, forms: &[String]) -> Result<Vec<Target>, RouteError> {
    let mut targets = Vec::with_capacity(forms.len());
    let mut unspoken = None;
    for form in forms {
        match Form::read(live, form)?.target(live, endpoint) {
            Ok(target) => targets.push(target),
            // What has to be counted are the tokens of the wanted model.
            Err(error @ RouteError::OtherDialect { .. })
                if !endpoint.counts_tokens() || !targets.is_empty() =>
            {
                unspoken.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
    }
    match unspoken {
        Some(error) if targets.is_empty() => Err(error),
        _ => Ok(targets),
    }
}

/// A target for what is asked for at `asked`.
fn target(provider: &Arc<Provider>, model: &str, asked: Endpoint) -> Result<Target, RouteError> {
    let settings = provider.settings();
    let speaks = settings.dialect;
    let endpoint = endpoint_at(speaks, settings.serves_responses, asked);
    let Some(endpoint) = endpoint.filter(|endpoint| settings.kind.serves(*endpoint)) else {
        return Err(RouteError::OtherDialect {
            provider: provider.name.clone(),
            speaks: dialect_name(speaks),
            asked: dialect_name(asked.dialect()),
        });
    };
    Ok(Target {
        provider: provider.clone(),
        model: model.to_owned(),
        endpoint,
    })
}

/// A dialect's name for people.
#[must_use]
pub(crate) fn dialect_name(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Anthropic => "Anthropic",
        Dialect::OpenAi => "OpenAI",
        Dialect::Gemini => "Gemini",
    }
}
