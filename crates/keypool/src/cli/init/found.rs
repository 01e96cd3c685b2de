//! Keys of providers in the environment, by the names that people give to such variables.

use keypool_wire::ProviderKind;

use crate::config::Environment;

/// Highest number that is looked for at the end of a name.
const NUMBERS: u32 = 99;

/// The variables with keys of one provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// The provider's name.
    pub(super) provider: &'static str,
    /// The variables, each with another key.
    pub(super) variables: Vec<String>,
    /// Variables with a key that stands in another one.
    pub(super) repeated: Vec<String>,
}

/// The providers whose address is known to everybody.
pub(super) fn providers() -> impl Iterator<Item = &'static str> {
    ProviderKind::names().filter(|name| {
        ProviderKind::from_name(name).is_some_and(|kind| kind.default_base_url().is_some())
    })
}

/// The keys of one provider.
pub(super) fn of(provider: &'static str, environment: Environment<'_>) -> Found {
    let gateways_own = ["KEYPOOL_API_KEY", "ANTHROPIC_AUTH_TOKEN"].map(environment);
    let mut found = Found {
        provider,
        variables: Vec::new(),
        repeated: Vec::new(),
    };
    let mut keys = Vec::new();
    for variable in names(provider) {
        let Some(key) = environment(&variable).map(|key| key.trim().to_owned()) else {
            continue;
        };
        // `keypool env` puts the gateway's key, or a word in its place, where a provider's is looked for.
        let is_gateways = key == crate::cli::env::NO_KEY
            || gateways_own.iter().flatten().any(|own| own.trim() == key);
        if key.is_empty() || is_gateways {
            continue;
        }
        if keys.contains(&key) {
            found.repeated.push(variable);
        } else {
            keys.push(key);
            found.variables.push(variable);
        }
    }
    found
}

/// The keys of all providers that have any.
pub(super) fn all(environment: Environment<'_>) -> Vec<Found> {
    providers()
        .map(|provider| of(provider, environment))
        .filter(|found| !found.variables.is_empty())
        .collect()
}

/// The names under which the keys of a provider are looked for.
fn names(provider: &str) -> Vec<String> {
    // What Google's SDK reads besides GEMINI_API_KEY.
    let prefixes = [
        Some(provider.to_uppercase()),
        (provider == "gemini").then(|| "GOOGLE".to_owned()),
    ];
    let mut names = Vec::new();
    for prefix in prefixes.iter().flatten() {
        for stem in ["API_KEY", "KEY"] {
            names.push(format!("{prefix}_{stem}"));
            names.extend((1..=NUMBERS).map(|number| format!("{prefix}_{stem}_{number}")));
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_by_the_usual_names_and_each_once() {
        let environment = |name: &str| {
            let value = match name {
                "ANTHROPIC_API_KEY" | "ANTHROPIC_KEY_2" => "sk-ant-1",
                "ANTHROPIC_KEY_1" => "sk-ant-2",
                "ANTHROPIC_API_KEY_12" => "sk-ant-3",
                "GOOGLE_API_KEY" => "AIza-1",
                "OPENAI_API_KEY" => "keypool",
                "MISTRAL_API_KEY" | "KEYPOOL_API_KEY" => "the-gateways-own",
                "GROQ_API_KEY" => " ",
                _ => return None,
            };
            Some(value.to_owned())
        };
        let found = all(&environment);
        let providers: Vec<_> = found.iter().map(|found| found.provider).collect();
        assert_eq!(providers, ["anthropic", "gemini"]);
        assert_eq!(
            found[0].variables,
            [
                "ANTHROPIC_API_KEY",
                "ANTHROPIC_API_KEY_12",
                "ANTHROPIC_KEY_1"
            ]
        );
        assert_eq!(found[0].repeated, ["ANTHROPIC_KEY_2"]);
        assert_eq!(found[1].variables, ["GOOGLE_API_KEY"]);
    }
}
