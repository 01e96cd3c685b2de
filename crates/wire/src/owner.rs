//! Whose quota an answer was charged to, as the answer itself says.
//!
//! Two keys that an operator takes for independent may be of one organisation, and then they share
//! its limits: the pool would promise twice the room there is. Providers name the account on their
//! answers, so the mistake can be seen.
//!
//! Worked example: two keys both answer with `anthropic-workspace-id: wrkspc_01`. They are one
//! quota group, whatever the configuration says.

use crate::dialect::Dialect;
use crate::headers::Headers;
use crate::limits::OWNER_ID_BYTES_MAX;
use crate::provider::ProviderKind;

/// The account behind a key.
///
/// Equal values prove that quota is shared: equal workspaces share all of it, equal organisations
/// at least the organisation's. Different workspaces prove nothing, as they may belong to one
/// organisation whose limits bind both; only different organisations tell keys apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuotaOwner<'h> {
    /// The organisation, as the provider names it.
    pub organisation: Option<&'h str>,
    /// The part of it that the key belongs to: Anthropic's workspace, OpenAI's project.
    pub workspace: Option<&'h str>,
}

/// Reads whose quota an answer was charged to; nothing for providers that do not say.
///
/// Sources (providers.md §12): `anthropic-workspace-id` and `openai-organization` V,
/// `anthropic-organization-id` and `openai-project` NV.
#[must_use]
pub fn quota_owner(provider: ProviderKind, headers: &dyn Headers) -> QuotaOwner<'_> {
    use ProviderKind as P;
    let (organisation, workspace) = match provider {
        P::Anthropic | P::Generic(Dialect::Anthropic) => {
            ("anthropic-organization-id", "anthropic-workspace-id")
        }
        P::OpenAi | P::Generic(Dialect::OpenAi) => ("openai-organization", "openai-project"),
        // Others do not say, or hand on the names of an account that is not the operator's.
        P::Azure
        | P::Gemini
        | P::OpenRouter
        | P::DeepSeek
        | P::Groq
        | P::Mistral
        | P::Together
        | P::Xai
        | P::Fireworks
        | P::Cerebras
        | P::Bedrock
        | P::Vertex
        | P::Ollama
        | P::Vllm
        | P::LmStudio
        | P::Generic(Dialect::Gemini) => return QuotaOwner::default(),
    };
    let named = |name| {
        headers
            .get(name)
            .map(str::trim)
            .filter(|id| !id.is_empty() && id.len() <= OWNER_ID_BYTES_MAX)
    };
    QuotaOwner {
        organisation: named(organisation),
        workspace: named(workspace),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_provider_names_the_account_in_its_own_headers() {
        let long = "o".repeat(OWNER_ID_BYTES_MAX + 1);
        let headers = [
            ("anthropic-organization-id", "org-a"),
            ("anthropic-workspace-id", " wrkspc_1 "),
            ("openai-organization", "acme"),
            ("openai-project", ""),
        ];
        for (provider, organisation, workspace) in [
            (ProviderKind::Anthropic, Some("org-a"), Some("wrkspc_1")),
            (
                ProviderKind::Generic(Dialect::Anthropic),
                Some("org-a"),
                Some("wrkspc_1"),
            ),
            (ProviderKind::OpenAi, Some("acme"), None),
            (ProviderKind::Generic(Dialect::OpenAi), Some("acme"), None),
            (ProviderKind::OpenRouter, None, None),
            (ProviderKind::Gemini, None, None),
            (ProviderKind::Azure, None, None),
        ] {
            assert_eq!(
                quota_owner(provider, &headers),
                QuotaOwner {
                    organisation,
                    workspace
                },
                "{provider:?}"
            );
        }
        let senseless = [("openai-organization", " "), ("openai-project", &long)];
        assert_eq!(
            quota_owner(ProviderKind::OpenAi, &senseless),
            QuotaOwner::default()
        );
    }
}
