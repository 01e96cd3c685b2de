//! What is in force right now: the configuration and the providers made from it.
//!
//! Replaced as a whole by a reload; a request keeps the one it began with.

use std::sync::Arc;

use keypool_wire::Dialect;

use crate::config::GatewayConfig;
use crate::provider::Provider;
use crate::state::{Configured, ConfiguredChoices};

/// One configuration in force.
#[derive(Debug)]
pub(crate) struct Live {
    /// The configuration, with the admin API's stored changes applied.
    pub config: GatewayConfig,
    providers: Vec<Arc<Provider>>,
    configured: Configured,
}

impl Live {
    /// Puts a configuration and its providers, which are in the same order, in one.
    #[must_use]
    pub(crate) fn new(
        config: GatewayConfig,
        providers: Vec<Arc<Provider>>,
        configured: Configured,
    ) -> Self {
        Self {
            config,
            providers,
            configured,
        }
    }

    /// What the configuration itself says of a provider, whatever was set at run time.
    #[must_use]
    pub(crate) fn configured(&self, provider: &str) -> Option<ConfiguredChoices> {
        self.configured.get(provider).copied()
    }

    /// All providers, in configuration order.
    #[must_use]
    pub(crate) fn providers(&self) -> &[Arc<Provider>] {
        &self.providers
    }

    /// The provider of this name.
    #[must_use]
    pub(crate) fn provider(&self, name: &str) -> Option<&Arc<Provider>> {
        self.providers.iter().find(|provider| provider.name == name)
    }

    /// The provider that a path's dialect stands for: the one named like the dialect, else the first
    /// that speaks it.
    #[must_use]
    pub(crate) fn provider_for(&self, dialect: Dialect) -> Option<&Arc<Provider>> {
        let own_name = match dialect {
            Dialect::Anthropic => "anthropic",
            Dialect::OpenAi => "openai",
            Dialect::Gemini => "gemini",
        };
        let speaks = |provider: &&Arc<Provider>| provider.settings().dialect == dialect;
        self.provider(own_name)
            .filter(speaks)
            .or_else(|| self.providers.iter().find(speaks))
    }

    /// The model forms that an alias stands for.
    #[must_use]
    pub(crate) fn alias(&self, name: &str) -> Option<&[String]> {
        let found = self.config.aliases.iter().find(|(alias, _)| alias == name);
        found.map(|(_, forms)| forms.as_slice())
    }

    /// The provider that lists a model, if exactly one does.
    #[must_use]
    pub(crate) fn only_provider_of(&self, model: &str) -> Option<&Arc<Provider>> {
        let lists = |provider: &&Arc<Provider>| {
            let settings = provider.settings();
            settings.models.iter().any(|listed| listed == model)
        };
        let mut listing = self.providers.iter().filter(lists);
        listing.next().filter(|_| listing.next().is_none())
    }

    /// The names of all providers, for messages.
    #[must_use]
    pub(crate) fn provider_names(&self) -> String {
        if self.providers.is_empty() {
            return "none".to_owned();
        }
        let names: Vec<&str> = self
            .providers
            .iter()
            .map(|provider| provider.name.as_str())
            .collect();
        names.join(", ")
    }
}
