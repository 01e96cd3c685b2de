//! What a new configuration will say, and its text.

use std::fmt::Write as _;
use std::path::PathBuf;

/// What the file says.
#[derive(Debug)]
pub(super) struct Plan {
    /// Where it is written.
    pub(super) output: PathBuf,
    /// The port, where it is not the usual one.
    pub(super) port: Option<u16>,
    /// The variable with the key that clients present.
    pub(super) client_key: Option<String>,
    /// The providers, at least one.
    pub(super) providers: Vec<ProviderPlan>,
}

/// A provider and the variables with its keys; none for one that asks for no key.
#[derive(Debug)]
pub(super) struct ProviderPlan {
    pub(super) name: String,
    pub(super) variables: Vec<String>,
}

impl Plan {
    /// All variables that the file refers to.
    pub(super) fn variables(&self) -> impl Iterator<Item = &str> {
        let keys = self
            .providers
            .iter()
            .flat_map(|provider| &provider.variables);
        self.client_key.iter().chain(keys).map(String::as_str)
    }

    /// The file. Names of providers and variables need no escapes: they are checked where they come from.
    pub(super) fn text(&self) -> String {
        let mut text = "// What means what: docs/configuration.md. Every field: `keypool schema`. The keys stay in the environment.\n{\n".to_owned();
        // Writing to a String does not fail.
        if let Some(port) = self.port {
            let _ = writeln!(text, "  \"PORT\": {port},");
        }
        if let Some(variable) = &self.client_key {
            let _ = writeln!(text, "  \"APIKEY\": \"${variable}\",");
        }
        text.push_str("  \"ApiKeyPool\": {\n    \"enabled\": true,\n    \"strategy\": \"least-loaded\",\n    \"providers\": {\n");
        let providers = self.providers.iter().map(|provider| {
            if provider.variables.is_empty() {
                return format!("      \"{}\": {{}}", provider.name);
            }
            let keys = provider.variables.iter();
            let keys = keys.map(|variable| format!("          {{ \"key\": \"${variable}\" }}"));
            let keys = keys.collect::<Vec<_>>().join(",\n");
            format!(
                "      \"{}\": {{\n        \"keys\": [\n{keys}\n        ]\n      }}",
                provider.name
            )
        });
        let providers = providers.collect::<Vec<_>>().join(",\n");
        let _ = writeln!(text, "{providers}\n    }}\n  }}\n}}");
        text
    }

    /// What was written, for a person.
    pub(super) fn summary(&self) -> String {
        let providers = self.providers.iter().map(|provider| {
            let name = &provider.name;
            match provider.variables.len() {
                0 => format!("{name} without a key"),
                1 => format!("{name} with 1 key"),
                count => format!("{name} with {count} keys"),
            }
        });
        providers.collect::<Vec<_>>().join(", ")
    }
}
