//! The new configuration as it is written, fields in the order in which people look for them.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde::Serialize;
use serde_json::{Map, Value};

use super::references::is_reference;
use crate::cli::env::NO_KEY;

/// The file. Not printable: it holds secrets.
#[derive(Default, Serialize)]
pub(super) struct NewConfig {
    #[serde(rename = "HOST", skip_serializing_if = "Option::is_none")]
    pub(super) host: Option<String>,
    #[serde(rename = "PORT", skip_serializing_if = "Option::is_none")]
    pub(super) port: Option<u16>,
    #[serde(rename = "APIKEY", skip_serializing_if = "Option::is_none")]
    pub(super) api_key: Option<String>,
    #[serde(rename = "LOG", skip_serializing_if = "Option::is_none")]
    pub(super) log: Option<bool>,
    #[serde(rename = "LOG_LEVEL", skip_serializing_if = "Option::is_none")]
    pub(super) log_level: Option<String>,
    #[serde(rename = "PROXY_URL", skip_serializing_if = "Option::is_none")]
    pub(super) proxy_url: Option<String>,
    #[serde(rename = "API_TIMEOUT_MS", skip_serializing_if = "Option::is_none")]
    pub(super) api_timeout_ms: Option<u64>,
    #[serde(rename = "Providers")]
    pub(super) providers: Vec<NewProvider>,
    #[serde(rename = "Router", skip_serializing_if = "Map::is_empty")]
    pub(super) router: Map<String, Value>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub(super) fallback: Map<String, Value>,
}

/// A provider.
#[derive(Serialize)]
pub(super) struct NewProvider {
    pub(super) name: String,
    pub(super) api_base_url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) protocol: Option<&'static str>,
    pub(super) api_key: String,
    pub(super) models: Vec<String>,
}

impl NewConfig {
    /// The text of the file.
    pub(super) fn text(&self) -> anyhow::Result<String> {
        let text = serde_json::to_string_pretty(self).context("the configuration has no text")?;
        Ok(format!("{text}\n"))
    }

    /// What it holds, for a person.
    pub(super) fn summary(&self) -> String {
        let count = self.providers.len();
        let noun = if count == 1 { "provider" } else { "providers" };
        let names: Vec<_> = self
            .providers
            .iter()
            .map(|provider| provider.name.as_str())
            .collect();
        let routes: Vec<_> = self.router.keys().map(String::as_str).collect();
        let routes = if routes.is_empty() {
            String::new()
        } else {
            format!("; Router: {}", routes.join(", "))
        };
        format!("{count} {noun} ({}){routes}", names.join(", "))
    }

    /// How many secrets stand in it as they are.
    pub(super) fn literal_secrets(&mut self) -> usize {
        self.literals().count()
    }

    /// The secrets that stand in it as they are, and the variable that each would be expected in.
    fn literals(&mut self) -> impl Iterator<Item = (String, &mut String)> {
        let own = self
            .api_key
            .iter_mut()
            .map(|key| ("KEYPOOL_API_KEY".to_owned(), key));
        // A proxy's URL is a secret where it holds a password.
        let proxy = self.proxy_url.iter_mut().filter(|url| url.contains('@'));
        let proxy = proxy.map(|url| ("KEYPOOL_PROXY_URL".to_owned(), url));
        let providers = self.providers.iter_mut();
        let providers =
            providers.map(|provider| (variable_of(&provider.name), &mut provider.api_key));
        let all = own.chain(proxy).chain(providers);
        all.filter(|(_, secret)| !is_reference(secret) && *secret != NO_KEY)
    }
}

/// Takes the secrets out that stand in the configuration, and leaves references to variables in their place.
pub(super) fn move_keys(config: &mut NewConfig) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    for (name, secret) in config.literals() {
        let free = |name: &String| !variables.contains_key(name);
        let numbered = (2..).map(|number| format!("{name}_{number}"));
        let chosen = std::iter::once(name.clone()).chain(numbered).find(free);
        if let Some(chosen) = chosen {
            let secret = std::mem::replace(secret, format!("${chosen}"));
            variables.insert(chosen, secret);
        }
    }
    variables
}

/// The variables as a shell and Docker's `--env-file` read them: quoted only where a shell needs it.
pub(super) fn variables_text(variables: &BTreeMap<String, String>) -> anyhow::Result<String> {
    let line = |(name, value): (&String, &String)| {
        anyhow::ensure!(
            !value.contains(char::is_control),
            "the secret for {name} has a control character, which no variable can carry"
        );
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@+=,".contains(c);
        Ok(if value.chars().all(is_plain) {
            format!("{name}={value}\n")
        } else {
            format!("{name}='{}'\n", value.replace('\'', r"'\''"))
        })
    };
    variables.iter().map(line).collect()
}

/// `OPENROUTER_API_KEY` for openrouter.
fn variable_of(provider: &str) -> String {
    let upper = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_uppercase()
        } else {
            '_'
        }
    };
    let name: String = provider.chars().map(upper).collect();
    let begins_well = name.starts_with(|c: char| !c.is_ascii_digit());
    format!("{}{name}_API_KEY", if begins_well { "" } else { "_" })
}
