//! `Providers`, entry by entry.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::notes::Notes;
use super::references::settled;
use super::url::{Cleared, cleared};
use super::written::NewProvider;
use crate::cli::env::NO_KEY;
use crate::config::Environment;

/// Fields of a provider, and how some of claude-code-router's documentation spells them.
const NAME: &[&str] = &["name", "NAME"];
const URL: &[&str] = &["api_base_url", "HOST"];
const KEY: &[&str] = &["api_key", "APIKEY"];
const MODELS: &[&str] = &["models", "MODELS"];
const TRANSFORMER: &[&str] = &["transformer", "transformers"];

/// Transformers between APIs: keypool translates by itself.
const TRANSLATORS: [&str; 9] = [
    "anthropic",
    "openai",
    "openai-responses",
    "deepseek",
    "gemini",
    "groq",
    "openrouter",
    "reasoning",
    "streamoptions",
];

/// Transformers that sign in to a cloud or another program's account.
const SIGNING_IN: [&str; 5] = [
    "vertex-gemini",
    "vertex-claude",
    "gemini-cli",
    "qwen-cli",
    "rovo-cli",
];

/// The providers, and the names that had to be changed: old to new.
pub(super) struct Taken {
    pub(super) providers: Vec<NewProvider>,
    pub(super) names: BTreeMap<String, String>,
}

/// Takes the providers over.
pub(super) fn take(entries: &[Value], environment: Environment<'_>, notes: &mut Notes) -> Taken {
    let mut taken = Taken {
        providers: Vec::new(),
        names: BTreeMap::new(),
    };
    for (index, entry) in entries.iter().enumerate() {
        let field = format!("Providers[{index}]");
        let Some(entry) = entry.as_object() else {
            notes.lost(field, "it is no object");
            continue;
        };
        let Some((old_name, provider)) = provider(entry, &field, environment, notes) else {
            continue;
        };
        // As there: of two with one name the later counts.
        if let Some(at) = taken
            .providers
            .iter()
            .position(|known| known.name == provider.name)
        {
            taken.providers.remove(at);
            notes.lost(
                &field,
                format!(
                    "an earlier provider is named {:?}, too: this one replaces it",
                    provider.name
                ),
            );
        }
        taken.names.insert(old_name, provider.name.clone());
        taken.providers.push(provider);
    }
    taken
}

fn provider(
    entry: &Map<String, Value>,
    field: &str,
    environment: Environment<'_>,
    notes: &mut Notes,
) -> Option<(String, NewProvider)> {
    let text = |names: &[&str]| {
        names
            .iter()
            .find_map(|name| entry.get(*name))
            .and_then(Value::as_str)
    };
    let (Some(old_name), Some(url)) = (text(NAME), text(URL)) else {
        notes.lost(field, "it has no name or no api_base_url");
        return None;
    };
    let transformers = Transformers::read(TRANSFORMER.iter().find_map(|name| entry.get(*name)));
    if let Some(name) = transformers
        .names()
        .find(|name| SIGNING_IN.contains(&name.as_str()))
    {
        notes.lost(
            field,
            format!("the provider {old_name:?} signs in by the transformer {name}"),
        );
        return None;
    }
    tell_of_transformers(&transformers, field, notes);
    let fits = |c: char| !(c.is_whitespace() || matches!(c, ',' | '/'));
    let name: String = old_name
        .chars()
        .map(|c| if fits(c) { c } else { '-' })
        .collect();
    if name != old_name {
        notes.changed(
            format!("{field}.name"),
            format!("{old_name:?} is {name:?}, so that it fits into provider,model"),
        );
    }
    let (url, keys) = url_of(url, field, environment, notes);
    let protocol = transformers.protocol(&url);
    let key = text(KEY).map(str::trim).filter(|key| !key.is_empty());
    let key = key_of(key, keys, field, environment, notes);
    let models = MODELS
        .iter()
        .find_map(|name| entry.get(*name))
        .and_then(Value::as_array);
    let models = models
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned);
    let known = [NAME, URL, KEY, MODELS, TRANSFORMER].concat();
    for name in entry.keys().filter(|name| !known.contains(&name.as_str())) {
        notes.lost(format!("{field}.{name}"), "keypool has no such field");
    }
    let provider = NewProvider {
        name,
        api_base_url: endpoint(url, protocol),
        protocol,
        api_key: key,
        models: models.collect(),
    };
    Some((old_name.to_owned(), provider))
}

