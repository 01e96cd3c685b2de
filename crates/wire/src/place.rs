//! Where a key's requests go, and what they look like there.
//!
//! Most providers have one base URL, under which every endpoint has its path and the model stands in the body.
//! On the clouds it is the key that has a place of its own: a resource or region in the host, a deployment
//! in the path or in the model's stead. Two keys of one account are then two keys, each with its own quota.
//!
//! Worked example: a client asks for `gpt-4o`. One key of Azure's calls it `prod-4o` at the resource `east`,
//! another `gpt4o-2` at `west`; each is sent the request under its own host and name.

mod azure;
mod bedrock;
mod body;
mod vertex;

use std::collections::BTreeMap;

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};

use crate::base_url::{BaseUrlError, Call, UpstreamBase};
use crate::dialect::Dialect;
use crate::provider::ProviderKind;
use azure::Azure;
use bedrock::Bedrock;
use body::with_members;
use vertex::Vertex;

/// What has to be encoded in one segment of a path: all but the unreserved characters of RFC 3986, and one that
/// needs not.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    // In the names of Claude's snapshots on Vertex.
    .remove(b'@');

/// What is said of a key's place. Which of it a provider needs, and which it has no use for, [`Place::of`]
/// tells.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct KeyPlace {
    /// A base URL for this key alone.
    pub base_url: Option<String>,
    /// Azure: the name of the resource.
    pub resource: Option<String>,
    /// Azure: the version of the API. A dated one has deployments in paths.
    pub api_version: Option<String>,
    /// Bedrock and Vertex: the region.
    pub region: Option<String>,
    /// Vertex: the project's id.
    pub project: Option<String>,
    /// What the account calls every model that `deployments` does not name.
    pub deployment: Option<String>,
    /// What the account calls models.
    pub deployments: BTreeMap<String, String>,
}

impl KeyPlace {
    /// Tells places apart at which one secret is several keys; `None` for a secret that is one key wherever
    /// it is used.
    #[must_use]
    pub fn identity(&self) -> Option<String> {
        let Self {
            base_url,
            resource,
            api_version: _,
            region,
            project,
            deployment,
            deployments,
        } = self;
        let fields = [
            ("resource", resource),
            ("region", region),
            ("project", project),
            ("deployment", deployment),
        ];
        let named: Vec<String> = fields
            .into_iter()
            .filter_map(|(name, value)| Some(format!("{name}={}", value.as_ref()?)))
            .chain(
                deployments
                    .iter()
                    .map(|(model, name)| format!("{model}->{name}")),
            )
            .collect();
        (!named.is_empty()).then(|| {
            let at = base_url.iter().map(|url| format!("baseUrl={url}"));
            named.into_iter().chain(at).collect::<Vec<_>>().join("\n")
        })
    }

    /// The models that the account has, if it names each.
    #[must_use]
    pub fn models(&self) -> Vec<String> {
        match self.deployment {
            Some(_) => Vec::new(),
            None => self.deployments.keys().cloned().collect(),
        }
    }

    /// What the account calls a model.
    fn name_of<'a>(&'a self, model: &'a str) -> &'a str {
        let named = self.deployments.get(model).or(self.deployment.as_ref());
        named.map_or(model, String::as_str)
    }

    /// The fields that are for some providers only, by the names that they have in the configuration.
    fn said(&self) -> impl Iterator<Item = &'static str> {
        let fields = [
            ("resource", self.resource.is_some()),
            ("apiVersion", self.api_version.is_some()),
            ("region", self.region.is_some()),
            ("project", self.project.is_some()),
            ("deployment", self.deployment.is_some()),
            ("deployments", !self.deployments.is_empty()),
        ];
        fields
            .into_iter()
            .filter_map(|(name, said)| said.then_some(name))
    }
}

/// Why a key has no place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct PlaceError {
    /// The field that is wrong or missing, by its name in the configuration.
    pub field: &'static str,
    /// What is wrong, and what is allowed.
    pub message: String,
}

impl PlaceError {
    /// An error at a field.
    #[must_use]
    pub fn new(field: &'static str, message: impl Into<String>) -> Self {
        Self {
            field,
            message: message.into(),
        }
    }
}

impl From<BaseUrlError> for PlaceError {
    fn from(error: BaseUrlError) -> Self {
        Self::new("baseUrl", error.to_string())
    }
}

/// Where a key's requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    form: Form,
    said: KeyPlace,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    /// Endpoints stand under the base URL, the model in the body.
    Plain(UpstreamBase),
    /// A resource of Azure's.
    Azure(Azure),
    /// Claude on Bedrock.
    Bedrock(Bedrock),
    /// Claude on Vertex.
    Vertex(Vertex),
}

