//! What clients of the gateway have to be told: the variables that their SDKs read, and for coding agents
//! what else each wants. One table for `keypool env` and `keypool code`.

use serde_json::json;

/// The gateway as a client sees it.
pub(super) struct Gateway {
    /// Base URL, without a slash at its end.
    pub(super) url: String,
    /// The key to present. A gateway without one takes any, and SDKs do not start without.
    pub(super) key: String,
}

/// A change to an environment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Set this variable.
    Set(&'static str, String),
    /// Take this variable out: it would win over one that is set, or lead elsewhere.
    Unset(&'static str),
}

/// A program whose needs are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Agent {
    /// Claude Code.
    Claude,
    /// Codex CLI.
    Codex,
    /// aider.
    Aider,
    /// opencode.
    OpenCode,
    /// Gemini CLI.
    Gemini,
    /// Qwen Code.
    Qwen,
    /// Anything else that reads the variables of the SDKs.
    Other,
}

/// The names by which they are asked for, which are also their commands; how each is installed.
const AGENTS: [(&str, Agent, &str); 6] = [
    (
        "claude",
        Agent::Claude,
        "npm install -g @anthropic-ai/claude-code",
    ),
    ("codex", Agent::Codex, "npm install -g @openai/codex"),
    ("aider", Agent::Aider, "pip install aider-chat"),
    ("opencode", Agent::OpenCode, "npm install -g opencode-ai"),
    ("gemini", Agent::Gemini, "npm install -g @google/gemini-cli"),
    ("qwen", Agent::Qwen, "npm install -g @qwen-code/qwen-code"),
];

impl Agent {
    /// The agent of that name; any other name is a command of which nothing is known.
    pub(super) fn named(name: &str) -> Self {
        let known = AGENTS.iter().find(|(known, ..)| *known == name);
        known.map_or(Self::Other, |&(_, agent, _)| agent)
    }

    /// How it is installed, if that is known.
    pub(super) fn installation(self) -> Option<&'static str> {
        let known = AGENTS.iter().find(|&&(_, agent, _)| agent == self);
        known.map(|&(.., how)| how)
    }

    /// What its environment must say.
    pub(super) fn changes(self, gateway: &Gateway) -> Vec<Change> {
        let kinds: &[fn(&Gateway) -> Vec<Change>] = match self {
            Self::Claude => &[anthropic_by_token],
            Self::Codex | Self::Qwen => &[openai],
            Self::Aider => &[anthropic_by_key, openai, gemini, litellm],
            Self::OpenCode => &[anthropic_by_key, openai, gemini, opencode],
            Self::Gemini => &[gemini],
            Self::Other => &[anthropic_by_token, openai, gemini],
        };
        kinds.iter().flat_map(|kind| kind(gateway)).collect()
    }

    /// Arguments that it needs before the user's own.
    ///
    /// Codex takes no other address than by its configuration, whose values `-c` sets
    /// (<https://developers.openai.com/codex/config-reference>). Qwen Code asks by which API to go, unless its settings
    /// say that or a model is named in the environment, too.
    pub(super) fn arguments(self, gateway: &Gateway) -> Vec<String> {
        match self {
            Self::Codex => {
                let provider = format!(
                    "model_providers.keypool={{name=\"keypool\",base_url=\"{}/v1\",\
                     env_key=\"OPENAI_API_KEY\",wire_api=\"responses\"}}",
                    gateway.url
                );
                let provider = ["-c".to_owned(), provider];
                let chosen = ["-c".to_owned(), "model_provider=\"keypool\"".to_owned()];
                provider.into_iter().chain(chosen).collect()
            }
            Self::Qwen => vec!["--auth-type".to_owned(), "openai".to_owned()],
            Self::Claude | Self::Aider | Self::OpenCode | Self::Gemini | Self::Other => Vec::new(),
        }
    }
}

/// Claude Code and the SDKs send the token as a bearer. With an API key beside it Claude Code sends both and
/// complains; the `CLAUDE_CODE_USE_*` would send it to a cloud
/// (<https://code.claude.com/docs/en/llm-gateway>).
fn anthropic_by_token(gateway: &Gateway) -> Vec<Change> {
    vec![
        Change::Set("ANTHROPIC_BASE_URL", gateway.url.clone()),
        Change::Set("ANTHROPIC_AUTH_TOKEN", gateway.key.clone()),
        Change::Unset("ANTHROPIC_API_KEY"),
        Change::Unset("CLAUDE_CODE_USE_BEDROCK"),
        Change::Unset("CLAUDE_CODE_USE_VERTEX"),
        Change::Unset("CLAUDE_CODE_USE_FOUNDRY"),
    ]
}

/// For programs that know the API key alone.
fn anthropic_by_key(gateway: &Gateway) -> Vec<Change> {
    vec![
        Change::Set("ANTHROPIC_BASE_URL", gateway.url.clone()),
        Change::Set("ANTHROPIC_API_KEY", gateway.key.clone()),
        Change::Unset("ANTHROPIC_AUTH_TOKEN"),
    ]
}

