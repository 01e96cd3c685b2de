//! From the model that a client names to the targets that may serve it, in order.

use std::sync::Arc;

use keypool_wire::{Dialect, Endpoint, ModelRef};

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

/// The targets for `requested`, wanted one first, then its fallbacks. Never empty.
///
/// Forms, in the order in which they are tried: an alias, `provider,model`, `provider/model` where
/// the provider exists, a bare model that exactly one provider lists, the configured default, and at
/// last the provider whose dialect the path speaks.
pub(crate) fn route(
    live: &Live,
    endpoint: Endpoint,
    requested: &str,
) -> Result<Vec<Target>, RouteError> {
    let forms: Vec<&str> = match live.alias(requested) {
        Some(forms) => forms.iter().map(String::as_str).collect(),
        None => vec![requested],
    };
    let mut targets = Vec::with_capacity(forms.len());
    for form in forms {
        match resolve(live, endpoint, form) {
            Ok(target) => targets.push(target),
            // Tokens are counted by the wanted one, or by a fallback that can.
            Err(RouteError::OtherDialect { .. })
                if endpoint.counts_tokens() && !targets.is_empty() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(targets)
}

fn resolve(live: &Live, endpoint: Endpoint, form: &str) -> Result<Target, RouteError> {
    match ModelRef::parse(form) {
        ModelRef::Qualified {
            provider: name,
            model,
        } => match live.provider(name) {
            Some(provider) => target(provider, model, endpoint),
            None => Err(RouteError::UnknownProvider {
                name: keypool_wire::excerpt(name),
                known: live.provider_names(),
            }),
        },
        ModelRef::Bare { name, slash } => {
            let slashed =
                slash.and_then(|(provider, model)| Some((live.provider(provider)?, model)));
            match slashed {
                Some((provider, model)) => target(provider, model, endpoint),
                None => resolve_bare(live, endpoint, name),
            }
        }
    }
}

fn resolve_bare(live: &Live, endpoint: Endpoint, model: &str) -> Result<Target, RouteError> {
    let mut listing = live.providers().iter().filter(|provider| {
        provider
            .settings()
            .models
            .iter()
            .any(|listed| listed == model)
    });
    if let (Some(only), None) = (listing.next(), listing.next()) {
        return target(only, model, endpoint);
    }
    if let Some(default) = live.default_target()
        && let ModelRef::Qualified { provider, model } = ModelRef::parse(default)
        && let Some(provider) = live.provider(provider)
    {
        return target(provider, model, endpoint);
    }
    match live.provider_for(endpoint.dialect()) {
        Some(provider) => target(provider, model, endpoint),
        None => Err(RouteError::UnknownModel {
            model: keypool_wire::excerpt(model),
            known: live.provider_names(),
        }),
    }
}

/// A target for what is asked for at `asked`.
fn target(provider: &Arc<Provider>, model: &str, asked: Endpoint) -> Result<Target, RouteError> {
    let settings = provider.settings();
    let (kind, speaks) = (settings.kind, settings.dialect);
    let Some(endpoint) = endpoint_at(kind, speaks, asked) else {
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