impl Place {
    /// The place of a key, of what is said of it and of the base URL for all of the provider's keys.
    pub fn of(
        kind: ProviderKind,
        dialect: Dialect,
        provider_url: Option<&str>,
        said: &KeyPlace,
    ) -> Result<Self, PlaceError> {
        let url = said.base_url.as_deref().or(provider_url);
        if let Some(field) = said.said().find(|field| !takes(kind, field)) {
            let message = format!(
                "has no meaning for this provider; it is for {}",
                PLACED
                    .into_iter()
                    .filter_map(|(name, kind)| takes(kind, field).then_some(name))
                    .collect::<Vec<_>>()
                    .join(" and ")
            );
            return Err(PlaceError::new(field, message));
        }
        for (model, name) in &said.deployments {
            if model.is_empty() || name.is_empty() || model.contains('*') {
                let message = "is a list of models, each with the name of its deployment; no name is empty, \
                               and none has a *";
                return Err(PlaceError::new("deployments", message));
            }
        }
        let form = match (kind, dialect) {
            (ProviderKind::Azure, Dialect::OpenAi) => Form::Azure(Azure::of(url, said)?),
            (ProviderKind::Bedrock, Dialect::Anthropic) => Form::Bedrock(Bedrock::of(url, said)?),
            (ProviderKind::Bedrock, Dialect::OpenAi) => {
                Form::Plain(Bedrock::of(url, said)?.for_openai())
            }
            (ProviderKind::Vertex, Dialect::Anthropic) => Form::Vertex(Vertex::of(url, said)?),
            (ProviderKind::Vertex, Dialect::OpenAi) => {
                Form::Plain(Vertex::of(url, said)?.for_openai())
            }
            (ProviderKind::Vertex, Dialect::Gemini) => {
                Form::Plain(Vertex::of(url, said)?.for_gemini())
            }
            _ => Form::Plain(UpstreamBase::parse(
                dialect,
                url.ok_or_else(|| PlaceError::new("baseUrl", "is needed"))?,
            )?),
        };
        Ok(Self {
            form,
            said: said.clone(),
        })
    }

    /// The URL of a call.
    #[must_use]
    pub fn url(&self, call: &Call<'_>) -> String {
        match &self.form {
            Form::Plain(base) => base.url(call),
            Form::Azure(azure) => azure.url(call, self.said.name_of(call.model)),
            Form::Bedrock(bedrock) => bedrock.url(call, self.said.name_of(call.model)),
            Form::Vertex(vertex) => vertex.url(call, self.said.name_of(call.model)),
        }
    }

    /// The body of a call, of the body that any key of the provider would be sent and of what the header
    /// `anthropic-beta` says. The same bytes are handed back where this place wants no others.
    #[must_use]
    pub fn body(&self, call: &Call<'_>, body: &Bytes, beta: &str) -> Bytes {
        let name = self.said.name_of(call.model);
        match &self.form {
            Form::Bedrock(_) => bedrock::claudes_body(body, beta),
            Form::Vertex(_) => vertex::claudes_body(call, body, name),
            Form::Azure(azure) if azure.names_in_path(call.endpoint) => body.clone(),
            Form::Plain(_) | Form::Azure(_) if name == call.model => body.clone(),
            Form::Plain(_) | Form::Azure(_) => {
                with_members(body, &["model"], &[("model", name.into())])
            }
        }
    }

    /// Whether [`Self::body`] may be another than the one it is given, for a request for this model.
    #[must_use]
    pub fn may_write_anew(&self, model: &str) -> bool {
        matches!(self.form, Form::Bedrock(_) | Form::Vertex(_)) || self.said.name_of(model) != model
    }

    /// The URL of the list of models: the cheapest call that proves a key good. `None` where the proof is
    /// that the key is exchanged for a token.
    #[must_use]
    pub fn models_url(&self) -> Option<String> {
        match &self.form {
            Form::Plain(base) => Some(base.models_url()),
            Form::Azure(azure) => Some(azure.models_url()),
            Form::Bedrock(bedrock) => Some(bedrock.models_url()),
            Form::Vertex(_) => None,
        }
    }

    /// Whether the headers of the dialect mean something there. Bedrock has them in the body.
    #[must_use]
    pub fn takes_dialect_headers(&self) -> bool {
        !matches!(self.form, Form::Bedrock(_))
    }

    /// The region, where there is one.
    #[must_use]
    pub fn region(&self) -> Option<&str> {
        self.said.region.as_deref()
    }

    /// Whether the Responses API is to be had there: Azure has it since one of its versions.
    #[must_use]
    pub fn serves_responses(&self) -> bool {
        match &self.form {
            Form::Plain(_) | Form::Bedrock(_) | Form::Vertex(_) => true,
            Form::Azure(azure) => azure.serves_responses(),
        }
    }
}

/// The providers whose keys have places.
const PLACED: [(&str, ProviderKind); 3] = [
    ("azure", ProviderKind::Azure),
    ("bedrock", ProviderKind::Bedrock),
    ("vertex", ProviderKind::Vertex),
];

/// Whether a field is for this provider.
fn takes(kind: ProviderKind, field: &str) -> bool {
    match kind {
        ProviderKind::Azure => {
            matches!(
                field,
                "resource" | "apiVersion" | "deployment" | "deployments"
            )
        }
        ProviderKind::Bedrock => matches!(field, "region" | "deployment" | "deployments"),
        ProviderKind::Vertex => {
            matches!(field, "region" | "project" | "deployment" | "deployments")
        }
        _ => false,
    }
}

/// The path of a URL without a slash at its end, and its query.
fn path_and_query(url: &str) -> (&str, &str) {
    let url = url.trim();
    let (location, query) = url.split_once('?').unwrap_or((url, ""));
    let after_scheme = location.find("://").map_or(0, |at| at + 3);
    let rest = location.get(after_scheme..).unwrap_or_default();
    let path = rest.find('/').and_then(|at| rest.get(at..));
    (path.unwrap_or_default().trim_end_matches('/'), query)
}

/// A name as one segment of a path.
fn segment(name: &str) -> impl std::fmt::Display + '_ {
    utf8_percent_encode(name, SEGMENT)
}

/// Whether a text may stand as a label in a host's name.
fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

#[cfg(test)]
mod tests;