/// `OPENAI_API_BASE` is the older name, which many programs still read. An organisation or project would
/// go along as a header and not fit the pooled keys.
fn openai(gateway: &Gateway) -> Vec<Change> {
    let url = format!("{}/v1", gateway.url);
    vec![
        Change::Set("OPENAI_BASE_URL", url.clone()),
        Change::Set("OPENAI_API_BASE", url),
        Change::Set("OPENAI_API_KEY", gateway.key.clone()),
        Change::Unset("OPENAI_ORG_ID"),
        Change::Unset("OPENAI_ORGANIZATION"),
        Change::Unset("OPENAI_PROJECT_ID"),
    ]
}

/// `GOOGLE_API_KEY` would win over `GEMINI_API_KEY`.
fn gemini(gateway: &Gateway) -> Vec<Change> {
    vec![
        Change::Set("GOOGLE_GEMINI_BASE_URL", gateway.url.clone()),
        Change::Set("GEMINI_API_KEY", gateway.key.clone()),
        Change::Unset("GOOGLE_API_KEY"),
        Change::Unset("GOOGLE_GENAI_USE_VERTEXAI"),
    ]
}

/// aider sends through `LiteLLM`, which has names of its own for the addresses.
fn litellm(gateway: &Gateway) -> Vec<Change> {
    vec![
        Change::Set("ANTHROPIC_API_BASE", gateway.url.clone()),
        Change::Set("GEMINI_API_BASE", format!("{}/v1beta", gateway.url)),
    ]
}

/// opencode takes addresses from its configuration alone, of which this variable is a part
/// (<https://opencode.ai/docs/config>). The keys stay in their variables.
fn opencode(gateway: &Gateway) -> Vec<Change> {
    let provider = |version: &str, variable: &str| {
        json!({ "options": {
            "baseURL": format!("{}/{version}", gateway.url),
            "apiKey": format!("{{env:{variable}}}"),
        } })
    };
    let content = json!({ "provider": {
        "anthropic": provider("v1", "ANTHROPIC_API_KEY"),
        "openai": provider("v1", "OPENAI_API_KEY"),
        "google": provider("v1beta", "GEMINI_API_KEY"),
    } });
    vec![Change::Set("OPENCODE_CONFIG_CONTENT", content.to_string())]
}

/// Where the environment sends HTTP through a proxy: keeps what goes to the gateway off it.
pub(super) fn past_the_proxy(
    host: &str,
    environment: impl Fn(&str) -> Option<String>,
) -> Vec<Change> {
    let set = |name: &str| environment(name).filter(|value| !value.is_empty());
    let proxies = [
        "HTTP_PROXY",
        "http_proxy",
        "HTTPS_PROXY",
        "https_proxy",
        "ALL_PROXY",
        "all_proxy",
    ];
    if !proxies.iter().any(|name| set(name).is_some()) {
        return Vec::new();
    }
    let listed = set("NO_PROXY")
        .or_else(|| set("no_proxy"))
        .unwrap_or_default();
    let is_listed = |entry: &str| entry.trim() == host || entry.trim() == "*";
    if listed.split(',').any(is_listed) {
        return Vec::new();
    }
    let separator = if listed.is_empty() { "" } else { "," };
    let list = format!("{listed}{separator}{host}");
    vec![
        Change::Set("NO_PROXY", list.clone()),
        Change::Set("no_proxy", list),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxied(variables: &[(&str, &str)]) -> Option<String> {
        let environment = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let changes = past_the_proxy("127.0.0.1", environment);
        changes.into_iter().find_map(|change| match change {
            Change::Set("NO_PROXY", value) => Some(value),
            _ => None,
        })
    }

    #[test]
    fn the_gateway_is_kept_off_a_proxy_if_there_is_one() {
        assert_eq!(proxied(&[]), None);
        assert_eq!(proxied(&[("NO_PROXY", "example.com")]), None);
        assert_eq!(
            proxied(&[("HTTP_PROXY", "http://p")]).as_deref(),
            Some("127.0.0.1")
        );
        let with_list = [("https_proxy", "http://p"), ("no_proxy", "example.com")];
        assert_eq!(
            proxied(&with_list).as_deref(),
            Some("example.com,127.0.0.1")
        );
        let listed = [("https_proxy", "http://p"), ("NO_PROXY", "a, 127.0.0.1")];
        assert_eq!(proxied(&listed), None);
    }

    #[test]
    fn no_agent_is_told_to_set_and_to_unset_the_same_variable() {
        let gateway = Gateway {
            url: "http://127.0.0.1:3456".to_owned(),
            key: "k".to_owned(),
        };
        let agents = AGENTS
            .iter()
            .map(|&(_, agent, _)| agent)
            .chain([Agent::Other]);
        for agent in agents {
            let names: Vec<_> = agent
                .changes(&gateway)
                .iter()
                .map(|change| match change {
                    Change::Set(name, _) | Change::Unset(name) => *name,
                })
                .collect();
            let mut once = names.clone();
            once.sort_unstable();
            once.dedup();
            assert_eq!(once.len(), names.len(), "{agent:?}: {names:?}");
        }
    }
}