/// The URL without secrets, and the parameters that held them.
fn url_of(
    url: &str,
    field: &str,
    environment: Environment<'_>,
    notes: &mut Notes,
) -> (String, Vec<(String, String)>) {
    let field = format!("{field}.api_base_url");
    // A reference to a secret shall stay one.
    let before = cleared(url);
    let (url, replaced) = settled(&before.url, environment);
    if replaced {
        notes.changed(&field, "variables in it are replaced by their values");
    }
    let Cleared {
        url,
        parameters,
        had_user,
    } = cleared(&url);
    if had_user || before.had_user {
        let why = "the user and password in it: keypool sends none beside the key";
        notes.lost(&field, why);
    }
    (url, [before.parameters, parameters].concat())
}

/// The one key that is sent: the entry's own, or else one that stood in its URL.
fn key_of(
    own: Option<&str>,
    in_url: Vec<(String, String)>,
    field: &str,
    environment: Environment<'_>,
    notes: &mut Notes,
) -> String {
    let mut key = own.map(|key| settled(key, environment).0);
    for (name, value) in in_url.into_iter().filter(|(_, value)| !value.is_empty()) {
        let value = settled(&value, environment).0;
        let field = format!("{field}.api_base_url");
        match &key {
            None => {
                let how =
                    format!("{name} in its query is the api_key: keypool sends keys in a header");
                notes.changed(field, how);
                key = Some(value);
            }
            Some(key) if *key == value => {
                let how = format!(
                    "{name} in its query is left out: it is the api_key, which is sent in a header"
                );
                notes.changed(field, how);
            }
            Some(_) => {
                let why = format!(
                    "{name} in its query: it holds a secret beside the api_key, and keypool sends one key, in a header"
                );
                notes.lost(field, why);
            }
        }
    }
    key.unwrap_or_else(|| {
        notes.changed(
            format!("{field}.api_key"),
            format!("it is empty; {NO_KEY:?} stands in its place"),
        );
        NO_KEY.to_owned()
    })
}

fn tell_of_transformers(transformers: &Transformers, field: &str, notes: &mut Notes) {
    let mut lost: Vec<_> = transformers
        .used
        .iter()
        .filter(|used| {
            used.has_options || !TRANSLATORS.contains(&used.name.to_lowercase().as_str())
        })
        .map(|used| {
            if used.has_options {
                format!("{} with its options", used.name)
            } else {
                used.name.clone()
            }
        })
        .collect();
    lost.sort_unstable();
    lost.dedup();
    if !lost.is_empty() {
        let lost = lost.join(", ");
        notes.lost(
            format!("{field}.transformer"),
            format!(
                "{lost}: keypool translates between APIs and changes nothing else in a request"
            ),
        );
    }
}

/// The base URL without what claude-code-router completes by the model's name.
fn endpoint(url: String, protocol: Option<&str>) -> String {
    match url.trim_end_matches('/').strip_suffix("/models") {
        Some(base) if protocol == Some("gemini") => base.to_owned(),
        Some(_) | None => url,
    }
}

/// What is done to a provider's requests.
struct Transformers {
    used: Vec<Transformer>,
    /// The one that is used for all models, if there is exactly one.
    only: Option<String>,
}

struct Transformer {
    name: String,
    has_options: bool,
}

impl Transformers {
    /// Reads `{"use": [...], "MODEL": {"use": [...]}}`, or the list alone.
    fn read(value: Option<&Value>) -> Self {
        let lists = match value {
            Some(Value::Object(members)) => {
                let own = members.get("use");
                let of_models = members.iter().filter(|(name, _)| *name != "use");
                let of_models = of_models.filter_map(|(_, member)| member.get("use"));
                own.into_iter().chain(of_models).collect()
            }
            Some(list @ Value::Array(_)) => vec![list],
            Some(_) | None => Vec::new(),
        };
        let read = |list: &&Value| list.as_array().cloned().unwrap_or_default();
        let used: Vec<_> = lists
            .iter()
            .flat_map(read)
            .filter_map(|entry| Transformer::read(&entry))
            .collect();
        let first = lists.first().map(read).unwrap_or_default();
        let only = match first.as_slice() {
            [one] => Transformer::read(one).map(|one| one.name.to_lowercase()),
            _ => None,
        };
        Self { used, only }
    }

    fn names(&self) -> impl Iterator<Item = &String> {
        self.used.iter().map(|used| &used.name)
    }

    /// The API that the provider speaks, where its URL does not tell.
    fn protocol(&self, url: &str) -> Option<&'static str> {
        let path = url.trim_end_matches('/');
        match self.only.as_deref() {
            Some("anthropic") => Some("anthropic"),
            Some("gemini") if !path.ends_with("/chat/completions") => Some("gemini"),
            Some(_) | None => None,
        }
    }
}

impl Transformer {
    /// A name, or a list of name and options.
    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::String(name) => Some(Self {
                name: name.clone(),
                has_options: false,
            }),
            Value::Array(parts) => Some(Self {
                name: parts.first()?.as_str()?.to_owned(),
                has_options: parts.len() > 1,
            }),
            _ => None,
        }
    }
}
